/* SPDX-License-Identifier: Apache-2.0 */
/* wal_scan.c: reads one segment forward in large pieces and hands out its records. A record is
 * valid here only if it carries the id that is in force, its own offset, the next sequence number
 * and the checksum of the record before: a right record in a wrong place is none (FAULTS 84).
 * Nothing is believed before its checksum, and no length before it fits the file (FAULTS 79). */
#include "wal_scan.h"

#include "base/assertion.h"
#include "base/codec.h"

kvr_status kvr__wal_scan_open(kvr__wal_scan *scan, kvr_wal *wal, const kvr__wal_place *place,
                              uint64_t limit)
{
    *scan = (kvr__wal_scan){
        .wal = wal,
        .place = *place,
        .limit = limit,
        .write_begin = place->offset,
        .chunk = wal->config.read_bytes,
        .why = "",
    };
    kvr__wal_name name = kvr__wal_name_log(place->number);
    return kvr__wal_files_open(wal, name.text, KVR_FILE_READ, &scan->file);
}

void kvr__wal_scan_close(kvr__wal_scan *scan)
{
    kvr__wal_files_close(scan->wal, &scan->file);
}

static kvr_status grow_buffer(kvr_wal *wal, size_t size)
{
    uint8_t *buffer =
        kvr__mem_realloc(&wal->mem, KVR__MEM_HANDLE, wal->read_buffer, wal->read_capacity, size);
    if (buffer == NULL) {
        return KVR_ENOMEM;
    }
    wal->read_buffer = buffer;
    wal->read_capacity = size;
    return KVR_OK;
}

/* Bytes of the segment from `offset` on: at least `want`, unless it ends before. */
static kvr_status look(kvr__wal_scan *scan, uint64_t offset, size_t want, kvr_slice *out_bytes)
{
    kvr_wal *wal = scan->wal;
    uint64_t end = scan->window_begin + scan->window_size;
    if (offset < scan->window_begin || offset > end) {
        scan->window_begin = offset;
        scan->window_size = 0;
        end = offset;
    }
    size_t have = (size_t)(end - offset);
    if (have < want && end < scan->limit) {
        if (want > wal->read_capacity) {
            kvr_status status = grow_buffer(wal, want);
            if (status != KVR_OK) {
                return status;
            }
        }
        memmove(wal->read_buffer, wal->read_buffer + (offset - scan->window_begin), have);
        scan->window_begin = offset;
        scan->window_size = have;
        size_t room = scan->chunk > want ? scan->chunk : want;
        room = (room < wal->read_capacity ? room : wal->read_capacity) - have;
        room = room < scan->limit - end ? room : (size_t)(scan->limit - end);
        size_t got = 0;
        kvr_status status =
            kvr__wal_files_read(wal, &scan->file, end, wal->read_buffer + have, room, &got);
        if (status != KVR_OK) {
            return status;
        }
        have += got;
        scan->window_size = have;
    }
    *out_bytes = (kvr_slice){wal->read_buffer + (offset - scan->window_begin), have};
    return KVR_OK;
}

/* ------------------------------------------------------------------ the next record */

static kvr_status none(kvr__wal_scan *scan, const char *why)
{
    scan->why = why;
    return KVR_END;
}

static kvr_status refused(kvr__wal_scan *scan, kvr_status status, const char *what,
                          const char *remedy)
{
    return kvr__wal_files_report(scan->wal, &(kvr__wal_damage){
                                                .status = status,
                                                .file = scan->file.name.text,
                                                .offset = scan->place.offset,
                                                .what = what,
                                                .remedy = remedy,
                                            });
}

/* A segment head at the place: from here on records carry its id. KVR_AGAIN: it is something
 * else. */
static kvr_status take_segment_head(kvr__wal_scan *scan, kvr_slice bytes)
{
    kvr__wal_place *place = &scan->place;
    kvr__wal_segment_head head;
    kvr_status status =
        kvr__wal_segment_head_read(bytes, place->offset, scan->wal->vote.store_id, &head);
    if (status == KVR_END && place->segment_id != 0) {
        return KVR_AGAIN;
    }
    if (status == KVR_EVERSION) {
        return refused(scan, status, "a segment of a newer format version", "use a newer release");
    }
    if (status == KVR_ECORRUPT) {
        return none(scan, "a damaged segment head");
    }
    if (status != KVR_OK || head.number != place->number || head.offset != place->offset ||
        head.first_sequence != place->sequence || head.cluster_id != scan->wal->config.cluster_id ||
        head.member_id != scan->wal->config.member_id) {
        return none(scan, "no segment head");
    }
    if (head.previous_checksum != place->checksum) {
        scan->contradicts = true;
        return none(scan, "a segment head with another predecessor");
    }
    if (head.key_id != 0) {
        return refused(scan, KVR_EVERSION, "a sealed segment", "use a release with its cipher");
    }
    place->segment_id = head.id;
    place->offset += kvr__load_u16(bytes.data + 4);
    return KVR_OK;
}

