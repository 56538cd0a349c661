/* SPDX-License-Identifier: Apache-2.0 */
/* test_check_store.c: a state machine that strays from the log, answers wrongly or shows another
 * store is seen; so are histories that no single order explains, and leases that end too early or
 * too late. */
#include <criterion/criterion.h>
#include <string.h>

#include "check_fixture.h"

static void setup(void)
{
    fixture_setup();
    say_begun(1);
}

TestSuite(check_store, .init = setup, .fini = fixture_teardown);
TestSuite(check_history, .init = setup, .fini = fixture_teardown);
TestSuite(check_lease, .init = setup, .fini = fixture_teardown);

static const char value[] = "value";

static kvr_slice slice(const char *text)
{
    return (kvr_slice){(const uint8_t *)text, strlen(text)};
}

static uint64_t put(uint64_t sequence, const char *key)
{
    kvr_slice command = command_put(sequence, key, value, 0);
    return commit_command(&command);
}

/* What a sound member says at the last index. */
static kvr_node_status sound_status(void)
{
    check_store_advance(&store);
    const store_point *point = &store.points[store.applied];
    kvr_node_status status = {.size = sizeof status};
    status.hash_index = store.applied;
    status.hash_chain = 77;
    status.hash_live = 88;
    status.store.revision = point->revision;
    status.store.compacted = point->compacted;
    status.store.hash_chain = point->store_chain;
    status.lease.leases = point->lease_count;
    return status;
}

/* ------------------------------------------------------------------ members */

Test(check_store, a_sound_member_passes)
{
    (void)put(1, "a");
    kvr_node_status status = sound_status();

    check_store_status(&store, 0, &status);
    check_store_status(&store, 1, &status);

    EXPECT_NONE();
    cr_assert_eq(status.store.revision, 2);
}

Test(check_store, K1_another_revision_than_the_log_makes)
{
    (void)put(1, "a");
    kvr_node_status status = sound_status();
    status.store.revision++;
    check_store_status(&store, 0, &status);
    EXPECT_VIOLATION("K1");
}

Test(check_store, K1_another_chain_at_the_same_revision)
{
    (void)put(1, "a");
    kvr_node_status status = sound_status();
    status.store.hash_chain++;
    check_store_status(&store, 0, &status);
    EXPECT_VIOLATION("K1");
}

Test(check_store, K1_applied_beyond_what_is_committed)
{
    kvr_node_status status = sound_status();
    status.hash_index++;
    check_store_status(&store, 0, &status);
    EXPECT_VIOLATION("K1");
}

/* FAULTS 92: a lease that one member still has. */
Test(check_store, K1_another_count_of_leases)
{
    kvr_node_status status = sound_status();
    status.lease.leases++;
    check_store_status(&store, 0, &status);
    EXPECT_VIOLATION("K1");
}

Test(check_store, K1_a_command_that_does_not_decode)
{
    uint8_t bytes[8] = {1};
    kvr_slice command = {bytes, sizeof bytes};
    (void)commit_command(&command);
    EXPECT_VIOLATION("K1");
}

/* FAULTS 106: the same command twice in the log changes the model once. */
Test(check_store, K1_a_repetition_that_was_executed_twice)
{
    (void)put(1, "a");
    (void)put(1, "a");
    kvr_node_status status = sound_status();
    cr_assert_eq(status.store.revision, 2);
    status.store.revision = 3;
    check_store_status(&store, 0, &status);
    EXPECT_VIOLATION("K1");
}

/* FAULTS 96, 97 */
Test(check_store, K6_two_members_tell_two_hashes)
{
    (void)put(1, "a");
    kvr_node_status status = sound_status();
    check_store_status(&store, 0, &status);
    status.hash_live++;
    check_store_status(&store, 1, &status);
    EXPECT_VIOLATION("K6");
}

/* ------------------------------------------------------------------ reads */

static kvr_kv kv_of_put(uint64_t revision)
{
    return (kvr_kv){.key = slice("a"),
                    .value = slice(value),
                    .create_revision = 2,
                    .mod_revision = revision,
                    .version = revision - 1};
}

