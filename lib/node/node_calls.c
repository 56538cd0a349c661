/* SPDX-License-Identifier: Apache-2.0 */
/* node_calls.c: the life of a call, as drawn at struct kvr__call: from its intake to exactly one
 * completion. A write may be handed to raft many times, always the same bytes: the origin in them
 * lets apply execute it once. It is refused only if raft never had it. Start at
 * kvr__calls_propose. */
#include "base/array.h"
#include "base/buffer.h"
#include "base/checksum.h"
#include "base/sized.h"
#include "node_internal.h"

#define CALL_OF(place) KVR__CONTAINER_OF(place, kvr__call, link)

static bool is_write(uint8_t kind)
{
    return kind == KVR_CALL_WRITE || kind == KVR_CALL_COMPACT || kind == KVR_CALL_LEASE_GRANT ||
           kind == KVR_CALL_LEASE_REVOKE || kind == KVR_CALL_MEMBER_CHANGE;
}

void kvr__calls_init(kvr_node *node)
{
    kvr__calls *calls = &node->calls;
    kvr__list_init(&calls->fresh);
    kvr__list_init(&calls->pending);
    kvr__list_init(&calls->sent);
    kvr__list_init(&calls->transferring);
    kvr__list_init(&calls->finished);
    kvr__heap_init(&calls->due, &node->mem, KVR__MEM_CALL);
    kvr__map_init(&calls->by_sequence, &node->mem, KVR__MEM_CALL);
    calls->sequence_next = 1;
    calls->sequence_oldest = 1;
}

static void free_call(kvr_node *node, kvr__call *call)
{
    uint32_t *count =
        is_write(call->done.kind) ? &node->calls.write_count : &node->calls.other_count;
    KVR_ASSERT(*count > 0);
    *count -= 1;
    kvr__list_remove(&call->link);
    kvr_buf_release(call->command);
    kvr_mvcc_result_free(call->result);
    kvr__mem_free(&node->mem, KVR__MEM_CALL, call, sizeof *call);
}

void kvr__calls_release(kvr_node *node)
{
    kvr__calls *calls = &node->calls;
    KVR_ASSERT(calls->due.count == 0);
    while (!kvr__list_is_empty(&calls->finished)) {
        free_call(node, CALL_OF(calls->finished.next));
    }
    KVR_ASSERT(calls->write_count == 0);
    KVR_ASSERT(calls->other_count == 0);
    kvr__heap_release(&calls->due);
    kvr__map_release(&calls->by_sequence);
    kvr__array_free(&node->mem, KVR__MEM_CALL, (void **)&calls->completions,
                    &calls->completion_capacity, sizeof *calls->completions);
}

/* ------------------------------------------------------------------ beginning */

kvr_status kvr__calls_new(kvr_node *node, const kvr_node_call *given, uint8_t kind,
                          kvr__call **out_call)
{
    kvr__calls *calls = &node->calls;
    kvr_node_call options = {.size = sizeof options};
    if (given != NULL && !kvr__sized_read(&options, sizeof options, given, sizeof options)) {
        return KVR_EINVAL;
    }
    kvr_status status = kvr__node_may_take(node);
    if (status != KVR_OK) {
        return status;
    }
    /* A witness applies nothing, so no call could ever end. */
    if (node->config.witness != 0 || node->raft_status.member_role == KVR_MEMBER_WITNESS) {
        return KVR_ESTATE;
    }
    if (node->raft_status.removed != 0) {
        return KVR_EREMOVED;
    }
    uint32_t limit = is_write(kind) ? node->config.calls_max : (uint32_t)KVR__READS_MAX;
    uint32_t *count = is_write(kind) ? &calls->write_count : &calls->other_count;
    if (*count >= limit) {
        return KVR_EBUSY;
    }
    if (kvr__heap_reserve(&calls->due, calls->fresh_count + 1) != KVR_OK) {
        return KVR_ENOMEM;
    }
    kvr__call *call = kvr__mem_zalloc(&node->mem, KVR__MEM_CALL, sizeof *call);
    if (call == NULL) {
        return KVR_ENOMEM;
    }
    call->done = (kvr_completion){.size = sizeof call->done, .kind = kind, .user = options.user};
    call->timeout_ns = options.timeout_ns != 0 ? options.timeout_ns : node->config.call_timeout_ns;
    call->reason = KVR_ENOLEADER;
    calls->id_last++;
    call->due.id = calls->id_last;
    call->request = calls->id_last;
    kvr__list_push_back(&calls->fresh, &call->link);
    calls->fresh_count++;
    *count += 1;
    *out_call = call;
    return KVR_OK;
}

