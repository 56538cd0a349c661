/* SPDX-License-Identifier: Apache-2.0 */
/* sim_disk.c: a simulated disk: the handle, and the file calls of wal.h in the order of their
 * table. Each call first asks whether there is still power, then whether chance lets it fail. Start
 * reading at sim_disk_internal.h. */
#include "sim_disk_internal.h"

#include <string.h>

#include "base/array.h"
#include "base/assertion.h"
#include "base/sized.h"

static const char error_power[] = "power is off";
static const char error_room[] = "no room on the simulated disk";
static const char error_write[] = "simulated write error";
static const char error_sync[] = "simulated flush error";
static const char error_read[] = "simulated read error";

/* ------------------------------------------------------------------ life */

kvr_status kvr_sim_disk_faults_init(kvr_sim_disk_faults *faults, uint32_t size)
{
    if (faults == NULL || size < sizeof *faults) {
        return KVR_EINVAL;
    }
    memset(faults, 0, size);
    faults->size = size;
    faults->crash_lose_ppm = 400000;
    faults->crash_tear_ppm = 300000;
    faults->crash_names_ppm = 500000;
    return KVR_OK;
}

kvr_status kvr_sim_disk_new(uint64_t seed, const kvr_allocator *allocator, void *allocator_ctx,
                            kvr_sim_disk **out_disk)
{
    void *handle;
    kvr_status status = kvr__mem_new_handle(allocator, allocator_ctx, sizeof(kvr_sim_disk),
                                            offsetof(kvr_sim_disk, mem), &handle);
    if (status != KVR_OK) {
        return status;
    }
    kvr_sim_disk *disk = handle;
    disk->stream = kvr__sim_stream_of(seed, 0, KVR__SIM_DISK);
    disk->calls_left = UINT64_MAX;
    status = kvr_sim_disk_faults_init(&disk->faults, sizeof disk->faults);
    KVR_ASSERT(status == KVR_OK);
    *out_disk = disk;
    return KVR_OK;
}

void kvr_sim_disk_free(kvr_sim_disk *disk)
{
    if (disk == NULL) {
        return;
    }
    for (uint32_t i = 0; i < disk->handles.count; i++) {
        kvr__sim_file_drop(disk, disk->handles.items[i].file);
    }
    kvr__sim_name_forget(disk);
    for (uint32_t i = 0; i < disk->names.count; i++) {
        kvr__sim_file_drop(disk, disk->names.items[i].file);
    }
    kvr__array_free(&disk->mem, KVR__MEM_HANDLE, (void **)&disk->handles.items,
                    &disk->handles.capacity, sizeof *disk->handles.items);
    kvr__array_free(&disk->mem, KVR__MEM_HANDLE, (void **)&disk->renames.items,
                    &disk->renames.capacity, sizeof *disk->renames.items);
    kvr__array_free(&disk->mem, KVR__MEM_HANDLE, (void **)&disk->names.items, &disk->names.capacity,
                    sizeof *disk->names.items);
    kvr__mem_free_handle(disk, sizeof *disk, offsetof(kvr_sim_disk, mem));
}

void kvr_sim_disk_set_faults(kvr_sim_disk *disk, const kvr_sim_disk_faults *faults)
{
    bool known = kvr__sized_read(&disk->faults, sizeof disk->faults, faults, sizeof *faults);
    KVR_ASSERT(known);
}

void kvr_sim_disk_get_status(const kvr_sim_disk *disk, kvr_sim_disk_status *out_status)
{
    kvr_sim_disk_status status = {
        .size = out_status->size,
        .files = disk->names.count,
        .bytes = disk->used_bytes,
        .writes = disk->write_count,
        .syncs = disk->sync_count,
        .faults = disk->fault_count,
    };
    memcpy(out_status, &status, status.size < sizeof status ? status.size : sizeof status);
}

/* ------------------------------------------------------------------ handles */

static bool has_power(kvr_sim_disk *disk)
{
    if (disk->calls_left == UINT64_MAX) {
        return true;
    }
    if (disk->calls_left == 0) {
        disk->error = error_power;
        return false;
    }
    disk->calls_left--;
    return true;
}

static kvr_status noted(kvr_sim_disk *disk, kvr_status status)
{
    if (status == KVR_ENOSPACE) {
        disk->error = error_room;
    }
    disk->lacked_memory = disk->lacked_memory || status == KVR_ENOMEM;
    return status;
}

/* A number names a place and which use of it: one that was closed, or lost in a crash, finds
 * nothing. */
static kvr__sim_handle *find_handle(kvr_sim_disk *disk, uint64_t number)
{
    uint64_t place = (number & UINT32_MAX) - 1;
    if (place >= disk->handles.count) {
        return NULL;
    }
    kvr__sim_handle *handle = &disk->handles.items[place];
    return handle->file != NULL && handle->uses == number >> 32 ? handle : NULL;
}

