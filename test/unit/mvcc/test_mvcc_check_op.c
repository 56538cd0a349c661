/* SPDX-License-Identifier: Apache-2.0 */
/* test_mvcc_check_op.c: what is refused by looking at an operation alone: limits, fields that a
 * kind does not name, nesting, duplicate keys (etcd contract 3.7, "Validation" and "Overlap
 * check"). */
#include "mvcc_fixture.h"
#include "support/model_mvcc.h"

#include "base/random.h"

#include <stdlib.h>

MVCC_SUITE(mvcc_check_op);

static kvr_status check(kvr_op op)
{
    return kvr_mvcc_op_check(&op);
}

static kvr_status check_list(const kvr_op *ops, uint32_t count)
{
    kvr_txn txn = TXN(.then_count = count, .then_ops = ops);
    kvr_op op = op_txn(&txn);
    return kvr_mvcc_op_check(&op);
}

static kvr_status check_pair(kvr_op a, kvr_op b)
{
    kvr_op ops[] = {a, b};
    return check_list(ops, 2);
}

/* Keys up to 65,535 bytes, values up to 1.5 MiB: the limits themselves are legal. */
Test(mvcc_check_op, sizes_end_at_their_limits)
{
    uint8_t *bytes = calloc(1, KVR_VALUE_BYTES_MAX + 1);
    cr_assert_not_null(bytes);
    kvr_op op = op_put("k", "");
    op.key = (kvr_slice){bytes, KVR_KEY_BYTES_MAX};
    op.value = (kvr_slice){bytes, KVR_VALUE_BYTES_MAX};
    MUST(kvr_mvcc_apply(store, &op, NULL));
    kvr_kv kv;
    cr_assert(kvr_mvcc_get(store, &op.key, &kv));
    cr_assert_eq(kv.value.size, KVR_VALUE_BYTES_MAX);

    op.key.size++;
    cr_assert_eq(check(op), KVR_ETOOBIG);
    op.key.size = 1;
    op.value.size++;
    cr_assert_eq(check(op), KVR_ETOOBIG);
    kvr_op range = op_range(text("a"), (kvr_slice){bytes, KVR_KEY_BYTES_MAX + 1});
    cr_assert_eq(check(range), KVR_ETOOBIG);
    free(bytes);
}

/* Fields that a kind does not name are zero, flags that it does not know are refused. */
Test(mvcc_check_op, what_a_kind_does_not_name_must_be_zero)
{
    kvr_txn txn = TXN(0);
    kvr_slice keys[] = {text("k")};
    kvr_op bad[24];
    uint32_t count = 0;

    bad[count] = op_put("k", "v"), bad[count++].range_end = ALL;
    bad[count] = op_put("k", "v"), bad[count++].revision = 1;
    bad[count] = op_put("k", "v"), bad[count++].limit = 1;
    bad[count] = op_put("k", "v"), bad[count++].txn = &txn;
    bad[count] = op_put("k", "v"), bad[count++].key_count = 1;
    bad[count] = op_put("k", "v"), bad[count++].reserved[1] = 1;
    bad[count] = op_put("k", "v"), bad[count++].size = 8;
    bad[count] = op_put("k", "v"), bad[count++].kind = 0;
    bad[count] = op_put("k", "v"), bad[count++].kind = 9;
    bad[count++] = op_put_flags("k", "v", KVR_OP_KEYS_ONLY);
    bad[count] = op_put("k", "v"), bad[count++].value.data = NULL;
    bad[count] = op_range(ALL, ALL), bad[count++].value = text("v");
    bad[count] = op_range(ALL, ALL), bad[count++].lease = 1;
    bad[count] = op_range(ALL, ALL), bad[count++].flags = KVR_OP_PREV_KV;
    bad[count] = op_delete(ALL, ALL), bad[count++].limit = 1;
    bad[count] = op_delete(ALL, ALL), bad[count++].flags = KVR_OP_KEYS_ONLY;
    bad[count] = op_txn(&txn), bad[count++].key = text("k");
    bad[count] = op_txn(&txn), bad[count++].flags = 1;
    bad[count++] = op_txn(NULL);
    bad[count] =
        (kvr_op){.size = sizeof(kvr_op), .kind = KVR_OP_DELETE_KEYS, .keys = keys, .key_count = 1},
    bad[count++].key = text("k");

    for (uint32_t i = 0; i < count; i++) {
        cr_assert_eq(check(bad[i]), KVR_EINVAL, "case %u", i);
        cr_assert_eq(kvr_mvcc_apply(store, &bad[i], NULL), KVR_EINVAL);
    }
    cr_assert_eq(head_now(), 1);
}

