/* SPDX-License-Identifier: Apache-2.0 */
/* raft_recv_append.c: entries and heartbeats of the leader, and the answers to them. `verified` is
 * the one idea: the index up to which this log is known to match that of this term's leader. It
 * only grows within a term, so a message that is late or repeated can neither truncate nor commit
 * what it did not prove (FAULTS 18, 26), and one cumulative answer serves many appends. Raft
 * 5.3. */
#include "base/codec.h"
#include "base/entry.h"
#include "raft_internal.h"

kvr_status kvr__raft_recv_bad(kvr_raft *raft)
{
    raft->bad_messages++;
    KVR__RAFT_COUNT(raft, messages_bad, 1);
    return KVR_ECORRUPT;
}

/* ------------------------------------------------------------------ who speaks */

/* A deposed leader learns of the new term from a refusal; so does one that must step down because
 * this member has come to a higher term on its own (FAULTS 7, second half). */
static void answer_stale(kvr_raft *raft, uint64_t to)
{
    uint8_t *body =
        kvr__raft_outbox_open(raft, to, KVR__RAFT_APPEND_REPLY, KVR__RAFT_APPEND_REPLY_SIZE);
    if (body != NULL) {
        kvr__raft_append_reply reply = {.flags = KVR__RAFT_REFUSED, .free_bytes = UINT64_MAX};
        kvr__raft_message_write_append_reply(body, &reply);
    }
}

bool kvr__raft_recv_from_leader(kvr_raft *raft, const kvr__raft_message *message)
{
    uint64_t from = message->head.from;
    if (message->head.term < raft->term) {
        answer_stale(raft, from);
        return false;
    }
    bool same_term = message->head.term == raft->term;
    if (same_term && raft->leader != 0 && raft->leader != from) {
        (void)kvr__raft_recv_bad(raft); /* a second leader of one term */
        return false;
    }
    if (!same_term || raft->role != KVR_ROLE_FOLLOWER || raft->leader != from) {
        kvr__raft_election_follow(raft, message->head.term, from);
    }
    raft->leader_heard = true;
    raft->heard_any = true;
    kvr__raft_lease_heard(raft, 0);
    return true;
}

kvr__raft_member *kvr__raft_recv_from_follower(kvr_raft *raft, const kvr__raft_message *message)
{
    kvr__raft_member *member = kvr__raft_members_find(raft, message->head.from);
    if (member == NULL) {
        kvr__raft_change_tell_gone(raft, message->head.from);
        return NULL;
    }
    if (message->head.term < raft->term) {
        return NULL;
    }
    if (message->head.term > raft->term) {
        kvr__raft_election_follow(raft, message->head.term, 0);
        return NULL;
    }
    if (raft->role != KVR_ROLE_LEADER) {
        return NULL;
    }
    member->progress.heard = true;
    raft->heard_any = true;
    return member;
}

/* ------------------------------------------------------------ entries: judged before any effect */

/* All that can be wrong with an append without looking at the own log. *out_members becomes the
 * largest number of members in a configuration among its entries. */
static bool append_is_sound(const kvr_raft *raft, const kvr__raft_message *message,
                            const kvr__raft_append *append, uint32_t *out_members)
{
    uint64_t term = append->prev_term;
    kvr_slice rest = message->tail;
    *out_members = 0;
    if (message->head.term == 0 || append->prev_term > message->head.term ||
        (append->prev_index == 0) != (append->prev_term == 0) ||
        append->prev_index > UINT64_MAX - append->entry_count) {
        return false;
    }
    for (uint32_t i = 0; i < append->entry_count; i++) {
        kvr_entry entry;
        if (kvr__entry_read(rest, true, &entry) != KVR_OK ||
            entry.index != append->prev_index + 1 + i || entry.term < term || entry.term == 0 ||
            entry.term > message->head.term ||
            ((entry.flags & KVR_ENTRY_STUB) != 0 && !raft->witness)) {
            return false;
        }
        if (entry.kind == KVR_ENTRY_CONFIG) {
            uint32_t count = 0;
            if (kvr__raft_configuration_verify(entry.command, &count) != KVR_OK) {
                return false;
            }
            *out_members = count > *out_members ? count : *out_members;
        }
        term = entry.term;
        rest.data += entry.bytes.size;
        rest.size -= entry.bytes.size;
    }
    return rest.size == 0;
}

/* ------------------------------------------------------------------ entries: their effect */

/* What the effect needs of an entry that was verified. */
typedef struct entry_head {
    uint64_t term;
    uint32_t size;
    uint8_t kind;
} entry_head;

static entry_head read_entry_head(const uint8_t *p)
{
    return (entry_head){
        .term = kvr__load_u64(p + 16),
        .size = kvr__load_u16(p) + kvr__load_u32(p + 32),
        .kind = p[3],
    };
}

