/* SPDX-License-Identifier: Apache-2.0 */
/* run_world.c: the cluster of a seed, and who hears of what. Checkers that judge what a member says
 * go first, the ghost after them or before them as their headers ask for. After each event the
 * member's own status is looked at; what costs more is looked at now and then. */
#include "check_decode.h"
#include "run.h"
#include "run_page.h"

#include <string.h>

enum {
    LEASES_EVERY = 1024,
    SPINS_MAX = 100000 /* events without time passing */
};

/* ------------------------------------------------------------------ what members tell */

/* A leader commits, applies and answers in one event: so that the model is never behind, its commit
 * index is asked for as soon as it tells of something that the model does not have. */
static void catch_up(run_world *world, uint32_t member, uint64_t index, uint64_t revision)
{
    check_store_advance(&world->store);
    if (index <= world->store.applied && revision <= world->store.model->revision) {
        return;
    }
    kvr_node_status status;
    run_world_status(world, member, &status);
    check_raft_commit(&world->raft, member, &status.raft);
    check_store_advance(&world->store);
}

static void on_completed(void *ctx, uint32_t member, const kvr_completion *completion)
{
    bool is_question = completion->kind == KVR_CALL_LEASE_KEEP_ALIVE ||
                       completion->kind == KVR_CALL_LEASE_TIME_TO_LIVE;
    /* What a leader knows of a lease may come of an entry of this very event, which nothing
     * names. */
    catch_up(ctx, member, is_question ? UINT64_MAX : completion->index, completion->revision);
    run_clients_completed(ctx, member, completion);
}

static void on_watched(void *ctx, uint32_t member, const kvr_watch_batch *batch)
{
    run_world *world = ctx;
    uint32_t begun = (batch->flags & KVR_WATCH_PART) != 0; /* a revision that it holds a part of */
    catch_up(world, member, 0, batch->revision + begun);
    check_watch_batch(&world->watch, member, batch);
}

static void on_timer(void *ctx, void *user)
{
    run_clients_timer(ctx, user);
}

static void on_log(void *ctx, uint32_t member, const char *line)
{
    const run_world *world = ctx;
    (void)member;
    (void)fprintf(world->listener.trace, "%s\n", line);
}

/* A leader without a vote tells what it committed last and steps down, all in one event: it is
 * asked when it tells. */
static void hear_of_commit(run_world *world, uint32_t member, const kvr_slice *bytes)
{
    wire_message heartbeat;
    if (wire_read(bytes, &heartbeat) && heartbeat.type == WIRE_HEARTBEAT &&
        heartbeat.commit > world->raft.committed_index) {
        kvr_node_status status;
        run_world_status(world, member, &status);
        check_raft_commit(&world->raft, member, &status.raft);
    }
}

static void on_sent(void *ctx, uint32_t member, const kvr_message *message)
{
    run_world *world = ctx;
    check_wal_settle(&world->wal, member);
    hear_of_commit(world, member, &message->bytes);
    check_raft_sent(&world->raft, member, &message->bytes);
}

static void on_submitted(void *ctx, uint32_t member, const kvr_store_request *request)
{
    run_world *world = ctx;
    world->ghost->now_ns = kvr_sim_now(world->sim);
    if (request->kind == KVR_STORE_SNAPSHOT_WRITE) {
        catch_up(world, member, request->snapshot.index, 0);
    }
    check_wal_submitted(&world->wal, member, request);
    check_raft_submitted(&world->raft, member, request);
    ghost_submitted(world->ghost, member, request);
}

static void on_stored(void *ctx, uint32_t member, const kvr_store_request *request,
                      const kvr_store_result *result)
{
    run_world *world = ctx;
    check_wal_stored(&world->wal, member, request, result);
    ghost_stored(world->ghost, member, request, result);
    check_raft_stored(&world->raft, member, request, result);
}

static uint8_t on_fault(void *ctx, uint32_t member, uint32_t kind, uint64_t decision)
{
    (void)member;
    return run_trouble_wants(ctx, kind, decision);
}

