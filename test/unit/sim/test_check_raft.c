/* SPDX-License-Identifier: Apache-2.0 */
/* test_check_raft.c: each invariant of Raft is seen when a hand-made history breaks it, and a sound
 * one passes. */
#include <criterion/criterion.h>

#include "check_fixture.h"

TestSuite(check_raft, .init = fixture_setup, .fini = fixture_teardown);

static const uint64_t ones[] = {1, 1, 1, 1, 1, 1, 1, 1};
static const uint64_t twos[] = {2, 2, 2, 2};

Test(check_raft, a_sound_history_passes)
{
    say_begun(3);
    say_message(0, &(said){WIRE_APPEND, 2, 1, 3, 1, 0});
    say_message(1, &(said){WIRE_APPEND_REPLY, 1, 1, 3, 0, 0});
    say_status(1, &(shown){KVR_ROLE_FOLLOWER, 1, 3, 3, 3, 3, 0}, 0);
    say_message(1, &(said){WIRE_PREVOTE, 3, 1, 3, 1, 0});
    say_status(2, &(shown){KVR_ROLE_FOLLOWER, 1, 2, 2, 3, 3, 0}, 0);
    say_message(2, &(said){WIRE_PREVOTE_REPLY, 2, 1, 2, 0, 1});
    say_status(2, &(shown){KVR_ROLE_FOLLOWER, 1, 2, 2, 3, 3, 0}, WIRE_PREVOTE);
    say_vote(1, 2, 2);
    say_flushed(1);
    say_message(1, &(said){WIRE_VOTE, 3, 2, 3, 1, 0});
    say_vote(2, 2, 2);
    say_flushed(2);
    say_message(2, &(said){WIRE_VOTE_REPLY, 2, 2, 2, 0, 1});
    say_status(1, &(shown){KVR_ROLE_LEADER, 2, 3, 3, 3, 3, 2}, 0);
    say_append(1, 4, 1, twos, 0);
    say_append(2, 4, 1, twos, 0);
    say_flushed(1);
    say_flushed(2);
    say_status(1, &(shown){KVR_ROLE_LEADER, 2, 4, 4, 4, 4, 2}, 0);
    EXPECT_NONE();
    cr_assert_eq(raft.committed_index, 4);
}

Test(check_raft, R1_two_leaders_in_one_term)
{
    say_begun(1);
    say_status(1, &(shown){KVR_ROLE_LEADER, 1, 1, 1, 1, 1, 2}, 0);
    EXPECT_VIOLATION("R1");
}

Test(check_raft, R1_is_seen_in_messages_too)
{
    say_begun(1);
    say_message(1, &(said){WIRE_HEARTBEAT, 1, 1, 1, 0, 0});
    EXPECT_VIOLATION("R1");
}

Test(check_raft, R2_a_leader_drops_its_own_entry)
{
    say_begun(2);
    say_append(0, 3, 2, ones, 0);
    say_flushed(0);
    say_status(0, &(shown){KVR_ROLE_LEADER, 1, 2, 2, 4, 4, 1}, 0);
    say_append(0, 4, 1, twos, 0);
    EXPECT_VIOLATION("R2");
}

Test(check_raft, R3_one_index_and_term_with_two_contents)
{
    say_begun(1);
    say_append(1, 2, 1, ones, 1);
    say_append(2, 2, 1, ones, 2);
    EXPECT_VIOLATION("R3");
}

Test(check_raft, R3_one_entry_behind_two_others)
{
    const uint64_t mixed[] = {1, 3};
    const uint64_t other[] = {2, 3};
    say_append(0, 1, 2, mixed, 0);
    say_append(1, 1, 2, other, 0);
    EXPECT_VIOLATION("R3");
}

