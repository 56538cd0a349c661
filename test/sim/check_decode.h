/* SPDX-License-Identifier: Apache-2.0 */
/* check_decode.h: messages, entries and commands as kvraft-message(5), host.h and kvraft-command(5)
 * lay them out, read by a decoder of the checkers' own. What it reads was made by a member: bytes
 * that do not decode are a violation. */
#ifndef KVRAFT_TEST_SIM_CHECK_DECODE_H
#define KVRAFT_TEST_SIM_CHECK_DECODE_H

#include <kvraft/host.h>
#include <kvraft/mvcc.h>
#include <kvraft/raft.h>

enum {
    WIRE_PREVOTE = 1,
    WIRE_PREVOTE_REPLY = 2,
    WIRE_VOTE = 3,
    WIRE_VOTE_REPLY = 4,
    WIRE_APPEND = 5,
    WIRE_APPEND_REPLY = 6,
    WIRE_HEARTBEAT = 7,
    WIRE_HEARTBEAT_REPLY = 8,
    WIRE_SNAPSHOT = 9,
    WIRE_SNAPSHOT_REPLY = 10,
    WIRE_FORWARD = 11,
    WIRE_READ = 12,
    WIRE_READ_REPLY = 13,
    WIRE_POST = 14
};

/* A message; fields that its type does not have are 0. */
typedef struct wire_message {
    uint64_t from;
    uint64_t to;
    uint64_t term;
    uint64_t last_index; /* PREVOTE, VOTE */
    uint64_t last_term;
    uint64_t asked_term; /* PREVOTE_REPLY, VOTE_REPLY */
    uint64_t prev_index; /* APPEND */
    uint64_t prev_term;
    uint64_t commit; /* APPEND, HEARTBEAT */
    uint64_t index;  /* APPEND_REPLY, SNAPSHOT, SNAPSHOT_REPLY, READ_REPLY */
    uint32_t entry_count;
    /* VOTE_REPLY 1: granted; APPEND_REPLY 1: refused; SNAPSHOT_REPLY 1: installed */
    uint16_t flags;
    uint8_t type;
    uint8_t reserved;
} wire_message;

bool wire_read(const kvr_slice *bytes, wire_message *out_message);

/* The entry at the start of `bytes`; *out_size is its length. Checksums are the library's
 * affair. */
bool wire_read_entry(const kvr_slice *bytes, kvr_entry *out_entry, size_t *out_size);

/* Who votes in an encoded configuration, as bits (id 1 is bit 0); *out_outgoing is 0 unless it is
 * joint. */
bool wire_read_configuration(const kvr_slice *bytes, uint32_t *out_incoming,
                             uint32_t *out_outgoing);

enum {
    WIRE_COMMAND_WRITE = 1,
    WIRE_COMMAND_COMPACT = 2,
    WIRE_COMMAND_GRANT = 3,
    WIRE_COMMAND_REVOKE = 4,
    WIRE_COMMAND_RECORD = 5,
    WIRE_COMMAND_LEVEL = 6
};

/* A command. An operation's slices point into its bytes; its transactions are freed by
 * wire_command_release. */
typedef struct wire_command {
    uint64_t member;
    uint64_t incarnation;
    uint64_t sequence;
    kvr_op op;         /* WRITE */
    uint64_t revision; /* COMPACT */
    int64_t lease;     /* GRANT, REVOKE */
    uint64_t ttl_ns;   /* GRANT */
    uint64_t term;     /* REVOKE, RECORD: void in an entry of another term, unless 0 */
    uint64_t granted;  /* REVOKE with a term: void for a grant of another lease clock */
    uint8_t kind;
    uint8_t reserved[7];
} wire_command;

bool wire_read_command(const kvr_slice *bytes, wire_command *out_command);
void wire_command_release(wire_command *command);

/* What an operation asks for, as a number: the same for an operation and for its decoded bytes. */
uint64_t wire_op_digest(const kvr_op *op);

#endif
