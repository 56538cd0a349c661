/* SPDX-License-Identifier: Apache-2.0 */
/* run_page.c: collects a run as lists of short rows, and writes them as one JavaScript object into
 * the page whose rest is page.html. Times are nanoseconds; members count from 0 there as here. */
#include "run_page.h"

#include <stdlib.h>
#include <string.h>

enum { SECTION_COUNT = 6, TEXT_MAX = 512 };

/* What the rows of each section hold stands in page.html, where they are read. */
enum { STATES, MARKS, LINKS, MESSAGES, CALLS, ANSWERS };
static const char *const section_names[SECTION_COUNT] = {"states",   "marks", "links",
                                                         "messages", "calls", "answers"};

typedef struct section {
    char *text;
    uint32_t size, capacity;
} section;

struct page {
    const char *file_name;
    section sections[SECTION_COUNT];
    kvr_node_status last[CHECK_MEMBERS_MAX]; /* what the last state row said */
    uint32_t last_state[CHECK_MEMBERS_MAX];
    uint64_t cut_since[CHECK_MEMBERS_MAX][CHECK_MEMBERS_MAX]; /* + 1; 0: it passes */
    uint64_t phase_ns[3];                                     /* when each began */
    uint32_t phase;
    uint32_t reserved;
    char head[16384];
};

page *page_new(const char *file_name)
{
    page *p = check_alloc(sizeof *p);
    p->file_name = file_name;
    for (uint32_t i = 0; i < CHECK_MEMBERS_MAX; i++) {
        p->last_state[i] = UINT32_MAX;
    }
    return p;
}

static void add(page *p, uint32_t which, const char *text)
{
    section *to = &p->sections[which];
    uint32_t size = (uint32_t)strlen(text);
    check_grow((void **)&to->text, &to->capacity, to->size + size + 1, 1);
    memcpy(to->text + to->size, text, size + 1);
    to->size += size;
}

#define U(x) ((unsigned long long)(x))

/* ------------------------------------------------------------------ members */

static void note_state(page *p, const run_world *world, uint32_t member, uint64_t now)
{
    char row[TEXT_MAX];
    kvr_sim_member_status life = {.size = sizeof life};
    kvr_node_status status = {.size = sizeof status};
    kvr_sim_get_member_status(world->sim, member, &life);
    if (kvr_sim_look(world->sim, member) != NULL) {
        run_world_status(world, member, &status);
    }
    const kvr_node_status *last = &p->last[member];
    if (life.state == p->last_state[member] && status.raft.role == last->raft.role &&
        status.raft.term == last->raft.term &&
        status.raft.commit_index == last->raft.commit_index &&
        status.hash_index == last->hash_index && status.raft.leader == last->raft.leader) {
        return;
    }
    p->last_state[member] = life.state;
    p->last[member] = status;
    (void)snprintf(row, sizeof row, "[%llu,%u,%u,%u,%llu,%llu,%llu,%llu,%llu,%llu],\n", U(now),
                   member, life.state, status.raft.role, U(status.raft.term), U(status.raft.leader),
                   U(status.raft.last_index), U(status.raft.commit_index), U(status.hash_index),
                   U(status.store.revision));
    add(p, STATES, row);
}

static void note_links(page *p, const run_world *world, uint64_t now, bool all_end)
{
    char row[TEXT_MAX];
    for (uint32_t from = 0; from < world->plan.sim.member_count; from++) {
        for (uint32_t to = 0; to < world->plan.sim.member_count; to++) {
            uint64_t *since = &p->cut_since[from][to];
            bool is_cut = !all_end && kvr_sim_is_cut(world->sim, from, to);
            if (is_cut && *since == 0) {
                *since = now + 1;
            } else if (!is_cut && *since != 0) {
                (void)snprintf(row, sizeof row, "[%llu,%llu,%u,%u],\n", U(*since - 1), U(now), from,
                               to);
                add(p, LINKS, row);
                *since = 0;
            }
        }
    }
}

/* Quotes and backslashes would end a string too early. */
static void copy_plain(char *to, size_t size, const char *from)
{
    size_t i = 0;
    for (; from[i] != '\0' && i + 1 < size; i++) {
        bool is_plain = from[i] >= ' ' && from[i] != '"' && from[i] != '\\' && from[i] != '<';
        to[i] = is_plain ? from[i] : '\'';
    }
    to[i] = '\0';
}

static void note_mark(page *p, const run_world *world, const kvr_sim_event *event)
{
    static const char *const words[] = {
        [KVR_SIM_CRASH] = "crash", [KVR_SIM_RESTART] = "start", [KVR_SIM_PAUSE] = "pause",
        [KVR_SIM_STALL] = "stall", [KVR_SIM_JUMP] = "jump",     [KVR_SIM_FAILURE] = "failure",
    };
    char row[TEXT_MAX];
    char why[300] = "";
    if (event->kind == KVR_SIM_FAILURE) {
        kvr_sim_member_status life = {.size = sizeof life};
        kvr_sim_get_member_status(world->sim, event->member, &life);
        copy_plain(why, sizeof why, life.error);
    }
    (void)snprintf(row, sizeof row, "[%llu,%u,\"%s\",%llu,\"%s\"],\n", U(event->time_ns),
                   event->member, words[event->kind], U(event->span_ns), why);
    add(p, MARKS, row);
}

