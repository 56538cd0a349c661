/* SPDX-License-Identifier: Apache-2.0 */
/* mvcc_view.c: views, and what is left of them. A view is a copied snap and a share in a pin.
 * Freeing one only sets a flag, since that may happen on another thread; the owner looks for flags
 * at its next write, if the store's count of them says so. */
#include "mvcc_internal.h"

kvr_mvcc_view *kvr__mvcc_view_new(kvr_mvcc *store, const kvr__mvcc_snap *snap, bool is_head)
{
    kvr__mvcc_content *content = store->content;
    kvr_mvcc_view *view = kvr__mem_zalloc(&store->mem, KVR__MEM_TREE, sizeof *view);
    if (view == NULL) {
        return NULL;
    }
    kvr__mvcc_pin *pin = is_head ? content->head_pin : NULL;
    if (pin != NULL) {
        pin->refs++;
    } else {
        pin = kvr__mvcc_pin_new(content);
        if (pin == NULL) {
            kvr__mem_free(&store->mem, KVR__MEM_TREE, view, sizeof *view);
            return NULL;
        }
        kvr__mvcc_pin_open(content, pin, snap->revision, true);
        if (is_head) {
            content->head_pin = pin;
        }
    }
    view->snap = *snap;
    view->store = store;
    view->content = content;
    view->pin = pin;
    atomic_init(&view->closed, 0);
    kvr__list_push_back(&content->views, &view->link);
    content->view_count++;
    return view;
}

kvr_status kvr_mvcc_view_open(kvr_mvcc *store, kvr_mvcc_view **out_view)
{
    kvr__mvcc_view_collect(store, KVR__MVCC_REAP_BUDGET);
    kvr_mvcc_view *view = kvr__mvcc_view_new(store, &store->content->head, true);
    if (view == NULL) {
        return KVR_ENOMEM;
    }
    *out_view = view;
    return KVR_OK;
}

void kvr_mvcc_view_free(kvr_mvcc_view *view)
{
    if (view == NULL) {
        return;
    }
    kvr_mvcc *store = view->store;
    KVR_ASSERT(atomic_load_explicit(&view->closed, memory_order_relaxed) == 0);
    /* The owner may take the view away as soon as the flag is set. */
    atomic_store_explicit(&view->closed, 1, memory_order_release);
    atomic_fetch_add_explicit(&store->views_closed, 1, memory_order_release);
}

uint64_t kvr_mvcc_view_revision(const kvr_mvcc_view *view)
{
    return view->snap.revision;
}

uint64_t kvr_mvcc_view_compacted(const kvr_mvcc_view *view)
{
    return view->snap.compacted;
}

/* ------------------------------------------------------------------ taking back */

static void collect_closed(kvr_mvcc *store, kvr__mvcc_content *content)
{
    for (kvr__list *l = content->views.next, *next; l != &content->views; l = next) {
        kvr_mvcc_view *view = KVR__CONTAINER_OF(l, kvr_mvcc_view, link);
        next = l->next;
        if (atomic_load_explicit(&view->closed, memory_order_acquire) != 0) {
            kvr__list_remove(&view->link);
            content->view_count--;
            kvr__mvcc_pin_close(content, view->pin);
            kvr__mem_free(&store->mem, KVR__MEM_TREE, view, sizeof *view);
        }
    }
}

void kvr__mvcc_view_collect(kvr_mvcc *store, uint32_t budget)
{
    if (atomic_load_explicit(&store->views_closed, memory_order_relaxed) != 0) {
        (void)atomic_exchange_explicit(&store->views_closed, 0, memory_order_acquire);
        collect_closed(store, store->content);
        for (kvr__list *l = store->former.next; l != &store->former; l = l->next) {
            collect_closed(store, KVR__CONTAINER_OF(l, kvr__mvcc_content, link));
        }
    }
    if (store->content->closed_count > 0) {
        (void)kvr__mvcc_pin_reap(store->content, budget);
    }
    for (kvr__list *l = store->former.next, *next; l != &store->former; l = next) {
        kvr__mvcc_content *content = KVR__CONTAINER_OF(l, kvr__mvcc_content, link);
        next = l->next;
        if (content->seen == 0) {
            kvr__list_remove(&content->link);
            kvr__mvcc_content_free(content);
        }
    }
}
