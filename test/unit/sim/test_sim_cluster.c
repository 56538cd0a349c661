/* SPDX-License-Identifier: Apache-2.0 */
/* test_sim_cluster.c: whole clusters: runs repeat, trouble by hand does what it says, members that
 * fail are told, and an embedder's loop as sim.h shows it works. */
#include <criterion/criterion.h>
#include <string.h>

#include <kvraft/sim.h>

#include "support/fault_sweep.h"
#include "support/test_alloc.h"

enum { SECOND = 1000000000 };

static test_alloc alloc;
static kvr_sim *sim;
static kvr_sim_config config;
static uint64_t done;
static uint64_t refused;
static uint64_t heard;
static uint64_t fired;
static uint64_t failures;
static uint64_t submitted;
static uint64_t stored;
static uint64_t sent;

static void on_completed(void *ctx, uint32_t member, const kvr_completion *completion)
{
    (void)ctx;
    (void)member;
    done += completion->outcome == KVR_OUTCOME_DONE;
    refused += completion->outcome == KVR_OUTCOME_REFUSED;
}

static void on_watched(void *ctx, uint32_t member, const kvr_watch_batch *batch)
{
    (void)ctx;
    (void)member;
    heard += batch->event_count;
}

static void put(uint32_t member, const char *key)
{
    kvr_slice name = {(const uint8_t *)key, strlen(key)};
    kvr_slice value = {(const uint8_t *)"value", 5};
    kvr_node *node = kvr_sim_node(sim, member);
    if (node != NULL) {
        cr_assert_eq(kvr_node_put(node, NULL, &name, &value, 0), KVR_OK);
    }
}

static void on_timer(void *ctx, void *user)
{
    (void)ctx;
    fired++;
    if (user != NULL) {
        put((uint32_t)kvr_sim_random(sim, 3), "key");
        cr_assert_eq(kvr_sim_after(sim, 3000000, user), KVR_OK);
    }
}

static void on_event(void *ctx, const kvr_sim_event *event)
{
    (void)ctx;
    failures += event->kind == KVR_SIM_FAILURE;
}

static void on_sent(void *ctx, uint32_t member, const kvr_message *message)
{
    (void)ctx;
    (void)member;
    (void)message;
    sent++;
}

static void on_submitted(void *ctx, uint32_t member, const kvr_store_request *request)
{
    (void)ctx;
    (void)member;
    (void)request;
    submitted++;
}

static void on_stored(void *ctx, uint32_t member, const kvr_store_request *request,
                      const kvr_store_result *result)
{
    (void)ctx;
    (void)member;
    cr_assert_eq(request->token, result->token);
    stored++;
}

static const kvr_sim_sink sink = {
    .size = sizeof sink,
    .completed = on_completed,
    .watched = on_watched,
    .timer = on_timer,
    .event = on_event,
    .sent = on_sent,
    .submitted = on_submitted,
    .stored = on_stored,
};

static void setup(void)
{
    test_alloc_init(&alloc);
    alloc.quiet = 1;
    sim = NULL;
    done = refused = heard = fired = failures = submitted = stored = sent = 0;
    cr_assert_eq(kvr_sim_config_init(&config, sizeof config), KVR_OK);
    config.seed = 1;
    config.sink = &sink;
    config.allocator = &test_alloc_table;
    config.allocator_ctx = &alloc;
}

static void teardown(void)
{
    kvr_sim_free(sim);
    TEST_ALLOC_ASSERT_EMPTY(&alloc);
}

TestSuite(sim_cluster, .init = setup, .fini = teardown);

static void begin(void)
{
    kvr_sim_free(sim);
    sim = NULL;
    cr_assert_eq(kvr_sim_new(&config, &sim), KVR_OK);
}

static uint32_t wait_for_leader(void)
{
    for (uint32_t i = 0; i < 100 && kvr_sim_leader(sim) == UINT32_MAX; i++) {
        cr_assert_eq(kvr_sim_run(sim, SECOND / 10), KVR_OK);
    }
    cr_assert_neq(kvr_sim_leader(sim), UINT32_MAX);
    return kvr_sim_leader(sim);
}

static uint64_t applied(uint32_t member)
{
    kvr_node_status status = {.size = sizeof status};
    kvr_node_get_status(kvr_sim_look(sim, member), &status);
    return status.hash_index;
}

