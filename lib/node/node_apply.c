/* SPDX-License-Identifier: Apache-2.0 */
/* node_apply.c: committed entries become state, one after the other, in slices. Apply is a pure
 * function of the log: who waits for an answer decides whether a result is built, never what is
 * done (FAULTS 96). All memory is taken before the first change, so an entry is applied whole or
 * waits (FAULTS 95); index, store, leases, origins and hash move together in `finish` (FAULTS 91).
 * Start at kvr__apply_run; node_execute.c says what each kind of command does. */
#include "node_internal.h"

#include "base/entry.h"

void kvr__apply_init(kvr_node *node)
{
    kvr__ring_init(&node->apply.queue, &node->mem, KVR__MEM_LOG, sizeof(kvr__queued));
}

void kvr__apply_release(kvr_node *node)
{
    kvr__apply *apply = &node->apply;
    kvr__apply_drop_queue(node);
    kvr__execute_release(node);
    kvr_buf_release(apply->entry.buffer);
    kvr__ring_release(&apply->queue);
}

kvr_status kvr__apply_take(kvr_node *node, const kvr_entry *entries, uint32_t count)
{
    kvr__apply *apply = &node->apply;
    if (kvr__ring_reserve(&apply->queue, count) != KVR_OK) {
        return KVR_ENOMEM;
    }
    for (uint32_t i = 0; i < count; i++) {
        kvr__queued *queued = kvr__ring_push(&apply->queue);
        KVR_ASSERT(queued != NULL);
        *queued = (kvr__queued){.buffer = kvr_buf_retain(entries[i].buffer),
                                .data = entries[i].bytes.data,
                                .size = entries[i].bytes.size};
    }
    return KVR_OK;
}

void kvr__apply_drop_queue(kvr_node *node)
{
    kvr__ring *queue = &node->apply.queue;
    for (uint32_t i = 0; i < queue->count; i++) {
        kvr_buf_release(((kvr__queued *)kvr__ring_at(queue, i))->buffer);
    }
    kvr__ring_pop_front(queue, queue->count);
}

/* ------------------------------------------------------------------ one entry */

static kvr_status read_front(kvr_node *node)
{
    kvr__apply *apply = &node->apply;
    kvr__queued *queued = kvr__ring_at(&apply->queue, 0);
    kvr_slice bytes = {queued->data, queued->size};
    if (kvr__entry_read(bytes, true, &apply->entry) != KVR_OK ||
        apply->entry.bytes.size != queued->size) {
        return kvr__node_fail(
            node, KVR_FCORRUPT,
            "a committed entry is damaged in memory; restart this member; after index",
            node->applied.index);
    }
    KVR_ASSERT(apply->entry.index == node->applied.index + 1);
    KVR_ASSERT(apply->entry.term >= node->applied.term);
    apply->entry.buffer = queued->buffer; /* its count moves here once the entry has begun */
    return KVR_OK;
}

/* A watcher that keeps up is not overtaken by a compaction only because both came in one ready:
 * events of before are handed out first. Bounded, for one that catches up from far behind must not
 * hold up the log. */
static bool must_wait_for_watchers(kvr_node *node)
{
    kvr__apply *apply = &node->apply;
    bool waits = apply->command.kind == KVR__COMMAND_COMPACT && kvr__watches_have_work(node) &&
                 apply->waited < KVR__COMPACT_WAITS_MAX;
    apply->waited = waits ? apply->waited + 1 : 0;
    return waits;
}

static kvr_status begin_command(kvr_node *node)
{
    kvr__apply *apply = &node->apply;
    kvr_status status = kvr__command_read(apply->entry.command, &apply->command);
    if (status == KVR_EVERSION) {
        return kvr__execute_too_new(node);
    }
    if (status != KVR_OK) {
        apply->outcome = status; /* some member's garbage: the same nothing everywhere */
        return KVR_OK;
    }
    if (must_wait_for_watchers(node)) {
        return KVR_AGAIN;
    }
    const kvr__origin_id *origin = &apply->command.origin;
    if (origin->sequence != 0) {
        if (kvr__origins_seen(&node->origins, origin)) {
            apply->outcome = KVR_EEXIST;
            return KVR_OK;
        }
        if (kvr__origins_reserve(&node->origins, origin) != KVR_OK) {
            return KVR_ENOMEM;
        }
    }
    status = kvr__execute_begin(node);
    if (status == KVR_OK) {
        apply->remembered = origin->sequence != 0;
    }
    return status;
}

/* Raft has obeyed it since its append. Here the call that asked for it is done: the context that
 * the leader gave with it is that call's origin [node_member.c]. */
static kvr_status begin_configuration(kvr_node *node)
{
    kvr__apply *apply = &node->apply;
    uint64_t context[3];
    kvr_configuration_context(&apply->entry.command, context);
    kvr__origin_id origin = {context[0], context[1], context[2]};
    if (origin.sequence == 0 || kvr__origins_seen(&node->origins, &origin)) {
        return KVR_OK;
    }
    if (kvr__origins_reserve(&node->origins, &origin) != KVR_OK) {
        return KVR_ENOMEM;
    }
    apply->command.origin = origin;
    apply->remembered = true;
    return KVR_OK;
}

/* The newest member of a configuration: it has the highest id. */
static uint64_t newest_member(const kvr_slice *encoded)
{
    kvr_member member = {0};
    for (uint32_t i = 0; kvr_configuration_member(encoded, i, &member) == KVR_OK; i++) {
    }
    return member.id;
}

