/* SPDX-License-Identifier: Apache-2.0 */
/* test_node_groups.c: three processes that hold a thousand groups each, every one with a member in
 * all three. What an idle group costs: memory, calls, messages. The host here is as small as one
 * can be: a queue is the network, a clock that the test moves, storage that keeps nothing. */
#include <kvraft/node.h>

#include "support/test_alloc.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#define SECOND UINT64_C(1000000000)

enum { PROCESSES = 3, GROUPS = 1000, BYTES_MAX = 8192 };

typedef struct packet {
    struct packet *next;
    uint64_t to;
    size_t size;
    uint8_t bytes[];
} packet;

typedef struct process {
    test_alloc alloc;
    kvr_bundle *bundles[PROCESSES]; /* what waits for each of the others: one connection each */
    kvr_node *nodes[GROUPS];
    uint64_t deadlines[GROUPS]; /* as told after the last call */
} process;

static struct {
    process processes[PROCESSES];
    uint64_t now;
    packet *first, *last;
    uint64_t messages, frames, bytes, requests, runs; /* counted since the test cleared them */
} world;

static kvr_status submit(void *ctx, const kvr_store_request *request, kvr_store_result *out_result)
{
    (void)ctx;
    (void)request;
    out_result->status = KVR_OK;
    out_result->free_bytes = UINT64_MAX;
    world.requests++;
    return KVR_DONE;
}

static void queue(uint64_t to, const kvr_slice *frame)
{
    packet *p = malloc(sizeof *p + frame->size);
    cr_assert_not_null(p);
    *p = (packet){.to = to, .size = frame->size};
    memcpy(p->bytes, frame->data, p->size);
    if (world.first == NULL) {
        world.first = p;
    } else {
        world.last->next = p;
    }
    world.last = p;
    world.frames++;
    world.bytes += p->size;
}

static void flush(process *from, uint64_t to)
{
    kvr_slice frame;
    if (kvr_bundle_take(from->bundles[to - 1], &frame) == KVR_OK) {
        queue(to, &frame);
    }
}

