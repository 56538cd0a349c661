/* SPDX-License-Identifier: Apache-2.0 */
/* node_snapshot_install.c: this member's state is replaced by a snapshot that storage holds: at
 * start, or because a leader sent it.
 *
 *   WAITING   the entry under way ends first; nothing else is applied any more
 *   READING   chunk by chunk, verified, built beside the old content, which is read meanwhile
 *   ENDING    the whole is verified; the contents are swapped in one step
 *   INDEXING  which keys belong to which lease, from a view, in slices
 *
 * Then raft is told. Short memory begins it afresh a little later. Start at kvr__installing_run. */
#include "node_internal.h"
#include "node_snapshot.h"

enum { STAGE_WAITING = 0, STAGE_READING = 1, STAGE_ENDING = 2, STAGE_INDEXING = 3, STAGE_DONE = 4 };

enum { SECTION_NONE = 0, SECTION_NODE = 1, SECTION_LEASE = 2, SECTION_MVCC = 4, SECTION_ALL = 7 };

struct kvr__installing {
    kvr_node *node;
    kvr_snapshot_meta meta; /* configuration is not kept: raft has it */
    uint64_t offset;        /* of the next chunk */
    uint64_t token;         /* of the read under way; 0: none */
    uint64_t retry_ns;      /* memory was short: not before */
    kvr__stream_reader reader;
    kvr__xxh3 hash;
    kvr__stream_header header;
    kvr__stream_bytes state; /* of the section "node" */
    kvr__origins origins;    /* decoded, to be swapped in */
    kvr__hashes hashes;
    kvr_mvcc_view *view; /* INDEXING */
    kvr_mvcc_cursor cursor;
    kvr_kv kv; /* INDEXING: to be attached */
    bool has_kv;
    bool loading; /* store and book are between load_begin and _end */
    uint8_t stage;
    uint8_t section;  /* under way */
    uint8_t sections; /* those that are complete */
    uint8_t reserved[3];
};

/* ------------------------------------------------------------------ what is read */

static kvr_status take_header(void *ctx, const kvr__stream_header *header)
{
    kvr__installing *installing = ctx;
    const kvr_node *node = installing->node;
    if (header->cluster_id != node->config.cluster_id ||
        header->group_id != node->config.group_id) {
        return KVR_EMISMATCH;
    }
    if (header->level > node->config.level_max) {
        return KVR_EVERSION;
    }
    if (header->index != installing->meta.index || header->term != installing->meta.term) {
        return KVR_ECORRUPT;
    }
    installing->header = *header;
    installing->header.configuration = (kvr_slice){NULL, 0};
    return KVR_OK;
}

static kvr_status begin_section(void *ctx, const kvr__stream_section *section)
{
    static const char names[3][8] = {KVR__SECTION_NODE, KVR__SECTION_LEASE, KVR__SECTION_MVCC};
    kvr__installing *installing = ctx;
    for (uint32_t i = 0; i < 3; i++) {
        if (memcmp(section->name, names[i], sizeof names[i]) != 0) {
            continue;
        }
        if (section->version > KVR__SECTION_VERSION) {
            return KVR_EVERSION;
        }
        installing->section = (uint8_t)(1u << i);
        bool again = (installing->sections & installing->section) != 0;
        return again || section->version == 0 ? KVR_ECORRUPT : KVR_OK;
    }
    return KVR_ENOTFOUND;
}

static kvr_status take_state(kvr__installing *installing, const kvr_slice *block)
{
    kvr__mem *mem = &installing->node->mem;
    if (installing->state.size + block->size > KVR__STATE_BYTES_MAX) {
        return KVR_ECORRUPT;
    }
    uint32_t size = installing->state.size;
    if (kvr__stream_room(mem, &installing->state, block->size) == NULL) {
        return KVR_ENOMEM;
    }
    memcpy(installing->state.data + size, block->data, block->size);
    installing->state.size = size + (uint32_t)block->size;
    return KVR_OK;
}

static kvr_status take_block(void *ctx, const kvr_slice *block)
{
    kvr__installing *installing = ctx;
    switch (installing->section) {
    case SECTION_NODE:
        return take_state(installing, block);
    case SECTION_LEASE:
        return kvr_lease_load_write(installing->node->book, block);
    default:
        return kvr_mvcc_load_write(installing->node->store, block);
    }
}

