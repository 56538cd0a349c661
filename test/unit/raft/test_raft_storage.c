/* SPDX-License-Identifier: Apache-2.0 */
/* test_raft_storage.c: what storage may say, at start and later: damage is said and never believed,
 * a full disk is waited for, a failed one ends the member before it acknowledges anything. */
#include <criterion/criterion.h>
#include <stdio.h>
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

TestSuite(raft_storage, .init = setup, .fini = teardown);

static kvr_store_result answer_to(const kvr_store_request *request)
{
    return (kvr_store_result){.size = sizeof(kvr_store_result),
                              .group_id = request->group_id,
                              .token = request->token,
                              .free_bytes = UINT64_MAX};
}

/* A booted member and the LOAD that it asks for. */
static kvr_store_request boot_and_take_load(void)
{
    cluster_add(&c, 1, NULL, NULL);
    cluster_crash(&c, 1);
    cluster_at(&c, 1)->disk.manual = true;
    cluster_boot(&c, 1);
    cluster_run(&c, 1);
    cr_assert_eq(cluster_at(&c, 1)->disk.request_count, 1);
    kvr_store_request request = cluster_at(&c, 1)->disk.requests[0].request;
    cr_assert_eq(request.kind, KVR_STORE_LOAD);
    cluster_at(&c, 1)->disk.request_count = 0;
    return request;
}

/* FAULTS 59: whatever LOAD says is judged before it is believed. */
Test(raft_storage, what_load_says_is_judged)
{
    const struct {
        uint64_t snapshot, first, last, term, applied;
        const char *fault; /* NULL: it is accepted */
    } table[] = {
        {0, 0, 0, 0, 0, NULL},
        {0, 1, 0, 3, 0, NULL},
        {0, 2, 5, 3, 0, "the log begins after a gap that no snapshot fills"},
        {5, 7, 9, 3, 0, "the log begins after a gap that no snapshot fills"},
        {5, 6, 5, 3, 0, NULL},
        {5, 6, 5, 3, 5, NULL},
        {5, 9, 3, 3, 0, "the log begins after a gap that no snapshot fills"},
        {9, 9, 3, 3, 0, "the log ends before it begins"},
        {0, 0, 4, 3, 0, "the log ends before it begins"},
        {9, 1, 5, 3, 0, "the log ends before the snapshot"},
        {5, 6, 5, 0, 0, "the term file is older than the snapshot"},
        {5, 6, 5, 3, 6, "the state machine holds more than the log"},
    };
    kvr_store_request load = boot_and_take_load();
    kvr_slice configuration;
    cr_assert_eq(kvr_raft_configuration(cluster_at(&c, 1)->raft, 0, &configuration), KVR_OK);
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        if (i > 0) {
            kvr_raft_free(cluster_at(&c, 1)->raft);
            cluster_at(&c, 1)->raft = NULL;
            cluster_at(&c, 1)->disk.request_count = 0;
            cluster_at(&c, 1)->config.applied_index = table[i].applied;
            cluster_boot(&c, 1);
            cluster_run(&c, 1);
            load = cluster_at(&c, 1)->disk.requests[0].request;
            cr_assert_eq(kvr_raft_configuration(cluster_at(&c, 1)->raft, 0, &configuration),
                         KVR_OK);
        }
        kvr_store_result result = answer_to(&load);
        result.first_index = table[i].first;
        result.last_index = table[i].last;
        result.term = table[i].term;
        result.snapshot.index = table[i].snapshot;
        result.snapshot.term = table[i].snapshot > 0;
        result.snapshot.configuration = configuration;

        kvr_status status = kvr_raft_storage_done(cluster_at(&c, 1)->raft, &result);

        cr_assert_eq(status, table[i].fault == NULL ? KVR_OK : KVR_FCORRUPT, "row %zu", i);
        cr_assert_str_eq(kvr_raft_error(cluster_at(&c, 1)->raft),
                         table[i].fault == NULL ? "" : table[i].fault, "row %zu", i);
    }
}