static kvr_status new_handle(kvr_sim_disk *disk, uint32_t *out_place)
{
    uint32_t i = 0;
    while (i < disk->handles.count && disk->handles.items[i].file != NULL) {
        i++;
    }
    if (i == disk->handles.count) {
        kvr_status status = kvr__array_grow(&disk->mem, KVR__MEM_HANDLE,
                                            (void **)&disk->handles.items, &disk->handles.capacity,
                                            disk->handles.count + 1, sizeof *disk->handles.items);
        if (status != KVR_OK) {
            return status;
        }
        disk->handles.items[disk->handles.count++] = (kvr__sim_handle){0};
    }
    *out_place = i;
    return KVR_OK;
}

/* ------------------------------------------------------------------ file calls */

static kvr_status find_or_create(kvr_sim_disk *disk, const char *name, uint32_t flags,
                                 kvr__sim_file **out_file)
{
    kvr__sim_file *file = kvr__sim_name_find(disk, name);
    if (file != NULL && (flags & KVR_FILE_CREATE) && (flags & KVR_FILE_EXCLUSIVE)) {
        return KVR_EEXIST;
    }
    if (file != NULL) {
        file->holders++;
        *out_file = file;
        return KVR_OK;
    }
    if ((flags & KVR_FILE_CREATE) == 0) {
        return KVR_ENOTFOUND;
    }
    if (disk->names.count >= KVR__SIM_FILES_MAX) {
        return KVR_ENOSPACE;
    }
    kvr_status status = kvr__sim_file_new(disk, &file);
    if (status != KVR_OK) {
        return status;
    }
    status = kvr__sim_name_change(disk, name, file);
    if (status != KVR_OK) {
        kvr__sim_file_drop(disk, file);
        return status;
    }
    *out_file = file; /* the new file's first holder is the handle */
    return KVR_OK;
}

static kvr_status file_open(void *ctx, const char *name, uint32_t flags, uint64_t *out_file)
{
    kvr_sim_disk *disk = ctx;
    if (!has_power(disk)) {
        return KVR_EIO;
    }
    if (name[0] == '\0' || strlen(name) >= KVR__SIM_NAME_SIZE) {
        return KVR_EINVAL;
    }
    uint32_t place = 0;
    kvr_status status = new_handle(disk, &place);
    kvr__sim_file *file = NULL;
    if (status == KVR_OK) {
        status = find_or_create(disk, name, flags, &file);
    }
    if (status != KVR_OK) {
        return noted(disk, status);
    }
    kvr__sim_handle *handle = &disk->handles.items[place];
    handle->file = file;
    handle->flags = flags;
    handle->uses++;
    *out_file = (uint64_t)handle->uses << 32 | (place + 1);
    return KVR_OK;
}

static kvr_status file_close(void *ctx, uint64_t number)
{
    kvr_sim_disk *disk = ctx;
    kvr__sim_handle *handle = find_handle(disk, number);
    if (handle == NULL) {
        return KVR_EINVAL;
    }
    kvr__sim_file_drop(disk, handle->file);
    handle->file = NULL;
    return KVR_OK;
}

static kvr_status file_pwrite(void *ctx, uint64_t number, const kvr_slice *data, uint64_t offset,
                              size_t *out_written)
{
    kvr_sim_disk *disk = ctx;
    kvr__sim_handle *handle = find_handle(disk, number);
    if (!has_power(disk)) {
        return KVR_EIO;
    }
    if (handle == NULL || (handle->flags & KVR_FILE_WRITE) == 0) {
        return KVR_EINVAL;
    }
    if (kvr__sim_fails(disk, disk->faults.write_error_ppm, error_write)) {
        return KVR_EIO;
    }
    kvr_slice part = {data->data, kvr__sim_shorten(disk, data->size)};
    kvr_status status = kvr__sim_file_write(disk, handle->file, &part, offset);
    if (status == KVR_OK) {
        disk->write_count++;
        *out_written = part.size;
    }
    return noted(disk, status);
}

static kvr_status file_pread(void *ctx, uint64_t number, uint8_t *out_data, size_t size,
                             uint64_t offset, size_t *out_read)
{
    kvr_sim_disk *disk = ctx;
    kvr__sim_handle *handle = find_handle(disk, number);
    if (!has_power(disk)) {
        return KVR_EIO;
    }
    if (handle == NULL || (handle->flags & KVR_FILE_READ) == 0) {
        return KVR_EINVAL;
    }
    if (kvr__sim_fails(disk, disk->faults.read_error_ppm, error_read)) {
        return KVR_EIO;
    }
    kvr__sim_file *file = handle->file;
    uint64_t left = offset < file->length ? file->length - offset : 0;
    size_t count = left < size ? (size_t)left : size;
    count = count == 0 ? 0 : kvr__sim_shorten(disk, count);
    if (count > 0) {
        kvr__sim_damage_read(disk, file, offset, count);
        memcpy(out_data, file->data + offset, count);
    }
    *out_read = count;
    return KVR_OK;
}