static kvr_status end_section(void *ctx)
{
    kvr__installing *installing = ctx;
    installing->sections |= installing->section;
    if (installing->section != SECTION_NODE) {
        return KVR_OK;
    }
    kvr_slice bytes = {installing->state.data, installing->state.size};
    return kvr__state_read(bytes, &installing->origins, &installing->hashes);
}

static const kvr__stream_sink sink = {take_header, begin_section, take_block, end_section};

/* ------------------------------------------------------------------ beginning and ending */

/* Forgets what was read. */
static void reset(kvr__installing *installing)
{
    kvr_node *node = installing->node;
    if (installing->loading) {
        kvr_mvcc_load_abort(node->store);
        kvr_lease_load_abort(node->book);
        installing->loading = false;
    }
    kvr__stream_reader_release(&installing->reader);
    kvr__stream_bytes_release(&node->mem, &installing->state);
    kvr__origins_release(&installing->origins);
    kvr__hashes_release(&installing->hashes);
    kvr_mvcc_view_free(installing->view);
    installing->view = NULL;
    installing->offset = 0;
    installing->token = 0; /* a late answer finds nobody */
    installing->sections = 0;
    installing->section = SECTION_NONE;
    installing->stage = STAGE_WAITING;
}

void kvr__installing_release(kvr_node *node)
{
    kvr__installing *installing = node->snapshots.installing;
    if (installing != NULL) {
        reset(installing);
        kvr__mem_free(&node->mem, KVR__MEM_MESSAGE, installing, sizeof *installing);
        node->snapshots.installing = NULL;
    }
}

kvr_status kvr__installing_begin(kvr_node *node, const kvr_snapshot_meta *meta)
{
    kvr__installing *installing = node->snapshots.installing;
    if (installing == NULL) {
        installing = kvr__mem_zalloc(&node->mem, KVR__MEM_MESSAGE, sizeof *installing);
        if (installing == NULL) {
            return KVR_ENOMEM;
        }
        installing->node = node;
        kvr__origins_init(&installing->origins, &node->mem);
        kvr__hashes_init(&installing->hashes, &node->mem);
        kvr__stream_reader_init(&installing->reader, &node->mem, &sink, installing);
        node->snapshots.installing = installing;
    } else if (installing->meta.index == meta->index && installing->meta.term == meta->term) {
        return KVR_OK;
    }
    reset(installing); /* a newer one takes the place of an older one (FAULTS 64) */
    installing->meta = *meta;
    installing->meta.configuration = (kvr_slice){NULL, 0};
    kvr__apply_drop_queue(node);
    kvr__taking_abandon(node);
    return KVR_OK;
}

static kvr_status put_off(kvr__installing *installing)
{
    reset(installing);
    installing->retry_ns = installing->node->now_ns + installing->node->config.heartbeat_ns;
    return KVR_ENOMEM;
}

static kvr_status fail(kvr__installing *installing, kvr_status status)
{
    kvr_node *node = installing->node;
    uint64_t index = installing->meta.index;
    if (status == KVR_ENOMEM) {
        return put_off(installing);
    }
    reset(installing);
    if (status == KVR_EVERSION) {
        return kvr__node_fail(node, KVR_FVERSION,
                              "a snapshot is of a newer version; run that version; at index",
                              index);
    }
    if (status == KVR_EMISMATCH) {
        return kvr__node_fail(node, KVR_FCORRUPT,
                              "a snapshot belongs to another cluster or group; check the data "
                              "directory; at index",
                              index);
    }
    return kvr__node_fail(node, KVR_FCORRUPT,
                          "a snapshot is damaged; remove this member from the cluster and add a "
                          "new one with empty data; at index",
                          index);
}

/* ------------------------------------------------------------------ reading */

static kvr_status start_reading(kvr__installing *installing)
{
    kvr_node *node = installing->node;
    kvr_status status = kvr_lease_load_begin(node->book);
    if (status == KVR_OK) {
        status = kvr_mvcc_load_begin(node->store);
        if (status != KVR_OK) {
            kvr_lease_load_abort(node->book);
        }
    }
    if (status != KVR_OK) {
        return fail(installing, status);
    }
    installing->loading = true;
    kvr__stream_reader_init(&installing->reader, &node->mem, &sink, installing);
    kvr__xxh3_reset(&installing->hash);
    installing->stage = STAGE_READING;
    return KVR_OK;
}

