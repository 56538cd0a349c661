/* SPDX-License-Identifier: Apache-2.0 */
/* auth_access.c: the one permission function. A wanted interval is walked from its start: at each
 * place the user's roles are asked how far a span that covers the place reaches, until the end is
 * reached or no role covers. Each step leaves at least one span behind. */
#include "auth_internal.h"

#include "base/sized.h"

/* How far the role covers from `place` on: the span that holds it, or NULL. Spans are sorted and
 * apart. */
static const kvr__auth_span *covering(const kvr__auth_role *role, int list, kvr_slice place)
{
    uint32_t low = 0;
    uint32_t high = role->span_count[list];
    while (low < high) { /* the last span that starts at or before the place */
        uint32_t middle = low + (high - low) / 2;
        bool before = kvr__auth_compare(role->spans[list][middle].start, place) <= 0;
        low = before ? middle + 1 : low;
        high = before ? high : middle;
    }
    const kvr__auth_span *span = low == 0 ? NULL : &role->spans[list][low - 1];
    if (span != NULL && !span->endless && kvr__auth_compare(span->end, place) <= 0) {
        span = NULL;
    }
    return span;
}

static const kvr__auth_span *farthest(const kvr_auth_store *store, const kvr__auth_user *user,
                                      int list, kvr_slice place)
{
    const kvr__auth_span *best = NULL;
    for (uint32_t i = 0; i < user->role_count; i++) {
        uint32_t at;
        if (!kvr__auth_role_find(&store->tables, kvr__auth_slice(&user->roles[i]), &at)) {
            continue; /* role root need not exist */
        }
        const kvr__auth_span *span = covering(store->tables.roles[at], list, place);
        if (span != NULL && (best == NULL || span->endless ||
                             (!best->endless && kvr__auth_compare(span->end, best->end) > 0))) {
            best = span;
        }
    }
    return best;
}

static bool covers(const kvr_auth_store *store, const kvr__auth_user *user, int list,
                   const kvr_permission *wanted)
{
    bool endless = wanted->range_end.size == 1 && wanted->range_end.data[0] == 0;
    kvr_slice place = wanted->key;
    for (;;) {
        const kvr__auth_span *span = farthest(store, user, list, place);
        if (span == NULL) {
            return false;
        }
        if (wanted->range_end.size == 0 || span->endless) {
            return true; /* a single key needs no more than a span that holds it */
        }
        if (!endless && kvr__auth_compare(span->end, wanted->range_end) >= 0) {
            return true;
        }
        place = span->end;
    }
}

static bool is_root(const kvr__auth_user *user)
{
    uint32_t place;
    return kvr__auth_user_has_role(user, kvr__auth_root, &place);
}

/* Who it is. KVR_DONE: it need not be asked further. */
static kvr_status identify(const kvr_auth_store *store, const kvr_slice *user,
                           const kvr__auth_user **out_user)
{
    uint32_t place;
    if (!store->tables.enabled) {
        return KVR_DONE;
    }
    if (user->size == 0) {
        return KVR_EUSEREMPTY;
    }
    if (!kvr__auth_user_find(&store->tables, *user, &place)) {
        return KVR_ENOUSER;
    }
    *out_user = store->tables.users[place];
    return is_root(*out_user) ? KVR_DONE : KVR_OK;
}

kvr_status kvr_auth_check(const kvr_auth_store *store, const kvr_slice *user,
                          uint64_t auth_revision, const kvr_permission *wanted)
{
    const kvr__auth_user *who = NULL;
    kvr_permission known;
    if (!kvr__sized_read(&known, sizeof known, wanted, sizeof known) || known.key.size == 0 ||
        known.kind < KVR_PERMISSION_READ || known.kind > KVR_PERMISSION_READ_WRITE) {
        return KVR_EINVAL;
    }
    if (store->tables.enabled && auth_revision != store->tables.revision) {
        return KVR_EAUTHOLD; /* FAULTS 130: decided under other permissions */
    }
    kvr_status status = identify(store, user, &who);
    if (status != KVR_OK) {
        return status == KVR_DONE ? KVR_OK : status;
    }
    if (!kvr__auth_is_upright(known.key, known.range_end)) {
        return KVR_EPERMISSION; /* an interval that holds nothing needs no reading either */
    }
    for (int list = 0; list < 2; list++) {
        int kind = list == 0 ? KVR_PERMISSION_READ : KVR_PERMISSION_WRITE;
        if ((known.kind & kind) != 0 && !covers(store, who, list, &known)) {
            return KVR_EPERMISSION;
        }
    }
    return KVR_OK;
}

kvr_status kvr_auth_check_root(const kvr_auth_store *store, const kvr_slice *user)
{
    const kvr__auth_user *who = NULL;
    kvr_status status = identify(store, user, &who);
    if (status == KVR_DONE) {
        return KVR_OK;
    }
    return status == KVR_OK ? KVR_EPERMISSION : status;
}
