/* SPDX-License-Identifier: Apache-2.0 */
/* lease_check.c: the numbered invariants of README.md, over the whole book. */
#include "lease_internal.h"

#include "base/assertion.h"

enum { DOOR_LEASES_MAX = 1000 };

/* Checks the subtree below a node whose ids must be within low..high, and counts its leases. */
static uint32_t check_node(const kvr__lease_node *node, uint32_t level, int64_t low, int64_t high)
{
    uint32_t leases = level == 1 ? (uint32_t)node->count : 0;
    /* 1 */
    KVR_ASSERT(node->count > 0);
    KVR_ASSERT(node->count <= KVR__LEASE_FANOUT);
    for (uint32_t i = 0; i < node->count; i++) {
        if (i > 0) {
            KVR_ASSERT(node->ids[i - 1] < node->ids[i]);
        }
        /* 2 */
        KVR_ASSERT(node->ids[i] >= low);
        KVR_ASSERT(node->ids[i] <= high);
        if (level == 1) {
            KVR_ASSERT(((const kvr__lease *)node->kids[i])->id == node->ids[i]);
        } else {
            int64_t last = i + 1 == node->count ? high : node->ids[i + 1] - 1;
            leases += check_node(node->kids[i], level - 1, node->ids[i], last);
        }
    }
    return leases;
}

static void check_set(const kvr__lease_set *set)
{
    KVR_ASSERT((set->root == NULL) == (set->height == 0));
    uint32_t in_tree =
        set->height == 0 ? 0 : check_node(set->root, set->height, INT64_MIN, INT64_MAX);
    uint32_t in_chain = 0;
    uint64_t hash = 0;
    kvr__lease_spot spot = kvr__lease_set_seek(set, INT64_MIN);
    for (const kvr__lease *lease; (lease = kvr__lease_set_next(&spot)) != NULL;) {
        in_chain++;
        hash += kvr__lease_hash(lease);
        /* 4 */
        KVR_ASSERT(lease->id != 0);
        KVR_ASSERT(lease->ttl_ns >= kvr_lease_ttl_ns_min());
        KVR_ASSERT(lease->ttl_ns <= kvr_lease_ttl_ns_max());
    }
    /* 3 */
    KVR_ASSERT(in_tree == set->count);
    KVR_ASSERT(in_chain == set->count);
    KVR_ASSERT(hash == set->hash);
}

static void check_heap(const kvr__lease_heap *heap)
{
    for (uint32_t i = 0; i < heap->count; i++) {
        kvr__lease_heap_entry e = heap->entries[i];
        /* 5 */
        KVR_ASSERT(e.lease->place[heap->which] == i + 1);
        KVR_ASSERT(e.key <= kvr__lease_event(e.lease, heap->which));
        if (i > 0) {
            kvr__lease_heap_entry parent = heap->entries[(i - 1) / 4];
            KVR_ASSERT(parent.key <= e.key);
        }
    }
}

static void check_states(const kvr_lease_book *book)
{
    uint32_t places[KVR__LEASE_HEAPS] = {0, 0};
    kvr__lease_spot spot = kvr__lease_set_seek(&book->set, INT64_MIN);
    for (const kvr__lease *lease; (lease = kvr__lease_set_next(&spot)) != NULL;) {
        bool may_lag = lease->is_named == 0 && lease->is_recording == 0 && lease->recorded_ns == 0;
        /* 6 */
        KVR_ASSERT((lease->place[KVR__LEASE_DUE] != 0) == (lease->is_named == 0));
        KVR_ASSERT((lease->place[KVR__LEASE_LAGGARD] != 0) == may_lag);
        places[KVR__LEASE_DUE] += lease->place[KVR__LEASE_DUE] != 0;
        places[KVR__LEASE_LAGGARD] += lease->place[KVR__LEASE_LAGGARD] != 0;
    }
    for (uint32_t which = 0; which < KVR__LEASE_HEAPS; which++) {
        KVR_ASSERT(places[which] == book->heaps[which].count);
    }
}

void kvr__lease_check(const kvr_lease_book *book)
{
    kvr__mem_check(&book->mem);
    check_set(&book->set);
    if (book->loading.slab != NULL) {
        check_set(&book->loading);
    }
    for (uint32_t which = 0; which < KVR__LEASE_HEAPS; which++) {
        const kvr__lease_heap *heap = &book->heaps[which];
        /* 7 */
        KVR_ASSERT(heap->which == which);
        KVR_ASSERT(heap->capacity >= book->set.count);
        KVR_ASSERT(heap->capacity >= book->loading.count);
        check_heap(heap);
        /* 8 */
        if (book->leads == 0) {
            KVR_ASSERT(heap->count == 0);
        }
    }
    if (book->leads != 0) {
        check_states(book);
    }
}

void kvr__lease_check_door(const kvr_lease_book *book)
{
    if (book->set.count <= DOOR_LEASES_MAX && book->loading.count <= DOOR_LEASES_MAX) {
        kvr__lease_check(book);
    }
}
