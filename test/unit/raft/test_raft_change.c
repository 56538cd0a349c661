/* SPDX-License-Identifier: Apache-2.0 */
/* test_raft_change.c: changes of the members where a script says too little: what each kind of
 * change leaves alone, truth tables, damaged requests, memory that lacks. The stories are
 * testdata/change_*.txt. */
#include <criterion/criterion.h>
#include <string.h>

#include "base/random.h"
#include "raft/raft_draft.h"
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

TestSuite(raft_change, .init = setup, .fini = teardown);

/* ------------------------------------------------------------------ drafts */

static uint8_t encoded[1 << 16];

static void draft_of(kvr__raft_draft *draft, const kvr_member *members, uint32_t count)
{
    size_t size = kvr__raft_configuration_size(members, count);
    kvr__raft_configuration_write(encoded, members, count);
    kvr__raft_draft_read(draft, (kvr_slice){encoded, size});
}

static bool same_record(const kvr__raft_record *a, const kvr__raft_record *b)
{
    return a->id == b->id && a->role == b->role && a->flags == b->flags &&
           a->attributes.size == b->attributes.size &&
           (a->attributes.size == 0 ||
            memcmp(a->attributes.data, b->attributes.data, a->attributes.size) == 0);
}

/* FAULTS 52: an operation changes what it names and nothing else; an update promotes nobody. */
Test(raft_change, each_kind_touches_its_own_fields_of_its_own_member)
{
    static const kvr_member members[] = {
        {.id = 1, .attributes = {(const uint8_t *)"one", 3}},
        {.id = 4, .role = KVR_MEMBER_LEARNER, .flags = KVR_MEMBER_PROMOTE},
        {.id = 5, .role = KVR_MEMBER_WITNESS, .attributes = {(const uint8_t *)"w", 1}},
        {.id = 9, .role = KVR_MEMBER_LEARNER, .attributes = {(const uint8_t *)"x", 1}}};
    kvr__random random;
    kvr__random_init(&random, 52);
    for (int round = 0; round < 2000; round++) {
        kvr__raft_draft before;
        kvr__raft_draft after;
        draft_of(&before, members, 4);
        after = before;
        kvr_member_change change = {.kind = (uint8_t)(2 + kvr__random_below(&random, 4)),
                                    .member = {.id = 1 + kvr__random_below(&random, 10),
                                               .role = (uint8_t)kvr__random_below(&random, 4),
                                               .flags = (uint8_t)kvr__random_below(&random, 2),
                                               .attributes = {(const uint8_t *)"new", 3}}};

        kvr_status status = kvr__raft_draft_change(&after, &change);

        cr_assert_eq(after.head.highest_id, 9);
        cr_assert_eq(after.head.count, 4);
        for (uint32_t i = 0; i < 4; i++) {
            kvr__raft_record want = before.records[i];
            cr_assert_eq(after.records[i].role_outgoing, want.role_outgoing);
            if (want.id == change.member.id && status == KVR_OK) {
                want.role = change.kind == KVR_CHANGE_PROMOTE  ? KVR_MEMBER_VOTER
                            : change.kind == KVR_CHANGE_DEMOTE ? KVR_MEMBER_LEARNER
                            : change.kind == KVR_CHANGE_REMOVE ? KVR__RAFT_ROLE_NONE
                                                               : want.role;
                want.flags = change.kind == KVR_CHANGE_PROMOTE ? 0 : want.flags;
                if (change.kind == KVR_CHANGE_UPDATE) {
                    want.attributes = change.member.attributes;
                }
            }
            cr_assert(same_record(&after.records[i], &want), "round %d, seed 52", round);
        }
    }
}

Test(raft_change, a_new_voter_is_a_learner_first)
{
    static const kvr_member members[] = {{.id = 1}};
    kvr__raft_draft draft;
    draft_of(&draft, members, 1);
    kvr_member_change voter = {.kind = KVR_CHANGE_ADD, .member = {.id = 7}};
    kvr_member_change next = {.kind = KVR_CHANGE_ADD, .member = {.role = KVR_MEMBER_WITNESS}};
    kvr_member_change strange = {.kind = KVR_CHANGE_ADD, .member = {.id = 20, .role = 3}};
    kvr_member_change none = {.kind = 6, .member = {.id = 1}};

    cr_assert_eq(kvr__raft_draft_change(&draft, &voter), KVR_OK);
    cr_assert_eq(kvr__raft_draft_change(&draft, &next), KVR_OK);
    cr_assert_eq(kvr__raft_draft_change(&draft, &strange), KVR_EINVAL);
    cr_assert_eq(kvr__raft_draft_change(&draft, &none), KVR_EINVAL);

    cr_assert_eq(draft.head.count, 3);
    cr_assert_eq(draft.records[1].role, KVR_MEMBER_LEARNER);
    cr_assert_eq(draft.records[1].flags, KVR_MEMBER_PROMOTE);
    cr_assert_eq(draft.records[2].id, 8);
    cr_assert_eq(kvr__raft_draft_moved(&draft), 1, "the witness's vote alone comes");
    cr_assert_eq(kvr__raft_draft_copies(&draft), 2);
}

