/* SPDX-License-Identifier: Apache-2.0 */
/* model_mvcc.c: see the header. Clarity before speed everywhere: a question about a revision is
 * answered by walking a key's versions from the oldest, a transaction's compares by asking about
 * the revision before. */
#include "support/model_mvcc.h"

#include "base/checksum.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ------------------------------------------------------------------ bytes and arrays */

static void *must_alloc(size_t size)
{
    void *ptr = calloc(1, size == 0 ? 1 : size);
    if (ptr == NULL) {
        abort();
    }
    return ptr;
}

/* Room for one more item behind `count`. */
static void *grown(void *items, uint32_t count, size_t item_size)
{
    if ((count & (count + 1)) != 0 && count != 0) {
        return items; /* room for the next power of two was made before */
    }
    void *moved = realloc(items, (size_t)(count + 1) * 2 * item_size);
    if (moved == NULL) {
        abort();
    }
    return moved;
}

static model_bytes copy_bytes(const kvr_slice *slice)
{
    model_bytes bytes = {must_alloc(slice->size), slice->size};
    if (slice->size > 0) {
        memcpy(bytes.data, slice->data, slice->size);
    }
    return bytes;
}

static kvr_slice slice_of(const model_bytes *bytes)
{
    return (kvr_slice){bytes->data, bytes->size};
}

static int compare_bytes(const kvr_slice *a, const kvr_slice *b)
{
    size_t size = a->size < b->size ? a->size : b->size;
    int order = size == 0 ? 0 : memcmp(a->data, b->data, size);
    return order != 0 ? order : (a->size > b->size) - (a->size < b->size);
}

static bool is_in(const kvr_slice *key, const kvr_slice *from, const kvr_slice *range_end)
{
    if (range_end->size == 0) {
        return compare_bytes(key, from) == 0;
    }
    bool is_unbounded = range_end->size == 1 && range_end->data[0] == 0;
    return compare_bytes(key, from) >= 0 && (is_unbounded || compare_bytes(key, range_end) < 0);
}

/* ------------------------------------------------------------------ life */

model_mvcc *model_mvcc_new(void)
{
    model_mvcc *model = must_alloc(sizeof *model);
    model->revision = 1;
    return model;
}

void model_mvcc_free(model_mvcc *model)
{
    for (uint32_t i = 0; i < model->key_count; i++) {
        model_key *key = model->keys[i];
        for (uint32_t v = 0; v < key->count; v++) {
            free(key->versions[v].value.data);
        }
        free(key->versions);
        free(key->key.data);
        free(key);
    }
    free(model->keys);
    free(model->changes);
    free(model);
}

/* ------------------------------------------------------------------ looking */

