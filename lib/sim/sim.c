/* SPDX-License-Identifier: Apache-2.0 */
/* sim.c: the door: configuration, life, one step, questions, trouble by hand. A step is one event:
 * whatever the members do because of it is done when the step ends, so the caller always sees the
 * cluster at rest. Start reading at kvr_sim_step; sim_internal.h shows where each kind of event
 * goes. */
#include <string.h>

#include "base/assertion.h"
#include "base/sized.h"
#include "sim_internal.h"

enum { SECOND = 1000 * 1000 * 1000, DRIFT_MAX = 100000 };

static const uint64_t US = 1000; /* ns */

/* ------------------------------------------------------------------ configuration */

kvr_status kvr_sim_network_init(kvr_sim_network *network, uint32_t size)
{
    if (network == NULL || size < sizeof *network) {
        return KVR_EINVAL;
    }
    memset(network, 0, size);
    network->size = size;
    network->delay_ns_min = 200 * US;
    network->delay_ns_mean = 300 * US;
    network->clog_ns_mean = SECOND;
    return KVR_OK;
}

static void or_default(uint64_t *value, uint64_t fallback)
{
    *value = *value == 0 ? fallback : *value;
}

static void fill_defaults(kvr_sim_config *config)
{
    config->member_count = config->member_count == 0 ? 3 : config->member_count;
    config->run_budget = config->run_budget == 0 ? 10000 : config->run_budget;
    config->batch_bytes = config->batch_bytes == 0 ? 65536 : config->batch_bytes;
    or_default(&config->segment_bytes, 65536);
    or_default(&config->disk_ns_min, 50 * US);
    or_default(&config->disk_ns_mean, 100 * US);
    or_default(&config->down_ns_mean, 2 * (uint64_t)SECOND);
    or_default(&config->cut_ns_mean, 3 * (uint64_t)SECOND);
    or_default(&config->pause_ns_mean, SECOND);
    or_default(&config->stall_ns_mean, 2 * (uint64_t)SECOND);
    or_default(&config->jump_ns_max, 3600 * (uint64_t)SECOND);
}

kvr_status kvr_sim_config_init(kvr_sim_config *config, uint32_t size)
{
    if (config == NULL || size < sizeof *config) {
        return KVR_EINVAL;
    }
    memset(config, 0, size);
    config->size = size;
    fill_defaults(config);
    return KVR_OK;
}

/* Each of the caller's structs, or its defaults. */
static kvr_status read_parts(kvr_sim *sim)
{
    const kvr_sim_config *config = &sim->config;
    kvr_status status = kvr_sim_network_init(&sim->network, sizeof sim->network);
    KVR_ASSERT(status == KVR_OK);
    status = kvr_sim_disk_faults_init(&sim->disk, sizeof sim->disk);
    KVR_ASSERT(status == KVR_OK);
    status = kvr_node_config_init(&sim->node, sizeof sim->node);
    KVR_ASSERT(status == KVR_OK);
    bool known =
        (config->network == NULL || kvr__sized_read(&sim->network, sizeof sim->network,
                                                    config->network, sizeof sim->network)) &&
        (config->disk == NULL ||
         kvr__sized_read(&sim->disk, sizeof sim->disk, config->disk, sizeof sim->disk)) &&
        (config->node == NULL ||
         kvr__sized_read(&sim->node, sizeof sim->node, config->node, sizeof sim->node)) &&
        (config->sink == NULL ||
         kvr__sized_read(&sim->sink, sizeof sim->sink, config->sink, sizeof sim->sink));
    return known ? KVR_OK : KVR_EINVAL;
}

static bool is_acceptable(const kvr_sim_config *config)
{
    const uint64_t span_max = UINT64_MAX >> 7;
#ifdef KVR_CHECK
    const bool can_buggify = config->buggify == 1;
#else
    const bool can_buggify = false;
#endif
    return config->member_count <= KVR__SIM_MEMBERS_MAX && config->drift_ppm <= DRIFT_MAX &&
           config->disk_ns_mean <= span_max && config->down_ns_mean <= span_max &&
           config->cut_ns_mean <= span_max && config->pause_ns_mean <= span_max &&
           config->stall_ns_mean <= span_max && config->jump_ns_max <= span_max &&
           (config->buggify == 0 || can_buggify);
}

