/* SPDX-License-Identifier: Apache-2.0 */
/* wal_append.c: one batch becomes one record: written, flushed, and only then part of the log. The
 * entries of as many requests as follow one another go through one buffer into one write and one
 * flush (group commit), so the cost of a flush is shared by all who wait for it. Nothing of the
 * handle changes before the flush has succeeded (W3). */
#include "wal_internal.h"

#include "base/assertion.h"

/* What one record will hold. */
typedef struct content {
    uint8_t kind;
    uint32_t entry_count;
    uint32_t request_count;
    uint64_t first_index;
    uint64_t body_size;
    const kvr_store_request *const *requests;
} content;

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

static size_t padding(const content *batch)
{
    return (size_t)(kvr__wal_padded(batch->body_size) - batch->body_size);
}

static uint64_t body_checksum(kvr_wal *wal, const content *batch)
{
    kvr__xxh3_reset(&wal->hash);
    for (uint32_t i = 0; i < batch->request_count; i++) {
        const kvr_store_request *request = batch->requests[i];
        for (uint32_t j = 0; j < request->piece_count; j++) {
            kvr__xxh3_update(&wal->hash, request->pieces[j].data, request->pieces[j].size);
        }
    }
    kvr__xxh3_update(&wal->hash, zeros, padding(batch));
    return kvr__xxh3_digest_64(&wal->hash);
}

static kvr_status put_body(writer *out, const content *batch)
{
    for (uint32_t i = 0; i < batch->request_count; i++) {
        const kvr_store_request *request = batch->requests[i];
        for (uint32_t j = 0; j < request->piece_count; j++) {
            kvr_status status = put(out, request->pieces[j].data, request->pieces[j].size);
            if (status != KVR_OK) {
                return status;
            }
        }
    }
    return put(out, zeros, padding(batch));
}

/* ------------------------------------------------------------------ one record */

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
        .last_index = wal->last_index,
    };
    uint8_t bytes[KVR__WAL_HEAD_SIZE];
    kvr__wal_segment_head_write(bytes, &head, wal->vote.store_id);
    return put(out, bytes, sizeof bytes);
}

static void fill_record(kvr_wal *wal, const content *batch, kvr__wal_record *out_record)
{
    const kvr__wal_snapshot *snapshot = kvr__wal_snapshot_newest(wal);
    *out_record = (kvr__wal_record){
        .kind = batch->kind,
        .head_size = KVR__WAL_HEAD_SIZE,
        .entry_count = batch->entry_count,
        .body_size = batch->body_size,
        .sequence = wal->sequence + 1,
        .previous_checksum = wal->checksum,
        .durable_sequence = wal->sequence,
        .group_id = wal->config.group_id,
        .member_id = wal->config.member_id,
        .first_index = batch->first_index,
        .log_first = batch->kind == KVR__WAL_RESET ? batch->first_index : wal->first_index,
        .snapshot_index = snapshot == NULL ? 0 : snapshot->index,
        .vote_sequence = wal->vote.sequence,
        .body_checksum = body_checksum(wal, batch),
    };
}

