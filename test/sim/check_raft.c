/* SPDX-License-Identifier: Apache-2.0 */
/* check_raft.c: see check_raft.h. An entry is committed when the first leader says so; which terms
 * lie below it, the registry of the ghost knows, as each entry names the term before it. */
#include "check_raft.h"

#include <stdlib.h>
#include <string.h>

#include "check_decode.h"

#define U(x) ((unsigned long long)(x))

void check_raft_init(check_raft *check, ghost *g, check_report *report)
{
    *check = (check_raft){.ghost = g, .report = report};
    check_members_init(&check->configurations, g->member_count, report);
}

void check_raft_release(check_raft *check)
{
    free(check->terms);
    free(check->committed);
    check_members_release(&check->configurations);
}

void check_raft_stopped(check_raft *check, uint32_t member)
{
    check->members[member] = (check_raft_member){0};
}

static check_term *term_of(check_raft *check, uint64_t term)
{
    if (term >= CHECK_TERMS_MAX) {
        check_fail(check->report, "R9", "term %llu is absurd", U(term));
        term = 0;
    }
    check_grow((void **)&check->terms, &check->term_capacity, (uint32_t)term + 1,
               sizeof *check->terms);
    return &check->terms[term];
}

const ghost_entry *check_raft_committed(const check_raft *check, uint64_t index)
{
    return index == 0 || index > check->committed_index
               ? NULL
               : ghost_find(check->ghost, index, check->committed[index]);
}

/* ------------------------------------------------------------------ leaders */

static void note_leader(check_raft *check, uint32_t member, uint64_t term)
{
    check_term *of = term_of(check, term);
    if (of->leader == 0) {
        of->leader = member + 1;
    } else if (of->leader != member + 1) {
        check_fail(check->report, "R1", "members %u and %u both lead in term %llu", of->leader,
                   member + 1, U(term));
    }
}

/* R4, as soon as the view is what the leader has in memory. */
static void check_complete(check_raft *check, uint32_t member, uint64_t term)
{
    const ghost_member *of = &check->ghost->members[member];
    uint64_t index = check->committed_index;
    if (ghost_is_busy(of) || check->members[member].complete_term == term) {
        return;
    }
    check->members[member].complete_term = term;
    if (index <= of->view.snapshot_index || index < of->view.first) {
        return;
    }
    if (ghost_term(&of->view, index) != check->committed[index]) {
        check_fail(check->report, "R4",
                   "member %u leads in term %llu without entry %llu of term %llu, which was "
                   "committed",
                   member + 1, U(term), U(index), U(check->committed[index]));
    }
}

/* ------------------------------------------------------------------ storage */

/* What an APPEND replaces: R2, R6. */
static void check_replaced(check_raft *check, uint32_t member, uint64_t first, uint64_t last,
                           const uint64_t *terms)
{
    const ghost_log *view = &check->ghost->members[member].view;
    const check_raft_member *of = &check->members[member];
    uint64_t lost = first; /* the first index whose entry does not stay */
    while (lost <= last && lost <= view->last && ghost_term(view, lost) == terms[lost - first]) {
        lost++;
    }
    if (lost > view->last) {
        return;
    }
    if (lost <= check->committed_index && ghost_term(view, lost) == check->committed[lost]) {
        check_fail(check->report, "R6",
                   "member %u drops entry %llu of term %llu, which is committed", member + 1,
                   U(lost), U(check->committed[lost]));
    }
    if (lost <= of->acked_index && of->acked_term == of->last.term) {
        check_fail(check->report, "R6",
                   "member %u drops entry %llu, which it acknowledged in the same term %llu",
                   member + 1, U(lost), U(of->acked_term));
    }
    if (of->last.role == KVR_ROLE_LEADER && of->complete_term == of->last.term) {
        check_fail(check->report, "R2", "member %u leads in term %llu and drops its own entry %llu",
                   member + 1, U(of->last.term), U(lost));
    }
}

