/* SPDX-License-Identifier: Apache-2.0 */
/* node.c: the door: config, life, what the host feeds, what this member's own copy shows, status.
 * What happens with what was fed: node_ready.c. */
#include "node_internal.h"
#include "node_snapshot.h"

#include "base/array.h"
#include "base/buffer.h"

/* ------------------------------------------------------------------ errors */

static size_t put_text(char *room, size_t size, size_t at, const char *text)
{
    for (; *text != 0 && at + 1 < size; text++) {
        room[at++] = *text;
    }
    room[at] = 0;
    return at;
}

void kvr__text_put(char *room, size_t size, const char *text, uint64_t number)
{
    size_t at = put_text(room, size, 0, text);
    if (number == 0) {
        return;
    }
    char digits[24];
    size_t place = sizeof digits - 1;
    digits[place] = 0;
    for (; number > 0; number /= 10) {
        digits[--place] = (char)('0' + number % 10);
    }
    digits[--place] = ' ';
    (void)put_text(room, size, at, digits + place);
}

kvr_status kvr__node_fail(kvr_node *node, kvr_status status, const char *text, uint64_t number)
{
    KVR_ASSERT(kvr_status_is_fatal(status));
    if (node->failure == KVR_OK) {
        node->failure = status;
        node->error = kvr_status_text(status); /* if there is no memory to say more */
        node->error_room = kvr__mem_alloc(&node->mem, KVR__MEM_HANDLE, KVR__NODE_ERROR_SIZE);
        if (node->error_room != NULL) {
            kvr__text_put(node->error_room, KVR__NODE_ERROR_SIZE, text, number);
            node->error = node->error_room;
        }
        kvr_raft_stop(node->raft); /* a leader says so, and goes */
    }
    return node->failure;
}

kvr_status kvr__node_may_take(const kvr_node *node)
{
    return node->closed ? KVR_ESTOPPED : node->failure;
}

/* ------------------------------------------------------------------ life */

static kvr_status new_raft(kvr_node *node, bool recover)
{
    const kvr_node_config *from = &node->config;
    kvr_raft_config config;
    kvr_status status = kvr_raft_config_init(&config, sizeof config);
    if (status != KVR_OK) {
        return status;
    }
    config.cluster_id = from->cluster_id;
    config.group_id = from->group_id;
    config.member_id = from->member_id;
    config.seed = from->seed;
    config.members = from->members;
    config.member_count = from->member_count;
    config.data_copies_min = from->data_copies_min;
    config.witness = from->witness;
    config.recover = recover;
    config.election_ns = from->election_ns;
    config.heartbeat_ns = from->heartbeat_ns;
    config.quiet_ns = from->quiet_ns;
    config.level = from->level_max;
    config.stall_ns = from->stall_ns;
    config.lease_ns = from->lease_ns;
    config.counters = from->counters;
    config.priority = from->priority;
    config.message_bytes_max = from->message_bytes_max;
    config.command_bytes_max = KVR__COMMAND_BYTES_MAX;
    config.uncommitted_bytes_max = from->uncommitted_bytes_max;
    config.snapshot_chunk_bytes = from->snapshot_chunk_bytes;
    config.trace = from->trace == NULL ? 0 : from->trace->level > 1 ? 2 : 1;
    config.allocator = from->allocator;
    config.allocator_ctx = from->allocator_ctx;
    return kvr_raft_new(&config, &node->raft);
}

static kvr_status new_parts(kvr_node *node, bool recover)
{
    const kvr_allocator *table = node->config.allocator;
    void *ctx = node->config.allocator_ctx;
    kvr_mvcc_config store;
    kvr_lease_config lease;
    kvr_status status = kvr_mvcc_config_init(&store, sizeof store);
    status = status == KVR_OK ? kvr_lease_config_init(&lease, sizeof lease) : status;
    if (status != KVR_OK) {
        return status;
    }
    store.allocator = lease.allocator = table;
    store.allocator_ctx = lease.allocator_ctx = ctx;
    status = new_raft(node, recover);
    status = status == KVR_OK ? kvr_mvcc_new(&store, &node->store) : status;
    return status == KVR_OK ? kvr_lease_book_new(&lease, &node->book) : status;
}

static void init_state(kvr_node *node)
{
    kvr__origins_init(&node->origins, &node->mem);
    kvr__attach_init(&node->attach, &node->mem, node->config.seed ^ node->config.member_id);
    kvr__hashes_init(&node->hashes, &node->mem);
    kvr__apply_init(node);
    kvr__calls_init(node);
    kvr__reads_init(node);
    kvr__leasing_init(node);
    kvr__changing_init(node);
    kvr__ring_init(&node->deferred, &node->mem, KVR__MEM_MESSAGE, sizeof(kvr_store_request));
    kvr__ring_init(&node->watch_changes, &node->mem, KVR__MEM_WATCH, sizeof(kvr__watch_change));
    kvr__map_init(&node->sent, &node->mem, KVR__MEM_MESSAGE);
    node->applied.level = KVR__LEVEL_FIRST;
}

