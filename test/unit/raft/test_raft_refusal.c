/* SPDX-License-Identifier: Apache-2.0 */
/* test_raft_refusal.c: what is refused at each door, one wrong thing at a time, and a member in
 * plain clothes: without counters, with little memory. What a refusal leaves is what was. */
#include <criterion/criterion.h>
#include <string.h>

#include "base/codec.h"
#include "raft/raft_draft.h"
#include "raft/raft_internal.h"
#include "raft_cluster.h"
#include "support/fault_sweep.h"

static cluster c;

static void setup(void)
{
    cluster_init(&c);
}

static void teardown(void)
{
    cluster_release(&c);
}

TestSuite(raft_refusal, .init = setup, .fini = teardown);

/* ------------------------------------------------------------------ configurations */

static const kvr_member three[] = {{.id = 1}, {.id = 2}, {.id = 3, .role = KVR_MEMBER_WITNESS}};

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

Test(raft_refusal, each_setting_out_of_its_bounds_has_its_sentence)
{
    const kvr_member flags[] = {{.id = 1, .flags = 2}};
    kvr_raft_counters counters = {.size = sizeof counters - 8};
    kvr_raft_config bad[] = {good(), good(), good(), good(), good(), good(), good()};
    const char *sentences[] = {
        "level is above 255",
        "quiet_ns is less than election_ns, and not 0",
        "lease_ns is less than 3 x heartbeat_ns, or above an hour",
        "lease_ns is less than 3 x heartbeat_ns, or above an hour",
        "data_copies_min is above the number of members that hold data",
        "a member's flags are none of KVR_MEMBER_PROMOTE",
        "counters is not NULL, but its size is not that of a kvr_raft_counters"};
    bad[0].level = 256;
    bad[1].quiet_ns = 1;
    bad[2].lease_ns = 3 * bad[2].heartbeat_ns - 1;
    bad[3].lease_ns = UINT64_C(3600000000001);
    bad[4].data_copies_min = 3;
    bad[5].members = flags;
    bad[5].member_count = 1;
    bad[6].counters = &counters;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        kvr_raft *raft = NULL;
        cr_assert_str_eq(kvr_raft_config_check(&bad[i]), sentences[i]);
        cr_assert_eq(kvr_raft_new(&bad[i], &raft), KVR_EINVAL);
        cr_assert_null(raft);
    }
    kvr_raft_config fine = good();
    cr_assert_not_null(kvr_raft_config_check(NULL));
    cr_assert_eq(kvr_raft_new(&fine, NULL), KVR_EINVAL);
    fine.data_copies_min = 2;
    fine.lease_ns = 3 * fine.heartbeat_ns;
    fine.quiet_ns = fine.election_ns;
    cr_assert_null(kvr_raft_config_check(&fine));
}

Test(raft_refusal, a_configuration_is_written_whole_or_not_at_all)
{
    static uint8_t long_bytes[KVR__RAFT_ATTRIBUTES_MAX + 1];
    const kvr_member wide[] = {{.id = 1, .attributes = {long_bytes, sizeof long_bytes}}};
    const kvr_member twice[] = {{.id = 2}, {.id = 2}};
    uint8_t out[256];
    size_t size = 0;

    cr_assert_neq(kvr_configuration_write(wide, 1, 0, out, sizeof out, &size), KVR_OK);
    cr_assert_eq(kvr_configuration_write(three, 3, 0, out, 16, &size), KVR_ETOOBIG);
    cr_assert_eq(kvr_configuration_write(twice, 2, 0, out, sizeof out, &size), KVR_EINVAL);
    cr_assert_eq(kvr_configuration_write(three, 3, 0, out, sizeof out, &size), KVR_OK);
}

/* ------------------------------------------------------------------ changes */

