/* SPDX-License-Identifier: Apache-2.0 */
/* test_raft_faults.c: bugs that other implementations shipped, by their number in the catalogue of
 * faults; those that are not scripts (testdata) or tests of one part (quorum, log, progress,
 * message, storage). */
#include <criterion/criterion.h>
#include <string.h>

#include "raft/raft_internal.h"
#include "raft_cluster.h"
#include "support/fault_sweep.h"

static cluster c;

static void setup(void)
{
    cluster_init(&c);
}

static void teardown(void)
{
    cluster_release(&c);
}

TestSuite(raft_faults, .init = setup, .fini = teardown);

static kvr_status receive_append(uint64_t to, uint64_t term, kvr__raft_append append,
                                 kvr_slice entries)
{
    uint8_t body[KVR__RAFT_APPEND_SIZE];
    kvr__raft_message_write_append(body, &append);
    kvr_slice message = cluster_forge(
        &(cluster_forged){1, to, term, KVR__RAFT_APPEND, {body, sizeof body}, entries});
    return kvr_raft_receive(cluster_at(&c, to)->raft, &message);
}

/* FAULTS 8, 53: a leader that hears its quorum, or who hears a leader, gives neither votes nor
 * pre-votes, and keeps its term. */
Test(raft_faults, a_leader_does_not_vote_for_another)
{
    uint8_t body[KVR__RAFT_VOTE_SIZE];
    cluster_add(&c, 3, NULL, NULL);
    cluster_elect(&c, 1);
    kvr__raft_message_write_vote(body, &(kvr__raft_vote){.last_index = 99, .last_term = 1});
    for (uint64_t to = 1; to <= 2; to++) { /* 2 is a follower that hears it */
        for (uint32_t type = KVR__RAFT_PREVOTE; type <= KVR__RAFT_VOTE; type += 2) {
            kvr_slice message = cluster_forge(
                &(cluster_forged){3, to, 9, (uint8_t)type, {body, sizeof body}, {NULL, 0}});
            cr_assert_eq(kvr_raft_receive(cluster_at(&c, to)->raft, &message), KVR_OK);
            cluster_run(&c, to);
        }
        cr_assert_eq(cluster_status(&c, to).term, 1);
        cr_assert_eq(cluster_status(&c, to).voted_for, 1);
    }
    cr_assert_eq(c.message_count, 0, "and says nothing");
    cr_assert_eq(cluster_leader(&c), 1);
}

/* FAULTS 18: a follower commits what the message proved to match, not all that the leader has
 * committed: its own tail may be another. */
Test(raft_faults, a_follower_commits_only_what_it_verified)
{
    uint8_t entries[1024];
    size_t size = 0;
    cluster_add(&c, 3, NULL, NULL);
    for (uint64_t i = 1; i <= 5; i++) {
        cluster_forge_entry(entries, &size, i, 1, "old");
    }
    cr_assert_eq(
        receive_append(2, 1, (kvr__raft_append){.entry_count = 5}, (kvr_slice){entries, size}),
        KVR_OK);
    cluster_run(&c, 2);

    /* A leader of term 2 proves index 2 and says that 5 is committed. */
    cr_assert_eq(receive_append(2, 2,
                                (kvr__raft_append){.prev_index = 2, .prev_term = 1, .commit = 5},
                                (kvr_slice){NULL, 0}),
                 KVR_OK);

    cr_assert_eq(cluster_status(&c, 2).commit_index, 2);
    cr_assert_eq(cluster_status(&c, 2).last_index, 5, "nothing contradicts the tail yet");
    cluster_run(&c, 2);
    cluster_drop(&c, (cluster_filter){0});
}

