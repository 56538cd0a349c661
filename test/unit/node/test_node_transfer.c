/* SPDX-License-Identifier: Apache-2.0 */
/* test_node_transfer.c: leadership that goes from one member to another in order: because the host
 * asks, because a member stops, because a disk is bad, because another one has a higher priority.
 * The measure is time: an election timeout is one second here, and none of these may wait for
 * it. */
#include "node_cluster.h"

#include <criterion/criterion.h>

static cluster c;

static void start(void)
{
    cluster_start(&c, 3);
}

static void stop(void)
{
    cluster_stop(&c);
}

TestSuite(node_transfer, .init = start, .fini = stop);

static uint32_t transfer(uint32_t i, uint64_t to)
{
    kvr_node_call options;
    uint32_t call = cluster_call(&c, &options, 0);
    cr_assert_eq(kvr_node_transfer_leader(c.members[i].node, &options, to), KVR_OK);
    return call;
}

static uint32_t other_than(uint32_t a, uint32_t b)
{
    return 3 - a - b;
}

/* FAULTS 9, 14. */
Test(node_transfer, a_named_member_leads_at_once_and_no_write_is_lost)
{
    uint32_t old = cluster_leader(&c);
    uint32_t next = cluster_follower(&c);
    uint32_t before = cluster_put(&c, old, "a", "1");
    uint32_t call = transfer(old, next + 1);
    uint32_t meanwhile = cluster_put(&c, old, "b", "2");
    cluster_settle(&c);

    cluster_expect(&c, call, KVR_OUTCOME_DONE, KVR_OK);
    cr_assert_eq(cluster_leader(&c), next);
    cluster_expect(&c, before, KVR_OUTCOME_DONE, KVR_OK);
    cluster_expect(&c, meanwhile, KVR_OUTCOME_DONE, KVR_OK);
    cluster_expect_same(&c);
}

Test(node_transfer, refusals_say_why)
{
    uint32_t leader = cluster_leader(&c);
    uint32_t follower = cluster_follower(&c);
    uint32_t by_follower = transfer(follower, leader + 1);
    uint32_t unknown = transfer(leader, 9);
    uint32_t to_itself = transfer(leader, leader + 1);
    cluster_settle(&c);

    cluster_expect(&c, by_follower, KVR_OUTCOME_REFUSED, KVR_ENOLEADER);
    cluster_expect(&c, unknown, KVR_OUTCOME_REFUSED, KVR_ENOTFOUND);
    cluster_expect(&c, to_itself, KVR_OUTCOME_DONE, KVR_OK);
    cr_assert_eq(cluster_leader(&c), leader);
}

/* FAULTS 14: writes wait while it is tried, and go on when it is given up. */
Test(node_transfer, one_that_comes_to_nothing_ends_after_an_election_timeout)
{
    uint32_t leader = cluster_leader(&c);
    uint32_t dead = cluster_follower(&c);
    c.members[dead].cut = true;
    uint32_t call = transfer(leader, dead + 1);
    uint32_t other = transfer(leader, other_than(leader, dead) + 1);
    uint32_t put = cluster_put(&c, leader, "a", "1");
    cluster_pass(&c, 800 * MILLISECOND);
    cr_assert_not(cluster_ended(&c, put));
    cluster_expect(&c, other, KVR_OUTCOME_REFUSED, KVR_EBUSY);
    cluster_pass(&c, 500 * MILLISECOND);

    cluster_expect(&c, call, KVR_OUTCOME_UNKNOWN, KVR_EUNKNOWN);
    cluster_expect(&c, put, KVR_OUTCOME_DONE, KVR_OK);
    cr_assert_eq(cluster_leader(&c), leader);
}

Test(node_transfer, a_leader_that_closes_leaves_no_gap)
{
    uint32_t old = cluster_leader(&c);
    uint64_t now = c.now;
    cr_assert_eq(kvr_node_close(c.members[old].node), KVR_OK);
    cluster_settle(&c);
    uint32_t next = cluster_leader(&c);
    uint32_t put = cluster_put(&c, next, "a", "1");
    cluster_settle(&c);

    cr_assert_neq(next, old);
    cr_assert_eq(c.now, now, "time passed");
    cluster_expect(&c, put, KVR_OUTCOME_DONE, KVR_OK);
}

