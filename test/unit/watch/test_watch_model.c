/* SPDX-License-Identifier: Apache-2.0 */
/* test_watch_model.c: random operations on a store and its watchers, each batch compared with the
 * plain model (FAULTS V1 to V7): writes, deletes of intervals, transactions, compactions in all
 * states, pauses between parts of a revision, budgets of one change, batches of one event,
 * snapshots installed under open watchers. A failing seed runs alone with KVR_SEED=n; KVR_STEPS=n
 * makes it longer. */
#include <criterion/criterion.h>

#include <kvraft/watch.h>

#include "base/random.h"
#include "support/model_mvcc.h"
#include "support/model_watch.h"
#include "support/test_alloc.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SEEDS = 40, STEPS = 5000, KEYS = 24, WATCHERS_MAX = 24, TXN_OPS = 6 };

static test_alloc alloc;
static kvr__random rng;
static kvr_mvcc *store;
static kvr_mvcc *ahead; /* another member, of which snapshots are taken */
static kvr_watch_hub *hub;
static model_mvcc *history;
static model_watch *model;
static uint64_t seed;
static uint64_t step;

#define MUST(call)                                                                    \
    cr_assert_eq((call), KVR_OK, "seed %llu step %llu: %s", (unsigned long long)seed, \
                 (unsigned long long)step, #call)
#define WELL(call)                                                                     \
    do {                                                                               \
        const char *wrong_ = (call);                                                   \
        cr_assert(wrong_ == NULL, "seed %llu step %llu: %s", (unsigned long long)seed, \
                  (unsigned long long)step, wrong_);                                   \
    } while (0)

static uint64_t below(uint64_t limit)
{
    return kvr__random_below(&rng, limit);
}

static kvr_mvcc *new_store(void)
{
    kvr_mvcc_config config;
    kvr_mvcc *made = NULL;
    MUST(kvr_mvcc_config_init(&config, sizeof config));
    config.allocator = &test_alloc_table;
    config.allocator_ctx = &alloc;
    MUST(kvr_mvcc_new(&config, &made));
    return made;
}

static void begin(void)
{
    static const uint32_t BATCHES[] = {1, 2, 3, 7, 1024};
    kvr_watch_config config;
    kvr__random_init(&rng, seed);
    store = new_store();
    ahead = new_store();
    MUST(kvr_watch_config_init(&config, sizeof config));
    config.batch_events_max = BATCHES[seed % 5];
    config.allocator = &test_alloc_table;
    config.allocator_ctx = &alloc;
    MUST(kvr_watch_hub_new(&config, store, &hub));
    history = model_mvcc_new();
    model = model_watch_new(history);
}

static void finish(void)
{
    kvr_watch_hub_free(hub);
    kvr_mvcc_free(store);
    kvr_mvcc_free(ahead);
    model_watch_free(model);
    model_mvcc_free(history);
}

/* ------------------------------------------------------------------ writes */

/* Keys "a" to "f" with up to three digits behind them: many share a beginning. */
static kvr_slice key_at(uint64_t n)
{
    static char rooms[64][8];
    static uint32_t room;
    char *text = rooms[room++ % 64];
    int size =
        snprintf(text, sizeof rooms[0], "%c%.*s", (char)('a' + n % 6), (int)(n / 6 % 4), "111");
    return (kvr_slice){(const uint8_t *)text, (size_t)size};
}

static const kvr_slice ALL = {(const uint8_t *)"", 1};

static kvr_slice random_end(kvr_slice key)
{
    kvr_slice end = key_at(below(KEYS));
    if (below(4) == 0) {
        return ALL;
    }
    return memcmp(end.data, key.data, 1) > 0 ? end : (kvr_slice){(const uint8_t *)"g", 1};
}

static void apply(const kvr_op *op, bool is_install)
{
    model_result result;
    MUST(model_mvcc_apply(history, op, &result));
    model_result_release(&result);
    MUST(kvr_mvcc_apply(ahead, op, NULL));
    if (!is_install) {
        MUST(kvr_mvcc_apply(store, op, NULL));
    }
}

static kvr_op random_op(uint64_t key)
{
    kvr_op op = {.size = sizeof op, .key = key_at(key)};
    static const uint8_t VALUE[9000] = {7};
    if (below(3) > 0) {
        op.kind = KVR_OP_PUT;
        op.value = (kvr_slice){VALUE, below(50) == 0 ? sizeof VALUE : below(20)};
        op.lease = (int64_t)below(3);
    } else {
        op.kind = KVR_OP_DELETE;
    }
    return op;
}

static void write_once(bool is_install)
{
    kvr_op ops[TXN_OPS];
    kvr_op op = random_op(below(KEYS));
    kvr_txn txn = {.size = sizeof txn, .then_ops = ops};
    if (below(10) == 0) {
        op.kind = KVR_OP_DELETE;
        op.value = (kvr_slice){NULL, 0};
        op.lease = 0;
        op.range_end = random_end(op.key);
    } else if (below(3) == 0) {
        uint64_t key = below(KEYS);
        for (uint64_t count = 1 + below(TXN_OPS); txn.then_count < count; txn.then_count++) {
            ops[txn.then_count] = random_op(key++ % KEYS);
        }
        op = (kvr_op){.size = sizeof op, .kind = KVR_OP_TXN, .txn = &txn};
    }
    apply(&op, is_install);
}

static void note_delivered(void)
{
    for (uint32_t i = 0; i < model->count; i++) {
        uint64_t revision = 0;
        MUST(kvr_watch_delivered(hub, model->watchers[i].id, &revision));
        WELL(model_watch_delivered(model, model->watchers[i].id, revision));
    }
}

static void compact(bool is_install)
{
    uint64_t room = history->revision - history->compacted;
    if (room == 0) {
        return;
    }
    uint64_t revision = history->compacted + 1 + below(1 + below(room)); /* the further the rarer */
    note_delivered();
    MUST(model_mvcc_compact(history, revision));
    MUST(kvr_mvcc_compact(ahead, revision));
    if (!is_install) {
        MUST(kvr_mvcc_compact(store, revision));
    }
}

static void compact_on(void)
{
    kvr_status status = kvr_mvcc_compact_step(store, (uint32_t)(1 + below(20)));
    cr_assert(status == KVR_OK || status == KVR_AGAIN);
}

/* FAULTS 111: time travel after a snapshot was installed. */
static void install(void)
{
    uint8_t room[1000];
    kvr_mvcc_view *view = NULL;
    kvr_mvcc_save *save = NULL;
    for (uint64_t more = below(30); more > 0; more--) {
        write_once(true);
    }
    if (below(2) == 0) {
        compact(true);
    }
    MUST(kvr_mvcc_view_open(ahead, &view));
    MUST(kvr_mvcc_save_new(view, &save));
    MUST(kvr_mvcc_load_begin(store));
    kvr_slice piece = {room, 0};
    while (kvr_mvcc_save_read(save, room, sizeof room, &piece.size) == KVR_OK) {
        MUST(kvr_mvcc_load_write(store, &piece));
    }
    MUST(kvr_mvcc_load_end(store));
    kvr_mvcc_save_free(save);
    kvr_mvcc_view_free(view);
}

/* ------------------------------------------------------------------ watchers */

static void open_one(void)
{
    static const uint32_t FLAGS[] = {0,
                                     0,
                                     0,
                                     KVR_WATCH_PREV_KV,
                                     KVR_WATCH_NO_PUT,
                                     KVR_WATCH_NO_DELETE,
                                     KVR_WATCH_NO_DELETE | KVR_WATCH_PREV_KV,
                                     KVR_WATCH_NO_PUT | KVR_WATCH_NO_DELETE};
    kvr_watch_request request = {.size = sizeof request, .key = key_at(below(KEYS))};
    uint64_t id = 0;
    request.flags = FLAGS[below(8)];
    request.user = (void *)(uintptr_t)below(1000);
    if (below(2) == 0) {
        request.range_end = random_end(request.key);
    }
    if (model->count > 0 && below(2) == 0) { /* the same as somebody else: they may share batches */
        const model_watcher *other = &model->watchers[below(model->count)];
        request.key = (kvr_slice){other->key.data, other->key.size};
        request.range_end = (kvr_slice){other->range_end.data, other->range_end.size};
        request.flags = other->flags;
    }
    if (below(2) == 0) { /* around the head, and down to the compacted revision and below */
        uint64_t from = history->compacted > 2 ? history->compacted - 2 : 1;
        request.start_revision = from + below(history->revision + 8 - from);
    }
    if (model->count >= WATCHERS_MAX) {
        return;
    }
    MUST(kvr_watch_open(hub, &request, &id));
    cr_assert(model_watch_find(model, id) == NULL);
    model_watch_open(model, id, &request);
}

static uint64_t somebody(void)
{
    return model->count == 0 ? 0 : model->watchers[below(model->count)].id;
}

static void cancel_one(void)
{
    uint64_t id = somebody();
    cr_assert_eq(kvr_watch_cancel(hub, id), id == 0 ? KVR_ENOTFOUND : KVR_OK);
    model_watch_cancel(model, id);
}

static void pause_one(bool is_paused)
{
    uint64_t id = somebody();
    if (id != 0) {
        MUST(is_paused ? kvr_watch_pause(hub, id) : kvr_watch_resume(hub, id));
        model_watch_pause(model, id, is_paused);
    }
}

/* One batch; false if there is none. */
static bool listen(uint32_t budget)
{
    kvr_watch_batch batch;
    bool has_work = kvr_watch_has_work(hub);
    kvr_status status = kvr_watch_next(hub, budget, &batch);
    if (status == KVR_OK) {
        WELL(model_watch_batch(model, &batch));
    } else if (status == KVR_END) {
        WELL(model_watch_end(model));
        cr_assert_not(kvr_watch_has_work(hub), "seed %llu", (unsigned long long)seed);
    } else {
        cr_assert_eq(status, KVR_AGAIN);
    }
    cr_assert(has_work || status == KVR_END, "seed %llu", (unsigned long long)seed);
    return status != KVR_END;
}

static void listen_to_the_end(void)
{
    for (uint64_t rounds = 0; listen(1000); rounds++) {
        cr_assert(rounds < 100000, "seed %llu: there is no end", (unsigned long long)seed);
    }
    note_delivered();
}

static void one_step(void)
{
    uint64_t dice = below(100);
    if (dice < 30) {
        write_once(false);
    } else if (dice < 65) {
        (void)listen(below(3) == 0 ? 1 : (uint32_t)(1 + below(40)));
    } else if (dice < 67) {
        listen_to_the_end();
    } else if (dice < 77) {
        open_one();
    } else if (dice < 82) {
        cancel_one();
    } else if (dice < 94) {
        pause_one(dice < 87);
    } else if (dice < 96) {
        compact(false);
    } else if (dice < 99) {
        compact_on();
    } else {
        install();
    }
}

Test(watch_model, random_use_agrees_with_fingers_on_a_list)
{
    const char *only = getenv("KVR_SEED");
    const char *steps = getenv("KVR_STEPS");
    uint64_t first = only == NULL ? 1 : strtoull(only, NULL, 10);
    uint64_t step_count = steps == NULL ? STEPS : strtoull(steps, NULL, 10);
    uint64_t told = 0;
    uint64_t ended = 0;
    uint64_t parts = 0;
    uint64_t shared = 0;
    test_alloc_init(&alloc);
    for (seed = first; seed < first + (only == NULL ? SEEDS : 1); seed++) {
        begin();
        for (step = 0; step < step_count; step++) {
            one_step();
        }
        while (model->count > 0 && model->watchers[0].is_paused) {
            cancel_one();
        }
        listen_to_the_end();
        told += model->event_count;
        ended += model->ended_count;
        parts += model->part_count;
        shared += model->shared_count;
        finish();
        TEST_ALLOC_ASSERT_EMPTY(&alloc);
    }

    /* The run was worth something. */
    if (only == NULL) {
        cr_assert(told > 10000 && ended > 100 && parts > 1000 && shared > 1000,
                  "told %llu, ended %llu, parts %llu, shared %llu", (unsigned long long)told,
                  (unsigned long long)ended, (unsigned long long)parts, (unsigned long long)shared);
    }
}