static void send_together(void *ctx, const kvr_message *message)
{
    process *from = ctx;
    kvr_status status = kvr_bundle_add(from->bundles[message->to - 1], &message->bytes);
    if (status == KVR_EBUSY) {
        flush(from, message->to);
        status = kvr_bundle_add(from->bundles[message->to - 1], &message->bytes);
    }
    cr_assert_eq(status, KVR_OK);
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

static uint64_t quiet_ns; /* of the next boots */

static void boot(uint32_t i, uint32_t group)
{
    const kvr_member members[PROCESSES] = {{.id = 1}, {.id = 2}, {.id = 3}};
    kvr_node_config config;
    cr_assert_eq(kvr_node_config_init(&config, sizeof config), KVR_OK);
    config.cluster_id = 7;
    config.group_id = group + 1;
    config.member_id = i + 1;
    config.members = members;
    config.member_count = PROCESSES;
    config.seed = 11 + group;
    config.quiet_ns = quiet_ns;
    config.storage = &storage;
    config.transport = &transport;
    config.transport_ctx = &world.processes[i];
    config.clock = &virtual_clock;
    config.allocator = &test_alloc_table;
    config.allocator_ctx = &world.processes[i].alloc;
    cr_assert_eq(kvr_node_new(&config, &world.processes[i].nodes[group]), KVR_OK);
}

static void setup(void)
{
    memset(&world, 0, sizeof world);
    world.now = 1;
    for (uint32_t i = 0; i < PROCESSES; i++) {
        test_alloc_init(&world.processes[i].alloc);
        world.processes[i].alloc.quiet = 1;
        for (uint32_t to = 0; to < PROCESSES; to++) {
            cr_assert_eq(kvr_bundle_new(NULL, NULL, 0, &world.processes[i].bundles[to]), KVR_OK);
        }
        for (uint32_t group = 0; group < GROUPS; group++) {
            boot(i, group);
        }
    }
}

static void teardown(void)
{
    while (world.first != NULL) {
        packet *p = world.first;
        world.first = p->next;
        free(p);
    }
    for (uint32_t i = 0; i < PROCESSES; i++) {
        for (uint32_t group = 0; group < GROUPS; group++) {
            cr_assert_eq(kvr_node_free(world.processes[i].nodes[group]), KVR_OK);
        }
        for (uint32_t to = 0; to < PROCESSES; to++) {
            kvr_bundle_free(world.processes[i].bundles[to]);
        }
        TEST_ALLOC_ASSERT_EMPTY(&world.processes[i].alloc);
    }
}

TestSuite(node_groups, .init = setup, .fini = teardown);

static void setup_quiet(void)
{
    quiet_ns = 2 * SECOND;
    setup();
}

TestSuite(node_quiet, .init = setup_quiet, .fini = teardown);

/* ------------------------------------------------------------------ a host's loop */

static void note_deadline(process *p, uint32_t group)
{
    p->deadlines[group] = kvr_node_deadline(p->nodes[group]);
}

static bool run_due(void)
{
    bool any = false;
    for (process *p = world.processes; p < world.processes + PROCESSES; p++) {
        for (uint32_t group = 0; group < GROUPS; group++) {
            if (p->deadlines[group] <= world.now) {
                kvr_node *node = p->nodes[group];
                cr_assert_geq(kvr_node_run(node, 0), 0, "%s", kvr_node_error(node));
                note_deadline(p, group);
                world.runs++;
                any = true;
            }
        }
        for (uint64_t to = 1; to <= PROCESSES; to++) {
            flush(p, to);
        }
    }
    return any;
}

static void receive(uint64_t to, const kvr_slice *message)
{
    kvr_message_info info;
    cr_assert_eq(kvr_message_peek(message, 1 << 20, &info), KVR_OK);
    cr_assert_eq(info.to, to);
    process *p = &world.processes[to - 1];
    cr_assert_geq(kvr_node_receive(p->nodes[info.group_id - 1], message), 0);
    note_deadline(p, (uint32_t)info.group_id - 1);
}

static bool deliver(void)
{
    bool any = world.first != NULL;
    while (world.first != NULL) {
        packet *p = world.first;
        world.first = p->next;
        kvr_bundle_reader reader;
        kvr_slice message;
        cr_assert_eq(kvr_bundle_open(&reader, &(kvr_slice){p->bytes, p->size}), KVR_OK);
        while (kvr_bundle_next(&reader, &message) == KVR_OK) {
            receive(p->to, &message);
        }
        free(p);
    }
    return any;
}

static uint64_t next_deadline(void)
{
    uint64_t next = UINT64_MAX;
    for (const process *p = world.processes; p < world.processes + PROCESSES; p++) {
        for (uint32_t group = 0; group < GROUPS; group++) {
            next = p->deadlines[group] < next ? p->deadlines[group] : next;
        }
    }
    return next;
}

static void pass(uint64_t ns)
{
    const uint64_t end = world.now + ns;
    for (;;) {
        while (run_due() || deliver()) {
        }
        uint64_t next = next_deadline();
        if (next > end) {
            world.now = end;
            return;
        }
        world.now = next;
    }
}

static void clear_counts(void)
{
    world.messages = world.frames = world.bytes = world.requests = world.runs = 0;
}

static kvr_node_status status_of(uint32_t i, uint32_t group)
{
    kvr_node_status status = {.size = sizeof status};
    kvr_node_get_status(world.processes[i].nodes[group], &status);
    return status;
}

/* ------------------------------------------------------------------ claims */

Test(node_groups, an_idle_group_costs_less_than_eight_kibibytes)
{
    pass(10 * SECOND);

    for (uint32_t i = 0; i < PROCESSES; i++) {
        const test_alloc *alloc = &world.processes[i].alloc;
        cr_assert_lt(alloc->live_bytes / GROUPS, BYTES_MAX, "%llu bytes a group",
                     (unsigned long long)(alloc->live_bytes / GROUPS));
        for (uint32_t group = 0; group < GROUPS; group++) {
            kvr_node_status status = status_of(i, group);
            cr_assert_neq(status.raft.leader, 0);
            cr_assert_eq(status.raft.commit_index, 1);
            cr_assert_lt(status.memory_bytes, BYTES_MAX, "group %u of process %u", group, i);
        }
    }
}

/* Nothing is due before the deadline, and whoever runs a node all the same causes nothing: no
 * message, no request, no allocation. */
Test(node_groups, idle_groups_do_nothing_between_deadlines)
{
    pass(10 * SECOND);
    uint64_t next = next_deadline();
    cr_assert_gt(next, world.now);
    world.now = next - 1;
    clear_counts();
    uint64_t allocations = 0, after = 0;
    for (uint32_t i = 0; i < PROCESSES; i++) {
        allocations += world.processes[i].alloc.call_count;
    }

    for (uint32_t i = 0; i < PROCESSES; i++) {
        for (uint32_t group = 0; group < GROUPS; group++) {
            cr_assert_eq(kvr_node_run(world.processes[i].nodes[group], 0), KVR_OK);
        }
        after += world.processes[i].alloc.call_count;
    }

    cr_assert_eq(world.messages, 0);
    cr_assert_eq(world.requests, 0);
    cr_assert_eq(after, allocations);
    cr_assert_eq(next_deadline(), next);
}

/* However they were elected: soon all leaders of a process beat at once, so that what goes to one
 * peer can travel together. */
Test(node_groups, heartbeats_of_all_groups_are_due_together)
{
    pass(10 * SECOND);

    uint64_t moments = 0;
    for (uint64_t begin = world.now; world.now < begin + SECOND; moments++) {
        world.now = next_deadline();
        while (run_due() || deliver()) {
        }
    }

    cr_assert_leq(moments, 11, "%llu wake-ups in a second", (unsigned long long)moments);
}

/* One beat: each process leads a third of the groups and follows in the rest, so a frame to each
 * other with its heartbeats and one with its answers, whatever the number of groups. */
Test(node_groups, a_beat_costs_each_pair_two_frames)
{
    pass(10 * SECOND);
    clear_counts();

    pass(SECOND);

    cr_assert_geq(world.messages, 10 * GROUPS * 4);
    cr_assert_leq(world.frames, 11 * PROCESSES * (PROCESSES - 1) * 2, "%llu frames",
                  (unsigned long long)world.frames);
    cr_assert_lt(world.bytes / world.messages, 40, "%llu bytes a message",
                 (unsigned long long)(world.bytes / world.messages));
}

/* ------------------------------------------------------------------ quiet groups */

Test(node_quiet, idle_groups_say_nothing_for_ever)
{
    pass(10 * SECOND);
    clear_counts();

    pass(3600 * SECOND);

    cr_assert_eq(world.messages, 0);
    cr_assert_eq(world.requests, 0);
    cr_assert_eq(world.runs, 0);
    cr_assert_eq(next_deadline(), UINT64_MAX);
}

/* One is written to: it wakes, and no other does. */
Test(node_quiet, a_write_wakes_its_group_alone)
{
    pass(10 * SECOND);
    pass(3600 * SECOND);
    uint64_t term = status_of(0, 7).raft.term;
    kvr_slice key = {(const uint8_t *)"k", 1};
    for (uint32_t i = 0; i < PROCESSES; i++) {
        cr_assert_eq(kvr_node_put(world.processes[i].nodes[7], NULL, &key, &key, 0), KVR_OK);
        note_deadline(&world.processes[i], 7);
    }
    clear_counts();

    pass(SECOND);

    for (uint32_t i = 0; i < PROCESSES; i++) {
        cr_assert_eq(status_of(i, 7).store.revision, 4);
        cr_assert_eq(status_of(i, 7).raft.term, term);
        cr_assert_eq(status_of(i, 8).raft.quiet, 1);
    }
    cr_assert_lt(world.messages, 200);
    pass(10 * SECOND);
    cr_assert_eq(status_of(0, 7).raft.quiet, 1);
}

/* Leases are alive by the leader's clock: such a group stays awake. */
Test(node_quiet, a_group_with_leases_stays_awake)
{
    pass(10 * SECOND);
    kvr_node *node = world.processes[1].nodes[3];
    cr_assert_eq(kvr_node_lease_grant(node, NULL, -9, 5 * SECOND), KVR_OK);
    note_deadline(&world.processes[1], 3);
    pass(4 * SECOND);
    cr_assert_eq(status_of(1, 3).lease.leases, 1);
    cr_assert_eq(status_of(1, 3).raft.quiet, 0);
    pass(30 * SECOND);
    cr_assert_eq(status_of(1, 3).lease.leases, 0, "it ended");
    cr_assert_eq(status_of(1, 3).raft.quiet, 1, "and then it may");
}
