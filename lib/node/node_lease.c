/* SPDX-License-Identifier: Apache-2.0 */
/* node_lease.c: what only the leader does for leases: it answers questions about them, ends those
 * that are due and records laggards. It does so from the moment that it has applied an entry of its
 * own term, so that it knows all that earlier leaders did; each question waits for a quorum round
 * that began after it. Commands carry the term: in an entry of another term they are void (FAULTS
 * 121). Start at kvr__leasing_run. */
#include "node_internal.h"

#define ASK_OF(place) KVR__CONTAINER_OF(place, kvr__ask, link)

void kvr__leasing_init(kvr_node *node)
{
    kvr__leasing *leasing = &node->leasing;
    kvr__list_init(&leasing->asking);
    kvr__list_init(&leasing->asked);
    kvr__list_init(&leasing->waiting);
    kvr__list_init(&leasing->held);
    kvr__list_init(&leasing->recording);
    kvr__list_init(&leasing->answers);
    kvr__map_init(&leasing->by_request, &node->mem, KVR__MEM_CALL);
}

void kvr__leasing_free(kvr_node *node, kvr__ask *ask)
{
    KVR_ASSERT(node->leasing.ask_count > 0);
    node->leasing.ask_count--;
    kvr__list_remove(&ask->link);
    kvr__mem_free(&node->mem, KVR__MEM_CALL, ask, sizeof *ask);
}

static void drop_asks(kvr_node *node, kvr__list *list)
{
    while (!kvr__list_is_empty(list)) {
        kvr__leasing_free(node, ASK_OF(list->next));
    }
}

static void drop_all_asks(kvr_node *node)
{
    drop_asks(node, &node->leasing.waiting);
    drop_asks(node, &node->leasing.held);
    drop_asks(node, &node->leasing.recording);
    drop_asks(node, &node->leasing.answers);
    for (kvr__list *place = node->reads.rounds.next; place != &node->reads.rounds;
         place = place->next) {
        drop_asks(node, &KVR__CONTAINER_OF(place, kvr__round, link)->asks);
    }
    KVR_ASSERT(node->leasing.ask_count == 0);
}

void kvr__leasing_release(kvr_node *node)
{
    drop_all_asks(node);
    kvr__map_release(&node->leasing.by_request);
}

void kvr__leasing_reset(kvr_node *node)
{
    if (node->leasing.term != 0) {
        kvr_lease_follow(node->book);
        drop_all_asks(node); /* who asked asks the next leader, this member's own calls too */
        kvr__question_repeat(node, true);
        node->leasing.term = 0;
    }
}

void kvr__leasing_role(kvr_node *node)
{
    kvr__leasing *leasing = &node->leasing;
    bool leads = kvr__node_leads(node) && node->applied.term == node->raft_status.term &&
                 node->snapshots.installing == NULL;
    uint64_t term = leads ? node->raft_status.term : 0;
    if (term == leasing->term) {
        return;
    }
    kvr__leasing_reset(node);
    if (term != 0) {
        kvr_lease_lead(node->book, node->raft_status.lease_clock);
    }
    leasing->term = term;
    leasing->blocked_until = 0;
}

/* ------------------------------------------------------------------ questions */

void kvr__leasing_take(kvr_node *node, const kvr__ask *question)
{
    kvr__leasing *leasing = &node->leasing;
    bool is_question = question->kind == KVR_CALL_LEASE_KEEP_ALIVE ||
                       question->kind == KVR_CALL_LEASE_TIME_TO_LIVE;
    if (leasing->term == 0 || leasing->ask_count >= KVR__ASKS_MAX || !is_question) {
        return; /* as if it were lost: it is asked again */
    }
    kvr__ask *ask = kvr__mem_alloc(&node->mem, KVR__MEM_CALL, sizeof *ask);
    if (ask == NULL) {
        return;
    }
    *ask = *question;
    kvr__list_init(&ask->link);
    kvr__list_push_back(&leasing->waiting, &ask->link);
    leasing->ask_count++;
}

static void answer(kvr_node *node, kvr__ask *ask, kvr_status status)
{
    ask->status = status;
    kvr__list_remove(&ask->link);
    if (ask->from == node->config.member_id) {
        kvr__question_answered(node, ask);
        kvr__leasing_free(node, ask);
    } else {
        kvr__list_push_back(&node->leasing.answers, &ask->link);
    }
}

