/* SPDX-License-Identifier: Apache-2.0 */
/* check_fixture.c: see check_fixture.h. Bytes are made as host.h, kvraft-message(5) and
 * kvraft-command(5) say. */
#include "check_fixture.h"

#include <criterion/criterion.h>
#include <string.h>

check_report report;
ghost *ghosts;
check_raft raft;
check_wal wal;
check_store store;
check_history history;
check_lease leases;
check_watch watching;

static struct {
    kvr_store_request items[FIXTURE_QUEUE_MAX];
    uint32_t count;
} queue[FIXTURE_MEMBERS];
static uint64_t token;

void fixture_setup(void)
{
    memset(&report, 0, sizeof report);
    memset(queue, 0, sizeof queue);
    ghosts = ghost_new(FIXTURE_MEMBERS, &report);
    check_raft_init(&raft, ghosts, &report);
    check_wal_init(&wal, ghosts, &report);
    check_store_init(&store, &raft, &report);
    check_history_init(&history, &store, &report);
    check_lease_init(&leases, &store, 0, &report);
    check_watch_init(&watching, &store, &report);
}

void fixture_teardown(void)
{
    check_lease_release(&leases);
    check_history_release(&history);
    check_store_release(&store);
    check_raft_release(&raft);
    ghost_free(ghosts);
}

/* ------------------------------------------------------------------ bytes */

static void put_number(uint8_t *at, uint64_t value, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        at[i] = (uint8_t)(value >> 8 * i);
    }
}

static size_t put_entry(uint8_t *at, uint64_t index, uint64_t term, const kvr_slice *command,
                        uint8_t kind)
{
    memset(at, 0, KVR_ENTRY_HEADER_SIZE);
    put_number(at, KVR_ENTRY_HEADER_SIZE, 2);
    at[2] = 1;
    at[3] = kind;
    put_number(at + 8, index, 8);
    put_number(at + 16, term, 8);
    put_number(at + 32, command->size, 4);
    if (command->size > 0) {
        memcpy(at + KVR_ENTRY_HEADER_SIZE, command->data, command->size);
    }
    return KVR_ENTRY_HEADER_SIZE + command->size;
}

static kvr_slice entries(uint64_t first, uint32_t count, const uint64_t *terms, uint8_t salt)
{
    static uint8_t bytes[64 * 64];
    kvr_slice command = {&salt, 1};
    size_t size = 0;
    for (uint32_t i = 0; i < count; i++) {
        size += put_entry(bytes + size, first + i, terms[i], &command, KVR_ENTRY_NOOP);
    }
    return (kvr_slice){bytes, size};
}

/* ------------------------------------------------------------------ storage */

static void submit(uint32_t member, kvr_store_request *request)
{
    request->size = sizeof *request;
    request->token = ++token;
    check_wal_submitted(&wal, member, request);
    check_raft_submitted(&raft, member, request);
    ghost_submitted(ghosts, member, request);
    cr_assert(queue[member].count < FIXTURE_QUEUE_MAX);
    queue[member].items[queue[member].count++] = *request;
}

static void answer(uint32_t member, const kvr_store_request *request, kvr_store_result *result)
{
    result->size = sizeof *result;
    result->token = request->token;
    check_wal_stored(&wal, member, request, result);
    ghost_stored(ghosts, member, request, result);
    check_raft_stored(&raft, member, request, result);
}

static void append_bytes(uint32_t member, uint64_t first, uint32_t count, uint64_t last_term,
                         kvr_slice bytes)
{
    kvr_store_request request = {
        .kind = KVR_STORE_APPEND,
        .first_index = first,
        .last_index = first + count - 1,
        .last_term = last_term,
        .entry_count = count,
        .pieces = &bytes,
        .piece_count = 1,
    };
    submit(member, &request);
}

