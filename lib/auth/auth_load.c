/* SPDX-License-Identifier: Apache-2.0 */
/* auth_load.c: reads the stream of auth_stream.h, which may be hostile, into tables beside the old
 * ones. Pieces are collected to whole records in one buffer, whose size is known to be bounded
 * before a byte is stored. */
#include "auth_internal.h"
#include "auth_stream.h"

#include "base/assertion.h"
#include "base/checksum.h"
#include "base/codec.h"

#include <string.h>

struct kvr__auth_load {
    kvr__auth_tables tables;
    uint8_t *buffer;
    size_t buffered;
    size_t capacity;
    uint64_t before; /* checksum of the record before */
    uint32_t roles_promised;
    uint32_t users_promised;
    uint32_t last;     /* place of the role or user that comes next belongs to */
    uint8_t last_kind; /* KVR__AUTH_*, of the record before; 0: none yet */
    uint8_t owner;     /* KVR__AUTH_ROLE or _USER: whose parts follow; 0: none */
    kvr_status failed; /* KVR_OK, or only abort is left */
};

void kvr__auth_load_free(kvr_auth_store *store)
{
    kvr__auth_load *load = store->load;
    if (load != NULL) {
        kvr__auth_roles_release(&store->mem, &load->tables);
        kvr__auth_users_release(&store->mem, &load->tables);
        kvr__mem_free(&store->mem, KVR__MEM_HANDLE, load->buffer, load->capacity);
        kvr__mem_free(&store->mem, KVR__MEM_HANDLE, load, sizeof *load);
        store->load = NULL;
    }
}

kvr_status kvr_auth_load_begin(kvr_auth_store *store)
{
    if (store->load != NULL) {
        return KVR_ESTATE;
    }
    store->load = kvr__mem_zalloc(&store->mem, KVR__MEM_HANDLE, sizeof *store->load);
    return store->load == NULL ? KVR_ENOMEM : KVR_OK;
}

void kvr_auth_load_abort(kvr_auth_store *store)
{
    kvr__auth_load_free(store);
}

/* ------------------------------------------------------------------ records */

/* A status that a sound stream cannot cause is damage; memory is not. */
static kvr_status as_damage(kvr_status status)
{
    return status == KVR_OK || status == KVR_ENOMEM ? status : KVR_ECORRUPT;
}

static kvr_status take_head(kvr__auth_load *load, kvr__reader *in)
{
    uint32_t version = kvr__read_u32(in);
    uint32_t enabled = kvr__read_u32(in);
    load->tables.revision = kvr__read_u64(in);
    load->roles_promised = kvr__read_u32(in);
    load->users_promised = kvr__read_u32(in);
    if (!in->failed && version > KVR__AUTH_STREAM_VERSION) {
        return KVR_EVERSION;
    }
    load->tables.enabled = enabled == 1;
    bool good = !in->failed && version == KVR__AUTH_STREAM_VERSION && enabled <= 1 &&
                load->tables.revision > 0;
    return good ? KVR_OK : KVR_ECORRUPT;
}

static kvr_status take_role(kvr_auth_store *store, kvr__auth_load *load, kvr__reader *in)
{
    kvr_slice name = {in->at, kvr__reader_left(in)};
    kvr_status status = as_damage(kvr__auth_role_new(&store->mem, &load->tables, name));
    uint32_t place = 0;
    if (status == KVR_OK) {
        bool found = kvr__auth_role_find(&load->tables, name, &place);
        KVR_ASSERT(found);
        load->last = place;
        load->owner = KVR__AUTH_ROLE;
        status = place + 1 == load->tables.role_count ? KVR_OK : KVR_ECORRUPT; /* in order */
    }
    return status;
}

