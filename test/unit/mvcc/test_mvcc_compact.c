/* SPDX-License-Identifier: Apache-2.0 */
/* test_mvcc_compact.c: compaction, a rule of the etcd contract (3.8 "Compact") a test, and what its
 * sweep frees. */
#include "mvcc_fixture.h"

MVCC_SUITE(mvcc_compact);

/* 3.8: "revision <= last compacted: has been compacted; > current: future revision; equal to
 * current is allowed" */
Test(mvcc_compact, the_revision_lies_above_the_last_and_up_to_the_head)
{
    put("a", "1");
    put("a", "2");
    put("a", "3");

    cr_assert_eq(kvr_mvcc_compact(store, 5), KVR_EFUTURE);
    MUST(kvr_mvcc_compact(store, 3));
    cr_assert_eq(kvr_mvcc_compact(store, 3), KVR_ECOMPACTED);
    cr_assert_eq(kvr_mvcc_compact(store, 2), KVR_ECOMPACTED);
    cr_assert_eq(kvr_mvcc_compact(store, 0), KVR_ECOMPACTED);
    MUST(kvr_mvcc_compact(store, 4));
    cr_assert_eq(status_now().compacted, 4);
    cr_assert_eq(head_now(), 4, "3.8: compaction does not change the main revision");
}

/* 3.8: "A fresh store accepts 0" */
Test(mvcc_compact, a_fresh_store_accepts_0)
{
    MUST(kvr_mvcc_compact(store, 0));
    cr_assert_eq(status_now().compacted, 0);
    MUST(kvr_mvcc_compact(store, 1));
    cr_assert_eq(kvr_mvcc_compact(store, 0), KVR_ECOMPACTED);
}

/* 3.8: "all history before revision becomes unreadable at once" */
Test(mvcc_compact, older_revisions_are_unreadable_before_any_sweep)
{
    put("a", "1");
    put("a", "2");
    put("a", "3");
    kvr_mvcc_view *old = view_now();

    MUST(kvr_mvcc_compact(store, 3));

    kvr_mvcc_view *view = view_now();
    assert_text(range_text(view, ALL, ALL, 2), "KVR_ECOMPACTED");
    assert_text(range_text(view, ALL, ALL, 3), "a=2");
    assert_text(changes_text(2), "KVR_ECOMPACTED");
    assert_text(range_text(old, ALL, ALL, 2), "a=1"); /* an open view keeps what it sees */
    compact_all(4);
    assert_text(range_text(old, ALL, ALL, 2), "a=1");
    assert_text(range_text(view, ALL, ALL, 3), "a=2");
    kvr_mvcc_view_free(old);
    kvr_mvcc_view_free(view);
}

/* 3.8: "For each key the newest version at or below revision is kept unless it is a tombstone older
 * than revision" */
Test(mvcc_compact, the_newest_version_at_or_below_stays)
{
    put("a", "1"); /* 2 */
    put("a", "2"); /* 3 */
    put("b", "1"); /* 4 */
    del("b");      /* 5 */
    put("c", "1"); /* 6 */
    put("a", "3"); /* 7 */
    compact_all(6);
    kvr_mvcc_view *view = view_now();

    assert_text(range_text(view, ALL, ALL, 6), "a=2 c=1");
    assert_text(range_text(view, ALL, ALL, 0), "a=3 c=1");
    cr_assert_eq(status_now().versions, 3);
    kvr_mvcc_view_free(view);
}

/* FAULTS 103, 3.8: "a tombstone exactly at revision is kept, so a watch starting at the compacted
 * revision still sees that delete" */
Test(mvcc_compact, a_delete_at_the_compacted_revision_is_still_seen)
{
    put("a", "1");
    del("a");
    put("b", "1");
    compact_all(3);

    assert_text(changes_text(3), "3.0 -a  4.0 +b=1");
    compact_all(4);
    assert_text(changes_text(4), "4.0 +b=1");
    cr_assert_eq(status_now().versions, 1, "the next compaction takes it");
}

