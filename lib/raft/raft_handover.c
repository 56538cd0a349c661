/* SPDX-License-Identifier: Apache-2.0 */
/* raft_handover.c: leadership handed to another member (thesis 3.10): because the host asks for it,
 * because this leader's disk hangs or is full, because a member of higher priority is in step, or
 * because this member ends. Proposals are refused from the beginning (FAULTS 14). When the target
 * has the whole log it is told to campaign at once; its vote requests say so, and those who hear
 * the leader answer them all the same. Given up after an election timeout.
 *
 * A message that tells it may arrive late, when the leader has gone on. So it names the leader's
 * last round, none begins until it is given up, and who has heard of a later one ignores it. */
#include "raft_internal.h"

enum { BACK_OFF_MAX = 6 }; /* doublings of the pause after a hand-over that came to nothing */

/* ------------------------------------------------------------------ whose disk is how */

static bool is_hung(const kvr_raft *raft, uint64_t flush_age_ns)
{
    return flush_age_ns >= raft->config.stall_ns;
}

static bool own_disk_is_bad(const kvr_raft *raft)
{
    return raft->store.full || is_hung(raft, kvr__raft_replication_flush_age(raft));
}

static bool disk_is_good(const kvr_raft *raft, const kvr__raft_progress *progress)
{
    return progress->free_bytes > 0 && progress->flush_age_ns < raft->config.stall_ns / 2;
}

/* ------------------------------------------------------------------ to whom */

/* It could lead, and spoke within the last `ns`. */
static bool may_take_over(const kvr_raft *raft, uint32_t i, uint64_t ns)
{
    const kvr__raft_member *member = &raft->members[i];
    return i != raft->self && member->role == KVR_MEMBER_VOTER &&
           raft->now - member->progress.last_heard_ns <= ns;
}

static bool is_better(const kvr_raft *raft, const kvr__raft_member *a, const kvr__raft_member *b)
{
    bool good = disk_is_good(raft, &a->progress);
    if (good != disk_is_good(raft, &b->progress)) {
        return good;
    }
    bool fresh = a->id != raft->handover.failed; /* not the same again if there is a choice */
    if (fresh != (b->id != raft->handover.failed)) {
        return fresh;
    }
    if (a->progress.priority != b->progress.priority) {
        return a->progress.priority > b->progress.priority;
    }
    return a->progress.match > b->progress.match;
}

/* Has all that is committed, and gets the rest as it comes. */
static bool is_in_step(const kvr_raft *raft, const kvr__raft_progress *progress)
{
    return progress->state == KVR__RAFT_REPLICATE && progress->match >= raft->commit;
}

/* For a hand-over that nobody asked for: who is in step, and better than this member. Else NULL. */
static const kvr__raft_member *find_successor(const kvr_raft *raft)
{
    const kvr__raft_member *best = NULL;
    bool bad = own_disk_is_bad(raft);
    for (uint32_t i = 0; i < raft->member_count; i++) {
        const kvr__raft_member *member = &raft->members[i];
        const kvr__raft_progress *progress = &member->progress;
        if (may_take_over(raft, i, 2 * raft->config.heartbeat_ns) && is_in_step(raft, progress) &&
            disk_is_good(raft, progress) && (bad || progress->priority > raft->config.priority) &&
            (best == NULL || is_better(raft, member, best))) {
            best = member;
        }
    }
    return best;
}

/* The best of those that were heard within an election timeout. NULL: none. */
static const kvr__raft_member *find_best(const kvr_raft *raft, uint64_t match_min)
{
    const kvr__raft_member *best = NULL;
    for (uint32_t i = 0; i < raft->member_count; i++) {
        const kvr__raft_member *member = &raft->members[i];
        if (may_take_over(raft, i, raft->config.election_ns) &&
            member->progress.match >= match_min &&
            (best == NULL || is_better(raft, member, best))) {
            best = member;
        }
    }
    return best;
}

/* ------------------------------------------------------------------ beginning and end */

static void begin_handover(kvr_raft *raft, uint64_t to)
{
    kvr__raft_handover *handover = &raft->handover;
    kvr_raft_wake(raft);
    handover->to = to;
    handover->told = false;
    handover->due = true;
    handover->deadline_ns = raft->now + raft->config.election_ns;
    KVR__RAFT_COUNT(raft, transfers, 1);
    raft->work = true;
    kvr__raft_trace(raft, "transfer", raft->log.last_index, to);
}

static void end_handover(kvr_raft *raft)
{
    kvr__raft_handover *handover = &raft->handover;
    uint32_t doublings = handover->failures < BACK_OFF_MAX ? handover->failures : BACK_OFF_MAX;
    handover->failures++;
    handover->failed = handover->to;
    handover->to = 0;
    handover->told = false;
    handover->retry_ns = raft->now + (2 * raft->config.election_ns << doublings);
    KVR__RAFT_COUNT(raft, transfers_given_up, 1);
    raft->work = true;
    kvr__raft_trace(raft, "transfer-given-up", raft->log.last_index, handover->failed);
}

