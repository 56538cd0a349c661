/* SPDX-License-Identifier: Apache-2.0 */
/* test_sim_install.c: a member is sent a snapshot and loses power at every step of it: before and
 * after each event of the simulator (a message, a disk's batch, a ready of a few units of work) and
 * after each file call of its disk, what was not synced being kept, lost or torn. What it holds
 * when it starts again, alone, is what it held before or the snapshot, whole; and it goes on from
 * there. Whole nodes over lib/wal over the simulated disk. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include <kvraft/sim.h>

#include "support/test_alloc.h"

#define MILLISECOND UINT64_C(1000000)
#define SECOND UINT64_C(1000000000)

enum { INDEX_MAX = 4096, PUTS = 40, STEPS_MAX = 20000, NEVER = INT32_MAX };

static test_alloc alloc;
static kvr_sim *sim;
static kvr_sim_config config;
static kvr_node_config node_config;
static uint32_t done;

/* What every member held at each index, as it went by. */
static struct {
    uint64_t chain, live;
    bool known;
} held[INDEX_MAX];

/* One run up to where the member begins to be caught up. */
static struct {
    uint32_t member;
    uint64_t old_index; /* of the snapshot that it took itself */
    uint64_t new_index; /* of the leader's */
    uint64_t old_last;  /* of its log */
} story;

static struct {
    uint32_t runs, old, fresh;
} seen;

/* ------------------------------------------------------------------ looking */

static kvr_node_status status_of(uint32_t member)
{
    kvr_node_status status = {.size = sizeof status};
    kvr_node_get_status(kvr_sim_look(sim, member), &status);
    return status;
}

static uint32_t state_of(uint32_t member)
{
    kvr_sim_member_status status = {.size = sizeof status};
    kvr_sim_get_member_status(sim, member, &status);
    return status.state;
}

static const char *error_of(uint32_t member)
{
    kvr_sim_member_status status = {.size = sizeof status};
    kvr_sim_get_member_status(sim, member, &status);
    return status.error;
}

/* Whoever is at an index has what all others had there. */
static void on_event(void *ctx, const kvr_sim_event *event)
{
    (void)ctx;
    (void)event;
    for (uint32_t i = 0; i < config.member_count; i++) {
        if (kvr_sim_look(sim, i) == NULL || state_of(i) != KVR_SIM_UP) {
            continue;
        }
        kvr_node_status status = status_of(i);
        uint64_t index = status.hash_index;
        cr_assert_lt(index, INDEX_MAX);
        if (!held[index].known) {
            held[index].known = true;
            held[index].chain = status.hash_chain;
            held[index].live = status.hash_live;
        }
        cr_assert_eq(status.hash_chain, held[index].chain, "member %u at %d", i, (int)index);
        cr_assert_eq(status.hash_live, held[index].live, "member %u at %d", i, (int)index);
    }
}

static void on_completed(void *ctx, uint32_t member, const kvr_completion *completion)
{
    (void)ctx;
    (void)member;
    done += completion->outcome == KVR_OUTCOME_DONE;
}

static const kvr_sim_sink sink = {
    .size = sizeof sink, .completed = on_completed, .event = on_event};

static void setup(void)
{
    test_alloc_init(&alloc);
    alloc.quiet = 1;
    sim = NULL;
    memset(&seen, 0, sizeof seen);
    cr_assert_eq(kvr_node_config_init(&node_config, sizeof node_config), KVR_OK);
    node_config.keep_entries = 1;
    node_config.snapshot_chunk_bytes = 4096;
    cr_assert_eq(kvr_sim_config_init(&config, sizeof config), KVR_OK);
    config.node = &node_config;
    config.sink = &sink;
    config.run_budget = 8;
    config.segment_bytes = 16 * 1024;
    config.allocator = &test_alloc_table;
    config.allocator_ctx = &alloc;
}

