/* SPDX-License-Identifier: Apache-2.0 */
/* test_wal_contract.c: the sentences of wal.h, one a test. */
#include <criterion/criterion.h>

#include "support/fault_sweep.h"
#include "wal_world.h"

#include <stdlib.h>
#include <string.h>

static wal_world world;

static void setup(void)
{
    wal_world_init(&world);
}

static void teardown(void)
{
    wal_world_release(&world);
}

TestSuite(wal_contract, .init = setup, .fini = teardown);

static kvr_wal_status now(void)
{
    kvr_wal_status status = {.size = sizeof status};
    kvr_wal_get_status(world.wal, &status);
    return status;
}

/* ------------------------------------------------------------------ group commit */

enum { BATCH = 24 };

static uint8_t bytes[BATCH][512];
static kvr_slice pieces[BATCH];
static kvr_store_request requests[BATCH];
static kvr_store_result results[BATCH];

/* Request number i appends one entry. */
static void append_one(uint32_t i, uint64_t index, uint32_t term)
{
    pieces[i] = (kvr_slice){bytes[i], wal_world_entry(index, term, bytes[i])};
    requests[i] = (kvr_store_request){
        .size = sizeof requests[i],
        .kind = KVR_STORE_APPEND,
        .group_id = GROUP,
        .token = 100 + i,
        .first_index = index,
        .last_index = index,
        .last_term = term,
        .entry_count = 1,
        .pieces = &pieces[i],
        .piece_count = 1,
    };
    results[i] = (kvr_store_result){.size = sizeof results[i]};
}

static void expect_entries(uint64_t from, uint64_t to, uint32_t term)
{
    for (uint64_t index = from; index <= to; index++) {
        world.model.terms[index] = term;
    }
    world.model.last = to;
    wal_world_check(&world);
}

Test(wal_contract, appends_of_one_execute_share_one_record_and_one_flush)
{
    world.config.batch_bytes = 65536;
    world.config.segment_bytes = 65536;
    wal_world_open(&world);
    wal_world_grow(&world, 1, 1);
    kvr_wal_status before = now();
    size_t calls = wal_disk_calls(world.disk);
    for (uint32_t i = 0; i < BATCH; i++) {
        append_one(i, 2 + i, 1);
    }
    cr_assert_eq(kvr_wal_execute(world.wal, requests, BATCH, results), KVR_OK);
    cr_assert_eq(now().records, before.records + 1);
    cr_assert_eq(now().flushes, before.flushes + 1);
    cr_assert_eq(wal_disk_calls(world.disk), calls + 2, "one write, one flush");
    for (uint32_t i = 0; i < BATCH; i++) {
        cr_assert_eq(results[i].status, KVR_OK);
        cr_assert_eq(results[i].token, 100 + i);
    }
    expect_entries(2, 1 + BATCH, 1);
}

/* FAULTS 87: a suffix is replaced while appends before it wait. */
Test(wal_contract, an_append_that_replaces_begins_a_new_record)
{
    world.config.batch_bytes = 65536;
    world.config.segment_bytes = 65536;
    wal_world_open(&world);
    append_one(0, 1, 1);
    append_one(1, 2, 1);
    append_one(2, 3, 1);
    append_one(3, 2, 2);
    append_one(4, 3, 2);
    append_one(5, 3, 3);
    cr_assert_eq(kvr_wal_execute(world.wal, requests, 6, results), KVR_OK);
    cr_assert_eq(now().records, 3);
    world.model.terms[1] = 1;
    world.model.terms[2] = 2;
    expect_entries(3, 3, 3);
    wal_world_kill(&world);
    wal_world_open(&world);
    wal_world_check(&world);
}

Test(wal_contract, a_batch_stops_at_batch_bytes)
{
    world.config.batch_bytes = 1024;
    wal_world_open(&world);
    for (uint32_t i = 0; i < BATCH; i++) {
        append_one(i, 1 + i, 1);
    }
    cr_assert_eq(kvr_wal_execute(world.wal, requests, BATCH, results), KVR_OK);
    cr_assert_gt(now().records, 3);
    cr_assert_lt(now().records, BATCH);
    expect_entries(1, BATCH, 1);
}

