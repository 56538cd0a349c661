/* SPDX-License-Identifier: Apache-2.0 */
/* test_base_codec.c: bytes from a peer or a disk may claim any length. */
#include <criterion/criterion.h>

#include "base/codec.h"
#include "base/random.h"

#include <stdio.h>
#include <stdlib.h>

/* FAULTS 88: little-endian on every machine, from any address. */
Test(base_codec, numbers_are_little_endian_at_any_address)
{
    uint8_t bytes[32];
    for (size_t shift = 0; shift < 8; shift++) {
        uint8_t *p = bytes + shift;

        kvr__store_u16(p, 0x0102);
        cr_assert_arr_eq(p, ((uint8_t[]){2, 1}), 2);
        cr_assert_eq(kvr__load_u16(p), 0x0102);

        kvr__store_u32(p, 0x01020304u);
        cr_assert_arr_eq(p, ((uint8_t[]){4, 3, 2, 1}), 4);
        cr_assert_eq(kvr__load_u32(p), 0x01020304u);

        kvr__store_u64(p, 0x0102030405060708u);
        cr_assert_arr_eq(p, ((uint8_t[]){8, 7, 6, 5, 4, 3, 2, 1}), 8);
        cr_assert_eq(kvr__load_u64(p), 0x0102030405060708u);
    }
}

Test(base_codec, what_is_written_is_read)
{
    uint8_t bytes[64];
    kvr__writer writer = kvr__writer_of(bytes, sizeof bytes);
    kvr__write_u8(&writer, 0xfe);
    kvr__write_u16(&writer, 0xfedc);
    kvr__write_u32(&writer, 0xfedcba98u);
    kvr__write_u64(&writer, 0xfedcba9876543210u);
    kvr__write_slice(&writer, (kvr_slice){(const uint8_t *)"key", 3});
    kvr__write_slice(&writer, (kvr_slice){NULL, 0});
    kvr__write_bytes(&writer, (const uint8_t *)"end", 3);
    cr_assert_not(writer.failed);
    cr_assert_eq(writer.at - bytes, 1 + 2 + 4 + 8 + 7 + 4 + 3);

    kvr__reader reader = kvr__reader_of(bytes, (size_t)(writer.at - bytes));
    cr_assert_eq(kvr__read_u8(&reader), 0xfe);
    cr_assert_eq(kvr__read_u16(&reader), 0xfedc);
    cr_assert_eq(kvr__read_u32(&reader), 0xfedcba98u);
    cr_assert_eq(kvr__read_u64(&reader), 0xfedcba9876543210u);
    kvr_slice key = kvr__read_slice(&reader);
    cr_assert_eq(key.size, 3);
    cr_assert_arr_eq(key.data, "key", 3);
    cr_assert_eq(kvr__read_slice(&reader).size, 0);
    cr_assert_arr_eq(kvr__read_bytes(&reader, 3), "end", 3);
    cr_assert_eq(kvr__reader_left(&reader), 0);
    cr_assert_not(reader.failed);
}

/* FAULTS 89: no claimed length may overflow the arithmetic of a bound. */
Test(base_codec, hostile_lengths_fail_and_move_nothing)
{
    static const size_t sizes[] = {9, 100, UINT32_MAX, SIZE_MAX / 2, SIZE_MAX - 1, SIZE_MAX};
    uint8_t bytes[8] = {0};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        kvr__reader reader = kvr__reader_of(bytes, sizeof bytes);
        cr_assert_null(kvr__read_bytes(&reader, sizes[i]));
        cr_assert(reader.failed);
        cr_assert_eq(reader.at, bytes);

        kvr__writer writer = kvr__writer_of(bytes, sizeof bytes);
        cr_assert_null(kvr__write_room(&writer, sizes[i]));
        cr_assert(writer.failed);
        cr_assert_eq(writer.at, bytes);
    }

    /* A slice whose length field says 4 GiB - 1, one too many, and exactly what is there. */
    static const uint32_t claims[] = {UINT32_MAX, 5, 4};
    for (size_t i = 0; i < sizeof claims / sizeof claims[0]; i++) {
        kvr__store_u32(bytes, claims[i]);
        kvr__reader reader = kvr__reader_of(bytes, sizeof bytes);
        kvr_slice slice = kvr__read_slice(&reader);
        cr_assert_eq(reader.failed, claims[i] != 4);
        cr_assert_eq(slice.size, claims[i] == 4 ? 4u : 0u);
    }
}

