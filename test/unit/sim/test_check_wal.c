/* SPDX-License-Identifier: Apache-2.0 */
/* test_check_wal.c: a disk that forgets, invents or misplaces is seen; what a crash may leave is
 * not blamed. */
#include <criterion/criterion.h>

#include "check_fixture.h"

TestSuite(check_wal, .init = fixture_setup, .fini = fixture_teardown);

static const uint64_t ones[] = {1, 1, 1, 1};
static const uint64_t twos[] = {2, 2, 2, 2};

/* Three entries are durable; entries 4 and 5, then 5 of term 2, are under way. */
static void begin(void)
{
    say_begun(3);
    say_append(1, 4, 2, ones, 0);
    say_append(1, 5, 1, twos, 0);
    say_crashed(1);
}

Test(check_wal, any_first_part_of_what_was_under_way_may_survive)
{
    for (uint64_t last = 3; last <= 5; last += 2) {
        fixture_teardown();
        fixture_setup();
        begin();
        say_loaded(1, &(load){1, 0, 1, 1, last, 0, 0});
        say_read(1, 1, 3, ones, 0);
        EXPECT_NONE();
    }
    say_read(1, 4, 1, ones, 0);
    say_read(1, 5, 1, twos, 0);
    EXPECT_NONE();
    check_wal_settle(&wal, 1);
    cr_assert_eq(ghosts->members[1].durable.terms[5], 2);
    cr_assert_eq(ghosts->members[1].durable_index, 5);
}

Test(check_wal, W2_a_durable_entry_is_gone)
{
    begin();
    say_loaded(1, &(load){1, 0, 1, 1, 2, 0, 0});
    EXPECT_VIOLATION("W2");
}

Test(check_wal, W2_half_of_an_append_survives)
{
    begin();
    say_loaded(1, &(load){1, 0, 1, 1, 4, 0, 0});
    EXPECT_VIOLATION("W2");
}

Test(check_wal, W2_an_entry_that_was_replaced_comes_back)
{
    say_begun(1);
    say_append(1, 2, 1, ones, 0);
    say_flushed(1);
    say_append(1, 2, 1, twos, 0);
    say_flushed(1);
    say_crashed(1);
    say_loaded(1, &(load){1, 0, 1, 1, 2, 0, 0});
    say_read(1, 2, 1, ones, 0);
    EXPECT_VIOLATION("W2");
}

Test(check_wal, W2_the_two_do_not_mix)
{
    begin();
    say_loaded(1, &(load){1, 0, 1, 1, 5, 0, 0});
    say_read(1, 5, 1, twos, 0);
    EXPECT_NONE();
    say_read(1, 5, 1, ones, 0);
    EXPECT_VIOLATION("W2");
}

Test(check_wal, W2_recovery_does_not_change_its_mind)
{
    begin();
    say_loaded(1, &(load){1, 0, 1, 1, 5, 0, 0});
    say_crashed(1);
    say_loaded(1, &(load){1, 0, 1, 1, 3, 0, 0});
    EXPECT_VIOLATION("W2");
}

/* FAULTS 2 */
Test(check_wal, W2_a_durable_vote_is_gone)
{
    say_begun(1);
    say_vote(1, 4, 2);
    say_flushed(1);
    say_crashed(1);
    say_loaded(1, &(load){4, 0, 1, 1, 1, 0, 0});
    EXPECT_VIOLATION("W2");
}

Test(check_wal, a_vote_under_way_may_survive)
{
    say_begun(1);
    say_vote(1, 4, 2);
    say_crashed(1);
    say_loaded(1, &(load){4, 2, 1, 1, 1, 0, 0});
    EXPECT_NONE();
    cr_assert_eq(ghosts->members[1].vote.term, 4);
}

Test(check_wal, W1_what_is_read_is_not_what_was_written)
{
    begin();
    say_loaded(1, &(load){1, 0, 1, 1, 3, 0, 0});
    say_read(1, 1, 1, ones, 7);
    EXPECT_VIOLATION("W1");
}

