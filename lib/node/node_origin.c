/* SPDX-License-Identifier: Apache-2.0 */
/* node_origin.c: the windows of node_origin.h. Start at kvr__origins_seen, then
 * kvr__origins_mark. */
#include "node_origin.h"

#include "base/array.h"
#include "base/assertion.h"
#include "base/checksum.h"

enum { BITS_SIZE = KVR__ORIGIN_WORDS * sizeof(uint64_t), RECORD_SIZE = 40 };

void kvr__origins_init(kvr__origins *origins, kvr__mem *mem)
{
    *origins = (kvr__origins){.mem = mem};
}

static void free_bits(kvr__origins *origins, uint64_t *bits)
{
    kvr__mem_free(origins->mem, KVR__MEM_HANDLE, bits, BITS_SIZE);
}

void kvr__origins_release(kvr__origins *origins)
{
    for (uint32_t i = 0; i < origins->count; i++) {
        free_bits(origins, origins->items[i].bits);
    }
    free_bits(origins, origins->spare);
    kvr__array_free(origins->mem, KVR__MEM_HANDLE, (void **)&origins->items, &origins->capacity,
                    sizeof *origins->items);
    kvr__origins_init(origins, origins->mem);
}

/* The place of `member`, or where it would stand. */
static uint32_t place_of(const kvr__origins *origins, uint64_t member)
{
    uint32_t place = 0;
    while (place < origins->count && origins->items[place].member < member) {
        place++;
    }
    return place;
}

static kvr__origin *find(const kvr__origins *origins, uint64_t member)
{
    uint32_t place = place_of(origins, member);
    if (place == origins->count || origins->items[place].member != member) {
        return NULL;
    }
    return &origins->items[place];
}

static bool bit_is_set(const kvr__origin *origin, uint64_t sequence)
{
    uint64_t bit = sequence % KVR__ORIGIN_WINDOW;
    return (origin->bits[bit / 64] >> (bit % 64) & 1) != 0;
}

static void clear_bit(kvr__origin *origin, uint64_t sequence)
{
    uint64_t bit = sequence % KVR__ORIGIN_WINDOW;
    origin->bits[bit / 64] &= ~(UINT64_C(1) << (bit % 64));
}

bool kvr__origins_seen(const kvr__origins *origins, const kvr__origin_id *id)
{
    const kvr__origin *origin = find(origins, id->member);
    if (origin == NULL || id->incarnation > origin->incarnation) {
        return false;
    }
    if (id->incarnation < origin->incarnation || id->sequence <= origin->low) {
        return true;
    }
    return id->sequence <= origin->highest && bit_is_set(origin, id->sequence);
}

kvr_status kvr__origins_reserve(kvr__origins *origins, const kvr__origin_id *id)
{
    const kvr__origin *origin = find(origins, id->member);
    bool is_new_life = origin == NULL || id->incarnation > origin->incarnation;
    bool is_next = id->sequence == (is_new_life ? 1 : origin->low + 1);
    bool has_bits = origin != NULL && origin->bits != NULL;
    if (!is_next && !has_bits && origins->spare == NULL) {
        origins->spare = kvr__mem_zalloc(origins->mem, KVR__MEM_HANDLE, BITS_SIZE);
        if (origins->spare == NULL) {
            return KVR_ENOMEM;
        }
    }
    if (origin != NULL) {
        return KVR_OK;
    }
    return kvr__array_grow(origins->mem, KVR__MEM_HANDLE, (void **)&origins->items,
                           &origins->capacity, origins->count + 1, sizeof *origins->items);
}

/* ------------------------------------------------------------------ marking */

static void forget_most_silent(kvr__origins *origins)
{
    uint32_t silent = 0;
    for (uint32_t i = 1; i < origins->count; i++) {
        if (origins->items[i].last_index < origins->items[silent].last_index) {
            silent = i;
        }
    }
    free_bits(origins, origins->items[silent].bits);
    origins->count--;
    memmove(&origins->items[silent], &origins->items[silent + 1],
            (origins->count - silent) * sizeof *origins->items);
}

