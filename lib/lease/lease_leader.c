/* SPDX-License-Identifier: Apache-2.0 */
/* lease_leader.c: what only a leader does: it counts time. It proposes and never acts: leases end,
 * and records begin to hold, when the log says so. Nothing here allocates: grant and load reserved
 * the room of the heaps. The states of a lease are drawn at kvr__lease. */
#include "lease_internal.h"

#include "base/assertion.h"

void kvr_lease_lead(kvr_lease_book *book, uint64_t now_ns)
{
    kvr__lease_heap *due = &book->heaps[KVR__LEASE_DUE];
    kvr__lease_heap *laggards = &book->heaps[KVR__LEASE_LAGGARD];
    due->count = 0;
    laggards->count = 0;
    kvr__lease_spot spot = kvr__lease_set_seek(&book->set, INT64_MIN);
    for (kvr__lease *lease; (lease = kvr__lease_set_next(&spot)) != NULL;) {
        lease->renewed_ns = lease->recorded_ns != 0 ? lease->recorded_ns : now_ns;
        lease->is_recording = 0;
        lease->is_named = 0;
        lease->place[KVR__LEASE_LAGGARD] = 0;
        kvr__lease_heap_append(due, lease);
        if (lease->recorded_ns == 0) {
            kvr__lease_heap_append(laggards, lease);
        }
    }
    kvr__lease_heap_order(due);
    kvr__lease_heap_order(laggards);
    book->leads = 1;
    KVR_CHECKED(kvr__lease_check_door(book));
}

void kvr_lease_follow(kvr_lease_book *book)
{
    book->leads = 0;
    for (uint32_t which = 0; which < KVR__LEASE_HEAPS; which++) {
        book->heaps[which].count = 0; /* the places in leases are stale until it leads again */
    }
    KVR_CHECKED(kvr__lease_check_door(book));
}

kvr_status kvr_lease_keep_alive(kvr_lease_book *book, int64_t id, uint64_t now_ns,
                                uint64_t *out_ttl_ns, uint8_t *out_must_record)
{
    if (book->leads == 0) {
        return KVR_ENOLEADER;
    }
    kvr__lease *lease = kvr__lease_set_find(&book->set, id);
    if (lease == NULL) {
        return KVR_ENOTFOUND;
    }
    if (lease->is_named != 0 || kvr__lease_event(lease, KVR__LEASE_DUE) <= now_ns) {
        return KVR_ETIMEDOUT;
    }
    if (lease->renewed_ns < now_ns) { /* never backwards: the heaps' keys must not be ahead */
        lease->renewed_ns = now_ns;
    }
    *out_ttl_ns = lease->ttl_ns;
    *out_must_record = lease->recorded_ns != 0 || lease->is_recording != 0;
    return KVR_OK;
}

uint32_t kvr_lease_due(kvr_lease_book *book, uint64_t now_ns, int64_t *out_ids, uint32_t capacity)
{
    uint32_t looks = KVR__LEASE_LOOKS_MAX;
    uint32_t count = 0;
    while (count < capacity) {
        kvr__lease *lease = kvr__lease_heap_first(&book->heaps[KVR__LEASE_DUE], now_ns, &looks);
        if (lease == NULL) {
            break;
        }
        lease->is_named = 1;
        kvr__lease_heap_remove(&book->heaps[KVR__LEASE_DUE], lease);
        kvr__lease_heap_remove(&book->heaps[KVR__LEASE_LAGGARD], lease);
        out_ids[count++] = lease->id;
    }
    KVR_CHECKED(kvr__lease_check_door(book));
    return count;
}

uint32_t kvr_lease_laggards(kvr_lease_book *book, uint64_t now_ns, kvr_lease_laggard *out_laggards,
                            uint32_t capacity)
{
    kvr__lease_heap *laggards = &book->heaps[KVR__LEASE_LAGGARD];
    uint32_t looks = KVR__LEASE_LOOKS_MAX;
    uint32_t count = 0;
    while (count < capacity) {
        kvr__lease *lease = kvr__lease_heap_first(laggards, now_ns, &looks);
        if (lease == NULL) {
            break;
        }
        /* A renewal at 0 cannot be recorded as such, for 0 means none: 1 ns later is as safe. */
        uint64_t renewed_ns = lease->renewed_ns == 0 ? 1 : lease->renewed_ns;
        lease->is_recording = 1;
        kvr__lease_heap_remove(laggards, lease);
        out_laggards[count++] = (kvr_lease_laggard){lease->id, lease->granted_ns, renewed_ns};
    }
    KVR_CHECKED(kvr__lease_check_door(book));
    return count;
}

void kvr_lease_retry(kvr_lease_book *book, int64_t id)
{
    kvr__lease *lease = book->leads == 0 ? NULL : kvr__lease_set_find(&book->set, id);
    if (lease == NULL) {
        return;
    }
    if (lease->is_named != 0) {
        lease->is_named = 0;
        kvr__lease_heap_push(&book->heaps[KVR__LEASE_DUE], lease);
    } else {
        lease->is_recording = 0;
    }
    if (lease->is_recording == 0 && lease->recorded_ns == 0 &&
        lease->place[KVR__LEASE_LAGGARD] == 0) {
        kvr__lease_heap_push(&book->heaps[KVR__LEASE_LAGGARD], lease);
    }
    KVR_CHECKED(kvr__lease_check_door(book));
}

uint64_t kvr_lease_deadline(const kvr_lease_book *book)
{
    uint64_t deadline = UINT64_MAX;
    for (uint32_t which = 0; which < KVR__LEASE_HEAPS; which++) {
        const kvr__lease_heap *heap = &book->heaps[which];
        if (heap->count > 0 && heap->entries[0].key < deadline) {
            deadline = heap->entries[0].key;
        }
    }
    return deadline;
}
