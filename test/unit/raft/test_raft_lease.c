/* SPDX-License-Identifier: Apache-2.0 */
/* test_raft_lease.c: what a lease leans on, one part a test (thesis 6.4.1, FAULTS 45): promises
 * that outlive their leader and a restart, members that count only once they hold the promise, a
 * read that waits for the clock. */
#include <criterion/criterion.h>
#include <string.h>

#include "raft/raft_internal.h"
#include "raft_cluster.h"

static cluster c;

static void tune(kvr_raft_config *config)
{
    config->lease_ns = 1000 * (uint64_t)CLUSTER_MS;
}

static void start(void)
{
    cluster_init(&c);
}

static void stop(void)
{
    cluster_release(&c);
}

TestSuite(raft_lease, .init = start, .fini = stop);

static void pass(uint64_t ms)
{
    for (uint64_t i = 0; i < ms; i += 100) {
        cluster_tick(&c, UINT64_C(100) * CLUSTER_MS);
        cluster_stabilize(&c);
    }
}

static void lead(uint32_t count)
{
    cluster_add(&c, count, NULL, tune);
    cluster_elect(&c, 1);
    pass(200);
    cr_assert_neq(cluster_status(&c, 1).lease_end_ns, 0);
}

static void give(uint64_t to, const cluster_forged *forged)
{
    kvr_slice message = cluster_forge(forged);
    cr_assert_eq(kvr_raft_receive(cluster_at(&c, to)->raft, &message), KVR_OK);
    cluster_run(&c, to);
    cluster_run(&c, to);
}

/* A vote request of member 3 for `term`; true if member 2 grants it. */
static bool asks_for_vote(uint64_t term, uint16_t flags, uint64_t round)
{
    uint8_t body[KVR__RAFT_VOTE_SIZE];
    kvr__raft_message_write_vote(
        body,
        &(kvr__raft_vote){.last_index = 9, .last_term = term - 1, .flags = flags, .round = round});
    cluster_drop(&c, (cluster_filter){0});
    give(2, &(cluster_forged){3, 2, term, KVR__RAFT_VOTE, {body, sizeof body}, {NULL, 0}});
    uint32_t replies = cluster_count(&c, (cluster_filter){.from = 2, .type = KVR__RAFT_VOTE_REPLY});
    return replies > 0 && cluster_status(&c, 2).voted_for == 3;
}

/* Who learns of a higher term forgets its leader, and not what it promised it. */
Test(raft_lease, a_promise_outlives_the_leader)
{
    lead(3);
    uint8_t body[KVR__RAFT_APPEND_REPLY_SIZE];
    kvr__raft_message_write_append_reply(body, &(kvr__raft_append_reply){.flags = 1});
    cluster_isolate(&c, 1, true);
    give(2, &(cluster_forged){3, 2, 5, KVR__RAFT_APPEND_REPLY, {body, sizeof body}, {NULL, 0}});
    cr_assert_eq(cluster_status(&c, 2).term, 5);
    cr_assert_eq(cluster_status(&c, 2).leader, 0);

    cr_assert_not(asks_for_vote(6, 0, 0));
    cr_assert_eq(kvr_raft_campaign(cluster_at(&c, 2)->raft), KVR_ESTATE);
    c.now += 800 * (uint64_t)CLUSTER_MS;
    cluster_run(&c, 2);
    cr_assert_not(asks_for_vote(6, 0, 0));
    c.now += 300 * (uint64_t)CLUSTER_MS;
    cluster_run(&c, 2);
    cr_assert(asks_for_vote(6, 0, 0));
}

Test(raft_lease, a_member_that_restarts_keeps_promises_it_does_not_know)
{
    lead(3);
    cluster_isolate(&c, 1, true);
    cluster_crash(&c, 2);
    cluster_start(&c, 2);
    cluster_run(&c, 2);

    cr_assert_not(asks_for_vote(2, 0, 0));
    cr_assert_not(asks_for_vote(2, KVR__RAFT_TRANSFERRED, UINT64_MAX), "a late hand-over");
    cr_assert_eq(kvr_raft_campaign(cluster_at(&c, 2)->raft), KVR_ESTATE);
    c.now += 1000 * (uint64_t)CLUSTER_MS;
    cluster_run(&c, 2);
    cr_assert(asks_for_vote(cluster_status(&c, 2).term + 1, 0, 0));
}

