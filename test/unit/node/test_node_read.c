/* SPDX-License-Identifier: Apache-2.0 */
/* test_node_read.c: linear reads on any member (thesis 6.4). */
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

TestSuite(node_read, .init = start, .fini = stop);

enum { READ_REPLY = 13 };

Test(node_read, a_read_on_a_follower_sees_what_was_acknowledged_before_it)
{
    uint32_t leader = cluster_leader(&c);
    uint32_t follower = cluster_follower(&c);
    c.drop_type = 5; /* the follower lags: it hears of no append */
    c.drop_to = follower + 1;
    uint32_t put = cluster_put(&c, leader, "a", "1");
    cluster_settle(&c);
    cluster_expect(&c, put, KVR_OUTCOME_DONE, KVR_OK);
    uint32_t read = cluster_read(&c, follower);
    cluster_pass(&c, 500 * MILLISECOND);
    cr_assert_not(cluster_ended(&c, read));
    c.drop_type = 0;
    cluster_pass(&c, 500 * MILLISECOND);

    cluster_expect(&c, read, KVR_OUTCOME_DONE, KVR_OK);
    cr_assert_str_eq(cluster_value(&c, follower, "a"), "1");
    cr_assert_eq(c.calls[read].revision, 2);
}

/* A leader that was deposed without knowing it confirms nothing. */
Test(node_read, a_deposed_leader_refuses_the_read)
{
    uint32_t old = cluster_leader(&c);
    c.members[old].cut = true;
    uint32_t read = cluster_read(&c, old);
    uint32_t next = cluster_elect(&c);
    uint32_t put = cluster_put(&c, next, "a", "2");
    cluster_pass(&c, 8 * SECOND);

    cluster_expect(&c, put, KVR_OUTCOME_DONE, KVR_OK);
    cr_assert(cluster_ended(&c, read));
    cr_assert_eq(c.calls[read].outcome, KVR_OUTCOME_REFUSED);
    cr_assert(c.calls[read].status == KVR_ETIMEDOUT || c.calls[read].status == KVR_ENOLEADER);
}

/* FAULTS 46: a read that was dropped on the way is asked again, with a fresh context (FAULTS
 * 42). */
Test(node_read, a_lost_answer_is_asked_for_again)
{
    uint32_t follower = cluster_follower(&c);
    c.drop_type = READ_REPLY;
    uint32_t read = cluster_read(&c, follower);
    cluster_pass(&c, 700 * MILLISECOND);
    cr_assert_not(cluster_ended(&c, read));
    c.drop_type = 0;
    cluster_pass(&c, 2 * SECOND);

    cluster_expect(&c, read, KVR_OUTCOME_DONE, KVR_OK);
}

/* FAULTS 46: read answered or failed, also when the leader goes. */
Test(node_read, a_read_goes_on_with_the_next_leader)
{
    uint32_t old = cluster_leader(&c);
    uint32_t follower = cluster_follower(&c);
    c.drop_type = READ_REPLY;
    uint32_t read = cluster_read(&c, follower);
    cluster_settle(&c);
    cluster_crash(&c, old);
    c.drop_type = 0;
    (void)cluster_elect(&c);
    cluster_pass(&c, 1 * SECOND);

    cluster_expect(&c, read, KVR_OUTCOME_DONE, KVR_OK);
}

Test(node_read, many_reads_share_rounds_and_all_end)
{
    uint32_t follower = cluster_follower(&c);
    for (uint32_t i = 0; i < 5000; i++) {
        (void)cluster_read(&c, follower);
        if (i % 500 == 0) {
            cluster_settle(&c);
        }
    }
    uint64_t before = c.delivered;
    cluster_pass(&c, 500 * MILLISECOND);

    for (uint32_t call = 0; call < c.call_count; call++) {
        cluster_expect(&c, call, KVR_OUTCOME_DONE, KVR_OK);
    }
    cr_assert_lt(c.delivered - before, 100);
}

/* Nobody writes: the log of the restarted member is whole, and the leader, who knows that, says
 * so. */
