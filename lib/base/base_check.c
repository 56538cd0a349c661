/* SPDX-License-Identifier: Apache-2.0 */
/* base_check.c: the numbered invariants of README.md. They walk whole structures, so no container
 * calls them at its own door: the checks of the rooms that own containers do, and the tests. */
#include "base/assertion.h"
#include "base/heap.h"
#include "base/map.h"
#include "base/memory.h"
#include "base/ring.h"

static bool is_zero_or_power_of_two(uint32_t n)
{
    return (n & (n - 1)) == 0;
}

void kvr__mem_check(const kvr__mem *mem)
{
    /* 1 */
    KVR_ASSERT(mem->table != NULL);
    KVR_ASSERT(kvr__mem_bytes(mem) >= mem->blocks);
    if (mem->blocks == 0) {
        KVR_ASSERT(kvr__mem_bytes(mem) == 0);
    }
}

void kvr__ring_check(const kvr__ring *ring)
{
    /* 7 */
    KVR_ASSERT(is_zero_or_power_of_two(ring->capacity));
    KVR_ASSERT(ring->count <= ring->capacity);
    if (ring->capacity == 0) {
        KVR_ASSERT(ring->items == NULL);
        KVR_ASSERT(ring->head == 0);
    } else {
        KVR_ASSERT(ring->head < ring->capacity);
    }
}

void kvr__map_check(const kvr__map *map)
{
    KVR_ASSERT(is_zero_or_power_of_two(map->capacity));
    uint32_t taken = 0;
    for (uint32_t i = 0; i < map->capacity; i++) {
        if (map->slots[i].value != NULL) {
            taken++;
            /* 8: a search finds this value: no free slot before it, no other with its key */
            KVR_ASSERT(kvr__map_get(map, map->slots[i].key) == map->slots[i].value);
        }
    }
    /* 9 */
    KVR_ASSERT(taken == map->count);
    KVR_ASSERT(map->count <= map->capacity - map->capacity / 8);
}

void kvr__heap_check(const kvr__heap *heap)
{
    KVR_ASSERT(heap->count <= heap->capacity);
    for (uint32_t i = 0; i < heap->count; i++) {
        const kvr__heap_item *item = heap->items[i];
        /* 10 */
        KVR_ASSERT(item->place == i + 1);
        /* 11 */
        if (i > 0) {
            const kvr__heap_item *parent = heap->items[(i - 1) / 2];
            KVR_ASSERT(parent->key < item->key ||
                       (parent->key == item->key && parent->id <= item->id));
        }
    }
}
