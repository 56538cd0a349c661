/* SPDX-License-Identifier: Apache-2.0 */
/* node_intake.c: the calls of node.h: each is checked and encoded here, once, and put into `fresh`;
 * nothing else happens until the next ready. So they are legal anywhere, inside callbacks too. */
#include "base/buffer.h"
#include "node_internal.h"

/* A call whose command has room for `payload_size` bytes, which the caller fills through
 * *out_payload. */
static kvr_status new_write(kvr_node *node, const kvr_node_call *given, uint8_t call_kind,
                            uint8_t command_kind, size_t payload_size, kvr__writer *out_payload)
{
    size_t size = KVR__COMMAND_HEAD + payload_size;
    if (size > KVR__COMMAND_BYTES_MAX) {
        return KVR_ETOOBIG;
    }
    kvr_status status = kvr__node_may_take(node);
    if (status == KVR_OK) {
        status = kvr__level_allows(node, command_kind);
    }
    if (status != KVR_OK) {
        return status;
    }
    kvr_buf *command = kvr__buf_new_room(&node->mem, KVR__MEM_CALL, size);
    if (command == NULL) {
        return KVR_ENOMEM;
    }
    kvr__call *call;
    status = kvr__calls_new(node, given, call_kind, &call);
    if (status != KVR_OK) {
        kvr_buf_release(command);
        return status;
    }
    command->size = size;
    call->command = command;
    kvr__command_write_head(command->data, command_kind, (uint32_t)payload_size);
    *out_payload = kvr__writer_of(command->data + KVR__COMMAND_HEAD, payload_size);
    return KVR_OK;
}

static kvr__call *newest(kvr_node *node)
{
    return KVR__CONTAINER_OF(node->calls.fresh.prev, kvr__call, link);
}

kvr_status kvr_node_write(kvr_node *node, const kvr_node_call *call, const kvr_op *op)
{
    if (node == NULL || op == NULL || op->size != sizeof *op) {
        return KVR_EINVAL;
    }
    if (op->kind != KVR_OP_PUT && op->kind != KVR_OP_DELETE && op->kind != KVR_OP_TXN) {
        return KVR_EINVAL;
    }
    kvr_status status = kvr_mvcc_op_check(op);
    if (status != KVR_OK) {
        return status;
    }
    size_t size = kvr__op_size(op);
    if (size == 0) {
        return KVR_ETOOBIG;
    }
    kvr__writer payload;
    status = new_write(node, call, KVR_CALL_WRITE, KVR__COMMAND_WRITE, size, &payload);
    if (status != KVR_OK) {
        return status;
    }
    kvr__op_write(&payload, op);
    KVR_ASSERT(!payload.failed && payload.at == payload.end);
    return KVR_OK;
}

kvr_status kvr_node_put(kvr_node *node, const kvr_node_call *call, const kvr_slice *key,
                        const kvr_slice *value, int64_t lease)
{
    if (key == NULL || value == NULL) {
        return KVR_EINVAL;
    }
    kvr_op op = {
        .size = sizeof op, .kind = KVR_OP_PUT, .key = *key, .value = *value, .lease = lease};
    return kvr_node_write(node, call, &op);
}

kvr_status kvr_node_delete(kvr_node *node, const kvr_node_call *call, const kvr_slice *key,
                           const kvr_slice *range_end)
{
    if (key == NULL) {
        return KVR_EINVAL;
    }
    kvr_op op = {.size = sizeof op, .kind = KVR_OP_DELETE, .key = *key};
    if (range_end != NULL) {
        op.range_end = *range_end;
    }
    return kvr_node_write(node, call, &op);
}

kvr_status kvr_node_compact(kvr_node *node, const kvr_node_call *call, uint64_t revision)
{
    if (node == NULL) {
        return KVR_EINVAL;
    }
    kvr__writer payload;
    kvr_status status = new_write(node, call, KVR_CALL_COMPACT, KVR__COMMAND_COMPACT,
                                  KVR__COMMAND_COMPACT_SIZE, &payload);
    if (status == KVR_OK) {
        kvr__write_u64(&payload, revision);
    }
    return status;
}