void kvr__raft_handover_reset(kvr_raft *raft)
{
    raft->handover = (kvr__raft_handover){.retry_ns = raft->now + raft->config.election_ns};
}

kvr_status kvr_raft_transfer_leader(kvr_raft *raft, uint64_t to)
{
    if (raft->failed != KVR_OK) {
        return raft->failed;
    }
    if (raft->role != KVR_ROLE_LEADER) {
        return KVR_ENOLEADER;
    }
    if (to == raft->config.member_id) {
        return KVR_OK;
    }
    const kvr__raft_member *member =
        to == 0 ? find_best(raft, raft->commit) : kvr__raft_members_find(raft, to);
    if (member == NULL || member->role != KVR_MEMBER_VOTER) {
        return KVR_ENOTFOUND;
    }
    if (raft->handover.to == 0) {
        begin_handover(raft, member->id);
    } else if (to != 0 && to != raft->handover.to) {
        return KVR_EBUSY;
    }
    KVR_CHECKED(kvr__raft_check(raft));
    return KVR_OK;
}

/* With each heartbeat of a leader. */
void kvr__raft_handover_tick(kvr_raft *raft)
{
    kvr__raft_handover *handover = &raft->handover;
    if (handover->to != 0) {
        const kvr__raft_member *member = kvr__raft_members_find(raft, handover->to);
        bool possible = member != NULL && member->role == KVR_MEMBER_VOTER;
        if (!possible || raft->now >= handover->deadline_ns) {
            end_handover(raft);
        } else {
            handover->due = true; /* the last one may be lost */
        }
        return;
    }
    if (raft->now >= handover->retry_ns && kvr__raft_read_own_term_committed(raft)) {
        const kvr__raft_member *successor = find_successor(raft);
        if (successor != NULL) {
            begin_handover(raft, successor->id);
        }
    }
}

/* ------------------------------------------------------------------ telling, and being told */

static kvr_status tell_successor(kvr_raft *raft, uint64_t to)
{
    uint8_t *body = kvr__raft_outbox_open(raft, to, KVR__RAFT_TRANSFER, KVR__RAFT_TRANSFER_SIZE);
    if (body == NULL) {
        return KVR_ENOMEM;
    }
    kvr__raft_message_write_transfer(body, raft->round);
    kvr__raft_lease_give_up(raft);
    return KVR_OK;
}

/* Called by each ready of a leader that hands over. */
kvr_status kvr__raft_handover_send(kvr_raft *raft)
{
    kvr__raft_handover *handover = &raft->handover;
    const kvr__raft_member *member = kvr__raft_members_find(raft, handover->to);
    if (!handover->due || member == NULL || member->progress.match < raft->log.last_index) {
        return KVR_OK;
    }
    kvr_status status = tell_successor(raft, member->id);
    if (status == KVR_OK) {
        handover->told = true;
        handover->due = false;
    }
    return status;
}

/* A leader that goes tells the best member not to wait for an election timeout. Nothing is lost if
 * this is: it is a hint. */
bool kvr__raft_handover_farewell(kvr_raft *raft)
{
    const kvr__raft_member *best = find_best(raft, raft->commit);
    return best != NULL && tell_successor(raft, best->id) == KVR_OK;
}

/* A leader that ends: what was not sent is dropped, and that is said instead (FAULTS 2: term and
 * vote are durable, and it says nothing else). */
void kvr__raft_handover_last_words(kvr_raft *raft)
{
    kvr__raft_outbox_clear(raft);
    raft->last_words = raft->role == KVR_ROLE_LEADER && kvr__raft_handover_farewell(raft);
}

kvr_status kvr__raft_recv_transfer(kvr_raft *raft, const kvr__raft_message *message)
{
    uint64_t round = kvr__raft_message_read_transfer(message->body);
    if (raft->role != KVR_ROLE_FOLLOWER || message->head.term != raft->term ||
        message->head.from != raft->leader || round < raft->round ||
        kvr__raft_lease_is_starting(raft)) {
        return KVR_OK; /* late: the leader went on, or is another */
    }
    return kvr__raft_election_take_over(raft, round);
}

/* True if the vote request follows from a hand-over by the newest leader this member heard of, and
 * it heard nothing of it since. */
bool kvr__raft_handover_is_meant(const kvr_raft *raft, uint64_t asked_term,
                                 const kvr__raft_vote *vote)
{
    bool leads = raft->role == KVR_ROLE_LEADER;
    uint64_t term = leads ? raft->term : raft->lease.heard_term;
    uint64_t round = leads ? raft->round : raft->lease.heard_round;
    if ((vote->flags & KVR__RAFT_TRANSFERRED) == 0 || asked_term <= term ||
        kvr__raft_lease_is_starting(raft)) {
        return false;
    }
    return asked_term - 1 > term || vote->round >= round;
}
