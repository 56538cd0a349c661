/* SPDX-License-Identifier: Apache-2.0 */
/* watch_stream.c: one reader of the store's log for many watchers. It matches each change once,
 * notes in a window which groups it is for, and then serves the window group by group: all of a
 * group's events in one batch. The window holds places in the log and no events, so the store may
 * change between two batches. A revision is in one window, so in one batch a group; only one with
 * more changes than a window holds is counted first and then told in parts (states:
 * KVR__WATCH_MATCHING and so on). */
#include "watch_internal.h"

#include "base/array.h"
#include "base/assertion.h"
#include "base/buggify.h"

#include <string.h>

bool kvr__watch_stream_is_clean(const kvr__watch_stream *stream)
{
    return stream->hit_count == 0 && stream->phase == KVR__WATCH_MATCHING &&
           stream->revision <= stream->matched && stream->is_lost == 0;
}

uint64_t kvr__watch_stream_begun(const kvr__watch_stream *stream)
{
    return stream->revision > stream->matched ? stream->revision : stream->matched;
}

kvr_status kvr__watch_stream_start(kvr_watch_hub *hub, kvr__watch_stream *stream, uint64_t revision)
{
    KVR_ASSERT(stream->hit_count == 0);
    KVR_ASSERT(revision > 0);
    kvr_status status = kvr_mvcc_changes_init(&stream->cursor, hub->store, revision);
    if (status == KVR_OK) {
        kvr__watch_stream_reset(stream);
        stream->matched = revision - 1;
        stream->revision = revision - 1;
    }
    return status;
}

void kvr__watch_stream_reset(kvr__watch_stream *stream)
{
    if (stream->phase != KVR__WATCH_PARTING) {
        stream->part_count = 0;
    }
    stream->hit_count = 0;
    stream->place_count = 0;
    stream->served = 0;
    stream->is_serving = 0;
}

void kvr__watch_stream_release(kvr_watch_hub *hub, kvr__watch_stream *stream)
{
    kvr__array_free(&hub->mem, KVR__MEM_WATCH, (void **)&stream->places, &stream->place_capacity,
                    sizeof *stream->places);
    kvr__array_free(&hub->mem, KVR__MEM_WATCH, (void **)&stream->hits, &stream->hit_capacity,
                    sizeof *stream->hits);
    kvr__array_free(&hub->mem, KVR__MEM_WATCH, (void **)&stream->parts, &stream->part_capacity,
                    sizeof *stream->parts);
}

/* ------------------------------------------------------------------ matching one change */

typedef struct match {
    kvr_watch_hub *hub;
    kvr__watch_stream *stream;
    const kvr_event *event;
    bool has_place; /* the change has its place in the window */
} match;

static kvr_status note_hit(void *ctx, kvr__watch_group *group)
{
    match *m = ctx;
    kvr__watch_stream *stream = m->stream;
    kvr__watch_lane *lane = kvr__watch_lane_of(group, stream->which);
    if (lane == NULL || lane->count == 0 || !kvr__watch_group_wants(group, m->event)) {
        return KVR_OK;
    }
    bool is_full = stream->place_count == m->hub->batch_events_max ||
                   (stream->place_count > 0 && KVR_BUGGIFY(&m->hub->mem, WATCH_WINDOW_FULL));
    if (!m->has_place && is_full) {
        return KVR_ETOOBIG; /* the window is full */
    }
    if (stream->hit_count == UINT32_MAX ||
        kvr__array_grow(&m->hub->mem, KVR__MEM_WATCH, (void **)&stream->hits, &stream->hit_capacity,
                        stream->hit_count + 1, sizeof *stream->hits) != KVR_OK) {
        return KVR_ENOMEM;
    }
    m->has_place = true;
    stream->hits[stream->hit_count] = (kvr__watch_hit){group, stream->place_count, lane->last_hit};
    stream->hit_count++;
    if (lane->last_hit == 0) {
        lane->next = m->event->kv.mod_revision;
    }
    lane->last_hit = stream->hit_count;
    return KVR_OK;
}

