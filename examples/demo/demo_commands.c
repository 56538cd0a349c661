/* SPDX-License-Identifier: Apache-2.0 */
/* demo_commands.c: a client's command line. Each command is a row of `commands` and a function that
 * asks a member and prints the answer. */
#include "demo.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

typedef struct options {
    const char *endpoints;
    const char *end;
    uint64_t revision, limit, lease, since, events;
    bool prefix, from, stale, keys_only, count, prev, help;
} options;

typedef struct command {
    const char *name;
    const char *words; /* that follow it */
    const char *help;
    const char *flags; /* that it takes: " name name " */
    int words_min;
    int words_max;
    int (*run)(connection *link, const options *chosen, int count, char **words);
} command;

/* ---------------------------------------------------------------- shared */

/* Says what became of a call that did not succeed. */
static int failed(bool answered, const reply *answer, bool writes)
{
    if (!answered) {
        fprintf(stderr, "kvraft-demo: no member answered at --endpoints%s\n",
                writes ? "; it may have been executed: look before you repeat it" : "");
    } else if (answer->outcome == KVR_OUTCOME_UNKNOWN) {
        fprintf(stderr, "kvraft-demo: the outcome is unknown: look before you repeat it\n");
    } else {
        fprintf(stderr, "kvraft-demo: %s: %s%s\n",
                answer->outcome == KVR_OUTCOME_REFUSED ? "refused" : "failed",
                kvr_status_text(answer->status),
                answer->status == KVR_ETOOBIG ? " (a key: 65,535 bytes, a value: 1,572,864)" : "");
    }
    return EXIT_FAILED;
}

static void print_bytes(const char *before, kvr_slice bytes, const char *after)
{
    printf("%s", before);
    fwrite(bytes.data, 1, bytes.size, stdout);
    printf("%s", after);
}

static void print_kv(void *ctx, const kvr_kv *kv)
{
    const options *chosen = ctx;
    print_bytes("", kv->key, chosen->keys_only ? "\n" : "\t");
    if (!chosen->keys_only) {
        print_bytes("", kv->value, "\n");
    }
}

/* The interval that the flags choose; "" means the first key that there can be. */
static kvr_range interval(const options *chosen, const char *word)
{
    static const uint8_t zero[1] = {0};
    static uint8_t room[KVR_KEY_BYTES_MAX];
    kvr_range range = {.size = sizeof range, .key = text(word), .revision = chosen->revision};
    if (chosen->from || (chosen->prefix && word[0] == '\0')) {
        range.range_end = (kvr_slice){zero, 1};
    } else if (chosen->prefix && range.key.size <= sizeof room) {
        kvr_prefix_end(&range.key, room, &range.range_end);
    } else if (chosen->end != NULL) {
        range.range_end = text(chosen->end);
    }
    if (word[0] == '\0') {
        range.key = (kvr_slice){zero, 1};
    }
    return range;
}

static void print_result(reader *in, int depth)
{
    uint8_t kind = read_u8(in);
    bool held = read_u8(in) != 0;
    uint64_t count = read_u64(in);
    if (kind == KVR_OP_TXN) {
        printf("%s\n", held ? "the compares held" : "a compare failed");
    } else if (kind == KVR_OP_DELETE) {
        printf("%*sdeleted %" PRIu64 "\n", depth, "", count);
    }
    for (uint32_t kvs = read_u32(in); kvs > 0 && !in->failed; kvs--) {
        kvr_kv kv = read_kv(in);
        printf("%*s%s", depth, "", kind == KVR_OP_RANGE ? "" : "before: ");
        print_bytes("", kv.key, "\t");
        print_bytes("", kv.value, "\n");
    }
    for (uint32_t results = read_u32(in); results > 0 && !in->failed; results--) {
        print_result(in, depth + 2);
    }
}

static int write_op(connection *link, const kvr_op *op)
{
    reply answer;
    bool answered = client_write(link, op, &answer);
    if (!answered || !reply_is_good(&answer)) {
        return failed(answered, &answer, true);
    }
    print_result(&answer.fields, 0);
    printf("revision %" PRIu64 "\n", answer.revision);
    return EXIT_OK;
}

/* ---------------------------------------------------------------- keys */

