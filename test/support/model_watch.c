/* SPDX-License-Identifier: Apache-2.0 */
/* model_watch.c: fingers on a list. Every question looks at every change. */
#include "model_watch.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *say(const char *format, ...)
{
    static char text[256];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    return text;
}

static void *grab(void *ptr, size_t size)
{
    void *moved = realloc(ptr, size);
    if (moved == NULL) {
        abort();
    }
    return moved;
}

static model_bytes copy_of(kvr_slice bytes)
{
    model_bytes copy = {grab(NULL, bytes.size + 1), bytes.size};
    if (bytes.size > 0) {
        memcpy(copy.data, bytes.data, bytes.size);
    }
    return copy;
}

model_watch *model_watch_new(const model_mvcc *history)
{
    model_watch *model = grab(NULL, sizeof *model);
    *model = (model_watch){.history = history};
    return model;
}

void model_watch_free(model_watch *model)
{
    while (model->count > 0) {
        model_watch_cancel(model, model->watchers[0].id);
    }
    free(model->watchers);
    free(model);
}

static model_watcher *find(const model_watch *model, uint64_t id)
{
    for (uint32_t i = 0; i < model->count; i++) {
        if (model->watchers[i].id == id) {
            return &model->watchers[i];
        }
    }
    return NULL;
}

const model_watcher *model_watch_find(const model_watch *model, uint64_t id)
{
    return find(model, id);
}

void model_watch_open(model_watch *model, uint64_t id, const kvr_watch_request *request)
{
    model->watchers = grab(model->watchers, (model->count + 1) * sizeof *model->watchers);
    model_watcher *watcher = &model->watchers[model->count++];
    uint64_t start = request->start_revision;
    *watcher = (model_watcher){
        .id = id,
        .user = request->user,
        .flags = request->flags,
        .key = copy_of(request->key),
        .range_end = copy_of(request->range_end),
        .next = start != 0 ? start : model->history->revision + 1,
    };
    kvr_event event;
    for (uint32_t i = 0; i < model->history->change_count; i++) {
        model_mvcc_event(model->history, i, &event);
        watcher->finger += event.kv.mod_revision < watcher->next;
    }
}

void model_watch_cancel(model_watch *model, uint64_t id)
{
    model_watcher *watcher = find(model, id);
    if (watcher != NULL) {
        free(watcher->key.data);
        free(watcher->range_end.data);
        model->count--;
        *watcher = model->watchers[model->count];
    }
}

void model_watch_pause(model_watch *model, uint64_t id, bool is_paused)
{
    find(model, id)->is_paused = is_paused;
}

static int compare(const model_bytes *a, const kvr_slice *b)
{
    size_t size = a->size < b->size ? a->size : b->size;
    int order = size == 0 ? 0 : memcmp(a->data, b->data, size);
    return order != 0 ? order : (a->size > b->size) - (a->size < b->size);
}

bool model_watch_wants(const model_watcher *watcher, const kvr_event *event)
{
    const model_bytes *end = &watcher->range_end;
    int order = compare(&watcher->key, &event->kv.key);
    bool is_inside = order == 0;
    if (end->size > 0) {
        bool has_no_end = end->size == 1 && end->data[0] == 0;
        is_inside = order <= 0 && (has_no_end || compare(end, &event->kv.key) > 0);
    }
    uint32_t unwanted = event->type == KVR_EVENT_PUT ? KVR_WATCH_NO_PUT : KVR_WATCH_NO_DELETE;
    return is_inside && event->kv.mod_revision >= watcher->next && (watcher->flags & unwanted) == 0;
}

/* The next event that the watcher wants, with a revision up to `last`; moves its finger onto it. */
static bool next_wanted(const model_watch *model, model_watcher *watcher, uint64_t last,
                        kvr_event *out_event)
{
    while (watcher->finger < model->history->change_count) {
        model_mvcc_event(model->history, watcher->finger, out_event);
        if (out_event->kv.mod_revision > last) {
            return false;
        }
        if (model_watch_wants(watcher, out_event)) {
            return true;
        }
        watcher->finger++;
    }
    return false;
}

