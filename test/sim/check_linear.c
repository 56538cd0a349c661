/* SPDX-License-Identifier: Apache-2.0 */
/* check_linear.c: see check_linear.h. A configuration is the set of calls that were put in order so
 * far and the register's value after them; one that was tried is never tried again. Next may be any
 * call that began before every call not yet in order has ended. The search gives up the last choice
 * when nothing fits, until all that were answered are in order, or nothing is left to try. */
#include "check_linear.h"

#include <stdlib.h>
#include <string.h>

typedef struct configuration {
    uint64_t hash; /* of set and value; 0: free */
    uint64_t value;
    uint64_t *set;
} configuration;

typedef struct search {
    const linear_register *history;
    uint32_t words;    /* of a set */
    uint32_t answered; /* calls; they stand first */
    uint32_t left;     /* of those, not in order */
    uint32_t first;    /* all answered ones before it are in order */
    uint64_t *set;
    uint64_t value;
    uint64_t unseen_ns; /* from then on the value may be one that nobody saw */
    uint64_t steps_left;
    configuration *tried;
    uint32_t tried_count, tried_capacity;
} search;

/* Those that were answered first. */
static int by_begin(const void *a, const void *b)
{
    const linear_call *x = a;
    const linear_call *y = b;
    bool x_waits = x->end_ns == UINT64_MAX;
    bool y_waits = y->end_ns == UINT64_MAX;
    if (x_waits != y_waits) {
        return x_waits ? 1 : -1;
    }
    return (x->begin_ns > y->begin_ns) - (x->begin_ns < y->begin_ns);
}

void linear_add(linear_register *history, const linear_call *call)
{
    check_grow((void **)&history->calls, &history->capacity, history->count + 1, sizeof *call);
    history->calls[history->count++] = *call;
}

static bool has(const uint64_t *set, uint32_t i)
{
    return (set[i / 64] >> i % 64 & 1) != 0;
}

/* Whether the call fits now, and what stands in the register then. */
static bool fits(const linear_call *call, uint64_t value, uint64_t *out_value)
{
    bool answered = call->end_ns != UINT64_MAX;
    switch (call->kind) {
    case LINEAR_READ:
        *out_value = value;
        return value == call->value;
    case LINEAR_WRITE:
        *out_value = call->value;
        return true;
    default: {
        bool swaps = value == call->expected;
        *out_value = swaps ? call->value : value;
        return !answered || swaps == call->swapped;
    }
    }
}

static void insert(configuration *into, uint32_t capacity, const configuration *item)
{
    uint32_t at = (uint32_t)item->hash & (capacity - 1);
    while (into[at].hash != 0) {
        at = (at + 1) & (capacity - 1);
    }
    into[at] = *item;
}

static void make_room(search *s)
{
    if (s->tried_count * 2 < s->tried_capacity) {
        return;
    }
    uint32_t capacity = s->tried_capacity == 0 ? 256 : 2 * s->tried_capacity;
    configuration *bigger = check_alloc(capacity * sizeof *bigger);
    for (uint32_t i = 0; i < s->tried_capacity; i++) {
        if (s->tried[i].hash != 0) {
            insert(bigger, capacity, &s->tried[i]);
        }
    }
    free(s->tried);
    s->tried = bigger;
    s->tried_capacity = capacity;
}

/* True if the present configuration was not tried before; it is now. */
static bool is_new(search *s)
{
    size_t size = s->words * sizeof *s->set;
    uint64_t hash = check_hash(s->value, s->set, size) | 1;
    make_room(s);
    uint32_t at = (uint32_t)hash & (s->tried_capacity - 1);
    for (; s->tried[at].hash != 0; at = (at + 1) & (s->tried_capacity - 1)) {
        if (s->tried[at].hash == hash && s->tried[at].value == s->value &&
            memcmp(s->tried[at].set, s->set, size) == 0) {
            return false;
        }
    }
    configuration fresh = {.hash = hash, .value = s->value, .set = check_alloc(size)};
    memcpy(fresh.set, s->set, size);
    insert(s->tried, s->tried_capacity, &fresh);
    s->tried_count++;
    return true;
}

/* The earliest end of those that are not in order: what begins after it cannot be next. */
static uint64_t horizon(search *s)
{
    const linear_call *calls = s->history->calls;
    uint64_t end = UINT64_MAX;
    while (s->first < s->answered && has(s->set, s->first)) {
        s->first++;
    }
    for (uint32_t i = s->first; i < s->answered && calls[i].begin_ns <= end; i++) {
        end = !has(s->set, i) && calls[i].end_ns < end ? calls[i].end_ns : end;
    }
    return end;
}

typedef struct choice {
    uint32_t call;
    uint32_t reserved;
    uint64_t value_before;
} choice;

