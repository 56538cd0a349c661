/* SPDX-License-Identifier: Apache-2.0 */
/* test_raft_bundle.c: many messages as one. What comes out is byte for byte what went in; hostile
 * bytes are refused. */
#include <criterion/criterion.h>
#include <kvraft/raft.h>

#include "base/random.h"
#include "raft/raft_message.h"
#include "support/fault_sweep.h"
#include "support/test_alloc.h"

#include <string.h>

enum { GROUPS = 1000, MESSAGE_MAX = 4096 };

static test_alloc alloc;
static kvr_bundle *bundle;
static kvr__random dice;

static void setup(void)
{
    test_alloc_init(&alloc);
    kvr__random_init(&dice, 3);
    cr_assert_eq(kvr_bundle_new(&test_alloc_table, &alloc, 0, &bundle), KVR_OK);
}

static void teardown(void)
{
    kvr_bundle_free(bundle);
    TEST_ALLOC_ASSERT_EMPTY(&alloc);
}

TestSuite(raft_bundle, .init = setup, .fini = teardown);

static kvr_message_info head_of(uint64_t group, uint8_t type)
{
    return (kvr_message_info){.cluster_id = 77,
                              .group_id = group,
                              .from = 1,
                              .to = 2,
                              .term = 9,
                              .type = type,
                              .level = 1};
}

static size_t heartbeat(uint8_t *out, uint64_t group, uint64_t number)
{
    kvr_message_info head = head_of(group, KVR__RAFT_HEARTBEAT);
    kvr__raft_message_write_head(out, &head);
    kvr__raft_heartbeat beat = {.commit = number,
                                .round = number / 2,
                                .lease_clock = number * 1000003,
                                .confirmed = number / 3,
                                .committed = number};
    kvr__raft_message_write_heartbeat(out + KVR__RAFT_HEAD_SIZE, &beat);
    kvr__raft_message_seal(out, KVR__RAFT_HEAD_SIZE + KVR__RAFT_HEARTBEAT_SIZE);
    return KVR__RAFT_HEAD_SIZE + KVR__RAFT_HEARTBEAT_SIZE;
}

/* Any message: of any type, some with bodies that no release writes. */
static size_t anything(uint8_t *out, uint64_t i)
{
    if (i % 3 == 0) {
        return heartbeat(out, kvr__random_next(&dice), kvr__random_next(&dice) >> i % 60);
    }
    kvr_message_info head = head_of(i, (uint8_t)(1 + kvr__random_below(&dice, 15)));
    head.term = kvr__random_next(&dice) >> i % 60;
    kvr__raft_message_write_head(out, &head);
    size_t size = 2 + (size_t)kvr__random_below(&dice, 300);
    for (size_t at = 0; at < size; at++) {
        out[KVR__RAFT_HEAD_SIZE + at] = (uint8_t)kvr__random_next(&dice);
    }
    kvr__raft_message_seal(out, (uint32_t)(KVR__RAFT_HEAD_SIZE + size));
    return KVR__RAFT_HEAD_SIZE + size;
}

static uint8_t added[GROUPS][512];
static size_t sizes[GROUPS];

static kvr_slice fill(uint64_t count, size_t (*make)(uint8_t *, uint64_t))
{
    for (uint64_t i = 0; i < count; i++) {
        sizes[i] = make(added[i], i);
        cr_assert_eq(kvr_bundle_add(bundle, &(kvr_slice){added[i], sizes[i]}), KVR_OK);
    }
    kvr_slice whole;
    cr_assert_eq(kvr_bundle_take(bundle, &whole), KVR_OK);
    return whole;
}

static void expect_all(const kvr_slice *whole, uint64_t count)
{
    kvr_bundle_reader reader;
    kvr_slice message;
    cr_assert_eq(kvr_bundle_open(&reader, whole), KVR_OK);
    for (uint64_t i = 0; i < count; i++) {
        cr_assert_eq(kvr_bundle_next(&reader, &message), KVR_OK);
        cr_assert_eq(message.size, sizes[i]);
        cr_assert_eq(memcmp(message.data, added[i], sizes[i]), 0, "message %llu",
                     (unsigned long long)i);
    }
    cr_assert_eq(kvr_bundle_next(&reader, &message), KVR_END);
}

