/* SPDX-License-Identifier: Apache-2.0 */
/* sim_partition.c: links that chance cuts. A partition is a row of stages; most have one. One that
 * flaps cuts and mends the same links a few times; a swizzle cuts members off one by one and lets
 * them back in another order, which is what FoundationDB calls its best finder of bugs. What all of
 * them cut is counted link by link, so that they may overlap. */
#include <string.h>

#include "base/assertion.h"
#include "sim_internal.h"

enum { CUT_ONE, CUT_HALF, CUT_OUT, CUT_IN, CUT_LINKS, CUT_LEADER, CUT_SWIZZLE, CUT_KINDS };
enum { FLAPS_ONE_IN = 4, FLAPS_MAX = 4 };

/* Whether a partition of `kind` cuts the way from one member to another. */
static bool cuts(uint32_t kind, uint32_t from, uint32_t to, uint32_t victim, uint64_t half)
{
    bool from_half = (half >> from & 1) != 0;
    bool to_half = (half >> to & 1) != 0;
    switch (kind) {
    case CUT_ONE:
    case CUT_LEADER:
        return from == victim || to == victim;
    case CUT_HALF:
        return from_half != to_half;
    case CUT_OUT:
        return from == victim;
    case CUT_IN:
        return to == victim;
    default: /* CUT_LINKS: both ways between the victim and some: a ring may stay */
        return (from == victim && to_half) || (to == victim && from_half);
    }
}

static void draw_pattern(kvr_sim *sim, kvr__sim_cut *cut, uint32_t kind)
{
    uint32_t count = sim->config.member_count;
    uint32_t leader = kind == CUT_LEADER ? kvr_sim_leader(sim) : UINT32_MAX;
    uint32_t victim = (uint32_t)kvr__sim_below(&sim->cuts, count);
    victim = leader < count ? leader : victim;
    uint32_t other = (victim + 1 + (uint32_t)kvr__sim_below(&sim->cuts, count - 1)) % count;
    uint64_t half = kvr__sim_below(&sim->cuts, (uint64_t)1 << count);
    half = kind == CUT_LINKS ? half | (uint64_t)1 << other : half;
    for (uint32_t from = 0; from < count; from++) {
        for (uint32_t to = 0; to < count; to++) {
            cut->pattern[from][to] = from != to && cuts(kind, from, to, victim, half);
        }
    }
    cut->next.member = victim;
    cut->next.peer = other;
}

/* Members leave one by one, and come back in another order. */
static void draw_swizzle(kvr_sim *sim, kvr__sim_cut *cut)
{
    uint32_t count = sim->config.member_count;
    uint32_t chosen = 1 + (uint32_t)kvr__sim_below(&sim->cuts, ((uint64_t)1 << count) - 1);
    uint32_t off = 0;
    cut->stage_count = 0;
    for (uint32_t half = 0; half < 2; half++) {
        for (uint32_t left = chosen; left != 0;) {
            uint32_t i = (uint32_t)kvr__sim_below(&sim->cuts, count);
            if ((left >> i & 1) != 0) {
                left &= ~(1U << i);
                off ^= 1U << i;
                cut->off[cut->stage_count++] = off;
            }
        }
    }
    cut->stage_count--; /* in the last one nobody is off: the end */
    cut->next.member = (uint32_t)KVR__SIM_NONE;
    cut->next.peer = (uint32_t)KVR__SIM_NONE;
}

void kvr__sim_partition_plan(kvr_sim *sim)
{
    uint32_t i = 0;
    while (i < KVR__SIM_CUTS_MAX && sim->cut[i].next.due.place != 0) {
        i++;
    }
    if (i == KVR__SIM_CUTS_MAX || sim->config.member_count == 1) {
        return;
    }
    kvr__sim_cut *cut = &sim->cut[i];
    uint32_t kind = (uint32_t)kvr__sim_below(&sim->cuts, CUT_KINDS);
    cut->stage = 0;
    memset(cut->off, 0, sizeof cut->off);
    if (kind == CUT_SWIZZLE) {
        draw_swizzle(sim, cut);
    } else {
        bool flaps = kvr__sim_below(&sim->cuts, FLAPS_ONE_IN) == 0;
        draw_pattern(sim, cut, kind);
        cut->stage_count = flaps ? 3 + 2 * (uint32_t)kvr__sim_below(&sim->cuts, FLAPS_MAX) : 1;
    }
    cut->next.kind = KVR_SIM_CUT;
    kvr__sim_event_set(sim, &cut->next, sim->now_ns);
}

static bool is_cut_in(const kvr__sim_cut *cut, uint32_t stage, uint32_t from, uint32_t to)
{
    uint32_t off = stage < cut->stage_count ? cut->off[stage] : 0;
    if (off != 0) {
        return from != to && (off >> from & 1) + (off >> to & 1) > 0;
    }
    return stage < cut->stage_count && stage % 2 == 0 && cut->off[0] == 0 && cut->pattern[from][to];
}

static void set_links(kvr_sim *sim, kvr__sim_cut *cut, uint32_t stage)
{
    for (uint32_t from = 0; from < sim->config.member_count; from++) {
        for (uint32_t to = 0; to < sim->config.member_count; to++) {
            bool is_cut = is_cut_in(cut, stage, from, to);
            sim->cut_count[from][to] =
                (uint8_t)(sim->cut_count[from][to] + is_cut - cut->links[from][to]);
            cut->links[from][to] = is_cut;
        }
    }
}

void kvr__sim_partition_go(kvr_sim *sim, kvr__sim_cut *cut)
{
    set_links(sim, cut, cut->stage);
    if (cut->stage < cut->stage_count) {
        cut->stage++;
        bool heals = cut->stage == cut->stage_count || (cut->off[0] == 0 && cut->stage % 2 == 1);
        cut->next.kind = heals ? KVR_SIM_MEND : KVR_SIM_CUT;
        uint64_t mean = sim->config.cut_ns_mean / (cut->stage_count < 2 ? 1 : 2);
        kvr__sim_event_set(sim, &cut->next, sim->now_ns + kvr__sim_span(&sim->cuts, 0, mean));
    }
    KVR_CHECKED(kvr__sim_check_cuts(sim));
}

void kvr__sim_partition_end(kvr_sim *sim, kvr__sim_cut *cut)
{
    kvr__sim_event_cancel(sim, &cut->next);
    set_links(sim, cut, cut->stage_count);
}
