/* SPDX-License-Identifier: Apache-2.0 */
/* test_node_snapshot.c: snapshots taken while writes go on, installed at start and by a leader. */
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

TestSuite(node_snapshot, .fini = stop);

/* Small thresholds, so that a test's writes suffice. */
static void start(uint32_t count, uint32_t chunk)
{
    cluster_init(&c, count);
    c.config.snapshot_entries = 100;
    c.config.snapshot_bytes_min = 1;
    c.config.keep_entries = 10;
    c.config.snapshot_chunk_bytes = chunk;
    for (uint32_t i = 0; i < count; i++) {
        cluster_boot(&c, i);
    }
    (void)cluster_elect(&c);
}

static void fill(uint32_t i, const char *prefix, uint32_t count)
{
    char key[32];
    char value[64];
    for (uint32_t n = 0; n < count; n++) {
        (void)snprintf(key, sizeof key, "%s%05u", prefix, n);
        (void)snprintf(value, sizeof value, "value %u of key %s", n, key);
        (void)cluster_put(&c, i, key, value);
        if (n % 200 == 0) {
            cluster_settle(&c);
        }
    }
    cluster_pass(&c, 500 * MILLISECOND);
}

/* FAULTS 66, 67: index, leases, origins: all of it comes along. */
Test(node_snapshot, a_member_that_lags_is_sent_one_and_then_is_equal)
{
    start(3, 4096);
    uint32_t follower = cluster_follower(&c);
    (void)cluster_grant(&c, 0, 7, 600 * SECOND);
    (void)cluster_grant(&c, 0, -3, 600 * SECOND);
    cluster_pass(&c, 500 * MILLISECOND);
    (void)cluster_put_lease(&c, 0, "leased", "1", 7);
    cluster_pass(&c, 500 * MILLISECOND);
    c.members[follower].cut = true;
    fill(cluster_leader(&c), "k", 700);
    cluster_pass(&c, 2 * SECOND);
    c.members[follower].cut = false;
    cluster_pass(&c, 5 * SECOND);

    cr_assert_geq(cluster_status(&c, cluster_leader(&c)).snapshots_taken, 1);
    cr_assert_eq(cluster_status(&c, follower).snapshots_installed, 1);
    cluster_expect_same(&c);
    kvr_slice keys[4];
    uint32_t count = 0;
    cr_assert_eq(kvr_node_lease_keys(c.members[follower].node, 7, NULL, keys, 4, &count), KVR_OK);
    cr_assert_eq(count, 1, "what belongs to leases is known after an install");
    /* FAULTS 67: it acts as the others do from here on, leases and origins included. */
    (void)cluster_revoke(&c, follower, 7);
    fill(follower, "m", 10);
    cr_assert_str_eq(cluster_value(&c, follower, "leased"), "");
    cluster_expect_same(&c);
}

/* DESIGN, snapshots: open views keep the old data, watchers go on by revision. */
Test(node_snapshot, views_keep_the_old_content_and_watchers_go_on)
{
    start(3, 4096);
    uint32_t follower = cluster_follower(&c);
    (void)cluster_put(&c, follower, "a", "old");
    cluster_pass(&c, 500 * MILLISECOND);
    kvr_mvcc_view *view;
    cr_assert_eq(kvr_node_view_open(c.members[follower].node, &view), KVR_OK);
    (void)cluster_watch(&c, follower, "a", NULL, 0);
    c.members[follower].cut = true;
    uint32_t leader = cluster_leader(&c);
    fill(leader, "k", 400);
    (void)cluster_put(&c, leader, "a", "new");
    fill(leader, "m", 400);
    c.members[follower].cut = false;
    cluster_pass(&c, 5 * SECOND);

    cr_assert_eq(cluster_status(&c, follower).snapshots_installed, 1);
    cr_assert_str_eq(cluster_value(&c, follower, "a"), "new");
    cr_assert_str_eq(c.members[follower].watched, "PUT a=new@403 ");
    kvr_slice key = slice_of("a");
    kvr_range range = {.size = sizeof range, .key = key};
    kvr_mvcc_cursor cursor;
    kvr_kv kv;
    cr_assert_eq(kvr_mvcc_view_revision(view), 2);
    cr_assert_eq(kvr_mvcc_cursor_init(&cursor, view, &range), KVR_OK);
    cr_assert_eq(kvr_mvcc_cursor_next(&cursor, &kv), KVR_OK);
    cr_assert_eq(memcmp(kv.value.data, "old", 3), 0);
    kvr_mvcc_view_free(view);
    cluster_expect_same(&c);
}