/* What the pattern for nodes leaves to the simulator. */
static kvr_status prepare_node(kvr_sim *sim)
{
    kvr_node_config *node = &sim->node;
    for (uint32_t i = 0; i < sim->config.member_count; i++) {
        sim->configuration[i] = (kvr_member){.id = i + 1, .role = KVR_MEMBER_VOTER};
    }
    node->cluster_id = node->cluster_id == 0 ? 1 : node->cluster_id;
    node->storage = NULL;
    node->transport = NULL;
    node->clock = NULL;
    node->sink = NULL;
    node->log = NULL;
    node->trace = NULL;
    node->member_id = 1;
    node->members = sim->configuration;
    node->member_count = sim->config.member_count;
    return kvr_node_config_check(node) == NULL ? KVR_OK : KVR_EINVAL;
}

/* ------------------------------------------------------------------ life */

static kvr_status begin(kvr_sim *sim)
{
    kvr__heap_init(&sim->heap, &sim->mem, KVR__MEM_HANDLE);
    sim->items = kvr__slab_new(&sim->mem, KVR__MEM_MESSAGE);
    if (sim->items == NULL) {
        return KVR_ENOMEM;
    }
    kvr_status status = read_parts(sim);
    if (status == KVR_OK) {
        status = prepare_node(sim);
    }
    if (status == KVR_OK) {
        status = kvr__sim_event_reserve(sim, 0);
    }
    kvr__sim_trouble_begin(sim);
    sim->caller = kvr__sim_stream_of(sim->config.seed, UINT32_MAX, KVR__SIM_CALLER);
    for (uint32_t i = 0; i < sim->config.member_count && status == KVR_OK; i++) {
        status = kvr__sim_member_new(sim, i);
        if (status == KVR_OK) {
            status = kvr__sim_member_start(&sim->members[i]);
        }
    }
    return status;
}

kvr_status kvr_sim_new(const kvr_sim_config *config, kvr_sim **out_sim)
{
    kvr_sim_config known;
    if (config == NULL || !kvr__sized_read(&known, sizeof known, config, sizeof known)) {
        return KVR_EINVAL;
    }
    fill_defaults(&known);
    if (!is_acceptable(&known)) {
        return KVR_EINVAL;
    }
    void *handle;
    kvr_status status = kvr__mem_new_handle(known.allocator, known.allocator_ctx, sizeof(kvr_sim),
                                            offsetof(kvr_sim, mem), &handle);
    if (status != KVR_OK) {
        return status;
    }
    kvr_sim *sim = handle;
    sim->config = known;
    status = begin(sim);
    if (status != KVR_OK) {
        kvr_sim_free(sim);
        return status;
    }
    *out_sim = sim;
    return KVR_OK;
}

void kvr_sim_free(kvr_sim *sim)
{
    if (sim == NULL) {
        return;
    }
    for (uint32_t i = 0; i < KVR__SIM_MEMBERS_MAX; i++) {
        kvr__sim_member_release(&sim->members[i]);
    }
    kvr__heap_release(&sim->heap);
    kvr__slab_free_all(sim->items);
    kvr__mem_free_handle(sim, sizeof *sim, offsetof(kvr_sim, mem));
}

/* ------------------------------------------------------------------ one step */

static void fill_message(const kvr_sim *sim, kvr__sim_item *item, kvr_sim_event *event)
{
    kvr_slice bytes = {kvr__sim_event_bytes(item), item->size};
    kvr_message_info info;
    event->span_ns = sim->now_ns - item->since_ns;
    if (kvr_message_peek(&bytes, UINT32_MAX, &info) == KVR_OK) {
        event->message_type = info.type;
        event->term = info.term;
    }
}

/* A crash that was planned within a batch turns the disk's event into a crash. */
static void work(kvr__sim_member *member, kvr_sim_event *event)
{
    event->kind = member->task == KVR__SIM_BATCH ? KVR_SIM_STORAGE : KVR_SIM_UPKEEP;
    kvr__sim_storage_work(member);
    if (member->state == KVR_SIM_DOWN) {
        event->kind = KVR_SIM_CRASH;
    }
}

