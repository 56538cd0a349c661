/* SPDX-License-Identifier: Apache-2.0 */
/* run_phases.c: the life of a seed. Safety: faults and clients, everything is checked. Liveness:
 * faults end, everybody comes back, nobody begins anything; within written bounds there must be a
 * leader, every call must be answered, all members must be alike and take new calls. Last, power
 * fails everywhere at once, and what comes back must be what there was. An assertion of the library
 * is a violation like any other. */
#include <setjmp.h>
#include <stdlib.h>
#include <string.h>

#include "run.h"
#include "run_page.h"

enum {
    LEADER_ELECTIONS = 20,    /* ten of the longest timeouts, each twice election_ns */
    ANSWER_ELECTIONS = 20,    /* beyond a call's own timeout */
    CONVERGE_ELECTIONS = 100, /* snapshots included */
    TERM_GROWTH_MAX = 3,
    PROBES = 4,
    REIGNS = 5,
    LOOK_EVERY = 16,
    RESTART_EVERY = 512
};

/* ------------------------------------------------------------------ waiting */

static bool is_core(const run_world *world, uint32_t member)
{
    return ((world->lost_members | world->away_members) >> member & 1) == 0;
}

static bool has_quorum(const run_world *world)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < world->plan.sim.member_count; i++) {
        count += is_core(world, i);
    }
    return count > world->plan.sim.member_count / 2;
}

static bool has_leader(run_world *world)
{
    for (uint32_t i = 0; i < world->plan.sim.member_count; i++) {
        kvr_node_status status;
        /* one that was damaged may lead too, if its disk came to terms with it */
        if ((world->away_members >> i & 1) == 0 && run_world_is_up(world, i)) {
            run_world_status(world, i, &status);
            if (status.raft.role == KVR_ROLE_LEADER) {
                return true;
            }
        }
    }
    return false;
}

static bool is_answered(run_world *world)
{
    return world->clients.under_way == 0;
}

static bool is_alike(run_world *world)
{
    uint64_t index = world->raft.committed_index;
    for (uint32_t i = 0; i < world->plan.sim.member_count; i++) {
        if (!is_core(world, i)) {
            continue;
        }
        kvr_node_status status;
        if (!run_world_is_up(world, i)) {
            return false;
        }
        run_world_status(world, i, &status);
        if (status.loading != 0 || status.hash_index != index || status.raft.last_index != index) {
            return false;
        }
    }
    return has_leader(world);
}

static void describe(const run_world *world, char *out, size_t size)
{
    int used = 0;
    for (uint32_t i = 0; i < world->plan.sim.member_count && used >= 0 && (size_t)used < size;
         i++) {
        kvr_node_status status;
        if (!run_world_is_up(world, i)) {
            used += snprintf(out + used, size - (size_t)used, " %u down;", i + 1);
            continue;
        }
        run_world_status(world, i, &status);
        used += snprintf(out + used, size - (size_t)used, " %u role %u term %llu %llu/%llu/%llu;",
                         i + 1, status.raft.role, (unsigned long long)status.raft.term,
                         (unsigned long long)status.hash_index,
                         (unsigned long long)status.raft.commit_index,
                         (unsigned long long)status.raft.last_index);
    }
}

/* An operator at work. A disk's failure may show only when faults are over, at the next request. */
static void restart_failed(run_world *world)
{
    for (uint32_t i = 0; i < world->plan.sim.member_count; i++) {
        if ((world->failed_members >> i & 1) != 0) {
            world->failed_members &= ~((uint64_t)1 << i);
            kvr_sim_crash(world->sim, i);
            check_raft_stopped(&world->raft, i);
            if (kvr_sim_restart(world->sim, i) != KVR_OK) {
                check_fail(&world->report, "F", "no memory to restart member %u", i + 1);
            }
        }
    }
}

/* Runs until `done`, or for `span_ns`: then `what` did not happen in time. Without a quorum, as
 * damage may show only now, nothing needs to happen. */
