/* SPDX-License-Identifier: Apache-2.0 */
/* bench_groups.c: what a thousand idle groups cost, each with a member in three processes: resident
 * memory a group, and for each second of the clock messages, frames (bundles of messages, one
 * connection a pair) and CPU time of all three processes together. Once with heartbeats, once with
 * groups that go quiet. One thread plays all three; a queue is the network, storage keeps nothing,
 * and the clock jumps from deadline to deadline, so that CPU time is that of the work alone. Start
 * reading at measure. */

#include <kvraft/node.h>
#include <stdlib.h>
#include <string.h>

#include "bench_questions.h"

#define SECOND UINT64_C(1000000000)

enum { PROCESSES = 3, GROUPS = 1000, SETTLE_SECONDS = 10, IDLE_SECONDS = 30 };

typedef struct packet {
    uint64_t to;
    size_t size;
    uint8_t bytes[];
} packet;

typedef struct process {
    kvr_bundle *bundles[PROCESSES]; /* what waits for each of the others */
    kvr_node *nodes[GROUPS];
    uint64_t deadlines[GROUPS]; /* as told after the last call */
} process;

static struct {
    process processes[PROCESSES];
    uint64_t now;
    uint64_t messages, frames;
    uint64_t allocated; /* by all settled nodes */
} world;

/* What is on its way. The host's own memory is touched before anything is measured. */
static struct {
    _Alignas(packet) uint8_t bytes[8 << 20];
    size_t read, written;
} queue;

static void must(kvr_status status)
{
    if (status != KVR_OK) {
        bench_fail(kvr_status_text(status));
    }
}

/* ------------------------------------------------------------------ the host */

static kvr_status submit(void *ctx, const kvr_store_request *request, kvr_store_result *out_result)
{
    (void)ctx, (void)request;
    out_result->status = KVR_OK;
    out_result->free_bytes = UINT64_MAX;
    return KVR_DONE;
}

static void flush(process *from, uint64_t to)
{
    kvr_slice frame;
    if (kvr_bundle_take(from->bundles[to - 1], &frame) != KVR_OK) {
        return;
    }
    packet *p = (packet *)(void *)(queue.bytes + queue.written);
    size_t size = (sizeof *p + frame.size + _Alignof(packet) - 1) / _Alignof(packet);
    queue.written += size * _Alignof(packet);
    bench_require(queue.written <= sizeof queue.bytes, "room for a frame");
    *p = (packet){.to = to, .size = frame.size};
    memcpy(p->bytes, frame.data, p->size);
    world.frames++;
}

static void send_together(void *ctx, const kvr_message *message)
{
    process *from = ctx;
    kvr_status status = kvr_bundle_add(from->bundles[message->to - 1], &message->bytes);
    if (status == KVR_EBUSY) {
        flush(from, message->to);
        status = kvr_bundle_add(from->bundles[message->to - 1], &message->bytes);
    }
    must(status);
    world.messages++;
}

static uint64_t read_clock(void *ctx)
{
    (void)ctx;
    return world.now;
}

static const kvr_storage storage = {.size = sizeof storage, .submit = submit};
static const kvr_transport transport = {.size = sizeof transport, .send = send_together};
static const kvr_clock virtual_clock = {.size = sizeof virtual_clock, .now = read_clock};

static void boot(process *p, uint32_t group, uint64_t quiet_ns)
{
    const kvr_member members[PROCESSES] = {{.id = 1}, {.id = 2}, {.id = 3}};
    kvr_node_config config;
    must(kvr_node_config_init(&config, sizeof config));
    config.cluster_id = 7;
    config.group_id = group + 1;
    config.member_id = (uint64_t)(p - world.processes) + 1;
    config.members = members;
    config.member_count = PROCESSES;
    config.seed = 11 + group;
    config.quiet_ns = quiet_ns;
    config.storage = &storage;
    config.transport = &transport;
    config.transport_ctx = p;
    config.clock = &virtual_clock;
    must(kvr_node_new(&config, &p->nodes[group]));
}

static bool run_due(void)
{
    bool any = false;
    for (process *p = world.processes; p < world.processes + PROCESSES; p++) {
        for (uint32_t group = 0; group < GROUPS; group++) {
            if (p->deadlines[group] <= world.now) {
                bench_require(kvr_node_run(p->nodes[group], 0) >= 0, "a node runs");
                p->deadlines[group] = kvr_node_deadline(p->nodes[group]);
                any = true;
            }
        }
        for (uint64_t to = 1; to <= PROCESSES; to++) {
            flush(p, to);
        }
    }
    return any;
}

