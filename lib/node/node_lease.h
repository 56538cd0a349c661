/* SPDX-License-Identifier: Apache-2.0 */
/* node_lease.h: questions about leases, at the member that is called and at the leader, and the
 * posts that carry them. */
#ifndef KVRAFT_LIB_NODE_LEASE_H
#define KVRAFT_LIB_NODE_LEASE_H

#include "node_calls.h"

/* A question about a lease, at the leader: of a member's call, by its request id. */
typedef struct kvr__ask {
    kvr__list link;
    uint64_t from;
    uint64_t request;
    int64_t lease;
    uint64_t ttl_ns;
    uint64_t remaining_ns;
    uint64_t granted_ns;   /* of the life that was renewed */
    uint64_t record_index; /* entry that must apply before it is answered */
    kvr_status status;
    uint32_t kind; /* KVR_CALL_LEASE_KEEP_ALIVE or _TIME_TO_LIVE */
} kvr__ask;

/* How a question goes: at the member that was called   asking -> asked -> finished
 * and at the leader   waiting -> (round) -> held, recording or answers -> posted, or finished if it
 *                     is its own. */
typedef struct kvr__leasing {
    kvr__list asking; /* calls, to be put to the leader */
    kvr__list asked;  /* calls, put; in order of sent_ns */
    kvr__map by_request;
    kvr__list waiting;   /* asks: for a round */
    kvr__list held;      /* asks: the lease is due, its revocation will tell */
    kvr__list recording; /* asks: renewed, the renewal must be logged */
    kvr__list answers;   /* asks: to be posted */
    uint64_t term;       /* that this member leads in, leases included; 0: it does not */
    uint64_t held_index; /* applied when the held ones were looked at */
    uint64_t blocked_until;
    uint32_t ask_count;
    uint32_t reserved;
} kvr__leasing;

/* -------------------------------------------------------------- node_lease.c: the leader's part */

void kvr__leasing_init(kvr_node *node);
void kvr__leasing_release(kvr_node *node);
void kvr__leasing_role(kvr_node *node);  /* role, term or applied term changed */
void kvr__leasing_reset(kvr_node *node); /* the book has new content, and follows */
void kvr__leasing_run(kvr_node *node);   /* expires and records */
void kvr__leasing_free(kvr_node *node, kvr__ask *ask);
/* a round that began after it is confirmed */
void kvr__leasing_confirmed(kvr_node *node, kvr__ask *ask);
void kvr__leasing_take(kvr_node *node, const kvr__ask *question); /* a member asks */
bool kvr__leasing_has_work(const kvr_node *node);
uint64_t kvr__leasing_deadline(const kvr_node *node);

/* ------------------------------------------------------------ node_question.c: the asker's part */

kvr_status kvr__question_put(kvr_node *node); /* asking -> asked */
/* asked -> asking: those unanswered for long, or all */
void kvr__question_repeat(kvr_node *node, bool all);
void kvr__question_answered(kvr_node *node, const kvr__ask *answer);
void kvr__question_forget(kvr_node *node, kvr__call *call); /* it ends */
kvr_status kvr__question_post_answers(kvr_node *node);
uint64_t kvr__question_deadline(const kvr_node *node);

/* ------------------------------------------------------------------ node_post.c */

enum {
    KVR__POST_HASH = 1,
    KVR__POST_LEASE_ASK = 2,
    KVR__POST_LEASE_ANSWER = 3,
    KVR__POST_HEAD = 8,
    KVR__POST_BYTES_MAX = 65536,
    KVR__POST_HASH_SIZE = 16, /* u64 index, u64 chain */
    KVR__POST_ASK_SIZE = 24,  /* u64 request, i64 lease, u32 kind, u32 0 */
    /* u64 request, i64 lease, u64 ttl, u64 remaining, i32 status, u32 0 */
    KVR__POST_ANSWER_SIZE = 40,
    KVR__POST_WANTS = 1 /* HASH: answer with yours */
};

/* A body of records under construction. Send frees it. */
typedef struct kvr__post {
    uint8_t *bytes; /* KVR__POST_BYTES_MAX */
    size_t size;
    uint32_t count;
    uint16_t record_size;
    uint8_t flags;
    uint8_t reserved;
} kvr__post;

kvr_status kvr__post_begin(kvr__post *post, kvr_node *node, uint8_t flags);
uint8_t *kvr__post_add(kvr__post *post, size_t record_size); /* NULL: full */
kvr_status kvr__post_send(kvr_node *node, uint64_t to, uint8_t type, kvr__post *post);
void kvr__post_receive(kvr_node *node, const kvr_raft_post_in *post);

#endif