/* FAULTS 19: an older message with a lower commit index does not lower it. */
Test(raft_faults, commit_never_goes_back)
{
    uint8_t entries[1024];
    size_t size = 0;
    cluster_add(&c, 3, NULL, NULL);
    for (uint64_t i = 1; i <= 5; i++) {
        cluster_forge_entry(entries, &size, i, 1, "x");
    }
    kvr__raft_append append = {.entry_count = 5, .commit = 5};
    cr_assert_eq(receive_append(2, 1, append, (kvr_slice){entries, size}), KVR_OK);
    append.commit = 3;

    cr_assert_eq(receive_append(2, 1, append, (kvr_slice){entries, size}), KVR_OK);

    cr_assert_eq(cluster_status(&c, 2).commit_index, 5);
    cluster_run(&c, 2);
    cluster_drop(&c, (cluster_filter){0});
}

/* FAULTS 26: a shorter append of a new leader, all of which is there: what it does not speak of may
 * be committed, and stays. */
Test(raft_faults, an_append_cuts_nothing_that_matches)
{
    uint8_t entries[1024];
    size_t size = 0;
    size_t sizes[6] = {0};
    cluster_add(&c, 3, NULL, NULL);
    for (uint64_t i = 1; i <= 5; i++) {
        cluster_forge_entry(entries, &size, i, 1, "old");
        sizes[i] = size;
    }
    kvr__raft_append append = {.entry_count = 5};
    cr_assert_eq(receive_append(2, 1, append, (kvr_slice){entries, size}), KVR_OK);
    cluster_run(&c, 2); /* its term, */
    cluster_run(&c, 2); /* then its entries become durable */

    append = (kvr__raft_append){.prev_index = 1, .prev_term = 1, .entry_count = 2};
    kvr_slice two = {entries + sizes[1], sizes[3] - sizes[1]};
    cr_assert_eq(receive_append(2, 2, append, two), KVR_OK);

    cr_assert_eq(cluster_status(&c, 2).last_index, 5);
    cr_assert_eq(cluster_status(&c, 2).durable_index, 5);
    cluster_run(&c, 2);
    cluster_drop(&c, (cluster_filter){0});
}

/* FAULTS 22, 24, 25: an old append that begins below the first entry. What is gone was committed,
 * so it is answered with what is there; no term is looked up below the log. */
Test(raft_faults, an_append_from_below_the_log_changes_nothing)
{
    cluster_add(&c, 3, NULL, NULL);
    cluster_elect(&c, 1);
    for (int i = 0; i < 6; i++) {
        cr_assert_eq(cluster_propose(&c, 1, "x"), KVR_OK);
    }
    cluster_stabilize(&c);
    cr_assert_eq(cluster_compact(&c, 3, 2), KVR_OK);
    cluster_stabilize(&c);
    cr_assert_eq(cluster_status(&c, 3).first_index, 6);
    for (uint64_t prev = 0; prev < 7; prev++) {
        uint8_t entries[1024];
        size_t size = 0;
        for (uint64_t i = prev + 1; i <= 7; i++) {
            cluster_forge_entry(entries, &size, i, 1, "x");
            kvr__raft_append append = {.prev_index = prev,
                                       .prev_term = prev == 0 ? 0 : 1,
                                       .entry_count = (uint32_t)(i - prev),
                                       .commit = 3};
            cr_assert_eq(receive_append(3, 1, append, (kvr_slice){entries, size}), KVR_OK);
            cr_assert_eq(cluster_status(&c, 3).last_index, 7);
            cr_assert_eq(cluster_status(&c, 3).durable_index, 7);
            cr_assert_eq(cluster_status(&c, 3).commit_index, 7);
        }
    }
    cluster_run(&c, 3);
    cr_assert_eq(cluster_count(&c, (cluster_filter){.to = 1, .type = KVR__RAFT_APPEND_REPLY}), 1);
    cluster_drop(&c, (cluster_filter){0});
}

/* FAULTS 60: a snapshot of an entry that the log holds and does not know to be committed: now it
 * does, and nothing is cut. */
