/* SPDX-License-Identifier: Apache-2.0 */
/* random.h: a seeded generator (xoshiro256**, seeded by splitmix64), so that a run can be repeated
 * bit for bit. For timeouts and simulation; secrets come from the host's entropy. */
#ifndef KVRAFT_LIB_BASE_RANDOM_H
#define KVRAFT_LIB_BASE_RANDOM_H

#include <stdint.h>

typedef struct kvr__random {
    uint64_t state[4];
} kvr__random;

void kvr__random_init(kvr__random *random, uint64_t seed);
uint64_t kvr__random_next(kvr__random *random);
uint64_t kvr__random_below(kvr__random *random, uint64_t limit); /* 0..limit-1, fair; limit > 0 */

#endif