static int run_put(connection *link, const options *chosen, int count, char **words)
{
    (void)count;
    kvr_op op = {.size = sizeof op, .kind = KVR_OP_PUT, .key = text(words[0])};
    op.value = text(words[1]);
    op.flags = chosen->prev ? KVR_OP_PREV_KV : 0;
    op.lease = (int64_t)chosen->lease;
    return write_op(link, &op);
}

static int run_get(connection *link, const options *chosen, int count, char **words)
{
    (void)count;
    reply answer;
    uint32_t flags = (chosen->stale ? READ_STALE : 0u) | (chosen->count ? READ_COUNT_ONLY : 0u) |
                     (chosen->keys_only ? READ_KEYS_ONLY : 0u);
    options shown = *chosen;
    const query wanted = {interval(chosen, words[0]), flags, chosen->limit, print_kv, &shown};
    bool answered = client_read(link, &wanted, &answer);
    if (!answered || !reply_is_good(&answer)) {
        return failed(answered, &answer, false);
    }
    if (chosen->count) {
        printf("%" PRIu64 "\n", read_u64(&answer.fields));
    }
    return EXIT_OK;
}

static int run_del(connection *link, const options *chosen, int count, char **words)
{
    (void)count;
    kvr_range range = interval(chosen, words[0]);
    kvr_op op = {.size = sizeof op, .kind = KVR_OP_DELETE, .key = range.key};
    op.range_end = range.range_end;
    op.flags = chosen->prev ? KVR_OP_PREV_KV : 0;
    return write_op(link, &op);
}

static uint8_t find_word(const char *word, const char *const *words, uint8_t count)
{
    uint8_t i = 0;
    while (i < count && strcmp(word, words[i]) != 0) {
        i++;
    }
    return i;
}

static bool parse_compare(char **words, kvr_compare *out_compare)
{
    static const char *const targets[] = {"version", "create", "mod", "value", "lease"};
    static const char *const results[] = {"=", ">", "<", "!="};
    char *end = words[3];
    *out_compare = (kvr_compare){.size = sizeof *out_compare, .key = text(words[1])};
    out_compare->target = find_word(words[0], targets, COUNT_OF(targets));
    out_compare->result = find_word(words[2], results, COUNT_OF(results));
    if (out_compare->target == KVR_COMPARE_VALUE) {
        out_compare->value = text(words[3]);
    } else {
        out_compare->number = strtoll(words[3], &end, 10);
    }
    return out_compare->target < COUNT_OF(targets) && out_compare->result < COUNT_OF(results) &&
           (out_compare->target == KVR_COMPARE_VALUE || (end != words[3] && *end == '\0'));
}

/* One operation of a branch; returns the words it took, 0 if it is none. */
static int parse_op(int left, char **words, kvr_op *out_op)
{
    static const char *const verbs[] = {"put", "get", "del"};
    uint8_t verb = left < 2 ? 3 : find_word(words[0], verbs, COUNT_OF(verbs));
    if (verb == 3 || (verb == 0 && left < 3)) {
        return 0;
    }
    *out_op = (kvr_op){.size = sizeof *out_op, .kind = (uint8_t)(KVR_OP_PUT + verb)};
    out_op->key = text(words[1]);
    out_op->value = verb == 0 ? text(words[2]) : (kvr_slice){NULL, 0};
    return verb == 0 ? 3 : 2;
}

static int run_txn(connection *link, const options *chosen, int count, char **words)
{
    (void)chosen;
    static txn_room room;
    kvr_txn *txn = &room.txn;
    *txn = (kvr_txn){sizeof *txn, 0, 0, 0, room.compares, room.ops[0], room.ops[1]};
    for (int at = 0, took = 1; at < count; at += 1 + took) {
        int left = count - at - 1;
        took = 0;
        if (strcmp(words[at], "if") == 0 && left >= 4 && txn->compare_count < KVR_TXN_OPS_MAX) {
            took = parse_compare(words + at + 1, &room.compares[txn->compare_count++]) ? 4 : 0;
        } else if (strcmp(words[at], "then") == 0 && txn->then_count < KVR_TXN_OPS_MAX) {
            took = parse_op(left, words + at + 1, &room.ops[0][txn->then_count++]);
        } else if (strcmp(words[at], "else") == 0 && txn->else_count < KVR_TXN_OPS_MAX) {
            took = parse_op(left, words + at + 1, &room.ops[1][txn->else_count++]);
        }
        if (took == 0) {
            fprintf(stderr, "kvraft-demo txn: cannot read it from \"%s\" on; see --help\n",
                    words[at]);
            return EXIT_USAGE;
        }
    }
    const kvr_op op = {.size = sizeof op, .kind = KVR_OP_TXN, .txn = txn};
    return write_op(link, &op);
}

