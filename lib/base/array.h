/* SPDX-License-Identifier: Apache-2.0 */
/* array.h: a growable array of the owner's own type; its capacity doubles.
 *
 *   struct { thing *items; uint32_t count, capacity; } list;
 *   status = kvr__array_grow(mem, kind, (void **)&list.items, &list.capacity, list.count + 1,
 *                            sizeof *list.items);
 *   if (status == KVR_OK) { list.items[list.count++] = x; } */
#ifndef KVRAFT_LIB_BASE_ARRAY_H
#define KVRAFT_LIB_BASE_ARRAY_H

#include "base/memory.h"

/* Makes room for `want` items of `item_size` bytes, at least doubling. The items stay as they are
 * on KVR_ENOMEM (also for sizes that do not fit). */
kvr_status kvr__array_grow(kvr__mem *mem, uint32_t kind, void **items, uint32_t *capacity,
                           uint32_t want, size_t item_size);
/* The same, and exactly `want`: for arrays that hardly ever grow. */
kvr_status kvr__array_fit(kvr__mem *mem, uint32_t kind, void **items, uint32_t *capacity,
                          uint32_t want, size_t item_size);
void kvr__array_free(kvr__mem *mem, uint32_t kind, void **items, uint32_t *capacity,
                     size_t item_size);

#endif
