/* SPDX-License-Identifier: Apache-2.0 */
/* test_node_exchange.c: members compare their state hashes; whoever differs from a majority stops,
 * and only it. */
#include "node_cluster.h"

#include "../../../lib/node/node_internal.h"

#include <criterion/criterion.h>
#include <string.h>

static cluster c;

static void stop(void)
{
    cluster_stop(&c);
}

TestSuite(node_exchange, .fini = stop);

/* Past the next index divisible by 1,024. */
static void pass_a_point(uint32_t i)
{
    uint64_t goal = (cluster_status(&c, i).hash_index / KVR__HASH_EVERY + 1) * KVR__HASH_EVERY;
    while (cluster_status(&c, i).hash_index < goal) {
        for (uint32_t n = 0; n < 200; n++) {
            (void)cluster_put(&c, i, "a", "x");
        }
        cluster_pass(&c, 100 * MILLISECOND);
    }
    cluster_pass(&c, 1 * SECOND);
}

static void diverge(uint32_t i)
{
    c.members[i].node->applied.chain ^= 1;
}

Test(node_exchange, equal_members_find_nothing)
{
    cluster_start(&c, 3);
    pass_a_point(cluster_leader(&c));
    pass_a_point(cluster_leader(&c));

    for (uint32_t i = 0; i < 3; i++) {
        cr_assert_eq(cluster_status(&c, i).failure, KVR_OK);
        cr_assert_eq(cluster_status(&c, i).corrupt, 0);
        cr_assert_eq(c.members[i].node->hashes.count, 2);
    }
    cluster_expect_same(&c);
}

/* FAULTS 108: the one that differs stops, the others serve on. */
Test(node_exchange, a_follower_that_differs_stops_and_no_other)
{
    cluster_start(&c, 3);
    uint32_t leader = cluster_leader(&c);
    uint32_t bad = cluster_follower(&c);
    diverge(bad);
    pass_a_point(leader);

    for (uint32_t i = 0; i < 3; i++) {
        cr_assert_eq(cluster_status(&c, i).failure, i == bad ? KVR_FDIVERGED : KVR_OK);
        cr_assert_eq(cluster_status(&c, i).corrupt, 0);
    }
    cr_assert_neq(strlen(kvr_node_error(c.members[bad].node)), 0);
    uint32_t call = cluster_put(&c, leader, "b", "1");
    cluster_pass(&c, 1 * SECOND);
    cluster_expect(&c, call, KVR_OUTCOME_DONE, KVR_OK);
    cr_assert_eq(kvr_node_read_linear(c.members[bad].node, NULL), KVR_FDIVERGED);
}

Test(node_exchange, a_leader_that_differs_stops_too)
{
    cluster_start(&c, 3);
    uint32_t bad = cluster_leader(&c);
    diverge(bad);
    pass_a_point(cluster_follower(&c));
    uint32_t next = cluster_elect(&c);

    cr_assert_eq(cluster_status(&c, bad).failure, KVR_FDIVERGED);
    cr_assert_neq(next, bad);
    cr_assert_eq(cluster_status(&c, next).failure, KVR_OK);
}

/* Snapshots carry chain and points: the one that differs does so after each restart, until its data
 * is gone. */
Test(node_exchange, a_restart_does_not_hide_it)
{
    cluster_start(&c, 3);
    uint32_t bad = cluster_follower(&c);
    (void)cluster_put(&c, bad, "a", "1");
    cluster_pass(&c, 500 * MILLISECOND);
    diverge(bad);
    cr_assert_eq(kvr_node_snapshot(c.members[bad].node), KVR_OK);
    cluster_pass(&c, 500 * MILLISECOND);
    cluster_crash(&c, bad);
    cluster_boot(&c, bad);
    pass_a_point(cluster_leader(&c));
    cr_assert_eq(cluster_status(&c, bad).failure, KVR_FDIVERGED);
    cluster_crash(&c, bad);
    cluster_boot(&c, bad);
    cluster_pass(&c, 10 * SECOND);

    cr_assert_eq(cluster_status(&c, bad).failure, KVR_FDIVERGED);
    cr_assert_eq(cluster_status(&c, cluster_leader(&c)).failure, KVR_OK);
}

/* Two of two differ: nobody is accused, nobody takes writes. */
Test(node_exchange, without_a_majority_writes_are_refused_everywhere)
{
    cluster_start(&c, 2);
    diverge(cluster_follower(&c));
    pass_a_point(cluster_leader(&c));

    for (uint32_t i = 0; i < 2; i++) {
        cr_assert_eq(cluster_status(&c, i).failure, KVR_OK);
        cr_assert_eq(cluster_status(&c, i).corrupt, 1);
        uint32_t call = cluster_put(&c, i, "b", "1");
        uint32_t read = cluster_read(&c, i);
        cluster_pass(&c, 1 * SECOND);
        cluster_expect(&c, call, KVR_OUTCOME_REFUSED, KVR_EREADONLY);
        cluster_expect(&c, read, KVR_OUTCOME_DONE, KVR_OK);
    }
}

/* Three members, one is away, the two others differ: undecided until the third speaks. */
Test(node_exchange, the_third_decides_when_it_comes_back)
{
    cluster_start(&c, 3);
    uint32_t leader = cluster_leader(&c);
    uint32_t bad = cluster_follower(&c);
    uint32_t away = 3 - leader - bad;
    c.members[away].cut = true;
    diverge(bad);
    pass_a_point(leader);
    cr_assert_eq(cluster_status(&c, leader).corrupt, 1);
    cr_assert_eq(cluster_status(&c, bad).corrupt, 1);
    c.members[away].cut = false;
    cluster_pass(&c, 10 * SECOND);

    cr_assert_eq(cluster_status(&c, bad).failure, KVR_FDIVERGED);
    cr_assert_eq(cluster_status(&c, leader).corrupt, 0);
    cr_assert_eq(cluster_status(&c, away).failure, KVR_OK);
    uint32_t call = cluster_put(&c, leader, "b", "1");
    cluster_pass(&c, 1 * SECOND);
    cluster_expect(&c, call, KVR_OUTCOME_DONE, KVR_OK);
}

/* The points are replicated state: a member that was installed has them. */
Test(node_exchange, an_installed_member_knows_the_points)
{
    cluster_init(&c, 3);
    c.config.snapshot_entries = 500;
    c.config.snapshot_bytes_min = 1;
    c.config.keep_entries = 1;
    for (uint32_t i = 0; i < 3; i++) {
        cluster_boot(&c, i);
    }
    (void)cluster_elect(&c);
    uint32_t away = cluster_follower(&c);
    c.members[away].cut = true;
    pass_a_point(cluster_leader(&c));
    pass_a_point(cluster_leader(&c));
    c.members[away].cut = false;
    cluster_pass(&c, 5 * SECOND);

    cr_assert_geq(cluster_status(&c, away).snapshots_installed, 1);
    cr_assert_eq(c.members[away].node->hashes.count, 2);
    cluster_expect_same(&c);
}
