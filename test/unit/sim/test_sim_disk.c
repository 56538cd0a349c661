/* SPDX-License-Identifier: Apache-2.0 */
/* test_sim_disk.c: the disk alone: what the file calls of wal.h promise, what a crash may take and
 * what it must leave, and each kind of failure. */
#include <criterion/criterion.h>
#include <string.h>

#include <kvraft/sim.h>

#include "support/fault_sweep.h"
#include "support/test_alloc.h"

static test_alloc alloc;
static kvr_sim_disk *disk;
static const kvr_file_ops *ops;
static kvr_sim_disk_faults faults;

static kvr_sim_disk *new_disk(uint64_t seed)
{
    kvr_sim_disk *made = NULL;
    cr_assert_eq(kvr_sim_disk_new(seed, &test_alloc_table, &alloc, &made), KVR_OK);
    return made;
}

static void setup(void)
{
    test_alloc_init(&alloc);
    disk = new_disk(1);
    ops = kvr_sim_disk_ops();
    cr_assert_eq(kvr_sim_disk_faults_init(&faults, sizeof faults), KVR_OK);
}

static void teardown(void)
{
    kvr_sim_disk_free(disk);
    TEST_ALLOC_ASSERT_EMPTY(&alloc);
}

TestSuite(sim_disk, .init = setup, .fini = teardown);

enum { RW_CREATE = KVR_FILE_READ | KVR_FILE_WRITE | KVR_FILE_CREATE };

static uint64_t open_file(const char *name)
{
    uint64_t file = 0;
    cr_assert_eq(ops->open(disk, name, RW_CREATE, &file), KVR_OK);
    return file;
}

static void write_text(uint64_t file, const char *text, uint64_t offset)
{
    kvr_slice data = {(const uint8_t *)text, strlen(text)};
    size_t written = 0;
    cr_assert_eq(ops->pwrite(disk, file, &data, offset, &written), KVR_OK);
    cr_assert_eq(written, data.size);
}

static void write_fill(uint64_t file, uint8_t byte, size_t size, uint64_t offset)
{
    static uint8_t bytes[8192];
    memset(bytes, byte, size);
    kvr_slice data = {bytes, size};
    size_t written = 0;
    cr_assert_eq(ops->pwrite(disk, file, &data, offset, &written), KVR_OK);
}

static size_t read_some(uint64_t file, uint8_t *out, size_t size, uint64_t offset)
{
    size_t got = 0;
    cr_assert_eq(ops->pread(disk, file, out, size, offset, &got), KVR_OK);
    return got;
}

static uint64_t length_of(uint64_t file)
{
    uint64_t length = 0;
    cr_assert_eq(ops->length(disk, file, &length), KVR_OK);
    return length;
}

static bool is_there(const char *name)
{
    uint64_t file;
    kvr_status status = ops->open(disk, name, KVR_FILE_READ, &file);
    if (status == KVR_OK) {
        cr_assert_eq(ops->close(disk, file), KVR_OK);
    }
    return status == KVR_OK;
}

/* ------------------------------------------------------------------ without faults */

Test(sim_disk, what_was_written_is_read)
{
    uint8_t bytes[16] = {0};
    uint64_t file = open_file("a");

    write_text(file, "hello", 1000);

    cr_assert_eq(length_of(file), 1005);
    cr_assert_eq(read_some(file, bytes, 16, 999), 6);
    cr_assert_arr_eq(bytes, "\0hello", 6);
    cr_assert_eq(read_some(file, bytes, 16, 1005), 0);
    cr_assert_eq(read_some(file, bytes, 16, 9999), 0);
}

