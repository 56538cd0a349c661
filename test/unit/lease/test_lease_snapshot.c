/* SPDX-License-Identifier: Apache-2.0 */
/* test_lease_snapshot.c: the lease section of a snapshot (kvraft-snapshot(5)): its bytes are
 * pinned, hostile ones are refused and change nothing, and what a newer writer appended is
 * skipped. */
#include <criterion/criterion.h>

#include <kvraft/lease.h>

#include "base/codec.h"
#include "base/random.h"
#include "support/fault_sweep.h"
#include "support/test_alloc.h"

enum { ROOM = 64 * 1024 };

static test_alloc alloc;
static kvr_lease_book *book;
static uint8_t stream[ROOM];

static void setup(void)
{
    kvr_lease_config config;
    test_alloc_init(&alloc);
    cr_assert_eq(kvr_lease_config_init(&config, sizeof config), KVR_OK);
    config.allocator = &test_alloc_table;
    config.allocator_ctx = &alloc;
    cr_assert_eq(kvr_lease_book_new(&config, &book), KVR_OK);
}

static void teardown(void)
{
    kvr_lease_book_free(book);
    TEST_ALLOC_ASSERT_EMPTY(&alloc);
}

TestSuite(lease_snapshot, .init = setup, .fini = teardown);

static size_t save_all(size_t piece)
{
    kvr_lease_save save;
    size_t total = 0;
    size_t size = 0;
    kvr_status status;
    kvr_lease_save_init(&save, book);
    while ((status = kvr_lease_save_read(&save, book, stream + total, piece, &size)) == KVR_OK) {
        cr_assert_gt(size, 0);
        total += size;
        cr_assert_leq(total + piece, ROOM);
    }
    cr_assert_eq(status, KVR_END);
    return total;
}

/* The status of the first call that did not succeed. */
static kvr_status load(const uint8_t *bytes, size_t size)
{
    kvr_slice all = {bytes, size};
    kvr_status status = kvr_lease_load_begin(book);
    if (status == KVR_OK) {
        status = kvr_lease_load_write(book, &all);
        status = status == KVR_OK ? kvr_lease_load_end(book) : status;
        if (status != KVR_OK) {
            cr_assert_eq(kvr_lease_load_write(book, &all), KVR_ESTATE);
            cr_assert_eq(kvr_lease_load_end(book), KVR_ESTATE);
        }
        kvr_lease_load_abort(book);
    }
    return status;
}

static void grant(int64_t id, uint64_t ttl_ns, uint64_t recorded_ns)
{
    cr_assert_eq(kvr_lease_grant(book, id, ttl_ns, 9), KVR_OK);
    cr_assert_eq(kvr_lease_record(book, id, 9, recorded_ns), KVR_OK);
}

static kvr_lease_status status_now(void)
{
    kvr_lease_status status = {.size = sizeof status};
    kvr_lease_get_status(book, &status);
    return status;
}

Test(lease_snapshot, its_bytes_are_pinned)
{
    grant(2, 0x1122, 0);
    grant(-1, 3, 0x55);

    cr_assert_eq(save_all(64), 88);
    /* header size, version, lease size, count; the hash is looked at alone; the leases by id */
    static const uint8_t expected[88] = {
        [0] = 24,    [2] = 1,  [4] = 32, [8] = 2, /* header */
        [24] = 0xff, 0xff,     0xff,     0xff,        0xff, 0xff,     0xff, 0xff, [32] = 3, /* -1 */
        [40] = 0x55, [48] = 9, [56] = 2, [64] = 0x22, 0x11, [80] = 9,                       /* 2 */
    };
    uint64_t hash = kvr__load_u64(stream + 16);
    cr_assert_eq(hash, status_now().hash);
    cr_assert_eq(hash, 0x1dc0b1c000540cfeu);
    kvr__store_u64(stream + 16, 0);
    cr_assert_arr_eq(stream, expected, sizeof expected);
}

Test(lease_snapshot, an_empty_book_is_a_header)
{
    cr_assert_eq(save_all(64), 24);
    grant(1, 1, 0);
    cr_assert_eq(load(stream, 24), KVR_OK);
    cr_assert_eq(status_now().leases, 0);
    cr_assert_not(kvr_lease_exists(book, 1));
}

Test(lease_snapshot, a_load_makes_a_follower)
{
    grant(7, 100, 30);
    size_t size = save_all(64);
    kvr_lease_lead(book, 50);
    cr_assert_eq(load(stream, size), KVR_OK);

    cr_assert_eq(kvr_lease_deadline(book), UINT64_MAX);
    kvr_lease_lead(book, 60); /* and it may lead, without asking for memory */
    int64_t id = 0;
    cr_assert_eq(kvr_lease_due(book, 130, &id, 1), 1);
    cr_assert_eq(id, 7);
}

Test(lease_snapshot, a_book_that_changed_meanwhile_is_not_saved_half)
{
    kvr_lease_save save;
    size_t size = 77;
    uint8_t room[64];
    for (int64_t id = 1; id < 20; id++) {
        grant(id, 5, 0);
    }
    kvr_lease_save_init(&save, book);
    cr_assert_eq(kvr_lease_save_read(&save, book, room, 63, &size), KVR_EINVAL);
    cr_assert_eq(kvr_lease_save_read(&save, book, room, 64, &size), KVR_OK);
    cr_assert_eq(kvr_lease_revoke(book, 19), KVR_OK);

    size = 77;
    cr_assert_eq(kvr_lease_save_read(&save, book, room, 64, &size), KVR_ESTATE);
    cr_assert_eq(size, 77);
}

