/* SPDX-License-Identifier: Apache-2.0 */
/* test_watch_contract.c: the etcd contract, "Watch" (ETCD-V3 3.9), sentence by sentence, and the
 * mistakes that others made (FAULTS 109 to 117). Revisions: the store begins at 1, so the first
 * write is 2. */
#include "watch_fixture.h"

#include <string.h>

WATCH_SUITE(watch_contract);

/* ------------------------------------------------------------------ where a watcher starts */

Test(watch_contract, start_0_hears_only_what_comes_after_its_opening)
{
    put("a", "old");
    watch("a", NULL, 0, 0);
    watch("a", "*", 0, 0);

    assert_text(next(), "end");
    put("a", "new");

    assert_text(next(), "1: 3+a=new | 3");
    assert_text(next(), "2: 3+a=new | 3");
    assert_text(next(), "end");
}

Test(watch_contract, what_is_written_before_the_first_look_is_heard_too)
{
    watch("a", NULL, 0, 0);
    put("a", "1");
    watch("a", NULL, 0, 0);
    put("a", "2");
    put("b", "3");

    assert_text(next(), "1: 2+a=1 3+a=2 | 4");
    assert_text(next(), "2: 3+a=2 | 4");
    assert_text(next(), "end");
}

Test(watch_contract, a_start_in_the_past_is_replayed_and_goes_on_without_gap)
{
    put("a", "1");
    put("b", "2");
    put("a", "3");
    watch("a", NULL, 2, 0);
    watch("a", "c", 3, 0);

    assert_text(next(), "1: 2+a=1 4+a=3 | 4");
    assert_text(next(), "2: 3+b=2 4+a=3 | 4");
    assert_text(next(), "end");
    put("a", "4");
    assert_text(next(), "1: 5+a=4 | 5");
    assert_text(next(), "2: 5+a=4 | 5");
    assert_text(next(), "end");
}

Test(watch_contract, a_start_in_the_future_is_silent_until_then)
{
    /* FAULTS 113: old events, notices or a panic for a start around the head. */
    put("a", "x");
    put("a", "x");
    for (uint64_t start = 1; start <= 6; start++) {
        watch("a", start % 2 == 0 ? NULL : "*", start, 0);
    }

    drain();
    cr_assert_eq(delivered(4), 3); /* the head: up to date */
    cr_assert_eq(delivered(5), 4); /* above the head: no notice is due */
    put("a", "4");
    assert_text(next(), "2,4: 4+a=4 | 4");
    assert_text(next(), "1,3: 4+a=4 | 4");
    assert_text(next(), "end");
    put("a", "5");
    assert_text(next(), "2,4: 5+a=5 | 5");
    assert_text(next(), "1,3,5: 5+a=5 | 5");
    put("a", "6");
    assert_text(next(), "2,4,6: 6+a=6 | 6");
}

Test(watch_contract, extreme_starts_are_harmless)
{
    /* FAULTS 114: revision -1 was accepted as a wish for everything; here it is the far future. */
    watch("a", NULL, UINT64_MAX, 0);
    watch("a", "*", UINT64_MAX, 0);
    watch("a", NULL, 1, 0);
    put("a", "1");

    assert_text(next(), "3: 2+a=1 | 2");
    assert_text(next(), "end");
    cr_assert_eq(delivered(1), UINT64_MAX - 1);
}

Test(watch_contract, a_start_below_the_compacted_revision_is_told_so)
{
    for (uint32_t i = 0; i < 5; i++) {
        put("a", "x");
    }
    compact(5);
    watch("a", NULL, 4, 0);
    watch("a", "*", 4, 0);
    watch("b", NULL, 1, 0);

    assert_text(next(), "3: compacted 5");
    assert_text(next(), "1: compacted 5");
    assert_text(next(), "2: compacted 5");
    assert_text(next(), "end");
    cr_assert_eq(kvr_watch_cancel(hub, 1), KVR_ENOTFOUND); /* it has ended */
}

