/* SPDX-License-Identifier: Apache-2.0 */
/* raft_election.c: who leads. Roles change here and nowhere else:
 *
 *   follower     -> precandidate   timeout, or asked for     [kvr__raft_election_campaign]
 *   precandidate -> candidate      majority would vote       [become_candidate] (thesis 9.6)
 *   follower     -> candidate      its leader asks for it    [kvr__raft_election_take_over]
 *   candidate    -> leader         majority did              [become_leader]
 *   leader       -> follower       hears no majority for an election timeout [check_quorum] (thesis
 *                6.2)
 *   any          -> follower       a leader, or a higher term [kvr__raft_election_follow]
 *
 * A pre-vote changes nothing at those who are asked. A candidate counts itself and asks others only
 * when its own term and vote are durable. */
#include "raft_internal.h"

static void set_role(kvr_raft *raft, uint8_t role, const char *name)
{
    raft->role = role;
    raft->role_flag = true;
    raft->work = true;
    kvr__raft_trace(raft, name, raft->log.last_index, raft->leader);
}

/* A new term forgets what was said and heard in the old one. The vote is forgotten with its term,
 * and only then (FAULTS 1). */
static void enter_term(kvr_raft *raft, uint64_t term)
{
    KVR_ASSERT(term > raft->term);
    raft->term = term;
    raft->vote = 0;
    KVR__RAFT_COUNT(raft, terms, 1);
    raft->round = 0;
    raft->round_confirmed = 0;
    raft->work = true;
    kvr__raft_outbox_clear(raft);
}

/* What a follower knows of its leader is void with the leader. */
static void forget_leader(kvr_raft *raft)
{
    raft->leader = 0;
    raft->quiet = false;
    raft->quieting = false;
    raft->leader_heard = false;
    raft->lease.fresh_round = 0;
    raft->ack = false;
    raft->heartbeat_reply = false;
    raft->verified = raft->commit;
    raft->acked = 0;
    kvr__raft_read_refuse_all(raft);
}

void kvr__raft_election_follow(kvr_raft *raft, uint64_t term, uint64_t leader)
{
    KVR_ASSERT(term >= raft->term);
    if (raft->role == KVR_ROLE_LEADER) {
        raft->lease_seen = kvr__raft_replication_lease_clock(raft);
        KVR__RAFT_COUNT(raft, transfers_done, raft->handover.told && term > raft->term);
    }
    forget_leader(raft);
    if (term > raft->term) {
        enter_term(raft, term);
    }
    raft->leader = leader;
    raft->broadcast = false;
    raft->abdicates = false;
    raft->send_due = false;
    raft->vote_round_due = false;
    kvr__raft_handover_reset(raft);
    raft->heartbeat_deadline = raft->now + raft->config.heartbeat_ns;
    kvr__raft_election_draw_timeout(raft);
    set_role(raft, KVR_ROLE_FOLLOWER, "become-follower");
}

/* From one to two times election_ns, drawn anew with each change of role (Raft 5.2). */
void kvr__raft_election_draw_timeout(kvr_raft *raft)
{
    uint64_t more = kvr__random_below(&raft->random, raft->config.election_ns);
    more = KVR_BUGGIFY(&raft->mem, RAFT_TIMEOUT_SHORT) ? 0 : more;
    raft->election_timeout_ns = raft->config.election_ns + more;
    kvr__raft_election_reset_timer(raft);
}

void kvr__raft_election_reset_timer(kvr_raft *raft)
{
    raft->election_deadline = raft->quiet ? UINT64_MAX : raft->now + raft->election_timeout_ns;
}

/* While this is true, votes are neither asked for nor given: a member that was cut off must not
 * disturb those who were not (Raft 6, last paragraph; thesis 4.2.3). */
bool kvr__raft_election_has_live_leader(const kvr_raft *raft)
{
    if (raft->role == KVR_ROLE_LEADER) {
        return true;
    }
    return raft->leader != 0 && (raft->quiet || raft->leader_heard ||
                                 raft->now - raft->leader_heard_ns < raft->config.election_ns);
}

/* ------------------------------------------------------------------ becoming leader */

static void clear_votes(kvr_raft *raft)
{
    for (uint32_t i = 0; i < raft->member_count; i++) {
        raft->members[i].vote = KVR__RAFT_VOTE_PENDING;
    }
}

