/* SPDX-License-Identifier: Apache-2.0 */
/* node_read.c: linear reads, and what else needs to know that this moment's leader led after the
 * question was asked. All that wait share one round: a context given to raft, which answers it with
 * an index. A round that is not answered is given up whole and begun afresh, with a new context: an
 * old answer confirms nothing that came later (FAULTS 42). Start at kvr__reads_begin. */
#include "node_internal.h"

#define ROUND_OF(place) KVR__CONTAINER_OF(place, kvr__round, link)

void kvr__reads_init(kvr_node *node)
{
    kvr__list_init(&node->reads.waiting);
    kvr__list_init(&node->reads.rounds);
}

static void move_all(kvr__list *from, kvr__list *to)
{
    while (!kvr__list_is_empty(from)) {
        kvr__list *place = from->next;
        kvr__list_remove(place);
        kvr__list_push_back(to, place);
    }
}

static void free_round(kvr_node *node, kvr__round *round)
{
    KVR_ASSERT(kvr__list_is_empty(&round->calls));
    KVR_ASSERT(kvr__list_is_empty(&round->asks));
    KVR_ASSERT(node->reads.round_count > 0);
    kvr__list_remove(&round->link);
    node->reads.round_count--;
    kvr__mem_free(&node->mem, KVR__MEM_CALL, round, sizeof *round);
}

void kvr__reads_release(kvr_node *node)
{
    while (!kvr__list_is_empty(&node->reads.rounds)) {
        free_round(node, ROUND_OF(node->reads.rounds.next));
    }
}

static bool anyone_waits(const kvr_node *node)
{
    return !kvr__list_is_empty(&node->reads.waiting) || !kvr__list_is_empty(&node->leasing.waiting);
}

kvr_status kvr__reads_begin(kvr_node *node)
{
    kvr__reads *reads = &node->reads;
    bool may = anyone_waits(node) && node->loaded && node->raft_status.leader != 0 &&
               reads->round_count < KVR__ROUNDS_MAX && node->now_ns >= reads->blocked_until;
    if (!may) {
        return KVR_OK;
    }
    kvr__round *round = kvr__mem_alloc(&node->mem, KVR__MEM_CALL, sizeof *round);
    if (round == NULL) {
        return KVR_ENOMEM;
    }
    *round = (kvr__round){.context = ++reads->context_last, .begun_ns = node->now_ns};
    kvr__list_init(&round->link);
    kvr__list_init(&round->calls);
    kvr__list_init(&round->asks);
    reads->round_count++;
    kvr_status status = kvr_raft_read_index(node->raft, round->context);
    if (status != KVR_OK) {
        free_round(node, round);
        reads->blocked_until = node->now_ns + node->config.heartbeat_ns;
        bool may_wait = status == KVR_ENOLEADER || status == KVR_EBUSY;
        return may_wait ? KVR_OK : status;
    }
    move_all(&reads->waiting, &round->calls);
    move_all(&node->leasing.waiting, &round->asks);
    kvr__list_push_back(&reads->rounds, &round->link);
    return KVR_OK;
}

/* Everybody in it waits again, for a fresh round. */
static void give_up(kvr_node *node, kvr__round *round)
{
    move_all(&round->calls, &node->reads.waiting);
    move_all(&round->asks, &node->leasing.waiting);
    free_round(node, round);
}

void kvr__reads_answer(kvr_node *node, const kvr_raft_read *read)
{
    for (kvr__list *place = node->reads.rounds.next; place != &node->reads.rounds;
         place = place->next) {
        kvr__round *round = ROUND_OF(place);
        if (round->context != read->context) {
            continue;
        }
        if (read->status == KVR_OK) {
            round->confirmed = true;
            round->index = read->index;
        } else {
            give_up(node, round);
        }
        return;
    }
}

void kvr__reads_finish(kvr_node *node)
{
    for (kvr__list *place = node->reads.rounds.next; place != &node->reads.rounds;) {
        kvr__round *round = ROUND_OF(place);
        place = place->next;
        if (!round->confirmed || round->index > node->applied.index) {
            continue;
        }
        kvr_mvcc_status store = {.size = sizeof store};
        kvr_mvcc_get_status(node->store, &store);
        while (!kvr__list_is_empty(&round->calls)) {
            kvr__call *call = KVR__CONTAINER_OF(round->calls.next, kvr__call, link);
            call->done.revision = store.revision;
            call->done.index = round->index;
            call->done.term = node->raft_status.term;
            kvr__calls_finish(node, call, KVR_OUTCOME_DONE, KVR_OK);
        }
        while (!kvr__list_is_empty(&round->asks)) {
            kvr__ask *ask = KVR__CONTAINER_OF(round->asks.next, kvr__ask, link);
            kvr__leasing_confirmed(node, ask);
        }
        free_round(node, round);
    }
}

void kvr__reads_retry(kvr_node *node, uint8_t which)
{
    for (kvr__list *place = node->reads.rounds.next; place != &node->reads.rounds;) {
        kvr__round *round = ROUND_OF(place);
        place = place->next;
        bool is_late = node->now_ns - round->begun_ns >= kvr__node_repeat_ns(node);
        bool is_open = !round->confirmed && (is_late || which != KVR__READS_LATE);
        if (is_open || which == KVR__READS_ALL) {
            give_up(node, round);
        }
    }
    if (which != KVR__READS_LATE) {
        node->reads.blocked_until = 0;
    }
}

uint64_t kvr__reads_deadline(const kvr_node *node)
{
    const kvr__reads *reads = &node->reads;
    uint64_t deadline = UINT64_MAX;
    if (anyone_waits(node) && node->raft_status.leader != 0 && node->loaded &&
        reads->round_count < KVR__ROUNDS_MAX) {
        deadline = reads->blocked_until; /* 0: at once */
    }
    for (const kvr__list *place = reads->rounds.next; place != &reads->rounds;
         place = place->next) {
        const kvr__round *round = ROUND_OF(place);
        uint64_t repeat = round->begun_ns + kvr__node_repeat_ns(node);
        if (!round->confirmed && repeat < deadline) {
            deadline = repeat;
        }
    }
    return deadline;
}
