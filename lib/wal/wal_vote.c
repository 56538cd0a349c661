/* SPDX-License-Identifier: Apache-2.0 */
/* wal_vote.c: term, vote and incarnation. Two slots in different 4-KiB blocks are written in turn,
 * so a torn write spoils only the slot that nobody was told of yet. Within its block a slot stands
 * twice, in different sectors: a sector that rots does not bring the older vote back. Beyond that,
 * slots and log vouch for each other: a slot names the last durable record, a record the last
 * durable slot (Raft, Figure 2: persistent state, updated before responding). */
#include "wal_internal.h"

#include "base/assertion.h"

static const char remedy_lost[] =
    "remove this member and let a new one, with another id and an empty directory, take its place; "
    "an older copy of its files has forgotten votes and entries";

enum { SLOTS = 2, COPIES = 2 };

typedef struct search {
    kvr__wal_vote newest; /* sequence 0: none yet */
    uint32_t copies;      /* of the newest */
    bool is_newer;        /* a slot that this release cannot read */
} search;

static kvr_status read_copy(kvr_wal *wal, uint32_t slot, uint32_t copy, search *found)
{
    uint8_t bytes[KVR__WAL_HEAD_SIZE_MAX];
    uint64_t offset = (uint64_t)slot * KVR__WAL_SLOT_SIZE + (uint64_t)copy * KVR__WAL_SLOT_COPY;
    size_t size;
    kvr_status status =
        kvr__wal_files_read(wal, &wal->vote_file, offset, bytes, sizeof bytes, &size);
    if (status != KVR_OK) {
        return status;
    }
    kvr__wal_vote vote;
    status = kvr__wal_vote_read((kvr_slice){bytes, size}, &vote);
    if (status == KVR_EVERSION) {
        found->is_newer = true;
    }
    if (status != KVR_OK || vote.sequence % SLOTS != slot) {
        return KVR_OK;
    }
    if (vote.sequence > found->newest.sequence) {
        found->newest = vote;
        found->copies = 0;
    }
    found->copies += vote.sequence == found->newest.sequence;
    return KVR_OK;
}

static kvr_status check_identity(kvr_wal *wal, const kvr__wal_vote *vote)
{
    const kvr_wal_config *config = &wal->config;
    bool is_many = vote->kind == KVR__WAL_STORE_OF_MANY;
    if (is_many != kvr__wal_group_is_many(wal)) {
        return kvr__wal_files_report(
            wal, &(kvr__wal_damage){.status = KVR_EMISMATCH,
                                    .file = KVR__WAL_VOTE_NAME,
                                    .what = is_many ? "a store of many groups, opened as one of one"
                                                    : "a store of one group, opened as one of many",
                                    .remedy = "open it as what it is"});
    }
    if (vote->cluster_id == config->cluster_id && vote->member_id == config->member_id &&
        vote->group_id == config->group_id) {
        return KVR_OK;
    }
    kvr__wal_identity theirs = {vote->cluster_id, vote->member_id, vote->group_id};
    return kvr__wal_files_report_stranger(wal, KVR__WAL_VOTE_NAME, &theirs);
}

static void set_vote(kvr_wal *wal, const kvr__wal_vote *vote)
{
    wal->vote = *vote;
    if (!kvr__wal_group_is_many(wal)) {
        kvr__wal_group *group = wal->groups.items[0];
        group->term = vote->term;
        group->voted_for = vote->voted_for;
        group->incarnation = vote->incarnation;
    }
}

kvr_status kvr__wal_vote_load(kvr_wal *wal)
{
    kvr_status status =
        kvr__wal_files_open(wal, KVR__WAL_VOTE_NAME, KVR_FILE_READ, &wal->vote_file);
    if (status != KVR_OK) {
        return status;
    }
    search found = {.copies = 0};
    for (uint32_t i = 0; i < SLOTS * COPIES && status == KVR_OK; i++) {
        status = read_copy(wal, i / COPIES, i % COPIES, &found);
    }
    kvr__wal_files_close(wal, &wal->vote_file);
    if (status != KVR_OK) {
        return status;
    }
    if (found.is_newer) {
        return kvr__wal_files_report(wal, &(kvr__wal_damage){.status = KVR_EVERSION,
                                                             .file = KVR__WAL_VOTE_NAME,
                                                             .what = "a newer format version",
                                                             .remedy = "use a newer release"});
    }
    if (found.newest.sequence == 0) {
        return kvr__wal_files_report(wal, &(kvr__wal_damage){.status = KVR_FCORRUPT,
                                                             .file = KVR__WAL_VOTE_NAME,
                                                             .what = "no slot is whole",
                                                             .remedy = remedy_lost});
    }
    wal->vote_is_whole = found.copies == COPIES;
    status = check_identity(wal, &found.newest);
    set_vote(wal, &found.newest);
    return status;
}

static void fill_block(uint8_t block[KVR__WAL_SLOT_SIZE], const kvr__wal_vote *vote)
{
    memset(block, 0, KVR__WAL_SLOT_SIZE);
    kvr__wal_vote_write(block, vote);
    kvr__wal_vote_write(block + KVR__WAL_SLOT_COPY, vote);
}

