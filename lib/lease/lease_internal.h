/* SPDX-License-Identifier: Apache-2.0 */
/* lease_internal.h: the types of the lease room.
 *
 *   book -> set -> tree of leases by id: the replicated part, replaced whole by a snapshot
 *        -> two heaps of the same leases: the leader's part, empty on a follower
 *
 * The one idea: a renewal writes one number into the lease and touches no heap. So a heap's key is
 * not the time of a lease's event but a time at or before it; whoever looks at the top corrects
 * it. */
#ifndef KVRAFT_LIB_LEASE_LEASE_INTERNAL_H
#define KVRAFT_LIB_LEASE_LEASE_INTERNAL_H

#include <kvraft/lease.h>

#include "base/memory.h"
#include "base/slab.h"

/* ------------------------------------------------------------------ limits */

/* With KVR_HOSTILE small, so that tests come across them. */
#ifdef KVR_HOSTILE
enum { KVR__LEASE_FANOUT = 4, KVR__LEASE_LOOKS_MAX = 3 };
#else
enum {
    KVR__LEASE_FANOUT = 32,     /* entries of a tree node: its ids are four cache lines */
    KVR__LEASE_LOOKS_MAX = 1024 /* late keys that one call corrects, beyond what it names */
};
#endif
enum {
    KVR__LEASE_COUNT_MAX = 0x7fffffff, /* heap places are 32 bits */
    /* one more level takes half a fan-out times as many grants: never reached */
    KVR__LEASE_HEIGHT_MAX = 32
};

/* ------------------------------------------------------------------ one lease */

/* The leader's two questions about a lease; each has a heap. */
enum { KVR__LEASE_DUE = 0, KVR__LEASE_LAGGARD = 1, KVR__LEASE_HEAPS = 2 };

/* What the leader does with one lease (the followers know only id, TTL and record):
 *
 *   fresh     -> recording   named as a laggard                     [kvr_lease_laggards]
 *   recording -> recorded    the record was applied                 [kvr_lease_record, renewed > 0]
 *   recording -> fresh       the record was refused                 [kvr_lease_retry]
 *   recorded  -> fresh       the record of a renewal was applied    [kvr_lease_record, 0]
 *   any       -> named       due                                    [kvr_lease_due]
 *   named     -> as before   the revocation was refused             [kvr_lease_retry]
 *
 * While recording or recorded a renewal must be logged, else a new leader would go by the older
 * record and end the lease early. A fresh lease stands in both heaps, a recording or recorded one
 * in the due heap, a named one in neither. */
typedef struct kvr__lease {
    int64_t id;
    uint64_t ttl_ns;
    /* replicated: so that a revocation of an earlier life of the id is known */
    uint64_t granted_ns;
    /* replicated: last renewal that was logged; 0: none since the last that was not */
    uint64_t recorded_ns;
    uint64_t renewed_ns;              /* leader: TTL counts from here */
    uint32_t place[KVR__LEASE_HEAPS]; /* leader: in its heaps, from 1; 0: not in it */
    uint8_t is_recording;             /* leader: named as a laggard, the record is under way */
    uint8_t is_named;                 /* leader: named as due, the revocation is under way */
    uint8_t reserved[6];
} kvr__lease;

/* now + ttl and the like: the end of time instead of an overflow (FAULTS 126). */
static inline uint64_t kvr__lease_add(uint64_t a, uint64_t b)
{
    return a > UINT64_MAX - b ? UINT64_MAX : a + b;
}

/* The time of a lease's event, as the two heaps ask for it. */
static inline uint64_t kvr__lease_event(const kvr__lease *lease, uint32_t which)
{
    return kvr__lease_add(lease->renewed_ns,
                          which == KVR__LEASE_DUE ? lease->ttl_ns : lease->ttl_ns / 2);
}

/* ------------------------------------------------------------------ the set: leases by id */

/* A node of a B+tree. In a leaf kids[i] is the lease with ids[i]; above, kids[i] holds the ids from
 * ids[i] up to below ids[i + 1]. Ids may have left since, so the lowest may be above ids[i]. */
typedef struct kvr__lease_node {
    int64_t ids[KVR__LEASE_FANOUT]; /* ascending */
    void *kids[KVR__LEASE_FANOUT];
    struct kvr__lease_node *prev; /* leaves are chained in order; NULL above */
    struct kvr__lease_node *next;
    uint64_t count; /* at least 1 */
} kvr__lease_node;

