/* SPDX-License-Identifier: Apache-2.0 */
/* test_mvcc_model.c: the store against the plain model, operation by operation: 200,000 random ones
 * with transactions in transactions, deletes of intervals, compactions in the middle of their
 * sweeps, views that are held over writes and read again later, old revisions, snapshots loaded
 * back. KVR_SEED=n and KVR_STEPS=n in the environment choose another run. */
#include "mvcc_fixture.h"
#include "support/model_mvcc.h"

#include "base/random.h"

#include <stdio.h>
#include <stdlib.h>

enum { VIEWS = 6, OPS_PER_TXN = 5, VALUE_BYTES = 6000, OPS = 256, RESULTS = 4 };

/* A view, and what the model said when it was opened. */
typedef struct held {
    kvr_mvcc_view *view;
    uint64_t revision;
    uint64_t compacted;
} held;

static struct {
    kvr__random random;
    model_mvcc *model;
    held views[VIEWS];
    /* kept over compactions: their pairs must stay as they are */
    kvr_mvcc_result *results[RESULTS];
    char *results_text[RESULTS];
    uint32_t key_space;
    kvr_op ops[OPS]; /* storage of the operation that is being made up */
    kvr_txn txns[OPS];
    kvr_compare compares[OPS];
    uint32_t op_used, txn_used, compare_used;
    uint8_t keys[4 * OPS][40];
    uint32_t key_used;
    uint8_t value[VALUE_BYTES];
    kvr_slice key_list[16];
} t;

static uint64_t below(uint64_t limit)
{
    return kvr__random_below(&t.random, limit);
}

/* ------------------------------------------------------------------ made-up operations */

/* Keys with long common beginnings, keys that are the beginning of others, and short binary
 * ones. */
static kvr_slice random_key(void)
{
    uint8_t *key = t.keys[t.key_used++ % COUNT_OF(t.keys)];
    uint32_t n = (uint32_t)below(t.key_space);
    size_t size;
    if (n % 3 == 0) {
        size = (size_t)snprintf((char *)key, 40, "/registry/pods/ns-%02u/%u", n % 7, n);
    } else if (n % 3 == 1) {
        size = 1 + n % 20; /* of different sizes, one the beginning of the next */
        memset(key, 'a' + (int)(n % 5), size);
    } else {
        key[0] = (uint8_t)(n % 4 == 0 ? 255 : n);
        key[1] = 0;
        key[2] = (uint8_t)(n >> 3);
        size = 1 + n % 3;
    }
    return (kvr_slice){key, size};
}

static kvr_slice random_end(void)
{
    switch (below(4)) {
    case 0:
        return ONE;
    case 1:
        return ALL;
    default:
        return random_key();
    }
}

/* An interval that ends a little behind `key`: what it deletes does not empty the store. */
static kvr_slice near_end(kvr_slice key)
{
    uint8_t *end = t.keys[t.key_used++ % COUNT_OF(t.keys)];
    if (below(300) == 0) {
        return ALL;
    }
    memcpy(end, key.data, key.size);
    end[key.size - 1] = (uint8_t)(end[key.size - 1] + below(4));
    return (kvr_slice){end, key.size};
}

static uint64_t random_revision(void)
{
    uint64_t around = below(8) == 0 ? below(t.model->revision + 3) : 0;
    return around;
}

static kvr_op random_put(void)
{
    kvr_op op = {.size = sizeof op, .kind = KVR_OP_PUT, .key = random_key()};
    size_t most = below(50) == 0 ? VALUE_BYTES : below(10) == 0 ? 400 : 20;
    op.value = (kvr_slice){t.value + below(16), (size_t)below(most - 16)};
    op.lease = below(3) == 0 ? (int64_t)below(5) - 2 : 0;
    op.flags = below(3) == 0 ? KVR_OP_PREV_KV : 0;
    if (below(12) == 0) {
        op.flags |= KVR_OP_IGNORE_VALUE;
        op.value = ONE;
    }
    if (below(12) == 0) {
        op.flags |= KVR_OP_IGNORE_LEASE;
        op.lease = 0;
    }
    op.flags |= below(200) == 0 ? KVR_OP_NO_LEASE : 0;
    return op;
}

static kvr_op random_plain(void)
{
    if (below(2) == 0) {
        return random_put();
    }
    if (below(2) == 0) {
        kvr_op op = op_range(random_key(), random_end());
        op.revision = random_revision();
        op.limit = below(3) == 0 ? below(6) : 0;
        op.flags = below(4) == 0 ? KVR_OP_KEYS_ONLY : below(4) == 0 ? KVR_OP_COUNT_ONLY : 0;
        return op;
    }
    kvr_op op = op_delete(random_key(), ONE);
    op.range_end = below(4) == 0 ? near_end(op.key) : ONE;
    op.flags = below(2) == 0 ? KVR_OP_PREV_KV : 0;
    return op;
}

