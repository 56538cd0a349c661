/* SPDX-License-Identifier: Apache-2.0 */
/* wal_snapshot.c: snapshots, written chunk by chunk under a passing name, one for each source, and
 * renamed when all of it is durable (W5): so a snapshot that can be found is complete. Behind the
 * stream stands a checksum for each 64 KiB of it, so that any part can be read and verified
 * alone. */
#include "wal_internal.h"

#include "base/array.h"
#include "base/assertion.h"
#include "base/codec.h"

enum { CHECKSUM_SIZE = 8 };

/* ------------------------------------------------------------------ the list */

const kvr__wal_snapshot *kvr__wal_snapshot_newest(const kvr__wal_group *group)
{
    return group->snapshots.count == 0 ? NULL : &group->snapshots.items[group->snapshots.count - 1];
}

kvr_status kvr__wal_snapshot_reserve(kvr_wal *wal, kvr__wal_group *group)
{
    return kvr__array_grow(&wal->mem, KVR__MEM_HANDLE, (void **)&group->snapshots.items,
                           &group->snapshots.capacity, group->snapshots.count + 1,
                           sizeof(kvr__wal_snapshot));
}

void kvr__wal_snapshot_drop(kvr_wal *wal, kvr__wal_group *group, uint32_t i)
{
    KVR_ASSERT(i < group->snapshots.count);
    kvr__wal_snapshot *gone = &group->snapshots.items[i];
    kvr__mem_free(&wal->mem, KVR__MEM_HANDLE, gone->configuration, gone->configuration_size);
    group->snapshots.count--;
    memmove(gone, gone + 1, (group->snapshots.count - i) * sizeof *gone);
    kvr__wal_files_close(wal, &wal->read_file);
}

static bool is_before(const kvr__wal_snapshot *a, const kvr__wal_snapshot *b)
{
    return a->index != b->index ? a->index < b->index : a->term < b->term;
}

void kvr__wal_snapshot_insert(kvr_wal *wal, kvr__wal_group *group,
                              const kvr__wal_snapshot *snapshot)
{
    uint32_t at = 0;
    while (at < group->snapshots.count && is_before(&group->snapshots.items[at], snapshot)) {
        at++;
    }
    if (at < group->snapshots.count && !is_before(snapshot, &group->snapshots.items[at])) {
        kvr__wal_snapshot_drop(wal, group, at); /* the rename has replaced its file */
    }
    KVR_ASSERT(group->snapshots.count < group->snapshots.capacity);
    kvr__wal_snapshot *item = &group->snapshots.items[at];
    memmove(item + 1, item, (group->snapshots.count - at) * sizeof *item);
    *item = *snapshot;
    group->snapshots.count++;
    wal->snapshot_due = true;
    wal->removal_due = true;
    kvr__wal_verify_end(wal);
}

/* ------------------------------------------------------------------ names */

kvr__wal_name kvr__wal_snapshot_name(const kvr_wal *wal, const kvr__wal_group *group,
                                     const kvr__wal_snapshot *snapshot)
{
    return kvr__wal_group_is_many(wal)
               ? kvr__wal_name_group_snapshot(group->id, snapshot->index, snapshot->term)
               : kvr__wal_name_snapshot(snapshot->index, snapshot->term);
}

kvr__wal_name kvr__wal_snapshot_part_name(const kvr_wal *wal, const kvr__wal_group *group,
                                          uint32_t source)
{
    static const kvr__wal_name names[] = {{KVR__WAL_LOCAL_PART}, {KVR__WAL_RECEIVED_PART}};
    static const char *const prefixes[] = {KVR__WAL_LOCAL_PREFIX, KVR__WAL_RECEIVED_PREFIX};
    KVR_ASSERT(source < sizeof names / sizeof names[0]);
    return kvr__wal_group_is_many(wal) ? kvr__wal_name_group_part(prefixes[source], group->id)
                                       : names[source];
}

/* ------------------------------------------------------------------ write */

