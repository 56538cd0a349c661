/* SPDX-License-Identifier: Apache-2.0 */
/* watch_live.c: those who are up to date, served from each new revision once for all. Whoever waits
 * for a revision joins when the live stream stands just before it, with nothing under way: so a
 * lane never holds somebody who has heard more or less than the others. */
#include "watch_internal.h"

#include "base/assertion.h"

/* Lets in who waits. KVR_DONE: somebody moved, KVR_END: nobody, KVR_AGAIN, KVR_ENOMEM. */
static kvr_status settle(kvr_watch_hub *hub, uint32_t *budget)
{
    uint64_t next = hub->streams[KVR__WATCH_LIVE].matched + 1;
    kvr_status status = KVR_END;
    for (;;) {
        kvr__watcher *watcher = kvr__watch_heap_top(hub->waiting);
        if (watcher == NULL || watcher->revision > next) {
            return status;
        }
        if (*budget == 0) {
            return KVR_AGAIN;
        }
        (*budget)--;
        status = KVR_DONE;
        kvr__watch_leave(hub, watcher);
        if (watcher->revision < next) {
            kvr__watch_route(hub, watcher);
        } else if (kvr__watch_lane_join(hub, watcher, KVR__WATCH_LIVE) != KVR_OK) {
            kvr__watch_route(hub, watcher); /* back to where it was */
            return KVR_ENOMEM;
        }
    }
}

/* From here on: the head. */
static void start_at_head(kvr_watch_hub *hub)
{
    kvr_status status = kvr__watch_stream_start(hub, &hub->streams[KVR__WATCH_LIVE], hub->head + 1);
    KVR_ASSERT(status == KVR_OK); /* the future is never compacted */
}

/* A compaction overtook the stream, so its members need what is gone or may be: each finds out for
 * itself as one who is behind. They are found among all watchers: this is rare, and a list would
 * cost each. */
static kvr_status send_away(kvr_watch_hub *hub, uint32_t *budget)
{
    kvr__watch_stream *live = &hub->streams[KVR__WATCH_LIVE];
    while (hub->counts[KVR__WATCHER_LIVE] > 0) {
        if (*budget == 0) {
            return KVR_AGAIN;
        }
        (*budget)--;
        if (hub->lost_at >= hub->watchers.capacity) {
            hub->lost_at = 0;
        }
        kvr__watcher *watcher = hub->watchers.slots[hub->lost_at];
        hub->lost_at++;
        if (watcher != NULL && watcher->state == KVR__WATCHER_LIVE) {
            kvr__watch_leave(hub, watcher);
            kvr__watch_route(hub, watcher);
        }
    }
    live->is_lost = 0;
    live->phase = KVR__WATCH_MATCHING;
    kvr__watch_stream_reset(live);
    start_at_head(hub);
    return KVR_DONE;
}

kvr_status kvr__watch_live_next(kvr_watch_hub *hub, uint32_t *budget, kvr_watch_batch *out_batch)
{
    kvr__watch_stream *live = &hub->streams[KVR__WATCH_LIVE];
    if (live->is_lost != 0) {
        return send_away(hub, budget);
    }
    kvr_status status = KVR_END;
    if (kvr__watch_stream_is_clean(live)) {
        status = settle(hub, budget);
        if (status < KVR_OK || status == KVR_AGAIN) {
            return status;
        }
        if (live->matched >= hub->head) {
            return status;
        }
        if (hub->counts[KVR__WATCHER_LIVE] == 0) {
            start_at_head(hub);
            return KVR_DONE;
        }
    }
    if (live->is_serving == 0) {
        status = kvr__watch_stream_match(hub, live, UINT64_MAX, budget);
        if (status == KVR_ECOMPACTED) {
            live->is_lost = 1;
            hub->lost_at = 0;
            return KVR_DONE;
        }
        if (status != KVR_OK) {
            return status;
        }
    }
    status = kvr__watch_stream_serve(hub, live, out_batch);
    return status == KVR_END ? KVR_DONE : status;
}
