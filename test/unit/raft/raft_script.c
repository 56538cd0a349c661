/* SPDX-License-Identifier: Apache-2.0 */
/* raft_script.c: runs scripts against a cluster. One function a command, listed in the table at the
 * end. Start at raft_script_run. */
#include "raft_script.h"

#include <criterion/criterion.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "raft/raft_internal.h"
#include "raft_cluster.h"

enum { WORDS_MAX = 32, OUTPUT_MAX = 1 << 16, SCRIPT_MAX = 1 << 17 };

typedef struct script {
    cluster c;
    char output[OUTPUT_MAX]; /* of the block that runs */
    size_t output_size;
    char *words[WORDS_MAX];
    uint32_t word_count;
} script;

static void say(script *s, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    int n =
        vsnprintf(s->output + s->output_size, sizeof s->output - s->output_size, format, arguments);
    va_end(arguments);
    cr_assert(n >= 0 && (size_t)n < sizeof s->output - s->output_size, "too much output");
    s->output_size += (size_t)n;
}

/* ------------------------------------------------------------------ arguments */

static uint64_t number(const script *s, uint32_t i)
{
    cr_assert_lt(i, s->word_count, "%s: argument %u is missing", s->words[0], i);
    char *end = NULL;
    uint64_t value = strtoull(s->words[i], &end, 10);
    cr_assert(*end == '\0' && end != s->words[i], "%s: %s is no number", s->words[0], s->words[i]);
    return value;
}

static const char *option(const script *s, const char *name)
{
    size_t size = strlen(name);
    for (uint32_t i = 1; i < s->word_count; i++) {
        if (strncmp(s->words[i], name, size) == 0 && s->words[i][size] == '=') {
            return s->words[i] + size + 1;
        }
    }
    return NULL;
}

static uint64_t option_number(const script *s, const char *name, uint64_t otherwise)
{
    const char *value = option(s, name);
    return value == NULL ? otherwise : strtoull(value, NULL, 10);
}

static bool has_word(const script *s, const char *word)
{
    for (uint32_t i = 1; i < s->word_count; i++) {
        if (strcmp(s->words[i], word) == 0) {
            return true;
        }
    }
    return false;
}

static cluster_filter filter(const script *s)
{
    cluster_filter f = {
        .from = option_number(s, "from", 0),
        .to = option_number(s, "to", 0),
        .count = (uint32_t)option_number(s, "count", 0),
    };
    const char *type = option(s, "type");
    for (uint32_t i = 1; type != NULL && i < KVR__RAFT_TYPES; i++) {
        f.type = strcmp(type, kvr_raft_message_name((uint8_t)i)) == 0 ? (uint8_t)i : f.type;
    }
    cr_assert(type == NULL || f.type != 0, "there is no message type %s", type);
    return f;
}

static void say_status(script *s, kvr_status status)
{
    if (status != KVR_OK) {
        say(s, "%s %s: %s\n", s->words[0], s->word_count > 1 ? s->words[1] : "",
            kvr_status_name(status));
    }
}

/* ------------------------------------------------------------------ making members */

static const script *tuning; /* whose options the config takes */

static void tune(kvr_raft_config *config)
{
    config->snapshot_chunk_bytes = (uint32_t)option_number(tuning, "chunk", 0);
    config->message_bytes_max = option_number(tuning, "message", 0);
    config->inflight_messages_max = (uint32_t)option_number(tuning, "inflight", 0);
    config->apply_bytes_max = option_number(tuning, "apply", 0);
    config->lease_ns = option_number(tuning, "lease", 0) * CLUSTER_MS;
    config->witness = has_word(tuning, "as-witness");
    config->log_memory_bytes = option_number(tuning, "memory", 0);
    config->uncommitted_bytes_max = option_number(tuning, "uncommitted", 0);
}

