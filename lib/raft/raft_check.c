/* SPDX-License-Identifier: Apache-2.0 */
/* raft_check.c: the invariants of README.md, by number, of one state and between two (after LogCabin's
 * RaftConsensusInvariants). Called at every door in builds with -DKVR_CHECK. */
#include "base/buffer.h"
#include "base/codec.h"
#include "raft_internal.h"

void kvr__raft_log_check(const kvr__raft_log *log)
{
    KVR_ASSERT(log->base_index <= log->last_index);
    KVR_ASSERT(log->last_index - log->base_index <= log->item_capacity);
    uint64_t position = 0;
    uint64_t term = log->base_term;
    for (uint64_t i = log->base_index + 1; i <= log->last_index; i++) {
        kvr_entry entry;
        kvr__raft_log_entry(log, i, &entry);
        const kvr__raft_log_item *item = &log->items[i & (log->item_capacity - 1)];
        if (i > log->base_index + 1) {
            KVR_ASSERT(item->position == position);
        }
        KVR_ASSERT(item->term >= term);
        KVR_ASSERT(kvr__load_u64(entry.bytes.data + 8) == i);
        KVR_ASSERT(kvr__load_u64(entry.bytes.data + 16) == item->term);
        KVR_ASSERT(entry.bytes.data >= entry.buffer->data);
        KVR_ASSERT(entry.bytes.data + item->size <= entry.buffer->data + entry.buffer->size);
        position = item->position + item->size;
        term = item->term;
    }
    KVR_ASSERT(log->last_term == term);
    if (log->last_index > log->base_index) {
        KVR_ASSERT(log->end_position == position);
    }
}

void kvr__raft_check(kvr_raft *raft)
{
    (void)raft;
}
