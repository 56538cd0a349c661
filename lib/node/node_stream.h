/* SPDX-License-Identifier: Apache-2.0 */
/* node_stream.h: the envelope of a snapshot as bytes, as kvraft-snapshot(5) says: a mark, then
 * frames. Each frame verifies alone; sections name their module and version, and are verified once
 * more as a whole; the stream's own XXH3-128 stands beside it, in its meta. What is read may be
 * hostile. Little-endian:
 *
 *   stream    "KVRSNAP1", HEADER, sections, END
 *   frame     u32 body size   u8 type   u8[3] 0   u64 XXH3-64 of the body, seeded by the 8 bytes
 *             before it
 *   section   SECTION, BLOCKs, SECTION_END */
#ifndef KVRAFT_LIB_NODE_STREAM_H
#define KVRAFT_LIB_NODE_STREAM_H

#include <kvraft/base.h>

#include "base/checksum.h"
#include "base/memory.h"

enum {
    KVR__STREAM_MARK = 8, /* bytes of "KVRSNAP1" */
    KVR__STREAM_VERSION = 1,
    KVR__FRAME_HEAD = 16,

    KVR__FRAME_HEADER = 1,
    KVR__FRAME_SECTION = 2,
    KVR__FRAME_BLOCK = 3,
    KVR__FRAME_SECTION_END = 4,
    KVR__FRAME_END = 5,

    KVR__STREAM_HEADER_SIZE = 80,
    KVR__SECTION_SIZE = 16,
    KVR__SECTION_END_SIZE = 16,
    KVR__BLOCK_BYTES_MAX = 64 * 1024,
    /* a configuration with the attributes of all members */
    KVR__FRAME_BYTES_MAX = 16 * 1024 * 1024,
    KVR__SECTION_SKIP = 1 /* who does not know this section may skip it */
};

/* Body of HEADER: u16 size (80), u16 version (1), u32 level, then the rest in this order, u32
 * section count, u32 configuration size, configuration. */
typedef struct kvr__stream_header {
    uint32_t level;
    uint32_t section_count;
    uint64_t cluster_id;
    uint64_t group_id;
    uint64_t index;
    uint64_t term;
    uint64_t lease_clock;
    uint64_t hash_chain;
    uint64_t hash_live;
    uint64_t revision;
    kvr_slice configuration;
} kvr__stream_header;

/* Body of SECTION: u16 size (16), u16 version, u32 flags, 8 bytes name, zero-filled. */
typedef struct kvr__stream_section {
    uint16_t version;
    uint16_t reserved;
    uint32_t flags;
    char name[8];
} kvr__stream_section;

/* ------------------------------------------------------------------ writing */

/* A growing run of bytes. */
typedef struct kvr__stream_bytes {
    uint8_t *data;
    uint32_t size;
    uint32_t capacity;
} kvr__stream_bytes;

/* A section under way: what its end will say. */
typedef struct kvr__stream_sum {
    kvr__xxh3 hash;
    uint64_t bytes;
} kvr__stream_sum;

void kvr__stream_bytes_release(kvr__mem *mem, kvr__stream_bytes *bytes);

/* Room for a frame's head and `size` bytes of body at the end; returns the body's place. NULL: no
 * memory. */
uint8_t *kvr__stream_room(kvr__mem *mem, kvr__stream_bytes *bytes, size_t size);

/* Writes the head before `body`. */
void kvr__stream_seal(uint8_t *body, uint8_t type, size_t size);

/* Each appends one frame. KVR_ENOMEM: nothing was. */
kvr_status kvr__stream_put_header(kvr__mem *mem, kvr__stream_bytes *bytes,
                                  const kvr__stream_header *header);
kvr_status kvr__stream_put_section(kvr__mem *mem, kvr__stream_bytes *bytes, const char *name,
                                   uint16_t version, kvr__stream_sum *sum);
kvr_status kvr__stream_put_block(kvr__mem *mem, kvr__stream_bytes *bytes, kvr_slice block,
                                 kvr__stream_sum *sum);
kvr_status kvr__stream_put_section_end(kvr__mem *mem, kvr__stream_bytes *bytes,
                                       const kvr__stream_sum *sum);
kvr_status kvr__stream_put_end(kvr__mem *mem, kvr__stream_bytes *bytes, uint64_t bytes_before);

/* ------------------------------------------------------------------ reading */

/* Who gets what was read and verified. A status other than KVR_OK ends the reading. Slices lend
 * until the function returns. section_begin answers KVR_ENOTFOUND if it does not know the
 * section. */
typedef struct kvr__stream_sink {
    kvr_status (*header)(void *ctx, const kvr__stream_header *header);
    kvr_status (*section_begin)(void *ctx, const kvr__stream_section *section);
    kvr_status (*block)(void *ctx, const kvr_slice *block);
    kvr_status (*section_end)(void *ctx);
} kvr__stream_sink;

typedef struct kvr__stream_reader {
    kvr__mem *mem;
    const kvr__stream_sink *sink;
    void *ctx;
    uint8_t *carry; /* the beginning of a frame whose end is in the next piece */
    size_t carry_size;
    size_t carry_capacity;
    kvr__stream_sum sum;
    uint64_t total; /* bytes of whole frames so far */
    uint32_t sections_left;
    uint8_t stage; /* what may come next */
    bool skipping; /* the section under way */
    uint8_t reserved[2];
} kvr__stream_reader;

void kvr__stream_reader_init(kvr__stream_reader *reader, kvr__mem *mem,
                             const kvr__stream_sink *sink, void *ctx);
void kvr__stream_reader_release(kvr__stream_reader *reader);

/* Takes the next piece, of any size. KVR_OK, KVR_ECORRUPT, KVR_EVERSION, KVR_ENOMEM, or what the
 * sink said: after an error only release. */
kvr_status kvr__stream_reader_take(kvr__stream_reader *reader, const kvr_slice *piece);
/* END was read, and nothing after */
bool kvr__stream_reader_is_complete(const kvr__stream_reader *reader);

#endif
