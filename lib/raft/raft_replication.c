/* SPDX-License-Identifier: Apache-2.0 */
/* raft_replication.c: a leader's entries to its followers, what is committed, and a follower's
 * acknowledgements. Entries are sent while the own flush is under way and before earlier ones are
 * acknowledged (thesis 10.2.1, 10.2.2); the leader counts itself only when its disk has them, and
 * may commit by the others' disks alone. Start at kvr__raft_replication_send. */
#include "base/checksum.h"
#include "base/entry.h"
#include "raft_internal.h"

uint64_t kvr__raft_replication_lease_clock(const kvr_raft *raft)
{
    if (raft->role != KVR_ROLE_LEADER) {
        return raft->lease_seen;
    }
    /* It stands still while the group is quiet: what is appended then is stamped with no time at
     * hand, and nobody's lease may end early for it. */
    uint64_t now = raft->quiet ? raft->quiet_since_ns : raft->now;
    return raft->lease_base + (now - raft->lease_begin_ns);
}

void kvr_raft_lease_clock_raise(kvr_raft *raft, uint64_t lease_clock)
{
    uint64_t known = kvr__raft_replication_lease_clock(raft);
    if (lease_clock > known) {
        raft->lease_base += lease_clock - known; /* the leader's; begun anew by the next one */
        raft->lease_seen = lease_clock;
    }
}

uint64_t kvr__raft_replication_flush_age(const kvr_raft *raft)
{
    const kvr__raft_store *store = &raft->store;
    uint64_t append = store->append_token == 0 ? 0 : raft->now - store->append_since_ns;
    uint64_t vote = store->vote_token == 0 ? 0 : raft->now - store->vote_since_ns;
    return append > vote ? append : vote;
}

/* ------------------------------------------------------------------ the leader's own log */

static kvr_status append_own(kvr_raft *raft, uint8_t kind, kvr_slice command, uint64_t checksum)
{
    KVR_ASSERT(raft->role == KVR_ROLE_LEADER);
    if (raft->handover.to != 0) {
        return KVR_EBUSY; /* the log must not grow away from who takes over */
    }
    size_t size = KVR_ENTRY_HEADER_SIZE + command.size;
    uint8_t *room = kvr__raft_log_room(&raft->log, size);
    if (room == NULL) {
        return KVR_ENOMEM;
    }
    kvr_entry entry = {
        .index = raft->log.last_index + 1,
        .term = raft->term,
        .lease_clock = kvr__raft_replication_lease_clock(raft),
        .command_checksum = checksum,
        .kind = kind,
        .command = command,
    };
    kvr__entry_write_header(room, &entry);
    if (command.size > 0) {
        memcpy(room + KVR_ENTRY_HEADER_SIZE, command.data, command.size);
    }
    kvr__raft_log_commit_room(&raft->log, raft->term, (uint32_t)size);
    KVR__RAFT_COUNT(raft, entries_appended, 1);
    kvr__raft_trace(raft, "replicate", raft->log.last_index, 0);
    kvr_raft_wake(raft);
    raft->send_due = true;
    raft->work = true;
    return KVR_OK;
}

/* The first act of a leader. Only an entry of its own term tells what is committed (Raft 5.4.2,
 * 8). */
void kvr__raft_replication_begin(kvr_raft *raft)
{
    if (kvr__raft_self(raft) != NULL) {
        kvr__raft_self(raft)->progress.free_bytes = raft->store.free_bytes;
    }
    kvr__raft_replication_update_free(raft);
    kvr_status status =
        append_own(raft, KVR_ENTRY_NOOP, (kvr_slice){NULL, 0}, kvr__xxh3_64(NULL, 0));
    KVR_ASSERT(status == KVR_OK); /* room was found before the election */
    kvr__raft_lease_begin(raft);
    kvr__raft_replication_durable(raft);
}

/* Would a needed disk run out? What this one said is believed for one heartbeat: after that one
 * proposal may try, since a full disk that is asked nothing never tells that it has room again. */
static bool lacks_room(kvr_raft *raft, uint64_t bytes)
{
    kvr__raft_member *self = kvr__raft_self(raft);
    bool stale = raft->now - raft->store.room_ns >= raft->config.heartbeat_ns;
    if (!raft->store.full && bytes > raft->quorum_free_bytes && stale && self != NULL) {
        raft->store.room_ns = raft->now;
        raft->store.free_bytes = UINT64_MAX;
        self->progress.free_bytes = UINT64_MAX;
        kvr__raft_replication_update_free(raft);
    }
    raft->store.refused = raft->store.full || bytes > raft->quorum_free_bytes;
    return raft->store.refused;
}

