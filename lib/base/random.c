/* SPDX-License-Identifier: Apache-2.0 */
/* random.c: xoshiro256** 1.0 and splitmix64 (Blackman and Vigna, "Scrambled linear pseudorandom
 * number generators", 2018; both published in the public domain). */
#include "base/random.h"

#include "base/assertion.h"

static uint64_t rotate_left(uint64_t x, unsigned bits)
{
    return x << bits | x >> (64 - bits);
}

static uint64_t splitmix64(uint64_t *state)
{
    uint64_t z = *state += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

void kvr__random_init(kvr__random *random, uint64_t seed)
{
    /* xoshiro must not start from all zeros, which four distinct outputs of splitmix64 are not. */
    for (int i = 0; i < 4; i++) {
        random->state[i] = splitmix64(&seed);
    }
}

uint64_t kvr__random_next(kvr__random *random)
{
    uint64_t *s = random->state;
    uint64_t result = rotate_left(s[1] * 5, 7) * 9;
    uint64_t t = s[1] << 17;
    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= t;
    s[3] = rotate_left(s[3], 45);
    return result;
}

uint64_t kvr__random_below(kvr__random *random, uint64_t limit)
{
    KVR_ASSERT(limit > 0);
    /* The lowest 2^64 mod limit values are drawn again; what is left divides evenly. */
    uint64_t excess = (0 - limit) % limit;
    uint64_t value;
    do {
        value = kvr__random_next(random);
    } while (value < excess);
    return value % limit;
}
