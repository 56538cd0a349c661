/* SPDX-License-Identifier: Apache-2.0 */
/* node_command.c: the head of a command. Its bytes are made once, by the member that proposes it,
 * and never change until apply, so the origin is stamped before the first hand-over and never
 * after. */
#include "node_command.h"

#include "base/assertion.h"

uint32_t kvr__command_level(uint8_t kind)
{
#ifdef KVR_CHECK
    if (kind == KVR__COMMAND_TRIAL) {
        return 2;
    }
#endif
    KVR_ASSERT(kind >= KVR__COMMAND_WRITE);
    KVR_ASSERT(kind <= KVR__COMMAND_LEVEL);
    return 1;
}

void kvr__command_write_head(uint8_t out[KVR__COMMAND_HEAD], uint8_t kind, uint32_t payload_size)
{
    memset(out, 0, KVR__COMMAND_HEAD);
    kvr__store_u16(out, KVR__COMMAND_HEAD);
    out[2] = KVR__COMMAND_VERSION;
    out[3] = kind;
    kvr__store_u32(out + 60, payload_size);
}

void kvr__command_stamp(uint8_t *bytes, const kvr__origin_id *origin)
{
    KVR_ASSERT(origin->member != 0);
    kvr__store_u64(bytes + 8, origin->member);
    kvr__store_u64(bytes + 16, origin->incarnation);
    kvr__store_u64(bytes + 24, origin->sequence);
}

kvr_status kvr__command_read(kvr_slice bytes, kvr__command *out_command)
{
    if (bytes.size < KVR__COMMAND_HEAD) {
        return KVR_ECORRUPT;
    }
    const uint8_t *p = bytes.data;
    kvr__command command = {
        .version = p[2],
        .kind = p[3],
        .flags = kvr__load_u32(p + 4),
        .origin = {kvr__load_u64(p + 8), kvr__load_u64(p + 16), kvr__load_u64(p + 24)},
        .client = kvr__load_u64(p + 32),
        .request = kvr__load_u64(p + 40),
        .auth_revision = kvr__load_u64(p + 48),
    };
    if (command.version > KVR__COMMAND_VERSION || command.flags != 0) {
        return KVR_EVERSION;
    }
    uint16_t head = kvr__load_u16(p);
    if (head < KVR__COMMAND_HEAD || command.version == 0) {
        return KVR_ECORRUPT;
    }
    kvr__reader reader = kvr__reader_of(p, bytes.size);
    (void)kvr__read_bytes(&reader, head);
    command.user.size = kvr__load_u32(p + 56);
    command.user.data = kvr__read_bytes(&reader, command.user.size);
    command.payload.size = kvr__load_u32(p + 60);
    command.payload.data = kvr__read_bytes(&reader, command.payload.size);
    if (reader.failed || kvr__reader_left(&reader) != 0 ||
        command.user.size > KVR__COMMAND_USER_MAX) {
        return KVR_ECORRUPT;
    }
    *out_command = command;
    return KVR_OK;
}
