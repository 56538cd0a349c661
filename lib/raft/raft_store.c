/* SPDX-License-Identifier: Apache-2.0 */
/* raft_store.c: storage requests and what their answers mean. At most one request of a kind is
 * under way: while one flush lasts, the next batch fills. What an append under way will count for
 * is cut when the log is, so a late answer never vouches for entries that were replaced meanwhile
 * (FAULTS 29).
 *
 * Order is kept by waiting: no entry before the term that it belongs to is durable, none after a
 * log was replaced by a snapshot before storage has discarded the old one. Start at
 * kvr__raft_store_issue. */
#include "base/array.h"
#include "base/buffer.h"
#include "base/sized.h"
#include "raft_internal.h"

/* A request in this ready's array, all zero but its head. It may be the last that fits: fill it at
 * once. */
kvr_status kvr__raft_store_request(kvr_raft *raft, uint8_t kind, kvr_store_request **out_request)
{
    if (!kvr__raft_grow(raft, KVR__MEM_MESSAGE, (void **)&raft->requests, &raft->request_capacity,
                        raft->request_count + 1, sizeof *raft->requests)) {
        return KVR_ENOMEM;
    }
    kvr_store_request *request = &raft->requests[raft->request_count];
    raft->request_count++;
    *request = raft->store.blank;
    request->kind = kind;
    request->token = ++raft->store.token_last;
    *out_request = request;
    return KVR_OK;
}

/* What this disk has left. A leader refuses proposals by it, a follower tells its leader: at once
 * when it fills up or has room again. */
static void note_room(kvr_raft *raft, uint64_t free_bytes, bool full)
{
    if (raft->store.full != full) {
        raft->store.full = full;
        raft->heartbeat_reply = raft->role == KVR_ROLE_FOLLOWER && raft->leader != 0;
        raft->work = true;
    }
    raft->store.room_ns = raft->now;
    if (raft->store.free_bytes != free_bytes) {
        raft->store.free_bytes = free_bytes;
        kvr__raft_member *self = kvr__raft_self(raft);
        if (self != NULL) {
            self->progress.free_bytes = free_bytes;
        }
        kvr__raft_replication_update_free(raft);
    }
}

/* What a leader is told. A disk that is asked nothing never tells that it has room again: so what
 * it said is believed for an election timeout, unless it is full and asked again and again. */
uint64_t kvr__raft_store_room(const kvr_raft *raft)
{
    bool stale = raft->now - raft->store.room_ns >= raft->config.election_ns;
    return stale && !raft->store.full ? UINT64_MAX : raft->store.free_bytes;
}

/* ------------------------------------------------------------------ asking */

static kvr_status issue_vote(kvr_raft *raft)
{
    kvr_store_request *request = NULL;
    if (kvr__raft_store_request(raft, KVR_STORE_VOTE, &request) != KVR_OK) {
        return KVR_ENOMEM;
    }
    request->term = raft->term;
    request->voted_for = raft->vote;
    request->incarnation = raft->incarnation;
    raft->store.vote_token = request->token;
    raft->store.vote_term = raft->term;
    raft->store.vote_for = raft->vote;
    raft->store.vote_since_ns = raft->now;
    return KVR_OK;
}

/* Lends the run first..last of the log to `store->pieces`, a count of each buffer held in
 * `pins`. */
static kvr_status pin_pieces(kvr_raft *raft, uint64_t first, uint64_t last)
{
    kvr__raft_store *store = &raft->store;
    uint32_t want = kvr__raft_log_buffers(&raft->log, first, last);
    kvr_buf *buffer = NULL;
    if (!kvr__raft_grow(raft, KVR__MEM_MESSAGE, (void **)&store->pieces, &store->piece_capacity,
                        want, sizeof *store->pieces) ||
        !kvr__raft_grow(raft, KVR__MEM_MESSAGE, (void **)&store->pins, &store->pin_capacity, want,
                        sizeof(kvr_buf *))) {
        return KVR_ENOMEM;
    }
    store->piece_count = 0;
    for (uint64_t index = first; index <= last; store->piece_count++) {
        index = kvr__raft_log_piece(&raft->log, index, last, &store->pieces[store->piece_count],
                                    &buffer);
        store->pins[store->piece_count] = kvr__buf_retain(buffer);
    }
    return KVR_OK;
}

