/* SPDX-License-Identifier: Apache-2.0 */
/* mvcc_load_version.c: the versions in a block, one after the other, and whether a store could have
 * made them: keys ascend, versions of a key descend, each follows from the one before it, and
 * nothing is there that a compaction would have removed. So a content that was loaded keeps all
 * promises of one that was written. */
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
static bool read_version(kvr__mvcc_load *load, kvr__reader *r, kvr__mvcc_version *out,
                         bool *out_is_older)
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

/* The one that came sixteen before goes into the shortcut: by now its bucket is here. What is left
 * at the end of a load is not learned: the shortcut may forget. */
static void learn(kvr__mvcc_load *load, kvr__mvcc_record *record)
{
    kvr__mvcc_shortcut *shortcut = &load->content->shortcut;
    uint64_t hash = kvr__mvcc_shortcut_hash(kvr__mvcc_record_key_slice(record));
    uint64_t at = load->learn_count++ % KVR__MVCC_LOAD_LEARN;
    if (load->learn[at].record != NULL) {
        kvr__mvcc_shortcut_put(shortcut, load->learn[at].hash, load->learn[at].record, NULL);
    }
    load->learn[at].record = record;
    load->learn[at].hash = hash;
    kvr__mvcc_shortcut_prefetch(shortcut, hash);
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
            learn(load, record);
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

/* The changes in order. Each revision above the compacted one has at least one, so neither array is
 * larger than what was read. */
typedef struct order {
    kvr__mvcc_record **sorted;
    /* index of the first change of each revision, and the end. NULL: each has just one */
    uint32_t *starts;
    uint64_t first; /* the first revision, */
    uint64_t mains; /* and how many there are */
} order;

static uint64_t start_of(const order *o, uint64_t main_at)
{
    return o->starts == NULL ? main_at : o->starts[main_at];
}

static kvr_status find_starts(const kvr__mvcc_load *load, order *o)
{
    memset(o->starts, 0, ((size_t)o->mains + 1) * sizeof *o->starts);
    for (uint32_t i = 0; i < load->change_count; i++) {
        o->starts[load->changes[i]->mod - o->first + 1]++;
    }
    for (uint64_t i = 0; i < o->mains; i++) {
        if (o->starts[i + 1] == 0 && o->first + i > load->expected.compacted) {
            return KVR_ECORRUPT;
        }
        o->starts[i + 1] += o->starts[i];
    }
    return KVR_OK;
}

/* As many places as changes, and no two in one: so all are filled. */
static kvr_status sort_changes(const kvr__mvcc_load *load, const order *o)
{
    memset(o->sorted, 0, load->change_count * sizeof *o->sorted);
    for (uint32_t i = 0; i < load->change_count; i++) {
        kvr__mvcc_record *record = load->changes[i];
        uint64_t main_at = record->mod - o->first;
        uint64_t at = start_of(o, main_at) + record->sub;
        if (at >= start_of(o, main_at + 1) || o->sorted[at] != NULL) {
            return KVR_ECORRUPT;
        }
        o->sorted[at] = record;
    }
    return KVR_OK;
}

static kvr_status push_changes(kvr__mvcc_load *load, const order *o)
{
    for (uint32_t i = 0; i < load->change_count; i++) {
        if (kvr__mvcc_history_room(load->content) != KVR_OK) {
            return KVR_ENOMEM;
        }
        kvr__mvcc_history_push(load->content, &load->content->head, o->sorted[i]);
    }
    return KVR_OK;
}

kvr_status kvr__mvcc_load_history(kvr__mvcc_load *load)
{
    kvr__mvcc_history *history = &load->content->history;
    const kvr__mvcc_snap *expected = &load->expected;
    order o = {.first = expected->compacted > 2 ? expected->compacted : 2};
    o.mains = expected->revision < o.first ? 0 : expected->revision - o.first + 1;
    if (load->change_count != load->expected_changes ||
        (uint64_t)load->change_count + 1 < o.mains) {
        return KVR_ECORRUPT;
    }
    if (load->change_count == 0) {
        return o.mains == 0 || expected->revision == expected->compacted ? KVR_OK : KVR_ECORRUPT;
    }
    size_t starts_size = ((size_t)o.mains + 1) * sizeof *o.starts;
    size_t sorted_size = load->change_count * sizeof *o.sorted;
    o.sorted = kvr__mem_alloc(load->mem, KVR__MEM_HANDLE, sorted_size);
    if (o.sorted == NULL) {
        return KVR_ENOMEM;
    }
    kvr_status status = load->change_count == o.mains ? sort_changes(load, &o) : KVR_ECORRUPT;
    if (status != KVR_OK) { /* not one change a revision, so they have to be counted */
        o.starts = kvr__mem_alloc(load->mem, KVR__MEM_HANDLE, starts_size);
        status = o.starts == NULL ? KVR_ENOMEM : find_starts(load, &o);
        if (status == KVR_OK) {
            status = sort_changes(load, &o);
        }
    }
    if (status == KVR_OK) {
        status = push_changes(load, &o);
    }
    if (status == KVR_OK && expected->compacted >= o.first) {
        /* What a sweep would find was not written: only the compacted revision is to be looked at
         * again. */
        history->sweep = start_of(&o, 1);
        history->swept = history->sweep;
        history->goal = history->sweep;
    }
    kvr__mem_free(load->mem, KVR__MEM_HANDLE, o.starts, starts_size);
    kvr__mem_free(load->mem, KVR__MEM_HANDLE, o.sorted, sorted_size);
    return status;
}