/* FAULTS 99: no hash depends on how far the sweep is, nor do answers. */
Test(mvcc_compact, a_sweep_changes_no_hash_and_no_answer)
{
    kvr_mvcc *other = new_store(), *first = store;
    for (int i = 0; i < 200; i++) {
        char key[16];
        (void)snprintf(key, sizeof key, "k%d", i % 17);
        for (int s = 0; s < 2; s++) {
            store = s == 0 ? first : other;
            (void)(i % 5 == 4 ? del(key) : put(key, "v"));
        }
        if (i % 20 == 19) {
            uint64_t revision = head_now() - 10;
            MUST(kvr_mvcc_compact(other, revision));
            store = first;
            compact_all(revision);
        }
    }
    store = first;
    kvr_mvcc_status status = {.size = sizeof status};
    kvr_mvcc_get_status(other, &status);

    cr_assert_eq(status.hash_chain, status_now().hash_chain);
    cr_assert_eq(status.hash_live, status_now().hash_live);
    cr_assert_gt(status.versions, status_now().versions);
    const char *swept = changes_text(status.compacted);
    store = other;
    assert_text(changes_text(status.compacted), swept);
    store = first;
    kvr_mvcc_free(other);
}

/* A put after a delete that the sweep has not come to yet starts a new life all the same. */
Test(mvcc_compact, a_put_before_the_sweep_comes_is_a_new_life)
{
    put("a", "1");
    del("a");
    put("b", "1");
    MUST(kvr_mvcc_compact(store, 4));
    put("a", "2");

    assert_text(get_text("a"), "2 5/5/1 0");
    assert_text(changes_text(5), "5.0 +a=2");
    compact_all(5);
    cr_assert_eq(status_now().versions, 2);
    assert_text(range_now(ALL, ALL), "a=2 b=1");
}

/* Interrupted by another compaction, a sweep comes to the same end (C3 of FAULTS 3.3). */
Test(mvcc_compact, an_interrupted_sweep_ends_at_the_same_store)
{
    for (int i = 0; i < 100; i++) {
        (void)(i % 4 == 3 ? del("k") : put("k", "v"));
        put("other", "w");
    }
    MUST(kvr_mvcc_compact(store, 50));
    cr_assert_eq(kvr_mvcc_compact_step(store, 7), KVR_AGAIN);
    MUST(kvr_mvcc_compact(store, 120));
    cr_assert_eq(kvr_mvcc_compact_step(store, 30), KVR_AGAIN);
    compact_all(head_now());

    cr_assert_eq(status_now().versions, 1);
    MUST(kvr_mvcc_compact_step(store, 1));
}

/* What was freed serves again: rewriting the same keys with compactions between does not grow the
 * store. */
Test(mvcc_compact, what_is_freed_is_used_again)
{
    uint64_t bytes = 0;
    for (int round = 0; round < 30; round++) {
        for (int i = 0; i < 100; i++) {
            char key[16];
            (void)snprintf(key, sizeof key, "k%d", i);
            put(key, "0123456789");
        }
        compact_all(head_now());
        if (round == 10) {
            bytes = status_now().memory_bytes;
        }
    }
    cr_assert_eq(status_now().memory_bytes, bytes);
}

/* A store whose keys all go becomes small inside: no key, no version. */
Test(mvcc_compact, a_store_can_become_empty_again)
{
    char key[16];
    for (int i = 0; i < 5000; i++) {
        (void)snprintf(key, sizeof key, "k%d", i);
        put(key, "v");
    }
    del_range(ALL, ALL);
    put("a", "1");
    del("a");
    put("b", "1");
    compact_all(head_now());
    del("b");
    put("c", "1");
    compact_all(head_now());

    cr_assert_eq(status_now().versions, 1);
    assert_text(range_now(ALL, ALL), "c=1");
}

/* 3.8, watch catch-up: whoever follows changes is told that a compaction overtook him. */
Test(mvcc_compact, a_follower_that_was_overtaken_is_told)
{
    kvr_mvcc_changes changes;
    kvr_event event;
    for (int i = 0; i < 10; i++) {
        put("k", "v");
    }
    MUST(kvr_mvcc_changes_init(&changes, store, 2));
    MUST(kvr_mvcc_changes_next(&changes, store, &event));
    MUST(kvr_mvcc_compact(store, 3));
    MUST(kvr_mvcc_changes_next(&changes, store, &event));
    cr_assert_eq(event.kv.mod_revision, 3);
    cr_assert_eq(event.has_prev, 0, "the version before is compacted");
    MUST(kvr_mvcc_changes_next(&changes, store, &event));
    cr_assert_eq(event.has_prev, 1);

    MUST(kvr_mvcc_compact(store, 8));
    cr_assert_eq(kvr_mvcc_changes_next(&changes, store, &event), KVR_ECOMPACTED);
}
