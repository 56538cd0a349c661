/* SPDX-License-Identifier: Apache-2.0 */
/* bench_internal.h: what the harness's own files share: the results of a question, and the three
 * things done with them (measure, print, write as JSON). */
#ifndef KVRAFT_BENCH_INTERNAL_H
#define KVRAFT_BENCH_INTERNAL_H

#include <stdio.h>

#include "bench.h"

/* All values that one side reported under one name, one a run. */
typedef struct bench_series {
    char metric[BENCH_NAME_MAX];
    size_t count;
    double values[BENCH_RUNS_MAX];
} bench_series;

typedef struct bench_result {
    bench_series series[BENCH_SIDES_MAX][BENCH_METRICS_MAX];
    size_t series_count[BENCH_SIDES_MAX];
    bool failed[BENCH_SIDES_MAX];
} bench_result;

typedef struct bench_summary {
    double median;
    double min;
    double max;
} bench_summary;

double bench_load(void); /* processes that want a core now, averaged over the last minute */

/* Runs all sides (or ours only) `runs` times in turn, with progress on standard error. False if a
 * run failed; what the others reported is still in `out_result`. */
bool bench_measure(const bench_question *question, size_t runs, bool ours_only,
                   const char *directory, bench_result *out_result);

/* False if the side did not report the metric. */
bool bench_summarize(const bench_result *result, size_t side, const char *metric,
                     bench_summary *out_summary);

void bench_print_header(FILE *out);
void bench_print_question(FILE *out, const bench_question *question, const bench_result *result);
void bench_json_question(FILE *out, const bench_question *question, const bench_result *result,
                         bool *in_out_first);

#endif
