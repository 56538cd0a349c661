/* SPDX-License-Identifier: Apache-2.0 */
/* test_mvcc_fault.c: each public call that allocates, with every one of its allocations failing in
 * turn, once and for ever (FAULT_SWEEP): a status, no leak, and the store as it was; with memory
 * again, the same call succeeds. FAULTS 95: no transaction is ever half there. */
#include "mvcc_fixture.h"

#include <stdlib.h>

MVCC_SUITE(mvcc_fault);

static struct {
    kvr_status status;
    kvr_mvcc_result *result;
    kvr_mvcc_view *view;
    kvr_mvcc_save *save;
    kvr_mvcc *second;
    kvr_mvcc_status before;
    uint8_t *bytes;
    size_t size;
} f;

/* A store of its own for each run, so that no run finds memory that another one has left. */
static void fresh(int keys)
{
    kvr_mvcc_free(store);
    store = new_store();
    char key[16];
    for (int i = 0; i < keys; i++) {
        (void)snprintf(key, sizeof key, "k%04d", i * 7919 % keys);
        put(key, "value");
    }
    memset(&f, 0, sizeof f);
    f.before = status_now();
}

static void check_unchanged(void)
{
    kvr_mvcc_status now = status_now();
    cr_assert_eq(f.status, KVR_ENOMEM, "%s: %s", fault_text(), kvr_status_name(f.status));
    cr_assert_eq(now.revision, f.before.revision);
    cr_assert_eq(now.compacted, f.before.compacted);
    cr_assert_eq(now.hash_live, f.before.hash_live);
    cr_assert_eq(now.hash_chain, f.before.hash_chain);
    cr_assert_eq(now.live_keys, f.before.live_keys);
    cr_assert_eq(now.versions, f.before.versions);
    cr_assert_null(f.result);
    cr_assert_null(f.view);
    cr_assert_null(f.save);
}

static kvr_op sweep_ops[8];
static kvr_txn sweep_txn, sweep_inner;

/* Puts of new and old keys with a large answer between, deletes, an inner transaction. */
static const kvr_op *deep_txn(void)
{
    static kvr_op inner_ops[3], op;
    inner_ops[0] = op_put_flags("k0003x", "inner", KVR_OP_PREV_KV);
    inner_ops[1] = op_range(ALL, ALL);
    inner_ops[2] = op_delete(text("k001"), text("k0012"));
    sweep_inner = TXN(.then_count = 3, .then_ops = inner_ops);
    sweep_ops[0] = op_put_flags("k0001", "new", KVR_OP_PREV_KV);
    sweep_ops[1] = op_range(text("k"), text("k0005"));
    sweep_ops[2] = op_put("a", "first");
    sweep_ops[3] = op_txn(&sweep_inner);
    sweep_ops[4] = op_delete(text("k0020"), text("k0200"));
    sweep_ops[4].flags = KVR_OP_PREV_KV;
    sweep_ops[5] = op_put("z", "last");
    sweep_txn = TXN(.then_count = 6, .then_ops = sweep_ops);
    op = op_txn(&sweep_txn);
    return &op;
}

static void check_deep_txn(void)
{
    if (f.status != KVR_OK) {
        check_unchanged();
        MUST(kvr_mvcc_apply(store, deep_txn(), &f.result));
    }
    cr_assert_eq(head_now(), f.before.revision + 1);
    cr_assert_eq(kvr_mvcc_result_root(f.result)->result_count, 6);
    assert_text(get_text("k0003x"), "inner 302/302/1 0");
    assert_text(range_now(text("k0020"), text("k02")), "");
    kvr_mvcc_result_free(f.result);
    compact_all(head_now());
}

Test(mvcc_fault, a_transaction_is_whole_or_not_there)
{
    FAULT_SWEEP(fresh(300), f.status = kvr_mvcc_apply(store, deep_txn(), &f.result),
                check_deep_txn());
}

