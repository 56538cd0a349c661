/* SPDX-License-Identifier: Apache-2.0 */
/* wal_segment.c: which file is written next. A file that is ready, filled with zeros or full of an
 * earlier use, becomes the next segment under a new name, and the name is durable before the first
 * record in it is (FAULTS 75). */
#include "wal_internal.h"

#include "base/array.h"
#include "base/assertion.h"
#include "base/buggify.h"

kvr__wal_segment *kvr__wal_segment_last(kvr_wal *wal)
{
    return wal->segments.count == 0 ? NULL : &wal->segments.items[wal->segments.count - 1];
}

kvr__wal_segment *kvr__wal_segment_find(kvr_wal *wal, uint64_t number)
{
    uint32_t low = 0, high = wal->segments.count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (wal->segments.items[middle].number < number) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    KVR_ASSERT(low < wal->segments.count);
    KVR_ASSERT(wal->segments.items[low].number == number);
    return &wal->segments.items[low];
}

uint64_t kvr__wal_segment_new_number(const kvr_wal *wal)
{
    uint64_t highest = 0;
    for (uint32_t i = 0; i < wal->segments.count; i++) {
        uint64_t number = wal->segments.items[i].number;
        highest = number > highest ? number : highest;
    }
    for (uint32_t i = 0; i < wal->ready.count; i++) {
        uint64_t number = wal->ready.items[i].number;
        highest = number > highest ? number : highest;
    }
    return highest + 1;
}

/* The ready file with the most bytes becomes `name`; without any, an empty one is made. */
static kvr_status make_file(kvr_wal *wal, const char *name, uint64_t *out_size)
{
    if (wal->ready.count == 0) {
        *out_size = 0;
        const uint32_t flags =
            KVR_FILE_READ | KVR_FILE_WRITE | KVR_FILE_CREATE | KVR_FILE_EXCLUSIVE;
        return kvr__wal_files_open(wal, name, flags, &wal->file);
    }
    uint32_t best = 0;
    for (uint32_t i = 1; i < wal->ready.count; i++) {
        if (wal->ready.items[i].size > wal->ready.items[best].size) {
            best = i;
        }
    }
    kvr__wal_ready ready = wal->ready.items[best];
    kvr__wal_files_close(wal, &wal->fill);
    kvr_status status = kvr__wal_files_rename(wal, kvr__wal_name_ready(ready.number).text, name);
    if (status != KVR_OK) {
        return status;
    }
    wal->ready.items[best] = wal->ready.items[--wal->ready.count];
    *out_size = ready.size;
    return kvr__wal_files_open(wal, name, KVR_FILE_READ | KVR_FILE_WRITE, &wal->file);
}

static kvr_status begin_segment(kvr_wal *wal)
{
    kvr_status status =
        kvr__array_grow(&wal->mem, KVR__MEM_LOG, (void **)&wal->segments.items,
                        &wal->segments.capacity, wal->segments.count + 1, sizeof(kvr__wal_segment));
    if (status != KVR_OK) {
        return KVR_ENOSPACE;
    }
    kvr__wal_segment segment = {
        .number = kvr__wal_segment_new_number(wal),
        .first_sequence = wal->sequence + 1,
    };
    kvr__wal_files_close(wal, &wal->file);
    kvr__wal_name name = kvr__wal_name_log(segment.number);
    status = make_file(wal, name.text, &segment.size);
    if (status == KVR_OK) {
        status = kvr__wal_files_flush_names(wal);
    }
    if (status == KVR_OK) {
        wal->segments.items[wal->segments.count++] = segment;
        wal->head_due = true;
        wal->removal_due = true;
    }
    return status;
}

kvr_status kvr__wal_segment_room(kvr_wal *wal, uint64_t size, bool is_mark)
{
    KVR_ASSERT(wal->state == KVR__WAL_OPEN);
    const kvr__wal_segment *last = kvr__wal_segment_last(wal);
    uint64_t need = size + (wal->head_due ? KVR__WAL_HEAD_SIZE : 0);
    need += is_mark ? 0 : KVR__WAL_RESERVE;
    bool fits = last != NULL && (last->end == 0 || last->end + need <= wal->config.segment_bytes);
    bool rolls = last != NULL && last->end > KVR__WAL_HEAD_SIZE && KVR_BUGGIFY(&wal->mem, WAL_ROLL);
    if (!fits || rolls) {
        return begin_segment(wal);
    }
    if (wal->file.is_open) {
        return KVR_OK;
    }
    return kvr__wal_files_open(wal, kvr__wal_name_log(last->number).text,
                               KVR_FILE_READ | KVR_FILE_WRITE, &wal->file);
}

void kvr__wal_segment_drop_oldest(kvr_wal *wal)
{
    KVR_ASSERT(wal->segments.count > 1);
    for (uint32_t i = 0; i < wal->groups.count; i++) {
        kvr__wal_log_drop_segment(wal->groups.items[i], wal->segments.items[0].number);
    }
    wal->segments.count--;
    memmove(wal->segments.items, wal->segments.items + 1,
            wal->segments.count * sizeof(kvr__wal_segment));
}
