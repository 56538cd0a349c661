/* SPDX-License-Identifier: Apache-2.0 */
/* run_register.c: clients that treat a few keys as registers: read, write, swap. No other client
 * touches these keys. What they saw is kept as they saw it, and judged at the end by a search that
 * knows nothing of logs (check_linear.h): also what timed out, or went down with its member. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "run.h"

enum { STEPS_MAX = 50000 };

static kvr_slice key_of(uint32_t number)
{
    static const char *const names[RUN_REGISTERS] = {"a/0", "a/1", "a/2"};
    return (kvr_slice){(const uint8_t *)names[number], 3};
}

static kvr_slice value_in(char room[24], uint64_t number)
{
    int size = snprintf(room, 24, "r%" PRIu64, number);
    return (kvr_slice){(const uint8_t *)room, (size_t)size};
}

/* 0: the register is empty. */
static uint64_t value_at(const kvr_node *node, uint32_t number)
{
    kvr_kv kv;
    char text[24] = "";
    kvr_slice key = key_of(number);
    if (!kvr_node_get(node, &key, &kv) || kv.value.size < 2 || kv.value.size >= sizeof text) {
        return 0;
    }
    memcpy(text, kv.value.data, kv.value.size);
    return strtoull(text + 1, NULL, 10);
}

/* ------------------------------------------------------------------ calls */

static void begin_read(run_world *world, run_client *client, kvr_node *node, uint32_t number)
{
    run_call *call = run_call_new(world, client, KVR_CALL_READ_LINEAR, "of a register");
    if (call == NULL) {
        return;
    }
    call->register_number = number + 1;
    call->seen = (linear_call){.kind = LINEAR_READ};
    kvr_node_call with = {.size = sizeof with, .user = call};
    (void)run_call_taken(world, call, kvr_node_read_linear(node, &with));
}

static void begin_change(run_world *world, run_client *client, kvr_node *node, uint32_t number)
{
    dice *d = &world->clients.dice;
    char fresh[24];
    char known[24];
    uint64_t expected = value_at(node, number);
    uint64_t value = ++world->clients.write_count;
    kvr_compare compare = {.size = sizeof compare,
                           .target = expected == 0 ? KVR_COMPARE_CREATE : KVR_COMPARE_VALUE,
                           .result = KVR_COMPARE_EQUAL,
                           .key = key_of(number),
                           .value = value_in(known, expected)};
    compare.value.size = expected == 0 ? 0 : compare.value.size;
    kvr_op put = {.size = sizeof put,
                  .kind = KVR_OP_PUT,
                  .key = key_of(number),
                  .value = value_in(fresh, value)};
    kvr_txn txn = {.size = sizeof txn,
                   .compare_count = 1,
                   .compares = &compare,
                   .then_count = 1,
                   .then_ops = &put};
    kvr_op swap = {.size = sizeof swap, .kind = KVR_OP_TXN, .txn = &txn};
    bool swaps = dice_one_in(d, 2);
    run_call *call =
        run_call_new(world, client, KVR_CALL_WRITE, swaps ? "swap a register" : "write a register");
    if (call == NULL) {
        return;
    }
    call->register_number = number + 1;
    call->seen = (linear_call){
        .kind = swaps ? LINEAR_SWAP : LINEAR_WRITE, .value = value, .expected = expected};
    call->base.asked = store_digest_write(swaps ? &swap : &put);
    call->base.is_unique = true;
    kvr_node_call with = {.size = sizeof with, .user = call};
    (void)run_call_taken(world, call, kvr_node_write(node, &with, swaps ? &swap : &put));
}

void run_register_act(run_world *world, run_client *client, kvr_node *node)
{
    dice *d = &world->clients.dice;
    uint32_t number = (uint32_t)dice_below(d, RUN_REGISTERS);
    if (dice_one_in(d, 2)) {
        begin_read(world, client, node, number);
    } else {
        begin_change(world, client, node, number);
    }
}

/* ------------------------------------------------------------------ what was seen */

void run_register_ended(run_world *world, const run_call *call, const kvr_completion *completion)
{
    linear_call seen = call->seen;
    seen.begin_ns = call->base.invoked_ns;
    seen.end_ns = kvr_sim_now(world->sim);
    if (completion == NULL || completion->outcome == KVR_OUTCOME_UNKNOWN) {
        seen.end_ns = UINT64_MAX;
    } else if (completion->outcome == KVR_OUTCOME_REFUSED || completion->status != KVR_OK) {
        return; /* H6: it never was, or changed nothing */
    } else if (seen.kind == LINEAR_READ) {
        seen.value =
            value_at(kvr_sim_look(world->sim, call->base.member), call->register_number - 1);
    } else if (seen.kind == LINEAR_SWAP) {
        seen.swapped = completion->result != NULL && completion->result->succeeded != 0;
    }
    if (seen.kind != LINEAR_READ || seen.end_ns != UINT64_MAX) {
        linear_add(&world->registers[call->register_number - 1], &seen);
    }
}

void run_register_judge(run_world *world)
{
    for (uint32_t i = 0; i < RUN_REGISTERS && !world->report.failed; i++) {
        uint32_t verdict = linear_judge(&world->registers[i], STEPS_MAX);
        world->undecided += verdict == LINEAR_UNKNOWN;
        if (verdict == LINEAR_NO) {
            check_fail(&world->report, "H1",
                       "no order of the %u calls on register %u explains what its clients saw",
                       world->registers[i].count, i);
        }
    }
}

void run_register_release(run_world *world)
{
    for (uint32_t i = 0; i < RUN_REGISTERS; i++) {
        free(world->registers[i].calls);
    }
}
