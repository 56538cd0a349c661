/* SPDX-License-Identifier: Apache-2.0 */
/* run_shrink.c: the smallest run that still violates the same invariant. In this order: the
 * shortest safety phase; whole families of knobs made calm; knob by knob; single faults left out by
 * delta debugging (Zeller and Hildebrandt, "Simplifying and Isolating Failure-Inducing Input",
 * 2002), which works because a fault's name does not depend on the others. Each trial runs in a
 * process of its own. */
#include <stdlib.h>
#include <string.h>

#include "run.h"

typedef struct shrinking {
    run_spec *best;
    char invariant[8];
    uint32_t trials;
    uint32_t reserved;
    FILE *out;
} shrinking;

static bool still_fails(shrinking *s, const run_spec *spec)
{
    run_verdict verdict;
    s->trials++;
    return run_apart(spec, &verdict) && verdict.report.failed &&
           strcmp(verdict.report.invariant, s->invariant) == 0;
}

static bool try(shrinking *s, const run_spec *spec)
{
    if (!still_fails(s, spec)) {
        return false;
    }
    *s->best = *spec;
    return true;
}

static bool try_setting(shrinking *s, uint32_t knob, uint64_t value)
{
    run_spec spec = *s->best;
    run_spec_set(&spec, knob, value);
    return try(s, &spec);
}

static uint64_t value_of(const run_spec *spec, uint32_t knob)
{
    run_plan plan;
    run_spec_plan(spec, &plan);
    return run_knob_get(&plan, knob);
}

/* ------------------------------------------------------------------ knobs */

/* Fewer events do not always fail as more do; so this finds a short phase, not the shortest. */
static void shorten(shrinking *s)
{
    uint32_t events = run_knob_find("events", 6);
    uint64_t low = 0;
    uint64_t high = value_of(s->best, events);
    while (high - low > 1 + high / 64) {
        uint64_t middle = low + (high - low) / 2;
        if (try_setting(s, events, middle)) {
            high = middle;
        } else {
            low = middle;
        }
    }
    (void)fprintf(s->out, "shrink: %llu events\n", (unsigned long long)high);
}

static void calm_families(shrinking *s)
{
    for (uint32_t family = RUN_SIZES; family <= RUN_CORE; family *= 2) {
        run_spec spec = *s->best;
        bool changes = false;
        for (uint32_t i = 0; i < run_knob_count(); i++) {
            if (run_knob_family(i) == family && value_of(s->best, i) != run_knob_calm(i)) {
                run_spec_set(&spec, i, run_knob_calm(i));
                changes = true;
            }
        }
        if (changes) {
            (void)try(s, &spec);
        }
    }
}

static void calm_knobs(shrinking *s)
{
    uint32_t members = run_knob_find("members", 7);
    for (uint64_t count = 1; count < value_of(s->best, members); count += 2) {
        if (try_setting(s, members, count)) {
            break;
        }
    }
    for (uint32_t i = 0; i < run_knob_count(); i++) {
        uint64_t calm = run_knob_calm(i);
        if (run_knob_family(i) != 0 && value_of(s->best, i) != calm) {
            (void)try_setting(s, i, calm);
        }
    }
    (void)fprintf(s->out, "shrink: %u settings\n", s->best->setting_count);
}

/* ------------------------------------------------------------------ single faults */

static int by_value(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a;
    uint64_t y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

/* What happened in the best run. An assertion leaves the world behind: once, here, is no matter. */
static void collect(shrinking *s, run_faults *out)
{
    run_verdict verdict;
    const run_listener listener = {.faults = out};
    run_seed(s->best, &listener, &verdict);
    if (out->count > 0) {
        qsort(out->items, out->count, sizeof *out->items, by_value);
    }
}

/* Those of `from` but the ones at begin..end. */
static run_spec without(const run_spec *from, uint32_t begin, uint32_t end)
{
    run_spec spec = *from;
    uint32_t kept = from->fault_count - (end - begin);
    spec.has_faults = true;
    spec.fault_count = kept;
    spec.fault_capacity = kept;
    spec.faults = check_alloc(kept * sizeof *spec.faults);
    if (begin > 0) {
        memcpy(spec.faults, from->faults, begin * sizeof *spec.faults);
    }
    if (end < from->fault_count) {
        memcpy(spec.faults + begin, from->faults + end,
               (from->fault_count - end) * sizeof *spec.faults);
    }
    return spec;
}

/* One round over pieces of `size`. Returns whether any was left out. */
static bool drop_pieces(shrinking *s, uint32_t size)
{
    bool dropped = false;
    for (uint32_t begin = 0; begin < s->best->fault_count;) {
        uint32_t left = s->best->fault_count - begin;
        run_spec spec = without(s->best, begin, begin + (left < size ? left : size));
        uint64_t *before = s->best->faults;
        if (try(s, &spec)) {
            free(before);
            dropped = true;
        } else {
            free(spec.faults);
            begin += size;
        }
    }
    return dropped;
}

static void drop_faults(shrinking *s)
{
    enum { TRIALS_MAX = 3000 };
    run_faults happened = {0};
    collect(s, &happened);
    run_spec spec = *s->best;
    spec.has_faults = true;
    spec.faults = happened.items;
    spec.fault_count = happened.count;
    spec.fault_capacity = happened.capacity;
    if (!try(s, &spec)) {
        free(happened.items);
        return; /* an assertion in a callback may stop the collection early */
    }
    uint32_t size = happened.count;
    while (size > 0 && s->trials < TRIALS_MAX) {
        bool dropped = drop_pieces(s, size);
        size = dropped && size == 1 ? 1 : size / 2;
    }
    (void)fprintf(s->out, "shrink: %u faults of %u\n", s->best->fault_count, happened.count);
}

void run_shrink(run_spec *spec, FILE *out)
{
    run_verdict verdict;
    shrinking s = {.best = spec, .out = out};
    if (!run_apart(spec, &verdict) || !verdict.report.failed) {
        (void)fprintf(out, "shrink: this run does not fail\n");
        return;
    }
    memcpy(s.invariant, verdict.report.invariant, sizeof s.invariant);
    shorten(&s);
    calm_families(&s);
    calm_knobs(&s);
    if (!spec->has_faults && strcmp(s.invariant, "CRASH") != 0) {
        drop_faults(&s);
    }
    calm_knobs(&s);
    shorten(&s);
    (void)fprintf(out, "shrink: %u trials\n", s.trials);
}
