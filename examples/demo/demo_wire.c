/* SPDX-License-Identifier: Apache-2.0 */
/* demo_wire.c: the bytes between clients and members: growing buffers, frames, and bounded reading of what a
 * stranger may have sent. Formats are in demo.h. */
#include "demo.h"

#include <stdlib.h>
#include <string.h>

/* ------------------------------------------------------------------ buffers */

void *must_alloc(size_t size)
{
    void *block = calloc(1, size);
    if (block == NULL) {
        fprintf(stderr, "kvraft-demo: out of memory (%zu bytes)\n", size);
        exit(EXIT_FAILED);
    }
    return block;
}

uint8_t *buffer_room(buffer *out, size_t size)
{
    if (out->start > 0 && out->start == out->end) {
        out->start = out->end = 0;
    }
    if (out->start > out->capacity / 2) {
        memmove(out->data, out->data + out->start, buffer_size(out));
        out->end -= out->start;
        out->start = 0;
    }
    if (size > out->capacity - out->end) {
        size_t capacity = out->capacity == 0 ? 4096 : out->capacity;
        while (capacity - out->end < size) {
            capacity *= 2;
        }
        uint8_t *data = must_alloc(capacity);
        if (out->end > 0) {
            memcpy(data, out->data, out->end);
        }
        free(out->data);
        out->data = data;
        out->capacity = capacity;
    }
    uint8_t *room = out->data + out->end;
    out->end += size;
    return room;
}

void buffer_add(buffer *out, const void *data, size_t size)
{
    if (size > 0) {
        memcpy(buffer_room(out, size), data, size);
    }
}

void buffer_take(buffer *in, size_t size)
{
    in->start += size;
}

void buffer_release(buffer *out)
{
    free(out->data);
    *out = (buffer){0};
}

kvr_slice slice_of(const char *text)
{
    return (kvr_slice){(const uint8_t *)text, strlen(text)};
}

/* ------------------------------------------------------------------ writing */

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
    uint8_t *p = buffer_room(out, 8);
    store_u32(p, (uint32_t)value);
    store_u32(p + 4, (uint32_t)(value >> 32));
}

void wire_bytes(buffer *out, kvr_slice bytes)
{
    wire_u32(out, (uint32_t)bytes.size);
    buffer_add(out, bytes.data, bytes.size);
}

/* A mark is relative to the start, which buffer_room may move. */
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

static void wire_compare(buffer *out, const kvr_compare *compare)
{
    wire_u8(out, compare->target);
    wire_u8(out, compare->result);
    wire_bytes(out, compare->key);
    wire_bytes(out, compare->range_end);
    wire_bytes(out, compare->value);
    wire_u64(out, (uint64_t)compare->number);
}

