/* SPDX-License-Identifier: Apache-2.0 */
/* auth_user.c: users, their password hashes and the names of their roles. */
#include "auth_internal.h"

#include "base/array.h"
#include "base/assertion.h"
#include "base/checksum.h"
#include "base/codec.h"

#include <string.h>

/* ------------------------------------------------------------------ one user */

static void add_to_hash(kvr__xxh3 *hash, const kvr__auth_text *text)
{
    uint8_t size[4];
    kvr__store_u32(size, text->size);
    kvr__xxh3_update(hash, size, sizeof size);
    if (text->size > 0) {
        kvr__xxh3_update(hash, text->data, text->size);
    }
}

/* What a change of the user must be followed by. */
static void refresh(kvr__auth_tables *tables, kvr__auth_user *user)
{
    kvr__xxh3 hash;
    kvr__xxh3_reset(&hash);
    add_to_hash(&hash, &user->name);
    add_to_hash(&hash, &user->hash);
    for (uint32_t i = 0; i < user->role_count; i++) {
        add_to_hash(&hash, &user->roles[i]);
    }
    tables->hash -= user->state_hash;
    user->state_hash = ~kvr__xxh3_digest_64(&hash); /* a user is no role of the same name */
    tables->hash += user->state_hash;
}

bool kvr__auth_user_has_role(const kvr__auth_user *user, kvr_slice role, uint32_t *out_place)
{
    uint32_t low = 0;
    uint32_t high = user->role_count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        int order = kvr__auth_compare(kvr__auth_slice(&user->roles[middle]), role);
        if (order == 0) {
            *out_place = middle;
            return true;
        }
        low = order < 0 ? middle + 1 : low;
        high = order < 0 ? high : middle;
    }
    *out_place = low;
    return false;
}

kvr_status kvr__auth_user_put_role(kvr__mem *mem, kvr__auth_tables *tables, kvr__auth_user *user,
                                   kvr_slice role, bool *out_changed)
{
    uint32_t place;
    *out_changed = !kvr__auth_user_has_role(user, role, &place);
    if (!*out_changed) {
        return KVR_OK;
    }
    if (user->role_count == KVR_AUTH_USER_ROLES_MAX) {
        return KVR_ETOOBIG;
    }
    kvr__auth_text name;
    kvr_status status =
        kvr__array_grow(mem, KVR__MEM_RECORD, (void **)&user->roles, &user->role_capacity,
                        user->role_count + 1, sizeof *user->roles);
    if (status == KVR_OK) {
        status = kvr__auth_text_copy(mem, role, &name);
    }
    if (status != KVR_OK) {
        return status;
    }
    memmove(user->roles + place + 1, user->roles + place,
            (user->role_count - place) * sizeof *user->roles);
    user->roles[place] = name;
    user->role_count++;
    refresh(tables, user);
    return KVR_OK;
}

void kvr__auth_user_drop_role(kvr__mem *mem, kvr__auth_tables *tables, kvr__auth_user *user,
                              uint32_t place)
{
    KVR_ASSERT(place < user->role_count);
    kvr__auth_text_free(mem, &user->roles[place]);
    user->role_count--;
    memmove(user->roles + place, user->roles + place + 1,
            (user->role_count - place) * sizeof *user->roles);
    refresh(tables, user);
}

static void free_user(kvr__mem *mem, kvr__auth_user *user)
{
    for (uint32_t i = 0; i < user->role_count; i++) {
        kvr__auth_text_free(mem, &user->roles[i]);
    }
    kvr__array_free(mem, KVR__MEM_RECORD, (void **)&user->roles, &user->role_capacity,
                    sizeof *user->roles);
    kvr__auth_text_free(mem, &user->name);
    kvr__auth_text_free(mem, &user->hash);
    kvr__mem_free(mem, KVR__MEM_RECORD, user, sizeof *user);
}

/* ------------------------------------------------------------------ the table */

bool kvr__auth_user_find(const kvr__auth_tables *tables, kvr_slice name, uint32_t *out_place)
{
    uint32_t low = 0;
    uint32_t high = tables->user_count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        int order = kvr__auth_compare(kvr__auth_slice(&tables->users[middle]->name), name);
        if (order == 0) {
            *out_place = middle;
            return true;
        }
        low = order < 0 ? middle + 1 : low;
        high = order < 0 ? high : middle;
    }
    *out_place = low;
    return false;
}

kvr_status kvr__auth_user_new(kvr__mem *mem, kvr__auth_tables *tables, kvr_slice name,
                              kvr_slice hash)
{
    uint32_t place;
    if (name.size == 0) {
        return KVR_EUSEREMPTY;
    }
    if (kvr__auth_user_find(tables, name, &place)) {
        return KVR_EUSEREXIST;
    }
    if (name.size > KVR_AUTH_NAME_BYTES_MAX || hash.size > KVR_AUTH_HASH_BYTES_MAX ||
        tables->user_count == KVR_AUTH_USERS_MAX) {
        return KVR_ETOOBIG;
    }
    kvr_status status =
        kvr__array_grow(mem, KVR__MEM_TREE, (void **)&tables->users, &tables->user_capacity,
                        tables->user_count + 1, sizeof(kvr__auth_user *));
    kvr__auth_user *user =
        status == KVR_OK ? kvr__mem_zalloc(mem, KVR__MEM_RECORD, sizeof *user) : NULL;
    if (user == NULL) {
        return KVR_ENOMEM;
    }
    if (kvr__auth_text_copy(mem, name, &user->name) != KVR_OK ||
        kvr__auth_text_copy(mem, hash, &user->hash) != KVR_OK) {
        free_user(mem, user);
        return KVR_ENOMEM;
    }
    memmove(tables->users + place + 1, tables->users + place,
            (tables->user_count - place) * sizeof(kvr__auth_user *));
    tables->users[place] = user;
    tables->user_count++;
    refresh(tables, user);
    return KVR_OK;
}

