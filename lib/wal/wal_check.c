/* SPDX-License-Identifier: Apache-2.0 */
/* wal_check.c: the numbered invariants of README.md, called at the doors in builds with
 * -DKVR_CHECK. */
#include "wal_internal.h"

#include "base/assertion.h"

static void check_segments(const kvr_wal *wal)
{
    for (uint32_t i = 0; i < wal->segments.count; i++) {
        const kvr__wal_segment *segment = &wal->segments.items[i];
        /* 1 */
        KVR_ASSERT(segment->first_sequence > 0);
        KVR_ASSERT(segment->first_sequence <= wal->sequence + 1);
        if (i > 0) {
            KVR_ASSERT(segment[-1].number < segment->number);
            KVR_ASSERT(segment[-1].first_sequence <= segment->first_sequence);
        }
        /* 2 */
        KVR_ASSERT(segment->end <= segment->size);
        KVR_ASSERT(segment->end % KVR__WAL_ALIGN == 0);
    }
}

static void check_log(const kvr_wal *wal, const kvr__wal_group *group)
{
    /* 3 */
    KVR_ASSERT(group->first_index > 0);
    KVR_ASSERT(group->first_index <= group->last_index + 1);
    KVR_ASSERT(group->durable_first <= group->first_index || group->reset_due);
    KVR_ASSERT(!group->in_batch);
    for (uint32_t i = 0; i < group->points.count; i++) {
        const kvr__wal_point *point = &group->points.items[i];
        /* 4 */
        KVR_ASSERT(point->index <= group->last_index);
        KVR_ASSERT(point->place.sequence <= wal->sequence);
        KVR_ASSERT(point->place.segment_id != 0);
        KVR_ASSERT(point->index < point->end);
        if (i > 0) {
            KVR_ASSERT(point[-1].index < point->index);
            KVR_ASSERT(group->shares || point[-1].place.sequence < point->place.sequence);
            KVR_ASSERT(group->shares || point[-1].place.number <= point->place.number);
        }
    }
    /* 5 */
    if (group->first_index <= group->last_index) {
        KVR_ASSERT(group->points.count > 0);
        KVR_ASSERT(group->points.items[0].index <= group->first_index);
        KVR_ASSERT(kvr__wal_log_whole_from(group) <= group->first_index);
        KVR_ASSERT(kvr__wal_log_first_segment(group) >= wal->segments.items[0].number);
    }
}

static void check_snapshots(const kvr__wal_group *group)
{
    for (uint32_t i = 0; i < group->snapshots.count; i++) {
        const kvr__wal_snapshot *snapshot = &group->snapshots.items[i];
        /* 8 */
        KVR_ASSERT(snapshot->index > 0);
        if (i > 0) {
            KVR_ASSERT(snapshot[-1].index <= snapshot->index);
        }
    }
    for (uint32_t i = 0; i < sizeof group->parts / sizeof group->parts[0]; i++) {
        const kvr__wal_part *part = group->parts[i];
        if (part != NULL && part->file.is_open) {
            /* 9 */
            KVR_ASSERT(part->written <= part->hashed);
            KVR_ASSERT(part->block_count == part->hashed / KVR__WAL_BLOCK_SIZE);
        }
    }
}

void kvr__wal_check(const kvr_wal *wal)
{
    kvr__mem_check(&wal->mem);
    if (wal->state != KVR__WAL_OPEN) {
        return;
    }
    /* 6 */
    KVR_ASSERT(kvr__wal_group_is_many(wal) || wal->groups.count == 1);
    for (uint32_t i = 0; i < wal->groups.count; i++) {
        const kvr__wal_group *group = wal->groups.items[i];
        if (i > 0) {
            KVR_ASSERT(wal->groups.items[i - 1]->id < group->id);
        }
        check_log(wal, group);
        check_snapshots(group);
    }
    /* 7 */
    KVR_ASSERT(wal->vote.sequence > 0);
    KVR_ASSERT(wal->vote.record_sequence <= wal->sequence);
    check_segments(wal);
}
