/* SPDX-License-Identifier: Apache-2.0 */
/* mvcc_count.c: how many keys of an interval live. At the head: the rank of its end minus the rank
 * of its start, O(log n). At an older revision: the same, less what the changes since have added,
 * read back from the tail of the log; or by visiting the keys, once that has turned out to be less
 * work. */
#include "mvcc_internal.h"

kvr_status kvr__mvcc_revision_check(const kvr__mvcc_snap *snap, uint64_t revision)
{
    if (revision > snap->revision) {
        return KVR_EFUTURE;
    }
    return revision < snap->compacted ? KVR_ECOMPACTED : KVR_OK;
}

kvr_status kvr__mvcc_range_read(const kvr_range *range, const kvr__mvcc_snap *snap,
                                kvr__mvcc_interval *out_interval, uint64_t *out_revision)
{
    if (!kvr__mvcc_is_sized(range, sizeof *range) || range->key.size == 0 ||
        !kvr__mvcc_is_slice(&range->key) || !kvr__mvcc_is_slice(&range->range_end)) {
        return KVR_EINVAL;
    }
    *out_interval = kvr__mvcc_interval_of(&range->key, &range->range_end);
    *out_revision = range->revision == 0 ? snap->revision : range->revision;
    return kvr__mvcc_revision_check(snap, *out_revision);
}

static uint64_t count_now(const kvr__mvcc_snap *snap, const kvr__mvcc_interval *interval)
{
    if (kvr__mvcc_interval_is_empty(interval)) {
        return 0;
    }
    if (interval->is_single) {
        const kvr__mvcc_record *record = kvr__mvcc_tree_find(snap->root, interval->from);
        return record != NULL && kvr__mvcc_record_is_live(record);
    }
    uint64_t end =
        interval->is_unbounded ? snap->live_keys : kvr__mvcc_tree_rank(snap->root, interval->to);
    return end - kvr__mvcc_tree_rank(snap->root, interval->from);
}

/* What the changes after `revision` have added to the interval; false if there are more than
 * `budget`. A put of version 1 adds a key, a delete takes one (there is no delete of a key that is
 * not there), others do neither: so only the changes themselves are looked at. */
static bool added_since(const kvr__mvcc_snap *snap, const kvr__mvcc_interval *interval,
                        uint64_t revision, uint64_t budget, int64_t *out_added)
{
    const kvr__mvcc_segment *segment = snap->tail;
    int64_t added = 0;
    for (uint64_t i = snap->change_end; i > snap->change_first; budget--) {
        i--;
        if (i < segment->first) {
            segment = segment->prev;
        }
        const kvr__mvcc_record *record = segment->changes[i - segment->first];
        if (i >= segment->first + 8) {
            kvr__mvcc_record_prefetch(segment->changes[i - segment->first - 8]);
        }
        if (record->mod <= revision) {
            break;
        }
        if (budget == 0) {
            return false;
        }
        bool is_live = kvr__mvcc_record_is_live(record);
        if ((!is_live || kvr__mvcc_record_version(record) == 1) &&
            kvr__mvcc_interval_has(interval, kvr__mvcc_record_key_slice(record))) {
            added += is_live ? 1 : -1;
        }
    }
    *out_added = added;
    return true;
}

uint64_t kvr__mvcc_count_at(const kvr__mvcc_snap *snap, const kvr__mvcc_interval *interval,
                            uint64_t revision)
{
    uint64_t now = count_now(snap, interval);
    int64_t added = 0;
    if (revision == snap->revision) {
        return now;
    }
    if (!interval->is_single &&
        added_since(snap, interval, revision, now + KVR__MVCC_LEAF_SLOTS, &added)) {
        return (uint64_t)((int64_t)now - added);
    }
    kvr__mvcc_cursor cursor;
    uint64_t count = 0;
    kvr__mvcc_cursor_start(&cursor, snap, interval, revision);
    while (kvr__mvcc_cursor_next_live(&cursor) != NULL) {
        count++;
    }
    return count;
}

kvr_status kvr_mvcc_count(const kvr_mvcc_view *view, const kvr_range *range, uint64_t *out_count)
{
    kvr__mvcc_interval interval;
    uint64_t revision;
    kvr_status status = kvr__mvcc_range_read(range, &view->snap, &interval, &revision);
    if (status == KVR_OK) {
        *out_count = kvr__mvcc_count_at(&view->snap, &interval, revision);
    }
    return status;
}
