/* SPDX-License-Identifier: Apache-2.0 */
/* demo_flags.c: from the words of a command line to values. A mistake gets one line that quotes it
 * and says what would have been right. */
#include "demo.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

/* ---------------------------------------------------------------- the nearest word */

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

void suggest(const char *word, const char *const *names, size_t count, const char *dashes)
{
    const char *best = NULL;
    size_t best_distance = strlen(word) / 2 + 2;
    for (size_t i = 0; i < count; i++) {
        size_t d = distance(word, names[i]);
        best = d < best_distance ? names[i] : best;
        best_distance = d < best_distance ? d : best_distance;
    }
    if (best == NULL) {
        fprintf(stderr, "; see kvraft-demo --help\n");
    } else {
        fprintf(stderr, "; did you mean %s%s\n", dashes, best);
    }
}

/* ---------------------------------------------------------------- values */

static bool parse_text(const char *string, void *out_string)
{
    *(const char **)out_string = string;
    return true;
}

static bool parse_switch(const char *string, void *out_switch)
{
    *(bool *)out_switch = true;
    return *string == '\0';
}

static bool parse_number(const char *string, void *out_number)
{
    char *end = NULL;
    *(uint64_t *)out_number = strtoull(string, &end, 10);
    return *string >= '0' && *string <= '9' && *end == '\0';
}

bool parse_time(const char *string, void *out_ns)
{
    static const char *const units[] = {"", "s", "ms", "us", "m"};
    static const uint64_t ns[] = {1000000000, 1000000000, 1000000, 1000, 60000000000};
    char *end = NULL;
    uint64_t number = strtoull(string, &end, 10);
    for (size_t i = 0; *string >= '0' && *string <= '9' && i < COUNT_OF(units); i++) {
        if (strcmp(end, units[i]) == 0 && number <= UINT64_MAX / ns[i]) {
            *(uint64_t *)out_ns = number * ns[i];
            return true;
        }
    }
    return false;
}

static bool parse_address(const char *string, void *out_address)
{
    struct sockaddr_in *to = out_address;
    char host[64];
    uint64_t port = 0;
    size_t length = strcspn(string, ":");
    bool good = length < sizeof host && string[length] == ':' &&
                parse_number(string + length + 1, &port) && port > 0 && port <= 65535;
    snprintf(host, sizeof host, "%.*s", (int)length, string);
    *to = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    return good && inet_pton(AF_INET, strcmp(host, "localhost") == 0 ? "127.0.0.1" : host,
                             &to->sin_addr) == 1;
}

static bool parse_list(const char *string, member_list *to, bool with_ids)
{
    for (to->count = 0; to->count < MEMBERS_MAX; string++) {
        char item[80];
        char *address = item;
        size_t length = strcspn(string, ",");
        snprintf(item, sizeof item, "%.*s", (int)length, string);
        uint64_t id = with_ids ? strtoull(item, &address, 10) : to->count + 1;
        bool good = id > 0 && (!with_ids || *address++ == '=');
        for (uint32_t i = 0; i < to->count; i++) {
            good = good && to->ids[i] != id;
        }
        if (!good || !parse_address(address, &to->addresses[to->count])) {
            return false;
        }
        to->ids[to->count++] = id;
        string += length;
        if (*string == '\0') {
            return true;
        }
    }
    return false;
}

static bool parse_endpoints(const char *string, void *out_list)
{
    return parse_list(string, out_list, false);
}

static bool parse_peers(const char *string, void *out_list)
{
    return parse_list(string, out_list, true);
}

#define AN_ADDRESS \
    "HOST:PORT, the host an IPv4 address in numbers or localhost, the port 1 to 65535"

/* By FLAG_*. */
static const struct {
    bool (*parse)(const char *string, void *out_value);
    const char *takes;
} kinds[] = {
    [FLAG_TEXT] = {parse_text, "text"},
    [FLAG_NUMBER] = {parse_number, "a number"},
    [FLAG_TIME] = {parse_time, "a time such as 250ms or 10s"},
    [FLAG_SWITCH] = {parse_switch, "no value"},
    [FLAG_ADDRESS] = {parse_address, AN_ADDRESS},
    [FLAG_ENDPOINTS] = {parse_endpoints, "at most 9 of " AN_ADDRESS},
    [FLAG_PEERS] = {parse_peers,
                    "at most 9 of ID=HOST:PORT, each ID once and above 0; " AN_ADDRESS},
};

/* ---------------------------------------------------------------- flags */

static bool takes(const command *of, const flag *one)
{
    char word[32];
    snprintf(word, sizeof word, " %s ", one->name);
    return strcmp(one->name, "help") == 0 || strstr(of->flags, word) != NULL;
}

static const flag *find(const command *of, const flag *flags, size_t count, const char *name)
{
    const char *names[32];
    size_t named = 0;
    for (size_t i = 0; i < count; i++) {
        if (takes(of, &flags[i])) {
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

static bool set_value(const command *of, const flag *one, const char *value)
{
    if (value != NULL && kinds[one->kind].parse(value, one->value)) {
        return true;
    }
    fprintf(stderr, "kvraft-demo %s: --%s takes %s", of->name, one->name, kinds[one->kind].takes);
    fprintf(stderr, value == NULL ? "\n" : ", not \"%s\"\n", value);
    return false;
}

int flags_parse(const command *of, const flag *flags, size_t count, int argc, char **argv)
{
    int words = 0;
    bool only_words = false; /* after "--" */
    for (size_t i = 0; i < count; i++) {
        if (flags[i].preset != NULL && !set_value(of, &flags[i], flags[i].preset)) {
            return -1;
        }
    }
    for (int i = 0; i < argc; i++) {
        if (only_words || strncmp(argv[i], "--", 2) != 0) {
            argv[words++] = argv[i];
            continue;
        }
        only_words = argv[i][2] == '\0';
        if (only_words) {
            continue;
        }
        char *equals = strchr(argv[i], '=');
        if (equals != NULL) {
            *equals = '\0';
        }
        const flag *one = find(of, flags, count, argv[i] + 2);
        if (one == NULL) {
            return -1;
        }
        const char *value = equals != NULL ? equals + 1 : one->kind == FLAG_SWITCH ? "" : argv[++i];
        if (!set_value(of, one, value)) {
            return -1;
        }
    }
    argv[words] = NULL;
    return words;
}

void flags_help(const command *of, const flag *flags, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (takes(of, &flags[i])) {
            const char *preset = flags[i].preset;
            printf("  --%-17s %s%s%s%s\n", flags[i].name, flags[i].help, preset == NULL ? "" : " (",
                   preset == NULL ? "" : preset, preset == NULL ? "" : ")");
        }
    }
}
