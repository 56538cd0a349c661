/* SPDX-License-Identifier: Apache-2.0 */
/* raft_message.c: encode and decode, nothing else. Little-endian at fixed offsets; the checksum is
 * XXH3-64 over everything behind it. What a field means for Raft is judged by who receives it
 * (raft_recv_*.c); here only the structure is. */
#include "raft_message.h"

#include "base/checksum.h"
#include "base/codec.h"

/* The head, by offset. */
enum {
    AT_CHECKSUM = 0,
    AT_LENGTH = 8,
    AT_HEAD_SIZE = 12,
    AT_VERSION = 14,
    AT_TYPE = 15,
    AT_CLUSTER = 16,
    AT_GROUP = 24,
    AT_FROM = 32,
    AT_TO = 40,
    AT_TERM = 48,
    AT_LEVEL = 56,
    AT_EXEMPT = 60,   /* bytes at the end that the checksum leaves out; 0 for all but APPEND */
    LENGTH_KNOWN = 16 /* bytes needed to tell length, version and type */
};

static const uint16_t body_sizes[KVR__RAFT_TYPES] = {
    [KVR__RAFT_PREVOTE] = KVR__RAFT_VOTE_SIZE,
    [KVR__RAFT_PREVOTE_REPLY] = KVR__RAFT_VOTE_REPLY_SIZE,
    [KVR__RAFT_VOTE] = KVR__RAFT_VOTE_SIZE,
    [KVR__RAFT_VOTE_REPLY] = KVR__RAFT_VOTE_REPLY_SIZE,
    [KVR__RAFT_APPEND] = KVR__RAFT_APPEND_SIZE,
    [KVR__RAFT_APPEND_REPLY] = KVR__RAFT_APPEND_REPLY_SIZE,
    [KVR__RAFT_HEARTBEAT] = KVR__RAFT_HEARTBEAT_SIZE,
    [KVR__RAFT_HEARTBEAT_REPLY] = KVR__RAFT_HEARTBEAT_REPLY_SIZE,
    [KVR__RAFT_SNAPSHOT] = KVR__RAFT_SNAPSHOT_SIZE,
    [KVR__RAFT_SNAPSHOT_REPLY] = KVR__RAFT_SNAPSHOT_REPLY_SIZE,
    [KVR__RAFT_FORWARD] = KVR__RAFT_FORWARD_SIZE,
    [KVR__RAFT_READ] = KVR__RAFT_READ_SIZE,
    [KVR__RAFT_READ_REPLY] = KVR__RAFT_READ_REPLY_SIZE,
    [KVR__RAFT_POST] = KVR__RAFT_POST_SIZE,
    [KVR__RAFT_TRANSFER] = KVR__RAFT_TRANSFER_SIZE,
    [KVR__RAFT_REMOVED] = KVR__RAFT_REMOVED_SIZE,
};

const char *kvr_raft_message_name(uint8_t type)
{
    static const char *const names[KVR__RAFT_TYPES] = {
        "?",
        "prevote",
        "prevote-reply",
        "vote",
        "vote-reply",
        "append",
        "append-reply",
        "heartbeat",
        "heartbeat-reply",
        "snapshot",
        "snapshot-reply",
        "forward",
        "read",
        "read-reply",
        "post",
        "transfer",
        "removed",
    };
    return type < KVR__RAFT_TYPES ? names[type] : names[0];
}

static void read_head(const uint8_t *p, kvr_message_info *out_info)
{
    *out_info = (kvr_message_info){
        .cluster_id = kvr__load_u64(p + AT_CLUSTER),
        .group_id = kvr__load_u64(p + AT_GROUP),
        .from = kvr__load_u64(p + AT_FROM),
        .to = kvr__load_u64(p + AT_TO),
        .term = kvr__load_u64(p + AT_TERM),
        .length = kvr__load_u32(p + AT_LENGTH),
        .version = p[AT_VERSION],
        .type = p[AT_TYPE],
        .level = p[AT_LEVEL],
    };
}

