/* SPDX-License-Identifier: Apache-2.0 */
/* wal_format.h: the durable heads as structs, encoded and decoded here and nowhere else. All five
 * are 128 bytes in version 1 and alike at both ends, so that any of them verifies before anything
 * else in it is believed, and a later release may make them longer:
 *
 *   0  4  magic        4  2  head size     6  1  version     7  1  kind
 *   ...   fields, little-endian
 *   -8 8  XXH3-64 over all of the head before it
 *
 * Entries hold what clients chose, and a file that is used again still holds old ones. So the
 * checksums of heads among them begin with the store id, which nobody outside knows: no value can
 * pass for a head. Byte by byte: kvraft-wal(5). The bytes may be hostile. */
#ifndef KVRAFT_LIB_WAL_FORMAT_H
#define KVRAFT_LIB_WAL_FORMAT_H

#include <kvraft/base.h>

enum {
    KVR__WAL_HEAD_SIZE = 128,      /* of each head as this release writes it */
    KVR__WAL_HEAD_SIZE_MAX = 1024, /* as this release reads it */
    KVR__WAL_ALIGN = 8,            /* records begin at multiples of it */
    KVR__WAL_BLOCK_SIZE = 65536,   /* of a snapshot's stream, each with a checksum */
    KVR__WAL_SLOT_SIZE = 4096,     /* of one of the two slots of the vote file */
    KVR__WAL_SLOT_COPY = 2048,     /* its second copy, in other sectors */
    KVR__WAL_VOTE_FILE_SIZE = 2 * KVR__WAL_SLOT_SIZE
};

/* Begins a use of a segment: at offset 0, and again wherever writing goes on after an open or a
 * failed write, so that what lies behind it can never pass for its records. */
typedef struct kvr__wal_segment_head {
    uint64_t number; /* as in the file's name */
    uint64_t offset;
    uint64_t id; /* random */
    uint64_t cluster_id;
    uint64_t member_id;
    uint64_t first_sequence;    /* of the record that follows; all before it are durable */
    uint64_t previous_checksum; /* of the record before that one */
    uint64_t last_index;        /* of the log at that point */
    uint64_t key_id;            /* 0: not sealed */
} kvr__wal_segment_head;

enum {
    KVR__WAL_APPEND = 1, /* entries from first_index on, replacing what stood there */
    KVR__WAL_MARK = 2,   /* no entries: vouches for what is before it */
    KVR__WAL_RESET = 3,  /* the log is empty and goes on at first_index; may hold entries */
    KVR__WAL_GROUPS = 4, /* store of many groups: items; entry_count says how many */
    KVR__WAL_CARRY = 5   /* store of many: entries of an older segment once more; the log stays */
};

/* What a store of many groups says of one of them, in place of a vote file of its own. The newest
 * item counts. */
typedef struct kvr__wal_group_item {
    uint64_t group_id;
    uint64_t term;
    uint64_t voted_for;
    uint64_t incarnation;
    uint64_t first_index;
    uint64_t last_index;
    uint64_t snapshot_index;
    uint32_t flags; /* KVR__WAL_ITEM_* */
} kvr__wal_group_item;

enum {
    KVR__WAL_ITEM_SIZE = 64,
    KVR__WAL_ITEM_RESET = 1, /* the log is empty and goes on at first_index */
    KVR__WAL_ITEM_GONE = 2   /* the group left this store */
};

/* The head of one record, which is one batch. */
typedef struct kvr__wal_record {
    uint8_t kind;
    uint32_t head_size;
    uint32_t entry_count;
    uint64_t body_size; /* of the entries; zeros follow up to a multiple of KVR__WAL_ALIGN */
    uint64_t segment_id;
    uint64_t offset;
    uint64_t sequence; /* 1, 2, 3... over the life of the store */
    uint64_t previous_checksum;
    uint64_t durable_sequence; /* the last record known flushed when this one was written */
    uint64_t group_id;
    uint64_t member_id;
    uint64_t first_index;    /* MARK: last index + 1 */
    uint64_t log_first;      /* entries below are not needed */
    uint64_t snapshot_index; /* newest complete snapshot; 0: none yet */
    uint64_t vote_sequence;  /* the last vote known flushed when this one was written */
    uint64_t body_checksum;  /* XXH3-64 over entries and those zeros */
    uint64_t checksum; /* of the head, with the store id as its seed: covers all of the record */
} kvr__wal_record;

/* One slot of the vote file. Slot number = sequence & 1. That of a store of many groups only
 * vouches: its group, term, vote and incarnation are 0. */
enum { KVR__WAL_STORE_OF_ONE = 0, KVR__WAL_STORE_OF_MANY = 1 };

typedef struct kvr__wal_vote {
    uint64_t sequence;
    uint64_t cluster_id;
    uint64_t member_id;
    uint64_t group_id;
    uint64_t term;
    uint64_t voted_for;
    uint64_t incarnation;
    uint64_t record_sequence; /* the last record known flushed when this was written; 0: none */
    uint64_t record_checksum;
    uint64_t store_id; /* random, made with the store: the seed of checksums in the log */
    uint8_t kind;      /* KVR__WAL_STORE_OF_* */
    uint8_t reserved[7];
} kvr__wal_vote;

