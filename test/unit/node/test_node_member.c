/* SPDX-License-Identifier: Apache-2.0 */
/* test_node_member.c: changes of the members as calls, under writes: from one member to five and
 * back, replaced members, joining by snapshot, and that done and refused are final whatever the
 * network does. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "node_cluster.h"
#include "support/fault_sweep.h"

static cluster c;

static void teardown(void)
{
    cluster_stop(&c);
}

TestSuite(node_member, .fini = teardown);

/* `founders` members that lead already, and room for `count`. */
static void start(uint32_t founders, uint32_t count)
{
    cluster_init(&c, count);
    c.founders = founders;
    for (uint32_t i = 0; i < founders; i++) {
        cluster_boot(&c, i);
    }
    (void)cluster_elect(&c);
}

static void expect_done(uint32_t call)
{
    cluster_expect(&c, call, KVR_OUTCOME_DONE, KVR_OK);
}

/* The configuration as text: "1 2 learner 3". */
static const char *members(uint32_t i)
{
    static char text[256];
    static const char *const roles[] = {"", " learner", " witness"};
    kvr_member found;
    size_t at = 0;
    text[0] = 0;
    for (uint32_t n = 0; kvr_node_member_get(c.members[i].node, n, &found) == KVR_OK; n++) {
        at += (size_t)snprintf(text + at, sizeof text - at, "%s%llu%s", n > 0 ? " " : "",
                               (unsigned long long)found.id, roles[found.role]);
    }
    return text;
}

static void put_number(uint32_t i, uint32_t number, uint32_t *out_call)
{
    char key[16];
    snprintf(key, sizeof key, "k%u", number);
    *out_call = cluster_put(&c, i, key, key);
}

/* Keeps writing at member 0 while `ns` pass; every write must be acknowledged. */
static uint32_t written;

static void write_for(uint64_t ns, uint32_t at)
{
    for (uint64_t end = c.now + ns; c.now < end;) {
        uint32_t call;
        put_number(at, written++, &call);
        cluster_pass(&c, 20 * MILLISECOND);
        for (int i = 0; i < 400 && !cluster_ended(&c, call); i++) {
            cluster_pass(&c, 20 * MILLISECOND);
        }
        expect_done(call);
    }
}

static void expect_all_written(uint32_t i)
{
    for (uint32_t n = 0; n < written; n++) {
        char key[16];
        snprintf(key, sizeof key, "k%u", n);
        cr_assert_str_eq(cluster_value(&c, i, key), key, "member %u", i + 1);
    }
}

/* FAULTS 57: from one member to three, to five, and back to one, without losing a write. */
Test(node_member, grows_from_one_to_five_and_shrinks_to_one_under_writes)
{
    written = 0;
    start(1, 5);
    write_for(200 * MILLISECOND, 0);
    for (uint32_t i = 1; i < 5; i++) {
        uint32_t call = cluster_change(&c, 0, KVR_CHANGE_ADD, 0, KVR_MEMBER_VOTER);
        cluster_pass(&c, 100 * MILLISECOND);
        expect_done(call);
        cr_assert_eq(c.calls[call].member, i + 1);
        cluster_boot(&c, i);
        write_for(1 * SECOND, 0);
        cr_assert_eq(cluster_status(&c, i).raft.member_role, KVR_MEMBER_VOTER, "member %u", i + 1);
    }
    cr_assert_str_eq(members(4), "1 2 3 4 5");
    cluster_pass(&c, 1 * SECOND);
    cluster_expect_same(&c);

    for (uint32_t i = 0; i < 4; i++) { /* the leader among them */
        uint32_t call = cluster_change(&c, 4, KVR_CHANGE_REMOVE, i + 1, 0);
        write_for(3 * SECOND, 4);
        expect_done(call);
        cr_assert_eq(cluster_status(&c, i).raft.removed, 1, "member %u", i + 1);
        cluster_crash(&c, i);
    }
    cr_assert_str_eq(members(4), "5");
    write_for(200 * MILLISECOND, 4);
    expect_all_written(4);
}

