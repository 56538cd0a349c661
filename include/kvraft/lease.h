/* SPDX-License-Identifier: Apache-2.0 */
/* kvraft/lease.h: leases, identities that end unless they are kept alive. Knows ids and times, no
 * keys and no clock.
 *
 *   1. kvr_lease_book_new
 *   2. apply each committed command once, in order: kvr_lease_grant, _revoke, _record: the
 *      replicated part
 *   3. on the leader: kvr_lease_lead when it begins to lead; kvr_lease_keep_alive; kvr_lease_due:
 *      ids whose time is up (propose their revocation, do not revoke here); kvr_lease_laggards: ids
 *      whose last renewal should be recorded (propose one batched entry, whose apply is
 *      kvr_lease_record)
 *   4. kvr_lease_book_free
 *
 * Times are nanoseconds of the lease clock: leadership time, which the leader stamps on entries and
 * which a new leader continues. Renewals are not replicated; only laggards are: a lease unrenewed
 * for half its TTL is recorded with its last renewal. A new leader gives a recorded lease what is
 * left of it, any other its full TTL: none ends early, and an unrenewed one ends within TTL +
 * leaderships x (TTL / 2 + election timeout).
 *
 * One handle, one thread at a time. Nothing here calls back. Contract: etcd v3 Lease. */
#ifndef KVRAFT_LEASE_H
#define KVRAFT_LEASE_H

#include <kvraft/base.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct kvr_lease_book kvr_lease_book;

typedef struct kvr_lease_config {
    uint32_t size;
    uint32_t reserved;
    const kvr_allocator *allocator;
    void *allocator_ctx;
} kvr_lease_config;

KVR_API kvr_status kvr_lease_config_init(kvr_lease_config *config, uint32_t size) KVR_MUST_USE;

/* An empty book. `config` NULL: all defaults. Gives *out_book, freed by kvr_lease_book_free.
 * KVR_EINVAL, KVR_ENOMEM. */
KVR_API kvr_status kvr_lease_book_new(const kvr_lease_config *config,
                                      kvr_lease_book **out_book) KVR_MUST_USE;
KVR_API void kvr_lease_book_free(kvr_lease_book *book); /* NULL is ignored */

/* Bounds of a TTL: 1 ns (etcd's lower bound, 1.5 election timeouts, is the proposer's affair) to
 * 9,000,000,000 s. */
KVR_API uint64_t kvr_lease_ttl_ns_min(void);
KVR_API uint64_t kvr_lease_ttl_ns_max(void);

/* --------------------------------------------------------- replicated: apply these in log order */

/* Adds lease `id`, due `ttl_ns` after `now_ns` (the entry's lease clock). O(log leases).
 *
 * id       any but 0, negative too; chosen by the proposer so that all members agree
 * ttl_ns   outside the bounds is KVR_EINVAL, never clamped
 *
 * KVR_OK, KVR_EEXIST, KVR_EINVAL, KVR_ENOMEM. After an error the book is as it was. */
KVR_API kvr_status kvr_lease_grant(kvr_lease_book *book, int64_t id, uint64_t ttl_ns,
                                   uint64_t now_ns) KVR_MUST_USE;

/* Removes it. KVR_OK, KVR_ENOTFOUND. */
KVR_API kvr_status kvr_lease_revoke(kvr_lease_book *book, int64_t id) KVR_MUST_USE;

/* Records that the last renewal of `id` was at `renewed_ns`, or (0) that it was renewed after it
 * had been recorded and counts as unrecorded again. `granted_ns` says which life of the id is
 * meant: the lease clock of its grant. KVR_OK; KVR_ENOTFOUND: that life has ended meanwhile (the id
 * may have another one); nothing changed. */
KVR_API kvr_status kvr_lease_record(kvr_lease_book *book, int64_t id, uint64_t granted_ns,
                                    uint64_t renewed_ns) KVR_MUST_USE;

KVR_API bool kvr_lease_exists(const kvr_lease_book *book, int64_t id);

/* ------------------------------------------------------------------ the leader's part */

/* This member leads from `now_ns` on: recorded leases are due at record + TTL, the others at now +
 * TTL. O(leases). */
KVR_API void kvr_lease_lead(kvr_lease_book *book, uint64_t now_ns);

/* It leads no longer: nothing is due. */
KVR_API void kvr_lease_follow(kvr_lease_book *book);

/* Renews: due TTL after now. *out_must_record is 1 if the lease is recorded or named as a laggard,
 * so that the renewal must be logged (kvr_lease_record with 0) before it is answered: else the next
 * leader would go by the older record.
 *
 * KVR_OK, KVR_ENOTFOUND, KVR_ENOLEADER (follows), KVR_ETIMEDOUT: its time is up and nothing saves
 * it from being revoked by this leader; etcd answers such a renewal after the revocation, with TTL
 * 0. O(log leases). */
KVR_API kvr_status kvr_lease_keep_alive(kvr_lease_book *book, int64_t id, uint64_t now_ns,
                                        uint64_t *out_ttl_ns,
                                        uint8_t *out_must_record) KVR_MUST_USE;