static void teardown(void)
{
    kvr_sim_free(sim);
    TEST_ALLOC_ASSERT_EMPTY(&alloc);
}

TestSuite(sim_install, .init = setup, .fini = teardown);

/* ------------------------------------------------------------------ the story */

static void run(uint64_t span)
{
    cr_assert_eq(kvr_sim_run(sim, span), KVR_OK);
}

static void isolate(uint32_t member, uint8_t cut)
{
    for (uint32_t i = 0; i < config.member_count; i++) {
        kvr_sim_cut(sim, member, i, cut);
        kvr_sim_cut(sim, i, member, cut);
    }
}

static uint32_t leader(void)
{
    for (uint32_t i = 0; i < 300 && kvr_sim_leader(sim) == UINT32_MAX; i++) {
        run(SECOND / 10);
    }
    cr_assert_neq(kvr_sim_leader(sim), UINT32_MAX);
    return kvr_sim_leader(sim);
}

static void put(uint32_t member, uint32_t number)
{
    char text[600];
    int size = snprintf(text, sizeof text, "key %04u", number);
    kvr_slice key = {(const uint8_t *)text, (size_t)size};
    memset(text + size, 'v', sizeof text - (size_t)size);
    kvr_slice value = {(const uint8_t *)text, sizeof text};
    cr_assert_eq(kvr_node_put(kvr_sim_node(sim, member), NULL, &key, &value, 0), KVR_OK);
}

static void snapshot(uint32_t member)
{
    uint64_t before = status_of(member).snapshots_taken;
    cr_assert_eq(kvr_node_snapshot(kvr_sim_node(sim, member)), KVR_OK);
    run(SECOND / 2);
    cr_assert_eq(status_of(member).snapshots_taken, before + 1);
}

/* A member that has a snapshot of its own and some log is cut off; the others go on, and have
 * forgotten what it needs when it is heard again. If it led, what it appended alone is in its
 * way. */
static void tell(uint64_t seed, bool led)
{
    kvr_sim_free(sim);
    sim = NULL;
    memset(held, 0, sizeof held);
    config.seed = seed;
    cr_assert_eq(kvr_sim_new(&config, &sim), KVR_OK);
    uint32_t first = leader();
    uint32_t member = led ? first : (first + 1) % 3;
    for (uint32_t i = 0; i < 10; i++) {
        put(first, i);
    }
    run(SECOND / 2);
    snapshot(member);
    for (uint32_t i = 0; i < 5; i++) {
        put(first, i);
    }
    run(SECOND / 2);
    isolate(member, 1);
    for (uint32_t i = 0; led && i < 5; i++) {
        put(member, 900 + i);
    }
    run(4 * SECOND);
    first = leader();
    cr_assert_neq(first, member);
    for (uint32_t i = 0; i < PUTS; i++) {
        put(first, i);
        run(5 * MILLISECOND);
    }
    run(SECOND / 2);
    for (uint32_t i = 0; i < 3; i++) {
        if (i != member) {
            snapshot(i);
        }
    }
    kvr_node_status status = status_of(member);
    story.member = member;
    story.old_index = status.raft.snapshot_index;
    story.old_last = status.raft.last_index;
    story.new_index = status_of(first).raft.snapshot_index;
    cr_assert_gt(story.old_index, 0);
    cr_assert_gt(story.new_index, story.old_last);
    cr_assert_gt(status_of(first).raft.first_index, story.old_last + 1);
    isolate(member, 0);
}

/* True if it is done: the snapshot is in, and so is the log behind it. */
static bool is_caught_up(void)
{
    if (state_of(story.member) != KVR_SIM_UP) {
        return false;
    }
    kvr_node_status status = status_of(story.member);
    return status.loading == 0 && status.hash_index >= story.new_index;
}

