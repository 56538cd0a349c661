/* SPDX-License-Identifier: Apache-2.0 */
/* sim_member.c: one member: a kvr_node whose host is this file. It is worked through ready and
 * advance: requests go to sim_storage.c, messages to sim_network.c, completions and batches to the
 * caller. A life begins with a new clock and a new seed on the disk that the last one left. */
#include <string.h>

#include "base/assertion.h"
#include "base/text.h"
#include "sim_internal.h"

enum { CLOCK_BITS = 40, MILLION = 1000000 };

/* ------------------------------------------------------------------ its clock */

static uint64_t clock_at(const kvr__sim_member *member, uint64_t time)
{
    uint64_t passed = time - member->clock_start;
    int64_t drifted = (int64_t)(passed / MILLION) * member->drift_ppm +
                      (int64_t)(passed % MILLION) * member->drift_ppm / MILLION;
    return member->clock_begin + (uint64_t)((int64_t)passed + drifted);
}

uint64_t kvr__sim_member_clock(const kvr__sim_member *member)
{
    return clock_at(member, member->sim->now_ns);
}

/* The first time of the simulation, about, at which the member's clock has reached `clock`; never
 * before. */
static uint64_t time_of(const kvr__sim_member *member, uint64_t clock)
{
    if (clock <= member->clock_begin) {
        return member->clock_start;
    }
    uint64_t want = clock - member->clock_begin;
    uint64_t rate = (uint64_t)(MILLION + member->drift_ppm);
    if (want > UINT64_MAX / 4) {
        return UINT64_MAX;
    }
    uint64_t time = member->clock_start + want / rate * MILLION + want % rate * MILLION / rate;
    while (clock_at(member, time) < clock) {
        time++; /* at most twice: rounding */
    }
    return time;
}

void kvr__sim_member_refresh(kvr__sim_member *member)
{
    kvr_sim *sim = member->sim;
    if (member->state != KVR_SIM_UP) {
        return;
    }
    uint64_t deadline = kvr_node_deadline(member->node);
    if (deadline == UINT64_MAX) {
        kvr__sim_event_cancel(sim, &member->timer);
        return;
    }
    kvr__sim_event_set(sim, &member->timer,
                       deadline == 0 ? sim->now_ns : time_of(member, deadline));
}

/* ------------------------------------------------------------------ a life */

static kvr__sim_item own_item(uint32_t kind, uint32_t number)
{
    return (kvr__sim_item){.kind = kind, .member = number, .peer = (uint32_t)KVR__SIM_NONE};
}

static bool allow_disk(void *ctx, uint64_t decision)
{
    const kvr__sim_member *member = ctx;
    const kvr_sim *sim = member->sim;
    return sim->sink.fault == NULL ||
           sim->sink.fault(sim->config.sink_ctx, member->number, KVR_SIM_FAULT_DISK, decision) != 0;
}

kvr_status kvr__sim_member_new(kvr_sim *sim, uint32_t number)
{
    kvr__sim_member *member = &sim->members[number];
    uint64_t seed = sim->config.seed;
    *member = (kvr__sim_member){
        .sim = sim,
        .number = number,
        .timer = own_item(KVR_SIM_TIMER, number),
        .work = own_item(KVR_SIM_STORAGE, number),
        .crash = own_item(KVR_SIM_CRASH, number),
        .restart = own_item(KVR_SIM_RESTART, number),
        .failure = own_item(KVR_SIM_FAILURE, number),
        .trouble = {own_item(KVR_SIM_PAUSE, number), own_item(KVR_SIM_STALL, number),
                    own_item(KVR_SIM_JUMP, number)},
        .latency = kvr__sim_stream_of(seed, number, KVR__SIM_LATENCY),
        .order = kvr__sim_stream_of(seed, number, KVR__SIM_ORDER),
        .network = kvr__sim_stream_of(seed, number, KVR__SIM_NETWORK),
        .entropy = kvr__sim_stream_of(seed, number, KVR__SIM_ENTROPY),
        .lives = kvr__sim_stream_of(seed, number, KVR__SIM_NODE),
    };
    kvr__ring_init(&member->queue, &sim->mem, KVR__MEM_MESSAGE, sizeof(kvr_store_request));
    kvr__sim_stream disk_seed = kvr__sim_stream_of(seed, number, KVR__SIM_DISK);
    kvr_status status = kvr_sim_disk_new(kvr__sim_draw(&disk_seed), sim->config.allocator,
                                         sim->config.allocator_ctx, &member->disk);
    if (status == KVR_OK) {
        kvr_sim_disk_set_faults(member->disk, &sim->disk);
        member->disk->allow = allow_disk;
        member->disk->allow_ctx = member;
    }
    return status;
}

void kvr__sim_member_release(kvr__sim_member *member)
{
    if (member->sim == NULL) {
        return;
    }
    kvr__sim_member_stop(member);
    kvr__ring_release(&member->queue);
    kvr_sim_disk_free(member->disk);
}