typedef struct kvr__lease_set {
    kvr__slab *slab; /* holds nodes and leases; NULL: no set */
    kvr__lease_node *root;
    uint64_t hash;
    uint32_t height; /* levels; 0: empty */
    uint32_t count;
} kvr__lease_set;

/* Where an iteration stands. */
typedef struct kvr__lease_spot {
    const kvr__lease_node *leaf; /* NULL: at the end */
    uint64_t slot;
} kvr__lease_spot;

kvr__lease *kvr__lease_set_find(const kvr__lease_set *set, int64_t id); /* NULL: none */

/* Adds a lease that is not there, with nothing recorded. NULL: no memory, and nothing changed. */
kvr__lease *kvr__lease_set_add(kvr__lease_set *set, int64_t id, uint64_t ttl_ns,
                               uint64_t granted_ns);
void kvr__lease_set_remove(kvr__lease_set *set, kvr__lease *lease); /* frees it */
void kvr__lease_set_record(kvr__lease_set *set, kvr__lease *lease, uint64_t renewed_ns);

/* Before the first lease whose id is at or above `id`; then each in order, NULL at the end. */
kvr__lease_spot kvr__lease_set_seek(const kvr__lease_set *set, int64_t id);
kvr__lease *kvr__lease_set_next(kvr__lease_spot *spot);

/* What one lease adds to the hash of a set. */
uint64_t kvr__lease_hash(const kvr__lease *lease);

/* ------------------------------------------------------------------ the heaps: leases by time */

typedef struct kvr__lease_heap_entry {
    uint64_t key; /* at or before the event of the lease */
    kvr__lease *lease;
} kvr__lease_heap_entry;

typedef struct kvr__lease_heap {
    kvr__lease_heap_entry *entries;
    uint32_t count;
    uint32_t capacity;
    uint32_t which; /* KVR__LEASE_DUE or _LAGGARD */
    uint32_t reserved;
} kvr__lease_heap;

kvr_status kvr__lease_heap_reserve(kvr__lease_heap *heap, kvr__mem *mem, uint32_t count);
void kvr__lease_heap_release(kvr__lease_heap *heap, kvr__mem *mem);
void kvr__lease_heap_push(kvr__lease_heap *heap, kvr__lease *lease);   /* room was reserved */
void kvr__lease_heap_append(kvr__lease_heap *heap, kvr__lease *lease); /* anywhere: then _order */
void kvr__lease_heap_order(kvr__lease_heap *heap);                     /* O(count) */
void kvr__lease_heap_remove(kvr__lease_heap *heap, kvr__lease *lease); /* not inside: ignored */

/* The lease whose event is the first of all and not after now_ns, found by correcting late keys at
 * the top, each of which takes one from *looks. NULL: there is none, or the looks are used up. */
kvr__lease *kvr__lease_heap_first(kvr__lease_heap *heap, uint64_t now_ns, uint32_t *looks);

/* ------------------------------------------------------------------ the book */

/* Where a load stands within the stream. */
typedef struct kvr__lease_load {
    uint64_t left;        /* leases still to come */
    uint64_t hash;        /* of the whole set, as the header says */
    int64_t last_id;      /* of the set so far, if it is not empty */
    uint32_t record_size; /* bytes of a lease, as the header says */
    uint32_t filled;      /* bytes of `part` */
    uint32_t skip;        /* bytes still to come that a newer writer appended to the last unit */
    uint32_t phase;       /* LOAD_* of lease_snapshot.c */
    uint8_t part[32];     /* the beginning of a header or lease that the end of a piece cut */
} kvr__lease_load;

struct kvr_lease_book {
    kvr__mem mem;
    kvr__lease_set set;
    kvr__lease_heap heaps[KVR__LEASE_HEAPS];
    kvr__lease_set loading; /* slab NULL: no load under way */
    kvr__lease_load load;
    uint8_t leads;
    uint8_t reserved[7];
};

/* Invariants 1 to 8 of README.md. At the doors large books are spared: each check walks all
 * leases. */
void kvr__lease_check(const kvr_lease_book *book);
void kvr__lease_check_door(const kvr_lease_book *book);

#endif
