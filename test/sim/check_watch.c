/* SPDX-License-Identifier: Apache-2.0 */
/* check_watch.c: see check_watch.h. The model is never behind a member, so what a batch says can be
 * judged at once. */
#include "check_watch.h"

#include <string.h>

#define U(x) ((unsigned long long)(x))

void check_watch_init(check_watch *check, check_store *store, check_report *report)
{
    *check = (check_watch){.store = store, .report = report};
}

static uint64_t main_of(const model_change *change)
{
    return change->key->versions[change->version_at].main;
}

void check_watch_open(check_watch *check, ghost_watcher *watcher, uint64_t start, uint64_t head)
{
    check_store_advance(check->store);
    const model_mvcc *model = check->store->model;
    watcher->next = start == 0 ? head + 1 : start;
    uint32_t low = 0;
    uint32_t high = model->change_count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (main_of(&model->changes[middle]) < watcher->next) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    watcher->finger = low;
}

static int compare(const kvr_slice *a, const model_bytes *b)
{
    size_t size = a->size < b->size ? a->size : b->size;
    int order = size == 0 ? 0 : memcmp(a->data, b->data, size);
    return order != 0 ? order : (a->size > b->size) - (a->size < b->size);
}

/* Whether the watcher wants to hear of the change. */
static bool wants(const ghost_watcher *watcher, const model_change *change)
{
    const model_bytes *key = &change->key->key;
    bool is_delete = change->key->versions[change->version_at].version == 0;
    if ((watcher->flags & (is_delete ? KVR_WATCH_NO_DELETE : KVR_WATCH_NO_PUT)) != 0) {
        return false;
    }
    if (watcher->range_end.size == 0) {
        return compare(&watcher->key, key) == 0;
    }
    bool unbounded = watcher->range_end.size == 1 && watcher->range_end.data[0] == 0;
    return compare(&watcher->key, key) <= 0 && (unbounded || compare(&watcher->range_end, key) > 0);
}

static bool is_kv(const kvr_kv *kv, const model_change *change, const model_version *version)
{
    return compare(&kv->key, &change->key->key) == 0 && kv->mod_revision == version->main &&
           kv->mod_sub == version->sub && kv->create_revision == version->create &&
           kv->version == version->version && kv->lease == version->lease &&
           compare(&kv->value, &version->value) == 0;
}

/* V7 */
static bool is_right_before(const check_watch *check, const ghost_watcher *watcher,
                            const kvr_event *event, const model_change *change)
{
    const model_version *version = &change->key->versions[change->version_at];
    const model_version *before = change->version_at == 0 ? NULL : version - 1;
    bool existed = before != NULL && before->version > 0;
    if ((watcher->flags & KVR_WATCH_PREV_KV) == 0) {
        return true; /* may be there, as events are shared */
    }
    if (event->has_prev == 0) {
        return !existed || version->main <= check->store->model->compacted;
    }
    return existed && is_kv(&event->prev, change, before);
}

static bool is_event(const check_watch *check, const ghost_watcher *watcher, const kvr_event *event,
                     const model_change *change)
{
    const model_version *version = &change->key->versions[change->version_at];
    if (version->version == 0) {
        return event->type == KVR_EVENT_DELETE && event->kv.mod_revision == version->main &&
               event->kv.mod_sub == version->sub &&
               compare(&event->kv.key, &change->key->key) == 0 &&
               is_right_before(check, watcher, event, change);
    }
    return event->type == KVR_EVENT_PUT && is_kv(&event->kv, change, version) &&
           is_right_before(check, watcher, event, change);
}

/* The next change that the watcher wants, up to revision `last`; NULL: none. The finger stands on
 * it. */
static const model_change *next_wanted(const check_watch *check, ghost_watcher *watcher,
                                       uint64_t last)
{
    const model_mvcc *model = check->store->model;
    while (watcher->finger < model->change_count &&
           main_of(&model->changes[watcher->finger]) <= last) {
        const model_change *change = &model->changes[watcher->finger];
        if (main_of(change) >= watcher->next && wants(watcher, change)) {
            return change;
        }
        watcher->finger++;
    }
    return NULL;
}

