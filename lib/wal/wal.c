/* SPDX-License-Identifier: Apache-2.0 */
/* wal.c: the door: config, life of a handle, the batch of requests, questions. Reads as a table of
 * contents; each subject has a file of its own. A handle that has failed does nothing any more:
 * what it answered with KVR_OK before is durable, and it will never say so of anything else
 * (W8). */
#include "wal_internal.h"

#include "base/array.h"
#include "base/assertion.h"
#include "base/sized.h"
#include "base/text.h"

enum {
    DEFAULT_SEGMENT_BYTES = 64 * 1024 * 1024,
    DEFAULT_SEGMENTS_READY = 1,
    DEFAULT_BATCH_BYTES = 1024 * 1024,
    DEFAULT_READ_BYTES = 1024 * 1024,
    SEGMENT_BYTES_MIN = 4096,
    SEGMENT_BYTES_UNIT = 512,
    SEGMENTS_READY_MAX = 64,
    BATCH_BYTES_MIN = 1024,
    READ_BYTES_MIN = 64 * 1024,
    BUFFER_BYTES_MAX = 64 * 1024 * 1024,
    DEFAULT_GROUPS_MAX = 65536,
    GROUPS_MAX = 1 << 20
};

#define SEGMENT_BYTES_MAX (UINT64_C(4) << 30)

_Static_assert((int)READ_BYTES_MIN >= (int)KVR__WAL_BLOCK_SIZE,
               "a slice of a snapshot holds a block");
_Static_assert((int)BATCH_BYTES_MIN >= 4 * (int)KVR__WAL_HEAD_SIZE,
               "a mark and its head fit one write");

/* ------------------------------------------------------------------ config */

static void fill_defaults(kvr_wal_config *config)
{
    if (config->segment_bytes == 0) {
        config->segment_bytes = DEFAULT_SEGMENT_BYTES;
    }
    if (config->segments_ready == 0) {
        config->segments_ready = DEFAULT_SEGMENTS_READY;
    }
    if (config->batch_bytes == 0) {
        config->batch_bytes = DEFAULT_BATCH_BYTES;
    }
    if (config->read_bytes == 0) {
        config->read_bytes = DEFAULT_READ_BYTES;
    }
    if (config->groups_max == 0) {
        config->groups_max = DEFAULT_GROUPS_MAX;
    }
}

kvr_status kvr_wal_config_init(kvr_wal_config *config, uint32_t size)
{
    if (config == NULL || size < sizeof *config) {
        return KVR_EINVAL;
    }
    memset(config, 0, size);
    config->size = size;
    fill_defaults(config);
    return KVR_OK;
}

static bool has_all_calls(const kvr_file_ops *files)
{
    return files->open != NULL && files->close != NULL && files->pwrite != NULL &&
           files->pread != NULL && files->fdatasync != NULL && files->truncate != NULL &&
           files->length != NULL && files->rename != NULL && files->unlink != NULL &&
           files->sync_directory != NULL && files->list != NULL;
}

static const char *check(const kvr_wal_config *config, const kvr_file_ops *files)
{
    const uint32_t known = KVR_WAL_CREATE | KVR_WAL_READ_ONLY | KVR_WAL_GROUPS;
    if ((config->flags & ~known) != 0) {
        return "flags: unknown; known are KVR_WAL_CREATE, KVR_WAL_READ_ONLY and KVR_WAL_GROUPS";
    }
    if ((config->flags & KVR_WAL_GROUPS) != 0 && config->group_id != 0) {
        return "group_id must be 0 in a store of many groups";
    }
    if (config->groups_max > GROUPS_MAX) {
        return "groups_max must be at most 1,048,576";
    }
    if (config->cluster_id == 0 || config->member_id == 0) {
        return "cluster_id and member_id must not be 0";
    }
    if (config->segment_bytes < SEGMENT_BYTES_MIN || config->segment_bytes > SEGMENT_BYTES_MAX ||
        config->segment_bytes % SEGMENT_BYTES_UNIT != 0) {
        return "segment_bytes must be a multiple of 512 from 4 KiB to 4 GiB";
    }
    if (config->segments_ready > SEGMENTS_READY_MAX) {
        return "segments_ready must be at most 64";
    }
    if (config->batch_bytes < BATCH_BYTES_MIN || config->batch_bytes > BUFFER_BYTES_MAX) {
        return "batch_bytes must be from 1 KiB to 64 MiB";
    }
    if (config->read_bytes < READ_BYTES_MIN || config->read_bytes > BUFFER_BYTES_MAX) {
        return "read_bytes must be from 64 KiB to 64 MiB";
    }
    if (!has_all_calls(files)) {
        return "files: each call but space and error must be there";
    }
    if (config->entropy == NULL || config->entropy->fill == NULL) {
        return "entropy must be there: ids of store and segments must never repeat";
    }
    return NULL;
}

