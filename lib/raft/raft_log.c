/* SPDX-License-Identifier: Apache-2.0 */
/* raft_log.c: the log in memory (drawn in raft_log.h). The one idea: bytes are written once and
 * never move, so that they can be lent to messages, disks and state machines; removing entries only
 * lets go of segments. Start at kvr__raft_log_room. */
#include "raft_log.h"

#include <string.h>

#include "base/assertion.h"
#include "base/buffer.h"
#include "base/codec.h"

enum { FIRST_ITEMS = 8, FIRST_SEGMENTS = 2 };

_Static_assert(KVR__RAFT_SEGMENT_SHARED_MAX + sizeof(kvr_buf) <= KVR__RAFT_SEGMENT_MAX,
               "any entry that shares a segment fits an empty one");

static kvr__raft_segment *segment_at(const kvr__raft_log *log, uint32_t number)
{
    return &log->segments[number & (log->segment_capacity - 1)];
}

void kvr__raft_log_init(kvr__raft_log *log, kvr__mem *mem)
{
    *log = (kvr__raft_log){.mem = mem, .block_size = KVR__RAFT_SEGMENT_FIRST};
}

void kvr__raft_log_release(kvr__raft_log *log)
{
    kvr__raft_log_reset(log, 0, 0);
    kvr_buf_release(log->spare);
    kvr__mem_free(log->mem, KVR__MEM_LOG, log->items, log->item_capacity * sizeof *log->items);
    kvr__mem_free(log->mem, KVR__MEM_LOG, log->segments,
                  log->segment_capacity * sizeof *log->segments);
    kvr__raft_log_init(log, log->mem);
}

/* Lets go of a segment. One of full size that nobody else holds waits as the spare: in a steady
 * state segments come from there, not from the allocator. */
static void segment_drop(kvr__raft_log *log, kvr_buf *buffer)
{
    if (log->spare == NULL && buffer->count == 1 &&
        buffer->capacity == KVR__RAFT_SEGMENT_MAX - sizeof *buffer) {
#ifdef KVR_CHECK
        /* nobody may look at it any more */
        memset(buffer->data, KVR__MEM_POISON, buffer->capacity);
#endif
        buffer->size = 0;
        log->spare = buffer;
        return;
    }
    kvr_buf_release(buffer);
}

void kvr__raft_log_reset(kvr__raft_log *log, uint64_t base_index, uint64_t base_term)
{
    for (uint32_t n = log->segment_first; n != log->segment_end; n++) {
        segment_drop(log, segment_at(log, n)->buffer);
    }
    log->segment_first = log->segment_end;
    log->begin_position = log->end_position;
    log->tail = NULL;
    log->base_index = base_index;
    log->base_term = base_term;
    log->last_index = base_index;
    log->last_term = base_term;
}

/* ------------------------------------------------------------------ growing */

static bool grow_items(kvr__raft_log *log)
{
    uint64_t count = log->last_index - log->base_index;
    if (count < log->item_capacity) {
        return true;
    }
    uint32_t capacity = log->item_capacity == 0 ? FIRST_ITEMS : log->item_capacity * 2;
    if (capacity < log->item_capacity) {
        return false;
    }
    kvr__raft_log_item *items = kvr__mem_alloc(log->mem, KVR__MEM_LOG, capacity * sizeof *items);
    if (items == NULL) {
        return false;
    }
    for (uint64_t i = log->base_index + 1; i <= log->last_index; i++) {
        items[i & (capacity - 1)] = *kvr__raft_log_item_at(log, i);
    }
    kvr__mem_free(log->mem, KVR__MEM_LOG, log->items, log->item_capacity * sizeof *items);
    log->items = items;
    log->item_capacity = capacity;
    return true;
}

