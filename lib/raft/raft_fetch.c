/* SPDX-License-Identifier: Apache-2.0 */
/* raft_fetch.c: memory holds the newest entries only; a follower that needs older ones gets them
 * from storage, one read for one follower at a time, straight from the answer into a message. So
 * memory stays small and warm however long the log, and a slow follower costs one read at a time.
 *
 *     snapshot    storage                        memory
 *   ............|first_index ......... base| base+1 ........ last|
 *        transfer       fetch                    send_append */
#include "base/codec.h"
#include "base/entry.h"
#include "raft_internal.h"

/* ------------------------------------------------------------------ out of memory */

/* Entries that are durable and applied here, and that every follower in step has, may leave memory.
 * One that is slow may hold them back for as much as its window. */
void kvr__raft_fetch_evict(kvr_raft *raft)
{
    uint64_t held = raft->log.end_position - raft->log.begin_position;
    uint64_t keep = KVR_BUGGIFY(&raft->mem, RAFT_EVICT_ALL) ? 1 : raft->config.log_memory_bytes;
    uint64_t limit = raft->store.durable_index;
    limit = raft->applied < limit ? raft->applied : limit;
    bool patient = raft->role == KVR_ROLE_LEADER && held < keep + raft->config.inflight_bytes_max;
    for (uint32_t i = 0; patient && i < raft->member_count; i++) {
        const kvr__raft_progress *progress = &raft->members[i].progress;
        if (progress->state == KVR__RAFT_REPLICATE && progress->match < limit) {
            limit = progress->match;
        }
    }
    kvr__raft_log_evict(&raft->log, limit, keep);
    raft->evict_position = raft->log.end_position + keep / 8;
}

/* ------------------------------------------------------------------ asking storage */

/* The term of the entry before those that are wanted, which is committed and so never changes. */
static bool prev_term(const kvr_raft *raft, const kvr__raft_progress *progress, uint64_t *out_term)
{
    uint64_t prev = progress->next - 1;
    if (prev != 0 && prev == progress->fetched_prev) {
        *out_term = progress->fetched_prev_term;
        return true;
    }
    if (prev == raft->snapshot.meta.index) { /* 0 of term 0 if there is no snapshot */
        *out_term = raft->snapshot.meta.term;
        return true;
    }
    return kvr__raft_log_term(&raft->log, prev, out_term);
}

/* True if what follows progress->next - 1 is not in memory, and storage has it and the term before
 * it. */
static bool can_fetch(const kvr_raft *raft, const kvr__raft_progress *progress)
{
    uint64_t prev = progress->next - 1;
    uint64_t term = 0;
    uint64_t first = raft->store.first_index;
    return progress->next >= first && progress->next <= raft->log.base_index &&
           (prev >= first || prev_term(raft, progress, &term));
}

bool kvr__raft_fetch_want(kvr_raft *raft, kvr__raft_progress *progress)
{
    if (!can_fetch(raft, progress)) {
        return false;
    }
    progress->fetching = true;
    raft->fetch_due = true;
    raft->work = true;
    return true;
}

/* The next follower that waits for entries, in turn after the one served last; NULL: none. */
static kvr__raft_member *next_waiting(const kvr_raft *raft)
{
    kvr__raft_member *lowest = NULL;
    for (uint32_t i = 0; i < raft->member_count; i++) {
        kvr__raft_member *member = &raft->members[i];
        if (!member->progress.fetching) {
            continue;
        }
        if (member->id > raft->store.fetch_for) {
            return member;
        }
        lowest = lowest == NULL ? member : lowest;
    }
    return lowest;
}

kvr_status kvr__raft_fetch_read(kvr_raft *raft)
{
    kvr__raft_store *store = &raft->store;
    if (store->fetch_token != 0 || store->discard_token != 0) {
        return KVR_OK; /* one at a time, and never while what it wants may be discarded */
    }
    kvr__raft_member *member = next_waiting(raft);
    if (member == NULL) {
        raft->fetch_due = false;
        return KVR_OK;
    }
    if (!can_fetch(raft, &member->progress)) { /* it moved on while it waited, or was discarded */
        member->progress.fetching = false;
        raft->send_due = true;
        return KVR_OK;
    }
    kvr_store_request *request = NULL;
    if (kvr__raft_store_request(raft, KVR_STORE_READ, &request) != KVR_OK) {
        return KVR_ENOMEM;
    }
    uint64_t prev = member->progress.next - 1;
    bool known = prev_term(raft, &member->progress, &store->fetch_prev_term);
    store->fetch_token = request->token;
    store->fetch_for = member->id;
    store->fetch_prev = prev;
    store->fetch_first = known ? prev + 1 : prev; /* else it is read for its term */
    store->fetch_term = raft->term;
    request->first_index = store->fetch_first;
    request->last_index = raft->log.base_index;
    request->byte_max =
        KVR_BUGGIFY(&raft->mem, RAFT_FETCH_ONE) ? 1 : raft->config.message_bytes_max;
    return KVR_OK;
}

/* ------------------------------------------------------------------ the answer */

