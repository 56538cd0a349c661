/* SPDX-License-Identifier: Apache-2.0 */
/* heap.h: a binary min-heap of intrusive items ordered by (key, id), so that equal keys leave in
 * one order on every machine. Each item knows its place, so change and removal are O(log n). */
#ifndef KVRAFT_LIB_BASE_HEAP_H
#define KVRAFT_LIB_BASE_HEAP_H

#include "base/memory.h"

typedef struct kvr__heap_item {
    uint64_t key;
    uint64_t id;
    uint32_t place; /* 1-based; 0: not in a heap */
    uint32_t reserved;
} kvr__heap_item;

typedef struct kvr__heap {
    kvr__mem *mem;
    kvr__heap_item **items;
    uint32_t kind;
    uint32_t count;
    uint32_t capacity;
    uint32_t reserved;
} kvr__heap;

void kvr__heap_init(kvr__heap *heap, kvr__mem *mem, uint32_t kind);
void kvr__heap_release(kvr__heap *heap); /* items belong to their owners */
kvr_status kvr__heap_reserve(kvr__heap *heap, uint32_t more);
kvr_status kvr__heap_push(kvr__heap *heap, kvr__heap_item *item);
/* not inside: ignored */
void kvr__heap_remove(kvr__heap *heap, kvr__heap_item *item);
kvr__heap_item *kvr__heap_top(const kvr__heap *heap); /* NULL: empty */

/* invariants 10 and 11 of README.md; walks all items */
void kvr__heap_check(const kvr__heap *heap);

#endif