Test(node_snapshot, a_watcher_that_a_compaction_overtook_is_told)
{
    start(3, 4096);
    uint32_t follower = cluster_follower(&c);
    (void)cluster_put(&c, follower, "a", "1");
    cluster_pass(&c, 500 * MILLISECOND);
    (void)cluster_watch(&c, follower, "a", NULL, 0);
    c.members[follower].cut = true;
    uint32_t leader = cluster_leader(&c);
    (void)cluster_put(&c, leader, "a", "2");
    fill(leader, "k", 300);
    (void)cluster_compact(&c, leader, 250);
    fill(leader, "m", 300);
    c.members[follower].cut = false;
    cluster_pass(&c, 5 * SECOND);

    cr_assert_eq(cluster_status(&c, follower).snapshots_installed, 1);
    cr_assert_str_eq(c.members[follower].watched, "COMPACTED ");
    cluster_expect_same(&c);
}

/* FAULTS 91, 92: index and effect stand in one snapshot; what is replayed behind it is done
 * once. */
Test(node_snapshot, a_restart_loads_the_snapshot_and_the_log_behind_it)
{
    start(3, 4096);
    (void)cluster_grant(&c, 0, 7, 600 * SECOND);
    cluster_pass(&c, 500 * MILLISECOND);
    fill(0, "k", 350);
    (void)cluster_put_lease(&c, 1, "leased", "1", 7);
    cluster_pass(&c, 500 * MILLISECOND);
    kvr_node_status before = cluster_status(&c, 1);
    for (uint32_t i = 0; i < 3; i++) {
        cr_assert_gt(c.members[i].disk.snapshot.meta.index, 0);
        cluster_crash(&c, i);
    }
    for (uint32_t i = 0; i < 3; i++) {
        cluster_boot(&c, i);
    }
    (void)cluster_elect(&c);
    cluster_pass(&c, 1 * SECOND);
    kvr_node_status after = cluster_status(&c, 1);

    cr_assert_eq(after.snapshots_installed, 1);
    cr_assert_eq(after.store.revision, before.store.revision);
    cr_assert_eq(after.store.hash_live, before.store.hash_live);
    cr_assert_eq(after.lease.hash, before.lease.hash);
    cluster_expect_same(&c);
    (void)cluster_revoke(&c, 2, 7);
    cluster_pass(&c, 500 * MILLISECOND);
    cr_assert_str_eq(cluster_value(&c, 0, "leased"), "");
}

/* FAULTS 106 across a snapshot: the window of origins is in it. */
Test(node_snapshot, a_repetition_after_an_install_is_still_recognised)
{
    start(3, 4096);
    uint32_t leader = cluster_leader(&c);
    uint32_t follower = cluster_follower(&c);
    uint32_t call = cluster_put(&c, follower, "once", "1");
    c.drop_type = 5;
    c.drop_to = follower + 1;
    cluster_settle(&c);
    cr_assert_str_eq(cluster_value(&c, leader, "once"), "1");
    cluster_drop_messages(&c);
    fill(leader, "k", 400);
    c.drop_type = 0;
    cluster_pass(&c, 5 * SECOND);

    cr_assert_eq(cluster_status(&c, follower).snapshots_installed, 1);
    cluster_expect(&c, call, KVR_OUTCOME_UNKNOWN, KVR_EUNKNOWN); /* done, but its answer is lost */
    kvr_kv kv;
    kvr_slice key = slice_of("once");
    cr_assert(kvr_node_get(c.members[follower].node, &key, &kv));
    cr_assert_eq(kv.version, 1);
    cluster_expect_same(&c);
}