/* FAULTS 54: a member that lost its disk is replaced by one of another id; its own is never used
 * again. */
Test(node_member, a_member_is_replaced)
{
    written = 0;
    start(3, 4);
    write_for(500 * MILLISECOND, 0);
    uint32_t leader = cluster_leader(&c);
    uint32_t lost = (leader + 1) % 3;
    uint32_t asker = (leader + 2) % 3;
    cluster_crash(&c, lost);
    cluster_wipe(&c, lost);

    uint32_t add = cluster_change(&c, asker, KVR_CHANGE_ADD, 0, KVR_MEMBER_VOTER);
    cluster_pass(&c, 500 * MILLISECOND);
    expect_done(add);
    cluster_boot(&c, 3);
    write_for(2 * SECOND, asker);
    uint32_t remove = cluster_change(&c, asker, KVR_CHANGE_REMOVE, lost + 1, 0);
    write_for(500 * MILLISECOND, asker);
    expect_done(remove);
    uint32_t again = cluster_change(&c, asker, KVR_CHANGE_ADD, lost + 1, KVR_MEMBER_VOTER);
    cluster_pass(&c, 500 * MILLISECOND);

    cluster_expect(&c, again, KVR_OUTCOME_REFUSED, KVR_EEXIST);
    cr_assert_eq(cluster_status(&c, 3).raft.member_role, KVR_MEMBER_VOTER);
    cluster_pass(&c, 1 * SECOND);
    expect_all_written(3);
    cluster_expect_same(&c);
}

/* A new member of a cluster whose log is long gone gets a snapshot, then the rest. */
Test(node_member, joins_by_a_snapshot)
{
    written = 0;
    cluster_init(&c, 4);
    c.founders = 3;
    c.config.snapshot_entries = 20;
    c.config.snapshot_bytes_min = 1;
    c.config.keep_entries = 0;
    for (uint32_t i = 0; i < 3; i++) {
        cluster_boot(&c, i);
    }
    (void)cluster_elect(&c);
    write_for(2 * SECOND, 0);
    uint32_t call = cluster_change(&c, 1, KVR_CHANGE_ADD, 4, KVR_MEMBER_LEARNER);
    cluster_pass(&c, 200 * MILLISECOND);
    expect_done(call);

    cluster_boot(&c, 3);
    write_for(2 * SECOND, 0);
    cluster_pass(&c, 1 * SECOND);

    cr_assert_gt(cluster_status(&c, 3).snapshots_installed, 0);
    cr_assert_eq(cluster_status(&c, 3).raft.member_role, KVR_MEMBER_LEARNER);
    expect_all_written(3);
    cluster_expect_same(&c);
    uint32_t promote = cluster_change(&c, 3, KVR_CHANGE_PROMOTE, 4, 0);
    cluster_pass(&c, 200 * MILLISECOND);
    expect_done(promote);
    cr_assert_str_eq(members(3), "1 2 3 4");
}

/* FAULTS 51, at the door of the node: refused with what the leader says. */
Test(node_member, a_learner_that_is_behind_is_not_promoted)
{
    start(3, 4);
    uint32_t add = cluster_change(&c, 0, KVR_CHANGE_ADD, 0, KVR_MEMBER_LEARNER);
    cluster_pass(&c, 200 * MILLISECOND);
    expect_done(add);

    for (uint32_t i = 0; i < 3; i++) {
        uint32_t promote = cluster_change(&c, i, KVR_CHANGE_PROMOTE, 4, 0);
        cluster_pass(&c, 200 * MILLISECOND);
        cluster_expect(&c, promote, KVR_OUTCOME_REFUSED, KVR_EBEHIND);
    }
    cr_assert_str_eq(members(2), "1 2 3 4 learner");
}

