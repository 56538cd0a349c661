/* SPDX-License-Identifier: Apache-2.0 */
/* check_store.h: the state machine. Every entry that is committed is decoded and executed once
 * more, on a plain model (support/ model_mvcc.h), with at-most-once and leases as kvraft-command(5)
 * tells them. Then, at any applied index, a member must be where the model was (K1: state is a
 * function of the log; K2: revisions only grow), all members must tell the same hashes (K6),
 * answers must be those of the model (T1), and what is read at a revision must be what the model
 * had there (K3, K4). */
#ifndef KVRAFT_TEST_SIM_CHECK_STORE_H
#define KVRAFT_TEST_SIM_CHECK_STORE_H

#include <kvraft/node.h>

#include "check_decode.h"
#include "check_raft.h"
#include "support/model_mvcc.h"

/* Where the model was after the entry at one index, and what came of it. */
typedef struct store_point {
    uint64_t revision;
    uint64_t compacted;
    uint64_t store_chain; /* of kvr_mvcc_status */
    uint64_t asked;       /* digest of the operation, revision or lease that it names */
    uint64_t answer;      /* digest of a write's result */
    uint64_t node_chain;  /* as members tell it; the first one sets it */
    uint64_t node_live;
    uint32_t lease_count;
    kvr_status status;
    uint8_t kind; /* WIRE_COMMAND_*; 0: no command, or one that was executed before */
    bool is_told;
    uint8_t reserved[6];
} store_point;

typedef struct store_lease {
    int64_t id;
    uint64_t ttl_ns;
    uint64_t granted_index;
    uint64_t revoked_index; /* 0: it lives */
    bool by_leader;         /* it ended because its time was up */
    uint8_t reserved[7];
} store_lease;

enum { STORE_WINDOW = 4096 };

typedef struct store_origin {
    uint64_t incarnation;
    uint64_t low;                /* all sequences up to it count as seen */
    uint64_t seen[STORE_WINDOW]; /* place sequence % window: the sequence, if it was seen */
} store_origin;

typedef struct check_store {
    check_raft *raft;
    check_report *report;
    model_mvcc *model;
    store_point *points; /* by index, up to `applied` */
    uint32_t point_capacity;
    uint32_t reserved;
    uint64_t applied;
    uint64_t *revision_index; /* by revision: the index that made it */
    uint32_t revision_capacity;
    uint32_t lease_count;
    store_lease *leases; /* all that ever were, oldest first */
    uint32_t lease_capacity;
    uint32_t live_leases;
    store_origin origins[CHECK_MEMBERS_MAX];
    struct {
        uint64_t index; /* the highest that it ever told, and its revisions there */
        uint64_t revision;
        uint64_t compacted;
    } told[CHECK_MEMBERS_MAX];
} check_store;

void check_store_init(check_store *check, check_raft *raft, check_report *report);
void check_store_release(check_store *check);

/* Executes what was committed since. Calls it first, whoever asks about an index or revision. */
void check_store_advance(check_store *check);

void check_store_status(check_store *check, uint32_t member, const kvr_node_status *status);

/* Digests that store_point.asked and .answer are compared with. */
uint64_t store_digest_write(const kvr_op *op);
uint64_t store_digest_number(uint32_t kind, uint64_t number);
uint64_t store_digest_answer(const kvr_op_result *result);

/* What a member showed for `key` at `revision`; kv NULL: that it is not there. */
void check_store_read(check_store *check, uint32_t member, uint64_t revision, const kvr_slice *key,
                      const kvr_kv *kv);

/* The whole store of a view: keys, values, versions at `revision`. `view` is of member `member`. */
void check_store_view(check_store *check, uint32_t member, const kvr_mvcc_view *view,
                      uint64_t revision);

/* L1: the keys that a member attaches to a lease are those that name it, at the member's
 * `revision`. */
void check_store_lease_keys(check_store *check, uint32_t member, int64_t lease, uint64_t revision,
                            const kvr_slice *keys, uint32_t count);

/* NULL: it was never granted. */
const store_lease *check_store_lease(const check_store *check, int64_t id);

#endif