static kvr_status judge_proposal(kvr_raft *raft, kvr_slice command)
{
    uint64_t size = KVR_ENTRY_HEADER_SIZE + command.size;
    uint64_t uncommitted = kvr__raft_log_bytes(&raft->log, raft->commit + 1, raft->log.last_index);
    if (command.size > raft->config.command_bytes_max) {
        return KVR_ETOOBIG;
    }
    if (uncommitted > 0 && uncommitted + size > raft->config.uncommitted_bytes_max) {
        return KVR_EBUSY;
    }
    return lacks_room(raft, uncommitted + size) ? KVR_ENOSPACE : KVR_OK;
}

kvr_status kvr__raft_replication_propose(kvr_raft *raft, kvr_slice command, uint64_t checksum)
{
    kvr_status status = judge_proposal(raft, command);
    if (status == KVR_OK) {
        status = append_own(raft, KVR_ENTRY_COMMAND, command, checksum);
    }
    KVR__RAFT_COUNT(raft, proposals, status == KVR_OK);
    KVR__RAFT_COUNT(raft, proposals_refused, status != KVR_OK);
    return status;
}

/* The own log is durable up to store.durable_index: a leader counts itself, a follower may
 * acknowledge. */
void kvr__raft_replication_durable(kvr_raft *raft)
{
    if (raft->role == KVR_ROLE_LEADER) {
        kvr__raft_member *self = kvr__raft_self(raft);
        if (self != NULL) {
            self->progress.match = raft->store.durable_index;
            self->progress.next = self->progress.match + 1;
        }
        kvr__raft_replication_advance_commit(raft, raft->store.durable_index);
    } else if (raft->ack) {
        raft->work = true;
    }
}

/* ------------------------------------------------------------------ what is committed */

void kvr__raft_replication_set_commit(kvr_raft *raft, uint64_t index)
{
    if (index <= raft->commit) {
        return;
    }
    KVR_ASSERT(index <= raft->log.last_index);
    raft->commit = index;
    raft->work = true;
    kvr__raft_trace(raft, "commit", index, raft->leader);
    kvr__raft_incoming_overtaken(raft);
}

/* Raft 5.4.2: only an entry of the own term is committed by counting; those before it are by that
 * (figure 8, FAULTS 17). */
void kvr__raft_replication_advance_commit(kvr_raft *raft, uint64_t raised)
{
    if (raised <= raft->commit) {
        return; /* a match that rose to there cannot have made more of a majority */
    }
    uint64_t index = kvr__raft_members_quorum(raft, KVR__RAFT_FIELD(match));
    uint64_t term = 0;
    if (raft->data_copies_min > 1) {
        uint64_t copied = kvr__raft_members_copied(raft);
        index = copied < index ? copied : index;
    }
    if (index <= raft->commit) {
        return;
    }
    bool known = kvr__raft_log_term(&raft->log, index, &term);
    KVR_ASSERT(known);
    if (term == raft->term) {
        kvr__raft_replication_set_commit(raft, index);
        raft->send_due = true;
    }
}

/* What the members of a quorum could all still write: beyond it proposals are refused, before a
 * disk that is needed is full. */
void kvr__raft_replication_update_free(kvr_raft *raft)
{
    raft->quorum_free_bytes = kvr__raft_members_quorum(raft, KVR__RAFT_FIELD(free_bytes));
}

/* ------------------------------------------------------------------ sending */

static void copy_entries(const kvr_raft *raft, uint64_t first, uint64_t last, uint8_t *out)
{
    for (uint64_t index = first; index <= last;) {
        kvr_slice piece;
        kvr_buf *buffer = NULL;
        index = kvr__raft_log_piece(&raft->log, index, last, &piece, &buffer);
        memcpy(out, piece.data, piece.size);
        out += piece.size;
    }
}

