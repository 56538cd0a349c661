/* SPDX-License-Identifier: Apache-2.0 */
/* mvcc_check.c: the numbered invariants of README.md, over everything a store holds. Called at the
 * doors in builds with -DKVR_CHECK, but only as often as the number of calls outgrows the number of
 * versions: so a long test does not become quadratic, and a small one is checked at each call. */
#include "mvcc_internal.h"

/* What one walk over a tree adds up. */
typedef struct sums {
    const kvr__mvcc_content *content;
    const kvr__mvcc_snap *snap;
    uint64_t epoch; /* no node is younger */
    uint64_t live_keys;
    uint64_t live_bytes;
    uint64_t hash_live;
    uint64_t versions; /* that can be reached */
    kvr_slice last;    /* key */
} sums;

/* ------------------------------------------------------------------ versions of a key */

/* 1 to 3 */
static void check_versions(sums *s, const kvr__mvcc_record *newest)
{
    const kvr__mvcc_record *record = newest;
    for (;;) {
        s->versions++;
        KVR_ASSERT(record->mod >= 2);
        KVR_ASSERT(record->mod <= s->snap->revision);
        if (kvr__mvcc_record_is_live(record)) {
            KVR_ASSERT(record->create >= 2);
            KVR_ASSERT(record->create <= record->mod);
            KVR_ASSERT((kvr__mvcc_record_version(record) == 1) == (record->create == record->mod));
        } else {
            KVR_ASSERT(record->create == 0);
            KVR_ASSERT(record->lease == 0);
            KVR_ASSERT(kvr__mvcc_record_version(record) == 0);
        }
        const kvr__mvcc_record *older = record->older;
        if (record->mod <= s->snap->compacted || older == NULL) {
            break;
        }
        KVR_ASSERT(older->mod < record->mod);
        KVR_ASSERT(kvr__mvcc_key_compare(kvr__mvcc_record_key_slice(older),
                                         kvr__mvcc_record_key_slice(record)) == 0);
        bool continues = kvr__mvcc_record_is_live(record) && kvr__mvcc_record_version(record) > 1;
        if (continues) {
            KVR_ASSERT(kvr__mvcc_record_version(older) == kvr__mvcc_record_version(record) - 1);
            KVR_ASSERT(older->create == record->create);
        } else {
            KVR_ASSERT(kvr__mvcc_record_is_live(older) != kvr__mvcc_record_is_live(record));
        }
        record = older;
    }
    if (record->mod > s->snap->compacted) {
        KVR_ASSERT(kvr__mvcc_record_version(record) == 1);
    }
}

/* ------------------------------------------------------------------ the tree */

/* 4 and 5 */
static void check_leaf(sums *s, const kvr__mvcc_leaf *leaf, const kvr__mvcc_separator *low,
                       const kvr__mvcc_separator *high)
{
    kvr__mvcc_record *const *slots = kvr__mvcc_leaf_slots(leaf);
    KVR_ASSERT(leaf->node.count <= leaf->node.capacity);
    KVR_ASSERT(leaf->node.capacity <= KVR__MVCC_LEAF_SLOTS);
    KVR_ASSERT((leaf->node.live & ~kvr__mvcc_bits_below(leaf->node.count)) == 0);
    KVR_ASSERT(leaf->node.skip <= kvr__mvcc_leaf_skip(low, high));
    for (uint32_t i = 0; i < leaf->node.count; i++) {
        const kvr__mvcc_record *record = slots[i];
        kvr_slice key = kvr__mvcc_record_key_slice(record);
        KVR_ASSERT(s->last.size == 0 || kvr__mvcc_key_compare(s->last, key) < 0);
        KVR_ASSERT(low == NULL || kvr__mvcc_key_compare(kvr__mvcc_separator_slice(low), key) <= 0);
        KVR_ASSERT(high == NULL || kvr__mvcc_key_compare(key, kvr__mvcc_separator_slice(high)) < 0);
        KVR_ASSERT(leaf->heads[i] == kvr__mvcc_key_head(key.data, key.size, leaf->node.skip));
        KVR_ASSERT((leaf->node.live >> i & 1) == kvr__mvcc_record_is_live(record));
        check_versions(s, record);
        if (kvr__mvcc_record_is_live(record)) {
            s->live_keys++;
            s->live_bytes += key.size + kvr__mvcc_record_value_size(record);
            s->hash_live += kvr__mvcc_record_hash(record);
        }
        s->last = key;
    }
}

/* 4 to 6 */
static void check_node(sums *s, const kvr__mvcc_node *node, const kvr__mvcc_separator *low,
                       const kvr__mvcc_separator *high)
{
    KVR_ASSERT(node->birth <= s->epoch);
    if (node->level == 0) {
        check_leaf(s, kvr__mvcc_leaf_of(node), low, high);
        return;
    }
    const kvr__mvcc_inner *inner = kvr__mvcc_inner_of(node);
    KVR_ASSERT(node->count >= 1);
    KVR_ASSERT(node->count <= KVR__MVCC_INNER_CHILDREN);
    KVR_ASSERT(inner->separators[0] == NULL);
    for (uint32_t i = 0; i < node->count; i++) {
        const kvr__mvcc_node *child = inner->children[i];
        const kvr__mvcc_separator *from = i == 0 ? low : inner->separators[i];
        const kvr__mvcc_separator *to = i + 1 == node->count ? high : inner->separators[i + 1];
        KVR_ASSERT(child->level == node->level - 1);
        if (child->birth > s->content->frozen) {
            KVR_ASSERT(node->birth > s->content->frozen);
        }
        if (i > 0) {
            KVR_ASSERT(inner->heads[i] == kvr__mvcc_key_head(from->bytes, from->size, node->skip));
        }
        uint64_t before = s->live_keys;
        check_node(s, child, from, to);
        KVR_ASSERT(s->live_keys - before == inner->live[i]);
    }
}

