/* SPDX-License-Identifier: Apache-2.0 */
/* demo.h: what the files of the demo share. Reading order: demo_serve.c (a member: its main loop), demo_peers.c,
 * demo_clients.c, demo_disk.c (its three concerns), demo_wire.c (bytes between clients and members),
 * demo_client.c (the other end), demo_commands.c, demo_tour.c, demo_flags.c, demo_main.c.
 *
 * Only public headers of libkvraft are used. A program that runs out of memory here says so and ends:
 * the library itself never does that. */
#ifndef KVRAFT_EXAMPLES_DEMO_DEMO_H
#define KVRAFT_EXAMPLES_DEMO_DEMO_H

#include <kvraft/node.h>
#include <kvraft/posix.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))

enum { EXIT_OK = 0, EXIT_FAILED = 1, EXIT_USAGE = 2 };

enum { MEMBERS_MAX = 9 };

/* ------------------------------------------------------------------ demo_flags.c */

enum { FLAG_TEXT, FLAG_NUMBER, FLAG_SWITCH };

typedef struct flag {
    const char *name; /* without the dashes */
    int kind;
    void *value;      /* const char **, uint64_t * or bool * */
    const char *help; /* "VALUE what it is" */
} flag;

/* Takes flags out of argv; what is left are the words. Returns the number of words, or -1 after one line on
 * standard error that says what is wrong and the nearest right flag. */
int flags_parse(const char *command, const flag *flags, size_t flag_count, int argc, char **argv);
void flags_help(const flag *flags, size_t flag_count);

/* The name nearest to a mistyped one, or NULL if none is near. */
const char *nearest(const char *word, const char *const *names, size_t count);

/* "host:port" with a numeric IPv4 host or "localhost". False after a line on standard error. */
bool parse_address(const char *text, struct sockaddr_in *out_address);
const char *address_text(const struct sockaddr_in *address, char out_text[32]);

/* "10s", "250ms", "2m"; a bare number is seconds. False if it is none of these. */
bool parse_duration(const char *text, uint64_t *out_ns);

/* ------------------------------------------------------------------ demo_wire.c */

/* A growing run of bytes with a start that moves as they are used up. */
typedef struct buffer {
    uint8_t *data;
    size_t start; /* first byte in use */
    size_t end;   /* behind the last */
    size_t capacity;
} buffer;

void *must_alloc(size_t size); /* zeroed; ends the program without memory */
uint8_t *buffer_room(buffer *out, size_t size);
void buffer_add(buffer *out, const void *data, size_t size);
void buffer_take(buffer *in, size_t size);
void buffer_release(buffer *out);
static inline size_t buffer_size(const buffer *b)
{
    return b->end - b->start;
}

/* Frames between a client and a member: u32 size of what follows, u8 kind, u64 request id, fields. Numbers are
 * little-endian; bytes are u32 length, then the bytes. */
enum {
    WIRE_WRITE = 1,    /* an operation */
    WIRE_READ = 2,     /* u32 flags, key, range_end, u64 revision, u64 limit */
    WIRE_WATCH = 3,    /* u32 flags, key, range_end, u64 start revision */
    WIRE_LEASE = 4,    /* u8 KVR_CALL_LEASE_*, u64 id, u64 ttl ns */
    WIRE_COMPACT = 5,  /* u64 revision */
    WIRE_STATUS = 6,
    WIRE_SNAPSHOT = 7, /* take one now */

    WIRE_REPLY = 64,  /* u32 status, u8 outcome, u64 revision, then what the request's kind says */
    WIRE_KVS = 65,    /* READ: some of the answer, before its reply: u32 count, that many keys */
    WIRE_EVENTS = 66, /* WATCH: u32 status, u64 revision, u64 compacted, u32 count, that many events */

    WIRE_FRAME_MAX = 4 << 20,
    WIRE_HEAD = 13
};

enum { WIRE_READ_STALE = 1, WIRE_READ_KEYS_ONLY = 2, WIRE_READ_COUNT_ONLY = 4 };

size_t wire_begin(buffer *out, uint8_t kind, uint64_t id); /* returns a mark for wire_end */
void wire_end(buffer *out, size_t mark);
void wire_u8(buffer *out, uint8_t value);
void wire_u32(buffer *out, uint32_t value);
void wire_u64(buffer *out, uint64_t value);
void wire_bytes(buffer *out, kvr_slice bytes);
void wire_op(buffer *out, const kvr_op *op);
void wire_kv(buffer *out, const kvr_kv *kv);
void wire_result(buffer *out, const kvr_op_result *result);

