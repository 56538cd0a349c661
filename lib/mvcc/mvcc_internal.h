/* SPDX-License-Identifier: Apache-2.0 */
/* mvcc_internal.h: the shapes of the store. A content is everything a store holds: records (one
 * version of one key each, immutable), a counted B+-tree of the newest record of each key, the log
 * by revision, and the pins of those who still read an older state. A store has one content; a load
 * builds a second beside it.
 *
 *   content --> head: snap --> root --> inner --> leaf --> record --> older --> older ...
 *           \                                               ^
 *            --> history: segment -> segment (tail) --------+   (main, sub) order
 *
 * A snap is a few numbers and two pointers: copying it copies the store, as long as a pin keeps
 * what it sees. Start at struct kvr_mvcc. The invariants are numbered in README.md and asserted in
 * mvcc_check.c. */
#ifndef KVRAFT_LIB_MVCC_INTERNAL_H
#define KVRAFT_LIB_MVCC_INTERNAL_H

#include <kvraft/mvcc.h>

#include "base/assertion.h"
#include "base/codec.h"
#include "base/list.h"
#include "base/memory.h"
#include "base/ring.h"
#include "base/slab.h"
#include "mvcc_record.h"
#include "mvcc_shortcut.h"
#include "mvcc_tree.h"

#include <stdatomic.h>
#include <string.h>

enum {
    KVR__MVCC_SEGMENT_CHANGES = 61, /* so that a segment is 512 bytes */
    KVR__MVCC_DEAD_ITEMS = 62,      /* and a block of a dead list too */
    KVR__MVCC_RETIRE_MAX = 60,      /* retirements between two kvr__mvcc_pin_reserve */
    KVR__MVCC_ARRAY_MAX = 1024,     /* keys in the array of a result; above it is a view */
#ifdef KVR_CHECK
    /* so that tests with few keys cut too: no result may depend on it */
    KVR__MVCC_AT_ONCE_MAX = 4,
#else
    KVR__MVCC_AT_ONCE_MAX = 512, /* an apply with less work than this is never cut into slices */
#endif
    KVR__MVCC_REAP_BUDGET = 64,  /* dead things freed in passing by each write */
    KVR__MVCC_SHORTCUT_FROM = 64 /* keys from which on the shortcut is worth its first segment */
};

/* Live keys are counted in 32 bits inside the tree, and a transaction's changes in a record. */
#define KVR__MVCC_KEYS_MAX ((uint64_t)UINT32_MAX - 4096)

/* ------------------------------------------------------------------ the log by revision */

/* `prev` is for readers of views, who walk back from the tail and stop at the compaction point; it
 * dangles after the one before was freed. They read only below the count that their snap holds, and
 * the owner writes only above it. */
typedef struct kvr__mvcc_segment {
    struct kvr__mvcc_segment *prev;
    uint64_t first;      /* index of changes[0] */
    uint64_t first_main; /* its main revision, which outlives the record */
    kvr__mvcc_record *changes[KVR__MVCC_SEGMENT_CHANGES];
} kvr__mvcc_segment;

/* Changes have indices, dense, from 0 in each content. */
typedef struct kvr__mvcc_history {
    kvr__ring segments; /* kvr__mvcc_segment *, oldest first */
    uint64_t end;       /* index after the newest change, published or not */
    uint64_t sweep;     /* compaction has looked at all below for tombstones */
    uint64_t swept;     /* and at all below for the versions before them; sweep <= swept */
    uint64_t goal;      /* where it ends: the first change above the compacted revision */
} kvr__mvcc_history;

/* ------------------------------------------------------------------ snaps and pins */

typedef struct kvr__mvcc_snap {
    kvr__mvcc_node *root;    /* NULL: no keys */
    kvr__mvcc_segment *tail; /* that holds change_end - 1; NULL: none left */
    uint64_t change_end;     /* index after its newest change */
    uint64_t change_first;   /* index of the first change with main >= compacted */
    uint64_t revision;
    uint64_t compacted;
    uint64_t live_keys;
    uint64_t live_bytes;
    uint64_t hash_live;
    uint64_t hash_chain;
} kvr__mvcc_snap;