/* The first key that is not below; model->key_count if all are. */
static uint32_t place_of(const model_mvcc *model, const kvr_slice *key)
{
    uint32_t low = 0, high = model->key_count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        kvr_slice here = slice_of(&model->keys[middle]->key);
        if (compare_bytes(&here, key) < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

static model_key *find_key(const model_mvcc *model, const kvr_slice *key)
{
    uint32_t i = place_of(model, key);
    if (i < model->key_count) {
        kvr_slice here = slice_of(&model->keys[i]->key);
        if (compare_bytes(&here, key) == 0) {
            return model->keys[i];
        }
    }
    return NULL;
}

static const model_version *version_at(const model_key *key, uint64_t revision)
{
    const model_version *found = NULL;
    for (uint32_t v = 0; v < key->count; v++) {
        if (key->versions[v].main <= revision) {
            found = &key->versions[v];
        }
    }
    return found != NULL && found->version > 0 ? found : NULL;
}

const model_version *model_mvcc_at(const model_mvcc *model, const kvr_slice *key, uint64_t revision)
{
    const model_key *found = find_key(model, key);
    return found == NULL ? NULL : version_at(found, revision);
}

static void fill_kv(const model_key *key, const model_version *version, kvr_kv *out)
{
    *out = (kvr_kv){
        .key = slice_of(&key->key),
        .value = slice_of(&version->value),
        .create_revision = version->create,
        .mod_revision = version->main,
        .mod_sub = version->sub,
        .version = version->version,
        .lease = version->lease,
    };
}

uint32_t model_mvcc_range(const model_mvcc *model, const kvr_slice *key, const kvr_slice *range_end,
                          uint64_t revision, kvr_kv **out_kvs)
{
    kvr_kv *kvs = must_alloc(model->key_count * sizeof *kvs);
    uint32_t count = 0;
    for (uint32_t i = 0; i < model->key_count; i++) {
        kvr_slice here = slice_of(&model->keys[i]->key);
        const model_version *version = version_at(model->keys[i], revision);
        if (version != NULL && is_in(&here, key, range_end)) {
            fill_kv(model->keys[i], version, &kvs[count++]);
        }
    }
    *out_kvs = kvs;
    return count;
}

void model_mvcc_event(const model_mvcc *model, uint32_t i, kvr_event *out_event)
{
    const model_key *key = model->changes[i].key;
    const model_version *version = &key->versions[model->changes[i].version_at];
    memset(out_event, 0, sizeof *out_event);
    if (version->version > 0) {
        fill_kv(key, version, &out_event->kv);
    } else {
        out_event->type = KVR_EVENT_DELETE;
        out_event->kv.key = slice_of(&key->key);
        out_event->kv.mod_revision = version->main;
        out_event->kv.mod_sub = version->sub;
    }
    if (model->changes[i].version_at > 0 && version->main > model->compacted) {
        const model_version *before = version - 1;
        if (before->version > 0) {
            fill_kv(key, before, &out_event->prev);
            out_event->has_prev = 1;
        }
    }
}

/* ------------------------------------------------------------------ hashes */

static uint64_t hash_words(const uint64_t *words, size_t count)
{
    uint8_t bytes[64];
    for (size_t i = 0; i < count * 8; i++) {
        bytes[i] = (uint8_t)(words[i / 8] >> 8 * (i % 8));
    }
    return kvr__xxh3_64(bytes, count * 8);
}

static uint64_t hash_version(const model_key *key, const model_version *version)
{
    uint64_t words[8] = {kvr__xxh3_64(key->key.data, key->key.size),
                         kvr__xxh3_64(version->value.data, version->value.size),
                         version->main,
                         version->create,
                         version->version,
                         (uint64_t)version->lease,
                         version->sub,
                         version->version > 0};
    return hash_words(words, 8);
}

static uint64_t chain(uint64_t before, uint64_t link)
{
    uint64_t words[2] = {before, link};
    return hash_words(words, 2);
}

uint64_t model_mvcc_hash_live(const model_mvcc *model)
{
    uint64_t hash = 0;
    for (uint32_t i = 0; i < model->key_count; i++) {
        const model_version *version = version_at(model->keys[i], model->revision);
        hash += version == NULL ? 0 : hash_version(model->keys[i], version);
    }
    return hash;
}

uint64_t model_mvcc_live_bytes(const model_mvcc *model)
{
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < model->key_count; i++) {
        const model_version *version = version_at(model->keys[i], model->revision);
        bytes += version == NULL ? 0 : model->keys[i]->key.size + version->value.size;
    }
    return bytes;
}

/* ------------------------------------------------------------------ changing */

static model_key *make_key(model_mvcc *model, const kvr_slice *key)
{
    model_key *found = find_key(model, key);
    if (found != NULL) {
        return found;
    }
    uint32_t at = place_of(model, key);
    model->keys = grown(model->keys, model->key_count, sizeof *model->keys);
    memmove(model->keys + at + 1, model->keys + at, (model->key_count - at) * sizeof *model->keys);
    model_key *made = must_alloc(sizeof *made);
    made->key = copy_bytes(key);
    model->keys[at] = made;
    model->key_count++;
    return made;
}

/* What an apply under way knows: the revision it makes, and how many changes it has made. */
typedef struct doing {
    model_mvcc *model;
    uint64_t main;
    uint64_t sub;
} doing;

static void add_version(doing *d, model_key *key, model_version version)
{
    model_mvcc *model = d->model;
    version.main = d->main;
    version.sub = d->sub++;
    key->versions = grown(key->versions, key->count, sizeof *key->versions);
    key->versions[key->count++] = version;
    model->changes = grown(model->changes, model->change_count, sizeof *model->changes);
    model->changes[model->change_count++] = (model_change){key, key->count - 1};
    model->hash_chain = chain(model->hash_chain, hash_version(key, &version));
}

static void do_put(doing *d, const kvr_op *op, model_result *out)
{
    model_key *key = make_key(d->model, &op->key);
    const model_version *before = version_at(key, d->main);
    if (before != NULL && (op->flags & KVR_OP_PREV_KV) != 0) {
        out->kvs = must_alloc(sizeof *out->kvs);
        fill_kv(key, before, out->kvs);
        out->kv_count = 1;
    }
    kvr_slice value = op->value;
    if ((op->flags & KVR_OP_IGNORE_VALUE) != 0) {
        value = slice_of(&before->value);
    }
    model_version version = {
        .create = before == NULL ? d->main : before->create,
        .version = before == NULL ? 1 : before->version + 1,
        .lease = (op->flags & KVR_OP_IGNORE_LEASE) != 0 ? before->lease : op->lease,
        .value = copy_bytes(&value),
    };
    add_version(d, key, version);
}

static void do_range(const doing *d, const kvr_op *op, model_result *out)
{
    uint64_t revision = op->revision == 0 ? d->main : op->revision;
    uint32_t count = model_mvcc_range(d->model, &op->key, &op->range_end, revision, &out->kvs);
    out->count = count;
    out->kv_count = count;
    if ((op->flags & KVR_OP_COUNT_ONLY) != 0) {
        out->kv_count = 0;
        return;
    }
    if (op->limit != 0 && op->limit < count) {
        out->kv_count = (uint32_t)op->limit;
        out->more = 1;
    }
    for (uint32_t i = 0; i < count && (op->flags & KVR_OP_KEYS_ONLY) != 0; i++) {
        out->kvs[i].value = (kvr_slice){NULL, 0};
    }
}

static void delete_key(doing *d, const kvr_slice *key, model_result *out)
{
    model_key *found = find_key(d->model, key);
    if (found != NULL && version_at(found, d->main) != NULL) {
        add_version(d, found, (model_version){.value = {must_alloc(0), 0}});
        out->count++;
    }
}

static void do_delete(doing *d, const kvr_op *op, model_result *out)
{
    kvr_kv *kvs;
    uint32_t count = model_mvcc_range(d->model, &op->key, &op->range_end, d->main, &kvs);
    for (uint32_t i = 0; i < count; i++) {
        delete_key(d, &kvs[i].key, out);
    }
    if ((op->flags & KVR_OP_PREV_KV) != 0) {
        out->kvs = kvs;
        out->kv_count = count;
    } else {
        free(kvs);
    }
}

/* ------------------------------------------------------------------ transactions */

static bool holds(int order, uint8_t result)
{
    return result == KVR_COMPARE_EQUAL     ? order == 0
           : result == KVR_COMPARE_GREATER ? order > 0
           : result == KVR_COMPARE_LESS    ? order < 0
                                           : order != 0;
}

static bool compare_version(const kvr_compare *compare, const model_version *version)
{
    if (compare->target == KVR_COMPARE_VALUE) {
        if (version == NULL) {
            return false;
        }
        kvr_slice value = slice_of(&version->value);
        return holds(compare_bytes(&value, &compare->value), compare->result);
    }
    int64_t stored = 0;
    if (version != NULL) {
        stored = compare->target == KVR_COMPARE_VERSION  ? (int64_t)version->version
                 : compare->target == KVR_COMPARE_CREATE ? (int64_t)version->create
                 : compare->target == KVR_COMPARE_MOD    ? (int64_t)version->main
                                                         : version->lease;
    }
    return holds((stored > compare->number) - (stored < compare->number), compare->result);
}

/* Against the state before the transaction: the model's revision, whatever was changed since. */
static bool compare_holds(const model_mvcc *model, const kvr_compare *compare)
{
    if (compare->range_end.size == 0) {
        return compare_version(compare, model_mvcc_at(model, &compare->key, model->revision));
    }
    kvr_kv *kvs;
    uint32_t count =
        model_mvcc_range(model, &compare->key, &compare->range_end, model->revision, &kvs);
    bool all_hold = count > 0 || compare_version(compare, NULL);
    for (uint32_t i = 0; i < count; i++) {
        all_hold = all_hold &&
                   compare_version(compare, model_mvcc_at(model, &kvs[i].key, model->revision));
    }
    free(kvs);
    return all_hold;
}

static bool compares_hold(const model_mvcc *model, const kvr_txn *txn)
{
    for (uint32_t i = 0; i < txn->compare_count; i++) {
        if (!compare_holds(model, &txn->compares[i])) {
            return false;
        }
    }
    return true;
}

/* Would anything on the path taken be refused? */
static kvr_status check_op(const model_mvcc *model, const kvr_op *op)
{
    const uint32_t needs_key = KVR_OP_IGNORE_VALUE | KVR_OP_IGNORE_LEASE;
    if (op->kind == KVR_OP_RANGE && op->revision > model->revision) {
        return KVR_EFUTURE;
    }
    if (op->kind == KVR_OP_RANGE && op->revision != 0 && op->revision < model->compacted) {
        return KVR_ECOMPACTED;
    }
    if (op->kind == KVR_OP_PUT && (op->flags & KVR_OP_NO_LEASE) != 0) {
        return KVR_ENOLEASE;
    }
    if (op->kind == KVR_OP_PUT && (op->flags & needs_key) != 0 &&
        model_mvcc_at(model, &op->key, model->revision) == NULL) {
        return KVR_ENOTFOUND;
    }
    kvr_status status = KVR_OK;
    if (op->kind == KVR_OP_TXN) {
        bool then = compares_hold(model, op->txn);
        const kvr_op *ops = then ? op->txn->then_ops : op->txn->else_ops;
        uint32_t count = then ? op->txn->then_count : op->txn->else_count;
        for (uint32_t i = 0; i < count && status == KVR_OK; i++) {
            status = check_op(model, &ops[i]);
        }
    }
    return status;
}

static void do_op(doing *d, const kvr_op *op, model_result *out)
{
    *out = (model_result){.kind = op->kind};
    if (op->kind == KVR_OP_PUT) {
        do_put(d, op, out);
    } else if (op->kind == KVR_OP_RANGE) {
        do_range(d, op, out);
    } else if (op->kind == KVR_OP_DELETE) {
        do_delete(d, op, out);
    } else if (op->kind == KVR_OP_DELETE_KEYS) {
        for (uint32_t i = 0; i < op->key_count; i++) {
            delete_key(d, &op->keys[i], out);
        }
    } else {
        bool then = compares_hold(d->model, op->txn);
        const kvr_op *ops = then ? op->txn->then_ops : op->txn->else_ops;
        out->succeeded = then;
        out->result_count = then ? op->txn->then_count : op->txn->else_count;
        out->results = must_alloc(out->result_count * sizeof *out->results);
        for (uint32_t i = 0; i < out->result_count; i++) {
            do_op(d, &ops[i], &out->results[i]);
        }
    }
}

kvr_status model_mvcc_apply(model_mvcc *model, const kvr_op *op, model_result *out_result)
{
    kvr_status status = check_op(model, op);
    if (status != KVR_OK) {
        return status;
    }
    doing d = {model, model->revision + 1, 0};
    do_op(&d, op, out_result);
    if (d.sub > 0) {
        model->revision++;
        model->hash_chain = chain(model->hash_chain, model->revision);
    }
    return KVR_OK;
}

kvr_status model_mvcc_compact(model_mvcc *model, uint64_t revision)
{
    if (revision == 0 && model->compacted == 0) {
        return KVR_OK;
    }
    if (revision <= model->compacted) {
        return KVR_ECOMPACTED;
    }
    if (revision > model->revision) {
        return KVR_EFUTURE;
    }
    model->compacted = revision;
    model->hash_chain = chain(~model->hash_chain, revision);
    return KVR_OK;
}

/* ------------------------------------------------------------------ duplicate keys */

static bool clash(const kvr_op *a, const kvr_op *b)
{
    if (a->kind == KVR_OP_PUT && b->kind == KVR_OP_PUT) {
        return compare_bytes(&a->key, &b->key) == 0;
    }
    if (a->kind == KVR_OP_PUT && b->kind == KVR_OP_DELETE) {
        return is_in(&a->key, &b->key, &b->range_end);
    }
    return a->kind == KVR_OP_DELETE && b->kind == KVR_OP_PUT && clash(b, a);
}

/* Does anything in `a` clash with anything in `b`? Both branches of each count. */
static bool any_clash(const kvr_op *a, const kvr_op *b)
{
    if (a->kind != KVR_OP_TXN && b->kind != KVR_OP_TXN) {
        return clash(a, b);
    }
    const kvr_op *txn = a->kind == KVR_OP_TXN ? a : b;
    const kvr_op *other = txn == a ? b : a;
    for (uint32_t i = 0; i < txn->txn->then_count; i++) {
        if (any_clash(&txn->txn->then_ops[i], other)) {
            return true;
        }
    }
    for (uint32_t i = 0; i < txn->txn->else_count; i++) {
        if (any_clash(&txn->txn->else_ops[i], other)) {
            return true;
        }
    }
    return false;
}

static bool list_clashes(const kvr_op *ops, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        for (uint32_t j = i + 1; j < count; j++) {
            if (any_clash(&ops[i], &ops[j])) {
                return true;
            }
        }
        if (model_op_check(&ops[i]) != KVR_OK) {
            return true;
        }
    }
    return false;
}

