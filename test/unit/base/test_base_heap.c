/* SPDX-License-Identifier: Apache-2.0 */
/* test_base_heap.c: a heap against a search of all items. */
#include <criterion/criterion.h>

#include "base/heap.h"
#include "base/random.h"
#include "support/fault_sweep.h"
#include "support/test_alloc.h"

#include <string.h>

enum { ITEMS = 200 };

static test_alloc alloc;
static kvr__mem mem;
static kvr__heap heap;
static kvr__heap_item items[ITEMS];

static void setup(void)
{
    test_alloc_init(&alloc);
    cr_assert_eq(kvr__mem_init(&mem, &test_alloc_table, &alloc), KVR_OK);
    kvr__heap_init(&heap, &mem, KVR__MEM_LEASE);
}

static void teardown(void)
{
    kvr__heap_check(&heap);
    kvr__heap_release(&heap);
    TEST_ALLOC_ASSERT_EMPTY(&alloc);
}

TestSuite(base_heap, .init = setup, .fini = teardown);

static void reset_items(void)
{
    kvr__heap_release(&heap);
    memset(items, 0, sizeof items);
    for (uint32_t i = 0; i < ITEMS; i++) {
        items[i].id = i;
    }
}

static kvr__heap_item *least_of_all(void)
{
    kvr__heap_item *least = NULL;
    for (uint32_t i = 0; i < ITEMS; i++) { /* by rising id, so the first of equal keys stays */
        if (items[i].place != 0 && (least == NULL || items[i].key < least->key)) {
            least = &items[i];
        }
    }
    return least;
}

Test(base_heap, random_use_agrees_with_a_search)
{
    enum { STEPS = 5000 };
    for (uint64_t seed = 1; seed <= 20; seed++) {
        reset_items();
        kvr__random random;
        kvr__random_init(&random, seed);
        for (int step = 0; step < STEPS; step++) {
            kvr__heap_item *item = &items[kvr__random_below(&random, ITEMS)];
            uint64_t key = kvr__random_below(&random, 50); /* few, so that many are equal */
            if (item->place == 0) {
                item->key = key;
                cr_assert_eq(kvr__heap_push(&heap, item), KVR_OK);
            } else if (kvr__random_below(&random, 3) == 0) {
                kvr__heap_remove(&heap, item);
                cr_assert_eq(item->place, 0);
            } else {
                kvr__heap_remove(&heap, item);
                item->key = key;
                cr_assert_eq(kvr__heap_push(&heap, item), KVR_OK);
            }
            kvr__heap_check(&heap);
            cr_assert_eq(kvr__heap_top(&heap), least_of_all(), "seed %llu",
                         (unsigned long long)seed);
        }
    }
}

Test(base_heap, items_leave_by_key_then_by_id)
{
    reset_items();
    for (uint32_t i = 0; i < ITEMS; i++) {
        items[i * 37 % ITEMS].key = i * 37 % ITEMS / 10;
        cr_assert_eq(kvr__heap_push(&heap, &items[i * 37 % ITEMS]), KVR_OK);
    }

    for (uint32_t i = 0; i < ITEMS; i++) {
        cr_assert_eq(kvr__heap_top(&heap), &items[i]);
        kvr__heap_remove(&heap, &items[i]);
        kvr__heap_remove(&heap, &items[i]);
    }
    cr_assert_null(kvr__heap_top(&heap));
}

static void four_items(void)
{
    reset_items();
    for (uint32_t i = 0; i < 4; i++) {
        cr_assert_eq(kvr__heap_push(&heap, &items[i]), KVR_OK);
    }
}

Test(base_heap, a_refused_push_changes_nothing)
{
    kvr_status status = KVR_OK;
    FAULT_SWEEP(four_items(), status = kvr__heap_push(&heap, &items[4]), {
        cr_assert_eq(status, fault_fired() > 0 ? KVR_ENOMEM : KVR_OK, "%s", fault_text());
        cr_assert_eq(heap.count, fault_fired() > 0 ? 4u : 5u);
        cr_assert_eq(items[4].place == 0, fault_fired() > 0);
        kvr__heap_check(&heap);
    });
}

Test(base_heap, reserved_pushes_need_no_memory)
{
    reset_items();
    cr_assert_eq(kvr__heap_reserve(&heap, ITEMS), KVR_OK);

    fault_arm(FAULT_ALLOC, 1, true);
    for (uint32_t i = 0; i < ITEMS; i++) {
        cr_assert_eq(kvr__heap_push(&heap, &items[i]), KVR_OK);
    }
    fault_disarm();
}

/* FAULTS 89 */
Test(base_heap, sizes_that_do_not_fit_are_refused)
{
    four_items();
    uint64_t calls = alloc.call_count;

    cr_assert_eq(kvr__heap_reserve(&heap, UINT32_MAX), KVR_ENOMEM);
    cr_assert_eq(kvr__heap_reserve(&heap, UINT32_MAX - 4), KVR_ENOMEM);

    cr_assert_eq(heap.count, 4);
    cr_assert_eq(alloc.call_count, calls, "refused before the allocator was asked");
}
