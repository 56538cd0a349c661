/* SPDX-License-Identifier: Apache-2.0 */
/* mvcc.c: the door of the store. What is behind it:
 *
 *   writing      mvcc_check_op.c -> mvcc_plan.c -> mvcc_execute.c, led by mvcc_apply.c; answers in
 *                mvcc_result.c
 *   reading      mvcc_view.c, mvcc_cursor.c, mvcc_count.c; what happened: mvcc_changes.c
 *   the shapes   mvcc_record.c, mvcc_search.c, mvcc_tree.c, mvcc_shrink.c, mvcc_shortcut.c,
 *                mvcc_history.c, mvcc_content.c
 *   their end    mvcc_compact.c makes versions unreachable, mvcc_pin.c says when they may be freed
 *   snapshots    mvcc_save.c, mvcc_load.c, mvcc_build.c */
#include "mvcc_internal.h"

kvr_status kvr_mvcc_config_init(kvr_mvcc_config *config, uint32_t size)
{
    if (size < sizeof *config) {
        return KVR_EINVAL;
    }
    memset(config, 0, size);
    config->size = size;
    return KVR_OK;
}

kvr_status kvr_mvcc_new(const kvr_mvcc_config *config, kvr_mvcc **out_store)
{
    if (config == NULL || out_store == NULL || !kvr__mvcc_is_sized(config, sizeof *config)) {
        return KVR_EINVAL;
    }
    void *handle;
    kvr_status status = kvr__mem_new_handle(config->allocator, config->allocator_ctx,
                                            sizeof(kvr_mvcc), offsetof(kvr_mvcc, mem), &handle);
    if (status != KVR_OK) {
        return status;
    }
    kvr_mvcc *store = handle;
    kvr__list_init(&store->former);
    atomic_init(&store->views_closed, 0);
    status = kvr__mvcc_content_new(&store->mem, &store->content);
    if (status != KVR_OK) {
        kvr__mem_free_handle(store, sizeof *store, offsetof(kvr_mvcc, mem));
        return status;
    }
    *out_store = store;
    return KVR_OK;
}

void kvr_mvcc_free(kvr_mvcc *store)
{
    if (store == NULL) {
        return;
    }
    if (store->apply != NULL) {
        kvr_mvcc_result_free(store->apply->result);
        kvr_mvcc_view_free(store->apply->before);
        kvr__mem_free(&store->mem, KVR__MEM_HANDLE, store->apply, sizeof *store->apply);
    }
    kvr__mvcc_load_free(store->load);
    kvr__mvcc_view_collect(store, 0);
    KVR_ASSERT(kvr__list_is_empty(&store->content->views));
    KVR_ASSERT(kvr__list_is_empty(&store->former));
    kvr__mvcc_content_free(store->content);
    KVR_ASSERT(store->mem.blocks == 1);
    kvr__mem_free_handle(store, sizeof *store, offsetof(kvr_mvcc, mem));
}

bool kvr_mvcc_get(const kvr_mvcc *store, const kvr_slice *key, kvr_kv *out_kv)
{
    const kvr__mvcc_record *record = kvr__mvcc_live_record(store, *key);
    if (record == NULL) {
        return false;
    }
    kvr__mvcc_record_kv(record, out_kv);
    return true;
}

void kvr_mvcc_get_status(const kvr_mvcc *store, kvr_mvcc_status *out_status)
{
    const kvr__mvcc_content *content = store->content;
    const kvr__mvcc_snap *head = &content->head;
    kvr_mvcc_status status = {
        .size = out_status->size,
        .views_open = content->view_count - (store->apply != NULL && store->apply->before != NULL),
        .revision = head->revision,
        .compacted = head->compacted,
        .live_keys = head->live_keys,
        .live_bytes = head->live_bytes,
        .versions = content->versions,
        .hash_live = head->hash_live,
        .hash_chain = head->hash_chain,
        .memory_bytes = kvr__mem_bytes(&store->mem),
        .tree_bytes = store->mem.bytes_by_kind[KVR__MEM_TREE],
        .record_bytes = store->mem.bytes_by_kind[KVR__MEM_RECORD],
        .history_bytes = store->mem.bytes_by_kind[KVR__MEM_HISTORY],
    };
    for (const kvr__list *l = store->former.next; l != &store->former; l = l->next) {
        status.views_open += KVR__CONTAINER_OF(l, kvr__mvcc_content, link)->view_count;
    }
    size_t size = out_status->size < sizeof status ? out_status->size : sizeof status;
    memcpy(out_status, &status, size);
}

void kvr_prefix_end(const kvr_slice *prefix, uint8_t *room, kvr_slice *out_end)
{
    static const uint8_t zero[1] = {0};
    size_t size = prefix->size;
    while (size > 0 && prefix->data[size - 1] == 255) {
        size--;
    }
    if (size == 0) {
        *out_end = (kvr_slice){zero, 1};
        return;
    }
    memcpy(room, prefix->data, size);
    room[size - 1]++;
    *out_end = (kvr_slice){room, size};
}