static void check_append(check_raft *check, uint32_t member, const kvr_store_request *request)
{
    uint64_t *terms = check_alloc(request->entry_count * sizeof *terms);
    uint32_t count = 0;
    for (uint32_t i = 0; i < request->piece_count; i++) {
        kvr_slice left = request->pieces[i];
        kvr_entry entry;
        size_t size;
        while (count < request->entry_count && left.size > 0 &&
               wire_read_entry(&left, &entry, &size)) {
            terms[count++] = entry.term;
            if (entry.kind == KVR_ENTRY_CONFIG) {
                check_members_saw(&check->configurations, entry.index, entry.term, &entry.command);
            }
            left = (kvr_slice){left.data + size, left.size - size};
        }
    }
    if (count > 0) {
        check_replaced(check, member, request->first_index, request->first_index + count - 1,
                       terms);
    }
    free(terms);
}

/* R12: the log that the candidate showed is not behind the one that is here now. */
static void check_grant(check_raft *check, uint32_t member, const kvr_store_request *request)
{
    uint64_t candidate = request->voted_for - 1;
    const check_term *term = term_of(check, request->term);
    const ghost_log *view = &check->ghost->members[member].view;
    if (candidate == member || candidate >= CHECK_MEMBERS_MAX ||
        term->votes[member] == request->voted_for) {
        return;
    }
    if (term->leader == request->voted_for) {
        return; /* elected by others before this disk came to it: what is here now came from it */
    }
    uint64_t last = view->last > view->snapshot_index ? view->last : view->snapshot_index;
    uint64_t last_term = ghost_term(view, last);
    if (!term->asked[candidate]) {
        check_fail(check->report, "R12", "member %u votes for %llu in term %llu, who did not ask",
                   member + 1, U(request->voted_for), U(request->term));
    } else if (!ghost_is_busy(&check->ghost->members[member]) &&
               (term->asked_term[candidate] < last_term ||
                (term->asked_term[candidate] == last_term &&
                 term->asked_index[candidate] < last))) {
        check_fail(check->report, "R12",
                   "member %u, whose log ends at %llu of term %llu, votes for %llu, whose ends at "
                   "%llu of term %llu",
                   member + 1, U(last), U(last_term), U(request->voted_for),
                   U(term->asked_index[candidate]), U(term->asked_term[candidate]));
    }
}

static void check_vote(check_raft *check, uint32_t member, const kvr_store_request *request)
{
    const ghost_vote *durable = &check->ghost->members[member].vote;
    uint64_t before = term_of(check, request->term)->votes[member];
    if (request->term < durable->term || request->incarnation < durable->incarnation) {
        check_fail(check->report, "R9", "member %u goes back from term %llu to %llu", member + 1,
                   U(durable->term), U(request->term));
    }
    if (before != 0 && before != request->voted_for) {
        check_fail(check->report, "R9", "member %u votes for %llu in term %llu after %llu",
                   member + 1, U(request->voted_for), U(request->term), U(before));
    }
    if (request->voted_for != 0) {
        check_grant(check, member, request);
    }
}

static void check_snapshot(check_raft *check, uint32_t member, const kvr_store_request *request)
{
    const kvr_snapshot_meta *meta = &request->snapshot;
    if (meta->index > check->committed_index) {
        check_fail(check->report, "R5",
                   "member %u writes a snapshot at %llu, which is not committed", member + 1,
                   U(meta->index));
    }
    if ((request->flags & KVR_STORE_LAST) != 0 && meta->configuration.size > 0) {
        check_members_saw(&check->configurations, meta->index, meta->term, &meta->configuration);
    }
}

void check_raft_submitted(check_raft *check, uint32_t member, const kvr_store_request *request)
{
    if (request->kind == KVR_STORE_APPEND) {
        check_append(check, member, request);
    } else if (request->kind == KVR_STORE_VOTE) {
        check_vote(check, member, request);
    } else if (request->kind == KVR_STORE_SNAPSHOT_WRITE) {
        check_snapshot(check, member, request);
    }
}