static uint32_t state_of(uint32_t member)
{
    kvr_sim_member_status status = {.size = sizeof status};
    kvr_sim_get_member_status(sim, member, &status);
    return status.state;
}

/* ------------------------------------------------------------------ work */

Test(sim_cluster, a_put_on_any_member_reaches_all)
{
    begin();
    (void)wait_for_leader();

    for (uint32_t i = 0; i < 3; i++) {
        put(i, "key");
    }
    cr_assert_eq(kvr_sim_run(sim, SECOND), KVR_OK);

    cr_assert_eq(done, 3);
    for (uint32_t i = 0; i < 3; i++) {
        kvr_kv kv;
        kvr_slice key = {(const uint8_t *)"key", 3};
        cr_assert(kvr_node_get(kvr_sim_look(sim, i), &key, &kv));
        cr_assert_eq(kv.version, 3);
    }
    cr_assert_eq(submitted, stored);
    cr_assert(sent > 0);
}

Test(sim_cluster, watchers_hear_through_the_sink)
{
    begin();
    (void)wait_for_leader();
    kvr_watch_request request = {
        .size = sizeof request, .key = {(const uint8_t *)"key", 3}, .start_revision = 1};
    uint64_t id;
    cr_assert_eq(kvr_node_watch(kvr_sim_node(sim, 1), &request, &id), KVR_OK);

    put(0, "key");
    put(2, "other");
    cr_assert_eq(kvr_sim_run(sim, SECOND), KVR_OK);

    cr_assert_eq(heard, 1);
}

Test(sim_cluster, nothing_happens_before_a_step)
{
    begin();
    (void)wait_for_leader();
    uint64_t events = kvr_sim_event_count(sim);
    uint64_t requests = submitted;

    put(kvr_sim_leader(sim), "key");

    cr_assert_eq(submitted, requests);
    kvr_sim_event event;
    cr_assert_eq(kvr_sim_step(sim, &event), KVR_OK);
    cr_assert_eq(event.kind, KVR_SIM_TIMER);
    cr_assert_eq(event.time_ns, kvr_sim_now(sim));
    cr_assert_eq(kvr_sim_event_count(sim), events + 1);
    cr_assert_eq(submitted, requests + 1);
}

Test(sim_cluster, timers_of_the_caller_fire_in_order_and_on_time)
{
    begin();
    cr_assert_eq(kvr_sim_after(sim, 5 * UINT64_C(1000000), NULL), KVR_OK);
    cr_assert_eq(kvr_sim_after(sim, 2 * UINT64_C(1000000), NULL), KVR_OK);

    cr_assert_eq(kvr_sim_run(sim, 2000000 - 1), KVR_OK);
    cr_assert_eq(fired, 0);
    cr_assert_eq(kvr_sim_run(sim, 1), KVR_OK);
    cr_assert_eq(fired, 1);
    cr_assert_eq(kvr_sim_run(sim, 3000000), KVR_OK);

    cr_assert_eq(fired, 2);
    cr_assert_eq(kvr_sim_now(sim), 5000000);
}

/* ------------------------------------------------------------------ repetition */

static uint64_t stormy_hash(uint64_t seed, uint32_t loss_ppm)
{
    kvr_sim_network network;
    cr_assert_eq(kvr_sim_network_init(&network, sizeof network), KVR_OK);
    network.loss_ppm = loss_ppm;
    network.repeat_ppm = 50000;
    network.corrupt_ppm = 5000;
    config.seed = seed;
    config.network = &network;
    config.crash_ppm = 2000;
    config.cut_ppm = 2000;
    config.drift_ppm = 20000;
    config.run_budget = 7;
    begin();
    config.network = NULL;
    cr_assert_eq(kvr_sim_after(sim, 1, &fired), KVR_OK);
    while (kvr_sim_event_count(sim) < 5000) {
        cr_assert_eq(kvr_sim_step(sim, NULL), KVR_OK);
    }
    return kvr_sim_trace_hash(sim);
}

Test(sim_cluster, the_same_seed_tells_the_same_story)
{
    uint64_t first = stormy_hash(42, 10000);

    cr_assert_eq(stormy_hash(42, 10000), first);
    cr_assert_neq(stormy_hash(43, 10000), first);
    cr_assert_neq(stormy_hash(42, 20000), first);
    cr_assert_eq(failures, 0);
}

