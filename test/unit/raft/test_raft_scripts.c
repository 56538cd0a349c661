/* SPDX-License-Identifier: Apache-2.0 */
/* test_raft_scripts.c: every testdata/NAME.txt is a test; KVR_SCRIPT=NAME runs that one alone.
 * KVR_ACCEPT=1 rewrites what they expect. */
#include <criterion/criterion.h>
#include <criterion/parameterized.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "raft_script.h"

enum { SCRIPTS_MAX = 200, NAME_MAX_SIZE = 300 };

static char names[SCRIPTS_MAX][NAME_MAX_SIZE];

static bool is_wanted(const char *name)
{
    size_t size = strlen(name);
    const char *only = getenv("KVR_SCRIPT");
    return size > 4 && strcmp(name + size - 4, ".txt") == 0 &&
           (only == NULL || only[0] == '\0' ||
            (strlen(only) == size - 4 && strncmp(only, name, size - 4) == 0));
}

static int compare(const void *a, const void *b)
{
    return strcmp(a, b);
}

ParameterizedTestParameters(raft_scripts, says_what_is_expected)
{
    size_t count = 0;
    char directory[NAME_MAX_SIZE];
    snprintf(directory, sizeof directory, "%.*stestdata",
             (int)(strrchr(__FILE__, '/') + 1 - __FILE__), __FILE__);
    DIR *dir = opendir(directory);
    struct dirent *entry;
    while (dir != NULL && count < SCRIPTS_MAX && (entry = readdir(dir)) != NULL) {
        if (is_wanted(entry->d_name)) {
            snprintf(names[count], NAME_MAX_SIZE, "%.100s/%.100s", directory, entry->d_name);
            count++;
        }
    }
    if (dir != NULL) {
        closedir(dir);
    }
    qsort(names, count, NAME_MAX_SIZE, compare);
    return cr_make_param_array(char[NAME_MAX_SIZE], names, count);
}

ParameterizedTest(char (*name)[NAME_MAX_SIZE], raft_scripts, says_what_is_expected)
{
    cr_assert(raft_script_run(*name, getenv("KVR_ACCEPT") != NULL), "%s", *name);
}
