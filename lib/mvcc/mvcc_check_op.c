/* SPDX-License-Identifier: Apache-2.0 */
/* mvcc_check_op.c: is an operation well formed? Asked before it is proposed and again before it is
 * applied, of the operation alone: no store, no memory. Depth and number of all operations are
 * bounded first, so the walk may recurse and the search for duplicate keys fits the stack.
 *
 * Two operations exclude each other if they stand in different branches of one transaction; any
 * other two may be on one path, and then no key may be put twice, nor put and deleted. */
#include "mvcc_internal.h"

/* One put and where it stands: 16 bits a level, the number of the transaction met there and the
 * branch. */
typedef struct place {
    const kvr_op *op;
    uint64_t branches;
} place;

typedef struct walk {
    uint32_t op_count;
    uint32_t txn_count;
    uint32_t put_count;
    place puts[KVR_TXN_ALL_OPS_MAX];
} walk;

_Static_assert(KVR_TXN_DEPTH_MAX * 16 <= 64, "a place has 16 bits a level");
_Static_assert(KVR_TXN_ALL_OPS_MAX < 1 << 15, "and the lowest is the branch");

/* ------------------------------------------------------------------ one operation */

/* Fields of kvr_op that not every kind names. */
enum {
    NAMES_KEY = 1,
    NAMES_RANGE = 2, /* range_end */
    NAMES_VALUE = 4, /* value, owner, lease */
    NAMES_LIMIT = 8, /* limit, revision */
    NAMES_TXN = 16,
    NAMES_KEYS = 32
};

/* True if all fields that `names` does not list are zero. */
static bool names_only(const kvr_op *op, uint32_t names)
{
    uint32_t set = 0;
    set |= op->key.size != 0 ? NAMES_KEY : 0;
    set |= op->range_end.size != 0 ? NAMES_RANGE : 0;
    set |= op->value.size != 0 || op->owner != NULL || op->lease != 0 ? NAMES_VALUE : 0;
    set |= op->limit != 0 || op->revision != 0 ? NAMES_LIMIT : 0;
    set |= op->txn != NULL ? NAMES_TXN : 0;
    set |= op->keys != NULL || op->key_count != 0 ? NAMES_KEYS : 0;
    return (set & ~names) == 0;
}

static kvr_status check_key(const kvr_slice *key, const kvr_slice *range_end)
{
    if (key->size == 0 || !kvr__mvcc_is_slice(key) || !kvr__mvcc_is_slice(range_end)) {
        return KVR_EINVAL;
    }
    bool is_big = key->size > KVR_KEY_BYTES_MAX || range_end->size > KVR_KEY_BYTES_MAX;
    return is_big ? KVR_ETOOBIG : KVR_OK;
}

static bool owns(const kvr_buf *owner, const kvr_slice *value)
{
    kvr_slice bytes;
    kvr_buf_bytes(owner, &bytes);
    uintptr_t from = (uintptr_t)bytes.data, at = (uintptr_t)value->data;
    return value->size == 0 ||
           (at >= from && value->size <= bytes.size && at - from <= bytes.size - value->size);
}

static kvr_status check_put(const kvr_op *op)
{
    const uint32_t known =
        KVR_OP_PREV_KV | KVR_OP_IGNORE_VALUE | KVR_OP_IGNORE_LEASE | KVR_OP_NO_LEASE;
    if ((op->flags & ~known) != 0 || !names_only(op, NAMES_KEY | NAMES_VALUE)) {
        return KVR_EINVAL;
    }
    if (!kvr__mvcc_is_slice(&op->value) || (op->owner != NULL && !owns(op->owner, &op->value))) {
        return KVR_EINVAL;
    }
    if (((op->flags & KVR_OP_IGNORE_VALUE) != 0 && op->value.size != 0) ||
        ((op->flags & KVR_OP_IGNORE_LEASE) != 0 && op->lease != 0)) {
        return KVR_EINVAL;
    }
    return op->value.size > KVR_VALUE_BYTES_MAX ? KVR_ETOOBIG : KVR_OK;
}

static kvr_status check_range(const kvr_op *op)
{
    const uint32_t known = KVR_OP_KEYS_ONLY | KVR_OP_COUNT_ONLY;
    bool is_plain = names_only(op, NAMES_KEY | NAMES_RANGE | NAMES_LIMIT);
    return (op->flags & ~known) == 0 && is_plain ? KVR_OK : KVR_EINVAL;
}

static kvr_status check_delete(const kvr_op *op)
{
    bool is_plain = names_only(op, NAMES_KEY | NAMES_RANGE);
    return (op->flags & ~(uint32_t)KVR_OP_PREV_KV) == 0 && is_plain ? KVR_OK : KVR_EINVAL;
}

