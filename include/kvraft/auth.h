/* SPDX-License-Identifier: Apache-2.0 */
/* kvraft/auth.h: users, roles and permissions: who may read or write which keys. It knows no
 * password (only hashes that its caller made and compares), no token, no network and no clock.
 *
 *   1. kvr_auth_store_new
 *   2. apply each committed change once, in order: kvr_auth_user_*, _role_*, _permission_*,
 *      _enable, _disable
 *   3. ask: kvr_auth_check for each operation, kvr_auth_is_root for administration
 *   4. kvr_auth_store_free
 *
 * The same changes in the same order give the same store and hash on every member. Each effective
 * change raises the auth revision by one (enabling does not); a decision made under an older
 * revision must be made again. A new store is at revision 1 and disabled: then everything is
 * allowed.
 *
 * One handle, one thread at a time. Nothing here calls back. Contract: etcd v3 Auth. */
#ifndef KVRAFT_AUTH_H
#define KVRAFT_AUTH_H

#include <kvraft/base.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct kvr_auth_store kvr_auth_store;

enum {
    KVR_AUTH_NAME_BYTES_MAX = 255, /* of a user or role */
    KVR_AUTH_HASH_BYTES_MAX = 255, /* of a password hash */
    KVR_AUTH_USERS_MAX = 65536,
    KVR_AUTH_ROLES_MAX = 4096,
    KVR_AUTH_USER_ROLES_MAX = 256, /* roles of one user */
    KVR_AUTH_ROLE_PERMISSIONS_MAX = 4096
};

enum { KVR_PERMISSION_READ = 1, KVR_PERMISSION_WRITE = 2, KVR_PERMISSION_READ_WRITE = 3 };

typedef struct kvr_auth_config {
    uint32_t size;
    uint32_t reserved;
    const kvr_allocator *allocator;
    void *allocator_ctx;
} kvr_auth_config;

KVR_API kvr_status kvr_auth_config_init(kvr_auth_config *config, uint32_t size) KVR_MUST_USE;

/* An empty store. Gives *out_store. KVR_EINVAL, KVR_ENOMEM. */
KVR_API kvr_status kvr_auth_store_new(const kvr_auth_config *config,
                                      kvr_auth_store **out_store) KVR_MUST_USE;
KVR_API void kvr_auth_store_free(kvr_auth_store *store); /* NULL is ignored */

/* --------------------------------------------------------------- changes: apply these in log order
 *
 * Slices are borrowed. All: KVR_OK, KVR_ENOMEM (nothing changed), KVR_ETOOBIG (a limit above), and
 * what they name. */

/* `hash`: what a verifier will be given, opaque; size 0: a user without a password, who can only
 * come in another way. KVR_EUSEREMPTY, KVR_EUSEREXIST. */
KVR_API kvr_status kvr_auth_user_add(kvr_auth_store *store, const kvr_slice *user,
                                     const kvr_slice *hash) KVR_MUST_USE;

/* KVR_ENOUSER; KVR_EAUTHMANAGE (root while enabled). */
KVR_API kvr_status kvr_auth_user_delete(kvr_auth_store *store, const kvr_slice *user) KVR_MUST_USE;

/* KVR_ENOUSER. */
KVR_API kvr_status kvr_auth_user_change_hash(kvr_auth_store *store, const kvr_slice *user,
                                             const kvr_slice *hash) KVR_MUST_USE;

/* KVR_ENOUSER; KVR_ENOROLE (role "root" need not exist). A role that is granted already is KVR_OK
 * and no change. */
KVR_API kvr_status kvr_auth_user_grant_role(kvr_auth_store *store, const kvr_slice *user,
                                            const kvr_slice *role) KVR_MUST_USE;

/* KVR_ENOUSER, KVR_EROLENOTGRANTED; KVR_EAUTHMANAGE (root's role root while enabled). */
KVR_API kvr_status kvr_auth_user_revoke_role(kvr_auth_store *store, const kvr_slice *user,
                                             const kvr_slice *role) KVR_MUST_USE;

/* KVR_EROLEEMPTY, KVR_EROLEEXIST. */
KVR_API kvr_status kvr_auth_role_add(kvr_auth_store *store, const kvr_slice *role) KVR_MUST_USE;

/* Also taken from all users. KVR_ENOROLE; KVR_EAUTHMANAGE (root while enabled). */
KVR_API kvr_status kvr_auth_role_delete(kvr_auth_store *store, const kvr_slice *role) KVR_MUST_USE;

/* Read, write or both, on a key, or an interval as in kvr_range (mvcc.h). The same key and
 * range_end again: the kind is replaced. Borrowed. */
typedef struct kvr_permission {
    uint32_t size;
    uint8_t kind; /* KVR_PERMISSION_* */
    uint8_t reserved[3];
    kvr_slice key;
    kvr_slice range_end;
} kvr_permission;

/* KVR_ENOROLE; KVR_EAUTHMANAGE (empty key, or an interval that is not upright); KVR_EINVAL
 * (kind). */
KVR_API kvr_status kvr_auth_role_grant(kvr_auth_store *store, const kvr_slice *role,
                                       const kvr_permission *permission) KVR_MUST_USE;

