/* SPDX-License-Identifier: Apache-2.0 */
/* check_store.c: see check_store.h. */
#include "check_store.h"

#include <stdlib.h>
#include <string.h>

#define U(x) ((unsigned long long)(x))

void check_store_init(check_store *check, check_raft *raft, check_report *report)
{
    memset(check, 0, sizeof *check);
    check->raft = raft;
    check->report = report;
    check->model = model_mvcc_new();
    check_grow((void **)&check->points, &check->point_capacity, 1, sizeof *check->points);
    check->points[0].revision = check->model->revision;
}

void check_store_release(check_store *check)
{
    model_mvcc_free(check->model);
    free(check->points);
    free(check->revision_index);
    free(check->leases);
}

/* ------------------------------------------------------------------ digests */

uint64_t store_digest_write(const kvr_op *op)
{
    return check_mix(WIRE_COMMAND_WRITE, wire_op_digest(op));
}

uint64_t store_digest_number(uint32_t kind, uint64_t number)
{
    return check_mix(kind, number);
}

static uint64_t digest_kv(uint64_t hash, const kvr_kv *kv)
{
    hash = check_hash(hash, kv->key.data, kv->key.size);
    hash = check_hash(hash, kv->value.data, kv->value.size);
    hash = check_mix(hash, kv->create_revision);
    hash = check_mix(hash, kv->mod_revision);
    hash = check_mix(hash, kv->version);
    return check_mix(hash, (uint64_t)kv->lease);
}

static uint64_t digest_head(uint64_t hash, uint32_t kind, uint32_t succeeded, uint32_t more,
                            uint64_t count)
{
    hash = check_mix(hash, (uint64_t)kind << 16 | (uint64_t)succeeded << 8 | more);
    return check_mix(hash, count);
}

static uint64_t digest_answer(uint64_t hash, const kvr_op_result *result)
{
    hash = digest_head(hash, result->kind, result->succeeded, result->more, result->count);
    for (uint32_t i = 0; i < result->kv_count; i++) {
        hash = digest_kv(hash, &result->kvs[i]);
    }
    for (uint32_t i = 0; i < result->result_count; i++) {
        hash = digest_answer(hash, &result->results[i]);
    }
    return hash;
}

static uint64_t digest_model(uint64_t hash, const model_result *result)
{
    hash = digest_head(hash, result->kind, result->succeeded, result->more, result->count);
    for (uint32_t i = 0; i < result->kv_count; i++) {
        hash = digest_kv(hash, &result->kvs[i]);
    }
    for (uint32_t i = 0; i < result->result_count; i++) {
        hash = digest_model(hash, &result->results[i]);
    }
    return hash;
}

uint64_t store_digest_answer(const kvr_op_result *result)
{
    return digest_answer(0, result);
}

/* ------------------------------------------------------------------ at most once */

static bool is_seen(const store_origin *origin, const wire_command *command)
{
    if (command->incarnation > origin->incarnation) {
        return false;
    }
    return command->incarnation < origin->incarnation || command->sequence <= origin->low ||
           origin->seen[command->sequence % STORE_WINDOW] == command->sequence;
}

static void mark_seen(store_origin *origin, const wire_command *command)
{
    if (command->incarnation > origin->incarnation) {
        memset(origin, 0, sizeof *origin);
        origin->incarnation = command->incarnation;
    }
    origin->seen[command->sequence % STORE_WINDOW] = command->sequence;
    if (command->sequence > STORE_WINDOW && command->sequence - STORE_WINDOW > origin->low) {
        origin->low = command->sequence - STORE_WINDOW;
    }
}

/* ------------------------------------------------------------------ leases */

static store_lease *find_lease(const check_store *check, int64_t id)
{
    for (uint32_t i = check->lease_count; i > 0; i--) {
        if (check->leases[i - 1].id == id) {
            return &check->leases[i - 1];
        }
    }
    return NULL;
}

const store_lease *check_store_lease(const check_store *check, int64_t id)
{
    return find_lease(check, id);
}

static bool is_live(const check_store *check, int64_t id)
{
    const store_lease *lease = find_lease(check, id);
    return lease != NULL && lease->revoked_index == 0;
}

static kvr_status grant(check_store *check, const wire_command *command, uint64_t index)
{
    if (is_live(check, command->lease)) {
        return KVR_EEXIST;
    }
    if (command->lease == 0 || command->ttl_ns == 0) {
        return KVR_EINVAL;
    }
    check_grow((void **)&check->leases, &check->lease_capacity, check->lease_count + 1,
               sizeof *check->leases);
    check->leases[check->lease_count++] =
        (store_lease){.id = command->lease, .ttl_ns = command->ttl_ns, .granted_index = index};
    check->live_leases++;
    return KVR_OK;
}