Test(check_store, what_is_read_is_what_was_there)
{
    (void)put(1, "a");
    (void)put(2, "a");
    kvr_slice key = slice("a");
    kvr_kv first = kv_of_put(2);
    kvr_kv second = kv_of_put(3);

    check_store_read(&store, 0, 1, &key, NULL);
    check_store_read(&store, 0, 2, &key, &first);
    check_store_read(&store, 0, 3, &key, &second);

    EXPECT_NONE();
}

/* FAULTS 93 */
Test(check_store, K2_a_revision_that_goes_back)
{
    (void)put(1, "a");
    kvr_node_status status = sound_status();
    check_store_status(&store, 0, &status);
    EXPECT_NONE();
    status.store.revision--;
    check_store_status(&store, 0, &status);
    EXPECT_VIOLATION("K2");
}

/* FAULTS 102 */
Test(check_store, K2_a_compaction_is_forgotten)
{
    (void)put(1, "a");
    kvr_slice command = command_numbers(WIRE_COMMAND_COMPACT, 2, 2, 0);
    (void)commit_command(&command);
    kvr_node_status status = sound_status();
    cr_assert_eq(status.store.compacted, 2);
    check_store_status(&store, 0, &status);
    EXPECT_NONE();
    status.store.compacted = 0;
    check_store_status(&store, 0, &status);
    EXPECT_VIOLATION("K2");
}

Test(check_store, K3_a_key_is_older_than_its_creation)
{
    (void)put(1, "a");
    kvr_slice key = slice("a");
    kvr_kv kv = kv_of_put(1);
    kv.create_revision = kv.mod_revision + 1;
    check_store_read(&store, 0, 2, &key, &kv);
    EXPECT_VIOLATION("K3");
}

Test(check_store, K3_more_versions_than_revisions)
{
    (void)put(1, "a");
    kvr_slice key = slice("a");
    kvr_kv kv = kv_of_put(1);
    kv.version = 2;
    check_store_read(&store, 0, 2, &key, &kv);
    EXPECT_VIOLATION("K3");
}

Test(check_store, K3_a_lease_that_nobody_granted)
{
    (void)put(1, "a");
    kvr_slice key = slice("a");
    kvr_kv kv = kv_of_put(1);
    kv.lease = 77;
    check_store_read(&store, 0, 2, &key, &kv);
    EXPECT_VIOLATION("K3");
}

Test(check_store, K4_an_old_value_at_a_new_revision)
{
    (void)put(1, "a");
    (void)put(2, "a");
    kvr_slice key = slice("a");
    kvr_kv first = kv_of_put(2);
    check_store_read(&store, 0, 3, &key, &first);
    EXPECT_VIOLATION("K4");
}

Test(check_store, K4_a_key_that_is_not_shown)
{
    (void)put(1, "a");
    kvr_slice key = slice("a");
    check_store_read(&store, 0, 2, &key, NULL);
    EXPECT_VIOLATION("K4");
}

Test(check_store, K4_a_revision_that_does_not_exist)
{
    kvr_slice key = slice("a");
    check_store_read(&store, 0, 2, &key, NULL);
    EXPECT_VIOLATION("K4");
}

Test(check_store, K4_a_view_that_lacks_a_key)
{
    (void)put(1, "a");
    (void)put(2, "b");
    kvr_mvcc_config config;
    kvr_mvcc *other;
    kvr_mvcc_view *view;
    kvr_op op = op_put("a", value);
    kvr_op again = op_put("c", value);
    cr_assert_eq(kvr_mvcc_config_init(&config, sizeof config), KVR_OK);
    cr_assert_eq(kvr_mvcc_new(&config, &other), KVR_OK);
    cr_assert_eq(kvr_mvcc_apply(other, &op, NULL), KVR_OK);
    cr_assert_eq(kvr_mvcc_apply(other, &again, NULL), KVR_OK);
    cr_assert_eq(kvr_mvcc_view_open(other, &view), KVR_OK);

    check_store_view(&store, 0, view, 2);
    EXPECT_NONE();
    check_store_view(&store, 0, view, 4);
    EXPECT_NONE(); /* EFUTURE, as it must */
    check_store_view(&store, 0, view, 3);
    EXPECT_VIOLATION("K4");

    kvr_mvcc_view_free(view);
    kvr_mvcc_free(other);
}

