/* SPDX-License-Identifier: Apache-2.0 */
/* explore_hash.c: when two states are the same: all that a member's later steps depend on, by
 * value. Left out is what they do not depend on here: addresses, tokens, rounds (nobody reads), the
 * lease clock and free bytes, absolute times. Too much in the hash only costs states; too little
 * would hide some. Messages under way are a set. */
#include <string.h>

#include "base/codec.h"
#include "base/entry.h"
#include "explore.h"
#include "raft/raft_message.h"
#include "raft/raft_state.h"

uint64_t ex_mix(uint64_t hash, uint64_t value)
{
    hash = (hash ^ value) * 0x9fb21c651e98df25U;
    hash ^= hash >> 35;
    hash *= 0x9fb21c651e98df25U;
    return hash ^ hash >> 28;
}

static uint64_t hash_log(uint64_t hash, const kvr__raft_log *log)
{
    hash = ex_mix(hash, log->base_index << 32 | log->base_term);
    hash = ex_mix(hash, log->last_index);
    for (uint64_t i = log->base_index + 1; i <= log->last_index; i++) {
        hash = ex_mix(hash, kvr__raft_log_item_at(log, i)->term);
    }
    return hash;
}

static uint64_t hash_progress(uint64_t hash, const kvr__raft_member *member)
{
    const kvr__raft_progress *p = &member->progress;
    hash = ex_mix(hash, p->match << 32 | p->next);
    hash = ex_mix(hash, p->commit_sent << 32 | p->commit_held);
    hash = ex_mix(hash, (uint64_t)p->state << 56 | (uint64_t)p->probe_sent << 48 |
                            (uint64_t)p->chunk_sent << 40 | (uint64_t)p->fetching << 32 |
                            (uint64_t)member->vote << 24 | (uint64_t)p->heard << 16 |
                            p->inflight.count);
    return ex_mix(hash, p->snapshot_index << 32 | p->offset << 16 | (p->match == p->match_at_tick));
}

static uint64_t hash_raft(uint64_t hash, const ex_member *member)
{
    const kvr_raft *raft = member->raft;
    const kvr__raft_store *store = &raft->store;
    hash = ex_mix(hash, raft->term << 32 | raft->vote << 24 | raft->leader << 16 |
                            (uint64_t)raft->role << 8 | raft->campaign);
    hash = ex_mix(hash, raft->commit << 32 | raft->applied);
    hash = ex_mix(hash, raft->verified << 32 | raft->acked);
    hash = ex_mix(hash, raft->handed << 32 | store->durable_index);
    hash = ex_mix(hash, store->durable_term << 32 | store->durable_vote << 16 |
                            (uint64_t)(store->vote_token != 0) << 8 | (store->append_token != 0));
    hash = ex_mix(hash, store->append_first << 32 | store->append_last);
    hash = ex_mix(hash, store->first_index << 32 | store->discard_wanted);
    hash = ex_mix(hash, raft->snapshot.meta.index << 32 | raft->incoming.meta.index << 16 |
                            raft->incoming.offset);
    hash = ex_mix(hash, (uint64_t)raft->incoming.active << 40 | (uint64_t)raft->ack << 32 |
                            (uint64_t)raft->heartbeat_reply << 24 |
                            (uint64_t)raft->vote_round_due << 16 | (uint64_t)raft->send_due << 8 |
                            raft->chunk_due);
    /* whether it would refuse a prevote: it heard of a leader within an election timeout */
    hash = ex_mix(hash, member->now - raft->leader_heard_ns < raft->config.election_ns);
    hash = hash_log(hash, &raft->log);
    for (uint32_t i = 0; i < raft->member_count; i++) {
        hash = hash_progress(hash, &raft->members[i]);
    }
    return hash;
}

static uint64_t hash_disk(uint64_t hash, const ex_disk *disk)
{
    hash = ex_mix(hash, disk->term << 32 | disk->voted_for);
    hash = ex_mix(hash, disk->first << 32 | disk->last);
    hash = ex_mix(hash, disk->snapshot_index << 32 | disk->snapshot_term);
    for (uint64_t i = disk->first; i <= disk->last; i++) {
        hash = ex_mix(hash, disk->log[i].term);
    }
    return hash;
}

