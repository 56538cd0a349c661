/* SPDX-License-Identifier: Apache-2.0 */
/* test_wal_crash.c: every state in which a crash can leave the disk, built in memory and opened.
 * What comes back must be one of the states between the last answer and the last question (W2),
 * every byte of it; a second crash while it is being recovered changes nothing; then it must work
 * on. */
#include <criterion/criterion.h>

#include "wal_world.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static wal_world world; /* what the workload was done in */
static wal_world after; /* what is left of it */

/* Distinct disks and distinct outcomes, by hash. */
static struct {
    uint64_t *hashes;
    size_t count, capacity, images;
} seen;

static void setup(void)
{
    wal_world_init(&world);
    wal_world_init(&after);
    seen.capacity = 1 << 20;
    seen.hashes = calloc(seen.capacity, sizeof *seen.hashes);
    cr_assert_not_null(seen.hashes);
}

static void teardown(void)
{
    wal_world_release(&after);
    wal_world_release(&world);
    free(seen.hashes);
}

TestSuite(wal_crash, .init = setup, .fini = teardown);

/* True if this very disk was not opened before. */
static bool is_new(const wal_disk *disk)
{
    uint64_t hash = wal_disk_hash(disk) | 1;
    seen.images++;
    size_t i = (size_t)(hash % seen.capacity);
    while (seen.hashes[i] != 0) {
        if (seen.hashes[i] == hash) {
            return false;
        }
        i = (i + 1) % seen.capacity;
    }
    cr_assert_lt(seen.count, seen.capacity / 2);
    seen.hashes[i] = hash;
    seen.count++;
    return true;
}

static const char *text_of(const wal_disk_crash *crash)
{
    static char text[160];
    (void)snprintf(text, sizeof text, "crash after call %zu, data %u, names %u, seed %llu",
                   crash->calls, crash->data, crash->names, (unsigned long long)crash->seed);
    return text;
}

/* Opens what the crash leaves, checks it, and goes on working with it. */
static void recover(const wal_disk_crash *crash)
{
    wal_disk *disk = wal_disk_after(world.disk, crash);
    if (!is_new(disk)) {
        wal_disk_free(disk);
        return;
    }
    wal_world_use(&after, disk);
    kvr_status status = wal_world_try_open(&after);
    cr_assert_eq(status, KVR_OK, "%s: %s: %s", text_of(crash), kvr_status_name(status),
                 kvr_wal_error(after.wal));
    const char *what = wal_world_survived(&after, &world, crash->calls);
    cr_assert_null(what, "%s: %s (%s)", text_of(crash), what, kvr_wal_error(after.wal));
    wal_world_kill(&after);
}

/* The same after a second crash, at every call that recovery makes. */
static void recover_twice(const wal_disk_crash *crash)
{
    static wal_world between;
    wal_world_init(&between);
    if (world.is_many) {
        wal_world_share(&between);
    }
    wal_world_use(&between, wal_disk_after(world.disk, crash));
    wal_world_open(&between);
    kvr_store_result result;
    cr_assert_eq(wal_world_ask(&between, &(kvr_store_request){.kind = KVR_STORE_LOAD}, &result),
                 KVR_OK);
    uint64_t last_index = result.last_index;
    for (size_t calls = 0; calls <= wal_disk_calls(between.disk); calls++) {
        wal_disk_crash second = {calls, WAL_DISK_MIX, WAL_DISK_MIX, crash->seed + calls};
        wal_disk *disk = wal_disk_after(between.disk, &second);
        if (!is_new(disk)) {
            wal_disk_free(disk);
            continue;
        }
        wal_world_use(&after, disk);
        kvr_status status = wal_world_try_open(&after);
        cr_assert_eq(status, KVR_OK, "%s, then call %zu: %s: %s", text_of(crash), calls,
                     kvr_status_name(status), kvr_wal_error(after.wal));
        const char *what = wal_world_survived(&after, &world, crash->calls);
        cr_assert_null(what, "%s, then call %zu: %s", text_of(crash), calls, what);
        cr_assert_eq(wal_world_ask(&after, &(kvr_store_request){.kind = KVR_STORE_LOAD}, &result),
                     KVR_OK);
        cr_assert_eq(result.last_index, last_index, "%s: recovery is not idempotent",
                     text_of(crash));
        wal_world_kill(&after);
    }
    wal_world_release(&between);
}