Test(sim_disk, flags_and_handles_are_checked)
{
    uint64_t file = 0;
    uint8_t bytes[4];
    size_t count;
    kvr_slice data = {(const uint8_t *)"x", 1};

    cr_assert_eq(ops->open(disk, "a", KVR_FILE_READ, &file), KVR_ENOTFOUND);
    uint64_t first = open_file("a");
    cr_assert_eq(ops->open(disk, "a", RW_CREATE | KVR_FILE_EXCLUSIVE, &file), KVR_EEXIST);
    cr_assert_eq(ops->open(disk, "", RW_CREATE, &file), KVR_EINVAL);
    cr_assert_eq(ops->open(disk, "a", KVR_FILE_READ, &file), KVR_OK);
    cr_assert_eq(ops->pwrite(disk, file, &data, 0, &count), KVR_EINVAL);
    cr_assert_eq(ops->close(disk, first), KVR_OK);
    cr_assert_eq(ops->close(disk, first), KVR_EINVAL);
    cr_assert_eq(ops->pread(disk, first, bytes, 4, 0, &count), KVR_EINVAL);
    uint64_t again = open_file("a");
    cr_assert_neq(again, first); /* the same place, another use */
}

Test(sim_disk, an_unlinked_file_lives_as_long_as_it_is_open)
{
    uint8_t bytes[4];
    uint64_t file = open_file("a");
    write_text(file, "data", 0);

    cr_assert_eq(ops->unlink(disk, "a"), KVR_OK);

    cr_assert(!is_there("a"));
    cr_assert_eq(ops->unlink(disk, "a"), KVR_ENOTFOUND);
    cr_assert_eq(read_some(file, bytes, 4, 0), 4);
}

Test(sim_disk, a_rename_replaces)
{
    uint8_t bytes[4];
    write_text(open_file("new"), "new", 0);
    write_text(open_file("old"), "old", 0);

    cr_assert_eq(ops->rename(disk, "none", "old"), KVR_ENOTFOUND);
    cr_assert_eq(ops->rename(disk, "new", "old"), KVR_OK);

    cr_assert(!is_there("new"));
    cr_assert_eq(read_some(open_file("old"), bytes, 3, 0), 3);
    cr_assert_arr_eq(bytes, "new", 3);
}

Test(sim_disk, truncation_cuts_and_a_longer_file_reads_as_zeros)
{
    uint8_t bytes[8];
    uint64_t file = open_file("a");
    write_text(file, "abcdefgh", 0);

    cr_assert_eq(ops->truncate(disk, file, 3), KVR_OK);
    cr_assert_eq(ops->truncate(disk, file, 8), KVR_OK);

    cr_assert_eq(read_some(file, bytes, 8, 0), 8);
    cr_assert_arr_eq(bytes, "abc\0\0\0\0\0", 8);
}

static kvr_status count_names(void *ctx, const char *name, uint64_t size)
{
    uint64_t *sum = ctx;
    *sum += (uint64_t)name[0] * 1000 + size;
    return KVR_OK;
}

Test(sim_disk, list_names_every_file_once)
{
    uint64_t sum = 0;
    write_text(open_file("a"), "1", 0);
    write_text(open_file("b"), "22", 0);
    write_text(open_file("c"), "333", 0);

    cr_assert_eq(ops->list(disk, count_names, &sum), KVR_OK);

    cr_assert_eq(sum, (uint64_t)('a' + 'b' + 'c') * 1000 + 6);
    kvr_sim_disk_status status = {.size = sizeof status};
    kvr_sim_disk_get_status(disk, &status);
    cr_assert_eq(status.files, 3);
    cr_assert_eq(status.bytes, 6);
    cr_assert_eq(status.writes, 3);
}

/* ------------------------------------------------------------------ crashes */

Test(sim_disk, what_was_flushed_survives_every_crash)
{
    uint8_t bytes[6];
    faults.crash_lose_ppm = 1000000;
    kvr_sim_disk_set_faults(disk, &faults);
    uint64_t file = open_file("a");
    write_text(file, "stays", 600);
    cr_assert_eq(ops->fdatasync(disk, file), KVR_OK);
    cr_assert_eq(ops->sync_directory(disk), KVR_OK);
    write_text(file, "goes!", 600);
    write_text(file, "goes!", 6000);

    kvr_sim_disk_crash(disk);

    /* no handle survives */
    cr_assert_eq(ops->pread(disk, file, bytes, 5, 0, &(size_t){0}), KVR_EINVAL);
    file = open_file("a");
    cr_assert_eq(length_of(file), 605);
    cr_assert_eq(read_some(file, bytes, 5, 600), 5);
    cr_assert_arr_eq(bytes, "stays", 5);
}

