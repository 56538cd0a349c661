/* SPDX-License-Identifier: Apache-2.0 */
/* raft_message.h: messages between members as bytes, byte by byte as kvraft-message(5) says, and
 * nothing else: no handle, no allocation. Bytes that are read may be hostile. A message is
 *
 *   head (64)   checksum, length, version, type, cluster, group, from, to, term, level
 *   body        its own size first, so that a reader skips fields that it does not know; then
 *               fields
 *   tail        entries, commands, or a chunk: whatever follows the body
 *
 * The checksum covers all of it but the entries of an append: each of those carries two checksums
 * of its own, which its receiver verifies. Start at kvr__raft_message_read. */
#ifndef KVRAFT_LIB_RAFT_MESSAGE_H
#define KVRAFT_LIB_RAFT_MESSAGE_H

#include <kvraft/raft.h>

enum {
    KVR__RAFT_HEAD_SIZE = 64,
    KVR__RAFT_MESSAGE_VERSION = 1,

    KVR__RAFT_PREVOTE = 1,
    KVR__RAFT_PREVOTE_REPLY = 2,
    KVR__RAFT_VOTE = 3,
    KVR__RAFT_VOTE_REPLY = 4,
    KVR__RAFT_APPEND = 5,
    KVR__RAFT_APPEND_REPLY = 6,
    KVR__RAFT_HEARTBEAT = 7,
    KVR__RAFT_HEARTBEAT_REPLY = 8,
    KVR__RAFT_SNAPSHOT = 9,
    KVR__RAFT_SNAPSHOT_REPLY = 10,
    KVR__RAFT_FORWARD = 11,
    KVR__RAFT_READ = 12,
    KVR__RAFT_READ_REPLY = 13,
    KVR__RAFT_POST = 14,
    KVR__RAFT_TRANSFER = 15,
    KVR__RAFT_REMOVED = 16,
    KVR__RAFT_TYPES = 17,

    KVR__RAFT_BUNDLE = 128, /* of no group: see raft_bundle.c */

    /* Body sizes of version 1. */
    KVR__RAFT_VOTE_SIZE = 32,
    KVR__RAFT_VOTE_REPLY_SIZE = 16,
    KVR__RAFT_APPEND_SIZE = 48,
    KVR__RAFT_APPEND_REPLY_SIZE = 56,
    KVR__RAFT_HEARTBEAT_SIZE = 56,
    KVR__RAFT_HEARTBEAT_REPLY_SIZE = 40,
    KVR__RAFT_SNAPSHOT_SIZE = 64,
    KVR__RAFT_SNAPSHOT_REPLY_SIZE = 40,
    KVR__RAFT_FORWARD_SIZE = 8,
    KVR__RAFT_READ_SIZE = 24,
    KVR__RAFT_READ_REPLY_SIZE = 32,
    KVR__RAFT_POST_SIZE = 8,
    KVR__RAFT_TRANSFER_SIZE = 16,
    KVR__RAFT_REMOVED_SIZE = 16,
    KVR__RAFT_FORWARD_ITEM_SIZE = 12 /* before each forwarded command: checksum, size */
};

/* Flags of bodies. */
enum {
    KVR__RAFT_GRANTED = 1,     /* (PRE)VOTE_REPLY */
    KVR__RAFT_TRANSFERRED = 1, /* VOTE: the old leader asked for it; its place is taken */
    KVR__RAFT_REFUSED = 1,     /* APPEND_REPLY, READ_REPLY */
    KVR__RAFT_STORE_FULL = 2,  /* APPEND_REPLY, HEARTBEAT_REPLY: a write found no room */
    KVR__RAFT_NO_REPLY = 1,    /* HEARTBEAT: it only tells the commit index */
    KVR__RAFT_QUIET = 4,       /* HEARTBEAT: be quiet; HEARTBEAT_REPLY: it is */
    KVR__RAFT_LEADS = 2,       /* HEARTBEAT: by its lease, the sender led for certain */
    KVR__RAFT_BY_LEASE = 1,    /* READ: the leader's lease is good enough */
    KVR__RAFT_LAST_CHUNK = 1,  /* SNAPSHOT */
    KVR__RAFT_INSTALLED = 1    /* SNAPSHOT_REPLY: it is durable, or no longer needed */
};

/* A message whose head and checksum are right; body and tail are lent by the bytes it was read
 * from. */
typedef struct kvr__raft_message {
    kvr_message_info head;
    const uint8_t *body; /* at least the size of version 1 of its type */
    kvr_slice tail;
} kvr__raft_message;

typedef struct kvr__raft_vote {
    uint64_t last_index;
    uint64_t last_term;
    uint32_t priority;
    uint16_t flags;
    uint64_t round; /* TRANSFERRED: the last one of the leader that asked for it */
} kvr__raft_vote;

typedef struct kvr__raft_vote_reply {
    uint64_t asked_term; /* the term that the candidate campaigns for */
    uint16_t flags;
} kvr__raft_vote_reply;

typedef struct kvr__raft_append {
    uint64_t prev_index;
    uint64_t prev_term;
    uint64_t commit;
    uint64_t round;
    uint64_t lease_clock;
    uint32_t entry_count;
    uint16_t flags;
} kvr__raft_append;

/* Accepted: `index` is the highest that is durable and known to match the leader's log.
 * Refused: `index` is the append's prev_index, and no entry above `hint_index` can match: either
 * the log ends there (hint_term 0), or it is the last index of hint_term or a lower term. */
typedef struct kvr__raft_append_reply {
    uint64_t index;
    uint64_t hint_index;
    uint64_t hint_term;
    uint64_t round;
    uint64_t free_bytes;
    uint64_t flush_age_ns; /* age of the oldest flush under way; 0: none */
    uint16_t flags;
} kvr__raft_append_reply;

