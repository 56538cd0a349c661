/* SPDX-License-Identifier: Apache-2.0 */
/* posix_files.c: the file calls of wal.h on real files, each one system call on names relative to an
 * open directory. Interrupted calls are repeated, except fdatasync: after any failure of it nobody
 * knows what is durable, so its first answer stands. */
#include "posix_internal.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

static kvr_status file_open(void *ctx, const char *name, uint32_t flags, uint64_t *out_file)
{
    kvr_posix_directory *directory = ctx;
    bool reads = (flags & KVR_FILE_READ) != 0;
    bool writes = (flags & KVR_FILE_WRITE) != 0;
    int mode = writes ? (reads ? O_RDWR : O_WRONLY) : O_RDONLY;
    mode |= (flags & KVR_FILE_CREATE) != 0 ? O_CREAT : 0;
    mode |= (flags & KVR_FILE_EXCLUSIVE) != 0 ? O_EXCL : 0;
    int fd;
    do {
        fd = openat(directory->fd, name, mode | O_CLOEXEC | O_NOFOLLOW, 0600);
    } while (fd < 0 && errno == EINTR);
    if (fd < 0) {
        return kvr__posix_fail(directory, "open", name, errno);
    }
    *out_file = (uint64_t)fd;
    return KVR_OK;
}

static kvr_status file_close(void *ctx, uint64_t file)
{
    /* Linux has closed it even if it says EINTR. */
    return close((int)file) == 0 || errno == EINTR ? KVR_OK
                                                   : kvr__posix_fail(ctx, "close", "a file", errno);
}

static kvr_status file_pwrite(void *ctx, uint64_t file, const kvr_slice *data, uint64_t offset,
                              size_t *out_written)
{
    ssize_t written;
    do {
        written = pwrite((int)file, data->data, data->size, (off_t)offset);
    } while (written < 0 && errno == EINTR);
    if (written < 0) {
        return kvr__posix_fail(ctx, "write", "a file", errno);
    }
    *out_written = (size_t)written;
    return KVR_OK;
}

static kvr_status file_pread(void *ctx, uint64_t file, uint8_t *out_data, size_t size,
                             uint64_t offset, size_t *out_read)
{
    ssize_t got;
    do {
        got = pread((int)file, out_data, size, (off_t)offset);
    } while (got < 0 && errno == EINTR);
    if (got < 0) {
        return kvr__posix_fail(ctx, "read", "a file", errno);
    }
    *out_read = (size_t)got;
    return KVR_OK;
}

static kvr_status file_fdatasync(void *ctx, uint64_t file)
{
    return fdatasync((int)file) == 0 ? KVR_OK : kvr__posix_fail(ctx, "sync", "a file", errno);
}

static kvr_status file_truncate(void *ctx, uint64_t file, uint64_t size)
{
    int result;
    do {
        result = ftruncate((int)file, (off_t)size);
    } while (result != 0 && errno == EINTR);
    return result == 0 ? KVR_OK : kvr__posix_fail(ctx, "truncate", "a file", errno);
}

static kvr_status file_length(void *ctx, uint64_t file, uint64_t *out_size)
{
    struct stat info;
    if (fstat((int)file, &info) != 0) {
        return kvr__posix_fail(ctx, "look at", "a file", errno);
    }
    *out_size = (uint64_t)info.st_size;
    return KVR_OK;
}

static kvr_status file_rename(void *ctx, const char *from, const char *to)
{
    kvr_posix_directory *directory = ctx;
    return renameat(directory->fd, from, directory->fd, to) == 0
               ? KVR_OK
               : kvr__posix_fail(directory, "rename", from, errno);
}

static kvr_status file_unlink(void *ctx, const char *name)
{
    kvr_posix_directory *directory = ctx;
    return unlinkat(directory->fd, name, 0) == 0
               ? KVR_OK
               : kvr__posix_fail(directory, "unlink", name, errno);
}

static kvr_status file_sync_directory(void *ctx)
{
    kvr_posix_directory *directory = ctx;
    return fsync(directory->fd) == 0 ? KVR_OK
                                     : kvr__posix_fail(directory, "sync", "the directory", errno);
}

/* One entry; anything that is no plain file, and the lock, is none of the store's. */
static kvr_status list_one(kvr_posix_directory *directory, const char *name, kvr_file_each each,
                           void *each_ctx)
{
    struct stat info;
    if (fstatat(directory->fd, name, &info, AT_SYMLINK_NOFOLLOW) != 0) {
        return kvr__posix_fail(directory, "look at", name, errno);
    }
    if (!S_ISREG(info.st_mode) || strcmp(name, kvr__posix_lock_name) == 0) {
        return KVR_OK;
    }
    return each(each_ctx, name, (uint64_t)info.st_size);
}

static kvr_status file_list(void *ctx, kvr_file_each each, void *each_ctx)
{
    kvr_posix_directory *directory = ctx;
    int fd = openat(directory->fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *stream = fd < 0 ? NULL : fdopendir(fd);
    if (stream == NULL) {
        int error = errno;
        if (fd >= 0) {
            close(fd);
        }
        return kvr__posix_fail(directory, "list", "the directory", error);
    }
    kvr_status status = KVR_OK;
    struct dirent *entry;
    while (status == KVR_OK && (errno = 0, entry = readdir(stream)) != NULL) {
        status = list_one(directory, entry->d_name, each, each_ctx);
    }
    if (status == KVR_OK && errno != 0) {
        status = kvr__posix_fail(directory, "list", "the directory", errno);
    }
    closedir(stream);
    return status;
}

static kvr_status file_space(void *ctx, uint64_t *out_bytes)
{
    kvr_posix_directory *directory = ctx;
    struct statvfs info;
    if (fstatvfs(directory->fd, &info) != 0) {
        return kvr__posix_fail(directory, "look at", "the file system", errno);
    }
    *out_bytes = (uint64_t)info.f_bavail * info.f_frsize;
    return KVR_OK;
}

static const char *file_error(void *ctx)
{
    const kvr_posix_directory *directory = ctx;
    return directory->error[0] != '\0' ? directory->error : NULL;
}

const kvr_file_ops *kvr_posix_file_ops(void)
{
    static const kvr_file_ops table = {
        .size = sizeof table,
        .open = file_open,
        .close = file_close,
        .pwrite = file_pwrite,
        .pread = file_pread,
        .fdatasync = file_fdatasync,
        .truncate = file_truncate,
        .length = file_length,
        .rename = file_rename,
        .unlink = file_unlink,
        .sync_directory = file_sync_directory,
        .list = file_list,
        .space = file_space,
        .error = file_error,
    };
    return &table;
}