void run_world_say(run_world *world, uint32_t member, const char *word, const char *what,
                   uint64_t number)
{
    uint64_t now = kvr_sim_now(world->sim);
    if (world->listener.trace != NULL) {
        (void)fprintf(world->listener.trace, "%6llu.%06llu  %u  %-12s%s %llu\n",
                      (unsigned long long)(now / 1000000000),
                      (unsigned long long)(now / 1000 % 1000000), member + 1, word, what,
                      (unsigned long long)number);
    }
    page_say(world->listener.page, now, member, word, what, number);
}

/* ------------------------------------------------------------------ after an event */

bool run_world_is_up(const run_world *world, uint32_t member)
{
    kvr_sim_member_status status = {.size = sizeof status};
    kvr_sim_get_member_status(world->sim, member, &status);
    return status.state == KVR_SIM_UP;
}

void run_world_status(const run_world *world, uint32_t member, kvr_node_status *out_status)
{
    *out_status = (kvr_node_status){.size = sizeof *out_status};
    kvr_node_get_status(kvr_sim_look(world->sim, member), out_status);
}

static void look_at_progress(run_world *world, uint32_t member, uint64_t configuration)
{
    const kvr_node *node = kvr_sim_look(world->sim, member);
    kvr_raft_progress members[CHECK_MEMBERS_MAX];
    uint32_t count = 0;
    for (; count < CHECK_MEMBERS_MAX; count++) {
        members[count].size = sizeof members[count];
        if (kvr_node_get_progress(node, count, &members[count]) != KVR_OK) {
            break;
        }
        check_raft_progress(&world->raft, member, &members[count]);
    }
    check_raft_configuration(&world->raft, member, configuration, members, count);
}

static void look_at(run_world *world, const kvr_sim_event *event)
{
    kvr_node_status status;
    run_world_status(world, event->member, &status);
    if (status.raft.role != KVR_ROLE_LOADING) {
        check_wal_settle(&world->wal, event->member);
    }
    check_raft_status(&world->raft, event->member, &status.raft, event->message_type);
    check_store_status(&world->store, event->member, &status);
    if (status.raft.role != KVR_ROLE_LOADING) {
        look_at_progress(world, event->member, status.raft.configuration_index);
    }
}

/* A failure is news only if no fault of this seed explains it. */
static void look_at_failure(run_world *world, uint32_t member)
{
    kvr_sim_member_status status = {.size = sizeof status};
    kvr_sim_get_member_status(world->sim, member, &status);
    const kvr_sim_disk_faults *disk = &world->plan.disk;
    bool rots = (world->damaged_members >> member & 1) != 0;
    bool errs = disk->write_error_ppm + disk->sync_error_ppm + disk->read_error_ppm > 0;
    bool is_damage = status.failure == KVR_FCORRUPT || status.failure == KVR_ECORRUPT;
    bool is_disk = status.failure == KVR_FSTORAGE || status.failure == KVR_EIO;
    bool is_full =
        status.failure == KVR_ENOSPACE && disk->capacity_bytes + world->plan.full_ppm > 0;
    if (is_damage && rots) {
        world->lost_members |= (uint64_t)1 << member;
        world->losses++;
    } else if ((is_disk && (errs || rots)) || is_full) {
        world->failed_members |= (uint64_t)1 << member;
    } else {
        check_fail(&world->report, is_damage ? "W6" : "F", "member %u fails (%s): %s", member + 1,
                   kvr_status_name(status.failure), status.error);
    }
}

/* The disk's own word, whatever the member made of it. */
static void look_at_disk(run_world *world, uint32_t member)
{
    const char *error = kvr_sim_disk_ops()->error(kvr_sim_member_disk(world->sim, member));
    if (error != NULL && strcmp(error, "simulated flush error") == 0) {
        check_wal_flush_failed(&world->wal, member);
    }
}