/* 4 to 7 */
static void check_snap(const kvr__mvcc_content *content, const kvr__mvcc_snap *snap, uint64_t epoch,
                       sums *out_sums)
{
    *out_sums = (sums){.content = content, .snap = snap, .epoch = epoch};
    if (snap->root != NULL) {
        check_node(out_sums, snap->root, NULL, NULL);
    }
    KVR_ASSERT(out_sums->live_keys == snap->live_keys);
    KVR_ASSERT(out_sums->live_bytes == snap->live_bytes);
    KVR_ASSERT(out_sums->hash_live == snap->hash_live);
    KVR_ASSERT(snap->compacted <= snap->revision);
    KVR_ASSERT(snap->change_first <= snap->change_end);
}

/* ------------------------------------------------------------------ the log by revision */

/* 8 and 9 */
static void check_history(const kvr__mvcc_content *content)
{
    const kvr__mvcc_history *history = &content->history;
    const kvr__mvcc_snap *head = &content->head;
    uint64_t main_before = head->compacted > 1 ? head->compacted - 1 : 1;
    uint64_t sub_next = 0;
    KVR_ASSERT(history->sweep <= history->swept);
    KVR_ASSERT(history->swept <= head->change_end);
    KVR_ASSERT(head->change_end <= history->end);
    for (uint64_t i = head->change_first; i < head->change_end; i++) {
        const kvr__mvcc_record *record = kvr__mvcc_history_at(history, i);
        if (record->mod == main_before) {
            KVR_ASSERT(record->sub == sub_next);
        } else {
            bool skips_compacted = main_before + 1 == head->compacted;
            KVR_ASSERT(record->mod == main_before + 1 ||
                       (skips_compacted && record->mod == main_before + 2));
            KVR_ASSERT(record->sub == 0);
        }
        main_before = record->mod;
        sub_next = record->sub + (uint64_t)1;
    }
    if (head->change_end > head->change_first) {
        KVR_ASSERT(main_before == head->revision);
    }
}

/* ------------------------------------------------------------------ pins */

/* 10 and 11 */
static void check_pins(const kvr__mvcc_content *content)
{
    uint64_t frozen = 0, seen = 0, epoch = 0, revision = 0;
    uint32_t closed = 0;
    for (const kvr__list *l = content->pins.next; l != &content->pins; l = l->next) {
        const kvr__mvcc_pin *pin = KVR__CONTAINER_OF(l, kvr__mvcc_pin, link);
        KVR_ASSERT(pin->epoch == 0 || pin->epoch > epoch);
        KVR_ASSERT(pin->epoch < content->epoch);
        KVR_ASSERT(pin->revision >= revision);
        epoch = pin->epoch != 0 ? pin->epoch : epoch;
        revision = pin->revision;
        if (pin->refs == 0) {
            closed++;
            continue;
        }
        seen = pin->revision;
        frozen = pin->epoch != 0 ? pin->epoch : frozen;
    }
    KVR_ASSERT(content->frozen == frozen);
    KVR_ASSERT(content->seen == seen);
    KVR_ASSERT(content->closed_count == closed);
    if (content->head_pin != NULL) {
        KVR_ASSERT(content->head_pin->refs > 0);
    }
}

/* 12 */
static void check_entry(void *ctx, const kvr__mvcc_record *record)
{
    const kvr__mvcc_content *content = ctx;
    KVR_ASSERT(kvr__mvcc_record_is_live(record));
    KVR_ASSERT(kvr__mvcc_tree_find(content->head.root, kvr__mvcc_record_key_slice(record)) ==
               record);
}

static void check_content(const kvr_mvcc *store, const kvr__mvcc_content *content)
{
    sums head, seen;
    check_snap(content, &content->head, content->epoch, &head);
    KVR_ASSERT(head.versions <= content->versions);
    check_history(content);
    check_pins(content);
    if (!kvr__mvcc_is_applying(store)) {
        kvr__mvcc_shortcut_walk(&content->shortcut, check_entry, (void *)(uintptr_t)content);
    }
    for (const kvr__list *l = content->views.next; l != &content->views; l = l->next) {
        const kvr_mvcc_view *view = KVR__CONTAINER_OF(l, kvr_mvcc_view, link);
        if (atomic_load_explicit(&view->closed, memory_order_acquire) == 0) {
            check_snap(content, &view->snap, view->pin->epoch, &seen);
        }
    }
    kvr__slab_check(content->nodes);
    kvr__slab_check(content->records);
    kvr__slab_check(content->segments);
}

void kvr__mvcc_check(const kvr_mvcc *store)
{
    kvr__mem_check(&store->mem);
    check_content(store, store->content);
    for (const kvr__list *l = store->former.next; l != &store->former; l = l->next) {
        check_content(store, KVR__CONTAINER_OF(l, kvr__mvcc_content, link));
    }
}

void kvr__mvcc_check_some(kvr_mvcc *store)
{
    store->unchecked++;
    if (store->unchecked * 64 >= store->content->versions) {
        store->unchecked = 0;
        kvr__mvcc_check(store);
    }
}
