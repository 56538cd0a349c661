/* SPDX-License-Identifier: Apache-2.0 */
/* test_node_install.c: installs that something comes between, and snapshots that are sound bytes
 * but wrong. */
#include "node_cluster.h"

#include "../../../lib/node/node_internal.h"
#include "../../../lib/node/node_stream.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

static cluster c;

static void stop(void)
{
    cluster_stop(&c);
}

TestSuite(node_install, .fini = stop);

static void start(uint32_t count)
{
    cluster_init(&c, count);
    c.config.snapshot_entries = 100;
    c.config.snapshot_bytes_min = 1;
    c.config.keep_entries = 10;
    c.config.snapshot_chunk_bytes = 4096;
    for (uint32_t i = 0; i < count; i++) {
        cluster_boot(&c, i);
    }
    (void)cluster_elect(&c);
}

static void fill(uint32_t i, const char *prefix, uint32_t count)
{
    for (uint32_t n = 0; n < count; n++) {
        char key[32];
        (void)snprintf(key, sizeof key, "%s%05u", prefix, n);
        (void)cluster_put(&c, i, key, "a value that makes the snapshot longer than one chunk");
        if (n % 100 == 0) {
            cluster_settle(&c);
        }
    }
    cluster_pass(&c, 500 * MILLISECOND);
}

/* ------------------------------------------------------------------ interrupted */

/* True if a request of this kind waits at the member's disk. */
static bool holds(uint32_t i, uint8_t kind)
{
    for (const struct held *held = c.members[i].disk.held; held != NULL; held = held->next) {
        if (held->request.kind == kind) {
            return true;
        }
    }
    return false;
}

/* Answers the oldest request that waits, and goes on holding. */
static void release_one(uint32_t i)
{
    disk *d = &c.members[i].disk;
    struct held *rest = d->held->next;
    d->held->next = NULL;
    disk_release(&c, i);
    d->held = rest;
    d->holds = true;
    cluster_settle(&c);
}

/* Brings the oldest request of the kind to the front, if there is one. */
static bool bring_forward(uint32_t i, uint8_t kind)
{
    disk *d = &c.members[i].disk;
    for (struct held **at = &d->held; *at != NULL; at = &(*at)->next) {
        struct held *found = *at;
        if (found->request.kind == kind) {
            *at = found->next;
            found->next = d->held;
            d->held = found;
            return true;
        }
    }
    return false;
}

/* Brings a follower, whose disk answers only by hand, to read the snapshot that it was sent. */
static uint32_t follower_reads(uint32_t leader)
{
    uint32_t follower = cluster_follower(&c);
    c.members[follower].cut = true;
    fill(leader, "k", 400);
    c.members[follower].disk.holds = true;
    c.members[follower].cut = false;
    for (uint32_t turns = 0; turns < 1000 && !holds(follower, KVR_STORE_SNAPSHOT_READ); turns++) {
        if (c.members[follower].disk.held != NULL) {
            release_one(follower);
        } else {
            cluster_pass(&c, 10 * MILLISECOND);
        }
    }
    cr_assert(holds(follower, KVR_STORE_SNAPSHOT_READ));
    return follower;
}

/* FAULTS 64: the leader sends a newer one while the older one is being read: it takes its place,
 * and the late answer about the older one finds nobody. */
Test(node_install, a_newer_snapshot_takes_the_place_of_the_one_being_read)
{
    start(3);
    uint32_t leader = cluster_leader(&c);
    uint32_t follower = follower_reads(leader);
    uint64_t first = c.members[follower].disk.snapshot.meta.index;
    kvr_snapshot_meta newer = {.index = first + 50, .term = 9, .bytes = 100};
    cr_assert_eq(kvr__installing_begin(c.members[follower].node, &newer), KVR_OK);
    cr_assert_eq(kvr__installing_begin(c.members[follower].node, &newer), KVR_OK, "said twice");
    cr_assert(bring_forward(follower, KVR_STORE_SNAPSHOT_READ));
    release_one(follower); /* the answer to the first read */
    kvr_node_status status = cluster_status(&c, follower);

    cr_assert_eq(status.failure, KVR_OK);
    cr_assert_eq(status.loading, 1);
    cr_assert_eq(status.snapshots_installed, 0);
    kvr_store_result unknown = {.size = sizeof unknown, .token = KVR__TOKEN_OWN | 99999};
    cr_assert_eq(kvr_node_storage_done(c.members[follower].node, &unknown), KVR_EINVAL);
}

