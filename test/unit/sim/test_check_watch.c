/* SPDX-License-Identifier: Apache-2.0 */
/* test_check_watch.c: each promise to a watcher, broken once by a hand-made batch. */
#include <criterion/criterion.h>
#include <string.h>

#include "check_fixture.h"

static ghost_watcher watcher;
static kvr_event events[8];
static kvr_watch_target target;

static kvr_slice slice(const char *text)
{
    return (kvr_slice){(const uint8_t *)text, strlen(text)};
}

static void change(uint64_t sequence, const char *key, const char *value)
{
    kvr_slice command = command_put(sequence, key, value, 0);
    (void)commit_command(&command);
}

/* Revisions 2: a put, 3: b put, 4: a put, 5: a deleted. A watcher of everything from 2 on. */
static void setup(void)
{
    static const uint8_t zero = 0;
    fixture_setup();
    say_begun(1);
    change(1, "a", "1");
    change(2, "b", "2");
    change(3, "a", "3");
    change(4, "a", NULL);
    watcher = (ghost_watcher){.key = {&zero, 1}, .range_end = {&zero, 1}};
    watcher.flags = KVR_WATCH_PREV_KV;
    check_watch_open(&watching, &watcher, 2, 5);
    target = (kvr_watch_target){.id = 1, .user = &watcher};
    kvr_kv a1 = {slice("a"), slice("1"), 2, 2, 0, 1, 0};
    kvr_kv b2 = {slice("b"), slice("2"), 3, 3, 0, 1, 0};
    kvr_kv a3 = {slice("a"), slice("3"), 2, 4, 0, 2, 0};
    events[0] = (kvr_event){.kv = a1};
    events[1] = (kvr_event){.kv = b2};
    events[2] = (kvr_event){.kv = a3, .prev = a1, .has_prev = 1};
    events[3] = (kvr_event){.kv = {.key = slice("a"), .mod_revision = 5},
                            .prev = a3,
                            .type = KVR_EVENT_DELETE,
                            .has_prev = 1};
}

TestSuite(check_watch, .init = setup, .fini = fixture_teardown);

static void tell(uint32_t first, uint32_t count, uint64_t revision, uint32_t flags)
{
    kvr_watch_batch batch = {
        .targets = &target,
        .events = events + first,
        .target_count = 1,
        .event_count = count,
        .revision = revision,
        .flags = flags,
    };
    check_watch_batch(&watching, 0, &batch);
}

static void tell_compacted(uint64_t compacted)
{
    kvr_watch_batch batch = {
        .targets = &target, .target_count = 1, .status = KVR_ECOMPACTED, .compacted = compacted};
    check_watch_batch(&watching, 0, &batch);
}

Test(check_watch, all_changes_in_order_pass)
{
    tell(0, 2, 3, 0);
    tell(2, 2, 5, 0);
    check_watch_caught_up(&watching, &watcher, 5);
    EXPECT_NONE();
    cr_assert_eq(watching.event_count, 4);
}

Test(check_watch, filters_and_intervals_are_honoured)
{
    watcher.flags |= KVR_WATCH_NO_DELETE;
    watcher.key = slice("a");
    watcher.range_end = (kvr_slice){NULL, 0};
    events[1] = events[2];
    tell(0, 2, 5, 0);
    EXPECT_NONE();
}

Test(check_watch, V1_revisions_go_back)
{
    tell(0, 4, 5, 0);
    tell(0, 1, 2, 0);
    EXPECT_VIOLATION("V1");
}

/* FAULTS 110 */
Test(check_watch, V2_an_event_comes_twice)
{
    events[1] = events[0];
    tell(0, 2, 3, 0);
    EXPECT_VIOLATION("V3");
}

/* FAULTS 109 */
Test(check_watch, V3_an_event_is_left_out)
{
    tell(1, 3, 5, 0);
    EXPECT_VIOLATION("V3");
}

Test(check_watch, V3_an_event_that_nobody_made)
{
    events[1].kv.value = slice("x");
    tell(0, 2, 3, 0);
    EXPECT_VIOLATION("V3");
}

Test(check_watch, V3_a_watcher_is_forgotten)
{
    tell(0, 2, 3, 0);
    check_watch_caught_up(&watching, &watcher, 5);
    EXPECT_VIOLATION("V3");
}

Test(check_watch, V3_a_batch_after_the_end)
{
    watcher.has_ended = true;
    tell(0, 2, 3, 0);
    EXPECT_VIOLATION("V3");
}

Test(check_watch, V3_told_of_a_compaction_that_never_was)
{
    tell_compacted(3);
    EXPECT_VIOLATION("V3");
}

Test(check_watch, told_of_a_compaction_that_overtook_it)
{
    kvr_slice command = command_numbers(WIRE_COMMAND_COMPACT, 5, 4, 0);
    (void)commit_command(&command);
    tell_compacted(4);
    EXPECT_NONE();
    cr_assert(watcher.has_ended);
}

/* FAULTS 112 */
Test(check_watch, V4_more_is_said_to_be_delivered_than_was)
{
    tell(0, 2, 5, 0);
    EXPECT_VIOLATION("V4");
}

/* FAULTS 116 */
Test(check_watch, V4_a_part_of_a_revision_is_not_marked)
{
    tell(0, 2, 2, 0);
    EXPECT_VIOLATION("V4");
}

Test(check_watch, a_marked_part_passes)
{
    tell(0, 2, 2, KVR_WATCH_PART);
    tell(2, 2, 5, 0);
    EXPECT_NONE();
}

/* FAULTS 113 */
Test(check_watch, V5_an_event_before_the_start)
{
    check_watch_open(&watching, &watcher, 3, 5);
    tell(0, 2, 3, 0);
    EXPECT_VIOLATION("V3");
}

Test(check_watch, V6_delivered_beyond_the_head)
{
    tell(0, 4, 6, 0);
    EXPECT_VIOLATION("V6");
}

Test(check_watch, V7_the_version_before_is_another_one)
{
    events[2].prev = events[1].kv;
    tell(0, 3, 4, 0);
    EXPECT_VIOLATION("V3");
}

Test(check_watch, V7_the_version_before_is_missing)
{
    events[2].has_prev = 0;
    tell(0, 3, 4, 0);
    EXPECT_VIOLATION("V3");
}