/* The same while a view makes every change a copy. */
static void fresh_with_view(int keys)
{
    fresh(keys);
    static kvr_mvcc_view *view;
    view = view_now();
    f.bytes = (uint8_t *)view;
}

static void check_deep_txn_with_view(void)
{
    kvr_mvcc_view *view = (kvr_mvcc_view *)(void *)f.bytes;
    cr_assert_eq(count_of(view, ALL, ALL, 0), 300);
    check_deep_txn();
    cr_assert_eq(count_of(view, ALL, ALL, 0), 300);
    kvr_mvcc_view_free(view);
    put("after", "v");
}

Test(mvcc_fault, a_transaction_under_a_view_is_whole_or_not_there)
{
    FAULT_SWEEP(fresh_with_view(300), f.status = kvr_mvcc_apply(store, deep_txn(), &f.result),
                check_deep_txn_with_view());
}

/* A view in the middle of the transaction freezes what was changed before it: to undo that, it goes
 * first. */
static const kvr_op *txn_with_view(void)
{
    static kvr_op ops[4], op;
    ops[0] = op_put("k0001", "new");
    ops[1] = op_range(ALL, ALL);
    ops[2] = op_delete(text("k0100"), text("k1400"));
    ops[3] = op_put("z", "last");
    sweep_txn = TXN(.then_count = 4, .then_ops = ops);
    op = op_txn(&sweep_txn);
    return &op;
}

Test(mvcc_fault, a_view_inside_is_gone_before_the_undo)
{
    FAULT_SWEEP(fresh(1500), f.status = kvr_mvcc_apply(store, txn_with_view(), &f.result), {
        if (f.status != KVR_OK) {
            check_unchanged();
            assert_text(get_text("z"), "-");
            MUST(kvr_mvcc_apply(store, txn_with_view(), &f.result));
        }
        cr_assert_eq(kvr_mvcc_result_root(f.result)->results[1].count, 1500);
        cr_assert_eq(status_now().live_keys, 201);
        kvr_mvcc_result_free(f.result);
    });
}

/* In slices memory may end anywhere: the place is kept, and the next step goes on there. */
static void apply_in_slices(void)
{
    f.status = kvr_mvcc_apply_begin(store, deep_txn(), true);
    for (int patience = 0; f.status == KVR_OK && patience < 500; patience++) {
        kvr_status status = kvr_mvcc_apply_step(store, 3);
        cr_assert_eq(status_now().revision, f.before.revision + (status == KVR_OK));
        if (status == KVR_OK) {
            f.status = kvr_mvcc_apply_finish(store, &f.result);
            return;
        }
        if (status == KVR_ENOMEM && patience > 3) {
            fault_disarm();
        }
    }
}

Test(mvcc_fault, slices_go_on_where_memory_ended)
{
    FAULT_SWEEP(fresh(300), apply_in_slices(), {
        cr_assert_eq(f.status, KVR_OK);
        check_deep_txn();
    });
}

static void put_one(const char *key)
{
    kvr_op op = op_put_flags(key, "x", KVR_OP_PREV_KV);
    f.status = kvr_mvcc_apply(store, &op, &f.result);
}

static void check_put_one(const char *key)
{
    if (f.status != KVR_OK) {
        check_unchanged();
        put_one(key);
    }
    cr_assert_eq(f.status, KVR_OK);
    cr_assert_eq(head_now(), f.before.revision + 1);
    kvr_mvcc_result_free(f.result);
}

/* Sizes at which leaves grow, split, and the root with them. */
Test(mvcc_fault, a_put_is_whole_or_not_there_at_every_size)
{
    for (int keys = 0; keys < 140; keys++) {
        FAULT_SWEEP(fresh(keys), put_one("k0001x"), check_put_one("k0001x"));
    }
    FAULT_SWEEP(fresh(2700), put_one("k0001x"), check_put_one("k0001x"));
    FAULT_SWEEP(fresh(2700), put_one("zz"), check_put_one("zz"));
}

static void delete_all(uint32_t flags)
{
    kvr_op op = op_delete(ALL, ALL);
    op.flags = flags;
    f.status = kvr_mvcc_apply(store, &op, &f.result);
}

