/* SPDX-License-Identifier: Apache-2.0 */
/* raft_ghost.c: what has ever been true in a test's cluster, kept outside the library, and the
 * promises of FAULTS.md 3.1 that can be checked from outside: R1, R4, R5, R7, R8, R9 and, over
 * whole logs, R3. */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "base/checksum.h"
#include "raft/raft_internal.h"
#include "raft_cluster_internal.h"

enum { TERMS_MAX = 4096, INDEX_MAX = 65536 };

typedef struct ghost_entry {
    uint64_t term;
    uint64_t hash;
} ghost_entry;

struct cluster_ghost {
    uint64_t leaders[TERMS_MAX];    /* by term */
    ghost_entry applied[INDEX_MAX]; /* by index, once and for all */
    uint64_t applied_max;
    uint64_t term_max; /* of any leader that ever was */
    struct {
        uint64_t term;
        uint64_t vote;
        uint64_t commit;
    } members[CLUSTER_MEMBERS_MAX + 1];
};

struct cluster_ghost *cluster_ghost_new(void)
{
    return calloc(1, sizeof(struct cluster_ghost));
}

void cluster_ghost_free(struct cluster_ghost *ghost)
{
    free(ghost);
}

/* A witness's stub stands for the entry: of both the same is hashed. */
static uint64_t entry_hash(const kvr_entry *entry)
{
    uint64_t parts[] = {entry->index, entry->term, entry->lease_clock, entry->command_checksum,
                        entry->kind};
    return kvr__xxh3_64((const uint8_t *)parts, sizeof parts);
}

/* R5: one entry an index, on whichever member it is applied. */
void cluster_ghost_applied(cluster *c, cluster_member *m, const kvr_entry *entry)
{
    struct cluster_ghost *ghost = c->ghost;
    cr_assert_lt(entry->index, INDEX_MAX);
    ghost_entry *known = &ghost->applied[entry->index];
    if (known->term == 0) {
        *known = (ghost_entry){entry->term, entry_hash(entry)};
    }
    cr_assert_eq(known->term, entry->term, "R5: member %llu applies another entry at %llu",
                 (unsigned long long)m->id, (unsigned long long)entry->index);
    cr_assert_eq(known->hash, entry_hash(entry), "R5: member %llu applies other bytes at %llu",
                 (unsigned long long)m->id, (unsigned long long)entry->index);
    if (entry->index > ghost->applied_max) {
        ghost->applied_max = entry->index;
    }
}

void cluster_ghost_installed(cluster *c, cluster_member *m)
{
    const ghost_entry *known = &c->ghost->applied[m->applied];
    cr_assert_eq(known->term, m->applied_term, "R5: member %llu installs what was never applied",
                 (unsigned long long)m->id);
}

/* R9: what is about to be said is durable. R1: one leader a term, for ever. */
void cluster_ghost_before_messages(cluster *c, cluster_member *m)
{
    const kvr_raft *raft = m->raft;
    if (raft->role == KVR_ROLE_LEADER) {
        cr_assert_lt(raft->term, TERMS_MAX);
        uint64_t *leader = &c->ghost->leaders[raft->term];
        cr_assert(*leader == 0 || *leader == m->id, "R1: %llu and %llu lead in term %llu",
                  (unsigned long long)*leader, (unsigned long long)m->id,
                  (unsigned long long)raft->term);
        *leader = m->id;
        c->ghost->term_max = raft->term > c->ghost->term_max ? raft->term : c->ghost->term_max;
    }
    if (raft->ready.message_count > 0) {
        cr_assert_eq(m->disk.term, raft->term, "R9: member %llu speaks in a term not durable",
                     (unsigned long long)m->id);
        cr_assert_eq(m->disk.vote, raft->vote, "R9: member %llu speaks with a vote not durable",
                     (unsigned long long)m->id);
    }
    cr_assert_geq(raft->commit, c->ghost->members[m->id].commit, "R8");
    c->ghost->members[m->id].commit = raft->commit;
}

void cluster_ghost_crashed(cluster *c, cluster_member *m)
{
    c->ghost->members[m->id].commit = 0;
}

/* ------------------------------------------------------------------ whole logs */

static bool has_entry(const kvr_raft *raft, uint64_t index)
{
    return index > raft->log.base_index && index <= raft->log.last_index;
}

/* R3: equal terms at an index mean equal entries there. */
static void check_log_matching(const kvr_raft *a, const kvr_raft *b)
{
    uint64_t last = a->log.last_index < b->log.last_index ? a->log.last_index : b->log.last_index;
    bool matched = false;
    for (uint64_t i = last; has_entry(a, i) && has_entry(b, i); i--) {
        kvr_entry x;
        kvr_entry y;
        kvr__raft_log_entry(&a->log, i, &x);
        kvr__raft_log_entry(&b->log, i, &y);
        matched = matched || x.term == y.term;
        if (matched) {
            cr_assert_eq(x.term, y.term, "R3 at %llu", (unsigned long long)i);
            cr_assert_eq(entry_hash(&x), entry_hash(&y), "R3 at %llu", (unsigned long long)i);
        }
    }
}

/* R4: what was ever applied is in the log or the snapshot of the newest leader. */
static void check_leader_completeness(cluster *c)
{
    uint64_t leader = cluster_leader(c);
    if (leader == 0) {
        return;
    }
    const kvr_raft *raft = cluster_at(c, leader)->raft;
    if (raft->term < c->ghost->term_max) {
        return; /* it is deposed and does not know it yet */
    }
    for (uint64_t i = c->ghost->applied_max; has_entry(raft, i); i--) {
        uint64_t term = 0;
        cr_assert(kvr__raft_log_term(&raft->log, i, &term));
        if (c->ghost->applied[i].term != 0) {
            cr_assert_eq(c->ghost->applied[i].term, term, "R4: leader %llu lacks %llu",
                         (unsigned long long)leader, (unsigned long long)i);
        }
    }
    cr_assert_leq(c->ghost->applied_max, raft->log.last_index, "R4: leader %llu is short",
                  (unsigned long long)leader);
}

void cluster_check(cluster *c)
{
    for (uint32_t i = 0; i < c->member_count; i++) {
        const kvr_raft *raft = c->members[i].raft;
        if (raft == NULL || raft->role == KVR_ROLE_LOADING || raft->role == KVR_ROLE_FAILED) {
            continue;
        }
        kvr__raft_log_check(&raft->log);
        for (uint32_t j = i + 1; j < c->member_count; j++) {
            const kvr_raft *other = c->members[j].raft;
            if (other != NULL && other->role != KVR_ROLE_LOADING &&
                other->role != KVR_ROLE_FAILED) {
                check_log_matching(raft, other);
            }
        }
    }
    check_leader_completeness(c);
}
