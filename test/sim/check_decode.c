/* SPDX-License-Identifier: Apache-2.0 */
/* check_decode.c: see check_decode.h. One bounded reader; a field behind the end reads as 0 and
 * makes the whole fail. */
#include "check_decode.h"

#include <stdlib.h>
#include <string.h>

#include "check.h"

typedef struct reader {
    const uint8_t *at;
    size_t left;
    bool failed;
} reader;

static const uint8_t *take(reader *from, size_t size)
{
    if (from->failed || size > from->left) {
        from->failed = true;
        return NULL;
    }
    const uint8_t *bytes = from->at;
    from->at += size;
    from->left -= size;
    return bytes;
}

static uint64_t number(reader *from, size_t size)
{
    const uint8_t *p = take(from, size);
    uint64_t value = 0;
    for (size_t i = 0; p != NULL && i < size; i++) {
        value |= (uint64_t)p[i] << 8 * i;
    }
    return value;
}

static uint64_t u64(reader *from)
{
    return number(from, 8);
}

static uint32_t u32(reader *from)
{
    return (uint32_t)number(from, 4);
}

static kvr_slice bytes_of(reader *from)
{
    size_t size = u32(from);
    const uint8_t *p = take(from, size);
    return p == NULL ? (kvr_slice){NULL, 0} : (kvr_slice){p, size};
}

/* ------------------------------------------------------------------ messages */

static void read_body(reader *body, wire_message *message)
{
    message->flags = (uint16_t)number(body, 2);
    uint32_t word = u32(body);
    switch (message->type) {
    case WIRE_PREVOTE:
    case WIRE_VOTE:
        message->last_index = u64(body);
        message->last_term = u64(body);
        break;
    case WIRE_PREVOTE_REPLY:
    case WIRE_VOTE_REPLY:
        message->asked_term = u64(body);
        break;
    case WIRE_APPEND:
        message->entry_count = word;
        message->prev_index = u64(body);
        message->prev_term = u64(body);
        message->commit = u64(body);
        break;
    case WIRE_HEARTBEAT:
        message->commit = u64(body);
        break;
    case WIRE_APPEND_REPLY:
    case WIRE_SNAPSHOT:
    case WIRE_SNAPSHOT_REPLY:
        message->index = u64(body);
        break;
    case WIRE_READ_REPLY:
        (void)take(body, 16);
        message->index = u64(body);
        break;
    default:
        break;
    }
}

bool wire_read(const kvr_slice *bytes, wire_message *out_message)
{
    kvr_message_info info;
    if (kvr_message_peek(bytes, UINT32_MAX, &info) != KVR_OK || info.length != bytes->size) {
        return false;
    }
    *out_message =
        (wire_message){.from = info.from, .to = info.to, .term = info.term, .type = info.type};
    enum { HEAD_SIZE_AT = 12 };
    reader head = {bytes->data + HEAD_SIZE_AT, bytes->size - HEAD_SIZE_AT, false};
    size_t head_size = number(&head, 2);
    reader body = {bytes->data, bytes->size, false};
    (void)take(&body, head_size);
    (void)number(&body, 2);
    read_body(&body, out_message);
    return !body.failed;
}

/* ------------------------------------------------------------------ entries */

bool wire_read_entry(const kvr_slice *bytes, kvr_entry *out_entry, size_t *out_size)
{
    reader from = {bytes->data, bytes->size, false};
    size_t head_size = number(&from, 2);
    (void)number(&from, 1);
    kvr_entry entry = {.kind = (uint8_t)number(&from, 1)};
    entry.flags = u32(&from);
    entry.index = u64(&from);
    entry.term = u64(&from);
    entry.lease_clock = u64(&from);
    size_t command_size = u32(&from);
    (void)u32(&from);
    entry.command_checksum = u64(&from);
    if (from.failed || head_size < KVR_ENTRY_HEADER_SIZE || head_size > bytes->size ||
        command_size > bytes->size - head_size) {
        return false;
    }
    entry.command = (kvr_slice){bytes->data + head_size, command_size};
    entry.bytes = (kvr_slice){bytes->data, head_size + command_size};
    *out_entry = entry;
    *out_size = entry.bytes.size;
    return true;
}

/* ------------------------------------------------------------------ configurations */