bool kvr__installing_has_request(const kvr_node *node)
{
    const kvr__installing *installing = node->snapshots.installing;
    return installing != NULL && installing->stage == STAGE_READING && installing->token == 0;
}

void kvr__installing_request(kvr_node *node, kvr_store_request *out_request)
{
    kvr__installing *installing = node->snapshots.installing;
    installing->token = kvr__snapshot_token(node);
    *out_request = (kvr_store_request){
        .size = sizeof *out_request,
        .kind = KVR_STORE_SNAPSHOT_READ,
        .group_id = node->config.group_id,
        .token = installing->token,
        .offset = installing->offset,
        .byte_max = node->config.snapshot_chunk_bytes,
        .snapshot = installing->meta,
    };
}

static kvr_status take_end(kvr__installing *installing)
{
    uint8_t hash[16];
    kvr__xxh3_digest_128(&installing->hash, hash);
    if (installing->offset != installing->meta.bytes || installing->sections != SECTION_ALL ||
        memcmp(hash, installing->meta.hash, sizeof hash) != 0 ||
        !kvr__stream_reader_is_complete(&installing->reader)) {
        return KVR_ECORRUPT;
    }
    installing->stage = STAGE_ENDING;
    return KVR_OK;
}

static kvr_status take_chunk(kvr__installing *installing, const kvr_slice *chunk)
{
    if (chunk->size == 0) {
        return take_end(installing);
    }
    if (chunk->size > installing->meta.bytes - installing->offset) {
        return KVR_ECORRUPT; /* longer than it may be: nothing of it is believed */
    }
    kvr__xxh3_update(&installing->hash, chunk->data, chunk->size);
    installing->offset += chunk->size;
    kvr_status status = kvr__stream_reader_take(&installing->reader, chunk);
    if (status == KVR_OK && installing->offset == installing->meta.bytes) {
        status = take_end(installing);
    }
    return status;
}

kvr_status kvr__installing_done(kvr_node *node, const kvr_store_result *result)
{
    kvr__installing *installing = node->snapshots.installing;
    if (installing == NULL || installing->token != result->token) {
        /* Of one that was given up; a token that was never handed out is the host's mistake. */
        bool was_ours = (result->token & ~KVR__TOKEN_OWN) <= node->snapshots.tokens;
        return was_ours ? KVR_OK : KVR_EINVAL;
    }
    installing->token = 0;
    /* Storage without room says ENOSPACE: to be asked again, as after a lack of memory here. */
    kvr_status status = result->status == KVR_ENOSPACE ? KVR_ENOMEM : result->status;
    if (status == KVR_OK) {
        status = take_chunk(installing, &result->chunk);
    } else if (status != KVR_ECORRUPT && status != KVR_ENOTFOUND && status != KVR_ENOMEM) {
        (void)kvr__node_fail(
            node, KVR_FSTORAGE,
            result->detail != NULL
                ? result->detail
                : "a snapshot could not be read; mend the disk and restart; at index",
            installing->meta.index);
        return KVR_OK;
    }
    if (status != KVR_OK) {
        (void)fail(installing, status);
    }
    return KVR_OK;
}

/* ------------------------------------------------------------------ the swap */

static kvr_status end(kvr__installing *installing)
{
    kvr_node *node = installing->node;
    kvr_status status = kvr_mvcc_load_end(node->store);
    if (status != KVR_OK) {
        return fail(installing, status);
    }
    status = kvr_lease_load_end(node->book);
    installing->loading = false;
    if (status != KVR_OK) {
        kvr_lease_load_abort(node->book);
        /* the store is swapped already: there is no way back */
        return fail(installing, KVR_ECORRUPT);
    }
    kvr__origins_release(&node->origins);
    node->origins = installing->origins;
    kvr__origins_init(&installing->origins, &node->mem);
    kvr__hashes_take_points(&node->hashes, &installing->hashes);
    if (kvr__state_hash_live(node) != installing->header.hash_live) {
        return fail(installing, KVR_ECORRUPT);
    }
    kvr__attach_release(&node->attach);
    installing->stage = STAGE_INDEXING;
    return KVR_OK;
}

