/* SPDX-License-Identifier: Apache-2.0 */
/* watch_group.c: groups, found by what they watch, and their lanes. The targets of a lane lie in
 * one array that batches lend as it is, so ten thousand watchers of one key cost one batch; a lane
 * of one, which is most of them, needs no array. Order within a lane means nothing: who leaves is
 * replaced by the last. */
#include "watch_internal.h"

#include "base/assertion.h"
#include "base/checksum.h"

#include <string.h>

enum { FIRST_TARGETS = 4 };

_Static_assert(sizeof(void *) != 8 || sizeof(kvr__watcher) + sizeof(kvr__watch_range) == 144,
               "what a million of is paid for");
_Static_assert(KVR_KEY_BYTES_MAX <= UINT16_MAX, "sizes of keys are kept in 16 bits");

uint32_t kvr__watch_key_hash(kvr_slice key)
{
    return (uint32_t)(kvr__xxh3_64(key.data, key.size) >> 32);
}

uint32_t kvr__watch_group_hash(const void *group)
{
    return ((const kvr__watch_group *)group)->of.hash;
}

/* ------------------------------------------------------------------ groups */

static bool is_equal(kvr_slice a, kvr_slice b)
{
    return a.size == b.size && memcmp(a.data, b.data, a.size) == 0;
}

kvr__watch_group *kvr__watch_group_find(const kvr_watch_hub *hub, const kvr_watch_request *request)
{
    if (request->range_end.size > 0) {
        kvr__watch_range *range =
            kvr__watch_tree_find(hub->ranges, request->key, request->range_end, request->flags);
        return range == NULL ? NULL : &range->group;
    }
    kvr__watch_probe probe = kvr__watch_table_probe(&hub->keys, kvr__watch_key_hash(request->key));
    for (kvr__watch_group *group; (group = kvr__watch_table_next(&hub->keys, &probe)) != NULL;) {
        if (group->flags == request->flags && is_equal(kvr__watch_group_key(group), request->key)) {
            return group;
        }
    }
    return NULL;
}

kvr__watch_group *kvr__watch_group_new(kvr_watch_hub *hub, const kvr_watch_request *request)
{
    bool is_range = request->range_end.size > 0;
    size_t head = is_range ? sizeof(kvr__watch_range) : sizeof(kvr__watch_group);
    if (!is_range && kvr__watch_table_reserve(&hub->keys, &hub->mem) != KVR_OK) {
        return NULL;
    }
    uint8_t *block = kvr__slab_alloc(hub->slab, head + request->key.size + request->range_end.size);
    if (block == NULL) {
        return NULL;
    }
    memset(block, 0, head);
    memcpy(block + head, request->key.data, request->key.size);
    if (is_range) {
        memcpy(block + head + request->key.size, request->range_end.data, request->range_end.size);
    }
    kvr__watch_group *group = (kvr__watch_group *)(void *)block;
    group->key_size = (uint16_t)request->key.size;
    group->end_size = (uint16_t)request->range_end.size;
    group->flags = (uint8_t)request->flags;
    if (is_range) {
        hub->ranges = kvr__watch_tree_insert(hub->ranges, (kvr__watch_range *)(void *)block);
    } else {
        group->of.hash = kvr__watch_key_hash(request->key);
        kvr__watch_table_add(&hub->keys, group);
    }
    return group;
}

void kvr__watch_group_free(kvr_watch_hub *hub, kvr__watch_group *group)
{
    KVR_ASSERT(group->members == 0);
    KVR_ASSERT(group->lane.count == 0);
    KVR_ASSERT(group->swept == NULL);
    size_t size = kvr__watch_group_size(group) + group->key_size + group->end_size;
    if (kvr__watch_group_is_range(group)) {
        hub->ranges = kvr__watch_tree_remove(hub->ranges, (kvr__watch_range *)(void *)group);
    } else {
        kvr__watch_table_remove(&hub->keys, group);
    }
    kvr__slab_free(hub->slab, group, size);
}

/* ------------------------------------------------------------------ lanes */

kvr__watch_lane *kvr__watch_lane_of(kvr__watch_group *group, uint32_t which)
{
    if (which == KVR__WATCH_LIVE) {
        return &group->lane;
    }
    return group->swept == NULL ? NULL : &group->swept->lane;
}

static kvr_watch_target *items_of(kvr__watch_lane *lane)
{
    return lane->count <= 1 ? &lane->targets.one : lane->targets.many.items;
}

const kvr_watch_target *kvr__watch_lane_targets(const kvr__watch_lane *lane)
{
    return lane->count <= 1 ? &lane->targets.one : lane->targets.many.items;
}

static size_t items_size(uint32_t capacity)
{
    return (size_t)capacity * sizeof(kvr_watch_target);
}

static kvr_status add_target(kvr_watch_hub *hub, kvr__watch_lane *lane, kvr_watch_target target)
{
    if (lane->count == 0) {
        lane->targets.one = target;
    } else if (lane->count == 1) {
        kvr_watch_target *items =
            kvr__mem_alloc(&hub->mem, KVR__MEM_WATCH, items_size(FIRST_TARGETS));
        if (items == NULL) {
            return KVR_ENOMEM;
        }
        items[0] = lane->targets.one;
        items[1] = target;
        lane->targets.many.items = items;
        lane->targets.many.capacity = FIRST_TARGETS;
    } else {
        uint32_t capacity = lane->targets.many.capacity;
        if (lane->count == capacity) {
            kvr_watch_target *items =
                kvr__mem_realloc(&hub->mem, KVR__MEM_WATCH, lane->targets.many.items,
                                 items_size(capacity), items_size(capacity * 2));
            if (items == NULL) {
                return KVR_ENOMEM;
            }
            lane->targets.many.items = items;
            lane->targets.many.capacity = capacity * 2;
        }
        lane->targets.many.items[lane->count] = target;
    }
    lane->count++;
    return KVR_OK;
}

