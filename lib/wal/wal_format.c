/* SPDX-License-Identifier: Apache-2.0 */
/* wal_format.c: encode and decode, nothing else: no handle, no file, no memory. The bytes may be
 * hostile, so there are no assertions on what is read. */
#include "wal_format.h"

#include "base/assertion.h"
#include "base/checksum.h"
#include "base/codec.h"
#include "base/entry.h"
#include "base/text.h"

enum { VERSION = 1, CHECKSUM_SIZE = 8, CHECKED_SIZE = KVR__WAL_HEAD_SIZE - CHECKSUM_SIZE };

static const char segment_magic[] = "KVRS";
static const char record_magic[] = "KVRR";
static const char vote_magic[] = "KVRV";
static const char snapshot_magic[] = "KVRP";
static const char tail_magic[] = "KVRT";

enum { MAGIC_SIZE = 4 };

static void head_begin(uint8_t *out, const char *magic, uint8_t kind)
{
    memset(out, 0, KVR__WAL_HEAD_SIZE);
    memcpy(out, magic, MAGIC_SIZE);
    kvr__store_u16(out + 4, KVR__WAL_HEAD_SIZE);
    out[6] = VERSION;
    out[7] = kind;
}

static uint64_t head_end(uint8_t *out, uint64_t seed)
{
    uint64_t checksum = kvr__xxh3_64_seed(out, CHECKED_SIZE, seed);
    kvr__store_u64(out + CHECKED_SIZE, checksum);
    return checksum;
}

static kvr_status head_check(kvr_slice bytes, const char *magic, uint64_t seed)
{
    if (bytes.size < KVR__WAL_HEAD_SIZE || memcmp(bytes.data, magic, MAGIC_SIZE) != 0) {
        return KVR_END;
    }
    size_t size = kvr__load_u16(bytes.data + 4);
    if (size < KVR__WAL_HEAD_SIZE || size > KVR__WAL_HEAD_SIZE_MAX || size % KVR__WAL_ALIGN != 0) {
        return KVR_ECORRUPT;
    }
    if (size > bytes.size) {
        return KVR_END;
    }
    size_t checked = size - CHECKSUM_SIZE;
    if (kvr__load_u64(bytes.data + checked) != kvr__xxh3_64_seed(bytes.data, checked, seed)) {
        return KVR_ECORRUPT;
    }
    if (bytes.data[6] != VERSION) {
        return KVR_EVERSION;
    }
    return KVR_OK;
}

/* ------------------------------------------------------------------ segments */

/* The head that begins a file stands where no entry ever did, and is read before it is known whose
 * the file is. */
static uint64_t segment_seed(uint64_t offset, uint64_t store_id)
{
    return offset == 0 ? 0 : store_id;
}

void kvr__wal_segment_head_write(uint8_t *out, const kvr__wal_segment_head *head, uint64_t store_id)
{
    head_begin(out, segment_magic, 0);
    kvr__store_u64(out + 8, head->number);
    kvr__store_u64(out + 16, head->offset);
    kvr__store_u64(out + 24, head->id);
    kvr__store_u64(out + 32, head->cluster_id);
    kvr__store_u64(out + 40, head->member_id);
    kvr__store_u64(out + 48, head->first_sequence);
    kvr__store_u64(out + 56, head->previous_checksum);
    kvr__store_u64(out + 64, head->last_index);
    kvr__store_u64(out + 72, head->key_id);
    (void)head_end(out, segment_seed(head->offset, store_id));
}

kvr_status kvr__wal_segment_head_read(kvr_slice bytes, uint64_t offset, uint64_t store_id,
                                      kvr__wal_segment_head *out)
{
    kvr_status status = head_check(bytes, segment_magic, segment_seed(offset, store_id));
    if (status != KVR_OK) {
        return status;
    }
    const uint8_t *p = bytes.data;
    *out = (kvr__wal_segment_head){
        .number = kvr__load_u64(p + 8),
        .offset = kvr__load_u64(p + 16),
        .id = kvr__load_u64(p + 24),
        .cluster_id = kvr__load_u64(p + 32),
        .member_id = kvr__load_u64(p + 40),
        .first_sequence = kvr__load_u64(p + 48),
        .previous_checksum = kvr__load_u64(p + 56),
        .last_index = kvr__load_u64(p + 64),
        .key_id = kvr__load_u64(p + 72),
    };
    return out->first_sequence > 0 && out->first_sequence <= KVR__WAL_NUMBER_MAX &&
                   out->last_index <= KVR__WAL_NUMBER_MAX
               ? KVR_OK
               : KVR_ECORRUPT;
}