Test(node_read, a_member_that_restarts_catches_up_and_reads_though_nobody_writes)
{
    uint32_t follower = cluster_follower(&c);
    uint32_t put = cluster_put(&c, follower, "a", "1");
    cluster_pass(&c, 500 * MILLISECOND);
    cluster_expect(&c, put, KVR_OUTCOME_DONE, KVR_OK);
    cluster_crash(&c, follower);
    cluster_boot(&c, follower);
    uint32_t read = cluster_read(&c, follower);
    cluster_pass(&c, 2 * SECOND);

    cluster_expect(&c, read, KVR_OUTCOME_DONE, KVR_OK);
    cr_assert_str_eq(cluster_value(&c, follower, "a"), "1");
}

Test(node_read, a_read_without_a_leader_is_refused)
{
    uint32_t follower = cluster_follower(&c);
    for (uint32_t i = 0; i < 3; i++) {
        if (i != follower) {
            cluster_crash(&c, i);
        }
    }
    cluster_pass(&c, 5 * SECOND);
    uint32_t read = cluster_read(&c, follower);
    cluster_pass(&c, 8 * SECOND);

    cluster_expect(&c, read, KVR_OUTCOME_REFUSED, KVR_ENOLEADER);
}

/* FAULTS 44: after a restart a single member must not answer before it knows what it
 * acknowledged. */
Test(node_read_lone, a_lone_member_reads_its_writes_after_a_restart)
{
    cluster_start(&c, 1);
    uint32_t put = cluster_put(&c, 0, "a", "1");
    cluster_settle(&c);
    cluster_expect(&c, put, KVR_OUTCOME_DONE, KVR_OK);
    cluster_crash(&c, 0);
    cluster_boot(&c, 0);
    uint32_t read = cluster_read(&c, 0);
    cluster_pass(&c, 4 * SECOND);

    cluster_expect(&c, read, KVR_OUTCOME_DONE, KVR_OK);
    cr_assert_str_eq(cluster_value(&c, 0, "a"), "1");
    cluster_stop(&c);
}

/* ------------------------------------------------------------------ by lease, and of this copy */

static void start_with_lease(void)
{
    cluster_init(&c, 3);
    c.config.lease_ns = 1 * SECOND;
    for (uint32_t i = 0; i < 3; i++) {
        cluster_boot(&c, i);
    }
    (void)cluster_elect(&c);
    cluster_pass(&c, 300 * MILLISECOND);
}

TestSuite(node_read_lease, .init = start_with_lease, .fini = stop);

static uint32_t read_lease(uint32_t i)
{
    kvr_node_call options;
    uint32_t call = cluster_call(&c, &options, 0);
    cr_assert_eq(kvr_node_read_lease(c.members[i].node, &options), KVR_OK);
    return call;
}

static uint32_t read_stale(uint32_t i, uint64_t stale_ns_max)
{
    kvr_node_call options;
    uint32_t call = cluster_call(&c, &options, 0);
    cr_assert_eq(kvr_node_read_stale(c.members[i].node, &options, stale_ns_max), KVR_OK);
    return call;
}

Test(node_read_lease, a_leader_answers_alone)
{
    uint32_t leader = cluster_leader(&c);
    uint32_t put = cluster_put(&c, leader, "a", "1");
    cluster_settle(&c);
    cluster_expect(&c, put, KVR_OUTCOME_DONE, KVR_OK);
    c.members[leader].cut = true;
    uint32_t read = read_lease(leader);
    cluster_pass(&c, 1 * MILLISECOND);

    cluster_expect(&c, read, KVR_OUTCOME_DONE, KVR_OK);
    cr_assert_eq(c.calls[read].revision, 2);
    cr_assert_eq(c.calls[read].stale_ns, 0);
    cr_assert_eq(c.members[leader].counters.read_rounds, 0);
    cr_assert_eq(c.members[leader].counters.reads_by_lease, 1);
}

/* FAULTS 45: a call made in a callback is not judged by the time that the run began with. */
static uint32_t nested;

static void ask_again(cluster *of, uint32_t i)
{
    (void)of;
    nested = read_lease(i);
}

