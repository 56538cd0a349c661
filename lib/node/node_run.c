/* SPDX-License-Identifier: Apache-2.0 */
/* node_run.c: the loop over ready and advance that serves the tables of the config: the only place
 * that calls back. Start at kvr_node_run. */
#include "base/buffer.h"
#include "node_internal.h"

/* ------------------------------------------------------------------ storage */

/* KVR_EBUSY: not taken, and all that come after it wait behind it, so that appends keep their
 * order. */
static kvr_status submit(kvr_node *node, const kvr_store_request *request)
{
    kvr_store_result result = {
        .size = sizeof result, .group_id = request->group_id, .token = request->token};
    node->calling = true;
    kvr_status status = node->config.storage->submit(node->config.storage_ctx, request, &result);
    node->calling = false;
    if (status == KVR_OK || status == KVR_EBUSY) {
        return status;
    }
    if (status != KVR_DONE) {
        result = (kvr_store_result){.size = sizeof result,
                                    .status = status < 0 ? status : KVR_EIO,
                                    .group_id = request->group_id,
                                    .token = request->token};
    }
    status = kvr_node_storage_done(node, &result);
    return kvr_status_is_fatal(status) ? status : KVR_OK;
}

static void submit_deferred(kvr_node *node)
{
    while (node->deferred.count > 0) {
        kvr_store_request request = *(kvr_store_request *)kvr__ring_at(&node->deferred, 0);
        if (submit(node, &request) == KVR_EBUSY) {
            return;
        }
        kvr__ring_pop_front(&node->deferred, 1);
    }
}

/* Requests that storage is too busy for are kept. KVR_ENOMEM: the ready stays open, and the next
 * run goes on with the same request. */
static kvr_status submit_requests(kvr_node *node)
{
    const kvr_node_ready *ready = &node->ready;
    for (; node->submitted < ready->request_count; node->submitted++) {
        const kvr_store_request *request = &ready->requests[node->submitted];
        if (node->deferred.count == 0 && submit(node, request) != KVR_EBUSY) {
            continue;
        }
        kvr_store_request *deferred = kvr__ring_push(&node->deferred);
        if (deferred == NULL) {
            return KVR_ENOMEM;
        }
        *deferred = *request;
    }
    return KVR_OK;
}

/* ------------------------------------------------------------------ transport */

/* A copy that lives until the transport says that it was sent. NULL: the message is dropped, as it
 * may be. */
static const uint8_t *lend(kvr_node *node, kvr_message *message)
{
    size_t size = message->bytes.size;
    if (node->sent.count >= KVR__SENT_MAX || size > KVR__SENT_BYTES_MAX - node->sent_bytes) {
        return NULL;
    }
    kvr_buf *copy = kvr__buf_new_room(&node->mem, KVR__MEM_MESSAGE, size);
    if (copy == NULL) {
        return NULL;
    }
    message->token = ++node->sent_token;
    if (kvr__map_put(&node->sent, message->token, copy) != KVR_OK) {
        kvr_buf_release(copy);
        return NULL;
    }
    memcpy(copy->data, message->bytes.data, size);
    copy->size = size;
    node->sent_bytes += size;
    return copy->data;
}

void kvr_node_sent(kvr_node *node, uint64_t token)
{
    kvr_buf *copy = node == NULL ? NULL : kvr__map_remove(&node->sent, token);
    if (copy != NULL) {
        node->sent_bytes -= copy->size;
        kvr_buf_release(copy);
    }
}

static void send_messages(kvr_node *node, const kvr_message *messages, uint32_t count)
{
    const kvr_transport *transport = node->config.transport;
    if (transport == NULL) {
        return; /* a member of one has nobody to send to */
    }
    bool sends_later = (transport->flags & KVR_TRANSPORT_SENDS_LATER) != 0;
    for (uint32_t i = 0; i < count; i++) {
        kvr_message message = messages[i];
        if (sends_later) {
            message.bytes.data = lend(node, &message);
            if (message.bytes.data == NULL) {
                continue;
            }
        }
        node->calling = true;
        transport->send(node->config.transport_ctx, &message);
        node->calling = false;
    }
}

/* ------------------------------------------------------------------ sink, log, trace */

static void tell_sink(kvr_node *node)
{
    const kvr_node_ready *ready = &node->ready;
    const kvr_node_sink *sink = node->config.sink;
    if (sink == NULL) {
        return;
    }
    node->calling = true;
    for (uint32_t i = 0; i < ready->completion_count && sink->completed != NULL; i++) {
        sink->completed(node->config.sink_ctx, &ready->completions[i]);
    }
    for (uint32_t i = 0; i < ready->batch_count && sink->watched != NULL; i++) {
        sink->watched(node->config.sink_ctx, &ready->batches[i]);
    }
    node->calling = false;
}