Test(raft_refusal, a_member_that_cannot_be_is_not_added)
{
    static uint8_t bytes[1 << 12];
    static const uint8_t long_bytes[KVR__RAFT_ATTRIBUTES_MAX + 1];
    kvr__raft_draft draft;
    kvr__raft_configuration_write(bytes, three, 3);
    kvr__raft_draft_read(&draft, (kvr_slice){bytes, kvr__raft_configuration_size(three, 3)});
    kvr_member_change flags = {.kind = KVR_CHANGE_ADD, .member = {.flags = 2}};
    kvr_member_change null = {.kind = KVR_CHANGE_ADD, .member = {.attributes = {NULL, 1}}};
    kvr_member_change wide = {.kind = KVR_CHANGE_ADD,
                              .member = {.attributes = {long_bytes, sizeof long_bytes}}};
    kvr_member_change remove = {.kind = KVR_CHANGE_REMOVE, .member = {.id = 2}};

    cr_assert_eq(kvr__raft_draft_change(&draft, &flags), KVR_EINVAL);
    cr_assert_eq(kvr__raft_draft_change(&draft, &null), KVR_EINVAL);
    cr_assert_eq(kvr__raft_draft_change(&draft, &wide), KVR_ETOOBIG);
    cr_assert_eq(kvr__raft_draft_change(&draft, &remove), KVR_OK);
    cr_assert_eq(kvr__raft_draft_change(&draft, &remove), KVR_ENOTFOUND, "it is gone already");
    draft.head.highest_id = UINT64_MAX;
    cr_assert_eq(kvr__raft_draft_change(&draft, &(kvr_member_change){.kind = KVR_CHANGE_ADD}),
                 KVR_EINVAL, "ids are used up");
    cr_assert_eq(draft.head.count, 3);
}

static kvr_status settings(uint32_t flags, uint64_t lease_ns, uint32_t copies)
{
    kvr_raft_changes changes = {
        .size = sizeof changes, .flags = flags, .lease_ns = lease_ns, .data_copies_min = copies};
    kvr_raft_proposal proposal;
    return kvr_raft_change(cluster_at(&c, 1)->raft, &changes, &proposal);
}

Test(raft_refusal, settings_are_judged_like_those_of_a_config)
{
    cluster_add(&c, 3, NULL, NULL);
    cluster_elect(&c, 1);

    cr_assert_eq(settings(KVR_CHANGES_LEASE, 1, 0), KVR_EINVAL);
    cr_assert_eq(settings(KVR_CHANGES_LEASE, UINT64_C(3600000000001), 0), KVR_EINVAL);
    cr_assert_eq(settings(KVR_CHANGES_COPIES, 0, 4), KVR_EQUORUM);
    cr_assert_eq(settings(KVR_CHANGES_LEAVE | KVR_CHANGES_COPIES, 0, 2), KVR_EINVAL);
    cr_assert_eq(settings(KVR_CHANGES_LEAVE, 0, 0), KVR_ESTATE, "there is nothing to leave");
    cr_assert_eq(settings(KVR_CHANGES_LEASE, 0, 0), KVR_OK);
    cr_assert_eq(settings(KVR_CHANGES_LEASE, 0, 0), KVR_EBUSY, "one at a time");
    cluster_stabilize(&c);
    cr_assert_eq(settings(KVR_CHANGES_COPIES, 0, 2), KVR_OK);
    cluster_stabilize(&c);
    cr_assert_eq(kvr_raft_transfer_leader(cluster_at(&c, 1)->raft, 2), KVR_OK);
    cr_assert_eq(settings(KVR_CHANGES_COPIES, 0, 1), KVR_EBUSY, "it hands over");
}

Test(raft_refusal, a_joint_configuration_that_stays_is_left_on_demand)
{
    cluster_add(&c, 3, NULL, NULL);
    cluster_elect(&c, 1);
    kvr_member_change demote = {.kind = KVR_CHANGE_DEMOTE, .member = {.id = 3}};
    cr_assert_eq(cluster_change(&c, 1, KVR_CHANGES_STAY, &demote, 1), KVR_OK);
    for (int i = 0; i < 5; i++) {
        cluster_tick(&c, UINT64_C(100) * CLUSTER_MS);
        cluster_stabilize(&c);
    }
    cr_assert_eq(cluster_status(&c, 2).joint, 1);
    cr_assert_eq(cluster_change(&c, 1, 0, &demote, 1), KVR_EBUSY);

    cr_assert_eq(settings(KVR_CHANGES_LEAVE, 0, 0), KVR_OK);
    cluster_stabilize(&c);

    cr_assert_eq(cluster_status(&c, 2).joint, 0);
    cr_assert_eq(cluster_status(&c, 2).member_role, KVR_MEMBER_VOTER);
    cr_assert_eq(cluster_status(&c, 3).member_role, KVR_MEMBER_LEARNER);
}

/* ------------------------------------------------------------------ after a failure */