static void check_overtaken(check_watch *check, ghost_watcher *watcher,
                            const kvr_watch_batch *batch)
{
    watcher->has_ended = true;
    check->compacted_count++;
    if (batch->compacted > check->store->model->compacted || watcher->next > batch->compacted) {
        check_fail(check->report, "V3",
                   "member %u tells a watcher that wants %llu that %llu is compacted; it is %llu",
                   watcher->member + 1, U(watcher->next), U(batch->compacted),
                   U(check->store->model->compacted));
    }
}

static void check_events(check_watch *check, ghost_watcher *watcher, const kvr_watch_batch *batch)
{
    uint64_t last = batch->revision + ((batch->flags & KVR_WATCH_PART) != 0 ? 1 : 0);
    for (uint32_t i = 0; i < batch->event_count; i++) {
        const kvr_event *event = &batch->events[i];
        if (event->kv.mod_revision > last) {
            check_fail(check->report, "V4", "member %u sends a part of revision %llu unmarked",
                       watcher->member + 1, U(event->kv.mod_revision));
            return;
        }
        const model_change *change = next_wanted(check, watcher, event->kv.mod_revision);
        if (change == NULL || !is_event(check, watcher, event, change)) {
            check_fail(check->report, "V3",
                       "member %u: event %u of a batch is revision %llu.%llu of '%.*s'; the next "
                       "change for the watcher is revision %llu",
                       watcher->member + 1, i, U(event->kv.mod_revision), U(event->kv.mod_sub),
                       (int)event->kv.key.size, (const char *)event->kv.key.data,
                       U(change == NULL ? 0 : main_of(change)));
            return;
        }
        watcher->finger++;
        watcher->event_count++;
        check->event_count++;
    }
}

static void check_target(check_watch *check, ghost_watcher *watcher, uint32_t member,
                         const kvr_watch_batch *batch)
{
    bool is_part = (batch->flags & KVR_WATCH_PART) != 0;
    if (watcher->has_ended || watcher->is_paused || watcher->member != member) {
        check_fail(check->report, "V3", "member %u sends a batch to a watcher that %s", member + 1,
                   watcher->has_ended ? "has ended" : "is paused or another member's");
        return;
    }
    if (batch->status == KVR_ECOMPACTED) {
        check_overtaken(check, watcher, batch);
        return;
    }
    if (batch->status != KVR_OK || batch->event_count == 0 || batch->revision + 1 < watcher->next) {
        check_fail(check->report, "V1", "member %u sends %u events up to %llu after %llu (%s)",
                   member + 1, batch->event_count, U(batch->revision), U(watcher->next - 1),
                   kvr_status_name(batch->status));
        return;
    }
    check_events(check, watcher, batch);
    const model_change *left = next_wanted(check, watcher, batch->revision);
    if (left != NULL) {
        check_fail(check->report, is_part ? "V3" : "V4",
                   "member %u says that all up to %llu was delivered; revision %llu was not",
                   member + 1, U(batch->revision), U(main_of(left)));
    }
    watcher->is_in_parts = is_part;
    watcher->next = batch->revision + 1;
}

void check_watch_batch(check_watch *check, uint32_t member, const kvr_watch_batch *batch)
{
    check_store_advance(check->store);
    if (batch->revision > check->store->model->revision) {
        check_fail(check->report, "V6", "member %u says that %llu was delivered; the head is %llu",
                   member + 1, U(batch->revision), U(check->store->model->revision));
        return;
    }
    for (uint32_t i = 0; i < batch->target_count && !check->report->failed; i++) {
        check_target(check, batch->targets[i].user, member, batch);
    }
}

void check_watch_caught_up(check_watch *check, const ghost_watcher *watcher, uint64_t head)
{
    check_store_advance(check->store);
    ghost_watcher copy = *watcher;
    const model_change *left = next_wanted(check, &copy, head);
    if (left != NULL) {
        check_fail(check->report, "V3",
                   "member %u stands at revision %llu and never told a watcher of revision %llu",
                   watcher->member + 1, U(head), U(main_of(left)));
    }
}