static uint64_t hash_request(uint64_t hash, const ex_request *request)
{
    hash = ex_mix(hash, (uint64_t)request->kind << 56 | (uint64_t)request->flags << 48 |
                            request->first << 24 | request->last);
    hash = ex_mix(hash, request->term << 32 | request->voted_for);
    hash = ex_mix(hash, request->snapshot_index << 32 | request->offset);
    for (uint32_t i = 0; i < request->entry_count; i++) {
        hash = ex_mix(hash, request->entries[i].term);
    }
    return hash;
}

/* ------------------------------------------------------------------ messages */

static uint64_t hash_entries(uint64_t hash, const kvr__raft_message *read)
{
    kvr_slice left = read->tail;
    kvr_entry entry;
    while (left.size > 0 && kvr__entry_read(left, true, &entry) == KVR_OK) {
        hash = ex_mix(hash, entry.term << 32 | entry.index);
        left.data += entry.bytes.size;
        left.size -= entry.bytes.size;
    }
    return hash;
}

static uint64_t hash_body(uint64_t hash, const kvr__raft_message *read)
{
    kvr__raft_append append;
    kvr__raft_append_reply reply;
    kvr__raft_heartbeat heartbeat;
    kvr__raft_heartbeat_reply beat_reply;
    switch (read->head.type) {
    case KVR__RAFT_APPEND:
        kvr__raft_message_read_append(read->body, &append);
        hash = ex_mix(hash, append.prev_index << 32 | append.prev_term << 16 | append.flags);
        hash = ex_mix(hash, append.commit);
        return hash_entries(hash, read);
    case KVR__RAFT_APPEND_REPLY:
        kvr__raft_message_read_append_reply(read->body, &reply);
        hash = ex_mix(hash, reply.index << 32 | reply.flags);
        return ex_mix(hash, reply.hint_index << 32 | reply.hint_term);
    case KVR__RAFT_HEARTBEAT:
        kvr__raft_message_read_heartbeat(read->body, &heartbeat);
        return ex_mix(hash, heartbeat.commit << 32 | heartbeat.committed << 16 | heartbeat.flags);
    case KVR__RAFT_HEARTBEAT_REPLY:
        kvr__raft_message_read_heartbeat_reply(read->body, &beat_reply);
        return ex_mix(hash, beat_reply.flags);
    case KVR__RAFT_PREVOTE:
    case KVR__RAFT_VOTE:
    case KVR__RAFT_PREVOTE_REPLY:
    case KVR__RAFT_VOTE_REPLY:
        return ex_mix(ex_mix(hash, kvr__load_u64(read->body)), kvr__load_u64(read->body + 8));
    default: {
        for (size_t i = 0; i + 8 <= read->head.length - KVR__RAFT_HEAD_SIZE; i += 8) {
            hash = ex_mix(hash, kvr__load_u64(read->body + i));
        }
        return hash;
    }
    }
}

static uint64_t hash_message(const ex_message *message)
{
    kvr__raft_message read;
    kvr_slice bytes = {message->bytes, message->size};
    if (kvr__raft_message_read(bytes, &read) != KVR_OK) {
        return 0;
    }
    uint64_t hash = ex_mix((uint64_t)message->from << 8 | message->to,
                           (uint64_t)read.head.type << 32 | read.head.term);
    return hash_body(hash, &read);
}

static uint64_t hash_past(uint64_t hash)
{
    const ex_past *past = &world.past;
    for (uint32_t i = 0; i < EX_TERM_MAX; i++) {
        hash = ex_mix(hash, (uint64_t)past->leaders[i] << 24 | (uint64_t)past->votes[i][0] << 16 |
                                (uint64_t)past->votes[i][1] << 8 | past->votes[i][2]);
    }
    for (uint64_t i = 1; i <= past->committed_last; i++) {
        hash = ex_mix(hash, past->committed[i] << 32 | past->since[i]);
    }
    return hash;
}

uint64_t ex_hash(void)
{
    uint64_t budget;
    memcpy(&budget, &world.left, sizeof budget);
    uint64_t hash = hash_past(ex_mix(1, budget));
    for (uint32_t i = 0; i < world.left.members; i++) {
        const ex_member *member = &world.members[i];
        hash = hash_disk(hash_raft(hash, member), &member->disk);
        hash = ex_mix(hash, member->chain);
        for (uint32_t j = 0; j < member->request_count; j++) {
            hash = hash_request(hash, &member->requests[j]);
        }
    }
    uint64_t set = 0;
    for (uint32_t i = 0; i < world.left.messages; i++) {
        set += world.messages[i].to == 0 ? 0 : hash_message(&world.messages[i]);
    }
    return ex_mix(hash, set);
}