/* Raft, Figure 8: an entry of an older term is not committed by counting. */
Test(check_raft, R4_a_leader_commits_an_entry_of_an_older_term)
{
    say_begun(1);
    for (uint32_t i = 0; i < 3; i++) {
        say_append(i, 2, 1, ones, 0);
        say_vote(i, 2, i == 1 ? 2 : 0);
        say_flushed(i);
    }
    say_status(1, &(shown){KVR_ROLE_LEADER, 2, 2, 2, 2, 2, 2}, 0);
    EXPECT_VIOLATION("R4");
}

Test(check_raft, R4_a_leader_without_a_committed_entry)
{
    say_begun(2);
    say_append(0, 3, 1, ones, 0);
    say_append(1, 3, 1, ones, 0);
    say_flushed(0);
    say_flushed(1);
    say_status(0, &(shown){KVR_ROLE_LEADER, 1, 3, 3, 3, 3, 1}, 0);
    EXPECT_NONE();
    say_vote(2, 2, 3);
    say_flushed(2);
    say_status(2, &(shown){KVR_ROLE_LEADER, 2, 2, 2, 2, 2, 3}, 0);
    EXPECT_VIOLATION("R4");
}

Test(check_raft, R5_a_follower_that_takes_another_entry_for_committed)
{
    say_begun(2);
    say_append(0, 3, 1, ones, 0);
    say_append(1, 3, 1, ones, 0);
    say_append(2, 3, 1, twos, 0);
    say_flushed(0);
    say_flushed(1);
    say_flushed(2);
    say_status(0, &(shown){KVR_ROLE_LEADER, 1, 3, 3, 3, 3, 1}, 0);
    say_status(2, &(shown){KVR_ROLE_FOLLOWER, 2, 3, 3, 3, 3, 0}, 0);
    EXPECT_VIOLATION("R5");
}

Test(check_raft, R5_a_leader_commits_over_a_committed_entry)
{
    say_begun(2);
    for (uint32_t i = 1; i < 3; i++) {
        say_vote(i, 3, i == 1 ? 2 : 0);
        say_flushed(i);
        ghosts->members[i].view.last = 1; /* as if the disk had lost entry 2 */
        ghosts->members[i].durable.last = 1;
        say_append(i, 2, 1, twos, 0);
        say_append(i, 3, 1, &(uint64_t){3}, 0);
        say_flushed(i);
    }
    raft.members[1].complete_term = 3; /* R4 would tell first */
    say_status(1, &(shown){KVR_ROLE_LEADER, 3, 3, 3, 3, 3, 2}, 0);
    EXPECT_VIOLATION("R5");
}

Test(check_raft, R5_a_snapshot_of_what_is_not_committed)
{
    say_begun(2);
    say_append(1, 3, 1, ones, 0);
    say_flushed(1);
    say_snapshot(1, 3, 1);
    EXPECT_VIOLATION("R5");
}

/* FAULTS 26: a late append truncated a matching suffix. */
Test(check_raft, R6_a_committed_entry_is_dropped)
{
    say_begun(3);
    say_append(1, 2, 1, ones, 0);
    EXPECT_VIOLATION("R6");
}

Test(check_raft, R6_an_acknowledged_entry_is_dropped_in_the_same_term)
{
    say_begun(2);
    say_append(1, 3, 2, ones, 0);
    say_flushed(1);
    say_status(1, &(shown){KVR_ROLE_FOLLOWER, 1, 2, 2, 4, 4, 0}, 0);
    say_message(1, &(said){WIRE_APPEND_REPLY, 1, 1, 4, 0, 0});
    say_append(1, 3, 1, ones, 0);
    EXPECT_VIOLATION("R6");
}

Test(check_raft, R6_a_conflict_with_a_later_leader_is_no_violation)
{
    say_begun(2);
    say_append(1, 3, 2, ones, 0);
    say_flushed(1);
    say_status(1, &(shown){KVR_ROLE_FOLLOWER, 1, 2, 2, 4, 4, 0}, 0);
    say_message(1, &(said){WIRE_APPEND_REPLY, 1, 1, 4, 0, 0});
    say_vote(1, 2, 0);
    say_flushed(1);
    say_status(1, &(shown){KVR_ROLE_FOLLOWER, 2, 2, 2, 4, 4, 0}, 0);
    say_append(1, 3, 1, twos, 0);
    EXPECT_NONE();
}

