/* SPDX-License-Identifier: Apache-2.0 */
/* model_lease.c: a sorted list. */
#include "model_lease.h"

#include <stdlib.h>
#include <string.h>

model_lease *model_lease_new(void)
{
    model_lease *model = calloc(1, sizeof *model);
    if (model == NULL) {
        abort();
    }
    return model;
}

void model_lease_free(model_lease *model)
{
    free(model->rows);
    free(model);
}

static model_lease_row *find(const model_lease *model, int64_t id)
{
    for (uint32_t i = 0; i < model->count; i++) {
        if (model->rows[i].id == id) {
            return &model->rows[i];
        }
    }
    return NULL;
}

const model_lease_row *model_lease_find(const model_lease *model, int64_t id)
{
    return find(model, id);
}

static uint64_t later(uint64_t time, uint64_t by)
{
    return time > UINT64_MAX - by ? UINT64_MAX : time + by;
}

static uint64_t due_of(const model_lease_row *row)
{
    return later(row->renewed_ns, row->ttl_ns);
}

static bool may_lag(const model_lease_row *row)
{
    return !row->is_named && !row->is_recording && row->recorded_ns == 0;
}

/* ------------------------------------------------------------------ replicated */

kvr_status model_lease_grant(model_lease *model, int64_t id, uint64_t ttl_ns, uint64_t now_ns)
{
    if (id == 0 || ttl_ns < 1 || ttl_ns > (uint64_t)9000000000 * 1000000000) {
        return KVR_EINVAL;
    }
    if (find(model, id) != NULL) {
        return KVR_EEXIST;
    }
    model->rows = realloc(model->rows, (model->count + 1) * sizeof *model->rows);
    if (model->rows == NULL) {
        abort();
    }
    uint32_t at = 0;
    while (at < model->count && model->rows[at].id < id) {
        at++;
    }
    memmove(&model->rows[at + 1], &model->rows[at], (model->count - at) * sizeof *model->rows);
    model->rows[at] = (model_lease_row){
        .id = id, .ttl_ns = ttl_ns, .granted_ns = now_ns, .renewed_ns = now_ns, .told_ns = now_ns};
    model->count++;
    return KVR_OK;
}

kvr_status model_lease_revoke(model_lease *model, int64_t id)
{
    model_lease_row *row = find(model, id);
    if (row == NULL) {
        return KVR_ENOTFOUND;
    }
    model->count--;
    memmove(row, row + 1, (size_t)(&model->rows[model->count] - row) * sizeof *row);
    return KVR_OK;
}

kvr_status model_lease_record(model_lease *model, int64_t id, uint64_t granted_ns,
                              uint64_t renewed_ns)
{
    model_lease_row *row = find(model, id);
    if (row == NULL || row->granted_ns != granted_ns) {
        return KVR_ENOTFOUND;
    }
    row->recorded_ns = renewed_ns;
    if (renewed_ns != 0) {
        row->is_recording = false;
    }
    return KVR_OK;
}

/* ------------------------------------------------------------------ the leader's part */

void model_lease_lead(model_lease *model, uint64_t now_ns)
{
    model->leads = true;
    for (uint32_t i = 0; i < model->count; i++) {
        model_lease_row *row = &model->rows[i];
        row->renewed_ns = row->recorded_ns != 0 ? row->recorded_ns : now_ns;
        row->is_recording = false;
        row->is_named = false;
    }
}

void model_lease_follow(model_lease *model)
{
    model->leads = false;
}

kvr_status model_lease_keep_alive(model_lease *model, int64_t id, uint64_t now_ns,
                                  uint64_t *out_ttl_ns, uint8_t *out_must_record)
{
    model_lease_row *row = find(model, id);
    if (!model->leads) {
        return KVR_ENOLEADER;
    }
    if (row == NULL) {
        return KVR_ENOTFOUND;
    }
    if (row->is_named || due_of(row) <= now_ns) {
        return KVR_ETIMEDOUT;
    }
    row->renewed_ns = row->renewed_ns > now_ns ? row->renewed_ns : now_ns;
    *out_ttl_ns = row->ttl_ns;
    *out_must_record = row->recorded_ns != 0 || row->is_recording;
    return KVR_OK;
}

