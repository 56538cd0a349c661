/* SPDX-License-Identifier: Apache-2.0 */
/* ring.h: a double-ended queue of items of one size in a power-of-two array that grows by doubling.
 * Pushing at the back and popping at both ends are O(1); item i counts from the front. */
#ifndef KVRAFT_LIB_BASE_RING_H
#define KVRAFT_LIB_BASE_RING_H

#include "base/assertion.h"
#include "base/memory.h"

typedef struct kvr__ring {
    kvr__mem *mem;
    uint8_t *items;
    uint32_t kind;
    uint32_t item_size;
    uint32_t head; /* physical place of item 0 */
    uint32_t count;
    uint32_t capacity; /* 0 or a power of two */
    uint32_t reserved;
} kvr__ring;

void kvr__ring_init(kvr__ring *ring, kvr__mem *mem, uint32_t kind, uint32_t item_size);
void kvr__ring_release(kvr__ring *ring);
kvr_status kvr__ring_grow(kvr__ring *ring, uint32_t more);

/* The next `more` pushes succeed. */
static inline kvr_status kvr__ring_reserve(kvr__ring *ring, uint32_t more)
{
    return more <= ring->capacity - ring->count ? KVR_OK : kvr__ring_grow(ring, more);
}

/* i < count */
static inline void *kvr__ring_at(const kvr__ring *ring, uint32_t i)
{
    KVR_ASSERT(i < ring->count);
    uint32_t place = (ring->head + i) & (ring->capacity - 1);
    return ring->items + (size_t)place * ring->item_size;
}

/* Room at the back; NULL: no memory. */
static inline void *kvr__ring_push(kvr__ring *ring)
{
    if (kvr__ring_reserve(ring, 1) != KVR_OK) {
        return NULL;
    }
    ring->count++;
    return kvr__ring_at(ring, ring->count - 1);
}

/* n <= count */
static inline void kvr__ring_pop_front(kvr__ring *ring, uint32_t n)
{
    KVR_ASSERT(n <= ring->count);
    if (n > 0) {
        ring->head = (ring->head + n) & (ring->capacity - 1);
        ring->count -= n;
    }
}

static inline void kvr__ring_pop_back(kvr__ring *ring, uint32_t n)
{
    KVR_ASSERT(n <= ring->count);
    ring->count -= n;
}

void kvr__ring_check(const kvr__ring *ring); /* invariant 7 of README.md */

#endif
