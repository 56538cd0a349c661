/* SPDX-License-Identifier: Apache-2.0 */
/* kvraft/posix.h: ready-made parts of a host on POSIX: the file calls of wal.h on real files, a
 * disk that a thread of the host performs, a monotonic clock, entropy, a log on standard error. The
 * library starts no thread here either: it offers the loop, the host offers the thread.
 *
 *   owner's thread                                    disk's thread, if there is one
 *   1. kvr_posix_disk_new, _open (recovers; blocks)
 *   2. start the thread                               kvr_posix_disk_run, or a loop of its own over
 *   3. kvr_posix_disk_storage to the node               kvr_posix_disk_wait, _perform
 *   4. poll() on kvr_posix_disk_fd; when readable
 *      kvr_posix_disk_reap, until it returns none
 *   5. kvr_posix_disk_stop, join the thread           ... returns
 *   6. kvr_posix_disk_close, _free
 *
 * While one flush is under way the next batch fills: group commit. A host without a thread sets
 * KVR_POSIX_SYNCHRONOUS and needs only 1, 3 and 6; kvr_posix_disk_perform, when it has nothing else
 * to do, then zero-fills ahead and removes what is not needed. */
#ifndef KVRAFT_POSIX_H
#define KVRAFT_POSIX_H

#include <kvraft/base.h>
#include <kvraft/host.h>
#include <kvraft/wal.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ------------------------------------------------------------------ clock, entropy, log
 *
 * Constant tables that lend for ever; their ctx is ignored and may be NULL. Legal on any thread. */

/* CLOCK_BOOTTIME where there is one: it counts the time that the machine sleeps, as leases need.
 * Else CLOCK_MONOTONIC. */
KVR_API const kvr_clock *kvr_posix_clock(void);

/* The kernel's generator (getrandom). */
KVR_API const kvr_entropy *kvr_posix_entropy(void);

/* One line a call on standard error, with its level. `level_max` is KVR_LOG_*; above KVR_LOG_DEBUG
 * counts as it. */
KVR_API const kvr_log *kvr_posix_log(uint32_t level_max);

/* ------------------------------------------------------------------ a directory */

/* One open, locked directory: the ctx of kvr_posix_file_ops. */
typedef struct kvr_posix_directory kvr_posix_directory;

enum {
    KVR_POSIX_CREATE = 1,     /* directory: make it (0700) if it is not there, its parents not;
                                 disk: also make a store if it holds none */
    KVR_POSIX_READ_ONLY = 2,  /* share the lock with other readers; change nothing */
    KVR_POSIX_SYNCHRONOUS = 4 /* disk: submit performs and returns KVR_DONE; no thread, no queue */
};

/* Makes a handle; touches nothing. NULL table: malloc. KVR_OK gives *out_directory, freed by
 * kvr_posix_directory_free. KVR_EINVAL, KVR_ENOMEM. */
KVR_API kvr_status kvr_posix_directory_new(const kvr_allocator *allocator, void *allocator_ctx,
                                           kvr_posix_directory **out_directory) KVR_MUST_USE;

/* Opens `path` (borrowed) and takes the lock on its file "lock", which ends with the handle or the
 * process. KVR_OK; KVR_ELOCKED (another process, or another handle of this one: the error names the
 * process id); KVR_ENOTFOUND; KVR_EDENIED (also if others than the owner may write to it);
 * KVR_EINVAL (no directory); KVR_ENOSPACE; KVR_EIO; KVR_ESTATE (open already). */
KVR_API kvr_status kvr_posix_directory_open(kvr_posix_directory *directory, const char *path,
                                            uint32_t flags) KVR_MUST_USE;

/* One line: which call failed on which file, and why; "" if none did. Lends until the next call. */
KVR_API const char *kvr_posix_directory_error(const kvr_posix_directory *directory);

/* Closes and unlocks. NULL is ignored. */
KVR_API void kvr_posix_directory_free(kvr_posix_directory *directory);

/* The file calls of wal.h; their ctx is an open kvr_posix_directory. Files are made 0600, opened
 * close-on-exec; interrupted calls are repeated. EDQUOT is KVR_ENOSPACE, EROFS and EACCES are
 * KVR_EDENIED. Lends for ever. */
KVR_API const kvr_file_ops *kvr_posix_file_ops(void);

/* ------------------------------------------------------------------ a disk */

/* A directory, the wal in it, a queue of requests before it and one of results behind it. */
typedef struct kvr_posix_disk kvr_posix_disk;

