/* SPDX-License-Identifier: Apache-2.0 */
/* raft_propose.c: commands into the log, and to the leader. A forwarded message carries bare
 * commands with their proposer's checksums; those that a follower proposes between two readies
 * share one message. What a leader cannot take of it is dropped: the state machines see what became
 * of each command. */
#include "base/checksum.h"
#include "base/codec.h"
#include "raft_internal.h"

/* ------------------------------------------------------------------ forwarding */

static size_t forward_size(kvr_slice command)
{
    return KVR__RAFT_FORWARD_ITEM_SIZE + command.size;
}

/* Room for one more command in the message that takes them, or in a new one. */
static uint8_t *forward_room(kvr_raft *raft, size_t size)
{
    if (raft->forward_message != 0) {
        kvr_message *message = &raft->outbox.messages[raft->forward_message - 1];
        if (message->to == raft->leader &&
            message->bytes.size + size <= raft->config.message_bytes_max) {
            uint8_t *room = kvr__raft_outbox_extend(raft, size);
            if (room != NULL) {
                uint8_t *body = raft->outbox.bytes +
                                raft->outbox.messages[raft->forward_message - 1].token +
                                KVR__RAFT_HEAD_SIZE;
                kvr__raft_message_write_forward(body, kvr__raft_message_read_forward(body) + 1);
            }
            return room;
        }
    }
    uint8_t *body =
        kvr__raft_outbox_open(raft, raft->leader, KVR__RAFT_FORWARD, KVR__RAFT_FORWARD_SIZE + size);
    if (body == NULL) {
        return NULL;
    }
    raft->forward_message = raft->outbox.count;
    kvr__raft_message_write_forward(body, 1);
    return body + KVR__RAFT_FORWARD_SIZE;
}

static kvr_status forward(kvr_raft *raft, kvr_slice command)
{
    if (raft->leader == 0) {
        return KVR_ENOLEADER;
    }
    if (command.size > raft->config.command_bytes_max) {
        return KVR_ETOOBIG;
    }
    if (raft->outbox.count == KVR__RAFT_OUTBOX_MAX) {
        return KVR_EBUSY;
    }
    uint8_t *room = forward_room(raft, forward_size(command));
    if (room == NULL) {
        return KVR_ENOMEM;
    }
    KVR__RAFT_COUNT(raft, proposals_forwarded, 1);
    kvr__store_u64(room, kvr__xxh3_64(command.data, command.size));
    kvr__store_u32(room + 8, (uint32_t)command.size);
    if (command.size > 0) {
        memcpy(room + KVR__RAFT_FORWARD_ITEM_SIZE, command.data, command.size);
    }
    return KVR_OK;
}

/* True if the tail is exactly `count` commands whose checksums are right. */
static bool forward_is_sound(kvr_slice tail, uint32_t count)
{
    kvr__reader reader = kvr__reader_of(tail.data, tail.size);
    for (uint32_t i = 0; i < count && !reader.failed; i++) {
        uint64_t checksum = kvr__read_u64(&reader);
        kvr_slice command = kvr__read_slice(&reader);
        if (reader.failed || checksum != kvr__xxh3_64(command.data, command.size)) {
            return false;
        }
    }
    return !reader.failed && kvr__reader_left(&reader) == 0;
}

kvr_status kvr__raft_recv_forward(kvr_raft *raft, const kvr__raft_message *message)
{
    uint32_t count = kvr__raft_message_read_forward(message->body);
    if (!forward_is_sound(message->tail, count)) {
        return kvr__raft_recv_bad(raft);
    }
    if (raft->role != KVR_ROLE_LEADER) {
        return KVR_OK;
    }
    kvr__reader reader = kvr__reader_of(message->tail.data, message->tail.size);
    for (uint32_t i = 0; i < count; i++) {
        uint64_t checksum = kvr__read_u64(&reader);
        kvr_status status = kvr__raft_replication_propose(raft, kvr__read_slice(&reader), checksum);
        if (status == KVR_ENOMEM) {
            return status;
        }
    }
    return KVR_OK;
}

/* ------------------------------------------------------------------ the door */

kvr_status kvr_raft_propose(kvr_raft *raft, const kvr_slice *command,
                            kvr_raft_proposal *out_proposal)
{
    if (raft->failed != KVR_OK) {
        return raft->failed;
    }
    if (command->data == NULL && command->size > 0) {
        return KVR_EINVAL;
    }
    if (raft->role != KVR_ROLE_LEADER) {
        kvr_status status = forward(raft, *command);
        if (status == KVR_OK) {
            *out_proposal = (kvr_raft_proposal){.term = raft->term};
        }
        return status;
    }
    kvr_status status =
        kvr__raft_replication_propose(raft, *command, kvr__xxh3_64(command->data, command->size));
    if (status == KVR_OK) {
        *out_proposal = (kvr_raft_proposal){.index = raft->log.last_index, .term = raft->term};
    }
    KVR_CHECKED(kvr__raft_check(raft));
    return status;
}
