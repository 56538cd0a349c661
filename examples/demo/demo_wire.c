/* SPDX-License-Identifier: Apache-2.0 */
/* demo_wire.c: frames between clients and members, each format described once for the side that
 * writes it and the side that reads it, bounded, what a stranger may have sent. See demo.h. */
#include "demo.h"

#include <string.h>

kvr_slice text(const char *string)
{
    return (kvr_slice){(const uint8_t *)string, strlen(string)};
}

/* ---------------------------------------------------------------- numbers and bytes */

static const uint8_t *take(fields *f, size_t size)
{
    if (f->failed || size > (size_t)(f->end - f->at)) {
        f->failed = true;
        return NULL;
    }
    f->at += size;
    return f->at - size;
}

static void store(uint8_t *to, uint64_t value, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        to[i] = (uint8_t)(value >> (8 * i));
    }
}

static uint64_t number(fields *f, uint64_t value, size_t size)
{
    if (f->out != NULL) {
        store(buffer_room(f->out, size), value, size);
        return value;
    }
    const uint8_t *from = take(f, size);
    uint64_t found = 0;
    for (size_t i = 0; from != NULL && i < size; i++) {
        found |= (uint64_t)from[i] << (8 * i);
    }
    return found;
}

uint8_t field_u8(fields *f, uint8_t value)
{
    return (uint8_t)number(f, value, 1);
}

uint32_t field_u32(fields *f, uint32_t value)
{
    return (uint32_t)number(f, value, 4);
}

uint64_t field_u64(fields *f, uint64_t value)
{
    return number(f, value, 8);
}

kvr_slice field_bytes(fields *f, kvr_slice bytes)
{
    uint32_t size = field_u32(f, (uint32_t)bytes.size);
    if (f->out == NULL) {
        const uint8_t *from = take(f, size);
        return from == NULL ? (kvr_slice){NULL, 0} : (kvr_slice){from, size};
    }
    if (size > 0) {
        memcpy(buffer_room(f->out, size), bytes.data, size);
    }
    return bytes;
}

bool fields_left(const fields *f)
{
    return !f->failed && f->at < f->end;
}

/* ---------------------------------------------------------------- frames */

/* The mark counts from the buffer's start, which buffer_room may move. */
fields frame_begin(buffer *out, uint8_t kind, uint64_t id)
{
    fields frame = {.out = out, .mark = buffer_size(out)};
    field_u32(&frame, 0);
    field_u8(&frame, kind);
    field_u64(&frame, id);
    return frame;
}

void frame_end(fields *frame)
{
    size_t size = buffer_size(frame->out) - frame->mark - 4;
    store(frame->out->data + frame->out->start + frame->mark, size, 4);
}

int frame_next(buffer *in, uint8_t *out_kind, uint64_t *out_id, fields *out_rest)
{
    if (buffer_size(in) < 4) {
        return 0;
    }
    fields head = {.at = in->data + in->start, .end = in->data + in->end};
    uint32_t size = field_u32(&head, 0);
    if (size < 9 || size > WIRE_FRAME_MAX) {
        return -1;
    }
    if (buffer_size(in) - 4 < size) {
        return 0;
    }
    head.end = head.at + size;
    *out_kind = field_u8(&head, 0);
    *out_id = field_u64(&head, 0);
    *out_rest = head;
    in->start += (size_t)size + 4;
    return 1;
}

/* ---------------------------------------------------------------- what they hold */

void field_kv(fields *f, kvr_kv *kv)
{
    kv->key = field_bytes(f, kv->key);
    kv->value = field_bytes(f, kv->value);
    kv->create_revision = field_u64(f, kv->create_revision);
    kv->mod_revision = field_u64(f, kv->mod_revision);
    kv->version = field_u64(f, kv->version);
    kv->lease = (int64_t)field_u64(f, (uint64_t)kv->lease);
}

void field_event(fields *f, kvr_event *event)
{
    event->type = field_u8(f, event->type);
    field_kv(f, &event->kv);
    event->has_prev = field_u8(f, event->has_prev);
    field_kv(f, &event->prev);
}

