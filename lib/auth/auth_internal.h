/* SPDX-License-Identifier: Apache-2.0 */
/* auth_internal.h: the tables of the room.
 *
 *   roles, sorted by name                      users, sorted by name
 *     permissions, sorted by (key, range_end)    hash
 *     spans[read], spans[write]: what they       names of roles, sorted
 *     cover, merged, sorted, not touching
 *
 * A user's permissions are the union over its roles' spans, found when asked: so a change of a role
 * touches that role only, and there is no cache that could be stale (FAULTS 132). Everything that a
 * change needs is allocated before the first thing changes. */
#ifndef KVRAFT_LIB_AUTH_AUTH_INTERNAL_H
#define KVRAFT_LIB_AUTH_AUTH_INTERNAL_H

#include "base/memory.h"

#include <kvraft/auth.h>

/* Own bytes, in one block. */
typedef struct kvr__auth_text {
    uint8_t *data; /* NULL if size is 0 */
    uint32_t size;
    uint32_t reserved;
} kvr__auth_text;

/* [start, end): `start` and `end` point into a permission of the same role. */
typedef struct kvr__auth_span {
    kvr_slice start;
    kvr_slice end;
    bool endless; /* no end */
} kvr__auth_span;

/* In one block with its bytes: key, then range_end, then (a single key only) one zero byte, so that
 * key and that byte are the end of its interval. */
typedef struct kvr__auth_permission {
    uint32_t key_size;
    uint32_t end_size; /* of range_end; 0: the single key */
    uint8_t kind;
    uint8_t bytes[];
} kvr__auth_permission;

typedef struct kvr__auth_role {
    kvr__auth_text name;
    kvr__auth_permission **permissions;
    uint32_t permission_count;
    uint32_t permission_capacity;
    kvr__auth_span *spans[2]; /* read, write; room for permission_capacity each */
    uint32_t span_count[2];
    uint64_t hash;
} kvr__auth_role;

typedef struct kvr__auth_user {
    kvr__auth_text name;
    kvr__auth_text hash;
    kvr__auth_text *roles;
    uint32_t role_count;
    uint32_t role_capacity;
    uint64_t state_hash;
} kvr__auth_user;

/* The replicated state. */
typedef struct kvr__auth_tables {
    kvr__auth_role **roles;
    kvr__auth_user **users;
    uint32_t role_count;
    uint32_t role_capacity;
    uint32_t user_count;
    uint32_t user_capacity;
    uint64_t revision;
    uint64_t hash; /* sum over roles and users of theirs */
    bool enabled;
} kvr__auth_tables;

typedef struct kvr__auth_load kvr__auth_load; /* auth_load.c */

struct kvr_auth_store {
    kvr__mem mem;
    kvr__auth_tables tables;
    kvr__auth_load *load; /* NULL: none under way */
};

/* auth_text.c: bytes and names */
extern const kvr_slice kvr__auth_root;
int kvr__auth_compare(kvr_slice a, kvr_slice b); /* as unsigned bytes; a prefix comes first */
bool kvr__auth_is_upright(kvr_slice key,
                          kvr_slice range_end); /* a key, endless, or key < range_end */
kvr_status kvr__auth_text_copy(kvr__mem *mem, kvr_slice from, kvr__auth_text *out_text);
void kvr__auth_text_free(kvr__mem *mem, kvr__auth_text *text);
kvr_slice kvr__auth_slice(const kvr__auth_text *text);

/* auth_role.c, auth_user.c: the tables. `find` gives the place where the name is, or would be. */
bool kvr__auth_role_find(const kvr__auth_tables *tables, kvr_slice name, uint32_t *out_place);
bool kvr__auth_user_find(const kvr__auth_tables *tables, kvr_slice name, uint32_t *out_place);
kvr_status kvr__auth_role_new(kvr__mem *mem, kvr__auth_tables *tables, kvr_slice name);
kvr_status kvr__auth_user_new(kvr__mem *mem, kvr__auth_tables *tables, kvr_slice name,
                              kvr_slice hash);
kvr_status kvr__auth_role_put(kvr__mem *mem, kvr__auth_tables *tables, kvr__auth_role *role,
                              const kvr_permission *permission, bool *out_changed);
kvr_status kvr__auth_user_put_role(kvr__mem *mem, kvr__auth_tables *tables, kvr__auth_user *user,
                                   kvr_slice role, bool *out_changed);
bool kvr__auth_user_has_role(const kvr__auth_user *user, kvr_slice role, uint32_t *out_place);
void kvr__auth_user_drop_role(kvr__mem *mem, kvr__auth_tables *tables, kvr__auth_user *user,
                              uint32_t place);
void kvr__auth_permission_show(const kvr__auth_permission *from, kvr_permission *out_permission);
void kvr__auth_roles_release(kvr__mem *mem, kvr__auth_tables *tables);
void kvr__auth_users_release(kvr__mem *mem, kvr__auth_tables *tables);

/* auth_load.c */
void kvr__auth_load_free(kvr_auth_store *store);

/* auth_check.c: the invariants of README.md; O(state). */
void kvr__auth_check(const kvr_auth_store *store);

#endif
