/* SPDX-License-Identifier: Apache-2.0 */
/* raft_cluster.c: members, their network and their clock. The disk stands in raft_disk.c, what has
 * ever been true in raft_ghost.c. Start at cluster_run. */
#include "raft_cluster.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/checksum.h"
#include "base/codec.h"
#include "base/entry.h"
#include "raft/raft_internal.h"
#include "raft_cluster_internal.h"

void cluster_init(cluster *c)
{
    memset(c, 0, sizeof *c);
    test_alloc_init(&c->alloc);
    c->ghost = cluster_ghost_new();
    c->story = calloc(1, CLUSTER_TEXT_MAX);
}

void cluster_release(cluster *c)
{
    for (uint32_t i = 0; i < c->member_count; i++) {
        kvr_raft_free(c->members[i].raft);
        cluster_disk_release(&c->members[i].disk);
        free(c->members[i].text);
    }
    TEST_ALLOC_ASSERT_EMPTY(&c->alloc);
    for (uint32_t i = 0; i < c->message_count; i++) {
        free(c->messages[i].bytes);
    }
    free(c->messages);
    free(c->story);
    cluster_ghost_free(c->ghost);
    memset(c, 0, sizeof *c);
}

cluster_member *cluster_at(cluster *c, uint64_t id)
{
    cr_assert(id >= 1 && id <= c->member_count, "there is no member %llu", (unsigned long long)id);
    return &c->members[id - 1];
}

static void prepare(cluster *c, uint32_t i, void (*tune)(kvr_raft_config *))
{
    cluster_member *m = &c->members[i];
    m->id = i + 1;
    m->text = calloc(1, CLUSTER_TEXT_MAX);
    m->disk.first_index = 1;
    m->disk.free_bytes = UINT64_MAX;
    cr_assert_eq(kvr_raft_config_init(&m->config, sizeof m->config), KVR_OK);
    m->config.cluster_id = CLUSTER_ID;
    m->config.group_id = CLUSTER_GROUP;
    m->config.member_id = i + 1;
    m->counters.size = sizeof m->counters;
    m->config.counters = &m->counters;
    m->config.seed = 1;
    m->config.trace = 1;
    m->config.allocator = &test_alloc_table;
    m->config.allocator_ctx = &c->alloc;
    if (tune != NULL) {
        tune(&m->config);
    }
}

void cluster_add(cluster *c, uint32_t count, const uint8_t *roles, void (*tune)(kvr_raft_config *))
{
    cr_assert(count <= CLUSTER_MEMBERS_MAX);
    c->member_count = count;
    for (uint32_t i = 0; i < count; i++) {
        c->configuration[i] =
            (kvr_member){.id = i + 1, .role = roles == NULL ? KVR_MEMBER_VOTER : roles[i]};
        prepare(c, i, tune);
        c->members[i].config.members = c->configuration;
        c->members[i].config.member_count = count;
    }
    for (uint32_t i = 0; i < count; i++) {
        cluster_start(c, i + 1);
    }
}

uint64_t cluster_join(cluster *c, void (*tune)(kvr_raft_config *))
{
    cr_assert(c->member_count < CLUSTER_MEMBERS_MAX);
    prepare(c, c->member_count, tune);
    c->member_count++;
    cluster_start(c, c->member_count);
    return c->member_count;
}

void cluster_boot(cluster *c, uint64_t id)
{
    cluster_member *m = cluster_at(c, id);
    cr_assert_null(m->raft);
    /* The text is not durable: what a restart finds is in the snapshot and the log. */
    m->text_size = 0;
    m->text[0] = '\0';
    m->applied = 0;
    m->is_loaded = false;
    m->read_count = 0;
    cr_assert_eq(kvr_raft_new(&m->config, &m->raft), KVR_OK);
}

void cluster_start(cluster *c, uint64_t id)
{
    cluster_boot(c, id);
    bool manual = cluster_at(c, id)->disk.manual;
    cluster_at(c, id)->disk.manual = false;
    for (int i = 0; i < 1000 && !cluster_at(c, id)->is_loaded; i++) {
        cluster_run(c, id);
    }
    cr_assert(cluster_at(c, id)->is_loaded);
    cluster_at(c, id)->disk.manual = manual;
}