static kvr__origin *insert(kvr__origins *origins, uint64_t member)
{
    if (origins->count == KVR__ORIGINS_MAX) {
        forget_most_silent(origins);
    }
    KVR_ASSERT(origins->count < origins->capacity);
    uint32_t place = place_of(origins, member);
    memmove(&origins->items[place + 1], &origins->items[place],
            (origins->count - place) * sizeof *origins->items);
    origins->count++;
    origins->items[place] = (kvr__origin){.member = member};
    return &origins->items[place];
}

static void begin_life(kvr__origin *origin, uint64_t incarnation)
{
    origin->incarnation = incarnation;
    origin->low = 0;
    origin->highest = 0;
    if (origin->bits != NULL) {
        memset(origin->bits, 0, BITS_SIZE);
    }
}

/* Moves the window so that it begins above `low`: what falls out of it counts as seen. */
static void slide(kvr__origin *origin, uint64_t low)
{
    if (low >= origin->highest) {
        memset(origin->bits, 0, BITS_SIZE);
        origin->highest = low;
    } else {
        for (uint64_t sequence = origin->low + 1; sequence <= low; sequence++) {
            clear_bit(origin, sequence);
        }
    }
    origin->low = low;
}

/* Raises low over all that is set behind it. */
static void close_gap(kvr__origin *origin)
{
    while (origin->low < origin->highest && bit_is_set(origin, origin->low + 1)) {
        origin->low++;
        clear_bit(origin, origin->low);
    }
}

void kvr__origins_mark(kvr__origins *origins, const kvr__origin_id *id, uint64_t index)
{
    KVR_ASSERT(id->sequence > 0);
    KVR_ASSERT(!kvr__origins_seen(origins, id));
    kvr__origin *origin = find(origins, id->member);
    if (origin == NULL) {
        origin = insert(origins, id->member);
    }
    origin->last_index = index;
    if (id->incarnation > origin->incarnation) {
        begin_life(origin, id->incarnation);
    }
    if (id->sequence == origin->low + 1) {
        origin->low = id->sequence;
        if (origin->highest < origin->low) {
            origin->highest = origin->low;
        }
        close_gap(origin);
        return;
    }
    if (origin->bits == NULL) {
        KVR_ASSERT(origins->spare != NULL);
        origin->bits = origins->spare;
        origins->spare = NULL;
    }
    if (id->sequence - origin->low > KVR__ORIGIN_WINDOW) {
        slide(origin, id->sequence - KVR__ORIGIN_WINDOW);
    }
    uint64_t bit = id->sequence % KVR__ORIGIN_WINDOW;
    origin->bits[bit / 64] |= UINT64_C(1) << (bit % 64);
    if (origin->highest < id->sequence) {
        origin->highest = id->sequence;
    }
    close_gap(origin);
}

/* ------------------------------------------------------------------ as bytes */

size_t kvr__origins_size(const kvr__origins *origins)
{
    size_t size = 8;
    for (uint32_t i = 0; i < origins->count; i++) {
        const kvr__origin *origin = &origins->items[i];
        size += RECORD_SIZE + (origin->highest > origin->low ? (size_t)BITS_SIZE : 0);
    }
    return size;
}

void kvr__origins_write(const kvr__origins *origins, kvr__writer *writer)
{
    kvr__write_u32(writer, origins->count);
    kvr__write_u32(writer, 0);
    for (uint32_t i = 0; i < origins->count; i++) {
        const kvr__origin *origin = &origins->items[i];
        kvr__write_u64(writer, origin->member);
        kvr__write_u64(writer, origin->incarnation);
        kvr__write_u64(writer, origin->low);
        kvr__write_u64(writer, origin->highest);
        kvr__write_u64(writer, origin->last_index);
        for (uint32_t w = 0; w < KVR__ORIGIN_WORDS && origin->highest > origin->low; w++) {
            kvr__write_u64(writer, origin->bits[w]);
        }
    }
}

