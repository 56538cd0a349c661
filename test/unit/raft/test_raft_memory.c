/* SPDX-License-Identifier: Apache-2.0 */
/* test_raft_memory.c: every allocation of a whole scenario fails once, or from then on; and how
 * little a member costs. FAULTS 39: nothing is freed twice, used after it, or lost. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "raft/raft_internal.h"
#include "raft_cluster.h"
#include "support/fault_sweep.h"

static cluster c;

static void tune(kvr_raft_config *config)
{
    config->snapshot_chunk_bytes = 20;
    config->message_bytes_max = 200;
    config->log_memory_bytes = 300;
}

/* Acts until everything is said and done, as far as memory allows. */
static void settle(void)
{
    for (int i = 0; i < 60; i++) {
        cluster_run_all(&c);
        cluster_deliver(&c, (cluster_filter){0});
    }
}

static void pass(int heartbeats)
{
    for (int i = 0; i < heartbeats; i++) {
        cluster_tick(&c, 100 * CLUSTER_MS);
        settle();
    }
}

/* Elections, proposals here and there, reads, a follower that is cut off and comes back to a
 * snapshot. */
static void scenario(void)
{
    kvr_status status = kvr_raft_campaign(cluster_at(&c, 1)->raft);
    cr_assert_eq(status, KVR_OK);
    settle();
    for (int i = 0; i < 3; i++) {
        (void)cluster_propose(&c, 1, "from the leader");
        (void)cluster_propose(&c, 2, "from a follower");
        status = kvr_raft_read_index(cluster_at(&c, 1)->raft, 1);
        cr_assert(status == KVR_OK || status == KVR_ENOMEM || status == KVR_ENOLEADER);
        status = kvr_raft_read_index(cluster_at(&c, 3)->raft, 2);
        cr_assert(status == KVR_OK || status == KVR_ENOMEM || status == KVR_ENOLEADER);
        settle();
    }
    cluster_isolate(&c, 3, true);
    for (int i = 0; i < 12; i++) {
        (void)cluster_propose(&c, 1, "while 3 is away");
        settle();
    }
    if (cluster_at(&c, 1)->applied > 2) {
        status = cluster_compact(&c, 1, 3);
        cr_assert(status == KVR_OK || status == KVR_ENOMEM || status == KVR_EINVAL);
    }
    cluster_isolate(&c, 3, false);
    pass(4);
}

static void start(void)
{
    cluster_init(&c);
    cluster_add(&c, 3, NULL, tune);
}

/* After the fault: with memory again, everything goes on, and nothing that was applied is lost. */
static void recover(void)
{
    char before[4096];
    snprintf(before, sizeof before, "%s", cluster_at(&c, 2)->text);
    pass(60);
    uint64_t leader = cluster_leader(&c);
    cr_assert_neq(leader, 0, "%s: no leader", fault_text());
    cr_assert_eq(cluster_propose(&c, leader, "end"), KVR_OK, "%s", fault_text());
    pass(15);
    cluster_check(&c);
    for (uint64_t id = 1; id <= 3; id++) {
        cr_assert(strncmp(cluster_at(&c, id)->text, before, strlen(before)) == 0, "%s",
                  fault_text());
        cr_assert_str_eq(cluster_at(&c, id)->text, cluster_at(&c, leader)->text, "%s",
                         fault_text());
        cr_assert(strstr(cluster_at(&c, id)->text, "end ") != NULL, "%s: %llu", fault_text(),
                  (unsigned long long)id);
    }
    cluster_release(&c);
}

Test(raft_memory, any_failing_allocation_is_survived)
{
    FAULT_SWEEP(start(), scenario(), recover());
}

/* A member with a snapshot, a log and configurations starts although memory is short. */
static void prepare_restart(void)
{
    cluster_init(&c);
    cluster_add(&c, 3, NULL, tune);
    cluster_elect(&c, 1);
    for (int i = 0; i < 30; i++) {
        cr_assert_eq(cluster_propose(&c, 1, "a command of some length"), KVR_OK);
        cluster_stabilize(&c);
        if (i == 10) {
            cr_assert_eq(cluster_compact(&c, 2, 3), KVR_OK);
        }
    }
    const kvr_member members[] = {{.id = 1}, {.id = 2}, {.id = 3}};
    uint8_t entry[256];
    cluster_crash(&c, 2);
    size_t size = cluster_forge_configuration(entry, 32, 1, members, 3);
    cluster_disk_put(&cluster_at(&c, 2)->disk, entry, size);
    cluster_boot(&c, 2);
}

