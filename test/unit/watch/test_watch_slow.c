/* SPDX-License-Identifier: Apache-2.0 */
/* test_watch_slow.c: watchers that pause, lag or are overtaken: what they miss, what they cost, and
 * that nobody waits for them (FAULTS 109, 110, 117; V8). */
#include "watch_fixture.h"

#include <stdio.h>

WATCH_SUITE(watch_slow);

Test(watch_slow, a_pause_loses_nothing_and_repeats_nothing)
{
    /* FAULTS 110 */
    uint64_t all = watch("a", "*", 0, 0);
    uint64_t one = watch("a", NULL, 0, 0);
    drain();
    put("a", "1");
    assert_text(next(), "2: 2+a=1 | 2");
    MUST(kvr_watch_pause(hub, all)); /* its batch was made up but not given out */
    MUST(kvr_watch_pause(hub, one));
    MUST(kvr_watch_pause(hub, one));

    put("a", "2");
    assert_text(next(), "end");
    cr_assert_eq(delivered(all), 1);
    cr_assert_eq(delivered(one), 2);
    MUST(kvr_watch_resume(hub, all));
    MUST(kvr_watch_resume(hub, one));
    MUST(kvr_watch_resume(hub, one));

    assert_text(next(), "2: 3+a=2 | 3");
    assert_text(next(), "1: 2+a=1 3+a=2 | 3");
    assert_text(next(), "end");
    put("a", "3");
    assert_text(next(), "2: 4+a=3 | 4");
    assert_text(next(), "1: 4+a=3 | 4");
}

Test(watch_slow, one_who_is_overtaken_is_told_and_not_skipped)
{
    /* FAULTS 109: a slow watcher skipped over the compacted gap, silently. */
    uint64_t all = watch("a", "*", 0, 0);
    uint64_t one = watch("a", NULL, 0, 0);
    uint64_t other = watch("b", NULL, 0, 0);
    drain();
    MUST(kvr_watch_pause(hub, all));
    MUST(kvr_watch_pause(hub, one));
    put("a", "1");
    put("a", "2");
    put("a", "3");
    drain();
    compact(3);

    assert_text(next(), "end"); /* paused: not even that */
    MUST(kvr_watch_resume(hub, all));
    MUST(kvr_watch_resume(hub, one));
    assert_text(next(), "2: compacted 3");
    assert_text(next(), "1: compacted 3");
    assert_text(next(), "end");
    cr_assert_eq(kvr_watch_resume(hub, one), KVR_ENOTFOUND);
    cr_assert_eq(delivered(other), 4);
}

Test(watch_slow, a_compaction_under_a_batch_that_waits_is_told)
{
    watch("a", "*", 0, 0);
    watch("a", NULL, 0, 0);
    watch("b", NULL, 0, 0);
    drain();
    put("a", "1");
    put("a", "2");
    put("b", "3");
    assert_text(next(), "2: 2+a=1 3+a=2 | 4");
    compact(4);

    assert_text(next(), "3: 4+b=3 | 4"); /* needs nothing that is gone */
    assert_text(next(), "1: compacted 4");
    assert_text(next(), "end");
}

Test(watch_slow, a_compaction_ahead_of_the_live_stream_is_told)
{
    watch("a", "*", 0, 0);
    watch("a", NULL, 0, 0);
    drain();
    put("a", "1");
    put("b", "2");
    put("a", "3");
    cr_assert(kvr_watch_keeps_up(hub, 2));
    cr_assert_not(kvr_watch_keeps_up(hub, 3));
    compact(3);

    assert_text(next(), "2: compacted 3");
    assert_text(next(), "1: compacted 3");
    assert_text(next(), "end");
    cr_assert(kvr_watch_keeps_up(hub, 100));
    watch("a", "*", 4, 0); /* the hub goes on */
    assert_text(next(), "3: 4+a=3 | 4");
}

Test(watch_slow, who_keeps_up_is_never_overtaken)
{
    watch("a", "*", 0, 0);
    watch("a", NULL, 0, 0);
    for (uint32_t round = 0; round < 20; round++) {
        watch("b", NULL, 0, 0); /* waits for its first revision */
        put("a", "1");
        put("b", "2");
        while (!kvr_watch_keeps_up(hub, head())) {
            cr_assert_str_neq(next_of(1), "end");
        }
        compact(head());
    }

    const char *said = next();
    for (; said[0] != 'e'; said = next()) {
        cr_assert(strstr(said, "compacted") == NULL, "%s", said);
    }
}