static void set_roles(const script *s, const char *name, uint8_t role, uint8_t *roles)
{
    const char *list = option(s, name);
    while (list != NULL && *list != '\0') {
        roles[(*list - '1') % CLUSTER_MEMBERS_MAX] = role;
        list += list[1] == ',' ? 2 : 1;
    }
}

static void add_members(script *s)
{
    uint8_t roles[CLUSTER_MEMBERS_MAX] = {0};
    set_roles(s, "learners", KVR_MEMBER_LEARNER, roles);
    set_roles(s, "witnesses", KVR_MEMBER_WITNESS, roles);
    tuning = s;
    cluster_add(&s->c, (uint32_t)number(s, 1), roles, tune);
    for (uint32_t i = 0; i < s->c.member_count; i++) {
        s->c.members[i].disk.manual = has_word(s, "slow-disks");
    }
}

static void join(script *s)
{
    tuning = s;
    while (s->c.member_count < number(s, 1)) {
        (void)cluster_join(&s->c, tune);
    }
}

static const struct {
    const char *name;
    uint8_t kind;
    uint8_t role;
} changes_known[] = {
    {"add", KVR_CHANGE_ADD, KVR_MEMBER_VOTER},
    {"add-learner", KVR_CHANGE_ADD, KVR_MEMBER_LEARNER},
    {"add-witness", KVR_CHANGE_ADD, KVR_MEMBER_WITNESS},
    {"promote", KVR_CHANGE_PROMOTE, 0},
    {"demote", KVR_CHANGE_DEMOTE, 0},
    {"remove", KVR_CHANGE_REMOVE, 0},
};

static void change(script *s)
{
    kvr_member_change changes[WORDS_MAX];
    uint32_t count = 0;
    for (uint32_t i = 2; i < s->word_count; i++) {
        size_t size = strcspn(s->words[i], "=");
        for (size_t k = 0; k < sizeof changes_known / sizeof changes_known[0]; k++) {
            if (s->words[i][size] == '=' && strlen(changes_known[k].name) == size &&
                strncmp(changes_known[k].name, s->words[i], size) == 0) {
                changes[count++] =
                    (kvr_member_change){.kind = changes_known[k].kind,
                                        .member = {.id = strtoull(s->words[i] + size + 1, NULL, 10),
                                                   .role = changes_known[k].role}};
            }
        }
    }
    kvr_raft_proposal proposal;
    kvr_raft_changes all = {.size = sizeof all,
                            .flags =
                                (has_word(s, "joint") ? (uint32_t)KVR_CHANGES_JOINT : 0) |
                                (has_word(s, "stay") ? (uint32_t)KVR_CHANGES_STAY : 0) |
                                (has_word(s, "leave") ? (uint32_t)KVR_CHANGES_LEAVE : 0) |
                                (has_word(s, "unchecked") ? (uint32_t)KVR_CHANGES_UNCHECKED : 0) |
                                (option(s, "copies") != NULL ? (uint32_t)KVR_CHANGES_COPIES : 0) |
                                (option(s, "lease") != NULL ? (uint32_t)KVR_CHANGES_LEASE : 0),
                            .lease_ns = option_number(s, "lease", 0) * CLUSTER_MS,
                            .change_count = count,
                            .data_copies_min = (uint32_t)option_number(s, "copies", 0),
                            .changes = changes};
    kvr_status status = kvr_raft_change(cluster_at(&s->c, number(s, 1))->raft, &all, &proposal);
    if (status != KVR_OK) {
        say(s, "change: %s\n", kvr_status_name(status));
    }
}

