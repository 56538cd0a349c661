/* SPDX-License-Identifier: Apache-2.0 */
/* mvcc_plan.c: the part of an apply that only looks. All compares, those of inner transactions on
 * the path taken too, are decided against the state before; then each operation on the path is
 * checked against it. What is refused here has changed nothing. The branches taken are kept for the
 * execution, a bit each. etcd contract: "Txn". */
#include "mvcc_internal.h"

/* ------------------------------------------------------------------ compares */

static bool holds(int32_t order, uint8_t result)
{
    switch (result) {
    case KVR_COMPARE_EQUAL:
        return order == 0;
    case KVR_COMPARE_GREATER:
        return order > 0;
    case KVR_COMPARE_LESS:
        return order < 0;
    default:
        return order != 0;
    }
}

static int32_t order_of(int64_t a, int64_t b)
{
    return (a > b) - (a < b);
}

/* `record` NULL: there is no such key. */
static bool compare_one(const kvr_compare *compare, const kvr__mvcc_record *record)
{
    int64_t stored = 0;
    switch (compare->target) {
    case KVR_COMPARE_VALUE:
        return record != NULL &&
               holds(kvr__mvcc_key_compare(kvr__mvcc_record_value_slice(record), compare->value),
                     compare->result);
    case KVR_COMPARE_VERSION:
        stored = record == NULL ? 0 : (int64_t)kvr__mvcc_record_version(record);
        break;
    case KVR_COMPARE_CREATE:
        stored = record == NULL ? 0 : (int64_t)record->create;
        break;
    case KVR_COMPARE_MOD:
        stored = record == NULL ? 0 : (int64_t)record->mod;
        break;
    default:
        stored = record == NULL ? 0 : record->lease;
        break;
    }
    return holds(order_of(stored, compare->number), compare->result);
}

static void spend(uint32_t *budget)
{
    *budget -= *budget > 0;
}

/* One compare over an interval, some keys at a time. KVR_OK: *out_holds is decided. */
static kvr_status compare_interval(kvr_mvcc *store, const kvr_compare *compare, uint32_t *budget,
                                   bool *out_holds)
{
    kvr__mvcc_apply *apply = store->apply;
    const kvr__mvcc_snap *snap = &store->content->head;
    const kvr__mvcc_record *record = NULL;
    bool is_first = apply->inside == 0;
    if (is_first) {
        kvr__mvcc_interval interval = kvr__mvcc_interval_of(&compare->key, &compare->range_end);
        kvr__mvcc_cursor_start(&apply->compare, snap, &interval, snap->revision);
        apply->inside = 1;
    }
    *out_holds = true;
    while (*budget > 0) {
        record = kvr__mvcc_cursor_next_live(&apply->compare);
        if (record == NULL && !is_first) {
            apply->inside = 0;
            return KVR_OK;
        }
        spend(budget);
        /* An interval without keys is like a key that is not there. */
        *out_holds = compare_one(compare, record);
        if (record == NULL || !*out_holds) {
            apply->inside = 0;
            return KVR_OK;
        }
        is_first = false;
    }
    return KVR_AGAIN;
}

/* KVR_OK: *out_holds says whether all of them do. */
static kvr_status compare_all(kvr_mvcc *store, const kvr_txn *txn, uint32_t *budget,
                              bool *out_holds)
{
    kvr__mvcc_apply *apply = store->apply;
    *out_holds = true;
    while (apply->compare_next < txn->compare_count && *out_holds) {
        if (*budget == 0) {
            return KVR_AGAIN;
        }
        const kvr_compare *compare = kvr__mvcc_compare_at(txn->compares, apply->compare_next);
        if (compare->range_end.size > 0) {
            if (compare_interval(store, compare, budget, out_holds) == KVR_AGAIN) {
                return KVR_AGAIN;
            }
        } else {
            *out_holds = compare_one(compare, kvr__mvcc_live_record(store, compare->key));
            spend(budget);
        }
        apply->compare_next++;
    }
    apply->compare_next = 0;
    return KVR_OK;
}

/* ------------------------------------------------------------------ the path */

static kvr_status plan_leaf_op(kvr_mvcc *store, const kvr_op *op)
{
    const kvr__mvcc_snap *snap = &store->content->head;
    store->apply->work_keys++;
    if (op->kind == KVR_OP_PUT) {
        if (snap->live_keys > KVR__MVCC_KEYS_MAX) {
            return KVR_ETOOBIG;
        }
        if ((op->flags & KVR_OP_NO_LEASE) != 0) {
            return KVR_ENOLEASE;
        }
        bool needs_key = (op->flags & (KVR_OP_IGNORE_VALUE | KVR_OP_IGNORE_LEASE)) != 0;
        return needs_key && kvr__mvcc_live_record(store, op->key) == NULL ? KVR_ENOTFOUND : KVR_OK;
    }
    if (op->kind == KVR_OP_DELETE_KEYS) {
        store->apply->work_keys += op->key_count;
        return KVR_OK;
    }
    if (op->kind == KVR_OP_RANGE) {
        return kvr__mvcc_revision_check(snap, op->revision == 0 ? snap->revision : op->revision);
    }
    kvr__mvcc_interval interval = kvr__mvcc_interval_of(&op->key, &op->range_end);
    store->apply->work_keys += kvr__mvcc_count_at(snap, &interval, snap->revision);
    return KVR_OK;
}

void kvr__mvcc_frame_enter(kvr__mvcc_apply *apply, const kvr_txn *txn, bool then_taken)
{
    KVR_ASSERT(apply->depth < KVR_TXN_DEPTH_MAX);
    apply->depth++;
    apply->frames[apply->depth] = (kvr__mvcc_frame){
        .ops = then_taken ? txn->then_ops : txn->else_ops,
        .count = then_taken ? txn->then_count : txn->else_count,
    };
}

const kvr_op *kvr__mvcc_frame_next(kvr__mvcc_apply *apply)
{
    for (;;) {
        const kvr__mvcc_frame *frame = &apply->frames[apply->depth];
        if (frame->next < frame->count) {
            return kvr__mvcc_op_at(frame->ops, frame->next);
        }
        if (apply->depth == 0) {
            return NULL;
        }
        apply->depth--;
    }
}

kvr_status kvr__mvcc_plan_run(kvr_mvcc *store, uint32_t *budget)
{
    kvr__mvcc_apply *apply = store->apply;
    const kvr_op *op;
    while ((op = kvr__mvcc_frame_next(apply)) != NULL) {
        if (*budget == 0) {
            return KVR_AGAIN;
        }
        kvr_status status = KVR_OK;
        bool then_taken = false;
        if (op->kind == KVR_OP_TXN) {
            status = compare_all(store, op->txn, budget, &then_taken);
        } else {
            status = plan_leaf_op(store, op);
            spend(budget);
        }
        if (status != KVR_OK) {
            return status;
        }
        apply->frames[apply->depth].next++;
        if (op->kind == KVR_OP_TXN) {
            apply->then_taken[apply->txn_count / 64] |= (uint64_t)then_taken
                                                        << apply->txn_count % 64;
            apply->txn_count++;
            kvr__mvcc_frame_enter(apply, op->txn, then_taken);
        }
    }
    return KVR_OK;
}
