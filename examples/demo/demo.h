/* SPDX-License-Identifier: Apache-2.0 */
/* demo.h: what the files of the demo share. Read them in this order: demo_serve.c (a member, its
 * main loop first), demo_peers.c, demo_clients.c, demo_disk.c (its concerns), demo_net.c (sockets),
 * demo_wire.c (bytes), demo_client.c (the other end), demo_commands.c, demo_main.c, demo_tour.c.
 *
 * Only public headers of libkvraft are used. When this program is out of memory it says so and
 * ends; the library itself never does that. */
#ifndef KVRAFT_EXAMPLES_DEMO_DEMO_H
#define KVRAFT_EXAMPLES_DEMO_DEMO_H

#include <kvraft/node.h>
#include <kvraft/posix.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>

#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))

enum { EXIT_OK = 0, EXIT_FAILED = 1, EXIT_USAGE = 2, MEMBERS_MAX = 9, INCOMING_MAX = 32 };

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
void buffer_release(buffer *b);

/* One socket with what came in and what is to go out; all zero: closed. */
typedef struct stream {
    int fd;
    bool open;
    short ready; /* what poll found, as of the last waits_poll */
    buffer in;
    buffer out;
} stream;

const char *address_text(const struct sockaddr_in *address);        /* lends until its next call */
bool stream_listen(stream *one, const struct sockaddr_in *address); /* false: it said why */
bool stream_accept(stream *listener, stream *out_stream);           /* false: nobody */
bool stream_connect(stream *one, const struct sockaddr_in *address, bool blocking);
bool stream_read(stream *one);  /* once, what is there; false: closed or broken */
bool stream_write(stream *one); /* as much as goes; false: broken */
void stream_close(stream *one);

/* What poll waits for: each concern adds its streams, and looks at their `ready` afterwards. */
typedef struct waits {
    uint32_t count;
    uint64_t deadline_ns;
    struct pollfd fds[1024];
    stream *streams[1024];
} waits;

void waits_add(waits *all, stream *one, short events); /* POLLOUT is added if it must write */
void waits_poll(waits *all);
uint64_t now_ns(void); /* monotonic */
void catch_interrupts(void);
extern volatile sig_atomic_t interrupted; /* by SIGINT or SIGTERM */

/* -------------------------------------------------- demo_wire.c: bytes between clients and members
 *
 * A frame is the size of what follows, its kind, the request's id, then fields. Every number is a
 * little-endian u64; a run of bytes is its length, then the bytes. */

/* What a client asks: a call of node.h, KVR_CALL_*, or one of these. */
enum { ASK_WATCH = 8, ASK_STATUS = 9 };
enum { READ_STALE = 1, READ_KEYS_ONLY = 2, READ_COUNT_ONLY = 4 };

/* What a member says. Each begins with status, outcome and revision. */
enum {
    SAY_REPLY = 64, /* then what the request's kind says */
    SAY_KV = 65,    /* one key of a read, before its reply */
    SAY_EVENT = 66  /* one event of a watch, after its reply; another reply ends it */
};

/* Fields on their way into a buffer, or out of a frame that may be hostile. */
typedef struct wire {
    buffer *out;       /* where they are written; NULL: they are read, */
    const uint8_t *at; /* from here */
    const uint8_t *end;
    size_t mark; /* writing: where the frame began */
    bool failed; /* reading: a field was not there; it and all behind it are zero, at is end */
} wire;

/* Which fields of a struct travel, in order: so one function reads and writes them all. Of each the
 * offset, then the size of a number, or SHAPE_BYTES; 0, 0 is the end. */
typedef uint16_t shape;
enum { SHAPE_BYTES = 255 };

/* A transaction with room for its parts; one level, as the command line writes it. */
typedef struct txn_room {
    kvr_txn txn; /* is filled in from what follows */
    uint32_t counts[3];
    kvr_compare compares[KVR_TXN_OPS_MAX];
    kvr_op ops[2][KVR_TXN_OPS_MAX]; /* then, else */
} txn_room;

typedef struct request {
    uint64_t kind;
    uint64_t id;
    uint64_t flags;  /* reads: READ_*; watches: KVR_WATCH_* */
    kvr_range range; /* reads; watches (revision: their start); compaction (revision) */
    uint64_t limit;  /* reads; 0: none */
    int64_t lease;   /* leases */
    uint64_t ttl_ns;
    kvr_op op;      /* writes */
    txn_room *room; /* of its transaction; NULL: it is none */
} request;

