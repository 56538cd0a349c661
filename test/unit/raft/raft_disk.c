/* SPDX-License-Identifier: Apache-2.0 */
/* raft_disk.c: a disk that does what host.h says and nothing more: a request takes effect when it
 * is answered, so a crash before leaves no trace of it. It asserts what the contract promises
 * it. */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "base/entry.h"
#include "raft_cluster_internal.h"
#include "support/test_hash.h"

static void snapshot_free(cluster_snapshot *snapshot)
{
    free(snapshot->bytes);
    free(snapshot->configuration);
    *snapshot = (cluster_snapshot){0};
}

void cluster_disk_keep(cluster_disk *disk, uint32_t count)
{
    while (disk->entry_count > count) {
        disk->entry_count--;
        free(disk->entries[disk->entry_count].bytes);
    }
}

void cluster_disk_release(cluster_disk *disk)
{
    cluster_disk_keep(disk, 0);
    free(disk->entries);
    snapshot_free(&disk->snapshot);
    snapshot_free(&disk->partial);
}

void cluster_wipe(cluster *c, uint64_t id)
{
    cluster_disk *disk = &cluster_at(c, id)->disk;
    cluster_disk_release(disk);
    *disk = (cluster_disk){.first_index = 1, .free_bytes = UINT64_MAX};
}

void cluster_disk_submit(cluster_disk *disk, const kvr_store_request *request)
{
    cr_assert_lt(disk->request_count, sizeof disk->requests / sizeof disk->requests[0]);
    cr_assert_eq(request->group_id, CLUSTER_GROUP);
    cr_assert_neq(request->token, 0);
    for (uint32_t i = 0; i < disk->request_count; i++) {
        cr_assert_neq(disk->requests[i].request.token, request->token);
    }
    disk->requests[disk->request_count++].request = *request;
}

/* ------------------------------------------------------------------ effects */

void cluster_disk_put(cluster_disk *disk, const uint8_t *entry, size_t size)
{
    if (disk->entry_count == disk->entry_capacity) {
        disk->entry_capacity = disk->entry_capacity == 0 ? 64 : disk->entry_capacity * 2;
        disk->entries = realloc(disk->entries, disk->entry_capacity * sizeof *disk->entries);
    }
    uint8_t *bytes = malloc(size);
    memcpy(bytes, entry, size);
    disk->entries[disk->entry_count++] = (cluster_entry){bytes, size};
}

static void append(cluster_disk *disk, const kvr_store_request *request)
{
    uint64_t index = request->first_index;
    uint64_t term = 0;
    cr_assert_geq(index, disk->first_index);
    cr_assert_leq(index, disk->first_index + disk->entry_count, "a gap before %llu",
                  (unsigned long long)index);
    cluster_disk_keep(disk, (uint32_t)(index - disk->first_index));
    for (uint32_t i = 0; i < request->piece_count; i++) {
        kvr_slice rest = request->pieces[i];
        while (rest.size > 0) {
            kvr_entry entry;
            cr_assert_eq(kvr__entry_read(rest, true, &entry), KVR_OK);
            cr_assert_eq(entry.index, index);
            cr_assert_leq(entry.term, disk->term, "an entry before its term is durable");
            cluster_disk_put(disk, entry.bytes.data, entry.bytes.size);
            rest.data += entry.bytes.size;
            rest.size -= entry.bytes.size;
            index++;
            term = entry.term;
        }
    }
    cr_assert_eq(index, request->first_index + request->entry_count);
    cr_assert_eq(index - 1, request->last_index);
    cr_assert_eq(term, request->last_term);
}

static uint64_t disk_term(const cluster_disk *disk, uint64_t index)
{
    if (index < disk->first_index || index >= disk->first_index + disk->entry_count) {
        return 0;
    }
    const cluster_entry *found = &disk->entries[index - disk->first_index];
    kvr_entry entry;
    cr_assert_eq(kvr__entry_read((kvr_slice){found->bytes, found->size}, true, &entry), KVR_OK);
    return entry.term;
}

static void load(cluster_disk *disk, kvr_store_result *result)
{
    uint64_t snapshot = disk->snapshot.meta.index;
    uint64_t last = disk->first_index + disk->entry_count - 1;
    if (last < snapshot ||
        (snapshot >= disk->first_index && disk_term(disk, snapshot) != disk->snapshot.meta.term)) {
        cluster_disk_keep(disk, 0); /* the log does not continue the snapshot */
        disk->first_index = snapshot + 1;
        last = snapshot;
    }
    result->term = disk->term;
    result->voted_for = disk->vote;
    result->incarnation = disk->incarnation;
    result->first_index = disk->first_index;
    result->last_index = last;
    result->snapshot = disk->snapshot.meta;
}