static void wait_for(run_world *world, bool (*done)(run_world *), uint64_t span_ns,
                     const char *what)
{
    uint64_t end = kvr_sim_now(world->sim) + span_ns;
    uint64_t losses = world->losses;
    uint32_t steps = 0;
    bool woken = false;
    world->is_asleep = false;
    while (!world->report.failed && has_quorum(world)) {
        if (world->is_asleep || steps++ % LOOK_EVERY == 0) {
            restart_failed(world);
            if (done(world)) {
                return;
            }
        }
        if (world->losses != losses) { /* damage came to light: the time begins again */
            losses = world->losses;
            end = kvr_sim_now(world->sim) + span_ns;
        }
        if (world->is_asleep && !woken) { /* a quiet group needs no leader until somebody asks */
            woken = run_clients_probe(world) > 0;
            world->is_asleep = !woken;
        }
        if (world->is_asleep || kvr_sim_now(world->sim) >= end) {
            char members[200] = "";
            describe(world, members, sizeof members);
            check_fail(&world->report, "L", "%s for %llu ms after healing;%s", what,
                       (unsigned long long)(span_ns / 1000000), members);
            return;
        }
        (void)run_world_step(world);
    }
}

static void run_for(run_world *world, uint64_t span_ns)
{
    uint64_t end = kvr_sim_now(world->sim) + span_ns;
    while (kvr_sim_now(world->sim) < end && run_world_step(world)) {
    }
}

/* ------------------------------------------------------------------ the phases */

static void safety(run_world *world)
{
    uint64_t next = RESTART_EVERY;
    while (kvr_sim_event_count(world->sim) < world->plan.step_count && run_world_step(world)) {
        if (kvr_sim_event_count(world->sim) >= next) {
            next += RESTART_EVERY;
            restart_failed(world);
        }
    }
}

/* Some members stay away for ever: what is left must do without them. */
static void send_away(run_world *world)
{
    uint32_t count = world->plan.sim.member_count;
    uint32_t first = (uint32_t)dice_below(&world->clients.dice, count);
    uint32_t quorum = count / 2 + 1;
    for (uint32_t k = 0, sent = 0; k < count && sent < world->plan.away_count; k++) {
        uint32_t i = (first + k) % count;
        uint32_t core = 0;
        for (uint32_t j = 0; j < count; j++) { /* damage may show later */
            core += is_core(world, j) && (world->damaged_members >> j & 1) == 0;
        }
        if (!is_core(world, i) || core <= quorum) {
            continue;
        }
        world->away_members |= (uint64_t)1 << i;
        run_world_say(world, i, "away", world->plan.away_cut != 0 ? "cut" : "down", 0);
        sent++;
        for (uint32_t j = 0; j < count && world->plan.away_cut != 0; j++) {
            kvr_sim_cut(world->sim, i, j, 1);
            kvr_sim_cut(world->sim, j, i, 1);
        }
        if (world->plan.away_cut == 0) {
            kvr_sim_crash(world->sim, i);
            run_clients_stopped(world, i);
            check_raft_stopped(&world->raft, i);
        }
    }
}

static void calm_down(run_world *world)
{
    kvr_sim_network calm = world->plan.network;
    uint64_t quick = world->plan.node.election_ns / 64;
    calm.loss_ppm = 0;
    calm.repeat_ppm = 0;
    calm.corrupt_ppm = 0;
    calm.clog_ppm = 0;
    calm.link_messages_max = 0;
    calm.delay_ns_mean = calm.delay_ns_mean < quick ? calm.delay_ns_mean : quick;
    kvr_sim_set_network(world->sim, &calm);
    kvr_sim_disk_faults sound = world->plan.disk;
    sound.write_error_ppm = 0;
    sound.sync_error_ppm = 0;
    sound.read_error_ppm = 0;
    sound.capacity_bytes = 0;
    for (uint32_t i = 0; i < world->plan.sim.member_count; i++) {
        kvr_sim_set_disk(world->sim, i, &sound);
    }
    world->clients.quiet = true;
    run_trouble_end(world);
    restart_failed(world);
    if (kvr_sim_heal(world->sim) != KVR_OK) {
        check_fail(&world->report, "F", "no memory to heal");
    }
    send_away(world);
}

