/* SPDX-License-Identifier: Apache-2.0 */
/* raft_internal.h: what the files of this room call of each other, file by file. The state that
 * they share is in raft_state.h. */
#ifndef KVRAFT_LIB_RAFT_INTERNAL_H
#define KVRAFT_LIB_RAFT_INTERNAL_H

#include "raft_state.h"

/* ------------------------------------------------------------------ raft_config.c, raft.c */

/* Reads the caller's config and fills in what 0 stands for; false if its size is wrong. */
bool kvr__raft_config_lease_is_sound(const kvr_raft_config *config, uint64_t lease_ns);
bool kvr__raft_config_read(const kvr_raft_config *config, kvr_raft_config *out_config);

static inline kvr__raft_member *kvr__raft_self(const kvr_raft *raft)
{
    return raft->self == UINT32_MAX ? NULL : &raft->members[raft->self];
}

/* kvr__array_grow, with the common answer in line. */
static inline bool kvr__raft_grow(kvr_raft *raft, uint32_t kind, void **items, uint32_t *capacity,
                                  uint32_t want, size_t item_size)
{
    return want <= *capacity ||
           kvr__array_grow(&raft->mem, kind, items, capacity, want, item_size) == KVR_OK;
}

/* Term and vote are durable: what this member says now it will still know after a crash. */
static inline bool kvr__raft_gate_is_open(const kvr_raft *raft)
{
    return raft->store.durable_term == raft->term && raft->store.durable_vote == raft->vote;
}

/* What happened is added up for the host, if it gave room. */
#define KVR__RAFT_COUNT(raft, field, n)            \
    do {                                           \
        if ((raft)->config.counters != NULL) {     \
            (raft)->config.counters->field += (n); \
        }                                          \
    } while (0)

void kvr__raft_trace_event(kvr_raft *raft, const char *name, uint64_t index, uint64_t peer);
static inline void kvr__raft_trace(kvr_raft *raft, const char *name, uint64_t index, uint64_t peer)
{
    if (raft->config.trace != 0) {
        kvr__raft_trace_event(raft, name, index, peer);
    }
}

void kvr__raft_trace_message_event(kvr_raft *raft, const kvr__raft_message *message, bool sent);
static inline void kvr__raft_trace_message(kvr_raft *raft, const kvr__raft_message *message,
                                           bool sent)
{
    if (raft->config.trace > 1) {
        kvr__raft_trace_message_event(raft, message, sent);
    }
}

/* Makes the member fail for good. `what` and `detail` (NULL: none) become its error text. */
void kvr__raft_fail(kvr_raft *raft, kvr_status status, const char *what, const char *detail);

/* ------------------------------------------------------------------ raft_members.c */

kvr__raft_member *kvr__raft_members_find(const kvr_raft *raft, uint64_t id);
bool kvr__raft_members_may_vote(const kvr__raft_member *member); /* in either half */

/* What a quorum of the configuration in force has reached of a uint64_t field of its members'
 * progress. */
#define KVR__RAFT_FIELD(name) offsetof(kvr__raft_member, progress.name)
uint64_t kvr__raft_members_quorum(const kvr_raft *raft, size_t field_offset);
/* The highest index that enough copies hold: `match` of the data_copies_min-th best. */
uint64_t kvr__raft_members_copied(const kvr_raft *raft);
/* How many members that hold data have `index`, as far as this leader knows. */
uint32_t kvr__raft_members_copies(const kvr_raft *raft, uint64_t index);
/* May this member campaign? A voter of the configuration in force; or, while that is not committed,
 * of the one before (thesis 4.2.2). */
bool kvr__raft_members_may_lead(const kvr_raft *raft);
uint8_t kvr__raft_members_election(const kvr_raft *raft);
bool kvr__raft_members_is_only_voter(const kvr_raft *raft);

/* Room so that a configuration of `count` members can be put without allocation. KVR_ENOMEM. */
kvr_status kvr__raft_members_reserve(kvr_raft *raft, uint32_t count);
/* Puts a verified configuration in force at `index`; takes a count of `buffer`. Room was
 * reserved. */
void kvr__raft_members_put(kvr_raft *raft, uint64_t index, kvr_buf *buffer, kvr_slice encoded);
/* rolls back those at `from` and above */
void kvr__raft_members_truncate(kvr_raft *raft, uint64_t from);
/* drops those not in force at or above it */
void kvr__raft_members_forget(kvr_raft *raft, uint64_t index);
void kvr__raft_members_clear(kvr_raft *raft); /* drops all; members stay */
void kvr__raft_members_note_level(kvr_raft *raft, const kvr_message_info *head);
void kvr__raft_members_trim(kvr_raft *raft); /* gives back what only a rollback would need */
const kvr__raft_configured *kvr__raft_members_at(const kvr_raft *raft, uint64_t index);
void kvr__raft_members_release(kvr_raft *raft);