Test(base_codec, a_failed_reader_stays_failed_and_reads_zeros)
{
    uint8_t bytes[8];
    memset(bytes, 0xff, sizeof bytes);
    kvr__reader reader = kvr__reader_of(bytes, 7);

    cr_assert_eq(kvr__read_u64(&reader), 0);

    cr_assert_eq(kvr__read_u8(&reader), 0);
    cr_assert_eq(kvr__read_u16(&reader), 0);
    cr_assert_eq(kvr__read_u32(&reader), 0);
    cr_assert_null(kvr__read_slice(&reader).data);
    cr_assert_null(kvr__read_bytes(&reader, 0));
    cr_assert(reader.failed);
}

Test(base_codec, a_failed_writer_stays_failed_and_writes_nothing)
{
    uint8_t bytes[8] = {0};
    kvr__writer writer = kvr__writer_of(bytes, 7);

    kvr__write_u64(&writer, UINT64_MAX);
    kvr__write_u8(&writer, 0xff);
    kvr__write_slice(&writer, (kvr_slice){(const uint8_t *)"x", 1});

    cr_assert(writer.failed);
    cr_assert_arr_eq(bytes, ((uint8_t[8]){0}), 8);
}

#if SIZE_MAX > UINT32_MAX
Test(base_codec, a_slice_above_its_length_field_is_not_written)
{
    uint8_t bytes[8] = {0};
    kvr__writer writer = kvr__writer_of(bytes, sizeof bytes);

    kvr__write_slice(&writer, (kvr_slice){bytes, (size_t)UINT32_MAX + 1});

    cr_assert(writer.failed);
    cr_assert_eq(writer.at, bytes);
}
#endif

Test(base_codec, nothing_at_all_is_a_valid_input)
{
    kvr__reader reader = kvr__reader_of(NULL, 0);
    cr_assert_eq(kvr__reader_left(&reader), 0);
    (void)kvr__read_bytes(&reader, 0);
    cr_assert_not(reader.failed);

    cr_assert_eq(kvr__read_u8(&reader), 0);
    cr_assert(reader.failed);

    kvr__writer writer = kvr__writer_of(NULL, 0);
    kvr__write_bytes(&writer, NULL, 0);
    kvr__write_u8(&writer, 1);
    cr_assert(writer.failed);
}

/* Any bytes, read in any order, in a block of exactly their size: under AddressSanitizer one byte
 * too far is a report. */
Test(base_codec, random_reads_of_random_bytes_stay_inside)
{
    enum { SEEDS = 200, READS = 50 };
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        kvr__random random;
        kvr__random_init(&random, seed);
        size_t size = 1 + (size_t)kvr__random_below(&random, 100);
        uint8_t *bytes = malloc(size);
        for (size_t i = 0; i < size; i++) {
            bytes[i] = kvr__random_below(&random, 2) == 0 ? 0 : (uint8_t)kvr__random_next(&random);
        }
        kvr__reader reader = kvr__reader_of(bytes, size);

        uint64_t sum = 0;
        for (int i = 0; i < READS; i++) {
            size_t before = kvr__reader_left(&reader);
            kvr_slice slice = {NULL, 0};
            switch (kvr__random_below(&random, 5)) {
            case 0:
                sum += kvr__read_u8(&reader);
                break;
            case 1:
                sum += kvr__read_u16(&reader);
                break;
            case 2:
                sum += kvr__read_u32(&reader);
                break;
            case 3:
                sum += kvr__read_u64(&reader);
                break;
            default:
                slice = kvr__read_slice(&reader);
                break;
            }
            for (size_t j = 0; j < slice.size; j++) {
                sum += slice.data[j];
            }
            cr_assert_leq(kvr__reader_left(&reader), before, "seed %llu", (unsigned long long)seed);
            cr_assert_leq(reader.at, reader.end, "seed %llu", (unsigned long long)seed);
        }
        free(bytes);
        cr_assert(sum > 0 || reader.failed || size < 8, "seed %llu", (unsigned long long)seed);
    }
}
