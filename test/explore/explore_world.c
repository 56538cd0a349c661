/* SPDX-License-Identifier: Apache-2.0 */
/* explore_world.c: a state, and what an action does to it. Time stands still: each member has a
 * clock of its own, which only a timeout or a heartbeat moves, to the moment that it is about. A
 * timeout lets the other followers age to just before their own, so that they have not heard of a
 * leader lately. A start is one step: nothing of it can be seen from outside before its requests
 * are done. */
#include <stdio.h>
#include <string.h>

#include "base/assertion.h"
#include "base/entry.h"
#include "explore.h"
#include "raft/raft_state.h"

enum { ELECTION_NS = 1000000, HEARTBEAT_NS = 100000, ROUNDS_MAX = 64, CHAIN_BYTES = 8 };

ex_world world;
_Alignas(64) uint8_t ex_arena[EX_ARENA_BYTES];

/* ------------------------------------------------------------------ the arena */

static uint32_t class_of(size_t size)
{
    uint32_t class = 5;
    while ((size_t)1 << class < size) {
        class ++;
    }
    return class;
}

static void *arena_alloc(void *ctx, size_t size)
{
    (void)ctx;
    uint32_t class = class_of(size);
    void *block = world.arena_free[class];
    if (block != NULL) {
        memcpy(&world.arena_free[class], block, sizeof block);
        return block;
    }
    KVR_ASSERT(world.arena_used + ((size_t)1 << class) <= EX_ARENA_BYTES);
    block = ex_arena + world.arena_used;
    world.arena_used += (size_t)1 << class;
    return block;
}

static void arena_free(void *ctx, void *ptr, size_t size)
{
    (void)ctx;
    memcpy(ptr, &world.arena_free[class_of(size)], sizeof ptr);
    world.arena_free[class_of(size)] = ptr;
}

static void *arena_realloc(void *ctx, void *ptr, size_t old_size, size_t new_size)
{
    if (class_of(old_size) == class_of(new_size)) {
        return ptr;
    }
    void *moved = arena_alloc(ctx, new_size);
    memcpy(moved, ptr, old_size < new_size ? old_size : new_size);
    arena_free(ctx, ptr, old_size);
    return moved;
}

static const kvr_allocator arena = {
    .size = sizeof arena, .alloc = arena_alloc, .realloc = arena_realloc, .free = arena_free};

/* ------------------------------------------------------------------ a disk */

static void copy_entries(ex_request *to, const kvr_store_request *from)
{
    uint64_t index = from->first_index;
    for (uint32_t i = 0; i < from->piece_count; i++) {
        kvr_slice left = from->pieces[i];
        while (left.size > 0) {
            kvr_entry entry;
            kvr_status status = kvr__entry_read(left, true, &entry);
            KVR_ASSERT(status == KVR_OK && entry.index == index);
            KVR_ASSERT(to->entry_count < EX_REQUEST_ENTRIES_MAX);
            KVR_ASSERT(entry.bytes.size <= EX_ENTRY_BYTES);
            ex_entry *copy = &to->entries[to->entry_count++];
            copy->term = entry.term;
            copy->size = (uint32_t)entry.bytes.size;
            memcpy(copy->bytes, entry.bytes.data, entry.bytes.size);
            left.data += entry.bytes.size;
            left.size -= entry.bytes.size;
            index++;
        }
    }
}

