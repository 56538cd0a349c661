/* SPDX-License-Identifier: Apache-2.0 */
/* test_node_stream.c: the envelope of snapshots: read in any pieces it is the same, damaged
 * anywhere it is refused. */
#include "../../../lib/node/node_stream.h"

#include "base/random.h"
#include "support/fault_sweep.h"
#include "support/test_alloc.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static test_alloc alloc;
static kvr__mem mem;
static kvr__stream_bytes stream;

/* What the sink was given, as text. */
static char heard[4096];

static void hear(const char *what)
{
    size_t at = strlen(heard);
    (void)snprintf(heard + at, sizeof heard - at, "%s", what);
}

static uint64_t block_bytes;

static kvr_status on_header(void *ctx, const kvr__stream_header *header)
{
    (void)ctx;
    cr_assert_eq(header->index, 11);
    cr_assert_eq(header->term, 5);
    cr_assert_eq(header->configuration.size, 300);
    hear("header ");
    return KVR_OK;
}

static kvr_status on_section(void *ctx, const kvr__stream_section *section)
{
    (void)ctx;
    if (memcmp(section->name, "other\0\0", 8) == 0) {
        return KVR_ENOTFOUND;
    }
    char name[9] = {0};
    memcpy(name, section->name, 8);
    hear(name);
    hear("( ");
    return KVR_OK;
}

static kvr_status on_block(void *ctx, const kvr_slice *block)
{
    (void)ctx;
    block_bytes += block->size;
    return KVR_OK;
}

static kvr_status on_end(void *ctx)
{
    (void)ctx;
    hear(") ");
    return KVR_OK;
}

static const kvr__stream_sink sink = {on_header, on_section, on_block, on_end};

enum { BLOCKS = 150000 };

static void put_section(const char *name, uint32_t flags, size_t size)
{
    static uint8_t bytes[BLOCKS];
    kvr__stream_sum sum;
    for (size_t i = 0; i < size; i++) {
        bytes[i] = (uint8_t)(i * 7);
    }
    uint32_t before = stream.size;
    cr_assert_eq(kvr__stream_put_section(&mem, &stream, name, 1, &sum), KVR_OK);
    if (flags != 0) {
        uint8_t *body = stream.data + before + KVR__FRAME_HEAD;
        body[4] = (uint8_t)flags;
        kvr__stream_seal(body, KVR__FRAME_SECTION, KVR__SECTION_SIZE);
    }
    cr_assert_eq(kvr__stream_put_block(&mem, &stream, (kvr_slice){bytes, size}, &sum), KVR_OK);
    cr_assert_eq(kvr__stream_put_section_end(&mem, &stream, &sum), KVR_OK);
}

static void make(uint32_t flags_of_other)
{
    static uint8_t configuration[300] = {1, 2, 3};
    kvr__stream_header header = {
        .section_count = 3, .index = 11, .term = 5, .configuration = {configuration, 300}};
    cr_assert_eq(kvr__stream_put_header(&mem, &stream, &header), KVR_OK);
    put_section("node", 0, 1000);
    put_section("other", flags_of_other, 500);
    put_section("mvcc", 0, BLOCKS);
    cr_assert_eq(kvr__stream_put_end(&mem, &stream, stream.size), KVR_OK);
}

static void start(void)
{
    test_alloc_init(&alloc);
    cr_assert_eq(kvr__mem_init(&mem, &test_alloc_table, &alloc), KVR_OK);
    stream = (kvr__stream_bytes){0};
}

static void stop(void)
{
    kvr__stream_bytes_release(&mem, &stream);
    TEST_ALLOC_ASSERT_EMPTY(&alloc);
}

TestSuite(node_stream, .init = start, .fini = stop);

static kvr_status read_in(const uint8_t *bytes, size_t size, size_t piece)
{
    kvr__stream_reader reader;
    kvr_status status = KVR_OK;
    heard[0] = 0;
    block_bytes = 0;
    kvr__stream_reader_init(&reader, &mem, &sink, NULL);
    for (size_t at = 0; at < size && status == KVR_OK; at += piece) {
        kvr_slice next = {bytes + at, size - at < piece ? size - at : piece};
        status = kvr__stream_reader_take(&reader, &next);
    }
    if (status == KVR_OK && !kvr__stream_reader_is_complete(&reader)) {
        status = KVR_ECORRUPT;
    }
    kvr__stream_reader_release(&reader);
    return status;
}

