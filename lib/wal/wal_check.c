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
        /* 3 */
        KVR_ASSERT(segment->last_index <= wal->last_index);
    }
}

static void check_points(const kvr_wal *wal)
{
    for (uint32_t i = 0; i < wal->points.count; i++) {
        const kvr__wal_point *point = &wal->points.items[i];
        /* 4 */
        KVR_ASSERT(point->index <= wal->last_index);
        KVR_ASSERT(point->place.sequence <= wal->sequence);
        KVR_ASSERT(point->place.segment_id != 0);
        if (i > 0) {
            KVR_ASSERT(point[-1].index < point->index);
            KVR_ASSERT(point[-1].place.sequence < point->place.sequence);
            KVR_ASSERT(point[-1].place.number <= point->place.number);
        }
    }
    /* 5 */
    if (wal->first_index <= wal->last_index) {
        KVR_ASSERT(wal->points.count > 0);
        KVR_ASSERT(wal->points.items[0].index <= wal->first_index);
    }
}

static void check_snapshots(const kvr_wal *wal)
{
    for (uint32_t i = 0; i < wal->snapshots.count; i++) {
        const kvr__wal_snapshot *snapshot = &wal->snapshots.items[i];
        /* 8 */
        KVR_ASSERT(snapshot->index > 0);
        if (i > 0) {
            KVR_ASSERT(snapshot[-1].index <= snapshot->index);
        }
    }
    for (uint32_t i = 0; i < sizeof wal->parts / sizeof wal->parts[0]; i++) {
        const kvr__wal_part *part = &wal->parts[i];
        if (part->file.is_open) {
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
    KVR_ASSERT(wal->first_index > 0);
    KVR_ASSERT(wal->first_index <= wal->last_index + 1);
    KVR_ASSERT(wal->durable_first <= wal->first_index || wal->reset_due);
    /* 7 */
    KVR_ASSERT(wal->vote.sequence > 0);
    KVR_ASSERT(wal->vote.record_sequence <= wal->sequence);
    check_segments(wal);
    check_points(wal);
    check_snapshots(wal);
}
