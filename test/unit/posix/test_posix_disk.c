/* SPDX-License-Identifier: Apache-2.0 */
/* test_posix_disk.c: the queue before the wal and the results behind it, both sides played by one
 * thread, on real files. */
#include <criterion/criterion.h>
#include <kvraft/posix.h>

#include "posix_place.h"
#include "support/fault_sweep.h"
#include "support/test_alloc.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { RESULTS = 64, ENTRY = 100 };

static test_alloc alloc;
static kvr_posix_disk_config config;
static kvr_wal_config wal;
static kvr_posix_disk *disk;
static char path[600];
static kvr_store_result results[RESULTS];
static uint8_t entries[RESULTS][256];
static kvr_slice pieces[RESULTS];

static void setup(void)
{
    test_alloc_init(&alloc);
    (void)posix_place_enter();
    (void)snprintf(path, sizeof path, "%s", posix_place_path("store"));
    cr_assert_eq(kvr_wal_config_init(&wal, sizeof wal), KVR_OK);
    wal.cluster_id = 5;
    wal.member_id = 1;
    wal.segment_bytes = 65536;
    wal.allocator = &test_alloc_table;
    wal.allocator_ctx = &alloc;
    cr_assert_eq(kvr_posix_disk_config_init(&config, sizeof config), KVR_OK);
    config.path = path;
    config.wal = &wal;
    config.flags = KVR_POSIX_CREATE;
    disk = NULL;
}

static void teardown(void)
{
    kvr_posix_disk_free(disk);
    posix_place_leave();
    TEST_ALLOC_ASSERT_EMPTY(&alloc);
}

TestSuite(posix_disk, .init = setup, .fini = teardown);

static void open_disk(void)
{
    cr_assert_eq(kvr_posix_disk_new(&config, &disk), KVR_OK);
    kvr_status status = kvr_posix_disk_open(disk);
    cr_assert_eq(status, KVR_OK, "%s", kvr_posix_disk_error(disk));
}

static kvr_status submit(const kvr_store_request *request)
{
    kvr_store_result ignored = {.size = sizeof ignored};
    kvr_store_request sized = *request;
    sized.size = sizeof sized;
    return kvr_posix_disk_storage()->submit(disk, &sized, &ignored);
}

static kvr_status submit_append(uint64_t index)
{
    uint32_t i = (uint32_t)(index % RESULTS);
    pieces[i] = (kvr_slice){entries[i], posix_place_entry(index, 1, ENTRY, entries[i])};
    return submit(&(kvr_store_request){.kind = KVR_STORE_APPEND,
                                       .token = index,
                                       .first_index = index,
                                       .last_index = index,
                                       .entry_count = 1,
                                       .pieces = &pieces[i],
                                       .piece_count = 1});
}

static kvr_status submit_read(uint64_t index)
{
    return submit(&(kvr_store_request){.kind = KVR_STORE_READ,
                                       .token = 1000 + index,
                                       .first_index = index,
                                       .last_index = index,
                                       .byte_max = 1});
}

static uint32_t reap(void)
{
    results[0].size = sizeof results[0];
    return kvr_posix_disk_reap(disk, results, RESULTS);
}

static bool is_readable(void)
{
    struct pollfd one = {.fd = kvr_posix_disk_fd(disk), .events = POLLIN};
    return poll(&one, 1, 0) == 1;
}

static void perform_all(void)
{
    kvr_status status;
    do {
        status = kvr_posix_disk_perform(disk);
    } while (status == KVR_AGAIN);
    cr_assert_eq(status, KVR_OK, "%s", kvr_posix_disk_error(disk));
}

static kvr_wal_status numbers(void)
{
    kvr_wal_status status = {.size = sizeof status};
    kvr_posix_disk_get_status(disk, &status);
    return status;
}

Test(posix_disk, what_is_queued_is_one_batch_and_one_flush)
{
    open_disk();
    perform_all();
    uint64_t flushes = numbers().flushes;
    for (uint64_t index = 1; index <= 40; index++) {
        cr_assert_eq(submit_append(index), KVR_OK);
    }
    cr_assert_eq(kvr_posix_disk_wait(disk, 0), KVR_OK);
    cr_assert_not(is_readable());
    cr_assert_eq(kvr_posix_disk_perform(disk), KVR_AGAIN);
    cr_assert_eq(numbers().flushes, flushes + 1);
    cr_assert(is_readable());
    cr_assert_eq(reap(), 40);
    for (uint32_t i = 0; i < 40; i++) {
        cr_assert_eq(results[i].status, KVR_OK);
        cr_assert_eq(results[i].token, i + 1);
        cr_assert_gt(results[i].free_bytes, 0);
    }
    cr_assert(is_readable(), "until reap has nothing left");
    cr_assert_eq(reap(), 0);
    cr_assert_not(is_readable());
}

