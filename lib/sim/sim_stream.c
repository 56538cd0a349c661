/* SPDX-License-Identifier: Apache-2.0 */
/* sim_stream.c: streams of decisions: splitmix64 (Steele, Lea, Flood, "Fast Splittable Pseudorandom
 * Number Generators", 2014), whose k-th number needs no state but k. */
#include "sim_stream.h"

#include "base/assertion.h"

static const uint64_t gamma_step = 0x9e3779b97f4a7c15U;

static uint64_t mix(uint64_t x)
{
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9U;
    x = (x ^ x >> 27) * 0x94d049bb133111ebU;
    return x ^ x >> 31;
}

kvr__sim_stream kvr__sim_stream_of(uint64_t seed, uint32_t member, uint32_t kind)
{
    uint64_t place = (uint64_t)member << 32 | kind;
    return (kvr__sim_stream){.seed = mix(mix(seed + gamma_step) ^ mix(place + gamma_step))};
}

uint64_t kvr__sim_decision(const kvr__sim_stream *stream)
{
    return mix(stream->seed + stream->count * gamma_step);
}

uint64_t kvr__sim_draw(kvr__sim_stream *stream)
{
    stream->count++;
    return kvr__sim_decision(stream);
}

uint64_t kvr__sim_below(kvr__sim_stream *stream, uint64_t limit)
{
    KVR_ASSERT(limit > 0);
    uint64_t draw = kvr__sim_draw(stream);
    /* The bias is below limit / 2^32 and limit / 2^64: no simulation is long enough to see it. */
    return limit <= UINT32_MAX ? (draw >> 32) * limit >> 32 : draw % limit;
}

bool kvr__sim_chance(kvr__sim_stream *stream, uint32_t ppm)
{
    if (ppm == 0 || ppm >= 1000000) {
        return ppm != 0;
    }
    return kvr__sim_below(stream, 1000000) < ppm;
}

/* -log2 of a uniform number has mean 1/ln 2. Its whole part is the count of leading zeros, whose
 * mean is 1; between powers of two a straight line stands for the logarithm, which makes the mean
 * exactly 3/2. */
uint64_t kvr__sim_span(kvr__sim_stream *stream, uint64_t min, uint64_t mean)
{
    if (mean == 0) {
        return min;
    }
    KVR_ASSERT(mean <= UINT64_MAX >> 7);
    uint64_t draw = kvr__sim_draw(stream) | 1;
    uint64_t zeros = 0;
    while (draw >> 63 == 0) {
        draw <<= 1;
        zeros++;
    }
    uint64_t fraction = draw << 1 >> 48; /* 0..65535, of the way to the next power */
    uint64_t halves = ((zeros + 1) << 16) - fraction;
    /* mean * halves / 65536 * 2 / 3, without leaving 64 bits */
    return min + (mean >> 16) * (halves * 2 / 3) + ((mean & 65535) * (halves * 2 / 3) >> 16);
}