/* The configuration in force: who is in it, and what leaves it. */
static void members(script *s)
{
    static const char *const roles[] = {"", " learner", " witness"};
    const kvr_raft *raft = cluster_at(&s->c, number(s, 1))->raft;
    kvr_raft_status st = {.size = sizeof st};
    kvr_raft_get_status(raft, &st);
    say(s, "%s: at %llu%s:", s->words[1], (unsigned long long)st.configuration_index,
        st.joint != 0 ? " joint" : "");
    for (uint32_t i = 0; i < raft->member_count; i++) {
        const kvr__raft_member *m = &raft->members[i];
        say(s, "%s %llu%s%s", i > 0 ? "," : "", (unsigned long long)m->id,
            m->role == KVR__RAFT_ROLE_NONE ? " leaves" : roles[m->role],
            raft->joint && m->role_outgoing == KVR__RAFT_ROLE_NONE ? " comes" : "");
    }
    say(s, "%s\n", st.removed != 0 ? " (removed)" : "");
}

static void crash(script *s)
{
    cluster_crash(&s->c, number(s, 1));
}

static void restart(script *s)
{
    cluster_start(&s->c, number(s, 1));
}

/* ------------------------------------------------------------------ acting */

static void campaign(script *s)
{
    say_status(s, kvr_raft_campaign(cluster_at(&s->c, number(s, 1))->raft));
}

/* The whole exchange of votes, and nothing else: what the new leader sends first stays in the
 * queue. */
static void transfer(script *s)
{
    uint64_t to = s->word_count > 2 ? number(s, 2) : 0;
    say_status(s, kvr_raft_transfer_leader(cluster_at(&s->c, number(s, 1))->raft, to));
}

static void stop(script *s)
{
    kvr_raft_stop(cluster_at(&s->c, number(s, 1))->raft);
}

static void priority(script *s)
{
    kvr_raft_set_priority(cluster_at(&s->c, number(s, 1))->raft, (uint32_t)number(s, 2));
}

static void elect(script *s)
{
    uint64_t id = number(s, 1);
    for (int round = 0; round < 6; round++) {
        uint8_t role = cluster_status(&s->c, id).role;
        if (round == 0 || role == KVR_ROLE_FOLLOWER) { /* it may have learned of a higher term */
            cr_assert_eq(kvr_raft_campaign(cluster_at(&s->c, id)->raft), KVR_OK);
            cluster_run(&s->c, id);
        }
        for (uint32_t type = KVR__RAFT_PREVOTE; type <= KVR__RAFT_VOTE_REPLY; type++) {
            cluster_deliver(&s->c, (cluster_filter){.type = (uint8_t)type});
            for (uint64_t other = 1; other <= s->c.member_count; other++) {
                cluster_run(&s->c, other);
                while (s->c.members[other - 1].raft != NULL && cluster_disk_vote(&s->c, other)) {
                }
            }
        }
    }
    if (cluster_status(&s->c, id).role != KVR_ROLE_LEADER) {
        say(s, "elect %s: not elected\n", s->words[1]);
    }
}

static void propose(script *s)
{
    for (uint32_t i = 2; i < s->word_count; i++) {
        kvr_status status = cluster_propose(&s->c, number(s, 1), s->words[i]);
        if (status != KVR_OK) {
            say(s, "propose %s %s: %s\n", s->words[1], s->words[i], kvr_status_name(status));
        }
    }
}

static void read_index(script *s)
{
    say_status(s, kvr_raft_read_index(cluster_at(&s->c, number(s, 1))->raft, number(s, 2)));
}

static void read_lease(script *s)
{
    say_status(s, kvr_raft_read_lease(cluster_at(&s->c, number(s, 1))->raft, number(s, 2)));
}

/* What its lease and its freshness are, in ms of its clock. */
static void lease(script *s)
{
    cluster_member *m = cluster_at(&s->c, number(s, 1));
    kvr_raft_status st = {.size = sizeof st};
    kvr_raft_get_status(m->raft, &st);
    uint64_t now = cluster_now(&s->c, m);
    say(s, "%s:", s->words[1]);
    if (st.lease_end_ns > now) {
        say(s, " leads for %llu ms", (unsigned long long)(st.lease_end_ns - now) / CLUSTER_MS);
    }
    if (st.fresh_ns != 0) {
        say(s, " index %llu is %llu ms old", (unsigned long long)st.fresh_index,
            (unsigned long long)(now - st.fresh_ns) / CLUSTER_MS);
    }
    say(s, "\n");
}