Test(posix_disk, one_disk_serves_many_groups_with_one_flush)
{
    wal.flags = KVR_WAL_GROUPS;
    open_disk();
    perform_all();
    uint64_t flushes = numbers().flushes;
    for (uint64_t group = 1; group <= 40; group++) {
        pieces[group] = (kvr_slice){entries[group], posix_place_entry(1, 1, ENTRY, entries[group])};
        cr_assert_eq(submit(&(kvr_store_request){.kind = KVR_STORE_APPEND,
                                                 .group_id = group,
                                                 .token = 7,
                                                 .first_index = 1,
                                                 .last_index = 1,
                                                 .entry_count = 1,
                                                 .pieces = &pieces[group],
                                                 .piece_count = 1}),
                     KVR_OK);
    }
    cr_assert_geq(kvr_posix_disk_perform(disk), 0);
    cr_assert_eq(reap(), 40);
    cr_assert_eq(numbers().flushes - flushes, 1);
    cr_assert_eq(numbers().group_count, 40);
    for (uint32_t i = 0; i < 40; i++) {
        cr_assert_eq(results[i].status, KVR_OK);
        cr_assert_eq(results[i].group_id, i + 1, "each result says whose it is");
        cr_assert_eq(results[i].token, 7);
    }
}

Test(posix_disk, the_queue_is_bounded)
{
    config.queue_max = 4;
    open_disk();
    for (uint32_t round = 0; round < 5; round++) {
        for (uint32_t i = 1; i <= 4; i++) {
            cr_assert_eq(submit_append(round * 4 + i), KVR_OK);
        }
        cr_assert_eq(submit_append(round * 4 + 5), KVR_EBUSY);
        perform_all();
        cr_assert_eq(submit_append(round * 4 + 5), KVR_EBUSY, "until it is reaped");
        cr_assert_eq(reap(), 4);
        cr_assert_eq(reap(), 0);
    }
}

/* Results that were reaped stay whole until the next reap: a READ behind them waits, appends before
 * it do not. */
Test(posix_disk, lent_results_hold_the_next_read_back)
{
    open_disk();
    for (uint64_t index = 1; index <= 9; index++) {
        cr_assert_eq(submit_append(index), KVR_OK);
    }
    cr_assert_eq(submit_read(3), KVR_OK);
    perform_all();
    cr_assert_eq(submit_append(10), KVR_OK);
    cr_assert_eq(submit_read(4), KVR_OK);
    cr_assert_eq(submit_append(11), KVR_OK);
    perform_all();
    cr_assert_eq(reap(), 11, "nine appends, the read, the append behind it");
    cr_assert_eq(results[9].token, 1003);
    const uint8_t *lent = results[9].pieces[0].data;
    uint8_t expected[256];
    size_t size = posix_place_entry(3, 1, ENTRY, expected);
    perform_all();
    cr_assert_eq(memcmp(lent, expected, size), 0);
    cr_assert_eq(kvr_posix_disk_wait(disk, 0), KVR_ETIMEDOUT, "the second read waits");
    cr_assert_eq(reap(), 0);
    cr_assert_eq(kvr_posix_disk_wait(disk, 0), KVR_OK);
    perform_all();
    cr_assert_eq(reap(), 2);
    cr_assert_eq(results[0].token, 1004);
    cr_assert_eq(results[0].status, KVR_OK);
    cr_assert_eq(reap(), 0);
}

Test(posix_disk, details_of_refusals_reach_the_owner)
{
    open_disk();
    cr_assert_eq(submit_append(5), KVR_OK, "a gap");
    perform_all();
    cr_assert_eq(submit_append(1), KVR_OK);
    perform_all();
    cr_assert_eq(reap(), 2);
    cr_assert_eq(results[0].status, KVR_EINVAL);
    cr_assert_not_null(strstr(results[0].detail, "gap"));
    cr_assert_eq(results[1].status, KVR_OK);
    cr_assert_eq(reap(), 0);
}

Test(posix_disk, idle_vouches_after_its_time_and_then_writes_nothing)
{
    config.idle_ns = 1;
    open_disk();
    cr_assert_eq(submit_append(1), KVR_OK);
    perform_all();
    while (kvr_posix_disk_wait(disk, 0) == KVR_AGAIN) {
        cr_assert_geq(kvr_posix_disk_perform(disk), KVR_OK);
    }
    kvr_wal_status before = numbers();
    cr_assert_eq(before.records, 2);
    cr_assert_eq(kvr_posix_disk_perform(disk), KVR_OK);
    cr_assert_eq(numbers().records, 2);
    cr_assert_eq(numbers().written_bytes, before.written_bytes);
    cr_assert_eq(reap(), 1);
}