static void release_sent(kvr_node *node)
{
    uint32_t cursor = 0;
    uint64_t token;
    for (kvr_buf *copy; (copy = kvr__map_next(&node->sent, &cursor, &token)) != NULL;) {
        kvr_buf_release(copy);
    }
    kvr__map_release(&node->sent);
}

/* Everything that was made, in an order in which nobody outlives what it leans on: values in the
 * store lean on raft's buffers, the hub on the store. */
static void free_node(kvr_node *node)
{
    kvr__taking_release(node);
    kvr__installing_release(node);
    kvr__calls_release(node);
    kvr__leasing_release(node);
    kvr__changing_release(node);
    kvr__reads_release(node);
    kvr__apply_release(node);
    kvr__attach_release(&node->attach);
    kvr__hashes_release(&node->hashes);
    kvr__origins_release(&node->origins);
    kvr__ring_release(&node->deferred);
    kvr__ring_release(&node->watch_changes);
    release_sent(node);
    kvr__array_free(&node->mem, KVR__MEM_MESSAGE, (void **)&node->requests, &node->request_capacity,
                    sizeof *node->requests);
    kvr_watch_hub_free(node->hub);
    kvr_lease_book_free(node->book);
    kvr_mvcc_free(node->store);
    kvr_raft_free(node->raft);
    kvr__mem_free(&node->mem, KVR__MEM_HANDLE, node->error_room, KVR__NODE_ERROR_SIZE);
    kvr__mem_free_handle(node, sizeof *node, offsetof(kvr_node, mem));
}

kvr_status kvr__node_make(const kvr_node_config *config, bool recover, kvr_node **out_node)
{
    kvr_node_config known;
    if (config == NULL || out_node == NULL || kvr__config_read(config, &known) != NULL) {
        return KVR_EINVAL;
    }
    void *handle;
    kvr_status status = kvr__mem_new_handle(known.allocator, known.allocator_ctx, sizeof(kvr_node),
                                            offsetof(kvr_node, mem), &handle);
    if (status != KVR_OK) {
        return status;
    }
    kvr_node *node = handle;
    node->config = known;
    node->error = "";
    init_state(node);
    status = new_parts(node, recover);
    if (status != KVR_OK) {
        free_node(node);
        return status;
    }
    node->config.members = NULL; /* borrowed for this call only */
    *out_node = node;
    return KVR_OK;
}

kvr_status kvr_node_new(const kvr_node_config *config, kvr_node **out_node)
{
    return kvr__node_make(config, false, out_node);
}

static void deliver_rest(kvr_node *node)
{
    const kvr_node_sink *sink = node->config.sink;
    if (sink == NULL || sink->completed == NULL) {
        return; /* they stand in the readies that follow */
    }
    node->calling = true;
    for (kvr__list *place = node->calls.finished.next; place != &node->calls.finished;
         place = place->next) {
        kvr__call *call = KVR__CONTAINER_OF(place, kvr__call, link);
        if (call->result != NULL) {
            call->done.result = kvr_mvcc_result_root(call->result);
        }
        sink->completed(node->config.sink_ctx, &call->done);
        node->calls.delivered_count++;
    }
    node->calling = false;
    kvr__calls_advance(node);
}

kvr_status kvr_node_close(kvr_node *node)
{
    if (node == NULL) {
        return KVR_EINVAL;
    }
    if (node->calling) {
        return KVR_EREENTRANT;
    }
    if (!node->closed) {
        kvr_node_advance(node);
        kvr_raft_stop(node->raft);
        kvr__calls_end(node);
        node->closed = true;
        kvr__run_last_words(node);
        deliver_rest(node);
    }
    return KVR_OK;
}

kvr_status kvr_node_free(kvr_node *node)
{
    if (node == NULL) {
        return KVR_OK;
    }
    if (node->calling) {
        return KVR_EREENTRANT;
    }
    if (!node->closed) {
        kvr__calls_end(node);
        node->closed = true;
    }
    free_node(node);
    return KVR_OK;
}

/* ------------------------------------------------------------------ intake from the host */

/* Raft's failure is this member's. */
static kvr_status note_raft(kvr_node *node, kvr_status status)
{
    if (kvr_status_is_fatal(status)) {
        (void)kvr__node_fail(node, status, kvr_raft_error(node->raft), 0);
    }
    return status;
}

kvr_status kvr_node_receive(kvr_node *node, const kvr_slice *message)
{
    if (node == NULL || message == NULL) {
        return KVR_EINVAL;
    }
    kvr_status status = kvr__node_may_take(node);
    return status != KVR_OK ? status : note_raft(node, kvr_raft_receive(node->raft, message));
}

