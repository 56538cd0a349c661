/* SPDX-License-Identifier: Apache-2.0 */
/* memory.c: the accounting between a handle and its allocator, and the default allocator. The one
 * file of the library that may name malloc, realloc and free. */
#include "base/memory.h"

#include "base/assertion.h"
#include "base/buggify.h"
#include "base/sized.h"

#include <stdlib.h>
#include <string.h>

static void *default_alloc(void *ctx, size_t size)
{
    (void)ctx;
    return malloc(size);
}

static void *default_realloc(void *ctx, void *ptr, size_t old_size, size_t new_size)
{
    (void)ctx;
    (void)old_size;
    return realloc(ptr, new_size);
}

static void default_free(void *ctx, void *ptr, size_t size)
{
    (void)ctx;
    (void)size;
    free(ptr);
}

static const kvr_allocator default_table = {
    .size = sizeof(kvr_allocator),
    .alloc = default_alloc,
    .realloc = default_realloc,
    .free = default_free,
};

/* In builds with -DKVR_CHECK the simulator's table may be longer. */
static bool read_table(kvr_allocator *out, const kvr_allocator *table)
{
#ifdef KVR_CHECK
    if (table->size == sizeof(kvr__buggify_allocator)) {
        *out = *table;
        return true;
    }
#endif
    return kvr__sized_read(out, sizeof *out, table, sizeof *out);
}

kvr_status kvr__mem_init(kvr__mem *mem, const kvr_allocator *table, void *ctx)
{
    if (table != NULL) {
        kvr_allocator known;
        if (!read_table(&known, table) || known.alloc == NULL || known.realloc == NULL ||
            known.free == NULL) {
            return KVR_EINVAL;
        }
    }
    *mem = (kvr__mem){.table = table == NULL ? &default_table : table, .ctx = ctx};
    return KVR_OK;
}

void *kvr__mem_alloc(kvr__mem *mem, uint32_t kind, size_t size)
{
    KVR_ASSERT(size > 0);
    KVR_ASSERT(kind < KVR__MEM_KINDS);
    void *ptr = mem->table->alloc(mem->ctx, size);
    if (ptr != NULL) {
        mem->blocks++;
        mem->bytes_by_kind[kind] += size;
    }
    return ptr;
}

void *kvr__mem_zalloc(kvr__mem *mem, uint32_t kind, size_t size)
{
    void *ptr = kvr__mem_alloc(mem, kind, size);
    if (ptr != NULL) {
        memset(ptr, 0, size);
    }
    return ptr;
}

void *kvr__mem_realloc(kvr__mem *mem, uint32_t kind, void *ptr, size_t old_size, size_t new_size)
{
    if (ptr == NULL) {
        return kvr__mem_alloc(mem, kind, new_size);
    }
    KVR_ASSERT(new_size > 0);
    KVR_ASSERT(kind < KVR__MEM_KINDS);
    KVR_ASSERT(mem->bytes_by_kind[kind] >= old_size);
    void *moved = mem->table->realloc(mem->ctx, ptr, old_size, new_size);
    if (moved != NULL) {
        mem->bytes_by_kind[kind] += new_size;
        mem->bytes_by_kind[kind] -= old_size;
    }
    return moved;
}

void kvr__mem_free(kvr__mem *mem, uint32_t kind, void *ptr, size_t size)
{
    if (ptr == NULL) {
        return;
    }
    KVR_ASSERT(kind < KVR__MEM_KINDS);
    KVR_ASSERT(mem->blocks > 0);
    KVR_ASSERT(mem->bytes_by_kind[kind] >= size);
    mem->blocks--;
    mem->bytes_by_kind[kind] -= size;
#ifdef KVR_CHECK
    memset(ptr, KVR__MEM_POISON, size);
#endif
    mem->table->free(mem->ctx, ptr, size);
}

uint64_t kvr__mem_bytes(const kvr__mem *mem)
{
    uint64_t bytes = 0;
    for (uint32_t kind = 0; kind < KVR__MEM_KINDS; kind++) {
        bytes += mem->bytes_by_kind[kind];
    }
    return bytes;
}

kvr_status kvr__mem_new_handle(const kvr_allocator *table, void *ctx, size_t size,
                               size_t mem_offset, void **out_handle)
{
    KVR_ASSERT(size >= sizeof(kvr__mem));
    KVR_ASSERT(mem_offset <= size - sizeof(kvr__mem));
    kvr__mem mem;
    kvr_status status = kvr__mem_init(&mem, table, ctx);
    if (status != KVR_OK) {
        return status;
    }
    uint8_t *handle = kvr__mem_zalloc(&mem, KVR__MEM_HANDLE, size);
    if (handle == NULL) {
        return KVR_ENOMEM;
    }
    memcpy(handle + mem_offset, &mem, sizeof mem);
    *out_handle = handle;
    return KVR_OK;
}

void kvr__mem_free_handle(void *handle, size_t size, size_t mem_offset)
{
    if (handle == NULL) {
        return;
    }
    kvr__mem mem;
    memcpy(&mem, (uint8_t *)handle + mem_offset, sizeof mem);
    kvr__mem_free(&mem, KVR__MEM_HANDLE, handle, size);
}
