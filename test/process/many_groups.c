/* SPDX-License-Identifier: Apache-2.0 */
/* many_groups.c: three processes that each hold a member of every one of a hundred groups. All
 * groups of a process share one store on real files, and one socket to each other process, on which
 * their messages travel in bundles. Every process writes a key into every group; once all have
 * read all of them everywhere, all are killed with SIGKILL, started again on the same directories,
 * and must find every key in every group, and take new ones. Start reading at serve. */
#include <kvraft/node.h>
#include <kvraft/posix.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

enum { MEMBERS = 3, GROUPS = 100, LIVES = 2, BUFFER = 4 << 20, RESULTS = 64, SECONDS_MAX = 60 };
enum { TO_WRITE, UNDER_WAY, WRITTEN };

typedef struct peer {
    int fd; /* -1: ourselves */
    kvr_bundle *bundle;
    uint8_t *in, *out;
    size_t in_size, out_size;
} peer;

typedef struct group {
    kvr_node *node;
    uint64_t deadline;
    int state; /* of this life's write */
} group;

typedef struct process {
    uint32_t id, life;
    peer peers[MEMBERS];
    group groups[GROUPS];
    kvr_posix_disk *disk;
    bool writes;               /* once every group has a leader */
    uint64_t messages, frames; /* sent since it writes */
    uint64_t answers;          /* of the store since then, */
    uint64_t flushes_before;   /* and its flushes until then */
} process;

static process self; /* of a child; the parent leaves it alone */

static void require(bool ok, const char *what, const char *detail)
{
    if (!ok) {
        (void)fprintf(stderr, "many_groups: member %u, life %u: %s: %s\n", (unsigned)self.id,
                      (unsigned)self.life, what, detail);
        exit(1);
    }
}

static void must(kvr_status status, const char *what)
{
    require(status == KVR_OK, what, kvr_status_text(status));
}

/* ------------------------------------------------------------------ one connection a peer */

/* Raft repeats what matters: what does not fit is dropped, as a network would. */
static void flush_bundle(peer *to)
{
    kvr_slice frame;
    if (kvr_bundle_take(to->bundle, &frame) == KVR_OK && to->out_size + frame.size <= BUFFER) {
        memcpy(to->out + to->out_size, frame.data, frame.size);
        to->out_size += frame.size;
        self.frames++;
    }
}

static void send_together(void *ctx, const kvr_message *message)
{
    (void)ctx;
    peer *to = &self.peers[message->to - 1];
    kvr_status status = kvr_bundle_add(to->bundle, &message->bytes);
    if (status == KVR_EBUSY) {
        flush_bundle(to);
        status = kvr_bundle_add(to->bundle, &message->bytes);
    }
    must(status, "a message goes into the bundle");
    self.messages++;
}

static void write_out(peer *to)
{
    while (to->out_size > 0) {
        ssize_t sent = send(to->fd, to->out, to->out_size, MSG_NOSIGNAL);
        if (sent <= 0) {
            require(errno == EAGAIN || errno == EPIPE || errno == ECONNRESET, "send",
                    strerror(errno));
            return;
        }
        to->out_size -= (size_t)sent;
        memmove(to->out, to->out + sent, to->out_size);
    }
}

static void receive_bundle(const kvr_slice *frame)
{
    kvr_bundle_reader reader;
    kvr_slice message;
    must(kvr_bundle_open(&reader, frame), "a bundle opens");
    while (kvr_bundle_next(&reader, &message) == KVR_OK) {
        kvr_message_info info;
        must(kvr_message_peek(&message, BUFFER, &info), "a message in a bundle");
        require(info.group_id >= 1 && info.group_id <= GROUPS, "a message", "of no group");
        group *of = &self.groups[info.group_id - 1];
        require(kvr_node_receive(of->node, &message) >= 0, "receive", kvr_node_error(of->node));
        of->deadline = kvr_node_deadline(of->node);
    }
}

