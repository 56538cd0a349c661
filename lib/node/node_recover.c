/* SPDX-License-Identifier: Apache-2.0 */
/* node_recover.c: one survivor's disk becomes a new cluster. A node is made on the old storage that
 * takes its whole log for committed, writes nothing and speaks to nobody; what it then holds is
 * written to the new storage as a snapshot of the new cluster, with a configuration of one member.
 * So there is one source of truth, the snapshot, and nothing of the old members is left in it but
 * the highest id that was ever used (FAULTS 55). Start at kvr_node_recover. */
#include "base/sized.h"
#include "node_internal.h"

enum { HEADS_SIZE_MAX = 256 }; /* of an encoded configuration of one member */

typedef struct recovery {
    kvr_node_recovery given;
    kvr_node *node;
    uint8_t *room;
    size_t room_size;
    kvr_slice configuration; /* in `room` */
} recovery;

/* One request to one storage, which must answer at once. */
static kvr_status submit_to(const kvr_storage *storage, void *ctx, const kvr_store_request *request,
                            kvr_store_result *out_result)
{
    *out_result = (kvr_store_result){
        .size = sizeof *out_result, .group_id = request->group_id, .token = request->token};
    kvr_status status = storage->submit(ctx, request, out_result);
    if (status == KVR_DONE) {
        return KVR_OK;
    }
    return status == KVR_OK || status == KVR_EBUSY ? KVR_EINVAL : status;
}

static bool is_read(uint8_t kind)
{
    return kind == KVR_STORE_LOAD || kind == KVR_STORE_READ || kind == KVR_STORE_SNAPSHOT_READ;
}

/* Serves the requests of one ready: reads from the old storage, the snapshot to the new one. What
 * else raft would like to do to its storage is not done. */
static kvr_status serve(recovery *r, const kvr_node_ready *ready)
{
    for (uint32_t i = 0; i < ready->request_count; i++) {
        const kvr_store_request *request = &ready->requests[i];
        kvr_store_result result;
        kvr_status status = KVR_OK;
        if (is_read(request->kind)) {
            status = submit_to(r->given.from, r->given.from_ctx, request, &result);
        } else if (request->kind == KVR_STORE_SNAPSHOT_WRITE) {
            status = submit_to(r->given.to, r->given.to_ctx, request, &result);
            if (status == KVR_OK && result.status == KVR_ENOSPACE) {
                status = KVR_ENOSPACE;
            }
        } else {
            continue;
        }
        if (status == KVR_OK) {
            status = kvr_node_storage_done(r->node, &result);
        }
        if (status != KVR_OK) {
            return status;
        }
    }
    return KVR_OK;
}

/* Time stands still here, so what a node would do later, for want of memory, is never done. */
static kvr_status turn(recovery *r)
{
    if (!kvr__node_has_work(r->node)) {
        return KVR_ENOMEM;
    }
    const kvr_node_ready *ready;
    uint32_t budget = KVR__NODE_BUDGET;
    kvr_status status = kvr__ready_get(r->node, 1, &budget, &ready);
    if (status < 0) {
        return status;
    }
    status = serve(r, ready);
    kvr_node_advance(r->node);
    return status;
}

static bool is_loaded(const kvr_node *node)
{
    kvr_raft_status status = {.size = sizeof status};
    kvr_raft_get_status(node->raft, &status);
    return node->loaded && node->snapshots.installing == NULL &&
           node->applied.index == status.last_index;
}

/* ------------------------------------------------------------------ the new cluster */

