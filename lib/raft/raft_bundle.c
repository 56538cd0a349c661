/* SPDX-License-Identifier: Apache-2.0 */
/* raft_bundle.c: messages of many groups between the same two members, as one. Most of what idle
 * groups say are heartbeats that differ in little but their group; they are written as what
 * differs:
 *
 *   type   0: a whole message     size (4), message
 *          7, 8: a heartbeat, reply    words in its body (1), then as LEB128: group less that of
 *          the one before (zigzag), term, each word of the body
 *
 * What is read is byte for byte what was added: a message that the short form would not give back
 * exactly is written whole. Knows no member and no group; any host may do the same by itself. */
#include "base/array.h"
#include "base/assertion.h"
#include "base/codec.h"
#include "raft_message.h"

#include "base/memory.h"

#include <string.h>

enum {
    BUNDLE_BYTES_MIN = 4096,
    BUNDLE_BYTES_DEFAULT = 1024 * 1024,
    BUNDLE_BYTES_MAX = 64 * 1024 * 1024,
    ITEM_WHOLE = 0,
    ITEM_WHOLE_HEAD = 5,
    WORDS_MAX = 11,  /* of a body in short form */
    VARINT_MAX = 10, /* bytes */
    ITEM_SHORT_MAX = 2 + (WORDS_MAX + 2) * VARINT_MAX,
    ITEM_ROOM = KVR__RAFT_HEAD_SIZE + 8 * WORDS_MAX
};

struct kvr_bundle {
    kvr__mem mem;
    kvr_message_info head; /* of the bundle: cluster, from, to and level are those of all in it */
    uint64_t group;        /* of the newest in short form */
    uint8_t *bytes;
    uint32_t size; /* 0: empty; else the head is counted */
    uint32_t capacity;
    uint32_t bytes_max;
    bool is_taken;
};

/* ------------------------------------------------------------------ numbers */

static size_t put_number(uint8_t *out, uint64_t value)
{
    size_t size = 0;
    for (; value >= 0x80; value >>= 7) {
        out[size++] = (uint8_t)(value | 0x80);
    }
    out[size++] = (uint8_t)value;
    return size;
}

/* False: it does not end in time. */
static bool take_number(kvr__reader *from, uint64_t *out_value)
{
    uint64_t value = 0;
    for (uint32_t shift = 0; shift < 64; shift += 7) {
        uint8_t byte = kvr__read_u8(from);
        value |= (uint64_t)(byte & 0x7F) << shift;
        if ((byte & 0x80) == 0) {
            *out_value = value;
            return !from->failed && (shift < 63 || byte <= 1);
        }
    }
    return false;
}

static uint64_t zigzag(uint64_t delta)
{
    return delta << 1 ^ (0 - (delta >> 63));
}

static uint64_t unzigzag(uint64_t value)
{
    return value >> 1 ^ (0 - (value & 1));
}

/* ------------------------------------------------------------------ the short form */

/* Writes what the short form says back into a whole message. */
static void expand(uint8_t room[ITEM_ROOM], const kvr_message_info *head, const uint64_t *words,
                   uint32_t word_count)
{
    kvr__raft_message_write_head(room, head);
    for (uint32_t i = 0; i < word_count; i++) {
        kvr__store_u64(room + KVR__RAFT_HEAD_SIZE + (size_t)i * 8, words[i]);
    }
    kvr__raft_message_seal(room, KVR__RAFT_HEAD_SIZE + word_count * 8);
}

