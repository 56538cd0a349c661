/* SPDX-License-Identifier: Apache-2.0 */
/* wal_world.c: requests with their model. */
#include "wal_world.h"

#include <criterion/criterion.h>

#include "base/entry.h"
#include "support/test_hash.h"
#include "wal/wal_format.h"

#include <stdlib.h>
#include <string.h>

enum { ENTRY_SIZE_MAX = 512, STREAM_SIZE_MAX = 256 * 1024, READ_MAX = 700 };

/* ------------------------------------------------------------------ bytes */

static uint64_t mix(uint64_t index, uint64_t term, uint64_t salt)
{
    uint64_t words[] = {index, term, salt};
    return kvr__xxh3_64(words, sizeof words);
}

size_t wal_world_entry_size(uint64_t index, uint32_t term)
{
    return KVR_ENTRY_HEADER_SIZE + (size_t)(mix(index, term, 1) % 200);
}

size_t wal_world_entry(uint64_t index, uint32_t term, uint8_t *out)
{
    size_t size = wal_world_entry_size(index, term);
    uint8_t *command = out + KVR_ENTRY_HEADER_SIZE;
    kvr_entry entry = {.index = index, .term = term, .kind = KVR_ENTRY_COMMAND};
    entry.command = (kvr_slice){command, size - KVR_ENTRY_HEADER_SIZE};
    for (size_t i = 0; i < entry.command.size; i++) {
        command[i] = (uint8_t)mix(index, term, 2 + i / 8) ^ (uint8_t)i;
    }
    entry.command_checksum = kvr__xxh3_64(command, entry.command.size);
    kvr__entry_write_header(out, &entry);
    return size;
}

size_t wal_world_stream(uint64_t index, uint64_t term, uint8_t *out)
{
    size_t size = index % 5 == 0 ? 65536 * 2 + (size_t)(index % 100) : (size_t)(index * 37 % 3000);
    kvr__random random;
    kvr__random_init(&random, mix(index, term, 99));
    for (size_t i = 0; i < size; i++) {
        out[i] = (uint8_t)kvr__random_next(&random);
    }
    return size;
}

static size_t configuration_of(uint64_t index, uint8_t *out)
{
    size_t size = (size_t)(index % 3) * 20;
    memset(out, (int)(index & 0xFF), size);
    return size;
}

static uint8_t stream_bytes[STREAM_SIZE_MAX];

static void fill_meta(kvr_snapshot_meta *meta, uint64_t index, uint64_t term,
                      uint8_t *configuration)
{
    *meta = (kvr_snapshot_meta){.index = index, .term = term};
    meta->bytes = wal_world_stream(index, term, stream_bytes);
    test_xxh3_128(stream_bytes, (size_t)meta->bytes, meta->hash);
    meta->configuration = (kvr_slice){configuration, configuration_of(index, configuration)};
}

/* ------------------------------------------------------------------ life */

static kvr_status fill_random(void *ctx, uint8_t *out_bytes, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        out_bytes[i] = (uint8_t)kvr__random_next(ctx);
    }
    return KVR_OK;
}

static const kvr_entropy entropy = {.size = sizeof(kvr_entropy), .fill = fill_random};

void wal_world_init(wal_world *world)
{
    memset(world, 0, sizeof *world);
    test_alloc_init(&world->alloc);
    world->alloc.quiet = 1;
    world->disk = wal_disk_new();
    kvr__random_init(&world->random, 42);
    world->history = malloc(HISTORY_MAX * sizeof(wal_state));
    cr_assert_not_null(world->history);
    world->model.base = 1;
    world->model.first = 1;
    world->history[0] = (wal_state){.model = world->model};
    world->history_count = 1;
    cr_assert_eq(kvr_wal_config_init(&world->config, sizeof world->config), KVR_OK);
    world->config.flags = KVR_WAL_CREATE;
    world->config.cluster_id = CLUSTER;
    world->config.member_id = MEMBER;
    world->config.group_id = GROUP;
    world->config.segment_bytes = 4096;
    world->config.batch_bytes = 1024;
    world->config.read_bytes = 65536;
    world->config.files = &wal_disk_ops;
    world->config.files_ctx = world->disk;
    world->config.entropy = &entropy;
    world->config.entropy_ctx = &world->random;
    world->config.allocator = &test_alloc_table;
    world->config.allocator_ctx = &world->alloc;
}

