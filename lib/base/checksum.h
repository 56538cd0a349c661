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

/* Streaming: kvr__xxh3_reset, then _update, then _digest as often as wanted. 576 bytes of state. */
typedef XXH3_state_t kvr__xxh3;

static inline void kvr__xxh3_reset(kvr__xxh3 *state)
{
    (void)XXH3_128bits_reset(state);
}

static inline void kvr__xxh3_update(kvr__xxh3 *state, const void *data, size_t size)
{
    (void)XXH3_128bits_update(state, data, size);
}

/* 16 bytes, low half first, little-endian whatever the machine. */
void kvr__xxh3_digest_128(const kvr__xxh3 *state, uint8_t out[16]);
void kvr__xxh3_128(const void *data, size_t size, uint8_t out[16]);

#endif
