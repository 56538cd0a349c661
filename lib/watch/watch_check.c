/* SPDX-License-Identifier: Apache-2.0 */
/* watch_check.c: the numbered invariants of README.md, over the whole hub. */
#include "watch_internal.h"

#include "base/assertion.h"

enum { DOOR_WATCHERS_MAX = 200 };

/* -------------------------------------------------------------- 1 to 3: watchers, groups, lanes */

static void check_watcher(const kvr_watch_hub *hub, kvr__watcher *watcher)
{
    /* 1 */
    KVR_ASSERT(kvr__watch_find(hub, watcher->id) == watcher);
    KVR_ASSERT(watcher->state < KVR__WATCHER_STATES);
    /* 4 */
    bool is_range = kvr__watch_group_is_range(watcher->group);
    if (watcher->skip > 0) {
        KVR_ASSERT(is_range);
        KVR_ASSERT(watcher->state == KVR__WATCHER_PARTED || watcher->state == KVR__WATCHER_PAUSED);
    }
    if (watcher->state == KVR__WATCHER_TURN) {
        KVR_ASSERT(!is_range);
    }
    if (watcher->state == KVR__WATCHER_PARTED) {
        KVR_ASSERT(watcher->skip > 0);
    }
    /* 3 */
    if (watcher->state == KVR__WATCHER_LIVE || watcher->state == KVR__WATCHER_SWEPT) {
        uint32_t which = watcher->state == KVR__WATCHER_LIVE ? KVR__WATCH_LIVE : KVR__WATCH_SWEEP;
        const kvr__watch_lane *lane = kvr__watch_lane_of(watcher->group, which);
        KVR_ASSERT(lane != NULL);
        KVR_ASSERT(watcher->at.place < lane->count);
        KVR_ASSERT(kvr__watch_lane_targets(lane)[watcher->at.place].id == watcher->id);
        KVR_ASSERT(kvr__watch_lane_targets(lane)[watcher->at.place].user == watcher->user);
    }
}

static void check_watchers(const kvr_watch_hub *hub)
{
    uint64_t counts[KVR__WATCHER_STATES] = {0};
    for (uint32_t i = 0; i < hub->watchers.capacity; i++) {
        if (hub->watchers.slots[i] != NULL) {
            check_watcher(hub, hub->watchers.slots[i]);
            counts[((kvr__watcher *)hub->watchers.slots[i])->state]++;
        }
    }
    uint64_t total = 0;
    for (uint32_t state = 0; state < KVR__WATCHER_STATES; state++) {
        KVR_ASSERT(counts[state] == hub->counts[state]);
        total += counts[state];
    }
    KVR_ASSERT(total == hub->watchers.count);
}

typedef struct tally {
    uint64_t members;
    uint64_t live;
    uint64_t swept;
} tally;

static void check_group(kvr__watch_group *group, tally *total)
{
    uint32_t swept = group->swept == NULL ? 0 : group->swept->lane.count;
    /* 2 */
    KVR_ASSERT(group->members > 0);
    KVR_ASSERT(group->members >= group->lane.count + swept);
    /* 3 */
    if (group->swept != NULL) {
        KVR_ASSERT(swept > 0);
        KVR_ASSERT(group->swept->group == group);
    }
    total->members += group->members;
    total->live += group->lane.count;
    total->swept += swept;
}

/* 7: order and balance of the tree, and what each node knows of its subtree. */
static void check_tree(kvr__watch_range *range, tally *total)
{
    if (range == NULL) {
        return;
    }
    check_tree(range->left, total);
    check_group(&range->group, total);
    check_tree(range->right, total);
    uint32_t left = range->left == NULL ? 0 : range->left->group.height;
    uint32_t right = range->right == NULL ? 0 : range->right->group.height;
    KVR_ASSERT(range->group.height == (left > right ? left : right) + 1);
    KVR_ASSERT(left <= right + 1);
    KVR_ASSERT(right <= left + 1);
    kvr_slice key = kvr__watch_group_key(&range->group);
    kvr_slice end = kvr__watch_group_end(&range->group);
    KVR_ASSERT(kvr__watch_is_below(key, end));
    KVR_ASSERT(kvr__watch_tree_find(range, key, end, range->group.flags) == range);
    const kvr__watch_range *below[] = {range->left, range->right};
    kvr_slice furthest = kvr__watch_group_end(&range->furthest->group);
    KVR_ASSERT(kvr__watch_compare_ends(end, furthest) <= 0);
    for (uint32_t i = 0; i < 2; i++) {
        if (below[i] != NULL) {
            kvr_slice other = kvr__watch_group_end(&below[i]->furthest->group);
            KVR_ASSERT(kvr__watch_compare_ends(other, furthest) <= 0);
        }
    }
}