void wal_world_share(wal_world *world)
{
    world->is_many = true;
    world->config.flags |= KVR_WAL_GROUPS;
    world->config.group_id = 0;
}

void wal_world_release(wal_world *world)
{
    wal_world_kill(world);
    cr_assert_eq(wal_disk_open_files(world->disk), 0, "%llu files are open",
                 (unsigned long long)wal_disk_open_files(world->disk));
    wal_disk_free(world->disk);
    free(world->history);
    TEST_ALLOC_ASSERT_EMPTY(&world->alloc);
}

kvr_status wal_world_try_open(wal_world *world)
{
    cr_assert_null(world->wal);
    kvr_status status = kvr_wal_new(&world->config, &world->wal);
    return status == KVR_OK ? kvr_wal_open(world->wal) : status;
}

void wal_world_open(wal_world *world)
{
    kvr_status status = wal_world_try_open(world);
    cr_assert_eq(status, KVR_OK, "%s: %s", kvr_status_name(status),
                 world->wal == NULL ? "" : kvr_wal_error(world->wal));
}

void wal_world_close(wal_world *world)
{
    cr_assert_eq(kvr_wal_close(world->wal), KVR_OK);
    wal_world_kill(world);
}

void wal_world_kill(wal_world *world)
{
    kvr_wal_free(world->wal);
    world->wal = NULL;
}

void wal_world_use(wal_world *world, wal_disk *disk)
{
    cr_assert_null(world->wal);
    wal_disk_free(world->disk);
    world->disk = disk;
    world->config.files_ctx = disk;
}

/* ------------------------------------------------------------------ requests */

kvr_status wal_world_ask(wal_world *world, const kvr_store_request *request,
                         kvr_store_result *result)
{
    static uint64_t token;
    kvr_store_request sent = *request;
    sent.size = sizeof sent;
    sent.group_id = GROUP;
    sent.token = ++token;
    *result = (kvr_store_result){.size = sizeof *result};
    kvr_status status = kvr_wal_execute(world->wal, &sent, 1, result);
    cr_assert(status == KVR_OK || kvr_status_is_fatal(status), "%s", kvr_status_name(status));
    cr_assert_eq(result->token, sent.token);
    cr_assert_eq(result->group_id, GROUP);
    return result->status;
}

/* ------------------------------------------------------------------ other groups */

static const uint64_t other_ids[OTHERS] = {GROUP - 2, GROUP + 6, GROUP + 7};

enum { BATCH_MAX = 7, IDLE_AFTER = 6 };

/* The next request of other group `i`: an append of one entry, or a vote. */
static kvr_store_request other_request(const wal_world *world, uint32_t i, uint8_t kind,
                                       kvr_slice *piece)
{
    uint64_t next = world->others[i] + 1;
    kvr_store_request request = {.size = sizeof request,
                                 .kind = kind,
                                 .group_id = other_ids[i],
                                 .token = 1000 + i,
                                 .term = next,
                                 .voted_for = 1,
                                 .incarnation = 1};
    if (kind == KVR_STORE_APPEND) {
        static uint8_t bytes[OTHERS][ENTRY_SIZE_MAX];
        *piece = (kvr_slice){bytes[i], wal_world_entry(next, OTHER_TERM, bytes[i])};
        request.first_index = request.last_index = next;
        request.last_term = OTHER_TERM;
        request.entry_count = 1;
        request.pieces = piece;
        request.piece_count = 1;
    } else if (kind == KVR_STORE_DISCARD) {
        request.first_index = next > 2 ? next - 2 : 1;
    }
    return request;
}

/* Asks for `request` amid those of others: one before it, a vote and an append of the other
 * after. */
