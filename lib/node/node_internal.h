/* SPDX-License-Identifier: Apache-2.0 */
/* node_internal.h: the state of one member, and what the files of this room call of each other.
 * Intake functions put work into lists; kvr_node_ready_get (node_ready.c) alone does it, in one
 * fixed order, so that a callback may call any intake function at any moment.
 *
 * Start at struct kvr_node. Its invariants are numbered in README.md and asserted in
 * node_check.c. */
#ifndef KVRAFT_LIB_NODE_INTERNAL_H
#define KVRAFT_LIB_NODE_INTERNAL_H

#include <kvraft/node.h>

#include "base/assertion.h"
#include "base/memory.h"
#include "base/ring.h"
#include "node_attach.h"
#include "node_calls.h"
#include "node_hash.h"
#include "node_lease.h"
#include "node_member.h"
#include "node_origin.h"

/* Limits. Each has its refusal. */
enum {
    KVR__CALLS_MAX = 2048,  /* writes of this member under way: KVR_EBUSY */
    KVR__READS_MAX = 65536, /* reads and lease questions under way: KVR_EBUSY */
    KVR__ROUNDS_MAX = 64,   /* read rounds under way: further reads wait and share the next */
    /* lease questions that a leader holds: dropped, as a network may */
    KVR__ASKS_MAX = 65536,
    KVR__COMPLETIONS_MAX = 1024,    /* in one ready */
    KVR__COMPACT_WAITS_MAX = 256,   /* readies that a compaction leaves to watchers */
    KVR__LEASE_BATCH_MAX = 256,     /* leases revoked, or recorded, by one look */
    KVR__WATCH_CHANGES_MAX = 65536, /* that wait for a batch: KVR_EBUSY */
    KVR__SENT_MAX = 4096,           /* messages lent to a transport that sends later: dropped */
    KVR__SENT_BYTES_MAX = 64 * 1024 * 1024, /* of these */
    KVR__NODE_BUDGET = 10000,               /* of a run that names none */
    KVR__COMMAND_BYTES_MAX = KVR_VALUE_BYTES_MAX + 65536 + KVR__COMMAND_HEAD,
    KVR__NODE_ERROR_SIZE = 320,
    KVR__LEVEL_FIRST = 1, /* of a new cluster */
    KVR__LEVEL_MAX = 1,   /* the highest cluster level that this release can apply */
#ifdef KVR_CHECK
    KVR__LEVEL_CONFIG_MAX = KVR__LEVEL_MAX + 1 /* tests play a newer release */
#else
    KVR__LEVEL_CONFIG_MAX = KVR__LEVEL_MAX
#endif
};

/* Values share their entry's buffer only if they are at least a quarter of it: a value that pins
 * its entry's segment must not pin many others with it. */
enum { KVR__SHARE_PART = 4 };

#define KVR__TOKEN_OWN \
    (UINT64_C(1) << 63) /* set in the tokens of this room; raft's have it clear */

/* ------------------------------------------------------------------ apply
 *
 *   IDLE -> STEPPING  the store works on it in slices       [begin]
 *   IDLE -> FINISH    nothing to do in the store
 *   STEPPING -> INDEXING -> FINISH -> IDLE                  [kvr__apply_run] */
enum {
    KVR__APPLY_IDLE = 0,
    KVR__APPLY_STEPPING = 1,
    KVR__APPLY_INDEXING = 2, /* leases and their keys follow the changes of the new revision */
    KVR__APPLY_FINISH = 3
};

/* A committed entry that waits. */
typedef struct kvr__queued {
    kvr_buf *buffer; /* holds a count */
    const uint8_t *data;
    size_t size;
} kvr__queued;

typedef struct kvr__apply {
    kvr__ring queue; /* kvr__queued */
    kvr_entry entry; /* under way */
    kvr__command command;
    kvr__op_tree tree;
    kvr_slice *keys; /* of the lease being revoked */
    size_t keys_size;
    kvr_mvcc_result *result;
    kvr_mvcc_changes changes;
    uint64_t changed_from; /* head before it */
    kvr_status outcome;
    uint32_t waited; /* readies that the compaction at the front left to watchers */
    uint8_t stage;
    bool compacting; /* the store has compacted history to free */
    bool remembered; /* its origin is to be marked */
    uint8_t reserved;
    uint64_t told_index; /* raft knows */
} kvr__apply;

