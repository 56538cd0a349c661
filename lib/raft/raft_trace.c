/* SPDX-License-Identifier: Apache-2.0 */
/* raft_trace.c: what happens, one event a change, in the shape that the trace validation of Raft's
 * TLA+ specification reads (etcd-io/raft, tla/): the state after the change, and of a message the
 * fields that the specification knows. Which name stands for which of its actions: kvraft-raft(3).
 * Events that find no memory or no place are counted, and lost. */
#include "base/array.h"
#include "raft_internal.h"

static kvr_trace_event *new_event(kvr_raft *raft, const char *name)
{
    if (raft->trace_count == KVR__RAFT_TRACES_MAX ||
        kvr__array_grow(&raft->mem, KVR__MEM_MESSAGE, (void **)&raft->traces, &raft->trace_capacity,
                        raft->trace_count + 1, sizeof *raft->traces) != KVR_OK) {
        raft->traces_lost++;
        return NULL;
    }
    kvr_trace_event *event = &raft->traces[raft->trace_count];
    *event = (kvr_trace_event){
        .time_ns = raft->now,
        .group_id = raft->config.group_id,
        .member_id = raft->config.member_id,
        .term = raft->term,
        .vote = raft->vote,
        .commit = raft->commit,
        .last_index = raft->log.last_index,
        .role = raft->role,
        .name = name,
    };
    raft->trace_count++;
    raft->work = true;
    return event;
}

void kvr__raft_trace_event(kvr_raft *raft, const char *name, uint64_t index, uint64_t peer)
{
    kvr_trace_event *event = new_event(raft, name);
    if (event != NULL) {
        event->index = index;
        event->peer = peer;
    }
}

/* What the specification knows of a body. The others' type says enough. */
static void read_body(const kvr__raft_message *message, kvr_trace_event *out)
{
    kvr__raft_vote vote;
    kvr__raft_vote_reply vote_reply;
    kvr__raft_append append;
    kvr__raft_append_reply append_reply;
    kvr__raft_heartbeat heartbeat;
    kvr__raft_snapshot_chunk chunk;
    switch (message->head.type) {
    case KVR__RAFT_PREVOTE:
    case KVR__RAFT_VOTE:
        kvr__raft_message_read_vote(message->body, &vote);
        out->index = vote.last_index;
        out->message_log_term = vote.last_term;
        break;
    case KVR__RAFT_PREVOTE_REPLY:
    case KVR__RAFT_VOTE_REPLY:
        kvr__raft_message_read_vote_reply(message->body, &vote_reply);
        out->message_refuses = (vote_reply.flags & KVR__RAFT_GRANTED) == 0;
        break;
    case KVR__RAFT_APPEND:
        kvr__raft_message_read_append(message->body, &append);
        out->index = append.prev_index;
        out->message_log_term = append.prev_term;
        out->message_commit = append.commit;
        out->message_entries = append.entry_count;
        break;
    case KVR__RAFT_APPEND_REPLY:
        kvr__raft_message_read_append_reply(message->body, &append_reply);
        out->index = append_reply.index;
        out->message_refuses = (append_reply.flags & KVR__RAFT_REFUSED) != 0;
        out->message_hint = append_reply.hint_index;
        break;
    case KVR__RAFT_HEARTBEAT:
        kvr__raft_message_read_heartbeat(message->body, &heartbeat);
        out->message_commit = heartbeat.commit;
        break;
    case KVR__RAFT_SNAPSHOT:
        kvr__raft_message_read_snapshot(message->body, &chunk);
        out->index = chunk.meta.index;
        out->message_log_term = chunk.meta.term;
        break;
    default:
        break;
    }
}

void kvr__raft_trace_message_event(kvr_raft *raft, const kvr__raft_message *message, bool sent)
{
    kvr_trace_event *event = new_event(raft, sent ? "send" : "receive");
    if (event != NULL) {
        event->peer = sent ? message->head.to : message->head.from;
        event->message = message->head.type;
        event->message_term = message->head.term;
        read_body(message, event);
    }
}
