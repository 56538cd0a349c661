/* SPDX-License-Identifier: Apache-2.0 */
/* check_lease.c: see check_lease.h. */
#include "check_lease.h"

#include <stdlib.h>

#define U(x) ((unsigned long long)(x))

enum { MILLION = 1000000 };

void check_lease_init(check_lease *check, check_store *store, uint32_t drift_ppm,
                      check_report *report)
{
    *check = (check_lease){.store = store, .report = report, .drift_ppm = drift_ppm};
}

void check_lease_release(check_lease *check)
{
    free(check->items);
}

/* NULL: its client never heard of it. */
static held_lease *find(check_lease *check, const store_lease *lease)
{
    for (uint32_t i = check->count; i > 0; i--) {
        if (check->items[i - 1].granted_index == lease->granted_index) {
            return &check->items[i - 1];
        }
    }
    return NULL;
}

static const store_lease *granted_at(const check_store *store, uint64_t index)
{
    for (uint32_t i = store->lease_count; i > 0; i--) {
        if (store->leases[i - 1].granted_index == index) {
            return &store->leases[i - 1];
        }
    }
    return NULL;
}

/* L2. The entry that ended it was made at most one flush before it went to a disk. */
static void check_early(check_lease *check, const held_lease *held)
{
    const store_lease *lease = granted_at(check->store, held->granted_index);
    if (lease == NULL || lease->revoked_index == 0 || !lease->by_leader) {
        return;
    }
    const ghost_entry *entry = check_raft_committed(check->store->raft, lease->revoked_index);
    uint64_t least = held->ttl_ns / (MILLION + check->drift_ppm) * MILLION;
    uint64_t jumped = check->jumped_ns - held->jumped_ns;
    least = jumped < least ? least - jumped : 0;
    if (entry->submitted_ns < held->renewed_ns + least) {
        check_fail(check->report, "L2",
                   "lease %lld of %llu ns, renewed at %llu, was ended at %llu by entry %llu",
                   (long long)held->id, U(held->ttl_ns), U(held->renewed_ns),
                   U(entry->submitted_ns), U(lease->revoked_index));
    }
}

void check_lease_ended(check_lease *check)
{
    check_store_advance(check->store);
    for (uint32_t i = 0; i < check->count; i++) {
        if (!check->items[i].judged_late) {
            check_early(check, &check->items[i]);
            const store_lease *lease = granted_at(check->store, check->items[i].granted_index);
            check->items[i].judged_late = lease != NULL && lease->revoked_index != 0;
        }
    }
}

void check_lease_jumped(check_lease *check, uint64_t span_ns)
{
    check->jumped_ns += span_ns;
}

static void complete_grant(check_lease *check, const history_call *call,
                           const kvr_completion *completion)
{
    if (completion->status != KVR_OK) {
        return;
    }
    check_grow((void **)&check->items, &check->capacity, check->count + 1, sizeof *check->items);
    check->items[check->count++] = (held_lease){
        .id = completion->lease,
        .granted_index = completion->index,
        .ttl_ns = completion->ttl_ns,
        .renewed_ns = call->invoked_ns,
        .jumped_ns = call->jumped_ns,
    };
}

/* An id may live more than once during a call: the last of its lives that the answer may be about,
 * and how many there are. NULL: none. */
static const store_lease *find_told(const check_lease *check, const history_call *call,
                                    const kvr_completion *completion, uint32_t *out_count)
{
    const store_lease *found = NULL;
    *out_count = 0;
    for (uint32_t i = check->store->lease_count; i > 0; i--) {
        const store_lease *lease = &check->store->leases[i - 1];
        bool overlaps = lease->id == call->lease &&
                        (lease->revoked_index == 0 || lease->revoked_index > call->floor_index);
        if (overlaps && completion->ttl_ns == lease->ttl_ns &&
            completion->remaining_ns <= lease->ttl_ns) {
            found = found == NULL ? lease : found;
            *out_count += 1;
        }
    }
    return found;
}

static void complete_keep_alive(check_lease *check, const history_call *call,
                                const kvr_completion *completion)
{
    const store_lease *lease = check_store_lease(check->store, call->lease);
    bool lives = lease != NULL && lease->revoked_index == 0;
    if (completion->status == KVR_ENOLEASE) {
        if (lives && lease->granted_index <= call->floor_index) {
            check_fail(check->report, "L5",
                       "call %llu is told that lease %lld does not exist; it does", U(call->number),
                       (long long)call->lease);
        }
        return;
    }
    if (completion->status != KVR_OK) {
        return;
    }
    if (lease == NULL || (!lives && lease->revoked_index <= call->floor_index)) {
        check_fail(check->report, "L5",
                   "call %llu finds lease %lld, which was over before it began", U(call->number),
                   (long long)call->lease);
        return;
    }
    uint32_t lives_told;
    const store_lease *told = find_told(check, call, completion, &lives_told);
    if (told == NULL) {
        check_fail(check->report, "L5",
                   "call %llu is told a TTL of %llu, %llu left; granted were %llu", U(call->number),
                   U(completion->ttl_ns), U(completion->remaining_ns), U(lease->ttl_ns));
        return;
    }
    held_lease *held = lives_told == 1 ? find(check, told) : NULL;
    if (call->kind == KVR_CALL_LEASE_KEEP_ALIVE && held != NULL &&
        call->invoked_ns > held->renewed_ns) {
        held->renewed_ns = call->invoked_ns;
        held->jumped_ns = call->jumped_ns;
        check_early(check, held);
    }
}

void check_lease_complete(check_lease *check, const history_call *call,
                          const kvr_completion *completion)
{
    check_store_advance(check->store);
    if (completion->outcome != KVR_OUTCOME_DONE) {
        return;
    }
    if (call->kind == KVR_CALL_LEASE_GRANT) {
        complete_grant(check, call, completion);
    } else if (call->kind == KVR_CALL_LEASE_KEEP_ALIVE ||
               call->kind == KVR_CALL_LEASE_TIME_TO_LIVE) {
        complete_keep_alive(check, call, completion);
    }
}

void check_lease_quiet(check_lease *check, uint64_t now_ns, uint64_t quiet_ns, uint64_t election_ns)
{
    check_store_advance(check->store);
    for (uint32_t i = 0; i < check->store->lease_count; i++) {
        const store_lease *lease = &check->store->leases[i];
        /* TTL, half of it for the record, two leaderships, on a slow clock */
        uint64_t bound = 2 * lease->ttl_ns + 10 * election_ns;
        if (lease->revoked_index != 0 || bound >= quiet_ns) {
            continue;
        }
        /* A grant that nobody waits for any more may still arrive, long after it was sent. */
        const ghost_entry *grant = check_raft_committed(check->store->raft, lease->granted_index);
        if (grant == NULL || grant->submitted_ns + bound < now_ns) {
            check_fail(check->report, "L4",
                       "lease %lld of %llu ns lives at %llu though nobody renewed it for %llu ns",
                       (long long)lease->id, U(lease->ttl_ns), U(now_ns), U(quiet_ns));
        }
    }
}
