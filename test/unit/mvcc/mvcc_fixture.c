/* SPDX-License-Identifier: Apache-2.0 */
/* mvcc_fixture.c: see the header. */
#include "mvcc_fixture.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

test_alloc mvcc_alloc;
kvr_mvcc *store;
const kvr_slice ALL = {(const uint8_t *)"", 1};
const kvr_slice ONE = {NULL, 0};

kvr_mvcc *new_store(void)
{
    kvr_mvcc_config config;
    kvr_mvcc *made;
    MUST(kvr_mvcc_config_init(&config, sizeof config));
    config.allocator = &test_alloc_table;
    config.allocator_ctx = &mvcc_alloc;
    MUST(kvr_mvcc_new(&config, &made));
    return made;
}

void mvcc_setup(void)
{
    test_alloc_init(&mvcc_alloc);
    store = new_store();
}

void mvcc_teardown(void)
{
    kvr_mvcc_free(store);
    TEST_ALLOC_ASSERT_EMPTY(&mvcc_alloc);
}

/* ------------------------------------------------------------------ operations */

kvr_slice text(const char *string)
{
    return (kvr_slice){(const uint8_t *)string, strlen(string)};
}

kvr_op op_put(const char *key, const char *value)
{
    return (kvr_op){
        .size = sizeof(kvr_op), .kind = KVR_OP_PUT, .key = text(key), .value = text(value)};
}

kvr_op op_put_flags(const char *key, const char *value, uint32_t flags)
{
    kvr_op op = op_put(key, value);
    op.flags = flags;
    return op;
}

kvr_op op_range(kvr_slice key, kvr_slice range_end)
{
    return (kvr_op){
        .size = sizeof(kvr_op), .kind = KVR_OP_RANGE, .key = key, .range_end = range_end};
}

kvr_op op_delete(kvr_slice key, kvr_slice range_end)
{
    return (kvr_op){
        .size = sizeof(kvr_op), .kind = KVR_OP_DELETE, .key = key, .range_end = range_end};
}

kvr_op op_txn(const kvr_txn *txn)
{
    return (kvr_op){.size = sizeof(kvr_op), .kind = KVR_OP_TXN, .txn = txn};
}

kvr_compare compare_number(const char *key, uint8_t target, uint8_t result, int64_t number)
{
    return (kvr_compare){.size = sizeof(kvr_compare),
                         .target = target,
                         .result = result,
                         .key = text(key),
                         .number = number};
}

kvr_compare compare_value(const char *key, uint8_t result, const char *value)
{
    kvr_compare compare = compare_number(key, KVR_COMPARE_VALUE, result, 0);
    compare.value = text(value);
    return compare;
}

kvr_mvcc_result *apply(const kvr_op *op)
{
    kvr_mvcc_result *result = NULL;
    MUST(kvr_mvcc_apply(store, op, &result));
    return result;
}

uint64_t put(const char *key, const char *value)
{
    kvr_op op = op_put(key, value);
    MUST(kvr_mvcc_apply(store, &op, NULL));
    return head_now();
}

uint64_t del_range(kvr_slice key, kvr_slice range_end)
{
    kvr_op op = op_delete(key, range_end);
    kvr_mvcc_result *result = apply(&op);
    uint64_t count = kvr_mvcc_result_root(result)->count;
    kvr_mvcc_result_free(result);
    return count;
}

uint64_t del(const char *key)
{
    (void)del_range(text(key), ONE);
    return head_now();
}

void compact_all(uint64_t revision)
{
    kvr_status status;
    MUST(kvr_mvcc_compact(store, revision));
    do {
        status = kvr_mvcc_compact_step(store, 3);
    } while (status == KVR_AGAIN);
    cr_assert_eq(status, KVR_OK);
}

/* ------------------------------------------------------------------ text */

enum { TEXTS = 2, TEXT_SIZE = 16384 };

typedef struct writer {
    char *to;
    size_t at;
} writer;

static writer begin_text(void)
{
    static char texts[TEXTS][TEXT_SIZE];
    static uint32_t turn;
    writer w = {texts[turn++ % TEXTS], 0};
    w.to[0] = '\0';
    return w;
}

static void add(writer *w, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    int n = vsnprintf(w->to + w->at, TEXT_SIZE - w->at, format, arguments);
    va_end(arguments);
    cr_assert(n >= 0 && (size_t)n < TEXT_SIZE - w->at, "a text is too long");
    w->at += (size_t)n;
}

static void add_kv(writer *w, const kvr_kv *kv)
{
    add(w, "%s%.*s=%.*s", w->at == 0 ? "" : " ", (int)kv->key.size, (const char *)kv->key.data,
        (int)kv->value.size, (const char *)kv->value.data);
}

