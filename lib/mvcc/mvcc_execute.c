/* SPDX-License-Identifier: Apache-2.0 */
/* mvcc_execute.c: the part of an apply that changes: the operations on the path that the plan
 * chose, one after the other, into apply->work. Each key's change first gets all the memory it may
 * need, then happens. So KVR_ENOMEM leaves whole keys behind: in slices the next step goes on
 * there; else they are undone, newest first, which needs no memory. */
#include "mvcc_internal.h"

/* ------------------------------------------------------------------ one change */

/* `record` takes the place of `old` (NULL: there was no such slot) in the numbers of the snap. */
static void account(kvr_mvcc *store, kvr__mvcc_record *record, const kvr__mvcc_record *old)
{
    kvr__mvcc_snap *work = &store->apply->work;
    uint64_t hash = kvr__mvcc_record_hash(record);
    if (old != NULL && kvr__mvcc_record_is_live(old)) {
        work->hash_live -= kvr__mvcc_record_hash(old);
        work->live_bytes -= old->key_size + kvr__mvcc_record_value_size(old);
        work->live_keys--;
    }
    if (kvr__mvcc_record_is_live(record)) {
        work->hash_live += hash;
        work->live_bytes += record->key_size + kvr__mvcc_record_value_size(record);
        work->live_keys++;
    }
    work->hash_chain = kvr__mvcc_hash_chain(work->hash_chain, hash);
    kvr__mvcc_history_push(store->content, work, record);
    store->apply->sub++;
}

/* Room in the tree and in the history for `record` at the path. */
static kvr_status make_room(kvr_mvcc *store, kvr__mvcc_path *path, kvr_slice key)
{
    kvr__mvcc_content *content = store->content;
    kvr__mvcc_node **root = &store->apply->work.root;
    if (kvr__mvcc_history_room(content) != KVR_OK ||
        kvr__mvcc_tree_own(content, root, path) != KVR_OK) {
        return KVR_ENOMEM;
    }
    return path->is_exact ? KVR_OK : kvr__mvcc_tree_make_room(content, root, path, key);
}

/* ------------------------------------------------------------------ put */

static kvr__mvcc_version version_of_put(const kvr_mvcc *store, const kvr_op *op,
                                        kvr__mvcc_record *old)
{
    bool was_live = old != NULL && kvr__mvcc_record_is_live(old);
    kvr__mvcc_version version = {
        .key = op->key,
        .value = op->value,
        .owner = op->owner,
        .older = old,
        .mod = store->apply->work.revision,
        .create = was_live ? old->create : store->apply->work.revision,
        .version = was_live ? kvr__mvcc_record_version(old) + 1 : 1,
        .lease = op->lease,
        .sub = store->apply->sub,
    };
    if ((op->flags & KVR_OP_IGNORE_VALUE) != 0) {
        KVR_ASSERT(was_live);
        version.value = kvr__mvcc_record_value_slice(old);
        version.owner =
            (old->value & KVR__MVCC_SHARED) != 0 ? kvr__mvcc_record_share(old)->buf : NULL;
    }
    if ((op->flags & KVR_OP_IGNORE_LEASE) != 0) {
        KVR_ASSERT(was_live);
        version.lease = old->lease;
    }
    return version;
}

static kvr_status put_key(kvr_mvcc *store, const kvr_op *op, kvr_op_result *out)
{
    kvr__mvcc_shortcut *shortcut = &store->content->shortcut;
    uint64_t hash = kvr__mvcc_shortcut_hash(op->key);
    kvr__mvcc_shortcut_prefetch(shortcut, hash);
    kvr__mvcc_path path;
    kvr__mvcc_tree_descend(store->apply->work.root, op->key, &path);
    /* the old version comes with the leaf's slots */
    if (kvr__mvcc_path_may_be_exact(&path, op->key)) {
        kvr__mvcc_shortcut_prefetch_record(shortcut, hash);
    }
    kvr__mvcc_path_search(&path, op->key);
    kvr__mvcc_record *old = path.is_exact ? kvr__mvcc_path_record(&path) : NULL;
    kvr_kv *prev = NULL;
    if (out != NULL && (op->flags & KVR_OP_PREV_KV) != 0 && old != NULL &&
        kvr__mvcc_record_is_live(old)) {
        prev = kvr__mvcc_result_kvs(store->apply->result, 1);
        if (prev == NULL) {
            return KVR_ENOMEM;
        }
    }
    kvr__mvcc_version version = version_of_put(store, op, old);
    kvr__mvcc_record *record = kvr__mvcc_record_new(store->content, &version);
    if (record == NULL) {
        return KVR_ENOMEM;
    }
    if (make_room(store, &path, op->key) != KVR_OK) {
        kvr__mvcc_record_discard(store->content, record);
        return KVR_ENOMEM;
    }
    if (path.is_exact) {
        kvr__mvcc_tree_replace(&path, record);
    } else {
        kvr__mvcc_tree_insert(&path, record);
    }
    account(store, record, old);
    if (shortcut->directory == NULL && store->apply->work.live_keys >= KVR__MVCC_SHORTCUT_FROM) {
        kvr__mvcc_shortcut_start(shortcut);
    }
    kvr__mvcc_shortcut_put(shortcut, hash, record, old);
    if (prev != NULL) {
        kvr__mvcc_record_kv(old, prev);
        out->kvs = prev;
        out->kv_count = 1;
    }
    return KVR_OK;
}