/* A call whose way to the leader or back is lost for a while is asked again, and done once. */
Test(node_member, lost_asks_and_answers_are_repeated)
{
    start(3, 5);
    uint32_t leader = cluster_leader(&c);
    uint32_t asker = (leader + 1) % 3;
    c.drop_type = 14; /* posts */
    uint32_t add = cluster_change(&c, asker, KVR_CHANGE_ADD, 0, KVR_MEMBER_LEARNER);
    uint32_t remove = cluster_change(&c, asker, KVR_CHANGE_REMOVE, 9, 0);
    cluster_pass(&c, 2 * SECOND);
    cr_assert(!cluster_ended(&c, add));
    c.drop_type = 0;
    cluster_pass(&c, 3 * SECOND);
    expect_done(add);
    cluster_expect(&c, remove, KVR_OUTCOME_REFUSED, KVR_ENOTFOUND);
    cr_assert_str_eq(members(asker), "1 2 3 4 learner");
}

/* A leader that was asked and is lost with the change: done by the next one, or dead, and once. */
Test(node_member, a_change_outlives_its_leader)
{
    start(3, 5);
    uint32_t leader = cluster_leader(&c);
    uint32_t asker = (leader + 1) % 3;
    uint32_t add = cluster_change(&c, asker, KVR_CHANGE_ADD, 0, KVR_MEMBER_LEARNER);
    cluster_settle(&c);
    if (!cluster_ended(&c, add)) {
        c.members[leader].cut = true;
    }
    c.members[leader].cut = true;
    uint32_t second = cluster_change(&c, asker, KVR_CHANGE_ADD, 0, KVR_MEMBER_LEARNER);
    cluster_pass(&c, 4 * SECOND);
    c.members[leader].cut = false;
    cluster_pass(&c, 2 * SECOND);
    expect_done(add);
    expect_done(second);
    cr_assert_str_eq(members(asker), "1 2 3 4 learner 5 learner");
    cr_assert_str_eq(members(leader), "1 2 3 4 learner 5 learner");
}

/* Nobody leads: refused if it was never put to anybody, else unknown. */
Test(node_member, without_a_leader_it_ends_like_a_write)
{
    start(3, 3);
    uint32_t leader = cluster_leader(&c);
    uint32_t other = (leader + 1) % 3;
    uint32_t third = (leader + 2) % 3;
    c.members[other].cut = true;
    c.members[third].cut = true;
    uint32_t asked = cluster_change(&c, leader, KVR_CHANGE_REMOVE, third + 1, 0);
    cluster_pass(&c, 3 * SECOND);
    uint32_t never = cluster_change(&c, other, KVR_CHANGE_REMOVE, third + 1, 0);
    cluster_pass(&c, 10 * SECOND);
    cluster_expect(&c, asked, KVR_OUTCOME_UNKNOWN, KVR_EUNKNOWN);
    cluster_expect(&c, never, KVR_OUTCOME_REFUSED, KVR_ENOLEADER);
    c.members[other].cut = false;
    c.members[third].cut = false;
    (void)cluster_elect(&c);
}

/* Two joint changes, one after the other, with names and addresses; the completion waits until the
 * joint configuration has been left. */
