/* SPDX-License-Identifier: Apache-2.0 */
/* codec.h: bounded little-endian reading and writing. The bytes may be hostile: a reader never goes
 * past its end, and the first short read makes it `failed` for good (values read after that are 0),
 * so a decoder reads everything and asks once. A writer is the same for room. Nothing asserts. */
#ifndef KVRAFT_LIB_BASE_CODEC_H
#define KVRAFT_LIB_BASE_CODEC_H

#include <kvraft/base.h>
#include <string.h>

static inline uint16_t kvr__load_u16(const uint8_t *p)
{
    return (uint16_t)(p[0] | (uint16_t)p[1] << 8);
}

static inline uint32_t kvr__load_u32(const uint8_t *p)
{
    uint32_t value;
    memcpy(&value, p, sizeof value);
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    value = __builtin_bswap32(value);
#endif
    return value;
}

static inline uint64_t kvr__load_u64(const uint8_t *p)
{
    uint64_t value;
    memcpy(&value, p, sizeof value);
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    value = __builtin_bswap64(value);
#endif
    return value;
}

static inline void kvr__store_u16(uint8_t *p, uint16_t value)
{
    p[0] = (uint8_t)value;
    p[1] = (uint8_t)(value >> 8);
}

static inline void kvr__store_u32(uint8_t *p, uint32_t value)
{
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    value = __builtin_bswap32(value);
#endif
    memcpy(p, &value, sizeof value);
}

static inline void kvr__store_u64(uint8_t *p, uint64_t value)
{
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    value = __builtin_bswap64(value);
#endif
    memcpy(p, &value, sizeof value);
}

typedef struct kvr__reader {
    const uint8_t *at;
    const uint8_t *end;
    bool failed;
} kvr__reader;

typedef struct kvr__writer {
    uint8_t *at;
    uint8_t *end;
    bool failed;
} kvr__writer;

static inline kvr__reader kvr__reader_of(const uint8_t *data, size_t size)
{
    return (kvr__reader){data, size == 0 ? data : data + size, false};
}

static inline kvr__writer kvr__writer_of(uint8_t *data, size_t size)
{
    return (kvr__writer){data, size == 0 ? data : data + size, false};
}

static inline size_t kvr__reader_left(const kvr__reader *reader)
{
    return (size_t)(reader->end - reader->at);
}

/* The next `size` bytes, lent; NULL and failed if there are fewer. */
static inline const uint8_t *kvr__read_bytes(kvr__reader *reader, size_t size)
{
    if (reader->failed || size > kvr__reader_left(reader)) {
        reader->failed = true;
        return NULL;
    }
    const uint8_t *bytes = reader->at;
    if (size > 0) {
        reader->at += size;
    }
    return bytes;
}

static inline uint8_t kvr__read_u8(kvr__reader *reader)
{
    const uint8_t *p = kvr__read_bytes(reader, 1);
    return p == NULL ? 0 : *p;
}

static inline uint16_t kvr__read_u16(kvr__reader *reader)
{
    const uint8_t *p = kvr__read_bytes(reader, 2);
    return p == NULL ? 0 : kvr__load_u16(p);
}

static inline uint32_t kvr__read_u32(kvr__reader *reader)
{
    const uint8_t *p = kvr__read_bytes(reader, 4);
    return p == NULL ? 0 : kvr__load_u32(p);
}

static inline uint64_t kvr__read_u64(kvr__reader *reader)
{
    const uint8_t *p = kvr__read_bytes(reader, 8);
    return p == NULL ? 0 : kvr__load_u64(p);
}

/* A u32 length, then that many bytes, lent. */
static inline kvr_slice kvr__read_slice(kvr__reader *reader)
{
    uint32_t size = kvr__read_u32(reader);
    const uint8_t *p = kvr__read_bytes(reader, size);
    return p == NULL ? (kvr_slice){NULL, 0} : (kvr_slice){p, size};
}

/* Room for `size` bytes; NULL and failed if there is less. */
static inline uint8_t *kvr__write_room(kvr__writer *writer, size_t size)
{
    if (writer->failed || size > (size_t)(writer->end - writer->at)) {
        writer->failed = true;
        return NULL;
    }
    uint8_t *room = writer->at;
    if (size > 0) {
        writer->at += size;
    }
    return room;
}

static inline void kvr__write_u8(kvr__writer *writer, uint8_t value)
{
    uint8_t *p = kvr__write_room(writer, 1);
    if (p != NULL) {
        *p = value;
    }
}

static inline void kvr__write_u16(kvr__writer *writer, uint16_t value)
{
    uint8_t *p = kvr__write_room(writer, 2);
    if (p != NULL) {
        kvr__store_u16(p, value);
    }
}

static inline void kvr__write_u32(kvr__writer *writer, uint32_t value)
{
    uint8_t *p = kvr__write_room(writer, 4);
    if (p != NULL) {
        kvr__store_u32(p, value);
    }
}

static inline void kvr__write_u64(kvr__writer *writer, uint64_t value)
{
    uint8_t *p = kvr__write_room(writer, 8);
    if (p != NULL) {
        kvr__store_u64(p, value);
    }
}

static inline void kvr__write_bytes(kvr__writer *writer, const uint8_t *data, size_t size)
{
    uint8_t *p = kvr__write_room(writer, size);
    if (p != NULL && size > 0) {
        memcpy(p, data, size);
    }
}

/* A u32 length, then the bytes. Fails for sizes above UINT32_MAX. */
static inline void kvr__write_slice(kvr__writer *writer, kvr_slice slice)
{
    if (slice.size > UINT32_MAX) {
        writer->failed = true;
        return;
    }
    kvr__write_u32(writer, (uint32_t)slice.size);
    kvr__write_bytes(writer, slice.data, slice.size);
}

#endif