static void clock_rate(script *s)
{
    cluster_at(&s->c, number(s, 1))->clock_rate = option_number(s, "rate", 1000);
}

static void reads(script *s)
{
    cluster_member *m = cluster_at(&s->c, number(s, 1));
    for (uint32_t i = 0; i < m->read_count; i++) {
        say(s, "%llu: ", (unsigned long long)m->reads[i].context);
        if (m->reads[i].status == KVR_OK) {
            say(s, "index %llu\n", (unsigned long long)m->reads[i].index);
        } else {
            say(s, "%s\n", kvr_status_name(m->reads[i].status));
        }
    }
    m->read_count = 0;
}

static void run(script *s)
{
    for (uint32_t i = 1; i < s->word_count; i++) {
        cluster_run(&s->c, number(s, i));
        kvr_status status = cluster_at(&s->c, number(s, i))->last_status;
        if (status != KVR_OK) {
            say(s, "run %s: %s\n", s->words[i], kvr_status_name(status));
        }
    }
}

static void compact(script *s)
{
    say_status(s, cluster_compact(&s->c, number(s, 1), option_number(s, "keep", 0)));
}

static void apply_later(script *s)
{
    cluster_at(&s->c, number(s, 1))->applies_later = true;
}

static void apply(script *s)
{
    cluster_member *m = cluster_at(&s->c, number(s, 1));
    m->applies_later = false;
    say_status(s, kvr_raft_applied(m->raft, m->applied));
}

/* ------------------------------------------------------------------ disks */

static void disk(script *s)
{
    uint32_t count = (uint32_t)option_number(s, "count", UINT32_MAX);
    cluster_disk_complete(&s->c, number(s, 1), count);
}

static void answer(script *s)
{
    if (!cluster_answer(&s->c, number(s, 1), (uint32_t)number(s, 2))) {
        say(s, "answer %s: nothing waits\n", s->words[1]);
    }
}

/* A crashed member's disk knows a term that nobody else heard of. */
static void disk_term(script *s)
{
    cluster_disk *d = &cluster_at(&s->c, number(s, 1))->disk;
    d->term = number(s, 2);
    d->vote = 0;
}

static void requests(script *s)
{
    static const char *const kinds[] = {"?",    "load",  "append", "vote",
                                        "read", "write", "chunk",  "discard"};
    const cluster_disk *d = &cluster_at(&s->c, number(s, 1))->disk;
    for (uint32_t i = 0; i < d->request_count; i++) {
        const kvr_store_request *r = &d->requests[i].request;
        say(s, "%u: %s", i, kinds[r->kind]);
        if (r->kind == KVR_STORE_APPEND) {
            say(s, " %llu..%llu", (unsigned long long)r->first_index,
                (unsigned long long)r->last_index);
        } else if (r->kind == KVR_STORE_VOTE) {
            say(s, " term %llu for %llu", (unsigned long long)r->term,
                (unsigned long long)r->voted_for);
        } else if (r->kind == KVR_STORE_DISCARD) {
            say(s, " below %llu%s", (unsigned long long)r->first_index,
                r->flags != 0 ? " and all above" : "");
        }
        say(s, "\n");
    }
}

static void disk_fails(script *s)
{
    cluster_at(&s->c, number(s, 1))->disk.fault = KVR_EIO;
}

static void disk_full(script *s)
{
    cluster_at(&s->c, number(s, 1))->disk.full = true;
}

static void disk_ok(script *s)
{
    cluster_at(&s->c, number(s, 1))->disk.full = false;
}

/* ------------------------------------------------------------------ network and time */

static void deliver(script *s)
{
    cluster_deliver(&s->c, filter(s));
}

static void drop(script *s)
{
    cluster_drop(&s->c, filter(s));
}