Test(raft_faults, a_snapshot_cuts_no_log_that_holds_its_entry)
{
    const kvr_member members[] = {{.id = 1}, {.id = 2}, {.id = 3}};
    uint8_t entries[1024];
    uint8_t tail[256];
    uint8_t body[KVR__RAFT_SNAPSHOT_SIZE];
    size_t size = 0;
    cluster_add(&c, 3, NULL, NULL);
    for (uint64_t i = 1; i <= 5; i++) {
        cluster_forge_entry(entries, &size, i, 1, "x");
    }
    kvr__raft_append append = {.entry_count = 5};
    cr_assert_eq(receive_append(2, 1, append, (kvr_slice){entries, size}), KVR_OK);
    cluster_run(&c, 2);
    cluster_run(&c, 2);
    size = kvr__raft_configuration_size(members, 3);
    kvr__raft_configuration_write(tail, members, 3);
    kvr__raft_snapshot_chunk chunk = {.meta = {.index = 3, .term = 1, .bytes = 1},
                                      .configuration_size = (uint32_t)size,
                                      .flags = KVR__RAFT_LAST_CHUNK};
    kvr__raft_message_write_snapshot(body, &chunk);
    tail[size] = 'x';
    kvr_slice message = cluster_forge(
        &(cluster_forged){1, 2, 1, KVR__RAFT_SNAPSHOT, {body, sizeof body}, {tail, size + 1}});

    cr_assert_eq(kvr_raft_receive(cluster_at(&c, 2)->raft, &message), KVR_OK);

    cr_assert_not(cluster_at(&c, 2)->raft->incoming.active);
    cr_assert_eq(cluster_status(&c, 2).commit_index, 3);
    cr_assert_eq(cluster_status(&c, 2).last_index, 5);
    cluster_run(&c, 2);
    cluster_drop(&c, (cluster_filter){0});
}

/* FAULTS 27: entries that are not contiguous, descend in term, or are of the future have no effect
 * at all. */
Test(raft_faults, unsound_entries_have_no_effect)
{
    const struct {
        uint64_t first[2], terms[2];
        uint64_t prev_index, prev_term;
        uint32_t count;
        bool sound;
    } table[] = {
        {{1, 2}, {1, 1}, 0, 0, 2, true},
        {{1, 3}, {1, 1}, 0, 0, 2, false},
        {{2, 3}, {1, 1}, 0, 0, 2, false},
        {{1, 1}, {1, 1}, 0, 0, 2, false},
        {{1, 2}, {2, 1}, 0, 0, 2, false},
        {{1, 2}, {1, 4}, 0, 0, 2, false},
        {{1, 2}, {0, 1}, 0, 0, 2, false},
        {{1, 2}, {1, 1}, 0, 0, 1, false},
        {{1, 2}, {1, 1}, 0, 0, 3, false},
        {{1, 2}, {1, 1}, 0, 1, 2, false},
        {{2, 3}, {1, 1}, 1, 0, 2, false},
        {{2, 3}, {1, 1}, 1, 2, 2, false},
        {{UINT64_MAX, 0}, {1, 1}, UINT64_MAX - 1, 1, 2, false},
    };
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        uint8_t entries[512];
        size_t size = 0;
        cluster_add(&c, 3, NULL, NULL);
        cluster_forge_entry(entries, &size, table[i].first[0], table[i].terms[0], "a");
        cluster_forge_entry(entries, &size, table[i].first[1], table[i].terms[1], "b");
        kvr__raft_append append = {.prev_index = table[i].prev_index,
                                   .prev_term = table[i].prev_term,
                                   .entry_count = table[i].count};

        kvr_status status = receive_append(2, 3, append, (kvr_slice){entries, size});

        cr_assert_eq(status, table[i].sound ? KVR_OK : KVR_ECORRUPT, "row %zu", i);
        cr_assert_eq(cluster_status(&c, 2).last_index, table[i].sound ? 2 : 0, "row %zu", i);
        cr_assert_eq(cluster_status(&c, 2).term, table[i].sound ? 3 : 0, "row %zu", i);
        cluster_release(&c);
        cluster_init(&c);
    }
}