/* FAULTS 75: the directory was not synced after create or rename, and the file vanished. */
Test(sim_disk, a_name_without_directory_sync_may_vanish_though_its_content_was_flushed)
{
    faults.crash_names_ppm = 1000000;
    kvr_sim_disk_set_faults(disk, &faults);
    uint64_t file = open_file("a");
    write_text(file, "data", 0);
    cr_assert_eq(ops->fdatasync(disk, file), KVR_OK);

    kvr_sim_disk_crash(disk);

    cr_assert(!is_there("a"));
}

Test(sim_disk, an_unsynced_rename_is_undone_as_one)
{
    uint8_t bytes[4];
    write_text(open_file("new"), "new", 0);
    write_text(open_file("old"), "old", 0);
    cr_assert_eq(ops->fdatasync(disk, open_file("new")), KVR_OK);
    cr_assert_eq(ops->fdatasync(disk, open_file("old")), KVR_OK);
    cr_assert_eq(ops->sync_directory(disk), KVR_OK);
    faults.crash_names_ppm = 1000000;
    kvr_sim_disk_set_faults(disk, &faults);
    cr_assert_eq(ops->rename(disk, "new", "old"), KVR_OK);

    kvr_sim_disk_crash(disk);

    cr_assert_eq(read_some(open_file("new"), bytes, 3, 0), 3);
    cr_assert_arr_eq(bytes, "new", 3);
    cr_assert_eq(read_some(open_file("old"), bytes, 3, 0), 3);
    cr_assert_arr_eq(bytes, "old", 3);
}

static kvr_status count_places(void *ctx, const char *name, uint64_t size)
{
    uint32_t *count = ctx;
    (void)size;
    *count += strcmp(name, "other") != 0;
    return KVR_OK;
}

/* A file that was renamed twice without a directory sync stands under one of its names. */
Test(sim_disk, changes_of_one_name_are_lost_from_the_newest_back)
{
    for (uint64_t seed = 1; seed <= 100; seed++) {
        kvr_sim_disk_free(disk);
        disk = new_disk(seed);
        (void)open_file("a");
        cr_assert_eq(ops->sync_directory(disk), KVR_OK);
        cr_assert_eq(ops->rename(disk, "a", "b"), KVR_OK);
        (void)open_file("other");
        cr_assert_eq(ops->rename(disk, "b", "c"), KVR_OK);

        kvr_sim_disk_crash(disk);

        uint32_t places = 0;
        cr_assert_eq(ops->list(disk, count_places, &places), KVR_OK);
        cr_assert_eq(places, 1, "seed %llu", (unsigned long long)seed);
    }
}

/* For each seed: every sector is as it was after one of its writes, or before the first. */
Test(sim_disk, a_sector_ends_as_one_of_its_writes_left_it)
{
    uint32_t seen[3] = {0};
    for (uint64_t seed = 1; seed <= 200; seed++) {
        kvr_sim_disk_free(disk);
        disk = new_disk(seed);
        uint64_t file = open_file("a");
        write_fill(file, 'a', 4096, 0);
        cr_assert_eq(ops->fdatasync(disk, file), KVR_OK);
        cr_assert_eq(ops->sync_directory(disk), KVR_OK);
        write_fill(file, 'b', 3000, 100);
        write_fill(file, 'c', 2000, 1200);

        kvr_sim_disk_crash(disk);

        uint8_t bytes[4096];
        cr_assert_eq(read_some(open_file("a"), bytes, 4096, 0), 4096);
        for (uint32_t i = 1536; i < 3072; i += 512) { /* sectors that all three cover */
            for (uint32_t j = 1; j < 512; j++) {
                cr_assert_eq(bytes[i + j], bytes[i], "seed %llu", (unsigned long long)seed);
            }
            cr_assert(bytes[i] >= 'a' && bytes[i] <= 'c');
            seen[bytes[i] - 'a']++;
        }
        cr_assert_eq(bytes[99], 'a');
        cr_assert_eq(bytes[4095], 'a');
    }
    cr_assert(seen[0] > 50 && seen[1] > 20 && seen[2] > 100, "%u %u %u", seen[0], seen[1], seen[2]);
}