static void serve(kvr_node *node, kvr__ask *ask)
{
    kvr__leasing *leasing = &node->leasing;
    uint64_t clock = node->raft_status.lease_clock;
    kvr_lease_info info;
    if (kvr_lease_get(node->book, ask->lease, clock, &info) != KVR_OK) {
        answer(node, ask, KVR_ENOLEASE);
        return;
    }
    ask->ttl_ns = info.ttl_ns;
    ask->granted_ns = info.granted_ns;
    ask->remaining_ns = info.remaining_ns;
    if (ask->kind == KVR_CALL_LEASE_TIME_TO_LIVE) {
        answer(node, ask, KVR_OK);
        return;
    }
    uint8_t must_record = 0;
    kvr_status status =
        kvr_lease_keep_alive(node->book, ask->lease, clock, &ask->ttl_ns, &must_record);
    kvr__list_remove(&ask->link);
    if (status == KVR_ETIMEDOUT) { /* it is due: its revocation will tell (FAULTS 124) */
        kvr__list_push_back(&leasing->held, &ask->link);
        return;
    }
    KVR_ASSERT(status == KVR_OK); /* it is there, and this member leads */
    ask->remaining_ns = ask->ttl_ns;
    if (must_record != 0) {
        ask->record_index = 0;
        kvr__list_push_back(&leasing->recording, &ask->link);
    } else {
        answer(node, ask, KVR_OK);
    }
}

void kvr__leasing_confirmed(kvr_node *node, kvr__ask *ask)
{
    if (node->leasing.term == 0) {
        kvr__leasing_free(node, ask);
    } else {
        serve(node, ask);
    }
}

static void serve_held(kvr_node *node)
{
    kvr__leasing *leasing = &node->leasing;
    if (leasing->held_index == node->applied.index) {
        return;
    }
    leasing->held_index = node->applied.index;
    kvr__list *last = leasing->held.prev;
    for (kvr__list *place = leasing->held.next; place != &leasing->held;) {
        kvr__ask *ask = ASK_OF(place);
        bool was_last = place == last;
        place = place->next;
        serve(node, ask); /* may put it back, behind the last */
        if (was_last) {
            break;
        }
    }
}

/* ------------------------------------------------------------------ proposals */

/* Proposes a command of this term that nobody waits for and whose repetition would do nothing.
 * `bytes` has room for the head before its payload. */
static kvr_status propose(kvr_node *node, uint8_t kind, uint8_t *bytes, uint32_t payload_size,
                          uint64_t *out_index)
{
    kvr__origin_id origin = {node->config.member_id, node->incarnation, 0};
    kvr__command_write_head(bytes, kind, payload_size);
    kvr__command_stamp(bytes, &origin);
    kvr_slice command = {bytes, KVR__COMMAND_HEAD + payload_size};
    kvr_raft_proposal proposal;
    kvr_status status = kvr_raft_propose(node->raft, &command, &proposal);
    if (status == KVR_OK && proposal.index == 0) {
        status = KVR_ENOLEADER; /* forwarded: its term makes it void there */
    }
    if (status == KVR_OK) {
        *out_index = proposal.index;
    } else {
        node->leasing.blocked_until = node->now_ns + node->config.heartbeat_ns;
    }
    return status;
}

static kvr_status propose_records(kvr_node *node, const kvr_lease_laggard *records, uint32_t count,
                                  uint64_t *out_index)
{
    uint8_t bytes[KVR__COMMAND_HEAD + KVR__COMMAND_RECORD_HEAD +
                  KVR__COMMAND_RECORD_SIZE * KVR__LEASE_BATCH_MAX];
    KVR_ASSERT(count <= KVR__LEASE_BATCH_MAX);
    uint8_t *at = bytes + KVR__COMMAND_HEAD;
    kvr__store_u64(at, node->leasing.term);
    kvr__store_u32(at + 8, count);
    kvr__store_u32(at + 12, 0);
    at += KVR__COMMAND_RECORD_HEAD;
    for (uint32_t i = 0; i < count; i++, at += KVR__COMMAND_RECORD_SIZE) {
        kvr__store_u64(at, (uint64_t)records[i].id);
        kvr__store_u64(at + 8, records[i].granted_ns);
        kvr__store_u64(at + 16, records[i].renewed_ns);
    }
    return propose(node, KVR__COMMAND_LEASE_RECORD, bytes,
                   KVR__COMMAND_RECORD_HEAD + KVR__COMMAND_RECORD_SIZE * count, out_index);
}

