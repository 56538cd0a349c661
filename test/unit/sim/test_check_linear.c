/* SPDX-License-Identifier: Apache-2.0 */
/* test_check_linear.c: histories of a register that are linearizable, and some that are not. Times
 * are small numbers; 0 as an end means that nobody knows. */
#include <criterion/criterion.h>
#include <stdlib.h>

#include "sim/check_linear.h"

static linear_register history;

static void teardown(void)
{
    free(history.calls);
}

TestSuite(check_linear, .fini = teardown);

static void call(uint8_t kind, uint64_t begin, uint64_t end, uint64_t value)
{
    linear_add(&history, &(linear_call){.kind = kind,
                                        .begin_ns = begin,
                                        .end_ns = end == 0 ? UINT64_MAX : end,
                                        .value = value});
}

static void swap(uint64_t begin, uint64_t end, uint64_t expected, uint64_t value, bool swapped)
{
    linear_add(&history, &(linear_call){.kind = LINEAR_SWAP,
                                        .begin_ns = begin,
                                        .end_ns = end == 0 ? UINT64_MAX : end,
                                        .expected = expected,
                                        .value = value,
                                        .swapped = swapped});
}

static void expect(uint32_t verdict)
{
    cr_assert_eq(linear_judge(&history, 1000000), verdict);
}

Test(check_linear, an_empty_history_and_a_plain_one_pass)
{
    expect(LINEAR_YES);
    call(LINEAR_READ, 1, 2, 0);
    call(LINEAR_WRITE, 3, 4, 7);
    call(LINEAR_READ, 5, 6, 7);
    expect(LINEAR_YES);
}

Test(check_linear, H1_a_read_is_older_than_a_write_that_had_ended)
{
    call(LINEAR_WRITE, 1, 2, 7);
    call(LINEAR_WRITE, 3, 4, 8);
    call(LINEAR_READ, 5, 6, 7);
    expect(LINEAR_NO);
}

Test(check_linear, a_read_beside_a_write_may_see_either)
{
    call(LINEAR_WRITE, 1, 2, 7);
    call(LINEAR_WRITE, 3, 9, 8);
    call(LINEAR_READ, 4, 5, 8);
    call(LINEAR_READ, 6, 7, 8);
    expect(LINEAR_YES);
}

Test(check_linear, H1_two_reads_beside_a_write_go_back)
{
    call(LINEAR_WRITE, 1, 2, 7);
    call(LINEAR_WRITE, 3, 9, 8);
    call(LINEAR_READ, 4, 5, 8);
    call(LINEAR_READ, 6, 7, 7);
    expect(LINEAR_NO);
}

Test(check_linear, what_timed_out_may_happen_late_or_never)
{
    call(LINEAR_WRITE, 1, 2, 7);
    call(LINEAR_WRITE, 3, 0, 8);
    call(LINEAR_READ, 10, 11, 7);
    call(LINEAR_READ, 12, 13, 8);
    call(LINEAR_WRITE, 14, 0, 9);
    expect(LINEAR_YES);
}

Test(check_linear, H3_what_timed_out_happens_twice)
{
    call(LINEAR_WRITE, 1, 0, 8);
    call(LINEAR_WRITE, 2, 3, 7);
    call(LINEAR_READ, 4, 5, 8);
    call(LINEAR_WRITE, 6, 7, 9);
    call(LINEAR_READ, 8, 9, 8);
    expect(LINEAR_NO);
}

Test(check_linear, H6_a_value_that_nobody_wrote)
{
    call(LINEAR_WRITE, 1, 2, 7);
    call(LINEAR_READ, 3, 4, 5);
    expect(LINEAR_NO);
}

Test(check_linear, two_swaps_from_one_value_cannot_both_succeed)
{
    call(LINEAR_WRITE, 1, 2, 7);
    swap(3, 8, 7, 8, true);
    swap(4, 9, 7, 9, false);
    expect(LINEAR_YES);
    swap(5, 9, 7, 10, true);
    expect(LINEAR_NO);
}

Test(check_linear, a_swap_that_failed_may_have_met_what_timed_out)
{
    call(LINEAR_WRITE, 1, 0, 8);
    swap(2, 3, 0, 9, false);
    expect(LINEAR_YES);
}

/* Without Lowe's memory this takes longer than anybody waits. */
Test(check_linear, many_calls_at_once_are_judged_in_time)
{
    for (uint64_t i = 0; i < 13; i++) {
        call(LINEAR_WRITE, 1 + i, 100 + i, 1);
    }
    call(LINEAR_READ, 200, 201, 2);
    expect(LINEAR_NO);
}

Test(check_linear, a_search_that_is_too_long_says_so)
{
    call(LINEAR_WRITE, 1, 2, 7);
    call(LINEAR_READ, 3, 4, 7);
    cr_assert_eq(linear_judge(&history, 1), LINEAR_UNKNOWN);
}