/* Writes and flushes `record`, whose place is *place; *out_end becomes the offset behind it. */
static kvr_status write_record(kvr_wal *wal, const content *batch, kvr__wal_record *record,
                               kvr__wal_place *place, uint64_t *out_end)
{
    writer out = {.wal = wal, .offset = kvr__wal_segment_last(wal)->end};
    *place = (kvr__wal_place){
        .number = kvr__wal_segment_last(wal)->number,
        .offset = out.offset,
        .segment_id = wal->segment_id,
        .sequence = record->sequence,
        .checksum = record->previous_checksum,
    };
    kvr_status status = KVR_OK;
    if (wal->head_due) {
        status = put_segment_head(wal, &out, &place->segment_id);
        place->offset += KVR__WAL_HEAD_SIZE;
    }
    record->segment_id = place->segment_id;
    record->offset = place->offset;
    uint8_t head[KVR__WAL_HEAD_SIZE];
    kvr__wal_record_write(head, record, wal->vote.store_id);
    if (status == KVR_OK) {
        status = put(&out, head, sizeof head);
    }
    if (status == KVR_OK) {
        status = put_body(&out, batch);
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

static kvr_status no_memory(kvr_wal *wal)
{
    return kvr__wal_files_report(wal, &(kvr__wal_damage){.status = KVR_ENOSPACE,
                                                         .file = "",
                                                         .what = "no memory for an append",
                                                         .remedy = "it will be asked for again"});
}

static kvr_status append(kvr_wal *wal, content *batch)
{
    if (wal->reset_due) {
        KVR_ASSERT(batch->first_index == wal->last_index + 1 || batch->kind == KVR__WAL_RESET);
        batch->kind = KVR__WAL_RESET;
    }
    uint64_t size = KVR__WAL_HEAD_SIZE + kvr__wal_padded(batch->body_size);
    if (kvr__wal_log_reserve(wal) != KVR_OK) {
        return no_memory(wal);
    }
    kvr_status status = kvr__wal_segment_room(wal, size, batch->entry_count == 0);
    if (status != KVR_OK) {
        return status;
    }
    kvr__wal_record record;
    kvr__wal_place place;
    uint64_t end;
    fill_record(wal, batch, &record);
    KVR_ASSERT(kvr__wal_log_refuses(wal, &record) == NULL);
    status = write_record(wal, batch, &record, &place, &end);
    if (status != KVR_OK) {
        /* Bytes of it may stand there: whatever comes next must not be taken for their
         * continuation. */
        wal->head_due = true;
        return status;
    }
    kvr__wal_segment *last = kvr__wal_segment_last(wal);
    last->end = end;
    last->size = end > last->size ? end : last->size;
    wal->segment_id = place.segment_id;
    wal->head_due = false;
    wal->reset_due = false;
    wal->unvouched = batch->kind != KVR__WAL_MARK;
    wal->record_count++;
    kvr__wal_log_apply(wal, &record, &place);
    return KVR_OK;
}

kvr_status kvr__wal_append_empty(kvr_wal *wal, uint64_t reset)
{
    content batch = {
        .kind = reset == 0 ? KVR__WAL_MARK : KVR__WAL_RESET,
        .first_index = reset == 0 ? wal->last_index + 1 : reset,
    };
    return append(wal, &batch);
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

/* May `request` be the first of a batch? */
static kvr_status check_first(kvr_wal *wal, const kvr_store_request *request)
{
    if (request->first_index > wal->last_index + 1 && wal->refused) {
        return kvr__wal_files_report(
            wal, &(kvr__wal_damage){.status = KVR_ENOSPACE,
                                    .file = "",
                                    .what = "an append before this one found no room",
                                    .remedy = "append that one again first"});
    }
    if (request->first_index > wal->last_index + 1 || request->first_index < wal->first_index ||
        request->first_index > KVR__WAL_NUMBER_MAX) {
        return refuse(wal, "an append leaves a gap, or begins below the first index");
    }
    return is_whole(request) ? KVR_OK : refuse(wal, "an append holds something else than it says");
}

kvr_status kvr__wal_append(kvr_wal *wal, const kvr_store_request *const *requests, uint32_t count,
                           uint32_t *out_taken)
{
    KVR_ASSERT(count > 0);
    *out_taken = 1;
    kvr_status status = check_first(wal, requests[0]);
    if (status != KVR_OK) {
        return status;
    }
    content batch = {
        .kind = KVR__WAL_APPEND,
        .entry_count = requests[0]->entry_count,
        .request_count = 1,
        .first_index = requests[0]->first_index,
        .body_size = bytes_of(requests[0]),
        .requests = requests,
    };
    /* Heads and padding besides: one write, into a segment like all others. */
    const uint64_t heads = (uint64_t)KVR__WAL_HEAD_SIZE * 4;
    uint64_t room = wal->config.batch_bytes < wal->config.segment_bytes ? wal->config.batch_bytes
                                                                        : wal->config.segment_bytes;
    room = room > heads ? room - heads : 0;
    while (batch.request_count < count) {
        const kvr_store_request *next = requests[batch.request_count];
        uint64_t bytes = bytes_of(next);
        if (next->first_index != batch.first_index + batch.entry_count ||
            next->entry_count > UINT32_MAX - batch.entry_count || bytes > wal->config.batch_bytes ||
            batch.body_size + bytes > room || !is_whole(next)) {
            break;
        }
        batch.entry_count += next->entry_count;
        batch.body_size += bytes;
        batch.request_count++;
    }
    *out_taken = batch.request_count;
    status = append(wal, &batch);
    wal->refused = status == KVR_ENOSPACE;
    return status;
}