static void submit(ex_member *member, const kvr_store_request *from)
{
    KVR_ASSERT(member->request_count < EX_REQUESTS_MAX);
    ex_request *to = &member->requests[member->request_count++];
    memset(to, 0, sizeof *to);
    to->token = from->token;
    to->kind = from->kind;
    to->flags = from->flags;
    to->first = from->first_index;
    to->last = from->last_index;
    to->term = from->term;
    to->voted_for = from->voted_for;
    to->incarnation = from->incarnation;
    to->offset = from->offset;
    to->snapshot_index = from->snapshot.index;
    to->snapshot_term = from->snapshot.term;
    to->chunk_size = (uint8_t)from->chunk.size;
    if (from->chunk.size == CHAIN_BYTES) {
        memcpy(&to->chain, from->chunk.data, CHAIN_BYTES);
    }
    KVR_ASSERT(from->snapshot.configuration.size <= EX_CONFIGURATION_BYTES);
    to->configuration_size = (uint32_t)from->snapshot.configuration.size;
    if (to->configuration_size > 0) {
        memcpy(to->configuration, from->snapshot.configuration.data, to->configuration_size);
    }
    if (from->kind == KVR_STORE_APPEND) {
        copy_entries(to, from);
    }
}

static void write_snapshot(ex_disk *disk, const ex_request *request)
{
    if (request->chunk_size == CHAIN_BYTES) {
        disk->chain = request->chain; /* one chunk holds it all */
    }
    if ((request->flags & KVR_STORE_LAST) != 0 && request->snapshot_index > disk->snapshot_index) {
        disk->snapshot_index = request->snapshot_index;
        disk->snapshot_term = request->snapshot_term;
        disk->configuration_size = request->configuration_size;
        memcpy(disk->configuration, request->configuration, sizeof disk->configuration);
    }
}

/* What a request leaves on the disk. */
static void persist(uint32_t who, const ex_request *request)
{
    ex_disk *disk = &world.members[who].disk;
    switch (request->kind) {
    case KVR_STORE_VOTE:
        ex_check_vote(who, request->term, request->voted_for);
        disk->term = request->term;
        disk->voted_for = request->voted_for;
        disk->incarnation = request->incarnation;
        break;
    case KVR_STORE_APPEND:
        KVR_ASSERT(request->first <= disk->last + 1);
        KVR_ASSERT(request->last < EX_INDEX_MAX);
        for (uint32_t i = 0; i < request->entry_count; i++) {
            disk->log[request->first + i] = request->entries[i];
        }
        disk->last = request->last;
        break;
    case KVR_STORE_DISCARD:
        disk->first = request->first > disk->first ? request->first : disk->first;
        if ((request->flags & KVR_STORE_ALL) != 0) {
            disk->first = request->first;
            disk->last = request->first - 1;
        }
        break;
    case KVR_STORE_SNAPSHOT_WRITE:
        write_snapshot(disk, request);
        break;
    default:
        break;
    }
}

/* ------------------------------------------------------------------ a member at work */

static void send(uint32_t who, const kvr_message *message)
{
    ex_check_sent(who, message);
    for (uint32_t i = 0; i < world.left.messages; i++) {
        ex_message *place = &world.messages[i];
        if (place->to == 0) {
            KVR_ASSERT(message->bytes.size <= EX_MESSAGE_BYTES);
            place->to = (uint8_t)message->to;
            place->from = (uint8_t)(who + 1);
            place->size = (uint16_t)message->bytes.size;
            memcpy(place->bytes, message->bytes.data, message->bytes.size);
            return;
        }
    }
    /* no room: lost */
}

static void apply(uint32_t who, const kvr_raft_ready *ready)
{
    ex_member *member = &world.members[who];
    kvr_status status = KVR_OK;
    if (ready->install != NULL) {
        KVR_ASSERT(member->disk.snapshot_index == ready->install->index);
        member->chain = member->disk.chain;
        member->applied = ready->install->index;
        ex_check_installed(who, member->applied, member->chain);
        status = kvr_raft_applied(member->raft, member->applied);
    }
    for (uint32_t i = 0; i < ready->committed_count; i++) {
        const kvr_entry *entry = &ready->committed[i];
        member->chain = ex_mix(member->chain, entry->term << 32 | entry->index);
        member->applied = entry->index;
        ex_check_applied(who, entry);
    }
    if (ready->committed_count > 0 && status == KVR_OK) {
        status = kvr_raft_applied(member->raft, member->applied);
    }
    KVR_ASSERT(status == KVR_OK);
}