/* The keys that name `lease`, ascending; freed by free(). */
static uint32_t keys_of(const check_store *check, int64_t lease, uint64_t revision,
                        kvr_slice **out_keys)
{
    static const uint8_t zero = 0;
    const kvr_slice everything = {&zero, 1};
    kvr_kv *kvs;
    uint32_t count = model_mvcc_range(check->model, &everything, &everything, revision, &kvs);
    kvr_slice *keys = check_alloc(count * sizeof *keys);
    uint32_t found = 0;
    for (uint32_t i = 0; i < count; i++) {
        if (kvs[i].lease == lease) {
            keys[found++] = kvs[i].key;
        }
    }
    free(kvs);
    *out_keys = keys;
    return found;
}

static kvr_status revoke(check_store *check, const wire_command *command, uint64_t index)
{
    store_lease *lease = find_lease(check, command->lease);
    if (lease == NULL || lease->revoked_index != 0) {
        return KVR_ENOLEASE;
    }
    if (command->term != 0) {
        const ghost_entry *entry = check_raft_committed(check->raft, index);
        const ghost_entry *grant = check_raft_committed(check->raft, lease->granted_index);
        if (command->term != entry->term || command->granted != grant->lease_clock) {
            return KVR_ECANCELED;
        }
    }
    kvr_slice *keys;
    uint32_t count = keys_of(check, lease->id, check->model->revision, &keys);
    if (count > 0) {
        kvr_op op = {
            .size = sizeof op, .kind = KVR_OP_DELETE_KEYS, .keys = keys, .key_count = count};
        model_result result;
        if (model_mvcc_apply(check->model, &op, &result) == KVR_OK) {
            model_result_release(&result);
        }
    }
    free(keys);
    lease->revoked_index = index;
    lease->by_leader = command->term != 0;
    check->live_leases--;
    return KVR_OK;
}

/* ------------------------------------------------------------------ execution */

/* Puts whose lease does not exist are marked, as the contract of mvcc.h wants it from whoever knows
 * leases. */
static void mark_leases(const check_store *check, kvr_op *op)
{
    if (op->kind == KVR_OP_PUT && op->lease != 0 && !is_live(check, op->lease)) {
        op->flags |= KVR_OP_NO_LEASE;
    }
    if (op->txn == NULL) {
        return;
    }
    for (uint32_t i = 0; i < op->txn->then_count; i++) {
        mark_leases(check, (kvr_op *)(uintptr_t)&op->txn->then_ops[i]);
    }
    for (uint32_t i = 0; i < op->txn->else_count; i++) {
        mark_leases(check, (kvr_op *)(uintptr_t)&op->txn->else_ops[i]);
    }
}

static void execute_write(check_store *check, wire_command *command, store_point *point)
{
    model_result result;
    point->asked = store_digest_write(&command->op);
    mark_leases(check, &command->op);
    point->status = model_mvcc_apply(check->model, &command->op, &result);
    if (point->status == KVR_OK) {
        point->answer = digest_model(0, &result);
        model_result_release(&result);
    }
}

static void execute(check_store *check, wire_command *command, uint64_t index, store_point *point)
{
    point->kind = command->kind;
    switch (command->kind) {
    case WIRE_COMMAND_WRITE:
        execute_write(check, command, point);
        break;
    case WIRE_COMMAND_COMPACT:
        point->asked = store_digest_number(command->kind, command->revision);
        point->status = model_mvcc_compact(check->model, command->revision);
        break;
    case WIRE_COMMAND_GRANT:
        point->asked = store_digest_number(command->kind, (uint64_t)command->lease);
        point->status = grant(check, command, index);
        break;
    case WIRE_COMMAND_REVOKE:
        point->asked = store_digest_number(command->kind, (uint64_t)command->lease);
        point->status = revoke(check, command, index);
        break;
    default:
        break; /* RECORD, LEVEL: nothing that the store or a client sees */
    }
}