Test(sim_cluster, looking_changes_nothing)
{
    uint64_t plain = stormy_hash(7, 10000);
    cr_assert_neq(plain, 0);

    config.seed = 7;
    kvr_sim_network network;
    cr_assert_eq(kvr_sim_network_init(&network, sizeof network), KVR_OK);
    network.loss_ppm = 10000;
    network.repeat_ppm = 50000;
    network.corrupt_ppm = 5000;
    config.network = &network;
    begin();
    cr_assert_eq(kvr_sim_after(sim, 1, &fired), KVR_OK);
    while (kvr_sim_event_count(sim) < 5000) {
        (void)kvr_sim_leader(sim);
        (void)kvr_sim_node(sim, 1);
        cr_assert_eq(kvr_sim_step(sim, NULL), KVR_OK);
    }

    cr_assert_eq(kvr_sim_trace_hash(sim), plain);
}

/* ------------------------------------------------------------------ trouble by hand */

Test(sim_cluster, a_member_that_crashed_comes_back_with_what_was_durable)
{
    begin();
    uint32_t leader = wait_for_leader();
    put(leader, "key");
    cr_assert_eq(kvr_sim_run(sim, SECOND), KVR_OK);
    uint64_t index = applied(leader);

    kvr_sim_crash(sim, leader);
    cr_assert_null(kvr_sim_node(sim, leader));
    cr_assert_eq(state_of(leader), KVR_SIM_DOWN);
    kvr_sim_crash(sim, leader);
    cr_assert_eq(kvr_sim_run(sim, 5 * (uint64_t)SECOND), KVR_OK);
    cr_assert_neq(wait_for_leader(), leader);
    cr_assert_eq(kvr_sim_restart(sim, leader), KVR_OK);
    cr_assert_eq(kvr_sim_run(sim, 2 * (uint64_t)SECOND), KVR_OK);

    cr_assert_eq(state_of(leader), KVR_SIM_UP);
    cr_assert(applied(leader) > index);
    cr_assert_eq(applied(leader), applied((leader + 1) % 3));
}

Test(sim_cluster, a_leader_that_is_cut_off_is_replaced_and_learns_of_it)
{
    begin();
    uint32_t leader = wait_for_leader();
    for (uint32_t i = 0; i < 3; i++) {
        kvr_sim_cut(sim, leader, i, true);
        kvr_sim_cut(sim, i, leader, true);
    }

    cr_assert_eq(kvr_sim_run(sim, 5 * (uint64_t)SECOND), KVR_OK);
    uint32_t next = kvr_sim_leader(sim);

    cr_assert_neq(next, leader);
    cr_assert_neq(next, UINT32_MAX);
    for (uint32_t i = 0; i < 3; i++) {
        kvr_sim_cut(sim, leader, i, false);
        kvr_sim_cut(sim, i, leader, false);
    }
    cr_assert_eq(kvr_sim_run(sim, 2 * (uint64_t)SECOND), KVR_OK);
    cr_assert_eq(kvr_sim_leader(sim), next);
    cr_assert_eq(applied(leader), applied(next));
}

Test(sim_cluster, healing_ends_all_trouble)
{
    config.crash_ppm = 20000;
    config.cut_ppm = 20000;
    begin();
    kvr_sim_cut(sim, 0, 1, true);
    while (kvr_sim_event_count(sim) < 2000) {
        cr_assert_eq(kvr_sim_step(sim, NULL), KVR_OK);
    }

    cr_assert_eq(kvr_sim_heal(sim), KVR_OK);

    (void)wait_for_leader();
    for (uint32_t i = 0; i < 3; i++) {
        cr_assert_eq(state_of(i), KVR_SIM_UP);
        put(i, "key");
    }
    done = 0;
    cr_assert_eq(kvr_sim_run(sim, 2 * (uint64_t)SECOND), KVR_OK);
    cr_assert_eq(done, 3);
}