/* This member alone, with its name and addresses; ids go on from the highest that ever was. */
static kvr_status make_configuration(recovery *r)
{
    kvr_node *node = r->node;
    kvr_slice encoded;
    kvr_member member = {0};
    kvr_status status = kvr_raft_configuration(node->raft, node->applied.index, &encoded);
    uint64_t highest = status == KVR_OK ? kvr_configuration_highest_id(&encoded) : 0;
    for (uint32_t i = 0; status == KVR_OK && member.id != node->config.member_id; i++) {
        status = kvr_configuration_member(&encoded, i, &member);
    }
    if (status != KVR_OK ||
        !(member.role == KVR_MEMBER_VOTER || member.role == KVR_MEMBER_LEARNER ||
          member.role == KVR_MEMBER_NONE)) {
        return KVR_ESTATE; /* it is no member, or a witness */
    }
    member.role = KVR_MEMBER_VOTER;
    member.flags = 0;
    r->room_size = member.attributes.size + HEADS_SIZE_MAX;
    r->room = kvr__mem_alloc(&node->mem, KVR__MEM_MESSAGE, r->room_size);
    if (r->room == NULL) {
        return KVR_ENOMEM;
    }
    size_t size = 0;
    status = kvr_configuration_write(&member, 1, highest, r->room, r->room_size, &size);
    KVR_ASSERT(status == KVR_OK);
    r->configuration = (kvr_slice){r->room, size};
    node->config.cluster_id = r->given.cluster_id;
    node->snapshots.configuration = &r->configuration;
    return KVR_OK;
}

/* The new storage must be new. Then it is told the old term, so that the snapshot's is not above
 * it, and the old incarnation, so that no origin of the old cluster is used again. */
static kvr_status begin_storage(const recovery *r)
{
    const kvr_node *node = r->node;
    kvr_raft_status raft = {.size = sizeof raft};
    kvr_raft_get_status(node->raft, &raft);
    kvr_store_request request = {.size = sizeof request,
                                 .kind = KVR_STORE_LOAD,
                                 .group_id = node->config.group_id,
                                 .token = KVR__TOKEN_OWN};
    kvr_store_result result;
    kvr_status status = submit_to(r->given.to, r->given.to_ctx, &request, &result);
    status = status == KVR_OK ? result.status : status;
    if (status == KVR_OK && (result.term != 0 || result.last_index != 0 ||
                             result.snapshot.index != 0 || result.incarnation != 0)) {
        return KVR_EEXIST;
    }
    if (status == KVR_OK) {
        request.kind = KVR_STORE_VOTE;
        request.token++;
        request.term = raft.term;
        request.incarnation = raft.incarnation;
        status = submit_to(r->given.to, r->given.to_ctx, &request, &result);
        status = status == KVR_OK ? result.status : status;
    }
    return status;
}

static kvr_status run_recovery(recovery *r)
{
    kvr_node *node = r->node;
    kvr_status status = KVR_OK;
    while (status == KVR_OK && !is_loaded(node)) {
        status = turn(r);
    }
    if (status == KVR_OK && node->applied.index == 0) {
        status = KVR_ENOTFOUND;
    }
    status = status == KVR_OK ? begin_storage(r) : status;
    status = status == KVR_OK ? make_configuration(r) : status;
    if (status != KVR_OK) {
        return status;
    }
    node->snapshots.last_index = 0; /* whatever it was: this one is of another cluster */
    node->snapshots.wanted = true;
    bool begun = false;
    while (status == KVR_OK && !(begun && node->snapshots.taking == NULL)) {
        status = turn(r);
        begun = begun || node->snapshots.taking != NULL;
        if (status == KVR_OK && !begun) {
            status = KVR_ENOMEM; /* it could not begin */
        }
    }
    return status;
}

kvr_status kvr_node_recover(const kvr_node_recovery *given)
{
    recovery r = {.room = NULL};
    if (given == NULL || !kvr__sized_read(&r.given, sizeof r.given, given, sizeof r.given) ||
        r.given.config == NULL || r.given.cluster_id == 0 || r.given.from == NULL ||
        r.given.to == NULL || r.given.cluster_id == r.given.config->cluster_id) {
        return KVR_EINVAL;
    }
    kvr_node_config config = *r.given.config;
    config.storage = NULL;
    config.transport = NULL;
    config.sink = NULL;
    kvr_status status = kvr__node_make(&config, true, &r.node);
    if (status != KVR_OK) {
        return status;
    }
    status = run_recovery(&r);
    kvr__mem_free(&r.node->mem, KVR__MEM_MESSAGE, r.room, r.room_size);
    kvr_status freed = kvr_node_free(r.node);
    KVR_ASSERT(freed == KVR_OK);
    return status;
}
