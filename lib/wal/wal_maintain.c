/* SPDX-License-Identifier: Apache-2.0 */
/* wal_maintain.c: what can wait, one slice a call, so that no request waits long behind it. The
 * order is the safety: a new snapshot is read back before the one before it goes; older snapshots
 * go before the segments that they would need; that a segment is not needed any more is durable
 * before it goes (W4, FAULTS 59, 81). */
#include "wal_internal.h"

#include "base/array.h"
#include "base/assertion.h"
#include "base/buggify.h"

static const char remedy_older[] =
    "restart this member: it goes on from the older snapshot and its log, which were kept";

/* ------------------------------------------------------------------ snapshots */

/* The next group, if any, whose newest snapshot is to be read back, or stands above older ones. */
static kvr__wal_group *next_with_snapshots(kvr_wal *wal)
{
    for (uint32_t i = 0; i < wal->groups.count; i++) {
        kvr__wal_group *group = wal->groups.items[i];
        const kvr__wal_snapshot *newest = kvr__wal_snapshot_newest(group);
        if (newest != NULL && (!newest->is_read_back || group->snapshots.count > 1)) {
            return group;
        }
    }
    return NULL;
}

static kvr_status read_back(kvr_wal *wal, kvr__wal_group *group, kvr__wal_snapshot *newest)
{
    kvr_status status = KVR_AGAIN;
    if (wal->verify.group != group) {
        kvr__wal_verify_end(wal);
        status = kvr__wal_verify_begin(wal, group, newest);
        status = status == KVR_OK ? KVR_AGAIN : status;
    } else {
        status = kvr__wal_verify_step(wal, newest);
    }
    if (status == KVR_AGAIN) {
        return status;
    }
    kvr__wal_verify_end(wal);
    if (status == KVR_OK) {
        newest->is_read_back = true;
        return KVR_AGAIN;
    }
    if (status == KVR_ENOMEM) {
        return KVR_ENOSPACE;
    }
    kvr__wal_name name = kvr__wal_snapshot_name(wal, group, newest);
    return kvr__wal_files_fail(
        wal, &(kvr__wal_damage){.status = status == KVR_EIO ? KVR_FSTORAGE : KVR_FCORRUPT,
                                .file = name.text,
                                .offset = wal->failure.offset,
                                .what = "a new snapshot cannot be read back",
                                .remedy = remedy_older});
}

/* The newest was read back: all others go. */
static kvr_status remove_older_snapshot(kvr_wal *wal, kvr__wal_group *group)
{
    kvr__wal_name name = kvr__wal_snapshot_name(wal, group, &group->snapshots.items[0]);
    kvr__wal_files_close(wal, &wal->read_file);
    kvr_status status = kvr__wal_files_unlink(wal, name.text);
    if (status == KVR_OK) {
        status = kvr__wal_files_flush_names(wal);
    }
    if (status != KVR_OK) {
        return status;
    }
    kvr__wal_snapshot_drop(wal, group, 0);
    return KVR_AGAIN;
}

static kvr_status settle_snapshots(kvr_wal *wal)
{
    kvr__wal_group *group = wal->snapshot_due ? next_with_snapshots(wal) : NULL;
    if (group == NULL) {
        wal->snapshot_due = false;
        return KVR_OK;
    }
    kvr__wal_snapshot *newest = &group->snapshots.items[group->snapshots.count - 1];
    return newest->is_read_back ? remove_older_snapshot(wal, group) : read_back(wal, group, newest);
}

/* ------------------------------------------------------------------ segments */

static bool is_needed(const kvr_wal *wal, uint64_t number)
{
    for (uint32_t i = 0; i < wal->groups.count; i++) {
        if (kvr__wal_log_first_segment(wal->groups.items[i]) <= number) {
            return true;
        }
    }
    return false;
}

/* What only segments up to `number` say of a group, beside entries, is said again. KVR_OK: nothing
 * is; KVR_AGAIN. */
static kvr_status tell_again(kvr_wal *wal, uint64_t number)
{
    if (kvr__wal_group_is_many(wal)) {
        return kvr__wal_group_tell(wal, number);
    }
    kvr__wal_group *group = wal->groups.items[0];
    if (group->durable_first >= group->first_index && !group->reset_due) {
        return KVR_OK;
    }
    kvr_status status = kvr__wal_append_empty(wal, group, 0);
    return status == KVR_OK ? KVR_AGAIN : status;
}

/* The oldest segment becomes a ready file, or goes if there are enough. */
static kvr_status retire(kvr_wal *wal, const kvr__wal_segment *oldest)
{
    if (kvr__array_grow(&wal->mem, KVR__MEM_LOG, (void **)&wal->ready.items, &wal->ready.capacity,
                        wal->ready.count + 1, sizeof(kvr__wal_ready)) != KVR_OK) {
        return KVR_ENOSPACE;
    }
    kvr__wal_ready ready = {oldest->number, oldest->size};
    kvr__wal_name name = kvr__wal_name_log(oldest->number);
    bool is_kept =
        wal->ready.count < wal->config.segments_ready && !KVR_BUGGIFY(&wal->mem, WAL_SPARE_NONE);
    kvr_status status =
        is_kept ? kvr__wal_files_rename(wal, name.text, kvr__wal_name_ready(ready.number).text)
                : kvr__wal_files_unlink(wal, name.text);
    if (status == KVR_OK) {
        status = kvr__wal_files_flush_names(wal);
    }
    if (status == KVR_OK && is_kept) {
        wal->ready.items[wal->ready.count++] = ready;
    }
    return status;
}