Test(watch_contract, a_start_at_the_compacted_revision_hears_its_delete)
{
    /* FAULTS 103 and V3: the delete at the compaction revision was lost. */
    put("a", "1");
    put("b", "1");
    del("a");
    compact(4);
    watch("a", NULL, 4, 0);
    watch("a", "*", 4, 0);

    assert_text(next(), "1: 4-a | 4");
    assert_text(next(), "2: 4-a | 4");
}

Test(watch_contract, what_was_seen_last_plus_one_resumes_exactly)
{
    /* V5 */
    uint64_t id = watch("a", "*", 0, 0);
    put("a", "1");
    put("b", "2");
    assert_text(next(), "1: 2+a=1 3+b=2 | 3");
    MUST(kvr_watch_cancel(hub, id));
    put("a", "3");
    watch("a", "*", 4, 0);
    put("b", "4");

    drain();
    watch("a", "*", 4, 0);
    assert_text(next(), "3: 4+a=3 5+b=4 | 5");
}

/* ------------------------------------------------------------------ requests */

Test(watch_contract, requests_that_make_no_sense_are_refused)
{
    static uint8_t big[KVR_KEY_BYTES_MAX + 2];
    memset(big, 'a', sizeof big);
    kvr_watch_request request = watching("b", NULL);

    request.key.size = 0;
    cr_assert_eq(opened(&request), KVR_EINVAL);
    request = watching("b", "b");
    cr_assert_eq(opened(&request), KVR_EINVAL); /* "mvcc: watcher range is empty" */
    request = watching("b", "a");
    cr_assert_eq(opened(&request), KVR_EINVAL);
    request = watching("b", NULL);
    request.flags = 8;
    cr_assert_eq(opened(&request), KVR_EINVAL);
    request = watching("b", NULL);
    request.size = 8;
    cr_assert_eq(opened(&request), KVR_EINVAL);
    request = watching("b", NULL);
    request.key = (kvr_slice){big, KVR_KEY_BYTES_MAX + 1};
    cr_assert_eq(opened(&request), KVR_ETOOBIG);
    request.key.size = KVR_KEY_BYTES_MAX;
    cr_assert_eq(opened(&request), KVR_OK);
    request.key.size = 1;
    request.range_end = (kvr_slice){big, sizeof big};
    cr_assert_eq(opened(&request), KVR_ETOOBIG);
}

Test(watch_contract, the_zero_key_with_no_end_is_everything)
{
    kvr_watch_request request = watching("", "*");
    request.key = ALL;
    MUST(opened(&request));
    put("\xff\xff", "1");
    put("a", "2");

    assert_text(next(), "1: 2+\xff\xff=1 3+a=2 | 3");
}

Test(watch_contract, an_interval_of_one_key_is_that_key)
{
    kvr_watch_request request = watching("a", NULL);
    request.range_end = (kvr_slice){(const uint8_t *)"a", 2}; /* "a\0" */
    MUST(opened(&request));
    watch("a", NULL, 0, 0);
    put("aa", "1");
    put("a", "2");

    assert_text(next(), "1,2: 3+a=2 | 3");
}

Test(watch_contract, ids_are_chosen_once_or_given)
{
    /* FAULTS 115: a reused id closed the wrong watcher. */
    kvr_watch_request request = watching("a", NULL);
    request.id = 2;
    MUST(opened(&request));
    cr_assert_eq(opened(&request), KVR_EEXIST);

    cr_assert_eq(watch("a", NULL, 0, 0), 1);
    cr_assert_eq(watch("a", NULL, 0, 0), 3); /* 2 is in use */
    MUST(kvr_watch_cancel(hub, 3));
    MUST(kvr_watch_cancel(hub, 1));
    cr_assert_eq(watch("a", NULL, 0, 0), 4); /* those it gave away are not given again */
    MUST(kvr_watch_cancel(hub, 2));
    MUST(opened(&request)); /* the caller may use his own again */

    cr_assert_eq(kvr_watch_cancel(hub, 77), KVR_ENOTFOUND);
    cr_assert_eq(kvr_watch_pause(hub, 77), KVR_ENOTFOUND);
    cr_assert_eq(kvr_watch_resume(hub, 77), KVR_ENOTFOUND);
    uint64_t revision = 7;
    cr_assert_eq(kvr_watch_delivered(hub, 77, &revision), KVR_ENOTFOUND);
    cr_assert_eq(revision, 7);
}

