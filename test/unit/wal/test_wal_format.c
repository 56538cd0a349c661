/* SPDX-License-Identifier: Apache-2.0 */
/* test_wal_format.c: the byte tables of kvraft-wal(5), and a golden store: what this release writes
 * must stay readable, so its bytes are pinned. */
#include <criterion/criterion.h>

#include "base/checksum.h"
#include "base/codec.h"
#include "wal/wal_format.h"
#include "wal_world.h"

#include <string.h>

static uint8_t head[KVR__WAL_HEAD_SIZE];
static const kvr_slice bytes = {head, sizeof head};

static void expect_ends(const char *magic, uint8_t kind, uint64_t seed)
{
    cr_assert_eq(memcmp(head, magic, 4), 0);
    cr_assert_eq(kvr__load_u16(head + 4), 128);
    cr_assert_eq(head[6], 1);
    cr_assert_eq(head[7], kind);
    cr_assert_eq(kvr__load_u64(head + 120), kvr__xxh3_64_seed(head, 120, seed));
}

static void expect_u64s(const size_t *offsets, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        cr_assert_eq(kvr__load_u64(head + offsets[i]), i + 1, "offset %zu", offsets[i]);
    }
}

#define EXPECT_U64S(...)                                             \
    do {                                                             \
        const size_t offsets_[] = {__VA_ARGS__};                     \
        expect_u64s(offsets_, sizeof offsets_ / sizeof offsets_[0]); \
    } while (0)

Test(wal_format, a_segment_head_is_as_the_page_says)
{
    kvr__wal_segment_head out, in = {1, 2, 3, 4, 5, 6, 7, 8, 9};
    kvr__wal_segment_head_write(head, &in, 99);
    expect_ends("KVRS", 0, 99);
    EXPECT_U64S(8, 16, 24, 32, 40, 48, 56, 64, 72);
    cr_assert_eq(kvr__wal_segment_head_read(bytes, 2, 99, &out), KVR_OK);
    cr_assert_eq(memcmp(&in, &out, sizeof in), 0);
    cr_assert_eq(kvr__wal_segment_head_read(bytes, 2, 98, &out), KVR_ECORRUPT, "of another store");
    in.offset = 0;
    kvr__wal_segment_head_write(head, &in, 99);
    expect_ends("KVRS", 0, 0);
    cr_assert_eq(kvr__wal_segment_head_read(bytes, 0, 98, &out), KVR_OK, "whose it is, it tells");
}

Test(wal_format, a_record_head_is_as_the_page_says)
{
    kvr__wal_record out, in = {.kind = KVR__WAL_RESET,
                               .head_size = KVR__WAL_HEAD_SIZE,
                               .entry_count = 77,
                               .body_size = 1,
                               .segment_id = 2,
                               .offset = 8 * 3,
                               .sequence = 4,
                               .previous_checksum = 5,
                               .durable_sequence = 3,
                               .group_id = 7,
                               .member_id = 8,
                               .first_index = 9,
                               .log_first = 10,
                               .snapshot_index = 11,
                               .vote_sequence = 12,
                               .body_checksum = 13};
    kvr__wal_record_write(head, &in, 99);
    expect_ends("KVRR", KVR__WAL_RESET, 99);
    const size_t offsets[] = {16, 24, 32, 40, 48, 56, 64, 72, 80, 88, 96, 104, 112};
    const uint64_t values[] = {1, 2, 24, 4, 5, 3, 7, 8, 9, 10, 11, 12, 13};
    for (size_t i = 0; i < sizeof values / sizeof values[0]; i++) {
        cr_assert_eq(kvr__load_u64(head + offsets[i]), values[i], "offset %zu", offsets[i]);
    }
    cr_assert_eq(kvr__load_u32(head + 12), 77);
    cr_assert_eq(kvr__wal_record_read(bytes, 99, &out), KVR_OK);
    cr_assert_eq(out.checksum, in.checksum);
    cr_assert_eq(out.body_checksum, 13);
    cr_assert_eq(kvr__wal_record_read(bytes, 98, &out), KVR_ECORRUPT, "of another store");
}

Test(wal_format, a_vote_is_as_the_page_says)
{
    kvr__wal_vote out, in = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, KVR__WAL_STORE_OF_MANY, {0}};
    kvr__wal_vote_write(head, &in);
    expect_ends("KVRV", KVR__WAL_STORE_OF_MANY, 0);
    EXPECT_U64S(8, 16, 24, 32, 40, 48, 56, 64, 72, 80);
    cr_assert_eq(kvr__wal_vote_read(bytes, &out), KVR_OK);
    cr_assert_eq(memcmp(&in, &out, sizeof in), 0);
}

