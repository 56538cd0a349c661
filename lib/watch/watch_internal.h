/* SPDX-License-Identifier: Apache-2.0 */
/* watch_internal.h: the types of the watch room.
 *
 *   hub -> watchers by id, groups by key (hash) and by interval (tree)
 *       -> two streams over the store's log: live follows the head, sweep takes along who is behind
 *   group -> a lane for each stream: the targets that have heard the same
 *
 * The one idea: nobody holds an event. A watcher is a place in history: that of its stream if it
 * stands in a lane, its own otherwise. So being up to date costs nothing a revision, and being slow
 * costs nothing. */
#ifndef KVRAFT_LIB_WATCH_WATCH_INTERNAL_H
#define KVRAFT_LIB_WATCH_WATCH_INTERNAL_H

#include <kvraft/watch.h>

#include "base/list.h"
#include "base/memory.h"
#include "base/slab.h"

/* ------------------------------------------------------------------ limits */

/* Events of a batch by default. With KVR_HOSTILE few, so that revisions come in parts. */
#ifdef KVR_HOSTILE
enum { KVR__WATCH_BATCH_EVENTS = 2 };
#else
enum { KVR__WATCH_BATCH_EVENTS = 1024 };
#endif
enum { KVR__WATCH_BATCH_EVENTS_MAX = 65536 }; /* a window holds as many places */

typedef struct kvr__watch_group kvr__watch_group;

/* ------------------------------------------------------------------ one watcher */

/* Where a watcher stands.
 *
 *   any     -> paused    [kvr_watch_pause]
 *   paused  -> waiting or behind                                         [kvr_watch_resume]
 *   waiting -> live      the live stream is just before its revision     [watch_live.c]
 *   waiting -> behind    the live stream is past its revision            [watch_live.c]
 *   turn    -> waiting   its key's versions were walked up to the head   [watch_behind.c]
 *   turn    -> lagging   there are more of them than a batch holds       [watch_behind.c]
 *   lagging -> swept     the sweep is just before its revision           [watch_sweep.c]
 *   swept   -> waiting   the sweep has caught up with the live stream    [watch_sweep.c]
 *   parted  -> waiting or behind   it has heard the rest of a revision   [watch_behind.c]
 *
 * "behind" is parted for who has heard a part of its revision, else turn for a single key and
 * lagging for an interval [kvr__watch_route]. */
enum {
    KVR__WATCHER_PAUSED = 0,
    KVR__WATCHER_WAITING = 1, /* in hub->waiting: the live stream has not reached its revision */
    KVR__WATCHER_TURN = 2,    /* in hub->turns */
    KVR__WATCHER_PARTED = 3,  /* in hub->parted */
    KVR__WATCHER_LAGGING = 4, /* in hub->lagging[lag] */
    KVR__WATCHER_LIVE = 5,    /* in the live lane of its group */
    KVR__WATCHER_SWEPT = 6,   /* in the swept lane of its group */
    KVR__WATCHER_STATES = 7
};

/* A node of a pairing heap. */
typedef struct kvr__watch_knot {
    struct kvr__watch_knot *child;
    struct kvr__watch_knot *next; /* sibling */
    struct kvr__watch_knot *prev; /* sibling before, or the parent of a first child */
} kvr__watch_knot;

typedef struct kvr__watcher {
    uint64_t id;
    void *user;
    kvr__watch_group *group;
    uint64_t revision; /* the next one it needs; in a lane the lane knows */
    uint32_t skip;     /* so many events of `revision` it has already */
    uint8_t state;     /* KVR__WATCHER_* */
    uint8_t lag;       /* lagging: in which of the two heaps */
    uint8_t reserved[2];
    union {
        kvr__watch_knot knot; /* waiting, lagging */
        kvr__list link;       /* turn, parted */
        uint32_t place;       /* live, swept: index of its target */
    } at;
} kvr__watcher;

/* ------------------------------------------------------------------ groups and lanes */

