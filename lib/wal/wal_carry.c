/* SPDX-License-Identifier: Apache-2.0 */
/* wal_carry.c: in a store of many groups one that is idle would keep the oldest segment for ever,
 * and with it all that the others wrote since. When the log is several times longer than what is
 * needed of it, what is needed of the oldest segment is written once more, behind all else, as the
 * cleaner of a log-structured file system does (Rosenblum and Ousterhout, 1992). So the log is
 * never longer than a multiple of what is alive, and each byte is carried but a fraction of a time
 * for each byte that is appended.
 *
 *   segment 1        segment 2       segment 3
 *   [a 5..7][b 1]    [a 8..9][b 2]   [b 3][carry a 5..7]     a: points 5 in 3, 8 in 2; 1 may go */
#include "wal_internal.h"

#include "base/assertion.h"

#ifdef KVR_HOSTILE
enum { CARRY_FACTOR = 2, CARRY_SEGMENTS = 1 };
#else
enum { CARRY_FACTOR = 4, CARRY_SEGMENTS = 4 }; /* what the log may be longer than what is alive */
#endif

/* ------------------------------------------------------------------ a record of it */

const char *kvr__wal_carry_refuses(const kvr__wal_group *group, const kvr__wal_record *record)
{
    return group->shares && record->entry_count > 0 && record->first_index >= record->log_first
               ? NULL
               : "a record that carries nothing that is needed";
}

static void insert_point(kvr__wal_group *group, uint32_t at, kvr__wal_point point)
{
    KVR_ASSERT(group->points.count < group->points.capacity);
    memmove(group->points.items + at + 1, group->points.items + at,
            (group->points.count - at) * sizeof point);
    group->points.items[at] = point;
    group->points.count++;
}

void kvr__wal_carry_apply(kvr__wal_group *group, const kvr__wal_record *record,
                          const kvr__wal_place *place)
{
    kvr__wal_point point = {.index = record->first_index,
                            .end = record->first_index + record->entry_count,
                            .is_begin = true,
                            .place = *place};
    uint32_t from = 0, to;
    while (from < group->points.count && group->points.items[from].index < point.index) {
        from++;
    }
    for (to = from; to < group->points.count && group->points.items[to].index < point.end;) {
        to++;
    }
    kvr__wal_point rest = {.end = 0};
    if (to > 0) {
        rest = group->points.items[to - 1];
        point.bytes = group->points.items[to > from ? from : to - 1].bytes;
    }
    if (from > 0 && group->points.items[from - 1].end > point.index) {
        group->points.items[from - 1].end = point.index;
    }
    memmove(group->points.items + from, group->points.items + to,
            (group->points.count - to) * sizeof rest);
    group->points.count -= to - from;
    if (rest.end > point.end) { /* what follows in its place is found from there still */
        rest.index = point.end;
        rest.is_begin = true;
        insert_point(group, from, rest);
    }
    insert_point(group, from, point);
    group->oldest_index = point.index < group->oldest_index ? point.index : group->oldest_index;
    group->last_index = point.end - 1 > group->last_index ? point.end - 1 : group->last_index;
    group->next_index = 0;
}

/* ------------------------------------------------------------------ when, and what */

/* Bytes that the groups' logs still hold; more if some were replaced. */
static uint64_t live_bytes(const kvr_wal *wal)
{
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < wal->groups.count; i++) {
        const kvr__wal_group *group = wal->groups.items[i];
        if (group->first_index <= group->last_index) {
            uint32_t at = kvr__wal_log_point(group, group->first_index);
            bytes += group->bytes - group->points.items[at].bytes;
        }
    }
    return bytes;
}

static bool is_too_long(const kvr_wal *wal)
{
    uint64_t used = 0;
    for (uint32_t i = 0; i < wal->segments.count; i++) {
        used += wal->segments.items[i].end;
    }
    return wal->segments.count > CARRY_SEGMENTS + 1 &&
           used / CARRY_FACTOR >
               live_bytes(wal) + CARRY_SEGMENTS * (wal->config.segment_bytes / CARRY_FACTOR);
}

/* Entries of `group` that stand in segment `number`, and are needed: the last of a run, so that
 * what a crash leaves of such records always joins what comes behind them. About `room` bytes, in
 * whole points. False: there are none. */
static bool find_entries(const kvr__wal_group *group, uint64_t number, uint64_t room,
                         kvr_store_request *out)
{
    const kvr__wal_point *points = group->points.items;
    if (group->first_index > group->last_index) {
        return false;
    }
    uint32_t first = kvr__wal_log_point(group, group->first_index), at = first;
    while (at < group->points.count && points[at].place.number != number) {
        at++;
    }
    if (at == group->points.count) {
        return false;
    }
    uint32_t begin = at;
    while (at + 1 < group->points.count && points[at + 1].place.number == number) {
        at++;
    }
    uint64_t end_bytes = at + 1 < group->points.count ? points[at + 1].bytes : group->bytes;
    out->last_index = points[at].end - 1;
    while (at > begin && end_bytes - points[at - 1].bytes <= room) {
        at--;
    }
    out->first_index =
        points[at].index < group->first_index ? group->first_index : points[at].index;
    return true;
}

/* What is too much for one read, or damaged, stays where it is: whoever needs it will be told. */
static kvr_status carry_entries(kvr_wal *wal, kvr__wal_group *group, const kvr_store_request *read)
{
    kvr_store_result result = {.size = sizeof result};
    kvr_status status = kvr__wal_read(wal, group, read, &result);
    if (status != KVR_OK) {
        return status == KVR_ENOSPACE ? status : KVR_OK;
    }
    if (result.last_index == read->last_index) {
        const kvr_store_request request = {
            .kind = KVR_STORE_APPEND,
            .first_index = result.first_index,
            .entry_count = result.entry_count,
            .pieces = result.pieces,
            .piece_count = 1,
        };
        status = kvr__wal_append_carry(wal, group, &request);
        status = status == KVR_OK ? KVR_AGAIN : status;
    }
    kvr__wal_read_end_newest(wal);
    return status;
}

kvr_status kvr__wal_carry(kvr_wal *wal)
{
    if (!kvr__wal_group_is_many(wal) || !is_too_long(wal)) {
        return KVR_OK;
    }
    for (uint32_t i = 0; i < wal->groups.count; i++) {
        kvr__wal_group *group = wal->groups.items[i];
        kvr_store_request read = {.kind = KVR_STORE_READ, .byte_max = KVR__WAL_READ_BYTES_MAX};
        if (!group->reset_due && find_entries(group, wal->segments.items[0].number,
                                              wal->config.batch_bytes / 2, &read)) {
            return carry_entries(wal, group, &read);
        }
    }
    return KVR_OK;
}
