/* SPDX-License-Identifier: Apache-2.0 */
/* sim_stream.h: the simulator's chance. Each kind of decision of each member has a stream of its
 * own, and decision number k of a stream is a function of seed, stream and k alone (splitmix64 in
 * counter mode): one more draw in the network shifts no fault of a disk, and a decision can be
 * named by its number. No floating point: every machine draws the same. */
#ifndef KVRAFT_LIB_SIM_STREAM_H
#define KVRAFT_LIB_SIM_STREAM_H

#include <stdbool.h>
#include <stdint.h>

/* What a stream decides on. Numbers are part of a seed's meaning: append only. */
enum {
    KVR__SIM_DISK = 1,    /* faults and the outcome of a crash */
    KVR__SIM_LATENCY = 2, /* of a member's disk */
    KVR__SIM_ORDER = 3,   /* of completions */
    KVR__SIM_NETWORK = 4, /* what a member sends */
    KVR__SIM_ENTROPY = 5,
    KVR__SIM_NODE = 6, /* seed and clock of a new life */
    KVR__SIM_CRASHES = 7,
    KVR__SIM_CUTS = 8,
    KVR__SIM_CALLER = 9,
    KVR__SIM_PAUSES = 10,
    KVR__SIM_STALLS = 11,
    KVR__SIM_JUMPS = 12,
    KVR__SIM_SITES = 64 /* + the site's number, of a member */
};

typedef struct kvr__sim_stream {
    uint64_t seed;
    uint64_t count; /* decisions made */
} kvr__sim_stream;

/* `member` is any number: streams of the whole cluster use UINT32_MAX. */
kvr__sim_stream kvr__sim_stream_of(uint64_t seed, uint32_t member, uint32_t kind);
uint64_t kvr__sim_draw(kvr__sim_stream *stream);
uint64_t kvr__sim_below(kvr__sim_stream *stream, uint64_t limit); /* 0..limit-1; limit > 0 */

/* What names the decision that was made last. */
uint64_t kvr__sim_decision(const kvr__sim_stream *stream);

/* True `ppm` times in a million. 0 and 1,000,000 draw nothing. */
bool kvr__sim_chance(kvr__sim_stream *stream, uint32_t ppm);

/* `min` plus an exponentially distributed span with that mean, at most 43 times
 * that mean. mean < 2^57. */
uint64_t kvr__sim_span(kvr__sim_stream *stream, uint64_t min, uint64_t mean);

#endif