static size_t beat_of_group(uint8_t *out, uint64_t i)
{
    return heartbeat(out, i + 1, 5 + i % 100);
}

Test(raft_bundle, a_thousand_heartbeats_are_one_small_message)
{
    kvr_slice whole = fill(GROUPS, beat_of_group);
    cr_assert_lt(whole.size, (size_t)GROUPS * 20, "%zu bytes", whole.size);
    expect_all(&whole, GROUPS);
}

Test(raft_bundle, what_comes_out_is_what_went_in)
{
    for (uint32_t round = 0; round < 50; round++) {
        kvr_slice whole = fill(200, anything);
        expect_all(&whole, 200);
    }
}

Test(raft_bundle, it_is_a_message_that_says_so)
{
    kvr_slice whole = fill(3, beat_of_group);
    kvr_message_info info;
    cr_assert_eq(kvr_message_peek(&whole, 1 << 20, &info), KVR_OK);
    cr_assert(kvr_message_is_bundle(info.type));
    cr_assert_eq(info.from, 1);
    cr_assert_eq(info.to, 2);
    cr_assert_eq(info.cluster_id, 77);
    cr_assert_not(kvr_message_is_bundle(KVR__RAFT_HEARTBEAT));
    kvr_bundle_reader reader;
    cr_assert_eq(kvr_bundle_open(&reader, &(kvr_slice){added[0], sizes[0]}), KVR_EINVAL);
}

Test(raft_bundle, it_holds_what_fits_and_what_goes_the_same_way)
{
    kvr_slice whole;
    cr_assert_eq(kvr_bundle_take(bundle, &whole), KVR_END);
    sizes[0] = heartbeat(added[0], 1, 1);
    kvr_slice message = {added[0], sizes[0]};
    cr_assert_eq(kvr_bundle_add(bundle, &message), KVR_OK);

    uint8_t other[512];
    kvr_message_info head = head_of(1, KVR__RAFT_HEARTBEAT);
    head.to = 3;
    memcpy(other, added[0], sizes[0]);
    kvr__raft_message_write_head(other, &head);
    kvr__raft_message_seal(other, (uint32_t)sizes[0]);
    cr_assert_eq(kvr_bundle_add(bundle, &(kvr_slice){other, sizes[0]}), KVR_EBUSY);

    cr_assert_eq(kvr_bundle_add(bundle, &(kvr_slice){other, 20}), KVR_EINVAL);
    cr_assert_eq(kvr_bundle_take(bundle, &whole), KVR_OK);
    expect_all(&whole, 1);
    cr_assert_eq(kvr_bundle_add(bundle, &(kvr_slice){other, sizes[0]}), KVR_OK, "begun anew");

    kvr_bundle *narrow;
    cr_assert_eq(kvr_bundle_new(&test_alloc_table, &alloc, 4095, &narrow), KVR_EINVAL);
    cr_assert_eq(kvr_bundle_new(&test_alloc_table, &alloc, 4096, &narrow), KVR_OK);
    kvr_status status = KVR_OK;
    uint64_t count = 0;
    for (; status == KVR_OK && count < GROUPS; count++) {
        sizes[count] = heartbeat(added[count], count, count);
        status = kvr_bundle_add(narrow, &(kvr_slice){added[count], sizes[count]});
    }
    cr_assert_eq(status, KVR_EBUSY);
    cr_assert_eq(kvr_bundle_take(narrow, &whole), KVR_OK);
    cr_assert_leq(whole.size, 4096);
    expect_all(&whole, count - 1);
    kvr_bundle_free(narrow);
}

