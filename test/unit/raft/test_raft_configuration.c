/* SPDX-License-Identifier: Apache-2.0 */
/* test_raft_configuration.c: the encoded configuration: golden bytes, round trips, and bytes that
 * are none. */
#include <criterion/criterion.h>
#include <string.h>

#include "base/codec.h"
#include "base/random.h"
#include "raft/raft_configuration.h"
#include "raft/raft_quorum.h"

static uint8_t bytes[1 << 16];

static kvr_slice encode(const kvr_member *members, uint32_t count)
{
    size_t size = kvr__raft_configuration_size(members, count);
    cr_assert_leq(size, sizeof bytes);
    kvr__raft_configuration_write(bytes, members, count);
    return (kvr_slice){bytes, size};
}

/* The format is durable: these bytes are what kvraft-message(5) says. */
Test(raft_configuration, bytes_are_pinned)
{
    const kvr_member members[] = {
        {.id = 1, .role = KVR_MEMBER_VOTER, .attributes = {(const uint8_t *)"ab", 2}},
        {.id = 0x0203, .role = KVR_MEMBER_LEARNER}};
    /* head */
    const uint8_t golden[] = {16, 0, 1,   0,   2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,   16,
                              0,  0, 255, 2,   0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 'a', 'b', /* 1 */
                              16, 0, 1,   255, 0, 0, 0, 0, 3, 2, 0, 0, 0, 0, 0, 0};       /* 515 */

    kvr_slice encoded = encode(members, 2);

    cr_assert_eq(encoded.size, sizeof golden);
    cr_assert_arr_eq(encoded.data, golden, sizeof golden);
}

Test(raft_configuration, members_come_back_as_they_were)
{
    kvr_member members[5];
    for (uint32_t i = 0; i < 5; i++) {
        members[i] = (kvr_member){.id = 10 + i * i,
                                  .role = (uint8_t)(i % 3),
                                  .attributes = {(const uint8_t *)"attributes", 2 * i}};
    }

    kvr_slice encoded = encode(members, 5);

    uint32_t count = 0;
    kvr_member member;
    cr_assert_eq(kvr__raft_configuration_verify(encoded, &count), KVR_OK);
    cr_assert_eq(count, 5);
    for (uint32_t i = 0; i < 5; i++) {
        cr_assert_eq(kvr_configuration_member(&encoded, i, &member), KVR_OK);
        cr_assert_eq(member.id, members[i].id);
        cr_assert_eq(member.role, members[i].role);
        cr_assert_eq(member.attributes.size, 2 * i);
        cr_assert(memcmp(member.attributes.data, "attributes", 2 * i) == 0);
    }
    cr_assert_eq(kvr_configuration_member(&encoded, 5, &member), KVR_END);
}

Test(raft_configuration, an_empty_one_is_allowed_for_members_that_will_join)
{
    uint32_t count = 9;

    cr_assert_eq(kvr__raft_configuration_verify(encode(NULL, 0), &count), KVR_OK);
    cr_assert_eq(count, 0);
}

/* What a later version adds to a head or a record is skipped. */
Test(raft_configuration, unknown_optional_fields_are_skipped)
{
    const kvr_member members[] = {{.id = 1}, {.id = 2, .attributes = {(const uint8_t *)"x", 1}}};
    kvr_slice encoded = encode(members, 2);
    uint8_t longer[128] = {0};
    memcpy(longer, encoded.data, 16);
    longer[0] = 20; /* four bytes more in the head, eight in the first record */
    memcpy(longer + 20, encoded.data + 16, 16);
    longer[20] = 24;
    memcpy(longer + 44, encoded.data + 32, 17);

    kvr_slice slice = {longer, 61};
    kvr_member member;
    uint32_t count = 0;

    cr_assert_eq(kvr__raft_configuration_verify(slice, &count), KVR_OK);
    cr_assert_eq(kvr_configuration_member(&slice, 1, &member), KVR_OK);
    cr_assert_eq(member.id, 2);
    cr_assert_eq(member.attributes.data[0], 'x');
}

