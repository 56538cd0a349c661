/* SPDX-License-Identifier: Apache-2.0 */
/* wal_log.c: where the entries of the log stand in its segments. An index of one point in 64 KiB is
 * enough to find any of them, because the records between two points follow one another; so memory
 * is a thousandth of the log's size.
 *
 *   segment 1                      segment 2
 *   [1..4][5..9][10..12]           [8..11][12..15]       10..12 were replaced by 8..11
 *    ^1                             ^8       points: 1, and 8 which replaces; 9 is found from 8,
 *                                            7 from 1, and reading on from 7 stops before 8 */
#include "wal_internal.h"

#include "base/array.h"
#include "base/assertion.h"

kvr_status kvr__wal_log_reserve(kvr_wal *wal)
{
    return kvr__array_grow(&wal->mem, KVR__MEM_LOG, (void **)&wal->points.items,
                           &wal->points.capacity, wal->points.count + 1, sizeof(kvr__wal_point));
}

const char *kvr__wal_log_refuses(const kvr_wal *wal, const kvr__wal_record *record)
{
    uint64_t first = record->first_index;
    if (record->group_id != wal->config.group_id) {
        return "a record of another group";
    }
    if (record->log_first == 0 || first == 0 || first > KVR__WAL_NUMBER_MAX) {
        return "a record with an impossible index";
    }
    switch (record->kind) {
    case KVR__WAL_APPEND:
        if (first > wal->last_index + 1 || first < record->log_first || record->entry_count == 0) {
            return "a record whose entries do not continue the log";
        }
        return NULL;
    case KVR__WAL_MARK:
        if (first != wal->last_index + 1 || record->log_first > first || record->entry_count != 0) {
            return "a mark that does not stand at the end of the log";
        }
        return NULL;
    default:
        return record->log_first == first ? NULL : "a reset that does not begin where it says";
    }
}

void kvr__wal_log_clear(kvr_wal *wal, uint64_t first_index)
{
    KVR_ASSERT(first_index > 0);
    wal->points.count = 0;
    for (uint32_t i = 0; i < wal->segments.count; i++) {
        wal->segments.items[i].last_index = 0;
    }
    wal->first_index = first_index;
    wal->oldest_index = first_index;
    wal->last_index = first_index - 1;
    wal->next_index = 0;
}

/* Entries from `index` on are replaced. */
static void cut_from(kvr_wal *wal, uint64_t index)
{
    while (wal->points.count > 0 && wal->points.items[wal->points.count - 1].index >= index) {
        wal->points.count--;
    }
    for (uint32_t i = 0; i < wal->segments.count; i++) {
        if (wal->segments.items[i].last_index >= index) {
            wal->segments.items[i].last_index = index - 1;
        }
    }
    wal->next_index = 0;
}

static bool needs_point(const kvr_wal *wal, const kvr__wal_place *place, bool replaces)
{
    if (replaces || wal->points.count == 0) {
        return true;
    }
    const kvr__wal_place *before = &wal->points.items[wal->points.count - 1].place;
    return before->number != place->number ||
           place->offset - before->offset >= KVR__WAL_POINT_BYTES;
}

void kvr__wal_log_apply(kvr_wal *wal, const kvr__wal_record *record, const kvr__wal_place *place)
{
    KVR_ASSERT(kvr__wal_log_refuses(wal, record) == NULL);
    KVR_ASSERT(place->sequence == wal->sequence + 1 || wal->sequence == 0);
    if (record->kind == KVR__WAL_RESET) {
        kvr__wal_log_clear(wal, record->first_index);
    }
    if (record->entry_count > 0) {
        bool replaces = record->first_index <= wal->last_index;
        if (replaces) {
            cut_from(wal, record->first_index);
        }
        if (needs_point(wal, place, replaces)) {
            KVR_ASSERT(wal->points.count < wal->points.capacity);
            wal->points.items[wal->points.count++] = (kvr__wal_point){
                .index = record->first_index, .replaces = replaces, .place = *place};
        }
        wal->last_index = record->first_index + record->entry_count - 1;
        kvr__wal_segment_find(wal, place->number)->last_index = wal->last_index;
        if (record->first_index < wal->oldest_index) {
            wal->oldest_index = record->first_index;
        }
    }
    wal->durable_first = record->log_first;
    wal->sequence = record->sequence;
    wal->checksum = record->checksum;
}

kvr__wal_place kvr__wal_log_find(const kvr_wal *wal, uint64_t index, uint64_t *out_until)
{
    KVR_ASSERT(index >= wal->first_index);
    KVR_ASSERT(index <= wal->last_index);
    /* the last point at or before index is in [low, high) */
    uint32_t low = 0, high = wal->points.count;
    while (high - low > 1) {
        uint32_t middle = low + (high - low) / 2;
        if (wal->points.items[middle].index <= index) {
            low = middle;
        } else {
            high = middle;
        }
    }
    KVR_ASSERT(high > low);
    KVR_ASSERT(wal->points.items[low].index <= index);
    uint32_t after = low + 1;
    while (after < wal->points.count && !wal->points.items[after].replaces) {
        after++;
    }
    *out_until = after < wal->points.count ? wal->points.items[after].index : UINT64_MAX;
    return wal->next_index == index ? wal->next_place : wal->points.items[low].place;
}

void kvr__wal_log_drop_segment(kvr_wal *wal)
{
    KVR_ASSERT(wal->segments.count > 1);
    const kvr__wal_segment *oldest = &wal->segments.items[0];
    KVR_ASSERT(oldest->last_index < wal->first_index);
    uint32_t gone = 0;
    while (gone < wal->points.count && wal->points.items[gone].place.number == oldest->number) {
        gone++;
    }
    memmove(wal->points.items, wal->points.items + gone,
            (wal->points.count - gone) * sizeof(kvr__wal_point));
    wal->points.count -= gone;
    wal->segments.count--;
    memmove(wal->segments.items, wal->segments.items + 1,
            wal->segments.count * sizeof(kvr__wal_segment));
    wal->next_index = 0;
}
