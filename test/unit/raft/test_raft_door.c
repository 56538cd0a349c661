/* SPDX-License-Identifier: Apache-2.0 */
/* test_raft_door.c: raft.h as a caller meets it: each status that a function lists can be made to
 * happen, and afterwards the handle is as it was. */
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

TestSuite(raft_door, .init = setup, .fini = teardown);

static const kvr_member three[] = {{.id = 1}, {.id = 2}, {.id = 3}};

static kvr_raft_config good(void)
{
    kvr_raft_config config;
    cr_assert_eq(kvr_raft_config_init(&config, sizeof config), KVR_OK);
    config.cluster_id = 1;
    config.member_id = 1;
    config.members = three;
    config.member_count = 3;
    config.allocator = &test_alloc_table;
    config.allocator_ctx = &c.alloc;
    return config;
}

/* ------------------------------------------------------------------ config */

Test(raft_door, defaults_are_acceptable_once_the_ids_are_set)
{
    kvr_raft_config config;

    cr_assert_eq(kvr_raft_config_init(&config, sizeof config), KVR_OK);

    cr_assert_str_eq(kvr_raft_config_check(&config), "cluster_id is 0");
    config.cluster_id = 1;
    cr_assert_str_eq(kvr_raft_config_check(&config), "member_id is 0");
    config.member_id = 1;
    cr_assert_null(kvr_raft_config_check(&config));
    cr_assert_eq(config.election_ns, 1000000000);
    cr_assert_eq(config.heartbeat_ns, 100000000);
}

Test(raft_door, config_of_a_smaller_size_is_refused)
{
    kvr_raft_config config;

    cr_assert_eq(kvr_raft_config_init(&config, sizeof config - 1), KVR_EINVAL);
    cr_assert_eq(kvr_raft_config_init(NULL, sizeof config), KVR_EINVAL);
}

/* A caller of a later version may set fields that we do not know only to zero. */
Test(raft_door, config_of_a_later_version_may_not_ask_for_the_unknown)
{
    struct {
        kvr_raft_config config;
        uint64_t unknown;
    } later;
    memset(&later, 0, sizeof later);
    later.config = good();
    later.config.size = sizeof later;
    cr_assert_null(kvr_raft_config_check(&later.config));

    later.unknown = 1;

    cr_assert_not_null(kvr_raft_config_check(&later.config));
}

/* FAULTS 3: an id of 0 cannot get in. */
Test(raft_door, each_constraint_of_a_config_has_its_sentence)
{
    static uint8_t long_attributes[KVR__RAFT_ATTRIBUTES_MAX + 1];
    static kvr_member many[KVR__RAFT_MEMBERS_MAX + 1];
    const kvr_member zero[] = {{.id = 0}};
    const kvr_member twice[] = {{.id = 2}, {.id = 2}};
    const kvr_member role[] = {{.id = 1, .role = 3}};
    const kvr_member learners[] = {{.id = 1, .role = KVR_MEMBER_LEARNER}};
    const kvr_member attributes[] = {
        {.id = 1, .attributes = {long_attributes, sizeof long_attributes}}};
    const kvr_member null[] = {{.id = 1, .attributes = {NULL, 1}}};
    kvr_raft_config config;
#define REFUSED(set, sentence)                                      \
    do {                                                            \
        kvr_raft *raft = NULL;                                      \
        config = good();                                            \
        set;                                                        \
        cr_assert_str_eq(kvr_raft_config_check(&config), sentence); \
        cr_assert_eq(kvr_raft_new(&config, &raft), KVR_EINVAL);     \
    } while (0)
#define MEMBERS(list) config.members = (list), config.member_count = sizeof(list) / sizeof(list)[0]
    REFUSED(config.cluster_id = 0, "cluster_id is 0");
    REFUSED(config.member_id = 0, "member_id is 0");
    REFUSED(config.heartbeat_ns = config.election_ns / 2,
            "heartbeat_ns is not less than half of election_ns");
    REFUSED(config.election_ns = 3600000000001, "election_ns is above an hour");
    REFUSED(config.message_bytes_max = (64U << 20) + 1, "message_bytes_max is above 64 MiB");
    REFUSED(config.command_bytes_max = (64U << 20) + 1, "command_bytes_max is above 64 MiB");
    REFUSED(config.snapshot_chunk_bytes = (64U << 20) + 1, "snapshot_chunk_bytes is above 64 MiB");
    REFUSED(config.uncommitted_bytes_max = 1,
            "uncommitted_bytes_max is less than command_bytes_max");
    REFUSED(config.members = NULL, "members is NULL but member_count is not 0");
    REFUSED(MEMBERS(many), "member_count is above 64");
    REFUSED(MEMBERS(zero), "a member's id is 0");
    REFUSED(MEMBERS(twice), "members are not in ascending order of their ids, each once");
    REFUSED(MEMBERS(role), "a member's role is none of KVR_MEMBER_*");
    REFUSED(MEMBERS(learners), "no member is a voter");
    REFUSED(MEMBERS(attributes), "a member's attributes are above 64 KiB");
    REFUSED(MEMBERS(null), "a member's attributes are NULL but not empty");
#undef MEMBERS
#undef REFUSED
}

