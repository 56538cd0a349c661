/* SPDX-License-Identifier: Apache-2.0 */
/* fault_sweep.h: one countdown in front of everything that can fail. The allocator of test_alloc.h
 * asks it for each allocation, a test's disk for each file call; the n-th one fails, once or from
 * then on.
 *
 *     FAULT_SWEEP(setup(&f), f.status = kvr_lease_book_grant(...), check(&f));
 *
 * runs the three again and again, the 1st, 2nd, 3rd ... allocation of the body failing, until a
 * body runs through without meeting its fault; first with faults that pass, then with faults that
 * stay. The three are expressions or { blocks } without a comma outside parentheses. `check` runs
 * with faults off and asks fault_fired() whether this body met one: if not, it must have
 * succeeded. */
#ifndef KVRAFT_TEST_SUPPORT_FAULT_SWEEP_H
#define KVRAFT_TEST_SUPPORT_FAULT_SWEEP_H

#include <stdbool.h>
#include <stdint.h>

/* Which calls count: a bit each, so that one sweep may go over both. */
enum {
    FAULT_ALLOC = 1, /* allocations and reallocations of any test_alloc */
    FAULT_DISK = 2   /* file or storage calls of a test's own table */
};

/* Asked by whatever can fail, once a call: true if this call must fail. */
bool fault_hits(uint32_t kind);

/* Arms by hand: the nth call of these kinds from now on fails (nth >= 1), once or for ever. */
void fault_arm(uint32_t kinds, uint64_t nth, bool for_ever);
void fault_disarm(void);

/* How many calls failed since the last arming. */
uint64_t fault_fired(void);

/* "call 7 fails for ever", for the message of an assertion. Lends until the next fault_ call. */
const char *fault_text(void);

typedef struct fault_sweep {
    uint32_t kinds;
    bool for_ever;
    uint64_t nth;
} fault_sweep;

fault_sweep fault_sweep_begin(uint32_t kinds);
bool fault_sweep_next(fault_sweep *sweep);
void fault_sweep_arm(const fault_sweep *sweep);

#define FAULT_SWEEP_OF(kinds, prepare, body, check)                                       \
    do {                                                                                  \
        for (fault_sweep sweep_ = fault_sweep_begin(kinds); fault_sweep_next(&sweep_);) { \
            prepare;                                                                      \
            fault_sweep_arm(&sweep_);                                                     \
            body;                                                                         \
            fault_disarm();                                                               \
            check;                                                                        \
        }                                                                                 \
    } while (0)

#define FAULT_SWEEP(prepare, body, check) FAULT_SWEEP_OF(FAULT_ALLOC, prepare, body, check)

#endif
