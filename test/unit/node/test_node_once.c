/* SPDX-License-Identifier: Apache-2.0 */
/* test_node_once.c: at most once, whatever the network repeats or loses, and the three ends of a
 * call: done, refused, unknown. */
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

TestSuite(node_once, .init = start, .fini = stop);

enum { APPEND = 5, APPEND_REPLY = 6, FORWARD = 11 };

/* A put that only the first execution can do: a second one would make version 2. */
static uint64_t version_of(uint32_t i, const char *key)
{
    kvr_kv kv;
    kvr_slice k = slice_of(key);
    return kvr_node_get(c.members[i].node, &k, &kv) ? kv.version : 0;
}

/* FAULTS 106: the forwarded command arrives, what tells of it does not; it is proposed again and
 * again. */
Test(node_once, a_write_that_is_proposed_many_times_is_executed_once)
{
    uint32_t leader = cluster_leader(&c);
    uint32_t follower = cluster_follower(&c);
    uint32_t call = cluster_put(&c, follower, "a", "1");
    c.drop_type = APPEND; /* this follower hears of no commit */
    c.drop_to = follower + 1;
    cluster_pass(&c, 3500 * MILLISECOND);
    cr_assert_not(cluster_ended(&c, call));
    uint64_t last = cluster_status(&c, leader).raft.last_index;
    c.drop_type = 0;
    cluster_pass(&c, 2 * SECOND);

    cluster_expect(&c, call, KVR_OUTCOME_DONE, KVR_OK);
    cr_assert_eq(version_of(leader, "a"), 1);
    cr_assert_geq(last, 3, "it was proposed more than once");
    cr_assert_eq(cluster_status(&c, leader).store.revision, 2);
    cluster_expect_same(&c);
}

Test(node_once, a_lost_forward_is_sent_again)
{
    uint32_t follower = cluster_follower(&c);
    c.drop_type = FORWARD;
    uint32_t call = cluster_put(&c, follower, "a", "1");
    cluster_pass(&c, 900 * MILLISECOND);
    cr_assert_not(cluster_ended(&c, call));
    c.drop_type = 0;
    cluster_pass(&c, 1 * SECOND);

    cluster_expect(&c, call, KVR_OUTCOME_DONE, KVR_OK);
    cluster_expect_same(&c);
}

/* The old leader appended it, nobody else has it; it comes back as a follower and proposes it to
 * the new one. */
Test(node_once, a_leader_that_loses_its_place_hands_its_writes_to_the_next)
{
    uint32_t old = cluster_leader(&c);
    c.members[old].cut = true;
    uint32_t call = cluster_put(&c, old, "a", "1");
    cluster_pass(&c, 500 * MILLISECOND);
    cr_assert_not(cluster_ended(&c, call));
    uint32_t next = cluster_elect(&c);
    cr_assert_neq(next, old);
    c.members[old].cut = false;
    cluster_pass(&c, 2 * SECOND);

    cluster_expect(&c, call, KVR_OUTCOME_DONE, KVR_OK);
    for (uint32_t i = 0; i < 3; i++) {
        cr_assert_eq(version_of(i, "a"), 1);
    }
    cluster_expect_same(&c);
}

/* The entry survives the leader that appended it, and the same command is proposed to the next one
 * too. */
Test(node_once, an_entry_that_survived_and_its_repetition_count_once)
{
    uint32_t old = cluster_leader(&c);
    c.drop_type = APPEND_REPLY; /* the others have it, the leader does not know */
    uint32_t call = cluster_put(&c, old, "a", "1");
    cluster_settle(&c);
    cr_assert_not(cluster_ended(&c, call));
    c.members[old].cut = true;
    cluster_drop_messages(&c);
    c.drop_type = 0;
    (void)cluster_elect(&c);
    c.members[old].cut = false;
    cluster_pass(&c, 2 * SECOND);

    cluster_expect(&c, call, KVR_OUTCOME_DONE, KVR_OK);
    cr_assert_eq(version_of(old, "a"), 1);
    cluster_expect_same(&c);
}

Test(node_once, without_a_leader_a_write_is_refused_and_never_was)
{
    uint32_t leader = cluster_leader(&c);
    uint32_t follower = cluster_follower(&c);
    cluster_crash(&c, leader);
    for (uint32_t i = 0; i < 3; i++) {
        if (i != follower && c.members[i].node != NULL) {
            cluster_crash(&c, i);
        }
    }
    cluster_pass(&c, 5 * SECOND); /* it learns that nobody leads */
    uint32_t call = cluster_put(&c, follower, "a", "1");
    cluster_pass(&c, 8 * SECOND);

    cluster_expect(&c, call, KVR_OUTCOME_REFUSED, KVR_ENOLEADER);
    for (uint32_t i = 0; i < 3; i++) {
        if (c.members[i].node == NULL) {
            cluster_boot(&c, i);
        }
    }
    (void)cluster_elect(&c);
    cluster_pass(&c, 5 * SECOND);
    cr_assert_str_eq(cluster_value(&c, follower, "a"), "");
}