void kvr__raft_election_campaign(kvr_raft *raft)
{
    raft->campaign = false;
    if (!kvr__raft_members_may_lead(raft)) {
        kvr__raft_election_follow(raft, raft->term, 0);
        return;
    }
    forget_leader(raft);
    kvr__raft_election_draw_timeout(raft);
    raft->heartbeat_deadline = raft->now + raft->config.heartbeat_ns;
    set_role(raft, KVR_ROLE_PRECANDIDATE, "become-precandidate");
    kvr__raft_handover_reset(raft);
    KVR__RAFT_COUNT(raft, campaigns, 1);
    clear_votes(raft);
    if (kvr__raft_self(raft) != NULL) { /* else it is on its way out and counts for nothing */
        kvr__raft_self(raft)->vote = KVR__RAFT_VOTE_WON;
    }
    raft->vote_round_due = true;
    kvr__raft_election_count(raft);
}

static kvr_status become_candidate(kvr_raft *raft)
{
    /* A leader's first act is an entry; room for it is found now, where failing is easy. */
    if (kvr__raft_log_room(&raft->log, KVR_ENTRY_HEADER_SIZE) == NULL) {
        return KVR_ENOMEM; /* the next timeout tries again */
    }
    forget_leader(raft);
    enter_term(raft, raft->term + 1);
    raft->vote = raft->config.member_id;
    raft->vote_round_due = false;
    kvr__raft_election_draw_timeout(raft);
    set_role(raft, KVR_ROLE_CANDIDATE, "become-candidate");
    KVR__RAFT_COUNT(raft, elections, 1);
    clear_votes(raft);
    return KVR_OK;
}

/* No pre-vote: the leader knows better than its followers whether they hear it. */
kvr_status kvr__raft_election_take_over(kvr_raft *raft, uint64_t round)
{
    KVR_ASSERT(raft->role == KVR_ROLE_FOLLOWER);
    if (!kvr__raft_members_may_lead(raft)) {
        return KVR_OK;
    }
    kvr_status status = become_candidate(raft);
    if (status == KVR_OK) {
        raft->handover.accepted = true;
        raft->handover.round = round;
    }
    return status;
}

/* The own vote counts, and may be told, from now on. */
void kvr__raft_election_vote_durable(kvr_raft *raft)
{
    if (raft->role == KVR_ROLE_CANDIDATE) {
        KVR_ASSERT(raft->vote == raft->config.member_id);
        kvr__raft_member *self = kvr__raft_self(raft);
        if (self != NULL) {
            self->vote = KVR__RAFT_VOTE_WON;
        }
        raft->vote_round_due = true;
        kvr__raft_election_count(raft);
    }
}

static void become_leader(kvr_raft *raft)
{
    KVR_ASSERT(raft->role == KVR_ROLE_CANDIDATE);
    KVR_ASSERT(kvr__raft_gate_is_open(raft));
    raft->leader = raft->config.member_id;
    raft->lease_base = raft->lease_seen;
    raft->lease_term = raft->term;
    raft->lease_begin_ns = raft->now;
    for (uint32_t i = 0; i < raft->member_count; i++) {
        kvr__raft_progress_reset(&raft->members[i].progress, raft->log.last_index, raft->now);
    }
    set_role(raft, KVR_ROLE_LEADER, "become-leader");
    kvr__raft_handover_reset(raft);
    KVR__RAFT_COUNT(raft, elections_won, 1);
    raft->heartbeat_deadline = raft->now + raft->config.heartbeat_ns;
    raft->election_deadline = UINT64_MAX; /* a leader has none */
    raft->broadcast = true;
    kvr__raft_replication_begin(raft);
    kvr__raft_change_begin(raft);
}

void kvr__raft_election_count(kvr_raft *raft)
{
    uint8_t result = kvr__raft_members_election(raft);
    if (result == KVR__RAFT_VOTE_LOST) {
        kvr__raft_election_follow(raft, raft->term, 0);
    } else if (result == KVR__RAFT_VOTE_WON && raft->role == KVR_ROLE_PRECANDIDATE) {
        (void)become_candidate(raft);
    } else if (result == KVR__RAFT_VOTE_WON) {
        become_leader(raft);
    }
}

/* ------------------------------------------------------------------ time */

