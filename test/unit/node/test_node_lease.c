/* SPDX-License-Identifier: Apache-2.0 */
/* test_node_lease.c: leases end to end: on time, never early, whoever leads (etcd contract
 * 3.10). */
#include "node_cluster.h"

#include "../../../lib/node/node_internal.h"

#include <criterion/criterion.h>
#include <string.h>

static cluster c;

static void start(void)
{
    cluster_start(&c, 3);
}

static void stop(void)
{
    cluster_stop(&c);
}

TestSuite(node_lease, .init = start, .fini = stop);

enum { POST = 14 };

static void granted(int64_t id, uint64_t ttl)
{
    uint32_t call = cluster_grant(&c, cluster_follower(&c), id, ttl);
    cluster_pass(&c, 200 * MILLISECOND);
    cluster_expect(&c, call, KVR_OUTCOME_DONE, KVR_OK);
}

static uint32_t settled(uint32_t call)
{
    cluster_pass(&c, 200 * MILLISECOND);
    cr_assert(cluster_ended(&c, call));
    return call;
}

Test(node_lease, its_keys_go_with_it_in_one_revision_and_on_time)
{
    granted(7, 5 * SECOND);
    (void)settled(cluster_put_lease(&c, 0, "b", "1", 7));
    (void)settled(cluster_put_lease(&c, 1, "a", "1", 7));
    (void)settled(cluster_put(&c, 2, "c", "1"));
    uint64_t watch = cluster_watch(&c, 1, "a", "z", 0);
    uint64_t before = cluster_status(&c, 0).store.revision;
    cluster_pass(&c, 3 * SECOND);
    cr_assert_str_eq(cluster_value(&c, 0, "a"), "1", "not early");
    cluster_pass(&c, 2 * SECOND);

    cr_assert_str_eq(cluster_value(&c, 0, "a"), "");
    cr_assert_str_eq(cluster_value(&c, 2, "b"), "");
    cr_assert_str_eq(cluster_value(&c, 2, "c"), "1");
    cr_assert_eq(cluster_status(&c, 0).store.revision, before + 1);
    cr_assert_str_eq(c.members[1].watched, "DEL a@5 DEL b@5 ");
    cr_assert_neq(watch, 0);
    cluster_expect_same(&c);
}

Test(node_lease, keep_alive_from_any_member_keeps_it)
{
    granted(7, 4 * SECOND);
    (void)settled(cluster_put_lease(&c, 0, "a", "1", 7));
    for (uint32_t i = 0; i < 10; i++) {
        uint32_t call = settled(cluster_keep_alive(&c, i % 3, 7));
        cluster_expect(&c, call, KVR_OUTCOME_DONE, KVR_OK);
        cr_assert_eq(c.calls[call].remaining_ns, 4 * SECOND);
        cluster_pass(&c, 3 * SECOND);
    }
    cr_assert_str_eq(cluster_value(&c, 2, "a"), "1");
    cluster_pass(&c, 3 * SECOND);

    cr_assert_str_eq(cluster_value(&c, 2, "a"), "");
    cluster_expect_same(&c);
}

Test(node_lease, time_to_live_tells_what_is_left_and_no_more)
{
    granted(-9, 10 * SECOND);
    cluster_pass(&c, 3 * SECOND);
    uint32_t call = settled(cluster_time_to_live(&c, cluster_follower(&c), -9));
    uint32_t none = settled(cluster_time_to_live(&c, cluster_leader(&c), 12345));

    cluster_expect(&c, call, KVR_OUTCOME_DONE, KVR_OK);
    cr_assert_eq(c.calls[call].ttl_ns, 10 * SECOND);
    cr_assert_leq(c.calls[call].remaining_ns, 7 * SECOND);
    cr_assert_geq(c.calls[call].remaining_ns, 6 * SECOND);
    cluster_expect(&c, none, KVR_OUTCOME_DONE, KVR_ENOLEASE);
}

Test(node_lease, an_id_is_chosen_once_and_given_ids_are_not_taken_twice)
{
    uint32_t a = settled(cluster_grant(&c, 0, 0, 60 * SECOND));
    uint32_t b = settled(cluster_grant(&c, 1, 0, 60 * SECOND));
    uint32_t again = settled(cluster_grant(&c, 2, c.calls[a].lease, 60 * SECOND));

    cluster_expect(&c, a, KVR_OUTCOME_DONE, KVR_OK);
    cluster_expect(&c, b, KVR_OUTCOME_DONE, KVR_OK);
    cr_assert_gt(c.calls[a].lease, 0);
    cr_assert_gt(c.calls[b].lease, 0);
    cr_assert_neq(c.calls[a].lease, c.calls[b].lease);
    cluster_expect(&c, again, KVR_OUTCOME_DONE, KVR_EEXIST);
    cr_assert_eq(cluster_status(&c, 1).lease.leases, 2);
}