void kvr__calls_start(kvr_node *node)
{
    kvr__calls *calls = &node->calls;
    while (!kvr__list_is_empty(&calls->fresh)) {
        kvr__call *call = CALL_OF(calls->fresh.next);
        bool never = call->timeout_ns > UINT64_MAX - node->now_ns;
        call->due.key = never ? UINT64_MAX : node->now_ns + call->timeout_ns;
        kvr_status status = kvr__heap_push(&calls->due, &call->due);
        KVR_ASSERT(status == KVR_OK); /* reserved at intake */
        kvr__list_remove(&call->link);
        calls->fresh_count--;
        kvr__list *list = &calls->pending;
        if (call->done.kind == KVR_CALL_READ_LINEAR) {
            list = &node->reads.waiting;
        } else if (call->done.kind == KVR_CALL_READ_LEASE) {
            list = &node->reads.lease_waiting;
        } else if (call->done.kind == KVR_CALL_READ_STALE) {
            list = &node->reads.stale;
        } else if (call->done.kind == KVR_CALL_TRANSFER_LEADER) {
            list = &calls->transferring;
        } else if (call->done.kind == KVR_CALL_MEMBER_CHANGE) {
            list = &node->changing.calls;
        } else if (!is_write(call->done.kind)) {
            list = &node->leasing.asking;
        }
        kvr__list_push_back(list, &call->link);
    }
}

/* ------------------------------------------------------------------ handing over */

/* Moves the oldest unresolved sequence up. All sequences that may still be proposed lie less than a
 * window apart: so none of them falls out of the window that apply keeps before it was executed. */
static bool window_is_full(kvr__calls *calls)
{
    while (calls->sequence_oldest < calls->sequence_next &&
           kvr__map_get(&calls->by_sequence, calls->sequence_oldest) == NULL) {
        calls->sequence_oldest++;
    }
    return calls->sequence_next - calls->sequence_oldest >= KVR__ORIGIN_WINDOW;
}

kvr_status kvr__calls_number(kvr_node *node, kvr__call *call)
{
    kvr__calls *calls = &node->calls;
    if (call->sequence != 0) {
        return KVR_OK;
    }
    if (window_is_full(calls)) {
        return KVR_EBUSY;
    }
    kvr_status status = kvr__map_put(&calls->by_sequence, calls->sequence_next, call);
    if (status == KVR_OK) {
        call->sequence = calls->sequence_next++;
    }
    return status;
}

/* A lease id that no other member, life or call chooses; positive, as etcd's are. */
static int64_t choose_lease(const kvr__origin_id *origin)
{
    uint8_t room[24];
    kvr__store_u64(room, origin->member);
    kvr__store_u64(room + 8, origin->incarnation);
    kvr__store_u64(room + 16, origin->sequence);
    uint64_t id = kvr__xxh3_64(room, sizeof room) & INT64_MAX;
    return id == 0 ? 1 : (int64_t)id;
}

/* The last bytes that change in a command: only before its first hand-over. */
static void stamp(kvr_node *node, kvr__call *call)
{
    kvr__origin_id origin = {node->config.member_id, node->incarnation, node->calls.sequence_next};
    kvr__command_stamp(call->command->data, &origin);
    if (call->done.kind == KVR_CALL_LEASE_GRANT && call->done.lease == 0) {
        int64_t id = choose_lease(&origin);
        kvr__store_u64(call->command->data + KVR__COMMAND_HEAD, (uint64_t)id);
    }
}

static void note_sent(kvr_node *node, kvr__call *call, const kvr_raft_proposal *proposal)
{
    if (call->done.kind == KVR_CALL_LEASE_GRANT) {
        call->done.lease = (int64_t)kvr__load_u64(call->command->data + KVR__COMMAND_HEAD);
    }
    call->sent_ns = node->now_ns;
    call->sent_index = proposal->index;
    call->sent_term = proposal->term;
    kvr__list_remove(&call->link);
    kvr__list_push_back(&node->calls.sent, &call->link);
}