static kvr_status file_fdatasync(void *ctx, uint64_t number)
{
    kvr_sim_disk *disk = ctx;
    kvr__sim_handle *handle = find_handle(disk, number);
    if (!has_power(disk)) {
        return KVR_EIO;
    }
    if (handle == NULL) {
        return KVR_EINVAL;
    }
    if (kvr__sim_fails(disk, disk->faults.sync_error_ppm, error_sync)) {
        kvr__sim_crash_file(disk, handle->file);
        return KVR_EIO;
    }
    disk->sync_count++;
    kvr__sim_damage_sync(disk, handle->file);
    handle->file->flushes += handle->file->pending.count > 0;
    kvr__sim_file_forget(disk, handle->file);
    return KVR_OK;
}

static kvr_status file_truncate(void *ctx, uint64_t number, uint64_t size)
{
    kvr_sim_disk *disk = ctx;
    kvr__sim_handle *handle = find_handle(disk, number);
    if (!has_power(disk)) {
        return KVR_EIO;
    }
    if (handle == NULL || (handle->flags & KVR_FILE_WRITE) == 0) {
        return KVR_EINVAL;
    }
    if (kvr__sim_fails(disk, disk->faults.write_error_ppm, error_write)) {
        return KVR_EIO;
    }
    return noted(disk, kvr__sim_file_truncate(disk, handle->file, size));
}

static kvr_status file_length(void *ctx, uint64_t number, uint64_t *out_size)
{
    kvr_sim_disk *disk = ctx;
    kvr__sim_handle *handle = find_handle(disk, number);
    if (!has_power(disk)) {
        return KVR_EIO;
    }
    if (handle == NULL) {
        return KVR_EINVAL;
    }
    *out_size = handle->file->length;
    return KVR_OK;
}

static kvr_status file_rename(void *ctx, const char *from, const char *to)
{
    kvr_sim_disk *disk = ctx;
    if (!has_power(disk) || kvr__sim_fails(disk, disk->faults.write_error_ppm, error_write)) {
        return KVR_EIO;
    }
    if (to[0] == '\0' || strlen(to) >= KVR__SIM_NAME_SIZE) {
        return KVR_EINVAL;
    }
    return noted(disk, kvr__sim_name_move(disk, from, to));
}

static kvr_status file_unlink(void *ctx, const char *name)
{
    kvr_sim_disk *disk = ctx;
    if (!has_power(disk) || kvr__sim_fails(disk, disk->faults.write_error_ppm, error_write)) {
        return KVR_EIO;
    }
    if (kvr__sim_name_find(disk, name) == NULL) {
        return KVR_ENOTFOUND;
    }
    return noted(disk, kvr__sim_name_change(disk, name, NULL));
}

static kvr_status directory_sync(void *ctx)
{
    kvr_sim_disk *disk = ctx;
    if (!has_power(disk)) {
        return KVR_EIO;
    }
    if (kvr__sim_fails(disk, disk->faults.sync_error_ppm, error_sync)) {
        kvr__sim_crash_names(disk);
        return KVR_EIO;
    }
    disk->sync_count++;
    kvr__sim_name_forget(disk);
    return KVR_OK;
}

/* From a name drawn by chance on, so that nobody comes to rely on an order. */
static kvr_status directory_list(void *ctx, kvr_file_each each, void *each_ctx)
{
    kvr_sim_disk *disk = ctx;
    if (!has_power(disk)) {
        return KVR_EIO;
    }
    uint32_t count = disk->names.count;
    uint32_t first = count == 0 ? 0 : (uint32_t)kvr__sim_below(&disk->stream, count);
    for (uint32_t i = 0; i < count; i++) {
        KVR_ASSERT(disk->names.count == count); /* `each` calls nothing of the disk */
        const kvr__sim_name *name = &disk->names.items[(first + i) % count];
        kvr_status status = each(each_ctx, name->text, name->file->length);
        if (status != KVR_OK) {
            return status;
        }
    }
    return KVR_OK;
}

static kvr_status disk_space(void *ctx, uint64_t *out_bytes)
{
    const kvr_sim_disk *disk = ctx;
    uint64_t capacity = disk->faults.capacity_bytes;
    *out_bytes = capacity == 0 ? UINT64_MAX
                               : (capacity < disk->used_bytes ? 0 : capacity - disk->used_bytes);
    return KVR_OK;
}

static const char *disk_error(void *ctx)
{
    const kvr_sim_disk *disk = ctx;
    return disk->error;
}

const kvr_file_ops *kvr_sim_disk_ops(void)
{
    static const kvr_file_ops ops = {
        .size = sizeof ops,
        .open = file_open,
        .close = file_close,
        .pwrite = file_pwrite,
        .pread = file_pread,
        .fdatasync = file_fdatasync,
        .truncate = file_truncate,
        .length = file_length,
        .rename = file_rename,
        .unlink = file_unlink,
        .sync_directory = directory_sync,
        .list = directory_list,
        .space = disk_space,
        .error = disk_error,
    };
    return &ops;
}
