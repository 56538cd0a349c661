/* SPDX-License-Identifier: Apache-2.0 */
/* test_lease_set.c: the tree of leases by id, through its door. */
#include <criterion/criterion.h>

#include <kvraft/lease.h>

#include "support/test_alloc.h"

static test_alloc alloc;
static kvr_lease_book *book;

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

TestSuite(lease_set, .init = setup, .fini = teardown);

static void expect_order(int64_t first, int64_t step, uint32_t count)
{
    int64_t listed[1024];
    cr_assert_eq(kvr_lease_list(book, INT64_MIN, true, listed, 1024), count);
    for (uint32_t i = 0; i < count; i++) {
        cr_assert_eq(listed[i], first + step * i);
        cr_assert(kvr_lease_exists(book, listed[i]));
    }
}

Test(lease_set, ids_that_count_down_stay_in_order)
{
    /* The simulator's seed 125: each new lowest id left a too high one above it, and the next split
     * of the leftmost leaf stood in the wrong place. */
    for (int64_t id = 1000; id > 0; id--) {
        cr_assert_eq(kvr_lease_grant(book, id, 5, 0), KVR_OK);
    }

    expect_order(1, 1, 1000);

    for (int64_t id = 1; id <= 1000; id += 2) {
        cr_assert_eq(kvr_lease_revoke(book, id), KVR_OK);
    }
    expect_order(2, 2, 500);
}

Test(lease_set, a_leaf_that_went_leaves_room_for_lower_ids)
{
    for (int64_t id = 1; id <= 200; id++) {
        cr_assert_eq(kvr_lease_grant(book, id, 5, 0), KVR_OK);
    }
    for (int64_t id = 1; id <= 100; id++) {
        cr_assert_eq(kvr_lease_revoke(book, id), KVR_OK);
    }

    for (int64_t id = 100; id > 0; id--) {
        cr_assert_eq(kvr_lease_grant(book, id, 5, 0), KVR_OK);
    }

    expect_order(1, 1, 200);
}
