/* SPDX-License-Identifier: Apache-2.0 */
/* run_knob.c: a plan as names and numbers: printed by --verbose, given by --set, reduced by
 * --shrink. A knob's calm value is the one without its fault, or the one that makes a run easiest
 * to read. A new field of a plan needs a line here. */
#include <stddef.h>
#include <string.h>

#include "run.h"

typedef struct run_knob {
    const char *name;
    uint32_t family;
    uint32_t width; /* bytes */
    size_t offset;
    uint64_t calm;
} run_knob;

#define KNOB(name, family, field, calm)                                                  \
    {                                                                                    \
        name, family, sizeof(((run_plan *)NULL)->field), offsetof(run_plan, field), calm \
    }

static const run_knob knobs[] = {
    KNOB("events", 0, step_count, 2000),
    KNOB("members", 0, sim.member_count, 3),
    KNOB("clients", RUN_WORKLOAD, client_count, 1),
    KNOB("registers", RUN_WORKLOAD, register_clients, 0),
    KNOB("keys", RUN_WORKLOAD, key_count, 2),
    KNOB("calls", RUN_WORKLOAD, calls_each, 1),
    KNOB("value_size", RUN_WORKLOAD, value_size_max, 32),
    KNOB("think_ns", RUN_WORKLOAD, think_ns, 10000000),
    KNOB("put", RUN_WORKLOAD, mix.put, 10),
    KNOB("delete", RUN_WORKLOAD, mix.delete_, 0),
    KNOB("txn", RUN_WORKLOAD, mix.txn, 0),
    KNOB("read_linear", RUN_WORKLOAD, mix.read_linear, 0),
    KNOB("read_stale", RUN_WORKLOAD, mix.read_stale, 0),
    KNOB("read_lease", RUN_WORKLOAD, mix.read_lease, 0),
    KNOB("transfer", RUN_WORKLOAD, mix.transfer, 0),
    KNOB("compact", RUN_WORKLOAD, mix.compact, 0),
    KNOB("lease", RUN_WORKLOAD, mix.lease, 0),
    KNOB("watch", RUN_WORKLOAD, mix.watch, 0),
    KNOB("admin", RUN_WORKLOAD, mix.admin, 0),
    KNOB("election_ns", RUN_SIZES, node.election_ns, 1000000000),
    KNOB("heartbeat_ns", RUN_SIZES, node.heartbeat_ns, 100000000),
    KNOB("call_timeout_ns", RUN_SIZES, node.call_timeout_ns, 5000000000),
    KNOB("ttl_ns", RUN_SIZES, ttl_ns_max, 5000000000),
    KNOB("segment_bytes", RUN_SIZES, sim.segment_bytes, 65536),
    KNOB("batch_bytes", RUN_SIZES, sim.batch_bytes, 65536),
    KNOB("run_budget", RUN_SIZES, sim.run_budget, 10000),
    KNOB("snapshot_entries", RUN_SIZES, node.snapshot_entries, 10000),
    KNOB("snapshot_bytes", RUN_SIZES, node.snapshot_bytes_min, 4 << 20),
    KNOB("keep_entries", RUN_SIZES, node.keep_entries, 5000),
    KNOB("message_bytes", RUN_SIZES, node.message_bytes_max, 1 << 20),
    KNOB("uncommitted_bytes", RUN_SIZES, node.uncommitted_bytes_max, 64 << 20),
    KNOB("calls_max", RUN_SIZES, node.calls_max, 2048),
    KNOB("lease_ns", RUN_SIZES, node.lease_ns, 0),
    KNOB("stall_after_ns", RUN_SIZES, node.stall_ns, 1000000000),
    KNOB("quiet_ns", RUN_SIZES, node.quiet_ns, 0),
    KNOB("disk_ns_min", RUN_SIZES, sim.disk_ns_min, 50000),
    KNOB("disk_ns_mean", RUN_SIZES, sim.disk_ns_mean, 100000),
    KNOB("delay_ns_min", RUN_NETWORK, network.delay_ns_min, 200000),
    KNOB("delay_ns_mean", RUN_NETWORK, network.delay_ns_mean, 300000),
    KNOB("loss_ppm", RUN_NETWORK, network.loss_ppm, 0),
    KNOB("repeat_ppm", RUN_NETWORK, network.repeat_ppm, 0),
    KNOB("corrupt_ppm", RUN_NETWORK, network.corrupt_ppm, 0),
    KNOB("clog_ppm", RUN_NETWORK, network.clog_ppm, 0),
    KNOB("clog_ns", RUN_NETWORK, network.clog_ns_mean, 1000000000),
    KNOB("link_messages", RUN_NETWORK, network.link_messages_max, 0),
    KNOB("cut_ppm", RUN_PARTITION, sim.cut_ppm, 0),
    KNOB("cut_ns", RUN_PARTITION, sim.cut_ns_mean, 3000000000),
    KNOB("crash_ppm", RUN_PROCESS, sim.crash_ppm, 0),
    KNOB("down_ns", RUN_PROCESS, sim.down_ns_mean, 2000000000),
    KNOB("pause_ppm", RUN_PROCESS, sim.pause_ppm, 0),
    KNOB("pause_ns", RUN_PROCESS, sim.pause_ns_mean, 1000000000),
    KNOB("crash_lose_ppm", RUN_PROCESS, disk.crash_lose_ppm, 0),
    KNOB("crash_tear_ppm", RUN_PROCESS, disk.crash_tear_ppm, 0),
    KNOB("crash_names_ppm", RUN_PROCESS, disk.crash_names_ppm, 0),
    KNOB("short_ppm", RUN_ERRORS, disk.short_ppm, 0),
    KNOB("write_error_ppm", RUN_ERRORS, disk.write_error_ppm, 0),
    KNOB("sync_error_ppm", RUN_ERRORS, disk.sync_error_ppm, 0),
    KNOB("read_error_ppm", RUN_ERRORS, disk.read_error_ppm, 0),
    KNOB("stall_ppm", RUN_SLOW, sim.stall_ppm, 0),
    KNOB("stall_ns", RUN_SLOW, sim.stall_ns_mean, 2000000000),
    KNOB("capacity_bytes", RUN_FULL, disk.capacity_bytes, 0),
    KNOB("full_ppm", RUN_FULL, full_ppm, 0),
    KNOB("full_ns", RUN_FULL, full_ns, 1000000000),
    KNOB("damage_ppm", RUN_DAMAGE, damage_ppm, 0),
    KNOB("damage_members", RUN_DAMAGE, damage_members, 0),
    KNOB("drift_ppm", RUN_CLOCK, sim.drift_ppm, 0),
    KNOB("jump_ppm", RUN_CLOCK, sim.jump_ppm, 0),
    KNOB("jump_ns", RUN_CLOCK, sim.jump_ns_max, 1000000000),
    KNOB("memory_ppm", RUN_MEMORY, memory_ppm, 0),
    KNOB("buggify", RUN_SITES, sim.buggify, 0),
    KNOB("away", RUN_CORE, away_count, 0),
    KNOB("away_cut", RUN_CORE, away_cut, 0),
};

