/* SPDX-License-Identifier: Apache-2.0 */
/* test_raft_quorum.c: the majorities of raft_quorum.c against brute force over every subset. */
#include <criterion/criterion.h>

#include "base/random.h"
#include "raft/raft_quorum.h"

enum { SIZE_MAX_TESTED = 9 };

/* The largest value v such that some majority has only values >= v: over every subset. */
static uint64_t brute_reached(const uint64_t *values, uint32_t count)
{
    uint64_t best = 0;
    for (uint32_t set = 0; set < 1U << count; set++) {
        uint32_t members = 0;
        uint64_t least = UINT64_MAX;
        for (uint32_t i = 0; i < count; i++) {
            if ((set >> i & 1) != 0) {
                members++;
                least = values[i] < least ? values[i] : least;
            }
        }
        if (2 * members > count && least > best) {
            best = least;
        }
    }
    return best;
}

/* FAULTS 36: off by one in clusters of even size. */
Test(raft_quorum, reached_index_is_that_of_some_majority_for_all_sizes)
{
    kvr__random random;
    kvr__random_init(&random, 1);
    for (uint32_t count = 1; count <= SIZE_MAX_TESTED; count++) {
        for (int round = 0; round < 500; round++) {
            uint64_t values[SIZE_MAX_TESTED];
            uint64_t copy[SIZE_MAX_TESTED];
            for (uint32_t i = 0; i < count; i++) {
                values[i] = kvr__random_below(&random, 6);
                copy[i] = values[i];
            }

            uint64_t reached = kvr__raft_quorum_reached(copy, count);

            cr_assert_eq(reached, brute_reached(values, count), "seed 1, size %u", count);
        }
    }
}

Test(raft_quorum, no_voters_hold_nothing_back)
{
    uint64_t none[1] = {0};

    cr_assert_eq(kvr__raft_quorum_reached(none, 0), UINT64_MAX);
    cr_assert_eq(kvr__raft_quorum_vote(0, 0, 0), KVR__RAFT_VOTE_WON);
}

/* FAULTS 36: an election is won by more than half, lost when more than half can no longer be
 * had. */
Test(raft_quorum, election_is_decided_exactly_when_the_rest_cannot_change_it)
{
    for (uint32_t count = 1; count <= SIZE_MAX_TESTED; count++) {
        for (uint32_t granted = 0; granted <= count; granted++) {
            for (uint32_t refused = 0; granted + refused <= count; refused++) {
                bool won = 2 * granted > count;
                bool lost = 2 * (count - refused) <= count;

                uint8_t result = kvr__raft_quorum_vote(count, granted, refused);

                cr_assert_eq(result,
                             won    ? KVR__RAFT_VOTE_WON
                             : lost ? KVR__RAFT_VOTE_LOST
                                    : KVR__RAFT_VOTE_PENDING,
                             "%u of %u, %u against", granted, count, refused);
            }
        }
    }
}

/* Two majorities of one configuration meet in a member: that is all that safety rests on. */
Test(raft_quorum, any_two_majorities_intersect)
{
    for (uint32_t count = 1; count <= SIZE_MAX_TESTED; count++) {
        for (uint32_t a = 0; a < 1U << count; a++) {
            uint32_t votes = (uint32_t)__builtin_popcount(a);
            if (kvr__raft_quorum_vote(count, votes, 0) == KVR__RAFT_VOTE_WON) {
                uint32_t others = count - votes;
                cr_assert_neq(kvr__raft_quorum_vote(count, others, 0), KVR__RAFT_VOTE_WON);
            }
        }
    }
}

/* Thesis 4.3: a joint configuration needs both majorities. */
Test(raft_quorum, joint_needs_both_majorities)
{
    const uint8_t won = KVR__RAFT_VOTE_WON;
    const uint8_t lost = KVR__RAFT_VOTE_LOST;
    const uint8_t pending = KVR__RAFT_VOTE_PENDING;

    cr_assert_eq(kvr__raft_quorum_joint(won, won), won);
    cr_assert_eq(kvr__raft_quorum_joint(won, pending), pending);
    cr_assert_eq(kvr__raft_quorum_joint(pending, won), pending);
    cr_assert_eq(kvr__raft_quorum_joint(pending, pending), pending);
    cr_assert_eq(kvr__raft_quorum_joint(won, lost), lost);
    cr_assert_eq(kvr__raft_quorum_joint(lost, pending), lost);
    cr_assert_eq(kvr__raft_quorum_joint(lost, lost), lost);
}