/* ------------------------------------------------------------------ raft_progress.c */

void kvr__raft_progress_reset(kvr__raft_progress *progress, uint64_t last_index, uint64_t now);
bool kvr__raft_progress_accept(kvr__raft_progress *progress, uint64_t index);
bool kvr__raft_progress_refuse(kvr__raft_progress *progress, uint64_t refused, uint64_t hint);
void kvr__raft_progress_need_snapshot(kvr__raft_progress *progress, uint64_t index, uint64_t term);
void kvr__raft_progress_installed(kvr__raft_progress *progress, uint64_t index);
bool kvr__raft_progress_may_send(const kvr_raft *raft, const kvr__raft_progress *progress);
void kvr__raft_progress_sent(kvr__raft_progress *progress, uint64_t last);

/* ------------------------------------------------------------------ raft_idle.c */

void kvr__raft_idle_note(kvr_raft *raft);    /* a ready is shown */
void kvr__raft_idle_advance(kvr_raft *raft); /* it is over */
void kvr__raft_idle_tick(kvr_raft *raft);    /* leader: a heartbeat is due */
void kvr__raft_idle_awake(kvr_raft *raft);   /* wake_due, and now is now */
void kvr__raft_idle_beat(kvr_raft *raft, const kvr__raft_heartbeat *heartbeat);
void kvr__raft_idle_answer(kvr_raft *raft, kvr__raft_progress *progress, bool is_quiet);
/* Gives back the arrays of readies, as far as nothing waits in them. */
void kvr__raft_idle_release(kvr_raft *raft);

/* ------------------------------------------------------------------ raft_election.c */

void kvr__raft_election_follow(kvr_raft *raft, uint64_t term, uint64_t leader);
void kvr__raft_election_draw_timeout(kvr_raft *raft);
void kvr__raft_election_reset_timer(kvr_raft *raft);
void kvr__raft_election_tick(kvr_raft *raft);
void kvr__raft_election_campaign(kvr_raft *raft);
void kvr__raft_election_vote_durable(kvr_raft *raft);
void kvr__raft_election_count(kvr_raft *raft);
kvr_status kvr__raft_election_send(kvr_raft *raft);
/* The leader asks this follower to campaign at once. KVR_ENOMEM: as if it had not. */
kvr_status kvr__raft_election_take_over(kvr_raft *raft, uint64_t round);
bool kvr__raft_election_has_live_leader(const kvr_raft *raft);
bool kvr__raft_election_may_campaign(const kvr_raft *raft);

/* ------------------------------------------------------------------ raft_recv_*.c */

kvr_status kvr__raft_recv_vote(kvr_raft *raft, const kvr__raft_message *message);
kvr_status kvr__raft_recv_vote_reply(kvr_raft *raft, const kvr__raft_message *message);
kvr_status kvr__raft_recv_append(kvr_raft *raft, const kvr__raft_message *message);
kvr_status kvr__raft_recv_append_reply(kvr_raft *raft, const kvr__raft_message *message);
kvr_status kvr__raft_recv_heartbeat(kvr_raft *raft, const kvr__raft_message *message);
kvr_status kvr__raft_recv_heartbeat_reply(kvr_raft *raft, const kvr__raft_message *message);
kvr_status kvr__raft_recv_snapshot(kvr_raft *raft, const kvr__raft_message *message);
kvr_status kvr__raft_recv_snapshot_reply(kvr_raft *raft, const kvr__raft_message *message);
kvr_status kvr__raft_recv_forward(kvr_raft *raft, const kvr__raft_message *message);
kvr_status kvr__raft_recv_read(kvr_raft *raft, const kvr__raft_message *message);
kvr_status kvr__raft_recv_read_reply(kvr_raft *raft, const kvr__raft_message *message);
kvr_status kvr__raft_recv_post(kvr_raft *raft, const kvr__raft_message *message);
kvr_status kvr__raft_recv_transfer(kvr_raft *raft, const kvr__raft_message *message);

/* Shared by append, heartbeat and snapshot: false if the message is not from this term's leader
 * (then it was answered or counted); else this member follows it now. */
