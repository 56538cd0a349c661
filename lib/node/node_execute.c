/* SPDX-License-Identifier: Apache-2.0 */
/* node_execute.c: what each kind of command does. Begin decodes, decides and reserves; step lets
 * the store work; index lets the set of leases' keys follow what changed. Whatever begin returns
 * but KVR_OK leaves nothing behind that its caller's release does not undo. Start at
 * kvr__execute_begin. */
#include "base/buggify.h"
#include "node_internal.h"

kvr_status kvr__execute_too_new(kvr_node *node)
{
    return kvr__node_fail(node, KVR_FVERSION,
                          "an entry is of a kind that this version does not know; run the newer "
                          "version; after index",
                          node->applied.index);
}

void kvr__execute_release(kvr_node *node)
{
    kvr__apply *apply = &node->apply;
    kvr__op_release(&node->mem, &apply->tree);
    kvr__mem_free(&node->mem, KVR__MEM_HANDLE, apply->keys, apply->keys_size);
    apply->keys = NULL;
    apply->keys_size = 0;
    kvr__attach_drop_spares(&node->attach);
}

static uint64_t head(const kvr_node *node)
{
    kvr_mvcc_status store = {.size = sizeof store};
    kvr_mvcc_get_status(node->store, &store);
    return store.revision;
}

/* The store begins on the operation in the tree. */
static kvr_status begin_store(kvr_node *node, bool want_result)
{
    kvr__apply *apply = &node->apply;
    apply->changed_from = head(node);
    kvr_status status = kvr_mvcc_apply_begin(node->store, &apply->tree.root, want_result);
    if (status == KVR_ENOMEM) {
        return status;
    }
    KVR_ASSERT(status != KVR_ESTATE);
    if (status == KVR_OK) {
        apply->stage = KVR__APPLY_STEPPING;
    } else {
        apply->outcome = status;
    }
    return KVR_OK;
}

/* ------------------------------------------------------------------ writes */

/* Whether its lease exists is known here, whether it lies on the path taken only to the store,
 * which decides by the flag (etcd contract 3.7: puts of the chosen path are checked before anything
 * is done). */
static kvr_status prepare_put(kvr_node *node, kvr_op *op)
{
    if (op->kind != KVR_OP_PUT || op->lease == 0) {
        return KVR_OK;
    }
    if (!kvr_lease_exists(node->book, op->lease)) {
        op->flags |= KVR_OP_NO_LEASE;
        return KVR_OK;
    }
    bool is_sound = op->key.size > 0 && op->key.size <= KVR_KEY_BYTES_MAX;
    return is_sound ? kvr__attach_reserve(&node->attach, op->lease, &op->key) : KVR_OK;
}

static kvr_status begin_write(kvr_node *node)
{
    kvr__apply *apply = &node->apply;
    kvr_buf *buffer = apply->entry.buffer;
    kvr_slice whole;
    kvr_buf_bytes(buffer, &whole);
    size_t share_min = whole.size / KVR__SHARE_PART;
    kvr_status status =
        kvr__op_read(&node->mem, apply->command.payload, buffer, share_min, &apply->tree);
    if (status == KVR_ENOMEM) {
        return status;
    }
    if (status != KVR_OK) {
        apply->outcome = status;
        return KVR_OK;
    }
    status = prepare_put(node, &apply->tree.root);
    for (uint32_t i = 0; i < apply->tree.op_count && status == KVR_OK; i++) {
        status = prepare_put(node, &apply->tree.ops[i]);
    }
    if (status != KVR_OK) {
        return status;
    }
    return begin_store(node, kvr__calls_find(node, &apply->command.origin) != NULL);
}

static kvr_status begin_compact(kvr_node *node)
{
    kvr__apply *apply = &node->apply;
    if (apply->command.payload.size < KVR__COMMAND_COMPACT_SIZE) {
        apply->outcome = KVR_ECORRUPT;
        return KVR_OK;
    }
    kvr_status status = kvr_mvcc_compact(node->store, kvr__load_u64(apply->command.payload.data));
    if (status == KVR_ENOMEM) {
        return status;
    }
    KVR_ASSERT(status != KVR_ESTATE);
    apply->outcome = status;
    apply->compacting = apply->compacting || status == KVR_OK;
    return KVR_OK;
}

/* ------------------------------------------------------------------ leases */

