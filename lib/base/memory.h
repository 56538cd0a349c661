/* SPDX-License-Identifier: Apache-2.0 */
/* memory.h: one kvr__mem a handle. It wraps the host's allocator, counts bytes and blocks by kind,
 * and is the only way to memory in lib/. No table means malloc (memory.c is the one file that may
 * name it). Sizes are passed back on free, so nothing is stored beside a block. */
#ifndef KVRAFT_LIB_BASE_MEMORY_H
#define KVRAFT_LIB_BASE_MEMORY_H

#include <kvraft/base.h>

/* What memory is for; status structs report bytes by these kinds. */
enum {
    KVR__MEM_HANDLE = 0,  /* the handle itself, tables of fixed size, scratch */
    KVR__MEM_LOG = 1,     /* Raft log entries in memory */
    KVR__MEM_MESSAGE = 2, /* messages and storage requests under way */
    KVR__MEM_TREE = 3,    /* index nodes */
    KVR__MEM_RECORD = 4,  /* versions: keys, values */
    KVR__MEM_HISTORY = 5, /* the log by revision */
    KVR__MEM_WATCH = 6,
    KVR__MEM_LEASE = 7,
    KVR__MEM_CALL = 8, /* requests that wait for an answer */
    KVR__MEM_KINDS = 9
};

#if defined(__SANITIZE_ADDRESS__)
#define KVR__ASAN
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define KVR__ASAN
#endif
#endif

/* What freed and not yet used memory is filled with in builds with -DKVR_CHECK, so that whoever
 * keeps a pointer too long reads nonsense, and soon. */
enum { KVR__MEM_POISON = 0xDB };

typedef struct kvr__mem {
    const kvr_allocator *table; /* never NULL after kvr__mem_init */
    void *ctx;
    uint64_t blocks;                        /* blocks now held */
    uint64_t bytes_by_kind[KVR__MEM_KINDS]; /* bytes now held */
} kvr__mem;

/* `table` NULL selects malloc. KVR_EINVAL if a function of the table is missing. */
kvr_status kvr__mem_init(kvr__mem *mem, const kvr_allocator *table, void *ctx);

void *kvr__mem_alloc(kvr__mem *mem, uint32_t kind, size_t size); /* NULL: no memory. size > 0 */
void *kvr__mem_zalloc(kvr__mem *mem, uint32_t kind, size_t size);
/* `ptr` NULL allocates. On NULL the old block is untouched. */
void *kvr__mem_realloc(kvr__mem *mem, uint32_t kind, void *ptr, size_t old_size, size_t new_size);
void kvr__mem_free(kvr__mem *mem, uint32_t kind, void *ptr, size_t size); /* NULL is ignored */
uint64_t kvr__mem_bytes(const kvr__mem *mem);
void kvr__mem_check(const kvr__mem *mem); /* invariant 1 of README.md */

/* A handle that holds its own kvr__mem cannot be freed through it: this allocates the handle's
 * block from a kvr__mem on the stack, zeroed, copies the mem in at `mem_offset` and is undone by
 * _free_handle (NULL is ignored). KVR_EINVAL, KVR_ENOMEM. */
kvr_status kvr__mem_new_handle(const kvr_allocator *table, void *ctx, size_t size,
                               size_t mem_offset, void **out_handle);
void kvr__mem_free_handle(void *handle, size_t size, size_t mem_offset);

#endif
