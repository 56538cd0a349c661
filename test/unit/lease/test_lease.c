/* SPDX-License-Identifier: Apache-2.0 */
/* test_lease.c: what a book promises, claim by claim (etcd contract: "Lease"; FAULTS 98, 120 to
 * 128), with times of a few nanoseconds, since the book does not care. */
#include <criterion/criterion.h>

#include <kvraft/lease.h>

#include "support/fault_sweep.h"
#include "support/test_alloc.h"

#include <string.h>

static test_alloc alloc;
static kvr_lease_book *book;

static void new_book(void)
{
    kvr_lease_config config;
    test_alloc_init(&alloc);
    cr_assert_eq(kvr_lease_config_init(&config, sizeof config), KVR_OK);
    config.allocator = &test_alloc_table;
    config.allocator_ctx = &alloc;
    cr_assert_eq(kvr_lease_book_new(&config, &book), KVR_OK);
}

static void free_book(void)
{
    kvr_lease_book_free(book);
    TEST_ALLOC_ASSERT_EMPTY(&alloc);
}

TestSuite(lease, .init = new_book, .fini = free_book);

static void grant(int64_t id, uint64_t ttl_ns, uint64_t now_ns)
{
    cr_assert_eq(kvr_lease_grant(book, id, ttl_ns, now_ns), KVR_OK);
}

/* The one lease that is due, 0: none. */
static int64_t due(uint64_t now_ns)
{
    int64_t ids[2] = {0, 0};
    cr_assert_leq(kvr_lease_due(book, now_ns, ids, 2), 1);
    return ids[0];
}

/* The one laggard, 0: none. */
static int64_t laggard(uint64_t now_ns, uint64_t *out_renewed_ns)
{
    kvr_lease_laggard found[2] = {{0, 0, 0}, {0, 0, 0}};
    cr_assert_leq(kvr_lease_laggards(book, now_ns, found, 2), 1);
    *out_renewed_ns = found[0].renewed_ns;
    return found[0].id;
}

/* True if the renewal must be logged before it is answered. */
static bool renew(int64_t id, uint64_t now_ns)
{
    uint64_t ttl_ns = 0;
    uint8_t must_record = 2;
    cr_assert_eq(kvr_lease_keep_alive(book, id, now_ns, &ttl_ns, &must_record), KVR_OK);
    cr_assert_gt(ttl_ns, 0);
    cr_assert_leq(must_record, 1);
    return must_record == 1;
}

static kvr_status renewed(int64_t id, uint64_t now_ns)
{
    uint64_t ttl_ns = 7;
    uint8_t must_record = 7;
    kvr_status status = kvr_lease_keep_alive(book, id, now_ns, &ttl_ns, &must_record);
    if (status != KVR_OK) { /* an output is written only on KVR_OK */
        cr_assert(ttl_ns == 7 && must_record == 7);
    }
    return status;
}

/* ------------------------------------------------------------------ replicated */

Test(lease, ids_may_be_anything_but_zero)
{
    /* FAULTS 98: negative ids diverged. L6: an id in use is not given twice. */
    const int64_t ids[] = {1, -1, INT64_MIN, INT64_MAX, 42};

    cr_assert_eq(kvr_lease_grant(book, 0, 5, 0), KVR_EINVAL);
    for (size_t i = 0; i < sizeof ids / sizeof ids[0]; i++) {
        grant(ids[i], 5, 0);
        cr_assert_eq(kvr_lease_grant(book, ids[i], 5, 0), KVR_EEXIST);
        cr_assert(kvr_lease_exists(book, ids[i]));
    }

    int64_t listed[8];
    cr_assert_eq(kvr_lease_list(book, INT64_MIN, true, listed, 8), 5);
    cr_assert_eq(listed[0], INT64_MIN);
    cr_assert_eq(listed[1], -1);
    cr_assert_eq(listed[4], INT64_MAX);
    cr_assert_eq(kvr_lease_list(book, INT64_MIN, false, listed, 8), 4);
    cr_assert_eq(kvr_lease_list(book, INT64_MAX, false, listed, 8), 0);
    cr_assert_eq(kvr_lease_list(book, 1, true, listed, 2), 2);
    cr_assert_eq(listed[0], 1);
}