void cluster_crash(cluster *c, uint64_t id)
{
    cluster_member *m = cluster_at(c, id);
    kvr_raft_free(m->raft);
    m->raft = NULL;
    m->disk.request_count = 0;
    cluster_ghost_crashed(c, m);
}

/* ------------------------------------------------------------------ one ready */

static void queue_message(cluster *c, uint64_t from, uint64_t to, kvr_slice bytes)
{
    if (c->message_count == c->message_capacity) {
        c->message_capacity = c->message_capacity == 0 ? 64 : c->message_capacity * 2;
        c->messages = realloc(c->messages, c->message_capacity * sizeof *c->messages);
    }
    cluster_message *message = &c->messages[c->message_count];
    *message = (cluster_message){from, to, malloc(bytes.size), bytes.size};
    memcpy(message->bytes, bytes.data, bytes.size);
    c->message_count++;
    c->sent++;
}

static void apply(cluster *c, cluster_member *m, const kvr_entry *entry)
{
    cr_assert_eq(entry->index, m->applied + 1, "member %llu applies %llu after %llu",
                 (unsigned long long)m->id, (unsigned long long)entry->index,
                 (unsigned long long)m->applied);
    cluster_ghost_applied(c, m, entry);
    m->applied = entry->index;
    m->applied_term = entry->term;
    if (entry->kind == KVR_ENTRY_COMMAND &&
        m->text_size + entry->command.size + 2 < CLUSTER_TEXT_MAX) {
        memcpy(m->text + m->text_size, entry->command.data, entry->command.size);
        m->text_size += entry->command.size;
        m->text[m->text_size++] = ' ';
        m->text[m->text_size] = '\0';
    }
}

/* The state machine is replaced by the stored snapshot, as a host would read it. */
static void install(cluster *c, cluster_member *m, const kvr_snapshot_meta *meta)
{
    const cluster_snapshot *snapshot = &m->disk.snapshot;
    cr_assert_eq(meta->index, snapshot->meta.index);
    cr_assert_eq(meta->term, snapshot->meta.term);
    cr_assert_gt(meta->index, m->applied);
    memcpy(m->text, snapshot->bytes, (size_t)snapshot->meta.bytes);
    m->text_size = (size_t)snapshot->meta.bytes;
    m->text[m->text_size] = '\0';
    m->applied = meta->index;
    m->applied_term = meta->term;
    cluster_ghost_installed(c, m);
}

static void tell(cluster *c, const kvr_trace_event *event)
{
    if (c->on_trace != NULL) {
        c->on_trace(event);
    }
    if (!c->tells || c->story_size + 128 > CLUSTER_TEXT_MAX) {
        return;
    }
    int n = snprintf(c->story + c->story_size, 128, "%llu: term %llu %s %llu",
                     (unsigned long long)event->member_id, (unsigned long long)event->term,
                     event->name, (unsigned long long)event->index);
    c->story_size += (size_t)n;
    if (event->peer != 0) {
        n = snprintf(c->story + c->story_size, 64, " (%llu)", (unsigned long long)event->peer);
        c->story_size += (size_t)n;
    }
    c->story[c->story_size++] = '\n';
    c->story[c->story_size] = '\0';
}

static void take_reads(cluster_member *m, const kvr_raft_ready *ready)
{
    for (uint32_t i = 0; i < ready->read_count; i++) {
        cr_assert_lt(m->read_count, sizeof m->reads / sizeof m->reads[0]);
        m->reads[m->read_count++] =
            (cluster_read){ready->reads[i].context, ready->reads[i].index, ready->reads[i].status};
    }
}

uint64_t cluster_now(const cluster *c, const cluster_member *m)
{
    return m->clock_offset + (m->clock_rate == 0 ? c->now : c->now / 1000 * m->clock_rate);
}