/* FAULTS 16: members of one seed draw different timeouts. */
Test(raft_door, members_with_one_seed_do_not_campaign_together)
{
    kvr_raft *rafts[3];
    uint64_t deadlines[3];
    for (uint64_t i = 0; i < 3; i++) {
        kvr_raft_config config = good();
        config.member_id = i + 1;
        cr_assert_eq(kvr_raft_new(&config, &rafts[i]), KVR_OK);
        kvr__raft_election_draw_timeout(rafts[i]);
        deadlines[i] = rafts[i]->election_deadline;
        cr_assert_geq(deadlines[i], config.election_ns);
        cr_assert_lt(deadlines[i], 2 * config.election_ns);
        kvr_raft_free(rafts[i]);
    }
    cr_assert_neq(deadlines[0], deadlines[1]);
    cr_assert_neq(deadlines[1], deadlines[2]);
    cr_assert_neq(deadlines[0], deadlines[2]);
}

/* ------------------------------------------------------------------ readies */

Test(raft_door, ready_must_be_ended_before_the_next)
{
    cluster_add(&c, 1, NULL, NULL);
    kvr_raft *raft = cluster_at(&c, 1)->raft;
    const kvr_raft_ready *ready = NULL;
    cr_assert_eq(kvr_raft_ready_get(raft, 0, &ready), KVR_OK);

    cr_assert_eq(kvr_raft_ready_get(raft, 0, &ready), KVR_ESTATE);

    kvr_raft_advance(raft);
    cr_assert_eq(kvr_raft_ready_get(raft, 0, &ready), KVR_OK);
    kvr_raft_advance(raft);
    kvr_raft_advance(raft); /* once too often does no harm */
}

/* Intake is legal while a ready is shown, and changes nothing of what it shows. */
Test(raft_door, intake_does_not_disturb_a_shown_ready)
{
    cluster_add(&c, 3, NULL, NULL);
    cluster_elect(&c, 1);
    kvr_raft *raft = cluster_at(&c, 1)->raft;
    cr_assert_eq(cluster_propose(&c, 1, "first"), KVR_OK);
    const kvr_raft_ready *ready = NULL;
    cr_assert_eq(kvr_raft_ready_get(raft, c.now, &ready), KVR_OK);
    cr_assert_eq(ready->message_count, 2);
    uint8_t copy[256];
    size_t size = ready->messages[0].bytes.size;
    cr_assert_leq(size, sizeof copy);
    memcpy(copy, ready->messages[0].bytes.data, size);

    for (int i = 0; i < 1000; i++) {
        cr_assert_eq(cluster_propose(&c, 1, "more of the same, to make arrays grow"), KVR_OK);
        if (i < 200) {
            cr_assert_eq(kvr_raft_read_index(raft, (uint64_t)i), KVR_OK);
        }
    }

    cr_assert_arr_eq(copy, ready->messages[0].bytes.data, size);
    cr_assert_eq(ready->request_count, 1);
    cr_assert_eq(ready->requests[0].entry_count, 1);
    cluster_member *m = cluster_at(&c, 1); /* let the fixture finish what it did not see begin */
    m->disk.requests[m->disk.request_count++].request = ready->requests[0];
    kvr_raft_advance(raft);
    cluster_disk_complete(&c, 1, UINT32_MAX);
    cluster_stabilize(&c);
    cr_assert(strncmp(cluster_at(&c, 1)->text, "first ", 6) == 0);
}

