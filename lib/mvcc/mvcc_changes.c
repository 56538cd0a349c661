/* SPDX-License-Identifier: Apache-2.0 */
/* mvcc_changes.c: what happened, for those who follow: a place in the log by revision, and the
 * versions of one key. Nothing waits for them and they hold nothing: whoever is too slow is told
 * so. */
#include "mvcc_internal.h"

typedef struct changes {
    uint64_t generation; /* of the store's content that `index` is of */
    uint64_t index;      /* of the next change; UNRESOLVED: not looked up */
    uint64_t revision;   /* of the next change, at least: what is valid in every content */
    uint64_t sub;
} changes;

#define UNRESOLVED UINT64_MAX

_Static_assert(sizeof(changes) <= sizeof(kvr_mvcc_changes), "it lives in the caller's memory");

static changes *inside(kvr_mvcc_changes *c)
{
    return (changes *)(void *)c->opaque;
}

/* Below the compacted revision prev may be gone, at it too: so it counts as gone. */
static void fill_event(const kvr__mvcc_snap *head, const kvr__mvcc_record *record, kvr_event *out)
{
    memset(out, 0, sizeof *out);
    out->kv.mod_revision = record->mod;
    out->kv.mod_sub = record->sub;
    if (kvr__mvcc_record_is_live(record)) {
        out->type = KVR_EVENT_PUT;
        kvr__mvcc_record_kv(record, &out->kv);
    } else {
        out->type = KVR_EVENT_DELETE;
        out->kv.key = kvr__mvcc_record_key_slice(record);
    }
    if (record->mod > head->compacted && record->older != NULL &&
        kvr__mvcc_record_is_live(record->older)) {
        kvr__mvcc_record_kv(record->older, &out->prev);
        out->has_prev = 1;
    }
}

/* KVR_END: its revision is not there yet. */
static kvr_status resolve(changes *c, const kvr_mvcc *store)
{
    const kvr__mvcc_content *content = store->content;
    const kvr__mvcc_snap *head = &content->head;
    if (c->revision < head->compacted) {
        return KVR_ECOMPACTED;
    }
    c->generation = store->generation;
    if (c->revision > head->revision) {
        return KVR_END;
    }
    c->index = kvr__mvcc_history_find(&content->history, head, c->revision);
    while (c->index < head->change_end) {
        const kvr__mvcc_record *record = kvr__mvcc_history_at(&content->history, c->index);
        if (record->mod > c->revision || record->sub >= c->sub) {
            break;
        }
        c->index++;
    }
    return KVR_OK;
}

kvr_status kvr_mvcc_changes_init(kvr_mvcc_changes *out_changes, const kvr_mvcc *store,
                                 uint64_t revision)
{
    changes c = {.generation = store->generation, .index = UNRESOLVED, .revision = revision};
    kvr_status status = resolve(&c, store);
    if (status == KVR_ECOMPACTED) {
        return status;
    }
    memcpy(out_changes->opaque, &c, sizeof c);
    return KVR_OK;
}

kvr_status kvr_mvcc_changes_next(kvr_mvcc_changes *caller, const kvr_mvcc *store,
                                 kvr_event *out_event)
{
    changes *c = inside(caller);
    const kvr__mvcc_snap *head = &store->content->head;
    if (c->index == UNRESOLVED || c->generation != store->generation) {
        c->index = UNRESOLVED;
        kvr_status status = resolve(c, store);
        if (status != KVR_OK) {
            return status;
        }
    }
    if (c->index < head->change_first) {
        return KVR_ECOMPACTED;
    }
    if (c->index >= head->change_end) {
        return KVR_END;
    }
    const kvr__mvcc_record *record = kvr__mvcc_history_at(&store->content->history, c->index);
    fill_event(head, record, out_event);
    c->index++;
    c->revision = record->mod;
    c->sub = record->sub + (uint64_t)1;
    return KVR_OK;
}

kvr_status kvr_mvcc_key_changes(const kvr_mvcc *store, const kvr_slice *key, uint64_t from,
                                kvr_event *out_events, uint32_t capacity, uint32_t *out_count)
{
    const kvr__mvcc_snap *head = &store->content->head;
    if (from < head->compacted) {
        return KVR_ECOMPACTED;
    }
    const kvr__mvcc_record *newest = kvr__mvcc_tree_find(head->root, *key);
    uint32_t count = 0;
    for (const kvr__mvcc_record *r = newest; r != NULL && r->mod >= from; count++) {
        if (count == capacity) {
            return KVR_ETOOBIG;
        }
        r = r->mod > head->compacted ? r->older : NULL;
    }
    const kvr__mvcc_record *record = newest;
    for (uint32_t i = count; i > 0; i--) {
        fill_event(head, record, &out_events[i - 1]);
        record = i > 1 ? record->older : NULL;
    }
    *out_count = count;
    return KVR_OK;
}
