/* SPDX-License-Identifier: Apache-2.0 */
/* wal_internal.h: what the files of this room share. wal.c is the door; from there
 *
 *   open      wal_recover.c -> wal_vote.c, wal_snapshot.c, wal_scan.c, wal_log.c
 *   execute   wal_append.c -> wal_segment.c; wal_read.c -> wal_scan.c; wal_vote.c; wal_snapshot.c
 *   maintain  wal_maintain.c
 *
 * All of them reach files through wal_files.c, which knows short counts and what a failure
 * means. */
#ifndef KVRAFT_LIB_WAL_INTERNAL_H
#define KVRAFT_LIB_WAL_INTERNAL_H

#include <kvraft/wal.h>

#include "base/checksum.h"
#include "base/memory.h"
#include "wal_format.h"

/* Limits of this room. With KVR_HOSTILE small, so that tests come across them. */
#ifdef KVR_HOSTILE
enum { KVR__WAL_POINT_BYTES = 300, KVR__WAL_READ_BYTES_MAX = 70000 };
#else
enum {
    KVR__WAL_POINT_BYTES = 64 * 1024,          /* of log between two points */
    KVR__WAL_READ_BYTES_MAX = 16 * 1024 * 1024 /* one READ or SNAPSHOT_READ returns at most this */
};
#endif
enum {
    KVR__WAL_CONFIGURATION_BYTES_MAX = 4 * 1024 * 1024, /* in a snapshot */
    KVR__WAL_RESERVE = 2 * KVR__WAL_HEAD_SIZE, /* kept in each segment for a head and a MARK */
    KVR__WAL_RUN_MAX = 256,                    /* appends in one record */
    KVR__WAL_TEXT_SIZE = 512,
    KVR__WAL_DETAILS_SIZE = 4 * KVR__WAL_TEXT_SIZE
};

/* An open file and its name, for messages. */
typedef struct kvr__wal_file {
    bool is_open;
    uint64_t handle;
    kvr__wal_name name;
} kvr__wal_file;

/* One file of the log. Entries in it may have been replaced by later ones. */
typedef struct kvr__wal_segment {
    uint64_t number;         /* later ones have higher numbers */
    uint64_t first_sequence; /* of the first record in it */
    uint64_t end;            /* offset behind its last record; 0: nothing was written yet */
    uint64_t size;           /* of the file */
} kvr__wal_segment;

/* A file that waits to become a segment. Its content means nothing. */
typedef struct kvr__wal_ready {
    uint64_t number;
    uint64_t size;
} kvr__wal_ready;

/* Where a record stands, and what must be found there. */
typedef struct kvr__wal_place {
    uint64_t number; /* of the segment */
    uint64_t offset;
    uint64_t segment_id; /* in force there; 0: a segment head comes first and tells it */
    uint64_t sequence;   /* of the record */
    uint64_t checksum;   /* of the record before */
} kvr__wal_place;

/* A place where reading may start. There is one at the first record with entries of each segment,
 * at each that replaced entries, and at least one in 64 KiB. From a point on the records in the
 * files hold the log up to the next point that begins anew. */
typedef struct kvr__wal_point {
    uint64_t index; /* first_index of the record */
    bool is_begin;  /* reading that comes to it starts anew: it replaces, or others lie between */
    kvr__wal_place place;
} kvr__wal_point;

/* A complete snapshot. */
typedef struct kvr__wal_snapshot {
    uint64_t index;
    uint64_t term;
    uint64_t stream_offset; /* 0: only the name is known, it is older than the one in use */
    uint64_t stream_size;
    uint64_t file_size;
    uint8_t hash[16];
    uint8_t *configuration; /* owned; NULL if its size is 0 */
    size_t configuration_size;
    bool is_read_back; /* since it was written, or by open */
} kvr__wal_snapshot;

/* A snapshot that is being written. `hashed` is ahead of `written` only if the last request found
 * no room for what comes after the stream; it will be repeated. */
typedef struct kvr__wal_part {
    kvr__wal_file file;
    uint64_t index;
    uint64_t term;
    uint64_t written; /* bytes of the stream in requests that are done */
    uint64_t hashed;
    uint8_t *table; /* checksums of whole blocks, as in the file */
    uint32_t table_capacity;
    uint32_t block_count;
    kvr__xxh3 stream;
    kvr__xxh3 block;
} kvr__wal_part;

/* A walk over a snapshot file that verifies it, a slice at a time. */
typedef struct kvr__wal_verify {
    struct kvr__wal_group *group; /* whose snapshot it is */
    kvr__wal_file file;
    uint64_t file_size;
    kvr__wal_snapshot_head head;
    kvr__wal_snapshot_tail tail;
    uint32_t head_size;
    uint64_t offset; /* of the stream, up to which it is verified */
    kvr__xxh3 stream;
} kvr__wal_verify;

