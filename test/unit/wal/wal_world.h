/* SPDX-License-Identifier: Apache-2.0 */
/* wal_world.h: a wal on a disk in memory, and beside it a model of what must be in it. Entries and
 * snapshots are functions of (index, term), so the model keeps numbers only. Every request that
 * goes through here is also a state in the history: what a crash may leave is one of the states
 * between the last one answered and the last one asked for (W2). */
#ifndef KVRAFT_TEST_UNIT_WAL_WORLD_H
#define KVRAFT_TEST_UNIT_WAL_WORLD_H

#include "base/random.h"
#include "support/test_alloc.h"
#include "wal_disk.h"

enum { MODEL_INDEX_MAX = 2048, HISTORY_MAX = 4096, CLUSTER = 0xC1, MEMBER = 7, GROUP = 3 };

/* Groups beside it in a store of many; their logs are entries 1, 2, 3... One is soon idle, and
 * keeps all of them. */
enum { OTHERS = 3, OTHER_TERM = 7, OTHER_IDLE = 2 };

typedef struct wal_model {
    uint64_t base;  /* entries below were never of this log */
    uint64_t first; /* entries below are not needed */
    uint64_t last;
    uint32_t terms[MODEL_INDEX_MAX + 1];
    uint64_t term;
    uint64_t voted_for;
    uint64_t incarnation;
    uint64_t snapshot_index;
    uint64_t snapshot_term;
} wal_model;

typedef struct wal_state {
    wal_model model;
    size_t asked;    /* calls of the disk before it */
    size_t answered; /* calls of the disk when it was done; SIZE_MAX: not */
    uint64_t others_before[OTHERS];
    uint64_t others_after[OTHERS];
} wal_state;

typedef struct wal_world {
    test_alloc alloc;
    wal_disk *disk;
    kvr_wal *wal;
    kvr_wal_config config;
    kvr__random random; /* segment ids */
    wal_model model;
    wal_state *history;
    size_t history_count;
    bool is_many;
    uint64_t others[OTHERS]; /* last index of each that was answered */
} wal_world;

/* A world with an empty disk and small segments; its wal is not open. */
void wal_world_init(wal_world *world);
/* Makes it a store of many groups, before it is opened: with each request of the model that changes
 * something others of other groups are asked in the same batch. */
void wal_world_share(wal_world *world);
/* Frees all; asserts that no memory and no file is still held. */
void wal_world_release(wal_world *world);

/* new and open; on failure the wal stays, failed */
kvr_status wal_world_try_open(wal_world *world);
void wal_world_open(wal_world *world);  /* asserts KVR_OK */
void wal_world_close(wal_world *world); /* asserts KVR_OK; frees the wal */
void wal_world_kill(wal_world *world);  /* frees the wal as it is */

/* Puts another disk under the world, which owns it; the wal was killed before. */
void wal_world_use(wal_world *world, wal_disk *disk);

/* ------------------------------------------------------------------ requests
 *
 * Each returns the status of its result and takes a KVR_OK into the model. */
kvr_status wal_world_append(wal_world *world, uint64_t first, uint32_t count, uint32_t term);
kvr_status wal_world_vote(wal_world *world, uint64_t term, uint64_t voted_for);
kvr_status wal_world_snapshot(wal_world *world, uint64_t index, uint8_t source, size_t chunk);
kvr_status wal_world_discard(wal_world *world, uint64_t first, bool all);
void wal_world_maintain(wal_world *world); /* until it says KVR_OK */

/* One request, as it is. */
kvr_status wal_world_ask(wal_world *world, const kvr_store_request *request,
                         kvr_store_result *result);

/* Appends `count` entries of `term` behind the last one. */
void wal_world_grow(wal_world *world, uint32_t count, uint32_t term);

/* A random request. */
void wal_world_step(wal_world *world, kvr__random *random);

/* ------------------------------------------------------------------ what must be there */

/* NULL if what the open wal holds is `model`, every byte; else what is not. */
const char *wal_world_differs(wal_world *world, const wal_model *model);

/* The same for the world's own model, asserted. */
void wal_world_check(wal_world *world);

/* NULL if the open wal holds one of the states in which `from` may be after a crash at `calls`. */
const char *wal_world_survived(wal_world *world, const wal_world *from, size_t calls);

/* ------------------------------------------------------------------ bytes */

size_t wal_world_entry(uint64_t index, uint32_t term, uint8_t *out); /* at most 512 */
size_t wal_world_entry_size(uint64_t index, uint32_t term);
size_t wal_world_stream(uint64_t index, uint64_t term, uint8_t *out); /* at most 256 KiB */

/* The first file whose name begins with `prefix`, in the order of names; NULL: none. `last`: the
 * last one. */
const char *wal_world_file(const wal_world *world, const char *prefix, bool last);

/* The seed of checksums in the log, as the vote file tells it. */
uint64_t wal_world_store_id(const wal_world *world);

#endif
