/* SPDX-License-Identifier: Apache-2.0 */
/* test_hash.h: XXH3-128 of a run of bytes in one call, as a snapshot's meta wants it. */
#ifndef KVRAFT_TEST_SUPPORT_TEST_HASH_H
#define KVRAFT_TEST_SUPPORT_TEST_HASH_H

#include "base/checksum.h"

static inline void test_xxh3_128(const void *data, size_t size, uint8_t out[16])
{
    kvr__xxh3 state;
    kvr__xxh3_reset(&state);
    kvr__xxh3_update(&state, data, size);
    kvr__xxh3_digest_128(&state, out);
}

#endif