/* Bytes of the short form at `out`; 0: this message has none. */
static size_t shorten(uint8_t out[ITEM_SHORT_MAX], const kvr_bundle *bundle,
                      const kvr_message_info *info, const kvr_slice *message)
{
    size_t body_size = message->size - KVR__RAFT_HEAD_SIZE;
    bool is_beat = info->type == KVR__RAFT_HEARTBEAT || info->type == KVR__RAFT_HEARTBEAT_REPLY;
    if (!is_beat || body_size % 8 != 0 || body_size > (size_t)8 * WORDS_MAX) {
        return 0;
    }
    uint64_t words[WORDS_MAX];
    uint32_t count = (uint32_t)(body_size / 8);
    size_t size = 2;
    out[0] = info->type;
    out[1] = (uint8_t)count;
    size += put_number(out + size, zigzag(info->group_id - bundle->group));
    size += put_number(out + size, info->term);
    for (uint32_t i = 0; i < count; i++) {
        words[i] = kvr__load_u64(message->data + KVR__RAFT_HEAD_SIZE + (size_t)i * 8);
        size += put_number(out + size, words[i]);
    }
    kvr_message_info head = bundle->head;
    head.type = info->type;
    head.group_id = info->group_id;
    head.term = info->term;
    uint8_t again[ITEM_ROOM];
    expand(again, &head, words, count);
    return memcmp(again, message->data, message->size) == 0 ? size : 0;
}

/* ------------------------------------------------------------------ adding */

kvr_status kvr_bundle_new(const kvr_allocator *table, void *ctx, uint32_t bytes_max,
                          kvr_bundle **out_bundle)
{
    bytes_max = bytes_max == 0 ? BUNDLE_BYTES_DEFAULT : bytes_max;
    if (out_bundle == NULL || bytes_max < BUNDLE_BYTES_MIN || bytes_max > BUNDLE_BYTES_MAX) {
        return KVR_EINVAL;
    }
    void *handle;
    kvr_status status =
        kvr__mem_new_handle(table, ctx, sizeof(kvr_bundle), offsetof(kvr_bundle, mem), &handle);
    if (status != KVR_OK) {
        return status;
    }
    kvr_bundle *bundle = handle;
    bundle->bytes_max = bytes_max;
    *out_bundle = bundle;
    return KVR_OK;
}

void kvr_bundle_free(kvr_bundle *bundle)
{
    if (bundle != NULL) {
        kvr__mem_free(&bundle->mem, KVR__MEM_MESSAGE, bundle->bytes, bundle->capacity);
        kvr__mem_free_handle(bundle, sizeof *bundle, offsetof(kvr_bundle, mem));
    }
}

static void begin_bundle(kvr_bundle *bundle, const kvr_message_info *first)
{
    bundle->head = *first;
    bundle->head.type = KVR__RAFT_BUNDLE;
    bundle->head.group_id = 0;
    bundle->head.term = 0;
    bundle->group = 0;
    bundle->size = KVR__RAFT_HEAD_SIZE;
    bundle->is_taken = false;
}

/* KVR_OK, KVR_EINVAL, KVR_EBUSY. */
static kvr_status judge_addition(const kvr_bundle *bundle, const kvr_slice *message,
                                 kvr_message_info *info)
{
    if (message == NULL || kvr_message_peek(message, UINT32_MAX, info) != KVR_OK ||
        info->length != message->size || info->type == KVR__RAFT_BUNDLE ||
        message->size > BUNDLE_BYTES_MAX) {
        return KVR_EINVAL;
    }
    if (bundle->size == 0 || bundle->is_taken) {
        return KVR_OK;
    }
    const kvr_message_info *head = &bundle->head;
    bool is_same = info->cluster_id == head->cluster_id && info->from == head->from &&
                   info->to == head->to && info->level == head->level;
    return is_same && bundle->size + message->size + ITEM_WHOLE_HEAD <= bundle->bytes_max
               ? KVR_OK
               : KVR_EBUSY;
}

kvr_status kvr_bundle_add(kvr_bundle *bundle, const kvr_slice *message)
{
    kvr_message_info info;
    kvr_status status = judge_addition(bundle, message, &info);
    if (status != KVR_OK) {
        return status;
    }
    bool is_first = bundle->size == 0 || bundle->is_taken;
    uint32_t size = is_first ? KVR__RAFT_HEAD_SIZE : bundle->size;
    if (kvr__array_grow(&bundle->mem, KVR__MEM_MESSAGE, (void **)&bundle->bytes, &bundle->capacity,
                        size + ITEM_WHOLE_HEAD + ITEM_SHORT_MAX + (uint32_t)message->size,
                        1) != KVR_OK) {
        return KVR_ENOMEM;
    }
    if (is_first) {
        begin_bundle(bundle, &info);
    }
    uint8_t *out = bundle->bytes + bundle->size;
    size_t short_size = shorten(out, bundle, &info, message);
    if (short_size > 0) {
        bundle->group = info.group_id;
        bundle->size += (uint32_t)short_size;
        return KVR_OK;
    }
    out[0] = ITEM_WHOLE;
    kvr__store_u32(out + 1, (uint32_t)message->size);
    memcpy(out + ITEM_WHOLE_HEAD, message->data, message->size);
    bundle->size += ITEM_WHOLE_HEAD + (uint32_t)message->size;
    return KVR_OK;
}