/* Reads the caller's config and table of files; both may be of another release. */
static const char *read_config(const kvr_wal_config *from, kvr_wal_config *config,
                               kvr_file_ops *files)
{
    if (from == NULL || !kvr__sized_read(config, sizeof *config, from, sizeof *config)) {
        return "size: fill the config with kvr_wal_config_init";
    }
    fill_defaults(config);
    if (config->files == NULL ||
        !kvr__sized_read(files, sizeof *files, config->files, sizeof *files)) {
        return "files must be there, with its size";
    }
    return check(config, files);
}

const char *kvr_wal_config_check(const kvr_wal_config *config)
{
    kvr_wal_config known;
    kvr_file_ops files;
    return read_config(config, &known, &files);
}

/* ------------------------------------------------------------------ life */

kvr_status kvr_wal_new(const kvr_wal_config *config, kvr_wal **out_wal)
{
    kvr_wal_config known;
    kvr_file_ops files;
    if (out_wal == NULL || read_config(config, &known, &files) != NULL) {
        return KVR_EINVAL;
    }
    void *handle;
    kvr_status status = kvr__mem_new_handle(known.allocator, known.allocator_ctx, sizeof(kvr_wal),
                                            offsetof(kvr_wal, mem), &handle);
    if (status != KVR_OK) {
        return status;
    }
    kvr_wal *wal = handle;
    wal->config = known;
    wal->files = files;
    wal->removal_due = true;
    wal->snapshot_due = true;
    kvr__wal_group *group;
    bool has_group =
        kvr__wal_group_is_many(wal) || kvr__wal_group_add(wal, known.group_id, &group) == KVR_OK;
    wal->write_buffer = kvr__mem_alloc(&wal->mem, KVR__MEM_HANDLE, known.batch_bytes);
    wal->read_buffer = kvr__mem_alloc(&wal->mem, KVR__MEM_HANDLE, known.read_bytes);
    wal->read_capacity = wal->read_buffer == NULL ? 0 : known.read_bytes;
    if (!has_group || wal->write_buffer == NULL || wal->read_buffer == NULL) {
        kvr_wal_free(wal);
        return KVR_ENOMEM;
    }
    *out_wal = wal;
    return KVR_OK;
}

kvr_status kvr_wal_open(kvr_wal *wal)
{
    if (wal->state != KVR__WAL_NEW) {
        return KVR_ESTATE;
    }
    kvr_status status = kvr__wal_recover(wal);
    if (status == KVR_OK) {
        wal->state = KVR__WAL_OPEN;
        KVR_CHECKED(kvr__wal_check(wal));
        return KVR_OK;
    }
    if (wal->failure.status != status) {
        (void)kvr__wal_files_report(wal, &(kvr__wal_damage){.status = status,
                                                            .file = "",
                                                            .what = kvr_status_text(status),
                                                            .remedy = "nothing was changed"});
    }
    wal->state = KVR__WAL_REFUSED;
    return status;
}

static void close_files(kvr_wal *wal)
{
    for (uint32_t i = 0; i < wal->groups.count; i++) {
        kvr__wal_snapshot_close(wal, wal->groups.items[i]);
    }
    kvr__wal_verify_end(wal);
    kvr__wal_files_close(wal, &wal->read_file);
    kvr__wal_files_close(wal, &wal->file);
    kvr__wal_files_close(wal, &wal->fill);
    kvr__wal_files_close(wal, &wal->vote_file);
}

