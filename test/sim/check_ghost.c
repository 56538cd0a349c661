/* SPDX-License-Identifier: Apache-2.0 */
/* check_ghost.c: see check_ghost.h. */
#include "check_ghost.h"

#include <stdlib.h>
#include <string.h>

#include "check_decode.h"

ghost *ghost_new(uint32_t member_count, check_report *report)
{
    ghost *g = check_alloc(sizeof *g);
    g->report = report;
    g->member_count = member_count;
    for (uint32_t i = 0; i < member_count; i++) {
        g->members[i].durable.first = 1;
        g->members[i].view.first = 1;
    }
    return g;
}

void ghost_free(ghost *g)
{
    for (uint32_t i = 0; i < g->slot_count; i++) {
        for (uint32_t j = 0; j < g->slots[i].count; j++) {
            free(g->slots[i].items[j].command);
        }
        free(g->slots[i].items);
    }
    free(g->slots);
    for (uint32_t i = 0; i < g->member_count; i++) {
        ghost_member *member = &g->members[i];
        for (uint32_t j = 0; j < member->pending.count; j++) {
            free(member->pending.items[j].terms);
        }
        free(member->pending.items);
        free(member->durable.terms);
        free(member->view.terms);
    }
    free(g);
}

/* ------------------------------------------------------------------ one log */

static void log_room(ghost_log *log, uint64_t last)
{
    check_grow((void **)&log->terms, &log->capacity, (uint32_t)last + 1, sizeof *log->terms);
}

uint64_t ghost_term(const ghost_log *log, uint64_t index)
{
    if (index != 0 && index == log->snapshot_index) {
        return log->snapshot_term;
    }
    return index < log->first || index > log->last ? 0 : log->terms[index];
}

static void log_append(ghost_log *log, uint64_t first, uint64_t last, const uint64_t *terms)
{
    log_room(log, last);
    memcpy(log->terms + first, terms, (last - first + 1) * sizeof *terms);
    log->last = last;
    log->first = log->first > first ? first : log->first;
}

static void log_reset(ghost_log *log, uint64_t first)
{
    log->first = first;
    log->last = first - 1;
}

static void log_copy(ghost_log *to, const ghost_log *from)
{
    log_room(to, from->last);
    if (from->last >= from->first) {
        memcpy(to->terms + from->first, from->terms + from->first,
               (from->last - from->first + 1) * sizeof *to->terms);
    }
    to->first = from->first;
    to->last = from->last;
    to->snapshot_index = from->snapshot_index;
    to->snapshot_term = from->snapshot_term;
}

/* What a request does to a log. */
static void log_do(ghost_log *log, const ghost_request *request)
{
    switch (request->kind) {
    case KVR_STORE_APPEND:
        log_append(log, request->first, request->last, request->terms);
        break;
    case KVR_STORE_DISCARD:
        if (request->all) {
            log_reset(log, request->first);
        }
        break;
    case KVR_STORE_SNAPSHOT_WRITE:
        if (request->snapshot_index > log->snapshot_index) {
            log->snapshot_index = request->snapshot_index;
            log->snapshot_term = request->snapshot_term;
        }
        break;
    default:
        break;
    }
}

/* ------------------------------------------------------------------ the registry */

const ghost_entry *ghost_find(const ghost *g, uint64_t index, uint64_t term)
{
    if (index >= g->slot_count) {
        return NULL;
    }
    const ghost_slot *slot = &g->slots[index];
    for (uint32_t i = slot->count; i > 0; i--) {
        if (slot->items[i - 1].term == term) {
            return &slot->items[i - 1];
        }
    }
    return NULL;
}

bool ghost_is_same(const ghost_entry *known, const kvr_entry *entry)
{
    return known->checksum == check_hash(0, entry->bytes.data, entry->bytes.size);
}

