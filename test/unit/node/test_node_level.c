/* SPDX-License-Identifier: Apache-2.0 */
/* test_node_level.c: members of two releases in one cluster. In test builds a member may play the
 * next release (level_max 2), which knows one kind of command more (KVR__COMMAND_TRIAL). */
#include <criterion/criterion.h>

#include "node/node_internal.h"
#include "node_cluster.h"

#include <string.h>

enum { OLD = 1, NEW = 2 };

static cluster c;

static void start(uint32_t first, uint32_t second, uint32_t third)
{
    const uint32_t levels[] = {first, second, third};
    cluster_init(&c, 3);
    for (uint32_t i = 0; i < 3; i++) {
        c.config.level_max = levels[i];
        cluster_boot(&c, i);
    }
    (void)cluster_elect(&c);
    cluster_pass(&c, 2 * SECOND);
}

static void teardown(void)
{
    cluster_stop(&c);
}

TestSuite(node_level, .fini = teardown);

static void restart(uint32_t i, uint32_t level)
{
    cluster_crash(&c, i);
    c.config.level_max = level;
    cluster_boot(&c, i);
    cluster_pass(&c, 5 * SECOND);
}

static uint32_t level_of(uint32_t i)
{
    return cluster_status(&c, i).cluster_level;
}

static void expect_level(uint32_t level)
{
    for (uint32_t i = 0; i < c.count; i++) {
        cr_assert_eq(level_of(i), level, "member %u is at level %u", i, level_of(i));
    }
}

/* The command that the next release brought goes through the log and is applied by all. */
static void expect_trial_done(uint32_t i)
{
    cr_assert_eq(kvr__level_allows(c.members[i].node, KVR__COMMAND_TRIAL), KVR_OK);
    uint64_t applied = cluster_status(&c, i).hash_index;
    uint8_t bytes[KVR__COMMAND_HEAD];
    kvr__command_write_head(bytes, KVR__COMMAND_TRIAL, 0);
    kvr__command_stamp(bytes, &(kvr__origin_id){i + 1, 1, 0});
    kvr_raft_proposal proposal;
    cr_assert_eq(
        kvr_raft_propose(c.members[i].node->raft, &(kvr_slice){bytes, sizeof bytes}, &proposal),
        KVR_OK);
    cluster_pass(&c, SECOND);
    cr_assert_gt(cluster_status(&c, i).hash_index, applied);
    cluster_expect_same(&c);
}

static void expect_trial_refused(uint32_t i)
{
    cr_assert_eq(kvr__level_allows(c.members[i].node, KVR__COMMAND_TRIAL), KVR_EVERSION);
}

Test(node_level, a_cluster_begins_at_the_first_and_rises_when_all_can)
{
    start(NEW, NEW, NEW);
    expect_level(NEW);
    expect_trial_done(0);
    expect_trial_done(2);
    cluster_expect_same(&c);
}

Test(node_level, one_old_member_holds_it_back)
{
    start(NEW, OLD, NEW);
    expect_level(OLD);
    for (uint32_t i = 0; i < 3; i++) {
        if (i != 1) {
            expect_trial_refused(i);
        }
    }
    uint32_t call = cluster_put(&c, 0, "a", "1");
    cluster_pass(&c, SECOND);
    cluster_expect(&c, call, KVR_OUTCOME_DONE, KVR_OK);
}

Test(node_level, a_member_that_is_not_heard_holds_it_back)
{
    cluster_init(&c, 3);
    c.config.level_max = NEW;
    cluster_boot(&c, 0);
    cluster_boot(&c, 1);
    (void)cluster_elect(&c);
    cluster_pass(&c, 5 * SECOND);
    cr_assert_eq(level_of(0), OLD);
    cluster_boot(&c, 2);
    cluster_pass(&c, 3 * SECOND);
    expect_level(NEW);
}

/* The way of an upgrade: one member after the other, writes go on, and with the last the level
 * rises. */
Test(node_level, members_are_upgraded_one_by_one)
{
    start(OLD, OLD, OLD);
    for (uint32_t i = 0; i < 3; i++) {
        expect_level(OLD);
        restart(i, NEW);
        uint32_t call = cluster_put(&c, cluster_elect(&c), "k", "v");
        cluster_pass(&c, SECOND);
        cluster_expect(&c, call, KVR_OUTCOME_DONE, KVR_OK);
    }
    expect_level(NEW);
    expect_trial_done(1);
    cluster_expect_same(&c);
}

/* Until it rose the way back is open. */
Test(node_level, before_that_a_member_may_go_back)
{
    start(NEW, NEW, OLD);
    restart(0, OLD);
    restart(2, NEW);
    expect_level(OLD);
    restart(0, NEW);
    expect_level(NEW);
}

Test(node_level, a_member_that_is_too_old_stops_and_says_so)
{
    start(NEW, NEW, NEW);
    expect_trial_done(0);
    restart(2, OLD);
    cr_assert_eq(cluster_status(&c, 2).failure, KVR_FVERSION);
    cr_assert_not_null(strstr(kvr_node_error(c.members[2].node), "too old for its cluster"));
    cr_assert_not_null(strstr(kvr_node_error(c.members[2].node), "cluster level 2"));

    uint32_t call = cluster_put(&c, cluster_elect(&c), "a", "1"); /* the others go on */
    cluster_pass(&c, SECOND);
    cluster_expect(&c, call, KVR_OUTCOME_DONE, KVR_OK);

    restart(2, NEW); /* and with the right release so does it */
    cluster_expect_same(&c);
    expect_level(NEW);
}

Test(node_level, a_snapshot_of_a_higher_level_is_refused)
{
    start(NEW, NEW, NEW);
    for (uint32_t i = 0; i < 3; i++) {
        cr_assert_eq(kvr_node_snapshot(c.members[i].node), KVR_OK);
    }
    cluster_pass(&c, SECOND);
    restart(1, OLD);
    cr_assert_eq(cluster_status(&c, 1).failure, KVR_FVERSION);
    restart(1, NEW);
    cr_assert_eq(level_of(1), NEW, "the snapshot tells it");
    cluster_expect_same(&c);
}

Test(node_level, a_level_that_this_release_does_not_know_is_refused)
{
    cluster_init(&c, 1);
    kvr_node_config config = c.config;
    config.cluster_id = 1;
    config.member_id = 1;
    config.level_max = NEW + 1;
    cr_assert_not_null(strstr(kvr_node_config_check(&config), "level_max"));
    cr_assert_eq(kvr_node_level_max(), OLD);
}

/* All that can be written today can be written from the first level on. */
Test(node_level, each_kind_of_command_has_its_level)
{
    cluster_init(&c, 1);
    for (int kind = KVR__COMMAND_WRITE; kind <= KVR__COMMAND_LEVEL; kind++) {
        cr_assert_eq(kvr__command_level((uint8_t)kind), OLD);
    }
    cr_assert_eq(kvr__command_level(KVR__COMMAND_TRIAL), NEW);
}