static kvr_status ask_amid(wal_world *world, const kvr_store_request *request)
{
    kvr_slice pieces[OTHERS];
    kvr_store_request batch[BATCH_MAX] = {
        other_request(world, 0, KVR_STORE_APPEND, &pieces[0]),
        *request,
        other_request(world, 1, KVR_STORE_VOTE, &pieces[1]),
        other_request(world, 1, KVR_STORE_APPEND, &pieces[1]),
        other_request(world, OTHER_IDLE, KVR_STORE_APPEND, &pieces[OTHER_IDLE]),
        other_request(world, 0, KVR_STORE_DISCARD, NULL),
        other_request(world, 1, KVR_STORE_DISCARD, NULL),
    };
    batch[1].size = sizeof batch[1];
    batch[1].group_id = GROUP;
    kvr_store_result results[BATCH_MAX] = {{.size = sizeof results[0]}};
    uint32_t count = world->others[0] % 5 == 4 ? BATCH_MAX : BATCH_MAX - 2;
    if (world->others[OTHER_IDLE] >= IDLE_AFTER) {
        batch[4] = batch[5]; /* a discard does nothing that counts */
    }
    kvr_status status = kvr_wal_execute(world->wal, batch, count, results);
    cr_assert(status == KVR_OK || kvr_status_is_fatal(status), "%s", kvr_status_name(status));
    world->others[0] += results[0].status == KVR_OK;
    world->others[1] += results[3].status == KVR_OK;
    world->others[OTHER_IDLE] += batch[4].kind == KVR_STORE_APPEND && results[4].status == KVR_OK;
    return results[1].status;
}

/* NULL if the log of other group `i` ends at one of `least`..`most` and holds what it should. */
static const char *differs_other(wal_world *world, uint32_t i, uint64_t least, uint64_t most)
{
    kvr_store_request request = {
        .size = sizeof request, .kind = KVR_STORE_LOAD, .group_id = other_ids[i]};
    kvr_store_result result = {.size = sizeof result};
    if (kvr_wal_execute(world->wal, &request, 1, &result) != KVR_OK || result.status != KVR_OK) {
        return "another group cannot be loaded";
    }
    if (result.last_index < least || result.last_index > most) {
        return "another group's log ends elsewhere";
    }
    if (i == 1 && (result.term < least || result.term > most + 1)) {
        return "another group's term";
    }
    uint64_t last = result.last_index;
    request.kind = KVR_STORE_READ;
    request.byte_max = READ_MAX;
    request.last_index = last;
    for (uint64_t index = result.first_index; index > 0 && index <= last;) {
        request.first_index = index;
        if (kvr_wal_execute(world->wal, &request, 1, &result) != KVR_OK ||
            result.status != KVR_OK || result.first_index != index) {
            return "another group's entry cannot be read";
        }
        const uint8_t *at = result.pieces[0].data;
        for (; index <= result.last_index; index++) {
            uint8_t bytes[ENTRY_SIZE_MAX];
            size_t size = wal_world_entry(index, OTHER_TERM, bytes);
            if (memcmp(bytes, at, size) != 0) {
                return "another group's entry holds other bytes";
            }
            at += size;
        }
    }
    return NULL;
}

static const char *differs_others(wal_world *world, const wal_world *from, size_t calls)
{
    const wal_state *answered = &from->history[0], *asked = answered;
    for (size_t i = 1; i < from->history_count; i++) {
        const wal_state *state = &from->history[i];
        answered = state->answered <= calls ? state : answered;
        asked = state->asked < calls ? state : asked;
    }
    const char *what = NULL;
    for (uint32_t i = 0; i < OTHERS && what == NULL; i++) {
        what = differs_other(world, i, answered->others_after[i], asked->others_before[i] + 1);
    }
    return what;
}

/* ------------------------------------------------------------------ the model's requests */

/* Asks; if it is done the model becomes `next`, and either way that is a state a crash may
 * leave. */
static kvr_status ask_for(wal_world *world, const kvr_store_request *request, const wal_model *next)
{
    cr_assert_lt(world->history_count, HISTORY_MAX);
    wal_state *state = &world->history[world->history_count++];
    *state =
        (wal_state){.model = *next, .asked = wal_disk_calls(world->disk), .answered = SIZE_MAX};
    kvr_store_result result;
    memcpy(state->others_before, world->others, sizeof world->others);
    kvr_status status =
        world->is_many ? ask_amid(world, request) : wal_world_ask(world, request, &result);
    memcpy(state->others_after, world->others, sizeof world->others);
    if (status == KVR_OK) {
        state->answered = wal_disk_calls(world->disk);
        world->model = *next;
    }
    return status;
}