static void check_delete_all(void)
{
    if (f.status != KVR_OK) {
        check_unchanged();
        delete_all(KVR_OP_PREV_KV);
    }
    cr_assert_eq(f.status, KVR_OK);
    cr_assert_eq(status_now().live_keys, 0);
    const kvr_op_result *root = kvr_mvcc_result_root(f.result);
    cr_assert_eq(root->count, f.before.live_keys);
    cr_assert(root->view == NULL || count_of(root->view, ALL, ALL, 0) == f.before.live_keys);
    kvr_mvcc_result_free(f.result);
}

Test(mvcc_fault, a_large_delete_is_whole_or_not_there)
{
    FAULT_SWEEP(fresh(1500), delete_all(KVR_OP_PREV_KV), check_delete_all());
    FAULT_SWEEP(fresh(200), delete_all(KVR_OP_PREV_KV), check_delete_all());
}

static void delete_listed(void)
{
    static kvr_slice keys[3];
    keys[0] = text("k0000");
    keys[1] = text("missing");
    keys[2] = text("k0010");
    kvr_op op = {.size = sizeof op, .kind = KVR_OP_DELETE_KEYS, .keys = keys, .key_count = 3};
    f.status = kvr_mvcc_apply(store, &op, &f.result);
}

Test(mvcc_fault, a_delete_of_listed_keys_is_whole_or_not_there)
{
    FAULT_SWEEP(fresh_with_view(100), delete_listed(), {
        if (f.status != KVR_OK) {
            check_unchanged();
            delete_listed();
        }
        cr_assert_eq(kvr_mvcc_result_root(f.result)->count, 2);
        kvr_mvcc_result_free(f.result);
        kvr_mvcc_view_free((kvr_mvcc_view *)(void *)f.bytes);
    });
}

Test(mvcc_fault, a_view_opens_or_does_not)
{
    FAULT_SWEEP(fresh(10), f.status = kvr_mvcc_view_open(store, &f.view), {
        if (f.status != KVR_OK) {
            check_unchanged();
            f.view = view_now();
        }
        cr_assert_eq(count_of(f.view, ALL, ALL, 0), 10);
        kvr_mvcc_view_free(f.view);
    });
}

/* ------------------------------------------------------------------ compaction */

/* Half the keys deleted, an older pin and a closed one in the way. */
static void fresh_to_compact(void)
{
    fresh(200);
    f.view = view_now();
    del_range(text("k0050"), text("k0150"));
    kvr_mvcc_view *young = view_now();
    put("k0000", "again");
    kvr_mvcc_view_free(young);
    put("k0001", "again");
    MUST(kvr_mvcc_compact(store, head_now()));
    f.before = status_now();
}

static void step_through(void)
{
    do {
        f.status = kvr_mvcc_compact_step(store, 10);
    } while (f.status == KVR_AGAIN);
}

Test(mvcc_fault, a_compaction_waits_for_memory)
{
    FAULT_SWEEP(fresh_to_compact(), step_through(), {
        cr_assert(f.status == KVR_OK || f.status == KVR_ENOMEM);
        cr_assert_eq(status_now().hash_live, f.before.hash_live);
        cr_assert_eq(count_of(f.view, ALL, ALL, 0), 200);
        step_through();
        cr_assert_eq(f.status, KVR_OK);
        cr_assert_eq(status_now().versions, 100);
        cr_assert_eq(count_of(f.view, ALL, ALL, 0), 200);
        kvr_mvcc_view_free(f.view);
        step_through();
    });
}

/* A view that ends hands what it kept to the older one, or keeps it until there is memory. */
static void free_young_and_put(void)
{
    kvr_mvcc_view_free(f.view);
    kvr_op op = op_put("x", "y");
    f.status = kvr_mvcc_apply(store, &op, NULL);
}

