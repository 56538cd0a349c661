/* SPDX-License-Identifier: Apache-2.0 */
/* test_mvcc_tree.c: the tree from inside: keys that defeat its heads, levels that come and go, and
 * memory that ends at each step of a change, down to the single node. */
#include "mvcc_fixture.h"

#include "base/random.h"
#include "mvcc/mvcc_internal.h"

#include <stdlib.h>

MVCC_SUITE(mvcc_tree);

/* ------------------------------------------------------------------ no memory for nodes */

/* Holds every block of a size that the slab still has: with the host's memory at an end too, no
 * node of that size can be made. */
typedef struct drought {
    kvr__slab *slab;
    void *blocks[65536];
    size_t size;
    uint32_t count;
} drought;

static drought drought_of[3];

static void drain(drought *d, size_t size)
{
    void *block;
    d->slab = store->content->nodes;
    d->size = size;
    d->count = 0;
    fault_arm(FAULT_ALLOC, 1, true);
    while ((block = kvr__slab_alloc(d->slab, size)) != NULL) {
        cr_assert_lt(d->count, COUNT_OF(d->blocks));
        d->blocks[d->count++] = block;
    }
}

static void rain(drought *d)
{
    fault_disarm();
    for (uint32_t i = 0; i < d->count; i++) {
        kvr__slab_free(d->slab, d->blocks[i], d->size);
    }
}

static void put_many(int count)
{
    char key[16];
    for (int i = 0; i < count; i++) {
        (void)snprintf(key, sizeof key, "k%05d", i * 7919 % count);
        put(key, "v");
    }
}

/* Joining is never needed: without memory for it keys leave the tree all the same. */
Test(mvcc_tree, keys_leave_without_memory_for_joining)
{
    put_many(3000);
    del_range(text("k"), text("l"));
    put("x", "1");
    MUST(kvr_mvcc_compact(store, head_now()));
    drain(&drought_of[0], sizeof(kvr__mvcc_inner));
    for (size_t slots = 64; slots > 0; slots -= 8) {
        drain(&drought_of[1], sizeof(kvr__mvcc_leaf) + slots * 12);
        cr_assert(kvr_mvcc_compact_step(store, 400) != KVR_ENOMEM);
        rain(&drought_of[1]);
    }
    rain(&drought_of[0]);
    compact_all(put("x", "2"));

    cr_assert_eq(status_now().versions, 1);
    cr_assert_eq(store->content->head.root->level, 0, "the last one joined what the others left");
}

/* Under a view each of these needs copies and room in the dead list: then a step waits. */
Test(mvcc_tree, a_sweep_under_a_view_waits_for_nodes_and_lists)
{
    const size_t sizes[] = {sizeof(kvr__mvcc_dead), sizeof(kvr__mvcc_inner)};
    put_many(3000);
    kvr_mvcc_view *view = view_now();
    del_range(text("k01000"), text("k02000"));
    put("x", "1");
    for (size_t i = 0; i < COUNT_OF(sizes); i++) {
        kvr_mvcc_view *young = view_now(); /* or nothing would have to be copied */
        put("x", "2");
        MUST(kvr_mvcc_compact(store, i == 0 ? 3001 : head_now()));
        drain(&drought_of[0], sizes[i]);
        kvr_status status;
        do {
            status = kvr_mvcc_compact_step(store, 10);
        } while (status == KVR_AGAIN);
        cr_assert_eq(status, KVR_ENOMEM);
        rain(&drought_of[0]);
        cr_assert_eq(count_of(view, ALL, ALL, 0), 3000);
        kvr_mvcc_view_free(young);
    }
    while (kvr_mvcc_compact_step(store, 100) == KVR_AGAIN) {
    }
    cr_assert_eq(count_of(view, ALL, ALL, 0), 3000);
    cr_assert_eq(status_now().versions, 2001);
    kvr_mvcc_view_free(view);
}

/* A put that needs several nodes at once gets all or changes nothing, whichever is missing. */
Test(mvcc_tree, a_split_without_memory_changes_nothing)
{
    const size_t sizes[] = {sizeof(kvr__mvcc_inner), sizeof(kvr__mvcc_leaf) + 32 * 12,
                            sizeof(kvr__mvcc_leaf) + 40 * 12, sizeof(kvr__mvcc_separator) + 6,
                            sizeof(kvr__mvcc_leaf) + 64 * 12};
    char key[16];
    for (int i = 0; i < 5000; i++) {
        (void)snprintf(key, sizeof key, "k%05d", i * 7919 % 5000);
        kvr_op op = op_put(key, "v");
        kvr_mvcc_status before = status_now();
        drain(&drought_of[0], sizes[(uint32_t)i % COUNT_OF(sizes)]);
        kvr_status status = kvr_mvcc_apply(store, &op, NULL);
        rain(&drought_of[0]);
        if (status == KVR_ENOMEM) {
            cr_assert_eq(status_now().hash_chain, before.hash_chain);
            cr_assert_eq(status_now().versions, before.versions);
            status = kvr_mvcc_apply(store, &op, NULL);
        }
        cr_assert_eq(status, KVR_OK);
    }
    cr_assert_eq(status_now().live_keys, 5000);
    kvr__mvcc_check(store);
}