/* A block of a dead list. The low two bits of an item say what it is: KVR__MVCC_DEAD_*. */
typedef struct kvr__mvcc_dead {
    struct kvr__mvcc_dead *next;
    uintptr_t count;
    uintptr_t items[KVR__MVCC_DEAD_ITEMS];
} kvr__mvcc_dead;

enum {
    KVR__MVCC_DEAD_NODE = 0,
    KVR__MVCC_DEAD_SEPARATOR = 1,
    KVR__MVCC_DEAD_RECORD = 2,
    KVR__MVCC_DEAD_SEGMENT = 3
};

/* A state that somebody reads. What was replaced since it was made, and it can see, stands in its
 * dead list; when it closes, each item goes to the next older pin that sees it too, or is freed (as
 * ZFS does with the dead lists of snapshots). A pin of a result sees records only. */
typedef struct kvr__mvcc_pin {
    kvr__list link;       /* content->pins, oldest first */
    kvr__mvcc_dead *dead; /* newest block first */
    uint64_t epoch;       /* it sees nodes and separators born up to here; 0: none */
    uint64_t revision;    /* it sees records and segments born up to here */
    uint32_t refs;        /* 0: closed, and its dead list waits to be reaped */
    uint32_t reserved;
} kvr__mvcc_pin;

typedef struct kvr__mvcc_content {
    kvr__mem *mem;
    kvr__slab *nodes; /* nodes, separators, dead lists */
    kvr__slab *records;
    kvr__slab *segments;
    kvr__mvcc_snap head;
    kvr__mvcc_history history;
    kvr__mvcc_shortcut shortcut;
    uint64_t versions; /* records, retired ones not counted */
    kvr__list shared;  /* records that hold a count of a kvr_buf */
    uint64_t epoch;    /* birth of nodes made now; the epochs of pins lie below it */
    uint64_t frozen;   /* nodes born up to here may be seen: copy before change. 0: none */
    uint64_t seen;     /* records of revisions up to here may be seen. 0: none */
    kvr__list pins;
    kvr__list views;
    uint32_t view_count;
    kvr__mvcc_pin *head_pin; /* sees exactly `head`: the next view shares it. NULL: none */
    kvr__mvcc_dead *spare;   /* empty blocks */
    uint32_t spare_count;
    uint32_t closed_count; /* pins with refs == 0 */
    kvr__list link;        /* store->former */
} kvr__mvcc_content;

struct kvr_mvcc_view {
    kvr__mvcc_snap snap;
    kvr_mvcc *store;
    kvr__mvcc_content *content;
    kvr__mvcc_pin *pin;
    kvr__list link; /* content->views */
    atomic_uint closed;
};

/* ------------------------------------------------------------------ cursors */

enum { KVR__MVCC_WINDOW = 16 };

/* Slots are taken from the leaves some records ahead of where the caller is, so that each record is
 * on its way from memory by the time it is asked for. The window opens slowly: a short range wastes
 * little. */
typedef struct kvr__mvcc_cursor {
    kvr__mvcc_path path;            /* its leaf is the one that `bits` are of */
    const kvr__mvcc_node *end_leaf; /* NULL: all leaves to the last */
    uint64_t bits;                  /* slots of the leaf that are still to be taken */
    uint64_t revision;
    uint64_t compacted;
    uint32_t end_at; /* in end_leaf, the first slot that is not part of it */
    uint8_t at_head; /* 1: only live slots, newest records */
    uint8_t first;   /* of the window */
    uint8_t count;
    uint8_t want;
    const kvr__mvcc_record *window[KVR__MVCC_WINDOW];
} kvr__mvcc_cursor;

