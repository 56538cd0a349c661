/* SPDX-License-Identifier: Apache-2.0 */
/* mvcc_shortcut.h: from a key straight to its newest record, past the tree: two cache misses
 * instead of four. It may forget a key (then the tree is asked) and is never wrong: so it needs no
 * memory that it cannot get, no undo, no deletes that must not fail, and no answer depends on it.
 *
 *   directory  2^depth entries, by the first bits of the key's hash (extendible hashing, Fagin
 *              1979)
 *   segment    32 buckets of 16 entries, by the last bits
 *   entry      a record's address (48 bits, of which 3 are zero) and 19 bits of the hash between
 *
 * Entries are live records that are the newest of their keys in the tree that is being changed:
 * while an apply is under way in slices, readers of the head must not use it. */
#ifndef KVRAFT_LIB_MVCC_SHORTCUT_H
#define KVRAFT_LIB_MVCC_SHORTCUT_H

#include "base/checksum.h"
#include "base/memory.h"
#include "mvcc_record.h"

enum {
    KVR__MVCC_BUCKET_ENTRIES = 16, /* two cache lines */
    KVR__MVCC_SEGMENT_BUCKETS = 32,
    KVR__MVCC_SEGMENT_ENTRIES = KVR__MVCC_BUCKET_ENTRIES * KVR__MVCC_SEGMENT_BUCKETS,
    KVR__MVCC_SEGMENT_FULL = KVR__MVCC_SEGMENT_ENTRIES * 3 / 4, /* then it is split */
    KVR__MVCC_TAG_BITS = 19,
    KVR__MVCC_TAG_LEAST = 10, /* bits of a tag that still tell keys of one bucket apart */
    KVR__MVCC_SHORTCUT_DEPTH_MAX = 28
};

/* It begins at a cache line, `skip` bytes behind the start of its block. */
typedef struct kvr__mvcc_shortcut_segment {
    uint64_t entries[KVR__MVCC_SEGMENT_ENTRIES]; /* 0: free */
    uint8_t depth;                               /* bits of the hash that its keys share */
    uint8_t base;                                /* tags are of the bits behind this many */
    uint8_t skip;
    uint8_t reserved[5];
} kvr__mvcc_shortcut_segment;

/* Several neighbours may name the same segment. Since segments begin at cache lines, the low bits
 * of an address are free for its `base`: so a search touches nothing of a segment but one
 * bucket. */
typedef uintptr_t kvr__mvcc_place;

typedef struct kvr__mvcc_shortcut {
    kvr__mem *mem;
    kvr__mvcc_place *directory; /* NULL: empty */
    uint64_t count;
    uint32_t depth;
    uint32_t reserved;
} kvr__mvcc_shortcut;

/* from now on it learns; if there is memory */
void kvr__mvcc_shortcut_start(kvr__mvcc_shortcut *shortcut);
void kvr__mvcc_shortcut_release(kvr__mvcc_shortcut *shortcut);

/* `record` is now the newest of its key, instead of `old` (NULL: there was none, or a deleted
 * one). */
void kvr__mvcc_shortcut_put(kvr__mvcc_shortcut *shortcut, uint64_t hash,
                            const kvr__mvcc_record *record, const kvr__mvcc_record *old);
/* What the tree had to be asked for, so that it need not be asked again. Never allocates. */
void kvr__mvcc_shortcut_learn(kvr__mvcc_shortcut *shortcut, uint64_t hash,
                              const kvr__mvcc_record *record);
void kvr__mvcc_shortcut_erase(kvr__mvcc_shortcut *shortcut, uint64_t hash,
                              const kvr__mvcc_record *record);

/* Calls `visit` for each entry. */
void kvr__mvcc_shortcut_walk(const kvr__mvcc_shortcut *shortcut,
                             void (*visit)(void *ctx, const kvr__mvcc_record *record), void *ctx);

static inline uint64_t kvr__mvcc_shortcut_hash(kvr_slice key)
{
    return kvr__xxh3_64(key.data, key.size);
}

static inline kvr__mvcc_place kvr__mvcc_shortcut_place(const kvr__mvcc_shortcut *shortcut,
                                                       uint64_t hash)
{
    /* Two shifts, for a depth of 0 is legal and a shift by 64 is not. */
    return shortcut->directory[hash >> 1 >> (63 - shortcut->depth)];
}