static void release_part(kvr_wal *wal, kvr__wal_group *group, uint32_t source)
{
    kvr__wal_part *part = group->parts[source];
    if (part != NULL) {
        kvr__wal_files_close(wal, &part->file);
        kvr__array_free(&wal->mem, KVR__MEM_HANDLE, (void **)&part->table, &part->table_capacity,
                        CHECKSUM_SIZE);
        kvr__mem_free(&wal->mem, KVR__MEM_HANDLE, part, sizeof *part);
        group->parts[source] = NULL;
    }
}

static kvr_status refuse(kvr_wal *wal, const char *what)
{
    return kvr__wal_files_report(wal, &(kvr__wal_damage){.status = KVR_EINVAL,
                                                         .file = "",
                                                         .what = what,
                                                         .remedy = "this is a bug of the caller"});
}

static kvr_status no_memory(kvr_wal *wal)
{
    return kvr__wal_files_report(wal, &(kvr__wal_damage){.status = KVR_ENOSPACE,
                                                         .file = "",
                                                         .what = "no memory for a snapshot",
                                                         .remedy = "it will be asked for again"});
}

static kvr_status begin_part(kvr_wal *wal, const kvr__wal_group *group, kvr__wal_part *part,
                             const kvr_store_request *request)
{
    kvr__wal_files_close(wal, &part->file);
    kvr_status status =
        kvr__wal_files_open(wal, kvr__wal_snapshot_part_name(wal, group, request->source).text,
                            KVR_FILE_READ | KVR_FILE_WRITE | KVR_FILE_CREATE, &part->file);
    if (status == KVR_OK) {
        status = kvr__wal_files_truncate(wal, &part->file, 0);
    }
    uint8_t head[KVR__WAL_HEAD_SIZE];
    kvr__wal_snapshot_head_write(head, &(kvr__wal_snapshot_head){
                                           .cluster_id = wal->config.cluster_id,
                                           .member_id = wal->config.member_id,
                                           .group_id = group->id,
                                           .index = request->snapshot.index,
                                           .term = request->snapshot.term,
                                           .block_size = KVR__WAL_BLOCK_SIZE,
                                       });
    if (status == KVR_OK) {
        status = kvr__wal_files_write(wal, &part->file, (kvr_slice){head, sizeof head}, 0);
    }
    if (status != KVR_OK) {
        kvr__wal_files_close(wal, &part->file);
        return status;
    }
    part->index = request->snapshot.index;
    part->term = request->snapshot.term;
    part->written = 0;
    part->hashed = 0;
    part->block_count = 0;
    kvr__xxh3_reset(&part->stream);
    kvr__xxh3_reset(&part->block);
    return KVR_OK;
}

/* Takes bytes of the stream into both hashes. The table has room. */
static void hash_bytes(kvr__wal_part *part, kvr_slice bytes)
{
    kvr__xxh3_update(&part->stream, bytes.data, bytes.size);
    while (bytes.size > 0) {
        size_t room = KVR__WAL_BLOCK_SIZE - (size_t)(part->hashed % KVR__WAL_BLOCK_SIZE);
        size_t now = room < bytes.size ? room : bytes.size;
        kvr__xxh3_update(&part->block, bytes.data, now);
        part->hashed += now;
        if (now == room) {
            KVR_ASSERT(part->block_count < part->table_capacity);
            kvr__store_u64(part->table + (size_t)part->block_count * CHECKSUM_SIZE,
                           kvr__xxh3_digest_64(&part->block));
            part->block_count++;
            kvr__xxh3_reset(&part->block);
        }
        bytes.data += now;
        bytes.size -= now;
    }
}

static kvr_status write_chunk(kvr_wal *wal, kvr__wal_part *part, kvr_slice chunk)
{
    uint64_t end = part->written + chunk.size;
    uint64_t blocks = end / KVR__WAL_BLOCK_SIZE + 1;
    if (blocks > UINT32_MAX || (part->hashed > part->written && part->hashed != end)) {
        return refuse(wal, "a chunk that is not the one that was refused before");
    }
    if (kvr__array_grow(&wal->mem, KVR__MEM_HANDLE, (void **)&part->table, &part->table_capacity,
                        (uint32_t)blocks, CHECKSUM_SIZE) != KVR_OK) {
        return no_memory(wal);
    }
    kvr_status status =
        kvr__wal_files_write(wal, &part->file, chunk, KVR__WAL_HEAD_SIZE + part->written);
    if (status == KVR_OK && part->hashed == part->written) {
        hash_bytes(part, chunk);
    }
    return status;
}

