/* SPDX-License-Identifier: Apache-2.0 */
/* test_sim_trouble.c: what the simulator does by chance, seen through its events and its sink: it
 * happens, it is told, it ends at healing, and it can be left out fault by fault. */
#include <criterion/criterion.h>
#include <kvraft/sim.h>
#include <string.h>

#include "support/test_alloc.h"

enum { KINDS = 128, NAMED_MAX = 4096 };

static test_alloc alloc;
static kvr_sim_config config;
static kvr_sim_network network;
static kvr_sim *sim;
static uint64_t seen[KINDS];   /* events, by kind */
static uint64_t wanted[KINDS]; /* faults, by kind */
static uint64_t names[NAMED_MAX];
static uint32_t name_count;
static uint32_t refuse; /* a kind of fault that is left out */

static void on_event(void *ctx, const kvr_sim_event *event)
{
    (void)ctx;
    cr_assert_lt(event->kind, (uint32_t)KINDS);
    seen[event->kind]++;
    if (event->kind == KVR_SIM_PAUSE || event->kind == KVR_SIM_STALL ||
        event->kind == KVR_SIM_JUMP) {
        cr_assert_gt(event->span_ns, 0);
        cr_assert_lt(event->member, 3);
    }
}

static uint8_t on_fault(void *ctx, uint32_t member, uint32_t kind, uint64_t decision)
{
    (void)ctx;
    cr_assert(member < 3 || member == UINT32_MAX);
    cr_assert_lt(kind, (uint32_t)KINDS);
    wanted[kind]++;
    if (name_count < NAMED_MAX) {
        names[name_count++] = decision;
    }
    return kind != refuse;
}

static const kvr_sim_sink sink = {.size = sizeof sink, .event = on_event, .fault = on_fault};

static void setup(void)
{
    test_alloc_init(&alloc);
    alloc.quiet = 1;
    sim = NULL;
    memset(seen, 0, sizeof seen);
    memset(wanted, 0, sizeof wanted);
    name_count = 0;
    refuse = 0;
    cr_assert_eq(kvr_sim_config_init(&config, sizeof config), KVR_OK);
    cr_assert_eq(kvr_sim_network_init(&network, sizeof network), KVR_OK);
    config.seed = 7;
    config.sink = &sink;
    config.network = &network;
    config.allocator = &test_alloc_table;
    config.allocator_ctx = &alloc;
}

static void teardown(void)
{
    kvr_sim_free(sim);
    TEST_ALLOC_ASSERT_EMPTY(&alloc);
}

TestSuite(sim_trouble, .init = setup, .fini = teardown);

static void begin(void)
{
    cr_assert_eq(kvr_sim_new(&config, &sim), KVR_OK);
}

static void run_events(uint64_t count)
{
    while (kvr_sim_event_count(sim) < count) {
        cr_assert_eq(kvr_sim_step(sim, NULL), KVR_OK);
    }
}

/* From the rest of the test on the cluster is healthy: it elects a leader in time. */
static void expect_healed(void)
{
    cr_assert_eq(kvr_sim_heal(sim), KVR_OK);
    cr_assert_eq(kvr_sim_run(sim, UINT64_C(10000000000)), KVR_OK);
    cr_assert_neq(kvr_sim_leader(sim), UINT32_MAX);
}

Test(sim_trouble, a_member_that_stands_still_does_nothing_and_goes_on)
{
    config.pause_ppm = 5000;
    config.pause_ns_mean = UINT64_C(300000000);
    begin();

    run_events(3000);

    cr_assert_gt(seen[KVR_SIM_PAUSE], 3);
    cr_assert_eq(seen[KVR_SIM_PAUSE], wanted[KVR_SIM_FAULT_PAUSE]);
    expect_healed();
}

Test(sim_trouble, nothing_reaches_a_member_that_stands_still)
{
    kvr_sim_event event;
    config.pause_ppm = 20000;
    config.pause_ns_mean = UINT64_C(1000000000);
    uint64_t until[3] = {0};
    begin();
    for (uint32_t i = 0; i < 4000; i++) {
        cr_assert_eq(kvr_sim_step(sim, &event), KVR_OK);
        if (event.kind == KVR_SIM_PAUSE) {
            until[event.member] = event.time_ns + event.span_ns;
        } else if (event.kind == KVR_SIM_MESSAGE || event.kind == KVR_SIM_TIMER ||
                   event.kind == KVR_SIM_STORAGE) {
            cr_assert_geq(event.time_ns, until[event.member]);
        }
    }
    cr_assert_gt(seen[KVR_SIM_PAUSE], 5);
}

Test(sim_trouble, a_disk_that_stalls_answers_nothing_meanwhile)
{
    kvr_sim_event event;
    config.stall_ppm = 20000;
    config.stall_ns_mean = UINT64_C(500000000);
    uint64_t until[3] = {0};
    begin();
    for (uint32_t i = 0; i < 4000; i++) {
        cr_assert_eq(kvr_sim_step(sim, &event), KVR_OK);
        if (event.kind == KVR_SIM_STALL) {
            until[event.member] = event.time_ns + event.span_ns;
        } else if (event.kind == KVR_SIM_STORAGE) {
            cr_assert_geq(event.time_ns, until[event.member]);
        }
    }
    cr_assert_gt(seen[KVR_SIM_STALL], 5);
    expect_healed();
}

