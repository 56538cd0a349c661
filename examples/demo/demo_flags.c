/* SPDX-License-Identifier: Apache-2.0 */
/* demo_flags.c: flags, addresses and times from the command line. A mistake gets one line that
 * quotes it and names the nearest thing that would have been right. */
#include "demo.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

/* Levenshtein distance of two short words, one row at a time. */
static size_t distance(const char *a, const char *b)
{
    size_t row[64];
    size_t length = strlen(b);
    for (size_t j = 0; j < COUNT_OF(row); j++) {
        row[j] = j;
    }
    for (size_t i = 1; length < COUNT_OF(row) && a[i - 1] != '\0'; i++) {
        size_t diagonal = row[0];
        row[0] = i;
        for (size_t j = 1; j <= length; j++) {
            size_t change = diagonal + (a[i - 1] != b[j - 1]);
            size_t shorter = (row[j] < row[j - 1] ? row[j] : row[j - 1]) + 1;
            diagonal = row[j];
            row[j] = change < shorter ? change : shorter;
        }
    }
    return length < COUNT_OF(row) ? row[length] : SIZE_MAX;
}

const char *nearest(const char *word, const char *const *names, size_t count)
{
    const char *best = NULL;
    size_t best_distance = strlen(word) / 2 + 2;
    for (size_t i = 0; i < count; i++) {
        size_t d = distance(word, names[i]);
        if (d < best_distance) {
            best = names[i];
            best_distance = d;
        }
    }
    return best;
}

static const flag *find(const char *command, const flag *flags, size_t count, const char *name)
{
    const char *names[32];
    for (size_t i = 0; i < count; i++) {
        names[i] = flags[i].name;
        if (strcmp(flags[i].name, name) == 0) {
            return &flags[i];
        }
    }
    const char *near = nearest(name, names, count);
    fprintf(stderr, "kvraft-demo %s: unknown flag --%s; %s%s\n", command, name,
            near == NULL ? "see --help" : "did you mean --", near == NULL ? "" : near);
    return NULL;
}

static bool set_value(const char *command, const flag *one, const char *value)
{
    char *end = NULL;
    if (one->kind == FLAG_TEXT) {
        *(const char **)one->value = value;
        return true;
    }
    if (one->kind == FLAG_TIME && parse_time(value, one->value)) {
        return true;
    }
    uint64_t number = strtoull(value, &end, 10);
    if (one->kind == FLAG_NUMBER && *value >= '0' && *value <= '9' && *end == '\0') {
        *(uint64_t *)one->value = number;
        return true;
    }
    fprintf(stderr, "kvraft-demo %s: --%s takes a %s, not \"%s\"\n", command, one->name,
            one->kind == FLAG_TIME ? "time such as 250ms or 10s" : "number", value);
    return false;
}

int flags_parse(const char *command, const flag *flags, size_t flag_count, int argc, char **argv)
{
    int words = 0;
    bool only_words = false; /* after "--" */
    for (int i = 0; i < argc; i++) {
        only_words = only_words || strcmp(argv[i], "--") == 0;
        if (only_words || strncmp(argv[i], "--", 2) != 0) {
            argv[words] = argv[i];
            words += strcmp(argv[i], "--") != 0;
            continue;
        }
        char *equals = strchr(argv[i], '=');
        if (equals != NULL) {
            *equals = '\0';
        }
        const flag *one = find(command, flags, flag_count, argv[i] + 2);
        if (one == NULL) {
            return -1;
        }
        if (one->kind == FLAG_SWITCH) {
            *(bool *)one->value = true;
            continue;
        }
        const char *value = equals != NULL ? equals + 1 : i + 1 < argc ? argv[++i] : NULL;
        if (value == NULL) {
            fprintf(stderr, "kvraft-demo %s: --%s needs a value\n", command, one->name);
        }
        if (value == NULL || !set_value(command, one, value)) {
            return -1;
        }
    }
    return words;
}

void flags_help(const flag *flags, size_t flag_count)
{
    for (size_t i = 0; i < flag_count; i++) {
        printf("  --%-17s %s\n", flags[i].name, flags[i].help);
    }
}

bool parse_address(const char *string, struct sockaddr_in *out_address)
{
    char host[64] = "";
    char *end = NULL;
    const char *colon = strrchr(string, ':');
    unsigned long port = colon == NULL ? 0 : strtoul(colon + 1, &end, 10);
    bool good = port > 0 && port <= 65535 && *end == '\0' && (size_t)(colon - string) < sizeof host;
    if (good) {
        memcpy(host, string, (size_t)(colon - string));
        *out_address =
            (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
        good = inet_pton(AF_INET, strcmp(host, "localhost") == 0 ? "127.0.0.1" : host,
                         &out_address->sin_addr) == 1;
    }
    if (!good) {
        fprintf(stderr,
                "kvraft-demo: \"%s\" must be HOST:PORT, the host an IPv4 address in numbers "
                "or localhost, the port 1 to 65535\n",
                string);
    }
    return good;
}

bool parse_time(const char *string, uint64_t *out_ns)
{
    static const char *const units[] = {"", "s", "ms", "us", "m"};
    static const uint64_t ns[] = {1000000000, 1000000000, 1000000, 1000, 60000000000};
    char *end = NULL;
    uint64_t number = strtoull(string, &end, 10);
    for (size_t i = 0; *string >= '0' && *string <= '9' && i < COUNT_OF(units); i++) {
        if (strcmp(end, units[i]) == 0 && number <= UINT64_MAX / ns[i]) {
            *out_ns = number * ns[i];
            return true;
        }
    }
    return false;
}