static kvr_status begin(kvr_node *node)
{
    kvr__apply *apply = &node->apply;
    if (kvr__hashes_reserve(&node->hashes) != KVR_OK) {
        return KVR_ENOMEM;
    }
    kvr_status status = read_front(node);
    if (status != KVR_OK) {
        return status;
    }
    apply->outcome = KVR_OK;
    apply->remembered = false;
    apply->command = (kvr__command){0};
    apply->stage = KVR__APPLY_FINISH; /* unless the store has work to do */
    if (apply->entry.kind > KVR_ENTRY_COMMAND || apply->entry.flags != 0) {
        status = kvr__execute_too_new(node);
    } else if (apply->entry.kind == KVR_ENTRY_COMMAND) {
        status = begin_command(node);
    } else if (apply->entry.kind == KVR_ENTRY_CONFIG) {
        status = begin_configuration(node);
    }
    if (status != KVR_OK) {
        kvr__execute_release(node);
        apply->entry.buffer = NULL; /* its count is still the queue's */
        apply->stage = KVR__APPLY_IDLE;
        return status;
    }
    kvr__ring_pop_front(&apply->queue, 1);
    return KVR_OK;
}

/* The caller that waits here, if there is one, gets its answer. */
static void complete(kvr_node *node, uint64_t revision)
{
    kvr__apply *apply = &node->apply;
    kvr__call *call = NULL;
    if (apply->remembered) {
        call = kvr__calls_find(node, &apply->command.origin);
    }
    if (call == NULL) {
        kvr_mvcc_result_free(apply->result);
        apply->result = NULL;
        return;
    }
    call->done.revision = revision;
    call->done.index = apply->entry.index;
    call->done.term = apply->entry.term;
    if (call->done.kind == KVR_CALL_MEMBER_CHANGE && call->done.member == 0) {
        call->done.member = newest_member(&apply->entry.command);
    }
    call->result = apply->result;
    apply->result = NULL;
    node->calls.blocked_until = 0; /* there is room again */
    kvr__calls_finish(node, call, KVR_OUTCOME_DONE, apply->outcome);
}

static void finish(kvr_node *node)
{
    kvr__apply *apply = &node->apply;
    kvr__applied *applied = &node->applied;
    bool is_command = apply->entry.kind == KVR_ENTRY_COMMAND;
    kvr__execute_finish(node);
    kvr_mvcc_status store = {.size = sizeof store};
    kvr_mvcc_get_status(node->store, &store);
    kvr__hash_outcome outcome = {
        .index = apply->entry.index,
        .revision = store.revision,
        .store_chain = store.hash_chain,
        .status = apply->outcome,
        .kind = is_command ? apply->command.kind : 256u + apply->entry.kind,
    };
    applied->chain = kvr__hash_fold(applied->chain, &outcome);
    applied->index = apply->entry.index;
    applied->term = apply->entry.term;
    if (applied->lease_clock < apply->entry.lease_clock) {
        applied->lease_clock = apply->entry.lease_clock;
    }
    if (apply->remembered) {
        kvr__origins_mark(&node->origins, &apply->command.origin, applied->index);
    }
    complete(node, store.revision);
    if (applied->index % KVR__HASH_EVERY == 0) {
        kvr__hashes_add(&node->hashes, applied->index, applied->chain);
        kvr__exchange_tell(node);
    }
    node->snapshots.log_bytes += apply->entry.bytes.size;
    kvr__execute_release(node);
    kvr_buf_release(apply->entry.buffer);
    apply->entry.buffer = NULL;
    apply->stage = KVR__APPLY_IDLE;
}

/* ------------------------------------------------------------------ all of them */

static kvr_status step(kvr_node *node, uint32_t *budget)
{
    kvr__apply *apply = &node->apply;
    switch (apply->stage) {
    case KVR__APPLY_IDLE:
        *budget -= 1;
        return begin(node);
    case KVR__APPLY_STEPPING:
        return kvr__execute_step(node, budget);
    case KVR__APPLY_INDEXING:
        return kvr__execute_index(node, budget);
    case KVR__APPLY_FINISH:
        finish(node);
        return KVR_OK;
    default:
        KVR_UNREACHABLE();
    }
}

static kvr_status tell_raft(kvr_node *node)
{
    kvr__apply *apply = &node->apply;
    if (apply->told_index == node->applied.index) {
        return KVR_OK;
    }
    kvr_status status = kvr_raft_applied(node->raft, node->applied.index);
    if (status == KVR_OK) {
        apply->told_index = node->applied.index;
    }
    return status;
}

static bool may_begin(const kvr_node *node)
{
    return node->apply.queue.count > 0 && node->snapshots.installing == NULL;
}

kvr_status kvr__apply_run(kvr_node *node, uint32_t *budget)
{
    kvr__apply *apply = &node->apply;
    kvr_status status = KVR_OK;
    while (status == KVR_OK && *budget > 0 &&
           (apply->stage != KVR__APPLY_IDLE || may_begin(node))) {
        status = step(node, budget);
    }
    if (apply->stage == KVR__APPLY_FINISH && status == KVR_OK) {
        finish(node); /* costs nothing: a store that moved its head is not left without its index */
    }
    kvr_status told = tell_raft(node);
    return status < 0 ? status : told;
}

bool kvr__apply_has_work(const kvr_node *node)
{
    return node->apply.stage != KVR__APPLY_IDLE || may_begin(node);
}