Test(lease_snapshot, calls_out_of_turn_are_refused)
{
    kvr_slice bytes = {stream, 0};
    cr_assert_eq(kvr_lease_load_write(book, &bytes), KVR_ESTATE);
    cr_assert_eq(kvr_lease_load_end(book), KVR_ESTATE);
    kvr_lease_load_abort(book);
    cr_assert_eq(kvr_lease_load_begin(book), KVR_OK);
    cr_assert_eq(kvr_lease_load_begin(book), KVR_ESTATE);
    grant(1, 5, 0); /* the old content may be used and changed, it goes at the end */
    kvr_lease_load_abort(book);
    cr_assert(kvr_lease_exists(book, 1));
}

Test(lease_snapshot, what_a_newer_writer_appended_is_skipped)
{
    uint8_t bytes[28 + 2 * 35];
    memset(bytes, 0xEE, sizeof bytes);
    grant(4, 5, 60);
    grant(9, 5, 0);
    cr_assert_eq(save_all(ROOM / 2), 88);
    memcpy(bytes, stream, 24);
    memcpy(bytes + 28, stream + 24, 32);
    memcpy(bytes + 28 + 35, stream + 56, 32);
    bytes[0] = 28;
    bytes[4] = 35;

    uint64_t hash = status_now().hash;
    cr_assert_eq(kvr_lease_revoke(book, 4), KVR_OK);
    cr_assert_eq(load(bytes, sizeof bytes), KVR_OK);
    cr_assert_eq(status_now().hash, hash);
    cr_assert_eq(load(bytes, sizeof bytes - 1), KVR_ECORRUPT);
}

Test(lease_snapshot, each_kind_of_damage_is_refused_and_changes_nothing)
{
    static const struct {
        size_t at;
        uint64_t value; /* 8 bytes from there */
        kvr_status status;
    } damages[] = {
        {0, 0x0000002000010017, KVR_ECORRUPT},   /* header too small */
        {0, 0x0000002000000018, KVR_ECORRUPT},   /* version 0 */
        {0, 0x0000002000020018, KVR_EVERSION},   /* a newer version */
        {0, 0x0000001f00010018, KVR_ECORRUPT},   /* leases too small */
        {0, 0xffffffff00010018, KVR_ECORRUPT},   /* leases too large */
        {8, 3, KVR_ECORRUPT},                    /* fewer than announced */
        {8, 1, KVR_ECORRUPT},                    /* more */
        {8, UINT64_MAX, KVR_ECORRUPT},           /* more than there can be */
        {16, 5, KVR_ECORRUPT},                   /* another hash */
        {24, 0, KVR_ECORRUPT},                   /* id 0 */
        {24, 9, KVR_ECORRUPT},                   /* not ascending */
        {24, 10, KVR_ECORRUPT},                  /* descending */
        {32, 0, KVR_ECORRUPT},                   /* TTL 0 */
        {32, 9000000000000000001, KVR_ECORRUPT}, /* TTL too long */
        {40, 61, KVR_ECORRUPT},                  /* another record: the hash tells */
        {48, 8, KVR_ECORRUPT},                   /* another grant: the hash tells */
    };
    grant(4, 5, 60);
    grant(9, 5, 0);
    cr_assert_eq(save_all(ROOM / 2), 88);
    uint64_t hash = status_now().hash;

    for (size_t i = 0; i < sizeof damages / sizeof damages[0]; i++) {
        uint8_t bytes[88];
        memcpy(bytes, stream, sizeof bytes);
        kvr__store_u64(bytes + damages[i].at, damages[i].value);
        cr_assert_eq(load(bytes, sizeof bytes), damages[i].status, "damage %zu", i);
        cr_assert_eq(status_now().hash, hash);
    }
    for (size_t size = 0; size < 88; size++) {
        cr_assert_eq(load(stream, size), KVR_ECORRUPT, "cut at %zu", size);
    }
    cr_assert_eq(load(stream, 88), KVR_OK);
    cr_assert_eq(status_now().hash, hash);
}

Test(lease_snapshot, random_bytes_never_do_harm)
{
    enum { ROUNDS = 20000 };
    kvr__random random;
    kvr__random_init(&random, 4);
    for (int64_t id = 1; id <= 40; id++) {
        grant(id * 3, 5, 0);
    }
    size_t size = save_all(ROOM / 2);
    uint64_t hash = status_now().hash;
    uint8_t bytes[2000];
    uint32_t passed = 0;
    for (uint32_t round = 0; round < ROUNDS; round++) {
        memcpy(bytes, stream, size);
        for (uint64_t flips = 1 + kvr__random_below(&random, 3); flips > 0; flips--) {
            bytes[kvr__random_below(&random, size)] ^=
                (uint8_t)(1 << kvr__random_below(&random, 8));
        }
        size_t cut = kvr__random_below(&random, 8) == 0 ? kvr__random_below(&random, size) : size;
        passed += load(bytes, cut) == KVR_OK;
        cr_assert_eq(status_now().hash, hash);
    }
    cr_assert_lt(passed, ROUNDS / 100); /* two flips of one bit undo each other */
}

Test(lease_snapshot, a_load_without_memory_keeps_the_old_content)
{
    for (int64_t id = 1; id <= 300; id++) {
        grant(id, 5, 0);
    }
    size_t size = save_all(ROOM / 2);
    kvr_status status = KVR_OK;
    FAULT_SWEEP(
        {
            teardown();
            setup();
            grant(77, 5, 0);
        },
        status = load(stream, size),
        {
            cr_assert(status == KVR_OK || status == KVR_ENOMEM, "%s", fault_text());
            cr_assert_eq(status == KVR_OK, fault_fired() == 0);
            cr_assert_eq(status_now().leases, status == KVR_OK ? 300 : 1);
        });
}