static kvr_status hand_over(kvr_node *node, kvr__call *call)
{
    kvr__calls *calls = &node->calls;
    bool first = call->sequence == 0;
    if (first) {
        if (window_is_full(calls)) {
            return KVR_EBUSY;
        }
        if (kvr__map_reserve(&calls->by_sequence, 1) != KVR_OK) {
            return KVR_ENOMEM;
        }
        stamp(node, call);
    }
    kvr_slice bytes;
    kvr_raft_proposal proposal;
    kvr_buf_bytes(call->command, &bytes);
    kvr_status status = kvr_raft_propose(node->raft, &bytes, &proposal);
    if (status != KVR_OK) {
        return status;
    }
    if (first) {
        call->sequence = calls->sequence_next++;
        status = kvr__map_put(&calls->by_sequence, call->sequence, call);
        KVR_ASSERT(status == KVR_OK); /* reserved above */
    }
    note_sent(node, call, &proposal);
    return KVR_OK;
}

/* Those that raft never had hear at once why it takes nothing, whoever waits before them. */
static void refuse_fresh(kvr_node *node, kvr_status status)
{
    kvr__list *pending = &node->calls.pending;
    for (kvr__list *place = pending->next; place != pending;) {
        kvr__call *call = CALL_OF(place);
        place = place->next;
        if (call->sequence == 0) {
            kvr__calls_finish(node, call, KVR_OUTCOME_REFUSED, status);
        }
    }
}

/* Raft did not take it. True if the next one may be tried. What raft had once may still happen, so
 * it waits and is tried again. */
static bool note_refused(kvr_node *node, kvr__call *call, kvr_status status)
{
    call->reason = status;
    bool may_wait = status == KVR_ENOLEADER || status == KVR_EBUSY;
    if (!may_wait && call->sequence != 0) {
        refuse_fresh(node, status);
    }
    if (may_wait || call->sequence != 0) {
        node->calls.blocked_until = node->now_ns + node->config.heartbeat_ns;
        return false;
    }
    kvr__calls_finish(node, call, KVR_OUTCOME_REFUSED, status);
    return true;
}

kvr_status kvr__calls_propose(kvr_node *node, uint32_t *budget)
{
    kvr__calls *calls = &node->calls;
    if (!node->loaded || node->raft_status.leader == 0 || node->now_ns < calls->blocked_until) {
        return KVR_OK;
    }
    while (!kvr__list_is_empty(&calls->pending)) {
        kvr__call *call = CALL_OF(calls->pending.next);
        if (*budget == 0) {
            return KVR_AGAIN;
        }
        if (node->corrupt && call->sequence == 0) {
            kvr__calls_finish(node, call, KVR_OUTCOME_REFUSED, KVR_EREADONLY);
            continue;
        }
        uint32_t cost = 1 + (uint32_t)(call->command->size / 1024);
        *budget -= cost < *budget ? cost : *budget;
        kvr_status status = hand_over(node, call);
        if (status == KVR_ENOMEM || kvr_status_is_fatal(status)) {
            return status;
        }
        if (status != KVR_OK && !note_refused(node, call, status)) {
            break;
        }
    }
    return KVR_OK;
}

/* What raft had goes before what it never had, so that the oldest is proposed first. */
void kvr__calls_repropose(kvr_node *node)
{
    kvr__calls *calls = &node->calls;
    kvr__list *behind = calls->pending.next;
    while (!kvr__list_is_empty(&calls->sent)) {
        kvr__list *place = calls->sent.next;
        kvr__list_remove(place);
        kvr__list_push_back(behind, place); /* a ring: before the first that was pending */
    }
    calls->blocked_until = 0;
}

/* Forwarded ones that nothing was heard of for a while; what this leader appended will come. They
 * go before those that raft never had, which may wait for just them (window_is_full). */
static void repeat_forwarded(kvr_node *node)
{
    kvr__calls *calls = &node->calls;
    kvr__list *behind = calls->pending.next;
    while (!kvr__list_is_empty(&calls->sent)) {
        kvr__call *call = CALL_OF(calls->sent.next);
        if (node->now_ns - call->sent_ns < kvr__node_repeat_ns(node)) {
            break;
        }
        bool is_ours = call->sent_index != 0 && kvr__node_leads(node) &&
                       call->sent_term == node->raft_status.term;
        call->sent_ns = node->now_ns;
        kvr__list_remove(&call->link);
        kvr__list_push_back(is_ours ? &calls->sent : behind, &call->link);
    }
}

