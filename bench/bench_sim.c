/* SPDX-License-Identifier: Apache-2.0 */
/* bench_sim.c: how much simulated life a CPU-second buys: events of a cluster of three whole
 * members (node, wal, simulated disk and network) with a client that puts, once in good weather and
 * once with loss, repetition, partitions and crashes. An event is a message delivered, a storage
 * completion, a timer that fired or a client call. Start reading at measure. */
#include <kvraft/sim.h>
#include <string.h>

#include "bench_questions.h"

enum { MEMBERS = 3, KEYS = 1000, EVENTS = 200000, PUT_NS = 1000000 };

typedef struct client {
    kvr_sim *sim;
    bench_key *keys;
    uint64_t done;
} client;

static void must(kvr_status status)
{
    if (status != KVR_OK) {
        bench_fail(kvr_status_text(status));
    }
}

static void on_completed(void *ctx, uint32_t member, const kvr_completion *completion)
{
    client *self = ctx;
    (void)member;
    self->done += completion->outcome == KVR_OUTCOME_DONE;
}

/* One put through a random member, if it is up and takes it; then the next after a millisecond. */
static void on_timer(void *ctx, void *user)
{
    client *self = ctx;
    uint8_t value[BENCH_VALUE_SIZE] = {0};
    kvr_node *node = kvr_sim_node(self->sim, (uint32_t)kvr_sim_random(self->sim, MEMBERS));
    const bench_key *key = &self->keys[kvr_sim_random(self->sim, KEYS)];
    kvr_slice key_slice = {(const uint8_t *)key->text, BENCH_KEY_SIZE};
    kvr_slice value_slice = {value, sizeof value};

    bench_value_fill(value, self->done);
    if (node != NULL) {
        kvr_status status = kvr_node_put(node, NULL, &key_slice, &value_slice, 0);
        bench_require(status == KVR_OK || status == KVR_EBUSY, kvr_status_text(status));
    }
    must(kvr_sim_after(self->sim, PUT_NS, user));
}

static double events_rate(bool faults, uint64_t *out_done)
{
    static const kvr_sim_sink sink = {
        .size = sizeof sink, .completed = on_completed, .timer = on_timer};
    kvr_sim_config config;
    kvr_sim_network network;
    client self = {.keys = bench_keys_new(KEYS, 1)};

    must(kvr_sim_config_init(&config, sizeof config));
    must(kvr_sim_network_init(&network, sizeof network));
    config.seed = 1;
    config.network = &network;
    config.sink = &sink;
    config.sink_ctx = &self;
    if (faults) {
        network.loss_ppm = 10000;
        network.repeat_ppm = 10000;
        config.crash_ppm = 200;
        config.cut_ppm = 200;
    }
    must(kvr_sim_new(&config, &self.sim));
    must(kvr_sim_after(self.sim, PUT_NS, NULL));
    uint64_t begin = bench_cpu_ns();
    while (kvr_sim_event_count(self.sim) < EVENTS) {
        must(kvr_sim_step(self.sim, NULL));
    }
    double spent = (double)(bench_cpu_ns() - begin);
    double rate = (double)kvr_sim_event_count(self.sim) * 1e9 / spent;
    kvr_sim_free(self.sim);
    *out_done = self.done;
    return rate;
}

static void measure(bench_run *run)
{
    uint64_t done;
    bench_report(run, "calm-rate", events_rate(false, &done));
    bench_require(done > EVENTS / 100, "the cluster works");
    bench_report(run, "storm-rate", events_rate(true, &done));
    bench_require(done > EVENTS / 1000, "the cluster works in spite of all");
}

const bench_question bench_sim = {
    "sim",
    "sim: events of 3 simulated members and a client, in calm and with losses, cuts and crashes",
    0,
    {{"kvraft", measure}},
    {{"sim-calm", "calm-rate", "/CPU-s", 0, BENCH_GOAL_NONE, 0},
     {"sim-storm", "storm-rate", "/CPU-s", 0, BENCH_GOAL_NONE, 0}}};