/* What apply keeps beside the store, the leases and the origins: replicated. */
typedef struct kvr__applied {
    uint64_t index;
    uint64_t term;
    uint64_t lease_clock; /* highest seen in an entry */
    uint64_t chain;       /* over the outcomes of all entries */
    uint32_t level;
    uint32_t reserved;
} kvr__applied;

/* ------------------------------------------------------------------ the member */

typedef struct kvr__taking kvr__taking;         /* node_snapshot_take.c */
typedef struct kvr__installing kvr__installing; /* node_snapshot_install.c */

typedef struct kvr__snapshots {
    kvr__taking *taking;         /* NULL: none */
    kvr__installing *installing; /* NULL: none */
    /* NULL: Raft's; else what is taken bears this one [node_recover.c] */
    const kvr_slice *configuration;
    uint64_t last_index;
    uint64_t last_bytes;
    uint64_t log_bytes; /* applied since the last one */
    uint64_t retry_ns;  /* after KVR_ENOSPACE or KVR_ENOMEM: not before */
    uint64_t taken;
    uint64_t installed;
    uint64_t tokens; /* handed out */
    bool wanted;     /* asked for by the host */
    uint8_t reserved[7];
} kvr__snapshots;

struct kvr_node {
    kvr__mem mem;
    kvr_node_config config; /* members are not used after start */
    kvr_raft *raft;
    kvr_mvcc *store;
    kvr_watch_hub *hub; /* NULL until the first watch */
    kvr_lease_book *book;

    uint64_t now_ns;             /* of the newest ready */
    uint64_t retry_ns;           /* memory was short: not before */
    kvr_raft_status raft_status; /* as of the newest ready */
    uint64_t incarnation;

    uint64_t level_term; /* in which this leader has proposed to raise the level */
    bool loaded;
    bool closed;
    bool calling;    /* a callback runs */
    bool shown;      /* between ready and advance */
    bool raft_shown; /* raft's ready is open */
    bool raft_taken; /* and what it says was taken over */
    bool no_space;   /* for the snapshot being taken; the log's is Raft's to know */
    bool corrupt;
    const kvr_raft_ready *raft_ready;

    kvr__applied applied;
    kvr__origins origins;
    kvr__attach attach;
    kvr__hashes hashes;
    kvr__apply apply;
    kvr__calls calls;
    kvr__reads reads;
    kvr__leasing leasing;
    kvr__changing changing;
    kvr__snapshots snapshots;

    /* What a ready shows. */
    kvr_node_ready ready;
    kvr_store_request *requests; /* raft's and our own */
    uint32_t request_capacity;
    uint32_t submitted; /* of the ready shown: how many storage was given */
    kvr_watch_batch batch;
    kvr__ring watch_changes; /* kvr__watch_change: what was asked for while the batch is lent */

    /* What run keeps. */
    kvr__ring deferred; /* kvr_store_request: the storage was busy */
    kvr__map sent;      /* token -> kvr_buf: lent to a transport that sends later */
    uint64_t sent_token;
    size_t sent_bytes;
    uint64_t told_term; /* what the log was told last */
    uint64_t told_leader;
    uint64_t told_taken;
    uint64_t told_installed;
    kvr_status told_failure;
    bool told_corrupt;
    bool told_no_space;
    bool serving; /* memory was short while the ready shown was submitted */
    uint8_t reserved2[1];

    kvr_status failure; /* KVR_OK, or why it takes no further part */
    uint32_t reserved3;
    const char *error; /* "" until it failed */
    char *error_room;  /* NULL, or KVR__NODE_ERROR_SIZE bytes that it stands in */
};

/* ------------------------------------------------------------------ node.c */

/* The member takes no further part. `text` says what, where and the remedy; `number` is put behind
 * it unless 0. Always returns `status`. */
kvr_status kvr__node_fail(kvr_node *node, kvr_status status, const char *text, uint64_t number);

/* As kvr_node_new; `recover`: as that of kvr_raft_config. */
kvr_status kvr__node_make(const kvr_node_config *config, bool recover, kvr_node **out_node);

/* `text`, and unless 0 a space and the number, cut at `size`. */
void kvr__text_put(char *room, size_t size, const char *text, uint64_t number);

/* The config as this version knows it, defaults filled in; returns what is wrong with it, or
 * NULL. */
const char *kvr__config_read(const kvr_node_config *config, kvr_node_config *out_config);

/* KVR_OK if intake may take work; KVR_ESTOPPED, or the fatal status. */
kvr_status kvr__node_may_take(const kvr_node *node);

