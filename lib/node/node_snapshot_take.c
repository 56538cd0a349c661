/* SPDX-License-Identifier: Apache-2.0 */
/* node_snapshot_take.c: a snapshot of this member, streamed while writes go on: no pause, no copy
 * of the store.
 *
 *   begin    a view at the applied index; what is small is written at once: header, "node", "lease"
 *   fill     then "mvcc" from the view, in slices, into one of two chunks while storage writes the
 *            other
 *   finish   the last chunk waits until the own log is durable up to the index, so that a snapshot
 *            never stands above its log (FAULTS 59, 62); when it is stored, raft lets go of the log
 *            behind it
 *
 * Memory that cannot be had, or a full disk, put it off; nothing else waits for it. Start at
 * kvr__taking_run. */
#include "base/buggify.h"
#include "node_internal.h"
#include "node_snapshot.h"

/* One of the two chunks. Free -> filling -> ready -> under way -> free. */
enum { CHUNK_FREE = 0, CHUNK_FILLING = 1, CHUNK_READY = 2, CHUNK_UNDER_WAY = 3 };

typedef struct chunk {
    kvr__stream_bytes bytes;
    uint64_t offset;
    uint64_t token;
    uint8_t state;
    bool last;
    uint8_t reserved[6];
} chunk;

struct kvr__taking {
    kvr_mvcc_view *view;
    kvr_mvcc_save *save;
    kvr__stream_bytes head; /* everything before the blocks of "mvcc" */
    uint8_t *configuration;
    size_t configuration_size;
    kvr_snapshot_meta meta;
    kvr__stream_sum sum; /* of the section "mvcc" */
    kvr__xxh3 hash;      /* of the stream */
    uint64_t produced;   /* bytes of the stream so far */
    uint64_t log_bytes;  /* of the log that it stands for */
    chunk chunks[2];
    uint32_t filling;    /* which of them is filled next */
    uint32_t writing;    /* which is written next */
    uint32_t head_given; /* bytes of `head` that stand in chunks */
    bool produced_all;
    bool stored;    /* raft is to be told */
    bool abandoned; /* waits only for the answer to its request */
    uint8_t reserved;
};

/* ------------------------------------------------------------------ begin and end */

static void free_taking(kvr_node *node, kvr__taking *taking)
{
    kvr_mvcc_save_free(taking->save);
    kvr_mvcc_view_free(taking->view);
    kvr__stream_bytes_release(&node->mem, &taking->head);
    kvr__stream_bytes_release(&node->mem, &taking->chunks[0].bytes);
    kvr__stream_bytes_release(&node->mem, &taking->chunks[1].bytes);
    kvr__mem_free(&node->mem, KVR__MEM_MESSAGE, taking->configuration, taking->configuration_size);
    kvr__mem_free(&node->mem, KVR__MEM_MESSAGE, taking, sizeof *taking);
}

void kvr__taking_release(kvr_node *node)
{
    node->no_space = false;
    if (node->snapshots.taking != NULL) {
        free_taking(node, node->snapshots.taking);
        node->snapshots.taking = NULL;
    }
}

static bool is_under_way(const kvr__taking *taking)
{
    return taking->chunks[0].state == CHUNK_UNDER_WAY || taking->chunks[1].state == CHUNK_UNDER_WAY;
}

void kvr__taking_abandon(kvr_node *node)
{
    kvr__taking *taking = node->snapshots.taking;
    if (taking == NULL || !is_under_way(taking)) {
        kvr__taking_release(node);
        return;
    }
    taking->abandoned = true; /* its chunk is lent to storage */
    kvr_mvcc_save_free(taking->save);
    kvr_mvcc_view_free(taking->view);
    taking->save = NULL;
    taking->view = NULL;
}

static kvr_status copy_configuration(kvr_node *node, kvr__taking *taking)
{
    kvr_slice encoded;
    kvr_status status = KVR_OK;
    if (node->snapshots.configuration != NULL) {
        encoded = *node->snapshots.configuration;
    } else {
        status = kvr_raft_configuration(node->raft, node->applied.index, &encoded);
    }
    if (status != KVR_OK || encoded.size == 0) {
        return status;
    }
    taking->configuration = kvr__mem_alloc(&node->mem, KVR__MEM_MESSAGE, encoded.size);
    if (taking->configuration == NULL) {
        return KVR_ENOMEM;
    }
    taking->configuration_size = encoded.size;
    memcpy(taking->configuration, encoded.data, encoded.size);
    taking->meta.configuration = (kvr_slice){taking->configuration, encoded.size};
    return KVR_OK;
}