/* ------------------------------------------------------------------ range */

/* For answers too large for an array. Before the first change of a transaction that is the head
 * itself. */
static kvr_status open_view(kvr_mvcc *store, kvr_op_result *out)
{
    kvr__mvcc_apply *apply = store->apply;
    bool is_head = apply->sub == 0;
    const kvr__mvcc_snap *snap = is_head ? &store->content->head : &apply->work;
    return kvr__mvcc_result_view(apply->result, snap, is_head, out);
}

static kvr_status range_keys(kvr_mvcc *store, const kvr_op *op, kvr_op_result *out)
{
    kvr__mvcc_apply *apply = store->apply;
    if (out == NULL) {
        return KVR_OK;
    }
    kvr__mvcc_interval interval = kvr__mvcc_interval_of(&op->key, &op->range_end);
    uint64_t revision = op->revision == 0 ? apply->work.revision : op->revision;
    out->count = kvr__mvcc_count_at(&apply->work, &interval, revision);
    if ((op->flags & KVR_OP_COUNT_ONLY) != 0) {
        return KVR_OK;
    }
    uint64_t wanted = op->limit != 0 && op->limit < out->count ? op->limit : out->count;
    out->more = wanted < out->count;
    if (wanted > KVR__MVCC_ARRAY_MAX) {
        return open_view(store, out);
    }
    if (wanted == 0) {
        return KVR_OK;
    }
    kvr_kv *kvs = kvr__mvcc_result_kvs(apply->result, (uint32_t)wanted);
    if (kvs == NULL) {
        return KVR_ENOMEM;
    }
    kvr__mvcc_cursor cursor;
    kvr__mvcc_cursor_start(&cursor, &apply->work, &interval, revision);
    for (uint64_t i = 0; i < wanted; i++) {
        const kvr__mvcc_record *record = kvr__mvcc_cursor_next_live(&cursor);
        KVR_ASSERT(record != NULL);
        kvr__mvcc_record_kv(record, &kvs[i]);
        if ((op->flags & KVR_OP_KEYS_ONLY) != 0) {
            kvs[i].value = (kvr_slice){NULL, 0};
        }
    }
    out->kvs = kvs;
    out->kv_count = (uint32_t)wanted;
    return KVR_OK;
}

/* ------------------------------------------------------------------ delete */

/* Where previous pairs go is settled before the first key is deleted. */
static kvr_status begin_delete(kvr_mvcc *store, const kvr_op *op,
                               const kvr__mvcc_interval *interval, kvr_op_result *out)
{
    kvr__mvcc_apply *apply = store->apply;
    if (out != NULL && (op->flags & KVR_OP_PREV_KV) != 0) {
        uint64_t count = kvr__mvcc_count_at(&apply->work, interval, apply->work.revision);
        if (count > KVR__MVCC_ARRAY_MAX) {
            if (open_view(store, out) != KVR_OK) {
                return KVR_ENOMEM;
            }
        } else if (count > 0) {
            out->kvs = kvr__mvcc_result_kvs(apply->result, (uint32_t)count);
            if (out->kvs == NULL) {
                return KVR_ENOMEM;
            }
        }
    }
    apply->resume = interval->from;
    apply->resume_after = 0;
    apply->inside = 1;
    return KVR_OK;
}