static int run_compact(connection *link, const options *chosen, int count, char **words)
{
    (void)chosen;
    (void)count;
    reply answer;
    size_t mark = client_begin(link, WIRE_COMPACT);
    wire_u64(&link->out, strtoull(words[0], NULL, 10));
    bool answered = client_call(link, mark, &answer);
    return answered && reply_is_good(&answer) ? EXIT_OK : failed(answered, &answer, true);
}

/* ---------------------------------------------------------------- watch, lease */

static void print_events(reader *in, uint64_t *count)
{
    for (uint32_t n = read_u32(in); n > 0 && !in->failed; n--, (*count)++) {
        bool put = read_u8(in) == KVR_EVENT_PUT;
        kvr_kv kv = read_kv(in);
        bool has_prev = read_u8(in) != 0;
        kvr_kv prev = read_kv(in);
        printf("%" PRIu64 " %s ", kv.mod_revision, put ? "put" : "delete");
        print_bytes("", kv.key, put ? "\t" : "");
        print_bytes("", kv.value, "");
        print_bytes(has_prev ? "\tbefore: " : "", prev.value, "\n");
    }
    fflush(stdout);
}

static int run_watch(connection *link, const options *chosen, int count, char **words)
{
    (void)count;
    reply batch;
    uint64_t seen = 0;
    kvr_range range = interval(chosen, words[0]);
    uint32_t flags = chosen->prev ? KVR_WATCH_PREV_KV : 0;
    bool open = client_watch(link, range.key, range.range_end, flags, chosen->since, &batch);
    while (open && batch.status == KVR_OK && (chosen->events == 0 || seen < chosen->events)) {
        open = client_receive(link, UINT64_MAX, &batch);
        if (open && batch.kind == WIRE_EVENTS) {
            print_events(&batch.fields, &seen);
        }
    }
    if (open && batch.status == KVR_ECOMPACTED) {
        fprintf(stderr,
                "kvraft-demo: history up to revision %" PRIu64 " is compacted: use a later "
                "--since\n",
                batch.revision);
        return EXIT_FAILED;
    }
    return open && batch.status == KVR_OK ? EXIT_OK : failed(open, &batch, false);
}

static int run_lease(connection *link, const options *chosen, int count, char **words)
{
    (void)chosen;
    (void)count;
    static const char *const verbs[] = {"grant", "revoke", "keep-alive", "ttl"};
    uint8_t verb = find_word(words[0], verbs, COUNT_OF(verbs));
    uint64_t ttl_ns = 0;
    if (verb == COUNT_OF(verbs) || (verb == 0 && !parse_time(words[1], &ttl_ns))) {
        fprintf(stderr,
                "kvraft-demo lease: \"%s %s\" is none of: grant 10s, revoke ID, keep-alive ID, "
                "ttl ID\n",
                words[0], words[1]);
        return EXIT_USAGE;
    }
    reply answer;
    int64_t id = verb == 0 ? 0 : (int64_t)strtoull(words[1], NULL, 10);
    uint8_t call = (uint8_t)(KVR_CALL_LEASE_GRANT + verb);
    bool answered = client_lease(link, call, id, ttl_ns, &answer);
    if (!answered || !reply_is_good(&answer)) {
        return failed(answered, &answer, true);
    }
    uint64_t lease = read_u64(&answer.fields);
    ttl_ns = read_u64(&answer.fields);
    printf("lease %" PRIu64 ", granted for %.3f s, %.3f s left\n", lease, (double)ttl_ns / 1e9,
           (double)read_u64(&answer.fields) / 1e9);
    for (uint32_t keys = read_u32(&answer.fields); keys > 0; keys--) {
        print_bytes("  ", read_bytes(&answer.fields), "\n");
    }
    return EXIT_OK;
}

/* ---------------------------------------------------------------- status, members */