void say_append(uint32_t member, uint64_t first, uint32_t count, const uint64_t *terms,
                uint8_t salt)
{
    append_bytes(member, first, count, terms[count - 1], entries(first, count, terms, salt));
}

void say_append_command(uint32_t member, uint64_t index, uint64_t term, const kvr_slice *command)
{
    static uint8_t bytes[4096];
    size_t size = put_entry(bytes, index, term, command, KVR_ENTRY_COMMAND);
    append_bytes(member, index, 1, term, (kvr_slice){bytes, size});
}

void say_vote(uint32_t member, uint64_t term, uint64_t voted_for)
{
    kvr_store_request request = {
        .kind = KVR_STORE_VOTE, .term = term, .voted_for = voted_for, .incarnation = 1};
    submit(member, &request);
}

void say_snapshot(uint32_t member, uint64_t index, uint64_t term)
{
    kvr_store_request request = {
        .kind = KVR_STORE_SNAPSHOT_WRITE,
        .flags = KVR_STORE_LAST,
        .snapshot = {.index = index, .term = term},
    };
    submit(member, &request);
}

void say_discard(uint32_t member, uint64_t first, bool all)
{
    kvr_store_request request = {
        .kind = KVR_STORE_DISCARD, .flags = all ? KVR_STORE_ALL : 0, .first_index = first};
    submit(member, &request);
}

void say_flushed(uint32_t member)
{
    for (uint32_t i = 0; i < queue[member].count; i++) {
        kvr_store_result result = {.status = KVR_OK};
        answer(member, &queue[member].items[i], &result);
    }
    queue[member].count = 0;
}

void say_refused(uint32_t member)
{
    kvr_store_result result = {.status = KVR_ENOSPACE};
    answer(member, &queue[member].items[0], &result);
    queue[member].count--;
    memmove(queue[member].items, queue[member].items + 1,
            queue[member].count * sizeof queue[member].items[0]);
}

void say_crashed(uint32_t member)
{
    queue[member].count = 0;
    check_raft_stopped(&raft, member);
}

void say_loaded(uint32_t member, const load *what)
{
    kvr_store_request request = {.kind = KVR_STORE_LOAD};
    submit(member, &request);
    queue[member].count = 0;
    kvr_store_result result = {
        .term = what->term,
        .voted_for = what->voted_for,
        .incarnation = what->incarnation,
        .first_index = what->first,
        .last_index = what->last,
        .snapshot = {.index = what->snapshot_index, .term = what->snapshot_term},
    };
    answer(member, &request, &result);
}

void say_read(uint32_t member, uint64_t first, uint32_t count, const uint64_t *terms, uint8_t salt)
{
    kvr_store_request request = {.kind = KVR_STORE_READ, .first_index = first};
    submit(member, &request);
    queue[member].count--;
    kvr_slice bytes = entries(first, count, terms, salt);
    kvr_store_result result = {
        .first_index = first, .entry_count = count, .pieces = &bytes, .piece_count = 1};
    answer(member, &request, &result);
}

void say_begun(uint32_t count)
{
    uint64_t terms[32];
    for (uint32_t i = 0; i < count; i++) {
        terms[i] = 1;
    }
    for (uint32_t i = 0; i < FIXTURE_MEMBERS; i++) {
        say_vote(i, 1, i == 0 ? 1 : 0);
        say_append(i, 1, count, terms, 0);
        say_flushed(i);
    }
    say_status(0, &(shown){KVR_ROLE_LEADER, 1, count, count, count, count, 1}, 0);
    EXPECT_NONE();
}

/* ------------------------------------------------------------------ messages, status */

