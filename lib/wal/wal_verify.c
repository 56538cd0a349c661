/* SPDX-License-Identifier: Apache-2.0 */
/* wal_verify.c: reads a snapshot file and holds every byte of it against its checksums, a slice at
 * a time: at open, and before a new snapshot may replace the one before. */
#include "wal_internal.h"

#include "base/assertion.h"
#include "base/codec.h"

static const char remedy_snapshot[] =
    "an older snapshot with its log, or the other members, still hold what it held";

enum { STEP_BLOCKS_MAX = 16, CHECKSUM_SIZE = 8 };

static kvr_status damaged(kvr_wal *wal, uint64_t offset, const char *what)
{
    return kvr__wal_files_report(wal, &(kvr__wal_damage){.status = KVR_ECORRUPT,
                                                         .file = wal->verify.file.name.text,
                                                         .offset = offset,
                                                         .what = what,
                                                         .remedy = remedy_snapshot});
}

static uint64_t blocks_of(uint64_t stream_size)
{
    return stream_size / KVR__WAL_BLOCK_SIZE + (stream_size % KVR__WAL_BLOCK_SIZE != 0);
}

static kvr_status read_head(kvr_wal *wal, const kvr__wal_snapshot *expected)
{
    kvr__wal_verify *verify = &wal->verify;
    uint8_t bytes[KVR__WAL_HEAD_SIZE_MAX];
    size_t size;
    kvr_status status = kvr__wal_files_read(wal, &verify->file, 0, bytes, sizeof bytes, &size);
    if (status != KVR_OK) {
        return status;
    }
    kvr__wal_snapshot_head *head = &verify->head;
    status = kvr__wal_snapshot_head_read((kvr_slice){bytes, size}, head);
    if (status == KVR_EVERSION || (status == KVR_OK && head->key_id != 0)) {
        return kvr__wal_files_report(
            wal, &(kvr__wal_damage){.status = KVR_EVERSION,
                                    .file = verify->file.name.text,
                                    .what = status == KVR_OK ? "sealed" : "a newer format version",
                                    .remedy = "use a release that can read it"});
    }
    if (status != KVR_OK) {
        return damaged(wal, 0, "a damaged snapshot head");
    }
    kvr__wal_identity theirs = {head->cluster_id, head->member_id, head->group_id};
    if (theirs.cluster_id != wal->config.cluster_id || theirs.member_id != wal->config.member_id ||
        theirs.group_id != verify->group->id) {
        return kvr__wal_files_report_stranger(wal, verify->file.name.text, &theirs);
    }
    if (head->index != expected->index || head->term != expected->term ||
        head->block_size != KVR__WAL_BLOCK_SIZE) {
        return damaged(wal, 0, "a snapshot head that does not belong to the file's name");
    }
    verify->head_size = kvr__load_u16(bytes + 4);
    return KVR_OK;
}

static kvr_status read_tail(kvr_wal *wal)
{
    kvr__wal_verify *verify = &wal->verify;
    uint64_t least = (uint64_t)verify->head_size + KVR__WAL_HEAD_SIZE;
    if (verify->file_size < least) {
        return damaged(wal, verify->file_size, "a snapshot without an end");
    }
    uint8_t bytes[KVR__WAL_HEAD_SIZE];
    size_t size;
    uint64_t offset = verify->file_size - KVR__WAL_HEAD_SIZE;
    kvr_status status = kvr__wal_files_read(wal, &verify->file, offset, bytes, sizeof bytes, &size);
    if (status != KVR_OK) {
        return status;
    }
    kvr__wal_snapshot_tail *tail = &verify->tail;
    status = kvr__wal_snapshot_tail_read((kvr_slice){bytes, size}, tail);
    uint64_t left = verify->file_size - least;
    if (status != KVR_OK || tail->index != verify->head.index || tail->term != verify->head.term ||
        tail->stream_size > left || tail->configuration_size > KVR__WAL_CONFIGURATION_BYTES_MAX ||
        left - tail->stream_size !=
            blocks_of(tail->stream_size) * CHECKSUM_SIZE + tail->configuration_size) {
        return damaged(wal, offset, "a damaged snapshot tail");
    }
    return KVR_OK;
}

/* Checksums of blocks and configuration lie between stream and tail, under one checksum. */
static kvr_status read_table(kvr_wal *wal)
{
    kvr__wal_verify *verify = &wal->verify;
    uint64_t begin = verify->head_size + verify->tail.stream_size;
    uint64_t end = verify->file_size - KVR__WAL_HEAD_SIZE;
    kvr__xxh3_reset(&wal->hash);
    for (uint64_t offset = begin; offset < end;) {
        size_t want =
            end - offset < wal->read_capacity ? (size_t)(end - offset) : wal->read_capacity;
        size_t size;
        kvr_status status =
            kvr__wal_files_read(wal, &verify->file, offset, wal->read_buffer, want, &size);
        if (status != KVR_OK) {
            return status;
        }
        if (size < want) {
            return damaged(wal, offset, "a snapshot that ends too soon");
        }
        kvr__xxh3_update(&wal->hash, wal->read_buffer, size);
        offset += size;
    }
    return kvr__xxh3_digest_64(&wal->hash) == verify->tail.table_checksum
               ? KVR_OK
               : damaged(wal, begin, "damaged block checksums or configuration");
}

