/* SPDX-License-Identifier: Apache-2.0 */
/* test_base_entry.c: entry headers, whose bytes may come from a peer or a disk. */
#include <criterion/criterion.h>

#include "base/checksum.h"
#include "base/codec.h"
#include "base/entry.h"

static const uint8_t command[] = "put a b";
enum { SIZE = KVR_ENTRY_HEADER_SIZE + sizeof command };

static void make_entry(uint8_t out[SIZE])
{
    const kvr_entry entry = {
        .index = 0x0102030405060708u,
        .term = 9,
        .lease_clock = 10,
        .command_checksum = kvr__xxh3_64(command, sizeof command),
        .flags = 0x11121314u,
        .kind = KVR_ENTRY_COMMAND,
        .command = {command, sizeof command},
    };
    kvr__entry_write_header(out, &entry);
    memcpy(out + KVR_ENTRY_HEADER_SIZE, command, sizeof command);
}

static void seal_header(uint8_t *bytes, size_t header_size)
{
    kvr__store_u64(bytes + header_size - 8, kvr__xxh3_64(bytes, header_size - 8));
}

Test(base_entry, is_laid_out_as_host_h_says)
{
    uint8_t bytes[SIZE];
    make_entry(bytes);

    cr_assert_eq(kvr__load_u16(bytes), 56);
    cr_assert_eq(bytes[2], 1);
    cr_assert_eq(bytes[3], KVR_ENTRY_COMMAND);
    cr_assert_eq(kvr__load_u32(bytes + 4), 0x11121314u);
    cr_assert_arr_eq(bytes + 8, ((uint8_t[]){8, 7, 6, 5, 4, 3, 2, 1}), 8);
    cr_assert_eq(kvr__load_u64(bytes + 16), 9);
    cr_assert_eq(kvr__load_u64(bytes + 24), 10);
    cr_assert_eq(kvr__load_u32(bytes + 32), sizeof command);
    cr_assert_eq(kvr__load_u32(bytes + 36), 0);
    cr_assert_eq(kvr__load_u64(bytes + 40), kvr__xxh3_64(command, sizeof command));
    cr_assert_eq(kvr__load_u64(bytes + 48), kvr__xxh3_64(bytes, 48));
}

Test(base_entry, what_is_written_is_read)
{
    uint8_t bytes[SIZE + 5];
    make_entry(bytes);
    kvr_entry entry;

    cr_assert_eq(kvr__entry_read((kvr_slice){bytes, sizeof bytes}, true, &entry), KVR_OK);

    cr_assert_eq(entry.index, 0x0102030405060708u);
    cr_assert_eq(entry.term, 9);
    cr_assert_eq(entry.lease_clock, 10);
    cr_assert_eq(entry.flags, 0x11121314u);
    cr_assert_eq(entry.kind, KVR_ENTRY_COMMAND);
    cr_assert_eq(entry.command.data, bytes + KVR_ENTRY_HEADER_SIZE);
    cr_assert_eq(entry.command.size, sizeof command);
    cr_assert_eq(entry.bytes.data, bytes);
    cr_assert_eq(entry.bytes.size, SIZE);
    cr_assert_null(entry.buffer);
}