static void repeat(script *s)
{
    cluster_repeat(&s->c, filter(s));
}

static void messages(script *s)
{
    for (uint32_t i = 0; i < s->c.message_count; i++) {
        const cluster_message *m = &s->c.messages[i];
        kvr__raft_message message;
        cr_assert_eq(kvr__raft_message_read((kvr_slice){m->bytes, m->size}, &message), KVR_OK);
        say(s, "%llu->%llu %s term %llu", (unsigned long long)m->from, (unsigned long long)m->to,
            kvr_raft_message_name(message.head.type), (unsigned long long)message.head.term);
        if (message.head.type == KVR__RAFT_APPEND) {
            kvr__raft_append a;
            kvr__raft_message_read_append(message.body, &a);
            say(s, " prev %llu/%llu entries %u commit %llu", (unsigned long long)a.prev_index,
                (unsigned long long)a.prev_term, a.entry_count, (unsigned long long)a.commit);
        } else if (message.head.type == KVR__RAFT_FORWARD) {
            say(s, " commands %u", kvr__raft_message_read_forward(message.body));
        } else if (message.head.type == KVR__RAFT_APPEND_REPLY) {
            kvr__raft_append_reply r;
            kvr__raft_message_read_append_reply(message.body, &r);
            say(s,
                (r.flags & KVR__RAFT_REFUSED) != 0 ? " refuses %llu hint %llu/%llu" : " has %llu",
                (unsigned long long)r.index, (unsigned long long)r.hint_index,
                (unsigned long long)r.hint_term);
        } else if (message.head.type == KVR__RAFT_SNAPSHOT_REPLY) {
            kvr__raft_snapshot_reply r;
            kvr__raft_message_read_snapshot_reply(message.body, &r);
            say(s, " of %llu wants %llu%s", (unsigned long long)r.index,
                (unsigned long long)r.offset, r.flags != 0 ? " installed" : "");
        } else if (message.head.type == KVR__RAFT_SNAPSHOT) {
            kvr__raft_snapshot_chunk k;
            kvr__raft_message_read_snapshot(message.body, &k);
            say(s, " of %llu offset %llu%s", (unsigned long long)k.meta.index,
                (unsigned long long)k.offset, k.flags != 0 ? " last" : "");
        } else if (message.head.type == KVR__RAFT_HEARTBEAT) {
            kvr__raft_heartbeat h;
            kvr__raft_message_read_heartbeat(message.body, &h);
            say(s, " commit %llu", (unsigned long long)h.commit);
        } else if (message.head.type == KVR__RAFT_VOTE_REPLY ||
                   message.head.type == KVR__RAFT_PREVOTE_REPLY) {
            kvr__raft_vote_reply r;
            kvr__raft_message_read_vote_reply(message.body, &r);
            say(s, r.flags != 0 ? " granted" : " refused");
        }
        say(s, "\n");
    }
}

static void stabilize(script *s)
{
    cluster_stabilize(&s->c);
    for (uint32_t i = 0; i < s->c.member_count; i++) {
        while (s->c.members[i].disk.manual && s->c.members[i].disk.request_count > 0) {
            cluster_disk_complete(&s->c, i + 1, UINT32_MAX);
            cluster_stabilize(&s->c);
            i = 0;
        }
    }
}

static void tick(script *s)
{
    uint64_t ms = strcmp(s->words[0], "tick-heartbeat") == 0  ? 100
                  : strcmp(s->words[0], "tick-election") == 0 ? 2000
                                                              : number(s, 1);
    cluster_tick(&s->c, ms * CLUSTER_MS);
}

/* Time in steps of a heartbeat, with everything that follows from each. */
static void pass(script *s)
{
    for (uint64_t ms = 0; ms < number(s, 1); ms += 100) {
        cluster_tick(&s->c, UINT64_C(100) * CLUSTER_MS);
        stabilize(s);
    }
}

