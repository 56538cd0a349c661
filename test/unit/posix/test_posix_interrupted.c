/* SPDX-License-Identifier: Apache-2.0 */
/* test_posix_interrupted.c: system calls that signals interrupt, that do a few bytes only, or that
 * fail. The program defines the C library's names itself, so that each can be made to misbehave. */
#ifndef _DEFAULT_SOURCE
#define _DEFAULT_SOURCE /* syscall */
#endif
#include <criterion/criterion.h>
#include <kvraft/posix.h>

#include "posix_place.h"
#include "support/fault_sweep.h"
#include "support/test_alloc.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

/* ------------------------------------------------------------------ the calls */

static bool interrupts; /* every other call ends with EINTR */
static bool is_odd;     /* the next one goes through */
static size_t stutter;  /* 0: off; at most so many bytes a call */
static int fault_errno; /* what a call that fault_hits says */

static bool fails(void)
{
    if (interrupts) {
        is_odd = !is_odd;
        if (is_odd) {
            errno = EINTR;
            return true;
        }
    }
    if (fault_hits(FAULT_DISK)) {
        errno = fault_errno;
        return true;
    }
    return false;
}

static size_t cut(size_t size)
{
    return stutter > 0 && size > stutter ? stutter : size;
}

ssize_t pwrite64(int file, const void *data, size_t size, __off64_t offset)
{
    return fails() ? -1 : syscall(SYS_pwrite64, file, data, cut(size), offset);
}

ssize_t pread64(int file, void *data, size_t size, __off64_t offset)
{
    return fails() ? -1 : syscall(SYS_pread64, file, data, cut(size), offset);
}

int ftruncate64(int file, __off64_t size)
{
    return fails() ? -1 : (int)syscall(SYS_ftruncate, file, size);
}

/* Nothing here depends on what a power failure would leave, so nothing waits for a disk. */
int fdatasync(int file)
{
    (void)file;
    return fails() ? -1 : 0;
}

int fsync(int file)
{
    (void)file;
    return fails() ? -1 : 0;
}

int renameat(int from_place, const char *from, int to_place, const char *to)
{
    return fault_hits(FAULT_DISK) ? (errno = fault_errno, -1)
                                  : (int)syscall(SYS_renameat2, from_place, from, to_place, to, 0);
}

/* ------------------------------------------------------------------ a disk over them */

enum { ENTRIES = 30, COMMAND = 300 };

static test_alloc alloc;
static kvr_posix_disk *disk;
static char path[600];
static uint64_t answered; /* entries that were answered with KVR_OK */

static void setup(void)
{
    test_alloc_init(&alloc);
    alloc.quiet = 1;
    (void)posix_place_enter();
    (void)snprintf(path, sizeof path, "%s", posix_place_path("store"));
}

static void teardown(void)
{
    kvr_posix_disk_free(disk);
    posix_place_leave();
    TEST_ALLOC_ASSERT_EMPTY(&alloc);
}

TestSuite(posix_interrupted, .init = setup, .fini = teardown);

static kvr_status open_disk(void)
{
    kvr_wal_config wal;
    kvr_posix_disk_config config;
    cr_assert_eq(kvr_wal_config_init(&wal, sizeof wal), KVR_OK);
    wal.cluster_id = 1;
    wal.member_id = 1;
    wal.segment_bytes = 4096;
    wal.batch_bytes = 4096;
    wal.read_bytes = 65536;
    wal.allocator = &test_alloc_table;
    wal.allocator_ctx = &alloc;
    cr_assert_eq(kvr_posix_disk_config_init(&config, sizeof config), KVR_OK);
    config.path = path;
    config.wal = &wal;
    config.flags = KVR_POSIX_CREATE | KVR_POSIX_SYNCHRONOUS;
    cr_assert_eq(kvr_posix_disk_new(&config, &disk), KVR_OK);
    return kvr_posix_disk_open(disk);
}

static void close_disk(void)
{
    kvr_posix_disk_free(disk);
    disk = NULL;
}

static kvr_store_result ask(kvr_store_request request)
{
    kvr_store_result result = {.size = sizeof result};
    request.size = sizeof request;
    cr_assert_eq(kvr_posix_disk_storage()->submit(disk, &request, &result), KVR_DONE);
    return result;
}

static kvr_status append(uint64_t index)
{
    uint8_t bytes[512];
    kvr_slice piece = {bytes, posix_place_entry(index, 1, COMMAND, bytes)};
    kvr_status status = ask((kvr_store_request){.kind = KVR_STORE_APPEND,
                                                .first_index = index,
                                                .entry_count = 1,
                                                .pieces = &piece,
                                                .piece_count = 1})
                            .status;
    answered = status == KVR_OK ? index : answered;
    return status;
}

static void work(void)
{
    for (uint64_t index = 1; index <= ENTRIES; index++) {
        if (append(index) != KVR_OK) {
            break;
        }
        kvr_status status = kvr_posix_disk_perform(disk);
        cr_assert(status >= KVR_OK || status == KVR_FSTORAGE, "%s", kvr_status_name(status));
    }
}

/* Opens without faults; every entry that was answered is there, and at most one more. */
static void expect_entries(void)
{
    kvr_status status = open_disk();
    cr_assert_eq(status, KVR_OK, "%s: %s", fault_text(), kvr_posix_disk_error(disk));
    uint64_t last = ask((kvr_store_request){.kind = KVR_STORE_LOAD}).last_index;
    cr_assert(last == answered || last == answered + 1, "%s: %llu of %llu entries", fault_text(),
              (unsigned long long)last, (unsigned long long)answered);
    for (uint64_t index = 1; index <= last; index++) {
        kvr_store_result result = ask((kvr_store_request){
            .kind = KVR_STORE_READ, .first_index = index, .last_index = index, .byte_max = 1});
        uint8_t bytes[512];
        size_t size = posix_place_entry(index, 1, COMMAND, bytes);
        cr_assert_eq(result.status, KVR_OK);
        cr_assert_eq(result.pieces[0].size, size);
        cr_assert_eq(memcmp(result.pieces[0].data, bytes, size), 0);
    }
    close_disk();
}

/* FAULTS 82 */
Test(posix_interrupted, interrupted_and_short_calls_lose_nothing)
{
    interrupts = true;
    stutter = 100;
    cr_assert_eq(open_disk(), KVR_OK, "%s", kvr_posix_disk_error(disk));
    work();
    cr_assert_eq(answered, ENTRIES);
    close_disk();
    expect_entries();
}

static void fresh(void)
{
    close_disk();
    posix_place_leave();
    (void)posix_place_enter();
    (void)snprintf(path, sizeof path, "%s", posix_place_path("store"));
    answered = 0;
}

static void open_and_work(void)
{
    if (open_disk() == KVR_OK) {
        work();
    }
}

/* FAULTS 78, 83, 85: each write, read, flush, truncate and rename of a run on real files fails,
 * once and for ever, in the manners of a broken, a full and a read-only disk. */
Test(posix_interrupted, each_failing_call_loses_nothing_answered)
{
    const int errors[] = {EIO, ENOSPC, EDQUOT, EROFS};
    for (size_t i = 0; i < sizeof errors / sizeof errors[0]; i++) {
        fault_errno = errors[i];
        FAULT_SWEEP_OF(FAULT_DISK, fresh(), open_and_work(), {
            close_disk();
            expect_entries();
        });
    }
}
