/* SPDX-License-Identifier: Apache-2.0 */
/* node_hash.h: the state hash: a chain over the outcome of each applied entry, remembered at the
 * last 64 indices divisible by 1,024. Equal on all members at equal index, or one of them is wrong.
 * The points are replicated state and stand in snapshots, so a member that was installed can be
 * compared at once; what the others claim is this member's own affair. */
#ifndef KVRAFT_LIB_NODE_HASH_H
#define KVRAFT_LIB_NODE_HASH_H

#include "base/codec.h"
#include "base/memory.h"

enum {
    KVR__HASH_EVERY = 1024,
    KVR__HASHES_KEPT = 64,
    KVR__CLAIMS_KEPT = 8 /* of each member, newest last */
};

typedef struct kvr__hash_point {
    uint64_t index;
    uint64_t chain;
} kvr__hash_point;

/* What another member says of itself. */
typedef struct kvr__hash_claims {
    uint64_t member;
    kvr__hash_point points[KVR__CLAIMS_KEPT]; /* in ascending order of index */
    uint32_t count;
    uint32_t reserved;
} kvr__hash_claims;

typedef struct kvr__hashes {
    kvr__mem *mem;
    kvr__hash_point *points; /* in ascending order of index */
    kvr__hash_claims *claims;
    uint32_t count;
    uint32_t capacity;
    uint32_t claims_count;
    uint32_t claims_capacity;
    /* when the newest point is posted next; UINT64_MAX: everybody has told theirs */
    uint64_t post_ns;
    uint64_t doubt_ns; /* when an undecided difference stops writes; UINT64_MAX: there is none */
    bool judge;        /* a point or claim is new */
    uint8_t reserved[7];
} kvr__hashes;

/* What an applied entry adds to the chain. */
typedef struct kvr__hash_outcome {
    uint64_t index;
    uint64_t revision;    /* of the store after it */
    uint64_t store_chain; /* of the store after it */
    int32_t status;
    uint32_t kind; /* of the command; 256 + kind of an entry that is none */
} kvr__hash_outcome;

uint64_t kvr__hash_fold(uint64_t chain, const kvr__hash_outcome *outcome);

void kvr__hashes_init(kvr__hashes *hashes, kvr__mem *mem);
void kvr__hashes_release(kvr__hashes *hashes);
kvr_status kvr__hashes_reserve(kvr__hashes *hashes); /* room for one point. KVR_ENOMEM */
void kvr__hashes_add(kvr__hashes *hashes, uint64_t index, uint64_t chain); /* reserved */

/* Encoded: u32 count, u32 0, then each: u64 index, u64 chain. Read fills an empty one: KVR_OK,
 * KVR_ECORRUPT, KVR_ENOMEM. */
size_t kvr__hashes_size(const kvr__hashes *hashes);
void kvr__hashes_write(const kvr__hashes *hashes, kvr__writer *writer);
kvr_status kvr__hashes_read(kvr__hashes *hashes, kvr__reader *reader);

/* Moves the points of `from` in the place of this one's; claims stay. */
void kvr__hashes_take_points(kvr__hashes *hashes, kvr__hashes *from);

/* Remembers what `member` claims. KVR_ENOMEM: it is not, and will claim again. */
kvr_status kvr__hashes_claim(kvr__hashes *hashes, uint64_t member, const kvr__hash_point *point);
const kvr__hash_point *kvr__hashes_claimed(const kvr__hashes *hashes, uint64_t member,
                                           uint64_t index);

#endif
