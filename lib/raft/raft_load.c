/* SPDX-License-Identifier: Apache-2.0 */
/* raft_load.c: the start. LOAD says what is durable; then the new incarnation is made durable while
 * the entries are read into memory; then the member takes part. What storage says is judged before
 * it is believed: a gap or an impossible term is damage, and is said (FAULTS 59). */
#include "base/entry.h"
#include "raft_internal.h"

/* ------------------------------------------------------------------ asking */

static kvr_status issue_read(kvr_raft *raft)
{
    kvr_store_request *request = NULL;
    if (kvr__raft_store_request(raft, KVR_STORE_READ, &request) != KVR_OK) {
        return KVR_ENOMEM;
    }
    request->first_index = raft->store.load_next;
    request->last_index = raft->store.load_last;
    request->byte_max = KVR_BUGGIFY(&raft->mem, RAFT_LOAD_ONE) ? 1 : KVR__RAFT_LOAD_BYTES_MAX;
    raft->store.read_token = request->token;
    return KVR_OK;
}

kvr_status kvr__raft_load_issue(kvr_raft *raft)
{
    kvr__raft_store *store = &raft->store;
    if (store->load_stage == KVR__RAFT_LOAD_NEW) {
        kvr_store_request *request = NULL;
        if (kvr__raft_store_request(raft, KVR_STORE_LOAD, &request) != KVR_OK) {
            return KVR_ENOMEM;
        }
        store->load_token = request->token;
        store->load_stage = KVR__RAFT_LOAD_ASKED;
        return KVR_OK;
    }
    if (store->load_stage == KVR__RAFT_LOAD_ENTRIES && store->read_token == 0 &&
        store->load_next <= store->load_last) {
        return issue_read(raft);
    }
    return KVR_OK;
}

/* ------------------------------------------------------------------ what is durable */

/* NULL, or what is wrong with the answer to LOAD. */
static const char *load_fault(const kvr_raft *raft, const kvr_store_result *result)
{
    uint64_t snapshot = result->snapshot.index;
    uint64_t last = result->last_index > snapshot ? result->last_index : snapshot;
    uint32_t count = 0;
    if (result->first_index > snapshot + 1) {
        return "the log begins after a gap that no snapshot fills";
    }
    if (result->first_index > result->last_index + 1 ||
        (result->first_index == 0 && result->last_index != 0)) {
        return "the log ends before it begins";
    }
    if (result->last_index != 0 && result->last_index < snapshot) {
        return "the log ends before the snapshot";
    }
    if (result->snapshot.term > result->term || result->incarnation == UINT64_MAX) {
        return "the term file is older than the snapshot";
    }
    if (snapshot > 0 &&
        kvr__raft_configuration_verify(result->snapshot.configuration, &count) != KVR_OK) {
        return "the snapshot's configuration is damaged";
    }
    if (raft->config.applied_index > last) {
        return "the state machine holds more than the log";
    }
    return NULL;
}

static void begin_log(kvr_raft *raft, const kvr_store_result *result)
{
    kvr__raft_store *store = &raft->store;
    uint64_t snapshot = result->snapshot.index;
    bool empty = result->last_index == 0 || result->first_index > result->last_index;
    if (empty || result->first_index == snapshot + 1) {
        kvr__raft_log_reset(&raft->log, snapshot, result->snapshot.term);
        store->load_next = snapshot + 1;
        /* the entry before the first is gone; its term is not known, so the first becomes the
         * base */
    } else {
        kvr__raft_log_reset(&raft->log, result->first_index == 1 ? 0 : result->first_index, 0);
        store->load_next = result->first_index;
    }
    store->load_last = empty ? 0 : result->last_index;
    store->first_index = result->first_index == 0 ? 1 : result->first_index;
    store->durable_index = raft->log.base_index;
}

/* Once a witness, always one: it has not the data to be anything else. */
static void note_witness(kvr_raft *raft)
{
    const kvr__raft_member *self = kvr__raft_self(raft);
    raft->witness = raft->witness || (self != NULL && kvr__raft_is_witness(self));
}

kvr_status kvr__raft_load_done(kvr_raft *raft, const kvr_store_result *result)
{
    kvr__raft_store *store = &raft->store;
    if (result->status == KVR_ENOSPACE) { /* storage lacked memory, and is asked again */
        store->load_token = 0;
        store->load_stage = KVR__RAFT_LOAD_NEW;
        raft->work = true;
        return KVR_OK;
    }
    if (result->status != KVR_OK) {
        store->load_token = 0;
        kvr__raft_fail(raft, result->status == KVR_ECORRUPT ? KVR_FCORRUPT : KVR_FSTORAGE,
                       "loading failed", result->detail);
        return raft->failed;
    }
    const char *fault = load_fault(raft, result);
    if (fault != NULL) {
        store->load_token = 0;
        kvr__raft_fail(raft, KVR_FCORRUPT, fault, result->detail);
        return raft->failed;
    }
    uint64_t snapshot = result->snapshot.index;
    if (snapshot > 0) {
        uint32_t count = 0;
        (void)kvr__raft_configuration_verify(result->snapshot.configuration, &count);
        if (kvr__raft_members_reserve(raft, count) != KVR_OK ||
            kvr__raft_snapshot_set(raft, &result->snapshot) != KVR_OK) {
            store->load_token = 0; /* asked for again */
            store->load_stage = KVR__RAFT_LOAD_NEW;
            raft->work = true;
            return KVR_ENOMEM;
        }
        kvr__raft_members_clear(raft); /* the new group's, if one was given */
    }
    store->load_token = 0;
    begin_log(raft, result);
    if (snapshot > 0) {
        kvr__raft_members_put(raft, snapshot, raft->snapshot.buffer,
                              raft->snapshot.meta.configuration);
    }
    raft->term = result->term;
    raft->vote = result->voted_for;
    raft->incarnation = result->incarnation + (raft->config.recover == 0);
    store->durable_term = result->term;
    store->durable_vote = result->voted_for;
    store->durable_incarnation = result->incarnation;
    store->free_bytes = result->free_bytes;
    store->load_stage = KVR__RAFT_LOAD_ENTRIES;
    note_witness(raft);
    raft->applied = raft->config.applied_index;
    raft->handed = raft->applied;
    raft->commit = raft->applied > snapshot ? raft->applied : snapshot;
    raft->install_due = raft->applied < snapshot;
    raft->work = true;
    if (raft->config.recover != 0) {
        kvr__raft_load_finish(raft); /* no vote is written whose answer would do it */
    }
    return KVR_OK;
}