static kvr_status read_configuration(kvr_wal *wal, kvr__wal_snapshot *snapshot)
{
    kvr__wal_verify *verify = &wal->verify;
    size_t want = (size_t)verify->tail.configuration_size, size = 0;
    if (want == 0) {
        return KVR_OK;
    }
    uint8_t *configuration = kvr__mem_alloc(&wal->mem, KVR__MEM_HANDLE, want);
    if (configuration == NULL) {
        return KVR_ENOMEM;
    }
    uint64_t offset = verify->file_size - KVR__WAL_HEAD_SIZE - want;
    kvr_status status = kvr__wal_files_read(wal, &verify->file, offset, configuration, want, &size);
    if (status == KVR_OK && size < want) {
        status = damaged(wal, offset, "a snapshot that ends too soon");
    }
    if (status != KVR_OK) {
        kvr__mem_free(&wal->mem, KVR__MEM_HANDLE, configuration, want);
        return status;
    }
    snapshot->configuration = configuration;
    snapshot->configuration_size = want;
    return KVR_OK;
}

kvr_status kvr__wal_verify_begin(kvr_wal *wal, kvr__wal_group *group, kvr__wal_snapshot *snapshot)
{
    KVR_ASSERT(!wal->verify.file.is_open);
    kvr__wal_verify *verify = &wal->verify;
    verify->group = group;
    verify->offset = 0;
    kvr__xxh3_reset(&verify->stream);
    kvr__wal_name name = kvr__wal_snapshot_name(wal, group, snapshot);
    kvr_status status = kvr__wal_files_open(wal, name.text, KVR_FILE_READ, &verify->file);
    if (status == KVR_ENOTFOUND) {
        return damaged(wal, 0, "a snapshot that is gone");
    }
    if (status == KVR_OK) {
        status = kvr__wal_files_length(wal, &verify->file, &verify->file_size);
    }
    if (status == KVR_OK) {
        status = read_head(wal, snapshot);
    }
    if (status == KVR_OK) {
        status = read_tail(wal);
    }
    if (status == KVR_OK) {
        status = read_table(wal);
    }
    if (status == KVR_OK && snapshot->configuration == NULL) {
        status = read_configuration(wal, snapshot);
    }
    if (status == KVR_OK) {
        snapshot->stream_size = verify->tail.stream_size;
        snapshot->file_size = verify->file_size;
        snapshot->stream_offset = verify->head_size;
        memcpy(snapshot->hash, verify->tail.hash, sizeof snapshot->hash);
    }
    return status;
}

kvr_status kvr__wal_verify_blocks(kvr_wal *wal, kvr__wal_file *file,
                                  const kvr__wal_snapshot *snapshot, uint64_t block,
                                  kvr_slice bytes)
{
    const uint64_t table = snapshot->stream_offset + snapshot->stream_size;
    while (bytes.size > 0) {
        uint8_t checksums[STEP_BLOCKS_MAX * CHECKSUM_SIZE];
        uint64_t blocks = blocks_of(bytes.size);
        size_t count = blocks < STEP_BLOCKS_MAX ? (size_t)blocks : STEP_BLOCKS_MAX;
        size_t got;
        kvr_status status = kvr__wal_files_read(wal, file, table + block * CHECKSUM_SIZE, checksums,
                                                count * CHECKSUM_SIZE, &got);
        if (status != KVR_OK) {
            return status;
        }
        for (size_t i = 0; i < count; i++, block++) {
            size_t size = bytes.size < KVR__WAL_BLOCK_SIZE ? bytes.size : KVR__WAL_BLOCK_SIZE;
            if (got < (i + 1) * CHECKSUM_SIZE ||
                kvr__load_u64(checksums + i * CHECKSUM_SIZE) != kvr__xxh3_64(bytes.data, size)) {
                return kvr__wal_files_report(
                    wal, &(kvr__wal_damage){.status = KVR_ECORRUPT,
                                            .file = file->name.text,
                                            .offset = snapshot->stream_offset +
                                                      block * KVR__WAL_BLOCK_SIZE,
                                            .what = "a damaged block of a snapshot",
                                            .remedy = remedy_snapshot});
            }
            bytes.data += size;
            bytes.size -= size;
        }
    }
    return KVR_OK;
}

kvr_status kvr__wal_verify_step(kvr_wal *wal, const kvr__wal_snapshot *snapshot)
{
    kvr__wal_verify *verify = &wal->verify;
    KVR_ASSERT(verify->file.is_open);
    KVR_ASSERT(wal->read_capacity >= KVR__WAL_BLOCK_SIZE);
    uint64_t left = snapshot->stream_size - verify->offset;
    size_t want = wal->read_capacity / KVR__WAL_BLOCK_SIZE * KVR__WAL_BLOCK_SIZE;
    want = left < want ? (size_t)left : want;
    size_t size;
    kvr_status status =
        kvr__wal_files_read(wal, &verify->file, snapshot->stream_offset + verify->offset,
                            wal->read_buffer, want, &size);
    if (status != KVR_OK) {
        return status;
    }
    if (size < want) {
        return damaged(wal, verify->offset, "a snapshot that ends too soon");
    }
    status =
        kvr__wal_verify_blocks(wal, &verify->file, snapshot, verify->offset / KVR__WAL_BLOCK_SIZE,
                               (kvr_slice){wal->read_buffer, size});
    if (status != KVR_OK) {
        return status;
    }
    kvr__xxh3_update(&verify->stream, wal->read_buffer, size);
    verify->offset += size;
    if (verify->offset < snapshot->stream_size) {
        return KVR_AGAIN;
    }
    uint8_t hash[sizeof snapshot->hash];
    kvr__xxh3_digest_128(&verify->stream, hash);
    return memcmp(hash, snapshot->hash, sizeof hash) == 0
               ? KVR_OK
               : damaged(wal, snapshot->stream_offset, "a snapshot with another hash");
}

void kvr__wal_verify_end(kvr_wal *wal)
{
    kvr__wal_files_close(wal, &wal->verify.file);
    wal->verify.group = NULL;
}
