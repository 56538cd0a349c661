/* SPDX-License-Identifier: Apache-2.0 */
/* checksum.h: XXH3, inlined, since most inputs are under 200 bytes. It guards against accident, not
 * against an attacker: seal.h is for those. Only this header names xxhash. */
#ifndef KVRAFT_LIB_BASE_CHECKSUM_H
#define KVRAFT_LIB_BASE_CHECKSUM_H

#include <stddef.h>
#include <stdint.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

static inline uint64_t kvr__xxh3_64(const void *data, size_t size)
{
    return XXH3_64bits(data, size);
}

static inline uint64_t kvr__xxh3_64_seed(const void *data, size_t size, uint64_t seed)
{
    return XXH3_64bits_withSeed(data, size, seed);
}

/* Streaming: kvr__xxh3_reset, then _update, then a digest as often as wanted. xxhash wants its
 * state on a 64-byte boundary, which no allocator promises: so it is placed inside a larger room,
 * and a kvr__xxh3 must stay where it was reset. */
typedef struct kvr__xxh3 {
    uint8_t room[sizeof(XXH3_state_t) + 63];
} kvr__xxh3;

static inline const XXH3_state_t *kvr__xxh3_state(const kvr__xxh3 *state)
{
    size_t skip = (0 - (uintptr_t)state->room) & 63;
    return (const XXH3_state_t *)(const void *)(state->room + skip);
}

static inline void kvr__xxh3_reset(kvr__xxh3 *state)
{
    (void)XXH3_128bits_reset((XXH3_state_t *)kvr__xxh3_state(state));
}

static inline void kvr__xxh3_update(kvr__xxh3 *state, const void *data, size_t size)
{
    (void)XXH3_128bits_update((XXH3_state_t *)kvr__xxh3_state(state), data, size);
}

/* The same as kvr__xxh3_64 over all of the updates: both widths share one state. */
static inline uint64_t kvr__xxh3_digest_64(const kvr__xxh3 *state)
{
    return XXH3_64bits_digest(kvr__xxh3_state(state));
}

/* 16 bytes, low half first, little-endian whatever the machine. */
void kvr__xxh3_digest_128(const kvr__xxh3 *state, uint8_t out[16]);

#endif
