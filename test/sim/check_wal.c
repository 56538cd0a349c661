/* SPDX-License-Identifier: Apache-2.0 */
/* check_wal.c: see check_wal.h. */
#include "check_wal.h"

#include "check_decode.h"

void check_wal_init(check_wal *check, ghost *g, check_report *report)
{
    *check = (check_wal){.ghost = g, .report = report};
}

void check_wal_settle(check_wal *check, uint32_t member)
{
    if (!check->members[member].is_open) {
        return;
    }
    ghost_member *of = &check->ghost->members[member];
    uint32_t chosen = of->left < CHECK_WAL_PENDING_MAX ? of->left : CHECK_WAL_PENDING_MAX;
    while (chosen > 0 && (check->members[member].candidates >> chosen & 1) == 0) {
        chosen--;
    }
    check->members[member].is_open = false;
    ghost_settle(of, chosen);
}

void check_wal_flush_failed(check_wal *check, uint32_t member)
{
    check->members[member].flush_failed = true;
}

void check_wal_damaged(check_wal *check, uint32_t member)
{
    check->members[member].is_damaged = true;
}

void check_wal_submitted(check_wal *check, uint32_t member, const kvr_store_request *request)
{
    if (request->kind == KVR_STORE_LOAD) {
        check->members[member].flush_failed = false; /* a new life, on what is there */
    }
    if (request->kind != KVR_STORE_LOAD && request->kind != KVR_STORE_VOTE &&
        request->kind != KVR_STORE_READ && request->kind != KVR_STORE_SNAPSHOT_READ) {
        check_wal_settle(check, member);
    }
}

/* ------------------------------------------------------------------ LOAD */

static bool is_vote(const ghost_vote *vote, const kvr_store_result *result)
{
    return vote->term == result->term && vote->voted_for == result->voted_for &&
           vote->incarnation == result->incarnation;
}

static void check_vote(check_wal *check, uint32_t member, const kvr_store_result *result)
{
    ghost_member *of = &check->ghost->members[member];
    bool found = is_vote(&of->vote, result);
    for (uint32_t i = 0; i < of->pending.count && !found; i++) {
        const ghost_request *request = &of->pending.items[i];
        found = request->kind == KVR_STORE_VOTE && is_vote(&request->vote, result);
    }
    if (!found) {
        check_fail(check->report, "W2",
                   "member %u comes back with term %llu, vote %llu, incarnation %llu; durable were "
                   "%llu, %llu, %llu",
                   member + 1, (unsigned long long)result->term,
                   (unsigned long long)result->voted_for, (unsigned long long)result->incarnation,
                   (unsigned long long)of->vote.term, (unsigned long long)of->vote.voted_for,
                   (unsigned long long)of->vote.incarnation);
    }
    of->vote = (ghost_vote){result->term, result->voted_for, result->incarnation};
}

static void check_snapshot(check_wal *check, uint32_t member, const kvr_store_result *result)
{
    ghost_member *of = &check->ghost->members[member];
    uint64_t index = result->snapshot.index;
    bool found = index == of->durable.snapshot_index &&
                 (index == 0 || result->snapshot.term == of->durable.snapshot_term);
    for (uint32_t i = 0; i < of->pending.count && !found; i++) {
        const ghost_request *request = &of->pending.items[i];
        found = request->kind == KVR_STORE_SNAPSHOT_WRITE && request->snapshot_index == index &&
                request->snapshot_term == result->snapshot.term &&
                index > of->durable.snapshot_index;
    }
    /* kvraft-wal(5): the one before is used, if the log goes on from it. */
    bool falls_back = check->members[member].is_damaged && index < of->durable.snapshot_index &&
                      result->first_index <= index + 1;
    if (!found && !falls_back) {
        check_fail(check->report, "W5",
                   "member %u comes back with snapshot %llu of term %llu; durable was %llu",
                   member + 1, (unsigned long long)index, (unsigned long long)result->snapshot.term,
                   (unsigned long long)of->durable.snapshot_index);
    }
    of->durable.snapshot_index = index;
    of->durable.snapshot_term = result->snapshot.term;
}

/* The last index that LOAD must tell if the first `count` pending ones were done. */
static uint64_t expected_last(const ghost_member *of, uint32_t count)
{
    uint64_t last = of->durable.last;
    for (uint32_t i = 0; i < count; i++) {
        const ghost_request *request = &of->pending.items[i];
        if (request->void_) {
            continue;
        }
        if (request->kind == KVR_STORE_APPEND) {
            last = request->last;
        } else if (request->all) {
            last = request->first - 1;
        }
    }
    uint64_t snapshot = of->durable.snapshot_index;
    uint64_t term = ghost_term_after(of, count, snapshot);
    bool contradicts = snapshot != 0 && term != 0 && term != of->durable.snapshot_term;
    return last < snapshot || contradicts ? snapshot : last;
}

