/* SPDX-License-Identifier: Apache-2.0 */
/* sim_trace.c: what happened, twice: as a hash that two runs compare, and as lines for a person.
 * The hash takes in every event, message, request, answer, completion and watch batch, by value: no
 * address, no size of a struct. A line has fixed columns, described in kvr-sim(1):
 *
 *      seconds  member  word        details
 *     1.234567  2       send        1 append term 3, 184 bytes */
#include <string.h>

#include "base/assertion.h"
#include "base/codec.h"
#include "base/text.h"
#include "sim_internal.h"

enum { LINE_SIZE = 256, SECONDS_WIDTH = 13, WORD_WIDTH = 12, HEAD_CHECKSUM_SIZE = 8 };

/* ------------------------------------------------------------------ the hash */

static void take_in(kvr_sim *sim, uint64_t value)
{
    uint64_t hash = (sim->trace_hash ^ value) * 0x9fb21c651e98df25U;
    sim->trace_hash = hash ^ hash >> 35;
}

static void take_in_tag(kvr_sim *sim, char tag, uint32_t member, uint64_t value)
{
    take_in(sim, (uint64_t)(uint8_t)tag << 56 | (uint64_t)(member & 255) << 48);
    take_in(sim, value);
}

/* ------------------------------------------------------------------ lines */

static void pad(kvr__text *text, const char *begin, size_t width)
{
    while ((size_t)(text->at - begin) < width) {
        kvr__text_add(text, " ");
    }
}

/* Six decimals of a second, right-aligned. */
static void add_time(kvr__text *text, uint64_t now_ns)
{
    char room[32];
    kvr__text number = kvr__text_in(room, sizeof room);
    kvr__text_add_u64(&number, now_ns / 1000000000);
    kvr__text_add(&number, ".");
    uint64_t micros = now_ns / 1000 % 1000000;
    for (uint64_t unit = 100000; unit > 1 && micros < unit; unit /= 10) {
        kvr__text_add(&number, "0");
    }
    kvr__text_add_u64(&number, micros);
    size_t size = (size_t)(number.at - room);
    pad(text, text->at, size < SECONDS_WIDTH ? SECONDS_WIDTH - size : 0);
    kvr__text_add(text, room);
}

/* The columns before the details. `member` is KVR__SIM_NONE for the whole cluster. */
static kvr__text begin_line(const kvr_sim *sim, char room[LINE_SIZE], uint32_t member,
                            const char *word)
{
    kvr__text text = kvr__text_in(room, LINE_SIZE);
    add_time(&text, sim->now_ns);
    kvr__text_add(&text, "  ");
    if (member == (uint32_t)KVR__SIM_NONE) {
        kvr__text_add(&text, "-");
    } else {
        kvr__text_add_u64(&text, member + 1);
    }
    kvr__text_add(&text, "  ");
    char *begin = text.at;
    kvr__text_add(&text, word);
    pad(&text, begin, WORD_WIDTH);
    return text;
}

static void add(kvr__text *text, const char *words, uint64_t number)
{
    kvr__text_add(text, words);
    kvr__text_add_u64(text, number);
}

static void end_line(const kvr_sim *sim, uint32_t member, const char *room)
{
    sim->sink.log(sim->config.sink_ctx, member, room);
}

/* ------------------------------------------------------------------ names */

/* Numbers of kvraft-message(5). */
static const char *message_name(uint32_t type)
{
    static const char *const names[] = {
        "message?",     "prevote",        "prevote-reply",
        "vote",         "vote-reply",     "append",
        "append-reply", "heartbeat",      "heartbeat-reply",
        "snapshot",     "snapshot-reply", "forward",
        "read",         "read-reply",     "post",
        "transfer",
    };
    return type < sizeof names / sizeof *names ? names[type] : names[0];
}

static const char *request_name(uint32_t kind)
{
    static const char *const names[] = {
        "request?", "load", "append", "vote", "read", "snapshot-write", "snapshot-read", "discard",
    };
    return kind < sizeof names / sizeof *names ? names[kind] : names[0];
}

static const char *event_name(uint32_t kind)
{
    static const char *const names[] = {
        "event?", "receive", "disk",   "timer",   "call",  "crash", "start",
        "cut",    "mend",    "upkeep", "failure", "pause", "stall", "jump",
    };
    return kind < sizeof names / sizeof *names ? names[kind] : names[0];
}