/* R3: whoever has (index, term) has the same entry there and the same term before it. */
static void register_entry(ghost *g, uint32_t member, const kvr_entry *entry, uint64_t prev_term)
{
    const ghost_entry *known = ghost_find(g, entry->index, entry->term);
    if (known != NULL) {
        if (!ghost_is_same(known, entry) || known->prev_term != prev_term) {
            check_fail(g->report, "R3", "member %u has another entry %llu of term %llu%s",
                       member + 1, (unsigned long long)entry->index,
                       (unsigned long long)entry->term,
                       known->prev_term != prev_term ? ", after another term" : "");
        }
        return;
    }
    check_grow((void **)&g->slots, &g->slot_capacity, (uint32_t)entry->index + 1, sizeof *g->slots);
    g->slot_count = entry->index >= g->slot_count ? (uint32_t)entry->index + 1 : g->slot_count;
    ghost_slot *slot = &g->slots[entry->index];
    check_grow((void **)&slot->items, &slot->capacity, slot->count + 1, sizeof *slot->items);
    ghost_entry *fresh = &slot->items[slot->count++];
    *fresh = (ghost_entry){
        .term = entry->term,
        .prev_term = prev_term,
        .submitted_ns = g->now_ns,
        .lease_clock = entry->lease_clock,
        .checksum = check_hash(0, entry->bytes.data, entry->bytes.size),
        .command = check_alloc(entry->command.size),
        .command_size = (uint32_t)entry->command.size,
        .kind = entry->kind,
    };
    if (entry->command.size > 0) {
        memcpy(fresh->command, entry->command.data, entry->command.size);
    }
}

/* ------------------------------------------------------------------ requests */

static void read_append(ghost *g, uint32_t member, const kvr_store_request *request,
                        ghost_request *out)
{
    const ghost_log *view = &g->members[member].view;
    uint64_t index = request->first_index;
    uint64_t prev_term = ghost_term(view, index - 1);
    /* While a newer snapshot is installed, the log still goes on behind the one that is there. */
    if (prev_term == 0 && index > 1) {
        prev_term = ghost_term(&g->members[member].durable, index - 1);
    }
    out->terms = check_alloc(request->entry_count * sizeof *out->terms);
    for (uint32_t i = 0; i < request->piece_count; i++) {
        kvr_slice left = request->pieces[i];
        while (left.size > 0) {
            kvr_entry entry;
            size_t size;
            if (!wire_read_entry(&left, &entry, &size) || entry.index != index ||
                index > request->last_index) {
                check_fail(g->report, "W1", "member %u appends bytes that are not entry %llu",
                           member + 1, (unsigned long long)index);
                return;
            }
            register_entry(g, member, &entry, prev_term);
            out->terms[index - request->first_index] = entry.term;
            prev_term = entry.term;
            index++;
            left = (kvr_slice){left.data + size, left.size - size};
        }
    }
    if (index != request->last_index + 1 || prev_term != request->last_term) {
        check_fail(g->report, "W1", "member %u appends %llu..%llu but names %llu as the last",
                   member + 1, (unsigned long long)request->first_index,
                   (unsigned long long)(index - 1), (unsigned long long)request->last_index);
    }
}

/* How far the view is durable: as far as the durable log goes, but for what is about to be
 * replaced. */
static void find_durable_index(ghost_member *of)
{
    of->durable_index = of->durable.last;
    for (uint32_t i = 0; i < of->pending.count; i++) {
        const ghost_request *request = &of->pending.items[i];
        bool replaces = request->kind == KVR_STORE_APPEND || request->all;
        if (replaces && request->first <= of->durable_index) {
            of->durable_index = request->first - 1;
        }
    }
}

static bool is_change(const kvr_store_request *request)
{
    return request->kind == KVR_STORE_APPEND || request->kind == KVR_STORE_VOTE ||
           request->kind == KVR_STORE_DISCARD ||
           (request->kind == KVR_STORE_SNAPSHOT_WRITE && (request->flags & KVR_STORE_LAST) != 0);
}

/* A new life begins, and counts its tokens anew. */
static void forget_tokens(ghost_member *of)
{
    for (uint32_t i = 0; i < of->pending.count; i++) {
        of->pending.items[i].token = UINT64_MAX;
    }
}

void ghost_submitted(ghost *g, uint32_t member, const kvr_store_request *request)
{
    ghost_member *of = &g->members[member];
    if (request->kind == KVR_STORE_LOAD) {
        forget_tokens(of);
    }
    if (!is_change(request)) {
        return;
    }
    ghost_request fresh = {
        .token = request->token,
        .kind = request->kind,
        .first = request->first_index,
        .last = request->last_index,
        .vote = {request->term, request->voted_for, request->incarnation},
        .snapshot_index = request->snapshot.index,
        .snapshot_term = request->snapshot.term,
        .all = request->kind == KVR_STORE_DISCARD && (request->flags & KVR_STORE_ALL) != 0,
    };
    if (request->kind == KVR_STORE_APPEND) {
        if (request->first_index > of->view.last + 1 || request->entry_count == 0 ||
            request->last_index + 1 - request->first_index != request->entry_count) {
            check_fail(g->report, "W3",
                       "member %u appends %llu..%llu behind a log that ends at %llu", member + 1,
                       (unsigned long long)request->first_index,
                       (unsigned long long)request->last_index, (unsigned long long)of->view.last);
            return;
        }
        read_append(g, member, request, &fresh);
        of->refused_first = request->first_index <= of->refused_first ? 0 : of->refused_first;
    } else if (request->kind == KVR_STORE_DISCARD) {
        of->discarded = request->first_index > of->discarded ? request->first_index : of->discarded;
    }
    log_do(&of->view, &fresh);
    check_grow((void **)&of->pending.items, &of->pending.capacity, of->pending.count + 1,
               sizeof *of->pending.items);
    of->pending.items[of->pending.count++] = fresh;
    find_durable_index(of);
}

