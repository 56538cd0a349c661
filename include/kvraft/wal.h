/* SPDX-License-Identifier: Apache-2.0 */
/* kvraft/wal.h: the durable side of a member: its log, its term and vote, its snapshots. It answers
 * the storage requests of host.h over a small table of file calls, and makes no system call of its
 * own; so the very same code runs on real files (posix.h) and on simulated ones that lose, tear and
 * rot (sim.h). Formats and recovery, byte by byte: kvraft-wal(5).
 *
 *   1. kvr_wal_new, then kvr_wal_open: reads everything, verifies it, decides what a crash has torn
 *   2. kvr_wal_execute: performs a batch of requests. Appends that follow one another become one
 *      record: one write, one flush, however many callers wait for it
 *   3. when there is nothing to execute: kvr_wal_maintain until it says KVR_OK
 *   4. after 100 ms without an append or vote: kvr_wal_idle
 *   5. kvr_wal_close, kvr_wal_free
 *
 * One handle, one thread at a time; it blocks as long as the file calls do. It has no clock, and
 * its only randomness is the entropy table. It calls back only the tables of its config, from every
 * function but _new, _free's memory part and the questions; those must not call the library. */
#ifndef KVRAFT_WAL_H
#define KVRAFT_WAL_H

#include <kvraft/base.h>
#include <kvraft/host.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct kvr_wal kvr_wal;

/* ------------------------------------------------------------------ file calls */

enum {
    KVR_FILE_READ = 1,
    KVR_FILE_WRITE = 2,
    KVR_FILE_CREATE = 4,   /* make it, empty, if it is not there */
    KVR_FILE_EXCLUSIVE = 8 /* with CREATE: KVR_EEXIST if it is there */
};

/* Called by `list` once a file. `name` is borrowed. Any status but KVR_OK ends the list and is its
 * result. */
typedef kvr_status (*kvr_file_each)(void *each_ctx, const char *name, uint64_t size);

/* The calls on one directory that no one else writes to. Names are relative to it: at most 63 of
 * [a-z0-9.-]. All calls may block; one at a time is made.
 *
 * open       gives a handle in *out_file, closed by `close`. KVR_ENOTFOUND, KVR_EEXIST
 * close      ends a handle; what was written and not synced may be lost
 * pwrite     writes up to data->size bytes at `offset`, growing the file; *out_written may be less,
 *            the wal goes on. KVR_ENOSPACE: there was no room, some bytes may have been written
 * pread      reads up to `size` bytes at `offset`; *out_read may be less, 0 only at the end
 * fdatasync  what was written to the file, and the size that reading it needs, is durable when this
 *            answers KVR_OK. Anything else is final: it is never asked again about the same bytes
 * truncate   makes the file `size` bytes long; a longer one reads as zeros there
 * length     bytes in the file
 * rename     replaces `to` if it is there; atomic; durable only after sync_directory
 * unlink     removes the name; durable only after sync_directory
 * sync_directory  names made, renamed and removed so far are durable
 * list       calls `each` once for every file, in any order
 * space      bytes that appends could still take; NULL: not known
 * error      one phrase about the call that failed last, such as "Input/output error", lent until
 *            the next call; NULL, or a function that returns NULL: nothing is known beyond the
 *            status
 *
 * Any status not named is a failure of the disk, as KVR_EIO. */
typedef struct kvr_file_ops {
    uint32_t size;
    uint32_t reserved;
    kvr_status (*open)(void *ctx, const char *name, uint32_t flags, uint64_t *out_file);
    kvr_status (*close)(void *ctx, uint64_t file);
    kvr_status (*pwrite)(void *ctx, uint64_t file, const kvr_slice *data, uint64_t offset,
                         size_t *out_written);
    kvr_status (*pread)(void *ctx, uint64_t file, uint8_t *out_data, size_t size, uint64_t offset,
                        size_t *out_read);
    kvr_status (*fdatasync)(void *ctx, uint64_t file);
    kvr_status (*truncate)(void *ctx, uint64_t file, uint64_t size);
    kvr_status (*length)(void *ctx, uint64_t file, uint64_t *out_size);
    kvr_status (*rename)(void *ctx, const char *from, const char *to);
    kvr_status (*unlink)(void *ctx, const char *name);
    kvr_status (*sync_directory)(void *ctx);
    kvr_status (*list)(void *ctx, kvr_file_each each, void *each_ctx);
    kvr_status (*space)(void *ctx, uint64_t *out_bytes);
    const char *(*error)(void *ctx);
} kvr_file_ops;

/* ------------------------------------------------------------------ config */

enum {
    KVR_WAL_CREATE = 1, /* make a store if the directory holds none; else that is KVR_ENOTFOUND */
    /* open writes nothing; what would change the store is KVR_EREADONLY */
    KVR_WAL_READ_ONLY = 2,
    /* A store of many groups, for ever: one log, one flush for all that waits. A group comes with
     * its first request and goes with KVR_STORE_FORGET. */
    KVR_WAL_GROUPS = 4
};

