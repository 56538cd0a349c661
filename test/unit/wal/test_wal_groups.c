/* SPDX-License-Identifier: Apache-2.0 */
/* test_wal_groups.c: a store of many groups (KVR_WAL_GROUPS), by what wal.h and host.h say of it.
 * Crashes and faults of such a store are in test_wal_crash.c and test_wal_faults.c. */
#include <criterion/criterion.h>

#include "support/test_hash.h"
#include "wal_world.h"

#include <string.h>

enum { GROUPS = 100, ENTRY_MAX = 512 };

static wal_world world;
static uint8_t bytes[GROUPS][ENTRY_MAX];
static kvr_slice pieces[GROUPS];
static kvr_store_request requests[GROUPS];
static kvr_store_result results[GROUPS];

static void setup(void)
{
    wal_world_init(&world);
    wal_world_share(&world);
    world.config.batch_bytes = 65536;
    world.config.segment_bytes = 65536;
}

static void teardown(void)
{
    wal_world_release(&world);
}

TestSuite(wal_groups, .init = setup, .fini = teardown);

static kvr_wal_status now(void)
{
    kvr_wal_status status = {.size = sizeof status};
    kvr_wal_get_status(world.wal, &status);
    return status;
}

/* Request number i, of group `id`. */
static kvr_store_request *ask(uint32_t i, uint64_t id, uint8_t kind)
{
    requests[i] = (kvr_store_request){
        .size = sizeof requests[i], .kind = kind, .group_id = id, .token = i + 1};
    results[i] = (kvr_store_result){.size = sizeof results[i]};
    return &requests[i];
}

static void append(uint32_t i, uint64_t id, uint64_t index)
{
    kvr_store_request *request = ask(i, id, KVR_STORE_APPEND);
    pieces[i] = (kvr_slice){bytes[i], wal_world_entry(index, (uint32_t)id, bytes[i])};
    request->first_index = request->last_index = index;
    request->last_term = id;
    request->entry_count = 1;
    request->pieces = &pieces[i];
    request->piece_count = 1;
}

static void vote(uint32_t i, uint64_t id, uint64_t term)
{
    kvr_store_request *request = ask(i, id, KVR_STORE_VOTE);
    request->term = term;
    request->voted_for = MEMBER;
    request->incarnation = 1;
}

static void execute(uint32_t count)
{
    cr_assert_eq(kvr_wal_execute(world.wal, requests, count, results), KVR_OK);
}

static void execute_all_done(uint32_t count)
{
    execute(count);
    for (uint32_t i = 0; i < count; i++) {
        cr_assert_eq(results[i].status, KVR_OK, "%u: %s", i, kvr_wal_error(world.wal));
        cr_assert_eq(results[i].group_id, requests[i].group_id);
        cr_assert_eq(results[i].token, requests[i].token);
    }
}

static const kvr_store_result *load(uint64_t id)
{
    (void)ask(0, id, KVR_STORE_LOAD);
    execute_all_done(1);
    return &results[0];
}

static void expect_entry(uint64_t id, uint64_t index)
{
    uint8_t expected[ENTRY_MAX];
    kvr_store_request *request = ask(0, id, KVR_STORE_READ);
    request->first_index = request->last_index = index;
    request->byte_max = 1;
    execute_all_done(1);
    size_t size = wal_world_entry(index, (uint32_t)id, expected);
    cr_assert_eq(results[0].pieces[0].size, size);
    cr_assert_eq(memcmp(results[0].pieces[0].data, expected, size), 0);
}

static void vote_and_append_all(void)
{
    for (uint32_t i = 0; i < GROUPS; i++) {
        vote(i, i + 1, 5);
    }
    execute_all_done(GROUPS);
    for (uint32_t i = 0; i < GROUPS; i++) {
        append(i, i + 1, 1);
    }
    execute_all_done(GROUPS);
}

/* ------------------------------------------------------------------ one store, one flush */

Test(wal_groups, a_hundred_groups_share_one_flush)
{
    wal_world_open(&world);
    vote_and_append_all();
    uint64_t flushes = now().flushes, records = now().records;

    for (uint32_t i = 0; i < GROUPS; i++) {
        append(i, i + 1, 2);
    }
    execute_all_done(GROUPS);

    cr_assert_eq(now().flushes, flushes + 1);
    cr_assert_eq(now().records, records + GROUPS);
    cr_assert_eq(now().group_count, GROUPS);
}

