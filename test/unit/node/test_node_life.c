/* SPDX-License-Identifier: Apache-2.0 */
/* test_node_life.c: from new to free: configs, close in each state, re-entrancy, disks that are
 * slow, full or broken, and ready/advance without any callback. */
#include "node_cluster.h"

#include "../../../lib/node/node_internal.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

static cluster c;

static void stop(void)
{
    cluster_stop(&c);
}

TestSuite(node_life, .fini = stop);

/* ------------------------------------------------------------------ config */

Test(node_life, a_config_that_cannot_work_is_refused_with_a_sentence)
{
    cluster_init(&c, 1);
    kvr_node *node = NULL;
    kvr_node_config good = c.config;
    good.member_id = 1;
    kvr_node_config bad[6] = {good, good, good, good, good, good};
    bad[0].cluster_id = 0;
    bad[1].member_id = 0;
    bad[2].heartbeat_ns = good.election_ns;
    bad[3].calls_max = 4096;
    bad[4].snapshot_chunk_bytes = 100;
    bad[5].member_count = 3;
    for (uint32_t i = 0; i < 6; i++) {
        cr_assert_not_null(kvr_node_config_check(&bad[i]), "%u", i);
        cr_assert_eq(kvr_node_new(&bad[i], &node), KVR_EINVAL);
    }
    cr_assert_null(kvr_node_config_check(&good));
    cr_assert_eq(kvr_node_config_init(&good, 8), KVR_EINVAL);
    cr_assert_null(node);
}

Test(node_life, presets_are_acceptable)
{
    cluster_init(&c, 1);
    kvr_node_config config = c.config;
    config.member_id = 1;
    kvr_node_config_set_local(&config);
    cr_assert_null(kvr_node_config_check(&config));
    kvr_node_config_set_wan(&config);
    cr_assert_null(kvr_node_config_check(&config));
    kvr_node_config_set_lan(&config);
    cr_assert_null(kvr_node_config_check(&config));
}

/* ------------------------------------------------------------------ close and free */

static void make_calls(uint32_t i)
{
    (void)cluster_put(&c, i, "a", "1");
    (void)cluster_read(&c, i);
    (void)cluster_grant(&c, i, 0, 60 * SECOND);
    (void)cluster_keep_alive(&c, i, 5);
    (void)cluster_time_to_live(&c, i, 5);
    (void)cluster_compact(&c, i, 1);
    (void)cluster_revoke(&c, i, 5);
}

Test(node_life, closing_before_anything_refuses_all)
{
    cluster_init(&c, 3);
    cluster_boot(&c, 0);
    make_calls(0);
    cr_assert_eq(kvr_node_close(c.members[0].node), KVR_OK);

    for (uint32_t call = 0; call < c.call_count; call++) {
        cluster_expect(&c, call, KVR_OUTCOME_REFUSED, KVR_ESTOPPED);
    }
    kvr_slice key = slice_of("a");
    cr_assert_eq(kvr_node_put(c.members[0].node, NULL, &key, &key, 0), KVR_ESTOPPED);
    cr_assert_eq(kvr_node_run(c.members[0].node, 0), KVR_ESTOPPED);
    cr_assert_eq(kvr_node_close(c.members[0].node), KVR_OK, "twice is once");
    cr_assert_eq(kvr_node_deadline(c.members[0].node), UINT64_MAX);
}

Test(node_life, closing_in_the_middle_ends_each_call_once_as_it_stands)
{
    cluster_start(&c, 3);
    uint32_t leader = cluster_leader(&c);
    c.members[leader].cut = true;
    make_calls(leader);
    cluster_settle(&c);
    uint32_t proposed = c.call_count;
    make_calls(leader); /* these stay in intake */
    cr_assert_eq(kvr_node_close(c.members[leader].node), KVR_OK);

    for (uint32_t call = 0; call < c.call_count; call++) {
        cr_assert(cluster_ended(&c, call));
        uint8_t outcome = c.calls[call].outcome;
        cr_assert_neq(outcome, KVR_OUTCOME_DONE);
        if (call >= proposed) {
            cluster_expect(&c, call, KVR_OUTCOME_REFUSED, KVR_ESTOPPED);
        }
    }
    cluster_expect(&c, 0, KVR_OUTCOME_UNKNOWN, KVR_EUNKNOWN);
    cluster_expect(&c, 1, KVR_OUTCOME_REFUSED, KVR_ESTOPPED);
}

