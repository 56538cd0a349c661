/* SPDX-License-Identifier: Apache-2.0 */
/* run_swarm.c: what kind of world a seed is. Each family of faults is left out in half of the
 * seeds, so that the others meet each other undisturbed (Groce et al., "Swarm Testing", ISSTA
 * 2012); sizes are small on purpose, so that segments roll, snapshots are taken and windows fill
 * within seconds. */
#include "run.h"

#include <string.h>

#define US UINT64_C(1000)
#define MS UINT64_C(1000000)

uint64_t dice_below(dice *d, uint64_t limit)
{
    d->state += 0x9e3779b97f4a7c15U;
    uint64_t x = d->state;
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9U;
    x = (x ^ x >> 27) * 0x94d049bb133111ebU;
    return (x ^ x >> 31) % limit;
}

uint64_t dice_between(dice *d, uint64_t low, uint64_t high)
{
    return low + dice_below(d, high - low + 1);
}

bool dice_one_in(dice *d, uint32_t n)
{
    return dice_below(d, n) == 0;
}

/* Of low..high, small ones as likely as large ones. */
static uint64_t draw_scale(dice *d, uint64_t low, uint64_t high)
{
    uint64_t value = low;
    while (value < high && dice_one_in(d, 2)) {
        value *= 2;
    }
    uint64_t top = 2 * value < high ? 2 * value : high;
    return dice_between(d, value < high ? value : high, top);
}

static void draw_sizes(run_plan *plan, dice *d)
{
    static const uint32_t counts[] = {1, 3, 3, 3, 3, 3, 5, 5, 5, 3};
    kvr_node_config *node = &plan->node;
    plan->sim.member_count = counts[dice_below(d, 10)];
    plan->sim.segment_bytes = draw_scale(d, 4096, 65536) / 512 * 512;
    plan->sim.batch_bytes = (uint32_t)draw_scale(d, 1024, 65536);
    plan->sim.run_budget = (uint32_t)(dice_one_in(d, 3) ? dice_between(d, 1, 20) : 10000);
    node->snapshot_entries = dice_between(d, 20, 200);
    node->snapshot_bytes_min = draw_scale(d, 256, 16384);
    node->keep_entries = dice_below(d, 3) == 0 ? 0 : dice_between(d, 1, 50);
    node->message_bytes_max = draw_scale(d, 256, 65536);
    node->uncommitted_bytes_max = draw_scale(d, 2 << 20, 64 << 20);
    node->snapshot_chunk_bytes = 4096;
    node->calls_max = (uint32_t)draw_scale(d, 4, 512);
    plan->value_size_max = (uint32_t)draw_scale(d, 32, dice_one_in(d, 8) ? 8192 : 512);
}

static void draw_times(run_plan *plan, dice *d)
{
    kvr_node_config *node = &plan->node;
    node->election_ns = dice_between(d, 50, 1000) * MS;
    node->heartbeat_ns = node->election_ns / dice_between(d, 4, 12);
    node->call_timeout_ns = node->election_ns * dice_between(d, 2, 20);
    plan->sim.disk_ns_min = dice_between(d, 10, 100) * US;
    plan->sim.disk_ns_mean = draw_scale(d, 50 * US, node->election_ns / 16);
    plan->sim.drift_ppm = dice_one_in(d, 2) ? 0 : (uint32_t)dice_between(d, 1, 50000);
    plan->think_ns = draw_scale(d, 500 * US, node->election_ns / 4);
    plan->ttl_ns_max = node->election_ns * dice_between(d, 3, 10);
}

