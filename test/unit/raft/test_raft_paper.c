/* SPDX-License-Identifier: Apache-2.0 */
/* test_raft_paper.c: one test a claim of "In Search of an Understandable Consensus Algorithm
 * (Extended Version)" and of the thesis, with its section. Each is: arrange, act, check. */
#include <criterion/criterion.h>
#include <string.h>

#include "raft/raft_internal.h"
#include "raft_cluster.h"

static cluster c;

static void setup(void)
{
    cluster_init(&c);
}

static void teardown(void)
{
    cluster_release(&c);
}

TestSuite(raft_paper, .init = setup, .fini = teardown);

static kvr_status receive(uint64_t to, kvr_slice message)
{
    return kvr_raft_receive(cluster_at(&c, to)->raft, &message);
}

static kvr_slice vote_of(uint64_t from, uint64_t to, uint64_t term, uint64_t last_index,
                         uint64_t last_term)
{
    static uint8_t body[KVR__RAFT_VOTE_SIZE];
    kvr__raft_message_write_vote(
        body, &(kvr__raft_vote){.last_index = last_index, .last_term = last_term});
    return cluster_forge(
        &(cluster_forged){from, to, term, KVR__RAFT_VOTE, {body, sizeof body}, {NULL, 0}});
}

static kvr_slice append_of(uint64_t from, uint64_t to, uint64_t term,
                           const kvr__raft_append *append)
{
    static uint8_t body[KVR__RAFT_APPEND_SIZE];
    kvr__raft_message_write_append(body, append);
    return cluster_forge(
        &(cluster_forged){from, to, term, KVR__RAFT_APPEND, {body, sizeof body}, {NULL, 0}});
}

/* ------------------------------------------------------------------ 5.1 terms */

/* 5.1: if a server's term is smaller than the other's, it updates to the larger value; a candidate
 * or leader whose term is out of date reverts to follower. */
Test(raft_paper, a_larger_term_is_adopted_in_every_role)
{
    cluster_add(&c, 3, NULL, NULL);
    cluster_elect(&c, 1);
    cr_assert_eq(kvr_raft_campaign(cluster_at(&c, 2)->raft), KVR_OK);
    cluster_run(&c, 2);
    cr_assert_eq(cluster_status(&c, 2).role, KVR_ROLE_PRECANDIDATE);

    for (uint64_t id = 1; id <= 3; id++) {
        kvr__raft_append append = {.prev_index = 1, .prev_term = 1};
        uint64_t from = id == 1 ? 2 : 1;
        cr_assert_eq(receive(id, append_of(from, id, 5, &append)), KVR_OK);
        cr_assert_eq(cluster_status(&c, id).term, 5);
        cr_assert_eq(cluster_status(&c, id).role, KVR_ROLE_FOLLOWER);
        cr_assert_eq(cluster_status(&c, id).leader, from);
    }
    cluster_drop(&c, (cluster_filter){0});
}

/* 5.1: a request with a stale term number is rejected. */
Test(raft_paper, a_stale_term_is_rejected)
{
    cluster_add(&c, 3, NULL, NULL);
    cluster_elect(&c, 1);
    cluster_crash(&c, 1);
    cluster_tick(&c, 3000ULL * CLUSTER_MS);
    cluster_drop(&c, (cluster_filter){0});
    cluster_elect(&c, 2);
    uint64_t term = cluster_status(&c, 3).term;
    uint64_t last = cluster_status(&c, 3).last_index;

    cr_assert_eq(receive(3, append_of(1, 3, term - 1, &(kvr__raft_append){0})), KVR_OK);
    cluster_run(&c, 3);

    cr_assert_eq(cluster_status(&c, 3).leader, 2);
    cr_assert_eq(cluster_status(&c, 3).last_index, last);
    cr_assert_eq(cluster_count(&c, (cluster_filter){.from = 3, .to = 1}), 1, "and it is told so");
}

/* ------------------------------------------------------------------ 5.2 elections */

/* 5.2: when servers start up, they begin as followers. */
Test(raft_paper, members_start_as_followers)
{
    cluster_add(&c, 3, NULL, NULL);

    for (uint64_t id = 1; id <= 3; id++) {
        cr_assert_eq(cluster_status(&c, id).role, KVR_ROLE_FOLLOWER);
        cr_assert_eq(cluster_status(&c, id).term, 0);
    }
}

