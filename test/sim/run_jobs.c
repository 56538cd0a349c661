/* SPDX-License-Identifier: Apache-2.0 */
/* run_jobs.c: see run_jobs.h. Lines and exit statuses: kvr-sim(1). */
#include "run_jobs.h"

#include "base/buggify.h"

#include <errno.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { NS_A_SECOND = 1000000000 };

typedef struct worker {
    pid_t pid;
    int pipe;
    uint64_t place; /* of the seed under way */
    bool is_busy;   /* with that seed */
    bool is_open;
} worker;

/* ------------------------------------------------------------------ one of them */

run_spec run_spec_at(const options *opt, uint64_t place)
{
    run_spec spec = opt->spec;
    if (opt->replay != NULL) {
        return spec;
    }
    spec.seed = opt->listed == NULL ? opt->first + place : opt->listed[place].seed;
    if (opt->listed != NULL && opt->listed[place].steps != 0) {
        run_spec_set(&spec, run_knob_find("events", 6), opt->listed[place].steps);
    }
    return spec;
}

static uint64_t cpu_now(void)
{
    struct timespec t;
    return clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t) != 0
               ? 0
               : (uint64_t)t.tv_sec * NS_A_SECOND + (uint64_t)t.tv_nsec;
}

void run_noted(const options *opt, uint64_t place, const run_listener *listener, note *out)
{
    run_spec spec = run_spec_at(opt, place);
    uint64_t begin = cpu_now();
    *out = (note){.place = place, .is_end = 1};
    run_seed(&spec, listener, &out->verdict);
    out->cpu_ns = cpu_now() - begin;
}

/* ------------------------------------------------------------------ lines */

static void print_failure(const options *opt, uint64_t place, const run_verdict *verdict)
{
    run_spec spec = run_spec_at(opt, place);
    (void)printf("seed %llu: %s at %llu.%06llu s: %s; replay: %s ", (unsigned long long)spec.seed,
                 verdict->report.invariant, (unsigned long long)(verdict->time_ns / NS_A_SECOND),
                 (unsigned long long)(verdict->time_ns % NS_A_SECOND / 1000), verdict->report.text,
                 opt->program);
    if (opt->replay != NULL) {
        (void)printf("--replay %s", opt->replay);
    } else {
        run_spec_print_flags(&spec, stdout);
    }
    (void)printf(" --verbose\n");
    (void)fflush(stdout);
}

static void print_progress(const options *opt, const totals *sum)
{
    if (isatty(STDERR_FILENO) != 0) {
        (void)fprintf(stderr, "\r%llu of %llu seeds, %llu failed ", (unsigned long long)sum->seeds,
                      (unsigned long long)opt->last_place + 1, (unsigned long long)sum->failures);
    }
}

void run_print_summary(const totals *sum)
{
    if (isatty(STDERR_FILENO) != 0) {
        (void)fprintf(stderr, "\r%60s\r", "");
    }
    uint64_t cpu_us = sum->cpu_ns / 1000 + 1;
    (void)printf(
        "%llu seeds, %llu events, %llu calls, %llu.%03llu simulated hours, %llu.%02llu CPU-s, "
        "%llu events/CPU-s, %llu failed\n",
        (unsigned long long)sum->seeds, (unsigned long long)sum->events,
        (unsigned long long)sum->calls,
        (unsigned long long)(sum->simulated_ns / NS_A_SECOND / 3600),
        (unsigned long long)(sum->simulated_ns / NS_A_SECOND % 3600 * 1000 / 3600),
        (unsigned long long)(cpu_us / 1000000), (unsigned long long)(cpu_us % 1000000 / 10000),
        (unsigned long long)(sum->events * 1000000 / cpu_us), (unsigned long long)sum->failures);
}

/* What chance did, so that a kind or a site that no seed reaches is seen. */
void run_print_counts(const totals *sum)
{
    static const char *const kinds[RUN_FAULT_KINDS] = {[KVR_SIM_FAULT_LOSS] = "loss",
                                                       [KVR_SIM_FAULT_REPEAT] = "repeat",
                                                       [KVR_SIM_FAULT_CORRUPT] = "corrupt",
                                                       [KVR_SIM_FAULT_CLOG] = "clog",
                                                       [KVR_SIM_FAULT_CRASH] = "crash",
                                                       [KVR_SIM_FAULT_CUT] = "cut",
                                                       [KVR_SIM_FAULT_PAUSE] = "pause",
                                                       [KVR_SIM_FAULT_STALL] = "stall",
                                                       [KVR_SIM_FAULT_JUMP] = "jump",
                                                       [KVR_SIM_FAULT_DISK] = "disk",
                                                       [RUN_FAULT_DAMAGE] = "damage",
                                                       [RUN_FAULT_MEMORY] = "memory",
                                                       [RUN_FAULT_FULL] = "full",
#define SITE(name) [KVR_SIM_FAULT_BUGGIFY + KVR__BUGGIFY_##name] = #name,
                                                       KVR__BUGGIFY_SITES(SITE)
#undef SITE
    };
    for (uint32_t i = 0; i < RUN_FAULT_KINDS; i++) {
        if (kinds[i] != NULL) {
            (void)printf("%-24s %llu\n", kinds[i], (unsigned long long)sum->faults[i]);
        }
    }
    (void)printf("%-24s %llu\n", "undecided registers", (unsigned long long)sum->undecided);
}