/* One key that has a lease. Short memory: the same one again. */
static kvr_status attach_one(kvr__installing *installing)
{
    kvr_node *node = installing->node;
    if (!installing->has_kv) {
        kvr_status status = kvr_mvcc_cursor_next(&installing->cursor, &installing->kv);
        if (status == KVR_END) {
            installing->stage = STAGE_DONE;
            return KVR_OK;
        }
        KVR_ASSERT(status == KVR_OK);
        installing->has_kv = true;
    }
    const kvr_kv *kv = &installing->kv;
    if (kv->lease != 0) {
        if (!kvr_lease_exists(node->book, kv->lease)) {
            return fail(installing, KVR_ECORRUPT);
        }
        kvr_status status = kvr__attach_reserve(&node->attach, kv->lease, &kv->key);
        if (status != KVR_OK) {
            return status;
        }
        kvr__attach_add(&node->attach, kv->lease, &kv->key);
    }
    installing->has_kv = false;
    return KVR_OK;
}

static kvr_status index_leases(kvr__installing *installing, uint32_t *budget)
{
    static const uint8_t zero[1] = {0};
    kvr_node *node = installing->node;
    kvr_lease_status leases = {.size = sizeof leases};
    kvr_lease_get_status(node->book, &leases);
    if (leases.leases == 0) { /* no key can have one: no walk over all keys */
        installing->stage = STAGE_DONE;
        return KVR_OK;
    }
    if (installing->view == NULL) {
        kvr_status status = kvr_mvcc_view_open(node->store, &installing->view);
        if (status != KVR_OK) {
            return status;
        }
        kvr_range all = {.size = sizeof all, .key = {zero, 1}, .range_end = {zero, 1}};
        status = kvr_mvcc_cursor_init(&installing->cursor, installing->view, &all);
        KVR_ASSERT(status == KVR_OK);
    }
    kvr_status status = KVR_OK;
    for (uint32_t keys = 0; status == KVR_OK && installing->stage == STAGE_INDEXING; keys++) {
        if (keys % 16 == 0) { /* looking at a key is much less than applying one */
            if (*budget == 0) {
                break;
            }
            *budget -= 1;
        }
        status = attach_one(installing);
    }
    return status;
}

static kvr_status finish(kvr__installing *installing)
{
    kvr_node *node = installing->node;
    const kvr__stream_header *header = &installing->header;
    uint64_t index = header->index;
    kvr_status status = kvr_raft_applied(node->raft, index);
    if (status != KVR_OK) {
        return status;
    }
    node->applied = (kvr__applied){.index = index,
                                   .term = header->term,
                                   .lease_clock = header->lease_clock,
                                   .chain = header->hash_chain,
                                   .level = header->level};
    kvr_raft_lease_clock_raise(node->raft, header->lease_clock);
    node->apply.told_index = index;
    node->apply.compacting = true; /* what the old content left to be freed */
    node->snapshots.last_index = index;
    node->snapshots.last_bytes = installing->meta.bytes;
    node->snapshots.log_bytes = 0;
    node->snapshots.installed++;
    kvr__installing_release(node);
    kvr__calls_skipped(node);
    kvr__leasing_reset(node);
    kvr__exchange_tell(node);
    return KVR_OK;
}

kvr_status kvr__installing_run(kvr_node *node, uint32_t *budget)
{
    kvr__installing *installing = node->snapshots.installing;
    if (installing == NULL) {
        return KVR_OK;
    }
    kvr_status status = KVR_OK;
    if (installing->stage == STAGE_WAITING && node->apply.stage == KVR__APPLY_IDLE &&
        node->now_ns >= installing->retry_ns) {
        status = start_reading(installing);
    }
    if (status == KVR_OK && installing->stage == STAGE_ENDING) {
        status = end(installing);
    }
    if (status == KVR_OK && installing->stage == STAGE_INDEXING && *budget > 0) {
        status = index_leases(installing, budget);
    }
    if (status == KVR_OK && installing->stage == STAGE_DONE) {
        status = finish(installing);
    }
    return status;
}

bool kvr__installing_has_work(const kvr_node *node)
{
    const kvr__installing *installing = node->snapshots.installing;
    if (installing == NULL) {
        return false;
    }
    if (installing->stage == STAGE_READING) {
        return installing->token == 0;
    }
    return installing->stage != STAGE_WAITING || node->now_ns >= installing->retry_ns;
}

uint64_t kvr__installing_deadline(const kvr_node *node)
{
    const kvr__installing *installing = node->snapshots.installing;
    bool waits = installing != NULL && installing->stage == STAGE_WAITING;
    return waits ? installing->retry_ns : UINT64_MAX;
}