/* 5.2: a follower that hears nothing over an election timeout begins an election; one that hears
 * heartbeats does not. */
Test(raft_paper, silence_begins_an_election_and_heartbeats_prevent_it)
{
    cluster_add(&c, 3, NULL, NULL);
    cluster_elect(&c, 1);
    for (int i = 0; i < 50; i++) {
        cluster_tick(&c, 100ULL * CLUSTER_MS);
        cluster_stabilize(&c);
    }
    cr_assert_eq(cluster_status(&c, 2).term, 1);
    cr_assert_eq(cluster_leader(&c), 1);

    cluster_isolate(&c, 1, true);
    for (int i = 0; i < 50; i++) {
        cluster_tick(&c, 100ULL * CLUSTER_MS);
        cluster_stabilize(&c);
    }

    cr_assert_neq(cluster_leader(&c), 1);
    cr_assert_gt(cluster_status(&c, 2).term, 1);
}

/* 5.2: a candidate wins with the votes of a majority, and tells all others by heartbeats. */
Test(raft_paper, a_majority_elects_a_leader)
{
    for (uint32_t size = 1; size <= 7; size++) {
        cluster_add(&c, size, NULL, NULL);

        cluster_elect(&c, 1);

        for (uint64_t id = 1; id <= size; id++) {
            cr_assert_eq(cluster_status(&c, id).leader, 1);
        }
        cluster_release(&c);
        cluster_init(&c);
    }
}

/* 5.2: without a majority there is no leader, however long it is tried. */
Test(raft_paper, a_minority_elects_nobody)
{
    cluster_add(&c, 5, NULL, NULL);
    for (uint64_t id = 3; id <= 5; id++) {
        cluster_isolate(&c, id, true);
    }
    for (int i = 0; i < 100; i++) {
        cluster_tick(&c, 100ULL * CLUSTER_MS);
        cluster_stabilize(&c);
    }
    cr_assert_eq(cluster_leader(&c), 0);
    cr_assert_eq(cluster_status(&c, 1).term, 0, "pre-votes move no term");
}

/* 5.2: each server votes for at most one candidate in a term, first come first served; figure 2:
 * and for the same one again. */
Test(raft_paper, one_vote_a_term)
{
    cluster_add(&c, 3, NULL, NULL);

    cr_assert_eq(receive(3, vote_of(1, 3, 1, 0, 0)), KVR_OK);
    cluster_run(&c, 3);
    cr_assert_eq(receive(3, vote_of(2, 3, 1, 9, 1)), KVR_OK);
    cr_assert_eq(receive(3, vote_of(1, 3, 1, 0, 0)), KVR_OK);
    cluster_run(&c, 3);

    cr_assert_eq(cluster_status(&c, 3).voted_for, 1);
    for (uint32_t i = 0; i < c.message_count; i++) {
        kvr__raft_message message;
        kvr__raft_vote_reply reply;
        kvr_slice bytes = {c.messages[i].bytes, c.messages[i].size};
        cr_assert_eq(kvr__raft_message_read(bytes, &message), KVR_OK);
        kvr__raft_message_read_vote_reply(message.body, &reply);
        cr_assert_eq(reply.flags, c.messages[i].to == 1 ? KVR__RAFT_GRANTED : 0);
    }
    cr_assert_eq(c.message_count, 3);
}

/* 5.2: a candidate that hears from a leader of its term becomes its follower. FAULTS 13: the other
 * way round there is never a second leader in a term. */
Test(raft_paper, a_candidate_follows_the_leader_of_its_term)
{
    cluster_add(&c, 3, NULL, NULL);
    cr_assert_eq(kvr_raft_campaign(cluster_at(&c, 1)->raft), KVR_OK);
    cluster_run(&c, 1);
    cluster_deliver(&c, (cluster_filter){0});
    cluster_run(&c, 2);
    cluster_deliver(&c, (cluster_filter){0});
    cluster_run(&c, 1);
    cr_assert_eq(cluster_status(&c, 1).role, KVR_ROLE_CANDIDATE);

    cr_assert_eq(receive(1, append_of(3, 1, 1, &(kvr__raft_append){0})), KVR_OK);

    cr_assert_eq(cluster_status(&c, 1).role, KVR_ROLE_FOLLOWER);
    cr_assert_eq(cluster_status(&c, 1).leader, 3);
    cr_assert_eq(cluster_status(&c, 1).voted_for, 1, "FAULTS 1: the vote of the term stays");
    cr_assert_eq(receive(1, append_of(2, 1, 1, &(kvr__raft_append){0})), KVR_OK);
    cr_assert_eq(cluster_status(&c, 1).leader, 3);
    cr_assert_eq(cluster_status(&c, 1).bad_messages, 1, "a second leader in one term is nonsense");
    cluster_drop(&c, (cluster_filter){0});
}

