/* SPDX-License-Identifier: Apache-2.0 */
/* wal_disk.c: inodes, names, and a record of what was done to them. A crash replays the record over
 * the files as they were at first, and holds back what no sync has made certain. */
#include "wal_disk.h"

#include "base/checksum.h"
#include "base/random.h"
#include "support/fault_sweep.h"

#include <stdlib.h>
#include <string.h>

enum { NAME_MAX_SIZE = 64, NAMES_MAX = 4096, SECTOR = 512 };

typedef struct disk_file {
    uint8_t *bytes;
    size_t size;
    size_t capacity;
} disk_file;

typedef struct disk_name {
    char text[NAME_MAX_SIZE];
    size_t inode;
} disk_name;

enum { DO_WRITE, DO_TRUNCATE, DO_FLUSH, DO_CREATE, DO_RENAME, DO_UNLINK, DO_FLUSH_NAMES };

typedef struct disk_call {
    uint32_t kind;
    size_t inode;
    uint64_t offset; /* DO_TRUNCATE: the size */
    uint8_t *data;
    size_t size;
    size_t flushed_by; /* number of the call that made it durable; SIZE_MAX: none yet */
    bool is_dropped;   /* a failed flush has called it clean: nothing will write it */
    char from[NAME_MAX_SIZE];
    char to[NAME_MAX_SIZE];
} disk_call;

/* Files at one moment. */
typedef struct disk_state {
    disk_file *inodes;
    size_t inode_count;
    disk_name *names;
    size_t name_count;
} disk_state;

struct wal_disk {
    disk_state now;
    disk_state first; /* when recording began; durable */
    disk_call *calls;
    size_t call_count;
    size_t call_capacity;
    uint64_t open_files;
    uint64_t room;
    uint32_t fault;
    size_t stutter;
};

/* ------------------------------------------------------------------ files */

static void *checked(void *memory)
{
    if (memory == NULL) {
        abort();
    }
    return memory;
}

static size_t add_inode(disk_state *files)
{
    files->inodes = checked(realloc(files->inodes, (files->inode_count + 1) * sizeof(disk_file)));
    memset(&files->inodes[files->inode_count], 0, sizeof(disk_file));
    return files->inode_count++;
}

static disk_name *find(disk_state *files, const char *text)
{
    for (size_t i = 0; i < files->name_count; i++) {
        if (strcmp(files->names[i].text, text) == 0) {
            return &files->names[i];
        }
    }
    return NULL;
}

static void copy_text(char *to, const char *from)
{
    size_t size = strlen(from);
    if (size >= NAME_MAX_SIZE) {
        abort();
    }
    memcpy(to, from, size + 1);
}

static void add_name(disk_state *files, const char *text, size_t inode)
{
    files->names = checked(realloc(files->names, (files->name_count + 1) * sizeof(disk_name)));
    disk_name *added = &files->names[files->name_count++];
    copy_text(added->text, text);
    added->inode = inode;
}

static void remove_name(disk_state *files, const char *text)
{
    disk_name *gone = find(files, text);
    if (gone != NULL) {
        *gone = files->names[--files->name_count];
    }
}

static void rename_name(disk_state *files, const char *from, const char *to)
{
    const disk_name *old = find(files, from);
    if (old != NULL) {
        size_t inode = old->inode;
        remove_name(files, from);
        remove_name(files, to);
        add_name(files, to, inode);
    }
}

static void resize(disk_file *file, size_t size)
{
    if (size > file->capacity) {
        file->capacity = size + size / 2 + 512;
        file->bytes = checked(realloc(file->bytes, file->capacity));
    }
    if (size > file->size) {
        memset(file->bytes + file->size, 0, size - file->size);
    }
    file->size = size;
}

static void write_bytes(disk_file *file, uint64_t offset, const uint8_t *data, size_t size)
{
    if (size == 0) {
        return;
    }
    if (offset + size > file->size) {
        resize(file, (size_t)offset + size);
    }
    memcpy(file->bytes + offset, data, size);
}

