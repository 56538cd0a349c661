/* SPDX-License-Identifier: Apache-2.0 */
/* test_node_write.c: writes and their typed answers on a healthy cluster (etcd contract 3.5 to
 * 3.8). */
#include "node_cluster.h"

#include <criterion/criterion.h>
#include <stdlib.h>
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

TestSuite(node_write, .init = start, .fini = stop);

static kvr_op put_op(const char *key, const char *value)
{
    return (kvr_op){
        .size = sizeof(kvr_op), .kind = KVR_OP_PUT, .key = slice_of(key), .value = slice_of(value)};
}

static uint32_t done(uint32_t call)
{
    cluster_pass(&c, 1 * SECOND);
    cluster_expect(&c, call, KVR_OUTCOME_DONE, KVR_OK);
    return call;
}

Test(node_write, a_put_on_any_member_is_seen_by_all)
{
    uint32_t calls[3];
    for (uint32_t i = 0; i < 3; i++) {
        calls[i] = cluster_put(&c, i, i == 0 ? "a" : i == 1 ? "b" : "c", "1");
    }
    cluster_pass(&c, 1 * SECOND);

    for (uint32_t i = 0; i < 3; i++) {
        cluster_expect(&c, calls[i], KVR_OUTCOME_DONE, KVR_OK);
        cr_assert_str_eq(cluster_value(&c, i, "a"), "1");
        cr_assert_str_eq(cluster_value(&c, i, "b"), "1");
        cr_assert_str_eq(cluster_value(&c, i, "c"), "1");
    }
    cluster_expect_same(&c);
}

/* etcd contract 3.1: a fresh store is at 1, each transaction that changes something adds 1. */
Test(node_write, a_completion_carries_the_revision_that_the_write_made)
{
    uint32_t first = done(cluster_put(&c, 1, "a", "1"));
    uint32_t second = done(cluster_put(&c, 2, "a", "2"));
    uint32_t nothing = done(cluster_delete(&c, 0, "never", NULL));

    cr_assert_eq(c.calls[first].revision, 2);
    cr_assert_eq(c.calls[second].revision, 3);
    cr_assert_eq(c.calls[nothing].revision, 3);
    cr_assert_gt(c.calls[second].index, c.calls[first].index);
}

Test(node_write, previous_value_and_count_come_back_typed)
{
    (void)done(cluster_put(&c, 0, "a", "old"));
    kvr_op op = put_op("a", "new");
    op.flags = KVR_OP_PREV_KV;
    uint32_t put = done(cluster_write(&c, 1, &op));
    (void)done(cluster_put(&c, 0, "b", "1"));
    uint32_t del = done(cluster_delete(&c, 2, "a", "c"));

    cr_assert_str_eq(c.calls[put].value, "old");
    cr_assert_eq(c.calls[del].count, 2);
}

static uint32_t txn(uint32_t i, const char *expected, const kvr_op *then_ops, uint32_t then_count,
                    const kvr_op *else_ops, uint32_t else_count)
{
    kvr_compare compare = {.size = sizeof compare,
                           .target = KVR_COMPARE_VALUE,
                           .result = KVR_COMPARE_EQUAL,
                           .key = slice_of("a"),
                           .value = slice_of(expected)};
    kvr_txn t = {.size = sizeof t,
                 .compare_count = 1,
                 .compares = &compare,
                 .then_count = then_count,
                 .then_ops = then_ops,
                 .else_count = else_count,
                 .else_ops = else_ops};
    kvr_op op = {.size = sizeof op, .kind = KVR_OP_TXN, .txn = &t};
    return cluster_write(&c, i, &op);
}

Test(node_write, a_transaction_takes_one_path_and_says_which)
{
    (void)done(cluster_put(&c, 0, "a", "1"));
    kvr_op then_ops[2] = {put_op("a", "2"), put_op("b", "2")};
    kvr_op else_ops[1] = {{.size = sizeof(kvr_op), .kind = KVR_OP_RANGE, .key = slice_of("a")}};

    uint32_t taken = done(txn(1, "1", then_ops, 2, else_ops, 1));
    uint32_t other = done(txn(2, "1", then_ops, 2, else_ops, 1));

    cr_assert_eq(c.calls[taken].succeeded, 1);
    cr_assert_eq(c.calls[other].succeeded, 0);
    cr_assert_str_eq(c.calls[other].value, "2");
    cr_assert_eq(c.calls[other].revision, c.calls[taken].revision);
    cluster_expect_same(&c);
}