/* Fail-stop: a disk that fails ends the member, and the cluster does not wait to find out. */
Test(node_transfer, a_leader_whose_disk_fails_leaves_no_gap)
{
    uint32_t old = cluster_leader(&c);
    uint64_t now = c.now;
    c.members[old].disk.broken = true;
    (void)cluster_put(&c, old, "a", "1");
    cluster_settle(&c);

    cr_assert_eq(cluster_status(&c, old).failure, KVR_FSTORAGE);
    cr_assert_neq(cluster_leader(&c), old);
    cr_assert_eq(c.now, now, "time passed");
    cluster_put(&c, cluster_leader(&c), "a", "1");
    cluster_settle(&c);
    cr_assert_str_eq(cluster_value(&c, cluster_leader(&c), "a"), "1");
}

Test(node_transfer, a_leader_whose_disk_hangs_leads_no_longer)
{
    uint32_t old = cluster_leader(&c);
    c.members[old].disk.holds = true;
    uint32_t put = cluster_put(&c, old, "a", "1");
    cluster_pass(&c, 2 * SECOND);

    cr_assert_neq(cluster_leader(&c), old);
    cr_assert_gt(cluster_status(&c, old).raft.flush_age_ns, 0);
    cluster_expect(&c, put, KVR_OUTCOME_DONE, KVR_OK); /* by the others' disks */
    put = cluster_put(&c, cluster_leader(&c), "a", "2");
    cluster_settle(&c);
    cluster_expect(&c, put, KVR_OUTCOME_DONE, KVR_OK);

    disk_release(&c, old);
    cluster_pass(&c, 1 * SECOND);
    cluster_expect_same(&c);
}

Test(node_transfer, a_full_disk_does_not_lead_where_others_have_room)
{
    uint32_t old = cluster_leader(&c);
    c.members[old].disk.full = true;
    uint32_t put = cluster_put(&c, old, "a", "1");
    cluster_pass(&c, 4 * SECOND);

    cr_assert_neq(cluster_leader(&c), old);
    cluster_expect(&c, put, KVR_OUTCOME_DONE, KVR_OK);
    c.members[old].disk.full = false;
    cluster_pass(&c, 1 * SECOND);
    cluster_expect_same(&c);
}

Test(node_transfer, the_member_of_highest_priority_leads_if_it_can)
{
    uint32_t old = cluster_leader(&c);
    uint32_t next = cluster_follower(&c);
    cr_assert_eq(kvr_node_set_priority(c.members[next].node, 10), KVR_OK);
    cluster_pass(&c, 3 * SECOND);
    cr_assert_eq(cluster_leader(&c), next);

    c.members[next].cut = true;
    uint32_t put = cluster_put(&c, old, "a", "1");
    cluster_pass(&c, 4 * SECOND);
    cluster_expect(&c, put, KVR_OUTCOME_DONE, KVR_OK);
    cr_assert_neq(cluster_leader(&c), next);

    c.members[next].cut = false;
    cluster_pass(&c, 3 * SECOND);
    cr_assert_eq(cluster_leader(&c), next);
    cr_assert_str_eq(cluster_value(&c, next, "a"), "1");
}

Test(node_transfer, what_happened_is_counted)
{
    uint32_t old = cluster_leader(&c);
    uint32_t next = cluster_follower(&c);
    (void)transfer(old, next + 1);
    cluster_settle(&c);
    kvr_raft_counters counters = c.members[old].counters;

    cr_assert_eq(counters.transfers, 1);
    cr_assert_eq(counters.transfers_done, 1);
    cr_assert_eq(counters.transfers_given_up, 0);
    cr_assert_eq(counters.elections_won, 1);
    cr_assert_gt(counters.bytes_sent, 0);
    cr_assert_str_eq(kvr_raft_message_name(15), "transfer");
    cr_assert_eq(counters.messages_sent[15], 1);
    counters = c.members[next].counters;
    cr_assert_eq(counters.messages_received[15], 1);
    cr_assert_eq(counters.elections, 1);
    cr_assert_eq(counters.campaigns, 0, "no pre-vote was needed");
}