/* ------------------------------------------------------------------ ending */

kvr__call *kvr__calls_find(kvr_node *node, const kvr__origin_id *origin)
{
    if (origin->member != node->config.member_id || origin->incarnation != node->incarnation) {
        return NULL;
    }
    return kvr__map_get(&node->calls.by_sequence, origin->sequence);
}

void kvr__calls_finish(kvr_node *node, kvr__call *call, uint8_t outcome, kvr_status status)
{
    kvr__calls *calls = &node->calls;
    KVR_ASSERT(call->done.status == KVR_OK && call->done.outcome == KVR_OUTCOME_DONE);
    if (outcome == KVR_OUTCOME_REFUSED) {
        /* of a change of the members the leader says so */
        KVR_ASSERT(call->sequence == 0 || call->done.kind == KVR_CALL_MEMBER_CHANGE);
        KVR_ASSERT(status != KVR_OK);
    }
    call->done.outcome = outcome;
    call->done.status = status;
    kvr__heap_remove(&calls->due, &call->due);
    if (call->sequence != 0) {
        void *found = kvr__map_remove(&calls->by_sequence, call->sequence);
        KVR_ASSERT(found == call);
    }
    if (!is_write(call->done.kind)) {
        kvr__question_forget(node, call);
    }
    kvr__list_remove(&call->link);
    kvr__list_push_back(&calls->finished, &call->link);
}

/* It ends without an answer: refused if it certainly changed nothing and never will, else
 * unknown. */
static void give_up(kvr_node *node, kvr__call *call, kvr_status reason)
{
    bool may_have_happened = call->sequence != 0;
    if (call->done.kind == KVR_CALL_LEASE_KEEP_ALIVE ||
        call->done.kind == KVR_CALL_TRANSFER_LEADER) {
        may_have_happened = call->sent_term != 0; /* a leader was asked */
    }
    if (may_have_happened) {
        kvr__calls_finish(node, call, KVR_OUTCOME_UNKNOWN, KVR_EUNKNOWN);
    } else {
        kvr__calls_finish(node, call, KVR_OUTCOME_REFUSED, reason);
    }
}

void kvr__calls_expire(kvr_node *node)
{
    repeat_forwarded(node);
    for (;;) {
        kvr__heap_item *top = kvr__heap_top(&node->calls.due);
        if (top == NULL || top->key > node->now_ns) {
            return;
        }
        kvr__call *call = KVR__CONTAINER_OF(top, kvr__call, due);
        kvr_status reason = call->reason;
        if (reason == KVR_ENOLEADER && node->raft_status.leader != 0) {
            reason = KVR_ETIMEDOUT;
        }
        give_up(node, call, reason);
    }
}

/* ------------------------------------------------------------------ leadership handed over */

void kvr__calls_transfer(kvr_node *node)
{
    kvr__list *list = &node->calls.transferring;
    for (kvr__list *place = list->next; place != list;) {
        kvr__call *call = CALL_OF(place);
        place = place->next;
        if (call->sent_term != 0) {
            continue;
        }
        kvr_status status = kvr_raft_transfer_leader(node->raft, call->target);
        if (status == KVR_OK) {
            call->sent_term = node->raft_status.term;
        } else {
            kvr__calls_finish(node, call, KVR_OUTCOME_REFUSED, status);
        }
    }
}

/* Given up by a leader that goes on it is unknown: what the target was told cannot be taken
 * back. */
void kvr__calls_transferred(kvr_node *node)
{
    kvr__list *list = &node->calls.transferring;
    const kvr_raft_status *raft = &node->raft_status;
    uint64_t self = node->config.member_id;
    for (kvr__list *place = list->next; place != list;) {
        kvr__call *call = CALL_OF(place);
        place = place->next;
        if (call->sent_term == 0 || raft->transfer_to != 0 || raft->leader == 0) {
            continue;
        }
        uint64_t target = call->target;
        call->done.term = raft->term;
        if (target == 0 ? raft->leader != self : raft->leader == target) {
            kvr__calls_finish(node, call, KVR_OUTCOME_DONE, KVR_OK);
        } else if (raft->term == call->sent_term) {
            kvr__calls_finish(node, call, KVR_OUTCOME_UNKNOWN, KVR_EUNKNOWN);
        } else {
            kvr__calls_finish(node, call, KVR_OUTCOME_REFUSED, KVR_ECANCELED);
        }
    }
}