kvr_status kvr_wal_close(kvr_wal *wal)
{
    if (wal->state != KVR__WAL_OPEN) {
        return KVR_ESTATE;
    }
    kvr_status status = kvr_wal_idle(wal);
    if (status == KVR_OK && (wal->config.flags & KVR_WAL_READ_ONLY) == 0) {
        status = kvr__wal_vote_vouch(wal);
    }
    close_files(wal);
    kvr__wal_read_end_lending(wal);
    wal->state = wal->state == KVR__WAL_OPEN ? KVR__WAL_CLOSED : wal->state;
    return status;
}

void kvr_wal_free(kvr_wal *wal)
{
    if (wal == NULL) {
        return;
    }
    close_files(wal);
    kvr__wal_read_end_lending(wal);
    if (wal->spare != NULL) {
        kvr__mem_free(&wal->mem, KVR__MEM_MESSAGE, wal->spare,
                      sizeof *wal->spare + wal->spare->capacity);
    }
    while (wal->groups.count > 0) {
        kvr__wal_group_drop(wal, wal->groups.items[wal->groups.count - 1]);
    }
    kvr__array_free(&wal->mem, KVR__MEM_HANDLE, (void **)&wal->groups.items, &wal->groups.capacity,
                    sizeof *wal->groups.items);
    kvr__array_free(&wal->mem, KVR__MEM_LOG, (void **)&wal->batch.items, &wal->batch.capacity,
                    sizeof *wal->batch.items);
    kvr__array_free(&wal->mem, KVR__MEM_LOG, (void **)&wal->segments.items, &wal->segments.capacity,
                    sizeof(kvr__wal_segment));
    kvr__array_free(&wal->mem, KVR__MEM_LOG, (void **)&wal->ready.items, &wal->ready.capacity,
                    sizeof(kvr__wal_ready));
    kvr__mem_free(&wal->mem, KVR__MEM_HANDLE, wal->write_buffer, wal->config.batch_bytes);
    kvr__mem_free(&wal->mem, KVR__MEM_HANDLE, wal->read_buffer, wal->read_capacity);
    KVR_ASSERT(wal->mem.blocks == 1);
    kvr__mem_free_handle(wal, sizeof *wal, offsetof(kvr_wal, mem));
}

/* ------------------------------------------------------------------ requests */

static kvr_status load(kvr_wal *wal, const kvr__wal_group *group, kvr_store_result *result)
{
    const kvr__wal_snapshot *newest = kvr__wal_snapshot_newest(group);
    if (newest != NULL) {
        kvr_status status = kvr__wal_snapshot_meta(wal, newest, &result->snapshot);
        if (status != KVR_OK) {
            return status;
        }
    }
    result->term = group->term;
    result->voted_for = group->voted_for;
    result->incarnation = group->incarnation;
    result->first_index = group->first_index;
    result->last_index = group->last_index;
    if (newest == NULL && group->last_index == 0) {
        result->first_index = 0; /* host.h: without anything, all zero */
    } else if (newest != NULL && group->last_index < newest->index) {
        result->first_index = newest->index + 1; /* host.h: it ends before it, so it is empty */
        result->last_index = newest->index;
    }
    return KVR_OK;
}

static kvr_status discard(kvr_wal *wal, kvr__wal_group *group, const kvr_store_request *request)
{
    if (request->first_index == 0 || request->first_index > KVR__WAL_NUMBER_MAX) {
        return KVR_EINVAL;
    }
    wal->removal_due = true;
    if ((request->flags & KVR_STORE_ALL) != 0) {
        return kvr__wal_append_empty(wal, group, request->first_index);
    }
    uint64_t first = request->first_index;
    first = first > group->last_index + 1 ? group->last_index + 1 : first;
    group->first_index = first > group->first_index ? first : group->first_index;
    return KVR_OK;
}

static bool is_lending(uint8_t kind)
{
    return kind == KVR_STORE_LOAD || kind == KVR_STORE_READ || kind == KVR_STORE_SNAPSHOT_READ;
}

