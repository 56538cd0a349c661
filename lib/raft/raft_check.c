/* SPDX-License-Identifier: Apache-2.0 */
/* raft_check.c: the invariants of README.md, by number, of one state and between two (after
 * LogCabin's RaftConsensusInvariants). Called at every door in builds with -DKVR_CHECK, so a door
 * costs O(members); the log is walked whole with each new term, and by tests. */
#include "base/buffer.h"
#include "base/codec.h"
#include "raft_internal.h"

enum { TAIL_ENTRIES = 2 };

static void check_entries(const kvr__raft_log *log, uint64_t from)
{
    uint64_t term = 0;
    bool known = kvr__raft_log_term(log, from - 1, &term);
    KVR_ASSERT(known);
    uint64_t position = log->end_position;
    for (uint64_t i = from; i <= log->last_index; i++) {
        kvr_entry entry;
        kvr__raft_log_entry(log, i, &entry);
        const kvr__raft_log_item *item = &log->items[i & (log->item_capacity - 1)];
        if (i > from) {
            KVR_ASSERT(item->position == position);
        }
        KVR_ASSERT(item->term >= term);
        KVR_ASSERT(kvr__load_u64(entry.bytes.data + 8) == i);
        KVR_ASSERT(kvr__load_u64(entry.bytes.data + 16) == item->term);
        KVR_ASSERT(entry.bytes.data >= entry.buffer->data);
        KVR_ASSERT(entry.bytes.data + item->size <= entry.buffer->data + entry.buffer->size);
        position = item->position + item->size;
        term = item->term;
    }
    KVR_ASSERT(log->last_term == term);
    KVR_ASSERT(log->end_position == position);
}

static void check_log_ends(const kvr__raft_log *log)
{
    KVR_ASSERT(log->base_index <= log->last_index);
    KVR_ASSERT(log->last_index - log->base_index <= log->item_capacity);
    if (log->last_index == log->base_index) {
        KVR_ASSERT(log->last_term == log->base_term);
    }
}

void kvr__raft_log_check(const kvr__raft_log *log)
{
    check_log_ends(log);
    check_entries(log, log->base_index + 1);
}

/* 1. The order of indices. 2. What a follower commits is what it verified. */
static void check_indices(const kvr_raft *raft)
{
    const kvr__raft_log *log = &raft->log;
    check_log_ends(log);
    uint64_t entries = log->last_index - log->base_index;
    check_entries(log, log->last_index + 1 - (entries < TAIL_ENTRIES ? entries : TAIL_ENTRIES));
    KVR_ASSERT(raft->commit <= log->last_index);
    KVR_ASSERT(raft->applied <= raft->handed);
    KVR_ASSERT(raft->handed <= raft->commit);
    if (!raft->install_due && !raft->installing) {
        KVR_ASSERT(log->base_index <= raft->applied);
    }
    if (raft->role != KVR_ROLE_LEADER) {
        KVR_ASSERT(raft->commit <= raft->verified);
        KVR_ASSERT(raft->verified <= log->last_index);
        KVR_ASSERT(raft->acked <= raft->verified);
    }
}

/* 3. What is durable. 4. What memory lacks is in storage, and what storage lacks in a snapshot. */
static void check_durable(const kvr_raft *raft)
{
    const kvr__raft_store *store = &raft->store;
    KVR_ASSERT(store->durable_term <= raft->term);
    KVR_ASSERT(raft->log.last_term <= raft->term);
    KVR_ASSERT(store->durable_index >= raft->log.base_index);
    KVR_ASSERT(store->durable_index <= raft->log.last_index);
    if (store->append_token != 0) {
        KVR_ASSERT(store->append_last <= raft->log.last_index);
        KVR_ASSERT(store->piece_count > 0);
    } else {
        KVR_ASSERT(store->piece_count == 0);
    }
    KVR_ASSERT(store->first_index <= raft->log.base_index + 1);
    if (store->first_index > 1) {
        KVR_ASSERT(raft->snapshot.meta.index >= store->first_index - 1);
    }
}

/* 5. Roles. */
static void check_role(const kvr_raft *raft)
{
    switch (raft->role) {
    case KVR_ROLE_FOLLOWER:
        KVR_ASSERT(raft->leader != raft->config.member_id);
        break;
    case KVR_ROLE_PRECANDIDATE:
        KVR_ASSERT(raft->leader == 0);
        break;
    case KVR_ROLE_CANDIDATE:
        KVR_ASSERT(raft->leader == 0);
        KVR_ASSERT(raft->vote == raft->config.member_id);
        break;
    case KVR_ROLE_LEADER:
        KVR_ASSERT(raft->leader == raft->config.member_id);
        KVR_ASSERT(raft->vote == raft->config.member_id);
        KVR_ASSERT(kvr__raft_gate_is_open(raft));
        break;
    default:
        KVR_UNREACHABLE();
    }
}

/* 10. Quiet: nothing is due, whatever time passes. */
static void check_quiet(const kvr_raft *raft)
{
    if (raft->quiet && !raft->wake_due) {
        KVR_ASSERT(raft->leader != 0);
        KVR_ASSERT(raft->role == KVR_ROLE_LEADER || raft->role == KVR_ROLE_FOLLOWER);
        KVR_ASSERT(raft->reads.count == 0);
        KVR_ASSERT(raft->log.last_index == raft->commit);
    }
}

/* 6. Progress: match <= what the follower can have, match < next, the window holds what is under
 *    way. */