Test(check_raft, R7_applied_beyond_commit)
{
    say_begun(3);
    say_status(1, &(shown){KVR_ROLE_FOLLOWER, 1, 2, 3, 3, 3, 0}, 0);
    EXPECT_VIOLATION("R7");
}

Test(check_raft, R7_applied_goes_back)
{
    say_begun(3);
    say_status(1, &(shown){KVR_ROLE_FOLLOWER, 1, 3, 3, 3, 3, 0}, 0);
    say_status(1, &(shown){KVR_ROLE_FOLLOWER, 1, 3, 2, 3, 3, 0}, 0);
    EXPECT_VIOLATION("R7");
}

/* FAULTS 19 */
Test(check_raft, R8_commit_goes_back)
{
    say_begun(3);
    say_status(1, &(shown){KVR_ROLE_FOLLOWER, 1, 3, 2, 3, 3, 0}, 0);
    say_status(1, &(shown){KVR_ROLE_FOLLOWER, 1, 2, 2, 3, 3, 0}, 0);
    EXPECT_VIOLATION("R8");
}

/* FAULTS 37 */
Test(check_raft, R8_a_leader_commits_what_a_minority_has)
{
    say_begun(1);
    say_append(0, 2, 1, ones, 0);
    say_append(1, 2, 1, ones, 0);
    say_flushed(0);
    say_status(0, &(shown){KVR_ROLE_LEADER, 1, 2, 1, 2, 2, 1}, 0);
    EXPECT_VIOLATION("R8");
}

/* FAULTS 18 */
Test(check_raft, R8_a_follower_commits_before_any_leader)
{
    say_begun(1);
    say_append(1, 2, 1, ones, 0);
    say_flushed(1);
    say_status(1, &(shown){KVR_ROLE_FOLLOWER, 1, 2, 1, 2, 2, 0}, 0);
    EXPECT_VIOLATION("R8");
}

/* FAULTS 1 */
Test(check_raft, R9_two_votes_in_one_term)
{
    say_vote(0, 1, 1);
    say_flushed(0);
    say_vote(0, 1, 0);
    EXPECT_VIOLATION("R9");
}

/* FAULTS 6 */
/* A vote whose answer a crash took is a vote all the same. */
Test(check_raft, R9_a_vote_that_was_found_again_counts)
{
    say_vote(0, 1, 1);
    say_crashed(0);
    say_loaded(0, &(load){1, 1, 1, 1, 0, 0, 0});
    EXPECT_NONE();
    say_vote(0, 1, 3);
    EXPECT_VIOLATION("R9");
}

Test(check_raft, R9_the_term_goes_back)
{
    say_vote(0, 5, 0);
    say_flushed(0);
    say_vote(0, 4, 0);
    EXPECT_VIOLATION("R9");
}

Test(check_raft, R9_a_status_goes_back)
{
    say_begun(1);
    say_status(1, &(shown){KVR_ROLE_FOLLOWER, 3, 1, 1, 1, 1, 0}, 0);
    say_status(1, &(shown){KVR_ROLE_FOLLOWER, 2, 1, 1, 1, 1, 0}, 0);
    EXPECT_VIOLATION("R9");
}

/* FAULTS 20 */
Test(check_raft, R10_match_goes_back)
{
    say_begun(3);
    check_raft_progress(&raft, 0, &(kvr_raft_progress){.id = 2, .match = 3, .next = 4});
    EXPECT_NONE();
    check_raft_progress(&raft, 0, &(kvr_raft_progress){.id = 2, .match = 2, .next = 4});
    EXPECT_VIOLATION("R10");
}

