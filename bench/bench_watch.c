/* SPDX-License-Identifier: Apache-2.0 */
/* bench_watch.c: what it costs to tell watchers. An event is one change handed to one watcher.
 * Watchers that keep up are served after each put; the same puts into a store without watchers are
 * measured beside it and taken off, so the number is the watchers' alone. Start reading at
 * measure_live. */
#include <kvraft/watch.h>
#include <stdlib.h>
#include <string.h>

#include "bench_questions.h"

enum { KEYS = 10000, BLOCK = 1000, BUDGET = 1 << 20 };

typedef struct side {
    kvr_mvcc *store;
    kvr_watch_hub *hub; /* NULL: nobody watches */
    uint64_t events;
    uint64_t sum;
} side;

static void must(kvr_status status)
{
    if (status != KVR_OK) {
        bench_fail(kvr_status_text(status));
    }
}

static void side_open(side *self, bool watched)
{
    kvr_mvcc_config config;
    kvr_watch_config watch_config;
    memset(self, 0, sizeof *self);
    must(kvr_mvcc_config_init(&config, sizeof config));
    must(kvr_mvcc_new(&config, &self->store));
    if (watched) {
        must(kvr_watch_config_init(&watch_config, sizeof watch_config));
        must(kvr_watch_hub_new(&watch_config, self->store, &self->hub));
    }
}

static void side_close(side *self)
{
    kvr_watch_hub_free(self->hub);
    kvr_mvcc_free(self->store);
}

static void put(side *self, const bench_key *key)
{
    static const uint8_t value[BENCH_VALUE_SIZE];
    kvr_op op = {.size = sizeof op,
                 .kind = KVR_OP_PUT,
                 .key = {(const uint8_t *)key->text, BENCH_KEY_SIZE},
                 .value = {value, sizeof value}};
    must(kvr_mvcc_apply(self->store, &op, NULL));
}

/* What a server does with a batch, less the sending: look at each target and at each event. */
static void drain(side *self)
{
    kvr_watch_batch batch;
    kvr_status status;
    while ((status = kvr_watch_next(self->hub, BUDGET, &batch)) != KVR_END) {
        if (status == KVR_AGAIN) {
            continue;
        }
        must(status);
        must(batch.status);
        for (uint32_t i = 0; i < batch.event_count; i++) {
            self->sum += batch.events[i].kv.mod_revision + batch.events[i].kv.key.size;
        }
        for (uint32_t i = 0; i < batch.target_count; i++) {
            self->sum += batch.targets[i].id;
        }
        self->events += (uint64_t)batch.event_count * batch.target_count;
    }
}

static void watch(side *self, const bench_key *key, uint64_t start_revision)
{
    static const uint8_t zero[1];
    kvr_watch_request request = {.size = sizeof request, .start_revision = start_revision};
    uint64_t id;
    if (key != NULL) {
        request.key = (kvr_slice){(const uint8_t *)key->text, BENCH_KEY_SIZE};
    } else {
        request.key = request.range_end = (kvr_slice){zero, 1};
    }
    must(kvr_watch_open(self->hub, &request, &id));
}

static double put_block(side *self, const bench_key *keys, size_t key_count)
{
    uint64_t begin = bench_cpu_ns();
    for (size_t i = 0; i < BLOCK; i++) {
        put(self, &keys[i % key_count]);
        if (self->hub != NULL) {
            drain(self);
        }
    }
    return (double)(bench_cpu_ns() - begin);
}

/* `blocks` of 1,000 puts to the first `key_count` keys. */
static double events_rate(side *watched, const bench_key *keys, size_t key_count, size_t blocks)
{
    side bare;
    double spent = 0;
    uint64_t before = watched->events;
    side_open(&bare, false);
    for (size_t i = 0; i < blocks; i++) {
        const bench_key *block = &keys[i * BLOCK % key_count];
        size_t count = key_count < BLOCK ? key_count : BLOCK;
        spent -= put_block(&bare, block, count);
        spent += put_block(watched, block, count);
    }
    side_close(&bare);
    return (double)(watched->events - before) * 1e9 / spent;
}

static void measure_one(bench_run *run)
{
    enum { BLOCKS = 300 };
    bench_key *keys = bench_keys_new(KEYS, 1);
    side self;

    side_open(&self, true);
    watch(&self, NULL, 0);
    bench_report(run, "live-rate", events_rate(&self, keys, KEYS, BLOCKS));
    bench_require(self.events == BLOCKS * BLOCK, "each event once");

    self.events = 0;
    watch(&self, NULL, 1);
    uint64_t begin = bench_cpu_ns();
    drain(&self);
    bench_report(run, "past-rate", (double)self.events * 1e9 / (double)(bench_cpu_ns() - begin));
    bench_require(self.events == BLOCKS * BLOCK, "each past event once");
    bench_consume(self.sum);
    side_close(&self);
}

static void measure_many(bench_run *run)
{
    enum { WATCHERS = 10000, BLOCKS = 10, OWN_BLOCKS = 300 };
    bench_key *keys = bench_keys_new(KEYS, 1);
    side self;

    side_open(&self, true);
    uint64_t resident = bench_resident_bytes();
    for (size_t i = 0; i < WATCHERS; i++) {
        watch(&self, &keys[0], 0);
    }
    bench_report(run, "bytes", (double)(bench_resident_bytes() - resident) / WATCHERS);
    bench_report(run, "one-key-rate", events_rate(&self, keys, 1, BLOCKS));
    bench_require(self.events == (uint64_t)BLOCKS * BLOCK * WATCHERS, "each event once to each");
    bench_consume(self.sum);
    side_close(&self);

    side_open(&self, true);
    for (size_t i = 0; i < WATCHERS; i++) {
        watch(&self, &keys[i], 0);
    }
    bench_report(run, "own-key-rate", events_rate(&self, keys, KEYS, OWN_BLOCKS));
    bench_require(self.events == OWN_BLOCKS * BLOCK, "each event once to its watcher");
    bench_consume(self.sum);
    side_close(&self);
}

const bench_question bench_watch_1 = {
    "watch-1",
    "watch: 1 watcher of all keys, served after each put, then from the first revision on",
    0,
    {{"kvraft", measure_one}},
    {{"watch-1-live", "live-rate", "/CPU-s", 0, BENCH_GOAL_NONE, 0},
     {"watch-1-past", "past-rate", "/CPU-s", 0, BENCH_GOAL_NONE, 0}}};

const bench_question bench_watch_10000 = {
    "watch-10000",
    "watch: 10,000 watchers of one key, then each of a key of its own, served after each put",
    0,
    {{"kvraft", measure_many}},
    {{"watch-10000-one-key", "one-key-rate", "/CPU-s", 0, BENCH_GOAL_NONE, 0},
     {"watch-10000-own-keys", "own-key-rate", "/CPU-s", 0, BENCH_GOAL_NONE, 0},
     {"watch-10000-bytes", "bytes", "B/watcher", 0, BENCH_GOAL_NONE, 0}}};