/* A snapshot file: head, stream, one XXH3-64 a block of the stream, configuration, tail. */
typedef struct kvr__wal_snapshot_head {
    uint64_t cluster_id;
    uint64_t member_id;
    uint64_t group_id;
    uint64_t index;
    uint64_t term;
    uint64_t key_id; /* 0: not sealed */
    uint32_t block_size;
    uint32_t reserved;
} kvr__wal_snapshot_head;

typedef struct kvr__wal_snapshot_tail {
    uint64_t index;
    uint64_t term;
    uint64_t stream_size;
    uint64_t configuration_size;
    uint64_t table_checksum; /* over block checksums and configuration */
    uint8_t hash[16];        /* XXH3-128 of the stream */
} kvr__wal_snapshot_tail;

/* Each _write fills KVR__WAL_HEAD_SIZE bytes. The record's also sets its checksum. */
void kvr__wal_segment_head_write(uint8_t *out, const kvr__wal_segment_head *head,
                                 uint64_t store_id);
void kvr__wal_record_write(uint8_t *out, kvr__wal_record *record, uint64_t store_id);
void kvr__wal_group_item_write(uint8_t out[KVR__WAL_ITEM_SIZE], const kvr__wal_group_item *item);
void kvr__wal_vote_write(uint8_t *out, const kvr__wal_vote *vote);
void kvr__wal_snapshot_head_write(uint8_t *out, const kvr__wal_snapshot_head *head);
void kvr__wal_snapshot_tail_write(uint8_t *out, const kvr__wal_snapshot_tail *tail);

/* No number that counts up over the life of a store comes near this; one that does is no number of
 * ours, so that none of them can wrap. */
#define KVR__WAL_NUMBER_MAX (UINT64_MAX / 2)

/* Each _read verifies and decodes the head at the start of `bytes`. KVR_OK; KVR_END (another magic,
 * or fewer bytes than it needs: it is not there); KVR_ECORRUPT (it is there, and damaged);
 * KVR_EVERSION (whole, and newer than this release). */
kvr_status kvr__wal_segment_head_read(kvr_slice bytes, uint64_t offset, uint64_t store_id,
                                      kvr__wal_segment_head *out);
kvr_status kvr__wal_record_read(kvr_slice bytes, uint64_t store_id, kvr__wal_record *out);
/* False: no group could be so. */
bool kvr__wal_group_item_read(const uint8_t *bytes, kvr__wal_group_item *out);
kvr_status kvr__wal_vote_read(kvr_slice bytes, kvr__wal_vote *out);
kvr_status kvr__wal_snapshot_head_read(kvr_slice bytes, kvr__wal_snapshot_head *out);
kvr_status kvr__wal_snapshot_tail_read(kvr_slice bytes, kvr__wal_snapshot_tail *out);

/* `size` rounded up to KVR__WAL_ALIGN; size <= UINT64_MAX - 7. */
uint64_t kvr__wal_padded(uint64_t size);

/* Walks whole entries in `bytes` that must be numbered from *index on; verifies their heads. *index
 * becomes one more than the last. KVR_OK, KVR_ECORRUPT (a wrong head, a wrong index, a part of an
 * entry), KVR_EVERSION. */
kvr_status kvr__wal_entries_walk(kvr_slice bytes, uint64_t *index);

/* Names of files: <prefix><16 hex digits><suffix>, and snapshot-<index>-<term>. */
#define KVR__WAL_LOG_PREFIX "wal-"
#define KVR__WAL_READY_PREFIX "ready-"
#define KVR__WAL_LOG_SUFFIX ".log"
#define KVR__WAL_SNAPSHOT_PREFIX "snapshot-"
#define KVR__WAL_VOTE_NAME "vote"
#define KVR__WAL_VOTE_PART "vote.part"
#define KVR__WAL_LOCAL_PART "local.part"
#define KVR__WAL_RECEIVED_PART "received.part"
#define KVR__WAL_LOCAL_PREFIX "local-"
#define KVR__WAL_RECEIVED_PREFIX "received-"
#define KVR__WAL_PART_SUFFIX ".part"

enum { KVR__WAL_NAME_SIZE = 64 };

typedef struct kvr__wal_name {
    char text[KVR__WAL_NAME_SIZE];
} kvr__wal_name;

kvr__wal_name kvr__wal_name_log(uint64_t number);
kvr__wal_name kvr__wal_name_ready(uint64_t number);
kvr__wal_name kvr__wal_name_snapshot(uint64_t index, uint64_t term);
/* In a store of many groups. */
kvr__wal_name kvr__wal_name_group_snapshot(uint64_t group_id, uint64_t index, uint64_t term);
kvr__wal_name kvr__wal_name_group_part(const char *prefix, uint64_t group_id);

/* False if `name` is not of that kind, or holds a number above KVR__WAL_NUMBER_MAX. */
bool kvr__wal_name_is_log(const char *name, uint64_t *out_number);
bool kvr__wal_name_is_ready(const char *name, uint64_t *out_number);
bool kvr__wal_name_is_snapshot(const char *name, uint64_t *out_index, uint64_t *out_term);
bool kvr__wal_name_is_group_snapshot(const char *name, uint64_t *out_group_id, uint64_t *out_index,
                                     uint64_t *out_term);
bool kvr__wal_name_is_group_part(const char *name, uint64_t *out_group_id);

#endif