/* ------------------------------------------------------------------ records */

void kvr__wal_record_write(uint8_t *out, kvr__wal_record *record, uint64_t store_id)
{
    KVR_ASSERT(record->kind >= KVR__WAL_APPEND);
    KVR_ASSERT(record->kind <= KVR__WAL_CARRY);
    KVR_ASSERT(record->offset % KVR__WAL_ALIGN == 0);
    KVR_ASSERT(record->durable_sequence < record->sequence);
    head_begin(out, record_magic, record->kind);
    kvr__store_u32(out + 12, record->entry_count);
    kvr__store_u64(out + 16, record->body_size);
    kvr__store_u64(out + 24, record->segment_id);
    kvr__store_u64(out + 32, record->offset);
    kvr__store_u64(out + 40, record->sequence);
    kvr__store_u64(out + 48, record->previous_checksum);
    kvr__store_u64(out + 56, record->durable_sequence);
    kvr__store_u64(out + 64, record->group_id);
    kvr__store_u64(out + 72, record->member_id);
    kvr__store_u64(out + 80, record->first_index);
    kvr__store_u64(out + 88, record->log_first);
    kvr__store_u64(out + 96, record->snapshot_index);
    kvr__store_u64(out + 104, record->vote_sequence);
    kvr__store_u64(out + 112, record->body_checksum);
    record->checksum = head_end(out, store_id);
}

kvr_status kvr__wal_record_read(kvr_slice bytes, uint64_t store_id, kvr__wal_record *out)
{
    kvr_status status = head_check(bytes, record_magic, store_id);
    if (status != KVR_OK) {
        return status;
    }
    const uint8_t *p = bytes.data;
    uint32_t head_size = kvr__load_u16(p + 4);
    kvr__wal_record record = {
        .kind = p[7],
        .head_size = head_size,
        .entry_count = kvr__load_u32(p + 12),
        .body_size = kvr__load_u64(p + 16),
        .segment_id = kvr__load_u64(p + 24),
        .offset = kvr__load_u64(p + 32),
        .sequence = kvr__load_u64(p + 40),
        .previous_checksum = kvr__load_u64(p + 48),
        .durable_sequence = kvr__load_u64(p + 56),
        .group_id = kvr__load_u64(p + 64),
        .member_id = kvr__load_u64(p + 72),
        .first_index = kvr__load_u64(p + 80),
        .log_first = kvr__load_u64(p + 88),
        .snapshot_index = kvr__load_u64(p + 96),
        .vote_sequence = kvr__load_u64(p + 104),
        .body_checksum = kvr__load_u64(p + 112),
        .checksum = kvr__load_u64(p + head_size - CHECKSUM_SIZE),
    };
    if (record.kind < KVR__WAL_APPEND || record.kind > KVR__WAL_CARRY) {
        return KVR_EVERSION;
    }
    if (record.sequence > KVR__WAL_NUMBER_MAX || record.durable_sequence >= record.sequence ||
        record.first_index > KVR__WAL_NUMBER_MAX) {
        return KVR_ECORRUPT;
    }
    *out = record;
    return KVR_OK;
}

/* ------------------------------------------------------------------ groups */

void kvr__wal_group_item_write(uint8_t out[KVR__WAL_ITEM_SIZE], const kvr__wal_group_item *item)
{
    memset(out, 0, KVR__WAL_ITEM_SIZE);
    kvr__store_u64(out, item->group_id);
    kvr__store_u64(out + 8, item->term);
    kvr__store_u64(out + 16, item->voted_for);
    kvr__store_u64(out + 24, item->incarnation);
    kvr__store_u64(out + 32, item->first_index);
    kvr__store_u64(out + 40, item->last_index);
    kvr__store_u64(out + 48, item->snapshot_index);
    kvr__store_u32(out + 56, item->flags);
}

