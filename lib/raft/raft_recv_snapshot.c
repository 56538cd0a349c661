/* SPDX-License-Identifier: Apache-2.0 */
/* raft_recv_snapshot.c: a snapshot that the leader sends, chunk by chunk into storage (Raft 7). A
 * chunk is taken if it is the next one wanted and acknowledged when it is written; any other is
 * answered with what is wanted, so the sender finds its place whatever was lost, repeated or
 * restarted. After the last one:
 *
 *   the log holds the snapshot's last entry    the log stays whole and goes on (FAULTS 60)
 *   it does not                                the log is replaced: it continues after the snapshot
 *
 * Term and vote are none of a snapshot's business (FAULTS 6). */
#include "base/buffer.h"
#include "raft_internal.h"

/* ------------------------------------------------------------------ answering */

static void reply(kvr_raft *raft, uint64_t index, uint64_t term, uint64_t offset, uint16_t flags)
{
    if (raft->leader == 0 || raft->role != KVR_ROLE_FOLLOWER) {
        return;
    }
    uint8_t *body = kvr__raft_outbox_open(raft, raft->leader, KVR__RAFT_SNAPSHOT_REPLY,
                                          KVR__RAFT_SNAPSHOT_REPLY_SIZE);
    if (body != NULL) { /* else as if lost */
        kvr__raft_snapshot_reply answer = {
            .index = index,
            .term = term,
            .offset = offset,
            .round = raft->round,
            .flags = flags,
        };
        kvr__raft_message_write_snapshot_reply(body, &answer);
    }
}

static void reply_wanted(kvr_raft *raft)
{
    const kvr__raft_incoming *incoming = &raft->incoming;
    reply(raft, incoming->meta.index, incoming->meta.term, incoming->offset, 0);
}

static void give_up(kvr_raft *raft)
{
    kvr__raft_incoming *incoming = &raft->incoming;
    incoming->active = false;
    incoming->chunk_waits = false;
    incoming->stale = incoming->token != 0;
    kvr_buf_release(incoming->configuration);
    incoming->configuration = NULL;
}

void kvr__raft_incoming_release(kvr_raft *raft)
{
    give_up(raft);
    kvr_buf_release(raft->incoming.chunk);
    raft->incoming.chunk = NULL;
}

/* The log has caught up by itself: what was received is needed no more, and holds no memory. If the
 * last chunk is being written, though, storage will have that snapshot, and raft must know it. */
void kvr__raft_incoming_overtaken(kvr_raft *raft)
{
    const kvr__raft_incoming *incoming = &raft->incoming;
    bool ends = incoming->last && incoming->token != 0;
    if (!incoming->active || incoming->meta.index > raft->commit || ends) {
        return;
    }
    kvr__raft_trace(raft, "cancel-snapshot", incoming->meta.index, raft->leader);
    if (incoming->token != 0) {
        give_up(raft); /* its chunk is lent to storage */
    } else {
        kvr__raft_incoming_release(raft);
    }
}

/* ------------------------------------------------------------------ a chunk arrives */

/* Splits the tail and judges all that needs no state. */
static bool chunk_is_sound(const kvr__raft_message *message, kvr__raft_snapshot_chunk *chunk,
                           kvr_slice *out_bytes, uint32_t *out_members)
{
    kvr__raft_message_read_snapshot(message->body, chunk);
    if (chunk->configuration_size > message->tail.size) {
        return false;
    }
    kvr_slice configuration = {message->tail.data, chunk->configuration_size};
    *out_bytes = (kvr_slice){message->tail.data + configuration.size,
                             message->tail.size - configuration.size};
    chunk->meta.configuration = configuration;
    bool last = (chunk->flags & KVR__RAFT_LAST_CHUNK) != 0;
    return chunk->meta.index > 0 && chunk->meta.term > 0 &&
           chunk->meta.term <= message->head.term && chunk->offset <= chunk->meta.bytes &&
           out_bytes->size <= chunk->meta.bytes - chunk->offset &&
           (out_bytes->size > 0 || chunk->meta.bytes == 0) &&
           last == (chunk->offset + out_bytes->size == chunk->meta.bytes) &&
           kvr__raft_configuration_verify(configuration, out_members) == KVR_OK;
}