/* Memory that results point to. */
typedef struct kvr__wal_lent {
    struct kvr__wal_lent *next;
    kvr_slice piece; /* for results that need an array of one */
    size_t capacity;
    uint8_t bytes[];
} kvr__wal_lent;

/* One group's log, term and vote, snapshots. A store of one group has one of these, always; in a
 * store of many they come with their first request and go with FORGET. */
typedef struct kvr__wal_group {
    uint64_t id;
    uint64_t first_index;
    uint64_t last_index;
    uint64_t oldest_index;  /* entries from here on were found by open; only open uses it */
    uint64_t durable_first; /* first_index as the last record tells it; 0: none did */
    uint64_t told_snapshot; /* the newest snapshot as records told it; only open uses it */
    bool shares;    /* the segments with others */
    bool reset_due; /* the log on disk does not continue the snapshot: the next record is a RESET */
    bool refused;   /* the last append found no room: those that follow it are refused too */
    bool in_batch;  /* a record of the batch that is being written is this group's */
    bool is_known;  /* some record names it */
    bool is_gone;   /* and the last one says that it left; only open comes across such */
    struct {
        kvr__wal_point *items;
        uint32_t count, capacity;
    } points;
    kvr__wal_place next_place; /* where the READ of next_index will start */
    uint64_t next_index;       /* 0: not known */

    /* As the newest durable record or slot tells them. */
    uint64_t term;
    uint64_t voted_for;
    uint64_t incarnation;
    uint64_t item_number; /* store of many: segment of the newest GROUPS record that names it */

    struct {
        kvr__wal_snapshot *items; /* by index and term; the last one is the newest */
        uint32_t count, capacity;
    } snapshots;
    kvr__wal_part *parts[2]; /* by source; NULL until one is written */
} kvr__wal_group;

/* One record of a batch. */
typedef struct kvr__wal_content {
    kvr__wal_group *group; /* whose log it is for; NULL: GROUPS */
    uint8_t kind;
    uint32_t entry_count;   /* or of items */
    uint32_t request_count; /* APPEND: whose pieces are the entries */
    uint64_t first_index;
    uint64_t body_size;
    const kvr_store_request *const *requests;
    kvr_slice more_items;            /* GROUPS: as they stand in the file; without any */
    uint8_t item[KVR__WAL_ITEM_SIZE]; /* this one, if body_size says so */
    kvr__wal_record record;          /* once it is written */
    kvr__wal_place place;
} kvr__wal_content;

enum {
    KVR__WAL_NEW = 0,
    KVR__WAL_OPEN = 1,
    KVR__WAL_REFUSED = 2, /* by open: `failure` says why */
    KVR__WAL_FAILED = 3,  /* by a write: `failure` says how */
    KVR__WAL_CLOSED = 4
};

/* What went wrong, and where. Filled by whoever finds it, for kvr__wal_files_report and _fail. */
typedef struct kvr__wal_damage {
    kvr_status status;
    const char *file; /* "": the store as a whole */
    uint64_t offset;
    uint64_t first_index; /* entries that are damaged or out of reach; 0: none known */
    uint64_t last_index;
    const char *what;
    const char *cause; /* NULL, or in the words of the file calls */
    const char *remedy;
} kvr__wal_damage;

/* The damage reported last, with texts that stay. */
typedef struct kvr__wal_failure {
    kvr_status status;
    uint64_t offset;
    uint64_t first_index;
    uint64_t last_index;
    const char *remedy;
    char file[KVR__WAL_NAME_SIZE];
    char text[KVR__WAL_TEXT_SIZE];
} kvr__wal_failure;

struct kvr_wal {
    kvr__mem mem;
    kvr_wal_config config;
    kvr_file_ops files;
    uint8_t state;
    bool head_due; /* a segment head with a fresh id comes before the next record */
    bool removal_due;  /* a segment may have become needless */
    bool snapshot_due; /* one is to be read back, or older ones go */
    bool unvouched; /* nothing vouches for the last record or vote yet */
    kvr__wal_failure failure;
    uint64_t failure_count;              /* how many were recorded */
    char details[KVR__WAL_DETAILS_SIZE]; /* texts that results of this execute point to */
    size_t details_used;