Test(sim_cluster, a_damaged_store_is_told_and_not_hidden)
{
    begin();
    (void)wait_for_leader();
    kvr_sim_crash(sim, 0);
    for (uint64_t at = 0; at < 4096; at += 64) {
        cr_assert_eq(kvr_sim_disk_flip(kvr_sim_member_disk(sim, 0), "vote", at, 1), KVR_OK);
        cr_assert_eq(kvr_sim_disk_flip(kvr_sim_member_disk(sim, 0), "vote", 4096 + at, 1), KVR_OK);
    }

    cr_assert_eq(kvr_sim_restart(sim, 0), KVR_OK);
    cr_assert_eq(kvr_sim_run(sim, SECOND), KVR_OK);

    kvr_sim_member_status status = {.size = sizeof status};
    kvr_sim_get_member_status(sim, 0, &status);
    cr_assert_eq(status.state, KVR_SIM_FAILED);
    cr_assert_eq(status.failure, KVR_FCORRUPT);
    cr_assert(strlen(status.error) > 10);
    cr_assert_eq(failures, 1);
    cr_assert_null(kvr_sim_node(sim, 0));
}

Test(sim_cluster, a_disk_that_fails_stops_its_member_alone)
{
    kvr_sim_disk_faults faults;
    cr_assert_eq(kvr_sim_disk_faults_init(&faults, sizeof faults), KVR_OK);
    begin();
    uint32_t leader = wait_for_leader();
    faults.sync_error_ppm = 1000000;
    kvr_sim_set_disk(sim, leader, &faults);
    put(leader, "key");

    cr_assert_eq(kvr_sim_run(sim, 5 * (uint64_t)SECOND), KVR_OK);

    cr_assert_eq(state_of(leader), KVR_SIM_FAILED);
    cr_assert_eq(failures, 1);
    cr_assert_neq(wait_for_leader(), leader);
    faults.sync_error_ppm = 0;
    kvr_sim_set_disk(sim, leader, &faults);
    cr_assert_eq(kvr_sim_restart(sim, leader), KVR_OK);
    cr_assert_eq(kvr_sim_run(sim, 2 * (uint64_t)SECOND), KVR_OK);
    cr_assert_eq(state_of(leader), KVR_SIM_UP);
}

static void put_large(uint32_t member)
{
    static uint8_t bytes[8192];
    kvr_slice key = {(const uint8_t *)"key", 3};
    kvr_slice value = {bytes, sizeof bytes};
    cr_assert_eq(kvr_node_put(kvr_sim_node(sim, member), NULL, &key, &value, 0), KVR_OK);
}

/* The simulator's seed 38964: the leader read the entry before the wanted one for its term, for
 * ever, as both together were more than a message takes. */
Test(sim_cluster, a_follower_gets_old_entries_that_are_larger_than_a_message)
{
    kvr_node_config node;
    cr_assert_eq(kvr_node_config_init(&node, sizeof node), KVR_OK);
    kvr_sim_network network;
    cr_assert_eq(kvr_sim_network_init(&network, sizeof network), KVR_OK);
    network.delay_ns_mean = 1; /* in order */
    node.message_bytes_max = 512;
    config.node = &node;
    config.network = &network;
    begin();
    uint32_t leader = wait_for_leader();
    uint32_t other = (leader + 1) % 3;
    for (uint32_t i = 0; i < 3; i++) {
        kvr_sim_cut(sim, i, other, true);
        kvr_sim_cut(sim, other, i, true);
    }
    /* more than a window, for which memory holds entries back */
    for (uint32_t i = 0; i < 1200; i++) {
        put_large(leader);
        cr_assert_eq(kvr_sim_run(sim, SECOND / 500), KVR_OK);
    }

    uint64_t events = kvr_sim_event_count(sim);
    cr_assert_eq(kvr_sim_heal(sim), KVR_OK);
    cr_assert_eq(kvr_sim_run(sim, 3 * (uint64_t)SECOND), KVR_OK);

    cr_assert_eq(applied(other), applied(leader));
    cr_assert(applied(leader) > 1200);
    events = kvr_sim_event_count(sim) - events;
    cr_assert(events < 20000, "%llu", (unsigned long long)events);
}

/* The simulator's seed 111: while the answer to a retry was under way, the deadline lay in the
 * past. */