static void check_quorum(kvr_raft *raft)
{
    if (kvr__raft_self(raft) != NULL) {
        kvr__raft_self(raft)->progress.last_heard_ns = raft->now;
    }
    uint64_t heard = kvr__raft_members_quorum(raft, KVR__RAFT_FIELD(last_heard_ns));
    if (raft->now - heard >= raft->config.election_ns) {
        kvr__raft_trace(raft, "lost-quorum", raft->commit, 0);
        KVR__RAFT_COUNT(raft, quorums_lost, 1);
        kvr__raft_election_follow(raft, raft->term, 0);
    }
}

/* At whole multiples of the interval, so that the heartbeats of all groups of a process are due
 * together and may travel together. */
static void leader_tick(kvr_raft *raft)
{
    uint64_t interval = raft->config.heartbeat_ns;
    if (KVR_BUGGIFY(&raft->mem, RAFT_HEARTBEAT_EARLY)) {
        interval -= interval / 8 * 7;
    } else if (KVR_BUGGIFY(&raft->mem, RAFT_HEARTBEAT_LATE)) {
        interval += interval / 2;
    }
    raft->heartbeat_deadline = raft->now - raft->now % interval + interval;
    check_quorum(raft);
    if (raft->role == KVR_ROLE_LEADER) {
        raft->broadcast = true;
        kvr__raft_lease_round(raft);
        kvr__raft_read_confirm(raft); /* a quorum of one needs no answer */
        kvr__raft_replication_tick(raft);
        kvr__raft_handover_tick(raft);
        kvr__raft_change_tick(raft);
        kvr__raft_idle_tick(raft);
    }
}

bool kvr__raft_election_may_campaign(const kvr_raft *raft)
{
    /* An only voter is no exception: who led before the change that made it one may hold a
     * lease. */
    return !kvr__raft_lease_is_promised(raft);
}

void kvr__raft_election_tick(kvr_raft *raft)
{
    if (raft->role == KVR_ROLE_LEADER) {
        raft->campaign = false;
        if (raft->now >= raft->heartbeat_deadline) {
            leader_tick(raft);
            kvr__raft_outbox_trim(raft);
        }
        return;
    }
    if (raft->campaign || raft->now >= raft->election_deadline) {
        if (kvr__raft_election_may_campaign(raft)) {
            kvr__raft_election_campaign(raft);
        } else { /* the own vote is promised too */
            raft->campaign = false;
            raft->election_deadline = kvr__raft_lease_promise_end(raft);
        }
    }
    if (raft->now >= raft->heartbeat_deadline) {
        raft->heartbeat_deadline = raft->now + raft->config.heartbeat_ns;
        raft->read_request_due = raft->reads.count > 0;
        if (raft->role == KVR_ROLE_PRECANDIDATE ||
            (raft->role == KVR_ROLE_CANDIDATE && kvr__raft_gate_is_open(raft))) {
            raft->vote_round_due = true;
        }
        kvr__raft_outbox_trim(raft);
    }
}

/* ------------------------------------------------------------------ asking */

/* Asks all voters that have not answered. Repeated with each heartbeat interval, since a request or
 * its answer may be lost (FAULTS 5). */
kvr_status kvr__raft_election_send(kvr_raft *raft)
{
    bool pre = raft->role == KVR_ROLE_PRECANDIDATE;
    kvr__raft_vote vote = {
        .last_index = raft->log.last_index,
        .last_term = raft->log.last_term,
        .flags = raft->handover.accepted ? KVR__RAFT_TRANSFERRED : 0,
        .round = raft->handover.round,
    };
    for (uint32_t i = 0; i < raft->member_count; i++) {
        const kvr__raft_member *member = &raft->members[i];
        if (i == raft->self || member->vote != KVR__RAFT_VOTE_PENDING ||
            !kvr__raft_members_may_vote(member)) {
            continue;
        }
        uint8_t *body = kvr__raft_outbox_open(
            raft, member->id, pre ? KVR__RAFT_PREVOTE : KVR__RAFT_VOTE, KVR__RAFT_VOTE_SIZE);
        if (body == NULL) {
            return KVR_ENOMEM;
        }
        kvr__raft_message_write_vote(body, &vote);
    }
    raft->vote_round_due = false;
    return KVR_OK;
}