Test(lease, ttls_are_bounded_and_their_sums_end_at_the_end_of_time)
{
    /* FAULTS 126: a TTL overflowed. */
    uint64_t max = kvr_lease_ttl_ns_max();
    kvr_lease_info info;

    cr_assert_eq(max, 9000000000000000000u); /* 9e9 seconds, etcd's bound */
    cr_assert_eq(kvr_lease_grant(book, 1, 0, 0), KVR_EINVAL);
    cr_assert_eq(kvr_lease_grant(book, 1, max + 1, 0), KVR_EINVAL);
    cr_assert_eq(kvr_lease_grant(book, 1, UINT64_MAX, 0), KVR_EINVAL);
    kvr_lease_lead(book, 0);
    grant(1, max, UINT64_MAX - 10);
    grant(2, kvr_lease_ttl_ns_min(), UINT64_MAX - 10);

    cr_assert_eq(kvr_lease_get(book, 1, UINT64_MAX - 10, &info), KVR_OK);
    cr_assert_eq(info.remaining_ns, 10);
    cr_assert_eq(due(UINT64_MAX - 9), 2);
    cr_assert_eq(due(UINT64_MAX - 1), 0);
    cr_assert_eq(renewed(1, UINT64_MAX - 1), KVR_OK);
}

Test(lease, the_hash_tells_what_is_replicated_and_nothing_else)
{
    kvr_lease_status before = {.size = sizeof before};
    kvr_lease_status after = {.size = sizeof after};
    grant(1, 10, 0);
    grant(2, 10, 0);
    kvr_lease_get_status(book, &before);

    kvr_lease_lead(book, 100); /* what a leader does alone does not show */
    (void)renew(1, 103);
    int64_t ids[2];
    (void)kvr_lease_due(book, 1000, ids, 2);
    kvr_lease_get_status(book, &after);
    cr_assert_eq(after.hash, before.hash);

    cr_assert_eq(kvr_lease_record(book, 1, 0, 50), KVR_OK);
    kvr_lease_get_status(book, &after);
    cr_assert_neq(after.hash, before.hash);
    cr_assert_eq(kvr_lease_record(book, 1, 0, 0), KVR_OK);
    kvr_lease_get_status(book, &after);
    cr_assert_eq(after.hash, before.hash);

    cr_assert_eq(kvr_lease_revoke(book, 1), KVR_OK);
    cr_assert_eq(kvr_lease_revoke(book, 2), KVR_OK);
    grant(2, 10, 0); /* in another order */
    grant(1, 10, 0);
    kvr_lease_get_status(book, &after);
    cr_assert_eq(after.hash, before.hash);
    cr_assert_eq(after.leases, 2);
}

Test(lease, a_follower_pays_for_no_grant_that_was_revoked)
{
    /* FAULTS 128: a follower leaked memory with each grant. */
    kvr_lease_status status = {.size = sizeof status};
    for (int64_t id = 1; id <= 1000; id++) {
        grant(id, 10, 0);
    }
    kvr_lease_get_status(book, &status);
    uint64_t peak = status.memory_bytes;

    for (int64_t round = 1; round <= 50; round++) {
        for (int64_t id = 1; id <= 1000; id++) {
            cr_assert_eq(kvr_lease_revoke(book, (round - 1) * 7919 + id), KVR_OK);
            grant(round * 7919 + id, 10, 0);
        }
    }

    kvr_lease_get_status(book, &status);
    cr_assert_leq(status.memory_bytes, peak + peak / 2);
}

Test(lease, what_is_not_there_is_said_to_be_so)
{
    kvr_lease_info info;
    kvr_lease_lead(book, 0);
    cr_assert_eq(kvr_lease_revoke(book, 1), KVR_ENOTFOUND);
    cr_assert_eq(kvr_lease_record(book, 1, 0, 5), KVR_ENOTFOUND);
    cr_assert_eq(kvr_lease_get(book, 1, 5, &info), KVR_ENOTFOUND);
    cr_assert_eq(renewed(1, 5), KVR_ENOTFOUND);
    cr_assert_not(kvr_lease_exists(book, 1));
    kvr_lease_retry(book, 1);
    cr_assert_eq(kvr_lease_deadline(book), UINT64_MAX);
}

/* ------------------------------------------------------------------ the leader counts time */

Test(lease, a_lease_is_due_at_its_ttl_and_never_before)
{
    /* L2 */
    kvr_lease_lead(book, 100);
    grant(1, 10, 100);

    cr_assert_eq(due(109), 0);
    cr_assert_eq(renewed(1, 109), KVR_OK);
    cr_assert_eq(due(118), 0);
    cr_assert_eq(due(119), 1);
    cr_assert_eq(due(1000), 0); /* named once: it is revoked once */
}

