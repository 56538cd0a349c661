/* SPDX-License-Identifier: Apache-2.0 */
/* demo_commands.c: the command line of a client: each command is a row of `commands` and a function that encodes a
 * request, calls, and prints the answer. */
#include "demo.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* All flags of all commands; each command shows and takes those in its mask. */
typedef struct options {
    const char *endpoints;
    const char *end;
    uint64_t revision;
    uint64_t limit;
    uint64_t lease;
    uint64_t since;
    uint64_t events;
    bool prefix;
    bool from;
    bool stale;
    bool keys_only;
    bool count;
    bool prev;
    bool help;
} options;

typedef struct command {
    const char *name;
    const char *words; /* after the name */
    const char *help;
    const char *flags; /* names, space before and after each */
    int words_min;
    int words_max;
    int (*run)(connection *link, const options *chosen, int count, char **words);
} command;

/* ------------------------------------------------------------------ shared */

static int fail(const reply *answer)
{
    if (answer->outcome == KVR_OUTCOME_UNKNOWN) {
        fprintf(stderr, "kvraft-demo: the outcome is unknown: it may have been executed; look before you repeat it\n");
    } else {
        fprintf(stderr, "kvraft-demo: %s: %s\n", answer->outcome == KVR_OUTCOME_REFUSED ? "refused" : "failed",
                kvr_status_text(answer->status));
    }
    return EXIT_FAILED;
}

static int no_answer(bool may_have_run)
{
    fprintf(stderr, "kvraft-demo: no member answered at --endpoints%s\n",
            may_have_run ? "; the request may have been executed, look before you repeat it" : "");
    return EXIT_FAILED;
}

static bool succeeded(const reply *answer)
{
    return answer->status == KVR_OK && answer->outcome == KVR_OUTCOME_DONE;
}

static void print_bytes(kvr_slice bytes)
{
    fwrite(bytes.data, 1, bytes.size, stdout);
}

/* The interval that the flags choose. `room` takes the prefix's end. */
static kvr_slice interval_end(const options *chosen, kvr_slice *key, uint8_t *room)
{
    static const uint8_t zero[1] = {0};
    kvr_slice end = {NULL, 0};
    if (chosen->from || (chosen->prefix && key->size == 0)) {
        end = (kvr_slice){zero, 1};
    } else if (chosen->prefix) {
        kvr_prefix_end(key, room, &end);
    } else if (chosen->end != NULL) {
        end = slice_of(chosen->end);
    }
    if (key->size == 0) {
        *key = (kvr_slice){zero, 1};
    }
    return end;
}

/* A read may be asked of every member in turn. */
static int read_all(connection *link, const options *chosen, kvr_slice key, kvr_slice end)
{
    uint32_t flags = (chosen->stale ? WIRE_READ_STALE : 0) | (chosen->keys_only ? WIRE_READ_KEYS_ONLY : 0) |
                     (chosen->count ? WIRE_READ_COUNT_ONLY : 0);
    size_t mark = client_begin(link, WIRE_READ);
    wire_u32(&link->out, flags);
    wire_bytes(&link->out, key);
    wire_bytes(&link->out, end);
    wire_u64(&link->out, chosen->revision);
    wire_u64(&link->out, chosen->limit);
    wire_end(&link->out, mark);
    reply answer;
    if (!client_call(link, &answer)) {
        return no_answer(false);
    }
    while (answer.kind == WIRE_KVS) {
        for (uint32_t count = read_u32(&answer.fields); count > 0; count--) {
            kvr_kv kv;
            read_kv(&answer.fields, &kv);
            print_bytes(kv.key);
            if (!chosen->keys_only) {
                putchar('\t');
                print_bytes(kv.value);
            }
            putchar('\n');
        }
        if (!client_receive(link, link->timeout_ns, &answer)) {
            return no_answer(false);
        }
    }
    if (!succeeded(&answer)) {
        return fail(&answer);
    }
    if (chosen->count) {
        printf("%" PRIu64 "\n", read_u64(&answer.fields));
    }
    return EXIT_OK;
}

