/* SPDX-License-Identifier: Apache-2.0 */
/* lease_snapshot.c: the replicated part as a stream: a header, then the leases in the order of ids;
 * the bytes are in README.md. The bytes of a load may be hostile: each is judged before it counts,
 * nothing is reserved on the word of the header, and the old set stays until the new one is
 * whole. */
#include "lease_internal.h"

#include "base/assertion.h"
#include "base/codec.h"

enum {
    VERSION = 1,
    HEADER_SIZE = 24, /* as this version knows them */
    LEASE_SIZE = 32,
    UNIT_SIZE_MAX = 65535,
    ROOM_SIZE_MIN = 64
};

_Static_assert((size_t)LEASE_SIZE <= sizeof((kvr__lease_load *)0)->part,
               "a cut unit is kept whole");

enum { LOAD_HEADER = 0, LOAD_LEASES = 1, LOAD_FAILED = 2 };

/* What kvr_lease_save keeps in its eight words. */
typedef struct save_state {
    uint64_t hash; /* of the set, to find out that it changed */
    uint64_t left; /* leases still to be written */
    int64_t next_id;
    uint64_t began;
} save_state;

_Static_assert(sizeof(save_state) <= sizeof(kvr_lease_save), "the state fits the caller's room");

/* ------------------------------------------------------------------ saving */

static void write_header(uint8_t *p, const kvr__lease_set *set)
{
    kvr__store_u16(p, HEADER_SIZE);
    kvr__store_u16(p + 2, VERSION);
    kvr__store_u32(p + 4, LEASE_SIZE);
    kvr__store_u64(p + 8, set->count);
    kvr__store_u64(p + 16, set->hash);
}

static void write_lease(uint8_t *p, const kvr__lease *lease)
{
    kvr__store_u64(p, (uint64_t)lease->id);
    kvr__store_u64(p + 8, lease->ttl_ns);
    kvr__store_u64(p + 16, lease->recorded_ns);
    kvr__store_u64(p + 24, lease->granted_ns);
}

void kvr_lease_save_init(kvr_lease_save *save, const kvr_lease_book *book)
{
    save_state state = {book->set.hash, book->set.count, INT64_MIN, 0};
    *save = (kvr_lease_save){{0}};
    memcpy(save, &state, sizeof state);
}

kvr_status kvr_lease_save_read(kvr_lease_save *save, const kvr_lease_book *book, uint8_t *room,
                               size_t room_size, size_t *out_size)
{
    save_state state;
    memcpy(&state, save, sizeof state);
    if (room_size < ROOM_SIZE_MIN) {
        return KVR_EINVAL;
    }
    if (state.hash != book->set.hash || state.left > book->set.count) {
        return KVR_ESTATE;
    }
    *out_size = 0;
    if (state.began != 0 && state.left == 0) {
        return KVR_END;
    }
    size_t size = 0;
    if (state.began == 0) {
        write_header(room, &book->set);
        size = HEADER_SIZE;
        state.began = 1;
    }
    kvr__lease_spot spot = kvr__lease_set_seek(&book->set, state.next_id);
    for (; state.left > 0 && room_size - size >= LEASE_SIZE; size += LEASE_SIZE) {
        const kvr__lease *lease = kvr__lease_set_next(&spot);
        KVR_ASSERT(lease != NULL);
        write_lease(room + size, lease);
        state.left--;
        state.next_id = lease->id == INT64_MAX ? INT64_MAX : lease->id + 1;
    }
    memcpy(save, &state, sizeof state);
    *out_size = size;
    return KVR_OK;
}

/* ------------------------------------------------------------------ loading */

kvr_status kvr_lease_load_begin(kvr_lease_book *book)
{
    if (book->loading.slab != NULL) {
        return KVR_ESTATE;
    }
    kvr__slab *slab = kvr__slab_new(&book->mem, KVR__MEM_LEASE);
    if (slab == NULL) {
        return KVR_ENOMEM;
    }
    book->loading = (kvr__lease_set){.slab = slab};
    book->load = (kvr__lease_load){.phase = LOAD_HEADER};
    return KVR_OK;
}