/* Gives back what a lane that shrank does not need; without memory to do so it stays. */
static void shrink_targets(kvr_watch_hub *hub, kvr__watch_lane *lane)
{
    kvr_watch_target *items = lane->targets.many.items;
    uint32_t capacity = lane->targets.many.capacity;
    if (lane->count == 1) {
        lane->targets.one = items[0];
        kvr__mem_free(&hub->mem, KVR__MEM_WATCH, items, items_size(capacity));
    } else if (capacity > FIRST_TARGETS && lane->count <= capacity / 4) {
        items = kvr__mem_realloc(&hub->mem, KVR__MEM_WATCH, items, items_size(capacity),
                                 items_size(capacity / 2));
        if (items != NULL) {
            lane->targets.many.items = items;
            lane->targets.many.capacity = capacity / 2;
        }
    }
}

static void remove_target(kvr_watch_hub *hub, kvr__watch_lane *lane, kvr__watcher *watcher)
{
    kvr_watch_target *items = items_of(lane);
    uint32_t place = watcher->at.place;
    KVR_ASSERT(place < lane->count);
    KVR_ASSERT(items[place].id == watcher->id);
    bool is_many = lane->count > 1;
    if (place + 1 < lane->count) {
        items[place] = items[lane->count - 1];
        kvr__watch_find(hub, items[place].id)->at.place = place;
    }
    lane->count--;
    if (is_many) {
        shrink_targets(hub, lane);
    }
}

static kvr__watch_swept *new_swept(kvr_watch_hub *hub, kvr__watch_group *group)
{
    kvr__watch_swept *swept = kvr__slab_alloc(hub->slab, sizeof *swept);
    if (swept != NULL) {
        *swept = (kvr__watch_swept){.group = group};
        kvr__list_push_back(&hub->swept, &swept->link);
    }
    return swept;
}

static void free_swept_if_empty(kvr_watch_hub *hub, kvr__watch_group *group)
{
    if (group->swept != NULL && group->swept->lane.count == 0) {
        kvr__list_remove(&group->swept->link);
        kvr__slab_free(hub->slab, group->swept, sizeof *group->swept);
        group->swept = NULL;
    }
}

kvr_status kvr__watch_lane_join(kvr_watch_hub *hub, kvr__watcher *watcher, uint32_t which)
{
    kvr__watch_group *group = watcher->group;
    kvr__watch_stream *stream = &hub->streams[which];
    KVR_ASSERT(kvr__watch_stream_is_clean(stream));
    KVR_ASSERT(watcher->revision == stream->matched + 1);
    KVR_ASSERT(watcher->skip == 0);
    if (which == KVR__WATCH_SWEEP && group->swept == NULL) {
        group->swept = new_swept(hub, group);
    }
    kvr__watch_lane *lane = kvr__watch_lane_of(group, which);
    if (lane == NULL ||
        add_target(hub, lane, (kvr_watch_target){watcher->id, watcher->user}) != KVR_OK) {
        free_swept_if_empty(hub, group);
        return KVR_ENOMEM;
    }
    watcher->at.place = lane->count - 1;
    kvr__watch_set_state(hub, watcher,
                         which == KVR__WATCH_LIVE ? KVR__WATCHER_LIVE : KVR__WATCHER_SWEPT);
    return KVR_OK;
}

uint64_t kvr__watch_lane_next(const kvr__watch_stream *stream, const kvr__watch_lane *lane)
{
    uint64_t next = stream->matched + 1;
    return lane->last_hit != 0 || lane->next > next ? lane->next : next;
}

/* So many events of the lane's next revision were sent already. */
static uint32_t sent_of(kvr__watch_group *group, const kvr__watch_stream *stream, uint64_t next)
{
    const kvr__watch_part *part = kvr__watch_stream_part(stream, group);
    return part != NULL && next == stream->revision ? part->sent : 0;
}

void kvr__watch_lane_leave(kvr_watch_hub *hub, kvr__watcher *watcher)
{
    kvr__watch_group *group = watcher->group;
    uint32_t which = watcher->state == KVR__WATCHER_LIVE ? KVR__WATCH_LIVE : KVR__WATCH_SWEEP;
    kvr__watch_stream *stream = &hub->streams[which];
    kvr__watch_lane *lane = kvr__watch_lane_of(group, which);
    KVR_ASSERT(lane != NULL);
    watcher->revision = kvr__watch_lane_next(stream, lane);
    watcher->skip = sent_of(group, stream, watcher->revision);
    remove_target(hub, lane, watcher);
    if (lane->count == 0) {
        kvr__watch_part *part = kvr__watch_stream_part(stream, group);
        if (part != NULL) {
            part->group = NULL;
        }
        kvr__watch_stream_forget(stream, lane);
        free_swept_if_empty(hub, group);
    }
}