Test(lease, a_follower_counts_nothing)
{
    /* FAULTS 123: expiry went on after stepping down. */
    uint64_t when;
    kvr_lease_lead(book, 0);
    grant(1, 10, 0);
    kvr_lease_follow(book);

    cr_assert_eq(due(1000), 0);
    cr_assert_eq(laggard(1000, &when), 0);
    cr_assert_eq(renewed(1, 5), KVR_ENOLEADER);
    cr_assert_eq(kvr_lease_deadline(book), UINT64_MAX);
    kvr_lease_info info;
    cr_assert_eq(kvr_lease_get(book, 1, 5, &info), KVR_OK);
    cr_assert_eq(info.remaining_ns, 0);
    cr_assert_eq(info.ttl_ns, 10);
}

Test(lease, a_clock_that_jumps_back_shortens_nothing)
{
    /* FAULTS 120 */
    kvr_lease_lead(book, 100);
    grant(1, 10, 100);
    cr_assert_eq(renewed(1, 105), KVR_OK);
    cr_assert_eq(renewed(1, 50), KVR_OK);

    cr_assert_eq(due(114), 0);
    cr_assert_eq(due(115), 1);
    cr_assert_eq(due(50), 0);
    cr_assert_eq(renewed(1, 50), KVR_ETIMEDOUT); /* its revocation is under way */
}

Test(lease, no_renewal_succeeds_when_the_time_is_up)
{
    /* FAULTS 124, L5: a renewal was answered well although the lease was on its way out. */
    kvr_lease_lead(book, 0);
    grant(1, 10, 0);
    cr_assert_eq(renewed(1, 10), KVR_ETIMEDOUT); /* due, though nobody has asked yet */
    cr_assert_eq(due(10), 1);
    cr_assert_eq(renewed(1, 9), KVR_ETIMEDOUT);
    kvr_lease_retry(book, 1); /* the revocation was refused */
    cr_assert_eq(renewed(1, 11), KVR_ETIMEDOUT);
    cr_assert_eq(due(11), 1);
    cr_assert_eq(kvr_lease_revoke(book, 1), KVR_OK);
    cr_assert_eq(renewed(1, 12), KVR_ENOTFOUND);
    kvr_lease_retry(book, 1);
    cr_assert_eq(due(12), 0);
}

Test(lease, the_soonest_is_named_first_and_equals_go_by_id)
{
    int64_t ids[8];
    kvr_lease_lead(book, 0);
    grant(5, 10, 0);
    grant(3, 20, 0);
    grant(-4, 10, 0);
    grant(9, 5, 0);
    (void)renew(9, 4);

    cr_assert_eq(kvr_lease_due(book, 100, ids, 3), 3);
    cr_assert(ids[0] == 9 && ids[1] == -4 && ids[2] == 5);
    cr_assert_eq(kvr_lease_due(book, 100, ids, 8), 1);
    cr_assert_eq(ids[0], 3);
}

Test(lease, the_deadline_is_never_late)
{
    uint64_t when;
    kvr_lease_lead(book, 0);
    cr_assert_eq(kvr_lease_deadline(book), UINT64_MAX);
    grant(1, 10, 0);
    cr_assert_eq(kvr_lease_deadline(book), 5); /* a laggard then */
    cr_assert_eq(renewed(1, 4), KVR_OK);
    cr_assert_leq(kvr_lease_deadline(book), 9);

    cr_assert_eq(laggard(5, &when), 0); /* woken for nothing: the renewal moved it */
    cr_assert_eq(kvr_lease_deadline(book), 9);
    cr_assert_eq(laggard(9, &when), 1);
    cr_assert_leq(kvr_lease_deadline(book), 14);
    cr_assert_eq(due(13), 0);
    cr_assert_eq(kvr_lease_deadline(book), 14);
    cr_assert_eq(due(14), 1);
    cr_assert_eq(kvr_lease_deadline(book), UINT64_MAX);
}

Test(lease, many_that_are_due_at_once_are_named_in_bounded_pieces)
{
    enum { LEASES = 5000, PIECE = 16 };
    kvr_lease_lead(book, 0);
    for (int64_t id = 1; id <= LEASES; id++) {
        grant(id, 100, 0);
        (void)renew(id, 50); /* so each key in the heap is late, and must be looked at */
    }
    uint32_t named = 0;
    uint32_t calls = 0;
    while (kvr_lease_deadline(book) <= 100 && calls < LEASES) {
        int64_t ids[PIECE];
        kvr_lease_laggard laggards[PIECE];
        cr_assert_eq(kvr_lease_due(book, 100, ids, PIECE), 0);
        named += kvr_lease_laggards(book, 100, laggards, PIECE);
        calls++;
    }
    cr_assert_eq(named, LEASES);

    for (calls = 0; kvr_lease_deadline(book) <= 150 && calls < LEASES; calls++) {
        int64_t ids[PIECE];
        named -= kvr_lease_due(book, 150, ids, PIECE);
    }
    cr_assert_eq(named, 0);
    cr_assert_geq(calls, LEASES / PIECE);
}

