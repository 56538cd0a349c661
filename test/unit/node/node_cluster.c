/* SPDX-License-Identifier: Apache-2.0 */
/* node_cluster.c: the hosts of node_cluster.h. Start at cluster_settle. */
#include "node_cluster.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

kvr_slice slice_of(const char *text)
{
    return (kvr_slice){(const uint8_t *)text, strlen(text)};
}

static void *must_alloc(size_t size)
{
    void *p = calloc(1, size == 0 ? 1 : size);
    cr_assert_not_null(p);
    return p;
}

/* ------------------------------------------------------------------ disk */

static uint32_t load_u32(const uint8_t *p)
{
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static uint64_t load_u64(const uint8_t *p)
{
    return load_u32(p) | (uint64_t)load_u32(p + 4) << 32;
}

static void disk_cut(disk *d, uint64_t from)
{
    while (d->last >= from && d->last >= d->first) {
        free(d->entries[d->last - d->first].bytes);
        d->last--;
    }
}

static void disk_push(disk *d, const uint8_t *bytes, size_t size)
{
    size_t count = (size_t)(d->last + 1 - d->first);
    if (count == d->capacity) {
        d->capacity = d->capacity == 0 ? 64 : d->capacity * 2;
        d->entries = realloc(d->entries, d->capacity * sizeof *d->entries);
        cr_assert_not_null(d->entries);
    }
    uint8_t *copy = must_alloc(size);
    memcpy(copy, bytes, size);
    d->entries[count] = (disk_entry){copy, size};
    d->last++;
}

static void disk_append(disk *d, const kvr_store_request *request)
{
    if (d->last + 1 < d->first || request->first_index > d->last + 1) {
        cr_assert_eq(d->last + 1, request->first_index, "a hole in the log");
    }
    disk_cut(d, request->first_index);
    uint64_t index = request->first_index;
    for (uint32_t i = 0; i < request->piece_count; i++) {
        const uint8_t *at = request->pieces[i].data;
        const uint8_t *end = at + request->pieces[i].size;
        while (at < end) {
            size_t size = (size_t)at[0] + ((size_t)at[1] << 8) + load_u32(at + 32);
            cr_assert_eq(load_u64(at + 8), index);
            disk_push(d, at, size);
            at += size;
            index++;
        }
    }
    cr_assert_eq(index, request->last_index + 1);
}

static void disk_discard(disk *d, const kvr_store_request *request)
{
    uint64_t first = request->first_index;
    if ((request->flags & KVR_STORE_ALL) != 0) {
        disk_cut(d, d->first);
        d->first = first;
        d->last = first - 1;
        return;
    }
    size_t gone = 0;
    while (d->first + gone < first && d->first + gone <= d->last) {
        free(d->entries[gone].bytes);
        gone++;
    }
    size_t left = (size_t)(d->last + 1 - d->first) - gone;
    if (gone > 0) {
        memmove(d->entries, d->entries + gone, left * sizeof *d->entries);
    }
    d->first += gone;
}

static void snapshot_free(disk_snapshot *s)
{
    free(s->bytes);
    free(s->configuration);
    *s = (disk_snapshot){0};
}

static void disk_snapshot_write(disk *d, const kvr_store_request *request)
{
    disk_snapshot *into = &d->incoming[request->source];
    if (request->offset == 0) {
        snapshot_free(into);
    }
    cr_assert_eq(request->offset, into->size);
    into->bytes = realloc(into->bytes, (size_t)into->size + request->chunk.size + 1);
    cr_assert_not_null(into->bytes);
    if (request->chunk.size > 0) {
        memcpy(into->bytes + into->size, request->chunk.data, request->chunk.size);
    }
    into->size += request->chunk.size;
    if ((request->flags & KVR_STORE_LAST) == 0) {
        return;
    }
    into->meta = request->snapshot;
    cr_assert_eq(into->meta.bytes, into->size);
    into->configuration = must_alloc(into->meta.configuration.size);
    if (into->meta.configuration.size > 0) {
        memcpy(into->configuration, into->meta.configuration.data, into->meta.configuration.size);
    }
    into->meta.configuration.data = into->configuration;
    if (into->meta.index >= d->snapshot.meta.index) {
        snapshot_free(&d->snapshot);
        d->snapshot = *into;
    } else {
        snapshot_free(into);
    }
    *into = (disk_snapshot){0};
}

static void disk_snapshot_read(disk *d, const kvr_store_request *request, kvr_store_result *result)
{
    const disk_snapshot *s = &d->snapshot;
    if (s->meta.index == 0 ||
        (request->snapshot.index != 0 && request->snapshot.index != s->meta.index)) {
        result->status = KVR_ENOTFOUND;
        return;
    }
    uint64_t offset = request->offset < s->size ? request->offset : s->size;
    uint64_t left = s->size - offset;
    result->chunk.data = s->bytes + offset;
    result->chunk.size = (size_t)(left < request->byte_max ? left : request->byte_max);
    result->snapshot = s->meta;
}

static void disk_load(disk *d, kvr_store_result *result)
{
    result->term = d->term;
    result->voted_for = d->vote;
    result->incarnation = d->incarnation;
    result->snapshot = d->snapshot.meta;
    uint64_t base = d->snapshot.meta.index;
    /* it does not continue the snapshot */
    if (base > 0 && (d->first > base + 1 || d->last < base)) {
        disk_cut(d, d->first);
        d->first = base + 1;
        d->last = base;
    }
    result->first_index = d->first;
    result->last_index = d->last;
}

static kvr_slice read_pieces[4096];

static void disk_read(disk *d, const kvr_store_request *request, kvr_store_result *result)
{
    uint64_t bytes = 0;
    uint32_t count = 0;
    for (uint64_t index = request->first_index; index <= request->last_index && count < 4096;
         index++) {
        cr_assert(index >= d->first && index <= d->last);
        const disk_entry *entry = &d->entries[index - d->first];
        if (count > 0 && bytes + entry->size > request->byte_max) {
            break;
        }
        bytes += entry->size;
        read_pieces[count++] = (kvr_slice){entry->bytes, entry->size};
    }
    result->first_index = request->first_index;
    result->last_index = request->first_index + count - 1;
    result->pieces = read_pieces;
    result->piece_count = count;
    result->entry_count = count;
}

static bool is_write(uint8_t kind)
{
    return kind == KVR_STORE_APPEND || kind == KVR_STORE_VOTE || kind == KVR_STORE_SNAPSHOT_WRITE;
}

static void disk_perform(disk *d, const kvr_store_request *request, kvr_store_result *result)
{
    *result = (kvr_store_result){.size = sizeof *result,
                                 .group_id = request->group_id,
                                 .token = request->token,
                                 .free_bytes = UINT64_MAX};
    if (is_write(request->kind) && (d->full || d->broken)) {
        result->status = d->full ? KVR_ENOSPACE : KVR_EIO;
        result->free_bytes = d->full ? 0 : UINT64_MAX;
        return;
    }
    switch (request->kind) {
    case KVR_STORE_LOAD:
        disk_load(d, result);
        break;
    case KVR_STORE_APPEND:
        disk_append(d, request);
        break;
    case KVR_STORE_VOTE:
        d->term = request->term;
        d->vote = request->voted_for;
        d->incarnation = request->incarnation;
        break;
    case KVR_STORE_READ:
        disk_read(d, request, result);
        break;
    case KVR_STORE_SNAPSHOT_WRITE:
        disk_snapshot_write(d, request);
        break;
    case KVR_STORE_SNAPSHOT_READ:
        disk_snapshot_read(d, request, result);
        break;
    default:
        cr_assert_eq(request->kind, KVR_STORE_DISCARD);
        disk_discard(d, request);
    }
}

static kvr_status submit(void *ctx, const kvr_store_request *request, kvr_store_result *out_result)
{
    member *m = ctx;
    m->disk.requests++;
    if (m->disk.busy) {
        return KVR_EBUSY;
    }
    if (m->disk.holds) {
        struct held *held = must_alloc(sizeof *held);
        struct held **end = &m->disk.held;
        while (*end != NULL) {
            end = &(*end)->next;
        }
        held->request = *request;
        *end = held;
        return KVR_OK;
    }
    disk_perform(&m->disk, request, out_result);
    return KVR_DONE;
}

void disk_release(cluster *c, uint32_t i)
{
    member *m = &c->members[i];
    m->disk.holds = false;
    while (m->disk.held != NULL) {
        struct held *held = m->disk.held;
        m->disk.held = held->next;
        kvr_store_result result;
        disk_perform(&m->disk, &held->request, &result);
        kvr_status status = kvr_node_storage_done(m->node, &result);
        cr_assert(status == KVR_OK || kvr_status_is_fatal(status), "%s", kvr_status_name(status));
        free(held);
    }
}

static void drop_held(disk *d)
{
    while (d->held != NULL) {
        struct held *held = d->held;
        d->held = held->next;
        free(held);
    }
}

/* ------------------------------------------------------------------ network and clock */

static void send(void *ctx, const kvr_message *sent)
{
    member *m = ctx;
    cluster *c = m->cluster;
    uint32_t to = (uint32_t)sent->to - 1;
    kvr_message_info info;
    cr_assert_eq(kvr_message_peek(&sent->bytes, UINT32_MAX, &info), KVR_OK);
    bool type_is_lost =
        c->drop_type != 0 && info.type == c->drop_type && (c->drop_to == 0 || c->drop_to == to + 1);
    if (m->cut || c->members[to].cut || type_is_lost) {
        return;
    }
    message *copy = must_alloc(sizeof *copy + sent->bytes.size);
    copy->from = m->number;
    copy->to = to;
    copy->size = sent->bytes.size;
    memcpy(copy->bytes, sent->bytes.data, sent->bytes.size);
    if (c->last == NULL) {
        c->first = copy;
    } else {
        c->last->next = copy;
    }
    c->last = copy;
}

static uint64_t now(void *ctx)
{
    const member *m = ctx;
    return m->cluster->now;
}

void cluster_drop_messages(cluster *c)
{
    while (c->first != NULL) {
        message *next = c->first->next;
        free(c->first);
        c->first = next;
    }
    c->last = NULL;
}

/* ------------------------------------------------------------------ sink */

static const kvr_op_result *interesting(const kvr_op_result *root)
{
    return root->kind == KVR_OP_TXN && root->result_count > 0 ? &root->results[0] : root;
}

static void completed(void *ctx, const kvr_completion *completion)
{
    member *m = ctx;
    cluster *c = m->cluster;
    call_end *end = &c->calls[(uintptr_t)completion->user - 1];
    cr_assert_not(end->ended, "a call ended twice");
    end->ended = true;
    end->outcome = completion->outcome;
    end->status = completion->status;
    end->revision = completion->revision;
    end->index = completion->index;
    end->lease = completion->lease;
    end->ttl_ns = completion->ttl_ns;
    end->remaining_ns = completion->remaining_ns;
    end->stale_ns = completion->stale_ns;
    end->member = completion->member;
    if (completion->result != NULL) {
        const kvr_op_result *result = interesting(completion->result);
        end->succeeded = completion->result->succeeded;
        end->count = result->count;
        if (result->kv_count > 0 && result->kvs[0].value.size < sizeof end->value) {
            memcpy(end->value, result->kvs[0].value.data, result->kvs[0].value.size);
        }
    }
    if (end->then != NULL) {
        end->then(c, m->number);
    }
}

static void watched(void *ctx, const kvr_watch_batch *batch)
{
    member *m = ctx;
    size_t at = strlen(m->watched);
    if (batch->status == KVR_ECOMPACTED) {
        (void)snprintf(m->watched + at, sizeof m->watched - at, "COMPACTED ");
        return;
    }
    for (uint32_t i = 0; i < batch->event_count; i++) {
        const kvr_event *event = &batch->events[i];
        at = strlen(m->watched);
        bool put = event->type == KVR_EVENT_PUT;
        (void)snprintf(
            m->watched + at, sizeof m->watched - at, "%s %.*s%s%.*s@%llu ", put ? "PUT" : "DEL",
            (int)event->kv.key.size, (const char *)event->kv.key.data, put ? "=" : "",
            put ? (int)event->kv.value.size : 0, put ? (const char *)event->kv.value.data : "",
            (unsigned long long)event->kv.mod_revision);
    }
}

static const kvr_storage storage_table = {.size = sizeof storage_table, .submit = submit};
static const kvr_transport transport_table = {.size = sizeof transport_table, .send = send};
static const kvr_clock clock_table = {.size = sizeof clock_table, .now = now};
static const kvr_node_sink sink_table = {
    .size = sizeof sink_table, .completed = completed, .watched = watched};

/* ------------------------------------------------------------------ life */

void cluster_init(cluster *c, uint32_t count)
{
    memset(c, 0, sizeof *c);
    test_alloc_init(&c->alloc);
    c->count = count;
    c->founders = count;
    c->calls = must_alloc(CALLS_MAX * sizeof *c->calls);
    for (uint32_t i = 0; i < count; i++) {
        c->members[i].cluster = c;
        c->members[i].number = i;
    }
    c->now = 1 * SECOND;
    cr_assert_eq(kvr_node_config_init(&c->config, sizeof c->config), KVR_OK);
    c->config.cluster_id = 77;
    c->config.group_id = 3;
    c->config.seed = 42;
    c->config.allocator = &test_alloc_table;
    c->config.allocator_ctx = &c->alloc;
    c->config.storage = &storage_table;
    c->config.transport = &transport_table;
    c->config.clock = &clock_table;
    c->config.sink = &sink_table;
}

kvr_status cluster_try_boot(cluster *c, uint32_t i)
{
    kvr_member members[MEMBERS_MAX];
    member *m = &c->members[i];
    memset(members, 0, sizeof members);
    for (uint32_t j = 0; j < c->founders; j++) {
        members[j].id = j + 1;
        members[j].role = (c->witnesses >> j & 1) != 0 ? KVR_MEMBER_WITNESS : KVR_MEMBER_VOTER;
    }
    cr_assert_null(m->node);
    kvr_node_config config = c->config;
    config.member_id = i + 1;
    config.members = members;
    config.member_count = c->count;
    m->counters = (kvr_raft_counters){.size = sizeof m->counters};
    config.counters = &m->counters;
    config.member_count = i < c->founders ? c->founders : 0;
    config.storage_ctx = config.transport_ctx = config.clock_ctx = config.sink_ctx = m;
    return kvr_node_new(&config, &m->node);
}

void cluster_boot(cluster *c, uint32_t i)
{
    kvr_status status = cluster_try_boot(c, i);
    cr_assert_eq(status, KVR_OK, "%s", kvr_status_name(status));
    if (c->members[i].disk.first == 0) {
        c->members[i].disk.first = 1;
    }
}

void cluster_start(cluster *c, uint32_t count)
{
    cluster_init(c, count);
    for (uint32_t i = 0; i < count; i++) {
        cluster_boot(c, i);
    }
    (void)cluster_elect(c);
}

void cluster_crash(cluster *c, uint32_t i)
{
    cr_assert_eq(kvr_node_free(c->members[i].node), KVR_OK);
    c->members[i].node = NULL;
    drop_held(&c->members[i].disk);
}

void cluster_wipe(cluster *c, uint32_t i)
{
    disk *d = &c->members[i].disk;
    cr_assert_null(c->members[i].node);
    if (d->capacity > 0) {
        disk_cut(d, d->first);
    }
    free(d->entries);
    snapshot_free(&d->snapshot);
    snapshot_free(&d->incoming[0]);
    snapshot_free(&d->incoming[1]);
    *d = (disk){.first = 1};
}

void cluster_stop(cluster *c)
{
    for (uint32_t i = 0; i < c->count; i++) {
        if (c->members[i].node != NULL) {
            cluster_crash(c, i);
        }
        cluster_wipe(c, i);
    }
    cluster_drop_messages(c);
    free(c->calls);
    TEST_ALLOC_ASSERT_EMPTY(&c->alloc);
}

/* ------------------------------------------------------------------ time */

static bool deliver_one(cluster *c)
{
    message *m = c->first;
    if (m == NULL) {
        return false;
    }
    c->first = m->next;
    if (c->first == NULL) {
        c->last = NULL;
    }
    member *to = &c->members[m->to];
    if (to->node != NULL && !to->cut && !c->members[m->from].cut) {
        kvr_slice bytes = {m->bytes, m->size};
        kvr_status status = kvr_node_receive(to->node, &bytes);
        bool fine = status == KVR_OK || status == KVR_ENOMEM || status == KVR_EBUSY ||
                    status == KVR_EMISMATCH || /* of another cluster */
                    status == KVR_ESTOPPED || kvr_status_is_fatal(status);
        cr_assert(fine, "received %s", kvr_status_name(status));
        c->delivered++;
    }
    free(m);
    return true;
}

static bool run_all(cluster *c)
{
    bool busy = false;
    for (uint32_t i = 0; i < c->count; i++) {
        kvr_node *node = c->members[i].node;
        if (node == NULL || kvr_node_deadline(node) > c->now) {
            continue;
        }
        kvr_status status = kvr_node_run(node, c->budget);
        bool fine = status == KVR_OK || status == KVR_AGAIN || status == KVR_ENOMEM ||
                    kvr_status_is_fatal(status);
        cr_assert(fine, "run said %s", kvr_status_name(status));
        busy = busy || status != KVR_ENOMEM;
    }
    return busy;
}

void cluster_settle(cluster *c)
{
    for (uint32_t turns = 0;; turns++) {
        cr_assert_lt(turns, 100000, "they never come to rest");
        bool busy = run_all(c);
        while (deliver_one(c)) {
            busy = true;
        }
        if (!busy) {
            return;
        }
    }
}

void cluster_pass(cluster *c, uint64_t ns)
{
    uint64_t end = c->now + ns;
    cluster_settle(c);
    while (c->now < end) {
        uint64_t next = end;
        for (uint32_t i = 0; i < c->count; i++) {
            if (c->members[i].node != NULL) {
                uint64_t deadline = kvr_node_deadline(c->members[i].node);
                next = deadline < next ? deadline : next;
            }
        }
        c->now = next > c->now ? next : c->now + 1;
        cluster_settle(c);
    }
}

uint32_t cluster_leader(cluster *c)
{
    uint64_t term = 0;
    uint32_t leader = MEMBERS_MAX;
    for (uint32_t i = 0; i < c->count; i++) {
        if (c->members[i].node == NULL || c->members[i].cut) {
            continue;
        }
        kvr_node_status status = cluster_status(c, i);
        if (status.raft.role == KVR_ROLE_LEADER && status.raft.term > term &&
            status.failure == KVR_OK) {
            term = status.raft.term;
            leader = i;
        }
    }
    return leader;
}

uint32_t cluster_elect(cluster *c)
{
    for (uint32_t i = 0; i < 600; i++) {
        uint32_t leader = cluster_leader(c);
        if (leader != MEMBERS_MAX && cluster_status(c, leader).raft.own_term_committed) {
            cluster_pass(c, 200 * MILLISECOND); /* the others hear of it */
            return leader;
        }
        cluster_pass(c, 100 * MILLISECOND);
    }
    cr_assert_fail("nobody leads after a minute");
    return MEMBERS_MAX;
}

uint32_t cluster_follower(cluster *c)
{
    uint32_t leader = cluster_leader(c);
    for (uint32_t i = 0; i < c->count; i++) {
        if (i != leader && c->members[i].node != NULL && !c->members[i].cut) {
            return i;
        }
    }
    cr_assert_fail("no follower is up");
    return MEMBERS_MAX;
}

/* ------------------------------------------------------------------ calls */

uint32_t cluster_call(cluster *c, kvr_node_call *out_options, uint64_t timeout_ns)
{
    cr_assert_lt(c->call_count, CALLS_MAX);
    uint32_t call = c->call_count++;
    *out_options = (kvr_node_call){.size = sizeof *out_options,
                                   .user = (void *)(uintptr_t)(call + 1),
                                   .timeout_ns = timeout_ns};
    return call;
}

/* A call that was not taken ends at once, refused with what intake said. */
static uint32_t taken(cluster *c, uint32_t call, kvr_status status)
{
    if (status != KVR_OK) {
        c->calls[call].ended = true;
        c->calls[call].outcome = KVR_OUTCOME_REFUSED;
        c->calls[call].status = status;
    }
    return call;
}

uint32_t cluster_write(cluster *c, uint32_t i, const kvr_op *op)
{
    kvr_node_call options;
    uint32_t call = cluster_call(c, &options, 0);
    return taken(c, call, kvr_node_write(c->members[i].node, &options, op));
}

uint32_t cluster_put_lease(cluster *c, uint32_t i, const char *key, const char *value,
                           int64_t lease)
{
    kvr_node_call options;
    uint32_t call = cluster_call(c, &options, 0);
    kvr_slice k = slice_of(key);
    kvr_slice v = slice_of(value);
    return taken(c, call, kvr_node_put(c->members[i].node, &options, &k, &v, lease));
}

uint32_t cluster_put(cluster *c, uint32_t i, const char *key, const char *value)
{
    return cluster_put_lease(c, i, key, value, 0);
}

uint32_t cluster_delete(cluster *c, uint32_t i, const char *key, const char *end)
{
    kvr_node_call options;
    uint32_t call = cluster_call(c, &options, 0);
    kvr_slice k = slice_of(key);
    kvr_slice e = end == NULL ? (kvr_slice){0} : slice_of(end);
    return taken(c, call,
                 kvr_node_delete(c->members[i].node, &options, &k, end == NULL ? NULL : &e));
}

uint32_t cluster_read(cluster *c, uint32_t i)
{
    kvr_node_call options;
    uint32_t call = cluster_call(c, &options, 0);
    return taken(c, call, kvr_node_read_linear(c->members[i].node, &options));
}

uint32_t cluster_compact(cluster *c, uint32_t i, uint64_t revision)
{
    kvr_node_call options;
    uint32_t call = cluster_call(c, &options, 0);
    return taken(c, call, kvr_node_compact(c->members[i].node, &options, revision));
}

uint32_t cluster_grant(cluster *c, uint32_t i, int64_t id, uint64_t ttl_ns)
{
    kvr_node_call options;
    uint32_t call = cluster_call(c, &options, 0);
    return taken(c, call, kvr_node_lease_grant(c->members[i].node, &options, id, ttl_ns));
}

uint32_t cluster_revoke(cluster *c, uint32_t i, int64_t id)
{
    kvr_node_call options;
    uint32_t call = cluster_call(c, &options, 0);
    return taken(c, call, kvr_node_lease_revoke(c->members[i].node, &options, id));
}

uint32_t cluster_keep_alive(cluster *c, uint32_t i, int64_t id)
{
    kvr_node_call options;
    uint32_t call = cluster_call(c, &options, 0);
    return taken(c, call, kvr_node_lease_keep_alive(c->members[i].node, &options, id));
}

uint32_t cluster_change(cluster *c, uint32_t i, uint8_t kind, uint64_t id, uint8_t role)
{
    kvr_node_call options;
    uint32_t call = cluster_call(c, &options, 0);
    kvr_member_change change = {.kind = kind, .member = {.id = id, .role = role}};
    kvr_raft_changes changes = {.size = sizeof changes, .change_count = 1, .changes = &change};
    return taken(c, call, kvr_node_member_change(c->members[i].node, &options, &changes));
}

uint32_t cluster_time_to_live(cluster *c, uint32_t i, int64_t id)
{
    kvr_node_call options;
    uint32_t call = cluster_call(c, &options, 0);
    return taken(c, call, kvr_node_lease_time_to_live(c->members[i].node, &options, id));
}

bool cluster_ended(const cluster *c, uint32_t call)
{
    return c->calls[call].ended;
}

void cluster_expect(cluster *c, uint32_t call, uint8_t outcome, kvr_status status)
{
    const call_end *end = &c->calls[call];
    cr_assert(end->ended, "call %u has not ended", call);
    cr_assert(end->outcome == outcome && end->status == status, "call %u ended %u %s", call,
              end->outcome, kvr_status_name(end->status));
}

/* ------------------------------------------------------------------ looks */

const char *cluster_value(cluster *c, uint32_t i, const char *key)
{
    static char room[256];
    kvr_kv kv;
    kvr_slice k = slice_of(key);
    room[0] = 0;
    if (kvr_node_get(c->members[i].node, &k, &kv)) {
        cr_assert_lt(kv.value.size, sizeof room);
        memcpy(room, kv.value.data, kv.value.size);
        room[kv.value.size] = 0;
    }
    return room;
}

kvr_node_status cluster_status(cluster *c, uint32_t i)
{
    kvr_node_status status = {.size = sizeof status};
    kvr_node_get_status(c->members[i].node, &status);
    return status;
}

uint64_t cluster_watch(cluster *c, uint32_t i, const char *key, const char *end, uint64_t start)
{
    kvr_watch_request request = {
        .size = sizeof request, .key = slice_of(key), .start_revision = start};
    uint64_t id = 0;
    if (end != NULL) {
        request.range_end = slice_of(end);
    }
    kvr_status status = kvr_node_watch(c->members[i].node, &request, &id);
    cr_assert_eq(status, KVR_OK, "%s", kvr_status_name(status));
    return id;
}

/* Each key with a lease stands among that lease's keys, and no others do. */
static void expect_attached(cluster *c, uint32_t i)
{
    static const uint8_t zero[1];
    kvr_node *node = c->members[i].node;
    kvr_range all = {.size = sizeof all, .key = {zero, 1}, .range_end = {zero, 1}};
    kvr_mvcc_view *view;
    kvr_mvcc_cursor cursor;
    kvr_kv kv;
    uint32_t leased = 0;
    uint32_t attached = 0;
    cr_assert_eq(kvr_node_view_open(node, &view), KVR_OK);
    cr_assert_eq(kvr_mvcc_cursor_init(&cursor, view, &all), KVR_OK);
    while (kvr_mvcc_cursor_next(&cursor, &kv) == KVR_OK) {
        leased += kv.lease != 0;
    }
    kvr_mvcc_view_free(view);
    static int64_t ids[4096];
    uint32_t count = kvr_node_leases(node, INT64_MIN, 1, ids, 4096);
    for (uint32_t n = 0; n < count; n++) {
        static kvr_slice keys[4096];
        uint32_t found = 0;
        cr_assert_eq(kvr_node_lease_keys(node, ids[n], NULL, keys, 4096, &found), KVR_OK);
        for (uint32_t k = 0; k < found; k++) {
            cr_assert(kvr_node_get(node, &keys[k], &kv));
            cr_assert_eq(kv.lease, ids[n]);
        }
        attached += found;
    }
    cr_assert_eq(attached, leased);
}

void cluster_expect_same(cluster *c)
{
    kvr_node_status first = {0};
    for (uint32_t i = 0; i < c->count; i++) {
        if (c->members[i].node == NULL) {
            continue;
        }
        expect_attached(c, i);
        kvr_node_status status = cluster_status(c, i);
        if (first.size == 0) {
            first = status;
        }
        cr_assert_eq(status.hash_index, first.hash_index, "member %u is at %llu, another at %llu",
                     i + 1, (unsigned long long)status.hash_index,
                     (unsigned long long)first.hash_index);
        cr_assert_eq(status.hash_chain, first.hash_chain, "member %u has another chain", i + 1);
        cr_assert_eq(status.hash_live, first.hash_live, "member %u has another live hash", i + 1);
        cr_assert_eq(status.store.revision, first.store.revision);
        cr_assert_eq(status.store.compacted, first.store.compacted);
    }
}
