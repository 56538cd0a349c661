/* SPDX-License-Identifier: Apache-2.0 */
/* sim_storage.c: a member's disk at work. Requests queue up; after a simulated latency those that
 * were there when the disk began go through kvr_wal_execute as one batch, and their answers go to
 * the node: appends in their order, the others before or after them. A crash may be planned within
 * a batch: then power fails at one of its file calls, and nobody hears of any of them. */
#include <string.h>

#include "base/assertion.h"
#include "sim_internal.h"

enum {
    CALLS_A_REQUEST = 6,     /* file calls in a batch, about: where a crash within it may fall */
    UPKEEP_NS = 1000 * 1000, /* the disk waits so long for requests before it does what can wait */
    BUSY_UPKEEP_ONE_IN = 8
};

/* ------------------------------------------------------------------ the wal of one life */

static kvr_status fill_entropy(void *ctx, uint8_t *out_bytes, size_t size)
{
    kvr__sim_member *member = ctx;
    for (size_t i = 0; i < size; i++) {
        out_bytes[i] = (uint8_t)kvr__sim_draw(&member->entropy);
    }
    return KVR_OK;
}

/* Real disks do not fail for lack of memory: what the wal makes of it is not what is to be seen
 * here. */
static bool lacked_memory(kvr__sim_member *member)
{
    bool lacked = member->disk->lacked_memory;
    member->disk->lacked_memory = false;
    return lacked;
}

kvr_status kvr__sim_storage_open(kvr__sim_member *member)
{
    static const kvr_entropy entropy = {.size = sizeof entropy, .fill = fill_entropy};
    kvr_sim *sim = member->sim;
    kvr_wal_config config;
    kvr_status status = kvr_wal_config_init(&config, sizeof config);
    KVR_ASSERT(status == KVR_OK);
    config.flags = KVR_WAL_CREATE;
    config.cluster_id = sim->node.cluster_id;
    config.group_id = sim->node.group_id;
    config.member_id = member->number + 1;
    config.segment_bytes = sim->config.segment_bytes;
    config.batch_bytes = sim->config.batch_bytes;
    config.files = kvr_sim_disk_ops();
    config.files_ctx = member->disk;
    config.entropy = &entropy;
    config.entropy_ctx = member;
    config.allocator = kvr__sim_sites_allocator(member, &config.allocator_ctx);
    member->disk->lacked_memory = false;
    status = kvr_wal_new(&config, &member->wal);
    if (status == KVR_OK) {
        status = kvr_wal_open(member->wal);
    }
    return lacked_memory(member) ? KVR_ENOMEM : status;
}

void kvr__sim_storage_close(kvr__sim_member *member)
{
    kvr__sim_event_cancel(member->sim, &member->work);
    kvr__ring_pop_front(&member->queue, member->queue.count);
    member->task = KVR__SIM_IDLE;
    member->batch_count = 0;
    member->crash_in_batch = false;
    kvr_wal_free(member->wal);
    member->wal = NULL;
}

/* ------------------------------------------------------------------ what to do next */

static void begin(kvr__sim_member *member, uint32_t task, uint64_t at)
{
    member->task = task;
    kvr__sim_event_set(member->sim, &member->work, at);
}

static void begin_batch(kvr__sim_member *member)
{
    kvr_sim *sim = member->sim;
    uint32_t waiting = member->queue.count;
    member->batch_count = waiting < KVR__SIM_BATCH_MAX ? waiting : KVR__SIM_BATCH_MAX;
    uint64_t at = sim->now_ns + kvr__sim_span(&member->latency, sim->config.disk_ns_min,
                                              sim->config.disk_ns_mean);
    begin(member, KVR__SIM_BATCH, at < member->stalled_until ? member->stalled_until : at);
}

kvr_status kvr__sim_storage_submit(kvr__sim_member *member, const kvr_store_request *requests,
                                   uint32_t count)
{
    kvr_sim *sim = member->sim;
    kvr_status status = kvr__ring_reserve(&member->queue, count);
    if (status != KVR_OK) {
        return status;
    }
    for (uint32_t i = 0; i < count; i++) {
        *(kvr_store_request *)kvr__ring_push(&member->queue) = requests[i];
        kvr__sim_trace_request(sim, member->number, &requests[i]);
        if (sim->sink.submitted != NULL) {
            sim->sink.submitted(sim->config.sink_ctx, member->number, &requests[i]);
        }
    }
    if (count > 0 && member->task != KVR__SIM_BATCH) {
        begin_batch(member);
    }
    return KVR_OK;
}