static void tell_trace(kvr_node *node)
{
    const kvr_node_ready *ready = &node->ready;
    node->calling = true;
    for (uint32_t i = 0; i < ready->trace_count && node->config.trace != NULL; i++) {
        node->config.trace->event(node->config.trace_ctx, &ready->traces[i]);
    }
    node->calling = false;
}

static void tell_log(kvr_node *node, int32_t level, const char *text, uint64_t number)
{
    char room[512];
    const kvr_log *log = node->config.log;
    if (log != NULL && (uint32_t)level <= log->level_max) {
        kvr__text_put(room, sizeof room, text, number);
        node->calling = true;
        log->write(node->config.log_ctx, level, room);
        node->calling = false;
    }
}

/* One line for each change that an operator wants to know of. */
static void tell_changes(kvr_node *node)
{
    const kvr_raft_status *raft = &node->raft_status;
    if (raft->leader != node->told_leader || raft->term != node->told_term) {
        if (raft->leader == node->config.member_id) {
            tell_log(node, KVR_LOG_INFO, "this member leads in term", raft->term);
        } else if (raft->leader != 0) {
            tell_log(node, KVR_LOG_INFO, "follows member", raft->leader);
        } else if (node->told_leader != 0) {
            tell_log(node, KVR_LOG_WARN, "knows no leader in term", raft->term);
        }
        node->told_leader = raft->leader;
        node->told_term = raft->term;
    }
    if (node->snapshots.taken != node->told_taken) {
        node->told_taken = node->snapshots.taken;
        tell_log(node, KVR_LOG_INFO, "took a snapshot at index", node->snapshots.last_index);
    }
    if (node->snapshots.installed != node->told_installed) {
        node->told_installed = node->snapshots.installed;
        tell_log(node, KVR_LOG_INFO, "installed the snapshot at index", node->snapshots.last_index);
    }
    if (node->corrupt != node->told_corrupt) {
        node->told_corrupt = node->corrupt;
        tell_log(node, KVR_LOG_ERROR,
                 node->corrupt ? "state hashes of members differ without a majority: no writes are "
                                 "taken; seen at index"
                               : "a majority agrees on the state hash again; seen at index",
                 node->applied.index);
    }
    bool no_space = raft->no_space != 0 || node->no_space;
    if (no_space != node->told_no_space) {
        node->told_no_space = no_space;
        tell_log(node, KVR_LOG_WARN,
                 no_space ? "storage is full here or at a majority: no writes are taken; seen at "
                            "index"
                          : "storage has room again; seen at index",
                 node->applied.index);
    }
    if (node->failure != node->told_failure) {
        node->told_failure = node->failure;
        tell_log(node, KVR_LOG_ERROR, node->error, 0);
    }
}

void kvr__run_last_words(kvr_node *node)
{
    const kvr_raft_ready *ready;
    if (node->config.transport != NULL && kvr_raft_has_ready(node->raft) &&
        kvr_raft_ready_get(node->raft, node->now_ns, &ready) == KVR_OK) {
        send_messages(node, ready->messages, ready->message_count);
        kvr_raft_advance(node->raft);
    }
}

/* ------------------------------------------------------------------ the loop */

/* Messages went first: others' disks work while this one's does. */
static kvr_status serve_rest(kvr_node *node)
{
    if (submit_requests(node) != KVR_OK) {
        node->serving = true;
        return KVR_ENOMEM;
    }
    node->serving = false;
    tell_trace(node);
    tell_sink(node);
    kvr_node_advance(node);
    return kvr__node_has_work(node) ? KVR_AGAIN : KVR_OK;
}

static kvr_status turn(kvr_node *node, uint64_t now_ns, uint32_t *budget)
{
    if (node->serving) {
        return serve_rest(node);
    }
    const kvr_node_ready *ready;
    kvr_status status = kvr__ready_get(node, now_ns, budget, &ready);
    *budget -= *budget > 0; /* a turn that did nothing costs one too */
    if (status < 0) {
        return status;
    }
    node->submitted = 0;
    send_messages(node, ready->messages, ready->message_count);
    return serve_rest(node);
}

kvr_status kvr_node_run(kvr_node *node, uint32_t budget)
{
    if (node == NULL || node->config.storage == NULL || node->config.clock == NULL) {
        return KVR_EINVAL;
    }
    if (node->calling) {
        return KVR_EREENTRANT;
    }
    if (node->closed) {
        return KVR_ESTOPPED;
    }
    uint32_t left = budget == 0 ? KVR__NODE_BUDGET : budget;
    submit_deferred(node);
    uint64_t now_ns = node->config.clock->now(node->config.clock_ctx); /* after what came before */
    kvr_status status = KVR_AGAIN;
    while (status == KVR_AGAIN && left > 0) {
        status = turn(node, now_ns, &left);
    }
    tell_changes(node);
    return node->failure != KVR_OK ? node->failure : status;
}