/* Zero means default. Fill with kvr_wal_config_init, then set ids, files and entropy. */
typedef struct kvr_wal_config {
    uint32_t size;
    uint32_t flags;      /* KVR_WAL_* */
    uint64_t cluster_id; /* never 0; files of another cluster, member or group are refused */
    uint64_t member_id;  /* never 0 */
    uint64_t group_id;   /* of all requests; 0 with KVR_WAL_GROUPS, where any is right */

    /* Length of a log segment, default 64 MiB, 4 KiB..4 GiB, a multiple of 512. A batch that is
     * larger than a segment gets one of its own size. */
    uint64_t segment_bytes;
    uint32_t segments_ready; /* zero-filled ahead and kept for reuse, default 1, at most 64 */
    uint32_t batch_bytes;    /* the write buffer, and the most that appends are merged to: default
                                1 MiB, 1 KiB..64 MiB. A larger append takes several writes. */
    uint32_t read_bytes;     /* one read of recovery, one slice of maintain: default 1 MiB,
                                64 KiB..64 MiB */
    uint32_t groups_max;     /* KVR_WAL_GROUPS: default 65,536, at most 1,048,576 */

    const kvr_file_ops *files; /* borrowed for the handle's life, as is its ctx */
    void *files_ctx;
    const kvr_entropy *entropy; /* ids of store and segments: none may repeat, or be guessed */
    void *entropy_ctx;
    const kvr_allocator *allocator; /* NULL: malloc */
    void *allocator_ctx;
} kvr_wal_config;

/* Fills defaults for a struct of `size` bytes as the caller knows it. KVR_EINVAL if size is smaller
 * than that of the first version. */
KVR_API kvr_status kvr_wal_config_init(kvr_wal_config *config, uint32_t size) KVR_MUST_USE;

/* NULL if the config is acceptable, else one sentence that names the field and its range. Lends for
 * ever. */
KVR_API const char *kvr_wal_config_check(const kvr_wal_config *config);

/* ------------------------------------------------------------------ life */

/* Makes a handle; touches no file. `config` is borrowed, except its tables. KVR_OK gives *out_wal,
 * freed by kvr_wal_free. KVR_EINVAL (what is wrong: kvr_wal_config_check), KVR_ENOMEM. */
KVR_API kvr_status kvr_wal_new(const kvr_wal_config *config, kvr_wal **out_wal) KVR_MUST_USE;

/* Reads the store and makes what it found durable, once. A damaged record that nothing vouches for,
 * with nothing valid after it, is the tail that a crash tore: it is cut. Damage to anything else is
 * refused.
 *
 * KVR_OK; KVR_ENOTFOUND (no store, and no KVR_WAL_CREATE); KVR_EMISMATCH (of another cluster,
 * member or group; the error names both); KVR_EVERSION (written by a newer release, or sealed);
 * KVR_FCORRUPT (what was durable is damaged or missing: file, offset, remedy); KVR_EIO,
 * KVR_EDENIED, KVR_ENOSPACE, KVR_ENOMEM; KVR_ESTATE (opened before). After an error the store on
 * disk is as it was, kvr_wal_error says more, and only it, get_failure and _free are legal. */
KVR_API kvr_status kvr_wal_open(kvr_wal *wal) KVR_MUST_USE;

/* Writes the record that vouches for the last batch if there is none yet, and closes all files.
 * KVR_OK; KVR_ENOSPACE, KVR_FSTORAGE: no such record was written, nothing that was answered is
 * lost; KVR_ESTATE. Then only questions and _free are legal. */
KVR_API kvr_status kvr_wal_close(kvr_wal *wal) KVR_MUST_USE;

/* Frees the handle. If it was not closed its files are closed as they are, like in a crash. NULL is
 * ignored. */
KVR_API void kvr_wal_free(kvr_wal *wal);

/* ------------------------------------------------------------------ work */