Test(wal_groups, a_hundred_votes_share_one_flush)
{
    wal_world_open(&world);
    vote_and_append_all();
    uint64_t flushes = now().flushes;

    for (uint32_t i = 0; i < GROUPS; i++) {
        vote(i, i + 1, 6);
    }
    execute_all_done(GROUPS);

    cr_assert_eq(now().flushes, flushes + 1);
}

Test(wal_groups, each_group_finds_its_own_after_a_restart)
{
    wal_world_open(&world);
    vote_and_append_all();
    wal_world_kill(&world);
    wal_world_open(&world);

    for (uint64_t id = 1; id <= GROUPS; id++) {
        const kvr_store_result *loaded = load(id);
        cr_assert_eq(loaded->term, 5);
        cr_assert_eq(loaded->voted_for, MEMBER);
        cr_assert_eq(loaded->incarnation, 1);
        cr_assert_eq(loaded->first_index, 1);
        cr_assert_eq(loaded->last_index, 1);
        expect_entry(id, 1);
    }
    cr_assert_eq(load(GROUPS + 1)->last_index, 0, "a group that never was is empty");
    cr_assert_eq(now().group_count, GROUPS);
}

Test(wal_groups, a_group_votes_once_in_a_term_whatever_others_do)
{
    wal_world_open(&world);
    vote(0, 1, 5);
    vote(1, 2, 5);
    requests[1].voted_for = MEMBER + 1;
    vote(2, 1, 5);
    requests[2].voted_for = MEMBER + 1;
    execute(3);
    cr_assert_eq(results[0].status, KVR_OK);
    cr_assert_eq(results[1].status, KVR_OK);
    cr_assert_eq(results[2].status, KVR_EINVAL);
}

/* Its entries lie far apart among those of others: it reads no more than its own. */
Test(wal_groups, entries_among_those_of_others_are_found)
{
    wal_world_open(&world);
    for (uint64_t index = 1; index <= 40; index++) {
        append(0, 1, index);
        execute_all_done(1);
        for (uint64_t other = 1; other <= 60; other++) {
            append(0, 2, (index - 1) * 60 + other);
            execute_all_done(1);
        }
    }
    for (uint64_t index = 40; index > 0; index--) {
        expect_entry(1, index);
    }
    kvr_store_request *request = ask(0, 1, KVR_STORE_READ);
    request->first_index = 1;
    request->last_index = 40;
    request->byte_max = 1 << 20;
    execute_all_done(1);
    cr_assert_eq(results[0].entry_count, 40);
}

/* ------------------------------------------------------------------ what a group leaves behind */

Test(wal_groups, segments_go_when_no_group_needs_them)
{
    world.config.segment_bytes = 4096;
    world.config.batch_bytes = 4096;
    wal_world_open(&world);
    vote(0, 7, 3); /* said once, in a segment that goes */
    execute_all_done(1);
    for (uint64_t index = 1; index <= 200; index++) {
        append(0, 1, index);
        append(1, 2, index);
        execute_all_done(2);
        for (uint32_t i = 0; i < 2; i++) {
            ask(i, i + 1, KVR_STORE_DISCARD)->first_index = index;
        }
        execute_all_done(2);
        wal_world_maintain(&world);
    }
    cr_assert_leq(now().segment_count, 3);
    wal_world_kill(&world);
    wal_world_open(&world);
    cr_assert_eq(load(7)->term, 3);
    cr_assert_geq(load(1)->first_index, 190);
    expect_entry(2, 200);
}

static void write_snapshot(uint64_t id, uint64_t index)
{
    static uint8_t stream[256 * 1024];
    kvr_store_request *request = ask(0, id, KVR_STORE_SNAPSHOT_WRITE);
    request->flags = KVR_STORE_LAST;
    request->snapshot = (kvr_snapshot_meta){.index = index, .term = id};
    request->snapshot.bytes = wal_world_stream(index, id, stream);
    test_xxh3_128(stream, (size_t)request->snapshot.bytes, request->snapshot.hash);
    request->chunk = (kvr_slice){stream, (size_t)request->snapshot.bytes};
    execute_all_done(1);
}