static void check_load(check_wal *check, uint32_t member, const kvr_store_result *result)
{
    ghost_member *of = &check->ghost->members[member];
    bool again = check->members[member].is_open;
    check_vote(check, member, result);
    check_snapshot(check, member, result);
    ghost_leave(of);
    uint32_t count = of->left;
    uint64_t allowed = again ? check->members[member].candidates : UINT64_MAX;
    uint64_t candidates = 0;
    count = count > CHECK_WAL_PENDING_MAX ? CHECK_WAL_PENDING_MAX : count;
    /* requests are executed in order: those before one that was answered were done */
    uint32_t least = 0;
    for (uint32_t i = 0; i < count; i++) {
        least = of->pending.items[i].done ? i + 1 : least;
    }
    for (uint32_t i = least; i <= count; i++) {
        bool fits = (allowed >> i & 1) != 0 && expected_last(of, i) == result->last_index;
        candidates |= (uint64_t)fits << i;
    }
    if (candidates == 0) {
        check_fail(
            check->report, "W2",
            "member %u comes back with a log that ends at %llu; durable were %llu..%llu, and "
            "%u requests were under way",
            member + 1, (unsigned long long)result->last_index,
            (unsigned long long)of->durable.first, (unsigned long long)of->durable.last,
            of->pending.count);
    }
    if (result->snapshot.index + 1 < result->first_index) {
        check_fail(check->report, "W4",
                   "member %u comes back with a log that begins at %llu behind snapshot %llu",
                   member + 1, (unsigned long long)result->first_index,
                   (unsigned long long)result->snapshot.index);
    }
    if (result->first_index > 1 && result->first_index > of->discarded &&
        result->first_index > result->snapshot.index + 1) {
        check_fail(check->report, "W4", "member %u lost entries below %llu that it still needs",
                   member + 1, (unsigned long long)result->first_index);
    }
    check->members[member].is_open = true;
    check->members[member].candidates = candidates;
}

/* ------------------------------------------------------------------ READ */

/* Of the candidates, those that have `term` at `index`; while it is known which one it is, that
 * one. */
static bool narrow(check_wal *check, uint32_t member, uint64_t index, uint64_t term)
{
    const ghost_member *of = &check->ghost->members[member];
    if (!check->members[member].is_open) {
        return ghost_term(&of->view, index) == term || ghost_is_busy(of);
    }
    uint64_t candidates = check->members[member].candidates;
    for (uint32_t i = 0; i <= of->left && i <= CHECK_WAL_PENDING_MAX; i++) {
        if ((candidates >> i & 1) != 0 && ghost_term_after(of, i, index) != term) {
            candidates &= ~((uint64_t)1 << i);
        }
    }
    check->members[member].candidates = candidates;
    return candidates != 0;
}

static void check_read(check_wal *check, uint32_t member, const kvr_store_result *result)
{
    uint64_t index = result->first_index;
    for (uint32_t i = 0; i < result->piece_count; i++) {
        kvr_slice left = result->pieces[i];
        while (left.size > 0) {
            kvr_entry entry;
            size_t size;
            if (!wire_read_entry(&left, &entry, &size) || entry.index != index) {
                check_fail(check->report, "W1", "member %u reads bytes that are not entry %llu",
                           member + 1, (unsigned long long)index);
                return;
            }
            const ghost_entry *known = ghost_find(check->ghost, index, entry.term);
            if (known == NULL || !ghost_is_same(known, &entry)) {
                check_fail(check->report, "W1",
                           "member %u reads an entry %llu of term %llu that nobody wrote",
                           member + 1, (unsigned long long)index, (unsigned long long)entry.term);
                return;
            }
            if (!narrow(check, member, index, entry.term)) {
                check_fail(check->report, "W2",
                           "member %u reads entry %llu of term %llu, which was not the last there",
                           member + 1, (unsigned long long)index, (unsigned long long)entry.term);
                return;
            }
            index++;
            left = (kvr_slice){left.data + size, left.size - size};
        }
    }
}

void check_wal_stored(check_wal *check, uint32_t member, const kvr_store_request *request,
                      const kvr_store_result *result)
{
    if (result->status != KVR_OK) {
        return;
    }
    bool claims = request->kind == KVR_STORE_APPEND || request->kind == KVR_STORE_VOTE ||
                  request->kind == KVR_STORE_SNAPSHOT_WRITE || request->kind == KVR_STORE_DISCARD;
    if (claims && check->members[member].flush_failed) {
        check_fail(check->report, "W8",
                   "member %u does a request of kind %u though a flush of its disk has failed",
                   member + 1, request->kind);
    }
    if (request->kind == KVR_STORE_LOAD) {
        check_load(check, member, result);
    } else if (request->kind == KVR_STORE_READ) {
        check_read(check, member, result);
    }
}
