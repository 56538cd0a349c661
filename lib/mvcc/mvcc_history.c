/* SPDX-License-Identifier: Apache-2.0 */
/* mvcc_history.c: the log by revision: every change, in order, as a pointer in segments of 61. The
 * owner finds a place by its index through a ring of segments; readers of views, who must not touch
 * the ring, walk back from the tail of their snap. */
#include "mvcc_internal.h"

_Static_assert(sizeof(kvr__mvcc_segment) == 512 || sizeof(void *) != 8, "one slab class, no waste");

void kvr__mvcc_history_init(kvr__mvcc_history *history, kvr__mem *mem)
{
    kvr__ring_init(&history->segments, mem, KVR__MEM_HISTORY, sizeof(kvr__mvcc_segment *));
}

static kvr__mvcc_segment *segment_at(const kvr__mvcc_history *history, uint32_t i)
{
    return *(kvr__mvcc_segment **)kvr__ring_at(&history->segments, i);
}

static kvr__mvcc_segment *tail_of(const kvr__mvcc_history *history)
{
    uint32_t count = history->segments.count;
    return count == 0 ? NULL : segment_at(history, count - 1);
}

/* True if the next push needs a new segment. */
static bool is_full(const kvr__mvcc_history *history)
{
    const kvr__mvcc_segment *tail = tail_of(history);
    return tail == NULL || history->end - tail->first == KVR__MVCC_SEGMENT_CHANGES;
}

kvr_status kvr__mvcc_history_room(kvr__mvcc_content *content)
{
    kvr__mvcc_history *history = &content->history;
    if (!is_full(history)) {
        return KVR_OK;
    }
    if (kvr__ring_reserve(&history->segments, 1) != KVR_OK) {
        return KVR_ENOMEM;
    }
    kvr__mvcc_segment *segment = kvr__slab_alloc(content->segments, sizeof *segment);
    if (segment == NULL) {
        return KVR_ENOMEM;
    }
    segment->prev = tail_of(history);
    segment->first = history->end;
    segment->first_main = 0;
    kvr__mvcc_segment **place = kvr__ring_push(&history->segments);
    KVR_ASSERT(place != NULL);
    *place = segment;
    return KVR_OK;
}

void kvr__mvcc_history_push(kvr__mvcc_content *content, kvr__mvcc_snap *snap,
                            kvr__mvcc_record *record)
{
    kvr__mvcc_history *history = &content->history;
    kvr__mvcc_segment *tail = tail_of(history);
    KVR_ASSERT(!is_full(history));
    KVR_ASSERT(snap->change_end == history->end);
    uint64_t at = history->end - tail->first;
    if (at == 0) {
        tail->first_main = record->mod;
    }
    tail->changes[at] = record;
    history->end++;
    snap->change_end = history->end;
    snap->tail = tail;
}

void kvr__mvcc_history_pop(kvr__mvcc_content *content, kvr__mvcc_snap *snap)
{
    kvr__mvcc_history *history = &content->history;
    kvr__mvcc_segment *tail = tail_of(history);
    if (history->end == tail->first) { /* room was made, and nothing came */
        kvr__ring_pop_back(&history->segments, 1);
        kvr__slab_free(content->segments, tail, sizeof *tail);
        tail = tail_of(history);
    }
    KVR_ASSERT(history->end > tail->first);
    history->end--;
    snap->change_end = history->end;
    snap->tail = history->end > tail->first ? tail : tail->prev;
}

kvr__mvcc_record *kvr__mvcc_history_at(const kvr__mvcc_history *history, uint64_t index)
{
    KVR_ASSERT(index < history->end);
    uint64_t from_first = index - segment_at(history, 0)->first;
    uint32_t i = (uint32_t)(from_first / KVR__MVCC_SEGMENT_CHANGES);
    return segment_at(history, i)->changes[from_first % KVR__MVCC_SEGMENT_CHANGES];
}

uint64_t kvr__mvcc_history_find(const kvr__mvcc_history *history, const kvr__mvcc_snap *snap,
                                uint64_t revision)
{
    uint64_t floor = snap->compacted > 1 ? snap->compacted : 1; /* nothing happened in revision 1 */
    if (revision <= floor) {
        return snap->change_first;
    }
    if (revision > snap->revision) {
        return snap->change_end;
    }
    /* Each revision above the compacted one has at least one change: that bounds the place from
     * both ends. */
    uint64_t low = snap->change_first;
    uint64_t least_before = revision - floor - 1;
    uint64_t high = snap->change_end - (snap->revision - revision + 1);
    low += least_before < high - low ? least_before : high - low;
    while (low < high) {
        uint64_t middle = low + (high - low) / 2;
        if (kvr__mvcc_history_at(history, middle)->mod < revision) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

bool kvr__mvcc_history_drop(kvr__mvcc_content *content, uint64_t end)
{
    kvr__mvcc_history *history = &content->history;
    /* The tail stays: the head's snap points at it. */
    for (uint32_t n = 0; history->segments.count > 1; n++) {
        kvr__mvcc_segment *oldest = segment_at(history, 0);
        if (oldest->first + KVR__MVCC_SEGMENT_CHANGES > end) {
            return true;
        }
        if (n == KVR__MVCC_RETIRE_MAX) {
            return false;
        }
        kvr__ring_pop_front(&history->segments, 1);
        kvr__mvcc_pin_retire_segment(content, oldest);
    }
    return true;
}
