/* SPDX-License-Identifier: Apache-2.0 */
/* test_raft_members.c: configurations as entries of the log, joint ones too: what counts as a
 * majority, and what is remembered over restarts, snapshots and truncation. Who proposes them is
 * another matter. */
#include <criterion/criterion.h>
#include <string.h>

#include "base/codec.h"
#include "base/random.h"
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

TestSuite(raft_members, .init = setup, .fini = teardown);

/* A joint configuration as an entry: `incoming` and `outgoing` are sets of ids (bits) that vote. */
static size_t forge_joint(uint8_t *out, uint64_t index, uint32_t incoming, uint32_t outgoing)
{
    kvr_member members[8];
    uint32_t count = 0;
    for (uint64_t id = 1; id <= 8; id++) {
        if (((incoming | outgoing) >> id & 1) != 0) {
            members[count++] = (kvr_member){.id = id};
        }
    }
    size_t size = cluster_forge_configuration(out, index, 1, members, count);
    uint8_t *encoded = out + KVR_ENTRY_HEADER_SIZE;
    encoded[3] = KVR__RAFT_CONFIGURATION_JOINT;
    for (uint32_t i = 0; i < count; i++) {
        uint8_t *record =
            encoded + KVR__RAFT_CONFIGURATION_HEAD + (size_t)i * KVR__RAFT_CONFIGURATION_RECORD;
        record[2] = (incoming >> members[i].id & 1) != 0 ? KVR_MEMBER_VOTER : KVR__RAFT_ROLE_NONE;
        record[3] = (outgoing >> members[i].id & 1) != 0 ? KVR_MEMBER_VOTER : KVR__RAFT_ROLE_NONE;
    }
    cluster_forge_again(out);
    return size;
}

static kvr_status receive_entries(uint64_t to, uint64_t term, kvr__raft_append append,
                                  kvr_slice entries)
{
    uint8_t body[KVR__RAFT_APPEND_SIZE];
    kvr__raft_message_write_append(body, &append);
    kvr_slice message = cluster_forge(
        &(cluster_forged){1, to, term, KVR__RAFT_APPEND, {body, sizeof body}, entries});
    return kvr_raft_receive(cluster_at(&c, to)->raft, &message);
}

static uint64_t majority_of(const uint64_t *values, uint32_t set)
{
    uint64_t best = 0;
    for (uint64_t v = 0; v <= 10; v++) {
        uint32_t have = 0;
        uint32_t all = 0;
        for (uint32_t id = 1; id <= 8; id++) {
            all += set >> id & 1;
            have += (set >> id & 1) != 0 && values[id] >= v;
        }
        best = 2 * have > all ? v : best;
    }
    return best;
}

/* Thesis 4.3, FAULTS 50: in a joint configuration agreement needs both majorities, for commits and
 * for elections. */
Test(raft_members, joint_configuration_counts_both_halves)
{
    kvr__random random;
    kvr__random_init(&random, 5);
    for (int round = 0; round < 60; round++) {
        uint32_t incoming = (uint32_t)(1 + kvr__random_below(&random, 255)) << 1 & 0x1FE;
        uint32_t outgoing = (uint32_t)(1 + kvr__random_below(&random, 255)) << 1 & 0x1FE;
        uint8_t entry[1024];
        cluster_add(&c, 3, NULL, NULL);
        size_t size = forge_joint(entry, 1, incoming, outgoing);
        cr_assert_eq(
            receive_entries(2, 1, (kvr__raft_append){.entry_count = 1}, (kvr_slice){entry, size}),
            KVR_OK);
        kvr_raft *raft = cluster_at(&c, 2)->raft;
        uint64_t values[9] = {0};
        for (uint32_t i = 0; i < raft->member_count; i++) {
            values[raft->members[i].id] = kvr__random_below(&random, 10);
            raft->members[i].progress.round = values[raft->members[i].id];
            raft->members[i].vote = (uint8_t)kvr__random_below(&random, 3);
        }

        uint64_t reached = kvr__raft_members_quorum(raft, KVR__RAFT_FIELD(round));

        uint64_t in = majority_of(values, incoming);
        uint64_t out = majority_of(values, outgoing);
        cr_assert(raft->joint);
        cr_assert_eq(reached, in < out ? in : out, "seed 5, round %d", round);
        for (uint32_t i = 0; i < raft->member_count; i++) {
            raft->members[i].progress.round = 0;
        }
        cluster_release(&c);
        cluster_init(&c);
    }
}

