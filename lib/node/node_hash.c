/* SPDX-License-Identifier: Apache-2.0 */
/* node_hash.c: the chain, its points, and what others claim of theirs. Start at kvr__hash_fold. */
#include "node_hash.h"

#include "base/array.h"
#include "base/assertion.h"
#include "base/checksum.h"

uint64_t kvr__hash_fold(uint64_t chain, const kvr__hash_outcome *outcome)
{
    uint8_t room[40];
    kvr__store_u64(room, chain);
    kvr__store_u64(room + 8, outcome->index);
    kvr__store_u64(room + 16, outcome->revision);
    kvr__store_u64(room + 24, outcome->store_chain);
    kvr__store_u32(room + 32, (uint32_t)outcome->status);
    kvr__store_u32(room + 36, outcome->kind);
    return kvr__xxh3_64(room, sizeof room);
}

void kvr__hashes_init(kvr__hashes *hashes, kvr__mem *mem)
{
    *hashes = (kvr__hashes){.mem = mem, .post_ns = UINT64_MAX, .doubt_ns = UINT64_MAX};
}

void kvr__hashes_release(kvr__hashes *hashes)
{
    kvr__array_free(hashes->mem, KVR__MEM_HANDLE, (void **)&hashes->points, &hashes->capacity,
                    sizeof *hashes->points);
    kvr__array_free(hashes->mem, KVR__MEM_HANDLE, (void **)&hashes->claims,
                    &hashes->claims_capacity, sizeof *hashes->claims);
    kvr__hashes_init(hashes, hashes->mem);
}

kvr_status kvr__hashes_reserve(kvr__hashes *hashes)
{
    if (hashes->count == KVR__HASHES_KEPT) {
        return KVR_OK;
    }
    return kvr__array_grow(hashes->mem, KVR__MEM_HANDLE, (void **)&hashes->points,
                           &hashes->capacity, hashes->count + 1, sizeof *hashes->points);
}

void kvr__hashes_add(kvr__hashes *hashes, uint64_t index, uint64_t chain)
{
    if (hashes->count > 0) {
        KVR_ASSERT(hashes->points[hashes->count - 1].index < index);
    }
    if (hashes->count == KVR__HASHES_KEPT) {
        hashes->count--;
        memmove(hashes->points, hashes->points + 1, hashes->count * sizeof *hashes->points);
    }
    KVR_ASSERT(hashes->count < hashes->capacity);
    hashes->points[hashes->count++] = (kvr__hash_point){index, chain};
}

static const kvr__hash_point *find(const kvr__hash_point *points, uint32_t count, uint64_t index)
{
    for (uint32_t i = count; i > 0; i--) {
        if (points[i - 1].index == index) {
            return &points[i - 1];
        }
    }
    return NULL;
}

void kvr__hashes_take_points(kvr__hashes *hashes, kvr__hashes *from)
{
    kvr__array_free(hashes->mem, KVR__MEM_HANDLE, (void **)&hashes->points, &hashes->capacity,
                    sizeof *hashes->points);
    hashes->points = from->points;
    hashes->count = from->count;
    hashes->capacity = from->capacity;
    from->points = NULL;
    from->count = 0;
    from->capacity = 0;
}

/* ------------------------------------------------------------------ as bytes */

size_t kvr__hashes_size(const kvr__hashes *hashes)
{
    return 8 + hashes->count * sizeof(kvr__hash_point);
}

void kvr__hashes_write(const kvr__hashes *hashes, kvr__writer *writer)
{
    kvr__write_u32(writer, hashes->count);
    kvr__write_u32(writer, 0);
    for (uint32_t i = 0; i < hashes->count; i++) {
        kvr__write_u64(writer, hashes->points[i].index);
        kvr__write_u64(writer, hashes->points[i].chain);
    }
}

kvr_status kvr__hashes_read(kvr__hashes *hashes, kvr__reader *reader)
{
    KVR_ASSERT(hashes->count == 0);
    uint32_t count = kvr__read_u32(reader);
    (void)kvr__read_u32(reader);
    if (reader->failed || count > KVR__HASHES_KEPT) {
        return KVR_ECORRUPT;
    }
    uint64_t last = 0;
    for (uint32_t i = 0; i < count; i++) {
        kvr_status status = kvr__hashes_reserve(hashes);
        if (status != KVR_OK) {
            return status;
        }
        kvr__hash_point point = {.index = kvr__read_u64(reader)};
        point.chain = kvr__read_u64(reader);
        if (reader->failed || point.index <= last || point.index % KVR__HASH_EVERY != 0) {
            return KVR_ECORRUPT;
        }
        last = point.index;
        kvr__hashes_add(hashes, point.index, point.chain);
    }
    return KVR_OK;
}

/* ------------------------------------------------------------------ claims */

static kvr__hash_claims *claims_of(const kvr__hashes *hashes, uint64_t member)
{
    for (uint32_t i = 0; i < hashes->claims_count; i++) {
        if (hashes->claims[i].member == member) {
            return &hashes->claims[i];
        }
    }
    return NULL;
}

/* Puts a point in its place; a newer claim about the same index replaces the older one. */
static void put_claim(kvr__hash_claims *claims, const kvr__hash_point *point)
{
    uint32_t place = claims->count;
    while (place > 0 && claims->points[place - 1].index > point->index) {
        place--;
    }
    if (place > 0 && claims->points[place - 1].index == point->index) {
        claims->points[place - 1] = *point;
        return;
    }
    if (claims->count == KVR__CLAIMS_KEPT) {
        if (place == 0) {
            return; /* older than all that are kept */
        }
        memmove(claims->points, claims->points + 1, (place - 1) * sizeof *point);
        place--;
    } else {
        memmove(&claims->points[place + 1], &claims->points[place],
                (claims->count - place) * sizeof *point);
        claims->count++;
    }
    claims->points[place] = *point;
}

kvr_status kvr__hashes_claim(kvr__hashes *hashes, uint64_t member, const kvr__hash_point *point)
{
    kvr__hash_claims *claims = claims_of(hashes, member);
    if (claims == NULL) {
        kvr_status status = kvr__array_grow(hashes->mem, KVR__MEM_HANDLE, (void **)&hashes->claims,
                                            &hashes->claims_capacity, hashes->claims_count + 1,
                                            sizeof *hashes->claims);
        if (status != KVR_OK) {
            return status;
        }
        claims = &hashes->claims[hashes->claims_count++];
        *claims = (kvr__hash_claims){.member = member};
    }
    put_claim(claims, point);
    return KVR_OK;
}

const kvr__hash_point *kvr__hashes_claimed(const kvr__hashes *hashes, uint64_t member,
                                           uint64_t index)
{
    const kvr__hash_claims *claims = claims_of(hashes, member);
    return claims == NULL ? NULL : find(claims->points, claims->count, index);
}