kvr_status model_op_check(const kvr_op *op)
{
    if (op->kind != KVR_OP_TXN) {
        return KVR_OK;
    }
    bool clashes = list_clashes(op->txn->then_ops, op->txn->then_count) ||
                   list_clashes(op->txn->else_ops, op->txn->else_count);
    return clashes ? KVR_EDUPKEY : KVR_OK;
}

/* ------------------------------------------------------------------ results */

void model_result_release(model_result *result)
{
    for (uint32_t i = 0; i < result->result_count; i++) {
        model_result_release(&result->results[i]);
    }
    free(result->results);
    free(result->kvs);
    *result = (model_result){0};
}

bool model_kv_equal(const kvr_kv *a, const kvr_kv *b)
{
    return compare_bytes(&a->key, &b->key) == 0 && compare_bytes(&a->value, &b->value) == 0 &&
           a->create_revision == b->create_revision && a->mod_revision == b->mod_revision &&
           a->mod_sub == b->mod_sub && a->version == b->version && a->lease == b->lease;
}

bool model_event_equal(const kvr_event *a, const kvr_event *b)
{
    return a->type == b->type && a->has_prev == b->has_prev && model_kv_equal(&a->kv, &b->kv) &&
           model_kv_equal(&a->prev, &b->prev);
}

