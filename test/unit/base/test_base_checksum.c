/* SPDX-License-Identifier: Apache-2.0 */
/* test_base_checksum.c: durable bytes depend on these functions for ever, so their values are
 * pinned to those that xxHash publishes for its own sanity buffer. */
#include <criterion/criterion.h>
#include <kvraft/base.h>

#include "base/codec.h"
#include "support/test_hash.h"

#include <stdlib.h>
#include <string.h>

enum { BUFFER_SIZE = 2048 };

/* xxHash's generator for the buffer of its published test vectors. */
static void fill(uint8_t *buffer)
{
    uint64_t generator = 2654435761u;
    for (size_t i = 0; i < BUFFER_SIZE; i++) {
        buffer[i] = (uint8_t)(generator >> 56);
        generator *= 11400714785074694797u;
    }
}

Test(base_checksum, xxh3_64_gives_the_published_values)
{
    static const struct {
        size_t size;
        uint64_t hash;
    } vectors[] = {
        {0, 0x2D06800538D394C2u},   {1, 0xC44BDFF4074EECDBu},    {6, 0x27B56A84CD2D7325u},
        {12, 0xA713DAF0DFBB77E7u},  {24, 0xA3FE70BF9D3510EBu},   {48, 0x397DA259ECBA1F11u},
        {80, 0xBCDEFBBB2C47C90Au},  {195, 0xCD94217EE362EC3Au},  {403, 0xCDEB804D65C6DEA4u},
        {512, 0x617E49599013CB6Bu}, {2048, 0xDD59E2C3A5F038E0u},
    };
    uint8_t buffer[BUFFER_SIZE];
    fill(buffer);

    for (size_t i = 0; i < sizeof vectors / sizeof vectors[0]; i++) {
        cr_assert_eq(kvr__xxh3_64(buffer, vectors[i].size), vectors[i].hash, "size %zu",
                     vectors[i].size);
        cr_assert_eq(kvr__xxh3_64_seed(buffer, vectors[i].size, 0), vectors[i].hash);
        cr_assert_neq(kvr__xxh3_64_seed(buffer, vectors[i].size, 1), vectors[i].hash);
    }
}

Test(base_checksum, xxh3_128_gives_the_published_values_low_half_first)
{
    static const struct {
        size_t size;
        uint64_t low;
        uint64_t high;
    } vectors[] = {
        {0, 0x6001C324468D497Fu, 0x99AA06D3014798D8u},
        {1, 0xC44BDFF4074EECDBu, 0xA6CD5E9392000F6Au},
        {6, 0x3E7039BDDA43CFC6u, 0x082AFE0B8162D12Au},
        {12, 0x061A192713F69AD9u, 0x6E3EFD8FC7802B18u},
        {24, 0x1E7044D28B1B901Du, 0x0CE966E4678D3761u},
        {81, 0x5E8BAFB9F95FB803u, 0x4952F58181AB0042u},
        {222, 0xF1AEBD597CEC6B3Au, 0x337E09641B948717u},
    };
    uint8_t buffer[BUFFER_SIZE];
    fill(buffer);

    for (size_t i = 0; i < sizeof vectors / sizeof vectors[0]; i++) {
        uint8_t hash[16];
        test_xxh3_128(buffer, vectors[i].size, hash);
        cr_assert_eq(kvr__load_u64(hash), vectors[i].low, "size %zu", vectors[i].size);
        cr_assert_eq(kvr__load_u64(hash + 8), vectors[i].high, "size %zu", vectors[i].size);
    }
}

/* FAULTS 88: the state may stand at any address; under UndefinedBehaviorSanitizer a misaligned
 * access is a report. */
Test(base_checksum, streaming_in_any_pieces_at_any_address_is_the_same)
{
    uint8_t buffer[BUFFER_SIZE];
    fill(buffer);
    uint8_t whole[16];
    test_xxh3_128(buffer, sizeof buffer, whole);
    uint8_t *block = malloc(sizeof(kvr__xxh3) + 64);

    for (size_t piece = 1; piece < 300; piece += 7) {
        kvr__xxh3 *state = (kvr__xxh3 *)(void *)(block + piece % 64);
        kvr__xxh3_reset(state);
        for (size_t at = 0; at < sizeof buffer; at += piece) {
            size_t left = sizeof buffer - at;
            kvr__xxh3_update(state, buffer + at, left < piece ? left : piece);
        }

        uint8_t hash[16];
        kvr__xxh3_digest_128(state, hash);
        cr_assert_arr_eq(hash, whole, 16, "pieces of %zu", piece);
        cr_assert_eq(kvr__xxh3_digest_64(state), kvr__xxh3_64(buffer, sizeof buffer));
    }
    free(block);
}

/* What a host hashes by base.h is what storage verifies a snapshot by. */
Test(base_checksum, the_public_hash_is_that_of_snapshots)
{
    uint8_t buffer[BUFFER_SIZE];
    uint8_t whole[16];
    uint8_t hash[16];
    kvr_hash state;
    fill(buffer);
    test_xxh3_128(buffer, sizeof buffer, whole);

    kvr_hash_init(&state);
    for (size_t at = 0; at < sizeof buffer; at += 100) {
        size_t left = sizeof buffer - at;
        kvr_slice piece = {buffer + at, left < 100 ? left : 100};
        kvr_slice nothing = {NULL, 0};
        kvr_hash_update(&state, &piece);
        kvr_hash_update(&state, &nothing);
    }
    kvr_hash_digest(&state, hash);
    cr_assert_arr_eq(hash, whole, 16);

    kvr_hash_init(&state);
    kvr_hash_digest(&state, hash);
    test_xxh3_128(buffer, 0, whole);
    cr_assert_arr_eq(hash, whole, 16);
}