Test(raft_refusal, a_member_that_failed_says_so_at_every_door)
{
    cluster_add(&c, 3, NULL, NULL);
    cluster_elect(&c, 1);
    cluster_member *m = cluster_at(&c, 1);
    m->disk.fault = KVR_EIO;
    cr_assert_eq(cluster_propose(&c, 1, "x"), KVR_OK);
    cluster_stabilize(&c);
    kvr_status failed = m->raft->failed;
    cr_assert_neq(failed, KVR_OK);
    kvr_slice body = {(const uint8_t *)"x", 1};
    kvr_snapshot_meta meta = {.index = 1, .term = 1};
    kvr_slice message = cluster_forge(
        &(cluster_forged){.from = 2, .to = 1, .term = 1, .type = KVR__RAFT_READ, .body = body});

    cr_assert_eq(cluster_propose(&c, 1, "x"), failed);
    cr_assert_eq(settings(KVR_CHANGES_LEASE, 0, 0), failed);
    cr_assert_eq(kvr_raft_post(m->raft, 2, 1, &body), failed);
    cr_assert_eq(kvr_raft_transfer_leader(m->raft, 2), failed);
    cr_assert_eq(kvr_raft_snapshotted(m->raft, &meta, 0), failed);
    cr_assert_eq(kvr_raft_campaign(m->raft), failed);
    cr_assert_eq(kvr_raft_read_index(m->raft, 1), failed);
    cr_assert_eq(kvr_raft_read_lease(m->raft, 1), failed);
    cr_assert_eq(kvr_raft_receive(m->raft, &message), failed);
    cr_assert_not(kvr_raft_has_ready(m->raft));
    cr_assert_eq(kvr_raft_deadline(m->raft), UINT64_MAX);
}

/* ------------------------------------------------------------------ messages */

/* Sound bytes of `type` whose body says its size, `argument` behind it, and nothing else. */
static kvr_status receive(cluster_forged forged, uint16_t body_size, uint8_t argument)
{
    uint8_t body[KVR__RAFT_SNAPSHOT_SIZE] = {0};
    kvr__store_u16(body, body_size);
    body[4] = argument;
    forged.body = (kvr_slice){body, body_size};
    kvr_slice message = cluster_forge(&forged);
    return kvr_raft_receive(cluster_at(&c, 1)->raft, &message);
}

static void no_counters(kvr_raft_config *config)
{
    config->counters = NULL;
}

/* What no member sends is counted and moves nothing, also by a member that keeps no counters. */
Test(raft_refusal, nonsense_is_counted_and_changes_nothing)
{
    static const uint8_t command[KVR__RAFT_FORWARD_ITEM_SIZE + 1] = {[8] = 1};
    const kvr_slice item = {command, sizeof command};
    const struct {
        cluster_forged forged;
        uint16_t body_size;
        uint8_t argument;
        kvr_status status;
    } bad[] = {
        {{0, 1, 1, KVR__RAFT_HEARTBEAT, {0}, {0}}, KVR__RAFT_HEARTBEAT_SIZE, 0, KVR_ECORRUPT},
        {{1, 1, 1, KVR__RAFT_HEARTBEAT, {0}, {0}}, KVR__RAFT_HEARTBEAT_SIZE, 0, KVR_ECORRUPT},
        {{2, 1, 0, KVR__RAFT_HEARTBEAT, {0}, {0}}, KVR__RAFT_HEARTBEAT_SIZE, 0, KVR_ECORRUPT},
        {{2, 1, 0, KVR__RAFT_APPEND, {0}, {0}}, KVR__RAFT_APPEND_SIZE, 0, KVR_ECORRUPT},
        {{2, 1, 0, KVR__RAFT_SNAPSHOT, {0}, {0}}, KVR__RAFT_SNAPSHOT_SIZE, 0, KVR_ECORRUPT},
        {{2, 1, 1, KVR__RAFT_POST, {0}, {0}}, KVR__RAFT_POST_SIZE, 200, KVR_ECORRUPT},
        {{2, 1, 1, KVR__RAFT_FORWARD, {0}, {0}}, KVR__RAFT_FORWARD_SIZE, 2, KVR_ECORRUPT},
        {{2, 1, 1, KVR__RAFT_FORWARD, {0}, item}, KVR__RAFT_FORWARD_SIZE, 1, KVR_ECORRUPT},
        {{2, 1, 1, KVR__RAFT_FORWARD, {0}, item}, KVR__RAFT_FORWARD_SIZE, 0, KVR_ECORRUPT},
        {{2, 1, 1, 99, {0}, {0}}, 8, 0, KVR_EVERSION},
        {{2, 3, 1, KVR__RAFT_HEARTBEAT, {0}, {0}}, KVR__RAFT_HEARTBEAT_SIZE, 0, KVR_EMISMATCH},
    };
    cluster_add(&c, 3, NULL, no_counters);
    cluster_elect(&c, 1);
    kvr_raft_status before = cluster_status(&c, 1);
    for (uint32_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        cr_assert_eq(receive(bad[i].forged, bad[i].body_size, bad[i].argument), bad[i].status, "%u",
                     i);
        kvr_raft_status after = cluster_status(&c, 1);
        cr_assert_eq(after.bad_messages, before.bad_messages + i + 1, "%u", i);
        cr_assert_eq(after.last_index, before.last_index);
        cr_assert_eq(after.term, before.term);
    }
    kvr_raft_proposal proposal;
    kvr_slice null = {NULL, 1};
    cr_assert_eq(kvr_raft_propose(cluster_at(&c, 1)->raft, &null, &proposal), KVR_EINVAL);
}