static bool deliver(void)
{
    bool any = queue.read < queue.written;
    while (queue.read < queue.written) {
        const packet *p = (const packet *)(const void *)(queue.bytes + queue.read);
        size_t size = (sizeof *p + p->size + _Alignof(packet) - 1) / _Alignof(packet);
        queue.read += size * _Alignof(packet);
        process *to = &world.processes[p->to - 1];
        kvr_bundle_reader reader;
        kvr_slice message;
        must(kvr_bundle_open(&reader, &(kvr_slice){p->bytes, p->size}));
        while (kvr_bundle_next(&reader, &message) == KVR_OK) {
            kvr_message_info info;
            must(kvr_message_peek(&message, 1 << 20, &info));
            kvr_node *node = to->nodes[info.group_id - 1];
            bench_require(kvr_node_receive(node, &message) >= 0, "a message is taken");
            to->deadlines[info.group_id - 1] = kvr_node_deadline(node);
        }
    }
    queue.read = queue.written = 0;
    return any;
}

static void pass(uint64_t ns)
{
    const uint64_t end = world.now + ns;
    for (;;) {
        uint64_t next = UINT64_MAX;
        while (run_due() || deliver()) {
        }
        for (const process *p = world.processes; p < world.processes + PROCESSES; p++) {
            for (uint32_t group = 0; group < GROUPS; group++) {
                next = p->deadlines[group] < next ? p->deadlines[group] : next;
            }
        }
        if (next > end) {
            world.now = end;
            return;
        }
        world.now = next;
    }
}

/* ------------------------------------------------------------------ the question */

/* All are there when the first election begins, as after a restart. */
static void settle(uint64_t quiet_ns)
{
    world.now = 1;
    for (process *p = world.processes; p < world.processes + PROCESSES; p++) {
        for (uint32_t group = 0; group < GROUPS; group++) {
            boot(p, group, quiet_ns);
            p->deadlines[group] = 0;
        }
    }
    world.allocated = 0;
    pass(SETTLE_SECONDS * SECOND);
    for (const process *p = world.processes; p < world.processes + PROCESSES; p++) {
        for (uint32_t group = 0; group < GROUPS; group++) {
            kvr_node_status status = {.size = sizeof status};
            kvr_node_get_status(p->nodes[group], &status);
            bench_require(status.raft.leader != 0 && status.raft.commit_index == 1,
                          "every group has a leader and is idle");
            world.allocated += status.memory_bytes;
            bench_require(status.raft.quiet == (quiet_ns > 0), "it is quiet if it may be");
        }
    }
}

static void clear(void)
{
    for (process *p = world.processes; p < world.processes + PROCESSES; p++) {
        for (uint32_t group = 0; group < GROUPS; group++) {
            must(kvr_node_free(p->nodes[group]));
        }
    }
}

/* Names of metrics: messages, frames, CPU. */
static void idle(bench_run *run, const char *const metrics[3])
{
    world.messages = world.frames = 0;
    uint64_t cpu = bench_cpu_ns();
    pass(IDLE_SECONDS * SECOND);
    double spent_ms = (double)(bench_cpu_ns() - cpu) / 1e6;
    bench_report(run, metrics[0], (double)world.messages / IDLE_SECONDS);
    bench_report(run, metrics[1], (double)world.frames / IDLE_SECONDS);
    bench_report(run, metrics[2], spent_ms / IDLE_SECONDS);
}

static void measure(bench_run *run)
{
    static const char *const awake[] = {"messages", "frames", "cpu-ms"};
    static const char *const quiet[] = {"quiet-messages", "quiet-frames", "quiet-cpu-ms"};
    for (process *p = world.processes; p < world.processes + PROCESSES; p++) {
        for (uint32_t to = 0; to < PROCESSES; to++) {
            must(kvr_bundle_new(NULL, NULL, 0, &p->bundles[to]));
        }
    }
    memset(queue.bytes, 1, sizeof queue.bytes);
    uint64_t resident = bench_resident_bytes();
    settle(0);
    double grown = (double)(bench_resident_bytes() - resident);
    bench_report(run, "resident-bytes", grown / (PROCESSES * GROUPS));
    bench_report(run, "allocated-bytes", (double)world.allocated / (PROCESSES * GROUPS));
    idle(run, awake);
    clear();
    settle(2 * SECOND);
    idle(run, quiet);
    clear();
    for (process *p = world.processes; p < world.processes + PROCESSES; p++) {
        for (uint32_t to = 0; to < PROCESSES; to++) {
            kvr_bundle_free(p->bundles[to]);
        }
    }
}

const bench_question bench_groups = {
    "groups",
    "groups: 1,000 idle groups on three members, memory a group, and what a second costs all three",
    0,
    {{"kvraft", measure}},
    {{"groups-bytes", "resident-bytes", "B/group", 0, BENCH_GOAL_AT_MOST, 8192},
     {"groups-allocated", "allocated-bytes", "B/group", 0, BENCH_GOAL_AT_MOST, 8192},
     {"groups-messages", "messages", "/s", 0, BENCH_GOAL_NONE, 0},
     {"groups-frames", "frames", "/s", 0, BENCH_GOAL_NONE, 0},
     {"groups-cpu", "cpu-ms", "CPU-ms/s", 0, BENCH_GOAL_NONE, 0},
     {"groups-quiet", "quiet-messages", "/s", 0, BENCH_GOAL_AT_MOST, 0},
     {"groups-quiet-cpu", "quiet-cpu-ms", "CPU-ms/s", 0, BENCH_GOAL_NONE, 0}}};