static kvr_status check_delete_keys(const kvr_op *op)
{
    if (!names_only(op, NAMES_KEYS) || op->flags != 0 || (op->keys == NULL && op->key_count > 0)) {
        return KVR_EINVAL;
    }
    static const kvr_slice none = {NULL, 0};
    kvr_status status = KVR_OK;
    for (uint32_t i = 0; status == KVR_OK && i < op->key_count; i++) {
        status = check_key(&op->keys[i], &none);
    }
    return status;
}

static kvr_status check_compare(const kvr_compare *compare, uint32_t size)
{
    if (compare->size != size || !kvr__mvcc_is_sized(compare, sizeof *compare) ||
        compare->target > KVR_COMPARE_LEASE || compare->result > KVR_COMPARE_NOT_EQUAL ||
        compare->reserved[0] != 0 || compare->reserved[1] != 0 ||
        !kvr__mvcc_is_slice(&compare->value)) {
        return KVR_EINVAL;
    }
    return check_key(&compare->key, &compare->range_end);
}

/* ------------------------------------------------------------------ the tree of operations */

static kvr_status check_txn(walk *w, const kvr_op *op, uint64_t branches, uint32_t depth,
                            uint32_t allowance);

static kvr_status check_op(walk *w, const kvr_op *op, uint64_t branches, uint32_t depth,
                           uint32_t allowance)
{
    if (!kvr__mvcc_is_sized(op, sizeof *op) || op->reserved[0] != 0 || op->reserved[1] != 0 ||
        op->reserved[2] != 0) {
        return KVR_EINVAL;
    }
    w->op_count++;
    if (w->op_count > KVR_TXN_ALL_OPS_MAX) {
        return KVR_ETOOBIG;
    }
    if (op->kind == KVR_OP_TXN) {
        return check_txn(w, op, branches, depth + 1, allowance);
    }
    if (op->kind == KVR_OP_DELETE_KEYS) {
        return depth == 0 ? check_delete_keys(op) : KVR_EINVAL;
    }
    if (op->kind < KVR_OP_PUT || op->kind > KVR_OP_DELETE) {
        return KVR_EINVAL;
    }
    kvr_status status = check_key(&op->key, &op->range_end);
    if (status != KVR_OK) {
        return status;
    }
    if (op->kind == KVR_OP_RANGE) {
        return check_range(op);
    }
    if (op->kind == KVR_OP_DELETE) {
        return check_delete(op);
    }
    w->puts[w->put_count++] = (place){op, branches};
    return check_put(op);
}

static kvr_status check_list(walk *w, const kvr_op *ops, uint32_t count, uint64_t branches,
                             uint32_t depth, uint32_t allowance)
{
    kvr_status status = KVR_OK;
    for (uint32_t i = 0; status == KVR_OK && i < count; i++) {
        const kvr_op *op = kvr__mvcc_op_at(ops, i);
        status = op->size == ops->size ? check_op(w, op, branches, depth, allowance) : KVR_EINVAL;
    }
    return status;
}

static uint32_t largest(const kvr_txn *txn)
{
    uint32_t most = txn->compare_count > txn->then_count ? txn->compare_count : txn->then_count;
    return most > txn->else_count ? most : txn->else_count;
}

/* In the order of the contract: numbers, compares, then, else. A transaction inside may have what
 * its parent left of the allowance. */
static kvr_status check_txn(walk *w, const kvr_op *op, uint64_t branches, uint32_t depth,
                            uint32_t allowance)
{
    const kvr_txn *txn = op->txn;
    if (!names_only(op, NAMES_TXN) || op->flags != 0 || txn == NULL ||
        !kvr__mvcc_is_sized(txn, sizeof *txn) ||
        (txn->compare_count > 0 && txn->compares == NULL) ||
        (txn->then_count > 0 && txn->then_ops == NULL) ||
        (txn->else_count > 0 && txn->else_ops == NULL)) {
        return KVR_EINVAL;
    }
    if (depth > KVR_TXN_DEPTH_MAX || largest(txn) > allowance) {
        return KVR_ETOOBIG;
    }
    kvr_status status = KVR_OK;
    for (uint32_t i = 0; status == KVR_OK && i < txn->compare_count; i++) {
        status = check_compare(kvr__mvcc_compare_at(txn->compares, i), txn->compares->size);
    }
    allowance -= largest(txn);
    w->txn_count++;
    uint32_t shift = 16 * (depth - 1);
    uint64_t then_branch = branches | (uint64_t)(2 * w->txn_count) << shift;
    uint64_t else_branch = then_branch | (uint64_t)1 << shift;
    if (status == KVR_OK) {
        status = check_list(w, txn->then_ops, txn->then_count, then_branch, depth, allowance);
    }
    if (status == KVR_OK) {
        status = check_list(w, txn->else_ops, txn->else_count, else_branch, depth, allowance);
    }
    return status;
}