/* Nanoseconds after which a question nobody answered is asked again. */
static inline uint64_t kvr__node_repeat_ns(const kvr_node *node)
{
    return node->config.election_ns;
}

static inline bool kvr__node_leads(const kvr_node *node)
{
    return node->raft_status.role == KVR_ROLE_LEADER;
}

/* ------------------------------------------------------------------ node_run.c */

/* What raft says after its end, if anything: sent by a node that closes. */
void kvr__run_last_words(kvr_node *node);

/* ------------------------------------------------------------------ node_exchange.c */

void kvr__exchange_claim(kvr_node *node, uint64_t from, const kvr__hash_point *point);
/* it wants to hear this member's newest point */
void kvr__exchange_asked(kvr_node *node, uint64_t from);
/* there is a new point, or somebody to tell */
void kvr__exchange_tell(kvr_node *node);
/* posts what is due, judges what was heard */
kvr_status kvr__exchange_run(kvr_node *node);
uint64_t kvr__exchange_deadline(const kvr_node *node);

/* ------------------------------------------------------------------ node_level.c */

/* KVR_OK, or KVR_EVERSION: no such command may be proposed yet. */
kvr_status kvr__level_allows(const kvr_node *node, uint8_t kind);
void kvr__level_run(kvr_node *node);         /* a leader raises it if all members can */
kvr_status kvr__level_apply(kvr_node *node); /* the entry that does is under way */

/* ------------------------------------------------------------------ node_watch.c */

enum { KVR__WATCH_CANCEL = 1, KVR__WATCH_PAUSE = 2, KVR__WATCH_RESUME = 3 };

typedef struct kvr__watch_change {
    uint64_t id;
    uint64_t what;
} kvr__watch_change;

bool kvr__watches_have_work(const kvr_node *node);
kvr_status kvr__watches_show(kvr_node *node, uint32_t *budget); /* the next batch */
void kvr__watches_advance(kvr_node *node);                      /* it is over */

/* ------------------------------------------------------------------ node_apply.c */

void kvr__apply_init(kvr_node *node);
void kvr__apply_release(kvr_node *node);
kvr_status kvr__apply_take(kvr_node *node, const kvr_entry *entries, uint32_t count);
kvr_status kvr__apply_run(kvr_node *node, uint32_t *budget);
void kvr__apply_drop_queue(kvr_node *node); /* an install replaces what they would do */
bool kvr__apply_has_work(const kvr_node *node);

/* ------------------------------------------------------------------ node_execute.c */

/* KVR_OK: `outcome`, or the store has work: `stage` */
kvr_status kvr__execute_begin(kvr_node *node);
kvr_status kvr__execute_step(kvr_node *node, uint32_t *budget);
kvr_status kvr__execute_index(kvr_node *node, uint32_t *budget);
void kvr__execute_finish(kvr_node *node); /* what moves with the last slice, beside the store */
void kvr__execute_release(kvr_node *node);
kvr_status kvr__execute_too_new(kvr_node *node);

/* ------------------------------------------------------------------ node_snapshot_*.c */

kvr_status kvr__taking_run(kvr_node *node, uint32_t *budget);
kvr_status kvr__taking_done(kvr_node *node, const kvr_store_result *result);
bool kvr__taking_has_request(const kvr_node *node);
void kvr__taking_request(kvr_node *node, kvr_store_request *out_request);
void kvr__taking_abandon(kvr_node *node); /* an install replaces what it would say */
void kvr__taking_release(kvr_node *node);
bool kvr__taking_has_work(const kvr_node *node);

kvr_status kvr__installing_begin(kvr_node *node, const kvr_snapshot_meta *meta);
kvr_status kvr__installing_run(kvr_node *node, uint32_t *budget);
kvr_status kvr__installing_done(kvr_node *node, const kvr_store_result *result);
bool kvr__installing_has_request(const kvr_node *node);
void kvr__installing_request(kvr_node *node, kvr_store_request *out_request);
void kvr__installing_release(kvr_node *node);
bool kvr__installing_has_work(const kvr_node *node);
uint64_t kvr__installing_deadline(const kvr_node *node);

/* ------------------------------------------------------------------ node_ready.c, node_check.c */

/* As kvr_node_ready_get, but says through *budget what is left. */
kvr_status kvr__ready_get(kvr_node *node, uint64_t now_ns, uint32_t *budget,
                          const kvr_node_ready **out_ready);
bool kvr__node_has_work(const kvr_node *node);
void kvr__node_check(const kvr_node *node);

#endif