/* An entry bears the clock of the last ready before it came, which on an idle leader is older than
 * the call: the leader's own count of the TTL begins when it is granted, so that none ends early
 * (FAULTS L2). */
static void count_from_now(kvr_node *node, int64_t id)
{
    uint64_t ttl_ns;
    uint8_t must_record;
    if (node->leasing.term != 0) {
        kvr_status status = kvr_lease_keep_alive(node->book, id, node->raft_status.lease_clock,
                                                 &ttl_ns, &must_record);
        KVR_ASSERT(status == KVR_OK || status == KVR_ETIMEDOUT);
    }
}

static kvr_status begin_grant(kvr_node *node)
{
    kvr__apply *apply = &node->apply;
    const uint8_t *payload = apply->command.payload.data;
    int64_t id = (int64_t)kvr__load_u64(payload);
    kvr_status status = id == 0 ? KVR_EINVAL
                                : kvr_lease_grant(node->book, id, kvr__load_u64(payload + 8),
                                                  apply->entry.lease_clock);
    if (status == KVR_ENOMEM) {
        return status;
    }
    if (status == KVR_OK) {
        count_from_now(node, id);
    }
    apply->outcome = status;
    return KVR_OK;
}

/* Proposed by a leader in its term, for reasons that hold only while it leads. */
static bool is_of_other_term(const kvr__apply *apply, uint64_t term)
{
    return term != 0 && term != apply->entry.term;
}

/* All its keys go in one revision, in key order (FAULTS 97). */
static kvr_status begin_revoke(kvr_node *node)
{
    kvr__apply *apply = &node->apply;
    const uint8_t *payload = apply->command.payload.data;
    int64_t id = (int64_t)kvr__load_u64(payload);
    kvr_lease_info info;
    if (kvr_lease_get(node->book, id, 0, &info) != KVR_OK) {
        apply->outcome = KVR_ENOLEASE;
        return KVR_OK;
    }
    uint64_t term = kvr__load_u64(payload + 8);
    /* A leader ends what is due as far as it had applied its log. What it had not may have revoked
     * the id and granted it again: that lease is another one. */
    bool is_of_other_life = term != 0 && kvr__load_u64(payload + 16) != info.granted_ns;
    if (is_of_other_term(apply, term) || is_of_other_life) {
        apply->outcome = KVR_ECANCELED;
        return KVR_OK;
    }
    uint64_t count = kvr__attach_key_count(&node->attach, id);
    if (count > 0) {
        apply->keys_size = (size_t)count * sizeof *apply->keys;
        apply->keys = kvr__mem_alloc(&node->mem, KVR__MEM_HANDLE, apply->keys_size);
        if (apply->keys == NULL) {
            apply->keys_size = 0;
            return KVR_ENOMEM;
        }
        uint32_t found = kvr__attach_keys(&node->attach, id, NULL, apply->keys, (uint32_t)count);
        KVR_ASSERT(found == count);
        apply->tree.root = (kvr_op){.size = sizeof(kvr_op),
                                    .kind = KVR_OP_DELETE_KEYS,
                                    .keys = apply->keys,
                                    .key_count = (uint32_t)count};
        kvr_status status = begin_store(node, false);
        if (status != KVR_OK) {
            return status;
        }
        KVR_ASSERT(apply->stage == KVR__APPLY_STEPPING);
    }
    return KVR_OK;
}

void kvr__execute_finish(kvr_node *node)
{
    const kvr__apply *apply = &node->apply;
    if (apply->command.kind == KVR__COMMAND_LEASE_REVOKE && apply->outcome == KVR_OK) {
        kvr_status status =
            kvr_lease_revoke(node->book, (int64_t)kvr__load_u64(apply->command.payload.data));
        KVR_ASSERT(status == KVR_OK);
    }
}

static kvr_status begin_record(kvr_node *node)
{
    kvr__apply *apply = &node->apply;
    const kvr_slice *payload = &apply->command.payload;
    uint64_t count = kvr__load_u32(payload->data + 8);
    if (payload->size != KVR__COMMAND_RECORD_HEAD + count * KVR__COMMAND_RECORD_SIZE) {
        apply->outcome = KVR_ECORRUPT;
        return KVR_OK;
    }
    if (is_of_other_term(apply, kvr__load_u64(payload->data))) {
        apply->outcome = KVR_ECANCELED;
        return KVR_OK;
    }
    const uint8_t *at = payload->data + KVR__COMMAND_RECORD_HEAD;
    for (uint64_t i = 0; i < count; i++, at += KVR__COMMAND_RECORD_SIZE) {
        kvr_status status = kvr_lease_record(node->book, (int64_t)kvr__load_u64(at),
                                             kvr__load_u64(at + 8), kvr__load_u64(at + 16));
        KVR_ASSERT(status == KVR_OK || status == KVR_ENOTFOUND); /* not found: revoked meanwhile */
    }
    return KVR_OK;
}

