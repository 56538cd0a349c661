/* SPDX-License-Identifier: Apache-2.0 */
/* test_raft_message.c: messages as bytes: golden encodings of every type, round trips, and hostile
 * bytes. */
#include <criterion/criterion.h>
#include <string.h>

#include "base/checksum.h"
#include "base/codec.h"
#include "base/random.h"
#include "raft/raft_message.h"
#include "raft_cluster.h"

static uint8_t bytes[1024];

static kvr_slice make(uint8_t type, const void *body, size_t body_size, const char *tail)
{
    kvr_message_info head = {
        .cluster_id = 0x1111, .group_id = 0x2222, .from = 3, .to = 4, .term = 0x0506, .type = type};
    size_t length = KVR__RAFT_HEAD_SIZE + body_size + strlen(tail);
    memset(bytes, 0xEE, sizeof bytes); /* whatever is not written shows */
    kvr__raft_message_write_head(bytes, &head);
    memcpy(bytes + KVR__RAFT_HEAD_SIZE, body, body_size);
    memcpy(bytes + KVR__RAFT_HEAD_SIZE + body_size, tail, strlen(tail));
    kvr__raft_message_seal(bytes, (uint32_t)length);
    return (kvr_slice){bytes, length};
}

/* FAULTS 40: the bytes of a head are pinned, and all of them are written. */
Test(raft_message, head_bytes_are_pinned)
{
    uint8_t body[KVR__RAFT_POST_SIZE];
    kvr__raft_message_write_post(body, 9);

    kvr_slice message = make(KVR__RAFT_POST, body, sizeof body, "hi");

    const uint8_t golden[] = {
        74,   0,    0, 0, 64, 0, 1, 14,           /* length, head size, version, type */
        0x11, 0x11, 0, 0, 0,  0, 0, 0,            /* cluster */
        0x22, 0x22, 0, 0, 0,  0, 0, 0,            /* group */
        3,    0,    0, 0, 0,  0, 0, 0,            /* from */
        4,    0,    0, 0, 0,  0, 0, 0,            /* to */
        6,    5,    0, 0, 0,  0, 0, 0,            /* term */
        0,    0,    0, 0, 0,  0, 0, 0,            /* level, reserved, exempt */
        8,    0,    0, 0, 9,  0, 0, 0,  'h', 'i', /* body, tail */
    };
    cr_assert_eq(message.size, 8 + sizeof golden);
    cr_assert_arr_eq(message.data + 8, golden, sizeof golden);
    cr_assert_eq(kvr__load_u64(message.data), kvr__xxh3_64(golden, sizeof golden));
}

