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

enum { JOBS_MAX = 64, LISTED_MAX = 4096, NS_A_SECOND = 1000000000 };

/* A seed to be run, for so many events; 0: as many as it draws. */
typedef struct planned {
    uint64_t seed;
    uint64_t steps;
} planned;

/* Seeds have places 0..last_place: those of a range, or of a file. */
typedef struct options {
    uint64_t first;
    uint64_t last_place;
    uint64_t steps;
    planned *listed; /* of a file; NULL: a range from `first` on */
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
    uint64_t place;
    uint64_t cpu_ns;
    uint64_t is_end; /* 0: it begins this seed */
    run_verdict verdict;
} note;

typedef struct worker {
    pid_t pid;
    int pipe;
    uint64_t place; /* of the seed under way */
    bool is_busy;   /* with that seed */
    bool is_open;
} worker;

/* ------------------------------------------------------------------ flags */

static int usage(const char *wrong, const char *word)
{
    (void)fprintf(stderr,
                  "kvr-sim: %s%s%s; try: kvr-sim --seeds 1..100 | --file F [--steps N] [--jobs N] "
                  "[--verbose]\n",
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

static bool read_range(const char *text, options *out)
{
    const char *end;
    uint64_t last;
    if (!read_number(text, &out->first, &end)) {
        return false;
    }
    out->has_seeds = true;
    if (end[0] == '\0') {
        return true;
    }
    if (end[0] != '.' || end[1] != '.' || !read_number(end + 2, &last, &end) || end[0] != '\0' ||
        last < out->first) {
        return false;
    }
    out->last_place = last - out->first;
    return true;
}

/* "seed [events] [# why]" a line. */
static bool read_line(const char *line, planned *out, bool *out_is_seed)
{
    const char *at = line + strspn(line, " \t");
    *out_is_seed = *at != '#' && *at != '\n' && *at != '\0';
    *out = (planned){0};
    if (!*out_is_seed) {
        return true;
    }
    if (!read_number(at, &out->seed, &at)) {
        return false;
    }
    at += strspn(at, " \t");
    if (*at >= '0' && *at <= '9') {
        (void)read_number(at, &out->steps, &at);
        at += strspn(at, " \t");
    }
    return *at == '#' || *at == '\n' || *at == '\0';
}

static bool read_file(const char *name, options *out)
{
    char line[256];
    uint32_t count = 0;
    bool sound = true;
    FILE *file = fopen(name, "r");
    if (file == NULL) {
        return false;
    }
    out->listed = check_alloc(LISTED_MAX * sizeof *out->listed);
    while (sound && count < LISTED_MAX && fgets(line, sizeof line, file) != NULL) {
        bool is_seed;
        sound = read_line(line, &out->listed[count], &is_seed);
        count += is_seed;
    }
    (void)fclose(file);
    out->has_seeds = count > 0;
    out->last_place = count == 0 ? 0 : count - 1;
    return sound && count > 0;
}

static planned planned_at(const options *opt, uint64_t place)
{
    planned at = opt->listed == NULL ? (planned){.seed = opt->first + place} : opt->listed[place];
    at.steps = opt->steps == 0 ? at.steps : opt->steps;
    return at;
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
            if (!read_range(value, out)) {
                return usage("--seeds wants A..B, not", value);
            }
        } else if (strcmp(words[i], "--file") == 0) {
            if (!read_file(value, out)) {
                return usage("--file wants a file with a seed a line, not", value);
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

static void print_failure(const options *opt, uint64_t place, const run_verdict *verdict)
{
    planned at = planned_at(opt, place);
    uint64_t seed = at.seed;
    (void)printf("seed %llu: %s at %llu.%06llu s: %s; replay: %s --seeds %llu..%llu%s",
                 (unsigned long long)seed, verdict->report.invariant,
                 (unsigned long long)(verdict->time_ns / NS_A_SECOND),
                 (unsigned long long)(verdict->time_ns % NS_A_SECOND / 1000), verdict->report.text,
                 opt->program, (unsigned long long)seed, (unsigned long long)seed,
                 at.steps == 0 ? "" : " --steps ");
    if (at.steps != 0) {
        (void)printf("%llu", (unsigned long long)at.steps);
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
        print_failure(opt, from->place, &from->verdict);
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

static void run_noted(const options *opt, uint64_t place, FILE *trace, note *out)
{
    planned at = planned_at(opt, place);
    uint64_t begin = cpu_now();
    *out = (note){.place = place, .is_end = 1};
    run_seed(at.seed, at.steps, trace, &out->verdict);
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

/* Every jobs-th seed from `place` on. */
static void work(const options *opt, uint64_t place, int fd)
{
    for (;;) {
        note what = {.place = place};
        tell(fd, &what);
        run_noted(opt, place, NULL, &what);
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
    check_fail(&died.verdict.report, "CRASH", "the process died of signal %d",
               WIFSIGNALED(status) ? WTERMSIG(status) : 0);
    count(opt, sum, &died);
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
        count(opt, sum, &what);
    }
    return true;
}

/* Workers are heard in turn: each has its own share of the seeds, so none waits for long. */
static int run_jobs(const options *opt, totals *sum)
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
        }
    }
    return 0;
}

/* ------------------------------------------------------------------ main */

/* In this process, so that a debugger sees it; ends with the hash that two runs compare. */
static void run_verbose(const options *opt, totals *sum)
{
    for (uint64_t place = 0;; place++) {
        note what;
        unsigned long long seed = (unsigned long long)planned_at(opt, place).seed;
        (void)printf("seed %llu\n", seed);
        run_noted(opt, place, stdout, &what);
        count(opt, sum, &what);
        (void)printf("seed %llu trace %016llx\n", seed,
                     (unsigned long long)what.verdict.trace_hash);
        if (place == opt->last_place) {
            return;
        }
    }
}

static int run(const options *opt)
{
    totals sum = {0};
    (void)signal(SIGPIPE, SIG_DFL);
    if (opt->verbose) {
        run_verbose(opt, &sum);
    } else {
        int status = run_jobs(opt, &sum);
        if (status != 0) {
            return status;
        }
    }
    print_summary(&sum);
    return sum.failures == 0 ? 0 : 1;
}

int main(int argument_count, char **arguments)
{
    options opt;
    int status = read_flags(argument_count, arguments, &opt);
    if (status == 0) {
        status = run(&opt);
    }
    free(opt.listed);
    return status;
}
