/* SPDX-License-Identifier: Apache-2.0 */
/* test_base_slab.c: small blocks do not overlap and are reused, and what was reserved is there. */
#include <criterion/criterion.h>

#include "base/random.h"
#include "base/slab.h"
#include "support/fault_sweep.h"
#include "support/test_alloc.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#ifdef KVR__ASAN
#include <sanitizer/asan_interface.h>
#endif

static test_alloc alloc;
static kvr__mem mem;
static kvr__slab *slab;

static void setup(void)
{
    test_alloc_init(&alloc);
    cr_assert_eq(kvr__mem_init(&mem, &test_alloc_table, &alloc), KVR_OK);
    slab = kvr__slab_new(&mem, KVR__MEM_RECORD);
    cr_assert_not_null(slab);
}

static void teardown(void)
{
    kvr__slab_check(slab);
    kvr__slab_free_all(slab);
    cr_assert_eq(mem.blocks, 0);
    TEST_ALLOC_ASSERT_EMPTY(&alloc);
}

TestSuite(base_slab, .init = setup, .fini = teardown);

Test(base_slab, starts_small_and_grows_by_doubling)
{
    cr_assert_eq(alloc.live_count, 1);
    cr_assert_lt(alloc.live_bytes, 128);
    uint64_t before = alloc.live_bytes;

    cr_assert_not_null(kvr__slab_alloc(slab, 24));
    cr_assert_leq(alloc.live_bytes - before, KVR__SLAB_FIRST + 128);

    uint64_t chunk_size = KVR__SLAB_FIRST;
    for (int i = 0; i < 100000; i++) {
        before = alloc.live_bytes;
        cr_assert_not_null(kvr__slab_alloc(slab, 24));
        if (alloc.live_bytes != before) {
            uint64_t twice = chunk_size * 2;
            chunk_size = twice < KVR__SLAB_CHUNK ? twice : KVR__SLAB_CHUNK;
            cr_assert_eq(alloc.live_bytes - before, chunk_size);
        }
    }
    cr_assert_eq(chunk_size, KVR__SLAB_CHUNK);
}

/* What a million records cost beyond their own bytes is under 1 %. */
Test(base_slab, costs_little_beyond_the_blocks)
{
    alloc.quiet = 1;
    for (uint32_t i = 0; i < 100000; i++) {
        cr_assert_not_null(kvr__slab_alloc(slab, 16 + i % 32 * 8));
    }

    uint64_t used = kvr__slab_bytes_used(slab);
    cr_assert_lt(alloc.live_bytes - used, used / 100 + KVR__SLAB_CHUNK);
}

Test(base_slab, a_freed_block_serves_the_next_of_its_class)
{
    void *a = kvr__slab_alloc(slab, 17);
    void *b = kvr__slab_alloc(slab, 24);
    kvr__slab_free(slab, a, 17);
    kvr__slab_free(slab, b, 24);
    kvr__slab_free(slab, NULL, 24);
    cr_assert_eq(kvr__slab_bytes_used(slab), 0);

    cr_assert_eq(kvr__slab_alloc(slab, 20), b);
    cr_assert_eq(kvr__slab_alloc(slab, 24), a);
    cr_assert_eq(kvr__slab_bytes_used(slab), 48);
}

Test(base_slab, large_blocks_come_and_go_alone)
{
    uint64_t before = alloc.live_bytes;
    uint8_t *a = kvr__slab_alloc(slab, KVR__SLAB_MAX + 1);
    uint8_t *b = kvr__slab_alloc(slab, 100000);
    cr_assert_eq((uintptr_t)a % 8, 0);
    memset(a, 1, KVR__SLAB_MAX + 1);
    memset(b, 2, 100000);
    cr_assert_eq(kvr__slab_bytes_used(slab), KVR__SLAB_MAX + 1 + 100000);

    kvr__slab_free(slab, a, KVR__SLAB_MAX + 1);
    kvr__slab_check(slab);
    kvr__slab_free(slab, b, 100000);
    cr_assert_eq(alloc.live_bytes, before);

    cr_assert_not_null(kvr__slab_alloc(slab, 5000), "left for kvr__slab_free_all to find");
}

