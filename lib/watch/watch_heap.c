/* SPDX-License-Identifier: Apache-2.0 */
/* watch_heap.c: watchers by (revision, id) in a pairing heap (Fredman, Sedgewick, Sleator and
 * Tarjan, "The Pairing Heap", 1986): O(1) push, O(log n) amortized removal. The links lie in the
 * watcher, so that pausing and resuming never need memory. */
#include "watch_internal.h"

#include "base/assertion.h"

static kvr__watcher *watcher_of(kvr__watch_knot *knot)
{
    return KVR__CONTAINER_OF(knot, kvr__watcher, at.knot);
}

static bool is_before(kvr__watch_knot *a, kvr__watch_knot *b)
{
    const kvr__watcher *x = watcher_of(a);
    const kvr__watcher *y = watcher_of(b);
    return x->revision != y->revision ? x->revision < y->revision : x->id < y->id;
}

/* One heap of two without siblings; either may be NULL. */
static kvr__watch_knot *meld(kvr__watch_knot *a, kvr__watch_knot *b)
{
    if (a == NULL || b == NULL) {
        return a == NULL ? b : a;
    }
    if (is_before(b, a)) {
        kvr__watch_knot *first = b;
        b = a;
        a = first;
    }
    b->prev = a;
    b->next = a->child;
    if (b->next != NULL) {
        b->next->prev = b;
    }
    a->child = b;
    return a;
}

/* One heap of a list of siblings: melds pairs from the left, then the pairs from the right. */
static kvr__watch_knot *meld_siblings(kvr__watch_knot *first)
{
    kvr__watch_knot *pairs = NULL; /* last one first, chained by prev */
    while (first != NULL) {
        kvr__watch_knot *a = first;
        kvr__watch_knot *b = a->next;
        first = b == NULL ? NULL : b->next;
        a->next = NULL;
        if (b != NULL) {
            b->next = NULL;
        }
        a = meld(a, b);
        a->prev = pairs;
        pairs = a;
    }
    kvr__watch_knot *root = NULL;
    while (pairs != NULL) {
        kvr__watch_knot *pair = pairs;
        pairs = pair->prev;
        pair->prev = NULL;
        root = meld(root, pair);
    }
    return root;
}

kvr__watcher *kvr__watch_heap_top(kvr__watch_knot *root)
{
    return root == NULL ? NULL : watcher_of(root);
}

void kvr__watch_heap_push(kvr__watch_knot **root, kvr__watcher *watcher)
{
    watcher->at.knot = (kvr__watch_knot){NULL, NULL, NULL};
    *root = meld(*root, &watcher->at.knot);
}

void kvr__watch_heap_remove(kvr__watch_knot **root, kvr__watcher *watcher)
{
    kvr__watch_knot *knot = &watcher->at.knot;
    kvr__watch_knot *below = meld_siblings(knot->child);
    if (knot == *root) {
        *root = below;
        return;
    }
    KVR_ASSERT(knot->prev != NULL);
    if (knot->prev->child == knot) {
        knot->prev->child = knot->next;
    } else {
        knot->prev->next = knot->next;
    }
    if (knot->next != NULL) {
        knot->next->prev = knot->prev;
    }
    *root = meld(*root, below);
}
