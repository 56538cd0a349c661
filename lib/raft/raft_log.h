/* SPDX-License-Identifier: Apache-2.0 */
/* raft_log.h: the log in memory. Entries lie whole, one after the other, in counted segments, so
 * that a message or a storage request takes runs of them as they are; a ring of items says where
 * each begins. */
#ifndef KVRAFT_LIB_RAFT_LOG_H
#define KVRAFT_LIB_RAFT_LOG_H

#include <kvraft/host.h>

#include "base/assertion.h"
#include "base/memory.h"

#ifdef KVR_HOSTILE /* small, so that runs are cut everywhere */
enum {
    KVR__RAFT_SEGMENT_FIRST = 256,
    KVR__RAFT_SEGMENT_MAX = 512,
    KVR__RAFT_SEGMENT_SHARED_MAX = 200
};
#else
enum {
    KVR__RAFT_SEGMENT_FIRST = 512, /* bytes of the first block, its buffer's head included */
    KVR__RAFT_SEGMENT_MAX = 64 * 1024,
    KVR__RAFT_SEGMENT_SHARED_MAX = 16 * 1024 /* a larger entry gets a segment of its own */
};
#endif

typedef struct kvr__raft_log_item {
    uint64_t term;
    uint64_t position;
    uint32_t segment; /* its number */
    uint32_t size;
} kvr__raft_log_item;

typedef struct kvr__raft_segment {
    kvr_buf *buffer;
    uint64_t first_index;
    uint64_t position; /* of its first byte */
} kvr__raft_segment;

/*          base   base+1 ...                        last
 *           |    +------+------+------+------+------+
 *   items   |    |  24 bytes each, at index & mask  |
 *           |    +------+------+------+------+------+
 *   segments     [ e e e e e ..][ e e e e][ E      ][ e e ...    ]
 *                 512 B, doubling to 64 KiB    a big one has its own
 *
 * The entry at base is not in memory (storage or a snapshot has it), but its term is known.
 * `position` numbers the bytes of all entries, so that the size of any run is a subtraction: every
 * window and limit of this room is derived from it, no counter can leak. After truncation the cut
 * segment is closed: its bytes may be lent. */
typedef struct kvr__raft_log {
    kvr__mem *mem;
    kvr__raft_log_item *items;   /* index i at i & (item_capacity - 1) */
    kvr__raft_segment *segments; /* number n at n & (segment_capacity - 1) */
    uint64_t base_index;
    uint64_t base_term;
    uint64_t last_index;
    uint64_t last_term;
    uint64_t begin_position; /* of the first entry's first byte */
    uint64_t end_position;   /* after the last entry's last byte */
    uint32_t item_capacity;  /* 0 or a power of two, as is segment_capacity */
    uint32_t segment_capacity;
    uint32_t segment_first; /* numbers of the oldest, and one past the newest */
    uint32_t segment_end;
    uint32_t block_size; /* of the next segment */
    uint32_t reserved;
    kvr_buf *tail;  /* the newest segment's, if it takes further entries; else NULL */
    kvr_buf *spare; /* an unused segment of full size, or NULL */
} kvr__raft_log;

void kvr__raft_log_init(kvr__raft_log *log, kvr__mem *mem);
void kvr__raft_log_release(kvr__raft_log *log);

/* Empties the log: it continues after `base_index`. */
void kvr__raft_log_reset(kvr__raft_log *log, uint64_t base_index, uint64_t base_term);

/* Room for one entry of `size` bytes at the end; what is written there becomes part of the log by
 * commit. NULL: no memory, nothing has changed. */
uint8_t *kvr__raft_log_room(kvr__raft_log *log, size_t size);
void kvr__raft_log_commit_room(kvr__raft_log *log, uint64_t term, uint32_t size);

/* Removes all entries from `from` on (base < from <= last). O(segments removed). */
void kvr__raft_log_truncate(kvr__raft_log *log, uint64_t from);

/* Removes all entries up to `to` (base <= to <= last); `to` becomes the base. Room that was found
 * for the next entry stays. */
void kvr__raft_log_discard(kvr__raft_log *log, uint64_t to);

/* Lets go of the oldest segments while all their entries are at or below `limit` (<= last) and at
 * least `keep_bytes` stay. */
void kvr__raft_log_evict(kvr__raft_log *log, uint64_t limit, uint64_t keep_bytes);

/* Of an index in (base, last]. */
static inline kvr__raft_log_item *kvr__raft_log_item_at(const kvr__raft_log *log, uint64_t index)
{
    KVR_ASSERT(index > log->base_index);
    KVR_ASSERT(index <= log->last_index);
    return &log->items[index & (log->item_capacity - 1)];
}

/* False if neither an entry nor the base: a term that is not known is never told as 0. */
static inline bool kvr__raft_log_term(const kvr__raft_log *log, uint64_t index, uint64_t *out_term)
{
    if (index <= log->base_index || index > log->last_index) {
        *out_term = index == log->base_index ? log->base_term : *out_term;
        return index == log->base_index;
    }
    *out_term = kvr__raft_log_item_at(log, index)->term;
    return true;
}

/* The largest index <= `index` whose term is <= `term`, not below the base. Raft 5.3, last
 * paragraph. */
uint64_t kvr__raft_log_conflict(const kvr__raft_log *log, uint64_t index, uint64_t term);

/* Entry `index` (base < index <= last), not verified again. Lent as its buffer is. */
void kvr__raft_log_entry(const kvr__raft_log *log, uint64_t index, kvr_entry *out_entry);

/* Bytes of the entries first..last; 0 if first is last + 1. */
static inline uint64_t kvr__raft_log_bytes(const kvr__raft_log *log, uint64_t first, uint64_t last)
{
    if (first > last) {
        return 0;
    }
    const kvr__raft_log_item *end = kvr__raft_log_item_at(log, last);
    return end->position + end->size - kvr__raft_log_item_at(log, first)->position;
}

/* The last index of a run from `first` (<= last) that takes at most `byte_max` bytes, at least one
 * entry. */
uint64_t kvr__raft_log_run(const kvr__raft_log *log, uint64_t first, uint64_t byte_max);

/* In how many buffers the run first..last lies. */
uint32_t kvr__raft_log_buffers(const kvr__raft_log *log, uint64_t first, uint64_t last);

/* The longest piece of the run first..last that lies in one buffer. Returns the index after it. */
uint64_t kvr__raft_log_piece(const kvr__raft_log *log, uint64_t first, uint64_t last,
                             kvr_slice *out_piece, kvr_buf **out_buffer);

/* Walks everything and asserts what the picture says. */
void kvr__raft_log_check(const kvr__raft_log *log);

#endif
