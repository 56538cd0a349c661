/* SPDX-License-Identifier: Apache-2.0 */
/* thread_mvcc_view.c: views read on other threads while the owner writes at full speed: nothing
 * that a reader sees moves, and nothing is shared but the one flag that frees a view. Run under
 * ThreadSanitizer (a plain main, for Criterion does not start there), and as it is.
 *
 * The owner opens views and hands them out through mailboxes; a reader checks what it got against
 * the sum that every state of this store has, by scan, by count, at an older revision and by a
 * save, and frees it. */
#include <kvraft/mvcc.h>

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { READERS = 3, KEYS = 3000, SWAPS = 10000, SWAPS_PER_VIEW = 50 };

static _Atomic(kvr_mvcc_view *) mailboxes[READERS];
static atomic_bool is_over;
static atomic_uint views_read;
static const kvr_slice everything = {(const uint8_t *)"", 1};

static void require(bool holds, const char *what)
{
    if (!holds) {
        fprintf(stderr, "thread_mvcc_view: %s\n", what);
        abort();
    }
}

static void make_key(char *key, uint32_t i)
{
    (void)snprintf(key, 16, "key/%06u", i);
}

static kvr_op put_of(const char *key, const uint32_t *value)
{
    return (kvr_op){.size = sizeof(kvr_op),
                    .kind = KVR_OP_PUT,
                    .key = {(const uint8_t *)key, strlen(key)},
                    .value = {(const uint8_t *)value, sizeof *value}};
}

/* ------------------------------------------------------------------ readers */

/* The values of all keys always add up to the same, for the owner only ever swaps two. */
static void check_sum(const kvr_mvcc_view *view, uint64_t revision)
{
    kvr_range range = {
        .size = sizeof range, .key = everything, .range_end = everything, .revision = revision};
    kvr_mvcc_cursor cursor;
    kvr_kv kv;
    uint64_t sum = 0, keys = 0, count = 0;
    require(kvr_mvcc_cursor_init(&cursor, view, &range) == KVR_OK, "a cursor starts");
    while (kvr_mvcc_cursor_next(&cursor, &kv) == KVR_OK) {
        uint32_t value;
        memcpy(&value, kv.value.data, sizeof value);
        sum += value;
        keys++;
    }
    require(kvr_mvcc_count(view, &range, &count) == KVR_OK, "a count");
    require(keys == KEYS && count == KEYS, "each key is there once");
    require(sum == (uint64_t)KEYS * (KEYS - 1) / 2, "a swap is seen whole or not");
}

static void check_save(const kvr_mvcc_view *view)
{
    uint8_t room[4096];
    size_t size;
    kvr_mvcc_save *save;
    require(kvr_mvcc_save_new(view, &save) == KVR_OK, "a save starts");
    kvr_status status;
    do {
        status = kvr_mvcc_save_read(save, room, sizeof room, &size);
    } while (status == KVR_OK);
    require(status == KVR_END, "a save ends");
    kvr_mvcc_save_free(save);
}

static void *read_views(void *mailbox_of_mine)
{
    _Atomic(kvr_mvcc_view *) *mailbox = mailbox_of_mine;
    for (;;) {
        bool no_more = atomic_load(&is_over);
        kvr_mvcc_view *view = atomic_exchange(mailbox, NULL);
        if (view == NULL) {
            if (no_more) {
                return NULL;
            }
            continue;
        }
        uint64_t compacted = kvr_mvcc_view_compacted(view);
        check_sum(view, 0);
        check_sum(view, compacted > KEYS + 1 ? compacted : KEYS + 1);
        if (atomic_fetch_add(&views_read, 1) % 8 == 0) {
            check_save(view);
        }
        kvr_mvcc_view_free(view);
    }
}

/* ------------------------------------------------------------------ the owner */

static uint32_t value_now(const kvr_mvcc *store, const char *key)
{
    kvr_slice slice = {(const uint8_t *)key, strlen(key)};
    kvr_kv kv;
    uint32_t value;
    require(kvr_mvcc_get(store, &slice, &kv), "a key is there");
    memcpy(&value, kv.value.data, sizeof value);
    return value;
}

static void swap(kvr_mvcc *store, uint32_t i, uint32_t j)
{
    char a[16], b[16];
    make_key(a, i);
    make_key(b, j);
    uint32_t value_of_a = value_now(store, a), value_of_b = value_now(store, b);
    kvr_op ops[] = {put_of(a, &value_of_b), put_of(b, &value_of_a)};
    kvr_txn txn = {.size = sizeof txn, .then_count = 2, .then_ops = ops};
    kvr_op op = {.size = sizeof op, .kind = KVR_OP_TXN, .txn = &txn};
    require(kvr_mvcc_apply(store, &op, NULL) == KVR_OK, "a swap");
}

static void hand_out(kvr_mvcc *store)
{
    for (uint32_t i = 0; i < READERS; i++) {
        kvr_mvcc_view *none = NULL, *view;
        if (atomic_load(&mailboxes[i]) != NULL) {
            continue;
        }
        require(kvr_mvcc_view_open(store, &view) == KVR_OK, "a view opens");
        if (!atomic_compare_exchange_strong(&mailboxes[i], &none, view)) {
            kvr_mvcc_view_free(view);
        }
    }
}

static void write_on(kvr_mvcc *store)
{
    uint64_t seed = 1;
    for (uint32_t n = 0; n < SWAPS; n++) {
        seed = seed * 6364136223846793005u + 1442695040888963407u;
        uint32_t i = (uint32_t)(seed >> 33) % KEYS, j = (uint32_t)(seed >> 12) % KEYS;
        if (i != j) {
            swap(store, i, j);
        }
        if (n % SWAPS_PER_VIEW == 0) {
            hand_out(store);
        }
        if (n % 1000 == 999) {
            kvr_mvcc_status status = {.size = sizeof status};
            kvr_mvcc_get_status(store, &status);
            require(kvr_mvcc_compact(store, status.revision - 100) == KVR_OK, "a compaction");
        }
        kvr_status status = kvr_mvcc_compact_step(store, 8);
        require(status == KVR_OK || status == KVR_AGAIN, "a step of it");
    }
}

int main(void)
{
    kvr_mvcc_config config;
    kvr_mvcc *store;
    pthread_t threads[READERS];
    require(kvr_mvcc_config_init(&config, sizeof config) == KVR_OK, "config");
    require(kvr_mvcc_new(&config, &store) == KVR_OK, "new");
    for (uint32_t i = 0; i < KEYS; i++) {
        char key[16];
        make_key(key, i);
        kvr_op op = put_of(key, &i);
        require(kvr_mvcc_apply(store, &op, NULL) == KVR_OK, "put");
    }
    for (uint32_t i = 0; i < READERS; i++) {
        require(pthread_create(&threads[i], NULL, read_views, (void *)&mailboxes[i]) == 0,
                "a thread");
    }
    write_on(store);
    atomic_store(&is_over, true);
    for (uint32_t i = 0; i < READERS; i++) {
        require(pthread_join(threads[i], NULL) == 0, "join");
    }
    kvr_mvcc_free(store);
    require(atomic_load(&views_read) > READERS, "somebody read something");
    printf("thread_mvcc_view: %u views read during %u writes\n", atomic_load(&views_read),
           (unsigned)SWAPS);
    return 0;
}
