/* SPDX-License-Identifier: Apache-2.0 */
/* mvcc_apply.c: one operation, whole or not at all.
 *
 *   IDLE -> PLANNING -> EXECUTING -> DONE -> IDLE      [begin, step ..., finish]
 *              |                      ^
 *              +-------- refused -----+
 *
 * A small operation executes in one go, in place: nobody can read in between. A large one that is
 * cut into slices executes beside the head, which an own view keeps as it was; the last slice moves
 * the head. The revision, counts and hashes are in `work` until then. */
#include "mvcc_internal.h"

#include "base/checksum.h"

uint64_t kvr__mvcc_hash_chain(uint64_t chain, uint64_t link)
{
    uint8_t words[16];
    kvr__store_u64(words, chain);
    kvr__store_u64(words + 8, link);
    return kvr__xxh3_64(words, sizeof words);
}

/* ------------------------------------------------------------------ the steps */

static void rewind_path(kvr__mvcc_apply *apply)
{
    apply->depth = 0;
    apply->inside = 0;
    apply->txn_count = 0;
    apply->frames[0] = (kvr__mvcc_frame){.ops = apply->op, .count = 1};
}

static kvr_status begin(kvr_mvcc *store, const kvr_op *op, bool want_result, bool sliced)
{
    if (store->apply == NULL) {
        store->apply = kvr__mem_zalloc(&store->mem, KVR__MEM_HANDLE, sizeof *store->apply);
        if (store->apply == NULL) {
            return KVR_ENOMEM;
        }
    }
    kvr__mvcc_apply *apply = store->apply;
    apply->op = op;
    apply->result = NULL;
    apply->before = NULL;
    apply->phase = KVR__MVCC_PLANNING;
    apply->sliced = sliced;
    apply->want_result = want_result;
    apply->outcome = KVR_OK;
    apply->compare_next = 0;
    apply->work_keys = 0;
    memset(apply->then_taken, 0, sizeof apply->then_taken);
    rewind_path(apply);
    return KVR_OK;
}

/* From here on `work` may differ from the head. */
static kvr_status begin_executing(kvr_mvcc *store)
{
    kvr__mvcc_apply *apply = store->apply;
    if (apply->sliced && apply->before == NULL) {
        apply->before = kvr__mvcc_view_new(store, &store->content->head, true);
        if (apply->before == NULL) {
            return KVR_ENOMEM;
        }
    }
    if (apply->want_result && apply->result == NULL) {
        apply->result = kvr__mvcc_result_new(store);
        if (apply->result == NULL) {
            return KVR_ENOMEM;
        }
    }
    rewind_path(apply);
    if (apply->result != NULL) {
        apply->frames[0].results = &apply->result->root;
    }
    apply->work = store->content->head;
    apply->work.revision++;
    apply->sub = 0;
    apply->phase = KVR__MVCC_EXECUTING;
    return KVR_OK;
}

static void drop_result(kvr__mvcc_apply *apply)
{
    kvr_mvcc_result_free(apply->result);
    apply->result = NULL;
}

static void publish(kvr_mvcc *store)
{
    kvr__mvcc_apply *apply = store->apply;
    kvr__mvcc_content *content = store->content;
    if (apply->sub > 0) {
        KVR_ASSERT(apply->work.revision == content->head.revision + 1);
        KVR_ASSERT(apply->work.change_end == content->head.change_end + apply->sub);
        apply->work.hash_chain = kvr__mvcc_hash_chain(apply->work.hash_chain, apply->work.revision);
        content->head = apply->work;
        content->head_pin = NULL;
    }
    kvr_mvcc_view_free(apply->before);
    apply->before = NULL;
    if (apply->result != NULL) {
        kvr__mvcc_result_publish(apply->result);
    }
    apply->phase = KVR__MVCC_DONE;
}

