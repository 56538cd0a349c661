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
        {.id = 0x0203, .role = KVR_MEMBER_LEARNER, .flags = KVR_MEMBER_PROMOTE}};
    const uint8_t head[56] = {56, 0, 1, 0, 2, 0, 0, 0, 3, 2};
    const uint8_t first[26] = {24, 0, 0, 255, 2, 0, 0, 0, 1, [24] = 'a', [25] = 'b'};
    const uint8_t second[24] = {24, 0, 1, 255, 0, 0, 0, 0, 3, 2, [16] = 1};

    kvr_slice encoded = encode(members, 2);

    cr_assert_eq(encoded.size, sizeof head + sizeof first + sizeof second);
    cr_assert(memcmp(encoded.data, head, sizeof head) == 0);
    cr_assert(memcmp(encoded.data + 56, first, sizeof first) == 0);
    cr_assert(memcmp(encoded.data + 82, second, sizeof second) == 0);
}

/* The whole head, with what a change brings. */
Test(raft_configuration, a_head_comes_back_as_it_was)
{
    const kvr__raft_configuration_head head = {
        .highest_id = 9, .context = {1, 2, 3}, .lease_ns = 5, .data_copies_min = 4, .flags = 0};
    kvr__raft_configuration_head read;
    uint64_t context[3];

    kvr__raft_configuration_write_head(bytes, &head);
    kvr_slice encoded = {bytes, KVR__RAFT_CONFIGURATION_HEAD};
    kvr__raft_configuration_read_head(encoded, &read);
    kvr_configuration_context(&encoded, context);

    cr_assert_eq(read.highest_id, 9);
    cr_assert_eq(read.data_copies_min, 4);
    cr_assert_eq(read.lease_ns, 5);
    cr_assert_eq(read.count, 0);
    cr_assert_arr_eq(context, head.context, sizeof context);
}

/* What was written with heads and records of 16 bytes stays readable: what they lack is 0, and the
 * highest id is that of the members. */
Test(raft_configuration, short_heads_are_read)
{
    const uint8_t old[] = {16, 0, 1,   0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,  16,
                           0,  0, 255, 1, 0, 0, 0, 7, 0, 0, 0, 0, 0, 0, 0, 'a'};
    kvr_slice encoded = {old, sizeof old};
    kvr__raft_configuration_head head;
    kvr_member member;
    uint32_t count = 0;

    cr_assert_eq(kvr__raft_configuration_verify(encoded, &count), KVR_OK);
    kvr__raft_configuration_read_head(encoded, &head);
    cr_assert_eq(kvr_configuration_member(&encoded, 0, &member), KVR_OK);

    cr_assert_eq(head.highest_id, 7);
    cr_assert_eq(head.data_copies_min, 0);
    cr_assert_eq(member.id, 7);
    cr_assert_eq(member.flags, 0);
    cr_assert_eq(member.attributes.size, 1);
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
    uint8_t longer[256] = {0};
    memcpy(longer, encoded.data, 56);
    longer[0] = 60; /* four bytes more in the head, eight in the first record */
    memcpy(longer + 60, encoded.data + 56, 24);
    longer[60] = 32;
    memcpy(longer + 92, encoded.data + 80, 25);

    kvr_slice slice = {longer, 117};
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
        {56, 15, KVR_ECORRUPT, "a record that is too short"},
        {58, 3, KVR_ECORRUPT, "an unknown role"},
        {58, 255, KVR_ECORRUPT, "a leaving member outside a joint one"},
        {59, 0, KVR_ECORRUPT, "an outgoing role outside a joint one"},
        {60, 1, KVR_ECORRUPT, "attributes past the end"},
        {64, 0, KVR_ECORRUPT, "id 0"},
        {64, 2, KVR_ECORRUPT, "an id twice"},
        {64, 3, KVR_ECORRUPT, "ids that descend"},
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
        uint8_t copy[128];
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
