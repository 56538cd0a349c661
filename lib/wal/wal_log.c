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
                           &group->points.capacity, group->points.count + 2,
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
    case KVR__WAL_CARRY:
        return kvr__wal_carry_refuses(group, record);
    case KVR__WAL_APPEND:
        /* What came before may have been carried: then it comes later. */
        if ((first > group->last_index + 1 && !group->shares) || first < record->log_first ||
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
    if (group->points.count > 0 && group->points.items[group->points.count - 1].end > index) {
        group->points.items[group->points.count - 1].end = index;
    }
    group->next_index = 0;
}

static bool needs_point(const kvr__wal_group *group, const kvr__wal_record *record,
                        const kvr__wal_place *place)
{
    if (record->first_index != group->last_index + 1 || group->points.count == 0) {
        return true;
    }
    const kvr__wal_place *before = &group->points.items[group->points.count - 1].place;
    return before->number != place->number ||
           place->offset - before->offset >= KVR__WAL_POINT_BYTES;
}

static void take_entries(kvr__wal_group *group, const kvr__wal_record *record,
                         const kvr__wal_place *place)
{
    const uint64_t first = record->first_index, end = first + record->entry_count;
    bool replaces = first <= group->last_index;
    bool is_new = needs_point(group, record, place);
    if (replaces) {
        cut_from(group, first);
    }
    if (is_new) {
        KVR_ASSERT(group->points.count < group->points.capacity);
        group->points.items[group->points.count++] = (kvr__wal_point){
            .index = first,
            .is_begin = replaces || group->shares,
            .bytes = group->bytes,
            .place = *place,
        };
    }
    group->points.items[group->points.count - 1].end = end;
    group->bytes += record->body_size;
    group->last_index = end - 1;
    group->oldest_index = first < group->oldest_index ? first : group->oldest_index;
}

void kvr__wal_log_apply(kvr__wal_group *group, const kvr__wal_record *record,
                        const kvr__wal_place *place)
{
    KVR_ASSERT(kvr__wal_log_refuses(group, record) == NULL);
    if (record->kind == KVR__WAL_RESET) {
        kvr__wal_log_clear(group, record->first_index);
    }
    if (record->kind == KVR__WAL_CARRY) {
        kvr__wal_carry_apply(group, record, place);
    } else if (record->entry_count > 0) {
        take_entries(group, record, place);
    }
    group->durable_first = record->log_first;
    group->told_snapshot = record->snapshot_index;
    group->is_known = true;
}

uint64_t kvr__wal_log_whole_from(const kvr__wal_group *group)
{
    uint64_t from = group->last_index + 1;
    for (uint32_t i = group->points.count; i > 0 && group->points.items[i - 1].end >= from; i--) {
        from = group->points.items[i - 1].index;
    }
    return from;
}

uint32_t kvr__wal_log_point(const kvr__wal_group *group, uint64_t index)
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
    uint32_t at = kvr__wal_log_point(group, index), after = at + 1;
    while (after < group->points.count && !group->points.items[after].is_begin) {
        after++;
    }
    *out_until = after < group->points.count ? group->points.items[after].index : UINT64_MAX;
    return group->next_index == index ? group->next_place : group->points.items[at].place;
}

uint64_t kvr__wal_log_first_segment(const kvr__wal_group *group)
{
    uint64_t oldest = UINT64_MAX;
    if (group->first_index > group->last_index) {
        return oldest;
    }
    /* Segments ascend from point to point, unless entries were carried. */
    uint32_t at = kvr__wal_log_point(group, group->first_index);
    uint32_t end = group->shares ? group->points.count : at + 1;
    for (; at < end; at++) {
        uint64_t number = group->points.items[at].place.number;
        oldest = number < oldest ? number : oldest;
    }
    return oldest;
}

void kvr__wal_log_drop_segment(kvr__wal_group *group, uint64_t number)
{
    KVR_ASSERT(kvr__wal_log_first_segment(group) > number);
    bool is_empty = group->first_index > group->last_index;
    uint32_t needed =
        is_empty ? group->points.count : kvr__wal_log_point(group, group->first_index);
    uint32_t gone = 0;
    while (gone < needed && (group->shares || group->points.items[gone].place.number <= number)) {
        gone++;
    }
    if (gone > 0) {
        group->points.count -= gone;
        memmove(group->points.items, group->points.items + gone,
                group->points.count * sizeof(kvr__wal_point));
    }
    group->next_index = 0;
}
