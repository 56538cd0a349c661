/* SPDX-License-Identifier: Apache-2.0 */
/* raft_idle.c: what a member gives back when there is nothing to do, so that a process may hold ten
 * thousand of them. A busy member keeps the arrays that its readies fill, and allocates nothing;
 * one that has shown nothing but messages for some heartbeats keeps none of them between two
 * readies. */
#include "base/array.h"
#include "raft_internal.h"

enum { IDLE_HEARTBEATS = 2 };

void kvr__raft_idle_note(kvr_raft *raft)
{
    const kvr_raft_ready *ready = &raft->ready;
    if (raft->request_count > 0 || ready->committed_count > 0 || ready->read_count > 0 ||
        ready->post_count > 0 || ready->install != NULL) {
        raft->busy_ns = raft->now;
    }
}

static void trim_reads(kvr_raft *raft)
{
    if (raft->reads.count + raft->lease_reads.count > 0 || raft->read_result_count > 0) {
        return;
    }
    kvr__ring_release(&raft->reads);
    kvr__ring_release(&raft->lease_reads);
    kvr__array_free(&raft->mem, KVR__MEM_CALL, (void **)&raft->read_results,
                    &raft->read_result_capacity, sizeof *raft->read_results);
    kvr__array_free(&raft->mem, KVR__MEM_CALL, (void **)&raft->shown_reads,
                    &raft->shown_read_capacity, sizeof *raft->shown_reads);
}

static void trim_traces(kvr_raft *raft)
{
    if (raft->trace_count > 0) {
        return;
    }
    kvr__array_free(&raft->mem, KVR__MEM_MESSAGE, (void **)&raft->traces, &raft->trace_capacity,
                    sizeof *raft->traces);
    kvr__array_free(&raft->mem, KVR__MEM_MESSAGE, (void **)&raft->shown_traces,
                    &raft->shown_trace_capacity, sizeof *raft->shown_traces);
}

void kvr__raft_idle_release(kvr_raft *raft)
{
    KVR_ASSERT(!raft->shown);
    kvr__mem *mem = &raft->mem;
    kvr__array_free(mem, KVR__MEM_MESSAGE, (void **)&raft->requests, &raft->request_capacity,
                    sizeof *raft->requests);
    kvr__array_free(mem, KVR__MEM_MESSAGE, (void **)&raft->committed, &raft->committed_capacity,
                    sizeof *raft->committed);
    kvr__array_free(mem, KVR__MEM_MESSAGE, (void **)&raft->committed_pins,
                    &raft->committed_pin_capacity, sizeof(kvr_buf *));
    trim_reads(raft);
    trim_traces(raft);
    kvr__raft_members_trim(raft);
    if (raft->posts.count == 0) {
        kvr__raft_post_release(raft);
    }
    if (raft->outbox.count == 0) {
        kvr__raft_outbox_release(raft);
    }
}

void kvr__raft_idle_advance(kvr_raft *raft)
{
    if (raft->role != KVR_ROLE_LOADING &&
        raft->now - raft->busy_ns > IDLE_HEARTBEATS * raft->config.heartbeat_ns) {
        kvr__raft_idle_release(raft);
    }
}
