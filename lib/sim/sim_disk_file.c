/* SPDX-License-Identifier: Apache-2.0 */
/* sim_disk_file.c: the content of one file. A write changes the data at once and keeps what the
 * sectors it touches held before; everything a write needs is reserved before the first byte
 * changes. */
#include "sim_disk_internal.h"

#include <string.h>

#include "base/array.h"
#include "base/assertion.h"

static uint64_t sector_down(uint64_t offset)
{
    return offset / KVR__SIM_SECTOR * KVR__SIM_SECTOR;
}

static uint64_t sector_up(uint64_t offset)
{
    return sector_down(offset + KVR__SIM_SECTOR - 1);
}

kvr_status kvr__sim_file_new(kvr_sim_disk *disk, kvr__sim_file **out_file)
{
    kvr__sim_file *file = kvr__mem_zalloc(&disk->mem, KVR__MEM_HANDLE, sizeof *file);
    if (file == NULL) {
        return KVR_ENOMEM;
    }
    file->holders = 1;
    *out_file = file;
    return KVR_OK;
}

void kvr__sim_file_drop(kvr_sim_disk *disk, kvr__sim_file *file)
{
    if (file == NULL) {
        return;
    }
    KVR_ASSERT(file->holders > 0);
    if (--file->holders > 0) {
        return;
    }
    kvr__sim_file_forget(disk, file);
    disk->used_bytes -= file->length;
    kvr__array_free(&disk->mem, KVR__MEM_HANDLE, (void **)&file->pending.items,
                    &file->pending.capacity, sizeof *file->pending.items);
    kvr__mem_free(&disk->mem, KVR__MEM_LOG, file->data, file->capacity);
    uint64_t sectors = file->capacity / KVR__SIM_SECTOR;
    kvr__mem_free(&disk->mem, KVR__MEM_HANDLE, file->settled, sectors);
    kvr__mem_free(&disk->mem, KVR__MEM_HANDLE, file->flush, sectors * sizeof *file->flush);
    kvr__mem_free(&disk->mem, KVR__MEM_HANDLE, file, sizeof *file);
}

static kvr_status grow(kvr_sim_disk *disk, kvr__sim_file *file, uint64_t want)
{
    if (want <= file->capacity) {
        return KVR_OK;
    }
    uint64_t capacity = file->capacity < 4096 ? 4096 : 2 * file->capacity;
    capacity = capacity < want ? sector_up(want) : capacity;
    uint64_t sectors = file->capacity / KVR__SIM_SECTOR;
    uint8_t *data = kvr__mem_zalloc(&disk->mem, KVR__MEM_LOG, capacity);
    uint64_t more = capacity / KVR__SIM_SECTOR;
    uint8_t *settled = kvr__mem_zalloc(&disk->mem, KVR__MEM_HANDLE, more);
    uint32_t *flush = kvr__mem_zalloc(&disk->mem, KVR__MEM_HANDLE, more * sizeof *flush);
    if (data == NULL || settled == NULL || flush == NULL) {
        kvr__mem_free(&disk->mem, KVR__MEM_LOG, data, capacity);
        kvr__mem_free(&disk->mem, KVR__MEM_HANDLE, settled, more);
        kvr__mem_free(&disk->mem, KVR__MEM_HANDLE, flush, more * sizeof *flush);
        return KVR_ENOMEM;
    }
    if (file->length > 0) {
        memcpy(data, file->data, file->length);
        memcpy(flush, file->flush, sectors * sizeof *flush);
    }
    kvr__mem_free(&disk->mem, KVR__MEM_LOG, file->data, file->capacity);
    kvr__mem_free(&disk->mem, KVR__MEM_HANDLE, file->settled, sectors);
    kvr__mem_free(&disk->mem, KVR__MEM_HANDLE, file->flush, sectors * sizeof *flush);
    file->data = data;
    file->settled = settled;
    file->flush = flush;
    file->capacity = capacity;
    return KVR_OK;
}

/* Remembers the sectors of begin..end as they are, for a change after which the file is `length`
 * long. */
static kvr_status remember(kvr_sim_disk *disk, kvr__sim_file *file, uint64_t begin, uint64_t end,
                           uint64_t length)
{
    kvr__sim_pending pending = {.offset = sector_down(begin), .length = length};
    kvr_status status = kvr__array_grow(&disk->mem, KVR__MEM_HANDLE, (void **)&file->pending.items,
                                        &file->pending.capacity, file->pending.count + 1,
                                        sizeof *file->pending.items);
    if (status != KVR_OK) {
        return status;
    }
    if (end > begin) {
        pending.size = (size_t)(sector_up(end) - pending.offset);
        pending.old = kvr__mem_alloc(&disk->mem, KVR__MEM_LOG, pending.size);
        if (pending.old == NULL) {
            return KVR_ENOMEM;
        }
        memcpy(pending.old, file->data + pending.offset, pending.size);
        for (size_t at = 0; at < pending.size; at += KVR__SIM_SECTOR) {
            file->flush[(pending.offset + at) / KVR__SIM_SECTOR] = file->flushes + 1;
        }
    }
    file->pending.items[file->pending.count++] = pending;
    return KVR_OK;
}

kvr_status kvr__sim_file_write(kvr_sim_disk *disk, kvr__sim_file *file, const kvr_slice *data,
                               uint64_t offset)
{
    if (data->size == 0) {
        return KVR_OK;
    }
    if (offset > KVR__SIM_FILE_BYTES_MAX || data->size > KVR__SIM_FILE_BYTES_MAX - offset) {
        return KVR_ENOSPACE;
    }
    uint64_t end = offset + data->size;
    uint64_t length = end > file->length ? end : file->length;
    if (disk->faults.capacity_bytes > 0 &&
        disk->used_bytes - file->length + length > disk->faults.capacity_bytes) {
        return KVR_ENOSPACE;
    }
    kvr_status status = grow(disk, file, end);
    if (status == KVR_OK) {
        status = remember(disk, file, offset, end, length);
    }
    if (status != KVR_OK) {
        return status;
    }
    memcpy(file->data + offset, data->data, data->size);
    kvr__sim_file_set_length(disk, file, length);
    return KVR_OK;
}

kvr_status kvr__sim_file_truncate(kvr_sim_disk *disk, kvr__sim_file *file, uint64_t length)
{
    if (length > KVR__SIM_FILE_BYTES_MAX ||
        (disk->faults.capacity_bytes > 0 && length > file->length &&
         disk->used_bytes - file->length + length > disk->faults.capacity_bytes)) {
        return KVR_ENOSPACE;
    }
    kvr_status status = grow(disk, file, length);
    if (status == KVR_OK) {
        uint64_t end = length < file->length ? file->length : length;
        status = remember(disk, file, length, end, length);
    }
    if (status == KVR_OK) {
        kvr__sim_file_set_length(disk, file, length);
    }
    return status;
}

void kvr__sim_file_set_length(kvr_sim_disk *disk, kvr__sim_file *file, uint64_t length)
{
    KVR_ASSERT(length <= file->capacity);
    if (length < file->length) {
        memset(file->data + length, 0, file->length - length);
    }
    disk->used_bytes = disk->used_bytes - file->length + length;
    file->length = length;
}

void kvr__sim_file_forget(kvr_sim_disk *disk, kvr__sim_file *file)
{
    for (uint32_t i = 0; i < file->pending.count; i++) {
        kvr__mem_free(&disk->mem, KVR__MEM_LOG, file->pending.items[i].old,
                      file->pending.items[i].size);
    }
    file->pending.count = 0;
    file->length_durable = file->length;
}