static void print_result(reader *in, int depth)
{
    uint8_t kind = read_u8(in);
    uint8_t held = read_u8(in);
    uint8_t more = read_u8(in);
    uint64_t count = read_u64(in);
    uint32_t kvs = read_u32(in);
    if (kind == KVR_OP_TXN) {
        printf("%*s%s\n", depth, "", held ? "compares held" : "compares failed");
    } else if (kind == KVR_OP_DELETE) {
        printf("%*sdeleted %" PRIu64 "\n", depth, "", count);
    } else if (kind == KVR_OP_PUT && kvs == 0) {
        printf("%*sok\n", depth, "");
    }
    for (; kvs > 0 && !in->failed; kvs--) {
        kvr_kv kv;
        read_kv(in, &kv);
        printf("%*s%s", depth, "", kind == KVR_OP_RANGE ? "" : "before: ");
        print_bytes(kv.key);
        putchar('\t');
        print_bytes(kv.value);
        putchar('\n');
    }
    if (more) {
        printf("%*s... of %" PRIu64 "\n", depth, "", count);
    }
    for (uint32_t results = read_u32(in); results > 0 && !in->failed; results--) {
        print_result(in, depth + 2);
    }
}

static int write_op(connection *link, const kvr_op *op)
{
    size_t mark = client_begin(link, WIRE_WRITE);
    wire_op(&link->out, op);
    wire_end(&link->out, mark);
    reply answer;
    if (!client_call(link, &answer)) {
        return no_answer(true);
    }
    if (!succeeded(&answer)) {
        return fail(&answer);
    }
    print_result(&answer.fields, 0);
    printf("revision %" PRIu64 "\n", answer.revision);
    return EXIT_OK;
}

/* ------------------------------------------------------------------ keys */

static int run_put(connection *link, const options *chosen, int count, char **words)
{
    (void)count;
    kvr_op op = {.size = sizeof op,
                 .kind = KVR_OP_PUT,
                 .flags = chosen->prev ? KVR_OP_PREV_KV : 0,
                 .key = slice_of(words[0]),
                 .value = slice_of(words[1]),
                 .lease = (int64_t)chosen->lease};
    return write_op(link, &op);
}

static int run_get(connection *link, const options *chosen, int count, char **words)
{
    (void)count;
    uint8_t room[KVR_KEY_BYTES_MAX];
    kvr_slice key = slice_of(words[0]);
    kvr_slice end = interval_end(chosen, &key, room);
    return read_all(link, chosen, key, end);
}

static int run_del(connection *link, const options *chosen, int count, char **words)
{
    (void)count;
    uint8_t room[KVR_KEY_BYTES_MAX];
    kvr_slice key = slice_of(words[0]);
    kvr_op op = {.size = sizeof op, .kind = KVR_OP_DELETE, .flags = chosen->prev ? KVR_OP_PREV_KV : 0};
    op.range_end = interval_end(chosen, &key, room);
    op.key = key;
    return write_op(link, &op);
}

static bool parse_compare(char **words, kvr_compare *out_compare)
{
    static const char *const targets[] = {"version", "create", "mod", "value", "lease"};
    static const char *const results[] = {"=", ">", "<", "!="};
    *out_compare = (kvr_compare){.size = sizeof *out_compare, .target = 255, .result = 255};
    for (uint8_t i = 0; i < COUNT_OF(targets); i++) {
        out_compare->target = strcmp(words[0], targets[i]) == 0 ? i : out_compare->target;
    }
    for (uint8_t i = 0; i < COUNT_OF(results); i++) {
        out_compare->result = strcmp(words[2], results[i]) == 0 ? i : out_compare->result;
    }
    out_compare->key = slice_of(words[1]);
    if (out_compare->target == KVR_COMPARE_VALUE) {
        out_compare->value = slice_of(words[3]);
        return out_compare->result != 255;
    }
    char *end = NULL;
    out_compare->number = strtoll(words[3], &end, 10);
    return out_compare->target != 255 && out_compare->result != 255 && *end == '\0';
}

