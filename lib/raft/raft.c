/* SPDX-License-Identifier: Apache-2.0 */
/* raft.c: the door: what raft.h declares, as a table of contents. A handle's life is kvr_raft_new,
 * then intake (kvr_raft_receive here, others in the file of their subject) and readies
 * (raft_ready.c) in turn, then kvr_raft_free. */
#include "base/array.h"
#include "base/buffer.h"
#include "base/codec.h"
#include "raft_internal.h"

/* ------------------------------------------------------------------ life */

static kvr_status set_new_group(kvr_raft *raft, const kvr_raft_config *config)
{
    size_t size = kvr__raft_configuration_size(config->members, config->member_count);
    kvr_buf *buffer = kvr__buf_new_room(&raft->mem, KVR__MEM_HANDLE, size);
    if (buffer == NULL) {
        return KVR_ENOMEM;
    }
    kvr__raft_configuration_write(buffer->data, config->members, config->member_count);
    kvr__store_u32(buffer->data + KVR__RAFT_CONFIGURATION_COPIES_AT, config->data_copies_min);
    kvr__store_u64(buffer->data + KVR__RAFT_CONFIGURATION_LEASE_AT, config->lease_ns);
    buffer->size = size;
    kvr_status status = kvr__raft_members_reserve(raft, config->member_count);
    if (status == KVR_OK) {
        kvr__raft_members_put(raft, 0, buffer, (kvr_slice){buffer->data, size});
    }
    kvr_buf_release(buffer);
    return status;
}

kvr_status kvr_raft_new(const kvr_raft_config *config, kvr_raft **out_raft)
{
    kvr_raft_config known;
    if (out_raft == NULL || kvr_raft_config_check(config) != NULL ||
        !kvr__raft_config_read(config, &known)) {
        return KVR_EINVAL;
    }
    void *handle = NULL;
    kvr_status status = kvr__mem_new_handle(known.allocator, known.allocator_ctx, sizeof(kvr_raft),
                                            offsetof(kvr_raft, mem), &handle);
    if (status != KVR_OK) {
        return status;
    }
    kvr_raft *raft = handle;
    raft->config = known;
    raft->config.members = NULL;
    raft->self = UINT32_MAX;
    raft->witness = known.witness != 0;
    raft->error = "";
    raft->work = true;
    raft->store.free_bytes = UINT64_MAX;
    raft->store.blank = (kvr_store_request){
        .size = sizeof raft->store.blank,
        .group_id = known.group_id,
    };
    raft->quorum_free_bytes = UINT64_MAX;
    raft->evict_position = known.log_memory_bytes;
    kvr__random_init(&raft->random, known.seed ^ (known.member_id * 0x9E3779B97F4A7C15));
    kvr__raft_log_init(&raft->log, &raft->mem);
    kvr__ring_init(&raft->reads, &raft->mem, KVR__MEM_CALL, sizeof(kvr__raft_pending_read));
    kvr__ring_init(&raft->lease_reads, &raft->mem, KVR__MEM_CALL, sizeof(kvr__raft_pending_read));
    status = set_new_group(raft, &known);
    if (status != KVR_OK) {
        kvr_raft_free(raft);
        return status;
    }
    *out_raft = raft;
    return KVR_OK;
}

void kvr_raft_free(kvr_raft *raft)
{
    if (raft == NULL) {
        return;
    }
    kvr__mem *mem = &raft->mem;
    kvr_raft_advance(raft);
    kvr__raft_store_release(raft);
    kvr__raft_incoming_release(raft);
    kvr__raft_members_release(raft);
    kvr_buf_release(raft->snapshot.buffer);
    kvr__raft_log_release(&raft->log);
    kvr__raft_outbox_release(raft);
    kvr__raft_post_release(raft);
    kvr__ring_release(&raft->reads);
    kvr__ring_release(&raft->lease_reads);
    raft->read_result_count = 0;
    raft->trace_count = 0;
    kvr__raft_idle_release(raft);
    kvr__mem_free(mem, KVR__MEM_HANDLE, raft->error_room, KVR__RAFT_ERROR_SIZE);
    kvr__mem_free_handle(raft, sizeof(kvr_raft), offsetof(kvr_raft, mem));
}

/* ------------------------------------------------------------------ intake: messages */