typedef struct kvr__raft_heartbeat {
    uint64_t commit;
    uint64_t round;
    uint64_t lease_clock;
    uint16_t flags;
    uint64_t confirmed; /* the highest round after whose beginning a quorum still followed */
    uint64_t stamp;     /* the newest of the receiver's own that the leader has; 0: none counts */
    uint64_t committed; /* the leader's commit index, whatever the receiver has */
} kvr__raft_heartbeat;

typedef struct kvr__raft_heartbeat_reply {
    uint64_t round;
    uint64_t free_bytes;
    uint64_t flush_age_ns;
    uint16_t flags;
    uint32_t priority;
    uint64_t stamp; /* the sender's time, in its own terms: the next heartbeats bring it back */
} kvr__raft_heartbeat_reply;

typedef struct kvr__raft_snapshot_chunk {
    kvr_snapshot_meta meta; /* configuration and chunk stand in the tail */
    uint64_t offset;
    uint32_t configuration_size;
    uint16_t flags;
} kvr__raft_snapshot_chunk;

typedef struct kvr__raft_snapshot_reply {
    uint64_t index; /* of the snapshot that it is about */
    uint64_t term;
    uint64_t offset; /* the next that the receiver wants */
    uint64_t round;
    uint16_t flags;
} kvr__raft_snapshot_reply;

/* A read request's context: no two requests of a member have the same, whatever restarts
 * between. */
typedef struct kvr__raft_read_context {
    uint64_t incarnation;
    uint64_t sequence;
} kvr__raft_read_context;

/* Verifies head, checksum and the presence of a whole body. `bytes` must be one message, no more.
 * KVR_OK; KVR_ECORRUPT; KVR_EVERSION (of the envelope, or a type that this version does not
 * know). */
kvr_status kvr__raft_message_read(kvr_slice bytes, kvr__raft_message *out_message);

/* Verifies head and checksum alone. Statuses as above. */
kvr_status kvr__raft_message_verify(kvr_slice bytes, kvr_message_info *out_head);

/* Writes all of the head but length and checksum, which seal writes once the message is
 * complete. */
void kvr__raft_message_write_head(uint8_t *out, const kvr_message_info *head);
/* The last `size` bytes of this APPEND verify by themselves: its checksum leaves them out. */
void kvr__raft_message_exempt(uint8_t *bytes, uint32_t size);
void kvr__raft_message_seal(uint8_t *bytes, uint32_t length);
uint8_t kvr__raft_message_type(const uint8_t *bytes);

/* Bodies: each pair writes and reads exactly the size above. */
void kvr__raft_message_write_vote(uint8_t *out, const kvr__raft_vote *vote);
void kvr__raft_message_read_vote(const uint8_t *body, kvr__raft_vote *out_vote);
void kvr__raft_message_write_vote_reply(uint8_t *out, const kvr__raft_vote_reply *reply);
void kvr__raft_message_read_vote_reply(const uint8_t *body, kvr__raft_vote_reply *out_reply);
void kvr__raft_message_write_append(uint8_t *out, const kvr__raft_append *append);
void kvr__raft_message_read_append(const uint8_t *body, kvr__raft_append *out_append);
void kvr__raft_message_write_append_reply(uint8_t *out, const kvr__raft_append_reply *reply);
void kvr__raft_message_read_append_reply(const uint8_t *body, kvr__raft_append_reply *out_reply);
void kvr__raft_message_write_heartbeat(uint8_t *out, const kvr__raft_heartbeat *heartbeat);
void kvr__raft_message_read_heartbeat(const uint8_t *body, kvr__raft_heartbeat *out_heartbeat);
void kvr__raft_message_write_heartbeat_reply(uint8_t *out, const kvr__raft_heartbeat_reply *reply);
void kvr__raft_message_read_heartbeat_reply(const uint8_t *body,
                                            kvr__raft_heartbeat_reply *out_reply);
void kvr__raft_message_write_snapshot(uint8_t *out, const kvr__raft_snapshot_chunk *chunk);
void kvr__raft_message_read_snapshot(const uint8_t *body, kvr__raft_snapshot_chunk *out_chunk);
void kvr__raft_message_write_snapshot_reply(uint8_t *out, const kvr__raft_snapshot_reply *reply);
void kvr__raft_message_read_snapshot_reply(const uint8_t *body,
                                           kvr__raft_snapshot_reply *out_reply);
void kvr__raft_message_write_forward(uint8_t *out, uint32_t command_count);
uint32_t kvr__raft_message_read_forward(const uint8_t *body);
void kvr__raft_message_write_read(uint8_t *out, const kvr__raft_read_context *context,
                                  uint16_t flags);
uint16_t kvr__raft_message_read_read(const uint8_t *body, kvr__raft_read_context *out_context);
void kvr__raft_message_write_read_reply(uint8_t *out, const kvr__raft_read_context *context,
                                        uint64_t index, uint16_t flags);
void kvr__raft_message_read_read_reply(const uint8_t *body, kvr__raft_read_context *out_context,
                                       uint64_t *out_index, uint16_t *out_flags);
void kvr__raft_message_write_post(uint8_t *out, uint8_t type);
uint8_t kvr__raft_message_read_post(const uint8_t *body);
void kvr__raft_message_write_transfer(uint8_t *out, uint64_t round);
uint64_t kvr__raft_message_read_transfer(const uint8_t *body);
/* index of the committed configuration that has no place for the receiver */
void kvr__raft_message_write_removed(uint8_t *out, uint64_t index);
uint64_t kvr__raft_message_read_removed(const uint8_t *body);

#endif
