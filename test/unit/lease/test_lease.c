/* SPDX-License-Identifier: Apache-2.0 */
/* test_lease.c: the replicated part: what grant, revoke and record promise to a state machine. */
#include <criterion/criterion.h>

#include <kvraft/lease.h>

#include "support/fault_sweep.h"
#include "support/test_alloc.h"

static test_alloc alloc;
static kvr_lease_book *book;

static kvr_lease_book *new_book(void)
{
    kvr_lease_config config;
    kvr_lease_book *made = NULL;
    cr_assert_eq(kvr_lease_config_init(&config, sizeof config), KVR_OK);
    config.allocator = &test_alloc_table;
    config.allocator_ctx = &alloc;
    cr_assert_eq(kvr_lease_book_new(&config, &made), KVR_OK);
    return made;
}

static void setup(void)
{
    test_alloc_init(&alloc);
    book = new_book();
}

static void teardown(void)
{
    kvr_lease_book_free(book);
    TEST_ALLOC_ASSERT_EMPTY(&alloc);
}

TestSuite(lease, .init = setup, .fini = teardown);

Test(lease, ids_may_be_anything_but_zero)
{
    /* FAULTS 98: negative ids diverged. L6: an id in use is not given twice. */
    const int64_t ids[] = {1, -1, INT64_MIN, INT64_MAX, 42};

    cr_assert_eq(kvr_lease_grant(book, 0, 5, 0), KVR_EINVAL);
    for (size_t i = 0; i < sizeof ids / sizeof ids[0]; i++) {
        cr_assert_eq(kvr_lease_grant(book, ids[i], 5, 0), KVR_OK);
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
}