Test(check_wal, W1_an_entry_in_the_wrong_place)
{
    begin();
    say_loaded(1, &(load){1, 0, 1, 1, 3, 0, 0});
    kvr_store_request request = {.kind = KVR_STORE_READ, .first_index = 2};
    uint8_t bytes[4] = {0};
    kvr_slice piece = {bytes, sizeof bytes};
    kvr_store_result result = {.first_index = 2, .pieces = &piece, .piece_count = 1};
    check_wal_stored(&wal, 1, &request, &result);
    EXPECT_VIOLATION("W1");
}

/* FAULTS 59, 81 */
Test(check_wal, W4_a_gap_between_snapshot_and_log)
{
    say_begun(3);
    say_snapshot(1, 2, 1);
    say_flushed(1);
    say_discard(1, 3, false);
    say_flushed(1);
    say_crashed(1);
    say_loaded(1, &(load){1, 0, 1, 4, 3, 2, 1});
    EXPECT_VIOLATION("W4");
}

Test(check_wal, a_log_behind_its_snapshot_is_sound)
{
    say_begun(3);
    say_snapshot(1, 2, 1);
    say_flushed(1);
    say_discard(1, 3, false);
    say_flushed(1);
    say_crashed(1);
    say_loaded(1, &(load){1, 0, 1, 3, 3, 2, 1});
    say_read(1, 3, 1, ones, 0);
    EXPECT_NONE();
}

/* FAULTS 63 */
Test(check_wal, W5_a_durable_snapshot_is_gone)
{
    say_begun(3);
    say_snapshot(1, 2, 1);
    say_flushed(1);
    say_crashed(1);
    say_loaded(1, &(load){1, 0, 1, 1, 3, 0, 0});
    EXPECT_VIOLATION("W5");
}

/* kvraft-wal(5): a member whose newest snapshot was damaged goes on from an older one, but only if
 * its log reaches back to that. */
Test(check_wal, a_damaged_member_may_fall_back)
{
    say_begun(4);
    say_snapshot(1, 3, 1);
    say_flushed(1);
    check_wal_damaged(&wal, 1);
    say_crashed(1);
    say_loaded(1, &(load){1, 0, 1, 1, 4, 0, 0});
    EXPECT_NONE();
}

Test(check_wal, W5_a_damaged_member_falls_back_beyond_its_log)
{
    say_begun(4);
    say_snapshot(1, 3, 1);
    say_flushed(1);
    check_wal_damaged(&wal, 1);
    say_crashed(1);
    say_loaded(1, &(load){1, 0, 1, 2, 4, 0, 0});
    EXPECT_VIOLATION("W5");
}

Test(check_wal, W5_a_snapshot_that_nobody_wrote)
{
    say_begun(3);
    say_crashed(1);
    say_loaded(1, &(load){1, 0, 1, 3, 3, 2, 1});
    EXPECT_VIOLATION("W5");
}

Test(check_wal, an_append_that_found_no_room_never_was)
{
    say_begun(1);
    say_append(1, 2, 1, ones, 0);
    say_refused(1);
    say_crashed(1);
    say_loaded(1, &(load){1, 0, 1, 1, 1, 0, 0});
    EXPECT_NONE();
    say_crashed(1);
    say_loaded(1, &(load){1, 0, 1, 1, 2, 0, 0});
    EXPECT_VIOLATION("W2");
}

/* FAULTS 78 */
Test(check_wal, W8_a_flush_after_one_that_failed)
{
    say_begun(1);
    check_wal_flush_failed(&wal, 1);
    say_append(1, 2, 1, ones, 0);
    say_flushed(1);
    EXPECT_VIOLATION("W8");
}

Test(check_wal, a_new_life_may_write_again)
{
    say_begun(1);
    check_wal_flush_failed(&wal, 1);
    say_crashed(1);
    say_loaded(1, &(load){1, 0, 1, 1, 1, 0, 0});
    say_read(1, 1, 1, ones, 0);
    say_append(1, 2, 1, ones, 0);
    say_flushed(1);
    EXPECT_NONE();
}
