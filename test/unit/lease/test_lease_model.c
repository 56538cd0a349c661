/* SPDX-License-Identifier: Apache-2.0 */
/* test_lease_model.c: random operations on a book, each answer compared with the plain model:
 * grants at the edges of ids and TTLs, renewals, records in and out of order, clocks that jump
 * back, changes of leadership, snapshots saved and loaded in pieces. A failing seed runs alone with
 * KVR_SEED=n. */
#include <criterion/criterion.h>

#include <kvraft/lease.h>

#include "base/random.h"
#include "support/model_lease.h"
#include "support/test_alloc.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SEEDS = 50, STEPS = 5000, IDS_MAX = 1500, NAMES_MAX = 8, CALLS_MAX = 20 };

static test_alloc alloc;
static kvr__random rng;
static kvr_lease_book *book;
static model_lease *model;
static uint64_t seed;
static uint64_t step;
static uint64_t now;
static uint32_t id_space; /* few, so that they meet; or many, so that the tree is deep */

#define SAME(a, b)                                                              \
    cr_assert_eq((a), (b), "seed %llu step %llu: %s", (unsigned long long)seed, \
                 (unsigned long long)step, #a)

static uint64_t below(uint64_t limit)
{
    return kvr__random_below(&rng, limit);
}

static kvr_lease_book *new_book(void)
{
    kvr_lease_config config;
    kvr_lease_book *made = NULL;
    SAME(kvr_lease_config_init(&config, sizeof config), KVR_OK);
    config.allocator = &test_alloc_table;
    config.allocator_ctx = &alloc;
    SAME(kvr_lease_book_new(&config, &made), KVR_OK);
    return made;
}

static int64_t random_id(void)
{
    static const int64_t EDGES[] = {0, INT64_MIN, INT64_MAX, -1, 1};
    int64_t n = (int64_t)below(id_space) - id_space / 2;
    if (seed % 4 == 3 && below(2) == 0) { /* counting down, or up */
        n = (seed % 8 == 3 ? (int64_t)step : -(int64_t)step) % id_space;
    }
    return below(20) == 0 ? EDGES[below(5)] : n * (seed % 2 == 0 ? 1 : 1000003);
}

static uint64_t random_ttl(void)
{
    switch (below(12)) {
    case 0:
        return below(3);
    case 1:
        return kvr_lease_ttl_ns_max() + below(3) - 1;
    case 2:
        return UINT64_MAX - below(2);
    default:
        return 1 + below(200);
    }
}

/* A copy through the stream, in pieces of any size. */
static void save_and_load(void)
{
    kvr_lease_save save;
    uint8_t room[640];
    size_t room_size = 64 + below(sizeof room - 64);
    size_t size = 0;
    kvr_lease_book *copy = new_book();
    kvr_status status;
    SAME(kvr_lease_grant(copy, 5, 5, 5), KVR_OK); /* what it had is gone afterwards */
    SAME(kvr_lease_load_begin(copy), KVR_OK);
    kvr_lease_save_init(&save, book);
    while ((status = kvr_lease_save_read(&save, book, room, room_size, &size)) == KVR_OK) {
        for (size_t at = 0; at < size;) {
            size_t piece = 1 + below(50);
            kvr_slice bytes = {room + at, piece < size - at ? piece : size - at};
            SAME(kvr_lease_load_write(copy, &bytes), KVR_OK);
            at += bytes.size;
        }
    }
    SAME(status, KVR_END);
    SAME(kvr_lease_load_end(copy), KVR_OK);
    kvr_lease_status one = {.size = sizeof one};
    kvr_lease_status two = {.size = sizeof two};
    kvr_lease_get_status(book, &one);
    kvr_lease_get_status(copy, &two);
    SAME(one.hash, two.hash);
    kvr_lease_book_free(book);
    book = copy;
    model_lease_follow(model);
}

static void compare_all(void)
{
    static int64_t mine[IDS_MAX + 8];
    static int64_t its[IDS_MAX + 8];
    int64_t after = random_id();
    bool from_start = below(2) == 0;
    uint32_t capacity = (uint32_t)below(IDS_MAX + 8);
    uint32_t count = kvr_lease_list(book, after, from_start, mine, capacity);
    SAME(count, model_lease_list(model, after, from_start, its, capacity));
    SAME(memcmp(mine, its, count * sizeof *mine), 0);
    kvr_lease_status status = {.size = sizeof status};
    kvr_lease_get_status(book, &status);
    SAME(status.leases, model->count);
    for (uint32_t i = 0; i < model->count; i++) {
        kvr_lease_info left;
        kvr_lease_info right;
        int64_t id = model->rows[i].id;
        SAME(kvr_lease_get(book, id, now, &left), KVR_OK);
        SAME(model_lease_get(model, id, now, &right), KVR_OK);
        SAME(memcmp(&left, &right, sizeof left), 0);
    }
    cr_assert_leq(kvr_lease_deadline(book), model_lease_deadline(model));
}

static void name_due(void)
{
    int64_t mine[NAMES_MAX];
    int64_t its[NAMES_MAX];
    uint32_t capacity = (uint32_t)below(NAMES_MAX + 1);
    uint32_t count = 0;
    for (uint32_t calls = 0; calls < CALLS_MAX && kvr_lease_deadline(book) <= now; calls++) {
        count += kvr_lease_due(book, now, mine + count, capacity - count);
    }
    SAME(count, model_lease_due(model, now, its, capacity));
    for (uint32_t i = 0; i < count; i++) {
        SAME(mine[i], its[i]);
        if (below(3) == 0) {
            kvr_lease_retry(book, mine[i]);
            model_lease_retry(model, mine[i]);
        }
    }
    if (count < capacity) {
        kvr_lease_laggard none[1]; /* nothing is due, and nothing lags that was not asked for */
        SAME(kvr_lease_laggards(book, now, none, 0), 0);
    }
}

static void name_laggards(void)
{
    kvr_lease_laggard mine[NAMES_MAX];
    kvr_lease_laggard its[NAMES_MAX];
    uint32_t capacity = (uint32_t)below(NAMES_MAX + 1);
    uint32_t count = 0;
    for (uint32_t calls = 0; calls < CALLS_MAX && kvr_lease_deadline(book) <= now; calls++) {
        count += kvr_lease_laggards(book, now, mine + count, capacity - count);
    }
    SAME(count, model_lease_laggards(model, now, its, capacity));
    for (uint32_t i = 0; i < count; i++) {
        SAME(mine[i].id, its[i].id);
        SAME(mine[i].renewed_ns, its[i].renewed_ns);
        if (below(2) == 0) {
            SAME(mine[i].granted_ns, its[i].granted_ns);
            SAME(kvr_lease_record(book, mine[i].id, mine[i].granted_ns, mine[i].renewed_ns),
                 model_lease_record(model, its[i].id, its[i].granted_ns, its[i].renewed_ns));
        }
    }
}

static void keep_alive(void)
{
    uint64_t mine = 7;
    uint64_t its = 7;
    uint8_t my_record = 7;
    uint8_t its_record = 7;
    int64_t id = random_id();
    SAME(kvr_lease_keep_alive(book, id, now, &mine, &my_record),
         model_lease_keep_alive(model, id, now, &its, &its_record));
    SAME(mine, its);
    SAME(my_record, its_record);
}

/* The grant of the lease that lives, at times of one that does not. */
static uint64_t granted_at(int64_t id)
{
    kvr_lease_info info = {.granted_ns = now};
    kvr_status status = kvr_lease_get(book, id, now, &info);
    return status == KVR_OK && below(4) == 0 ? info.granted_ns + 1 : info.granted_ns;
}

static void one_step(void)
{
    int64_t id = random_id();
    uint64_t ttl = random_ttl();
    uint64_t dice = below(100);
    now += below(12);
    if (below(200) == 0) {
        now -= now < 100 ? now : below(100); /* FAULTS 120 */
    }
    if (dice < 25) {
        SAME(kvr_lease_grant(book, id, ttl, now), model_lease_grant(model, id, ttl, now));
    } else if (dice < 33) {
        SAME(kvr_lease_revoke(book, id), model_lease_revoke(model, id));
    } else if (dice < 43) {
        uint64_t renewed = below(2) == 0 ? 0 : now - below(now < 50 ? now + 1 : 50);
        uint64_t granted = granted_at(id);
        SAME(kvr_lease_record(book, id, granted, renewed),
             model_lease_record(model, id, granted, renewed));
    } else if (dice < 63) {
        keep_alive();
    } else if (dice < 75) {
        name_due();
    } else if (dice < 87) {
        name_laggards();
    } else if (dice < 90) {
        kvr_lease_retry(book, id);
        model_lease_retry(model, id);
    } else if (dice < 92) {
        kvr_lease_lead(book, now);
        model_lease_lead(model, now);
    } else if (dice < 93) {
        kvr_lease_follow(book);
        model_lease_follow(model);
    } else if (dice < 94) {
        save_and_load();
    } else if (dice < 95) {
        compare_all();
    } else if (id_space > 60) {
        SAME(kvr_lease_grant(book, id, 1000000, now), model_lease_grant(model, id, 1000000, now));
    }
    SAME(kvr_lease_exists(book, id), model_lease_find(model, id) != NULL);
}

Test(lease_model, random_use_agrees_with_a_sorted_list)
{
    const char *only = getenv("KVR_SEED");
    uint64_t first = only == NULL ? 1 : strtoull(only, NULL, 10);
    test_alloc_init(&alloc);
    for (seed = first; seed < first + (only == NULL ? SEEDS : 1); seed++) {
        kvr__random_init(&rng, seed);
        book = new_book();
        model = model_lease_new();
        id_space = seed % 10 == 3 || seed % 10 == 7 ? IDS_MAX : 60;
        now = seed % 5 == 0 ? UINT64_MAX - 50000 : below(1000); /* the end of time is near */
        for (step = 0; step < STEPS && now < UINT64_MAX - 200; step++) {
            one_step();
        }
        compare_all();
        kvr_lease_book_free(book);
        model_lease_free(model);
        TEST_ALLOC_ASSERT_EMPTY(&alloc);
    }
}