Test(raft_members, joint_election_is_won_in_both_halves_or_not_at_all)
{
    uint8_t entry[1024];
    cluster_add(&c, 3, NULL, NULL);
    size_t size = forge_joint(entry, 1, 0x0E, 0x38); /* 1 2 3 and 3 4 5 */
    cr_assert_eq(
        receive_entries(2, 1, (kvr__raft_append){.entry_count = 1}, (kvr_slice){entry, size}),
        KVR_OK);
    kvr_raft *raft = cluster_at(&c, 2)->raft;
    for (uint32_t i = 0; i < 5; i++) {
        raft->members[i].vote = KVR__RAFT_VOTE_PENDING;
    }
    raft->members[0].vote = KVR__RAFT_VOTE_WON;
    raft->members[1].vote = KVR__RAFT_VOTE_WON;
    cr_assert_eq(kvr__raft_members_election(raft), KVR__RAFT_VOTE_PENDING, "one half is won");

    raft->members[3].vote = KVR__RAFT_VOTE_WON;
    cr_assert_eq(kvr__raft_members_election(raft), KVR__RAFT_VOTE_PENDING);
    raft->members[2].vote = KVR__RAFT_VOTE_WON;
    cr_assert_eq(kvr__raft_members_election(raft), KVR__RAFT_VOTE_WON);
    raft->members[2].vote = KVR__RAFT_VOTE_LOST;
    raft->members[4].vote = KVR__RAFT_VOTE_LOST;
    cr_assert_eq(kvr__raft_members_election(raft), KVR__RAFT_VOTE_LOST, "one half is lost");
}

/* FAULTS 50: a configuration in the log is known again after a restart; the one given for a new
 * group is not used then. */
Test(raft_members, configuration_of_the_log_is_known_after_a_restart)
{
    const kvr_member four[] = {
        {.id = 1}, {.id = 2}, {.id = 3}, {.id = 4, .role = KVR_MEMBER_LEARNER}};
    uint8_t entry[1024];
    cluster_add(&c, 3, NULL, NULL);
    size_t size = cluster_forge_configuration(entry, 1, 1, four, 4);
    cr_assert_eq(
        receive_entries(2, 1, (kvr__raft_append){.entry_count = 1}, (kvr_slice){entry, size}),
        KVR_OK);
    cluster_run(&c, 2);
    cluster_run(&c, 2);
    cluster_drop(&c, (cluster_filter){0});
    cluster_crash(&c, 2);

    cluster_start(&c, 2);

    cr_assert_eq(cluster_at(&c, 2)->raft->member_count, 4);
    cr_assert_eq(cluster_at(&c, 2)->raft->members[3].role, KVR_MEMBER_LEARNER);
}

/* FAULTS 56: those below what is applied are forgotten, those above are kept: a snapshot asks for
 * the one at its index, and a truncation rolls back to it. */
Test(raft_members, each_configuration_is_known_from_applied_on)
{
    uint8_t entries[4096];
    size_t size = 0;
    cluster_add(&c, 3, NULL, NULL);
    for (uint32_t i = 1; i <= 6; i++) {
        kvr_member members[6] = {{.id = 1}, {.id = 2}, {.id = 3}, {.id = 4}, {.id = 5}, {.id = 6}};
        size += cluster_forge_configuration(entries + size, i, 1, members, i);
    }
    cluster_at(&c, 2)->applies_later = true;
    cr_assert_eq(receive_entries(2, 1, (kvr__raft_append){.entry_count = 6, .commit = 4},
                                 (kvr_slice){entries, size}),
                 KVR_OK);
    cluster_run(&c, 2);
    cluster_run(&c, 2); /* with the smallest portions four entries take two readies */
    kvr_raft *raft = cluster_at(&c, 2)->raft;
    cr_assert_eq(raft->configurations.count, 7);
    for (uint32_t i = 1; i <= 6; i++) {
        kvr_slice encoded;
        kvr_member member;
        cr_assert_eq(kvr_raft_configuration(raft, i, &encoded), KVR_OK);
        cr_assert_eq(kvr_configuration_member(&encoded, i - 1, &member), KVR_OK);
        cr_assert_eq(kvr_configuration_member(&encoded, i, &member), KVR_END);
    }

    cr_assert_eq(kvr_raft_applied(raft, 4), KVR_OK);

    kvr_slice encoded;
    cr_assert_eq(raft->configurations.count, 3);
    cr_assert_eq(kvr_raft_configuration(raft, 3, &encoded), KVR_ENOTFOUND);
    cr_assert_eq(kvr_raft_configuration(raft, 4, &encoded), KVR_OK);
    cluster_run(&c, 2);
    cluster_drop(&c, (cluster_filter){0});
}

/* FAULTS 50: a snapshot brings the configuration at its index to a member that had another one. */
Test(raft_members, snapshot_brings_its_configuration)
{
    cluster_add(&c, 3, NULL, NULL);
    cluster_elect(&c, 1);
    cr_assert_eq(cluster_propose(&c, 1, "a"), KVR_OK);
    cluster_stabilize(&c);
    cr_assert_eq(cluster_compact(&c, 2, 0), KVR_OK);
    cluster_stabilize(&c);
    cluster_crash(&c, 3);
    cluster_at(&c, 3)->config.member_count = 0;
    cluster_wipe(&c, 3);
    cluster_start(&c, 3);
    cr_assert_eq(cluster_at(&c, 3)->raft->member_count, 0);
    cluster_crash(&c, 1); /* its successor does not think that 3 has anything */
    for (int i = 0; i < 60; i++) {
        cluster_tick(&c, 100ULL * CLUSTER_MS);
        cluster_stabilize(&c);
    }
    cr_assert_eq(cluster_leader(&c), 2);
    cr_assert_eq(cluster_at(&c, 3)->raft->member_count, 3);
    cr_assert_str_eq(cluster_at(&c, 3)->text, "a ");
}