enum { KVR__WATCH_LIVE = 0, KVR__WATCH_SWEEP = 1 };

/* Those watchers of a group that have heard the same and hear the next together. */
typedef struct kvr__watch_lane {
    union {
        kvr_watch_target one; /* count <= 1 */
        struct {
            kvr_watch_target *items;
            uint32_t capacity;
        } many;
    } targets;
    uint32_t count;
    uint32_t last_hit; /* index + 1 of its newest hit in the stream's window; 0: none waits */
    uint64_t next;     /* all before it was delivered; while hits wait, the revision of the first */
} kvr__watch_lane;

/* The part of a group that only exists while some of its watchers are swept. */
typedef struct kvr__watch_swept {
    kvr__list link; /* in hub->swept */
    kvr__watch_group *group;
    kvr__watch_lane lane;
    uint32_t part; /* as that of kvr__watch_group, of the sweep */
    uint32_t reserved;
} kvr__watch_swept;

/* All watchers of one (key, range_end, flags). Both lie behind the struct, or behind that of the
 * interval. */
struct kvr__watch_group {
    union {
        uint32_t hash; /* of a single key */
        uint32_t part; /* of an interval: index of its kvr__watch_part in the live stream, if any */
    } of;
    uint32_t members; /* watchers, wherever they stand */
    uint16_t key_size;
    uint16_t end_size; /* 0: the single key */
    uint8_t flags;     /* KVR_WATCH_* */
    uint8_t height;    /* of an interval: levels of its subtree */
    uint8_t reserved[2];
    kvr__watch_swept *swept; /* NULL: none */
    kvr__watch_lane lane;    /* live */
};

/* A group of an interval: also a node of the interval tree. */
typedef struct kvr__watch_range {
    kvr__watch_group group;
    struct kvr__watch_range *left;
    struct kvr__watch_range *right;
    struct kvr__watch_range *furthest; /* of this subtree, the one whose interval ends last */
} kvr__watch_range;

static inline bool kvr__watch_group_is_range(const kvr__watch_group *group)
{
    return group->end_size > 0;
}

static inline size_t kvr__watch_group_size(const kvr__watch_group *group)
{
    return kvr__watch_group_is_range(group) ? sizeof(kvr__watch_range) : sizeof(kvr__watch_group);
}

static inline kvr_slice kvr__watch_group_key(const kvr__watch_group *group)
{
    return (kvr_slice){(const uint8_t *)group + kvr__watch_group_size(group), group->key_size};
}

static inline kvr_slice kvr__watch_group_end(const kvr__watch_group *group)
{
    const uint8_t *key = (const uint8_t *)group + kvr__watch_group_size(group);
    return (kvr_slice){key + group->key_size, group->end_size};
}

/* Negative, 0 or positive, as memcmp; a prefix is before what it begins. */
int kvr__watch_compare(kvr_slice a, kvr_slice b);

/* True if key < end; the end "\0" is above all keys. */
bool kvr__watch_is_below(kvr_slice key, kvr_slice end);
int kvr__watch_compare_ends(kvr_slice a, kvr_slice b);

/* ------------------------------------------------------------------ watch_tree.c: intervals */

/* Called for each interval that holds a key; KVR_OK goes on, else the search ends with that
 * status. */
typedef kvr_status (*kvr__watch_visit)(void *ctx, kvr__watch_group *group);

kvr__watch_range *kvr__watch_tree_insert(kvr__watch_range *root, kvr__watch_range *range);
kvr__watch_range *kvr__watch_tree_remove(kvr__watch_range *root, kvr__watch_range *range);
kvr__watch_range *kvr__watch_tree_find(kvr__watch_range *root, kvr_slice key, kvr_slice end,
                                       uint32_t flags);
kvr_status kvr__watch_tree_stab(kvr__watch_range *root, kvr_slice key, kvr__watch_visit visit,
                                void *ctx);

/* ------------------------------------------------------------------ watch_heap.c: by revision */

