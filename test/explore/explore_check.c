/* SPDX-License-Identifier: Apache-2.0 */
/* explore_check.c: what must be true in every state: R1 one leader a term; R9 one vote a term; R5
 * one entry at a committed index, one state after it; R4 a leader has all that was committed in
 * earlier terms; R3 logs that agree at a place agree before it; R8 what is committed is on a quorum
 * of disks; W9 what a message says is durable. What the library asserts of itself is checked
 * beside. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/assertion.h"
#include "explore.h"
#include "raft/raft_message.h"
#include "raft/raft_state.h"

const char *ex_failure;
char ex_failure_text[256];

void ex_fail(const char *invariant, const char *format, ...)
{
    if (ex_failure != NULL) {
        return;
    }
    ex_failure = invariant;
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(ex_failure_text, sizeof ex_failure_text, format, arguments);
    va_end(arguments);
}

#define U(x) ((unsigned long long)(x))

void ex_check_vote(uint32_t member, uint64_t term, uint64_t voted_for)
{
    KVR_ASSERT(term < EX_TERM_MAX);
    uint8_t *vote = &world.past.votes[term][member];
    if (*vote != 0 && *vote != voted_for) {
        ex_fail("R9", "member %u votes for %llu in term %llu after %u", member + 1, U(voted_for),
                U(term), *vote);
    }
    *vote = (uint8_t)voted_for;
    if (term < world.members[member].disk.term) {
        ex_fail("R9", "member %u goes back to term %llu", member + 1, U(term));
    }
}

/* On how many disks the entry is, or a snapshot that holds it. */
static uint32_t copies_of(uint64_t index, uint64_t term)
{
    uint32_t copies = 0;
    for (uint32_t i = 0; i < world.left.members; i++) {
        const ex_disk *disk = &world.members[i].disk;
        copies += disk->snapshot_index >= index ||
                  (index >= disk->first && index <= disk->last && disk->log[index].term == term);
    }
    return copies;
}

static uint64_t highest_term(void)
{
    uint64_t term = 0;
    for (uint32_t i = 0; i < world.left.members; i++) {
        uint64_t its = world.members[i].raft->term;
        term = its > term ? its : term;
    }
    return term;
}

void ex_check_applied(uint32_t member, const kvr_entry *entry)
{
    ex_past *past = &world.past;
    uint64_t index = entry->index;
    KVR_ASSERT(index < EX_INDEX_MAX);
    if (past->committed[index] == 0) {
        past->committed[index] = entry->term;
        past->chains[index] = world.members[member].chain;
        past->since[index] = highest_term();
        past->committed_last = index;
        if (copies_of(index, entry->term) <= world.left.members / 2U) {
            ex_fail("R8", "member %u commits entry %llu of term %llu, which a minority has",
                    member + 1, U(index), U(entry->term));
        }
    } else if (past->committed[index] != entry->term ||
               past->chains[index] != world.members[member].chain) {
        ex_fail("R5", "member %u applies entry %llu of term %llu; it was that of term %llu",
                member + 1, U(index), U(entry->term), U(past->committed[index]));
    }
}

void ex_check_installed(uint32_t member, uint64_t index, uint64_t chain)
{
    if (world.past.committed[index] == 0 || world.past.chains[index] != chain) {
        ex_fail("R5", "member %u installs another state at %llu", member + 1, U(index));
    }
}

void ex_check_sent(uint32_t member, const kvr_message *message)
{
    const ex_disk *disk = &world.members[member].disk;
    kvr__raft_message read;
    kvr_status status = kvr__raft_message_read(message->bytes, &read);
    KVR_ASSERT(status == KVR_OK);
    if (read.head.term > disk->term) {
        ex_fail("W9", "member %u sends a message of term %llu; durable is %llu", member + 1,
                U(read.head.term), U(disk->term));
    }
    if (read.head.type == KVR__RAFT_VOTE_REPLY) {
        kvr__raft_vote_reply reply;
        kvr__raft_message_read_vote_reply(read.body, &reply);
        if ((reply.flags & KVR__RAFT_GRANTED) != 0 &&
            (disk->term != reply.asked_term || disk->voted_for != message->to)) {
            ex_fail("W9", "member %u grants a vote that is not durable", member + 1);
        }
    }
    if (read.head.type == KVR__RAFT_APPEND_REPLY) {
        kvr__raft_append_reply reply;
        kvr__raft_message_read_append_reply(read.body, &reply);
        if ((reply.flags & KVR__RAFT_REFUSED) == 0 && reply.index > disk->last &&
            reply.index > disk->snapshot_index) {
            ex_fail("W9", "member %u acknowledges %llu; durable is %llu", member + 1,
                    U(reply.index), U(disk->last));
        }
    }
}

static void check_leader(uint32_t member)
{
    const kvr_raft *raft = world.members[member].raft;
    if (raft->role != KVR_ROLE_LEADER) {
        return;
    }
    KVR_ASSERT(raft->term < EX_TERM_MAX);
    uint8_t *leader = &world.past.leaders[raft->term];
    if (*leader != 0 && *leader != member + 1) {
        ex_fail("R1", "%u and %u lead in term %llu", *leader, member + 1, U(raft->term));
    }
    if (*leader != 0) {
        return; /* R4 holds of the moment when it begins to lead */
    }
    *leader = (uint8_t)(member + 1);
    for (uint64_t i = raft->log.base_index; i <= world.past.committed_last; i++) {
        uint64_t term = 0;
        if (world.past.committed[i] != 0 && world.past.since[i] < raft->term &&
            (!kvr__raft_log_term(&raft->log, i, &term) || term != world.past.committed[i])) {
            ex_fail("R4", "member %u leads in term %llu without entry %llu of term %llu",
                    member + 1, U(raft->term), U(i), U(world.past.committed[i]));
        }
    }
}

/* R3: from the last place where they agree back, they agree. */
static void check_logs(const kvr__raft_log *a, const kvr__raft_log *b)
{
    uint64_t first = a->base_index > b->base_index ? a->base_index : b->base_index;
    uint64_t last = a->last_index < b->last_index ? a->last_index : b->last_index;
    bool agree = false;
    for (uint64_t i = last; i > first; i--) {
        uint64_t ours = kvr__raft_log_item_at(a, i)->term;
        uint64_t theirs = kvr__raft_log_item_at(b, i)->term;
        if (agree && ours != theirs) {
            ex_fail("R3", "two logs agree above %llu and not there", U(i));
        }
        agree = agree || ours == theirs;
    }
}

void ex_check(void)
{
    for (uint32_t i = 0; i < world.left.members; i++) {
        check_leader(i);
        for (uint32_t j = 0; j < i; j++) {
            check_logs(&world.members[i].raft->log, &world.members[j].raft->log);
        }
    }
}