Test(sim_disk, a_gap_reads_as_zeros_if_length_survives_without_content)
{
    bool found = false;
    for (uint64_t seed = 1; seed <= 100 && !found; seed++) {
        kvr_sim_disk_free(disk);
        disk = new_disk(seed);
        uint64_t file = open_file("a");
        cr_assert_eq(ops->sync_directory(disk), KVR_OK);
        write_fill(file, 'x', 2048, 0);

        kvr_sim_disk_crash(disk);

        uint8_t bytes[2048] = {1};
        file = open_file("a");
        cr_assert(length_of(file) == 0 || length_of(file) == 2048);
        found = length_of(file) == 2048 && read_some(file, bytes, 2048, 0) == 2048 && bytes[0] == 0;
    }
    cr_assert(found);
}

Test(sim_disk, after_the_last_call_nothing_is_done_until_power_returns)
{
    kvr_slice data = {(const uint8_t *)"x", 1};
    size_t count;
    uint64_t file = open_file("a");

    kvr_sim_disk_crash_after(disk, 1);

    write_text(file, "first", 0);
    cr_assert_eq(ops->pwrite(disk, file, &data, 0, &count), KVR_EIO);
    cr_assert_str_eq(ops->error(disk), "power is off");
    cr_assert_eq(ops->fdatasync(disk, file), KVR_EIO);
    cr_assert_eq(ops->sync_directory(disk), KVR_EIO);
    kvr_sim_disk_crash(disk);
    (void)open_file("b");
}

/* ------------------------------------------------------------------ failures */

Test(sim_disk, a_full_disk_takes_nothing_and_tells_its_room)
{
    uint64_t room = 0;
    faults.capacity_bytes = 100;
    kvr_sim_disk_set_faults(disk, &faults);
    uint64_t file = open_file("a");
    write_fill(file, 'x', 60, 0);
    uint8_t bytes[50] = {0};
    kvr_slice data = {bytes, sizeof bytes};
    size_t count = 0;

    cr_assert_eq(ops->pwrite(disk, file, &data, 60, &count), KVR_ENOSPACE);
    cr_assert_eq(ops->truncate(disk, file, 101), KVR_ENOSPACE);

    cr_assert_eq(length_of(file), 60);
    cr_assert_eq(ops->space(disk, &room), KVR_OK);
    cr_assert_eq(room, 40);
    cr_assert_eq(ops->unlink(disk, "a"), KVR_OK);
    cr_assert_eq(ops->close(disk, file), KVR_OK);
    cr_assert_eq(ops->sync_directory(disk), KVR_OK);
    cr_assert_eq(ops->space(disk, &room), KVR_OK);
    cr_assert_eq(room, 100);
}

/* FAULTS 78: after a failed flush nobody knows what is on the disk. */
Test(sim_disk, a_failed_flush_loses_like_a_crash)
{
    faults.crash_lose_ppm = 1000000;
    faults.sync_error_ppm = 1000000;
    kvr_sim_disk_set_faults(disk, &faults);
    uint64_t file = open_file("a");
    write_fill(file, 'x', 1000, 0);

    cr_assert_eq(ops->fdatasync(disk, file), KVR_EIO);

    cr_assert_str_eq(ops->error(disk), "simulated flush error");
    cr_assert_eq(length_of(file), 0);
    cr_assert_eq(ops->sync_directory(disk), KVR_EIO);
}

