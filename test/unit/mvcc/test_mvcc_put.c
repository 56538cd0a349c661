/* SPDX-License-Identifier: Apache-2.0 */
/* test_mvcc_put.c: puts and deletes, a rule of the etcd contract (3.5 "Put", 3.6 "DeleteRange") a
 * test. That a lease exists is the caller's knowledge: he says KVR_OP_NO_LEASE. */
#include "mvcc_fixture.h"

#include <stdlib.h>

MVCC_SUITE(mvcc_put);

/* 3.5: "A plain put replaces value and lease: lease 0 detaches the key from its former lease." */
Test(mvcc_put, a_plain_put_replaces_value_and_lease)
{
    kvr_op op = op_put("k", "1");
    op.lease = 9;
    kvr_mvcc_result_free(apply(&op));
    assert_text(get_text("k"), "1 2/2/1 9");

    put("k", "2");

    assert_text(get_text("k"), "2 2/3/2 0");
}

/* 3.5: "ignore_value keeps the old value, ignore_lease keeps the old lease" */
Test(mvcc_put, ignoring_keeps_the_old_value_or_lease)
{
    kvr_op op = op_put("k", "1");
    op.lease = 9;
    kvr_mvcc_result_free(apply(&op));

    kvr_op keep_value = op_put_flags("k", "", KVR_OP_IGNORE_VALUE);
    kvr_mvcc_result_free(apply(&keep_value));
    assert_text(get_text("k"), "1 2/3/2 0");

    op.lease = -3;
    kvr_mvcc_result_free(apply(&op));
    kvr_op keep_lease = op_put_flags("k", "5", KVR_OP_IGNORE_LEASE);
    kvr_mvcc_result_free(apply(&keep_lease));
    assert_text(get_text("k"), "5 2/5/4 -3");
}

/* 3.5: "either one on a missing key: key not found" */
Test(mvcc_put, ignoring_on_a_missing_key_is_not_found)
{
    kvr_op keep_value = op_put_flags("k", "", KVR_OP_IGNORE_VALUE);
    kvr_op keep_lease = op_put_flags("k", "x", KVR_OP_IGNORE_LEASE);
    put("k", "1");
    del("k");

    cr_assert_eq(kvr_mvcc_apply(store, &keep_value, NULL), KVR_ENOTFOUND);
    cr_assert_eq(kvr_mvcc_apply(store, &keep_lease, NULL), KVR_ENOTFOUND);
    cr_assert_eq(head_now(), 3);
}

/* 3.5: "empty key: key is not provided; ignore_value with a non-empty value: value is provided;
 * ignore_lease with lease != 0: lease is provided" */
Test(mvcc_put, contradictions_are_refused)
{
    kvr_op no_key = op_put("", "v");
    kvr_op value_twice = op_put_flags("k", "v", KVR_OP_IGNORE_VALUE);
    kvr_op lease_twice = op_put_flags("k", "v", KVR_OP_IGNORE_LEASE);
    lease_twice.lease = 1;

    cr_assert_eq(kvr_mvcc_apply(store, &no_key, NULL), KVR_EINVAL);
    cr_assert_eq(kvr_mvcc_apply(store, &value_twice, NULL), KVR_EINVAL);
    cr_assert_eq(kvr_mvcc_apply(store, &lease_twice, NULL), KVR_EINVAL);
}

/* 3.5: "lease != 0 and unknown: requested lease not found (nothing written)" */
Test(mvcc_put, a_lease_that_does_not_exist_refuses_the_whole)
{
    kvr_op ops[] = {op_put("a", "1"), op_put_flags("b", "2", KVR_OP_NO_LEASE)};
    ops[1].lease = 5;
    kvr_txn txn = TXN(.then_count = 2, .then_ops = ops);
    kvr_op op = op_txn(&txn);

    cr_assert_eq(kvr_mvcc_apply(store, &op, NULL), KVR_ENOLEASE);

    cr_assert_eq(head_now(), 1);
    assert_text(get_text("a"), "-");
}

