/* SPDX-License-Identifier: Apache-2.0 */
/* test_base_ring.c: a ring against a plain array that is moved on each pop. */
#include <criterion/criterion.h>

#include "base/random.h"
#include "base/ring.h"
#include "support/fault_sweep.h"
#include "support/test_alloc.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>

static test_alloc alloc;
static kvr__mem mem;
static kvr__ring ring;

static void setup(void)
{
    test_alloc_init(&alloc);
    cr_assert_eq(kvr__mem_init(&mem, &test_alloc_table, &alloc), KVR_OK);
    kvr__ring_init(&ring, &mem, KVR__MEM_MESSAGE, sizeof(uint32_t));
}

static void teardown(void)
{
    kvr__ring_check(&ring);
    kvr__ring_release(&ring);
    kvr__ring_check(&ring);
    TEST_ALLOC_ASSERT_EMPTY(&alloc);
}

TestSuite(base_ring, .init = setup, .fini = teardown);

static bool push(uint32_t value)
{
    uint32_t *item = kvr__ring_push(&ring);
    if (item != NULL) {
        *item = value;
    }
    return item != NULL;
}

static uint32_t at(uint32_t i)
{
    return *(uint32_t *)kvr__ring_at(&ring, i);
}

Test(base_ring, costs_nothing_until_the_first_push)
{
    cr_assert_eq(alloc.call_count, 0);
    kvr__ring_pop_front(&ring, 0);
    kvr__ring_pop_back(&ring, 0);
    cr_assert_eq(kvr__ring_reserve(&ring, 0), KVR_OK);
    cr_assert_eq(alloc.call_count, 0);
}

Test(base_ring, random_use_agrees_with_an_array)
{
    enum { STEPS = 5000, MODEL_MAX = STEPS };
    static uint32_t model[MODEL_MAX];
    for (uint64_t seed = 1; seed <= 20; seed++) {
        kvr__random random;
        kvr__random_init(&random, seed);
        uint32_t count = 0;
        for (uint32_t step = 0; step < STEPS; step++) {
            uint32_t n = (uint32_t)kvr__random_below(&random, count < 6 ? count + 1 : 6);
            switch (kvr__random_below(&random, 8)) {
            case 0:
                kvr__ring_pop_front(&ring, n);
                count -= n;
                memmove(model, model + n, count * sizeof *model);
                break;
            case 1:
                kvr__ring_pop_back(&ring, n);
                count -= n;
                break;
            case 2:
                cr_assert_eq(kvr__ring_reserve(&ring, n), KVR_OK);
                break;
            default:
                cr_assert(push(step));
                model[count++] = step;
            }
            kvr__ring_check(&ring);
            cr_assert_eq(ring.count, count, "seed %llu", (unsigned long long)seed);
            if (count > 0) {
                uint32_t i = (uint32_t)kvr__random_below(&random, count);
                cr_assert_eq(at(i), model[i], "seed %llu", (unsigned long long)seed);
                cr_assert_eq(at(0), model[0], "seed %llu", (unsigned long long)seed);
                cr_assert_eq(at(count - 1), model[count - 1], "seed %llu",
                             (unsigned long long)seed);
            }
        }
        kvr__ring_release(&ring);
    }
}

static void three_items_around_the_end(void)
{
    kvr__ring_release(&ring);
    cr_assert(push(0) && push(1) && push(2));
    kvr__ring_pop_front(&ring, 2);
    cr_assert(push(3) && push(4));
}

Test(base_ring, a_refused_push_changes_nothing)
{
    bool pushed = false;
    FAULT_SWEEP(three_items_around_the_end(), pushed = push(5) && push(6) && push(7), {
        cr_assert_eq(pushed, fault_fired() == 0, "%s", fault_text());
        for (uint32_t i = 0; i < ring.count; i++) {
            cr_assert_eq(at(i), i + 2);
        }
        cr_assert_geq(ring.count, 3);
        kvr__ring_check(&ring);
    });
}

Test(base_ring, reserved_pushes_need_no_memory)
{
    three_items_around_the_end();
    cr_assert_eq(kvr__ring_reserve(&ring, 100), KVR_OK);

    fault_arm(FAULT_ALLOC, 1, true);
    for (uint32_t i = 5; i < 105; i++) {
        cr_assert(push(i));
    }
    fault_disarm();

    for (uint32_t i = 0; i < 103; i++) {
        cr_assert_eq(at(i), i + 2);
    }
}

/* FAULTS 89 */
Test(base_ring, sizes_that_do_not_fit_are_refused)
{
    cr_assert(push(1));
    uint64_t calls = alloc.call_count;

    cr_assert_eq(kvr__ring_reserve(&ring, UINT32_MAX), KVR_ENOMEM);
    cr_assert_eq(kvr__ring_reserve(&ring, UINT32_MAX / 2 + 1), KVR_ENOMEM);

    cr_assert_eq(alloc.call_count, calls, "refused before the allocator was asked");
    cr_assert_eq(ring.count, 1);
    cr_assert_eq(at(0), 1);
}

Test(base_ring, reading_past_the_end_is_our_bug, .signal = SIGABRT)
{
    (void)freopen("/dev/null", "w", stderr);
    cr_assert(push(1));
    (void)kvr__ring_at(&ring, 1);
}
