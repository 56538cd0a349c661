/* SPDX-License-Identifier: Apache-2.0 */
/* node_ready.c: all work of a node, in one fixed order: what intake left goes to raft; raft's ready
 * is taken; entries are applied; what came of it is shown. A ready costs one of raft, so a
 * proposal, its append and the messages about it share one turn. Raft's ready stays open until ours
 * is advanced: its arrays are shown as they are. Start at gather. */
#include "base/array.h"
#include "node_internal.h"

/* ------------------------------------------------------------------ what changes at once */

static void refresh_status(kvr_node *node)
{
    kvr_raft_status *status = &node->raft_status;
    uint64_t term = status->term;
    uint64_t leader = status->leader;
    status->size = sizeof *status;
    kvr_raft_get_status(node->raft, status);
    node->incarnation = status->incarnation;
    if (status->term != term || status->leader != leader) {
        kvr__calls_repropose(node);
        kvr__reads_retry(node, KVR__READS_UNCONFIRMED);
        kvr__question_repeat(node, true);
        kvr__changing_repeat(node);
        node->leasing.blocked_until = 0;
    }
    kvr__leasing_role(node);
    kvr__calls_transferred(node);
}

/* ------------------------------------------------------------------ the steps of gather */

static kvr_status first_error(kvr_status a, kvr_status b)
{
    return a < 0 ? a : b;
}

/* Hands to raft what waits. Each step goes on though another lacks memory. */
static kvr_status feed_raft(kvr_node *node, uint32_t *budget)
{
    kvr__calls_start(node);
    kvr__calls_transfer(node);
    kvr__calls_expire(node);
    kvr__reads_retry(node, KVR__READS_LATE);
    kvr__question_repeat(node, false);
    kvr__leasing_run(node);
    kvr__level_run(node);
    kvr_status status = kvr__calls_propose(node, budget);
    status = first_error(status, kvr__reads_begin(node));
    status = first_error(status, kvr__question_put(node));
    status = first_error(status, kvr__changing_run(node));
    status = first_error(status, kvr__question_post_answers(node));
    return first_error(status, kvr__exchange_run(node));
}

/* Takes over what raft's ready says. All that may fail comes first, so that it can be repeated. */
static kvr_status take_raft(kvr_node *node)
{
    const kvr_raft_ready *from = node->raft_ready;
    kvr_status status = KVR_OK;
    if (from->install != NULL) {
        status = kvr__installing_begin(node, from->install);
    }
    if (status == KVR_OK && from->committed_count > 0) {
        status = kvr__apply_take(node, from->committed, from->committed_count);
    }
    if (status != KVR_OK) {
        return status;
    }
    node->raft_taken = true;
    if ((from->flags & KVR_RAFT_LOADED) != 0) {
        node->loaded = true;
        kvr__exchange_tell(node);
    }
    refresh_status(node);
    for (uint32_t i = 0; i < from->read_count; i++) {
        kvr__reads_answer(node, &from->reads[i]);
    }
    for (uint32_t i = 0; i < from->post_count; i++) {
        kvr__post_receive(node, &from->posts[i]);
    }
    return KVR_OK;
}

static kvr_status look_at_raft(kvr_node *node, uint32_t *budget)
{
    if (!node->raft_shown) {
        kvr_status status = kvr_raft_ready_get(node->raft, node->now_ns, &node->raft_ready);
        if (status != KVR_OK) {
            return status;
        }
        node->raft_shown = true;
        node->raft_taken = false;
    }
    if (!node->raft_taken) {
        kvr_status status = take_raft(node);
        if (status != KVR_OK) {
            return status;
        }
    }
    uint32_t cost = node->raft_ready->message_count + node->raft_ready->request_count;
    *budget -= cost < *budget ? cost : *budget;
    return KVR_OK;
}

static kvr_status free_compacted(kvr_node *node, uint32_t *budget)
{
    bool may = node->apply.compacting && node->apply.stage == KVR__APPLY_IDLE &&
               node->snapshots.installing == NULL && *budget > 0;
    if (!may) {
        return KVR_OK;
    }
    uint32_t slice = *budget < 256 ? *budget : 256;
    kvr_status status = kvr_mvcc_compact_step(node->store, slice);
    *budget -= slice;
    node->apply.compacting = status != KVR_OK;
    return status == KVR_AGAIN ? KVR_OK : status;
}

/* However small the budget, and whatever used it up: each part does a little in each ready, so none
 * starves. */
static uint32_t *a_little(uint32_t *budget)
{
    *budget += *budget == 0;
    return budget;
}