static kvr_status refuse(kvr_raft *raft, const kvr__raft_append *append)
{
    uint8_t *body = kvr__raft_outbox_open(raft, raft->leader, KVR__RAFT_APPEND_REPLY,
                                          KVR__RAFT_APPEND_REPLY_SIZE);
    if (body == NULL) {
        return KVR_ENOMEM;
    }
    kvr__raft_append_reply reply = {
        .index = append->prev_index,
        .hint_index = kvr__raft_log_conflict(&raft->log, append->prev_index, append->prev_term),
        .round = raft->round,
        .free_bytes = kvr__raft_store_room(raft),
        .flags = KVR__RAFT_REFUSED,
    };
    bool known = kvr__raft_log_term(&raft->log, reply.hint_index, &reply.hint_term);
    KVR_ASSERT(known);
    kvr__raft_message_write_append_reply(body, &reply);
    return KVR_OK;
}

/* Removes the entries from `from` on, and with them configurations and what a flush under way would
 * count. */
static void truncate_log(kvr_raft *raft, uint64_t from)
{
    /* Raft 5.4.3: a committed entry is in every later leader's log */
    KVR_ASSERT(from > raft->commit);
    KVR_ASSERT(from > raft->verified);
    KVR__RAFT_COUNT(raft, entries_truncated, raft->log.last_index + 1 - from);
    kvr__raft_log_truncate(&raft->log, from);
    kvr__raft_members_truncate(raft, from);
    kvr__raft_store_truncated(raft, from);
    kvr__raft_trace(raft, "truncate", from, raft->leader);
}

static kvr_status append_one(kvr_raft *raft, const uint8_t *bytes, const entry_head *head)
{
    size_t size = raft->witness ? kvr__entry_stub_size(bytes) : head->size;
    uint8_t *room = kvr__raft_log_room(&raft->log, size);
    if (room == NULL) {
        return KVR_ENOMEM;
    }
    if (raft->witness) {
        kvr__entry_stub_write(room, bytes);
    } else {
        memcpy(room, bytes, size);
    }
    kvr__raft_log_commit_room(&raft->log, head->term, (uint32_t)size);
    KVR__RAFT_COUNT(raft, entries_appended, 1);
    if (head->kind == KVR_ENTRY_CONFIG) {
        kvr_entry entry;
        kvr__raft_log_entry(&raft->log, raft->log.last_index, &entry);
        kvr__raft_members_put(raft, entry.index, entry.buffer, entry.command);
    }
    return KVR_OK;
}

/* Appends what is new of the message; the log matches the leader's up to prev_index. What is
 * already there stays; the first entry of another term cuts the log (Raft 5.3). `verified` rises
 * with each entry, so stopping early is as if the message had been shorter. */
static kvr_status append_entries(kvr_raft *raft, const kvr__raft_append *append, kvr_slice entries,
                                 uint32_t member_count)
{
    const uint8_t *p = entries.data;
    uint64_t index = append->prev_index;
    kvr_status status = KVR_OK;
    uint64_t verified = raft->verified > index ? raft->verified : index;
    for (uint32_t i = 0; i < append->entry_count; i++) {
        entry_head head = read_entry_head(p);
        index++;
        uint64_t term = 0;
        if (index <= verified ||
            (index <= raft->log.last_index && kvr__raft_log_term(&raft->log, index, &term) &&
             term == head.term)) {
            p += head.size;
            continue;
        }
        if (head.kind == KVR_ENTRY_CONFIG) {
            status = kvr__raft_members_reserve(raft, member_count);
            if (status != KVR_OK) {
                index--;
                break;
            }
        }
        if (index <= raft->log.last_index) {
            truncate_log(raft, index);
        }
        status = append_one(raft, p, &head);
        if (status != KVR_OK) {
            index--;
            break;
        }
        p += head.size;
    }
    if (index > raft->verified) {
        raft->verified = index;
    }
    return status;
}

kvr_status kvr__raft_recv_append(kvr_raft *raft, const kvr__raft_message *message)
{
    kvr__raft_append append;
    kvr__raft_message_read_append(message->body, &append);
    uint32_t member_count = 0;
    if (!append_is_sound(raft, message, &append, &member_count)) {
        return kvr__raft_recv_bad(raft);
    }
    if (!kvr__raft_recv_from_leader(raft, message)) {
        return KVR_OK;
    }
    kvr__raft_recv_note_clocks(raft, append.round, append.lease_clock);
    raft->work = true;
    if (append.prev_index > raft->verified) {
        uint64_t term = 0;
        if (!kvr__raft_log_term(&raft->log, append.prev_index, &term) || term != append.prev_term) {
            return refuse(raft, &append);
        }
    }
    uint64_t last_before = raft->log.last_index;
    kvr_status status = append_entries(raft, &append, message->tail, member_count);
    if (raft->log.last_index != last_before) {
        kvr__raft_trace(raft, "append", raft->log.last_index, raft->leader);
    }
    uint64_t commit = append.commit < raft->verified ? append.commit : raft->verified;
    kvr__raft_replication_set_commit(raft, commit);
    raft->ack = true;
    return status;
}

/* ------------------------------------------------------------------ heartbeats */

