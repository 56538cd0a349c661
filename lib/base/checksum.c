/* SPDX-License-Identifier: Apache-2.0 */
/* checksum.c: the 128-bit digests as bytes, and the hash of base.h over them. */
#include "base/checksum.h"

#include <kvraft/base.h>

#include "base/codec.h"

_Static_assert(sizeof(kvr__xxh3) <= sizeof(kvr_hash), "the public hash has room for ours");

void kvr__xxh3_digest_128(const kvr__xxh3 *state, uint8_t out[16])
{
    XXH128_hash_t hash = XXH3_128bits_digest(kvr__xxh3_state(state));
    kvr__store_u64(out, hash.low64);
    kvr__store_u64(out + 8, hash.high64);
}

void kvr_hash_init(kvr_hash *hash)
{
    kvr__xxh3_reset((kvr__xxh3 *)(void *)hash);
}

void kvr_hash_update(kvr_hash *hash, const kvr_slice *bytes)
{
    if (bytes->size > 0) {
        kvr__xxh3_update((kvr__xxh3 *)(void *)hash, bytes->data, bytes->size);
    }
}

void kvr_hash_digest(const kvr_hash *hash, uint8_t out_digest[16])
{
    kvr__xxh3_digest_128((const kvr__xxh3 *)(const void *)hash, out_digest);
}
