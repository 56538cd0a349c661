/* SPDX-License-Identifier: Apache-2.0 */
/* watch_table.c: items found by a 32-bit hash: open addressing with linear probing and
 * backward-shift deletion as in base/map.c, but with several items under one hash, and with a byte
 * a slot that tells free slots and most strangers without looking at the item: 9 bytes a slot, and
 * a search that finds nothing, which is what most changes cause, touches one cache line. */
#include "watch_internal.h"

#include "base/assertion.h"

#include <string.h>

enum { FIRST_SLOTS = 8 };

static uint8_t *tags_of(const kvr__watch_table *table)
{
    return (uint8_t *)(table->slots + table->capacity);
}

static uint8_t tag_of(uint32_t hash)
{
    return (uint8_t)(0x80 | hash >> 25);
}

static size_t size_of(uint32_t capacity)
{
    return (size_t)capacity * (sizeof(void *) + 1);
}

void kvr__watch_table_release(kvr__watch_table *table, kvr__mem *mem)
{
    kvr__mem_free(mem, KVR__MEM_WATCH, table->slots, size_of(table->capacity));
    *table = (kvr__watch_table){.hash_of = table->hash_of};
}

kvr_status kvr__watch_table_reserve(kvr__watch_table *table, kvr__mem *mem)
{
    if (table->count < table->capacity - table->capacity / 8) {
        return KVR_OK;
    }
    kvr__watch_table grown = *table;
    grown.capacity = table->capacity == 0 ? FIRST_SLOTS : table->capacity * 2;
    grown.count = 0;
    if (grown.capacity < table->capacity) {
        return KVR_ENOMEM;
    }
    grown.slots = kvr__mem_zalloc(mem, KVR__MEM_WATCH, size_of(grown.capacity));
    if (grown.slots == NULL) {
        return KVR_ENOMEM;
    }
    for (uint32_t i = 0; i < table->capacity; i++) {
        if (table->slots[i] != NULL) {
            kvr__watch_table_add(&grown, table->slots[i]);
        }
    }
    kvr__watch_table_release(table, mem);
    *table = grown;
    return KVR_OK;
}

void kvr__watch_table_add(kvr__watch_table *table, void *item)
{
    KVR_ASSERT(table->count < table->capacity);
    uint32_t hash = table->hash_of(item);
    uint32_t mask = table->capacity - 1;
    uint32_t i = hash & mask;
    while (tags_of(table)[i] != 0) {
        i = (i + 1) & mask;
    }
    table->slots[i] = item;
    tags_of(table)[i] = tag_of(hash);
    table->count++;
}

void kvr__watch_table_remove(kvr__watch_table *table, const void *item)
{
    uint8_t *tags = tags_of(table);
    uint32_t mask = table->capacity - 1;
    uint32_t hole = table->hash_of(item) & mask;
    while (table->slots[hole] != item) {
        KVR_ASSERT(tags[hole] != 0);
        hole = (hole + 1) & mask;
    }
    for (uint32_t i = (hole + 1) & mask; tags[i] != 0; i = (i + 1) & mask) {
        uint32_t home = table->hash_of(table->slots[i]) & mask;
        if (((i - home) & mask) >= ((i - hole) & mask)) { /* it probed past the hole: it moves in */
            table->slots[hole] = table->slots[i];
            tags[hole] = tags[i];
            hole = i;
        }
    }
    table->slots[hole] = NULL;
    tags[hole] = 0;
    table->count--;
}

kvr__watch_probe kvr__watch_table_probe(const kvr__watch_table *table, uint32_t hash)
{
    return (kvr__watch_probe){hash, table->capacity == 0 ? 0 : hash & (table->capacity - 1)};
}

void *kvr__watch_table_next(const kvr__watch_table *table, kvr__watch_probe *probe)
{
    if (table->count == 0) {
        return NULL;
    }
    const uint8_t *tags = tags_of(table);
    uint8_t wanted = tag_of(probe->hash);
    while (tags[probe->at] != 0) {
        uint32_t i = probe->at;
        probe->at = (i + 1) & (table->capacity - 1);
        if (tags[i] == wanted) {
            return table->slots[i];
        }
    }
    return NULL;
}
