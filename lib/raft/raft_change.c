/* SPDX-License-Identifier: Apache-2.0 */
/* raft_change.c: a leader changes the configuration (thesis 4), and what follows when a change is
 * committed:
 *
 *   joint, leaves by itself    the leader appends the configuration that follows    [leave_joint]
 *   a leader without a vote    tells who follows, and steps down                    [step_down]
 *   a member that is gone      is told, and knows itself as removed                 [tell_removed]
 *   a learner that caught up   becomes a voter, if it is to                         [promote]
 *
 * One change is under way at a time, and none before an entry of the leader's own term is
 * committed: else two leaders could count majorities that share nobody (FAULTS 47). Start at
 * kvr_raft_change. */
#include "base/checksum.h"
#include "base/codec.h"
#include "base/entry.h"
#include "base/sized.h"
#include "raft_draft.h"
#include "raft_internal.h"

static const kvr__raft_configured *last_configured(const kvr_raft *raft)
{
    KVR_ASSERT(raft->configurations.count > 0);
    return &raft->configurations.items[raft->configurations.count - 1];
}

/* ------------------------------------------------------------------ who is up */

/* It answered in this leadership, and lately. */
static bool is_up(const kvr_raft *raft, const kvr__raft_member *member)
{
    if (member == kvr__raft_self(raft)) {
        return true;
    }
    const kvr__raft_progress *progress = &member->progress;
    bool lately = progress->heard || raft->now - progress->last_heard_ns < raft->config.election_ns;
    return lately && progress->match > 0;
}

/* It holds what this leader held when the present span of one election timeout began: were it a
 * voter, commits would wait for it no longer than an election takes (thesis 4.2.1; FAULTS 51). */
bool kvr__raft_change_caught_up(const kvr_raft *raft, const kvr__raft_member *member)
{
    return raft->role == KVR_ROLE_LEADER && is_up(raft, member) &&
           member->progress.state == KVR__RAFT_REPLICATE &&
           member->progress.match >= raft->span_index;
}

/* The strict check: enough of those who will vote, or hold copies, are up. */
static bool keeps_quorum(const kvr_raft *raft, const kvr__raft_draft *draft)
{
    uint32_t votes = 0;
    uint32_t votes_up = 0;
    uint32_t copies_up = 0;
    for (uint32_t i = 0; i < draft->head.count; i++) {
        const kvr__raft_record *record = &draft->records[i];
        const kvr__raft_member *member = kvr__raft_members_find(raft, record->id);
        bool up = member != NULL && is_up(raft, member);
        votes += kvr__raft_votes(record->role);
        votes_up += kvr__raft_votes(record->role) && up;
        copies_up += kvr__raft_holds_data(record->role) && up;
    }
    return votes_up >= votes / 2 + 1 && copies_up >= draft->head.data_copies_min;
}

/* ------------------------------------------------------------------ appending one */

static kvr_status append(kvr_raft *raft, const kvr__raft_draft *draft, bool joint)
{
    size_t size = kvr__raft_draft_size(draft, joint);
    if (size > raft->config.command_bytes_max) {
        return KVR_ETOOBIG;
    }
    if (kvr__raft_members_reserve(raft, draft->head.count) != KVR_OK) {
        return KVR_ENOMEM;
    }
    uint8_t *room = kvr__raft_log_room(&raft->log, KVR_ENTRY_HEADER_SIZE + size);
    if (room == NULL) {
        return KVR_ENOMEM;
    }
    uint8_t *command = room + KVR_ENTRY_HEADER_SIZE;
    kvr__raft_draft_write(draft, joint, command);
    uint32_t count = 0;
    kvr_status sound = kvr__raft_configuration_verify((kvr_slice){command, size}, &count);
    KVR_ASSERT(sound == KVR_OK);
    kvr_entry entry = {
        .index = raft->log.last_index + 1,
        .term = raft->term,
        .lease_clock = kvr__raft_replication_lease_clock(raft),
        .command_checksum = kvr__xxh3_64(command, size),
        .kind = KVR_ENTRY_CONFIG,
        .command = {command, size},
    };
    kvr__entry_write_header(room, &entry);
    kvr__raft_log_commit_room(&raft->log, raft->term, (uint32_t)(KVR_ENTRY_HEADER_SIZE + size));
    kvr__raft_trace(raft, "change", raft->log.last_index, 0);
    kvr__raft_log_entry(&raft->log, raft->log.last_index, &entry);
    kvr__raft_members_put(raft, entry.index, entry.buffer, entry.command);
    raft->send_due = true;
    raft->work = true;
    kvr__raft_replication_update_free(raft);
    /* A majority of fewer may have been reached already. */
    kvr__raft_replication_advance_commit(raft, raft->log.last_index);
    return KVR_OK;
}

