/* SPDX-License-Identifier: Apache-2.0 */
/* test_raft_snapshot.c: a snapshot on its way from the leader to a follower (Raft 7): what it
 * costs, what it stops, what ends it. Stories of lost chunks, restarts and replaced snapshots are
 * scripts (testdata/snapshot_*). */
#include <criterion/criterion.h>
#include <string.h>

#include "raft/raft_internal.h"
#include "raft_cluster.h"

static cluster c;

static void setup(void)
{
    cluster_init(&c);
}

static void teardown(void)
{
    cluster_release(&c);
}

TestSuite(raft_snapshot, .init = setup, .fini = teardown);

static void small_chunks(kvr_raft_config *config)
{
    config->snapshot_chunk_bytes = 16;
}

/* `count` members led by 1; those in `cut` miss `entries` entries, which no log of the others in
 * `compacted` (as bits of ids) holds any more. */
static void lagging(uint32_t count, uint32_t cut, int entries, uint32_t compacted)
{
    cluster_add(&c, count, NULL, small_chunks);
    cluster_elect(&c, 1);
    cluster_stabilize(&c);
    for (uint64_t id = 1; id <= count; id++) {
        cluster_isolate(&c, id, (cut >> id & 1) != 0);
    }
    for (int i = 0; i < entries; i++) {
        cr_assert_eq(cluster_propose(&c, 1, "twenty-byte-command-"), KVR_OK);
    }
    cluster_stabilize(&c);
    for (uint64_t id = 1; id <= count; id++) {
        if ((compacted >> id & 1) != 0) {
            cr_assert_eq(cluster_compact(&c, id, 0), KVR_OK);
        }
    }
    cluster_stabilize(&c);
    for (uint64_t id = 1; id <= count; id++) {
        cluster_isolate(&c, id, false);
    }
}

/* Time and messages, in small steps, until member `id` has written chunks up to `offset`. */
static void receive_until(uint64_t id, uint64_t offset)
{
    const kvr__raft_incoming *incoming = &cluster_at(&c, id)->raft->incoming;
    for (int i = 0; i < 500 && !(incoming->active && incoming->offset >= offset); i++) {
        cluster_tick(&c, i % 10 == 0 ? UINT64_C(100) * CLUSTER_MS : 0);
        cluster_deliver(&c, (cluster_filter){0});
    }
    cr_assert(incoming->active);
    cr_assert_geq(incoming->offset, offset);
}

static void pass(int beats)
{
    for (int i = 0; i < beats; i++) {
        cluster_tick(&c, UINT64_C(100) * CLUSTER_MS);
        cluster_stabilize(&c);
    }
}

/* The leader's disk never gives the chunk, then the network never brings it: others' entries are
 * committed as if nothing were sent. */
Test(raft_snapshot, the_leader_commits_while_it_is_sent)
{
    lagging(3, 1U << 3, 5, 1U << 1);
    cluster_disk *disk = &cluster_at(&c, 1)->disk;
    disk->manual = true;
    for (int i = 0; i < 200 && disk->request_count == 0; i++) {
        cluster_tick(&c, i % 10 == 0 ? UINT64_C(100) * CLUSTER_MS : 0);
        cluster_deliver(&c, (cluster_filter){0});
    }
    cr_assert_eq(disk->requests[0].request.kind, KVR_STORE_SNAPSHOT_READ);
    for (int i = 0; i < 20; i++) {
        uint64_t before = cluster_status(&c, 1).commit_index;
        cr_assert_eq(cluster_propose(&c, 1, "w"), KVR_OK);
        for (int step = 0; step < 4; step++) {
            cluster_run_all(&c);
            while (disk->request_count > 1) { /* the read waits on; nothing waits for it */
                cr_assert(cluster_answer(&c, 1, 1));
            }
            cluster_deliver(&c, (cluster_filter){0});
        }
        cr_assert_eq(cluster_status(&c, 1).commit_index, before + 1);
    }
    cr_assert_eq(disk->request_count, 1);

    disk->manual = false;
    cluster_cut(&c, 1, 3, true);
    for (int i = 0; i < 20; i++) {
        uint64_t before = cluster_status(&c, 1).commit_index;
        cr_assert_eq(cluster_propose(&c, 1, "w"), KVR_OK);
        pass(1);
        cr_assert_eq(cluster_status(&c, 1).commit_index, before + 1);
    }
    cr_assert_eq(cluster_progress(&c, 1, 3).state, 2);

    cluster_cut(&c, 1, 3, false);
    pass(20);
    cr_assert_str_eq(cluster_at(&c, 3)->text, cluster_at(&c, 1)->text);
}

/* FAULTS 70: flow control: for each follower one chunk is under way, the next is read when the
 * answer asks for it. So however long the snapshot and however many lag, memory is that of a chunk
 * each. */
