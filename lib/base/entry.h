/* SPDX-License-Identifier: Apache-2.0 */
/* entry.h: the entry header of host.h as code; raft writes it, wal and node verify it. All bytes
 * may be hostile. */
#ifndef KVRAFT_LIB_BASE_ENTRY_H
#define KVRAFT_LIB_BASE_ENTRY_H

#include <kvraft/host.h>

/* Writes the 56 bytes before a command: all of `entry` but command.data, bytes and buffer. */
void kvr__entry_write_header(uint8_t out[KVR_ENTRY_HEADER_SIZE], const kvr_entry *entry);

/* Reads the entry at the start of `bytes`; *out_entry points into them, buffer NULL. The header
 * checksum is verified; the command's only if `verify_command`. KVR_OK, KVR_END (fewer bytes than
 * the header says: damage too, if the caller knows that they are all there), KVR_ECORRUPT,
 * KVR_EVERSION. A header may be longer than KVR_ENTRY_HEADER_SIZE: use the slices of the entry,
 * never that constant, to find its command and end. */
kvr_status kvr__entry_read(kvr_slice bytes, bool verify_command, kvr_entry *out_entry);

/* Bytes of an entry (sound, as it lies in a log) as a witness keeps it: a stub of a COMMAND, all of
 * any other. */
size_t kvr__entry_stub_size(const uint8_t *entry);
void kvr__entry_stub_write(uint8_t *out, const uint8_t *entry);

#endif