static uint32_t *part_index(kvr__watch_group *group, uint32_t which)
{
    return which == KVR__WATCH_LIVE ? &group->of.part : &group->swept->part;
}

kvr__watch_part *kvr__watch_stream_part(const kvr__watch_stream *stream, kvr__watch_group *group)
{
    if (!kvr__watch_group_is_range(group)) {
        return NULL; /* a key changes at most once a revision */
    }
    uint32_t i = *part_index(group, stream->which);
    bool is_mine = i < stream->part_count && stream->parts[i].group == group;
    return is_mine ? &stream->parts[i] : NULL;
}

static kvr_status count_hit(void *ctx, kvr__watch_group *group)
{
    match *m = ctx;
    kvr__watch_stream *stream = m->stream;
    const kvr__watch_lane *lane = kvr__watch_lane_of(group, stream->which);
    if (lane == NULL || lane->count == 0 || !kvr__watch_group_is_range(group) ||
        !kvr__watch_group_wants(group, m->event)) {
        return KVR_OK;
    }
    kvr__watch_part *part = kvr__watch_stream_part(stream, group);
    if (part == NULL) {
        if (kvr__array_grow(&m->hub->mem, KVR__MEM_WATCH, (void **)&stream->parts,
                            &stream->part_capacity, stream->part_count + 1,
                            sizeof *stream->parts) != KVR_OK) {
            return KVR_ENOMEM;
        }
        part = &stream->parts[stream->part_count];
        *part = (kvr__watch_part){.group = group};
        *part_index(group, stream->which) = stream->part_count;
        stream->part_count++;
    }
    part->total++;
    return KVR_OK;
}

/* Visits the groups that the change is for. */
static kvr_status visit_groups(match *m, kvr__watch_visit visit)
{
    kvr_watch_hub *hub = m->hub;
    kvr_slice key = m->event->kv.key;
    if (hub->keys.count > 0) {
        kvr__watch_probe probe = kvr__watch_table_probe(&hub->keys, kvr__watch_key_hash(key));
        kvr__watch_group *group;
        while ((group = kvr__watch_table_next(&hub->keys, &probe)) != NULL) {
            kvr_status status = KVR_OK;
            if (kvr__watch_compare(key, kvr__watch_group_key(group)) == 0) {
                status = visit(m, group);
            }
            if (status != KVR_OK) {
                return status;
            }
        }
    }
    return kvr__watch_tree_stab(hub->ranges, key, visit, m);
}

/* Takes back the newest hits, down to `count`. */
static void drop_hits(kvr__watch_stream *stream, uint32_t count)
{
    while (stream->hit_count > count) {
        stream->hit_count--;
        kvr__watch_hit *hit = &stream->hits[stream->hit_count];
        if (hit->group != NULL) {
            kvr__watch_lane *lane = kvr__watch_lane_of(hit->group, stream->which);
            KVR_ASSERT(lane->last_hit == stream->hit_count + 1);
            lane->last_hit = hit->prev;
        }
    }
}

/* Enters the change before which the cursor stands into the window, for all of its groups or for
 * none. KVR_OK, KVR_ETOOBIG: the window is full, KVR_ENOMEM. */
static kvr_status enter_change(match *m)
{
    kvr__watch_stream *stream = m->stream;
    uint32_t before = stream->hit_count;
    kvr_status status =
        kvr__array_grow(&m->hub->mem, KVR__MEM_WATCH, (void **)&stream->places,
                        &stream->place_capacity, stream->place_count + 1, sizeof *stream->places);
    if (status == KVR_OK) {
        status = visit_groups(m, note_hit);
    }
    if (status != KVR_OK) {
        drop_hits(stream, before);
        return status;
    }
    if (m->has_place) {
        stream->places[stream->place_count] = stream->cursor;
        stream->place_count++;
    }
    return KVR_OK;
}