Test(raft_door, deadline_is_now_if_there_is_work_and_the_next_timer_if_not)
{
    cluster_add(&c, 3, NULL, NULL);
    kvr_raft *raft = cluster_at(&c, 1)->raft;
    cluster_run(&c, 1);
    cr_assert_not(kvr_raft_has_ready(raft));
    uint64_t deadline = kvr_raft_deadline(raft);
    cr_assert_geq(deadline, 1000000000);
    cr_assert_lt(deadline, 2000000000);

    cr_assert_eq(kvr_raft_campaign(raft), KVR_OK);

    cr_assert(kvr_raft_has_ready(raft));
    cr_assert_eq(kvr_raft_deadline(raft), c.now);
    cluster_stabilize(&c);
    cr_assert_eq(kvr_raft_deadline(raft), c.now + 100 * CLUSTER_MS);
}

/* ------------------------------------------------------------------ statuses */

Test(raft_door, proposals_are_refused_with_what_stands_in_their_way)
{
    static uint8_t big[100000];
    kvr_raft_proposal proposal = {.index = 77};
    kvr_slice command = {big, sizeof big};
    kvr_slice wrong = {NULL, 1};
    cluster_add(&c, 3, NULL, NULL);
    kvr_raft *raft = cluster_at(&c, 1)->raft;
    raft->config.command_bytes_max = 60000;
    raft->config.uncommitted_bytes_max = 100000;

    cr_assert_eq(kvr_raft_propose(raft, &command, &proposal), KVR_ENOLEADER);
    cluster_elect(&c, 1);
    cr_assert_eq(kvr_raft_propose(raft, &wrong, &proposal), KVR_EINVAL);
    cr_assert_eq(kvr_raft_propose(raft, &command, &proposal), KVR_ETOOBIG);
    cr_assert_eq(proposal.index, 77);
    command.size = 60000;
    cr_assert_eq(kvr_raft_propose(raft, &command, &proposal), KVR_OK);
    cr_assert_eq(proposal.index, 2);
    cr_assert_eq(proposal.term, 1);
    cr_assert_eq(kvr_raft_propose(raft, &command, &proposal), KVR_EBUSY);
    cluster_stabilize(&c);
    cr_assert_eq(kvr_raft_propose(raft, &command, &proposal), KVR_OK, "FAULTS 33: room is back");
    cluster_at(&c, 2)->raft->config.command_bytes_max = 10;
    cr_assert_eq(kvr_raft_propose(cluster_at(&c, 2)->raft, &command, &proposal), KVR_ETOOBIG);
    cluster_stabilize(&c);
}

/* FAULTS 33: what is uncommitted is a difference of positions; at rest it is nothing, so that there
 * is room for another as large as the limit. */
Test(raft_door, uncommitted_bytes_are_zero_at_rest)
{
    cluster_add(&c, 3, NULL, NULL);
    cluster_elect(&c, 1);
    kvr_raft *raft = cluster_at(&c, 1)->raft;
    raft->config.uncommitted_bytes_max = 1000;
    for (int i = 0; i < 50; i++) {
        cr_assert_eq(cluster_propose(&c, 1, "xxxxxxxxxx"), KVR_OK);
        if (i % 7 == 0) {
            cluster_stabilize(&c);
        }
    }
    cluster_stabilize(&c);

    cr_assert_eq(kvr__raft_log_bytes(&raft->log, raft->commit + 1, raft->log.last_index), 0);
}

/* DESIGN: a leader refuses when a quorum would run out, by what followers say with their
 * answers. */
Test(raft_door, proposals_are_refused_before_a_quorum_is_full)
{
    cluster_add(&c, 3, NULL, NULL);
    cluster_elect(&c, 1);
    cluster_at(&c, 2)->disk.free_bytes = 100;
    cr_assert_eq(cluster_propose(&c, 1, "a"), KVR_OK);
    cluster_stabilize(&c);
    cr_assert_eq(cluster_propose(&c, 1, "b"), KVR_OK, "one of three may be full");
    cluster_at(&c, 3)->disk.free_bytes = 100;
    cluster_stabilize(&c);

    cr_assert_eq(cluster_propose(&c, 1, "0123456789012345678901234567890123456789012345"),
                 KVR_ENOSPACE);
    cr_assert_eq(cluster_propose(&c, 1, "c"), KVR_OK, "a small one still fits");
    cluster_stabilize(&c);
}

/* Room that returns while nothing is written is found: what a disk said is not believed for
 * ever. */