/* A newer caller's larger struct is accepted as long as it sets nothing that we do not know. */
Test(mvcc_check_op, larger_structs_are_read_with_their_own_stride)
{
    struct {
        kvr_op op;
        uint64_t unknown;
    } ops[2] = {{op_put("a", "1"), 0}, {op_put("b", "2"), 0}};
    ops[0].op.size = ops[1].op.size = sizeof ops[0];
    kvr_txn txn = TXN(.then_count = 2, .then_ops = &ops[0].op);
    kvr_op op = op_txn(&txn);

    kvr_mvcc_result_free(apply(&op));
    assert_text(range_now(ALL, ALL), "a=1 b=2");

    ops[1].unknown = 1;
    cr_assert_eq(check(op), KVR_EINVAL);
    ops[1].unknown = 0;
    ops[1].op.size = sizeof(kvr_op);
    cr_assert_eq(check(op), KVR_EINVAL, "elements of one array have one size");
}

/* 3.7 step 1: "n = max(len(compare), len(success), len(failure)); n > max-txn-ops: too many
 * operations. For a nested txn the allowance is the parent's allowance minus the parent's n." */
Test(mvcc_check_op, a_transaction_has_at_most_128_of_each)
{
    kvr_op ops[KVR_TXN_OPS_MAX + 1];
    kvr_compare compares[KVR_TXN_OPS_MAX + 1];
    for (uint32_t i = 0; i <= KVR_TXN_OPS_MAX; i++) {
        ops[i] = op_range(text("a"), ONE);
        compares[i] = compare_number("a", KVR_COMPARE_MOD, KVR_COMPARE_EQUAL, 0);
    }

    kvr_txn txn =
        TXN(.compare_count = KVR_TXN_OPS_MAX, .then_count = KVR_TXN_OPS_MAX,
            .else_count = KVR_TXN_OPS_MAX, .compares = compares, .then_ops = ops, .else_ops = ops);
    cr_assert_eq(check(op_txn(&txn)), KVR_OK);
    txn.compare_count++;
    cr_assert_eq(check(op_txn(&txn)), KVR_ETOOBIG);
    txn.compare_count = 0;
    txn.else_count++;
    cr_assert_eq(check(op_txn(&txn)), KVR_ETOOBIG);

    kvr_txn inner = TXN(.then_count = KVR_TXN_OPS_MAX - 1, .then_ops = ops);
    kvr_op nested = op_txn(&inner);
    kvr_txn outer = TXN(.then_count = 1, .then_ops = &nested);
    cr_assert_eq(check(op_txn(&outer)), KVR_OK);
    inner.then_count++;
    cr_assert_eq(check(op_txn(&outer)), KVR_ETOOBIG);
}