/* Steps until it is caught up, has failed, or lost power after `events` of them. */
static bool step_until(int32_t events)
{
    for (int32_t i = 0; i < STEPS_MAX; i++) {
        if (is_caught_up() || state_of(story.member) == KVR_SIM_FAILED) {
            return true;
        }
        if (i == events) {
            return false;
        }
        cr_assert_eq(kvr_sim_step(sim, NULL), KVR_OK);
    }
    cr_assert(false, "it is never caught up");
    return false;
}

/* Power fails now; it starts alone, then among the others. */
static void lose_power(const char *when, int32_t step)
{
    uint32_t member = story.member;
    kvr_sim_crash(sim, member);
    isolate(member, 1);
    run(SECOND / 5); /* nothing is under way to it any more */
    cr_assert_eq(kvr_sim_restart(sim, member), KVR_OK);
    for (uint32_t i = 0; i < 100 && status_of(member).loading != 0; i++) {
        run(5 * MILLISECOND);
    }
    cr_assert_eq(state_of(member), KVR_SIM_UP, "%s %d: %s", when, (int)step, error_of(member));
    kvr_node_status status = status_of(member);
    uint64_t index = status.hash_index; /* on_event has compared what it holds */
    cr_assert_eq(status.loading, 0);
    if (status.raft.snapshot_index == story.old_index) {
        cr_assert_eq(index, story.old_index, "%s %d", when, (int)step);
        cr_assert_eq(status.raft.last_index, story.old_last, "%s %d", when, (int)step);
        seen.old++;
    } else {
        cr_assert_eq(status.raft.snapshot_index, story.new_index, "%s %d", when, (int)step);
        cr_assert_eq(index, story.new_index, "%s %d", when, (int)step);
        cr_assert_geq(status.raft.last_index, story.new_index, "%s %d", when, (int)step);
        seen.fresh++;
    }
    cr_assert(held[index].known);

    isolate(member, 0);
    for (uint32_t i = 0; i < 100 && !is_caught_up(); i++) {
        run(SECOND / 10);
    }
    cr_assert(is_caught_up(), "%s %d", when, (int)step);
    seen.runs++;
}

static void crash_at_each_event(uint64_t seed, bool led)
{
    for (int32_t events = 0;; events++) {
        tell(seed, led);
        if (step_until(events)) {
            cr_assert_eq(state_of(story.member), KVR_SIM_UP);
            cr_assert_gt(events, 20);
            return;
        }
        lose_power("event", events);
    }
}

/* The disk answers no more after `calls`; power fails when the member has noticed. */
static void crash_at_each_call(uint64_t seed, bool led)
{
    for (int32_t calls = 0;; calls++) {
        tell(seed, led);
        kvr_sim_disk_crash_after(kvr_sim_member_disk(sim, story.member), (uint64_t)calls);
        (void)step_until(NEVER);
        if (state_of(story.member) == KVR_SIM_UP) {
            cr_assert_gt(calls, 20);
            return;
        }
        lose_power("call", calls);
    }
}

static void report(const char *name)
{
    (void)fprintf(stderr, "%s: %u crashes, %u left the old state, %u the new\n", name, seen.runs,
                  seen.old, seen.fresh);
    cr_assert_gt(seen.old, 20);
    cr_assert_gt(seen.fresh, 5);
}

/* FAULTS 59, 63, 66, 69: with a ready of one unit of work each step of raft and node is an event of
 * its own. */
Test(sim_install, a_crash_at_any_event_leaves_the_old_state_or_the_new)
{
    for (uint64_t seed = 1; seed <= 6; seed++) {
        config.run_budget = seed <= 2 ? 1 : 8;
        crash_at_each_event(seed, seed % 2 == 0);
    }
    report("events");
}

/* FAULTS 59, 63, 66, 69, 78: what was not synced is kept, lost or torn as the seed says. */
Test(sim_install, a_crash_at_any_file_call_leaves_the_old_state_or_the_new)
{
    for (uint64_t seed = 11; seed <= 40; seed++) {
        crash_at_each_call(seed, seed % 2 == 0);
    }
    report("file calls");
}
