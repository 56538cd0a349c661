/* SPDX-License-Identifier: Apache-2.0 */
/* sim_sites.c: where the library takes its rare ways (lib/base/buggify.h). In each seed a quarter
 * of the sites of a member are enabled, and an enabled one fires at a quarter of its visits; visit
 * k of a site is a function of (seed, member, site, k), so that one more visit elsewhere changes
 * nothing here. The members' handles are asked through the allocator that they are given. */
#include "base/buggify.h"

#include "sim_internal.h"

enum { ENABLED_PPM = 250000, FIRES_PPM = 250000 };

static void *site_alloc(void *ctx, size_t size)
{
    const kvr__sim_member *member = ctx;
    return kvr__mem_alloc(&member->sim->mem, KVR__MEM_HANDLE, size);
}

static void *site_realloc(void *ctx, void *ptr, size_t old_size, size_t new_size)
{
    const kvr__sim_member *member = ctx;
    return kvr__mem_realloc(&member->sim->mem, KVR__MEM_HANDLE, ptr, old_size, new_size);
}

static void site_free(void *ctx, void *ptr, size_t size)
{
    const kvr__sim_member *member = ctx;
    kvr__mem_free(&member->sim->mem, KVR__MEM_HANDLE, ptr, size);
}

static bool site_fires(void *ctx, uint32_t site)
{
    kvr__sim_member *member = ctx;
    kvr_sim *sim = member->sim;
    kvr__sim_stream *stream = &member->sites[site];
    if (stream->count == 0) {
        *stream = kvr__sim_stream_of(sim->config.seed, member->number, KVR__SIM_SITES + site);
        member->enabled_sites |= (uint64_t)kvr__sim_chance(stream, ENABLED_PPM) << site;
    }
    if (sim->healed || (member->enabled_sites >> site & 1) == 0) {
        return false;
    }
    return kvr__sim_trouble_chance(sim, stream, member->number, KVR_SIM_FAULT_BUGGIFY + site,
                                   FIRES_PPM);
}

const kvr_allocator *kvr__sim_sites_allocator(kvr__sim_member *member, void **out_ctx)
{
    static const kvr__buggify_allocator sites = {
        .base = {.size = sizeof sites,
                 .alloc = site_alloc,
                 .realloc = site_realloc,
                 .free = site_free},
        .fires = site_fires,
    };
    const kvr_sim_config *config = &member->sim->config;
    *out_ctx = config->buggify != 0 ? member : config->allocator_ctx;
    return config->buggify != 0 ? &sites.base : config->allocator;
}