bool kvr__raft_recv_from_leader(kvr_raft *raft, const kvr__raft_message *message);
/* A reply to this leader, in its term, from a member: its progress; else NULL. */
kvr__raft_member *kvr__raft_recv_from_follower(kvr_raft *raft, const kvr__raft_message *message);
void kvr__raft_recv_note_clocks(kvr_raft *raft, uint64_t round, uint64_t lease_clock);
/* Counts a message that no honest member sends. Always KVR_ECORRUPT. */
kvr_status kvr__raft_recv_bad(kvr_raft *raft);

/* ------------------------------------------------------------------ raft_replication.c */

void kvr__raft_replication_begin(kvr_raft *raft);
void kvr__raft_replication_tick(kvr_raft *raft);
kvr_status kvr__raft_replication_propose(kvr_raft *raft, kvr_slice command, uint64_t checksum);
void kvr__raft_replication_durable(kvr_raft *raft);
/* It may be told of a higher commit index than it was. */
bool kvr__raft_replication_has_news(const kvr_raft *raft, const kvr__raft_progress *progress);
kvr_status kvr__raft_replication_send(kvr_raft *raft);
kvr_status kvr__raft_replication_broadcast(kvr_raft *raft);
void kvr__raft_replication_advance_commit(kvr_raft *raft, uint64_t raised);
void kvr__raft_replication_set_commit(kvr_raft *raft, uint64_t index);
void kvr__raft_replication_update_free(kvr_raft *raft);
kvr_status kvr__raft_replication_acknowledge(kvr_raft *raft);
kvr_status kvr__raft_replication_answer_heartbeat(kvr_raft *raft);
uint64_t kvr__raft_replication_lease_clock(const kvr_raft *raft);
uint64_t kvr__raft_replication_flush_age(const kvr_raft *raft);

/* ------------------------------------------------------------------ raft_handover.c */

void kvr__raft_handover_reset(kvr_raft *raft);
void kvr__raft_handover_tick(kvr_raft *raft);
kvr_status kvr__raft_handover_send(kvr_raft *raft);
bool kvr__raft_handover_farewell(kvr_raft *raft);
void kvr__raft_handover_last_words(kvr_raft *raft);
bool kvr__raft_handover_is_meant(const kvr_raft *raft, uint64_t asked_term,
                                 const kvr__raft_vote *vote);

/* --------------------------------------------------------- raft_fetch.c: entries out of storage */

bool kvr__raft_fetch_want(kvr_raft *raft, kvr__raft_progress *progress);
kvr_status kvr__raft_fetch_read(kvr_raft *raft);
kvr_status kvr__raft_fetch_done(kvr_raft *raft, const kvr_store_result *result);
void kvr__raft_fetch_evict(kvr_raft *raft);

/* ---------------------------------------------------------- raft_transfer.c: snapshots, sending */

kvr_status kvr__raft_transfer_read(kvr_raft *raft);
kvr_status kvr__raft_transfer_chunk(kvr_raft *raft, const kvr_store_result *result);

/* -------------------------------------------------------------- raft_recv_snapshot.c: receiving */

kvr_status kvr__raft_incoming_store(kvr_raft *raft);
void kvr__raft_incoming_stored(kvr_raft *raft, kvr_status status);
void kvr__raft_incoming_overtaken(kvr_raft *raft);
void kvr__raft_incoming_release(kvr_raft *raft);

/* ------------------------------------------------------------------ raft_change.c */

kvr_status kvr__raft_change_run(kvr_raft *raft);
void kvr__raft_change_begin(kvr_raft *raft); /* it leads now */
void kvr__raft_change_tick(kvr_raft *raft);
kvr_status kvr__raft_change_promote(kvr_raft *raft);
bool kvr__raft_change_caught_up(const kvr_raft *raft, const kvr__raft_member *member);
/* A message of `id` came, who is not in the configuration in force: is it known to be removed? */
void kvr__raft_change_tell_gone(kvr_raft *raft, uint64_t id);
kvr_status kvr__raft_recv_removed(kvr_raft *raft, const kvr__raft_message *message);

/* ------------------------------------------------------------------ raft_witness.c */

static inline bool kvr__raft_is_witness(const kvr__raft_member *member)
{
    return member->role == KVR_MEMBER_WITNESS || member->role_outgoing == KVR_MEMBER_WITNESS;
}

