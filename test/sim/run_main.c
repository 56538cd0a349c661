/* SPDX-License-Identifier: Apache-2.0 */
/* run_main.c: kvr-sim. Seeds are shared among processes; each tells its parent by a pipe which seed
 * it begins and what became of it, so that one that dies takes only its seed along. Lines and exit
 * statuses: kvr-sim(1). */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "run.h"

enum { JOBS_MAX = 64, NS_A_SECOND = 1000000000 };

typedef struct options {
    uint64_t first;
    uint64_t last;
    uint64_t steps;
    uint32_t jobs;
    bool verbose;
    bool has_seeds;
    const char *program;
} options;

typedef struct totals {
    uint64_t seeds;
    uint64_t events;
    uint64_t simulated_ns;
    uint64_t cpu_ns;
    uint64_t failures;
    uint64_t calls;
} totals;

/* What a worker tells. */
typedef struct note {
    uint64_t seed;
    uint64_t cpu_ns;
    uint64_t is_end; /* 0: it begins this seed */
    run_verdict verdict;
} note;

typedef struct worker {
    pid_t pid;
    int pipe;
    uint64_t seed; /* under way */
    bool is_busy;  /* with that seed */
    bool is_open;
} worker;

/* ------------------------------------------------------------------ flags */

static int usage(const char *wrong, const char *word)
{
    (void)fprintf(
        stderr, "kvr-sim: %s%s%s; try: kvr-sim --seeds 1..100 [--steps N] [--jobs N] [--verbose]\n",
        wrong, word == NULL ? "" : " ", word == NULL ? "" : word);
    return 2;
}

static bool read_number(const char *text, uint64_t *out_value, const char **out_end)
{
    char *end;
    errno = 0;
    unsigned long long value = strtoull(text, &end, 0);
    *out_value = value;
    *out_end = end;
    return end != text && errno == 0 && text[0] >= '0' && text[0] <= '9';
}

static bool read_seeds(const char *text, options *out)
{
    const char *end;
    if (!read_number(text, &out->first, &end)) {
        return false;
    }
    out->last = out->first;
    out->has_seeds = true;
    if (end[0] == '\0') {
        return true;
    }
    return end[0] == '.' && end[1] == '.' && read_number(end + 2, &out->last, &end) &&
           end[0] == '\0' && out->last >= out->first;
}

static int read_flags(int count, char **words, options *out)
{
    *out = (options){.jobs = 1, .program = words[0]};
    for (int i = 1; i < count; i++) {
        const char *value = i + 1 < count ? words[i + 1] : "";
        const char *end = "";
        uint64_t number = 0;
        if (strcmp(words[i], "--verbose") == 0) {
            out->verbose = true;
            continue;
        }
        if (strcmp(words[i], "--seeds") == 0) {
            if (!read_seeds(value, out)) {
                return usage("--seeds wants A..B, not", value);
            }
        } else if (strcmp(words[i], "--steps") == 0) {
            if (!read_number(value, &out->steps, &end) || *end != '\0') {
                return usage("--steps wants a number of events, not", value);
            }
        } else if (strcmp(words[i], "--jobs") == 0) {
            if (!read_number(value, &number, &end) || *end != '\0' || number == 0 ||
                number > JOBS_MAX) {
                return usage("--jobs wants 1 to 64, not", value);
            }
            out->jobs = (uint32_t)number;
        } else {
            return usage("unknown flag", words[i]);
        }
        i++;
    }
    return out->has_seeds ? 0 : usage("no --seeds", NULL);
}

/* ------------------------------------------------------------------ lines */

static void print_failure(const options *opt, uint64_t seed, const run_verdict *verdict)
{
    (void)printf("seed %llu: %s at %llu.%06llu s: %s; replay: %s --seeds %llu..%llu%s",
                 (unsigned long long)seed, verdict->report.invariant,
                 (unsigned long long)(verdict->time_ns / NS_A_SECOND),
                 (unsigned long long)(verdict->time_ns % NS_A_SECOND / 1000), verdict->report.text,
                 opt->program, (unsigned long long)seed, (unsigned long long)seed,
                 opt->steps == 0 ? "" : " --steps ");
    if (opt->steps != 0) {
        (void)printf("%llu", (unsigned long long)opt->steps);
    }
    (void)printf(" --verbose\n");
    (void)fflush(stdout);
}

