/* SPDX-License-Identifier: Apache-2.0 */
/* buffer.c: counted buffers. One block holds head and bytes; what frees it stands in the head. */
#include "base/buffer.h"

#include "base/assertion.h"

#include <string.h>

_Static_assert(sizeof(kvr_buf) <= 64, "KVR__BUF_SIZE_MAX leaves 64 bytes for the head");

kvr_buf *kvr__buf_new_room(kvr__mem *mem, uint32_t kind, size_t capacity)
{
    if (capacity > KVR__BUF_SIZE_MAX) {
        return NULL;
    }
    kvr_buf *buf = kvr__mem_alloc(mem, kind, sizeof *buf + capacity);
    if (buf == NULL) {
        return NULL;
    }
    *buf = (kvr_buf){
        .mem = mem,
        .table = mem->table,
        .ctx = mem->ctx,
        .count = 1,
        .kind = kind,
        .capacity = capacity,
    };
    return buf;
}

kvr_status kvr_buf_new(const kvr_allocator *allocator, void *allocator_ctx, const kvr_slice *bytes,
                       kvr_buf **out_buf)
{
    if (bytes == NULL || out_buf == NULL || (bytes->data == NULL && bytes->size > 0)) {
        return KVR_EINVAL;
    }
    if (bytes->size > KVR__BUF_SIZE_MAX) {
        return KVR_ETOOBIG;
    }
    kvr__mem mem; /* lives for this call: the buffer must not outlive what it is charged to */
    kvr_status status = kvr__mem_init(&mem, allocator, allocator_ctx);
    if (status != KVR_OK) {
        return status;
    }
    kvr_buf *buf = kvr__buf_new_room(&mem, KVR__MEM_HANDLE, bytes->size);
    if (buf == NULL) {
        return KVR_ENOMEM;
    }
    buf->mem = NULL;
    buf->size = bytes->size;
    if (bytes->size > 0) {
        memcpy(buf->data, bytes->data, bytes->size);
    }
    *out_buf = buf;
    return KVR_OK;
}

kvr_buf *kvr_buf_retain(kvr_buf *buf)
{
    return kvr__buf_retain(buf);
}

void kvr_buf_release(kvr_buf *buf)
{
    if (buf != NULL) {
        kvr__buf_release(buf);
    }
}

void kvr__buf_free(kvr_buf *buf)
{
    KVR_ASSERT(buf->count == 0);
    KVR_ASSERT(buf->size <= buf->capacity);
    size_t block_size = sizeof *buf + buf->capacity;
    kvr__mem own = {.table = buf->table, .ctx = buf->ctx, .blocks = 1};
    own.bytes_by_kind[buf->kind] = block_size; /* as kvr_buf_new left its own */
    kvr__mem_free(buf->mem != NULL ? buf->mem : &own, buf->kind, buf, block_size);
}

void kvr_buf_bytes(const kvr_buf *buf, kvr_slice *out_bytes)
{
    *out_bytes = (kvr_slice){buf->data, buf->size};
}