bool cluster_run(cluster *c, uint64_t id)
{
    cluster_member *m = cluster_at(c, id);
    const kvr_raft_ready *ready = NULL;
    if (m->raft == NULL) {
        return false;
    }
    m->last_status = kvr_raft_ready_get(m->raft, cluster_now(c, m), &ready);
    if (m->last_status != KVR_OK) {
        return false;
    }
    bool any = ready->request_count + ready->message_count + ready->committed_count +
                   ready->read_count + ready->post_count + ready->trace_count >
               0;
    any = any || ready->install != NULL || ready->flags != 0;
    cluster_ghost_before_messages(c, m);
    for (uint32_t i = 0; i < ready->trace_count; i++) {
        tell(c, &ready->traces[i]);
    }
    for (uint32_t i = 0; i < ready->message_count; i++) {
        queue_message(c, id, ready->messages[i].to, ready->messages[i].bytes);
    }
    for (uint32_t i = 0; i < ready->request_count; i++) {
        cluster_disk_submit(&m->disk, &ready->requests[i]);
    }
    if (ready->install != NULL) {
        install(c, m, ready->install);
    }
    for (uint32_t i = 0; i < ready->committed_count; i++) {
        apply(c, m, &ready->committed[i]);
    }
    take_reads(m, ready);
    m->posts += ready->post_count;
    m->is_loaded = m->is_loaded || (ready->flags & KVR_RAFT_LOADED) != 0;
    kvr_raft_advance(m->raft);
    if (!m->applies_later && m->applied > cluster_status(c, id).applied_index) {
        cr_assert_eq(kvr_raft_applied(m->raft, m->applied), KVR_OK);
    }
    if (!m->disk.manual) {
        cluster_disk_complete(c, id, UINT32_MAX);
    }
    return any;
}

bool cluster_run_all(cluster *c)
{
    bool any = false;
    for (uint32_t i = 0; i < c->member_count; i++) {
        if (c->members[i].raft != NULL && kvr_raft_has_ready(c->members[i].raft)) {
            any = cluster_run(c, i + 1) || any;
        }
    }
    return any;
}

/* ------------------------------------------------------------------ network */

static bool matches(const cluster_message *message, cluster_filter filter)
{
    return (filter.from == 0 || message->from == filter.from) &&
           (filter.to == 0 || message->to == filter.to) &&
           (filter.type == 0 || message->bytes[15] == filter.type);
}

static cluster_message take(cluster *c, uint32_t number)
{
    cluster_message message = c->messages[number];
    c->message_count--;
    memmove(&c->messages[number], &c->messages[number + 1],
            (c->message_count - number) * sizeof *c->messages);
    return message;
}

static void receive(cluster *c, const cluster_message *message)
{
    if (message->to > c->member_count || c->members[message->to - 1].raft == NULL ||
        c->cut[message->from][message->to]) {
        return;
    }
    kvr_slice bytes = {message->bytes, message->size};
    kvr_status status = kvr_raft_receive(c->members[message->to - 1].raft, &bytes);
    cr_assert(status == KVR_OK || status == KVR_ENOMEM || status == KVR_EBUSY ||
                  kvr_status_is_fatal(status) || status == KVR_ESTOPPED,
              "member %llu says %s to a message of type %u from %llu",
              (unsigned long long)message->to, kvr_status_name(status), message->bytes[15],
              (unsigned long long)message->from);
}

uint32_t cluster_deliver(cluster *c, cluster_filter filter)
{
    uint32_t left = c->message_count;
    uint32_t done = 0;
    uint32_t max = filter.count == 0 ? UINT32_MAX : filter.count;
    for (uint32_t i = 0; left > 0 && done < max; left--) {
        if (!matches(&c->messages[i], filter)) {
            i++;
            continue;
        }
        cluster_message message = take(c, i);
        receive(c, &message);
        free(message.bytes);
        done++;
    }
    return done;
}

