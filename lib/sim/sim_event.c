/* SPDX-License-Identifier: Apache-2.0 */
/* sim_event.c: the heap of what will happen. Equal times go by the order in which events were set,
 * so a run is a function of its seed. */
#include "base/assertion.h"
#include "base/list.h"
#include "sim_internal.h"

void kvr__sim_event_set(kvr_sim *sim, kvr__sim_item *item, uint64_t at)
{
    at = at < sim->now_ns ? sim->now_ns : at;
    if (item->due.place != 0 && item->due.key == at) {
        return;
    }
    kvr__heap_remove(&sim->heap, &item->due);
    item->due.key = at;
    item->due.id = ++sim->sequence;
    kvr_status status = kvr__heap_push(&sim->heap, &item->due);
    KVR_ASSERT(status == KVR_OK);
}

void kvr__sim_event_cancel(kvr_sim *sim, kvr__sim_item *item)
{
    kvr__heap_remove(&sim->heap, &item->due);
}

kvr__sim_item *kvr__sim_event_top(kvr_sim *sim)
{
    kvr__heap_item *top = kvr__heap_top(&sim->heap);
    return top == NULL ? NULL : KVR__CONTAINER_OF(top, kvr__sim_item, due);
}

kvr__sim_item *kvr__sim_event_pop(kvr_sim *sim)
{
    kvr__sim_item *top = kvr__sim_event_top(sim);
    if (top != NULL) {
        KVR_ASSERT(top->due.key >= sim->now_ns);
        kvr__heap_remove(&sim->heap, &top->due);
    }
    return top;
}

kvr_status kvr__sim_event_reserve(kvr_sim *sim, uint32_t more)
{
    enum { OF_MEMBER = 5 + KVR__SIM_TROUBLES };
    return kvr__heap_reserve(&sim->heap,
                             more + OF_MEMBER * sim->config.member_count + KVR__SIM_CUTS_MAX);
}

kvr__sim_item *kvr__sim_event_new(kvr_sim *sim, uint32_t kind, uint32_t size)
{
    if (kvr__sim_event_reserve(sim, 1) != KVR_OK) {
        return NULL;
    }
    kvr__sim_item *item = kvr__slab_alloc(sim->items, sizeof *item + size);
    if (item != NULL) {
        *item = (kvr__sim_item){
            .kind = kind,
            .member = (uint32_t)KVR__SIM_NONE,
            .peer = (uint32_t)KVR__SIM_NONE,
            .size = size,
        };
    }
    return item;
}

void kvr__sim_event_free(kvr_sim *sim, kvr__sim_item *item)
{
    KVR_ASSERT(item->due.place == 0);
    kvr__slab_free(sim->items, item, sizeof *item + item->size);
}

uint8_t *kvr__sim_event_bytes(kvr__sim_item *item)
{
    return (uint8_t *)(item + 1);
}