static void unpin_pieces(kvr_raft *raft)
{
    for (uint32_t i = 0; i < raft->store.piece_count; i++) {
        kvr__buf_release(raft->store.pins[i]);
    }
    raft->store.piece_count = 0;
}

static kvr_status issue_append(kvr_raft *raft)
{
    kvr__raft_store *store = &raft->store;
    uint64_t first = store->durable_index + 1;
    uint64_t last = kvr__raft_log_run(&raft->log, first, KVR__RAFT_APPEND_BYTES_MAX);
    kvr_store_request *request = NULL;
    if (pin_pieces(raft, first, last) != KVR_OK) {
        return KVR_ENOMEM;
    }
    if (kvr__raft_store_request(raft, KVR_STORE_APPEND, &request) != KVR_OK) {
        unpin_pieces(raft);
        return KVR_ENOMEM;
    }
    bool known = kvr__raft_log_term(&raft->log, last, &request->last_term);
    KVR_ASSERT(known);
    request->first_index = first;
    request->last_index = last;
    request->pieces = store->pieces;
    request->piece_count = store->piece_count;
    request->entry_count = (uint32_t)(last - first + 1);
    store->append_token = request->token;
    store->append_first = first;
    store->append_last = last;
    store->append_since_ns = raft->now;
    return KVR_OK;
}

/* How far the log may be discarded now: what is asked for, but nothing that is still to be written
 * or applied. */
static uint64_t discard_limit(const kvr_raft *raft)
{
    uint64_t limit = raft->store.discard_wanted;
    limit = limit < raft->store.durable_index ? limit : raft->store.durable_index;
    return limit < raft->applied ? limit : raft->applied;
}

static kvr_status issue_discard(kvr_raft *raft)
{
    kvr__raft_store *store = &raft->store;
    bool all = store->discard_all_wanted;
    if (store->discard_token != 0 || store->fetch_token != 0 || (all && store->append_token != 0)) {
        return KVR_OK;
    }
    uint64_t first = all ? raft->log.base_index + 1 : discard_limit(raft) + 1;
    if (!all && first <= store->first_index && !store->discard_again) {
        return KVR_OK;
    }
    kvr_store_request *request = NULL;
    if (kvr__raft_store_request(raft, KVR_STORE_DISCARD, &request) != KVR_OK) {
        return KVR_ENOMEM;
    }
    if (first > store->first_index) {
        store->first_index = first;
    }
    if (store->first_index - 1 > raft->log.base_index) {
        kvr__raft_log_discard(&raft->log, store->first_index - 1);
    }
    request->first_index = store->first_index;
    request->flags = all ? KVR_STORE_ALL : 0;
    store->discard_all = all;
    store->discard_all_wanted = false;
    store->discard_again = false;
    store->discard_token = request->token;
    return KVR_OK;
}

static bool append_is_due(const kvr_raft *raft)
{
    const kvr__raft_store *store = &raft->store;
    bool replaced = store->discard_all_wanted || (store->discard_all && store->discard_token != 0);
    return store->append_token == 0 && !replaced && raft->log.last_index > store->durable_index &&
           store->durable_term >= raft->log.last_term;
}

/* The write that found no room may have become needless (its entries were truncated). With nothing
 * left to try again, room is assumed to be back: the next write will tell. */
static void forget_full(kvr_raft *raft)
{
    const kvr__raft_store *store = &raft->store;
    if (raft->request_count == 0 && store->append_token == 0 && store->vote_token == 0 &&
        store->discard_token == 0 && raft->incoming.token == 0) {
        note_room(raft, UINT64_MAX, false);
    }
}

static bool vote_is_due(const kvr_raft *raft)
{
    return raft->store.vote_token == 0 &&
           (!kvr__raft_gate_is_open(raft) || raft->store.durable_incarnation != raft->incarnation);
}