/* FAULTS 68: chunks of any size restore the same. */
Test(node_snapshot, the_size_of_chunks_does_not_matter)
{
    start(1, 4096);
    fill(0, "k", 150);
    uint64_t live = cluster_status(&c, 0).store.hash_live;
    for (uint32_t chunk = 4096; chunk <= 65536; chunk += 12289) {
        cluster_crash(&c, 0);
        c.config.snapshot_chunk_bytes = chunk;
        cluster_boot(&c, 0);
        (void)cluster_elect(&c);
        cr_assert_eq(cluster_status(&c, 0).snapshots_installed, 1);
        cr_assert_eq(cluster_status(&c, 0).store.hash_live, live);
        fill(0, "again", 120);
        cr_assert_eq(kvr_node_snapshot(c.members[0].node), KVR_OK); /* another, in that size */
        cluster_pass(&c, 500 * MILLISECOND);
        live = cluster_status(&c, 0).store.hash_live;
        cr_assert_geq(cluster_status(&c, 0).snapshots_taken, 1);
    }
}

/* FAULTS 63, 70: a snapshot that is damaged anywhere is refused, whole. */
Test(node_snapshot, a_damaged_one_is_refused)
{
    start(1, 4096);
    (void)cluster_grant(&c, 0, 7, 600 * SECOND);
    fill(0, "k", 150);
    cr_assert_eq(kvr_node_snapshot(c.members[0].node), KVR_OK);
    cluster_pass(&c, 500 * MILLISECOND);
    disk_snapshot *snapshot = &c.members[0].disk.snapshot;
    uint64_t size = snapshot->size;
    for (uint64_t at = 0; at < size; at += 1 + size / 97) {
        cluster_crash(&c, 0);
        snapshot->bytes[at] ^= 0x10;
        cluster_boot(&c, 0);
        cluster_settle(&c);
        kvr_node_status status = cluster_status(&c, 0);
        snapshot->bytes[at] ^= 0x10;
        cr_assert_eq(status.failure, KVR_FCORRUPT, "byte %llu", (unsigned long long)at);
        cr_assert_eq(status.store.live_keys, 0);
        cr_assert(strlen(kvr_node_error(c.members[0].node)) > 0);
    }
    cluster_crash(&c, 0);
    cluster_boot(&c, 0);
    (void)cluster_elect(&c);
    cr_assert_eq(cluster_status(&c, 0).store.live_keys, 150);
}

Test(node_snapshot, a_truncated_one_or_one_of_another_cluster_is_refused)
{
    start(1, 4096);
    fill(0, "k", 150);
    disk_snapshot *snapshot = &c.members[0].disk.snapshot;
    cluster_crash(&c, 0);
    snapshot->size -= 100;
    cluster_boot(&c, 0);
    cluster_settle(&c);
    cr_assert_eq(cluster_status(&c, 0).failure, KVR_FCORRUPT);
    cluster_crash(&c, 0);
    snapshot->size += 100;
    c.config.group_id++;
    cluster_boot(&c, 0);
    cluster_settle(&c);

    cr_assert_neq(cluster_status(&c, 0).failure, KVR_OK);
    c.config.group_id--;
}

/* The disk is full for a while: it is put off, nothing else waits. */
Test(node_snapshot, a_full_disk_puts_it_off)
{
    start(3, 4096);
    uint32_t leader = cluster_leader(&c);
    fill(leader, "k", 90);
    uint64_t taken = cluster_status(&c, leader).snapshots_taken;
    c.members[leader].disk.holds = true;
    cr_assert_eq(kvr_node_snapshot(c.members[leader].node), KVR_OK);
    cluster_settle(&c);
    c.members[leader].disk.full = true;
    disk_release(&c, leader);
    cluster_pass(&c, 300 * MILLISECOND);
    cr_assert_eq(cluster_status(&c, leader).snapshots_taken, taken);
    cr_assert_eq(cluster_status(&c, leader).failure, KVR_OK);
    c.members[leader].disk.full = false;
    cluster_pass(&c, 3 * SECOND);

    cr_assert_geq(cluster_status(&c, leader).snapshots_taken, taken + 1);
}