Test(raft_storage, failed_load_is_final_and_says_where)
{
    kvr_store_request load = boot_and_take_load();
    kvr_store_result result = answer_to(&load);
    kvr_raft *raft = cluster_at(&c, 1)->raft;
    const kvr_raft_ready *ready = NULL;
    result.status = KVR_EIO;
    result.detail = "wal/000001 at 4096: restore it from another member";

    cr_assert_eq(kvr_raft_storage_done(raft, &result), KVR_FSTORAGE);

    cr_assert_str_eq(kvr_raft_error(raft),
                     "loading failed: wal/000001 at 4096: restore it from another member");
    cr_assert_eq(cluster_status(&c, 1).role, KVR_ROLE_FAILED);
    cr_assert_eq(kvr_raft_ready_get(raft, 0, &ready), KVR_FSTORAGE);
    cr_assert_eq(kvr_raft_campaign(raft), KVR_FSTORAGE);
    cr_assert_eq(kvr_raft_applied(raft, 0), KVR_FSTORAGE);
    cr_assert_eq(kvr_raft_read_index(raft, 0), KVR_FSTORAGE);
    cr_assert_eq(cluster_propose(&c, 1, "a"), KVR_FSTORAGE);
    cr_assert_not(kvr_raft_has_ready(raft));
    cr_assert_eq(kvr_raft_deadline(raft), UINT64_MAX);
}

Test(raft_storage, a_load_that_storage_lacks_memory_for_is_asked_for_again)
{
    kvr_store_request load = boot_and_take_load();
    kvr_store_result none = answer_to(&load);
    none.status = KVR_ENOSPACE;

    cr_assert_eq(kvr_raft_storage_done(cluster_at(&c, 1)->raft, &none), KVR_OK);

    cluster_at(&c, 1)->disk.manual = false;
    cluster_stabilize(&c);
    cluster_elect(&c, 1);
}

Test(raft_storage, a_token_that_is_not_under_way_is_refused)
{
    kvr_store_request load = boot_and_take_load();
    kvr_store_result result = answer_to(&load);
    kvr_raft *raft = cluster_at(&c, 1)->raft;

    result.token = 0;
    cr_assert_eq(kvr_raft_storage_done(raft, &result), KVR_EINVAL);
    result.token = load.token + 1;
    cr_assert_eq(kvr_raft_storage_done(raft, &result), KVR_EINVAL);
    result.token = load.token;
    result.group_id++;
    cr_assert_eq(kvr_raft_storage_done(raft, &result), KVR_EINVAL);
    result.group_id--;
    result.size = 8;
    cr_assert_eq(kvr_raft_storage_done(raft, &result), KVR_EINVAL);
    result.size = sizeof result;
    cr_assert_eq(kvr_raft_storage_done(raft, &result), KVR_OK);
    cr_assert_eq(kvr_raft_storage_done(raft, &result), KVR_EINVAL, "it was answered");
}

/* A damaged or misplaced entry that comes from the disk is found at start. */
Test(raft_storage, damaged_entries_are_found_at_start)
{
    cluster_add(&c, 1, NULL, NULL);
    cluster_elect(&c, 1);
    cr_assert_eq(cluster_propose(&c, 1, "abcdef"), KVR_OK);
    cluster_stabilize(&c);
    cluster_crash(&c, 1);
    cluster_disk *disk = &cluster_at(&c, 1)->disk;
    for (size_t at = 0; at < disk->entries[1].size; at++) {
        disk->entries[1].bytes[at] ^= 4;
        cluster_boot(&c, 1);
        for (int i = 0; i < 10; i++) {
            cluster_run(&c, 1);
        }
        cr_assert_eq(cluster_status(&c, 1).role, KVR_ROLE_FAILED, "byte %zu", at);
        cr_assert_eq(cluster_at(&c, 1)->last_status, KVR_FCORRUPT);
        cr_assert_str_eq(kvr_raft_error(cluster_at(&c, 1)->raft), "reading the log failed");
        cluster_crash(&c, 1);
        disk->entries[1].bytes[at] ^= 4;
    }
    cluster_start(&c, 1);
    cluster_elect(&c, 1);
    cr_assert_str_eq(cluster_at(&c, 1)->text, "abcdef ");
}