static disk_state copy_files(const disk_state *from)
{
    disk_state to = {.inode_count = from->inode_count, .name_count = from->name_count};
    to.inodes = checked(calloc(from->inode_count + 1, sizeof(disk_file)));
    to.names = checked(calloc(from->name_count + 1, sizeof(disk_name)));
    for (size_t i = 0; i < from->inode_count; i++) {
        if (from->inodes[i].size > 0) {
            write_bytes(&to.inodes[i], 0, from->inodes[i].bytes, from->inodes[i].size);
        }
    }
    if (from->name_count > 0) {
        memcpy(to.names, from->names, from->name_count * sizeof(disk_name));
    }
    return to;
}

static void free_files(disk_state *files)
{
    for (size_t i = 0; i < files->inode_count; i++) {
        free(files->inodes[i].bytes);
    }
    free(files->inodes);
    free(files->names);
}

/* ------------------------------------------------------------------ life */

static wal_disk *disk_of(disk_state now)
{
    wal_disk *disk = checked(calloc(1, sizeof *disk));
    disk->now = now;
    disk->first = copy_files(&now);
    disk->room = UINT64_MAX;
    return disk;
}

wal_disk *wal_disk_new(void)
{
    return disk_of((disk_state){.inode_count = 0});
}

void wal_disk_free(wal_disk *disk)
{
    if (disk == NULL) {
        return;
    }
    for (size_t i = 0; i < disk->call_count; i++) {
        free(disk->calls[i].data);
    }
    free(disk->calls);
    free_files(&disk->now);
    free_files(&disk->first);
    free(disk);
}

wal_disk *wal_disk_copy(const wal_disk *disk)
{
    return disk_of(copy_files(&disk->now));
}

void wal_disk_set_fault(wal_disk *disk, uint32_t fault)
{
    disk->fault = fault;
}

void wal_disk_set_stutter(wal_disk *disk, size_t bytes)
{
    disk->stutter = bytes;
}

void wal_disk_set_room(wal_disk *disk, uint64_t bytes)
{
    disk->room = bytes;
}

size_t wal_disk_calls(const wal_disk *disk)
{
    return disk->call_count;
}

uint64_t wal_disk_open_files(const wal_disk *disk)
{
    return disk->open_files;
}

uint64_t wal_disk_file_count(const wal_disk *disk)
{
    return disk->now.name_count;
}

bool wal_disk_was_flush(const wal_disk *disk, size_t i)
{
    return i < disk->call_count &&
           (disk->calls[i].kind == DO_FLUSH || disk->calls[i].kind == DO_FLUSH_NAMES);
}

/* ------------------------------------------------------------------ the table */

static disk_call *record(wal_disk *disk, uint32_t kind, size_t inode)
{
    if (disk->call_count == disk->call_capacity) {
        disk->call_capacity = disk->call_capacity * 2 + 64;
        disk->calls = checked(realloc(disk->calls, disk->call_capacity * sizeof(disk_call)));
    }
    disk_call *added = &disk->calls[disk->call_count++];
    memset(added, 0, sizeof *added);
    added->kind = kind;
    added->inode = inode;
    added->flushed_by = SIZE_MAX;
    return added;
}

/* Everything that a sync now makes durable. */
static void record_flush(wal_disk *disk, uint32_t kind, size_t inode)
{
    for (size_t i = 0; i < disk->call_count; i++) {
        disk_call *done = &disk->calls[i];
        bool is_name = done->kind >= DO_CREATE;
        if (done->flushed_by == SIZE_MAX && !done->is_dropped &&
            (kind == DO_FLUSH_NAMES ? is_name : !is_name && done->inode == inode)) {
            done->flushed_by = disk->call_count;
        }
    }
    (void)record(disk, kind, inode);
}

static kvr_status fault_of(const wal_disk *disk)
{
    switch (disk->fault) {
    case WAL_DISK_ENOSPACE:
        return KVR_ENOSPACE;
    case WAL_DISK_UNKNOWN:
        return KVR_ELOCKED;
    default:
        return KVR_EIO;
    }
}

static uint64_t used(const wal_disk *disk)
{
    uint64_t bytes = 0;
    for (size_t i = 0; i < disk->now.name_count; i++) {
        bytes += disk->now.inodes[disk->now.names[i].inode].size;
    }
    return bytes;
}

