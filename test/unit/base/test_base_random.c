/* SPDX-License-Identifier: Apache-2.0 */
/* test_base_random.c: runs can be repeated by the generator's numbers, so they are pinned. */
#include <criterion/criterion.h>

#include "base/random.h"

/* The vector that the generator's other implementations publish for the state {1, 2, 3, 4}. */
Test(base_random, steps_as_xoshiro256_starstar)
{
    static const uint64_t expected[] = {
        11520u,
        0u,
        1509978240u,
        1215971899390074240u,
        1216172134540287360u,
        607988272756665600u,
        16172922978634559625u,
        8476171486693032832u,
    };
    kvr__random random = {{1, 2, 3, 4}};

    for (size_t i = 0; i < sizeof expected / sizeof expected[0]; i++) {
        cr_assert_eq(kvr__random_next(&random), expected[i]);
    }
}

/* The first outputs of splitmix64 for the seed 0. */
Test(base_random, is_seeded_by_splitmix64)
{
    kvr__random random;
    kvr__random_init(&random, 0);

    cr_assert_eq(random.state[0], 0xe220a8397b1dcdafu);
    cr_assert_eq(random.state[1], 0x6e789e6aa1b965f4u);
    cr_assert_eq(random.state[2], 0x06c45d188009454fu);
    cr_assert_eq(random.state[3], 0xf88bb8a8724c81ecu);
}

Test(base_random, equal_seeds_give_equal_runs_and_others_do_not)
{
    kvr__random a;
    kvr__random b;
    kvr__random c;
    kvr__random_init(&a, 42);
    kvr__random_init(&b, 42);
    kvr__random_init(&c, 43);

    int differences = 0;
    for (int i = 0; i < 1000; i++) {
        uint64_t value = kvr__random_next(&a);
        cr_assert_eq(value, kvr__random_next(&b));
        differences += value != kvr__random_next(&c);
    }
    cr_assert_eq(differences, 1000);
}

Test(base_random, below_stays_below_and_reaches_everything)
{
    kvr__random random;
    kvr__random_init(&random, 7);
    int seen[10] = {0};

    for (int i = 0; i < 10000; i++) {
        uint64_t value = kvr__random_below(&random, 10);
        cr_assert_lt(value, 10);
        seen[value]++;
    }
    for (int i = 0; i < 10; i++) {
        cr_assert(seen[i] > 850 && seen[i] < 1150, "%d came %d times of 10000", i, seen[i]);
    }
    cr_assert_eq(kvr__random_below(&random, 1), 0);
}

/* A plain `next % limit` would give the lower half of this range twice as often as the upper. */
Test(base_random, below_is_fair_where_a_remainder_is_not)
{
    const uint64_t limit = UINT64_MAX / 3 * 2;
    kvr__random random;
    kvr__random_init(&random, 8);
    int lower = 0;

    for (int i = 0; i < 10000; i++) {
        uint64_t value = kvr__random_below(&random, limit);
        cr_assert_lt(value, limit);
        lower += value < limit / 2;
    }
    cr_assert(lower > 4800 && lower < 5200, "%d of 10000 in the lower half", lower);
}
