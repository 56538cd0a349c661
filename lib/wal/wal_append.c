/* SPDX-License-Identifier: Apache-2.0 */
/* wal_append.c: one batch: written, flushed, and only then part of the logs. The entries of as many
 * requests of a group as follow one another become one record; the records of as many groups as
 * wait go through one buffer into one write and one flush (group commit), so the cost of a flush is
 * shared by all who wait for it. Nothing of the handle changes before the flush has succeeded
 * (W3). */
#include "wal_internal.h"

#include "base/array.h"
#include "base/assertion.h"
#include "base/buggify.h"

/* Bytes on their way through the write buffer into the segment. */
typedef struct writer {
    kvr_wal *wal;
    uint64_t offset; /* of the first byte in the buffer */
    size_t size;     /* bytes in the buffer */
} writer;

static kvr_status write_out(writer *out)
{
    kvr_wal *wal = out->wal;
    kvr_slice bytes = {wal->write_buffer, out->size};
    kvr_status status = kvr__wal_files_write(wal, &wal->file, bytes, out->offset);
    out->offset += out->size;
    out->size = 0;
    return status;
}

static kvr_status put(writer *out, const uint8_t *data, size_t size)
{
    size_t capacity = out->wal->config.batch_bytes;
    while (size > 0) {
        if (out->size == capacity) {
            kvr_status status = write_out(out);
            if (status != KVR_OK) {
                return status;
            }
        }
        size_t now = capacity - out->size < size ? capacity - out->size : size;
        memcpy(out->wal->write_buffer + out->size, data, now);
        out->size += now;
        data += now;
        size -= now;
    }
    return KVR_OK;
}

static const uint8_t zeros[KVR__WAL_ALIGN];

static size_t padding(const kvr__wal_content *content)
{
    return (size_t)(kvr__wal_padded(content->body_size) - content->body_size);
}

static uint64_t body_checksum(kvr_wal *wal, const kvr__wal_content *content)
{
    kvr_slice items = kvr__wal_content_items(content);
    kvr__xxh3_reset(&wal->hash);
    kvr__xxh3_update(&wal->hash, items.data, items.size);
    for (uint32_t i = 0; i < content->request_count; i++) {
        const kvr_store_request *request = content->requests[i];
        for (uint32_t j = 0; j < request->piece_count; j++) {
            kvr__xxh3_update(&wal->hash, request->pieces[j].data, request->pieces[j].size);
        }
    }
    kvr__xxh3_update(&wal->hash, zeros, padding(content));
    return kvr__xxh3_digest_64(&wal->hash);
}

static kvr_status put_body(writer *out, const kvr__wal_content *content)
{
    kvr_slice items = kvr__wal_content_items(content);
    kvr_status status = put(out, items.data, items.size);
    for (uint32_t i = 0; i < content->request_count && status == KVR_OK; i++) {
        const kvr_store_request *request = content->requests[i];
        for (uint32_t j = 0; j < request->piece_count && status == KVR_OK; j++) {
            status = put(out, request->pieces[j].data, request->pieces[j].size);
        }
    }
    return status == KVR_OK ? put(out, zeros, padding(content)) : status;
}

/* ------------------------------------------------------------------ one write */

static kvr_status put_segment_head(kvr_wal *wal, writer *out, uint64_t *out_id)
{
    kvr_status status = kvr__wal_files_random(wal, out_id);
    if (status != KVR_OK) {
        return status;
    }
    const kvr__wal_segment_head head = {
        .number = kvr__wal_segment_last(wal)->number,
        .offset = out->offset,
        .id = *out_id,
        .cluster_id = wal->config.cluster_id,
        .member_id = wal->config.member_id,
        .first_sequence = wal->sequence + 1,
        .previous_checksum = wal->checksum,
        .last_index = kvr__wal_group_is_many(wal) ? 0 : wal->groups.items[0]->last_index,
    };
    uint8_t bytes[KVR__WAL_HEAD_SIZE];
    kvr__wal_segment_head_write(bytes, &head, wal->vote.store_id);
    return put(out, bytes, sizeof bytes);
}

static void fill_record(kvr_wal *wal, kvr__wal_content *content)
{
    const kvr__wal_group *group = content->group;
    kvr__wal_record *record = &content->record;
    *record = (kvr__wal_record){
        .kind = content->kind,
        .head_size = KVR__WAL_HEAD_SIZE,
        .entry_count = content->entry_count,
        .body_size = content->body_size,
        .sequence = wal->sequence + 1,
        .previous_checksum = wal->checksum,
        .durable_sequence = wal->sequence,
        .member_id = wal->config.member_id,
        .vote_sequence = wal->vote.sequence,
        .body_checksum = body_checksum(wal, content),
    };
    if (group != NULL) {
        const kvr__wal_snapshot *snapshot = kvr__wal_snapshot_newest(group);
        bool resets = content->kind == KVR__WAL_RESET;
        record->group_id = group->id;
        record->first_index = content->first_index;
        record->log_first = resets ? content->first_index : group->first_index;
        record->snapshot_index = snapshot == NULL ? 0 : snapshot->index;
        KVR_ASSERT(kvr__wal_log_refuses(group, record) == NULL);
    }
}