static kvr_status dispatch_message(kvr_raft *raft, const kvr__raft_message *message)
{
    switch (message->head.type) {
    case KVR__RAFT_PREVOTE:
    case KVR__RAFT_VOTE:
        return kvr__raft_recv_vote(raft, message);
    case KVR__RAFT_PREVOTE_REPLY:
    case KVR__RAFT_VOTE_REPLY:
        return kvr__raft_recv_vote_reply(raft, message);
    case KVR__RAFT_APPEND:
        return kvr__raft_recv_append(raft, message);
    case KVR__RAFT_APPEND_REPLY:
        return kvr__raft_recv_append_reply(raft, message);
    case KVR__RAFT_HEARTBEAT:
        return kvr__raft_recv_heartbeat(raft, message);
    case KVR__RAFT_HEARTBEAT_REPLY:
        return kvr__raft_recv_heartbeat_reply(raft, message);
    case KVR__RAFT_SNAPSHOT:
        return kvr__raft_recv_snapshot(raft, message);
    case KVR__RAFT_SNAPSHOT_REPLY:
        return kvr__raft_recv_snapshot_reply(raft, message);
    case KVR__RAFT_FORWARD:
        return kvr__raft_recv_forward(raft, message);
    case KVR__RAFT_READ:
        return kvr__raft_recv_read(raft, message);
    case KVR__RAFT_READ_REPLY:
        return kvr__raft_recv_read_reply(raft, message);
    case KVR__RAFT_POST:
        return kvr__raft_recv_post(raft, message);
    case KVR__RAFT_TRANSFER:
        return kvr__raft_recv_transfer(raft, message);
    case KVR__RAFT_REMOVED:
        return kvr__raft_recv_removed(raft, message);
    default:
        raft->bad_messages++;
        KVR__RAFT_COUNT(raft, messages_bad, 1);
        return KVR_EVERSION;
    }
}

kvr_status kvr_raft_receive(kvr_raft *raft, const kvr_slice *bytes)
{
    kvr__raft_message message;
    if (raft->failed != KVR_OK) {
        return raft->failed;
    }
    kvr_status status = kvr__raft_message_read(*bytes, &message);
    if (status != KVR_OK) {
        raft->bad_messages++;
        KVR__RAFT_COUNT(raft, messages_bad, 1);
        return status;
    }
    const kvr_message_info *head = &message.head;
    if (head->cluster_id != raft->config.cluster_id || head->group_id != raft->config.group_id ||
        head->to != raft->config.member_id) {
        raft->bad_messages++;
        KVR__RAFT_COUNT(raft, messages_bad, 1);
        return KVR_EMISMATCH;
    }
    if (head->from == 0 || head->from == raft->config.member_id) {
        return kvr__raft_recv_bad(raft);
    }
    if (raft->role == KVR_ROLE_LOADING || raft->config.recover != 0) {
        return KVR_EBUSY;
    }
    if (head->term > raft->term && head->term - raft->term > KVR__RAFT_TERM_JUMP_MAX) {
        return kvr__raft_recv_bad(raft);
    }
    if (head->type != KVR__RAFT_HEARTBEAT && head->type != KVR__RAFT_HEARTBEAT_REPLY) {
        kvr_raft_wake(raft);
    }
    kvr__raft_members_note_level(raft, head);
    kvr__raft_trace_message(raft, &message, false);
    KVR__RAFT_COUNT(raft, messages_received[head->type], 1);
    KVR__RAFT_COUNT(raft, bytes_received, bytes->size);
    status = dispatch_message(raft, &message);
    KVR_CHECKED(kvr__raft_check(raft));
    return status;
}

/* ------------------------------------------------------------------ intake: the state machine */

kvr_status kvr_raft_applied(kvr_raft *raft, uint64_t index)
{
    if (raft->failed != KVR_OK) {
        return raft->failed;
    }
    bool installed = raft->installing && index == raft->install_index;
    if (index < raft->applied || (index > raft->handed && !installed)) {
        return KVR_EINVAL;
    }
    if (installed) {
        raft->installing = false;
        raft->handed = index;
    }
    if (index > raft->applied) {
        raft->applied = index;
        if (raft->configurations.count > 1) {
            kvr__raft_members_forget(raft, index);
        }
        kvr__raft_trace(raft, "apply", index, 0);
        raft->work = raft->work || raft->commit > raft->handed ||
                     raft->store.discard_wanted >= raft->store.first_index;
    }
    KVR_CHECKED(kvr__raft_check(raft));
    return KVR_OK;
}

