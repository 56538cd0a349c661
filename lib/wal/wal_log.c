/* SPDX-License-Identifier: Apache-2.0 */
/* wal_log.c: where the entries of a group's log stand in the segments, which groups share. An index
 * of one point in 64 KiB is enough to find any of them, because the records of a group between two
 * points follow one another; so memory is a thousandth of the log's size.
 *
 *   segment 1                      segment 2
 *   [1..4][5..9][10..12]           [8..11][12..15]       10..12 were replaced by 8..11
 *    ^1                             ^8       points: 1, and 8 which replaces; 9 is found from 8,
 *                                            7 from 1, and reading on from 7 stops before 8 */
#include "wal_internal.h"

#include "base/array.h"
#include "base/assertion.h"

kvr_status kvr__wal_log_reserve(kvr_wal *wal, kvr__wal_group *group)
{
    return kvr__array_grow(&wal->mem, KVR__MEM_LOG, (void **)&group->points.items,
                           &group->points.capacity, group->points.count + 1,
                           sizeof(kvr__wal_point));
}

const char *kvr__wal_log_refuses(const kvr__wal_group *group, const kvr__wal_record *record)
{
    uint64_t first = record->first_index;
    KVR_ASSERT(record->group_id == group->id);
    if (record->log_first == 0 || first == 0 || first > KVR__WAL_NUMBER_MAX) {
        return "a record with an impossible index";
    }
    switch (record->kind) {
    case KVR__WAL_APPEND:
        if (first > group->last_index + 1 || first < record->log_first ||
            record->entry_count == 0) {
            return "a record whose entries do not continue the log";
        }
        return NULL;
    case KVR__WAL_MARK:
        if (first != group->last_index + 1 || record->log_first > first ||
            record->entry_count != 0) {
            return "a mark that does not stand at the end of the log";
        }
        return NULL;
    default:
        return record->log_first == first ? NULL : "a reset that does not begin where it says";
    }
}

void kvr__wal_log_clear(kvr__wal_group *group, uint64_t first_index)
{
    KVR_ASSERT(first_index > 0);
    group->points.count = 0;
    group->first_index = first_index;
    group->oldest_index = first_index;
    group->last_index = first_index - 1;
    group->next_index = 0;
}

/* Entries from `index` on are replaced. */
static void cut_from(kvr__wal_group *group, uint64_t index)
{
    while (group->points.count > 0 && group->points.items[group->points.count - 1].index >= index) {
        group->points.count--;
    }
    group->next_index = 0;
}

static bool needs_point(const kvr__wal_group *group, const kvr__wal_place *place, bool replaces)
{
    if (replaces || group->points.count == 0) {
        return true;
    }
    const kvr__wal_place *before = &group->points.items[group->points.count - 1].place;
    return before->number != place->number ||
           place->offset - before->offset >= KVR__WAL_POINT_BYTES;
}

void kvr__wal_log_apply(kvr__wal_group *group, const kvr__wal_record *record,
                        const kvr__wal_place *place)
{
    KVR_ASSERT(kvr__wal_log_refuses(group, record) == NULL);
    if (record->kind == KVR__WAL_RESET) {
        kvr__wal_log_clear(group, record->first_index);
    }
    if (record->entry_count > 0) {
        bool replaces = record->first_index <= group->last_index;
        if (replaces) {
            cut_from(group, record->first_index);
        }
        if (needs_point(group, place, replaces)) {
            KVR_ASSERT(group->points.count < group->points.capacity);
            group->points.items[group->points.count++] = (kvr__wal_point){
                .index = record->first_index,
                .is_begin = replaces || group->shares,
                .place = *place};
        }
        group->last_index = record->first_index + record->entry_count - 1;
        if (record->first_index < group->oldest_index) {
            group->oldest_index = record->first_index;
        }
    }
    group->durable_first = record->log_first;
    group->told_snapshot = record->snapshot_index;
    group->is_known = true;
}

/* The number of the last point at or before `index`, which the log holds. */
static uint32_t point_of(const kvr__wal_group *group, uint64_t index)
{
    KVR_ASSERT(index >= group->first_index);
    KVR_ASSERT(index <= group->last_index);
    uint32_t low = 0, high = group->points.count; /* it is in [low, high) */
    while (high - low > 1) {
        uint32_t middle = low + (high - low) / 2;
        if (group->points.items[middle].index <= index) {
            low = middle;
        } else {
            high = middle;
        }
    }
    KVR_ASSERT(high > low);
    KVR_ASSERT(group->points.items[low].index <= index);
    return low;
}

kvr__wal_place kvr__wal_log_find(const kvr__wal_group *group, uint64_t index, uint64_t *out_until)
{
    uint32_t at = point_of(group, index), after = at + 1;
    while (after < group->points.count && !group->points.items[after].is_begin) {
        after++;
    }
    *out_until = after < group->points.count ? group->points.items[after].index : UINT64_MAX;
    return group->next_index == index ? group->next_place : group->points.items[at].place;
}

uint64_t kvr__wal_log_first_segment(const kvr__wal_group *group)
{
    if (group->first_index > group->last_index) {
        return UINT64_MAX;
    }
    return group->points.items[point_of(group, group->first_index)].place.number;
}

void kvr__wal_log_drop_segment(kvr__wal_group *group, uint64_t number)
{
    KVR_ASSERT(kvr__wal_log_first_segment(group) > number);
    uint32_t gone = 0;
    while (gone < group->points.count && group->points.items[gone].place.number <= number) {
        gone++;
    }
    if (gone > 0) {
        group->points.count -= gone;
        memmove(group->points.items, group->points.items + gone,
                group->points.count * sizeof(kvr__wal_point));
    }
    group->next_index = 0;
}