/* ------------------------------------------------------------------ histories */

static history_call begin_put(const char *key)
{
    kvr_op op = op_put(key, value);
    history_call call = {.kind = KVR_CALL_WRITE, .asked = store_digest_write(&op)};
    check_history_invoke(&history, &call);
    return call;
}

static const kvr_op_result put_answer = {.kind = KVR_OP_PUT};

static void end_put(const history_call *call, uint64_t index, uint64_t revision)
{
    kvr_completion completion = answer_write(index, revision, &put_answer);
    check_history_complete(&history, call, &completion);
}

Test(check_history, an_honest_history_passes)
{
    history_call first = begin_put("a");
    history_call second = begin_put("b");
    uint64_t b = put(1, "b");
    uint64_t a = put(2, "a");
    end_put(&first, a, 3);
    end_put(&second, b, 2);
    check_history_end(&history);
    EXPECT_NONE();
    cr_assert_eq(history.done_count, 2);
}

Test(check_history, H1_a_write_stands_before_one_that_was_answered_before_it_began)
{
    uint64_t early = put(1, "a");
    uint64_t late = put(2, "b");
    history_call first = begin_put("b");
    end_put(&first, late, 3);
    history_call second = begin_put("a");
    end_put(&second, early, 2);
    EXPECT_VIOLATION("H1");
}

/* FAULTS 12, 41, 42 */
Test(check_history, H1_a_linear_read_is_older_than_what_was_answered)
{
    uint64_t index = put(1, "a");
    history_call write = begin_put("a");
    end_put(&write, index, 2);
    history_call read = {.kind = KVR_CALL_READ_LINEAR};
    check_history_invoke(&history, &read);
    kvr_completion completion = {.kind = KVR_CALL_READ_LINEAR, .revision = 1};
    check_history_complete(&history, &read, &completion);
    EXPECT_VIOLATION("H1");
}

/* FAULTS 45 */
Test(check_history, H1_a_lease_read_is_older_than_what_was_answered)
{
    uint64_t index = put(1, "a");
    history_call write = begin_put("a");
    end_put(&write, index, 2);
    history_call read = {.kind = KVR_CALL_READ_LEASE};
    check_history_invoke(&history, &read);
    kvr_completion completion = {.kind = KVR_CALL_READ_LEASE, .revision = 1};
    check_history_complete(&history, &read, &completion);
    EXPECT_VIOLATION("H1");
}

/* A copy may be old, and has to say so: by a clock that is a tenth slow it is older than it
 * says. */
Test(check_history, H4_a_copy_is_older_than_it_says)
{
    const uint64_t second = 1000000000;
    history.drift_ppm = 100000;
    uint64_t index = put(1, "a");
    history_call write = begin_put("a");
    history.now_ns = 10 * second;
    end_put(&write, index, 2);
    history_call read = {.kind = KVR_CALL_READ_STALE, .invoked_ns = 20 * second};
    check_history_invoke(&history, &read);
    kvr_completion completion = {
        .kind = KVR_CALL_READ_STALE, .revision = 1, .stale_ns = UINT64_MAX};
    check_history_complete(&history, &read, &completion);
    completion.stale_ns = 9 * second + 1;
    check_history_complete(&history, &read, &completion);
    EXPECT_NONE();
    completion.stale_ns = 9 * second - second / 100;
    check_history_complete(&history, &read, &completion);
    EXPECT_VIOLATION("H4");
}

Test(check_history, H1_two_linear_reads_go_back)
{
    (void)put(1, "a");
    history_call read = {.kind = KVR_CALL_READ_LINEAR};
    kvr_completion completion = {.kind = KVR_CALL_READ_LINEAR, .revision = 2};
    check_history_invoke(&history, &read);
    check_history_complete(&history, &read, &completion);
    EXPECT_NONE();
    check_history_invoke(&history, &read);
    completion.revision = 1;
    check_history_complete(&history, &read, &completion);
    EXPECT_VIOLATION("H1");
}