bool kvr__wal_group_item_read(const uint8_t *bytes, kvr__wal_group_item *out)
{
    *out = (kvr__wal_group_item){
        .group_id = kvr__load_u64(bytes),
        .term = kvr__load_u64(bytes + 8),
        .voted_for = kvr__load_u64(bytes + 16),
        .incarnation = kvr__load_u64(bytes + 24),
        .first_index = kvr__load_u64(bytes + 32),
        .last_index = kvr__load_u64(bytes + 40),
        .snapshot_index = kvr__load_u64(bytes + 48),
        .flags = kvr__load_u32(bytes + 56),
    };
    bool resets = (out->flags & KVR__WAL_ITEM_RESET) != 0;
    return out->first_index > 0 && out->first_index <= KVR__WAL_NUMBER_MAX &&
           out->last_index <= KVR__WAL_NUMBER_MAX && out->first_index <= out->last_index + 1 &&
           (!resets || out->first_index == out->last_index + 1);
}

/* ------------------------------------------------------------------ term and vote */

void kvr__wal_vote_write(uint8_t *out, const kvr__wal_vote *vote)
{
    KVR_ASSERT(vote->kind <= KVR__WAL_STORE_OF_MANY);
    head_begin(out, vote_magic, vote->kind);
    kvr__store_u64(out + 8, vote->sequence);
    kvr__store_u64(out + 16, vote->cluster_id);
    kvr__store_u64(out + 24, vote->member_id);
    kvr__store_u64(out + 32, vote->group_id);
    kvr__store_u64(out + 40, vote->term);
    kvr__store_u64(out + 48, vote->voted_for);
    kvr__store_u64(out + 56, vote->incarnation);
    kvr__store_u64(out + 64, vote->record_sequence);
    kvr__store_u64(out + 72, vote->record_checksum);
    kvr__store_u64(out + 80, vote->store_id);
    (void)head_end(out, 0);
}

kvr_status kvr__wal_vote_read(kvr_slice bytes, kvr__wal_vote *out)
{
    kvr_status status = head_check(bytes, vote_magic, 0);
    if (status != KVR_OK) {
        return status;
    }
    const uint8_t *p = bytes.data;
    if (p[7] > KVR__WAL_STORE_OF_MANY) {
        return KVR_EVERSION;
    }
    *out = (kvr__wal_vote){
        .kind = p[7],
        .sequence = kvr__load_u64(p + 8),
        .cluster_id = kvr__load_u64(p + 16),
        .member_id = kvr__load_u64(p + 24),
        .group_id = kvr__load_u64(p + 32),
        .term = kvr__load_u64(p + 40),
        .voted_for = kvr__load_u64(p + 48),
        .incarnation = kvr__load_u64(p + 56),
        .record_sequence = kvr__load_u64(p + 64),
        .record_checksum = kvr__load_u64(p + 72),
        .store_id = kvr__load_u64(p + 80),
    };
    return out->sequence > 0 && out->sequence <= KVR__WAL_NUMBER_MAX ? KVR_OK : KVR_ECORRUPT;
}

/* ------------------------------------------------------------------ snapshots */

void kvr__wal_snapshot_head_write(uint8_t *out, const kvr__wal_snapshot_head *head)
{
    head_begin(out, snapshot_magic, 0);
    kvr__store_u64(out + 8, head->cluster_id);
    kvr__store_u64(out + 16, head->member_id);
    kvr__store_u64(out + 24, head->group_id);
    kvr__store_u64(out + 32, head->index);
    kvr__store_u64(out + 40, head->term);
    kvr__store_u64(out + 48, head->key_id);
    kvr__store_u32(out + 56, head->block_size);
    (void)head_end(out, 0);
}

