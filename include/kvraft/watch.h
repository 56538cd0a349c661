/* SPDX-License-Identifier: Apache-2.0 */
/* kvraft/watch.h: watchers over a kvr_mvcc store: who must hear of which change. It holds no
 * events: a watcher is a place in the store's history, so one that is slow costs nothing and loses
 * nothing.
 *
 *   1. kvr_watch_hub_new over a store
 *   2. kvr_watch_open: a key or an interval, from now or from a past revision
 *   3. after the store changed: kvr_watch_next until KVR_END; hand each batch to its targets
 *   4. kvr_watch_pause a target that cannot take more; kvr_watch_resume it later; kvr_watch_cancel
 *   5. kvr_watch_hub_free, before the store
 *
 * Promises, to each watcher (etcd contract: "Watch"): events in order of revision (ordered), each
 * once (unique), none missing between its start and its last (reliable), all of one revision
 * together (atomic), and a new watcher from the last revision + 1 goes on exactly there
 * (resumable); or it is told KVR_ECOMPACTED.
 *
 * One handle, one thread at a time: that of the store. No clock. Nothing here calls back. */
#ifndef KVRAFT_WATCH_H
#define KVRAFT_WATCH_H

#include <kvraft/base.h>
#include <kvraft/mvcc.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct kvr_watch_hub kvr_watch_hub;

typedef struct kvr_watch_config {
    uint32_t size;
    /* events in one batch, default 1,024; one revision with more is sent in parts */
    uint32_t batch_events_max;
    const kvr_allocator *allocator;
    void *allocator_ctx;
} kvr_watch_config;

KVR_API kvr_status kvr_watch_config_init(kvr_watch_config *config, uint32_t size) KVR_MUST_USE;

/* `config` NULL: all defaults. `store` is lent to the hub for its whole life; its content may be
 * replaced by kvr_mvcc_load_*, then watchers go on by revision. Gives *out_hub, freed by
 * kvr_watch_hub_free. KVR_EINVAL (batch_events_max above 65,536 too), KVR_ENOMEM. */
KVR_API kvr_status kvr_watch_hub_new(const kvr_watch_config *config, const kvr_mvcc *store,
                                     kvr_watch_hub **out_hub) KVR_MUST_USE;

/* Every watcher ends. NULL is ignored. */
KVR_API void kvr_watch_hub_free(kvr_watch_hub *hub);

enum {
    KVR_WATCH_PREV_KV = 1,  /* events carry the version before */
    KVR_WATCH_NO_PUT = 2,   /* filter */
    KVR_WATCH_NO_DELETE = 4 /* filter */
};

/* Borrowed. key and range_end as in kvr_range, but an interval that is not upright is
 * KVR_EINVAL. */
typedef struct kvr_watch_request {
    uint32_t size;
    uint32_t flags; /* KVR_WATCH_* */
    uint64_t id;    /* 0: chosen by the hub, never reused */
    /* first revision of interest; 0: the next one. May lie in the future */
    uint64_t start_revision;
    kvr_slice key;
    kvr_slice range_end;
    void *user; /* comes back in targets */
} kvr_watch_request;

/* Opens a watcher; *out_id names it. A start below the compacted revision is legal: kvr_watch_next
 * tells it KVR_ECOMPACTED; a start at the compacted revision is served.
 *
 * KVR_OK, KVR_EINVAL (empty key, unknown flag, interval not upright), KVR_EEXIST (id in use),
 * KVR_ETOOBIG (key or range_end above KVR_KEY_BYTES_MAX), KVR_ENOMEM. O(log watched intervals).
 * etcd contract: "Watch", Create. */
KVR_API kvr_status kvr_watch_open(kvr_watch_hub *hub, const kvr_watch_request *request,
                                  uint64_t *out_id) KVR_MUST_USE;

/* Ends it at once: it stands in no later batch. KVR_ENOTFOUND. */
KVR_API kvr_status kvr_watch_cancel(kvr_watch_hub *hub, uint64_t id) KVR_MUST_USE;

/* A paused watcher stands in no batch and holds no event; resumed, it goes on after the last batch
 * that named it, between two parts of a revision too. Both are idempotent and need no memory.
 * KVR_ENOTFOUND. */
KVR_API kvr_status kvr_watch_pause(kvr_watch_hub *hub, uint64_t id) KVR_MUST_USE;
KVR_API kvr_status kvr_watch_resume(kvr_watch_hub *hub, uint64_t id) KVR_MUST_USE;

/* One watcher that a batch is for. */
typedef struct kvr_watch_target {
    uint64_t id;
    void *user;
} kvr_watch_target;

enum {
    /* one revision has more events than a batch holds: more of it follow for these targets, and
     * nothing else before them */
    KVR_WATCH_PART = 1
};

/* The same events for one or many watchers of the same interval and flags. Lends until the next
 * call on the hub or change of the store. */
typedef struct kvr_watch_batch {
    const kvr_watch_target *targets;
    /* whole revisions, in order (but see KVR_WATCH_PART); at least one if status is KVR_OK */
    const kvr_event *events;
    uint32_t target_count;
    uint32_t event_count;
    /* KVR_OK, or KVR_ECOMPACTED: these watchers were overtaken and have ended */
    kvr_status status;
    uint32_t flags; /* KVR_WATCH_PART */
    /* everything up to it has been delivered to the targets; with KVR_WATCH_PART up to the one
     * before */
    uint64_t revision;
    /* with KVR_ECOMPACTED: the lowest revision from which a new watcher can start */
    uint64_t compacted;
} kvr_watch_batch;

/* The next batch. Watchers that keep up are served from each new revision once for all; those
 * behind share a sweep of the history, single-key ones walk their key's versions. All take turns,
 * so none waits for another's backlog. `budget` > 0 bounds the changes and watchers looked at by
 * this call.
 *
 * KVR_OK (fills *out_batch), KVR_AGAIN (budget over, nothing found yet), KVR_END (everyone who is
 * not paused is up to date), KVR_ENOMEM (nothing lost; try again), KVR_EINVAL (budget 0). */
KVR_API kvr_status kvr_watch_next(kvr_watch_hub *hub, uint32_t budget,
                                  kvr_watch_batch *out_batch) KVR_MUST_USE;

/* True if kvr_watch_next would have something to look at. O(1). */
KVR_API bool kvr_watch_has_work(const kvr_watch_hub *hub);

/* True if a compaction to `revision` overtakes nobody who keeps up: whoever wants that promise
 * calls kvr_watch_next before it until this holds. (Those who are behind or paused may always be
 * overtaken.) */
KVR_API bool kvr_watch_keeps_up(const kvr_watch_hub *hub, uint64_t revision);

/* *out_revision: everything up to it was delivered to the watcher, or is not for it (for progress
 * notices). It never goes back. At the head: up to date; above the head: it starts in the future,
 * and no notice is due. KVR_ENOTFOUND. etcd contract: "Watch", Progress. */
KVR_API kvr_status kvr_watch_delivered(const kvr_watch_hub *hub, uint64_t id,
                                       uint64_t *out_revision) KVR_MUST_USE;

typedef struct kvr_watch_status {
    uint32_t size;
    uint32_t reserved;
    uint64_t watchers;
    uint64_t behind; /* of these: not up to date, paused ones included */
    uint64_t paused;
    uint64_t memory_bytes;
} kvr_watch_status;

/* Fills *out_status, whose size the caller has set. O(1). */
KVR_API void kvr_watch_get_status(const kvr_watch_hub *hub, kvr_watch_status *out_status);

#ifdef __cplusplus
}
#endif
#endif
