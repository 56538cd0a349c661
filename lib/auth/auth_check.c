/* SPDX-License-Identifier: Apache-2.0 */
/* auth_check.c: the room's invariants, with the numbers of README.md. */
#include "auth_internal.h"

#include "base/assertion.h"

static void check_role(const kvr__auth_role *role)
{
    KVR_ASSERT(role->name.size > 0);
    KVR_ASSERT(role->permission_count <= role->permission_capacity);
    for (uint32_t i = 0; i < role->permission_count; i++) {
        kvr_permission now;
        kvr_permission before;
        kvr__auth_permission_show(role->permissions[i], &now);
        KVR_ASSERT(now.kind >= KVR_PERMISSION_READ && now.kind <= KVR_PERMISSION_READ_WRITE);
        KVR_ASSERT(kvr__auth_is_upright(now.key, now.range_end)); /* 3 */
        if (i > 0) {
            kvr__auth_permission_show(role->permissions[i - 1], &before);
            int order = kvr__auth_compare(before.key, now.key);
            KVR_ASSERT(order < 0 || (order == 0 && kvr__auth_compare(before.range_end,
                                                                     now.range_end) < 0)); /* 1 */
        }
    }
    for (int list = 0; list < 2; list++) {
        const kvr__auth_span *spans = role->spans[list];
        KVR_ASSERT(role->span_count[list] <= role->permission_count);
        for (uint32_t i = 1; i < role->span_count[list]; i++) {
            KVR_ASSERT(!spans[i - 1].endless);                                   /* 4 */
            KVR_ASSERT(kvr__auth_compare(spans[i - 1].end, spans[i].start) < 0); /* 4 */
        }
    }
}

static void check_user(const kvr__auth_tables *tables, const kvr__auth_user *user)
{
    KVR_ASSERT(user->name.size > 0);
    for (uint32_t i = 0; i < user->role_count; i++) {
        uint32_t place;
        kvr_slice name = kvr__auth_slice(&user->roles[i]);
        if (kvr__auth_compare(name, kvr__auth_root) != 0) {
            KVR_ASSERT(kvr__auth_role_find(tables, name, &place)); /* 2 */
        }
        if (i > 0) {
            KVR_ASSERT(kvr__auth_compare(kvr__auth_slice(&user->roles[i - 1]), name) < 0); /* 1 */
        }
    }
}

void kvr__auth_check(const kvr_auth_store *store)
{
    const kvr__auth_tables *tables = &store->tables;
    uint64_t hash = 0;
    uint32_t place;
    uint32_t at;
    for (uint32_t i = 0; i < tables->role_count; i++) {
        check_role(tables->roles[i]);
        hash += tables->roles[i]->hash;
    }
    for (uint32_t i = 0; i < tables->user_count; i++) {
        check_user(tables, tables->users[i]);
        hash += tables->users[i]->state_hash;
    }
    KVR_ASSERT(hash == tables->hash); /* 6 */
    KVR_ASSERT(tables->revision > 0);
    if (tables->enabled) { /* 5 */
        KVR_ASSERT(kvr__auth_user_find(tables, kvr__auth_root, &place));
        KVR_ASSERT(kvr__auth_user_has_role(tables->users[place], kvr__auth_root, &at));
    }
}