static void check_groups(const kvr_watch_hub *hub)
{
    tally total = {0, 0, 0};
    for (uint32_t i = 0; i < hub->keys.capacity; i++) {
        kvr__watch_group *group = hub->keys.slots[i];
        if (group != NULL) {
            KVR_ASSERT(group->of.hash == kvr__watch_key_hash(kvr__watch_group_key(group)));
            check_group(group, &total);
        }
    }
    check_tree(hub->ranges, &total);
    /* 2 and 3 */
    KVR_ASSERT(total.members == hub->watchers.count);
    KVR_ASSERT(total.live == hub->counts[KVR__WATCHER_LIVE]);
    KVR_ASSERT(total.swept == hub->counts[KVR__WATCHER_SWEPT]);
}

/* --------------------------------------------------------------- 4 and 5: those who stand alone */

/* Counts a heap whose revisions are all at or above `least`. */
static uint64_t check_heap(kvr__watch_knot *knot, uint8_t state, uint64_t least)
{
    uint64_t count = 0;
    for (; knot != NULL; knot = knot->next) {
        kvr__watcher *watcher = kvr__watch_heap_top(knot);
        /* 5 */
        KVR_ASSERT(watcher->state == state);
        KVR_ASSERT(watcher->revision >= least);
        if (knot->child != NULL) {
            KVR_ASSERT(knot->child->prev == knot);
        }
        if (knot->next != NULL) {
            KVR_ASSERT(knot->next->prev == knot);
        }
        count += 1 + check_heap(knot->child, state, watcher->revision);
    }
    return count;
}

static uint64_t check_list(const kvr__list *head, uint8_t state)
{
    uint64_t count = 0;
    for (const kvr__list *place = head->next; place != head; place = place->next) {
        KVR_ASSERT(KVR__CONTAINER_OF(place, kvr__watcher, at.link)->state == state);
        count++;
    }
    return count;
}

static void check_lone(const kvr_watch_hub *hub)
{
    uint64_t ahead = hub->is_sweeping != 0 ? kvr__watch_stream_begun(&hub->streams[1]) + 1 : 0;
    uint64_t lagging = check_heap(hub->lagging[hub->lag], KVR__WATCHER_LAGGING, ahead) +
                       check_heap(hub->lagging[1 - hub->lag], KVR__WATCHER_LAGGING, 0);
    /* 4 and 5 */
    KVR_ASSERT(lagging == hub->counts[KVR__WATCHER_LAGGING]);
    KVR_ASSERT(check_heap(hub->waiting, KVR__WATCHER_WAITING, 0) ==
               hub->counts[KVR__WATCHER_WAITING]);
    KVR_ASSERT(check_list(&hub->turns, KVR__WATCHER_TURN) == hub->counts[KVR__WATCHER_TURN]);
    KVR_ASSERT(check_list(&hub->parted, KVR__WATCHER_PARTED) == hub->counts[KVR__WATCHER_PARTED]);
    if (hub->solo.watcher != NULL) {
        KVR_ASSERT(hub->solo.watcher->state == KVR__WATCHER_PARTED);
    }
}

/* ------------------------------------------------------------------ 6: windows */

static void check_stream(const kvr_watch_hub *hub, const kvr__watch_stream *stream)
{
    KVR_ASSERT(stream->place_count <= hub->batch_events_max);
    KVR_ASSERT(stream->place_count <= stream->hit_count);
    KVR_ASSERT(stream->served <= stream->hit_count);
    for (uint32_t i = 0; i < stream->hit_count; i++) {
        const kvr__watch_hit *hit = &stream->hits[i];
        KVR_ASSERT(hit->place < stream->place_count);
        KVR_ASSERT(hit->prev <= i);
        if (hit->group == NULL) {
            continue;
        }
        /* The hit is on the chain of its lane, which has targets to hear it. */
        const kvr__watch_lane *lane = kvr__watch_lane_of(hit->group, stream->which);
        KVR_ASSERT(lane != NULL);
        KVR_ASSERT(lane->count > 0);
        uint32_t at = lane->last_hit;
        while (at > i + 1) {
            at = stream->hits[at - 1].prev;
        }
        KVR_ASSERT(at == i + 1);
        KVR_ASSERT(i >= stream->served);
    }
    for (uint32_t i = 0; i < stream->part_count; i++) {
        const kvr__watch_part *part = &stream->parts[i];
        if (part->group != NULL) {
            KVR_ASSERT(kvr__watch_stream_part(stream, part->group) == part);
            KVR_ASSERT(kvr__watch_lane_of(part->group, stream->which)->count > 0);
            KVR_ASSERT(part->sent <= part->total);
        }
    }
    if (stream->is_serving == 0 && stream->hit_count == 0) {
        KVR_ASSERT(stream->place_count == 0);
    }
}

void kvr__watch_check(const kvr_watch_hub *hub)
{
    KVR_ASSERT(kvr__slab_bytes_used(hub->slab) <= kvr__mem_bytes(&hub->mem));
    kvr__mem_check(&hub->mem);
    check_watchers(hub);
    check_groups(hub);
    check_lone(hub);
    check_stream(hub, &hub->streams[KVR__WATCH_LIVE]);
    check_stream(hub, &hub->streams[KVR__WATCH_SWEEP]);
}

void kvr__watch_check_door(const kvr_watch_hub *hub)
{
    if (hub->watchers.count <= DOOR_WATCHERS_MAX) {
        kvr__watch_check(hub);
    }
}
