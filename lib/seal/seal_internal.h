/* SPDX-License-Identifier: Apache-2.0 */
/* seal_internal.h: the keyring, and what it shows to sessions. */
#ifndef KVRAFT_LIB_SEAL_SEAL_INTERNAL_H
#define KVRAFT_LIB_SEAL_SEAL_INTERNAL_H

#include "base/memory.h"

#include <kvraft/seal.h>

enum { KVR__SEAL_KEYS_MAX = 8 };

/* Invariants: seal_check.c. */
struct kvr_seal_keyring {
    kvr__mem mem;
    uint64_t used; /* id of the key for connections that we open; 0: the ring is empty */
    uint32_t count;
    uint32_t reserved;
    uint64_t ids[KVR__SEAL_KEYS_MAX];
    uint8_t keys[KVR__SEAL_KEYS_MAX][KVR_SEAL_KEY_BYTES];
};

/* The room's invariants; called at its doors in checking builds. */
void kvr__seal_check(const kvr_seal_keyring *ring);

/* libsodium is ready to be used; it may be asked from any thread and any number of times. */
kvr_status kvr__seal_start(void);

/* The key of that id, lent until the ring changes; NULL: none. */
const uint8_t *kvr__seal_keyring_find(const kvr_seal_keyring *ring, uint64_t id);

/* The id of the key in use; 0: the ring is empty. */
uint64_t kvr__seal_keyring_used(const kvr_seal_keyring *ring);

#endif