static void check_progress(const kvr_raft *raft, const kvr__raft_progress *progress)
{
    uint64_t last = 0;
    KVR_ASSERT(progress->match < progress->next);
    KVR_ASSERT(progress->match <= raft->log.last_index);
    KVR_ASSERT(progress->next <= raft->log.last_index + 1);
    KVR_ASSERT(progress->round <= raft->round);
    KVR_ASSERT(progress->lease_round <= progress->round);
    for (uint32_t i = 0; i < progress->inflight.count; i++) {
        uint64_t sent;
        memcpy(&sent, kvr__ring_at(&progress->inflight, i), sizeof sent);
        KVR_ASSERT(sent > last);
        KVR_ASSERT(sent > progress->match);
        KVR_ASSERT(sent < progress->next);
        last = sent;
    }
    if (progress->state != KVR__RAFT_REPLICATE) {
        KVR_ASSERT(progress->inflight.count == 0);
    }
    if (progress->state == KVR__RAFT_SNAPSHOT_STATE) {
        KVR_ASSERT(progress->next == progress->match + 1);
        KVR_ASSERT(progress->snapshot_index > progress->match);
    }
}

static void check_leader(const kvr_raft *raft)
{
    if (raft->role != KVR_ROLE_LEADER) {
        return;
    }
    for (uint32_t i = 0; i < raft->member_count; i++) {
        check_progress(raft, &raft->members[i].progress);
    }
    KVR_ASSERT(raft->lease.measured_round <= raft->round);
    KVR_ASSERT(raft->lease.fresh_round <= raft->round);
    KVR_ASSERT(raft->lease.index <= raft->log.last_index);
    KVR_ASSERT(!raft->lease.is_held || raft->lease.promise_ns > 0);
    const kvr__raft_member *self = kvr__raft_self(raft);
    if (self != NULL) {
        KVR_ASSERT(self->progress.match == raft->store.durable_index);
    }
}

/* 7. Configurations ascend; the last is in force. 8. Reads. */
static void check_rest(const kvr_raft *raft)
{
    KVR_ASSERT(raft->configurations.count > 0);
    for (uint32_t i = 0; i < raft->configurations.count; i++) {
        const kvr__raft_configured *configured = &raft->configurations.items[i];
        KVR_ASSERT(configured->index <= raft->log.last_index);
        if (i > 0) {
            KVR_ASSERT(configured->index > raft->configurations.items[i - 1].index);
        }
    }
    if (raft->removed) {
        KVR_ASSERT(raft->role == KVR_ROLE_FOLLOWER);
    }
    if (raft->self != UINT32_MAX) {
        KVR_ASSERT(raft->members[raft->self].id == raft->config.member_id);
    }
    KVR_ASSERT(raft->reads_assigned <= raft->reads.count);
    KVR_ASSERT(raft->round_confirmed <= raft->round);
    if (raft->leader == 0) {
        KVR_ASSERT(raft->reads.count == 0);
    }
    if (raft->role != KVR_ROLE_LEADER) {
        KVR_ASSERT(raft->lease_reads.count == 0);
    }
}

/* 11. A snapshot that is being received holds what the log has not, or its end is being written. */
static void check_incoming(const kvr_raft *raft)
{
    const kvr__raft_incoming *incoming = &raft->incoming;
    if (incoming->active) {
        KVR_ASSERT(incoming->configuration != NULL);
        KVR_ASSERT(incoming->offset <= incoming->meta.bytes);
        if (!incoming->last || incoming->token == 0) {
            KVR_ASSERT(incoming->meta.index > raft->commit);
        }
    } else {
        KVR_ASSERT(!incoming->chunk_waits);
        KVR_ASSERT(incoming->configuration == NULL);
    }
    if (!incoming->active && !incoming->stale) {
        KVR_ASSERT(incoming->chunk == NULL);
    }
}

/* 9. Between two checks: what may only grow, and what holds for a whole term. */
static void check_delta(kvr_raft *raft)
{
#ifdef KVR_CHECK
    KVR_ASSERT(raft->term >= raft->before.term);
    KVR_ASSERT(raft->commit >= raft->before.commit);
    KVR_ASSERT(raft->handed >= raft->before.handed);
    KVR_ASSERT(raft->applied >= raft->before.applied);
    if (raft->term == raft->before.term) {
        if (raft->before.vote != 0) {
            KVR_ASSERT(raft->vote == raft->before.vote);
        }
        if (raft->before.leader != 0 && raft->leader != 0) {
            KVR_ASSERT(raft->leader == raft->before.leader);
        }
        if (raft->before.role == KVR_ROLE_LEADER && raft->role == KVR_ROLE_LEADER) {
            KVR_ASSERT(raft->log.last_index >= raft->before.last_index);
        }
    }
    raft->before.term = raft->term;
    raft->before.vote = raft->vote;
    raft->before.commit = raft->commit;
    raft->before.handed = raft->handed;
    raft->before.applied = raft->applied;
    raft->before.leader = raft->leader;
    raft->before.last_index = raft->log.last_index;
    raft->before.role = raft->role;
#else
    (void)raft;
#endif
}

void kvr__raft_check(kvr_raft *raft)
{
    if (raft->role == KVR_ROLE_LOADING || raft->role == KVR_ROLE_FAILED) {
        return;
    }
    check_quiet(raft);
    check_indices(raft);
    check_durable(raft);
    check_role(raft);
    check_leader(raft);
    check_rest(raft);
    check_incoming(raft);
#ifdef KVR_CHECK
    if (raft->term != raft->before.term) {
        kvr__raft_log_check(&raft->log);
    }
#endif
    check_delta(raft);
}