static bool is_same(const kvr__raft_incoming *incoming, const kvr_snapshot_meta *meta)
{
    return incoming->active && incoming->meta.index == meta->index &&
           incoming->meta.term == meta->term && incoming->meta.bytes == meta->bytes &&
           memcmp(incoming->meta.hash, meta->hash, sizeof meta->hash) == 0;
}

static kvr_status begin(kvr_raft *raft, const kvr_snapshot_meta *meta, uint32_t member_count)
{
    kvr__raft_incoming *incoming = &raft->incoming;
    if (kvr__raft_members_reserve(raft, member_count) != KVR_OK) {
        return KVR_ENOMEM;
    }
    kvr_buf *configuration =
        kvr__buf_new_room(&raft->mem, KVR__MEM_MESSAGE, meta->configuration.size);
    if (configuration == NULL) {
        return KVR_ENOMEM;
    }
    memcpy(configuration->data, meta->configuration.data, meta->configuration.size);
    configuration->size = meta->configuration.size;
    give_up(raft);
    incoming->active = true;
    incoming->last = false;
    incoming->offset = 0;
    incoming->configuration = configuration;
    incoming->meta = *meta;
    incoming->meta.configuration = (kvr_slice){configuration->data, configuration->size};
    kvr__raft_trace(raft, "receive-snapshot", meta->index, raft->leader);
    return KVR_OK;
}

/* Keeps a copy of the chunk until it is written; the same buffer serves all chunks. */
static kvr_status keep_chunk(kvr_raft *raft, kvr_slice bytes, bool last)
{
    kvr__raft_incoming *incoming = &raft->incoming;
    if (incoming->chunk == NULL || incoming->chunk->capacity < bytes.size) {
        kvr_buf *chunk = kvr__buf_new_room(&raft->mem, KVR__MEM_MESSAGE, bytes.size);
        if (chunk == NULL) {
            return KVR_ENOMEM;
        }
        kvr_buf_release(incoming->chunk);
        incoming->chunk = chunk;
    }
    if (bytes.size > 0) {
        memcpy(incoming->chunk->data, bytes.data, bytes.size);
    }
    incoming->chunk->size = bytes.size;
    incoming->chunk_waits = true;
    incoming->last = last;
    raft->work = true;
    return KVR_OK;
}

/* True if the log already has what the snapshot holds: then the ordinary acknowledgement says
 * so. */
static bool is_needless(kvr_raft *raft, const kvr_snapshot_meta *meta)
{
    uint64_t term = 0;
    bool held = meta->index > raft->commit && kvr__raft_log_term(&raft->log, meta->index, &term) &&
                term == meta->term;
    if (!held && meta->index > raft->commit) {
        return false;
    }
    /* a snapshot is of committed entries, and equal terms mean equal logs up to there */
    if (held) {
        raft->verified = raft->verified > meta->index ? raft->verified : meta->index;
        kvr__raft_replication_set_commit(raft, meta->index);
    }
    raft->ack = true;
    raft->work = true;
    return true;
}

kvr_status kvr__raft_recv_snapshot(kvr_raft *raft, const kvr__raft_message *message)
{
    kvr__raft_snapshot_chunk chunk;
    kvr_slice bytes;
    uint32_t member_count = 0;
    if (message->head.term == 0 || !chunk_is_sound(message, &chunk, &bytes, &member_count)) {
        return kvr__raft_recv_bad(raft);
    }
    if (!kvr__raft_recv_from_leader(raft, message)) {
        return KVR_OK;
    }
    kvr__raft_incoming *incoming = &raft->incoming;
    if (is_needless(raft, &chunk.meta) || raft->install_due || raft->installing) {
        /* the state machine is busy with the one before (FAULTS 64): sent again later */
        return KVR_OK;
    }
    if (incoming->token != 0) {
        return KVR_OK; /* one write at a time; the sender repeats */
    }
    if (!is_same(incoming, &chunk.meta)) {
        if (chunk.offset != 0) {
            reply(raft, chunk.meta.index, chunk.meta.term, 0, 0);
            return KVR_OK;
        }
        if (begin(raft, &chunk.meta, member_count) != KVR_OK) {
            return KVR_ENOMEM;
        }
    }
    if (chunk.offset != incoming->offset) {
        reply_wanted(raft);
        return KVR_OK;
    }
    return incoming->chunk_waits
               ? KVR_OK
               : keep_chunk(raft, bytes, (chunk.flags & KVR__RAFT_LAST_CHUNK) != 0);
}

