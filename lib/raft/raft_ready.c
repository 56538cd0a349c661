/* SPDX-License-Identifier: Apache-2.0 */
/* raft_ready.c: what there is to do now. Intake has set what is due; here time passes, the due
 * things become messages and requests, and all of it is shown. Each step can be repeated: if memory
 * ends in one, what was made stays and the next ready goes on. Nothing is sent while term or vote
 * are not durable. */
#include "base/array.h"
#include "base/buffer.h"
#include "raft_internal.h"

/* ------------------------------------------------------------------ time */

/* What was received since the last ready was received by now: a process that slept must not take
 * the silence for its peers'. */
static void stamp_heard(kvr_raft *raft)
{
    raft->heard_any = false;
    kvr__raft_lease_stamp(raft);
    if (raft->leader_heard) {
        raft->leader_heard = false;
        raft->leader_heard_ns = raft->now;
        kvr__raft_election_reset_timer(raft);
    }
    for (uint32_t i = 0; raft->role == KVR_ROLE_LEADER && i < raft->member_count; i++) {
        kvr__raft_progress *progress = &raft->members[i].progress;
        if (progress->heard) {
            progress->heard = false;
            progress->last_heard_ns = raft->now;
        }
    }
}

static void start_clock(kvr_raft *raft, uint64_t now_ns)
{
    raft->clock_started = true;
    raft->now = now_ns;
    raft->lease.start_ns = now_ns;
    raft->heartbeat_deadline = now_ns + raft->config.heartbeat_ns;
    kvr__raft_election_draw_timeout(raft);
}

static void pass_time(kvr_raft *raft, uint64_t now_ns)
{
    if (!raft->clock_started) {
        start_clock(raft, now_ns);
    }
    if (now_ns > raft->now) {
        raft->now = now_ns;
    }
    if (raft->wake_due) {
        kvr__raft_idle_awake(raft);
    }
    if (raft->heard_any) {
        stamp_heard(raft);
    }
    bool due = raft->now >= raft->heartbeat_deadline || raft->now >= raft->election_deadline;
    if ((due || raft->campaign) && raft->role != KVR_ROLE_LOADING) {
        kvr__raft_election_tick(raft);
    }
}

/* ------------------------------------------------------------------ messages */

static kvr_status make_leader_messages(kvr_raft *raft)
{
    kvr_status status = raft->send_due ? kvr__raft_replication_send(raft) : KVR_OK;
    if (status == KVR_OK && raft->reads.count + raft->lease_reads.count > 0) {
        status = kvr__raft_read_send(raft);
    }
    if (status == KVR_OK && raft->broadcast) {
        status = kvr__raft_replication_broadcast(raft);
    }
    if (status == KVR_OK && raft->handover.to != 0) {
        status = kvr__raft_handover_send(raft);
    }
    return status;
}

static kvr_status make_messages(kvr_raft *raft)
{
    if (raft->role == KVR_ROLE_LEADER) {
        return make_leader_messages(raft);
    }
    kvr_status status = raft->ack ? kvr__raft_replication_acknowledge(raft) : KVR_OK;
    if (status == KVR_OK && raft->heartbeat_reply) {
        status = kvr__raft_replication_answer_heartbeat(raft);
    }
    if (status == KVR_OK && raft->reads.count > 0) {
        status = kvr__raft_read_send(raft);
    }
    if (status == KVR_OK && raft->vote_round_due) {
        status = kvr__raft_election_send(raft);
    }
    return status;
}

/* ------------------------------------------------------------------ committed entries */

/* More is committed than was handed out, and no snapshot comes first. */
static bool may_hand_out(const kvr_raft *raft)
{
    return raft->commit > raft->handed && !raft->install_due && !raft->installing && !raft->witness;
}

static uint64_t handout_limit(const kvr_raft *raft)
{
    uint64_t last = raft->commit;
    uint64_t first = raft->handed + 1;
    if (last - raft->handed > KVR__RAFT_HANDED_MAX) {
        last = raft->handed + KVR__RAFT_HANDED_MAX;
    }
    uint64_t waiting = kvr__raft_log_bytes(&raft->log, raft->applied + 1, raft->handed);
    if (waiting >= raft->config.apply_bytes_max) {
        return raft->handed;
    }
    uint64_t fits = kvr__raft_log_run(&raft->log, first, raft->config.apply_bytes_max - waiting);
    if (fits == first && waiting > 0 &&
        kvr__raft_log_bytes(&raft->log, first, first) > raft->config.apply_bytes_max - waiting) {
        return raft->handed; /* too big to be handed out beside the others */
    }
    return fits < last ? fits : last;
}

