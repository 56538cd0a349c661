/* SPDX-License-Identifier: Apache-2.0 */
/* posix_internal.h: what the files of this room share: an open directory and the meaning of errno. */
#ifndef KVRAFT_LIB_POSIX_POSIX_INTERNAL_H
#define KVRAFT_LIB_POSIX_POSIX_INTERNAL_H

#include "base/memory.h"

#include <kvraft/posix.h>

enum { KVR__POSIX_ERROR_BYTES = 512 };

struct kvr_posix_directory {
    kvr__mem mem;
    int fd;   /* of the directory; -1: not open */
    int lock; /* of its file "lock"; -1: none. The lock ends when this is closed */
    char error[KVR__POSIX_ERROR_BYTES]; /* which call on which file, and why */
};

/* The file that carries the lock; it is no file of the store. */
extern const char kvr__posix_lock_name[];

/* Writes our process id into the lock's file, for the message of whoever comes second. Not before the
 * store was accepted: what is refused stays as it was, to the last byte. */
void kvr__posix_directory_sign(kvr_posix_directory *directory);

/* The status that an errno is for the wal. */
kvr_status kvr__posix_status(int error);

/* Keeps "<call> <name>: <reason>" as the directory's error; returns the status of `error`. */
kvr_status kvr__posix_fail(kvr_posix_directory *directory, const char *call, const char *name,
                           int error);

#endif
