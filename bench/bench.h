/* SPDX-License-Identifier: Apache-2.0 */
/* bench.h: what a benchmark file sees of the harness.
 *
 * A question has two or more sides, ours first, that do the same work. Each run of a side is a
 * child process of its own, so no run inherits another's heap, and sides take turns (A B A B ...),
 * so a noisy minute falls on all of them. A side reports numbers under names; a row of the table is
 * the median of one of our numbers, beside the median of a peer's if it has a peer.
 * Start reading at bench_questions in bench_main.c. */
#ifndef KVRAFT_BENCH_H
#define KVRAFT_BENCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    BENCH_SIDES_MAX = 4,
    BENCH_ROWS_MAX = 18,
    BENCH_METRICS_MAX = 24,
    BENCH_RUNS_MAX = 99,
    BENCH_NAME_MAX = 32
};

/* ------------------------------------------------------------------ one run, in its child */

typedef struct bench_run bench_run;

/* Reports `value` as the run's `metric` (shorter than BENCH_NAME_MAX; each once). */
void bench_report(bench_run *run, const char *metric, double value);

/* What our side last reported as `metric` in this question: how a peer gets to do the same work
 * (the bytes that a WAL record took, say). Ends the run if our side did not. */
double bench_ours(const bench_run *run, const char *metric);

/* The number that the question gives this side, such as its batch size. */
uint64_t bench_parameter(const bench_run *run);

/* A directory on a real disk, empty when the run starts and emptied after it. */
const char *bench_directory(const bench_run *run);

/* Waits until every file in it is on the disk, so that what follows waits for its own writes
 * alone. */
void bench_settle(const bench_run *run);

/* Ends the run with a message. */
void bench_fail(const char *what);

/* The same if `ok` is false. A benchmark checks each call and each answer: a fast wrong result is
 * none. Inline, so that it costs a measured loop next to nothing. */
static inline void bench_require(bool ok, const char *what)
{
    if (!ok) {
        bench_fail(what);
    }
}

/* ------------------------------------------------------------------ measuring */

uint64_t bench_cpu_ns(void);         /* CPU time of this process, all threads */
uint64_t bench_wall_ns(void);        /* monotonic */
uint64_t bench_resident_bytes(void); /* this process's resident memory now */

/* Keeps the compiler from dropping work whose result nobody reads. */
void bench_consume(uint64_t value);

/* ---------------------------------------------------------------- input, the same for each side */

enum { BENCH_KEY_SIZE = 16, BENCH_VALUE_SIZE = 100, BENCH_KEY_COUNT = 1000000 };

/* 16 hexadecimal digits of a random number, and a NUL for those peers that need one. */
typedef struct bench_key {
    char text[BENCH_KEY_SIZE + 1];
} bench_key;

/* `count` distinct keys in random order; the same for the same seed. */
bench_key *bench_keys_new(size_t count, uint64_t seed);

/* A copy in another random order, so that lookups read their keys in sequence. */
bench_key *bench_keys_shuffled(const bench_key *keys, size_t count, uint64_t seed);

/* A 100-byte value that depends on `number`. */
void bench_value_fill(uint8_t value[BENCH_VALUE_SIZE], uint64_t number);

uint64_t bench_random(uint64_t *state); /* splitmix64 */

/* ------------------------------------------------------------------ questions */

typedef struct bench_side {
    const char *who;
    void (*measure)(bench_run *run);
} bench_side;

enum { BENCH_GOAL_NONE, BENCH_GOAL_AT_MOST, BENCH_GOAL_AT_LEAST };

/* One line of the table. The ratio is our median divided by the peer's, in the row's unit. */
typedef struct bench_row {
    const char *name;   /* in the table and in bench.json */
    const char *metric; /* as both sides report it */
    const char *unit;
    uint32_t peer;      /* index into sides; 0 for a row without a peer */
    uint32_t goal_kind; /* BENCH_GOAL_ */
    double goal;        /* of the ratio if there is a peer, else of the value */
} bench_row;

typedef struct bench_question {
    const char *name; /* for --only; a prefix is enough */
    const char *title;
    uint64_t parameter;
    bench_side sides[BENCH_SIDES_MAX];
    bench_row rows[BENCH_ROWS_MAX];
} bench_question;

#endif
