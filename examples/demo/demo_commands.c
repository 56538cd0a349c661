/* SPDX-License-Identifier: Apache-2.0 */
/* demo_commands.c: what a client's command line can do: each function asks a member and prints the
 * answer. Their table is in demo_main.c. */
#include "demo.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* Says what became of a request that did not succeed. */
static int finish(const reply *answer, bool writes)
{
    if (!answer->answered && answer->outcome == KVR_OUTCOME_REFUSED) {
        fprintf(stderr, "kvraft-demo: no member answered at --endpoints: nobody listens there\n");
    } else if (!answer->answered) {
        fprintf(stderr, "kvraft-demo: the connection broke, or no answer came in time%s\n",
                writes ? "; it may have been executed: look before you repeat it" : "");
    } else if (answer->outcome == KVR_OUTCOME_UNKNOWN) {
        fprintf(stderr, "kvraft-demo: the outcome is unknown: look before you repeat it\n");
    } else if (!answer->good) {
        fprintf(stderr, "kvraft-demo: %s: %s%s\n",
                answer->outcome == KVR_OUTCOME_REFUSED ? "refused" : "failed",
                kvr_status_text(answer->status),
                answer->status == KVR_ETOOBIG ? " (a key: 65,535 bytes, a value: 1,572,864)" : "");
    }
    return answer->good ? EXIT_OK : EXIT_FAILED;
}

static void print_bytes(const char *before, kvr_slice bytes, const char *after)
{
    printf("%s", before);
    fwrite(bytes.data, 1, bytes.size, stdout);
    printf("%s", after);
}

/* The interval that the flags choose; "" means the first key that there can be. */
static kvr_range interval(const options *chosen, const char *word)
{
    static const uint8_t zero[1] = {0};
    static uint8_t room[KVR_KEY_BYTES_MAX];
    kvr_range range = {.size = sizeof range, .key = text(word), .revision = chosen->revision};
    if (chosen->from) {
        range.range_end = (kvr_slice){zero, 1};
    } else if (chosen->prefix && range.key.size <= sizeof room) {
        kvr_prefix_end(&range.key, room, &range.range_end);
    } else if (chosen->end != NULL) {
        range.range_end = text(chosen->end);
    }
    range.key = word[0] == '\0' ? (kvr_slice){zero, 1} : range.key;
    return range;
}

static void print_result(wire *in, int depth)
{
    kvr_op_result result = {0};
    wire_all(in, shape_result, &result);
    if (result.kind == KVR_OP_TXN) {
        printf("%s\n", result.succeeded ? "the compares held" : "a compare failed");
    } else if (result.kind == KVR_OP_DELETE) {
        printf("%*sdeleted %" PRIu64 "\n", depth, "", result.count);
    }
    for (uint32_t i = 0; i < result.kv_count && in->at < in->end; i++) {
        kvr_kv kv;
        wire_all(in, shape_kv, &kv);
        printf("%*s%s", depth, "", result.kind == KVR_OP_RANGE ? "" : "before: ");
        print_bytes("", kv.key, "\t");
        print_bytes("", kv.value, "\n");
    }
    for (uint32_t i = 0; i < result.result_count && in->at < in->end; i++) {
        print_result(in, depth + 2);
    }
}

static int write_op(options *chosen, request *asked)
{
    asked->kind = KVR_CALL_WRITE;
    asked->op.flags = chosen->prev ? KVR_OP_PREV_KV : 0;
    reply answer = client_ask(&chosen->link, asked);
    if (answer.good) {
        print_result(&answer.rest, 0);
        printf("revision %" PRIu64 "\n", answer.revision);
    }
    return finish(&answer, true);
}

int run_put(options *chosen)
{
    request asked = {.op = {.kind = KVR_OP_PUT, .lease = (int64_t)chosen->lease}};
    asked.op.key = text(chosen->words[0]);
    asked.op.value = text(chosen->words[1]);
    return write_op(chosen, &asked);
}

int run_get(options *chosen)
{
    request asked = {.kind = KVR_CALL_READ_LINEAR, .limit = chosen->limit};
    asked.range = interval(chosen, chosen->words[0]);
    asked.flags = (chosen->stale ? READ_STALE : 0u) | (chosen->count ? READ_COUNT_ONLY : 0u) |
                  (chosen->keys_only ? READ_KEYS_ONLY : 0u);
    reply answer = client_ask(&chosen->link, &asked);
    for (; answer.kind == SAY_KV; answer = client_receive(&chosen->link)) {
        kvr_kv kv;
        wire_all(&answer.rest, shape_kv, &kv);
        print_bytes("", kv.key, chosen->keys_only ? "\n" : "\t");
        print_bytes("", kv.value, chosen->keys_only ? "" : "\n");
    }
    if (chosen->count && answer.good) {
        printf("%" PRIu64 "\n", wire_number(&answer.rest, 0));
    }
    return finish(&answer, false);
}

