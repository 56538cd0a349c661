/* SPDX-License-Identifier: Apache-2.0 */
/* auth_role.c: roles and their permissions. After each change the two span lists of the role are
 * made anew from its sorted permissions, into room that was there before: O(permissions of the
 * role). */
#include "auth_internal.h"

#include "base/array.h"
#include "base/assertion.h"
#include "base/checksum.h"

#include <string.h>

/* ------------------------------------------------------------------ one permission */

static kvr_slice key_of(const kvr__auth_permission *permission)
{
    return (kvr_slice){permission->bytes, permission->key_size};
}

static kvr_slice end_of(const kvr__auth_permission *permission)
{
    return (kvr_slice){permission->bytes + permission->key_size, permission->end_size};
}

void kvr__auth_permission_show(const kvr__auth_permission *from, kvr_permission *out_permission)
{
    *out_permission = (kvr_permission){.size = sizeof *out_permission,
                                       .kind = from->kind,
                                       .key = key_of(from),
                                       .range_end = end_of(from)};
}

static size_t permission_size(kvr_slice key, kvr_slice range_end)
{
    return sizeof(kvr__auth_permission) + key.size + (range_end.size == 0 ? 1 : range_end.size);
}

static kvr__auth_permission *new_permission(kvr__mem *mem, const kvr_permission *from)
{
    size_t size = permission_size(from->key, from->range_end);
    kvr__auth_permission *permission = kvr__mem_zalloc(mem, KVR__MEM_RECORD, size);
    if (permission != NULL) {
        permission->key_size = (uint32_t)from->key.size;
        permission->end_size = (uint32_t)from->range_end.size;
        permission->kind = from->kind;
        memcpy(permission->bytes, from->key.data, from->key.size);
        if (from->range_end.size > 0) {
            memcpy(permission->bytes + from->key.size, from->range_end.data, from->range_end.size);
        }
    }
    return permission;
}

static void free_permission(kvr__mem *mem, kvr__auth_permission *permission)
{
    kvr__mem_free(mem, KVR__MEM_RECORD, permission,
                  permission_size(key_of(permission), end_of(permission)));
}

static bool find_permission(const kvr__auth_role *role, kvr_slice key, kvr_slice range_end,
                            uint32_t *out_place)
{
    uint32_t low = 0;
    uint32_t high = role->permission_count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        int order = kvr__auth_compare(key_of(role->permissions[middle]), key);
        order =
            order != 0 ? order : kvr__auth_compare(end_of(role->permissions[middle]), range_end);
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

/* ------------------------------------------------------------------ spans and hash */

static kvr__auth_span span_of(const kvr__auth_permission *permission)
{
    kvr__auth_span span = {.start = key_of(permission), .end = end_of(permission)};
    if (permission->end_size == 0) { /* [key, key followed by a zero byte) */
        span.end = (kvr_slice){permission->bytes, (size_t)permission->key_size + 1};
    }
    span.endless = permission->end_size == 1 && permission->bytes[permission->key_size] == 0;
    return span;
}

/* Permissions are sorted by key, so each either goes on from the last span or begins a new one. */
static uint32_t merge(const kvr__auth_role *role, uint8_t kind, kvr__auth_span *spans)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < role->permission_count; i++) {
        kvr__auth_span next = span_of(role->permissions[i]);
        kvr__auth_span *last = count == 0 ? NULL : &spans[count - 1];
        if ((role->permissions[i]->kind & kind) == 0) {
            continue;
        }
        if (last == NULL || (!last->endless && kvr__auth_compare(next.start, last->end) > 0)) {
            spans[count++] = next;
        } else if (next.endless) {
            last->endless = true;
        } else if (!last->endless && kvr__auth_compare(next.end, last->end) > 0) {
            last->end = next.end;
        }
    }
    return count;
}

static void add_to_hash(kvr__xxh3 *hash, kvr_slice bytes)
{
    uint64_t size = bytes.size;
    uint8_t sized[8];
    for (int i = 0; i < 8; i++) {
        sized[i] = (uint8_t)(size >> (8 * i));
    }
    kvr__xxh3_update(hash, sized, sizeof sized);
    if (bytes.size > 0) {
        kvr__xxh3_update(hash, bytes.data, bytes.size);
    }
}

/* What a change of the role must be followed by. */
static void refresh(kvr__auth_tables *tables, kvr__auth_role *role)
{
    kvr__xxh3 hash;
    kvr__xxh3_reset(&hash);
    add_to_hash(&hash, kvr__auth_slice(&role->name));
    for (uint32_t i = 0; i < role->permission_count; i++) {
        add_to_hash(&hash, key_of(role->permissions[i]));
        add_to_hash(&hash, end_of(role->permissions[i]));
        kvr__xxh3_update(&hash, &role->permissions[i]->kind, 1);
    }
    role->span_count[0] = merge(role, KVR_PERMISSION_READ, role->spans[0]);
    role->span_count[1] = merge(role, KVR_PERMISSION_WRITE, role->spans[1]);
    tables->hash -= role->hash;
    role->hash = kvr__xxh3_digest_64(&hash);
    tables->hash += role->hash;
}