/* Version, and sizes against each other: what can be told from the first 16 bytes. */
static inline kvr_status judge_sizes(const uint8_t *p)
{
    uint16_t head_size = kvr__load_u16(p + AT_HEAD_SIZE);
    if (p[AT_VERSION] != KVR__RAFT_MESSAGE_VERSION) {
        return p[AT_VERSION] == 0 ? KVR_ECORRUPT : KVR_EVERSION;
    }
    bool possible = head_size >= KVR__RAFT_HEAD_SIZE && kvr__load_u32(p + AT_LENGTH) >= head_size;
    return possible ? KVR_OK : KVR_ECORRUPT;
}

kvr_status kvr_message_peek(const kvr_slice *frame, uint32_t length_max, kvr_message_info *out_info)
{
    *out_info = (kvr_message_info){0};
    if (frame->size < LENGTH_KNOWN) {
        return KVR_END;
    }
    const uint8_t *p = frame->data;
    uint32_t length = kvr__load_u32(p + AT_LENGTH);
    kvr_status status = judge_sizes(p);
    if (status != KVR_OK) {
        return status;
    }
    if (length > length_max) {
        return KVR_ETOOBIG;
    }
    if (frame->size < length) {
        out_info->length = length;
        return KVR_END;
    }
    read_head(p, out_info);
    return KVR_OK;
}

uint32_t kvr_message_head_size(void)
{
    return KVR__RAFT_HEAD_SIZE;
}

static inline kvr_status verify(kvr_slice bytes)
{
    const uint8_t *p = bytes.data;
    if (bytes.size < KVR__RAFT_HEAD_SIZE) {
        return KVR_ECORRUPT;
    }
    kvr_status status = judge_sizes(p);
    if (status != KVR_OK) {
        return status;
    }
    size_t exempt = kvr__load_u32(p + AT_EXEMPT);
    if (kvr__load_u32(p + AT_LENGTH) != bytes.size || exempt > bytes.size - KVR__RAFT_HEAD_SIZE ||
        kvr__load_u64(p + AT_CHECKSUM) !=
            kvr__xxh3_64(p + AT_LENGTH, bytes.size - exempt - AT_LENGTH)) {
        return KVR_ECORRUPT;
    }
    return KVR_OK;
}

kvr_status kvr__raft_message_verify(kvr_slice bytes, kvr_message_info *out_head)
{
    kvr_status status = verify(bytes);
    if (status == KVR_OK) {
        read_head(bytes.data, out_head);
    }
    return status;
}

kvr_status kvr__raft_message_read(kvr_slice bytes, kvr__raft_message *out_message)
{
    const uint8_t *p = bytes.data;
    kvr_status status = verify(bytes);
    if (status != KVR_OK) {
        return status;
    }
    size_t exempt = kvr__load_u32(p + AT_EXEMPT);
    uint8_t type = p[AT_TYPE];
    size_t known_size = type < KVR__RAFT_TYPES ? body_sizes[type] : 0;
    if (known_size == 0) {
        return KVR_EVERSION;
    }
    size_t head_size = kvr__load_u16(p + AT_HEAD_SIZE);
    const uint8_t *body = p + head_size;
    size_t left = bytes.size - head_size;
    size_t body_size = left < known_size ? 0 : kvr__load_u16(body);
    if (body_size < known_size || body_size > left ||
        exempt != (type == KVR__RAFT_APPEND ? left - body_size : 0)) {
        return KVR_ECORRUPT;
    }
    read_head(p, &out_message->head);
    out_message->body = body;
    out_message->tail = (kvr_slice){body + body_size, left - body_size};
    return KVR_OK;
}

