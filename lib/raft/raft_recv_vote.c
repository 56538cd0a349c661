/* SPDX-License-Identifier: Apache-2.0 */
/* raft_recv_vote.c: requests for votes and pre-votes, and their answers. In every message the
 * head's term is the sender's own; a pre-vote asks about the term after it. So a pre-vote moves no
 * term, and its refusal tells a candidate that is behind which term the others are in (FAULTS
 * 7). */
#include "raft_internal.h"

static kvr_status send_answer(kvr_raft *raft, const kvr__raft_message *message, uint64_t asked_term,
                              bool granted)
{
    bool pre = message->head.type == KVR__RAFT_PREVOTE;
    uint8_t *body = kvr__raft_outbox_open(raft, message->head.from,
                                          pre ? KVR__RAFT_PREVOTE_REPLY : KVR__RAFT_VOTE_REPLY,
                                          KVR__RAFT_VOTE_REPLY_SIZE);
    if (body == NULL) {
        return KVR_ENOMEM;
    }
    kvr__raft_vote_reply reply = {
        .asked_term = asked_term,
        .flags = granted ? KVR__RAFT_GRANTED : 0,
    };
    kvr__raft_message_write_vote_reply(body, &reply);
    return KVR_OK;
}

/* Raft 5.4.1: the later last term, or the longer log of the same. */
static bool is_up_to_date(const kvr_raft *raft, const kvr__raft_vote *vote)
{
    return vote->last_term > raft->log.last_term ||
           (vote->last_term == raft->log.last_term && vote->last_index >= raft->log.last_index);
}

static kvr_status answer_prevote(kvr_raft *raft, const kvr__raft_message *message,
                                 const kvr__raft_vote *vote)
{
    uint64_t asked = message->head.term + 1;
    bool free = asked > raft->term ||
                (asked == raft->term &&
                 (raft->vote == message->head.from || (raft->vote == 0 && raft->leader == 0)));
    return send_answer(raft, message, asked, free && is_up_to_date(raft, vote));
}

static kvr_status answer_vote(kvr_raft *raft, const kvr__raft_message *message,
                              const kvr__raft_vote *vote)
{
    uint64_t asked = message->head.term;
    if (asked > raft->term) {
        kvr__raft_election_follow(raft, asked, 0);
    }
    uint64_t from = message->head.from;
    bool free = asked == raft->term && (raft->vote == 0 || raft->vote == from);
    bool granted = free && is_up_to_date(raft, vote);
    if (granted) {
        if (raft->role != KVR_ROLE_FOLLOWER) {
            KVR_ASSERT(raft->role == KVR_ROLE_PRECANDIDATE); /* a candidate has voted */
            kvr__raft_election_follow(raft, raft->term, 0);
        }
        raft->vote = from; /* the answer waits until this is durable */
        raft->work = true;
        kvr__raft_election_reset_timer(raft);
        kvr__raft_trace(raft, "vote", raft->log.last_index, from);
        KVR__RAFT_COUNT(raft, votes_granted, 1);
    }
    return send_answer(raft, message, asked, granted);
}

kvr_status kvr__raft_recv_vote(kvr_raft *raft, const kvr__raft_message *message)
{
    kvr__raft_vote vote;
    kvr__raft_message_read_vote(message->body, &vote);
    bool pre = message->head.type == KVR__RAFT_PREVOTE;
    if ((!pre && message->head.term == 0) || vote.last_term > message->head.term) {
        return kvr__raft_recv_bad(raft);
    }
    if (kvr__raft_members_find(raft, message->head.from) == NULL) {
        kvr__raft_change_tell_gone(raft, message->head.from);
    }
    bool meant = !pre && kvr__raft_handover_is_meant(raft, message->head.term, &vote);
    bool bound = kvr__raft_election_has_live_leader(raft) || kvr__raft_lease_is_promised(raft);
    if (bound && !meant) {
        return KVR_OK; /* not even its term is looked at */
    }
    return pre ? answer_prevote(raft, message, &vote) : answer_vote(raft, message, &vote);
}

kvr_status kvr__raft_recv_vote_reply(kvr_raft *raft, const kvr__raft_message *message)
{
    kvr__raft_vote_reply reply;
    kvr__raft_message_read_vote_reply(message->body, &reply);
    kvr__raft_member *member = kvr__raft_members_find(raft, message->head.from);
    if (member == NULL || !kvr__raft_members_may_vote(member)) {
        return KVR_OK;
    }
    bool granted = (reply.flags & KVR__RAFT_GRANTED) != 0;
    if (!granted && message->head.term > raft->term) {
        kvr__raft_election_follow(raft, message->head.term, 0);
        return KVR_OK;
    }
    bool pre = message->head.type == KVR__RAFT_PREVOTE_REPLY;
    bool expected = pre ? raft->role == KVR_ROLE_PRECANDIDATE && reply.asked_term == raft->term + 1
                        : raft->role == KVR_ROLE_CANDIDATE && reply.asked_term == raft->term;
    if (!expected || member->vote != KVR__RAFT_VOTE_PENDING) {
        return KVR_OK; /* late or repeated */
    }
    member->vote = granted ? KVR__RAFT_VOTE_WON : KVR__RAFT_VOTE_LOST;
    kvr__raft_election_count(raft);
    return KVR_OK;
}
