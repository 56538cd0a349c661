/* SPDX-License-Identifier: Apache-2.0 */
/* buffer.h: the inside of kvr_buf, for those who fill one: allocate with room, write, then treat it
 * as immutable (nghttp2's rcbuf, with the allocator remembered so that a release needs no handle).
 * The count is plain: one handle, one thread. */
#ifndef KVRAFT_LIB_BASE_BUFFER_H
#define KVRAFT_LIB_BASE_BUFFER_H

#include "base/assertion.h"
#include "base/memory.h"

/* With its head a buffer still fits a 32-bit machine. */
#define KVR__BUF_SIZE_MAX ((size_t)UINT32_MAX - 63)

struct kvr_buf {
    kvr__mem *mem; /* charged with the block; NULL for buffers made by kvr_buf_new */
    const kvr_allocator *table;
    void *ctx;
    uint32_t count;
    uint32_t kind;
    size_t size;     /* bytes valid */
    size_t capacity; /* bytes that follow this struct */
    uint8_t data[];
};

/* A buffer with count 1, size 0 and room for `capacity` bytes, charged to `mem` (which must outlive
 * it). NULL: no memory, or more than KVR__BUF_SIZE_MAX. */
kvr_buf *kvr__buf_new_room(kvr__mem *mem, uint32_t kind, size_t capacity);
void kvr__buf_free(kvr_buf *buf); /* whose last count went */

/* kvr_buf_retain and kvr_buf_release in line; `buf` is not NULL. */
static inline kvr_buf *kvr__buf_retain(kvr_buf *buf)
{
    KVR_ASSERT(buf->count > 0);
    KVR_ASSERT(buf->count < UINT32_MAX);
    buf->count++;
    return buf;
}

static inline void kvr__buf_release(kvr_buf *buf)
{
    KVR_ASSERT(buf->count > 0);
    buf->count--;
    if (buf->count == 0) {
        kvr__buf_free(buf);
    }
}

#endif
