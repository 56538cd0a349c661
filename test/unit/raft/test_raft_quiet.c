/* SPDX-License-Identifier: Apache-2.0 */
/* test_raft_quiet.c: a group in which nothing happens says nothing (config.quiet_ns), and whoever
 * has something to say finds it as it was: no election, no lost word. */
#include <criterion/criterion.h>

#include "raft_cluster.h"

#include <string.h>

#define SECOND ((uint64_t)1000 * CLUSTER_MS)

static cluster c;

static void tune(kvr_raft_config *config)
{
    config->quiet_ns = 2 * SECOND;
}

static void setup(void)
{
    cluster_init(&c);
    cluster_add(&c, 3, NULL, tune);
    cluster_elect(&c, 1);
}

static void teardown(void)
{
    cluster_check(&c);
    cluster_release(&c);
}

TestSuite(raft_quiet, .init = setup, .fini = teardown);

static void pass(uint64_t ns)
{
    for (uint64_t end = c.now + ns; c.now < end;) {
        cluster_tick(&c, 20 * CLUSTER_MS);
        cluster_stabilize(&c);
    }
}

static bool is_quiet(uint64_t id)
{
    return cluster_status(&c, id).quiet == 1;
}

static void become_quiet(void)
{
    pass(5 * SECOND);
    for (uint64_t id = 1; id <= 3; id++) {
        cr_assert(is_quiet(id), "member %llu", (unsigned long long)id);
    }
}

static void expect_leader_of_term(uint64_t leader, uint64_t term)
{
    for (uint64_t id = 1; id <= 3; id++) {
        if (cluster_at(&c, id)->raft != NULL) {
            cr_assert_eq(cluster_status(&c, id).term, term);
            cr_assert_eq(cluster_status(&c, id).leader, leader);
        }
    }
}

Test(raft_quiet, a_level_group_goes_quiet_and_says_nothing)
{
    become_quiet();
    uint64_t sent = c.sent;
    for (uint64_t id = 1; id <= 3; id++) {
        cr_assert_eq(kvr_raft_deadline(cluster_at(&c, id)->raft), UINT64_MAX);
    }
    pass(3600 * SECOND / 100);
    cr_assert_eq(c.sent, sent);
    expect_leader_of_term(1, cluster_status(&c, 1).term);
}

Test(raft_quiet, without_the_setting_it_never_does)
{
    cluster_release(&c);
    cluster_init(&c);
    cluster_add(&c, 3, NULL, NULL);
    cluster_elect(&c, 1);
    pass(10 * SECOND);
    cr_assert_not(is_quiet(1));
}

Test(raft_quiet, a_proposal_anywhere_wakes_all_without_an_election)
{
    for (uint64_t id = 1; id <= 3; id++) {
        become_quiet();
        uint64_t term = cluster_status(&c, 1).term;
        pass(60 * SECOND);
        cr_assert_eq(cluster_propose(&c, id, "x"), KVR_OK);
        cluster_stabilize(&c);
        cr_assert_not(is_quiet(1));
        pass(SECOND);
        expect_leader_of_term(1, term);
    }
    cr_assert_str_eq(cluster_at(&c, 3)->text, "x x x ");
}

Test(raft_quiet, a_read_anywhere_is_answered)
{
    for (uint64_t id = 1; id <= 3; id++) {
        become_quiet();
        cr_assert_eq(kvr_raft_read_index(cluster_at(&c, id)->raft, id), KVR_OK);
        pass(SECOND / 10);
        const cluster_read *read = cluster_find_read(&c, id, id);
        cr_assert_not_null(read);
        cr_assert_eq(read->status, KVR_OK);
    }
}

/* Whoever is behind would stay so: the group waits for it. */
Test(raft_quiet, a_member_that_cannot_be_heard_keeps_the_group_awake)
{
    cluster_isolate(&c, 3, true);
    pass(20 * SECOND);
    cr_assert_not(is_quiet(1));
    cr_assert_not(is_quiet(3));
    cluster_isolate(&c, 3, false);
    become_quiet();
}