/* Zero means default. Fill with kvr_posix_disk_config_init. */
typedef struct kvr_posix_disk_config {
    uint32_t size;
    uint32_t flags;            /* KVR_POSIX_* */
    const char *path;          /* of the directory; borrowed until open has returned */
    const kvr_wal_config *wal; /* borrowed; its files, entropy and flags but KVR_WAL_GROUPS are the
                                  disk's to set. Its
                                  allocator makes the disk too: it is called by the owner in new,
                                  open, close and free, by the disk's thread in between */
    uint64_t idle_ns;   /* after the last append or vote, then kvr_wal_idle: default 100 ms */
    uint32_t queue_max; /* requests not reaped yet, beyond it submit is KVR_EBUSY: default 256,
                           1..65,536 */
    uint32_t reserved;
} kvr_posix_disk_config;

/* Fills defaults for a struct of `size` bytes as the caller knows it. KVR_EINVAL if size is smaller
 * than that of the first version. */
KVR_API kvr_status kvr_posix_disk_config_init(kvr_posix_disk_config *config,
                                              uint32_t size) KVR_MUST_USE;

/* Makes a handle and its wake-up descriptor; touches no file. KVR_OK gives *out_disk, freed by
 * kvr_posix_disk_free. KVR_EINVAL, KVR_ENOMEM, KVR_EIO (no descriptors left). */
KVR_API kvr_status kvr_posix_disk_new(const kvr_posix_disk_config *config,
                                      kvr_posix_disk **out_disk) KVR_MUST_USE;

/* Opens and locks the directory, opens the wal. Statuses of kvr_posix_directory_open and
 * kvr_wal_open; kvr_posix_disk_error says more. Before the thread runs. */
KVR_API kvr_status kvr_posix_disk_open(kvr_posix_disk *disk) KVR_MUST_USE;

/* The table for a raft or node config; its ctx is the disk. submit copies the request, whose bytes
 * are lent until it is reaped, and returns KVR_OK or KVR_EBUSY; synchronous: KVR_DONE. Lends for
 * ever. */
KVR_API const kvr_storage *kvr_posix_disk_storage(void);

/* A descriptor that is readable while reap has something to return or to end; for poll(). -1 if the
 * disk is synchronous. The disk closes it. */
KVR_API int32_t kvr_posix_disk_fd(const kvr_posix_disk *disk);

/* Takes up to `max` results, in the order of completion, into `out_results`, whose first `size` the
 * caller sets and which is the array's stride. What they point to lends until the next reap: a
 * further READ waits for that, so call it until it returns 0. Returns how many. Owner's thread. */
KVR_API uint32_t kvr_posix_disk_reap(kvr_posix_disk *disk, kvr_store_result *out_results,
                                     uint32_t max) KVR_MUST_USE;

/* Waits until requests are queued (KVR_OK), idle_ns has passed since the last append or vote and
 * maintenance is due (KVR_AGAIN), `timeout_ns` has passed (KVR_ETIMEDOUT), or the disk was stopped
 * and its queue is empty (KVR_ESTOPPED). UINT64_MAX waits for ever. Disk's thread. */
KVR_API kvr_status kvr_posix_disk_wait(kvr_posix_disk *disk, uint64_t timeout_ns) KVR_MUST_USE;

/* Performs all that is queued as one batch; if nothing is, one slice of maintenance, or the idle
 * record when it is due. KVR_OK: there is nothing left to do now; KVR_AGAIN: call again before
 * waiting; KVR_FSTORAGE, KVR_FCORRUPT: the wal has failed, every request is answered KVR_EIO.
 * Blocks. Disk's thread. */
KVR_API kvr_status kvr_posix_disk_perform(kvr_posix_disk *disk) KVR_MUST_USE;

/* wait and perform, until the disk is stopped and everything queued is performed. The body of a
 * thread. */
KVR_API void kvr_posix_disk_run(kvr_posix_disk *disk);

/* Makes wait and run return; further submits are KVR_EBUSY. Any thread. */
KVR_API void kvr_posix_disk_stop(kvr_posix_disk *disk);

/* After the thread has ended: kvr_wal_close, and unlocks the directory. */
KVR_API kvr_status kvr_posix_disk_close(kvr_posix_disk *disk) KVR_MUST_USE;

/* Frees the handle; not closed before, its files are left like in a crash. NULL is ignored. */
KVR_API void kvr_posix_disk_free(kvr_posix_disk *disk);

/* Numbers of the wal as of the last perform. Any thread. */
KVR_API void kvr_posix_disk_get_status(kvr_posix_disk *disk, kvr_wal_status *out_status);

/* One line: what failed in open, or made the wal fail; "" if nothing did. Lends until the next call
 * of open, close or free; owner's thread, and settled once a result was reaped with KVR_EIO. */
KVR_API const char *kvr_posix_disk_error(const kvr_posix_disk *disk);

#ifdef __cplusplus
}
#endif
#endif
