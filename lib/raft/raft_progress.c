/* SPDX-License-Identifier: Apache-2.0 */
/* raft_progress.c: the transitions drawn at kvr__raft_progress. All of them only ever raise match,
 * which is why a repeated or late reply does no harm. */
#include "raft_internal.h"

static void become_probe(kvr__raft_progress *progress)
{
    progress->state = KVR__RAFT_PROBE;
    progress->probe_sent = false;
    progress->fetching = false;
    progress->next = progress->match + 1;
    kvr__ring_pop_front(&progress->inflight, progress->inflight.count);
}

/* A new leader knows nothing: it probes from its own end on (Raft 5.3). */
void kvr__raft_progress_reset(kvr__raft_progress *progress, uint64_t last_index, uint64_t now)
{
    kvr__ring inflight = progress->inflight;
    kvr__ring_pop_front(&inflight, inflight.count);
    *progress = (kvr__raft_progress){
        .next = last_index + 1,
        .last_heard_ns = now,
        .free_bytes = UINT64_MAX,
        .inflight = inflight,
    };
}

/* True if match rose. A reply older than another one changes nothing (FAULTS 20). */
bool kvr__raft_progress_accept(kvr__raft_progress *progress, uint64_t index)
{
    kvr__ring *inflight = &progress->inflight;
    while (inflight->count > 0) {
        uint64_t last;
        memcpy(&last, kvr__ring_at(inflight, 0), sizeof last);
        if (last > index) {
            break;
        }
        kvr__ring_pop_front(inflight, 1);
    }
    bool rose = index > progress->match;
    if (rose) {
        progress->match = index;
    }
    if (progress->next <= progress->match) {
        progress->next = progress->match + 1;
    }
    if (progress->state == KVR__RAFT_PROBE && index + 1 >= progress->next) {
        progress->state = KVR__RAFT_REPLICATE;
        progress->probe_sent = false;
    }
    return rose;
}

/* The append after `refused` did not fit; nothing above `hint` can match. True if it tells
 * something new. */
bool kvr__raft_progress_refuse(kvr__raft_progress *progress, uint64_t refused, uint64_t hint)
{
    if (progress->state == KVR__RAFT_REPLICATE) {
        if (refused <= progress->match) {
            return false; /* late: it was accepted meanwhile */
        }
        become_probe(progress);
        return true;
    }
    if (progress->state != KVR__RAFT_PROBE || refused != progress->next - 1) {
        return false;
    }
    uint64_t next = (hint < refused ? hint : refused - 1) + 1;
    progress->next = next > progress->match ? next : progress->match + 1;
    progress->probe_sent = false;
    return true;
}

void kvr__raft_progress_need_snapshot(kvr__raft_progress *progress, uint64_t index, uint64_t term)
{
    become_probe(progress);
    progress->state = KVR__RAFT_SNAPSHOT_STATE;
    progress->snapshot_index = index;
    progress->snapshot_term = term;
    progress->offset = 0;
    progress->chunk_sent = false;
}

void kvr__raft_progress_installed(kvr__raft_progress *progress, uint64_t index)
{
    if (index > progress->match) {
        progress->match = index;
    }
    become_probe(progress);
}

bool kvr__raft_progress_may_send(const kvr_raft *raft, const kvr__raft_progress *progress)
{
    switch (progress->state) {
    case KVR__RAFT_PROBE:
        return !progress->probe_sent && !progress->fetching;
    case KVR__RAFT_REPLICATE:
        return !progress->fetching && progress->next <= raft->log.last_index &&
               progress->inflight.count < raft->config.inflight_messages_max &&
               (progress->inflight.count == 0 || /* its log may have been discarded meanwhile */
                progress->match < raft->log.base_index ||
                kvr__raft_log_bytes(&raft->log, progress->match + 1, progress->next - 1) <
                    raft->config.inflight_bytes_max);
    default:
        return false;
    }
}

/* Notes that entries up to `last` were sent. Room in `inflight` was reserved. */
void kvr__raft_progress_sent(kvr__raft_progress *progress, uint64_t last)
{
    if (progress->state == KVR__RAFT_PROBE) {
        progress->probe_sent = true;
        return;
    }
    KVR_ASSERT(progress->state == KVR__RAFT_REPLICATE);
    KVR_ASSERT(last >= progress->next);
    uint64_t *place = kvr__ring_push(&progress->inflight);
    KVR_ASSERT(place != NULL);
    *place = last;
    progress->next = last + 1;
}