kvr_status kvr__wal_snapshot_head_read(kvr_slice bytes, kvr__wal_snapshot_head *out)
{
    kvr_status status = head_check(bytes, snapshot_magic, 0);
    if (status != KVR_OK) {
        return status;
    }
    const uint8_t *p = bytes.data;
    *out = (kvr__wal_snapshot_head){
        .cluster_id = kvr__load_u64(p + 8),
        .member_id = kvr__load_u64(p + 16),
        .group_id = kvr__load_u64(p + 24),
        .index = kvr__load_u64(p + 32),
        .term = kvr__load_u64(p + 40),
        .key_id = kvr__load_u64(p + 48),
        .block_size = kvr__load_u32(p + 56),
    };
    return KVR_OK;
}

void kvr__wal_snapshot_tail_write(uint8_t *out, const kvr__wal_snapshot_tail *tail)
{
    head_begin(out, tail_magic, 0);
    kvr__store_u64(out + 8, tail->index);
    kvr__store_u64(out + 16, tail->term);
    kvr__store_u64(out + 24, tail->stream_size);
    kvr__store_u64(out + 32, tail->configuration_size);
    kvr__store_u64(out + 40, tail->table_checksum);
    memcpy(out + 48, tail->hash, sizeof tail->hash);
    (void)head_end(out, 0);
}

kvr_status kvr__wal_snapshot_tail_read(kvr_slice bytes, kvr__wal_snapshot_tail *out)
{
    kvr_status status = head_check(bytes, tail_magic, 0);
    if (status != KVR_OK) {
        return status;
    }
    const uint8_t *p = bytes.data;
    *out = (kvr__wal_snapshot_tail){
        .index = kvr__load_u64(p + 8),
        .term = kvr__load_u64(p + 16),
        .stream_size = kvr__load_u64(p + 24),
        .configuration_size = kvr__load_u64(p + 32),
        .table_checksum = kvr__load_u64(p + 40),
    };
    memcpy(out->hash, p + 48, sizeof out->hash);
    return KVR_OK;
}

/* ------------------------------------------------------------------ entries */

uint64_t kvr__wal_padded(uint64_t size)
{
    return (size + KVR__WAL_ALIGN - 1) / KVR__WAL_ALIGN * KVR__WAL_ALIGN;
}

kvr_status kvr__wal_entries_walk(kvr_slice bytes, uint64_t *index)
{
    uint64_t next = *index;
    while (bytes.size > 0) {
        kvr_entry entry;
        kvr_status status = kvr__entry_read(bytes, false, &entry);
        if (status == KVR_EVERSION) {
            return status;
        }
        if (status != KVR_OK || entry.index != next) {
            return KVR_ECORRUPT;
        }
        next++;
        bytes.data += entry.bytes.size;
        bytes.size -= entry.bytes.size;
    }
    *index = next;
    return KVR_OK;
}

/* ------------------------------------------------------------------ names */

static kvr__wal_name numbered(const char *prefix, uint64_t number)
{
    kvr__wal_name name;
    kvr__text text = kvr__text_in(name.text, sizeof name.text);
    kvr__text_add(&text, prefix);
    kvr__text_add_hex(&text, number);
    kvr__text_add(&text, KVR__WAL_LOG_SUFFIX);
    return name;
}

kvr__wal_name kvr__wal_name_log(uint64_t number)
{
    return numbered(KVR__WAL_LOG_PREFIX, number);
}

kvr__wal_name kvr__wal_name_ready(uint64_t number)
{
    return numbered(KVR__WAL_READY_PREFIX, number);
}

kvr__wal_name kvr__wal_name_snapshot(uint64_t index, uint64_t term)
{
    kvr__wal_name name;
    kvr__text text = kvr__text_in(name.text, sizeof name.text);
    kvr__text_add(&text, KVR__WAL_SNAPSHOT_PREFIX);
    kvr__text_add_hex(&text, index);
    kvr__text_add(&text, "-");
    kvr__text_add_hex(&text, term);
    return name;
}

