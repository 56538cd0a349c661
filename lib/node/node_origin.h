/* SPDX-License-Identifier: Apache-2.0 */
/* node_origin.h: at most once. For each member that ever proposed: its newest incarnation and which
 * of that life's last 4,096 sequences were executed. Replicated state: it is changed by apply
 * alone, stands in snapshots and in the state hash.
 *
 *   seen:  1 .. low                 all of them, or older than the window, which counts as seen
 *          low + 1 .. low + 4096    those whose bit is set; the bit of low + 1 never is
 *
 * In the usual case sequences arrive in order, low follows at once, and there is no bitmap at
 * all. */
#ifndef KVRAFT_LIB_NODE_ORIGIN_H
#define KVRAFT_LIB_NODE_ORIGIN_H

#include "node_command.h"

enum {
    KVR__ORIGIN_WINDOW = 4096,
    KVR__ORIGIN_WORDS = KVR__ORIGIN_WINDOW / 64,
    KVR__ORIGINS_MAX = 1024 /* members; beyond it the one that was silent longest is forgotten */
};

typedef struct kvr__origin {
    uint64_t member;
    uint64_t incarnation;
    uint64_t low;
    uint64_t highest;    /* sequence seen; low if no bit is set */
    uint64_t last_index; /* of the entry seen last */
    uint64_t *bits;      /* sequence s at bit s % window; may be NULL while none is set */
} kvr__origin;

typedef struct kvr__origins {
    kvr__mem *mem;
    kvr__origin *items; /* in ascending order of member */
    uint64_t *spare;    /* NULL, or a clear bitmap that the next mark may take */
    uint32_t count;
    uint32_t capacity;
} kvr__origins;

void kvr__origins_init(kvr__origins *origins, kvr__mem *mem);
void kvr__origins_release(kvr__origins *origins); /* empties it; it may be used again */

/* The memory that marking `id` may need. KVR_ENOMEM. */
kvr_status kvr__origins_reserve(kvr__origins *origins, const kvr__origin_id *id);

/* True if it was executed, belongs to an earlier life of the member, or is older than the
 * window. */
bool kvr__origins_seen(const kvr__origins *origins, const kvr__origin_id *id);

/* The entry at `index` executes it; it was reserved, and not seen. */
void kvr__origins_mark(kvr__origins *origins, const kvr__origin_id *id, uint64_t index);

/* Encoded: u32 count, u32 0, then each: u64 member, incarnation, low, highest, last index, and if
 * highest > low its bits, 64 words of u64. Read fills an empty one: KVR_OK, KVR_ECORRUPT,
 * KVR_ENOMEM. */
size_t kvr__origins_size(const kvr__origins *origins);
void kvr__origins_write(const kvr__origins *origins, kvr__writer *writer);
kvr_status kvr__origins_read(kvr__origins *origins, kvr__reader *reader);

uint64_t kvr__origins_hash(const kvr__origins *origins);
void kvr__origins_check(const kvr__origins *origins); /* invariants 5 and 6 of README.md */

#endif