static void on_event(void *ctx, const kvr_sim_event *event)
{
    run_world *world = ctx;
    world->spins = event->time_ns == world->last_ns ? world->spins + 1 : 0;
    world->last_ns = event->time_ns;
    if (world->spins > SPINS_MAX) {
        check_fail(&world->report, "L", "%u events without time passing; the last of member %u",
                   SPINS_MAX, event->member + 1);
    }
    switch (event->kind) {
    case KVR_SIM_JUMP:
        check_lease_jumped(&world->lease, event->span_ns);
        break;
    case KVR_SIM_CRASH:
        run_clients_stopped(world, event->member);
        check_raft_stopped(&world->raft, event->member);
        break;
    case KVR_SIM_FAILURE:
        run_clients_stopped(world, event->member);
        check_raft_stopped(&world->raft, event->member);
        look_at_failure(world, event->member);
        break;
    case KVR_SIM_UPKEEP:
        look_at_disk(world, event->member);
        break;
    case KVR_SIM_STORAGE:
        look_at_disk(world, event->member);
        /* fall through */
    case KVR_SIM_MESSAGE:
    case KVR_SIM_TIMER:
        if (run_world_is_up(world, event->member)) {
            look_at(world, event);
        }
        break;
    default:
        break;
    }
    if (kvr_sim_event_count(world->sim) % LEASES_EVERY == 0) {
        check_lease_ended(&world->lease);
    }
    page_event(world->listener.page, world, event);
}

bool run_world_step(run_world *world)
{
    world->trouble.memory_armed = !world->trouble.over;
    kvr_status status = kvr_sim_step(world->sim, NULL);
    world->trouble.memory_armed = false;
    run_trouble_event(world);
    world->is_asleep = status == KVR_END; /* a quiet group, and nobody who asks for anything */
    if (status != KVR_OK && status != KVR_END &&
        (status != KVR_ENOMEM || world->plan.memory_ppm == 0)) {
        check_fail(&world->report, "F", "the simulator says %s", kvr_status_name(status));
    }
    return !world->report.failed && !world->is_asleep;
}

/* ------------------------------------------------------------------ life */

bool run_world_new(run_world *world)
{
    world->sink = (kvr_sim_sink){
        .size = sizeof world->sink,
        .completed = on_completed,
        .watched = on_watched,
        .timer = on_timer,
        .event = on_event,
        .log = world->listener.trace == NULL ? NULL : on_log,
        .sent = on_sent,
        .submitted = on_submitted,
        .stored = on_stored,
        .fault = on_fault,
    };
    run_plan *plan = &world->plan;
    plan->sim.node = &plan->node;
    plan->sim.network = &plan->network;
    plan->sim.disk = &plan->disk;
    plan->sim.sink = &world->sink;
    plan->sim.sink_ctx = world;
    plan->sim.allocator = &run_trouble_allocator;
    plan->sim.allocator_ctx = world;
    world->ghost = ghost_new(plan->sim.member_count, &world->report);
    check_raft_init(&world->raft, world->ghost, &world->report);
    world->raft.memory_fails = plan->memory_ppm > 0;
    check_wal_init(&world->wal, world->ghost, &world->report);
    check_store_init(&world->store, &world->raft, &world->report);
    check_history_init(&world->history, &world->store, &world->report);
    world->history.drift_ppm = world->plan.sim.drift_ppm;
    check_lease_init(&world->lease, &world->store, plan->sim.drift_ppm, &world->report);
    check_watch_init(&world->watch, &world->store, &world->report);
    kvr_status status = kvr_sim_new(&plan->sim, &world->sim);
    if (status != KVR_OK) {
        check_fail(&world->report, "F", "kvr_sim_new says %s: %s", kvr_status_name(status),
                   kvr_node_config_check(&plan->node));
        return false;
    }
    run_trouble_begin(world);
    run_clients_begin(world);
    return !world->report.failed;
}

void run_world_free(run_world *world)
{
    kvr_sim_free(world->sim);
    run_register_release(world);
    check_lease_release(&world->lease);
    check_history_release(&world->history);
    check_store_release(&world->store);
    check_raft_release(&world->raft);
    ghost_free(world->ghost);
    if (world->blocks != 0) {
        check_fail(&world->report, "R13", "%llu blocks of memory are still held",
                   (unsigned long long)world->blocks);
    }
}
