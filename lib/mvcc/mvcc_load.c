/* SPDX-License-Identifier: Apache-2.0 */
/* mvcc_load.c: replacing the content by a snapshot stream. The new content grows beside the old
 * one, which stays until the very end; then they change places. Views and results of the old keep
 * it alive; without them it goes at once, chunk by chunk. */
#include "mvcc_load.h"

#include "base/array.h"
#include "base/checksum.h"

void kvr__mvcc_load_free(kvr__mvcc_load *load)
{
    if (load == NULL) {
        return;
    }
    kvr__mvcc_content_free(load->content);
    kvr__array_free(load->mem, KVR__MEM_HANDLE, (void **)&load->buffer, &load->capacity, 1);
    kvr__array_free(load->mem, KVR__MEM_HANDLE, (void **)&load->changes, &load->change_capacity,
                    sizeof(kvr__mvcc_record *));
    kvr__mem_free(load->mem, KVR__MEM_HANDLE, load, sizeof *load);
}

/* ------------------------------------------------------------------ pieces */

static kvr_status read_header(kvr__mvcc_load *load, kvr_slice piece)
{
    kvr__reader r = kvr__reader_of(piece.data, piece.size);
    const uint8_t *magic = kvr__read_bytes(&r, 8);
    uint32_t size = kvr__read_u32(&r);
    uint32_t version = kvr__read_u32(&r);
    if (memcmp(magic, KVR__MVCC_FORMAT_MAGIC, 8) != 0 || size < KVR__MVCC_FORMAT_HEADER ||
        size > KVR__MVCC_FORMAT_HEADER_MAX) {
        return KVR_ECORRUPT;
    }
    if (piece.size < size) {
        load->want = size; /* the same again, with all of it */
        return KVR_AGAIN;
    }
    load->checksum = kvr__xxh3_64(piece.data, size - 8);
    if (load->checksum != kvr__load_u64(piece.data + size - 8)) {
        return KVR_ECORRUPT;
    }
    if (version != KVR__MVCC_FORMAT_VERSION) {
        return KVR_EVERSION;
    }
    kvr__mvcc_snap *expected = &load->expected;
    expected->revision = kvr__read_u64(&r);
    expected->compacted = kvr__read_u64(&r);
    expected->live_keys = kvr__read_u64(&r);
    expected->live_bytes = kvr__read_u64(&r);
    expected->hash_live = kvr__read_u64(&r);
    expected->hash_chain = kvr__read_u64(&r);
    load->expected_changes = kvr__read_u64(&r);
    if (expected->revision == 0 || expected->compacted > expected->revision ||
        expected->revision >> 63 != 0) {
        return KVR_ECORRUPT;
    }
    load->content->head.revision = expected->revision;
    load->content->head.compacted = expected->compacted;
    load->content->head.hash_chain = expected->hash_chain;
    if (expected->live_keys >= KVR__MVCC_SHORTCUT_FROM) {
        kvr__mvcc_shortcut_start(&load->content->shortcut);
    }
    load->stage = KVR__MVCC_LOAD_HEAD;
    load->want = KVR__MVCC_FORMAT_BLOCK_HEAD;
    return KVR_OK;
}

static kvr_status read_block_head(kvr__mvcc_load *load, kvr_slice piece)
{
    uint32_t size = kvr__load_u32(piece.data);
    load->block_versions = kvr__load_u32(piece.data + 4);
    load->checksum_wanted = kvr__load_u64(piece.data + 8);
    if (size == 0 && load->block_versions == 0) {
        load->stage = KVR__MVCC_LOAD_END;
        load->want = KVR__MVCC_FORMAT_END - KVR__MVCC_FORMAT_BLOCK_HEAD;
        return KVR_OK;
    }
    if (size == 0 || size > KVR__MVCC_FORMAT_PAYLOAD_MAX || load->block_versions == 0) {
        return KVR_ECORRUPT;
    }
    load->stage = KVR__MVCC_LOAD_PAYLOAD;
    load->want = size;
    return KVR_OK;
}

static kvr_status read_checked(kvr__mvcc_load *load, kvr_slice piece)
{
    load->checksum = kvr__xxh3_64_seed(piece.data, piece.size, load->checksum);
    if (load->checksum != load->checksum_wanted) {
        return KVR_ECORRUPT;
    }
    if (load->stage == KVR__MVCC_LOAD_END) {
        bool is_all = kvr__load_u64(piece.data) == load->keys &&
                      kvr__load_u64(piece.data + 8) == load->content->versions;
        load->stage = KVR__MVCC_LOAD_COMPLETE;
        load->want = 0;
        return is_all ? kvr__mvcc_load_end_key(load) : KVR_ECORRUPT;
    }
    load->stage = KVR__MVCC_LOAD_HEAD;
    load->want = KVR__MVCC_FORMAT_BLOCK_HEAD;
    return kvr__mvcc_load_payload(load, piece);
}

