/* SPDX-License-Identifier: Apache-2.0 */
/* check_history.c: see check_history.h. */
#include "check_history.h"

#include <stdlib.h>

#define U(x) ((unsigned long long)(x))

void check_history_init(check_history *check, check_store *store, check_report *report)
{
    *check = (check_history){.store = store, .report = report, .seen_revision = 1};
}

void check_history_release(check_history *check)
{
    free(check->claims);
    free(check->seen);
    free(check->refused);
    free(check->unique);
}

void check_history_invoke(check_history *check, history_call *call)
{
    call->number = ++check->call_count;
    call->floor_index = check->done_index;
    call->floor_revision = check->seen_revision;
}

static uint8_t command_kind(uint8_t call_kind)
{
    switch (call_kind) {
    case KVR_CALL_WRITE:
        return WIRE_COMMAND_WRITE;
    case KVR_CALL_COMPACT:
        return WIRE_COMMAND_COMPACT;
    case KVR_CALL_LEASE_GRANT:
        return WIRE_COMMAND_GRANT;
    case KVR_CALL_LEASE_REVOKE:
        return WIRE_COMMAND_REVOKE;
    default:
        return 0;
    }
}

static void claim(check_history *check, const history_call *call, uint64_t index)
{
    check_grow((void **)&check->claims, &check->claim_capacity, (uint32_t)index + 1,
               sizeof *check->claims);
    if (check->claims[index] != 0) {
        check_fail(check->report, "H3", "entry %llu answers calls %llu and %llu", U(index),
                   U(check->claims[index]), U(call->number));
    }
    check->claims[index] = call->number;
}

static void check_done(check_history *check, const history_call *call,
                       const kvr_completion *completion)
{
    uint64_t index = completion->index;
    if (index == 0 || index > check->store->applied) {
        check_fail(check->report, "H2", "call %llu is answered by entry %llu; committed is %llu",
                   U(call->number), U(index), U(check->store->applied));
        return;
    }
    const store_point *point = &check->store->points[index];
    if (point->kind != command_kind(call->kind) || point->asked != call->asked) {
        check_fail(check->report, "H2",
                   "call %llu of kind %u is answered by entry %llu, which asks for something else",
                   U(call->number), call->kind, U(index));
        return;
    }
    claim(check, call, index);
    if (index <= call->floor_index) {
        check_fail(check->report, "H1",
                   "call %llu began after entry %llu was answered, and is answered by entry %llu",
                   U(call->number), U(call->floor_index), U(index));
    }
    bool wrong_answer =
        call->kind == KVR_CALL_WRITE && completion->status == KVR_OK &&
        (completion->result == NULL || store_digest_answer(completion->result) != point->answer);
    if (completion->status != point->status || completion->revision != point->revision ||
        wrong_answer) {
        check_fail(check->report, "T1",
                   "call %llu at entry %llu gets %s at revision %llu; the model %s at %llu%s",
                   U(call->number), U(index), kvr_status_name(completion->status),
                   U(completion->revision), kvr_status_name(point->status), U(point->revision),
                   wrong_answer ? ", with another answer" : "");
    }
    if (index > check->done_index) {
        check->done_index = index;
    }
}

void check_history_refuse(check_history *check, const history_call *call)
{
    check->refused_count++;
    if (!call->is_unique) {
        return;
    }
    check_grow((void **)&check->refused, &check->refused_capacity, check->refused_size + 1,
               sizeof *check->refused);
    check->refused[check->refused_size++] = call->asked;
}

static void note_unique(check_history *check, const history_call *call)
{
    if (!call->is_unique) {
        return;
    }
    check_grow((void **)&check->unique, &check->unique_capacity, check->unique_size + 1,
               sizeof *check->unique);
    check->unique[check->unique_size++] = call->asked;
}

void check_history_lose(check_history *check, const history_call *call)
{
    check->unknown_count++;
    note_unique(check, call);
}