/* FAULTS 27, 38: whatever the sizes, what the leader packs is contiguous and within its limit, or
 * one entry. */
Test(raft_faults, appends_are_packed_contiguously_within_the_limit)
{
    static char command[5000];
    cluster_add(&c, 2, NULL, NULL);
    cluster_elect(&c, 1);
    cluster_at(&c, 1)->raft->config.message_bytes_max = 2000;
    cluster_isolate(&c, 2, true);
    for (int i = 0; i < 200; i++) {
        size_t size = (size_t)(i * i * 37 % (i % 20 == 0 ? 4000 : 300));
        memset(command, 'x', size);
        command[size] = '\0';
        cr_assert_eq(cluster_propose(&c, 1, command), KVR_OK);
    }
    cluster_run(&c, 1);
    uint64_t next = 2;
    for (uint32_t i = 0; i < c.message_count; i++) {
        kvr__raft_message message;
        kvr__raft_append append;
        cr_assert_eq(
            kvr__raft_message_read((kvr_slice){c.messages[i].bytes, c.messages[i].size}, &message),
            KVR_OK);
        if (message.head.type != KVR__RAFT_APPEND) {
            continue;
        }
        kvr__raft_message_read_append(message.body, &append);
        cr_assert_eq(append.prev_index + 1, next);
        cr_assert(message.tail.size <= 2000 || append.entry_count == 1);
        cr_assert_gt(append.entry_count, 0);
        next += append.entry_count;
    }
    cr_assert_eq(next, 202);
    cluster_drop(&c, (cluster_filter){0});
}

/* FAULTS 34: a window that was full when its messages were lost opens again. */
Test(raft_faults, a_full_window_that_was_lost_opens_again)
{
    cluster_add(&c, 3, NULL, NULL);
    cluster_elect(&c, 1);
    cluster_at(&c, 1)->raft->config.inflight_messages_max = 2;
    cluster_isolate(&c, 3, true);
    for (int i = 0; i < 5; i++) {
        cr_assert_eq(cluster_propose(&c, 1, "x"), KVR_OK);
        cluster_stabilize(&c);
    }
    cr_assert_eq(cluster_progress(&c, 1, 3).next, 4, "two are under way");
    cluster_isolate(&c, 3, false);
    for (int i = 0; i < 3; i++) {
        cluster_tick(&c, 100ULL * CLUSTER_MS);
        cluster_stabilize(&c);
    }
    cr_assert_eq(cluster_progress(&c, 1, 3).match, 6);
    cr_assert_eq(cluster_status(&c, 3).commit_index, 6);
}

/* FAULTS 35: no memory for one follower's message: the others are served in the same round, and it
 * in the next. */
Test(raft_faults, one_message_that_cannot_be_made_does_not_stop_the_others)
{
    static char big[20000];
    memset(big, 'x', sizeof big - 1);
    cluster_add(&c, 5, NULL, NULL);
    cluster_elect(&c, 1);
    for (uint64_t nth = 1; nth <= 4; nth++) {
        cr_assert_eq(cluster_propose(&c, 1, big), KVR_OK);
        fault_arm(FAULT_ALLOC, nth, false);
        cluster_run(&c, 1);
        if (nth == 1) { /* the first one's message found no memory */
            cr_assert_eq(cluster_at(&c, 1)->raft->outbox.count, 3);
        }
        fault_disarm();
        cluster_run(&c, 1);
        for (uint64_t to = 2; to <= 5; to++) {
            cr_assert_eq(cluster_count(&c, (cluster_filter){.to = to, .type = KVR__RAFT_APPEND}),
                         1);
        }
        cluster_stabilize(&c);
    }
}

/* FAULTS 41: heartbeats of a new term confirm nothing before an entry of that term is committed;
 * and a round of an earlier leadership of the same member confirms nothing in a later one. */
