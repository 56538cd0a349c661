/* SPDX-License-Identifier: Apache-2.0 */
/* node_member.h: changes of the members on their way to the leader. A change is no command: its
 * effect is the configuration entry that the leader makes of it, which carries the origin of who
 * asked, so that it happens at most once and the asker knows it when it applies it.
 *
 *     waiting ---(the first of them)---> asked ---> applied: done       the entry bears its origin
 *        ^                                 |  \--> refused              the leader said so
 *        +---- nobody answered, or -------+
 *              the leader changed                                       */
#ifndef KVRAFT_LIB_NODE_MEMBER_H
#define KVRAFT_LIB_NODE_MEMBER_H

#include "node_calls.h"

/* One ask, as its post carries it and as a call keeps it: 48 bytes, then `change count` changes.
 *
 *   0 u64 term of the leader that is asked   8 u64 incarnation   16 u64 sequence   24 u32 flags
 *  28 u32 data copies   32 u32 change count   36 u32 0   40 u64 lease_ns
 *   each change: u8 kind   u8 role   u8 flags   u8 0   u32 size of attributes   u64 id   attributes
 *
 * One answer: u64 term   u64 incarnation   u64 sequence   i32 status   u32 0. */
enum {
    KVR__POST_CHANGE = 4,
    KVR__POST_CHANGE_ANSWER = 5,
    KVR__CHANGE_HEAD = 48,
    KVR__CHANGE_ITEM = 16,
    KVR__CHANGE_ITEMS_MAX = 64,
    KVR__CHANGE_ANSWER_SIZE = 32,
    KVR__CHANGE_BYTES_MAX = 60000 /* of one ask: KVR_ETOOBIG */
};

/* What a leader has refused one member: said again if it is asked again, as that may be a message
 * that was repeated on the way, and a refusal is for ever. */
typedef struct kvr__refusal {
    uint64_t member;
    uint64_t incarnation;
    uint64_t sequence;
    kvr_status status;
    uint32_t reserved;
} kvr__refusal;

enum { KVR__REFUSALS_MAX = 64 };

typedef struct kvr__refusals {
    uint64_t term; /* that they were said in */
    uint32_t count;
    uint32_t reserved;
    kvr__refusal items[KVR__REFUSALS_MAX];
} kvr__refusals;

typedef struct kvr__changing {
    kvr__list calls;         /* in order; the first one is asked */
    kvr__refusals *refusals; /* NULL: none yet */
} kvr__changing;

void kvr__changing_init(kvr_node *node);
void kvr__changing_release(kvr_node *node);
kvr_status kvr__changing_run(kvr_node *node); /* asks for the first that waits */
void kvr__changing_repeat(kvr_node *node);    /* the leader changed: asked afresh */
void kvr__changing_asked(kvr_node *node, uint64_t from, const kvr_slice *record);
void kvr__changing_answered(kvr_node *node, const uint8_t *record);
uint64_t kvr__changing_deadline(const kvr_node *node);

#endif
