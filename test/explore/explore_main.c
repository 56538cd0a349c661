/* SPDX-License-Identifier: Apache-2.0 */
/* explore_main.c: kvr-explore: the search, depth first, with a set of the states that were seen.
 * Scopes are budgets for what may happen by itself; each is searched to its end, or until enough
 * states were seen: then it says so. A violation is told as the actions that lead to it; --path
 * makes them again. */
#include <errno.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/assertion.h"
#include "explore.h"

enum { DEPTH_MAX = 256, PATH_TEXT = 8 * DEPTH_MAX };

typedef struct ex_scope {
    const char *name;
    ex_budget budget;
} ex_scope;

/* timeouts, heartbeats, proposals, crashes, repeats, snapshots, messages, members */
static const ex_scope scopes[] = {
    {"two-elections", {2, 0, 0, 1, 0, 0, 4, 2}},    {"two-writes", {1, 1, 2, 0, 1, 0, 4, 2}},
    {"two-crash", {1, 1, 1, 1, 0, 0, 4, 2}},        {"two-snapshots", {1, 1, 2, 0, 0, 1, 4, 2}},
    {"three-election", {1, 0, 0, 0, 0, 0, 6, 3}},   {"three-crash", {1, 0, 0, 1, 0, 0, 4, 3}},
    {"three-rivals", {2, 0, 0, 0, 0, 0, 4, 3}},     {"three-writes", {1, 1, 1, 0, 0, 0, 4, 3}},
    {"three-repeat", {1, 0, 1, 0, 1, 0, 4, 3}},     {"three-snapshot", {1, 1, 1, 0, 0, 1, 4, 3}},
    {"three-succession", {2, 1, 1, 0, 0, 0, 4, 3}}, {"three-all", {3, 2, 2, 1, 1, 1, 6, 3}},
};

/* ------------------------------------------------------------------ states that were seen */

typedef struct seen {
    uint64_t *slots; /* 0: free */
    uint64_t capacity;
    uint64_t count;
} seen;

static bool insert_into(uint64_t *slots, uint64_t capacity, uint64_t hash)
{
    uint64_t at = hash & (capacity - 1);
    while (slots[at] != 0 && slots[at] != hash) {
        at = (at + 1) & (capacity - 1);
    }
    bool is_new = slots[at] == 0;
    slots[at] = hash;
    return is_new;
}

static void *room(uint64_t count, size_t size)
{
    void *ptr = calloc(count, size);
    if (ptr == NULL) {
        (void)fprintf(stderr, "kvr-explore: no memory\n");
        exit(3);
    }
    return ptr;
}

static bool insert(seen *set, uint64_t hash)
{
    hash = hash == 0 ? 1 : hash;
    if (set->count * 2 >= set->capacity) {
        uint64_t capacity = set->capacity == 0 ? 1 << 16 : 2 * set->capacity;
        uint64_t *slots = room(capacity, sizeof *slots);
        for (uint64_t i = 0; i < set->capacity; i++) {
            if (set->slots[i] != 0) {
                (void)insert_into(slots, capacity, set->slots[i]);
            }
        }
        free(set->slots);
        set->slots = slots;
        set->capacity = capacity;
    }
    bool is_new = insert_into(set->slots, set->capacity, hash);
    set->count += is_new;
    return is_new;
}

/* ------------------------------------------------------------------ the search */

typedef struct search {
    const ex_scope *scope;
    seen set;
    uint64_t states_max;
    uint64_t steps;
    uint32_t depth;
    uint32_t deepest;
    bool stopped;
    bool failed;
    uint32_t path[DEPTH_MAX]; /* the number of the action taken at each depth */
    struct {
        ex_world *world;
        uint8_t *arena;
        size_t capacity;
    } kept[DEPTH_MAX];
} search;

static jmp_buf panic_exit;

/* An assertion of the library, or of this program, is a violation like any other. */
void kvr_panic(const char *file, int32_t line, const char *condition)
{
    ex_fail("ASSERT", "%s:%d: %s", file, (int)line, condition);
    longjmp(panic_exit, 1);
}

/* False: something is violated. */
static bool act(const ex_action *action)
{
    if (setjmp(panic_exit) == 0) {
        ex_world_act(action);
        ex_check();
    }
    return ex_failure == NULL;
}

static void keep(search *s)
{
    if (s->kept[s->depth].world == NULL) {
        s->kept[s->depth].world = room(1, sizeof world);
    }
    if (s->kept[s->depth].capacity < world.arena_used) {
        free(s->kept[s->depth].arena);
        s->kept[s->depth].capacity = 2 * world.arena_used;
        s->kept[s->depth].arena = room(s->kept[s->depth].capacity, 1);
    }
    memcpy(s->kept[s->depth].world, &world, sizeof world);
    memcpy(s->kept[s->depth].arena, ex_arena, world.arena_used);
}

static void go_back(search *s)
{
    memcpy(&world, s->kept[s->depth].world, sizeof world);
    memcpy(ex_arena, s->kept[s->depth].arena, world.arena_used);
}