void kvr__sim_member_stop(kvr__sim_member *member)
{
    kvr_sim *sim = member->sim;
    kvr_status status = kvr_node_free(member->node);
    KVR_ASSERT(status == KVR_OK);
    member->node = NULL;
    kvr__sim_storage_close(member);
    kvr__sim_event_cancel(sim, &member->timer);
    kvr__sim_event_cancel(sim, &member->crash);
    kvr__sim_event_cancel(sim, &member->restart);
    kvr__sim_event_cancel(sim, &member->failure);
    for (uint32_t i = 0; i < KVR__SIM_TROUBLES; i++) {
        kvr__sim_event_cancel(sim, &member->trouble[i]);
    }
    member->paused_until = 0;
    member->stalled_until = 0;
    member->state = KVR_SIM_DOWN;
    member->failed_by = KVR_OK;
    member->error[0] = '\0';
}

void kvr__sim_member_fail(kvr__sim_member *member, kvr_status status, const char *error)
{
    KVR_ASSERT(status < KVR_OK);
    member->state = KVR_SIM_FAILED;
    member->failed_by = status;
    kvr__text text = kvr__text_in(member->error, sizeof member->error);
    kvr__text_add(&text, error);
    kvr__sim_event_cancel(member->sim, &member->timer);
    kvr__sim_event_set(member->sim, &member->failure, member->sim->now_ns);
}

static void node_says(void *ctx, int32_t level, const char *line)
{
    kvr__sim_member *member = ctx;
    (void)level;
    kvr__sim_trace_say(member->sim, member->number, line);
}

static kvr_status new_node(kvr__sim_member *member)
{
    static const kvr_log log = {.size = sizeof log, .level_max = KVR_LOG_INFO, .write = node_says};
    kvr_sim *sim = member->sim;
    kvr_node_config config = sim->node;
    config.member_id = member->number + 1;
    config.seed = kvr__sim_draw(&member->lives);
    config.members = sim->configuration;
    config.member_count = sim->config.member_count;
    config.log = sim->sink.log == NULL ? NULL : &log;
    config.log_ctx = member;
    config.allocator = kvr__sim_sites_allocator(member, &config.allocator_ctx);
    return kvr_node_new(&config, &member->node);
}

static void new_clock(kvr__sim_member *member)
{
    uint32_t drift = member->sim->config.drift_ppm;
    member->clock_start = member->sim->now_ns;
    member->clock_begin = kvr__sim_draw(&member->lives) >> (64 - CLOCK_BITS);
    member->drift_ppm = (int64_t)kvr__sim_below(&member->lives, 2 * (uint64_t)drift + 1) - drift;
}

kvr_status kvr__sim_member_start(kvr__sim_member *member)
{
    kvr__sim_member_stop(member);
    member->starts++;
    new_clock(member);
    kvr_status status = kvr__sim_storage_open(member);
    if (status == KVR_OK) {
        status = new_node(member);
    } else if (status != KVR_ENOMEM) {
        kvr__sim_member_fail(member, status, kvr_wal_error(member->wal));
        return KVR_OK;
    }
    if (status != KVR_OK) {
        /* KVR_ENOMEM; in kvr_sim_new also KVR_EINVAL, of the caller's pattern */
        kvr__sim_storage_close(member);
        return status;
    }
    member->state = KVR_SIM_UP;
    member->sim->touched |= 1U << member->number;
    return KVR_OK;
}

/* ------------------------------------------------------------------ its work */

static kvr_status take(kvr__sim_member *member, const kvr_node_ready *ready)
{
    kvr_sim *sim = member->sim;
    void *ctx = sim->config.sink_ctx;
    kvr_status status = kvr__sim_storage_submit(member, ready->requests, ready->request_count);
    for (uint32_t i = 0; i < ready->message_count; i++) {
        kvr__sim_network_send(sim, member, &ready->messages[i]);
    }
    for (uint32_t i = 0; i < ready->completion_count; i++) {
        kvr__sim_trace_completion(sim, member->number, &ready->completions[i]);
        if (sim->sink.completed != NULL) {
            sim->sink.completed(ctx, member->number, &ready->completions[i]);
        }
    }
    for (uint32_t i = 0; i < ready->batch_count; i++) {
        kvr__sim_trace_batch(sim, member->number, &ready->batches[i]);
        if (sim->sink.watched != NULL) {
            sim->sink.watched(ctx, member->number, &ready->batches[i]);
        }
    }
    return status;
}

void kvr__sim_member_run(kvr__sim_member *member)
{
    kvr_sim *sim = member->sim;
    kvr_status status = KVR_AGAIN;
    sim->touched |= 1U << member->number;
    while (status == KVR_AGAIN && member->state == KVR_SIM_UP) {
        const kvr_node_ready *ready;
        status = kvr_node_ready_get(member->node, kvr__sim_member_clock(member),
                                    sim->config.run_budget, &ready);
        if (status == KVR_ENOMEM) {
            sim->trouble = KVR_ENOMEM; /* nothing is lost: its deadline says when to try again */
        } else if (status < KVR_OK) {
            kvr__sim_member_fail(member, status, kvr_node_error(member->node));
        } else {
            kvr_status taken = take(member, ready);
            kvr_node_advance(member->node);
            if (taken != KVR_OK) {
                sim->trouble = taken;
                kvr__sim_trouble_crash(member);
            }
        }
    }
}