/* One flipped bit anywhere is noticed; in the command only by those who ask: a witness cannot. */
Test(base_entry, each_flipped_bit_is_noticed)
{
    uint8_t bytes[SIZE];
    make_entry(bytes);
    kvr_slice slice = {bytes, SIZE};
    kvr_entry entry = {.index = 77};

    for (size_t bit = 0; bit < (size_t)SIZE * 8; bit++) {
        bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
        cr_assert_neq(kvr__entry_read(slice, true, &entry), KVR_OK, "bit %zu", bit);
        cr_assert_eq(entry.index, 77);
        bool in_command = bit / 8 >= KVR_ENTRY_HEADER_SIZE;
        kvr_entry loose;
        cr_assert_eq(kvr__entry_read(slice, false, &loose) == KVR_OK, in_command, "bit %zu", bit);
        bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    cr_assert_eq(kvr__entry_read(slice, true, &entry), KVR_OK);
}

Test(base_entry, every_shorter_piece_says_that_it_ends)
{
    uint8_t bytes[SIZE];
    make_entry(bytes);
    kvr_entry entry;

    for (size_t size = 0; size < SIZE; size++) {
        cr_assert_eq(kvr__entry_read((kvr_slice){bytes, size}, true, &entry), KVR_END);
    }
}

/* FAULTS 89: whoever can make a checksum can claim any size. */
Test(base_entry, hostile_sizes_stay_inside)
{
    uint8_t bytes[SIZE];
    kvr_entry entry;
    static const uint32_t command_sizes[] = {sizeof command + 1, INT32_MAX, UINT32_MAX - 56,
                                             UINT32_MAX};
    for (size_t i = 0; i < sizeof command_sizes / sizeof command_sizes[0]; i++) {
        make_entry(bytes);
        kvr__store_u32(bytes + 32, command_sizes[i]);
        seal_header(bytes, KVR_ENTRY_HEADER_SIZE);
        cr_assert_eq(kvr__entry_read((kvr_slice){bytes, SIZE}, false, &entry), KVR_END);
    }

    for (uint32_t size = 0; size <= UINT16_MAX; size++) {
        make_entry(bytes);
        kvr__store_u16(bytes, (uint16_t)size);
        kvr_status expected = size == 56 ? KVR_OK : KVR_ECORRUPT;
        if (size > SIZE && size <= 256) { /* it may still be a header of a later release */
            expected = KVR_END;
        }
        cr_assert_eq(kvr__entry_read((kvr_slice){bytes, SIZE}, false, &entry), expected);
    }
}

/* Unknown optional fields are skipped, a newer version is refused; both headers verify. */
Test(base_entry, longer_headers_are_read_and_newer_versions_refused)
{
    uint8_t bytes[SIZE + 16];
    make_entry(bytes);
    kvr__store_u16(bytes, KVR_ENTRY_HEADER_SIZE + 16);
    memset(bytes + 48, 0xee, 16);
    seal_header(bytes, KVR_ENTRY_HEADER_SIZE + 16);
    memcpy(bytes + KVR_ENTRY_HEADER_SIZE + 16, command, sizeof command);
    kvr_entry entry;

    cr_assert_eq(kvr__entry_read((kvr_slice){bytes, sizeof bytes}, true, &entry), KVR_OK);
    cr_assert_eq(entry.command.data, bytes + KVR_ENTRY_HEADER_SIZE + 16);
    cr_assert_eq(entry.bytes.size, sizeof bytes);

    bytes[2] = 2;
    cr_assert_eq(kvr__entry_read((kvr_slice){bytes, sizeof bytes}, true, &entry), KVR_ECORRUPT);
    seal_header(bytes, KVR_ENTRY_HEADER_SIZE + 16);
    cr_assert_eq(kvr__entry_read((kvr_slice){bytes, sizeof bytes}, true, &entry), KVR_EVERSION);
}

/* A witness keeps the header alone; the leader's header can be had back from it bit by bit. */
Test(base_entry, a_stub_verifies_without_its_command_and_gives_the_header_back)
{
    uint8_t whole[KVR_ENTRY_HEADER_SIZE + 5];
    uint8_t stub[KVR_ENTRY_HEADER_SIZE];
    kvr_entry entry = {.index = 7,
                       .term = 3,
                       .lease_clock = 9,
                       .command_checksum = kvr__xxh3_64((const uint8_t *)"hello", 5),
                       .kind = KVR_ENTRY_COMMAND,
                       .command = {(const uint8_t *)"hello", 5}};
    kvr__entry_write_header(whole, &entry);
    memcpy(whole + KVR_ENTRY_HEADER_SIZE, "hello", 5);

    cr_assert_eq(kvr__entry_stub_size(whole), sizeof stub);
    kvr__entry_stub_write(stub, whole);

    kvr_entry read;
    cr_assert_eq(kvr__entry_read((kvr_slice){stub, sizeof stub}, true, &read), KVR_OK);
    cr_assert_eq(read.index, 7);
    cr_assert_eq(read.flags, KVR_ENTRY_STUB);
    cr_assert_eq(read.command.size, 0);
    cr_assert_eq(read.command_checksum, entry.command_checksum);
    cr_assert_eq(kvr__load_u32(stub + 36), 5);
    kvr_entry back = read;
    back.flags = 0;
    back.command.size = kvr__load_u32(stub + 36);
    uint8_t header[KVR_ENTRY_HEADER_SIZE];
    kvr__entry_write_header(header, &back);
    cr_assert(memcmp(header, whole, sizeof header) == 0);

    uint8_t again[KVR_ENTRY_HEADER_SIZE]; /* a stub of a stub is the stub */
    cr_assert_eq(kvr__entry_stub_size(stub), sizeof again);
    kvr__entry_stub_write(again, stub);
    cr_assert(memcmp(again, stub, sizeof stub) == 0);
}

/* The flag on anything but a command that is gone is damage. */
Test(base_entry, a_stub_that_holds_something_is_refused)
{
    uint8_t bytes[KVR_ENTRY_HEADER_SIZE + 1] = {0};
    kvr_entry entry = {.index = 1, .term = 1, .kind = KVR_ENTRY_NOOP, .flags = KVR_ENTRY_STUB};
    kvr_entry read;
    kvr__entry_write_header(bytes, &entry);
    cr_assert_eq(kvr__entry_read((kvr_slice){bytes, sizeof bytes}, true, &read), KVR_ECORRUPT);
    entry.kind = KVR_ENTRY_COMMAND;
    entry.command = (kvr_slice){bytes + KVR_ENTRY_HEADER_SIZE, 1};
    kvr__entry_write_header(bytes, &entry);
    cr_assert_eq(kvr__entry_read((kvr_slice){bytes, sizeof bytes}, true, &read), KVR_ECORRUPT);
}