Test(check_history, H2_an_answer_names_an_entry_that_is_not_there)
{
    history_call call = begin_put("a");
    end_put(&call, 9, 2);
    EXPECT_VIOLATION("H2");
}

Test(check_history, H2_an_answer_names_an_entry_that_asks_for_something_else)
{
    uint64_t index = put(1, "b");
    history_call call = begin_put("a");
    end_put(&call, index, 2);
    EXPECT_VIOLATION("H2");
}

Test(check_history, H3_one_entry_answers_two_calls)
{
    history_call first = begin_put("a");
    history_call second = begin_put("a");
    uint64_t index = put(1, "a");
    end_put(&first, index, 2);
    end_put(&second, index, 2);
    EXPECT_VIOLATION("H3");
}

Test(check_history, H6_what_was_refused_stands_in_the_log)
{
    history_call call = begin_put("a");
    call.is_unique = true;
    kvr_completion completion = answer_write(0, 0, NULL);
    completion.outcome = KVR_OUTCOME_REFUSED;
    check_history_complete(&history, &call, &completion);
    EXPECT_NONE();
    (void)put(1, "a");
    check_history_end(&history);
    EXPECT_VIOLATION("H6");
}

Test(check_history, what_is_unknown_may_go_either_way)
{
    history_call first = begin_put("a");
    history_call second = begin_put("b");
    first.is_unique = true;
    second.is_unique = true;
    kvr_completion completion = answer_write(0, 0, NULL);
    completion.outcome = KVR_OUTCOME_UNKNOWN;
    check_history_complete(&history, &first, &completion);
    check_history_complete(&history, &second, &completion);
    (void)put(1, "a");
    check_history_end(&history);
    EXPECT_NONE();
}

Test(check_history, H3_an_attempt_is_executed_twice)
{
    history_call call = begin_put("a");
    call.is_unique = true;
    kvr_completion completion = answer_write(0, 0, NULL);
    completion.outcome = KVR_OUTCOME_UNKNOWN;
    check_history_complete(&history, &call, &completion);
    (void)put(1, "a");
    (void)put(2, "a"); /* as another command */
    check_history_end(&history);
    EXPECT_VIOLATION("H3");
}

Test(check_history, T1_another_revision_than_the_log_gives)
{
    history_call call = begin_put("a");
    uint64_t index = put(1, "a");
    end_put(&call, index, 3);
    EXPECT_VIOLATION("T1");
}

Test(check_history, T1_another_answer_than_the_log_gives)
{
    history_call call = begin_put("a");
    uint64_t index = put(1, "a");
    kvr_op_result wrong = {.kind = KVR_OP_PUT, .count = 1};
    kvr_completion completion = answer_write(index, 2, &wrong);
    check_history_complete(&history, &call, &completion);
    EXPECT_VIOLATION("T1");
}

Test(check_history, T1_another_status_than_the_log_gives)
{
    history_call call = begin_put("a");
    uint64_t index = put(1, "a");
    kvr_completion completion = answer_write(index, 2, NULL);
    completion.status = KVR_ENOLEASE;
    check_history_complete(&history, &call, &completion);
    EXPECT_VIOLATION("T1");
}

/* ------------------------------------------------------------------ leases */

enum { LEASE = 7, TTL = 1000000000 };

static void grant_at(uint64_t sequence, uint64_t now_ns)
{
    ghosts->now_ns = now_ns;
    kvr_slice command = command_numbers(WIRE_COMMAND_GRANT, sequence, LEASE, TTL);
    uint64_t index = commit_command(&command);
    history_call call = {.kind = KVR_CALL_LEASE_GRANT, .invoked_ns = now_ns, .lease = LEASE};
    call.asked = store_digest_number(WIRE_COMMAND_GRANT, LEASE);
    check_history_invoke(&history, &call);
    kvr_completion completion = {
        .kind = KVR_CALL_LEASE_GRANT, .index = index, .revision = 1, .lease = LEASE, .ttl_ns = TTL};
    check_history_complete(&history, &call, &completion);
    check_lease_complete(&leases, &call, &completion);
    EXPECT_NONE();
}