/* Reads what may be hostile: the first field that is not there makes it failed, and everything after it zero. */
typedef struct reader {
    const uint8_t *at;
    const uint8_t *end;
    bool failed;
} reader;

/* A frame's fields once it is complete: 1 and fills the outputs, 0 (not yet), -1 (too large or too short). The frame's
 * bytes stay in the buffer until buffer_take(in, *out_size). */
int wire_next(const buffer *in, uint8_t *out_kind, uint64_t *out_id, reader *out_fields,
              size_t *out_size);
uint8_t read_u8(reader *in);
uint32_t read_u32(reader *in);
uint64_t read_u64(reader *in);
kvr_slice read_bytes(reader *in);
void read_kv(reader *in, kvr_kv *out_kv);

/* An operation with all below it, in one allocation chain; slices lie in the frame. */
typedef struct op_memory {
    void *blocks[64];
    size_t count;
} op_memory;
bool read_op(reader *in, op_memory *memory, kvr_op *out_op, unsigned depth);
void op_memory_release(op_memory *memory);

kvr_slice slice_of(const char *text);

/* ------------------------------------------------------------------ the server's parts */

typedef struct peer peer;
typedef struct client client;

typedef struct server {
    uint64_t id;
    uint64_t cluster_id;
    uint32_t peer_count;
    struct sockaddr_in addresses[MEMBERS_MAX]; /* of members 1.. in the order of --peers */
    uint64_t ids[MEMBERS_MAX];
    kvr_node *node;
    kvr_posix_disk *disk;
    struct disk_thread *disk_thread;
    peer *peers;        /* demo_peers.c */
    client *clients;    /* demo_clients.c */
    int peer_listener;
    int client_listener;
    uint64_t garbage;   /* frames that were none */
    bool failed;        /* the member has said why it takes no further part */
} server;

struct pollfd;

/* Each part adds the descriptors that it waits for to `fds`, from *count on, and later looks at what poll said. */
enum { POLL_MAX = 1024 };

int listen_on(const struct sockaddr_in *address); /* -1 after a line on standard error */
bool set_nonblocking(int fd);

bool peers_open(server *self);
void peers_poll(server *self, struct pollfd *fds, uint32_t *count, uint64_t now_ns);
void peers_handle(server *self, const struct pollfd *fds, uint32_t count, uint64_t now_ns);
uint64_t peers_deadline(const server *self);
void peers_send(void *ctx, const kvr_message *message); /* kvr_transport.send */
void peers_close(server *self);

void clients_poll(server *self, struct pollfd *fds, uint32_t *count);
void clients_handle(server *self, const struct pollfd *fds, uint32_t count);
void clients_completed(void *ctx, const kvr_completion *completion); /* kvr_node_sink */
void clients_watched(void *ctx, const kvr_watch_batch *batch);
void clients_close(server *self);

bool disk_open(server *self, const char *path);
bool disk_start(server *self);
void disk_reap(server *self);
void disk_close(server *self);

int serve(int argc, char **argv);

/* ------------------------------------------------------------------ demo_client.c */

typedef struct connection {
    int fd; /* -1: none */
    size_t endpoint; /* index of the one connected to */
    size_t endpoint_count;
    struct sockaddr_in endpoints[MEMBERS_MAX];
    buffer in;
    buffer out;
    uint64_t next_id;
    uint64_t timeout_ns;
} connection;

/* One frame from a member; its fields lie in the connection until the next receive. */
typedef struct reply {
    uint8_t kind; /* WIRE_REPLY, WIRE_KVS, WIRE_EVENTS */
    uint64_t id;
    kvr_status status;
    uint8_t outcome;
    uint64_t revision;
    reader fields;
} reply;

bool client_endpoints(connection *link, const char *list);
bool client_connect(connection *link);       /* the next endpoint that answers */
void client_disconnect(connection *link);
size_t client_begin(connection *link, uint8_t kind); /* into link->out; then wire_end */
bool client_send(connection *link);
bool client_receive(connection *link, uint64_t timeout_ns, reply *out_reply); /* false: closed or timed out */

/* begin .. wire_end, then this: sends, waits for the reply. False: no member answered; says nothing. */
bool client_call(connection *link, reply *out_reply);
uint64_t monotonic_ns(void);

int command_run(const char *name, int argc, char **argv);
bool command_exists(const char *name);
void commands_help(void);
const char *const *command_names(size_t *out_count);

int tour(int argc, char **argv);

#endif
