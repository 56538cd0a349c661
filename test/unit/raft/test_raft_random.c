/* SPDX-License-Identifier: Apache-2.0 */
/* test_raft_random.c: random schedules of everything that can happen, first with faults and checks
 * of safety, then healed and checked for liveness. A failing run names its seed; KVR_SEED=n runs
 * only that one. */
#include <criterion/criterion.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/random.h"
#include "raft_cluster.h"

enum { STEPS = 5000, SEEDS = 400 };

typedef struct chaos {
    kvr__random random;
    uint64_t seed;
    uint32_t command_count;
    uint64_t read_count;
    /* by context: what was applied somewhere when the read began (R14) */
    uint64_t read_floor[4096];
    uint64_t applied_max;
    /* what was applied somewhere before a moment, at each moment at which it had changed */
    struct {
        uint64_t now, applied_max;
    } history[STEPS + 1000];
    uint32_t history_count;
    uint64_t fresh_known; /* looks at members that knew how fresh they are */
    uint64_t lease_ns;
    uint32_t drop_percent;
    uint32_t repeat_percent;
    uint32_t crash_permille;
    uint32_t step_ms; /* time passes in steps of up to this */
    uint32_t cut_rarity;
    uint32_t campaign_rarity;
    bool slow_disks;
} chaos;

static cluster c;
static chaos x;

static uint64_t reads_by_lease; /* in all seeds */
static uint64_t fresh_known;

static char seed_line[64]; /* empty: no seed is running */

/* Also from a signal handler: a broken invariant aborts. */
static void say_seed(void)
{
    if (write(STDERR_FILENO, seed_line, strlen(seed_line)) >= 0) {
        seed_line[0] = '\0';
    }
}

static void on_abort(int number)
{
    (void)number;
    say_seed();
}

static uint64_t below(uint64_t limit)
{
    return kvr__random_below(&x.random, limit);
}

static uint64_t any_member(void)
{
    return 1 + below(c.member_count);
}

static void note_applied(void)
{
    uint64_t before = x.applied_max;
    for (uint32_t i = 0; i < c.member_count; i++) {
        if (c.members[i].applied > x.applied_max) {
            x.applied_max = c.members[i].applied;
        }
    }
    if (x.applied_max != before && x.history_count < STEPS + 1000) {
        x.history[x.history_count].now = c.now;
        x.history[x.history_count].applied_max = x.applied_max;
        x.history_count++;
    }
}

/* What had been applied before a moment of ours. */
static uint64_t applied_before(uint64_t now)
{
    uint64_t applied = 0;
    for (uint32_t i = 0; i < x.history_count && x.history[i].now < now; i++) {
        applied = x.history[i].applied_max;
    }
    return applied;
}

/* What a member says of its freshness holds: nothing acknowledged before that is above the
 * index. */
static void check_freshness(const cluster_member *m)
{
    kvr_raft_status status = {.size = sizeof status};
    if (m->raft == NULL) {
        return;
    }
    kvr_raft_get_status(m->raft, &status);
    if (status.fresh_ns <= m->clock_offset) {
        return;
    }
    uint64_t rate = m->clock_rate == 0 ? 1000 : m->clock_rate;
    uint64_t ours = (status.fresh_ns - m->clock_offset) / rate * 1000;
    x.fresh_known++;
    cr_assert_geq(status.fresh_index, applied_before(ours),
                  "member %llu is not as fresh as it says", (unsigned long long)m->id);
}

/* R14: an answered read is not older than what anybody had applied when it began. */
static void check_reads(void)
{
    for (uint32_t i = 0; i < c.member_count; i++) {
        cluster_member *m = &c.members[i];
        for (uint32_t n = 0; n < m->read_count; n++) {
            if (m->reads[n].status == KVR_OK) {
                cr_assert_geq(m->reads[n].index, x.read_floor[m->reads[n].context], "R14");
            }
        }
        m->read_count = 0;
    }
}

static void act_on_message(void)
{
    if (c.message_count == 0) {
        return;
    }
    uint32_t number = (uint32_t)below(c.message_count < 16 ? c.message_count : 16);
    uint64_t dice = below(100);
    if (dice < x.drop_percent) {
        cluster_drop(&c, (cluster_filter){.count = 1});
    } else {
        cluster_deliver_number(&c, number, dice >= 100 - x.repeat_percent);
    }
}