/* The log holds a term that the term file does not: the file was lost or is older. Nobody is voted
 * for. */
Test(raft_storage, an_older_term_file_is_found_at_start)
{
    cluster_add(&c, 1, NULL, NULL);
    cluster_elect(&c, 1);
    cluster_crash(&c, 1);
    cluster_at(&c, 1)->disk.term = 0;
    cluster_at(&c, 1)->disk.vote = 0;
    cluster_boot(&c, 1);
    for (int i = 0; i < 10; i++) {
        cluster_run(&c, 1);
    }
    cr_assert_eq(cluster_at(&c, 1)->last_status, KVR_FCORRUPT);
}

/* FAULTS 30: the n-th write fails, whichever it is: the member is finished, the others are not. */
Test(raft_storage, any_failing_write_ends_the_member_and_nothing_acknowledged_is_lost)
{
    for (uint64_t id = 1; id <= 3; id++) {
        for (uint32_t nth = 0; nth < 4; nth++) {
            cluster_add(&c, 3, NULL, NULL);
            cluster_elect(&c, 2);
            char command[] = "a";
            for (uint32_t i = 0; i < 6; i++, command[0]++) {
                if (i == nth) {
                    cluster_at(&c, id)->disk.fault = KVR_EIO;
                }
                if (cluster_status(&c, 2).role == KVR_ROLE_LEADER) {
                    cr_assert_eq(cluster_propose(&c, 2, command), KVR_OK);
                }
                cluster_stabilize(&c);
            }
            cr_assert_eq(cluster_status(&c, id).role, KVR_ROLE_FAILED);
            char acknowledged[64];
            snprintf(acknowledged, sizeof acknowledged, "%s", cluster_at(&c, 2)->text);
            for (int i = 0; i < 60; i++) {
                cluster_tick(&c, 100 * CLUSTER_MS);
                cluster_stabilize(&c);
            }
            uint64_t leader = cluster_leader(&c);
            cr_assert_neq(leader, 0);
            cr_assert_neq(leader, id);
            cr_assert_eq(cluster_propose(&c, leader, "z"), KVR_OK);
            cluster_stabilize(&c);
            cr_assert(strncmp(cluster_at(&c, leader)->text, acknowledged, strlen(acknowledged)) ==
                      0);
            cr_assert(strstr(cluster_at(&c, leader)->text, "z ") != NULL);
            cluster_release(&c);
            cluster_init(&c);
        }
    }
}

/* Nothing is acknowledged, and no vote given, from the failing write on. */
Test(raft_storage, a_failed_member_says_nothing_more)
{
    cluster_add(&c, 3, NULL, NULL);
    cluster_elect(&c, 1);
    cr_assert_eq(cluster_propose(&c, 1, "a"), KVR_OK);
    cluster_run(&c, 1);
    cluster_deliver(&c, (cluster_filter){.to = 3});
    cluster_at(&c, 3)->disk.fault = KVR_EIO;
    cluster_run(&c, 3);
    for (int i = 0; i < 40; i++) {
        cluster_tick(&c, 100 * CLUSTER_MS);
        cr_assert_eq(cluster_count(&c, (cluster_filter){.from = 3}), 0);
        cluster_deliver(&c, (cluster_filter){0});
    }
}

/* A snapshot at start is shown to a state machine that holds less, before any entry. */
Test(raft_storage, start_from_a_snapshot_installs_it_first)
{
    cluster_add(&c, 1, NULL, NULL);
    cluster_elect(&c, 1);
    cr_assert_eq(cluster_propose(&c, 1, "a"), KVR_OK);
    cr_assert_eq(cluster_propose(&c, 1, "b"), KVR_OK);
    cluster_stabilize(&c);
    cr_assert_eq(cluster_compact(&c, 1, 1), KVR_OK);
    cr_assert_eq(cluster_propose(&c, 1, "c"), KVR_OK);
    cluster_stabilize(&c);
    cluster_crash(&c, 1);
    cluster_start(&c, 1);

    cr_assert_str_eq(cluster_at(&c, 1)->text, "a b ");
    cluster_stabilize(&c);
    cr_assert_str_eq(cluster_at(&c, 1)->text, "a b c ");
    cr_assert_eq(cluster_status(&c, 1).incarnation, 2);
}

