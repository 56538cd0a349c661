/* SPDX-License-Identifier: Apache-2.0 */
/* demo_flags.c: flags, addresses and durations from the command line. A mistake gets one line that quotes it and
 * names the nearest thing that would have been right. */
#include "demo.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

/* Levenshtein distance of two short words, one row at a time. */
static size_t distance(const char *a, const char *b)
{
    size_t row[64];
    size_t length = strlen(b);
    if (length >= COUNT_OF(row)) {
        return SIZE_MAX;
    }
    for (size_t j = 0; j <= length; j++) {
        row[j] = j;
    }
    for (size_t i = 1; a[i - 1] != '\0'; i++) {
        size_t diagonal = row[0];
        row[0] = i;
        for (size_t j = 1; j <= length; j++) {
            size_t change = diagonal + (a[i - 1] != b[j - 1]);
            diagonal = row[j];
            size_t shorter = row[j] < row[j - 1] ? row[j] : row[j - 1];
            row[j] = change < shorter + 1 ? change : shorter + 1;
        }
    }
    return row[length];
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

static const flag *find(const flag *flags, size_t count, const char *name)
{
    for (size_t i = 0; i < count; i++) {
        if (strcmp(flags[i].name, name) == 0) {
            return &flags[i];
        }
    }
    return NULL;
}

static int unknown_flag(const char *command, const flag *flags, size_t count, const char *name)
{
    const char *names[32];
    for (size_t i = 0; i < count && i < COUNT_OF(names); i++) {
        names[i] = flags[i].name;
    }
    const char *near = nearest(name, names, count);
    fprintf(stderr, "kvraft-demo %s: unknown flag --%s; %s%s\n", command, name,
            near == NULL ? "see --help" : "did you mean --", near == NULL ? "" : near);
    return -1;
}

static bool set_value(const char *command, const flag *one, const char *value)
{
    if (one->kind == FLAG_TEXT) {
        *(const char **)one->value = value;
        return true;
    }
    char *end = NULL;
    uint64_t number = strtoull(value, &end, 10);
    if (*value < '0' || *value > '9' || *end != '\0') {
        fprintf(stderr, "kvraft-demo %s: --%s takes a number, not \"%s\"\n", command, one->name, value);
        return false;
    }
    *(uint64_t *)one->value = number;
    return true;
}

int flags_parse(const char *command, const flag *flags, size_t flag_count, int argc, char **argv)
{
    int words = 0;
    for (int i = 0; i < argc; i++) {
        if (strncmp(argv[i], "--", 2) != 0) {
            argv[words++] = argv[i];
            continue;
        }
        if (argv[i][2] == '\0') { /* "--": everything behind it is a word */
            while (++i < argc) {
                argv[words++] = argv[i];
            }
            break;
        }
        char *equals = strchr(argv[i], '=');
        if (equals != NULL) {
            *equals = '\0';
        }
        const flag *one = find(flags, flag_count, argv[i] + 2);
        if (one == NULL) {
            return unknown_flag(command, flags, flag_count, argv[i] + 2);
        }
        if (one->kind == FLAG_SWITCH) {
            *(bool *)one->value = true;
            continue;
        }
        const char *value = equals != NULL ? equals + 1 : i + 1 < argc ? argv[++i] : NULL;
        if (value == NULL) {
            fprintf(stderr, "kvraft-demo %s: --%s needs a value\n", command, one->name);
            return -1;
        }
        if (!set_value(command, one, value)) {
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

bool parse_address(const char *text, struct sockaddr_in *out_address)
{
    char host[64];
    const char *colon = strrchr(text, ':');
    char *end = NULL;
    unsigned long port = colon == NULL ? 0 : strtoul(colon + 1, &end, 10);
    if (colon == NULL || (size_t)(colon - text) >= sizeof host || port == 0 || port > 65535 || *end != '\0') {
        fprintf(stderr, "kvraft-demo: \"%s\" is not HOST:PORT with a port of 1 to 65535\n", text);
        return false;
    }
    memcpy(host, text, (size_t)(colon - text));
    host[colon - text] = '\0';
    *out_address = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    if (inet_pton(AF_INET, strcmp(host, "localhost") == 0 ? "127.0.0.1" : host, &out_address->sin_addr) != 1) {
        fprintf(stderr, "kvraft-demo: \"%s\" is no IPv4 address; write it in numbers, or localhost\n", host);
        return false;
    }
    return true;
}

const char *address_text(const struct sockaddr_in *address, char out_text[32])
{
    char host[INET_ADDRSTRLEN] = "?";
    inet_ntop(AF_INET, &address->sin_addr, host, sizeof host);
    snprintf(out_text, 32, "%s:%u", host, ntohs(address->sin_port));
    return out_text;
}

bool parse_duration(const char *text, uint64_t *out_ns)
{
    static const struct {
        const char *unit;
        uint64_t ns;
    } units[] = {{"", 1000000000}, {"s", 1000000000}, {"ms", 1000000}, {"us", 1000}, {"m", 60000000000}};
    char *end = NULL;
    uint64_t number = strtoull(text, &end, 10);
    for (size_t i = 0; end != text && i < COUNT_OF(units); i++) {
        if (strcmp(end, units[i].unit) == 0 && number <= UINT64_MAX / units[i].ns) {
            *out_ns = number * units[i].ns;
            return true;
        }
    }
    return false;
}
