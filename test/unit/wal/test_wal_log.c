/* SPDX-License-Identifier: Apache-2.0 */
/* test_wal_log.c: what goes in comes out, across segments, replacements, restarts. */
#include <criterion/criterion.h>

#include "wal_world.h"

#include <string.h>

static wal_world world;

static void setup(void)
{
    wal_world_init(&world);
}

static void teardown(void)
{
    wal_world_release(&world);
}

TestSuite(wal_log, .init = setup, .fini = teardown);

static void reopen(void)
{
    wal_world_close(&world);
    wal_world_open(&world);
    wal_world_check(&world);
}

Test(wal_log, a_new_store_is_empty_and_stays_so)
{
    wal_world_open(&world);
    kvr_store_result result;
    cr_assert_eq(wal_world_ask(&world, &(kvr_store_request){.kind = KVR_STORE_LOAD}, &result),
                 KVR_OK);
    cr_assert_eq(result.term, 0);
    cr_assert_eq(result.first_index, 0);
    cr_assert_eq(result.last_index, 0);
    cr_assert_eq(result.snapshot.index, 0);
    reopen();
}

Test(wal_log, entries_come_back_from_many_segments)
{
    wal_world_open(&world);
    for (uint32_t i = 0; i < 60; i++) {
        wal_world_grow(&world, 1 + i % 7, 1 + i / 20);
    }
    wal_world_check(&world);
    kvr_wal_status status = {.size = sizeof status};
    kvr_wal_get_status(world.wal, &status);
    cr_assert_gt(status.segment_count, 5);
    reopen();
    wal_world_grow(&world, 3, 9);
    wal_world_check(&world);
    reopen();
}

Test(wal_log, random_use_agrees_with_the_model)
{
    for (uint64_t seed = 1; seed <= 40; seed++) {
        kvr__random random;
        kvr__random_init(&random, seed);
        wal_world_release(&world);
        wal_world_init(&world);
        wal_world_open(&world);
        for (uint32_t step = 0; step < 150; step++) {
            wal_world_step(&world, &random);
            if (step % 10 == 0) {
                const char *what = wal_world_differs(&world, &world.model);
                cr_assert_null(what, "seed %llu, step %u: %s", (unsigned long long)seed, step,
                               what);
            }
            if (kvr__random_below(&random, 30) == 0) {
                wal_world_kill(&world);
                wal_world_open(&world);
                const char *what = wal_world_differs(&world, &world.model);
                cr_assert_null(what, "seed %llu, step %u, opened again: %s",
                               (unsigned long long)seed, step, what);
            }
        }
    }
}