/* FAULTS 21 */
Test(check_raft, R10_next_is_not_above_match)
{
    say_begun(3);
    check_raft_progress(&raft, 0, &(kvr_raft_progress){.id = 2, .match = 3, .next = 3});
    EXPECT_VIOLATION("R10");
}

Test(check_raft, R10_a_leader_believes_in_an_entry_that_is_not_there)
{
    say_begun(3);
    say_append(0, 4, 1, ones, 0);
    say_flushed(0);
    check_raft_progress(&raft, 0, &(kvr_raft_progress){.id = 2, .match = 4, .next = 5});
    EXPECT_VIOLATION("R10");
}

/* What a deposed leader believes was true when it was told. */
Test(check_raft, a_follower_of_a_later_leader_may_have_replaced_what_the_older_one_knew)
{
    say_begun(3);
    say_append(0, 4, 1, ones, 0);
    say_flushed(0);
    say_vote(1, 2, 2);
    say_flushed(1);
    check_raft_progress(&raft, 0, &(kvr_raft_progress){.id = 2, .match = 4, .next = 5});
    EXPECT_NONE();
}

Test(check_raft, R12_a_vote_for_a_log_that_is_behind)
{
    say_begun(3);
    say_vote(1, 2, 2);
    say_flushed(1);
    say_message(1, &(said){WIRE_VOTE, 3, 2, 2, 1, 0});
    say_vote(2, 2, 2);
    EXPECT_VIOLATION("R12");
}

/* A slow disk: decided before, written after the candidate led and sent its log. */
Test(check_raft, a_vote_for_who_leads_already_may_come_late)
{
    say_begun(3);
    say_vote(1, 2, 2);
    say_flushed(1);
    say_message(1, &(said){WIRE_VOTE, 3, 2, 2, 1, 0});
    say_status(1, &(shown){KVR_ROLE_LEADER, 2, 3, 3, 3, 3, 2}, 0);
    say_vote(2, 2, 2);
    EXPECT_NONE();
}

Test(check_raft, R12_a_vote_for_who_did_not_ask)
{
    say_begun(3);
    say_vote(2, 2, 2);
    EXPECT_VIOLATION("R12");
}

Test(check_raft, R12_a_prevote_changes_the_term)
{
    say_begun(3);
    say_status(1, &(shown){KVR_ROLE_FOLLOWER, 1, 3, 3, 3, 3, 0}, 0);
    say_status(1, &(shown){KVR_ROLE_FOLLOWER, 2, 3, 3, 3, 3, 0}, WIRE_PREVOTE);
    EXPECT_VIOLATION("R12");
}

/* FAULTS 2 */
Test(check_raft, W9_a_vote_is_granted_before_it_is_durable)
{
    say_begun(1);
    say_vote(1, 2, 2);
    say_flushed(1);
    say_message(1, &(said){WIRE_VOTE, 3, 2, 1, 1, 0});
    say_vote(2, 2, 2);
    say_message(2, &(said){WIRE_VOTE_REPLY, 2, 2, 2, 0, 1});
    EXPECT_VIOLATION("W9");
}

Test(check_raft, W9_a_campaign_before_the_own_vote_is_durable)
{
    say_begun(1);
    say_vote(1, 2, 2);
    say_message(1, &(said){WIRE_VOTE, 3, 2, 1, 1, 0});
    EXPECT_VIOLATION("W9");
}

Test(check_raft, W9_an_acknowledgement_before_the_flush)
{
    say_begun(1);
    say_append(1, 2, 1, ones, 0);
    say_message(1, &(said){WIRE_APPEND_REPLY, 1, 1, 2, 0, 0});
    EXPECT_VIOLATION("W9");
}