void kvr__raft_message_write_head(uint8_t *out, const kvr_message_info *head)
{
    kvr__store_u64(out + AT_LENGTH, 0);
    kvr__store_u16(out + AT_HEAD_SIZE, KVR__RAFT_HEAD_SIZE);
    out[AT_VERSION] = KVR__RAFT_MESSAGE_VERSION;
    out[AT_TYPE] = head->type;
    kvr__store_u64(out + AT_CLUSTER, head->cluster_id);
    kvr__store_u64(out + AT_GROUP, head->group_id);
    kvr__store_u64(out + AT_FROM, head->from);
    kvr__store_u64(out + AT_TO, head->to);
    kvr__store_u64(out + AT_TERM, head->term);
    kvr__store_u64(out + AT_LEVEL, head->level);
}

void kvr__raft_message_exempt(uint8_t *bytes, uint32_t size)
{
    kvr__store_u32(bytes + AT_EXEMPT, size);
}

void kvr__raft_message_seal(uint8_t *bytes, uint32_t length)
{
    size_t exempt = kvr__load_u32(bytes + AT_EXEMPT);
    kvr__store_u32(bytes + AT_LENGTH, length);
    kvr__store_u64(bytes + AT_CHECKSUM,
                   kvr__xxh3_64(bytes + AT_LENGTH, length - exempt - AT_LENGTH));
}

uint8_t kvr__raft_message_type(const uint8_t *bytes)
{
    return bytes[AT_TYPE];
}

/* ------------------------------------------------------------------ bodies */

static void write_start(uint8_t *out, uint16_t size, uint16_t flags, uint32_t word)
{
    kvr__store_u16(out, size);
    kvr__store_u16(out + 2, flags);
    kvr__store_u32(out + 4, word);
}

void kvr__raft_message_write_vote(uint8_t *out, const kvr__raft_vote *vote)
{
    write_start(out, KVR__RAFT_VOTE_SIZE, vote->flags, vote->priority);
    kvr__store_u64(out + 8, vote->last_index);
    kvr__store_u64(out + 16, vote->last_term);
    kvr__store_u64(out + 24, vote->round);
}

void kvr__raft_message_read_vote(const uint8_t *body, kvr__raft_vote *out_vote)
{
    *out_vote = (kvr__raft_vote){
        .flags = kvr__load_u16(body + 2),
        .priority = kvr__load_u32(body + 4),
        .last_index = kvr__load_u64(body + 8),
        .last_term = kvr__load_u64(body + 16),
        .round = kvr__load_u64(body + 24),
    };
}

void kvr__raft_message_write_vote_reply(uint8_t *out, const kvr__raft_vote_reply *reply)
{
    write_start(out, KVR__RAFT_VOTE_REPLY_SIZE, reply->flags, 0);
    kvr__store_u64(out + 8, reply->asked_term);
}

void kvr__raft_message_read_vote_reply(const uint8_t *body, kvr__raft_vote_reply *out_reply)
{
    *out_reply = (kvr__raft_vote_reply){
        .flags = kvr__load_u16(body + 2),
        .asked_term = kvr__load_u64(body + 8),
    };
}

void kvr__raft_message_write_append(uint8_t *out, const kvr__raft_append *append)
{
    write_start(out, KVR__RAFT_APPEND_SIZE, append->flags, append->entry_count);
    kvr__store_u64(out + 8, append->prev_index);
    kvr__store_u64(out + 16, append->prev_term);
    kvr__store_u64(out + 24, append->commit);
    kvr__store_u64(out + 32, append->round);
    kvr__store_u64(out + 40, append->lease_clock);
}

void kvr__raft_message_read_append(const uint8_t *body, kvr__raft_append *out_append)
{
    *out_append = (kvr__raft_append){
        .flags = kvr__load_u16(body + 2),
        .entry_count = kvr__load_u32(body + 4),
        .prev_index = kvr__load_u64(body + 8),
        .prev_term = kvr__load_u64(body + 16),
        .commit = kvr__load_u64(body + 24),
        .round = kvr__load_u64(body + 32),
        .lease_clock = kvr__load_u64(body + 40),
    };
}

