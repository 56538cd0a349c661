/* SPDX-License-Identifier: Apache-2.0 */
/* test_base_memory.c: the accounting between a handle and its allocator. */
#include <criterion/criterion.h>

#include "base/assertion.h"
#include "base/memory.h"
#include "support/fault_sweep.h"
#include "support/test_alloc.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>

static test_alloc alloc;
static kvr__mem mem;

static void setup(void)
{
    test_alloc_init(&alloc);
    cr_assert_eq(kvr__mem_init(&mem, &test_alloc_table, &alloc), KVR_OK);
}

static void teardown(void)
{
    kvr__mem_check(&mem);
    cr_assert_eq(mem.blocks, 0);
    TEST_ALLOC_ASSERT_EMPTY(&alloc);
}

TestSuite(base_memory, .init = setup, .fini = teardown);

Test(base_memory, counts_are_those_of_the_allocator)
{
    void *a = kvr__mem_alloc(&mem, KVR__MEM_TREE, 100);
    uint8_t *b = kvr__mem_zalloc(&mem, KVR__MEM_LOG, 10);
    cr_assert_arr_eq(b, ((uint8_t[10]){0}), 10);
    cr_assert_eq(mem.bytes_by_kind[KVR__MEM_TREE], 100);
    cr_assert_eq(mem.bytes_by_kind[KVR__MEM_LOG], 10);

    a = kvr__mem_realloc(&mem, KVR__MEM_TREE, a, 100, 1000);
    void *c = kvr__mem_realloc(&mem, KVR__MEM_TREE, NULL, 0, 1);
    cr_assert_eq(mem.blocks, 3);
    cr_assert_eq(mem.blocks, alloc.live_count);
    cr_assert_eq(mem.bytes_by_kind[KVR__MEM_TREE], 1001);
    cr_assert_eq(kvr__mem_bytes(&mem), alloc.live_bytes);
    kvr__mem_check(&mem);

    kvr__mem_free(&mem, KVR__MEM_TREE, a, 1000);
    kvr__mem_free(&mem, KVR__MEM_LOG, b, 10);
    kvr__mem_free(&mem, KVR__MEM_TREE, c, 1);
    kvr__mem_free(&mem, KVR__MEM_TREE, NULL, 5);
    cr_assert_eq(kvr__mem_bytes(&mem), 0);
}

Test(base_memory, a_refused_allocation_is_not_counted)
{
    uint8_t *a = kvr__mem_zalloc(&mem, KVR__MEM_CALL, 8);

    fault_arm(FAULT_ALLOC, 1, true);
    cr_assert_null(kvr__mem_alloc(&mem, KVR__MEM_CALL, 8));
    cr_assert_null(kvr__mem_zalloc(&mem, KVR__MEM_CALL, 8));
    cr_assert_null(kvr__mem_realloc(&mem, KVR__MEM_CALL, a, 8, 16));
    fault_disarm();

    cr_assert_eq(mem.blocks, 1);
    cr_assert_eq(kvr__mem_bytes(&mem), 8);
    cr_assert_eq(a[7], 0);
    kvr__mem_free(&mem, KVR__MEM_CALL, a, 8);
}

Test(base_memory, no_table_means_malloc)
{
    kvr__mem plain;
    cr_assert_eq(kvr__mem_init(&plain, NULL, NULL), KVR_OK);

    uint8_t *a = kvr__mem_zalloc(&plain, KVR__MEM_HANDLE, 8);
    a = kvr__mem_realloc(&plain, KVR__MEM_HANDLE, a, 8, 80000);
    cr_assert_eq(a[7], 0);
    cr_assert_eq(kvr__mem_bytes(&plain), 80000);

    kvr__mem_free(&plain, KVR__MEM_HANDLE, a, 80000);
    cr_assert_eq(plain.blocks, 0);
}

Test(base_memory, an_incomplete_table_is_refused)
{
    kvr__mem other = {.blocks = 77};
    for (int missing = 0; missing < 4; missing++) {
        kvr_allocator table = test_alloc_table;
        if (missing == 0) {
            table.size--;
        } else if (missing == 1) {
            table.alloc = NULL;
        } else if (missing == 2) {
            table.realloc = NULL;
        } else {
            table.free = NULL;
        }
        cr_assert_eq(kvr__mem_init(&other, &table, &alloc), KVR_EINVAL);
        cr_assert_eq(other.blocks, 77);
    }
}

typedef struct handle {
    uint64_t before;
    kvr__mem mem;
    uint64_t after;
} handle;

Test(base_memory, a_handle_holds_its_own_mem)
{
    void *made = NULL;
    cr_assert_eq(kvr__mem_new_handle(&test_alloc_table, &alloc, sizeof(handle),
                                     offsetof(handle, mem), &made),
                 KVR_OK);
    handle *h = made;

    cr_assert_eq(h->before, 0);
    cr_assert_eq(h->after, 0);
    cr_assert_eq(h->mem.blocks, 1);
    cr_assert_eq(kvr__mem_bytes(&h->mem), sizeof(handle));

    kvr__mem_free_handle(h, sizeof(handle), offsetof(handle, mem));
    kvr__mem_free_handle(NULL, sizeof(handle), offsetof(handle, mem));
}

Test(base_memory, a_handle_that_cannot_be_made_leaves_nothing)
{
    void *made = &mem;
    kvr_allocator table = test_alloc_table;
    table.free = NULL;
    cr_assert_eq(kvr__mem_new_handle(&table, &alloc, sizeof(handle), 8, &made), KVR_EINVAL);

    fault_arm(FAULT_ALLOC, 1, false);
    cr_assert_eq(kvr__mem_new_handle(&test_alloc_table, &alloc, sizeof(handle), 8, &made),
                 KVR_ENOMEM);
    fault_disarm();

    cr_assert_eq(made, &mem);
}

Test(base_memory, an_assertion_that_fails_aborts, .signal = SIGABRT)
{
    (void)freopen("/dev/null", "w", stderr);
    (void)kvr__mem_alloc(&mem, KVR__MEM_HANDLE, 0);
}

Test(base_memory, an_assertion_evaluates_once)
{
    int evaluated = 0;

    KVR_ASSERT(++evaluated == 1);

    cr_assert_eq(evaluated, 1);
}