/* FAULTS 29: a late completion of overwritten entries does not make their successors durable. */
Test(check_raft, W9_an_acknowledgement_of_what_is_being_replaced)
{
    say_begun(1);
    say_append(1, 2, 2, ones, 0);
    say_flushed(1);
    say_vote(1, 2, 0);
    say_flushed(1);
    say_append(1, 2, 2, twos, 0);
    say_message(1, &(said){WIRE_APPEND_REPLY, 1, 2, 3, 0, 0});
    EXPECT_VIOLATION("W9");
}

Test(check_raft, W9_a_message_of_a_term_that_is_not_durable)
{
    say_begun(1);
    say_message(1, &(said){WIRE_HEARTBEAT_REPLY, 1, 2, 0, 0, 0});
    EXPECT_VIOLATION("W9");
}

Test(check_raft, W9_a_snapshot_is_said_to_be_installed_too_early)
{
    say_begun(1);
    say_message(1, &(said){WIRE_SNAPSHOT_REPLY, 1, 1, 9, 1, 1});
    EXPECT_VIOLATION("W9");
}

/* FAULTS 30 */
Test(check_raft, W3_a_member_takes_for_durable_what_is_not)
{
    say_begun(1);
    say_append(1, 2, 1, ones, 0);
    say_status(1, &(shown){KVR_ROLE_FOLLOWER, 1, 1, 1, 2, 2, 0}, 0);
    EXPECT_VIOLATION("W3");
}

Test(check_raft, W3_an_append_that_leaves_a_gap)
{
    say_begun(1);
    say_append(1, 3, 1, ones, 0);
    EXPECT_VIOLATION("W3");
}

Test(check_raft, R11_a_quorum_of_other_members)
{
    kvr_raft_progress members[] = {{.id = 1}, {.id = 2}, {.id = 3}};
    check_raft_configuration(&raft, 0, 0, members, FIXTURE_MEMBERS);
    EXPECT_NONE();
    members[2].role = KVR_MEMBER_LEARNER;
    check_raft_configuration(&raft, 0, 0, members, FIXTURE_MEMBERS);
    EXPECT_VIOLATION("R11");
}

/* FAULTS 48: from the entry on, the entry's; a joint one needs both of its majorities. */
Test(check_raft, R11_quorums_of_configurations_that_were_written)
{
    const kvr_member members[] = {{.id = 1}, {.id = 2, .role = KVR_MEMBER_LEARNER}, {.id = 3}};
    uint8_t bytes[256];
    size_t size = 0;
    cr_assert_eq(kvr_configuration_write(members, 3, 0, bytes, sizeof bytes, &size), KVR_OK);
    kvr_slice encoded = {bytes, size};

    check_members_saw(&raft.configurations, 7, 2, &encoded);

    const check_configuration *of = check_members_find(&raft.configurations, 7, 2);
    cr_assert_not_null(of);
    cr_assert(check_members_is_quorum(of, 1 | 4));
    cr_assert(!check_members_is_quorum(of, 1 | 2), "a learner is counted in nothing");
    cr_assert_null(check_members_find(&raft.configurations, 7, 3));
    check_configuration joint = {.incoming = 1 | 4, .outgoing = 1 | 2 | 4};
    cr_assert(check_members_is_quorum(&joint, 1 | 4));
    joint.outgoing = 2;
    cr_assert(!check_members_is_quorum(&joint, 1 | 4));
    EXPECT_NONE();
    bytes[sizeof bytes - 1] = 0;
    kvr_slice other = {bytes, size};
    bytes[56 + 2] = KVR_MEMBER_LEARNER; /* member 1's role */
    check_members_saw(&raft.configurations, 7, 2, &other);
    EXPECT_VIOLATION("R11");
}

Test(check_raft, R11_a_quorum_of_fewer_members)
{
    const kvr_raft_progress members[] = {{.id = 1}, {.id = 2}};
    check_raft_configuration(&raft, 1, 0, members, 2);
    EXPECT_VIOLATION("R11");
}
