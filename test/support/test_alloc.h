/* SPDX-License-Identifier: Apache-2.0 */
/* test_alloc.h: the allocator that every handle of a test comes from. It counts what is held,
 * checks that each free and realloc names the size that was asked for, guards both ends of a block,
 * moves every reallocation, and fills fresh memory with 0xCD and freed memory with 0xDB. Misuse
 * aborts.
 *
 *     static test_alloc alloc;
 *     static void setup(void)    { test_alloc_init(&alloc); }
 *     static void teardown(void) { TEST_ALLOC_ASSERT_EMPTY(&alloc); }
 *     TestSuite(lease_book, .init = setup, .fini = teardown);
 *     ... kvr_lease_book_new(&config, &test_alloc_table, &alloc, &book) ...
 *
 * Failing allocations: fault_sweep.h. */
#ifndef KVRAFT_TEST_SUPPORT_TEST_ALLOC_H
#define KVRAFT_TEST_SUPPORT_TEST_ALLOC_H

#include <kvraft/base.h>

struct test_alloc_block;

typedef struct test_alloc {
    uint64_t live_count; /* blocks held now */
    uint64_t live_bytes; /* as asked for */
    uint64_t peak_bytes;
    uint64_t call_count; /* allocations and reallocations so far, failed ones too */
    uint64_t bytes_max;  /* a call that would go past this fails; 0: no limit */
    struct test_alloc_block *newest;
    uint8_t quiet; /* 1: memory is not filled (for runs of millions of calls) */
} test_alloc;

/* The table; its ctx is a test_alloc. */
extern const kvr_allocator test_alloc_table;

void test_alloc_init(test_alloc *alloc);

/* True if nothing is held; otherwise names the oldest blocks (size, number of the call) on
 * stderr. */
bool test_alloc_is_empty(const test_alloc *alloc);

#define TEST_ALLOC_ASSERT_EMPTY(alloc)                                                \
    cr_assert(test_alloc_is_empty(alloc), "%llu blocks of %llu bytes are still held", \
              (unsigned long long)(alloc)->live_count, (unsigned long long)(alloc)->live_bytes)

#endif