void run_count(const options *opt, totals *sum, const note *from)
{
    sum->seeds++;
    sum->events += from->verdict.events;
    sum->simulated_ns += from->verdict.time_ns;
    sum->calls += from->verdict.done;
    sum->undecided += from->verdict.undecided;
    sum->cpu_ns += from->cpu_ns;
    for (uint32_t i = 0; i < RUN_FAULT_KINDS; i++) {
        sum->faults[i] += from->verdict.faults[i];
    }
    if (from->verdict.report.failed) {
        sum->first_failure = sum->failures == 0 ? from->place : sum->first_failure;
        sum->failures++;
        print_failure(opt, from->place, &from->verdict);
    }
    print_progress(opt, sum);
}

/* ------------------------------------------------------------------ workers */

static void tell(int fd, const note *what)
{
    const uint8_t *at = (const uint8_t *)what;
    size_t left = sizeof *what;
    while (left > 0) {
        ssize_t written = write(fd, at, left);
        if (written <= 0) {
            _exit(3);
        }
        at += written;
        left -= (size_t)written;
    }
}

/* Every jobs-th seed from `place` on. */
static void work(const options *opt, uint64_t place, int fd)
{
    const run_listener silent = {NULL, NULL, NULL};
    for (;;) {
        note what = {.place = place};
        tell(fd, &what);
        run_noted(opt, place, &silent, &what);
        tell(fd, &what);
        if (opt->last_place - place < opt->jobs) {
            _exit(0);
        }
        place += opt->jobs;
    }
}

static bool start(const options *opt, worker *of, uint64_t place)
{
    int ends[2];
    if (pipe(ends) != 0) {
        return false;
    }
    (void)fflush(stdout);
    pid_t pid = fork();
    if (pid < 0) {
        return false;
    }
    if (pid == 0) {
        (void)close(ends[0]);
        work(opt, place, ends[1]);
    }
    (void)close(ends[1]);
    *of = (worker){.pid = pid, .pipe = ends[0], .place = place, .is_open = true, .is_busy = true};
    return true;
}

static bool hear(int fd, note *out)
{
    uint8_t *at = (uint8_t *)out;
    size_t left = sizeof *out;
    while (left > 0) {
        ssize_t got = read(fd, at, left);
        if (got <= 0) {
            return false;
        }
        at += got;
        left -= (size_t)got;
    }
    return true;
}

static void note_death(note *out, int status)
{
    check_fail(&out->verdict.report, "CRASH", "the process died of signal %d",
               WIFSIGNALED(status) ? WTERMSIG(status) : 0);
}

/* The worker's pipe has ended. If it died in a seed, that seed failed, and another goes on behind
 * it. */
static bool bury(const options *opt, totals *sum, worker *of)
{
    int status = 0;
    (void)close(of->pipe);
    (void)waitpid(of->pid, &status, 0);
    of->is_open = false;
    if (!of->is_busy) {
        return true;
    }
    note died = {.place = of->place, .is_end = 1};
    note_death(&died, status);
    run_count(opt, sum, &died);
    return opt->last_place - of->place < opt->jobs || start(opt, of, of->place + opt->jobs);
}

static bool serve(const options *opt, totals *sum, worker *of)
{
    note what;
    if (!hear(of->pipe, &what)) {
        return bury(opt, sum, of);
    }
    of->place = what.place;
    of->is_busy = what.is_end == 0;
    if (what.is_end != 0) {
        run_count(opt, sum, &what);
    }
    return true;
}

static void stop_all(worker *workers, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        if (workers[i].is_open) {
            (void)close(workers[i].pipe); /* its next word ends it */
            (void)waitpid(workers[i].pid, NULL, 0);
        }
    }
}

/* Workers are heard in turn: each has its own share of the seeds, so none waits for long. */
int run_jobs(const options *opt, totals *sum)
{
    worker workers[JOBS_MAX] = {{0}};
    uint32_t open = 0;
    for (uint32_t i = 0; i < opt->jobs && i <= opt->last_place; i++) {
        if (!start(opt, &workers[i], i)) {
            (void)fprintf(stderr, "kvr-sim: cannot start a process: %s\n", strerror(errno));
            return 3;
        }
        open++;
    }
    while (open > 0) {
        for (uint32_t i = 0; i < opt->jobs; i++) {
            if (!workers[i].is_open) {
                continue;
            }
            if (!serve(opt, sum, &workers[i])) {
                return 3;
            }
            open -= !workers[i].is_open;
            if (opt->stop_at_first && sum->failures > 0) {
                stop_all(workers, opt->jobs);
                return 0;
            }
        }
    }
    return 0;
}

bool run_apart(const run_spec *spec, run_verdict *out_verdict)
{
    const run_listener silent = {NULL, NULL, NULL};
    int ends[2];
    int status = 0;
    note what = {.is_end = 1};
    if (pipe(ends) != 0) {
        return false;
    }
    (void)fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        run_seed(spec, &silent, &what.verdict);
        tell(ends[1], &what);
        _exit(0);
    }
    (void)close(ends[1]);
    if (pid > 0 && !hear(ends[0], &what)) {
        what = (note){.is_end = 1};
    }
    (void)close(ends[0]);
    if (pid > 0) {
        (void)waitpid(pid, &status, 0);
    }
    if (pid > 0 && (!WIFEXITED(status) || WEXITSTATUS(status) != 0)) {
        note_death(&what, status);
    }
    *out_verdict = what.verdict;
    return pid > 0;
}