/* One operation of a branch; returns the words it took, 0 if it is none. */
static int parse_branch_op(int left, char **words, kvr_op *out_op)
{
    *out_op = (kvr_op){.size = sizeof *out_op};
    if (left >= 3 && strcmp(words[0], "put") == 0) {
        out_op->kind = KVR_OP_PUT;
        out_op->key = slice_of(words[1]);
        out_op->value = slice_of(words[2]);
        return 3;
    }
    if (left >= 2 && (strcmp(words[0], "get") == 0 || strcmp(words[0], "del") == 0)) {
        out_op->kind = words[0][0] == 'g' ? KVR_OP_RANGE : KVR_OP_DELETE;
        out_op->key = slice_of(words[1]);
        return 2;
    }
    return 0;
}

static int run_txn(connection *link, const options *chosen, int count, char **words)
{
    (void)chosen;
    static kvr_compare compares[KVR_TXN_OPS_MAX];
    static kvr_op ops[2][KVR_TXN_OPS_MAX];
    kvr_txn txn = {.size = sizeof txn, .compares = compares, .then_ops = ops[0], .else_ops = ops[1]};
    int at = 0;
    while (at < count) {
        int took = 0;
        int left = count - at - 1;
        if (strcmp(words[at], "if") == 0 && left >= 4 && txn.compare_count < KVR_TXN_OPS_MAX) {
            took = parse_compare(words + at + 1, &compares[txn.compare_count++]) ? 4 : 0;
        } else if (strcmp(words[at], "then") == 0 && txn.then_count < KVR_TXN_OPS_MAX) {
            took = parse_branch_op(left, words + at + 1, &ops[0][txn.then_count++]);
        } else if (strcmp(words[at], "else") == 0 && txn.else_count < KVR_TXN_OPS_MAX) {
            took = parse_branch_op(left, words + at + 1, &ops[1][txn.else_count++]);
        }
        if (took == 0) {
            fprintf(stderr, "kvraft-demo txn: cannot read it from \"%s\" on; see kvraft-demo txn --help\n", words[at]);
            return EXIT_USAGE;
        }
        at += 1 + took;
    }
    kvr_op op = {.size = sizeof op, .kind = KVR_OP_TXN, .txn = &txn};
    return write_op(link, &op);
}

static int run_compact(connection *link, const options *chosen, int count, char **words)
{
    (void)chosen;
    (void)count;
    size_t mark = client_begin(link, WIRE_COMPACT);
    wire_u64(&link->out, strtoull(words[0], NULL, 10));
    wire_end(&link->out, mark);
    reply answer;
    if (!client_call(link, &answer)) {
        return no_answer(true);
    }
    return succeeded(&answer) ? EXIT_OK : fail(&answer);
}

/* ------------------------------------------------------------------ watch */

static int print_events(reply *batch, uint64_t *left)
{
    uint64_t compacted = read_u64(&batch->fields);
    uint32_t count = read_u32(&batch->fields);
    if (batch->status != KVR_OK) {
        fprintf(stderr, "kvraft-demo: %s; start with --since above %" PRIu64 "\n", kvr_status_text(batch->status), compacted);
        return EXIT_FAILED;
    }
    for (; count > 0 && !batch->fields.failed; count--) {
        kvr_kv kv;
        kvr_kv prev;
        uint8_t type = read_u8(&batch->fields);
        read_kv(&batch->fields, &kv);
        uint8_t has_prev = read_u8(&batch->fields);
        read_kv(&batch->fields, &prev);
        printf("%" PRIu64 " %s ", kv.mod_revision, type == KVR_EVENT_PUT ? "put" : "delete");
        print_bytes(kv.key);
        if (type == KVR_EVENT_PUT) {
            putchar('\t');
            print_bytes(kv.value);
        }
        if (has_prev) {
            printf("\tbefore: ");
            print_bytes(prev.value);
        }
        putchar('\n');
        *left -= *left > 0;
    }
    fflush(stdout);
    return EXIT_OK;
}