/* FAULTS 62: it never stands above the own log: its last chunk waits for the flush. */
Test(node_snapshot, the_last_chunk_waits_until_the_own_log_is_durable)
{
    start(3, 4096);
    uint32_t leader = cluster_leader(&c);
    fill(leader, "k", 50);
    c.members[leader].disk.holds = true;
    (void)cluster_put(&c, leader, "a", "1"); /* committed by the others' disks */
    cluster_settle(&c);
    cr_assert_str_eq(cluster_value(&c, leader, "a"), "1");
    cr_assert_eq(kvr_node_snapshot(c.members[leader].node), KVR_OK);
    cluster_settle(&c);
    for (struct held *held = c.members[leader].disk.held; held != NULL; held = held->next) {
        bool is_last = held->request.kind == KVR_STORE_SNAPSHOT_WRITE &&
                       (held->request.flags & KVR_STORE_LAST) != 0;
        cr_assert_not(is_last);
    }
    disk_release(&c, leader);
    cluster_pass(&c, 1 * SECOND);

    cr_assert_geq(cluster_status(&c, leader).snapshots_taken, 1);
    cluster_expect_same(&c);
}

/* FAULTS 64: a second one arrives while the first is being read. */
Test(node_snapshot, a_newer_one_takes_the_place_of_the_one_being_installed)
{
    start(3, 4096);
    uint32_t follower = cluster_follower(&c);
    uint32_t leader = cluster_leader(&c);
    c.members[follower].cut = true;
    fill(leader, "k", 400);
    c.members[follower].cut = false;
    for (uint32_t i = 0; i < 2000 && c.members[follower].node->snapshots.installing == NULL; i++) {
        cluster_pass(&c, 1 * MILLISECOND);
    }
    c.members[follower].cut = true;
    fill(leader, "m", 400);
    c.members[follower].cut = false;
    cluster_pass(&c, 6 * SECOND);

    cr_assert_geq(cluster_status(&c, follower).snapshots_installed, 1);
    cluster_expect_same(&c);
}

/* Writes go on while one is taken: a view is read, not the store. */
Test(node_snapshot, writes_during_it_are_not_in_it)
{
    start(3, 4096);
    uint32_t leader = cluster_leader(&c);
    fill(leader, "k", 90);
    c.members[leader].disk.holds = true;
    cr_assert_eq(kvr_node_snapshot(c.members[leader].node), KVR_OK);
    cluster_settle(&c);
    uint64_t index = cluster_status(&c, leader).hash_index;
    for (uint32_t i = 0; i < 20; i++) {
        (void)cluster_put(&c, leader, "during", "x");
        cluster_settle(&c);
    }
    disk_release(&c, leader);
    cluster_pass(&c, 2 * SECOND);

    cr_assert_geq(cluster_status(&c, leader).snapshots_taken, 1);
    cr_assert_eq(c.members[leader].disk.snapshot.meta.index, index);
    cluster_crash(&c, leader);
    cluster_boot(&c, leader);
    (void)cluster_elect(&c);
    cluster_pass(&c, 2 * SECOND);
    cr_assert_str_eq(cluster_value(&c, leader, "during"), "x");
    cluster_expect_same(&c);
}

Test(node_snapshot, an_idle_member_writes_nothing)
{
    start(3, 4096);
    fill(0, "k", 150);
    cluster_pass(&c, 5 * SECOND);
    uint64_t before[3];
    for (uint32_t i = 0; i < 3; i++) {
        before[i] = c.members[i].disk.requests;
    }
    cluster_pass(&c, 60 * SECOND);

    for (uint32_t i = 0; i < 3; i++) {
        cr_assert_eq(c.members[i].disk.requests, before[i]);
    }
}