static kvr_status execute(kvr_mvcc *store, uint32_t budget)
{
    kvr__mvcc_apply *apply = store->apply;
    if (apply->phase == KVR__MVCC_PLANNING && begin_executing(store) != KVR_OK) {
        return KVR_ENOMEM;
    }
    uint32_t all = UINT32_MAX;
    kvr_status status;
    do {
        status = kvr__mvcc_execute_run(store, apply->sliced ? &budget : &all);
    } while (status == KVR_AGAIN && !apply->sliced);
    if (status == KVR_OK) {
        publish(store);
    } else if (status == KVR_ENOMEM && !apply->sliced) {
        /* Its views go first: then nobody sees the nodes that were changed since. */
        drop_result(apply);
        kvr__mvcc_view_collect(store, 0);
        kvr__mvcc_execute_undo(store);
        apply->phase = KVR__MVCC_PLANNING;
        apply->frames[0].next = 1; /* planned; only the execution is to be done again */
        apply->depth = 0;
    }
    return status;
}

static kvr_status step(kvr_mvcc *store, uint32_t budget)
{
    kvr__mvcc_apply *apply = store->apply;
    if (apply->phase == KVR__MVCC_PLANNING) {
        kvr_status status = kvr__mvcc_plan_run(store, &budget);
        if (status == KVR_AGAIN) {
            return status;
        }
        if (status != KVR_OK) {
            apply->outcome = status;
            apply->phase = KVR__MVCC_DONE;
            return KVR_OK;
        }
        if (apply->work_keys < KVR__MVCC_AT_ONCE_MAX) {
            apply->sliced = 0;
        }
    }
    if (apply->phase == KVR__MVCC_DONE) {
        return KVR_OK;
    }
    return execute(store, budget > 0 ? budget : 1);
}

static bool takes_writes(const kvr_mvcc *store)
{
    return !kvr__mvcc_is_applying(store) && store->load == NULL;
}

/* ------------------------------------------------------------------ the door */

kvr_status kvr_mvcc_apply(kvr_mvcc *store, const kvr_op *op, kvr_mvcc_result **out_result)
{
    if (!takes_writes(store)) {
        return KVR_ESTATE;
    }
    kvr__mvcc_view_collect(store, KVR__MVCC_REAP_BUDGET);
    kvr_status status = kvr_mvcc_op_check(op);
    if (status != KVR_OK) {
        return status;
    }
    status = begin(store, op, out_result != NULL, false);
    if (status != KVR_OK) {
        return status;
    }
    do {
        status = step(store, UINT32_MAX);
    } while (status == KVR_AGAIN);
    if (status != KVR_OK) {
        store->apply->phase = KVR__MVCC_IDLE;
        return status;
    }
    return kvr_mvcc_apply_finish(store, out_result);
}

kvr_status kvr_mvcc_apply_begin(kvr_mvcc *store, const kvr_op *op, uint8_t want_result)
{
    if (!takes_writes(store)) {
        return KVR_ESTATE;
    }
    kvr__mvcc_view_collect(store, KVR__MVCC_REAP_BUDGET);
    if (begin(store, op, want_result, true) != KVR_OK) {
        return KVR_ENOMEM;
    }
    store->apply->outcome = kvr_mvcc_op_check(op);
    if (store->apply->outcome != KVR_OK) {
        store->apply->phase = KVR__MVCC_DONE;
    }
    return KVR_OK;
}

kvr_status kvr_mvcc_apply_step(kvr_mvcc *store, uint32_t budget)
{
    if (!kvr__mvcc_is_applying(store)) {
        return KVR_ESTATE;
    }
    kvr__mvcc_view_collect(store, KVR__MVCC_REAP_BUDGET);
    return step(store, budget > 0 ? budget : 1);
}

kvr_status kvr_mvcc_apply_finish(kvr_mvcc *store, kvr_mvcc_result **out_result)
{
    kvr__mvcc_apply *apply = store->apply;
    if (apply == NULL || apply->phase != KVR__MVCC_DONE) {
        return KVR_ESTATE;
    }
    apply->phase = KVR__MVCC_IDLE;
    KVR_CHECKED(kvr__mvcc_check_some(store));
    if (out_result != NULL && apply->outcome == KVR_OK) {
        *out_result = apply->result;
        apply->result = NULL;
    }
    drop_result(apply);
    return apply->outcome;
}
