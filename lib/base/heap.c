/* SPDX-License-Identifier: Apache-2.0 */
/* heap.c: a binary min-heap. items[0] is the least; the children of i are 2i + 1 and 2i + 2; each
 * item's `place` is its index + 1. Items are moved as a hole travels, not swapped. */
#include "base/heap.h"

#include "base/array.h"
#include "base/assertion.h"

static bool is_before(const kvr__heap_item *a, const kvr__heap_item *b)
{
    return a->key != b->key ? a->key < b->key : a->id < b->id;
}

static void place_item(kvr__heap *heap, uint32_t i, kvr__heap_item *item)
{
    heap->items[i] = item;
    item->place = i + 1;
}

static void sift_up(kvr__heap *heap, uint32_t i, kvr__heap_item *item)
{
    while (i > 0 && is_before(item, heap->items[(i - 1) / 2])) {
        place_item(heap, i, heap->items[(i - 1) / 2]);
        i = (i - 1) / 2;
    }
    place_item(heap, i, item);
}

static void sift_down(kvr__heap *heap, uint32_t i, kvr__heap_item *item)
{
    while (i < heap->count / 2) {
        uint32_t child = 2 * i + 1;
        if (child + 1 < heap->count && is_before(heap->items[child + 1], heap->items[child])) {
            child++;
        }
        if (is_before(item, heap->items[child])) {
            break;
        }
        place_item(heap, i, heap->items[child]);
        i = child;
    }
    place_item(heap, i, item);
}

/* Puts `item` where it belongs, starting from the hole at i. */
static void settle(kvr__heap *heap, uint32_t i, kvr__heap_item *item)
{
    if (i > 0 && is_before(item, heap->items[(i - 1) / 2])) {
        sift_up(heap, i, item);
    } else {
        sift_down(heap, i, item);
    }
}

void kvr__heap_init(kvr__heap *heap, kvr__mem *mem, uint32_t kind)
{
    *heap = (kvr__heap){.mem = mem, .kind = kind};
}

void kvr__heap_release(kvr__heap *heap)
{
    kvr__array_free(heap->mem, heap->kind, (void **)&heap->items, &heap->capacity,
                    sizeof *heap->items);
    heap->count = 0;
}

kvr_status kvr__heap_reserve(kvr__heap *heap, uint32_t more)
{
    if (more > UINT32_MAX - 1 - heap->count) { /* `place` is an index + 1 */
        return KVR_ENOMEM;
    }
    return kvr__array_grow(heap->mem, heap->kind, (void **)&heap->items, &heap->capacity,
                           heap->count + more, sizeof *heap->items);
}

kvr_status kvr__heap_push(kvr__heap *heap, kvr__heap_item *item)
{
    KVR_ASSERT(item->place == 0);
    kvr_status status = kvr__heap_reserve(heap, 1);
    if (status != KVR_OK) {
        return status;
    }
    heap->count++;
    sift_up(heap, heap->count - 1, item);
    return KVR_OK;
}

void kvr__heap_remove(kvr__heap *heap, kvr__heap_item *item)
{
    if (item->place == 0) {
        return;
    }
    KVR_ASSERT(item->place <= heap->count);
    KVR_ASSERT(heap->items[item->place - 1] == item);
    uint32_t i = item->place - 1;
    item->place = 0;
    heap->count--;
    kvr__heap_item *last = heap->items[heap->count];
    if (last != item) {
        settle(heap, i, last);
    }
}

kvr__heap_item *kvr__heap_top(const kvr__heap *heap)
{
    return heap->count == 0 ? NULL : heap->items[0];
}
