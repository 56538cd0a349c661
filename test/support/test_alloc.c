/* SPDX-License-Identifier: Apache-2.0 */
/* test_alloc.c: a checked header before each block and a guard behind it; blocks of one allocator
 * are a doubly linked list, newest first, so that a leak can be named. */
#include "support/test_alloc.h"

#include "support/fault_sweep.h"

#include <inttypes.h>
#include <stdalign.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAGIC_LIVE UINT64_C(0x6c6976652d626c6b)
#define MAGIC_DEAD UINT64_C(0x646561642d626c6b)
#define GUARD_SIZE 16
#define GUARD_BYTE 0xA5
#define FRESH_BYTE 0xCD
#define FREED_BYTE 0xDB
#define NAMED_LEAKS_MAX 8

typedef struct test_alloc_block {
    struct test_alloc_block *newer;
    struct test_alloc_block *older;
    uint64_t size;
    uint64_t call; /* which call of the allocator made it */
    uint64_t magic;
    alignas(max_align_t) uint8_t bytes[];
} test_alloc_block;

static void fail(const char *what, const void *ptr, uint64_t given, uint64_t asked)
{
    (void)fprintf(stderr, "test_alloc: %s: %p, given %" PRIu64 ", asked for %" PRIu64 "\n", what,
                  ptr, given, asked);
    abort();
}

static test_alloc_block *checked_block(void *ptr, size_t size)
{
    test_alloc_block *block = (test_alloc_block *)((uint8_t *)ptr - sizeof(test_alloc_block));
    if (block->magic != MAGIC_LIVE) {
        fail(block->magic == MAGIC_DEAD ? "freed twice" : "not a block, or overwritten before it",
             ptr, size, 0);
    }
    if (block->size != size) {
        fail("wrong size", ptr, size, block->size);
    }
    for (size_t i = 0; i < GUARD_SIZE; i++) {
        if (block->bytes[size + i] != GUARD_BYTE) {
            fail("written past its end", ptr, size, block->size);
        }
    }
    return block;
}

static void *test_alloc_alloc(void *ctx, size_t size)
{
    test_alloc *alloc = ctx;
    if (size == 0) {
        fail("size 0", NULL, 0, 0);
    }
    alloc->call_count++;
    bool over = alloc->bytes_max != 0 && alloc->live_bytes + size > alloc->bytes_max;
    if (over || fault_hits(FAULT_ALLOC) || size > SIZE_MAX / 2) {
        return NULL;
    }
    test_alloc_block *block = malloc(sizeof(test_alloc_block) + size + GUARD_SIZE);
    if (block == NULL) {
        return NULL;
    }
    block->newer = NULL;
    block->older = alloc->newest;
    if (alloc->newest != NULL) {
        alloc->newest->newer = block;
    }
    alloc->newest = block;
    block->size = size;
    block->call = alloc->call_count;
    block->magic = MAGIC_LIVE;
    if (!alloc->quiet) {
        memset(block->bytes, FRESH_BYTE, size);
    }
    memset(block->bytes + size, GUARD_BYTE, GUARD_SIZE);
    alloc->live_count++;
    alloc->live_bytes += size;
    if (alloc->live_bytes > alloc->peak_bytes) {
        alloc->peak_bytes = alloc->live_bytes;
    }
    return block->bytes;
}

static void test_alloc_free(void *ctx, void *ptr, size_t size)
{
    test_alloc *alloc = ctx;
    if (ptr == NULL) {
        fail("free of NULL", ptr, size, 0);
    }
    test_alloc_block *block = checked_block(ptr, size);
    if (block->newer != NULL) {
        block->newer->older = block->older;
    } else {
        if (alloc->newest != block) {
            fail("freed through another allocator", ptr, size, block->size);
        }
        alloc->newest = block->older;
    }
    if (block->older != NULL) {
        block->older->newer = block->newer;
    }
    alloc->live_count--;
    alloc->live_bytes -= size;
    block->magic = MAGIC_DEAD;
    if (!alloc->quiet) {
        memset(block->bytes, FREED_BYTE, size);
    }
    free(block);
}

/* Always moves: who keeps the old pointer finds 0xDB, or is found by the address build. */
static void *test_alloc_realloc(void *ctx, void *ptr, size_t old_size, size_t new_size)
{
    if (ptr == NULL) {
        if (old_size != 0) {
            fail("realloc of NULL with an old size", ptr, old_size, 0);
        }
        return test_alloc_alloc(ctx, new_size);
    }
    (void)checked_block(ptr, old_size);
    void *moved = test_alloc_alloc(ctx, new_size);
    if (moved == NULL) {
        return NULL;
    }
    memcpy(moved, ptr, old_size < new_size ? old_size : new_size);
    test_alloc_free(ctx, ptr, old_size);
    return moved;
}

const kvr_allocator test_alloc_table = {
    .size = sizeof(kvr_allocator),
    .alloc = test_alloc_alloc,
    .realloc = test_alloc_realloc,
    .free = test_alloc_free,
};

void test_alloc_init(test_alloc *alloc)
{
    memset(alloc, 0, sizeof *alloc);
}

bool test_alloc_is_empty(const test_alloc *alloc)
{
    uint64_t skip = alloc->live_count > NAMED_LEAKS_MAX ? alloc->live_count - NAMED_LEAKS_MAX : 0;
    for (const test_alloc_block *block = alloc->newest; block != NULL; block = block->older) {
        if (skip > 0) {
            skip--;
        } else {
            (void)fprintf(stderr, "test_alloc: still held: %" PRIu64 " bytes of call %" PRIu64 "\n",
                          block->size, block->call);
        }
    }
    return alloc->live_count == 0;
}