static kvr_status put_node_section(kvr_node *node, kvr__taking *taking)
{
    kvr__stream_sum *sum = &taking->sum;
    size_t size = kvr__state_size(node);
    uint8_t *room = kvr__mem_alloc(&node->mem, KVR__MEM_MESSAGE, size);
    if (room == NULL) {
        return KVR_ENOMEM;
    }
    kvr__writer writer = kvr__writer_of(room, size);
    kvr__state_write(node, &writer);
    KVR_ASSERT(!writer.failed && writer.at == writer.end);
    kvr_status status = kvr__stream_put_section(&node->mem, &taking->head, KVR__SECTION_NODE,
                                                KVR__SECTION_VERSION, sum);
    if (status == KVR_OK) {
        status = kvr__stream_put_block(&node->mem, &taking->head, (kvr_slice){room, size}, sum);
    }
    if (status == KVR_OK) {
        status = kvr__stream_put_section_end(&node->mem, &taking->head, sum);
    }
    kvr__mem_free(&node->mem, KVR__MEM_MESSAGE, room, size);
    return status;
}

static kvr_status put_lease_section(kvr_node *node, kvr__taking *taking)
{
    kvr__stream_sum *sum = &taking->sum;
    kvr_lease_save save;
    kvr_lease_save_init(&save, node->book);
    kvr_status status = kvr__stream_put_section(&node->mem, &taking->head, KVR__SECTION_LEASE,
                                                KVR__SECTION_VERSION, sum);
    while (status == KVR_OK) {
        uint8_t room[4096];
        size_t size = 0;
        status = kvr_lease_save_read(&save, node->book, room, sizeof room, &size);
        if (status == KVR_OK) {
            status = kvr__stream_put_block(&node->mem, &taking->head, (kvr_slice){room, size}, sum);
        }
    }
    if (status != KVR_END) {
        return status;
    }
    return kvr__stream_put_section_end(&node->mem, &taking->head, sum);
}

static kvr_status put_head(kvr_node *node, kvr__taking *taking)
{
    kvr__stream_header header = {
        .level = node->applied.level,
        .section_count = KVR__SECTION_COUNT,
        .cluster_id = node->config.cluster_id,
        .group_id = node->config.group_id,
        .index = node->applied.index,
        .term = node->applied.term,
        .lease_clock = node->applied.lease_clock,
        .hash_chain = node->applied.chain,
        .hash_live = kvr__state_hash_live(node),
        .revision = kvr_mvcc_view_revision(taking->view),
        .configuration = taking->meta.configuration,
    };
    kvr_status status = kvr__stream_put_header(&node->mem, &taking->head, &header);
    if (status == KVR_OK) {
        status = put_node_section(node, taking);
    }
    if (status == KVR_OK) {
        status = put_lease_section(node, taking);
    }
    if (status == KVR_OK) {
        status = kvr__stream_put_section(&node->mem, &taking->head, KVR__SECTION_MVCC,
                                         KVR__SECTION_VERSION, &taking->sum);
    }
    return status;
}

static kvr_status prepare(kvr_node *node, kvr__taking *taking)
{
    taking->meta.index = node->applied.index;
    taking->meta.term = node->applied.term;
    taking->log_bytes = node->snapshots.log_bytes;
    kvr__xxh3_reset(&taking->hash);
    kvr_status status = copy_configuration(node, taking);
    if (status == KVR_OK) {
        status = kvr_mvcc_view_open(node->store, &taking->view);
    }
    if (status == KVR_OK) {
        status = kvr_mvcc_save_new(taking->view, &taking->save);
    }
    return status == KVR_OK ? put_head(node, taking) : status;
}

static void begin(kvr_node *node)
{
    kvr__taking *taking = kvr__mem_zalloc(&node->mem, KVR__MEM_MESSAGE, sizeof *taking);
    if (taking != NULL && prepare(node, taking) == KVR_OK) {
        node->snapshots.taking = taking;
        node->snapshots.wanted = false;
        return;
    }
    if (taking != NULL) {
        free_taking(node, taking);
    }
    node->snapshots.retry_ns = node->now_ns + node->config.election_ns;
}

/* When the log since the last one has outgrown both an entry count and the last one's size. */
static bool is_due(const kvr_node *node)
{
    const kvr__snapshots *snapshots = &node->snapshots;
    if (!node->loaded || snapshots->taking != NULL || snapshots->installing != NULL ||
        node->apply.stage != KVR__APPLY_IDLE || node->applied.index <= snapshots->last_index ||
        node->now_ns < snapshots->retry_ns) {
        return false;
    }
    uint64_t bytes = snapshots->last_bytes > node->config.snapshot_bytes_min
                         ? snapshots->last_bytes
                         : node->config.snapshot_bytes_min;
    bool is_long = node->applied.index - snapshots->last_index >= node->config.snapshot_entries &&
                   snapshots->log_bytes >= bytes;
    bool is_early =
        node->applied.index - snapshots->last_index > node->config.snapshot_entries / 2 &&
        KVR_BUGGIFY(&node->mem, NODE_SNAPSHOT_EARLY);
    return snapshots->wanted || is_long || is_early;
}