/* ------------------------------------------------------------------ entries */

/* Takes one entry that the disk gave. KVR_ECORRUPT: it cannot stand there. */
static kvr_status load_entry(kvr_raft *raft, const kvr_entry *entry)
{
    kvr__raft_store *store = &raft->store;
    bool config = entry->kind == KVR_ENTRY_CONFIG && entry->index > raft->snapshot.meta.index;
    uint32_t count = 0;
    if (entry->index != store->load_next || entry->index > store->load_last || entry->term == 0 ||
        entry->term > raft->term || entry->term < raft->log.last_term ||
        (config && kvr__raft_configuration_verify(entry->command, &count) != KVR_OK) ||
        (entry->index == raft->snapshot.meta.index && entry->term != raft->snapshot.meta.term)) {
        return KVR_ECORRUPT;
    }
    if (entry->index == raft->log.base_index) { /* see begin_log */
        kvr__raft_log_reset(&raft->log, entry->index, entry->term);
        store->load_next++;
        return KVR_OK;
    }
    if (config && kvr__raft_members_reserve(raft, count) != KVR_OK) {
        return KVR_ENOMEM;
    }
    uint8_t *room = kvr__raft_log_room(&raft->log, entry->bytes.size);
    if (room == NULL) {
        return KVR_ENOMEM;
    }
    memcpy(room, entry->bytes.data, entry->bytes.size);
    kvr__raft_log_commit_room(&raft->log, entry->term, (uint32_t)entry->bytes.size);
    if (entry->lease_clock > raft->lease_seen) {
        raft->lease_seen = entry->lease_clock;
    }
    if (config) {
        kvr_entry own;
        kvr__raft_log_entry(&raft->log, entry->index, &own);
        kvr__raft_members_put(raft, own.index, own.buffer, own.command);
    }
    store->load_next++;
    store->durable_index = entry->index;
    return KVR_OK;
}

static kvr_status load_piece(kvr_raft *raft, kvr_slice piece)
{
    while (piece.size > 0) {
        kvr_entry entry;
        if (kvr__entry_read(piece, true, &entry) != KVR_OK) {
            return KVR_ECORRUPT;
        }
        kvr_status status = load_entry(raft, &entry);
        if (status != KVR_OK) {
            return status;
        }
        piece.data += entry.bytes.size;
        piece.size -= entry.bytes.size;
    }
    return KVR_OK;
}

kvr_status kvr__raft_load_entries(kvr_raft *raft, const kvr_store_result *result)
{
    uint64_t next = raft->store.load_next;
    raft->store.read_token = 0;
    raft->work = true;
    kvr_status status = result->status;
    for (uint32_t i = 0; status == KVR_OK && i < result->piece_count; i++) {
        status = load_piece(raft, result->pieces[i]);
    }
    if (status == KVR_ENOMEM) {
        return KVR_ENOMEM; /* the rest is asked for again: next stands where memory ended */
    }
    if (status == KVR_ENOSPACE) {
        return KVR_OK; /* storage lacked memory, and is asked again */
    }
    if (status == KVR_OK && raft->store.load_next == next) {
        status = KVR_ECORRUPT; /* storage gave nothing of what it has */
    }
    if (status != KVR_OK) {
        kvr__raft_fail(raft, status == KVR_ECORRUPT ? KVR_FCORRUPT : KVR_FSTORAGE,
                       "reading the log failed", result->detail);
        return raft->failed;
    }
    kvr__raft_load_finish(raft);
    return KVR_OK;
}

/* A majority is lost: what is here is all there is. */
static void recover(kvr_raft *raft)
{
    raft->verified = raft->log.last_index;
    raft->commit = raft->log.last_index;
    raft->campaign = false;
    raft->removed = true; /* it takes no part in anything */
    raft->work = true;
}

/* If both the incarnation and the entries are there, the member takes part. */
void kvr__raft_load_finish(kvr_raft *raft)
{
    kvr__raft_store *store = &raft->store;
    if (store->durable_incarnation != raft->incarnation || store->load_next <= store->load_last) {
        return;
    }
    store->load_stage = KVR__RAFT_LOAD_DONE;
    note_witness(raft);
    raft->loaded_flag = true;
    raft->verified = raft->commit;
    kvr__raft_members_forget(raft, raft->applied);
    kvr__raft_trace(raft, "load", raft->log.last_index, 0);
    kvr__raft_lease_loaded(raft);
    raft->heard_any = true;
    kvr__raft_election_follow(raft, raft->term, 0);
    raft->campaign = kvr__raft_members_is_only_voter(raft);
    if (raft->config.recover != 0) {
        recover(raft);
    }
}
