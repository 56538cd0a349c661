/* SPDX-License-Identifier: Apache-2.0 */
/* model_lease.h: leases as one would explain them at a blackboard: a list of them, sorted by id,
 * looked at from one end to the other for every question. It knows the contract (kvraft/lease.h)
 * and nothing of lib/lease. Each call is compared with the real one of the same name.
 *
 * It also is a witness: beside what a leader believes it keeps what is true, when the last renewal
 * was that anybody was told of, so that model_lease_revoke can say whether a lease ends too early
 * (FAULTS L2). Memory comes from malloc; without memory it aborts. */
#ifndef KVRAFT_TEST_SUPPORT_MODEL_LEASE_H
#define KVRAFT_TEST_SUPPORT_MODEL_LEASE_H

#include <kvraft/lease.h>

typedef struct model_lease_row {
    int64_t id;
    uint64_t ttl_ns;
    uint64_t recorded_ns; /* replicated */
    uint64_t granted_ns;  /* replicated */
    uint64_t renewed_ns;  /* the leader's: TTL counts from here */
    uint64_t told_ns;     /* the last grant or renewal that a client was told of, on any leader */
    bool is_recording;    /* named as a laggard, not recorded yet */
    bool is_named;        /* named as due */
} model_lease_row;

typedef struct model_lease {
    model_lease_row *rows; /* by rising id */
    uint32_t count;
    bool leads;
} model_lease;

model_lease *model_lease_new(void);
void model_lease_free(model_lease *model);
const model_lease_row *model_lease_find(const model_lease *model, int64_t id); /* NULL: none */

/* The replicated part. */
kvr_status model_lease_grant(model_lease *model, int64_t id, uint64_t ttl_ns, uint64_t now_ns);
kvr_status model_lease_revoke(model_lease *model, int64_t id);
kvr_status model_lease_record(model_lease *model, int64_t id, uint64_t granted_ns,
                              uint64_t renewed_ns);

/* The leader's part. */
void model_lease_lead(model_lease *model, uint64_t now_ns);
void model_lease_follow(model_lease *model);
kvr_status model_lease_keep_alive(model_lease *model, int64_t id, uint64_t now_ns,
                                  uint64_t *out_ttl_ns, uint8_t *out_must_record);
uint32_t model_lease_due(model_lease *model, uint64_t now_ns, int64_t *out_ids, uint32_t capacity);
uint32_t model_lease_laggards(model_lease *model, uint64_t now_ns, kvr_lease_laggard *out_laggards,
                              uint32_t capacity);
void model_lease_retry(model_lease *model, int64_t id);
uint64_t model_lease_deadline(const model_lease *model); /* exact, where the book may say less */

/* Questions. */
kvr_status model_lease_get(const model_lease *model, int64_t id, uint64_t now_ns,
                           kvr_lease_info *out_info);
uint32_t model_lease_list(const model_lease *model, int64_t after, bool from_start,
                          int64_t *out_ids, uint32_t capacity);

/* The client was told that its lease was granted or renewed at `now_ns`. */
void model_lease_told(model_lease *model, int64_t id, uint64_t now_ns);
/* True if a client may count on the lease at `now_ns`: it was told of less than TTL ago. */
bool model_lease_is_promised(const model_lease *model, int64_t id, uint64_t now_ns);

#endif