static void show_status(const uint64_t *s)
{
    printf("  log %" PRIu64 "..%" PRIu64 ", committed %" PRIu64 ", applied %" PRIu64
           ", snapshot %" PRIu64 "\n",
           s[STATUS_FIRST], s[STATUS_LAST], s[STATUS_COMMIT], s[STATUS_APPLIED],
           s[STATUS_SNAPSHOT]);
    printf("  revision %" PRIu64 ", compacted %" PRIu64 ", keys %" PRIu64 ", bytes %" PRIu64
           ", leases %" PRIu64 ", watchers %" PRIu64 "\n",
           s[STATUS_REVISION], s[STATUS_COMPACTED], s[STATUS_KEYS], s[STATUS_BYTES],
           s[STATUS_LEASES], s[STATUS_WATCHERS]);
    printf("  state at %" PRIu64 ": hash %016" PRIx64 ", chain %016" PRIx64 "\n",
           s[STATUS_HASH_INDEX], s[STATUS_HASH_LIVE], s[STATUS_HASH_CHAIN]);
    printf("  snapshots taken %" PRIu64 ", installed %" PRIu64 "; memory %" PRIu64
           " KiB; garbage %" PRIu64 "%s%s\n",
           s[STATUS_TAKEN], s[STATUS_INSTALLED], s[STATUS_MEMORY] >> 10, s[STATUS_GARBAGE],
           s[STATUS_NO_SPACE] ? "; no space: takes no writes" : "",
           s[STATUS_CORRUPT] ? "; state differs between members: takes no writes" : "");
}

/* What the leader knows of the others. */
static void show_members(const uint64_t *s, reader *in)
{
    static const char *const states[] = {"probe", "replicate", "snapshot"};
    while (s[STATUS_ROLE] == KVR_ROLE_LEADER && in->at < in->end) {
        uint64_t id = read_u64(in);
        uint64_t match = read_u64(in);
        uint64_t state = read_u64(in);
        if (id != s[STATUS_ID] && state < COUNT_OF(states)) {
            printf("  member %" PRIu64 ": %s, holds entries up to %" PRIu64 " of %" PRIu64 "\n", id,
                   states[state], match, s[STATUS_LAST]);
        }
    }
}

static int each_member(connection *link, bool members)
{
    static const char *const roles[] = {"loading",   "follower", "precandidate",
                                        "candidate", "leader",   "failed"};
    size_t answered = 0;
    for (size_t i = 0; i < link->endpoint_count; i++) {
        connection one = {.fd = -1, .endpoint_count = 1, .timeout_ns = 2000000000};
        uint64_t s[STATUS_COUNT];
        reply answer;
        one.endpoints[0] = link->endpoints[i];
        if (client_status(&one, s, &answer) && s[STATUS_ROLE] < COUNT_OF(roles)) {
            printf("endpoint %zu: member %" PRIu64 ", %s, term %" PRIu64 ", leader %" PRIu64
                   "%s%s\n",
                   i + 1, s[STATUS_ID], roles[s[STATUS_ROLE]], s[STATUS_TERM], s[STATUS_LEADER],
                   s[STATUS_FAILURE] ? "; takes no part: " : "",
                   s[STATUS_FAILURE] ? kvr_status_text((kvr_status)s[STATUS_FAILURE]) : "");
            members ? show_members(s, &answer.fields) : show_status(s);
            answered++;
        } else {
            printf("endpoint %zu: does not answer\n", i + 1);
        }
        client_disconnect(&one);
    }
    return answered == link->endpoint_count ? EXIT_OK : EXIT_FAILED;
}

static int run_status(connection *link, const options *chosen, int count, char **words)
{
    (void)chosen;
    (void)count;
    (void)words;
    return each_member(link, false);
}

static int run_members(connection *link, const options *chosen, int count, char **words)
{
    (void)chosen;
    (void)count;
    (void)words;
    return each_member(link, true);
}

/* ---------------------------------------------------------------- the table */

