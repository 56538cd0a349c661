/* SPDX-License-Identifier: Apache-2.0 */
/* run_trouble.c: faults that the library's simulator leaves to its user. Damage strikes bytes that
 * were flushed, but only where kvraft-wal(5) promises that it is found: not what the last flush
 * wrote, whose loss looks like a torn tail. The atlas is damage_members: within it a quorum stays
 * sound, and the cluster must live; beyond it, members must refuse and not lie. Memory fails in the
 * members and in the simulator, never in the checkers. */
#include <stdlib.h>
#include <string.h>

#include "run.h"

enum { SECTOR = 512, TRIES = 16, SLOT = 4096, SLOT_COPY = 2048 };

static int by_value(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a;
    uint64_t y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

bool run_trouble_wants(run_world *world, uint32_t kind, uint64_t decision)
{
    const run_spec *spec = world->spec;
    if (spec->has_faults &&
        (spec->fault_count == 0 ||
         bsearch(&decision, spec->faults, spec->fault_count, sizeof decision, by_value) == NULL)) {
        return false;
    }
    run_faults *faults = world->listener.faults;
    if (faults != NULL) {
        check_grow((void **)&faults->items, &faults->capacity, faults->count + 1,
                   sizeof *faults->items);
        faults->items[faults->count++] = decision;
    }
    world->fault_counts[kind % RUN_FAULT_KINDS]++;
    return true;
}

/* One draw of its own dice a visit, so that a decision's name depends on no other one. What follows
 * from it is drawn from the decision. */
static bool chance(run_world *world, dice *d, uint32_t kind, uint32_t ppm)
{
    if (ppm == 0 || dice_below(d, 1000000) >= ppm || !run_trouble_wants(world, kind, d->state)) {
        return false;
    }
    world->trouble.details.state = d->state;
    return true;
}

/* ------------------------------------------------------------------ memory */

static bool fails(run_world *world)
{
    run_trouble *trouble = &world->trouble;
    return trouble->memory_armed &&
           chance(world, &trouble->memory_dice, RUN_FAULT_MEMORY, world->plan.memory_ppm);
}

static void *count_alloc(void *ctx, size_t size)
{
    run_world *world = ctx;
    void *ptr = fails(world) ? NULL : malloc(size);
    world->blocks += ptr != NULL;
    return ptr;
}

static void *count_realloc(void *ctx, void *ptr, size_t old_size, size_t new_size)
{
    (void)old_size;
    return new_size > old_size && fails(ctx) ? NULL : realloc(ptr, new_size);
}

static void count_free(void *ctx, void *ptr, size_t size)
{
    run_world *world = ctx;
    (void)size;
    world->blocks -= 1;
    free(ptr);
}

const kvr_allocator run_trouble_allocator = {.size = sizeof run_trouble_allocator,
                                             .alloc = count_alloc,
                                             .realloc = count_realloc,
                                             .free = count_free};

/* ------------------------------------------------------------------ damage */

static bool begins(const char *name, const char *with)
{
    return strncmp(name, with, strlen(with)) == 0;
}

/* Whether damage at `offset` must be found: what was written later vouches for it. */
static bool is_vouched(const char *name, uint64_t offset, uint64_t flushes)
{
    if (begins(name, "wal-")) {
        return flushes >= 2;
    }
    if (strcmp(name, "vote") == 0) {
        return flushes >= 1 && offset % SLOT / SECTOR == SLOT_COPY / SECTOR; /* it stands twice */
    }
    return begins(name, "snapshot-") && flushes >= 1;
}

/* What a sector becomes. */
static void spoil(run_world *world, const run_keepsake *place, uint8_t *bytes)
{
    dice *d = &world->trouble.details;
    kvr_sim_disk *disk = kvr_sim_member_disk(world->sim, place->member);
    const run_keepsake *kept = &world->trouble.keepsakes[dice_below(d, RUN_KEEPSAKES)];
    uint64_t size = 0;
    uint64_t flushes;
    switch (dice_below(d, 4)) {
    case 0:
        bytes[dice_below(d, SECTOR)] ^= (uint8_t)(1U << dice_below(d, 8));
        break;
    case 1:
        memset(bytes, 0, SECTOR);
        break;
    case 2: { /* a write that went astray */
        const char *from = kvr_sim_disk_file(disk, (uint32_t)dice_below(d, 8), &size);
        if (from != NULL && size > 0 &&
            kvr_sim_disk_get_sector(disk, from, dice_below(d, size), bytes, &flushes) != KVR_OK) {
            memset(bytes, 0, SECTOR);
        }
        break;
    }
    default: /* one that never arrived */
        if (kept->member == place->member && strcmp(kept->name, place->name) == 0 &&
            kept->offset == place->offset) {
            memcpy(bytes, kept->bytes, SECTOR);
        } else {
            memset(bytes + dice_below(d, SECTOR), 0xff, 1);
        }
        break;
    }
}

/* A sector of one of the members that may be damaged. */
static bool find_place(run_world *world, run_keepsake *out)
{
    dice *d = &world->trouble.details;
    uint64_t size = 0;
    uint64_t flushes;
    out->member = (uint32_t)dice_below(d, world->plan.sim.member_count);
    kvr_sim_disk *disk = kvr_sim_member_disk(world->sim, out->member);
    const char *name = kvr_sim_disk_file(disk, (uint32_t)dice_below(d, 8), &size);
    if ((world->plan.damage_members >> out->member & 1) == 0 || name == NULL || size == 0) {
        return false;
    }
    out->offset = dice_below(d, size) / SECTOR * SECTOR;
    (void)snprintf(out->name, sizeof out->name, "%s", name);
    return kvr_sim_disk_get_sector(disk, name, out->offset, out->bytes, &flushes) == KVR_OK &&
           is_vouched(name, out->offset, flushes);
}

static void damage(run_world *world)
{
    run_trouble *trouble = &world->trouble;
    run_keepsake place;
    for (uint32_t i = 0; i < TRIES; i++) {
        if (!find_place(world, &place)) {
            continue;
        }
        if (dice_one_in(&trouble->details, 4)) {
            trouble->keepsakes[dice_below(&trouble->details, RUN_KEEPSAKES)] = place;
            continue;
        }
        spoil(world, &place, place.bytes);
        kvr_sim_disk *disk = kvr_sim_member_disk(world->sim, place.member);
        if (kvr_sim_disk_set_sector(disk, place.name, place.offset, place.bytes) != KVR_OK) {
            check_fail(&world->report, "F", "a sector that was there is gone");
        }
        world->damaged_members |= (uint64_t)1 << place.member;
        check_wal_damaged(&world->wal, place.member);
        run_world_say(world, place.member, "damage", place.name, place.offset);
        return;
    }
}

/* ------------------------------------------------------------------ room */

static void set_room(run_world *world, uint32_t member, bool full)
{
    kvr_sim_disk *disk = kvr_sim_member_disk(world->sim, member);
    kvr_sim_disk_status status = {.size = sizeof status};
    kvr_sim_disk_get_status(disk, &status);
    kvr_sim_disk_faults faults = world->plan.disk;
    if (full) {
        faults.capacity_bytes = status.bytes + 1;
    }
    kvr_sim_set_disk(world->sim, member, &faults);
    world->trouble.full_until[member] = full ? kvr_sim_now(world->sim) + world->plan.full_ns : 0;
    run_world_say(world, member, full ? "full" : "room", "bytes", status.bytes);
}

static void look_at_room(run_world *world)
{
    for (uint32_t i = 0; i < world->plan.sim.member_count; i++) {
        uint64_t until = world->trouble.full_until[i];
        if (until != 0 && until <= kvr_sim_now(world->sim)) {
            set_room(world, i, false);
        }
    }
    if (chance(world, &world->trouble.full_dice, RUN_FAULT_FULL, world->plan.full_ppm)) {
        dice *d = &world->trouble.details;
        set_room(world, (uint32_t)dice_below(d, world->plan.sim.member_count), true);
    }
}

/* ------------------------------------------------------------------ all of it */

void run_trouble_begin(run_world *world)
{
    world->trouble.damage_dice.state = world->seed ^ 0x2545f4914f6cdd1dU;
    world->trouble.memory_dice.state = world->seed ^ 0x9e6c63d0876a9a47U;
    world->trouble.full_dice.state = world->seed ^ 0xbf58476d1ce4e5b9U;
}

void run_trouble_event(run_world *world)
{
    if (world->trouble.over) {
        return;
    }
    if (chance(world, &world->trouble.damage_dice, RUN_FAULT_DAMAGE, world->plan.damage_ppm)) {
        damage(world);
    }
    if (world->plan.full_ppm > 0) {
        look_at_room(world);
    }
}

void run_trouble_end(run_world *world)
{
    world->trouble.over = true;
    memset(world->trouble.full_until, 0, sizeof world->trouble.full_until);
}
