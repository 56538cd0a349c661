/* SPDX-License-Identifier: Apache-2.0 */
/* test_wal_faults.c: every file call and every allocation fails once, and for ever, each in turn.
 * After that the store holds what was answered; a handle that could not write makes no claim any
 * more. */
#include <criterion/criterion.h>

#include "support/fault_sweep.h"
#include "wal_world.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static wal_world world;
static wal_world after;
static bool is_many;    /* the store holds other groups too */
static bool has_failed; /* a write failed for good: nothing may be answered with KVR_OK any more */

static void setup(void)
{
    wal_world_init(&world);
    wal_world_init(&after);
}

static void teardown(void)
{
    wal_world_release(&after);
    wal_world_release(&world);
}

TestSuite(wal_faults, .init = setup, .fini = teardown);

static void prepared(uint32_t fault)
{
    wal_world_release(&world);
    wal_world_init(&world);
    if (is_many) {
        wal_world_share(&world);
    }
    wal_world_open(&world);
    cr_assert_eq(wal_world_vote(&world, 1, 2), KVR_OK);
    wal_world_grow(&world, 12, 1);
    wal_world_grow(&world, 12, 1);
    cr_assert_eq(wal_world_snapshot(&world, 15, KVR_SNAPSHOT_LOCAL, 99999), KVR_OK);
    cr_assert_eq(wal_world_discard(&world, 13, false), KVR_OK);
    wal_disk_set_fault(world.disk, fault);
    has_failed = false;
}

/* W8: after a failure every answer is a refusal. */
static kvr_status noted(kvr_status status)
{
    kvr_wal_status now = {.size = sizeof now};
    kvr_wal_get_status(world.wal, &now);
    cr_assert(!has_failed || status != KVR_OK, "%s: answered after it had failed", fault_text());
    if (now.status != KVR_OK) {
        cr_assert(now.status == KVR_FSTORAGE || now.status == KVR_FCORRUPT);
        cr_assert_neq(kvr_wal_error(world.wal)[0], '\0');
        has_failed = true;
    }
    return status;
}

static kvr_status append(uint32_t count)
{
    return noted(wal_world_append(&world, world.model.last + 1, count, 1));
}

/* One of each request, and all the work between them. */
static void work(void)
{
    (void)append(5);
    (void)noted(wal_world_vote(&world, world.model.term + 1, 3));
    (void)append(30);
    (void)noted(wal_world_append(&world, world.model.last, 3, (uint32_t)world.model.term));
    for (uint32_t i = 0; i < 20; i++) {
        (void)noted(kvr_wal_maintain(world.wal));
    }
    if (world.model.last > 20) {
        if (noted(wal_world_snapshot(&world, 20, KVR_SNAPSHOT_LOCAL, 70000)) == KVR_OK) {
            (void)noted(wal_world_discard(&world, 21, false));
        }
    }
    for (uint32_t i = 0; i < 20; i++) {
        (void)noted(kvr_wal_maintain(world.wal));
    }
    (void)append(2);
    (void)noted(kvr_wal_idle(world.wal));
    if (noted(wal_world_snapshot(&world, 100, KVR_SNAPSHOT_RECEIVED, 999)) == KVR_OK) {
        (void)noted(wal_world_discard(&world, 101, true));
        (void)append(1);
    }
}

/* What must hold of the disk that is left, whatever of the unsynced survived. */
static void expect_survival(void)
{
    size_t calls = wal_disk_calls(world.disk);
    for (uint32_t data = WAL_DISK_LOSE; data <= WAL_DISK_MIX; data++) {
        wal_disk_crash crash = {calls, data, data, calls};
        wal_world_use(&after, wal_disk_after(world.disk, &crash));
        kvr_status status = wal_world_try_open(&after);
        cr_assert_eq(status, KVR_OK, "%s, data %u: %s", fault_text(), data,
                     kvr_wal_error(after.wal));
        const char *what = wal_world_survived(&after, &world, calls);
        cr_assert_null(what, "%s, data %u: %s", fault_text(), data, what);
        wal_world_kill(&after);
    }
}