/* ------------------------------------------------------------------ what happened */

static void tell_event(const kvr_sim *sim, const kvr_sim_event *event)
{
    char room[LINE_SIZE];
    kvr__text text = begin_line(sim, room, event->member, event_name(event->kind));
    if (event->kind == KVR_SIM_MESSAGE) {
        add(&text, "", (uint64_t)event->peer + 1);
        kvr__text_add(&text, " ");
        kvr__text_add(&text, message_name(event->message_type));
        add(&text, " term ", event->term);
    } else if (event->kind == KVR_SIM_FAILURE) {
        kvr__text_add(&text, sim->members[event->member].error);
    } else if (event->span_ns != 0) {
        add(&text, "for ", event->span_ns / 1000);
        kvr__text_add(&text, " us");
    } else if (event->kind == KVR_SIM_CUT || event->kind == KVR_SIM_MEND) {
        for (uint32_t from = 0; from < sim->config.member_count; from++) {
            for (uint32_t to = 0; to < sim->config.member_count; to++) {
                if (kvr_sim_is_cut(sim, from, to)) {
                    add(&text, "", (uint64_t)from + 1);
                    add(&text, ">", (uint64_t)to + 1);
                    kvr__text_add(&text, " ");
                }
            }
        }
    }
    end_line(sim, event->member, room);
}

void kvr__sim_trace_event(kvr_sim *sim, const kvr_sim_event *event)
{
    take_in(sim, event->time_ns);
    take_in(sim, (uint64_t)event->kind << 48 | (uint64_t)(event->member & 255) << 40 |
                     (uint64_t)(event->peer & 255) << 32 | event->message_type);
    if (event->kind != KVR_SIM_MESSAGE && event->span_ns != 0) {
        take_in(sim, event->span_ns);
    }
    if (sim->sink.log != NULL) {
        tell_event(sim, event);
    }
}

/* A message begins with its own checksum. */
void kvr__sim_trace_send(kvr_sim *sim, uint32_t member, const kvr_message *message)
{
    bool whole = message->bytes.size >= HEAD_CHECKSUM_SIZE;
    take_in_tag(sim, 's', member, whole ? kvr__load_u64(message->bytes.data) : 0);
    take_in(sim, message->to << 32 ^ message->bytes.size);
    if (sim->sink.log == NULL) {
        return;
    }
    kvr_message_info head = {0};
    kvr_status status = kvr_message_peek(&message->bytes, UINT32_MAX, &head);
    char room[LINE_SIZE];
    kvr__text text = begin_line(sim, room, member, "send");
    add(&text, "", message->to);
    kvr__text_add(&text, " ");
    kvr__text_add(&text, message_name(status == KVR_OK ? head.type : 0));
    add(&text, " term ", head.term);
    add(&text, " bytes ", message->bytes.size);
    end_line(sim, member, room);
}

void kvr__sim_trace_request(kvr_sim *sim, uint32_t member, const kvr_store_request *request)
{
    take_in_tag(sim, 'q', member, (uint64_t)request->kind << 8 | request->flags);
    take_in(sim, request->first_index);
    take_in(sim, request->last_index ^ request->last_term << 40);
    take_in(sim, request->term ^ request->voted_for << 40 ^ request->incarnation << 52);
    take_in(sim, request->offset ^ request->snapshot.index << 32 ^ request->chunk.size << 16);
    if (sim->sink.log == NULL) {
        return;
    }
    char room[LINE_SIZE];
    kvr__text text = begin_line(sim, room, member, "ask");
    kvr__text_add(&text, request_name(request->kind));
    switch (request->kind) {
    case KVR_STORE_APPEND:
        add(&text, " ", request->first_index);
        add(&text, "..", request->last_index);
        add(&text, " last term ", request->last_term);
        break;
    case KVR_STORE_VOTE:
        add(&text, " term ", request->term);
        add(&text, " for ", request->voted_for);
        add(&text, " incarnation ", request->incarnation);
        break;
    case KVR_STORE_SNAPSHOT_WRITE:
        add(&text, " index ", request->snapshot.index);
        add(&text, " offset ", request->offset);
        add(&text, " bytes ", request->chunk.size);
        break;
    case KVR_STORE_SNAPSHOT_READ:
        add(&text, " index ", request->snapshot.index);
        add(&text, " offset ", request->offset);
        break;
    default:
        add(&text, " from ", request->first_index);
        break;
    }
    end_line(sim, member, room);
}

