/* SPDX-License-Identifier: Apache-2.0 */
/* lease.c: the door: the life of a book, the replicated part, and the questions. A change finds its
 * lease and reserves its memory first, then cannot fail. The leader's part is in lease_leader.c,
 * both directions of a snapshot in lease_snapshot.c. */
#include "lease_internal.h"

#include "base/assertion.h"
#include "base/sized.h"

#include <string.h>

#define TTL_NS_MAX ((uint64_t)9000000000 * 1000000000)

uint64_t kvr_lease_ttl_ns_min(void)
{
    return 1;
}

uint64_t kvr_lease_ttl_ns_max(void)
{
    return TTL_NS_MAX;
}

/* ------------------------------------------------------------------ life */

kvr_status kvr_lease_config_init(kvr_lease_config *config, uint32_t size)
{
    if (config == NULL || size < sizeof *config) {
        return KVR_EINVAL;
    }
    memset(config, 0, size);
    config->size = size;
    return KVR_OK;
}

kvr_status kvr_lease_book_new(const kvr_lease_config *config, kvr_lease_book **out_book)
{
    kvr_lease_config known = {.size = sizeof known};
    if (out_book == NULL ||
        (config != NULL && !kvr__sized_read(&known, sizeof known, config, sizeof known))) {
        return KVR_EINVAL;
    }
    void *handle;
    kvr_status status =
        kvr__mem_new_handle(known.allocator, known.allocator_ctx, sizeof(kvr_lease_book),
                            offsetof(kvr_lease_book, mem), &handle);
    if (status != KVR_OK) {
        return status;
    }
    kvr_lease_book *book = handle;
    book->set.slab = kvr__slab_new(&book->mem, KVR__MEM_LEASE);
    if (book->set.slab == NULL) {
        kvr__mem_free_handle(book, sizeof *book, offsetof(kvr_lease_book, mem));
        return KVR_ENOMEM;
    }
    for (uint32_t which = 0; which < KVR__LEASE_HEAPS; which++) {
        book->heaps[which].which = which;
    }
    KVR_CHECKED(kvr__lease_check_door(book));
    *out_book = book;
    return KVR_OK;
}

void kvr_lease_book_free(kvr_lease_book *book)
{
    if (book == NULL) {
        return;
    }
    KVR_CHECKED(kvr__lease_check_door(book));
    kvr__slab_free_all(book->loading.slab);
    kvr__slab_free_all(book->set.slab);
    for (uint32_t which = 0; which < KVR__LEASE_HEAPS; which++) {
        kvr__lease_heap_release(&book->heaps[which], &book->mem);
    }
    KVR_ASSERT(book->mem.blocks == 1);
    kvr__mem_free_handle(book, sizeof *book, offsetof(kvr_lease_book, mem));
}

/* ------------------------------------------------------------------ replicated */

kvr_status kvr_lease_grant(kvr_lease_book *book, int64_t id, uint64_t ttl_ns, uint64_t now_ns)
{
    if (id == 0 || ttl_ns == 0 || ttl_ns > TTL_NS_MAX) {
        return KVR_EINVAL;
    }
    if (kvr__lease_set_find(&book->set, id) != NULL) {
        return KVR_EEXIST;
    }
    /* Followers reserve too, so that one that is elected needs no memory to begin to lead. */
    for (uint32_t which = 0; which < KVR__LEASE_HEAPS; which++) {
        if (kvr__lease_heap_reserve(&book->heaps[which], &book->mem, book->set.count + 1) !=
            KVR_OK) {
            return KVR_ENOMEM;
        }
    }
    kvr__lease *lease = kvr__lease_set_add(&book->set, id, ttl_ns, now_ns);
    if (lease == NULL) {
        return KVR_ENOMEM;
    }
    if (book->leads != 0) {
        lease->renewed_ns = now_ns;
        kvr__lease_heap_push(&book->heaps[KVR__LEASE_DUE], lease);
        kvr__lease_heap_push(&book->heaps[KVR__LEASE_LAGGARD], lease);
    }
    KVR_CHECKED(kvr__lease_check_door(book));
    return KVR_OK;
}

