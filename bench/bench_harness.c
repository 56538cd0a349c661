/* SPDX-License-Identifier: Apache-2.0 */
/* bench_harness.c: runs the sides of a question in turn, each run in a child of its own, and
 * collects what they report over a pipe. A child that fails says why on standard error; its row is
 * missing and the program ends with 1. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "bench_internal.h"

enum { RUN_SECONDS_MAX = 300 };

typedef struct report {
    char metric[BENCH_NAME_MAX];
    double value;
} report;

struct bench_run {
    const bench_question *question;
    const bench_result *result; /* of the runs so far */
    const char *directory;
    int pipe;
};

/* ------------------------------------------------------------------ in the child */

void bench_fail(const char *what)
{
    fprintf(stderr, "\nkvr-bench: failed: %s\n", what);
    _exit(1);
}

void bench_report(bench_run *run, const char *metric, double value)
{
    report line = {.value = value};
    bench_require(strlen(metric) < BENCH_NAME_MAX, metric);
    strncpy(line.metric, metric, BENCH_NAME_MAX - 1);
    bench_require(write(run->pipe, &line, sizeof line) == (ssize_t)sizeof line, "write to pipe");
}

double bench_ours(const bench_run *run, const char *metric)
{
    for (size_t i = 0; i < run->result->series_count[0]; i++) {
        const bench_series *series = &run->result->series[0][i];
        if (strcmp(series->metric, metric) == 0) {
            return series->values[series->count - 1];
        }
    }
    bench_require(false, "our side reported nothing for its peer to repeat");
    return 0;
}

uint64_t bench_parameter(const bench_run *run)
{
    return run->question->parameter;
}

const char *bench_directory(const bench_run *run)
{
    return run->directory;
}

void bench_settle(const bench_run *run)
{
    DIR *directory = opendir(run->directory);
    bench_require(directory != NULL, "opendir");
    for (struct dirent *entry; (entry = readdir(directory)) != NULL;) {
        char name[4096];
        snprintf(name, sizeof name, "%s/%s", run->directory, entry->d_name);
        int file = open(name, O_RDONLY);
        bench_require(file >= 0 && fsync(file) == 0 && close(file) == 0, "fsync");
    }
    closedir(directory);
}

/* ------------------------------------------------------------------ measuring */

