/* SPDX-License-Identifier: Apache-2.0 */
/* node_stream.c: frames of a snapshot, written whole and read in pieces of any size. A frame that
 * lies whole in a piece is read where it is; one that does not is carried together. Start at
 * kvr__stream_reader_take. */
#include "node_stream.h"

#include "base/array.h"
#include "base/assertion.h"
#include "base/codec.h"

static const uint8_t mark[KVR__STREAM_MARK] = {'K', 'V', 'R', 'S', 'N', 'A', 'P', '1'};

static uint64_t frame_checksum(const uint8_t *head, const uint8_t *body, size_t size)
{
    return kvr__xxh3_64_seed(body, size, kvr__load_u64(head));
}

/* ------------------------------------------------------------------ writing */

void kvr__stream_bytes_release(kvr__mem *mem, kvr__stream_bytes *bytes)
{
    kvr__array_free(mem, KVR__MEM_MESSAGE, (void **)&bytes->data, &bytes->capacity, 1);
    bytes->size = 0;
}

static uint8_t *grow(kvr__mem *mem, kvr__stream_bytes *bytes, size_t size)
{
    if (size > UINT32_MAX - bytes->size ||
        kvr__array_grow(mem, KVR__MEM_MESSAGE, (void **)&bytes->data, &bytes->capacity,
                        bytes->size + (uint32_t)size, 1) != KVR_OK) {
        return NULL;
    }
    uint8_t *room = bytes->data + bytes->size;
    bytes->size += (uint32_t)size;
    return room;
}

uint8_t *kvr__stream_room(kvr__mem *mem, kvr__stream_bytes *bytes, size_t size)
{
    uint8_t *room = grow(mem, bytes, KVR__FRAME_HEAD + size);
    return room == NULL ? NULL : room + KVR__FRAME_HEAD;
}

void kvr__stream_seal(uint8_t *body, uint8_t type, size_t size)
{
    KVR_ASSERT(size <= KVR__FRAME_BYTES_MAX);
    uint8_t *head = body - KVR__FRAME_HEAD;
    kvr__store_u32(head, (uint32_t)size);
    kvr__store_u32(head + 4, type);
    kvr__store_u64(head + 8, frame_checksum(head, body, size));
}

kvr_status kvr__stream_put_header(kvr__mem *mem, kvr__stream_bytes *bytes,
                                  const kvr__stream_header *header)
{
    size_t size = KVR__STREAM_HEADER_SIZE + header->configuration.size;
    uint8_t *start = grow(mem, bytes, KVR__STREAM_MARK + KVR__FRAME_HEAD + size);
    if (start == NULL) {
        return KVR_ENOMEM;
    }
    memcpy(start, mark, sizeof mark);
    uint8_t *body = start + KVR__STREAM_MARK + KVR__FRAME_HEAD;
    kvr__writer writer = kvr__writer_of(body, size);
    kvr__write_u16(&writer, KVR__STREAM_HEADER_SIZE);
    kvr__write_u16(&writer, KVR__STREAM_VERSION);
    kvr__write_u32(&writer, header->level);
    kvr__write_u64(&writer, header->cluster_id);
    kvr__write_u64(&writer, header->group_id);
    kvr__write_u64(&writer, header->index);
    kvr__write_u64(&writer, header->term);
    kvr__write_u64(&writer, header->lease_clock);
    kvr__write_u64(&writer, header->hash_chain);
    kvr__write_u64(&writer, header->hash_live);
    kvr__write_u64(&writer, header->revision);
    kvr__write_u32(&writer, header->section_count);
    kvr__write_slice(&writer, header->configuration);
    KVR_ASSERT(!writer.failed && writer.at == writer.end);
    kvr__stream_seal(body, KVR__FRAME_HEADER, size);
    return KVR_OK;
}

kvr_status kvr__stream_put_section(kvr__mem *mem, kvr__stream_bytes *bytes, const char *name,
                                   uint16_t version, kvr__stream_sum *sum)
{
    uint8_t *body = kvr__stream_room(mem, bytes, KVR__SECTION_SIZE);
    if (body == NULL) {
        return KVR_ENOMEM;
    }
    memset(body, 0, KVR__SECTION_SIZE);
    kvr__store_u16(body, KVR__SECTION_SIZE);
    kvr__store_u16(body + 2, version);
    for (size_t i = 0; name[i] != 0; i++) {
        KVR_ASSERT(i < 8);
        body[8 + i] = (uint8_t)name[i];
    }
    kvr__stream_seal(body, KVR__FRAME_SECTION, KVR__SECTION_SIZE);
    kvr__xxh3_reset(&sum->hash);
    sum->bytes = 0;
    return KVR_OK;
}

