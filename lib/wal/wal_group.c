/* SPDX-License-Identifier: Apache-2.0 */
/* wal_group.c: the groups of a store. A store of one has one, and a vote file with its term and
 * vote. A store of many keeps those in the log itself, as items of GROUPS records, so that a
 * thousand votes are one flush too; before a segment goes, what only it tells of groups is told
 * again (wal_maintain.c). Invariant: for each group, the newest item and the segments that are
 * kept say all that was acknowledged. */
#include "wal_internal.h"

#include "base/array.h"
#include "base/assertion.h"

/* ------------------------------------------------------------------ the table */

/* The place of `id` among the groups, or where it belongs. */
static uint32_t place_of(const kvr_wal *wal, uint64_t id)
{
    uint32_t low = 0, high = wal->groups.count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (wal->groups.items[middle]->id < id) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

kvr__wal_group *kvr__wal_group_find(const kvr_wal *wal, uint64_t id)
{
    uint32_t at = place_of(wal, id);
    bool found = at < wal->groups.count && wal->groups.items[at]->id == id;
    return found ? wal->groups.items[at] : NULL;
}

kvr_status kvr__wal_group_add(kvr_wal *wal, uint64_t id, kvr__wal_group **out_group)
{
    kvr__wal_group *group = kvr__wal_group_find(wal, id);
    if (group == NULL) {
        if (kvr__array_grow(&wal->mem, KVR__MEM_HANDLE, (void **)&wal->groups.items,
                            &wal->groups.capacity, wal->groups.count + 1,
                            sizeof *wal->groups.items) != KVR_OK) {
            return KVR_ENOMEM;
        }
        group = kvr__mem_zalloc(&wal->mem, KVR__MEM_HANDLE, sizeof *group);
        if (group == NULL) {
            return KVR_ENOMEM;
        }
        group->id = id;
        group->shares = kvr__wal_group_is_many(wal);
        kvr__wal_log_clear(group, 1);
        uint32_t at = place_of(wal, id);
        memmove(wal->groups.items + at + 1, wal->groups.items + at,
                (wal->groups.count - at) * sizeof *wal->groups.items);
        wal->groups.items[at] = group;
        wal->groups.count++;
    }
    *out_group = group;
    return KVR_OK;
}

kvr_status kvr__wal_group_need(kvr_wal *wal, uint64_t id, kvr__wal_group **out_group)
{
    *out_group = kvr__wal_group_find(wal, id);
    if (*out_group != NULL) {
        return KVR_OK;
    }
    if (!kvr__wal_group_is_many(wal) || wal->groups.count >= wal->config.groups_max) {
        return kvr__wal_files_report(
            wal, &(kvr__wal_damage){.status = KVR_EINVAL,
                                    .file = "",
                                    .what = "one group more than this store may hold",
                                    .remedy = "raise groups_max, or forget a group"});
    }
    if (kvr__wal_group_add(wal, id, out_group) == KVR_OK) {
        return KVR_OK;
    }
    return kvr__wal_files_report(wal, &(kvr__wal_damage){.status = KVR_ENOSPACE,
                                                         .file = "",
                                                         .what = "no memory for a group",
                                                         .remedy = "it will be asked for again"});
}

void kvr__wal_group_drop(kvr_wal *wal, kvr__wal_group *group)
{
    uint32_t at = place_of(wal, group->id);
    KVR_ASSERT(wal->groups.items[at] == group);
    kvr__wal_snapshot_close(wal, group);
    while (group->snapshots.count > 0) {
        kvr__wal_snapshot_drop(wal, group, group->snapshots.count - 1);
    }
    kvr__array_free(&wal->mem, KVR__MEM_HANDLE, (void **)&group->snapshots.items,
                    &group->snapshots.capacity, sizeof *group->snapshots.items);
    kvr__array_free(&wal->mem, KVR__MEM_LOG, (void **)&group->points.items, &group->points.capacity,
                    sizeof *group->points.items);
    kvr__mem_free(&wal->mem, KVR__MEM_HANDLE, group, sizeof *group);
    wal->groups.count--;
    memmove(wal->groups.items + at, wal->groups.items + at + 1,
            (wal->groups.count - at) * sizeof *wal->groups.items);
}

/* ------------------------------------------------------------------ items */

static void item_of(const kvr__wal_group *group, kvr__wal_group_item *out)
{
    const kvr__wal_snapshot *newest = kvr__wal_snapshot_newest(group);
    *out = (kvr__wal_group_item){
        .group_id = group->id,
        .term = group->term,
        .voted_for = group->voted_for,
        .incarnation = group->incarnation,
        .first_index = group->first_index,
        .last_index = group->last_index,
        .snapshot_index = newest == NULL ? 0 : newest->index,
        .flags = group->reset_due ? KVR__WAL_ITEM_RESET : 0,
    };
}

kvr_status kvr__wal_group_introduce(kvr_wal *wal, uint64_t id, kvr__wal_group **out_group)
{
    kvr_status status = kvr__wal_group_need(wal, id, out_group);
    if (status != KVR_OK || (*out_group)->is_known) {
        return status;
    }
    kvr__wal_group_item item;
    uint8_t bytes[KVR__WAL_ITEM_SIZE];
    item_of(*out_group, &item);
    kvr__wal_group_item_write(bytes, &item);
    return kvr__wal_append_groups(wal, (kvr_slice){bytes, sizeof bytes});
}

kvr_status kvr__wal_group_vote(kvr_wal *wal, kvr__wal_group *group,
                               const kvr_store_request *request, kvr__wal_content *out)
{
    const char *what = kvr__wal_vote_refuses(group, request);
    if (what != NULL) {
        return kvr__wal_files_report(wal, &(kvr__wal_damage){.status = KVR_EINVAL,
                                                             .file = "",
                                                             .what = what,
                                                             .remedy = "a bug of the caller"});
    }
    kvr__wal_group_item item;
    item_of(group, &item);
    item.term = request->term;
    item.voted_for = request->voted_for;
    item.incarnation = request->incarnation;
    *out = (kvr__wal_content){
        .kind = KVR__WAL_GROUPS, .entry_count = 1, .body_size = KVR__WAL_ITEM_SIZE};
    kvr__wal_group_item_write(out->item, &item);
    return KVR_OK;
}

static const char *refuses(const kvr__wal_group *group, const kvr__wal_group_item *item)
{
    if (group == NULL || !group->is_known) {
        return NULL;
    }
    if ((item->flags & (KVR__WAL_ITEM_RESET | KVR__WAL_ITEM_GONE)) == 0 &&
        item->last_index < group->last_index) {
        return "an item of a log that was longer";
    }
    return item->term < group->term || item->incarnation < group->incarnation
               ? "an item whose term or incarnation goes back"
               : NULL;
}

const char *kvr__wal_group_refuses(const kvr_wal *wal, kvr_slice items)
{
    for (; items.size >= KVR__WAL_ITEM_SIZE;
         items.data += KVR__WAL_ITEM_SIZE, items.size -= KVR__WAL_ITEM_SIZE) {
        kvr__wal_group_item item;
        if (!kvr__wal_group_item_read(items.data, &item)) {
            return "an item with impossible indices";
        }
        const char *what = refuses(kvr__wal_group_find(wal, item.group_id), &item);
        if (what != NULL) {
            return what;
        }
    }
    return items.size == 0 ? NULL : "a part of an item";
}

/* Takes an item that is as it must be. A group that is gone is no longer known: should it come
 * back, it begins anew. */
static void apply_item(kvr__wal_group *group, const kvr__wal_group_item *item, uint64_t number)
{
    if ((item->flags & KVR__WAL_ITEM_GONE) != 0) {
        kvr__wal_log_clear(group, 1);
        group->term = group->voted_for = group->incarnation = 0;
        group->durable_first = group->told_snapshot = 0;
        group->item_number = number;
        group->is_known = false;
        group->is_gone = true;
        return;
    }
    if (!group->is_known || (item->flags & KVR__WAL_ITEM_RESET) != 0) {
        kvr__wal_log_clear(group, item->last_index + 1);
        group->oldest_index = item->last_index + 1;
        group->reset_due = false;
    }
    if (item->last_index > group->last_index) {
        group->last_index = item->last_index; /* those entries were carried: they come later */
    }
    group->is_known = true;
    group->is_gone = false;
    group->term = item->term;
    group->voted_for = item->voted_for;
    group->incarnation = item->incarnation;
    group->durable_first = item->first_index;
    group->told_snapshot = item->snapshot_index;
    group->item_number = number;
}

void kvr__wal_group_apply(kvr_wal *wal, kvr_slice items, uint64_t number)
{
    for (; items.size > 0; items.data += KVR__WAL_ITEM_SIZE, items.size -= KVR__WAL_ITEM_SIZE) {
        kvr__wal_group_item item;
        bool is_right = kvr__wal_group_item_read(items.data, &item);
        kvr__wal_group *group = kvr__wal_group_find(wal, item.group_id);
        KVR_ASSERT(is_right);
        KVR_ASSERT(group != NULL);
        apply_item(group, &item, number);
    }
}

/* ------------------------------------------------------------------ before a segment goes */

static bool is_untold(const kvr__wal_group *group, uint64_t number)
{
    return group->item_number <= number || group->durable_first < group->first_index ||
           group->reset_due;
}

kvr_status kvr__wal_group_tell(kvr_wal *wal, uint64_t number)
{
    size_t room =
        wal->config.batch_bytes < wal->read_capacity ? wal->config.batch_bytes : wal->read_capacity;
    size_t segment = (size_t)(wal->config.segment_bytes < room ? wal->config.segment_bytes : room);
    room = segment - (size_t)4 * KVR__WAL_HEAD_SIZE;
    size_t size = 0;
    for (uint32_t i = 0; i < wal->groups.count && room - size >= KVR__WAL_ITEM_SIZE; i++) {
        const kvr__wal_group *group = wal->groups.items[i];
        if (is_untold(group, number)) {
            kvr__wal_group_item item;
            item_of(group, &item);
            kvr__wal_group_item_write(wal->read_buffer + size, &item);
            size += KVR__WAL_ITEM_SIZE;
        }
    }
    if (size == 0) {
        return KVR_OK;
    }
    kvr_status status = kvr__wal_append_groups(wal, (kvr_slice){wal->read_buffer, size});
    return status == KVR_OK ? KVR_AGAIN : status;
}

/* ------------------------------------------------------------------ forget */

/* First the log says that the group is gone, then its files go: open removes what a crash in
 * between has left. */
kvr_status kvr__wal_group_forget(kvr_wal *wal, uint64_t id)
{
    kvr__wal_group *group = kvr__wal_group_find(wal, id);
    if (group == NULL) {
        return KVR_OK;
    }
    kvr__wal_group_item item;
    item_of(group, &item);
    item.flags = KVR__WAL_ITEM_GONE;
    uint8_t bytes[KVR__WAL_ITEM_SIZE];
    kvr__wal_group_item_write(bytes, &item);
    kvr_status status = kvr__wal_append_groups(wal, (kvr_slice){bytes, sizeof bytes});
    if (status != KVR_OK) {
        return status;
    }
    kvr__wal_snapshot_close(wal, group);
    for (uint32_t i = 0; i < group->snapshots.count && status == KVR_OK; i++) {
        kvr__wal_name name = kvr__wal_snapshot_name(wal, group, &group->snapshots.items[i]);
        status = kvr__wal_files_unlink(wal, name.text);
    }
    for (uint32_t i = 0; i < 2 && status == KVR_OK; i++) {
        status = kvr__wal_files_unlink(wal, kvr__wal_snapshot_part_name(wal, group, i).text);
    }
    if (status == KVR_OK) {
        status = kvr__wal_files_flush_names(wal);
    }
    kvr__wal_group_drop(wal, group);
    wal->removal_due = true;
    return status;
}