Test(wal_contract, other_requests_keep_their_place_between_appends)
{
    wal_world_open(&world);
    append_one(0, 1, 1);
    append_one(1, 2, 1);
    append_one(3, 3, 1);
    requests[2] = (kvr_store_request){.size = sizeof requests[2],
                                      .kind = KVR_STORE_READ,
                                      .group_id = GROUP,
                                      .token = 9,
                                      .first_index = 2,
                                      .last_index = 9,
                                      .byte_max = 9999};
    cr_assert_eq(kvr_wal_execute(world.wal, requests, 4, results), KVR_OK);
    cr_assert_eq(results[2].status, KVR_OK);
    cr_assert_eq(results[2].entry_count, 1, "it is read before the append behind it");
    expect_entries(1, 3, 1);
}

Test(wal_contract, an_entry_larger_than_a_segment_gets_a_segment_of_its_size)
{
    enum { LARGE = 300000 };
    wal_world_open(&world);
    wal_world_grow(&world, 3, 1);
    uint8_t *large = malloc(LARGE);
    cr_assert_not_null(large);
    uint32_t count = 0;
    size_t size = 0;
    while (size + 512 < LARGE) {
        size += wal_world_entry(4 + count, 1, large + size);
        count++;
    }
    kvr_slice piece = {large, size};
    kvr_store_request request = {.kind = KVR_STORE_APPEND,
                                 .first_index = 4,
                                 .entry_count = count,
                                 .pieces = &piece,
                                 .piece_count = 1};
    kvr_store_result result;
    cr_assert_lt(count, MODEL_INDEX_MAX - 10);
    cr_assert_eq(wal_world_ask(&world, &request, &result), KVR_OK);
    expect_entries(4, 3 + count, 1);
    wal_world_grow(&world, 3, 1);
    wal_world_kill(&world);
    wal_world_open(&world);
    wal_world_check(&world);
    /* it is not kept for reuse when it goes */
    cr_assert_eq(wal_world_snapshot(&world, world.model.last, KVR_SNAPSHOT_LOCAL, 999), KVR_OK);
    cr_assert_eq(wal_world_discard(&world, world.model.last + 1, false), KVR_OK);
    wal_world_maintain(&world);
    cr_assert_leq(now().log_bytes + now().ready_bytes, 2 * 4096);
    free(large);
}

/* FAULTS 72: no preallocation, no maintenance at all. */
Test(wal_contract, a_host_that_never_maintains_loses_nothing)
{
    wal_world_open(&world);
    for (uint32_t i = 0; i < 40; i++) {
        wal_world_grow(&world, 5, 1);
        wal_world_kill(&world);
        wal_world_open(&world);
        wal_world_check(&world);
    }
}

/* ------------------------------------------------------------------ maintenance */

Test(wal_contract, segments_are_filled_ahead_and_used_again)
{
    world.config.segments_ready = 2;
    wal_world_open(&world);
    wal_world_maintain(&world);
    cr_assert_eq(now().ready_count, 2);
    cr_assert_eq(now().ready_bytes, 2 * 4096);
    for (uint32_t i = 0; i < 30; i++) {
        wal_world_grow(&world, 10, 1);
        cr_assert_eq(wal_world_snapshot(&world, world.model.last, KVR_SNAPSHOT_LOCAL, 99999),
                     KVR_OK);
        cr_assert_eq(wal_world_discard(&world, world.model.last + 1, false), KVR_OK);
        wal_world_maintain(&world);
        cr_assert_leq(now().segment_count, 2);
        cr_assert_eq(now().ready_count, 2);
        cr_assert_eq(now().snapshot_count, 1);
    }
    cr_assert_leq(wal_disk_file_count(world.disk), 7);
    wal_world_kill(&world);
    wal_world_open(&world);
    wal_world_check(&world);
}

Test(wal_contract, the_last_segment_is_filled_too)
{
    wal_world_open(&world);
    wal_world_grow(&world, 1, 1);
    cr_assert_lt(now().log_bytes, 4096);
    wal_world_maintain(&world);
    cr_assert_eq(now().log_bytes, 4096);
}