/* FAULTS 147: whatever a peer sends, reading ends, and within the bytes. */
Test(raft_bundle, hostile_bytes_are_refused)
{
    kvr_slice whole = fill(20, anything);
    uint8_t *copy = malloc(whole.size);
    cr_assert_not_null(copy);
    for (size_t at = 0; at < whole.size; at++) {
        kvr_bundle_reader reader;
        memcpy(copy, whole.data, whole.size);
        copy[at] ^= (uint8_t)(1 + at % 255);
        cr_assert_neq(kvr_bundle_open(&reader, &(kvr_slice){copy, whole.size}), KVR_OK);
        cr_assert_neq(kvr_bundle_open(&reader, &(kvr_slice){copy, at}), KVR_OK);
    }
    for (uint32_t round = 0; round < 20000; round++) { /* and sealed as if it were right */
        kvr_bundle_reader reader;
        kvr_slice message;
        memcpy(copy, whole.data, whole.size);
        for (uint32_t i = 0; i < 1 + round % 4; i++) {
            size_t at = KVR__RAFT_HEAD_SIZE +
                        (size_t)kvr__random_below(&dice, whole.size - KVR__RAFT_HEAD_SIZE);
            copy[at] = (uint8_t)kvr__random_next(&dice);
        }
        kvr__raft_message_seal(copy, (uint32_t)whole.size);
        cr_assert_eq(kvr_bundle_open(&reader, &(kvr_slice){copy, whole.size}), KVR_OK);
        uint32_t steps = 0;
        while (kvr_bundle_next(&reader, &message) == KVR_OK) {
            cr_assert_lt(++steps, whole.size);
        }
    }
    free(copy);
}

Test(raft_bundle, without_memory_the_message_is_as_if_lost)
{
    kvr_status status = KVR_OK;
    FAULT_SWEEP(
        {
            kvr_bundle_free(bundle);
            cr_assert_eq(kvr_bundle_new(&test_alloc_table, &alloc, 0, &bundle), KVR_OK);
            sizes[0] = heartbeat(added[0], 1, 1);
        },
        status = kvr_bundle_add(bundle, &(kvr_slice){added[0], sizes[0]}),
        {
            kvr_slice whole;
            cr_assert_eq(status, fault_fired() == 0 ? KVR_OK : KVR_ENOMEM);
            cr_assert_eq(kvr_bundle_take(bundle, &whole), status == KVR_OK ? KVR_OK : KVR_END);
        });
}

Test(raft_bundle, what_is_no_message_or_no_bound_is_refused)
{
    kvr_bundle *other = NULL;
    uint8_t bytes[512];
    size_t size = heartbeat(bytes, 1, 1);
    cr_assert_eq(kvr_bundle_new(&test_alloc_table, &alloc, 1, &other), KVR_EINVAL);
    cr_assert_eq(kvr_bundle_new(&test_alloc_table, &alloc, UINT32_MAX, &other), KVR_EINVAL);
    cr_assert_eq(kvr_bundle_new(&test_alloc_table, &alloc, 0, NULL), KVR_EINVAL);
    kvr_bundle_free(NULL);

    cr_assert_eq(kvr_bundle_add(bundle, NULL), KVR_EINVAL);
    cr_assert_eq(kvr_bundle_add(bundle, &(kvr_slice){bytes, 10}), KVR_EINVAL);
    cr_assert_eq(kvr_bundle_add(bundle, &(kvr_slice){bytes, size - 1}), KVR_EINVAL);
    cr_assert_eq(kvr_bundle_add(bundle, &(kvr_slice){bytes, size}), KVR_OK);
    kvr_slice whole;
    cr_assert_eq(kvr_bundle_take(bundle, &whole), KVR_OK);
    uint8_t nested[1024];
    cr_assert_leq(whole.size, sizeof nested);
    memcpy(nested, whole.data, whole.size);
    cr_assert_eq(kvr_bundle_add(bundle, &(kvr_slice){nested, whole.size}), KVR_EINVAL);
}

/* Each field that makes a connection: another one begins another bundle. */
Test(raft_bundle, holds_messages_of_one_connection_and_level)
{
    uint8_t bytes[512];
    size_t size = heartbeat(bytes, 1, 1);
    cr_assert_eq(kvr_bundle_add(bundle, &(kvr_slice){bytes, size}), KVR_OK);
    for (int field = 0; field < 4; field++) {
        kvr_message_info head = head_of(1, KVR__RAFT_HEARTBEAT);
        head.cluster_id += field == 0;
        head.from += field == 1 ? 7 : 0;
        head.to += field == 2 ? 7 : 0;
        head.level = (uint8_t)(head.level + (field == 3));
        kvr__raft_message_write_head(bytes, &head);
        kvr__raft_message_seal(bytes, (uint32_t)size);

        cr_assert_eq(kvr_bundle_add(bundle, &(kvr_slice){bytes, size}), KVR_EBUSY, "%d", field);
    }
}
