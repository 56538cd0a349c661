/* SPDX-License-Identifier: Apache-2.0 */
/* check_raft.h: Raft's promises, over all history: R1 one leader a term; R2 a leader's log only
 * grows; R4 a leader has all that was committed before; R5 all agree on what is committed; R6 what
 * was acknowledged stays; R7 applied <= committed, in order; R8 commit never goes back, nor beyond
 * what a quorum holds; R9 term and vote; R10 what a leader believes of a follower is true; R12
 * votes only for logs that are not behind. R3 is the ghost's. W9: what a message says is durable
 * when it is sent; W3: what a member says of its disk is true.
 *
 * R11, in check_member.h, says what a quorum is. */
#ifndef KVRAFT_TEST_SIM_CHECK_RAFT_H
#define KVRAFT_TEST_SIM_CHECK_RAFT_H

#include <kvraft/raft.h>

#include "check_ghost.h"
#include "check_member.h"

enum { CHECK_TERMS_MAX = 1 << 20 };

/* What a term has seen. */
typedef struct check_term {
    uint32_t leader; /* member + 1; 0: none yet */
    uint32_t reserved;
    uint64_t votes[CHECK_MEMBERS_MAX];       /* durable; an id, 0: none */
    uint64_t asked_index[CHECK_MEMBERS_MAX]; /* the log that a candidate showed in its VOTE */
    uint64_t asked_term[CHECK_MEMBERS_MAX];
    bool asked[CHECK_MEMBERS_MAX];
} check_term;

typedef struct check_raft_member {
    kvr_raft_status last; /* of this life; size 0: none yet */
    uint64_t acked_term;  /* the highest index that it acknowledged, in that term */
    uint64_t acked_index;
    uint64_t verified; /* committed entries up to here were compared with its log */
    /* leader whose log was found to hold all that is committed: R4, then R2 */
    uint64_t complete_term;
    uint64_t match[CHECK_MEMBERS_MAX];
    uint64_t match_term;
} check_raft_member;

typedef struct check_raft {
    ghost *ghost;
    check_report *report;
    check_term *terms; /* by number */
    uint32_t term_count, term_capacity;
    uint64_t *committed; /* terms, by index */
    uint32_t committed_capacity;
    bool memory_fails; /* in this run: requests may come late */
    uint8_t reserved[3];
    uint64_t committed_index;
    check_members configurations;
    check_raft_member members[CHECK_MEMBERS_MAX];
} check_raft;

void check_raft_init(check_raft *check, ghost *g, check_report *report);
void check_raft_release(check_raft *check);

/* Before the ghost hears of it. */
void check_raft_submitted(check_raft *check, uint32_t member, const kvr_store_request *request);
/* After the ghost heard of it. */
void check_raft_stored(check_raft *check, uint32_t member, const kvr_store_request *request,
                       const kvr_store_result *result);
void check_raft_sent(check_raft *check, uint32_t member, const kvr_slice *message);

/* After an event of the member; `message_type` is that of the message it got, 0: another event. */
void check_raft_status(check_raft *check, uint32_t member, const kvr_raft_status *status,
                       uint32_t message_type);

/* In the middle of an event: only what a leader says is committed. */
void check_raft_commit(check_raft *check, uint32_t member, const kvr_raft_status *status);

/* What leader `member` believes of the others. */
void check_raft_progress(check_raft *check, uint32_t member, const kvr_raft_progress *progress);
/* The configuration that the member counts quorums in, which stands at `index`. */
void check_raft_configuration(check_raft *check, uint32_t member, uint64_t index,
                              const kvr_raft_progress *configured, uint32_t count);
void check_raft_stopped(check_raft *check, uint32_t member);

/* The entry committed at `index`, up to committed_index. */
const ghost_entry *check_raft_committed(const check_raft *check, uint64_t index);

#endif
