/* SPDX-License-Identifier: Apache-2.0 */
/* test_support_sweep.c: a sweep fails each call in turn, once and for ever, and then stops. */
#include "support/fault_sweep.h"
#include "support/test_alloc.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

static test_alloc alloc;
static uint32_t runs;
static char story[64]; /* for each run, which of three calls failed */

static void setup(void)
{
    test_alloc_init(&alloc);
    runs++;
}

static void take_three(void)
{
    for (int i = 0; i < 3; i++) {
        char *ptr = test_alloc_table.alloc(&alloc, 8);
        size_t end = strlen(story);
        (void)snprintf(story + end, sizeof story - end, "%c", ptr == NULL ? '!' : '.');
        if (ptr != NULL) {
            test_alloc_table.free(&alloc, ptr, 8);
        }
    }
}

static void check(void)
{
    size_t end = strlen(story);
    (void)snprintf(story + end, sizeof story - end, "%c", fault_fired() > 0 ? ' ' : '|');
    TEST_ALLOC_ASSERT_EMPTY(&alloc);
}

Test(support_sweep, fails_each_call_once_then_for_ever_until_none_fires)
{
    FAULT_SWEEP(setup(), take_three(), check());

    cr_assert_str_eq(story, "!.. .!. ..! ...|!!! .!! ..! ...|");
    cr_assert_eq(runs, 8);
}

Test(support_sweep, faults_are_off_outside_a_body)
{
    FAULT_SWEEP(setup(), take_three(), cr_assert_not(fault_hits(FAULT_ALLOC)));

    cr_assert_not(fault_hits(FAULT_ALLOC | FAULT_DISK));
}

Test(support_sweep, a_disk_fault_leaves_allocations_alone)
{
    fault_arm(FAULT_DISK, 1, true);

    cr_assert_not(fault_hits(FAULT_ALLOC));
    cr_assert(fault_hits(FAULT_DISK));
    cr_assert_eq(fault_fired(), 1);
    cr_assert_str_eq(fault_text(), "call 1 fails for ever, 1 failed");
    fault_disarm();
}
