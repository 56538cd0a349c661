/* SPDX-License-Identifier: Apache-2.0 */
/* test_node_memory.c: every allocation of a whole scenario fails once, and from there on for a
 * while: statuses, no leak, and in the end the same state as if nothing had happened. */
#include "node_cluster.h"

#include "support/fault_sweep.h"

#include <criterion/criterion.h>

static cluster c;
static uint32_t booted;

static void boot_all(void)
{
    for (uint32_t i = 0; i < c.count; i++) {
        if (c.members[i].node == NULL && cluster_try_boot(&c, i) == KVR_OK) {
            c.members[i].disk.first = c.members[i].disk.first == 0 ? 1 : c.members[i].disk.first;
            booted++;
        }
    }
}

/* Every kind of call once, whoever leads; what intake refuses is refused. */
static void one_of_each(uint32_t i)
{
    (void)cluster_grant(&c, i, 7, 3 * SECOND);
    cluster_pass(&c, 300 * MILLISECOND);
    (void)cluster_put_lease(&c, i, "leased", "1", 7);
    (void)cluster_put(&c, i, "a", "1");
    kvr_op ops[2] = {{.size = sizeof(kvr_op), .kind = KVR_OP_PUT, .key = slice_of("a")},
                     {.size = sizeof(kvr_op), .kind = KVR_OP_RANGE, .key = slice_of("a")}};
    kvr_txn txn = {.size = sizeof txn, .then_count = 2, .then_ops = ops};
    kvr_op op = {.size = sizeof op, .kind = KVR_OP_TXN, .txn = &txn};
    (void)cluster_write(&c, i, &op);
    (void)cluster_keep_alive(&c, i, 7);
    (void)cluster_time_to_live(&c, i, 7);
    (void)cluster_read(&c, i);
    cluster_pass(&c, 300 * MILLISECOND);
    (void)cluster_delete(&c, i, "a", NULL);
    (void)cluster_compact(&c, i, 3);
    cluster_pass(&c, 300 * MILLISECOND);
}

static void scenario(void)
{
    kvr_watch_request watch = {
        .size = sizeof watch, .key = slice_of("a"), .range_end = slice_of("z")};
    uint64_t id;
    boot_all();
    if (c.members[0].node != NULL) {
        (void)!kvr_node_watch(c.members[0].node, &watch, &id);
    }
    cluster_pass(&c, 4 * SECOND);
    for (uint32_t i = 0; i < c.count; i++) {
        if (c.members[i].node != NULL) {
            one_of_each(i);
            (void)!kvr_node_snapshot(c.members[i].node);
        }
    }
    cluster_pass(&c, 1 * SECOND);
}

/* Without a fault each call was done: a sweep over refusals would prove little. */
static void expect_all_done(void)
{
    for (uint32_t call = 0; call < c.call_count; call++) {
        cr_assert(cluster_ended(&c, call));
        cr_assert_eq(c.calls[call].outcome, KVR_OUTCOME_DONE);
    }
}

/* Memory is there again: everything that was taken in ends, and all members agree. */
static void recovered(void)
{
    boot_all();
    cluster_pass(&c, 25 * SECOND);
    uint32_t leader = cluster_elect(&c);
    for (uint32_t call = 0; call < c.call_count; call++) {
        cr_assert(cluster_ended(&c, call), "%s: call %u", fault_text(), call);
    }
    for (uint32_t i = 0; i < c.count; i++) {
        cr_assert_eq(cluster_status(&c, i).failure, KVR_OK, "%s: %s", fault_text(),
                     kvr_node_error(c.members[i].node));
    }
    uint32_t call = cluster_put(&c, leader, "last", "1");
    cluster_pass(&c, 2 * SECOND);
    cluster_expect(&c, call, KVR_OUTCOME_DONE, KVR_OK);
    cluster_expect_same(&c);
    cluster_stop(&c);
}

/* The n-th allocation of the whole run fails, once or from there to its end. */
static void sweep(uint32_t members, bool for_ever)
{
    for (uint64_t nth = 1;; nth++) {
        cluster_init(&c, members);
        c.config.snapshot_chunk_bytes = 4096;
        c.config.keep_entries = 2;
        fault_arm(FAULT_ALLOC, nth, for_ever);
        scenario();
        uint64_t fired = fault_fired();
        fault_disarm();
        if (fired == 0) {
            expect_all_done();
        }
        recovered();
        if (fired == 0) {
            return;
        }
    }
}

Test(node_memory, any_allocation_of_a_lone_member_may_fail)
{
    sweep(1, false);
}

Test(node_memory, any_allocation_of_three_members_may_fail)
{
    sweep(3, false);
}

/* Memory stays short for seconds, wherever that begins. */
Test(node_memory, a_long_lack_of_memory_loses_nothing)
{
    sweep(1, true);
    sweep(3, true);
}

/* A restart from a snapshot, and an install, while memory is short. */
static void fill(uint32_t i, uint32_t count)
{
    for (uint32_t n = 0; n < count; n++) {
        char key[3] = {(char)('a' + n % 26), (char)('a' + n / 26 % 26), 0};
        (void)cluster_put_lease(&c, i, key, "some value of some length", n % 5 == 0 ? 7 : 0);
    }
    cluster_pass(&c, 500 * MILLISECOND);
}

Test(node_memory, an_install_survives_any_failed_allocation)
{
    for (uint64_t nth = 1;; nth++) {
        cluster_init(&c, 1);
        c.config.snapshot_chunk_bytes = 4096;
        c.config.keep_entries = 1;
        cluster_boot(&c, 0);
        (void)cluster_elect(&c);
        (void)cluster_grant(&c, 0, 7, 600 * SECOND);
        cluster_pass(&c, 300 * MILLISECOND);
        fill(0, 200);
        cr_assert_eq(kvr_node_snapshot(c.members[0].node), KVR_OK);
        cluster_pass(&c, 500 * MILLISECOND);
        uint64_t live = cluster_status(&c, 0).store.hash_live;
        cluster_crash(&c, 0);
        fault_arm(FAULT_ALLOC, nth, false);
        kvr_status status = cluster_try_boot(&c, 0);
        if (status == KVR_OK) {
            cluster_pass(&c, 1 * SECOND);
        }
        uint64_t fired = fault_fired();
        fault_disarm();
        cr_assert(status == KVR_OK || status == KVR_ENOMEM);
        if (status != KVR_OK) {
            cluster_boot(&c, 0);
        }
        (void)cluster_elect(&c);
        cr_assert_eq(cluster_status(&c, 0).store.hash_live, live, "%s", fault_text());
        kvr_slice keys[64];
        uint32_t count = 0;
        cr_assert_eq(kvr_node_lease_keys(c.members[0].node, 7, NULL, keys, 64, &count), KVR_OK);
        cr_assert_eq(count, 40);
        cluster_stop(&c);
        if (fired == 0) {
            return;
        }
    }
}
