/* SPDX-License-Identifier: Apache-2.0 */
/* mvcc_load_version.c: the versions in a block, one after the other, and whether a store could have made them: keys
 * ascend, versions of a key descend, each follows from the one before it, and nothing is there that a
 * compaction would have removed. So a content that was loaded keeps all promises of one that was written. */
#include "mvcc_load.h"

#include "base/array.h"

static bool has_next_older(const kvr__mvcc_load *load, const kvr__mvcc_record *record)
{
    return record->mod > load->expected.compacted;
}

/* Can `version` stand alone, whatever is around it? */
static bool is_sound(const kvr__mvcc_load *load, const kvr__mvcc_version *version)
{
    if (version->mod < 2 || version->mod > load->expected.revision) {
        return false;
    }
    if (version->tombstone) {
        return version->mod >= load->expected.compacted;
    }
    if (version->version == 1) {
        return version->create == version->mod;
    }
    return version->version > 1 && version->version >> 48 == 0 && version->create >= 2 &&
           version->create < version->mod;
}

/* Can `older` be the version right before `newer`? */
static bool can_precede(const kvr__mvcc_load *load, const kvr__mvcc_version *older,
                        const kvr__mvcc_record *newer)
{
    if (!has_next_older(load, newer) || older->mod >= newer->mod) {
        return false;
    }
    if (!kvr__mvcc_record_is_live(newer)) {
        return !older->tombstone;
    }
    uint64_t version = kvr__mvcc_record_version(newer);
    if (version == 1) {
        return older->tombstone;
    }
    return !older->tombstone && older->version == version - 1 && older->create == newer->create;
}

kvr_status kvr__mvcc_load_end_key(const kvr__mvcc_load *load)
{
    const kvr__mvcc_record *last = load->last;
    if (last == NULL || !has_next_older(load, last)) {
        return KVR_OK;
    }
    bool is_first = kvr__mvcc_record_is_live(last) && kvr__mvcc_record_version(last) == 1;
    return is_first ? KVR_OK : KVR_ECORRUPT;
}

/* ------------------------------------------------------------------ reading one */

/* False: short, or not written the one way there is. */
static bool read_version(kvr__mvcc_load *load, kvr__reader *r, kvr__mvcc_version *out, bool *out_is_older)
{
    uint8_t flags = kvr__read_u8(r);
    bool is_older = (flags & KVR__MVCC_FORMAT_OLDER) != 0;
    size_t key_size = is_older ? 0 : kvr__read_u16(r);
    size_t value_size = 0;
    *out = (kvr__mvcc_version){.tombstone = (flags & KVR__MVCC_FORMAT_TOMBSTONE) != 0};
    if (!out->tombstone) {
        value_size = kvr__read_u32(r);
    }
    out->mod = kvr__read_u64(r);
    if ((flags & KVR__MVCC_FORMAT_AGED) != 0) {
        out->create = kvr__read_u64(r);
        out->version = kvr__read_u64(r);
    } else if (!out->tombstone) {
        out->create = out->mod;
        out->version = 1;
    }
    if ((flags & KVR__MVCC_FORMAT_LEASED) != 0) {
        out->lease = (int64_t)kvr__read_u64(r);
    }
    if ((flags & KVR__MVCC_FORMAT_SUB) != 0) {
        out->sub = kvr__read_u32(r);
    }
    const uint8_t *key = kvr__read_bytes(r, key_size);
    const uint8_t *value = kvr__read_bytes(r, value_size);
    out->key = (kvr_slice){key, key_size};
    out->value = (kvr_slice){value, value_size};
    if (is_older && load->last != NULL) {
        out->key = kvr__mvcc_record_key_slice(load->last);
    }
    *out_is_older = is_older;
    bool is_canonical = ((flags & KVR__MVCC_FORMAT_AGED) == 0 || out->version != 1) &&
                        ((flags & KVR__MVCC_FORMAT_LEASED) == 0 || out->lease != 0) &&
                        ((flags & KVR__MVCC_FORMAT_SUB) == 0 || out->sub != 0);
    const uint8_t of_live_ones = KVR__MVCC_FORMAT_AGED | KVR__MVCC_FORMAT_LEASED;
    return !r->failed && flags <= KVR__MVCC_FORMAT_FLAGS && is_canonical && out->key.size > 0 &&
           value_size <= KVR_VALUE_BYTES_MAX && (!out->tombstone || (flags & of_live_ones) == 0);
}

static void add_to_head(kvr__mvcc_snap *head, const kvr__mvcc_record *record)
{
    if (kvr__mvcc_record_is_live(record)) {
        head->live_keys++;
        head->live_bytes += record->key_size + kvr__mvcc_record_value_size(record);
        head->hash_live += kvr__mvcc_record_hash(record);
    }
}