/* ------------------------------------------------------------------ asked for */

static kvr_status apply_changes(const kvr_raft *raft, const kvr_raft_changes *changes,
                                kvr__raft_draft *draft)
{
    for (uint32_t i = 0; i < changes->change_count; i++) {
        const kvr_member_change *change = &changes->changes[i];
        kvr_status status = kvr__raft_draft_change(draft, change);
        if (status != KVR_OK) {
            return status;
        }
        const kvr__raft_member *member = kvr__raft_members_find(raft, change->member.id);
        if (change->kind == KVR_CHANGE_PROMOTE &&
            (member == NULL || !kvr__raft_change_caught_up(raft, member))) {
            return KVR_EBEHIND;
        }
    }
    if ((changes->flags & KVR_CHANGES_COPIES) != 0) {
        draft->head.data_copies_min = changes->data_copies_min;
    }
    if ((changes->flags & KVR_CHANGES_LEASE) != 0) {
        draft->head.lease_ns = changes->lease_ns;
    }
    memcpy(draft->head.context, changes->context, sizeof draft->head.context);
    return KVR_OK;
}

static kvr_status change(kvr_raft *raft, const kvr_raft_changes *changes)
{
    kvr__raft_draft draft;
    kvr__raft_draft_read(&draft, last_configured(raft)->encoded);
    kvr_status status = apply_changes(raft, changes, &draft);
    if (status != KVR_OK) {
        return status;
    }
    bool unchecked = (changes->flags & KVR_CHANGES_UNCHECKED) != 0;
    if (kvr__raft_draft_voters(&draft) == 0 ||
        draft.head.data_copies_min > kvr__raft_draft_copies(&draft) ||
        (!unchecked && !keeps_quorum(raft, &draft))) {
        return KVR_EQUORUM;
    }
    bool stays = (changes->flags & KVR_CHANGES_STAY) != 0;
    bool joint =
        stays || (changes->flags & KVR_CHANGES_JOINT) != 0 || kvr__raft_draft_moved(&draft) > 1;
    draft.head.flags = 0;
    if (joint) {
        draft.head.flags = KVR__RAFT_CONFIGURATION_JOINT;
        draft.head.flags |= stays ? 0 : KVR__RAFT_CONFIGURATION_AUTO_LEAVE;
    }
    return append(raft, &draft, joint);
}

static kvr_status leave(kvr_raft *raft, const uint64_t context[3])
{
    kvr__raft_draft draft;
    kvr__raft_draft_leave(&draft, last_configured(raft)->encoded);
    if (context != NULL) {
        memcpy(draft.head.context, context, sizeof draft.head.context);
    }
    return append(raft, &draft, false);
}

static bool are_sound(const kvr_raft *raft, const kvr_raft_changes *changes)
{
    const uint32_t settings = KVR_CHANGES_COPIES | KVR_CHANGES_LEASE;
    const uint32_t known =
        KVR_CHANGES_JOINT | KVR_CHANGES_STAY | KVR_CHANGES_LEAVE | KVR_CHANGES_UNCHECKED | settings;
    bool leaves = (changes->flags & KVR_CHANGES_LEAVE) != 0;
    bool does = changes->change_count > 0 || (changes->flags & settings) != 0;
    bool lease = (changes->flags & KVR_CHANGES_LEASE) == 0 || changes->lease_ns == 0 ||
                 kvr__raft_config_lease_is_sound(&raft->config, changes->lease_ns);
    return (changes->flags & ~known) == 0 && lease &&
           (changes->change_count == 0 || changes->changes != NULL) &&
           (leaves ? changes->flags == KVR_CHANGES_LEAVE && changes->change_count == 0 : does);
}

