/* SPDX-License-Identifier: Apache-2.0 */
/* node_op_codec.c: operations as bytes. Reading is done in two passes over the same bytes: the
 * first counts operations, compares and transactions within bounds and depth, the second fills one
 * block of exactly that size and can no longer fail. Start at kvr__op_read. */
#include "node_command.h"

#include "base/assertion.h"

enum { OP_HEAD = 12, COMPARE_HEAD = 16 };

/* ------------------------------------------------------------------ writing */

static uint64_t slices_size(const kvr_slice *a, const kvr_slice *b)
{
    return 8 + (uint64_t)a->size + b->size;
}

static uint64_t compare_size(const kvr_compare *compare)
{
    return COMPARE_HEAD + 4 + (uint64_t)compare->value.size +
           slices_size(&compare->key, &compare->range_end);
}

static uint64_t op_size(const kvr_op *op)
{
    uint64_t size = OP_HEAD;
    switch (op->kind) {
    case KVR_OP_PUT:
        return size + 8 + slices_size(&op->key, &op->value);
    case KVR_OP_RANGE:
        return size + 16 + slices_size(&op->key, &op->range_end);
    case KVR_OP_DELETE:
        return size + slices_size(&op->key, &op->range_end);
    case KVR_OP_TXN:
        size += 12;
        for (uint32_t i = 0; i < op->txn->compare_count; i++) {
            size += compare_size(&op->txn->compares[i]);
        }
        for (uint32_t i = 0; i < op->txn->then_count; i++) {
            size += op_size(&op->txn->then_ops[i]);
        }
        for (uint32_t i = 0; i < op->txn->else_count; i++) {
            size += op_size(&op->txn->else_ops[i]);
        }
        return size;
    default:
        KVR_UNREACHABLE();
    }
}

size_t kvr__op_size(const kvr_op *op)
{
    uint64_t size = op_size(op);
    return size > UINT32_MAX ? 0 : (size_t)size;
}

static void write_compare(kvr__writer *writer, const kvr_compare *compare)
{
    kvr__write_u32(writer, (uint32_t)compare_size(compare));
    kvr__write_u8(writer, compare->target);
    kvr__write_u8(writer, compare->result);
    kvr__write_u16(writer, 0);
    kvr__write_u64(writer, (uint64_t)compare->number);
    kvr__write_slice(writer, compare->key);
    kvr__write_slice(writer, compare->range_end);
    kvr__write_slice(writer, compare->value);
}

static void write_txn(kvr__writer *writer, const kvr_txn *txn)
{
    kvr__write_u32(writer, txn->compare_count);
    kvr__write_u32(writer, txn->then_count);
    kvr__write_u32(writer, txn->else_count);
    for (uint32_t i = 0; i < txn->compare_count; i++) {
        write_compare(writer, &txn->compares[i]);
    }
    for (uint32_t i = 0; i < txn->then_count; i++) {
        kvr__op_write(writer, &txn->then_ops[i]);
    }
    for (uint32_t i = 0; i < txn->else_count; i++) {
        kvr__op_write(writer, &txn->else_ops[i]);
    }
}

void kvr__op_write(kvr__writer *writer, const kvr_op *op)
{
    kvr__write_u32(writer, (uint32_t)op_size(op));
    kvr__write_u32(writer, op->kind);
    kvr__write_u32(writer, op->flags);
    switch (op->kind) {
    case KVR_OP_PUT:
        kvr__write_u64(writer, (uint64_t)op->lease);
        kvr__write_slice(writer, op->key);
        kvr__write_slice(writer, op->value);
        break;
    case KVR_OP_RANGE:
        kvr__write_u64(writer, op->revision);
        kvr__write_u64(writer, op->limit);
        kvr__write_slice(writer, op->key);
        kvr__write_slice(writer, op->range_end);
        break;
    case KVR_OP_DELETE:
        kvr__write_slice(writer, op->key);
        kvr__write_slice(writer, op->range_end);
        break;
    case KVR_OP_TXN:
        write_txn(writer, op->txn);
        break;
    default:
        KVR_UNREACHABLE();
    }
}

/* ------------------------------------------------------------------ reading */

/* What a tree needs, and then what of it is still to be handed out. */
typedef struct tree_room {
    uint32_t ops;
    uint32_t compares;
    uint32_t txns;
    kvr_op *op;
    kvr_compare *compare;
    kvr_txn *txn;
    kvr_buf *owner;
    size_t share_min;
} tree_room;

/* The item at the reader: its own bytes, which may be longer than what this version reads. */
static kvr__reader enter(kvr__reader *reader)
{
    const uint8_t *start = reader->at;
    uint32_t size = kvr__read_u32(reader);
    if (reader->failed || size < 4) {
        reader->failed = true;
        return kvr__reader_of(start, 0);
    }
    (void)kvr__read_bytes(reader, size - 4);
    if (reader->failed) {
        return kvr__reader_of(start, 0);
    }
    kvr__reader item = kvr__reader_of(start, size);
    (void)kvr__read_u32(&item);
    return item;
}

static void read_compare(kvr__reader *reader, kvr_compare *out_compare)
{
    kvr__reader item = enter(reader);
    out_compare->size = sizeof *out_compare;
    out_compare->target = kvr__read_u8(&item);
    out_compare->result = kvr__read_u8(&item);
    (void)kvr__read_u16(&item);
    out_compare->number = (int64_t)kvr__read_u64(&item);
    out_compare->key = kvr__read_slice(&item);
    out_compare->range_end = kvr__read_slice(&item);
    out_compare->value = kvr__read_slice(&item);
    reader->failed = reader->failed || item.failed;
}