/* ------------------------------------------------------------------ filling a window */

static void begin_revision(kvr__watch_stream *stream, uint64_t revision)
{
    stream->matched = revision - 1;
    stream->revision = revision;
    stream->start = stream->cursor;
    stream->start_places = stream->place_count;
    stream->start_hits = stream->hit_count;
}

/* Back to just before the revision under way. */
static void rewind_revision(kvr__watch_stream *stream)
{
    drop_hits(stream, stream->start_hits);
    stream->place_count = stream->start_places;
    stream->cursor = stream->start;
}

/* The change before which the cursor stands does not fit the window any more. */
static void window_is_full(kvr__watch_stream *stream)
{
    if (stream->phase == KVR__WATCH_PARTING) {
        stream->is_serving = 1;
        return;
    }
    rewind_revision(stream);
    if (stream->hit_count > 0) { /* serve the revisions before it first */
        stream->revision = stream->matched;
        stream->is_serving = 1;
        return;
    }
    stream->part_count = 0;
    stream->phase = KVR__WATCH_COUNTING;
}

/* There is no more of the revision under way. True if the window is closed by that. */
static bool end_revision(kvr__watch_stream *stream)
{
    if (stream->phase == KVR__WATCH_COUNTING) {
        stream->cursor = stream->start;
        stream->phase = KVR__WATCH_PARTING;
        return false;
    }
    if (stream->phase == KVR__WATCH_PARTING) {
        stream->matched = stream->revision;
        stream->phase = KVR__WATCH_MATCHING;
        return true;
    }
    return false;
}

static void close_window(kvr__watch_stream *stream, uint64_t matched)
{
    if (stream->phase == KVR__WATCH_MATCHING && matched > stream->matched) {
        stream->matched = matched;
    }
    stream->is_serving = 1;
}

kvr_status kvr__watch_stream_match(kvr_watch_hub *hub, kvr__watch_stream *stream, uint64_t last,
                                   uint32_t *budget)
{
    KVR_ASSERT(stream->is_serving == 0);
    while (stream->is_serving == 0) {
        if (*budget == 0) {
            return KVR_AGAIN;
        }
        kvr_event event;
        kvr_mvcc_changes after = stream->cursor;
        kvr_status status = kvr_mvcc_changes_next(&after, hub->store, &event);
        if (status != KVR_OK && status != KVR_END) {
            return status;
        }
        bool is_end = status == KVR_END || event.kv.mod_revision > last;
        if (is_end || event.kv.mod_revision != stream->revision) {
            if (end_revision(stream) || (is_end && stream->phase == KVR__WATCH_MATCHING)) {
                close_window(stream, !is_end ? 0 : last < hub->head ? last : hub->head);
                continue;
            }
            if (is_end || stream->phase == KVR__WATCH_PARTING) {
                continue; /* once more from the beginning of the revision, now in parts */
            }
            begin_revision(stream, event.kv.mod_revision);
        }
        (*budget)--;
        match m = {hub, stream, &event, false};
        bool is_counting = stream->phase == KVR__WATCH_COUNTING;
        status = is_counting ? visit_groups(&m, count_hit) : enter_change(&m);
        if (status == KVR_OK) {
            stream->cursor = after;
        } else if (status == KVR_ETOOBIG) {
            window_is_full(stream);
        } else {
            if (is_counting) { /* the change may be counted half: from the start again */
                stream->cursor = stream->start;
                stream->part_count = 0;
            }
            return status;
        }
    }
    return KVR_OK;
}

/* ------------------------------------------------------------------ serving the window */

void kvr__watch_stream_forget(kvr__watch_stream *stream, kvr__watch_lane *lane)
{
    uint32_t at = lane->last_hit;
    while (at != 0) {
        kvr__watch_hit *hit = &stream->hits[at - 1];
        hit->group = NULL;
        at = hit->prev;
    }
    lane->last_hit = 0;
}