static bool try(search *s, uint32_t i, choice *out)
{
    const linear_call *call = &s->history->calls[i];
    uint64_t before = s->value;
    uint64_t value;
    if (has(s->set, i) || !fits(call, before, &value)) {
        return false;
    }
    s->set[i / 64] |= (uint64_t)1 << i % 64;
    s->value = value;
    if (is_new(s)) {
        *out = (choice){.call = i, .value_before = before};
        s->left -= i < s->answered;
        return true;
    }
    s->set[i / 64] &= ~((uint64_t)1 << i % 64);
    s->value = before;
    return false;
}

/* The choice behind all calls. */
static bool become_unseen(search *s, choice *out)
{
    *out = (choice){.call = s->history->count, .value_before = s->value};
    s->value = UINT64_MAX;
    if (out->value_before != UINT64_MAX && is_new(s)) {
        return true;
    }
    s->value = out->value_before;
    return false;
}

/* Puts the first call from `from` on that fits, and leads to something new, in order: those that
 * were answered first, as the others are rarely needed. */
static bool advance(search *s, uint32_t from, choice *out)
{
    const linear_call *calls = s->history->calls;
    uint64_t end = horizon(s);
    for (uint32_t i = from > s->first ? from : s->first;
         i < s->answered && calls[i].begin_ns <= end; i++) {
        if (try(s, i, out)) {
            return true;
        }
    }
    for (uint32_t i = from > s->answered ? from : s->answered;
         i < s->history->count && calls[i].begin_ns <= end; i++) {
        if (try(s, i, out)) {
            return true;
        }
    }
    return from <= s->history->count && s->unseen_ns <= end && become_unseen(s, out);
}

static void undo(search *s, const choice *last)
{
    if (last->call == s->history->count) {
        s->value = last->value_before;
        return;
    }
    s->set[last->call / 64] &= ~((uint64_t)1 << last->call % 64);
    s->value = last->value_before;
    s->left += last->call < s->answered;
    s->first = last->call < s->first ? last->call : s->first;
}

static uint32_t run(search *s)
{
    choice *order = check_alloc((2 * s->history->count + 2) * sizeof *order);
    uint32_t depth = 0;
    uint32_t from = 0;
    uint32_t verdict = LINEAR_YES;
    while (s->left > 0) {
        if (s->steps_left-- == 0) {
            verdict = LINEAR_UNKNOWN;
            break;
        }
        if (advance(s, from, &order[depth])) {
            depth++;
            from = 0;
        } else if (depth > 0) {
            undo(s, &order[--depth]);
            from = order[depth].call + 1;
        } else {
            verdict = LINEAR_NO;
            break;
        }
    }
    free(order);
    return verdict;
}

static bool was_seen(const linear_register *history, const linear_call *call)
{
    for (uint32_t i = 0; i < history->count; i++) {
        const linear_call *other = &history->calls[i];
        bool saw = (other->kind == LINEAR_READ && other->value == call->value) ||
                   (other->kind == LINEAR_SWAP && other->expected == call->value);
        if (saw && other != call) {
            return true;
        }
    }
    return false;
}

/* Changes that timed out and whose values nobody saw (values are unique) differ in nothing that can
 * be told: only a swap can have failed because of one. So all of them become one, which may happen
 * at any time after the first began, as often as it likes. That allows a little too much, and keeps
 * the search short. Returns when the first began; UINT64_MAX: there is none. */
static uint64_t leave_out_unseen(linear_register *history)
{
    uint32_t kept = 0;
    uint64_t since = UINT64_MAX;
    for (uint32_t i = 0; i < history->count; i++) {
        linear_call *call = &history->calls[i];
        if (call->end_ns == UINT64_MAX && !was_seen(history, call)) {
            call->kind = LINEAR_NOTHING;
            since = call->begin_ns < since ? call->begin_ns : since;
        }
    }
    for (uint32_t i = 0; i < history->count; i++) {
        if (history->calls[i].kind != LINEAR_NOTHING) {
            history->calls[kept++] = history->calls[i];
        }
    }
    history->count = kept;
    return since;
}

uint32_t linear_judge(linear_register *history, uint64_t steps_max)
{
    uint64_t unseen_ns = leave_out_unseen(history);
    search s = {.history = history,
                .unseen_ns = unseen_ns,
                .words = history->count / 64 + 1,
                .steps_left = steps_max};
    if (history->count == 0) {
        return LINEAR_YES;
    }
    qsort(history->calls, history->count, sizeof *history->calls, by_begin);
    for (uint32_t i = 0; i < history->count; i++) {
        s.answered += history->calls[i].end_ns != UINT64_MAX;
    }
    s.left = s.answered;
    s.set = check_alloc(s.words * sizeof *s.set);
    uint32_t verdict = run(&s);
    for (uint32_t i = 0; i < s.tried_capacity; i++) {
        free(s.tried[i].set);
    }
    free(s.tried);
    free(s.set);
    return verdict;
}
