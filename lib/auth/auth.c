/* SPDX-License-Identifier: Apache-2.0 */
/* auth.c: the door: life, switch, status. Users, roles and decisions have files of their own; start
 * with auth_internal.h, then auth_access.c. */
#include "auth_internal.h"

#include "base/assertion.h"
#include "base/sized.h"

#include <string.h>

kvr_status kvr_auth_config_init(kvr_auth_config *config, uint32_t size)
{
    if (size < sizeof *config) {
        return KVR_EINVAL;
    }
    memset(config, 0, size);
    config->size = size;
    return KVR_OK;
}

kvr_status kvr_auth_store_new(const kvr_auth_config *config, kvr_auth_store **out_store)
{
    kvr_auth_config known;
    void *handle = NULL;
    if (!kvr__sized_read(&known, sizeof known, config, sizeof known)) {
        return KVR_EINVAL;
    }
    kvr_status status =
        kvr__mem_new_handle(known.allocator, known.allocator_ctx, sizeof **out_store,
                            offsetof(kvr_auth_store, mem), &handle);
    if (status == KVR_OK) {
        kvr_auth_store *store = handle;
        store->tables.revision = 1;
        *out_store = store;
    }
    return status;
}

void kvr_auth_store_free(kvr_auth_store *store)
{
    if (store != NULL) {
        kvr__auth_load_free(store);
        kvr__auth_roles_release(&store->mem, &store->tables);
        kvr__auth_users_release(&store->mem, &store->tables);
        kvr__mem_free_handle(store, sizeof *store, offsetof(kvr_auth_store, mem));
    }
}

kvr_status kvr_auth_enable(kvr_auth_store *store)
{
    uint32_t place;
    uint32_t at;
    if (store->tables.enabled) {
        return KVR_OK;
    }
    if (!kvr__auth_user_find(&store->tables, kvr__auth_root, &place)) {
        return KVR_ENOROOTUSER;
    }
    if (!kvr__auth_user_has_role(store->tables.users[place], kvr__auth_root, &at)) {
        return KVR_EROOTROLE;
    }
    store->tables.enabled = true;
    KVR_CHECKED(kvr__auth_check(store));
    return KVR_OK;
}

kvr_status kvr_auth_disable(kvr_auth_store *store)
{
    if (store->tables.enabled) {
        store->tables.enabled = false;
        store->tables.revision++;
    }
    return KVR_OK;
}

void kvr_auth_get_status(const kvr_auth_store *store, kvr_auth_status *out_status)
{
    const kvr__auth_tables *tables = &store->tables;
    kvr_auth_status status = {
        .size = out_status->size,
        .enabled = tables->enabled ? 1 : 0,
        .revision = tables->revision,
        .users = tables->user_count,
        .roles = tables->role_count,
        .hash = tables->hash + tables->revision * 0x9e3779b97f4a7c15u + (tables->enabled ? 1 : 0),
        .memory_bytes = kvr__mem_bytes(&store->mem),
    };
    memcpy(out_status, &status, status.size < sizeof status ? status.size : sizeof status);
}