static void share_all(void)
{
    is_many = true;
    wal_world_share(&after);
}

static void fail_each_file_call(void)
{
    const uint32_t faults[] = {WAL_DISK_EIO, WAL_DISK_FLUSH_LOSES, WAL_DISK_FLUSH_CLEANS,
                               WAL_DISK_UNKNOWN, WAL_DISK_SHORT};
    for (size_t i = 0; i < sizeof faults / sizeof faults[0]; i++) {
        FAULT_SWEEP_OF(FAULT_DISK, prepared(faults[i]), work(), {
            wal_world_kill(&world);
            expect_survival();
        });
    }
}

/* FAULTS 78: a failed flush is final, in three manners of failing; 83: and so is every other failed
 * write but one that found no room. */
Test(wal_faults, every_failed_file_call_is_survived)
{
    fail_each_file_call();
}

/* The same of a store of many groups: a flush that fails is the failure of all of them. */
Test(wal_faults, every_failed_file_call_is_survived_by_many_groups)
{
    share_all();
    fail_each_file_call();
}

/* FAULTS 78: after a flush that lost what it should have written, its record is not claimed, then
 * or later. */
Test(wal_faults, a_failed_flush_is_never_asked_again)
{
    wal_world_open(&world);
    wal_world_grow(&world, 3, 1);
    wal_disk_set_fault(world.disk, WAL_DISK_FLUSH_LOSES);
    fault_arm(FAULT_DISK, 2, false); /* one write, then the flush */
    cr_assert_eq(wal_world_append(&world, 4, 2, 1), KVR_EIO);
    fault_disarm();
    cr_assert_eq(fault_fired(), 1);
    cr_assert_eq(wal_world_append(&world, 4, 2, 1), KVR_EIO, "a second try");
    cr_assert_eq(wal_world_vote(&world, 5, 1), KVR_EIO);
    cr_assert_eq(kvr_wal_maintain(world.wal), KVR_FSTORAGE);
    cr_assert_eq(kvr_wal_idle(world.wal), KVR_FSTORAGE);
    cr_assert_eq(kvr_wal_close(world.wal), KVR_ESTATE);
    wal_world_kill(&world);
    wal_world_open(&world);
    wal_world_check(&world);
}

static uint64_t last_of(wal_world *of, uint64_t *out_term)
{
    kvr_store_result result;
    cr_assert_eq(wal_world_ask(of, &(kvr_store_request){.kind = KVR_STORE_LOAD}, &result), KVR_OK);
    *out_term = result.term;
    return result.last_index;
}

/* FAULTS 78: the process ends after a flush failed, the next one reads from the page cache what the
 * disk does not hold: what open then tells must be durable first. */
Test(wal_faults, what_open_tells_is_durable)
{
    for (uint32_t is_vote = 0; is_vote < 2; is_vote++) {
        wal_world_release(&world);
        wal_world_init(&world);
        wal_world_open(&world);
        wal_world_grow(&world, 3, 1);
        wal_disk_set_fault(world.disk, WAL_DISK_FLUSH_CLEANS);
        fault_arm(FAULT_DISK, is_vote ? 3 : 2, false); /* the flush */
        kvr_status status = is_vote ? wal_world_vote(&world, 5, 1) : append(2);
        fault_disarm();
        cr_assert_eq(status, KVR_EIO);
        wal_world_kill(&world);
        wal_world_open(&world);
        uint64_t term, term_after, last = last_of(&world, &term);
        wal_world_kill(&world);
        wal_disk_crash crash = {wal_disk_calls(world.disk), WAL_DISK_LOSE, WAL_DISK_LOSE, 1};
        wal_world_use(&world, wal_disk_after(world.disk, &crash));
        wal_world_open(&world);
        cr_assert_eq(last_of(&world, &term_after), last);
        cr_assert_eq(term_after, term);
        has_failed = false;
    }
}