/* 5.2: randomised timeouts make split votes rare and short. */
Test(raft_paper, split_votes_are_resolved)
{
    cluster_add(&c, 4, NULL, NULL);
    for (uint64_t id = 1; id <= 4; id++) {
        cr_assert_eq(kvr_raft_campaign(cluster_at(&c, id)->raft), KVR_OK);
    }
    for (int i = 0; i < 100 && cluster_leader(&c) == 0; i++) {
        cluster_stabilize(&c);
        cluster_tick(&c, 100ULL * CLUSTER_MS);
    }
    cr_assert_neq(cluster_leader(&c), 0);
    cr_assert_leq(cluster_status(&c, 1).term, 4);
}

/* ------------------------------------------------------------------ 5.3 replication */

/* 5.3: an entry is committed once a majority has it; then the leader applies it, and the others
 * follow. */
Test(raft_paper, a_replicated_entry_is_committed_and_applied_everywhere)
{
    cluster_add(&c, 3, NULL, NULL);
    cluster_elect(&c, 1);

    cr_assert_eq(cluster_propose(&c, 1, "a"), KVR_OK);
    cluster_stabilize(&c);

    for (uint64_t id = 1; id <= 3; id++) {
        cr_assert_str_eq(cluster_at(&c, id)->text, "a ");
        cr_assert_eq(cluster_status(&c, id).commit_index, 2);
    }
}

/* 5.3: nothing is committed without a majority, nor applied (FAULTS 32). */
Test(raft_paper, an_entry_on_a_minority_is_not_committed)
{
    cluster_add(&c, 5, NULL, NULL);
    cluster_elect(&c, 1);
    for (uint64_t id = 3; id <= 5; id++) {
        cluster_isolate(&c, id, true);
    }

    cr_assert_eq(cluster_propose(&c, 1, "a"), KVR_OK);
    cluster_stabilize(&c);

    cr_assert_eq(cluster_status(&c, 1).commit_index, 1);
    cr_assert_eq(cluster_status(&c, 2).last_index, 2);
    cr_assert_str_eq(cluster_at(&c, 1)->text, "");
}

/* 5.3: a leader never overwrites or deletes entries in its log; it only appends (R2). */
Test(raft_paper, a_leader_appends_only)
{
    cluster_add(&c, 3, NULL, NULL);
    cluster_elect(&c, 1);
    uint8_t entries[256];
    size_t size = 0;
    cluster_forge_entry(entries, &size, 1, 1, "other");
    uint8_t body[KVR__RAFT_APPEND_SIZE];
    kvr__raft_message_write_append(body, &(kvr__raft_append){.entry_count = 1});
    kvr_slice message = cluster_forge(
        &(cluster_forged){2, 1, 1, KVR__RAFT_APPEND, {body, sizeof body}, {entries, size}});

    cr_assert_eq(receive(1, message), KVR_OK);

    cr_assert_eq(cluster_status(&c, 1).last_index, 1);
    cr_assert_eq(cluster_status(&c, 1).role, KVR_ROLE_LEADER);
    cr_assert_eq(cluster_status(&c, 1).bad_messages, 1);
}

/* 5.3, figure 2 AppendEntries 2: refused if the log has no entry at prev_index of prev_term. Each
 * of figure 7's followers ends with the leader's log. */