Test(node_install, reads_of_the_old_content_go_on_meanwhile)
{
    start(3);
    uint32_t leader = cluster_leader(&c);
    (void)cluster_put(&c, leader, "before", "1");
    cluster_pass(&c, 500 * MILLISECOND);
    uint32_t follower = follower_reads(leader);
    cr_assert_str_eq(cluster_value(&c, follower, "before"), "1");
    cr_assert_str_eq(cluster_value(&c, follower, "k00000"), "");
    disk_release(&c, follower);
    cluster_pass(&c, 3 * SECOND);

    cr_assert_str_neq(cluster_value(&c, follower, "k00000"), "");
    cluster_expect_same(&c);
}

/* A local snapshot is under way, its chunk lent to the disk, when one from the leader comes. */
Test(node_install, it_ends_a_snapshot_that_is_being_taken)
{
    start(3);
    uint32_t leader = cluster_leader(&c);
    uint32_t follower = cluster_follower(&c);
    fill(leader, "a", 50);
    c.members[follower].disk.holds = true;
    cr_assert_eq(kvr_node_snapshot(c.members[follower].node), KVR_OK);
    cluster_settle(&c);
    cr_assert(holds(follower, KVR_STORE_SNAPSHOT_WRITE));
    uint64_t taken = cluster_status(&c, follower).snapshots_taken;
    kvr_snapshot_meta newer = {.index = 5000, .term = 9, .bytes = 100};
    cr_assert_eq(kvr__installing_begin(c.members[follower].node, &newer), KVR_OK);
    cr_assert_not_null(c.members[follower].node->snapshots.taking, "its chunk is still lent");
    release_one(follower);

    cr_assert_null(c.members[follower].node->snapshots.taking);
    cr_assert_eq(cluster_status(&c, follower).snapshots_taken, taken);
}

/* What it has to tell the others waits for the log: the member sleeps meanwhile (settling would
 * find one that does not). */
Test(node_install, a_member_whose_snapshot_is_read_before_its_log_waits_at_rest)
{
    start(3);
    uint32_t leader = cluster_leader(&c);
    uint32_t follower = cluster_follower(&c);
    fill(leader, "k", KVR__HASH_EVERY + 500); /* the snapshot has a hash point */
    cluster_crash(&c, follower);
    cluster_boot(&c, follower);
    c.members[follower].cut = true;
    c.members[follower].disk.holds = true;
    cluster_settle(&c);
    for (uint32_t turns = 0; turns < 20 && !holds(follower, KVR_STORE_SNAPSHOT_READ); turns++) {
        release_one(follower);
    }
    while (bring_forward(follower, KVR_STORE_SNAPSHOT_READ)) {
        release_one(follower);
    }

    cr_assert(holds(follower, KVR_STORE_READ));
    cr_assert_eq(cluster_status(&c, follower).snapshots_installed, 1);
    cr_assert_gt(c.members[follower].node->hashes.count, 0);
    cr_assert_not(c.members[follower].node->loaded);
    cr_assert_gt(kvr_node_deadline(c.members[follower].node), c.now);
    disk_release(&c, follower);
    c.members[follower].cut = false;
    cluster_pass(&c, 2 * SECOND);
    cluster_expect_same(&c);
}

/* FAULTS 59: raft lets go of the log only when what replaces it is stored. */
Test(node_install, the_log_stays_until_the_snapshot_is_stored)
{
    start(1);
    fill(0, "k", 50);
    uint64_t before = c.members[0].node->snapshots.last_index;
    c.members[0].disk.holds = true;
    cr_assert_eq(kvr_node_snapshot(c.members[0].node), KVR_OK);
    cluster_settle(&c);
    for (bool stored = false; !stored;) {
        cr_assert_not_null(c.members[0].disk.held);
        cr_assert_eq(c.members[0].node->snapshots.last_index, before);
        cr_assert_not(holds(0, KVR_STORE_DISCARD));
        stored = (c.members[0].disk.held->request.flags & KVR_STORE_LAST) != 0;
        release_one(0);
    }

    cr_assert_gt(c.members[0].node->snapshots.last_index, before);
    disk_release(&c, 0);
}

/* ------------------------------------------------------------------ disks that fail */

Test(node_install, a_disk_that_cannot_write_a_snapshot_stops_the_member)
{
    start(3);
    uint32_t follower = cluster_follower(&c);
    fill(cluster_leader(&c), "a", 20);
    c.members[follower].disk.holds = true;
    cr_assert_eq(kvr_node_snapshot(c.members[follower].node), KVR_OK);
    cluster_settle(&c);
    cr_assert(holds(follower, KVR_STORE_SNAPSHOT_WRITE));
    c.members[follower].disk.broken = true;
    disk_release(&c, follower);
    cluster_settle(&c);

    cr_assert_eq(cluster_status(&c, follower).failure, KVR_FSTORAGE);
    cr_assert_not_null(strstr(kvr_node_error(c.members[follower].node), "snapshot"));
}