/* The fields of any operation but a transaction's. */
static void read_fields(kvr__reader *item, kvr_op *op)
{
    switch (op->kind) {
    case KVR_OP_PUT:
        op->lease = (int64_t)kvr__read_u64(item);
        op->key = kvr__read_slice(item);
        op->value = kvr__read_slice(item);
        break;
    case KVR_OP_RANGE:
        op->revision = kvr__read_u64(item);
        op->limit = kvr__read_u64(item);
        op->key = kvr__read_slice(item);
        op->range_end = kvr__read_slice(item);
        break;
    case KVR_OP_DELETE:
        op->key = kvr__read_slice(item);
        op->range_end = kvr__read_slice(item);
        break;
    default:
        item->failed = true;
    }
}

static void read_op_head(kvr__reader *item, kvr_op *out_op)
{
    *out_op = (kvr_op){.size = sizeof *out_op};
    out_op->kind = kvr__read_u8(item);
    (void)kvr__read_bytes(item, 3);
    out_op->flags = kvr__read_u32(item) & ~(uint32_t)KVR_OP_NO_LEASE;
}

static kvr_status count_op(kvr__reader *reader, uint32_t depth, tree_room *room)
{
    kvr__reader item = enter(reader);
    kvr_op op;
    read_op_head(&item, &op);
    if (op.kind != KVR_OP_TXN) {
        read_fields(&item, &op);
        return reader->failed || item.failed ? KVR_ECORRUPT : KVR_OK;
    }
    if (depth == KVR_TXN_DEPTH_MAX) {
        return KVR_ETOOBIG;
    }
    uint32_t compares = kvr__read_u32(&item);
    uint64_t ops = (uint64_t)kvr__read_u32(&item) + kvr__read_u32(&item);
    /* No item is shorter than its head, so hostile counts end here and not in an allocation. */
    if (reader->failed || item.failed || compares > kvr__reader_left(&item) / COMPARE_HEAD ||
        ops > kvr__reader_left(&item) / OP_HEAD) {
        return KVR_ECORRUPT;
    }
    room->txns++;
    room->compares += compares;
    room->ops += (uint32_t)ops;
    for (uint32_t i = 0; i < compares; i++) {
        kvr_compare compare;
        read_compare(&item, &compare);
    }
    for (uint64_t i = 0; i < ops && !item.failed; i++) {
        kvr_status status = count_op(&item, depth + 1, room);
        if (status != KVR_OK) {
            return status;
        }
    }
    return item.failed ? KVR_ECORRUPT : KVR_OK;
}

static void fill_op(kvr__reader *reader, tree_room *room, kvr_op *op);

static const kvr_op *fill_ops(kvr__reader *item, tree_room *room, uint32_t count)
{
    kvr_op *ops = room->op;
    room->op += count;
    for (uint32_t i = 0; i < count; i++) {
        fill_op(item, room, &ops[i]);
    }
    return ops;
}

static void fill_op(kvr__reader *reader, tree_room *room, kvr_op *op)
{
    kvr__reader item = enter(reader);
    read_op_head(&item, op);
    if (op->kind != KVR_OP_TXN) {
        read_fields(&item, op);
        if (op->kind == KVR_OP_PUT && op->value.size >= room->share_min) {
            op->owner = room->owner;
        }
        return;
    }
    kvr_txn *txn = room->txn++;
    op->txn = txn;
    *txn = (kvr_txn){.size = sizeof *txn};
    txn->compare_count = kvr__read_u32(&item);
    txn->then_count = kvr__read_u32(&item);
    txn->else_count = kvr__read_u32(&item);
    kvr_compare *compares = room->compare;
    room->compare += txn->compare_count;
    for (uint32_t i = 0; i < txn->compare_count; i++) {
        compares[i] = (kvr_compare){0};
        read_compare(&item, &compares[i]);
    }
    txn->compares = compares;
    txn->then_ops = fill_ops(&item, room, txn->then_count);
    txn->else_ops = fill_ops(&item, room, txn->else_count);
}

kvr_status kvr__op_read(kvr__mem *mem, kvr_slice bytes, kvr_buf *owner, size_t share_min,
                        kvr__op_tree *out_tree)
{
    tree_room room = {.owner = owner, .share_min = share_min};
    kvr__reader counting = kvr__reader_of(bytes.data, bytes.size);
    kvr_status status = count_op(&counting, 0, &room);
    if (status == KVR_OK && kvr__reader_left(&counting) != 0) {
        status = KVR_ECORRUPT;
    }
    if (status != KVR_OK) {
        return status;
    }
    *out_tree = (kvr__op_tree){.op_count = room.ops};
    if (room.txns > 0) {
        size_t ops = room.ops * sizeof(kvr_op);
        size_t txns = room.txns * sizeof(kvr_txn);
        out_tree->block_size = ops + txns + room.compares * sizeof(kvr_compare);
        out_tree->block = kvr__mem_alloc(mem, KVR__MEM_HANDLE, out_tree->block_size);
        if (out_tree->block == NULL) {
            return KVR_ENOMEM;
        }
        out_tree->ops = (kvr_op *)(void *)out_tree->block;
        room.op = out_tree->ops;
        room.txn = (kvr_txn *)(void *)(out_tree->block + ops);
        room.compare = (kvr_compare *)(void *)(out_tree->block + ops + txns);
    }
    kvr__reader filling = kvr__reader_of(bytes.data, bytes.size);
    fill_op(&filling, &room, &out_tree->root);
    KVR_ASSERT(!filling.failed);
    KVR_ASSERT(room.op == out_tree->ops + room.ops);
    return KVR_OK;
}

void kvr__op_release(kvr__mem *mem, kvr__op_tree *tree)
{
    kvr__mem_free(mem, KVR__MEM_HANDLE, tree->block, tree->block_size);
    *tree = (kvr__op_tree){0};
}