Test(raft_change, what_is_written_is_what_verifies)
{
    static const kvr_member members[] = {{.id = 1}, {.id = 2}, {.id = 3}};
    kvr__raft_draft draft;
    draft_of(&draft, members, 3);
    kvr_member_change remove = {.kind = KVR_CHANGE_REMOVE, .member = {.id = 1}};
    kvr_member_change add = {.kind = KVR_CHANGE_ADD, .member = {.role = KVR_MEMBER_WITNESS}};
    uint8_t out[512];
    uint32_t count = 0;
    cr_assert_eq(kvr__raft_draft_change(&draft, &remove), KVR_OK);
    cr_assert_eq(kvr__raft_draft_change(&draft, &add), KVR_OK);

    draft.head.flags = KVR__RAFT_CONFIGURATION_JOINT;
    draft.head.context[2] = 33;
    kvr_slice joint = {out, kvr__raft_draft_size(&draft, true)};
    kvr__raft_draft_write(&draft, true, out);
    cr_assert_eq(kvr__raft_configuration_verify(joint, &count), KVR_OK);
    cr_assert_eq(count, 4);
    kvr__raft_draft after;
    kvr__raft_draft_leave(&after, joint);
    uint8_t left[512];
    kvr_slice simple = {left, kvr__raft_draft_size(&after, false)};
    kvr__raft_draft_write(&after, false, left);
    kvr_member member;
    uint64_t context[3];

    cr_assert_eq(kvr__raft_configuration_verify(simple, &count), KVR_OK);
    cr_assert_eq(count, 3);
    cr_assert(!kvr__raft_configuration_is_joint(simple));
    cr_assert_eq(kvr_configuration_member(&simple, 0, &member), KVR_OK);
    cr_assert_eq(member.id, 2);
    kvr_configuration_context(&simple, context);
    cr_assert_eq(context[2], 33, "who asked is told when it is done");
}

/* ------------------------------------------------------------------ the strict check */

/* FAULTS 58: of n voters with u up, after the change: allowed if u of them are a majority. */
Test(raft_change, strict_check_counts_those_who_will_vote)
{
    for (uint32_t voters = 1; voters <= 5; voters++) {
        for (uint32_t down = 0; down <= (voters - 1) / 2; down++) {
            for (int adds = 0; adds < 2; adds++) {
                cluster_add(&c, voters, NULL, NULL);
                cluster_elect(&c, 1);
                for (uint32_t i = 0; i < down; i++) {
                    cluster_isolate(&c, voters - i, true);
                }
                for (int i = 0; i < 20; i++) {
                    cluster_tick(&c, UINT64_C(100) * CLUSTER_MS);
                    cluster_stabilize(&c);
                }
                uint32_t after = adds != 0 ? voters + 1 : voters - 1;
                uint32_t up = voters - down - (adds != 0 ? 0 : 1); /* one that is up is removed */
                bool fine = after > 0 && up >= after / 2 + 1;

                kvr_status status =
                    adds != 0 ? cluster_change_one(&c, 1, KVR_CHANGE_ADD, 0, KVR_MEMBER_WITNESS)
                              : cluster_change_one(&c, 1, KVR_CHANGE_REMOVE, 1, 0);

                cr_assert_eq(status, fine ? KVR_OK : KVR_EQUORUM, "%u voters, %u down, %s: %s",
                             voters, down, adds != 0 ? "one more" : "one less",
                             kvr_status_name(status));
                cluster_release(&c);
                cluster_init(&c);
            }
        }
    }
}

/* ------------------------------------------------------------------ the door */