static kvr_status write_slot(kvr_wal *wal, const kvr__wal_vote *vote)
{
    uint8_t block[KVR__WAL_SLOT_SIZE];
    fill_block(block, vote);
    uint64_t offset = vote->sequence % SLOTS * KVR__WAL_SLOT_SIZE;
    kvr_status status = KVR_OK;
    if (!wal->vote_file.is_open) {
        status = kvr__wal_files_open(wal, KVR__WAL_VOTE_NAME, KVR_FILE_READ | KVR_FILE_WRITE,
                                     &wal->vote_file);
    }
    if (status == KVR_OK) {
        status =
            kvr__wal_files_write(wal, &wal->vote_file, (kvr_slice){block, sizeof block}, offset);
    }
    return status == KVR_OK ? kvr__wal_files_flush(wal, &wal->vote_file) : status;
}

/* Under another name until all of it is durable: a file called "vote" always holds a whole slot. */
kvr_status kvr__wal_vote_create(kvr_wal *wal)
{
    kvr__wal_vote vote = {
        .kind = kvr__wal_group_is_many(wal) ? KVR__WAL_STORE_OF_MANY : KVR__WAL_STORE_OF_ONE,
        .sequence = 1,
        .cluster_id = wal->config.cluster_id,
        .member_id = wal->config.member_id,
        .group_id = wal->config.group_id,
    };
    kvr_status status = kvr__wal_files_random(wal, &vote.store_id);
    if (status != KVR_OK) {
        return status;
    }
    uint8_t blocks[KVR__WAL_VOTE_FILE_SIZE] = {0};
    fill_block(blocks + KVR__WAL_SLOT_SIZE, &vote);
    kvr__wal_file part = {.is_open = false};
    status = kvr__wal_files_open(wal, KVR__WAL_VOTE_PART,
                                 KVR_FILE_READ | KVR_FILE_WRITE | KVR_FILE_CREATE, &part);
    if (status == KVR_OK) {
        status = kvr__wal_files_write(wal, &part, (kvr_slice){blocks, sizeof blocks}, 0);
    }
    if (status == KVR_OK) {
        status = kvr__wal_files_flush(wal, &part);
    }
    kvr__wal_files_close(wal, &part);
    if (status == KVR_OK) {
        status = kvr__wal_files_rename(wal, KVR__WAL_VOTE_PART, KVR__WAL_VOTE_NAME);
    }
    if (status == KVR_OK) {
        status = kvr__wal_files_flush_names(wal);
    }
    if (status == KVR_OK) {
        set_vote(wal, &vote);
        wal->vote_is_whole = true;
    }
    return status;
}

kvr_status kvr__wal_vote_settle(kvr_wal *wal, uint64_t durable_sequence)
{
    if (wal->vote_is_whole && wal->vote.sequence <= durable_sequence) {
        return KVR_OK;
    }
    wal->vote_is_whole = true;
    return write_slot(wal, &wal->vote);
}

/* What Raft never does: forget a term, vote twice in one, or start with an incarnation again. */
const char *kvr__wal_vote_refuses(const kvr__wal_group *now, const kvr_store_request *request)
{
    if (request->term < now->term) {
        return "a term that goes back";
    }
    if (request->term == now->term && now->voted_for != 0 && request->voted_for != now->voted_for) {
        return "a second vote in one term";
    }
    return request->incarnation < now->incarnation ? "an incarnation that goes back" : NULL;
}

/* Writes `vote` as the next slot; it names the last record, which is durable. */
static kvr_status write_next(kvr_wal *wal, kvr__wal_vote vote)
{
    vote.sequence = wal->vote.sequence + 1;
    vote.record_sequence = wal->sequence;
    vote.record_checksum = wal->checksum;
    kvr_status status = write_slot(wal, &vote);
    if (status == KVR_OK) {
        KVR_ASSERT(vote.term >= wal->vote.term);
        set_vote(wal, &vote);
    }
    return status;
}

kvr_status kvr__wal_vote_vouch(kvr_wal *wal)
{
    return wal->vote.record_sequence == wal->sequence ? KVR_OK : write_next(wal, wal->vote);
}

kvr_status kvr__wal_vote_store(kvr_wal *wal, const kvr_store_request *request)
{
    const char *what = kvr__wal_vote_refuses(wal->groups.items[0], request);
    if (what != NULL) {
        return kvr__wal_files_report(wal, &(kvr__wal_damage){.status = KVR_EINVAL,
                                                             .file = "",
                                                             .what = what,
                                                             .remedy = "a bug of the caller"});
    }
    kvr__wal_vote vote = wal->vote;
    vote.term = request->term;
    vote.voted_for = request->voted_for;
    vote.incarnation = request->incarnation;
    kvr_status status = write_next(wal, vote);
    wal->unvouched = wal->unvouched || status == KVR_OK;
    return status;
}