/* Checks the events of a batch for one of its targets. */
static const char *hear(model_watch *model, model_watcher *watcher, const kvr_watch_batch *batch)
{
    kvr_event wanted;
    for (uint32_t i = 0; i < batch->event_count; i++) {
        const kvr_event *told = &batch->events[i];
        if (!next_wanted(model, watcher, UINT64_MAX, &wanted)) {
            return say("watcher %" PRIu64 " is told of revision %" PRIu64
                       " and nothing more should come",
                       watcher->id, told->kv.mod_revision);
        }
        if ((watcher->flags & KVR_WATCH_PREV_KV) == 0) {
            memset(&wanted.prev, 0, sizeof wanted.prev);
            wanted.has_prev = 0;
        }
        if (!model_event_equal(&wanted, told)) {
            return say("watcher %" PRIu64 " is told of (%" PRIu64 ", %" PRIu64 "), (%" PRIu64
                       ", %" PRIu64 ") should come, or differs",
                       watcher->id, told->kv.mod_revision, told->kv.mod_sub, wanted.kv.mod_revision,
                       wanted.kv.mod_sub);
        }
        watcher->finger++;
    }
    return NULL;
}

static const char *check_target(model_watch *model, const kvr_watch_target *target,
                                const kvr_watch_batch *batch)
{
    model_watcher *watcher = find(model, target->id);
    if (watcher == NULL || watcher->is_paused || watcher->user != target->user) {
        return say("a batch names %" PRIu64 ", who is not there, is paused or is another's",
                   target->id);
    }
    if (batch->status == KVR_ECOMPACTED) {
        uint64_t next = watcher->next;
        model->ended_count++;
        model_watch_cancel(model, target->id);
        return next < model->history->compacted
                   ? NULL
                   : say("%" PRIu64 " needed %" PRIu64 ", which is there", target->id, next);
    }
    const char *wrong = hear(model, watcher, batch);
    if (wrong != NULL) {
        return wrong;
    }
    kvr_event more;
    uint64_t last = batch->events[batch->event_count - 1].kv.mod_revision;
    watcher->is_in_parts = (batch->flags & KVR_WATCH_PART) != 0;
    if (watcher->is_in_parts != next_wanted(model, watcher, last, &more)) {
        return say("%" PRIu64 ": revision %" PRIu64 " has more events or none, against the flag",
                   target->id, last);
    }
    if (batch->revision != last - 1 && watcher->is_in_parts) {
        return say("%" PRIu64 ": a part of %" PRIu64 " says that %" PRIu64 " is delivered",
                   target->id, last, batch->revision);
    }
    return model_watch_delivered(model, target->id, batch->revision);
}

const char *model_watch_batch(model_watch *model, const kvr_watch_batch *batch)
{
    bool is_end = batch->status == KVR_ECOMPACTED;
    if (batch->target_count == 0 || (batch->event_count == 0) != is_end ||
        (batch->status != KVR_OK && !is_end)) {
        return "a batch without targets, without events, or of no known status";
    }
    if (is_end && batch->compacted != model->history->compacted) {
        return "a wrong compacted revision";
    }
    model->event_count += (uint64_t)batch->event_count * batch->target_count;
    model->part_count += (batch->flags & KVR_WATCH_PART) != 0;
    model->shared_count += batch->target_count > 1;
    for (uint32_t i = 0; i < batch->target_count; i++) {
        const char *wrong = check_target(model, &batch->targets[i], batch);
        if (wrong != NULL) {
            return wrong;
        }
    }
    return NULL;
}

const char *model_watch_delivered(model_watch *model, uint64_t id, uint64_t revision)
{
    model_watcher *watcher = find(model, id);
    kvr_event untold;
    if (revision + 1 < watcher->next) {
        return say("%" PRIu64 ": delivered went back from %" PRIu64 " to %" PRIu64, id,
                   watcher->next - 1, revision);
    }
    if (revision > model->history->revision && revision + 1 != watcher->next) {
        return say("%" PRIu64 ": delivered %" PRIu64 " is above the head", id, revision);
    }
    if (next_wanted(model, watcher, revision, &untold)) {
        return say("%" PRIu64 ": %" PRIu64 " counts as delivered, an event of %" PRIu64
                   " was not told",
                   id, revision, untold.kv.mod_revision);
    }
    watcher->next = revision + 1;
    return NULL;
}

const char *model_watch_end(const model_watch *model)
{
    for (uint32_t i = 0; i < model->count; i++) {
        model_watcher *watcher = &model->watchers[i];
        kvr_event untold;
        if (!watcher->is_paused && next_wanted(model, watcher, UINT64_MAX, &untold)) {
            return say("%" PRIu64 " was not told of revision %" PRIu64, watcher->id,
                       untold.kv.mod_revision);
        }
    }
    return NULL;
}
