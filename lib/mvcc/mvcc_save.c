/* SPDX-License-Identifier: Apache-2.0 */
/* mvcc_save.c: a view as a stream of blocks, in key order, each key's versions newest first. What
 * goes in is decided by the compacted revision alone, not by how far its sweep is: so equal stores
 * write equal bytes. Only the view is read, so another thread may do it, if the allocator allows: a
 * save has its own. */
#include "mvcc_internal.h"

#include "base/checksum.h"
#include "mvcc_format.h"

enum { STAGE_HEADER = 0, STAGE_BLOCKS = 1, STAGE_END = 2, STAGE_DONE = 3 };

struct kvr_mvcc_save {
    kvr__mem mem;
    const kvr__mvcc_snap *snap;
    kvr__mvcc_cursor cursor;
    const kvr__mvcc_record *next; /* to be written; NULL: no more */
    bool is_older;                /* of the same key as the one before */
    uint8_t stage;
    uint64_t checksum; /* of the last piece */
    uint64_t keys;
    uint64_t versions;
    uint8_t *piece; /* header, block or end, of which `at` bytes were read */
    size_t piece_size;
    size_t at;
    size_t capacity;
};

/* ------------------------------------------------------------------ which versions */

/* A delete below the compacted revision says nothing any more. */
static bool is_part(const kvr_mvcc_save *save, const kvr__mvcc_record *record)
{
    return kvr__mvcc_record_is_live(record) || record->mod >= save->snap->compacted;
}

static void advance_to_key(kvr_mvcc_save *save)
{
    save->is_older = false;
    do {
        save->next = kvr__mvcc_cursor_next_slot(&save->cursor);
    } while (save->next != NULL && !is_part(save, save->next));
}

static void advance(kvr_mvcc_save *save)
{
    const kvr__mvcc_record *record = save->next;
    if (record->mod > save->snap->compacted && record->older != NULL &&
        is_part(save, record->older)) {
        save->next = record->older;
        save->is_older = true;
        return;
    }
    advance_to_key(save);
}

/* ------------------------------------------------------------------ pieces */

static bool make_room(kvr_mvcc_save *save, size_t size)
{
    if (size <= save->capacity) {
        return true;
    }
    uint8_t *piece =
        kvr__mem_realloc(&save->mem, KVR__MEM_HANDLE, save->piece, save->capacity, size);
    if (piece == NULL) {
        return false;
    }
    save->piece = piece;
    save->capacity = size;
    return true;
}

static uint8_t flags_of(const kvr_mvcc_save *save, const kvr__mvcc_record *record)
{
    uint32_t flags = save->is_older ? KVR__MVCC_FORMAT_OLDER : 0;
    flags |= record->sub != 0 ? KVR__MVCC_FORMAT_SUB : 0;
    if (!kvr__mvcc_record_is_live(record)) {
        return (uint8_t)(flags | KVR__MVCC_FORMAT_TOMBSTONE);
    }
    flags |= kvr__mvcc_record_version(record) != 1 ? KVR__MVCC_FORMAT_AGED : 0;
    flags |= record->lease != 0 ? KVR__MVCC_FORMAT_LEASED : 0;
    return (uint8_t)flags;
}

static void write_version(kvr_mvcc_save *save, kvr__writer *w)
{
    const kvr__mvcc_record *record = save->next;
    uint8_t flags = flags_of(save, record);
    kvr_slice value = kvr__mvcc_record_value_slice(record);
    kvr__write_u8(w, flags);
    if ((flags & KVR__MVCC_FORMAT_OLDER) == 0) {
        kvr__write_u16(w, record->key_size);
        save->keys++;
    }
    if ((flags & KVR__MVCC_FORMAT_TOMBSTONE) == 0) {
        kvr__write_u32(w, (uint32_t)value.size);
    }
    kvr__write_u64(w, record->mod);
    if ((flags & KVR__MVCC_FORMAT_AGED) != 0) {
        kvr__write_u64(w, record->create);
        kvr__write_u64(w, kvr__mvcc_record_version(record));
    }
    if ((flags & KVR__MVCC_FORMAT_LEASED) != 0) {
        kvr__write_u64(w, (uint64_t)record->lease);
    }
    if ((flags & KVR__MVCC_FORMAT_SUB) != 0) {
        kvr__write_u32(w, record->sub);
    }
    if ((flags & KVR__MVCC_FORMAT_OLDER) == 0) {
        kvr__write_bytes(w, kvr__mvcc_record_key(record), record->key_size);
    }
    kvr__write_bytes(w, value.data, value.size);
    save->versions++;
}

/* As many versions as fit, at least one. */
static kvr_status make_block(kvr_mvcc_save *save)
{
    uint32_t count = 0;
    size_t payload = 0;
    while (save->next != NULL) {
        size_t most = KVR__MVCC_FORMAT_FIELDS_MAX + (size_t)save->next->key_size +
                      kvr__mvcc_record_value_size(save->next);
        if (count > 0 && payload + most > KVR__MVCC_FORMAT_BLOCK) {
            break;
        }
        if (!make_room(save, KVR__MVCC_FORMAT_BLOCK_HEAD + payload + most)) {
            return KVR_ENOMEM; /* only before the first: the block has room for all that fit it */
        }
        kvr__writer w = kvr__writer_of(save->piece + KVR__MVCC_FORMAT_BLOCK_HEAD + payload, most);
        const uint8_t *from = w.at;
        write_version(save, &w);
        KVR_ASSERT(!w.failed);
        payload += (size_t)(w.at - from);
        count++;
        advance(save);
    }
    save->checksum =
        kvr__xxh3_64_seed(save->piece + KVR__MVCC_FORMAT_BLOCK_HEAD, payload, save->checksum);
    kvr__store_u32(save->piece, (uint32_t)payload);
    kvr__store_u32(save->piece + 4, count);
    kvr__store_u64(save->piece + 8, save->checksum);
    save->piece_size = KVR__MVCC_FORMAT_BLOCK_HEAD + payload;
    return KVR_OK;
}