/* Nothing of a change before it is left to wait for, and the log does not grow away from who takes
 * over. */
static bool may_change(const kvr_raft *raft)
{
    return raft->handover.to == 0 && !raft->abdicates && kvr__raft_read_own_term_committed(raft) &&
           last_configured(raft)->index <= raft->applied;
}

kvr_status kvr_raft_change(kvr_raft *raft, const kvr_raft_changes *changes,
                           kvr_raft_proposal *out_proposal)
{
    kvr_raft_changes known;
    if (raft->failed != KVR_OK) {
        return raft->failed;
    }
    if (!kvr__sized_read(&known, sizeof known, changes, sizeof known) || !are_sound(raft, &known)) {
        return KVR_EINVAL;
    }
    if (raft->role != KVR_ROLE_LEADER) {
        return KVR_ENOLEADER;
    }
    bool leaves = (known.flags & KVR_CHANGES_LEAVE) != 0;
    if (!may_change(raft) || (raft->joint && !leaves)) {
        return KVR_EBUSY;
    }
    if (leaves && !raft->joint) {
        return KVR_ESTATE;
    }
    kvr_status status = leaves ? leave(raft, known.context) : change(raft, &known);
    if (status == KVR_OK) {
        *out_proposal = (kvr_raft_proposal){.index = raft->log.last_index, .term = raft->term};
    }
    KVR_CHECKED(kvr__raft_check(raft));
    return status;
}

/* ------------------------------------------------------------------ by themselves */

/* One of the learners that are to vote and caught up, one at a time. */
kvr_status kvr__raft_change_promote(kvr_raft *raft)
{
    if (raft->joint || !may_change(raft)) {
        return KVR_OK;
    }
    for (uint32_t i = 0; i < raft->member_count; i++) {
        const kvr__raft_member *member = &raft->members[i];
        if (member->role != KVR_MEMBER_LEARNER || (member->flags & KVR_MEMBER_PROMOTE) == 0 ||
            !kvr__raft_change_caught_up(raft, member)) {
            continue;
        }
        kvr__raft_draft draft;
        kvr__raft_draft_read(&draft, last_configured(raft)->encoded);
        kvr_member_change promote = {.kind = KVR_CHANGE_PROMOTE, .member = {.id = member->id}};
        kvr_status status = kvr__raft_draft_change(&draft, &promote);
        KVR_ASSERT(status == KVR_OK);
        draft.head.flags = 0;
        return keeps_quorum(raft, &draft) ? append(raft, &draft, false) : KVR_OK;
    }
    return KVR_OK;
}

/* Called with each heartbeat of a leader. */
void kvr__raft_change_tick(kvr_raft *raft)
{
    if (raft->now - raft->span_ns >= raft->config.election_ns) {
        raft->span_ns = raft->now;
        raft->span_index = raft->log.last_index;
    }
    (void)kvr__raft_change_promote(raft); /* no memory: with the next heartbeat */
}

void kvr__raft_change_begin(kvr_raft *raft)
{
    raft->span_ns = raft->now;
    raft->span_index = raft->log.last_index;
    raft->change_due = true;
}

/* ------------------------------------------------------------------ who is gone */

/* True if `id` was a member once and is none in the newest configuration that is known to be
 * committed: ids are used once and ascend. */
static bool is_gone(const kvr_raft *raft, uint64_t id, uint64_t *out_index)
{
    const kvr__raft_configured *known = kvr__raft_members_at(raft, raft->commit);
    kvr__raft_configuration_head head;
    kvr__raft_record record;
    if (known == NULL) {
        return false;
    }
    kvr__raft_configuration_read_head(known->encoded, &head);
    *out_index = known->index;
    return id <= head.highest_id && head.count > 0 &&
           !kvr__raft_configuration_find(known->encoded, id, &record);
}