static kvr_status issue_writes(kvr_raft *raft)
{
    const kvr__raft_store *store = &raft->store;
    kvr_status status = vote_is_due(raft) ? issue_vote(raft) : KVR_OK;
    if (status == KVR_OK && append_is_due(raft)) {
        status = issue_append(raft);
    }
    if (status == KVR_OK && raft->incoming.chunk_waits) {
        status = kvr__raft_incoming_store(raft);
    }
    if (status == KVR_OK && (store->discard_all_wanted || store->discard_again ||
                             store->discard_wanted >= store->first_index)) {
        status = issue_discard(raft);
    }
    if (status == KVR_OK && raft->witness) {
        status = kvr__raft_witness_compact(raft);
    }
    if (status == KVR_OK && store->full) {
        forget_full(raft);
    }
    return status;
}

/* Makes this ready's requests. Those that could be made stay if a later one finds no memory. */
kvr_status kvr__raft_store_issue(kvr_raft *raft)
{
    bool may_write = !raft->store.full || raft->now >= raft->store.retry_ns;
    if (raft->store.full && may_write) {
        raft->store.retry_ns = raft->now + raft->config.heartbeat_ns; /* the answer tells before */
    }
    kvr_status status = may_write ? issue_writes(raft) : KVR_OK;
    if (status == KVR_OK && raft->chunk_due && raft->role == KVR_ROLE_LEADER) {
        status = kvr__raft_transfer_read(raft);
    }
    if (status == KVR_OK && raft->fetch_due && raft->role == KVR_ROLE_LEADER) {
        status = kvr__raft_fetch_read(raft);
    }
    return status;
}

/* ------------------------------------------------------------------ answers */

void kvr__raft_store_truncated(kvr_raft *raft, uint64_t from)
{
    kvr__raft_store *store = &raft->store;
    if (store->durable_index >= from) {
        store->durable_index = from - 1;
    }
    if (store->append_token != 0 && store->append_last >= from) {
        store->append_last = from - 1;
    }
}

/* True if the request was done. Out of room: it is asked for again later. Anything else is
 * final. */
static bool write_succeeded(kvr_raft *raft, const kvr_store_result *result, const char *what)
{
    if (result->status == KVR_OK) {
        note_room(raft, result->free_bytes, false);
        return true;
    }
    if (result->status == KVR_ENOSPACE) {
        if (!raft->store.full) {
            kvr__raft_trace(raft, "full", raft->store.durable_index, 0);
        }
        raft->store.retry_ns = raft->now + raft->config.heartbeat_ns;
        note_room(raft, 0, true);
        return false;
    }
    kvr__raft_fail(raft, result->status == KVR_ECORRUPT ? KVR_FCORRUPT : KVR_FSTORAGE, what,
                   result->detail);
    return false;
}

static void vote_done(kvr_raft *raft, const kvr_store_result *result)
{
    raft->store.vote_token = 0;
    raft->work = true;
    if (!write_succeeded(raft, result, "storing term and vote failed")) {
        return;
    }
    raft->store.durable_term = raft->store.vote_term;
    raft->store.durable_vote = raft->store.vote_for;
    raft->store.durable_incarnation = raft->incarnation;
    if (raft->store.load_stage == KVR__RAFT_LOAD_ENTRIES) {
        kvr__raft_load_finish(raft);
    } else if (kvr__raft_gate_is_open(raft)) {
        kvr__raft_election_vote_durable(raft);
    }
}

static void append_done(kvr_raft *raft, const kvr_store_result *result)
{
    kvr__raft_store *store = &raft->store;
    store->append_token = 0;
    unpin_pieces(raft);
    if (!write_succeeded(raft, result, "appending entries failed")) {
        return;
    }
    KVR__RAFT_COUNT(raft, flushes, 1);
    if (store->append_last > store->durable_index) {
        store->durable_index = store->append_last;
        kvr__raft_trace(raft, "durable", store->durable_index, 0);
    }
    raft->work = raft->work || store->discard_all_wanted ||
                 raft->log.last_index > store->durable_index ||
                 store->discard_wanted >= store->first_index;
    kvr__raft_replication_durable(raft);
}

