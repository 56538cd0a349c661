/* SPDX-License-Identifier: Apache-2.0 */
/* posix_directory.c: one directory, made private, held open and locked. The lock is flock(2) on a
 * file in it: unlike fcntl's it also excludes a second handle of the same process, and closing some
 * other descriptor of that file does not drop it. It ends with the process, however that ends. */
#include "posix_internal.h"

#include "base/assertion.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define LOCK_NAME "lock"

kvr_status kvr__posix_status_of(int error)
{
    switch (error) {
    case ENOSPC:
    case EDQUOT:
        return KVR_ENOSPACE;
    case EACCES:
    case EPERM:
    case EROFS:
        return KVR_EDENIED;
    case ENOENT:
        return KVR_ENOTFOUND;
    case EEXIST:
        return KVR_EEXIST;
    case ENOMEM:
        return KVR_ENOMEM;
    default:
        return KVR_EIO;
    }
}

void kvr__posix_words_of(int error, char *room, size_t size)
{
    if (strerror_r(error, room, size) != 0) {
        (void)snprintf(room, size, "errno %d", error);
    }
}

/* ------------------------------------------------------------------ life */

kvr_status kvr_posix_directory_new(const kvr_allocator *allocator, void *allocator_ctx,
                                   kvr_posix_directory **out_directory)
{
    if (out_directory == NULL) {
        return KVR_EINVAL;
    }
    void *handle;
    kvr_status status = kvr__mem_new_handle(allocator, allocator_ctx, sizeof(kvr_posix_directory),
                                            offsetof(kvr_posix_directory, mem), &handle);
    if (status != KVR_OK) {
        return status;
    }
    kvr_posix_directory *directory = handle;
    directory->fd = -1;
    directory->lock_fd = -1;
    *out_directory = directory;
    return KVR_OK;
}

static void close_both(kvr_posix_directory *directory)
{
    if (directory->lock_fd >= 0) {
        (void)close(directory->lock_fd);
    }
    if (directory->fd >= 0) {
        (void)close(directory->fd);
    }
    directory->lock_fd = -1;
    directory->fd = -1;
}

void kvr__posix_directory_unlock(kvr_posix_directory *directory)
{
    close_both(directory);
    directory->is_open = false;
}

void kvr_posix_directory_free(kvr_posix_directory *directory)
{
    if (directory != NULL) {
        close_both(directory);
        kvr__mem_free_handle(directory, sizeof *directory, offsetof(kvr_posix_directory, mem));
    }
}

const char *kvr_posix_directory_error(const kvr_posix_directory *directory)
{
    return directory->error;
}

/* ------------------------------------------------------------------ open */

static kvr_status failed(kvr_posix_directory *directory, const char *path, const char *what)
{
    int error = errno;
    char words[128];
    kvr__posix_words_of(error, words, sizeof words);
    (void)snprintf(directory->error, sizeof directory->error, "%s: %s: %s", path, what, words);
    return error == ENOTDIR ? KVR_EINVAL : kvr__posix_status_of(error);
}

/* Makes the name of a new directory durable in the one above it. */
static kvr_status sync_parent(kvr_posix_directory *directory, const char *path)
{
    int parent = openat(directory->fd, "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (parent < 0) {
        return failed(directory, path, "the directory above it");
    }
    int result;
    do {
        result = fsync(parent);
    } while (result != 0 && errno == EINTR);
    kvr_status status =
        result == 0 ? KVR_OK : failed(directory, path, "sync of the directory above it");
    (void)close(parent);
    return status;
}

static kvr_status open_directory(kvr_posix_directory *directory, const char *path, bool may_make)
{
    bool is_made = may_make && mkdir(path, 0700) == 0;
    if (may_make && !is_made && errno != EEXIST) {
        return failed(directory, path, "cannot be made");
    }
    directory->fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (directory->fd < 0) {
        return failed(directory, path, "cannot be opened");
    }
    return is_made ? sync_parent(directory, path) : KVR_OK;
}

/* Files are made 0600, so nobody else can read them; but who may write here may replace them. */
static kvr_status check_mode(kvr_posix_directory *directory, const char *path)
{
    struct stat stat;
    if (fstat(directory->fd, &stat) != 0) {
        return failed(directory, path, "fstat");
    }
    if ((stat.st_mode & (S_IWGRP | S_IWOTH)) == 0) {
        return KVR_OK;
    }
    (void)snprintf(directory->error, sizeof directory->error,
                   "%s: its mode is %03o, so others can write to it; chmod 700 it", path,
                   (unsigned)(stat.st_mode & 0777));
    return KVR_EDENIED;
}

static kvr_status in_use(kvr_posix_directory *directory, const char *path)
{
    char pid[32] = "";
    ssize_t size = pread(directory->lock_fd, pid, sizeof pid - 1, 0);
    pid[size > 0 ? size : 0] = '\0';
    pid[strcspn(pid, "\n")] = '\0';
    (void)snprintf(directory->error, sizeof directory->error,
                   "%s: in use by %s%s; stop it, or name another directory", path,
                   pid[0] == '\0' ? "another process" : "process ", pid);
    return KVR_ELOCKED;
}

/* A reader needs no lock file to be there: then nobody has ever written here. */
static kvr_status lock(kvr_posix_directory *directory, const char *path, bool is_reader)
{
    int flags = is_reader ? O_RDONLY : O_RDWR | O_CREAT;
    directory->lock_fd =
        openat(directory->fd, LOCK_NAME, flags | O_CLOEXEC | O_NOFOLLOW, (mode_t)0600);
    if (directory->lock_fd < 0) {
        return is_reader && errno == ENOENT ? KVR_OK : failed(directory, path, "lock file");
    }
    if (flock(directory->lock_fd, (is_reader ? LOCK_SH : LOCK_EX) | LOCK_NB) != 0) {
        return errno == EWOULDBLOCK ? in_use(directory, path) : failed(directory, path, "flock");
    }
    return KVR_OK;
}

void kvr__posix_directory_sign(kvr_posix_directory *directory)
{
    char pid[32];
    int size = snprintf(pid, sizeof pid, "%ld\n", (long)getpid());
    ssize_t written = 0;
    if (ftruncate(directory->lock_fd, 0) == 0) {
        written = pwrite(directory->lock_fd, pid, (size_t)size, 0);
    }
    (void)written; /* a lock without a name is a lock all the same */
}

kvr_status kvr_posix_directory_open(kvr_posix_directory *directory, const char *path,
                                    uint32_t flags)
{
    if (directory->is_open) {
        return KVR_ESTATE;
    }
    if (path == NULL || path[0] == '\0') {
        (void)snprintf(directory->error, sizeof directory->error, "no path was given");
        return KVR_EINVAL;
    }
    kvr_status status = open_directory(directory, path, (flags & KVR_POSIX_CREATE) != 0);
    if (status == KVR_OK) {
        status = check_mode(directory, path);
    }
    if (status == KVR_OK) {
        status = lock(directory, path, (flags & KVR_POSIX_READ_ONLY) != 0);
    }
    directory->is_open = status == KVR_OK;
    if (status != KVR_OK) {
        close_both(directory);
    }
    return status;
}