Test(node_member, several_changes_are_one)
{
    start(3, 5);
    uint8_t bytes[128];
    size_t size = 0;
    kvr_member_attributes attributes = {.name = slice_of("five"),
                                        .peer_addresses = slice_of("tcp://a:1,tcp://b:1"),
                                        .client_addresses = slice_of("tcp://a:2")};
    cr_assert_eq(kvr_member_attributes_write(&attributes, bytes, sizeof bytes, &size), KVR_OK);
    kvr_member_change items[] = {
        {.kind = KVR_CHANGE_ADD, .member = {.id = 4, .role = KVR_MEMBER_LEARNER}},
        {.kind = KVR_CHANGE_ADD,
         .member = {.id = 5, .role = KVR_MEMBER_LEARNER, .attributes = {bytes, size}}}};
    kvr_raft_changes changes = {.size = sizeof changes, .change_count = 2, .changes = items};
    kvr_node_call options;
    uint32_t add = cluster_call(&c, &options, 0);
    cr_assert_eq(kvr_node_member_change(c.members[1].node, &options, &changes), KVR_OK);
    cluster_pass(&c, 200 * MILLISECOND);
    expect_done(add);
    cluster_boot(&c, 3);
    cluster_boot(&c, 4);
    cluster_pass(&c, 2 * SECOND);

    kvr_member_change swap[] = {{.kind = KVR_CHANGE_PROMOTE, .member = {.id = 4}},
                                {.kind = KVR_CHANGE_PROMOTE, .member = {.id = 5}},
                                {.kind = KVR_CHANGE_REMOVE, .member = {.id = 1}},
                                {.kind = KVR_CHANGE_REMOVE, .member = {.id = 2}}};
    changes.changes = swap;
    changes.change_count = 4;
    uint32_t joint = cluster_call(&c, &options, 0);
    cr_assert_eq(kvr_node_member_change(c.members[2].node, &options, &changes), KVR_OK);
    cluster_pass(&c, 5 * SECOND);

    expect_done(joint);
    cr_assert_str_eq(members(2), "3 4 5");
    kvr_member found;
    kvr_member_attributes read;
    cr_assert_eq(kvr_node_member_get(c.members[3].node, 2, &found), KVR_OK);
    cr_assert_eq(kvr_member_attributes_read(&found.attributes, &read), KVR_OK);
    cr_assert_eq(read.peer_addresses.size, 19);
    cr_assert(memcmp(read.name.data, "five", 4) == 0);
    uint32_t put = cluster_put(&c, 4, "a", "1");
    cluster_pass(&c, 3 * SECOND);
    expect_done(put);
}

/* FAULTS 52: an update changes names and addresses and nothing else. */
Test(node_member, an_update_keeps_the_role)
{
    start(3, 3);
    uint32_t add = cluster_change(&c, 0, KVR_CHANGE_ADD, 0, KVR_MEMBER_LEARNER);
    cluster_pass(&c, 200 * MILLISECOND);
    kvr_node_call options;
    kvr_slice attributes = slice_of("any bytes");
    uint32_t update = cluster_call(&c, &options, 0);
    cr_assert_eq(kvr_node_member_update(c.members[1].node, &options, 4, &attributes), KVR_OK);
    cluster_pass(&c, 200 * MILLISECOND);
    expect_done(add);
    expect_done(update);
    kvr_member found;
    cr_assert_eq(kvr_node_member_get(c.members[2].node, 3, &found), KVR_OK);
    cr_assert_eq(found.role, KVR_MEMBER_LEARNER);
    cr_assert_eq(found.attributes.size, 9);
    cr_assert_eq(kvr_node_member_get(c.members[2].node, 4, &found), KVR_END);
}

Test(node_member, calls_that_make_no_sense_are_not_taken)
{
    static uint8_t big[KVR_MEMBER_TEXT_MAX * 8];
    start(1, 1);
    kvr_node *node = c.members[0].node;
    kvr_slice too_big = {big, 60001};
    kvr_member_change change = {.kind = 9, .member = {.id = 1}};
    kvr_raft_changes changes = {.size = sizeof changes, .change_count = 1, .changes = &change};
    cr_assert_eq(kvr_node_member_change(node, NULL, &changes), KVR_EINVAL);
    changes.changes = NULL;
    cr_assert_eq(kvr_node_member_change(node, NULL, &changes), KVR_EINVAL);
    cr_assert_eq(kvr_node_member_change(node, NULL, NULL), KVR_EINVAL);
    cr_assert_eq(kvr_node_member_promote(node, NULL, 0), KVR_EINVAL);
    cr_assert_eq(kvr_node_member_update(node, NULL, 1, &too_big), KVR_ETOOBIG);
    cr_assert_eq(kvr_node_member_add(NULL, NULL, NULL), KVR_EINVAL);
}

/* ------------------------------------------------------------------ witness, removed */

