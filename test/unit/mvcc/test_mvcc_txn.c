/* SPDX-License-Identifier: Apache-2.0 */
/* test_mvcc_txn.c: transactions, a rule of the etcd contract (3.7 "Txn") a test; what is checked of
 * the operation alone is in test_mvcc_check_op.c. */
#include "mvcc_fixture.h"

MVCC_SUITE(mvcc_txn);

static bool holds(kvr_compare compare)
{
    kvr_txn txn = TXN(.compare_count = 1, .compares = &compare);
    kvr_op op = op_txn(&txn);
    kvr_mvcc_result *result = apply(&op);
    bool succeeded = kvr_mvcc_result_root(result)->succeeded != 0;
    kvr_mvcc_result_free(result);
    return succeeded;
}

/* Which of EQUAL, GREATER, LESS, NOT_EQUAL hold, as four letters. */
static const char *holding(const char *key, uint8_t target, int64_t number)
{
    static char text_of[2][5];
    static uint32_t turn;
    char *to = text_of[turn++ % 2];
    for (uint8_t result = 0; result < 4; result++) {
        to[result] = holds(compare_number(key, target, result, number)) ? "=><!"[result] : '.';
    }
    return to;
}

static const char *value_holding(const char *key, const char *value)
{
    static char to[5];
    for (uint8_t result = 0; result < 4; result++) {
        to[result] = holds(compare_value(key, result, value)) ? "=><!"[result] : '.';
    }
    return to;
}

/* 3.7: "VERSION, CREATE, MOD, LEASE compare int64"; "GREATER (stored > given), LESS (stored <
 * given)" */
Test(mvcc_txn, numbers_compare_as_stored_against_given)
{
    put("x", "");
    kvr_op op = op_put("k", "v");
    op.lease = -5;
    kvr_mvcc_result_free(apply(&op));
    kvr_mvcc_result_free(apply(&op));

    assert_text(holding("k", KVR_COMPARE_VERSION, 2), "=...");
    assert_text(holding("k", KVR_COMPARE_VERSION, 1), ".>.!");
    assert_text(holding("k", KVR_COMPARE_VERSION, 3), "..<!");
    assert_text(holding("k", KVR_COMPARE_CREATE, 3), "=...");
    assert_text(holding("k", KVR_COMPARE_MOD, 4), "=...");
    assert_text(holding("k", KVR_COMPARE_MOD, -1), ".>.!");
    assert_text(holding("k", KVR_COMPARE_LEASE, -5), "=...");
    assert_text(holding("k", KVR_COMPARE_LEASE, 0), "..<!");
}

/* 3.7: "VALUE compares bytes lexicographically" */
Test(mvcc_txn, values_compare_byte_by_byte)
{
    put("k", "mm");

    assert_text(value_holding("k", "mm"), "=...");
    assert_text(value_holding("k", "m"), ".>.!");
    assert_text(value_holding("k", "mmm"), "..<!");
    assert_text(value_holding("k", "n"), "..<!");
    assert_text(value_holding("k", "\xff"), "..<!");
}

/* 3.7: "Missing key: int targets compare against 0. VALUE on a missing key is always false, even
 * NOT_EQUAL" */
Test(mvcc_txn, a_missing_key_has_zeros_and_no_value)
{
    put("gone", "v");
    del("gone");

    assert_text(holding("missing", KVR_COMPARE_VERSION, 0), "=...");
    assert_text(holding("gone", KVR_COMPARE_CREATE, 0), "=...");
    assert_text(holding("gone", KVR_COMPARE_MOD, 1), "..<!");
    assert_text(holding("gone", KVR_COMPARE_LEASE, -1), ".>.!");
    assert_text(value_holding("gone", ""), "....");
    assert_text(value_holding("missing", "x"), "....");
}

/* 3.7: "range_end: the condition must hold for every key in the interval; an empty interval behaves
 * like a missing key" */
Test(mvcc_txn, a_compare_over_an_interval_is_for_every_key)
{
    put("a", "1");
    put("b", "1");
    put("c", "2");
    kvr_compare compare = compare_value("a", KVR_COMPARE_EQUAL, "1");
    compare.range_end = text("c");
    cr_assert(holds(compare));
    compare.range_end = ALL;
    cr_assert_not(holds(compare));

    kvr_compare empty = compare_number("x", KVR_COMPARE_VERSION, KVR_COMPARE_EQUAL, 0);
    empty.range_end = text("z");
    cr_assert(holds(empty));
    empty = compare_value("x", KVR_COMPARE_NOT_EQUAL, "1");
    empty.range_end = text("z");
    cr_assert_not(holds(empty));
}