static uint64_t clock_ns(clockid_t clock)
{
    struct timespec now;
    bench_require(clock_gettime(clock, &now) == 0, "clock_gettime");
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

uint64_t bench_cpu_ns(void)
{
    return clock_ns(CLOCK_PROCESS_CPUTIME_ID);
}

uint64_t bench_wall_ns(void)
{
    return clock_ns(CLOCK_MONOTONIC);
}

uint64_t bench_resident_bytes(void)
{
    unsigned long long total = 0, resident = 0;
    FILE *file = fopen("/proc/self/statm", "r");
    bench_require(file != NULL && fscanf(file, "%llu %llu", &total, &resident) == 2, "statm");
    fclose(file);
    return resident * (uint64_t)sysconf(_SC_PAGESIZE);
}

double bench_load(void)
{
    double load = 0;
    FILE *file = fopen("/proc/loadavg", "r");
    bench_require(file != NULL && fscanf(file, "%lf", &load) == 1, "loadavg");
    fclose(file);
    return load;
}

static volatile uint64_t consumed;

void bench_consume(uint64_t value)
{
    consumed = value;
}

/* ------------------------------------------------------------------ input */

uint64_t bench_random(uint64_t *state)
{
    uint64_t z = (*state += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

/* splitmix64 is a bijection of its counter, so the keys of one seed are distinct by
 * construction. */
bench_key *bench_keys_new(size_t count, uint64_t seed)
{
    bench_key *keys = malloc(count * sizeof *keys);
    bench_require(keys != NULL, "memory for keys");
    for (size_t i = 0; i < count; i++) {
        snprintf(keys[i].text, sizeof keys[i].text, "%016llx",
                 (unsigned long long)bench_random(&seed));
    }
    return keys;
}

bench_key *bench_keys_shuffled(const bench_key *keys, size_t count, uint64_t seed)
{
    bench_key *copy = malloc(count * sizeof *copy);
    bench_require(copy != NULL, "memory for keys");
    memcpy(copy, keys, count * sizeof *copy);
    for (size_t i = count; i > 1; i--) {
        size_t j = (size_t)(bench_random(&seed) % i);
        bench_key swap = copy[i - 1];
        copy[i - 1] = copy[j];
        copy[j] = swap;
    }
    return copy;
}

void bench_value_fill(uint8_t value[BENCH_VALUE_SIZE], uint64_t number)
{
    memcpy(value, &number, sizeof number);
}

/* ------------------------------------------------------------------ in the parent */

static void directory_empty(const char *path)
{
    DIR *directory = opendir(path);
    if (directory == NULL) {
        return;
    }
    for (struct dirent *entry; (entry = readdir(directory)) != NULL;) {
        char name[4096];
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0) {
            continue;
        }
        snprintf(name, sizeof name, "%s/%s", path, entry->d_name);
        if (unlink(name) != 0 && (errno == EISDIR || errno == EPERM)) {
            directory_empty(name);
            rmdir(name);
        }
    }
    closedir(directory);
}

static void result_add(bench_result *result, size_t side, const report *line)
{
    size_t i = 0;
    while (i < result->series_count[side] &&
           strcmp(result->series[side][i].metric, line->metric) != 0) {
        i++;
    }
    bench_series *series = &result->series[side][i];
    if (i == result->series_count[side]) {
        bench_require(i < BENCH_METRICS_MAX, "BENCH_METRICS_MAX");
        memcpy(series->metric, line->metric, BENCH_NAME_MAX);
        result->series_count[side]++;
    }
    bench_require(series->count < BENCH_RUNS_MAX, "a metric is reported once a run");
    series->values[series->count++] = line->value;
}

static bool run_side(const bench_question *question, size_t side, const char *directory,
                     bench_result *result)
{
    int ends[2], status = 0;
    report line;

    directory_empty(directory);
    bench_require(pipe(ends) == 0, "pipe");
    fflush(NULL);
    pid_t child = fork();
    bench_require(child >= 0, "fork");
    if (child == 0) {
        bench_run run = {question, result, directory, ends[1]};
        close(ends[0]);
        alarm(RUN_SECONDS_MAX); /* a run that hangs is a failure, not a hanging `make bench` */
        question->sides[side].measure(&run);
        _exit(0);
    }
    close(ends[1]);
    while (read(ends[0], &line, sizeof line) == (ssize_t)sizeof line) {
        result_add(result, side, &line);
    }
    close(ends[0]);
    while (waitpid(child, &status, 0) < 0 && errno == EINTR) {
    }
    directory_empty(directory);
    if (status != 0) {
        fprintf(stderr, "\nkvr-bench: %s: the run of %s ended with %s %d\n", question->name,
                question->sides[side].who, WIFSIGNALED(status) ? "signal" : "status",
                WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
    }
    return status == 0;
}

/* On a virtual machine the first touch of a page since its boot is a fault of the host's as well,
 * and costs many times what it will later. This pays for the pages that the runs will use, whoever
 * comes first. */
static void touch_memory(void)
{
    enum { SIZE = 1 << 30, PAGE = 4096 };
    uint8_t *memory = malloc(SIZE);
    for (size_t i = 0; memory != NULL && i < SIZE; i += PAGE) {
        ((volatile uint8_t *)memory)[i] = 1;
    }
    free(memory);
}

bool bench_measure(const bench_question *question, size_t runs, bool ours_only,
                   const char *directory, bench_result *out_result)
{
    size_t sides = ours_only ? 1 : BENCH_SIDES_MAX;
    bool ok = true;
    bool terminal = isatty(STDERR_FILENO) == 1;

    memset(out_result, 0, sizeof *out_result);
    touch_memory();
    for (size_t run = 0; run < runs; run++) {
        for (size_t side = 0; side < sides; side++) {
            if (question->sides[side].measure == NULL || out_result->failed[side]) {
                continue;
            }
            if (terminal) {
                fprintf(stderr, "\r\033[K%s: run %zu of %zu, %s", question->name, run + 1, runs,
                        question->sides[side].who);
            }
            if (!run_side(question, side, directory, out_result)) {
                out_result->failed[side] = true;
                ok = false;
            }
        }
    }
    if (terminal) {
        fprintf(stderr, "\r\033[K");
    } else {
        fprintf(stderr, "%s: %zu runs a side\n", question->name, runs);
    }
    return ok;
}