/* Two that hold data and a witness: either of the two may be away, and nothing that was
 * acknowledged is lost; what the two copies are is told. */
Test(node_member, a_witness_carries_two_data_members)
{
    written = 0;
    cluster_init(&c, 3);
    c.founders = 3;
    c.witnesses = 4;
    for (uint32_t i = 0; i < 3; i++) {
        cluster_boot(&c, i);
    }
    uint32_t leader = cluster_elect(&c);
    cr_assert_neq(leader, 2);
    write_for(500 * MILLISECOND, leader);
    cr_assert_eq(cluster_status(&c, leader).raft.data_copies, 2);
    uint32_t other = 1 - leader;
    cluster_crash(&c, other);
    write_for(1 * SECOND, leader);
    cr_assert_eq(cluster_status(&c, leader).raft.data_copies, 1);
    cluster_boot(&c, other);
    cluster_pass(&c, 2 * SECOND);
    cluster_crash(&c, leader);
    cluster_pass(&c, 5 * SECOND);
    cr_assert_eq(cluster_leader(&c), other);
    write_for(500 * MILLISECOND, other);
    expect_all_written(other);
    cr_assert_str_eq(members(2), "1 2 3 witness");
    cr_assert_eq(cluster_status(&c, 2).hash_index, 0, "it applies nothing");
    cr_assert_eq(cluster_put(&c, 2, "a", "1"), c.call_count - 1);
    cluster_expect(&c, c.call_count - 1, KVR_OUTCOME_REFUSED, KVR_ESTATE);
    cluster_boot(&c, leader);
    cluster_pass(&c, 3 * SECOND);
    expect_all_written(leader);
    for (uint32_t n = 0; n < c.members[2].disk.last - c.members[2].disk.first + 1; n++) {
        const disk_entry *kept = &c.members[2].disk.entries[n];
        bool is_header = kept->size == KVR_ENTRY_HEADER_SIZE;
        cr_assert(is_header || kept->bytes[3] != KVR_ENTRY_COMMAND);
    }
}

Test(node_member, a_removed_member_takes_no_calls)
{
    start(3, 3);
    uint32_t leader = cluster_leader(&c);
    uint32_t gone = (leader + 1) % 3;
    uint32_t call = cluster_change(&c, leader, KVR_CHANGE_REMOVE, gone + 1, 0);
    cluster_pass(&c, 5 * SECOND);
    expect_done(call);
    uint64_t term = cluster_status(&c, leader).raft.term;
    uint32_t put = cluster_put(&c, gone, "a", "1");
    cluster_expect(&c, put, KVR_OUTCOME_REFUSED, KVR_EREMOVED);
    cluster_pass(&c, 30 * SECOND);
    cr_assert_eq(cluster_status(&c, leader).raft.term, term, "it disturbs nobody");
}

/* ------------------------------------------------------------------ a majority is lost */

static kvr_status recover(uint32_t from, uint32_t to, uint64_t cluster_id)
{
    kvr_node_config config = c.config;
    const kvr_member founders[] = {{.id = 1}, {.id = 2}, {.id = 3}};
    config.member_id = from + 1;
    config.members = founders;
    config.member_count = 3;
    kvr_node_recovery recovery = {.size = sizeof recovery,
                                  .cluster_id = cluster_id,
                                  .config = &config,
                                  .from = c.config.storage,
                                  .from_ctx = &c.members[from],
                                  .to = c.config.storage,
                                  .to_ctx = &c.members[to]};
    return kvr_node_recover(&recovery);
}

/* Moves a disk to another member's place. */
static void move_disk(uint32_t from, uint32_t to)
{
    cluster_wipe(&c, to);
    c.members[to].disk = c.members[from].disk;
    c.members[from].disk = (disk){.first = 1};
}

/* FAULTS 55: one survivor of three becomes a new cluster with all that it had, by its log or by its
 * snapshot and log; the members of before are not in it, and whoever was left behind is a
 * stranger. */