static void field_op(fields *f, kvr_op *op)
{
    op->size = sizeof *op;
    op->kind = field_u8(f, op->kind);
    op->flags = field_u32(f, op->flags);
    op->key = field_bytes(f, op->key);
    op->range_end = field_bytes(f, op->range_end);
    op->value = field_bytes(f, op->value);
    op->lease = (int64_t)field_u64(f, (uint64_t)op->lease);
}

static void field_compare(fields *f, kvr_compare *compare)
{
    compare->size = sizeof *compare;
    compare->target = field_u8(f, compare->target);
    compare->result = field_u8(f, compare->result);
    compare->key = field_bytes(f, compare->key);
    compare->value = field_bytes(f, compare->value);
    compare->number = (int64_t)field_u64(f, (uint64_t)compare->number);
}

static void field_branch(fields *f, kvr_op *ops, uint32_t count)
{
    for (uint32_t i = 0; i < count && !f->failed; i++) {
        field_op(f, &ops[i]);
        f->failed = f->failed || ops[i].kind == KVR_OP_TXN; /* nested: there is no room for it */
    }
}

static void field_txn(fields *f, txn_room *room)
{
    kvr_txn *txn = &room->txn;
    txn->size = sizeof *txn;
    uint32_t *counts[] = {&txn->compare_count, &txn->then_count, &txn->else_count};
    for (size_t i = 0; i < COUNT_OF(counts); i++) {
        *counts[i] = field_u32(f, *counts[i]);
        f->failed = f->failed || *counts[i] > KVR_TXN_OPS_MAX;
    }
    for (uint32_t i = 0; i < txn->compare_count && !f->failed; i++) {
        field_compare(f, &room->compares[i]);
    }
    field_branch(f, room->then_ops, txn->then_count);
    field_branch(f, room->else_ops, txn->else_count);
    txn->compares = room->compares;
    txn->then_ops = room->then_ops;
    txn->else_ops = room->else_ops;
}

void field_request(fields *f, request *asked)
{
    asked->range.size = sizeof asked->range;
    switch (asked->kind) {
    case WIRE_WRITE:
        field_op(f, &asked->op);
        if (asked->op.kind == KVR_OP_TXN) {
            field_txn(f, asked->room);
            asked->op.txn = &asked->room->txn;
        }
        break;
    case WIRE_READ:
    case WIRE_WATCH:
        asked->flags = field_u32(f, asked->flags);
        asked->range.key = field_bytes(f, asked->range.key);
        asked->range.range_end = field_bytes(f, asked->range.range_end);
        asked->range.revision = field_u64(f, asked->range.revision);
        asked->limit = asked->kind == WIRE_READ ? field_u64(f, asked->limit) : 0;
        break;
    case WIRE_LEASE:
        asked->lease_call = field_u8(f, asked->lease_call);
        asked->lease = (int64_t)field_u64(f, (uint64_t)asked->lease);
        asked->ttl_ns = field_u64(f, asked->ttl_ns);
        break;
    case WIRE_COMPACT:
        asked->range.revision = field_u64(f, asked->range.revision);
        break;
    default: /* STATUS says all by its kind */
        break;
    }
}

void field_reply(fields *f, reply *head)
{
    head->status = (kvr_status)field_u32(f, (uint32_t)head->status);
    head->outcome = field_u8(f, head->outcome);
    head->revision = field_u64(f, head->revision);
}

void field_status(fields *f, member_status *status)
{
    uint64_t *numbers = (uint64_t *)status; /* it has nothing else */
    for (size_t i = 0; i < sizeof *status / sizeof *numbers; i++) {
        numbers[i] = field_u64(f, numbers[i]);
    }
}

void field_result(fields *f, kvr_op_result *result)
{
    result->kind = field_u8(f, result->kind);
    result->succeeded = field_u8(f, result->succeeded);
    result->count = field_u64(f, result->count);
    result->kv_count = field_u32(f, result->kv_count);
    result->result_count = field_u32(f, result->result_count);
}
