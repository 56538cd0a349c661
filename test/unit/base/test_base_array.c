/* SPDX-License-Identifier: Apache-2.0 */
/* test_base_array.c: growable arrays. */
#include <criterion/criterion.h>

#include "base/array.h"
#include "support/fault_sweep.h"
#include "support/test_alloc.h"

#include <string.h>

static test_alloc alloc;
static kvr__mem mem;
static struct {
    uint64_t *items;
    uint32_t count;
    uint32_t capacity;
} array;

static void setup(void)
{
    test_alloc_init(&alloc);
    cr_assert_eq(kvr__mem_init(&mem, &test_alloc_table, &alloc), KVR_OK);
}

static void teardown(void)
{
    kvr__array_free(&mem, KVR__MEM_CALL, (void **)&array.items, &array.capacity,
                    sizeof *array.items);
    cr_assert_null(array.items);
    cr_assert_eq(array.capacity, 0);
    TEST_ALLOC_ASSERT_EMPTY(&alloc);
}

TestSuite(base_array, .init = setup, .fini = teardown);

static kvr_status grow(uint32_t want)
{
    return kvr__array_grow(&mem, KVR__MEM_CALL, (void **)&array.items, &array.capacity, want,
                           sizeof *array.items);
}

/* In the hostile build it grows by what is asked for and no more, so that each growth moves it. */
#ifdef KVR_HOSTILE
enum { FACTOR = 1, CALLS_MAX = 10000 };
#else
enum { FACTOR = 2, CALLS_MAX = 14 };
#endif

Test(base_array, keeps_its_items_and_at_least_doubles)
{
    uint64_t calls = 0;
    for (uint32_t i = 0; i < 10000; i++) {
        uint32_t before = array.capacity;
        cr_assert_eq(grow(array.count + 1), KVR_OK);
        cr_assert(array.capacity == before || array.capacity >= FACTOR * before);
        calls += array.capacity != before;
        array.items[array.count++] = i;
    }

    cr_assert_leq(calls, CALLS_MAX);
    for (uint32_t i = 0; i < 10000; i++) {
        cr_assert_eq(array.items[i], i);
    }
    cr_assert_eq(mem.bytes_by_kind[KVR__MEM_CALL], array.capacity * sizeof *array.items);
}

Test(base_array, without_memory_keeps_what_it_has)
{
    cr_assert_eq(grow(3), KVR_OK);
    array.items[2] = 7;
    uint32_t capacity = array.capacity;

    fault_arm(FAULT_ALLOC, 1, false);
    cr_assert_eq(grow(100), KVR_ENOMEM);
    fault_disarm();

    cr_assert_eq(array.capacity, capacity);
    cr_assert_eq(array.items[2], 7);
}

/* FAULTS 89: items times size is a product. */
Test(base_array, sizes_that_do_not_fit_are_refused)
{
    cr_assert_eq(kvr__array_grow(&mem, KVR__MEM_CALL, (void **)&array.items, &array.capacity, 1000,
                                 SIZE_MAX / 999),
                 KVR_ENOMEM);
    cr_assert_eq(kvr__array_grow(&mem, KVR__MEM_CALL, (void **)&array.items, &array.capacity,
                                 UINT32_MAX, SIZE_MAX / 8),
                 KVR_ENOMEM);

    cr_assert_eq(alloc.call_count, 0);
    cr_assert_eq(array.capacity, 0);
}

Test(base_array, capacity_stops_at_the_last_number)
{
    alloc.bytes_max = 1; /* no memory is needed to see what would be asked for */
    array.capacity = 0;

    cr_assert_eq(grow(UINT32_MAX), KVR_ENOMEM);
    cr_assert_eq(array.capacity, 0);
    cr_assert_eq(grow(0), KVR_OK);
}
