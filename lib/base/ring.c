/* SPDX-License-Identifier: Apache-2.0 */
/* ring.c: a double-ended queue in a power-of-two array. `head` and item numbers are taken modulo
 * the capacity by a mask, so nothing ever moves but when the array grows. */
#include "base/ring.h"

#include "base/assertion.h"

#include <string.h>

/* In the hostile build a ring moves and wraps from its second item on. */
#ifdef KVR_HOSTILE
enum { FIRST_ITEMS = 1 };
#else
enum { FIRST_ITEMS = 4 };
#endif

void kvr__ring_init(kvr__ring *ring, kvr__mem *mem, uint32_t kind, uint32_t item_size)
{
    KVR_ASSERT(item_size > 0);
    *ring = (kvr__ring){.mem = mem, .kind = kind, .item_size = item_size};
}

void kvr__ring_release(kvr__ring *ring)
{
    kvr__mem_free(ring->mem, ring->kind, ring->items, (size_t)ring->capacity * ring->item_size);
    kvr__ring_init(ring, ring->mem, ring->kind, ring->item_size);
}

kvr_status kvr__ring_grow(kvr__ring *ring, uint32_t more)
{
    uint64_t capacity = ring->capacity == 0 ? FIRST_ITEMS : ring->capacity;
    while (capacity < (uint64_t)ring->count + more) {
        capacity *= 2;
    }
    size_t size = 0;
    if (capacity > UINT32_MAX || __builtin_mul_overflow(capacity, ring->item_size, &size)) {
        return KVR_ENOMEM;
    }
    uint8_t *items = kvr__mem_alloc(ring->mem, ring->kind, size);
    if (items == NULL) {
        return KVR_ENOMEM;
    }
    if (ring->count > 0) { /* in two pieces if the old ones wrap around */
        uint32_t to_end = ring->capacity - ring->head;
        size_t first = (size_t)(ring->count < to_end ? ring->count : to_end) * ring->item_size;
        memcpy(items, ring->items + (size_t)ring->head * ring->item_size, first);
        memcpy(items + first, ring->items, (size_t)ring->count * ring->item_size - first);
    }
    kvr__mem_free(ring->mem, ring->kind, ring->items, (size_t)ring->capacity * ring->item_size);
    ring->items = items;
    ring->head = 0;
    ring->capacity = (uint32_t)capacity;
    return KVR_OK;
}
