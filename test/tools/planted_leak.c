/* SPDX-License-Identifier: Apache-2.0 */
/* planted_leak.c: a Criterion test that passes and leaks. The address build must call it a failure;
 * if it does not, the leaks of all other tests go unseen too. */
#include <criterion/criterion.h>

#include <stdlib.h>

static void *volatile hidden;

Test(planted, a_leak_passes_criterion)
{
    hidden = malloc(123);
    cr_assert_not_null(hidden);

    hidden = NULL;
}
