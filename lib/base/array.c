/* SPDX-License-Identifier: Apache-2.0 */
/* array.c: growth of typed arrays. The owner's pointer has its own type, so it is read and written
 * as bytes here, never through a void *. */
#include "base/array.h"

#include "base/assertion.h"

#include <string.h>

enum { FIRST_ITEMS = 4 };

static kvr_status resize(kvr__mem *mem, uint32_t kind, void **items, uint32_t *capacity,
                         uint32_t count, size_t item_size)
{
    size_t new_size = 0;
    if (__builtin_mul_overflow((size_t)count, item_size, &new_size)) {
        return KVR_ENOMEM;
    }
    void *old = NULL;
    memcpy(&old, items, sizeof old);
    void *moved = kvr__mem_realloc(mem, kind, old, *capacity * item_size, new_size);
    if (moved == NULL) {
        return KVR_ENOMEM;
    }
    memcpy(items, &moved, sizeof moved);
    *capacity = count;
    return KVR_OK;
}

kvr_status kvr__array_grow(kvr__mem *mem, uint32_t kind, void **items, uint32_t *capacity,
                           uint32_t want, size_t item_size)
{
    KVR_ASSERT(item_size > 0);
    if (want <= *capacity) {
        return KVR_OK;
    }
    uint32_t grown = *capacity > UINT32_MAX / 2 ? UINT32_MAX : *capacity * 2;
    grown = grown < FIRST_ITEMS ? FIRST_ITEMS : grown;
    grown = grown < want ? want : grown;
#ifdef KVR_HOSTILE
    grown = want; /* never room to spare: each growth moves the array */
#endif
    return resize(mem, kind, items, capacity, grown, item_size);
}

kvr_status kvr__array_fit(kvr__mem *mem, uint32_t kind, void **items, uint32_t *capacity,
                          uint32_t want, size_t item_size)
{
    KVR_ASSERT(item_size > 0);
    return want <= *capacity ? KVR_OK : resize(mem, kind, items, capacity, want, item_size);
}

void kvr__array_free(kvr__mem *mem, uint32_t kind, void **items, uint32_t *capacity,
                     size_t item_size)
{
    void *old = NULL;
    memcpy(&old, items, sizeof old);
    kvr__mem_free(mem, kind, old, *capacity * item_size);
    memset(items, 0, sizeof old);
    *capacity = 0;
}