/* 3.7: "all compares must hold; an empty list holds"; "Failure branch execution is not an
 * error." */
Test(mvcc_txn, all_compares_must_hold_or_the_else_branch_is_taken)
{
    put("a", "1");
    kvr_compare compares[] = {compare_value("a", KVR_COMPARE_EQUAL, "1"),
                              compare_value("a", KVR_COMPARE_EQUAL, "2")};
    kvr_op then_ops[] = {op_put("then", "x")}, else_ops[] = {op_put("else", "y")};
    kvr_txn txn = TXN(.compare_count = 2, .compares = compares, .then_count = 1,
                      .then_ops = then_ops, .else_count = 1, .else_ops = else_ops);
    kvr_op op = op_txn(&txn);

    kvr_mvcc_result *result = apply(&op);
    cr_assert_eq(kvr_mvcc_result_root(result)->succeeded, 0);
    kvr_mvcc_result_free(result);
    assert_text(range_now(ALL, ALL), "a=1 else=y");

    txn.compare_count = 0;
    result = apply(&op);
    cr_assert_eq(kvr_mvcc_result_root(result)->succeeded, 1);
    kvr_mvcc_result_free(result);
    assert_text(range_now(ALL, ALL), "a=1 else=y then=x");
}

/* 3.7: "All compares, including those of nested txns on the chosen path, are evaluated against the
 * state before the txn." */
Test(mvcc_txn, inner_compares_see_the_state_before_the_transaction)
{
    put("k", "old");
    kvr_compare is_old = compare_value("k", KVR_COMPARE_EQUAL, "old");
    kvr_op yes = op_put("seen", "old"), no = op_put("seen", "new");
    kvr_txn inner = TXN(.compare_count = 1, .compares = &is_old, .then_count = 1, .then_ops = &yes,
                        .else_count = 1, .else_ops = &no);
    kvr_op ops[] = {op_put("k", "new"), op_txn(&inner)};
    kvr_txn outer = TXN(.then_count = 2, .then_ops = ops);
    kvr_op op = op_txn(&outer);

    kvr_mvcc_result_free(apply(&op));

    assert_text(range_now(ALL, ALL), "k=new seen=old");
}

/* 3.7: "ops of the chosen branch in order; reads see the effects of earlier ops of the same txn" */
Test(mvcc_txn, reads_see_what_earlier_operations_did)
{
    put("a", "1");
    kvr_op ops[] = {op_range(ALL, ALL), op_put("b", "2"), op_range(ALL, ALL),
                    op_delete(text("a"), ONE), op_range(ALL, ALL)};
    kvr_txn txn = TXN(.then_count = COUNT_OF(ops), .then_ops = ops);
    kvr_op op = op_txn(&txn);

    kvr_mvcc_result *result = apply(&op);

    const kvr_op_result *results = kvr_mvcc_result_root(result)->results;
    cr_assert_eq(kvr_mvcc_result_root(result)->result_count, 5);
    assert_text(kvs_text(results[0].kvs, results[0].kv_count), "a=1");
    assert_text(kvs_text(results[2].kvs, results[2].kv_count), "a=1 b=2");
    assert_text(kvs_text(results[4].kvs, results[4].kv_count), "b=2");
    cr_assert_eq(results[4].count, 1);
    cr_assert_eq(results[3].count, 1);
    cr_assert_eq(results[2].kvs[1].mod_revision, 3);
    kvr_mvcc_result_free(result);
}

/* The same for ranges that are too large for an array: each is a view of its own moment. */
Test(mvcc_txn, a_large_read_sees_its_own_moment_of_the_transaction)
{
    char key[16];
    for (int i = 0; i < 1100; i++) {
        (void)snprintf(key, sizeof key, "n%04d", i);
        put(key, "");
    }
    uint64_t before = head_now();
    kvr_op ops[] = {op_range(ALL, ALL), op_delete(text("n0000"), text("n0010")), op_range(ALL, ALL),
                    op_delete(ALL, ALL)};
    ops[3].flags = KVR_OP_PREV_KV;
    kvr_txn txn = TXN(.then_count = COUNT_OF(ops), .then_ops = ops);
    kvr_op op = op_txn(&txn);

    kvr_mvcc_result *result = apply(&op);

    const kvr_op_result *results = kvr_mvcc_result_root(result)->results;
    cr_assert_eq(count_of(results[0].view, ALL, ALL, 0), 1100);
    cr_assert_eq(kvr_mvcc_view_revision(results[0].view), before);
    cr_assert_eq(count_of(results[2].view, ALL, ALL, 0), 1090);
    cr_assert_eq(count_of(results[3].view, ALL, ALL, 0), 1090);
    cr_assert_eq(results[3].count, 1090);
    cr_assert_eq(status_now().live_keys, 0);
    kvr_mvcc_result_free(result);
}