void cluster_deliver_number(cluster *c, uint32_t number, bool keep)
{
    if (keep) {
        cluster_message *message = &c->messages[number];
        queue_message(c, message->from, message->to, (kvr_slice){message->bytes, message->size});
    }
    cluster_message message = take(c, number);
    receive(c, &message);
    free(message.bytes);
}

uint32_t cluster_drop(cluster *c, cluster_filter filter)
{
    uint32_t done = 0;
    uint32_t max = filter.count == 0 ? UINT32_MAX : filter.count;
    for (uint32_t i = 0; i < c->message_count && done < max;) {
        if (matches(&c->messages[i], filter)) {
            free(take(c, i).bytes);
            done++;
        } else {
            i++;
        }
    }
    return done;
}

uint32_t cluster_repeat(cluster *c, cluster_filter filter)
{
    uint32_t done = 0;
    uint32_t count = c->message_count;
    for (uint32_t i = 0; i < count; i++) {
        const cluster_message message = c->messages[i];
        if (matches(&message, filter)) {
            queue_message(c, message.from, message.to, (kvr_slice){message.bytes, message.size});
            done++;
        }
    }
    return done;
}

uint32_t cluster_count(const cluster *c, cluster_filter filter)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < c->message_count; i++) {
        count += matches(&c->messages[i], filter);
    }
    return count;
}

void cluster_isolate(cluster *c, uint64_t id, bool cut)
{
    for (uint32_t other = 1; other <= c->member_count; other++) {
        if (other != id) {
            cluster_cut(c, id, other, cut);
            cluster_cut(c, other, id, cut);
        }
    }
}

void cluster_cut(cluster *c, uint64_t from, uint64_t to, bool cut)
{
    c->cut[from][to] = cut;
}

/* ------------------------------------------------------------------ all together */

void cluster_stabilize(cluster *c)
{
    for (int i = 0; i < 10000; i++) {
        bool any = cluster_run_all(c);
        any = cluster_deliver(c, (cluster_filter){0}) > 0 || any;
        if (!any) {
            cluster_check(c);
            return;
        }
    }
    cr_assert(false, "the cluster does not come to rest");
}

void cluster_tick(cluster *c, uint64_t ns)
{
    c->now += ns;
    for (uint32_t i = 0; i < c->member_count; i++) {
        cluster_run(c, i + 1);
    }
}

kvr_status cluster_propose(cluster *c, uint64_t id, const char *command)
{
    kvr_raft_proposal proposal;
    kvr_slice slice = {(const uint8_t *)command, strlen(command)};
    return kvr_raft_propose(cluster_at(c, id)->raft, &slice, &proposal);
}

kvr_status cluster_change(cluster *c, uint64_t id, uint32_t flags, const kvr_member_change *changes,
                          uint32_t count)
{
    kvr_raft_proposal proposal;
    kvr_raft_changes all = {
        .size = sizeof all, .flags = flags, .change_count = count, .changes = changes};
    return kvr_raft_change(cluster_at(c, id)->raft, &all, &proposal);
}

kvr_status cluster_change_one(cluster *c, uint64_t id, uint8_t kind, uint64_t member, uint8_t role)
{
    kvr_member_change change = {.kind = kind, .member = {.id = member, .role = role}};
    return cluster_change(c, id, 0, &change, 1);
}

void cluster_elect(cluster *c, uint64_t id)
{
    for (int i = 0; i < 3 && cluster_status(c, id).role != KVR_ROLE_LEADER; i++) {
        /* it may be behind at first */
        cr_assert_eq(kvr_raft_campaign(cluster_at(c, id)->raft), KVR_OK);
        cluster_stabilize(c);
    }
    cluster_stabilize(c);
    cr_assert_eq(cluster_status(c, id).role, KVR_ROLE_LEADER);
}

kvr_raft_status cluster_status(cluster *c, uint64_t id)
{
    kvr_raft_status status = {.size = sizeof status};
    cr_assert_not_null(cluster_at(c, id)->raft);
    kvr_raft_get_status(cluster_at(c, id)->raft, &status);
    return status;
}

