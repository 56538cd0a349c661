/* SPDX-License-Identifier: Apache-2.0 */
/* raft_configuration.c: encode, decode and verify configurations, and nothing else. */
#include "raft_configuration.h"

#include "base/codec.h"
#include "raft_quorum.h"

enum {
    VERSION = 1,
    KNOWN_FLAGS = KVR__RAFT_CONFIGURATION_JOINT | KVR__RAFT_CONFIGURATION_AUTO_LEAVE
};

size_t kvr__raft_configuration_size(const kvr_member *members, uint32_t count)
{
    size_t size = KVR__RAFT_CONFIGURATION_HEAD;
    for (uint32_t i = 0; i < count; i++) {
        if (members[i].attributes.size > KVR__RAFT_ATTRIBUTES_MAX) {
            return 0;
        }
        size += KVR__RAFT_CONFIGURATION_RECORD + members[i].attributes.size;
    }
    return size;
}

uint8_t *kvr__raft_configuration_write_head(uint8_t *out, const kvr__raft_configuration_head *head)
{
    memset(out, 0, KVR__RAFT_CONFIGURATION_HEAD);
    kvr__store_u16(out, KVR__RAFT_CONFIGURATION_HEAD);
    out[2] = VERSION;
    out[3] = head->flags;
    kvr__store_u32(out + 4, head->count);
    kvr__store_u64(out + 8, head->highest_id);
    kvr__store_u32(out + 16, head->data_copies_min);
    for (uint32_t i = 0; i < 3; i++) {
        kvr__store_u64(out + 24 + (size_t)i * 8, head->context[i]);
    }
    kvr__store_u64(out + KVR__RAFT_CONFIGURATION_LEASE_AT, head->lease_ns);
    return out + KVR__RAFT_CONFIGURATION_HEAD;
}

uint8_t *kvr__raft_configuration_write_record(uint8_t *out, const kvr__raft_record *record)
{
    size_t size = record->attributes.size;
    memset(out, 0, KVR__RAFT_CONFIGURATION_RECORD);
    kvr__store_u16(out, KVR__RAFT_CONFIGURATION_RECORD);
    out[2] = record->role;
    out[3] = record->role_outgoing;
    kvr__store_u32(out + 4, (uint32_t)size);
    kvr__store_u64(out + 8, record->id);
    out[16] = record->flags;
    out += KVR__RAFT_CONFIGURATION_RECORD;
    if (size > 0) {
        memcpy(out, record->attributes.data, size);
    }
    return out + size;
}

void kvr__raft_configuration_write(uint8_t *out, const kvr_member *members, uint32_t count)
{
    kvr__raft_configuration_head head = {.count = count};
    head.highest_id = count == 0 ? 0 : members[count - 1].id;
    out = kvr__raft_configuration_write_head(out, &head);
    for (uint32_t i = 0; i < count; i++) {
        kvr__raft_record record = {
            .id = members[i].id,
            .attributes = members[i].attributes,
            .role = members[i].role,
            .role_outgoing = KVR__RAFT_ROLE_NONE,
            .flags = members[i].flags,
        };
        out = kvr__raft_configuration_write_record(out, &record);
    }
}

/* ------------------------------------------------------------------ reading */

void kvr__raft_configuration_read_head(kvr_slice encoded, kvr__raft_configuration_head *out_head)
{
    uint8_t room[KVR__RAFT_CONFIGURATION_HEAD] = {0};
    size_t size = encoded.size < KVR__RAFT_CONFIGURATION_HEAD_MIN ? 0 : kvr__load_u16(encoded.data);
    memcpy(room, encoded.data, size < sizeof room ? size : sizeof room);
    *out_head = (kvr__raft_configuration_head){
        .highest_id = kvr__load_u64(room + 8),
        .context = {kvr__load_u64(room + 24), kvr__load_u64(room + 32), kvr__load_u64(room + 40)},
        .lease_ns = kvr__load_u64(room + KVR__RAFT_CONFIGURATION_LEASE_AT),
        .count = kvr__load_u32(room + 4),
        .data_copies_min = kvr__load_u32(room + 16),
        .flags = room[3],
    };
    kvr__raft_record record;
    size_t at = 0;
    while (kvr__raft_configuration_next(encoded, &at, &record) == KVR_OK) {
        out_head->highest_id = record.id > out_head->highest_id ? record.id : out_head->highest_id;
    }
}

bool kvr__raft_configuration_find(kvr_slice encoded, uint64_t id, kvr__raft_record *out_record)
{
    size_t at = 0;
    while (kvr__raft_configuration_next(encoded, &at, out_record) == KVR_OK) {
        if (out_record->id == id) {
            return true;
        }
    }
    return false;
}

