/* SPDX-License-Identifier: Apache-2.0 */
/* kvraft/host.h: what a host supplies. The library owns no thread, socket, file or clock; it asks
 * for them in the words of this header: storage requests with tokens, messages, nanoseconds, random
 * bytes.
 *
 *   1. fill the tables that you can serve (kvr_posix and kvr_sim offer ready-made ones)
 *   2. hand each over with its ctx in a config; both are borrowed for the handle's whole life
 *   3. answer each storage and crypto request once, on the handle's thread
 *
 * Functions of a table are called only from inside the library's `_run` functions, and may call
 * intake functions (`_receive`, `_storage_done`, `_put` ...) of the same handle, nothing else of
 * it. Hosts that want no callbacks at all use `_ready`/`_advance` and read the same structs from
 * arrays. */
#ifndef KVRAFT_HOST_H
#define KVRAFT_HOST_H

#include <kvraft/base.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ------------------------------------------------------------------ entries
 *
 * One entry of the replicated log is a fixed header, then its command. The same bytes stand in
 * memory, in the WAL and in messages; they never change after the leader's append. Little-endian:
 *
 *   offset size
 *        0    2  header size (56 in version 1)
 *        2    1  version (1)
 *        3    1  kind (KVR_ENTRY_*)
 *        4    4  flags: 1 the command was left out (KVR_ENTRY_STUB)
 *        8    8  index
 *       16    8  term
 *       24    8  lease clock, ns
 *       32    4  command size
 *       36    4  0; of a stub: the size of the command that was left out
 *       40    8  command checksum: XXH3-64 over the command, made by its proposer
 *       48    8  header checksum: XXH3-64 over bytes 0..47
 *       56    .  command
 *
 * The header verifies without its command; an entry is never split over messages or records. */
enum {
    KVR_ENTRY_HEADER_SIZE = 56,
    KVR_ENTRY_NOOP = 0,   /* a new leader's first entry; empty command */
    KVR_ENTRY_CONFIG = 1, /* command: an encoded configuration, in force from its append on */
    KVR_ENTRY_COMMAND = 2 /* command: the state machine's bytes */
};

/* A witness keeps stubs: the header of a COMMAND without the command. Flag and sizes apart it is
 * the leader's header, so that this can be had back from it, with the checksum of the command. */
enum { KVR_ENTRY_STUB = 1 };

/* A decoded entry. `command` and `bytes` point into `buffer`, which is lent as the giver says;
 * retain it to keep them longer. */
typedef struct kvr_entry {
    uint64_t index;
    uint64_t term;
    uint64_t lease_clock; /* ns of leadership when the leader appended it */
    uint64_t command_checksum;
    uint32_t flags;
    uint8_t kind;
    uint8_t reserved[3];
    kvr_slice command;
    kvr_slice bytes; /* header and command */
    kvr_buf *buffer;
} kvr_entry;

/* Names a snapshot and says how its bytes can be verified. */
typedef struct kvr_snapshot_meta {
    uint64_t index;          /* last entry that it contains; 0: there is none */
    uint64_t term;           /* that entry's term */
    uint64_t bytes;          /* length of the stream */
    uint8_t hash[16];        /* XXH3-128 of the stream: kvr_hash */
    kvr_slice configuration; /* in force at index, as encoded in a config entry */
} kvr_snapshot_meta;

/* ------------------------------------------------------------------ storage */

/* What a storage request asks for. In all of them the group comes from the request; one store may
 * serve many groups.
 *
 * LOAD            once, first. The result tells what is durable: term, vote and incarnation, the
 *                 newest complete snapshot, first and last index of the log. Without any: KVR_OK,
 *                 all zero. If the log does not continue the snapshot (it ends before it, or holds
 *                 another term at its index), the store reports it as empty: first_index =
 *                 snapshot.index + 1, last = first - 1.
 * APPEND          make `entry_count` whole entries durable, from `first_index` on, replacing
 *                 whatever stood from there on. `pieces` are runs of whole entries, in order.
 *                 Appends complete in the order of their submission.
 * VOTE            make term, voted_for (0: none) and incarnation durable.
 * READ            entries from `first_index` up to `last_index`, at least one, then as many as fit
 *                 `byte_max`. Verified: a damaged one is KVR_ECORRUPT.
 * SNAPSHOT_WRITE  `chunk` at `offset` of snapshot (`snapshot`.index, .term) from `source`; offsets
 *                 arrive in order and offset 0 discards an unfinished one of the same source. The
 *                 request with KVR_STORE_LAST carries the complete meta: when it is done the
 *                 snapshot is verified against bytes and hash, durable, and what LOAD and
 *                 SNAPSHOT_READ find; the one before may go.
 * SNAPSHOT_READ   up to `byte_max` bytes at `offset` of the snapshot with `snapshot`.index and
 *                 .term (index 0: the newest). The result's meta names it; an empty chunk says that
 *                 offset is its end. KVR_ENOTFOUND if it is gone.
 * DISCARD         entries below `first_index` are no longer needed. With KVR_STORE_ALL those from
 *                 `first_index` on go too: the log is empty and continues at first_index.
 * FORGET          the group leaves a store of many: all that stands of it goes. The library never
 *                 asks for it: a host does, once it has freed the member. It must not come back
 *                 under the same member id, for its votes are forgotten.
 *
 * Statuses of results: KVR_OK; KVR_ENOSPACE: nothing was written, the core asks again later;
 * KVR_ENOTFOUND, KVR_ECORRUPT where named; KVR_EIO and all others: final, the member stops taking
 * part. */