/* 3.5: "prev_kv returns the pair before the put (absent if the key did not exist)" */
Test(mvcc_put, the_previous_pair_is_given_if_asked_for)
{
    kvr_op op = op_put_flags("k", "1", KVR_OP_PREV_KV);
    kvr_mvcc_result *result = apply(&op);
    cr_assert_eq(kvr_mvcc_result_root(result)->kv_count, 0);
    kvr_mvcc_result_free(result);

    op.value = text("2");
    result = apply(&op);
    put("k", "3");
    compact_all(head_now());
    const kvr_op_result *root = kvr_mvcc_result_root(result);

    cr_assert_eq(root->kind, KVR_OP_PUT);
    cr_assert_eq(root->kv_count, 1);
    assert_text(kvs_text(root->kvs, 1), "k=1");
    cr_assert_eq(root->kvs[0].mod_revision, 2);
    kvr_mvcc_result_free(result);

    del("k");
    result = apply(&op);
    cr_assert_eq(kvr_mvcc_result_root(result)->kv_count, 0, "what was deleted is no previous pair");
    kvr_mvcc_result_free(result);
}

/* 3.5: "Every put, also one writing an identical value, makes a new revision and a PUT event." */
Test(mvcc_put, an_identical_value_makes_a_revision_too)
{
    put("k", "same");
    put("k", "same");

    assert_text(changes_text(2), "2.0 +k=same  3.0 +k=same (same)");
    assert_text(get_text("k"), "same 2/3/2 0");
}

/* FAULTS 98: a lease is any 64-bit number; none is special but 0. */
Test(mvcc_put, leases_at_the_edges_of_int64_are_kept)
{
    static const int64_t leases[] = {INT64_MIN, -1, 1, INT64_MAX};
    for (size_t i = 0; i < COUNT_OF(leases); i++) {
        kvr_op op = op_put("k", "v");
        kvr_slice key = text("k");
        kvr_kv kv;
        op.lease = leases[i];
        kvr_mvcc_result_free(apply(&op));
        cr_assert(kvr_mvcc_get(store, &key, &kv));
        cr_assert_eq(kv.lease, leases[i]);
    }
}

/* 3.6: "Deletes all keys of the interval in one revision, in key order; deleted = how many" */
Test(mvcc_put, a_delete_of_an_interval_is_one_revision_in_key_order)
{
    put("c", "3");
    put("a", "1");
    put("b", "2");
    put("d", "4");

    cr_assert_eq(del_range(text("a"), text("d")), 3);

    cr_assert_eq(head_now(), 6);
    assert_text(changes_text(6), "6.0 -a (1)  6.1 -b (2)  6.2 -c (3)");
    assert_text(range_now(ALL, ALL), "d=4");
}

/* 3.6: "prev_kvs (if asked) in key order" */
Test(mvcc_put, a_delete_gives_the_previous_pairs_in_key_order)
{
    put("b", "2");
    put("a", "1");
    kvr_op op = op_delete(ALL, ALL);
    op.flags = KVR_OP_PREV_KV;

    kvr_mvcc_result *result = apply(&op);

    const kvr_op_result *root = kvr_mvcc_result_root(result);
    cr_assert_eq(root->count, 2);
    assert_text(kvs_text(root->kvs, root->kv_count), "a=1 b=2");
    kvr_mvcc_result_free(result);
}

/* 3.6: "Empty key: key is not provided"; "Deleting nothing is success with deleted=0, no revision,
 * no event." */
Test(mvcc_put, deleting_nothing_is_success)
{
    put("a", "1");
    kvr_op no_key = op_delete(ONE, ALL);

    cr_assert_eq(kvr_mvcc_apply(store, &no_key, NULL), KVR_EINVAL);
    cr_assert_eq(del_range(text("b"), text("c")), 0);
    del("a");
    cr_assert_eq(del_range(text("a"), ONE), 0);
    assert_text(changes_text(3), "3.0 -a (1)");
}

/* How a lease ends: the listed keys, those that are there, in the order of the list, under one
 * revision. */