Test(raft_paper, figure_7_followers_become_like_their_leader)
{
    static const char *const logs[] = {"111445566",    "1114",    "11144556666",
                                       "111445566677", "1114444", "11122233333"};
    const char *leader_log = "1114455666";
    for (size_t n = 0; n < sizeof logs / sizeof logs[0]; n++) {
        cluster_add(&c, 2, NULL, NULL);
        for (uint64_t id = 1; id <= 2; id++) {
            const char *terms = id == 1 ? leader_log : logs[n];
            cluster_disk *disk = &cluster_at(&c, id)->disk;
            cluster_crash(&c, id);
            for (uint32_t i = 0; terms[i] != '\0'; i++) {
                size_t size = 0;
                uint8_t entry[128];
                cluster_forge_entry(entry, &size, i + 1, (uint64_t)(terms[i] - '0'), "x");
                cluster_disk_put(disk, entry, size);
            }
            disk->term = 7;
            cluster_start(&c, id);
        }
        cluster_status(&c, 1);
        cr_assert_eq(kvr_raft_campaign(cluster_at(&c, 1)->raft), KVR_OK);
        cluster_stabilize(&c);
        if (cluster_status(&c, 1).role != KVR_ROLE_LEADER) { /* (c) and (d) would not vote for it */
            cr_assert_gt(strlen(logs[n]), strlen(leader_log));
        } else {
            cr_assert_eq(cluster_status(&c, 2).last_index, strlen(leader_log) + 1);
            cr_assert_eq(cluster_status(&c, 2).commit_index, strlen(leader_log) + 1);
        }
        cluster_release(&c);
        cluster_init(&c);
    }
}

/* 5.3: AppendEntries that was received before is received again without harm. */
Test(raft_paper, append_is_idempotent)
{
    cluster_add(&c, 3, NULL, NULL);
    cluster_elect(&c, 1);
    cr_assert_eq(cluster_propose(&c, 1, "a"), KVR_OK);
    cluster_run(&c, 1);
    for (int i = 0; i < 5; i++) {
        cluster_repeat(&c, (cluster_filter){.type = KVR__RAFT_APPEND, .count = 0});
    }
    cluster_stabilize(&c);

    cr_assert_str_eq(cluster_at(&c, 3)->text, "a ");
    cr_assert_eq(cluster_status(&c, 3).last_index, 2);
}

/* 5.3: the leader retries for ever until all followers store all entries, even after it has
 * answered. */
Test(raft_paper, a_follower_that_was_away_catches_up)
{
    cluster_add(&c, 3, NULL, NULL);
    cluster_elect(&c, 1);
    cluster_isolate(&c, 3, true);
    for (char command[] = "a"; command[0] <= 'z'; command[0]++) {
        cr_assert_eq(cluster_propose(&c, 1, command), KVR_OK);
        cluster_stabilize(&c);
    }
    cluster_isolate(&c, 3, false);
    for (int i = 0; i < 3; i++) {
        cluster_tick(&c, 100ULL * CLUSTER_MS);
        cluster_stabilize(&c);
    }
    cr_assert_str_eq(cluster_at(&c, 3)->text, cluster_at(&c, 1)->text);
}

/* ------------------------------------------------------------------ 5.4 safety */

/* 5.4.1: a vote is given only to a candidate whose log is at least as up to date. R12. */
Test(raft_paper, votes_go_to_logs_that_are_up_to_date)
{
    const struct {
        uint64_t last_index;
        uint64_t last_term;
        bool granted;
    } table[] = {{3, 2, true},  {4, 2, true},  {1, 3, true},
                 {2, 2, false}, {9, 1, false}, {0, 0, false}};
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        cluster_add(&c, 3, NULL, NULL);
        cluster_crash(&c, 3);
        for (uint64_t index = 1; index <= 3; index++) {
            size_t size = 0;
            uint8_t entry[128];
            cluster_forge_entry(entry, &size, index, index == 1 ? 1 : 2, "x");
            cluster_disk_put(&cluster_at(&c, 3)->disk, entry, size);
        }
        cluster_at(&c, 3)->disk.term = 2;
        cluster_start(&c, 3);

        cr_assert_eq(receive(3, vote_of(1, 3, 5, table[i].last_index, table[i].last_term)), KVR_OK);

        cr_assert_eq(cluster_status(&c, 3).voted_for, table[i].granted ? 1 : 0, "row %zu", i);
        cr_assert_eq(cluster_status(&c, 3).term, 5);
        cluster_release(&c);
        cluster_init(&c);
    }
}

/* 5.4.2: a new leader commits entries of former terms with one of its own, not before (FAULTS 17;
 * figure 8 is a script). */