static void read_in(peer *from)
{
    ssize_t got = recv(from->fd, from->in + from->in_size, BUFFER - from->in_size, 0);
    from->in_size += got > 0 ? (size_t)got : 0;
    size_t used = 0;
    for (;;) {
        const kvr_slice rest = {from->in + used, from->in_size - used};
        kvr_message_info info;
        kvr_status status = kvr_message_peek(&rest, BUFFER, &info);
        if (status == KVR_END) {
            break;
        }
        must(status, "a frame");
        require(kvr_message_is_bundle(info.type), "a frame", "that is no bundle");
        receive_bundle(&(kvr_slice){rest.data, info.length});
        used += info.length;
    }
    from->in_size -= used;
    memmove(from->in, from->in + used, from->in_size);
}

/* ------------------------------------------------------------------ one store */

static void open_disk(const char *directory)
{
    kvr_wal_config wal;
    kvr_posix_disk_config config;
    must(kvr_wal_config_init(&wal, sizeof wal), "wal config");
    wal.cluster_id = 9;
    wal.member_id = self.id;
    wal.flags = KVR_WAL_GROUPS;
    must(kvr_posix_disk_config_init(&config, sizeof config), "disk config");
    config.flags = KVR_POSIX_CREATE;
    config.path = directory;
    config.wal = &wal;
    config.queue_max = 8 * GROUPS;
    must(kvr_posix_disk_new(&config, &self.disk), "disk");
    kvr_status status = kvr_posix_disk_open(self.disk);
    require(status == KVR_OK, directory, kvr_posix_disk_error(self.disk));
}

static kvr_wal_status numbers(void)
{
    kvr_wal_status status = {.size = sizeof status};
    kvr_posix_disk_get_status(self.disk, &status);
    return status;
}

/* All that the groups have submitted since the last time is one batch. */
static void serve_disk(void)
{
    kvr_store_result results[RESULTS];
    uint32_t count;
    kvr_status status = kvr_posix_disk_perform(self.disk);
    require(status >= 0, "the store", kvr_posix_disk_error(self.disk));
    results[0].size = sizeof results[0];
    while ((count = kvr_posix_disk_reap(self.disk, results, RESULTS)) > 0) {
        for (uint32_t i = 0; i < count; i++) {
            group *of = &self.groups[results[i].group_id - 1];
            must(results[i].status, "a request of the store");
            must(kvr_node_storage_done(of->node, &results[i]), "storage_done");
            of->deadline = kvr_node_deadline(of->node);
            self.answers++;
        }
    }
}

/* ------------------------------------------------------------------ a hundred groups */

static void on_completed(void *ctx, const kvr_completion *completion)
{
    group *of = ctx;
    bool done = completion->outcome == KVR_OUTCOME_DONE && completion->status == KVR_OK;
    of->state = done ? WRITTEN : TO_WRITE; /* the same key and value again is no harm */
}

static kvr_slice key_of(uint32_t life, uint32_t member, uint32_t number, char room[32])
{
    int size = snprintf(room, 32, "life%u/member%u/%u", life, member, number);
    return (kvr_slice){(const uint8_t *)room, (size_t)size};
}

static void write_key(uint32_t number)
{
    char room[32];
    group *of = &self.groups[number];
    const kvr_node_call call = {.size = sizeof call, .timeout_ns = 2000000000};
    kvr_slice key = key_of(self.life, self.id, number, room);
    of->state = UNDER_WAY;
    if (kvr_node_put(of->node, &call, &key, &key, 0) != KVR_OK) {
        of->state = TO_WRITE;
    }
    of->deadline = kvr_node_deadline(of->node);
}

/* Every key that a member wrote into a group is in it, and none of another group. */
static bool holds(uint32_t number, uint32_t life, uint32_t member)
{
    char room[32];
    kvr_kv kv;
    kvr_slice key = key_of(life, member, number, room);
    const kvr_node *node = self.groups[number].node;
    bool found = kvr_node_get(node, &key, &kv);
    require(!found || (kv.value.size == key.size && memcmp(kv.value.data, room, key.size) == 0),
            room, "another value");
    key = key_of(life, member, (number + 1) % GROUPS, room);
    require(!kvr_node_get(node, &key, &kv), room, "is in another group");
    return found;
}

static bool holds_all(uint32_t life)
{
    bool all = true;
    for (uint32_t number = 0; all && number < GROUPS; number++) {
        for (uint32_t member = 1; all && member <= MEMBERS; member++) {
            all = holds(number, life, member);
        }
    }
    return all;
}