/* Fills `out_ids` with up to `capacity` leases that are due, soonest first; each is named again
 * only after kvr_lease_retry or a new kvr_lease_lead, so a revocation is proposed once. It should
 * carry the grant's lease clock (kvr_lease_get), and do nothing to a life that was granted at
 * another. Returns how many. Its work is bounded by capacity + 1,024 leases: as long as
 * kvr_lease_deadline is not above now_ns, call again (the same holds for kvr_lease_laggards). */
KVR_API uint32_t kvr_lease_due(kvr_lease_book *book, uint64_t now_ns, int64_t *out_ids,
                               uint32_t capacity);

/* The proposal to revoke or to record `id` was refused and will never be executed: kvr_lease_due or
 * kvr_lease_laggards will name it again. A proposal whose outcome is unknown is not retried: the
 * leader that does not know it leads no more. */
KVR_API void kvr_lease_retry(kvr_lease_book *book, int64_t id);

typedef struct kvr_lease_laggard {
    int64_t id;
    uint64_t granted_ns;
    uint64_t renewed_ns;
} kvr_lease_laggard;

/* Fills `out_laggards` with up to `capacity` unrecorded leases unrenewed for half their TTL; each
 * is named once until it is renewed or kvr_lease_retry says so. Returns how many. Propose them at
 * once and in the order of all proposals: a renewal that must be recorded comes after them in the
 * log. */
KVR_API uint32_t kvr_lease_laggards(kvr_lease_book *book, uint64_t now_ns,
                                    kvr_lease_laggard *out_laggards, uint32_t capacity);

/* When to look again: no lease becomes due or a laggard before it (renewals may have moved the
 * first one away, then kvr_lease_due and _laggards find nothing and move this). UINT64_MAX: none
 * (or follows). O(1). */
KVR_API uint64_t kvr_lease_deadline(const kvr_lease_book *book);

/* ------------------------------------------------------------------ questions */

typedef struct kvr_lease_info {
    int64_t id;
    uint64_t ttl_ns;       /* granted */
    uint64_t remaining_ns; /* on the leader: until due; elsewhere 0 */
    uint64_t recorded_ns;  /* last renewal as replicated; 0: unrecorded */
    uint64_t granted_ns;   /* lease clock of the grant, replicated: an id may live again */
} kvr_lease_info;

/* KVR_OK, KVR_ENOTFOUND. */
KVR_API kvr_status kvr_lease_get(const kvr_lease_book *book, int64_t id, uint64_t now_ns,
                                 kvr_lease_info *out_info) KVR_MUST_USE;

/* Up to `capacity` ids above `after` in ascending order (start with INT64_MIN; an id equal to it is
 * listed too when `from_start` is true). Returns how many. O(log leases + capacity). */
KVR_API uint32_t kvr_lease_list(const kvr_lease_book *book, int64_t after, uint8_t from_start,
                                int64_t *out_ids, uint32_t capacity);

typedef struct kvr_lease_status {
    uint32_t size;
    uint32_t reserved;
    uint64_t leases;
    /* sum over leases of a hash of id, TTL and record: equal on all members at equal index */
    uint64_t hash;
    uint64_t memory_bytes;
} kvr_lease_status;

KVR_API void kvr_lease_get_status(const kvr_lease_book *book, kvr_lease_status *out_status);

/* ------------------------------------------------------------------ snapshots
 *
 * The replicated part as a stream in id order; format in kvraft-snapshot(5). */

/* Where a save stands; in the caller's memory. The book must not change between its calls. */
typedef struct kvr_lease_save {
    uint64_t opaque[8];
} kvr_lease_save;

KVR_API void kvr_lease_save_init(kvr_lease_save *save, const kvr_lease_book *book);

/* Fills `room` (at least 64 bytes) with the next bytes. KVR_OK and *out_size > 0; KVR_END.
 * KVR_EINVAL (room), KVR_ESTATE (the book changed: begin again). */
KVR_API kvr_status kvr_lease_save_read(kvr_lease_save *save, const kvr_lease_book *book,
                                       uint8_t *room, size_t room_size,
                                       size_t *out_size) KVR_MUST_USE;

/* Replaces the content by a stream fed in pieces of any size. Until _end the old content stays; it
 * then follows. KVR_OK, KVR_ECORRUPT, KVR_EVERSION, KVR_ENOMEM, KVR_ESTATE (out of turn); after an
 * error only _abort. */
KVR_API kvr_status kvr_lease_load_begin(kvr_lease_book *book) KVR_MUST_USE;
KVR_API kvr_status kvr_lease_load_write(kvr_lease_book *book, const kvr_slice *bytes) KVR_MUST_USE;
KVR_API kvr_status kvr_lease_load_end(kvr_lease_book *book) KVR_MUST_USE;
KVR_API void kvr_lease_load_abort(kvr_lease_book *book);

#ifdef __cplusplus
}
#endif
#endif