    /* The log. Records are appended to the last segment; `file` is that segment, once it is
     * open. */
    struct {
        kvr__wal_segment *items;
        uint32_t count, capacity;
    } segments;
    struct {
        kvr__wal_ready *items;
        uint32_t count, capacity;
    } ready;
    struct {
        kvr__wal_group **items; /* by id */
        uint32_t count, capacity;
    } groups;
    struct {
        kvr__wal_content *items; /* the records of one write and one flush */
        uint32_t count, capacity;
    } batch;
    kvr__wal_file file;
    kvr__wal_file fill; /* the ready file that is being filled */
    uint64_t segment_id;
    uint64_t sequence; /* of the last record, which is durable; 0: none */
    uint64_t checksum; /* of that record */

    kvr__wal_vote vote; /* the newest durable slot; store of many: it only vouches */
    bool vote_is_whole; /* both of its copies are */
    kvr__wal_file vote_file;

    kvr__wal_verify verify;
    kvr__wal_file read_file; /* the snapshot that was read last */

    kvr__xxh3 hash;        /* of the record that is being written */
    uint8_t *write_buffer; /* config.batch_bytes */
    uint8_t *read_buffer;
    size_t read_capacity; /* config.read_bytes, or more once a record was larger */
    kvr__wal_lent *lent;
    kvr__wal_lent *spare; /* for the next result */

    uint64_t record_count;
    uint64_t flush_count;
    uint64_t written_bytes;
};

/* ------------------------------------------------------------------ wal_files.c
 *
 * Each records a failure with its place. Reads: KVR_OK, KVR_EIO (the handle goes on). Writes:
 * KVR_OK; KVR_ENOSPACE (the handle goes on); all else is final: KVR_FSTORAGE, or in open the status
 * itself. */

/* Records `damage`. Returns its status. */
kvr_status kvr__wal_files_report(kvr_wal *wal, const kvr__wal_damage *damage);

/* The same, and the handle has failed for good. The status is KVR_FSTORAGE or KVR_FCORRUPT. */
kvr_status kvr__wal_files_fail(kvr_wal *wal, const kvr__wal_damage *damage);

/* Whose a file is. */
typedef struct kvr__wal_identity {
    uint64_t cluster_id;
    uint64_t member_id;
    uint64_t group_id;
} kvr__wal_identity;

/* Records that `file` belongs to others. Returns KVR_EMISMATCH. */
kvr_status kvr__wal_files_report_stranger(kvr_wal *wal, const char *file,
                                          const kvr__wal_identity *theirs);

/* A random number for an id, never 0: what an earlier use left behind must not pass for ours. */
kvr_status kvr__wal_files_random(kvr_wal *wal, uint64_t *out_number);

/* Opens `name`; out_file->name is set in any case. Also KVR_ENOTFOUND, which is not recorded. */
kvr_status kvr__wal_files_open(kvr_wal *wal, const char *name, uint32_t flags,
                               kvr__wal_file *out_file);
void kvr__wal_files_close(kvr_wal *wal, kvr__wal_file *file); /* not open: ignored */
kvr_status kvr__wal_files_length(kvr_wal *wal, kvr__wal_file *file, uint64_t *out_size);
/* Fills `out` as far as the file reaches: *out_size bytes. */
kvr_status kvr__wal_files_read(kvr_wal *wal, kvr__wal_file *file, uint64_t offset, uint8_t *out,
                               size_t size, size_t *out_size);
kvr_status kvr__wal_files_write(kvr_wal *wal, kvr__wal_file *file, kvr_slice bytes,
                                uint64_t offset);
kvr_status kvr__wal_files_flush(kvr_wal *wal, kvr__wal_file *file);
kvr_status kvr__wal_files_truncate(kvr_wal *wal, kvr__wal_file *file, uint64_t size);
kvr_status kvr__wal_files_rename(kvr_wal *wal, const char *from, const char *to);
kvr_status kvr__wal_files_unlink(kvr_wal *wal, const char *name); /* not there: KVR_OK */
kvr_status kvr__wal_files_flush_names(kvr_wal *wal);

/* ------------------------------------------------------------------ wal_log.c: points */

/* Makes room for one more point. KVR_ENOMEM. */
kvr_status kvr__wal_log_reserve(kvr_wal *wal, kvr__wal_group *group);

/* NULL if `record` may follow what the log holds, else what is wrong with it. */
const char *kvr__wal_log_refuses(const kvr__wal_group *group, const kvr__wal_record *record);

/* A durable record at `place` becomes part of the log. Room for a point is reserved. */
void kvr__wal_log_apply(kvr__wal_group *group, const kvr__wal_record *record,
                        const kvr__wal_place *place);

/* Where reading must start to find entry `index`, which the log holds, and the index at which it
 * must stop, to start anew: what follows there in the files was replaced, or is not its own. */