void kvr__auth_users_release(kvr__mem *mem, kvr__auth_tables *tables)
{
    for (uint32_t i = 0; i < tables->user_count; i++) {
        free_user(mem, tables->users[i]);
    }
    kvr__array_free(mem, KVR__MEM_TREE, (void **)&tables->users, &tables->user_capacity,
                    sizeof(kvr__auth_user *));
    tables->user_count = 0;
}

/* ------------------------------------------------------------------ the door's calls */

kvr_status kvr_auth_user_add(kvr_auth_store *store, const kvr_slice *user, const kvr_slice *hash)
{
    kvr_status status = kvr__auth_user_new(&store->mem, &store->tables, *user, *hash);
    store->tables.revision += status == KVR_OK;
    KVR_CHECKED(kvr__auth_check(store));
    return status;
}

kvr_status kvr_auth_user_delete(kvr_auth_store *store, const kvr_slice *user)
{
    kvr__auth_tables *tables = &store->tables;
    uint32_t place;
    if (!kvr__auth_user_find(tables, *user, &place)) {
        return KVR_ENOUSER;
    }
    if (tables->enabled && kvr__auth_compare(*user, kvr__auth_root) == 0) {
        return KVR_EAUTHMANAGE;
    }
    kvr__auth_user *gone = tables->users[place];
    tables->hash -= gone->state_hash;
    tables->user_count--;
    memmove(tables->users + place, tables->users + place + 1,
            (tables->user_count - place) * sizeof(kvr__auth_user *));
    free_user(&store->mem, gone);
    tables->revision++;
    KVR_CHECKED(kvr__auth_check(store));
    return KVR_OK;
}

kvr_status kvr_auth_user_change_hash(kvr_auth_store *store, const kvr_slice *user,
                                     const kvr_slice *hash)
{
    uint32_t place;
    kvr__auth_text fresh;
    if (!kvr__auth_user_find(&store->tables, *user, &place)) {
        return KVR_ENOUSER;
    }
    if (hash->size > KVR_AUTH_HASH_BYTES_MAX) {
        return KVR_ETOOBIG;
    }
    kvr_status status = kvr__auth_text_copy(&store->mem, *hash, &fresh);
    if (status == KVR_OK) {
        kvr__auth_user *of = store->tables.users[place];
        kvr__auth_text_free(&store->mem, &of->hash);
        of->hash = fresh;
        refresh(&store->tables, of);
        store->tables.revision++;
    }
    KVR_CHECKED(kvr__auth_check(store));
    return status;
}

kvr_status kvr_auth_user_grant_role(kvr_auth_store *store, const kvr_slice *user,
                                    const kvr_slice *role)
{
    uint32_t place;
    uint32_t role_place;
    bool changed = false;
    if (!kvr__auth_user_find(&store->tables, *user, &place)) {
        return KVR_ENOUSER;
    }
    if (kvr__auth_compare(*role, kvr__auth_root) != 0 &&
        !kvr__auth_role_find(&store->tables, *role, &role_place)) {
        return KVR_ENOROLE;
    }
    kvr_status status = kvr__auth_user_put_role(&store->mem, &store->tables,
                                                store->tables.users[place], *role, &changed);
    store->tables.revision += status == KVR_OK && changed;
    KVR_CHECKED(kvr__auth_check(store));
    return status;
}

kvr_status kvr_auth_user_revoke_role(kvr_auth_store *store, const kvr_slice *user,
                                     const kvr_slice *role)
{
    kvr__auth_tables *tables = &store->tables;
    uint32_t place;
    uint32_t at;
    if (!kvr__auth_user_find(tables, *user, &place)) {
        return KVR_ENOUSER;
    }
    if (tables->enabled && kvr__auth_compare(*user, kvr__auth_root) == 0 &&
        kvr__auth_compare(*role, kvr__auth_root) == 0) {
        return KVR_EAUTHMANAGE;
    }
    if (!kvr__auth_user_has_role(tables->users[place], *role, &at)) {
        return KVR_EROLENOTGRANTED;
    }
    kvr__auth_user_drop_role(&store->mem, tables, tables->users[place], at);
    tables->revision++;
    KVR_CHECKED(kvr__auth_check(store));
    return KVR_OK;
}

kvr_status kvr_auth_user_hash(const kvr_auth_store *store, const kvr_slice *user,
                              kvr_slice *out_hash)
{
    uint32_t place;
    if (!kvr__auth_user_find(&store->tables, *user, &place)) {
        return KVR_ENOUSER;
    }
    const kvr__auth_text *hash = &store->tables.users[place]->hash;
    if (hash->size == 0) {
        return KVR_ENOPASSWORD;
    }
    *out_hash = kvr__auth_slice(hash);
    return KVR_OK;
}

kvr_status kvr_auth_user_at(const kvr_auth_store *store, uint32_t i, kvr_slice *out_user)
{
    if (i >= store->tables.user_count) {
        return KVR_END;
    }
    *out_user = kvr__auth_slice(&store->tables.users[i]->name);
    return KVR_OK;
}

kvr_status kvr_auth_user_role_at(const kvr_auth_store *store, const kvr_slice *user, uint32_t i,
                                 kvr_slice *out_role)
{
    uint32_t place;
    if (!kvr__auth_user_find(&store->tables, *user, &place)) {
        return KVR_ENOUSER;
    }
    if (i >= store->tables.users[place]->role_count) {
        return KVR_END;
    }
    *out_role = kvr__auth_slice(&store->tables.users[place]->roles[i]);
    return KVR_OK;
}