void check_raft_stored(check_raft *check, uint32_t member, const kvr_store_request *request,
                       const kvr_store_result *result)
{
    if (request->kind == KVR_STORE_VOTE && result->status == KVR_OK && request->voted_for != 0) {
        term_of(check, request->term)->votes[member] = request->voted_for;
    }
    if (request->kind == KVR_STORE_LOAD && result->status == KVR_OK && result->voted_for != 0) {
        /* of a life that ended before it heard that it was durable */
        term_of(check, result->term)->votes[member] = result->voted_for;
    }
}

/* ------------------------------------------------------------------ messages: W9 */

static void check_promise(check_raft *check, uint32_t member, const wire_message *message)
{
    const ghost_member *of = &check->ghost->members[member];
    const ghost_vote *vote = &of->vote;
    switch (message->type) {
    case WIRE_VOTE:
        if (vote->term != message->term || vote->voted_for != member + 1) {
            check_fail(check->report, "W9", "member %u campaigns in term %llu before it is durable",
                       member + 1, U(message->term));
        }
        break;
    case WIRE_VOTE_REPLY:
        if ((message->flags & 1) != 0 &&
            (vote->term != message->asked_term || vote->voted_for != message->to)) {
            check_fail(check->report, "W9",
                       "member %u grants %llu its vote in term %llu before it is durable",
                       member + 1, U(message->to), U(message->asked_term));
        }
        break;
    case WIRE_APPEND_REPLY:
        if ((message->flags & 1) == 0 && message->index > of->durable_index &&
            message->index > of->durable.snapshot_index) {
            check_fail(check->report, "W9",
                       "member %u acknowledges entry %llu; durable is only %llu", member + 1,
                       U(message->index), U(of->durable_index));
        }
        break;
    case WIRE_SNAPSHOT_REPLY:
        if ((message->flags & 1) != 0 && message->index > of->durable.snapshot_index &&
            message->index > of->durable_index) {
            check_fail(check->report, "W9",
                       "member %u says snapshot %llu is installed before it is durable", member + 1,
                       U(message->index));
        }
        break;
    default:
        break;
    }
    if (message->term > vote->term) {
        check_fail(check->report, "W9",
                   "member %u sends message type %u of term %llu; durable is term %llu", member + 1,
                   message->type, U(message->term), U(vote->term));
    }
}

void check_raft_sent(check_raft *check, uint32_t member, const kvr_slice *bytes)
{
    wire_message message;
    if (!wire_read(bytes, &message) || message.from != member + 1) {
        check_fail(check->report, "W1", "member %u sends a message that does not decode",
                   member + 1);
        return;
    }
    check_promise(check, member, &message);
    if (message.type == WIRE_APPEND || message.type == WIRE_HEARTBEAT ||
        message.type == WIRE_SNAPSHOT) {
        note_leader(check, member, message.term);
    }
    if (message.type == WIRE_VOTE) {
        check_term *term = term_of(check, message.term);
        term->asked[member] = true;
        term->asked_index[member] = message.last_index;
        term->asked_term[member] = message.last_term;
    }
    check_raft_member *of = &check->members[member];
    if (message.type == WIRE_APPEND_REPLY && (message.flags & 1) == 0) {
        if (message.term != of->acked_term || message.index > of->acked_index) {
            of->acked_term = message.term;
            of->acked_index = message.index;
        }
    }
}

/* ------------------------------------------------------------------ status */

static uint32_t durable_copies(const check_raft *check, uint64_t index, uint64_t term)
{
    uint32_t copies = 0;
    for (uint32_t i = 0; i < check->ghost->member_count; i++) {
        const ghost_log *durable = &check->ghost->members[i].durable;
        bool has = durable->snapshot_index >= index || ghost_term(durable, index) == term;
        copies |= has ? 1u << i : 0;
    }
    return copies;
}

/* What the leader counts in: it stands in its log, or in its snapshot. NULL: nobody wrote it
 * yet. */
static const check_configuration *counts_in(check_raft *check, uint32_t member,
                                            const kvr_raft_status *status)
{
    uint64_t index = status->configuration_index;
    uint64_t term = ghost_term(&check->ghost->members[member].view, index);
    return check_members_find(&check->configurations, index, term != 0 ? term : status->term);
}

/* A leader of `term` says that everything up to `index` is committed: R4 (only own terms), R8 (a
 * quorum has it). */