/* ------------------------------------------------------------------ filling */

static kvr_status give_head(kvr_node *node, kvr__taking *taking, chunk *into)
{
    uint32_t left = taking->head.size - taking->head_given;
    uint32_t room = node->config.snapshot_chunk_bytes - into->bytes.size;
    uint32_t size = left < room ? left : room;
    memcpy(into->bytes.data + into->bytes.size, taking->head.data + taking->head_given, size);
    into->bytes.size += size;
    taking->head_given += size;
    taking->produced += size;
    return KVR_OK;
}

static kvr_status give_tail(kvr_node *node, kvr__taking *taking, chunk *into)
{
    kvr__stream_bytes *bytes = &into->bytes;
    uint64_t before = taking->produced + KVR__FRAME_HEAD + KVR__SECTION_END_SIZE;
    kvr_status status = kvr__stream_put_section_end(&node->mem, bytes, &taking->sum);
    if (status == KVR_OK) {
        status = kvr__stream_put_end(&node->mem, bytes, before);
    }
    KVR_ASSERT(status == KVR_OK); /* the chunk has room for both */
    taking->produced = before + KVR__FRAME_HEAD + 8;
    taking->produced_all = true;
    into->last = true;
    return KVR_OK;
}

enum { TAIL_SIZE = 2 * KVR__FRAME_HEAD + KVR__SECTION_END_SIZE + 8, SLICE_BYTES = 32 * 1024 };

/* One block from the store, read straight into the chunk. False: the chunk is as full as it
 * gets. */
static bool give_block(kvr_node *node, kvr__taking *taking, chunk *into, size_t *out_size)
{
    size_t room = node->config.snapshot_chunk_bytes - into->bytes.size;
    size_t size = 0;
    *out_size = 0;
    if (room < KVR__FRAME_HEAD + 1024 + TAIL_SIZE) {
        return false;
    }
    room -= KVR__FRAME_HEAD + TAIL_SIZE;
    uint8_t *body = into->bytes.data + into->bytes.size + KVR__FRAME_HEAD;
    kvr_status status = kvr_mvcc_save_read(taking->save, body,
                                           room < SLICE_BYTES ? room : (size_t)SLICE_BYTES, &size);
    if (status == KVR_END) {
        (void)give_tail(node, taking, into);
        return false;
    }
    KVR_ASSERT(status == KVR_OK && size > 0);
    kvr__xxh3_update(&taking->sum.hash, body, size);
    taking->sum.bytes += size;
    kvr__stream_seal(body, KVR__FRAME_BLOCK, size);
    into->bytes.size += (uint32_t)(KVR__FRAME_HEAD + size);
    taking->produced += KVR__FRAME_HEAD + size;
    *out_size = size;
    return true;
}

static kvr_status start_chunk(kvr_node *node, kvr__taking *taking, chunk *into)
{
    kvr__stream_bytes *bytes = &into->bytes;
    if (bytes->capacity < node->config.snapshot_chunk_bytes) {
        if (kvr__stream_room(&node->mem, bytes,
                             node->config.snapshot_chunk_bytes - KVR__FRAME_HEAD) == NULL) {
            return KVR_ENOMEM;
        }
    }
    bytes->size = 0;
    into->offset = taking->produced;
    into->last = false;
    into->state = CHUNK_FILLING;
    return KVR_OK;
}

static void fill(kvr_node *node, kvr__taking *taking, uint32_t *budget)
{
    chunk *into = &taking->chunks[taking->filling];
    if (into->state == CHUNK_FREE && start_chunk(node, taking, into) != KVR_OK) {
        node->snapshots.retry_ns = node->now_ns + node->config.heartbeat_ns;
        return;
    }
    while (into->state == CHUNK_FILLING && *budget > 0) {
        size_t size = 0;
        bool more = true;
        if (taking->head_given < taking->head.size) {
            uint32_t before = into->bytes.size;
            (void)give_head(node, taking, into);
            size = into->bytes.size - before;
            more = into->bytes.size < node->config.snapshot_chunk_bytes;
        } else {
            more = give_block(node, taking, into, &size);
        }
        uint32_t cost = 1 + (uint32_t)(size / 1024);
        *budget -= cost < *budget ? cost : *budget;
        if (!more) {
            into->state = CHUNK_READY;
            kvr__xxh3_update(&taking->hash, into->bytes.data, into->bytes.size);
            taking->filling ^= 1;
        }
    }
    if (taking->produced_all) {
        taking->meta.bytes = taking->produced;
        kvr__xxh3_digest_128(&taking->hash, taking->meta.hash);
    }
}