static const command commands[] = {
    {"put", "KEY VALUE", "sets a key", " lease prev ", 2, 2, run_put},
    {"get", "KEY", "reads a key or an interval, linearizable unless --stale",
     " end prefix from revision limit stale keys-only count ", 1, 1, run_get},
    {"del", "KEY", "deletes a key or an interval", " end prefix from prev ", 1, 1, run_del},
    {"txn", "[if TARGET KEY IS VALUE]... [then OPERATION]... [else OPERATION]...",
     "compares, then does one branch. TARGET: version create mod value lease; IS: = != < >;\n"
     "           OPERATION: put KEY VALUE, get KEY, del KEY",
     " ", 1, 1000, run_txn},
    {"watch", "KEY", "prints changes as they come, or from a past revision on",
     " end prefix from since events prev ", 1, 1, run_watch},
    {"lease", "grant TIME | revoke ID | keep-alive ID | ttl ID",
     "keys put with --lease ID go when it ends", " ", 2, 2, run_lease},
    {"compact", "REVISION", "forgets history below a revision", " ", 1, 1, run_compact},
    {"status", "", "shows every endpoint", " ", 0, 0, run_status},
    {"members", "", "shows what the leader knows of the others", " ", 0, 0, run_members},
};

size_t command_names(const char **out_names, size_t capacity)
{
    size_t count = 0;
    for (; count < COUNT_OF(commands) && count < capacity; count++) {
        out_names[count] = commands[count].name;
    }
    return count;
}

void commands_help(FILE *to)
{
    for (size_t i = 0; i < COUNT_OF(commands); i++) {
        fprintf(to, "  %-8s %s\n", commands[i].name, commands[i].help);
    }
}

static size_t choose_flags(const command *which, options *chosen, flag *out_flags)
{
    const flag all[] = {
        {"endpoints", FLAG_TEXT, &chosen->endpoints, "HOST:PORT,...: members' --client addresses"},
        {"help", FLAG_SWITCH, &chosen->help, "this text"},
        {"end", FLAG_TEXT, &chosen->end, "KEY: the interval up to, not including, this one"},
        {"prefix", FLAG_SWITCH, &chosen->prefix, "all keys that begin with KEY; \"\": all"},
        {"from", FLAG_SWITCH, &chosen->from, "all keys from KEY on"},
        {"revision", FLAG_NUMBER, &chosen->revision, "N: as of an old revision"},
        {"limit", FLAG_NUMBER, &chosen->limit, "N: at most so many keys"},
        {"stale", FLAG_SWITCH, &chosen->stale, "this member's copy, which may be behind"},
        {"keys-only", FLAG_SWITCH, &chosen->keys_only, "no values"},
        {"count", FLAG_SWITCH, &chosen->count, "only how many"},
        {"lease", FLAG_NUMBER, &chosen->lease, "ID: the key goes when this lease ends"},
        {"prev", FLAG_SWITCH, &chosen->prev, "show what was there before"},
        {"since", FLAG_NUMBER, &chosen->since, "N: from this revision on, also in the past"},
        {"events", FLAG_NUMBER, &chosen->events, "N: end after so many"},
    };
    size_t count = 0;
    for (size_t i = 0; i < COUNT_OF(all); i++) {
        char name[32];
        snprintf(name, sizeof name, " %s ", all[i].name);
        if (i < 2 || strstr(which->flags, name) != NULL) {
            out_flags[count++] = all[i];
        }
    }
    return count;
}

int command_run(const char *name, int argc, char **argv)
{
    const command *which = commands;
    while (which < commands + COUNT_OF(commands) && strcmp(which->name, name) != 0) {
        which++;
    }
    if (which == commands + COUNT_OF(commands)) {
        return -1;
    }
    options chosen = {.endpoints = "127.0.0.1:7101"};
    flag flags[16];
    connection link;
    size_t flag_count = choose_flags(which, &chosen, flags);
    int words = flags_parse(name, flags, flag_count, argc, argv);
    if (chosen.help && words >= 0) {
        printf("usage: kvraft-demo %s %s [FLAGS]\n\n%s.\n\n", name, which->words, which->help);
        flags_help(flags, flag_count);
        return EXIT_OK;
    }
    if (words >= 0 && (words < which->words_min || words > which->words_max)) {
        fprintf(stderr, "kvraft-demo: usage: kvraft-demo %s %s; see --help\n", name, which->words);
    }
    if (words < which->words_min || words > which->words_max ||
        !client_endpoints(&link, chosen.endpoints)) {
        return EXIT_USAGE;
    }
    int result = which->run(&link, &chosen, words, argv);
    client_disconnect(&link);
    return result;
}
