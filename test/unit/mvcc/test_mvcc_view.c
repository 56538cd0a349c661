/* SPDX-License-Identifier: Apache-2.0 */
/* test_mvcc_view.c: views, cursors, changes: that they show what was, as long as it is wanted, and
 * cost nothing after. */
#include "mvcc_fixture.h"

MVCC_SUITE(mvcc_view);

static void put_many(int from, int to)
{
    char key[16];
    for (int i = from; i < to; i++) {
        (void)snprintf(key, sizeof key, "key%06d", i);
        put(key, "v");
    }
}

Test(mvcc_view, a_view_does_not_move)
{
    put("a", "1");
    put("b", "1");
    kvr_mvcc_view *view = view_now();

    put("a", "2");
    del("b");
    put("c", "3");

    cr_assert_eq(kvr_mvcc_view_revision(view), 3);
    assert_text(range_text(view, ALL, ALL, 0), "a=1 b=1");
    assert_text(range_text(view, ALL, ALL, 2), "a=1");
    assert_text(range_text(view, ALL, ALL, 4), "KVR_EFUTURE");
    cr_assert_eq(count_of(view, ALL, ALL, 0), 2);
    kvr_mvcc_view_free(view);
}

/* Freeing only sets a flag; the memory comes back with the next writes. */
Test(mvcc_view, freed_views_cost_nothing_after_the_next_writes)
{
    put_many(0, 3000);
    for (int round = 0; round < 3; round++) {
        kvr_mvcc_view *views[20];
        for (size_t i = 0; i < COUNT_OF(views); i++) {
            views[i] = view_now();
            put_many((int)i * 100, (int)i * 100 + 100);
        }
        cr_assert_eq(status_now().views_open, COUNT_OF(views));
        for (size_t i = 0; i < COUNT_OF(views); i++) { /* in an order of neither age nor youth */
            kvr_mvcc_view_free(views[(i * 7) % COUNT_OF(views)]);
        }
        compact_all(head_now());
        put_many(0, 3000);
        cr_assert_eq(status_now().views_open, 0);
        compact_all(head_now());
    }
    cr_assert_eq(status_now().versions, 3000);

    uint64_t bytes = 0;
    for (int round = 0; round < 2; round++) {
        kvr_mvcc_view *view = view_now();
        put_many(0, 3000);
        kvr_mvcc_view_free(view);
        put_many(0, 3000);
        compact_all(head_now());
        cr_assert(round == 0 || status_now().memory_bytes == bytes,
                  "what the first round took serves again");
        bytes = status_now().memory_bytes;
    }
}

/* Views of one state share one pin: opening them costs no copies. */
Test(mvcc_view, views_of_one_state_copy_nothing_twice)
{
    put_many(0, 1000);
    kvr_mvcc_view *views[100];
    uint64_t tree = status_now().tree_bytes;
    for (size_t i = 0; i < COUNT_OF(views); i++) {
        views[i] = view_now();
    }
    put_many(0, 1);
    cr_assert_lt(status_now().tree_bytes - tree, 100 * 400 + 65536);
    for (size_t i = 0; i < COUNT_OF(views); i++) {
        cr_assert_eq(count_of(views[i], ALL, ALL, 0), 1000);
        kvr_mvcc_view_free(views[i]);
    }
}

/* Two cursors of one view, one at an old revision, take turns and meet all keys. */
Test(mvcc_view, cursors_are_independent)
{
    put_many(0, 500);
    uint64_t old = head_now();
    del_range(text("key000100"), text("key000400"));
    kvr_mvcc_view *view = view_now();
    kvr_range now = {.size = sizeof now, .key = ALL, .range_end = ALL};
    kvr_range then = now;
    then.revision = old;
    kvr_mvcc_cursor a, b;
    kvr_kv kv;
    int seen_now = 0, seen_then = 0;
    MUST(kvr_mvcc_cursor_init(&a, view, &now));
    MUST(kvr_mvcc_cursor_init(&b, view, &then));

    for (int i = 0; i < 600; i++) {
        seen_now += kvr_mvcc_cursor_next(&a, &kv) == KVR_OK;
        seen_then += kvr_mvcc_cursor_next(&b, &kv) == KVR_OK;
    }

    cr_assert_eq(seen_now, 200);
    cr_assert_eq(seen_then, 500);
    kvr_mvcc_view_free(view);
}

/* ------------------------------------------------------------------ changes */

Test(mvcc_view, changes_wait_at_the_end_and_go_on)
{
    kvr_mvcc_changes changes;
    kvr_event event;
    put("a", "1");
    MUST(kvr_mvcc_changes_init(&changes, store, 2));
    MUST(kvr_mvcc_changes_next(&changes, store, &event));
    cr_assert_eq(kvr_mvcc_changes_next(&changes, store, &event), KVR_END);

    put_many(0, 200);

    for (uint64_t i = 0; i < 200; i++) {
        MUST(kvr_mvcc_changes_next(&changes, store, &event));
        cr_assert_eq(event.kv.mod_revision, 3 + i);
    }
    cr_assert_eq(kvr_mvcc_changes_next(&changes, store, &event), KVR_END);
}

