/* SPDX-License-Identifier: Apache-2.0 */
/* raft_transfer.c: the leader's side of a snapshot transfer. One chunk at a time is read from
 * storage, for one follower after the other, and sent; a follower's answer says which offset it
 * wants next. So the memory that slow followers cost is one chunk, and the leader's own work waits
 * for none of them. */
#include "raft_internal.h"

static bool wants_chunk(const kvr_raft *raft, uint32_t i)
{
    const kvr__raft_progress *progress = &raft->members[i].progress;
    return i != raft->self && progress->state == KVR__RAFT_SNAPSHOT_STATE && !progress->chunk_sent;
}

/* The next follower that wants a chunk, in turn after the one served last; UINT32_MAX: none. */
static uint32_t next_wanting(const kvr_raft *raft)
{
    uint32_t start = 0;
    for (uint32_t i = 0; i < raft->member_count; i++) {
        if (raft->members[i].id <= raft->store.chunk_read_for) {
            start = i + 1;
        }
    }
    for (uint32_t n = 0; n < raft->member_count; n++) {
        uint32_t i = (start + n) % raft->member_count;
        if (wants_chunk(raft, i)) {
            return i;
        }
    }
    return UINT32_MAX;
}

kvr_status kvr__raft_transfer_read(kvr_raft *raft)
{
    kvr__raft_store *store = &raft->store;
    if (store->chunk_read_token != 0) {
        return KVR_OK;
    }
    uint32_t i = next_wanting(raft);
    while (i != UINT32_MAX && kvr__raft_is_witness(&raft->members[i])) {
        if (kvr__raft_witness_send_snapshot(raft, &raft->members[i]) != KVR_OK) {
            return KVR_ENOMEM;
        }
        i = next_wanting(raft);
    }
    if (i == UINT32_MAX) {
        raft->chunk_due = false;
        return KVR_OK;
    }
    const kvr__raft_progress *progress = &raft->members[i].progress;
    kvr_store_request *request = NULL;
    if (kvr__raft_store_request(raft, KVR_STORE_SNAPSHOT_READ, &request) != KVR_OK) {
        return KVR_ENOMEM;
    }
    request->snapshot.index = progress->snapshot_index;
    request->snapshot.term = progress->snapshot_term;
    request->offset = progress->offset;
    request->byte_max = raft->config.snapshot_chunk_bytes;
    store->chunk_read_token = request->token;
    store->chunk_read_for = raft->members[i].id;
    store->chunk_read_index = progress->snapshot_index;
    store->chunk_read_offset = progress->offset;
    return KVR_OK;
}

static kvr_status send_chunk(kvr_raft *raft, const kvr__raft_member *member,
                             const kvr_store_result *result)
{
    const kvr_snapshot_meta *meta = &result->snapshot;
    size_t size = meta->configuration.size + result->chunk.size;
    uint8_t *body =
        kvr__raft_outbox_open(raft, member->id, KVR__RAFT_SNAPSHOT, KVR__RAFT_SNAPSHOT_SIZE + size);
    if (body == NULL) {
        return KVR_ENOMEM;
    }
    uint64_t offset = member->progress.offset;
    kvr__raft_snapshot_chunk chunk = {
        .meta = *meta,
        .offset = offset,
        .configuration_size = (uint32_t)meta->configuration.size,
        .flags = offset + result->chunk.size == meta->bytes ? KVR__RAFT_LAST_CHUNK : 0,
    };
    kvr__raft_message_write_snapshot(body, &chunk);
    body += KVR__RAFT_SNAPSHOT_SIZE;
    memcpy(body, meta->configuration.data, meta->configuration.size);
    if (result->chunk.size > 0) {
        memcpy(body + meta->configuration.size, result->chunk.data, result->chunk.size);
    }
    return KVR_OK;
}

/* It was replaced in storage while it was sent: begin with the newer one, or wait to hear of it. */
static void start_over(kvr_raft *raft, kvr__raft_progress *progress)
{
    bool newer = raft->snapshot.meta.index > progress->snapshot_index;
    kvr__raft_progress_need_snapshot(progress, raft->snapshot.meta.index, raft->snapshot.meta.term);
    raft->chunk_due = true;
    progress->chunk_sent = !newer;
    progress->chunk_sent_ns = raft->now;
}

kvr_status kvr__raft_transfer_chunk(kvr_raft *raft, const kvr_store_result *result)
{
    kvr__raft_store *store = &raft->store;
    store->chunk_read_token = 0;
    raft->work = true;
    if (result->status != KVR_OK && result->status != KVR_ENOTFOUND &&
        result->status != KVR_ENOSPACE) {
        kvr__raft_fail(raft, result->status == KVR_ECORRUPT ? KVR_FCORRUPT : KVR_FSTORAGE,
                       "reading a snapshot failed", result->detail);
        return raft->failed;
    }
    kvr__raft_member *member = kvr__raft_members_find(raft, store->chunk_read_for);
    if (raft->role != KVR_ROLE_LEADER || member == NULL) {
        return KVR_OK;
    }
    kvr__raft_progress *progress = &member->progress;
    if (progress->state != KVR__RAFT_SNAPSHOT_STATE || progress->chunk_sent ||
        progress->snapshot_index != store->chunk_read_index ||
        progress->offset != store->chunk_read_offset) {
        return KVR_OK; /* it moved on while the disk was busy */
    }
    if (result->status == KVR_ENOSPACE) { /* for want of memory: as if the chunk were lost */
        progress->chunk_sent = true;
        progress->chunk_sent_ns = raft->now;
        return KVR_OK;
    }
    const kvr_snapshot_meta *meta = &result->snapshot;
    bool gone = result->status == KVR_ENOTFOUND || meta->index != progress->snapshot_index ||
                meta->term != progress->snapshot_term || progress->offset > meta->bytes ||
                result->chunk.size > meta->bytes - progress->offset ||
                (result->chunk.size == 0 && meta->bytes > 0);
    if (gone) {
        start_over(raft, progress);
        return KVR_OK;
    }
    progress->chunk_sent = true;
    progress->chunk_sent_ns = raft->now;
    return send_chunk(raft, member, result); /* not sent: as if lost, repeated in time */
}

kvr_status kvr__raft_recv_snapshot_reply(kvr_raft *raft, const kvr__raft_message *message)
{
    kvr__raft_snapshot_reply reply;
    kvr__raft_message_read_snapshot_reply(message->body, &reply);
    kvr__raft_member *member = kvr__raft_recv_from_follower(raft, message);
    if (member == NULL) {
        return KVR_OK;
    }
    kvr__raft_progress *progress = &member->progress;
    bool installed = (reply.flags & KVR__RAFT_INSTALLED) != 0;
    if (reply.index > raft->commit || member == kvr__raft_self(raft)) {
        return kvr__raft_recv_bad(raft); /* only what is committed is in a snapshot */
    }
    raft->send_due = true;
    raft->work = true;
    if (installed && progress->state == KVR__RAFT_SNAPSHOT_STATE) {
        kvr__raft_progress_installed(progress, reply.index);
        kvr__raft_replication_advance_commit(raft, reply.index);
    } else if (installed) {
        (void)kvr__raft_progress_accept(progress, reply.index);
        kvr__raft_replication_advance_commit(raft, reply.index);
    } else if (progress->state == KVR__RAFT_SNAPSHOT_STATE &&
               reply.index == progress->snapshot_index && reply.term == progress->snapshot_term) {
        progress->offset = reply.offset;
        progress->chunk_sent = false;
        raft->chunk_due = true;
    }
    return KVR_OK;
}
