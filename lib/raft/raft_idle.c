/* SPDX-License-Identifier: Apache-2.0 */
/* raft_idle.c: a member with nothing to do. It gives back what it does not need, so that a process
 * may hold ten thousand of them; and if so configured its group goes quiet, as in CockroachDB:
 *
 *   awake -> quieting  leader: all members are level, and nothing happened [kvr__raft_idle_tick]
 *   awake -> quiet     follower: the leader asked, and it is level too    [kvr__raft_idle_beat]
 *   quieting -> quiet  leader: all members are                           [kvr__raft_idle_answer]
 *   any -> awake       whatever is said or heard but a heartbeat         [kvr_raft_wake]
 *
 * Being quiet is silence, never a promise: a vote that is asked for wakes, and the silence of a
 * dead leader counts from then on. */
#include "base/array.h"
#include "raft_internal.h"

enum { IDLE_HEARTBEATS = 2 };

void kvr__raft_idle_note(kvr_raft *raft)
{
    const kvr_raft_ready *ready = &raft->ready;
    if (raft->request_count > 0 || ready->committed_count > 0 || ready->read_count > 0 ||
        ready->post_count > 0 || ready->install != NULL) {
        raft->busy_ns = raft->now;
    }
}

static void trim_reads(kvr_raft *raft)
{
    if (raft->reads.count + raft->lease_reads.count > 0 || raft->read_result_count > 0) {
        return;
    }
    kvr__ring_release(&raft->reads);
    kvr__ring_release(&raft->lease_reads);
    kvr__array_free(&raft->mem, KVR__MEM_CALL, (void **)&raft->read_results,
                    &raft->read_result_capacity, sizeof *raft->read_results);
    kvr__array_free(&raft->mem, KVR__MEM_CALL, (void **)&raft->shown_reads,
                    &raft->shown_read_capacity, sizeof *raft->shown_reads);
}

static void trim_traces(kvr_raft *raft)
{
    if (raft->trace_count > 0) {
        return;
    }
    kvr__array_free(&raft->mem, KVR__MEM_MESSAGE, (void **)&raft->traces, &raft->trace_capacity,
                    sizeof *raft->traces);
    kvr__array_free(&raft->mem, KVR__MEM_MESSAGE, (void **)&raft->shown_traces,
                    &raft->shown_trace_capacity, sizeof *raft->shown_traces);
}

void kvr__raft_idle_release(kvr_raft *raft)
{
    KVR_ASSERT(!raft->shown);
    kvr__mem *mem = &raft->mem;
    kvr__array_free(mem, KVR__MEM_MESSAGE, (void **)&raft->requests, &raft->request_capacity,
                    sizeof *raft->requests);
    kvr__array_free(mem, KVR__MEM_MESSAGE, (void **)&raft->committed, &raft->committed_capacity,
                    sizeof *raft->committed);
    kvr__array_free(mem, KVR__MEM_MESSAGE, (void **)&raft->committed_pins,
                    &raft->committed_pin_capacity, sizeof(kvr_buf *));
    trim_reads(raft);
    trim_traces(raft);
    kvr__raft_members_trim(raft);
    if (raft->posts.count == 0) {
        kvr__raft_post_release(raft);
    }
    if (raft->outbox.count == 0) {
        kvr__raft_outbox_release(raft);
    }
}

void kvr__raft_idle_advance(kvr_raft *raft)
{
    if (raft->role != KVR_ROLE_LOADING &&
        raft->now - raft->busy_ns > IDLE_HEARTBEATS * raft->config.heartbeat_ns) {
        kvr__raft_idle_release(raft);
    }
}

/* ------------------------------------------------------------------ quiet */

/* Nothing is under way here, and all that this member has is committed, durable and applied. */
static bool is_level(const kvr_raft *raft)
{
    const uint64_t last = raft->log.last_index;
    return raft->config.quiet_ns > 0 && !raft->keep_awake && raft->commit == last &&
           raft->applied == last && raft->store.durable_index == last &&
           raft->reads.count + raft->lease_reads.count == 0 && raft->configurations.count == 1 &&
           !raft->joint && !raft->incoming.active && kvr__raft_gate_is_open(raft);
}

static bool are_level(const kvr_raft *raft)
{
    for (uint32_t i = 0; i < raft->member_count; i++) {
        const kvr__raft_progress *progress = &raft->members[i].progress;
        if (i != raft->self &&
            (progress->state != KVR__RAFT_REPLICATE || progress->match != raft->log.last_index ||
             progress->commit_sent < raft->commit ||
             raft->now - progress->last_heard_ns >= raft->config.election_ns)) {
            return false;
        }
    }
    return true;
}

void kvr__raft_idle_tick(kvr_raft *raft)
{
    raft->quieting = is_level(raft) && raft->handover.to == 0 &&
                     kvr__raft_read_own_term_committed(raft) &&
                     raft->now - raft->busy_ns >= raft->config.quiet_ns && are_level(raft);
    for (uint32_t i = 0; i < raft->member_count; i++) {
        raft->members[i].progress.quiet = false;
    }
    if (raft->quieting && raft->member_count == 1) {
        kvr__raft_idle_answer(raft, &raft->members[0].progress, true);
    }
}

/* What this member heard of the leader it had heard before; only that it is to be quiet is new. */
void kvr__raft_idle_beat(kvr_raft *raft, const kvr__raft_heartbeat *heartbeat)
{
    bool asked = (heartbeat->flags & KVR__RAFT_QUIET) != 0;
    if (!asked || !is_level(raft) || heartbeat->commit != raft->commit) {
        kvr_raft_wake(raft);
    } else if (!raft->quiet) {
        raft->quiet = true;
        kvr__raft_trace(raft, "quiet", raft->commit, raft->leader);
    }
}

void kvr__raft_idle_answer(kvr_raft *raft, kvr__raft_progress *progress, bool is_quiet)
{
    progress->quiet = is_quiet;
    bool all = raft->quieting && is_level(raft);
    for (uint32_t i = 0; i < raft->member_count; i++) {
        all = all && (i == raft->self || raft->members[i].progress.quiet);
    }
    if (all) {
        raft->quieting = false;
        raft->quiet = true;
        raft->quiet_since_ns = raft->now;
        raft->broadcast = false;
        raft->heartbeat_deadline = UINT64_MAX;
        kvr__raft_trace(raft, "quiet", raft->commit, raft->leader);
    }
}

void kvr_raft_wake(kvr_raft *raft)
{
    raft->quieting = false;
    if (raft->quiet && !raft->wake_due) {
        raft->wake_due = true;
        raft->work = true;
    }
}

void kvr_raft_keep_awake(kvr_raft *raft, uint8_t awake)
{
    raft->keep_awake = awake != 0;
    if (raft->keep_awake) {
        kvr_raft_wake(raft);
    }
}

/* From now on silence counts again: that of the leader, and for it that of the others. */
void kvr__raft_idle_awake(kvr_raft *raft)
{
    raft->wake_due = false;
    raft->quiet = false;
    raft->busy_ns = raft->now;
    if (raft->role == KVR_ROLE_LEADER) {
        for (uint32_t i = 0; i < raft->member_count; i++) {
            raft->members[i].progress.last_heard_ns = raft->now;
        }
        raft->lease_begin_ns += raft->now - raft->quiet_since_ns;
        raft->broadcast = true;
        raft->heartbeat_deadline = raft->now + raft->config.heartbeat_ns;
    } else {
        raft->leader_heard_ns = raft->now;
        kvr__raft_election_reset_timer(raft);
    }
    kvr__raft_trace(raft, "awake", raft->commit, raft->leader);
}