/* 3.7: "Then every op on the chosen path is pre-checked against that state ... Any failure aborts
 * the whole txn with that error and nothing is applied." */
Test(mvcc_txn, one_refused_operation_refuses_all)
{
    put("a", "1");
    put("a", "2");
    compact_all(3);
    kvr_op future = op_range(ALL, ALL), compacted = op_range(ALL, ALL);
    future.revision = 4; /* "a range may not ask for the revision this txn will create" */
    compacted.revision = 2;
    const struct {
        kvr_op op;
        kvr_status status;
    } cases[] = {{future, KVR_EFUTURE},
                 {compacted, KVR_ECOMPACTED},
                 {op_put_flags("b", "", KVR_OP_IGNORE_VALUE), KVR_ENOTFOUND}};
    kvr_mvcc_status before = status_now();

    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        kvr_txn inner = TXN(.then_count = 1, .then_ops = &cases[i].op);
        kvr_op ops[] = {op_put("c", "3"), op_txn(&inner)};
        kvr_txn txn = TXN(.then_count = 2, .then_ops = ops);
        kvr_op op = op_txn(&txn);
        kvr_mvcc_result *result = NULL;
        cr_assert_eq(kvr_mvcc_apply(store, &op, &result), cases[i].status);
        cr_assert_null(result);
    }
    cr_assert_eq(status_now().hash_chain, before.hash_chain);
    assert_text(range_now(ALL, ALL), "a=2");
}

/* The same operation in a branch that is not taken refuses nothing. */
Test(mvcc_txn, a_branch_that_is_not_taken_is_not_checked)
{
    kvr_op missing = op_put_flags("b", "", KVR_OP_IGNORE_VALUE);
    kvr_txn txn = TXN(.else_count = 1, .else_ops = &missing);
    kvr_op op = op_txn(&txn);

    kvr_mvcc_result_free(apply(&op));

    cr_assert_eq(head_now(), 1);
}

/* 3.7: "responses[i] matches ops[i] by type"; FAULTS 96: the store is the same whether or not an
 * answer is wanted. */
Test(mvcc_txn, the_store_does_not_know_who_waits_for_the_answer)
{
    kvr_mvcc *other = new_store();
    kvr_op inner_ops[] = {op_put("b", "1"), op_range(ALL, ALL)};
    kvr_txn inner = TXN(.then_count = 2, .then_ops = inner_ops);
    kvr_op ops[] = {op_put("a", "1"), op_txn(&inner), op_delete(text("c"), text("d"))};
    kvr_txn txn = TXN(.then_count = 3, .then_ops = ops);
    kvr_op op = op_txn(&txn);

    kvr_mvcc_result *result = apply(&op);
    MUST(kvr_mvcc_apply(other, &op, NULL));

    const kvr_op_result *root = kvr_mvcc_result_root(result);
    cr_assert_eq(root->results[0].kind, KVR_OP_PUT);
    cr_assert_eq(root->results[1].kind, KVR_OP_TXN);
    cr_assert_eq(root->results[1].results[1].kind, KVR_OP_RANGE);
    cr_assert_eq(root->results[2].kind, KVR_OP_DELETE);
    kvr_mvcc_status status = {.size = sizeof status};
    kvr_mvcc_get_status(other, &status);
    cr_assert_eq(status.hash_chain, status_now().hash_chain);
    cr_assert_eq(status.hash_live, status_now().hash_live);
    kvr_mvcc_result_free(result);

    kvr_op read = op_range(ALL, ALL); /* it is refused, and so is what stands beside it */
    read.revision = 99;
    kvr_op refused_ops[] = {op_put("a", "2"), read};
    kvr_txn refused = TXN(.then_count = 2, .then_ops = refused_ops);
    op = op_txn(&refused);
    cr_assert_eq(kvr_mvcc_apply(store, &op, &result), KVR_EFUTURE);
    cr_assert_eq(kvr_mvcc_apply(other, &op, NULL), KVR_EFUTURE);
    kvr_mvcc_free(other);
}