/* A new group has promised nothing. One member alone does not know at a restart whether it always
 * was: who led before may hold a lease. */
Test(raft_lease, nobody_waits_without_a_promise)
{
    cluster_add(&c, 3, NULL, tune);
    cr_assert_eq(kvr_raft_campaign(cluster_at(&c, 1)->raft), KVR_OK);
    cluster_stabilize(&c);
    cr_assert_eq(cluster_leader(&c), 1);
    cluster_release(&c);

    cluster_init(&c);
    cluster_add(&c, 1, NULL, tune);
    cluster_stabilize(&c);
    cr_assert_eq(cluster_leader(&c), 1);
    cluster_crash(&c, 1);
    cluster_start(&c, 1);
    cluster_stabilize(&c);
    cr_assert_eq(cluster_leader(&c), 0);
    cluster_tick(&c, 2000 * (uint64_t)CLUSTER_MS);
    cluster_stabilize(&c);
    cr_assert_eq(cluster_leader(&c), 1);
}

/* The leader makes the other one the only voter, and is cut off before it hears that this holds: it
 * may still answer by its lease. */
Test(raft_lease, an_only_voter_keeps_its_promise_to_who_led_before)
{
    lead(2);
    kvr_member_change out = {.kind = KVR_CHANGE_DEMOTE, .member.id = 1};
    kvr_raft_changes changes = {.size = sizeof changes, .changes = &out, .change_count = 1};
    kvr_raft_proposal proposal;
    changes.flags = KVR_CHANGES_UNCHECKED;
    cr_assert_eq(kvr_raft_change(cluster_at(&c, 1)->raft, &changes, &proposal), KVR_OK);
    cluster_run_all(&c);
    cluster_deliver(&c, (cluster_filter){.to = 2});
    cluster_isolate(&c, 1, true);
    cluster_run_all(&c);
    cr_assert(kvr__raft_members_is_only_voter(cluster_at(&c, 2)->raft));
    cr_assert_neq(kvr__raft_lease_end(cluster_at(&c, 1)->raft), 0);

    cr_assert_eq(kvr_raft_campaign(cluster_at(&c, 2)->raft), KVR_ESTATE);
}

/* A vote that follows from a hand-over passes a promise only if nothing was heard since. */
Test(raft_lease, a_late_hand_over_breaks_no_promise)
{
    lead(3);
    uint64_t round = cluster_at(&c, 2)->raft->round;
    cr_assert_gt(round, 0);

    cr_assert_not(asks_for_vote(2, KVR__RAFT_TRANSFERRED, round - 1));
    cr_assert(asks_for_vote(2, KVR__RAFT_TRANSFERRED, round));
}

/* Four and five echo rounds, but their disks do not have the entry from which on they count: a
 * restart could make them forget that they promise. */
Test(raft_lease, only_who_holds_the_promise_durably_counts)
{
    cluster_add(&c, 5, NULL, tune);
    cluster_at(&c, 4)->disk.manual = true;
    cluster_at(&c, 5)->disk.manual = true;
    cluster_elect(&c, 1);
    for (int i = 0; i < 3; i++) { /* their votes are durable */
        cluster_disk_vote(&c, 4);
        cluster_disk_vote(&c, 5);
        pass(100);
    }
    cr_assert_neq(cluster_status(&c, 1).lease_end_ns, 0);
    cluster_isolate(&c, 2, true);
    cluster_isolate(&c, 3, true);
    pass(800);
    cr_assert_eq(kvr_raft_read_index(cluster_at(&c, 1)->raft, 7), KVR_OK);
    pass(200);
    cr_assert_not_null(cluster_find_read(&c, 1, 7), "their echoes confirm rounds");
    cr_assert_eq(cluster_status(&c, 1).lease_end_ns, 0, "and no lease");

    cluster_at(&c, 4)->disk.manual = false;
    cluster_at(&c, 5)->disk.manual = false;
    cluster_disk_complete(&c, 4, UINT32_MAX);
    cluster_disk_complete(&c, 5, UINT32_MAX);
    pass(300);
    cr_assert_neq(cluster_status(&c, 1).lease_end_ns, 0);
}

