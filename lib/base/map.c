/* SPDX-License-Identifier: Apache-2.0 */
/* map.c: open addressing with linear probing. The invariant that get and remove rest on: from the
 * home of a key to its slot, no slot is free. Removal keeps it by moving later keys back (Knuth,
 * TAOCP 6.4, algorithm R), so that probes never get longer with age. */
#include "base/map.h"

#include "base/assertion.h"

enum { FIRST_SLOTS = 8 };

/* The finalizer of splitmix64: each bit of the key reaches each bit of the result, so ids that
 * count up spread out. */
static uint32_t home_of(const kvr__map *map, uint64_t key)
{
    key = (key ^ key >> 30) * 0xbf58476d1ce4e5b9u;
    key = (key ^ key >> 27) * 0x94d049bb133111ebu;
    return (uint32_t)(key ^ key >> 31) & (map->capacity - 1);
}

/* The slot of `key`, or the free one where it would go. There is always a free slot. */
static kvr__map_slot *find(const kvr__map *map, uint64_t key)
{
    uint32_t i = home_of(map, key);
    while (map->slots[i].value != NULL && map->slots[i].key != key) {
        i = (i + 1) & (map->capacity - 1);
    }
    return &map->slots[i];
}

void kvr__map_init(kvr__map *map, kvr__mem *mem, uint32_t kind)
{
    *map = (kvr__map){.mem = mem, .kind = kind};
}

void kvr__map_release(kvr__map *map)
{
    kvr__mem_free(map->mem, map->kind, map->slots, map->capacity * sizeof *map->slots);
    kvr__map_init(map, map->mem, map->kind);
}

void *kvr__map_get(const kvr__map *map, uint64_t key)
{
    return map->count == 0 ? NULL : find(map, key)->value;
}

kvr_status kvr__map_put(kvr__map *map, uint64_t key, void *value)
{
    KVR_ASSERT(value != NULL);
    kvr__map_slot *slot = map->capacity == 0 ? NULL : find(map, key);
    if (slot != NULL && slot->value != NULL) {
        slot->value = value;
        return KVR_OK;
    }
    uint32_t old_capacity = map->capacity;
    kvr_status status = kvr__map_reserve(map, 1);
    if (status != KVR_OK) {
        return status;
    }
    if (map->capacity != old_capacity) {
        slot = find(map, key);
    }
    *slot = (kvr__map_slot){key, value};
    map->count++;
    return KVR_OK;
}

void *kvr__map_remove(kvr__map *map, uint64_t key)
{
    if (map->count == 0) {
        return NULL;
    }
    kvr__map_slot *slots = map->slots;
    uint32_t mask = map->capacity - 1;
    uint32_t hole = (uint32_t)(find(map, key) - slots);
    void *value = slots[hole].value;
    if (value == NULL) {
        return NULL;
    }
    for (uint32_t i = (hole + 1) & mask; slots[i].value != NULL; i = (i + 1) & mask) {
        /* Whoever probed past the hole on the way from its home moves into it. */
        if (((i - home_of(map, slots[i].key)) & mask) >= ((i - hole) & mask)) {
            slots[hole] = slots[i];
            hole = i;
        }
    }
    slots[hole] = (kvr__map_slot){0, NULL};
    map->count--;
    return value;
}

kvr_status kvr__map_reserve(kvr__map *map, uint32_t more)
{
    uint64_t want = (uint64_t)map->count + more;
    uint64_t capacity = map->capacity == 0 ? FIRST_SLOTS : map->capacity;
    while (want > capacity - capacity / 8) {
        capacity *= 2;
    }
    if (capacity == map->capacity) {
        return KVR_OK;
    }
    size_t size = 0;
    if (capacity > UINT32_MAX || __builtin_mul_overflow(capacity, sizeof *map->slots, &size)) {
        return KVR_ENOMEM;
    }
    kvr__map grown = *map;
    grown.slots = kvr__mem_zalloc(map->mem, map->kind, size);
    if (grown.slots == NULL) {
        return KVR_ENOMEM;
    }
    grown.capacity = (uint32_t)capacity;
    for (uint32_t i = 0; i < map->capacity; i++) {
        if (map->slots[i].value != NULL) {
            *find(&grown, map->slots[i].key) = map->slots[i];
        }
    }
    kvr__mem_free(map->mem, map->kind, map->slots, map->capacity * sizeof *map->slots);
    *map = grown;
    return KVR_OK;
}

void *kvr__map_next(const kvr__map *map, uint32_t *cursor, uint64_t *out_key)
{
    while (*cursor < map->capacity) {
        const kvr__map_slot *slot = &map->slots[(*cursor)++];
        if (slot->value != NULL) {
            *out_key = slot->key;
            return slot->value;
        }
    }
    return NULL;
}