Test(raft_snapshot, one_chunk_a_follower_is_under_way)
{
    lagging(5, 1U << 4 | 1U << 5, 100, 1U << 1 | 1U << 2 | 1U << 3);
    uint64_t bytes = cluster_at(&c, 1)->disk.snapshot.meta.bytes;
    uint64_t before = cluster_status(&c, 1).memory_bytes;
    uint64_t most = before;
    cr_assert_gt(bytes, 100 * 16);
    for (int i = 0; i < 3000 && strcmp(cluster_at(&c, 5)->text, cluster_at(&c, 1)->text) != 0;
         i++) {
        cluster_tick(&c, i % 10 == 0 ? UINT64_C(20) * CLUSTER_MS : 0);
        for (uint64_t to = 4; to <= 5; to++) {
            cluster_filter chunks = {.to = to, .type = KVR__RAFT_SNAPSHOT};
            cr_assert_leq(cluster_count(&c, chunks), 1);
        }
        uint64_t now = cluster_status(&c, 1).memory_bytes;
        most = now > most ? now : most;
        cluster_deliver(&c, (cluster_filter){0});
    }
    pass(10);
    cr_assert_str_eq(cluster_at(&c, 4)->text, cluster_at(&c, 1)->text);
    cr_assert_str_eq(cluster_at(&c, 5)->text, cluster_at(&c, 1)->text);
    cr_assert_lt(most - before, bytes, "%llu more bytes", (unsigned long long)(most - before));
}

/* FAULTS 69: a connection breaks and comes back: the transfer goes on where it was. */
Test(raft_snapshot, it_goes_on_after_a_reconnect)
{
    lagging(3, 1U << 3, 20, 1U << 1 | 1U << 2);
    receive_until(3, 64);
    uint64_t reached = cluster_at(&c, 3)->raft->incoming.offset;
    cluster_isolate(&c, 3, true);
    cluster_drop(&c, (cluster_filter){0});
    for (int i = 0; i < 8; i++) { /* less than an election timeout */
        cluster_tick(&c, UINT64_C(100) * CLUSTER_MS);
        cluster_drop(&c, (cluster_filter){.to = 3});
        cluster_stabilize(&c);
    }
    cluster_isolate(&c, 3, false);
    cluster_disk *disk = &cluster_at(&c, 1)->disk;
    disk->manual = true;
    bool is_read = false;
    for (int i = 0; i < 2000 && cluster_at(&c, 3)->raft->incoming.active; i++) {
        cluster_tick(&c, i % 10 == 0 ? UINT64_C(100) * CLUSTER_MS : 0);
        for (uint32_t n = 0; n < disk->request_count; n++) {
            const kvr_store_request *request = &disk->requests[n].request;
            if (request->kind == KVR_STORE_SNAPSHOT_READ) {
                cr_assert_geq(request->offset + 16, reached,
                              "only the chunk under way comes again");
                is_read = true;
            }
        }
        cluster_disk_complete(&c, 1, 64);
        cluster_deliver(&c, (cluster_filter){0});
    }
    disk->manual = false;
    pass(5);

    cr_assert(is_read);
    cr_assert_str_eq(cluster_at(&c, 3)->text, cluster_at(&c, 1)->text);
}

/* FAULTS 70: each chunk is a message with a checksum: a damaged one is as if lost. */
Test(raft_snapshot, a_damaged_chunk_is_dropped_and_sent_again)
{
    lagging(3, 1U << 3, 5, 1U << 1 | 1U << 2);
    receive_until(3, 16);
    uint64_t offset = cluster_at(&c, 3)->raft->incoming.offset;
    cluster_filter chunks = {.to = 3, .type = KVR__RAFT_SNAPSHOT};
    for (int i = 0; i < 100 && cluster_count(&c, chunks) == 0; i++) {
        cluster_run_all(&c);
        cluster_deliver(&c, (cluster_filter){.to = 1});
    }
    cr_assert_eq(cluster_count(&c, chunks), 1);
    for (uint32_t i = 0; i < c.message_count; i++) {
        const cluster_message *message = &c.messages[i];
        kvr_message_info info;
        kvr_slice bytes = {message->bytes, message->size};
        cr_assert_eq(kvr_message_peek(&bytes, UINT32_MAX, &info), KVR_OK);
        if (info.type == KVR__RAFT_SNAPSHOT) {
            for (size_t bit = 0; bit < message->size * 8; bit += 7) {
                message->bytes[bit / 8] ^= (uint8_t)(1U << bit % 8);
                cr_assert_neq(kvr_raft_receive(cluster_at(&c, 3)->raft, &bytes), KVR_OK);
                message->bytes[bit / 8] ^= (uint8_t)(1U << bit % 8);
            }
        }
    }
    cluster_drop(&c, chunks);
    cr_assert_eq(cluster_at(&c, 3)->raft->incoming.offset, offset);
    cr_assert_not(cluster_at(&c, 3)->raft->incoming.chunk_waits);

    pass(20);

    cr_assert_str_eq(cluster_at(&c, 3)->text, cluster_at(&c, 1)->text);
}

/* FAULTS 70: a new leader has the log that the old one had compacted: the receiver forgets what it
 * had of the snapshot, and nothing of it stays in memory. */