Test(node_lease, revoking_takes_the_keys_and_a_second_time_says_so)
{
    granted(7, 60 * SECOND);
    (void)settled(cluster_put_lease(&c, 0, "a", "1", 7));
    uint32_t first = settled(cluster_revoke(&c, 1, 7));
    uint32_t second = settled(cluster_revoke(&c, 2, 7));
    uint32_t renewed = settled(cluster_keep_alive(&c, 0, 7));

    cluster_expect(&c, first, KVR_OUTCOME_DONE, KVR_OK);
    cr_assert_eq(c.calls[first].revision, 3);
    cluster_expect(&c, second, KVR_OUTCOME_DONE, KVR_ENOLEASE);
    cluster_expect(&c, renewed, KVR_OUTCOME_DONE, KVR_ENOLEASE);
    cr_assert_str_eq(cluster_value(&c, 2, "a"), "");
    cluster_expect_same(&c);
}

/* FAULTS 125: a key belongs to the lease of its last put; put without one or delete detach it. */
Test(node_lease, keys_move_between_leases_as_they_are_put)
{
    granted(1, 60 * SECOND);
    granted(2, 60 * SECOND);
    (void)settled(cluster_put_lease(&c, 0, "moves", "x", 1));
    (void)settled(cluster_put_lease(&c, 0, "stays", "x", 1));
    (void)settled(cluster_put_lease(&c, 0, "leaves", "x", 1));
    (void)settled(cluster_put_lease(&c, 0, "dies", "x", 1));
    (void)settled(cluster_put_lease(&c, 1, "moves", "y", 2));
    (void)settled(cluster_put(&c, 1, "leaves", "y"));
    (void)settled(cluster_delete(&c, 2, "dies", NULL));

    for (uint32_t i = 0; i < 3; i++) {
        kvr_slice keys[8];
        uint32_t count = 0;
        cr_assert_eq(kvr_node_lease_keys(c.members[i].node, 1, NULL, keys, 8, &count), KVR_OK);
        cr_assert_eq(count, 1);
        cr_assert_eq(keys[0].size, 5);
        cr_assert_eq(kvr_node_lease_keys(c.members[i].node, 2, NULL, keys, 8, &count), KVR_OK);
        cr_assert_eq(count, 1);
    }
    (void)settled(cluster_revoke(&c, 1, 1));
    cr_assert_str_eq(cluster_value(&c, 0, "stays"), "");
    cr_assert_str_eq(cluster_value(&c, 0, "moves"), "y");
    cr_assert_str_eq(cluster_value(&c, 0, "leaves"), "y");
    cluster_expect_same(&c);
}

/* FAULTS 122: elections do not keep a lease alive for ever; FAULTS 120: an outage of the leader
 * ends none early. */
Test(node_lease, it_ends_in_bounded_time_though_leaders_come_and_go)
{
    granted(7, 10 * SECOND);
    (void)settled(cluster_put_lease(&c, 0, "a", "1", 7));
    uint64_t from = c.now;
    uint32_t leaderships = 0;
    while (cluster_value(&c, cluster_follower(&c), "a")[0] != 0) {
        cr_assert_lt(c.now - from, 120 * SECOND);
        uint32_t old = cluster_leader(&c);
        c.members[old].cut = true;
        (void)cluster_elect(&c);
        c.members[old].cut = false;
        cluster_pass(&c, 6 * SECOND); /* longer than half of its time: long enough to be recorded */
        leaderships++;
    }

    cr_assert_geq(c.now - from, 10 * SECOND);
    cr_assert_leq(c.now - from, 10 * SECOND + leaderships * 7 * SECOND);
    cluster_expect_same(&c);
}

/* DESIGN, lease clock: a renewal that a leader answered is known to the next one. */
Test(node_lease, a_recorded_lease_that_was_renewed_does_not_end_early_under_the_next_leader)
{
    granted(7, 10 * SECOND);
    (void)settled(cluster_put_lease(&c, 0, "a", "1", 7));
    cluster_pass(&c, 7 * SECOND); /* half of its time is over: it is recorded as a laggard */
    uint32_t call = settled(cluster_keep_alive(&c, cluster_follower(&c), 7));
    cluster_expect(&c, call, KVR_OUTCOME_DONE, KVR_OK);
    uint32_t old = cluster_leader(&c);
    cluster_crash(&c, old);
    (void)cluster_elect(&c);
    cluster_pass(&c, 5 * SECOND);

    cr_assert_str_eq(cluster_value(&c, cluster_leader(&c), "a"), "1");
    cluster_pass(&c, 10 * SECOND);
    cr_assert_str_eq(cluster_value(&c, cluster_leader(&c), "a"), "");
}

