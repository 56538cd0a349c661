/* SPDX-License-Identifier: Apache-2.0 */
/* demo_main.c: the command line: the tables of flags and of commands, then how words are held
 * against them. A mistake gets one line that quotes it and says what would have been right. */
#include "demo.h"

#include <arpa/inet.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

static options chosen;

enum { FLAG_TEXT, FLAG_NUMBER, FLAG_TIME, FLAG_SWITCH, FLAG_ENDPOINT, FLAG_ENDPOINTS, FLAG_PEERS };

typedef struct flag {
    const char *name;
    int kind;
    void *value;        /* const char *, uint64_t, uint64_t (ns), bool, or member_list */
    const char *preset; /* as one would write it; NULL: zero */
    const char *help;
} flag;

static const flag flags[] = {
    {"endpoints", FLAG_ENDPOINTS, &chosen.link.endpoints, "127.0.0.1:7101",
     "HOST:PORT,...: members' --client addresses"},
    {"end", FLAG_TEXT, &chosen.end, NULL, "KEY: the interval up to, not including, this one"},
    {"prefix", FLAG_SWITCH, &chosen.prefix, NULL, "all keys that begin with KEY; \"\": all"},
    {"from", FLAG_SWITCH, &chosen.from, NULL, "all keys from KEY on"},
    {"revision", FLAG_NUMBER, &chosen.revision, NULL, "N: as of an old revision"},
    {"limit", FLAG_NUMBER, &chosen.limit, NULL, "N: at most so many keys"},
    {"stale", FLAG_SWITCH, &chosen.stale, NULL, "this member's copy, which may be behind"},
    {"keys-only", FLAG_SWITCH, &chosen.keys_only, NULL, "no values"},
    {"count", FLAG_SWITCH, &chosen.count, NULL, "only how many"},
    {"lease", FLAG_NUMBER, &chosen.lease, NULL, "ID: the key goes when this lease ends"},
    {"prev", FLAG_SWITCH, &chosen.prev, NULL, "show what was there before"},
    {"since", FLAG_NUMBER, &chosen.since, NULL, "N: from this revision on, also in the past"},
    {"events", FLAG_NUMBER, &chosen.events, NULL, "N: end after so many"},
    {"id", FLAG_NUMBER, &chosen.id, NULL, "N: this member's id, one of those in --peers"},
    {"peers", FLAG_PEERS, &chosen.peers, NULL,
     "LIST: every member, as 1=HOST:PORT,2=HOST:PORT,..."},
    {"client", FLAG_ENDPOINT, &chosen.client, NULL, "HOST:PORT: where clients connect"},
    {"data-dir", FLAG_TEXT, &chosen.data_dir, NULL, "DIR: where it keeps its log; made if missing"},
    {"cluster-id", FLAG_NUMBER, &chosen.cluster_id, "1", "N: the same on all members"},
    {"heartbeat", FLAG_TIME, &chosen.heartbeat_ns, "100ms", "TIME: between heartbeats"},
    {"election", FLAG_TIME, &chosen.election_ns, "1s", "TIME: shortest election timeout"},
    {"snapshot-entries", FLAG_NUMBER, &chosen.snapshot_entries, "10000",
     "N: log entries, and at least 64 KiB, between snapshots"},
    {"load", FLAG_TEXT, &chosen.load, "/var/lib/dpkg/status", "FILE: stanzas to load"},
    {"help", FLAG_SWITCH, &chosen.help, NULL, "this text"},
};

typedef struct command {
    const char *name;
    const char *words; /* that follow it */
    const char *help;
    const char *flags; /* that it takes: " name name " */
    int words_min;
    int words_max;
    command_run *run;
} command;

static const command commands[] = {
    {"tour", "", "starts three members on this machine, shows and checks what they can do",
     " load ", 0, 0, run_tour},
    {"serve", "--id N --peers LIST --client HOST:PORT --data-dir DIR",
     "runs one member until it is interrupted; give all members the same --peers",
     " id peers client data-dir cluster-id heartbeat election snapshot-entries ", 0, 0, run_serve},
    {"put", "KEY VALUE", "sets a key", " endpoints lease prev ", 2, 2, run_put},
    {"get", "KEY", "reads a key or an interval, linearizable unless --stale",
     " endpoints end prefix from revision limit stale keys-only count ", 1, 1, run_get},
    {"del", "KEY", "deletes a key or an interval", " endpoints end prefix from prev ", 1, 1,
     run_del},
    {"txn", "[if TARGET KEY IS VALUE]... [then OPERATION]... [else OPERATION]...",
     "compares, then does one branch. TARGET: version create mod value lease; IS: = != < >;\n"
     "           OPERATION, each after a then or else: put KEY VALUE, get KEY, del KEY",
     " endpoints ", 1, 1000, run_txn},
    {"watch", "KEY", "prints changes as they come, or from a past revision on",
     " endpoints end prefix from since events prev ", 1, 1, run_watch},
    {"lease", "grant TIME | revoke ID | keep-alive ID | ttl ID",
     "keys put with --lease ID go when it ends", " endpoints ", 2, 2, run_lease},
    {"compact", "REVISION", "forgets history below a revision", " endpoints ", 1, 1, run_compact},
    {"status", "", "shows every endpoint", " endpoints ", 0, 0, run_status},
    {"members", "", "shows what the leader knows of the others", " endpoints ", 0, 0, run_members},
};