static kvr_status disk_open(void *ctx, const char *text, uint32_t flags, uint64_t *out_file)
{
    wal_disk *disk = ctx;
    if (fault_hits(FAULT_DISK)) {
        return fault_of(disk);
    }
    const disk_name *found = find(&disk->now, text);
    if (found == NULL && (flags & KVR_FILE_CREATE) == 0) {
        return KVR_ENOTFOUND;
    }
    if (found != NULL && (flags & KVR_FILE_EXCLUSIVE) != 0) {
        return KVR_EEXIST;
    }
    size_t inode = found != NULL ? found->inode : add_inode(&disk->now);
    if (found == NULL) {
        copy_text(record(disk, DO_CREATE, inode)->to, text);
        add_name(&disk->now, text, inode);
    }
    disk->open_files++;
    *out_file = inode;
    return KVR_OK;
}

static kvr_status disk_close(void *ctx, uint64_t file)
{
    (void)file;
    wal_disk *disk = ctx;
    disk->open_files--;
    return fault_hits(FAULT_DISK) ? fault_of(disk) : KVR_OK;
}

static kvr_status disk_pwrite(void *ctx, uint64_t file, const kvr_slice *data, uint64_t offset,
                              size_t *out_written)
{
    wal_disk *disk = ctx;
    size_t size = data->size;
    bool hits = fault_hits(FAULT_DISK);
    uint64_t end = offset + size, old = disk->now.inodes[file].size;
    bool is_full = end > old && used(disk) + (end - old) > disk->room;
    kvr_status status = hits ? fault_of(disk) : KVR_OK;
    if (hits && disk->fault == WAL_DISK_SHORT) {
        size = 1;
        status = KVR_OK;
    } else if (is_full || (hits && disk->fault == WAL_DISK_ENOSPACE)) {
        size /= 2;
        status = KVR_ENOSPACE;
    } else if (hits) {
        return status;
    }
    size = disk->stutter > 0 && size > disk->stutter ? disk->stutter : size;
    if (size > 0) {
        disk_call *done = record(disk, DO_WRITE, (size_t)file);
        done->offset = offset;
        done->size = size;
        done->data = checked(malloc(size));
        memcpy(done->data, data->data, size);
        write_bytes(&disk->now.inodes[file], offset, data->data, size);
    }
    *out_written = size;
    return status;
}

static kvr_status disk_pread(void *ctx, uint64_t file, uint8_t *out_data, size_t size,
                             uint64_t offset, size_t *out_read)
{
    wal_disk *disk = ctx;
    const disk_file *from = &disk->now.inodes[file];
    bool hits = fault_hits(FAULT_DISK);
    if (hits && disk->fault != WAL_DISK_SHORT) {
        return fault_of(disk);
    }
    size_t left = offset >= from->size ? 0 : from->size - (size_t)offset;
    size = size < left ? size : left;
    size = hits && size > 1 ? 1 : size;
    size = disk->stutter > 0 && size > disk->stutter ? disk->stutter : size;
    if (size > 0) {
        memcpy(out_data, from->bytes + offset, size);
    }
    *out_read = size;
    return KVR_OK;
}

/* After a flush that loses, what it should have written is gone from the disk and, as after a
 * reboot or an eviction, from what reads see. */
static void lose_unflushed(wal_disk *disk, size_t file)
{
    disk_file *now = &disk->now.inodes[file];
    size_t from = 0;
    for (size_t i = 0; i < disk->call_count; i++) {
        if (disk->calls[i].kind == DO_FLUSH && disk->calls[i].inode == file) {
            from = i + 1;
        }
    }
    resize(now, 0);
    if (file < disk->first.inode_count && disk->first.inodes[file].size > 0) {
        write_bytes(now, 0, disk->first.inodes[file].bytes, disk->first.inodes[file].size);
    }
    for (size_t i = 0; i < disk->call_count; i++) {
        disk_call *done = &disk->calls[i];
        if (done->inode != file || (done->kind != DO_WRITE && done->kind != DO_TRUNCATE)) {
            continue;
        }
        if (i >= from) {
            done->size = 0;
            done->kind = DO_WRITE;
        } else if (done->kind == DO_WRITE) {
            write_bytes(now, done->offset, done->data, done->size);
        } else {
            resize(now, (size_t)done->offset);
        }
    }
}