void kvr__sim_trace_result(kvr_sim *sim, uint32_t member, const kvr_store_request *request,
                           const kvr_store_result *result)
{
    take_in_tag(sim, 'r', member, (uint64_t)request->kind << 32 | (uint32_t)result->status);
    take_in(sim, result->first_index ^ result->last_index << 32);
    take_in(sim, result->term ^ result->snapshot.index << 32 ^ result->chunk.size << 48);
    if (sim->sink.log == NULL) {
        return;
    }
    char room[LINE_SIZE];
    kvr__text text = begin_line(sim, room, member, "done");
    kvr__text_add(&text, request_name(request->kind));
    if (request->kind == KVR_STORE_LOAD) {
        add(&text, " term ", result->term);
        add(&text, " log ", result->first_index);
        add(&text, "..", result->last_index);
        add(&text, " snapshot ", result->snapshot.index);
    } else if (request->kind == KVR_STORE_APPEND) {
        add(&text, " ", request->first_index);
        add(&text, "..", request->last_index);
    }
    if (result->status != KVR_OK) {
        kvr__text_add(&text, " ");
        kvr__text_add(&text, kvr_status_name(result->status));
    }
    if (result->detail != NULL) {
        kvr__text_add(&text, ": ");
        kvr__text_add(&text, result->detail);
    }
    end_line(sim, member, room);
}

void kvr__sim_trace_completion(kvr_sim *sim, uint32_t member, const kvr_completion *completion)
{
    static const char *const kinds[] = {"call?",       "write",        "compact",    "read-linear",
                                        "lease-grant", "lease-revoke", "lease-keep", "lease-ttl"};
    static const char *const outcomes[] = {"done", "refused", "unknown"};
    KVR_ASSERT(completion->outcome <= KVR_OUTCOME_UNKNOWN);
    take_in_tag(sim, 'c', member,
                (uint64_t)completion->kind << 40 | (uint64_t)completion->outcome << 32 |
                    (uint32_t)completion->status);
    take_in(sim, completion->revision ^ completion->index << 32);
    take_in(sim, (uint64_t)completion->lease ^ completion->remaining_ns);
    if (sim->sink.log == NULL) {
        return;
    }
    char room[LINE_SIZE];
    kvr__text text = begin_line(sim, room, member, "complete");
    kvr__text_add(&text, kinds[completion->kind < 8 ? completion->kind : 0]);
    kvr__text_add(&text, " ");
    kvr__text_add(&text, outcomes[completion->outcome]);
    if (completion->status != KVR_OK) {
        kvr__text_add(&text, " ");
        kvr__text_add(&text, kvr_status_name(completion->status));
    }
    add(&text, " revision ", completion->revision);
    add(&text, " index ", completion->index);
    end_line(sim, member, room);
}

void kvr__sim_trace_batch(kvr_sim *sim, uint32_t member, const kvr_watch_batch *batch)
{
    take_in_tag(sim, 'w', member, (uint64_t)batch->target_count << 32 | batch->event_count);
    take_in(sim, batch->revision ^ (uint64_t)(uint32_t)batch->status << 32 ^ batch->compacted);
    if (sim->sink.log == NULL) {
        return;
    }
    char room[LINE_SIZE];
    kvr__text text = begin_line(sim, room, member, "watch");
    add(&text, "events ", batch->event_count);
    add(&text, " targets ", batch->target_count);
    add(&text, " revision ", batch->revision);
    if (batch->status != KVR_OK) {
        kvr__text_add(&text, " ");
        kvr__text_add(&text, kvr_status_name(batch->status));
    }
    end_line(sim, member, room);
}

void kvr__sim_trace_say(kvr_sim *sim, uint32_t member, const char *line)
{
    char room[LINE_SIZE];
    kvr__text text = begin_line(sim, room, member, "says");
    kvr__text_add(&text, line);
    end_line(sim, member, room);
}