static void act_on_member(uint64_t id)
{
    cluster_member *m = cluster_at(&c, id);
    char command[16];
    switch (m->raft == NULL ? 0 : below(8)) {
    case 0:
        if (m->raft == NULL && below(4) == 0) {
            cluster_boot(&c, id);
        } else if (m->raft != NULL && below(1000) < x.crash_permille) {
            cluster_crash(&c, id);
        }
        break;
    case 1:
    case 2:
        snprintf(command, sizeof command, "%u", x.command_count++);
        (void)cluster_propose(&c, id, command);
        break;
    case 3:
        if (x.read_count < 4096 &&
            (below(2) == 0 ? kvr_raft_read_lease(m->raft, x.read_count)
                           : kvr_raft_read_index(m->raft, x.read_count)) == KVR_OK) {
            x.read_floor[x.read_count++] = x.applied_max;
        }
        break;
    case 4:
        if (below(20) == 0 && m->applied > cluster_status(&c, id).snapshot_index &&
            m->applied == cluster_status(&c, id).applied_index) {
            cr_assert_eq(cluster_compact(&c, id, below(4)), KVR_OK);
        }
        break;
    case 5:
        m->disk.full = below(200) == 0;
        break;
    case 6:
        m->applies_later = below(3) == 0;
        break;
    default:
        if (below(x.campaign_rarity) == 0) {
            kvr_status begun = kvr_raft_transfer_leader(m->raft, below(c.member_count + 1));
            cr_assert_neq(begun, KVR_EINVAL);
        }
        kvr_raft_set_priority(m->raft, (uint32_t)below(2));
        if (below(x.campaign_rarity) == 0) {
            kvr_status status = kvr_raft_campaign(m->raft);
            cr_assert(status == KVR_OK || status == KVR_ESTATE);
        }
        break;
    }
}

static void act_on_links(void)
{
    uint64_t leader = cluster_leader(&c);
    if (below(x.cut_rarity) == 0) {
        cluster_isolate(&c, leader != 0 && below(2) == 0 ? leader : any_member(), true);
    } else if (below(x.cut_rarity) == 0) {
        uint64_t from = any_member();
        cluster_cut(&c, from, any_member(), true);
    } else if (below(x.cut_rarity / 2) == 0) {
        memset(c.cut, 0, sizeof c.cut);
    }
}

static void step(void)
{
    uint64_t id = any_member();
    switch (below(20)) {
    case 0:
        c.now += below(x.step_ms) * CLUSTER_MS;
        break;
    case 1:
    case 2:
    case 3:
    case 4:
    case 5:
    case 6:
    case 7:
    case 8:
        act_on_message();
        break;
    case 9:
    case 10:
    case 11:
    case 12:
        cluster_run(&c, id);
        break;
    case 13:
    case 14:
        if (cluster_at(&c, id)->raft != NULL && cluster_at(&c, id)->disk.request_count > 0) {
            cluster_answer(&c, id, (uint32_t)below(cluster_at(&c, id)->disk.request_count));
        }
        break;
    case 15:
        act_on_links();
        break;
    default:
        act_on_member(id);
        break;
    }
    note_applied();
    check_reads();
    check_freshness(cluster_at(&c, id));
}

/* All is well again: within ten election timeouts there is a leader, all members hold the same, and
 * every read was answered or refused. */
