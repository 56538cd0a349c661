/* SPDX-License-Identifier: Apache-2.0 */
/* map.h: 64-bit keys to pointers: open addressing, linear probing, backward-shift deletion (no
 * tombstones), at most 7/8 full. The hash is a fixed mix of the key: a map whose keys an attacker
 * may choose must be bounded. Its order is arbitrary: nothing that reaches replicated state may
 * iterate it. */
#ifndef KVRAFT_LIB_BASE_MAP_H
#define KVRAFT_LIB_BASE_MAP_H

#include "base/memory.h"

typedef struct kvr__map_slot {
    uint64_t key;
    void *value; /* NULL: free slot */
} kvr__map_slot;

typedef struct kvr__map {
    kvr__mem *mem;
    kvr__map_slot *slots;
    uint32_t kind;
    uint32_t count;
    uint32_t capacity; /* 0 or a power of two */
    uint32_t reserved;
} kvr__map;

void kvr__map_init(kvr__map *map, kvr__mem *mem, uint32_t kind);
void kvr__map_release(kvr__map *map);
void *kvr__map_get(const kvr__map *map, uint64_t key);             /* NULL: none */
kvr_status kvr__map_put(kvr__map *map, uint64_t key, void *value); /* value not NULL; replaces */
void *kvr__map_remove(kvr__map *map, uint64_t key);                /* the value it had, or NULL */
kvr_status kvr__map_reserve(kvr__map *map, uint32_t more);

/* Iteration in slot order: *cursor starts at 0; NULL at the end. Not while the map changes. */
void *kvr__map_next(const kvr__map *map, uint32_t *cursor, uint64_t *out_key);

void kvr__map_check(const kvr__map *map); /* invariants 8 and 9 of README.md; walks all slots */

#endif