Test(raft_snapshot, a_log_that_gets_there_first_ends_it)
{
    lagging(3, 1U << 3, 20, 1U << 1);
    receive_until(3, 64);
    cluster_crash(&c, 1);
    cluster_drop(&c, (cluster_filter){0});
    for (int i = 0; i < 30; i++) {
        cluster_tick(&c, UINT64_C(100) * CLUSTER_MS);
        cluster_drop(&c, (cluster_filter){0});
    }
    cluster_elect(&c, 2);
    pass(3);

    const kvr__raft_incoming *incoming = &cluster_at(&c, 3)->raft->incoming;
    cr_assert_str_eq(cluster_at(&c, 3)->text, cluster_at(&c, 2)->text);
    cr_assert_not(incoming->active);
    cr_assert_null(incoming->configuration);
    cr_assert_null(incoming->chunk);
    cr_assert_eq(cluster_status(&c, 3).snapshot_index, 0);
    cluster_start(&c, 1);
    pass(3);
    cr_assert_eq(cluster_at(&c, 3)->counters.snapshots_installed, 0);
}

/* 3 holds all of a snapshot but its last chunk, or that too but for the answer of its disk, when
 * the log gets there first. */
static void overtaken_at_the_end(bool is_submitted)
{
    lagging(3, 1U << 3, 4, 1U << 1);
    uint64_t bytes = cluster_at(&c, 1)->disk.snapshot.meta.bytes;
    uint64_t index = cluster_at(&c, 1)->disk.snapshot.meta.index;
    receive_until(3, (bytes - 1) / 16 * 16);
    cluster_disk *disk = &cluster_at(&c, 3)->disk;
    disk->manual = true;
    for (int i = 0; i < 100 && disk->request_count == 0; i++) {
        cluster_run(&c, 1);
        cluster_run(&c, 2);
        cluster_deliver(&c, (cluster_filter){.to = 1});
        cluster_deliver(&c, (cluster_filter){.to = 3});
        cluster_run(&c, 3);
    }
    cr_assert_eq(disk->requests[0].request.kind, KVR_STORE_SNAPSHOT_WRITE);
    cr_assert_eq(disk->requests[0].request.flags, KVR_STORE_LAST);
    if (!is_submitted) { /* the disk had no room for it: it is to be asked again */
        disk->full = true;
        cr_assert(cluster_answer(&c, 3, 0));
        cr_assert(cluster_at(&c, 3)->raft->incoming.chunk_waits);
        disk->full = false;
    }
    /* the entries that 1 sent before it compacted its log arrive late */
    uint8_t entries[4096];
    uint8_t body[KVR__RAFT_APPEND_SIZE];
    size_t size = 0;
    for (uint64_t i = 2; i <= index; i++) {
        const cluster_entry *entry = &cluster_at(&c, 2)->disk.entries[i - 1];
        memcpy(entries + size, entry->bytes, entry->size);
        size += entry->size;
    }
    kvr__raft_append append = {
        .prev_index = 1, .prev_term = 1, .entry_count = (uint32_t)index - 1, .commit = index};
    kvr__raft_message_write_append(body, &append);
    kvr_slice message = cluster_forge(
        &(cluster_forged){1, 3, 1, KVR__RAFT_APPEND, {body, sizeof body}, {entries, size}});
    cr_assert_eq(kvr_raft_receive(cluster_at(&c, 3)->raft, &message), KVR_OK);
    cr_assert_eq(cluster_status(&c, 3).commit_index, index);
}

/* FAULTS 64: what storage will hold when it answers, raft must know of: else it would offer as a
 * leader what is gone. */
Test(raft_snapshot, a_last_chunk_that_is_being_written_is_not_forgotten)
{
    overtaken_at_the_end(true);
    cr_assert(cluster_at(&c, 3)->raft->incoming.active);
    /* the chunk comes once more meanwhile, as after a time-out */
    pass(12);
    cr_assert(cluster_at(&c, 3)->raft->incoming.active);
    cluster_at(&c, 3)->disk.manual = false;
    cluster_disk_complete(&c, 3, 64);
    pass(3);

    cr_assert_eq(cluster_at(&c, 3)->disk.snapshot.meta.index,
                 cluster_at(&c, 1)->disk.snapshot.meta.index);
    cr_assert_eq(cluster_status(&c, 3).snapshot_index, cluster_at(&c, 3)->disk.snapshot.meta.index);
    cr_assert_eq(cluster_at(&c, 3)->counters.snapshots_installed, 0);
    cr_assert_not(cluster_at(&c, 3)->raft->incoming.active);
    cr_assert_str_eq(cluster_at(&c, 3)->text, cluster_at(&c, 1)->text);
}

Test(raft_snapshot, a_last_chunk_that_found_no_room_is_not_asked_for_again)
{
    overtaken_at_the_end(false);
    cr_assert_not(cluster_at(&c, 3)->raft->incoming.active);
    cr_assert_null(cluster_at(&c, 3)->raft->incoming.chunk);
    cluster_at(&c, 3)->disk.manual = false;
    cluster_disk_complete(&c, 3, 64);
    pass(3);

    cr_assert_eq(cluster_at(&c, 3)->disk.snapshot.meta.index, 0);
    cr_assert_str_eq(cluster_at(&c, 3)->text, cluster_at(&c, 1)->text);
}