Test(node_read_lease, a_call_inside_a_callback_waits_for_the_next_look_at_the_clock)
{
    uint32_t leader = cluster_leader(&c);
    uint32_t first = read_lease(leader);
    c.calls[first].then = ask_again;
    c.now += 1;
    cr_assert_geq(kvr_node_run(c.members[leader].node, 0), 0);
    cluster_expect(&c, first, KVR_OUTCOME_DONE, KVR_OK);
    cr_assert_not(cluster_ended(&c, nested));
    cr_assert_leq(kvr_node_deadline(c.members[leader].node), c.now + 1);
    c.now += 1;
    cr_assert_geq(kvr_node_run(c.members[leader].node, 0), 0);
    cluster_expect(&c, nested, KVR_OUTCOME_DONE, KVR_OK);
}

Test(node_read_lease, a_follower_asks_the_leader)
{
    uint32_t follower = cluster_follower(&c);
    uint32_t put = cluster_put(&c, cluster_leader(&c), "a", "1");
    cluster_settle(&c);
    uint32_t read = read_lease(follower);
    cluster_pass(&c, 1 * MILLISECOND);

    cluster_expect(&c, put, KVR_OUTCOME_DONE, KVR_OK);
    cluster_expect(&c, read, KVR_OUTCOME_DONE, KVR_OK);
    cr_assert_str_eq(cluster_value(&c, follower, "a"), "1");
}

/* The lease is over before another member can lead. */
Test(node_read_lease, a_leader_that_is_cut_off_answers_nothing_old)
{
    uint32_t old = cluster_leader(&c);
    c.members[old].cut = true;
    cluster_pass(&c, 950 * MILLISECOND);
    uint32_t read = read_lease(old);
    uint32_t next = cluster_elect(&c);
    cluster_pass(&c, 8 * SECOND);

    cr_assert_neq(next, old);
    cr_assert(cluster_ended(&c, read));
    cr_assert_eq(c.calls[read].outcome, KVR_OUTCOME_REFUSED);
}

Test(node_read, without_the_setting_a_lease_read_takes_a_round)
{
    uint32_t leader = cluster_leader(&c);
    uint32_t read = read_lease(leader);
    cluster_settle(&c);

    cluster_expect(&c, read, KVR_OUTCOME_DONE, KVR_OK);
    cr_assert_eq(c.members[leader].counters.reads_by_lease, 0);
    cr_assert_eq(c.members[leader].counters.read_rounds, 1);
}

Test(node_read, a_stale_read_says_how_old_it_may_be)
{
    uint32_t follower = cluster_follower(&c);
    cluster_pass(&c, 1 * SECOND);
    uint32_t read = read_stale(follower, UINT64_MAX);
    cluster_pass(&c, 1 * MILLISECOND);
    cluster_expect(&c, read, KVR_OUTCOME_DONE, KVR_OK);
    cr_assert_leq(c.calls[read].stale_ns, 450 * MILLISECOND);

    c.members[follower].cut = true;
    uint32_t put = cluster_put(&c, cluster_leader(&c), "a", "1");
    cluster_pass(&c, 3 * SECOND);
    cluster_expect(&c, put, KVR_OUTCOME_DONE, KVR_OK);
    read = read_stale(follower, UINT64_MAX);
    cluster_pass(&c, 1 * MILLISECOND);
    cluster_expect(&c, read, KVR_OUTCOME_DONE, KVR_OK);
    cr_assert_geq(c.calls[read].stale_ns, 3 * SECOND);
    cr_assert_eq(c.calls[read].revision, 1);
}

Test(node_read, a_stale_read_waits_until_it_is_fresh_enough)
{
    uint32_t follower = cluster_follower(&c);
    c.members[follower].cut = true;
    uint32_t put = cluster_put(&c, cluster_leader(&c), "a", "1");
    cluster_pass(&c, 2 * SECOND);
    cluster_expect(&c, put, KVR_OUTCOME_DONE, KVR_OK);
    uint32_t read = read_stale(follower, 500 * MILLISECOND);
    uint32_t never = read_stale(follower, 0);
    cluster_pass(&c, 500 * MILLISECOND);
    cr_assert_not(cluster_ended(&c, read));
    c.members[follower].cut = false;
    cluster_pass(&c, 3 * SECOND);
    cluster_expect(&c, read, KVR_OUTCOME_DONE, KVR_OK);
    cr_assert_leq(c.calls[read].stale_ns, 500 * MILLISECOND);
    cr_assert_eq(c.calls[read].revision, 2);
    cluster_pass(&c, 6 * SECOND);
    cluster_expect(&c, never, KVR_OUTCOME_REFUSED, KVR_ETIMEDOUT);
}

