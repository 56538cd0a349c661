/* SPDX-License-Identifier: Apache-2.0 */
/* demo.h: what the files of the demo share. To be read in this order: demo_serve.c (a member, its
 * main loop first), demo_peers.c, demo_clients.c, demo_disk.c (its three concerns), demo_net.c and
 * demo_wire.c (sockets, bytes), demo_client.c (the other end), demo_commands.c, demo_tour.c.
 *
 * Only public headers of libkvraft are used. When this program is out of memory it says so and
 * ends; the library itself never does that. */
#ifndef KVRAFT_EXAMPLES_DEMO_DEMO_H
#define KVRAFT_EXAMPLES_DEMO_DEMO_H

#include <kvraft/node.h>
#include <kvraft/posix.h>
#include <netinet/in.h>
#include <stdio.h>

#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))

enum { EXIT_OK = 0, EXIT_FAILED = 1, EXIT_USAGE = 2, MEMBERS_MAX = 9 };

/* --------------------------------------------------------------- demo_flags.c: the command line */

enum { FLAG_TEXT, FLAG_NUMBER, FLAG_TIME, FLAG_SWITCH };

typedef struct flag {
    const char *name; /* without the dashes */
    int kind;
    void *value; /* const char **, uint64_t *, uint64_t * (ns), bool * */
    const char *help;
} flag;

/* Takes flags out of argv; what is left are words. Returns how many, or -1 after one line on
 * standard error that says what is wrong and the nearest right flag. */
int flags_parse(const char *command, const flag *flags, size_t flag_count, int argc, char **argv);
void flags_help(const flag *flags, size_t flag_count);
/* NULL: none is near */
const char *nearest(const char *word, const char *const *names, size_t count);
bool parse_address(const char *text, struct sockaddr_in *out_address); /* false: it said why */
bool parse_time(const char *text, uint64_t *out_ns);                   /* 10s, 250ms, 2m, 5 */

/* ---------------------------------------------------------------- demo_net.c: sockets */

/* A growing run of bytes whose start moves as they are used up. */
typedef struct buffer {
    uint8_t *data;
    size_t start; /* first byte in use */
    size_t end;   /* behind the last */
    size_t capacity;
} buffer;

void *must_alloc(size_t size); /* zeroed; ends the program without memory */
size_t buffer_size(const buffer *b);
uint8_t *buffer_room(buffer *b, size_t size); /* adds `size` bytes, to be filled in */
void buffer_take(buffer *b, size_t size);
void buffer_release(buffer *b);

int net_listen(const struct sockaddr_in *address);                 /* -1: it said why */
int net_accept(int listener);                                      /* -1: nobody */
int net_connect(const struct sockaddr_in *address, bool blocking); /* -1: not now */
bool net_read(int fd, buffer *in);   /* once, what is there; false: closed or broken */
bool net_write(int fd, buffer *out); /* as much as goes; false: broken */
uint64_t net_now(void);              /* monotonic ns */

/* -------------------------------------------------- demo_wire.c: bytes between clients and members
 *
 * A frame is u32 size of what follows, u8 kind, u64 request id, fields. Numbers are little-endian;
 * a run of bytes is its u32 length, then the bytes. */
enum {
    WIRE_WRITE = 1,   /* an operation: a put, delete, or transaction of these and ranges */
    WIRE_READ = 2,    /* u32 flags, key, range_end, u64 revision, u64 limit */
    WIRE_WATCH = 3,   /* u32 flags, key, range_end, u64 start revision */
    WIRE_LEASE = 4,   /* u8 KVR_CALL_LEASE_*, u64 id, u64 ttl ns */
    WIRE_COMPACT = 5, /* u64 revision */
    /* answered by STATUS_COUNT numbers, then u64 id, match, state of each member */
    WIRE_STATUS = 6,
    WIRE_SNAPSHOT = 7, /* take one now */

    WIRE_REPLY = 64,  /* u32 status, u8 outcome, u64 revision, then what the request's kind says */
    WIRE_KVS = 65,    /* READ: a part of the answer, before its reply: u32 count, keys */
    WIRE_EVENTS = 66, /* WATCH: u32 status, u8 0, u64 revision, u32 count, events */

    WIRE_FRAME_MAX = 4 << 20
};
enum { READ_STALE = 1, READ_KEYS_ONLY = 2, READ_COUNT_ONLY = 4 };

enum {
    STATUS_ID,
    STATUS_ROLE,
    STATUS_LEADER,
    STATUS_TERM,
    STATUS_FIRST,
    STATUS_LAST,
    STATUS_COMMIT,
    STATUS_APPLIED,
    STATUS_SNAPSHOT,
    STATUS_REVISION,
    STATUS_COMPACTED,
    STATUS_KEYS,
    STATUS_BYTES,
    STATUS_LEASES,
    STATUS_WATCHERS,
    STATUS_HASH_INDEX,
    STATUS_HASH_CHAIN,
    STATUS_HASH_LIVE,
    STATUS_TAKEN,
    STATUS_INSTALLED,
    STATUS_MEMORY,
    STATUS_NO_SPACE,
    STATUS_CORRUPT,
    STATUS_FAILURE,
    STATUS_GARBAGE,
    STATUS_COUNT
};

/* Reads what may be hostile: the first field that is not there makes it failed, and all others
 * zero. */