Test(node_once, a_write_that_was_handed_over_and_not_heard_of_ends_unknown)
{
    uint32_t leader = cluster_leader(&c);
    c.members[leader].cut = true;
    uint32_t call = cluster_put(&c, leader, "a", "1");
    cluster_pass(&c, 8 * SECOND);

    cluster_expect(&c, call, KVR_OUTCOME_UNKNOWN, KVR_EUNKNOWN);
    cr_assert_eq(cluster_status(&c, leader).calls_waiting, 0);
}

Test(node_once, a_call_may_have_its_own_timeout)
{
    uint32_t leader = cluster_leader(&c);
    c.members[leader].cut = true;
    kvr_node_call options;
    uint32_t call = cluster_call(&c, &options, 300 * MILLISECOND);
    kvr_slice key = slice_of("a");
    cr_assert_eq(kvr_node_put(c.members[leader].node, &options, &key, &key, 0), KVR_OK);
    cluster_pass(&c, 299 * MILLISECOND);
    cr_assert_not(cluster_ended(&c, call));
    cluster_pass(&c, 2 * MILLISECOND);

    cluster_expect(&c, call, KVR_OUTCOME_UNKNOWN, KVR_EUNKNOWN);
}

/* FAULTS 92: a restart replays the log; commands of an earlier life change nothing twice, of any
 * kind. */
Test(node_once, commands_of_every_kind_replay_to_the_same_state)
{
    (void)cluster_grant(&c, 0, 5, 60 * SECOND);
    (void)cluster_grant(&c, 1, -7, 60 * SECOND);
    cluster_pass(&c, 1 * SECOND);
    (void)cluster_put_lease(&c, 0, "a", "1", 5);
    (void)cluster_put_lease(&c, 1, "b", "1", -7);
    cluster_pass(&c, 1 * SECOND);
    (void)cluster_revoke(&c, 2, 5);
    (void)cluster_delete(&c, 0, "zz", NULL);
    cluster_pass(&c, 1 * SECOND);
    (void)cluster_compact(&c, 1, 3);
    cluster_pass(&c, 1 * SECOND);
    kvr_node_status before = cluster_status(&c, 0);
    for (uint32_t i = 0; i < 3; i++) {
        cluster_crash(&c, i);
    }
    for (uint32_t i = 0; i < 3; i++) {
        cluster_boot(&c, i);
    }
    (void)cluster_elect(&c);
    cluster_pass(&c, 1 * SECOND);
    kvr_node_status after = cluster_status(&c, 0);

    cr_assert_eq(after.store.revision, before.store.revision);
    cr_assert_eq(after.store.hash_live, before.store.hash_live);
    cr_assert_eq(after.store.compacted, before.store.compacted);
    cr_assert_eq(after.lease.hash, before.lease.hash);
    cr_assert_eq(after.lease.leases, 1);
    cluster_expect_same(&c);
}

/* A new life of a member starts at sequence 1 again: its commands are not taken for those of the
 * life before. */
Test(node_once, a_new_incarnation_has_sequences_of_its_own)
{
    uint32_t follower = cluster_follower(&c);
    for (uint32_t i = 0; i < 10; i++) {
        (void)cluster_put(&c, follower, "a", "1");
    }
    cluster_pass(&c, 1 * SECOND);
    cluster_crash(&c, follower);
    cluster_boot(&c, follower);
    cluster_pass(&c, 2 * SECOND);
    uint32_t call = cluster_put(&c, follower, "b", "2");
    cluster_pass(&c, 1 * SECOND);

    cluster_expect(&c, call, KVR_OUTCOME_DONE, KVR_OK);
    cr_assert_eq(version_of(follower, "a"), 10);
    cr_assert_str_eq(cluster_value(&c, follower, "b"), "2");
    cluster_expect_same(&c);
}

/* The oldest unresolved write keeps the window from sliding past it. */
Test(node_once, more_writes_than_the_window_holds_do_not_push_out_a_stuck_one)
{
    uint32_t leader = cluster_leader(&c);
    uint32_t follower = cluster_follower(&c);
    c.drop_type = FORWARD;
    uint32_t stuck = cluster_put(&c, follower, "stuck", "1");
    cluster_settle(&c);
    c.drop_type = 0;
    for (uint32_t round = 0; round < 5; round++) {
        for (uint32_t i = 0; i < 1500; i++) {
            (void)cluster_put(&c, follower, "a", "x");
        }
        cluster_settle(&c);
    }
    cr_assert_not(cluster_ended(&c, stuck));
    cluster_pass(&c, 2 * SECOND);

    cluster_expect(&c, stuck, KVR_OUTCOME_DONE, KVR_OK);
    cr_assert_eq(version_of(leader, "stuck"), 1);
    for (uint32_t call = 0; call < c.call_count; call++) {
        cr_assert(cluster_ended(&c, call));
        cr_assert(c.calls[call].outcome != KVR_OUTCOME_UNKNOWN);
    }
    cluster_expect_same(&c);
}