/* Puts the record behind `before`, the one before it in this write; NULL: the first. */
static kvr_status put_record(writer *out, kvr__wal_content *content, uint64_t segment_id,
                             const kvr__wal_record *before)
{
    kvr_wal *wal = out->wal;
    kvr__wal_record *record = &content->record;
    fill_record(wal, content);
    if (before != NULL) {
        record->sequence = before->sequence + 1;
        record->previous_checksum = before->checksum;
    }
    record->segment_id = segment_id;
    record->offset = out->offset + out->size;
    content->place = (kvr__wal_place){
        .number = kvr__wal_segment_last(wal)->number,
        .offset = record->offset,
        .segment_id = segment_id,
        .sequence = record->sequence,
        .checksum = record->previous_checksum,
    };
    uint8_t head[KVR__WAL_HEAD_SIZE];
    kvr__wal_record_write(head, record, wal->vote.store_id);
    kvr_status status = put(out, head, sizeof head);
    return status == KVR_OK ? put_body(out, content) : status;
}

/* Writes and flushes the batch; *out_end becomes the offset behind it. */
static kvr_status write_batch(kvr_wal *wal, uint64_t *segment_id, uint64_t *out_end)
{
    writer out = {.wal = wal, .offset = kvr__wal_segment_last(wal)->end};
    kvr_status status = wal->head_due ? put_segment_head(wal, &out, segment_id) : KVR_OK;
    const kvr__wal_record *before = NULL;
    for (uint32_t i = 0; i < wal->batch.count && status == KVR_OK; i++) {
        status = put_record(&out, &wal->batch.items[i], *segment_id, before);
        before = &wal->batch.items[i].record;
    }
    if (status == KVR_OK) {
        status = write_out(&out);
    }
    if (status == KVR_OK) {
        status = kvr__wal_files_flush(wal, &wal->file);
    }
    *out_end = out.offset;
    return status;
}

/* ------------------------------------------------------------------ the batch */

static kvr_status no_memory(kvr_wal *wal)
{
    return kvr__wal_files_report(wal, &(kvr__wal_damage){.status = KVR_ENOSPACE,
                                                         .file = "",
                                                         .what = "no memory for an append",
                                                         .remedy = "it will be asked for again"});
}

static void begin_batch(kvr_wal *wal)
{
    wal->batch.count = 0;
}

/* `content` is copied. A log that does not continue its snapshot begins anew with it. */
static kvr_status add_to_batch(kvr_wal *wal, const kvr__wal_content *content)
{
    kvr_status status =
        kvr__array_grow(&wal->mem, KVR__MEM_LOG, (void **)&wal->batch.items, &wal->batch.capacity,
                        wal->batch.count + 1, sizeof *wal->batch.items);
    if (status == KVR_OK && content->group != NULL) {
        status = kvr__wal_log_reserve(wal, content->group);
    }
    if (status != KVR_OK) {
        return no_memory(wal);
    }
    kvr__wal_content *added = &wal->batch.items[wal->batch.count++];
    *added = *content;
    if (added->group != NULL && added->group->reset_due) {
        KVR_ASSERT(added->first_index == added->group->last_index + 1 ||
                   added->kind == KVR__WAL_RESET);
        added->kind = KVR__WAL_RESET;
    }
    return KVR_OK;
}

static uint64_t size_of(const kvr__wal_content *content)
{
    return KVR__WAL_HEAD_SIZE + kvr__wal_padded(content->body_size);
}

static bool only_vouches(const kvr__wal_content *content)
{
    return content->kind == KVR__WAL_MARK ||
           (content->kind == KVR__WAL_GROUPS && content->entry_count == 0);
}

/* What was flushed is part of the logs. */
static void apply_batch(kvr_wal *wal, uint64_t segment_id, uint64_t end)
{
    kvr__wal_segment *last = kvr__wal_segment_last(wal);
    last->end = end;
    last->size = end > last->size ? end : last->size;
    wal->segment_id = segment_id;
    wal->head_due = false;
    for (uint32_t i = 0; i < wal->batch.count; i++) {
        kvr__wal_content *content = &wal->batch.items[i];
        if (content->group != NULL) {
            content->group->reset_due = false;
            kvr__wal_log_apply(content->group, &content->record, &content->place);
        } else {
            kvr__wal_group_apply(wal, kvr__wal_content_items(content), content->place.number);
        }
        wal->sequence = content->record.sequence;
        wal->checksum = content->record.checksum;
        wal->unvouched = !only_vouches(content);
        wal->record_count++;
    }
}

