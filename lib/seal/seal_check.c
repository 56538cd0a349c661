/* SPDX-License-Identifier: Apache-2.0 */
/* seal_check.c: the room's invariants, with the numbers of README.md. */
#include "seal_internal.h"

#include "base/assertion.h"

void kvr__seal_check(const kvr_seal_keyring *ring)
{
    bool used_is_there = false;
    KVR_ASSERT(ring->count <= KVR__SEAL_KEYS_MAX);
    for (uint32_t i = 0; i < KVR__SEAL_KEYS_MAX; i++) {
        if (i >= ring->count) {
            uint8_t bits = 0;
            for (uint32_t b = 0; b < KVR_SEAL_KEY_BYTES; b++) {
                bits |= ring->keys[i][b];
            }
            KVR_ASSERT(ring->ids[i] == 0); /* 3 */
            KVR_ASSERT(bits == 0);         /* 3 */
            continue;
        }
        KVR_ASSERT(ring->ids[i] != 0); /* 1 */
        for (uint32_t j = 0; j < i; j++) {
            KVR_ASSERT(ring->ids[j] != ring->ids[i]); /* 1 */
        }
        used_is_there = used_is_there || ring->ids[i] == ring->used;
    }
    KVR_ASSERT(used_is_there == (ring->count > 0)); /* 2 */
    if (ring->count == 0) {
        KVR_ASSERT(ring->used == 0); /* 2 */
    }
}