static kvr_compare random_compare(void)
{
    kvr_compare compare = {.size = sizeof compare,
                           .target = (uint8_t)below(5),
                           .result = (uint8_t)below(4),
                           .key = random_key()};
    compare.range_end = below(5) == 0 ? random_end() : ONE;
    if (compare.target == KVR_COMPARE_VALUE) {
        compare.value = (kvr_slice){t.value, (size_t)below(20)};
    } else if (compare.target == KVR_COMPARE_LEASE || compare.target == KVR_COMPARE_VERSION) {
        compare.number = (int64_t)below(4) - 1;
    } else {
        compare.number = (int64_t)below(t.model->revision + 1);
    }
    return compare;
}

static kvr_op random_op(uint32_t depth);

static kvr_op *random_list(uint32_t count, uint32_t depth)
{
    kvr_op *ops = &t.ops[t.op_used];
    t.op_used += count;
    for (uint32_t i = 0; i < count; i++) {
        ops[i] = random_op(depth);
    }
    return ops;
}

static kvr_op random_txn(uint32_t depth)
{
    kvr_txn *txn = &t.txns[t.txn_used++];
    *txn = (kvr_txn){.size = sizeof *txn,
                     .compare_count = (uint32_t)below(3),
                     .then_count = (uint32_t)below(OPS_PER_TXN),
                     .else_count = (uint32_t)below(OPS_PER_TXN)};
    kvr_compare *compares = &t.compares[t.compare_used];
    t.compare_used += txn->compare_count;
    for (uint32_t i = 0; i < txn->compare_count; i++) {
        compares[i] = random_compare();
    }
    txn->compares = compares;
    txn->then_ops = random_list(txn->then_count, depth + 1);
    txn->else_ops = random_list(txn->else_count, depth + 1);
    return op_txn(txn);
}

static kvr_op random_op(uint32_t depth)
{
    bool has_room = t.op_used + 2 * OPS_PER_TXN < OPS && depth < KVR_TXN_DEPTH_MAX;
    if (has_room && below(depth == 0 ? 3 : 6) == 0) {
        return random_txn(depth);
    }
    if (depth == 0 && below(20) == 0) {
        kvr_op op = {.size = sizeof op, .kind = KVR_OP_DELETE_KEYS};
        op.key_count = (uint32_t)below(COUNT_OF(t.key_list));
        op.keys = t.key_list;
        for (uint32_t i = 0; i < op.key_count; i++) {
            t.key_list[i] = random_key();
        }
        return op;
    }
    return random_plain();
}

/* ------------------------------------------------------------------ comparing */

static void check_status(void)
{
    kvr_mvcc_status status = status_now();
    cr_assert_eq(status.revision, t.model->revision);
    cr_assert_eq(status.compacted, t.model->compacted);
    cr_assert_eq(status.hash_chain, t.model->hash_chain);
}

static void check_live(void)
{
    kvr_mvcc_status status = status_now();
    kvr_kv *kvs;
    uint32_t count = model_mvcc_range(t.model, &ALL, &ALL, t.model->revision, &kvs);
    cr_assert_eq(status.live_keys, count);
    cr_assert_eq(status.live_bytes, model_mvcc_live_bytes(t.model));
    cr_assert_eq(status.hash_live, model_mvcc_hash_live(t.model));
    free(kvs);
}

/* A key as the store has it now, against the model at `revision`. */
static void check_get(uint64_t revision)
{
    uint32_t used = t.key_used;
    kvr_slice key = random_key();
    const model_version *version = model_mvcc_at(t.model, &key, revision);
    t.key_used = used; /* the keys of an operation under way stay where they are */
    kvr_kv kv;
    bool is_there = kvr_mvcc_get(store, &key, &kv);
    cr_assert_eq(is_there, version != NULL);
    if (is_there) {
        cr_assert_eq(kv.mod_revision, version->main);
        cr_assert_eq(kv.version, version->version);
        cr_assert_eq(kv.value.size, version->value.size);
        cr_assert_eq(memcmp(kv.value.data, version->value.data, kv.value.size), 0);
    }
}