static kvr_status write_and_apply(kvr_wal *wal)
{
    KVR_ASSERT(wal->batch.count > 0);
    uint64_t size = 0, segment_id, end;
    bool is_mark = true;
    for (uint32_t i = 0; i < wal->batch.count; i++) {
        size += size_of(&wal->batch.items[i]);
        is_mark = is_mark && wal->batch.items[i].body_size == 0;
    }
    kvr_status status = kvr__wal_segment_room(wal, size, is_mark);
    if (status != KVR_OK) {
        return status;
    }
    segment_id = wal->segment_id;
    status = write_batch(wal, &segment_id, &end);
    if (status != KVR_OK) {
        /* Bytes of it may stand there: whatever comes next must not be taken for their
         * continuation. */
        wal->head_due = true;
        return status;
    }
    apply_batch(wal, segment_id, end);
    return KVR_OK;
}

static kvr_status write_one(kvr_wal *wal, const kvr__wal_content *content)
{
    begin_batch(wal);
    kvr_status status = add_to_batch(wal, content);
    return status == KVR_OK ? write_and_apply(wal) : status;
}

kvr_status kvr__wal_append_empty(kvr_wal *wal, kvr__wal_group *group, uint64_t reset)
{
    return write_one(wal, &(kvr__wal_content){
                              .group = group,
                              .kind = reset == 0 ? KVR__WAL_MARK : KVR__WAL_RESET,
                              .first_index = reset == 0 ? group->last_index + 1 : reset,
                          });
}

kvr_status kvr__wal_append_carry(kvr_wal *wal, kvr__wal_group *group,
                                 const kvr_store_request *request)
{
    return write_one(wal, &(kvr__wal_content){
                              .group = group,
                              .kind = KVR__WAL_CARRY,
                              .entry_count = request->entry_count,
                              .request_count = 1,
                              .first_index = request->first_index,
                              .body_size = request->pieces[0].size,
                              .requests = &request,
                          });
}

kvr_status kvr__wal_append_groups(kvr_wal *wal, kvr_slice items)
{
    return write_one(wal, &(kvr__wal_content){
                              .kind = KVR__WAL_GROUPS,
                              .entry_count = (uint32_t)(items.size / KVR__WAL_ITEM_SIZE),
                              .body_size = items.size,
                              .more_items = items,
                          });
}

kvr_status kvr__wal_append_mark(kvr_wal *wal)
{
    return kvr__wal_group_is_many(wal) ? kvr__wal_append_groups(wal, (kvr_slice){NULL, 0})
                                       : kvr__wal_append_empty(wal, wal->groups.items[0], 0);
}

/* ------------------------------------------------------------------ requests */

static bool is_whole(const kvr_store_request *request)
{
    uint64_t index = request->first_index;
    for (uint32_t i = 0; i < request->piece_count; i++) {
        if (kvr__wal_entries_walk(request->pieces[i], &index) != KVR_OK) {
            return false;
        }
    }
    return index - request->first_index == request->entry_count && request->entry_count > 0;
}

static uint64_t bytes_of(const kvr_store_request *request)
{
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < request->piece_count; i++) {
        bytes += request->pieces[i].size;
    }
    return bytes;
}

static kvr_status refuse(kvr_wal *wal, const char *what)
{
    return kvr__wal_files_report(wal, &(kvr__wal_damage){.status = KVR_EINVAL,
                                                         .file = "",
                                                         .what = what,
                                                         .remedy = "this is a bug of the caller"});
}

/* May `request` be the first of a record? */
static kvr_status check_first(kvr_wal *wal, const kvr__wal_group *group,
                              const kvr_store_request *request)
{
    if (request->first_index > group->last_index + 1 && group->refused) {
        return kvr__wal_files_report(
            wal, &(kvr__wal_damage){.status = KVR_ENOSPACE,
                                    .file = "",
                                    .what = "an append before this one found no room",
                                    .remedy = "append that one again first"});
    }
    if (request->first_index > group->last_index + 1 || request->first_index < group->first_index ||
        request->first_index > KVR__WAL_NUMBER_MAX) {
        return refuse(wal, "an append leaves a gap, or begins below the first index");
    }
    return is_whole(request) ? KVR_OK : refuse(wal, "an append holds something else than it says");
}