static uint32_t bit_of(uint64_t id, size_t role)
{
    bool votes = role == KVR_MEMBER_VOTER || role == KVR_MEMBER_WITNESS;
    return votes && id >= 1 && id <= 32 ? 1u << (id - 1) : 0;
}

bool wire_read_configuration(const kvr_slice *bytes, uint32_t *out_incoming, uint32_t *out_outgoing)
{
    enum { JOINT = 1, HEAD = 16 };
    reader from = {bytes->data, bytes->size, false};
    size_t head_size = number(&from, 2);
    (void)number(&from, 1);
    size_t flags = number(&from, 1);
    uint32_t count = u32(&from);
    (void)take(&from, head_size < 8 ? 0 : head_size - 8);
    *out_incoming = 0;
    *out_outgoing = 0;
    for (uint32_t i = 0; i < count && !from.failed; i++) {
        size_t record_size = number(&from, 2);
        size_t role = number(&from, 1);
        size_t role_outgoing = number(&from, 1);
        size_t attributes = u32(&from);
        uint64_t id = u64(&from);
        (void)take(&from, record_size < HEAD ? 0 : record_size - HEAD);
        (void)take(&from, attributes);
        *out_incoming |= bit_of(id, role);
        *out_outgoing |= (flags & JOINT) != 0 ? bit_of(id, role_outgoing) : 0;
    }
    return !from.failed && from.left == 0;
}

/* ------------------------------------------------------------------ operations */

/* An item that begins with its size: what it holds beyond what is read is skipped. */
static reader enter(reader *from)
{
    reader item = *from;
    size_t size = u32(from);
    if (size < 4 || take(from, size - 4) == NULL) {
        from->failed = true;
        return (reader){.failed = true};
    }
    item.left = size;
    (void)u32(&item);
    return item;
}

static void read_op(reader *from, kvr_op *op, uint32_t depth);

static void read_compare(reader *from, kvr_compare *compare)
{
    reader item = enter(from);
    *compare = (kvr_compare){.size = sizeof *compare};
    compare->target = (uint8_t)number(&item, 1);
    compare->result = (uint8_t)number(&item, 1);
    (void)number(&item, 2);
    compare->number = (int64_t)u64(&item);
    compare->key = bytes_of(&item);
    compare->range_end = bytes_of(&item);
    compare->value = bytes_of(&item);
    from->failed = from->failed || item.failed;
}

static kvr_op *read_ops(reader *from, uint32_t count, uint32_t depth)
{
    kvr_op *ops = check_alloc(count * sizeof *ops);
    for (uint32_t i = 0; i < count; i++) {
        read_op(from, &ops[i], depth);
    }
    return ops;
}

static void read_txn(reader *from, kvr_op *op, uint32_t depth)
{
    uint32_t compares = u32(from);
    uint32_t then = u32(from);
    uint32_t other = u32(from);
    if (from->failed || depth > KVR_TXN_DEPTH_MAX || compares > KVR_TXN_OPS_MAX ||
        then > KVR_TXN_OPS_MAX || other > KVR_TXN_OPS_MAX) {
        from->failed = true;
        return;
    }
    kvr_compare *list = check_alloc(compares * sizeof *list);
    for (uint32_t i = 0; i < compares; i++) {
        read_compare(from, &list[i]);
    }
    kvr_txn *txn = check_alloc(sizeof *txn);
    *txn = (kvr_txn){
        .size = sizeof *txn,
        .compare_count = compares,
        .then_count = then,
        .else_count = other,
        .compares = list,
        .then_ops = read_ops(from, then, depth + 1),
    };
    txn->else_ops = read_ops(from, other, depth + 1);
    op->txn = txn;
}

static void read_op(reader *from, kvr_op *op, uint32_t depth)
{
    reader item = enter(from);
    *op = (kvr_op){.size = sizeof *op};
    op->kind = (uint8_t)number(&item, 1);
    (void)number(&item, 3);
    op->flags = u32(&item);
    switch (op->kind) {
    case KVR_OP_PUT:
        op->lease = (int64_t)u64(&item);
        op->key = bytes_of(&item);
        op->value = bytes_of(&item);
        break;
    case KVR_OP_RANGE:
        op->revision = u64(&item);
        op->limit = u64(&item);
        op->key = bytes_of(&item);
        op->range_end = bytes_of(&item);
        break;
    case KVR_OP_DELETE:
        op->key = bytes_of(&item);
        op->range_end = bytes_of(&item);
        break;
    case KVR_OP_TXN:
        read_txn(&item, op, depth);
        break;
    default:
        item.failed = true;
    }
    from->failed = from->failed || item.failed;
}

