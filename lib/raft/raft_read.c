/* SPDX-License-Identifier: Apache-2.0 */
/* raft_read.c: linearizable reads without a log entry (thesis 6.4). A read that arrives joins a
 * round that begins after it: heartbeats that carry the round's number. When a quorum has echoed
 * it, this member still led at a moment after the read began, so the commit index taken then is
 * good enough. One round is under way at a time; reads that come meanwhile share the next. No round
 * begins before an entry of the own term is committed (FAULTS 41).
 *
 * A follower asks its leader; each request has a new context, and an answer serves the reads that
 * had arrived before that request was sent (FAULTS 42).
 *
 * A lease read needs no round while the leader holds its lease at a moment after the read came: it
 * waits for the clock to move, since a paused process does not see time pass (FAULTS 45). Without a
 * lease it is a read like the others. */
#include "base/array.h"
#include "raft_internal.h"

static kvr__raft_pending_read *read_at(const kvr_raft *raft, uint32_t i)
{
    return kvr__ring_at(&raft->reads, i);
}

bool kvr__raft_read_own_term_committed(const kvr_raft *raft)
{
    uint64_t term = 0;
    return raft->role == KVR_ROLE_LEADER && kvr__raft_log_term(&raft->log, raft->commit, &term) &&
           term == raft->term;
}

/* ------------------------------------------------------------------ arrival */

/* Room for the results of all that wait, in both arrays, so that refusing never needs memory. */
static kvr_status reserve_results(kvr_raft *raft)
{
    uint32_t want = raft->read_result_count + raft->reads.count + raft->lease_reads.count + 1;
    kvr_status status =
        kvr__array_grow(&raft->mem, KVR__MEM_CALL, (void **)&raft->read_results,
                        &raft->read_result_capacity, want, sizeof *raft->read_results);
    if (status == KVR_OK && !raft->shown) {
        status = kvr__array_grow(&raft->mem, KVR__MEM_CALL, (void **)&raft->shown_reads,
                                 &raft->shown_read_capacity, want, sizeof *raft->shown_reads);
    }
    return status;
}

static kvr_status push_read(kvr_raft *raft, uint64_t from, kvr__raft_read_context context,
                            bool by_lease)
{
    if (raft->reads.count + raft->lease_reads.count + raft->read_result_count >=
        KVR__RAFT_READS_MAX) {
        return KVR_EBUSY;
    }
    if (reserve_results(raft) != KVR_OK) {
        return KVR_ENOMEM;
    }
    bool leads = raft->role == KVR_ROLE_LEADER;
    kvr__raft_pending_read *read =
        kvr__ring_push(by_lease && leads ? &raft->lease_reads : &raft->reads);
    if (read == NULL) {
        return KVR_ENOMEM;
    }
    *read = (kvr__raft_pending_read){
        .from = from, .context = context, .taken_ns = raft->now, .by_lease = by_lease};
    raft->work = true;
    return KVR_OK;
}

static kvr_status take_read(kvr_raft *raft, uint64_t context, bool by_lease)
{
    if (raft->failed != KVR_OK) {
        return raft->failed;
    }
    if (raft->leader == 0 || raft->role == KVR_ROLE_LOADING) {
        return KVR_ENOLEADER;
    }
    kvr_status status = push_read(raft, 0, (kvr__raft_read_context){.sequence = context}, by_lease);
    KVR_CHECKED(kvr__raft_check(raft));
    return status;
}

kvr_status kvr_raft_read_index(kvr_raft *raft, uint64_t context)
{
    kvr_raft_wake(raft);
    return take_read(raft, context, false);
}

kvr_status kvr_raft_read_lease(kvr_raft *raft, uint64_t context)
{
    kvr_raft_wake(raft);
    return take_read(raft, context, true);
}

kvr_status kvr__raft_recv_read(kvr_raft *raft, const kvr__raft_message *message)
{
    if (raft->role != KVR_ROLE_LEADER || message->head.term != raft->term) {
        return KVR_OK; /* the asker asks again, or learns of the new leader */
    }
    kvr__raft_read_context context;
    uint16_t flags = kvr__raft_message_read_read(message->body, &context);
    return push_read(raft, message->head.from, context, (flags & KVR__RAFT_BY_LEASE) != 0);
}

/* ------------------------------------------------------------------ results */

static void put_result(kvr_raft *raft, uint64_t context, uint64_t index, kvr_status status)
{
    KVR_ASSERT(raft->read_result_count < raft->read_result_capacity);
    raft->read_results[raft->read_result_count] =
        (kvr_raft_read){.context = context, .index = index, .status = status};
    raft->read_result_count++;
    raft->work = true;
}

static void answer(kvr_raft *raft, const kvr__raft_pending_read *read)
{
    KVR__RAFT_COUNT(raft, reads, 1);
    if (read->from == 0) {
        put_result(raft, read->context.sequence, read->index, KVR_OK);
        return;
    }
    uint8_t *body =
        kvr__raft_outbox_open(raft, read->from, KVR__RAFT_READ_REPLY, KVR__RAFT_READ_REPLY_SIZE);
    if (body != NULL) { /* else as if lost: the asker repeats */
        kvr__raft_message_write_read_reply(body, &read->context, read->index, 0);
    }
}

/* Pops the reads whose round is at most `round`. */
static void answer_up_to(kvr_raft *raft, uint64_t round)
{
    uint32_t done = 0;
    while (done < raft->reads_assigned && read_at(raft, done)->round <= round) {
        answer(raft, read_at(raft, done));
        done++;
    }
    kvr__ring_pop_front(&raft->reads, done);
    raft->reads_assigned -= done;
}

