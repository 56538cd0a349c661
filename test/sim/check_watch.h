/* SPDX-License-Identifier: Apache-2.0 */
/* check_watch.h: what watchers hear, against the model's list of changes: V1 in order, V2 once, V3
 * nothing left out between start and what is said to be delivered, V4 whole revisions (or marked
 * parts), V5 from exactly where it was asked to begin, V7 with the right version before. Told
 * KVR_ECOMPACTED only if it was overtaken. */
#ifndef KVRAFT_TEST_SIM_CHECK_WATCH_H
#define KVRAFT_TEST_SIM_CHECK_WATCH_H

#include <kvraft/watch.h>

#include "check_store.h"

/* One watcher, in the caller's memory; `user` of its request. Key and range_end stay the
 * caller's. */
typedef struct ghost_watcher {
    uint64_t next;   /* revision: all before it was delivered */
    uint32_t finger; /* first change of the model that was not looked at for it */
    uint32_t flags;
    uint32_t member;
    bool has_ended;
    bool is_paused;
    bool is_in_parts; /* the last batch said that its revision goes on */
    uint8_t reserved;
    kvr_slice key;
    kvr_slice range_end;
    uint64_t event_count;
} ghost_watcher;

typedef struct check_watch {
    check_store *store;
    check_report *report;
    uint64_t event_count;
    uint64_t compacted_count;
} check_watch;

void check_watch_init(check_watch *check, check_store *store, check_report *report);

/* A watcher begins; `start` 0 means after `head`, the member's published revision. */
void check_watch_open(check_watch *check, ghost_watcher *watcher, uint64_t start, uint64_t head);
void check_watch_batch(check_watch *check, uint32_t member, const kvr_watch_batch *batch);

/* The member has published `head` and says that nobody is behind. */
void check_watch_caught_up(check_watch *check, const ghost_watcher *watcher, uint64_t head);

#endif
