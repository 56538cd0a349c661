/* SPDX-License-Identifier: Apache-2.0 */
/* test_base_sized.c: a program built against an older or newer header than the library's. */
#include <criterion/criterion.h>

#include "base/sized.h"

#include <stdint.h>

struct first_release {
    uint32_t size;
    uint32_t a;
};

struct ours {
    uint32_t size;
    uint32_t a;
    uint64_t b;
};

struct next_release {
    uint32_t size;
    uint32_t a;
    uint64_t b;
    uint64_t c;
};

Test(base_sized, fields_that_an_older_caller_does_not_know_are_zero)
{
    struct first_release from = {sizeof from, 7};
    struct ours to = {99, 99, 99};

    cr_assert(kvr__sized_read(&to, sizeof to, &from, sizeof(struct first_release)));

    cr_assert_eq(to.size, sizeof to);
    cr_assert_eq(to.a, 7);
    cr_assert_eq(to.b, 0);
}

Test(base_sized, a_newer_caller_is_served_until_it_sets_what_we_do_not_know)
{
    struct next_release from = {sizeof from, 7, 8, 0};
    struct ours to = {99, 99, 99};

    cr_assert(kvr__sized_read(&to, sizeof to, &from, sizeof(struct first_release)));
    cr_assert_eq(to.b, 8);

    from.c = (uint64_t)1 << 63;
    to = (struct ours){99, 99, 99};
    cr_assert_not(kvr__sized_read(&to, sizeof to, &from, sizeof(struct first_release)));
    cr_assert_eq(to.a, 99);
}

Test(base_sized, a_size_below_the_first_release_is_refused)
{
    struct first_release from = {0, 7};
    struct ours to = {99, 99, 99};

    for (uint32_t size = 0; size < sizeof from; size++) {
        from.size = size;
        cr_assert_not(kvr__sized_read(&to, sizeof to, &from, sizeof from));
    }
    cr_assert_eq(to.size, 99);
}
