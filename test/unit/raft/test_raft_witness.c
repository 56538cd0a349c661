/* SPDX-License-Identifier: Apache-2.0 */
/* test_raft_witness.c: a witness where a script says too little: its log lets go of itself, stubs
 * are for witnesses only, what its copies count for. The stories are testdata/witness*.txt. */
#include <criterion/criterion.h>
#include <string.h>

#include "base/entry.h"
#include "raft/raft_internal.h"
#include "raft_cluster.h"
#include "support/fault_sweep.h"

static cluster c;
static const uint8_t two_and_a_witness[] = {KVR_MEMBER_VOTER, KVR_MEMBER_VOTER, KVR_MEMBER_WITNESS};

static void setup(void)
{
    cluster_init(&c);
}

static void teardown(void)
{
    cluster_release(&c);
}

TestSuite(raft_witness, .init = setup, .fini = teardown);

static void propose_many(uint64_t at, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        (void)cluster_propose(&c, at, "a command of some length");
        if (i % 64 == 63 || i + 1 == count) {
            for (int turn = 0; turn < 12; turn++) {
                cluster_run_all(&c);
                cluster_deliver(&c, (cluster_filter){0});
            }
        }
    }
}

/* It has no state machine to take snapshots, so it takes nameless ones of its own; they are of what
 * is durable, and what they replace goes. */
Test(raft_witness, lets_go_of_a_long_log_by_itself)
{
    cluster_add(&c, 3, two_and_a_witness, NULL);
    cluster_elect(&c, 1);
    propose_many(1, KVR__RAFT_WITNESS_ENTRIES + 600);
    cluster_stabilize(&c);

    kvr_raft_status witness = cluster_status(&c, 3);
    cr_assert_gt(witness.snapshot_index, 1);
    cr_assert_eq(witness.first_index, witness.snapshot_index + 1);
    cr_assert_eq(cluster_at(&c, 3)->disk.snapshot.meta.bytes, 0);
    cr_assert_eq(cluster_at(&c, 3)->text_size, 0);

    cluster_crash(&c, 3);
    cluster_start(&c, 3);
    cr_assert_eq(cluster_status(&c, 3).applied_index, witness.snapshot_index);
    cr_assert_eq(cluster_status(&c, 3).member_role, KVR_MEMBER_WITNESS);
    cluster_isolate(&c, 2, true);
    propose_many(1, 3);
    cr_assert_eq(cluster_status(&c, 1).commit_index, cluster_status(&c, 1).last_index);
}

static kvr_status send_stub(uint64_t to, uint32_t flip)
{
    uint8_t whole[256];
    uint8_t stub[KVR_ENTRY_HEADER_SIZE];
    uint8_t body[KVR__RAFT_APPEND_SIZE];
    size_t size = 0;
    cluster_forge_entry(whole, &size, 1, 1, "the command");
    cr_assert_eq(kvr__entry_stub_size(whole), sizeof stub);
    kvr__entry_stub_write(stub, whole);
    stub[flip / 8] ^= (uint8_t)(flip == 0 ? 0 : 1u << flip % 8);
    kvr__raft_message_write_append(body, &(kvr__raft_append){.entry_count = 1});
    kvr_slice message = cluster_forge(
        &(cluster_forged){1, to, 1, KVR__RAFT_APPEND, {body, sizeof body}, {stub, sizeof stub}});
    return kvr_raft_receive(cluster_at(&c, to)->raft, &message);
}

/* A data member that took a stub for an entry would acknowledge what it does not have. */
Test(raft_witness, stubs_are_for_witnesses_only)
{
    cluster_add(&c, 3, two_and_a_witness, NULL);

    cr_assert_eq(send_stub(2, 0), KVR_ECORRUPT);
    cr_assert_eq(cluster_status(&c, 2).last_index, 0);
    cr_assert_eq(send_stub(3, 24 * 8 + 5), KVR_ECORRUPT, "a header is verified by itself");
    cr_assert_eq(send_stub(3, 0), KVR_OK);
    cr_assert_eq(cluster_status(&c, 3).last_index, 1);
}