static int run_watch(connection *link, const options *chosen, int count, char **words)
{
    (void)count;
    uint8_t room[KVR_KEY_BYTES_MAX];
    kvr_slice key = slice_of(words[0]);
    kvr_slice end = interval_end(chosen, &key, room);
    uint64_t left = chosen->events;
    size_t mark = client_begin(link, WIRE_WATCH);
    wire_u32(&link->out, chosen->prev ? KVR_WATCH_PREV_KV : 0);
    wire_bytes(&link->out, key);
    wire_bytes(&link->out, end);
    wire_u64(&link->out, chosen->since);
    wire_end(&link->out, mark);
    reply batch;
    if (!client_call(link, &batch)) {
        return no_answer(false);
    }
    if (!succeeded(&batch)) {
        return fail(&batch);
    }
    while (chosen->events == 0 || left > 0) {
        if (!client_receive(link, UINT64_MAX / 4, &batch)) {
            fprintf(stderr, "kvraft-demo: the member closed the connection\n");
            return EXIT_FAILED;
        }
        if (batch.kind == WIRE_EVENTS && print_events(&batch, &left) != EXIT_OK) {
            return EXIT_FAILED;
        }
    }
    return EXIT_OK;
}

/* ------------------------------------------------------------------ lease, status, members */

static int run_lease(connection *link, const options *chosen, int count, char **words)
{
    (void)chosen;
    (void)count;
    static const char *const verbs[] = {"grant", "revoke", "keep-alive", "ttl"};
    static const uint8_t calls[] = {KVR_CALL_LEASE_GRANT, KVR_CALL_LEASE_REVOKE, KVR_CALL_LEASE_KEEP_ALIVE,
                                    KVR_CALL_LEASE_TIME_TO_LIVE};
    size_t verb = 0;
    while (verb < COUNT_OF(verbs) && strcmp(words[0], verbs[verb]) != 0) {
        verb++;
    }
    uint64_t ttl_ns = 0;
    if (verb == COUNT_OF(verbs) || (verb == 0 && !parse_duration(words[1], &ttl_ns))) {
        fprintf(stderr, "kvraft-demo lease: \"%s %s\" is none of: grant 10s, revoke ID, keep-alive ID, ttl ID\n",
                words[0], words[1]);
        return EXIT_USAGE;
    }
    size_t mark = client_begin(link, WIRE_LEASE);
    wire_u8(&link->out, calls[verb]);
    wire_u64(&link->out, verb == 0 ? 0 : strtoull(words[1], NULL, 10));
    wire_u64(&link->out, ttl_ns);
    wire_end(&link->out, mark);
    reply answer;
    if (!client_call(link, &answer)) {
        return no_answer(true);
    }
    if (!succeeded(&answer)) {
        return fail(&answer);
    }
    uint64_t id = read_u64(&answer.fields);
    ttl_ns = read_u64(&answer.fields);
    uint64_t remaining_ns = read_u64(&answer.fields);
    printf("lease %" PRIu64 ", ttl %.3f s, remaining %.3f s\n", id, (double)ttl_ns / 1e9, (double)remaining_ns / 1e9);
    for (uint32_t keys = verb == 3 ? read_u32(&answer.fields) : 0; keys > 0; keys--) {
        printf("  ");
        print_bytes(read_bytes(&answer.fields));
        putchar('\n');
    }
    return EXIT_OK;
}

/* Calls `show` for each endpoint's status. */
static int each_status(connection *link, void (*show)(const char *address, const uint64_t *numbers, reply *answer))
{
    int result = EXIT_OK;
    for (size_t i = 0; i < link->endpoint_count; i++) {
        connection one = {.fd = -1, .endpoint_count = 1, .timeout_ns = 2000000000};
        char address[32];
        reply answer;
        uint64_t numbers[24];
        one.endpoints[0] = link->endpoints[i];
        address_text(&link->endpoints[i], address);
        wire_end(&one.out, client_begin(&one, WIRE_STATUS));
        if (!client_connect(&one) || !client_call(&one, &answer)) {
            printf("%-21s does not answer\n", address);
            result = EXIT_FAILED;
            continue;
        }
        for (size_t n = 0; n < COUNT_OF(numbers); n++) {
            numbers[n] = read_u64(&answer.fields);
        }
        show(address, numbers, &answer);
        client_disconnect(&one);
    }
    return result;
}