/* Lets `item` happen. False: nobody noticed. */
static bool happen(kvr_sim *sim, kvr__sim_item *item, kvr_sim_event *event)
{
    kvr__sim_member *member =
        &sim->members[item->member < sim->config.member_count ? item->member : 0];
    switch (item->kind) {
    case KVR_SIM_MESSAGE:
        fill_message(sim, item, event);
        return kvr__sim_network_arrive(sim, item);
    case KVR_SIM_STORAGE:
        if (member->state != KVR_SIM_UP) {
            return false;
        }
        work(member, event);
        return true;
    case KVR_SIM_TIMER:
        kvr__sim_member_run(member);
        return true;
    case KVR_SIM_CALL:
        if (sim->sink.timer != NULL) {
            sim->sink.timer(sim->config.sink_ctx, item->user);
        }
        return true;
    case KVR_SIM_CRASH:
        kvr__sim_trouble_crash(member);
        return true;
    case KVR_SIM_RESTART:
        kvr__sim_trouble_restart(member);
        event->kind = member->state == KVR_SIM_DOWN ? KVR_SIM_CRASH : KVR_SIM_RESTART;
        return true;
    case KVR_SIM_CUT:
    case KVR_SIM_MEND:
        kvr__sim_partition_go(sim, item->user);
        return true;
    case KVR_SIM_PAUSE:
    case KVR_SIM_STALL:
    case KVR_SIM_JUMP:
        kvr__sim_trouble_strike(member, item, event);
        return true;
    default:
        KVR_ASSERT(item->kind == KVR_SIM_FAILURE);
        return true;
    }
}

/* What comes for a member that stands still comes when it goes on, in the same order. */
static bool has_to_wait(const kvr_sim *sim, const kvr__sim_item *item)
{
    bool for_member = item->kind == KVR_SIM_MESSAGE || item->kind == KVR_SIM_STORAGE ||
                      item->kind == KVR_SIM_TIMER;
    return for_member && sim->members[item->member].paused_until > item->due.key;
}

/* Members that may have got work outside of their own events. Then the top of the heap is what will
 * happen next. */
static void refresh(kvr_sim *sim)
{
    for (uint32_t i = 0; sim->touched != 0; i++) {
        if ((sim->touched >> i & 1) != 0) {
            sim->touched &= ~(1U << i);
            kvr__sim_member_refresh(&sim->members[i]);
        }
    }
    kvr__sim_item *top = kvr__sim_event_top(sim);
    while (top != NULL && has_to_wait(sim, top)) {
        kvr__sim_event_set(sim, top, sim->members[top->member].paused_until);
        top = kvr__sim_event_top(sim);
    }
}

static bool take_next(kvr_sim *sim, kvr_sim_event *event)
{
    refresh(sim);
    kvr__sim_item *item = kvr__sim_event_pop(sim);
    if (item == NULL) {
        event->kind = 0;
        return true;
    }
    sim->now_ns = item->due.key;
    *event = (kvr_sim_event){
        .time_ns = sim->now_ns, .kind = item->kind, .member = item->member, .peer = item->peer};
    bool noticed = happen(sim, item, event);
    if (item->kind == KVR_SIM_MESSAGE || item->kind == KVR_SIM_CALL) {
        kvr__sim_event_free(sim, item);
    }
    return noticed;
}

static bool is_counted(uint32_t kind)
{
    return kind >= KVR_SIM_MESSAGE && kind <= KVR_SIM_CALL;
}

kvr_status kvr_sim_step(kvr_sim *sim, kvr_sim_event *out_event)
{
    kvr_sim_event event;
    sim->trouble = KVR_OK;
    while (!take_next(sim, &event)) {
    }
    if (event.kind == 0) {
        return KVR_END;
    }
    kvr__sim_trace_event(sim, &event);
    if (is_counted(event.kind)) {
        sim->event_count++;
        kvr__sim_trouble_draw(sim);
    }
    KVR_CHECKED(kvr__sim_check(sim));
    if (sim->sink.event != NULL) {
        sim->sink.event(sim->config.sink_ctx, &event);
    }
    if (out_event != NULL) {
        *out_event = event;
    }
    return sim->trouble;
}

kvr_status kvr_sim_run(kvr_sim *sim, uint64_t span_ns)
{
    uint64_t end = sim->now_ns + span_ns;
    kvr_status result = KVR_OK;
    while (result == KVR_OK) {
        refresh(sim);
        const kvr__heap_item *top = kvr__heap_top(&sim->heap);
        if (top == NULL || top->key > end) {
            sim->now_ns = end;
            return KVR_OK;
        }
        result = kvr_sim_step(sim, NULL);
    }
    return result;
}

/* ------------------------------------------------------------------ questions */

uint64_t kvr_sim_now(const kvr_sim *sim)
{
    return sim->now_ns;
}

uint64_t kvr_sim_event_count(const kvr_sim *sim)
{
    return sim->event_count;
}

uint64_t kvr_sim_trace_hash(const kvr_sim *sim)
{
    return sim->trace_hash;
}

