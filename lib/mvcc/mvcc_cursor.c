/* SPDX-License-Identifier: Apache-2.0 */
/* mvcc_cursor.c: the keys of an interval in order. The bounds are looked up once, as places in the
 * tree; after that no key is compared. At the head the `live` bits of a leaf say which slots count,
 * so deleted keys cost nothing; at an older revision each slot's versions are followed back.
 *
 * Records lie all over memory: the cursor runs ahead of its user over the slots and asks for each
 * record some calls before it is needed. */
#include "mvcc_internal.h"

/* ------------------------------------------------------------------ slots, ahead of the user */

KVR__MVCC_PREFETCHES prefetch_leaf(const kvr__mvcc_node *leaf)
{
    const uint8_t *at = (const uint8_t *)leaf;
    for (size_t line = 0; line < 832; line += 64) {
        __builtin_prefetch(at + line);
    }
}

/* Takes the slots from `at` on of the leaf that the path has come to. */
static void enter_leaf(kvr__mvcc_cursor *cursor, uint32_t at)
{
    const kvr__mvcc_path *path = &cursor->path;
    const kvr__mvcc_node *leaf = path->nodes[path->depth - 1];
    bool is_last = leaf == cursor->end_leaf;
    uint64_t wanted = cursor->at_head ? leaf->live : UINT64_MAX;
    uint32_t end = is_last ? cursor->end_at : leaf->count;
    cursor->bits = wanted & kvr__mvcc_bits_below(end) & ~kvr__mvcc_bits_below(at);
    if (!is_last && path->depth > 1) {
        const kvr__mvcc_inner *parent = kvr__mvcc_inner_of(path->nodes[path->depth - 2]);
        uint32_t next = path->at[path->depth - 2] + 1u;
        if (next < parent->node.count) {
            prefetch_leaf(parent->children[next]);
        }
    }
}

static bool enter_next_leaf(kvr__mvcc_cursor *cursor)
{
    if (cursor->path.depth == 0 || cursor->path.nodes[cursor->path.depth - 1] == cursor->end_leaf ||
        !kvr__mvcc_path_next_leaf(&cursor->path)) {
        return false;
    }
    enter_leaf(cursor, 0);
    return true;
}

static void look_ahead(kvr__mvcc_cursor *cursor)
{
    while (cursor->count < cursor->want) {
        while (cursor->bits == 0) {
            if (!enter_next_leaf(cursor)) {
                return;
            }
        }
        uint32_t at = (uint32_t)__builtin_ctzll(cursor->bits);
        cursor->bits &= cursor->bits - 1;
        const kvr__mvcc_record *record =
            kvr__mvcc_leaf_slots(kvr__mvcc_path_leaf(&cursor->path))[at];
        kvr__mvcc_record_prefetch(record);
        cursor->window[(cursor->first + cursor->count) % KVR__MVCC_WINDOW] = record;
        cursor->count++;
    }
}

/* ------------------------------------------------------------------ inside the room */

void kvr__mvcc_cursor_start(kvr__mvcc_cursor *cursor, const kvr__mvcc_snap *snap,
                            const kvr__mvcc_interval *interval, uint64_t revision)
{
    cursor->end_leaf = NULL;
    cursor->end_at = 0;
    cursor->bits = 0;
    cursor->revision = revision;
    cursor->compacted = snap->compacted;
    cursor->at_head = revision == snap->revision;
    cursor->first = 0;
    cursor->count = 0;
    cursor->want = 1;
    cursor->path.depth = 0;
    if (snap->root == NULL || kvr__mvcc_interval_is_empty(interval)) {
        return;
    }
    if (!interval->is_single && !interval->is_unbounded) {
        kvr__mvcc_tree_seek(snap->root, interval->to, &cursor->path);
        cursor->end_leaf = cursor->path.nodes[cursor->path.depth - 1];
        cursor->end_at = cursor->path.at[cursor->path.depth - 1];
    }
    kvr__mvcc_tree_seek(snap->root, interval->from, &cursor->path);
    uint32_t at = cursor->path.at[cursor->path.depth - 1];
    if (interval->is_single) {
        cursor->end_leaf = cursor->path.nodes[cursor->path.depth - 1];
        cursor->end_at = at + cursor->path.is_exact;
    }
    enter_leaf(cursor, at);
}

void kvr__mvcc_cursor_take_all(kvr__mvcc_cursor *cursor)
{
    if (cursor->path.depth > 0) {
        cursor->at_head = 0;
        enter_leaf(cursor, cursor->path.at[cursor->path.depth - 1]);
    }
}

const kvr__mvcc_record *kvr__mvcc_cursor_next_slot(kvr__mvcc_cursor *cursor)
{
    look_ahead(cursor);
    if (cursor->count == 0) {
        return NULL;
    }
    const kvr__mvcc_record *record = cursor->window[cursor->first];
    cursor->first = (uint8_t)((cursor->first + 1) % KVR__MVCC_WINDOW);
    cursor->count--;
    if (cursor->want < KVR__MVCC_WINDOW) {
        cursor->want = (uint8_t)(cursor->want + 1);
    }
    return record;
}

const kvr__mvcc_record *kvr__mvcc_cursor_next_live(kvr__mvcc_cursor *cursor)
{
    for (;;) {
        const kvr__mvcc_record *record = kvr__mvcc_cursor_next_slot(cursor);
        if (record == NULL || cursor->at_head) {
            return record;
        }
        record = kvr__mvcc_record_as_of(record, cursor->revision, cursor->compacted);
        if (record != NULL && kvr__mvcc_record_is_live(record)) {
            return record;
        }
    }
}

/* ------------------------------------------------------------------ the door */

static kvr__mvcc_cursor *inside(kvr_mvcc_cursor *cursor)
{
    return (kvr__mvcc_cursor *)(void *)cursor->opaque;
}

kvr_status kvr_mvcc_cursor_init(kvr_mvcc_cursor *cursor, const kvr_mvcc_view *view,
                                const kvr_range *range)
{
    kvr__mvcc_interval interval;
    uint64_t revision;
    kvr_status status = kvr__mvcc_range_read(range, &view->snap, &interval, &revision);
    if (status == KVR_OK) {
        kvr__mvcc_cursor_start(inside(cursor), &view->snap, &interval, revision);
    }
    return status;
}

kvr_status kvr_mvcc_cursor_next(kvr_mvcc_cursor *cursor, kvr_kv *out_kv)
{
    const kvr__mvcc_record *record = kvr__mvcc_cursor_next_live(inside(cursor));
    if (record == NULL) {
        return KVR_END;
    }
    kvr__mvcc_record_kv(record, out_kv);
    return KVR_OK;
}