static bool is_sound(const kvr__origins *origins, const kvr__origin *origin)
{
    bool ascends =
        origins->count == 0 || origins->items[origins->count - 1].member < origin->member;
    if (!ascends || origin->highest < origin->low ||
        origin->highest - origin->low > KVR__ORIGIN_WINDOW) {
        return false;
    }
    if (origin->highest == origin->low) {
        return true;
    }
    return bit_is_set(origin, origin->highest) && !bit_is_set(origin, origin->low + 1);
}

static kvr_status read_origin(kvr__origins *origins, kvr__reader *reader)
{
    kvr_status status =
        kvr__array_grow(origins->mem, KVR__MEM_HANDLE, (void **)&origins->items, &origins->capacity,
                        origins->count + 1, sizeof *origins->items);
    if (status != KVR_OK) {
        return status;
    }
    kvr__origin origin = {.member = kvr__read_u64(reader)};
    origin.incarnation = kvr__read_u64(reader);
    origin.low = kvr__read_u64(reader);
    origin.highest = kvr__read_u64(reader);
    origin.last_index = kvr__read_u64(reader);
    if (origin.highest > origin.low) {
        origin.bits = kvr__mem_zalloc(origins->mem, KVR__MEM_HANDLE, BITS_SIZE);
        if (origin.bits == NULL) {
            return KVR_ENOMEM;
        }
        for (uint32_t w = 0; w < KVR__ORIGIN_WORDS; w++) {
            origin.bits[w] = kvr__read_u64(reader);
        }
    }
    if (reader->failed || !is_sound(origins, &origin)) {
        free_bits(origins, origin.bits);
        return KVR_ECORRUPT;
    }
    origins->items[origins->count++] = origin;
    return KVR_OK;
}

kvr_status kvr__origins_read(kvr__origins *origins, kvr__reader *reader)
{
    KVR_ASSERT(origins->count == 0);
    uint32_t count = kvr__read_u32(reader);
    (void)kvr__read_u32(reader);
    if (reader->failed || count > KVR__ORIGINS_MAX) {
        return KVR_ECORRUPT;
    }
    for (uint32_t i = 0; i < count; i++) {
        kvr_status status = read_origin(origins, reader);
        if (status != KVR_OK) {
            return status;
        }
    }
    return KVR_OK;
}

uint64_t kvr__origins_hash(const kvr__origins *origins)
{
    uint64_t hash = 0;
    for (uint32_t i = 0; i < origins->count; i++) {
        const kvr__origin *origin = &origins->items[i];
        uint8_t room[32 + BITS_SIZE];
        size_t size = 32;
        kvr__store_u64(room, origin->member);
        kvr__store_u64(room + 8, origin->incarnation);
        kvr__store_u64(room + 16, origin->low);
        kvr__store_u64(room + 24, origin->highest);
        for (uint32_t w = 0; w < KVR__ORIGIN_WORDS && origin->highest > origin->low; w++) {
            kvr__store_u64(room + size, origin->bits[w]);
            size += sizeof(uint64_t);
        }
        hash = kvr__xxh3_64_seed(room, size, hash);
    }
    return hash;
}

void kvr__origins_check(const kvr__origins *origins)
{
    for (uint32_t i = 0; i < origins->count; i++) {
        const kvr__origin *origin = &origins->items[i];
        if (i > 0) {
            KVR_ASSERT(origins->items[i - 1].member < origin->member);
        }
        KVR_ASSERT(origin->low <= origin->highest);
        KVR_ASSERT(origin->highest - origin->low <= KVR__ORIGIN_WINDOW);
        if (origin->highest > origin->low) {
            KVR_ASSERT(origin->bits != NULL);
            KVR_ASSERT(bit_is_set(origin, origin->highest));
            KVR_ASSERT(!bit_is_set(origin, origin->low + 1));
        }
    }
    KVR_ASSERT(origins->count <= KVR__ORIGINS_MAX);
}
