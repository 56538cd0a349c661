/* SPDX-License-Identifier: Apache-2.0 */
/* watch_sweep.c: those who are behind, taken along by one sweep of the log. It starts at the lowest
 * position of all, halts just before each further one to let its watchers in, and ends where the
 * live stream stands; then its watchers wait for that one's next revision. Who turns up behind it
 * waits for the next sweep, in the other of two heaps. So a thousand watchers that are behind cost
 * one reading of the log. */
#include "watch_internal.h"

#include "base/assertion.h"

/* Lets in who stands just before the next revision. KVR_OK, KVR_AGAIN, KVR_ENOMEM. */
static kvr_status take_along(kvr_watch_hub *hub, uint32_t *budget)
{
    uint64_t next = hub->streams[KVR__WATCH_SWEEP].matched + 1;
    for (;;) {
        kvr__watcher *watcher = kvr__watch_heap_top(hub->lagging[hub->lag]);
        if (watcher == NULL || watcher->revision > next) {
            return KVR_OK;
        }
        KVR_ASSERT(watcher->revision == next);
        if (*budget == 0) {
            return KVR_AGAIN;
        }
        (*budget)--;
        kvr__watch_leave(hub, watcher);
        if (kvr__watch_lane_join(hub, watcher, KVR__WATCH_SWEEP) != KVR_OK) {
            kvr__watch_lag(hub, watcher);
            return KVR_ENOMEM;
        }
    }
}

/* Ends the sweep: sends its members on, then turns to those whom it had passed. */
static kvr_status end_sweep(kvr_watch_hub *hub, uint32_t *budget)
{
    kvr__watch_stream *sweep = &hub->streams[KVR__WATCH_SWEEP];
    while (!kvr__list_is_empty(&hub->swept)) {
        kvr__watch_swept *swept = KVR__CONTAINER_OF(hub->swept.next, kvr__watch_swept, link);
        if (*budget == 0) {
            return KVR_AGAIN;
        }
        (*budget)--;
        const kvr__watch_lane *lane = &swept->lane;
        kvr__watcher *last =
            kvr__watch_find(hub, kvr__watch_lane_targets(lane)[lane->count - 1].id);
        kvr__watch_leave(hub, last);
        kvr__watch_route(hub, last);
    }
    sweep->is_lost = 0;
    sweep->phase = KVR__WATCH_MATCHING;
    kvr__watch_stream_reset(sweep);
    hub->is_sweeping = 0;
    hub->lag = 1 - hub->lag;
    return KVR_DONE;
}

/* KVR_OK: under way; KVR_END: nobody is behind; KVR_ECOMPACTED: the lowest is overtaken. */
static kvr_status start_sweep(kvr_watch_hub *hub)
{
    if (hub->lagging[hub->lag] == NULL) {
        hub->lag = 1 - hub->lag;
    }
    const kvr__watcher *lowest = kvr__watch_heap_top(hub->lagging[hub->lag]);
    if (lowest == NULL) {
        return KVR_END;
    }
    kvr_status status =
        kvr__watch_stream_start(hub, &hub->streams[KVR__WATCH_SWEEP], lowest->revision);
    hub->is_sweeping = status == KVR_OK;
    return status;
}

/* The revision before which the sweep must halt next. */
static uint64_t last_of(const kvr_watch_hub *hub)
{
    uint64_t last = hub->streams[KVR__WATCH_LIVE].matched;
    const kvr__watcher *further = kvr__watch_heap_top(hub->lagging[hub->lag]);
    return further != NULL && further->revision <= last ? further->revision - 1 : last;
}

/* Between two windows. KVR_OK: match on; else as kvr__watch_sweep_next. */
static kvr_status halt(kvr_watch_hub *hub, uint32_t *budget)
{
    kvr_status status = take_along(hub, budget);
    if (status != KVR_OK) {
        return status;
    }
    const kvr__watch_stream *live = &hub->streams[KVR__WATCH_LIVE];
    if (hub->counts[KVR__WATCHER_SWEPT] == 0) {
        return end_sweep(hub, budget);
    }
    if (hub->streams[KVR__WATCH_SWEEP].matched < live->matched) {
        return KVR_OK;
    }
    return kvr__watch_stream_is_clean(live) ? end_sweep(hub, budget) : KVR_END;
}

kvr_status kvr__watch_sweep_next(kvr_watch_hub *hub, uint32_t *budget, kvr_watch_batch *out_batch)
{
    kvr__watch_stream *sweep = &hub->streams[KVR__WATCH_SWEEP];
    if (hub->is_sweeping == 0) {
        kvr_status status = start_sweep(hub);
        if (status == KVR_ECOMPACTED) {
            kvr__watcher *lowest = kvr__watch_heap_top(hub->lagging[hub->lag]);
            kvr__watch_leave(hub, lowest);
            kvr__watch_batch_end(hub, lowest, out_batch);
            return KVR_OK;
        }
        if (status != KVR_OK) {
            return status;
        }
    }
    if (sweep->is_lost != 0) {
        return end_sweep(hub, budget);
    }
    if (kvr__watch_stream_is_clean(sweep)) {
        kvr_status status = halt(hub, budget);
        if (status != KVR_OK) {
            return status;
        }
    }
    if (sweep->is_serving == 0) {
        kvr_status status = kvr__watch_stream_match(hub, sweep, last_of(hub), budget);
        if (status == KVR_ECOMPACTED) {
            sweep->is_lost = 1;
            return KVR_DONE;
        }
        if (status != KVR_OK) {
            return status;
        }
    }
    kvr_status status = kvr__watch_stream_serve(hub, sweep, out_batch);
    return status == KVR_END ? KVR_DONE : status;
}
