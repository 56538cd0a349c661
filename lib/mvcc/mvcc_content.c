/* SPDX-License-Identifier: Apache-2.0 */
/* mvcc_content.c: birth and death of everything a store holds. It dies as a whole, chunk by chunk:
 * only records that hold a count of somebody else's buffer are looked at. */
#include "mvcc_internal.h"

#include "base/buffer.h"

kvr_status kvr__mvcc_content_new(kvr__mem *mem, kvr__mvcc_content **out_content)
{
    kvr__mvcc_content *content = kvr__mem_zalloc(mem, KVR__MEM_HANDLE, sizeof *content);
    if (content == NULL) {
        return KVR_ENOMEM;
    }
    content->mem = mem;
    content->epoch = 1;
    content->head.revision = 1;
    kvr__list_init(&content->shared);
    kvr__list_init(&content->pins);
    kvr__list_init(&content->views);
    kvr__list_init(&content->link);
    kvr__mvcc_history_init(&content->history, mem);
    content->shortcut.mem = mem;
    content->nodes = kvr__slab_new(mem, KVR__MEM_TREE);
    content->records = kvr__slab_new(mem, KVR__MEM_RECORD);
    content->segments = kvr__slab_new(mem, KVR__MEM_HISTORY);
    if (content->nodes == NULL || content->records == NULL || content->segments == NULL) {
        kvr__mvcc_content_free(content);
        return KVR_ENOMEM;
    }
    *out_content = content;
    return KVR_OK;
}

void kvr__mvcc_content_free(kvr__mvcc_content *content)
{
    if (content == NULL) {
        return;
    }
    for (kvr__list *l = content->shared.next, *next; l != &content->shared; l = next) {
        next = l->next;
        kvr_buf_release(KVR__CONTAINER_OF(l, kvr__mvcc_share, link)->buf);
    }
    KVR_ASSERT(kvr__list_is_empty(&content->views));
    for (kvr__list *l = content->pins.next, *next; l != &content->pins; l = next) {
        kvr__mvcc_pin *pin = KVR__CONTAINER_OF(l, kvr__mvcc_pin, link);
        next = l->next;
        kvr__mem_free(content->mem, KVR__MEM_TREE, pin, sizeof *pin);
    }
    kvr__ring_release(&content->history.segments);
    kvr__mvcc_shortcut_release(&content->shortcut);
    kvr__slab_free_all(content->nodes);
    kvr__slab_free_all(content->records);
    kvr__slab_free_all(content->segments);
    kvr__mem_free(content->mem, KVR__MEM_HANDLE, content, sizeof *content);
}

const kvr__mvcc_record *kvr__mvcc_live_record(const kvr_mvcc *store, kvr_slice key)
{
    kvr__mvcc_content *content = store->content;
    uint64_t hash = kvr__mvcc_shortcut_hash(key);
    /* of the head, then it must not be asked */
    bool is_ahead = store->apply != NULL && store->apply->before != NULL;
    const kvr__mvcc_record *record =
        is_ahead ? NULL : kvr__mvcc_shortcut_find(&content->shortcut, key, hash);
    if (record != NULL) {
        return record;
    }
    record = kvr__mvcc_tree_find(content->head.root, key);
    if (record == NULL || !kvr__mvcc_record_is_live(record)) {
        return NULL;
    }
    if (!is_ahead) {
        kvr__mvcc_shortcut_learn(&content->shortcut, hash, record);
    }
    return record;
}
