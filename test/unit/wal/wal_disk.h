/* SPDX-License-Identifier: Apache-2.0 */
/* wal_disk.h: a directory in memory under wal.h that remembers every call, so that each state in
 * which a crash could leave a real one can be built afterwards: unsynced writes lost, kept or torn
 * at 512-byte borders, names without a directory sync lost or kept. What was synced stays. */
#ifndef KVRAFT_TEST_UNIT_WAL_DISK_H
#define KVRAFT_TEST_UNIT_WAL_DISK_H

#include <kvraft/wal.h>

typedef struct wal_disk wal_disk;

/* The table; its ctx is a wal_disk. Counts fault_hits(FAULT_DISK) once a call. */
extern const kvr_file_ops wal_disk_ops;

wal_disk *wal_disk_new(void);
void wal_disk_free(wal_disk *disk);

/* What a call that fault_hits answers, and how calls that do not fail behave. */
enum {
    WAL_DISK_EIO = 0,
    WAL_DISK_ENOSPACE = 1,    /* writes write half, then say so; other calls do nothing */
    WAL_DISK_SHORT = 2,       /* reads and writes do one byte; others fail with KVR_EIO */
    WAL_DISK_FLUSH_LOSES = 3, /* a failed flush drops what it should have written, as ext4 may */
    WAL_DISK_UNKNOWN = 4,     /* a status that the table may not answer */
    WAL_DISK_FLUSH_CLEANS =
        5 /* what a failed flush should have written stays to be seen, but no later
                                 flush writes it: fsyncgate */
};
void wal_disk_set_fault(wal_disk *disk, uint32_t fault);
void wal_disk_set_stutter(wal_disk *disk, size_t bytes); /* 0: off; else at most so many a call */
/* all files together; UINT64_MAX at first */
void wal_disk_set_room(wal_disk *disk, uint64_t bytes);

/* ------------------------------------------------------------------ what was done */

size_t wal_disk_calls(const wal_disk *disk); /* that changed or synced something */
uint64_t wal_disk_open_files(const wal_disk *disk);
uint64_t wal_disk_file_count(const wal_disk *disk);
bool wal_disk_was_flush(const wal_disk *disk, size_t call); /* fdatasync or sync_directory */

/* ------------------------------------------------------------------ crashes */

enum { WAL_DISK_LOSE = 0, WAL_DISK_KEEP = 1, WAL_DISK_MIX = 2 };

typedef struct wal_disk_crash {
    size_t calls;   /* made before it */
    uint32_t data;  /* LOSE, KEEP, or MIX: each unsynced write lost, kept or torn */
    uint32_t names; /* LOSE, KEEP, or MIX: each unsynced change of a name lost or kept */
    uint64_t seed;
} wal_disk_crash;

/* A new disk as it is after the crash; all of it durable, nothing remembered. */
wal_disk *wal_disk_after(const wal_disk *disk, const wal_disk_crash *crash);

/* The files as they are now, and nothing remembered. */
wal_disk *wal_disk_copy(const wal_disk *disk);

/* A hash over names and contents. */
uint64_t wal_disk_hash(const wal_disk *disk);

/* ------------------------------------------------------------------ rot */

/* Bytes of a file, to look at or to damage; NULL: no such file. Lends until the disk changes. */
uint8_t *wal_disk_bytes(wal_disk *disk, const char *name, size_t *out_size);
const char *wal_disk_name(const wal_disk *disk, size_t i); /* of file number i; NULL: no more */
void wal_disk_remove(wal_disk *disk, const char *name);
void wal_disk_put(wal_disk *disk, const char *name, const uint8_t *data, size_t size);

#endif