/* The stream is not what its meta says: it came so, for what was written is what was hashed. */
static kvr_status discard(kvr_wal *wal, kvr__wal_part *part)
{
    kvr__wal_files_close(wal, &part->file);
    kvr_status status = kvr__wal_files_unlink(wal, part->file.name.text);
    if (status != KVR_OK) {
        return status;
    }
    return kvr__wal_files_report(
        wal, &(kvr__wal_damage){.status = KVR_ECORRUPT,
                                .file = part->file.name.text,
                                .offset = part->hashed,
                                .what = "a snapshot without the length or hash of its meta",
                                .remedy = "it was discarded: write it again"});
}

/* Block checksums, configuration and tail, behind the stream. */
static kvr_status write_end(kvr_wal *wal, kvr__wal_part *part, const kvr_snapshot_meta *meta,
                            uint64_t *out_file_size)
{
    size_t table_size = (size_t)part->block_count * CHECKSUM_SIZE;
    if (part->hashed % KVR__WAL_BLOCK_SIZE != 0) {
        kvr__store_u64(part->table + table_size, kvr__xxh3_digest_64(&part->block));
        table_size += CHECKSUM_SIZE;
    }
    kvr__xxh3_reset(&wal->hash);
    kvr__xxh3_update(&wal->hash, part->table, table_size);
    kvr__xxh3_update(&wal->hash, meta->configuration.data, meta->configuration.size);
    kvr__wal_snapshot_tail tail = {
        .index = part->index,
        .term = part->term,
        .stream_size = part->hashed,
        .configuration_size = meta->configuration.size,
        .table_checksum = kvr__xxh3_digest_64(&wal->hash),
    };
    memcpy(tail.hash, meta->hash, sizeof tail.hash);
    uint8_t bytes[KVR__WAL_HEAD_SIZE];
    kvr__wal_snapshot_tail_write(bytes, &tail);
    const kvr_slice runs[] = {
        {part->table, table_size}, meta->configuration, {bytes, sizeof bytes}};
    uint64_t offset = KVR__WAL_HEAD_SIZE + part->hashed;
    for (size_t i = 0; i < sizeof runs / sizeof runs[0]; i++) {
        kvr_status status = kvr__wal_files_write(wal, &part->file, runs[i], offset);
        if (status != KVR_OK) {
            return status;
        }
        offset += runs[i].size;
    }
    *out_file_size = offset;
    return KVR_OK;
}

static kvr_status publish(kvr_wal *wal, const kvr__wal_group *group, kvr__wal_part *part,
                          kvr__wal_snapshot *snapshot, const kvr_snapshot_meta *meta)
{
    kvr_status status = write_end(wal, part, meta, &snapshot->file_size);
    if (status == KVR_OK) {
        status = kvr__wal_files_flush(wal, &part->file);
    }
    if (status == KVR_OK) {
        status = kvr__wal_files_rename(wal, part->file.name.text,
                                       kvr__wal_snapshot_name(wal, group, snapshot).text);
    }
    if (status != KVR_OK) {
        return status;
    }
    kvr__wal_files_close(wal, &part->file);
    return kvr__wal_files_flush_names(wal);
}