static kvr_status add_version(kvr__mvcc_load *load, const kvr__mvcc_version *version, bool is_older)
{
    kvr__mvcc_record *record = kvr__mvcc_record_new(load->content, version);
    if (record == NULL) {
        return KVR_ENOMEM;
    }
    if (is_older) {
        load->last->older = record; /* nobody has seen it yet */
    } else {
        if (kvr__mvcc_build_add(&load->builder, record) != KVR_OK) {
            return KVR_ENOMEM;
        }
        add_to_head(&load->content->head, record);
        if (kvr__mvcc_record_is_live(record)) {
            kvr__mvcc_shortcut_put(&load->content->shortcut, kvr__mvcc_shortcut_hash(version->key),
                                   record, NULL);
        }
        load->keys++;
    }
    load->last = record;
    if (record->mod < load->expected.compacted) {
        return KVR_OK;
    }
    kvr_status status =
        kvr__array_grow(load->mem, KVR__MEM_HANDLE, (void **)&load->changes, &load->change_capacity,
                        load->change_count + 1, sizeof(kvr__mvcc_record *));
    if (status == KVR_OK) {
        load->changes[load->change_count++] = record;
    }
    return status;
}

kvr_status kvr__mvcc_load_payload(kvr__mvcc_load *load, kvr_slice payload)
{
    kvr__reader r = kvr__reader_of(payload.data, payload.size);
    kvr_status status = KVR_OK;
    for (uint32_t i = 0; status == KVR_OK && i < load->block_versions; i++) {
        kvr__mvcc_version version;
        bool is_older;
        if (!read_version(load, &r, &version, &is_older) || !is_sound(load, &version)) {
            return KVR_ECORRUPT;
        }
        if (is_older) {
            if (load->last == NULL || !can_precede(load, &version, load->last)) {
                return KVR_ECORRUPT;
            }
        } else {
            status = kvr__mvcc_load_end_key(load);
            if (status == KVR_OK && load->builder.last != NULL &&
                kvr__mvcc_key_compare(kvr__mvcc_record_key_slice(load->builder.last),
                                      version.key) >= 0) {
                status = KVR_ECORRUPT;
            }
        }
        if (status == KVR_OK) {
            status = add_version(load, &version, is_older);
        }
    }
    if (status == KVR_OK && kvr__reader_left(&r) != 0) {
        status = KVR_ECORRUPT;
    }
    return status;
}

/* ------------------------------------------------------------------ the log by revision */

/* Where the changes of each main revision begin: counted, then summed. Each revision above the compacted one has
 * at least one, so `starts` is no larger than what was read. */
static kvr_status find_starts(const kvr__mvcc_load *load, uint64_t first, uint32_t mains,
                              uint32_t *starts)
{
    memset(starts, 0, ((size_t)mains + 1) * sizeof *starts);
    for (uint32_t i = 0; i < load->change_count; i++) {
        starts[load->changes[i]->mod - first + 1]++;
    }
    for (uint32_t i = 0; i < mains; i++) {
        if (starts[i + 1] == 0 && first + i > load->expected.compacted) {
            return KVR_ECORRUPT;
        }
        starts[i + 1] += starts[i];
    }
    return KVR_OK;
}

static kvr_status make_segments(kvr__mvcc_load *load)
{
    kvr__mvcc_content *content = load->content;
    while (content->history.end < load->change_count) {
        if (kvr__mvcc_history_room(content) != KVR_OK) {
            return KVR_ENOMEM;
        }
        kvr__mvcc_history_fill(content, &content->head, load->change_count);
    }
    return KVR_OK;
}

static kvr_status place_changes(kvr__mvcc_load *load, uint64_t first, const uint32_t *starts)
{
    for (uint32_t i = 0; i < load->change_count; i++) {
        kvr__mvcc_record *record = load->changes[i];
        uint64_t main_at = record->mod - first;
        uint64_t at = (uint64_t)starts[main_at] + record->sub;
        if (at >= starts[main_at + 1] || !kvr__mvcc_history_place(&load->content->history, at, record)) {
            return KVR_ECORRUPT;
        }
    }
    return KVR_OK;
}

kvr_status kvr__mvcc_load_history(kvr__mvcc_load *load)
{
    kvr__mvcc_content *content = load->content;
    const kvr__mvcc_snap *expected = &load->expected;
    uint64_t first = expected->compacted > 2 ? expected->compacted : 2;
    uint64_t mains = expected->revision < first ? 0 : expected->revision - first + 1;
    if (load->change_count != load->expected_changes || (uint64_t)load->change_count + 1 < mains) {
        return KVR_ECORRUPT;
    }
    size_t size = ((size_t)mains + 1) * sizeof(uint32_t);
    uint32_t *starts = kvr__mem_alloc(load->mem, KVR__MEM_HANDLE, size);
    if (starts == NULL) {
        return KVR_ENOMEM;
    }
    kvr_status status = find_starts(load, first, (uint32_t)mains, starts);
    if (status == KVR_OK) {
        status = make_segments(load);
    }
    if (status == KVR_OK) {
        status = place_changes(load, first, starts);
    }
    if (status == KVR_OK) {
        /* What compaction would find there was never written: only its own revision is to be looked at again. */
        uint64_t swept = mains > 0 && expected->compacted >= first ? starts[1] : 0;
        content->history.sweep = swept;
        content->history.swept = swept;
        content->history.goal = swept;
    }
    kvr__mem_free(load->mem, KVR__MEM_HANDLE, starts, size);
    return status;
}