Test(wal_contract, idle_vouches_once)
{
    wal_world_open(&world);
    cr_assert_not(kvr_wal_has_unvouched(world.wal));
    wal_world_grow(&world, 1, 1);
    cr_assert(kvr_wal_has_unvouched(world.wal));
    cr_assert_eq(kvr_wal_idle(world.wal), KVR_OK);
    cr_assert_not(kvr_wal_has_unvouched(world.wal));
    size_t calls = wal_disk_calls(world.disk);
    cr_assert_eq(kvr_wal_idle(world.wal), KVR_OK);
    cr_assert_eq(wal_disk_calls(world.disk), calls, "an idle member writes nothing");
    cr_assert_eq(wal_world_vote(&world, 4, 4), KVR_OK);
    cr_assert(kvr_wal_has_unvouched(world.wal), "a vote is vouched for as well");
    cr_assert_eq(kvr_wal_idle(world.wal), KVR_OK);
    wal_world_check(&world);
}

/* W4, FAULTS 59, 81: what the older snapshot needs stays until the new one was read back. */
Test(wal_contract, nothing_goes_before_its_replacement_was_read_back)
{
    wal_world_open(&world);
    for (uint32_t i = 0; i < 20; i++) {
        wal_world_grow(&world, 5, 1);
    }
    cr_assert_eq(wal_world_snapshot(&world, 40, KVR_SNAPSHOT_LOCAL, 999), KVR_OK);
    wal_world_maintain(&world);
    uint32_t segments = now().segment_count;
    cr_assert_eq(wal_world_snapshot(&world, 100, KVR_SNAPSHOT_LOCAL, 9999), KVR_OK);
    cr_assert_eq(wal_world_discard(&world, 101, false), KVR_OK);
    cr_assert_eq(now().segment_count, segments);
    cr_assert_eq(now().snapshot_count, 2);
    bool older_is_there = true;
    while (kvr_wal_maintain(world.wal) == KVR_AGAIN) {
        cr_assert(older_is_there || now().snapshot_count == 1);
        if (now().segment_count < segments) {
            cr_assert_eq(now().snapshot_count, 1, "a segment goes before the snapshot it follows");
        }
        older_is_there = now().snapshot_count == 2;
    }
    cr_assert_eq(now().segment_count, 1);
    wal_world_check(&world);
}

/* ------------------------------------------------------------------ requests that are refused */

static kvr_status ask(kvr_store_request request)
{
    kvr_store_result result;
    return wal_world_ask(&world, &request, &result);
}

static kvr_status append_bytes(uint64_t first, uint32_t count, kvr_slice piece)
{
    return ask((kvr_store_request){.kind = KVR_STORE_APPEND,
                                   .first_index = first,
                                   .entry_count = count,
                                   .pieces = &piece,
                                   .piece_count = 1});
}

/* FAULTS 80: and after each of them the handle is as it was. */
Test(wal_contract, an_append_that_is_not_what_it_says_is_refused)
{
    wal_world_open(&world);
    wal_world_grow(&world, 5, 1);
    uint8_t entry[512];
    size_t size = wal_world_entry(6, 1, entry);
    cr_assert_eq(append_bytes(7, 1, (kvr_slice){entry, size}), KVR_EINVAL, "a gap");
    cr_assert_eq(append_bytes(0, 1, (kvr_slice){entry, size}), KVR_EINVAL, "index 0");
    cr_assert_eq(append_bytes(5, 1, (kvr_slice){entry, size}), KVR_EINVAL, "another index");
    cr_assert_eq(append_bytes(6, 2, (kvr_slice){entry, size}), KVR_EINVAL, "another count");
    cr_assert_eq(append_bytes(6, 0, (kvr_slice){NULL, 0}), KVR_EINVAL, "no entry");
    cr_assert_eq(append_bytes(6, 1, (kvr_slice){entry, size - 1}), KVR_EINVAL, "half an entry");
    entry[20] ^= 1;
    cr_assert_eq(append_bytes(6, 1, (kvr_slice){entry, size}), KVR_EINVAL, "a damaged header");
    entry[20] ^= 1;
    cr_assert_eq(wal_world_discard(&world, 4, false), KVR_OK);
    cr_assert_eq(wal_world_append(&world, 3, 1, 2), KVR_EINVAL, "below the first index");
    cr_assert_eq(append_bytes(6, 1, (kvr_slice){entry, size}), KVR_OK);
    expect_entries(6, 6, 1);
}

