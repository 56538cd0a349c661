/* SPDX-License-Identifier: Apache-2.0 */
/* model_watch.h: what watchers must hear, as one would check it at a blackboard: the history is a
 * list (model_mvcc.h), a watcher is a finger on it. Each batch is compared with what lies under the
 * finger of each target. It knows the contract (kvraft/watch.h; FAULTS.md V1 to V7) and nothing of
 * lib/watch. Call _open after kvr_watch_open, _batch after each KVR_OK of kvr_watch_next, _end
 * after each KVR_END, _delivered after kvr_watch_delivered.
 *
 * Complaints are a sentence that lends until the next call; NULL: all is well. Memory comes from
 * malloc; without memory it aborts. */
#ifndef KVRAFT_TEST_SUPPORT_MODEL_WATCH_H
#define KVRAFT_TEST_SUPPORT_MODEL_WATCH_H

#include <kvraft/watch.h>

#include "model_mvcc.h"

typedef struct model_watcher {
    uint64_t id;
    void *user;
    uint32_t flags;
    bool is_paused;
    bool is_in_parts; /* the last batch said that more of its revision follows */
    model_bytes key;
    model_bytes range_end;
    uint64_t next;   /* all before it was told, as far as anybody said */
    uint32_t finger; /* index into the changes: those before it were told, or are not for it */
} model_watcher;

typedef struct model_watch {
    const model_mvcc *history;
    model_watcher *watchers;
    uint32_t count;
    uint64_t event_count;  /* told so far, to all */
    uint64_t ended_count;  /* watchers that were overtaken */
    uint64_t part_count;   /* batches that were parts */
    uint64_t shared_count; /* batches for more than one */
} model_watch;

model_watch *model_watch_new(const model_mvcc *history);
void model_watch_free(model_watch *model);

void model_watch_open(model_watch *model, uint64_t id, const kvr_watch_request *request);
void model_watch_cancel(model_watch *model, uint64_t id);
void model_watch_pause(model_watch *model, uint64_t id, bool is_paused);
const model_watcher *model_watch_find(const model_watch *model, uint64_t id); /* NULL: none */

const char *model_watch_batch(model_watch *model, const kvr_watch_batch *batch);
const char *model_watch_end(const model_watch *model);
/* Also teaches the model that all up to `revision` was told, so call it for all before a
 * compaction: then who is told KVR_ECOMPACTED without need is found out. */
const char *model_watch_delivered(model_watch *model, uint64_t id, uint64_t revision);

/* True if the watcher wants to hear of the event. */
bool model_watch_wants(const model_watcher *watcher, const kvr_event *event);

#endif
