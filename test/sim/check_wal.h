/* SPDX-License-Identifier: Apache-2.0 */
/* check_wal.h: what comes back from a disk (W1, W2, W4): after a crash LOAD and READ must show
 * everything that had completed, and behind it some first part of what was under way; nothing else,
 * and the same again if it crashes while it starts. And W8: a disk that failed to flush claims
 * nothing more. */
#ifndef KVRAFT_TEST_SIM_CHECK_WAL_H
#define KVRAFT_TEST_SIM_CHECK_WAL_H

#include "check_ghost.h"

enum { CHECK_WAL_PENDING_MAX = 63 };

typedef struct check_wal {
    ghost *ghost;
    check_report *report;
    struct {
        bool is_open;        /* it is not known yet how much of what is left was done */
        uint64_t candidates; /* bit i: the first i of it may have been done */
        bool flush_failed;   /* in this life, in a batch before */
        bool is_damaged;     /* bytes that were flushed: an older snapshot may have to do */
    } members[CHECK_MEMBERS_MAX];
} check_wal;

void check_wal_init(check_wal *check, ghost *g, check_report *report);

/* Before the ghost hears of it. */
void check_wal_submitted(check_wal *check, uint32_t member, const kvr_store_request *request);
void check_wal_stored(check_wal *check, uint32_t member, const kvr_store_request *request,
                      const kvr_store_result *result);

/* After a batch: a flush of this member's disk failed in its present life. */
void check_wal_flush_failed(check_wal *check, uint32_t member);

/* Flushed bytes of this member were damaged: it must refuse, or go on from an older snapshot. */
void check_wal_damaged(check_wal *check, uint32_t member);

/* The member has read all that it wanted to read. */
void check_wal_settle(check_wal *check, uint32_t member);

#endif