Test(raft_faults, rounds_do_not_outlive_a_term)
{
    cluster_add(&c, 3, NULL, NULL);
    cluster_elect(&c, 1);
    cr_assert_eq(kvr_raft_read_index(cluster_at(&c, 1)->raft, 1), KVR_OK);
    cluster_run(&c, 1);
    cluster_deliver(&c, (cluster_filter){.to = 2});
    cluster_run(&c, 2);
    cr_assert_eq(cluster_count(&c, (cluster_filter){.from = 2}), 1);
    cluster_message late = c.messages[c.message_count - 1];
    kvr_slice kept = {late.bytes, late.size};
    uint8_t copy[256];
    memcpy(copy, kept.data, kept.size);
    kept.data = copy;
    cluster_drop(&c, (cluster_filter){0});
    cluster_isolate(&c, 1, true);
    for (int i = 0; i < 30; i++) {
        cluster_tick(&c, 100ULL * CLUSTER_MS);
        cluster_stabilize(&c);
    }
    cluster_isolate(&c, 1, false);
    for (int i = 0; i < 5; i++) {
        cluster_tick(&c, 100ULL * CLUSTER_MS);
        cluster_stabilize(&c);
    }
    cluster_tick(&c, 4000ULL * CLUSTER_MS);
    cluster_drop(&c, (cluster_filter){0});
    cluster_elect(&c, 1);
    cr_assert_eq(kvr_raft_read_index(cluster_at(&c, 1)->raft, 2), KVR_OK);
    cluster_run(&c, 1);

    cr_assert_eq(kvr_raft_receive(cluster_at(&c, 1)->raft, &kept), KVR_OK);
    cluster_run(&c, 1);

    cr_assert_null(cluster_find_read(&c, 1, 2));
    cluster_stabilize(&c);
    cr_assert_not_null(cluster_find_read(&c, 1, 2));
}

/* FAULTS 147: a configuration entry from a peer that is none does not get in. */
Test(raft_faults, a_malformed_configuration_entry_is_refused)
{
    const kvr_member learners[] = {{.id = 1, .role = KVR_MEMBER_LEARNER}};
    uint8_t entries[256];
    cluster_add(&c, 3, NULL, NULL);
    size_t size = cluster_forge_configuration(entries, 1, 1, learners, 1);

    cr_assert_eq(
        receive_append(2, 1, (kvr__raft_append){.entry_count = 1}, (kvr_slice){entries, size}),
        KVR_ECORRUPT);

    cr_assert_eq(cluster_status(&c, 2).last_index, 0);
    cr_assert_eq(cluster_at(&c, 2)->raft->member_count, 3);
}

/* A message that says less than it has, or more: the entries must fill the tail exactly. */
Test(raft_faults, entries_that_are_cut_or_followed_by_more_are_refused)
{
    uint8_t entries[256];
    size_t size = 0;
    cluster_add(&c, 3, NULL, NULL);
    cluster_forge_entry(entries, &size, 1, 1, "abc");
    for (size_t cut = 0; cut < size; cut++) {
        cr_assert_eq(
            receive_append(2, 1, (kvr__raft_append){.entry_count = 1}, (kvr_slice){entries, cut}),
            KVR_ECORRUPT, "%zu bytes", cut);
    }
    entries[size] = 0;
    cr_assert_eq(
        receive_append(2, 1, (kvr__raft_append){.entry_count = 1}, (kvr_slice){entries, size + 1}),
        KVR_ECORRUPT);
    for (size_t at = 0; at < size; at++) {
        entries[at] ^= 16;
        cr_assert_eq(
            receive_append(2, 1, (kvr__raft_append){.entry_count = 1}, (kvr_slice){entries, size}),
            KVR_ECORRUPT, "byte %zu", at);
        entries[at] ^= 16;
    }
    cr_assert_eq(cluster_status(&c, 2).last_index, 0);
    cr_assert_eq(
        receive_append(2, 1, (kvr__raft_append){.entry_count = 1}, (kvr_slice){entries, size}),
        KVR_OK);
    cluster_run(&c, 2);
    cluster_drop(&c, (cluster_filter){0});
}