static void crash_everywhere(uint64_t mixes)
{
    for (size_t calls = 0; calls <= wal_disk_calls(world.disk); calls++) {
        for (uint32_t data = WAL_DISK_LOSE; data <= WAL_DISK_KEEP; data++) {
            for (uint32_t names = WAL_DISK_LOSE; names <= WAL_DISK_KEEP; names++) {
                recover(&(wal_disk_crash){calls, data, names, 0});
            }
        }
        for (uint64_t seed = 1; seed <= mixes; seed++) {
            recover(&(wal_disk_crash){calls, WAL_DISK_MIX, WAL_DISK_MIX, seed * 1000003 + calls});
        }
        recover_twice(&(wal_disk_crash){calls, WAL_DISK_MIX, WAL_DISK_MIX, calls});
    }
}

static void report(const char *name)
{
    (void)fprintf(stderr, "%s: %zu crash states, %zu distinct disks\n", name, seen.images,
                  seen.count);
}

/* Rotation, replaced suffixes, snapshots of both kinds, discards, votes, restarts, all in small
 * segments. */
static void crash_in_random_work(uint64_t seeds, bool is_many)
{
    if (is_many) {
        wal_world_share(&after);
    }
    for (uint64_t seed = 1; seed <= seeds; seed++) {
        wal_world_release(&world);
        wal_world_init(&world);
        if (is_many) {
            wal_world_share(&world);
        }
        wal_world_open(&world);
        kvr__random random;
        kvr__random_init(&random, seed);
        for (uint32_t step = 0; step < 60; step++) {
            wal_world_step(&world, &random);
            if (kvr__random_below(&random, 25) == 0) {
                wal_world_kill(&world);
                wal_world_open(&world);
            }
        }
        wal_world_close(&world);
        crash_everywhere(8);
    }
    report("random work");
}

/* FAULTS 59, 63, 69, 71, 73, 74, 75, 81, 87. */
Test(wal_crash, every_state_recovers_to_what_was_answered)
{
    crash_in_random_work(30, false);
    cr_assert_gt(seen.count, 10000);
}

/* The same amid other groups: what one flush holds of several, a crash may leave any part of. */
Test(wal_crash, every_state_of_a_store_of_many_recovers)
{
    crash_in_random_work(20, true);
    cr_assert_gt(seen.count, 10000);
}

/* An idle group does not keep what others wrote: its entries are carried, and no crash on the way
 * loses one. */
Test(wal_crash, what_is_carried_survives)
{
    wal_world_share(&world);
    wal_world_share(&after);
    wal_world_open(&world);
    for (uint32_t round = 0; round < 120; round++) {
        wal_world_grow(&world, 6, 1);
        if (world.model.last > 12) {
            cr_assert_eq(wal_world_discard(&world, world.model.last - 9, false), KVR_OK);
        }
        wal_world_maintain(&world);
    }
    kvr_wal_status status = {.size = sizeof status};
    kvr_wal_get_status(world.wal, &status);
    cr_assert_leq(status.segment_count, 12, "%u segments", status.segment_count);
    wal_world_kill(&world);
    wal_world_open(&world);
    wal_world_close(&world);
    crash_everywhere(2);
    report("carried entries");
}