/* FAULTS 121: a revocation that an old leader queued is void in another term. */
Test(node_lease, a_revocation_of_another_term_is_void)
{
    granted(7, 60 * SECOND);
    (void)settled(cluster_put_lease(&c, 0, "a", "1", 7));
    uint32_t leader = cluster_leader(&c);
    kvr_node *node = c.members[leader].node;
    uint8_t bytes[KVR__COMMAND_HEAD + KVR__COMMAND_REVOKE_SIZE];
    kvr__origin_id origin = {leader + 1, node->incarnation, 0};
    kvr_lease_info info;
    cr_assert_eq(kvr_lease_get(node->book, 7, 0, &info), KVR_OK);
    /* in the same term: for a lease that was granted at another clock */
    for (uint64_t ahead = 0; ahead <= 5; ahead += 5) {
        kvr__command_write_head(bytes, KVR__COMMAND_LEASE_REVOKE, KVR__COMMAND_REVOKE_SIZE);
        kvr__command_stamp(bytes, &origin);
        kvr__store_u64(bytes + KVR__COMMAND_HEAD, 7);
        kvr__store_u64(bytes + KVR__COMMAND_HEAD + 8, node->raft_status.term + ahead);
        kvr__store_u64(bytes + KVR__COMMAND_HEAD + 16, info.granted_ns + (ahead == 0));
        kvr_slice command = {bytes, sizeof bytes};
        kvr_raft_proposal proposal;
        cr_assert_eq(kvr_raft_propose(node->raft, &command, &proposal), KVR_OK);
        cluster_pass(&c, 500 * MILLISECOND);
        cr_assert_str_eq(cluster_value(&c, 1, "a"), "1");
    }
    cluster_expect_same(&c);
}

/* The id was revoked and granted again in entries that the leader had not applied when it found the
 * old one due. */
Test(node_lease, a_revocation_meant_for_an_earlier_life_of_the_id_is_void)
{
    granted(7, 2 * SECOND);
    uint32_t leader = cluster_leader(&c);
    cluster_pass(&c, 1500 * MILLISECOND);
    c.drop_type = 6; /* no acknowledgement arrives: nothing commits */
    uint32_t revoke = cluster_revoke(&c, leader, 7);
    uint32_t grant = cluster_grant(&c, leader, 7, 60 * SECOND);
    uint64_t last = cluster_status(&c, leader).raft.last_index;
    cluster_pass(&c, 500 * MILLISECOND);
    cr_assert_eq(cluster_status(&c, leader).raft.last_index, last + 3,
                 "it proposed to end the old one");
    c.drop_type = 0;
    cluster_pass(&c, 3 * SECOND);

    cluster_expect(&c, revoke, KVR_OUTCOME_DONE, KVR_OK);
    cluster_expect(&c, grant, KVR_OUTCOME_DONE, KVR_OK);
    cr_assert_eq(cluster_status(&c, 0).lease.leases, 1);
    cluster_expect_same(&c);
}

/* FAULTS 124: its time is up, its revocation is on its way: the renewal waits for it and is told
 * so. */
Test(node_lease, a_renewal_of_a_lease_that_is_due_is_not_answered_with_success)
{
    granted(7, 2 * SECOND);
    uint32_t leader = cluster_leader(&c);
    cluster_pass(&c, 1700 * MILLISECOND);
    c.drop_type = 5; /* no append arrives: the revocation cannot commit */
    cluster_pass(&c, 300 * MILLISECOND);
    uint32_t call = cluster_keep_alive(&c, leader, 7);
    cluster_pass(&c, 300 * MILLISECOND);
    cr_assert_not(cluster_ended(&c, call));
    c.drop_type = 0;
    cluster_pass(&c, 2 * SECOND);

    cluster_expect(&c, call, KVR_OUTCOME_DONE, KVR_ENOLEASE);
}

/* FAULTS 123: who leads no longer proposes nothing about leases. */
Test(node_lease, a_deposed_leader_expires_nothing)
{
    granted(7, 4 * SECOND);
    uint32_t old = cluster_leader(&c);
    c.members[old].cut = true;
    (void)cluster_elect(&c);
    cluster_pass(&c, 10 * SECOND);

    cr_assert_eq(c.members[old].node->leasing.term != 0, kvr__node_leads(c.members[old].node));
    cr_assert_eq(cluster_status(&c, old).lease.leases, 1, "only the log may end it");
    c.members[old].cut = false;
    cluster_pass(&c, 2 * SECOND);
    cr_assert_eq(cluster_status(&c, old).lease.leases, 0);
    cluster_expect_same(&c);
}