Test(posix_disk, what_was_answered_is_there_after_a_crash)
{
    open_disk();
    for (uint64_t index = 1; index <= 30; index++) {
        cr_assert_eq(submit_append(index), KVR_OK);
        perform_all();
        (void)reap();
    }
    kvr_posix_disk_free(disk);
    open_disk();
    cr_assert_eq(submit(&(kvr_store_request){.kind = KVR_STORE_LOAD}), KVR_OK);
    cr_assert_eq(kvr_posix_disk_perform(disk), KVR_AGAIN);
    cr_assert_eq(reap(), 1);
    cr_assert_eq(results[0].last_index, 30);
    for (uint64_t index = 1; index <= 30; index++) {
        cr_assert_eq(reap(), 0);
        cr_assert_eq(submit_read(index), KVR_OK);
        perform_all();
        cr_assert_eq(reap(), 1);
        uint8_t expected[256];
        size_t size = posix_place_entry(index, 1, ENTRY, expected);
        cr_assert_eq(results[0].pieces[0].size, size);
        cr_assert_eq(memcmp(results[0].pieces[0].data, expected, size), 0);
    }
    cr_assert_eq(reap(), 0);
    kvr_posix_disk_stop(disk);
    cr_assert_eq(submit_append(31), KVR_EBUSY);
    kvr_posix_disk_run(disk);
    cr_assert_eq(kvr_posix_disk_close(disk), KVR_OK);
    cr_assert_eq(kvr_posix_disk_close(disk), KVR_ESTATE);
}

Test(posix_disk, synchronous_answers_at_once)
{
    config.flags |= KVR_POSIX_SYNCHRONOUS;
    open_disk();
    cr_assert_eq(kvr_posix_disk_fd(disk), -1);
    for (uint64_t index = 1; index <= 5; index++) {
        kvr_store_result result = {.size = sizeof result};
        kvr_slice piece = {entries[0], posix_place_entry(index, 1, ENTRY, entries[0])};
        kvr_store_request request = {.size = sizeof request,
                                     .kind = KVR_STORE_APPEND,
                                     .token = index,
                                     .first_index = index,
                                     .entry_count = 1,
                                     .pieces = &piece,
                                     .piece_count = 1};
        cr_assert_eq(kvr_posix_disk_storage()->submit(disk, &request, &result), KVR_DONE);
        cr_assert_eq(result.status, KVR_OK);
        cr_assert_eq(result.token, index);
    }
    cr_assert_eq(reap(), 0);
    perform_all();
    cr_assert_eq(numbers().last_index, 5);
    cr_assert_eq(numbers().ready_count, 1, "perform does what can wait");
}

Test(posix_disk, a_store_in_use_or_of_another_member_is_named)
{
    open_disk();
    kvr_posix_disk *first = disk;
    cr_assert_eq(kvr_posix_disk_new(&config, &disk), KVR_OK);
    cr_assert_eq(kvr_posix_disk_open(disk), KVR_ELOCKED);
    cr_assert_not_null(strstr(kvr_posix_disk_error(disk), "in use by process"));
    cr_assert_eq(submit_append(1), KVR_ESTATE);
    cr_assert_eq(kvr_posix_disk_perform(disk), KVR_ESTATE);
    kvr_posix_disk_free(disk);
    cr_assert_eq(kvr_posix_disk_close(first), KVR_OK);
    kvr_posix_disk_free(first);
    wal.member_id = 2;
    cr_assert_eq(kvr_posix_disk_new(&config, &disk), KVR_OK);
    cr_assert_eq(kvr_posix_disk_open(disk), KVR_EMISMATCH);
    cr_assert_not_null(strstr(kvr_posix_disk_error(disk), "member 1"));
    cr_assert_not_null(strstr(kvr_posix_disk_error(disk), "member 2"));
    kvr_posix_disk_free(disk);
    wal.member_id = 1;
    config.flags = 0;
    (void)snprintf(path, sizeof path, "%s", posix_place_path("nowhere"));
    cr_assert_eq(kvr_posix_disk_new(&config, &disk), KVR_OK);
    cr_assert_eq(kvr_posix_disk_open(disk), KVR_ENOTFOUND);
    cr_assert_eq(access(path, F_OK), -1);
}

Test(posix_disk, a_config_is_checked)
{
    kvr_posix_disk_config bad[] = {config, config, config, config};
    bad[0].path = NULL;
    bad[1].wal = NULL;
    bad[2].flags = 1U << 30;
    bad[3].queue_max = 1U << 20;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        cr_assert_eq(kvr_posix_disk_new(&bad[i], &disk), KVR_EINVAL, "config %zu", i);
    }
    wal.cluster_id = 0;
    cr_assert_eq(kvr_posix_disk_new(&config, &disk), KVR_EINVAL);
    cr_assert_null(disk);
    kvr_posix_disk_free(NULL);
}

Test(posix_disk, new_without_memory_gives_nothing)
{
    kvr_status status = KVR_OK;
    FAULT_SWEEP((void)0, status = kvr_posix_disk_new(&config, &disk), {
        cr_assert_eq(status, fault_fired() == 0 ? KVR_OK : KVR_ENOMEM);
        kvr_posix_disk_free(disk);
        disk = NULL;
        TEST_ALLOC_ASSERT_EMPTY(&alloc);
    });
}