/* Letters of either word that are not, in the same order, in the other: as good as an edit distance
 * for names this short. */
static size_t letters_apart(const char *word, const char *name)
{
    size_t apart = strlen(name);
    for (; *word != '\0'; word++) {
        const char *found = strchr(name, *word);
        apart = found == NULL ? apart + 1 : apart - 1;
        name = found == NULL ? name : found + 1;
    }
    return apart;
}

static void suggest(const char *word, const char *const *names, size_t count, const char *dashes)
{
    const char *best = NULL;
    size_t best_apart = strlen(word) / 2 + 2;
    for (size_t i = 0; i < count; i++) {
        size_t apart = letters_apart(word, names[i]);
        best = apart < best_apart ? names[i] : best;
        best_apart = apart < best_apart ? apart : best_apart;
    }
    fprintf(stderr, best == NULL ? "; see --help\n" : "; did you mean %s%s\n", dashes, best);
}

bool parse_number(const char *string, uint64_t *out_number)
{
    char *end = NULL;
    *out_number = strtoull(string, &end, 10);
    return *string >= '0' && *string <= '9' && *end == '\0';
}

bool parse_time(const char *string, uint64_t *out_ns)
{
    static const char *const units[] = {"", "s", "ms", "us", "m"};
    static const uint64_t ns[] = {1000000000, 1000000000, 1000000, 1000, 60000000000};
    char *end = NULL;
    uint64_t number = strtoull(string, &end, 10);
    for (size_t i = 0; *string >= '0' && *string <= '9' && i < COUNT_OF(units); i++) {
        if (strcmp(end, units[i]) == 0 && number > 0 && number <= UINT64_MAX / ns[i]) {
            *out_ns = number * ns[i];
            return true;
        }
    }
    return false;
}

static bool parse_list(const char *string, member_list *to, bool with_ids, uint32_t count_max)
{
    for (to->count = 0; to->count < count_max; string++) {
        char host[64];
        unsigned port = 0;
        int used = 0;
        uint64_t id = to->count + 1;
        struct sockaddr_in *at = &to->addresses[to->count];
        if (with_ids && (sscanf(string, "%" SCNu64 "=%n", &id, &used) != 1 || used == 0)) {
            return false;
        }
        string += used;
        bool good = id > 0 && sscanf(string, "%63[^:,]:%5u%n", host, &port, &used) == 2 &&
                    port > 0 && port <= 65535;
        for (uint32_t i = 0; i < to->count; i++) {
            good = good && to->ids[i] != id;
        }
        *at = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
        if (!good || inet_pton(AF_INET, strcmp(host, "localhost") == 0 ? "127.0.0.1" : host,
                               &at->sin_addr) != 1) {
            return false;
        }
        string += used;
        to->ids[to->count++] = id;
        if (*string != ',') {
            return *string == '\0';
        }
    }
    return false;
}

#define ADDRESS "HOST:PORT, the host an IPv4 address in numbers or localhost, the port 1 to 65535"
#define PEERS "at most 9 of ID=" ADDRESS ", each ID once and above 0"

/* NULL, or what the flag takes instead. */
static const char *parse(const flag *one, const char *string)
{
    switch (one->kind) {
    case FLAG_TEXT:
        *(const char **)one->value = string;
        return NULL;
    case FLAG_NUMBER:
        return parse_number(string, one->value) ? NULL : "a number";
    case FLAG_TIME:
        return parse_time(string, one->value) ? NULL : "a time above 0, such as 250ms";
    case FLAG_ENDPOINT:
        return parse_list(string, one->value, false, 1) ? NULL : ADDRESS;
    case FLAG_ENDPOINTS:
        return parse_list(string, one->value, false, MEMBERS_MAX) ? NULL : "at most 9 of " ADDRESS;
    case FLAG_PEERS:
        return parse_list(string, one->value, true, MEMBERS_MAX) ? NULL : PEERS;
    default:
        return "no value";
    }
}