Test(sim_disk, calls_fail_and_are_short_as_often_as_asked)
{
    kvr_slice data = {(const uint8_t *)"0123456789", 10};
    uint8_t bytes[10];
    size_t count = 0;
    uint64_t file = open_file("a");
    faults.short_ppm = 1000000;
    kvr_sim_disk_set_faults(disk, &faults);
    cr_assert_eq(ops->pwrite(disk, file, &data, 0, &count), KVR_OK);
    cr_assert(count >= 1 && count < 10);
    cr_assert_eq(length_of(file), count);

    faults.short_ppm = 0;
    faults.write_error_ppm = 1000000;
    faults.read_error_ppm = 1000000;
    kvr_sim_disk_set_faults(disk, &faults);

    cr_assert_eq(ops->pwrite(disk, file, &data, 0, &count), KVR_EIO);
    cr_assert_eq(ops->pread(disk, file, bytes, 1, 0, &count), KVR_EIO);
    cr_assert_eq(ops->truncate(disk, file, 0), KVR_EIO);
    cr_assert_eq(ops->rename(disk, "a", "b"), KVR_EIO);
    cr_assert_eq(ops->unlink(disk, "a"), KVR_EIO);
}

static uint32_t differing_sectors(uint64_t file, uint8_t expected)
{
    uint8_t bytes[8192];
    uint32_t count = 0;
    cr_assert_eq(read_some(file, bytes, sizeof bytes, 0), sizeof bytes);
    for (uint32_t i = 0; i < sizeof bytes; i += 512) {
        uint32_t same = 0;
        for (uint32_t j = 0; j < 512; j++) {
            same += bytes[i + j] == expected;
        }
        count += same < 512;
    }
    return count;
}

/* FAULTS 76, 84, 85: what the disks of others did. */
/* A sector's age in flushes tells what later writes vouch for. */
Test(sim_disk, a_sector_is_seen_set_and_knows_its_flushes)
{
    uint8_t bytes[512];
    uint64_t flushes = 9;
    uint64_t size = 0;
    uint64_t file = open_file("a");
    cr_assert_eq(kvr_sim_disk_sector_size(), 512);
    write_fill(file, 'x', 1100, 0);
    cr_assert_eq(kvr_sim_disk_get_sector(disk, "a", 600, bytes, &flushes), KVR_OK);
    cr_assert_eq(flushes, 0);
    cr_assert_eq(bytes[511], 'x');
    cr_assert_eq(ops->fdatasync(disk, file), KVR_OK);
    cr_assert_eq(kvr_sim_disk_get_sector(disk, "a", 600, bytes, &flushes), KVR_OK);
    cr_assert_eq(flushes, 1);
    cr_assert_eq(ops->fdatasync(disk, file), KVR_OK, "with nothing to flush");
    write_fill(file, 'y', 10, 0);
    cr_assert_eq(ops->fdatasync(disk, file), KVR_OK);
    cr_assert_eq(kvr_sim_disk_get_sector(disk, "a", 600, bytes, &flushes), KVR_OK);
    cr_assert_eq(flushes, 2);
    cr_assert_eq(kvr_sim_disk_get_sector(disk, "a", 0, bytes, &flushes), KVR_OK);
    cr_assert_eq(flushes, 1);

    memset(bytes, 'z', sizeof bytes);
    cr_assert_eq(kvr_sim_disk_set_sector(disk, "a", 1099, bytes), KVR_OK);

    kvr_sim_disk_crash(disk);
    file = open_file("a");
    cr_assert_eq(length_of(file), 1100);
    cr_assert_eq(read_some(file, bytes, 3, 1023), 3);
    cr_assert_eq(memcmp(bytes, "xzz", 3), 0);
    cr_assert_eq(kvr_sim_disk_get_sector(disk, "a", 1100, bytes, &flushes), KVR_ENOTFOUND);
    cr_assert_eq(kvr_sim_disk_set_sector(disk, "b", 0, bytes), KVR_ENOTFOUND);
    cr_assert_str_eq(kvr_sim_disk_file(disk, 0, &size), "a");
    cr_assert_eq(size, 1100);
    cr_assert_null(kvr_sim_disk_file(disk, 1, &size));
}