Test(wal_contract, a_vote_never_goes_back)
{
    wal_world_open(&world);
    cr_assert_eq(wal_world_vote(&world, 5, 2), KVR_OK);
    cr_assert_eq(wal_world_vote(&world, 4, 2), KVR_EINVAL, "an older term");
    cr_assert_eq(wal_world_vote(&world, 5, 3), KVR_EINVAL, "a second vote");
    cr_assert_eq(wal_world_vote(&world, 5, 2), KVR_OK, "the same vote");
    cr_assert_eq(wal_world_vote(&world, 6, 0), KVR_OK);
    cr_assert_eq(wal_world_vote(&world, 6, 3), KVR_OK, "the first vote of a term");
    cr_assert_eq(ask((kvr_store_request){.kind = KVR_STORE_VOTE, .term = 7}), KVR_EINVAL,
                 "an incarnation that goes back");
    wal_world_check(&world);
}

Test(wal_contract, chunks_arrive_in_order_or_not_at_all)
{
    wal_world_open(&world);
    cr_assert_eq(wal_world_vote(&world, 1, 0), KVR_OK);
    wal_world_grow(&world, 9, 1);
    kvr_store_request chunk = {.kind = KVR_STORE_SNAPSHOT_WRITE,
                               .chunk = {(const uint8_t *)"0123456789", 10},
                               .snapshot = {.index = 9, .term = 1}};
    chunk.offset = 10;
    cr_assert_eq(ask(chunk), KVR_EINVAL, "it was not begun");
    chunk.offset = 0;
    cr_assert_eq(ask(chunk), KVR_OK);
    chunk.offset = 5;
    cr_assert_eq(ask(chunk), KVR_EINVAL, "a repetition");
    chunk.offset = 20;
    cr_assert_eq(ask(chunk), KVR_EINVAL, "a gap");
    chunk.offset = 10;
    chunk.snapshot.term = 2;
    cr_assert_eq(ask(chunk), KVR_EINVAL, "another snapshot");
    chunk.snapshot.term = 1;
    chunk.source = 2;
    cr_assert_eq(ask(chunk), KVR_EINVAL, "no such source");
    chunk.source = KVR_SNAPSHOT_LOCAL;
    chunk.flags = KVR_STORE_LAST;
    chunk.snapshot.bytes = 20;
    cr_assert_eq(ask(chunk), KVR_ECORRUPT, "another hash");
    cr_assert_eq(ask(chunk), KVR_EINVAL, "it was discarded");
    /* FAULTS 64: two at a time, of two sources, do not meet */
    kvr_store_request theirs = {.kind = KVR_STORE_SNAPSHOT_WRITE,
                                .source = KVR_SNAPSHOT_RECEIVED,
                                .chunk = {(const uint8_t *)"abc", 3},
                                .snapshot = {.index = 50, .term = 1}};
    cr_assert_eq(ask(theirs), KVR_OK);
    cr_assert_eq(wal_world_snapshot(&world, 9, KVR_SNAPSHOT_LOCAL, 7), KVR_OK);
    wal_world_check(&world);
    cr_assert_eq(wal_world_snapshot(&world, 9, KVR_SNAPSHOT_RECEIVED, 7), KVR_OK, "once more");
    cr_assert_eq(now().snapshot_count, 1);
    wal_world_check(&world);
}

Test(wal_contract, reads_outside_the_log_find_nothing)
{
    wal_world_open(&world);
    kvr_store_request read = {
        .kind = KVR_STORE_READ, .first_index = 1, .last_index = 1, .byte_max = 100};
    cr_assert_eq(ask(read), KVR_ENOTFOUND, "an empty log");
    wal_world_grow(&world, 9, 1);
    cr_assert_eq(wal_world_discard(&world, 4, false), KVR_OK);
    cr_assert_eq(ask(read), KVR_ENOTFOUND, "below");
    read.first_index = 10;
    read.last_index = 20;
    cr_assert_eq(ask(read), KVR_ENOTFOUND, "above");
    read.first_index = 6;
    read.last_index = 5;
    cr_assert_eq(ask(read), KVR_ENOTFOUND, "nothing was asked for");
    kvr_store_request snapshot = {.kind = KVR_STORE_SNAPSHOT_READ, .byte_max = 10};
    cr_assert_eq(ask(snapshot), KVR_ENOTFOUND);
    snapshot.snapshot.index = 4;
    cr_assert_eq(ask(snapshot), KVR_ENOTFOUND);
}