kvr_status kvr__stream_put_block(kvr__mem *mem, kvr__stream_bytes *bytes, kvr_slice block,
                                 kvr__stream_sum *sum)
{
    while (block.size > 0) {
        size_t size = block.size < KVR__BLOCK_BYTES_MAX ? block.size : (size_t)KVR__BLOCK_BYTES_MAX;
        uint8_t *body = kvr__stream_room(mem, bytes, size);
        if (body == NULL) {
            return KVR_ENOMEM;
        }
        memcpy(body, block.data, size);
        kvr__stream_seal(body, KVR__FRAME_BLOCK, size);
        kvr__xxh3_update(&sum->hash, body, size);
        sum->bytes += size;
        block.data += size;
        block.size -= size;
    }
    return KVR_OK;
}

kvr_status kvr__stream_put_section_end(kvr__mem *mem, kvr__stream_bytes *bytes,
                                       const kvr__stream_sum *sum)
{
    uint8_t *body = kvr__stream_room(mem, bytes, KVR__SECTION_END_SIZE);
    if (body == NULL) {
        return KVR_ENOMEM;
    }
    kvr__store_u64(body, sum->bytes);
    kvr__store_u64(body + 8, kvr__xxh3_digest_64(&sum->hash));
    kvr__stream_seal(body, KVR__FRAME_SECTION_END, KVR__SECTION_END_SIZE);
    return KVR_OK;
}

kvr_status kvr__stream_put_end(kvr__mem *mem, kvr__stream_bytes *bytes, uint64_t bytes_before)
{
    uint8_t *body = kvr__stream_room(mem, bytes, 8);
    if (body == NULL) {
        return KVR_ENOMEM;
    }
    kvr__store_u64(body, bytes_before);
    kvr__stream_seal(body, KVR__FRAME_END, 8);
    return KVR_OK;
}

/* ------------------------------------------------------------------ reading */

enum {
    STAGE_MARK = 0,
    STAGE_HEADER = 1,
    STAGE_BETWEEN = 2, /* a section, or the end */
    STAGE_SECTION = 3, /* a block, or the section's end */
    STAGE_COMPLETE = 4
};

void kvr__stream_reader_init(kvr__stream_reader *reader, kvr__mem *mem,
                             const kvr__stream_sink *sink, void *ctx)
{
    *reader = (kvr__stream_reader){.mem = mem, .sink = sink, .ctx = ctx};
}

void kvr__stream_reader_release(kvr__stream_reader *reader)
{
    kvr__mem_free(reader->mem, KVR__MEM_MESSAGE, reader->carry, reader->carry_capacity);
    reader->carry = NULL;
    reader->carry_size = 0;
    reader->carry_capacity = 0;
}

bool kvr__stream_reader_is_complete(const kvr__stream_reader *reader)
{
    return reader->stage == STAGE_COMPLETE && reader->carry_size == 0;
}

static kvr_status take_header(kvr__stream_reader *reader, const kvr_slice *body)
{
    kvr__reader in = kvr__reader_of(body->data, body->size);
    size_t size = kvr__read_u16(&in);
    uint16_t version = kvr__read_u16(&in);
    kvr__stream_header header = {.level = kvr__read_u32(&in)};
    header.cluster_id = kvr__read_u64(&in);
    header.group_id = kvr__read_u64(&in);
    header.index = kvr__read_u64(&in);
    header.term = kvr__read_u64(&in);
    header.lease_clock = kvr__read_u64(&in);
    header.hash_chain = kvr__read_u64(&in);
    header.hash_live = kvr__read_u64(&in);
    header.revision = kvr__read_u64(&in);
    header.section_count = kvr__read_u32(&in);
    header.configuration.size = kvr__read_u32(&in);
    if (in.failed || size < KVR__STREAM_HEADER_SIZE) {
        return KVR_ECORRUPT;
    }
    if (version > KVR__STREAM_VERSION) {
        return KVR_EVERSION;
    }
    (void)kvr__read_bytes(&in, size - KVR__STREAM_HEADER_SIZE);
    header.configuration.data = kvr__read_bytes(&in, header.configuration.size);
    if (in.failed || kvr__reader_left(&in) != 0 || version == 0) {
        return KVR_ECORRUPT;
    }
    reader->sections_left = header.section_count;
    reader->stage = STAGE_BETWEEN;
    return reader->sink->header(reader->ctx, &header);
}

static kvr_status take_section(kvr__stream_reader *reader, const kvr_slice *body)
{
    if (body->size < KVR__SECTION_SIZE || reader->sections_left == 0) {
        return KVR_ECORRUPT;
    }
    kvr__stream_section section = {.version = kvr__load_u16(body->data + 2),
                                   .flags = kvr__load_u32(body->data + 4)};
    memcpy(section.name, body->data + 8, sizeof section.name);
    reader->sections_left--;
    reader->stage = STAGE_SECTION;
    kvr__xxh3_reset(&reader->sum.hash);
    reader->sum.bytes = 0;
    kvr_status status = reader->sink->section_begin(reader->ctx, &section);
    reader->skipping = status == KVR_ENOTFOUND;
    if (!reader->skipping) {
        return status;
    }
    return (section.flags & KVR__SECTION_SKIP) != 0 ? KVR_OK : KVR_EVERSION;
}

