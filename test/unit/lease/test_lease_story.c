/* SPDX-License-Identifier: Apache-2.0 */
/* test_lease_story.c: a log, two members and clients, over many leaderships. Nothing that a client
 * was promised may end early (FAULTS L2, 121), and what nobody renews must end, however often the
 * leader changes (L4, 122):
 *
 *   proposals go to the end of the log and are applied later, by both members
 *   a change of leader cuts a part of what was not applied; the new one leads when it applied the
 *   rest a revocation or record by a leader is void in another term, and for another life of the
 *   id, which the lease clock of its grant tells (the age of a lease does not: its time may count
 *   from later than that)
 *
 * The clock is the lease clock: it stands while nobody leads. KVR_SEED=n runs one seed. */
#include <criterion/criterion.h>

#include <kvraft/lease.h>

#include "base/random.h"
#include "support/model_lease.h"
#include "support/test_alloc.h"

#include <stdlib.h>
#include <string.h>

enum { SEEDS = 60, STEPS = 4000, IDS = 12, LOG = 64, LAG_NS = 40 };
enum { GRANT = 1, REVOKE = 2, RECORD = 3 };

typedef struct entry {
    int kind;
    bool by_leader;
    bool is_renewal; /* a client waits for it */
    int64_t id;
    uint64_t value;      /* TTL or last renewal */
    uint64_t granted_ns; /* of the life of the id that is meant, 0: any */
    uint64_t term;
    uint64_t clock; /* as the leader stamps it */
} entry;

static struct {
    test_alloc alloc;
    kvr__random rng;
    kvr_lease_book *books[2];
    model_lease *model; /* knows who was told what */
    uint32_t leader;
    uint64_t term;
    uint64_t clock;
    entry log[LOG]; /* not applied yet */
    uint32_t log_count;
    uint64_t tried_ns[IDS + 1];    /* by id: the last renewal that a leader took, told of or not */
    uint32_t leaderships[IDS + 1]; /* begun since then */
    uint64_t seed;
    uint64_t ended;
} t;

static uint64_t below(uint64_t limit)
{
    return kvr__random_below(&t.rng, limit);
}