static void survive(uint64_t snapshot_entries)
{
    written = 0;
    cluster_init(&c, 5);
    c.founders = 3;
    c.config.snapshot_entries = snapshot_entries;
    c.config.snapshot_bytes_min = 1;
    for (uint32_t i = 0; i < 3; i++) {
        cluster_boot(&c, i);
    }
    uint32_t leader = cluster_elect(&c);
    write_for(1 * SECOND, leader);
    uint32_t grant = cluster_grant(&c, leader, 7, 3600 * SECOND);
    cluster_pass(&c, 1 * SECOND);
    expect_done(grant);
    uint32_t put = cluster_put_lease(&c, leader, "leased", "x", 7);
    cluster_pass(&c, 500 * MILLISECOND);
    expect_done(put);
    uint64_t revision = cluster_status(&c, leader).store.revision;
    uint32_t survivor = (leader + 1) % 3;
    for (uint32_t i = 0; i < 3; i++) {
        cluster_crash(&c, i);
    }

    c.members[4].disk.first = 1;
    cr_assert_eq(recover(survivor, 4, 78), KVR_OK);
    cr_assert_eq(recover(survivor, 4, 78), KVR_EEXIST, "the new storage is not new any more");

    move_disk(4, survivor);
    c.config.cluster_id = 78;
    c.founders = 0;
    cluster_boot(&c, survivor);
    cluster_pass(&c, 3 * SECOND);
    cr_assert_eq(cluster_leader(&c), survivor);
    expect_all_written(survivor);
    cr_assert_str_eq(cluster_value(&c, survivor, "leased"), "x");
    cr_assert_eq(cluster_status(&c, survivor).store.revision, revision);
    char alone[8];
    snprintf(alone, sizeof alone, "%u", survivor + 1);
    cr_assert_str_eq(members(survivor), alone);
    write_for(500 * MILLISECOND, survivor);

    /* those left behind, of the old cluster, are refused, and refuse */
    c.config.cluster_id = 77;
    c.founders = 3;
    cluster_boot(&c, leader);
    cluster_pass(&c, 5 * SECOND);
    cr_assert_eq(cluster_status(&c, leader).raft.leader, 0);
    cluster_crash(&c, leader);
    c.config.cluster_id = 78;
    c.founders = 0;

    uint32_t add = cluster_change(&c, survivor, KVR_CHANGE_ADD, leader + 1, KVR_MEMBER_VOTER);
    cluster_pass(&c, 500 * MILLISECOND);
    cluster_expect(&c, add, KVR_OUTCOME_REFUSED, KVR_EEXIST);
    add = cluster_change(&c, survivor, KVR_CHANGE_ADD, 0, KVR_MEMBER_VOTER);
    cluster_pass(&c, 500 * MILLISECOND);
    expect_done(add);
    cr_assert_eq(c.calls[add].member, 4);
    cluster_boot(&c, 3);
    cluster_pass(&c, 3 * SECOND);
    cluster_expect_same(&c);
    cr_assert_eq(cluster_status(&c, 3).raft.member_role, KVR_MEMBER_VOTER);
}

Test(node_member, one_survivors_log_becomes_a_new_cluster)
{
    survive(1000000);
}

Test(node_member, one_survivors_snapshot_becomes_a_new_cluster)
{
    survive(7);
}

Test(node_member, what_cannot_be_recovered_is_said)
{
    start(3, 5);
    for (uint32_t i = 0; i < 3; i++) {
        cluster_crash(&c, i);
    }
    c.members[4].disk.first = 1;
    c.members[3].disk.first = 1;
    cr_assert_eq(recover(0, 4, 77), KVR_EINVAL, "it needs a cluster id of its own");
    cr_assert_eq(recover(3, 4, 78), KVR_ENOTFOUND);
    c.members[4].disk.full = true;
    cr_assert_eq(recover(0, 4, 78), KVR_ENOSPACE);
    c.members[4].disk.full = false;
    c.members[0].disk.busy = true;
    cr_assert_eq(recover(0, 4, 78), KVR_EINVAL, "storage answers at once");
    cr_assert_eq(kvr_node_recover(NULL), KVR_EINVAL);
}