kvr_status kvr_bundle_take(kvr_bundle *bundle, kvr_slice *out_message)
{
    if (bundle->size == 0 || bundle->is_taken) {
        return KVR_END;
    }
    kvr__raft_message_write_head(bundle->bytes, &bundle->head);
    kvr__raft_message_seal(bundle->bytes, bundle->size);
    bundle->is_taken = true;
    *out_message = (kvr_slice){bundle->bytes, bundle->size};
    return KVR_OK;
}

/* ------------------------------------------------------------------ reading */

bool kvr_message_is_bundle(uint8_t type)
{
    return type == KVR__RAFT_BUNDLE;
}

typedef struct bundle_reading {
    kvr__reader from;
    kvr_message_info head;
    uint64_t group;
    uint8_t room[ITEM_ROOM];
} bundle_reading;

_Static_assert(sizeof(bundle_reading) <= sizeof(kvr_bundle_reader),
               "it lives in the caller's memory");

kvr_status kvr_bundle_open(kvr_bundle_reader *opaque, const kvr_slice *message)
{
    bundle_reading *reading = (bundle_reading *)(void *)opaque;
    kvr_message_info head;
    kvr_status status = kvr__raft_message_verify(*message, &head);
    if (status != KVR_OK) {
        return status;
    }
    if (head.type != KVR__RAFT_BUNDLE) {
        return KVR_EINVAL;
    }
    size_t head_size = kvr__load_u16(message->data + 12);
    *reading = (bundle_reading){
        .from = kvr__reader_of(message->data + head_size, message->size - head_size),
        .head = head,
    };
    return KVR_OK;
}

static kvr_status next_short(bundle_reading *reading, uint8_t type, kvr_slice *out_message)
{
    uint64_t delta = 0, words[WORDS_MAX];
    kvr_message_info head = reading->head;
    uint32_t count = kvr__read_u8(&reading->from);
    bool is_right = count <= WORDS_MAX && take_number(&reading->from, &delta) &&
                    take_number(&reading->from, &head.term);
    for (uint32_t i = 0; is_right && i < count; i++) {
        is_right = take_number(&reading->from, &words[i]);
    }
    if (!is_right) {
        return KVR_ECORRUPT;
    }
    reading->group += unzigzag(delta);
    head.type = type;
    head.group_id = reading->group;
    expand(reading->room, &head, words, count);
    *out_message = (kvr_slice){reading->room, KVR__RAFT_HEAD_SIZE + (size_t)count * 8};
    return KVR_OK;
}

kvr_status kvr_bundle_next(kvr_bundle_reader *opaque, kvr_slice *out_message)
{
    bundle_reading *reading = (bundle_reading *)(void *)opaque;
    if (kvr__reader_left(&reading->from) == 0) {
        return reading->from.failed ? KVR_ECORRUPT : KVR_END;
    }
    uint8_t type = kvr__read_u8(&reading->from);
    if (type == KVR__RAFT_HEARTBEAT || type == KVR__RAFT_HEARTBEAT_REPLY) {
        return next_short(reading, type, out_message);
    }
    size_t size = kvr__read_u32(&reading->from);
    const uint8_t *data = type == ITEM_WHOLE ? kvr__read_bytes(&reading->from, size) : NULL;
    if (data == NULL || reading->from.failed || size < KVR__RAFT_HEAD_SIZE) {
        reading->from.failed = true;
        return KVR_ECORRUPT;
    }
    *out_message = (kvr_slice){data, size};
    return KVR_OK;
}