Test(node_life, a_failed_member_can_be_closed_and_ends_its_calls)
{
    cluster_start(&c, 3);
    uint32_t leader = cluster_leader(&c);
    c.members[leader].disk.broken = true;
    uint32_t call = cluster_put(&c, leader, "a", "1");
    cluster_pass(&c, 1 * SECOND);
    cr_assert_eq(cluster_status(&c, leader).failure, KVR_FSTORAGE);
    cr_assert_neq(strlen(kvr_node_error(c.members[leader].node)), 0);
    cr_assert_eq(kvr_node_run(c.members[leader].node, 0), KVR_FSTORAGE);
    kvr_slice key = slice_of("a");
    cr_assert_eq(kvr_node_put(c.members[leader].node, NULL, &key, &key, 0), KVR_FSTORAGE);
    cr_assert_eq(kvr_node_close(c.members[leader].node), KVR_OK);

    cr_assert(cluster_ended(&c, call));
    cr_assert_neq(c.calls[call].outcome, KVR_OUTCOME_REFUSED);
    cr_assert_neq(cluster_elect(&c), leader);
}

Test(node_life, a_snapshot_under_way_does_not_hinder_close)
{
    cluster_start(&c, 1);
    for (uint32_t i = 0; i < 50; i++) {
        (void)cluster_put(&c, 0, "a", "x");
    }
    cluster_settle(&c);
    c.members[0].disk.holds = true;
    cr_assert_eq(kvr_node_snapshot(c.members[0].node), KVR_OK);
    cluster_settle(&c);
    cr_assert_not_null(c.members[0].node->snapshots.taking);
    cr_assert_eq(kvr_node_close(c.members[0].node), KVR_OK);
}

/* ------------------------------------------------------------------ re-entrancy */

static uint32_t entered;
static uint32_t inner_call;

static void reenter(cluster *of, uint32_t i)
{
    kvr_node *node = of->members[i].node;
    const kvr_node_ready *ready;
    entered++;
    cr_assert_eq(kvr_node_run(node, 0), KVR_EREENTRANT);
    cr_assert_eq(kvr_node_ready_get(node, 1, 0, &ready), KVR_EREENTRANT);
    cr_assert_eq(kvr_node_close(node), KVR_EREENTRANT);
    cr_assert_eq(kvr_node_free(node), KVR_EREENTRANT);
    kvr_node_advance(node); /* ignored */
    inner_call = cluster_put(of, i, "inner", "1");
}

Test(node_life, a_callback_may_take_work_in_but_not_run)
{
    cluster_start(&c, 3);
    uint32_t call = cluster_put(&c, 0, "outer", "1");
    c.calls[call].then = reenter;
    cluster_pass(&c, 1 * SECOND);

    cr_assert_eq(entered, 1);
    cluster_expect(&c, inner_call, KVR_OUTCOME_DONE, KVR_OK);
    cr_assert_str_eq(cluster_value(&c, 1, "inner"), "1");
}

/* ------------------------------------------------------------------ disks */

Test(node_life, a_busy_storage_is_asked_again_in_the_same_order)
{
    cluster_start(&c, 3);
    uint32_t leader = cluster_leader(&c);
    c.members[leader].disk.busy = true;
    uint32_t calls[20];
    for (uint32_t i = 0; i < 20; i++) {
        calls[i] = cluster_put(&c, leader, "a", "x");
        cluster_pass(&c, 10 * MILLISECOND);
    }
    c.members[leader].disk.busy = false;
    cluster_pass(&c, 1 * SECOND);

    for (uint32_t i = 0; i < 20; i++) {
        cluster_expect(&c, calls[i], KVR_OUTCOME_DONE, KVR_OK);
    }
    cluster_expect_same(&c);
}

Test(node_life, a_slow_disk_delays_only_what_must_wait_for_it)
{
    cluster_start(&c, 3);
    uint32_t leader = cluster_leader(&c);
    c.members[leader].disk.holds = true;
    uint32_t call = cluster_put(&c, leader, "a", "x");
    cluster_settle(&c);

    cluster_expect(&c, call, KVR_OUTCOME_DONE, KVR_OK); /* by the others' disks */
    disk_release(&c, leader);
    cluster_pass(&c, 1 * SECOND);
    cluster_expect_same(&c);
}

/* A full disk: writes are refused or wait, nothing acknowledged is lost, and it goes on when there
 * is room. */