void page_event(page *p, const run_world *world, const kvr_sim_event *event)
{
    char row[TEXT_MAX];
    if (p == NULL) {
        return;
    }
    if (world->phase != p->phase) {
        p->phase = world->phase;
        p->phase_ns[p->phase] = event->time_ns;
    }
    note_links(p, world, event->time_ns, false); /* by hand, too, they are cut */
    switch (event->kind) {
    case KVR_SIM_CRASH:
    case KVR_SIM_RESTART:
    case KVR_SIM_PAUSE:
    case KVR_SIM_STALL:
    case KVR_SIM_JUMP:
    case KVR_SIM_FAILURE:
        note_mark(p, world, event);
        break;
    case KVR_SIM_MESSAGE:
        (void)snprintf(row, sizeof row, "[%llu,%llu,%u,%u,%u,%llu],\n",
                       U(event->time_ns - event->span_ns), U(event->time_ns), event->peer,
                       event->member, event->message_type, U(event->term));
        add(p, MESSAGES, row);
        break;
    default:
        break;
    }
    if (event->member < world->plan.sim.member_count) {
        note_state(p, world, event->member, event->time_ns);
    }
}

void page_say(page *p, uint64_t now_ns, uint32_t member, const char *word, const char *what,
              uint64_t number)
{
    char row[TEXT_MAX];
    if (p != NULL) {
        (void)snprintf(row, sizeof row, "[%llu,%u,\"%s\",0,\"%s %llu\"],\n", U(now_ns), member,
                       word, what, U(number));
        add(p, MARKS, row);
    }
}

/* ------------------------------------------------------------------ calls */

void page_call(page *p, uint64_t now_ns, const history_call *call, const char *what)
{
    char row[TEXT_MAX];
    char plain[200];
    if (p != NULL) {
        copy_plain(plain, sizeof plain, what);
        (void)snprintf(row, sizeof row, "[%llu,%llu,%u,%u,\"%s\"],\n", U(call->number), U(now_ns),
                       call->member, call->kind, plain);
        add(p, CALLS, row);
    }
}

void page_answer(page *p, uint64_t now_ns, uint64_t number, const char *outcome)
{
    char row[TEXT_MAX];
    if (p != NULL) {
        (void)snprintf(row, sizeof row, "[%llu,%llu,\"%s\"],\n", U(number), U(now_ns), outcome);
        add(p, ANSWERS, row);
    }
}

/* ------------------------------------------------------------------ the page */

void page_end(page *p, const run_world *world, const check_report *report)
{
    char text[sizeof report->text];
    if (p == NULL) {
        return;
    }
    uint64_t now = world->sim == NULL ? 0 : kvr_sim_now(world->sim);
    if (world->sim != NULL) {
        note_links(p, world, now, true);
    }
    copy_plain(text, sizeof text, report->text);
    int used =
        snprintf(p->head, sizeof p->head,
                 "seed:\"%llu\",members:%u,end:%llu,liveness:%llu,power:%llu,events:%llu,"
                 "failed:%s,invariant:\"%s\",text:\"%s\",knobs:{",
                 U(world->seed), world->plan.sim.member_count, U(now), U(p->phase_ns[1]),
                 U(p->phase_ns[2]), U(world->sim == NULL ? 0 : kvr_sim_event_count(world->sim)),
                 report->failed ? "true" : "false", report->invariant, text);
    for (uint32_t i = 0; i < run_knob_count() && used > 0 && (size_t)used < sizeof p->head; i++) {
        uint64_t value = run_knob_get(&world->plan, i);
        if (value != run_knob_calm(i) || run_knob_family(i) == 0) {
            used += snprintf(p->head + used, sizeof p->head - (size_t)used, "%s:%llu,",
                             run_knob_name(i), U(value));
        }
    }
}

/* page.html with the line that holds the mark replaced by the run. */
bool page_write(page *p)
{
    static const char mark[] = "/*RUN*/";
    FILE *file = fopen(p->file_name, "w");
    bool done = file != NULL;
    for (uint32_t i = 0; done && run_page_lines[i] != NULL; i++) {
        const char *line = run_page_lines[i];
        if (strstr(line, mark) == NULL) {
            done = fprintf(file, "%s\n", line) > 0;
            continue;
        }
        (void)fprintf(file, "const RUN = {%s},\n", p->head);
        for (uint32_t j = 0; j < SECTION_COUNT; j++) {
            const char *rows = p->sections[j].text == NULL ? "" : p->sections[j].text;
            (void)fprintf(file, "%s:[\n%s],\n", section_names[j], rows);
        }
        (void)fprintf(file, "};\n");
    }
    done = file != NULL && fclose(file) == 0 && done;
    for (uint32_t i = 0; i < SECTION_COUNT; i++) {
        free(p->sections[i].text);
    }
    free(p);
    return done;
}