kvr_status kvr__raft_snapshot_set(kvr_raft *raft, const kvr_snapshot_meta *meta)
{
    kvr_buf *buffer = kvr__buf_new_room(&raft->mem, KVR__MEM_HANDLE, meta->configuration.size);
    if (buffer == NULL) {
        return KVR_ENOMEM;
    }
    memcpy(buffer->data, meta->configuration.data, meta->configuration.size);
    buffer->size = meta->configuration.size;
    kvr_buf_release(raft->snapshot.buffer);
    raft->snapshot.buffer = buffer;
    raft->snapshot.meta = *meta;
    raft->snapshot.meta.configuration = (kvr_slice){buffer->data, buffer->size};
    return KVR_OK;
}

kvr_status kvr_raft_snapshotted(kvr_raft *raft, const kvr_snapshot_meta *meta,
                                uint64_t keep_entries)
{
    uint64_t term = 0;
    uint32_t count = 0;
    if (raft->failed != KVR_OK) {
        return raft->failed;
    }
    if (meta->index > raft->applied || meta->index <= raft->snapshot.meta.index ||
        (kvr__raft_log_term(&raft->log, meta->index, &term) && term != meta->term) ||
        kvr__raft_configuration_verify(meta->configuration, &count) != KVR_OK) {
        return KVR_EINVAL;
    }
    if (kvr__raft_snapshot_set(raft, meta) != KVR_OK) {
        return KVR_ENOMEM;
    }
    uint64_t below = meta->index > keep_entries ? meta->index - keep_entries : 0;
    if (below > raft->store.discard_wanted) {
        raft->store.discard_wanted = below;
        raft->work = true;
    }
    kvr__raft_trace(raft, "snapshot", meta->index, 0);
    KVR_CHECKED(kvr__raft_check(raft));
    return KVR_OK;
}

/* ------------------------------------------------------------------ intake: small things */

kvr_status kvr_raft_campaign(kvr_raft *raft)
{
    if (raft->failed != KVR_OK) {
        return raft->failed;
    }
    if (raft->role == KVR_ROLE_LOADING || !kvr__raft_members_may_lead(raft) ||
        !kvr__raft_election_may_campaign(raft)) {
        return KVR_ESTATE;
    }
    raft->campaign = raft->role != KVR_ROLE_LEADER;
    raft->work = true;
    return KVR_OK;
}

void kvr_raft_set_priority(kvr_raft *raft, uint32_t priority)
{
    raft->config.priority = priority;
}

/* ------------------------------------------------------------------ questions */

/* A caller of an earlier version has a shorter struct. */
static size_t at_most(uint32_t size, size_t known)
{
    return size < known ? size : known;
}

void kvr_raft_get_status(const kvr_raft *raft, kvr_raft_status *out_status)
{
    const kvr__raft_member *self = kvr__raft_self(raft);
    kvr_raft_status status = {
        .size = out_status->size,
        .quiet = raft->quiet,
        .role = raft->role,
        .member_role = self == NULL ? KVR__RAFT_ROLE_NONE : self->role,
        .term = raft->term,
        .voted_for = raft->vote,
        .leader = raft->leader,
        .incarnation = raft->incarnation,
        .first_index = raft->store.first_index,
        .last_index = raft->log.last_index,
        .last_term = raft->log.last_term,
        .durable_index = raft->store.durable_index,
        .commit_index = raft->commit,
        .applied_index = raft->applied,
        .snapshot_index = raft->snapshot.meta.index,
        .lease_clock = kvr__raft_replication_lease_clock(raft),
        .own_term_committed = kvr__raft_read_own_term_committed(raft),
        .bad_messages = raft->bad_messages,
        .memory_bytes = kvr__mem_bytes(&raft->mem),
        .no_space = raft->store.full || raft->store.refused,
        .flush_age_ns = kvr__raft_replication_flush_age(raft),
        .transfer_to = raft->handover.to,
        .lease_ns = raft->lease.promise_ns,
        .lease_end_ns = kvr__raft_lease_end(raft),
        .fresh_ns = kvr__raft_lease_fresh(raft).ns,
        .fresh_index = kvr__raft_lease_fresh(raft).index,
        .joint = raft->joint,
        .removed = raft->removed,
        .data_copies_min = raft->data_copies_min,
    };
    if (raft->configurations.count > 0) {
        status.configuration_index =
            raft->configurations.items[raft->configurations.count - 1].index;
    }
    if (raft->role == KVR_ROLE_LEADER) {
        status.data_copies = kvr__raft_members_copies(raft, raft->commit);
    }
    memcpy(out_status, &status, at_most(status.size, sizeof status));
}