uint32_t model_lease_due(model_lease *model, uint64_t now_ns, int64_t *out_ids, uint32_t capacity)
{
    uint32_t count = 0;
    while (model->leads && count < capacity) {
        model_lease_row *first = NULL;
        for (uint32_t i = 0; i < model->count; i++) {
            model_lease_row *row = &model->rows[i];
            bool is_due = !row->is_named && due_of(row) <= now_ns;
            if (is_due && (first == NULL || due_of(row) < due_of(first))) {
                first = row;
            }
        }
        if (first == NULL) {
            break;
        }
        first->is_named = true;
        out_ids[count++] = first->id;
    }
    return count;
}

uint32_t model_lease_laggards(model_lease *model, uint64_t now_ns, kvr_lease_laggard *out_laggards,
                              uint32_t capacity)
{
    uint32_t count = 0;
    while (model->leads && count < capacity) {
        model_lease_row *first = NULL;
        uint64_t first_ns = UINT64_MAX;
        for (uint32_t i = 0; i < model->count; i++) {
            model_lease_row *row = &model->rows[i];
            uint64_t lags_ns = later(row->renewed_ns, row->ttl_ns / 2);
            if (may_lag(row) && lags_ns <= now_ns && (first == NULL || lags_ns < first_ns)) {
                first = row;
                first_ns = lags_ns;
            }
        }
        if (first == NULL) {
            break;
        }
        first->is_recording = true;
        uint64_t renewed_ns = first->renewed_ns == 0 ? 1 : first->renewed_ns;
        out_laggards[count++] = (kvr_lease_laggard){first->id, first->granted_ns, renewed_ns};
    }
    return count;
}

void model_lease_retry(model_lease *model, int64_t id)
{
    model_lease_row *row = find(model, id);
    if (row == NULL) {
        return;
    }
    if (row->is_named) {
        row->is_named = false;
    } else {
        row->is_recording = false;
    }
}

uint64_t model_lease_deadline(const model_lease *model)
{
    uint64_t deadline = UINT64_MAX;
    for (uint32_t i = 0; model->leads && i < model->count; i++) {
        const model_lease_row *row = &model->rows[i];
        uint64_t due_ns = row->is_named ? UINT64_MAX : due_of(row);
        uint64_t lags_ns = may_lag(row) ? later(row->renewed_ns, row->ttl_ns / 2) : UINT64_MAX;
        uint64_t event_ns = due_ns < lags_ns ? due_ns : lags_ns;
        deadline = event_ns < deadline ? event_ns : deadline;
    }
    return deadline;
}

/* ------------------------------------------------------------------ questions */

kvr_status model_lease_get(const model_lease *model, int64_t id, uint64_t now_ns,
                           kvr_lease_info *out_info)
{
    const model_lease_row *row = find(model, id);
    if (row == NULL) {
        return KVR_ENOTFOUND;
    }
    bool has_left = model->leads && due_of(row) > now_ns;
    *out_info = (kvr_lease_info){id, row->ttl_ns, has_left ? due_of(row) - now_ns : 0,
                                 row->recorded_ns, row->granted_ns};
    return KVR_OK;
}

uint32_t model_lease_list(const model_lease *model, int64_t after, bool from_start,
                          int64_t *out_ids, uint32_t capacity)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < model->count && count < capacity; i++) {
        int64_t id = model->rows[i].id;
        if (id > after || (from_start && id == after)) {
            out_ids[count++] = id;
        }
    }
    return count;
}

void model_lease_told(model_lease *model, int64_t id, uint64_t now_ns)
{
    model_lease_row *row = find(model, id);
    if (row != NULL && row->told_ns < now_ns) {
        row->told_ns = now_ns;
    }
}

bool model_lease_is_promised(const model_lease *model, int64_t id, uint64_t now_ns)
{
    const model_lease_row *row = find(model, id);
    return row != NULL && now_ns < later(row->told_ns, row->ttl_ns);
}