/* etcd contract 3.7: puts of the chosen path are checked for their lease before anything is done;
 * those of the other path are not. */
Test(node_write, an_unknown_lease_refuses_the_transaction_only_on_the_path_taken)
{
    (void)done(cluster_put(&c, 0, "a", "1"));
    kvr_op ops[2] = {put_op("a", "2"), put_op("b", "2")};
    ops[1].lease = 4711;
    kvr_op good = put_op("a", "3");

    uint32_t refused = txn(1, "1", ops, 2, &good, 1);
    cluster_pass(&c, 1 * SECOND);
    cluster_expect(&c, refused, KVR_OUTCOME_DONE, KVR_ENOLEASE);
    cr_assert_str_eq(cluster_value(&c, 1, "a"), "1");
    (void)done(txn(2, "1", &good, 1, ops, 2));

    cr_assert_str_eq(cluster_value(&c, 0, "a"), "3");
    cr_assert_str_eq(cluster_value(&c, 0, "b"), "");
    cluster_expect_same(&c);
}

Test(node_write, a_put_with_an_unknown_lease_is_refused)
{
    uint32_t call = cluster_put_lease(&c, 1, "a", "1", 4711);
    cluster_pass(&c, 1 * SECOND);

    cluster_expect(&c, call, KVR_OUTCOME_DONE, KVR_ENOLEASE);
    cr_assert_str_eq(cluster_value(&c, 0, "a"), "");
}

Test(node_write, a_failed_execution_changes_nothing_and_says_why)
{
    kvr_op op = put_op("nobody", "");
    op.flags = KVR_OP_IGNORE_VALUE;
    uint32_t missing = cluster_write(&c, 1, &op);
    uint32_t future = cluster_compact(&c, 2, 99);
    cluster_pass(&c, 1 * SECOND);

    cluster_expect(&c, missing, KVR_OUTCOME_DONE, KVR_ENOTFOUND);
    cluster_expect(&c, future, KVR_OUTCOME_DONE, KVR_EFUTURE);
    cluster_expect_same(&c);
}

Test(node_write, compaction_is_agreed_and_then_refused_below)
{
    for (uint32_t i = 0; i < 20; i++) {
        (void)cluster_put(&c, i % 3, "a", "x");
        (void)cluster_put(&c, i % 3, "b", "y");
    }
    cluster_pass(&c, 1 * SECOND);
    uint32_t first = done(cluster_compact(&c, 1, 30));
    uint32_t again = cluster_compact(&c, 2, 30);
    cluster_pass(&c, 1 * SECOND);

    cr_assert_eq(c.calls[first].revision, 41);
    cluster_expect(&c, again, KVR_OUTCOME_DONE, KVR_ECOMPACTED);
    for (uint32_t i = 0; i < 3; i++) {
        cr_assert_eq(cluster_status(&c, i).store.compacted, 30);
    }
    cluster_expect_same(&c);
}

Test(node_write, what_can_be_refused_at_intake_is_and_has_no_completion)
{
    kvr_op twice[2] = {put_op("a", "1"), put_op("a", "2")};
    kvr_txn t = {.size = sizeof t, .then_count = 2, .then_ops = twice};
    kvr_op op = {.size = sizeof op, .kind = KVR_OP_TXN, .txn = &t};
    kvr_op range = {.size = sizeof range, .kind = KVR_OP_RANGE, .key = slice_of("a")};
    kvr_op keys = {.size = sizeof keys, .kind = KVR_OP_DELETE_KEYS};
    kvr_node *node = c.members[0].node;

    cr_assert_eq(kvr_node_write(node, NULL, &op), KVR_EDUPKEY);
    cr_assert_eq(kvr_node_write(node, NULL, &range), KVR_EINVAL);
    cr_assert_eq(kvr_node_write(node, NULL, &keys), KVR_EINVAL);
    cr_assert_eq(kvr_node_write(node, NULL, NULL), KVR_EINVAL);
    kvr_op empty = put_op("", "1");
    cr_assert_eq(kvr_node_write(node, NULL, &empty), KVR_EINVAL);
    cr_assert_eq(kvr_node_lease_grant(node, NULL, 1, 0), KVR_EINVAL);
    cr_assert_eq(kvr_node_lease_revoke(node, NULL, 0), KVR_EINVAL);
    cr_assert_eq(kvr_node_lease_keep_alive(node, NULL, 0), KVR_EINVAL);
    cr_assert_eq(cluster_status(&c, 0).calls_waiting, 0);
}

