/* SPDX-License-Identifier: Apache-2.0 */
/* posix_internal.h: what the files of this room share: the open directory, and the disk with its
 * queue. Start at posix_disk.c; posix_files.c is the table of calls below it. */
#ifndef KVRAFT_LIB_POSIX_INTERNAL_H
#define KVRAFT_LIB_POSIX_INTERNAL_H

#include <kvraft/posix.h>

#include "base/memory.h"

#include <pthread.h>

enum {
    KVR__POSIX_TEXT_SIZE = 512,
    KVR__POSIX_DETAILS_SIZE = 8 * KVR__POSIX_TEXT_SIZE,
    KVR__POSIX_QUEUE_DEFAULT = 256,
    KVR__POSIX_QUEUE_MAX = 65536
};

struct kvr_posix_directory {
    kvr__mem mem;
    bool is_open;
    int fd;
    int lock_fd;      /* -1: a reader of a directory that was never locked */
    int failed_errno; /* of the file call that failed last */
    char phrase[128]; /* in words */
    char error[KVR__POSIX_TEXT_SIZE];
};

/* Writes the process id into the lock's file, for the message of whoever comes second. Not before
 * the store in the directory was accepted: one that is refused stays as it was, to the last
 * byte. */
void kvr__posix_directory_sign(kvr_posix_directory *directory);

/* Closes and unlocks; no file in it is open any more. */
void kvr__posix_directory_unlock(kvr_posix_directory *directory);

/* The status that stands for an errno. */
kvr_status kvr__posix_status_of(int error);

/* Writes the words for an errno into `room`. */
void kvr__posix_words_of(int error, char *room, size_t size);

/* Requests wait in a ring; positions count for ever, slot = position % queue_max.
 *
 *   reaped <= performed <= submitted <= reaped + queue_max
 *
 * Slots from `performed` on are read by the disk's thread, from `reaped` to `performed` they hold
 * results for the owner, all others are the owner's to fill. The lock guards positions, flags and
 * counts, never a slot while its side works on it. */
struct kvr_posix_disk {
    kvr__mem mem;
    kvr_posix_disk_config config;
    kvr_wal_config wal_config;
    kvr_posix_directory *directory;
    kvr_wal *wal;
    bool is_open;
    bool has_lock;
    int wake[2]; /* a pipe; -1 if synchronous */

    pthread_mutex_t lock;
    pthread_cond_t changed;
    kvr_store_request *requests;
    kvr_store_result *results;
    uint64_t submitted;
    uint64_t performed;
    uint64_t reaped;
    bool is_stopped;
    bool is_awake;       /* a byte is in the pipe */
    uint32_t lent;       /* results that point into the wal, or to details, and are not over */
    uint32_t lent_given; /* of them, those that the last reap returned */
    kvr_wal_status status;
    char error[KVR__POSIX_TEXT_SIZE]; /* written before a failure is told, then never again */

    /* The disk's thread only. */
    bool maintenance_due;
    uint64_t idle_at; /* when the last batch is to be vouched for; UINT64_MAX: it is */
    char details[KVR__POSIX_DETAILS_SIZE];
    size_t details_used;
};

/* The invariants of README.md; the lock is held. */
void kvr__posix_check(const kvr_posix_disk *disk);

#endif