/* ------------------------------------------------------------------ a chunk is written */

kvr_status kvr__raft_incoming_store(kvr_raft *raft)
{
    kvr__raft_incoming *incoming = &raft->incoming;
    if (!incoming->chunk_waits || incoming->token != 0) {
        return KVR_OK;
    }
    kvr_store_request *request = NULL;
    if (kvr__raft_store_request(raft, KVR_STORE_SNAPSHOT_WRITE, &request) != KVR_OK) {
        return KVR_ENOMEM;
    }
    request->source = KVR_SNAPSHOT_RECEIVED;
    request->offset = incoming->offset;
    request->chunk = (kvr_slice){incoming->chunk->data, incoming->chunk->size};
    request->snapshot = incoming->meta;
    request->flags = incoming->last ? KVR_STORE_LAST : 0;
    incoming->token = request->token;
    return KVR_OK;
}

/* The stored snapshot becomes this member's past. */
static void replace_log(kvr_raft *raft, const kvr_snapshot_meta *meta)
{
    kvr__raft_store *store = &raft->store;
    kvr__raft_log_reset(&raft->log, meta->index, meta->term);
    store->durable_index = meta->index;
    store->append_last = 0; /* what is being written counts for nothing */
    store->first_index = meta->index + 1;
    store->discard_all_wanted = true;
    kvr__raft_members_clear(raft);
    kvr__raft_members_put(raft, meta->index, raft->snapshot.buffer, meta->configuration);
    raft->verified = meta->index;
    raft->commit = meta->index;
    raft->acked = 0;
    raft->install_due = true;
    KVR__RAFT_COUNT(raft, snapshots_installed, 1);
    kvr__raft_trace(raft, "install", meta->index, raft->leader);
}

static void stored_whole(kvr_raft *raft)
{
    kvr__raft_incoming *incoming = &raft->incoming;
    kvr_buf_release(raft->snapshot.buffer);
    raft->snapshot.meta = incoming->meta;
    raft->snapshot.buffer = incoming->configuration;
    incoming->configuration = NULL;
    give_up(raft);
    if (incoming->chunk != NULL) {
        kvr_buf_release(incoming->chunk);
        incoming->chunk = NULL;
    }
    const kvr_snapshot_meta *meta = &raft->snapshot.meta;
    if (!is_needless(raft, meta)) {
        replace_log(raft, meta);
        reply(raft, meta->index, meta->term, meta->bytes, KVR__RAFT_INSTALLED);
    } else if (meta->index > raft->store.discard_wanted) {
        raft->store.discard_wanted = meta->index;
    }
}

/* KVR_OK: the chunk is durable (the last one: verified too). Else the stream was damaged: from the
 * start. */
void kvr__raft_incoming_stored(kvr_raft *raft, kvr_status status)
{
    kvr__raft_incoming *incoming = &raft->incoming;
    if (incoming->stale) {
        kvr__raft_incoming_release(raft);
        return;
    }
    KVR_ASSERT(incoming->active);
    KVR_ASSERT(incoming->chunk_waits);
    incoming->chunk_waits = false;
    if (status != KVR_OK) {
        uint64_t index = incoming->meta.index;
        uint64_t term = incoming->meta.term;
        kvr__raft_incoming_release(raft);
        reply(raft, index, term, 0, 0);
        return;
    }
    incoming->offset += incoming->chunk->size;
    if (incoming->last) {
        stored_whole(raft);
    } else {
        reply_wanted(raft);
    }
}