int run_del(options *chosen)
{
    kvr_range range = interval(chosen, chosen->words[0]);
    request asked = {.op = {.kind = KVR_OP_DELETE, .key = range.key, .range_end = range.range_end}};
    return write_op(chosen, &asked);
}

/* Its place in a list that ends with NULL: that end, if it is not in there. */
static uint8_t place_of(const char *word, const char *const *list)
{
    uint8_t place = 0;
    while (list[place] != NULL && strcmp(word, list[place]) != 0) {
        place++;
    }
    return place;
}

static bool parse_compare(char **words, kvr_compare *out_compare)
{
    static const char *const targets[] = {"version", "create", "mod", "value", "lease", NULL};
    static const char *const results[] = {"=", ">", "<", "!=", NULL};
    char *end = words[3];
    *out_compare = (kvr_compare){.key = text(words[1]), .value = text(words[3])};
    out_compare->target = place_of(words[0], targets);
    out_compare->result = place_of(words[2], results);
    out_compare->number = strtoll(words[3], &end, 10);
    return targets[out_compare->target] != NULL && results[out_compare->result] != NULL &&
           (out_compare->target == KVR_COMPARE_VALUE || (end != words[3] && *end == '\0'));
}

static bool parse_op(char **words, uint8_t verb, kvr_op *out_op)
{
    *out_op = (kvr_op){.kind = (uint8_t)(KVR_OP_PUT + verb), .key = text(words[1])};
    out_op->value = verb == 0 ? text(words[2]) : (kvr_slice){NULL, 0};
    return verb < 3;
}

int run_txn(options *chosen)
{
    static txn_room room;
    static const char *const parts[] = {"if", "then", "else", NULL};
    static const char *const verbs[] = {"put", "get", "del", NULL};
    request asked = {.op = {.kind = KVR_OP_TXN}, .room = &room};
    int left = 0;
    while (chosen->words[left] != NULL) {
        left++;
    }
    for (char **words = chosen->words; left > 0;) {
        uint8_t part = place_of(words[0], parts);
        uint8_t verb = left > 1 ? place_of(words[1], verbs) : 3;
        int took = part == 0 ? 5 : verb == 0 ? 4 : 3;
        uint32_t at = part < 3 ? room.counts[part]++ : KVR_TXN_OPS_MAX;
        if (left < took || at == KVR_TXN_OPS_MAX ||
            !(part == 0 ? parse_compare(words + 1, &room.compares[at])
                        : parse_op(words + 1, verb, &room.ops[part - 1][at]))) {
            fprintf(stderr, "kvraft-demo txn: cannot read it from \"%s\" on; see --help\n", *words);
            return EXIT_USAGE;
        }
        words += took;
        left -= took;
    }
    return write_op(chosen, &asked);
}

int run_compact(options *chosen)
{
    request asked = {.kind = KVR_CALL_COMPACT};
    if (!parse_number(chosen->words[0], &asked.range.revision)) {
        fprintf(stderr, "kvraft-demo compact: takes a revision, not \"%s\"\n", chosen->words[0]);
        return EXIT_USAGE;
    }
    reply answer = client_ask(&chosen->link, &asked);
    return finish(&answer, true);
}

int run_watch(options *chosen)
{
    request asked = {.kind = ASK_WATCH, .flags = chosen->prev ? KVR_WATCH_PREV_KV : 0};
    asked.range = interval(chosen, chosen->words[0]);
    asked.range.revision = chosen->since;
    reply said = client_ask(&chosen->link, &asked);
    chosen->link.timeout_ns = UINT64_MAX;
    for (uint64_t seen = 0; said.good && (seen == 0 || seen < chosen->events);) {
        said = client_receive(&chosen->link);
        if (said.good && said.kind == SAY_EVENT) {
            kvr_event event;
            wire_all(&said.rest, shape_event, &event);
            bool put = event.type == KVR_EVENT_PUT;
            printf("%" PRIu64 " %s ", event.kv.mod_revision, put ? "put" : "delete");
            print_bytes("", event.kv.key, put ? "\t" : "");
            print_bytes("", event.kv.value, "");
            print_bytes(event.has_prev ? "\tbefore: " : "", event.prev.value, "\n");
            fflush(stdout);
            seen += chosen->events > 0;
        }
    }
    if (said.answered && said.status == KVR_ECOMPACTED) {
        fprintf(stderr, "kvraft-demo: compacted: --since must be %" PRIu64 " or more\n",
                said.revision);
        return EXIT_FAILED;
    }
    return finish(&said, false);
}