Test(raft_door, room_that_returned_is_found_though_nothing_was_written)
{
    const char *big = "0123456789012345678901234567890123456789012345";
    cluster_add(&c, 3, NULL, NULL);
    cluster_elect(&c, 1);
    for (uint64_t id = 1; id <= 3; id++) {
        cluster_at(&c, id)->disk.free_bytes = 70;
    }
    cr_assert_eq(cluster_propose(&c, 1, "a"), KVR_OK);
    cluster_stabilize(&c);
    cr_assert_eq(cluster_propose(&c, 1, big), KVR_ENOSPACE);
    for (uint64_t id = 1; id <= 3; id++) {
        cluster_at(&c, id)->disk.free_bytes = UINT64_MAX;
    }
    for (int i = 0; i < 12; i++) {
        cluster_tick(&c, 100ULL * CLUSTER_MS);
        cluster_stabilize(&c);
    }

    cr_assert_eq(cluster_propose(&c, 1, big), KVR_OK);

    cluster_stabilize(&c);
    cr_assert_eq(cluster_status(&c, 3).commit_index, 3);
}

/* FAULTS 15: a learner is refused. */
Test(raft_door, campaign_needs_a_loaded_voter)
{
    const uint8_t roles[] = {KVR_MEMBER_VOTER, KVR_MEMBER_LEARNER, KVR_MEMBER_WITNESS};
    cluster_add(&c, 3, roles, NULL);

    cr_assert_eq(kvr_raft_campaign(cluster_at(&c, 2)->raft), KVR_ESTATE);
    cr_assert_eq(kvr_raft_campaign(cluster_at(&c, 3)->raft), KVR_ESTATE);
    cluster_crash(&c, 1);
    cluster_boot(&c, 1);
    cr_assert_eq(kvr_raft_campaign(cluster_at(&c, 1)->raft), KVR_ESTATE);
}

Test(raft_door, applied_index_must_have_been_handed_out)
{
    cluster_add(&c, 3, NULL, NULL);
    cluster_at(&c, 1)->applies_later = true;
    cluster_elect(&c, 1);
    kvr_raft *raft = cluster_at(&c, 1)->raft;

    cr_assert_eq(kvr_raft_applied(raft, 2), KVR_EINVAL);
    cr_assert_eq(kvr_raft_applied(raft, 1), KVR_OK);
    cr_assert_eq(kvr_raft_applied(raft, 1), KVR_OK);
    cr_assert_eq(kvr_raft_applied(raft, 0), KVR_EINVAL);
}

/* FAULTS 62: only what was applied can be in a snapshot. */
Test(raft_door, snapshot_must_be_of_applied_entries_and_newer)
{
    cluster_add(&c, 3, NULL, NULL);
    cluster_elect(&c, 1);
    cr_assert_eq(cluster_propose(&c, 1, "a"), KVR_OK);
    cluster_stabilize(&c);
    kvr_raft *raft = cluster_at(&c, 1)->raft;
    kvr_snapshot_meta meta = {.index = 2, .term = 1};
    cr_assert_eq(kvr_raft_configuration(raft, 2, &meta.configuration), KVR_OK);
    kvr_snapshot_meta wrong = meta;

    wrong.index = 3;
    cr_assert_eq(kvr_raft_snapshotted(raft, &wrong, 0), KVR_EINVAL);
    wrong.index = 0;
    cr_assert_eq(kvr_raft_snapshotted(raft, &wrong, 0), KVR_EINVAL);
    wrong = meta;
    wrong.term = 2;
    cr_assert_eq(kvr_raft_snapshotted(raft, &wrong, 0), KVR_EINVAL);
    wrong = meta;
    wrong.configuration.size--;
    cr_assert_eq(kvr_raft_snapshotted(raft, &wrong, 0), KVR_EINVAL);
    cr_assert_eq(cluster_status(&c, 1).snapshot_index, 0);
    cr_assert_eq(cluster_compact(&c, 1, 0), KVR_OK);
    cr_assert_eq(cluster_status(&c, 1).snapshot_index, 2);
    cr_assert_eq(cluster_compact(&c, 1, 0), KVR_EINVAL);
}