/* A group of which nothing is known holds nothing, and needs no place yet. */
static kvr_status perform_for_stranger(kvr_wal *wal, const kvr_store_request *request)
{
    if (!kvr__wal_group_is_many(wal)) {
        return KVR_EINVAL;
    }
    switch (request->kind) {
    case KVR_STORE_LOAD:
    case KVR_STORE_FORGET:
        return KVR_OK;
    case KVR_STORE_READ:
    case KVR_STORE_SNAPSHOT_READ:
        return KVR_ENOTFOUND;
    default:
        return KVR_EINVAL;
    }
}

static kvr_status perform(kvr_wal *wal, const kvr_store_request *request, kvr_store_result *result)
{
    kvr__wal_group *group = kvr__wal_group_find(wal, request->group_id);
    if (!is_lending(request->kind) && (wal->config.flags & KVR_WAL_READ_ONLY) != 0) {
        return KVR_EREADONLY;
    }
    if (request->kind == KVR_STORE_SNAPSHOT_WRITE && kvr__wal_group_is_many(wal)) {
        kvr_status status = kvr__wal_group_introduce(wal, request->group_id, &group);
        if (status != KVR_OK) {
            return status;
        }
    }
    if (group == NULL) {
        return perform_for_stranger(wal, request);
    }
    switch (request->kind) {
    case KVR_STORE_LOAD:
        return load(wal, group, result);
    case KVR_STORE_VOTE:
        return kvr__wal_vote_store(wal, request);
    case KVR_STORE_READ:
        return kvr__wal_read(wal, group, request, result);
    case KVR_STORE_SNAPSHOT_WRITE:
        return kvr__wal_snapshot_write(wal, group, request);
    case KVR_STORE_SNAPSHOT_READ:
        return kvr__wal_snapshot_read(wal, group, request, result);
    case KVR_STORE_DISCARD:
        return discard(wal, group, request);
    case KVR_STORE_FORGET:
        return kvr__wal_group_is_many(wal) ? kvr__wal_group_forget(wal, group->id) : KVR_EINVAL;
    default:
        return KVR_EINVAL;
    }
}

/* The arrays of one execute. */
typedef struct job {
    kvr_wal *wal;
    const uint8_t *requests;
    uint8_t *results;
    uint32_t request_size;
    uint32_t result_size;
    uint32_t count;
    uint64_t free_bytes;
} job;

static const kvr_store_request *request_at(const job *work, uint32_t i)
{
    return (const kvr_store_request *)(const void *)(work->requests +
                                                     (size_t)i * work->request_size);
}

/* Each text of a failure is kept once, until the next execute. */
static const char *keep_detail(kvr_wal *wal)
{
    if (wal->state == KVR__WAL_FAILED) {
        return wal->failure.text;
    }
    size_t size = strlen(wal->failure.text) + 1;
    if (size > sizeof wal->details - wal->details_used) {
        return NULL;
    }
    char *kept = wal->details + wal->details_used;
    memcpy(kept, wal->failure.text, size);
    wal->details_used += size;
    return kept;
}

/* Puts an answer into its place in the caller's array. */
static void answer(const job *work, uint32_t i, kvr_store_result *result)
{
    result->size = work->result_size;
    result->group_id = request_at(work, i)->group_id;
    result->token = request_at(work, i)->token;
    uint8_t *out = work->results + (size_t)i * work->result_size;
    memset(out, 0, work->result_size);
    memcpy(out, result, sizeof *result);
}

/* True for what becomes a record: all APPENDs, and the VOTEs of a store of many groups. */
static bool is_logged(const job *work, uint32_t i)
{
    const kvr_wal *wal = work->wal;
    const kvr_store_request *request = request_at(work, i);
    if ((wal->config.flags & KVR_WAL_READ_ONLY) != 0) {
        return false;
    }
    if (kvr__wal_group_is_many(wal)) {
        return request->kind == KVR_STORE_APPEND || request->kind == KVR_STORE_VOTE;
    }
    return request->kind == KVR_STORE_APPEND && request->group_id == wal->config.group_id;
}

