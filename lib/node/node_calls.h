/* SPDX-License-Identifier: Apache-2.0 */
/* node_calls.h: calls under way and the rounds that linear reads wait for. */
#ifndef KVRAFT_LIB_NODE_CALLS_H
#define KVRAFT_LIB_NODE_CALLS_H

#include <kvraft/node.h>

#include "base/heap.h"
#include "base/list.h"
#include "base/map.h"
#include "node_command.h"

/* ------------------------------------------------------------------ calls
 *
 *   intake -> fresh -> pending -> sent -> finished        a write
 *                   -> reading -> (round) -> finished     a linear read, or one by lease
 *                   -> stale              -> finished     a read of this copy
 *                   -> asking  -> asked   -> finished     a question about a lease
 *                   -> transferring       -> finished     a hand-over of leadership
 *                   -> changing           -> finished     a change of the members [node_member.h]
 *
 *   pending  not handed to raft, or to be handed over again  [kvr__calls_propose]
 *   sent     raft has it; it comes back in apply, or goes back to pending when the leader or term
 *            changes, or a forwarded one was not heard of for a while
 *   finished stands in one of the next readies; freed by advance
 *
 * A call is in exactly one list, and in the heap `due` unless fresh or finished. */
typedef struct kvr__call {
    kvr__list link;
    kvr__heap_item due;  /* key: ns when it ends unresolved */
    kvr_completion done; /* filled in as it becomes known */
    kvr_mvcc_result *result;
    kvr_buf *command;  /* encoded once; NULL: not a write */
    uint64_t sequence; /* 0: raft never had it, so it can still be refused */
    uint64_t request;  /* of a lease question: its id in posts */
    uint64_t target;   /* of a hand-over: the member; 0: the best one */
    uint64_t stale_ns_max;
    uint64_t timeout_ns;
    uint64_t sent_ns;
    uint64_t sent_index; /* appended here at this index, in sent_term; 0: forwarded */
    uint64_t sent_term;
    kvr_status reason; /* why it still waits: how it will be refused */
    uint32_t reserved;
} kvr__call;

typedef struct kvr__calls {
    kvr__list fresh;
    kvr__list pending;
    kvr__list sent; /* in order of sent_ns */
    kvr__list transferring;
    kvr__list finished;
    kvr__heap due;
    kvr__map by_sequence;
    uint64_t sequence_next;
    uint64_t sequence_oldest; /* none below it is unresolved */
    uint64_t id_last;
    uint64_t blocked_until; /* raft refused: not again before, unless something changed */
    uint32_t write_count;   /* until they are delivered */
    uint32_t other_count;
    uint32_t fresh_count;
    uint32_t delivered_count; /* of the ready shown: the first ones of `finished` */
    kvr_completion *completions;
    uint32_t completion_capacity;
    uint32_t reserved;
} kvr__calls;

/* Reads and questions that wait for one confirmation by a quorum. */
typedef struct kvr__round {
    kvr__list link;
    kvr__list calls;
    kvr__list asks;
    uint64_t context;
    uint64_t begun_ns;
    uint64_t index; /* once confirmed */
    bool confirmed;
    bool by_lease;
    uint8_t reserved[6];
} kvr__round;

typedef struct kvr__reads {
    kvr__list waiting;       /* calls */
    kvr__list lease_waiting; /* those that a lease may answer */
    kvr__list stale;
    kvr__list rounds; /* in order of their context */
    uint64_t context_last;
    uint64_t blocked_until;
    uint32_t round_count;
    bool waits_for_clock; /* a stale read came after the time that is known */
    uint8_t reserved[3];
    /* What was acknowledged before fresh_ns is in this copy (0: not known); before next_ns, once it
     * has applied next_index. */
    uint64_t fresh_ns;
    uint64_t next_ns;
    uint64_t next_index;
} kvr__reads;

/* ------------------------------------------------------------------ node_calls.c */

void kvr__calls_init(kvr_node *node);
void kvr__calls_release(kvr_node *node);
void kvr__calls_start(kvr_node *node); /* fresh ones get their deadline and their list */
kvr_status kvr__calls_propose(kvr_node *node, uint32_t *budget);
void kvr__calls_repropose(kvr_node *node); /* the leader or term changed */
void kvr__calls_expire(kvr_node *node);
void kvr__calls_transfer(kvr_node *node);    /* tells raft of those that are new */
void kvr__calls_transferred(kvr_node *node); /* ends those that are over */
void kvr__calls_skipped(kvr_node *node);     /* a snapshot jumped over entries */
/* Gives a call its sequence, if it has none yet. KVR_EBUSY (the window is full), KVR_ENOMEM. */
kvr_status kvr__calls_number(kvr_node *node, kvr__call *call);
kvr__call *kvr__calls_find(kvr_node *node, const kvr__origin_id *origin);
/* A call of `kind` in `fresh`; whoever gets it may still fill it in. */
kvr_status kvr__calls_new(kvr_node *node, const kvr_node_call *given, uint8_t kind,
                          kvr__call **out_call);
/* It moves to `finished`. `done` other than outcome and status was filled in. */
void kvr__calls_finish(kvr_node *node, kvr__call *call, uint8_t outcome, kvr_status status);
void kvr__calls_end(kvr_node *node); /* close: everything outstanding ends now */
kvr_status kvr__calls_show(kvr_node *node);
void kvr__calls_advance(kvr_node *node);
bool kvr__calls_have_work(const kvr_node *node);
uint64_t kvr__calls_deadline(const kvr_node *node);

/* ------------------------------------------------------------------ node_read.c */

void kvr__reads_init(kvr_node *node);
void kvr__reads_release(kvr_node *node);
kvr_status kvr__reads_begin(kvr_node *node); /* a round for all that wait */
void kvr__reads_answer(kvr_node *node, const kvr_raft_read *read);
void kvr__reads_finish(kvr_node *node); /* rounds whose index is applied */
/* Gives rounds up: those that nobody answered for long, all that are not confirmed (the leader
 * changed), or all. */
enum { KVR__READS_LATE = 0, KVR__READS_UNCONFIRMED = 1, KVR__READS_ALL = 2 };
void kvr__reads_retry(kvr_node *node, uint8_t which);
uint64_t kvr__reads_deadline(const kvr_node *node);

#endif
