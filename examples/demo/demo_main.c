/* SPDX-License-Identifier: Apache-2.0 */
/* demo_main.c: which command was meant. */
#include "demo.h"

#include <string.h>

static void help(FILE *to)
{
    fprintf(to, "usage: kvraft-demo COMMAND [FLAGS]\n\n"
                "A replicated key-value store of several processes, made of libkvraft.\n\n"
                "  tour     starts three members on this machine and shows what they can do\n"
                "  serve    runs one member\n");
    commands_help(to);
    fprintf(to, "\nEach explains itself: kvraft-demo COMMAND --help\n");
}

int main(int argc, char **argv)
{
    if (argc < 2 || strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "help") == 0) {
        help(argc < 2 ? stderr : stdout);
        return argc < 2 ? EXIT_USAGE : EXIT_OK;
    }
    if (strcmp(argv[1], "serve") == 0) {
        return serve(argc - 2, argv + 2);
    }
    if (strcmp(argv[1], "tour") == 0) {
        return tour(argc - 2, argv + 2);
    }
    int result = command_run(argv[1], argc - 2, argv + 2);
    if (result < 0) {
        const char *names[32] = {"serve", "tour"};
        const char *near =
            nearest(argv[1], names, 2 + command_names(names + 2, COUNT_OF(names) - 2));
        fprintf(stderr, "kvraft-demo: unknown command \"%s\"; %s%s\n", argv[1],
                near == NULL ? "see kvraft-demo --help" : "did you mean ",
                near == NULL ? "" : near);
        return EXIT_USAGE;
    }
    return result;
}