Test(node_life, a_full_cluster_takes_writes_again_when_there_is_room)
{
    cluster_start(&c, 3);
    uint32_t leader = cluster_leader(&c);
    uint32_t kept = cluster_put(&c, leader, "kept", "1");
    cluster_pass(&c, 500 * MILLISECOND);
    cluster_expect(&c, kept, KVR_OUTCOME_DONE, KVR_OK);
    for (uint32_t i = 0; i < 3; i++) {
        c.members[i].disk.full = true;
    }
    uint32_t first = cluster_put(&c, leader, "a", "1");
    cluster_pass(&c, 2 * SECOND);
    cr_assert_not(cluster_ended(&c, first) && c.calls[first].outcome == KVR_OUTCOME_DONE);
    cr_assert_eq(cluster_status(&c, leader).failure, KVR_OK);
    cr_assert_eq(cluster_status(&c, leader).no_space, 1);
    for (uint32_t i = 0; i < 3; i++) {
        c.members[i].disk.full = false;
    }
    cluster_pass(&c, 20 * SECOND);
    uint32_t later = cluster_put(&c, cluster_elect(&c), "b", "1");
    cluster_pass(&c, 2 * SECOND);

    cluster_expect(&c, later, KVR_OUTCOME_DONE, KVR_OK);
    cr_assert_str_eq(cluster_value(&c, 0, "kept"), "1");
    cr_assert_eq(cluster_status(&c, cluster_leader(&c)).no_space, 0);
    cluster_expect_same(&c);
}

/* A write that may still happen waits for room; those behind it that were never tried hear why. */
Test(node_life, a_write_that_waits_for_room_does_not_silence_the_others)
{
    cluster_start(&c, 3);
    uint32_t leader = cluster_leader(&c);
    for (uint32_t i = 0; i < 3; i++) {
        c.members[i].disk.full = true;
    }
    uint32_t first = cluster_put(&c, leader, "a", "1");
    cluster_pass(&c, 500 * MILLISECOND);
    cr_assert_not(cluster_ended(&c, first));
    kvr__calls_repropose(c.members[leader].node); /* as after a change of leaders */
    uint32_t second = cluster_put(&c, leader, "b", "1");
    cluster_settle(&c);

    cr_assert_not(cluster_ended(&c, first));
    cluster_expect(&c, second, KVR_OUTCOME_REFUSED, KVR_ENOSPACE);
}

/* ------------------------------------------------------------------ no callbacks at all */

Test(node_life, ready_and_advance_are_enough)
{
    cluster_init(&c, 1);
    kvr_member self = {.id = 1};
    kvr_node_config config = c.config;
    config.member_id = 1;
    config.members = &self;
    config.member_count = 1;
    config.storage = NULL;
    config.transport = NULL;
    config.clock = NULL;
    config.sink = NULL;
    kvr_node *node;
    cr_assert_eq(kvr_node_new(&config, &node), KVR_OK);
    cr_assert_eq(kvr_node_run(node, 0), KVR_EINVAL, "it has no tables");
    kvr_slice key = slice_of("a");
    cr_assert_eq(kvr_node_put(node, NULL, &key, &key, 0), KVR_OK);
    uint32_t completions = 0;
    uint64_t now = 0;
    for (uint32_t turn = 0; turn < 200 && completions == 0; turn++) {
        const kvr_node_ready *ready;
        kvr_status status = kvr_node_ready_get(node, now, 100, &ready);
        cr_assert(status == KVR_OK || status == KVR_AGAIN);
        cr_assert_eq(kvr_node_ready_get(node, now, 100, &ready), KVR_ESTATE);
        for (uint32_t i = 0; i < ready->request_count; i++) {
            kvr_store_result result = {.size = sizeof result,
                                       .group_id = ready->requests[i].group_id,
                                       .token = ready->requests[i].token,
                                       .free_bytes = UINT64_MAX,
                                       .first_index = 1};
            cr_assert_eq(kvr_node_storage_done(node, &result), KVR_OK);
        }
        completions += ready->completion_count;
        kvr_node_advance(node);
        now += 100 * MILLISECOND;
    }
    cr_assert_eq(completions, 1);
    cr_assert_eq(kvr_node_read_linear(node, NULL), KVR_OK);
    cr_assert_eq(kvr_node_close(node), KVR_OK);
    const kvr_node_ready *rest;
    cr_assert_eq(kvr_node_ready_get(node, now, 0, &rest), KVR_OK);
    cr_assert_eq(rest->completion_count, 1, "what close ended is shown here");
    kvr_node_advance(node);
    cr_assert_eq(kvr_node_ready_get(node, now, 0, &rest), KVR_ESTOPPED);
    cr_assert_eq(kvr_node_free(node), KVR_OK);
}