static kvr_status finish(kvr_wal *wal, kvr__wal_group *group, kvr__wal_part *part,
                         const kvr_snapshot_meta *meta)
{
    kvr__wal_snapshot snapshot = {
        .index = part->index,
        .term = part->term,
        .stream_offset = KVR__WAL_HEAD_SIZE,
        .stream_size = part->hashed,
    };
    kvr__xxh3_digest_128(&part->stream, snapshot.hash);
    if (meta->bytes != part->hashed || memcmp(meta->hash, snapshot.hash, sizeof meta->hash) != 0) {
        return discard(wal, part);
    }
    size_t size = meta->configuration.size;
    if (kvr__wal_snapshot_reserve(wal, group) != KVR_OK) {
        return no_memory(wal);
    }
    if (size > 0) {
        snapshot.configuration = kvr__mem_alloc(&wal->mem, KVR__MEM_HANDLE, size);
        if (snapshot.configuration == NULL) {
            return no_memory(wal);
        }
        memcpy(snapshot.configuration, meta->configuration.data, size);
        snapshot.configuration_size = size;
    }
    kvr_status status = publish(wal, group, part, &snapshot, meta);
    if (status == KVR_OK) {
        kvr__wal_snapshot_insert(wal, group, &snapshot);
    } else {
        kvr__mem_free(&wal->mem, KVR__MEM_HANDLE, snapshot.configuration, size);
    }
    return status;
}

/* The part that `source` writes; NULL: no memory. */
static kvr__wal_part *need_part(kvr_wal *wal, kvr__wal_group *group, uint32_t source)
{
    if (group->parts[source] == NULL) {
        group->parts[source] = kvr__mem_zalloc(&wal->mem, KVR__MEM_HANDLE, sizeof(kvr__wal_part));
    }
    return group->parts[source];
}

kvr_status kvr__wal_snapshot_write(kvr_wal *wal, kvr__wal_group *group,
                                   const kvr_store_request *request)
{
    if (request->source > KVR_SNAPSHOT_RECEIVED || request->snapshot.index == 0 ||
        request->snapshot.index > KVR__WAL_NUMBER_MAX ||
        request->snapshot.configuration.size > KVR__WAL_CONFIGURATION_BYTES_MAX) {
        return refuse(wal, "a snapshot of no known source, without index or too many members");
    }
    kvr__wal_part *part = need_part(wal, group, request->source);
    if (part == NULL) {
        return no_memory(wal);
    }
    kvr_status status = KVR_OK;
    if (request->offset == 0) {
        status = begin_part(wal, group, part, request);
    } else if (!part->file.is_open || part->index != request->snapshot.index ||
               part->term != request->snapshot.term || part->written != request->offset) {
        return refuse(wal, "a chunk of a snapshot out of order");
    }
    if (status == KVR_OK) {
        status = write_chunk(wal, part, request->chunk);
    }
    if (status == KVR_OK && (request->flags & KVR_STORE_LAST) != 0) {
        status = finish(wal, group, part, &request->snapshot);
        if (!part->file.is_open) {
            release_part(wal, group, request->source);
        }
        return status;
    }
    if (status == KVR_OK) {
        part->written = part->hashed;
    }
    return status;
}

/* ------------------------------------------------------------------ read */

static const kvr__wal_snapshot *find(const kvr__wal_group *group, const kvr_snapshot_meta *meta)
{
    if (meta->index == 0) {
        return kvr__wal_snapshot_newest(group);
    }
    for (uint32_t i = 0; i < group->snapshots.count; i++) {
        const kvr__wal_snapshot *item = &group->snapshots.items[i];
        if (item->index == meta->index && item->term == meta->term && item->stream_offset > 0) {
            return item;
        }
    }
    return NULL;
}

kvr_status kvr__wal_snapshot_meta(kvr_wal *wal, const kvr__wal_snapshot *snapshot,
                                  kvr_snapshot_meta *out_meta)
{
    *out_meta = (kvr_snapshot_meta){
        .index = snapshot->index,
        .term = snapshot->term,
        .bytes = snapshot->stream_size,
    };
    memcpy(out_meta->hash, snapshot->hash, sizeof out_meta->hash);
    size_t size = snapshot->configuration_size;
    if (size > 0) {
        uint8_t *copy = kvr__wal_read_lend(wal, size, &size);
        if (copy == NULL) {
            return no_memory(wal);
        }
        memcpy(copy, snapshot->configuration, snapshot->configuration_size);
        out_meta->configuration = (kvr_slice){copy, snapshot->configuration_size};
    }
    return KVR_OK;
}