/* ------------------------------------------------------------------ parts of a revision */

static void setup_parts(void)
{
    watch_setup_batches(2);
}

TestSuite(watch_parts, .init = setup_parts, .fini = watch_teardown);

static const char *const FIVE[] = {"a", "b", "c", "d", "e"};

Test(watch_parts, a_revision_larger_than_a_batch_is_marked_and_complete)
{
    /* FAULTS 116: events of one revision were split without marks. */
    uint64_t all = watch("a", "*", 0, 0);
    watch("a", NULL, 0, 0);
    watch("b", "d", 0, 0);
    put_all(FIVE, 5);

    assert_text(next(), "2: 2+a | 2"); /* all that it gets, so it is no part */
    assert_text(next(), "1: 2+a 2+b ... | 1");
    cr_assert_eq(delivered(all), 1);
    assert_text(next(), "3: 2+b ... | 1");
    assert_text(next(), "1: 2+c 2+d ... | 1");
    assert_text(next(), "3: 2+c | 2");
    assert_text(next(), "1: 2+e | 2");
    cr_assert_eq(delivered(all), 2);
    assert_text(next(), "end");
}

Test(watch_parts, small_revisions_before_and_after_stay_whole)
{
    watch("a", "*", 0, 0);
    put("a", "1");
    put("b", "2");
    put_all(FIVE, 3);
    put("c", "4");

    assert_text(next(), "1: 2+a=1 3+b=2 | 3");
    assert_text(next(), "1: 4+a 4+b ... | 3");
    assert_text(next(), "1: 4+c | 4");
    assert_text(next(), "1: 5+c=4 | 5");
    assert_text(next(), "end");
}

Test(watch_parts, a_pause_between_two_parts_goes_on_with_the_next)
{
    uint64_t id = watch("a", "*", 0, 0);
    uint64_t other = watch("a", "*", 0, 0);
    put_all(FIVE, 5);
    assert_text(next(), "1,2: 2+a 2+b ... | 1");
    MUST(kvr_watch_pause(hub, id));
    put("f", "1");
    assert_text(next(), "2: 2+c 2+d ... | 1");
    MUST(kvr_watch_pause(hub, other));
    assert_text(next(), "end");

    MUST(kvr_watch_resume(hub, id));
    assert_text(next(), "1: 2+c 2+d ... | 1");
    MUST(kvr_watch_pause(hub, id)); /* once more, now that it hears alone */
    MUST(kvr_watch_resume(hub, other));
    assert_text(next(), "2: 2+e | 2");
    MUST(kvr_watch_resume(hub, id));
    assert_text(next(), "2: 3+f=1 | 3");
    assert_text(next(), "1: 2+e | 2");
    assert_text(next(), "1: 3+f=1 | 3");
    assert_text(next(), "end");
    put("g", "1");
    assert_text(next(), "2,1: 4+g=1 | 4");
}

Test(watch_parts, a_compaction_between_two_parts_is_told)
{
    uint64_t id = watch("a", "*", 0, 0);
    watch("a", "*", 0, 0);
    put_all(FIVE, 5);
    assert_text(next(), "1,2: 2+a 2+b ... | 1");
    MUST(kvr_watch_pause(hub, id));
    put("f", "1");
    compact(3);

    assert_text(next(), "2: compacted 3");
    MUST(kvr_watch_resume(hub, id));
    assert_text(next(), "1: compacted 3");
    assert_text(next(), "end");
}

Test(watch_parts, the_sweep_tells_in_parts_too)
{
    put_all(FIVE, 5);
    drain();
    watch("a", "*", 1, 0);
    watch("b", "*", 2, 0);

    assert_text(next(), "1: 2+a 2+b ... | 1");
    assert_text(next(), "2: 2+b ... | 1");
    assert_text(next(), "1: 2+c 2+d ... | 1");
    assert_text(next(), "2: 2+c 2+d ... | 1");
    assert_text(next(), "1: 2+e | 2");
    assert_text(next(), "2: 2+e | 2");
    assert_text(next(), "end");
}