static bool grow_segments(kvr__raft_log *log)
{
    if (log->segment_end - log->segment_first < log->segment_capacity) {
        return true;
    }
    uint32_t capacity = log->segment_capacity == 0 ? FIRST_SEGMENTS : log->segment_capacity * 2;
    kvr__raft_segment *segments =
        kvr__mem_alloc(log->mem, KVR__MEM_LOG, capacity * sizeof *segments);
    if (segments == NULL) {
        return false;
    }
    for (uint32_t n = log->segment_first; n != log->segment_end; n++) {
        segments[n & (capacity - 1)] = *segment_at(log, n);
    }
    kvr__mem_free(log->mem, KVR__MEM_LOG, log->segments, log->segment_capacity * sizeof *segments);
    log->segments = segments;
    log->segment_capacity = capacity;
    return true;
}

/* A buffer for an entry of `size` bytes and, unless it is big, for those that follow it. */
static kvr_buf *segment_buffer(kvr__raft_log *log, size_t size)
{
    if (size > KVR__RAFT_SEGMENT_SHARED_MAX) {
        return kvr__buf_new_room(log->mem, KVR__MEM_LOG, size);
    }
    uint32_t block = log->block_size;
    while (block - sizeof(kvr_buf) < size) {
        block *= 2;
    }
    kvr_buf *buffer = NULL;
    if (block == KVR__RAFT_SEGMENT_MAX && log->spare != NULL) {
        buffer = log->spare;
        log->spare = NULL;
    } else {
        buffer = kvr__buf_new_room(log->mem, KVR__MEM_LOG, block - sizeof(kvr_buf));
    }
    if (buffer != NULL) {
        log->block_size = block < KVR__RAFT_SEGMENT_MAX ? block * 2 : KVR__RAFT_SEGMENT_MAX;
    }
    return buffer;
}

static bool open_segment(kvr__raft_log *log, size_t size)
{
    if (!grow_segments(log)) {
        return false;
    }
    kvr_buf *buffer = segment_buffer(log, size);
    if (buffer == NULL) {
        return false;
    }
    *segment_at(log, log->segment_end) = (kvr__raft_segment){
        .buffer = buffer,
        .first_index = log->last_index + 1,
        .position = log->end_position,
    };
    log->segment_end++;
    log->tail = buffer;
    return true;
}

static bool tail_takes(const kvr_buf *tail, size_t size)
{
    return tail != NULL && size <= tail->capacity - tail->size &&
           (size <= KVR__RAFT_SEGMENT_SHARED_MAX || tail->size == 0);
}

uint8_t *kvr__raft_log_room(kvr__raft_log *log, size_t size)
{
    bool has_item = log->last_index - log->base_index < log->item_capacity;
    if ((!has_item && !grow_items(log)) ||
        (!tail_takes(log->tail, size) && !open_segment(log, size))) {
        return NULL;
    }
    return log->tail->data + log->tail->size;
}

void kvr__raft_log_commit_room(kvr__raft_log *log, uint64_t term, uint32_t size)
{
    KVR_ASSERT(size <= log->tail->capacity - log->tail->size);
    KVR_ASSERT(term >= log->last_term);
    log->last_index++;
    log->last_term = term;
    *kvr__raft_log_item_at(log, log->last_index) = (kvr__raft_log_item){
        .term = term,
        .position = log->end_position,
        .segment = log->segment_end - 1,
        .size = size,
    };
    log->end_position += size;
    log->tail->size += size;
}

/* ------------------------------------------------------------------ shrinking */

void kvr__raft_log_truncate(kvr__raft_log *log, uint64_t from)
{
    KVR_ASSERT(from > log->base_index);
    KVR_ASSERT(from <= log->last_index);
    const kvr__raft_log_item *item = kvr__raft_log_item_at(log, from);
    log->end_position = item->position;
    while (log->segment_end != log->segment_first &&
           segment_at(log, log->segment_end - 1)->first_index >= from) {
        log->segment_end--;
        segment_drop(log, segment_at(log, log->segment_end)->buffer);
    }
    log->tail = NULL;
    log->block_size = KVR__RAFT_SEGMENT_FIRST;
    log->last_index = from - 1;
    bool known = kvr__raft_log_term(log, from - 1, &log->last_term);
    KVR_ASSERT(known);
}