void wire_op(buffer *out, const kvr_op *op)
{
    wire_u8(out, op->kind);
    wire_u32(out, op->flags);
    wire_bytes(out, op->key);
    wire_bytes(out, op->range_end);
    wire_bytes(out, op->value);
    wire_u64(out, (uint64_t)op->lease);
    wire_u64(out, op->revision);
    wire_u64(out, op->limit);
    if (op->kind != KVR_OP_TXN) {
        return;
    }
    const kvr_txn *txn = op->txn;
    wire_u32(out, txn->compare_count);
    wire_u32(out, txn->then_count);
    wire_u32(out, txn->else_count);
    for (uint32_t i = 0; i < txn->compare_count; i++) {
        wire_compare(out, &txn->compares[i]);
    }
    for (uint32_t i = 0; i < txn->then_count; i++) {
        wire_op(out, &txn->then_ops[i]);
    }
    for (uint32_t i = 0; i < txn->else_count; i++) {
        wire_op(out, &txn->else_ops[i]);
    }
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

void wire_result(buffer *out, const kvr_op_result *result)
{
    wire_u8(out, result->kind);
    wire_u8(out, result->succeeded);
    wire_u8(out, result->more);
    wire_u64(out, result->count);
    wire_u32(out, result->kvs == NULL ? 0 : result->kv_count);
    for (uint32_t i = 0; result->kvs != NULL && i < result->kv_count; i++) {
        wire_kv(out, &result->kvs[i]);
    }
    wire_u32(out, result->result_count);
    for (uint32_t i = 0; i < result->result_count; i++) {
        wire_result(out, &result->results[i]);
    }
}

/* ------------------------------------------------------------------ reading */

static const uint8_t *take(reader *in, size_t size)
{
    if (in->failed || size > (size_t)(in->end - in->at)) {
        in->failed = true;
        return NULL;
    }
    const uint8_t *bytes = in->at;
    in->at += size;
    return bytes;
}

uint8_t read_u8(reader *in)
{
    const uint8_t *p = take(in, 1);
    return p == NULL ? 0 : *p;
}

uint32_t read_u32(reader *in)
{
    const uint8_t *p = take(in, 4);
    return p == NULL ? 0
                     : (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
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

void read_kv(reader *in, kvr_kv *out_kv)
{
    *out_kv = (kvr_kv){.key = read_bytes(in), .value = read_bytes(in)};
    out_kv->create_revision = read_u64(in);
    out_kv->mod_revision = read_u64(in);
    out_kv->version = read_u64(in);
    out_kv->lease = (int64_t)read_u64(in);
}

int wire_next(const buffer *in, uint8_t *out_kind, uint64_t *out_id, reader *out_fields, size_t *out_size)
{
    reader head = {in->data + in->start, in->data + in->end, false};
    if (buffer_size(in) < 4) {
        return 0;
    }
    uint32_t size = read_u32(&head);
    if (size < WIRE_HEAD - 4 || size > WIRE_FRAME_MAX) {
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

static void *op_alloc(op_memory *memory, uint32_t count, size_t size)
{
    if (memory->count == COUNT_OF(memory->blocks) || count > KVR_TXN_OPS_MAX) {
        return NULL;
    }
    void *block = must_alloc(size * (count + 1));
    memory->blocks[memory->count++] = block;
    return block;
}

void op_memory_release(op_memory *memory)
{
    for (size_t i = 0; i < memory->count; i++) {
        free(memory->blocks[i]);
    }
    memory->count = 0;
}

static bool read_ops(reader *in, op_memory *memory, kvr_op *ops, uint32_t count, unsigned depth)
{
    for (uint32_t i = 0; i < count; i++) {
        if (!read_op(in, memory, &ops[i], depth)) {
            return false;
        }
    }
    return true;
}

static bool read_txn(reader *in, op_memory *memory, kvr_op *out_op, unsigned depth)
{
    uint32_t compare_count = read_u32(in);
    uint32_t then_count = read_u32(in);
    uint32_t else_count = read_u32(in);
    kvr_txn *txn = op_alloc(memory, 1, sizeof *txn);
    kvr_compare *compares = op_alloc(memory, compare_count, sizeof *compares);
    kvr_op *then_ops = op_alloc(memory, then_count, sizeof *then_ops);
    kvr_op *else_ops = op_alloc(memory, else_count, sizeof *else_ops);
    if (txn == NULL || compares == NULL || then_ops == NULL || else_ops == NULL) {
        return false;
    }
    *txn = (kvr_txn){.size = sizeof *txn,
                     .compare_count = compare_count,
                     .then_count = then_count,
                     .else_count = else_count,
                     .compares = compares,
                     .then_ops = then_ops,
                     .else_ops = else_ops};
    for (uint32_t i = 0; i < compare_count; i++) {
        compares[i] = (kvr_compare){.size = sizeof compares[i]};
        compares[i].target = read_u8(in);
        compares[i].result = read_u8(in);
        compares[i].key = read_bytes(in);
        compares[i].range_end = read_bytes(in);
        compares[i].value = read_bytes(in);
        compares[i].number = (int64_t)read_u64(in);
    }
    out_op->txn = txn;
    return read_ops(in, memory, then_ops, then_count, depth + 1) &&
           read_ops(in, memory, else_ops, else_count, depth + 1);
}

bool read_op(reader *in, op_memory *memory, kvr_op *out_op, unsigned depth)
{
    *out_op = (kvr_op){.size = sizeof *out_op};
    out_op->kind = read_u8(in);
    out_op->flags = read_u32(in);
    out_op->key = read_bytes(in);
    out_op->range_end = read_bytes(in);
    out_op->value = read_bytes(in);
    out_op->lease = (int64_t)read_u64(in);
    out_op->revision = read_u64(in);
    out_op->limit = read_u64(in);
    if (in->failed || depth > KVR_TXN_DEPTH_MAX) {
        return false;
    }
    return out_op->kind == KVR_OP_TXN ? read_txn(in, memory, out_op, depth) : true;
}