static inline kvr__mvcc_shortcut_segment *kvr__mvcc_shortcut_segment_of(kvr__mvcc_place place)
{
    return (kvr__mvcc_shortcut_segment *)(place & ~(uintptr_t)63);
}

static inline uint64_t *kvr__mvcc_shortcut_bucket(kvr__mvcc_place place, uint64_t hash)
{
    return kvr__mvcc_shortcut_segment_of(place)->entries +
           hash % KVR__MVCC_SEGMENT_BUCKETS * KVR__MVCC_BUCKET_ENTRIES;
}

/* An entry without its address: the upper 16 bits and the lower 3. */
static inline uint64_t kvr__mvcc_shortcut_tag(uint32_t base, uint64_t hash)
{
    uint64_t tag = hash << base >> (64 - KVR__MVCC_TAG_BITS);
    return tag >> 3 << 48 | (tag & 7);
}

static inline const kvr__mvcc_record *kvr__mvcc_shortcut_record(uint64_t entry)
{
    return (const kvr__mvcc_record *)(uintptr_t)(entry & 0xFFFFFFFFFFF8u);
}

/* Which entries of a bucket may be of the hash: a bit each. Without a branch a entry, so that the
 * processor runs on to the next search while this bucket is on its way. */
static inline uint32_t kvr__mvcc_shortcut_matches(const uint64_t *bucket, uint64_t tag)
{
    uint32_t matches = 0;
    for (uint32_t i = 0; i < KVR__MVCC_BUCKET_ENTRIES; i++) {
        matches |= (uint32_t)((bucket[i] & ~(uint64_t)0xFFFFFFFFFFF8u) == tag) << i;
    }
    return matches;
}

/* Starts to fetch what the next calls with this hash will read. */
KVR__MVCC_PREFETCHES kvr__mvcc_shortcut_prefetch(const kvr__mvcc_shortcut *shortcut, uint64_t hash)
{
    if (shortcut->directory != NULL) {
        const uint64_t *bucket =
            kvr__mvcc_shortcut_bucket(kvr__mvcc_shortcut_place(shortcut, hash), hash);
        __builtin_prefetch(bucket);
        __builtin_prefetch(bucket + KVR__MVCC_BUCKET_ENTRIES / 2);
    }
}

/* NULL: it does not know. */
static inline const kvr__mvcc_record *kvr__mvcc_shortcut_find(const kvr__mvcc_shortcut *shortcut,
                                                              kvr_slice key, uint64_t hash)
{
    if (shortcut->directory == NULL) {
        return NULL;
    }
    kvr__mvcc_place place = kvr__mvcc_shortcut_place(shortcut, hash);
    const uint64_t *bucket = kvr__mvcc_shortcut_bucket(place, hash);
    uint64_t tag = kvr__mvcc_shortcut_tag(place & 63, hash);
    __builtin_prefetch(bucket + KVR__MVCC_BUCKET_ENTRIES / 2);
    for (uint32_t i = 0; i < KVR__MVCC_BUCKET_ENTRIES; i++) {
        if ((bucket[i] & ~(uint64_t)0xFFFFFFFFFFF8u) != tag || bucket[i] == 0) {
            continue;
        }
        const kvr__mvcc_record *record = kvr__mvcc_shortcut_record(bucket[i]);
        kvr__mvcc_record_prefetch(record);
        if (record->key_size == key.size &&
            memcmp(kvr__mvcc_record_key(record), key.data, key.size) == 0) {
            return record;
        }
    }
    return NULL;
}

/* Starts to fetch the record that _find would give, without waiting for it. */
KVR__MVCC_PREFETCHES kvr__mvcc_shortcut_prefetch_record(const kvr__mvcc_shortcut *shortcut,
                                                        uint64_t hash)
{
    if (shortcut->directory == NULL) {
        return;
    }
    kvr__mvcc_place place = kvr__mvcc_shortcut_place(shortcut, hash);
    const uint64_t *bucket = kvr__mvcc_shortcut_bucket(place, hash);
    uint64_t tag = kvr__mvcc_shortcut_tag(place & 63, hash);
    for (uint32_t m = kvr__mvcc_shortcut_matches(bucket, tag); m != 0; m &= m - 1) {
        const kvr__mvcc_record *record = kvr__mvcc_shortcut_record(bucket[__builtin_ctz(m)]);
        kvr__mvcc_record_prefetch(record);
        __builtin_prefetch((const uint8_t *)record + 128);
    }
}

#endif