static kvr_status take_permission(kvr_auth_store *store, kvr__auth_load *load, kvr__reader *in)
{
    kvr_permission permission = {.size = sizeof permission, .kind = kvr__read_u8(in)};
    bool fresh = false;
    permission.key = kvr__read_slice(in);
    permission.range_end = (kvr_slice){in->at, kvr__reader_left(in)};
    if (in->failed || load->owner != KVR__AUTH_ROLE || permission.kind < KVR_PERMISSION_READ ||
        permission.kind > KVR_PERMISSION_READ_WRITE || permission.key.size > UINT16_MAX ||
        permission.range_end.size > UINT16_MAX ||
        !kvr__auth_is_upright(permission.key, permission.range_end)) {
        return KVR_ECORRUPT;
    }
    kvr__auth_role *role = load->tables.roles[load->last];
    uint32_t before = role->permission_count;
    kvr_status status =
        as_damage(kvr__auth_role_put(&store->mem, &load->tables, role, &permission, &fresh));
    return status == KVR_OK && role->permission_count == before ? KVR_ECORRUPT : status;
}

static kvr_status take_user(kvr_auth_store *store, kvr__auth_load *load, kvr__reader *in)
{
    kvr_slice name = kvr__read_slice(in);
    kvr_slice hash = {in->at, kvr__reader_left(in)};
    uint32_t place = 0;
    if (in->failed) {
        return KVR_ECORRUPT;
    }
    kvr_status status = as_damage(kvr__auth_user_new(&store->mem, &load->tables, name, hash));
    if (status == KVR_OK) {
        bool found = kvr__auth_user_find(&load->tables, name, &place);
        KVR_ASSERT(found);
        load->last = place;
        load->owner = KVR__AUTH_USER;
        status = place + 1 == load->tables.user_count ? KVR_OK : KVR_ECORRUPT;
    }
    return status;
}

static kvr_status take_grant(kvr_auth_store *store, kvr__auth_load *load, kvr__reader *in)
{
    kvr_slice role = {in->at, kvr__reader_left(in)};
    uint32_t place;
    bool fresh = false;
    bool exists = kvr__auth_compare(role, kvr__auth_root) == 0 ||
                  kvr__auth_role_find(&load->tables, role, &place);
    if (load->owner != KVR__AUTH_USER || !exists) {
        return KVR_ECORRUPT;
    }
    kvr_status status = as_damage(kvr__auth_user_put_role(
        &store->mem, &load->tables, load->tables.users[load->last], role, &fresh));
    return status == KVR_OK && !fresh ? KVR_ECORRUPT : status;
}

static kvr_status take_record(kvr_auth_store *store, uint8_t kind, kvr__reader *in)
{
    kvr__auth_load *load = store->load;
    if ((load->last_kind == 0) != (kind == KVR__AUTH_HEAD) || load->last_kind == KVR__AUTH_END) {
        return KVR_ECORRUPT;
    }
    load->last_kind = kind;
    switch (kind) {
    case KVR__AUTH_HEAD:
        return take_head(load, in);
    case KVR__AUTH_ROLE:
        return load->tables.user_count > 0 ? KVR_ECORRUPT : take_role(store, load, in);
    case KVR__AUTH_PERMISSION:
        return take_permission(store, load, in);
    case KVR__AUTH_USER:
        return take_user(store, load, in);
    case KVR__AUTH_GRANT:
        return take_grant(store, load, in);
    case KVR__AUTH_END:
        return kvr__reader_left(in) == 0 ? KVR_OK : KVR_ECORRUPT;
    default:
        return KVR_ECORRUPT;
    }
}

/* ------------------------------------------------------------------ bytes */

/* Room for `size` buffered bytes, which is at most one record. */
static kvr_status make_room(kvr_auth_store *store, size_t size)
{
    kvr__auth_load *load = store->load;
    if (size <= load->capacity) {
        return KVR_OK;
    }
    size_t capacity = load->capacity == 0 ? 1024 : load->capacity;
    while (capacity < size) {
        capacity *= 2;
    }
    uint8_t *buffer =
        kvr__mem_realloc(&store->mem, KVR__MEM_HANDLE, load->buffer, load->capacity, capacity);
    if (buffer == NULL) {
        return KVR_ENOMEM;
    }
    load->buffer = buffer;
    load->capacity = capacity;
    return KVR_OK;
}