Test(watch_parts, a_long_history_of_one_key_is_told_in_order)
{
    watch("z", NULL, 1, 0);
    for (uint32_t i = 0; i < 7; i++) {
        put("z", "1");
    }
    watch("z", NULL, 2, 0);
    watch("z", NULL, 2, KVR_WATCH_NO_PUT);
    put("z", "2");

    uint64_t last[3] = {0, 1, 1};
    for (;;) {
        kvr_watch_batch batch;
        kvr_status status = kvr_watch_next(hub, 1000, &batch);
        if (status == KVR_END) {
            break;
        }
        MUST(status);
        for (uint32_t i = 0; i < batch.target_count; i++) {
            cr_assert_leq(batch.event_count, 2);
            for (uint32_t k = 0; k < batch.event_count; k++) {
                uint64_t *of = &last[batch.targets[i].id];
                *of = *of == 0 ? 1 : *of;
                cr_assert_eq(batch.events[k].kv.mod_revision, *of + 1);
                (*of)++;
            }
        }
    }
    cr_assert_eq(last[1], 9);
    cr_assert_eq(last[2], 9);
}

/* ------------------------------------------------------------------ cost */

Test(watch_slow, ten_thousand_watchers_of_one_key_are_one_batch)
{
    enum { WATCHERS = 10000 };
    for (uint32_t i = 0; i < WATCHERS; i++) {
        watch("a", NULL, 0, 0);
    }
    drain();
    put("a", "1");

    kvr_watch_batch batch;
    MUST(kvr_watch_next(hub, 10, &batch));
    cr_assert_eq(batch.target_count, WATCHERS);
    cr_assert_eq(batch.event_count, 1);
    cr_assert_eq(kvr_watch_next(hub, 10, &batch), KVR_END);
}

Test(watch_slow, the_dead_hold_up_nobody)
{
    /* FAULTS 117, V8: victims starved. A thousand watchers want a long history; one that is up to
     * date hears each write after at most one batch of each other kind. */
    enum { DEAD = 1000, HISTORY = 300 };
    char key[8];
    for (uint32_t i = 0; i < HISTORY; i++) {
        snprintf(key, sizeof key, "k%u", i % 10);
        put(key, "1");
    }
    uint64_t alive = watch("z", NULL, 0, 0);
    drain();
    for (uint32_t i = 0; i < DEAD; i++) {
        snprintf(key, sizeof key, "k%u", i % 10);
        watch(key, i % 2 == 0 ? NULL : "*", 1, 0);
    }

    for (uint32_t round = 0; round < 20; round++) {
        uint64_t written = put("z", "1");
        uint32_t calls = 0;
        while (delivered(alive) < written) {
            kvr_watch_batch batch;
            kvr_status status = kvr_watch_next(hub, 2000, &batch);
            cr_assert(status == KVR_OK || status == KVR_AGAIN);
            calls++;
        }
        cr_assert_leq(calls, 20); /* the sweep's window has ten groups */
    }
}

Test(watch_slow, ended_watchers_leave_nothing_behind)
{
    /* FAULTS 117: watches leaked after their cancel. Slabs keep what they had once, and no more. */
    enum { WATCHERS = 500, ROUNDS = 6 };
    uint64_t settled = 0;
    for (uint32_t round = 0; round < ROUNDS; round++) {
        uint64_t ids[WATCHERS];
        for (uint32_t i = 0; i < WATCHERS; i++) {
            char key[8];
            snprintf(key, sizeof key, "k%u", i % 50);
            ids[i] = watch(key, i % 3 == 0 ? "*" : NULL, i % 5 == 0 ? head() : 0, i % 7 % 3);
        }
        drain();
        put("k1", "1");
        (void)next();
        for (uint32_t i = 0; i < WATCHERS; i++) {
            if (i % 4 == 0) {
                MUST(kvr_watch_pause(hub, ids[i]));
            }
            MUST(kvr_watch_cancel(hub, ids[i]));
        }
        kvr_watch_status status = {.size = sizeof status};
        kvr_watch_get_status(hub, &status);
        cr_assert_eq(status.watchers, 0);
        cr_assert_eq(status.behind, 0);
        cr_assert_eq(status.paused, 0);
        if (round == 1) {
            settled = status.memory_bytes;
        }
        if (round > 1) {
            cr_assert_eq(status.memory_bytes, settled);
        }
    }
}