static void drop_unflushed(wal_disk *disk, size_t file)
{
    for (size_t i = 0; i < disk->call_count; i++) {
        disk_call *done = &disk->calls[i];
        done->is_dropped = done->is_dropped || (done->kind < DO_CREATE && done->inode == file &&
                                                done->flushed_by == SIZE_MAX);
    }
}

static kvr_status disk_fdatasync(void *ctx, uint64_t file)
{
    wal_disk *disk = ctx;
    if (fault_hits(FAULT_DISK)) {
        if (disk->fault == WAL_DISK_FLUSH_LOSES) {
            lose_unflushed(disk, (size_t)file);
        }
        if (disk->fault == WAL_DISK_FLUSH_CLEANS) {
            drop_unflushed(disk, (size_t)file);
        }
        return fault_of(disk);
    }
    record_flush(disk, DO_FLUSH, (size_t)file);
    return KVR_OK;
}

static kvr_status disk_truncate(void *ctx, uint64_t file, uint64_t size)
{
    wal_disk *disk = ctx;
    if (fault_hits(FAULT_DISK)) {
        return fault_of(disk);
    }
    record(disk, DO_TRUNCATE, (size_t)file)->offset = size;
    resize(&disk->now.inodes[file], (size_t)size);
    return KVR_OK;
}

static kvr_status disk_length(void *ctx, uint64_t file, uint64_t *out_size)
{
    wal_disk *disk = ctx;
    if (fault_hits(FAULT_DISK)) {
        return fault_of(disk);
    }
    *out_size = disk->now.inodes[file].size;
    return KVR_OK;
}

static kvr_status disk_rename(void *ctx, const char *from, const char *to)
{
    wal_disk *disk = ctx;
    if (fault_hits(FAULT_DISK)) {
        return fault_of(disk);
    }
    if (find(&disk->now, from) == NULL) {
        return KVR_ENOTFOUND;
    }
    disk_call *done = record(disk, DO_RENAME, 0);
    copy_text(done->from, from);
    copy_text(done->to, to);
    rename_name(&disk->now, from, to);
    return KVR_OK;
}

static kvr_status disk_unlink(void *ctx, const char *text)
{
    wal_disk *disk = ctx;
    if (fault_hits(FAULT_DISK)) {
        return fault_of(disk);
    }
    if (find(&disk->now, text) == NULL) {
        return KVR_ENOTFOUND;
    }
    copy_text(record(disk, DO_UNLINK, 0)->from, text);
    remove_name(&disk->now, text);
    return KVR_OK;
}

static kvr_status disk_sync_directory(void *ctx)
{
    wal_disk *disk = ctx;
    if (fault_hits(FAULT_DISK)) {
        return fault_of(disk);
    }
    record_flush(disk, DO_FLUSH_NAMES, 0);
    return KVR_OK;
}

static kvr_status disk_list(void *ctx, kvr_file_each each, void *each_ctx)
{
    wal_disk *disk = ctx;
    if (fault_hits(FAULT_DISK)) {
        return fault_of(disk);
    }
    for (size_t i = 0; i < disk->now.name_count; i++) {
        const disk_name *item = &disk->now.names[i];
        kvr_status status = each(each_ctx, item->text, disk->now.inodes[item->inode].size);
        if (status != KVR_OK) {
            return status;
        }
    }
    return KVR_OK;
}

static kvr_status disk_space(void *ctx, uint64_t *out_bytes)
{
    const wal_disk *disk = ctx;
    uint64_t bytes = used(disk);
    *out_bytes = disk->room == UINT64_MAX ? UINT64_MAX / 2
                 : bytes < disk->room     ? disk->room - bytes
                                          : 0;
    return KVR_OK;
}

const kvr_file_ops wal_disk_ops = {
    .size = sizeof(kvr_file_ops),
    .open = disk_open,
    .close = disk_close,
    .pwrite = disk_pwrite,
    .pread = disk_pread,
    .fdatasync = disk_fdatasync,
    .truncate = disk_truncate,
    .length = disk_length,
    .rename = disk_rename,
    .unlink = disk_unlink,
    .sync_directory = disk_sync_directory,
    .list = disk_list,
    .space = disk_space,
};