/* One frame from a member; `rest` lies in the connection until the next one. */
typedef struct reply {
    uint64_t kind;
    uint64_t id;
    uint64_t outcome;
    uint64_t revision;
    kvr_status status;
    bool answered; /* false: no member did, and nothing else counts */
    bool good;     /* done, and with success */
    wire rest;
} reply;

typedef struct member_status {
    uint64_t id;
    uint64_t garbage; /* what came and was no message or request */
    kvr_node_status node;
} member_status;

extern const shape shape_kv[], shape_event[], shape_reply[], shape_result[], shape_status[],
    shape_progress[];

wire wire_begin(buffer *out, uint64_t kind, uint64_t id);
void wire_end(wire *frame);
/* 1: one frame was taken, its fields lie in the buffer until it grows; 0: not yet; -1: no frame. */
int wire_next(buffer *in, uint64_t *out_kind, uint64_t *out_id, wire *out_rest);
/* These write what they are given, or return or fill in what they read. */
uint64_t wire_number(wire *w, uint64_t value);
kvr_slice wire_bytes(wire *w, kvr_slice bytes);
void wire_all(wire *w, const shape *of, void *object);
void wire_request(wire *w, request *asked); /* whose kind is set; reading: its room, too */
kvr_slice text(const char *string);

/* ---------------------------------------------------------------- demo_client.c: the other end */

typedef struct member_list {
    uint32_t count;
    uint64_t ids[MEMBERS_MAX];
    struct sockaddr_in addresses[MEMBERS_MAX];
} member_list;

typedef struct connection {
    stream io;
    member_list endpoints;
    uint32_t endpoint; /* the one connected to, or tried next */
    uint64_t next_id;
    uint64_t timeout_ns; /* 0: 10 s */
} connection;

bool client_send(connection *link, request *asked); /* to the next endpoint that answers */
reply client_receive(connection *link);
reply client_ask(connection *link, request *asked); /* both */
reply client_status(connection *link, member_status *out_status);

/* ---------------------------------------------------------------- demo_main.c: the command line */

typedef struct options {
    char **words;       /* what is no flag; ends with NULL */
    connection link;    /* --endpoints */
    member_list client; /* one */
    member_list peers;
    const char *data_dir, *load, *end;
    uint64_t id, cluster_id, heartbeat_ns, election_ns, snapshot_entries;
    uint64_t revision, limit, lease, since, events;
    bool prefix, from, stale, keys_only, count, prev, help;
} options;

bool parse_number(const char *string, uint64_t *out_number);
bool parse_time(const char *string, uint64_t *out_ns); /* 10s, 250ms, 2m, 5 */

typedef int command_run(options *chosen); /* returns EXIT_* */
command_run run_put, run_get, run_del, run_txn, run_watch, run_lease, run_compact, run_status,
    run_members, run_serve, run_tour;

/* ---------------------------------------------------------------- a member */

typedef struct server {
    const options *chosen;
    uint32_t place; /* its own, in chosen->peers */
    kvr_node *node;
    kvr_posix_disk *disk;
    stream disk_signal;
    stream peer_listener;
    stream client_listener;
    stream to[MEMBERS_MAX];         /* peers: only sent on */
    uint64_t retry_ns[MEMBERS_MAX]; /* not connected again before */
    stream from[INCOMING_MAX];      /* peers: only read */
    uint32_t accepted;              /* of them so far */
    struct client *clients;
    uint64_t garbage; /* connections that were closed since what came was none */
    bool failed;      /* the member has said why it takes no further part */
} server;

void peers_wait(server *self, waits *all);
void peers_ready(server *self);
void peers_send(void *ctx, const kvr_message *message); /* kvr_transport */

void clients_wait(server *self, waits *all);
void clients_ready(server *self);
void clients_completed(void *ctx, const kvr_completion *completion); /* kvr_node_sink */
void clients_watched(void *ctx, const kvr_watch_batch *batch);
void clients_close(server *self);

bool disk_look(server *self); /* false: another process has the directory, and it said so */
bool disk_open(server *self);
void disk_reap(server *self);
void disk_close(server *self);

#endif