static kvr_status propose_revocation(kvr_node *node, int64_t id)
{
    uint8_t bytes[KVR__COMMAND_HEAD + KVR__COMMAND_REVOKE_SIZE];
    uint64_t index;
    kvr_lease_info info;
    kvr_status status = kvr_lease_get(node->book, id, 0, &info);
    KVR_ASSERT(status == KVR_OK); /* it was just named */
    kvr__store_u64(bytes + KVR__COMMAND_HEAD, (uint64_t)id);
    kvr__store_u64(bytes + KVR__COMMAND_HEAD + 8, node->leasing.term);
    kvr__store_u64(bytes + KVR__COMMAND_HEAD + 16, info.granted_ns);
    return propose(node, KVR__COMMAND_LEASE_REVOKE, bytes, KVR__COMMAND_REVOKE_SIZE, &index);
}

/* Leases whose time is up. Each is named once, so a proposal that fails says so. */
static void revoke_due(kvr_node *node)
{
    int64_t ids[KVR__LEASE_BATCH_MAX];
    uint32_t count =
        kvr_lease_due(node->book, node->raft_status.lease_clock, ids, KVR__LEASE_BATCH_MAX);
    kvr_status status = KVR_OK;
    for (uint32_t i = 0; i < count; i++) {
        status = status == KVR_OK ? propose_revocation(node, ids[i]) : status;
        if (status != KVR_OK) {
            kvr_lease_retry(node->book, ids[i]);
        }
    }
}

static void record_laggards(kvr_node *node)
{
    kvr_lease_laggard laggards[KVR__LEASE_BATCH_MAX];
    uint64_t index;
    uint32_t count = kvr_lease_laggards(node->book, node->raft_status.lease_clock, laggards,
                                        KVR__LEASE_BATCH_MAX);
    if (count == 0 || propose_records(node, laggards, count, &index) == KVR_OK) {
        return;
    }
    for (uint32_t i = 0; i < count; i++) {
        kvr_lease_retry(node->book, laggards[i].id);
    }
}

/* Renewals of recorded leases: logged, then answered. */
static void record_renewals(kvr_node *node)
{
    kvr__leasing *leasing = &node->leasing;
    kvr_lease_laggard batch[KVR__LEASE_BATCH_MAX];
    uint32_t count = 0;
    for (kvr__list *place = leasing->recording.next; place != &leasing->recording;) {
        kvr__ask *ask = ASK_OF(place);
        place = place->next;
        if (ask->record_index == 0 && count < KVR__LEASE_BATCH_MAX) {
            batch[count++] = (kvr_lease_laggard){.id = ask->lease, .granted_ns = ask->granted_ns};
        } else if (ask->record_index != 0 && ask->record_index <= node->applied.index) {
            answer(node, ask, KVR_OK);
        }
    }
    uint64_t index;
    if (count == 0 || propose_records(node, batch, count, &index) != KVR_OK) {
        return;
    }
    for (kvr__list *place = leasing->recording.next; count > 0; place = place->next) {
        KVR_ASSERT(place != &leasing->recording);
        if (ASK_OF(place)->record_index == 0) {
            ASK_OF(place)->record_index = index;
            count--;
        }
    }
}

void kvr__leasing_run(kvr_node *node)
{
    kvr__leasing *leasing = &node->leasing;
    if (leasing->term == 0) {
        return;
    }
    serve_held(node);
    if (node->now_ns < leasing->blocked_until) {
        return;
    }
    record_renewals(node);
    if (kvr_lease_deadline(node->book) <= node->raft_status.lease_clock) {
        revoke_due(node);
        record_laggards(node);
    }
}

/* ------------------------------------------------------------------ when */

bool kvr__leasing_has_work(const kvr_node *node)
{
    const kvr__leasing *leasing = &node->leasing;
    if (!kvr__list_is_empty(&leasing->answers)) {
        return true;
    }
    if (leasing->term == 0 || node->now_ns < leasing->blocked_until) {
        return false;
    }
    return kvr_lease_deadline(node->book) <= node->raft_status.lease_clock;
}

/* The lease clock runs with the host's while this member leads. */
uint64_t kvr__leasing_deadline(const kvr_node *node)
{
    const kvr__leasing *leasing = &node->leasing;
    uint64_t deadline = leasing->term == 0 ? UINT64_MAX : kvr_lease_deadline(node->book);
    if (deadline == UINT64_MAX) {
        return UINT64_MAX;
    }
    uint64_t clock = node->raft_status.lease_clock;
    uint64_t wait = deadline > clock ? deadline - clock : 0;
    uint64_t at = wait > UINT64_MAX - node->now_ns ? UINT64_MAX : node->now_ns + wait;
    return at > leasing->blocked_until ? at : leasing->blocked_until;
}
