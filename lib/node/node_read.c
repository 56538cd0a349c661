/* SPDX-License-Identifier: Apache-2.0 */
/* node_read.c: reads of three kinds, and what else needs to know that this moment's leader led
 * after the question was asked. All that wait share one round: a context given to raft, which
 * answers it with an index. A round that is not answered is given up whole and begun afresh, with a
 * new context: an old answer confirms nothing that came later (FAULTS 42). Reads by lease are the
 * same with another question to raft; stale ones ask nobody. Start at kvr__reads_begin. */
#include "node_internal.h"

#define ROUND_OF(place) KVR__CONTAINER_OF(place, kvr__round, link)

void kvr__reads_init(kvr_node *node)
{
    kvr__list_init(&node->reads.waiting);
    kvr__list_init(&node->reads.lease_waiting);
    kvr__list_init(&node->reads.stale);
    kvr__list_init(&node->reads.rounds);
}

static uint64_t head(const kvr_node *node)
{
    kvr_mvcc_status store = {.size = sizeof store};
    kvr_mvcc_get_status(node->store, &store);
    return store.revision;
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

static bool anyone_waits_for(const kvr_node *node, bool by_lease)
{
    return by_lease ? !kvr__list_is_empty(&node->reads.lease_waiting)
                    : !kvr__list_is_empty(&node->reads.waiting) ||
                          !kvr__list_is_empty(&node->leasing.waiting);
}

static bool anyone_waits(const kvr_node *node)
{
    return anyone_waits_for(node, false) || anyone_waits_for(node, true);
}

static kvr_status begin_round(kvr_node *node, bool by_lease)
{
    kvr__reads *reads = &node->reads;
    bool may = anyone_waits_for(node, by_lease) && node->loaded && node->raft_status.leader != 0 &&
               reads->round_count < KVR__ROUNDS_MAX && node->now_ns >= reads->blocked_until;
    if (!may) {
        return KVR_OK;
    }
    kvr__round *round = kvr__mem_alloc(&node->mem, KVR__MEM_CALL, sizeof *round);
    if (round == NULL) {
        return KVR_ENOMEM;
    }
    *round = (kvr__round){
        .context = ++reads->context_last, .begun_ns = node->now_ns, .by_lease = by_lease};
    kvr__list_init(&round->link);
    kvr__list_init(&round->calls);
    kvr__list_init(&round->asks);
    reads->round_count++;
    kvr_status status = by_lease ? kvr_raft_read_lease(node->raft, round->context)
                                 : kvr_raft_read_index(node->raft, round->context);
    if (status != KVR_OK) {
        free_round(node, round);
        reads->blocked_until = node->now_ns + node->config.heartbeat_ns;
        bool may_wait = status == KVR_ENOLEADER || status == KVR_EBUSY;
        return may_wait ? KVR_OK : status;
    }
    move_all(by_lease ? &reads->lease_waiting : &reads->waiting, &round->calls);
    if (!by_lease) {
        move_all(&node->leasing.waiting, &round->asks);
    }
    kvr__list_push_back(&reads->rounds, &round->link);
    return KVR_OK;
}

kvr_status kvr__reads_begin(kvr_node *node)
{
    kvr_status status = begin_round(node, false);
    return status != KVR_OK ? status : begin_round(node, true);
}

/* Everybody in it waits again, for a fresh round. */
static void give_up(kvr_node *node, kvr__round *round)
{
    kvr__reads *reads = &node->reads;
    move_all(&round->calls, round->by_lease ? &reads->lease_waiting : &reads->waiting);
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

/* ------------------------------------------------------------------ stale reads */

/* Raft says how fresh the log is; this copy is once it has applied that. One such pair is waited
 * for at a time, since under load there is always a newer one. */
static void follow_freshness(kvr_node *node)
{
    kvr__reads *reads = &node->reads;
    const kvr_raft_status *raft = &node->raft_status;
    for (int i = 0; i < 2; i++) {
        if (reads->next_ns != 0 && reads->next_index <= node->applied.index) {
            reads->fresh_ns = reads->next_ns;
            reads->next_ns = 0;
        }
        if (reads->next_ns == 0 && raft->fresh_ns > reads->fresh_ns) {
            reads->next_ns = raft->fresh_ns;
            reads->next_index = raft->fresh_index;
        }
    }
}

static void finish_stale(kvr_node *node)
{
    kvr__list *list = &node->reads.stale;
    uint64_t fresh = node->reads.fresh_ns;
    uint64_t age = fresh == 0 ? UINT64_MAX : node->now_ns - fresh;
    node->reads.waits_for_clock = false;
    for (kvr__list *place = list->next; place != list;) {
        kvr__call *call = KVR__CONTAINER_OF(place, kvr__call, link);
        place = place->next;
        if (call->sent_ns >= node->now_ns) { /* the age is of a moment before the call */
            node->reads.waits_for_clock = true;
            continue;
        }
        if (age > call->stale_ns_max || !node->loaded) {
            if (node->raft_status.quiet != 0) { /* it hears nothing: it has to ask */
                kvr__list_remove(&call->link);
                kvr__list_push_back(&node->reads.lease_waiting, &call->link);
            }
            continue;
        }
        call->done.revision = head(node);
        call->done.index = node->applied.index;
        call->done.term = node->raft_status.term;
        call->done.stale_ns = age;
        kvr__calls_finish(node, call, KVR_OUTCOME_DONE, KVR_OK);
    }
}

/* ------------------------------------------------------------------ answers */

void kvr__reads_finish(kvr_node *node)
{
    follow_freshness(node);
    finish_stale(node);
    for (kvr__list *place = node->reads.rounds.next; place != &node->reads.rounds;) {
        kvr__round *round = ROUND_OF(place);
        place = place->next;
        if (!round->confirmed || round->index > node->applied.index) {
            continue;
        }
        while (!kvr__list_is_empty(&round->calls)) {
            kvr__call *call = KVR__CONTAINER_OF(round->calls.next, kvr__call, link);
            call->done.revision = head(node);
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
    uint64_t deadline = reads->waits_for_clock ? node->now_ns + 1 : UINT64_MAX;
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