kvr_node *kvr_sim_node(kvr_sim *sim, uint32_t member)
{
    if (member >= sim->config.member_count || sim->members[member].state != KVR_SIM_UP) {
        return NULL;
    }
    sim->touched |= 1U << member;
    return sim->members[member].node;
}

const kvr_node *kvr_sim_look(const kvr_sim *sim, uint32_t member)
{
    return member < sim->config.member_count ? sim->members[member].node : NULL;
}

kvr_sim_disk *kvr_sim_member_disk(kvr_sim *sim, uint32_t member)
{
    return member < sim->config.member_count ? sim->members[member].disk : NULL;
}

void kvr_sim_get_member_status(const kvr_sim *sim, uint32_t member,
                               kvr_sim_member_status *out_status)
{
    KVR_ASSERT(member < sim->config.member_count);
    const kvr__sim_member *of = &sim->members[member];
    kvr_sim_member_status status = {
        .size = out_status->size,
        .state = of->state,
        .failure = of->failed_by,
        .starts = of->starts,
        .clock_ns = kvr__sim_member_clock(of),
        .error = of->error,
    };
    memcpy(out_status, &status, status.size < sizeof status ? status.size : sizeof status);
}

uint32_t kvr_sim_leader(const kvr_sim *sim)
{
    uint32_t leader = UINT32_MAX;
    uint64_t term = 0;
    for (uint32_t i = 0; i < sim->config.member_count; i++) {
        if (sim->members[i].state != KVR_SIM_UP) {
            continue;
        }
        kvr_node_status status = {.size = sizeof status};
        kvr_node_get_status(sim->members[i].node, &status);
        if (status.raft.role == KVR_ROLE_LEADER && status.raft.term > term) {
            leader = i;
            term = status.raft.term;
        }
    }
    return leader;
}

kvr_status kvr_sim_after(kvr_sim *sim, uint64_t delay_ns, void *user)
{
    kvr__sim_item *item = kvr__sim_event_new(sim, KVR_SIM_CALL, 0);
    if (item == NULL) {
        return KVR_ENOMEM;
    }
    item->user = user;
    kvr__sim_event_set(sim, item, sim->now_ns + delay_ns);
    return KVR_OK;
}

uint64_t kvr_sim_random(kvr_sim *sim, uint64_t limit)
{
    return kvr__sim_below(&sim->caller, limit);
}

/* ------------------------------------------------------------------ trouble by hand */

void kvr_sim_crash(kvr_sim *sim, uint32_t member)
{
    if (member < sim->config.member_count && sim->members[member].state != KVR_SIM_DOWN) {
        kvr__sim_member_stop(&sim->members[member]);
        kvr_sim_disk_crash(sim->members[member].disk);
    }
}

kvr_status kvr_sim_restart(kvr_sim *sim, uint32_t member)
{
    if (member >= sim->config.member_count || sim->members[member].state == KVR_SIM_UP) {
        return KVR_OK;
    }
    return kvr__sim_member_start(&sim->members[member]);
}

void kvr_sim_cut(kvr_sim *sim, uint32_t from, uint32_t to, uint8_t cut)
{
    if (from < sim->config.member_count && to < sim->config.member_count) {
        sim->cut_by_hand[from][to] = cut;
    }
}

bool kvr_sim_is_cut(const kvr_sim *sim, uint32_t from, uint32_t to)
{
    return from < sim->config.member_count && to < sim->config.member_count &&
           (sim->cut_by_hand[from][to] || sim->cut_count[from][to] > 0);
}

kvr_status kvr_sim_heal(kvr_sim *sim)
{
    kvr_status result = KVR_OK;
    memset(sim->cut_by_hand, 0, sizeof sim->cut_by_hand);
    kvr__sim_trouble_end(sim);
    for (uint32_t i = 0; i < sim->config.member_count; i++) {
        kvr_status status = kvr_sim_restart(sim, i);
        result = status == KVR_OK ? result : status;
    }
    return result;
}

void kvr_sim_set_network(kvr_sim *sim, const kvr_sim_network *network)
{
    bool known = kvr__sized_read(&sim->network, sizeof sim->network, network, sizeof *network);
    KVR_ASSERT(known);
}

void kvr_sim_set_disk(kvr_sim *sim, uint32_t member, const kvr_sim_disk_faults *faults)
{
    KVR_ASSERT(member < sim->config.member_count);
    kvr_sim_disk_set_faults(sim->members[member].disk, faults);
}