static void revoke_at(uint64_t sequence, uint64_t now_ns, bool by_leader)
{
    ghosts->now_ns = now_ns;
    kvr_slice command = command_numbers(WIRE_COMMAND_REVOKE, sequence, LEASE, by_leader ? 1 : 0);
    (void)commit_command(&command);
}

static void keep_alive(uint64_t now_ns, kvr_status status, uint64_t ttl_ns)
{
    history_call call = {.kind = KVR_CALL_LEASE_KEEP_ALIVE, .invoked_ns = now_ns, .lease = LEASE};
    check_history_invoke(&history, &call);
    kvr_completion completion = {.kind = KVR_CALL_LEASE_KEEP_ALIVE,
                                 .status = status,
                                 .lease = LEASE,
                                 .ttl_ns = ttl_ns,
                                 .remaining_ns = ttl_ns};
    check_lease_complete(&leases, &call, &completion);
}

Test(check_lease, a_lease_that_ends_when_its_time_is_up_passes)
{
    grant_at(1, 100);
    keep_alive(TTL / 2, KVR_OK, TTL);
    revoke_at(2, TTL / 2 + TTL, true);
    check_lease_ended(&leases);
    EXPECT_NONE();
    cr_assert_eq(store.live_leases, 0);
}

Test(check_lease, L2_a_lease_ends_before_its_time)
{
    grant_at(1, 100);
    revoke_at(2, TTL / 2, true);
    check_lease_ended(&leases);
    EXPECT_VIOLATION("L2");
}

/* FAULTS 121 */
Test(check_lease, L2_an_acknowledged_renewal_is_ignored)
{
    grant_at(1, 100);
    keep_alive(TTL / 2, KVR_OK, TTL);
    revoke_at(2, TTL + 200, true);
    check_lease_ended(&leases);
    EXPECT_VIOLATION("L2");
}

Test(check_lease, a_holder_may_end_it_early)
{
    grant_at(1, 100);
    revoke_at(2, 200, false);
    check_lease_ended(&leases);
    EXPECT_NONE();
}

/* FAULTS 122 */
Test(check_lease, L4_a_lease_that_nobody_renews_does_not_end)
{
    grant_at(1, 100);
    check_lease_quiet(&leases, 3 * (uint64_t)TTL, 2 * (uint64_t)TTL, TTL);
    EXPECT_NONE();
    check_lease_quiet(&leases, 13 * (uint64_t)TTL, 13 * (uint64_t)TTL, TTL);
    EXPECT_VIOLATION("L4");
}

/* FAULTS 124 */
Test(check_lease, L5_a_renewal_of_a_lease_that_was_over)
{
    grant_at(1, 100);
    revoke_at(2, 200, false);
    history.done_index = store.applied; /* somebody was told */
    keep_alive(300, KVR_OK, TTL);
    EXPECT_VIOLATION("L5");
}

Test(check_lease, L5_a_living_lease_is_denied)
{
    grant_at(1, 100);
    keep_alive(300, KVR_ENOLEASE, 0);
    EXPECT_VIOLATION("L5");
}

Test(check_lease, L5_another_ttl_than_was_granted)
{
    grant_at(1, 100);
    keep_alive(300, KVR_OK, TTL + 1);
    EXPECT_VIOLATION("L5");
}

/* FAULTS 125 */
Test(check_lease, L1_a_key_that_is_not_attached)
{
    grant_at(1, 100);
    kvr_slice command = command_put(2, "a", value, LEASE);
    (void)commit_command(&command);
    kvr_slice keys[] = {slice("a"), slice("b")};

    check_store_lease_keys(&store, 0, LEASE, 2, keys, 1);
    EXPECT_NONE();
    check_store_lease_keys(&store, 0, LEASE, 2, keys, 2);
    EXPECT_VIOLATION("L1");
}

Test(check_lease, the_keys_of_a_lease_go_with_it)
{
    grant_at(1, 100);
    kvr_slice command = command_put(2, "a", value, LEASE);
    (void)commit_command(&command);
    revoke_at(3, 300, false);
    kvr_slice key = slice("a");

    check_store_read(&store, 0, 3, &key, NULL);

    EXPECT_NONE();
    cr_assert_eq(store.model->revision, 3);
}
