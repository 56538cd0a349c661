/* SPDX-License-Identifier: Apache-2.0 */
/* watch.c: the door: the life of a hub and of a watcher, and whose turn it is. Four sources make
 * batches: the live stream (watch_live.c), single keys and rests of revisions (watch_behind.c), and
 * the sweep (watch_sweep.c). Each has a turn of one window or one batch, so that no backlog,
 * however long, holds up another source by more than that. */
#include "watch_internal.h"

#include "base/array.h"
#include "base/assertion.h"
#include "base/sized.h"

#include <string.h>

typedef kvr_status (*source)(kvr_watch_hub *hub, uint32_t *budget, kvr_watch_batch *out_batch);

enum { LIVE = 0, TURNS = 1, SWEEP = 2, PARTED = 3, SOURCE_COUNT = 4 };

static const source SOURCES[SOURCE_COUNT] = {
    [LIVE] = kvr__watch_live_next,
    [TURNS] = kvr__watch_turns_next,
    [SWEEP] = kvr__watch_sweep_next,
    [PARTED] = kvr__watch_parted_next,
};

static void look_at_store(kvr_watch_hub *hub)
{
    kvr_mvcc_status status = {.size = sizeof status};
    kvr_mvcc_get_status(hub->store, &status);
    hub->head = status.revision;
    hub->compacted = status.compacted;
}

/* ------------------------------------------------------------------ the life of a hub */

kvr_status kvr_watch_config_init(kvr_watch_config *config, uint32_t size)
{
    if (config == NULL || size < sizeof *config) {
        return KVR_EINVAL;
    }
    memset(config, 0, size);
    config->size = size;
    config->batch_events_max = KVR__WATCH_BATCH_EVENTS;
    return KVR_OK;
}

/* The finalizer of splitmix64, as in base/map.c. */
static uint32_t hash_of_watcher(const void *item)
{
    uint64_t key = ((const kvr__watcher *)item)->id;
    key = (key ^ key >> 30) * 0xbf58476d1ce4e5b9u;
    key = (key ^ key >> 27) * 0x94d049bb133111ebu;
    return (uint32_t)(key ^ key >> 31);
}

kvr_status kvr_watch_hub_new(const kvr_watch_config *config, const kvr_mvcc *store,
                             kvr_watch_hub **out_hub)
{
    kvr_watch_config known = {.size = sizeof known};
    if (store == NULL || out_hub == NULL ||
        (config != NULL && !kvr__sized_read(&known, sizeof known, config, sizeof known)) ||
        known.batch_events_max > KVR__WATCH_BATCH_EVENTS_MAX) {
        return KVR_EINVAL;
    }
    void *handle;
    kvr_status status =
        kvr__mem_new_handle(known.allocator, known.allocator_ctx, sizeof(kvr_watch_hub),
                            offsetof(kvr_watch_hub, mem), &handle);
    if (status != KVR_OK) {
        return status;
    }
    kvr_watch_hub *hub = handle;
    hub->slab = kvr__slab_new(&hub->mem, KVR__MEM_WATCH);
    if (hub->slab == NULL) {
        kvr__mem_free_handle(hub, sizeof *hub, offsetof(kvr_watch_hub, mem));
        return KVR_ENOMEM;
    }
    hub->store = store;
    hub->next_id = 1;
    hub->batch_events_max =
        known.batch_events_max == 0 ? KVR__WATCH_BATCH_EVENTS : known.batch_events_max;
    hub->watchers.hash_of = hash_of_watcher;
    hub->keys.hash_of = kvr__watch_group_hash;
    hub->streams[KVR__WATCH_SWEEP].which = KVR__WATCH_SWEEP;
    kvr__list_init(&hub->turns);
    kvr__list_init(&hub->parted);
    kvr__list_init(&hub->swept);
    look_at_store(hub);
    status = kvr__watch_stream_start(hub, &hub->streams[KVR__WATCH_LIVE], hub->head + 1);
    KVR_ASSERT(status == KVR_OK);
    *out_hub = hub;
    return KVR_OK;
}