static void show_status(const char *address, const uint64_t *n, reply *answer)
{
    static const char *const roles[] = {"loading", "follower", "precandidate", "candidate", "leader", "failed"};
    printf("%-21s member %" PRIu64 ", %s in term %" PRIu64 " (leader %" PRIu64 ")%s%s\n", address, n[0],
           n[1] < COUNT_OF(roles) ? roles[n[1]] : "?", n[3], n[2], n[20] ? ", no space: takes no writes" : "",
           n[21] ? ", state differs between members: takes no writes" : "");
    if (answer->status != KVR_OK) {
        printf("  takes no further part: %s\n", kvr_status_text(answer->status));
    }
    printf("  log %" PRIu64 "..%" PRIu64 ", committed %" PRIu64 ", applied %" PRIu64 ", snapshot %" PRIu64 "\n", n[4], n[5],
           n[6], n[7], n[8]);
    printf("  revision %" PRIu64 " (compacted %" PRIu64 "), %" PRIu64 " keys, %" PRIu64 " bytes, %" PRIu64 " leases, %" PRIu64
           " watchers\n", answer->revision, n[9], n[10], n[11], n[12], n[13]);
    printf("  state hash at %" PRIu64 ": %016" PRIx64 " %016" PRIx64 "\n", n[14], n[15], n[16]);
    printf("  snapshots taken %" PRIu64 ", installed %" PRIu64 "; memory %" PRIu64 " KiB; garbage %" PRIu64 "\n", n[17], n[18],
           n[19] >> 10, n[22] + n[23]);
}

static int run_status(connection *link, const options *chosen, int count, char **words)
{
    (void)chosen;
    (void)count;
    (void)words;
    return each_status(link, show_status);
}

/* What the leader knows of the others. */
static void show_members(const char *address, const uint64_t *n, reply *answer)
{
    static const char *const states[] = {"probe", "replicate", "snapshot"};
    if (n[1] != KVR_ROLE_LEADER) {
        printf("%-21s member %" PRIu64 "\n", address, n[0]);
        return;
    }
    printf("%-21s member %" PRIu64 ", leader of term %" PRIu64 "\n", address, n[0], n[3]);
    while (answer->fields.at < answer->fields.end && !answer->fields.failed) {
        uint64_t id = read_u64(&answer->fields);
        uint64_t match = read_u64(&answer->fields);
        uint8_t state = read_u8(&answer->fields);
        (void)read_u8(&answer->fields);
        if (id != n[0]) {
            printf("  member %" PRIu64 ": %s, holds entries up to %" PRIu64 " of %" PRIu64 "\n", id,
                   state < COUNT_OF(states) ? states[state] : "?", match, n[5]);
        }
    }
}

static int run_members(connection *link, const options *chosen, int count, char **words)
{
    (void)chosen;
    (void)count;
    (void)words;
    return each_status(link, show_members);
}

/* ------------------------------------------------------------------ the table */

static const command commands[] = {
    {"put", "KEY VALUE", "sets a key", " lease prev ", 2, 2, run_put},
    {"get", "KEY", "reads a key or an interval, linearizable unless --stale",
     " end prefix from revision limit stale keys-only count ", 1, 1, run_get},
    {"del", "KEY", "deletes a key or an interval", " end prefix from prev ", 1, 1, run_del},
    {"txn", "[if TARGET KEY OP VALUE]... [then OPERATION]... [else OPERATION]...",
     "compares, then does one branch at one revision. TARGET: version create mod value lease; OP: = != < >;\n"
     "           OPERATION: put KEY VALUE, get KEY, del KEY",
     " ", 1, 1000, run_txn},
    {"watch", "KEY", "prints events as they come", " end prefix from since events prev ", 1, 1, run_watch},
    {"lease", "grant TIME | revoke ID | keep-alive ID | ttl ID", "keys put with --lease ID go when it ends", " ", 2, 2,
     run_lease},
    {"compact", "REVISION", "forgets history below a revision", " ", 1, 1, run_compact},
    {"status", "", "shows every endpoint", " ", 0, 0, run_status},
    {"members", "", "shows what the leader knows of the others", " ", 0, 0, run_members},
};