Test(raft_change, a_request_that_makes_no_sense_changes_nothing)
{
    cluster_add(&c, 3, NULL, NULL);
    kvr_raft_proposal proposal;
    kvr_member_change remove = {.kind = KVR_CHANGE_REMOVE, .member = {.id = 3}};
    kvr_raft_changes good = {.size = sizeof good, .change_count = 1, .changes = &remove};
    kvr_raft *raft = cluster_at(&c, 1)->raft;
    cr_assert_eq(kvr_raft_change(raft, &good, &proposal), KVR_ENOLEADER);
    cluster_elect(&c, 1);
    kvr_raft_changes bad[] = {good, good, good, good, good};
    bad[0].size = 8;
    bad[1].flags = 1u << 20;
    bad[2].change_count = 0;
    bad[3].changes = NULL;
    bad[4].flags = KVR_CHANGES_LEAVE;

    for (uint32_t i = 0; i < 5; i++) {
        cr_assert_eq(kvr_raft_change(raft, &bad[i], &proposal), KVR_EINVAL, "%u", i);
    }

    cr_assert_eq(cluster_status(&c, 1).configuration_index, 0);
    cr_assert_eq(kvr_raft_change(raft, &good, &proposal), KVR_OK);
    cr_assert_eq(proposal.index, 2);
}

Test(raft_change, more_than_64_members_and_long_attributes_are_refused)
{
    static uint8_t long_bytes[KVR__RAFT_ATTRIBUTES_MAX + 1];
    kvr_member_change changes[64];
    cluster_add(&c, 1, NULL, NULL);
    cluster_elect(&c, 1);
    for (uint32_t i = 0; i < 64; i++) {
        changes[i] =
            (kvr_member_change){.kind = KVR_CHANGE_ADD, .member = {.role = KVR_MEMBER_LEARNER}};
    }
    kvr_member_change update = {.kind = KVR_CHANGE_UPDATE,
                                .member = {.id = 1, .attributes = {long_bytes, sizeof long_bytes}}};

    cr_assert_eq(cluster_change(&c, 1, 0, changes, 64), KVR_ETOOBIG);
    cr_assert_eq(cluster_change(&c, 1, 0, &update, 1), KVR_ETOOBIG);

    update.member.attributes.size--;
    cr_assert_eq(cluster_change(&c, 1, 0, &update, 1), KVR_OK);
    cluster_stabilize(&c);
    cr_assert_eq(cluster_change(&c, 1, 0, changes, 63), KVR_OK);
    cluster_stabilize(&c);
    cr_assert_eq(cluster_at(&c, 1)->raft->member_count, 64);
}

/* FAULTS 49: leaving a joint configuration asks for no room among what is uncommitted. */
static void little_uncommitted(kvr_raft_config *config)
{
    config->command_bytes_max = 1024;
    config->uncommitted_bytes_max = 1200;
}

Test(raft_change, joint_configuration_is_left_though_proposals_are_refused)
{
    char big[900];
    memset(big, 'b', sizeof big - 1);
    big[sizeof big - 1] = '\0';
    cluster_add(&c, 3, NULL, little_uncommitted);
    cluster_elect(&c, 1);
    cr_assert_eq(
        cluster_change(&c, 1, KVR_CHANGES_JOINT,
                       &(kvr_member_change){.kind = KVR_CHANGE_DEMOTE, .member = {.id = 3}}, 1),
        KVR_OK);
    cr_assert_eq(cluster_propose(&c, 1, big), KVR_OK);
    cr_assert_eq(cluster_propose(&c, 1, big), KVR_EBUSY);
    cluster_stabilize(&c);

    cr_assert_eq(cluster_status(&c, 2).joint, 0);
    cr_assert_eq(cluster_status(&c, 2).configuration_index, 4);
    cr_assert_eq(cluster_status(&c, 3).member_role, KVR_MEMBER_LEARNER);
}

static uint64_t index_before;

static void prepare_change(void)
{
    cluster_init(&c);
    cluster_add(&c, 3, NULL, NULL);
    cluster_elect(&c, 1);
    index_before = cluster_status(&c, 1).last_index;
}

static kvr_status replace(void)
{
    kvr_member_change changes[] = {
        {.kind = KVR_CHANGE_ADD,
         .member = {.role = KVR_MEMBER_WITNESS, .attributes = {encoded, 40000}}},
        {.kind = KVR_CHANGE_REMOVE, .member = {.id = 3}}};
    return cluster_change(&c, 1, 0, changes, 2);
}

static void change_with_faults(void)
{
    if (replace() != KVR_OK) {
        cr_assert_eq(cluster_status(&c, 1).last_index, index_before, "%s", fault_text());
        cr_assert_eq(cluster_status(&c, 1).configuration_index, 0);
    }
    for (int i = 0; i < 20; i++) {
        cluster_run_all(&c);
        cluster_deliver(&c, (cluster_filter){0});
    }
}