kvr__watcher *kvr__watch_heap_top(kvr__watch_knot *root); /* the lowest revision; NULL: empty */
void kvr__watch_heap_push(kvr__watch_knot **root, kvr__watcher *watcher);
void kvr__watch_heap_remove(kvr__watch_knot **root, kvr__watcher *watcher);

/* ------------------------------------------------------------------ watch_table.c: by hash */

typedef struct kvr__watch_table {
    void **slots; /* then a tag byte a slot: 0 free, else 7 bits of the hash */
    uint32_t (*hash_of)(const void *item);
    uint32_t count;
    uint32_t capacity; /* 0 or a power of two */
} kvr__watch_table;

/* The places where an item of this hash may be. */
typedef struct kvr__watch_probe {
    uint32_t hash;
    uint32_t at;
} kvr__watch_probe;

kvr_status kvr__watch_table_reserve(kvr__watch_table *table, kvr__mem *mem); /* one more fits */
void kvr__watch_table_release(kvr__watch_table *table, kvr__mem *mem);
void kvr__watch_table_add(kvr__watch_table *table, void *item); /* not inside; room was reserved */
void kvr__watch_table_remove(kvr__watch_table *table, const void *item);
kvr__watch_probe kvr__watch_table_probe(const kvr__watch_table *table, uint32_t hash);
/* NULL: no more */
void *kvr__watch_table_next(const kvr__watch_table *table, kvr__watch_probe *probe);

/* ------------------------------------------------------------------ streams */

/* One change is for one group. The hits of a group are chained, newest first. */
typedef struct kvr__watch_hit {
    kvr__watch_group *group; /* NULL: served, or nobody wants it any more */
    uint32_t place;          /* index into the window's places */
    uint32_t prev;           /* index + 1 of the group's hit before; 0: none */
} kvr__watch_hit;

/* How far a lane is within a revision that is told in parts. The lane knows its index; that an
 * index is of this counting and not of an old one, the entry tells by naming the group. */
typedef struct kvr__watch_part {
    kvr__watch_group *group; /* NULL: its lane has no targets any more */
    uint32_t total;          /* events of the revision for the lane */
    uint32_t sent;
} kvr__watch_part;

/* How a stream goes through a revision.
 *
 *   matching -> serving    the window is full or the end is reached, at the end of a revision
 *   serving  -> matching   every hit is served
 *   matching -> counting   one revision alone has more changes than a window holds
 *   counting -> parting    how many events each lane will get is known: only then can a part say
 *                          that more will follow
 *   parting  -> serving -> parting -> ... -> matching after the last part */
enum { KVR__WATCH_MATCHING = 0, KVR__WATCH_COUNTING = 1, KVR__WATCH_PARTING = 2 };

typedef struct kvr__watch_stream {
    kvr_mvcc_changes cursor; /* before the next change to match */
    kvr_mvcc_changes start;  /* before the first change of `revision` */
    uint64_t matched;        /* all revisions up to it are in the window or served */
    /* that of the change matched last; <= matched: between two revisions */
    uint64_t revision;
    kvr_mvcc_changes *places; /* the window: before each change that hit */
    kvr__watch_hit *hits;
    kvr__watch_part *parts; /* none: no revision is told in parts */
    uint32_t part_count;
    uint32_t part_capacity;
    uint32_t place_count;
    uint32_t place_capacity;
    uint32_t hit_count;
    uint32_t hit_capacity;
    uint32_t start_places; /* of the window, before `revision` */
    uint32_t start_hits;
    uint32_t served; /* hits before it are served */
    uint8_t which;   /* KVR__WATCH_LIVE or _SWEEP */
    uint8_t phase;
    uint8_t is_serving; /* 1: the window is closed, its hits go out */
    uint8_t is_lost;    /* 1: a compaction overtook it; its members are being sent away */
} kvr__watch_stream;