/* FAULTS 89: the head of a large block is added to what was asked for. */
Test(base_slab, sizes_that_do_not_fit_are_refused)
{
    cr_assert_null(kvr__slab_alloc(slab, SIZE_MAX));
    cr_assert_null(kvr__slab_alloc(slab, SIZE_MAX - 8));
    cr_assert_null(kvr__slab_alloc(slab, SIZE_MAX / 2));
    cr_assert_eq(kvr__slab_bytes_used(slab), 0);
}

typedef struct model_block {
    uint8_t *ptr;
    size_t size;
    uint8_t fill;
} model_block;

/* Each block is filled with its own byte to its last byte: an overlap changes a neighbour. */
static void run_against_model(uint64_t seed)
{
    enum { BLOCKS = 500, STEPS = 20000 };
    static model_block blocks[BLOCKS];
    memset(blocks, 0, sizeof blocks);
    kvr__random random;
    kvr__random_init(&random, seed);
    uint64_t used = 0;
    for (int step = 0; step < STEPS; step++) {
        model_block *b = &blocks[kvr__random_below(&random, BLOCKS)];
        if (b->ptr != NULL) {
            for (size_t i = 0; i < b->size; i++) {
                cr_assert_eq(b->ptr[i], b->fill, "seed %llu", (unsigned long long)seed);
            }
            kvr__slab_free(slab, b->ptr, b->size);
            used -= b->size > KVR__SLAB_MAX ? b->size : (b->size + 7) / 8 * 8;
            b->ptr = NULL;
        } else {
            uint64_t limit = kvr__random_below(&random, 10) == 0 ? 2 * KVR__SLAB_MAX : 100;
            b->size = 1 + (size_t)kvr__random_below(&random, limit);
            b->fill = (uint8_t)kvr__random_next(&random);
            b->ptr = kvr__slab_alloc(slab, b->size);
            cr_assert_eq((uintptr_t)b->ptr % 8, 0);
            memset(b->ptr, b->fill, b->size);
            used += b->size > KVR__SLAB_MAX ? b->size : (b->size + 7) / 8 * 8;
        }
        cr_assert_eq(kvr__slab_bytes_used(slab), used, "seed %llu", (unsigned long long)seed);
        if (step % 100 == 0) {
            kvr__slab_check(slab);
        }
    }
}

Test(base_slab, random_use_keeps_blocks_apart)
{
    for (uint64_t seed = 1; seed <= 5; seed++) {
        run_against_model(seed);
        kvr__slab_free_all(slab);
        slab = kvr__slab_new(&mem, KVR__MEM_RECORD);
    }
}

/* However two reservations and foreign allocations are mixed, what was promised is there. */
Test(base_slab, reservations_of_several_sizes_hold_at_once)
{
    kvr__random random;
    for (uint64_t seed = 1; seed <= 200; seed++) {
        kvr__random_init(&random, seed);
        uint32_t small = 1 + (uint32_t)kvr__random_below(&random, 40);
        uint32_t big = 1 + (uint32_t)kvr__random_below(&random, 40);
        cr_assert_eq(kvr__slab_reserve(slab, 40, small), KVR_OK);
        cr_assert_eq(kvr__slab_reserve(slab, 1024, big), KVR_OK);
        cr_assert_eq(kvr__slab_reserve(slab, 40, small / 2), KVR_OK);

        fault_arm(FAULT_ALLOC, 1, true);
        while (kvr__random_below(&random, 20) != 0) {
            (void)kvr__slab_alloc(slab, 8 * (6 + (size_t)kvr__random_below(&random, 100)));
        }
        while (small + big > 0) {
            uint32_t *left =
                big == 0 || (small > 0 && kvr__random_below(&random, 2) == 0) ? &small : &big;
            void *ptr = kvr__slab_alloc(slab, left == &small ? 40 : 1024);
            cr_assert_not_null(ptr, "seed %llu", (unsigned long long)seed);
            (*left)--;
        }
        fault_disarm();
    }
}

