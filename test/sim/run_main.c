/* SPDX-License-Identifier: Apache-2.0 */
/* run_main.c: kvr-sim: its flags, and what is done with one run beside judging it: a trace, a page,
 * the smallest run that fails in the same way. kvr-sim(1) is the manual. */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "run_jobs.h"
#include "run_page.h"

/* ------------------------------------------------------------------ flags */

static int usage(const char *wrong, const char *word)
{
    (void)fprintf(
        stderr,
        "kvr-sim: %s%s%s; try: kvr-sim --seeds 1..100 | --fresh N | --file F | --replay F\n"
        "    [--set NAME=VALUE] [--steps N] [--jobs N] [--first] [--counts] [--ledger F]\n"
        "    [--verbose] [--html F] [--shrink F] | --knobs\n",
        wrong, word == NULL ? "" : " ", word == NULL ? "" : word);
    return 2;
}

static int print_help(void)
{
    (void)puts("usage: kvr-sim --seeds A..B | --fresh N | --file LIST | --replay RUN [flags]\n"
               "Each seed is a cluster with faults and clients, checked after every event.\n"
               "  --seeds A..B      these, both included\n"
               "  --fresh N         N that nobody ran before; the first line says which\n"
               "  --file LIST       one a line, as test/sim/seeds.txt\n"
               "  --replay RUN      one run, as --shrink wrote it\n"
               "  --set NAME=VALUE  replaces what the seed draws for a knob; --knobs lists them\n"
               "  --steps N         events of the phase with faults\n"
               "  --jobs N          processes, at most 64\n"
               "  --first           end at the first failure\n"
               "  --counts          how often each fault and each rare way of the library came up\n"
               "  --ledger FILE     append a line about the batch\n"
               "  --verbose         all that happens\n"
               "  --html FILE       a page that shows one run\n"
               "  --shrink FILE     reduce the first run that fails, and write it\n"
               "Exit: 0 nothing failed, 1 a seed did, 2 wrong flags. kvr-sim(1) tells more.");
    return 0;
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

/* Seeds that nobody ran before: from the clock, and told so that they can be run again. */
static bool read_fresh(const char *text, options *out)
{
    const char *end;
    uint64_t count;
    if (!read_number(text, &count, &end) || *end != '\0' || count == 0) {
        return false;
    }
    out->first = (uint64_t)time(NULL) << 20;
    out->last_place = count - 1;
    out->has_seeds = true;
    (void)printf("fresh: --seeds %llu..%llu\n", (unsigned long long)out->first,
                 (unsigned long long)(out->first + count - 1));
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

static bool read_steps(const char *text, options *out)
{
    const char *end;
    uint64_t number;
    if (!read_number(text, &number, &end) || *end != '\0') {
        return false;
    }
    run_spec_set(&out->spec, run_knob_find("events", 6), number);
    return true;
}

static bool read_jobs(const char *text, options *out)
{
    const char *end;
    uint64_t number;
    if (!read_number(text, &number, &end) || *end != '\0' || number == 0 || number > JOBS_MAX) {
        return false;
    }
    out->jobs = (uint32_t)number;
    return true;
}

static bool read_replay(const char *text, options *out)
{
    out->replay = text;
    out->has_seeds = run_spec_read(&out->spec, text);
    return out->has_seeds;
}

static bool read_set(const char *text, options *out)
{
    return run_spec_read_setting(&out->spec, text);
}

static bool read_name(const char *text, const char **out)
{
    *out = text;
    return text[0] != '\0';
}

static bool read_html(const char *text, options *out)
{
    return read_name(text, &out->html);
}

static bool read_ledger(const char *text, options *out)
{
    return read_name(text, &out->ledger);
}

static bool read_shrink(const char *text, options *out)
{
    out->shrink = true;
    return read_name(text, &out->shrink_to);
}

typedef struct flag {
    const char *name;
    bool (*read)(const char *text, options *out);
    const char *wants;
} flag;

static int read_flags(int count, char **words, options *out)
{
    static const flag flags[] = {
        {"--seeds", read_range, "--seeds wants A..B, not"},
        {"--fresh", read_fresh, "--fresh wants a number of seeds, not"},
        {"--file", read_file, "--file wants a file with a seed a line, not"},
        {"--replay", read_replay, "--replay wants a file that --shrink wrote, not"},
        {"--set", read_set, "--set wants NAME=VALUE (see --knobs), not"},
        {"--steps", read_steps, "--steps wants a number of events, not"},
        {"--jobs", read_jobs, "--jobs wants 1 to 64, not"},
        {"--html", read_html, "--html wants a file, not"},
        {"--ledger", read_ledger, "--ledger wants a file, not"},
        {"--shrink", read_shrink, "--shrink wants a file to write, not"},
    };
    enum { FLAGS = sizeof flags / sizeof *flags };
    *out = (options){.jobs = 1, .program = words[0]};
    for (int i = 1; i < count; i++) {
        uint32_t k = 0;
        if (strcmp(words[i], "--verbose") == 0) {
            out->verbose = true;
            continue;
        }
        if (strcmp(words[i], "--counts") == 0) {
            out->counts = true;
            continue;
        }
        if (strcmp(words[i], "--first") == 0) {
            out->stop_at_first = true;
            continue;
        }
        while (k < FLAGS && strcmp(words[i], flags[k].name) != 0) {
            k++;
        }
        if (k == FLAGS) {
            return usage("unknown flag", words[i]);
        }
        const char *value = i + 1 < count ? words[i + 1] : "";
        if (!flags[k].read(value, out)) {
            return usage(flags[k].wants, value);
        }
        i++;
    }
    if (out->html != NULL && out->last_place != 0) {
        return usage("--html shows one seed", NULL);
    }
    return out->has_seeds ? 0 : usage("no --seeds", NULL);
}

static int print_knobs(void)
{
    for (uint32_t i = 0; i < run_knob_count(); i++) {
        (void)printf("%-20s calm at %llu\n", run_knob_name(i),
                     (unsigned long long)run_knob_calm(i));
    }
    return 0;
}

/* ------------------------------------------------------------------ one by one */

/* In this process, so that a debugger sees it; a trace ends with the hash that two runs compare. */
static int run_here(const options *opt, totals *sum)
{
    for (uint64_t place = 0;; place++) {
        note what;
        unsigned long long seed = (unsigned long long)run_spec_at(opt, place).seed;
        run_listener listener = {.trace = opt->verbose ? stdout : NULL,
                                 .page = opt->html == NULL ? NULL : page_new(opt->html)};
        if (opt->verbose) {
            (void)printf("seed %llu\n", seed);
        }
        run_noted(opt, place, &listener, &what);
        run_count(opt, sum, &what);
        if (opt->verbose) {
            (void)printf("seed %llu trace %016llx\n", seed,
                         (unsigned long long)what.verdict.trace_hash);
        }
        if (listener.page != NULL && !page_write(listener.page)) {
            (void)fprintf(stderr, "kvr-sim: %s: %s\n", opt->html, strerror(errno));
            return 3;
        }
        if (place == opt->last_place) {
            return 0;
        }
    }
}

/* The first run that fails, as small as it gets. */
static int shrink(const options *opt, const totals *sum)
{
    if (sum->failures == 0) {
        return 0;
    }
    run_spec spec = run_spec_at(opt, sum->first_failure);
    run_verdict verdict;
    char why[sizeof verdict.report.text + sizeof verdict.report.invariant + 2];
    run_shrink(&spec, stdout);
    if (!run_apart(&spec, &verdict)) {
        return 3;
    }
    (void)snprintf(why, sizeof why, "%s %s", verdict.report.invariant, verdict.report.text);
    if (!run_spec_write(&spec, why, opt->shrink_to)) {
        (void)fprintf(stderr, "kvr-sim: %s: %s\n", opt->shrink_to, strerror(errno));
        return 3;
    }
    (void)printf("smallest: %s; replay: %s --replay %s --verbose\n", why, opt->program,
                 opt->shrink_to);
    return 0;
}

/* "commit first last events failures" a batch. */
static int note_in_ledger(const options *opt, const totals *sum)
{
    const char *commit = getenv("KVR_COMMIT");
    FILE *file = fopen(opt->ledger, "a");
    if (file == NULL) {
        (void)fprintf(stderr, "kvr-sim: %s: %s\n", opt->ledger, strerror(errno));
        return 3;
    }
    (void)fprintf(file, "%-12s %llu %llu %llu %llu\n", commit == NULL ? "-" : commit,
                  (unsigned long long)opt->first,
                  (unsigned long long)opt->first + (unsigned long long)opt->last_place,
                  (unsigned long long)sum->events, (unsigned long long)sum->failures);
    return fclose(file) == 0 ? 0 : 3;
}

static int run(const options *opt)
{
    totals sum = {0};
    (void)signal(SIGPIPE, SIG_DFL);
    int status = opt->verbose || opt->html != NULL ? run_here(opt, &sum) : run_jobs(opt, &sum);
    if (status == 0 && opt->ledger != NULL) {
        status = note_in_ledger(opt, &sum);
    }
    if (status == 0 && opt->shrink) {
        status = shrink(opt, &sum);
    }
    if (status != 0) {
        return status;
    }
    if (opt->counts) {
        run_print_counts(&sum);
    }
    run_print_summary(&sum);
    return sum.failures == 0 ? 0 : 1;
}

int main(int argument_count, char **arguments)
{
    options opt;
    if (argument_count == 2 && strcmp(arguments[1], "--knobs") == 0) {
        return print_knobs();
    }
    if (argument_count == 2 && strcmp(arguments[1], "--help") == 0) {
        return print_help();
    }
    int status = read_flags(argument_count, arguments, &opt);
    if (status == 0) {
        status = run(&opt);
    }
    free(opt.listed);
    free(opt.spec.faults);
    return status;
}
