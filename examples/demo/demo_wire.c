/* SPDX-License-Identifier: Apache-2.0 */
/* demo_wire.c: frames between clients and members. What travels is described once, in tables, for
 * the side that writes it and the side that reads, bounded, what a stranger may have sent. */
#include "demo.h"

#include <stddef.h>
#include <string.h>

enum { HEAD_BYTES = 3 * 8, FRAME_MAX = 4 << 20 };

#define NUMBER(type, member) offsetof(type, member), sizeof(((type *)NULL)->member)
#define BYTES(type, member) offsetof(type, member), SHAPE_BYTES
#define SHAPE(name, ...) const shape name[] = {__VA_ARGS__, 0, 0}
#define NODE(member) NUMBER(member_status, node.member)
#define KV(type, at)                                                              \
    BYTES(type, at key), BYTES(type, at value), NUMBER(type, at create_revision), \
        NUMBER(type, at mod_revision), NUMBER(type, at version), NUMBER(type, at lease)

SHAPE(shape_kv, KV(kvr_kv, ));
SHAPE(shape_event, NUMBER(kvr_event, type), NUMBER(kvr_event, has_prev), KV(kvr_event, kv.),
      KV(kvr_event, prev.));
SHAPE(shape_reply, NUMBER(reply, status), NUMBER(reply, outcome), NUMBER(reply, revision));
SHAPE(shape_result, NUMBER(kvr_op_result, kind), NUMBER(kvr_op_result, succeeded),
      NUMBER(kvr_op_result, count), NUMBER(kvr_op_result, kv_count),
      NUMBER(kvr_op_result, result_count));
SHAPE(shape_progress, NUMBER(kvr_raft_progress, id), NUMBER(kvr_raft_progress, match),
      NUMBER(kvr_raft_progress, state));
SHAPE(shape_status, NUMBER(member_status, id), NUMBER(member_status, garbage), NODE(failure),
      NODE(corrupt), NODE(no_space), NODE(hash_index), NODE(hash_chain), NODE(hash_live),
      NODE(snapshots_taken), NODE(snapshots_installed), NODE(memory_bytes), NODE(raft.role),
      NODE(raft.leader), NODE(raft.term), NODE(raft.first_index), NODE(raft.last_index),
      NODE(raft.commit_index), NODE(raft.applied_index), NODE(raft.snapshot_index),
      NODE(store.revision), NODE(store.compacted), NODE(store.live_keys), NODE(store.live_bytes),
      NODE(lease.leases), NODE(watch.watchers));
static SHAPE(shape_op, NUMBER(kvr_op, kind), NUMBER(kvr_op, flags), BYTES(kvr_op, key),
             BYTES(kvr_op, range_end), BYTES(kvr_op, value), NUMBER(kvr_op, lease));
static SHAPE(shape_compare, NUMBER(kvr_compare, target), NUMBER(kvr_compare, result),
             BYTES(kvr_compare, key), BYTES(kvr_compare, value), NUMBER(kvr_compare, number));
static SHAPE(shape_request, NUMBER(request, flags), BYTES(request, range.key),
             BYTES(request, range.range_end), NUMBER(request, range.revision),
             NUMBER(request, limit), NUMBER(request, lease), NUMBER(request, ttl_ns));

kvr_slice text(const char *string)
{
    return (kvr_slice){(const uint8_t *)string, strlen(string)};
}

static const uint8_t *take(wire *w, uint64_t size)
{
    if (w->failed || size > (size_t)(w->end - w->at)) {
        w->failed = true;
        w->at = w->end;
        return NULL;
    }
    w->at += size;
    return w->at - size;
}

static void store(uint8_t *to, uint64_t value)
{
    for (int i = 0; i < 8; i++) {
        to[i] = (uint8_t)(value >> (8 * i));
    }
}

uint64_t wire_number(wire *w, uint64_t value)
{
    if (w->out != NULL) {
        store(buffer_room(w->out, 8), value);
        return value;
    }
    const uint8_t *from = take(w, 8);
    uint64_t found = 0;
    for (int i = 0; from != NULL && i < 8; i++) {
        found |= (uint64_t)from[i] << (8 * i);
    }
    return found;
}