/* ------------------------------------------------------------------ attributes */

Test(node_attributes, come_back_as_they_were_and_nothing_else_does)
{
    uint8_t bytes[256];
    size_t size = 0;
    kvr_member_attributes read;
    kvr_member_attributes given = {.name = slice_of("n"), .client_addresses = slice_of("c")};
    cr_assert_eq(kvr_member_attributes_write(&given, bytes, sizeof bytes, &size), KVR_OK);
    kvr_slice whole = {bytes, size};
    cr_assert_eq(kvr_member_attributes_read(&whole, &read), KVR_OK);
    cr_assert_eq(read.name.size, 1);
    cr_assert_eq(read.peer_addresses.size, 0);
    cr_assert_eq(read.client_addresses.data[0], 'c');
    cr_assert_eq(kvr_member_attributes_write(&given, bytes, size - 1, &size), KVR_ETOOBIG);
    for (size_t cut = 1; cut < whole.size; cut++) {
        kvr_slice part = {bytes, cut};
        cr_assert_eq(kvr_member_attributes_read(&part, &read), KVR_ECORRUPT, "%zu bytes", cut);
    }
    bytes[2] = 2;
    cr_assert_eq(kvr_member_attributes_read(&whole, &read), KVR_EVERSION);
    kvr_slice none = {NULL, 0};
    cr_assert_eq(kvr_member_attributes_read(&none, &read), KVR_OK);
}

/* ------------------------------------------------------------------ memory */

static void prepare(void)
{
    start(3, 4);
}

static void act(void)
{
    uint32_t asker = (cluster_leader(&c) + 1) % 3;
    (void)cluster_change(&c, asker, KVR_CHANGE_ADD, 0, KVR_MEMBER_LEARNER);
    (void)cluster_change(&c, asker, KVR_CHANGE_REMOVE, 77, 0);
    cluster_pass(&c, 300 * MILLISECOND);
}

static void check(void)
{
    cluster_pass(&c, 12 * SECOND);
    for (uint32_t call = 0; call < c.call_count; call++) {
        cr_assert(cluster_ended(&c, call), "%s", fault_text());
    }
    uint32_t add = cluster_change(&c, cluster_leader(&c), KVR_CHANGE_ADD, 0, KVR_MEMBER_LEARNER);
    cluster_pass(&c, 1 * SECOND);
    cluster_expect(&c, add, KVR_OUTCOME_DONE, KVR_OK);
    cluster_stop(&c);
}

static void prepare_survivor(void)
{
    start(3, 5);
    uint32_t put = cluster_put(&c, cluster_leader(&c), "a", "1");
    cluster_pass(&c, 500 * MILLISECOND);
    expect_done(put);
    for (uint32_t i = 0; i < 3; i++) {
        cluster_crash(&c, i);
    }
    c.members[4].disk.first = 1;
}

static kvr_status recovered;

static void check_survivor(void)
{
    if (recovered != KVR_OK) {
        cr_assert_eq(recovered, KVR_ENOMEM, "%s: %s", fault_text(), kvr_status_name(recovered));
        cluster_wipe(&c, 4);
        cr_assert_eq(recover(0, 4, 78), KVR_OK, "%s", fault_text());
    }
    cr_assert_neq(c.members[4].disk.snapshot.meta.index, 0);
    cluster_stop(&c);
}

/* Each allocation of a recovery fails: it says so, and can be done again. */
Test(node_member_memory, a_recovery_survives_any_allocation_that_fails)
{
    FAULT_SWEEP(prepare_survivor(), recovered = recover(0, 4, 78), check_survivor());
}

/* Each allocation of a change fails: it is done later, or refused, and never half. */
Test(node_member_memory, a_change_survives_any_allocation_that_fails)
{
    FAULT_SWEEP(prepare(), act(), check());
}