static void free_lists(kvr__mem *mem, kvr__auth_permission **permissions, kvr__auth_span *spans[2],
                       uint32_t capacity)
{
    kvr__mem_free(mem, KVR__MEM_RECORD, permissions, capacity * sizeof *permissions);
    for (int i = 0; i < 2; i++) {
        kvr__mem_free(mem, KVR__MEM_RECORD, spans[i], capacity * sizeof *spans[i]);
    }
}

/* Room for one permission more, in the list and in both span lists, which share one capacity. Spans
 * are not copied: refresh makes them anew. */
static kvr_status grow(kvr__mem *mem, kvr__auth_role *role)
{
    uint32_t capacity = role->permission_capacity == 0 ? 4 : role->permission_capacity * 2;
    if (role->permission_count < role->permission_capacity) {
        return KVR_OK;
    }
    kvr__auth_permission **permissions =
        kvr__mem_alloc(mem, KVR__MEM_RECORD, capacity * sizeof *permissions);
    kvr__auth_span *spans[2];
    for (int i = 0; i < 2; i++) {
        spans[i] = kvr__mem_alloc(mem, KVR__MEM_RECORD, capacity * sizeof *spans[i]);
    }
    if (permissions == NULL || spans[0] == NULL || spans[1] == NULL) {
        free_lists(mem, permissions, spans, capacity);
        return KVR_ENOMEM;
    }
    for (uint32_t i = 0; i < role->permission_count; i++) {
        permissions[i] = role->permissions[i];
    }
    for (int i = 0; i < 2; i++) {
        for (uint32_t n = 0; n < role->span_count[i]; n++) {
            spans[i][n] = role->spans[i][n];
        }
    }
    free_lists(mem, role->permissions, role->spans, role->permission_capacity);
    role->permissions = permissions;
    memcpy(role->spans, spans, sizeof spans);
    role->permission_capacity = capacity;
    return KVR_OK;
}

/* ------------------------------------------------------------------ roles */