/* A state machine that survives restarts by itself says so, and is not given again what it
 * holds. */
Test(raft_storage, state_machine_that_holds_something_goes_on_from_there)
{
    cluster_add(&c, 1, NULL, NULL);
    cluster_elect(&c, 1);
    cr_assert_eq(cluster_propose(&c, 1, "a"), KVR_OK);
    cr_assert_eq(cluster_propose(&c, 1, "b"), KVR_OK);
    cluster_stabilize(&c);
    cluster_crash(&c, 1);
    cluster_at(&c, 1)->config.applied_index = 2;
    cluster_start(&c, 1);
    cluster_at(&c, 1)->applied = 2;

    cluster_elect(&c, 1);

    cr_assert_str_eq(cluster_at(&c, 1)->text, "b ");
}

/* The log in memory is small though the log is long: older entries come out of storage when they
 * are needed. */
Test(raft_storage, entries_no_longer_in_memory_are_read_back)
{
    cluster_add(&c, 3, NULL, NULL);
    cluster_elect(&c, 1);
    for (uint64_t id = 1; id <= 3; id++) {
        cluster_at(&c, id)->raft->config.log_memory_bytes = 4096;
        cluster_at(&c, id)->raft->evict_position = 0;
        cluster_at(&c, id)->raft->config.message_bytes_max = 2000;
        cluster_at(&c, id)->raft->config.inflight_bytes_max = 8192;
    }
    cluster_isolate(&c, 3, true);
    char command[32] = "command of a few bytes 000";
    for (int i = 0; i < 900; i++) {
        command[23] = (char)('0' + i / 100);
        command[24] = (char)('0' + i / 10 % 10);
        command[25] = (char)('0' + i % 10);
        cr_assert_eq(cluster_propose(&c, 1, command), KVR_OK);
        cluster_stabilize(&c);
        if (i % 50 == 0) {
            cluster_tick(&c, 100 * CLUSTER_MS);
        }
    }
    const kvr__raft_log *raft_log = &cluster_at(&c, 1)->raft->log;
    cr_assert_gt(raft_log->base_index, 300);
    cr_assert_eq(cluster_status(&c, 1).first_index, 1);
    cr_assert_eq(cluster_status(&c, 1).snapshot_index, 0);

    cluster_isolate(&c, 3, false);
    for (int i = 0; i < 5; i++) {
        cluster_tick(&c, 100 * CLUSTER_MS);
        cluster_stabilize(&c);
    }

    cr_assert_str_eq(cluster_at(&c, 3)->text, cluster_at(&c, 1)->text);
    cr_assert_eq(cluster_status(&c, 3).snapshot_index, 0, "no snapshot was needed");
}

/* The same across a change of leader: the new one looks for the end of the common log below its
 * memory. */
Test(raft_storage, conflict_below_memory_is_found_by_reading_back)
{
    cluster_add(&c, 3, NULL, NULL);
    cluster_elect(&c, 3);
    cluster_isolate(&c, 3, true);
    for (int i = 0; i < 30; i++) {
        cr_assert_eq(cluster_propose(&c, 3, "never committed"), KVR_OK);
        cluster_run(&c, 3);
    }
    for (int i = 0; i < 40; i++) {
        cluster_tick(&c, 100 * CLUSTER_MS);
        cluster_stabilize(&c);
    }
    uint64_t leader = cluster_leader(&c);
    cr_assert_neq(leader, 3);
    cluster_at(&c, leader)->raft->config.log_memory_bytes = 2000;
    cluster_at(&c, leader)->raft->evict_position = 0;
    for (int i = 0; i < 300; i++) {
        cr_assert_eq(cluster_propose(&c, leader, "committed"), KVR_OK);
        cluster_stabilize(&c);
    }
    cr_assert_gt(cluster_at(&c, leader)->raft->log.base_index, 50);

    cluster_isolate(&c, 3, false);
    for (int i = 0; i < 40; i++) {
        cluster_tick(&c, 100 * CLUSTER_MS);
        cluster_stabilize(&c);
    }

    cr_assert_str_eq(cluster_at(&c, 3)->text, cluster_at(&c, 1)->text);
    cr_assert(strstr(cluster_at(&c, 3)->text, "never") == NULL);
}