void kvr_watch_hub_free(kvr_watch_hub *hub)
{
    if (hub == NULL) {
        return;
    }
    KVR_CHECKED(kvr__watch_check_door(hub));
    for (uint32_t i = 0; i < hub->watchers.capacity; i++) {
        kvr__watcher *watcher = hub->watchers.slots[i];
        if (watcher == NULL) {
            continue;
        }
        /* Only the arrays of lanes lie outside of the slab: they shrink to nothing with their
         * last. */
        if (watcher->state == KVR__WATCHER_LIVE || watcher->state == KVR__WATCHER_SWEPT) {
            kvr__watch_leave(hub, watcher);
        }
    }
    kvr__watch_table_release(&hub->watchers, &hub->mem);
    kvr__watch_table_release(&hub->keys, &hub->mem);
    kvr__watch_stream_release(hub, &hub->streams[KVR__WATCH_LIVE]);
    kvr__watch_stream_release(hub, &hub->streams[KVR__WATCH_SWEEP]);
    kvr__array_free(&hub->mem, KVR__MEM_WATCH, (void **)&hub->solo.places, &hub->solo.capacity,
                    sizeof *hub->solo.places);
    kvr__array_free(&hub->mem, KVR__MEM_WATCH, (void **)&hub->events, &hub->event_capacity,
                    sizeof *hub->events);
    kvr__slab_free_all(hub->slab);
    KVR_ASSERT(hub->mem.blocks == 1);
    kvr__mem_free_handle(hub, sizeof *hub, offsetof(kvr_watch_hub, mem));
}

/* ------------------------------------------------------------------ the life of a watcher */

/* Checks a request and brings it into the one form that groups are found by. */
static kvr_status check_request(kvr_watch_request *request)
{
    const uint32_t flags = KVR_WATCH_PREV_KV | KVR_WATCH_NO_PUT | KVR_WATCH_NO_DELETE;
    kvr_slice key = request->key;
    kvr_slice end = request->range_end;
    if ((request->flags & ~flags) != 0 || key.size == 0) {
        return KVR_EINVAL;
    }
    if (key.size > KVR_KEY_BYTES_MAX) {
        return KVR_ETOOBIG;
    }
    if (end.size > 0 && !kvr__watch_is_below(key, end)) {
        return KVR_EINVAL;
    }
    if (end.size == key.size + 1 && end.data[key.size] == 0 &&
        memcmp(end.data, key.data, key.size) == 0) {
        request->range_end = (kvr_slice){NULL, 0}; /* the interval [key, key + "\0") is one key */
    }
    return request->range_end.size > KVR_KEY_BYTES_MAX ? KVR_ETOOBIG : KVR_OK;
}

static uint64_t choose_id(kvr_watch_hub *hub)
{
    while (hub->next_id == 0 || kvr__watch_find(hub, hub->next_id) != NULL) {
        hub->next_id++;
    }
    return hub->next_id++;
}

static kvr__watcher *new_watcher(kvr_watch_hub *hub, const kvr_watch_request *request)
{
    kvr__watch_group *group = kvr__watch_group_find(hub, request);
    if (kvr__watch_table_reserve(&hub->watchers, &hub->mem) != KVR_OK ||
        kvr__slab_reserve(hub->slab, sizeof(kvr__watcher), 1) != KVR_OK ||
        (group == NULL && (group = kvr__watch_group_new(hub, request)) == NULL)) {
        return NULL;
    }
    kvr__watcher *watcher = kvr__slab_alloc(hub->slab, sizeof *watcher);
    KVR_ASSERT(watcher != NULL);
    *watcher = (kvr__watcher){
        .id = request->id != 0 ? request->id : choose_id(hub),
        .user = request->user,
        .group = group,
        .revision = request->start_revision != 0 ? request->start_revision : hub->head + 1,
        .state = KVR__WATCHER_PAUSED,
    };
    group->members++;
    hub->counts[KVR__WATCHER_PAUSED]++;
    kvr__watch_table_add(&hub->watchers, watcher);
    return watcher;
}

kvr_status kvr_watch_open(kvr_watch_hub *hub, const kvr_watch_request *request, uint64_t *out_id)
{
    kvr_watch_request known;
    if (hub == NULL || request == NULL || out_id == NULL ||
        !kvr__sized_read(&known, sizeof known, request, sizeof known)) {
        return KVR_EINVAL;
    }
    kvr_status status = check_request(&known);
    if (status != KVR_OK) {
        return status;
    }
    if (known.id != 0 && kvr__watch_find(hub, known.id) != NULL) {
        return KVR_EEXIST;
    }
    look_at_store(hub);
    kvr__watcher *watcher = new_watcher(hub, &known);
    if (watcher == NULL) {
        return KVR_ENOMEM;
    }
    kvr__watch_route(hub, watcher);
    KVR_CHECKED(kvr__watch_check_door(hub));
    *out_id = watcher->id;
    return KVR_OK;
}

kvr_status kvr_watch_cancel(kvr_watch_hub *hub, uint64_t id)
{
    kvr__watcher *watcher = kvr__watch_find(hub, id);
    if (watcher == NULL) {
        return KVR_ENOTFOUND;
    }
    kvr__watch_leave(hub, watcher);
    kvr__watch_free(hub, watcher);
    KVR_CHECKED(kvr__watch_check_door(hub));
    return KVR_OK;
}

