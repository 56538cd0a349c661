/* SPDX-License-Identifier: Apache-2.0 */
/* wal_scan.h: reading a segment forward. Recovery and READ share it, so that what open accepts and
 * what is read later are one and the same. */
#ifndef KVRAFT_LIB_WAL_SCAN_H
#define KVRAFT_LIB_WAL_SCAN_H

#include "wal_internal.h"

/* Reads records from a place on, within one segment. */
typedef struct kvr__wal_scan {
    kvr_wal *wal;
    kvr__wal_file file;
    kvr__wal_place place; /* of the next record */
    uint64_t limit;       /* offset at which the segment ends */
    /* where the write of the last record began: at its segment head, if any */
    uint64_t write_begin;
    uint64_t window_begin; /* file offset of the first byte in wal->read_buffer */
    size_t window_size;
    size_t chunk;    /* bytes read at a time */
    const char *why; /* after KVR_END: what stands there instead of a record */
    /* after KVR_END: a whole head with another predecessor; no crash makes that */
    bool contradicts;
    uint64_t bad_first; /* after KVR_END: entries of a record whose head alone is whole */
    uint32_t bad_count; /* 0: not known */
} kvr__wal_scan;

/* KVR_OK, KVR_EIO, KVR_ENOTFOUND. Closed by _close in any case. */
kvr_status kvr__wal_scan_open(kvr__wal_scan *scan, kvr_wal *wal, const kvr__wal_place *place,
                              uint64_t limit);
void kvr__wal_scan_close(kvr__wal_scan *scan);

/* The record at the place, verified, and its entries, which lend until the next call; the place
 * moves behind it. KVR_END: no valid record stands there. KVR_EIO, KVR_ENOMEM, KVR_EVERSION,
 * KVR_EMISMATCH. */
kvr_status kvr__wal_scan_next(kvr__wal_scan *scan, kvr__wal_record *out_record,
                              kvr_slice *out_body);

/* Searches the rest of the segment, from `offset` on, for anything whole that vouches for a record:
 * *vouched becomes the highest sequence known to have been durable. KVR_OK, KVR_EIO, KVR_ENOMEM. */
kvr_status kvr__wal_scan_vouched(kvr__wal_scan *scan, uint64_t offset, uint64_t *vouched);

#endif