kvr_status kvr_node_storage_done(kvr_node *node, const kvr_store_result *result)
{
    if (node == NULL || result == NULL) {
        return KVR_EINVAL;
    }
    kvr_status status = kvr__node_may_take(node);
    if (status != KVR_OK) {
        return status;
    }
    if ((result->token & KVR__TOKEN_OWN) == 0) {
        return note_raft(node, kvr_raft_storage_done(node->raft, result));
    }
    status = kvr__taking_done(node, result);
    if (status == KVR_EINVAL) {
        status = kvr__installing_done(node, result);
    }
    return status != KVR_OK ? status : node->failure;
}

/* ------------------------------------------------------------------ this member's own copy */

bool kvr_node_get(const kvr_node *node, const kvr_slice *key, kvr_kv *out_kv)
{
    return kvr_mvcc_get(node->store, key, out_kv);
}

kvr_status kvr_node_view_open(kvr_node *node, kvr_mvcc_view **out_view)
{
    return node == NULL ? KVR_EINVAL : kvr_mvcc_view_open(node->store, out_view);
}

kvr_status kvr_node_lease_keys(const kvr_node *node, int64_t id, const kvr_slice *after,
                               kvr_slice *out_keys, uint32_t capacity, uint32_t *out_count)
{
    if (node == NULL || out_count == NULL || (out_keys == NULL && capacity > 0)) {
        return KVR_EINVAL;
    }
    *out_count = kvr__attach_keys(&node->attach, id, after, out_keys, capacity);
    return KVR_OK;
}

uint32_t kvr_node_leases(const kvr_node *node, int64_t after, uint8_t from_start, int64_t *out_ids,
                         uint32_t capacity)
{
    return kvr_lease_list(node->book, after, from_start, out_ids, capacity);
}

/* ------------------------------------------------------------------ operation */

kvr_status kvr_node_campaign(kvr_node *node)
{
    if (node == NULL) {
        return KVR_EINVAL;
    }
    kvr_status status = kvr__node_may_take(node);
    return status != KVR_OK ? status : kvr_raft_campaign(node->raft);
}

kvr_status kvr_node_set_priority(kvr_node *node, uint32_t priority)
{
    if (node == NULL) {
        return KVR_EINVAL;
    }
    kvr_status status = kvr__node_may_take(node);
    if (status == KVR_OK) {
        kvr_raft_set_priority(node->raft, priority);
    }
    return status;
}

kvr_status kvr_node_snapshot(kvr_node *node)
{
    if (node == NULL) {
        return KVR_EINVAL;
    }
    kvr_status status = kvr__node_may_take(node);
    if (status == KVR_OK && !node->loaded) {
        status = KVR_ESTATE;
    }
    if (status == KVR_OK) {
        node->snapshots.wanted = node->applied.index > node->snapshots.last_index;
    }
    return status;
}

void kvr_node_wake(kvr_node *node)
{
    if (node != NULL && kvr__node_may_take(node) == KVR_OK) {
        kvr_raft_wake(node->raft);
    }
}

void kvr_node_get_status(const kvr_node *node, kvr_node_status *out_status)
{
    kvr_node_status status = {
        .size = out_status->size,
        .cluster_level = node->applied.level,
        .failure = node->failure,
        .corrupt = node->corrupt,
        .loading = !node->loaded || node->snapshots.installing != NULL,
        .calls_waiting = (uint64_t)node->calls.write_count + node->calls.other_count,
        .hash_index = node->applied.index,
        .hash_chain = node->applied.chain,
        .hash_live = kvr__state_hash_live(node),
        .snapshots_taken = node->snapshots.taken,
        .snapshots_installed = node->snapshots.installed,
    };
    status.raft.size = sizeof status.raft;
    status.store.size = sizeof status.store;
    status.watch.size = sizeof status.watch;
    status.lease.size = sizeof status.lease;
    kvr_raft_get_status(node->raft, &status.raft);
    status.no_space = node->no_space || status.raft.no_space != 0;
    kvr_mvcc_get_status(node->store, &status.store);
    if (node->hub != NULL) {
        kvr_watch_get_status(node->hub, &status.watch);
    }
    kvr_lease_get_status(node->book, &status.lease);
    status.memory_bytes = kvr__mem_bytes(&node->mem) + status.raft.memory_bytes +
                          status.store.memory_bytes + status.watch.memory_bytes +
                          status.lease.memory_bytes;
    size_t size = out_status->size < sizeof status ? out_status->size : sizeof status;
    memcpy(out_status, &status, size);
}

kvr_status kvr_node_get_progress(const kvr_node *node, uint32_t i, kvr_raft_progress *out_progress)
{
    return node == NULL ? KVR_EINVAL : kvr_raft_get_progress(node->raft, i, out_progress);
}

const char *kvr_node_error(const kvr_node *node)
{
    return node->error;
}