/* The watcher that is told the rest of a revision alone. */
typedef struct kvr__watch_solo {
    kvr__watcher *watcher; /* NULL: none */
    kvr_mvcc_changes cursor;
    kvr_mvcc_changes *places; /* of the events for the next batch */
    uint32_t count;
    uint32_t capacity;
    uint32_t passed; /* events of the revision before places */
    uint32_t reserved;
} kvr__watch_solo;

struct kvr_watch_hub {
    kvr__mem mem;
    kvr__slab *slab; /* watchers, groups, swept parts */
    const kvr_mvcc *store;
    uint64_t head; /* of the store, as of this call */
    uint64_t compacted;
    uint64_t next_id;
    uint64_t counts[KVR__WATCHER_STATES]; /* watchers by state */
    kvr__watch_table watchers;
    kvr__watch_table keys; /* groups of single keys */
    kvr__watch_range *ranges;
    kvr__watch_knot *waiting;
    kvr__watch_knot *lagging[2]; /* those whom this sweep will meet, and those whom it has passed */
    kvr__list turns;
    kvr__list parted;
    kvr__list swept; /* kvr__watch_swept with targets */
    kvr__watch_stream streams[2];
    kvr__watch_solo solo;
    kvr_event *events; /* of the last batch */
    uint32_t event_capacity;
    uint32_t batch_events_max;
    uint32_t turn; /* whose turn it is: index into SOURCES of watch.c */
    /* slot of `watchers` from which the members of a lost stream are looked for */
    uint32_t lost_at;
    kvr_watch_target lone; /* the target of a batch for one */
    uint8_t is_sweeping;   /* 1: the sweep is under way */
    uint8_t lag;           /* index into lagging of the heap that it takes along */
    uint8_t reserved[6];
};

/* ------------------------------------------------------------------ watch_group.c */

uint32_t kvr__watch_key_hash(kvr_slice key);
uint32_t kvr__watch_group_hash(const void *group); /* for the table */
kvr__watch_group *kvr__watch_group_find(const kvr_watch_hub *hub, const kvr_watch_request *request);
/* A group without members, entered into the index. NULL: no memory. */
kvr__watch_group *kvr__watch_group_new(kvr_watch_hub *hub, const kvr_watch_request *request);
void kvr__watch_group_free(kvr_watch_hub *hub, kvr__watch_group *group); /* without members */

kvr__watch_lane *kvr__watch_lane_of(kvr__watch_group *group, uint32_t which); /* NULL: none */
const kvr_watch_target *kvr__watch_lane_targets(const kvr__watch_lane *lane);

/* Puts the watcher, which stands nowhere, into the lane of its group. KVR_OK, KVR_ENOMEM. */
kvr_status kvr__watch_lane_join(kvr_watch_hub *hub, kvr__watcher *watcher, uint32_t which);
/* Takes it out and writes into it where it stood. */
void kvr__watch_lane_leave(kvr_watch_hub *hub, kvr__watcher *watcher);
/* The next revision that this lane needs. */
uint64_t kvr__watch_lane_next(const kvr__watch_stream *stream, const kvr__watch_lane *lane);

/* -------------------------------------------------------------- watch_place.c: who stands where */

kvr__watcher *kvr__watch_find(const kvr_watch_hub *hub, uint64_t id);
/* Sends a watcher that stands nowhere to where its revision belongs. */
void kvr__watch_route(kvr_watch_hub *hub, kvr__watcher *watcher);
/* The same, for one that only a sweep helps. */
void kvr__watch_lag(kvr_watch_hub *hub, kvr__watcher *watcher);
/* Takes it from wherever it stands. */
void kvr__watch_leave(kvr_watch_hub *hub, kvr__watcher *watcher);
void kvr__watch_set_state(kvr_watch_hub *hub, kvr__watcher *watcher, uint8_t state);
/* Frees a watcher that stands nowhere, and its group with the last. */
void kvr__watch_free(kvr_watch_hub *hub, kvr__watcher *watcher);

/* ------------------------------------------------------------------ watch_batch.c */