static void drop_pending(ghost_member *of, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        free(of->pending.items[i].terms);
    }
    of->pending.count -= count;
    memmove(of->pending.items, of->pending.items + count,
            of->pending.count * sizeof *of->pending.items);
}

/* The first ones that are answered become durable, in the order of execution. */
static void retire(ghost_member *of)
{
    uint32_t count = 0;
    if (of->left > 0) {
        return;
    }
    while (count < of->pending.count && of->pending.items[count].done) {
        const ghost_request *request = &of->pending.items[count++];
        if (!request->void_) {
            log_do(&of->durable, request);
        }
    }
    drop_pending(of, count);
    find_durable_index(of);
}

/* A snapshot that could not be written is not one. */
static void forget_snapshot(ghost_member *of)
{
    of->view.snapshot_index = of->durable.snapshot_index;
    of->view.snapshot_term = of->durable.snapshot_term;
    for (uint32_t i = 0; i < of->pending.count; i++) {
        const ghost_request *request = &of->pending.items[i];
        if (request->kind == KVR_STORE_SNAPSHOT_WRITE && !request->void_) {
            log_do(&of->view, request);
        }
    }
}

bool ghost_is_busy(const ghost_member *member)
{
    return member->pending.count > 0 || member->refused_first != 0;
}

void ghost_stored(ghost *g, uint32_t member, const kvr_store_request *request,
                  const kvr_store_result *result)
{
    ghost_member *of = &g->members[member];
    if (!is_change(request)) {
        return;
    }
    for (uint32_t i = 0; i < of->pending.count; i++) {
        ghost_request *found = &of->pending.items[i];
        if (found->token != request->token || found->done) {
            continue;
        }
        if (result->status != KVR_OK && result->status != KVR_ENOSPACE) {
            return; /* the member stops, and nobody knows what reached the disk */
        }
        found->done = true;
        found->void_ = result->status != KVR_OK;
        if (found->void_ && found->kind == KVR_STORE_APPEND && of->refused_first == 0) {
            of->refused_first = found->first;
        }
        if (found->void_ && found->kind == KVR_STORE_SNAPSHOT_WRITE) {
            forget_snapshot(of);
        }
        if (found->kind == KVR_STORE_VOTE && !found->void_) {
            of->vote = found->vote;
        }
        break;
    }
    retire(of);
}

/* ------------------------------------------------------------------ crashes */

uint64_t ghost_term_after(const ghost_member *member, uint32_t count, uint64_t index)
{
    for (uint32_t i = count; i > 0; i--) {
        const ghost_request *request = &member->pending.items[i - 1];
        if (request->void_) {
            continue;
        }
        if (request->kind == KVR_STORE_APPEND && index >= request->first) {
            return index > request->last ? 0 : request->terms[index - request->first];
        }
        if (request->kind == KVR_STORE_DISCARD && request->all) {
            return 0;
        }
    }
    return index < member->durable.first || index > member->durable.last
               ? 0
               : member->durable.terms[index];
}

void ghost_leave(ghost_member *member)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < member->pending.count; i++) {
        uint8_t kind = member->pending.items[i].kind;
        if (kind == KVR_STORE_APPEND || kind == KVR_STORE_DISCARD) {
            member->pending.items[kept++] = member->pending.items[i];
        }
    }
    member->pending.count = kept;
    member->left = kept;
}

void ghost_settle(ghost_member *member, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        if (!member->pending.items[i].void_) {
            log_do(&member->durable, &member->pending.items[i]);
        }
    }
    drop_pending(member, member->left);
    member->left = 0;
    member->refused_first = 0;
    retire(member);
    log_copy(&member->view, &member->durable);
    for (uint32_t i = 0; i < member->pending.count; i++) {
        log_do(&member->view, &member->pending.items[i]);
    }
}
