/* SPDX-License-Identifier: Apache-2.0 */
/* watch_batch.c: events as a group wants them, and batches for one watcher alone. Events of a batch
 * are read from the store when the batch is made and lie in one array that the next batch
 * reuses. */
#include "watch_internal.h"

#include "base/array.h"
#include "base/assertion.h"

#include <string.h>

kvr_status kvr__watch_events_reserve(kvr_watch_hub *hub, uint32_t count)
{
    return kvr__array_grow(&hub->mem, KVR__MEM_WATCH, (void **)&hub->events, &hub->event_capacity,
                           count, sizeof *hub->events);
}

bool kvr__watch_group_wants(const kvr__watch_group *group, const kvr_event *event)
{
    uint32_t unwanted = event->type == KVR_EVENT_PUT ? KVR_WATCH_NO_PUT : KVR_WATCH_NO_DELETE;
    return (group->flags & unwanted) == 0;
}

void kvr__watch_event_trim(const kvr__watch_group *group, kvr_event *event)
{
    if ((group->flags & KVR_WATCH_PREV_KV) == 0) {
        memset(&event->prev, 0, sizeof event->prev);
        event->has_prev = 0;
    }
}

kvr_status kvr__watch_event_at(const kvr_watch_hub *hub, const kvr_mvcc_changes *place,
                               const kvr__watch_group *group, kvr_event *out_event)
{
    kvr_mvcc_changes cursor = *place;
    kvr_status status = kvr_mvcc_changes_next(&cursor, hub->store, out_event);
    if (status != KVR_OK) {
        return KVR_ECOMPACTED;
    }
    kvr__watch_event_trim(group, out_event);
    return KVR_OK;
}

static const kvr_watch_target *lone_target(kvr_watch_hub *hub, const kvr__watcher *watcher)
{
    hub->lone = (kvr_watch_target){watcher->id, watcher->user};
    return &hub->lone;
}

void kvr__watch_batch_lone(kvr_watch_hub *hub, const kvr__watcher *watcher, uint32_t count,
                           kvr_watch_batch *out_batch)
{
    *out_batch = (kvr_watch_batch){
        .targets = lone_target(hub, watcher),
        .events = hub->events,
        .target_count = 1,
        .event_count = count,
        .flags = watcher->skip > 0 ? KVR_WATCH_PART : 0,
        .revision = watcher->revision - 1,
    };
}

void kvr__watch_batch_end(kvr_watch_hub *hub, kvr__watcher *watcher, kvr_watch_batch *out_batch)
{
    *out_batch = (kvr_watch_batch){
        .targets = lone_target(hub, watcher),
        .target_count = 1,
        .status = KVR_ECOMPACTED,
        .revision = watcher->revision - 1,
        .compacted = hub->compacted,
    };
    kvr__watch_free(hub, watcher);
}