kvr__wal_name kvr__wal_name_group_snapshot(uint64_t group_id, uint64_t index, uint64_t term)
{
    kvr__wal_name name;
    kvr__text text = kvr__text_in(name.text, sizeof name.text);
    kvr__text_add(&text, KVR__WAL_SNAPSHOT_PREFIX);
    kvr__text_add_hex(&text, group_id);
    kvr__text_add(&text, "-");
    kvr__text_add_hex(&text, index);
    kvr__text_add(&text, "-");
    kvr__text_add_hex(&text, term);
    return name;
}

kvr__wal_name kvr__wal_name_group_part(const char *prefix, uint64_t group_id)
{
    kvr__wal_name name;
    kvr__text text = kvr__text_in(name.text, sizeof name.text);
    kvr__text_add(&text, prefix);
    kvr__text_add_hex(&text, group_id);
    kvr__text_add(&text, KVR__WAL_PART_SUFFIX);
    return name;
}

/* True if `name` is exactly the name that `build` makes of the number that it holds. */
static bool is_numbered(const char *name, const char *prefix, uint64_t *out_number)
{
    uint64_t number;
    if (strncmp(name, prefix, strlen(prefix)) != 0 ||
        !kvr__text_read_hex(name + strlen(prefix), &number) || number > KVR__WAL_NUMBER_MAX ||
        strcmp(name, numbered(prefix, number).text) != 0) {
        return false;
    }
    *out_number = number;
    return true;
}

bool kvr__wal_name_is_log(const char *name, uint64_t *out_number)
{
    return is_numbered(name, KVR__WAL_LOG_PREFIX, out_number);
}

bool kvr__wal_name_is_ready(const char *name, uint64_t *out_number)
{
    return is_numbered(name, KVR__WAL_READY_PREFIX, out_number);
}

bool kvr__wal_name_is_snapshot(const char *name, uint64_t *out_index, uint64_t *out_term)
{
    const size_t prefix = sizeof KVR__WAL_SNAPSHOT_PREFIX - 1, digits = 16;
    uint64_t index, term;
    if (strncmp(name, KVR__WAL_SNAPSHOT_PREFIX, prefix) != 0 ||
        !kvr__text_read_hex(name + prefix, &index) || name[prefix + digits] != '-' ||
        !kvr__text_read_hex(name + prefix + digits + 1, &term) || index > KVR__WAL_NUMBER_MAX ||
        strcmp(name, kvr__wal_name_snapshot(index, term).text) != 0) {
        return false;
    }
    *out_index = index;
    *out_term = term;
    return true;
}

bool kvr__wal_name_is_group_snapshot(const char *name, uint64_t *out_group_id, uint64_t *out_index,
                                     uint64_t *out_term)
{
    const size_t prefix = sizeof KVR__WAL_SNAPSHOT_PREFIX - 1, digits = 16;
    const size_t size = prefix + 3 * digits + 2;
    uint64_t group_id, index, term;
    if (strlen(name) != size || strncmp(name, KVR__WAL_SNAPSHOT_PREFIX, prefix) != 0 ||
        !kvr__text_read_hex(name + prefix, &group_id) ||
        !kvr__text_read_hex(name + prefix + digits + 1, &index) ||
        !kvr__text_read_hex(name + prefix + 2 * digits + 2, &term) || index > KVR__WAL_NUMBER_MAX ||
        strcmp(name, kvr__wal_name_group_snapshot(group_id, index, term).text) != 0) {
        return false;
    }
    *out_group_id = group_id;
    *out_index = index;
    *out_term = term;
    return true;
}

bool kvr__wal_name_is_group_part(const char *name, uint64_t *out_group_id)
{
    static const char *const prefixes[] = {KVR__WAL_LOCAL_PREFIX, KVR__WAL_RECEIVED_PREFIX};
    for (size_t i = 0; i < sizeof prefixes / sizeof prefixes[0]; i++) {
        size_t size = strlen(prefixes[i]);
        if (strncmp(name, prefixes[i], size) == 0 &&
            kvr__text_read_hex(name + size, out_group_id) &&
            strcmp(name, kvr__wal_name_group_part(prefixes[i], *out_group_id).text) == 0) {
            return true;
        }
    }
    return false;
}