/* FAULTS 95: a large transaction in slices shows nothing of itself until its last one. */
Test(mvcc_txn, nothing_is_seen_of_a_transaction_before_its_last_slice)
{
    char key[16];
    for (int i = 0; i < 200; i++) {
        (void)snprintf(key, sizeof key, "n%04d", i);
        put(key, "1");
    }
    kvr_mvcc_status before = status_now();
    kvr_op ops[] = {op_put("a", "2"), op_delete(text("n"), text("o"))};
    kvr_txn txn = TXN(.then_count = 2, .then_ops = ops);
    kvr_op op = op_txn(&txn);
    uint32_t slices = 0;
    kvr_status status;

    MUST(kvr_mvcc_apply_begin(store, &op, true));
    while ((status = kvr_mvcc_apply_step(store, 10)) == KVR_AGAIN) {
        kvr_mvcc_view *view = view_now();
        slices++;
        cr_assert_eq(status_now().hash_chain, before.hash_chain);
        cr_assert_eq(status_now().live_keys, 200);
        cr_assert_eq(count_of(view, ALL, ALL, 0), 200);
        assert_text(get_text("a"), "-");
        assert_text(get_text("n0000"), "1 2/2/1 0");
        assert_text(changes_text(before.revision + 1), "");
        cr_assert_eq(kvr_mvcc_apply(store, &op, NULL), KVR_ESTATE);
        cr_assert_eq(kvr_mvcc_apply_begin(store, &op, false), KVR_ESTATE);
        cr_assert_eq(kvr_mvcc_compact(store, 3), KVR_ESTATE);
        cr_assert_eq(kvr_mvcc_compact_step(store, 1), KVR_ESTATE);
        cr_assert_eq(kvr_mvcc_load_begin(store), KVR_ESTATE);
        cr_assert_eq(kvr_mvcc_apply_finish(store, NULL), KVR_ESTATE);
        kvr_mvcc_view_free(view);
    }
    cr_assert_eq(status, KVR_OK);
    kvr_mvcc_result *result;
    MUST(kvr_mvcc_apply_finish(store, &result));

    cr_assert_gt(slices, 15);
    cr_assert_eq(kvr_mvcc_result_root(result)->results[1].count, 200);
    assert_text(range_now(ALL, ALL), "a=2");
    cr_assert_eq(head_now(), before.revision + 1);
    kvr_mvcc_result_free(result);
    cr_assert_eq(kvr_mvcc_apply_step(store, 1), KVR_ESTATE);
}

/* A view of before, opened between slices, still holds when all is over. */
Test(mvcc_txn, a_view_opened_between_slices_keeps_the_state_before)
{
    char key[16];
    for (int i = 0; i < 200; i++) {
        (void)snprintf(key, sizeof key, "n%04d", i);
        put(key, "1");
    }
    kvr_op op = op_delete(ALL, ALL);
    MUST(kvr_mvcc_apply_begin(store, &op, false));
    cr_assert_eq(kvr_mvcc_apply_step(store, 50), KVR_AGAIN);
    cr_assert_eq(kvr_mvcc_apply_step(store, 50), KVR_AGAIN);
    kvr_mvcc_view *view = view_now();
    while (kvr_mvcc_apply_step(store, 50) == KVR_AGAIN) {
    }
    MUST(kvr_mvcc_apply_finish(store, NULL));
    put("new", "2");
    compact_all(head_now());

    cr_assert_eq(count_of(view, ALL, ALL, 0), 200);
    assert_text(range_text(view, text("n0000"), text("n0003"), 0), "n0000=1 n0001=1 n0002=1");
    kvr_mvcc_view_free(view);
    assert_text(range_now(ALL, ALL), "new=2");
}

/* A refusal comes from _finish; nothing else is different. */
Test(mvcc_txn, a_refusal_in_slices_is_told_at_the_end)
{
    kvr_op missing = op_put_flags("b", "", KVR_OP_IGNORE_VALUE), wrong = op_put("", "v");
    const struct {
        const kvr_op *op;
        kvr_status status;
    } cases[] = {{&missing, KVR_ENOTFOUND}, {&wrong, KVR_EINVAL}};

    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        kvr_mvcc_result *result = NULL;
        MUST(kvr_mvcc_apply_begin(store, cases[i].op, true));
        MUST(kvr_mvcc_apply_step(store, 1));
        cr_assert_eq(kvr_mvcc_apply_finish(store, &result), cases[i].status);
        cr_assert_null(result);
        cr_assert_eq(head_now(), 1);
    }
}
