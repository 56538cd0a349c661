/* SPDX-License-Identifier: Apache-2.0 */
/* mvcc_record.c: making, hashing and freeing records. The hash is what members compare, so it is
 * over values and little-endian numbers only: not over pointers, padding, or where the value is
 * kept. */
#include "mvcc_internal.h"

#include "base/buffer.h"
#include "base/checksum.h"

static uint64_t hash_of(const kvr__mvcc_record *record, kvr_slice value)
{
    uint8_t words[64];
    kvr__store_u64(words, kvr__xxh3_64(kvr__mvcc_record_key(record), record->key_size));
    kvr__store_u64(words + 8, kvr__xxh3_64(value.data, value.size));
    kvr__store_u64(words + 16, record->mod);
    kvr__store_u64(words + 24, record->create);
    kvr__store_u64(words + 32, kvr__mvcc_record_version(record));
    kvr__store_u64(words + 40, (uint64_t)record->lease);
    kvr__store_u64(words + 48, record->sub);
    kvr__store_u64(words + 56, kvr__mvcc_record_is_live(record));
    return kvr__xxh3_64(words, sizeof words);
}

uint64_t kvr__mvcc_record_hash(const kvr__mvcc_record *record)
{
    if ((record->value & KVR__MVCC_KEPT_HASH) != 0) {
        uint64_t hash;
        memcpy(&hash, record + 1, sizeof hash);
        return hash;
    }
    return hash_of(record, kvr__mvcc_record_value_slice(record));
}

size_t kvr__mvcc_record_size(const kvr__mvcc_record *record)
{
    bool is_shared = (record->value & KVR__MVCC_SHARED) != 0;
    return sizeof *record + kvr__mvcc_record_skip(record) + record->key_size +
           (is_shared ? 0 : kvr__mvcc_record_value_size(record));
}

static uint32_t flags_of(const kvr__mvcc_version *version)
{
    uint32_t flags = version->tombstone ? KVR__MVCC_TOMBSTONE : 0;
    if (version->value.size > KVR__MVCC_HASHED) {
        flags |= KVR__MVCC_KEPT_HASH;
    }
    if (version->value.size > KVR_MVCC_SHARE_BYTES && version->owner != NULL) {
        flags |= KVR__MVCC_SHARED;
    }
    return flags;
}

kvr__mvcc_record *kvr__mvcc_record_new(kvr__mvcc_content *content, const kvr__mvcc_version *version)
{
    kvr__mvcc_record head = {
        .mod = version->mod,
        .create = version->create,
        .lease = version->lease,
        .older = version->older,
        .version_low = (uint32_t)version->version,
        .version_high = (uint16_t)(version->version >> 32),
        .key_size = (uint16_t)version->key.size,
        .sub = version->sub,
        .value = (uint32_t)version->value.size | flags_of(version),
    };
    KVR_ASSERT(version->version >> 48 == 0);
    kvr__mvcc_record *record = kvr__slab_alloc(content->records, kvr__mvcc_record_size(&head));
    if (record == NULL) {
        return NULL;
    }
    *record = head;
    uint8_t *key = (uint8_t *)(record + 1) + kvr__mvcc_record_skip(record);
    memcpy(key, version->key.data, version->key.size);
    if ((head.value & KVR__MVCC_SHARED) != 0) {
        kvr__mvcc_share *share = kvr__mvcc_record_share(record);
        share->buf = kvr_buf_retain(version->owner);
        share->value = version->value.data;
        kvr__list_push_back(&content->shared, &share->link);
    } else if (version->value.size > 0) {
        memcpy(key + version->key.size, version->value.data, version->value.size);
    }
    if ((head.value & KVR__MVCC_KEPT_HASH) != 0) {
        uint64_t hash = hash_of(record, version->value);
        memcpy(record + 1, &hash, sizeof hash);
    }
    content->versions++;
    return record;
}

void kvr__mvcc_record_free(kvr__mvcc_content *content, kvr__mvcc_record *record)
{
    if ((record->value & KVR__MVCC_SHARED) != 0) {
        kvr__mvcc_share *share = kvr__mvcc_record_share(record);
        kvr__list_remove(&share->link);
        kvr_buf_release(share->buf);
    }
    kvr__slab_free(content->records, record, kvr__mvcc_record_size(record));
}

void kvr__mvcc_record_discard(kvr__mvcc_content *content, kvr__mvcc_record *record)
{
    KVR_ASSERT(content->versions > 0);
    content->versions--;
    kvr__mvcc_record_free(content, record);
}

const kvr__mvcc_record *kvr__mvcc_record_as_of(const kvr__mvcc_record *newest, uint64_t revision,
                                               uint64_t compacted)
{
    KVR_ASSERT(revision >= compacted);
    const kvr__mvcc_record *record = newest;
    while (record != NULL && record->mod > revision) {
        /* mod > revision >= compacted: its older one is still there. */
        record = record->older;
    }
    return record;
}