kvr__wal_place kvr__wal_log_find(const kvr__wal_group *group, uint64_t index, uint64_t *out_until);

/* The number of the oldest segment that the log needs; UINT64_MAX: none. */
uint64_t kvr__wal_log_first_segment(const kvr__wal_group *group);

/* Segments up to `number`, which the log does not need, go. */
void kvr__wal_log_drop_segment(kvr__wal_group *group, uint64_t number);

/* The log is empty and goes on at first_index. */
void kvr__wal_log_clear(kvr__wal_group *group, uint64_t first_index);

/* ------------------------------------------------------------------ wal_group.c */

static inline bool kvr__wal_group_is_many(const kvr_wal *wal)
{
    return (wal->config.flags & KVR_WAL_GROUPS) != 0;
}

kvr__wal_group *kvr__wal_group_find(const kvr_wal *wal, uint64_t id); /* NULL: none */

/* The group, made if it is new. KVR_ENOMEM, which is not recorded. */
kvr_status kvr__wal_group_add(kvr_wal *wal, uint64_t id, kvr__wal_group **out_group);

/* The same for a request: KVR_ENOSPACE (no memory), KVR_EINVAL (there are too many). */
kvr_status kvr__wal_group_need(kvr_wal *wal, uint64_t id, kvr__wal_group **out_group);

void kvr__wal_group_drop(kvr_wal *wal, kvr__wal_group *group);

/* Fills *out with a record of this VOTE, if it may be. KVR_EINVAL. */
kvr_status kvr__wal_group_vote(kvr_wal *wal, kvr__wal_group *group,
                               const kvr_store_request *request, kvr__wal_content *out);

/* NULL, or what is wrong with items that a record holds after all before it. */
const char *kvr__wal_group_refuses(const kvr_wal *wal, kvr_slice items);

/* Items in segment `number` are durable. Groups that they name exist. */
void kvr__wal_group_apply(kvr_wal *wal, kvr_slice items, uint64_t number);

/* Writes up to a slice of items of groups that only segments up to `number` tell of. KVR_OK: there
 * are none; KVR_AGAIN. */
kvr_status kvr__wal_group_tell(kvr_wal *wal, uint64_t number);

/* FORGET. */
kvr_status kvr__wal_group_forget(kvr_wal *wal, uint64_t id);

static inline kvr_slice kvr__wal_content_items(const kvr__wal_content *content)
{
    if (content->kind != KVR__WAL_GROUPS || content->more_items.size > 0) {
        return content->more_items;
    }
    return (kvr_slice){content->item, (size_t)content->body_size};
}

/* ------------------------------------------------------------------ wal_recover.c */

kvr_status kvr__wal_recover(kvr_wal *wal);

/* ------------------------------------------------------------------ wal_segment.c */

/* The segment that is written; NULL: none was begun. */
kvr__wal_segment *kvr__wal_segment_last(kvr_wal *wal);

/* The segment with that number, which exists. */
kvr__wal_segment *kvr__wal_segment_find(kvr_wal *wal, uint64_t number);

/* The last segment has room for a record of `size` bytes (its segment head not counted), and is
 * open. `is_mark`: may use what is reserved for marks. KVR_OK, KVR_ENOSPACE, KVR_FSTORAGE. */
kvr_status kvr__wal_segment_room(kvr_wal *wal, uint64_t size, bool is_mark);

/* The oldest segment, which no group needs, is gone. */
void kvr__wal_segment_drop_oldest(kvr_wal *wal);

/* A number that no file of the log has. */
uint64_t kvr__wal_segment_new_number(const kvr_wal *wal);

/* ------------------------------------------------------------------ wal_append.c */

/* Performs as many of the APPENDs at `requests` as share one record: at least one, at most `count`,
 * which is how many there are. All of them get the status that is returned. */
kvr_status kvr__wal_append(kvr_wal *wal, const kvr_store_request *const *requests, uint32_t count,
                           uint32_t *out_taken);

/* Writes and flushes an empty record: a MARK, or a RESET of the log to `reset` if that is not 0. */
kvr_status kvr__wal_append_empty(kvr_wal *wal, kvr__wal_group *group, uint64_t reset);

/* Writes and flushes a record of items, or one without any, which vouches for what is before it. */
kvr_status kvr__wal_append_groups(kvr_wal *wal, kvr_slice items);

/* Writes and flushes what vouches for what is before it. */
kvr_status kvr__wal_append_mark(kvr_wal *wal);

/* ------------------------------------------------------------------ wal_vote.c */