/* The head of a record at the place. */
static kvr_status take_record_head(kvr__wal_scan *scan, kvr_slice bytes, kvr__wal_record *record)
{
    const kvr__wal_place *place = &scan->place;
    kvr_status status = kvr__wal_record_read(bytes, scan->wal->vote.store_id, record);
    if (status == KVR_EVERSION) {
        return refused(scan, status, "a record of a newer format version", "use a newer release");
    }
    if (status != KVR_OK) {
        return none(scan, status == KVR_ECORRUPT ? "a damaged record head" : "no record");
    }
    if (record->segment_id != place->segment_id || record->offset != place->offset ||
        record->member_id != scan->wal->config.member_id) {
        return none(scan, "a record of another place");
    }
    if (record->sequence != place->sequence) {
        return none(scan, "a record out of sequence");
    }
    if (record->previous_checksum != place->checksum) {
        scan->contradicts = true;
        return none(scan, "a record with another predecessor");
    }
    uint64_t left = scan->limit - place->offset - record->head_size;
    if (record->body_size > left || kvr__wal_padded(record->body_size) > left ||
        record->body_size > SIZE_MAX / 2) {
        return none(scan, "a record that is longer than its file");
    }
    return KVR_OK;
}

static kvr_status take_body(kvr__wal_scan *scan, const kvr__wal_record *record, kvr_slice *out_body)
{
    size_t padded = (size_t)kvr__wal_padded(record->body_size);
    kvr_slice bytes;
    kvr_status status = look(scan, scan->place.offset, record->head_size + padded, &bytes);
    if (status != KVR_OK) {
        return status;
    }
    if (bytes.size < record->head_size + padded) {
        return none(scan, "a record that is longer than its file");
    }
    const uint8_t *body = bytes.data + record->head_size;
    if (kvr__xxh3_64(body, padded) != record->body_checksum) {
        scan->bad_first = record->first_index;
        scan->bad_count = record->entry_count;
        return none(scan, "a record with damaged entries");
    }
    *out_body = (kvr_slice){body, (size_t)record->body_size};
    return KVR_OK;
}

/* Bytes at the place: all of the head that stands there, however long, if one does. */
static kvr_status look_at_head(kvr__wal_scan *scan, kvr_slice *out_bytes)
{
    kvr_status status = look(scan, scan->place.offset, KVR__WAL_HEAD_SIZE, out_bytes);
    if (status != KVR_OK || out_bytes->size < KVR__WAL_HEAD_SIZE) {
        return status;
    }
    size_t size = kvr__load_u16(out_bytes->data + 4);
    if (size <= out_bytes->size || size > KVR__WAL_HEAD_SIZE_MAX) {
        return KVR_OK;
    }
    return look(scan, scan->place.offset, size, out_bytes);
}

kvr_status kvr__wal_scan_next(kvr__wal_scan *scan, kvr__wal_record *out_record, kvr_slice *out_body)
{
    kvr__wal_place *place = &scan->place;
    uint64_t begin = place->offset;
    kvr_slice bytes;
    kvr_status status;
    do {
        status = look_at_head(scan, &bytes);
        if (status == KVR_OK) {
            status = take_segment_head(scan, bytes);
        }
    } while (status == KVR_OK);
    if (status == KVR_AGAIN) {
        status = take_record_head(scan, bytes, out_record);
    }
    if (status == KVR_OK) {
        status = take_body(scan, out_record, out_body);
    }
    if (status == KVR_OK) {
        scan->write_begin = begin;
        place->offset += out_record->head_size + kvr__wal_padded(out_record->body_size);
        place->sequence++;
        place->checksum = out_record->checksum;
    }
    return status;
}

/* ------------------------------------------------------------------ what comes after */

/* The highest sequence that a whole head at `offset` vouches for, whatever the id in force: after
 * damage that id may be unknown. Heads that a recycled file still holds from an earlier use vouch
 * only for records that are older than all that is in question. */
static uint64_t vouches_for(const kvr__wal_scan *scan, kvr_slice bytes, uint64_t offset)
{
    const kvr_wal_config *config = &scan->wal->config;
    const uint64_t store_id = scan->wal->vote.store_id;
    kvr__wal_record record;
    if (kvr__wal_record_read(bytes, store_id, &record) == KVR_OK && record.offset == offset &&
        record.member_id == config->member_id) {
        return record.durable_sequence;
    }
    kvr__wal_segment_head head;
    if (kvr__wal_segment_head_read(bytes, offset, store_id, &head) == KVR_OK &&
        head.offset == offset && head.number == scan->place.number &&
        head.cluster_id == config->cluster_id && head.member_id == config->member_id) {
        return head.first_sequence - 1;
    }
    return 0;
}

kvr_status kvr__wal_scan_vouched(kvr__wal_scan *scan, uint64_t offset, uint64_t *vouched)
{
    offset = kvr__wal_padded(offset);
    while (offset + KVR__WAL_HEAD_SIZE <= scan->limit) {
        kvr_slice bytes;
        kvr_status status = look(scan, offset, KVR__WAL_HEAD_SIZE_MAX, &bytes);
        if (status != KVR_OK) {
            return status;
        }
        if (bytes.size < KVR__WAL_HEAD_SIZE) {
            return KVR_OK;
        }
        /* As far as a head, however long, is seen as a whole. */
        const size_t head_max = KVR__WAL_HEAD_SIZE_MAX;
        size_t step =
            bytes.size >= head_max + KVR__WAL_ALIGN ? bytes.size - head_max : KVR__WAL_ALIGN;
        for (size_t i = 0; i < step; i += KVR__WAL_ALIGN) {
            if (memcmp(bytes.data + i, "KVR", 3) == 0) {
                uint64_t found =
                    vouches_for(scan, (kvr_slice){bytes.data + i, bytes.size - i}, offset + i);
                *vouched = found > *vouched ? found : *vouched;
            }
        }
        offset += step / KVR__WAL_ALIGN * KVR__WAL_ALIGN;
    }
    return KVR_OK;
}