kvr_status kvr_watch_pause(kvr_watch_hub *hub, uint64_t id)
{
    kvr__watcher *watcher = kvr__watch_find(hub, id);
    if (watcher == NULL) {
        return KVR_ENOTFOUND;
    }
    kvr__watch_leave(hub, watcher);
    KVR_CHECKED(kvr__watch_check_door(hub));
    return KVR_OK;
}

kvr_status kvr_watch_resume(kvr_watch_hub *hub, uint64_t id)
{
    kvr__watcher *watcher = kvr__watch_find(hub, id);
    if (watcher == NULL) {
        return KVR_ENOTFOUND;
    }
    if (watcher->state == KVR__WATCHER_PAUSED) {
        kvr__watch_route(hub, watcher);
    }
    KVR_CHECKED(kvr__watch_check_door(hub));
    return KVR_OK;
}

kvr_status kvr_watch_delivered(const kvr_watch_hub *hub, uint64_t id, uint64_t *out_revision)
{
    const kvr__watcher *watcher = kvr__watch_find(hub, id);
    if (watcher == NULL) {
        return KVR_ENOTFOUND;
    }
    uint64_t next = watcher->revision;
    if (watcher->state == KVR__WATCHER_LIVE || watcher->state == KVR__WATCHER_SWEPT) {
        uint32_t which = watcher->state == KVR__WATCHER_LIVE ? KVR__WATCH_LIVE : KVR__WATCH_SWEEP;
        next =
            kvr__watch_lane_next(&hub->streams[which], kvr__watch_lane_of(watcher->group, which));
    }
    *out_revision = next - 1;
    return KVR_OK;
}

/* ------------------------------------------------------------------ batches */

kvr_status kvr_watch_next(kvr_watch_hub *hub, uint32_t budget, kvr_watch_batch *out_batch)
{
    if (budget == 0 || out_batch == NULL) {
        return KVR_EINVAL;
    }
    look_at_store(hub);
    kvr_status status = KVR_END;
    for (uint32_t idle = 0; idle < SOURCE_COUNT;) {
        if (budget == 0) {
            status = KVR_AGAIN;
            break;
        }
        status = SOURCES[hub->turn](hub, &budget, out_batch);
        if (status < KVR_OK) {
            break;
        }
        bool has_turn = status == KVR_OK && (hub->turn == LIVE || hub->turn == SWEEP);
        if (!has_turn) { /* a window is served to its end */
            hub->turn = (hub->turn + 1) % SOURCE_COUNT;
        }
        if (status == KVR_OK || status == KVR_AGAIN) {
            break;
        }
        idle = status == KVR_END ? idle + 1 : 0;
    }
    KVR_CHECKED(kvr__watch_check_door(hub));
    return status;
}

bool kvr_watch_has_work(const kvr_watch_hub *hub)
{
    const kvr__watch_stream *live = &hub->streams[KVR__WATCH_LIVE];
    const kvr__watcher *first = kvr__watch_heap_top(hub->waiting);
    if (!kvr__watch_stream_is_clean(live) || hub->is_sweeping != 0 ||
        hub->counts[KVR__WATCHER_TURN] > 0 || hub->counts[KVR__WATCHER_PARTED] > 0 ||
        hub->counts[KVR__WATCHER_LAGGING] > 0 ||
        (first != NULL && first->revision <= live->matched + 1)) {
        return true;
    }
    kvr_mvcc_status status = {.size = sizeof status};
    kvr_mvcc_get_status(hub->store, &status);
    return live->matched < status.revision;
}

bool kvr_watch_keeps_up(const kvr_watch_hub *hub, uint64_t revision)
{
    if (hub->counts[KVR__WATCHER_LIVE] + hub->counts[KVR__WATCHER_WAITING] == 0) {
        return true;
    }
    const kvr__watch_stream *live = &hub->streams[KVR__WATCH_LIVE];
    uint64_t needed = live->matched + 1;
    for (uint32_t i = live->served; i < live->hit_count; i++) {
        if (live->hits[i].group != NULL) { /* hits are in the order of revisions */
            uint64_t next = live->hits[i].group->lane.next;
            needed = next < needed ? next : needed;
            break;
        }
    }
    return revision <= needed;
}

void kvr_watch_get_status(const kvr_watch_hub *hub, kvr_watch_status *out_status)
{
    kvr_watch_status status = {
        .size = out_status->size,
        .watchers = hub->watchers.count,
        .behind = hub->counts[KVR__WATCHER_PAUSED] + hub->counts[KVR__WATCHER_TURN] +
                  hub->counts[KVR__WATCHER_PARTED] + hub->counts[KVR__WATCHER_LAGGING] +
                  hub->counts[KVR__WATCHER_SWEPT],
        .paused = hub->counts[KVR__WATCHER_PAUSED],
        .memory_bytes = kvr__mem_bytes(&hub->mem),
    };
    memcpy(out_status, &status, status.size < sizeof status ? status.size : sizeof status);
}