static uint64_t highest_term(const run_world *world)
{
    uint64_t term = 0;
    for (uint32_t i = 0; i < world->plan.sim.member_count; i++) {
        const ghost_vote *vote = &world->ghost->members[i].vote;
        term = vote->term > term ? vote->term : term;
    }
    return term;
}

/* New calls on everybody are done. A member that a snapshot carries over its call's entry cannot
 * know what became of it; so each round must be answered, and one of a few must be done. */
static void probe(run_world *world)
{
    for (uint32_t round = 0; round < PROBES && !world->report.failed; round++) {
        /* one that failed since, as damage shows late, starts again first */
        wait_for(world, has_leader, LEADER_ELECTIONS * world->plan.node.election_ns,
                 "there is no leader");
        world->clients.probe_done = 0;
        uint32_t count = run_clients_probe(world);
        wait_for(world, is_answered,
                 world->plan.node.call_timeout_ns + ANSWER_ELECTIONS * world->plan.node.election_ns,
                 "a new call is not answered");
        if (world->clients.probe_done == count && count > 0) {
            return;
        }
    }
    if (has_quorum(world)) {
        check_fail(&world->report, "L", "new calls are not done in a healthy cluster");
    }
}

/* No member is better than another: a hand-over would end a reign before its time. */
static void make_equal(run_world *world)
{
    for (uint32_t i = 0; i < world->plan.sim.member_count; i++) {
        kvr_node *node = run_world_is_up(world, i) ? kvr_sim_node(world->sim, i) : NULL;
        if (node != NULL && kvr_node_set_priority(node, 0) != KVR_OK) {
            check_fail(&world->report, "F", "member %u refuses a priority", i + 1);
        }
    }
}

/* L4: nobody renews a lease any more. In half of the seeds no leader lasts as long as the longest
 * TTL, though longer than half of it: a lease outlives one of them, or two, and no more. */
static void end_leases(run_world *world)
{
    uint64_t election = world->plan.node.election_ns;
    uint64_t begin = kvr_sim_now(world->sim);
    if (world->seed % 2 == 0) {
        run_for(world, 2 * world->plan.ttl_ns_max + 12 * election);
    }
    for (uint32_t i = 0; i < REIGNS && world->seed % 2 != 0; i++) {
        make_equal(world);
        run_for(world, world->plan.ttl_ns_max / 10 * 6);
        uint32_t leader = kvr_sim_leader(world->sim);
        if (leader != UINT32_MAX) {
            kvr_sim_crash(world->sim, leader);
            run_clients_stopped(world, leader);
            check_raft_stopped(&world->raft, leader);
            if (kvr_sim_restart(world->sim, leader) != KVR_OK) {
                check_fail(&world->report, "F", "no memory to restart member %u", leader + 1);
            }
        }
        wait_for(world, has_leader, LEADER_ELECTIONS * election, "there is no leader");
    }
    if (!has_quorum(world)) {
        return;
    }
    uint64_t now = kvr_sim_now(world->sim);
    check_lease_quiet(&world->lease, now, now - begin, election);
}

/* Clients' transfers and changes of members that are under way: each may still move the leadership,
 * once. */
static uint64_t moves_under_way(const run_world *world)
{
    uint64_t count = 0;
    for (uint32_t i = 0; i < RUN_CALLS_MAX; i++) {
        const run_call *call = &world->clients.calls[i];
        uint8_t kind = (uint8_t)call->base.kind;
        bool moves = kind == KVR_CALL_TRANSFER_LEADER || kind == KVR_CALL_MEMBER_CHANGE;
        count += call->is_used && moves ? 1 : 0;
    }
    return count;
}