/* What had been seen before a moment. */
static uint64_t seen_before(const check_history *check, uint64_t ns)
{
    uint32_t low = 0;
    uint32_t high = check->seen_count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (check->seen[middle].ns < ns) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low == 0 ? 1 : check->seen[low - 1].revision;
}

static void see(check_history *check, uint64_t revision)
{
    if (revision <= check->seen_revision) {
        return;
    }
    check->seen_revision = revision;
    check_grow((void **)&check->seen, &check->seen_capacity, check->seen_count + 1,
               sizeof *check->seen);
    check->seen[check->seen_count].ns = check->now_ns;
    check->seen[check->seen_count].revision = revision;
    check->seen_count++;
}

static void check_read(check_history *check, const history_call *call,
                       const kvr_completion *completion)
{
    uint64_t floor = call->floor_revision;
    const char *name = "H1";
    if (call->kind == KVR_CALL_READ_STALE) {
        /* so long by the member's clock, which may be slow */
        uint64_t slow = completion->stale_ns / (1000000 - check->drift_ppm) * 1000000 + 1000001;
        floor = completion->stale_ns < call->invoked_ns && slow < call->invoked_ns
                    ? seen_before(check, call->invoked_ns - slow)
                    : 1;
        name = "H4";
    }
    if (completion->revision < floor) {
        check_fail(check->report, name,
                   "read %llu of kind %u on member %u shows revision %llu, %llu ns old at most; "
                   "%llu was seen before",
                   U(call->number), call->kind, call->member + 1, U(completion->revision),
                   U(completion->stale_ns), U(floor));
    }
}

void check_history_complete(check_history *check, const history_call *call,
                            const kvr_completion *completion)
{
    check_store_advance(check->store);
    if (completion->kind != call->kind) {
        check_fail(check->report, "H2", "call %llu of kind %u completes as kind %u",
                   U(call->number), call->kind, completion->kind);
    }
    if (completion->outcome == KVR_OUTCOME_REFUSED) {
        check_history_refuse(check, call);
        return;
    }
    if (completion->outcome == KVR_OUTCOME_UNKNOWN) {
        check_history_lose(check, call);
        return;
    }
    check->done_count++;
    note_unique(check, call);
    if (command_kind(call->kind) != 0) {
        check_done(check, call, completion);
    } else if (call->kind == KVR_CALL_READ_LINEAR || call->kind == KVR_CALL_READ_LEASE ||
               call->kind == KVR_CALL_READ_STALE) {
        check_read(check, call, completion);
    }
    see(check, completion->revision);
}

/* ------------------------------------------------------------------ the end */

static int by_value(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a;
    uint64_t y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

static bool is_among(const uint64_t *values, uint32_t count, uint64_t value)
{
    return count > 0 && bsearch(&value, values, count, sizeof *values, by_value) != NULL;
}

static void sort(uint64_t *values, uint32_t count)
{
    if (count > 0) {
        qsort(values, count, sizeof *values, by_value);
    }
}

void check_history_end(check_history *check)
{
    check_store_advance(check->store);
    sort(check->refused, check->refused_size);
    sort(check->unique, check->unique_size);
    uint64_t *executed = check_alloc(check->store->applied * sizeof *executed);
    uint32_t count = 0;
    for (uint64_t index = 1; index <= check->store->applied; index++) {
        const store_point *point = &check->store->points[index];
        if (point->kind != WIRE_COMMAND_WRITE) {
            continue;
        }
        if (is_among(check->refused, check->refused_size, point->asked)) {
            check_fail(check->report, "H6", "entry %llu executes a call that was refused",
                       U(index));
        }
        executed[count++] = point->asked;
    }
    sort(executed, count);
    for (uint32_t i = 1; i < count; i++) {
        if (executed[i] == executed[i - 1] &&
            is_among(check->unique, check->unique_size, executed[i])) {
            check_fail(check->report, "H3", "a call was executed twice");
        }
    }
    free(executed);
}
