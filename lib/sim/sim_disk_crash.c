/* SPDX-License-Identifier: Apache-2.0 */
/* sim_disk_crash.c: what a power failure leaves. Each unsynced write is kept, lost, or torn sector
 * by sector; the length of a file and its content survive independently, so that zeros may stand in
 * a gap; each unsynced change of a name is kept or undone, a rename as one. What "all file systems"
 * may do is taken from Pillai et al., "All File Systems Are Not Created Equal", OSDI 2014; sectors
 * are whole. */
#include "sim_disk_internal.h"

#include <string.h>

#include "base/assertion.h"

enum { FATE_LOST, FATE_TORN, FATE_KEPT };

static uint32_t fate_of_write(kvr_sim_disk *disk)
{
    if (kvr__sim_chance(&disk->stream, disk->faults.crash_lose_ppm)) {
        return FATE_LOST;
    }
    return kvr__sim_chance(&disk->stream, disk->faults.crash_tear_ppm) ? FATE_TORN : FATE_KEPT;
}

/* Newest first: a sector is settled by the newest of its writes that survives, and until then goes
 * back to what each one that does not survive had found. */
static void undo(kvr_sim_disk *disk, kvr__sim_file *file, const kvr__sim_pending *pending)
{
    uint32_t fate = fate_of_write(disk);
    for (size_t at = 0; at < pending->size; at += KVR__SIM_SECTOR) {
        uint8_t *settled = &file->settled[(pending->offset + at) / KVR__SIM_SECTOR];
        bool survives =
            fate == FATE_KEPT || (fate == FATE_TORN && kvr__sim_chance(&disk->stream, 500000));
        if (*settled == 0 && !survives) {
            memcpy(file->data + pending->offset + at, pending->old + at, KVR__SIM_SECTOR);
        } else {
            *settled = 1;
        }
    }
}

static uint64_t surviving_length(kvr_sim_disk *disk, const kvr__sim_file *file)
{
    for (uint32_t i = file->pending.count; i > 0; i--) {
        if (!kvr__sim_chance(&disk->stream, disk->faults.crash_lose_ppm)) {
            return file->pending.items[i - 1].length;
        }
    }
    return file->length_durable;
}

void kvr__sim_crash_file(kvr_sim_disk *disk, kvr__sim_file *file)
{
    if (file->pending.count == 0) {
        return;
    }
    uint64_t length = surviving_length(disk, file);
    for (uint32_t i = file->pending.count; i > 0; i--) {
        undo(disk, file, &file->pending.items[i - 1]);
    }
    disk->used_bytes = disk->used_bytes - file->length + length;
    file->length = length;
    if (file->capacity > 0) { /* a file that was never written to has no bytes yet */
        memset(file->settled, 0, file->capacity / KVR__SIM_SECTOR);
        memset(file->data + length, 0, file->capacity - length);
    }
    kvr__sim_file_forget(disk, file);
}

/* True if an earlier change of the name of entry `i` is lost: then this one cannot have reached the
 * disk either. Changes of other names may. */
static bool follows_a_lost_one(const kvr_sim_disk *disk, uint32_t i)
{
    for (uint32_t j = 0; j < i; j++) {
        const kvr__sim_rename *earlier = &disk->renames.items[j];
        if (!earlier->survives && strcmp(earlier->text, disk->renames.items[i].text) == 0) {
            return true;
        }
    }
    return false;
}

/* The fate of the change at `i`, which is one entry, or two for a rename. Returns how many. */
static uint32_t decide(kvr_sim_disk *disk, uint32_t i)
{
    uint32_t count = disk->renames.items[i].with_next ? 2 : 1;
    bool survives = !kvr__sim_chance(&disk->stream, disk->faults.crash_names_ppm);
    for (uint32_t j = i; j < i + count; j++) {
        survives = survives && !follows_a_lost_one(disk, j);
    }
    for (uint32_t j = i; j < i + count; j++) {
        disk->renames.items[j].survives = survives;
    }
    return count;
}

void kvr__sim_crash_names(kvr_sim_disk *disk)
{
    for (uint32_t i = 0; i < disk->renames.count;) {
        i += decide(disk, i);
    }
    for (uint32_t i = disk->renames.count; i > 0; i--) {
        const kvr__sim_rename *entry = &disk->renames.items[i - 1];
        if (!entry->survives) {
            kvr__sim_name_bind(disk, entry->text, entry->before);
        }
    }
    kvr__sim_name_forget(disk);
}

static void close_all(kvr_sim_disk *disk)
{
    for (uint32_t i = 0; i < disk->handles.count; i++) {
        kvr__sim_file_drop(disk, disk->handles.items[i].file);
        disk->handles.items[i].file = NULL;
    }
}

void kvr_sim_disk_crash(kvr_sim_disk *disk)
{
    for (uint32_t i = 0; i < disk->renames.count; i++) {
        const kvr__sim_rename *entry = &disk->renames.items[i];
        if (entry->before != NULL) {
            kvr__sim_crash_file(disk, entry->before);
        }
    }
    for (uint32_t i = 0; i < disk->names.count; i++) {
        kvr__sim_crash_file(disk, disk->names.items[i].file);
    }
    close_all(disk);
    kvr__sim_crash_names(disk);
    disk->calls_left = UINT64_MAX;
    disk->error = NULL;
    KVR_CHECKED(kvr__sim_disk_check(disk));
}

void kvr_sim_disk_crash_after(kvr_sim_disk *disk, uint64_t calls)
{
    KVR_ASSERT(calls < UINT64_MAX);
    disk->calls_left = calls;
}