static bool may_fill(const kvr_node *node, const kvr__taking *taking)
{
    return !taking->produced_all && !taking->abandoned &&
           node->now_ns >= node->snapshots.retry_ns &&
           taking->chunks[taking->filling].state <= CHUNK_FILLING;
}

/* ------------------------------------------------------------------ storing */

static bool may_write(const kvr_node *node, const kvr__taking *taking)
{
    const chunk *next = &taking->chunks[taking->writing];
    if (taking->abandoned || next->state != CHUNK_READY || is_under_way(taking) ||
        node->now_ns < node->snapshots.retry_ns) {
        return false;
    }
    return !next->last || node->raft_status.durable_index >= taking->meta.index;
}

bool kvr__taking_has_request(const kvr_node *node)
{
    return node->snapshots.taking != NULL && may_write(node, node->snapshots.taking);
}

void kvr__taking_request(kvr_node *node, kvr_store_request *out_request)
{
    kvr__taking *taking = node->snapshots.taking;
    chunk *next = &taking->chunks[taking->writing];
    next->token = kvr__snapshot_token(node);
    next->state = CHUNK_UNDER_WAY;
    *out_request = (kvr_store_request){
        .size = sizeof *out_request,
        .kind = KVR_STORE_SNAPSHOT_WRITE,
        .flags = next->last ? KVR_STORE_LAST : 0,
        .source = KVR_SNAPSHOT_LOCAL,
        .group_id = node->config.group_id,
        .token = next->token,
        .offset = next->offset,
        .chunk = {next->bytes.data, next->bytes.size},
        .snapshot = taking->meta,
    };
}

kvr_status kvr__taking_done(kvr_node *node, const kvr_store_result *result)
{
    kvr__taking *taking = node->snapshots.taking;
    chunk *written = taking == NULL ? NULL : &taking->chunks[taking->writing];
    if (written == NULL || written->state != CHUNK_UNDER_WAY || written->token != result->token) {
        return KVR_EINVAL;
    }
    written->state = CHUNK_READY;
    if (taking->abandoned) {
        kvr__taking_release(node);
        return KVR_OK;
    }
    node->no_space = result->status == KVR_ENOSPACE;
    if (node->no_space) {
        node->snapshots.retry_ns = node->now_ns + node->config.election_ns;
        return KVR_OK;
    }
    if (result->status != KVR_OK) {
        (void)kvr__node_fail(
            node, KVR_FSTORAGE,
            result->detail != NULL
                ? result->detail
                : "a snapshot could not be written; mend the disk and restart; at index",
            taking->meta.index);
        return KVR_OK;
    }
    written->state = CHUNK_FREE;
    taking->writing ^= 1;
    taking->stored = written->last;
    return KVR_OK;
}

/* KVR_ENOMEM of raft puts it off. KVR_EINVAL: one that was received meanwhile is newer. */
static kvr_status tell_raft(kvr_node *node, kvr__taking *taking)
{
    kvr__snapshots *snapshots = &node->snapshots;
    kvr_status status = kvr_raft_snapshotted(node->raft, &taking->meta, node->config.keep_entries);
    if (status == KVR_ENOMEM || kvr_status_is_fatal(status)) {
        return status;
    }
    if (status == KVR_OK) {
        snapshots->last_index = taking->meta.index;
        snapshots->last_bytes = taking->meta.bytes;
        snapshots->log_bytes -= taking->log_bytes;
        snapshots->taken++;
    }
    kvr__taking_release(node);
    return KVR_OK;
}

/* ------------------------------------------------------------------ when */

kvr_status kvr__taking_run(kvr_node *node, uint32_t *budget)
{
    if (is_due(node)) {
        begin(node);
    }
    kvr__taking *taking = node->snapshots.taking;
    if (taking == NULL) {
        return KVR_OK;
    }
    if (taking->stored) {
        return tell_raft(node, taking);
    }
    while (*budget > 0 && may_fill(node, taking)) {
        fill(node, taking, budget);
    }
    return KVR_OK;
}

bool kvr__taking_has_work(const kvr_node *node)
{
    const kvr__taking *taking = node->snapshots.taking;
    if (taking == NULL) {
        return is_due(node);
    }
    return taking->stored || may_fill(node, taking) || may_write(node, taking);
}
