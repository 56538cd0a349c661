/* SPDX-License-Identifier: Apache-2.0 */
/* check_history.h: what clients were told. The log orders everything, so linearizability is checked
 * as calls complete: an answer names the entry that made it, that entry must ask for what the
 * client asked (H2), give the answer that the model gave, stand behind all that was answered before
 * the call began (H1), and be no other call's (H3). A linear read shows a revision that is not
 * older than any that was seen before it began (R14), one by lease too; one of a member's own copy
 * none older than what had been seen as long before as it says (H4). What was refused stands
 * nowhere in the log (H6). Unknown outcomes may go either way, at most once. */
#ifndef KVRAFT_TEST_SIM_CHECK_HISTORY_H
#define KVRAFT_TEST_SIM_CHECK_HISTORY_H

#include "check_store.h"

/* One call, from its invocation to its completion; in the caller's memory. */
typedef struct history_call {
    uint64_t number;         /* 1, 2 ... in order of invocation */
    uint64_t asked;          /* digest; see check_store.h */
    uint64_t floor_index;    /* answered before it began */
    uint64_t floor_revision; /* seen before it began */
    uint64_t invoked_ns;
    uint64_t jumped_ns; /* by how much clocks had jumped by then: see check_lease.h */
    int64_t lease;
    uint32_t member;
    uint8_t kind;   /* KVR_CALL_* */
    bool is_unique; /* no other call has its digest */
    uint8_t reserved[2];
} history_call;

typedef struct check_history {
    check_store *store;
    check_report *report;
    uint64_t call_count;
    uint64_t done_count;
    uint64_t refused_count;
    uint64_t unknown_count;
    uint64_t done_index;
    uint64_t seen_revision;
    uint64_t now_ns;    /* of the simulation; the caller moves it */
    uint64_t drift_ppm; /* of members' clocks, at most */
    struct history_seen {
        uint64_t ns;
        uint64_t revision;
    } * seen; /* when seen_revision rose, and to what */
    uint32_t seen_count;
    uint32_t seen_capacity;
    uint64_t *claims; /* by index: number of the call that it answered */
    uint32_t claim_capacity;
    uint32_t refused_size;
    uint64_t *refused; /* digests of unique calls */
    uint32_t refused_capacity;
    uint32_t unique_size;
    uint64_t *unique; /* digests of unique calls that were not refused */
    uint32_t unique_capacity;
    uint32_t reserved;
} check_history;

void check_history_init(check_history *check, check_store *store, check_report *report);
void check_history_release(check_history *check);

/* The call begins: its floors are set. */
void check_history_invoke(check_history *check, history_call *call);
void check_history_complete(check_history *check, const history_call *call,
                            const kvr_completion *completion);

/* The call was not taken, or refused: it never happens. */
void check_history_refuse(check_history *check, const history_call *call);

/* The member that it was made on is gone: it may have happened. */
void check_history_lose(check_history *check, const history_call *call);

/* At the end: refused calls, and unique ones that were executed twice. */
void check_history_end(check_history *check);

#endif
