/* SPDX-License-Identifier: Apache-2.0 */
/* entry.c: encode and decode of the entry header, and nothing else. */
#include "base/entry.h"

#include "base/assertion.h"
#include "base/checksum.h"
#include "base/codec.h"

enum { VERSION = 1, CHECKSUM_SIZE = 8, HEADER_SIZE_MAX = 256 };

void kvr__entry_write_header(uint8_t out[KVR_ENTRY_HEADER_SIZE], const kvr_entry *entry)
{
    KVR_ASSERT(entry->command.size <= UINT32_MAX);
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
    const size_t checked = KVR_ENTRY_HEADER_SIZE - CHECKSUM_SIZE;
    kvr__store_u64(out + checked, kvr__xxh3_64(out, checked));
}

/* The usual size is a constant, for which the compiler unrolls the hash. */
static bool header_verifies(const uint8_t *p, size_t size)
{
    enum { USUAL = KVR_ENTRY_HEADER_SIZE - CHECKSUM_SIZE };
    if (size == KVR_ENTRY_HEADER_SIZE) {
        return kvr__load_u64(p + USUAL) == kvr__xxh3_64(p, USUAL);
    }
    return kvr__load_u64(p + size - CHECKSUM_SIZE) == kvr__xxh3_64(p, size - CHECKSUM_SIZE);
}

kvr_status kvr__entry_read(kvr_slice bytes, bool verify_command, kvr_entry *out_entry)
{
    if (bytes.size < KVR_ENTRY_HEADER_SIZE) {
        return KVR_END;
    }
    const uint8_t *p = bytes.data;
    /* A header may be longer than ours, if a later release adds optional fields before the
     * checksum; by its own size it verifies before anything else in it is believed. */
    size_t header_size = kvr__load_u16(p);
    if (header_size < KVR_ENTRY_HEADER_SIZE || header_size > HEADER_SIZE_MAX) {
        return KVR_ECORRUPT;
    }
    if (header_size > bytes.size) {
        return KVR_END;
    }
    if (!header_verifies(p, header_size)) {
        return KVR_ECORRUPT;
    }
    if (p[2] != VERSION) {
        return KVR_EVERSION;
    }
    uint32_t command_size = kvr__load_u32(p + 32);
    bool stub = (kvr__load_u32(p + 4) & KVR_ENTRY_STUB) != 0;
    if (stub && (command_size != 0 || p[3] != KVR_ENTRY_COMMAND)) {
        return KVR_ECORRUPT;
    }
    if (command_size > bytes.size - header_size) {
        return KVR_END;
    }
    kvr_entry entry = {
        .index = kvr__load_u64(p + 8),
        .term = kvr__load_u64(p + 16),
        .lease_clock = kvr__load_u64(p + 24),
        .command_checksum = kvr__load_u64(p + 40),
        .flags = kvr__load_u32(p + 4),
        .kind = p[3],
        .command = {p + header_size, command_size},
        .bytes = {p, header_size + command_size},
    };
    if (verify_command && !stub &&
        kvr__xxh3_64(entry.command.data, command_size) != entry.command_checksum) {
        return KVR_ECORRUPT;
    }
    *out_entry = entry;
    return KVR_OK;
}

/* ------------------------------------------------------------------ stubs */

static bool is_cut(const uint8_t *entry)
{
    return entry[3] == KVR_ENTRY_COMMAND && (kvr__load_u32(entry + 4) & KVR_ENTRY_STUB) == 0;
}

size_t kvr__entry_stub_size(const uint8_t *entry)
{
    return kvr__load_u16(entry) + (is_cut(entry) ? (size_t)0 : kvr__load_u32(entry + 32));
}

void kvr__entry_stub_write(uint8_t *out, const uint8_t *entry)
{
    memcpy(out, entry, kvr__entry_stub_size(entry));
    if (!is_cut(entry)) {
        return;
    }
    size_t checked = (size_t)kvr__load_u16(entry) - CHECKSUM_SIZE;
    kvr__store_u32(out + 4, kvr__load_u32(entry + 4) | KVR_ENTRY_STUB);
    kvr__store_u32(out + 32, 0);
    kvr__store_u32(out + 36, kvr__load_u32(entry + 32));
    kvr__store_u64(out + checked, kvr__xxh3_64(out, checked));
}
