/* SPDX-License-Identifier: Apache-2.0 */
/* check.h: what all checkers share: how a violation is told, and a few plain tools. A checker is a
 * ghost beside the cluster: it sees what members tell their hosts (messages, storage requests and
 * answers, completions, events, status) and knows the contracts (public headers, kvraft-message(5),
 * kvraft-command(5)), and nothing of lib/. Their invariants are numbered as in the project's
 * catalogue of faults: R Raft, W storage, K store, V watch, L lease, H histories. Memory comes from
 * malloc; without memory they abort. */
#ifndef KVRAFT_TEST_SIM_CHECK_H
#define KVRAFT_TEST_SIM_CHECK_H

#include <kvraft/base.h>

enum { CHECK_MEMBERS_MAX = 9 };

/* The first violation of a run. */
typedef struct check_report {
    bool failed;
    char invariant[8];
    char text[400];
} check_report;

/* Notes a violation; later ones are ignored, as they follow from the first. */
void check_fail(check_report *report, const char *invariant, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

void *check_alloc(size_t size); /* zeroed */

/* Room for `count` items behind *items, whose capacity it doubles. */
void check_grow(void **items, uint32_t *capacity, uint32_t count, size_t item_size);

/* A 64-bit hash of bytes that goes on from another: FNV-1a's loop over whole words. */
uint64_t check_hash(uint64_t hash, const void *data, size_t size);
uint64_t check_mix(uint64_t hash, uint64_t value);

#endif