static void commit(check_raft *check, uint32_t member, const kvr_raft_status *status)
{
    const ghost *g = check->ghost;
    uint64_t index = status->commit_index;
    uint64_t term = status->term;
    if (ghost_find(g, index, term) == NULL) {
        check_fail(check->report, "R4",
                   "leader %u of term %llu commits entry %llu, which is not of its own term",
                   member + 1, U(term), U(index));
        return;
    }
    uint32_t copies = durable_copies(check, index, term);
    const check_configuration *of = counts_in(check, member, status);
    /* It may have counted before it appended the next configuration, in one event. */
    const kvr_raft_status *last = &check->members[member].last;
    const check_configuration *before = last->term == term ? counts_in(check, member, last) : NULL;
    bool counted = of == NULL || check_members_is_quorum(of, copies) ||
                   (before != NULL && check_members_is_quorum(before, copies));
    if (!counted) {
        check_fail(check->report, "R8",
                   "leader %u commits entry %llu, which %x have on disk; voters are %x and %x",
                   member + 1, U(index), copies, of->incoming, of->outgoing);
    }
    check_grow((void **)&check->committed, &check->committed_capacity, (uint32_t)index + 1,
               sizeof *check->committed);
    uint64_t at = index;
    uint64_t here = term;
    while (at > check->committed_index) {
        const ghost_entry *entry = ghost_find(g, at, here);
        if (entry == NULL) {
            check_fail(check->report, "R8", "leader %u commits over entry %llu, which nobody has",
                       member + 1, U(at));
            return;
        }
        check->committed[at--] = here;
        here = entry->prev_term;
    }
    if (at > 0 && here != check->committed[at]) {
        check_fail(check->report, "R5",
                   "leader %u of term %llu commits entry %llu over an entry %llu of term %llu; "
                   "committed there was term %llu",
                   member + 1, U(term), U(index), U(at), U(here), U(check->committed[at]));
        return;
    }
    check->committed_index = index;
}

/* R5: the member's own log says the same, where it still has it and all of it was submitted: what
 * comes to a full disk waits in memory. */
static void verify_committed(check_raft *check, uint32_t member, const kvr_raft_status *status)
{
    check_raft_member *of = &check->members[member];
    const ghost_member *disk = &check->ghost->members[member];
    if (ghost_is_busy(disk)) {
        return;
    }
    const ghost_log *view = &disk->view;
    uint64_t commit_index = status->commit_index;
    if (status->no_space != 0 && view->last < commit_index) {
        commit_index = view->last;
    }
    of->verified = of->verified < view->snapshot_index ? view->snapshot_index : of->verified;
    of->verified = of->verified + 1 < view->first ? view->first - 1 : of->verified;
    while (of->verified < commit_index) {
        uint64_t index = of->verified + 1;
        if (check->memory_fails && index > view->last) {
            return; /* it has the entry, and tries again to ask its disk */
        }
        if (ghost_term(view, index) != check->committed[index]) {
            check_fail(check->report, "R5",
                       "member %u says that its entry %llu of term %llu is committed; it is that "
                       "of term %llu",
                       member + 1, U(index), U(ghost_term(view, index)),
                       U(check->committed[index]));
            return;
        }
        of->verified = index;
    }
}

static void check_steps(check_raft *check, uint32_t member, const kvr_raft_status *status,
                        uint32_t message_type)
{
    const kvr_raft_status *last = &check->members[member].last;
    if (status->term < last->term) {
        check_fail(check->report, "R9", "member %u goes back from term %llu to %llu", member + 1,
                   U(last->term), U(status->term));
    }
    if (status->commit_index < last->commit_index) {
        check_fail(check->report, "R8", "member %u goes back from commit %llu to %llu", member + 1,
                   U(last->commit_index), U(status->commit_index));
    }
    if (status->applied_index < last->applied_index) {
        check_fail(check->report, "R7", "member %u goes back from applied %llu to %llu", member + 1,
                   U(last->applied_index), U(status->applied_index));
    }
    /* One that stood still, or was told to campaign, may vote for itself in the same event. */
    bool campaigns = status->term == last->term + 1 && status->voted_for == member + 1;
    if (message_type == WIRE_PREVOTE && last->size != 0 && !campaigns &&
        (status->term != last->term || status->voted_for != last->voted_for)) {
        check_fail(check->report, "R12", "a prevote changed the term or vote of member %u",
                   member + 1);
    }
}

