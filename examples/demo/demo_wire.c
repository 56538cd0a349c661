/* SPDX-License-Identifier: Apache-2.0 */
/* demo_wire.c: frames between clients and members, and bounded reading of what a stranger may have
 * sent. The layout is in demo.h. */
#include "demo.h"

#include <string.h>

kvr_slice text(const char *string)
{
    return (kvr_slice){(const uint8_t *)string, strlen(string)};
}

/* ---------------------------------------------------------------- writing */

void wire_u8(buffer *out, uint8_t value)
{
    *buffer_room(out, 1) = value;
}

static void store_u32(uint8_t *p, uint32_t value)
{
    for (int i = 0; i < 4; i++) {
        p[i] = (uint8_t)(value >> (8 * i));
    }
}

void wire_u32(buffer *out, uint32_t value)
{
    store_u32(buffer_room(out, 4), value);
}

void wire_u64(buffer *out, uint64_t value)
{
    wire_u32(out, (uint32_t)value);
    wire_u32(out, (uint32_t)(value >> 32));
}

void wire_bytes(buffer *out, kvr_slice bytes)
{
    wire_u32(out, (uint32_t)bytes.size);
    if (bytes.size > 0) {
        memcpy(buffer_room(out, bytes.size), bytes.data, bytes.size);
    }
}

/* A mark counts from the buffer's start, which buffer_room may move. */
size_t wire_begin(buffer *out, uint8_t kind, uint64_t id)
{
    size_t mark = buffer_size(out);
    wire_u32(out, 0);
    wire_u8(out, kind);
    wire_u64(out, id);
    return mark;
}

void wire_end(buffer *out, size_t mark)
{
    store_u32(out->data + out->start + mark, (uint32_t)(buffer_size(out) - mark - 4));
}

void wire_kv(buffer *out, const kvr_kv *kv)
{
    wire_bytes(out, kv->key);
    wire_bytes(out, kv->value);
    wire_u64(out, kv->create_revision);
    wire_u64(out, kv->mod_revision);
    wire_u64(out, kv->version);
    wire_u64(out, (uint64_t)kv->lease);
}

void wire_op(buffer *out, const kvr_op *op)
{
    wire_u8(out, op->kind);
    wire_u32(out, op->flags);
    wire_bytes(out, op->key);
    wire_bytes(out, op->range_end);
    wire_bytes(out, op->value);
    wire_u64(out, (uint64_t)op->lease);
    if (op->kind != KVR_OP_TXN) {
        return;
    }
    const kvr_txn *txn = op->txn;
    wire_u32(out, txn->compare_count);
    wire_u32(out, txn->then_count);
    wire_u32(out, txn->else_count);
    for (uint32_t i = 0; i < txn->compare_count; i++) {
        wire_u8(out, txn->compares[i].target);
        wire_u8(out, txn->compares[i].result);
        wire_bytes(out, txn->compares[i].key);
        wire_bytes(out, txn->compares[i].value);
        wire_u64(out, (uint64_t)txn->compares[i].number);
    }
    for (uint32_t i = 0; i < txn->then_count + txn->else_count; i++) {
        wire_op(out, i < txn->then_count ? &txn->then_ops[i] : &txn->else_ops[i - txn->then_count]);
    }
}

void wire_result(buffer *out, const kvr_op_result *result)
{
    uint32_t kv_count = result->kvs == NULL ? 0 : result->kv_count;
    wire_u8(out, result->kind);
    wire_u8(out, result->succeeded);
    wire_u64(out, result->count);
    wire_u32(out, kv_count);
    for (uint32_t i = 0; i < kv_count; i++) {
        wire_kv(out, &result->kvs[i]);
    }
    wire_u32(out, result->result_count);
    for (uint32_t i = 0; i < result->result_count; i++) {
        wire_result(out, &result->results[i]);
    }
}

/* ---------------------------------------------------------------- reading */

static const uint8_t *take(reader *in, size_t size)
{
    if (in->failed || size > (size_t)(in->end - in->at)) {
        in->failed = true;
        return NULL;
    }
    in->at += size;
    return in->at - size;
}

uint8_t read_u8(reader *in)
{
    const uint8_t *p = take(in, 1);
    return p == NULL ? 0 : *p;
}

uint32_t read_u32(reader *in)
{
    const uint8_t *p = take(in, 4);
    return p == NULL ? 0 : p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

uint64_t read_u64(reader *in)
{
    uint64_t low = read_u32(in);
    return low | (uint64_t)read_u32(in) << 32;
}

kvr_slice read_bytes(reader *in)
{
    uint32_t size = read_u32(in);
    const uint8_t *p = take(in, size);
    return p == NULL ? (kvr_slice){NULL, 0} : (kvr_slice){p, size};
}

kvr_kv read_kv(reader *in)
{
    kvr_kv kv = {.key = read_bytes(in)};
    kv.value = read_bytes(in);
    kv.create_revision = read_u64(in);
    kv.mod_revision = read_u64(in);
    kv.version = read_u64(in);
    kv.lease = (int64_t)read_u64(in);
    return kv;
}

int wire_next(const buffer *in, uint8_t *out_kind, uint64_t *out_id, reader *out_fields,
              size_t *out_size)
{
    reader head = {in->data + in->start, in->data + in->end, false};
    if (buffer_size(in) < 4) {
        return 0;
    }
    uint32_t size = read_u32(&head);
    if (size < 9 || size > WIRE_FRAME_MAX) {
        return -1;
    }
    if (buffer_size(in) - 4 < size) {
        return 0;
    }
    head.end = head.at + size;
    *out_kind = read_u8(&head);
    *out_id = read_u64(&head);
    *out_fields = head;
    *out_size = (size_t)size + 4;
    return 1;
}

static bool read_txn(reader *in, txn_room *room, kvr_op *out_op)
{
    uint32_t counts[3];
    for (int i = 0; i < 3; i++) {
        counts[i] = read_u32(in);
        if (counts[i] > KVR_TXN_OPS_MAX) {
            return false;
        }
    }
    for (uint32_t i = 0; i < counts[0]; i++) {
        kvr_compare compare = {.size = sizeof compare, .target = read_u8(in)};
        compare.result = read_u8(in);
        compare.key = read_bytes(in);
        compare.value = read_bytes(in);
        compare.number = (int64_t)read_u64(in);
        room->compares[i] = compare;
    }
    for (uint32_t i = 0; i < counts[1] + counts[2]; i++) {
        bool then = i < counts[1];
        if (!read_op(in, NULL, &room->ops[then ? 0 : 1][then ? i : i - counts[1]])) {
            return false;
        }
    }
    room->txn = (kvr_txn){sizeof room->txn, counts[0],    counts[1],   counts[2],
                          room->compares,   room->ops[0], room->ops[1]};
    out_op->txn = &room->txn;
    return true;
}

bool read_op(reader *in, txn_room *room, kvr_op *out_op)
{
    *out_op = (kvr_op){.size = sizeof *out_op, .kind = read_u8(in)};
    out_op->flags = read_u32(in);
    out_op->key = read_bytes(in);
    out_op->range_end = read_bytes(in);
    out_op->value = read_bytes(in);
    out_op->lease = (int64_t)read_u64(in);
    if (out_op->kind == KVR_OP_TXN) {
        return room != NULL && read_txn(in, room, out_op) && !in->failed;
    }
    return !in->failed;
}