static void heal(void)
{
    memset(c.cut, 0, sizeof c.cut);
    for (uint32_t i = 0; i < c.member_count; i++) {
        cluster_member *m = &c.members[i];
        m->disk.full = false;
        m->disk.manual = false;
        m->applies_later = false;
        if (m->raft == NULL) {
            cluster_boot(&c, m->id);
        }
        cluster_disk_complete(&c, m->id, UINT32_MAX);
    }
    for (int i = 0; i < 200; i++) {
        cluster_tick(&c, 100 * CLUSTER_MS);
        cluster_stabilize(&c);
    }
    uint64_t leader = cluster_leader(&c);
    cr_assert_neq(leader, 0, "no leader after 20 s of health");
    (void)cluster_propose(&c, leader, "end");
    for (int i = 0; i < 20; i++) {
        cluster_tick(&c, 100 * CLUSTER_MS);
        cluster_stabilize(&c);
    }
    /* a quiet one that was woken may have yielded to a higher priority */
    leader = cluster_leader(&c);
    cr_assert_neq(leader, 0, "no leader after 22 s of health");
    for (uint32_t i = 0; i < c.member_count; i++) {
        cr_assert_str_eq(c.members[i].text, c.members[leader - 1].text, "member %u differs", i + 1);
        cr_assert_eq(cluster_status(&c, i + 1).leader, leader, "member %u follows %llu, not %llu",
                     i + 1, (unsigned long long)cluster_status(&c, i + 1).leader,
                     (unsigned long long)leader);
    }
    cr_assert(strstr(c.members[leader - 1].text, "end ") != NULL);
}

static void tune(kvr_raft_config *config)
{
    config->snapshot_chunk_bytes = 40;
    config->message_bytes_max = 300;
    config->inflight_messages_max = 4;
    config->apply_bytes_max = 400;
    config->log_memory_bytes = x.seed % 3 == 0 ? 0 : 400;
    config->trace = (uint32_t)(x.seed % 2);
    config->lease_ns = x.lease_ns;
    config->quiet_ns = x.seed % 4 == 1 ? 2 * config->election_ns : 0;
}

static void run_seed(uint64_t seed)
{
    memset(&x, 0, sizeof x);
    x.seed = seed;
    snprintf(seed_line, sizeof seed_line, "KVR_SEED=%llu repeats it\n", (unsigned long long)seed);
    kvr__random_init(&x.random, seed);
    x.drop_percent = (uint32_t)below(3) * 10;
    x.repeat_percent = (uint32_t)below(3) * 10;
    x.crash_permille = (uint32_t)below(2) * 40;
    x.slow_disks = below(2) == 1;
    x.cut_rarity = (uint32_t[]){200, 40, 10}[below(3)];
    x.campaign_rarity = (uint32_t[]){300, 30}[below(2)];
    x.step_ms = (uint32_t[]){20, 200, 1000}[below(3)];
    /* one draw a statement: compilers order them as they like */
    x.lease_ns = below(2) * CLUSTER_MS;
    x.lease_ns *= 400 + below(4) * 300;
    cluster_init(&c);
    c.alloc.quiet = 1;
    uint32_t count = 1 + (uint32_t)below(5);
    uint8_t roles[CLUSTER_MEMBERS_MAX] = {0};
    if (count > 3 && below(2) == 0) {
        roles[count - 1] = KVR_MEMBER_LEARNER;
    }
    cluster_add(&c, count, roles, tune);
    for (uint32_t i = 0; i < count; i++) {
        c.members[i].disk.manual = x.slow_disks;
        c.members[i].clock_rate = 955 + below(90); /* they differ by less than a tenth */
        c.members[i].clock_offset += below(1000) * CLUSTER_MS;
    }
    for (int i = 0; i < STEPS; i++) {
        step();
        if (i % 50 == 0) {
            cluster_check(&c);
        }
    }
    heal();
    for (uint32_t i = 0; i < count; i++) {
        reads_by_lease += c.members[i].counters.reads_by_lease;
    }
    fresh_known += x.fresh_known;
    cluster_release(&c);
    seed_line[0] = '\0';
}

/* FAULTS 10, 12, 14, 18, 19, 20, 21, 22, 26, 28, 29, 31, 32, 34, 41, 42, 43, 45, 46, 60, 61, 64, 69
 * by chance. */
Test(raft_random, any_schedule_is_safe_and_heals)
{
    const char *only = getenv("KVR_SEED");
    (void)signal(SIGABRT, on_abort);
    (void)atexit(say_seed);
    if (only != NULL) {
        run_seed(strtoull(only, NULL, 10));
        return;
    }
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        run_seed(seed);
    }
    cr_assert_gt(reads_by_lease, 1000, "too few leases to tell anything");
    cr_assert_gt(fresh_known, 10000, "too few members knew how fresh they are");
}
