/* SPDX-License-Identifier: Apache-2.0 */
/* test_mvcc_revision.c: revisions, a sentence of the etcd contract (3.1 "Revisions and the response
 * header") a test. */
#include "mvcc_fixture.h"

MVCC_SUITE(mvcc_revision);

/* 3.1: "Fresh store: 1." */
Test(mvcc_revision, a_fresh_store_is_at_revision_1)
{
    cr_assert_eq(head_now(), 1);
    cr_assert_eq(status_now().compacted, 0);
    cr_assert_eq(status_now().live_keys, 0);
    assert_text(range_now(ALL, ALL), "");
}

/* 3.1: "Every committed write transaction that changed at least one key adds exactly 1, no matter
 * how many keys it touched." */
Test(mvcc_revision, a_transaction_adds_one_however_many_keys_it_touches)
{
    kvr_op puts[] = {op_put("a", "1"), op_put("b", "2"), op_put("c", "3")};
    kvr_txn txn = TXN(.then_count = COUNT_OF(puts), .then_ops = puts);
    kvr_op op = op_txn(&txn);

    kvr_mvcc_result_free(apply(&op));

    cr_assert_eq(head_now(), 2);
    cr_assert_eq(del_range(ALL, ALL), 3);
    cr_assert_eq(head_now(), 3);
}

/* 3.1: "Operations that change nothing (delete of a missing key, txn whose chosen branch only reads
 * ...) do not advance it." */
Test(mvcc_revision, what_changes_nothing_takes_no_revision)
{
    put("a", "1");
    kvr_mvcc_status before = status_now();
    kvr_compare never = compare_number("a", KVR_COMPARE_VERSION, KVR_COMPARE_EQUAL, 99);
    kvr_op write = op_put("a", "2"), read = op_range(text("a"), ONE);
    kvr_txn txn = TXN(.compare_count = 1, .compares = &never, .then_count = 1, .then_ops = &write,
                      .else_count = 1, .else_ops = &read);
    kvr_op op = op_txn(&txn);
    kvr_txn nothing = TXN(0);
    kvr_op empty = op_txn(&nothing);

    kvr_mvcc_result_free(apply(&op));
    kvr_mvcc_result_free(apply(&empty));
    kvr_mvcc_result_free(apply(&read));
    cr_assert_eq(del_range(text("missing"), ONE), 0);
    cr_assert_eq(del_range(text("x"), text("z")), 0);

    cr_assert_eq(head_now(), before.revision);
    cr_assert_eq(status_now().hash_chain, before.hash_chain);
    cr_assert_eq(status_now().hash_live, before.hash_live);
}

/* 3.1: "changes are numbered 0,1,2,... in execution order (sub revision)" */
Test(mvcc_revision, changes_of_a_transaction_are_numbered_in_execution_order)
{
    put("d1", "x");
    put("d2", "y");
    kvr_op inner_ops[] = {op_put("b", "2")};
    kvr_txn inner = TXN(.then_count = 1, .then_ops = inner_ops);
    kvr_op ops[] = {op_put("a", "1"), op_txn(&inner), op_delete(text("d"), text("e")),
                    op_put("c", "3")};
    kvr_txn txn = TXN(.then_count = COUNT_OF(ops), .then_ops = ops);
    kvr_op op = op_txn(&txn);

    kvr_mvcc_result_free(apply(&op));

    assert_text(changes_text(4), "4.0 +a=1  4.1 +b=2  4.2 -d1 (x)  4.3 -d2 (y)  4.4 +c=3");
}

/* 3.1: create, mod and version of a key; "A delete ends the key's life: the next put starts with
 * version 1 and a new create_revision." */
Test(mvcc_revision, a_key_has_create_mod_and_version_of_its_present_life)
{
    put("k", "1");
    put("other", "");
    put("k", "2");
    assert_text(get_text("k"), "2 2/4/2 0");

    del("k");
    assert_text(get_text("k"), "-");

    put("k", "3");
    assert_text(get_text("k"), "3 6/6/1 0");
}

/* 3.1, header.revision of Txn: "old+1 if it changed something, else the current one". */
Test(mvcc_revision, a_result_names_the_head_after_the_operation)
{
    kvr_op write = op_put("a", "1"), read = op_range(text("a"), ONE);

    kvr_mvcc_result *result = apply(&write);
    cr_assert_eq(kvr_mvcc_result_revision(result), 2);
    kvr_mvcc_result_free(result);

    result = apply(&read);
    cr_assert_eq(kvr_mvcc_result_revision(result), 2);
    kvr_mvcc_result_free(result);
}

/* 2.7: "For a DELETE event kv holds only key and mod_revision; create_revision, version, value,
 * lease are all zero." */
Test(mvcc_revision, a_delete_event_holds_only_key_and_revision)
{
    kvr_op op = op_put("k", "v");
    op.lease = 7;
    kvr_mvcc_result_free(apply(&op));
    del("k");
    kvr_mvcc_changes changes;
    kvr_event event;

    MUST(kvr_mvcc_changes_init(&changes, store, 3));
    MUST(kvr_mvcc_changes_next(&changes, store, &event));

    cr_assert_eq(event.type, KVR_EVENT_DELETE);
    cr_assert_eq(event.kv.mod_revision, 3);
    cr_assert_eq(event.kv.create_revision, 0);
    cr_assert_eq(event.kv.version, 0);
    cr_assert_eq(event.kv.lease, 0);
    cr_assert_eq(event.kv.value.size, 0);
    cr_assert_eq(event.prev.lease, 7);
    cr_assert_eq(event.prev.version, 1);
}