Test(raft_door, configuration_is_told_from_applied_to_last)
{
    cluster_add(&c, 3, NULL, NULL);
    cluster_elect(&c, 1);
    kvr_slice encoded;
    kvr_member member;
    kvr_raft *raft = cluster_at(&c, 1)->raft;

    cr_assert_eq(kvr_raft_configuration(raft, 0, &encoded), KVR_ENOTFOUND);
    cr_assert_eq(kvr_raft_configuration(raft, 2, &encoded), KVR_ENOTFOUND);
    cr_assert_eq(kvr_raft_configuration(raft, 1, &encoded), KVR_OK);
    cr_assert_eq(kvr_configuration_member(&encoded, 2, &member), KVR_OK);
    cr_assert_eq(member.id, 3);
}

static kvr_slice heartbeat(uint64_t from, uint64_t term, const uint8_t *body)
{
    return cluster_forge(&(cluster_forged){
        from, 2, term, KVR__RAFT_HEARTBEAT, {body, KVR__RAFT_HEARTBEAT_SIZE}, {NULL, 0}});
}

/* FAULTS 54: of another cluster, another group, to another member, damaged, of itself. */
Test(raft_door, messages_of_strangers_are_counted_and_dropped)
{
    uint8_t body[KVR__RAFT_HEARTBEAT_SIZE];
    kvr__raft_message_write_heartbeat(body, &(kvr__raft_heartbeat){0});
    cluster_add(&c, 3, NULL, NULL);
    kvr_raft *raft = cluster_at(&c, 2)->raft;
    const struct {
        uint32_t at;
        kvr_status status;
    } wrong[] = {{16, KVR_EMISMATCH}, {24, KVR_EMISMATCH}, {40, KVR_EMISMATCH}, {0, KVR_ECORRUPT}};
    for (int i = 0; i < 4; i++) {
        kvr_slice message = heartbeat(1, 1, body);
        ((uint8_t *)message.data)[wrong[i].at] ^= 1;
        if (wrong[i].at != 0) {
            kvr__raft_message_seal((uint8_t *)message.data, (uint32_t)message.size);
        }
        cr_assert_eq(kvr_raft_receive(raft, &message), wrong[i].status);
        cr_assert_eq(cluster_status(&c, 2).bad_messages, (uint64_t)i + 1);
    }
    kvr_slice own = heartbeat(2, 1, body);
    cr_assert_eq(kvr_raft_receive(raft, &own), KVR_ECORRUPT);
    kvr_slice jump = heartbeat(1, (1ULL << 32) + 1, body);
    cr_assert_eq(kvr_raft_receive(raft, &jump), KVR_ECORRUPT);
    cr_assert_eq(cluster_status(&c, 2).term, 0);
}

Test(raft_door, posts_arrive_or_are_refused)
{
    static uint8_t big[KVR__RAFT_POST_BYTES_MAX + 1];
    kvr_slice body = {(const uint8_t *)"hello", 5};
    kvr_slice too_big = {big, sizeof big};
    cluster_add(&c, 3, NULL, NULL);
    kvr_raft *raft = cluster_at(&c, 1)->raft;

    cr_assert_eq(kvr_raft_post(raft, 1, 5, &body), KVR_EINVAL);
    cr_assert_eq(kvr_raft_post(raft, 0, 5, &body), KVR_EINVAL);
    cr_assert_eq(kvr_raft_post(raft, 2, 128, &body), KVR_EINVAL);
    cr_assert_eq(kvr_raft_post(raft, 2, 5, &too_big), KVR_ETOOBIG);
    cr_assert_eq(kvr_raft_post(raft, 2, 5, &body), KVR_OK);
    cluster_run(&c, 1);
    cluster_deliver(&c, (cluster_filter){0});
    const kvr_raft_ready *ready = NULL;
    cr_assert_eq(kvr_raft_ready_get(cluster_at(&c, 2)->raft, c.now, &ready), KVR_OK);

    cr_assert_eq(ready->post_count, 1);
    cr_assert_eq(ready->posts[0].from, 1);
    cr_assert_eq(ready->posts[0].type, 5);
    cr_assert_eq(ready->posts[0].body.size, 5);
    cr_assert(memcmp(ready->posts[0].body.data, "hello", 5) == 0);
    kvr_raft_advance(cluster_at(&c, 2)->raft);
}

