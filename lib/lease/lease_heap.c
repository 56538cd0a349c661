/* SPDX-License-Identifier: Apache-2.0 */
/* lease_heap.c: leases by the time of an event, in a min-heap of four children a node whose keys
 * lie in the array: the children of a node are one cache line, and a million leases are ten levels.
 * Keys may be late (below the event), never ahead of it: a renewal does not come here. Equal keys
 * go by id, so that leases leave in one order on every machine. */
#include "lease_internal.h"

#include "base/array.h"
#include "base/assertion.h"

enum { ARITY = 4 };

typedef kvr__lease_heap_entry entry;

static bool is_before(entry a, entry b)
{
    return a.key != b.key ? a.key < b.key : a.lease->id < b.lease->id;
}

static void put(kvr__lease_heap *heap, uint32_t i, entry e)
{
    heap->entries[i] = e;
    e.lease->place[heap->which] = i + 1;
}

static void sift_up(kvr__lease_heap *heap, uint32_t i, entry e)
{
    while (i > 0 && is_before(e, heap->entries[(i - 1) / ARITY])) {
        put(heap, i, heap->entries[(i - 1) / ARITY]);
        i = (i - 1) / ARITY;
    }
    put(heap, i, e);
}

static void sift_down(kvr__lease_heap *heap, uint32_t i, entry e)
{
    for (;;) {
        uint64_t first = (uint64_t)i * ARITY + 1;
        if (first >= heap->count) {
            break;
        }
        uint32_t least = (uint32_t)first;
        for (uint32_t child = least + 1; child < heap->count && child < first + ARITY; child++) {
            if (is_before(heap->entries[child], heap->entries[least])) {
                least = child;
            }
        }
        if (!is_before(heap->entries[least], e)) {
            break;
        }
        put(heap, i, heap->entries[least]);
        i = least;
    }
    put(heap, i, e);
}

kvr_status kvr__lease_heap_reserve(kvr__lease_heap *heap, kvr__mem *mem, uint32_t count)
{
    return kvr__array_grow(mem, KVR__MEM_LEASE, (void **)&heap->entries, &heap->capacity, count,
                           sizeof *heap->entries);
}

void kvr__lease_heap_release(kvr__lease_heap *heap, kvr__mem *mem)
{
    kvr__array_free(mem, KVR__MEM_LEASE, (void **)&heap->entries, &heap->capacity,
                    sizeof *heap->entries);
    heap->count = 0;
}

void kvr__lease_heap_append(kvr__lease_heap *heap, kvr__lease *lease)
{
    KVR_ASSERT(heap->count < heap->capacity);
    put(heap, heap->count, (entry){kvr__lease_event(lease, heap->which), lease});
    heap->count++;
}

void kvr__lease_heap_push(kvr__lease_heap *heap, kvr__lease *lease)
{
    KVR_ASSERT(lease->place[heap->which] == 0);
    kvr__lease_heap_append(heap, lease);
    sift_up(heap, heap->count - 1, heap->entries[heap->count - 1]);
}

void kvr__lease_heap_order(kvr__lease_heap *heap)
{
    for (uint32_t i = (heap->count + ARITY - 2) / ARITY; i > 0; i--) { /* each that has children */
        sift_down(heap, i - 1, heap->entries[i - 1]);
    }
}

void kvr__lease_heap_remove(kvr__lease_heap *heap, kvr__lease *lease)
{
    uint32_t place = lease->place[heap->which];
    if (place == 0) {
        return;
    }
    KVR_ASSERT(place <= heap->count);
    KVR_ASSERT(heap->entries[place - 1].lease == lease);
    lease->place[heap->which] = 0;
    heap->count--;
    entry last = heap->entries[heap->count];
    if (last.lease == lease) {
        return;
    }
    uint32_t i = place - 1;
    if (i > 0 && is_before(last, heap->entries[(i - 1) / ARITY])) {
        sift_up(heap, i, last);
    } else {
        sift_down(heap, i, last);
    }
}

kvr__lease *kvr__lease_heap_first(kvr__lease_heap *heap, uint64_t now_ns, uint32_t *looks)
{
    while (heap->count > 0 && heap->entries[0].key <= now_ns) {
        entry top = heap->entries[0];
        uint64_t event = kvr__lease_event(top.lease, heap->which);
        KVR_ASSERT(event >= top.key);
        if (event == top.key) {
            return top.lease; /* no other key, so no other event, is before */
        }
        if (*looks == 0) {
            return NULL;
        }
        (*looks)--;
        sift_down(heap, 0, (entry){event, top.lease});
    }
    return NULL;
}