/* FAULTS 107: depth is bounded before anything recurses; the number of all operations too. */
Test(mvcc_check_op, nesting_ends_at_depth_4_and_1024_operations)
{
    kvr_txn txns[KVR_TXN_DEPTH_MAX + 1];
    kvr_op ops[KVR_TXN_DEPTH_MAX + 1];
    kvr_op leaf = op_put("k", "v");
    for (int32_t i = KVR_TXN_DEPTH_MAX; i >= 0; i--) {
        const kvr_op *below = i == KVR_TXN_DEPTH_MAX ? &leaf : &ops[i + 1];
        txns[i] = TXN(.then_count = 1, .then_ops = below);
        ops[i] = op_txn(&txns[i]);
    }
    cr_assert_eq(check(ops[0]), KVR_ETOOBIG);
    cr_assert_eq(check(ops[1]), KVR_OK);

    kvr_op reads[64], inner[32];
    for (uint32_t i = 0; i < 64; i++) {
        reads[i] = op_range(text("a"), ONE);
    }
    kvr_txn wide = TXN(.then_count = 31, .then_ops = reads);
    for (uint32_t i = 0; i < 32; i++) {
        inner[i] = op_txn(&wide);
    }
    cr_assert_eq(check_list(inner, 31), KVR_OK);      /* 1 + 31 + 31 * 31 = 993 */
    cr_assert_eq(check_list(inner, 32), KVR_ETOOBIG); /* 1 + 32 + 32 * 31 = 1,025 */
}

/* A cycle of transactions ends at the same limits. */
Test(mvcc_check_op, a_transaction_inside_itself_is_too_big)
{
    kvr_txn txn = TXN(.then_count = 1);
    kvr_op op = op_txn(&txn);
    txn.then_ops = &op;

    cr_assert_eq(kvr_mvcc_op_check(&op), KVR_ETOOBIG);
}

/* 3.7 step 2 and 3: compares need keys; each operation is checked, also in the branch that will not
 * be taken. */
Test(mvcc_check_op, compares_and_both_branches_are_checked)
{
    kvr_compare compare = compare_number("", KVR_COMPARE_MOD, KVR_COMPARE_EQUAL, 0);
    kvr_txn txn = TXN(.compare_count = 1, .compares = &compare);
    cr_assert_eq(check(op_txn(&txn)), KVR_EINVAL);
    compare.key = text("k");
    cr_assert_eq(check(op_txn(&txn)), KVR_OK);
    compare.target = 5;
    cr_assert_eq(check(op_txn(&txn)), KVR_EINVAL);
    compare.target = 0;
    compare.result = 4;
    cr_assert_eq(check(op_txn(&txn)), KVR_EINVAL);
    compare.result = 0;

    kvr_op bad = op_put("", "v");
    txn.else_ops = &bad;
    txn.else_count = 1;
    cr_assert_eq(check(op_txn(&txn)), KVR_EINVAL);
    txn.else_ops = NULL;
    cr_assert_eq(check(op_txn(&txn)), KVR_EINVAL);
}

/* 3.7 step 4, the first three: FAULTS 105. */
Test(mvcc_check_op, no_key_is_put_twice_nor_put_and_deleted)
{
    cr_assert_eq(check_pair(op_put("a", "1"), op_put("a", "2")), KVR_EDUPKEY);
    cr_assert_eq(check_pair(op_put("a", "1"), op_put("b", "2")), KVR_OK);
    cr_assert_eq(check_pair(op_put("b", "1"), op_delete(text("a"), text("c"))), KVR_EDUPKEY);
    cr_assert_eq(check_pair(op_delete(text("a"), text("c")), op_put("b", "1")), KVR_EDUPKEY);
    cr_assert_eq(check_pair(op_delete(text("b"), ONE), op_put("b", "1")), KVR_EDUPKEY);
    cr_assert_eq(check_pair(op_delete(text("a"), text("b")), op_put("b", "1")), KVR_OK);
    cr_assert_eq(check_pair(op_delete(text("a"), ALL), op_put("b", "1")), KVR_EDUPKEY);
    cr_assert_eq(check_pair(op_delete(text("a"), text("c")), op_delete(text("b"), text("d"))),
                 KVR_OK);
    cr_assert_eq(check_pair(op_range(ALL, ALL), op_put("b", "1")), KVR_OK);
}