uint64_t cluster_leader(cluster *c)
{
    uint64_t leader = 0;
    uint64_t term = 0;
    for (uint32_t i = 0; i < c->member_count; i++) {
        if (c->members[i].raft != NULL) {
            kvr_raft_status status = cluster_status(c, i + 1);
            if (status.role == KVR_ROLE_LEADER && status.term > term) {
                leader = i + 1;
                term = status.term;
            }
        }
    }
    return leader;
}

kvr_raft_progress cluster_progress(cluster *c, uint64_t leader, uint64_t id)
{
    kvr_raft_progress progress = {.size = sizeof progress};
    for (uint32_t i = 0; kvr_raft_get_progress(cluster_at(c, leader)->raft, i, &progress) == KVR_OK;
         i++) {
        if (progress.id == id) {
            return progress;
        }
    }
    cr_assert(false, "%llu is no member", (unsigned long long)id);
    return progress;
}

const cluster_read *cluster_find_read(cluster *c, uint64_t id, uint64_t context)
{
    cluster_member *m = cluster_at(c, id);
    for (uint32_t i = 0; i < m->read_count; i++) {
        if (m->reads[i].context == context) {
            return &m->reads[i];
        }
    }
    return NULL;
}

/* ------------------------------------------------------------------ forged messages */

kvr_slice cluster_forge(const cluster_forged *forged)
{
    static uint8_t bytes[1 << 20];
    size_t length = KVR__RAFT_HEAD_SIZE + forged->body.size + forged->tail.size;
    cr_assert_leq(length, sizeof bytes);
    kvr_message_info head = {.cluster_id = CLUSTER_ID,
                             .group_id = CLUSTER_GROUP,
                             .from = forged->from,
                             .to = forged->to,
                             .term = forged->term,
                             .type = forged->type};
    kvr__raft_message_write_head(bytes, &head);
    memcpy(bytes + KVR__RAFT_HEAD_SIZE, forged->body.data, forged->body.size);
    if (forged->tail.size > 0) {
        memcpy(bytes + KVR__RAFT_HEAD_SIZE + forged->body.size, forged->tail.data,
               forged->tail.size);
    }
    if (forged->type == KVR__RAFT_APPEND) {
        kvr__raft_message_exempt(bytes, (uint32_t)forged->tail.size);
    }
    kvr__raft_message_seal(bytes, (uint32_t)length);
    return (kvr_slice){bytes, length};
}

static size_t forge_entry(uint8_t *out, kvr_entry entry)
{
    entry.command_checksum = kvr__xxh3_64(entry.command.data, entry.command.size);
    kvr__entry_write_header(out, &entry);
    memcpy(out + KVR_ENTRY_HEADER_SIZE, entry.command.data, entry.command.size);
    return KVR_ENTRY_HEADER_SIZE + entry.command.size;
}

void cluster_forge_entry(uint8_t *out, size_t *size, uint64_t index, uint64_t term,
                         const char *command)
{
    *size += forge_entry(out + *size,
                         (kvr_entry){.index = index,
                                     .term = term,
                                     .kind = KVR_ENTRY_COMMAND,
                                     .command = {(const uint8_t *)command, strlen(command)}});
}

size_t cluster_forge_configuration(uint8_t *out, uint64_t index, uint64_t term,
                                   const kvr_member *members, uint32_t count)
{
    uint8_t encoded[512];
    size_t size = kvr__raft_configuration_size(members, count);
    cr_assert_leq(size, sizeof encoded);
    kvr__raft_configuration_write(encoded, members, count);
    return forge_entry(out, (kvr_entry){.index = index,
                                        .term = term,
                                        .kind = KVR_ENTRY_CONFIG,
                                        .command = {encoded, size}});
}

void cluster_forge_again(uint8_t *entry)
{
    size_t size = kvr__load_u32(entry + 32);
    kvr__store_u64(entry + 40, kvr__xxh3_64(entry + KVR_ENTRY_HEADER_SIZE, size));
    kvr__store_u64(entry + 48, kvr__xxh3_64(entry, 48));
}