/* Decodes handed+1..limit and holds a count of each buffer until advance. */
static kvr_status hand_out(kvr_raft *raft)
{
    uint64_t last = handout_limit(raft);
    bool one = last > raft->handed && KVR_BUGGIFY(&raft->mem, RAFT_HAND_ONE);
    last = one ? raft->handed + 1 : last;
    uint32_t count = (uint32_t)(last - raft->handed);
    if (count == 0) {
        return KVR_OK;
    }
    uint64_t first = raft->handed + 1;
    uint32_t pins = kvr__raft_log_buffers(&raft->log, first, last);
    if (!kvr__raft_grow(raft, KVR__MEM_MESSAGE, (void **)&raft->committed,
                        &raft->committed_capacity, count, sizeof *raft->committed) ||
        !kvr__raft_grow(raft, KVR__MEM_MESSAGE, (void **)&raft->committed_pins,
                        &raft->committed_pin_capacity, pins, sizeof(kvr_buf *))) {
        return KVR_ENOMEM;
    }
    const kvr_buf *previous = NULL;
    for (uint32_t i = 0; i < count; i++) {
        kvr_entry *entry = &raft->committed[i];
        kvr__raft_log_entry(&raft->log, first + i, entry);
        if (entry->buffer != previous) {
            previous = entry->buffer;
            KVR_ASSERT(raft->committed_pin_count < pins);
            raft->committed_pins[raft->committed_pin_count++] = kvr__buf_retain(entry->buffer);
        }
    }
    raft->handed = last;
    raft->hand_more = (one || count == KVR__RAFT_HANDED_MAX) && may_hand_out(raft);
    raft->ready.committed = raft->committed;
    raft->ready.committed_count = count;
    return KVR_OK;
}

/* ------------------------------------------------------------------ showing */

static void show_install(kvr_raft *raft)
{
    raft->install_due = false;
    raft->installing = true;
    raft->install_index = raft->snapshot.meta.index;
    raft->install_meta = raft->snapshot.meta;
    raft->install_pin = kvr_buf_retain(raft->snapshot.buffer);
    raft->ready.install = &raft->install_meta;
}

static void show_reads(kvr_raft *raft)
{
    kvr_raft_read *reads = raft->read_results;
    uint32_t capacity = raft->read_result_capacity;
    raft->ready.reads = reads;
    raft->ready.read_count = raft->read_result_count;
    raft->read_results = raft->shown_reads;
    raft->read_result_capacity = raft->shown_read_capacity;
    raft->shown_reads = reads;
    raft->shown_read_capacity = capacity;
    raft->read_result_count = 0;
}

static void show_traces(kvr_raft *raft)
{
    kvr_trace_event *traces = raft->traces;
    uint32_t capacity = raft->trace_capacity;
    raft->ready.traces = traces;
    raft->ready.trace_count = raft->trace_count;
    raft->ready.traces_lost = raft->traces_lost;
    raft->traces = raft->shown_traces;
    raft->trace_capacity = raft->shown_trace_capacity;
    raft->shown_traces = traces;
    raft->shown_trace_capacity = capacity;
    raft->trace_count = 0;
}

/* Nothing below can fail. */
static void show(kvr_raft *raft)
{
    kvr_raft_ready *ready = &raft->ready;
    ready->flags = (raft->role_flag ? (uint32_t)KVR_RAFT_ROLE_CHANGED : 0) |
                   (raft->loaded_flag ? (uint32_t)KVR_RAFT_LOADED : 0);
    raft->role_flag = false;
    raft->loaded_flag = false;
    ready->requests = raft->requests;
    ready->request_count = raft->request_count;
    if (raft->outbox.count > 0 && kvr__raft_gate_is_open(raft)) {
        kvr__raft_outbox_show(raft);
        ready->messages = raft->shown_outbox.messages;
        ready->message_count = raft->shown_outbox.count;
    }
    if (raft->read_result_count > 0) {
        show_reads(raft);
    }
    if (raft->trace_count > 0) {
        show_traces(raft);
    }
    if (raft->install_due) {
        show_install(raft);
    }
    if (raft->posts.count > 0) {
        kvr__raft_post_show(raft);
    }
    kvr__raft_idle_note(raft);
    raft->shown = true;
    raft->work = raft->hand_more || raft->send_due || raft->abdicates;
}

/* The results that wait move to the array that is shown now: the one that takes over must hold all
 * reads that may yet be refused. */
static kvr_status reserve_reads(kvr_raft *raft)
{
    return kvr__array_grow(&raft->mem, KVR__MEM_CALL, (void **)&raft->shown_reads,
                           &raft->shown_read_capacity, raft->reads.count + raft->lease_reads.count,
                           sizeof *raft->shown_reads);
}

static kvr_status make_loading(kvr_raft *raft)
{
    kvr_status status = kvr__raft_load_issue(raft);
    if (status == KVR_OK && raft->store.load_stage >= KVR__RAFT_LOAD_ENTRIES) {
        status = kvr__raft_store_issue(raft);
    }
    return status;
}