static void apply(check_store *check, uint64_t index)
{
    const ghost_entry *entry = check_raft_committed(check->raft, index);
    check_grow((void **)&check->points, &check->point_capacity, (uint32_t)index + 1,
               sizeof *check->points);
    store_point *point = &check->points[index];
    kvr_slice bytes = {entry->command, entry->command_size};
    wire_command command;
    if (entry->kind == KVR_ENTRY_COMMAND) {
        if (!wire_read_command(&bytes, &command) || command.member == 0 ||
            command.member > CHECK_MEMBERS_MAX) {
            check_fail(check->report, "K1", "the command of entry %llu does not decode", U(index));
            return;
        }
        store_origin *origin = &check->origins[command.member - 1];
        if (command.sequence == 0 || !is_seen(origin, &command)) {
            execute(check, &command, index, point);
        }
        if (command.sequence != 0 && !is_seen(origin, &command)) {
            mark_seen(origin, &command);
        }
        wire_command_release(&command);
    }
    uint64_t before = check->points[index - 1].revision;
    point->revision = check->model->revision;
    if (point->revision != before && point->revision != before + 1) {
        check_fail(check->report, "K2", "entry %llu moves the model from revision %llu to %llu",
                   U(index), U(before), U(point->revision));
    }
    point->compacted = check->model->compacted;
    point->store_chain = check->model->hash_chain;
    point->lease_count = check->live_leases;
    check_grow((void **)&check->revision_index, &check->revision_capacity,
               (uint32_t)point->revision + 1, sizeof *check->revision_index);
    if (check->revision_index[point->revision] == 0) {
        check->revision_index[point->revision] = index;
    }
}

void check_store_advance(check_store *check)
{
    while (check->applied < check->raft->committed_index && !check->report->failed) {
        check->applied++;
        apply(check, check->applied);
    }
}

/* ------------------------------------------------------------------ members */

/* K2, in all lives of the member: at no lower an index, no lower a revision. */
static void check_told(check_store *check, uint32_t member, const kvr_node_status *status)
{
    uint64_t index = check->told[member].index;
    if (status->hash_index < index) {
        return; /* it has started anew, and applies again what it had applied */
    }
    if (status->store.revision < check->told[member].revision ||
        status->store.compacted < check->told[member].compacted) {
        check_fail(check->report, "K2",
                   "member %u goes from revision %llu, compacted %llu, at index %llu to %llu, %llu "
                   "at %llu",
                   member + 1, U(check->told[member].revision), U(check->told[member].compacted),
                   U(index), U(status->store.revision), U(status->store.compacted),
                   U(status->hash_index));
    }
    check->told[member].index = status->hash_index;
    check->told[member].revision = status->store.revision;
    check->told[member].compacted = status->store.compacted;
}

void check_store_status(check_store *check, uint32_t member, const kvr_node_status *status)
{
    uint64_t index = status->hash_index;
    check_store_advance(check);
    if (status->loading != 0 || check->report->failed) {
        return;
    }
    check_told(check, member, status);
    if (index > check->applied) {
        check_fail(check->report, "K1", "member %u has applied %llu; committed is %llu", member + 1,
                   U(index), U(check->applied));
        return;
    }
    store_point *point = &check->points[index];
    if (status->store.revision != point->revision || status->store.compacted != point->compacted ||
        status->store.hash_chain != point->store_chain ||
        status->lease.leases != point->lease_count) {
        check_fail(
            check->report, "K1",
            "member %u at index %llu has revision %llu, compacted %llu, %llu leases; the model "
            "%llu, %llu, %u%s",
            member + 1, U(index), U(status->store.revision), U(status->store.compacted),
            U(status->lease.leases), U(point->revision), U(point->compacted), point->lease_count,
            status->store.hash_chain != point->store_chain ? "; chains differ" : "");
    }
    if (!point->is_told) {
        point->is_told = true;
        point->node_chain = status->hash_chain;
        point->node_live = status->hash_live;
    } else if (point->node_chain != status->hash_chain || point->node_live != status->hash_live) {
        check_fail(check->report, "K6", "member %u tells another hash at index %llu than others",
                   member + 1, U(index));
    }
}

/* ------------------------------------------------------------------ reads */

static bool is_same_kv(const kvr_kv *kv, const model_version *version)
{
    return kv->create_revision == version->create && kv->mod_revision == version->main &&
           kv->version == version->version && kv->lease == version->lease &&
           kv->value.size == version->value.size &&
           (kv->value.size == 0 ||
            memcmp(kv->value.data, version->value.data, kv->value.size) == 0);
}

