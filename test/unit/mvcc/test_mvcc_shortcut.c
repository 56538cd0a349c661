/* SPDX-License-Identifier: Apache-2.0 */
/* test_mvcc_shortcut.c: the shortcut from keys to records: it forgets little, it is never wrong,
 * and keys that are chosen to share their hash cannot make it grow. */
#include "mvcc_fixture.h"

#include "mvcc/mvcc_internal.h"

#include <stdlib.h>

MVCC_SUITE(mvcc_shortcut);

enum { KEYS = 500000 }; /* so many that tags are made anew: from 2^10 segments on */

static kvr__mvcc_record **records;

static kvr_slice make_key(uint8_t key[8], uint32_t i)
{
    kvr__store_u64(key, (uint64_t)i * 0x9E3779B97F4A7C15u);
    return (kvr_slice){key, 8};
}

static kvr__mvcc_record *make_record(uint32_t i, uint64_t mod)
{
    uint8_t key[8];
    kvr__mvcc_version version = {.key = make_key(key, i), .mod = mod, .create = mod, .version = 1};
    kvr__mvcc_record *record = kvr__mvcc_record_new(store->content, &version);
    cr_assert_not_null(record);
    return record;
}

static uint64_t hash_of(const kvr__mvcc_record *record)
{
    return kvr__mvcc_shortcut_hash(kvr__mvcc_record_key_slice(record));
}

static const kvr__mvcc_record *find(uint32_t i)
{
    uint8_t key[8];
    kvr_slice slice = make_key(key, i);
    return kvr__mvcc_shortcut_find(&store->content->shortcut, slice,
                                   kvr__mvcc_shortcut_hash(slice));
}

static void count_entry(void *ctx, const kvr__mvcc_record *record)
{
    cr_assert_eq(kvr__mvcc_record_version(record), 1);
    *(uint32_t *)ctx += 1;
}

/* Half a million keys through all splits: nearly all are known, by the right record. */
Test(mvcc_shortcut, it_forgets_little_and_is_never_wrong)
{
    kvr__mvcc_shortcut *shortcut = &store->content->shortcut;
    uint32_t known = 0, entries = 0;
    mvcc_alloc.quiet = 1;
    records = malloc(KEYS * sizeof *records);
    cr_assert_not_null(records);
    kvr__mvcc_shortcut_start(shortcut);
    for (uint32_t i = 0; i < KEYS; i++) {
        records[i] = make_record(i, 2);
        kvr__mvcc_shortcut_put(shortcut, hash_of(records[i]), records[i], NULL);
    }
    for (uint32_t i = 0; i < KEYS; i++) {
        const kvr__mvcc_record *found = find(i);
        cr_assert(found == NULL || found == records[i]);
        known += found != NULL;
        cr_assert_null(find(KEYS + i));
    }
    kvr__mvcc_shortcut_walk(shortcut, count_entry, &entries);

    cr_assert_gt(known, KEYS / 100 * 95, "%u of %u", known, (uint32_t)KEYS);
    cr_assert_eq(entries, known);
    cr_assert_geq(shortcut->depth, 10);
    cr_assert_lt(kvr__mem_bytes(shortcut->mem) - store->mem.bytes_by_kind[KVR__MEM_RECORD],
                 KEYS * 25);

    for (uint32_t i = 0; i < KEYS; i++) {
        kvr__mvcc_shortcut_erase(shortcut, hash_of(records[i]), records[i]);
        cr_assert(i % 1000 != 0 || find(i) == NULL);
        kvr__mvcc_record_discard(store->content, records[i]);
    }
    cr_assert_eq(shortcut->count, 0);
    free(records);
}

/* A newer version takes the place of the older one, also if that was forgotten. */
Test(mvcc_shortcut, the_newest_version_is_the_one_that_is_found)
{
    kvr__mvcc_shortcut *shortcut = &store->content->shortcut;
    kvr__mvcc_record *first = make_record(1, 2), *second = make_record(1, 3),
                     *third = make_record(1, 4);
    kvr__mvcc_shortcut_start(shortcut);

    kvr__mvcc_shortcut_put(shortcut, hash_of(first), first, NULL);
    kvr__mvcc_shortcut_put(shortcut, hash_of(second), second, first);
    cr_assert_eq(find(1), second);
    kvr__mvcc_shortcut_erase(shortcut, hash_of(second), second);
    kvr__mvcc_shortcut_put(shortcut, hash_of(third), third, second);
    cr_assert_eq(find(1), third);
    cr_assert_eq(shortcut->count, 1);

    kvr__mvcc_shortcut_erase(shortcut, hash_of(third), third);
    kvr__mvcc_record_discard(store->content, first);
    kvr__mvcc_record_discard(store->content, second);
    kvr__mvcc_record_discard(store->content, third);
}

/* Ten thousand keys whose hashes begin alike: they are forgotten, and the directory stays small. */
Test(mvcc_shortcut, hashes_that_begin_alike_do_not_make_it_grow)
{
    enum { FOES = 10000 };
    kvr__mvcc_shortcut *shortcut = &store->content->shortcut;
    kvr__mvcc_record *foes[FOES];
    kvr__mvcc_shortcut_start(shortcut);
    uint64_t before = kvr__mem_bytes(shortcut->mem);
    for (uint32_t i = 0; i < FOES; i++) {
        foes[i] = make_record(i, 2);
        uint64_t hash = UINT64_C(0xABCDEF0123) << 24 | i; /* as an attacker would choose them */
        kvr__mvcc_shortcut_put(shortcut, hash, foes[i], NULL);
    }
    cr_assert_leq(shortcut->depth, 3);
    cr_assert_leq(kvr__mem_bytes(shortcut->mem) - before -
                      store->mem.bytes_by_kind[KVR__MEM_RECORD],
                  8 * 4200);
    for (uint32_t i = 0; i < FOES; i++) {
        kvr__mvcc_shortcut_erase(shortcut, UINT64_C(0xABCDEF0123) << 24 | i, foes[i]);
        kvr__mvcc_record_discard(store->content, foes[i]);
    }
    cr_assert_eq(shortcut->count, 0);
}

/* Without memory for a segment it goes on with what it has. */
Test(mvcc_shortcut, it_needs_no_memory_that_it_cannot_get)
{
    char key[16];
    for (int i = 0; i < 3000; i++) {
        (void)snprintf(key, sizeof key, "k%05d", i);
        kvr_op op = op_put(key, "v");
        fault_arm(FAULT_ALLOC, 1, i % 2 == 0);
        kvr_status status = kvr_mvcc_apply(store, &op, NULL);
        fault_disarm();
        if (status == KVR_ENOMEM) {
            status = kvr_mvcc_apply(store, &op, NULL);
        }
        cr_assert_eq(status, KVR_OK);
    }
    kvr__mvcc_check(store);
    for (int i = 0; i < 3000; i++) {
        (void)snprintf(key, sizeof key, "k%05d", i);
        kvr_slice slice = text(key);
        kvr_kv kv;
        cr_assert(kvr_mvcc_get(store, &slice, &kv));
    }
    kvr__mvcc_check(store);
}
