/* SPDX-License-Identifier: Apache-2.0 */
/* sim_trouble.c: what happens to members at the rates of the configuration: they crash, stand
 * still, their disks do, their clocks jump. After each event chance is asked once for each; what it
 * decides becomes an event of its own. The caller's sink may leave any of it out: a fault has a
 * name that does not depend on the others (kvr__sim_decision). */
#include <string.h>

#include "base/assertion.h"
#include "sim_internal.h"

enum {
    EVERYBODY_ONE_IN = 16,
    AGAIN_ONE_IN = 5, /* restarts that lose power while they read */
    START_CALLS = 48  /* file calls of a start, about */
};

/* Places in trouble[]. */
enum { PAUSE, STALL, JUMP };
_Static_assert(JUMP + 1 == KVR__SIM_TROUBLES, "one place a kind");

bool kvr__sim_trouble_chance(kvr_sim *sim, kvr__sim_stream *stream, uint32_t member, uint32_t kind,
                             uint32_t ppm)
{
    return kvr__sim_chance(stream, ppm) &&
           (sim->sink.fault == NULL ||
            sim->sink.fault(sim->config.sink_ctx, member, kind, kvr__sim_decision(stream)) != 0);
}

void kvr__sim_trouble_begin(kvr_sim *sim)
{
    static const uint32_t streams[] = {KVR__SIM_PAUSES, KVR__SIM_STALLS, KVR__SIM_JUMPS};
    const kvr_sim_config *config = &sim->config;
    const uint32_t rates[] = {config->pause_ppm, config->stall_ppm, config->jump_ppm};
    sim->crash_ppm = config->crash_ppm;
    sim->cut_ppm = config->cut_ppm;
    sim->crashes = kvr__sim_stream_of(config->seed, UINT32_MAX, KVR__SIM_CRASHES);
    sim->cuts = kvr__sim_stream_of(config->seed, UINT32_MAX, KVR__SIM_CUTS);
    for (uint32_t i = 0; i < KVR__SIM_TROUBLES; i++) {
        sim->trouble_ppm[i] = rates[i];
        sim->troubles[i] = kvr__sim_stream_of(config->seed, UINT32_MAX, streams[i]);
    }
    for (uint32_t i = 0; i < KVR__SIM_CUTS_MAX; i++) {
        sim->cut[i].next.user = &sim->cut[i];
    }
}

/* ------------------------------------------------------------------ crashes */

static void plan_crash(kvr_sim *sim)
{
    uint32_t count = sim->config.member_count;
    bool everybody = kvr__sim_below(&sim->crashes, EVERYBODY_ONE_IN) == 0;
    uint32_t victim = (uint32_t)kvr__sim_below(&sim->crashes, count);
    for (uint32_t i = 0; i < count; i++) {
        kvr__sim_member *member = &sim->members[i];
        if (member->state != KVR_SIM_UP || (!everybody && i != victim)) {
            continue;
        }
        if (kvr__sim_below(&sim->crashes, 2) == 0 && member->task != KVR__SIM_IDLE) {
            member->crash_in_batch = true;
        } else {
            kvr__sim_event_set(sim, &member->crash, sim->now_ns);
        }
    }
}

void kvr__sim_trouble_crash(kvr__sim_member *member)
{
    kvr_sim *sim = member->sim;
    kvr__sim_member_stop(member);
    kvr_sim_disk_crash(member->disk);
    kvr__sim_event_set(sim, &member->restart,
                       sim->now_ns + kvr__sim_span(&sim->crashes, 0, sim->config.down_ns_mean));
}

void kvr__sim_trouble_restart(kvr__sim_member *member)
{
    kvr_sim *sim = member->sim;
    bool again = sim->crash_ppm > 0 && kvr__sim_below(&sim->crashes, AGAIN_ONE_IN) == 0;
    if (again) {
        kvr_sim_disk_crash_after(member->disk, kvr__sim_below(&sim->crashes, START_CALLS));
    }
    kvr_status status = kvr__sim_member_start(member);
    if (status != KVR_OK) {
        sim->trouble = status;
    }
    if (again || status != KVR_OK) {
        kvr__sim_trouble_crash(member);
    }
}

