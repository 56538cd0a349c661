/* SPDX-License-Identifier: Apache-2.0 */
/* bench_questions.h: all questions, one definition in each file named after its room. */
#ifndef KVRAFT_BENCH_QUESTIONS_H
#define KVRAFT_BENCH_QUESTIONS_H

#include "bench.h"

extern const bench_question bench_raft_1;
extern const bench_question bench_raft_64;
extern const bench_question bench_raft_compact_1;
extern const bench_question bench_raft_compact_64;
extern const bench_question bench_mvcc;
extern const bench_question bench_watch_1;
extern const bench_question bench_watch_10000;
extern const bench_question bench_wal_1;
extern const bench_question bench_wal_8;
extern const bench_question bench_wal_64;
extern const bench_question bench_start;
extern const bench_question bench_sim;
extern const bench_question bench_groups;
extern const bench_question bench_failover_100;
extern const bench_question bench_failover_10;

#endif