static void fresh_with_two_views(void)
{
    fresh_with_view(500);
    put("k0000", "1");
    f.view = view_now();
    del_range(ALL, ALL);
    f.before = status_now();
}

Test(mvcc_fault, a_view_that_ends_waits_for_memory_too)
{
    FAULT_SWEEP(fresh_with_two_views(), free_young_and_put(), {
        kvr_mvcc_view *old = (kvr_mvcc_view *)(void *)f.bytes;
        f.view = NULL;
        if (f.status != KVR_OK) {
            check_unchanged();
        }
        put("x", "z");
        compact_all(head_now());
        cr_assert_eq(count_of(old, ALL, ALL, 0), 500);
        kvr_mvcc_view_free(old);
        put("x", "z");
    });
}

/* ------------------------------------------------------------------ life and snapshots */

static void new_second(void)
{
    kvr_mvcc_config config;
    MUST(kvr_mvcc_config_init(&config, sizeof config));
    config.allocator = &test_alloc_table;
    config.allocator_ctx = &mvcc_alloc;
    f.status = kvr_mvcc_new(&config, &f.second);
}

Test(mvcc_fault, a_store_is_made_or_not)
{
    FAULT_SWEEP(fresh(0), new_second(), {
        cr_assert(f.status == KVR_OK ? f.second != NULL : f.second == NULL);
        kvr_mvcc_free(f.second);
    });
}

static uint8_t snapshot[131072], large_value[70000];
static size_t snapshot_size;

static kvr_status read_snapshot(kvr_mvcc_view *view)
{
    snapshot_size = 0;
    f.status = kvr_mvcc_save_new(view, &f.save);
    while (f.status == KVR_OK) {
        size_t got = 0;
        f.status = kvr_mvcc_save_read(f.save, snapshot + snapshot_size, 999, &got);
        snapshot_size += got;
        cr_assert_lt(snapshot_size, sizeof snapshot - 999);
    }
    return f.status;
}

/* With a value larger than a block, for which a save needs more room in the middle. */
static void fresh_to_save(void)
{
    fresh(300);
    kvr_op op = op_put("k0100", "");
    op.value = (kvr_slice){large_value, sizeof large_value};
    MUST(kvr_mvcc_apply(store, &op, NULL));
    f.bytes = (uint8_t *)view_now();
}

Test(mvcc_fault, a_save_goes_on_when_memory_is_back)
{
    FAULT_SWEEP(fresh_to_save(), (void)read_snapshot((kvr_mvcc_view *)(void *)f.bytes), {
        cr_assert(f.status == KVR_END || f.status == KVR_ENOMEM);
        while (f.save != NULL && f.status != KVR_END) {
            size_t got = 0;
            f.status = kvr_mvcc_save_read(f.save, snapshot + snapshot_size, 999, &got);
            snapshot_size += got;
        }
        if (f.save == NULL) {
            cr_assert_eq(read_snapshot((kvr_mvcc_view *)(void *)f.bytes), KVR_END);
        }
        kvr_mvcc_save_free(f.save);
        kvr_mvcc_view_free((kvr_mvcc_view *)(void *)f.bytes);
        MUST(load_all(store, snapshot, snapshot_size, 50000));
        cr_assert_eq(status_now().live_keys, 300);
    });
}

static void load_snapshot(void)
{
    f.status = load_all(store, snapshot, snapshot_size, 700);
}

Test(mvcc_fault, a_load_replaces_all_or_nothing)
{
    fresh_to_save();
    cr_assert_eq(read_snapshot((kvr_mvcc_view *)(void *)f.bytes), KVR_END);
    uint64_t hash = status_now().hash_live;
    kvr_mvcc_save_free(f.save);
    kvr_mvcc_view_free((kvr_mvcc_view *)(void *)f.bytes);

    FAULT_SWEEP(fresh(5), load_snapshot(), {
        if (f.status != KVR_OK) {
            check_unchanged();
            load_snapshot();
        }
        cr_assert_eq(f.status, KVR_OK);
        cr_assert_eq(status_now().hash_live, hash);
    });
}
