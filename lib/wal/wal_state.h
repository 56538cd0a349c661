/* SPDX-License-Identifier: Apache-2.0 */
/* wal_state.h: the state of a store: files that all groups share, and each group's log, term and
 * vote, snapshots. What the files of this room call of each other is in wal_internal.h. Start at
 * struct kvr_wal, at the end. Its invariants are numbered in README.md and asserted in
 * wal_check.c. */
#ifndef KVRAFT_LIB_WAL_STATE_H
#define KVRAFT_LIB_WAL_STATE_H

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
    uint64_t end;   /* behind the last entry that is read from here */
    bool is_begin;  /* reading that comes to it starts anew: it replaces, or others lie between */
    uint64_t bytes; /* store of many: of the group's entries in records before it */
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
    bool shares;            /* the segments with others */
    bool reset_due; /* the log on disk does not continue the snapshot: the next record is a RESET */
    bool refused;   /* the last append found no room: those that follow it are refused too */
    bool in_batch;  /* a record of the batch that is being written is this group's */
    bool is_known;  /* some record names it */
    bool is_gone;   /* and the last one says that it left; only open comes across such */
    struct {
        kvr__wal_point *items;
        uint32_t count, capacity;
    } points;
    uint64_t bytes;            /* store of many: of entries appended, ever */
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
    kvr_slice more_items;             /* GROUPS: as they stand in the file; without any */
    uint8_t item[KVR__WAL_ITEM_SIZE]; /* this one, if body_size says so */
    kvr__wal_record record;           /* once it is written */
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
    bool head_due;     /* a segment head with a fresh id comes before the next record */
    bool removal_due;  /* a segment may have become needless */
    bool snapshot_due; /* one is to be read back, or older ones go */
    bool unvouched;    /* nothing vouches for the last record or vote yet */
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

#endif