enum {
    KVR_STORE_LOAD = 1,
    KVR_STORE_APPEND = 2,
    KVR_STORE_VOTE = 3,
    KVR_STORE_READ = 4,
    KVR_STORE_SNAPSHOT_WRITE = 5,
    KVR_STORE_SNAPSHOT_READ = 6,
    KVR_STORE_DISCARD = 7,
    KVR_STORE_FORGET = 8
};

enum {
    KVR_STORE_LAST = 1, /* SNAPSHOT_WRITE: the last chunk */
    KVR_STORE_ALL = 2   /* DISCARD: nothing of the log stays */
};

enum {
    KVR_SNAPSHOT_LOCAL = 0,   /* taken by this member's own state machine */
    KVR_SNAPSHOT_RECEIVED = 1 /* sent by the leader */
};

/* Fields that a kind does not name are zero. Everything it points to is lent until the request is
 * answered, so a disk thread may read it. */
typedef struct kvr_store_request {
    uint32_t size;
    uint8_t kind;   /* KVR_STORE_LOAD.. */
    uint8_t flags;  /* KVR_STORE_LAST, KVR_STORE_ALL */
    uint8_t source; /* SNAPSHOT_WRITE: KVR_SNAPSHOT_LOCAL or _RECEIVED */
    uint8_t reserved;
    uint64_t group_id;
    uint64_t token; /* comes back in the result; unique among requests under way */
    uint64_t first_index;
    uint64_t last_index; /* APPEND: index and term of the last entry */
    uint64_t last_term;
    uint64_t term; /* VOTE */
    uint64_t voted_for;
    uint64_t incarnation;
    uint64_t offset;   /* SNAPSHOT_*: bytes */
    uint64_t byte_max; /* READ, SNAPSHOT_READ */
    const kvr_slice *pieces;
    uint32_t piece_count;
    uint32_t entry_count;
    kvr_slice chunk;
    kvr_snapshot_meta snapshot;
} kvr_store_request;

/* The answer to one request. What it points to must stay until the intake call that receives it
 * returns (for KVR_DONE: until the library's next call into the table). */
typedef struct kvr_store_result {
    uint32_t size;
    kvr_status status;
    uint64_t group_id;
    uint64_t token;
    uint64_t free_bytes; /* room left for appends; UINT64_MAX: not known */
    uint64_t term;       /* LOAD */
    uint64_t voted_for;
    uint64_t incarnation;
    uint64_t first_index; /* LOAD; READ: of the first entry returned */
    uint64_t last_index;
    const kvr_slice *pieces; /* READ: runs of whole entries */
    uint32_t piece_count;
    uint32_t entry_count;
    kvr_slice chunk;            /* SNAPSHOT_READ */
    kvr_snapshot_meta snapshot; /* LOAD, SNAPSHOT_READ */
    const char *detail;         /* NULL, or one line: file, offset, remedy */
} kvr_store_result;

/* submit takes one request. KVR_OK: it will be answered later through the handle's `_storage_done`.
 * KVR_DONE: *out_result (its size, group and token preset) is filled in and the request is over.
 * KVR_EBUSY: not taken, the library submits it again at its next run. Any other status: final, as
 * if the result had it. Must not block if the host's other work must go on meanwhile. */
typedef struct kvr_storage {
    uint32_t size;
    uint32_t reserved;
    kvr_status (*submit)(void *ctx, const kvr_store_request *request, kvr_store_result *out_result);
} kvr_storage;

/* ------------------------------------------------------------------ transport */

/* One message to one member. It may be lost, repeated or reordered; it carries its own checksum,
 * cluster, group, sender, receiver and term. A host may put several into one frame by writing them
 * one after the other: each says its own length (kvr_message_peek, raft.h). */