/* Performs `count` requests in order and fills as many results. All of `requests` have one size,
 * which is the array's stride; so have `results`, whose first `size` the caller sets. What requests
 * point to is borrowed. What results of LOAD, READ and SNAPSHOT_READ point to lends until the next
 * execute that holds one of these three, or close; a `detail` until the next execute. Runs of
 * APPENDs that continue one another share one record and one flush, as far as batch_bytes reaches;
 * with KVR_WAL_GROUPS so do APPENDs and VOTEs of different groups.
 *
 * Statuses of results, beyond what host.h says of them:
 *   KVR_OK         done. Durable: APPEND, VOTE, DISCARD with KVR_STORE_ALL, SNAPSHOT_WRITE with
 *                  KVR_STORE_LAST
 *   KVR_ENOSPACE   no room, or no memory: nothing was done, ask again. Appends that would follow a
 *                  refused one are refused as well. (A refused vote may be found by the next open
 *                  if no later one was done; nobody was told of it.)
 *   KVR_ENOTFOUND  READ below first_index or above last_index; SNAPSHOT_READ of one that is gone
 *   KVR_ECORRUPT   READ, SNAPSHOT_READ: damage, `detail` says where. SNAPSHOT_WRITE: the stream has
 *                  not the length or hash of its meta, and was discarded
 *   KVR_EIO        a read failed; or the handle has failed: a write or flush did, nothing more is
 *                  done, ever
 *   KVR_EINVAL     never in order: an append that leaves a gap, a term that goes back, a second
 *                  vote in one term, a chunk at another offset, another group, bytes that are not
 *                  the entries they should be
 *   KVR_EREADONLY  opened with KVR_WAL_READ_ONLY
 *
 * KVR_OK: every result is filled. KVR_FSTORAGE, KVR_FCORRUPT: the same, and the handle has failed,
 * now or before. KVR_EINVAL: sizes. KVR_ESTATE: not open. */
KVR_API kvr_status kvr_wal_execute(kvr_wal *wal, const kvr_store_request *requests, uint32_t count,
                                   kvr_store_result *results) KVR_MUST_USE;

/* Does one slice (at most read_bytes of I/O, or one file) of what can wait: reads back the newest
 * snapshot, then removes older ones and segments below the discard index, zero-fills segments
 * ahead. Nothing is removed before what replaces it was read back. KVR_OK: nothing is left;
 * KVR_AGAIN; KVR_ENOSPACE: no room to fill ahead, try later; KVR_FCORRUPT: the new snapshot cannot
 * be read back, older data is kept and a new open goes on from it; KVR_FSTORAGE; KVR_ESTATE. */
KVR_API kvr_status kvr_wal_maintain(kvr_wal *wal) KVR_MUST_USE;

/* True while the last batch or vote has no later record that vouches for it: call kvr_wal_idle when
 * 100 ms have passed without another. Until then rot of that batch and a torn tail look alike. */
KVR_API bool kvr_wal_has_unvouched(const kvr_wal *wal);

/* Writes and flushes one empty record that vouches for the last batch and vote, if there is none
 * yet. KVR_OK (also if there was nothing to do), KVR_ENOSPACE, KVR_FSTORAGE, KVR_ESTATE. */
KVR_API kvr_status kvr_wal_idle(kvr_wal *wal) KVR_MUST_USE;

/* ------------------------------------------------------------------ questions */

/* Numbers of a store; file sizes are bytes. */
typedef struct kvr_wal_status {
    uint32_t size;
    kvr_status status; /* KVR_OK, or why the handle failed */
    uint64_t term;
    uint64_t voted_for;
    uint64_t incarnation;
    uint64_t first_index; /* as LOAD tells them */
    uint64_t last_index;
    uint64_t snapshot_index; /* newest; 0: none */
    uint64_t snapshot_term;
    uint64_t log_bytes; /* files of segments in use */
    uint64_t ready_bytes;
    uint64_t snapshot_bytes;
    uint64_t free_bytes;    /* room for appends; UINT64_MAX: not known */
    uint64_t records;       /* since open: batches, resets and vouching records */
    uint64_t flushes;       /* since open: calls of fdatasync */
    uint64_t written_bytes; /* since open: by pwrite */
    uint64_t memory_bytes;
    uint32_t segment_count;
    uint32_t ready_count;
    uint32_t snapshot_count;
    uint32_t group_count; /* not 1: what stands above of one group is 0 */
} kvr_wal_status;

/* Fills *out_status, whose size the caller has set. Legal in every state; may call files->space. */
KVR_API void kvr_wal_get_status(const kvr_wal *wal, kvr_wal_status *out_status);

/* What went wrong last in open, or made the handle fail. Strings lend until the next call on the
 * handle. */
typedef struct kvr_wal_failure {
    uint32_t size;
    kvr_status status;    /* KVR_OK: nothing */
    uint64_t offset;      /* in `file` */
    uint64_t first_index; /* entries that are damaged or out of reach; 0: none are known to be */
    uint64_t last_index;
    const char *file;   /* "": the store as a whole */
    const char *remedy; /* what to do about it */
    const char *text;   /* all of it in one line, as kvr_wal_error */
} kvr_wal_failure;

/* Fills *out_failure, whose size the caller has set. Legal in every state. */
KVR_API void kvr_wal_get_failure(const kvr_wal *wal, kvr_wal_failure *out_failure);

/* One line: what failed last, file and offset, the remedy; "" if nothing did. After an open that
 * succeeded it may name a damaged snapshot that was passed over for the one before. Lends until the
 * next call. */
KVR_API const char *kvr_wal_error(const kvr_wal *wal);

#ifdef __cplusplus
}
#endif
#endif