/* 3.7 step 4: "puts that occur in both branches of the same nested txn do not conflict with each
 * other; puts of two different sibling txns do conflict; a nested put conflicts with deletes of its
 * own list level ... and with deletes of the enclosing list" */
Test(mvcc_check_op, branches_of_one_transaction_exclude_each_other)
{
    kvr_op put_a = op_put("a", "1"), delete_a = op_delete(text("a"), ONE);
    kvr_txn both = TXN(.then_count = 1, .then_ops = &put_a, .else_count = 1, .else_ops = &put_a);
    kvr_txn mixed =
        TXN(.then_count = 1, .then_ops = &put_a, .else_count = 1, .else_ops = &delete_a);
    kvr_txn then_only = TXN(.then_count = 1, .then_ops = &put_a);
    kvr_txn else_only = TXN(.else_count = 1, .else_ops = &put_a);
    kvr_txn deleting = TXN(.then_count = 1, .then_ops = &delete_a);

    cr_assert_eq(check(op_txn(&both)), KVR_OK);
    cr_assert_eq(check(op_txn(&mixed)), KVR_OK);
    cr_assert_eq(check_pair(op_txn(&both), op_put("b", "1")), KVR_OK);
    cr_assert_eq(check_pair(op_txn(&both), put_a), KVR_EDUPKEY);
    cr_assert_eq(check_pair(op_txn(&then_only), op_txn(&else_only)), KVR_EDUPKEY);
    cr_assert_eq(check_pair(op_txn(&then_only), delete_a), KVR_EDUPKEY);
    cr_assert_eq(check_pair(delete_a, op_txn(&else_only)), KVR_EDUPKEY);
    /* etcd's quirk, which accepts this one, is not repeated. */
    cr_assert_eq(check_pair(op_txn(&then_only), op_txn(&deleting)), KVR_EDUPKEY);
    cr_assert_eq(check_pair(op_txn(&deleting), op_txn(&then_only)), KVR_EDUPKEY);
}

/* ------------------------------------------------------------------ against the reference */

static kvr__random random_state;
static kvr_op ops[512];
static kvr_txn txns[512];
static uint32_t op_count, txn_count;

static kvr_op random_op(uint32_t depth)
{
    static const char *const keys[] = {"a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l"};
    const char *key = keys[kvr__random_below(&random_state, COUNT_OF(keys))];
    uint64_t what = kvr__random_below(&random_state, depth < 4 && op_count < 480 ? 8 : 6);
    if (what < 3) {
        return op_put(key, "");
    }
    if (what < 4) {
        return op_delete(text(key), ONE);
    }
    if (what < 5) {
        return op_delete(text(key), text(keys[kvr__random_below(&random_state, COUNT_OF(keys))]));
    }
    if (what < 6) {
        return op_range(ALL, ALL);
    }
    kvr_txn *txn = &txns[txn_count++];
    *txn = TXN(.then_count = (uint32_t)kvr__random_below(&random_state, 4),
               .else_count = (uint32_t)kvr__random_below(&random_state, 4));
    kvr_op *list = &ops[op_count];
    op_count += txn->then_count + txn->else_count;
    for (uint32_t i = 0; i < txn->then_count + txn->else_count; i++) {
        list[i] = random_op(depth + 1);
    }
    txn->then_ops = list;
    txn->else_ops = list + txn->then_count;
    return op_txn(txn);
}

/* FAULTS 105: the same as comparing all pairs, over 20,000 random nested transactions. */
Test(mvcc_check_op, duplicates_are_found_as_by_comparing_all_pairs)
{
    uint32_t duplicates = 0;
    kvr__random_init(&random_state, 105);
    for (uint32_t i = 0; i < 20000; i++) {
        op_count = txn_count = 0;
        kvr_op op = random_op(0);
        kvr_status status = kvr_mvcc_op_check(&op);
        cr_assert_eq(status, model_op_check(&op), "operation %u of seed 105", i);
        duplicates += status == KVR_EDUPKEY;
    }
    cr_assert_gt(duplicates, 1000);
}