static void discard(cluster_disk *disk, const kvr_store_request *request)
{
    uint64_t first = request->first_index;
    if ((request->flags & KVR_STORE_ALL) != 0) {
        cluster_disk_keep(disk, 0);
        disk->first_index = first;
        return;
    }
    cr_assert_leq(first, disk->first_index + disk->entry_count);
    cr_assert_leq(first, disk->snapshot.meta.index + 1, "entries that no snapshot holds");
    if (first <= disk->first_index) {
        return;
    }
    uint32_t count = (uint32_t)(first - disk->first_index);
    for (uint32_t i = 0; i < count; i++) {
        free(disk->entries[i].bytes);
    }
    disk->entry_count -= count;
    memmove(disk->entries, disk->entries + count, disk->entry_count * sizeof *disk->entries);
    disk->first_index = first;
}

/* Copies `count` entries, each in a piece of its own every third time, so that runs are cut
 * anywhere. */
static void read_entries(cluster_disk *disk, const kvr_store_request *request,
                         kvr_store_result *result)
{
    static uint8_t bytes[1 << 20];
    static kvr_slice pieces[1024];
    size_t size = 0;
    result->first_index = request->first_index;
    result->pieces = pieces;
    for (uint64_t i = request->first_index; i <= request->last_index; i++) {
        const cluster_entry *entry = &disk->entries[i - disk->first_index];
        cr_assert_lt(i - disk->first_index, disk->entry_count);
        if (size + entry->size > sizeof bytes || result->piece_count == 1023 ||
            (result->entry_count > 0 && size + entry->size > request->byte_max)) {
            break;
        }
        memcpy(bytes + size, entry->bytes, entry->size);
        if (result->piece_count == 0 || i % 3 == 0) {
            pieces[result->piece_count++] = (kvr_slice){bytes + size, 0};
        }
        pieces[result->piece_count - 1].size += entry->size;
        size += entry->size;
        result->entry_count++;
        result->last_index = i;
    }
}

static kvr_status write_snapshot(cluster_disk *disk, const kvr_store_request *request)
{
    cluster_snapshot *partial = &disk->partial;
    if (request->offset == 0) {
        snapshot_free(partial);
        partial->meta = request->snapshot;
        partial->bytes = malloc((size_t)request->snapshot.bytes + 1);
        partial->configuration = malloc(request->snapshot.configuration.size);
        memcpy(partial->configuration, request->snapshot.configuration.data,
               request->snapshot.configuration.size);
        partial->meta.configuration.data = partial->configuration;
        partial->meta.bytes = 0;
    }
    cr_assert_eq(request->snapshot.index, partial->meta.index);
    cr_assert_eq(request->offset, partial->meta.bytes);
    if (request->chunk.size > 0) {
        memcpy(partial->bytes + request->offset, request->chunk.data, request->chunk.size);
    }
    partial->meta.bytes += request->chunk.size;
    if ((request->flags & KVR_STORE_LAST) == 0) {
        return KVR_OK;
    }
    uint8_t hash[16];
    test_xxh3_128(partial->bytes, (size_t)partial->meta.bytes, hash);
    if (partial->meta.bytes != request->snapshot.bytes ||
        memcmp(hash, request->snapshot.hash, sizeof hash) != 0) {
        snapshot_free(partial);
        return KVR_ECORRUPT;
    }
    snapshot_free(&disk->snapshot);
    disk->snapshot = *partial;
    *partial = (cluster_snapshot){0};
    return KVR_OK;
}

static kvr_status read_snapshot(cluster_disk *disk, const kvr_store_request *request,
                                kvr_store_result *result)
{
    const cluster_snapshot *snapshot = &disk->snapshot;
    if (snapshot->meta.index == 0 ||
        (request->snapshot.index != 0 && (request->snapshot.index != snapshot->meta.index ||
                                          request->snapshot.term != snapshot->meta.term))) {
        return KVR_ENOTFOUND;
    }
    uint64_t left =
        request->offset < snapshot->meta.bytes ? snapshot->meta.bytes - request->offset : 0;
    result->snapshot = snapshot->meta;
    result->chunk = (kvr_slice){snapshot->bytes + request->offset,
                                (size_t)(left < request->byte_max ? left : request->byte_max)};
    return KVR_OK;
}

