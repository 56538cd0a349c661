/* SPDX-License-Identifier: Apache-2.0 */
/* run_spec.c: one run as flags and as a file, which --shrink writes and --replay reads:
 *
 *   seed 42
 *   set events 1200          a knob of run_knob.c
 *   only 3f00c1d2e4a59b17    a fault that happens; if there is such a line, no other one does
 *   # why, and anything else */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "run.h"

void run_spec_set(run_spec *spec, uint32_t knob, uint64_t value)
{
    uint32_t i = 0;
    while (i < spec->setting_count && spec->settings[i].knob != knob) {
        i++;
    }
    spec->settings[i] = (run_setting){.knob = knob, .value = value};
    spec->setting_count += i == spec->setting_count;
}

static bool read_setting(run_spec *spec, const char *name, size_t size, const char *number)
{
    char *end;
    uint32_t knob = run_knob_find(name, size);
    errno = 0;
    unsigned long long value = strtoull(number, &end, 0);
    if (knob == UINT32_MAX || end == number || errno != 0 || number[0] < '0' || number[0] > '9' ||
        (*end != '\0' && *end != '\n')) {
        return false;
    }
    run_spec_set(spec, knob, value);
    return true;
}

bool run_spec_read_setting(run_spec *spec, const char *text)
{
    size_t size = strcspn(text, "=");
    return text[size] == '=' && read_setting(spec, text, size, text + size + 1);
}

static bool read_line(run_spec *spec, const char *line)
{
    uint64_t number;
    char name[32];
    char value[32];
    if (line[0] == '#' || line[0] == '\n') {
        return true;
    }
    if (sscanf(line, "seed %" SCNu64, &spec->seed) == 1) {
        return true;
    }
    if (sscanf(line, "set %31s %31s", name, value) == 2) {
        return read_setting(spec, name, strlen(name), value);
    }
    if (strncmp(line, "only", 4) == 0) {
        spec->has_faults = true;
        if (sscanf(line, "only %" SCNx64, &number) == 1) {
            check_grow((void **)&spec->faults, &spec->fault_capacity, spec->fault_count + 1,
                       sizeof *spec->faults);
            spec->faults[spec->fault_count++] = number;
        }
        return true;
    }
    return false;
}

static int by_value(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a;
    uint64_t y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

bool run_spec_read(run_spec *spec, const char *file_name)
{
    char line[256];
    bool sound = true;
    FILE *file = fopen(file_name, "r");
    if (file == NULL) {
        return false;
    }
    while (sound && fgets(line, sizeof line, file) != NULL) {
        sound = read_line(spec, line);
    }
    (void)fclose(file);
    if (spec->fault_count > 0) {
        qsort(spec->faults, spec->fault_count, sizeof *spec->faults, by_value);
    }
    return sound;
}

bool run_spec_write(const run_spec *spec, const char *why, const char *file_name)
{
    FILE *file = fopen(file_name, "w");
    if (file == NULL) {
        return false;
    }
    (void)fprintf(file, "# %s\nseed %" PRIu64 "\n", why, spec->seed);
    for (uint32_t i = 0; i < spec->setting_count; i++) {
        (void)fprintf(file, "set %s %" PRIu64 "\n", run_knob_name(spec->settings[i].knob),
                      spec->settings[i].value);
    }
    if (spec->has_faults && spec->fault_count == 0) {
        (void)fprintf(file, "only\n");
    }
    for (uint32_t i = 0; i < spec->fault_count; i++) {
        (void)fprintf(file, "only %016" PRIx64 "\n", spec->faults[i]);
    }
    return fclose(file) == 0;
}

void run_spec_plan(const run_spec *spec, run_plan *out_plan)
{
    run_plan_draw(out_plan, spec->seed);
    for (uint32_t i = 0; i < spec->setting_count; i++) {
        run_knob_set(out_plan, spec->settings[i].knob, spec->settings[i].value);
    }
}

void run_spec_print_flags(const run_spec *spec, FILE *out)
{
    (void)fprintf(out, "--seeds %" PRIu64 "..%" PRIu64, spec->seed, spec->seed);
    for (uint32_t i = 0; i < spec->setting_count; i++) {
        (void)fprintf(out, " --set %s=%" PRIu64, run_knob_name(spec->settings[i].knob),
                      spec->settings[i].value);
    }
}