void say_message(uint32_t member, const said *what)
{
    uint8_t bytes[64 + 64] = {0};
    put_number(bytes + 8, sizeof bytes, 4);
    put_number(bytes + 12, 64, 2);
    bytes[14] = 1;
    bytes[15] = what->type;
    put_number(bytes + 16, 1, 8);
    put_number(bytes + 32, (uint64_t)member + 1, 8);
    put_number(bytes + 40, what->to, 8);
    put_number(bytes + 48, what->term, 8);
    put_number(bytes + 64, 64, 2);
    put_number(bytes + 66, what->flags, 2);
    put_number(bytes + 72, what->index, 8);
    put_number(bytes + 80, what->index_term, 8);
    kvr_slice message = {bytes, sizeof bytes};
    check_raft_sent(&raft, member, &message);
}

void say_status(uint32_t member, const shown *what, uint32_t message_type)
{
    kvr_raft_status status = {
        .size = sizeof status,
        .role = what->role,
        .term = what->term,
        .voted_for = what->voted_for,
        .commit_index = what->commit,
        .applied_index = what->applied,
        .last_index = what->last,
        .durable_index = what->durable,
    };
    check_raft_status(&raft, member, &status, message_type);
}

/* ------------------------------------------------------------------ commands */

static uint8_t command_bytes[1024];

static kvr_slice finish_command(uint8_t kind, uint64_t sequence, size_t payload_size)
{
    uint8_t *at = command_bytes;
    memset(at, 0, 64);
    put_number(at, 64, 2);
    at[2] = 1;
    at[3] = kind;
    put_number(at + 8, 1, 8);
    put_number(at + 16, 1, 8);
    put_number(at + 24, sequence, 8);
    put_number(at + 60, payload_size, 4);
    return (kvr_slice){command_bytes, 64 + payload_size};
}

static size_t put_text(uint8_t *at, const char *text)
{
    put_number(at, strlen(text), 4);
    memcpy(at + 4, text, strlen(text));
    return 4 + strlen(text);
}

kvr_slice command_put(uint64_t sequence, const char *key, const char *value, int64_t lease)
{
    uint8_t *at = command_bytes + 64;
    size_t size = 12;
    memset(at, 0, 12);
    put_number(at + 4, value == NULL ? KVR_OP_DELETE : KVR_OP_PUT, 1);
    if (value != NULL) {
        put_number(at + size, (uint64_t)lease, 8);
        size += 8;
    }
    size += put_text(at + size, key);
    size += put_text(at + size, value == NULL ? "" : value);
    put_number(at, size, 4);
    return finish_command(WIRE_COMMAND_WRITE, sequence, size);
}

kvr_slice command_numbers(uint8_t kind, uint64_t sequence, uint64_t a, uint64_t b)
{
    put_number(command_bytes + 64, a, 8);
    put_number(command_bytes + 72, b, 8);
    put_number(command_bytes + 80, 0, 8);
    return finish_command(kind, sequence,
                          kind == WIRE_COMMAND_COMPACT  ? 8
                          : kind == WIRE_COMMAND_REVOKE ? 24
                                                        : 16);
}

uint64_t commit_command(const kvr_slice *command)
{
    uint64_t index = ghosts->members[0].view.last + 1;
    for (uint32_t i = 0; i < FIXTURE_MEMBERS; i++) {
        say_append_command(i, index, 1, command);
        say_flushed(i);
    }
    say_status(0, &(shown){KVR_ROLE_LEADER, 1, index, index, index, index, 1}, 0);
    check_store_advance(&store);
    return index;
}

kvr_op op_put(const char *key, const char *value)
{
    return (kvr_op){
        .size = sizeof(kvr_op),
        .kind = KVR_OP_PUT,
        .key = {(const uint8_t *)key, strlen(key)},
        .value = {(const uint8_t *)value, strlen(value)},
    };
}

kvr_completion answer_write(uint64_t index, uint64_t revision, const kvr_op_result *result)
{
    return (kvr_completion){
        .size = sizeof(kvr_completion),
        .kind = KVR_CALL_WRITE,
        .outcome = KVR_OUTCOME_DONE,
        .status = KVR_OK,
        .revision = revision,
        .index = index,
        .result = result,
    };
}