int run_lease(options *chosen)
{
    static const char *const verbs[] = {"grant", "revoke", "keep-alive", "ttl", NULL};
    uint8_t verb = place_of(chosen->words[0], verbs);
    request asked = {.kind = KVR_CALL_LEASE_GRANT + (uint64_t)verb};
    uint64_t id = 0;
    if (verbs[verb] == NULL || !(verb == 0 ? parse_time(chosen->words[1], &asked.ttl_ns)
                                           : parse_number(chosen->words[1], &id))) {
        fprintf(stderr,
                "kvraft-demo lease: takes grant 10s, revoke ID, keep-alive ID or ttl ID; not \"%s "
                "%s\"\n",
                chosen->words[0], chosen->words[1]);
        return EXIT_USAGE;
    }
    asked.lease = (int64_t)id;
    reply answer = client_ask(&chosen->link, &asked);
    if (answer.good) {
        printf("lease %" PRIu64, wire_number(&answer.rest, 0));
        const double granted = (double)wire_number(&answer.rest, 0) / 1e9;
        const double left = (double)wire_number(&answer.rest, 0) / 1e9;
        printf(verb == 1 ? " revoked" : ", granted for %.3f s", granted);
        printf(verb < 2 ? "\n" : ", %.3f s left\n", left);
    }
    while (answer.good && answer.rest.at < answer.rest.end) {
        print_bytes("  ", wire_bytes(&answer.rest, (kvr_slice){NULL, 0}), "\n");
    }
    return finish(&answer, true);
}

static void show_status(const kvr_node_status *s, uint64_t garbage)
{
    printf("  log %" PRIu64 "..%" PRIu64 ", committed %" PRIu64 ", applied %" PRIu64
           ", snapshot %" PRIu64 "\n"
           "  revision %" PRIu64 ", compacted %" PRIu64 ", keys %" PRIu64 ", bytes %" PRIu64
           ", leases %" PRIu64 ", watchers %" PRIu64 "\n"
           "  state at %" PRIu64 ": hash %016" PRIx64 ", chain %016" PRIx64 "\n"
           "  snapshots taken %" PRIu64 ", installed %" PRIu64 "; memory %" PRIu64
           " KiB; garbage %" PRIu64 "%s%s\n",
           s->raft.first_index, s->raft.last_index, s->raft.commit_index, s->raft.applied_index,
           s->raft.snapshot_index, s->store.revision, s->store.compacted, s->store.live_keys,
           s->store.live_bytes, s->lease.leases, s->watch.watchers, s->hash_index, s->hash_live,
           s->hash_chain, s->snapshots_taken, s->snapshots_installed, s->memory_bytes >> 10,
           garbage, s->no_space ? "; no space: takes no writes" : "",
           s->corrupt ? "; state differs between members: takes no writes" : "");
}

/* What the leader knows of the others. */
static void show_members(const member_status *s, wire *rest)
{
    static const char *const states[] = {"probe", "replicate", "snapshot"};
    while (s->node.raft.role == KVR_ROLE_LEADER && rest->at < rest->end) {
        kvr_raft_progress one;
        wire_all(rest, shape_progress, &one);
        if (one.id != s->id && one.state < COUNT_OF(states)) {
            printf("  member %" PRIu64 ": %s, holds entries up to %" PRIu64 " of %" PRIu64 "\n",
                   one.id, states[one.state], one.match, s->node.raft.last_index);
        }
    }
}

static int each_member(const member_list *all, bool members)
{
    static const char *const roles[] = {"loading",   "follower", "precandidate",
                                        "candidate", "leader",   "failed"};
    int result = EXIT_OK;
    for (uint32_t i = 0; i < all->count; i++) {
        connection one = {.endpoints.count = 1, .timeout_ns = 2000000000};
        member_status s;
        one.endpoints.addresses[0] = all->addresses[i];
        reply answer = client_status(&one, &s);
        if (answer.good && s.node.raft.role < COUNT_OF(roles)) {
            bool dead = s.node.failure != KVR_OK;
            printf("%s: member %" PRIu64 ", %s, term %" PRIu64 ", leader %" PRIu64 "%s%s\n",
                   address_text(all->addresses + i), s.id, roles[s.node.raft.role],
                   s.node.raft.term, s.node.raft.leader, dead ? "; takes no part: " : "",
                   dead ? kvr_status_text(s.node.failure) : "");
            members ? show_members(&s, &answer.rest) : show_status(&s.node, s.garbage);
        } else {
            printf("%s: does not answer\n", address_text(all->addresses + i));
            result = EXIT_FAILED;
        }
        stream_close(&one.io);
    }
    return result;
}

int run_status(options *chosen)
{
    return each_member(&chosen->link.endpoints, false);
}

int run_members(options *chosen)
{
    return each_member(&chosen->link.endpoints, true);
}