Test(sim_trouble, a_clock_jumps_ahead_by_what_is_told)
{
    kvr_sim_event event;
    kvr_sim_member_status before = {.size = sizeof before};
    kvr_sim_member_status after = {.size = sizeof after};
    uint32_t jumps = 0;
    config.jump_ppm = 5000;
    begin();
    while (jumps < 3) {
        uint64_t clocks[3];
        for (uint32_t i = 0; i < 3; i++) {
            kvr_sim_get_member_status(sim, i, &before);
            clocks[i] = before.clock_ns - kvr_sim_now(sim);
        }
        cr_assert_eq(kvr_sim_step(sim, &event), KVR_OK);
        if (event.kind == KVR_SIM_JUMP) {
            kvr_sim_get_member_status(sim, event.member, &after);
            cr_assert_eq(after.clock_ns - kvr_sim_now(sim), clocks[event.member] + event.span_ns);
            jumps++;
        }
    }
    expect_healed();
}

Test(sim_trouble, a_clogged_link_delivers_late_and_a_full_one_drops)
{
    network.clog_ppm = 50000;
    network.clog_ns_mean = UINT64_C(200000000);
    network.link_messages_max = 2;
    begin();

    run_events(2000);

    cr_assert_gt(wanted[KVR_SIM_FAULT_CLOG], 5);
    cr_assert_eq(kvr_sim_network_init(&network, sizeof network), KVR_OK);
    kvr_sim_set_network(sim, &network);
    expect_healed();
}

Test(sim_trouble, partitions_come_go_and_flap)
{
    kvr_sim_event event;
    bool some = false;
    bool none = false;
    config.cut_ppm = 20000;
    config.cut_ns_mean = UINT64_C(200000000);
    begin();
    while (kvr_sim_event_count(sim) < 6000) {
        cr_assert_eq(kvr_sim_step(sim, &event), KVR_OK);
        bool is_cut = false;
        for (uint32_t i = 0; i < 9; i++) {
            cr_assert(i % 4 != 0 || !kvr_sim_is_cut(sim, i / 3, i % 3));
            is_cut = is_cut || kvr_sim_is_cut(sim, i / 3, i % 3);
        }
        some = some || is_cut;
        none = none || !is_cut;
    }
    cr_assert(some && none);
    cr_assert_gt(seen[KVR_SIM_CUT], wanted[KVR_SIM_FAULT_CUT], "some come more than once");
    expect_healed();
    for (uint32_t i = 0; i < 9; i++) {
        cr_assert(!kvr_sim_is_cut(sim, i / 3, i % 3));
    }
}

Test(sim_trouble, a_fault_that_the_sink_leaves_out_does_not_happen)
{
    config.crash_ppm = 10000;
    config.pause_ppm = 10000;
    refuse = KVR_SIM_FAULT_CRASH;
    begin();

    run_events(3000);

    cr_assert_gt(wanted[KVR_SIM_FAULT_CRASH], 5);
    cr_assert_eq(seen[KVR_SIM_CRASH], 0);
    cr_assert_gt(seen[KVR_SIM_PAUSE], 5);
}

/* Left out, a kind of fault takes nothing from the names of the others. */
Test(sim_trouble, names_of_faults_do_not_depend_on_other_faults)
{
    static uint64_t before[NAMED_MAX];
    config.cut_ppm = 5000;
    begin();
    run_events(2000);
    uint32_t count = name_count;
    memcpy(before, names, sizeof before);
    kvr_sim_free(sim);
    name_count = 0;
    config.pause_ppm = 5000;
    refuse = KVR_SIM_FAULT_PAUSE;
    begin();

    run_events(2000);

    uint32_t found = 0;
    for (uint32_t i = 0; i < count; i++) {
        for (uint32_t j = 0; j < name_count; j++) {
            found += names[j] == before[i];
        }
    }
    cr_assert_gt(count, 3);
    cr_assert_eq(found, count);
}

static uint64_t sites_taken(void)
{
    uint64_t sum = 0;
    for (uint32_t i = KVR_SIM_FAULT_BUGGIFY; i < KINDS; i++) {
        sum += wanted[i];
    }
    return sum;
}

/* Sites are asked, and end at healing. */
Test(sim_trouble, rare_ways_are_taken_until_it_is_healed)
{
    config.buggify = 1;
    begin();
    run_events(3000);
    cr_assert_gt(sites_taken(), 0);
    expect_healed();
    uint64_t before = sites_taken();
    cr_assert_eq(kvr_sim_run(sim, UINT64_C(3000000000)), KVR_OK);
    cr_assert_eq(sites_taken(), before);
}
