/* SPDX-License-Identifier: Apache-2.0 */
/* seal_keyring.c: the cluster's keys by id. Several at a time, so that they can be rotated while
 * members know different ones. Invariants (README.md): ids differ and are not 0; one of them is in
 * use unless the ring is empty; places beyond `count` are zero. */
#include "seal_internal.h"

#include "base/assertion.h"

#include <sodium.h>
#include <string.h>

kvr_status kvr__seal_start(void)
{
    return sodium_init() < 0 ? KVR_EIO : KVR_OK;
}

kvr_status kvr_seal_keyring_new(const kvr_allocator *allocator, void *allocator_ctx,
                                kvr_seal_keyring **out_ring)
{
    void *handle = NULL;
    kvr_status status = kvr__seal_start();
    if (status == KVR_OK) {
        status = kvr__mem_new_handle(allocator, allocator_ctx, sizeof **out_ring,
                                     offsetof(kvr_seal_keyring, mem), &handle);
    }
    if (status == KVR_OK) {
        *out_ring = handle;
    }
    return status;
}

void kvr_seal_keyring_free(kvr_seal_keyring *ring)
{
    if (ring != NULL) {
        sodium_memzero(ring->keys, sizeof ring->keys);
        kvr__mem_free_handle(ring, sizeof *ring, offsetof(kvr_seal_keyring, mem));
    }
}

/* The place of an id; `count` if there is none. */
static uint32_t find(const kvr_seal_keyring *ring, uint64_t id)
{
    uint32_t place = 0;
    while (place < ring->count && ring->ids[place] != id) {
        place++;
    }
    return place;
}

kvr_status kvr_seal_keyring_add(kvr_seal_keyring *ring, uint64_t id, const kvr_slice *key)
{
    if (id == 0 || key == NULL || key->size != KVR_SEAL_KEY_BYTES) {
        return KVR_EINVAL;
    }
    if (find(ring, id) < ring->count) {
        return KVR_EEXIST;
    }
    if (ring->count == KVR__SEAL_KEYS_MAX) {
        return KVR_EBUSY;
    }
    memcpy(ring->keys[ring->count], key->data, KVR_SEAL_KEY_BYTES);
    ring->ids[ring->count++] = id;
    ring->used = ring->count == 1 ? id : ring->used;
    KVR_CHECKED(kvr__seal_check(ring));
    return KVR_OK;
}

kvr_status kvr_seal_keyring_use(kvr_seal_keyring *ring, uint64_t id)
{
    if (id == 0 || find(ring, id) == ring->count) {
        return KVR_ENOTFOUND;
    }
    ring->used = id;
    return KVR_OK;
}

kvr_status kvr_seal_keyring_remove(kvr_seal_keyring *ring, uint64_t id)
{
    uint32_t place = find(ring, id);
    if (place == ring->count) {
        return KVR_ENOTFOUND;
    }
    if (id == ring->used && ring->count > 1) {
        return KVR_ESTATE;
    }
    uint32_t last = --ring->count;
    ring->ids[place] = ring->ids[last];
    memcpy(ring->keys[place], ring->keys[last], KVR_SEAL_KEY_BYTES);
    ring->ids[last] = 0;
    sodium_memzero(ring->keys[last], KVR_SEAL_KEY_BYTES);
    ring->used = ring->count == 0 ? 0 : ring->used;
    KVR_CHECKED(kvr__seal_check(ring));
    return KVR_OK;
}

const uint8_t *kvr__seal_keyring_find(const kvr_seal_keyring *ring, uint64_t id)
{
    uint32_t place = find(ring, id);
    return id == 0 || place == ring->count ? NULL : ring->keys[place];
}

uint64_t kvr__seal_keyring_used(const kvr_seal_keyring *ring)
{
    return ring->used;
}
