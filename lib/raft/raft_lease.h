/* SPDX-License-Identifier: Apache-2.0 */
/* raft_lease.h: what a member keeps beside Raft's own state about who may lead: promises and the
 * leader's lease with the freshness that follows from it [raft_lease.c], and leadership that is
 * handed over [raft_handover.c]. Parts of struct kvr_raft. */
#ifndef KVRAFT_LIB_RAFT_LEASE_H
#define KVRAFT_LIB_RAFT_LEASE_H

#include <stdbool.h>
#include <stdint.h>

/* All that was acknowledged before `ns` is in the log up to `index`. ns 0: nothing is known. */
typedef struct kvr__raft_fresh {
    uint64_t ns;
    uint64_t index;
} kvr__raft_fresh;

/* Promises, the leader's lease, freshness [raft_lease.c]. */
typedef struct kvr__raft_lease {
    uint64_t promise_ns; /* of the configuration in force; 0: none */

    /* Not the leader: the newest one it heard of, and how much. */
    uint64_t heard_term; /* 0: none since the start */
    uint64_t heard_round;
    uint64_t heard_ns;
    uint64_t silent_until_ns; /* after the start; UINT64_MAX: loaded, and no ready since */

    /* The leader. */
    uint64_t index;          /* whose durable log reaches it counts */
    uint64_t measured_round; /* under way; 0: none */
    uint64_t measured_ns;    /* when it was sent */
    uint64_t since_ns;       /* when the newest one that a quorum heard was sent */

    uint64_t start_ns;    /* of the first ready: stamps count from here */
    uint64_t fresh_round; /* when it is confirmed, `fresh_asked` holds; 0: nothing is asked */
    kvr__raft_fresh fresh_asked;
    kvr__raft_fresh fresh;
    bool heard;   /* since the last ready */
    bool is_held; /* since_ns is one of this leadership, and no hand-over came after it */
    uint8_t reserved[6];
} kvr__raft_lease;

/* Leadership handed over [raft_handover.c]. to 0: not now. */
typedef struct kvr__raft_handover {
    uint64_t to;
    uint64_t deadline_ns; /* given up then */
    uint64_t retry_ns;    /* none without being asked before */
    uint64_t failed;      /* who did not take it; 0: none */
    uint32_t failures;    /* in this leadership */
    bool told;            /* `to` was: until given up no round begins */
    bool due;             /* it is to be told, once it has the whole log */
    bool accepted;        /* candidate: by being told so */
    uint8_t reserved;
    uint64_t round; /* candidate: the old leader's last one */
} kvr__raft_handover;

#endif