Test(mvcc_put, listed_keys_are_deleted_in_the_order_of_the_list)
{
    put("a", "1");
    put("b", "2");
    put("c", "3");
    kvr_slice keys[] = {text("c"), text("missing"), text("a"), text("c")};
    kvr_op op = {.size = sizeof op, .kind = KVR_OP_DELETE_KEYS, .key_count = 4, .keys = keys};

    kvr_mvcc_result *result = apply(&op);

    cr_assert_eq(kvr_mvcc_result_root(result)->count, 2);
    assert_text(changes_text(5), "5.0 -c (3)  5.1 -a (1)");
    kvr_mvcc_result_free(result);
    kvr_txn txn = TXN(.then_count = 1, .then_ops = &op);
    kvr_op wrapped = op_txn(&txn);
    cr_assert_eq(kvr_mvcc_op_check(&wrapped), KVR_EINVAL);
}

/* Values up to KVR_MVCC_SHARE_BYTES are copied, larger ones share the buffer that they lie in. */
Test(mvcc_put, a_large_value_shares_its_owner_and_lets_go_of_it)
{
    enum { SIZE = KVR_MVCC_SHARE_BYTES + 1 };
    uint8_t *bytes = calloc(1, SIZE);
    cr_assert_not_null(bytes);
    kvr_slice whole = {bytes, SIZE};
    kvr_buf *buf;
    MUST(kvr_buf_new(&test_alloc_table, &mvcc_alloc, &whole, &buf));
    kvr_op op = op_put("large", "");
    op.owner = buf;
    kvr_buf_bytes(buf, &op.value);
    kvr_mvcc_result_free(apply(&op));
    kvr_op small = op_put("small", "");
    small.owner = buf;
    small.value = (kvr_slice){op.value.data + 1, SIZE - 1};
    kvr_mvcc_result_free(apply(&small));
    kvr_op again = op_put_flags("large", "", KVR_OP_IGNORE_VALUE);
    kvr_mvcc_result_free(apply(&again));

    kvr_kv kv;
    kvr_slice key = text("large");
    cr_assert(kvr_mvcc_get(store, &key, &kv));
    cr_assert_eq(kv.value.data, op.value.data);
    key = text("small");
    cr_assert(kvr_mvcc_get(store, &key, &kv));
    cr_assert_neq(kv.value.data, small.value.data);
    cr_assert_eq(kv.value.size, SIZE - 1);

    op.value = (kvr_slice){bytes, SIZE};
    cr_assert_eq(kvr_mvcc_apply(store, &op, NULL), KVR_EINVAL, "not in the buffer that owns it");
    kvr_buf_release(buf);
    key = text("large");
    cr_assert(kvr_mvcc_get(store, &key, &kv));
    cr_assert_eq(kv.value.data[SIZE - 1], 0);

    put("large", "small now");
    compact_all(head_now());
    cr_assert_leq(mvcc_alloc.live_bytes, status_now().memory_bytes,
                  "nobody holds the buffer any more");
    free(bytes);
}

/* However a value is kept, the hash is of its bytes. */
Test(mvcc_put, the_hash_does_not_know_where_a_value_is_kept)
{
    enum { SIZE = KVR_MVCC_SHARE_BYTES + 100 };
    uint8_t *bytes = calloc(1, SIZE);
    cr_assert_not_null(bytes);
    kvr_slice whole = {bytes, SIZE};
    kvr_buf *buf;
    MUST(kvr_buf_new(&test_alloc_table, &mvcc_alloc, &whole, &buf));
    kvr_mvcc *other = new_store();
    kvr_op op = op_put("k", "");
    op.value = whole;

    MUST(kvr_mvcc_apply(other, &op, NULL));
    op.owner = buf;
    kvr_buf_bytes(buf, &op.value);
    MUST(kvr_mvcc_apply(store, &op, NULL));

    kvr_mvcc_status status = {.size = sizeof status};
    kvr_mvcc_get_status(other, &status);
    cr_assert_eq(status.hash_live, status_now().hash_live);
    cr_assert_eq(status.hash_chain, status_now().hash_chain);
    kvr_mvcc_free(other);
    kvr_buf_release(buf);
    free(bytes);
}