static kvr_status open_to_read(kvr_wal *wal, const kvr__wal_group *group,
                               const kvr__wal_snapshot *snapshot)
{
    kvr__wal_name name = kvr__wal_snapshot_name(wal, group, snapshot);
    if (wal->read_file.is_open && strcmp(wal->read_file.name.text, name.text) == 0) {
        return KVR_OK;
    }
    kvr__wal_files_close(wal, &wal->read_file);
    return kvr__wal_files_open(wal, name.text, KVR_FILE_READ, &wal->read_file);
}

/* Whole blocks are read, so that what is returned is verified; the rest of them is not shown. */
static kvr_status read_blocks(kvr_wal *wal, const kvr__wal_snapshot *snapshot, uint64_t offset,
                              uint64_t byte_max, kvr_slice *out_chunk)
{
    uint64_t left = snapshot->stream_size - offset;
    uint64_t want = byte_max < left ? byte_max : left;
    want = want < KVR__WAL_READ_BYTES_MAX ? want : KVR__WAL_READ_BYTES_MAX;
    size_t skip = (size_t)(offset % KVR__WAL_BLOCK_SIZE);
    uint64_t begin = offset - skip;
    uint64_t end = offset + want + KVR__WAL_BLOCK_SIZE - 1;
    end -= end % KVR__WAL_BLOCK_SIZE;
    end = end < snapshot->stream_size ? end : snapshot->stream_size;
    size_t size = (size_t)(end - begin), got;
    size_t least = size < KVR__WAL_BLOCK_SIZE ? size : KVR__WAL_BLOCK_SIZE;
    uint8_t *bytes = kvr__wal_read_lend(wal, least, &size);
    if (bytes == NULL) {
        return no_memory(wal);
    }
    if (begin + size < end) {
        size -= size % KVR__WAL_BLOCK_SIZE;
    }
    kvr_status status = kvr__wal_files_read(wal, &wal->read_file, snapshot->stream_offset + begin,
                                            bytes, size, &got);
    if (status == KVR_OK) {
        status = kvr__wal_verify_blocks(wal, &wal->read_file, snapshot, begin / KVR__WAL_BLOCK_SIZE,
                                        (kvr_slice){bytes, got});
    }
    if (status == KVR_OK && got < size) {
        status = kvr__wal_files_report(wal, &(kvr__wal_damage){.status = KVR_ECORRUPT,
                                                               .file = wal->read_file.name.text,
                                                               .offset = begin + got,
                                                               .what = "a snapshot ends too soon"});
    }
    if (status == KVR_OK) {
        size -= skip;
        *out_chunk = (kvr_slice){bytes + skip, want < size ? (size_t)want : size};
    }
    return status;
}

kvr_status kvr__wal_snapshot_read(kvr_wal *wal, const kvr__wal_group *group,
                                  const kvr_store_request *request, kvr_store_result *result)
{
    const kvr__wal_snapshot *snapshot = find(group, &request->snapshot);
    if (snapshot == NULL) {
        return KVR_ENOTFOUND;
    }
    kvr_snapshot_meta meta;
    kvr_slice chunk = {NULL, 0};
    kvr_status status = kvr__wal_snapshot_meta(wal, snapshot, &meta);
    if (status == KVR_OK && request->offset < snapshot->stream_size && request->byte_max > 0) {
        status = open_to_read(wal, group, snapshot);
        if (status == KVR_OK) {
            status = read_blocks(wal, snapshot, request->offset, request->byte_max, &chunk);
        }
    }
    if (status == KVR_OK) {
        result->snapshot = meta;
        result->chunk = chunk;
    }
    return status;
}

void kvr__wal_snapshot_close(kvr_wal *wal, kvr__wal_group *group)
{
    for (uint32_t i = 0; i < sizeof group->parts / sizeof group->parts[0]; i++) {
        release_part(wal, group, i);
    }
    if (wal->verify.group == group) {
        kvr__wal_verify_end(wal);
    }
    kvr__wal_files_close(wal, &wal->read_file);
}
