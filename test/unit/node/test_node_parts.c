/* SPDX-License-Identifier: Apache-2.0 */
/* test_node_parts.c: windows of origins, keys of leases and hash points, each against a model that
 * is slow and plain. */
#include "../../../lib/node/node_attach.h"
#include "../../../lib/node/node_hash.h"
#include "../../../lib/node/node_origin.h"

#include "base/random.h"
#include "support/fault_sweep.h"
#include "support/test_alloc.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static test_alloc alloc;
static kvr__mem mem;

static void start(void)
{
    test_alloc_init(&alloc);
    cr_assert_eq(kvr__mem_init(&mem, &test_alloc_table, &alloc), KVR_OK);
}

static void stop(void)
{
    TEST_ALLOC_ASSERT_EMPTY(&alloc);
}

TestSuite(node_origin, .init = start, .fini = stop);
TestSuite(node_attach, .init = start, .fini = stop);
TestSuite(node_hash, .init = start, .fini = stop);

/* ------------------------------------------------------------------ origins */

static bool mark(kvr__origins *origins, uint64_t member, uint64_t incarnation, uint64_t sequence)
{
    kvr__origin_id id = {member, incarnation, sequence};
    if (kvr__origins_seen(origins, &id)) {
        return false;
    }
    cr_assert_eq(kvr__origins_reserve(origins, &id), KVR_OK);
    kvr__origins_mark(origins, &id, sequence);
    kvr__origins_check(origins);
    cr_assert(kvr__origins_seen(origins, &id));
    return true;
}

Test(node_origin, each_sequence_passes_once_and_old_lives_not_at_all)
{
    kvr__origins origins;
    kvr__origins_init(&origins, &mem);
    cr_assert(mark(&origins, 2, 1, 1));
    cr_assert_not(mark(&origins, 2, 1, 1));
    cr_assert(mark(&origins, 2, 1, 3));
    cr_assert(mark(&origins, 2, 1, 2));
    cr_assert_not(mark(&origins, 2, 1, 3));
    cr_assert(mark(&origins, 1, 9, 1));
    cr_assert(mark(&origins, 2, 2, 1));
    cr_assert_not(mark(&origins, 2, 1, 50), "of the life before");
    cr_assert_eq(origins.items[0].member, 1);
    kvr__origins_release(&origins);
}

Test(node_origin, in_order_there_is_no_bitmap)
{
    kvr__origins origins;
    kvr__origins_init(&origins, &mem);
    for (uint64_t sequence = 1; sequence < 10000; sequence++) {
        cr_assert(mark(&origins, 1, 1, sequence));
    }
    cr_assert_null(origins.items[0].bits);
    cr_assert_null(origins.spare);
    kvr__origins_release(&origins);
}

/* The model: a byte for each sequence, and the highest one. */
Test(node_origin, it_agrees_with_a_plain_model)
{
    static uint8_t seen[200000];
    uint64_t seed = 20261124;
    kvr__random random;
    kvr__random_init(&random, seed);
    kvr__origins origins;
    kvr__origins_init(&origins, &mem);
    uint64_t highest = 0;
    for (uint32_t i = 0; i < 100000; i++) {
        uint64_t spread = kvr__random_below(&random, 50) == 0 ? 9000 : 300;
        uint64_t base = highest > spread / 2 ? highest - spread / 2 : 0;
        uint64_t sequence = 1 + base + kvr__random_below(&random, spread);
        if (sequence >= sizeof seen) {
            break;
        }
        bool expected = seen[sequence] != 0 || sequence + KVR__ORIGIN_WINDOW <= highest;
        cr_assert_eq(mark(&origins, 3, 1, sequence), !expected,
                     "sequence %llu, highest %llu, seed %llu", (unsigned long long)sequence,
                     (unsigned long long)highest, (unsigned long long)seed);
        seen[sequence] = 1;
        highest = sequence > highest ? sequence : highest;
    }
    kvr__origins_release(&origins);
}

static void expect_same_origins(const kvr__origins *a, const kvr__origins *b)
{
    cr_assert_eq(kvr__origins_hash(a), kvr__origins_hash(b));
    cr_assert_eq(a->count, b->count);
    for (uint32_t i = 0; i < a->count; i++) {
        cr_assert_eq(a->items[i].last_index, b->items[i].last_index);
    }
}