Test(wal_contract, a_read_returns_one_entry_even_if_it_is_too_large)
{
    wal_world_open(&world);
    wal_world_grow(&world, 9, 1);
    kvr_store_request read = {
        .kind = KVR_STORE_READ, .first_index = 3, .last_index = 9, .byte_max = 1};
    kvr_store_result result;
    cr_assert_eq(wal_world_ask(&world, &read, &result), KVR_OK);
    cr_assert_eq(result.entry_count, 1);
    cr_assert_eq(result.pieces[0].size, wal_world_entry_size(3, 1));
}

Test(wal_contract, unknown_requests_and_groups_are_refused)
{
    wal_world_open(&world);
    cr_assert_eq(ask((kvr_store_request){.kind = 0}), KVR_EINVAL);
    cr_assert_eq(ask((kvr_store_request){.kind = 99}), KVR_EINVAL);
    cr_assert_eq(ask((kvr_store_request){.kind = KVR_STORE_DISCARD}), KVR_EINVAL);
    append_one(0, 1, 1);
    requests[0].group_id = GROUP + 1;
    cr_assert_eq(kvr_wal_execute(world.wal, requests, 1, results), KVR_OK);
    cr_assert_eq(results[0].status, KVR_EINVAL);
    cr_assert_eq(results[0].group_id, GROUP + 1);
    requests[0].size = 8;
    cr_assert_eq(kvr_wal_execute(world.wal, requests, 1, results), KVR_EINVAL);
    append_one(0, 1, 1);
    results[0].size = 8;
    cr_assert_eq(kvr_wal_execute(world.wal, requests, 1, results), KVR_EINVAL);
    cr_assert_eq(kvr_wal_execute(world.wal, NULL, 0, NULL), KVR_OK);
}

/* ------------------------------------------------------------------ config and life */

Test(wal_contract, a_config_is_checked_field_by_field)
{
    const kvr_wal_config good = world.config;
    cr_assert_null(kvr_wal_config_check(&good));
    kvr_wal_config bad[] = {good, good, good, good, good, good, good, good, good, good};
    kvr_file_ops files = wal_disk_ops;
    files.fdatasync = NULL;
    bad[0].size = 8;
    bad[1].flags = 1U << 20;
    bad[2].cluster_id = 0;
    bad[3].member_id = 0;
    bad[4].segment_bytes = 1000;
    bad[5].segment_bytes = UINT64_C(5) << 30;
    bad[6].batch_bytes = 10;
    bad[7].files = &files;
    bad[8].entropy = NULL;
    bad[9].segments_ready = 1000;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        cr_assert_not_null(kvr_wal_config_check(&bad[i]), "config %zu", i);
        cr_assert_eq(kvr_wal_new(&bad[i], &world.wal), KVR_EINVAL);
        cr_assert_null(world.wal);
    }
}

Test(wal_contract, new_without_memory_gives_nothing)
{
    kvr_status status = KVR_OK;
    FAULT_SWEEP((void)0, status = kvr_wal_new(&world.config, &world.wal), {
        cr_assert_eq(status, fault_fired() == 0 ? KVR_OK : KVR_ENOMEM);
        wal_world_kill(&world);
        TEST_ALLOC_ASSERT_EMPTY(&world.alloc);
    });
}

Test(wal_contract, a_directory_without_a_store_is_not_made_one_by_accident)
{
    world.config.flags = 0;
    cr_assert_eq(wal_world_try_open(&world), KVR_ENOTFOUND);
    cr_assert_not_null(strstr(kvr_wal_error(world.wal), "no store"));
    cr_assert_eq(kvr_wal_open(world.wal), KVR_ESTATE);
    wal_world_kill(&world);
    cr_assert_eq(wal_disk_calls(world.disk), 0);
}

