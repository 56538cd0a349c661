/* SPDX-License-Identifier: Apache-2.0 */
/* node_check.c: the invariants of README.md, by number, as they hold at the end of a ready. */
#include "node_internal.h"

#define CALL_OF(place) KVR__CONTAINER_OF(place, const kvr__call, link)

static uint32_t check_writes(const kvr_node *node, const kvr__list *list, bool sent)
{
    uint32_t count = 0;
    for (const kvr__list *place = list->next; place != list; place = place->next, count++) {
        const kvr__call *call = CALL_OF(place);
        KVR_ASSERT(call->due.place != 0); /* 1 */
        KVR_ASSERT(call->command != NULL);
        if (sent) {
            KVR_ASSERT(call->sequence != 0); /* 2 */
        }
        if (call->sequence != 0) {
            KVR_ASSERT(kvr__map_get(&node->calls.by_sequence, call->sequence) == call);
            KVR_ASSERT(call->sequence >= node->calls.sequence_oldest ||
                       node->calls.sequence_oldest > node->calls.sequence_next);
        }
    }
    return count;
}

static uint32_t count_of(const kvr__list *list)
{
    uint32_t count = 0;
    for (const kvr__list *place = list->next; place != list; place = place->next) {
        count++;
    }
    return count;
}

static void check_calls(const kvr_node *node)
{
    const kvr__calls *calls = &node->calls;
    uint32_t others = count_of(&node->reads.waiting) + count_of(&node->reads.lease_waiting) +
                      count_of(&node->reads.stale) + count_of(&node->leasing.asking) +
                      count_of(&node->leasing.asked) + count_of(&calls->transferring);
    uint32_t writes = check_writes(node, &calls->pending, false) +
                      check_writes(node, &calls->sent, true) +
                      check_writes(node, &node->changing.calls, false);
    for (const kvr__list *place = node->reads.rounds.next; place != &node->reads.rounds;
         place = place->next) {
        others += count_of(&KVR__CONTAINER_OF(place, const kvr__round, link)->calls);
    }
    KVR_ASSERT(calls->fresh_count == count_of(&calls->fresh)); /* 1 */
    KVR_ASSERT(calls->due.count == writes + others);
    KVR_ASSERT(calls->write_count + calls->other_count ==
               writes + others + calls->fresh_count + count_of(&calls->finished));
    KVR_ASSERT(calls->by_sequence.count <= writes);
    KVR_ASSERT(calls->sequence_next - calls->sequence_oldest <= KVR__ORIGIN_WINDOW); /* 4 */
    kvr__heap_check(&calls->due);
    kvr__map_check(&calls->by_sequence);
}

static void check_asks(const kvr_node *node)
{
    const kvr__leasing *leasing = &node->leasing;
    uint32_t asks = count_of(&leasing->waiting) + count_of(&leasing->held) +
                    count_of(&leasing->recording) + count_of(&leasing->answers);
    for (const kvr__list *place = node->reads.rounds.next; place != &node->reads.rounds;
         place = place->next) {
        asks += count_of(&KVR__CONTAINER_OF(place, const kvr__round, link)->asks);
    }
    KVR_ASSERT(asks == leasing->ask_count); /* 8 */
    if (leasing->term != 0) {
        KVR_ASSERT(kvr__node_leads(node)); /* 7 */
        KVR_ASSERT(leasing->term == node->raft_status.term);
    } else {
        KVR_ASSERT(asks == 0);
    }
}

static void check_applied(const kvr_node *node)
{
    const kvr__apply *apply = &node->apply;
    if (node->snapshots.installing == NULL) {
        KVR_ASSERT(apply->told_index == node->applied.index); /* 3 */
        if (node->hashes.count > 0) {
            KVR_ASSERT(node->hashes.points[node->hashes.count - 1].index <= node->applied.index);
        }
    }
    KVR_ASSERT(node->applied.level >= KVR__LEVEL_FIRST);
    KVR_ASSERT(node->applied.level <= node->config.level_max);
    KVR_ASSERT((apply->stage != KVR__APPLY_IDLE) == (apply->entry.buffer != NULL));
    if (apply->stage == KVR__APPLY_IDLE) {
        KVR_ASSERT(node->attach.spares == NULL);
        KVR_ASSERT(apply->result == NULL);
    }
}

void kvr__node_check(const kvr_node *node)
{
    kvr__ring_check(&node->deferred);
    check_calls(node);
    check_asks(node);
    check_applied(node);
    kvr__origins_check(&node->origins);
    kvr__attach_check(&node->attach);
    kvr__mem_check(&node->mem);
}