static kvr_status send_append(kvr_raft *raft, kvr__raft_member *member, bool empty)
{
    kvr__raft_progress *progress = &member->progress;
    uint64_t prev = progress->next - 1;
    kvr__raft_append append = {
        .prev_index = prev,
        .commit = raft->commit,
        .round = raft->round,
        .lease_clock = kvr__raft_replication_lease_clock(raft),
    };
    if (!kvr__raft_log_term(&raft->log, prev, &append.prev_term)) {
        KVR_ASSERT(prev < raft->log.base_index);
        if (kvr__raft_fetch_want(raft, progress)) {
            return KVR_OK;
        }
        KVR_ASSERT(raft->snapshot.meta.index + 1 >= raft->store.first_index);
        kvr__raft_progress_need_snapshot(progress, raft->snapshot.meta.index,
                                         raft->snapshot.meta.term);
        raft->chunk_due = true;
        KVR__RAFT_COUNT(raft, snapshots_sent, 1);
        kvr__raft_trace(raft, "send-snapshot", raft->snapshot.meta.index, member->id);
        return KVR_OK;
    }
    uint64_t last = prev;
    if (!empty && prev < raft->log.last_index) { /* a probe carries one entry, if any */
        bool one = progress->state == KVR__RAFT_PROBE || KVR_BUGGIFY(&raft->mem, RAFT_APPEND_ONE);
        last = one ? prev + 1
                   : kvr__raft_log_run(&raft->log, prev + 1, raft->config.message_bytes_max);
    }
    bool stubs = kvr__raft_is_witness(member);
    uint64_t size = stubs ? kvr__raft_witness_bytes(raft, prev + 1, last)
                          : kvr__raft_log_bytes(&raft->log, prev + 1, last);
    append.entry_count = (uint32_t)(last - prev);
    if (progress->inflight.count == progress->inflight.capacity &&
        kvr__ring_reserve(&progress->inflight, 1) != KVR_OK) {
        return KVR_ENOMEM;
    }
    uint8_t *body =
        kvr__raft_outbox_open(raft, member->id, KVR__RAFT_APPEND, KVR__RAFT_APPEND_SIZE + size);
    if (body == NULL) {
        return KVR_ENOMEM;
    }
    if (!empty) {
        kvr__raft_progress_sent(progress, last);
    }
    kvr__raft_message_exempt(body - KVR__RAFT_HEAD_SIZE, (uint32_t)size);
    kvr__raft_message_write_append(body, &append);
    body += KVR__RAFT_APPEND_SIZE;
    if (stubs) {
        kvr__raft_witness_write(raft, prev + 1, last, body);
    } else {
        copy_entries(raft, prev + 1, last, body);
    }
    uint64_t commit = raft->commit < last ? raft->commit : last;
    progress->commit_sent = commit > progress->commit_sent ? commit : progress->commit_sent;
    return KVR_OK;
}

/* A follower may be told only what it is known to have: min(commit, match). */
static kvr_status send_heartbeat(kvr_raft *raft, kvr__raft_member *member, uint16_t flags)
{
    uint8_t *body =
        kvr__raft_outbox_open(raft, member->id, KVR__RAFT_HEARTBEAT, KVR__RAFT_HEARTBEAT_SIZE);
    if (body == NULL) {
        return KVR_ENOMEM;
    }
    uint64_t match = member->progress.match;
    kvr__raft_heartbeat heartbeat = {
        .commit = raft->commit < match ? raft->commit : match,
        .round = raft->round,
        .lease_clock = kvr__raft_replication_lease_clock(raft),
        .flags = flags,
        .confirmed = raft->round_confirmed,
        .committed = raft->commit,
    };
    if (kvr__raft_read_own_term_committed(raft)) { /* else it does not know all that is */
        heartbeat.stamp = member->progress.stamp;
        heartbeat.flags |= kvr__raft_lease_end(raft) != 0 ? KVR__RAFT_LEADS : 0;
    }
    kvr__raft_message_write_heartbeat(body, &heartbeat);
    if (heartbeat.commit > member->progress.commit_sent) {
        member->progress.commit_sent = heartbeat.commit;
    }
    return KVR_OK;
}

bool kvr__raft_replication_has_news(const kvr_raft *raft, const kvr__raft_progress *progress)
{
    uint64_t commit = raft->commit < progress->match ? raft->commit : progress->match;
    return progress->state == KVR__RAFT_REPLICATE && commit > progress->commit_sent;
}

/* Sends what may be sent to each follower. The news that more is committed goes with entries if
 * there are any, also with those that the host proposes when it hears of the commit: so it is held
 * for one ready. Else it goes in a message of its own that wants no answer. One follower's bad luck
 * does not end the round for the others (FAULTS 35): the first error is told when all were
 * served. */
