/* SPDX-License-Identifier: Apache-2.0 */
/* check_member.c: see check_member.h. */
#include "check_member.h"

#include <stdlib.h>

#include "check_decode.h"

#define U(x) ((unsigned long long)(x))

void check_members_init(check_members *check, uint32_t member_count, check_report *report)
{
    *check = (check_members){.report = report, .member_count = member_count};
    check_grow((void **)&check->items, &check->capacity, 1, sizeof *check->items);
    check->items[check->count++] = (check_configuration){.incoming = (1u << member_count) - 1};
}

void check_members_release(check_members *check)
{
    free(check->items);
}

void check_members_saw(check_members *check, uint64_t index, uint64_t term,
                       const kvr_slice *encoded)
{
    check_configuration read = {.index = index, .term = term};
    if (!wire_read_configuration(encoded, &read.incoming, &read.outgoing)) {
        check_fail(check->report, "R11", "the configuration at %llu of term %llu is none", U(index),
                   U(term));
        return;
    }
    const check_configuration *known = check_members_find(check, index, term);
    if (known == NULL) {
        check_grow((void **)&check->items, &check->capacity, check->count + 1,
                   sizeof *check->items);
        check->items[check->count++] = read;
    } else if (known->incoming != read.incoming || known->outgoing != read.outgoing) {
        check_fail(check->report, "R11", "two configurations stand at %llu of term %llu", U(index),
                   U(term));
    }
}

const check_configuration *check_members_find(check_members *check, uint64_t index, uint64_t term)
{
    for (uint32_t i = check->count; i > 0; i--) {
        const check_configuration *item = &check->items[i - 1];
        if (item->index == index && (index == 0 || item->term == term)) {
            return item;
        }
    }
    return NULL;
}

static uint32_t bits(uint32_t set)
{
    uint32_t count = 0;
    for (; set != 0; set &= set - 1) {
        count++;
    }
    return count;
}

static bool is_majority(uint32_t voters, uint32_t have)
{
    return bits(voters & have) > bits(voters) / 2;
}

bool check_members_is_quorum(const check_configuration *of, uint32_t have)
{
    return is_majority(of->incoming, have) &&
           (of->outgoing == 0 || is_majority(of->outgoing, have));
}

void check_members_use(check_members *check, uint32_t member, uint64_t index, uint64_t term,
                       const kvr_raft_progress *configured, uint32_t count)
{
    const check_configuration *known = check_members_find(check, index, term);
    uint32_t voters = 0;
    for (uint32_t i = 0; i < count; i++) {
        bool votes =
            configured[i].role == KVR_MEMBER_VOTER || configured[i].role == KVR_MEMBER_WITNESS;
        voters |= votes && configured[i].id <= 32 ? 1u << (configured[i].id - 1) : 0;
    }
    if (known != NULL && (voters != known->incoming || count != check->member_count)) {
        check_fail(check->report, "R11",
                   "member %u counts voters %x of %u members; at %llu of term %llu stand %x of %u",
                   member + 1, voters, count, U(index), U(term), known->incoming,
                   check->member_count);
    }
}