static void run(uint32_t who)
{
    ex_member *member = &world.members[who];
    uint32_t rounds = 0;
    do {
        const kvr_raft_ready *ready;
        kvr_status status = kvr_raft_ready_get(member->raft, member->now, &ready);
        if (status != KVR_OK) {
            ex_fail("F", "member %u fails: %s", who + 1, kvr_raft_error(member->raft));
            return;
        }
        for (uint32_t i = 0; i < ready->request_count; i++) {
            submit(member, &ready->requests[i]);
        }
        for (uint32_t i = 0; i < ready->message_count; i++) {
            send(who, &ready->messages[i]);
        }
        apply(who, ready);
        kvr_raft_advance(member->raft);
        KVR_ASSERT(++rounds < ROUNDS_MAX);
    } while (kvr_raft_has_ready(member->raft));
}

static void fill_read(ex_member *member, const ex_request *request, kvr_store_result *out,
                      kvr_slice *pieces)
{
    const ex_disk *disk = &member->disk;
    out->first_index = request->first;
    for (uint64_t i = request->first; i <= request->last && i <= disk->last; i++) {
        pieces[out->piece_count++] = (kvr_slice){disk->log[i].bytes, disk->log[i].size};
        out->entry_count++;
        out->last_index = i;
    }
}

static void fill_snapshot(const ex_disk *disk, kvr_snapshot_meta *out)
{
    *out = (kvr_snapshot_meta){
        .index = disk->snapshot_index,
        .term = disk->snapshot_term,
        .bytes = CHAIN_BYTES,
        .configuration = {disk->configuration, disk->configuration_size},
    };
}

static void answer(ex_member *member, const ex_request *request)
{
    const ex_disk *disk = &member->disk;
    kvr_slice pieces[EX_INDEX_MAX];
    kvr_store_result result = {
        .size = sizeof result, .token = request->token, .free_bytes = UINT64_MAX, .pieces = pieces};
    if (request->kind == KVR_STORE_LOAD) {
        result.term = disk->term;
        result.voted_for = disk->voted_for;
        result.incarnation = disk->incarnation;
        bool goes_on = disk->last >= disk->snapshot_index &&
                       (disk->snapshot_index < disk->first || disk->snapshot_index == 0 ||
                        disk->log[disk->snapshot_index].term == disk->snapshot_term);
        result.first_index = goes_on ? disk->first : disk->snapshot_index + 1;
        result.last_index = goes_on ? disk->last : disk->snapshot_index;
        if (disk->snapshot_index > 0) {
            fill_snapshot(disk, &result.snapshot);
        }
    } else if (request->kind == KVR_STORE_READ) {
        fill_read(member, request, &result, pieces);
    } else if (request->kind == KVR_STORE_SNAPSHOT_READ) {
        fill_snapshot(disk, &result.snapshot);
        if (request->snapshot_index != 0 && request->snapshot_index != disk->snapshot_index) {
            result.status = KVR_ENOTFOUND;
        } else if (request->offset == 0) {
            result.chunk = (kvr_slice){(const uint8_t *)&disk->chain, CHAIN_BYTES};
        }
    }
    kvr_status status = kvr_raft_storage_done(member->raft, &result);
    KVR_ASSERT(status == KVR_OK);
}

static void disk_works(uint32_t who)
{
    ex_member *member = &world.members[who];
    ex_request request = member->requests[0];
    member->request_count--;
    memmove(member->requests, member->requests + 1, member->request_count * sizeof request);
    persist(who, &request);
    answer(member, &request);
    run(who);
}

/* ------------------------------------------------------------------ lives */

