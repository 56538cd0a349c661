/* SPDX-License-Identifier: Apache-2.0 */
/* sim_check.c: the numbered invariants of README.md. */
#include "base/assertion.h"
#include "sim_internal.h"

static void check_file(const kvr__sim_file *file)
{
    /* 1 */
    KVR_ASSERT(file->holders > 0);
    KVR_ASSERT(file->length <= file->capacity);
    KVR_ASSERT(file->capacity % KVR__SIM_SECTOR == 0);
    if (file->length < file->capacity) {
        KVR_ASSERT(file->data[file->length] == 0);
        KVR_ASSERT(file->data[file->capacity - 1] == 0);
    }
    for (uint32_t i = 0; i < file->pending.count; i++) {
        /* 2 */
        const kvr__sim_pending *pending = &file->pending.items[i];
        KVR_ASSERT(pending->offset % KVR__SIM_SECTOR == 0);
        KVR_ASSERT(pending->size % KVR__SIM_SECTOR == 0);
        KVR_ASSERT(pending->length <= file->capacity);
        KVR_ASSERT((pending->size == 0) == (pending->old == NULL));
    }
    if (file->pending.count == 0) {
        KVR_ASSERT(file->length == file->length_durable);
    } else {
        KVR_ASSERT(file->length == file->pending.items[file->pending.count - 1].length);
    }
}

void kvr__sim_disk_check(const kvr_sim_disk *disk)
{
    uint64_t named_bytes = 0;
    for (uint32_t i = 0; i < disk->names.count; i++) {
        check_file(disk->names.items[i].file);
        named_bytes += disk->names.items[i].file->length;
    }
    /* 3 */
    KVR_ASSERT(named_bytes <= disk->used_bytes);
    KVR_ASSERT(disk->names.count + disk->renames.count <=
               disk->names.capacity + disk->renames.capacity);
    for (uint32_t i = 0; i < disk->renames.count; i++) {
        if (disk->renames.items[i].with_next) {
            KVR_ASSERT(i + 1 < disk->renames.count);
        }
    }
}

static void check_member(const kvr__sim_member *member)
{
    bool up = member->state == KVR_SIM_UP;
    /* 4 */
    if (up) {
        KVR_ASSERT(member->node != NULL);
        KVR_ASSERT(member->wal != NULL);
        KVR_ASSERT(member->failed_by == KVR_OK);
    } else {
        KVR_ASSERT(member->timer.due.place == 0);
    }
    if (member->state == KVR_SIM_DOWN) {
        KVR_ASSERT(member->node == NULL);
        KVR_ASSERT(member->wal == NULL);
        KVR_ASSERT(member->queue.count == 0);
        KVR_ASSERT(member->work.due.place == 0);
    }
    if (member->state == KVR_SIM_FAILED) {
        KVR_ASSERT(member->failed_by < KVR_OK);
    }
    /* 5 */
    if (up && member->queue.count > 0) {
        KVR_ASSERT(member->task == KVR__SIM_BATCH);
    }
    if (up) {
        KVR_ASSERT((member->task != KVR__SIM_IDLE) == (member->work.due.place != 0));
    }
    KVR_ASSERT(member->batch_count <= member->queue.count);
}

void kvr__sim_check_cuts(const kvr_sim *sim)
{
    /* 6 */
    for (uint32_t from = 0; from < sim->config.member_count; from++) {
        for (uint32_t to = 0; to < sim->config.member_count; to++) {
            uint32_t cutting = 0;
            for (uint32_t i = 0; i < KVR__SIM_CUTS_MAX; i++) {
                cutting += sim->cut[i].next.due.place != 0 && sim->cut[i].links[from][to];
            }
            KVR_ASSERT(cutting == sim->cut_count[from][to]);
        }
    }
}

void kvr__sim_check(const kvr_sim *sim)
{
    for (uint32_t i = 0; i < sim->config.member_count; i++) {
        check_member(&sim->members[i]);
    }
    /* 7 */
    const kvr__heap_item *top = kvr__heap_top(&sim->heap);
    KVR_ASSERT(top == NULL || top->key >= sim->now_ns);
}