kvr_status wal_world_append(wal_world *world, uint64_t first, uint32_t count, uint32_t term)
{
    uint8_t *bytes = malloc((size_t)count * ENTRY_SIZE_MAX);
    cr_assert_not_null(bytes);
    cr_assert_leq(first + count, MODEL_INDEX_MAX);
    static wal_model next;
    next = world->model;
    size_t size = 0, half = 0;
    for (uint32_t i = 0; i < count; i++) {
        half = i == count / 2 ? size : half;
        size += wal_world_entry(first + i, term, bytes + size);
        next.terms[first + i] = term;
    }
    next.last = first + count - 1;
    kvr_slice pieces[] = {{bytes, half}, {bytes + half, size - half}};
    kvr_store_request request = {
        .kind = KVR_STORE_APPEND,
        .first_index = first,
        .last_index = next.last,
        .last_term = term,
        .entry_count = count,
        .pieces = pieces,
        .piece_count = 2,
    };
    kvr_status status = ask_for(world, &request, &next);
    free(bytes);
    return status;
}

kvr_status wal_world_vote(wal_world *world, uint64_t term, uint64_t voted_for)
{
    static wal_model next;
    next = world->model;
    next.term = term;
    next.voted_for = voted_for;
    next.incarnation++;
    kvr_store_request request = {
        .kind = KVR_STORE_VOTE,
        .term = term,
        .voted_for = voted_for,
        .incarnation = next.incarnation,
    };
    return ask_for(world, &request, &next);
}

/* host.h, LOAD: a log that does not go on from the snapshot is reported as empty. */
static void join(wal_model *model)
{
    uint64_t index = model->snapshot_index;
    bool holds = index >= model->base && index <= model->last;
    if (model->last < index || (holds && model->terms[index] != model->snapshot_term)) {
        model->base = index + 1;
        model->first = index + 1;
        model->last = index;
    }
}

kvr_status wal_world_snapshot(wal_world *world, uint64_t index, uint8_t source, size_t chunk)
{
    static wal_model next;
    next = world->model;
    bool holds = index >= next.base && index <= next.last;
    uint64_t term = source == KVR_SNAPSHOT_LOCAL && holds ? next.terms[index] : next.term;
    kvr_snapshot_meta meta;
    uint8_t configuration[64];
    fill_meta(&meta, index, term, configuration);
    next.snapshot_index = index;
    next.snapshot_term = term;
    kvr_status status = KVR_OK;
    for (uint64_t offset = 0; status == KVR_OK; offset += chunk) {
        uint64_t left = meta.bytes - offset;
        kvr_store_request request = {
            .kind = KVR_STORE_SNAPSHOT_WRITE,
            .source = source,
            .offset = offset,
            .chunk = {stream_bytes + offset, left < chunk ? (size_t)left : chunk},
            .snapshot = {.index = index, .term = term},
        };
        if (left <= chunk) {
            request.flags = KVR_STORE_LAST;
            request.snapshot = meta;
            return ask_for(world, &request, &next);
        }
        kvr_store_result result;
        status = wal_world_ask(world, &request, &result);
    }
    return status;
}

kvr_status wal_world_discard(wal_world *world, uint64_t first, bool all)
{
    static wal_model next;
    next = world->model;
    next.first = all || first > next.first ? first : next.first;
    if (all) {
        next.base = first;
        next.last = first - 1;
    }
    kvr_store_request request = {
        .kind = KVR_STORE_DISCARD, .flags = all ? KVR_STORE_ALL : 0, .first_index = first};
    return ask_for(world, &request, &next);
}

void wal_world_maintain(wal_world *world)
{
    kvr_status status;
    uint32_t steps = 0;
    do {
        status = kvr_wal_maintain(world->wal);
        cr_assert_lt(++steps, 10000);
    } while (status == KVR_AGAIN);
    cr_assert_eq(status, KVR_OK, "%s: %s", kvr_status_name(status), kvr_wal_error(world->wal));
}

void wal_world_grow(wal_world *world, uint32_t count, uint32_t term)
{
    kvr_status status = wal_world_append(world, world->model.last + 1, count, term);
    cr_assert_eq(status, KVR_OK, "%s: %s", kvr_status_name(status), kvr_wal_error(world->wal));
}

