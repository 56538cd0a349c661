/* SPDX-License-Identifier: Apache-2.0 */
/* test_support_alloc.c: the allocator of all other tests finds what it is there to find. */
#include "support/test_alloc.h"

#include <criterion/criterion.h>
#include <signal.h>
#include <string.h>

static test_alloc alloc;

static void setup(void)
{
    test_alloc_init(&alloc);
}

TestSuite(support_alloc, .init = setup);

static uint8_t *take(size_t size)
{
    return test_alloc_table.alloc(&alloc, size);
}

static void give(void *ptr, size_t size)
{
    test_alloc_table.free(&alloc, ptr, size);
}

Test(support_alloc, counts_blocks_and_bytes)
{
    uint8_t *one = take(10);
    uint8_t *two = take(20);

    cr_assert_eq(alloc.live_count, 2);
    cr_assert_eq(alloc.live_bytes, 30);
    give(one, 10);
    cr_assert_not(test_alloc_is_empty(&alloc));
    give(two, 20);
    cr_assert(test_alloc_is_empty(&alloc));
    cr_assert_eq(alloc.peak_bytes, 30);
    cr_assert_eq(alloc.call_count, 2);
}

Test(support_alloc, fresh_memory_is_filled)
{
    uint8_t *ptr = take(3);

    cr_assert_eq(ptr[0], 0xCD);
    cr_assert_eq(ptr[2], 0xCD);
    give(ptr, 3);
}

Test(support_alloc, realloc_moves_and_keeps_the_bytes)
{
    uint8_t *ptr = take(4);
    memcpy(ptr, "abcd", 4);

    uint8_t *moved = test_alloc_table.realloc(&alloc, ptr, 4, 100);

    cr_assert_neq(moved, ptr);
    cr_assert_arr_eq(moved, "abcd", 4);
    cr_assert_eq(alloc.live_count, 1);
    give(moved, 100);
}

Test(support_alloc, a_limit_refuses_and_harms_nothing)
{
    alloc.bytes_max = 16;
    uint8_t *ptr = take(10);

    cr_assert_null(take(10));
    cr_assert_null(test_alloc_table.realloc(&alloc, ptr, 10, 17));
    cr_assert_eq(alloc.live_bytes, 10);
    give(ptr, 10);
}

Test(support_alloc, a_free_with_another_size_aborts, .signal = SIGABRT)
{
    give(take(10), 11);
}

Test(support_alloc, a_write_past_the_end_aborts, .signal = SIGABRT)
{
    uint8_t *ptr = take(10);
    volatile uint8_t *past = ptr + 10; /* inside our own guard, so no sanitizer minds */
    *past = 0;
    give(ptr, 10);
}

Test(support_alloc, a_free_through_another_allocator_aborts, .signal = SIGABRT)
{
    test_alloc other;
    test_alloc_init(&other);
    uint8_t *ptr = take(10);

    test_alloc_table.free(&other, ptr, 10);
}