static void release_op(const kvr_op *op)
{
    if (op->txn == NULL) {
        return;
    }
    for (uint32_t i = 0; i < op->txn->then_count; i++) {
        release_op(&op->txn->then_ops[i]);
    }
    for (uint32_t i = 0; i < op->txn->else_count; i++) {
        release_op(&op->txn->else_ops[i]);
    }
    free((void *)(uintptr_t)op->txn->compares);
    free((void *)(uintptr_t)op->txn->then_ops);
    free((void *)(uintptr_t)op->txn->else_ops);
    free((void *)(uintptr_t)op->txn);
}

/* ------------------------------------------------------------------ commands */

static void read_payload(reader *from, wire_command *command)
{
    switch (command->kind) {
    case WIRE_COMMAND_WRITE:
        read_op(from, &command->op, 1);
        break;
    case WIRE_COMMAND_COMPACT:
        command->revision = u64(from);
        break;
    case WIRE_COMMAND_GRANT:
        command->lease = (int64_t)u64(from);
        command->ttl_ns = u64(from);
        break;
    case WIRE_COMMAND_REVOKE:
        command->lease = (int64_t)u64(from);
        command->term = u64(from);
        command->granted = u64(from);
        break;
    case WIRE_COMMAND_RECORD:
        command->term = u64(from);
        break;
    case WIRE_COMMAND_LEVEL:
        (void)u64(from);
        break;
    default:
        from->failed = true;
    }
}

bool wire_read_command(const kvr_slice *bytes, wire_command *out_command)
{
    wire_command command = {.kind = 0};
    reader from = {bytes->data, bytes->size, false};
    reader after = from;
    size_t head_size = number(&from, 2);
    (void)number(&from, 1);
    command.kind = (uint8_t)number(&from, 1);
    (void)u32(&from);
    command.member = u64(&from);
    command.incarnation = u64(&from);
    command.sequence = u64(&from);
    (void)take(&from, 24);
    size_t user_size = u32(&from);
    size_t payload_size = u32(&from);
    (void)take(&after, head_size);
    (void)take(&after, user_size);
    reader payload = {after.at, payload_size, false};
    if (from.failed || after.failed || payload_size != after.left) {
        return false;
    }
    read_payload(&payload, &command);
    if (payload.failed) {
        release_op(&command.op);
        return false;
    }
    *out_command = command;
    return true;
}

void wire_command_release(wire_command *command)
{
    release_op(&command->op);
    command->op.txn = NULL;
}

/* ------------------------------------------------------------------ what is asked for */

static uint64_t digest_slice(uint64_t hash, const kvr_slice *slice)
{
    return check_hash(hash, slice->data, slice->size);
}

static uint64_t digest_op(uint64_t hash, const kvr_op *op)
{
    hash = check_mix(hash, op->kind);
    hash = check_mix(hash, op->flags & ~(uint32_t)KVR_OP_NO_LEASE);
    hash = digest_slice(hash, &op->key);
    hash = digest_slice(hash, &op->range_end);
    hash = digest_slice(hash, &op->value);
    hash = check_mix(hash, (uint64_t)op->lease);
    hash = check_mix(hash, op->revision);
    hash = check_mix(hash, op->limit);
    if (op->txn == NULL) {
        return hash;
    }
    const kvr_txn *txn = op->txn;
    hash = check_mix(hash, (uint64_t)txn->compare_count << 32 | txn->then_count);
    for (uint32_t i = 0; i < txn->compare_count; i++) {
        const kvr_compare *compare = &txn->compares[i];
        hash = check_mix(hash, (uint64_t)compare->target << 8 | compare->result);
        hash = check_mix(hash, (uint64_t)compare->number);
        hash = digest_slice(hash, &compare->key);
        hash = digest_slice(hash, &compare->range_end);
        hash = digest_slice(hash, &compare->value);
    }
    for (uint32_t i = 0; i < txn->then_count; i++) {
        hash = digest_op(hash, &txn->then_ops[i]);
    }
    for (uint32_t i = 0; i < txn->else_count; i++) {
        hash = digest_op(hash, &txn->else_ops[i]);
    }
    return hash;
}

uint64_t wire_op_digest(const kvr_op *op)
{
    return digest_op(0, op);
}