void check_raft_commit(check_raft *check, uint32_t member, const kvr_raft_status *status)
{
    const kvr_raft_status *last = &check->members[member].last;
    uint64_t index = status->commit_index;
    if (status->role == KVR_ROLE_LEADER) {
        note_leader(check, member, status->term);
        if (index > check->committed_index) {
            commit(check, member, status);
        }
    } else if (last->role == KVR_ROLE_LEADER && index > check->committed_index &&
               ghost_find(check->ghost, index, last->term) != NULL) {
        /* It committed and stepped down in one event: it had stood still. */
        kvr_raft_status then = *status;
        then.term = last->term;
        commit(check, member, &then);
    }
}

void check_raft_status(check_raft *check, uint32_t member, const kvr_raft_status *status,
                       uint32_t message_type)
{
    check_raft_member *of = &check->members[member];
    const ghost_member *disk = &check->ghost->members[member];
    if (status->role == KVR_ROLE_LOADING) {
        return;
    }
    check_steps(check, member, status, message_type);
    if (status->applied_index > status->commit_index || status->commit_index > status->last_index) {
        check_fail(check->report, "R7", "member %u: applied %llu, commit %llu, last %llu",
                   member + 1, U(status->applied_index), U(status->commit_index),
                   U(status->last_index));
    }
    if (status->durable_index > disk->durable_index &&
        status->durable_index > disk->durable.snapshot_index) {
        check_fail(check->report, "W3", "member %u takes %llu for durable; it is %llu", member + 1,
                   U(status->durable_index), U(disk->durable_index));
    }
    check_raft_commit(check, member, status);
    if (status->role == KVR_ROLE_LEADER) {
        check_complete(check, member, status->term);
    } else if (status->commit_index > check->committed_index) {
        check_fail(check->report, "R8", "member %u says %llu is committed before any leader does",
                   member + 1, U(status->commit_index));
        return;
    }
    if (!check->report->failed) {
        verify_committed(check, member, status);
    }
    of->last = *status;
}

/* ------------------------------------------------------------------ progress: R10 */

void check_raft_progress(check_raft *check, uint32_t member, const kvr_raft_progress *progress)
{
    check_raft_member *of = &check->members[member];
    uint64_t follower = progress->id - 1;
    uint64_t match = progress->match;
    if (of->last.role != KVR_ROLE_LEADER || follower >= check->ghost->member_count ||
        follower == member) {
        return;
    }
    if (of->match_term != of->last.term) {
        memset(of->match, 0, sizeof of->match);
        of->match_term = of->last.term;
    }
    if (match < of->match[follower] || progress->next <= match) {
        check_fail(check->report, "R10", "leader %u: match of %llu is %llu after %llu, next %llu",
                   member + 1, U(progress->id), U(match), U(of->match[follower]),
                   U(progress->next));
    }
    of->match[follower] = match;
    if (check->ghost->members[follower].vote.term > of->last.term) {
        return; /* it follows another one, who may have replaced what this one knew of */
    }
    const ghost_log *durable = &check->ghost->members[follower].durable;
    uint64_t ours = ghost_term(&check->ghost->members[member].view, match);
    if (match > durable->snapshot_index && ours != 0 && ghost_term(durable, match) != ours) {
        check_fail(check->report, "R10",
                   "leader %u believes that %llu has entry %llu of term %llu; it has term %llu",
                   member + 1, U(progress->id), U(match), U(ours), U(ghost_term(durable, match)));
    }
}

/* ------------------------------------------------------------------ configuration: R11 */

void check_raft_configuration(check_raft *check, uint32_t member, uint64_t index,
                              const kvr_raft_progress *configured, uint32_t count)
{
    uint64_t term = ghost_term(&check->ghost->members[member].view, index);
    check_members_use(&check->configurations, member, index, term, configured, count);
}
