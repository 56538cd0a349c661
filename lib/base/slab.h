/* SPDX-License-Identifier: Apache-2.0 */
/* slab.h: many small blocks of few sizes, for one owner on one thread.
 *
 *   class = size rounded up to 8, up to KVR__SLAB_MAX; each class has a free list threaded through
 *   its free blocks; blocks are cut from chunks that start at KVR__SLAB_FIRST bytes and double up
 *   to KVR__SLAB_CHUNK, so that an idle handle stays small. Larger sizes go to the mem directly.
 *
 * A chunk returns to the host only when the slab is released: freed blocks serve later allocations.
 * kvr__slab_reserve makes the next allocations certain: that is how a change is all or nothing. */
#ifndef KVRAFT_LIB_BASE_SLAB_H
#define KVRAFT_LIB_BASE_SLAB_H

#include "base/memory.h"

enum {
    KVR__SLAB_MAX = 1024,
    KVR__SLAB_FIRST = 512,
    KVR__SLAB_CHUNK = 64 * 1024,
    KVR__SLAB_CLASSES = KVR__SLAB_MAX / 8
};

typedef struct kvr__slab kvr__slab; /* in the owner's struct by pointer; opaque to others */

/* NULL: no memory. The slab itself costs one small block until first use. */
kvr__slab *kvr__slab_new(kvr__mem *mem, uint32_t kind);
/* frees every chunk, large block and the slab; NULL ignored */
void kvr__slab_free_all(kvr__slab *slab);

void *kvr__slab_alloc(kvr__slab *slab, size_t size); /* aligned to 8; NULL: no memory. size > 0 */
/* size as allocated; NULL is ignored */
void kvr__slab_free(kvr__slab *slab, void *ptr, size_t size);

/* After KVR_OK the next `count` allocations of `size` (<= KVR__SLAB_MAX) succeed, whatever else is
 * allocated or reserved in other classes (sizes that round up to another multiple of 8). Two
 * reservations in one class do not add up: reserve the sum. KVR_ENOMEM. */
kvr_status kvr__slab_reserve(kvr__slab *slab, size_t size, uint32_t count);

/* Bytes handed out and not freed (rounded to class), for accounting tests. */
uint64_t kvr__slab_bytes_used(const kvr__slab *slab);

/* Invariants 4 to 6 of README.md; walks chunks and free lists. */
void kvr__slab_check(const kvr__slab *slab);

#endif