static void print_progress(const options *opt, const totals *sum)
{
    if (isatty(STDERR_FILENO) != 0) {
        (void)fprintf(stderr, "\r%llu of %llu seeds, %llu failed ", (unsigned long long)sum->seeds,
                      (unsigned long long)opt->last - opt->first + 1,
                      (unsigned long long)sum->failures);
    }
}

static void print_summary(const totals *sum)
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

static void count(const options *opt, totals *sum, const note *from)
{
    sum->seeds++;
    sum->events += from->verdict.events;
    sum->simulated_ns += from->verdict.time_ns;
    sum->calls += from->verdict.done;
    sum->cpu_ns += from->cpu_ns;
    if (from->verdict.report.failed) {
        sum->failures++;
        print_failure(opt, from->seed, &from->verdict);
    }
    print_progress(opt, sum);
}

/* ------------------------------------------------------------------ workers */

static uint64_t cpu_now(void)
{
    struct timespec t;
    return clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t) != 0
               ? 0
               : (uint64_t)t.tv_sec * NS_A_SECOND + (uint64_t)t.tv_nsec;
}

static void run_noted(uint64_t seed, uint64_t steps, FILE *trace, note *out)
{
    uint64_t begin = cpu_now();
    *out = (note){.seed = seed, .is_end = 1};
    run_seed(seed, steps, trace, &out->verdict);
    out->cpu_ns = cpu_now() - begin;
}

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

/* Every jobs-th seed from `seed` on. */
static void work(const options *opt, uint64_t seed, int fd)
{
    for (;;) {
        note what = {.seed = seed};
        tell(fd, &what);
        run_noted(seed, opt->steps, NULL, &what);
        tell(fd, &what);
        if (opt->last - seed < opt->jobs) {
            _exit(0);
        }
        seed += opt->jobs;
    }
}

static bool start(const options *opt, worker *of, uint64_t seed)
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
        work(opt, seed, ends[1]);
    }
    (void)close(ends[1]);
    *of = (worker){.pid = pid, .pipe = ends[0], .seed = seed, .is_open = true, .is_busy = true};
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
    note died = {.seed = of->seed, .is_end = 1};
    check_fail(&died.verdict.report, "CRASH", "the process died of signal %d",
               WIFSIGNALED(status) ? WTERMSIG(status) : 0);
    count(opt, sum, &died);
    return opt->last - of->seed < opt->jobs || start(opt, of, of->seed + opt->jobs);
}

static bool serve(const options *opt, totals *sum, worker *of)
{
    note what;
    if (!hear(of->pipe, &what)) {
        return bury(opt, sum, of);
    }
    of->seed = what.seed;
    of->is_busy = what.is_end == 0;
    if (what.is_end != 0) {
        count(opt, sum, &what);
    }
    return true;
}

/* Workers are heard in turn: each has its own share of the seeds, so none waits for long. */
static int run_jobs(const options *opt, totals *sum)
{
    worker workers[JOBS_MAX] = {{0}};
    uint64_t seeds = opt->last - opt->first;
    uint32_t open = 0;
    for (uint32_t i = 0; i < opt->jobs && i <= seeds; i++) {
        if (!start(opt, &workers[i], opt->first + i)) {
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
        }
    }
    return 0;
}

/* ------------------------------------------------------------------ main */

/* In this process, so that a debugger sees it; ends with the hash that two runs compare. */
static void run_verbose(const options *opt, totals *sum)
{
    for (uint64_t seed = opt->first;; seed++) {
        note what;
        (void)printf("seed %llu\n", (unsigned long long)seed);
        run_noted(seed, opt->steps, stdout, &what);
        count(opt, sum, &what);
        (void)printf("seed %llu trace %016llx\n", (unsigned long long)seed,
                     (unsigned long long)what.verdict.trace_hash);
        if (seed == opt->last) {
            return;
        }
    }
}

int main(int argument_count, char **arguments)
{
    options opt;
    totals sum = {0};
    int wrong = read_flags(argument_count, arguments, &opt);
    if (wrong != 0) {
        return wrong;
    }
    (void)signal(SIGPIPE, SIG_DFL);
    if (opt.verbose) {
        run_verbose(&opt, &sum);
    } else {
        int status = run_jobs(&opt, &sum);
        if (status != 0) {
            return status;
        }
    }
    print_summary(&sum);
    return sum.failures == 0 ? 0 : 1;
}