static kvr_status begin_lease(kvr_node *node)
{
    kvr__apply *apply = &node->apply;
    size_t least = apply->command.kind == KVR__COMMAND_LEASE_GRANT    ? KVR__COMMAND_GRANT_SIZE
                   : apply->command.kind == KVR__COMMAND_LEASE_REVOKE ? KVR__COMMAND_REVOKE_SIZE
                                                                      : KVR__COMMAND_RECORD_HEAD;
    if (apply->command.payload.size < least) {
        apply->outcome = KVR_ECORRUPT;
        return KVR_OK;
    }
    switch (apply->command.kind) {
    case KVR__COMMAND_LEASE_GRANT:
        return begin_grant(node);
    case KVR__COMMAND_LEASE_REVOKE:
        return begin_revoke(node);
    default:
        return begin_record(node);
    }
}

kvr_status kvr__execute_begin(kvr_node *node)
{
    switch (node->apply.command.kind) {
    case KVR__COMMAND_WRITE:
        return begin_write(node);
    case KVR__COMMAND_COMPACT:
        return begin_compact(node);
    case KVR__COMMAND_LEASE_GRANT:
    case KVR__COMMAND_LEASE_REVOKE:
    case KVR__COMMAND_LEASE_RECORD:
        return begin_lease(node);
    case KVR__COMMAND_LEVEL:
        return kvr__level_apply(node);
#ifdef KVR_CHECK
    case KVR__COMMAND_TRIAL:
        return node->config.level_max < kvr__command_level(KVR__COMMAND_TRIAL)
                   ? kvr__execute_too_new(node)
                   : KVR_OK;
#endif
    default:
        return kvr__execute_too_new(node);
    }
}

/* ------------------------------------------------------------------ slices */

kvr_status kvr__execute_step(kvr_node *node, uint32_t *budget)
{
    kvr__apply *apply = &node->apply;
    uint32_t slice = KVR_BUGGIFY(&node->mem, NODE_APPLY_SLICE) ? 1 : *budget;
    kvr_status status = kvr_mvcc_apply_step(node->store, slice);
    if (status == KVR_AGAIN) {
        *budget = 0;
        return KVR_OK;
    }
    if (status != KVR_OK) {
        return status; /* no memory: the same slice again later */
    }
    apply->outcome = kvr_mvcc_apply_finish(node->store, &apply->result);
    apply->stage = KVR__APPLY_FINISH;
    bool may_concern_leases = node->attach.count > 0 || node->attach.spares != NULL;
    if (apply->outcome == KVR_OK && may_concern_leases && head(node) != apply->changed_from) {
        status = kvr_mvcc_changes_init(&apply->changes, node->store, head(node));
        KVR_ASSERT(status == KVR_OK); /* the newest revision is never compacted here */
        apply->stage = KVR__APPLY_INDEXING;
    }
    return KVR_OK;
}

static void follow_change(kvr_node *node, const kvr_event *event)
{
    int64_t before = event->has_prev != 0 ? event->prev.lease : 0;
    int64_t after = event->type == KVR_EVENT_PUT ? event->kv.lease : 0;
    if (before == after) {
        return;
    }
    if (before != 0) {
        kvr__attach_remove(&node->attach, before, &event->kv.key);
    }
    if (after != 0) {
        kvr__attach_add(&node->attach, after, &event->kv.key);
    }
}

kvr_status kvr__execute_index(kvr_node *node, uint32_t *budget)
{
    kvr__apply *apply = &node->apply;
    for (; *budget > 0; *budget -= 1) {
        kvr_event event;
        kvr_status status = kvr_mvcc_changes_next(&apply->changes, node->store, &event);
        if (status == KVR_END) {
            apply->stage = KVR__APPLY_FINISH;
            return KVR_OK;
        }
        KVR_ASSERT(status == KVR_OK);
        follow_change(node, &event);
    }
    return KVR_OK;
}
