/* SPDX-License-Identifier: Apache-2.0 */
/* demo_main.c: the tables of commands and of their flags, and which command was meant. */
#include "demo.h"

#include <string.h>

static options chosen = {.link.timeout_ns = 10000000000};

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
    {"client", FLAG_ADDRESS, &chosen.client, NULL, "HOST:PORT: where clients connect"},
    {"data-dir", FLAG_TEXT, &chosen.data_dir, NULL, "DIR: where it keeps its log; made if missing"},
    {"cluster-id", FLAG_NUMBER, &chosen.cluster_id, "1", "N: the same on all members"},
    {"heartbeat", FLAG_TIME, &chosen.heartbeat_ns, "100ms", "TIME: between heartbeats"},
    {"election", FLAG_TIME, &chosen.election_ns, "1s", "TIME: shortest election timeout"},
    {"snapshot-entries", FLAG_NUMBER, &chosen.snapshot_entries, "10000",
     "N: log entries between snapshots"},
    {"load", FLAG_TEXT, &chosen.load, "/var/lib/dpkg/status", "FILE: stanzas to load"},
    {"help", FLAG_SWITCH, &chosen.help, NULL, "this text"},
};

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
     "           OPERATION: put KEY VALUE, get KEY, del KEY",
     " endpoints ", 1, 1000, run_txn},
    {"watch", "KEY", "prints changes as they come, or from a past revision on",
     " endpoints end prefix from since events prev ", 1, 1, run_watch},
    {"lease", "grant TIME | revoke ID | keep-alive ID | ttl ID",
     "keys put with --lease ID go when it ends", " endpoints ", 2, 2, run_lease},
    {"compact", "REVISION", "forgets history below a revision", " endpoints ", 1, 1, run_compact},
    {"status", "", "shows every endpoint", " endpoints ", 0, 0, run_status},
    {"members", "", "shows what the leader knows of the others", " endpoints ", 0, 0, run_members},
};

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

static int run(const command *which, int argc, char **argv)
{
    int words = flags_parse(which, flags, COUNT_OF(flags), argc, argv);
    if (words >= 0 && chosen.help) {
        printf("usage: kvraft-demo %s %s [FLAGS]\n\n%s.\n\n", which->name, which->words,
               which->help);
        flags_help(which, flags, COUNT_OF(flags));
        return EXIT_OK;
    }
    if (words >= 0 && (words < which->words_min || words > which->words_max)) {
        fprintf(stderr, "kvraft-demo: usage: kvraft-demo %s %s; see --help\n", which->name,
                which->words);
        words = -1;
    }
    int result = words < 0 ? EXIT_USAGE : which->run(&chosen, argv);
    stream_close(&chosen.link.io);
    return result;
}

int main(int argc, char **argv)
{
    const char *names[COUNT_OF(commands)];
    if (argc < 2) {
        return help(stderr, EXIT_USAGE);
    }
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "help") == 0) {
        return help(stdout, EXIT_OK);
    }
    for (size_t i = 0; i < COUNT_OF(commands); i++) {
        names[i] = commands[i].name;
        if (strcmp(argv[1], names[i]) == 0) {
            return run(&commands[i], argc - 2, argv + 2);
        }
    }
    fprintf(stderr, "kvraft-demo: unknown command \"%s\"", argv[1]);
    suggest(argv[1], names, COUNT_OF(names), "");
    return EXIT_USAGE;
}