static kvr_status make_all(kvr_raft *raft)
{
    kvr_status status = KVR_OK;
    if (raft->role == KVR_ROLE_LOADING) {
        return make_loading(raft);
    }
    if (raft->shown_read_capacity < raft->reads.count + raft->lease_reads.count) {
        status = reserve_reads(raft);
    }
    if (raft->witness) {
        kvr__raft_witness_follow(raft);
    }
    if (status == KVR_OK && raft->change_due) {
        status = kvr__raft_change_run(raft);
    }
    if (status == KVR_OK && kvr__raft_gate_is_open(raft)) {
        status = make_messages(raft);
    }
    if (status == KVR_OK) {
        status = kvr__raft_store_issue(raft);
    }
    raft->hand_more = false;
    if (status == KVR_OK && may_hand_out(raft)) {
        status = hand_out(raft);
    }
    if (raft->log.end_position >= raft->evict_position) {
        kvr__raft_fetch_evict(raft);
    }
    return status;
}

static void show_messages(kvr_raft *raft)
{
    kvr__raft_outbox_show(raft);
    raft->ready.messages = raft->shown_outbox.messages;
    raft->ready.message_count = raft->shown_outbox.count;
}

/* A member that failed or stopped shows one thing more, if it led: its leadership may go on. */
static kvr_status show_last_words(kvr_raft *raft, const kvr_raft_ready **out_ready)
{
    if (!raft->last_words || raft->shown) {
        return raft->failed;
    }
    raft->last_words = false;
    raft->ready.flags = KVR_RAFT_ROLE_CHANGED;
    raft->ready.request_count = 0;
    show_messages(raft);
    raft->shown = true;
    *out_ready = &raft->ready;
    return KVR_OK;
}

kvr_status kvr_raft_ready_get(kvr_raft *raft, uint64_t now_ns, const kvr_raft_ready **out_ready)
{
    if (raft->failed != KVR_OK) {
        return show_last_words(raft, out_ready);
    }
    if (raft->shown) {
        return KVR_ESTATE;
    }
    pass_time(raft, now_ns);
    kvr_status status = make_all(raft);
    if (status != KVR_OK) {
        raft->work = true;
        KVR_CHECKED(kvr__raft_check(raft));
        return status;
    }
    show(raft);
    KVR_CHECKED(kvr__raft_check(raft));
    *out_ready = &raft->ready;
    return KVR_OK;
}

/* Counts say what an array holds, so only they need to go. */
static void forget_shown(kvr_raft_ready *ready)
{
    ready->message_count = 0;
    ready->committed_count = 0;
    ready->read_count = 0;
    ready->post_count = 0;
    ready->trace_count = 0;
    ready->install = NULL;
}

void kvr_raft_advance(kvr_raft *raft)
{
    if (!raft->shown) {
        return;
    }
    raft->shown = false;
    for (uint32_t i = 0; i < raft->committed_pin_count; i++) {
        kvr__buf_release(raft->committed_pins[i]);
    }
    raft->committed_pin_count = 0;
    if (raft->install_pin != NULL) {
        kvr_buf_release(raft->install_pin);
        raft->install_pin = NULL;
    }
    if (raft->ready.message_count > 0) {
        kvr__raft_outbox_advance(raft);
    }
    if (raft->ready.post_count > 0) {
        kvr__raft_post_advance(raft);
    }
#ifdef KVR_CHECK
    if (raft->ready.committed_count > 0) { /* lent memory is over */
        memset(raft->committed, KVR__MEM_POISON,
               raft->ready.committed_count * sizeof *raft->committed);
    }
    if (raft->request_count > 0) {
        memset(raft->requests, KVR__MEM_POISON, raft->request_count * sizeof *raft->requests);
    }
#endif
    raft->request_count = 0;
    forget_shown(&raft->ready);
    kvr__raft_idle_advance(raft);
    KVR_CHECKED(kvr__raft_check(raft));
}

/* ------------------------------------------------------------------ when */

bool kvr_raft_has_ready(const kvr_raft *raft)
{
    return raft->failed == KVR_OK ? raft->work : raft->last_words && !raft->shown;
}

uint64_t kvr_raft_deadline(const kvr_raft *raft)
{
    if (raft->failed != KVR_OK) {
        return raft->last_words ? raft->now : UINT64_MAX;
    }
    if (raft->work || !raft->clock_started) {
        return raft->now;
    }
    uint64_t deadline = UINT64_MAX;
    if (raft->store.full) {
        deadline = raft->store.retry_ns;
    }
    if (raft->role == KVR_ROLE_LOADING || raft->removed) {
        return deadline;
    }
    if (raft->lease_reads.count > 0) {
        return raft->now + 1; /* they wait for the clock to move */
    }
    bool repeats = raft->role != KVR_ROLE_FOLLOWER || raft->reads.count > 0;
    if (repeats && raft->heartbeat_deadline < deadline) {
        deadline = raft->heartbeat_deadline;
    }
    if (raft->role != KVR_ROLE_LEADER && raft->election_deadline < deadline) {
        deadline = raft->election_deadline;
    }
    return deadline;
}