/* ------------------------------------------------------------------ crashes */

/* A write that reaches the disk in part: sectors one by one, and the size of the file by itself. */
static void tear(disk_file *file, const disk_call *done, kvr__random *random)
{
    uint64_t at = done->offset, end = done->offset + done->size;
    while (at < end) {
        uint64_t border = at - at % SECTOR + SECTOR;
        uint64_t stop = border < end ? border : end;
        if (kvr__random_below(random, 2) == 0) {
            write_bytes(file, at, done->data + (at - done->offset), (size_t)(stop - at));
        }
        at = stop;
    }
    if (end > file->size && kvr__random_below(random, 2) == 0) {
        resize(file, (size_t)end);
    }
}

static bool survives(uint32_t policy, kvr__random *random)
{
    return policy == WAL_DISK_KEEP || (policy == WAL_DISK_MIX && kvr__random_below(random, 2) == 0);
}

static void replay(disk_state *files, const disk_call *done)
{
    switch (done->kind) {
    case DO_WRITE:
        write_bytes(&files->inodes[done->inode], done->offset, done->data, done->size);
        break;
    case DO_TRUNCATE:
        resize(&files->inodes[done->inode], (size_t)done->offset);
        break;
    case DO_CREATE:
        remove_name(files, done->to);
        add_name(files, done->to, done->inode);
        break;
    case DO_RENAME:
        rename_name(files, done->from, done->to);
        break;
    case DO_UNLINK:
        remove_name(files, done->from);
        break;
    default:
        break;
    }
}

wal_disk *wal_disk_after(const wal_disk *disk, const wal_disk_crash *crash)
{
    kvr__random random;
    kvr__random_init(&random, crash->seed);
    disk_state files = copy_files(&disk->first);
    while (files.inode_count < disk->now.inode_count) {
        (void)add_inode(&files);
    }
    for (size_t i = 0; i < crash->calls; i++) {
        const disk_call *done = &disk->calls[i];
        bool is_name = done->kind >= DO_CREATE;
        if (done->is_dropped) {
            continue;
        }
        if (done->flushed_by < crash->calls ||
            survives(is_name ? crash->names : crash->data, &random)) {
            replay(&files, done);
        } else if (done->kind == DO_WRITE && crash->data == WAL_DISK_MIX &&
                   kvr__random_below(&random, 2) == 0) {
            tear(&files.inodes[done->inode], done, &random);
        }
    }
    return disk_of(files);
}

uint64_t wal_disk_hash(const wal_disk *disk)
{
    uint64_t sum = 0; /* of a hash a file, so that the order of names does not count */
    for (size_t i = 0; i < disk->now.name_count; i++) {
        const disk_name *item = &disk->now.names[i];
        const disk_file *file = &disk->now.inodes[item->inode];
        uint64_t hash = kvr__xxh3_64(item->text, strlen(item->text));
        sum +=
            kvr__xxh3_64_seed(file->size == 0 ? (const void *)"" : file->bytes, file->size, hash);
    }
    return sum;
}

/* ------------------------------------------------------------------ rot */

uint8_t *wal_disk_bytes(wal_disk *disk, const char *text, size_t *out_size)
{
    const disk_name *found = find(&disk->now, text);
    if (found == NULL) {
        return NULL;
    }
    *out_size = disk->now.inodes[found->inode].size;
    return disk->now.inodes[found->inode].bytes;
}

const char *wal_disk_name(const wal_disk *disk, size_t i)
{
    return i < disk->now.name_count ? disk->now.names[i].text : NULL;
}

void wal_disk_remove(wal_disk *disk, const char *text)
{
    remove_name(&disk->now, text);
}

void wal_disk_put(wal_disk *disk, const char *text, const uint8_t *data, size_t size)
{
    remove_name(&disk->now, text);
    size_t inode = add_inode(&disk->now);
    add_name(&disk->now, text, inode);
    write_bytes(&disk->now.inodes[inode], 0, data, size);
}