/* K3: what is true of every version, whatever the model says. */
static void check_kv(check_store *check, uint32_t member, uint64_t revision, const kvr_kv *kv)
{
    bool is_ordered = kv->create_revision <= kv->mod_revision && kv->mod_revision <= revision;
    bool is_counted = kv->version >= 1 && kv->create_revision >= 2 &&
                      kv->version - 1 <= kv->mod_revision - kv->create_revision &&
                      (kv->version == 1) == (kv->create_revision == kv->mod_revision);
    if (!is_ordered || !is_counted || (kv->lease != 0 && find_lease(check, kv->lease) == NULL)) {
        check_fail(check->report, "K3",
                   "member %u at revision %llu shows key '%.*s' created at %llu, changed at %llu, "
                   "version %llu, lease %lld",
                   member + 1, U(revision), (int)kv->key.size, (const char *)kv->key.data,
                   U(kv->create_revision), U(kv->mod_revision), U(kv->version),
                   (long long)kv->lease);
    }
}

void check_store_read(check_store *check, uint32_t member, uint64_t revision, const kvr_slice *key,
                      const kvr_kv *kv)
{
    check_store_advance(check);
    if (kv != NULL) {
        check_kv(check, member, revision, kv);
    }
    if (revision > check->model->revision) {
        check_fail(check->report, "K4", "member %u reads at revision %llu; the head is %llu",
                   member + 1, U(revision), U(check->model->revision));
        return;
    }
    const model_version *version = model_mvcc_at(check->model, key, revision);
    bool same = kv == NULL ? version == NULL : version != NULL && is_same_kv(kv, version);
    if (!same) {
        check_fail(
            check->report, "K4",
            "member %u at revision %llu shows key '%.*s' with mod %llu, version %llu; it has "
            "mod %llu, version %llu",
            member + 1, U(revision), (int)key->size, (const char *)key->data,
            U(kv == NULL ? 0 : kv->mod_revision), U(kv == NULL ? 0 : kv->version),
            U(version == NULL ? 0 : version->main), U(version == NULL ? 0 : version->version));
    }
}

void check_store_view(check_store *check, uint32_t member, const kvr_mvcc_view *view,
                      uint64_t revision)
{
    static const uint8_t zero = 0;
    const kvr_range range = {
        .size = sizeof range, .key = {&zero, 1}, .range_end = {&zero, 1}, .revision = revision};
    check_store_advance(check);
    kvr_mvcc_cursor cursor;
    kvr_status status = kvr_mvcc_cursor_init(&cursor, view, &range);
    uint64_t head = kvr_mvcc_view_revision(view);
    kvr_status want = revision > head                            ? KVR_EFUTURE
                      : revision < kvr_mvcc_view_compacted(view) ? KVR_ECOMPACTED
                                                                 : KVR_OK;
    if (status != want) {
        check_fail(check->report, "K4", "member %u answers a range at %llu of %llu with %s",
                   member + 1, U(revision), U(head), kvr_status_name(status));
        return;
    }
    if (status != KVR_OK) {
        return;
    }
    kvr_kv *kvs;
    uint32_t count = model_mvcc_range(check->model, &range.key, &range.range_end, revision, &kvs);
    uint32_t seen = 0;
    kvr_kv kv;
    while (kvr_mvcc_cursor_next(&cursor, &kv) == KVR_OK) {
        check_kv(check, member, revision, &kv);
        if (seen >= count || !model_kv_equal(&kv, &kvs[seen])) {
            check_fail(check->report, "K4",
                       "member %u at revision %llu shows another key number %u", member + 1,
                       U(revision), seen);
            break;
        }
        seen++;
    }
    free(kvs);
    uint64_t counted = 0;
    status = kvr_mvcc_count(view, &range, &counted);
    if (seen != count || status != KVR_OK || counted != count) {
        check_fail(check->report, "K4",
                   "member %u at revision %llu shows %u keys, counts %llu of %u", member + 1,
                   U(revision), seen, U(counted), count);
    }
}

void check_store_lease_keys(check_store *check, uint32_t member, int64_t lease, uint64_t revision,
                            const kvr_slice *keys, uint32_t count)
{
    check_store_advance(check);
    kvr_slice *expected;
    uint32_t want = keys_of(check, lease, revision, &expected);
    bool same = want == count;
    for (uint32_t i = 0; i < count && same; i++) {
        same = keys[i].size == expected[i].size &&
               memcmp(keys[i].data, expected[i].data, keys[i].size) == 0;
    }
    free(expected);
    if (!same) {
        check_fail(check->report, "L1", "member %u attaches %u keys to lease %lld; it has %u",
                   member + 1, count, (long long)lease, want);
    }
}