_Static_assert(sizeof(kvr__mvcc_cursor) <= sizeof(kvr_mvcc_cursor),
               "it lives in the caller's memory");

/* ------------------------------------------------------------------ applying */

typedef struct kvr__mvcc_frame {
    const kvr_op *ops;
    kvr_op_result *results; /* NULL while planning, or if nobody wants any */
    uint32_t count;
    uint32_t next;
} kvr__mvcc_frame;

enum {
    KVR__MVCC_IDLE = 0,
    KVR__MVCC_PLANNING = 1,  /* compares and checks against the state before; nothing changed yet */
    KVR__MVCC_EXECUTING = 2, /* in `work`; whoever reads `head` sees none of it */
    KVR__MVCC_DONE = 3       /* published or refused; waits for _finish */
};

typedef struct kvr__mvcc_apply {
    const kvr_op *op;
    kvr__mvcc_snap work;
    kvr_mvcc_result *result;
    kvr_mvcc_view *before; /* in slices: keeps what head sees */
    uint8_t phase;
    uint8_t sliced; /* between two steps somebody may read */
    uint8_t want_result;
    /* the operation at the top frame has begun: `resume` or `compare` says where */
    uint8_t inside;
    kvr_status outcome;
    uint32_t sub;          /* of the next change */
    uint32_t depth;        /* frames in use - 1 */
    uint32_t txn_count;    /* transactions met on the path; then_taken has a bit each */
    uint32_t compare_next; /* of the transaction that is being planned */
    uint64_t work_keys;    /* estimate of all changes and answers */
    kvr_slice resume;      /* delete: go on at this key, */
    uint32_t resume_key;   /* delete keys: the next of op->keys */
    uint8_t resume_after;  /* delete: or behind `resume` */
    uint8_t reserved[3];
    kvr__mvcc_frame frames[KVR_TXN_DEPTH_MAX + 1];
    uint64_t then_taken[KVR_TXN_ALL_OPS_MAX / 64];
    kvr__mvcc_cursor compare; /* of a compare over an interval */
} kvr__mvcc_apply;

typedef struct kvr__mvcc_load kvr__mvcc_load;

struct kvr_mvcc {
    kvr__mem mem;
    kvr__mvcc_content *content;
    kvr__list former;         /* contents that a load replaced, kept by views and results */
    kvr__mvcc_load *load;     /* NULL: none under way */
    uint64_t generation;      /* one more at each load: indices of changes are of one content */
    uint64_t unchecked;       /* calls since the last kvr__mvcc_check, in builds that have it */
    atomic_uint views_closed; /* since the owner looked */
    kvr__mvcc_apply *apply;   /* NULL until the first write */
};

static inline bool kvr__mvcc_is_applying(const kvr_mvcc *mvcc)
{
    return mvcc->apply != NULL && mvcc->apply->phase != KVR__MVCC_IDLE;
}

/* A result is one small arena. It pins the records it names from the moment it is published. */
typedef struct kvr__mvcc_arena {
    struct kvr__mvcc_arena *next;
    size_t size; /* with this head */
} kvr__mvcc_arena;

struct kvr_mvcc_result {
    kvr_op_result root;
    kvr_mvcc *store;
    kvr__mvcc_content *content;
    kvr__mvcc_pin *pin; /* NULL: names no record */
    uint64_t revision;
    kvr__mvcc_arena *arenas;
    uint8_t *at; /* free room of the newest arena */
    uint8_t *end;
    struct kvr__mvcc_view_link *views;
    uint8_t first[256];
};

/* ------------------------------------------------------------------ mvcc_content.c */

/* The live record of a key at the head; NULL: none. */
const kvr__mvcc_record *kvr__mvcc_live_record(const kvr_mvcc *store, kvr_slice key);

kvr_status kvr__mvcc_content_new(kvr__mem *mem, kvr__mvcc_content **out_content);
/* at once, whatever it holds; NULL is ignored */
void kvr__mvcc_content_free(kvr__mvcc_content *content);