static void skipped_in(kvr_node *node, kvr__list *list)
{
    for (kvr__list *place = list->next; place != list;) {
        kvr__call *call = CALL_OF(place);
        place = place->next;
        kvr__origin_id origin = {node->config.member_id, node->incarnation, call->sequence};
        if (call->sequence != 0 && kvr__origins_seen(&node->origins, &origin)) {
            kvr__calls_finish(node, call, KVR_OUTCOME_UNKNOWN, KVR_EUNKNOWN);
        }
    }
}

/* Entries were jumped over. What the window has seen was executed, but its answer is lost; the rest
 * is proposed again. */
void kvr__calls_skipped(kvr_node *node)
{
    kvr__calls *calls = &node->calls;
    kvr__calls_repropose(node);
    skipped_in(node, &calls->pending);
    skipped_in(node, &node->changing.calls);
}

static void end_list(kvr_node *node, kvr__list *list)
{
    while (!kvr__list_is_empty(list)) {
        give_up(node, CALL_OF(list->next), KVR_ESTOPPED);
    }
}

void kvr__calls_end(kvr_node *node)
{
    kvr__reads_retry(node, KVR__READS_ALL); /* those in a round go back to waiting */
    end_list(node, &node->calls.fresh);
    end_list(node, &node->calls.sent);
    end_list(node, &node->calls.pending);
    end_list(node, &node->reads.waiting);
    end_list(node, &node->reads.lease_waiting);
    end_list(node, &node->reads.stale);
    end_list(node, &node->calls.transferring);
    end_list(node, &node->changing.calls);
    end_list(node, &node->leasing.asked);
    end_list(node, &node->leasing.asking);
    node->calls.fresh_count = 0;
    KVR_ASSERT(node->calls.due.count == 0);
    KVR_ASSERT(node->calls.by_sequence.count == 0);
}

/* ------------------------------------------------------------------ completions */

kvr_status kvr__calls_show(kvr_node *node)
{
    kvr__calls *calls = &node->calls;
    uint32_t count = 0;
    for (kvr__list *place = calls->finished.next; place != &calls->finished; place = place->next) {
        if (count == KVR__COMPLETIONS_MAX) {
            break;
        }
        kvr__call *call = CALL_OF(place);
        kvr_status status =
            kvr__array_grow(&node->mem, KVR__MEM_CALL, (void **)&calls->completions,
                            &calls->completion_capacity, count + 1, sizeof *calls->completions);
        if (status != KVR_OK) {
            break; /* the others stay for the next ready */
        }
        if (call->result != NULL) {
            call->done.result = kvr_mvcc_result_root(call->result);
        }
        calls->completions[count++] = call->done;
    }
    calls->delivered_count = count;
    node->ready.completions = calls->completions;
    node->ready.completion_count = count;
    return count == 0 && !kvr__list_is_empty(&calls->finished) ? KVR_ENOMEM : KVR_OK;
}

void kvr__calls_advance(kvr_node *node)
{
    for (; node->calls.delivered_count > 0; node->calls.delivered_count--) {
        free_call(node, CALL_OF(node->calls.finished.next));
    }
}

/* ------------------------------------------------------------------ when */

bool kvr__calls_have_work(const kvr_node *node)
{
    const kvr__calls *calls = &node->calls;
    if (!kvr__list_is_empty(&calls->fresh) || !kvr__list_is_empty(&calls->finished)) {
        return true;
    }
    return !kvr__list_is_empty(&calls->pending) && node->loaded && node->raft_status.leader != 0 &&
           calls->blocked_until == 0;
}

uint64_t kvr__calls_deadline(const kvr_node *node)
{
    const kvr__calls *calls = &node->calls;
    uint64_t deadline = UINT64_MAX;
    const kvr__heap_item *top = kvr__heap_top(&calls->due);
    if (top != NULL) {
        deadline = top->key;
    }
    if (!kvr__list_is_empty(&calls->sent)) {
        uint64_t repeat = CALL_OF(calls->sent.next)->sent_ns + kvr__node_repeat_ns(node);
        deadline = repeat < deadline ? repeat : deadline;
    }
    bool waits =
        !kvr__list_is_empty(&calls->pending) && node->loaded && node->raft_status.leader != 0;
    if (waits && calls->blocked_until < deadline) {
        deadline = calls->blocked_until;
    }
    return deadline;
}