static void refuse_room_at_each_call(void)
{
    FAULT_SWEEP_OF(FAULT_DISK, prepared(WAL_DISK_ENOSPACE), work(), {
        if (!has_failed) {
            kvr_status status = kvr_wal_maintain(world.wal);
            cr_assert(status == KVR_OK || status == KVR_AGAIN, "%s: %s", fault_text(),
                      kvr_status_name(status));
            if (world.model.snapshot_index > world.model.last) {
                cr_assert_eq(wal_world_discard(&world, 101, true), KVR_OK);
            }
            const char *what = wal_world_differs(&world, &world.model);
            cr_assert_null(what, "%s: %s", fault_text(), what);
            cr_assert_eq(append(2), KVR_OK, "%s: %s", fault_text(), kvr_wal_error(world.wal));
            what = wal_world_differs(&world, &world.model);
            cr_assert_null(what, "%s, then room: %s", fault_text(), what);
        }
        wal_world_kill(&world);
        expect_survival();
    });
}

/* FAULTS 83: no room at each call; then there is some again, and the same handle goes on. */
Test(wal_faults, no_room_at_any_call_changes_nothing)
{
    refuse_room_at_each_call();
}

Test(wal_faults, no_room_at_any_call_changes_nothing_of_many_groups)
{
    share_all();
    refuse_room_at_each_call();
}

/* FAULTS 83: a disk that fills up, and is cleared. What follows a refused append is refused too, in
 * order. */
Test(wal_faults, a_full_disk_refuses_and_resumes)
{
    wal_world_open(&world);
    wal_disk_set_room(world.disk, 20000);
    kvr_status status = KVR_OK;
    while (status == KVR_OK) {
        status = wal_world_append(&world, world.model.last + 1, 3, 1);
    }
    cr_assert_eq(status, KVR_ENOSPACE);
    uint64_t last = world.model.last;
    cr_assert_eq(wal_world_append(&world, last + 4, 1, 1), KVR_ENOSPACE, "it leaves a gap");
    cr_assert_not_null(strstr(kvr_wal_error(world.wal), "found no room"));
    cr_assert_eq(wal_world_vote(&world, 7, 1), KVR_OK, "a vote needs no room");
    wal_world_check(&world);
    wal_disk_set_room(world.disk, UINT64_MAX);
    wal_world_grow(&world, 3, 1);
    cr_assert_eq(wal_world_append(&world, world.model.last + 2, 1, 1), KVR_EINVAL);
    wal_world_check(&world);
    wal_world_kill(&world);
    wal_world_open(&world);
    wal_world_check(&world);
}

/* FAULTS 83: what a write that found no room left behind must never pass for the beginning of the
 * next one: it is written under a new segment id. */
Test(wal_faults, after_a_write_without_room_the_segment_id_changes)
{
    wal_world_open(&world);
    wal_world_grow(&world, 2, 1);
    wal_disk_set_fault(world.disk, WAL_DISK_ENOSPACE);
    fault_arm(FAULT_DISK, 1, false);
    cr_assert_eq(append(2), KVR_ENOSPACE);
    fault_disarm();
    cr_assert_eq(append(1), KVR_OK);
    size_t size, heads = 0;
    const uint8_t *bytes = wal_disk_bytes(world.disk, wal_world_file(&world, "wal-", false), &size);
    for (size_t at = 0; at < size; at += 8) {
        heads += memcmp(bytes + at, "KVRS", 4) == 0;
    }
    cr_assert_eq(heads, 2);
    wal_world_check(&world);
}