/* ------------------------------------------------------------------ mvcc_pin.c */

/* A pin on what `snap` sees, with one ref; `nodes` false: on its records only. NULL: no memory. */
kvr__mvcc_pin *kvr__mvcc_pin_new(kvr__mvcc_content *content);
void kvr__mvcc_pin_open(kvr__mvcc_content *content, kvr__mvcc_pin *pin, uint64_t revision,
                        bool nodes);
void kvr__mvcc_pin_close(kvr__mvcc_content *content, kvr__mvcc_pin *pin); /* takes one ref */

/* Makes the next KVR__MVCC_RETIRE_MAX retirements certain. KVR_ENOMEM. */
kvr_status kvr__mvcc_pin_reserve(kvr__mvcc_content *content);

/* What is no longer part of the newest state: freed now, or when nobody sees it any more. */
void kvr__mvcc_pin_retire_node(kvr__mvcc_content *content, kvr__mvcc_node *node);
void kvr__mvcc_pin_retire_separator(kvr__mvcc_content *content, kvr__mvcc_separator *separator);
void kvr__mvcc_pin_retire_record(kvr__mvcc_content *content, kvr__mvcc_record *record);
void kvr__mvcc_pin_retire_segment(kvr__mvcc_content *content, kvr__mvcc_segment *segment);

/* Frees or hands down what closed pins hold, at most `budget` items. True: nothing is left to
 * reap. */
bool kvr__mvcc_pin_reap(kvr__mvcc_content *content, uint32_t budget);

/* ------------------------------------------------------------------ mvcc_view.c */

/* A view of `snap`, which is the content's head or the work of the apply under way. NULL: no
 * memory. */
kvr_mvcc_view *kvr__mvcc_view_new(kvr_mvcc *store, const kvr__mvcc_snap *snap, bool is_head);
/* takes back what others have freed */
void kvr__mvcc_view_collect(kvr_mvcc *store, uint32_t budget);

/* ------------------------------------------------------------------ mvcc_history.c */

void kvr__mvcc_history_init(kvr__mvcc_history *history, kvr__mem *mem);
kvr_status kvr__mvcc_history_room(kvr__mvcc_content *content); /* for one push */
void kvr__mvcc_history_push(kvr__mvcc_content *content, kvr__mvcc_snap *snap,
                            kvr__mvcc_record *record);
void kvr__mvcc_history_pop(kvr__mvcc_content *content, kvr__mvcc_snap *snap);
kvr__mvcc_record *kvr__mvcc_history_at(const kvr__mvcc_history *history, uint64_t index);

/* Index of the first change with main >= revision, from snap->change_first on. O(log changes), O(1)
 * if no transaction has more than one. */
uint64_t kvr__mvcc_history_find(const kvr__mvcc_history *history, const kvr__mvcc_snap *snap,
                                uint64_t revision);
/* Retires whole segments below `end`, some a call, after kvr__mvcc_pin_reserve. True: no more to
 * do. */
bool kvr__mvcc_history_drop(kvr__mvcc_content *content, uint64_t end);

/* ------------------------------------------------------------------ mvcc_cursor.c, mvcc_count.c */

/* What a kvr_range asks of a snap: KVR_EINVAL, KVR_ECOMPACTED, KVR_EFUTURE. */
kvr_status kvr__mvcc_range_read(const kvr_range *range, const kvr__mvcc_snap *snap,
                                kvr__mvcc_interval *out_interval, uint64_t *out_revision);
kvr_status kvr__mvcc_revision_check(const kvr__mvcc_snap *snap, uint64_t revision);

/* The keys of an interval at a revision of the snap. _take_all, called before the first _next_slot:
 * those of deleted keys too. */
void kvr__mvcc_cursor_start(kvr__mvcc_cursor *cursor, const kvr__mvcc_snap *snap,
                            const kvr__mvcc_interval *interval, uint64_t revision);