/* ------------------------------------------------------------------ pauses, stalls, jumps */

static void plan_trouble(kvr_sim *sim, uint32_t which)
{
    kvr__sim_stream *stream = &sim->troubles[which];
    const kvr_sim_config *config = &sim->config;
    kvr__sim_member *member = &sim->members[kvr__sim_below(stream, config->member_count)];
    if (member->state != KVR_SIM_UP || member->trouble[which].due.place != 0) {
        return;
    }
    uint64_t span = which == PAUSE   ? kvr__sim_span(stream, 1, config->pause_ns_mean)
                    : which == STALL ? kvr__sim_span(stream, 1, config->stall_ns_mean)
                                     : 1 + kvr__sim_below(stream, config->jump_ns_max);
    member->trouble_ns[which] = span;
    kvr__sim_event_set(sim, &member->trouble[which], sim->now_ns);
}

void kvr__sim_trouble_strike(kvr__sim_member *member, const kvr__sim_item *item,
                             kvr_sim_event *event)
{
    kvr_sim *sim = member->sim;
    uint32_t which = (uint32_t)(item - member->trouble);
    uint64_t span = member->trouble_ns[which];
    event->span_ns = span;
    switch (which) {
    case PAUSE:
        member->paused_until = sim->now_ns + span;
        break;
    case STALL:
        member->stalled_until = sim->now_ns + span;
        if (member->work.due.place != 0 && member->work.due.key < member->stalled_until) {
            kvr__sim_event_set(sim, &member->work, member->stalled_until);
        }
        break;
    default:
        member->clock_begin += span;
        sim->touched |= 1U << member->number;
        break;
    }
}

/* ------------------------------------------------------------------ all of it */

void kvr__sim_trouble_draw(kvr_sim *sim)
{
    const uint32_t all = (uint32_t)KVR__SIM_NONE;
    if (kvr__sim_trouble_chance(sim, &sim->crashes, all, KVR_SIM_FAULT_CRASH, sim->crash_ppm)) {
        plan_crash(sim);
    }
    if (kvr__sim_trouble_chance(sim, &sim->cuts, all, KVR_SIM_FAULT_CUT, sim->cut_ppm)) {
        kvr__sim_partition_plan(sim);
    }
    for (uint32_t i = 0; i < KVR__SIM_TROUBLES; i++) {
        if (kvr__sim_trouble_chance(sim, &sim->troubles[i], all, KVR_SIM_FAULT_PAUSE + i,
                                    sim->trouble_ppm[i])) {
            plan_trouble(sim, i);
        }
    }
}

/* A member that stood still goes on; messages that came for it meanwhile are late. */
static void end_for(kvr__sim_member *member)
{
    kvr_sim *sim = member->sim;
    member->crash_in_batch = false;
    member->paused_until = 0;
    member->stalled_until = 0;
    kvr__sim_event_cancel(sim, &member->crash);
    for (uint32_t i = 0; i < KVR__SIM_TROUBLES; i++) {
        kvr__sim_event_cancel(sim, &member->trouble[i]);
    }
    if (member->work.due.place != 0 && member->task == KVR__SIM_BATCH) {
        kvr__sim_event_set(sim, &member->work, sim->now_ns);
    }
    sim->touched |= 1U << member->number;
}

void kvr__sim_trouble_end(kvr_sim *sim)
{
    sim->crash_ppm = 0;
    sim->cut_ppm = 0;
    for (uint32_t i = 0; i < KVR__SIM_TROUBLES; i++) {
        sim->trouble_ppm[i] = 0;
    }
    for (uint32_t i = 0; i < KVR__SIM_CUTS_MAX; i++) {
        if (sim->cut[i].next.due.place != 0) {
            kvr__sim_partition_end(sim, &sim->cut[i]);
        }
    }
    for (uint32_t i = 0; i < sim->config.member_count; i++) {
        end_for(&sim->members[i]);
    }
    memset(sim->link_clogged_until, 0, sizeof sim->link_clogged_until);
    sim->healed = true;
}