/* FAULTS 85: a read that fails in open changes nothing and says where; the next open succeeds. */
Test(wal_faults, an_open_that_fails_leaves_the_store_as_it_was)
{
    const uint32_t faults[] = {WAL_DISK_EIO, WAL_DISK_ENOSPACE, WAL_DISK_SHORT};
    kvr_status status = KVR_OK;
    for (size_t i = 0; i < sizeof faults / sizeof faults[0]; i++) {
        FAULT_SWEEP_OF(
            FAULT_DISK,
            {
                prepared(faults[i]);
                wal_world_kill(&world);
            },
            status = wal_world_try_open(&world),
            {
                if (status != KVR_OK) {
                    cr_assert_neq(fault_fired(), 0);
                    cr_assert_neq(kvr_wal_error(world.wal)[0], '\0', "%s", fault_text());
                    cr_assert_eq(kvr_wal_idle(world.wal), KVR_ESTATE);
                }
                wal_world_kill(&world);
                expect_survival();
                wal_world_open(&world);
                wal_world_check(&world);
            });
    }
}

/* Making a store, interrupted anywhere, can be done again. */
Test(wal_faults, a_store_that_was_half_made_is_made_again)
{
    kvr_status status = KVR_OK;
    FAULT_SWEEP_OF(
        FAULT_DISK,
        {
            wal_world_release(&world);
            wal_world_init(&world);
        },
        status = wal_world_try_open(&world),
        {
            cr_assert(status == KVR_OK || fault_fired() > 0);
            wal_world_kill(&world);
            expect_survival();
            wal_world_open(&world);
            wal_world_grow(&world, 2, 1);
            wal_world_check(&world);
        });
}

/* FAULTS 82: calls that do a few bytes at a time. */
Test(wal_faults, short_counts_are_continued)
{
    for (size_t bytes = 1; bytes < 200; bytes = bytes * 3 + 1) {
        prepared(WAL_DISK_EIO);
        wal_disk_set_stutter(world.disk, bytes);
        work();
        wal_world_check(&world);
        wal_world_close(&world);
        wal_world_open(&world);
        wal_world_check(&world);
    }
}

/* ------------------------------------------------------------------ memory */

static void work_and_open_again(void)
{
    work();
    kvr_store_result result;
    (void)wal_world_ask(&world, &(kvr_store_request){.kind = KVR_STORE_LOAD}, &result);
    (void)wal_world_ask(&world,
                        &(kvr_store_request){.kind = KVR_STORE_READ,
                                             .first_index = world.model.first,
                                             .last_index = world.model.last,
                                             .byte_max = 5000},
                        &result);
    (void)wal_world_ask(
        &world, &(kvr_store_request){.kind = KVR_STORE_SNAPSHOT_READ, .byte_max = 99999}, &result);
}

static void fail_each_allocation(void)
{
    FAULT_SWEEP(prepared(WAL_DISK_EIO), work_and_open_again(), {
        cr_assert_not(has_failed, "%s: %s", fault_text(), kvr_wal_error(world.wal));
        const char *what = wal_world_differs(&world, &world.model);
        cr_assert_null(what, "%s: %s", fault_text(), what);
        cr_assert_eq(append(1), KVR_OK);
        wal_world_kill(&world);
        expect_survival();
    });
}

/* No allocation that fails, anywhere, fails the handle: it is answered as if there were no room. */
Test(wal_faults, every_failed_allocation_is_survived)
{
    fail_each_allocation();
}

Test(wal_faults, every_failed_allocation_is_survived_by_many_groups)
{
    share_all();
    fail_each_allocation();
}

Test(wal_faults, open_without_memory_leaves_the_store_as_it_was)
{
    kvr_status status = KVR_OK;
    FAULT_SWEEP(
        {
            prepared(WAL_DISK_EIO);
            wal_world_kill(&world);
        },
        status = wal_world_try_open(&world),
        {
            cr_assert(status == (fault_fired() == 0 ? KVR_OK : KVR_ENOMEM), "%s: %s", fault_text(),
                      kvr_status_name(status));
            wal_world_kill(&world);
            wal_world_open(&world);
            wal_world_check(&world);
        });
}