static kvr_status read_piece(kvr__mvcc_load *load, kvr_slice piece)
{
    switch (load->stage) {
    case KVR__MVCC_LOAD_HEADER:
        return read_header(load, piece);
    case KVR__MVCC_LOAD_HEAD:
        return read_block_head(load, piece);
    default:
        return read_checked(load, piece);
    }
}

/* Keeps the start of a piece until the rest comes. The buffer grows with what came, not with what
 * was announced. */
static kvr_status keep(kvr__mvcc_load *load, kvr_slice *rest)
{
    size_t size = load->want - load->buffered;
    size = size < rest->size ? size : rest->size;
    kvr_status status = kvr__array_grow(load->mem, KVR__MEM_HANDLE, (void **)&load->buffer,
                                        &load->capacity, load->buffered + (uint32_t)size, 1);
    if (status == KVR_OK && size > 0) {
        memcpy(load->buffer + load->buffered, rest->data, size);
        load->buffered += (uint32_t)size;
        rest->data += size;
        rest->size -= size;
    }
    return status;
}

static kvr_status read_stream(kvr__mvcc_load *load, kvr_slice rest)
{
    kvr_status status = KVR_OK;
    while (status == KVR_OK && rest.size > 0) {
        if (load->stage == KVR__MVCC_LOAD_COMPLETE) {
            return KVR_ECORRUPT; /* bytes behind the end */
        }
        kvr_slice piece = {rest.data, load->want};
        bool is_whole = load->buffered == 0 && rest.size >= load->want;
        if (is_whole) {
            rest.data += load->want;
            rest.size -= load->want;
        } else {
            status = keep(load, &rest);
            if (status != KVR_OK || load->buffered < load->want) {
                return status;
            }
            piece.data = load->buffer;
        }
        status = read_piece(load, piece);
        if (status == KVR_AGAIN) { /* the header is longer than its first bytes: they come again */
            if (is_whole) {
                rest.data -= piece.size;
                rest.size += piece.size;
            }
            status = KVR_OK;
        } else {
            load->buffered = 0;
        }
    }
    return status;
}

/* ------------------------------------------------------------------ the door */

kvr_status kvr_mvcc_load_begin(kvr_mvcc *store)
{
    if (kvr__mvcc_is_applying(store) || store->load != NULL) {
        return KVR_ESTATE;
    }
    kvr__mvcc_load *load = kvr__mem_zalloc(&store->mem, KVR__MEM_HANDLE, sizeof *load);
    if (load == NULL) {
        return KVR_ENOMEM;
    }
    load->mem = &store->mem;
    load->want = KVR__MVCC_FORMAT_BLOCK_HEAD; /* enough of the header to know its size */
    if (kvr__mvcc_content_new(&store->mem, &load->content) != KVR_OK) {
        kvr__mvcc_load_free(load);
        return KVR_ENOMEM;
    }
    load->builder.content = load->content;
    store->load = load;
    return KVR_OK;
}

kvr_status kvr_mvcc_load_write(kvr_mvcc *store, const kvr_slice *bytes)
{
    kvr__mvcc_load *load = store->load;
    if (load == NULL || load->stage == KVR__MVCC_LOAD_FAILED) {
        return KVR_ESTATE;
    }
    kvr_status status = read_stream(load, *bytes);
    if (status != KVR_OK) {
        load->stage = KVR__MVCC_LOAD_FAILED;
    }
    return status;
}

/* The new content against what the header promised. */
static bool is_as_expected(const kvr__mvcc_load *load)
{
    const kvr__mvcc_snap *head = &load->content->head, *expected = &load->expected;
    return head->live_keys == expected->live_keys && head->live_bytes == expected->live_bytes &&
           head->hash_live == expected->hash_live;
}

kvr_status kvr_mvcc_load_end(kvr_mvcc *store)
{
    kvr__mvcc_load *load = store->load;
    if (load == NULL || load->stage == KVR__MVCC_LOAD_FAILED) {
        return KVR_ESTATE;
    }
    kvr_status status = KVR_ECORRUPT;
    if (load->stage == KVR__MVCC_LOAD_COMPLETE && is_as_expected(load)) {
        status = kvr__mvcc_load_history(load);
    }
    if (status == KVR_OK) {
        status = kvr__mvcc_build_end(&load->builder, &load->content->head.root);
    }
    if (status != KVR_OK) {
        load->stage = KVR__MVCC_LOAD_FAILED;
        return status;
    }
    kvr__list_push_back(&store->former, &store->content->link);
    store->content = load->content;
    store->generation++;
    load->content = NULL;
    kvr_mvcc_load_abort(store);
    kvr__mvcc_view_collect(store, KVR__MVCC_REAP_BUDGET);
    KVR_CHECKED(kvr__mvcc_check(store));
    return KVR_OK;
}

void kvr_mvcc_load_abort(kvr_mvcc *store)
{
    kvr__mvcc_load_free(store->load);
    store->load = NULL;
}
