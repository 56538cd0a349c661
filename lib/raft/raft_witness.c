/* SPDX-License-Identifier: Apache-2.0 */
/* raft_witness.c: a member that votes and holds no data. Its log is the leader's with stubs in
 * place of commands (base/entry.h), so terms, elections and acknowledgements are those of any
 * member; what it lacks is a state machine: committed is applied, and a snapshot is a name without
 * bytes. The first half is the witness's own, the second the leader's. */
#include "base/checksum.h"
#include "base/entry.h"
#include "raft_internal.h"

/* ------------------------------------------------------------------ at the witness */

struct kvr__raft_witness_write {
    uint64_t token;
    kvr_snapshot_meta meta;
    kvr_buf *buffer; /* where its configuration lies */
};

void kvr__raft_witness_follow(kvr_raft *raft)
{
    raft->install_due = false;
    if (raft->commit > raft->applied) {
        raft->applied = raft->commit;
        raft->handed = raft->commit;
        kvr__raft_members_forget(raft, raft->applied);
        kvr__raft_trace(raft, "apply", raft->applied, 0);
    }
}

static void empty_hash(uint8_t out[16])
{
    kvr__xxh3 hash;
    kvr__xxh3_reset(&hash);
    kvr__xxh3_digest_128(&hash, out);
}

/* A snapshot of its own takes the place of a log that has become long. Only when all of that is
 * durable: a snapshot never stands above its log (FAULTS 59). */
kvr_status kvr__raft_witness_compact(kvr_raft *raft)
{
    kvr__raft_store *store = &raft->store;
    const kvr__raft_configured *configured = kvr__raft_members_at(raft, raft->applied);
    bool due = raft->applied >= store->first_index &&
               raft->applied - store->first_index >= KVR__RAFT_WITNESS_ENTRIES &&
               raft->applied > raft->snapshot.meta.index;
    kvr_snapshot_meta meta = {.index = raft->applied};
    if (!due || store->witness != NULL || store->durable_index < raft->applied ||
        configured == NULL || raft->incoming.active ||
        !kvr__raft_log_term(&raft->log, raft->applied, &meta.term)) {
        return KVR_OK;
    }
    kvr_store_request *request = NULL;
    struct kvr__raft_witness_write *taken =
        kvr__mem_alloc(&raft->mem, KVR__MEM_MESSAGE, sizeof *taken);
    if (taken == NULL) {
        return KVR_ENOMEM;
    }
    if (kvr__raft_store_request(raft, KVR_STORE_SNAPSHOT_WRITE, &request) != KVR_OK) {
        kvr__mem_free(&raft->mem, KVR__MEM_MESSAGE, taken, sizeof *taken);
        return KVR_ENOMEM;
    }
    empty_hash(meta.hash);
    meta.configuration = configured->encoded;
    *taken = (struct kvr__raft_witness_write){
        .token = request->token, .meta = meta, .buffer = kvr_buf_retain(configured->buffer)};
    store->witness = taken;
    request->source = KVR_SNAPSHOT_LOCAL;
    request->flags = KVR_STORE_LAST;
    request->snapshot = meta;
    return KVR_OK;
}

uint64_t kvr__raft_witness_token(const kvr_raft *raft)
{
    return raft->store.witness == NULL ? 0 : raft->store.witness->token;
}

void kvr__raft_witness_stored(kvr_raft *raft, bool done)
{
    kvr__raft_store *store = &raft->store;
    const kvr_snapshot_meta *meta = &store->witness->meta;
    /* a newer one may have come from the leader meanwhile; no memory: it is taken again */
    if (done && meta->index > raft->snapshot.meta.index &&
        kvr__raft_snapshot_set(raft, meta) == KVR_OK) {
        store->discard_wanted = meta->index;
        kvr__raft_trace(raft, "snapshot", meta->index, 0);
    }
    kvr__raft_witness_release(raft);
}

void kvr__raft_witness_release(kvr_raft *raft)
{
    struct kvr__raft_witness_write *taken = raft->store.witness;
    if (taken != NULL) {
        kvr_buf_release(taken->buffer);
        kvr__mem_free(&raft->mem, KVR__MEM_MESSAGE, taken, sizeof *taken);
        raft->store.witness = NULL;
    }
}

/* ------------------------------------------------------------------ at the leader */

uint64_t kvr__raft_witness_bytes(const kvr_raft *raft, uint64_t first, uint64_t last)
{
    uint64_t size = 0;
    for (uint64_t index = first; index <= last; index++) {
        kvr_entry entry;
        kvr__raft_log_entry(&raft->log, index, &entry);
        size += kvr__entry_stub_size(entry.bytes.data);
    }
    return size;
}

void kvr__raft_witness_write(const kvr_raft *raft, uint64_t first, uint64_t last, uint8_t *out)
{
    for (uint64_t index = first; index <= last; index++) {
        kvr_entry entry;
        kvr__raft_log_entry(&raft->log, index, &entry);
        kvr__entry_stub_write(out, entry.bytes.data);
        out += kvr__entry_stub_size(entry.bytes.data);
    }
}

kvr_status kvr__raft_witness_send_snapshot(kvr_raft *raft, kvr__raft_member *member)
{
    kvr__raft_snapshot_chunk chunk = {.meta = raft->snapshot.meta, .flags = KVR__RAFT_LAST_CHUNK};
    const kvr_slice *configuration = &chunk.meta.configuration;
    chunk.meta.bytes = 0;
    empty_hash(chunk.meta.hash);
    chunk.configuration_size = (uint32_t)configuration->size;
    uint8_t *body = kvr__raft_outbox_open(raft, member->id, KVR__RAFT_SNAPSHOT,
                                          KVR__RAFT_SNAPSHOT_SIZE + configuration->size);
    if (body == NULL) {
        return KVR_ENOMEM;
    }
    kvr__raft_message_write_snapshot(body, &chunk);
    memcpy(body + KVR__RAFT_SNAPSHOT_SIZE, configuration->data, configuration->size);
    member->progress.snapshot_index = chunk.meta.index;
    member->progress.snapshot_term = chunk.meta.term;
    member->progress.chunk_sent = true;
    member->progress.chunk_sent_ns = raft->now;
    return KVR_OK;
}