bool kvr__auth_role_find(const kvr__auth_tables *tables, kvr_slice name, uint32_t *out_place)
{
    uint32_t low = 0;
    uint32_t high = tables->role_count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        int order = kvr__auth_compare(kvr__auth_slice(&tables->roles[middle]->name), name);
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

static void free_role(kvr__mem *mem, kvr__auth_role *role)
{
    for (uint32_t i = 0; i < role->permission_count; i++) {
        free_permission(mem, role->permissions[i]);
    }
    free_lists(mem, role->permissions, role->spans, role->permission_capacity);
    kvr__auth_text_free(mem, &role->name);
    kvr__mem_free(mem, KVR__MEM_RECORD, role, sizeof *role);
}

kvr_status kvr__auth_role_new(kvr__mem *mem, kvr__auth_tables *tables, kvr_slice name)
{
    uint32_t place;
    if (name.size == 0) {
        return KVR_EROLEEMPTY;
    }
    if (kvr__auth_role_find(tables, name, &place)) {
        return KVR_EROLEEXIST;
    }
    if (name.size > KVR_AUTH_NAME_BYTES_MAX || tables->role_count == KVR_AUTH_ROLES_MAX) {
        return KVR_ETOOBIG;
    }
    kvr_status status =
        kvr__array_grow(mem, KVR__MEM_TREE, (void **)&tables->roles, &tables->role_capacity,
                        tables->role_count + 1, sizeof(kvr__auth_role *));
    kvr__auth_role *role = NULL;
    if (status == KVR_OK) {
        role = kvr__mem_zalloc(mem, KVR__MEM_RECORD, sizeof *role);
        status = role == NULL ? KVR_ENOMEM : kvr__auth_text_copy(mem, name, &role->name);
    }
    if (status != KVR_OK) {
        kvr__mem_free(mem, KVR__MEM_RECORD, role, sizeof *role);
        return status;
    }
    memmove(tables->roles + place + 1, tables->roles + place,
            (tables->role_count - place) * sizeof(kvr__auth_role *));
    tables->roles[place] = role;
    tables->role_count++;
    refresh(tables, role);
    return KVR_OK;
}

kvr_status kvr__auth_role_put(kvr__mem *mem, kvr__auth_tables *tables, kvr__auth_role *role,
                              const kvr_permission *permission, bool *out_changed)
{
    uint32_t place;
    *out_changed = true;
    if (find_permission(role, permission->key, permission->range_end, &place)) {
        *out_changed = role->permissions[place]->kind != permission->kind;
        role->permissions[place]->kind = permission->kind;
        refresh(tables, role);
        return KVR_OK;
    }
    if (role->permission_count == KVR_AUTH_ROLE_PERMISSIONS_MAX) {
        return KVR_ETOOBIG;
    }
    kvr__auth_permission *fresh = new_permission(mem, permission);
    if (fresh == NULL) {
        return KVR_ENOMEM;
    }
    if (grow(mem, role) != KVR_OK) {
        free_permission(mem, fresh);
        return KVR_ENOMEM;
    }
    memmove(role->permissions + place + 1, role->permissions + place,
            (role->permission_count - place) * sizeof(kvr__auth_permission *));
    role->permissions[place] = fresh;
    role->permission_count++;
    refresh(tables, role);
    return KVR_OK;
}

void kvr__auth_roles_release(kvr__mem *mem, kvr__auth_tables *tables)
{
    for (uint32_t i = 0; i < tables->role_count; i++) {
        free_role(mem, tables->roles[i]);
    }
    kvr__array_free(mem, KVR__MEM_TREE, (void **)&tables->roles, &tables->role_capacity,
                    sizeof(kvr__auth_role *));
    tables->role_count = 0;
}

/* ------------------------------------------------------------------ the door's calls */

kvr_status kvr_auth_role_add(kvr_auth_store *store, const kvr_slice *role)
{
    kvr_status status = kvr__auth_role_new(&store->mem, &store->tables, *role);
    store->tables.revision += status == KVR_OK;
    KVR_CHECKED(kvr__auth_check(store));
    return status;
}

kvr_status kvr_auth_role_delete(kvr_auth_store *store, const kvr_slice *role)
{
    kvr__auth_tables *tables = &store->tables;
    uint32_t place;
    if (!kvr__auth_role_find(tables, *role, &place)) {
        return KVR_ENOROLE;
    }
    if (tables->enabled && kvr__auth_compare(*role, kvr__auth_root) == 0) {
        return KVR_EAUTHMANAGE;
    }
    for (uint32_t i = 0; i < tables->user_count; i++) {
        uint32_t at;
        if (kvr__auth_user_has_role(tables->users[i], *role, &at)) {
            kvr__auth_user_drop_role(&store->mem, tables, tables->users[i], at);
        }
    }
    kvr__auth_role *gone = tables->roles[place];
    tables->hash -= gone->hash;
    tables->role_count--;
    memmove(tables->roles + place, tables->roles + place + 1,
            (tables->role_count - place) * sizeof(kvr__auth_role *));
    free_role(&store->mem, gone);
    tables->revision++;
    KVR_CHECKED(kvr__auth_check(store));
    return KVR_OK;
}

kvr_status kvr_auth_role_grant(kvr_auth_store *store, const kvr_slice *role,
                               const kvr_permission *permission)
{
    uint32_t place;
    bool changed = false;
    if (permission->kind < KVR_PERMISSION_READ || permission->kind > KVR_PERMISSION_READ_WRITE) {
        return KVR_EINVAL;
    }
    if (!kvr__auth_is_upright(permission->key, permission->range_end)) {
        return KVR_EAUTHMANAGE; /* FAULTS 135 */
    }
    if (permission->key.size > UINT16_MAX || permission->range_end.size > UINT16_MAX) {
        return KVR_ETOOBIG;
    }
    if (!kvr__auth_role_find(&store->tables, *role, &place)) {
        return KVR_ENOROLE;
    }
    kvr_status status = kvr__auth_role_put(&store->mem, &store->tables, store->tables.roles[place],
                                           permission, &changed);
    store->tables.revision += status == KVR_OK && changed;
    KVR_CHECKED(kvr__auth_check(store));
    return status;
}

kvr_status kvr_auth_role_revoke(kvr_auth_store *store, const kvr_slice *role,
                                const kvr_permission *permission)
{
    uint32_t place;
    uint32_t at;
    if (!kvr__auth_role_find(&store->tables, *role, &place)) {
        return KVR_ENOROLE;
    }
    kvr__auth_role *from = store->tables.roles[place];
    if (!find_permission(from, permission->key, permission->range_end, &at)) {
        return KVR_EPERMISSIONNOTGRANTED;
    }
    kvr__auth_permission *gone = from->permissions[at];
    from->permission_count--;
    memmove(from->permissions + at, from->permissions + at + 1,
            (from->permission_count - at) * sizeof(kvr__auth_permission *));
    refresh(&store->tables, from);
    free_permission(&store->mem, gone);
    store->tables.revision++;
    KVR_CHECKED(kvr__auth_check(store));
    return KVR_OK;
}

kvr_status kvr_auth_role_at(const kvr_auth_store *store, uint32_t i, kvr_slice *out_role)
{
    if (i >= store->tables.role_count) {
        return KVR_END;
    }
    *out_role = kvr__auth_slice(&store->tables.roles[i]->name);
    return KVR_OK;
}

kvr_status kvr_auth_role_permission_at(const kvr_auth_store *store, const kvr_slice *role,
                                       uint32_t i, kvr_permission *out_permission)
{
    uint32_t place;
    if (!kvr__auth_role_find(&store->tables, *role, &place)) {
        return KVR_ENOROLE;
    }
    const kvr__auth_role *from = store->tables.roles[place];
    if (i >= from->permission_count) {
        return KVR_END;
    }
    kvr__auth_permission_show(from->permissions[i], out_permission);
    return KVR_OK;
}