static kvr_status delete_slot(kvr_mvcc *store, const kvr__mvcc_path *path, uint32_t at,
                              kvr_op_result *out)
{
    kvr__mvcc_leaf *leaf = kvr__mvcc_path_leaf(path);
    kvr__mvcc_record *old = kvr__mvcc_leaf_slots(leaf)[at];
    kvr__mvcc_version version = {
        .key = kvr__mvcc_record_key_slice(old),
        .older = old,
        .mod = store->apply->work.revision,
        .sub = store->apply->sub,
        .tombstone = true,
    };
    if (kvr__mvcc_history_room(store->content) != KVR_OK) {
        return KVR_ENOMEM;
    }
    kvr__mvcc_record *record = kvr__mvcc_record_new(store->content, &version);
    if (record == NULL) {
        return KVR_ENOMEM;
    }
    kvr__mvcc_leaf_slots(leaf)[at] = record;
    leaf->node.live &= ~((uint64_t)1 << at);
    account(store, record, old);
    kvr__mvcc_shortcut_erase(&store->content->shortcut, kvr__mvcc_shortcut_hash(version.key), old);
    store->apply->resume = kvr__mvcc_record_key_slice(record);
    store->apply->resume_after = 1;
    if (out != NULL) {
        if (out->kvs != NULL) {
            kvr__mvcc_record_kv(old, (kvr_kv *)(uintptr_t)&out->kvs[out->kv_count]);
            out->kv_count++;
        }
        out->count++;
    }
    return KVR_OK;
}

/* The first slot of the path's leaf that is not part of the interval; *out_next is the lower bound
 * of the leaf behind it, if the interval goes on there, else NULL. */
static uint32_t end_in_leaf(const kvr__mvcc_path *path, const kvr__mvcc_interval *interval,
                            const kvr__mvcc_separator **out_next)
{
    const kvr__mvcc_leaf *leaf = kvr__mvcc_path_leaf(path);
    const kvr__mvcc_separator *low, *high;
    *out_next = NULL;
    if (interval->is_single) {
        return path->at[path->depth - 1] + (uint32_t)path->is_exact;
    }
    kvr__mvcc_path_fences(path, &low, &high);
    if (interval->is_unbounded ||
        (high != NULL &&
         kvr__mvcc_key_compare(interval->to, kvr__mvcc_separator_slice(high)) >= 0)) {
        *out_next = high;
        return leaf->node.count;
    }
    bool is_exact;
    return kvr__mvcc_leaf_search(leaf, interval->to, &is_exact);
}

/* The interval's keys in one leaf. KVR_OK: go on at apply->resume; KVR_END: that was the last
 * leaf. */
static kvr_status delete_in_leaf(kvr_mvcc *store, const kvr__mvcc_interval *interval,
                                 kvr_op_result *out, uint32_t *budget)
{
    kvr__mvcc_apply *apply = store->apply;
    kvr__mvcc_path path;
    kvr__mvcc_tree_seek(apply->work.root, apply->resume, &path);
    if (path.depth == 0) {
        return KVR_END;
    }
    const kvr__mvcc_separator *next;
    uint32_t end = end_in_leaf(&path, interval, &next);
    uint32_t at = path.at[path.depth - 1] + (uint32_t)(apply->resume_after != 0 && path.is_exact);
    uint64_t bits = kvr__mvcc_path_leaf(&path)->node.live & kvr__mvcc_bits_below(end) &
                    ~kvr__mvcc_bits_below(at);
    kvr_status status = KVR_OK;
    if (bits != 0) {
        status = kvr__mvcc_tree_own(store->content, &apply->work.root, &path);
    }
    int64_t deleted = 0;
    while (status == KVR_OK && bits != 0) {
        if (*budget == 0) {
            status = KVR_AGAIN;
            break;
        }
        status = delete_slot(store, &path, (uint32_t)__builtin_ctzll(bits), out);
        if (status == KVR_OK) {
            bits &= bits - 1;
            deleted++;
            (*budget)--;
        }
    }
    kvr__mvcc_tree_count(&path, -deleted);
    if (status == KVR_OK && next != NULL) {
        apply->resume = kvr__mvcc_separator_slice(next);
        apply->resume_after = 0;
        *budget -= *budget > 0; /* leaves without live keys cost something too */
        return *budget == 0 ? KVR_AGAIN : KVR_OK;
    }
    return status == KVR_OK ? KVR_END : status;
}

static kvr_status delete_keys(kvr_mvcc *store, const kvr_op *op, kvr_op_result *out,
                              uint32_t *budget)
{
    kvr__mvcc_interval interval = kvr__mvcc_interval_of(&op->key, &op->range_end);
    kvr_status status = KVR_OK;
    if (kvr__mvcc_interval_is_empty(&interval)) {
        return KVR_OK;
    }
    if (store->apply->inside == 0) {
        status = begin_delete(store, op, &interval, out);
    }
    while (status == KVR_OK) {
        status = delete_in_leaf(store, &interval, out, budget);
    }
    if (status == KVR_END) {
        store->apply->inside = 0;
        status = KVR_OK;
    }
    return status;
}