/* FAULTS 40: every byte of every body is written, at the place that kvraft-message(5) says. */
Test(raft_message, body_bytes_are_pinned)
{
    uint8_t out[64];
#define EXPECT(...)                                      \
    do {                                                 \
        const uint8_t golden[] = {__VA_ARGS__};          \
        cr_assert_eq(kvr__load_u16(out), sizeof golden); \
        cr_assert_arr_eq(out, golden, sizeof golden);    \
        memset(out, 0xEE, sizeof out);                   \
    } while (0)
    memset(out, 0xEE, sizeof out);
    kvr__raft_message_write_vote(out, &(kvr__raft_vote){2, 3, 4, 1, 5});
    EXPECT(32, 0, 1, 0, 4, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0, 5, 0, 0, 0, 0,
           0, 0, 0);
    kvr__raft_message_write_vote_reply(out, &(kvr__raft_vote_reply){5, 1});
    EXPECT(16, 0, 1, 0, 0, 0, 0, 0, 5, 0, 0, 0, 0, 0, 0, 0);
    kvr__raft_message_write_append(out, &(kvr__raft_append){2, 3, 4, 5, 6, 7, 0});
    EXPECT(48, 0, 0, 0, 7, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0, 4, 0, 0, 0, 0,
           0, 0, 0, 5, 0, 0, 0, 0, 0, 0, 0, 6, 0, 0, 0, 0, 0, 0, 0);
    kvr__raft_message_write_append_reply(out, &(kvr__raft_append_reply){2, 3, 4, 5, 6, 7, 1});
    EXPECT(56, 0, 1, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0, 4, 0, 0, 0, 0,
           0, 0, 0, 5, 0, 0, 0, 0, 0, 0, 0, 6, 0, 0, 0, 0, 0, 0, 0, 7, 0, 0, 0, 0, 0, 0, 0);
    kvr__raft_message_write_heartbeat(out, &(kvr__raft_heartbeat){2, 3, 4, 1, 5, 6, 7});
    EXPECT(56, 0, 1, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0, 4, 0, 0, 0, 0,
           0, 0, 0, 5, 0, 0, 0, 0, 0, 0, 0, 6, 0, 0, 0, 0, 0, 0, 0, 7, 0, 0, 0, 0, 0, 0, 0);
    kvr__raft_message_write_heartbeat_reply(out, &(kvr__raft_heartbeat_reply){2, 3, 4, 2, 9, 5});
    EXPECT(40, 0, 2, 0, 9, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0, 4, 0, 0, 0, 0,
           0, 0, 0, 5, 0, 0, 0, 0, 0, 0, 0);
    kvr__raft_message_write_snapshot(
        out, &(kvr__raft_snapshot_chunk){
                 {2, 3, 4, {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16}, {NULL, 0}},
                 5,
                 6,
                 1});
    EXPECT(64, 0, 1, 0, 6, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0, 4, 0, 0, 0, 0,
           0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 5, 0, 0, 0, 0, 0, 0, 0,
           0, 0, 0, 0, 0, 0, 0, 0);
    kvr__raft_message_write_snapshot_reply(out, &(kvr__raft_snapshot_reply){2, 3, 4, 5, 1});
    EXPECT(40, 0, 1, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0, 4, 0, 0, 0, 0,
           0, 0, 0, 5, 0, 0, 0, 0, 0, 0, 0);
    kvr__raft_message_write_forward(out, 3);
    EXPECT(8, 0, 0, 0, 3, 0, 0, 0);
    kvr__raft_message_write_read(out, &(kvr__raft_read_context){2, 3}, 1);
    EXPECT(24, 0, 1, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0);
    kvr__raft_message_write_read_reply(out, &(kvr__raft_read_context){2, 3}, 4, 1);
    EXPECT(32, 0, 1, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0, 4, 0, 0, 0, 0,
           0, 0, 0);
    kvr__raft_message_write_transfer(out, 2);
    EXPECT(16, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0);
#undef EXPECT
}

Test(raft_message, bodies_come_back_as_they_were)
{
    uint8_t body[64];
    kvr__raft_append append = {1, 2, 3, 4, 5, 6, 7};
    kvr__raft_append append_out;
    kvr__raft_message_write_append(body, &append);
    kvr__raft_message_read_append(body, &append_out);
    cr_assert(memcmp(&append, &append_out, offsetof(kvr__raft_append, flags) + 2) == 0);

    kvr__raft_append_reply reply = {1, 2, 3, 4, 5, 6, 7};
    kvr__raft_append_reply reply_out;
    kvr__raft_message_write_append_reply(body, &reply);
    kvr__raft_message_read_append_reply(body, &reply_out);
    cr_assert(memcmp(&reply, &reply_out, offsetof(kvr__raft_append_reply, flags) + 2) == 0);

    kvr__raft_snapshot_chunk chunk = {.meta = {.index = 1, .term = 2, .bytes = 3, .hash = {9, 8}},
                                      .offset = 4,
                                      .configuration_size = 5,
                                      .flags = 6};
    kvr__raft_snapshot_chunk chunk_out;
    kvr__raft_message_write_snapshot(body, &chunk);
    kvr__raft_message_read_snapshot(body, &chunk_out);
    cr_assert_eq(chunk_out.meta.bytes, 3);
    cr_assert_eq(chunk_out.offset, 4);
    cr_assert_eq(chunk_out.configuration_size, 5);
    cr_assert_arr_eq(chunk.meta.hash, chunk_out.meta.hash, 16);
}