void kvr__raft_message_write_append_reply(uint8_t *out, const kvr__raft_append_reply *reply)
{
    write_start(out, KVR__RAFT_APPEND_REPLY_SIZE, reply->flags, 0);
    kvr__store_u64(out + 8, reply->index);
    kvr__store_u64(out + 16, reply->hint_index);
    kvr__store_u64(out + 24, reply->hint_term);
    kvr__store_u64(out + 32, reply->round);
    kvr__store_u64(out + 40, reply->free_bytes);
    kvr__store_u64(out + 48, reply->flush_age_ns);
}

void kvr__raft_message_read_append_reply(const uint8_t *body, kvr__raft_append_reply *out_reply)
{
    *out_reply = (kvr__raft_append_reply){
        .flags = kvr__load_u16(body + 2),
        .index = kvr__load_u64(body + 8),
        .hint_index = kvr__load_u64(body + 16),
        .hint_term = kvr__load_u64(body + 24),
        .round = kvr__load_u64(body + 32),
        .free_bytes = kvr__load_u64(body + 40),
        .flush_age_ns = kvr__load_u64(body + 48),
    };
}

void kvr__raft_message_write_heartbeat(uint8_t *out, const kvr__raft_heartbeat *heartbeat)
{
    write_start(out, KVR__RAFT_HEARTBEAT_SIZE, heartbeat->flags, 0);
    kvr__store_u64(out + 8, heartbeat->commit);
    kvr__store_u64(out + 16, heartbeat->round);
    kvr__store_u64(out + 24, heartbeat->lease_clock);
    kvr__store_u64(out + 32, heartbeat->confirmed);
    kvr__store_u64(out + 40, heartbeat->stamp);
    kvr__store_u64(out + 48, heartbeat->committed);
}

void kvr__raft_message_read_heartbeat(const uint8_t *body, kvr__raft_heartbeat *out_heartbeat)
{
    *out_heartbeat = (kvr__raft_heartbeat){
        .flags = kvr__load_u16(body + 2),
        .commit = kvr__load_u64(body + 8),
        .round = kvr__load_u64(body + 16),
        .lease_clock = kvr__load_u64(body + 24),
        .confirmed = kvr__load_u64(body + 32),
        .stamp = kvr__load_u64(body + 40),
        .committed = kvr__load_u64(body + 48),
    };
}

void kvr__raft_message_write_heartbeat_reply(uint8_t *out, const kvr__raft_heartbeat_reply *reply)
{
    write_start(out, KVR__RAFT_HEARTBEAT_REPLY_SIZE, reply->flags, reply->priority);
    kvr__store_u64(out + 8, reply->round);
    kvr__store_u64(out + 16, reply->free_bytes);
    kvr__store_u64(out + 24, reply->flush_age_ns);
    kvr__store_u64(out + 32, reply->stamp);
}

void kvr__raft_message_read_heartbeat_reply(const uint8_t *body,
                                            kvr__raft_heartbeat_reply *out_reply)
{
    *out_reply = (kvr__raft_heartbeat_reply){
        .flags = kvr__load_u16(body + 2),
        .priority = kvr__load_u32(body + 4),
        .round = kvr__load_u64(body + 8),
        .free_bytes = kvr__load_u64(body + 16),
        .flush_age_ns = kvr__load_u64(body + 24),
        .stamp = kvr__load_u64(body + 32),
    };
}

void kvr__raft_message_write_snapshot(uint8_t *out, const kvr__raft_snapshot_chunk *chunk)
{
    write_start(out, KVR__RAFT_SNAPSHOT_SIZE, chunk->flags, chunk->configuration_size);
    kvr__store_u64(out + 8, chunk->meta.index);
    kvr__store_u64(out + 16, chunk->meta.term);
    kvr__store_u64(out + 24, chunk->meta.bytes);
    memcpy(out + 32, chunk->meta.hash, sizeof chunk->meta.hash);
    kvr__store_u64(out + 48, chunk->offset);
    kvr__store_u64(out + 56, 0);
}

