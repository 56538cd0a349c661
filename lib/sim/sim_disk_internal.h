/* SPDX-License-Identifier: Apache-2.0 */
/* sim_disk_internal.h: a simulated disk from inside. A file holds what a reader sees now; each
 * write that no flush covers also keeps what its sectors held before, so that a crash can undo it:
 *
 *   data      [........AAAA....BBBB........]          as read
 *   pending   write A: old sectors | write B: old sectors        oldest first; fdatasync drops them
 *
 * The same holds for names and sync_directory. A crash walks both lists from the newest change back
 * and undoes what does not survive (sim_disk_crash.c): a sector ends as it was after one of its
 * writes or before the first, as a page cache in front of whole sectors can leave it. */
#ifndef KVRAFT_LIB_SIM_DISK_INTERNAL_H
#define KVRAFT_LIB_SIM_DISK_INTERNAL_H

#include <kvraft/sim.h>

#include "base/memory.h"
#include "sim_stream.h"

enum {
    KVR__SIM_SECTOR = 512,
    KVR__SIM_NAME_SIZE = 64, /* wal.h: at most 63 characters */
    KVR__SIM_FILES_MAX = 4096,
    KVR__SIM_FILE_BYTES_MAX = 1 << 30
};

/* A write or truncation that no flush covers. */
typedef struct kvr__sim_pending {
    uint64_t offset; /* of the first whole sector that it touched */
    size_t size;     /* of those sectors */
    uint64_t length; /* of the file after it */
    uint8_t *old;    /* what they held before; NULL if size is 0 */
} kvr__sim_pending;

typedef struct kvr__sim_file {
    uint8_t *data;    /* `capacity` bytes, zero from `length` on */
    uint8_t *settled; /* a flag a sector, for kvr__sim_crash_file; zero otherwise */
    uint32_t *flush;  /* a sector: number of the flush that makes its last write durable */
    uint64_t length;
    uint64_t capacity; /* a multiple of the sector */
    uint64_t length_durable;
    uint32_t holders; /* names, open handles and pending changes of names */
    uint32_t flushes; /* that had something to flush */
    struct {
        kvr__sim_pending *items;
        uint32_t count, capacity;
    } pending;
} kvr__sim_file;

typedef struct kvr__sim_name {
    char text[KVR__SIM_NAME_SIZE];
    kvr__sim_file *file;
} kvr__sim_name;

/* A change of one name that no sync_directory covers. A rename is two that share a fate. */
typedef struct kvr__sim_rename {
    char text[KVR__SIM_NAME_SIZE];
    kvr__sim_file *before; /* NULL: the name was not there */
    kvr__sim_file *after;
    bool with_next;
    bool survives; /* only in a crash */
} kvr__sim_rename;

typedef struct kvr__sim_handle {
    kvr__sim_file *file; /* NULL: free */
    uint32_t flags;
    uint32_t uses; /* handles of earlier uses are not valid */
} kvr__sim_handle;

struct kvr_sim_disk {
    kvr__mem mem;
    kvr__sim_stream stream;
    kvr_sim_disk_faults faults;
    struct {
        kvr__sim_name *items; /* in order of creation */
        uint32_t count, capacity;
    } names;
    struct {
        kvr__sim_rename *items;
        uint32_t count, capacity;
    } renames;
    struct {
        kvr__sim_handle *items;
        uint32_t count, capacity;
    } handles;
    uint64_t used_bytes; /* lengths of all files, those without a name too */
    uint64_t calls_left; /* until power fails; UINT64_MAX: it does not */
    uint64_t write_count;
    uint64_t sync_count;
    uint64_t fault_count;
    /* Asked before each fault by chance; NULL: yes. */
    bool (*allow)(void *ctx, uint64_t decision);
    void *allow_ctx;
    const char *error;
    bool lacked_memory; /* a call failed for it; whoever runs the disk asks and clears it */
};

/* ------------------------------------------------------------------ sim_disk_file.c */

kvr_status kvr__sim_file_new(kvr_sim_disk *disk, kvr__sim_file **out_file);
/* one holder less; NULL is ignored */
void kvr__sim_file_drop(kvr_sim_disk *disk, kvr__sim_file *file);

/* KVR_OK, KVR_ENOSPACE, KVR_ENOMEM (the file is as it was). */
kvr_status kvr__sim_file_write(kvr_sim_disk *disk, kvr__sim_file *file, const kvr_slice *data,
                               uint64_t offset);
kvr_status kvr__sim_file_truncate(kvr_sim_disk *disk, kvr__sim_file *file, uint64_t length);
void kvr__sim_file_forget(kvr_sim_disk *disk, kvr__sim_file *file); /* drops the pending writes */
void kvr__sim_file_set_length(kvr_sim_disk *disk, kvr__sim_file *file, uint64_t length);

/* ------------------------------------------------------------------ sim_disk_name.c */

kvr__sim_file *kvr__sim_name_find(const kvr_sim_disk *disk, const char *name); /* NULL: none */

/* Binds `name` to `file` (NULL: removes it), as a pending change. KVR_OK, KVR_ENOMEM. */
kvr_status kvr__sim_name_change(kvr_sim_disk *disk, const char *name, kvr__sim_file *file);
kvr_status kvr__sim_name_move(kvr_sim_disk *disk, const char *from, const char *to);
void kvr__sim_name_bind(kvr_sim_disk *disk, const char *name, kvr__sim_file *file);
void kvr__sim_name_forget(kvr_sim_disk *disk); /* drops the pending changes */

/* ------------------------------------------------------------------ sim_disk_crash.c */

/* Undoes what does not survive, as the faults say; then nothing is pending. */
void kvr__sim_crash_file(kvr_sim_disk *disk, kvr__sim_file *file);
void kvr__sim_crash_names(kvr_sim_disk *disk);

/* ------------------------------------------------------------------ sim_disk_damage.c */

/* True if chance, `ppm` times in a million, and whoever runs the disk want a fault. */
bool kvr__sim_disk_chance(kvr_sim_disk *disk, uint32_t ppm);

/* True if this call fails, `ppm` times in a million. */
bool kvr__sim_fails(kvr_sim_disk *disk, uint32_t ppm, const char *error);

/* How much of `size` (> 0) bytes a call does: at least one. */
size_t kvr__sim_shorten(kvr_sim_disk *disk, size_t size);
void kvr__sim_damage_read(kvr_sim_disk *disk, kvr__sim_file *file, uint64_t offset, size_t size);
void kvr__sim_damage_sync(kvr_sim_disk *disk, kvr__sim_file *file);

/* ------------------------------------------------------------------ sim_check.c */

void kvr__sim_disk_check(const kvr_sim_disk *disk);

#endif
