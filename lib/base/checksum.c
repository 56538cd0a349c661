/* SPDX-License-Identifier: Apache-2.0 */
/* checksum.c: the 128-bit digests as bytes. */
#include "base/checksum.h"

#include "base/codec.h"

void kvr__xxh3_digest_128(const kvr__xxh3 *state, uint8_t out[16])
{
    XXH128_hash_t hash = XXH3_128bits_digest(kvr__xxh3_state(state));
    kvr__store_u64(out, hash.low64);
    kvr__store_u64(out + 8, hash.high64);
}