static const char *say(const char *what, uint64_t model, uint64_t store)
{
    static char text[128];
    (void)snprintf(text, sizeof text, "%s: model %llu, store %llu", what, (unsigned long long)model,
                   (unsigned long long)store);
    return text;
}

const char *model_result_difference(const model_result *model, const kvr_op_result *store)
{
    const char *what = NULL;
    if (model->kind != store->kind) {
        return say("kind", model->kind, store->kind);
    }
    if (model->succeeded != store->succeeded) {
        return say("succeeded", model->succeeded, store->succeeded);
    }
    if (model->count != store->count) {
        return say("count", model->count, store->count);
    }
    if (model->more != store->more) {
        return say("more", model->more, store->more);
    }
    if (store->view == NULL && model->kv_count != store->kv_count) {
        return say("kv_count", model->kv_count, store->kv_count);
    }
    for (uint32_t i = 0; i < store->kv_count; i++) {
        if (!model_kv_equal(&model->kvs[i], &store->kvs[i])) {
            return say("pair", i, i);
        }
    }
    if (model->result_count != store->result_count) {
        return say("result_count", model->result_count, store->result_count);
    }
    for (uint32_t i = 0; i < model->result_count && what == NULL; i++) {
        what = model_result_difference(&model->results[i], &store->results[i]);
    }
    return what;
}
