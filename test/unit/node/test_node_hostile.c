/* SPDX-License-Identifier: Apache-2.0 */
/* test_node_hostile.c: what members may send each other and what may stand in the log, none of it
 * made by this version: garbage changes nothing, the same everywhere; what is newer stops who meets
 * it. And small budgets: the work is cut anywhere and comes to the same. */
#include "node_cluster.h"

#include "../../../lib/node/node_internal.h"

#include "base/entry.h"
#include "base/random.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

static cluster c;

static void start(void)
{
    cluster_start(&c, 3);
}

static void stop(void)
{
    cluster_stop(&c);
}

TestSuite(node_hostile, .init = start, .fini = stop);
TestSuite(node_budget, .fini = stop);

static void propose(uint32_t i, const uint8_t *bytes, size_t size)
{
    kvr_slice command = {bytes, size};
    kvr_raft_proposal proposal;
    cr_assert_eq(kvr_raft_propose(c.members[i].node->raft, &command, &proposal), KVR_OK);
}

static void expect_alive(void)
{
    uint32_t call = cluster_put(&c, 1, "alive", "1");
    cluster_pass(&c, 2 * SECOND);
    cluster_expect(&c, call, KVR_OUTCOME_DONE, KVR_OK);
    for (uint32_t i = 0; i < 3; i++) {
        cr_assert_eq(cluster_status(&c, i).failure, KVR_OK, "%s",
                     kvr_node_error(c.members[i].node));
    }
    cluster_expect_same(&c);
}

/* ------------------------------------------------------------------ commands */

Test(node_hostile, garbage_in_the_log_is_the_same_nothing_everywhere)
{
    kvr__random random;
    kvr__random_init(&random, 11);
    uint64_t revision = cluster_status(&c, 0).store.revision;
    for (uint32_t round = 0; round < 2000; round++) {
        uint8_t bytes[200];
        size_t size = 1 + kvr__random_below(&random, sizeof bytes);
        for (size_t i = 0; i < size; i++) {
            bytes[i] = (uint8_t)kvr__random_next(&random);
        }
        if (size > 8) { /* nothing that claims to be of a newer version */
            bytes[2] = (uint8_t)(bytes[2] % 2);
            bytes[3] = (uint8_t)(1 + bytes[3] % 5);
            memset(bytes + 4, 0, 4);
        }
        propose(round % 3, bytes, size);
        if (round % 100 == 0) {
            cluster_settle(&c);
        }
    }
    cluster_pass(&c, 1 * SECOND);

    cr_assert_eq(cluster_status(&c, 0).store.revision, revision);
    expect_alive();
}

/* Sound heads with damaged payloads of each kind. */
Test(node_hostile, damaged_payloads_of_each_kind_change_nothing_together)
{
    kvr__random random;
    kvr__random_init(&random, 12);
    for (uint32_t round = 0; round < 2000; round++) {
        uint8_t bytes[KVR__COMMAND_HEAD + 64];
        uint32_t payload = (uint32_t)kvr__random_below(&random, 65);
        kvr__origin_id origin = {1 + round % 3, 1, 0};
        kvr__command_write_head(bytes, (uint8_t)(1 + round % 5), payload);
        kvr__command_stamp(bytes, &origin);
        for (uint32_t i = 0; i < payload; i++) {
            uint64_t byte = kvr__random_next(&random);
            bytes[KVR__COMMAND_HEAD + i] = (uint8_t)(byte % 3 == 0 ? byte : byte % 8);
        }
        propose(round % 3, bytes, KVR__COMMAND_HEAD + payload);
        if (round % 100 == 0) {
            cluster_settle(&c);
        }
    }
    cluster_pass(&c, 1 * SECOND);

    expect_alive();
}

/* DESIGN, upgrade: an unknown kind stops apply and says so, on every member that meets it. */
Test(node_hostile, a_kind_of_a_newer_version_stops_who_meets_it)
{
    uint8_t bytes[KVR__COMMAND_HEAD];
    kvr__origin_id origin = {1, 1, 0};
    kvr__command_write_head(bytes, 200, 0);
    kvr__command_stamp(bytes, &origin);
    propose(cluster_leader(&c), bytes, sizeof bytes);
    cluster_pass(&c, 20 * SECOND);
    uint32_t stopped = 0;
    for (uint32_t i = 0; i < 3; i++) {
        kvr_status failure = cluster_status(&c, i).failure;
        cr_assert(failure == KVR_FVERSION || failure == KVR_OK);
        stopped += failure == KVR_FVERSION;
        cr_assert_eq(cluster_status(&c, i).store.revision, 1);
    }

    cr_assert_geq(stopped, 2, "two met it; without them nobody can commit it");
}

/* The same for a flag of an entry, set in the logs of all three while they are down. */
Test(node_hostile, a_flag_of_a_newer_version_stops_who_meets_it)
{
    cluster_pass(&c, 1 * SECOND);
    for (uint32_t i = 0; i < 3; i++) {
        disk *d = &c.members[i].disk;
        kvr_entry entry;
        cluster_crash(&c, i);
        cr_assert_geq(d->last, d->first);
        disk_entry *first = &d->entries[0];
        cr_assert_eq(kvr__entry_read((kvr_slice){first->bytes, first->size}, true, &entry), KVR_OK);
        entry.flags = 1u << 31;
        kvr__entry_write_header(first->bytes, &entry);
    }
    for (uint32_t i = 0; i < 3; i++) {
        cluster_boot(&c, i);
    }
    cluster_pass(&c, 20 * SECOND);
    uint32_t stopped = 0;
    for (uint32_t i = 0; i < 3; i++) {
        stopped += cluster_status(&c, i).failure == KVR_FVERSION;
    }
    cr_assert_geq(stopped, 2);
}