/* ------------------------------------------------------------------ answers */

static bool is_write(const kvr_store_request *request)
{
    return request->kind == KVR_STORE_APPEND || request->kind == KVR_STORE_VOTE ||
           request->kind == KVR_STORE_SNAPSHOT_WRITE || request->kind == KVR_STORE_DISCARD;
}

static kvr_status perform(cluster_disk *disk, const kvr_store_request *request,
                          kvr_store_result *result)
{
    if (is_write(request) && disk->fault != KVR_OK) {
        kvr_status fault = disk->fault;
        disk->fault = KVR_OK;
        return fault;
    }
    if (is_write(request) && disk->full) {
        return KVR_ENOSPACE;
    }
    switch (request->kind) {
    case KVR_STORE_LOAD:
        load(disk, result);
        return KVR_OK;
    case KVR_STORE_APPEND:
        append(disk, request);
        return KVR_OK;
    case KVR_STORE_VOTE:
        cr_assert_geq(request->term, disk->term);
        if (request->term == disk->term && disk->vote != 0) {
            cr_assert_eq(request->voted_for, disk->vote, "a vote was changed");
        }
        disk->term = request->term;
        disk->vote = request->voted_for;
        disk->incarnation = request->incarnation;
        return KVR_OK;
    case KVR_STORE_READ:
        read_entries(disk, request, result);
        return KVR_OK;
    case KVR_STORE_SNAPSHOT_WRITE:
        return write_snapshot(disk, request);
    case KVR_STORE_SNAPSHOT_READ:
        return read_snapshot(disk, request, result);
    default:
        discard(disk, request);
        return KVR_OK;
    }
}

bool cluster_answer(cluster *c, uint64_t id, uint32_t number)
{
    cluster_member *m = cluster_at(c, id);
    cluster_disk *disk = &m->disk;
    if (number >= disk->request_count) {
        return false;
    }
    kvr_store_request request = disk->requests[number].request;
    disk->request_count--;
    memmove(&disk->requests[number], &disk->requests[number + 1],
            (disk->request_count - number) * sizeof disk->requests[0]);
    kvr_store_result result = {.size = sizeof result,
                               .group_id = request.group_id,
                               .token = request.token,
                               .free_bytes = disk->free_bytes};
    result.status = perform(disk, &request, &result);
    kvr_status status = kvr_raft_storage_done(m->raft, &result);
    cr_assert(status == KVR_OK || status == KVR_ENOMEM || kvr_status_is_fatal(status) ||
                  status == KVR_ESTOPPED,
              "member %llu says %s to an answer of kind %u", (unsigned long long)id,
              kvr_status_name(status), request.kind);
    return true;
}

bool cluster_disk_vote(cluster *c, uint64_t id)
{
    cluster_disk *disk = &cluster_at(c, id)->disk;
    for (uint32_t i = 0; i < disk->request_count; i++) {
        if (disk->requests[i].request.kind == KVR_STORE_VOTE) {
            return cluster_answer(c, id, i);
        }
    }
    return false;
}

uint32_t cluster_disk_complete(cluster *c, uint64_t id, uint32_t count)
{
    uint32_t done = 0;
    while (done < count && cluster_answer(c, id, 0)) {
        done++;
    }
    return done;
}

/* ------------------------------------------------------------------ local snapshots */

kvr_status cluster_compact(cluster *c, uint64_t id, uint64_t keep)
{
    cluster_member *m = cluster_at(c, id);
    kvr_snapshot_meta meta = {.index = m->applied, .term = m->applied_term, .bytes = m->text_size};
    kvr_status status = kvr_raft_configuration(m->raft, meta.index, &meta.configuration);
    if (status != KVR_OK) {
        return status;
    }
    test_xxh3_128(m->text, m->text_size, meta.hash);
    cluster_snapshot *snapshot = &m->disk.snapshot;
    snapshot_free(snapshot);
    snapshot->meta = meta;
    snapshot->bytes = malloc(m->text_size + 1);
    memcpy(snapshot->bytes, m->text, m->text_size);
    snapshot->configuration = malloc(meta.configuration.size);
    memcpy(snapshot->configuration, meta.configuration.data, meta.configuration.size);
    snapshot->meta.configuration.data = snapshot->configuration;
    return kvr_raft_snapshotted(m->raft, &meta, keep);
}