/* One interval at one revision of a view, by cursor and by count, against the model. */
static void check_range(const held *h, uint64_t revision)
{
    kvr_range range = {
        .size = sizeof range, .key = random_key(), .range_end = random_end(), .revision = revision};
    kvr_mvcc_cursor cursor;
    kvr_kv kv, *kvs;
    uint64_t count = 0;
    kvr_status status = kvr_mvcc_cursor_init(&cursor, h->view, &range);
    cr_assert_eq(kvr_mvcc_count(h->view, &range, &count), status);
    if (revision > h->revision || (revision != 0 && revision < h->compacted)) {
        cr_assert_eq(status, revision > h->revision ? KVR_EFUTURE : KVR_ECOMPACTED);
        return;
    }
    cr_assert_eq(status, KVR_OK);
    uint32_t wanted = model_mvcc_range(t.model, &range.key, &range.range_end,
                                       revision == 0 ? h->revision : revision, &kvs);
    cr_assert_eq(count, wanted);
    for (uint32_t i = 0; i < wanted; i++) {
        cr_assert_eq(kvr_mvcc_cursor_next(&cursor, &kv), KVR_OK);
        cr_assert(model_kv_equal(&kv, &kvs[i]));
    }
    cr_assert_eq(kvr_mvcc_cursor_next(&cursor, &kv), KVR_END);
    cr_assert_eq(kvr_mvcc_cursor_next(&cursor, &kv), KVR_END);
    free(kvs);
}

static void check_views(void)
{
    for (uint32_t i = 0; i < VIEWS; i++) {
        if (t.views[i].view != NULL) {
            check_range(&t.views[i], below(2) == 0 ? 0 : below(t.views[i].revision + 2));
        }
    }
}

static void check_changes(void)
{
    uint64_t from = below(t.model->revision + 2);
    kvr_mvcc_changes changes;
    kvr_event event, wanted;
    kvr_status status = kvr_mvcc_changes_init(&changes, store, from);
    cr_assert_eq(status, from < t.model->compacted ? KVR_ECOMPACTED : KVR_OK);
    for (uint32_t i = 0; status == KVR_OK && i < t.model->change_count; i++) {
        model_mvcc_event(t.model, i, &wanted);
        if (wanted.kv.mod_revision < from) {
            continue;
        }
        cr_assert_eq(kvr_mvcc_changes_next(&changes, store, &event), KVR_OK);
        cr_assert(model_event_equal(&event, &wanted));
    }
    if (status == KVR_OK) {
        cr_assert_eq(kvr_mvcc_changes_next(&changes, store, &event), KVR_END);
    }
}

static void check_key_changes(void)
{
    enum { CAPACITY = 7 };
    kvr_event events[CAPACITY], wanted;
    kvr_slice key = random_key();
    uint64_t from = below(t.model->revision + 2);
    uint32_t count = 0, capacity = (uint32_t)below(CAPACITY + 1), found = 0;
    kvr_status status = kvr_mvcc_key_changes(store, &key, from, events, capacity, &count);
    cr_assert_eq(status == KVR_ECOMPACTED, from < t.model->compacted);
    for (uint32_t i = 0; status != KVR_ECOMPACTED && i < t.model->change_count; i++) {
        model_mvcc_event(t.model, i, &wanted);
        if (wanted.kv.mod_revision >= from && wanted.kv.key.size == key.size &&
            memcmp(wanted.kv.key.data, key.data, key.size) == 0) {
            cr_assert(found >= count || model_event_equal(&events[found], &wanted));
            found++;
        }
    }
    cr_assert_eq(status == KVR_ETOOBIG, found > capacity);
    cr_assert(status == KVR_ETOOBIG || found == count);
}

/* ------------------------------------------------------------------ steps */

/* Every third time one of the next allocations fails, once or until disarm. */
static void maybe_arm(void)
{
    if (below(3) == 0) {
        fault_arm(FAULT_ALLOC, 1 + below(4), below(2) == 0);
    }
}

static kvr_status apply_at_once(const kvr_op *op, kvr_mvcc_result **out_result)
{
    kvr_mvcc_status before = status_now();
    kvr_status status;
    do {
        maybe_arm();
        status = kvr_mvcc_apply(store, op, out_result);
        fault_disarm();
        if (status == KVR_ENOMEM) {
            kvr_mvcc_status after = status_now();
            cr_assert_eq(after.hash_chain, before.hash_chain);
            cr_assert_eq(after.hash_live, before.hash_live);
            cr_assert_eq(after.revision, before.revision);
        }
    } while (status == KVR_ENOMEM);
    return status;
}

