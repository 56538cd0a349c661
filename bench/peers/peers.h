/* SPDX-License-Identifier: Apache-2.0 */
/* peers.h: the other sides of the questions. Each driver uses its library the way its own
 * documentation advises, and is given every advantage that is open to it. */
#ifndef KVRAFT_BENCH_PEERS_H
#define KVRAFT_BENCH_PEERS_H

#include "../bench.h"

/* The consensus questions' parameter: proposals at a time, and whether members compact their
 * logs. */
enum { PARAMETER_BATCH_MASK = 0xffff, PARAMETER_COMPACT = 0x10000 };

/* canonical/raft: reports cpu-ns (a proposal). */
void peer_raft_measure(bench_run *run);

/* JudySL with one word a key: reports put-ns, get-ns, scan-ns (a key), resident-bytes (a key). */
void peer_judy_bare_measure(bench_run *run);

/* JudySL with values: reports put-ns, overwrite-ns, get-ns, range-ns (100 keys), resident-bytes (a
 * key). */
void peer_judy_measure(bench_run *run);

/* LMDB: reports put-ns, overwrite-ns, get-ns, scan-ns (a key), range-ns (100 keys). */
void peer_lmdb_measure(bench_run *run);

/* pwrite and fdatasync: reports bytes-per-second for batches as large as ours. */
void peer_wal_measure(bench_run *run);

#endif