static kvr_status take_block(kvr__stream_reader *reader, const kvr_slice *body)
{
    if (body->size == 0 || body->size > KVR__BLOCK_BYTES_MAX) {
        return KVR_ECORRUPT;
    }
    kvr__xxh3_update(&reader->sum.hash, body->data, body->size);
    reader->sum.bytes += body->size;
    return reader->skipping ? KVR_OK : reader->sink->block(reader->ctx, body);
}

static kvr_status take_section_end(kvr__stream_reader *reader, const kvr_slice *body)
{
    if (body->size < KVR__SECTION_END_SIZE || kvr__load_u64(body->data) != reader->sum.bytes ||
        kvr__load_u64(body->data + 8) != kvr__xxh3_digest_64(&reader->sum.hash)) {
        return KVR_ECORRUPT;
    }
    reader->stage = STAGE_BETWEEN;
    return reader->skipping ? KVR_OK : reader->sink->section_end(reader->ctx);
}

static kvr_status take_frame(kvr__stream_reader *reader, uint8_t type, const kvr_slice *body)
{
    if (type == KVR__FRAME_HEADER && reader->stage == STAGE_HEADER) {
        return take_header(reader, body);
    }
    if (type == KVR__FRAME_SECTION && reader->stage == STAGE_BETWEEN) {
        return take_section(reader, body);
    }
    if (type == KVR__FRAME_BLOCK && reader->stage == STAGE_SECTION) {
        return take_block(reader, body);
    }
    if (type == KVR__FRAME_SECTION_END && reader->stage == STAGE_SECTION) {
        return take_section_end(reader, body);
    }
    if (type != KVR__FRAME_END || reader->stage != STAGE_BETWEEN || reader->sections_left != 0 ||
        body->size < 8 || kvr__load_u64(body->data) != reader->total) {
        return KVR_ECORRUPT;
    }
    reader->stage = STAGE_COMPLETE;
    return KVR_OK;
}

/* Looks at the `have` bytes at `at`. KVR_OK: *out_size of them were taken; KVR_END: it needs
 * *out_size. */
static kvr_status take_item(kvr__stream_reader *reader, const uint8_t *at, size_t have,
                            size_t *out_size)
{
    if (reader->stage == STAGE_COMPLETE) {
        return KVR_ECORRUPT; /* nothing may follow the end */
    }
    *out_size = reader->stage == STAGE_MARK ? KVR__STREAM_MARK : KVR__FRAME_HEAD;
    if (have < *out_size) {
        return KVR_END;
    }
    if (reader->stage == STAGE_MARK) {
        reader->stage = STAGE_HEADER;
        return memcmp(at, mark, sizeof mark) == 0 ? KVR_OK : KVR_ECORRUPT;
    }
    kvr_slice body = {at + KVR__FRAME_HEAD, kvr__load_u32(at)};
    if (body.size > KVR__FRAME_BYTES_MAX) {
        return KVR_ECORRUPT;
    }
    *out_size = KVR__FRAME_HEAD + body.size;
    if (have < *out_size) {
        return KVR_END;
    }
    if (kvr__load_u64(at + 8) != frame_checksum(at, body.data, body.size)) {
        return KVR_ECORRUPT;
    }
    return take_frame(reader, at[4], &body);
}

/* Makes the carry at least `want` bytes large. */
static kvr_status grow_carry(kvr__stream_reader *reader, size_t want)
{
    if (want <= reader->carry_capacity) {
        return KVR_OK;
    }
    uint8_t *carry = kvr__mem_realloc(reader->mem, KVR__MEM_MESSAGE, reader->carry,
                                      reader->carry_capacity, want);
    if (carry == NULL) {
        return KVR_ENOMEM;
    }
    reader->carry = carry;
    reader->carry_capacity = want;
    return KVR_OK;
}

kvr_status kvr__stream_reader_take(kvr__stream_reader *reader, const kvr_slice *piece)
{
    const uint8_t *at = piece->data;
    size_t left = piece->size;
    while (left > 0 || reader->carry_size > 0) {
        bool carried = reader->carry_size > 0;
        size_t size = 0;
        kvr_status status = carried ? take_item(reader, reader->carry, reader->carry_size, &size)
                                    : take_item(reader, at, left, &size);
        if (status == KVR_OK) {
            reader->total += size;
            at += carried ? 0 : size;
            left -= carried ? 0 : size;
            reader->carry_size = 0;
            continue;
        }
        if (status != KVR_END) {
            return status;
        }
        if (left == 0) {
            break; /* the rest comes with the next piece */
        }
        status = grow_carry(reader, size);
        if (status != KVR_OK) {
            return status;
        }
        size_t more = size - reader->carry_size < left ? size - reader->carry_size : left;
        memcpy(reader->carry + reader->carry_size, at, more);
        reader->carry_size += more;
        at += more;
        left -= more;
    }
    return KVR_OK;
}