Test(node_install, a_snapshot_that_is_gone_or_cannot_be_read_stops_the_member)
{
    start(1);
    fill(0, "k", 120);
    cluster_crash(&c, 0);
    c.members[0].disk.snapshot.meta.index++; /* it is asked for by another name than it has */
    cluster_boot(&c, 0);
    c.members[0].disk.holds = true;
    cluster_settle(&c);
    for (uint32_t turns = 0; turns < 20 && !holds(0, KVR_STORE_SNAPSHOT_READ); turns++) {
        release_one(0);
    }
    cr_assert(holds(0, KVR_STORE_SNAPSHOT_READ));
    c.members[0].disk.snapshot.meta.index--;
    while (c.members[0].disk.held != NULL) {
        release_one(0);
    }

    cr_assert_eq(cluster_status(&c, 0).failure, KVR_FCORRUPT);
    c.members[0].disk.holds = false;
}

/* ------------------------------------------------------------------ sound but wrong */

/* Changes a field of the stream's header, and makes every checksum of it right again. */
static void forge(size_t offset, uint64_t value, size_t size)
{
    disk_snapshot *snapshot = &c.members[0].disk.snapshot;
    uint8_t *body = snapshot->bytes + KVR__STREAM_MARK + KVR__FRAME_HEAD;
    uint32_t body_size = kvr__load_u32(body - KVR__FRAME_HEAD);
    for (size_t i = 0; i < size; i++) {
        body[offset + i] = (uint8_t)(value >> (8 * i));
    }
    kvr__stream_seal(body, KVR__FRAME_HEADER, body_size);
    kvr__xxh3 hash;
    kvr__xxh3_reset(&hash);
    kvr__xxh3_update(&hash, snapshot->bytes, (size_t)snapshot->size);
    kvr__xxh3_digest_128(&hash, snapshot->meta.hash);
}

static kvr_status boot_with(size_t offset, uint64_t value, size_t size)
{
    uint8_t *body = c.members[0].disk.snapshot.bytes + KVR__STREAM_MARK + KVR__FRAME_HEAD;
    uint64_t before = 0;
    memcpy(&before, body + offset, size);
    cluster_crash(&c, 0);
    forge(offset, value, size);
    cluster_boot(&c, 0);
    cluster_settle(&c);
    kvr_status failure = cluster_status(&c, 0).failure;
    cluster_crash(&c, 0);
    forge(offset, before, size);
    cluster_boot(&c, 0);
    (void)cluster_elect(&c);
    return failure;
}

Test(node_install, a_snapshot_whose_words_are_wrong_is_refused_for_what_is_wrong)
{
    start(1);
    fill(0, "k", 120);

    cr_assert_eq(boot_with(2, 2, 2), KVR_FVERSION, "format");
    cr_assert_eq(boot_with(4, 2, 4), KVR_FVERSION, "cluster level");
    cr_assert_eq(boot_with(8, 78, 8), KVR_FCORRUPT, "cluster id");
    cr_assert_eq(boot_with(16, 4, 8), KVR_FCORRUPT, "group id");
    cr_assert_eq(boot_with(24, 3, 8), KVR_FCORRUPT, "index");
    cr_assert_eq(boot_with(56, 3, 8), KVR_FCORRUPT, "hash of the live state");
    cr_assert_eq(boot_with(72, 2, 4), KVR_FCORRUPT, "number of sections");
    cr_assert_eq(cluster_status(&c, 0).failure, KVR_OK);
    cr_assert_eq(cluster_status(&c, 0).store.live_keys, 120);
}

/* ----------------------------------------------------------------- a storage table that says no */

static kvr_status refuse(void *ctx, const kvr_store_request *request, kvr_store_result *out_result)
{
    (void)ctx;
    (void)request;
    (void)out_result;
    return KVR_EDENIED;
}

Test(node_install, a_storage_that_refuses_a_request_stops_the_member)
{
    static const kvr_storage storage = {.size = sizeof storage, .submit = refuse};
    cluster_init(&c, 1);
    c.config.storage = &storage;
    cluster_boot(&c, 0);
    cluster_settle(&c);

    cr_assert_eq(cluster_status(&c, 0).failure, KVR_FSTORAGE);
}
