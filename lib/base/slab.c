/* SPDX-License-Identifier: Apache-2.0 */
/* slab.c: small blocks without heads. The size comes back with each free, so a block needs to say
 * nothing about itself, and a free block holds only the link to the next of its size:
 *
 *   lists[0] -> [8] -> [8]            chunk  +------+--+----+--+------+---------------+
 *   lists[1] -> [16]                         | head |24| 40 |8 |  24  |    room ...   |
 *   lists[2] -> [24] -> [24] -> [24]         +------+--+----+--+------+---------------+
 *
 * A block comes from its list, else from the room of the newest chunk, else from a new chunk; then
 * what was left of the old room goes to the list of its size, so nothing is lost. The table of
 * lists grows to the largest size asked for: a handle with small blocks only keeps a small
 * table. */
#include "base/slab.h"

#include "base/assertion.h"
#include "base/list.h"

#include <string.h>

#ifdef KVR__ASAN
#include <sanitizer/asan_interface.h>
#endif

enum { FIRST_LISTS = 16 };

typedef struct block {
    struct block *next;
} block;

typedef struct chunk {
    struct chunk *next;
    size_t size; /* with this head */
} chunk;

/* The head of a block above KVR__SLAB_MAX, which stands alone in the mem. */
typedef struct large {
    _Alignas(8) kvr__list link;
    size_t size; /* without this head */
} large;

struct kvr__slab {
    kvr__mem *mem;
    block **lists; /* free blocks by size; NULL before first use */
    uint32_t list_count;
    uint32_t kind;
    uint8_t *room; /* the uncut part of the newest chunk */
    size_t room_size;
    chunk *chunks;     /* newest first */
    size_t chunk_size; /* of the next chunk */
    uint64_t bytes_used;
    kvr__list large_blocks;
};

_Static_assert(sizeof(block) <= 8, "the smallest block must hold a link");
_Static_assert(sizeof(chunk) % 8 == 0 && sizeof(large) % 8 == 0,
               "what follows a head is aligned to 8");
_Static_assert(KVR__SLAB_CHUNK - sizeof(chunk) >= KVR__SLAB_MAX, "each size fits a chunk");

/* ------------------------------------------------------------------ poison */

/* In test builds all free memory but the links is 0xDB, and must still be when it is used again: a
 * write after free shows there, a read after free is nonsense; AddressSanitizer reports both. */
static void unpoison(void *ptr, size_t size)
{
    (void)ptr;
    (void)size;
#ifdef KVR__ASAN
    ASAN_UNPOISON_MEMORY_REGION(ptr, size);
#endif
}

static void poison(void *ptr, size_t size)
{
    unpoison(ptr, size);
#ifdef KVR_CHECK
    memset(ptr, KVR__MEM_POISON, size);
#endif
#ifdef KVR__ASAN
    ASAN_POISON_MEMORY_REGION(ptr, size);
#endif
}

/* `ptr` was unpoisoned; all but the link it may have held is as poison left it. */
static void check_poison(const uint8_t *ptr, size_t size)
{
    (void)ptr;
    (void)size;
#ifdef KVR_CHECK
    for (size_t i = sizeof(block); i < size; i++) {
        KVR_ASSERT(ptr[i] == KVR__MEM_POISON);
    }
#endif
}

/* ------------------------------------------------------------------ lists, room and chunks */

/* 0 for 1 to 8 bytes, 1 for 9 to 16; far above the last for 0. */
static size_t list_of(size_t size)
{
    return (size - 1) / 8;
}

static size_t size_of(size_t list)
{
    return (list + 1) * 8;
}

static void push_block(kvr__slab *slab, size_t list, void *ptr)
{
    block *b = ptr;
    poison(b, size_of(list));
    unpoison(b, sizeof *b);
    b->next = slab->lists[list];
    slab->lists[list] = b;
}

static kvr_status grow_lists(kvr__slab *slab, size_t list)
{
    uint32_t count = slab->list_count == 0 ? FIRST_LISTS : slab->list_count;
    while (count <= list) {
        count *= 2;
    }
    block **lists = kvr__mem_realloc(slab->mem, slab->kind, slab->lists,
                                     slab->list_count * sizeof *lists, count * sizeof *lists);
    if (lists == NULL) {
        return KVR_ENOMEM;
    }
    memset(lists + slab->list_count, 0, (count - slab->list_count) * sizeof *lists);
    slab->lists = lists;
    slab->list_count = count;
    return KVR_OK;
}

/* A new room of at least `size` bytes; the rest of the old one becomes a free block. It is smaller
 * than `size`, so the table has its list. */
static kvr_status add_chunk(kvr__slab *slab, size_t size)
{
    size_t chunk_size = slab->chunk_size;
    while (chunk_size - sizeof(chunk) < size) {
        chunk_size *= 2;
    }
    chunk *fresh = kvr__mem_alloc(slab->mem, slab->kind, chunk_size);
    if (fresh == NULL) {
        return KVR_ENOMEM;
    }
    *fresh = (chunk){slab->chunks, chunk_size};
    if (slab->room_size > 0) {
        push_block(slab, list_of(slab->room_size), slab->room);
    }
    slab->chunks = fresh;
    slab->room = (uint8_t *)(fresh + 1);
    slab->room_size = chunk_size - sizeof *fresh;
    slab->chunk_size = chunk_size < KVR__SLAB_CHUNK ? chunk_size * 2 : KVR__SLAB_CHUNK;
    poison(slab->room, slab->room_size);
    return KVR_OK;
}

