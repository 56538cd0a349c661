/* SPDX-License-Identifier: Apache-2.0 */
/* raft_lease.c: what may be said without asking anybody. A leader's lease (thesis 6.4.1): while the
 * configuration names a promise, who heard the leader votes for nobody else for so long, and the
 * leader that a quorum heard answers reads from its own state for nine tenths of that, counted from
 * the sending of the round. And freshness, with or without a lease: a time such that all that was
 * acknowledged before it is in the log up to a known index.
 *
 * The lease holds because each of its parts survives: a promise is not forgotten with the leader,
 * nor by a restart (then nothing is granted for as long); only members count whose durable log
 * holds the promise; a hand-over ends the lease before it is told. */
#include "raft_internal.h"

enum { STAMP_BITS = 48, STAMP_UNIT = 1024 /* ns */ };

static void take_fresh(kvr__raft_lease *lease, kvr__raft_fresh fresh)
{
    if (fresh.ns > lease->fresh.ns) {
        lease->fresh = fresh;
    }
}

/* ------------------------------------------------------------------ promises */

bool kvr__raft_lease_is_starting(const kvr_raft *raft)
{
    return raft->lease.promise_ns > 0 && raft->now < raft->lease.silent_until_ns;
}

bool kvr__raft_lease_is_promised(const kvr_raft *raft)
{
    const kvr__raft_lease *lease = &raft->lease;
    if (lease->promise_ns == 0 || raft->role == KVR_ROLE_LEADER) {
        return false;
    }
    return lease->heard || kvr__raft_lease_is_starting(raft) ||
           (lease->heard_term != 0 && raft->now - lease->heard_ns < lease->promise_ns);
}

uint64_t kvr__raft_lease_promise_end(const kvr_raft *raft)
{
    uint64_t heard = raft->lease.heard_ns + raft->lease.promise_ns;
    return heard > raft->lease.silent_until_ns ? heard : raft->lease.silent_until_ns;
}

/* A leader of this term spoke, in `round` if it says. When that was is known at the next ready. */
void kvr__raft_lease_heard(kvr_raft *raft, uint64_t round)
{
    kvr__raft_lease *lease = &raft->lease;
    if (raft->term > lease->heard_term) {
        lease->heard_term = raft->term;
        lease->heard_round = 0;
    }
    lease->heard_round = round > lease->heard_round ? round : lease->heard_round;
    lease->heard = true;
}

/* What it promised before it started it does not know. A member that never heard of a term never
 * did. */
void kvr__raft_lease_loaded(kvr_raft *raft)
{
    raft->lease.silent_until_ns = raft->term > 0 ? UINT64_MAX : 0;
}

void kvr__raft_lease_stamp(kvr_raft *raft)
{
    kvr__raft_lease *lease = &raft->lease;
    if (lease->heard) {
        lease->heard = false;
        lease->heard_ns = raft->now;
    }
    if (lease->silent_until_ns == UINT64_MAX) {
        lease->silent_until_ns = raft->now + lease->promise_ns;
    }
}

/* ------------------------------------------------------------------ the leader's lease */

static void drop_lease(kvr__raft_lease *lease)
{
    lease->measured_round = 0;
    lease->is_held = false;
}

void kvr__raft_lease_give_up(kvr_raft *raft)
{
    drop_lease(&raft->lease);
}

/* Members count again from the entry at `index` on: who holds it, holds the promise. */
static void count_members_from(kvr_raft *raft, uint64_t index)
{
    drop_lease(&raft->lease);
    raft->lease.index = index;
    for (uint32_t i = 0; i < raft->member_count; i++) {
        raft->members[i].progress.lease_round = 0;
    }
}

/* It leads from now on, its first entry is the last of its log. What others may have appended after
 * an older one is gone where this one is held. */
void kvr__raft_lease_begin(kvr_raft *raft)
{
    count_members_from(raft, raft->log.last_index);
    raft->lease.fresh_round = 0;
    raft->read_round = 0;
}

/* The configuration in force, at `index`, promises so much. */
void kvr__raft_lease_set(kvr_raft *raft, uint64_t promise_ns, uint64_t index)
{
    if (promise_ns != raft->lease.promise_ns) {
        raft->lease.promise_ns = promise_ns;
        if (raft->role == KVR_ROLE_LEADER) {
            count_members_from(raft, index);
        }
    }
}

