/* SPDX-License-Identifier: Apache-2.0 */
/* sim_network.c: from one member to another: cut, lost, repeated, corrupted, late,
 * or stuck behind others on a clogged link. A message that
 * is on its way stays on its way when a link is cut or its receiver crashes, so that a next life
 * meets messages meant for the one before. */
#include <string.h>

#include "base/assertion.h"
#include "sim_internal.h"

enum { LATE_ONE_IN = 8, LATE_FACTOR = 64 };

static uint64_t delay(const kvr_sim *sim, kvr__sim_stream *stream, bool late)
{
    uint64_t mean = sim->network.delay_ns_mean;
    if (late && kvr__sim_below(stream, LATE_ONE_IN) == 0) {
        mean *= LATE_FACTOR;
    }
    return kvr__sim_span(stream, sim->network.delay_ns_min, mean);
}

static bool wants(kvr_sim *sim, kvr__sim_member *from, uint32_t kind, uint32_t ppm)
{
    return kvr__sim_trouble_chance(sim, &from->network, from->number, kind, ppm);
}

/* One copy on its way. */
static void launch(kvr_sim *sim, kvr__sim_member *from, uint32_t to, kvr_slice bytes, bool late)
{
    KVR_ASSERT(bytes.size <= UINT32_MAX);
    uint64_t at = sim->now_ns + delay(sim, &from->network, late);
    bool corrupt = wants(sim, from, KVR_SIM_FAULT_CORRUPT, sim->network.corrupt_ppm);
    uint64_t *clogged = &sim->link_clogged_until[from->number][to];
    if (wants(sim, from, KVR_SIM_FAULT_CLOG, sim->network.clog_ppm)) {
        *clogged = sim->now_ns + kvr__sim_span(&from->network, 0, sim->network.clog_ns_mean);
    }
    at = at < *clogged ? *clogged : at;
    if (sim->network.link_messages_max > 0 &&
        sim->link_messages[from->number][to] >= sim->network.link_messages_max) {
        return;
    }
    kvr__sim_item *item = kvr__sim_event_new(sim, KVR_SIM_MESSAGE, (uint32_t)bytes.size);
    if (item == NULL) {
        sim->trouble = KVR_ENOMEM;
        return;
    }
    uint8_t *copy = kvr__sim_event_bytes(item);
    memcpy(copy, bytes.data, bytes.size);
    if (corrupt && bytes.size > 0) {
        copy[kvr__sim_below(&from->network, bytes.size)] ^=
            (uint8_t)(1 + kvr__sim_below(&from->network, 255));
    }
    item->member = to;
    item->peer = from->number;
    item->since_ns = sim->now_ns;
    sim->link_messages[from->number][to]++;
    kvr__sim_event_set(sim, item, at);
}

void kvr__sim_network_send(kvr_sim *sim, kvr__sim_member *from, const kvr_message *message)
{
    kvr__sim_trace_send(sim, from->number, message);
    if (sim->sink.sent != NULL) {
        sim->sink.sent(sim->config.sink_ctx, from->number, message);
    }
    uint32_t to = (uint32_t)(message->to - 1);
    if (message->to == 0 || message->to > sim->config.member_count ||
        kvr_sim_is_cut(sim, from->number, to) ||
        wants(sim, from, KVR_SIM_FAULT_LOSS, sim->network.loss_ppm)) {
        return;
    }
    launch(sim, from, to, message->bytes, false);
    if (wants(sim, from, KVR_SIM_FAULT_REPEAT, sim->network.repeat_ppm)) {
        launch(sim, from, to, message->bytes, true);
    }
}

/* What receive answers is only about garbage and full queues: the message is as good as lost. */
bool kvr__sim_network_arrive(kvr_sim *sim, kvr__sim_item *item)
{
    kvr__sim_member *member = &sim->members[item->member];
    KVR_ASSERT(sim->link_messages[item->peer][item->member] > 0);
    sim->link_messages[item->peer][item->member]--;
    if (member->state != KVR_SIM_UP) {
        return false;
    }
    kvr_slice bytes = {kvr__sim_event_bytes(item), item->size};
    kvr_status status = kvr_node_receive(member->node, &bytes);
    if (status == KVR_ENOMEM) {
        sim->trouble = KVR_ENOMEM;
    }
    kvr__sim_member_run(member);
    return true;
}
