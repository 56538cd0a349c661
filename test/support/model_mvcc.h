/* SPDX-License-Identifier: Apache-2.0 */
/* model_mvcc.h: the store as one would explain it at a blackboard: a sorted array of keys, each
 * with the list of its versions, oldest first, and a list of all changes. No tree, no sharing, no
 * slices; every question is answered by looking at everything. It knows the contract
 * (kvraft/mvcc.h) and nothing of lib/mvcc.
 *
 *     model_mvcc *model = model_mvcc_new();
 *     kvr_status status = model_mvcc_apply(model, &op, &result);     compare with kvr_mvcc_apply
 *     ... model_result_difference(&result, kvr_mvcc_result_root(r)) is NULL if both say the same
 *     model_result_release(&result);
 *     model_mvcc_free(model);
 *
 * Memory comes from malloc; without memory it aborts. */
#ifndef KVRAFT_TEST_SUPPORT_MODEL_MVCC_H
#define KVRAFT_TEST_SUPPORT_MODEL_MVCC_H

#include <kvraft/mvcc.h>

typedef struct model_bytes {
    uint8_t *data;
    size_t size;
} model_bytes;

/* One version of a key; a delete is one too. */
typedef struct model_version {
    uint64_t main;
    uint64_t sub;
    uint64_t create;  /* 0: deleted */
    uint64_t version; /* 0: deleted */
    int64_t lease;
    model_bytes value;
} model_version;

typedef struct model_key {
    model_bytes key;
    model_version *versions; /* oldest first */
    uint32_t count;
} model_key;

/* Which version of which key: the log of changes. */
typedef struct model_change {
    const model_key *key;
    uint32_t version_at;
} model_change;

typedef struct model_mvcc {
    model_key **keys; /* ascending; one that was ever put stays */
    uint32_t key_count;
    model_change *changes; /* (main, sub) ascending */
    uint32_t change_count;
    uint64_t revision;
    uint64_t compacted;
    uint64_t hash_chain;
} model_mvcc;

/* As kvr_op_result, with arrays of its own and no limit to them. */
typedef struct model_result {
    uint8_t kind;
    uint8_t succeeded;
    uint8_t more;
    uint64_t count;
    kvr_kv *kvs; /* point into the model */
    uint32_t kv_count;
    struct model_result *results;
    uint32_t result_count;
} model_result;

model_mvcc *model_mvcc_new(void);
void model_mvcc_free(model_mvcc *model);

/* Duplicate keys by comparing all pairs of operations: KVR_OK or KVR_EDUPKEY. For operations that
 * are otherwise well formed. */
kvr_status model_op_check(const kvr_op *op);

/* `op` is well formed. *out_result is set on KVR_OK; release it. */
kvr_status model_mvcc_apply(model_mvcc *model, const kvr_op *op, model_result *out_result);
kvr_status model_mvcc_compact(model_mvcc *model, uint64_t revision);
void model_result_release(model_result *result);

/* The first difference in words, NULL: none. A result with a view is compared by count only. Lends
 * until the next call. */
const char *model_result_difference(const model_result *model, const kvr_op_result *store);

/* The keys of an interval that live at `revision`, ascending; *out_kvs is freed by free(). Returns
 * how many. */
uint32_t model_mvcc_range(const model_mvcc *model, const kvr_slice *key, const kvr_slice *range_end,
                          uint64_t revision, kvr_kv **out_kvs);

/* The version of a key that lives at `revision`; NULL: none. */
const model_version *model_mvcc_at(const model_mvcc *model, const kvr_slice *key,
                                   uint64_t revision);

/* Change number `i` of the log as an event; prev as a store that is compacted at model->compacted
 * shows it. */
void model_mvcc_event(const model_mvcc *model, uint32_t i, kvr_event *out_event);

uint64_t model_mvcc_hash_live(const model_mvcc *model); /* as kvr_mvcc_status says it is made */
uint64_t model_mvcc_live_bytes(const model_mvcc *model);
bool model_kv_equal(const kvr_kv *a, const kvr_kv *b);
bool model_event_equal(const kvr_event *a, const kvr_event *b);

#endif