typedef struct kvr_message {
    uint64_t to;
    uint64_t token; /* for kvr_node_sent, if the table sends later */
    kvr_slice bytes;
} kvr_message;

enum {
    /* bytes are lent until kvr_node_sent(token), not only during send */
    KVR_TRANSPORT_SENDS_LATER = 1
};

/* send takes one message and tells nobody whether it arrived. Dropping is always allowed. */
typedef struct kvr_transport {
    uint32_t size;
    uint32_t flags;
    void (*send)(void *ctx, const kvr_message *message);
} kvr_transport;

/* ------------------------------------------------------------------ clock, entropy, log, trace */

/* now: nanoseconds that never go backwards, from any start. A jump costs liveness, never safety,
 * except that of lease reads, which lean on it: see kvr_raft_read_lease. */
typedef struct kvr_clock {
    uint32_t size;
    uint32_t reserved;
    uint64_t (*now)(void *ctx);
} kvr_clock;

/* fill: unpredictable bytes for salts, nonces and keys; KVR_EIO if there are none. */
typedef struct kvr_entropy {
    uint32_t size;
    uint32_t reserved;
    kvr_status (*fill)(void *ctx, uint8_t *out_bytes, size_t size);
} kvr_entropy;

enum { KVR_LOG_ERROR = 0, KVR_LOG_WARN = 1, KVR_LOG_INFO = 2, KVR_LOG_DEBUG = 3 };

/* write: one line without a newline, bounded at 512 bytes, borrowed. */
typedef struct kvr_log {
    uint32_t size;
    uint32_t level_max; /* lines above it are not made */
    void (*write)(void *ctx, int32_t level, const char *text);
} kvr_log;

/* One change of a member's state, or a message, in the words of Raft. Borrowed. */
typedef struct kvr_trace_event {
    uint64_t time_ns;
    uint64_t group_id;
    uint64_t member_id;
    uint64_t term;
    uint64_t index; /* log, commit, snapshot or applied index, as the name says */
    uint64_t peer;  /* the other member, 0: none */
    /* "become-leader", "append", "commit", "apply", "vote" ...: listed in kvraft-raft(3) */
    const char *name;
    /* the member after it */
    uint64_t vote;
    uint64_t commit;
    uint64_t last_index;
    uint8_t role; /* KVR_ROLE_* */
    /* of "send" and "receive": */
    uint8_t message;         /* its type: kvr_raft_message_name */
    uint8_t message_refuses; /* 1: an answer that refuses */
    uint8_t reserved;
    uint32_t message_entries;
    uint64_t message_term;
    uint64_t message_log_term; /* of the entry at `index` */
    uint64_t message_commit;
    uint64_t message_hint; /* refused append: no entry above it can match */
} kvr_trace_event;

typedef struct kvr_trace {
    uint32_t size;
    uint32_t level; /* 0, 1: changes of state; 2: messages too */
    void (*event)(void *ctx, const kvr_trace_event *event);
} kvr_trace;

/* ------------------------------------------------------------------ crypto: slow pure work */

enum {
    KVR_CRYPTO_PASSWORD_HASH = 1, /* input: password; output: a self-describing hash string */
    /* input: password, extra: hash string; KVR_OK or KVR_EAUTHFAILED */
    KVR_CRYPTO_PASSWORD_VERIFY = 2,
    KVR_CRYPTO_SIGN = 3, /* input: message; output: signature */
    /* input: message, extra: signature; KVR_OK or KVR_EAUTHFAILED */
    KVR_CRYPTO_VERIFY = 4
};

/* One piece of work; its bytes are lent until it is answered, so another thread may do it. At most
 * four wait at a time. */
typedef struct kvr_crypto_request {
    uint32_t size;
    uint8_t kind;
    uint8_t reserved[3];
    uint64_t token;
    kvr_slice input;
    kvr_slice extra;
    uint8_t salt[16]; /* PASSWORD_HASH: from the host's entropy */
} kvr_crypto_request;

typedef struct kvr_crypto_result {
    uint32_t size;
    kvr_status status;
    uint64_t token;
    uint8_t output[128]; /* hash string with its NUL, or a 64-byte signature */
    uint32_t output_size;
    uint32_t reserved;
} kvr_crypto_result;

/* submit: KVR_DONE with *out_result filled, KVR_OK (answered later), KVR_EBUSY. */
typedef struct kvr_crypto {
    uint32_t size;
    uint32_t reserved;
    kvr_status (*submit)(void *ctx, const kvr_crypto_request *request,
                         kvr_crypto_result *out_result);
} kvr_crypto;

#ifdef __cplusplus
}
#endif
#endif