/* The one with exactly that key and range_end; its kind is not looked at. KVR_ENOROLE,
 * KVR_EPERMISSIONNOTGRANTED. */
KVR_API kvr_status kvr_auth_role_revoke(kvr_auth_store *store, const kvr_slice *role,
                                        const kvr_permission *permission) KVR_MUST_USE;

/* From now on checks count. Enabled already: KVR_OK. KVR_ENOROOTUSER, KVR_EROOTROLE (user root has
 * not role root). */
KVR_API kvr_status kvr_auth_enable(kvr_auth_store *store) KVR_MUST_USE;

/* Disabled already: KVR_OK, no change. */
KVR_API kvr_status kvr_auth_disable(kvr_auth_store *store) KVR_MUST_USE;

/* ------------------------------------------------------------------ decisions */

/* May `user` do what `wanted` says (its kind, on its whole interval), as decided under
 * `auth_revision`? An interval must be covered without a gap by the union of the user's permissions
 * of that kind; adjoining ones join. Role root may do everything. While disabled everyone may.
 * O(log permissions). KVR_OK; KVR_EPERMISSION; KVR_EUSEREMPTY (no user named); KVR_ENOUSER;
 * KVR_EAUTHOLD (another auth revision: ask again with the present one); KVR_EINVAL. */
KVR_API kvr_status kvr_auth_check(const kvr_auth_store *store, const kvr_slice *user,
                                  uint64_t auth_revision,
                                  const kvr_permission *wanted) KVR_MUST_USE;

/* The same for administration. KVR_OK, KVR_EPERMISSION, KVR_EUSEREMPTY, KVR_ENOUSER. */
KVR_API kvr_status kvr_auth_check_root(const kvr_auth_store *store,
                                       const kvr_slice *user) KVR_MUST_USE;

/* The hash to compare a password with; lends until the next change. KVR_OK; KVR_ENOUSER;
 * KVR_ENOPASSWORD (a user without one). Answer all of these alike to a stranger. */
KVR_API kvr_status kvr_auth_user_hash(const kvr_auth_store *store, const kvr_slice *user,
                                      kvr_slice *out_hash) KVR_MUST_USE;

/* -------------------------------------------- lists: what they give lends until the next change */

/* User, role number `i` in order of name. KVR_OK, KVR_END. */
KVR_API kvr_status kvr_auth_user_at(const kvr_auth_store *store, uint32_t i,
                                    kvr_slice *out_user) KVR_MUST_USE;
KVR_API kvr_status kvr_auth_role_at(const kvr_auth_store *store, uint32_t i,
                                    kvr_slice *out_role) KVR_MUST_USE;

/* Role number `i` of a user in order of name; permission number `i` of a role in order of key and
 * range_end. KVR_OK, KVR_END, KVR_ENOUSER or KVR_ENOROLE. */
KVR_API kvr_status kvr_auth_user_role_at(const kvr_auth_store *store, const kvr_slice *user,
                                         uint32_t i, kvr_slice *out_role) KVR_MUST_USE;
KVR_API kvr_status kvr_auth_role_permission_at(const kvr_auth_store *store, const kvr_slice *role,
                                               uint32_t i,
                                               kvr_permission *out_permission) KVR_MUST_USE;

typedef struct kvr_auth_status {
    uint32_t size;
    uint8_t enabled;
    uint8_t reserved[3];
    uint64_t revision;
    uint64_t users;
    uint64_t roles;
    uint64_t hash; /* of the whole state: equal on all members at equal index */
    uint64_t memory_bytes;
} kvr_auth_status;

/* Fills *out_status, whose size the caller has set. */
KVR_API void kvr_auth_get_status(const kvr_auth_store *store, kvr_auth_status *out_status);

/* ------------------------------------------------------------------ snapshots
 *
 * The whole state as a stream in order of name; as lease.h. Format in kvraft-snapshot(5). */

typedef struct kvr_auth_save {
    uint64_t opaque[8];
} kvr_auth_save;

KVR_API void kvr_auth_save_init(kvr_auth_save *save, const kvr_auth_store *store);

/* Fills `room` (at least 1 KiB) with the next bytes; the store must not change between calls.
 * KVR_OK and *out_size > 0; KVR_END. */
KVR_API kvr_status kvr_auth_save_read(kvr_auth_save *save, const kvr_auth_store *store,
                                      uint8_t *room, size_t room_size,
                                      size_t *out_size) KVR_MUST_USE;

/* Replaces the content by a stream fed in pieces of any size (borrowed); until _end the old content
 * stays. KVR_OK, KVR_ECORRUPT, KVR_EVERSION, KVR_ENOMEM, KVR_ESTATE; after an error only _abort. */
KVR_API kvr_status kvr_auth_load_begin(kvr_auth_store *store) KVR_MUST_USE;
KVR_API kvr_status kvr_auth_load_write(kvr_auth_store *store, const kvr_slice *bytes) KVR_MUST_USE;
KVR_API kvr_status kvr_auth_load_end(kvr_auth_store *store) KVR_MUST_USE;
KVR_API void kvr_auth_load_abort(kvr_auth_store *store);

#ifdef __cplusplus
}
#endif
#endif