const char *const *command_names(size_t *out_count)
{
    static const char *names[COUNT_OF(commands) + 2];
    for (size_t i = 0; i < COUNT_OF(commands); i++) {
        names[i] = commands[i].name;
    }
    names[COUNT_OF(commands)] = "serve";
    names[COUNT_OF(commands) + 1] = "tour";
    *out_count = COUNT_OF(names);
    return names;
}

void commands_help(void)
{
    for (size_t i = 0; i < COUNT_OF(commands); i++) {
        printf("  %-8s %s\n", commands[i].name, commands[i].help);
    }
}

static const command *find(const char *name)
{
    for (size_t i = 0; i < COUNT_OF(commands); i++) {
        if (strcmp(commands[i].name, name) == 0) {
            return &commands[i];
        }
    }
    return NULL;
}

bool command_exists(const char *name)
{
    return find(name) != NULL;
}

static size_t choose_flags(const command *which, options *chosen, flag *out_flags)
{
    const flag all[] = {
        {"end", FLAG_TEXT, &chosen->end, "KEY the interval from KEY up to, not including, this one"},
        {"prefix", FLAG_SWITCH, &chosen->prefix, "all keys that begin with KEY (\"\": all keys)"},
        {"from", FLAG_SWITCH, &chosen->from, "all keys from KEY on"},
        {"revision", FLAG_NUMBER, &chosen->revision, "N as of an old revision"},
        {"limit", FLAG_NUMBER, &chosen->limit, "N at most so many keys"},
        {"stale", FLAG_SWITCH, &chosen->stale, "this member's copy, which may be behind"},
        {"keys-only", FLAG_SWITCH, &chosen->keys_only, "no values"},
        {"count", FLAG_SWITCH, &chosen->count, "only how many"},
        {"lease", FLAG_NUMBER, &chosen->lease, "ID the key goes when this lease ends"},
        {"prev", FLAG_SWITCH, &chosen->prev, "show what was there before"},
        {"since", FLAG_NUMBER, &chosen->since, "N from this revision on, also in the past"},
        {"events", FLAG_NUMBER, &chosen->events, "N end after so many"},
    };
    size_t count = 0;
    for (size_t i = 0; i < COUNT_OF(all); i++) {
        char name[32];
        snprintf(name, sizeof name, " %s ", all[i].name);
        if (strstr(which->flags, name) != NULL) {
            out_flags[count++] = all[i];
        }
    }
    out_flags[count++] = (flag){"endpoints", FLAG_TEXT, &chosen->endpoints, "LIST HOST:PORT,HOST:PORT,... of members' --client"};
    out_flags[count++] = (flag){"help", FLAG_SWITCH, &chosen->help, "this text"};
    return count;
}

int command_run(const char *name, int argc, char **argv)
{
    const command *which = find(name);
    options chosen = {.endpoints = "127.0.0.1:7101"};
    flag flags[16];
    size_t flag_count = choose_flags(which, &chosen, flags);
    int words = flags_parse(name, flags, flag_count, argc, argv);
    if (words < 0) {
        return EXIT_USAGE;
    }
    if (chosen.help) {
        printf("usage: kvraft-demo %s %s [FLAGS]\n\n%s.\n\n", name, which->words, which->help);
        flags_help(flags, flag_count);
        return EXIT_OK;
    }
    if (words < which->words_min || words > which->words_max) {
        fprintf(stderr, "kvraft-demo: usage: kvraft-demo %s %s [FLAGS]; see --help\n", name, which->words);
        return EXIT_USAGE;
    }
    connection link;
    if (!client_endpoints(&link, chosen.endpoints)) {
        return EXIT_USAGE;
    }
    int result = which->run(&link, &chosen, words, argv);
    client_disconnect(&link);
    return result;
}