/* Each state has its own order, so that a search that is stopped has been everywhere a little. */
static void shuffle(uint64_t hash, uint32_t *order, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        hash = ex_mix(hash, i);
        uint32_t j = (uint32_t)(hash % (i + 1));
        order[i] = order[j];
        order[j] = i;
    }
}

static void explore(search *s)
{
    ex_action actions[EX_ACTIONS_MAX];
    uint32_t order[EX_ACTIONS_MAX] = {0};
    uint64_t hash = ex_hash();
    if (!insert(&s->set, hash) || s->stopped) {
        return;
    }
    s->stopped = s->set.count >= s->states_max || s->depth + 1 >= DEPTH_MAX;
    s->deepest = s->depth > s->deepest ? s->depth : s->deepest;
    uint32_t count = ex_world_actions(actions);
    keep(s);
    shuffle(hash, order, count);
    for (uint32_t i = 0; i < count && !s->stopped && !s->failed; i++) {
        s->path[s->depth] = order[i];
        s->steps++;
        if (!act(&actions[order[i]])) {
            s->failed = true;
            return;
        }
        s->depth++;
        explore(s);
        if (s->failed) {
            return;
        }
        s->depth--;
        go_back(s);
    }
}

/* ------------------------------------------------------------------ words */

static void print_path(const search *s)
{
    (void)printf("%s: %s: %s\n  replay: kvr-explore --scope %s --path ", s->scope->name, ex_failure,
                 ex_failure_text, s->scope->name);
    for (uint32_t i = 0; i <= s->depth; i++) {
        (void)printf("%s%u", i == 0 ? "" : ",", s->path[i]);
    }
    (void)printf("\n");
}

static bool run_scope(const ex_scope *scope, uint64_t states_max, uint64_t *sum)
{
    static search s;
    memset(&s, 0, sizeof s);
    s.scope = scope;
    s.states_max = states_max;
    clock_t begin = clock();
    ex_failure = NULL;
    ex_world_begin(&scope->budget);
    explore(&s);
    if (s.failed) {
        print_path(&s);
    }
    double seconds = (double)(clock() - begin) / CLOCKS_PER_SEC;
    (void)printf("%-18s %u members: %llu states, %llu steps, depth %u, %.1f CPU-s%s\n", scope->name,
                 scope->budget.members, (unsigned long long)s.set.count,
                 (unsigned long long)s.steps, s.deepest, seconds,
                 s.failed    ? ", failed"
                 : s.stopped ? ", stopped: not all"
                             : ", all");
    (void)fflush(stdout);
    *sum += s.set.count;
    free(s.set.slots);
    for (uint32_t i = 0; i < DEPTH_MAX; i++) {
        free(s.kept[i].world);
        free(s.kept[i].arena);
    }
    return !s.failed;
}

static bool replay(const ex_scope *scope, const char *path)
{
    ex_action actions[EX_ACTIONS_MAX];
    char words[160];
    ex_world_begin(&scope->budget);
    while (*path != '\0' && ex_failure == NULL) {
        char *end;
        unsigned long at = strtoul(path, &end, 10);
        uint32_t count = ex_world_actions(actions);
        if (end == path || at >= count) {
            (void)fprintf(stderr, "kvr-explore: this path does not exist\n");
            return false;
        }
        ex_world_describe(&actions[at], words, sizeof words);
        (void)printf("%s\n", words);
        (void)act(&actions[at]);
        path = *end == ',' ? end + 1 : end;
    }
    (void)printf("%s: %s\n", ex_failure == NULL ? "nothing is violated" : ex_failure,
                 ex_failure == NULL ? "" : ex_failure_text);
    return ex_failure == NULL;
}

/* ------------------------------------------------------------------ flags */

static int usage(void)
{
    (void)fprintf(stderr, "kvr-explore: try: kvr-explore [--states N] [--scope NAME [--path P]]\n");
    for (size_t i = 0; i < sizeof scopes / sizeof *scopes; i++) {
        (void)fprintf(stderr, "  %s\n", scopes[i].name);
    }
    return 2;
}

int main(int count, char **words)
{
    uint64_t states_max = UINT64_MAX;
    const char *only = NULL;
    const char *path = NULL;
    uint64_t sum = 0;
    bool sound = true;
    bool known = false;
    for (int i = 1; i < count; i += 2) {
        const char *value = i + 1 < count ? words[i + 1] : "";
        char *end = NULL;
        if (strcmp(words[i], "--states") == 0) {
            states_max = strtoull(value, &end, 10);
        } else if (strcmp(words[i], "--scope") == 0) {
            only = value;
        } else if (strcmp(words[i], "--path") == 0) {
            path = value;
        } else {
            return usage();
        }
        if (*value == '\0' || (end != NULL && *end != '\0')) {
            return usage();
        }
    }
    for (size_t i = 0; i < sizeof scopes / sizeof *scopes && sound; i++) {
        if (only != NULL && strcmp(only, scopes[i].name) != 0) {
            continue;
        }
        known = true;
        sound = path == NULL ? run_scope(&scopes[i], states_max, &sum) : replay(&scopes[i], path);
    }
    if (!known) {
        return usage();
    }
    if (path == NULL) {
        (void)printf("%llu distinct states\n", (unsigned long long)sum);
    }
    return sound ? 0 : 1;
}