/* ------------------------------------------------------------------ what is heard */

Test(watch_contract, filters_leave_out_events_and_still_move_on)
{
    uint64_t no_put = watch("a", "*", 0, KVR_WATCH_NO_PUT);
    uint64_t no_delete = watch("a", NULL, 0, KVR_WATCH_NO_DELETE);
    uint64_t neither = watch("a", "*", 0, KVR_WATCH_NO_PUT | KVR_WATCH_NO_DELETE);
    put("a", "1");
    del("a");
    put("c", "1");

    assert_text(next(), "2: 2+a=1 | 4");
    assert_text(next(), "1: 3-a | 4");
    assert_text(next(), "end");
    cr_assert_eq(delivered(no_put), 4);
    cr_assert_eq(delivered(no_delete), 4);
    cr_assert_eq(delivered(neither), 4);
}

Test(watch_contract, previous_values_come_if_wanted_and_not_compacted)
{
    /* V7 */
    watch("a", "*", 0, KVR_WATCH_PREV_KV);
    watch("a", "*", 0, 0);
    put("a", "1");
    put("a", "2");
    del("a");
    put("a", "3");

    assert_text(next(), "2: 2+a=1 3+a=2 4-a 5+a=3 | 5");
    assert_text(next(), "1: 2+a=1 3+a=2 was 1 4-a was 2 5+a=3 | 5");
    compact(3);
    watch("a", NULL, 3, KVR_WATCH_PREV_KV);
    assert_text(next(), "3: 3+a=2 4-a was 2 5+a=3 | 5");
}

Test(watch_contract, all_events_of_a_revision_come_together)
{
    /* V4 */
    const char *const keys[] = {"c", "a", "b"};
    watch("a", "*", 0, 0);
    watch("b", NULL, 0, 0);
    put_all(keys, 3);
    del_from("a");

    assert_text(next(), "1: 2+c 2+a 2+b 3-a 3-b 3-c | 3");
    assert_text(next(), "2: 2+b 3-b | 3");
}

Test(watch_contract, progress_is_never_ahead_of_what_was_told)
{
    /* FAULTS 112, V6: three groups hit by the same revisions are served one after the other. */
    uint64_t a = watch("a", NULL, 0, 0);
    uint64_t all = watch("a", "*", 0, 0);
    uint64_t b = watch("b", NULL, 0, 0);
    drain();
    put("a", "1");
    put("b", "2");
    cr_assert_eq(delivered(a), 1);

    assert_text(next(), "1: 2+a=1 | 3");
    cr_assert_eq(delivered(a), 3);
    cr_assert_eq(delivered(all), 1);
    cr_assert_eq(delivered(b), 2); /* revision 2 is not for it */
    assert_text(next(), "2: 2+a=1 3+b=2 | 3");
    cr_assert_eq(delivered(all), 3);
    assert_text(next(), "3: 3+b=2 | 3");
    cr_assert_eq(delivered(b), 3);
}

Test(watch_contract, a_revision_under_apply_is_not_heard)
{
    watch("a", "*", 0, 0);
    put("a", "1");
    put("b", "2");
    drain();
    kvr_op op = {.size = sizeof op, .kind = KVR_OP_DELETE, .key = text("a"), .range_end = ALL};
    MUST(kvr_mvcc_apply_begin(store, &op, false));

    kvr_status status = kvr_mvcc_apply_step(store, 1);
    while (status == KVR_AGAIN) {
        assert_text(next(), "end");
        status = kvr_mvcc_apply_step(store, 1);
    }

    MUST(status);
    MUST(kvr_mvcc_apply_finish(store, NULL));
    assert_text(next(), "1: 4-a 4-b | 4");
}

Test(watch_contract, a_permitted_key_shows_none_of_those_after_it)
{
    /* FAULTS 119: a watcher of one key saw all that follow. */
    watch("a", NULL, 0, 0);
    watch("a", NULL, 1, 0);
    put("a\x01", "1");
    put("aa", "2");
    put("b", "3");

    assert_text(next(), "end");
}