enum { KNOBS = sizeof knobs / sizeof *knobs };
_Static_assert((uint32_t)KNOBS <= (uint32_t)RUN_SETTINGS_MAX, "a run can set them all");

uint32_t run_knob_count(void)
{
    return KNOBS;
}

const char *run_knob_name(uint32_t knob)
{
    return knobs[knob].name;
}

uint32_t run_knob_family(uint32_t knob)
{
    return knobs[knob].family;
}

uint64_t run_knob_calm(uint32_t knob)
{
    return knobs[knob].calm;
}

uint32_t run_knob_find(const char *name, size_t size)
{
    for (uint32_t i = 0; i < KNOBS; i++) {
        if (strlen(knobs[i].name) == size && memcmp(knobs[i].name, name, size) == 0) {
            return i;
        }
    }
    return UINT32_MAX;
}

uint64_t run_knob_get(const run_plan *plan, uint32_t knob)
{
    const uint8_t *at = (const uint8_t *)plan + knobs[knob].offset;
    uint32_t small = 0;
    uint64_t value = 0;
    if (knobs[knob].width == sizeof small) {
        memcpy(&small, at, sizeof small);
        return small;
    }
    memcpy(&value, at, sizeof value);
    return value;
}

void run_knob_set(run_plan *plan, uint32_t knob, uint64_t value)
{
    uint8_t *at = (uint8_t *)plan + knobs[knob].offset;
    uint32_t small = (uint32_t)value;
    if (knobs[knob].width == sizeof small) {
        memcpy(at, &small, sizeof small);
    } else {
        memcpy(at, &value, sizeof value);
    }
}

/* What differs from calm, four a line. */
void run_plan_print(const run_plan *plan, FILE *out)
{
    uint32_t on_line = 0;
    for (uint32_t i = 0; i < KNOBS; i++) {
        uint64_t value = run_knob_get(plan, i);
        if (value != knobs[i].calm || knobs[i].family == 0) {
            (void)fprintf(out, "%s%s %llu", on_line == 0 ? "" : ", ", knobs[i].name,
                          (unsigned long long)value);
            on_line++;
        }
        if (on_line == 5) {
            (void)fprintf(out, "\n");
            on_line = 0;
        }
    }
    (void)fprintf(out, "\n");
}