static void discard_done(kvr_raft *raft, const kvr_store_result *result)
{
    kvr__raft_store *store = &raft->store;
    bool all = store->discard_all;
    store->discard_token = 0;
    store->discard_all = false;
    raft->work = true;
    if (!write_succeeded(raft, result, "discarding entries failed") && raft->failed == KVR_OK) {
        store->discard_all_wanted = all; /* asked for again */
        store->discard_again = !all;
    }
}

static void chunk_written(kvr_raft *raft, const kvr_store_result *result)
{
    raft->incoming.token = 0;
    raft->work = true;
    kvr_status status = result->status;
    /* the stream, not this disk, is at fault */
    if (status == KVR_ECORRUPT || status == KVR_ENOTFOUND) {
        kvr__raft_incoming_stored(raft, status);
    } else if (write_succeeded(raft, result, "storing a snapshot failed")) {
        kvr__raft_incoming_stored(raft, KVR_OK);
    } else if (raft->incoming.stale) {
        kvr__raft_incoming_release(raft);
    } else {
        kvr__raft_incoming_overtaken(raft); /* no room for what may be needed no more */
    }
}

static void witness_written(kvr_raft *raft, const kvr_store_result *result)
{
    raft->work = true;
    bool done = write_succeeded(raft, result, "storing a snapshot failed");
    kvr__raft_witness_stored(raft, done);
}

static kvr_status dispatch_result(kvr_raft *raft, const kvr_store_result *result)
{
    kvr__raft_store *store = &raft->store;
    uint64_t token = result->token;
    kvr_status status = KVR_OK;
    if (token == 0 || result->group_id != raft->config.group_id) {
        return KVR_EINVAL;
    }
    if (token == kvr__raft_witness_token(raft)) {
        witness_written(raft, result);
    } else if (token == store->append_token) {
        append_done(raft, result);
    } else if (token == store->vote_token) {
        vote_done(raft, result);
    } else if (token == store->discard_token) {
        discard_done(raft, result);
    } else if (token == raft->incoming.token) {
        chunk_written(raft, result);
    } else if (token == store->chunk_read_token) {
        status = kvr__raft_transfer_chunk(raft, result);
    } else if (token == store->fetch_token) {
        status = kvr__raft_fetch_done(raft, result);
    } else if (token == store->load_token) {
        status = kvr__raft_load_done(raft, result);
    } else if (token == store->read_token) {
        status = kvr__raft_load_entries(raft, result);
    } else {
        return KVR_EINVAL;
    }
    return status;
}

kvr_status kvr_raft_storage_done(kvr_raft *raft, const kvr_store_result *result)
{
    kvr_store_result known;
    if (result->size != sizeof known) { /* of another version */
        if (!kvr__sized_read(&known, sizeof known, result, sizeof known)) {
            return KVR_EINVAL;
        }
        result = &known;
    }
    if (raft->failed != KVR_OK) {
        return raft->failed;
    }
    kvr_status status = dispatch_result(raft, result);
    if (raft->failed != KVR_OK) {
        return raft->failed;
    }
    KVR_CHECKED(kvr__raft_check(raft));
    return status;
}

void kvr__raft_store_release(kvr_raft *raft)
{
    kvr__raft_store *store = &raft->store;
    kvr__raft_witness_release(raft);
    unpin_pieces(raft);
    kvr__array_free(&raft->mem, KVR__MEM_MESSAGE, (void **)&store->pieces, &store->piece_capacity,
                    sizeof *store->pieces);
    kvr__array_free(&raft->mem, KVR__MEM_MESSAGE, (void **)&store->pins, &store->pin_capacity,
                    sizeof(kvr_buf *));
    kvr__array_free(&raft->mem, KVR__MEM_MESSAGE, (void **)&raft->requests, &raft->request_capacity,
                    sizeof *raft->requests);
}