/* FAULTS 12: a leader that is cut off stops answering before anybody else can lead, though its
 * clock is slow and theirs are fast, within the bound. */
Test(raft_lease, within_the_bound_of_drift_no_read_is_stale)
{
    cluster_add(&c, 3, NULL, tune);
    cluster_at(&c, 1)->clock_rate = 955;
    cluster_at(&c, 2)->clock_rate = 1044;
    cluster_at(&c, 3)->clock_rate = 1044;
    cluster_elect(&c, 1);
    pass(300);
    cluster_isolate(&c, 1, true);
    kvr_raft *others[] = {cluster_at(&c, 2)->raft, cluster_at(&c, 3)->raft};
    for (uint64_t context = 1; cluster_status(&c, 2).role != KVR_ROLE_LEADER; context++) {
        (void)!kvr_raft_campaign(others[context % 2]); /* they try as early as they may */
        cluster_tick(&c, CLUSTER_MS);
        cluster_stabilize(&c);
        if (cluster_status(&c, 2).role == KVR_ROLE_LEADER ||
            cluster_status(&c, 3).role == KVR_ROLE_LEADER) {
            break;
        }
        cr_assert_lt(context, 3000);
    }
    cr_assert_eq(cluster_status(&c, 1).lease_end_ns, 0);
    kvr_status status = kvr_raft_read_lease(cluster_at(&c, 1)->raft, 99);
    cr_assert(status == KVR_OK || status == KVR_ENOLEADER);
    pass(100);
    const cluster_read *read = cluster_find_read(&c, 1, 99);
    cr_assert(read == NULL || read->status != KVR_OK);
}

/* A process that was paused has an old time in hand: a read that came since is not answered by
 * it. */
Test(raft_lease, a_read_is_answered_by_a_time_read_after_it_came)
{
    lead(3);
    kvr_raft *raft = cluster_at(&c, 1)->raft;
    cr_assert_eq(kvr_raft_read_lease(raft, 1), KVR_OK);
    cr_assert(kvr_raft_has_ready(raft));
    cluster_run(&c, 1);
    cr_assert_null(cluster_find_read(&c, 1, 1));
    cr_assert_not(kvr_raft_has_ready(raft));
    cr_assert_eq(kvr_raft_deadline(raft), c.now + 1);
    c.now += 1;
    cluster_run(&c, 1);
    const cluster_read *read = cluster_find_read(&c, 1, 1);
    cr_assert_not_null(read);
    cr_assert_eq(read->status, KVR_OK);
    cr_assert_eq(read->index, cluster_status(&c, 1).commit_index);
    cr_assert_eq(cluster_at(&c, 1)->counters.read_rounds, 0);
    cr_assert_eq(cluster_at(&c, 1)->counters.reads_by_lease, 1);
}

/* After the pause the lease is over, and the read needs a round after all. */
Test(raft_lease, a_pause_ends_the_lease)
{
    lead(3);
    kvr_raft *raft = cluster_at(&c, 1)->raft;
    cr_assert_eq(kvr_raft_read_lease(raft, 1), KVR_OK);
    c.now += 950 * (uint64_t)CLUSTER_MS;
    cluster_run(&c, 1);
    cr_assert_null(cluster_find_read(&c, 1, 1));
    cluster_stabilize(&c);
    const cluster_read *read = cluster_find_read(&c, 1, 1);
    cr_assert_not_null(read);
    cr_assert_eq(read->status, KVR_OK);
    cr_assert_eq(cluster_at(&c, 1)->counters.reads_by_lease, 0);
}

Test(raft_lease, reads_of_both_kinds_are_bounded_together)
{
    lead(3);
    kvr_raft *raft = cluster_at(&c, 1)->raft;
    uint64_t context = 0;
    while (context < KVR__RAFT_READS_MAX) {
        cr_assert_eq(kvr_raft_read_lease(raft, context++), KVR_OK);
        cr_assert_eq(kvr_raft_read_index(raft, context++), KVR_OK);
    }
    cr_assert_eq(kvr_raft_read_lease(raft, context), KVR_EBUSY);
    cr_assert_eq(kvr_raft_read_index(raft, context), KVR_EBUSY);
}