/* Makes room for `count` events of a batch. */
kvr_status kvr__watch_events_reserve(kvr_watch_hub *hub, uint32_t count);
/* Reads the event at a place, as the group wants it. KVR_OK; KVR_ECOMPACTED: it is gone. */
kvr_status kvr__watch_event_at(const kvr_watch_hub *hub, const kvr_mvcc_changes *place,
                               const kvr__watch_group *group, kvr_event *out_event);
bool kvr__watch_group_wants(const kvr__watch_group *group, const kvr_event *event);
void kvr__watch_event_trim(const kvr__watch_group *group, kvr_event *event);
/* A batch of the first events of hub->events for one watcher, which knows already what it needs
 * next. */
void kvr__watch_batch_lone(kvr_watch_hub *hub, const kvr__watcher *watcher, uint32_t count,
                           kvr_watch_batch *out_batch);
/* Ends a watcher that stands nowhere and tells it that it was overtaken. */
void kvr__watch_batch_end(kvr_watch_hub *hub, kvr__watcher *watcher, kvr_watch_batch *out_batch);

/* ------------------------------------------------------------------ watch_stream.c */

bool kvr__watch_stream_is_clean(const kvr__watch_stream *stream);
/* The revision that it is in the midst of, or else has come to the end of. */
uint64_t kvr__watch_stream_begun(const kvr__watch_stream *stream);
/* Starts before the first change of `revision`, with an empty window. KVR_OK, KVR_ECOMPACTED. */
kvr_status kvr__watch_stream_start(kvr_watch_hub *hub, kvr__watch_stream *stream,
                                   uint64_t revision);
/* Fills a window with revisions up to `last`. KVR_OK: it is to be served; KVR_AGAIN (budget),
 * KVR_ENOMEM, KVR_ECOMPACTED. */
kvr_status kvr__watch_stream_match(kvr_watch_hub *hub, kvr__watch_stream *stream, uint64_t last,
                                   uint32_t *budget);
/* The next batch out of the window. KVR_OK, KVR_END (window empty), KVR_ENOMEM. */
kvr_status kvr__watch_stream_serve(kvr_watch_hub *hub, kvr__watch_stream *stream,
                                   kvr_watch_batch *out_batch);
/* How far the group is in the revision told in parts; NULL: it has none to hear. */
kvr__watch_part *kvr__watch_stream_part(const kvr__watch_stream *stream, kvr__watch_group *group);
/* Forgets the hits of a lane that nobody waits for any more. */
void kvr__watch_stream_forget(kvr__watch_stream *stream, kvr__watch_lane *lane);
/* Sends the members of a group's lane to where they belong by revision. */
void kvr__watch_stream_dissolve(kvr_watch_hub *hub, kvr__watch_group *group, uint32_t which);
void kvr__watch_stream_reset(kvr__watch_stream *stream); /* an empty window; no lane has hits */
void kvr__watch_stream_release(kvr_watch_hub *hub, kvr__watch_stream *stream);

/* ------------------------------------------------------------------ the sources of batches
 *
 * KVR_OK: a batch. KVR_DONE: its turn is over. KVR_END: nothing to do. KVR_AGAIN: the budget is
 * used up. KVR_ENOMEM. */

kvr_status kvr__watch_live_next(kvr_watch_hub *hub, uint32_t *budget, kvr_watch_batch *out_batch);
kvr_status kvr__watch_turns_next(kvr_watch_hub *hub, uint32_t *budget, kvr_watch_batch *out_batch);
kvr_status kvr__watch_sweep_next(kvr_watch_hub *hub, uint32_t *budget, kvr_watch_batch *out_batch);
kvr_status kvr__watch_parted_next(kvr_watch_hub *hub, uint32_t *budget, kvr_watch_batch *out_batch);

/* ------------------------------------------------------------------ watch_check.c */

void kvr__watch_check(const kvr_watch_hub *hub); /* the invariants of README.md; walks everything */
void kvr__watch_check_door(const kvr_watch_hub *hub); /* spares large hubs */

#endif