static void start(uint32_t who)
{
    ex_member *member = &world.members[who];
    kvr_member members[EX_MEMBERS_MAX];
    kvr_raft_config config;
    kvr_status status = kvr_raft_config_init(&config, sizeof config);
    for (uint32_t i = 0; i < world.left.members; i++) {
        members[i] = (kvr_member){.id = i + 1, .role = KVR_MEMBER_VOTER};
    }
    config.cluster_id = 1;
    config.member_id = who + 1;
    config.members = members;
    config.member_count = world.left.members;
    config.election_ns = ELECTION_NS;
    config.heartbeat_ns = HEARTBEAT_NS;
    config.applied_index = member->disk.snapshot_index;
    config.allocator = &arena;
    member->chain = member->disk.snapshot_index == 0 ? 0 : member->disk.chain;
    member->applied = member->disk.snapshot_index;
    member->request_count = 0;
    KVR_ASSERT(status == KVR_OK);
    status = kvr_raft_new(&config, &member->raft);
    KVR_ASSERT(status == KVR_OK);
    run(who);
    while (member->request_count > 0 && ex_failure == NULL) {
        disk_works(who);
    }
}

static void crash(uint32_t who, uint32_t done)
{
    ex_member *member = &world.members[who];
    for (uint32_t i = 0; i < done; i++) {
        persist(who, &member->requests[i]);
    }
    kvr_raft_free(member->raft);
    start(who);
}

void ex_world_begin(const ex_budget *budget)
{
    memset(&world, 0, sizeof world);
    world.left = *budget;
    for (uint32_t i = 0; i < budget->members; i++) {
        world.members[i].now = 1;
        world.members[i].disk.first = 1;
        start(i);
    }
}

/* ------------------------------------------------------------------ time */

static void time_out(uint32_t who)
{
    ex_member *member = &world.members[who];
    if (member->raft->role == KVR_ROLE_LEADER) {
        member->now += ELECTION_NS;
        run(who);
        return;
    }
    for (uint32_t i = 0; i < world.left.members; i++) {
        ex_member *other = &world.members[i];
        if (i != who && other->raft->role != KVR_ROLE_LEADER) {
            uint64_t latest = other->raft->election_deadline - 1;
            uint64_t aged = other->now + ELECTION_NS;
            aged = aged < latest ? aged : latest;
            other->now = aged > other->now ? aged : other->now;
        }
    }
    member->now = member->raft->election_deadline;
    run(who);
}

static void snapshot(uint32_t who)
{
    ex_member *member = &world.members[who];
    kvr_slice configuration;
    uint64_t term = world.past.committed[member->applied];
    kvr_status status = kvr_raft_configuration(member->raft, member->applied, &configuration);
    KVR_ASSERT(status == KVR_OK);
    ex_disk *disk = &member->disk;
    KVR_ASSERT(configuration.size <= EX_CONFIGURATION_BYTES);
    disk->snapshot_index = member->applied;
    disk->snapshot_term = term;
    disk->chain = member->chain;
    disk->configuration_size = (uint32_t)configuration.size;
    memcpy(disk->configuration, configuration.data, configuration.size);
    kvr_snapshot_meta meta;
    fill_snapshot(disk, &meta);
    status = kvr_raft_snapshotted(member->raft, &meta, 0);
    KVR_ASSERT(status == KVR_OK);
    run(who);
}

static void propose(uint32_t who)
{
    static const uint8_t command[] = "c";
    kvr_raft_proposal proposal;
    kvr_slice bytes = {command, 1};
    kvr_status status = kvr_raft_propose(world.members[who].raft, &bytes, &proposal);
    KVR_ASSERT(status == KVR_OK || status == KVR_EBUSY || status == KVR_ENOLEADER);
    run(who);
}

/* ------------------------------------------------------------------ actions */

static void add(ex_action *out, uint32_t *count, uint32_t kind, uint32_t who, uint32_t what)
{
    KVR_ASSERT(*count < EX_ACTIONS_MAX);
    out[(*count)++] =
        (ex_action){.kind = (uint8_t)kind, .who = (uint8_t)who, .what = (uint8_t)what};
}