Test(node_origin, encoded_and_read_back_it_is_the_same_and_damage_is_found)
{
    kvr__origins origins, copy;
    kvr__origins_init(&origins, &mem);
    for (uint64_t i = 1; i < 60; i++) {
        (void)mark(&origins, i % 5 + 1, 1, i % 7 + i);
    }
    size_t size = kvr__origins_size(&origins);
    uint8_t *bytes = malloc(size);
    cr_assert_not_null(bytes);
    kvr__writer writer = kvr__writer_of(bytes, size);
    kvr__origins_write(&origins, &writer);
    cr_assert(!writer.failed && writer.at == writer.end);
    kvr__origins_init(&copy, &mem);
    kvr__reader reader = kvr__reader_of(bytes, size);
    cr_assert_eq(kvr__origins_read(&copy, &reader), KVR_OK);
    expect_same_origins(&origins, &copy);
    kvr__origins_release(&copy);
    for (size_t cut = 0; cut < size; cut += 13) {
        kvr__origins_init(&copy, &mem);
        reader = kvr__reader_of(bytes, cut);
        cr_assert_eq(kvr__origins_read(&copy, &reader), KVR_ECORRUPT);
        kvr__origins_release(&copy);
    }
    for (size_t at = 0; at < size; at++) { /* any damage: an error or a sound table */
        bytes[at] ^= 0x41;
        kvr__origins_init(&copy, &mem);
        reader = kvr__reader_of(bytes, size);
        if (kvr__origins_read(&copy, &reader) == KVR_OK) {
            kvr__origins_check(&copy);
        }
        kvr__origins_release(&copy);
        bytes[at] ^= 0x41;
    }
    free(bytes);
    kvr__origins_release(&origins);
}

Test(node_origin, beyond_the_bound_the_one_that_was_silent_longest_is_forgotten)
{
    kvr__origins origins;
    kvr__origins_init(&origins, &mem);
    for (uint64_t member = 1; member <= KVR__ORIGINS_MAX + 1; member++) {
        kvr__origin_id id = {member, 1, 5};
        cr_assert_eq(kvr__origins_reserve(&origins, &id), KVR_OK);
        kvr__origins_mark(&origins, &id, member == 7 ? 1 : 100 + member);
    }
    kvr__origins_check(&origins);
    kvr__origin_id gone = {7, 1, 5};
    kvr__origin_id kept = {8, 1, 5};
    cr_assert_not(kvr__origins_seen(&origins, &gone));
    cr_assert(kvr__origins_seen(&origins, &kept));
    kvr__origins_release(&origins);
}

Test(node_origin, after_reserve_marking_needs_no_memory)
{
    kvr__origins origins;
    kvr__origin_id id = {1, 1, 900};
    kvr_status status = KVR_OK;
    FAULT_SWEEP(kvr__origins_init(&origins, &mem), status = kvr__origins_reserve(&origins, &id), {
        cr_assert_eq(status, fault_fired() > 0 ? KVR_ENOMEM : KVR_OK);
        if (status == KVR_OK) {
            uint64_t before = alloc.call_count;
            kvr__origins_mark(&origins, &id, 1);
            cr_assert_eq(alloc.call_count, before);
        }
        kvr__origins_release(&origins);
    });
}

/* ------------------------------------------------------------------ keys of leases */

enum { LEASES = 7, KEYS = 40 };

