/* SPDX-License-Identifier: Apache-2.0 */
/* sim_trouble.c: crashes and partitions at the rates of the configuration. After each event chance
 * is asked once for each; what it decides becomes an event of its own. */
#include "base/assertion.h"
#include "sim_internal.h"

enum {
    EVERYBODY_ONE_IN = 16,
    AGAIN_ONE_IN = 5, /* restarts that lose power while they read */
    START_CALLS = 48, /* file calls of a start, about */
    CUT_KINDS = 5
};

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

/* ------------------------------------------------------------------ partitions */

enum { CUT_ONE, CUT_HALF, CUT_OUT, CUT_IN, CUT_LINK };

/* Whether a partition of `kind` cuts the way from one member to another. */
static bool cuts(uint32_t kind, uint32_t from, uint32_t to, uint32_t victim, uint64_t half)
{
    bool from_half = (half >> from & 1) != 0;
    bool to_half = (half >> to & 1) != 0;
    switch (kind) {
    case CUT_ONE:
        return from == victim || to == victim;
    case CUT_HALF:
        return from_half != to_half;
    case CUT_OUT:
        return from == victim;
    case CUT_IN:
        return to == victim;
    default: /* CUT_LINK: both ways between the victim and the next one */
        return (from == victim && to_half) || (to == victim && from_half);
    }
}

static void plan_cut(kvr_sim *sim)
{
    for (uint32_t i = 0; i < KVR__SIM_CUTS_MAX && sim->config.member_count > 1; i++) {
        if (sim->cut[i].end.due.place == 0) {
            sim->cut_begin.user = &sim->cut[i];
            kvr__sim_event_set(sim, &sim->cut_begin, sim->now_ns);
            return;
        }
    }
}

static void count_links(kvr_sim *sim, const kvr__sim_cut *cut, bool adds)
{
    for (uint32_t from = 0; from < sim->config.member_count; from++) {
        for (uint32_t to = 0; to < sim->config.member_count; to++) {
            if (cut->links[from][to]) {
                sim->cut_count[from][to] = (uint8_t)(sim->cut_count[from][to] + (adds ? 1 : -1));
            }
        }
    }
}

void kvr__sim_trouble_cut(kvr_sim *sim, kvr__sim_item *item)
{
    kvr__sim_cut *cut = item->user;
    uint32_t count = sim->config.member_count;
    uint32_t kind = (uint32_t)kvr__sim_below(&sim->cuts, CUT_KINDS);
    uint32_t victim = (uint32_t)kvr__sim_below(&sim->cuts, count);
    uint32_t other = (victim + 1 + (uint32_t)kvr__sim_below(&sim->cuts, count - 1)) % count;
    uint64_t half = kind == CUT_LINK ? 1U << other : kvr__sim_below(&sim->cuts, 1U << count);
    for (uint32_t from = 0; from < count; from++) {
        for (uint32_t to = 0; to < count; to++) {
            cut->links[from][to] = from != to && cuts(kind, from, to, victim, half);
        }
    }
    count_links(sim, cut, true);
    item->member = victim;
    item->peer = other;
    cut->end.member = victim;
    cut->end.peer = other;
    kvr__sim_event_set(sim, &cut->end,
                       sim->now_ns + kvr__sim_span(&sim->cuts, 0, sim->config.cut_ns_mean));
    KVR_CHECKED(kvr__sim_check_cuts(sim));
}

void kvr__sim_trouble_mend(kvr_sim *sim, kvr__sim_cut *cut)
{
    count_links(sim, cut, false);
    KVR_CHECKED(kvr__sim_check_cuts(sim));
}

/* ------------------------------------------------------------------ both */

void kvr__sim_trouble_draw(kvr_sim *sim)
{
    if (kvr__sim_chance(&sim->crashes, sim->crash_ppm)) {
        plan_crash(sim);
    }
    if (kvr__sim_chance(&sim->cuts, sim->cut_ppm)) {
        plan_cut(sim);
    }
}

void kvr__sim_trouble_end(kvr_sim *sim)
{
    sim->crash_ppm = 0;
    sim->cut_ppm = 0;
    kvr__sim_event_cancel(sim, &sim->cut_begin);
    for (uint32_t i = 0; i < KVR__SIM_CUTS_MAX; i++) {
        if (sim->cut[i].end.due.place != 0) {
            kvr__sim_event_cancel(sim, &sim->cut[i].end);
            kvr__sim_trouble_mend(sim, &sim->cut[i]);
        }
    }
    for (uint32_t i = 0; i < sim->config.member_count; i++) {
        sim->members[i].crash_in_batch = false;
        kvr__sim_event_cancel(sim, &sim->members[i].crash);
    }
}