/* What of an answer goes into one append. */
typedef struct run {
    uint64_t prev_term;
    uint64_t last;
    uint64_t last_term;
    uint64_t size;  /* bytes of the entries after prev */
    uint64_t stubs; /* the same, as a witness gets them */
    size_t skip;    /* bytes of prev itself, at the start of the first piece */
    bool sound;
} run;

static run examine(const kvr_raft *raft, const kvr_store_result *result, bool only_one)
{
    const kvr__raft_store *store = &raft->store;
    run r = {.prev_term = store->fetch_prev_term, .last = store->fetch_prev};
    uint64_t index = store->fetch_first;
    for (uint32_t i = 0; i < result->piece_count; i++) {
        kvr_slice rest = result->pieces[i];
        while (rest.size > 0 && !(only_one && r.last > store->fetch_prev)) {
            kvr_entry entry;
            if (kvr__entry_read(rest, true, &entry) != KVR_OK || entry.index != index ||
                entry.term > raft->term) {
                return r;
            }
            r.last_term = entry.term;
            if (index == store->fetch_prev) {
                r.prev_term = entry.term;
                r.skip = entry.bytes.size;
            } else {
                r.size += entry.bytes.size;
                r.stubs += kvr__entry_stub_size(entry.bytes.data);
                r.last = index;
            }
            rest.data += entry.bytes.size;
            rest.size -= entry.bytes.size;
            index++;
        }
    }
    r.sound = index > store->fetch_first && index - 1 <= raft->log.base_index;
    return r;
}

/* `size` bytes of whole entries, as they are or as stubs. Returns the place after them. */
static uint8_t *copy(uint8_t *out, const uint8_t *entries, uint64_t size, bool stubs)
{
    if (!stubs) {
        memcpy(out, entries, (size_t)size);
        return out + size;
    }
    for (const uint8_t *end = entries + size; entries < end;) {
        kvr__entry_stub_write(out, entries);
        out += kvr__entry_stub_size(entries);
        entries += (size_t)kvr__load_u16(entries) + kvr__load_u32(entries + 32);
    }
    return out;
}

/* KVR_ENOMEM: as if the message were lost. */
static kvr_status send_run(kvr_raft *raft, kvr__raft_member *member, const kvr_store_result *result,
                           const run *r)
{
    kvr__raft_progress *progress = &member->progress;
    if (kvr__ring_reserve(&progress->inflight, 1) != KVR_OK) {
        return KVR_ENOMEM;
    }
    bool stubs = kvr__raft_is_witness(member);
    uint64_t size = stubs ? r->stubs : r->size;
    uint8_t *body =
        kvr__raft_outbox_open(raft, member->id, KVR__RAFT_APPEND, KVR__RAFT_APPEND_SIZE + size);
    if (body == NULL) {
        return KVR_ENOMEM;
    }
    kvr__raft_append append = {
        .prev_index = raft->store.fetch_prev,
        .prev_term = r->prev_term,
        .commit = raft->commit,
        .round = raft->round,
        .lease_clock = kvr__raft_replication_lease_clock(raft),
        .entry_count = (uint32_t)(r->last - raft->store.fetch_prev),
    };
    kvr__raft_message_exempt(body - KVR__RAFT_HEAD_SIZE, (uint32_t)size);
    kvr__raft_message_write_append(body, &append);
    body += KVR__RAFT_APPEND_SIZE;
    uint64_t left = r->size;
    size_t skip = r->skip;
    for (uint32_t i = 0; left > 0; i++) {
        size = result->pieces[i].size - skip;
        size = size < left ? size : left;
        body = copy(body, result->pieces[i].data + skip, size, stubs);
        left -= size;
        skip = 0;
    }
    kvr__raft_progress_sent(progress, r->last);
    return KVR_OK;
}

kvr_status kvr__raft_fetch_done(kvr_raft *raft, const kvr_store_result *result)
{
    kvr__raft_store *store = &raft->store;
    store->fetch_token = 0;
    raft->work = true;
    bool may_pass = result->status == KVR_ENOTFOUND || result->status == KVR_ENOSPACE;
    if (result->status != KVR_OK && !may_pass) {
        kvr__raft_fail(raft, result->status == KVR_ECORRUPT ? KVR_FCORRUPT : KVR_FSTORAGE,
                       "reading entries failed", result->detail);
        return raft->failed;
    }
    kvr__raft_member *member = kvr__raft_members_find(raft, store->fetch_for);
    if (raft->role != KVR_ROLE_LEADER || raft->term != store->fetch_term || member == NULL ||
        !member->progress.fetching) {
        return KVR_OK;
    }
    member->progress.fetching = false;
    raft->send_due = true;
    if (result->status != KVR_OK || member->progress.next - 1 != store->fetch_prev) {
        return KVR_OK; /* it moved on, or storage did, or lacked memory: looked at anew */
    }
    run r = examine(raft, result, member->progress.state == KVR__RAFT_PROBE);
    if (!r.sound) {
        kvr__raft_fail(raft, KVR_FCORRUPT, "storage gave entries that were not asked for",
                       result->detail);
        return raft->failed;
    }
    member->progress.fetched_prev = r.last;
    member->progress.fetched_prev_term = r.last_term;
    if (r.last == store->fetch_prev) {
        return KVR_OK; /* the next one did not fit beside it: it is read by itself */
    }
    return send_run(raft, member, result, &r);
}
