/* SPDX-License-Identifier: Apache-2.0 */
/* watch_fixture.c: writes on one side, words on the other. */
#include "watch_fixture.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

test_alloc watch_alloc;
kvr_mvcc *store;
kvr_watch_hub *hub;

const kvr_slice ALL = {(const uint8_t *)"", 1};

static char heard[4096];
static size_t heard_size;

/* ------------------------------------------------------------------ life */

void watch_setup_batches(uint32_t batch_events_max)
{
    kvr_mvcc_config store_config;
    kvr_watch_config config;
    test_alloc_init(&watch_alloc);
    MUST(kvr_mvcc_config_init(&store_config, sizeof store_config));
    store_config.allocator = &test_alloc_table;
    store_config.allocator_ctx = &watch_alloc;
    MUST(kvr_mvcc_new(&store_config, &store));
    MUST(kvr_watch_config_init(&config, sizeof config));
    config.batch_events_max = batch_events_max;
    config.allocator = &test_alloc_table;
    config.allocator_ctx = &watch_alloc;
    MUST(kvr_watch_hub_new(&config, store, &hub));
}

void watch_setup(void)
{
    watch_setup_batches(1024);
}

void watch_teardown(void)
{
    kvr_watch_hub_free(hub);
    kvr_mvcc_free(store);
    TEST_ALLOC_ASSERT_EMPTY(&watch_alloc);
}

/* ------------------------------------------------------------------ writes */

kvr_slice text(const char *string)
{
    return (kvr_slice){(const uint8_t *)string, strlen(string)};
}

uint64_t head(void)
{
    kvr_mvcc_status status = {.size = sizeof status};
    kvr_mvcc_get_status(store, &status);
    return status.revision;
}

uint64_t put(const char *key, const char *value)
{
    kvr_op op = {.size = sizeof op, .kind = KVR_OP_PUT, .key = text(key), .value = text(value)};
    MUST(kvr_mvcc_apply(store, &op, NULL));
    return head();
}

uint64_t del(const char *key)
{
    kvr_op op = {.size = sizeof op, .kind = KVR_OP_DELETE, .key = text(key)};
    MUST(kvr_mvcc_apply(store, &op, NULL));
    return head();
}

uint64_t del_from(const char *key)
{
    kvr_op op = {.size = sizeof op, .kind = KVR_OP_DELETE, .key = text(key), .range_end = ALL};
    MUST(kvr_mvcc_apply(store, &op, NULL));
    return head();
}

uint64_t put_all(const char *const *keys, uint32_t count)
{
    kvr_op ops[KVR_TXN_OPS_MAX];
    kvr_txn txn = {.size = sizeof txn, .then_count = count, .then_ops = ops};
    for (uint32_t i = 0; i < count; i++) {
        ops[i] = (kvr_op){.size = sizeof *ops, .kind = KVR_OP_PUT, .key = text(keys[i])};
    }
    kvr_op op = {.size = sizeof op, .kind = KVR_OP_TXN, .txn = &txn};
    MUST(kvr_mvcc_apply(store, &op, NULL));
    return head();
}

void compact(uint64_t revision)
{
    MUST(kvr_mvcc_compact(store, revision));
    while (kvr_mvcc_compact_step(store, 100) == KVR_AGAIN) {
    }
}

/* ------------------------------------------------------------------ watchers */

kvr_watch_request watching(const char *key, const char *range_end)
{
    kvr_watch_request request = {.size = sizeof request, .key = text(key)};
    if (range_end != NULL) {
        request.range_end = strcmp(range_end, "*") == 0 ? ALL : text(range_end);
    }
    return request;
}

kvr_status opened(const kvr_watch_request *request)
{
    uint64_t id;
    return kvr_watch_open(hub, request, &id);
}

uint64_t watch(const char *key, const char *range_end, uint64_t start_revision, uint32_t flags)
{
    kvr_watch_request request = watching(key, range_end);
    uint64_t id = 0;
    request.start_revision = start_revision;
    request.flags = flags;
    MUST(kvr_watch_open(hub, &request, &id));
    return id;
}

uint64_t delivered(uint64_t id)
{
    uint64_t revision = 0;
    MUST(kvr_watch_delivered(hub, id, &revision));
    return revision;
}

/* ------------------------------------------------------------------ words */

static void say(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    int size = vsnprintf(heard + heard_size, sizeof heard - heard_size, format, args);
    va_end(args);
    heard_size += (size_t)size;
    cr_assert_lt(heard_size, sizeof heard);
}

static void say_event(const kvr_event *event)
{
    say(" %llu%c%.*s", (unsigned long long)event->kv.mod_revision,
        event->type == KVR_EVENT_PUT ? '+' : '-', (int)event->kv.key.size,
        (const char *)event->kv.key.data);
    if (event->kv.value.size > 0) {
        say("=%.*s", (int)event->kv.value.size, (const char *)event->kv.value.data);
    }
    if (event->has_prev != 0) {
        say(" was %.*s", (int)event->prev.value.size, (const char *)event->prev.value.data);
    }
}

static const char *say_batch(const kvr_watch_batch *batch)
{
    for (uint32_t i = 0; i < batch->target_count; i++) {
        say(i == 0 ? "%llu" : ",%llu", (unsigned long long)batch->targets[i].id);
    }
    say(":");
    if (batch->status != KVR_OK) {
        cr_assert_eq(batch->status, KVR_ECOMPACTED);
        say(" compacted %llu", (unsigned long long)batch->compacted);
        return heard;
    }
    for (uint32_t i = 0; i < batch->event_count; i++) {
        say_event(&batch->events[i]);
    }
    say("%s | %llu", (batch->flags & KVR_WATCH_PART) != 0 ? " ..." : "",
        (unsigned long long)batch->revision);
    return heard;
}

const char *next_of(uint32_t budget)
{
    kvr_watch_batch batch;
    kvr_status status = kvr_watch_next(hub, budget, &batch);
    heard_size = 0;
    switch (status) {
    case KVR_OK:
        return say_batch(&batch);
    case KVR_AGAIN:
        return "again";
    case KVR_END:
        cr_assert_not(kvr_watch_has_work(hub));
        return "end";
    default:
        cr_assert_eq(status, KVR_ENOMEM);
        return "no memory";
    }
}

const char *next(void)
{
    return next_of(100000);
}

void drain(void)
{
    kvr_watch_batch batch;
    while (kvr_watch_next(hub, 1000, &batch) != KVR_END) {
    }
}
