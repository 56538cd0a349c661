/* SPDX-License-Identifier: Apache-2.0 */
/* bench_main.c: kvr-bench, the program behind `make bench`: asks each question, prints one table
 * and writes bench.json. Exits 0 if every side ran, whatever it measured: a number that misses its
 * goal is printed as MISSED, not hidden and not an error. */
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bench_internal.h"
#include "bench_questions.h"

static const bench_question *const questions[] = {
    &bench_raft_1, &bench_raft_64,      &bench_raft_compact_1, &bench_raft_compact_64,
    &bench_mvcc,   &bench_watch_1,      &bench_watch_10000,    &bench_wal_1,
    &bench_wal_8,  &bench_wal_64,       &bench_start,          &bench_sim,
    &bench_groups, &bench_failover_100, &bench_failover_10,
};
enum { QUESTION_COUNT = sizeof questions / sizeof *questions };

typedef struct options {
    const char *only;
    const char *directory;
    const char *json;
    size_t runs;
    bool ours;
} options;

static void help(void)
{
    printf("usage: kvr-bench [--only NAME] [--ours] [--runs N] [--dir DIR] [--json FILE]\n\n"
           "  --only NAME  ask only the questions whose name begins with NAME\n"
           "  --ours       leave the peers out, as for a profiler\n"
           "  --runs N     runs of each side, alternating, 1 to %d (default 5)\n"
           "  --dir DIR    where to make (and remove) a directory for files; on a real disk "
           "(default .)\n"
           "  --json FILE  where to write the results (default: no file)\n\nquestions:\n",
           BENCH_RUNS_MAX);
    for (size_t i = 0; i < QUESTION_COUNT; i++) {
        printf("  %-14s %s\n", questions[i]->name, questions[i]->title);
    }
    printf(
        "\nRatio: ours divided by the peer's, in the unit of the row. Times are CPU times, except\n"
        "where a disk is waited for.\n");
}

static int usage(const char *what, const char *text)
{
    fprintf(stderr, "kvr-bench: %s: %s; see kvr-bench --help\n", what, text);
    return 2;
}

/* A whole name means that question alone, though it begins another's. */
static bool selected(const options *opt, const bench_question *question)
{
    if (opt->only == NULL) {
        return true;
    }
    for (size_t i = 0; i < QUESTION_COUNT; i++) {
        if (strcmp(questions[i]->name, opt->only) == 0) {
            return question == questions[i];
        }
    }
    return strncmp(question->name, opt->only, strlen(opt->only)) == 0;
}

/* 0: go on; otherwise the exit status plus 1. */
static int options_parse(options *opt, int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        const char *name = argv[i], *value = i + 1 < argc ? argv[i + 1] : NULL;
        char *end = NULL;
        if (strcmp(name, "--ours") == 0) {
            opt->ours = true;
            continue;
        }
        if (strcmp(name, "--help") == 0) {
            help();
            return 1;
        }
        if (strcmp(name, "--only") != 0 && strcmp(name, "--runs") != 0 &&
            strcmp(name, "--dir") != 0 && strcmp(name, "--json") != 0) {
            return 1 + usage(name, "unknown flag");
        }
        if (value == NULL) {
            return 1 + usage(name, "needs a value");
        }
        i++;
        if (strcmp(name, "--only") == 0) {
            opt->only = value;
        } else if (strcmp(name, "--dir") == 0) {
            opt->directory = value;
        } else if (strcmp(name, "--json") == 0) {
            opt->json = value;
        } else {
            opt->runs = strtoul(value, &end, 10);
            if (*value < '1' || *value > '9' || *end != '\0' || opt->runs > BENCH_RUNS_MAX) {
                return 1 + usage(value, "--runs takes 1 to 99");
            }
        }
    }
    for (size_t i = 0; i < QUESTION_COUNT; i++) {
        if (selected(opt, questions[i])) {
            return 0;
        }
    }
    return 1 + usage(opt->only, "no question has this name");
}

int main(int argc, char **argv)
{
    options opt = {.directory = ".", .runs = 5};
    static bench_result result;
    char directory[PATH_MAX];
    FILE *json = NULL;
    bool ok = true, first = true;
    int status = options_parse(&opt, argc, argv);

    if (status != 0) {
        return status - 1;
    }
    snprintf(directory, sizeof directory, "%s/kvr-bench-XXXXXX", opt.directory);
    if (mkdtemp(directory) == NULL) {
        fprintf(stderr, "kvr-bench: --dir %s: %s\n", opt.directory, strerror(errno));
        return 1;
    }
    if (opt.json != NULL && (json = fopen(opt.json, "w")) == NULL) {
        fprintf(stderr, "kvr-bench: --json %s: %s\n", opt.json, strerror(errno));
        rmdir(directory);
        return 1;
    }
    printf(
        "Median of %zu runs a side, with minimum and maximum. Ratio: ours divided by the peer's.\n"
        "%ld cores; load before the start %.1f: what else runs here shares them.\n\n",
        opt.runs, sysconf(_SC_NPROCESSORS_ONLN), bench_load());
    bench_print_header(stdout);
    for (size_t i = 0; i < QUESTION_COUNT; i++) {
        if (!selected(&opt, questions[i])) {
            continue;
        }
        ok = bench_measure(questions[i], opt.runs, opt.ours, directory, &result) && ok;
        bench_print_question(stdout, questions[i], &result);
        if (json != NULL) {
            bench_json_question(json, questions[i], &result, &first);
        }
    }
    if (json != NULL) {
        fprintf(json, "%s\n", first ? "[]" : "\n]");
        ok = fclose(json) == 0 && ok;
    }
    rmdir(directory);
    return ok ? 0 : 1;
}