static kvr_status apply_in_slices(const kvr_op *op, kvr_mvcc_result **out_result)
{
    kvr_mvcc_status before = status_now();
    kvr_status status;
    MUST(kvr_mvcc_apply_begin(store, op, out_result != NULL));
    do {
        maybe_arm();
        status = kvr_mvcc_apply_step(store, 1 + (uint32_t)below(4));
        fault_disarm();
        cr_assert(status == KVR_OK || status == KVR_AGAIN || status == KVR_ENOMEM);
        if (status != KVR_OK) {
            kvr_mvcc_status now = status_now();
            cr_assert_eq(now.hash_chain, before.hash_chain);
            cr_assert_eq(now.hash_live, before.hash_live);
            check_get(before.revision);
        }
    } while (status != KVR_OK);
    return kvr_mvcc_apply_finish(store, out_result);
}

static void keep_result(kvr_mvcc_result *result)
{
    uint32_t i = (uint32_t)below(RESULTS);
    const kvr_op_result *root = kvr_mvcc_result_root(result);
    if (t.results[i] != NULL) {
        const kvr_op_result *old = kvr_mvcc_result_root(t.results[i]);
        cr_assert_str_eq(kvs_text(old->kvs, old->kv_count > 3 ? 3 : old->kv_count),
                         t.results_text[i]);
        kvr_mvcc_result_free(t.results[i]);
        free(t.results_text[i]);
    }
    const char *now = kvs_text(root->kvs, root->kv_count > 3 ? 3 : root->kv_count);
    t.results[i] = result;
    t.results_text[i] = malloc(strlen(now) + 1);
    cr_assert_not_null(t.results_text[i]);
    memcpy(t.results_text[i], now, strlen(now) + 1);
}

static void step_op(kvr_op op)
{
    kvr_mvcc_result *result = NULL;
    model_result expected = {0};
    bool wants_result = below(4) != 0;
    kvr_status wanted = model_op_check(&op);
    if (wanted == KVR_OK) {
        wanted = model_mvcc_apply(t.model, &op, &expected);
    }
    kvr_mvcc_result **out_result = wants_result ? &result : NULL;
    kvr_status status =
        below(2) == 0 ? apply_at_once(&op, out_result) : apply_in_slices(&op, out_result);
    cr_assert_eq(status, wanted, "%s instead of %s", kvr_status_name(status),
                 kvr_status_name(wanted));
    if (result != NULL) {
        const char *what = model_result_difference(&expected, kvr_mvcc_result_root(result));
        cr_assert_null(what, "%s", what);
        cr_assert_eq(kvr_mvcc_result_revision(result), t.model->revision);
        keep_result(result);
    }
    model_result_release(&expected);
    check_status();
    check_get(t.model->revision);
}

static void step_apply(void)
{
    t.op_used = t.txn_used = t.compare_used = t.key_used = 0;
    step_op(random_op(0));
}

static void step_view(void)
{
    held *h = &t.views[below(VIEWS)];
    if (h->view != NULL) {
        check_range(h, 0);
        kvr_mvcc_view_free(h->view);
        h->view = NULL;
        return;
    }
    h->view = view_now();
    h->revision = t.model->revision;
    h->compacted = t.model->compacted;
    cr_assert_eq(kvr_mvcc_view_revision(h->view), h->revision);
    cr_assert_eq(kvr_mvcc_view_compacted(h->view), h->compacted);
}

static void step_compact(void)
{
    uint64_t oldest = t.model->compacted;
    uint64_t revision = oldest + below(t.model->revision - oldest + 2);
    cr_assert_eq(kvr_mvcc_compact(store, revision), model_mvcc_compact(t.model, revision));
    check_status();
}

/* Into a second store, which takes the place of the first half of the time; or back into the
 * first. */
static void step_snapshot(void)
{
    size_t size, again_size;
    kvr_mvcc_view *view = view_now();
    uint8_t *bytes = save_all(view, 1 + (size_t)below(5000), &size);
    kvr_mvcc_view_free(view);
    if (below(2) == 0) {
        MUST(load_all(store, bytes, size, 1 + (size_t)below(5000)));
    } else {
        kvr_mvcc *other = new_store();
        MUST(load_all(other, bytes, size, size));
        MUST(kvr_mvcc_view_open(other, &view));
        uint8_t *again = save_all(view, 65536, &again_size);
        cr_assert_eq(again_size, size);
        cr_assert_eq(memcmp(again, bytes, size), 0, "saving is a function of what the store holds");
        kvr_mvcc_view_free(view);
        kvr_mvcc_free(other);
        free(again);
    }
    free(bytes);
    check_status();
    check_live();
}