static void open_groups(void)
{
    static const kvr_transport transport = {.size = sizeof transport, .send = send_together};
    static const kvr_node_sink sink = {.size = sizeof sink, .completed = on_completed};
    const kvr_member members[MEMBERS] = {{.id = 1}, {.id = 2}, {.id = 3}};
    for (uint32_t number = 0; number < GROUPS; number++) {
        kvr_node_config config;
        must(kvr_node_config_init(&config, sizeof config), "node config");
        config.cluster_id = 9;
        config.group_id = number + 1;
        config.member_id = self.id;
        config.members = members;
        config.member_count = MEMBERS;
        must(kvr_posix_entropy()->fill(NULL, (uint8_t *)&config.seed, sizeof config.seed), "seed");
        config.storage = kvr_posix_disk_storage();
        config.storage_ctx = self.disk;
        config.transport = &transport;
        config.clock = kvr_posix_clock();
        config.sink = &sink;
        config.sink_ctx = &self.groups[number];
        must(kvr_node_new(&config, &self.groups[number].node), "node");
    }
}

/* ------------------------------------------------------------------ a process */

/* All groups are written to at once, when elections, each at its own time, are over. */
static void begin_writes(void)
{
    for (uint32_t number = 0; number < GROUPS; number++) {
        kvr_node_status status = {.size = sizeof status};
        kvr_node_get_status(self.groups[number].node, &status);
        if (status.raft.leader == 0) {
            return;
        }
    }
    self.writes = true;
    self.messages = self.frames = self.answers = 0;
    self.flushes_before = numbers().flushes;
}

static void run_due(uint64_t now)
{
    if (!self.writes) {
        begin_writes();
    }
    for (uint32_t number = 0; number < GROUPS; number++) {
        group *of = &self.groups[number];
        if (self.writes && of->state == TO_WRITE) {
            write_key(number);
        }
        if (of->deadline <= now) {
            require(kvr_node_run(of->node, 0) >= 0, "run", kvr_node_error(of->node));
            of->deadline = kvr_node_deadline(of->node);
        }
    }
    for (uint32_t i = 0; i < MEMBERS; i++) {
        if (self.peers[i].fd >= 0) {
            flush_bundle(&self.peers[i]);
            write_out(&self.peers[i]);
        }
    }
}

static void wait_for_peers(void)
{
    struct pollfd fds[MEMBERS];
    uint64_t next = UINT64_MAX, now = kvr_posix_clock()->now(NULL);
    for (uint32_t number = 0; number < GROUPS; number++) {
        next = self.groups[number].deadline < next ? self.groups[number].deadline : next;
    }
    for (uint32_t i = 0; i < MEMBERS; i++) {
        short events = self.peers[i].out_size > 0 ? POLLIN | POLLOUT : POLLIN;
        fds[i] = (struct pollfd){.fd = self.peers[i].fd, .events = events};
    }
    uint64_t ms = next <= now ? 0 : (next - now + 999999) / 1000000;
    (void)poll(fds, MEMBERS, ms > 50 ? 50 : (int)ms);
    for (uint32_t i = 0; i < MEMBERS; i++) {
        if ((fds[i].revents & POLLIN) != 0) {
            read_in(&self.peers[i]);
        }
    }
}

/* Each group appends and answers for itself: they must have shared flushes and frames. */
static void say_done(int report)
{
    char line[160];
    uint64_t flushes = numbers().flushes - self.flushes_before;
    int size = snprintf(line, sizeof line,
                        "member %u, life %u: %llu answers of the store by %llu flushes, %llu "
                        "messages in %llu frames\n",
                        (unsigned)self.id, (unsigned)self.life, (unsigned long long)self.answers,
                        (unsigned long long)flushes, (unsigned long long)self.messages,
                        (unsigned long long)self.frames);
    require(numbers().group_count == GROUPS, "the store", "not every group is in it");
    require(flushes * 3 < self.answers, line, "groups did not share flushes");
    require(self.frames * 3 < self.messages, line, "groups did not share frames");
    require(write(report, line, (size_t)size) == size, "report", strerror(errno));
}