static void make_header(kvr_mvcc_save *save)
{
    const kvr__mvcc_snap *snap = save->snap;
    uint8_t *to = save->piece;
    memset(to, 0, KVR__MVCC_FORMAT_HEADER);
    memcpy(to, KVR__MVCC_FORMAT_MAGIC, 8);
    kvr__store_u32(to + 8, KVR__MVCC_FORMAT_HEADER);
    kvr__store_u32(to + 12, KVR__MVCC_FORMAT_VERSION);
    kvr__store_u64(to + 16, snap->revision);
    kvr__store_u64(to + 24, snap->compacted);
    kvr__store_u64(to + 32, snap->live_keys);
    kvr__store_u64(to + 40, snap->live_bytes);
    kvr__store_u64(to + 48, snap->hash_live);
    kvr__store_u64(to + 56, snap->hash_chain);
    kvr__store_u64(to + 64, snap->change_end - snap->change_first);
    save->checksum = kvr__xxh3_64(to, KVR__MVCC_FORMAT_HEADER - 8);
    kvr__store_u64(to + KVR__MVCC_FORMAT_HEADER - 8, save->checksum);
    save->piece_size = KVR__MVCC_FORMAT_HEADER;
}

static void make_end(kvr_mvcc_save *save)
{
    memset(save->piece, 0, KVR__MVCC_FORMAT_END);
    kvr__store_u64(save->piece + 16, save->keys);
    kvr__store_u64(save->piece + 24, save->versions);
    kvr__store_u64(save->piece + 8, kvr__xxh3_64_seed(save->piece + 16, 16, save->checksum));
    save->piece_size = KVR__MVCC_FORMAT_END;
}

static kvr_status make_piece(kvr_mvcc_save *save)
{
    kvr_status status = KVR_OK;
    if (save->stage == STAGE_HEADER) {
        make_header(save);
        advance_to_key(save);
        save->stage = save->next == NULL ? STAGE_END : STAGE_BLOCKS;
    } else if (save->stage == STAGE_BLOCKS) {
        status = make_block(save);
        if (save->next == NULL) {
            save->stage = STAGE_END;
        }
    } else {
        make_end(save);
        save->stage = STAGE_DONE;
    }
    if (status == KVR_OK) {
        save->at = 0;
    }
    return status;
}

/* ------------------------------------------------------------------ the door */

kvr_status kvr_mvcc_save_new(const kvr_mvcc_view *view, kvr_mvcc_save **out_save)
{
    const kvr__mem *mem = &view->store->mem;
    void *handle;
    kvr_status status = kvr__mem_new_handle(mem->table, mem->ctx, sizeof(kvr_mvcc_save),
                                            offsetof(kvr_mvcc_save, mem), &handle);
    if (status != KVR_OK) {
        return status;
    }
    static const uint8_t zero[1] = {0};
    kvr_slice all = {zero, 1};
    kvr__mvcc_interval interval = kvr__mvcc_interval_of(&all, &all);
    kvr_mvcc_save *save = handle;
    save->snap = &view->snap;
    if (!make_room(save, KVR__MVCC_FORMAT_BLOCK_HEAD + KVR__MVCC_FORMAT_BLOCK)) {
        kvr_mvcc_save_free(save);
        return KVR_ENOMEM;
    }
    kvr__mvcc_cursor_start(&save->cursor, save->snap, &interval, save->snap->revision);
    kvr__mvcc_cursor_take_all(&save->cursor);
    *out_save = save;
    return KVR_OK;
}

kvr_status kvr_mvcc_save_read(kvr_mvcc_save *save, uint8_t *room, size_t room_size,
                              size_t *out_size)
{
    size_t filled = 0;
    kvr_status status = KVR_OK;
    if (room_size == 0) {
        return KVR_EINVAL;
    }
    while (filled < room_size && status == KVR_OK) {
        if (save->at == save->piece_size) {
            if (save->stage == STAGE_DONE) {
                break;
            }
            status = make_piece(save);
            continue;
        }
        size_t size = save->piece_size - save->at;
        size = size < room_size - filled ? size : room_size - filled;
        memcpy(room + filled, save->piece + save->at, size);
        save->at += size;
        filled += size;
    }
    if (filled == 0 && status != KVR_OK) {
        return status;
    }
    *out_size = filled;
    return filled == 0 ? KVR_END : KVR_OK;
}

void kvr_mvcc_save_free(kvr_mvcc_save *save)
{
    if (save == NULL) {
        return;
    }
    kvr__mem_free(&save->mem, KVR__MEM_HANDLE, save->piece, save->capacity);
    kvr__mem_free_handle(save, sizeof *save, offsetof(kvr_mvcc_save, mem));
}
