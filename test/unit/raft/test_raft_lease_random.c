/* SPDX-License-Identifier: Apache-2.0 */
/* test_raft_lease_random.c: an adversary of leases. From a leader whose lease is fresh it cuts
 * links, restarts members, makes them campaign and hand over, holds messages back, and lets clocks
 * drift within the bound; whoever believes to lead is asked at each step. No answer may be older
 * than what was applied anywhere before it was asked for. A failing run names its seed; KVR_SEED=n
 * runs only that one. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/random.h"
#include "raft_cluster.h"

enum { SEEDS = 3000, STEPS = 120, READS_MAX = 4 * STEPS };

static cluster c;
static kvr__random chance;
static uint64_t lease_ms;
static uint64_t floors[READS_MAX]; /* by context: what was applied somewhere when it was asked */
static uint64_t read_count;
static uint64_t answered; /* by leases, in all seeds */
static uint64_t current;

static uint64_t below(uint64_t limit)
{
    return kvr__random_below(&chance, limit);
}

static uint64_t any_member(void)
{
    return 1 + below(c.member_count);
}

static void tune(kvr_raft_config *config)
{
    config->election_ns = UINT64_C(500) * CLUSTER_MS;
    config->lease_ns = lease_ms * CLUSTER_MS;
}

static uint64_t applied_anywhere(void)
{
    uint64_t applied = 0;
    for (uint32_t i = 0; i < c.member_count; i++) {
        applied = c.members[i].applied > applied ? c.members[i].applied : applied;
    }
    return applied;
}

/* Everybody acts, and what they said arrives, as far as links pass: a few times. */
static void exchange(uint64_t times)
{
    for (uint64_t i = 0; i < times; i++) {
        cluster_run_all(&c);
        cluster_deliver(&c, (cluster_filter){0});
    }
}

static void ask(void)
{
    for (uint64_t id = 1; id <= c.member_count && read_count < READS_MAX; id++) {
        kvr_raft *raft = cluster_at(&c, id)->raft;
        if (raft != NULL && cluster_status(&c, id).role == KVR_ROLE_LEADER &&
            kvr_raft_read_lease(raft, read_count) == KVR_OK) {
            floors[read_count++] = applied_anywhere();
        }
    }
    c.now += CLUSTER_MS;
    for (uint32_t i = 0; i < c.member_count; i++) {
        cluster_member *m = &c.members[i];
        cluster_run(&c, m->id);
        for (uint32_t n = 0; n < m->read_count; n++) {
            cr_assert(m->reads[n].status != KVR_OK ||
                          m->reads[n].index >= floors[m->reads[n].context],
                      "KVR_SEED=%llu: member %u answers by index %llu; %llu was applied",
                      (unsigned long long)current, i + 1, (unsigned long long)m->reads[n].index,
                      (unsigned long long)floors[m->reads[n].context]);
        }
        m->read_count = 0;
    }
}

static void disturb(void)
{
    uint64_t a = any_member();
    uint64_t b = any_member();
    kvr_status status = KVR_OK;
    switch (below(8)) {
    case 0:
        cluster_cut(&c, a, b, true);
        cluster_cut(&c, b, a, true);
        break;
    case 1:
        cluster_isolate(&c, a, true);
        break;
    case 2:
        memset(c.cut, 0, sizeof c.cut);
        break;
    case 3:
        cluster_crash(&c, a);
        cluster_start(&c, a);
        break;
    case 4:
    case 5:
        status = kvr_raft_campaign(cluster_at(&c, a)->raft);
        break;
    case 6:
        status = kvr_raft_transfer_leader(cluster_at(&c, a)->raft, b);
        break;
    default:
        (void)cluster_propose(&c, a, "x");
        break;
    }
    cr_assert_neq(status, KVR_EINVAL);
}

static void run_seed(uint64_t seed)
{
    current = seed;
    kvr__random_init(&chance, seed);
    lease_ms = 300 + below(4) * 300;
    read_count = 0;
    cluster_init(&c);
    c.alloc.quiet = 1;
    cluster_add(&c, 3 + (uint32_t)below(2) * 2, NULL, tune);
    for (uint32_t i = 0; i < c.member_count; i++) {
        c.members[i].clock_rate = 955 + below(90); /* they differ by less than a tenth */
    }
    cluster_elect(&c, 1);
    for (int i = 0; i < 5; i++) {
        cluster_tick(&c, UINT64_C(100) * CLUSTER_MS);
        cluster_stabilize(&c);
    }
    for (int i = 0; i < STEPS; i++) {
        if (below(3) == 0) {
            disturb();
        }
        if (below(4) != 0) {
            exchange(1 + below(6));
        }
        c.now += below(60) * CLUSTER_MS;
        (void)cluster_propose(&c, any_member(), "y");
        ask();
    }
    for (uint32_t i = 0; i < c.member_count; i++) {
        answered += c.members[i].counters.reads_by_lease;
    }
    cluster_release(&c);
}

/* FAULTS 45 */
Test(raft_lease_random, no_answer_is_older_than_the_question)
{
    const char *only = getenv("KVR_SEED");
    if (only != NULL) {
        run_seed(strtoull(only, NULL, 10));
        return;
    }
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        run_seed(seed);
    }
    cr_assert_gt(answered, 10000, "%llu", (unsigned long long)answered);
}