/* FAULTS 71: torn at every byte of a write, not only at sectors. */
Test(wal_crash, a_tail_torn_at_any_byte_is_cut)
{
    wal_world_open(&world);
    wal_world_grow(&world, 4, 1);
    wal_world_grow(&world, 2, 1);
    wal_world_kill(&world);
    size_t size;
    const char *name = wal_world_file(&world, "wal-", false);
    const uint8_t *whole = wal_disk_bytes(world.disk, name, &size);
    for (size_t cut = 0; cut < size; cut++) {
        wal_disk *disk = wal_disk_copy(world.disk);
        wal_disk_put(disk, name, whole, cut);
        wal_world_use(&after, disk);
        wal_world_open(&after);
        kvr_store_result result;
        (void)wal_world_ask(&after, &(kvr_store_request){.kind = KVR_STORE_LOAD}, &result);
        cr_assert(result.last_index == 0 || result.last_index == 4, "cut at %zu", cut);
        wal_world_kill(&after);
    }
}

/* FAULTS 71, 73: cut, append, cut again; everything verifies from the first segment on. */
Test(wal_crash, cuts_and_appends_go_on_for_ever)
{
    kvr__random random;
    kvr__random_init(&random, 5);
    wal_world_open(&world);
    for (uint32_t round = 0; round < 200; round++) {
        wal_world_grow(&world, 1 + round % 3, 1 + round / 50);
        if (round % 7 == 0) {
            wal_world_maintain(&world);
        }
        wal_model kept = world.model;
        size_t before = wal_disk_calls(world.disk);
        wal_world_grow(&world, 3, 1 + round / 50);
        wal_world_kill(&world);
        wal_disk_crash crash = {before + 1, WAL_DISK_MIX, WAL_DISK_KEEP, round};
        wal_world_use(&world, wal_disk_after(world.disk, &crash));
        wal_world_open(&world);
        kvr_store_result result;
        (void)wal_world_ask(&world, &(kvr_store_request){.kind = KVR_STORE_LOAD}, &result);
        if (result.last_index == kept.last) {
            world.model = kept;
        }
        wal_world_check(&world);
        world.history_count = 1;
    }
}

static void half_a_snapshot(uint64_t index)
{
    kvr_store_request request = {.kind = KVR_STORE_SNAPSHOT_WRITE,
                                 .source = KVR_SNAPSHOT_RECEIVED,
                                 .chunk = {(const uint8_t *)"half", 4},
                                 .snapshot = {.index = index, .term = 2}};
    kvr_store_result result;
    cr_assert_eq(wal_world_ask(&world, &request, &result), KVR_OK);
}

/* FAULTS 90: a thousand crashes leave no more files than one. */
Test(wal_crash, the_number_of_files_is_bounded)
{
    wal_world_open(&world);
    wal_world_grow(&world, 10, 1);
    uint64_t most = 0;
    for (uint32_t round = 0; round < 1000; round++) {
        uint64_t index = world.model.last;
        switch (round % 4) {
        case 0:
            wal_world_grow(&world, 1, 1);
            break;
        case 1:
            cr_assert_eq(wal_world_snapshot(&world, index, KVR_SNAPSHOT_LOCAL, 500), KVR_OK);
            cr_assert_eq(wal_world_discard(&world, index + 1, false), KVR_OK);
            wal_world_maintain(&world);
            break;
        case 2:
            half_a_snapshot(index + 9);
            break;
        default:
            cr_assert_eq(wal_world_snapshot(&world, index, KVR_SNAPSHOT_LOCAL, 100), KVR_OK);
        }
        wal_world_kill(&world);
        wal_disk_crash crash = {wal_disk_calls(world.disk), WAL_DISK_MIX, WAL_DISK_MIX, round};
        wal_world_use(&world, wal_disk_after(world.disk, &crash));
        wal_world_open(&world);
        wal_world_check(&world);
        world.history_count = 1;
        cr_assert_null(wal_world_file(&world, "local.part", false));
        cr_assert_null(wal_world_file(&world, "received.part", false));
        most = wal_disk_file_count(world.disk) > most ? wal_disk_file_count(world.disk) : most;
    }
    cr_assert_leq(most, 8, "%llu files", (unsigned long long)most);
}