static void start(uint64_t seed, uint32_t key_space)
{
    kvr__random_init(&t.random, seed);
    t.model = model_mvcc_new();
    t.key_space = key_space;
    for (size_t i = 0; i < sizeof t.value; i++) {
        t.value[i] = (uint8_t)('A' + i % 23);
    }
}

static void run(uint64_t steps)
{
    for (uint64_t i = 0; i < steps; i++) {
        uint64_t what = below(1000);
        if (what < 800) {
            step_apply();
        } else if (what < 860) {
            step_view();
        } else if (what < 880) {
            check_views();
        } else if (what < 890) {
            check_live();
        } else if (what < 895) {
            check_changes();
        } else if (what < 905) {
            check_key_changes();
        } else if (what < 915) {
            step_compact();
        } else if (what < 917) {
            step_snapshot();
        } else {
            kvr_status status = kvr_mvcc_compact_step(store, (uint32_t)below(20));
            cr_assert(status == KVR_OK || status == KVR_AGAIN);
        }
    }
}

static void end(void)
{
    check_live();
    for (uint32_t i = 0; i < VIEWS; i++) {
        if (t.views[i].view != NULL) {
            check_range(&t.views[i], 0);
            kvr_mvcc_view_free(t.views[i].view);
            t.views[i].view = NULL;
        }
    }
    for (uint32_t i = 0; i < RESULTS; i++) {
        kvr_mvcc_result_free(t.results[i]);
        free(t.results_text[i]);
        t.results[i] = NULL;
        t.results_text[i] = NULL;
    }
    model_mvcc_free(t.model);
}

static uint64_t from_environment(const char *name, uint64_t otherwise)
{
    const char *value = getenv(name);
    return value == NULL ? otherwise : strtoull(value, NULL, 0);
}

/* Grows a store to thousands of keys and lets compaction shrink it again, so that the tree gets
 * levels and loses them; between the waves everything else happens. */
static void run_waves(uint64_t seed, uint32_t waves)
{
    fprintf(stderr, "test_mvcc_model: KVR_SEED=%llu\n", (unsigned long long)seed);
    mvcc_setup();
    mvcc_alloc.quiet = 1;
    start(seed, 40000);
    for (uint32_t wave = 0; wave < waves; wave++) {
        for (uint32_t i = 0; i < 6000; i++) {
            t.key_used = 0;
            step_op(random_put());
        }
        run(500);
        for (uint32_t i = 0; i < 150; i++) {
            t.key_used = 0;
            kvr_op op = op_delete(random_key(), ONE);
            op.range_end = near_end(op.key);
            step_op(op);
        }
        step_op(op_delete(text("/registry/pods/ns-02"), wave % 2 == 0 ? ALL : text("/registry/q")));
        step_op(random_put());
        MUST(kvr_mvcc_compact(store, t.model->revision));
        MUST(model_mvcc_compact(t.model, t.model->revision));
        run(500);
        check_live();
    }
    step_op(op_delete(ALL, ALL));
    step_op(random_put());
    compact_all(t.model->revision);
    MUST(model_mvcc_compact(t.model, t.model->revision));
    end();
    mvcc_teardown();
}

/* The model forgets nothing and looks at everything, so a run is cut into stores of 4,000 steps. */
static void run_many(uint32_t key_space, uint64_t salt)
{
    enum { STEPS = 4000 };
    uint64_t seed = from_environment("KVR_SEED", 1), steps = from_environment("KVR_STEPS", 100000);
    for (uint64_t done = 0; done < steps; done += STEPS, seed++) {
        fprintf(stderr, "test_mvcc_model: KVR_SEED=%llu\n", (unsigned long long)seed);
        mvcc_setup();
        mvcc_alloc.quiet = 1;
        start(seed * 2 + salt, key_space);
        run(steps - done < STEPS ? steps - done : STEPS);
        end();
        mvcc_teardown();
    }
}

/* FAULTS 95, 97, 99, 100, 101, 103, 105: whatever is done in whatever order, the store is what the
 * model says. */
Test(mvcc_model, many_keys_behave_as_the_model)
{
    run_many(900, 0);
}

Test(mvcc_model, few_keys_with_long_histories_behave_as_the_model)
{
    run_many(25, 1);
}

Test(mvcc_model, thousands_of_keys_in_waves_behave_as_the_model)
{
    uint64_t waves = 3 + from_environment("KVR_STEPS", 100000) / 200000;
    run_waves(from_environment("KVR_SEED", 1), (uint32_t)waves);
}
