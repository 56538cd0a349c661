/* SPDX-License-Identifier: Apache-2.0 */
/* test_node_watch.c: watches on a member: what the hub promises holds through runs and
 * callbacks. */
#include "node_cluster.h"

#include <criterion/criterion.h>
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

TestSuite(node_watch, .init = start, .fini = stop);

static void put(uint32_t i, const char *key, const char *value)
{
    (void)cluster_put(&c, i, key, value);
    cluster_pass(&c, 200 * MILLISECOND);
}

Test(node_watch, events_come_in_order_on_every_member)
{
    for (uint32_t i = 0; i < 3; i++) {
        (void)cluster_watch(&c, i, "a", "c", 0);
    }
    put(0, "a", "1");
    put(1, "b", "2");
    put(2, "c", "3");
    (void)cluster_delete(&c, 0, "a", NULL);
    cluster_pass(&c, 200 * MILLISECOND);

    for (uint32_t i = 0; i < 3; i++) {
        cr_assert_str_eq(c.members[i].watched, "PUT a=1@2 PUT b=2@3 DEL a@5 ");
    }
}

Test(node_watch, one_that_starts_in_the_past_gets_it_all)
{
    put(0, "a", "1");
    put(0, "a", "2");
    (void)cluster_watch(&c, 1, "a", NULL, 2);
    put(0, "a", "3");

    cr_assert_str_eq(c.members[1].watched, "PUT a=1@2 PUT a=2@3 PUT a=3@4 ");
}

/* Events and the compaction above them are committed together: who keeps up hears the events. */
Test(node_watch, one_that_keeps_up_is_not_overtaken_by_a_compaction)
{
    uint32_t leader = cluster_leader(&c);
    uint32_t follower = cluster_follower(&c);
    (void)cluster_watch(&c, follower, "a", NULL, 0);
    c.drop_type = 5;
    c.drop_to = follower + 1;
    (void)cluster_put(&c, leader, "a", "1");
    (void)cluster_put(&c, leader, "a", "2");
    (void)cluster_put(&c, leader, "a", "3");
    cluster_settle(&c);
    uint32_t call = cluster_compact(&c, leader, 4);
    cluster_settle(&c);
    cluster_expect(&c, call, KVR_OUTCOME_DONE, KVR_OK);
    c.drop_type = 0;
    cluster_pass(&c, 1 * SECOND);

    cr_assert_str_eq(c.members[follower].watched, "PUT a=1@2 PUT a=2@3 PUT a=3@4 ");
    cr_assert_eq(cluster_status(&c, follower).store.compacted, 4);
    cluster_expect_same(&c);
}

Test(node_watch, a_paused_one_goes_on_where_it_was)
{
    uint64_t id = cluster_watch(&c, 1, "a", NULL, 0);
    put(0, "a", "1");
    cr_assert_eq(kvr_node_watch_pause(c.members[1].node, id), KVR_OK);
    put(0, "a", "2");
    put(0, "a", "3");
    cr_assert_str_eq(c.members[1].watched, "PUT a=1@2 ");
    cr_assert_eq(kvr_node_watch_resume(c.members[1].node, id), KVR_OK);
    cluster_pass(&c, 200 * MILLISECOND);
    cr_assert_str_eq(c.members[1].watched, "PUT a=1@2 PUT a=2@3 PUT a=3@4 ");
    cr_assert_eq(kvr_node_watch_cancel(c.members[1].node, id), KVR_OK);
    cr_assert_eq(kvr_node_watch_cancel(c.members[1].node, id), KVR_ENOTFOUND);
}

/* ------------------------------------------------------- a host that reacts inside the callback */

static uint64_t ids[64];
static uint64_t opened;
static uint32_t batches;
static uint32_t targets_seen;

static void react(void *ctx, const kvr_watch_batch *batch)
{
    member *m = ctx;
    batches++;
    targets_seen += batch->target_count;
    /* Everybody who is told is cancelled or paused at once, while the batch is being read. */
    for (uint32_t i = 0; i < batch->target_count; i++) {
        uint64_t id = batch->targets[i].id;
        kvr_status status =
            id % 2 == 0 ? kvr_node_watch_cancel(m->node, id) : kvr_node_watch_pause(m->node, id);
        cr_assert_eq(status, KVR_OK);
        cr_assert_eq(batch->targets[i].id, id);
    }
    kvr_watch_request request = {.size = sizeof request, .key = slice_of("w")};
    cr_assert_eq(kvr_node_watch(m->node, &request, &opened), KVR_OK);
    cr_assert_eq(memcmp(batch->events[0].kv.key.data, "w", 1), 0);
}

Test(node_watch, targets_may_be_cancelled_and_paused_while_their_batch_is_read)
{
    static const kvr_node_sink sink = {.size = sizeof sink, .watched = react};
    uint32_t i = cluster_follower(&c);
    cluster_crash(&c, i);
    c.config.sink = &sink;
    cluster_boot(&c, i);
    cluster_pass(&c, 2 * SECOND);
    for (uint32_t n = 0; n < 64; n++) {
        ids[n] = cluster_watch(&c, i, "w", NULL, 0);
    }
    put(cluster_leader(&c), "w", "1");

    cr_assert_eq(targets_seen, 64);
    kvr_node_status status = cluster_status(&c, i);
    cr_assert_eq(status.watch.watchers, 32 + batches);
    cr_assert_eq(status.watch.paused, 32);
    put(cluster_leader(&c), "w", "2");
    cr_assert_eq(targets_seen, 65, "only the one that was opened hears of it");
}