Test(raft_quiet, the_layer_above_may_keep_it_awake)
{
    kvr_raft_keep_awake(cluster_at(&c, 2)->raft, 1);
    pass(10 * SECOND);
    cr_assert_not(is_quiet(1));
    cr_assert_not(is_quiet(2));
    kvr_raft_keep_awake(cluster_at(&c, 2)->raft, 0);
    become_quiet();
    kvr_raft_keep_awake(cluster_at(&c, 2)->raft, 1);
    pass(SECOND);
    cr_assert_not(is_quiet(2));
}

/* FAULTS 53: it asks for votes, for it hears nobody; the others know better, and the leader tells
 * it. */
Test(raft_quiet, a_member_that_restarts_wakes_the_leader_and_forces_no_election)
{
    become_quiet();
    uint64_t term = cluster_status(&c, 1).term;
    cluster_crash(&c, 2);
    pass(60 * SECOND);
    cr_assert(is_quiet(1));
    cluster_start(&c, 2);
    pass(3 * SECOND);
    expect_leader_of_term(1, term);
    become_quiet();
}

Test(raft_quiet, a_leader_that_died_in_silence_is_replaced_when_it_is_needed)
{
    become_quiet();
    cluster_crash(&c, 1);
    pass(60 * SECOND);
    cr_assert(is_quiet(2), "nobody misses it");
    cr_assert_eq(cluster_propose(&c, 2, "lost"), KVR_OK); /* forwarded to nobody */
    pass(5 * SECOND);
    uint64_t leader = cluster_leader(&c);
    cr_assert(leader == 2 || leader == 3);
    cr_assert_eq(cluster_propose(&c, leader, "y"), KVR_OK);
    pass(SECOND);
    cr_assert_str_eq(cluster_at(&c, 3)->text, "y ");
}

Test(raft_quiet, a_host_that_knows_of_a_death_wakes_the_rest)
{
    become_quiet();
    cluster_crash(&c, 1);
    kvr_raft_wake(cluster_at(&c, 2)->raft);
    kvr_raft_wake(cluster_at(&c, 3)->raft);
    pass(5 * SECOND);
    cr_assert_neq(cluster_leader(&c), 1);
    cr_assert_neq(cluster_leader(&c), 0);
}

/* FAULTS 120: nobody's lease ends early for a clock that ran while nobody looked at it. */
Test(raft_quiet, the_lease_clock_stands_still)
{
    become_quiet();
    uint64_t clock = cluster_status(&c, 1).lease_clock;
    pass(60 * SECOND);
    cr_assert_eq(cluster_status(&c, 1).lease_clock, clock);
    cr_assert_eq(cluster_propose(&c, 1, "x"), KVR_OK);
    pass(SECOND);
    cr_assert_gt(cluster_status(&c, 1).lease_clock, clock);
    cr_assert_leq(cluster_status(&c, 1).lease_clock, clock + 2 * SECOND);
}

/* The word that it should be quiet reached one of two: heartbeats go on until it reached both. */
Test(raft_quiet, a_lost_word_costs_a_heartbeat)
{
    for (uint32_t i = 0; i < 400; i++) {
        cluster_tick(&c, 20 * CLUSTER_MS);
        while (cluster_run_all(&c) || c.message_count > 0) {
            cluster_drop(&c, (cluster_filter){.to = 3, .count = i % 3 == 0 ? 1 : 0, .type = 0});
            cluster_deliver(&c, (cluster_filter){0});
        }
    }
    pass(5 * SECOND);
    cr_assert(is_quiet(1) && is_quiet(2) && is_quiet(3));
}

Test(raft_quiet, a_lone_member_goes_quiet_by_itself)
{
    cluster_release(&c);
    cluster_init(&c);
    cluster_add(&c, 1, NULL, tune);
    cluster_elect(&c, 1);
    pass(5 * SECOND);
    cr_assert(is_quiet(1));
    cr_assert_eq(cluster_propose(&c, 1, "z"), KVR_OK);
    pass(SECOND);
    cr_assert_str_eq(cluster_at(&c, 1)->text, "z ");
}

Test(raft_quiet, a_time_that_is_too_short_is_refused)
{
    kvr_raft_config config = cluster_at(&c, 1)->config;
    config.quiet_ns = config.election_ns - 1;
    cr_assert_not_null(strstr(kvr_raft_config_check(&config), "quiet_ns"));
}