static kvr_status take_header(kvr_lease_book *book)
{
    kvr__lease_load *load = &book->load;
    uint16_t header_size = kvr__load_u16(load->part);
    uint16_t version = kvr__load_u16(load->part + 2);
    if (version > VERSION) {
        return KVR_EVERSION;
    }
    load->record_size = kvr__load_u32(load->part + 4);
    load->left = kvr__load_u64(load->part + 8);
    load->hash = kvr__load_u64(load->part + 16);
    if (version != VERSION || header_size < HEADER_SIZE || load->record_size < LEASE_SIZE ||
        load->record_size > UNIT_SIZE_MAX || load->left > KVR__LEASE_COUNT_MAX) {
        return KVR_ECORRUPT;
    }
    load->skip = header_size - (uint32_t)HEADER_SIZE;
    load->phase = LOAD_LEASES;
    return KVR_OK;
}

static kvr_status take_lease(kvr_lease_book *book)
{
    kvr__lease_load *load = &book->load;
    int64_t id = (int64_t)kvr__load_u64(load->part);
    uint64_t ttl_ns = kvr__load_u64(load->part + 8);
    bool is_above = book->loading.count == 0 || id > load->last_id;
    if (id == 0 || !is_above || ttl_ns < kvr_lease_ttl_ns_min() ||
        ttl_ns > kvr_lease_ttl_ns_max()) {
        return KVR_ECORRUPT;
    }
    for (uint32_t which = 0; which < KVR__LEASE_HEAPS; which++) {
        if (kvr__lease_heap_reserve(&book->heaps[which], &book->mem, book->loading.count + 1) !=
            KVR_OK) {
            return KVR_ENOMEM;
        }
    }
    kvr__lease *lease =
        kvr__lease_set_add(&book->loading, id, ttl_ns, kvr__load_u64(load->part + 24));
    if (lease == NULL) {
        return KVR_ENOMEM;
    }
    kvr__lease_set_record(&book->loading, lease, kvr__load_u64(load->part + 16));
    load->last_id = id;
    load->left--;
    load->skip = load->record_size - LEASE_SIZE;
    return KVR_OK;
}

static kvr_status take_bytes(kvr_lease_book *book, kvr__reader *reader)
{
    kvr__lease_load *load = &book->load;
    size_t left;
    while ((left = kvr__reader_left(reader)) > 0) {
        if (load->skip > 0) {
            size_t skip = load->skip < left ? load->skip : left;
            (void)kvr__read_bytes(reader, skip);
            load->skip -= (uint32_t)skip;
            continue;
        }
        if (load->phase == LOAD_LEASES && load->left == 0) {
            return KVR_ECORRUPT; /* more than was announced */
        }
        size_t unit = load->phase == LOAD_HEADER ? HEADER_SIZE : LEASE_SIZE;
        size_t wanted = unit - load->filled;
        size_t size = wanted < left ? wanted : left;
        memcpy(load->part + load->filled, kvr__read_bytes(reader, size), size);
        load->filled += (uint32_t)size;
        if (load->filled == unit) {
            load->filled = 0;
            kvr_status status = load->phase == LOAD_HEADER ? take_header(book) : take_lease(book);
            if (status != KVR_OK) {
                return status;
            }
        }
    }
    return KVR_OK;
}

kvr_status kvr_lease_load_write(kvr_lease_book *book, const kvr_slice *bytes)
{
    if (book->loading.slab == NULL || book->load.phase == LOAD_FAILED) {
        return KVR_ESTATE;
    }
    kvr__reader reader = kvr__reader_of(bytes->data, bytes->size);
    kvr_status status = take_bytes(book, &reader);
    if (status != KVR_OK) {
        book->load.phase = LOAD_FAILED;
    }
    KVR_CHECKED(kvr__lease_check_door(book));
    return status;
}

kvr_status kvr_lease_load_end(kvr_lease_book *book)
{
    kvr__lease_load *load = &book->load;
    if (book->loading.slab == NULL || load->phase == LOAD_FAILED) {
        return KVR_ESTATE;
    }
    if (load->phase != LOAD_LEASES || load->left != 0 || load->filled != 0 || load->skip != 0 ||
        load->hash != book->loading.hash) {
        load->phase = LOAD_FAILED;
        return KVR_ECORRUPT;
    }
    kvr_lease_follow(book);
    kvr__slab_free_all(book->set.slab);
    book->set = book->loading;
    book->loading = (kvr__lease_set){.slab = NULL};
    KVR_CHECKED(kvr__lease_check_door(book));
    return KVR_OK;
}

void kvr_lease_load_abort(kvr_lease_book *book)
{
    kvr__slab_free_all(book->loading.slab);
    book->loading = (kvr__lease_set){.slab = NULL};
}