Test(wal_groups, each_group_has_its_own_snapshots)
{
    wal_world_open(&world);
    for (uint64_t id = 1; id <= 3; id++) {
        write_snapshot(id, 10 * id);
        write_snapshot(id, 10 * id + 1);
    }
    wal_world_maintain(&world);
    cr_assert_eq(now().snapshot_count, 3, "older ones went");
    wal_world_close(&world);
    wal_world_open(&world);
    for (uint64_t id = 1; id <= 3; id++) {
        cr_assert_eq(load(id)->snapshot.index, 10 * id + 1);
        cr_assert_eq(load(id)->snapshot.term, id);
    }
}

/* FAULTS 90: what is forgotten leaves no file behind, nor anything that a later open would find. */
Test(wal_groups, a_group_that_is_forgotten_leaves_nothing)
{
    wal_world_open(&world);
    vote_and_append_all();
    write_snapshot(4, 1);
    (void)ask(0, 4, KVR_STORE_FORGET);
    execute_all_done(1);
    cr_assert_eq(now().group_count, GROUPS - 1);
    cr_assert_eq(now().snapshot_count, 0);
    cr_assert_null(wal_world_file(&world, "snapshot-", false));
    wal_world_kill(&world);
    wal_world_open(&world);
    cr_assert_eq(load(4)->last_index, 0);
    cr_assert_eq(load(4)->term, 0);
    cr_assert_eq(load(5)->last_index, 1);
}

/* Killed at each call while it forgets: afterwards the group is whole, or gone to the last byte. */
Test(wal_groups, a_crash_while_forgetting_leaves_all_or_nothing)
{
    wal_world_open(&world);
    vote(0, 4, 9);
    vote(1, 5, 9);
    execute_all_done(2);
    write_snapshot(4, 5);
    size_t before = wal_disk_calls(world.disk);
    (void)ask(0, 4, KVR_STORE_FORGET);
    execute_all_done(1);
    size_t after_it = wal_disk_calls(world.disk);
    wal_world_kill(&world);
    wal_disk *whole = wal_disk_copy(world.disk);
    wal_disk *done = world.disk;
    world.disk = whole;
    for (size_t calls = before; calls <= after_it; calls++) {
        for (uint64_t seed = 0; seed < 20; seed++) {
            wal_disk_crash crash = {calls, WAL_DISK_MIX, WAL_DISK_MIX, seed};
            wal_world_use(&world, wal_disk_after(done, &crash));
            wal_world_open(&world);
            uint64_t term = load(4)->term, snapshot = results[0].snapshot.index;
            cr_assert(term == 9 || term == 0);
            cr_assert_eq(snapshot, term == 9 ? 5 : 0);
            cr_assert(term == 9 || wal_world_file(&world, "snapshot-", false) == NULL);
            cr_assert_eq(load(5)->term, 9);
            wal_world_kill(&world);
        }
    }
    wal_disk_free(done);
}

/* ------------------------------------------------------------------ refusals */

Test(wal_groups, a_store_is_opened_as_what_it_is)
{
    wal_world_open(&world);
    wal_world_close(&world);
    world.config.flags = KVR_WAL_CREATE;
    cr_assert_eq(wal_world_try_open(&world), KVR_EMISMATCH);
    cr_assert_not_null(strstr(kvr_wal_error(world.wal), "a store of many groups"));
    wal_world_kill(&world);
}

Test(wal_groups, one_group_too_many_is_refused)
{
    world.config.groups_max = 2;
    wal_world_open(&world);
    for (uint32_t i = 0; i < 3; i++) {
        vote(i, i + 1, 1);
    }
    execute(3);
    cr_assert_eq(results[1].status, KVR_OK);
    cr_assert_eq(results[2].status, KVR_EINVAL);
    cr_assert_not_null(strstr(results[2].detail, "groups_max"));
}

Test(wal_groups, the_store_itself_has_no_group)
{
    world.config.group_id = 1;
    cr_assert_not_null(strstr(kvr_wal_config_check(&world.config), "group_id"));
}