kvr_status kvr__raft_replication_send(kvr_raft *raft)
{
    kvr_status first = KVR_OK;
    bool again = false;
    for (uint32_t i = 0; i < raft->member_count; i++) {
        kvr__raft_member *member = &raft->members[i];
        if (i == raft->self) {
            continue;
        }
        kvr_status status = KVR_OK;
        while (status == KVR_OK && kvr__raft_progress_may_send(raft, &member->progress)) {
            status = send_append(raft, member, false);
        }
        if (status == KVR_OK && kvr__raft_replication_has_news(raft, &member->progress)) {
            bool held = member->progress.commit_held == raft->commit;
            again = again || !held;
            member->progress.commit_held = raft->commit;
            status = held ? send_heartbeat(raft, member, KVR__RAFT_NO_REPLY) : KVR_OK;
        }
        first = first == KVR_OK ? status : first;
    }
    raft->send_due = first != KVR_OK || again;
    return first;
}

kvr_status kvr__raft_replication_broadcast(kvr_raft *raft)
{
    kvr_status first = KVR_OK;
    for (uint32_t i = 0; i < raft->member_count; i++) {
        if (i != raft->self) {
            uint16_t flags = raft->quieting ? KVR__RAFT_QUIET : 0;
            kvr_status status = send_heartbeat(raft, &raft->members[i], flags);
            first = first == KVR_OK ? status : first;
        }
    }
    raft->broadcast = first != KVR_OK;
    return first;
}

/* With each heartbeat: probes and chunks that were not answered are repeated, and a follower that
 * has acknowledged nothing for a whole interval is asked whether entries were lost on the way. */
void kvr__raft_replication_tick(kvr_raft *raft)
{
    for (uint32_t i = 0; i < raft->member_count; i++) {
        kvr__raft_progress *progress = &raft->members[i].progress;
        if (i == raft->self) {
            continue;
        }
        bool stuck =
            progress->match == progress->match_at_tick || KVR_BUGGIFY(&raft->mem, RAFT_ASK_AGAIN);
        progress->match_at_tick = progress->match;
        progress->probe_sent = false;
        if (raft->now - progress->chunk_sent_ns >= raft->config.election_ns ||
            KVR_BUGGIFY(&raft->mem, RAFT_CHUNK_AGAIN)) {
            progress->chunk_sent = false;
            raft->chunk_due = true;
        }
        if (progress->state == KVR__RAFT_REPLICATE && stuck &&
            progress->match + 1 < progress->next) {
            (void)send_append(raft, &raft->members[i], true);
        }
    }
    raft->send_due = true;
}

/* ----------------------------------------------------------------- acknowledging, at a follower */

/* One answer covers all appends before it. While part of what was received is not durable, the
 * answer to that part stays due. */
kvr_status kvr__raft_replication_acknowledge(kvr_raft *raft)
{
    uint64_t durable = raft->store.durable_index;
    uint64_t index = raft->verified < durable ? raft->verified : durable;
    if (index <= raft->acked && index < raft->verified) {
        return KVR_OK;
    }
    uint8_t *body = kvr__raft_outbox_open(raft, raft->leader, KVR__RAFT_APPEND_REPLY,
                                          KVR__RAFT_APPEND_REPLY_SIZE);
    if (body == NULL) {
        return KVR_ENOMEM;
    }
    kvr__raft_append_reply reply = {
        .index = index,
        .round = raft->round,
        .free_bytes = kvr__raft_store_room(raft),
        .flush_age_ns = kvr__raft_replication_flush_age(raft),
        .flags = raft->store.full ? KVR__RAFT_STORE_FULL : 0,
    };
    kvr__raft_message_write_append_reply(body, &reply);
    raft->acked = index;
    raft->ack = index < raft->verified;
    return KVR_OK;
}

kvr_status kvr__raft_replication_answer_heartbeat(kvr_raft *raft)
{
    uint8_t *body = kvr__raft_outbox_open(raft, raft->leader, KVR__RAFT_HEARTBEAT_REPLY,
                                          KVR__RAFT_HEARTBEAT_REPLY_SIZE);
    if (body == NULL) {
        return KVR_ENOMEM;
    }
    kvr__raft_heartbeat_reply reply = {
        .round = raft->round,
        .free_bytes = kvr__raft_store_room(raft),
        .flush_age_ns = kvr__raft_replication_flush_age(raft),
        .flags =
            (raft->store.full ? KVR__RAFT_STORE_FULL : 0) | (raft->quiet ? KVR__RAFT_QUIET : 0),
        .priority = raft->config.priority,
        .stamp = kvr__raft_lease_stamp_out(raft),
    };
    kvr__raft_message_write_heartbeat_reply(body, &reply);
    raft->heartbeat_reply = false;
    return KVR_OK;
}