Test(wal_contract, read_only_reads_and_writes_nothing)
{
    wal_world_open(&world);
    wal_world_grow(&world, 9, 1);
    wal_world_kill(&world);
    world.config.flags = KVR_WAL_READ_ONLY;
    size_t calls = wal_disk_calls(world.disk);
    wal_world_open(&world);
    wal_world_check(&world);
    wal_model kept = world.model;
    cr_assert_eq(wal_world_append(&world, 10, 1, 1), KVR_EREADONLY);
    cr_assert_eq(wal_world_vote(&world, 9, 1), KVR_EREADONLY);
    cr_assert_eq(wal_world_discard(&world, 9, true), KVR_EREADONLY);
    world.model = kept;
    cr_assert_eq(kvr_wal_maintain(world.wal), KVR_OK);
    cr_assert_eq(kvr_wal_idle(world.wal), KVR_OK);
    wal_world_check(&world);
    wal_world_close(&world);
    cr_assert_eq(wal_disk_calls(world.disk), calls);
}

Test(wal_contract, calls_out_of_their_time_are_refused)
{
    cr_assert_eq(kvr_wal_new(&world.config, &world.wal), KVR_OK);
    append_one(0, 1, 1);
    cr_assert_eq(kvr_wal_execute(world.wal, requests, 1, results), KVR_ESTATE);
    cr_assert_eq(kvr_wal_maintain(world.wal), KVR_ESTATE);
    cr_assert_eq(kvr_wal_idle(world.wal), KVR_ESTATE);
    cr_assert_eq(kvr_wal_close(world.wal), KVR_ESTATE);
    cr_assert_eq(now().last_index, 0);
    cr_assert_eq(kvr_wal_open(world.wal), KVR_OK);
    cr_assert_eq(kvr_wal_open(world.wal), KVR_ESTATE);
    cr_assert_eq(kvr_wal_close(world.wal), KVR_OK);
    cr_assert_eq(kvr_wal_execute(world.wal, requests, 1, results), KVR_ESTATE);
    kvr_wal_free(NULL);
}

/* What results point to lends until the next request that lends; appends in between do not end
 * it. */
Test(wal_contract, lent_memory_outlives_appends)
{
    wal_world_open(&world);
    wal_world_grow(&world, 9, 1);
    kvr_store_request read = {
        .kind = KVR_STORE_READ, .first_index = 3, .last_index = 3, .byte_max = 1};
    kvr_store_result result, other;
    cr_assert_eq(wal_world_ask(&world, &read, &result), KVR_OK);
    uint8_t entry[512];
    size_t size = wal_world_entry(3, 1, entry);
    wal_world_grow(&world, 9, 1);
    cr_assert_eq(memcmp(result.pieces[0].data, entry, size), 0);
    read.first_index = 4;
    read.last_index = 4;
    cr_assert_eq(wal_world_ask(&world, &read, &other), KVR_OK);
    cr_assert_eq(other.first_index, 4);
}

/* The log is bounded on disk, so is its index in memory: 100 times as much log, no more memory. */
Test(wal_contract, memory_does_not_grow_with_what_was_written)
{
    world.config.segment_bytes = 65536;
    wal_world_open(&world);
    uint64_t most = 0;
    for (uint32_t round = 0; round < 40; round++) {
        for (uint32_t i = 0; i < 20; i++) {
            append_one(0, world.model.last + 1, 1);
            cr_assert_eq(kvr_wal_execute(world.wal, requests, 1, results), KVR_OK);
            world.model.terms[++world.model.last] = 1;
        }
        cr_assert_eq(wal_world_snapshot(&world, world.model.last, KVR_SNAPSHOT_LOCAL, 999), KVR_OK);
        cr_assert_eq(wal_world_discard(&world, world.model.last + 1, false), KVR_OK);
        wal_world_maintain(&world);
        if (round == 4) {
            most = now().memory_bytes;
        }
    }
    cr_assert_leq(now().memory_bytes, most + 32768); /* points of one more segment */
}

Test(wal_contract, free_bytes_are_told_with_each_answer)
{
    wal_disk_set_room(world.disk, 100000);
    wal_world_open(&world);
    append_one(0, 1, 1);
    cr_assert_eq(kvr_wal_execute(world.wal, requests, 1, results), KVR_OK);
    cr_assert_gt(results[0].free_bytes, 80000);
    cr_assert_leq(results[0].free_bytes, 100000);
}