void kvr__raft_read_confirm(kvr_raft *raft)
{
    if (kvr__raft_self(raft) != NULL) {
        kvr__raft_self(raft)->progress.round = raft->round;
    }
    uint64_t round = kvr__raft_members_quorum(raft, KVR__RAFT_FIELD(round));
    if (round > raft->round_confirmed) {
        KVR_ASSERT(round <= raft->round);
        raft->round_confirmed = round;
        answer_up_to(raft, round);
        raft->work = raft->work || raft->reads.count > 0;
    }
    kvr__raft_lease_confirm(raft);
}

static void refuse_ring(kvr_raft *raft, kvr__ring *ring)
{
    for (uint32_t i = 0; i < ring->count; i++) {
        const kvr__raft_pending_read *read = kvr__ring_at(ring, i);
        if (read->from == 0) {
            put_result(raft, read->context.sequence, 0, KVR_ENOLEADER);
        }
        KVR__RAFT_COUNT(raft, reads_refused, 1);
    }
    kvr__ring_pop_front(ring, ring->count);
}

void kvr__raft_read_refuse_all(kvr_raft *raft)
{
    refuse_ring(raft, &raft->reads);
    refuse_ring(raft, &raft->lease_reads);
    raft->reads_assigned = 0;
    raft->read_request_due = false;
}

kvr_status kvr__raft_recv_read_reply(kvr_raft *raft, const kvr__raft_message *message)
{
    kvr__raft_read_context context;
    uint64_t index = 0;
    uint16_t flags = 0;
    kvr__raft_message_read_read_reply(message->body, &context, &index, &flags);
    if (raft->role != KVR_ROLE_FOLLOWER || message->head.term != raft->term ||
        message->head.from != raft->leader || context.incarnation != raft->incarnation ||
        context.sequence > raft->read_sequence || (flags & KVR__RAFT_REFUSED) != 0) {
        return KVR_OK;
    }
    for (uint32_t i = 0; i < raft->reads_assigned; i++) {
        read_at(raft, i)->index = index;
    }
    answer_up_to(raft, context.sequence);
    raft->work = raft->work || raft->reads.count > 0;
    return KVR_OK;
}

/* ------------------------------------------------------------------ rounds and requests */

static void assign(kvr_raft *raft, uint64_t round, uint64_t index)
{
    for (uint32_t i = raft->reads_assigned; i < raft->reads.count; i++) {
        read_at(raft, i)->round = round;
        read_at(raft, i)->index = index;
    }
    raft->reads_assigned = raft->reads.count;
}

/* The leader's lease answers a request if it may answer each read in it. */
static bool all_by_lease(const kvr_raft *raft)
{
    for (uint32_t i = 0; i < raft->reads.count; i++) {
        if (!read_at(raft, i)->by_lease) {
            return false;
        }
    }
    return true;
}

static kvr_status send_request(kvr_raft *raft)
{
    uint8_t *body = kvr__raft_outbox_open(raft, raft->leader, KVR__RAFT_READ, KVR__RAFT_READ_SIZE);
    if (body == NULL) {
        return KVR_ENOMEM;
    }
    raft->read_sequence++;
    kvr__raft_read_context context = {raft->incarnation, raft->read_sequence};
    kvr__raft_message_write_read(body, &context, all_by_lease(raft) ? KVR__RAFT_BY_LEASE : 0);
    assign(raft, raft->read_sequence, 0);
    raft->read_request_due = false;
    return KVR_OK;
}

/* Answers what came before the clock was read last, if this leader holds its lease now. Without one
 * all of them join the next round. */
static kvr_status answer_by_lease(kvr_raft *raft)
{
    kvr__ring *ring = &raft->lease_reads;
    bool held = kvr__raft_lease_end(raft) != 0;
    uint32_t done = 0;
    for (; done < ring->count; done++) {
        kvr__raft_pending_read *read = kvr__ring_at(ring, done);
        if (held && read->taken_ns >= raft->now) {
            break;
        }
        if (held) {
            read->index = raft->commit;
            answer(raft, read);
            KVR__RAFT_COUNT(raft, reads_by_lease, 1);
            continue;
        }
        kvr__raft_pending_read *plain = kvr__ring_push(&raft->reads);
        if (plain == NULL) {
            break;
        }
        *plain = *read;
    }
    kvr__ring_pop_front(ring, done);
    return !held && ring->count > 0 ? KVR_ENOMEM : KVR_OK;
}

/* Called by each ready: begins a round, or asks the leader, if reads wait for that. */
kvr_status kvr__raft_read_send(kvr_raft *raft)
{
    KVR_ASSERT(raft->reads.count + raft->lease_reads.count > 0);
    if (raft->role != KVR_ROLE_LEADER) {
        bool due = raft->reads_assigned == 0 || raft->read_request_due;
        return due && raft->leader != 0 ? send_request(raft) : KVR_OK;
    }
    if (raft->lease_reads.count > 0 && answer_by_lease(raft) != KVR_OK) {
        return KVR_ENOMEM;
    }
    bool idle = raft->round_confirmed >= raft->read_round || raft->broadcast;
    if (idle && !raft->handover.told && raft->reads_assigned < raft->reads.count &&
        kvr__raft_read_own_term_committed(raft)) {
        kvr__raft_lease_round(raft);
        raft->read_round = raft->round;
        KVR__RAFT_COUNT(raft, read_rounds, 1);
        assign(raft, raft->round, raft->commit);
        raft->broadcast = true;
        kvr__raft_read_confirm(raft); /* a quorum of one needs no answer */
    }
    return KVR_OK;
}