static void draw_faults(run_plan *plan, dice *d)
{
    kvr_sim_network *network = &plan->network;
    uint64_t election = plan->node.election_ns;
    network->delay_ns_min = draw_scale(d, 20 * US, 2000 * US);
    network->delay_ns_mean = draw_scale(d, 50 * US, election / (dice_one_in(d, 4) ? 4 : 32));
    if (dice_one_in(d, 2)) {
        network->loss_ppm = (uint32_t)draw_scale(d, 1000, 200000);
    }
    if (dice_one_in(d, 2)) {
        network->repeat_ppm = (uint32_t)draw_scale(d, 1000, 300000);
    }
    if (dice_one_in(d, 2)) {
        network->corrupt_ppm = (uint32_t)draw_scale(d, 100, 10000);
    }
    if (dice_one_in(d, 2)) {
        plan->sim.crash_ppm = (uint32_t)draw_scale(d, 50, 2000);
        plan->sim.down_ns_mean = draw_scale(d, 10 * MS, 5 * election);
    }
    if (dice_one_in(d, 2) && plan->sim.member_count > 1) {
        plan->sim.cut_ppm = (uint32_t)draw_scale(d, 50, 2000);
        plan->sim.cut_ns_mean = draw_scale(d, election / 4, 8 * election);
    }
    plan->disk.crash_lose_ppm = (uint32_t)dice_between(d, 0, 10) * 100000;
    plan->disk.crash_tear_ppm = (uint32_t)dice_between(d, 0, 10) * 100000;
    plan->disk.crash_names_ppm = (uint32_t)dice_between(d, 0, 10) * 100000;
    if (dice_one_in(d, 2)) {
        plan->disk.short_ppm = (uint32_t)draw_scale(d, 1000, 200000);
    }
    if (dice_one_in(d, 6)) {
        plan->disk.write_error_ppm = dice_one_in(d, 2) ? (uint32_t)draw_scale(d, 10, 10000) : 0;
        plan->disk.sync_error_ppm = dice_one_in(d, 2) ? (uint32_t)draw_scale(d, 100, 20000) : 0;
        plan->disk.read_error_ppm = dice_one_in(d, 2) ? (uint32_t)draw_scale(d, 10, 1000) : 0;
    }
    if (dice_one_in(d, 8)) {
        plan->disk.capacity_bytes = plan->sim.segment_bytes * dice_between(d, 5, 16) + 65536;
    }
}

static uint32_t draw_weight(dice *d, uint32_t often)
{
    return dice_one_in(d, 3) ? 0 : (uint32_t)dice_between(d, 1, often);
}

static void draw_clients(run_plan *plan, dice *d)
{
    plan->client_count = (uint32_t)dice_between(d, 1, RUN_CLIENTS_MAX);
    plan->calls_each = (uint32_t)draw_scale(d, 1, 16);
    plan->key_count = (uint32_t)draw_scale(d, 2, 64);
    plan->mix = (run_mix){
        .put = (uint32_t)dice_between(d, 5, 30),
        .delete_ = draw_weight(d, 6),
        .txn = draw_weight(d, 15),
        .read_linear = draw_weight(d, 15),
        .look = draw_weight(d, 10),
        .compact = draw_weight(d, 3),
        .lease = draw_weight(d, 10),
        .watch = draw_weight(d, 6),
        .admin = draw_weight(d, 2),
    };
}

/* Who leads, and how reads lean on it. */
static void draw_leadership(run_plan *plan, dice *d)
{
    kvr_node_config *node = &plan->node;
    if (dice_one_in(d, 2)) {
        node->lease_ns = dice_between(d, 3 * node->heartbeat_ns, 2 * node->election_ns);
    }
    if (dice_one_in(d, 2)) {
        plan->mix.read_lease = (uint32_t)dice_between(d, 1, 15);
    }
    if (dice_one_in(d, 2)) {
        plan->mix.read_stale = (uint32_t)dice_between(d, 1, 10);
    }
    if (dice_one_in(d, 2)) {
        plan->mix.transfer = (uint32_t)dice_between(d, 1, 2);
    }
    node->stall_ns = dice_between(d, node->heartbeat_ns, 2 * node->election_ns);
}

/* ------------------------------------------------------------------ what came later
 *
 * Drawn from dice of their own, so that what a seed meant before them it still means. */

