/* SPDX-License-Identifier: Apache-2.0 */
/* watch_behind.c: those who are behind and are served one by one, in turn: watchers of a single
 * key, who walk along its versions and look at no other key, and watchers that were paused between
 * two parts of a revision, who hear the rest of it alone. */
#include "watch_internal.h"

#include "base/array.h"
#include "base/assertion.h"
#include "base/buggify.h"

/* ------------------------------------------------------------------ single keys */

/* Keeps of the first `count` events those that the group wants. */
static uint32_t filter(kvr_watch_hub *hub, const kvr__watch_group *group, uint32_t count)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < count; i++) {
        if (kvr__watch_group_wants(group, &hub->events[i])) {
            hub->events[kept] = hub->events[i];
            kvr__watch_event_trim(group, &hub->events[kept]);
            kept++;
        }
    }
    return kept;
}

kvr_status kvr__watch_turns_next(kvr_watch_hub *hub, uint32_t *budget, kvr_watch_batch *out_batch)
{
    if (kvr__list_is_empty(&hub->turns)) {
        return KVR_END;
    }
    uint32_t capacity = hub->batch_events_max;
    if (kvr__watch_events_reserve(hub, capacity) != KVR_OK) {
        return KVR_ENOMEM;
    }
    kvr__watcher *watcher = KVR__CONTAINER_OF(hub->turns.next, kvr__watcher, at.link);
    kvr_slice key = kvr__watch_group_key(watcher->group);
    uint32_t count = 0;
    kvr_status status =
        kvr_mvcc_key_changes(hub->store, &key, watcher->revision, hub->events, capacity, &count);
    uint32_t looked = status == KVR_ETOOBIG ? capacity : count;
    *budget -= looked < *budget ? looked : *budget;
    kvr__watch_leave(hub, watcher);
    if (status == KVR_ETOOBIG) {
        kvr__watch_lag(hub, watcher); /* long histories are read by the log, from their old end */
        return KVR_DONE;
    }
    if (status != KVR_OK) {
        KVR_ASSERT(status == KVR_ECOMPACTED);
        kvr__watch_batch_end(hub, watcher, out_batch);
        return KVR_OK;
    }
    watcher->revision = hub->head + 1;
    count = filter(hub, watcher->group, count);
    kvr__watch_route(hub, watcher);
    if (count == 0) {
        return KVR_DONE;
    }
    kvr__watch_batch_lone(hub, watcher, count, out_batch);
    return KVR_OK;
}

/* ------------------------------------------------------------------ the rest of a revision */

static bool is_for(const kvr__watch_group *group, const kvr_event *event)
{
    return kvr__watch_compare(kvr__watch_group_key(group), event->kv.key) <= 0 &&
           kvr__watch_is_below(event->kv.key, kvr__watch_group_end(group)) &&
           kvr__watch_group_wants(group, event);
}

/* Collects places of events until there are more than a batch holds or the revision ends. KVR_OK:
 * one more than a batch holds is there; KVR_END: these are the last; KVR_AGAIN, KVR_ENOMEM,
 * KVR_ECOMPACTED. */
static kvr_status collect(kvr_watch_hub *hub, kvr__watch_solo *solo, uint32_t *budget)
{
    const kvr__watcher *watcher = solo->watcher;
    while (*budget > 0) {
        kvr_event event;
        kvr_mvcc_changes place = solo->cursor;
        kvr_status status = kvr_mvcc_changes_next(&solo->cursor, hub->store, &event);
        if (status != KVR_OK || event.kv.mod_revision > watcher->revision) {
            solo->cursor = place;
            return status == KVR_OK ? KVR_END : status;
        }
        (*budget)--;
        if (!is_for(watcher->group, &event)) {
            continue;
        }
        if (solo->passed < watcher->skip) {
            solo->passed++;
            continue;
        }
        if (solo->count == hub->batch_events_max ||
            (solo->count > 0 && KVR_BUGGIFY(&hub->mem, WATCH_BATCH_ONE))) {
            solo->cursor = place;
            return KVR_OK;
        }
        if (kvr__array_grow(&hub->mem, KVR__MEM_WATCH, (void **)&solo->places, &solo->capacity,
                            solo->count + 1, sizeof *solo->places) != KVR_OK) {
            solo->cursor = place;
            return KVR_ENOMEM;
        }
        solo->places[solo->count++] = place;
    }
    return KVR_AGAIN;
}

static kvr_status read_places(kvr_watch_hub *hub, const kvr__watch_solo *solo)
{
    kvr_status status = kvr__watch_events_reserve(hub, solo->count);
    for (uint32_t i = 0; i < solo->count && status == KVR_OK; i++) {
        status = kvr__watch_event_at(hub, &solo->places[i], solo->watcher->group, &hub->events[i]);
    }
    return status;
}

kvr_status kvr__watch_parted_next(kvr_watch_hub *hub, uint32_t *budget, kvr_watch_batch *out_batch)
{
    kvr__watch_solo *solo = &hub->solo;
    if (kvr__list_is_empty(&hub->parted)) {
        return KVR_END;
    }
    kvr_status status = KVR_OK;
    if (solo->watcher == NULL) {
        solo->watcher = KVR__CONTAINER_OF(hub->parted.next, kvr__watcher, at.link);
        solo->count = 0;
        solo->passed = 0;
        status = kvr_mvcc_changes_init(&solo->cursor, hub->store, solo->watcher->revision);
    }
    kvr__watcher *watcher = solo->watcher;
    if (status == KVR_OK) {
        status = collect(hub, solo, budget);
    }
    bool has_more = status == KVR_OK;
    if (has_more || status == KVR_END) {
        status = read_places(hub, solo);
    }
    if (status == KVR_ECOMPACTED) {
        kvr__watch_leave(hub, watcher);
        kvr__watch_batch_end(hub, watcher, out_batch);
        return KVR_OK;
    }
    if (status != KVR_OK) {
        return status;
    }
    uint32_t count = solo->count;
    solo->count = 0;
    if (has_more) {
        watcher->skip += count;
        solo->passed = watcher->skip;
    } else {
        kvr__watch_leave(hub, watcher);
        watcher->revision++;
        watcher->skip = 0;
        kvr__watch_route(hub, watcher);
    }
    if (count == 0) {
        return KVR_DONE;
    }
    kvr__watch_batch_lone(hub, watcher, count, out_batch);
    return KVR_OK;
}