typedef struct reader {
    const uint8_t *at;
    const uint8_t *end;
    bool failed;
} reader;

/* A transaction with room for its parts; one level, as the command line writes it. */
typedef struct txn_room {
    kvr_txn txn;
    kvr_compare compares[KVR_TXN_OPS_MAX];
    kvr_op ops[2][KVR_TXN_OPS_MAX]; /* then, else */
} txn_room;

size_t wire_begin(buffer *out, uint8_t kind, uint64_t id); /* gives a mark for wire_end */
void wire_end(buffer *out, size_t mark);
void wire_u8(buffer *out, uint8_t value);
void wire_u32(buffer *out, uint32_t value);
void wire_u64(buffer *out, uint64_t value);
void wire_bytes(buffer *out, kvr_slice bytes);
void wire_kv(buffer *out, const kvr_kv *kv);
void wire_op(buffer *out, const kvr_op *op);
void wire_result(buffer *out, const kvr_op_result *result);

/* 1 and a whole frame's parts (they lie in the buffer until buffer_take(in, *out_size)); 0: not
 * yet; -1: no frame at all. */
int wire_next(const buffer *in, uint8_t *out_kind, uint64_t *out_id, reader *out_fields,
              size_t *out_size);
uint8_t read_u8(reader *in);
uint32_t read_u32(reader *in);
uint64_t read_u64(reader *in);
kvr_slice read_bytes(reader *in);
kvr_kv read_kv(reader *in);
bool read_op(reader *in, txn_room *room, kvr_op *out_op); /* room NULL: no transaction here */
kvr_slice text(const char *string);

/* ---------------------------------------------------------------- a member */

typedef struct server {
    uint64_t id;
    uint64_t cluster_id;
    uint32_t member_count;
    uint64_t ids[MEMBERS_MAX];
    struct sockaddr_in addresses[MEMBERS_MAX];
    kvr_node *node;
    kvr_posix_disk *disk;
    struct peers *peers;
    struct client *clients;
    int peer_listener;
    int client_listener;
    uint64_t garbage; /* connections closed since what came was no message or request */
    bool failed;      /* the member has said why it takes no further part */
} server;

/* What poll waits for; each concern adds its descriptors, then looks at all that are ready. */
typedef struct waits {
    uint32_t count;
    struct pollfd *fds;
} waits;
enum { WAITS_MAX = 1024 };

bool peers_open(server *self);
uint64_t peers_wait(server *self, waits *out, uint64_t now_ns); /* returns when to reconnect */
void peers_ready(server *self, const waits *ready);
void peers_send(void *ctx, const kvr_message *message); /* kvr_transport */
void peers_close(server *self);

void clients_wait(server *self, waits *out);
void clients_ready(server *self, const waits *ready);
void clients_completed(void *ctx, const kvr_completion *completion); /* kvr_node_sink */
void clients_watched(void *ctx, const kvr_watch_batch *batch);
void clients_close(server *self);

bool disk_open(server *self, const char *path);
bool disk_start(server *self);
void disk_reap(server *self);
void disk_close(server *self);

int serve(int argc, char **argv);

/* ---------------------------------------------------------------- demo_client.c: the other end */

typedef struct connection {
    int fd;          /* -1: none */
    size_t endpoint; /* the one connected to, or tried next */
    size_t endpoint_count;
    struct sockaddr_in endpoints[MEMBERS_MAX];
    buffer in;
    buffer out;
    uint64_t next_id;
    uint64_t timeout_ns;
} connection;

/* One frame from a member; its fields lie in the connection until the next one. */
typedef struct reply {
    uint8_t kind;
    uint8_t outcome;
    kvr_status status;
    uint64_t id;
    uint64_t revision;
    reader fields;
} reply;

bool client_endpoints(connection *link, const char *list); /* false: it said why */
bool client_connect(connection *link);                     /* to the next one that answers */
void client_disconnect(connection *link);
size_t client_begin(connection *link, uint8_t kind); /* fields follow, into link->out */
bool client_send(connection *link);
bool client_receive(connection *link, uint64_t timeout_ns, reply *out_reply);

typedef struct query {
    kvr_range range;
    uint32_t flags; /* READ_* */
    uint64_t limit; /* 0: none */
    void (*each)(void *ctx, const kvr_kv *kv);
    void *ctx;
} query;

/* All of these are false if no member answered; else *out_reply says what became of it. */
bool client_call(connection *link, size_t mark, reply *out_reply); /* ends what begin began */
bool client_write(connection *link, const kvr_op *op, reply *out_reply);
bool client_read(connection *link, const query *wanted, reply *out_reply);
bool client_watch(connection *link, kvr_slice key, kvr_slice range_end, uint32_t flags,
                  uint64_t since, reply *out_reply);
bool client_lease(connection *link, uint8_t call, int64_t id, uint64_t ttl_ns, reply *out_reply);
bool client_status(connection *link, uint64_t out_status[STATUS_COUNT], reply *out_reply);
bool reply_is_good(const reply *answer); /* done, and with success */

int command_run(const char *name, int argc, char **argv); /* -1: there is none of that name */
void commands_help(FILE *to);
size_t command_names(const char **out_names, size_t capacity);

int tour(int argc, char **argv);

#endif