void wal_world_step(wal_world *world, kvr__random *random)
{
    wal_model *model = &world->model;
    uint64_t last = model->last, first = model->first;
    uint32_t term = (uint32_t)(model->term == 0 ? 1 : model->term);
    kvr_status status = KVR_OK;
    switch (kvr__random_below(random, 16)) {
    case 0:
        status = wal_world_vote(world, model->term + 1, kvr__random_below(random, 4));
        break;
    case 1: /* a conflicting suffix, which must be of a new term */
        if (last > first) {
            uint64_t from = first + 1 + kvr__random_below(random, last - first);
            from = from > model->snapshot_index ? from : model->snapshot_index + 1;
            (void)wal_world_vote(world, model->term + 1, 0);
            status = wal_world_append(world, from, 1 + (uint32_t)kvr__random_below(random, 4),
                                      (uint32_t)model->term);
        }
        break;
    case 2:
        if (last > model->snapshot_index && last >= first) {
            status = wal_world_snapshot(world, last, KVR_SNAPSHOT_LOCAL, 700);
            uint64_t keep = kvr__random_below(random, 3);
            uint64_t from = last + 1 > first + keep ? last + 1 - keep : first;
            status = status == KVR_OK ? wal_world_discard(world, from, false) : status;
        }
        break;
    case 3:
        if (kvr__random_below(random, 4) == 0) {
            uint64_t index = last + 1 + kvr__random_below(random, 20);
            status = wal_world_snapshot(world, index, KVR_SNAPSHOT_RECEIVED, 1000);
            status = status == KVR_OK ? wal_world_discard(world, index + 1, true) : status;
        }
        break;
    case 4:
        status = kvr_wal_maintain(world->wal) < 0 ? KVR_EIO : KVR_OK;
        break;
    case 5:
        wal_world_maintain(world);
        break;
    case 6:
        status = kvr_wal_idle(world->wal);
        break;
    default:
        status =
            wal_world_append(world, last + 1, 1 + (uint32_t)kvr__random_below(random, 6), term);
    }
    cr_assert_eq(status, KVR_OK, "%s: %s", kvr_status_name(status), kvr_wal_error(world->wal));
}

/* ------------------------------------------------------------------ what must be there */

static const char *differs_entries(wal_world *world, const wal_model *model, uint64_t first)
{
    for (uint64_t index = first; index <= model->last;) {
        kvr_store_request request = {.kind = KVR_STORE_READ,
                                     .first_index = index,
                                     .last_index = model->last,
                                     .byte_max = READ_MAX};
        kvr_store_result result;
        kvr_status status = wal_world_ask(world, &request, &result);
        if (status != KVR_OK || result.first_index != index || result.entry_count == 0 ||
            result.entry_count != result.last_index - index + 1 || result.piece_count != 1) {
            return status == KVR_OK ? "a read returns something else" : "an entry cannot be read";
        }
        size_t used = 0;
        for (uint64_t i = index; i <= result.last_index; i++) {
            uint8_t bytes[ENTRY_SIZE_MAX];
            size_t size = wal_world_entry(i, model->terms[i], bytes);
            if (size > result.pieces[0].size - used ||
                memcmp(bytes, result.pieces[0].data + used, size) != 0) {
                return "an entry holds other bytes";
            }
            used += size;
        }
        if (used != result.pieces[0].size || (used > READ_MAX && result.entry_count > 1)) {
            return "a read returns more than it was asked for";
        }
        index = result.last_index + 1;
    }
    return NULL;
}

static const char *differs_snapshot(wal_world *world, const wal_model *model)
{
    kvr_snapshot_meta meta;
    uint8_t configuration[64];
    fill_meta(&meta, model->snapshot_index, model->snapshot_term, configuration);
    const uint64_t chunk = model->snapshot_index % 2 == 0 ? 1000 : 100000;
    for (uint64_t offset = 0;;) {
        kvr_store_request request = {.kind = KVR_STORE_SNAPSHOT_READ,
                                     .offset = offset,
                                     .byte_max = chunk,
                                     .snapshot = {.index = meta.index, .term = meta.term}};
        kvr_store_result result;
        if (wal_world_ask(world, &request, &result) != KVR_OK) {
            return "the snapshot cannot be read";
        }
        if (result.snapshot.bytes != meta.bytes ||
            memcmp(result.snapshot.hash, meta.hash, sizeof meta.hash) != 0 ||
            result.snapshot.configuration.size != meta.configuration.size ||
            (meta.configuration.size > 0 && memcmp(result.snapshot.configuration.data,
                                                   configuration, meta.configuration.size) != 0)) {
            return "the snapshot has another meta";
        }
        if (result.chunk.size == 0) {
            return offset == meta.bytes ? NULL : "the snapshot ends too soon";
        }
        if (result.chunk.size > meta.bytes - offset || result.chunk.size > chunk ||
            memcmp(result.chunk.data, stream_bytes + offset, result.chunk.size) != 0) {
            return "the snapshot holds other bytes";
        }
        offset += result.chunk.size;
    }
}