static void show_progress(const kvr_raft *raft, const kvr__raft_progress *from,
                          kvr_raft_progress *out)
{
    out->match = from->match;
    out->next = from->next;
    out->last_heard_ns = from->last_heard_ns;
    out->state = from->state;
    out->is_active = raft->now - from->last_heard_ns < raft->config.election_ns;
    out->inflight_messages = from->inflight.count;
    if (from->match >= raft->log.base_index) { /* else older than what memory can tell */
        out->inflight_bytes = kvr__raft_log_bytes(&raft->log, from->match + 1, from->next - 1);
    }
    out->priority = from->priority;
    out->free_bytes = from->free_bytes;
    out->flush_age_ns = from->flush_age_ns;
    if (from->state == KVR__RAFT_SNAPSHOT_STATE) {
        out->snapshot_index = from->snapshot_index;
        out->snapshot_offset = from->offset;
    }
}

kvr_status kvr_raft_get_progress(const kvr_raft *raft, uint32_t i, kvr_raft_progress *out_progress)
{
    if (i >= raft->member_count) {
        return KVR_END;
    }
    const kvr__raft_member *member = &raft->members[i];
    kvr_raft_progress progress = {
        .size = out_progress->size, .id = member->id, .role = member->role, .flags = member->flags};
    progress.level = i == raft->self ? (uint8_t)raft->config.level : member->level;
    if (raft->role == KVR_ROLE_LEADER) {
        show_progress(raft, &member->progress, &progress);
        progress.priority = i == raft->self ? raft->config.priority : progress.priority;
        progress.caught_up = kvr__raft_change_caught_up(raft, member);
    }
    memcpy(out_progress, &progress, at_most(progress.size, sizeof progress));
    return KVR_OK;
}

const char *kvr_raft_error(const kvr_raft *raft)
{
    return raft->error;
}

kvr_status kvr_raft_configuration(const kvr_raft *raft, uint64_t index, kvr_slice *out_encoded)
{
    const kvr__raft_configured *configured = kvr__raft_members_at(raft, index);
    if (configured == NULL || index < raft->applied || index > raft->log.last_index) {
        return KVR_ENOTFOUND;
    }
    *out_encoded = configured->encoded;
    return KVR_OK;
}

/* ------------------------------------------------------------------ for the whole room */

/* From now on every call returns `status`. */
static void end_part(kvr_raft *raft, kvr_status status)
{
    kvr__raft_handover_last_words(raft);
    raft->failed = status;
    raft->role = KVR_ROLE_FAILED;
}

void kvr_raft_stop(kvr_raft *raft)
{
    if (raft->failed == KVR_OK) {
        end_part(raft, KVR_ESTOPPED);
    }
}

void kvr__raft_fail(kvr_raft *raft, kvr_status status, const char *what, const char *detail)
{
    KVR_ASSERT(kvr_status_is_fatal(status));
    if (raft->failed != KVR_OK) {
        return;
    }
    end_part(raft, status);
    raft->error = kvr_status_text(status); /* if there is no memory to say more */
    char *text = kvr__mem_alloc(&raft->mem, KVR__MEM_HANDLE, KVR__RAFT_ERROR_SIZE);
    if (text == NULL) {
        return;
    }
    raft->error_room = text;
    raft->error = text;
    size_t at = 0;
    const char *parts[] = {what, detail == NULL ? "" : ": ", detail == NULL ? "" : detail};
    for (int i = 0; i < 3; i++) {
        for (const char *p = parts[i]; *p != '\0' && at + 1 < KVR__RAFT_ERROR_SIZE; p++) {
            text[at++] = *p;
        }
    }
    text[at] = '\0';
}