static void expect_bytes_each(bool has_end)
{
    enum { WATCHERS = 50000 };
    kvr_watch_status status = {.size = sizeof status};
    watch_alloc.quiet = 1;
    for (uint32_t i = 0; i < WATCHERS; i++) {
        char key[20];
        char end[20];
        snprintf(key, sizeof key, "/registry/%05u/", i);
        snprintf(end, sizeof end, "/registry/%05u0", i);
        watch(key, has_end ? end : NULL, 0, 0);
    }
    drain();

    kvr_watch_get_status(hub, &status);
    cr_assert_eq(status.watchers, WATCHERS);
    cr_assert_eq(status.behind, 0);
    cr_assert_lt(status.memory_bytes / WATCHERS, 200);
}

Test(watch_slow, a_watcher_of_a_key_that_waits_costs_less_than_200_bytes)
{
    expect_bytes_each(false);
}

Test(watch_slow, a_watcher_of_an_interval_that_waits_costs_less_than_200_bytes)
{
    expect_bytes_each(true);
}

/* ------------------------------------------------------------------ no memory */

static kvr_status fault_status;
static uint64_t fault_ids[4];

static void open_all(void)
{
    static const char *const ends[] = {NULL, "*", "c", "*"};
    kvr_status status = KVR_OK;
    for (uint32_t i = 0; i < 4 && status == KVR_OK; i++) {
        kvr_watch_request request = watching("a", ends[i]);
        request.start_revision = i % 2 == 0 ? 0 : 2;
        status = kvr_watch_open(hub, &request, &fault_ids[i]);
    }
    fault_status = status;
}

Test(watch_parts, an_open_without_memory_leaves_the_hub_as_it_was)
{
    FAULT_SWEEP(
        {
            watch_teardown();
            setup_parts();
            put("a", "1");
        },
        open_all(),
        {
            kvr_watch_status status = {.size = sizeof status};
            kvr_watch_get_status(hub, &status);
            cr_assert(fault_status == KVR_OK || fault_fired() > 0, "%s", fault_text());
            cr_assert(fault_status == KVR_OK || fault_status == KVR_ENOMEM);
            if (fault_status == KVR_OK) {
                cr_assert_eq(status.watchers, 4);
            }
            open_all(); /* the same again works */
            MUST(fault_status);
        });
}

/* What all watchers heard, as one number: it must be the same whatever failed on the way. */
static uint64_t sum;

/* Two watchers from the opening on, of "a" and of all up to "c", hear (5.0, 6.0) and (5.0, 6.0,
 * 6.1); two of all from revision 2 on hear (2.0, 3.0 to 3.4, 4.0, 5.0, 6.0 to 6.2). */
enum { WHOLE = 11002 + 17013 + 2 * 44141 };

static void listen(uint32_t calls)
{
    kvr_watch_batch batch;
    kvr_status status = KVR_OK;
    for (uint32_t i = 0; i < calls && status != KVR_END; i++) {
        status = kvr_watch_next(hub, 3, &batch);
        cr_assert(status == KVR_OK || status == KVR_AGAIN || status == KVR_END ||
                  (status == KVR_ENOMEM && fault_fired() > 0));
        for (uint32_t k = 0; status == KVR_OK && k < batch.event_count; k++) {
            const kvr_kv *kv = &batch.events[k].kv;
            sum += batch.target_count * (kv->mod_revision * 1000 + kv->mod_sub * 10 + 1);
        }
    }
    fault_status = status;
}

Test(watch_parts, batches_without_memory_come_later_and_none_is_lost)
{
    uint64_t whole = 0;
    FAULT_SWEEP(
        {
            watch_teardown();
            setup_parts();
            sum = 0;
            put("a", "1");
            put_all(FIVE, 5);
            put("b", "2");
            open_all();
            put("a", "3");
            put_all(FIVE, 3);
        },
        listen(60),
        {
            listen(100000);
            cr_assert_eq(fault_status, KVR_END);
            whole = whole == 0 ? sum : whole;
            cr_assert_eq(sum, whole, "%s", fault_text());
        });
    cr_assert_eq(whole, WHOLE);
}