const char *wal_world_differs(wal_world *world, const wal_model *model)
{
    static wal_model joined;
    joined = *model;
    join(&joined);
    kvr_store_request request = {.kind = KVR_STORE_LOAD};
    kvr_store_result result;
    if (wal_world_ask(world, &request, &result) != KVR_OK) {
        return "it cannot be loaded";
    }
    if (result.term != joined.term || result.voted_for != joined.voted_for ||
        result.incarnation != joined.incarnation) {
        return "term, vote or incarnation";
    }
    if (result.snapshot.index != joined.snapshot_index ||
        result.snapshot.term != joined.snapshot_term) {
        return "another snapshot";
    }
    uint64_t first = result.first_index == 0 ? 1 : result.first_index;
    if (result.last_index != joined.last) {
        return "another last index";
    }
    if (first < joined.base || first > joined.first) {
        return "another first index";
    }
    if (joined.snapshot_index > 0 && first > joined.snapshot_index + 1) {
        return "a gap between snapshot and log";
    }
    const char *what = differs_entries(world, &joined, first);
    if (what == NULL && joined.snapshot_index > 0) {
        what = differs_snapshot(world, &joined);
    }
    return what;
}

void wal_world_check(wal_world *world)
{
    const char *what = wal_world_differs(world, &world->model);
    cr_assert_null(what, "%s (%s)", what, kvr_wal_error(world->wal));
}

/* A vote that was refused for want of room may be found all the same, until a later one is
 * answered. */
static bool is_refused_vote(wal_world *world, const wal_world *from, const wal_model *model,
                            size_t calls)
{
    static wal_model variant;
    for (size_t i = 0; i < from->history_count; i++) {
        const wal_state *state = &from->history[i];
        if (state->answered != SIZE_MAX || state->asked >= calls ||
            state->model.incarnation != model->incarnation + 1) {
            continue;
        }
        variant = *model;
        variant.term = state->model.term;
        variant.voted_for = state->model.voted_for;
        variant.incarnation = state->model.incarnation;
        if (wal_world_differs(world, &variant) == NULL) {
            return true;
        }
    }
    return false;
}

const char *wal_world_survived(wal_world *world, const wal_world *from, size_t calls)
{
    const char *what = "no state";
    size_t i = from->history_count;
    while (i-- > 0) {
        const wal_state *state = &from->history[i];
        if (i > 0 && state->asked >= calls) {
            continue;
        }
        what = wal_world_differs(world, &state->model);
        if (what == NULL || is_refused_vote(world, from, &state->model, calls)) {
            return from->is_many ? differs_others(world, from, calls) : NULL;
        }
        if (state->answered <= calls) {
            return what; /* what was answered by then is the least that must be there */
        }
    }
    return what;
}

static bool begins(const char *name, const char *prefix)
{
    return strncmp(name, prefix, strlen(prefix)) == 0;
}

const char *wal_world_file(const wal_world *world, const char *prefix, bool last)
{
    const char *best = NULL;
    for (size_t i = 0; wal_disk_name(world->disk, i) != NULL; i++) {
        const char *name = wal_disk_name(world->disk, i);
        if (begins(name, prefix) && (best == NULL || (strcmp(name, best) < 0) != last)) {
            best = name;
        }
    }
    return best;
}

uint64_t wal_world_store_id(const wal_world *world)
{
    size_t size;
    const uint8_t *bytes = wal_disk_bytes(world->disk, KVR__WAL_VOTE_NAME, &size);
    kvr__wal_vote vote;
    cr_assert_not_null(bytes);
    /* the first slot that was ever written */
    cr_assert_eq(
        kvr__wal_vote_read((kvr_slice){bytes + KVR__WAL_SLOT_SIZE, KVR__WAL_HEAD_SIZE}, &vote),
        KVR_OK);
    return vote.store_id;
}