/* Reads the vote file into wal->vote. KVR_ENOTFOUND: there is none. */
kvr_status kvr__wal_vote_load(kvr_wal *wal);
kvr_status kvr__wal_vote_create(kvr_wal *wal);
/* NULL, or what Raft never does. */
const char *kvr__wal_vote_refuses(const kvr__wal_group *now, const kvr_store_request *request);
kvr_status kvr__wal_vote_store(kvr_wal *wal, const kvr_store_request *request);
/* Writes the same once more, as the next slot, so that it names the last record: a log that was
 * closed cannot lose its end unnoticed, not even by a whole file. */
kvr_status kvr__wal_vote_vouch(kvr_wal *wal);
/* Writes the newest slot once more, if it is not known to be durable. */
kvr_status kvr__wal_vote_settle(kvr_wal *wal, uint64_t durable_sequence);

/* ------------------------------------------------------------------ wal_snapshot.c */

kvr_status kvr__wal_snapshot_write(kvr_wal *wal, kvr__wal_group *group,
                                   const kvr_store_request *request);
kvr_status kvr__wal_snapshot_read(kvr_wal *wal, const kvr__wal_group *group,
                                  const kvr_store_request *request, kvr_store_result *result);
const kvr__wal_snapshot *kvr__wal_snapshot_newest(const kvr__wal_group *group); /* NULL: none */

/* Its file, and that in which one from `source` is written. */
kvr__wal_name kvr__wal_snapshot_name(const kvr_wal *wal, const kvr__wal_group *group,
                                     const kvr__wal_snapshot *snapshot);
kvr__wal_name kvr__wal_snapshot_part_name(const kvr_wal *wal, const kvr__wal_group *group,
                                          uint32_t source);

/* The configuration in *out_meta is lent as results are. KVR_ENOSPACE: no memory. */
kvr_status kvr__wal_snapshot_meta(kvr_wal *wal, const kvr__wal_snapshot *snapshot,
                                  kvr_snapshot_meta *out_meta);

/* The list: room for one more; one more, which it then owns; one less. */
kvr_status kvr__wal_snapshot_reserve(kvr_wal *wal, kvr__wal_group *group);
void kvr__wal_snapshot_insert(kvr_wal *wal, kvr__wal_group *group,
                              const kvr__wal_snapshot *snapshot);
void kvr__wal_snapshot_drop(kvr_wal *wal, kvr__wal_group *group, uint32_t i);

/* What is being written, and files that are open for it. */
void kvr__wal_snapshot_close(kvr_wal *wal, kvr__wal_group *group);

/* ------------------------------------------------------------------ wal_verify.c */

/* Begins with head, tail and table of the file that holds `snapshot`, of which index and term are
 * known, and fills in the rest. KVR_OK, KVR_ECORRUPT, KVR_EVERSION, KVR_EMISMATCH, KVR_EIO (all
 * recorded), KVR_ENOMEM. In any case _end follows. */
kvr_status kvr__wal_verify_begin(kvr_wal *wal, kvr__wal_group *group,
                                 kvr__wal_snapshot *snapshot);

/* Goes on by one slice. KVR_AGAIN; KVR_OK: all of it is as it was written; KVR_ECORRUPT,
 * KVR_EIO. */
kvr_status kvr__wal_verify_step(kvr_wal *wal, const kvr__wal_snapshot *snapshot);
void kvr__wal_verify_end(kvr_wal *wal);

/* Holds bytes of the stream, from block number `block` on, against the checksums in `file`. */
kvr_status kvr__wal_verify_blocks(kvr_wal *wal, kvr__wal_file *file,
                                  const kvr__wal_snapshot *snapshot, uint64_t block,
                                  kvr_slice bytes);

/* ------------------------------------------------------------------ wal_read.c */

kvr_status kvr__wal_read(kvr_wal *wal, kvr__wal_group *group, const kvr_store_request *request,
                         kvr_store_result *result);

/* The term of entry `index`, which the log holds. Statuses of a READ. */
kvr_status kvr__wal_read_term(kvr_wal *wal, kvr__wal_group *group, uint64_t index,
                              uint64_t *out_term);

/* Memory for a result: *size bytes, or fewer but at least `size_min`. NULL: there is none. */
uint8_t *kvr__wal_read_lend(kvr_wal *wal, size_t size_min, size_t *size);
void kvr__wal_read_end_lending(kvr_wal *wal);

/* ------------------------------------------------------------------ wal_maintain.c */

kvr_status kvr__wal_maintain(kvr_wal *wal);

/* ------------------------------------------------------------------ wal_check.c */

/* The invariants of README.md. */
void kvr__wal_check(const kvr_wal *wal);

#endif