kvr_slice wire_bytes(wire *w, kvr_slice bytes)
{
    uint64_t size = wire_number(w, bytes.size);
    if (w->out == NULL) {
        const uint8_t *from = take(w, size);
        return from == NULL ? (kvr_slice){NULL, 0} : (kvr_slice){from, (size_t)size};
    }
    if (size > 0) {
        memcpy(buffer_room(w->out, bytes.size), bytes.data, bytes.size);
    }
    return bytes;
}

void wire_all(wire *w, const shape *of, void *object)
{
    for (; of[1] != 0; of += 2) {
        void *at = (uint8_t *)object + of[0];
        if (of[1] == SHAPE_BYTES) {
            *(kvr_slice *)at = wire_bytes(w, *(kvr_slice *)at);
        } else if (of[1] == sizeof(uint64_t)) {
            *(uint64_t *)at = wire_number(w, *(uint64_t *)at);
        } else if (of[1] == sizeof(uint32_t)) {
            *(uint32_t *)at = (uint32_t)wire_number(w, *(uint32_t *)at);
        } else {
            *(uint8_t *)at = (uint8_t)wire_number(w, *(uint8_t *)at);
        }
    }
}

/* The mark counts from the buffer's start, which buffer_room may move. */
wire wire_begin(buffer *out, uint64_t kind, uint64_t id)
{
    wire frame = {.out = out, .mark = buffer_size(out)};
    wire_number(&frame, 0);
    wire_number(&frame, kind);
    wire_number(&frame, id);
    return frame;
}

void wire_end(wire *frame)
{
    buffer *out = frame->out;
    store(out->data + out->start + frame->mark, buffer_size(out) - frame->mark - 8);
}

int wire_next(buffer *in, uint64_t *out_kind, uint64_t *out_id, wire *out_rest)
{
    if (buffer_size(in) < HEAD_BYTES) {
        return 0;
    }
    wire head = {.at = in->data + in->start, .end = in->data + in->end};
    uint64_t size = wire_number(&head, 0);
    if (size < HEAD_BYTES - 8 || size > FRAME_MAX) {
        return -1;
    }
    if (buffer_size(in) - 8 < size) {
        return 0;
    }
    head.end = head.at + size;
    *out_kind = wire_number(&head, 0);
    *out_id = wire_number(&head, 0);
    *out_rest = head;
    in->start += (size_t)size + 8;
    return 1;
}

static void wire_txn(wire *w, txn_room *room)
{
    for (int part = 0; part < 3; part++) {
        uint64_t count = wire_number(w, room->counts[part]);
        w->failed = w->failed || count > KVR_TXN_OPS_MAX;
        room->counts[part] = w->failed ? 0 : (uint32_t)count;
        for (uint32_t i = 0; i < room->counts[part] && part == 0; i++) {
            room->compares[i].size = sizeof room->compares[i];
            wire_all(w, shape_compare, &room->compares[i]);
        }
        for (uint32_t i = 0; i < room->counts[part] && part > 0; i++) {
            kvr_op *op = &room->ops[part - 1][i];
            op->size = sizeof *op;
            wire_all(w, shape_op, op);
            w->failed = w->failed || op->kind == KVR_OP_TXN; /* nested: there is no room for it */
        }
    }
    room->txn = (kvr_txn){sizeof room->txn, room->counts[0], room->counts[1], room->counts[2],
                          room->compares,   room->ops[0],    room->ops[1]};
}

void wire_request(wire *w, request *asked)
{
    asked->range.size = sizeof asked->range;
    asked->op.size = sizeof asked->op;
    if (asked->kind == KVR_CALL_WRITE) {
        wire_all(w, shape_op, &asked->op);
    } else {
        wire_all(w, shape_request, asked);
    }
    if (asked->op.kind == KVR_OP_TXN) {
        wire_txn(w, asked->room);
        asked->op.txn = &asked->room->txn;
    }
}
