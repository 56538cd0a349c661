/* SPDX-License-Identifier: Apache-2.0 */
/* posix_files.c: the file calls of wal.h, one system call each, on names relative to one directory.
 * Interrupted calls are repeated; short counts are told, and the wal goes on (FAULTS 82). */
#define _FILE_OFFSET_BITS 64
#include "posix_internal.h"

#include "base/assertion.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

_Static_assert(sizeof(off_t) == 8, "segments and snapshots may pass 2 GiB");

static kvr_status failed(kvr_posix_directory *directory)
{
    directory->failed_errno = errno;
    kvr__posix_words_of(errno, directory->phrase, sizeof directory->phrase);
    return kvr__posix_status_of(directory->failed_errno);
}

static kvr_status result_of(kvr_posix_directory *directory, int result)
{
    return result == 0 ? KVR_OK : failed(directory);
}

static kvr_status files_open(void *ctx, const char *name, uint32_t flags, uint64_t *out_file)
{
    kvr_posix_directory *directory = ctx;
    int mode = (flags & KVR_FILE_WRITE) != 0 ? O_RDWR : O_RDONLY;
    mode |= (flags & KVR_FILE_CREATE) != 0 ? O_CREAT : 0;
    mode |= (flags & KVR_FILE_EXCLUSIVE) != 0 ? O_EXCL : 0;
    int fd;
    do {
        fd = openat(directory->fd, name, mode | O_CLOEXEC | O_NOFOLLOW, (mode_t)0600);
    } while (fd < 0 && errno == EINTR);
    if (fd < 0) {
        return failed(directory);
    }
    *out_file = (uint64_t)fd;
    return KVR_OK;
}

/* Not repeated when interrupted: on Linux the descriptor is gone, and may be another thread's by
 * now. */
static kvr_status files_close(void *ctx, uint64_t file)
{
    return result_of(ctx, close((int)file));
}

static kvr_status files_pwrite(void *ctx, uint64_t file, const kvr_slice *data, uint64_t offset,
                               size_t *out_written)
{
    KVR_ASSERT(offset <= INT64_MAX);
    size_t size = data->size < SSIZE_MAX ? data->size : SSIZE_MAX;
    ssize_t done;
    do {
        done = pwrite((int)file, data->data, size, (off_t)offset);
    } while (done < 0 && errno == EINTR);
    if (done < 0) {
        return failed(ctx);
    }
    *out_written = (size_t)done;
    return KVR_OK;
}

static kvr_status files_pread(void *ctx, uint64_t file, uint8_t *out_data, size_t size,
                              uint64_t offset, size_t *out_read)
{
    KVR_ASSERT(offset <= INT64_MAX);
    size = size < SSIZE_MAX ? size : SSIZE_MAX;
    ssize_t done;
    do {
        done = pread((int)file, out_data, size, (off_t)offset);
    } while (done < 0 && errno == EINTR);
    if (done < 0) {
        return failed(ctx);
    }
    *out_read = (size_t)done;
    return KVR_OK;
}

/* An interrupted flush has reported no failure of the disk, so it alone may be asked again. */
static kvr_status files_fdatasync(void *ctx, uint64_t file)
{
    int result;
    do {
        result = fdatasync((int)file);
    } while (result != 0 && errno == EINTR);
    return result_of(ctx, result);
}

static kvr_status files_truncate(void *ctx, uint64_t file, uint64_t size)
{
    KVR_ASSERT(size <= INT64_MAX);
    int result;
    do {
        result = ftruncate((int)file, (off_t)size);
    } while (result != 0 && errno == EINTR);
    return result_of(ctx, result);
}

static kvr_status files_length(void *ctx, uint64_t file, uint64_t *out_size)
{
    struct stat stat;
    if (fstat((int)file, &stat) != 0) {
        return failed(ctx);
    }
    *out_size = (uint64_t)stat.st_size;
    return KVR_OK;
}

static kvr_status files_rename(void *ctx, const char *from, const char *to)
{
    kvr_posix_directory *directory = ctx;
    return result_of(directory, renameat(directory->fd, from, directory->fd, to));
}

static kvr_status files_unlink(void *ctx, const char *name)
{
    kvr_posix_directory *directory = ctx;
    return result_of(directory, unlinkat(directory->fd, name, 0));
}

static kvr_status files_sync_directory(void *ctx)
{
    kvr_posix_directory *directory = ctx;
    int result;
    do {
        result = fsync(directory->fd);
    } while (result != 0 && errno == EINTR);
    return result_of(directory, result);
}

/* Regular files only: the rest of the directory is none of the wal's business. */
static kvr_status list_one(kvr_posix_directory *directory, const char *name, kvr_file_each each,
                           void *each_ctx)
{
    struct stat stat;
    if (fstatat(directory->fd, name, &stat, AT_SYMLINK_NOFOLLOW) != 0) {
        return failed(directory);
    }
    return S_ISREG(stat.st_mode) ? each(each_ctx, name, (uint64_t)stat.st_size) : KVR_OK;
}

static kvr_status files_list(void *ctx, kvr_file_each each, void *each_ctx)
{
    kvr_posix_directory *directory = ctx;
    int fd = openat(directory->fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) {
        return failed(directory);
    }
    DIR *stream = fdopendir(fd);
    if (stream == NULL) {
        kvr_status status = failed(directory);
        (void)close(fd);
        return status;
    }
    kvr_status status = KVR_OK;
    while (status == KVR_OK) {
        errno = 0;
        const struct dirent *entry = readdir(stream);
        if (entry == NULL) {
            status = errno == 0 ? KVR_OK : failed(directory);
            break;
        }
        status = list_one(directory, entry->d_name, each, each_ctx);
    }
    (void)closedir(stream);
    return status;
}

static kvr_status files_space(void *ctx, uint64_t *out_bytes)
{
    kvr_posix_directory *directory = ctx;
    struct statvfs stat;
    if (fstatvfs(directory->fd, &stat) != 0) {
        return failed(directory);
    }
    *out_bytes = (uint64_t)stat.f_bavail * (uint64_t)stat.f_frsize;
    return KVR_OK;
}

static const char *files_error(void *ctx)
{
    const kvr_posix_directory *directory = ctx;
    return directory->failed_errno == 0 ? NULL : directory->phrase;
}

const kvr_file_ops *kvr_posix_file_ops(void)
{
    static const kvr_file_ops table = {
        .size = sizeof table,
        .open = files_open,
        .close = files_close,
        .pwrite = files_pwrite,
        .pread = files_pread,
        .fdatasync = files_fdatasync,
        .truncate = files_truncate,
        .length = files_length,
        .rename = files_rename,
        .unlink = files_unlink,
        .sync_directory = files_sync_directory,
        .list = files_list,
        .space = files_space,
        .error = files_error,
    };
    return &table;
}
