/* SPDX-License-Identifier: Apache-2.0 */
/* node_attributes.c: what members are called and where they are reached, as bytes, and nothing
 * else. Little-endian; what a later version adds behind is skipped:
 *
 *   0 u16 head size (8)   2 u8 version (1)   3 u8[5] 0   8 name, peer addresses, client addresses
 *
 * each a u32 size and its bytes. */
#include <kvraft/node.h>

#include "base/codec.h"

enum { HEAD = 8, VERSION = 1, PARTS = 3 };

kvr_status kvr_member_attributes_write(const kvr_member_attributes *attributes, uint8_t *out,
                                       size_t capacity, size_t *out_size)
{
    const kvr_slice *parts[PARTS] = {&attributes->name, &attributes->peer_addresses,
                                     &attributes->client_addresses};
    size_t size = HEAD;
    for (uint32_t i = 0; i < PARTS; i++) {
        if (parts[i]->data == NULL && parts[i]->size > 0) {
            return KVR_EINVAL;
        }
        if (parts[i]->size > KVR_MEMBER_TEXT_MAX) {
            return KVR_ETOOBIG;
        }
        size += 4 + parts[i]->size;
    }
    if (size > capacity) {
        return KVR_ETOOBIG;
    }
    kvr__writer writer = kvr__writer_of(out, size);
    kvr__write_u16(&writer, HEAD);
    kvr__write_u8(&writer, VERSION);
    kvr__write_u8(&writer, 0);
    kvr__write_u32(&writer, 0);
    for (uint32_t i = 0; i < PARTS; i++) {
        kvr__write_slice(&writer, *parts[i]);
    }
    *out_size = size;
    return KVR_OK;
}

kvr_status kvr_member_attributes_read(const kvr_slice *bytes, kvr_member_attributes *out_attributes)
{
    kvr__reader reader = kvr__reader_of(bytes->data, bytes->size);
    uint16_t head = kvr__read_u16(&reader);
    uint8_t version = kvr__read_u8(&reader);
    if (bytes->size == 0) { /* a member that was given none */
        *out_attributes = (kvr_member_attributes){0};
        return KVR_OK;
    }
    if (reader.failed || head < HEAD || version == 0) {
        return KVR_ECORRUPT;
    }
    if (version > VERSION) {
        return KVR_EVERSION;
    }
    (void)kvr__read_bytes(&reader, (size_t)head - 3);
    kvr_member_attributes read = {0};
    read.name = kvr__read_slice(&reader);
    read.peer_addresses = kvr__read_slice(&reader);
    read.client_addresses = kvr__read_slice(&reader);
    if (reader.failed) {
        return KVR_ECORRUPT;
    }
    *out_attributes = read;
    return KVR_OK;
}