kvr_status kvr_node_read_linear(kvr_node *node, const kvr_node_call *call)
{
    kvr__call *made;
    return node == NULL ? KVR_EINVAL : kvr__calls_new(node, call, KVR_CALL_READ_LINEAR, &made);
}

kvr_status kvr_node_read_lease(kvr_node *node, const kvr_node_call *call)
{
    kvr__call *made;
    return node == NULL ? KVR_EINVAL : kvr__calls_new(node, call, KVR_CALL_READ_LEASE, &made);
}

kvr_status kvr_node_read_stale(kvr_node *node, const kvr_node_call *call, uint64_t stale_ns_max)
{
    kvr__call *made;
    if (node == NULL) {
        return KVR_EINVAL;
    }
    kvr_status status = kvr__calls_new(node, call, KVR_CALL_READ_STALE, &made);
    if (status == KVR_OK) {
        made->stale_ns_max = stale_ns_max;
        made->sent_ns = node->now_ns; /* what is known now may be older than the call */
    }
    return status;
}

kvr_status kvr_node_transfer_leader(kvr_node *node, const kvr_node_call *call, uint64_t to)
{
    kvr__call *made;
    if (node == NULL) {
        return KVR_EINVAL;
    }
    kvr_status status = kvr__calls_new(node, call, KVR_CALL_TRANSFER_LEADER, &made);
    if (status == KVR_OK) {
        made->target = to;
    }
    return status;
}

/* ------------------------------------------------------------------ leases */

kvr_status kvr_node_lease_grant(kvr_node *node, const kvr_node_call *call, int64_t id,
                                uint64_t ttl_ns)
{
    if (node == NULL || ttl_ns < kvr_lease_ttl_ns_min() || ttl_ns > kvr_lease_ttl_ns_max()) {
        return KVR_EINVAL;
    }
    kvr__writer payload;
    kvr_status status = new_write(node, call, KVR_CALL_LEASE_GRANT, KVR__COMMAND_LEASE_GRANT,
                                  KVR__COMMAND_GRANT_SIZE, &payload);
    if (status != KVR_OK) {
        return status;
    }
    kvr__write_u64(&payload, (uint64_t)id); /* 0: chosen with the sequence [node_calls.c, stamp] */
    kvr__write_u64(&payload, ttl_ns);
    newest(node)->done.lease = id;
    newest(node)->done.ttl_ns = ttl_ns;
    return KVR_OK;
}

kvr_status kvr_node_lease_revoke(kvr_node *node, const kvr_node_call *call, int64_t id)
{
    if (node == NULL || id == 0) {
        return KVR_EINVAL;
    }
    kvr__writer payload;
    kvr_status status = new_write(node, call, KVR_CALL_LEASE_REVOKE, KVR__COMMAND_LEASE_REVOKE,
                                  KVR__COMMAND_REVOKE_SIZE, &payload);
    if (status != KVR_OK) {
        return status;
    }
    kvr__write_u64(&payload, (uint64_t)id);
    kvr__write_u64(&payload, 0); /* in any term */
    kvr__write_u64(&payload, 0); /* whenever it was granted */
    newest(node)->done.lease = id;
    return KVR_OK;
}

static kvr_status ask(kvr_node *node, const kvr_node_call *call, uint8_t kind, int64_t id)
{
    if (node == NULL || id == 0) {
        return KVR_EINVAL;
    }
    kvr__call *made;
    kvr_status status = kvr__calls_new(node, call, kind, &made);
    if (status == KVR_OK) {
        made->done.lease = id;
    }
    return status;
}

kvr_status kvr_node_lease_keep_alive(kvr_node *node, const kvr_node_call *call, int64_t id)
{
    return ask(node, call, KVR_CALL_LEASE_KEEP_ALIVE, id);
}

kvr_status kvr_node_lease_time_to_live(kvr_node *node, const kvr_node_call *call, int64_t id)
{
    return ask(node, call, KVR_CALL_LEASE_TIME_TO_LIVE, id);
}