/* ------------------------------------------------------------------ duplicate keys */

/* The first level where two places part: there it is either another transaction, or the other
 * branch. */
static bool exclude_each_other(uint64_t a, uint64_t b)
{
    uint64_t differ = a ^ b;
    if (differ == 0) {
        return false;
    }
    uint32_t shift = (uint32_t)__builtin_ctzll(differ) / 16 * 16;
    return (differ >> shift & 0xFFFF) == 1;
}

static void sift_down(place *puts, uint32_t at, uint32_t count)
{
    for (uint32_t child = 2 * at + 1; child < count; child = 2 * at + 1) {
        if (child + 1 < count &&
            kvr__mvcc_key_compare(puts[child].op->key, puts[child + 1].op->key) < 0) {
            child++;
        }
        if (kvr__mvcc_key_compare(puts[at].op->key, puts[child].op->key) >= 0) {
            return;
        }
        place p = puts[at];
        puts[at] = puts[child];
        puts[child] = p;
        at = child;
    }
}

/* Heapsort: in place, and no order of keys that a client may choose makes it slow. */
static void sort_by_key(place *puts, uint32_t count)
{
    for (uint32_t i = count / 2; i > 0; i--) {
        sift_down(puts, i - 1, count);
    }
    for (uint32_t left = count; left > 1; left--) {
        place p = puts[0];
        puts[0] = puts[left - 1];
        puts[left - 1] = p;
        sift_down(puts, 0, left - 1);
    }
}

static kvr_status check_puts(const walk *w)
{
    for (uint32_t i = 0; i < w->put_count; i++) {
        for (uint32_t j = i + 1; j < w->put_count; j++) {
            if (kvr__mvcc_key_compare(w->puts[i].op->key, w->puts[j].op->key) != 0) {
                break;
            }
            if (!exclude_each_other(w->puts[i].branches, w->puts[j].branches)) {
                return KVR_EDUPKEY;
            }
        }
    }
    return KVR_OK;
}

static kvr_status check_delete_over_puts(const walk *w, const kvr_op *op, uint64_t branches)
{
    kvr__mvcc_interval interval = kvr__mvcc_interval_of(&op->key, &op->range_end);
    uint32_t low = 0, high = w->put_count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (kvr__mvcc_key_compare(w->puts[middle].op->key, interval.from) < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    for (; low < w->put_count; low++) {
        if (!kvr__mvcc_interval_has(&interval, w->puts[low].op->key)) {
            break;
        }
        if (!exclude_each_other(w->puts[low].branches, branches)) {
            return KVR_EDUPKEY;
        }
    }
    return KVR_OK;
}

/* The same walk again, numbering transactions as the first one did. */
static kvr_status check_deletes(walk *w, const kvr_op *ops, uint32_t count, uint64_t branches,
                                uint32_t depth)
{
    kvr_status status = KVR_OK;
    for (uint32_t i = 0; status == KVR_OK && i < count; i++) {
        const kvr_op *op = kvr__mvcc_op_at(ops, i);
        if (op->kind == KVR_OP_DELETE) {
            status = check_delete_over_puts(w, op, branches);
        } else if (op->kind == KVR_OP_TXN) {
            w->txn_count++;
            uint64_t then_branch = branches | (uint64_t)(2 * w->txn_count) << 16 * depth;
            status =
                check_deletes(w, op->txn->then_ops, op->txn->then_count, then_branch, depth + 1);
            if (status == KVR_OK) {
                status = check_deletes(w, op->txn->else_ops, op->txn->else_count,
                                       then_branch | (uint64_t)1 << 16 * depth, depth + 1);
            }
        }
    }
    return status;
}

/* ------------------------------------------------------------------ the door */

kvr_status kvr_mvcc_op_check(const kvr_op *op)
{
    walk w; /* only what is counted is ever read */
    w.op_count = 0;
    w.txn_count = 0;
    w.put_count = 0;
    kvr_status status = check_op(&w, op, 0, 0, KVR_TXN_OPS_MAX);
    if (status != KVR_OK || op->kind != KVR_OP_TXN || w.put_count == 0) {
        return status;
    }
    sort_by_key(w.puts, w.put_count);
    status = check_puts(&w);
    w.txn_count = 0;
    return status == KVR_OK ? check_deletes(&w, op, 1, 0, 0) : status;
}