void kvr__mvcc_cursor_take_all(kvr__mvcc_cursor *cursor);
/* newest record; NULL: end */
const kvr__mvcc_record *kvr__mvcc_cursor_next_slot(kvr__mvcc_cursor *cursor);
const kvr__mvcc_record *kvr__mvcc_cursor_next_live(kvr__mvcc_cursor *cursor);
uint64_t kvr__mvcc_count_at(const kvr__mvcc_snap *snap, const kvr__mvcc_interval *interval,
                            uint64_t revision);

/* The version of a key that stood at `revision`, given its newest one; NULL if there was none. A
 * delete is a version. Never follows `older` from a record at or below `compacted` (invariant
 * 1). */
const kvr__mvcc_record *kvr__mvcc_record_as_of(const kvr__mvcc_record *newest, uint64_t revision,
                                               uint64_t compacted);

/* ------------------------------------------------------------------ mvcc_plan.c, mvcc_execute.c */

/* Both: KVR_OK done, KVR_AGAIN, KVR_ENOMEM; _plan also why the operation is refused. */
kvr_status kvr__mvcc_plan_run(kvr_mvcc *store, uint32_t *budget);
kvr_status kvr__mvcc_execute_run(kvr_mvcc *store, uint32_t *budget);
void kvr__mvcc_execute_undo(kvr_mvcc *store);

/* The walk over the path that both take. */
void kvr__mvcc_frame_enter(kvr__mvcc_apply *apply, const kvr_txn *txn, bool then_taken);
const kvr_op *kvr__mvcc_frame_next(kvr__mvcc_apply *apply); /* NULL: the end */

uint64_t kvr__mvcc_hash_chain(uint64_t chain, uint64_t link); /* mvcc_apply.c */

/* A caller's struct whose first field is its size: at least what we know, and nothing set
 * beyond. */
static inline bool kvr__mvcc_is_sized(const void *from, size_t known)
{
    uint32_t size;
    memcpy(&size, from, sizeof size);
    for (size_t i = known; i < size; i++) {
        if (((const uint8_t *)from)[i] != 0) {
            return false;
        }
    }
    return size >= known;
}

static inline bool kvr__mvcc_is_slice(const kvr_slice *slice)
{
    return slice->data != NULL || slice->size == 0;
}

/* Element `i` of an array whose elements are `ops->size` bytes apart. */
static inline const kvr_op *kvr__mvcc_op_at(const kvr_op *ops, uint32_t i)
{
    return (const kvr_op *)(const void *)((const uint8_t *)ops + (size_t)i * ops->size);
}

static inline const kvr_compare *kvr__mvcc_compare_at(const kvr_compare *compares, uint32_t i)
{
    return (const kvr_compare *)(const void *)((const uint8_t *)compares +
                                               (size_t)i * compares->size);
}

/* ------------------------------------------------------------------ mvcc_result.c */

kvr_mvcc_result *kvr__mvcc_result_new(kvr_mvcc *store);
void *kvr__mvcc_result_room(kvr_mvcc_result *result, size_t size); /* zeroed; NULL: no memory */
/* the same, and will pin records */
kvr_kv *kvr__mvcc_result_kvs(kvr_mvcc_result *result, uint32_t count);
kvr_status kvr__mvcc_result_view(kvr_mvcc_result *result, const kvr__mvcc_snap *snap, bool is_head,
                                 kvr_op_result *out);
void kvr__mvcc_result_publish(kvr_mvcc_result *result);

/* ------------------------------------------------------------------ mvcc_load.c, mvcc_check.c */

/* with the content it was building; NULL is ignored */
void kvr__mvcc_load_free(kvr__mvcc_load *load);
void kvr__mvcc_check(const kvr_mvcc *store); /* all invariants of README.md; walks everything */
/* the same, often enough that it is O(1) a change */
void kvr__mvcc_check_some(kvr_mvcc *store);

#endif