/* ------------------------------------------------------------------ a new leader */

Test(lease, a_new_leader_gives_the_unrecorded_their_full_ttl)
{
    grant(1, 10, 100);
    kvr_lease_lead(book, 500);

    cr_assert_eq(due(509), 0);
    cr_assert_eq(due(510), 1);
    kvr_lease_lead(book, 600); /* named by the leader before: named again */
    cr_assert_eq(renewed(1, 605), KVR_OK);
    cr_assert_eq(due(615), 1);
}

Test(lease, a_new_leader_gives_the_recorded_what_is_left)
{
    /* FAULTS 122: each election gave a full TTL, so a lease never ended. */
    grant(1, 100, 0);
    cr_assert_eq(kvr_lease_record(book, 1, 0, 40), KVR_OK);
    kvr_lease_lead(book, 120);

    kvr_lease_info info;
    cr_assert_eq(kvr_lease_get(book, 1, 120, &info), KVR_OK);
    cr_assert_eq(info.remaining_ns, 20);
    cr_assert_eq(info.recorded_ns, 40);
    cr_assert_eq(due(139), 0);
    cr_assert_eq(due(140), 1);
}

Test(lease, a_laggard_is_named_once_until_it_is_renewed)
{
    uint64_t when;
    kvr_lease_lead(book, 0);
    grant(1, 100, 0);
    cr_assert_not(renew(1, 30));

    cr_assert_eq(laggard(79, &when), 0);
    cr_assert_eq(laggard(80, &when), 1);
    cr_assert_eq(when, 30);
    cr_assert_eq(laggard(90, &when), 0);
    cr_assert_eq(kvr_lease_record(book, 1, 0, 30), KVR_OK);
    cr_assert_eq(laggard(95, &when), 0);
    cr_assert(renew(1, 100)); /* logged before it is answered */
    cr_assert_eq(laggard(160, &when), 0);
    cr_assert_eq(kvr_lease_record(book, 1, 0, 0), KVR_OK);
    cr_assert_not(renew(1, 110));
    cr_assert_eq(laggard(160, &when), 1);
    cr_assert_eq(when, 110);
}

Test(lease, a_renewal_while_its_laggard_is_under_way_must_be_logged)
{
    /* Else: named with 30, renewed and answered at 90, recorded with 30, and the next leader ends
     * it at 130. */
    uint64_t when;
    kvr_lease_lead(book, 0);
    grant(1, 100, 0);
    (void)renew(1, 30);
    cr_assert_eq(laggard(80, &when), 1);

    cr_assert(renew(1, 90));
    cr_assert_eq(kvr_lease_record(book, 1, 0, when), KVR_OK); /* applied after the renewal */
    cr_assert(renew(1, 95));
    cr_assert_eq(kvr_lease_record(book, 1, 0, 0), KVR_OK);
    cr_assert_not(renew(1, 96));
}

Test(lease, a_stale_clearing_does_not_hide_a_record_under_way)
{
    /* Two renewals of a recorded lease are logged, the second of them late: its clearing is applied
     * while the lease is a laggard again, and the new record comes after it. */
    uint64_t when;
    grant(1, 100, 0);
    cr_assert_eq(kvr_lease_record(book, 1, 0, 1), KVR_OK);
    kvr_lease_lead(book, 1);
    cr_assert(renew(1, 10));
    cr_assert(renew(1, 11));
    cr_assert_eq(kvr_lease_record(book, 1, 0, 0), KVR_OK); /* the first */
    cr_assert_eq(laggard(61, &when), 1);

    cr_assert_eq(kvr_lease_record(book, 1, 0, 0), KVR_OK); /* the second */
    cr_assert(renew(1, 70));
    cr_assert_eq(kvr_lease_record(book, 1, 0, when), KVR_OK);
    cr_assert(renew(1, 71));
}