/* FAULTS 68. */
Test(node_stream, pieces_of_any_size_are_the_same_stream)
{
    make(KVR__SECTION_SKIP);
    static const size_t pieces[] = {1,    2,     7,     15,    16,     17,
                                    1000, 65535, 65536, 65552, 100000, 1 << 20};
    for (size_t i = 0; i < sizeof pieces / sizeof pieces[0]; i++) {
        cr_assert_eq(read_in(stream.data, stream.size, pieces[i]), KVR_OK, "%zu", pieces[i]);
        cr_assert_str_eq(heard, "header node( ) mvcc( ) ");
        cr_assert_eq(block_bytes, 1000 + BLOCKS);
    }
}

Test(node_stream, a_section_nobody_knows_is_refused_unless_it_may_be_skipped)
{
    make(0);
    cr_assert_eq(read_in(stream.data, stream.size, 4096), KVR_EVERSION);
}

Test(node_stream, any_damage_and_any_truncation_is_found)
{
    make(KVR__SECTION_SKIP);
    for (size_t at = 0; at < stream.size; at += at < 3000 ? 1 : 997) {
        stream.data[at] ^= 0x04;
        kvr_status status = read_in(stream.data, stream.size, 50000);
        cr_assert(status == KVR_ECORRUPT || status == KVR_EVERSION, "byte %zu: %d", at, status);
        stream.data[at] ^= 0x04;
    }
    for (size_t size = 0; size < stream.size; size += 331) {
        cr_assert_eq(read_in(stream.data, size, 50000), KVR_ECORRUPT);
    }
}

Test(node_stream, nothing_may_follow_the_end)
{
    make(KVR__SECTION_SKIP);
    uint8_t *longer = calloc(1, stream.size + 1);
    cr_assert_not_null(longer);
    memcpy(longer, stream.data, stream.size);
    cr_assert_eq(read_in(longer, stream.size + 1, 4096), KVR_ECORRUPT);
    cr_assert_eq(read_in(longer, stream.size + 1, stream.size + 1), KVR_ECORRUPT);
    free(longer);
}

/* FAULTS 70: a length is believed only up to a limit, and memory is taken for what comes, not what
 * is claimed. */
Test(node_stream, hostile_lengths_are_refused)
{
    make(KVR__SECTION_SKIP);
    uint8_t *frame = stream.data + KVR__STREAM_MARK;
    memset(frame, 0xFF, 4);
    alloc.peak_bytes = alloc.live_bytes;
    cr_assert_eq(read_in(stream.data, stream.size, 4096), KVR_ECORRUPT);
    cr_assert_leq(alloc.peak_bytes, alloc.live_bytes + 2 * KVR__FRAME_BYTES_MAX);
}

Test(node_stream, frames_out_of_place_are_refused)
{
    static uint8_t configuration[300];
    kvr__stream_header header = {
        .section_count = 2, .index = 11, .term = 5, .configuration = {configuration, 300}};
    cr_assert_eq(kvr__stream_put_header(&mem, &stream, &header), KVR_OK);
    uint32_t after_header = stream.size;
    put_section("node", 0, 10);
    cr_assert_eq(kvr__stream_put_end(&mem, &stream, stream.size), KVR_OK);
    cr_assert_eq(read_in(stream.data, stream.size, 4096), KVR_ECORRUPT, "a section is missing");
    stream.size = after_header;
    kvr__stream_sum sum;
    kvr__xxh3_reset(&sum.hash);
    sum.bytes = 0;
    cr_assert_eq(kvr__stream_put_block(&mem, &stream, (kvr_slice){configuration, 9}, &sum), KVR_OK);
    cr_assert_eq(read_in(stream.data, stream.size, 4096), KVR_ECORRUPT, "a block outside");
}

Test(node_stream, reading_survives_a_lack_of_memory)
{
    make(KVR__SECTION_SKIP);
    kvr_status status = KVR_OK;
    FAULT_SWEEP((void)0, status = read_in(stream.data, stream.size, 30000),
                { cr_assert_eq(status, fault_fired() > 0 ? KVR_ENOMEM : KVR_OK); });
}