static int compare_text(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static void expect_keys(const kvr__attach *attach, int64_t lease, uint8_t in[LEASES][KEYS],
                        char names[KEYS][8])
{
    const char *expected[KEYS];
    uint32_t count = 0;
    for (uint32_t k = 0; k < KEYS; k++) {
        if (in[lease + 3][k]) {
            expected[count++] = names[k];
        }
    }
    qsort(expected, count, sizeof *expected, compare_text);
    kvr_slice keys[KEYS + 1];
    cr_assert_eq(kvr__attach_key_count(attach, lease), count);
    cr_assert_eq(kvr__attach_keys(attach, lease, NULL, keys, KEYS + 1), count);
    for (uint32_t i = 0; i < count; i++) {
        cr_assert_eq(keys[i].size, strlen(expected[i]));
        cr_assert_eq(memcmp(keys[i].data, expected[i], keys[i].size), 0);
    }
    if (count > 1) {
        cr_assert_eq(kvr__attach_keys(attach, lease, &keys[0], keys + 1, KEYS), count - 1);
    }
}

Test(node_attach, it_agrees_with_a_table_and_lists_in_key_order)
{
    static uint8_t in[LEASES][KEYS];
    char names[KEYS][8];
    kvr__attach attach;
    kvr__random random;
    kvr__random_init(&random, 5);
    kvr__attach_init(&attach, &mem, 99);
    for (uint32_t k = 0; k < KEYS; k++) {
        (void)snprintf(names[k], sizeof names[k], "%.*s", (int)(k % 5) + 1,
                       k % 2 ? "bacbd" : "abcab");
        (void)snprintf(names[k] + strlen(names[k]), 3, "%u", k);
    }
    for (uint32_t i = 0; i < 20000; i++) {
        int64_t lease = (int64_t)kvr__random_below(&random, LEASES) - 3;
        uint32_t k = (uint32_t)kvr__random_below(&random, KEYS);
        kvr_slice key = {(const uint8_t *)names[k], strlen(names[k])};
        if (lease == 0) {
            continue;
        }
        if (kvr__random_below(&random, 2) == 0) {
            cr_assert_eq(kvr__attach_reserve(&attach, lease, &key), KVR_OK);
            kvr__attach_add(&attach, lease, &key);
            kvr__attach_drop_spares(&attach);
            in[lease + 3][k] = 1;
        } else {
            kvr__attach_remove(&attach, lease, &key);
            in[lease + 3][k] = 0;
        }
        if (i % 97 == 0) {
            kvr__attach_check(&attach);
            expect_keys(&attach, lease, in, names);
        }
    }
    kvr__attach_release(&attach);
    cr_assert_eq(attach.count, 0);
}

/* ------------------------------------------------------------------ hash points */

Test(node_hash, every_field_of_an_outcome_matters)
{
    kvr__hash_outcome base = {.index = 1, .revision = 2, .store_chain = 3, .status = 0, .kind = 1};
    uint64_t hash = kvr__hash_fold(0, &base);
    kvr__hash_outcome other = base;
    cr_assert_neq(kvr__hash_fold(1, &base), hash);
    other.index = 2;
    cr_assert_neq(kvr__hash_fold(0, &other), hash);
    other = base;
    other.revision = 3;
    cr_assert_neq(kvr__hash_fold(0, &other), hash);
    other = base;
    other.store_chain = 4;
    cr_assert_neq(kvr__hash_fold(0, &other), hash);
    other = base;
    other.status = -1;
    cr_assert_neq(kvr__hash_fold(0, &other), hash);
    other = base;
    other.kind = 2;
    cr_assert_neq(kvr__hash_fold(0, &other), hash);
}

Test(node_hash, the_last_64_points_are_kept_and_read_back)
{
    kvr__hashes hashes, copy;
    kvr__hashes_init(&hashes, &mem);
    kvr__hashes_init(&copy, &mem);
    for (uint64_t i = 1; i <= 70; i++) {
        cr_assert_eq(kvr__hashes_reserve(&hashes), KVR_OK);
        kvr__hashes_add(&hashes, i * KVR__HASH_EVERY, i * 3);
    }
    cr_assert_eq(hashes.count, KVR__HASHES_KEPT);
    cr_assert_eq(hashes.points[0].index, 7 * KVR__HASH_EVERY);
    cr_assert_eq(hashes.points[0].chain, 21);
    uint8_t bytes[8 + 16 * KVR__HASHES_KEPT];
    cr_assert_eq(kvr__hashes_size(&hashes), sizeof bytes);
    kvr__writer writer = kvr__writer_of(bytes, sizeof bytes);
    kvr__hashes_write(&hashes, &writer);
    kvr__reader reader = kvr__reader_of(bytes, sizeof bytes);
    cr_assert_eq(kvr__hashes_read(&copy, &reader), KVR_OK);
    cr_assert_eq(copy.count, hashes.count);
    cr_assert_eq(memcmp(copy.points, hashes.points, sizeof bytes - 8), 0);
    kvr__hashes_release(&copy);
    bytes[8] = 1; /* an index that is none */
    reader = kvr__reader_of(bytes, sizeof bytes);
    cr_assert_eq(kvr__hashes_read(&copy, &reader), KVR_ECORRUPT);
    kvr__hashes_release(&copy);
    kvr__hashes_release(&hashes);
}

Test(node_hash, claims_are_kept_in_order_and_the_newest_word_counts)
{
    kvr__hashes hashes;
    kvr__hashes_init(&hashes, &mem);
    for (uint64_t i = 1; i <= 12; i++) {
        kvr__hash_point point = {(i * 5 % 13) * KVR__HASH_EVERY, i};
        cr_assert_eq(kvr__hashes_claim(&hashes, 2, &point), KVR_OK);
    }
    const kvr__hash_claims *claims = &hashes.claims[0];
    cr_assert_eq(claims->count, KVR__CLAIMS_KEPT);
    for (uint32_t i = 1; i < claims->count; i++) {
        cr_assert_lt(claims->points[i - 1].index, claims->points[i].index);
    }
    kvr__hash_point newer = {claims->points[3].index, 777};
    cr_assert_eq(kvr__hashes_claim(&hashes, 2, &newer), KVR_OK);
    cr_assert_eq(kvr__hashes_claimed(&hashes, 2, newer.index)->chain, 777);
    cr_assert_null(kvr__hashes_claimed(&hashes, 3, newer.index));
    kvr__hashes_release(&hashes);
}