static void cut(script *s)
{
    cluster_cut(&s->c, number(s, 1), number(s, 2), true);
}

static void isolate(script *s)
{
    cluster_isolate(&s->c, number(s, 1), true);
}

static void heal(script *s)
{
    memset(s->c.cut, 0, sizeof s->c.cut);
}

/* ------------------------------------------------------------------ showing */

static void status(script *s)
{
    static const char *const states[] = {"probe", "replicate", "snapshot"};
    kvr_raft *raft = cluster_at(&s->c, number(s, 1))->raft;
    kvr_raft_progress p = {.size = sizeof p};
    for (uint32_t i = 0; kvr_raft_get_progress(raft, i, &p) == KVR_OK; i++) {
        if (p.id != number(s, 1)) {
            say(s, "%llu: %s match=%llu next=%llu%s\n", (unsigned long long)p.id, states[p.state],
                (unsigned long long)p.match, (unsigned long long)p.next,
                p.role == KVR_MEMBER_LEARNER   ? " learner"
                : p.role == KVR_MEMBER_WITNESS ? " witness"
                                               : "");
        }
    }
}

static void state(script *s)
{
    static const char *const roles[] = {"loading",   "follower", "precandidate",
                                        "candidate", "leader",   "failed"};
    kvr_raft *raft = cluster_at(&s->c, number(s, 1))->raft;
    kvr_raft_status st = {.size = sizeof st};
    kvr_raft_get_status(raft, &st);
    if (st.transfer_to != 0) {
        say(s, "%s: hands over to %llu\n", s->words[1], (unsigned long long)st.transfer_to);
    }
    say(s,
        "%s: %s term=%llu vote=%llu leader=%llu last=%llu durable=%llu commit=%llu applied=%llu\n",
        s->words[1], roles[st.role], (unsigned long long)st.term, (unsigned long long)st.voted_for,
        (unsigned long long)st.leader, (unsigned long long)st.last_index,
        (unsigned long long)st.durable_index, (unsigned long long)st.commit_index,
        (unsigned long long)st.applied_index);
    if (*kvr_raft_error(raft) != '\0') {
        say(s, "   %s\n", kvr_raft_error(raft));
    }
}

static void show_log(script *s)
{
    const kvr__raft_log *l = &cluster_at(&s->c, number(s, 1))->raft->log;
    say(s, "%s: base %llu/%llu", s->words[1], (unsigned long long)l->base_index,
        (unsigned long long)l->base_term);
    for (uint64_t i = l->base_index + 1; i <= l->last_index; i++) {
        kvr_entry entry;
        kvr__raft_log_entry(l, i, &entry);
        say(s, " %llu:%.*s", (unsigned long long)entry.term, (int)entry.command.size,
            entry.kind == KVR_ENTRY_COMMAND ? (const char *)entry.command.data : "");
    }
    say(s, "\n");
}

static void text(script *s)
{
    cluster_member *m = cluster_at(&s->c, number(s, 1));
    say(s, "%llu: %s\n", (unsigned long long)m->id, m->text);
}

static void story(script *s)
{
    s->c.tells = has_word(s, "off") ? false : s->c.tells;
    if (has_word(s, "show")) {
        say(s, "%s", s->c.story);
    }
    if (has_word(s, "show") || has_word(s, "on")) {
        s->c.tells = true;
        s->c.story_size = 0;
        s->c.story[0] = '\0';
    }
}

/* ---------------------------------------------------------------- the table, and running a file */