/* Called for a message from somebody who is no member. Lost or without memory: told with the next
 * one. */
void kvr__raft_change_tell_gone(kvr_raft *raft, uint64_t id)
{
    uint64_t index = 0;
    if (!is_gone(raft, id, &index)) {
        return;
    }
    uint8_t *body = kvr__raft_outbox_open(raft, id, KVR__RAFT_REMOVED, KVR__RAFT_REMOVED_SIZE);
    if (body != NULL) {
        kvr__raft_message_write_removed(body, index);
    }
}

/* It neither campaigns nor waits any more. */
static void become_removed(kvr_raft *raft)
{
    if (raft->removed) {
        return;
    }
    raft->removed = true;
    raft->role_flag = true;
    raft->work = true;
    kvr__raft_trace(raft, "removed", last_configured(raft)->index, 0);
    kvr__raft_election_follow(raft, raft->term, 0);
}

/* A later configuration than any that is known here, and committed, has no place for this member
 * (FAULTS 53). */
kvr_status kvr__raft_recv_removed(kvr_raft *raft, const kvr__raft_message *message)
{
    uint64_t index = kvr__raft_message_read_removed(message->body);
    if (index > last_configured(raft)->index) {
        become_removed(raft);
    }
    return KVR_OK;
}

/* Those of the configuration before who are in this one no more: nothing else is sent to them. */
static void tell_removed(kvr_raft *raft)
{
    if (raft->configurations.count < 2) {
        return;
    }
    const kvr__raft_configured *before = last_configured(raft) - 1;
    kvr__raft_record record;
    size_t at = 0;
    while (kvr__raft_configuration_next(before->encoded, &at, &record) == KVR_OK) {
        if (kvr__raft_members_find(raft, record.id) == NULL &&
            record.id != raft->config.member_id) {
            kvr__raft_change_tell_gone(raft, record.id);
        }
    }
}

/* ------------------------------------------------------------------ committed */

/* Thesis 4.2.2: a leader without a vote leads until the configuration that says so is committed. It
 * tells that first, in one ready, so that the others need not find it out, and follows in the
 * next. */
static void step_down(kvr_raft *raft)
{
    if (!raft->abdicates) {
        raft->abdicates = true;
        raft->broadcast = true;
        raft->change_due = true;
        return;
    }
    (void)kvr__raft_handover_farewell(raft); /* lost, or nobody: an election timeout passes */
    kvr__raft_trace(raft, "step-down", raft->commit, 0);
    kvr__raft_election_follow(raft, raft->term, 0);
}

static kvr_status lead_on(kvr_raft *raft, const kvr__raft_configured *last)
{
    if (raft->abdicates) {
        step_down(raft);
        return KVR_OK;
    }
    if (raft->handover.to != 0 || !kvr__raft_read_own_term_committed(raft)) {
        raft->change_due = true; /* looked at again: it is not long until then */
        return KVR_OK;
    }
    if (raft->joint) {
        bool leaves = (last->encoded.data[3] & KVR__RAFT_CONFIGURATION_AUTO_LEAVE) != 0;
        return leaves ? leave(raft, NULL) : KVR_OK;
    }
    tell_removed(raft);
    const kvr__raft_member *self = kvr__raft_self(raft);
    if (self == NULL || !kvr__raft_members_may_vote(self)) {
        step_down(raft);
    }
    return KVR_OK;
}

/* Called by each ready while change_due; what could not be done now is due again. */
kvr_status kvr__raft_change_run(kvr_raft *raft)
{
    const kvr__raft_configured *last = last_configured(raft);
    if (last->index > raft->commit) {
        return KVR_OK; /* still due */
    }
    raft->change_due = false;
    kvr_status status = raft->role == KVR_ROLE_LEADER ? lead_on(raft, last) : KVR_OK;
    if (status != KVR_OK) {
        raft->change_due = true;
        return status;
    }
    uint64_t index = 0;
    if (raft->role != KVR_ROLE_LEADER && kvr__raft_self(raft) == NULL &&
        is_gone(raft, raft->config.member_id, &index)) {
        become_removed(raft);
    }
    return KVR_OK;
}
