/* SPDX-License-Identifier: Apache-2.0 */
/* buggify.h: rare ways that a simulator makes common (FoundationDB's BUGGIFY). A site is a place
 * where the library may legally do less, earlier or once more than it would: one entry a message, a
 * snapshot now, a new segment. `if (KVR_BUGGIFY(&mem, NAME))` is false in release builds and costs
 * nothing there; with -DKVR_CHECK it asks whoever gave the handle its memory, and only the
 * simulator's allocator (kvr__buggify_allocator) says yes. So there is no global, every handle is
 * asked on its own, and a handle with any other allocator never takes a rare way. A site changes no
 * promise: with all of them on, everything that is checked must still be true. */
#ifndef KVRAFT_LIB_BASE_BUGGIFY_H
#define KVRAFT_LIB_BASE_BUGGIFY_H

#include "base/memory.h"

/* Sites, by room. Their numbers are part of a seed's meaning: append only. */
#define KVR__BUGGIFY_SITES(site)                                                   \
    site(RAFT_APPEND_ONE)          /* a message carries one entry only */          \
        site(RAFT_ASK_AGAIN)       /* a follower in step is asked what it has */   \
        site(RAFT_CHUNK_AGAIN)     /* a chunk of a snapshot is sent again */       \
        site(RAFT_HEARTBEAT_EARLY) /* heartbeats come much sooner */               \
        site(RAFT_HEARTBEAT_LATE)  /* ... or a little later */                     \
        site(RAFT_HAND_ONE)        /* a ready shows one committed entry */         \
        site(RAFT_TIMEOUT_SHORT)   /* the shortest election timeout is drawn */    \
        site(RAFT_EVICT_ALL)       /* memory keeps few entries that storage has */ \
        site(RAFT_LOAD_ONE)        /* the start reads entries one by one */        \
        site(RAFT_FETCH_ONE)       /* so does a leader that reads old ones */      \
        site(NODE_SNAPSHOT_EARLY)  /* a snapshot is taken before its time */       \
        site(NODE_APPLY_SLICE)     /* an execution is left after one step */       \
        site(WAL_ROLL)             /* the next record begins a segment */          \
        site(WAL_BATCH_ONE)        /* a batch ends before it is full */            \
        site(WAL_SPARE_NONE)       /* a segment is removed, not kept for later */  \
        site(WATCH_BATCH_ONE)      /* a batch ends before it is full */            \
        site(WATCH_WINDOW_FULL)    /* so does the window of those in step */       \
        site(MVCC_COMPACT_ONE)     /* a slice of compaction is as small as may be */

enum {
#define KVR__BUGGIFY_NUMBER(name) KVR__BUGGIFY_##name,
    KVR__BUGGIFY_SITES(KVR__BUGGIFY_NUMBER)
#undef KVR__BUGGIFY_NUMBER
        KVR__BUGGIFY_COUNT
};

/* The table that a simulator gives to handles; its size says that it is one. */
typedef struct kvr__buggify_allocator {
    kvr_allocator base;
    bool (*fires)(void *ctx, uint32_t site); /* with the allocator's ctx */
} kvr__buggify_allocator;

#ifdef KVR_CHECK
static inline bool kvr__buggify_fires(const kvr__mem *mem, uint32_t site)
{
    return mem->table->size == sizeof(kvr__buggify_allocator) &&
           ((const kvr__buggify_allocator *)(const void *)mem->table)->fires(mem->ctx, site);
}
#define KVR_BUGGIFY(mem, name) kvr__buggify_fires(mem, KVR__BUGGIFY_##name)
#else
#define KVR_BUGGIFY(mem, name) (KVR__BUGGIFY_##name == KVR__BUGGIFY_COUNT && (mem) != NULL)
#endif

#endif
