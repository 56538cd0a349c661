/* SPDX-License-Identifier: Apache-2.0 */
/* node_command.h: commands as bytes, byte by byte as kvraft-command(5) says, and nothing else: no
 * handle. What is read may be hostile: bounds, depth and counts are checked here, meaning (limits
 * of keys, duplicate keys) by kvr_mvcc_op_check. Little-endian:
 *
 *   0 u16 head size (64)   2 u8 version (1)   3 u8 kind   4 u32 flags (0)   8 u64 origin member
 *  16 u64 incarnation     24 u64 sequence    32 u64 request client   40 u64 request sequence
 *  48 u64 auth revision   56 u32 user size   60 u32 payload size     64 user, payload
 *
 * A head may be longer than 64 bytes: what is between is skipped. */
#ifndef KVRAFT_LIB_NODE_COMMAND_H
#define KVRAFT_LIB_NODE_COMMAND_H

#include <kvraft/mvcc.h>

#include "base/codec.h"
#include "base/memory.h"

enum { KVR__COMMAND_HEAD = 64, KVR__COMMAND_VERSION = 1, KVR__COMMAND_USER_MAX = 65535 };

/* Kinds. Numbers are for ever; what a version does not know stops its apply. */
enum {
    KVR__COMMAND_WRITE = 1,       /* payload: one operation */
    KVR__COMMAND_COMPACT = 2,     /* u64 revision */
    KVR__COMMAND_LEASE_GRANT = 3, /* i64 id, u64 ttl ns */
    /* i64 id, u64 term, u64 granted ns. Term 0: whatever the term and the life of the id; else void
     * unless the entry has this term and the id's grant bears that lease clock */
    KVR__COMMAND_LEASE_REVOKE = 4,
    /* u64 term as above, u32 count, u32 0, then count of: i64 id, u64 granted ns, u64 renewed ns */
    KVR__COMMAND_LEASE_RECORD = 5,
    KVR__COMMAND_LEVEL = 6, /* u32 level, u32 0: all members can apply it */
#ifdef KVR_CHECK
    KVR__COMMAND_TRIAL = 255 /* as if level 2 had brought it; does nothing. For tests */
#endif
};

enum {
    KVR__COMMAND_GRANT_SIZE = 16,
    KVR__COMMAND_REVOKE_SIZE = 24,
    KVR__COMMAND_RECORD_HEAD = 16,
    KVR__COMMAND_RECORD_SIZE = 24, /* of each lease */
    KVR__COMMAND_COMPACT_SIZE = 8,
    KVR__COMMAND_LEVEL_SIZE = 8
};

/* Who proposed a command, in which of its lives, and its number in that life. */
typedef struct kvr__origin_id {
    uint64_t member;
    uint64_t incarnation;
    uint64_t sequence; /* from 1; 0: not remembered, as its repetition is harmless */
} kvr__origin_id;

typedef struct kvr__command {
    uint8_t version;
    uint8_t kind;
    uint8_t reserved[2];
    uint32_t flags;
    kvr__origin_id origin;
    uint64_t client; /* the client's own request id; 0, 0: none */
    uint64_t request;
    uint64_t auth_revision;
    kvr_slice user;
    kvr_slice payload;
} kvr__command;

/* The cluster level that brought `kind`: below it nobody proposes such a command. */
uint32_t kvr__command_level(uint8_t kind);

/* Writes the head of a command without user, whose payload of `payload_size` bytes follows it. */
void kvr__command_write_head(uint8_t out[KVR__COMMAND_HEAD], uint8_t kind, uint32_t payload_size);

/* Sets the origin in an encoded command that nobody else holds yet. */
void kvr__command_stamp(uint8_t *bytes, const kvr__origin_id *origin);

/* KVR_OK (slices lend from `bytes`), KVR_ECORRUPT, KVR_EVERSION (a version or flag above ours). */
kvr_status kvr__command_read(kvr_slice bytes, kvr__command *out_command);

/* ------------------------------------------------------------------ operations
 *
 * Each operation and compare begins with its size, so that fields added behind are skipped:
 *
 *   operation   u32 size   u8 kind   u8[3] 0   u32 flags, then
 *     put         i64 lease   key   value
 *     range       u64 revision   u64 limit   key   range_end
 *     delete      key   range_end
 *     txn         u32 compares   u32 then   u32 else, then the compares, the then- and the
 *                 else-operations
 *   compare     u32 size   u8 target   u8 result   u16 0   i64 number   key   range_end   value
 *
 * A key, range_end or value is a u32 size and its bytes. */

/* Bytes of an operation that kvr_mvcc_op_check accepts. 0: more than 4 GiB. */
size_t kvr__op_size(const kvr_op *op);
void kvr__op_write(kvr__writer *writer, const kvr_op *op);

/* A decoded operation and the arrays below it, in one block; its slices lend from the bytes. */
typedef struct kvr__op_tree {
    kvr_op root;
    uint8_t *block; /* NULL: the root is not a transaction */
    size_t block_size;
    /* in `block`: all operations below the root, for who walks over them in no order */
    kvr_op *ops;
    uint32_t op_count;
    uint32_t reserved;
} kvr__op_tree;

/* KVR_OK, KVR_ECORRUPT, KVR_ETOOBIG (nested too deep), KVR_ENOMEM. Values of `share_min` bytes and
 * more carry `owner`. Flags that only a node may set are cleared. */
kvr_status kvr__op_read(kvr__mem *mem, kvr_slice bytes, kvr_buf *owner, size_t share_min,
                        kvr__op_tree *out_tree);
void kvr__op_release(kvr__mem *mem, kvr__op_tree *tree);

#endif
