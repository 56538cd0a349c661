/* SPDX-License-Identifier: Apache-2.0 */
/* run_op.c: operations of clients. Every put carries a value that no other put has, so an operation
 * with a put can be found again in the log. */
#include "run.h"

#include <stdlib.h>
#include <string.h>

enum { FOR_SMALL = 8192 }; /* bytes that large values leave to keys and small values */

static uint8_t *take_bytes(run_op *room, size_t size)
{
    if (size > sizeof room->bytes - room->used_bytes) {
        abort();
    }
    uint8_t *bytes = room->bytes + room->used_bytes;
    room->used_bytes += (uint32_t)size;
    return bytes;
}

/* "k/07": some keys begin another, so that prefixes and intervals have edges. */
kvr_slice run_op_key(run_op *room, run_world *world, uint64_t number)
{
    number %= world->plan.key_count;
    uint8_t *bytes = take_bytes(room, 16);
    int size =
        snprintf((char *)bytes, 16, number % 3 == 0 ? "k/%02u" : "k/%02u/x", (unsigned)number);
    return (kvr_slice){bytes, (size_t)size};
}

static kvr_slice draw_key(run_op *room, run_world *world)
{
    return run_op_key(room, world, dice_below(&world->clients.dice, world->plan.key_count));
}

static kvr_slice draw_value(run_op *room, run_world *world)
{
    dice *d = &world->clients.dice;
    size_t size = 24 + dice_below(d, world->plan.value_size_max);
    size = size + FOR_SMALL > sizeof room->bytes - room->used_bytes ? 24 : size;
    uint8_t *bytes = take_bytes(room, size);
    memset(bytes, '.', size);
    int used =
        snprintf((char *)bytes, 24, "v%llu", (unsigned long long)++world->clients.write_count);
    bytes[used] = '.';
    room->is_unique = true;
    return (kvr_slice){bytes, size};
}

static kvr_slice draw_range_end(run_op *room, run_world *world, const kvr_slice *key)
{
    switch (dice_below(&world->clients.dice, 5)) {
    case 0: {
        uint8_t *zero = take_bytes(room, 1);
        *zero = 0;
        return (kvr_slice){zero, 1};
    }
    case 1: {
        kvr_slice end;
        kvr_prefix_end(key, take_bytes(room, key->size), &end);
        return end;
    }
    case 2:
        return draw_key(room, world);
    default:
        return (kvr_slice){NULL, 0};
    }
}

static int64_t draw_lease(run_world *world)
{
    dice *d = &world->clients.dice;
    return world->plan.mix.lease > 0 && dice_one_in(d, 4)
               ? world->clients.leases[dice_below(d, RUN_LEASES_MAX)]
               : 0;
}

static void draw_op(run_op *room, run_world *world, kvr_op *op, uint32_t kind, uint32_t depth);

static void draw_compare(run_op *room, run_world *world, kvr_compare *compare)
{
    dice *d = &world->clients.dice;
    *compare = (kvr_compare){
        .size = sizeof *compare,
        .target = (uint8_t)dice_below(d, 5),
        .result = (uint8_t)dice_below(d, 4),
        .key = draw_key(room, world),
    };
    if (dice_one_in(d, 6)) {
        compare->range_end = draw_range_end(room, world, &compare->key);
    }
    if (compare->target == KVR_COMPARE_VALUE) {
        uint8_t *bytes = take_bytes(room, 2);
        bytes[0] = 'v';
        bytes[1] = (uint8_t)('1' + dice_below(d, 9));
        compare->value = (kvr_slice){bytes, 2};
        return;
    }
    /* Near the truth, so that both branches are taken. */
    const model_mvcc *model = world->store.model;
    const model_version *now = model_mvcc_at(model, &compare->key, model->revision);
    if (now != NULL && !dice_one_in(d, 4)) {
        compare->number = compare->target == KVR_COMPARE_VERSION  ? (int64_t)now->version
                          : compare->target == KVR_COMPARE_CREATE ? (int64_t)now->create
                          : compare->target == KVR_COMPARE_MOD    ? (int64_t)now->main
                                                                  : now->lease;
    }
    compare->number += dice_one_in(d, 4) ? 1 : 0;
}