void kvr__raft_witness_follow(kvr_raft *raft); /* what is committed is applied */
kvr_status kvr__raft_witness_compact(kvr_raft *raft);
/* The token of its SNAPSHOT_WRITE under way; 0: none. */
uint64_t kvr__raft_witness_token(const kvr_raft *raft);
void kvr__raft_witness_stored(kvr_raft *raft, bool done);
void kvr__raft_witness_release(kvr_raft *raft);
/* Bytes of the entries first..last of the log as stubs, and they themselves. */
uint64_t kvr__raft_witness_bytes(const kvr_raft *raft, uint64_t first, uint64_t last);
void kvr__raft_witness_write(const kvr_raft *raft, uint64_t first, uint64_t last, uint8_t *out);
/* The snapshot that a witness gets: its name, and no bytes. KVR_ENOMEM. */
kvr_status kvr__raft_witness_send_snapshot(kvr_raft *raft, kvr__raft_member *member);

/* ------------------------------------------------------------------ raft_read.c */

kvr_status kvr__raft_read_send(kvr_raft *raft);
void kvr__raft_read_confirm(kvr_raft *raft);
void kvr__raft_read_refuse_all(kvr_raft *raft);
bool kvr__raft_read_own_term_committed(const kvr_raft *raft);

/* ------------------------------------------------------------------ raft_lease.c */

/* Followers: promises. */
bool kvr__raft_lease_is_starting(const kvr_raft *raft);
bool kvr__raft_lease_is_promised(const kvr_raft *raft);
uint64_t kvr__raft_lease_promise_end(const kvr_raft *raft);
void kvr__raft_lease_heard(kvr_raft *raft, uint64_t round);
void kvr__raft_lease_loaded(kvr_raft *raft);
void kvr__raft_lease_stamp(kvr_raft *raft);
void kvr__raft_lease_set(kvr_raft *raft, uint64_t promise_ns, uint64_t index);
/* The leader. */
void kvr__raft_lease_begin(kvr_raft *raft);
void kvr__raft_lease_give_up(kvr_raft *raft);
void kvr__raft_lease_round(kvr_raft *raft);
void kvr__raft_lease_confirm(kvr_raft *raft);
uint64_t kvr__raft_lease_end(const kvr_raft *raft); /* ns; 0: it holds none now */
/* Freshness. */
uint64_t kvr__raft_lease_stamp_out(const kvr_raft *raft);
void kvr__raft_lease_freshen(kvr_raft *raft, const kvr__raft_heartbeat *heartbeat);
kvr__raft_fresh kvr__raft_lease_fresh(const kvr_raft *raft);

/* ------------------------------------------------------------------ raft_store.c, raft_load.c */

kvr_status kvr__raft_store_request(kvr_raft *raft, uint8_t kind, kvr_store_request **out_request);
kvr_status kvr__raft_store_issue(kvr_raft *raft);
void kvr__raft_store_truncated(kvr_raft *raft, uint64_t from);
void kvr__raft_store_release(kvr_raft *raft);
uint64_t kvr__raft_store_room(const kvr_raft *raft); /* free bytes; UINT64_MAX: not known */
kvr_status kvr__raft_load_issue(kvr_raft *raft);
kvr_status kvr__raft_load_done(kvr_raft *raft, const kvr_store_result *result);
kvr_status kvr__raft_load_entries(kvr_raft *raft, const kvr_store_result *result);
void kvr__raft_load_finish(kvr_raft *raft);

/* Replaces the snapshot known to be stored. The configuration is copied. KVR_ENOMEM, nothing
 * changed. */
kvr_status kvr__raft_snapshot_set(kvr_raft *raft, const kvr_snapshot_meta *meta);

/* ------------------------------------------------------------------ raft_outbox.c */

/* A message to `to` with `size` bytes after its head, to be written at the returned place. NULL: no
 * memory or too many wait; *out_status says which (dropping is then as good as a loss on the
 * way). */
uint8_t *kvr__raft_outbox_open(kvr_raft *raft, uint64_t to, uint8_t type, size_t size);
/* More room at the end of the newest message; NULL as above. */
uint8_t *kvr__raft_outbox_extend(kvr_raft *raft, size_t size);
void kvr__raft_outbox_clear(kvr_raft *raft);
void kvr__raft_outbox_show(kvr_raft *raft);
void kvr__raft_outbox_advance(kvr_raft *raft);
void kvr__raft_outbox_trim(kvr_raft *raft);
void kvr__raft_outbox_release(kvr_raft *raft);

/* ------------------------------------------------------------------ raft_post.c */

void kvr__raft_post_show(kvr_raft *raft);
void kvr__raft_post_advance(kvr_raft *raft);
void kvr__raft_post_release(kvr_raft *raft);

/* ------------------------------------------------------------------ raft_check.c */

void kvr__raft_check(kvr_raft *raft);

#endif