Test(base_slab, a_reservation_of_nothing_or_of_what_is_free_allocates_nothing)
{
    cr_assert_eq(kvr__slab_reserve(slab, 64, 10), KVR_OK);
    uint64_t calls = alloc.call_count;

    cr_assert_eq(kvr__slab_reserve(slab, 64, 10), KVR_OK);
    cr_assert_eq(kvr__slab_reserve(slab, 60, 3), KVR_OK);
    cr_assert_eq(kvr__slab_reserve(slab, 64, 0), KVR_OK);

    cr_assert_eq(alloc.call_count, calls);
}

static void *body_block;
static kvr_status body_status;

static void fresh_slab(void)
{
    kvr__slab_free_all(slab);
    slab = kvr__slab_new(&mem, KVR__MEM_RECORD);
    cr_assert_not_null(kvr__slab_alloc(slab, 24));
}

Test(base_slab, after_a_refused_allocation_all_is_as_it_was)
{
    static const size_t sizes[] = {24, 25, 200, 1024, 1025, 100000};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        for (int fill = 0; fill < 25; fill++) {
            FAULT_SWEEP(
                {
                    fresh_slab();
                    for (int n = 0; n < fill; n++) {
                        (void)kvr__slab_alloc(slab, 24);
                    }
                },
                body_block = kvr__slab_alloc(slab, sizes[i]),
                {
                    cr_assert_eq(body_block == NULL, fault_fired() > 0, "%s", fault_text());
                    kvr__slab_check(slab);
                    cr_assert_eq(kvr__slab_bytes_used(slab) <= 24 * (1 + (uint64_t)fill),
                                 body_block == NULL);
                    cr_assert_not_null(kvr__slab_alloc(slab, sizes[i]));
                });
        }
    }
}

Test(base_slab, after_a_refused_reservation_nothing_is_lost)
{
    FAULT_SWEEP(fresh_slab(), body_status = kvr__slab_reserve(slab, 500, 300), {
        cr_assert_eq(body_status, fault_fired() > 0 ? KVR_ENOMEM : KVR_OK, "%s", fault_text());
        kvr__slab_check(slab);
        cr_assert_eq(kvr__slab_bytes_used(slab), 24);
        cr_assert_eq(kvr__slab_reserve(slab, 500, 300), KVR_OK);
    });
}

Test(base_slab, a_slab_that_cannot_be_made_is_null)
{
    fault_arm(FAULT_ALLOC, 1, false);
    cr_assert_null(kvr__slab_new(&mem, KVR__MEM_RECORD));
    fault_disarm();
    kvr__slab_free_all(NULL);
}

/* FAULTS 39: a pointer that is kept too long, in the builds that look for it. AddressSanitizer
 * would end the program at the write, so there the test only asks it. */
#ifdef KVR__ASAN
Test(base_slab, free_memory_is_poisoned_for_the_sanitizer)
{
    uint8_t *ptr = kvr__slab_alloc(slab, 64);
    cr_assert_not(__asan_address_is_poisoned(ptr + 63));

    kvr__slab_free(slab, ptr, 64);

    cr_assert(__asan_address_is_poisoned(ptr + 63));
    cr_assert(__asan_address_is_poisoned(ptr + 64), "room that was never handed out");
}
#elif defined(KVR_CHECK)
Test(base_slab, a_write_after_free_is_found_on_reuse, .signal = SIGABRT)
{
    (void)freopen("/dev/null", "w", stderr);
    uint8_t *ptr = kvr__slab_alloc(slab, 64);
    kvr__slab_free(slab, ptr, 64);

    ptr[63] = 1;

    (void)kvr__slab_alloc(slab, 64);
}
#endif
