/* SPDX-License-Identifier: Apache-2.0 */
/* test_raft_paper.c: one test a claim of "In Search of an Understandable Consensus Algorithm (Extended
 * Version)" and of the thesis, with its section. Each is: arrange, act, check. */
#include <criterion/criterion.h>

#include "raft/raft_message.h"
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

/* 5.2: a candidate wins with the votes of a majority, and tells all others by heartbeats. */
Test(raft_paper, a_majority_elects_a_leader)
{
    cluster_add(&c, 3, NULL, NULL);

    cluster_elect(&c, 1);

    cr_assert_eq(cluster_status(&c, 2).leader, 1);
    cr_assert_eq(cluster_status(&c, 3).leader, 1);
    cr_assert_eq(cluster_status(&c, 2).term, 1);
}

/* 5.3: an entry is committed once a majority has it; then the leader applies it, and the others follow. */
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