Test(raft_paper, former_terms_are_committed_with_an_entry_of_the_own)
{
    cluster_add(&c, 3, NULL, NULL);
    cluster_elect(&c, 1);
    cr_assert_eq(cluster_propose(&c, 1, "a"), KVR_OK);
    cluster_run(&c, 1);
    cluster_deliver(&c, (cluster_filter){0});
    cluster_run(&c, 2);
    cluster_run(&c, 3);
    cluster_crash(&c, 1);
    cluster_drop(&c, (cluster_filter){0});
    cr_assert_eq(cluster_status(&c, 2).commit_index, 1);
    cluster_tick(&c, 3000ULL * CLUSTER_MS);
    cluster_drop(&c, (cluster_filter){0});

    cluster_elect(&c, 2);

    cr_assert_str_eq(cluster_at(&c, 2)->text, "a ");
    cr_assert_str_eq(cluster_at(&c, 3)->text, "a ");
    cr_assert_eq(cluster_status(&c, 2).commit_index, 3);
}

/* ------------------------------------------------------------------ 5.5, 5.6, 8 */

/* 5.5: a follower that crashes comes back with what it had acknowledged. */
Test(raft_paper, an_acknowledged_entry_survives_the_crash_of_all)
{
    cluster_add(&c, 3, NULL, NULL);
    cluster_elect(&c, 1);
    cr_assert_eq(cluster_propose(&c, 1, "a"), KVR_OK);
    cluster_stabilize(&c);
    for (uint64_t id = 1; id <= 3; id++) {
        cluster_crash(&c, id);
    }
    cluster_drop(&c, (cluster_filter){0});
    for (uint64_t id = 1; id <= 3; id++) {
        cluster_start(&c, id);
    }

    cluster_elect(&c, 3);

    cr_assert_str_eq(cluster_at(&c, 1)->text, "a ");
    cr_assert_geq(cluster_status(&c, 1).term, 2, "figure 2: the term is persistent");
}

/* 8: a new leader begins with an entry without effect, of its own term. */
Test(raft_paper, a_new_leader_appends_an_entry_without_effect)
{
    cluster_add(&c, 3, NULL, NULL);
    cluster_elect(&c, 1);
    kvr_entry entry;
    kvr__raft_log_entry(&cluster_at(&c, 2)->raft->log, 1, &entry);

    cr_assert_eq(entry.kind, KVR_ENTRY_NOOP);
    cr_assert_eq(entry.term, 1);
    cr_assert_eq(entry.command.size, 0);
    cr_assert_str_eq(cluster_at(&c, 2)->text, "");
}

/* Thesis 6.4: a read is answered by a leader that proved itself after the read began, at the price
 * of a round of heartbeats and no log entry; many reads share a round. */
Test(raft_paper, reads_share_a_round_and_write_nothing)
{
    cluster_add(&c, 3, NULL, NULL);
    cluster_elect(&c, 1);
    uint64_t last = cluster_status(&c, 1).last_index;
    for (uint64_t context = 1; context <= 100; context++) {
        cr_assert_eq(kvr_raft_read_index(cluster_at(&c, 1)->raft, context), KVR_OK);
    }
    cluster_run(&c, 1);
    cr_assert_eq(cluster_count(&c, (cluster_filter){.type = KVR__RAFT_HEARTBEAT}), 2);
    cr_assert_null(cluster_find_read(&c, 1, 1), "not before a quorum has answered");

    cluster_stabilize(&c);

    for (uint64_t context = 1; context <= 100; context++) {
        cr_assert_not_null(cluster_find_read(&c, 1, context));
        cr_assert_eq(cluster_find_read(&c, 1, context)->index, last);
    }
    cr_assert_eq(cluster_status(&c, 1).last_index, last);
}

/* FAULTS 12: a deposed leader that does not know it yet answers no read. */
Test(raft_paper, a_deposed_leader_answers_no_read)
{
    cluster_add(&c, 3, NULL, NULL);
    cluster_elect(&c, 1);
    cluster_isolate(&c, 1, true);
    cr_assert_eq(kvr_raft_read_index(cluster_at(&c, 1)->raft, 1), KVR_OK);
    cluster_run(&c, 1);
    cluster_drop(&c, (cluster_filter){0});
    for (int i = 0; i < 40; i++) {
        cluster_tick(&c, 100ULL * CLUSTER_MS);
        cluster_stabilize(&c);
    }
    cr_assert_not_null(cluster_find_read(&c, 1, 1));
    cr_assert_eq(cluster_find_read(&c, 1, 1)->status, KVR_ENOLEADER);
    cluster_isolate(&c, 1, false);
}

