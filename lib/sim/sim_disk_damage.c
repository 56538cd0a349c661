/* SPDX-License-Identifier: Apache-2.0 */
/* sim_disk_damage.c: what goes wrong beyond crashes: failed and short calls; sectors that rot,
 * never arrive or arrive elsewhere (the storage model of TigerBeetle's simulator; Bairavasundaram
 * et al., "An Analysis of Data Corruption in the Storage Stack", FAST 2008). Rates of zero draw
 * nothing. */
#include "sim_disk_internal.h"

#include <string.h>

bool kvr__sim_disk_chance(kvr_sim_disk *disk, uint32_t ppm)
{
    return kvr__sim_chance(&disk->stream, ppm) &&
           (disk->allow == NULL || disk->allow(disk->allow_ctx, kvr__sim_decision(&disk->stream)));
}

bool kvr__sim_fails(kvr_sim_disk *disk, uint32_t ppm, const char *error)
{
    if (!kvr__sim_disk_chance(disk, ppm)) {
        return false;
    }
    disk->fault_count++;
    disk->error = error;
    return true;
}

size_t kvr__sim_shorten(kvr_sim_disk *disk, size_t size)
{
    if (size < 2 || !kvr__sim_disk_chance(disk, disk->faults.short_ppm)) {
        return size;
    }
    disk->fault_count++;
    return 1 + (size_t)kvr__sim_below(&disk->stream, size - 1);
}

static uint8_t *sector_at(kvr__sim_file *file, uint64_t offset)
{
    return file->data + offset / KVR__SIM_SECTOR * KVR__SIM_SECTOR;
}

/* Bytes of the sector at `offset` that lie within the file. */
static size_t sector_size(const kvr__sim_file *file, uint64_t offset)
{
    uint64_t left = file->length - offset / KVR__SIM_SECTOR * KVR__SIM_SECTOR;
    return left < KVR__SIM_SECTOR ? (size_t)left : KVR__SIM_SECTOR;
}

void kvr__sim_damage_read(kvr_sim_disk *disk, kvr__sim_file *file, uint64_t offset, size_t size)
{
    if (disk->faults.rot_flip_ppm == 0 && disk->faults.rot_zero_ppm == 0) {
        return;
    }
    uint64_t end = offset + size < file->length ? offset + size : file->length;
    for (uint64_t at = offset / KVR__SIM_SECTOR * KVR__SIM_SECTOR; at < end;
         at += KVR__SIM_SECTOR) {
        uint8_t *sector = sector_at(file, at);
        if (kvr__sim_disk_chance(disk, disk->faults.rot_flip_ppm)) {
            uint64_t bit = kvr__sim_below(&disk->stream, 8 * sector_size(file, at));
            sector[bit / 8] ^= (uint8_t)(1U << bit % 8);
            disk->fault_count++;
        }
        if (kvr__sim_disk_chance(disk, disk->faults.rot_zero_ppm)) {
            memset(sector, 0, sector_size(file, at));
            disk->fault_count++;
        }
    }
}

/* The sectors of a write that is being flushed: each may stay as it was, or go elsewhere as
 * well. */
static void damage_write(kvr_sim_disk *disk, kvr__sim_file *file, const kvr__sim_pending *pending)
{
    for (size_t at = 0; at < pending->size; at += KVR__SIM_SECTOR) {
        uint64_t offset = pending->offset + at;
        if (offset >= file->length) {
            return;
        }
        if (kvr__sim_disk_chance(disk, disk->faults.misdirect_ppm)) {
            uint64_t other = kvr__sim_below(&disk->stream, file->length);
            memcpy(sector_at(file, other), sector_at(file, offset), sector_size(file, other));
            disk->fault_count++;
        }
        if (kvr__sim_disk_chance(disk, disk->faults.rot_stale_ppm)) {
            memcpy(sector_at(file, offset), pending->old + at, sector_size(file, offset));
            disk->fault_count++;
        }
    }
}

void kvr__sim_damage_sync(kvr_sim_disk *disk, kvr__sim_file *file)
{
    if (disk->faults.rot_stale_ppm == 0 && disk->faults.misdirect_ppm == 0) {
        return;
    }
    for (uint32_t i = 0; i < file->pending.count; i++) {
        damage_write(disk, file, &file->pending.items[i]);
    }
}

/* ------------------------------------------------------------------ by hand */

kvr_status kvr_sim_disk_flip(kvr_sim_disk *disk, const char *name, uint64_t offset, uint32_t bit)
{
    kvr__sim_file *file = kvr__sim_name_find(disk, name);
    if (file == NULL || offset >= file->length) {
        return KVR_ENOTFOUND;
    }
    file->data[offset] ^= (uint8_t)(1U << bit % 8);
    disk->fault_count++;
    return KVR_OK;
}

uint32_t kvr_sim_disk_sector_size(void)
{
    return KVR__SIM_SECTOR;
}

const char *kvr_sim_disk_file(const kvr_sim_disk *disk, uint32_t i, uint64_t *out_bytes)
{
    if (i >= disk->names.count) {
        return NULL;
    }
    *out_bytes = disk->names.items[i].file->length;
    return disk->names.items[i].text;
}

kvr_status kvr_sim_disk_get_sector(const kvr_sim_disk *disk, const char *name, uint64_t offset,
                                   uint8_t *out_bytes, uint64_t *out_flushes)
{
    kvr__sim_file *file = kvr__sim_name_find(disk, name);
    if (file == NULL || offset >= file->length) {
        return KVR_ENOTFOUND;
    }
    uint32_t by = file->flush[offset / KVR__SIM_SECTOR];
    memcpy(out_bytes, sector_at(file, offset), KVR__SIM_SECTOR);
    *out_flushes = by > file->flushes ? 0 : (uint64_t)file->flushes + 1 - by;
    return KVR_OK;
}

kvr_status kvr_sim_disk_set_sector(kvr_sim_disk *disk, const char *name, uint64_t offset,
                                   const uint8_t *bytes)
{
    kvr__sim_file *file = kvr__sim_name_find(disk, name);
    if (file == NULL || offset >= file->length) {
        return KVR_ENOTFOUND;
    }
    memcpy(sector_at(file, offset), bytes, sector_size(file, offset));
    disk->fault_count++;
    return KVR_OK;
}