const char *get_text(const char *key)
{
    writer w = begin_text();
    kvr_slice slice = text(key);
    kvr_kv kv;
    if (!kvr_mvcc_get(store, &slice, &kv)) {
        return "-";
    }
    add(&w, "%.*s %llu/%llu/%llu %lld", (int)kv.value.size, (const char *)kv.value.data,
        (unsigned long long)kv.create_revision, (unsigned long long)kv.mod_revision,
        (unsigned long long)kv.version, (long long)kv.lease);
    return w.to;
}

const char *range_text(const kvr_mvcc_view *view, kvr_slice key, kvr_slice range_end,
                       uint64_t revision)
{
    writer w = begin_text();
    kvr_range range = {
        .size = sizeof range, .key = key, .range_end = range_end, .revision = revision};
    kvr_mvcc_cursor cursor;
    kvr_kv kv;
    kvr_status status = kvr_mvcc_cursor_init(&cursor, view, &range);
    if (status != KVR_OK) {
        return kvr_status_name(status);
    }
    while (kvr_mvcc_cursor_next(&cursor, &kv) == KVR_OK) {
        add_kv(&w, &kv);
    }
    return w.to;
}

const char *range_now(kvr_slice key, kvr_slice range_end)
{
    kvr_mvcc_view *view = view_now();
    const char *answer = range_text(view, key, range_end, 0);
    kvr_mvcc_view_free(view);
    return answer;
}

const char *kvs_text(const kvr_kv *kvs, uint32_t count)
{
    writer w = begin_text();
    for (uint32_t i = 0; i < count; i++) {
        add_kv(&w, &kvs[i]);
    }
    return w.to;
}

const char *changes_text(uint64_t from)
{
    writer w = begin_text();
    kvr_mvcc_changes changes;
    kvr_event event;
    kvr_status status = kvr_mvcc_changes_init(&changes, store, from);
    if (status != KVR_OK) {
        return kvr_status_name(status);
    }
    while ((status = kvr_mvcc_changes_next(&changes, store, &event)) == KVR_OK) {
        bool is_put = event.type == KVR_EVENT_PUT;
        add(&w, "%s%llu.%llu %c%.*s", w.at == 0 ? "" : "  ",
            (unsigned long long)event.kv.mod_revision, (unsigned long long)event.kv.mod_sub,
            is_put ? '+' : '-', (int)event.kv.key.size, (const char *)event.kv.key.data);
        if (is_put) {
            add(&w, "=%.*s", (int)event.kv.value.size, (const char *)event.kv.value.data);
        }
        if (event.has_prev != 0) {
            add(&w, " (%.*s)", (int)event.prev.value.size, (const char *)event.prev.value.data);
        }
    }
    cr_assert_eq(status, KVR_END);
    return w.to;
}

/* ------------------------------------------------------------------ the rest */

uint64_t count_of(const kvr_mvcc_view *view, kvr_slice key, kvr_slice range_end, uint64_t revision)
{
    kvr_range range = {
        .size = sizeof range, .key = key, .range_end = range_end, .revision = revision};
    uint64_t count = 0;
    MUST(kvr_mvcc_count(view, &range, &count));
    return count;
}

kvr_mvcc_view *view_now(void)
{
    kvr_mvcc_view *view = NULL;
    MUST(kvr_mvcc_view_open(store, &view));
    return view;
}

kvr_mvcc_status status_now(void)
{
    kvr_mvcc_status status = {.size = sizeof status};
    kvr_mvcc_get_status(store, &status);
    return status;
}

uint64_t head_now(void)
{
    return status_now().revision;
}

uint8_t *save_all(const kvr_mvcc_view *view, size_t piece, size_t *out_size)
{
    kvr_mvcc_save *save;
    uint8_t *bytes = NULL;
    size_t size = 0, got = 0;
    MUST(kvr_mvcc_save_new(view, &save));
    for (;;) {
        bytes = realloc(bytes, size + piece);
        cr_assert_not_null(bytes);
        kvr_status status = kvr_mvcc_save_read(save, bytes + size, piece, &got);
        if (status == KVR_END) {
            break;
        }
        cr_assert_eq(status, KVR_OK);
        size += got;
    }
    kvr_mvcc_save_free(save);
    *out_size = size;
    return bytes;
}

kvr_status load_all(kvr_mvcc *into, const uint8_t *bytes, size_t size, size_t piece)
{
    kvr_status status = kvr_mvcc_load_begin(into);
    for (size_t at = 0; status == KVR_OK && at < size; at += piece) {
        kvr_slice part = {bytes + at, size - at < piece ? size - at : piece};
        status = kvr_mvcc_load_write(into, &part);
    }
    if (status == KVR_OK) {
        status = kvr_mvcc_load_end(into);
    }
    if (status != KVR_OK) {
        kvr_mvcc_load_abort(into);
    }
    return status;
}