Test(sim_disk, sectors_rot_for_good)
{
    uint64_t file = open_file("a");
    write_fill(file, 'x', 8192, 0);
    cr_assert_eq(ops->fdatasync(disk, file), KVR_OK);
    faults.rot_flip_ppm = 1000000;
    kvr_sim_disk_set_faults(disk, &faults);
    cr_assert_eq(differing_sectors(file, 'x'), 16);
    faults.rot_flip_ppm = 0;
    kvr_sim_disk_set_faults(disk, &faults);
    cr_assert_eq(differing_sectors(file, 'x'), 16);

    faults.rot_zero_ppm = 1000000;
    kvr_sim_disk_set_faults(disk, &faults);
    cr_assert_eq(differing_sectors(file, 0), 0);
}

Test(sim_disk, writes_are_lost_and_misdirected_at_the_flush)
{
    uint64_t file = open_file("a");
    write_fill(file, 'x', 8192, 0);
    cr_assert_eq(ops->fdatasync(disk, file), KVR_OK);
    faults.rot_stale_ppm = 1000000;
    kvr_sim_disk_set_faults(disk, &faults);
    write_fill(file, 'y', 512, 1024);
    cr_assert_eq(ops->fdatasync(disk, file), KVR_OK);
    cr_assert_eq(differing_sectors(file, 'x'), 0);

    faults.rot_stale_ppm = 0;
    faults.misdirect_ppm = 1000000;
    kvr_sim_disk_set_faults(disk, &faults);
    write_fill(file, 'z', 1024, 2048);
    cr_assert_eq(ops->fdatasync(disk, file), KVR_OK);
    cr_assert(differing_sectors(file, 'x') >= 3);
}

Test(sim_disk, a_bit_is_flipped_where_it_is_asked_for)
{
    uint8_t bytes[4];
    uint64_t file = open_file("a");
    write_text(file, "abcd", 0);

    cr_assert_eq(kvr_sim_disk_flip(disk, "none", 0, 0), KVR_ENOTFOUND);
    cr_assert_eq(kvr_sim_disk_flip(disk, "a", 4, 0), KVR_ENOTFOUND);
    cr_assert_eq(kvr_sim_disk_flip(disk, "a", 2, 0), KVR_OK);

    cr_assert_eq(read_some(file, bytes, 4, 0), 4);
    cr_assert_arr_eq(bytes, "abbd", 4);
}

/* ------------------------------------------------------------------ memory */

static kvr_status use_it_all(void)
{
    uint64_t file = 0;
    size_t count;
    kvr_slice data = {(const uint8_t *)"0123456789", 10};
    kvr_status status = ops->open(disk, "a", RW_CREATE, &file);
    if (status == KVR_OK) {
        status = ops->pwrite(disk, file, &data, 5000, &count);
    }
    if (status == KVR_OK) {
        status = ops->truncate(disk, file, 2);
    }
    if (status == KVR_OK) {
        status = ops->rename(disk, "a", "b");
    }
    return status == KVR_OK ? ops->unlink(disk, "b") : status;
}

Test(sim_disk, failing_memory_does_no_harm)
{
    kvr_status status = KVR_OK;
    FAULT_SWEEP(
        {
            kvr_sim_disk_free(disk);
            disk = new_disk(1);
        },
        status = use_it_all(),
        {
            cr_assert_eq(status, fault_fired() > 0 ? KVR_ENOMEM : KVR_OK, "%s", fault_text());
            kvr_sim_disk_crash(disk);
        });
}