/* A block cut from the room, still poisoned. */
static void *cut_block(kvr__slab *slab, size_t list)
{
    size_t size = size_of(list);
    if (slab->room_size < size && add_chunk(slab, size) != KVR_OK) {
        return NULL;
    }
    void *ptr = slab->room;
    slab->room += size;
    slab->room_size -= size;
    return ptr;
}

/* ------------------------------------------------------------------ large blocks */

static void *alloc_large(kvr__slab *slab, size_t size)
{
    size_t whole = 0;
    if (__builtin_add_overflow(size, sizeof(large), &whole)) {
        return NULL;
    }
    large *head = kvr__mem_alloc(slab->mem, slab->kind, whole);
    if (head == NULL) {
        return NULL;
    }
    head->size = size;
    kvr__list_push_back(&slab->large_blocks, &head->link);
    slab->bytes_used += size;
    return head + 1;
}

static void free_large(kvr__slab *slab, large *head)
{
    kvr__list_remove(&head->link);
    slab->bytes_used -= head->size;
    kvr__mem_free(slab->mem, slab->kind, head, sizeof *head + head->size);
}

/* ------------------------------------------------------------------ the door */

kvr__slab *kvr__slab_new(kvr__mem *mem, uint32_t kind)
{
    kvr__slab *slab = kvr__mem_zalloc(mem, kind, sizeof *slab);
    if (slab != NULL) {
        slab->mem = mem;
        slab->kind = kind;
        slab->chunk_size = KVR__SLAB_FIRST;
        kvr__list_init(&slab->large_blocks);
    }
    return slab;
}

void kvr__slab_free_all(kvr__slab *slab)
{
    if (slab == NULL) {
        return;
    }
    while (!kvr__list_is_empty(&slab->large_blocks)) {
        free_large(slab, KVR__CONTAINER_OF(slab->large_blocks.next, large, link));
    }
    while (slab->chunks != NULL) {
        chunk *newest = slab->chunks;
        slab->chunks = newest->next;
        unpoison(newest, newest->size);
        kvr__mem_free(slab->mem, slab->kind, newest, newest->size);
    }
    kvr__mem_free(slab->mem, slab->kind, slab->lists, slab->list_count * sizeof *slab->lists);
    kvr__mem_free(slab->mem, slab->kind, slab, sizeof *slab);
}

void *kvr__slab_alloc(kvr__slab *slab, size_t size)
{
    size_t list = list_of(size);
    void *ptr;
    if (list < slab->list_count && slab->lists[list] != NULL) {
        ptr = slab->lists[list];
        slab->lists[list] = slab->lists[list]->next;
    } else {
        KVR_ASSERT(size > 0);
        if (size > KVR__SLAB_MAX) {
            return alloc_large(slab, size);
        }
        if (list >= slab->list_count && grow_lists(slab, list) != KVR_OK) {
            return NULL;
        }
        ptr = cut_block(slab, list);
        if (ptr == NULL) {
            return NULL;
        }
    }
    unpoison(ptr, size_of(list));
    check_poison(ptr, size_of(list));
    slab->bytes_used += size_of(list);
    return ptr;
}

void kvr__slab_free(kvr__slab *slab, void *ptr, size_t size)
{
    if (ptr == NULL) {
        return;
    }
    if (size > KVR__SLAB_MAX) {
        large *head = (large *)ptr - 1;
        KVR_ASSERT(head->size == size);
        free_large(slab, head);
        return;
    }
    size_t list = list_of(size);
    KVR_ASSERT(list < slab->list_count);
    slab->bytes_used -= size_of(list);
    push_block(slab, list, ptr);
}

kvr_status kvr__slab_reserve(kvr__slab *slab, size_t size, uint32_t count)
{
    KVR_ASSERT(size > 0);
    KVR_ASSERT(size <= KVR__SLAB_MAX);
    size_t list = list_of(size);
    if (list >= slab->list_count && grow_lists(slab, list) != KVR_OK) {
        return KVR_ENOMEM;
    }
    /* The blocks go onto the list, for room is shared by all sizes and so promises nothing. */
    const block *b = slab->lists[list];
    for (; b != NULL && count > 0; b = b->next) {
        count--;
    }
    for (; count > 0; count--) {
        void *ptr = cut_block(slab, list);
        if (ptr == NULL) {
            return KVR_ENOMEM;
        }
        push_block(slab, list, ptr);
    }
    return KVR_OK;
}

uint64_t kvr__slab_bytes_used(const kvr__slab *slab)
{
    return slab->bytes_used;
}

/* ------------------------------------------------------------------ check */

/* Here and not in base_check.c, so that nobody else needs to know the struct. */
void kvr__slab_check(const kvr__slab *slab)
{
    uint64_t held = 0;
    for (const chunk *c = slab->chunks; c != NULL; c = c->next) {
        held += c->size - sizeof *c;
    }
    for (const kvr__list *l = slab->large_blocks.next; l != &slab->large_blocks; l = l->next) {
        held += KVR__CONTAINER_OF(l, large, link)->size;
        KVR_ASSERT(KVR__CONTAINER_OF(l, large, link)->size > KVR__SLAB_MAX);
    }
    uint64_t unused = slab->room_size;
    for (size_t list = 0; list < slab->list_count; list++) {
        for (const block *b = slab->lists[list]; b != NULL; b = b->next) {
            KVR_ASSERT((uintptr_t)b % 8 == 0);
            unused += size_of(list);
            KVR_ASSERT(unused <= held);
        }
    }
    KVR_ASSERT(held == slab->bytes_used + unused);
    KVR_ASSERT(slab->room_size % 8 == 0);
    KVR_ASSERT(slab->list_count <= KVR__SLAB_CLASSES);
}
