/* SPDX-License-Identifier: Apache-2.0 */
/* posix_directory.c: a directory that is opened, checked and locked before anything else touches it.
 * The lock is flock(2) on the file "lock": it ends with the handle or the process, whichever is first,
 * and another handle of the same process does not get it either. */
#include "posix_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

const char kvr__posix_lock_name[] = "lock";

kvr_status kvr__posix_status(int error)
{
    switch (error) {
    case ENOENT:
    case ENOTDIR:
        return KVR_ENOTFOUND;
    case EEXIST:
        return KVR_EEXIST;
    case ENOSPC:
    case EDQUOT:
        return KVR_ENOSPACE;
    case EACCES:
    case EPERM:
    case EROFS:
        return KVR_EDENIED;
    case ENOMEM:
        return KVR_ENOMEM;
    default:
        return KVR_EIO;
    }
}

kvr_status kvr__posix_fail(kvr_posix_directory *directory, const char *call, const char *name,
                           int error)
{
    char reason[128] = "unknown error";
    int described = strerror_r(error, reason, sizeof reason);
    (void)described; /* the reason stays as it was */
    snprintf(directory->error, sizeof directory->error, "%s %s: %s", call, name, reason);
    return kvr__posix_status(error);
}

kvr_status kvr_posix_directory_new(const kvr_allocator *allocator, void *allocator_ctx,
                                   kvr_posix_directory **out_directory)
{
    void *handle = NULL;
    kvr_status status = kvr__mem_new_handle(allocator, allocator_ctx, sizeof **out_directory,
                                            offsetof(kvr_posix_directory, mem), &handle);
    if (status != KVR_OK) {
        return status;
    }
    kvr_posix_directory *directory = handle;
    directory->fd = -1;
    directory->lock = -1;
    directory->error[0] = '\0';
    *out_directory = directory;
    return KVR_OK;
}

/* A new name is durable once the directory above it was synced. */
static kvr_status sync_parent(kvr_posix_directory *directory)
{
    int parent = openat(directory->fd, "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (parent < 0) {
        return kvr__posix_fail(directory, "open", "..", errno);
    }
    kvr_status status =
        fsync(parent) == 0 ? KVR_OK : kvr__posix_fail(directory, "sync", "..", errno);
    close(parent);
    return status;
}

static kvr_status open_directory(kvr_posix_directory *directory, const char *path, uint32_t flags)
{
    bool made = false;
    if ((flags & KVR_POSIX_CREATE) != 0) {
        made = mkdir(path, 0700) == 0;
        if (!made && errno != EEXIST) {
            return kvr__posix_fail(directory, "make directory", path, errno);
        }
    }
    directory->fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (directory->fd < 0) {
        kvr_status status = kvr__posix_fail(directory, "open", path, errno);
        return errno == ENOTDIR ? KVR_EINVAL : status;
    }
    struct stat info;
    if (fstat(directory->fd, &info) != 0) {
        return kvr__posix_fail(directory, "look at", path, errno);
    }
    if ((info.st_mode & (S_IWGRP | S_IWOTH)) != 0) {
        snprintf(directory->error, sizeof directory->error,
                 "%s: others than its owner may write to it; chmod go-w", path);
        return KVR_EDENIED;
    }
    return made ? sync_parent(directory) : KVR_OK;
}

static kvr_status say_locked(kvr_posix_directory *directory, const char *path)
{
    char holder[32] = "";
    ssize_t got = pread(directory->lock, holder, sizeof holder - 1, 0);
    holder[got > 0 ? (size_t)got : 0] = '\0';
    holder[strcspn(holder, "\n")] = '\0';
    snprintf(directory->error, sizeof directory->error, "%s: in use by process %s; stop it first",
             path, holder[0] != '\0' ? holder : "(not known)");
    return KVR_ELOCKED;
}

static kvr_status take_lock(kvr_posix_directory *directory, const char *path, bool read_only)
{
    int mode = read_only ? O_RDONLY : O_RDWR | O_CREAT;
    directory->lock = openat(directory->fd, kvr__posix_lock_name, mode | O_CLOEXEC, 0600);
    if (directory->lock < 0) {
        bool nobody = read_only && errno == ENOENT; /* then nobody ever wrote here */
        return nobody ? KVR_OK : kvr__posix_fail(directory, "open", kvr__posix_lock_name, errno);
    }
    if (flock(directory->lock, (read_only ? LOCK_SH : LOCK_EX) | LOCK_NB) != 0) {
        return errno == EWOULDBLOCK ? say_locked(directory, path)
                                    : kvr__posix_fail(directory, "lock", path, errno);
    }
    return KVR_OK;
}

void kvr__posix_directory_sign(kvr_posix_directory *directory)
{
    char holder[32];
    int size = snprintf(holder, sizeof holder, "%ld\n", (long)getpid());
    /* A failure takes nothing from the lock. */
    if (ftruncate(directory->lock, 0) == 0) {
        ssize_t written = pwrite(directory->lock, holder, (size_t)size, 0);
        (void)written;
    }
}

static void close_directory(kvr_posix_directory *directory)
{
    if (directory->lock >= 0) {
        close(directory->lock);
    }
    if (directory->fd >= 0) {
        close(directory->fd);
    }
    directory->lock = -1;
    directory->fd = -1;
}

kvr_status kvr_posix_directory_open(kvr_posix_directory *directory, const char *path,
                                    uint32_t flags)
{
    if (directory->fd >= 0) {
        return KVR_ESTATE;
    }
    kvr_status status = open_directory(directory, path, flags);
    if (status == KVR_OK) {
        status = take_lock(directory, path, (flags & KVR_POSIX_READ_ONLY) != 0);
    }
    if (status != KVR_OK) {
        close_directory(directory);
    }
    return status;
}

const char *kvr_posix_directory_error(const kvr_posix_directory *directory)
{
    return directory->error;
}

void kvr_posix_directory_free(kvr_posix_directory *directory)
{
    if (directory != NULL) {
        close_directory(directory);
        kvr__mem_free_handle(directory, sizeof *directory, offsetof(kvr_posix_directory, mem));
    }
}
