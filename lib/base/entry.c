/* SPDX-License-Identifier: Apache-2.0 */
/* entry.c: encode and decode of the entry header, and nothing else. */
#include "base/entry.h"

#include "base/checksum.h"
#include "base/codec.h"

enum { VERSION = 1, CHECKED_SIZE = KVR_ENTRY_HEADER_SIZE - 8 };

void kvr__entry_write_header(uint8_t out[KVR_ENTRY_HEADER_SIZE], const kvr_entry *entry)
{
    kvr__store_u16(out, KVR_ENTRY_HEADER_SIZE);
    out[2] = VERSION;
    out[3] = entry->kind;
    kvr__store_u32(out + 4, entry->flags);
    kvr__store_u64(out + 8, entry->index);
    kvr__store_u64(out + 16, entry->term);
    kvr__store_u64(out + 24, entry->lease_clock);
    kvr__store_u32(out + 32, (uint32_t)entry->command.size);
    kvr__store_u32(out + 36, 0);
    kvr__store_u64(out + 40, entry->command_checksum);
    kvr__store_u64(out + CHECKED_SIZE, kvr__xxh3_64(out, CHECKED_SIZE));
}

kvr_status kvr__entry_read(kvr_slice bytes, bool verify_command, kvr_entry *out_entry)
{
    if (bytes.size < KVR_ENTRY_HEADER_SIZE) {
        return KVR_END;
    }
    const uint8_t *p = bytes.data;
    if (kvr__load_u64(p + CHECKED_SIZE) != kvr__xxh3_64(p, CHECKED_SIZE)) {
        return KVR_ECORRUPT;
    }
    if (kvr__load_u16(p) != KVR_ENTRY_HEADER_SIZE || p[2] != VERSION) {
        return KVR_EVERSION;
    }
    uint32_t command_size = kvr__load_u32(p + 32);
    if (command_size > bytes.size - KVR_ENTRY_HEADER_SIZE) {
        return KVR_END;
    }
    *out_entry = (kvr_entry){
        .index = kvr__load_u64(p + 8),
        .term = kvr__load_u64(p + 16),
        .lease_clock = kvr__load_u64(p + 24),
        .command_checksum = kvr__load_u64(p + 40),
        .flags = kvr__load_u32(p + 4),
        .kind = p[3],
        .command = {p + KVR_ENTRY_HEADER_SIZE, command_size},
        .bytes = {p, KVR_ENTRY_HEADER_SIZE + (size_t)command_size},
    };
    if (verify_command &&
        kvr__xxh3_64(out_entry->command.data, command_size) != out_entry->command_checksum) {
        return KVR_ECORRUPT;
    }
    return KVR_OK;
}