/* Up to three, as far as there is room. */
static const kvr_op *draw_list(run_op *room, run_world *world, uint32_t depth, uint32_t *out_count)
{
    uint32_t left = 32 - room->used_ops;
    uint32_t count = (uint32_t)dice_below(&world->clients.dice, left < 3 ? left + 1 : 4);
    kvr_op *ops = room->ops + room->used_ops;
    *out_count = count;
    room->used_ops += count;
    for (uint32_t i = 0; i < count; i++) {
        static const uint32_t kinds[] = {KVR_OP_PUT, KVR_OP_PUT, KVR_OP_RANGE, KVR_OP_DELETE,
                                         KVR_OP_TXN};
        uint32_t kind = kinds[dice_below(&world->clients.dice, 5)];
        bool may_nest = depth < 3 && room->used_txns < 8;
        draw_op(room, world, &ops[i], kind == KVR_OP_TXN && !may_nest ? KVR_OP_RANGE : kind,
                depth + 1);
    }
    return ops;
}

static void draw_txn(run_op *room, run_world *world, kvr_op *op, uint32_t depth)
{
    dice *d = &world->clients.dice;
    kvr_txn *txn = &room->txns[room->used_txns++];
    *txn = (kvr_txn){.size = sizeof *txn};
    txn->compare_count = room->used_compares + 2 < 16 ? (uint32_t)dice_below(d, 3) : 0;
    kvr_compare *compares = room->compares + room->used_compares;
    room->used_compares += txn->compare_count;
    for (uint32_t i = 0; i < txn->compare_count; i++) {
        draw_compare(room, world, &compares[i]);
    }
    txn->compares = compares;
    txn->then_ops = draw_list(room, world, depth, &txn->then_count);
    txn->else_ops = draw_list(room, world, depth, &txn->else_count);
    op->txn = txn;
}

static void draw_range(run_op *room, run_world *world, kvr_op *op)
{
    dice *d = &world->clients.dice;
    static const uint32_t flags[] = {0, 0, 0, KVR_OP_KEYS_ONLY, KVR_OP_COUNT_ONLY};
    op->key = draw_key(room, world);
    op->range_end = draw_range_end(room, world, &op->key);
    op->flags = flags[dice_below(d, 5)];
    op->limit = dice_one_in(d, 3) ? dice_between(d, 1, 4) : 0;
    op->revision = dice_one_in(d, 4) ? dice_between(d, 1, world->history.seen_revision + 1) : 0;
}

static void draw_op(run_op *room, run_world *world, kvr_op *op, uint32_t kind, uint32_t depth)
{
    dice *d = &world->clients.dice;
    *op = (kvr_op){.size = sizeof *op, .kind = (uint8_t)kind};
    switch (kind) {
    case KVR_OP_PUT:
        op->key = draw_key(room, world);
        op->flags = dice_one_in(d, 4) ? KVR_OP_PREV_KV : 0;
        if (dice_one_in(d, 16)) {
            op->flags |= KVR_OP_IGNORE_VALUE;
        } else {
            op->value = draw_value(room, world);
        }
        if (dice_one_in(d, 16)) {
            op->flags |= KVR_OP_IGNORE_LEASE;
        } else {
            op->lease = draw_lease(world);
        }
        break;
    case KVR_OP_DELETE:
        op->key = draw_key(room, world);
        op->range_end = draw_range_end(room, world, &op->key);
        op->flags = dice_one_in(d, 3) ? KVR_OP_PREV_KV : 0;
        break;
    case KVR_OP_RANGE:
        draw_range(room, world, op);
        break;
    default:
        draw_txn(room, world, op, depth);
    }
}

void run_op_draw(run_op *room, run_world *world, uint32_t kind)
{
    room->is_unique = false;
    room->used_ops = 0;
    room->used_compares = 0;
    room->used_txns = 0;
    room->used_bytes = 0;
    draw_op(room, world, &room->op, kind, 0);
}

const char *run_op_words(const run_op *room)
{
    static char text[96];
    const kvr_op *op = &room->op;
    switch (op->kind) {
    case KVR_OP_PUT:
        (void)snprintf(text, sizeof text, "put %.*s = %.*s, %u bytes", (int)op->key.size,
                       (const char *)op->key.data, op->value.size < 12 ? (int)op->value.size : 12,
                       op->value.size == 0 ? "" : (const char *)op->value.data,
                       (unsigned)op->value.size);
        break;
    case KVR_OP_DELETE:
        (void)snprintf(text, sizeof text, "delete %.*s%s", (int)op->key.size,
                       (const char *)op->key.data, op->range_end.size == 0 ? "" : " and more");
        break;
    default:
        (void)snprintf(text, sizeof text, "txn: %u compares, then %u, else %u",
                       op->txn->compare_count, op->txn->then_count, op->txn->else_count);
        break;
    }
    return text;
}
