/* SPDX-License-Identifier: Apache-2.0 */
/* watch_place.c: who stands where. Each watcher stands in exactly one container or, if it is
 * paused, in none; all moves between them are a leave and then one of route, lag and lane_join,
 * none of which but the last needs memory. The states are drawn in watch_internal.h. */
#include "watch_internal.h"

#include "base/assertion.h"

kvr__watcher *kvr__watch_find(const kvr_watch_hub *hub, uint64_t id)
{
    const kvr__watcher wanted = {.id = id};
    kvr__watch_probe probe = kvr__watch_table_probe(&hub->watchers, hub->watchers.hash_of(&wanted));
    kvr__watcher *watcher;
    do {
        watcher = kvr__watch_table_next(&hub->watchers, &probe);
    } while (watcher != NULL && watcher->id != id);
    return watcher;
}

void kvr__watch_set_state(kvr_watch_hub *hub, kvr__watcher *watcher, uint8_t state)
{
    KVR_ASSERT(hub->counts[watcher->state] > 0);
    hub->counts[watcher->state]--;
    hub->counts[state]++;
    watcher->state = state;
}

void kvr__watch_lag(kvr_watch_hub *hub, kvr__watcher *watcher)
{
    KVR_ASSERT(watcher->state == KVR__WATCHER_PAUSED);
    uint64_t begun = kvr__watch_stream_begun(&hub->streams[KVR__WATCH_SWEEP]);
    bool is_passed = hub->is_sweeping != 0 && watcher->revision <= begun;
    watcher->lag = is_passed ? 1 - hub->lag : hub->lag;
    kvr__watch_heap_push(&hub->lagging[watcher->lag], watcher);
    kvr__watch_set_state(hub, watcher, KVR__WATCHER_LAGGING);
}

void kvr__watch_route(kvr_watch_hub *hub, kvr__watcher *watcher)
{
    KVR_ASSERT(watcher->state == KVR__WATCHER_PAUSED);
    if (watcher->skip > 0) {
        kvr__list_push_back(&hub->parted, &watcher->at.link);
        kvr__watch_set_state(hub, watcher, KVR__WATCHER_PARTED);
    } else if (watcher->revision > hub->streams[KVR__WATCH_LIVE].matched) {
        kvr__watch_heap_push(&hub->waiting, watcher);
        kvr__watch_set_state(hub, watcher, KVR__WATCHER_WAITING);
    } else if (kvr__watch_group_is_range(watcher->group)) {
        kvr__watch_lag(hub, watcher);
    } else {
        kvr__list_push_back(&hub->turns, &watcher->at.link);
        kvr__watch_set_state(hub, watcher, KVR__WATCHER_TURN);
    }
}

void kvr__watch_leave(kvr_watch_hub *hub, kvr__watcher *watcher)
{
    switch (watcher->state) {
    case KVR__WATCHER_PAUSED:
        break;
    case KVR__WATCHER_WAITING:
        kvr__watch_heap_remove(&hub->waiting, watcher);
        break;
    case KVR__WATCHER_LAGGING:
        kvr__watch_heap_remove(&hub->lagging[watcher->lag], watcher);
        break;
    case KVR__WATCHER_PARTED:
        if (hub->solo.watcher == watcher) {
            hub->solo.watcher = NULL;
        }
        kvr__list_remove(&watcher->at.link);
        break;
    case KVR__WATCHER_TURN:
        kvr__list_remove(&watcher->at.link);
        break;
    case KVR__WATCHER_LIVE:
    case KVR__WATCHER_SWEPT:
        kvr__watch_lane_leave(hub, watcher);
        break;
    default:
        KVR_UNREACHABLE();
    }
    kvr__watch_set_state(hub, watcher, KVR__WATCHER_PAUSED);
}

void kvr__watch_free(kvr_watch_hub *hub, kvr__watcher *watcher)
{
    kvr__watch_group *group = watcher->group;
    KVR_ASSERT(watcher->state == KVR__WATCHER_PAUSED);
    KVR_ASSERT(group->members > 0);
    hub->counts[KVR__WATCHER_PAUSED]--;
    kvr__watch_table_remove(&hub->watchers, watcher);
    kvr__slab_free(hub->slab, watcher, sizeof *watcher);
    group->members--;
    if (group->members == 0) {
        kvr__watch_group_free(hub, group);
    }
}