/* Bounds: what does not fit is refused with a status. */
Test(raft_door, every_queue_has_its_bound)
{
    kvr_slice body = {(const uint8_t *)"x", 1};
    kvr_status status = KVR_OK;
    cluster_add(&c, 3, NULL, NULL);
    kvr_raft *raft = cluster_at(&c, 1)->raft;
    for (int i = 0; i < KVR__RAFT_OUTBOX_MAX; i++) {
        cr_assert_eq(kvr_raft_post(raft, 2, 1, &body), KVR_OK);
    }
    cr_assert_eq(kvr_raft_post(raft, 2, 1, &body), KVR_EBUSY);
    cluster_run(&c, 1);

    uint8_t post[KVR__RAFT_POST_SIZE];
    kvr__raft_message_write_post(post, 1);
    kvr_slice message = cluster_forge(
        &(cluster_forged){1, 2, 0, KVR__RAFT_POST, {post, sizeof post}, {(const uint8_t *)"x", 1}});
    for (int i = 0; i < KVR__RAFT_POSTS_MAX; i++) {
        cr_assert_eq(kvr_raft_receive(cluster_at(&c, 2)->raft, &message), KVR_OK);
    }
    cr_assert_eq(kvr_raft_receive(cluster_at(&c, 2)->raft, &message), KVR_EBUSY);
    cluster_drop(&c, (cluster_filter){0});
    cluster_run(&c, 2);

    cluster_elect(&c, 1);
    for (uint32_t i = 0; i < KVR__RAFT_READS_MAX; i++) {
        status = kvr_raft_read_index(raft, i);
        cr_assert_eq(status, KVR_OK);
    }
    cr_assert_eq(kvr_raft_read_index(raft, 1), KVR_EBUSY);
}

Test(raft_door, lease_clock_goes_on_from_the_highest_seen)
{
    cluster_add(&c, 3, NULL, NULL);
    kvr_raft_lease_clock_raise(cluster_at(&c, 2)->raft, 5000);
    kvr_raft_lease_clock_raise(cluster_at(&c, 2)->raft, 4000);
    cluster_elect(&c, 2);
    cr_assert_eq(cluster_status(&c, 2).lease_clock, 5000);
    cluster_tick(&c, 100ULL * CLUSTER_MS);
    cluster_stabilize(&c);

    cr_assert_eq(cluster_status(&c, 2).lease_clock, 5000 + 100 * CLUSTER_MS);
    cr_assert_eq(cluster_status(&c, 3).lease_clock, 5000 + 100 * CLUSTER_MS, "by the heartbeat");
    cluster_crash(&c, 2);
    cluster_tick(&c, 3000ULL * CLUSTER_MS);
    cluster_drop(&c, (cluster_filter){0});
    cluster_elect(&c, 3);
    cr_assert_eq(cluster_status(&c, 3).lease_clock, 5000 + 100 * CLUSTER_MS,
                 "time without a leader is not counted");
}

/* A leader that is cut off counts on until it notices. What the next one says counts, also for who
 * led before: else leases that were recorded in between would end early under him. */
Test(raft_door, a_deposed_leader_takes_over_the_clock_of_the_next_one)
{
    cluster_add(&c, 3, NULL, NULL);
    cluster_elect(&c, 1);
    cluster_isolate(&c, 1, true);
    cluster_tick(&c, 700ULL * CLUSTER_MS); /* nobody hears it */
    cr_assert_eq(cluster_status(&c, 1).role, KVR_ROLE_LEADER);
    cr_assert_eq(cluster_status(&c, 1).lease_clock, 700 * CLUSTER_MS);
    cluster_tick(&c, 2000ULL * CLUSTER_MS);
    cluster_elect(&c, 2);
    uint64_t clock = cluster_status(&c, 2).lease_clock;
    cr_assert_lt(clock, 700 * CLUSTER_MS);
    cluster_isolate(&c, 1, false);
    cluster_tick(&c, 100ULL * CLUSTER_MS);
    cluster_stabilize(&c);

    clock = cluster_status(&c, 2).lease_clock;
    cr_assert_eq(cluster_status(&c, 1).leader, 2);
    cr_assert_eq(cluster_status(&c, 1).lease_clock, clock);
}

Test(raft_door, status_of_an_older_size_is_filled_as_far_as_it_goes)
{
    kvr_raft_status status;
    memset(&status, 0xAA, sizeof status);
    status.size = 16;
    cluster_add(&c, 3, NULL, NULL);

    kvr_raft_get_status(cluster_at(&c, 1)->raft, &status);

    cr_assert_eq(status.role, KVR_ROLE_FOLLOWER);
    cr_assert_eq(status.voted_for, 0xAAAAAAAAAAAAAAAA);
}