/* The leader's question for entries that a follower lacks and memory has no longer. */
static kvr_store_request read_back(void)
{
    cluster_add(&c, 3, NULL, NULL);
    cluster_elect(&c, 1);
    cluster_at(&c, 1)->raft->config.log_memory_bytes = 1000;
    cluster_at(&c, 1)->raft->config.inflight_bytes_max = 1000;
    cluster_at(&c, 1)->raft->evict_position = 0;
    cluster_isolate(&c, 3, true);
    for (int i = 0; i < 200; i++) {
        cr_assert_eq(cluster_propose(&c, 1, "some command"), KVR_OK);
        cluster_stabilize(&c);
    }
    cluster_disk *disk = &cluster_at(&c, 1)->disk;
    disk->manual = true;
    cluster_isolate(&c, 3, false);
    for (int i = 0; i < 100 && disk->request_count == 0; i++) {
        cluster_tick(&c, i % 10 == 0 ? 100ULL * CLUSTER_MS : 0);
        cluster_deliver(&c, (cluster_filter){0});
    }
    cr_assert_eq(disk->request_count, 1);
    cr_assert_eq(disk->requests[0].request.kind, KVR_STORE_READ);
    disk->request_count = 0;
    return disk->requests[0].request;
}

/* Storage that gives other entries than were asked for, or damaged ones, or fails: the leader
 * stops. */
Test(raft_storage, what_is_read_back_is_judged)
{
    for (int fault = 0; fault < 4; fault++) {
        kvr_store_request request = read_back();
        const cluster_disk *disk = &cluster_at(&c, 1)->disk;
        kvr_store_result result = answer_to(&request);
        kvr_slice piece = {disk->entries[100].bytes, disk->entries[100].size};
        result.status = fault == 0 ? KVR_EIO : fault == 1 ? KVR_ECORRUPT : KVR_OK;
        result.pieces = &piece;
        result.piece_count = fault == 2; /* the wrong one; or none at all */

        kvr_status status = kvr_raft_storage_done(cluster_at(&c, 1)->raft, &result);

        cr_assert_eq(status, fault == 0 ? KVR_FSTORAGE : KVR_FCORRUPT, "fault %d", fault);
        cr_assert_neq(*kvr_raft_error(cluster_at(&c, 1)->raft), '\0');
        cluster_release(&c);
        cluster_init(&c);
    }
}

Test(raft_storage, entries_that_storage_lacks_memory_for_are_asked_for_again)
{
    kvr_store_request request = read_back();
    kvr_store_result none = answer_to(&request);
    none.status = KVR_ENOSPACE;

    cr_assert_eq(kvr_raft_storage_done(cluster_at(&c, 1)->raft, &none), KVR_OK);

    cluster_at(&c, 1)->disk.manual = false;
    for (int i = 0; i < 40; i++) {
        cluster_tick(&c, 100ULL * CLUSTER_MS);
        cluster_stabilize(&c);
    }
    cr_assert_eq(cluster_status(&c, 1).role, KVR_ROLE_LEADER);
    cr_assert_str_eq(cluster_at(&c, 3)->text, cluster_at(&c, 1)->text);
}

