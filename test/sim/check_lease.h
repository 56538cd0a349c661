/* SPDX-License-Identifier: Apache-2.0 */
/* check_lease.h: leases as their holders see them. L2: none ends by itself before its TTL since the
 * last renewal that was acknowledged, counted from the moment the renewal was asked for, on a clock
 * as fast as a member's can be, and that jumps when one does. L4: one that nobody renews ends. L5:
 * a renewal that began after the end was known does not succeed; one of a lease that lives is not
 * told that there is none. */
#ifndef KVRAFT_TEST_SIM_CHECK_LEASE_H
#define KVRAFT_TEST_SIM_CHECK_LEASE_H

#include "check_history.h"

typedef struct held_lease {
    int64_t id;
    uint64_t granted_index; /* ids may be used again */
    uint64_t ttl_ns;
    uint64_t renewed_ns; /* the latest acknowledged renewal was asked for then */
    uint64_t jumped_ns;  /* by how much clocks had jumped by then */
    bool judged_late;
    uint8_t reserved[7];
} held_lease;

typedef struct check_lease {
    check_store *store;
    check_report *report;
    uint32_t drift_ppm; /* of the members' clocks */
    uint32_t count;
    uint64_t jumped_ns; /* all jumps of members' clocks, added up */
    held_lease *items;
    uint32_t capacity;
    uint32_t reserved;
} check_lease;

void check_lease_init(check_lease *check, check_store *store, uint32_t drift_ppm,
                      check_report *report);
void check_lease_release(check_lease *check);
/* A member's clock went ahead: a lease may end so much sooner. */
void check_lease_jumped(check_lease *check, uint64_t span_ns);
void check_lease_complete(check_lease *check, const history_call *call,
                          const kvr_completion *completion);

/* Now and then, and at the end: those that ended. */
void check_lease_ended(check_lease *check);

/* For `quiet_ns` the cluster was healthy and nobody renewed anything: all leases are over whose TTL
 * allows it. */
void check_lease_quiet(check_lease *check, uint64_t now_ns, uint64_t quiet_ns,
                       uint64_t election_ns);

#endif