/* Performs the requests from `i` on that share one flush. Returns how many. */
static uint32_t append_run(const job *work, uint32_t i, kvr_status *out_status)
{
    const kvr_store_request *run[KVR__WAL_RUN_MAX];
    uint32_t count = 0, taken = 0;
    while (count < KVR__WAL_RUN_MAX && i + count < work->count && is_logged(work, i + count)) {
        run[count] = request_at(work, i + count);
        count++;
    }
    *out_status = kvr__wal_append(work->wal, run, count, &taken);
    KVR_ASSERT(taken > 0);
    KVR_ASSERT(taken <= count);
    return taken;
}

/* Performs and answers request `i`, with those that ride along. Returns how many. */
static uint32_t perform_from(const job *work, uint32_t i)
{
    kvr_wal *wal = work->wal;
    uint64_t failures = wal->failure_count;
    uint32_t taken = 1;
    kvr_store_result result = {.free_bytes = work->free_bytes};
    if (wal->state == KVR__WAL_FAILED) {
        result.status = KVR_EIO;
    } else if (is_logged(work, i)) {
        taken = append_run(work, i, &result.status);
    } else {
        result.status = perform(wal, request_at(work, i), &result);
    }
    if (wal->state == KVR__WAL_FAILED) {
        result.status = KVR_EIO;
        result.detail = wal->failure.text;
    } else if (wal->failure_count != failures && result.status != KVR_OK) {
        result.detail = keep_detail(wal);
    }
    for (uint32_t j = 0; j < taken; j++) {
        answer(work, i + j, &result);
    }
    return taken;
}

static uint64_t saturating_sum(uint64_t a, uint64_t b)
{
    return a > UINT64_MAX - b ? UINT64_MAX : a + b;
}

static uint64_t free_bytes(const kvr_wal *wal)
{
    uint64_t bytes = 0;
    if (wal->files.space == NULL || wal->files.space(wal->config.files_ctx, &bytes) != KVR_OK) {
        return UINT64_MAX;
    }
    for (uint32_t i = 0; i < wal->ready.count; i++) {
        bytes = saturating_sum(bytes, wal->ready.items[i].size);
    }
    if (wal->segments.count > 0) {
        const kvr__wal_segment *last = &wal->segments.items[wal->segments.count - 1];
        bytes = saturating_sum(bytes, last->size - last->end);
    }
    return bytes;
}

/* Each request, by its own size, sets nothing that this release does not know. */
static bool are_known(const job *work)
{
    for (uint32_t i = 0; i < work->count; i++) {
        kvr_store_request known;
        if (request_at(work, i)->size != work->request_size ||
            !kvr__sized_read(&known, sizeof known, request_at(work, i), sizeof known)) {
            return false;
        }
    }
    return true;
}

kvr_status kvr_wal_execute(kvr_wal *wal, const kvr_store_request *requests, uint32_t count,
                           kvr_store_result *results)
{
    if (wal->state != KVR__WAL_OPEN && wal->state != KVR__WAL_FAILED) {
        return KVR_ESTATE;
    }
    if (count == 0) {
        return KVR_OK;
    }
    if (requests == NULL || results == NULL || results->size < sizeof *results) {
        return KVR_EINVAL;
    }
    job work = {
        .wal = wal,
        .requests = (const uint8_t *)requests,
        .results = (uint8_t *)results,
        .request_size = requests->size,
        .result_size = results->size,
        .count = count,
        .free_bytes = free_bytes(wal),
    };
    if (!are_known(&work)) {
        return KVR_EINVAL;
    }
    KVR_CHECKED(kvr__wal_check(wal));
    for (uint32_t i = 0; i < count; i++) {
        if (is_lending(request_at(&work, i)->kind)) {
            kvr__wal_read_end_lending(wal);
            break;
        }
    }
    wal->details_used = 0;
    for (uint32_t i = 0; i < count;) {
        i += perform_from(&work, i);
    }
    KVR_CHECKED(kvr__wal_check(wal));
    return wal->state == KVR__WAL_FAILED ? wal->failure.status : KVR_OK;
}

/* ------------------------------------------------------------------ between requests */