Test(raft_message, body_and_tail_are_found)
{
    uint8_t body[KVR__RAFT_POST_SIZE];
    kvr__raft_message_write_post(body, 9);
    kvr__raft_message message;

    cr_assert_eq(kvr__raft_message_read(make(KVR__RAFT_POST, body, sizeof body, "tail"), &message),
                 KVR_OK);

    cr_assert_eq(message.head.term, 0x0506);
    cr_assert_eq(kvr__raft_message_read_post(message.body), 9);
    cr_assert_eq(message.tail.size, 4);
    cr_assert(memcmp(message.tail.data, "tail", 4) == 0);
}

/* A later version may make a body longer: what we do not know of it is skipped. */
Test(raft_message, unknown_optional_fields_are_skipped)
{
    uint8_t body[KVR__RAFT_POST_SIZE + 4] = {0};
    kvr__raft_message_write_post(body, 9);
    body[0] = sizeof body;
    kvr__raft_message message;

    cr_assert_eq(kvr__raft_message_read(make(KVR__RAFT_POST, body, sizeof body, "tail"), &message),
                 KVR_OK);

    cr_assert_eq(message.tail.size, 4);
    cr_assert(memcmp(message.tail.data, "tail", 4) == 0);
}

Test(raft_message, one_flipped_bit_anywhere_is_noticed)
{
    uint8_t body[KVR__RAFT_HEARTBEAT_SIZE];
    kvr__raft_message_write_heartbeat(body, &(kvr__raft_heartbeat){2, 3, 4, 1, 5, 6, 7});
    kvr_slice message = make(KVR__RAFT_HEARTBEAT, body, sizeof body, "");
    kvr__raft_message out;
    for (size_t bit = 0; bit < message.size * 8; bit++) {
        bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
        cr_assert_neq(kvr__raft_message_read(message, &out), KVR_OK, "bit %zu", bit);
        bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    cr_assert_eq(kvr__raft_message_read(message, &out), KVR_OK);
}

/* Only an append may leave its tail out of the checksum, and then all of it. */
Test(raft_message, only_entries_are_exempt_from_the_checksum)
{
    uint8_t body[KVR__RAFT_APPEND_SIZE];
    kvr__raft_message_write_append(body, &(kvr__raft_append){.entry_count = 1});
    kvr__raft_message out;
    kvr_slice message = make(KVR__RAFT_APPEND, body, sizeof body, "entries");
    cr_assert_eq(kvr__raft_message_read(message, &out), KVR_ECORRUPT);
    for (uint32_t exempt = 0; exempt < 200; exempt++) {
        kvr__raft_message_exempt(bytes, exempt);
        if (exempt <= message.size - 8) {
            kvr__raft_message_seal(bytes, (uint32_t)message.size);
        }
        cr_assert_eq(kvr__raft_message_read(message, &out), exempt == 7 ? KVR_OK : KVR_ECORRUPT);
    }

    message = make(KVR__RAFT_POST, body, sizeof body, "tail");
    kvr__raft_message_exempt(bytes, 4);
    kvr__raft_message_seal(bytes, (uint32_t)message.size);
    cr_assert_eq(kvr__raft_message_read(message, &out), KVR_ECORRUPT);
}

/* FAULTS 79: and no more than its limit. */
Test(raft_message, peek_tells_how_much_is_needed)
{
    uint8_t body[KVR__RAFT_POST_SIZE];
    kvr__raft_message_write_post(body, 9);
    kvr_slice whole = make(KVR__RAFT_POST, body, sizeof body, "tail");
    kvr_message_info info;
    for (size_t size = 0; size < whole.size; size++) {
        kvr_slice part = {whole.data, size};
        cr_assert_eq(kvr_message_peek(&part, 1000, &info), KVR_END);
        cr_assert_eq(info.length, size < 16 ? 0 : whole.size);
    }
    cr_assert_eq(kvr_message_peek(&whole, 1000, &info), KVR_OK);
    cr_assert_eq(info.to, 4);
    cr_assert_eq(info.type, KVR__RAFT_POST);
    cr_assert_eq(kvr_message_peek(&whole, (uint32_t)whole.size - 1, &info), KVR_ETOOBIG);
    bytes[14] = 2;
    cr_assert_eq(kvr_message_peek(&whole, 1000, &info), KVR_EVERSION);
    bytes[14] = 1;
    bytes[12] = 63;
    cr_assert_eq(kvr_message_peek(&whole, 1000, &info), KVR_ECORRUPT);
    cr_assert_eq(kvr_message_head_size(), 64);
}

Test(raft_message, a_type_of_a_later_version_is_refused_as_such)
{
    uint8_t body[64] = {64};
    kvr__raft_message out;

    cr_assert_eq(kvr__raft_message_read(make(0, body, 64, ""), &out), KVR_EVERSION);
    cr_assert_eq(kvr__raft_message_read(make(KVR__RAFT_TYPES, body, 64, ""), &out), KVR_EVERSION);
    cr_assert_eq(kvr__raft_message_read(make(200, body, 64, ""), &out), KVR_EVERSION);
}

/* A body that is cut, or lies about its size, is refused for every type. */
Test(raft_message, short_bodies_are_refused)
{
    uint8_t body[64] = {0};
    kvr__raft_message out;
    for (uint32_t type = 1; type < KVR__RAFT_TRANSFER; type++) {
        for (uint8_t size = 0; size < 8; size++) {
            body[0] = size;
            cr_assert_eq(kvr__raft_message_read(make((uint8_t)type, body, 64, ""), &out),
                         KVR_ECORRUPT);
        }
        body[0] = 65;
        cr_assert_eq(kvr__raft_message_read(make((uint8_t)type, body, 64, ""), &out), KVR_ECORRUPT);
        body[0] = 7;
        cr_assert_eq(kvr__raft_message_read(make((uint8_t)type, body, 7, ""), &out), KVR_ECORRUPT);
    }
}

/* FAULTS 38, 147: anything that arrives at a member that is at work, sealed as its peers would: no
 * crash, no assertion, and nothing that is committed changes. */
Test(raft_message, sealed_nonsense_does_a_live_member_no_harm)
{
    static cluster c;
    kvr__random random;
    kvr__random_init(&random, 3);
    cluster_init(&c);
    cluster_add(&c, 3, NULL, NULL);
    cluster_elect(&c, 1);
    cr_assert_eq(cluster_propose(&c, 1, "a"), KVR_OK);
    cluster_stabilize(&c);

    for (int round = 0; round < 200000; round++) {
        uint8_t body[160];
        uint8_t type = (uint8_t)kvr__random_below(&random, 18);
        size_t size = 8 + (size_t)kvr__random_below(&random, sizeof body - 8);
        for (size_t i = 0; i < size; i++) {
            body[i] = (uint8_t)(kvr__random_below(&random, 3) == 0 ? kvr__random_next(&random)
                                                                   : kvr__random_below(&random, 3));
        }
        body[0] = (uint8_t)(kvr__random_below(&random, 4) == 0 ? body[0] : size & ~(size_t)7);
        body[1] = 0;
        uint64_t to = 1 + kvr__random_below(&random, 3);
        uint64_t from = 1 + kvr__random_below(&random, 4);
        uint64_t term = cluster_status(&c, to).term + kvr__random_below(&random, 20) / 19;
        kvr_slice message =
            cluster_forge(&(cluster_forged){from, to, term, type, {body, size}, {NULL, 0}});

        kvr_status status = kvr_raft_receive(cluster_at(&c, to)->raft, &message);

        cr_assert(!kvr_status_is_fatal(status));
        if (round % 8 == 0) {
            cluster_run(&c, to);
            cluster_drop(&c, (cluster_filter){0});
        }
        cr_assert_geq(cluster_status(&c, to).commit_index, 2);
    }
    for (uint64_t id = 1; id <= 3; id++) {
        cr_assert(strncmp(cluster_at(&c, id)->text, "a ", 2) == 0);
    }
    cluster_release(&c);
}