/* The same at the start, of the member's own log. */
Test(raft_storage, a_log_that_storage_lacks_memory_for_is_asked_for_again)
{
    cluster_add(&c, 1, NULL, NULL);
    cluster_elect(&c, 1);
    cr_assert_eq(cluster_propose(&c, 1, "kept"), KVR_OK);
    cluster_stabilize(&c);
    cluster_crash(&c, 1);
    cluster_disk *disk = &cluster_at(&c, 1)->disk;
    disk->manual = true;
    cluster_boot(&c, 1);
    cluster_run(&c, 1);
    cr_assert_eq(cluster_disk_complete(&c, 1, 1), 1); /* LOAD */
    cluster_run(&c, 1);
    cr_assert_eq(disk->request_count, 2);
    uint32_t read = disk->requests[0].request.kind == KVR_STORE_READ ? 0 : 1;
    cr_assert_eq(disk->requests[read].request.kind, KVR_STORE_READ);
    kvr_store_result none = answer_to(&disk->requests[read].request);
    none.status = KVR_ENOSPACE;
    disk->requests[0] = disk->requests[1 - read]; /* the vote waits on */
    disk->request_count = 1;

    cr_assert_eq(kvr_raft_storage_done(cluster_at(&c, 1)->raft, &none), KVR_OK);

    disk->manual = false;
    cluster_disk_complete(&c, 1, 1);
    cluster_stabilize(&c);
    cluster_elect(&c, 1);
    cr_assert_str_eq(cluster_at(&c, 1)->text, "kept ");
}

/* The leader's own snapshot cannot be read: it stops, and says why. */
Test(raft_storage, a_snapshot_that_cannot_be_read_ends_its_leader)
{
    cluster_add(&c, 3, NULL, NULL);
    cluster_elect(&c, 1);
    cluster_isolate(&c, 3, true);
    cr_assert_eq(cluster_propose(&c, 1, "abc"), KVR_OK);
    cluster_stabilize(&c);
    cr_assert_eq(cluster_compact(&c, 1, 0), KVR_OK);
    cluster_stabilize(&c);
    cluster_at(&c, 1)->disk.manual = true;
    cluster_isolate(&c, 3, false);
    cluster_disk *disk = &cluster_at(&c, 1)->disk;
    for (int i = 0; i < 100 && disk->request_count == 0; i++) {
        cluster_tick(&c, i % 10 == 0 ? 100ULL * CLUSTER_MS : 0);
        cluster_deliver(&c, (cluster_filter){0});
    }
    kvr_store_request request = disk->requests[0].request;
    cr_assert_eq(request.kind, KVR_STORE_SNAPSHOT_READ);
    disk->request_count = 0;
    kvr_store_result result = answer_to(&request);
    result.status = KVR_ECORRUPT;

    cr_assert_eq(kvr_raft_storage_done(cluster_at(&c, 1)->raft, &result), KVR_FCORRUPT);

    cr_assert_str_eq(kvr_raft_error(cluster_at(&c, 1)->raft), "reading a snapshot failed");
}

/* FAULTS 70: a chunk that says more than its snapshot has, or nothing, is refused before anything
 * is kept. */
Test(raft_storage, impossible_chunks_are_refused)
{
    const kvr_member members[] = {{.id = 1}, {.id = 2}, {.id = 3}};
    uint8_t tail[256];
    size_t configuration_size = kvr__raft_configuration_size(members, 3);
    kvr__raft_configuration_write(tail, members, 3);
    memset(tail + configuration_size, 'x', 100);
    const struct {
        uint64_t index, term, bytes, offset;
        size_t size;
        uint16_t flags;
        bool sound;
    } table[] = {
        {5, 1, 100, 0, 50, 0, true},   {0, 1, 100, 0, 50, 0, false},
        {5, 0, 100, 0, 50, 0, false},  {5, 2, 100, 0, 50, 0, false},
        {5, 1, 100, 101, 1, 0, false}, {5, 1, 100, 60, 50, 0, false},
        {5, 1, 100, 0, 0, 0, false},   {5, 1, 100, 0, 50, 1, false},
        {5, 1, 100, 50, 50, 0, false}, {5, 1, UINT64_MAX, UINT64_MAX, 50, 1, false},
    };
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        cluster_add(&c, 3, NULL, NULL);
        uint8_t body[KVR__RAFT_SNAPSHOT_SIZE];
        kvr__raft_snapshot_chunk chunk = {
            .meta = {.index = table[i].index, .term = table[i].term, .bytes = table[i].bytes},
            .offset = table[i].offset,
            .configuration_size = (uint32_t)configuration_size,
            .flags = table[i].flags,
        };
        kvr__raft_message_write_snapshot(body, &chunk);
        kvr_slice message =
            cluster_forge(&(cluster_forged){1,
                                            2,
                                            1,
                                            KVR__RAFT_SNAPSHOT,
                                            {body, sizeof body},
                                            {tail, configuration_size + table[i].size}});
        cr_assert_eq(kvr_raft_receive(cluster_at(&c, 2)->raft, &message),
                     table[i].sound ? KVR_OK : KVR_ECORRUPT, "row %zu", i);
        cr_assert_eq(cluster_at(&c, 2)->raft->incoming.active, table[i].sound, "row %zu", i);
        cluster_release(&c);
        cluster_init(&c);
    }
}