static kvr_status remove_oldest_segment(kvr_wal *wal)
{
    if (!wal->removal_due) {
        return KVR_OK;
    }
    const kvr__wal_segment *oldest = &wal->segments.items[0];
    kvr_status status = KVR_OK;
    if (wal->segments.count < 2 || is_needed(wal, oldest->number)) {
        status = kvr__wal_carry(wal);
        wal->removal_due = status != KVR_OK;
        return status;
    }
    status = tell_again(wal, oldest->number);
    if (status == KVR_OK) {
        status = retire(wal, &wal->segments.items[0]);
        if (status == KVR_OK) {
            kvr__wal_segment_drop_oldest(wal);
            status = KVR_AGAIN;
        }
    }
    return status;
}

/* ------------------------------------------------------------------ files that are ready */

/* Too many of them, or one that is too long: after a change of the config, or an entry as large as
 * a segment. */
static kvr_status trim_ready(kvr_wal *wal)
{
    uint32_t i = 0;
    while (i < wal->ready.count && wal->ready.items[i].size <= wal->config.segment_bytes) {
        i++;
    }
    if (i == wal->ready.count) {
        if (wal->ready.count <= wal->config.segments_ready) {
            return KVR_OK;
        }
        i--;
    }
    kvr__wal_files_close(wal, &wal->fill);
    kvr_status status =
        kvr__wal_files_unlink(wal, kvr__wal_name_ready(wal->ready.items[i].number).text);
    if (status != KVR_OK) {
        return status;
    }
    wal->ready.items[i] = wal->ready.items[--wal->ready.count];
    return KVR_AGAIN;
}

/* Writes zeros from *size on, up to the length of a segment, and makes them durable: so that the
 * flush of a record later has no blocks to allocate and no size to write. */
static kvr_status fill(kvr_wal *wal, kvr__wal_file *file, uint64_t *size)
{
    uint64_t left = wal->config.segment_bytes - *size;
    size_t now = left < wal->read_capacity ? (size_t)left : wal->read_capacity;
    memset(wal->read_buffer, 0, now);
    kvr_status status = kvr__wal_files_write(wal, file, (kvr_slice){wal->read_buffer, now}, *size);
    if (status == KVR_OK) {
        status = kvr__wal_files_flush(wal, file);
    }
    if (status == KVR_OK) {
        *size += now;
    }
    return status == KVR_OK ? KVR_AGAIN : status;
}

static kvr_status fill_last_segment(kvr_wal *wal)
{
    kvr__wal_segment *last = kvr__wal_segment_last(wal);
    if (last == NULL || !wal->file.is_open || last->size >= wal->config.segment_bytes) {
        return KVR_OK;
    }
    return fill(wal, &wal->file, &last->size);
}

static kvr_status fill_ready(kvr_wal *wal)
{
    uint32_t i = 0;
    while (i < wal->ready.count && wal->ready.items[i].size >= wal->config.segment_bytes) {
        i++;
    }
    if (i == wal->ready.count && i >= wal->config.segments_ready) {
        kvr__wal_files_close(wal, &wal->fill);
        return KVR_OK;
    }
    bool is_new = i == wal->ready.count;
    if (is_new && kvr__array_grow(&wal->mem, KVR__MEM_LOG, (void **)&wal->ready.items,
                                  &wal->ready.capacity, i + 1, sizeof(kvr__wal_ready)) != KVR_OK) {
        return KVR_ENOSPACE;
    }
    uint64_t number = is_new ? kvr__wal_segment_new_number(wal) : wal->ready.items[i].number;
    kvr__wal_name name = kvr__wal_name_ready(number);
    if (wal->fill.is_open && strcmp(wal->fill.name.text, name.text) != 0) {
        kvr__wal_files_close(wal, &wal->fill);
    }
    kvr_status status = KVR_OK;
    if (!wal->fill.is_open) {
        status = kvr__wal_files_open(wal, name.text,
                                     KVR_FILE_READ | KVR_FILE_WRITE | KVR_FILE_CREATE, &wal->fill);
    }
    if (status == KVR_OK && is_new) {
        wal->ready.items[wal->ready.count++] = (kvr__wal_ready){number, 0};
        status = kvr__wal_files_truncate(wal, &wal->fill, 0);
    }
    return status == KVR_OK ? fill(wal, &wal->fill, &wal->ready.items[i].size) : status;
}

kvr_status kvr__wal_maintain(kvr_wal *wal)
{
    static kvr_status (*const jobs[])(kvr_wal *) = {
        settle_snapshots, remove_oldest_segment, trim_ready, fill_last_segment, fill_ready,
    };
    for (size_t i = 0; i < sizeof jobs / sizeof jobs[0]; i++) {
        kvr_status status = jobs[i](wal);
        if (status != KVR_OK) {
            return status;
        }
    }
    return KVR_OK;
}