void kvr__raft_log_discard(kvr__raft_log *log, uint64_t to)
{
    KVR_ASSERT(to >= log->base_index);
    KVR_ASSERT(to <= log->last_index);
    if (to > log->base_index) {
        log->base_term = kvr__raft_log_item_at(log, to)->term;
        log->base_index = to;
    }
    uint32_t keep = log->tail != NULL ? log->segment_end - 1 : log->segment_end;
    log->begin_position = log->end_position;
    if (to < log->last_index) {
        keep = kvr__raft_log_item_at(log, to + 1)->segment;
        log->begin_position = kvr__raft_log_item_at(log, to + 1)->position;
    }
    for (; log->segment_first != keep; log->segment_first++) {
        segment_drop(log, segment_at(log, log->segment_first)->buffer);
    }
}

void kvr__raft_log_evict(kvr__raft_log *log, uint64_t limit, uint64_t keep_bytes)
{
    KVR_ASSERT(limit <= log->last_index);
    while (log->segment_end - log->segment_first > 1) {
        const kvr__raft_segment *second = segment_at(log, log->segment_first + 1);
        if (second->first_index - 1 > limit || log->end_position - second->position < keep_bytes) {
            return;
        }
        kvr__raft_log_discard(log, second->first_index - 1);
    }
}

/* ------------------------------------------------------------------ reading */

uint64_t kvr__raft_log_conflict(const kvr__raft_log *log, uint64_t index, uint64_t term)
{
    index = index < log->last_index ? index : log->last_index;
    while (index > log->base_index && kvr__raft_log_item_at(log, index)->term > term) {
        index--;
    }
    return index > log->base_index ? index : log->base_index;
}

static const uint8_t *bytes_at(const kvr__raft_log *log, const kvr__raft_log_item *item,
                               kvr_buf **out_buffer)
{
    const kvr__raft_segment *segment = segment_at(log, item->segment);
    *out_buffer = segment->buffer;
    return segment->buffer->data + (item->position - segment->position);
}

void kvr__raft_log_entry(const kvr__raft_log *log, uint64_t index, kvr_entry *out_entry)
{
    const kvr__raft_log_item *item = kvr__raft_log_item_at(log, index);
    kvr_buf *buffer = NULL;
    const uint8_t *p = bytes_at(log, item, &buffer);
    size_t header_size = kvr__load_u16(p);
    *out_entry = (kvr_entry){
        .index = index,
        .term = item->term,
        .lease_clock = kvr__load_u64(p + 24),
        .command_checksum = kvr__load_u64(p + 40),
        .flags = kvr__load_u32(p + 4),
        .kind = p[3],
        .command = {p + header_size, item->size - header_size},
        .bytes = {p, item->size},
        .buffer = buffer,
    };
}

uint64_t kvr__raft_log_run(const kvr__raft_log *log, uint64_t first, uint64_t byte_max)
{
    if (log->end_position - kvr__raft_log_item_at(log, first)->position <= byte_max) {
        return log->last_index;
    }
    uint64_t low = first; /* in the run, whatever its size */
    uint64_t high = log->last_index;
    while (low < high) {
        uint64_t middle = high - (high - low) / 2;
        if (kvr__raft_log_bytes(log, first, middle) <= byte_max) {
            low = middle;
        } else {
            high = middle - 1;
        }
    }
    return low;
}

uint32_t kvr__raft_log_buffers(const kvr__raft_log *log, uint64_t first, uint64_t last)
{
    return kvr__raft_log_item_at(log, last)->segment - kvr__raft_log_item_at(log, first)->segment +
           1;
}

uint64_t kvr__raft_log_piece(const kvr__raft_log *log, uint64_t first, uint64_t last,
                             kvr_slice *out_piece, kvr_buf **out_buffer)
{
    const kvr__raft_log_item *item = kvr__raft_log_item_at(log, first);
    const kvr__raft_log_item *end = kvr__raft_log_item_at(log, last);
    if (end->segment != item->segment) {
        last = segment_at(log, item->segment + 1)->first_index - 1;
        end = kvr__raft_log_item_at(log, last);
    }
    out_piece->data = bytes_at(log, item, out_buffer);
    out_piece->size = end->position + end->size - item->position;
    return last + 1;
}