/* A snapshot whose bytes do not match its hash is not installed: the sender starts over. */
Test(raft_storage, damaged_snapshot_is_not_installed)
{
    cluster_add(&c, 3, NULL, NULL);
    cluster_elect(&c, 1);
    cluster_isolate(&c, 3, true);
    cr_assert_eq(cluster_propose(&c, 1, "abc"), KVR_OK);
    cluster_stabilize(&c);
    cr_assert_eq(cluster_compact(&c, 1, 0), KVR_OK);
    cluster_at(&c, 1)->disk.snapshot.bytes[0] ^= 1;
    cluster_isolate(&c, 3, false);
    for (int i = 0; i < 5; i++) {
        cluster_tick(&c, 100 * CLUSTER_MS);
        for (int step = 0; step < 20; step++) {
            cluster_run_all(&c);
            cluster_deliver(&c, (cluster_filter){0});
        }
    }
    cr_assert_eq(cluster_status(&c, 3).snapshot_index, 0);
    cr_assert_str_eq(cluster_at(&c, 3)->text, "");

    cluster_at(&c, 1)->disk.snapshot.bytes[0] ^= 1;
    for (int i = 0; i < 15; i++) {
        cluster_tick(&c, 100 * CLUSTER_MS);
        cluster_stabilize(&c);
    }

    cr_assert_str_eq(cluster_at(&c, 3)->text, "abc ");
}

/* Storage without memory says ENOSPACE to a read: nothing failed, the chunk is asked for again. */
Test(raft_storage, a_chunk_that_storage_lacks_memory_for_is_asked_for_again)
{
    cluster_add(&c, 3, NULL, NULL);
    cluster_elect(&c, 1);
    cluster_isolate(&c, 3, true);
    cr_assert_eq(cluster_propose(&c, 1, "a"), KVR_OK);
    cluster_stabilize(&c);
    cr_assert_eq(cluster_compact(&c, 1, 0), KVR_OK);
    cluster_stabilize(&c);
    cluster_isolate(&c, 3, false);
    cluster_disk *disk = &cluster_at(&c, 1)->disk;
    disk->manual = true;
    for (int i = 0; i < 10 && disk->request_count == 0; i++) {
        cluster_tick(&c, UINT64_C(100) * CLUSTER_MS);
        cluster_stabilize(&c);
    }
    cr_assert_eq(disk->request_count, 1);
    cr_assert_eq(disk->requests[0].request.kind, KVR_STORE_SNAPSHOT_READ);
    kvr_store_result none = {.size = sizeof none,
                             .status = KVR_ENOSPACE,
                             .group_id = CLUSTER_GROUP,
                             .token = disk->requests[0].request.token};
    disk->request_count = 0;

    cr_assert_eq(kvr_raft_storage_done(cluster_at(&c, 1)->raft, &none), KVR_OK);

    disk->manual = false;
    cluster_stabilize(&c);
    cr_assert_eq(cluster_status(&c, 1).role, KVR_ROLE_LEADER);
    for (int i = 0; i < 20; i++) {
        cluster_tick(&c, UINT64_C(100) * CLUSTER_MS);
        cluster_stabilize(&c);
    }
    cr_assert_str_eq(cluster_at(&c, 3)->text, "a ");
}
