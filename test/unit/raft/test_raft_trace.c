/* SPDX-License-Identifier: Apache-2.0 */
/* test_raft_trace.c: the trace alone, held against Raft: an observer that sees nothing but events
 * replays them as the specification's actions, as its trace validation does. What it could not
 * explain fails: a message received that nobody sent, a leader without votes, a commit without
 * acknowledgements, a term or commit that goes back. */
#include <criterion/criterion.h>
#include <string.h>

#include "base/random.h"
#include "raft/raft_internal.h"
#include "raft_cluster.h"

enum { MEMBERS = 3, SENT_MAX = 65536, TERMS_MAX = 512 };

typedef struct seen_member {
    uint64_t term;
    uint64_t commit;
    uint64_t durable;
    uint64_t votes_term; /* that it campaigns for, and who granted, a bit each */
    uint32_t votes;
    uint64_t match[MEMBERS + 1]; /* as leader of `term` */
} seen_member;

static cluster c;
static kvr_trace_event sent[SENT_MAX];
static uint32_t sent_count;
static seen_member seen[MEMBERS + 1];
static uint64_t leaders[TERMS_MAX];
static uint64_t commits;

static bool is_same_message(const kvr_trace_event *a, const kvr_trace_event *b)
{
    return a->member_id == b->peer && a->peer == b->member_id && a->message == b->message &&
           a->message_term == b->message_term && a->index == b->index &&
           a->message_log_term == b->message_log_term && a->message_commit == b->message_commit &&
           a->message_entries == b->message_entries && a->message_hint == b->message_hint &&
           a->message_refuses == b->message_refuses;
}

static void see_received(seen_member *m, const kvr_trace_event *event)
{
    bool was_sent = false;
    for (uint32_t i = 0; i < sent_count && !was_sent; i++) {
        was_sent = is_same_message(&sent[i], event);
    }
    cr_assert(was_sent, "member %llu receives what nobody sent",
              (unsigned long long)event->member_id);
    if (event->message == KVR__RAFT_VOTE_REPLY && event->message_refuses == 0 &&
        event->message_term == m->votes_term) {
        m->votes |= 1U << event->peer;
    }
    if (event->message == KVR__RAFT_APPEND_REPLY && event->message_refuses == 0 &&
        event->role == KVR_ROLE_LEADER && event->message_term == event->term &&
        event->index > m->match[event->peer]) {
        m->match[event->peer] = event->index;
    }
}

static void see_leader(const seen_member *m, const kvr_trace_event *event)
{
    uint32_t votes = 0;
    for (uint32_t i = 1; i <= MEMBERS; i++) {
        votes += (m->votes >> i & 1U) != 0;
    }
    cr_assert_eq(m->votes_term, event->term);
    cr_assert_gt(votes, MEMBERS / 2, "BecomeLeader");
    cr_assert_eq(event->vote, event->member_id);
    cr_assert(leaders[event->term] == 0 || leaders[event->term] == event->member_id,
              "two leaders of term %llu", (unsigned long long)event->term);
    leaders[event->term] = event->member_id;
}

static void see_commit(const seen_member *m, const kvr_trace_event *event)
{
    cr_assert_eq(event->commit, event->index);
    if (event->role != KVR_ROLE_LEADER) {
        return;
    }
    uint32_t have = m->durable >= event->index;
    for (uint32_t i = 1; i <= MEMBERS; i++) {
        have += i != event->member_id && m->match[i] >= event->index;
    }
    cr_assert_gt(have, MEMBERS / 2, "AdvanceCommitIndex");
    commits++;
}

static void see(const kvr_trace_event *event)
{
    seen_member *m = &seen[event->member_id];
    cr_assert_geq(event->term, m->term);
    cr_assert_geq(event->commit, m->commit);
    cr_assert_leq(event->commit, event->last_index);
    if (event->term > m->term || strcmp(event->name, "become-leader") == 0) {
        memset(m->match, 0, sizeof m->match);
    }
    m->term = event->term;
    m->commit = event->commit;
    if (strcmp(event->name, "send") == 0) {
        cr_assert_lt(sent_count, SENT_MAX);
        sent[sent_count++] = *event;
    } else if (strcmp(event->name, "receive") == 0) {
        see_received(m, event);
    } else if (strcmp(event->name, "become-candidate") == 0) {
        m->votes_term = event->term;
        m->votes = 1U << event->member_id;
    } else if (strcmp(event->name, "become-leader") == 0) {
        see_leader(m, event);
    } else if (strcmp(event->name, "commit") == 0) {
        see_commit(m, event);
    } else if (strcmp(event->name, "durable") == 0 || strcmp(event->name, "load") == 0) {
        m->durable = event->index;
    } else if (strcmp(event->name, "truncate") == 0) {
        m->durable = m->durable < event->index ? m->durable : event->index - 1;
    } else if (strcmp(event->name, "replicate") == 0) {
        cr_assert_eq(event->role, KVR_ROLE_LEADER);
        cr_assert_eq(event->index, event->last_index);
    }
}

static void tune(kvr_raft_config *config)
{
    config->trace = 2;
}

Test(raft_trace, explains_all_that_happens)
{
    kvr__random chance;
    kvr__random_init(&chance, 1);
    cluster_init(&c);
    c.on_trace = see;
    cluster_add(&c, MEMBERS, NULL, tune);
    for (int i = 0; i < 1500; i++) {
        uint64_t id = 1 + kvr__random_below(&chance, MEMBERS);
        uint64_t dice = kvr__random_below(&chance, 100);
        if (dice < 3) {
            kvr_status status = kvr_raft_campaign(cluster_at(&c, id)->raft);
            cr_assert_eq(status, KVR_OK);
        } else if (dice < 5) {
            cluster_isolate(&c, id, true);
        } else if (dice < 10) {
            memset(c.cut, 0, sizeof c.cut);
        } else if (dice < 30) {
            (void)cluster_propose(&c, id, "x");
        } else if (dice < 40) {
            c.now += kvr__random_below(&chance, 300) * CLUSTER_MS;
        } else if (dice < 70) {
            cluster_run(&c, id);
        } else if (dice < 73 && c.message_count > 0) {
            cluster_deliver_number(&c, 0, true);
        } else {
            cluster_deliver(&c, (cluster_filter){.count = 3});
        }
    }
    cr_assert_gt(commits, 20);
    cr_assert_gt(sent_count, 200);
    cluster_release(&c);
}

static uint32_t messages_told;
static uint32_t told;

static void count(const kvr_trace_event *event)
{
    told++;
    messages_told += event->message != 0;
}

/* Without messages asked for, none is told. */
Test(raft_trace, tells_messages_only_if_asked)
{
    cluster_init(&c);
    c.on_trace = count;
    cluster_add(&c, MEMBERS, NULL, NULL);
    cluster_elect(&c, 1);
    cr_assert_eq(messages_told, 0);
    cr_assert_gt(told, 0);
    cluster_release(&c);
}