/* A revision above the head is legal: nothing comes until it is there. */
Test(mvcc_view, changes_from_the_future_begin_there)
{
    kvr_mvcc_changes changes;
    kvr_event event;
    MUST(kvr_mvcc_changes_init(&changes, store, 5));

    put("a", "2");
    put("a", "3");
    put("a", "4");
    cr_assert_eq(kvr_mvcc_changes_next(&changes, store, &event), KVR_END);
    put("a", "5");
    put("a", "6");

    MUST(kvr_mvcc_changes_next(&changes, store, &event));
    cr_assert_eq(event.kv.mod_revision, 5);
    MUST(kvr_mvcc_changes_next(&changes, store, &event));
    cr_assert_eq(event.kv.mod_revision, 6);
}

/* One key's changes, oldest first; a history that does not fit is not walked to its end. */
Test(mvcc_view, the_changes_of_one_key_come_oldest_first)
{
    kvr_event events[4];
    uint32_t count;
    kvr_slice key = text("k");
    for (int i = 0; i < 5; i++) {
        put("other", "x");
        put("k", "v");
    }
    del("k"); /* k: 3 5 7 9 11, deleted at 12 */

    cr_assert_eq(kvr_mvcc_key_changes(store, &key, 4, events, 4, &count), KVR_ETOOBIG);
    MUST(kvr_mvcc_key_changes(store, &key, 6, events, 4, &count));
    cr_assert_eq(count, 4);
    cr_assert_eq(events[0].kv.mod_revision, 7);
    cr_assert_eq(events[3].kv.mod_revision, 12);
    MUST(kvr_mvcc_key_changes(store, &key, 12, events, 4, &count));
    cr_assert_eq(count, 1);
    cr_assert_eq(events[0].type, KVR_EVENT_DELETE);
    cr_assert_eq(events[0].prev.mod_revision, 11);
    MUST(kvr_mvcc_key_changes(store, &key, 13, events, 4, &count));
    cr_assert_eq(count, 0);
    key = text("missing");
    MUST(kvr_mvcc_key_changes(store, &key, 1, events, 4, &count));
    cr_assert_eq(count, 0);
    compact_all(9);
    key = text("k");
    cr_assert_eq(kvr_mvcc_key_changes(store, &key, 8, events, 4, &count), KVR_ECOMPACTED);
    MUST(kvr_mvcc_key_changes(store, &key, 9, events, 4, &count));
    cr_assert_eq(count, 3);
    cr_assert_eq(events[0].has_prev, 0);
}

/* ------------------------------------------------------------------ handles */

Test(mvcc_view, a_config_or_status_of_another_size_is_understood)
{
    struct {
        kvr_mvcc_config config;
        uint64_t unknown;
    } newer;
    kvr_mvcc *made;
    cr_assert_eq(kvr_mvcc_config_init(&newer.config, 4), KVR_EINVAL);
    MUST(kvr_mvcc_config_init(&newer.config, sizeof newer));
    MUST(kvr_mvcc_new(&newer.config, &made));
    kvr_mvcc_free(made);
    newer.unknown = 1;
    cr_assert_eq(kvr_mvcc_new(&newer.config, &made), KVR_EINVAL);

    struct {
        kvr_mvcc_status status;
        uint64_t unknown;
    } status = {.status.size = sizeof status, .unknown = 7};
    kvr_mvcc_get_status(store, &status.status);
    cr_assert_eq(status.unknown, 7);
    cr_assert_eq(status.status.revision, 1);
    kvr_mvcc_status small = {.size = 16, .compacted = 99};
    kvr_mvcc_get_status(store, &small);
    cr_assert_eq(small.revision, 1);
    cr_assert_eq(small.compacted, 99);
}

Test(mvcc_view, the_status_adds_up)
{
    put_many(0, 100);
    del_range(text("key000000"), text("key000050"));
    kvr_mvcc_status status = status_now();

    cr_assert_eq(status.live_keys, 50);
    cr_assert_eq(status.live_bytes, 50 * (9 + 1));
    cr_assert_eq(status.versions, 150);
    cr_assert_eq(status.memory_bytes, mvcc_alloc.live_bytes);
    cr_assert_leq(status.tree_bytes + status.record_bytes + status.history_bytes,
                  status.memory_bytes);
}

/* An idle store is small: ten thousand groups are ten thousand of these. */
Test(mvcc_view, an_idle_store_is_small)
{
    cr_assert_leq(status_now().memory_bytes, 2560, "%llu bytes",
                  (unsigned long long)status_now().memory_bytes);
}