static void draw_time_faults(run_plan *plan, dice *d)
{
    uint64_t election = plan->node.election_ns;
    if (dice_one_in(d, 4)) {
        plan->network.clog_ppm = (uint32_t)draw_scale(d, 100, 20000);
        plan->network.clog_ns_mean = draw_scale(d, election / 4, 5000 * MS);
    }
    if (dice_one_in(d, 4)) {
        plan->network.link_messages_max = (uint32_t)dice_between(d, 2, 20);
    }
    if (dice_one_in(d, 3)) {
        plan->sim.pause_ppm = (uint32_t)draw_scale(d, 50, 1000);
        plan->sim.pause_ns_mean = draw_scale(d, election / 8, 5000 * MS);
    }
    if (dice_one_in(d, 3)) {
        plan->sim.stall_ppm = (uint32_t)draw_scale(d, 50, 1000);
        plan->sim.stall_ns_mean = draw_scale(d, election / 8, 10000 * MS);
    }
    if (dice_one_in(d, 6)) {
        plan->sim.jump_ppm = (uint32_t)draw_scale(d, 50, 1000);
        plan->sim.jump_ns_max = draw_scale(d, 10 * MS, 3600000 * MS);
        plan->node.lease_ns = 0; /* its bound is on rates of clocks: host.h */
        plan->mix.read_lease = 0;
    }
}

/* A quorum must be left without them, but for one seed in four with damage: then nobody is safe. */
static void draw_damage(run_plan *plan, dice *d)
{
    uint32_t count = plan->sim.member_count;
    uint32_t spare = (count - 1) / 2;
    if (!dice_one_in(d, 6)) {
        return;
    }
    plan->damage_ppm = (uint32_t)draw_scale(d, 100, 20000);
    if (spare == 0 || dice_one_in(d, 4)) {
        plan->damage_members = (1U << count) - 1;
        return;
    }
    for (uint32_t i = 0; i < spare; i++) {
        plan->damage_members |= 1U << dice_below(d, count);
    }
}

static void draw_more(run_plan *plan, dice *d)
{
    static const uint32_t others[] = {2, 4, 5, 6, 7, 7, 9, 3};
    if (dice_one_in(d, 8)) {
        plan->sim.member_count = others[dice_below(d, 8)];
    }
    draw_time_faults(plan, d);
    draw_damage(plan, d);
    if (dice_one_in(d, 12)) {
        plan->memory_ppm = (uint32_t)draw_scale(d, 20, 2000);
    }
    if (dice_one_in(d, 10)) {
        plan->full_ppm = (uint32_t)draw_scale(d, 50, 1000);
        plan->full_ns = draw_scale(d, 10 * MS, 5000 * MS);
    }
    plan->sim.buggify = dice_one_in(d, 2);
    if (dice_one_in(d, 2)) {
        plan->away_count = (uint32_t)dice_below(d, (plan->sim.member_count - 1) / 2 + 1);
        plan->away_cut = dice_one_in(d, 2);
    }
    plan->register_clients = dice_one_in(d, 2) ? (uint32_t)dice_between(d, 2, 5) : 0;
}

void run_plan_draw(run_plan *plan, uint64_t seed)
{
    dice d = {seed * 0xd1342543de82ef95U + 1};
    dice more = {seed * 0xd1342543de82ef95U + 2};
    memset(plan, 0, sizeof *plan);
    if (kvr_sim_config_init(&plan->sim, sizeof plan->sim) != KVR_OK ||
        kvr_node_config_init(&plan->node, sizeof plan->node) != KVR_OK ||
        kvr_sim_network_init(&plan->network, sizeof plan->network) != KVR_OK ||
        kvr_sim_disk_faults_init(&plan->disk, sizeof plan->disk) != KVR_OK) {
        return; /* sizes of the same release: they do not fail */
    }
    plan->sim.seed = seed;
    draw_sizes(plan, &d);
    draw_times(plan, &d);
    plan->node.level_max = seed % 5 == 0 ? 2 : 1; /* raised on the way in some */
    plan->node.quiet_ns = seed % 3 == 0 ? (1 + seed % 4) * plan->node.election_ns : 0;
    draw_faults(plan, &d);
    draw_clients(plan, &d);
    plan->step_count = dice_between(&d, 2000, 20000);
    draw_leadership(plan, &d);
    draw_more(plan, &more);
    /* Who must be there is then a matter of the configuration: everybody comes back in the end. */
    if (dice_one_in(&more, 2) && plan->damage_ppm == 0) {
        plan->mix.change = (uint32_t)dice_between(&more, 1, 3);
        plan->away_count = 0;
    }
}