/* ------------------------------------------------------------------ 7 compaction */

/* 7: after a snapshot the log may go; what it held is still there after a restart. */
Test(raft_paper, a_snapshot_replaces_the_log_before_it)
{
    cluster_add(&c, 3, NULL, NULL);
    cluster_elect(&c, 1);
    for (char command[] = "a"; command[0] <= 'h'; command[0]++) {
        cr_assert_eq(cluster_propose(&c, 1, command), KVR_OK);
    }
    cluster_stabilize(&c);
    for (uint64_t id = 1; id <= 3; id++) {
        cr_assert_eq(cluster_compact(&c, id, 2), KVR_OK);
    }
    cluster_stabilize(&c);
    cr_assert_eq(cluster_status(&c, 1).first_index, 8);
    cr_assert_eq(cluster_at(&c, 1)->disk.first_index, 8);
    cr_assert_eq(cluster_at(&c, 1)->disk.entry_count, 2);

    cluster_crash(&c, 2);
    cluster_start(&c, 2);
    cr_assert_eq(cluster_propose(&c, 1, "i"), KVR_OK);
    cluster_stabilize(&c);

    cr_assert_str_eq(cluster_at(&c, 2)->text, "a b c d e f g h i ");
}

/* ------------------------------------------------------------------ 4 (thesis): membership */

/* Thesis 4.1: a configuration is in force from its append on, and rolled back when its entry is
 * (FAULTS 48, 56). */
Test(raft_paper, a_configuration_counts_from_its_append_and_is_rolled_back)
{
    const kvr_member four[] = {{.id = 1}, {.id = 2}, {.id = 3}, {.id = 4}};
    uint8_t entries[512];
    uint8_t body[KVR__RAFT_APPEND_SIZE];
    kvr_slice encoded;
    kvr_member member;
    cluster_add(&c, 3, NULL, NULL);
    size_t size = cluster_forge_configuration(entries, 1, 1, four, 4);
    kvr__raft_message_write_append(body, &(kvr__raft_append){.entry_count = 1});
    kvr_slice message = cluster_forge(
        &(cluster_forged){1, 2, 1, KVR__RAFT_APPEND, {body, sizeof body}, {entries, size}});

    cr_assert_eq(receive(2, message), KVR_OK);

    cr_assert_eq(kvr_raft_configuration(cluster_at(&c, 2)->raft, 1, &encoded), KVR_OK);
    cr_assert_eq(kvr_configuration_member(&encoded, 3, &member), KVR_OK);
    cr_assert_eq(member.id, 4);
    cr_assert_eq(cluster_at(&c, 2)->raft->member_count, 4);

    size = 0;
    cluster_forge_entry(entries, &size, 1, 2, "another");
    message = cluster_forge(
        &(cluster_forged){3, 2, 2, KVR__RAFT_APPEND, {body, sizeof body}, {entries, size}});
    cr_assert_eq(receive(2, message), KVR_OK);

    cr_assert_eq(kvr_raft_configuration(cluster_at(&c, 2)->raft, 1, &encoded), KVR_OK);
    cr_assert_eq(kvr_configuration_member(&encoded, 3, &member), KVR_END);
    cr_assert_eq(cluster_at(&c, 2)->raft->member_count, 3);
}

/* Thesis 4.1: servers process requests of members that are not in their own configuration: a member
 * that joins knows nobody. */
Test(raft_paper, a_member_without_a_configuration_follows_whoever_leads)
{
    cluster_add(&c, 3, NULL, NULL);
    cluster_elect(&c, 1);
    cluster_crash(&c, 3);
    cluster_at(&c, 3)->config.member_count = 0;
    cluster_disk_keep(&cluster_at(&c, 3)->disk, 0);
    cluster_start(&c, 3);
    cr_assert_eq(cluster_status(&c, 3).member_role, 255);
    cr_assert_eq(kvr_raft_campaign(cluster_at(&c, 3)->raft), KVR_ESTATE);
    for (int i = 0; i < 3; i++) {
        cluster_tick(&c, 100ULL * CLUSTER_MS);
        cluster_run_all(&c);
        cluster_deliver(&c, (cluster_filter){0});
    }
    cr_assert_eq(cluster_status(&c, 3).leader, 1);
}