#define HOLDS(condition) \
    cr_assert((condition), "seed %llu: %s", (unsigned long long)t.seed, #condition)

static kvr_lease_book *leader(void)
{
    return t.books[t.leader];
}

/* False: refused, the log is full. */
static bool propose(entry e)
{
    if (t.log_count == LOG || below(50) == 0) {
        return false;
    }
    kvr_lease_info info;
    if (e.kind == RECORD || e.by_leader) {
        HOLDS(kvr_lease_get(leader(), e.id, t.clock, &info) == KVR_OK);
        e.granted_ns = info.granted_ns;
    }
    e.term = t.term;
    e.clock = t.clock;
    t.log[t.log_count++] = e;
    return true;
}

/* A renewal now, from which on the leader counts. True if a client may be told of it;
 * `*out_must_record` if not before it is in the log. */
static bool keep_alive(int64_t id, uint8_t *out_must_record)
{
    uint64_t ttl;
    if (kvr_lease_keep_alive(leader(), id, t.clock, &ttl, out_must_record) != KVR_OK) {
        return false;
    }
    t.tried_ns[id] = t.clock;
    t.leaderships[id] = 0;
    return true;
}

/* ------------------------------------------------------------------ apply */

static void apply_grant(const entry *e)
{
    kvr_status status = model_lease_grant(t.model, e->id, e->value, e->clock);
    for (uint32_t i = 0; i < 2; i++) {
        HOLDS(kvr_lease_grant(t.books[i], e->id, e->value, e->clock) == status);
    }
    if (status == KVR_OK) {
        t.tried_ns[e->id] = e->clock;
        t.leaderships[e->id] = 0;
    }
    /* the client hears of it now, and counts from now */
    if (status == KVR_OK && e->term == t.term) {
        uint8_t must_record = 0;
        if (keep_alive(e->id, &must_record) && must_record == 0) {
            model_lease_told(t.model, e->id, t.clock);
        }
    }
}

static bool is_void(const entry *e)
{
    const model_lease_row *row = model_lease_find(t.model, e->id);
    return row == NULL ||
           (e->granted_ns != 0 && (e->term != t.term || e->granted_ns != row->granted_ns));
}

static void apply_revoke(const entry *e)
{
    if (is_void(e)) {
        return;
    }
    if (e->by_leader) {
        HOLDS(!model_lease_is_promised(t.model, e->id, t.clock));
        t.ended++;
    }
    for (uint32_t i = 0; i < 2; i++) {
        HOLDS(kvr_lease_revoke(t.books[i], e->id) == KVR_OK);
    }
    HOLDS(model_lease_revoke(t.model, e->id) == KVR_OK);
}

static void apply_record(const entry *e)
{
    if (is_void(e)) {
        return;
    }
    kvr_status status = model_lease_record(t.model, e->id, e->granted_ns, e->value);
    for (uint32_t i = 0; i < 2; i++) {
        HOLDS(kvr_lease_record(t.books[i], e->id, e->granted_ns, e->value) == status);
    }
    if (e->is_renewal && status == KVR_OK) {
        model_lease_told(t.model, e->id, e->clock);
    }
}

static void apply(uint64_t count)
{
    uint32_t done = 0;
    for (; done < t.log_count && done < count; done++) {
        const entry *e = &t.log[done];
        if (e->kind == GRANT) {
            apply_grant(e);
        } else if (e->kind == REVOKE) {
            apply_revoke(e);
        } else {
            apply_record(e);
        }
    }
    t.log_count -= done;
    memmove(t.log, t.log + done, t.log_count * sizeof *t.log);
    kvr_lease_status one = {.size = sizeof one};
    kvr_lease_status two = {.size = sizeof two};
    kvr_lease_get_status(t.books[0], &one);
    kvr_lease_get_status(t.books[1], &two);
    HOLDS(one.hash == two.hash);
}

/* ------------------------------------------------------------------ leaders and clients */

static void change_leader(void)
{
    t.log_count -= (uint32_t)below(t.log_count + 1); /* what no majority had */
    kvr_lease_follow(leader());
    t.leader = 1 - t.leader;
    t.term++;
    apply(LOG);
    kvr_lease_lead(leader(), t.clock);
    for (uint32_t id = 1; id <= IDS; id++) {
        t.leaderships[id]++;
    }
}

static void lead(void)
{
    int64_t ids[3];
    kvr_lease_laggard laggards[3];
    uint32_t count = kvr_lease_due(leader(), t.clock, ids, 3);
    for (uint32_t i = 0; i < count; i++) {
        if (!propose((entry){.kind = REVOKE, .by_leader = true, .id = ids[i]})) {
            kvr_lease_retry(leader(), ids[i]);
        }
    }
    count = kvr_lease_laggards(leader(), t.clock, laggards, 3);
    for (uint32_t i = 0; i < count; i++) {
        if (!propose((entry){.kind = RECORD,
                             .by_leader = true,
                             .id = laggards[i].id,
                             .value = laggards[i].renewed_ns})) {
            kvr_lease_retry(leader(), laggards[i].id);
        }
    }
}

static void renew(int64_t id)
{
    uint8_t must_record = 0;
    if (!keep_alive(id, &must_record)) {
        return;
    }
    if (must_record == 0) {
        model_lease_told(t.model, id, t.clock);
    } else {
        (void)propose((entry){.kind = RECORD, .is_renewal = true, .id = id});
    }
}

/* L4: how long an unrenewed lease may last, with what the steps of this test take. */
static void check_ends(void)
{
    for (uint32_t i = 0; i < t.model->count; i++) {
        const model_lease_row *row = &t.model->rows[i];
        uint64_t most = row->ttl_ns + LAG_NS + t.leaderships[row->id] * (row->ttl_ns / 2 + LAG_NS);
        HOLDS(t.clock - t.tried_ns[row->id] <= most);
    }
}

static void one_step(bool has_clients)
{
    int64_t id = 1 + (int64_t)below(IDS);
    uint64_t dice = below(100);
    t.clock += below(4);
    if (!has_clients) {
        dice = dice < 98 ? 99 : 97; /* only leaders change */
    }
    if (dice < 20) {
        (void)propose((entry){.kind = GRANT, .id = id, .value = 10 + below(300)});
    } else if (dice < 26) {
        (void)propose((entry){.kind = REVOKE, .id = id});
    } else if (dice < 70) {
        renew(id);
    } else if (dice == 97) {
        change_leader();
    }
    lead();
    apply(below(4));
    check_ends();
}

static void begin(void)
{
    kvr_lease_config config;
    test_alloc_init(&t.alloc);
    HOLDS(kvr_lease_config_init(&config, sizeof config) == KVR_OK);
    config.allocator = &test_alloc_table;
    config.allocator_ctx = &t.alloc;
    kvr__random_init(&t.rng, t.seed);
    HOLDS(kvr_lease_book_new(&config, &t.books[0]) == KVR_OK);
    HOLDS(kvr_lease_book_new(&config, &t.books[1]) == KVR_OK);
    t.model = model_lease_new();
    t.leader = 0;
    t.term = 1;
    t.clock = 1;
    t.log_count = 0;
    kvr_lease_lead(leader(), t.clock);
}

static void end(void)
{
    kvr_lease_book_free(t.books[0]);
    kvr_lease_book_free(t.books[1]);
    model_lease_free(t.model);
    TEST_ALLOC_ASSERT_EMPTY(&t.alloc);
}

Test(lease_story, nothing_promised_ends_early_and_nothing_unrenewed_lives_on)
{
    const char *only = getenv("KVR_SEED");
    uint64_t first = only == NULL ? 1 : strtoull(only, NULL, 10);
    t.ended = 0;
    for (t.seed = first; t.seed < first + (only == NULL ? SEEDS : 1); t.seed++) {
        begin();
        for (uint32_t step = 0; step < STEPS; step++) {
            one_step(step % 1000 < 700);
        }
        for (uint32_t step = 0; step < 3000; step++) { /* the clients are gone, elections go on */
            one_step(false);
        }
        HOLDS(t.model->count == 0);
        end();
    }
    cr_assert(only != NULL || t.ended > 1000);
}
