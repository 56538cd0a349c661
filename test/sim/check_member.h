/* SPDX-License-Identifier: Apache-2.0 */
/* check_member.h: R11: quorums are counted in the configuration that the member's log prescribes.
 * The checker reads configurations from what members write (entries, snapshots), by a decoder of
 * its own, and holds against them what a member counts in, and what a leader calls committed. */
#ifndef KVRAFT_TEST_SIM_CHECK_MEMBER_H
#define KVRAFT_TEST_SIM_CHECK_MEMBER_H

#include <kvraft/raft.h>

#include "check.h"

/* Sets of members, by bits: member i (0-based) is bit i. */
typedef struct check_configuration {
    uint64_t index;
    uint64_t term;
    uint32_t incoming; /* who votes */
    uint32_t outgoing; /* who does in the other half of a joint one; 0: it is not joint */
} check_configuration;

typedef struct check_members {
    check_report *report;
    check_configuration *items; /* in the order in which they were seen */
    uint32_t count, capacity;
    uint32_t member_count;
    uint32_t reserved;
} check_members;

void check_members_init(check_members *check, uint32_t member_count, check_report *report);
void check_members_release(check_members *check);

/* An entry, or a snapshot, at `index` of `term` holds this configuration. */
void check_members_saw(check_members *check, uint64_t index, uint64_t term,
                       const kvr_slice *encoded);

/* That of the new group for index 0; NULL: nobody wrote one there. */
const check_configuration *check_members_find(check_members *check, uint64_t index, uint64_t term);

/* True if those in `have` are a majority, in both halves of a joint one. */
bool check_members_is_quorum(const check_configuration *of, uint32_t have);

/* `member` counts in what stands at `index` of `term`: so `configured`. */
void check_members_use(check_members *check, uint32_t member, uint64_t index, uint64_t term,
                       const kvr_raft_progress *configured, uint32_t count);

#endif