/* What a record may hold beside heads and padding: one write, into a segment like all others. */
static uint64_t room_for_bodies(const kvr_wal *wal)
{
    const uint64_t heads = (uint64_t)KVR__WAL_HEAD_SIZE * 4;
    uint64_t room = wal->config.batch_bytes < wal->config.segment_bytes ? wal->config.batch_bytes
                                                                        : wal->config.segment_bytes;
    return room > heads ? room - heads : 0;
}

/* The APPENDs at `requests` that share a record: the first, and as many of the `count` as continue
 * it. */
static kvr_status gather_entries(kvr_wal *wal, kvr__wal_group *group,
                                 const kvr_store_request *const *requests, uint32_t count,
                                 kvr__wal_content *out)
{
    kvr_status status = check_first(wal, group, requests[0]);
    if (status != KVR_OK) {
        return status;
    }
    *out = (kvr__wal_content){
        .group = group,
        .kind = KVR__WAL_APPEND,
        .entry_count = requests[0]->entry_count,
        .request_count = 1,
        .first_index = requests[0]->first_index,
        .body_size = bytes_of(requests[0]),
        .requests = requests,
    };
    const uint64_t room = room_for_bodies(wal);
    while (out->request_count < count) {
        const kvr_store_request *next = requests[out->request_count];
        uint64_t bytes = bytes_of(next);
        if (next->kind != KVR_STORE_APPEND || next->group_id != group->id ||
            next->first_index != out->first_index + out->entry_count ||
            next->entry_count > UINT32_MAX - out->entry_count || bytes > wal->config.batch_bytes ||
            out->body_size + bytes > room || !is_whole(next) ||
            KVR_BUGGIFY(&wal->mem, WAL_BATCH_ONE)) {
            break;
        }
        out->entry_count += next->entry_count;
        out->body_size += bytes;
        out->request_count++;
    }
    return KVR_OK;
}

/* The next record, and its group. KVR_AGAIN: it must wait for the flush of this batch, which holds
 * one of the same group. */
static kvr_status gather(kvr_wal *wal, const kvr_store_request *const *requests, uint32_t count,
                         kvr__wal_content *out, kvr__wal_group **out_group)
{
    kvr_status status = kvr__wal_group_need(wal, requests[0]->group_id, out_group);
    if (status != KVR_OK) {
        return status;
    }
    if ((*out_group)->in_batch) {
        return KVR_AGAIN;
    }
    if (requests[0]->kind == KVR_STORE_VOTE) {
        return kvr__wal_group_vote(wal, *out_group, requests[0], out);
    }
    return gather_entries(wal, *out_group, requests, count, out);
}

/* Fills the batch. Returns how many requests it answers; 0: the first one is refused, with
 * *out_status. */
static uint32_t fill_batch(kvr_wal *wal, const kvr_store_request *const *requests, uint32_t count,
                           kvr_status *out_status)
{
    uint64_t size = 0;
    uint32_t taken = 0;
    while (taken < count) {
        kvr__wal_content next;
        kvr__wal_group *group;
        kvr_status status = gather(wal, requests + taken, count - taken, &next, &group);
        if (status == KVR_OK && taken > 0 && size + size_of(&next) > room_for_bodies(wal)) {
            break;
        }
        if (status == KVR_OK) {
            status = add_to_batch(wal, &next);
        }
        if (status != KVR_OK) {
            *out_status = status;
            return taken; /* whatever it is, it is met again as the first of the next batch */
        }
        group->in_batch = true;
        size += size_of(&next);
        taken += requests[taken]->kind == KVR_STORE_VOTE ? 1 : next.request_count;
    }
    return taken;
}

kvr_status kvr__wal_append(kvr_wal *wal, const kvr_store_request *const *requests, uint32_t count,
                           uint32_t *out_taken)
{
    KVR_ASSERT(count > 0);
    begin_batch(wal);
    kvr_status status = KVR_OK;
    uint32_t taken = fill_batch(wal, requests, count, &status);
    if (taken > 0) {
        status = write_and_apply(wal);
    }
    for (uint32_t i = 0; i < taken; i++) {
        kvr__wal_group *group = kvr__wal_group_find(wal, requests[i]->group_id);
        group->in_batch = false;
        if (requests[i]->kind == KVR_STORE_APPEND) {
            group->refused = status == KVR_ENOSPACE;
        }
    }
    if (taken == 0 && status == KVR_ENOSPACE && requests[0]->kind == KVR_STORE_APPEND) {
        kvr__wal_group *group = kvr__wal_group_find(wal, requests[0]->group_id);
        if (group != NULL) {
            group->refused = true;
        }
    }
    *out_taken = taken == 0 ? 1 : taken;
    return status;
}
