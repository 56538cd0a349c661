/* SPDX-License-Identifier: Apache-2.0 */
/* test_base_map.c: a map against a plain table. */
#include <criterion/criterion.h>

#include "base/map.h"
#include "base/random.h"
#include "support/fault_sweep.h"
#include "support/test_alloc.h"

#include <string.h>

static test_alloc alloc;
static kvr__mem mem;
static kvr__map map;
static char values[64]; /* only the addresses matter */

static void setup(void)
{
    test_alloc_init(&alloc);
    cr_assert_eq(kvr__mem_init(&mem, &test_alloc_table, &alloc), KVR_OK);
    kvr__map_init(&map, &mem, KVR__MEM_LEASE);
}

static void teardown(void)
{
    kvr__map_check(&map);
    kvr__map_release(&map);
    TEST_ALLOC_ASSERT_EMPTY(&alloc);
}

TestSuite(base_map, .init = setup, .fini = teardown);

Test(base_map, costs_nothing_while_empty)
{
    uint32_t cursor = 0;
    uint64_t key = 0;

    cr_assert_null(kvr__map_get(&map, 1));
    cr_assert_null(kvr__map_remove(&map, 1));
    cr_assert_null(kvr__map_next(&map, &cursor, &key));
    cr_assert_eq(alloc.call_count, 0);
}

Test(base_map, any_key_is_a_key)
{
    static const uint64_t keys[] = {0, 1, UINT64_MAX, UINT64_MAX - 1, (uint64_t)1 << 63};
    for (size_t i = 0; i < 5; i++) {
        cr_assert_eq(kvr__map_put(&map, keys[i], &values[i]), KVR_OK);
    }
    for (size_t i = 0; i < 5; i++) {
        cr_assert_eq(kvr__map_get(&map, keys[i]), &values[i]);
    }
    cr_assert_eq(kvr__map_put(&map, 0, &values[9]), KVR_OK);
    cr_assert_eq(map.count, 5);
    cr_assert_eq(kvr__map_remove(&map, 0), &values[9]);
}

/* Keys from a small set, so that the table is full of them and removals move their neighbours. */
Test(base_map, random_use_agrees_with_a_table)
{
    enum { KEYS = 200, STEPS = 20000 };
    static void *model[KEYS];
    for (uint64_t seed = 1; seed <= 10; seed++) {
        kvr__random random;
        kvr__random_init(&random, seed);
        memset(model, 0, sizeof model);
        uint32_t count = 0;
        uint64_t multiplier = kvr__random_next(&random) | 1;
        for (int step = 0; step < STEPS; step++) {
            uint64_t k = kvr__random_below(&random, KEYS);
            uint64_t key = k * multiplier;
            if (kvr__random_below(&random, 2) == 0) {
                void *value = &values[kvr__random_below(&random, sizeof values)];
                cr_assert_eq(kvr__map_put(&map, key, value), KVR_OK);
                count += model[k] == NULL;
                model[k] = value;
            } else {
                cr_assert_eq(kvr__map_remove(&map, key), model[k], "seed %llu",
                             (unsigned long long)seed);
                count -= model[k] != NULL;
                model[k] = NULL;
            }
            k = kvr__random_below(&random, KEYS);
            cr_assert_eq(kvr__map_get(&map, k * multiplier), model[k], "seed %llu",
                         (unsigned long long)seed);
            cr_assert_eq(map.count, count);
            if (step % 50 == 0) {
                kvr__map_check(&map);
            }
        }
        kvr__map_release(&map);
    }
}

Test(base_map, iteration_meets_each_key_once)
{
    enum { KEYS = 1000 };
    static uint8_t seen[KEYS];
    for (uint64_t key = 0; key < KEYS; key++) {
        cr_assert_eq(kvr__map_put(&map, key, &values[key % 64]), KVR_OK);
    }

    uint32_t cursor = 0;
    uint64_t key = 0;
    for (void *value; (value = kvr__map_next(&map, &cursor, &key)) != NULL;) {
        cr_assert_lt(key, KEYS);
        cr_assert_eq(value, &values[key % 64]);
        seen[key]++;
    }

    for (size_t i = 0; i < KEYS; i++) {
        cr_assert_eq(seen[i], 1);
    }
}

static void a_full_table(void)
{
    kvr__map_release(&map);
    for (uint64_t key = 0; key < 7; key++) {
        cr_assert_eq(kvr__map_put(&map, key, &values[key]), KVR_OK);
    }
}

Test(base_map, a_refused_put_changes_nothing)
{
    kvr_status status = KVR_OK;
    FAULT_SWEEP(a_full_table(), status = kvr__map_put(&map, 7, &values[7]), {
        cr_assert_eq(status, fault_fired() > 0 ? KVR_ENOMEM : KVR_OK, "%s", fault_text());
        cr_assert_eq(kvr__map_get(&map, 7), fault_fired() > 0 ? NULL : &values[7]);
        for (uint64_t key = 0; key < 7; key++) {
            cr_assert_eq(kvr__map_get(&map, key), &values[key]);
        }
        kvr__map_check(&map);
    });
}

Test(base_map, reserved_and_replacing_puts_need_no_memory)
{
    a_full_table();
    cr_assert_eq(kvr__map_reserve(&map, 1000), KVR_OK);

    fault_arm(FAULT_ALLOC, 1, true);
    for (uint64_t key = 0; key < 1007; key++) {
        cr_assert_eq(kvr__map_put(&map, key, &values[key % 64]), KVR_OK);
    }
    fault_disarm();

    cr_assert_eq(map.count, 1007);
}

/* FAULTS 89 */
Test(base_map, sizes_that_do_not_fit_are_refused)
{
    cr_assert_eq(kvr__map_put(&map, 1, &values[1]), KVR_OK);
    uint64_t calls = alloc.call_count;

    cr_assert_eq(kvr__map_reserve(&map, UINT32_MAX), KVR_ENOMEM);

    cr_assert_eq(alloc.call_count, calls, "refused before the allocator was asked");
    cr_assert_eq(kvr__map_get(&map, 1), &values[1]);
}
