/* SPDX-License-Identifier: Apache-2.0 */
/* wal_read.c: READ, and the memory that results are lent. Entries come from the disk, not from
 * memory, and are verified on the way: their record by its checksum, each of them by its head. */
#include "wal_scan.h"

#include "base/assertion.h"
#include "base/entry.h"

static const char remedy_damage[] = "fetch these entries from the other members";

/* ------------------------------------------------------------------ lending */

static void poison(kvr__wal_lent *lent)
{
#ifdef KVR_CHECK
    memset(lent->bytes, KVR__MEM_POISON, lent->capacity);
#else
    (void)lent;
#endif
}

static void free_lent(kvr_wal *wal, kvr__wal_lent *lent)
{
    if (lent != NULL) {
        kvr__mem_free(&wal->mem, KVR__MEM_MESSAGE, lent, sizeof *lent + lent->capacity);
    }
}

uint8_t *kvr__wal_read_lend(kvr_wal *wal, size_t size_min, size_t *size)
{
    KVR_ASSERT(size_min > 0);
    KVR_ASSERT(size_min <= *size);
    kvr__wal_lent *lent = wal->spare;
    if (lent != NULL && lent->capacity >= *size) {
        wal->spare = NULL;
    } else {
        size_t want = *size;
        lent = kvr__mem_alloc(&wal->mem, KVR__MEM_MESSAGE, sizeof *lent + want);
        while (lent == NULL && want > size_min) {
            want = want / 2 > size_min ? want / 2 : size_min;
            lent = kvr__mem_alloc(&wal->mem, KVR__MEM_MESSAGE, sizeof *lent + want);
        }
        if (lent == NULL) {
            return NULL;
        }
        lent->capacity = want;
        *size = want;
    }
    lent->next = wal->lent;
    wal->lent = lent;
    return lent->bytes;
}

/* The largest block is kept for the next result: fresh memory costs more than reading into it. */
void kvr__wal_read_end_lending(kvr_wal *wal)
{
    while (wal->lent != NULL) {
        kvr__wal_lent *lent = wal->lent;
        wal->lent = lent->next;
        poison(lent);
        if (wal->spare == NULL || wal->spare->capacity < lent->capacity) {
            free_lent(wal, wal->spare);
            wal->spare = lent;
        } else {
            free_lent(wal, lent);
        }
    }
}

void kvr__wal_read_end_newest(kvr_wal *wal)
{
    kvr__wal_lent *newest = wal->lent;
    wal->lent = newest->next;
    poison(newest);
    free_lent(wal, newest);
}

/* ------------------------------------------------------------------ entries */

/* A READ under way. */
typedef struct reader {
    kvr_wal *wal;
    kvr__wal_group *group;
    kvr__wal_scan scan;
    kvr__wal_record record; /* read last */
    kvr_slice body;         /* what is left of its entries */
    kvr__wal_place begin;   /* its place */
    uint64_t index;         /* of the first entry in `body`, or of the one behind it */
    uint64_t until;         /* index at which the log goes on elsewhere */
    uint64_t jumped_to;     /* offset of the record at which reading started */
} reader;

static kvr_status open_at(reader *reading, const kvr__wal_place *place)
{
    uint64_t end = kvr__wal_segment_find(reading->wal, place->number)->end;
    kvr_status status = kvr__wal_scan_open(&reading->scan, reading->wal, place, end);
    if (reading->group->shares) {
        reading->scan.chunk = (size_t)2 * KVR__WAL_POINT_BYTES; /* as far as it is worth while */
    }
    if (status != KVR_ENOTFOUND) {
        return status;
    }
    return kvr__wal_files_report(reading->wal,
                                 &(kvr__wal_damage){.status = KVR_ECORRUPT,
                                                    .file = reading->scan.file.name.text,
                                                    .first_index = reading->index,
                                                    .what = "a segment is gone",
                                                    .remedy = remedy_damage});
}

/* The end of a segment is no end of the log: it goes on with the head of the next. */
static kvr_status open_next_segment(reader *reading)
{
    kvr_wal *wal = reading->wal;
    const kvr__wal_segment *segment = kvr__wal_segment_find(wal, reading->scan.place.number);
    KVR_ASSERT(segment != kvr__wal_segment_last(wal));
    kvr__wal_place place = reading->scan.place;
    place.number = segment[1].number;
    place.offset = 0;
    place.segment_id = 0;
    kvr__wal_scan_close(&reading->scan);
    return open_at(reading, &place);
}

static kvr_status damaged(reader *reading, const char *what)
{
    return kvr__wal_files_report(reading->wal,
                                 &(kvr__wal_damage){.status = KVR_ECORRUPT,
                                                    .file = reading->scan.file.name.text,
                                                    .offset = reading->begin.offset,
                                                    .first_index = reading->index,
                                                    .what = what,
                                                    .remedy = remedy_damage});
}

/* Records of other groups lie between, and such as carry entries from elsewhere: one of those is
 * only read by whom its own point leads to it. */
static bool is_wanted(const reader *reading)
{
    const kvr__wal_record *record = &reading->record;
    return record->entry_count > 0 && record->kind != KVR__WAL_GROUPS &&
           record->group_id == reading->group->id &&
           (record->kind != KVR__WAL_CARRY || record->offset == reading->jumped_to);
}