/* ----------------------------------------------------------------- a transport that sends later */

static kvr_message later[4096];
static uint32_t later_count;

static void keep(void *ctx, const kvr_message *sent)
{
    (void)ctx;
    if (later_count < 4096) {
        later[later_count++] = *sent;
    }
}

Test(node_life, bytes_are_lent_to_a_transport_until_it_says_sent)
{
    static const kvr_transport transport = {
        .size = sizeof transport, .flags = KVR_TRANSPORT_SENDS_LATER, .send = keep};
    cluster_init(&c, 3);
    c.config.transport = &transport;
    cluster_boot(&c, 0);
    cluster_pass(&c, 5 * SECOND);
    cr_assert_gt(later_count, 2);
    for (uint32_t i = 0; i < later_count; i++) {
        kvr_message_info info;
        cr_assert_eq(kvr_message_peek(&later[i].bytes, UINT32_MAX, &info), KVR_OK);
        cr_assert_eq(info.to, later[i].to);
        cr_assert_neq(later[i].token, 0);
    }
    for (uint32_t i = 0; i < later_count / 2; i++) {
        kvr_node_sent(c.members[0].node, later[i].token);
    }
    kvr_node_sent(c.members[0].node, UINT64_MAX); /* unknown: ignored */
}

/* ------------------------------------------------------------------ log and trace */

static char log_text[4096];
static uint32_t traced;

static void write_log(void *ctx, int32_t level, const char *text)
{
    (void)ctx;
    (void)level;
    cr_assert_lt(strlen(text), 512);
    size_t at = strlen(log_text);
    (void)snprintf(log_text + at, sizeof log_text - at, "%s\n", text);
}

static void trace_event(void *ctx, const kvr_trace_event *event)
{
    (void)ctx;
    traced += strcmp(event->name, "become-leader") == 0;
}

Test(node_life, log_and_trace_tell_who_leads)
{
    static const kvr_log log = {.size = sizeof log, .level_max = KVR_LOG_INFO, .write = write_log};
    static const kvr_trace trace = {.size = sizeof trace, .event = trace_event};
    cluster_init(&c, 1);
    c.config.log = &log;
    c.config.trace = &trace;
    cluster_boot(&c, 0);
    (void)cluster_elect(&c);
    cr_assert_eq(kvr_node_snapshot(c.members[0].node), KVR_OK);
    cluster_pass(&c, 1 * SECOND);

    cr_assert_not_null(strstr(log_text, "this member leads in term 1"), "%s", log_text);
    cr_assert_not_null(strstr(log_text, "took a snapshot at index 1"), "%s", log_text);
    cr_assert_eq(traced, 1);
}

/* ------------------------------------------------------------------ size */

/* What a node holds beside raft, store, hub and book, whose own tests bound theirs. */
Test(node_life, an_idle_member_is_small)
{
    cluster_start(&c, 3);
    cluster_pass(&c, 30 * SECOND);

    cr_assert_leq(kvr__mem_bytes(&c.members[cluster_follower(&c)].node->mem), 2560);
}

/* Two runs of the same calls are the same run. */
Test(node_life, the_same_calls_make_the_same_run)
{
    uint64_t chains[2];
    uint64_t messages[2];
    for (uint32_t run = 0; run < 2; run++) {
        cluster_start(&c, 3);
        for (uint32_t i = 0; i < 300; i++) {
            (void)cluster_put(&c, i % 3, i % 7 == 0 ? "a" : "b", "x");
            (void)cluster_grant(&c, i % 3, 0, 2 * SECOND);
            if (i % 50 == 0) {
                cluster_pass(&c, 100 * MILLISECOND);
            }
        }
        cluster_pass(&c, 10 * SECOND);
        chains[run] = cluster_status(&c, 0).hash_chain;
        messages[run] = c.delivered;
        if (run == 0) {
            cluster_stop(&c);
        }
    }
    cr_assert_eq(chains[0], chains[1]);
    cr_assert_eq(messages[0], messages[1]);
}