Test(wal_format, a_snapshot_is_as_the_page_says)
{
    kvr__wal_snapshot_head out, in = {1, 2, 3, 4, 5, 6, 65536, 0};
    kvr__wal_snapshot_head_write(head, &in);
    expect_ends("KVRP", 0, 0);
    EXPECT_U64S(8, 16, 24, 32, 40, 48);
    cr_assert_eq(kvr__load_u32(head + 56), 65536);
    cr_assert_eq(kvr__wal_snapshot_head_read(bytes, &out), KVR_OK);
    cr_assert_eq(memcmp(&in, &out, sizeof in), 0);

    kvr__wal_snapshot_tail tail_out, tail = {1, 2, 3, 4, 5, "0123456789abcde"};
    kvr__wal_snapshot_tail_write(head, &tail);
    expect_ends("KVRT", 0, 0);
    EXPECT_U64S(8, 16, 24, 32, 40);
    cr_assert_eq(memcmp(head + 48, tail.hash, 16), 0);
    cr_assert_eq(kvr__wal_snapshot_tail_read(bytes, &tail_out), KVR_OK);
    cr_assert_eq(memcmp(&tail, &tail_out, sizeof tail), 0);
}

/* FAULTS 79: what is cut short, longer than it may be, or of another magic is no head. */
Test(wal_format, a_head_is_believed_only_whole)
{
    kvr__wal_vote vote = {.sequence = 1}, out;
    kvr__wal_vote_write(head, &vote);
    for (size_t size = 0; size < sizeof head; size++) {
        cr_assert_eq(kvr__wal_vote_read((kvr_slice){head, size}, &out), KVR_END);
    }
    for (size_t at = 4; at < sizeof head; at++) {
        head[at] ^= 0x80;
        cr_assert_neq(kvr__wal_vote_read(bytes, &out), KVR_OK, "byte %zu", at);
        head[at] ^= 0x80;
    }
    uint8_t longer[KVR__WAL_HEAD_SIZE + 8] = {0};
    memcpy(longer, head, 120);
    kvr__store_u16(longer + 4, sizeof longer);
    kvr__store_u64(longer + 128, kvr__xxh3_64(longer, 128));
    cr_assert_eq(kvr__wal_vote_read((kvr_slice){longer, sizeof longer}, &out), KVR_OK,
                 "fields of a later release are skipped");
    cr_assert_eq(out.sequence, 1);
}

Test(wal_format, names_read_back_as_they_were_written)
{
    uint64_t number = 0, term = 0;
    cr_assert_str_eq(kvr__wal_name_log(0xABC).text, "wal-0000000000000abc.log");
    cr_assert(kvr__wal_name_is_log("wal-0000000000000abc.log", &number));
    cr_assert_eq(number, 0xABC);
    cr_assert_not(kvr__wal_name_is_log("wal-0000000000000ABC.log", &number));
    cr_assert_not(kvr__wal_name_is_log("wal-0000000000000abc.logs", &number));
    cr_assert_not(kvr__wal_name_is_log("ready-0000000000000abc.log", &number));
    cr_assert(kvr__wal_name_is_ready("ready-0000000000000001.log", &number));
    cr_assert(
        kvr__wal_name_is_snapshot("snapshot-0000000000000002-0000000000000003", &number, &term));
    cr_assert_eq(number, 2);
    cr_assert_eq(term, 3);
    cr_assert_not(kvr__wal_name_is_snapshot("snapshot-0000000000000002", &number, &term));
}

/* FAULTS 88: the same requests make the same bytes with every compiler, on every machine, in every
 * release of this format version. If this fails, the format has changed: raise its version, keep
 * reading the old. */
Test(wal_format, a_golden_store_stays_as_it_is)
{
    static wal_world world;
    wal_world_init(&world);
    wal_world_open(&world);
    cr_assert_eq(wal_world_vote(&world, 1, 2), KVR_OK);
    for (uint32_t i = 0; i < 12; i++) {
        wal_world_grow(&world, 1 + i % 5, 1);
    }
    cr_assert_eq(wal_world_snapshot(&world, 20, KVR_SNAPSHOT_LOCAL, 5000), KVR_OK);
    cr_assert_eq(wal_world_discard(&world, 18, false), KVR_OK);
    wal_world_maintain(&world);
    cr_assert_eq(wal_world_append(&world, 30, 3, 2), KVR_OK);
    wal_world_close(&world);
    cr_assert_eq(wal_disk_hash(world.disk), UINT64_C(0x2880c53452ddbc6d), "the hash is now 0x%llx",
                 (unsigned long long)wal_disk_hash(world.disk));
    wal_world_release(&world);
}