/* ------------------------------------------------------------ keys that heads cannot tell apart */

static void check_order(uint32_t count)
{
    kvr_mvcc_view *view = view_now();
    kvr_range range = {.size = sizeof range, .key = ALL, .range_end = ALL};
    kvr_mvcc_cursor cursor;
    kvr_kv kv, before = {.key = {NULL, 0}};
    uint32_t seen = 0;
    MUST(kvr_mvcc_cursor_init(&cursor, view, &range));
    while (kvr_mvcc_cursor_next(&cursor, &kv) == KVR_OK) {
        cr_assert_lt(kvr__mvcc_key_compare(before.key, kv.key), 0);
        uint64_t below = kvr__mvcc_tree_rank(view->snap.root, kv.key);
        cr_assert_eq(below, seen);
        kvr_kv found;
        cr_assert(kvr_mvcc_get(store, &kv.key, &found));
        before = kv;
        seen++;
    }
    cr_assert_eq(seen, count);
    kvr_mvcc_view_free(view);
    kvr__mvcc_check(store);
}

static void put_bytes(const uint8_t *key, size_t size)
{
    kvr_op op = op_put("x", "v");
    op.key = (kvr_slice){key, size};
    MUST(kvr_mvcc_apply(store, &op, NULL));
}

/* Only zeros, so heads and their padding are all equal: 1 to 1,500 bytes. */
Test(mvcc_tree, keys_of_zeros_differ_by_their_length)
{
    static uint8_t zeros[1500];
    for (size_t i = 0; i < sizeof zeros; i++) {
        put_bytes(zeros, 1 + i * 7 % sizeof zeros);
    }
    check_order(sizeof zeros);
}

/* All bytes 255: the highest head there is. */
Test(mvcc_tree, keys_of_ones_differ_by_their_length)
{
    static uint8_t ones[1500];
    memset(ones, 255, sizeof ones);
    for (size_t i = 0; i < sizeof ones; i++) {
        put_bytes(ones, 1 + i * 11 % sizeof ones);
    }
    check_order(sizeof ones);
}

/* A long common beginning, longer than any head, and keys that end inside it. */
Test(mvcc_tree, long_common_beginnings_are_skipped)
{
    static uint8_t key[65535];
    memset(key, 'p', sizeof key);
    for (uint32_t i = 0; i < 400; i++) {
        kvr__store_u32(key + 30000, i * 2654435761u);
        put_bytes(key, 30004);
        put_bytes(key, i < 200 ? 1 + i : 65135 + i);
        memset(key + 30000, 'p', 4);
    }
    check_order(800);
}

/* In order, backwards, from the middle: leaves stay well filled where keys come in order. */
Test(mvcc_tree, ascending_keys_leave_full_leaves)
{
    char key[16];
    for (int i = 0; i < 20000; i++) {
        (void)snprintf(key, sizeof key, "%08d", i);
        put(key, "");
    }
    cr_assert_lt(kvr__slab_bytes_used(store->content->nodes), 20000 * 14);
    for (int i = 20000; i > 0; i--) {
        (void)snprintf(key, sizeof key, "#%08d", i);
        put(key, "");
    }
    check_order(40000);
}

/* ------------------------------------------------------------------ levels */

/* Down to nothing, in random order, each removal leaving a tree that finds the rest. */
Test(mvcc_tree, levels_come_and_go)
{
    enum { KEYS = 6000 };
    kvr__mvcc_content *content = store->content;
    kvr__mvcc_node *root = NULL;
    kvr__mvcc_record *records[KEYS];
    kvr__random random;
    kvr__random_init(&random, 7);
    for (uint32_t i = 0; i < KEYS; i++) {
        uint8_t key[9];
        kvr__store_u64(key, kvr__random_next(&random));
        kvr__mvcc_version version = {.key = {key, 8}, .mod = 2, .create = 2, .version = 1};
        records[i] = kvr__mvcc_record_new(content, &version);
        kvr__mvcc_path path;
        kvr__mvcc_tree_seek(root, version.key, &path);
        MUST(kvr__mvcc_tree_make_room(content, &root, &path, version.key));
        kvr__mvcc_tree_insert(&path, records[i]);
    }
    cr_assert_geq(root->level, 2);

    for (uint32_t i = 0; i < KEYS; i++) {
        kvr__mvcc_path path;
        kvr__mvcc_tree_seek(root, kvr__mvcc_record_key_slice(records[i]), &path);
        cr_assert(path.is_exact);
        MUST(kvr__mvcc_tree_remove(content, &root, &path));
        cr_assert_null(kvr__mvcc_tree_find(root, kvr__mvcc_record_key_slice(records[i])));
        if (i + 1 < KEYS) {
            cr_assert_eq(kvr__mvcc_node_live(root), KEYS - 1 - i);
            uint32_t other = i + 1 + (uint32_t)kvr__random_below(&random, KEYS - 1 - i);
            cr_assert_eq(kvr__mvcc_tree_find(root, kvr__mvcc_record_key_slice(records[other])),
                         records[other]);
        }
    }
    cr_assert_null(root);
    for (uint32_t i = 0; i < KEYS; i++) {
        kvr__mvcc_record_discard(content, records[i]);
    }
}
