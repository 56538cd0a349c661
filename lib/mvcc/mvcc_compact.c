/* SPDX-License-Identifier: Apache-2.0 */
/* mvcc_compact.c: logically, a compaction is one number that moves. Physically it is a walk over
 * the changes since the last one, never over keys: the version before each change becomes
 * unreachable, and so does a delete below the compacted revision that is still the newest of its
 * key. What walked past is dropped from the log.
 *
 * A delete at the compacted revision itself stays (etcd #19179: a watcher that starts there must
 * see it), so the next compaction looks at that revision's deletes once more. etcd contract:
 * "Compact". */
#include "base/buggify.h"
#include "mvcc_internal.h"

kvr_status kvr_mvcc_compact(kvr_mvcc *store, uint64_t revision)
{
    kvr__mvcc_content *content = store->content;
    kvr__mvcc_history *history = &content->history;
    kvr__mvcc_snap *head = &content->head;
    if (kvr__mvcc_is_applying(store) || store->load != NULL) {
        return KVR_ESTATE;
    }
    if (revision == 0 && head->compacted == 0) {
        return KVR_OK; /* as etcd on a fresh store: nothing lies below revision 0 */
    }
    if (revision <= head->compacted) {
        return KVR_ECOMPACTED;
    }
    if (revision > head->revision) {
        return KVR_EFUTURE;
    }
    if (history->sweep > head->change_first) {
        history->sweep = head->change_first;
    }
    uint64_t goal = kvr__mvcc_history_find(history, head, revision + 1);
    head->change_first = kvr__mvcc_history_find(history, head, revision);
    head->compacted = revision;
    head->hash_chain = kvr__mvcc_hash_chain(~head->hash_chain, revision);
    history->goal = goal;
    KVR_CHECKED(kvr__mvcc_check_some(store));
    return KVR_OK;
}

/* The change is the delete of a key that was not put again: the key leaves the tree. */
static kvr_status drop_tombstone(kvr__mvcc_content *content, kvr__mvcc_record *record)
{
    kvr__mvcc_path path;
    kvr__mvcc_tree_seek(content->head.root, kvr__mvcc_record_key_slice(record), &path);
    if (!path.is_exact || kvr__mvcc_path_record(&path) != record) {
        return KVR_OK; /* put again: the next version's turn will come */
    }
    if (kvr__mvcc_tree_remove(content, &content->head.root, &path) != KVR_OK) {
        return KVR_ENOMEM;
    }
    content->head_pin = NULL;
    kvr__mvcc_pin_retire_record(content, record);
    return KVR_OK;
}

static kvr_status sweep_one(kvr__mvcc_content *content)
{
    kvr__mvcc_history *history = &content->history;
    kvr__mvcc_record *record = kvr__mvcc_history_at(history, history->sweep);
    KVR_ASSERT(record->mod <= content->head.compacted);
    if (kvr__mvcc_pin_reserve(content) != KVR_OK) {
        return KVR_ENOMEM;
    }
    if (history->sweep >= history->swept) {
        if (record->older != NULL) {
            kvr__mvcc_pin_retire_record(content, record->older);
        }
        history->swept = history->sweep + 1;
    }
    if (!kvr__mvcc_record_is_live(record) && record->mod < content->head.compacted &&
        drop_tombstone(content, record) != KVR_OK) {
        return KVR_ENOMEM;
    }
    history->sweep++;
    return KVR_OK;
}

KVR__MVCC_PREFETCHES prefetch_change(const kvr__mvcc_history *history, uint64_t index)
{
    if (index < history->goal) {
        kvr__mvcc_record_prefetch(kvr__mvcc_history_at(history, index));
    }
}

kvr_status kvr_mvcc_compact_step(kvr_mvcc *store, uint32_t budget)
{
    kvr__mvcc_content *content = store->content;
    kvr__mvcc_history *history = &content->history;
    if (kvr__mvcc_is_applying(store) || store->load != NULL) {
        return KVR_ESTATE;
    }
    kvr__mvcc_view_collect(store, budget);
    for (uint32_t i = 0; history->sweep < history->goal; i++) {
        if ((i >= budget || KVR_BUGGIFY(&store->mem, MVCC_COMPACT_ONE)) && i > 0) {
            return KVR_AGAIN;
        }
        prefetch_change(history, history->sweep + 8);
        if (sweep_one(content) != KVR_OK) {
            return KVR_ENOMEM;
        }
    }
    if (kvr__mvcc_pin_reserve(content) != KVR_OK) {
        return KVR_ENOMEM;
    }
    bool is_done = kvr__mvcc_history_drop(content, content->head.change_first);
    KVR_CHECKED(kvr__mvcc_check_some(store));
    return is_done ? KVR_OK : KVR_AGAIN;
}