static void check_change(void)
{
    if (cluster_status(&c, 1).configuration_index == 0) {
        cr_assert_eq(replace(), KVR_OK, "%s", fault_text());
    }
    for (int i = 0; i < 30; i++) {
        cluster_tick(&c, UINT64_C(100) * CLUSTER_MS);
        cluster_stabilize(&c);
    }
    cr_assert_eq(cluster_status(&c, 2).configuration_index, index_before + 2, "%s", fault_text());
    cr_assert_eq(cluster_at(&c, 2)->raft->member_count, 3);
    cr_assert_eq(cluster_status(&c, 3).removed, 1, "%s", fault_text());
    cluster_release(&c);
}

/* Each allocation of a change, and of what follows from it, fails once and for ever: then nothing
 * has changed, or it is done later. */
Test(raft_change_memory, what_lacks_memory_is_not_done_or_done_later)
{
    FAULT_SWEEP(prepare_change(), change_with_faults(), check_change());
}

/* A leader on its way out, which has told so and follows in its next ready, begins nothing new. */
Test(raft_change, a_leader_without_a_vote_takes_no_further_change)
{
    cluster_add(&c, 3, NULL, NULL);
    cluster_elect(&c, 1);
    cr_assert_eq(cluster_change_one(&c, 1, KVR_CHANGE_DEMOTE, 1, 0), KVR_OK);
    for (int i = 0; i < 20 && !cluster_at(&c, 1)->raft->abdicates; i++) {
        cluster_run(&c, 2);
        cluster_run(&c, 3);
        cluster_deliver(&c, (cluster_filter){0});
        cluster_run(&c, 1);
    }
    cr_assert_eq(cluster_status(&c, 1).role, KVR_ROLE_LEADER);
    cr_assert_gt(cluster_count(&c, (cluster_filter){.type = KVR__RAFT_HEARTBEAT}), 0);

    cr_assert_eq(cluster_change_one(&c, 1, KVR_CHANGE_PROMOTE, 1, 0), KVR_EBUSY);

    cr_assert(kvr_raft_has_ready(cluster_at(&c, 1)->raft));
    cluster_run(&c, 1);
    cr_assert_eq(cluster_status(&c, 1).role, KVR_ROLE_FOLLOWER);
    cluster_run(&c, 1);
    cr_assert(!kvr_raft_has_ready(cluster_at(&c, 1)->raft));
}

/* ------------------------------------------------------------------ who is gone */

static kvr_status tell_removed(uint64_t to, uint64_t index)
{
    uint8_t body[KVR__RAFT_REMOVED_SIZE];
    kvr__raft_message_write_removed(body, index);
    kvr_slice message =
        cluster_forge(&(cluster_forged){2, to, 1, KVR__RAFT_REMOVED, {body, sizeof body}, {0}});
    return kvr_raft_receive(cluster_at(&c, to)->raft, &message);
}

/* FAULTS 53: news of a removal counts only if it is newer than what is known. */
Test(raft_change, old_news_of_a_removal_is_ignored)
{
    cluster_add(&c, 3, NULL, NULL);
    cluster_elect(&c, 1);
    cr_assert_eq(cluster_change_one(&c, 1, KVR_CHANGE_ADD, 0, KVR_MEMBER_LEARNER), KVR_OK);
    cluster_stabilize(&c);

    cr_assert_eq(tell_removed(3, 2), KVR_OK);
    cr_assert_eq(cluster_status(&c, 3).removed, 0);

    cr_assert_eq(tell_removed(3, 3), KVR_OK);
    cr_assert_eq(cluster_status(&c, 3).removed, 1);
    cr_assert_eq(kvr_raft_campaign(cluster_at(&c, 3)->raft), KVR_ESTATE);
    cluster_run(&c, 3);
    cluster_run(&c, 3);
    cr_assert_eq(kvr_raft_deadline(cluster_at(&c, 3)->raft), UINT64_MAX, "it waits for nothing");
}

/* Whoever was never a member is not told anything: it may be one that is about to join. */
Test(raft_change, a_stranger_is_not_told_that_it_was_removed)
{
    cluster_add(&c, 3, NULL, NULL);
    cluster_elect(&c, 1);
    uint8_t body[KVR__RAFT_VOTE_SIZE];
    kvr__raft_message_write_vote(body, &(kvr__raft_vote){0});
    kvr_slice message =
        cluster_forge(&(cluster_forged){8, 1, 0, KVR__RAFT_PREVOTE, {body, sizeof body}, {0}});

    cr_assert_eq(kvr_raft_receive(cluster_at(&c, 1)->raft, &message), KVR_OK);
    cluster_run(&c, 1);

    cr_assert_eq(cluster_count(&c, (cluster_filter){.type = KVR__RAFT_REMOVED}), 0);
}
