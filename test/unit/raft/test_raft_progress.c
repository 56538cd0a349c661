/* SPDX-License-Identifier: Apache-2.0 */
/* test_raft_progress.c: what a leader knows of one follower: the transitions, and a window that is
 * derived and so cannot leak. */
#include <criterion/criterion.h>

#include "base/random.h"
#include "raft/raft_internal.h"
#include "support/test_alloc.h"

static test_alloc alloc;
static kvr__mem mem;
static kvr__raft_progress progress;

static void setup(void)
{
    test_alloc_init(&alloc);
    cr_assert_eq(kvr__mem_init(&mem, &test_alloc_table, &alloc), KVR_OK);
    progress = (kvr__raft_progress){0};
    kvr__ring_init(&progress.inflight, &mem, KVR__MEM_HANDLE, sizeof(uint64_t));
    kvr__raft_progress_reset(&progress, 10, 0);
}

static void teardown(void)
{
    kvr__ring_release(&progress.inflight);
    TEST_ALLOC_ASSERT_EMPTY(&alloc);
}

TestSuite(raft_progress, .init = setup, .fini = teardown);

static void send(uint64_t last)
{
    cr_assert_eq(kvr__ring_reserve(&progress.inflight, 1), KVR_OK);
    kvr__raft_progress_sent(&progress, last);
}

Test(raft_progress, begins_as_a_probe_at_the_leaders_end)
{
    cr_assert_eq(progress.state, KVR__RAFT_PROBE);
    cr_assert_eq(progress.match, 0);
    cr_assert_eq(progress.next, 11);
    cr_assert_eq(progress.free_bytes, UINT64_MAX);
}

Test(raft_progress, accepted_probe_opens_the_stream)
{
    send(11);
    cr_assert(progress.probe_sent);

    cr_assert(kvr__raft_progress_accept(&progress, 11));

    cr_assert_eq(progress.state, KVR__RAFT_REPLICATE);
    cr_assert_eq(progress.match, 11);
    cr_assert_eq(progress.next, 12);
}

/* A follower that says it has less than was probed has not answered the probe yet. */
Test(raft_progress, partial_acknowledgement_does_not_open_the_stream)
{
    send(11);

    cr_assert(kvr__raft_progress_accept(&progress, 4));

    cr_assert_eq(progress.state, KVR__RAFT_PROBE);
    cr_assert_eq(progress.match, 4);
    cr_assert_eq(progress.next, 11);
}

/* FAULTS 20: replies that are repeated or late never lower match. */
Test(raft_progress, match_never_falls)
{
    kvr__raft_progress_accept(&progress, 11);
    send(15);
    send(20);
    cr_assert(kvr__raft_progress_accept(&progress, 20));

    cr_assert_not(kvr__raft_progress_accept(&progress, 15));
    cr_assert_not(kvr__raft_progress_refuse(&progress, 15, 3));

    cr_assert_eq(progress.match, 20);
    cr_assert_eq(progress.next, 21);
    cr_assert_eq(progress.state, KVR__RAFT_REPLICATE);
}

/* FAULTS 21: next stays above match, whatever is refused. */
Test(raft_progress, refusal_goes_back_but_not_below_match)
{
    kvr__raft_progress_accept(&progress, 4);

    cr_assert(kvr__raft_progress_refuse(&progress, 10, 1));

    cr_assert_eq(progress.next, 5);
    cr_assert_eq(progress.state, KVR__RAFT_PROBE);
}

/* FAULTS 28: a hint beyond what was refused does not push next up. */
Test(raft_progress, refusal_always_lowers_next)
{
    cr_assert(kvr__raft_progress_refuse(&progress, 10, 5000));
    cr_assert_eq(progress.next, 10);
    cr_assert(kvr__raft_progress_refuse(&progress, 9, 9));
    cr_assert_eq(progress.next, 9);
}

Test(raft_progress, refusal_of_another_probe_is_stale)
{
    cr_assert_not(kvr__raft_progress_refuse(&progress, 7, 1));
    cr_assert_eq(progress.next, 11);
}

Test(raft_progress, refusal_in_the_stream_probes_from_match)
{
    kvr__raft_progress_accept(&progress, 11);
    send(15);
    send(20);

    cr_assert(kvr__raft_progress_refuse(&progress, 15, 11));

    cr_assert_eq(progress.state, KVR__RAFT_PROBE);
    cr_assert_eq(progress.next, 12);
    cr_assert_eq(progress.inflight.count, 0);
}

Test(raft_progress, snapshot_ends_in_a_probe_after_it)
{
    kvr__raft_progress_need_snapshot(&progress, 50, 3);
    cr_assert_eq(progress.state, KVR__RAFT_SNAPSHOT_STATE);
    cr_assert_not(kvr__raft_progress_refuse(&progress, 0, 0));

    kvr__raft_progress_installed(&progress, 50);

    cr_assert_eq(progress.state, KVR__RAFT_PROBE);
    cr_assert_eq(progress.match, 50);
    cr_assert_eq(progress.next, 51);
}

/* FAULTS 11: that a follower was heard does not depend on how it is replicated to: else a change of
 * state would depose a healthy leader. */
Test(raft_progress, what_was_heard_survives_every_change_of_state)
{
    progress.last_heard_ns = 77;
    progress.heard = true;
    kvr__raft_progress_accept(&progress, 4);
    kvr__raft_progress_refuse(&progress, 10, 4);
    kvr__raft_progress_need_snapshot(&progress, 8, 1);
    kvr__raft_progress_installed(&progress, 8);

    cr_assert_eq(progress.state, KVR__RAFT_PROBE);
    cr_assert_eq(progress.last_heard_ns, 77);
    cr_assert(progress.heard);
}

/* FAULTS 34: after every history the window holds exactly the appends sent and not answered. */
Test(raft_progress, window_is_what_was_sent_and_not_answered)
{
    kvr__random random;
    kvr__random_init(&random, 4);
    uint64_t sent[4096];
    uint32_t sent_count = 0;
    kvr__raft_progress_accept(&progress, 10);
    for (int i = 0; i < 20000; i++) {
        uint64_t dice = kvr__random_below(&random, 10);
        if (progress.state == KVR__RAFT_PROBE) {
            kvr__raft_progress_accept(&progress, progress.next - 1);
        } else if (dice < 5 && sent_count < 4096) {
            uint64_t last = progress.next + kvr__random_below(&random, 3);
            send(last);
            sent[sent_count++] = last;
        } else if (dice < 9) {
            uint64_t index =
                progress.match + kvr__random_below(&random, progress.next - progress.match);
            kvr__raft_progress_accept(&progress, index);
        } else {
            kvr__raft_progress_refuse(&progress, progress.next - 1, 0);
        }
        uint32_t expected = 0;
        for (uint32_t n = 0; n < sent_count; n++) {
            if (sent[n] > progress.match && progress.state == KVR__RAFT_REPLICATE &&
                sent[n] < progress.next) {
                sent[expected++] = sent[n];
            }
        }
        sent_count = expected;
        cr_assert_eq(progress.inflight.count, expected, "seed 4, step %d", i);
    }
}