void kvr__raft_message_read_snapshot(const uint8_t *body, kvr__raft_snapshot_chunk *out_chunk)
{
    *out_chunk = (kvr__raft_snapshot_chunk){
        .flags = kvr__load_u16(body + 2),
        .configuration_size = kvr__load_u32(body + 4),
        .meta.index = kvr__load_u64(body + 8),
        .meta.term = kvr__load_u64(body + 16),
        .meta.bytes = kvr__load_u64(body + 24),
        .offset = kvr__load_u64(body + 48),
    };
    memcpy(out_chunk->meta.hash, body + 32, sizeof out_chunk->meta.hash);
}

void kvr__raft_message_write_snapshot_reply(uint8_t *out, const kvr__raft_snapshot_reply *reply)
{
    write_start(out, KVR__RAFT_SNAPSHOT_REPLY_SIZE, reply->flags, 0);
    kvr__store_u64(out + 8, reply->index);
    kvr__store_u64(out + 16, reply->term);
    kvr__store_u64(out + 24, reply->offset);
    kvr__store_u64(out + 32, reply->round);
}

void kvr__raft_message_read_snapshot_reply(const uint8_t *body, kvr__raft_snapshot_reply *out_reply)
{
    *out_reply = (kvr__raft_snapshot_reply){
        .flags = kvr__load_u16(body + 2),
        .index = kvr__load_u64(body + 8),
        .term = kvr__load_u64(body + 16),
        .offset = kvr__load_u64(body + 24),
        .round = kvr__load_u64(body + 32),
    };
}

void kvr__raft_message_write_forward(uint8_t *out, uint32_t command_count)
{
    write_start(out, KVR__RAFT_FORWARD_SIZE, 0, command_count);
}

uint32_t kvr__raft_message_read_forward(const uint8_t *body)
{
    return kvr__load_u32(body + 4);
}

void kvr__raft_message_write_read(uint8_t *out, const kvr__raft_read_context *context,
                                  uint16_t flags)
{
    write_start(out, KVR__RAFT_READ_SIZE, flags, 0);
    kvr__store_u64(out + 8, context->incarnation);
    kvr__store_u64(out + 16, context->sequence);
}

uint16_t kvr__raft_message_read_read(const uint8_t *body, kvr__raft_read_context *out_context)
{
    *out_context = (kvr__raft_read_context){kvr__load_u64(body + 8), kvr__load_u64(body + 16)};
    return kvr__load_u16(body + 2);
}

void kvr__raft_message_write_read_reply(uint8_t *out, const kvr__raft_read_context *context,
                                        uint64_t index, uint16_t flags)
{
    write_start(out, KVR__RAFT_READ_REPLY_SIZE, flags, 0);
    kvr__store_u64(out + 8, context->incarnation);
    kvr__store_u64(out + 16, context->sequence);
    kvr__store_u64(out + 24, index);
}

void kvr__raft_message_read_read_reply(const uint8_t *body, kvr__raft_read_context *out_context,
                                       uint64_t *out_index, uint16_t *out_flags)
{
    *out_flags = kvr__load_u16(body + 2);
    *out_context = (kvr__raft_read_context){kvr__load_u64(body + 8), kvr__load_u64(body + 16)};
    *out_index = kvr__load_u64(body + 24);
}

void kvr__raft_message_write_post(uint8_t *out, uint8_t type)
{
    write_start(out, KVR__RAFT_POST_SIZE, 0, type);
}

uint8_t kvr__raft_message_read_post(const uint8_t *body)
{
    return body[4];
}

void kvr__raft_message_write_transfer(uint8_t *out, uint64_t round)
{
    write_start(out, KVR__RAFT_TRANSFER_SIZE, 0, 0);
    kvr__store_u64(out + 8, round);
}

uint64_t kvr__raft_message_read_transfer(const uint8_t *body)
{
    return kvr__load_u64(body + 8);
}

void kvr__raft_message_write_removed(uint8_t *out, uint64_t index)
{
    write_start(out, KVR__RAFT_REMOVED_SIZE, 0, 0);
    kvr__store_u64(out + 8, index);
}

uint64_t kvr__raft_message_read_removed(const uint8_t *body)
{
    return kvr__load_u64(body + 8);
}