/* The next record that holds entries of the group. */
static kvr_status next_record(reader *reading)
{
    for (;;) {
        reading->begin = reading->scan.place;
        kvr_status status = kvr__wal_scan_next(&reading->scan, &reading->record, &reading->body);
        if (status == KVR_END && reading->scan.place.offset >= reading->scan.limit) {
            status = open_next_segment(reading);
            if (status == KVR_OK) {
                continue;
            }
        } else if (status == KVR_END) {
            status = damaged(reading, reading->scan.why);
        }
        if (status != KVR_OK) {
            return status;
        }
        if (is_wanted(reading)) {
            reading->index = reading->record.first_index;
            return KVR_OK;
        }
    }
}

/* Goes to where entry reading->index is found. */
static kvr_status jump(reader *reading)
{
    kvr__wal_place place = kvr__wal_log_find(reading->group, reading->index, &reading->until);
    kvr__wal_scan_close(&reading->scan);
    reading->body.size = 0;
    reading->jumped_to = place.offset;
    return open_at(reading, &place);
}

/* Takes the next entry off the body. */
static kvr_status next_entry(reader *reading, kvr_entry *out_entry)
{
    kvr_status status = reading->index == reading->until ? jump(reading) : KVR_OK;
    while (status == KVR_OK && reading->body.size == 0) {
        status = next_record(reading);
    }
    if (status != KVR_OK) {
        return status;
    }
    status = kvr__entry_read(reading->body, false, out_entry);
    if (status == KVR_EVERSION) {
        return status;
    }
    if (status != KVR_OK || out_entry->index != reading->index) {
        return damaged(reading, "an entry in its record");
    }
    reading->body.data += out_entry->bytes.size;
    reading->body.size -= out_entry->bytes.size;
    reading->index++;
    return KVR_OK;
}

/* Finds entry `index`. Closed by kvr__wal_scan_close in any case. */
static kvr_status seek(reader *reading, uint64_t index, kvr_entry *out_entry)
{
    reading->index = index;
    kvr_status status = jump(reading);
    while (status == KVR_OK) {
        status = next_entry(reading, out_entry);
        if (status == KVR_OK && out_entry->index == index) {
            break;
        }
        if (status == KVR_OK && out_entry->index > index) {
            status = damaged(reading, "entries before it are missing");
        }
    }
    return status;
}

kvr_status kvr__wal_read_term(kvr_wal *wal, kvr__wal_group *group, uint64_t index,
                              uint64_t *out_term)
{
    reader reading = {.wal = wal, .group = group, .scan = {.wal = wal}};
    kvr_entry entry;
    kvr_status status = seek(&reading, index, &entry);
    kvr__wal_scan_close(&reading.scan);
    if (status == KVR_OK) {
        *out_term = entry.term;
    }
    return status;
}

/* How many bytes may be asked for at once: no more than the log could fill. */
static size_t budget(const kvr_wal *wal, uint64_t byte_max)
{
    uint64_t most = byte_max < KVR__WAL_READ_BYTES_MAX ? byte_max : KVR__WAL_READ_BYTES_MAX;
    uint64_t held = 0;
    for (uint32_t i = 0; i < wal->segments.count && held < most; i++) {
        held += wal->segments.items[i].end;
    }
    return (size_t)(held < most ? held : most);
}

static kvr_status no_memory(kvr_wal *wal)
{
    return kvr__wal_files_report(wal, &(kvr__wal_damage){.status = KVR_ENOSPACE,
                                                         .file = "",
                                                         .what = "no memory for a read",
                                                         .remedy = "it will be asked for again"});
}

/* Copies entries from `entry` on, as many as fit, up to `last`. What stops it after the first one
 * is for the next READ to meet. */
static kvr_status copy_entries(reader *reading, kvr_entry entry, const kvr_store_request *request,
                               kvr_store_result *result)
{
    kvr_wal *wal = reading->wal;
    size_t size = budget(wal, request->byte_max);
    size = size > entry.bytes.size ? size : entry.bytes.size;
    uint8_t *bytes = kvr__wal_read_lend(wal, entry.bytes.size, &size);
    if (bytes == NULL) {
        return no_memory(wal);
    }
    size_t used = 0;
    bool is_ahead = false; /* `entry` was taken, and does not fit */
    result->first_index = entry.index;
    while (!is_ahead) {
        memcpy(bytes + used, entry.bytes.data, entry.bytes.size);
        used += entry.bytes.size;
        result->last_index = entry.index;
        if (entry.index >= request->last_index || entry.index >= reading->group->last_index ||
            next_entry(reading, &entry) != KVR_OK) {
            break;
        }
        is_ahead = entry.bytes.size > size - used;
    }
    result->entry_count = (uint32_t)(result->last_index - result->first_index + 1);
    wal->lent->piece = (kvr_slice){bytes, used};
    result->pieces = &wal->lent->piece;
    result->piece_count = 1;
    kvr__wal_group *group = reading->group;
    group->next_index = result->last_index + 1 < reading->until ? result->last_index + 1 : 0;
    group->next_place = is_ahead || reading->body.size > 0 ? reading->begin : reading->scan.place;
    return KVR_OK;
}

kvr_status kvr__wal_read(kvr_wal *wal, kvr__wal_group *group, const kvr_store_request *request,
                         kvr_store_result *result)
{
    if (request->first_index < group->first_index || request->first_index > group->last_index ||
        request->last_index < request->first_index) {
        return KVR_ENOTFOUND;
    }
    reader reading = {.wal = wal, .group = group, .scan = {.wal = wal}};
    kvr_entry entry;
    kvr_status status = seek(&reading, request->first_index, &entry);
    if (status == KVR_OK) {
        status = copy_entries(&reading, entry, request, result);
    }
    kvr__wal_scan_close(&reading.scan);
    return status == KVR_ENOMEM ? no_memory(wal) : status;
}