void kvr__raft_recv_note_clocks(kvr_raft *raft, uint64_t round, uint64_t lease_clock)
{
    if (round > raft->round) {
        raft->round = round;
        kvr__raft_lease_heard(raft, round);
    }
    /* A leader's clock is not below the stamp of any committed entry, so it counts alone. One that
     * was told before may be ahead of it: a leader that was cut off counted on, and who took that
     * over would end leases early. */
    if (lease_clock > raft->lease_seen || raft->lease_term != raft->term) {
        raft->lease_seen = lease_clock;
        raft->lease_term = raft->term;
    }
}

kvr_status kvr__raft_recv_heartbeat(kvr_raft *raft, const kvr__raft_message *message)
{
    kvr__raft_heartbeat heartbeat;
    kvr__raft_message_read_heartbeat(message->body, &heartbeat);
    if (message->head.term == 0) {
        return kvr__raft_recv_bad(raft);
    }
    if (!kvr__raft_recv_from_leader(raft, message)) {
        return KVR_OK;
    }
    kvr__raft_recv_note_clocks(raft, heartbeat.round, heartbeat.lease_clock);
    kvr__raft_lease_freshen(raft, &heartbeat);
    /* It tells no more than what this member acknowledged to this leader, durably: the log matches
     * up to there, though a restart in the same term forgot how far it does. */
    if (heartbeat.commit > raft->verified && heartbeat.commit <= raft->log.last_index) {
        raft->verified = heartbeat.commit;
    }
    uint64_t commit = heartbeat.commit < raft->verified ? heartbeat.commit : raft->verified;
    kvr__raft_replication_set_commit(raft, commit);
    kvr__raft_idle_beat(raft, &heartbeat);
    if ((heartbeat.flags & KVR__RAFT_NO_REPLY) == 0) {
        raft->heartbeat_reply = true;
        raft->work = true;
    }
    return KVR_OK;
}

/* ------------------------------------------------------------------ answers, at the leader */

static void note_follower(kvr_raft *raft, kvr__raft_progress *progress, uint64_t round,
                          uint64_t free_bytes, uint64_t flush_age_ns)
{
    progress->flush_age_ns = flush_age_ns;
    if (progress->free_bytes != free_bytes) {
        progress->free_bytes = free_bytes;
        kvr__raft_replication_update_free(raft);
    }
    if (round > progress->round && round <= raft->round) {
        progress->round = round;
        if (progress->match >= raft->lease.index) {
            progress->lease_round = round;
        }
        kvr__raft_read_confirm(raft);
    }
}

kvr_status kvr__raft_recv_append_reply(kvr_raft *raft, const kvr__raft_message *message)
{
    kvr__raft_append_reply reply;
    kvr__raft_message_read_append_reply(message->body, &reply);
    kvr__raft_member *member = kvr__raft_recv_from_follower(raft, message);
    if (member == NULL) {
        return KVR_OK;
    }
    kvr__raft_progress *progress = &member->progress;
    if (reply.index > raft->log.last_index || member == kvr__raft_self(raft)) {
        return kvr__raft_recv_bad(raft);
    }
    note_follower(raft, progress, reply.round, reply.free_bytes, reply.flush_age_ns);
    if ((reply.flags & KVR__RAFT_REFUSED) != 0) {
        /* below the base all that is known is that it may match */
        uint64_t hint = reply.hint_index;
        if (hint > raft->log.base_index) {
            hint = kvr__raft_log_conflict(&raft->log, hint, reply.hint_term);
        }
        (void)kvr__raft_progress_refuse(progress, reply.index, hint);
    } else if (kvr__raft_progress_accept(progress, reply.index)) {
        if (progress->state == KVR__RAFT_SNAPSHOT_STATE &&
            (progress->match + 1 >= raft->store.first_index ||
             progress->match >= progress->snapshot_index)) {
            kvr__raft_progress_installed(progress, progress->match); /* it caught up otherwise */
        }
        kvr__raft_replication_advance_commit(raft, reply.index);
        raft->work = raft->work || raft->handover.to == member->id;
    }
    /* The second follower of three acknowledges what the first one's reply has committed: it, too,
     * is told at once, not by the next heartbeat. */
    if (kvr__raft_progress_may_send(raft, progress) ||
        kvr__raft_replication_has_news(raft, progress)) {
        raft->send_due = true;
        raft->work = true;
    }
    return KVR_OK;
}

kvr_status kvr__raft_recv_heartbeat_reply(kvr_raft *raft, const kvr__raft_message *message)
{
    kvr__raft_heartbeat_reply reply;
    kvr__raft_message_read_heartbeat_reply(message->body, &reply);
    kvr__raft_member *member = kvr__raft_recv_from_follower(raft, message);
    if (member != NULL) {
        member->progress.priority = reply.priority;
        member->progress.stamp = reply.stamp;
        note_follower(raft, &member->progress, reply.round, reply.free_bytes, reply.flush_age_ns);
        kvr__raft_idle_answer(raft, &member->progress, (reply.flags & KVR__RAFT_QUIET) != 0);
    }
    return KVR_OK;
}