Test(node_lease, questions_that_get_lost_are_asked_again)
{
    granted(7, 60 * SECOND);
    c.drop_type = POST;
    uint32_t call = cluster_keep_alive(&c, cluster_follower(&c), 7);
    cluster_pass(&c, 900 * MILLISECOND);
    cr_assert_not(cluster_ended(&c, call));
    c.drop_type = 0;
    cluster_pass(&c, 1 * SECOND);

    cluster_expect(&c, call, KVR_OUTCOME_DONE, KVR_OK);
}

Test(node_lease, a_renewal_that_nobody_answered_is_unknown_and_a_question_is_refused)
{
    granted(7, 60 * SECOND);
    c.drop_type = POST;
    uint32_t follower = cluster_follower(&c);
    uint32_t renewal = cluster_keep_alive(&c, follower, 7);
    uint32_t question = cluster_time_to_live(&c, follower, 7);
    cluster_pass(&c, 8 * SECOND);

    cluster_expect(&c, renewal, KVR_OUTCOME_UNKNOWN, KVR_EUNKNOWN);
    cluster_expect(&c, question, KVR_OUTCOME_REFUSED, KVR_ETIMEDOUT);
}

/* FAULTS 98, 126: ids and times at the edges of their types. */
Test(node_lease, ids_and_times_at_the_edges_are_like_any_other)
{
    static const int64_t ids[4] = {INT64_MIN, -1, 1, INT64_MAX};
    for (uint32_t i = 0; i < 4; i++) {
        granted(ids[i], i % 2 == 0 ? kvr_lease_ttl_ns_max() : 3 * SECOND);
        (void)settled(cluster_put_lease(&c, i % 3, i % 2 == 0 ? "long" : "short", "1", ids[i]));
        uint32_t call = settled(cluster_keep_alive(&c, i % 3, ids[i]));
        cluster_expect(&c, call, KVR_OUTCOME_DONE, KVR_OK);
    }
    int64_t listed[8];
    cr_assert_eq(kvr_node_leases(c.members[0].node, INT64_MIN, 1, listed, 8), 4);
    cr_assert_eq(memcmp(listed, ids, sizeof ids), 0);
    cluster_pass(&c, 5 * SECOND);

    cr_assert_eq(cluster_status(&c, 0).lease.leases, 2);
    cr_assert_str_eq(cluster_value(&c, 1, "long"), "1");
    cr_assert_str_eq(cluster_value(&c, 1, "short"), "");
    kvr_node *node = c.members[0].node;
    cr_assert_eq(kvr_node_lease_grant(node, NULL, 9, kvr_lease_ttl_ns_max() + 1), KVR_EINVAL);
    cluster_expect_same(&c);
}

/* Many at once: ids of posts are grouped, expiry comes in batches. */
Test(node_lease, a_thousand_leases_live_and_end_together)
{
    for (int64_t id = 1; id <= 1000; id++) {
        (void)cluster_grant(&c, (uint32_t)id % 3, id, 6 * SECOND);
    }
    cluster_pass(&c, 1 * SECOND);
    cr_assert_eq(cluster_status(&c, 0).lease.leases, 1000);
    for (int64_t id = 1; id <= 1000; id++) {
        (void)cluster_keep_alive(&c, (uint32_t)id % 3, id);
    }
    cluster_pass(&c, 5 * SECOND);
    cr_assert_eq(cluster_status(&c, 0).lease.leases, 1000);
    for (uint32_t call = 0; call < c.call_count; call++) {
        cluster_expect(&c, call, KVR_OUTCOME_DONE, KVR_OK);
    }
    cluster_pass(&c, 3 * SECOND);

    cr_assert_eq(cluster_status(&c, 0).lease.leases, 0);
    cluster_expect_same(&c);
}

/* FAULTS 128: a follower holds no more after leases came and went than before. */
Test(node_lease, memory_is_back_to_what_it_was)
{
    granted(1, 60 * SECOND);
    (void)settled(cluster_revoke(&c, 0, 1));
    uint32_t follower = cluster_follower(&c);
    uint64_t before = kvr__mem_bytes(&c.members[follower].node->mem);
    for (int64_t id = 10; id < 200; id++) {
        (void)cluster_grant(&c, follower, id, 60 * SECOND);
        cluster_settle(&c);
        (void)cluster_put_lease(&c, follower, "a", "1", id);
        (void)cluster_revoke(&c, follower, id);
        cluster_settle(&c);
    }
    cluster_pass(&c, 1 * SECOND);

    cr_assert_leq(kvr__mem_bytes(&c.members[follower].node->mem), before + 4096);
}
