/* SPDX-License-Identifier: Apache-2.0 */
/* mvcc_record.h: one version of one key, in one block, never modified once it is published.
 *
 *   +--------+--------+---------+-----+-------+
 *   | record | [hash] | [share] | key | value |     [hash]  if the value is over KVR__MVCC_HASHED
 *                                                   bytes
 *   +--------+--------+---------+-----+-------+     [share] if the value lies in a kvr_buf: then no
 *                                                   value here
 *
 * 48 bytes before the key. The fields are packed so because there is one of these a key and
 * version. */
#ifndef KVRAFT_LIB_MVCC_RECORD_H
#define KVRAFT_LIB_MVCC_RECORD_H

#include <kvraft/mvcc.h>

#include "base/list.h"
#include "base/slab.h"

#include <string.h>

enum {
    /* values above this keep their hash: an overwrite need not read them again */
    KVR__MVCC_HASHED = 256,
    KVR__MVCC_VALUE_BITS = 24, /* of `value`: the size; above it flags */
    KVR__MVCC_TOMBSTONE = 1 << 24,
    KVR__MVCC_SHARED = 1 << 25,
    KVR__MVCC_KEPT_HASH = 1 << 26
};

typedef struct kvr__mvcc_content kvr__mvcc_content;

typedef struct kvr__mvcc_record {
    uint64_t mod;
    uint64_t create; /* 0 in a tombstone */
    int64_t lease;
    struct kvr__mvcc_record *older; /* may dangle once mod <= the compacted revision: invariant 1 */
    uint32_t version_low;
    uint16_t version_high; /* 48 bits: at a million puts a second to one key, nine years */
    uint16_t key_size;
    uint32_t sub;
    uint32_t value; /* size and flags */
} kvr__mvcc_record;

_Static_assert(sizeof(kvr__mvcc_record) == 48, "the bytes a key beyond key and value are counted");
_Static_assert((int32_t)KVR_VALUE_BYTES_MAX < 1 << KVR__MVCC_VALUE_BITS,
               "it fits beside the flags");
_Static_assert(KVR_KEY_BYTES_MAX <= UINT16_MAX, "key_size");

typedef struct kvr__mvcc_share {
    kvr_buf *buf; /* a count of it */
    const uint8_t *value;
    kvr__list link; /* content->shared */
} kvr__mvcc_share;

/* What a record is made from. `value.data` NULL with size 0 and `tombstone`: a delete. */
typedef struct kvr__mvcc_version {
    kvr_slice key;
    kvr_slice value;
    kvr_buf *owner; /* NULL, or what `value` lies in */
    kvr__mvcc_record *older;
    uint64_t mod;
    uint64_t create;
    uint64_t version;
    int64_t lease;
    uint32_t sub;
    bool tombstone;
} kvr__mvcc_version;

static inline bool kvr__mvcc_record_is_live(const kvr__mvcc_record *record)
{
    return (record->value & KVR__MVCC_TOMBSTONE) == 0;
}

static inline uint64_t kvr__mvcc_record_version(const kvr__mvcc_record *record)
{
    return record->version_low | (uint64_t)record->version_high << 32;
}

static inline size_t kvr__mvcc_record_value_size(const kvr__mvcc_record *record)
{
    return record->value & ((1u << KVR__MVCC_VALUE_BITS) - 1);
}

/* Bytes between the record and its key. */
static inline size_t kvr__mvcc_record_skip(const kvr__mvcc_record *record)
{
    if (__builtin_expect((record->value & (KVR__MVCC_SHARED | KVR__MVCC_KEPT_HASH)) == 0, 1)) {
        return 0;
    }
    return ((record->value & KVR__MVCC_KEPT_HASH) != 0 ? sizeof(uint64_t) : 0) +
           ((record->value & KVR__MVCC_SHARED) != 0 ? sizeof(kvr__mvcc_share) : 0);
}

static inline const uint8_t *kvr__mvcc_record_key(const kvr__mvcc_record *record)
{
    return (const uint8_t *)(record + 1) + kvr__mvcc_record_skip(record);
}

static inline kvr__mvcc_share *kvr__mvcc_record_share(const kvr__mvcc_record *record)
{
    return (kvr__mvcc_share *)((uintptr_t)(record + 1) + sizeof(uint64_t));
}

static inline kvr_slice kvr__mvcc_record_key_slice(const kvr__mvcc_record *record)
{
    return (kvr_slice){kvr__mvcc_record_key(record), record->key_size};
}

static inline kvr_slice kvr__mvcc_record_value_slice(const kvr__mvcc_record *record)
{
    const uint8_t *data = kvr__mvcc_record_key(record) + record->key_size;
    if ((record->value & KVR__MVCC_SHARED) != 0) {
        data = kvr__mvcc_record_share(record)->value;
    }
    return (kvr_slice){data, kvr__mvcc_record_value_size(record)};
}

static inline void kvr__mvcc_record_kv(const kvr__mvcc_record *record, kvr_kv *out_kv)
{
    *out_kv = (kvr_kv){
        .key = kvr__mvcc_record_key_slice(record),
        .value = kvr__mvcc_record_value_slice(record),
        .create_revision = record->create,
        .mod_revision = record->mod,
        .mod_sub = record->sub,
        .version = kvr__mvcc_record_version(record),
        .lease = record->lease,
    };
}

/* A function that only prefetches has no effect in the eyes of gcc, which drops calls of it unless
 * they are gone before it looks: so all of them are of this kind. */
#define KVR__MVCC_PREFETCHES static inline __attribute__((always_inline)) void

KVR__MVCC_PREFETCHES kvr__mvcc_record_prefetch(const kvr__mvcc_record *record)
{
    __builtin_prefetch(record);
    __builtin_prefetch((const uint8_t *)record + 64);
}

/* Copies key and value (or shares the owner of a large value). NULL: no memory. */
kvr__mvcc_record *kvr__mvcc_record_new(kvr__mvcc_content *content,
                                       const kvr__mvcc_version *version);
void kvr__mvcc_record_free(kvr__mvcc_content *content, kvr__mvcc_record *record);
/* never published */
void kvr__mvcc_record_discard(kvr__mvcc_content *content, kvr__mvcc_record *record);
size_t kvr__mvcc_record_size(const kvr__mvcc_record *record); /* of its block */

/* Of key, value and all metadata; the same however the value is stored. */
uint64_t kvr__mvcc_record_hash(const kvr__mvcc_record *record);

#endif