static void liveness(run_world *world)
{
    uint64_t election = world->plan.node.election_ns;
    uint64_t term = highest_term(world);
    uint64_t moves = moves_under_way(world);
    wait_for(world, has_leader, LEADER_ELECTIONS * election, "there is no leader");
    wait_for(world, is_answered, world->plan.node.call_timeout_ns + ANSWER_ELECTIONS * election,
             "calls are not answered");
    wait_for(world, is_alike, CONVERGE_ELECTIONS * election, "members are not alike");
    if (highest_term(world) > term + TERM_GROWTH_MAX + moves) {
        check_fail(&world->report, "L",
                   "terms went from %llu to %llu after healing, with %llu moves under way",
                   (unsigned long long)term, (unsigned long long)highest_term(world),
                   (unsigned long long)moves);
    }
    probe(world);
    wait_for(world, is_alike, CONVERGE_ELECTIONS * election, "members are not alike");
    if (world->report.failed || !has_quorum(world)) {
        return;
    }
    run_clients_caught_up(world);
    if (world->store.live_leases > 0) {
        end_leases(world);
    }
}

static void power_failure(run_world *world)
{
    uint64_t election = world->plan.node.election_ns;
    for (uint32_t i = 0; i < world->plan.sim.member_count; i++) {
        kvr_sim_crash(world->sim, i);
        run_clients_stopped(world, i);
        check_raft_stopped(&world->raft, i);
    }
    world->away_members = 0;
    if (kvr_sim_heal(world->sim) != KVR_OK) {
        check_fail(&world->report, "F", "no memory to start again");
    }
    wait_for(world, has_leader, LEADER_ELECTIONS * election, "there is no leader");
    wait_for(world, is_alike, CONVERGE_ELECTIONS * election, "members are not alike");
    if (!world->report.failed && has_quorum(world)) {
        probe(world);
    }
}

void run_phases(run_world *world)
{
    safety(world);
    if (!world->report.failed) {
        world->phase = RUN_LIVENESS;
        calm_down(world);
    }
    if (!world->report.failed && has_quorum(world)) {
        liveness(world);
    }
    if (!world->report.failed) {
        world->phase = RUN_POWER_FAILURE;
        power_failure(world);
    }
    if (!world->report.failed) {
        check_lease_ended(&world->lease);
        check_history_end(&world->history);
        run_register_judge(world);
    }
}

/* ------------------------------------------------------------------ one seed */

static jmp_buf panic_exit;
static check_report *panic_report;

/* The library's own would abort: here the seed ends, and the next one begins. */
void kvr_panic(const char *file, int32_t line, const char *condition)
{
    if (panic_report == NULL) {
        abort();
    }
    check_fail(panic_report, "ASSERT", "%s:%d: %s", file, (int)line, condition);
    longjmp(panic_exit, 1);
}

static void fill_verdict(const run_world *world, run_verdict *out)
{
    *out = (run_verdict){
        .time_ns = world->sim == NULL ? 0 : kvr_sim_now(world->sim),
        .events = world->sim == NULL ? 0 : kvr_sim_event_count(world->sim),
        .trace_hash = world->sim == NULL ? 0 : kvr_sim_trace_hash(world->sim),
        .done = world->history.done_count,
        .unknown = world->history.unknown_count,
        .undecided = world->undecided,
        .watched = world->watch.event_count,
    };
    memcpy(out->faults, world->fault_counts, sizeof out->faults);
}

void run_seed(const run_spec *spec, const run_listener *listener, run_verdict *out_verdict)
{
    run_world *volatile world = check_alloc(sizeof *world);
    world->seed = spec->seed;
    world->spec = spec;
    world->listener = *listener;
    run_spec_plan(spec, &world->plan);
    if (listener->trace != NULL) {
        run_plan_print(&world->plan, listener->trace);
    }
    panic_report = &world->report;
    bool panicked = setjmp(panic_exit) != 0;
    if (!panicked && run_world_new(world)) {
        run_phases(world);
    }
    panic_report = NULL;
    fill_verdict(world, out_verdict);
    page_end(listener->page, world, &world->report);
    if (panicked) {
        out_verdict->report = world->report; /* what the panic left behind is not touched again */
        return;
    }
    run_world_free(world);
    out_verdict->report = world->report;
    free(world);
}