/* What it never heard it does not know; a member alone always does. */
Test(node_read, a_member_that_knows_no_bound_says_so)
{
    uint32_t follower = cluster_follower(&c);
    cluster_crash(&c, follower);
    for (uint32_t i = 0; i < 3; i++) {
        c.members[i].cut = i != follower;
    }
    cluster_boot(&c, follower);
    cluster_settle(&c);
    uint32_t read = read_stale(follower, UINT64_MAX);
    cluster_pass(&c, 1 * MILLISECOND);

    cluster_expect(&c, read, KVR_OUTCOME_DONE, KVR_OK);
    cr_assert_eq(c.calls[read].stale_ns, UINT64_MAX);
}

/* The setting is the group's: one call turns lease reads on, on every member. */
Test(node_read, leases_are_turned_on_and_off_by_a_change)
{
    uint32_t leader = cluster_leader(&c);
    kvr_raft_changes changes = {
        .size = sizeof changes, .flags = KVR_CHANGES_LEASE, .lease_ns = 1 * SECOND};
    kvr_node_call options;
    uint32_t on = cluster_call(&c, &options, 0);
    cr_assert_eq(kvr_node_member_change(c.members[cluster_follower(&c)].node, &options, &changes),
                 KVR_OK);
    cluster_pass(&c, 500 * MILLISECOND);
    cluster_expect(&c, on, KVR_OUTCOME_DONE, KVR_OK);
    uint32_t read = read_lease(leader);
    cluster_pass(&c, 1 * MILLISECOND);
    cluster_expect(&c, read, KVR_OUTCOME_DONE, KVR_OK);
    cr_assert_eq(c.members[leader].counters.reads_by_lease, 1);
    for (uint32_t i = 0; i < 3; i++) {
        cr_assert_eq(cluster_status(&c, i).raft.lease_ns, 1 * SECOND);
    }

    cluster_crash(&c, leader); /* it is in the log, not in the config */
    cluster_boot(&c, leader);
    leader = cluster_elect(&c);
    cluster_pass(&c, 1 * SECOND);
    cr_assert_neq(cluster_status(&c, leader).raft.lease_end_ns, 0);
    changes.lease_ns = 0;
    uint32_t off = cluster_call(&c, &options, 0);
    cr_assert_eq(kvr_node_member_change(c.members[leader].node, &options, &changes), KVR_OK);
    cluster_pass(&c, 500 * MILLISECOND);
    cluster_expect(&c, off, KVR_OUTCOME_DONE, KVR_OK);
    cr_assert_eq(cluster_status(&c, leader).raft.lease_end_ns, 0);
}

/* A group that went quiet hears no heartbeats: a read that wants to be fresh asks, and a hand-over
 * wakes it. */
Test(node_read_quiet, is_fresh_when_asked)
{
    cluster_init(&c, 3);
    c.config.quiet_ns = 2 * SECOND;
    for (uint32_t i = 0; i < 3; i++) {
        cluster_boot(&c, i);
    }
    (void)cluster_elect(&c);
    cluster_pass(&c, 20 * SECOND);
    uint32_t follower = cluster_follower(&c);
    cr_assert_eq(cluster_status(&c, follower).raft.quiet, 1);
    uint32_t read = read_stale(follower, 1 * SECOND);
    cluster_pass(&c, 100 * MILLISECOND);
    cluster_expect(&c, read, KVR_OUTCOME_DONE, KVR_OK);
    cr_assert_leq(c.calls[read].stale_ns, 1 * SECOND);

    cluster_pass(&c, 20 * SECOND);
    uint32_t leader = cluster_leader(&c);
    cr_assert_eq(cluster_status(&c, leader).raft.quiet, 1);
    kvr_node_call options;
    uint32_t call = cluster_call(&c, &options, 0);
    cr_assert_eq(kvr_node_transfer_leader(c.members[leader].node, &options, follower + 1), KVR_OK);
    cluster_pass(&c, 100 * MILLISECOND);
    cluster_expect(&c, call, KVR_OUTCOME_DONE, KVR_OK);
    cluster_stop(&c);
}