/* Clocks of any two members may run at rates that differ by a tenth. */
static uint64_t lease_ns(const kvr_raft *raft)
{
    return raft->lease.promise_ns - raft->lease.promise_ns / 10;
}

uint64_t kvr__raft_lease_end(const kvr_raft *raft)
{
    bool holds = raft->role == KVR_ROLE_LEADER && raft->lease.is_held && !raft->handover.told &&
                 raft->now - raft->lease.since_ns < lease_ns(raft) &&
                 kvr__raft_read_own_term_committed(raft);
    return holds ? raft->lease.since_ns + lease_ns(raft) : 0;
}

/* A new round: heartbeats that carry its number are sent by this ready or a later one. While one is
 * measured further ones only confirm it. */
void kvr__raft_lease_round(kvr_raft *raft)
{
    kvr__raft_lease *lease = &raft->lease;
    if (raft->handover.told) {
        return;
    }
    raft->round++;
    bool late = raft->now - lease->measured_ns >= lease_ns(raft);
    if (lease->promise_ns > 0 && (lease->measured_round == 0 || late)) {
        lease->measured_round = raft->round;
        lease->measured_ns = raft->now;
    }
    if (lease->fresh_round == 0 && kvr__raft_read_own_term_committed(raft)) {
        lease->fresh_round = raft->round;
        lease->fresh_asked = (kvr__raft_fresh){raft->now, raft->commit};
    }
}

/* A follower echoed a round, or this leader its own. */
void kvr__raft_lease_confirm(kvr_raft *raft)
{
    kvr__raft_lease *lease = &raft->lease;
    if (lease->fresh_round != 0 && raft->round_confirmed >= lease->fresh_round) {
        lease->fresh_round = 0;
        take_fresh(lease, lease->fresh_asked);
    }
    if (lease->measured_round == 0) {
        return;
    }
    if (kvr__raft_self(raft) != NULL) {
        kvr__raft_self(raft)->progress.lease_round = raft->round;
    }
    if (kvr__raft_members_quorum(raft, KVR__RAFT_FIELD(lease_round)) >= lease->measured_round) {
        lease->measured_round = 0;
        lease->since_ns = lease->measured_ns;
        lease->is_held = true;
    }
}

/* ------------------------------------------------------------------ freshness, at a follower
 *
 * A follower stamps its answers with its time, the next heartbeats bring the newest stamp back with
 * the leader's commit index: all that was acknowledged before the stamp is in the log up to there,
 * if the leader still led when it sent them. A later round that is confirmed says so, or a lease.
 * No two clocks are compared. */

uint64_t kvr__raft_lease_stamp_out(const kvr_raft *raft)
{
    uint64_t units = (raft->now - raft->lease.start_ns) / STAMP_UNIT + 1;
    return raft->incarnation << STAMP_BITS | (units & ((UINT64_C(1) << STAMP_BITS) - 1));
}

/* False: it is of another life of this member. */
static bool read_stamp(const kvr_raft *raft, uint64_t stamp, uint64_t *out_ns)
{
    uint64_t units = stamp & ((UINT64_C(1) << STAMP_BITS) - 1);
    *out_ns = raft->lease.start_ns + (units - 1) * STAMP_UNIT;
    return units != 0 && raft->incarnation << STAMP_BITS == stamp - units && *out_ns <= raft->now;
}

void kvr__raft_lease_freshen(kvr_raft *raft, const kvr__raft_heartbeat *heartbeat)
{
    kvr__raft_lease *lease = &raft->lease;
    uint64_t ns = 0;
    if (lease->fresh_round != 0 && heartbeat->confirmed >= lease->fresh_round) {
        lease->fresh_round = 0;
        take_fresh(lease, lease->fresh_asked);
    }
    if (!read_stamp(raft, heartbeat->stamp, &ns)) {
        return;
    }
    kvr__raft_fresh fresh = {ns, heartbeat->committed};
    if ((heartbeat->flags & KVR__RAFT_LEADS) != 0) {
        take_fresh(lease, fresh);
    } else if (lease->fresh_round == 0) {
        lease->fresh_round = heartbeat->round + 1;
        lease->fresh_asked = fresh;
    }
}

kvr__raft_fresh kvr__raft_lease_fresh(const kvr_raft *raft)
{
    bool now = kvr__raft_lease_end(raft) != 0;
    return now ? (kvr__raft_fresh){raft->now, raft->commit} : raft->lease.fresh;
}
