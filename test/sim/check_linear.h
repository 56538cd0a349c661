/* SPDX-License-Identifier: Apache-2.0 */
/* check_linear.h: linearizability of registers from what clients saw alone: no log, no revision but
 * as an answer. It is the search of Wing and Gong ("Testing and Verifying Concurrent Objects",
 * 1993) with Lowe's memory of configurations ("Testing for Linearizability", 2017): an order of the
 * calls that keeps to real time and in which every answer is right. Each key is a history of its
 * own (Herlihy and Wing: linearizability is local). A call that timed out may have happened at any
 * later time, or never. Judged beside check_history.h, which reads the order from the log: two
 * oracles that share nothing. */
#ifndef KVRAFT_TEST_SIM_CHECK_LINEAR_H
#define KVRAFT_TEST_SIM_CHECK_LINEAR_H

#include "check.h"

enum { LINEAR_READ = 0, LINEAR_WRITE = 1, LINEAR_SWAP = 2, LINEAR_NOTHING = 3 };

/* A call on one register. Values are numbers; 0: there is none. */
typedef struct linear_call {
    uint64_t begin_ns;
    uint64_t end_ns;   /* UINT64_MAX: nobody knows whether it happened */
    uint64_t value;    /* WRITE, SWAP: written; READ: seen */
    uint64_t expected; /* SWAP: written only if this stood there */
    uint8_t kind;      /* LINEAR_* */
    bool swapped;      /* SWAP, answered: it was there */
    uint8_t reserved[6];
} linear_call;

typedef struct linear_register {
    linear_call *calls;
    uint32_t count, capacity;
} linear_register;

enum { LINEAR_YES, LINEAR_NO, LINEAR_UNKNOWN }; /* the last: more than `steps_max` steps */

/* An answered one for which nothing was done (refused) is not added. */
void linear_add(linear_register *history, const linear_call *call);
/* Sorts the calls, and drops those that make no difference. */
uint32_t linear_judge(linear_register *history, uint64_t steps_max);

#endif