/* FAULTS 147: a malformed configuration from a peer is refused, whatever is wrong with it. */
Test(raft_configuration, what_is_none_is_refused)
{
    const kvr_member members[] = {{.id = 1}, {.id = 2}};
    const struct {
        uint32_t at;
        uint8_t value;
        kvr_status status;
        const char *what;
    } faults[] = {
        {0, 15, KVR_ECORRUPT, "a head that is too short"},
        {1, 1, KVR_ECORRUPT, "a head longer than all"},
        {2, 0, KVR_ECORRUPT, "version 0"},
        {2, 2, KVR_EVERSION, "a later version"},
        {3, 4, KVR_EVERSION, "an unknown flag"},
        {3, 1, KVR_ECORRUPT, "joint without an outgoing voter"},
        {4, 3, KVR_ECORRUPT, "another count"},
        {16, 15, KVR_ECORRUPT, "a record that is too short"},
        {18, 3, KVR_ECORRUPT, "an unknown role"},
        {18, 255, KVR_ECORRUPT, "a leaving member outside a joint one"},
        {19, 0, KVR_ECORRUPT, "an outgoing role outside a joint one"},
        {20, 1, KVR_ECORRUPT, "attributes past the end"},
        {24, 0, KVR_ECORRUPT, "id 0"},
        {24, 2, KVR_ECORRUPT, "an id twice"},
        {24, 3, KVR_ECORRUPT, "ids that descend"},
    };
    for (size_t i = 0; i < sizeof faults / sizeof faults[0]; i++) {
        uint32_t count = 0;
        kvr_slice encoded = encode(members, 2);
        bytes[faults[i].at] = faults[i].value;
        cr_assert_eq(kvr__raft_configuration_verify(encoded, &count), faults[i].status, "%s",
                     faults[i].what);
    }
}

Test(raft_configuration, one_without_a_voter_is_refused)
{
    const kvr_member members[] = {{.id = 1, .role = KVR_MEMBER_LEARNER},
                                  {.id = 2, .role = KVR_MEMBER_WITNESS}};
    uint32_t count = 0;

    cr_assert_eq(kvr__raft_configuration_verify(encode(members, 2), &count), KVR_ECORRUPT);
}

Test(raft_configuration, more_members_than_the_limit_are_refused)
{
    kvr_member members[KVR__RAFT_MEMBERS_MAX + 1];
    for (uint32_t i = 0; i <= KVR__RAFT_MEMBERS_MAX; i++) {
        members[i] = (kvr_member){.id = i + 1};
    }
    uint32_t count = 0;

    cr_assert_eq(kvr__raft_configuration_verify(encode(members, KVR__RAFT_MEMBERS_MAX), &count),
                 KVR_OK);
    cr_assert_eq(kvr__raft_configuration_verify(encode(members, KVR__RAFT_MEMBERS_MAX + 1), &count),
                 KVR_ECORRUPT);
}

/* FAULTS 147: any bytes at all are judged without reading past their end (run under ASan too). */
Test(raft_configuration, random_bytes_do_no_harm)
{
    kvr__random random;
    kvr__random_init(&random, 2);
    const kvr_member members[] = {{.id = 1}, {.id = 2, .attributes = {(const uint8_t *)"xyz", 3}}};
    kvr_slice encoded = encode(members, 2);
    for (int round = 0; round < 20000; round++) {
        uint8_t copy[64];
        size_t size = (size_t)kvr__random_below(&random, encoded.size + 1);
        memcpy(copy, encoded.data, size);
        for (uint64_t flips = kvr__random_below(&random, 4); flips > 0 && size > 0; flips--) {
            copy[kvr__random_below(&random, size)] ^= (uint8_t)kvr__random_next(&random);
        }
        kvr_slice slice = {copy, size};
        uint32_t count = 0;
        if (kvr__raft_configuration_verify(slice, &count) == KVR_OK) {
            cr_assert_leq(count, 2);
        }
        kvr_member member;
        for (uint32_t i = 0; kvr_configuration_member(&slice, i, &member) == KVR_OK; i++) {
            cr_assert_lt(i, 64);
        }
    }
}