/* Takes bytes until the buffer holds `size`; true once it does. */
static bool collect(kvr__auth_load *load, kvr__reader *in, size_t size)
{
    size_t wanted = load->buffered < size ? size - load->buffered : 0;
    size_t left = kvr__reader_left(in);
    size_t take = wanted < left ? wanted : left;
    if (take > 0) {
        memcpy(load->buffer + load->buffered, kvr__read_bytes(in, take), take);
        load->buffered += take;
    }
    return load->buffered >= size;
}

static kvr_status finish_record(kvr_auth_store *store, size_t payload)
{
    kvr__auth_load *load = store->load;
    size_t covered = KVR__AUTH_RECORD_HEAD + payload;
    uint8_t chained[8];
    kvr__xxh3 hash;
    kvr__store_u64(chained, load->before);
    kvr__xxh3_reset(&hash);
    kvr__xxh3_update(&hash, chained, sizeof chained);
    kvr__xxh3_update(&hash, load->buffer, covered);
    uint64_t checksum = kvr__xxh3_digest_64(&hash);
    if (checksum != kvr__load_u64(load->buffer + covered)) {
        return KVR_ECORRUPT;
    }
    load->before = checksum;
    load->buffered = 0;
    kvr__reader in = kvr__reader_of(load->buffer + KVR__AUTH_RECORD_HEAD, payload);
    return take_record(store, load->buffer[4], &in);
}

kvr_status kvr_auth_load_write(kvr_auth_store *store, const kvr_slice *bytes)
{
    kvr__auth_load *load = store->load;
    if (load == NULL || load->failed != KVR_OK) {
        return KVR_ESTATE;
    }
    kvr__reader in = kvr__reader_of(bytes->data, bytes->size);
    kvr_status status = make_room(store, KVR__AUTH_RECORD_HEAD);
    while (status == KVR_OK && kvr__reader_left(&in) > 0) {
        if (!collect(load, &in, KVR__AUTH_RECORD_HEAD)) {
            break;
        }
        uint32_t payload = kvr__load_u32(load->buffer);
        size_t size = KVR__AUTH_RECORD_HEAD + (size_t)payload + KVR__AUTH_RECORD_TAIL;
        if (payload > KVR__AUTH_PAYLOAD_MAX) {
            status = KVR_ECORRUPT;
            break;
        }
        status = make_room(store, size);
        if (status == KVR_OK && collect(load, &in, size)) {
            status = finish_record(store, payload);
        }
    }
    load->failed = status;
    return status;
}

kvr_status kvr_auth_load_end(kvr_auth_store *store)
{
    kvr__auth_load *load = store->load;
    if (load == NULL || load->failed != KVR_OK) {
        return KVR_ESTATE;
    }
    uint32_t place;
    uint32_t at;
    bool complete = load->last_kind == KVR__AUTH_END && load->buffered == 0 &&
                    load->tables.role_count == load->roles_promised &&
                    load->tables.user_count == load->users_promised;
    bool may_be_enabled = kvr__auth_user_find(&load->tables, kvr__auth_root, &place) &&
                          kvr__auth_user_has_role(load->tables.users[place], kvr__auth_root, &at);
    if (!complete || (load->tables.enabled && !may_be_enabled)) {
        load->failed = KVR_ECORRUPT;
        return KVR_ECORRUPT;
    }
    kvr__auth_tables old = store->tables;
    store->tables = load->tables;
    load->tables = old; /* goes with the load */
    kvr__auth_load_free(store);
    KVR_CHECKED(kvr__auth_check(store));
    return KVR_OK;
}