static void restart(void)
{
    for (int i = 0; i < 100 && !cluster_at(&c, 2)->is_loaded; i++) {
        cluster_run(&c, 2);
    }
}

static void check_restart(void)
{
    restart();
    cr_assert(cluster_at(&c, 2)->is_loaded, "%s", fault_text());
    cr_assert_eq(cluster_status(&c, 2).last_index, 32, "%s", fault_text());
    cluster_release(&c);
}

Test(raft_memory, a_start_survives_any_failing_allocation)
{
    FAULT_SWEEP(prepare_restart(), restart(), check_restart());
}

static kvr_status new_status;
static kvr_raft *raft;

static void make(void)
{
    kvr_raft_config config;
    static const kvr_member members[] = {{.id = 1}, {.id = 2}, {.id = 3}};
    raft = NULL;
    cr_assert_eq(kvr_raft_config_init(&config, sizeof config), KVR_OK);
    config.cluster_id = 1;
    config.member_id = 1;
    config.members = members;
    config.member_count = 3;
    config.allocator = &test_alloc_table;
    config.allocator_ctx = &c.alloc;
    new_status = kvr_raft_new(&config, &raft);
}

/* FAULTS 39: what was made before memory ended goes again. */
Test(raft_memory, new_gives_all_or_nothing)
{
    test_alloc_init(&c.alloc);
    FAULT_SWEEP((void)0, make(), {
        cr_assert_eq(new_status, fault_fired() == 0 ? KVR_OK : KVR_ENOMEM);
        cr_assert_eq(raft != NULL, new_status == KVR_OK);
        kvr_raft_free(raft);
        TEST_ALLOC_ASSERT_EMPTY(&c.alloc);
    });
    kvr_raft_free(NULL);
}

/* A thousand idle groups in one process: each well under 8 KiB. */
Test(raft_memory, idle_member_is_small)
{
    cluster_init(&c);
    cluster_add(&c, 3, NULL, NULL);
    cluster_elect(&c, 1);
    for (int i = 0; i < 20; i++) {
        cluster_tick(&c, 100 * CLUSTER_MS);
        cluster_stabilize(&c);
    }
    for (uint64_t id = 1; id <= 3; id++) {
        cr_assert_lt(cluster_status(&c, id).memory_bytes, 8192, "member %llu: %llu",
                     (unsigned long long)id,
                     (unsigned long long)cluster_status(&c, id).memory_bytes);
    }
    cluster_release(&c);
}

/* R13: after a burst, memory returns to what an idle member with that much log has. */
Test(raft_memory, memory_of_a_burst_is_given_back)
{
    static char big[200000];
    memset(big, 'x', sizeof big - 1);
    cluster_init(&c);
    cluster_add(&c, 3, NULL, NULL);
    cluster_elect(&c, 1);
    for (int i = 0; i < 20; i++) {
        cr_assert_eq(cluster_propose(&c, 1, big), KVR_OK);
    }
    cluster_stabilize(&c);
    cr_assert_eq(cluster_compact(&c, 1, 0), KVR_OK);
    cr_assert_eq(cluster_compact(&c, 2, 0), KVR_OK);
    cr_assert_eq(cluster_compact(&c, 3, 0), KVR_OK);
    for (int i = 0; i < 20; i++) {
        cluster_tick(&c, 100 * CLUSTER_MS);
        cluster_stabilize(&c);
    }
    for (uint64_t id = 1; id <= 3; id++) {
        cr_assert_lt(cluster_status(&c, id).memory_bytes, 256 * 1024);
    }
    cluster_release(&c);
}

#ifndef KVR_HOSTILE /* there arrays grow by single items */
/* No allocation a proposal once arrays have grown. */
Test(raft_memory, steady_state_does_not_allocate)
{
    cluster_init(&c);
    cluster_add(&c, 3, NULL, NULL);
    for (uint64_t id = 1; id <= 3; id++) {
        cluster_at(&c, id)->raft->config.trace = 0;
    }
    cluster_elect(&c, 1);
    for (int i = 0; i < 6000; i++) {
        cr_assert_eq(cluster_propose(&c, 1, "a command of a usual size"), KVR_OK);
        cluster_stabilize(&c);
        cluster_at(&c, 1 + (uint64_t)i % 3)->text_size = 0;
        if (i == 4999) {
            c.alloc.call_count = 0;
        }
    }
    cr_assert_leq(c.alloc.call_count, 16, "%llu", (unsigned long long)c.alloc.call_count);
    cluster_release(&c);
}
#endif