Test(sim_cluster, a_full_disk_makes_no_member_spin)
{
    kvr_sim_disk_faults faults;
    cr_assert_eq(kvr_sim_disk_faults_init(&faults, sizeof faults), KVR_OK);
    begin();
    uint32_t leader = wait_for_leader();
    kvr_sim_disk_status disk = {.size = sizeof disk};
    kvr_sim_disk_get_status(kvr_sim_member_disk(sim, leader), &disk);
    faults.capacity_bytes = disk.bytes;
    cr_assert_eq(kvr_sim_after(sim, 1, &fired), KVR_OK);
    for (uint32_t i = 0; i < 3; i++) {
        kvr_sim_set_disk(sim, i, &faults);
    }

    while (refused == 0) {
        cr_assert_eq(kvr_sim_run(sim, SECOND), KVR_OK);
    }
    uint64_t events = kvr_sim_event_count(sim);
    cr_assert_eq(kvr_sim_run(sim, 2 * (uint64_t)SECOND), KVR_OK);

    cr_assert(kvr_sim_event_count(sim) - events < 20000);
    faults.capacity_bytes = 0;
    for (uint32_t i = 0; i < 3; i++) {
        kvr_sim_set_disk(sim, i, &faults);
    }
    cr_assert_eq(kvr_sim_run(sim, SECOND), KVR_OK);
    done = 0;
    cr_assert_eq(kvr_sim_run(sim, SECOND), KVR_OK);
    cr_assert(done > 100);
}

/* ------------------------------------------------------------------ clocks */

Test(sim_cluster, clocks_drift_and_begin_anywhere)
{
    config.drift_ppm = 100000;
    begin();
    uint64_t before[3];
    for (uint32_t i = 0; i < 3; i++) {
        kvr_sim_member_status status = {.size = sizeof status};
        kvr_sim_get_member_status(sim, i, &status);
        before[i] = status.clock_ns;
    }
    cr_assert_eq(kvr_sim_run(sim, 10 * (uint64_t)SECOND), KVR_OK);

    for (uint32_t i = 0; i < 3; i++) {
        kvr_sim_member_status status = {.size = sizeof status};
        kvr_sim_get_member_status(sim, i, &status);
        uint64_t passed = status.clock_ns - before[i];
        cr_assert(passed >= 9 * (uint64_t)SECOND && passed <= 11 * (uint64_t)SECOND);
        cr_assert_neq(passed, 10 * (uint64_t)SECOND);
        cr_assert_neq(before[i], before[(i + 1) % 3]);
    }
}

/* ------------------------------------------------------------------ configuration, memory */

Test(sim_cluster, a_configuration_out_of_range_is_refused)
{
    kvr_node_config node;
    cr_assert_eq(kvr_sim_config_init(&config, 8), KVR_EINVAL);
    cr_assert_eq(kvr_sim_new(NULL, &sim), KVR_EINVAL);
    config.member_count = 10;
    cr_assert_eq(kvr_sim_new(&config, &sim), KVR_EINVAL);
    config.member_count = 3;
    config.drift_ppm = 100001;
    cr_assert_eq(kvr_sim_new(&config, &sim), KVR_EINVAL);
    config.drift_ppm = 0;
    cr_assert_eq(kvr_node_config_init(&node, sizeof node), KVR_OK);
    node.heartbeat_ns = node.election_ns;
    config.node = &node;
    cr_assert_eq(kvr_sim_new(&config, &sim), KVR_EINVAL);
}

Test(sim_cluster, failing_memory_stops_a_member_at_worst)
{
    kvr_status status = KVR_OK;
    uint32_t sweeps = 0;
    config.member_count = 1;
    FAULT_SWEEP(
        {
            kvr_sim_free(sim);
            sim = NULL;
            sweeps++;
        },
        status = kvr_sim_new(&config, &sim),
        {
            cr_assert_eq(status, fault_fired() > 0 ? KVR_ENOMEM : KVR_OK, "%s: %s", fault_text(),
                         kvr_status_name(status));
            cr_assert_eq(sim == NULL, status != KVR_OK);
        });
    cr_assert(sweeps > 10);

    begin();
    for (uint64_t nth = 1; nth < 400; nth += 3) {
        fault_arm(FAULT_ALLOC, nth, false);
        for (uint32_t i = 0; i < 40; i++) {
            status = kvr_sim_step(sim, NULL);
            cr_assert(status == KVR_OK || status == KVR_ENOMEM, "%s", kvr_status_name(status));
        }
        fault_disarm();
    }
    cr_assert_eq(kvr_sim_heal(sim), KVR_OK);
    cr_assert_eq(wait_for_leader(), 0);
    cr_assert_eq(failures, 0);
}
