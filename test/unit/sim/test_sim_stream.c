/* SPDX-License-Identifier: Apache-2.0 */
/* test_sim_stream.c: decisions are numbered, independent, and fair enough. */
#include <criterion/criterion.h>

#include "sim/sim_stream.h"

Test(sim_stream, decision_k_depends_on_nothing_but_seed_stream_and_k)
{
    kvr__sim_stream a = kvr__sim_stream_of(7, 1, KVR__SIM_DISK);
    kvr__sim_stream b = kvr__sim_stream_of(7, 1, KVR__SIM_DISK);
    kvr__sim_stream other = kvr__sim_stream_of(7, 2, KVR__SIM_DISK);

    uint64_t third = 0;
    for (uint32_t i = 0; i < 3; i++) {
        third = kvr__sim_draw(&a);
    }
    b.count = 2;

    cr_assert_eq(kvr__sim_draw(&b), third);
    other.count = 2;
    cr_assert_neq(kvr__sim_draw(&other), third);
}

/* Pinned: the meaning of a seed must not change between machines or by accident. */
Test(sim_stream, numbers_are_the_same_everywhere)
{
    kvr__sim_stream stream = kvr__sim_stream_of(1, 0, KVR__SIM_NETWORK);

    cr_assert_eq(kvr__sim_draw(&stream), UINT64_C(0x39132e671504803d));
    cr_assert_eq(kvr__sim_below(&stream, 1000), 154);
    cr_assert_eq(kvr__sim_span(&stream, 5, 1000), 1454);
}

Test(sim_stream, a_chance_of_nothing_and_of_certainty_draws_nothing)
{
    kvr__sim_stream stream = kvr__sim_stream_of(1, 0, KVR__SIM_DISK);

    cr_assert(!kvr__sim_chance(&stream, 0));
    cr_assert(kvr__sim_chance(&stream, 1000000));
    cr_assert_eq(stream.count, 0);
}

Test(sim_stream, a_chance_comes_as_often_as_it_says)
{
    kvr__sim_stream stream = kvr__sim_stream_of(3, 0, KVR__SIM_DISK);
    uint32_t hits = 0;

    for (uint32_t i = 0; i < 100000; i++) {
        hits += kvr__sim_chance(&stream, 250000);
    }

    cr_assert(hits > 24500 && hits < 25500, "%u", hits);
}

Test(sim_stream, a_span_has_its_mean_and_a_long_tail)
{
    kvr__sim_stream stream = kvr__sim_stream_of(4, 0, KVR__SIM_NETWORK);
    uint64_t sum = 0;
    uint64_t longest = 0;

    for (uint32_t i = 0; i < 100000; i++) {
        uint64_t span = kvr__sim_span(&stream, 1000, 3000000);
        cr_assert(span >= 1000);
        sum += span - 1000;
        longest = span > longest ? span : longest;
    }

    uint64_t mean = sum / 100000;
    cr_assert(mean > 2950000 && mean < 3050000, "%llu", (unsigned long long)mean);
    cr_assert(longest > 8 * UINT64_C(3000000));
    cr_assert_eq(kvr__sim_span(&stream, 77, 0), 77);
}