kvr_status kvr_lease_revoke(kvr_lease_book *book, int64_t id)
{
    kvr__lease *lease = kvr__lease_set_find(&book->set, id);
    if (lease == NULL) {
        return KVR_ENOTFOUND;
    }
    for (uint32_t which = 0; which < KVR__LEASE_HEAPS && book->leads != 0; which++) {
        kvr__lease_heap_remove(&book->heaps[which], lease);
    }
    kvr__lease_set_remove(&book->set, lease);
    KVR_CHECKED(kvr__lease_check_door(book));
    return KVR_OK;
}

kvr_status kvr_lease_record(kvr_lease_book *book, int64_t id, uint64_t granted_ns,
                            uint64_t renewed_ns)
{
    kvr__lease *lease = kvr__lease_set_find(&book->set, id);
    if (lease == NULL || lease->granted_ns != granted_ns) {
        return KVR_ENOTFOUND; /* or it is of an earlier life of the id */
    }
    kvr__lease_set_record(&book->set, lease, renewed_ns);
    if (book->leads != 0) {
        kvr__lease_heap *laggards = &book->heaps[KVR__LEASE_LAGGARD];
        if (renewed_ns != 0) {
            lease->is_recording = 0;
            kvr__lease_heap_remove(laggards, lease);
        } else if (lease->is_recording == 0 && lease->is_named == 0 &&
                   lease->place[KVR__LEASE_LAGGARD] == 0) {
            /* A record under way was named before this one was applied and is applied after it, so
             * the lease stays recording until then. */
            kvr__lease_heap_push(laggards, lease);
        }
    }
    KVR_CHECKED(kvr__lease_check_door(book));
    return KVR_OK;
}

/* ------------------------------------------------------------------ questions */

bool kvr_lease_exists(const kvr_lease_book *book, int64_t id)
{
    return kvr__lease_set_find(&book->set, id) != NULL;
}

kvr_status kvr_lease_get(const kvr_lease_book *book, int64_t id, uint64_t now_ns,
                         kvr_lease_info *out_info)
{
    const kvr__lease *lease = kvr__lease_set_find(&book->set, id);
    if (lease == NULL) {
        return KVR_ENOTFOUND;
    }
    *out_info = (kvr_lease_info){.id = id,
                                 .ttl_ns = lease->ttl_ns,
                                 .recorded_ns = lease->recorded_ns,
                                 .granted_ns = lease->granted_ns};
    uint64_t due_ns = kvr__lease_event(lease, KVR__LEASE_DUE);
    if (book->leads != 0 && due_ns > now_ns) {
        out_info->remaining_ns = due_ns - now_ns;
    }
    return KVR_OK;
}

uint32_t kvr_lease_list(const kvr_lease_book *book, int64_t after, uint8_t from_start,
                        int64_t *out_ids, uint32_t capacity)
{
    if (!from_start && after == INT64_MAX) {
        return 0;
    }
    kvr__lease_spot spot = kvr__lease_set_seek(&book->set, from_start ? after : after + 1);
    uint32_t count = 0;
    while (count < capacity) {
        const kvr__lease *lease = kvr__lease_set_next(&spot);
        if (lease == NULL) {
            break;
        }
        out_ids[count++] = lease->id;
    }
    return count;
}

void kvr_lease_get_status(const kvr_lease_book *book, kvr_lease_status *out_status)
{
    kvr_lease_status status = {
        .size = out_status->size,
        .leases = book->set.count,
        .hash = book->set.hash,
        .memory_bytes = kvr__mem_bytes(&book->mem),
    };
    memcpy(out_status, &status, status.size < sizeof status ? status.size : sizeof status);
}
