/* SPDX-License-Identifier: Apache-2.0 */
/* fault_sweep.c: the countdown and the order of a sweep. The countdown belongs to the thread, so
 * that two threads of a test can each sweep their own. */
#include "support/fault_sweep.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

/* A body that still meets its fault after so many runs retries without end. */
#define SWEEP_RUNS_MAX 1000000U

static _Thread_local struct {
    uint32_t kinds; /* 0: off */
    bool for_ever;
    uint64_t nth;
    uint64_t seen;
    uint64_t fired;
    char text[64];
} fault;

bool fault_hits(uint32_t kind)
{
    if ((fault.kinds & kind) == 0) {
        return false;
    }
    fault.seen++;
    bool hit = fault.for_ever ? fault.seen >= fault.nth : fault.seen == fault.nth;
    if (hit) {
        fault.fired++;
    }
    return hit;
}

void fault_arm(uint32_t kinds, uint64_t nth, bool for_ever)
{
    fault.kinds = kinds;
    fault.for_ever = for_ever;
    fault.nth = nth;
    fault.seen = 0;
    fault.fired = 0;
}

void fault_disarm(void)
{
    fault.kinds = 0;
}

uint64_t fault_fired(void)
{
    return fault.fired;
}

const char *fault_text(void)
{
    (void)snprintf(fault.text, sizeof fault.text, "call %" PRIu64 " fails %s, %" PRIu64 " failed",
                   fault.nth, fault.for_ever ? "for ever" : "once", fault.fired);
    return fault.text;
}

fault_sweep fault_sweep_begin(uint32_t kinds)
{
    fault_sweep sweep = {.kinds = kinds, .for_ever = false, .nth = 0};
    return sweep;
}

/* The run before, if there was one, says whether its body got past the last place to fail. */
bool fault_sweep_next(fault_sweep *sweep)
{
    if (sweep->nth > 0 && fault.fired == 0) {
        if (sweep->for_ever) {
            return false;
        }
        sweep->for_ever = true;
        sweep->nth = 0;
    }
    sweep->nth++;
    if (sweep->nth > SWEEP_RUNS_MAX) {
        (void)fprintf(stderr, "fault_sweep: %u runs and the body still meets its fault\n",
                      SWEEP_RUNS_MAX);
        abort();
    }
    return true;
}

void fault_sweep_arm(const fault_sweep *sweep)
{
    fault_arm(sweep->kinds, sweep->nth, sweep->for_ever);
}
