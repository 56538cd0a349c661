/* SPDX-License-Identifier: Apache-2.0 */
/* node_watch.c: watches. They may be opened, cancelled, paused and resumed anywhere, also by a host
 * that reads a batch just then. A batch lends the very list of targets that the hub keeps, so what
 * would change that list waits until the batch is over; opening changes no list, as a new watcher
 * joins it later. */
#include "node_internal.h"

/* The hub is made with the first watch: most of a process's many groups are never watched. */
static kvr_status need_hub(kvr_node *node)
{
    kvr_watch_config config;
    if (node->hub != NULL) {
        return KVR_OK;
    }
    kvr_status status = kvr_watch_config_init(&config, sizeof config);
    if (status != KVR_OK) {
        return status;
    }
    config.allocator = node->config.allocator;
    config.allocator_ctx = node->config.allocator_ctx;
    return kvr_watch_hub_new(&config, node->store, &node->hub);
}

bool kvr__watches_have_work(const kvr_node *node)
{
    return node->hub != NULL && kvr_watch_has_work(node->hub);
}

kvr_status kvr_node_watch(kvr_node *node, const kvr_watch_request *request, uint64_t *out_id)
{
    if (node == NULL || request == NULL || out_id == NULL) {
        return KVR_EINVAL;
    }
    kvr_status status = kvr__node_may_take(node);
    status = status == KVR_OK ? need_hub(node) : status;
    return status != KVR_OK ? status : kvr_watch_open(node->hub, request, out_id);
}

static kvr_status change(kvr_node *node, uint64_t id, uint64_t what)
{
    switch (what) {
    case KVR__WATCH_CANCEL:
        return kvr_watch_cancel(node->hub, id);
    case KVR__WATCH_PAUSE:
        return kvr_watch_pause(node->hub, id);
    default:
        return kvr_watch_resume(node->hub, id);
    }
}

static kvr_status change_or_wait(kvr_node *node, uint64_t id, uint64_t what)
{
    if (node == NULL) {
        return KVR_EINVAL;
    }
    if (node->hub == NULL) {
        return KVR_ENOTFOUND;
    }
    if (node->ready.batch_count == 0) {
        return change(node, id, what);
    }
    uint64_t delivered;
    kvr_status status = kvr_watch_delivered(node->hub, id, &delivered);
    if (status != KVR_OK) {
        return status;
    }
    if (node->watch_changes.count >= KVR__WATCH_CHANGES_MAX) {
        return KVR_EBUSY;
    }
    kvr__watch_change *waiting = kvr__ring_push(&node->watch_changes);
    if (waiting == NULL) {
        return KVR_ENOMEM;
    }
    *waiting = (kvr__watch_change){id, what};
    return KVR_OK;
}

kvr_status kvr_node_watch_cancel(kvr_node *node, uint64_t id)
{
    return change_or_wait(node, id, KVR__WATCH_CANCEL);
}

kvr_status kvr_node_watch_pause(kvr_node *node, uint64_t id)
{
    return change_or_wait(node, id, KVR__WATCH_PAUSE);
}

kvr_status kvr_node_watch_resume(kvr_node *node, uint64_t id)
{
    return change_or_wait(node, id, KVR__WATCH_RESUME);
}

kvr_status kvr__watches_show(kvr_node *node, uint32_t *budget)
{
    if (*budget == 0 || !kvr__watches_have_work(node)) {
        return KVR_OK;
    }
    kvr_status status = kvr_watch_next(node->hub, *budget, &node->batch);
    if (status == KVR_OK) {
        node->ready.batches = &node->batch;
        node->ready.batch_count = 1;
        uint32_t cost = node->batch.event_count + node->batch.target_count;
        *budget -= cost < *budget ? cost : *budget;
    } else if (status == KVR_AGAIN) {
        *budget = 0;
    }
    return status == KVR_ENOMEM ? status : KVR_OK;
}

void kvr__watches_advance(kvr_node *node)
{
    node->ready.batch_count = 0;
    for (; node->watch_changes.count > 0; kvr__ring_pop_front(&node->watch_changes, 1)) {
        const kvr__watch_change *waiting = kvr__ring_at(&node->watch_changes, 0);
        kvr_status status = change(node, waiting->id, waiting->what);
        KVR_ASSERT(status == KVR_OK || status == KVR_ENOTFOUND); /* cancelled twice */
    }
}