static const struct {
    const char *name;
    void (*act)(script *s);
} commands[] = {
    {"add-members", add_members},
    {"join", join},
    {"change", change},
    {"members", members},
    {"crash", crash},
    {"restart", restart},
    {"campaign", campaign},
    {"elect", elect},
    {"transfer", transfer},
    {"stop", stop},
    {"priority", priority},
    {"pass", pass},
    {"requests", requests},
    {"propose", propose},
    {"read", read_index},
    {"reads", reads},
    {"read-lease", read_lease},
    {"lease", lease},
    {"clock", clock_rate},
    {"run", run},
    {"compact", compact},
    {"apply-later", apply_later},
    {"apply", apply},
    {"disk", disk},
    {"answer", answer},
    {"disk-fails", disk_fails},
    {"disk-full", disk_full},
    {"disk-ok", disk_ok},
    {"disk-term", disk_term},
    {"deliver", deliver},
    {"drop", drop},
    {"repeat", repeat},
    {"messages", messages},
    {"stabilize", stabilize},
    {"tick", tick},
    {"tick-heartbeat", tick},
    {"tick-election", tick},
    {"cut", cut},
    {"isolate", isolate},
    {"heal", heal},
    {"status", status},
    {"state", state},
    {"log", show_log},
    {"text", text},
    {"story", story},
};

static void run_command(script *s, char *line)
{
    s->word_count = 0;
    while (*line != '\0') {
        size_t size = strcspn(line, " ");
        cr_assert_lt(s->word_count, WORDS_MAX);
        if (size > 0) {
            s->words[s->word_count++] = line;
        }
        line += size;
        if (*line == ' ') {
            *line++ = '\0';
        }
    }
    for (size_t i = 0; s->word_count > 0 && i < sizeof commands / sizeof commands[0]; i++) {
        if (strcmp(commands[i].name, s->words[0]) == 0) {
            commands[i].act(s);
            return;
        }
    }
    cr_assert(s->word_count == 0, "there is no command %s", s->words[0]);
}

static char *read_file(const char *path)
{
    FILE *file = fopen(path, "r");
    cr_assert_not_null(file, "%s cannot be read", path);
    char *content = calloc(1, SCRIPT_MAX);
    size_t size = fread(content, 1, SCRIPT_MAX - 2, file);
    cr_assert_lt(size, SCRIPT_MAX - 2);
    fclose(file);
    return content;
}

/* The next line, its newline replaced; NULL at the end. */
static char *next_line(char **at)
{
    char *line = *at;
    if (*line == '\0') {
        return NULL;
    }
    char *end = strchr(line, '\n');
    if (end == NULL) {
        *at = line + strlen(line);
    } else {
        *end = '\0';
        *at = end + 1;
    }
    return line;
}

/* The text of a script as it would be written. */
typedef struct text_out {
    char text[SCRIPT_MAX + OUTPUT_MAX];
    size_t size;
} text_out;

static void put(text_out *out, const char *text, const char *end)
{
    int n = snprintf(out->text + out->size, sizeof out->text - out->size, "%s%s", text, end);
    cr_assert(n >= 0 && (size_t)n < sizeof out->text - out->size);
    out->size += (size_t)n;
}

bool raft_script_run(const char *path, bool accept)
{
    script *s = calloc(1, sizeof *s);
    char *content = read_file(path);
    char *before = read_file(path);
    text_out *after = calloc(1, sizeof *after);
    char *at = content;
    cluster_init(&s->c);
    for (char *line = next_line(&at); line != NULL; line = next_line(&at)) {
        put(after, line, "\n");
        if (strcmp(line, "----") == 0) { /* skip what was expected, put what was said */
            for (line = next_line(&at); line != NULL && *line != '\0'; line = next_line(&at)) {
            }
            put(after, s->output, line == NULL ? "" : "\n");
            s->output_size = 0;
            s->output[0] = '\0';
        } else if (*line != '#') {
            run_command(s, line);
        }
    }
    cluster_release(&s->c);
    bool same = strcmp(before, after->text) == 0;
    if (!same && accept) {
        FILE *file = fopen(path, "w");
        cr_assert_not_null(file);
        fputs(after->text, file);
        fclose(file);
    } else if (!same) {
        fprintf(stderr, "%s says:\n%s", path, after->text);
    }
    free(s);
    free(content);
    free(before);
    free(after);
    return same || accept;
}