kvr_status kvr_wal_maintain(kvr_wal *wal)
{
    if (wal->state != KVR__WAL_OPEN) {
        return wal->state == KVR__WAL_FAILED ? wal->failure.status : KVR_ESTATE;
    }
    if ((wal->config.flags & KVR_WAL_READ_ONLY) != 0) {
        return KVR_OK;
    }
    kvr_status status = kvr__wal_maintain(wal);
    KVR_CHECKED(kvr__wal_check(wal));
    return status;
}

bool kvr_wal_has_unvouched(const kvr_wal *wal)
{
    return wal->state == KVR__WAL_OPEN && wal->unvouched &&
           (wal->config.flags & KVR_WAL_READ_ONLY) == 0;
}

kvr_status kvr_wal_idle(kvr_wal *wal)
{
    if (wal->state != KVR__WAL_OPEN) {
        return wal->state == KVR__WAL_FAILED ? wal->failure.status : KVR_ESTATE;
    }
    return kvr_wal_has_unvouched(wal) ? kvr__wal_append_mark(wal) : KVR_OK;
}

/* ------------------------------------------------------------------ questions */

/* As much of `from` as the caller's struct has room for. */
static void fill_in(void *to, uint32_t size, const void *from, size_t known)
{
    memcpy(to, from, size < known ? size : known);
}

static void count_bytes(const kvr_wal *wal, kvr_wal_status *status)
{
    for (uint32_t i = 0; i < wal->segments.count; i++) {
        status->log_bytes += wal->segments.items[i].size;
    }
    for (uint32_t i = 0; i < wal->ready.count; i++) {
        status->ready_bytes += wal->ready.items[i].size;
    }
    for (uint32_t i = 0; i < wal->groups.count; i++) {
        const kvr__wal_group *group = wal->groups.items[i];
        for (uint32_t j = 0; j < group->snapshots.count; j++) {
            status->snapshot_bytes += group->snapshots.items[j].file_size;
        }
        status->snapshot_count += group->snapshots.count;
    }
}

/* Numbers of the one group of a store of one. */
static void tell_group(const kvr__wal_group *group, kvr_wal_status *status)
{
    const kvr__wal_snapshot *newest = kvr__wal_snapshot_newest(group);
    status->term = group->term;
    status->voted_for = group->voted_for;
    status->incarnation = group->incarnation;
    status->first_index = group->first_index;
    status->last_index = group->last_index;
    status->snapshot_index = newest == NULL ? 0 : newest->index;
    status->snapshot_term = newest == NULL ? 0 : newest->term;
}

void kvr_wal_get_status(const kvr_wal *wal, kvr_wal_status *out_status)
{
    kvr_wal_status status = {
        .size = out_status->size,
        .status = wal->state == KVR__WAL_FAILED || wal->state == KVR__WAL_REFUSED
                      ? wal->failure.status
                      : KVR_OK,
        .free_bytes = wal->state == KVR__WAL_OPEN ? free_bytes(wal) : UINT64_MAX,
        .records = wal->record_count,
        .flushes = wal->flush_count,
        .written_bytes = wal->written_bytes,
        .memory_bytes = kvr__mem_bytes(&wal->mem),
        .segment_count = wal->segments.count,
        .ready_count = wal->ready.count,
        .group_count = wal->groups.count,
    };
    if (!kvr__wal_group_is_many(wal)) {
        tell_group(wal->groups.items[0], &status);
    }
    count_bytes(wal, &status);
    fill_in(out_status, out_status->size, &status, sizeof status);
}

void kvr_wal_get_failure(const kvr_wal *wal, kvr_wal_failure *out_failure)
{
    const kvr__wal_failure *last = &wal->failure;
    kvr_wal_failure failure = {
        .size = out_failure->size,
        .status = last->status,
        .offset = last->offset,
        .first_index = last->first_index,
        .last_index = last->last_index,
        .file = last->file,
        .remedy = last->remedy == NULL ? "" : last->remedy,
        .text = last->text,
    };
    fill_in(out_failure, out_failure->size, &failure, sizeof failure);
}

const char *kvr_wal_error(const kvr_wal *wal)
{
    return wal->failure.text;
}