Test(lease, a_record_of_an_earlier_life_of_the_id_is_void)
{
    /* The log: named with 30, but before the record come a revocation and a new grant at 60. */
    grant(1, 100, 0);
    cr_assert_eq(kvr_lease_revoke(book, 1), KVR_OK);
    grant(1, 100, 60);
    cr_assert_eq(kvr_lease_record(book, 1, 0, 30), KVR_ENOTFOUND);
    cr_assert_eq(kvr_lease_record(book, 1, 0, 70), KVR_ENOTFOUND); /* renewed before it was seen */

    kvr_lease_lead(book, 90);
    cr_assert_eq(due(189), 0); /* and not at 130 */
    cr_assert_eq(due(190), 1);
}

Test(lease, a_laggard_whose_record_was_refused_is_named_again)
{
    uint64_t when;
    kvr_lease_lead(book, 0);
    grant(1, 100, 0);
    cr_assert_eq(laggard(50, &when), 1);
    cr_assert_eq(when, 1); /* renewed at 0, which would mean: not recorded */
    kvr_lease_retry(book, 1);

    cr_assert_not(renew(1, 55)); /* nothing is under way */
    cr_assert_eq(laggard(104, &when), 0);
    cr_assert_eq(laggard(105, &when), 1);
    cr_assert_eq(when, 55);
}

/* ------------------------------------------------------------------ no memory, strange callers */

static kvr_status fault_status;

Test(lease, a_grant_without_memory_leaves_the_book_as_it_was)
{
    int64_t last = 0;
    FAULT_SWEEP(
        {
            free_book();
            new_book();
            for (int64_t id = 1; id <= 32 * 8 && id <= 100; id++) {
                grant(id * 10, 10, 0);
            }
            kvr_lease_lead(book, 0);
            fault_status = KVR_OK;
        },
        {
            for (last = 0; last < 600 && fault_status == KVR_OK; last++) {
                fault_status = kvr_lease_grant(book, last * 10 + 5, 10, 0);
            }
        },
        {
            kvr_lease_status status = {.size = sizeof status};
            kvr_lease_get_status(book, &status);
            if (fault_status != KVR_OK) {
                cr_assert_eq(fault_status, KVR_ENOMEM, "%s", fault_text());
                last--;
                cr_assert_not(kvr_lease_exists(book, last * 10 + 5));
                grant(last * 10 + 5, 10, 0); /* the same again works */
            } else {
                cr_assert_eq(fault_fired(), 0, "%s", fault_text());
            }
            cr_assert_geq(status.leases, 100 + (uint64_t)last);
        });
}

Test(lease, a_new_book_without_memory_is_none)
{
    kvr_lease_book *other = NULL;
    kvr_lease_config config;
    cr_assert_eq(kvr_lease_config_init(&config, sizeof config), KVR_OK);
    config.allocator = &test_alloc_table;
    config.allocator_ctx = &alloc;
    FAULT_SWEEP(other = NULL, fault_status = kvr_lease_book_new(&config, &other), {
        cr_assert((fault_status == KVR_OK) == (other != NULL));
        cr_assert(fault_status == KVR_OK || fault_status == KVR_ENOMEM);
        kvr_lease_book_free(other);
    });
}

Test(lease, structs_of_other_versions_are_read_as_far_as_they_are_known)
{
    struct {
        kvr_lease_config config;
        uint64_t more;
    } newer;
    kvr_lease_book *other = NULL;
    cr_assert_eq(kvr_lease_config_init(&newer.config, 4), KVR_EINVAL);
    cr_assert_eq(kvr_lease_config_init(NULL, sizeof newer), KVR_EINVAL);
    cr_assert_eq(kvr_lease_config_init(&newer.config, sizeof newer), KVR_OK);
    cr_assert_eq(newer.more, 0);
    newer.more = 1;
    cr_assert_eq(kvr_lease_book_new(&newer.config, &other), KVR_EINVAL);
    cr_assert_eq(kvr_lease_book_new(&newer.config, NULL), KVR_EINVAL);
    newer.more = 0;
    cr_assert_eq(kvr_lease_book_new(&newer.config, &other), KVR_OK);
    kvr_lease_book_free(other);
    cr_assert_eq(kvr_lease_book_new(NULL, &other), KVR_OK);
    kvr_lease_book_free(other);
    kvr_lease_book_free(NULL);

    uint8_t room[sizeof(kvr_lease_status) + 8];
    memset(room, 0xAA, sizeof room);
    kvr_lease_status older = {.size = 16}; /* knows only how many */
    memcpy(room, &older, sizeof older.size);
    grant(1, 5, 0);
    kvr_lease_get_status(book, (kvr_lease_status *)(void *)room);
    memcpy(&older, room, 16);
    cr_assert_eq(older.leases, 1);
    cr_assert_eq(room[16], 0xAA);
}