static bool set(const command *of, const flag *one, const char *string)
{
    const char *takes = string == NULL ? "a value" : parse(one, string);
    if (takes != NULL) {
        fprintf(stderr, "kvraft-demo %s: --%s takes %s; not \"%s\"\n", of->name, one->name, takes,
                string == NULL ? "" : string);
    }
    return takes == NULL;
}

static bool is_of(const command *of, const flag *one)
{
    char word[32];
    snprintf(word, sizeof word, " %s ", one->name);
    return strcmp(one->name, "help") == 0 || strstr(of->flags, word) != NULL;
}

static const flag *find(const command *of, const char *name)
{
    const char *names[COUNT_OF(flags)];
    size_t named = 0;
    for (size_t i = 0; i < COUNT_OF(flags); i++) {
        if (is_of(of, &flags[i])) {
            names[named++] = flags[i].name;
            if (strcmp(flags[i].name, name) == 0) {
                return &flags[i];
            }
        }
    }
    fprintf(stderr, "kvraft-demo %s: unknown flag --%s", of->name, name);
    suggest(name, names, named, "--");
    return NULL;
}

/* Takes the flags out of argv, so that the words are left; how many, or -1: it said why. */
static int take_flags(const command *of, int argc, char **argv)
{
    int words = 0;
    bool only_words = false; /* after "--" */
    for (int i = 0; i < argc; i++) {
        if (only_words || strncmp(argv[i], "--", 2) != 0) {
            argv[words++] = argv[i];
            continue;
        }
        only_words = argv[i][2] == '\0';
        char *value = strchr(argv[i], '=');
        if (value != NULL) {
            *value++ = '\0';
        }
        const flag *one = only_words ? NULL : find(of, argv[i] + 2);
        if (one != NULL && one->kind == FLAG_SWITCH && value == NULL) {
            *(bool *)one->value = true;
        } else if (!only_words && (one == NULL || !set(of, one, value ? value : argv[++i]))) {
            return -1;
        }
    }
    argv[words] = NULL;
    return words;
}

static int help(FILE *to, int result)
{
    fprintf(to, "usage: kvraft-demo COMMAND [FLAGS]\n\n"
                "A replicated key-value store of several processes, made of libkvraft.\n\n");
    for (size_t i = 0; i < COUNT_OF(commands); i++) {
        fprintf(to, "  %-8s %s\n", commands[i].name, commands[i].help);
    }
    fprintf(to, "\nEach explains itself: kvraft-demo COMMAND --help\n");
    return result;
}

static int help_of(const command *of)
{
    printf("usage: kvraft-demo %s %s%s[FLAGS]\n\n%s.\n\n", of->name, of->words,
           of->words[0] == '\0' ? "" : " ", of->help);
    for (size_t i = 0; i < COUNT_OF(flags); i++) {
        const char *preset = flags[i].preset;
        if (is_of(of, &flags[i])) {
            printf("  --%-17s %s", flags[i].name, flags[i].help);
            printf(preset == NULL ? "\n" : " (%s)\n", preset);
        }
    }
    return EXIT_OK;
}

int main(int argc, char **argv)
{
    const char *names[COUNT_OF(commands)];
    const command *of = NULL;
    if (argc < 2 || strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "help") == 0) {
        return argc < 2 ? help(stderr, EXIT_USAGE) : help(stdout, EXIT_OK);
    }
    for (size_t i = 0; i < COUNT_OF(commands); i++) {
        names[i] = commands[i].name;
        of = strcmp(argv[1], names[i]) == 0 ? &commands[i] : of;
    }
    if (of == NULL) {
        fprintf(stderr, "kvraft-demo: unknown command \"%s\"", argv[1]);
        suggest(argv[1], names, COUNT_OF(names), "");
        return EXIT_USAGE;
    }
    for (size_t i = 0; i < COUNT_OF(flags); i++) {
        if (flags[i].preset != NULL) {
            set(of, &flags[i], flags[i].preset);
        }
    }
    int words = take_flags(of, argc - 2, argv + 2);
    if (words >= 0 && !chosen.help && (words < of->words_min || words > of->words_max)) {
        fprintf(stderr, "kvraft-demo: usage: kvraft-demo %s %s; see --help\n", of->name, of->words);
        words = -1;
    }
    chosen.words = argv + 2;
    signal(SIGPIPE, SIG_IGN); /* the tour goes on, and leaves nothing behind */
    int result = words < 0 ? EXIT_USAGE : chosen.help ? help_of(of) : of->run(&chosen);
    stream_close(&chosen.link.io);
    if (ferror(stdout) || fclose(stdout) != 0) {
        fprintf(stderr, "kvraft-demo: cannot write all of the output\n");
        result = EXIT_FAILED;
    }
    return result;
}