static uint32_t chain_length(const kvr__watch_stream *stream, uint32_t at)
{
    uint32_t length = 0;
    for (; at != 0; at = stream->hits[at - 1].prev) {
        length++;
    }
    return length;
}

/* True if more events of the revision in parts are to come for the group, after `count` now. */
static bool count_part(kvr__watch_stream *stream, kvr__watch_group *group, uint32_t count)
{
    kvr__watch_part *part = kvr__watch_stream_part(stream, group);
    if (part == NULL) {
        return false;
    }
    KVR_ASSERT(part->total - part->sent >= count);
    part->sent += count;
    return part->sent < part->total;
}

void kvr__watch_stream_dissolve(kvr_watch_hub *hub, kvr__watch_group *group, uint32_t which)
{
    kvr__watch_lane *lane;
    while ((lane = kvr__watch_lane_of(group, which)) != NULL && lane->count > 0) {
        kvr__watcher *watcher =
            kvr__watch_find(hub, kvr__watch_lane_targets(lane)[lane->count - 1].id);
        kvr__watch_leave(hub, watcher);
        kvr__watch_route(hub, watcher);
    }
}

/* Reads the events of a lane's hits, newest first, into hub->events. */
static kvr_status read_hits(kvr_watch_hub *hub, const kvr__watch_stream *stream,
                            const kvr__watch_group *group, uint32_t at, uint32_t count)
{
    kvr_status status = kvr__watch_events_reserve(hub, count);
    for (uint32_t i = count; i > 0 && status == KVR_OK; i--) {
        const kvr__watch_hit *hit = &stream->hits[at - 1];
        status = kvr__watch_event_at(hub, &stream->places[hit->place], group, &hub->events[i - 1]);
        at = hit->prev;
    }
    return status;
}

/* KVR_OK: a batch; KVR_ENOMEM; KVR_ECOMPACTED: there is none, its watchers were sent away. */
static kvr_status serve_group(kvr_watch_hub *hub, kvr__watch_stream *stream,
                              kvr__watch_group *group, kvr_watch_batch *out_batch)
{
    kvr__watch_lane *lane = kvr__watch_lane_of(group, stream->which);
    uint32_t count = chain_length(stream, lane->last_hit);
    kvr_status status = read_hits(hub, stream, group, lane->last_hit, count);
    if (status != KVR_OK) {
        if (status == KVR_ECOMPACTED) {
            /* What they wait for is gone: each goes where its revision belongs, and hears it
             * there. */
            kvr__watch_stream_dissolve(hub, group, stream->which);
        }
        return status;
    }
    kvr__watch_stream_forget(stream, lane);
    bool is_part = count_part(stream, group, count);
    uint64_t revision = hub->events[count - 1].kv.mod_revision;
    if (is_part) {
        revision--;
    } else if (revision < stream->matched) {
        revision = stream->matched;
    }
    lane->next = revision + 1;
    *out_batch = (kvr_watch_batch){
        .targets = kvr__watch_lane_targets(lane),
        .events = hub->events,
        .target_count = lane->count,
        .event_count = count,
        .flags = is_part ? KVR_WATCH_PART : 0,
        .revision = revision,
    };
    return KVR_OK;
}

kvr_status kvr__watch_stream_serve(kvr_watch_hub *hub, kvr__watch_stream *stream,
                                   kvr_watch_batch *out_batch)
{
    KVR_ASSERT(stream->is_serving != 0);
    while (stream->served < stream->hit_count) {
        kvr__watch_group *group = stream->hits[stream->served].group;
        if (group != NULL) {
            kvr_status status = serve_group(hub, stream, group, out_batch);
            if (status != KVR_ECOMPACTED) {
                return status;
            }
        }
        stream->served++;
    }
    kvr__watch_stream_reset(stream);
    return KVR_END;
}
