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

void run_plan_draw(run_plan *plan, uint64_t seed, uint64_t steps)
{
    dice d = {seed * 0xd1342543de82ef95U + 1};
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
    plan->step_count = steps != 0 ? steps : dice_between(&d, 2000, 20000);
    draw_leadership(plan, &d);
}

void run_plan_print(const run_plan *plan, FILE *out)
{
    const kvr_sim_config *sim = &plan->sim;
    const kvr_node_config *node = &plan->node;
    (void)fprintf(
        out,
        "members %u, clients %u, keys %u, events %llu\n"
        "election %llu ms, heartbeat %llu ms, call timeout %llu ms, lease %llu ms, drift %u ppm\n"
        "segment %llu, batch %u, budget %u, snapshot every %llu entries, keep %llu, "
        "message %llu\n"
        "network delay %llu + %llu us, loss %u, repeat %u, corrupt %u ppm\n"
        "disk %llu + %llu us, lose %u, tear %u, names %u, short %u ppm\n"
        "crash %u ppm for %llu ms, cut %u ppm for %llu ms\n",
        sim->member_count, plan->client_count, plan->key_count,
        (unsigned long long)plan->step_count, (unsigned long long)(node->election_ns / MS),
        (unsigned long long)(node->heartbeat_ns / MS),
        (unsigned long long)(node->call_timeout_ns / MS), (unsigned long long)(node->lease_ns / MS),
        sim->drift_ppm, (unsigned long long)sim->segment_bytes, sim->batch_bytes, sim->run_budget,
        (unsigned long long)node->snapshot_entries, (unsigned long long)node->keep_entries,
        (unsigned long long)node->message_bytes_max,
        (unsigned long long)(plan->network.delay_ns_min / US),
        (unsigned long long)(plan->network.delay_ns_mean / US), plan->network.loss_ppm,
        plan->network.repeat_ppm, plan->network.corrupt_ppm,
        (unsigned long long)(sim->disk_ns_min / US), (unsigned long long)(sim->disk_ns_mean / US),
        plan->disk.crash_lose_ppm, plan->disk.crash_tear_ppm, plan->disk.crash_names_ppm,
        plan->disk.short_ppm, sim->crash_ppm, (unsigned long long)(sim->down_ns_mean / MS),
        sim->cut_ppm, (unsigned long long)(sim->cut_ns_mean / MS));
}