static kvr_status delete_listed(kvr_mvcc *store, const kvr_op *op, kvr_op_result *out,
                                uint32_t *budget)
{
    kvr__mvcc_apply *apply = store->apply;
    if (apply->inside == 0) {
        apply->resume_key = 0;
        apply->inside = 1;
    }
    for (; apply->resume_key < op->key_count; apply->resume_key++) {
        kvr__mvcc_path path;
        if (*budget == 0) {
            return KVR_AGAIN;
        }
        (*budget)--;
        kvr__mvcc_tree_seek(apply->work.root, op->keys[apply->resume_key], &path);
        if (!path.is_exact || !kvr__mvcc_record_is_live(kvr__mvcc_path_record(&path))) {
            continue;
        }
        kvr_status status = kvr__mvcc_tree_own(store->content, &apply->work.root, &path);
        if (status == KVR_OK) {
            status = delete_slot(store, &path, path.at[path.depth - 1], out);
        }
        if (status != KVR_OK) {
            return status;
        }
        kvr__mvcc_tree_count(&path, -1);
    }
    apply->inside = 0;
    return KVR_OK;
}

/* ------------------------------------------------------------------ the path */

/* The answers of an inner transaction hang below its own. */
static kvr_status enter_txn(kvr_mvcc *store, const kvr_op *op, kvr_op_result *out)
{
    kvr__mvcc_apply *apply = store->apply;
    const kvr_txn *txn = op->txn;
    bool then_taken = apply->then_taken[apply->txn_count / 64] >> apply->txn_count % 64 & 1;
    uint32_t count = then_taken ? txn->then_count : txn->else_count;
    kvr_op_result *results = NULL;
    if (out != NULL) {
        out->succeeded = then_taken;
        out->result_count = count;
        if (count > 0) {
            results = kvr__mvcc_result_room(apply->result, count * sizeof *results);
            if (results == NULL) {
                return KVR_ENOMEM;
            }
        }
        out->results = results;
    }
    apply->txn_count++;
    apply->frames[apply->depth].next++;
    kvr__mvcc_frame_enter(apply, txn, then_taken);
    apply->frames[apply->depth].results = results;
    return KVR_OK;
}

static kvr_status execute_op(kvr_mvcc *store, const kvr_op *op, kvr_op_result *out,
                             uint32_t *budget)
{
    if (out != NULL) {
        out->kind = op->kind;
    }
    switch (op->kind) {
    case KVR_OP_PUT:
        return put_key(store, op, out);
    case KVR_OP_RANGE:
        return range_keys(store, op, out);
    case KVR_OP_DELETE:
        return delete_keys(store, op, out, budget);
    case KVR_OP_DELETE_KEYS:
        return delete_listed(store, op, out, budget);
    default:
        return enter_txn(store, op, out);
    }
}

kvr_status kvr__mvcc_execute_run(kvr_mvcc *store, uint32_t *budget)
{
    kvr__mvcc_apply *apply = store->apply;
    const kvr_op *op;
    while ((op = kvr__mvcc_frame_next(apply)) != NULL) {
        if (*budget == 0) {
            return KVR_AGAIN;
        }
        kvr__mvcc_frame *frame = &apply->frames[apply->depth];
        kvr_op_result *out = frame->results == NULL ? NULL : &frame->results[frame->next];
        kvr_status status = execute_op(store, op, out, budget);
        if (status != KVR_OK) {
            return status;
        }
        if (op->kind != KVR_OP_TXN) {
            frame->next++;
            *budget -= *budget > 0;
        }
    }
    return KVR_OK;
}

/* ------------------------------------------------------------------ undo */

void kvr__mvcc_execute_undo(kvr_mvcc *store)
{
    kvr__mvcc_content *content = store->content;
    kvr__mvcc_snap *work = &store->apply->work;
    while (work->change_end > content->head.change_end) {
        kvr__mvcc_record *record = kvr__mvcc_history_at(&content->history, work->change_end - 1);
        kvr__mvcc_path path;
        kvr__mvcc_tree_seek(work->root, kvr__mvcc_record_key_slice(record), &path);
        KVR_ASSERT(path.is_exact);
        KVR_ASSERT(path.nodes[path.depth - 1]->birth > content->frozen);
        kvr__mvcc_record *older = record->older;
        kvr_slice key = kvr__mvcc_record_key_slice(record);
        kvr__mvcc_shortcut_erase(&content->shortcut, kvr__mvcc_shortcut_hash(key), record);
        if (older != NULL) {
            kvr__mvcc_tree_replace(&path, older);
        } else {
            kvr__mvcc_tree_take(&path);
        }
        kvr__mvcc_history_pop(content, work);
        kvr__mvcc_record_discard(content, record);
    }
    /* The same keys and records, perhaps in another shape of tree. */
    content->head.root = work->root;
    content->head.tail = work->tail;
    content->head_pin = NULL;
}