/* Leases live by the leader's clock, and calls by its being missed. */
static void keep_awake(kvr_node *node)
{
    if (node->config.quiet_ns > 0) {
        int64_t lease; /* any: their ids may be negative */
        bool busy = node->calls.write_count + node->calls.other_count > 0 ||
                    node->snapshots.taking != NULL || node->snapshots.installing != NULL ||
                    kvr_lease_list(node->book, INT64_MIN, 1, &lease, 1) > 0;
        kvr_raft_keep_awake(node->raft, busy);
    }
}

static kvr_status change_state(kvr_node *node, uint32_t *budget)
{
    kvr_status status = kvr__apply_run(node, a_little(budget));
    status = first_error(status, kvr__installing_run(node, a_little(budget)));
    kvr__leasing_role(node);
    kvr__reads_finish(node);
    status = first_error(status, free_compacted(node, a_little(budget)));
    status = first_error(status, kvr__taking_run(node, a_little(budget)));
    keep_awake(node);
    return status;
}

/* Raft's requests are shown where they are, unless this room has one too. */
static kvr_status show_requests(kvr_node *node)
{
    kvr_node_ready *ready = &node->ready;
    uint32_t count = node->raft_ready->request_count;
    ready->requests = node->raft_ready->requests;
    ready->request_count = count;
    bool takes = kvr__taking_has_request(node);
    bool installs = kvr__installing_has_request(node);
    if (!takes && !installs) {
        return KVR_OK;
    }
    kvr_status status = kvr__array_grow(&node->mem, KVR__MEM_MESSAGE, (void **)&node->requests,
                                        &node->request_capacity, count + 2, sizeof *node->requests);
    if (status != KVR_OK) {
        return status; /* they are shown next time */
    }
    if (count > 0) {
        memcpy(node->requests, ready->requests, count * sizeof *node->requests);
    }
    if (takes) {
        kvr__taking_request(node, &node->requests[count++]);
    }
    if (installs) {
        kvr__installing_request(node, &node->requests[count++]);
    }
    ready->requests = node->requests;
    ready->request_count = count;
    return KVR_OK;
}

static void show_raft(kvr_node *node)
{
    kvr_node_ready *ready = &node->ready;
    ready->messages = node->raft_ready->messages;
    ready->message_count = node->raft_ready->message_count;
    ready->traces = node->raft_ready->traces;
    ready->trace_count = node->raft_ready->trace_count;
}

static kvr_status gather(kvr_node *node, uint32_t *budget)
{
    kvr_status status = KVR_OK;
    if (!node->raft_shown) {
        status = feed_raft(node, budget);
    }
    status = first_error(status, look_at_raft(node, budget));
    if (!node->raft_shown || !node->raft_taken) {
        return first_error(status, kvr__calls_show(node));
    }
    status = first_error(status, change_state(node, budget));
    show_raft(node);
    status = first_error(status, show_requests(node));
    status = first_error(status, kvr__watches_show(node, a_little(budget)));
    return first_error(status, kvr__calls_show(node));
}

/* ------------------------------------------------------------------ the door */

static bool is_empty(const kvr_node_ready *ready)
{
    return ready->request_count + ready->message_count + ready->completion_count +
               ready->batch_count + ready->trace_count ==
           0;
}

/* Raft has ended. If it led it has a message to send. */
static void show_last_words(kvr_node *node)
{
    if (node->raft_shown) {
        kvr_raft_advance(node->raft);
        node->raft_shown = false;
    }
    if (kvr_raft_ready_get(node->raft, node->now_ns, &node->raft_ready) == KVR_OK) {
        node->raft_shown = true;
        node->raft_taken = true;
        show_raft(node);
    }
}

/* A member that failed takes no further part, but for this. */
static kvr_status show_failed(kvr_node *node, const kvr_node_ready **out_ready)
{
    node->ready = (kvr_node_ready){0};
    show_last_words(node);
    if (node->ready.message_count == 0) {
        return node->failure;
    }
    node->shown = true;
    *out_ready = &node->ready;
    return KVR_OK;
}

/* After close only completions are left, and what raft says last. */
static kvr_status show_rest(kvr_node *node, const kvr_node_ready **out_ready)
{
    show_last_words(node);
    kvr_status status = kvr__calls_show(node);
    if (status != KVR_OK || node->ready.completion_count + node->ready.message_count == 0) {
        return status != KVR_OK ? status : KVR_ESTOPPED;
    }
    node->shown = true;
    *out_ready = &node->ready;
    return KVR_OK;
}

/* Nothing to show: the memory that lacks may be there later. What raft showed and was not taken
 * stays open. */
static kvr_status end_empty(kvr_node *node, kvr_status status)
{
    if (node->raft_shown && node->raft_taken) {
        kvr_raft_advance(node->raft);
        node->raft_shown = false;
    }
    if (status == KVR_ENOMEM) {
        node->retry_ns = node->now_ns + node->config.heartbeat_ns / 4;
        return status;
    }
    if (node->failure == KVR_OK) {
        (void)kvr__node_fail(node, status, kvr_raft_error(node->raft), 0);
    }
    return node->failure;
}