/* ------------------------------------------------------------------ posts */

Test(node_hostile, no_post_does_harm)
{
    kvr__random random;
    kvr__random_init(&random, 13);
    (void)cluster_grant(&c, 0, 7, 60 * SECOND);
    (void)cluster_keep_alive(&c, cluster_follower(&c), 7);
    for (uint32_t round = 0; round < 3000; round++) {
        uint8_t bytes[400];
        size_t size = kvr__random_below(&random, sizeof bytes);
        for (size_t i = 0; i < size; i++) {
            bytes[i] = (uint8_t)kvr__random_next(&random);
        }
        if (round % 2 == 0 && size > KVR__POST_HEAD) { /* a sound head */
            static const uint16_t sizes[3] = {16, 24, 40};
            uint16_t record = sizes[round / 2 % 3];
            uint16_t count = (uint16_t)((size - KVR__POST_HEAD) / record);
            size = KVR__POST_HEAD + (size_t)count * record;
            kvr__store_u16(bytes, KVR__POST_HEAD);
            bytes[2] = 1;
            kvr__store_u16(bytes + 4, record);
            kvr__store_u16(bytes + 6, count);
        }
        kvr_slice body = {bytes, size};
        kvr_status status = kvr_raft_post(c.members[round % 3].node->raft, 1 + (round + 1) % 3,
                                          (uint8_t)(round % 5), &body);
        cr_assert(status == KVR_OK || status == KVR_EBUSY);
        if (round % 50 == 0) {
            cluster_settle(&c);
        }
    }
    cluster_pass(&c, 1 * SECOND);

    expect_alive();
}

/* ------------------------------------------------------------------ budgets */

static void fill(uint32_t count, int64_t lease)
{
    for (uint32_t n = 0; n < count; n++) {
        char key[16];
        (void)snprintf(key, sizeof key, "k%04u", n);
        (void)cluster_put_lease(&c, 1, key, "value", n % 2 == 0 ? lease : 0);
    }
    cluster_pass(&c, 2 * SECOND);
}

Test(node_budget, work_cut_into_the_smallest_pieces_comes_to_the_same)
{
    uint64_t chain[4];
    for (uint32_t budget = 0; budget < 4; budget++) {
        cluster_start(&c, 3);
        c.budget = budget * budget; /* 0: plenty; 1, 4, 9 */
        (void)cluster_grant(&c, 0, 7, 600 * SECOND);
        cluster_pass(&c, 1 * SECOND);
        fill(300, 7);
        (void)cluster_watch(&c, 1, "k", "l", 2);
        (void)cluster_revoke(&c, 1, 7);
        cluster_pass(&c, 2 * SECOND);
        (void)cluster_delete(&c, 2, "k", "l");
        cluster_pass(&c, 2 * SECOND);
        (void)cluster_compact(&c, 0, 200);
        cluster_pass(&c, 2 * SECOND);
        for (uint32_t call = 0; call < c.call_count; call++) {
            cluster_expect(&c, call, KVR_OUTCOME_DONE, KVR_OK);
        }
        cluster_expect_same(&c);
        cr_assert_eq(cluster_status(&c, 0).store.live_keys, 0);
        chain[budget] = cluster_status(&c, 0).store.hash_chain;
        if (budget < 3) {
            cluster_stop(&c);
        }
    }
    cr_assert_eq(chain[0], chain[1]);
    cr_assert_eq(chain[0], chain[2]);
    cr_assert_eq(chain[0], chain[3]);
}

Test(node_budget, an_install_in_the_smallest_pieces_comes_to_the_same)
{
    cluster_init(&c, 1);
    c.config.snapshot_chunk_bytes = 4096;
    cluster_boot(&c, 0);
    (void)cluster_elect(&c);
    c.count = 1;
    (void)cluster_grant(&c, 0, 7, 600 * SECOND);
    cluster_pass(&c, 1 * SECOND);
    for (uint32_t n = 0; n < 500; n++) {
        char key[16];
        (void)snprintf(key, sizeof key, "k%04u", n);
        (void)cluster_put_lease(&c, 0, key, "value", n % 3 == 0 ? 7 : 0);
    }
    cluster_pass(&c, 1 * SECOND);
    cr_assert_eq(kvr_node_snapshot(c.members[0].node), KVR_OK);
    cluster_pass(&c, 1 * SECOND);
    uint64_t live = cluster_status(&c, 0).store.hash_live;
    cluster_crash(&c, 0);
    c.budget = 1;
    cluster_boot(&c, 0);
    (void)cluster_elect(&c);
    cluster_pass(&c, 1 * SECOND);

    cr_assert_eq(cluster_status(&c, 0).store.hash_live, live);
    cr_assert_eq(c.members[0].node->attach.count, 167);
}
