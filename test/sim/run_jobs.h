/* SPDX-License-Identifier: Apache-2.0 */
/* run_jobs.h: many seeds in several processes, and the lines that tell of them. Seeds have places
 * 0..last_place: those of a range, or of a list. Each process tells its parent by a pipe which seed
 * it begins and what became of it, so that one that dies takes only its seed along. */
#ifndef KVRAFT_TEST_SIM_RUN_JOBS_H
#define KVRAFT_TEST_SIM_RUN_JOBS_H

#include "run.h"

enum { JOBS_MAX = 64, LISTED_MAX = 4096 };

/* A seed to be run, for so many events; 0: as many as it draws. */
typedef struct planned {
    uint64_t seed;
    uint64_t steps;
} planned;

typedef struct options {
    uint64_t first;
    uint64_t last_place;
    run_spec spec;   /* what all of them have in common */
    planned *listed; /* of a file; NULL: a range from `first` on */
    uint32_t jobs;
    bool verbose;
    bool stop_at_first; /* failure */
    bool has_seeds;
    bool shrink;
    bool counts;        /* of faults, by kind */
    const char *replay; /* files; NULL: none */
    const char *html;
    const char *ledger;
    const char *shrink_to;
    const char *program;
} options;

typedef struct totals {
    uint64_t seeds;
    uint64_t events;
    uint64_t simulated_ns;
    uint64_t cpu_ns;
    uint64_t failures;
    uint64_t calls;
    uint64_t undecided; /* registers */
    uint64_t faults[RUN_FAULT_KINDS];
    uint64_t first_failure; /* place */
} totals;

/* What became of the seed at a place. */
typedef struct note {
    uint64_t place;
    uint64_t cpu_ns;
    uint64_t is_end; /* 0: it begins this seed */
    run_verdict verdict;
} note;

/* The run at `place`: what is common, with its own seed. */
run_spec run_spec_at(const options *opt, uint64_t place);
void run_noted(const options *opt, uint64_t place, const run_listener *listener, note *out);
void run_count(const options *opt, totals *sum, const note *from); /* prints a failure */
void run_print_summary(const totals *sum);
void run_print_counts(const totals *sum);

/* 0, or 3: no process could be started. */
int run_jobs(const options *opt, totals *sum);

#endif