Test(node_write, the_largest_value_passes_and_one_byte_more_does_not)
{
    uint8_t *bytes = calloc(1, KVR_VALUE_BYTES_MAX + 1);
    cr_assert_not_null(bytes);
    kvr_op op = put_op("big", "");
    op.value = (kvr_slice){bytes, KVR_VALUE_BYTES_MAX};
    uint32_t call = done(cluster_write(&c, cluster_follower(&c), &op));
    op.value.size++;
    uint32_t larger = cluster_write(&c, 0, &op);

    cluster_expect(&c, larger, KVR_OUTCOME_REFUSED, KVR_ETOOBIG);
    kvr_kv kv;
    kvr_slice key = slice_of("big");
    for (uint32_t i = 0; i < 3; i++) {
        cr_assert(kvr_node_get(c.members[i].node, &key, &kv));
        cr_assert_eq(kv.value.size, KVR_VALUE_BYTES_MAX);
    }
    cr_assert_eq(c.calls[call].revision, 2);
    free(bytes);
}

Test(node_write, the_bound_of_calls_refuses_with_busy_and_all_others_end)
{
    uint32_t taken = 0;
    uint32_t refused = 0;
    for (uint32_t i = 0; i < 2100; i++) {
        uint32_t call = cluster_put(&c, 1, "a", "x");
        if (cluster_ended(&c, call)) {
            cluster_expect(&c, call, KVR_OUTCOME_REFUSED, KVR_EBUSY);
            refused++;
        } else {
            taken++;
        }
    }
    cluster_pass(&c, 1 * SECOND);

    cr_assert_eq(taken, 2048);
    cr_assert_eq(refused, 52);
    for (uint32_t call = 0; call < c.call_count; call++) {
        cr_assert(cluster_ended(&c, call));
    }
    cr_assert_eq(cluster_status(&c, 1).store.revision, 2049);
    cluster_expect_same(&c);
}

/* FAULTS 96: who waits for the answer does not matter to what is done. */
Test(node_write, results_are_built_only_where_somebody_waits_and_the_state_is_the_same)
{
    for (uint32_t i = 0; i < 40; i++) {
        kvr_op ops[3] = {put_op("a", "1"),
                         {.size = sizeof(kvr_op), .kind = KVR_OP_RANGE, .key = slice_of("a")},
                         {.size = sizeof(kvr_op), .kind = KVR_OP_DELETE, .key = slice_of("b")}};
        ops[0].flags = KVR_OP_PREV_KV;
        (void)txn(i % 3, "1", ops, 3, &ops[1], 2);
    }
    cluster_pass(&c, 1 * SECOND);

    cluster_expect_same(&c);
}

/* A delete of many keys goes through the store in slices, and is one revision. */
Test(node_write, a_large_delete_is_one_revision)
{
    for (uint32_t i = 0; i < 2000; i++) {
        char key[16];
        key[0] = 'k';
        for (uint32_t d = 0, n = i; d < 4; d++, n /= 10) {
            key[4 - d] = (char)('0' + n % 10);
        }
        key[5] = 0;
        (void)cluster_put(&c, i % 3, key, "v");
    }
    cluster_pass(&c, 1 * SECOND);
    uint64_t before = cluster_status(&c, 0).store.revision;
    uint32_t call = done(cluster_delete(&c, 1, "k", "l"));

    cr_assert_eq(c.calls[call].count, 2000);
    cr_assert_eq(c.calls[call].revision, before + 1);
    cr_assert_eq(cluster_status(&c, 2).store.live_keys, 0);
    cluster_expect_same(&c);
}
