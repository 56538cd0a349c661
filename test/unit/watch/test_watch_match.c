/* SPDX-License-Identifier: Apache-2.0 */
/* test_watch_match.c: thousands of keys and intervals that come and go, and for each change the
 * question whom it is for, answered by a look at every one of them. */
#include "watch_fixture.h"

#include "base/random.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

WATCH_SUITE(watch_match);

enum { WATCHERS = 3000, ROUNDS = 60, KEYS = 1000, CHANGES = 40 };

static struct {
    char key[WATCHERS][8];
    char end[WATCHERS][8]; /* "": the key alone; "*": no end */
    uint64_t id[WATCHERS]; /* 0: not open */
    bool told[WATCHERS];
    kvr__random random;
} t;

static uint64_t below(uint64_t limit)
{
    return kvr__random_below(&t.random, limit);
}

static void reopen(uint32_t i)
{
    uint64_t low = below(KEYS);
    if (t.id[i] != 0) {
        MUST(kvr_watch_cancel(hub, t.id[i]));
    }
    snprintf(t.key[i], sizeof t.key[i], "k%03u", (unsigned)low);
    switch (below(4)) {
    case 0:
        t.end[i][0] = '\0';
        break;
    case 1:
        snprintf(t.end[i], sizeof t.end[i], "*");
        break;
    default: /* mostly short ones, some that hold many others */
        snprintf(t.end[i], sizeof t.end[i], "k%03u",
                 (unsigned)(low + 1 + below(below(5) == 0 ? 900 : 5)) % 10000);
        break;
    }
    if (t.end[i][0] == 'k' && strcmp(t.end[i], t.key[i]) <= 0) {
        snprintf(t.end[i], sizeof t.end[i], "l");
    }
    kvr_watch_request request = watching(t.key[i], t.end[i][0] == '\0' ? NULL : t.end[i]);
    request.user = t.key[i];
    MUST(kvr_watch_open(hub, &request, &t.id[i]));
}

static bool is_for(uint32_t i, const char *key)
{
    if (t.end[i][0] == '\0') {
        return strcmp(key, t.key[i]) == 0;
    }
    return strcmp(key, t.key[i]) >= 0 && (t.end[i][0] == '*' || strcmp(key, t.end[i]) < 0);
}

static void tell(const kvr_watch_batch *batch)
{
    for (uint32_t k = 0; k < batch->target_count; k++) {
        uint32_t i = (uint32_t)((char(*)[8])batch->targets[k].user - t.key);
        cr_assert_eq(t.id[i], batch->targets[k].id);
        cr_assert_not(t.told[i]);
        t.told[i] = true;
    }
}

Test(watch_match, agrees_with_a_look_at_every_interval)
{
    kvr__random_init(&t.random, 1);
    watch_alloc.quiet = 1;
    for (uint32_t round = 0; round < ROUNDS; round++) {
        uint32_t count = round == 0 ? WATCHERS : (uint32_t)below(WATCHERS / 4);
        for (uint32_t n = 0; n < count; n++) {
            reopen(round == 0 ? n : (uint32_t)below(WATCHERS));
        }
        drain();
        for (uint32_t change = 0; change < CHANGES; change++) {
            char key[8];
            snprintf(key, sizeof key, "k%03u", (unsigned)below(KEYS + 20));
            put(key, "");
            memset(t.told, 0, sizeof t.told);
            kvr_watch_batch batch;
            while (kvr_watch_next(hub, 1000, &batch) == KVR_OK) {
                tell(&batch);
            }
            for (uint32_t i = 0; i < WATCHERS; i++) {
                cr_assert_eq(t.told[i], is_for(i, key), "round %u: %s in [%s, %s)", round, key,
                             t.key[i], t.end[i]);
            }
        }
    }
}
