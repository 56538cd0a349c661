/* SPDX-License-Identifier: Apache-2.0 */
/* demo_main.c: which command was meant. */
#include "demo.h"

#include <string.h>

static void help(FILE *to)
{
    fprintf(to, "usage: kvraft-demo COMMAND [FLAGS]\n\n"
                "A replicated key-value store of three processes, made of libkvraft.\n\n"
                "  tour     starts three members on this machine and shows what they can do\n"
                "  serve    runs one member\n");
    commands_help();
    fprintf(to, "\nEvery command explains itself: kvraft-demo COMMAND --help\n"
                "Source to read: examples/demo/demo_serve.c, main_loop first.\n");
}

int main(int argc, char **argv)
{
    if (argc < 2) {
        help(stderr);
        return EXIT_USAGE;
    }
    const char *name = argv[1];
    if (strcmp(name, "--help") == 0 || strcmp(name, "help") == 0) {
        help(stdout);
        return EXIT_OK;
    }
    if (strcmp(name, "serve") == 0) {
        return serve(argc - 2, argv + 2);
    }
    if (strcmp(name, "tour") == 0) {
        return tour(argc - 2, argv + 2);
    }
    if (command_exists(name)) {
        return command_run(name, argc - 2, argv + 2);
    }
    size_t count;
    const char *near = nearest(name, command_names(&count), count);
    fprintf(stderr, "kvraft-demo: unknown command \"%s\"; %s%s\n", name,
            near == NULL ? "see kvraft-demo --help" : "did you mean ", near == NULL ? "" : near);
    return EXIT_USAGE;
}