kvr_status kvr__ready_get(kvr_node *node, uint64_t now_ns, uint32_t *budget,
                          const kvr_node_ready **out_ready)
{
    if (node->shown) {
        return KVR_ESTATE;
    }
    if (node->closed) {
        return show_rest(node, out_ready);
    }
    if (node->failure != KVR_OK) {
        return show_failed(node, out_ready);
    }
    if (now_ns > node->now_ns) {
        node->now_ns = now_ns; /* a clock that steps back costs nothing but time */
    }
    node->retry_ns = 0;
    node->ready = (kvr_node_ready){0};
    kvr_status status = gather(node, budget);
    if (node->failure != KVR_OK) {
        status = node->failure;
    }
    bool is_fatal = kvr_status_is_fatal(status);
    if (status < 0 && (is_fatal || is_empty(&node->ready))) {
        return end_empty(node, status);
    }
    KVR_CHECKED(kvr__node_check(node));
    node->shown = true;
    *out_ready = &node->ready;
    return status < 0 || *budget == 0 ? KVR_AGAIN : KVR_OK;
}

kvr_status kvr_node_ready_get(kvr_node *node, uint64_t now_ns, uint32_t budget,
                              const kvr_node_ready **out_ready)
{
    if (node == NULL || out_ready == NULL) {
        return KVR_EINVAL;
    }
    if (node->calling) {
        return KVR_EREENTRANT;
    }
    uint32_t left = budget == 0 ? KVR__NODE_BUDGET : budget;
    kvr_status status = kvr__ready_get(node, now_ns, &left, out_ready);
    return status == KVR_OK && !node->closed && kvr__node_has_work(node) ? KVR_AGAIN : status;
}

void kvr_node_advance(kvr_node *node)
{
    if (node == NULL || node->calling || !node->shown) {
        return;
    }
    node->shown = false;
    kvr__calls_advance(node);
    kvr__watches_advance(node);
    if (node->raft_shown && node->raft_taken) {
        kvr_raft_advance(node->raft);
        node->raft_shown = false;
    }
    if (node->snapshots.taking == NULL && node->snapshots.installing == NULL) {
        kvr__array_free(&node->mem, KVR__MEM_MESSAGE, (void **)&node->requests,
                        &node->request_capacity, sizeof *node->requests);
    }
    node->ready = (kvr_node_ready){0};
}

/* ------------------------------------------------------------------ when */

/* True if a ready now would do or show something though no time passes. */
bool kvr__node_has_work(const kvr_node *node)
{
    if (node->closed || node->failure != KVR_OK) {
        return kvr_raft_has_ready(node->raft);
    }
    if (node->now_ns < node->retry_ns) {
        return false;
    }
    if (kvr_raft_has_ready(node->raft) || kvr__calls_have_work(node) || kvr__apply_has_work(node) ||
        kvr__leasing_has_work(node)) {
        return true;
    }
    if (node->apply.compacting || kvr__watches_have_work(node)) {
        return true;
    }
    if (node->hashes.judge || kvr__exchange_deadline(node) <= node->now_ns) {
        return true;
    }
    return kvr__taking_has_work(node) || kvr__installing_has_work(node) ||
           kvr__reads_deadline(node) == 0 || kvr__question_deadline(node) == 0 ||
           kvr__changing_deadline(node) == 0;
}

static uint64_t earlier(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

uint64_t kvr_node_deadline(const kvr_node *node)
{
    if (node == NULL || node->closed || node->failure != KVR_OK) {
        return UINT64_MAX;
    }
    if (node->retry_ns != 0) {
        return node->retry_ns;
    }
    uint64_t deadline = kvr_raft_deadline(node->raft);
    if (kvr__node_has_work(node)) {
        return 0;
    }
    deadline = earlier(deadline, kvr__calls_deadline(node));
    deadline = earlier(deadline, kvr__reads_deadline(node));
    deadline = earlier(deadline, kvr__question_deadline(node));
    deadline = earlier(deadline, kvr__changing_deadline(node));
    deadline = earlier(deadline, kvr__leasing_deadline(node));
    deadline = earlier(deadline, kvr__installing_deadline(node));
    deadline = earlier(deadline, kvr__exchange_deadline(node));
    if (node->snapshots.retry_ns > node->now_ns) {
        deadline = earlier(deadline, node->snapshots.retry_ns);
    }
    if (node->deferred.count > 0) {
        deadline = earlier(deadline, node->now_ns + node->config.heartbeat_ns);
    }
    return deadline;
}
