/* SPDX-License-Identifier: Apache-2.0 */
/* mvcc_result.c: the answer of an apply, built in a small arena that goes away as a whole. It names
 * records, not copies; from the moment it is published a pin keeps them from being freed by a
 * compaction. */
#include "mvcc_internal.h"

enum { ARENA_SIZE = 4096 };

typedef struct kvr__mvcc_view_link {
    struct kvr__mvcc_view_link *next;
    kvr_mvcc_view *view;
} view_link;

kvr_mvcc_result *kvr__mvcc_result_new(kvr_mvcc *store)
{
    kvr_mvcc_result *result = kvr__mem_zalloc(&store->mem, KVR__MEM_CALL, sizeof *result);
    if (result != NULL) {
        result->store = store;
        result->content = store->content;
        result->at = result->first;
        result->end = result->first + sizeof result->first;
    }
    return result;
}

static bool add_arena(kvr_mvcc_result *result, size_t size)
{
    size_t whole = sizeof(kvr__mvcc_arena) + size;
    whole = whole < ARENA_SIZE ? ARENA_SIZE : whole;
    kvr__mvcc_arena *arena = kvr__mem_alloc(&result->store->mem, KVR__MEM_CALL, whole);
    if (arena == NULL) {
        return false;
    }
    *arena = (kvr__mvcc_arena){result->arenas, whole};
    result->arenas = arena;
    result->at = (uint8_t *)(arena + 1);
    result->end = (uint8_t *)arena + whole;
    return true;
}

void *kvr__mvcc_result_room(kvr_mvcc_result *result, size_t size)
{
    size_t rounded = (size + 7) / 8 * 8;
    if (rounded > (size_t)(result->end - result->at) && !add_arena(result, rounded)) {
        return NULL;
    }
    void *room = result->at;
    result->at += rounded;
    memset(room, 0, rounded);
    return room;
}

kvr_kv *kvr__mvcc_result_kvs(kvr_mvcc_result *result, uint32_t count)
{
    if (result->pin == NULL) {
        result->pin = kvr__mvcc_pin_new(result->content);
        if (result->pin == NULL) {
            return NULL;
        }
    }
    return kvr__mvcc_result_room(result, count * sizeof(kvr_kv));
}

kvr_status kvr__mvcc_result_view(kvr_mvcc_result *result, const kvr__mvcc_snap *snap, bool is_head,
                                 kvr_op_result *out)
{
    view_link *link = kvr__mvcc_result_room(result, sizeof *link);
    if (link == NULL) {
        return KVR_ENOMEM;
    }
    link->view = kvr__mvcc_view_new(result->store, snap, is_head);
    if (link->view == NULL) {
        return KVR_ENOMEM;
    }
    link->next = result->views;
    result->views = link;
    out->view = link->view;
    return KVR_OK;
}

void kvr__mvcc_result_publish(kvr_mvcc_result *result)
{
    result->revision = result->content->head.revision;
    if (result->pin != NULL) {
        kvr__mvcc_pin_open(result->content, result->pin, result->revision, false);
    }
}

/* ------------------------------------------------------------------ the door */

const kvr_op_result *kvr_mvcc_result_root(const kvr_mvcc_result *result)
{
    return &result->root;
}

uint64_t kvr_mvcc_result_revision(const kvr_mvcc_result *result)
{
    return result->revision;
}

void kvr_mvcc_result_free(kvr_mvcc_result *result)
{
    if (result == NULL) {
        return;
    }
    kvr_mvcc *store = result->store;
    for (view_link *link = result->views; link != NULL; link = link->next) {
        kvr_mvcc_view_free(link->view);
    }
    if (result->pin != NULL && result->pin->refs > 0) {
        kvr__mvcc_pin_close(result->content, result->pin);
    } else if (result->pin != NULL) { /* never published */
        kvr__mem_free(&store->mem, KVR__MEM_TREE, result->pin, sizeof *result->pin);
    }
    while (result->arenas != NULL) {
        kvr__mvcc_arena *arena = result->arenas;
        result->arenas = arena->next;
        kvr__mem_free(&store->mem, KVR__MEM_CALL, arena, arena->size);
    }
    kvr__mem_free(&store->mem, KVR__MEM_CALL, result, sizeof *result);
}