/* ------------------------------------------------------------------ everything at once, in need */

/* Two that hold data, a witness, and a learner that wants a vote; leases, small messages, a memory
 * that holds little of the log, and nobody counts. */
static void small(kvr_raft_config *config)
{
    config->counters = NULL;
    config->lease_ns = UINT64_C(300) * CLUSTER_MS;
    config->snapshot_chunk_bytes = 20;
    config->message_bytes_max = 300;
    config->log_memory_bytes = 300;
}

static void settle(int turns)
{
    for (int i = 0; i < turns; i++) {
        cluster_run_all(&c);
        cluster_deliver(&c, (cluster_filter){0});
    }
}

static void pass(int heartbeats)
{
    for (int i = 0; i < heartbeats; i++) {
        cluster_tick(&c, UINT64_C(100) * CLUSTER_MS);
        settle(20);
    }
}

static void prepare(void)
{
    static const uint8_t roles[] = {KVR_MEMBER_VOTER, KVR_MEMBER_VOTER, KVR_MEMBER_WITNESS,
                                    KVR_MEMBER_LEARNER};
    cluster_init(&c);
    cluster_add(&c, 4, roles, small);
    pass(12); /* nobody votes for one lease after the start */
    cluster_elect(&c, 1);
}

static void say(uint64_t id, const char *text, int times)
{
    for (int i = 0; i < times; i++) {
        (void)cluster_propose(&c, id, text);
    }
}

static void is_expected(kvr_status status)
{
    cr_assert(status == KVR_OK || status == KVR_ENOMEM || status == KVR_ENOLEADER ||
                  status == KVR_EBUSY || status == KVR_ESTATE || status == KVR_EBEHIND ||
                  status == KVR_EINVAL,
              "%s: %s", fault_text(), kvr_status_name(status));
}

static void live(void)
{
    kvr_slice body = {(const uint8_t *)"a post", 6};
    cluster_cut(&c, 1, 3, true); /* the witness falls behind what is in memory */
    cluster_cut(&c, 1, 4, true);
    say(1, "a command of some length, so that memory lets go of it", 8);
    settle(8);
    say(2, "forwarded", 2);
    say(4, "", 1);
    is_expected(kvr_raft_read_lease(cluster_at(&c, 1)->raft, 1));
    is_expected(kvr_raft_read_lease(cluster_at(&c, 2)->raft, 2));
    is_expected(kvr_raft_read_index(cluster_at(&c, 4)->raft, 3));
    is_expected(kvr_raft_post(cluster_at(&c, 1)->raft, 2, 3, &body));
    settle(8);
    cluster_cut(&c, 1, 3, false);
    cluster_cut(&c, 1, 4, false);
    pass(3);
    is_expected(cluster_change_one(&c, 1, KVR_CHANGE_UPDATE, 4, 0));
    settle(8);
    is_expected(cluster_change_one(&c, 1, KVR_CHANGE_PROMOTE, 4, 0));
    settle(8);
    is_expected(kvr_raft_transfer_leader(cluster_at(&c, 1)->raft, 2));
    pass(2);
    is_expected(cluster_change_one(&c, 2, KVR_CHANGE_REMOVE, 4, 0));
    pass(2);
}

static void go_on(void)
{
    pass(50);
    uint64_t leader = cluster_leader(&c);
    cr_assert_neq(leader, 0, "%s: no leader", fault_text());
    cr_assert_eq(cluster_propose(&c, leader, "end"), KVR_OK, "%s", fault_text());
    pass(10);
    cluster_check(&c);
    cr_assert_str_eq(cluster_at(&c, 1)->text, cluster_at(&c, 2)->text, "%s", fault_text());
    cr_assert_not_null(strstr(cluster_at(&c, 1)->text, "end "), "%s", fault_text());
    cluster_release(&c);
}

/* FAULTS 39: in a cluster of all roles too. */
Test(raft_refusal_memory, no_role_and_no_change_depends_on_an_allocation)
{
    FAULT_SWEEP(prepare(), live(), go_on());
}