/* Serves until it is killed. What was acknowledged in the life before must be there before this
 * life's keys are: a group's log is applied in order. */
static void serve(const char *directory, int report)
{
    bool said = false;
    (void)alarm(SECONDS_MAX);
    open_disk(directory);
    open_groups();
    for (;;) {
        run_due(kvr_posix_clock()->now(NULL));
        serve_disk();
        wait_for_peers();
        if (!said && holds_all(self.life)) {
            for (uint32_t life = 1; life < self.life; life++) {
                require(holds_all(life), "keys of an earlier life", "are lost");
            }
            said = true;
            say_done(report);
        }
    }
}

/* ------------------------------------------------------------------ the parent */

static void connect_all(int fds[MEMBERS][MEMBERS])
{
    for (uint32_t a = 0; a < MEMBERS; a++) {
        fds[a][a] = -1;
        for (uint32_t b = a + 1; b < MEMBERS; b++) {
            int pair[2];
            require(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0, "socketpair", strerror(errno));
            require(fcntl(pair[0], F_SETFL, O_NONBLOCK) == 0 &&
                        fcntl(pair[1], F_SETFL, O_NONBLOCK) == 0,
                    "fcntl", strerror(errno));
            fds[a][b] = pair[0];
            fds[b][a] = pair[1];
        }
    }
}

static pid_t start(uint32_t i, uint32_t life, int fds[MEMBERS][MEMBERS], const int pipe_fds[2],
                   const char *root)
{
    char directory[256];
    pid_t pid = fork();
    require(pid >= 0, "fork", strerror(errno));
    if (pid > 0) {
        return pid;
    }
    self.id = i + 1;
    self.life = life;
    (void)close(pipe_fds[0]);
    for (uint32_t a = 0; a < MEMBERS; a++) {
        for (uint32_t b = 0; b < MEMBERS; b++) {
            if (a != i && fds[a][b] >= 0) {
                (void)close(fds[a][b]);
            }
        }
        peer *to = &self.peers[a];
        *to = (peer){.fd = fds[i][a], .in = malloc(BUFFER), .out = malloc(BUFFER)};
        require(to->in != NULL && to->out != NULL, "memory", "none");
        must(kvr_bundle_new(NULL, NULL, 0, &to->bundle), "bundle");
    }
    (void)snprintf(directory, sizeof directory, "%s/member%u", root, (unsigned)self.id);
    serve(directory, pipe_fds[1]);
    _exit(1);
}

/* True once all three have said that they are done; then, or when one fails, all are killed. */
static bool live(uint32_t life, const char *root)
{
    int fds[MEMBERS][MEMBERS], pipe_fds[2];
    pid_t pids[MEMBERS];
    char byte;
    uint32_t lines = 0;
    require(pipe(pipe_fds) == 0, "pipe", strerror(errno));
    connect_all(fds);
    for (uint32_t i = 0; i < MEMBERS; i++) {
        pids[i] = start(i, life, fds, pipe_fds, root);
    }
    for (uint32_t a = 0; a < MEMBERS; a++) {
        for (uint32_t b = 0; b < MEMBERS; b++) {
            if (fds[a][b] >= 0) {
                (void)close(fds[a][b]);
            }
        }
    }
    (void)close(pipe_fds[1]);
    while (lines < MEMBERS && read(pipe_fds[0], &byte, 1) == 1) {
        lines += byte == '\n';
        (void)putchar(byte);
    }
    (void)close(pipe_fds[0]);
    for (uint32_t i = 0; i < MEMBERS; i++) {
        (void)kill(pids[i], SIGKILL);
        (void)waitpid(pids[i], NULL, 0);
    }
    return lines == MEMBERS;
}

int main(void)
{
    char root[] = "/tmp/kvraft-groups-XXXXXX", command[64];
    require(mkdtemp(root) != NULL, root, strerror(errno));
    bool good = true;
    for (uint32_t life = 1; good && life <= LIVES; life++) {
        good = live(life, root);
    }
    (void)snprintf(command, sizeof command, "rm -rf %s", root);
    if (system(command) != 0 || !good) {
        (void)fprintf(stderr, "many_groups: %s\n", good ? "cannot clean up" : "a process failed");
        return 1;
    }
    return 0;
}