static void begin_next(kvr__sim_member *member, bool maintained)
{
    kvr_sim *sim = member->sim;
    if (member->queue.count > 0) {
        begin_batch(member);
    } else if (!maintained) {
        begin(member, KVR__SIM_MAINTAIN, sim->now_ns + UPKEEP_NS);
    } else if (kvr_wal_has_unvouched(member->wal)) {
        begin(member, KVR__SIM_VOUCH, sim->now_ns + KVR__SIM_IDLE_NS);
    } else {
        member->task = KVR__SIM_IDLE;
    }
}

/* ------------------------------------------------------------------ one batch */

static void answer(kvr__sim_member *member, uint32_t i)
{
    kvr_sim *sim = member->sim;
    const kvr_store_request *request = &sim->batch[i];
    const kvr_store_result *result = &sim->results[i];
    kvr__sim_trace_result(sim, member->number, request, result);
    if (sim->sink.stored != NULL) {
        sim->sink.stored(sim->config.sink_ctx, member->number, request, result);
    }
    kvr_status status = kvr_node_storage_done(member->node, result);
    if (status == KVR_ENOMEM) {
        sim->trouble = KVR_ENOMEM;
    } else if (status != KVR_OK) {
        kvr__sim_member_fail(member, status, kvr_node_error(member->node));
    }
}

static void answer_all(kvr__sim_member *member, uint32_t count, bool appends)
{
    for (uint32_t i = 0; i < count && member->state == KVR_SIM_UP; i++) {
        if ((member->sim->batch[i].kind == KVR_STORE_APPEND) == appends) {
            answer(member, i);
        }
    }
}

static bool stop_if_short(kvr__sim_member *member)
{
    bool lacked = lacked_memory(member);
    if (lacked) {
        member->sim->trouble = KVR_ENOMEM;
    }
    return lacked;
}

static void execute_batch(kvr__sim_member *member)
{
    kvr_sim *sim = member->sim;
    uint32_t count = member->batch_count;
    KVR_ASSERT(count > 0);
    for (uint32_t i = 0; i < count; i++) {
        memcpy(&sim->batch[i], kvr__ring_at(&member->queue, i), sizeof sim->batch[i]);
        sim->batch[i].size = sizeof sim->batch[i];
        sim->results[i] = (kvr_store_result){.size = sizeof sim->results[i]};
    }
    bool crashes = member->crash_in_batch;
    if (crashes) {
        kvr_sim_disk_crash_after(member->disk,
                                 kvr__sim_below(&member->order, CALLS_A_REQUEST * count + 1));
    }
    kvr_status status = kvr_wal_execute(member->wal, sim->batch, count, sim->results);
    if (crashes || stop_if_short(member)) {
        kvr__sim_trouble_crash(member);
        return;
    }
    KVR_ASSERT(status == KVR_OK || status == KVR_FSTORAGE || status == KVR_FCORRUPT);
    kvr__ring_pop_front(&member->queue, count);
    member->batch_count = 0;
    member->task = KVR__SIM_IDLE;
    bool appends_first = kvr__sim_below(&member->order, 2) == 0;
    answer_all(member, count, appends_first);
    answer_all(member, count, !appends_first);
    if (member->state == KVR_SIM_UP && kvr__sim_below(&member->order, BUSY_UPKEEP_ONE_IN) == 0) {
        status = kvr_wal_maintain(member->wal);
    }
    kvr__sim_member_run(member);
    if (member->state == KVR_SIM_UP && member->task == KVR__SIM_IDLE) {
        begin_next(member, false);
    }
}

/* A wal that fails here tells the node so at its next request. */
static void do_upkeep(kvr__sim_member *member)
{
    bool vouch = member->task == KVR__SIM_VOUCH;
    if (member->crash_in_batch) {
        kvr_sim_disk_crash_after(member->disk, kvr__sim_below(&member->order, CALLS_A_REQUEST));
    }
    kvr_status status = vouch ? kvr_wal_idle(member->wal) : kvr_wal_maintain(member->wal);
    if (member->crash_in_batch || stop_if_short(member)) {
        kvr__sim_trouble_crash(member);
        return;
    }
    begin_next(member, vouch || status != KVR_AGAIN);
}

void kvr__sim_storage_work(kvr__sim_member *member)
{
    if (member->state != KVR_SIM_UP) {
        return;
    }
    if (member->task == KVR__SIM_BATCH) {
        execute_batch(member);
    } else {
        KVR_ASSERT(member->task != KVR__SIM_IDLE);
        do_upkeep(member);
    }
}