static void add_of_member(ex_action *out, uint32_t *count, uint32_t who)
{
    const ex_member *member = &world.members[who];
    bool leads = member->raft->role == KVR_ROLE_LEADER;
    if (member->request_count > 0) {
        add(out, count, EX_DISK, who, 0);
    }
    if (world.left.timeouts > 0) {
        add(out, count, EX_TIMEOUT, who, 0);
    }
    if (world.left.heartbeats > 0 && leads) {
        add(out, count, EX_HEARTBEAT, who, 0);
    }
    if (world.left.proposals > 0 && leads) {
        add(out, count, EX_PROPOSE, who, 0);
    }
    if (world.left.crashes > 0) {
        for (uint32_t done = 0; done <= member->request_count; done++) {
            add(out, count, EX_CRASH, who, done);
        }
    }
    if (world.left.snapshots > 0 && member->applied > member->disk.snapshot_index &&
        member->applied <= member->disk.last && member->request_count == 0) {
        add(out, count, EX_SNAPSHOT, who, 0);
    }
}

static bool is_same_message(const ex_message *a, const ex_message *b)
{
    return a->to == b->to && a->size == b->size && memcmp(a->bytes, b->bytes, a->size) == 0;
}

uint32_t ex_world_actions(ex_action *out)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < world.left.messages; i++) {
        bool seen = world.messages[i].to == 0;
        for (uint32_t j = 0; j < i && !seen; j++) {
            seen = is_same_message(&world.messages[i], &world.messages[j]);
        }
        if (!seen) {
            add(out, &count, EX_DELIVER, 0, i);
            if (world.left.repeats > 0) {
                add(out, &count, EX_REPEAT, 0, i);
            }
        }
    }
    for (uint32_t i = 0; i < world.left.members; i++) {
        add_of_member(out, &count, i);
    }
    return count;
}

static void deliver(uint32_t place, bool stays)
{
    ex_message message = world.messages[place];
    kvr_slice bytes = {message.bytes, message.size};
    uint32_t who = message.to - 1U;
    if (!stays) {
        world.messages[place].to = 0;
    }
    kvr_status status = kvr_raft_receive(world.members[who].raft, &bytes);
    KVR_ASSERT(status == KVR_OK);
    run(who);
}

void ex_world_act(const ex_action *action)
{
    uint32_t who = action->who;
    switch (action->kind) {
    case EX_DELIVER:
        deliver(action->what, false);
        break;
    case EX_REPEAT:
        world.left.repeats--;
        deliver(action->what, true);
        break;
    case EX_DISK:
        disk_works(who);
        break;
    case EX_TIMEOUT:
        world.left.timeouts--;
        time_out(who);
        break;
    case EX_HEARTBEAT:
        world.left.heartbeats--;
        world.members[who].now = world.members[who].raft->heartbeat_deadline;
        run(who);
        break;
    case EX_PROPOSE:
        world.left.proposals--;
        propose(who);
        break;
    case EX_CRASH:
        world.left.crashes--;
        crash(who, action->what);
        break;
    default:
        world.left.snapshots--;
        snapshot(who);
        break;
    }
}

void ex_world_describe(const ex_action *action, char *out, size_t size)
{
    static const char *const words[] = {"?",         "deliver", "repeat", "disk",    "timeout",
                                        "heartbeat", "propose", "crash",  "snapshot"};
    const ex_message *message = &world.messages[action->what];
    if (action->kind == EX_DELIVER || action->kind == EX_REPEAT) {
        kvr_message_info info = {0};
        kvr_slice bytes = {message->bytes, message->size};
        (void)!kvr_message_peek(&bytes, UINT32_MAX, &info);
        (void)snprintf(out, size, "%-10s %u to %u: %s term %llu", words[action->kind],
                       message->from, message->to, kvr_raft_message_name(info.type),
                       (unsigned long long)info.term);
    } else if (action->kind == EX_CRASH) {
        (void)snprintf(out, size, "%-10s %u, %u of %u requests done", words[action->kind],
                       action->who + 1, action->what, world.members[action->who].request_count);
    } else {
        (void)snprintf(out, size, "%-10s %u", words[action->kind], action->who + 1);
    }
}