kvr_status kvr__raft_configuration_next(kvr_slice encoded, size_t *at, kvr__raft_record *out_record)
{
    if (*at == 0) {
        if (encoded.size < KVR__RAFT_CONFIGURATION_HEAD_MIN ||
            kvr__load_u16(encoded.data) > encoded.size) {
            return KVR_ECORRUPT;
        }
        *at = kvr__load_u16(encoded.data);
    }
    kvr__reader reader = kvr__reader_of(encoded.data + *at, encoded.size - *at);
    if (kvr__reader_left(&reader) == 0) {
        return KVR_END;
    }
    uint16_t head_size = kvr__read_u16(&reader);
    uint8_t role = kvr__read_u8(&reader);
    uint8_t role_outgoing = kvr__read_u8(&reader);
    uint32_t attributes_size = kvr__read_u32(&reader);
    uint64_t id = kvr__read_u64(&reader);
    if (head_size < KVR__RAFT_CONFIGURATION_RECORD_MIN ||
        attributes_size > KVR__RAFT_ATTRIBUTES_MAX) {
        return KVR_ECORRUPT;
    }
    uint8_t flags = head_size > KVR__RAFT_CONFIGURATION_RECORD_MIN ? kvr__read_u8(&reader) : 0;
    size_t read =
        KVR__RAFT_CONFIGURATION_RECORD_MIN + (head_size > KVR__RAFT_CONFIGURATION_RECORD_MIN);
    (void)kvr__read_bytes(&reader, (size_t)head_size - read);
    const uint8_t *attributes = kvr__read_bytes(&reader, attributes_size);
    if (reader.failed) {
        return KVR_ECORRUPT;
    }
    *out_record = (kvr__raft_record){
        .id = id,
        .attributes = {attributes, attributes_size},
        .role = role,
        .role_outgoing = role_outgoing,
        .flags = flags,
    };
    *at = encoded.size - kvr__reader_left(&reader);
    return KVR_OK;
}

static bool role_is_known(uint8_t role)
{
    return role <= KVR_MEMBER_WITNESS || role == KVR__RAFT_ROLE_NONE;
}

kvr_status kvr__raft_configuration_verify(kvr_slice encoded, uint32_t *out_count)
{
    if (encoded.size < KVR__RAFT_CONFIGURATION_HEAD_MIN ||
        kvr__load_u16(encoded.data) < KVR__RAFT_CONFIGURATION_HEAD_MIN) {
        return KVR_ECORRUPT;
    }
    uint8_t flags = encoded.data[3];
    if (encoded.data[2] != VERSION || (flags & ~KNOWN_FLAGS) != 0) {
        return encoded.data[2] == 0 ? KVR_ECORRUPT : KVR_EVERSION;
    }
    bool joint = (flags & KVR__RAFT_CONFIGURATION_JOINT) != 0;
    kvr__raft_record record = {0};
    size_t at = 0;
    uint64_t last_id = 0;
    uint32_t count = 0;
    uint32_t voters = 0;
    uint32_t voters_outgoing = 0;
    kvr_status status;
    while ((status = kvr__raft_configuration_next(encoded, &at, &record)) == KVR_OK) {
        if (record.id <= last_id || !role_is_known(record.role) ||
            !role_is_known(record.role_outgoing) || count == KVR__RAFT_MEMBERS_MAX) {
            return KVR_ECORRUPT;
        }
        if (!joint &&
            (record.role == KVR__RAFT_ROLE_NONE || record.role_outgoing != KVR__RAFT_ROLE_NONE)) {
            return KVR_ECORRUPT;
        }
        last_id = record.id;
        count++;
        voters += record.role == KVR_MEMBER_VOTER;
        voters_outgoing += record.role_outgoing == KVR_MEMBER_VOTER;
    }
    if (status != KVR_END || count != kvr__load_u32(encoded.data + 4) ||
        (count > 0 && voters == 0) || (joint && voters_outgoing == 0)) {
        return KVR_ECORRUPT;
    }
    *out_count = count;
    return KVR_OK;
}

bool kvr__raft_configuration_is_joint(kvr_slice encoded)
{
    return (encoded.data[3] & KVR__RAFT_CONFIGURATION_JOINT) != 0;
}

kvr_status kvr_configuration_member(const kvr_slice *encoded, uint32_t i, kvr_member *out_member)
{
    kvr__raft_record record = {0};
    size_t at = 0;
    for (uint32_t n = 0; n <= i; n++) {
        kvr_status status = kvr__raft_configuration_next(*encoded, &at, &record);
        if (status != KVR_OK) {
            return status;
        }
    }
    *out_member = (kvr_member){.id = record.id,
                               .role = record.role,
                               .flags = record.flags,
                               .attributes = record.attributes};
    return KVR_OK;
}

void kvr_configuration_context(const kvr_slice *encoded, uint64_t out_context[3])
{
    kvr__raft_configuration_head head;
    kvr__raft_configuration_read_head(*encoded, &head);
    if ((head.flags & KVR__RAFT_CONFIGURATION_AUTO_LEAVE) != 0) {
        memset(head.context, 0, sizeof head.context);
    }
    memcpy(out_context, head.context, sizeof head.context);
}

uint64_t kvr_configuration_highest_id(const kvr_slice *encoded)
{
    kvr__raft_configuration_head head;
    kvr__raft_configuration_read_head(*encoded, &head);
    return head.highest_id;
}

kvr_status kvr_configuration_write(const kvr_member *members, uint32_t count, uint64_t highest_id,
                                   uint8_t *out, size_t capacity, size_t *out_size)
{
    size_t size = kvr__raft_configuration_size(members, count);
    uint32_t verified = 0;
    if (size == 0 || size > capacity) {
        return KVR_ETOOBIG;
    }
    kvr__raft_configuration_write(out, members, count);
    if (kvr__raft_configuration_verify((kvr_slice){out, size}, &verified) != KVR_OK) {
        return KVR_EINVAL;
    }
    if (highest_id > kvr__load_u64(out + KVR__RAFT_CONFIGURATION_HIGHEST_AT)) {
        kvr__store_u64(out + KVR__RAFT_CONFIGURATION_HIGHEST_AT, highest_id);
    }
    *out_size = size;
    return KVR_OK;
}