/* Whole entries are cut by the witness itself. */
Test(raft_witness, keeps_headers_whatever_it_is_sent)
{
    uint8_t entry[256];
    uint8_t body[KVR__RAFT_APPEND_SIZE];
    size_t size = 0;
    cluster_add(&c, 3, two_and_a_witness, NULL);
    cluster_forge_entry(entry, &size, 1, 1, "the command");
    kvr__raft_message_write_append(body, &(kvr__raft_append){.entry_count = 1});
    kvr_slice message = cluster_forge(
        &(cluster_forged){1, 3, 1, KVR__RAFT_APPEND, {body, sizeof body}, {entry, size}});

    cr_assert_eq(kvr_raft_receive(cluster_at(&c, 3)->raft, &message), KVR_OK);

    kvr_entry kept;
    kvr__raft_log_entry(&cluster_at(&c, 3)->raft->log, 1, &kept);
    cr_assert_eq(kept.bytes.size, KVR_ENTRY_HEADER_SIZE);
    cr_assert_eq(kept.flags, KVR_ENTRY_STUB);
}

/* Status tells how many copies of the data the last commit has; data_copies_min makes it wait for
 * more. */
Test(raft_witness, is_no_copy_of_the_data)
{
    cluster_add(&c, 3, two_and_a_witness, NULL);
    cluster_elect(&c, 1);
    cr_assert_eq(cluster_status(&c, 1).data_copies, 2);
    cluster_isolate(&c, 2, true);
    propose_many(1, 1);
    cr_assert_eq(cluster_status(&c, 1).commit_index, 2);
    cr_assert_eq(cluster_status(&c, 1).data_copies, 1);
    cluster_isolate(&c, 2, false);
    for (int i = 0; i < 5; i++) {
        cluster_tick(&c, UINT64_C(100) * CLUSTER_MS);
        cluster_stabilize(&c);
    }
    cr_assert_eq(cluster_status(&c, 1).data_copies, 2);

    kvr_raft_proposal proposal;
    kvr_raft_changes two = {.size = sizeof two, .flags = KVR_CHANGES_COPIES, .data_copies_min = 2};
    cr_assert_eq(kvr_raft_change(cluster_at(&c, 1)->raft, &two, &proposal), KVR_OK);
    cluster_stabilize(&c);
    cluster_isolate(&c, 2, true);
    uint64_t before = cluster_status(&c, 1).commit_index;
    propose_many(1, 1);
    cr_assert_eq(cluster_status(&c, 1).commit_index, before, "the witness's vote is not enough");
    cluster_isolate(&c, 2, false);
    for (int i = 0; i < 5; i++) {
        cluster_tick(&c, UINT64_C(100) * CLUSTER_MS);
        cluster_stabilize(&c);
    }
    cr_assert_eq(cluster_status(&c, 1).commit_index, before + 1);
    cr_assert_eq(cluster_status(&c, 1).data_copies_min, 2);
}

static void prepare(void)
{
    cluster_init(&c);
    cluster_add(&c, 3, two_and_a_witness, NULL);
    cluster_elect(&c, 1);
    cluster_isolate(&c, 3, true);
    propose_many(1, 5);
    cr_assert_eq(cluster_compact(&c, 1, 0), KVR_OK);
    propose_many(1, 5);
    cluster_isolate(&c, 3, false);
}

static void act(void)
{
    for (int i = 0; i < 6; i++) {
        cluster_tick(&c, UINT64_C(100) * CLUSTER_MS);
        propose_many(1, 1);
    }
}

static void check(void)
{
    for (int i = 0; i < 60; i++) {
        cluster_tick(&c, UINT64_C(100) * CLUSTER_MS);
        cluster_stabilize(&c);
    }
    uint64_t leader = cluster_leader(&c);
    cr_assert_neq(leader, 0, "%s", fault_text());
    cr_assert_eq(cluster_status(&c, 3).commit_index, cluster_status(&c, leader).commit_index, "%s",
                 fault_text());
    cluster_release(&c);
}

/* Each allocation fails, at the witness and at its leader. */
Test(raft_witness_memory, what_lacks_memory_is_done_later)
{
    FAULT_SWEEP(prepare(), act(), check());
}
