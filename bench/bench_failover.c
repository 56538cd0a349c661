/* SPDX-License-Identifier: Apache-2.0 */
/* bench_failover.c: how long no write is accepted after a leader dies. Three members of the demo
 * run as processes, with TCP and real files; the leader is killed with SIGKILL at a random moment
 * between heartbeats, twenty times a run, and started again. From then on both others are sent a
 * write every few milliseconds: wall time until the first is acknowledged. The members close a
 * broken connection but draw nothing from it: they hold their elections by the clock alone. Start
 * reading at measure. */

#include <arpa/inet.h>
#include <fcntl.h>
#include <kvraft/node.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "bench_questions.h"

#define MS UINT64_C(1000000)

enum { MEMBERS = 3, KILLS = 20, PUT_EVERY_MS = 5, PATIENCE_MS = 20000 };

/* Frames of examples/demo/demo.h. */
enum { ASK_STATUS = 9, SAY_REPLY = 64, HEAD_NUMBERS = 5, AT_ROLE = 11, AT_APPLIED = 17 };
enum { AT_LEADER = 12, AT_COMMIT = 16, STATUS_NUMBERS = 25, REPLY_BYTES_MAX = 1024 };

typedef struct member {
    uint16_t peer_port, client_port;
    pid_t pid;
    int fd; /* our connection; -1: none */
    size_t in_size;
    uint8_t in[REPLY_BYTES_MAX];
} member;

typedef struct cluster {
    member members[MEMBERS];
    char demo[4096];
    const char *directory;
    uint64_t heartbeat_ms;
    uint64_t random;
} cluster;

typedef struct frame {
    uint8_t bytes[256];
    size_t size;
} frame;

static void pause_ms(uint64_t ms)
{
    const struct timespec time = {.tv_sec = (time_t)(ms / 1000), .tv_nsec = (long)(ms % 1000 * MS)};
    (void)nanosleep(&time, NULL);
}

/* ------------------------------------------------------------------ members */

static int socket_at(uint16_t *port, bool listens)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons(*port)};
    socklen_t size = sizeof at;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    bench_require(fd >= 0, "socket");
    if (listens) {
        bench_require(bind(fd, (struct sockaddr *)&at, size) == 0 &&
                          getsockname(fd, (struct sockaddr *)&at, &size) == 0,
                      "a free port");
        *port = ntohs(at.sin_port);
    } else if (connect(fd, (struct sockaddr *)&at, size) != 0) {
        close(fd);
        return -1;
    }
    return fd;
}

/* Held together so that they differ, then let go. */
static void choose_ports(cluster *all)
{
    int held[2 * MEMBERS];
    for (int i = 0; i < MEMBERS; i++) {
        held[2 * i] = socket_at(&all->members[i].peer_port, true);
        held[2 * i + 1] = socket_at(&all->members[i].client_port, true);
    }
    for (int i = 0; i < 2 * MEMBERS; i++) {
        close(held[i]);
    }
}

static void start(cluster *all, int i)
{
    char id[16], peers[128], client[32], directory[4096], heartbeat[32], election[32];
    const member *m = all->members;
    snprintf(id, sizeof id, "%d", i + 1);
    snprintf(peers, sizeof peers, "1=127.0.0.1:%u,2=127.0.0.1:%u,3=127.0.0.1:%u", m[0].peer_port,
             m[1].peer_port, m[2].peer_port);
    snprintf(client, sizeof client, "127.0.0.1:%u", m[i].client_port);
    snprintf(directory, sizeof directory, "%s/member%s", all->directory, id);
    snprintf(heartbeat, sizeof heartbeat, "%llums", (unsigned long long)all->heartbeat_ms);
    snprintf(election, sizeof election, "%llums", 10 * (unsigned long long)all->heartbeat_ms);
    pid_t parent = getpid(), pid = fork();
    bench_require(pid >= 0, "fork");
    if (pid == 0) {
        int null = open("/dev/null", O_WRONLY); /* a warning an election would drown the table */
        prctl(PR_SET_PDEATHSIG, SIGKILL);       /* a run that fails leaves no member behind */
        if (getppid() == parent && null >= 0 && dup2(null, 1) >= 0 && dup2(null, 2) >= 0) {
            execl(all->demo, "kvraft-demo", "serve", "--id", id, "--peers", peers, "--client",
                  client, "--data-dir", directory, "--heartbeat", heartbeat, "--election", election,
                  (char *)NULL);
        }
        _exit(127);
    }
    all->members[i].pid = pid;
    all->members[i].fd = -1;
}

static void hang_up(member *of)
{
    if (of->fd >= 0) {
        close(of->fd);
    }
    of->fd = -1;
    of->in_size = 0;
}

static void kill_member(member *of)
{
    kill(of->pid, SIGKILL);
    waitpid(of->pid, NULL, 0);
    hang_up(of);
}

/* ------------------------------------------------------------------ frames */

static void add_number(frame *to, uint64_t value)
{
    for (int i = 0; i < 8; i++) {
        to->bytes[to->size++] = (uint8_t)(value >> (8 * i));
    }
}

static uint64_t number_at(const uint8_t *bytes)
{
    uint64_t value = 0;
    for (int i = 7; i >= 0; i--) {
        value = value << 8 | bytes[i];
    }
    return value;
}

static bool ask(member *of, uint64_t kind)
{
    frame body = {.size = 0}, whole = {.size = 0};
    add_number(&body, kind);
    add_number(&body, 1);
    add_number(&body, kind == KVR_CALL_WRITE ? KVR_OP_PUT : 0);
    add_number(&body, 0); /* a write: flags; a status: an empty key, then */
    if (kind == KVR_CALL_WRITE) {
        add_number(&body, 8);
        add_number(&body, 1); /* a key of eight bytes */
    }
    add_number(&body, 0); /* no range_end */
    add_number(&body, 0); /* an empty value; a status: revision, and more of it */
    add_number(&body, 0);
    if (kind != KVR_CALL_WRITE) {
        add_number(&body, 0);
        add_number(&body, 0);
    }
    add_number(&whole, body.size);
    memcpy(whole.bytes + whole.size, body.bytes, body.size);
    whole.size += body.size;
    if (of->fd < 0) {
        of->fd = socket_at(&of->client_port, false);
    }
    if (of->fd >= 0 && send(of->fd, whole.bytes, whole.size, MSG_NOSIGNAL) != (ssize_t)whole.size) {
        hang_up(of);
    }
    return of->fd >= 0;
}

/* One reply, whole, within `ms`; the size of its numbers behind the size itself, or 0. */
static size_t receive(member *of, int ms, uint8_t out_body[REPLY_BYTES_MAX])
{
    struct pollfd wait = {.fd = of->fd, .events = POLLIN};
    while (of->fd >= 0) {
        size_t size = of->in_size < 8 ? 0 : (size_t)number_at(of->in);
        bench_require(size <= sizeof of->in - 8, "a reply is short");
        if (size > 0 && of->in_size >= size + 8) {
            memcpy(out_body, of->in + 8, size);
            of->in_size -= size + 8;
            memmove(of->in, of->in + 8 + size, of->in_size);
            return size;
        }
        if (poll(&wait, 1, ms) <= 0) {
            return 0;
        }
        ssize_t got = recv(of->fd, of->in + of->in_size, sizeof of->in - of->in_size, 0);
        if (got <= 0) {
            hang_up(of);
        } else {
            of->in_size += (size_t)got;
        }
    }
    return 0;
}

/* ------------------------------------------------------------------ the question */

static bool status_of(member *of, uint64_t out_numbers[STATUS_NUMBERS])
{
    uint8_t body[REPLY_BYTES_MAX];
    hang_up(of); /* no answer to an earlier write lies in between */
    size_t size = ask(of, ASK_STATUS) ? receive(of, 1000, body) : 0;
    for (int i = 0; i < STATUS_NUMBERS && size > 0; i++) {
        bench_require(size >= (HEAD_NUMBERS + STATUS_NUMBERS) * 8, "a status is whole");
        out_numbers[i] = number_at(body + (HEAD_NUMBERS + i) * 8);
    }
    return size > 0;
}

/* The leader, once all three know it and have applied what it has committed. */
static int wait_healthy(cluster *all)
{
    uint64_t s[MEMBERS][STATUS_NUMBERS];
    for (uint64_t begin = bench_wall_ns(); bench_wall_ns() - begin < PATIENCE_MS * MS;) {
        bool same = true;
        for (int i = 0; i < MEMBERS; i++) {
            same = same && status_of(&all->members[i], s[i]) && s[i][AT_LEADER] != 0 &&
                   s[i][AT_LEADER] == s[0][AT_LEADER] && s[i][AT_APPLIED] == s[0][AT_COMMIT];
        }
        int leader = same ? (int)s[0][AT_LEADER] - 1 : 0;
        if (same && s[leader][AT_ROLE] == KVR_ROLE_LEADER) {
            return leader;
        }
        pause_ms(PUT_EVERY_MS);
    }
    bench_fail("three members agree on a leader");
    return 0;
}

static bool is_accepted(member *of)
{
    uint8_t body[REPLY_BYTES_MAX];
    size_t size;
    while ((size = receive(of, 0, body)) > 0) {
        bench_require(size >= HEAD_NUMBERS * 8 && number_at(body) == SAY_REPLY, "a reply");
        if (number_at(body + 16) == 0 && number_at(body + 24) == KVR_OUTCOME_DONE) {
            return true;
        }
    }
    return false;
}

/* Milliseconds from the death of the leader to the next acknowledged write. */
static double fail_over(cluster *all)
{
    int dead = wait_healthy(all);
    pause_ms(bench_random(&all->random) % all->heartbeat_ms);
    uint64_t begin = bench_wall_ns();
    kill_member(&all->members[dead]);
    while (bench_wall_ns() - begin < PATIENCE_MS * MS) {
        struct pollfd wait[2];
        for (int i = 0; i < 2; i++) {
            member *other = &all->members[(dead + 1 + i) % MEMBERS];
            ask(other, KVR_CALL_WRITE);
            wait[i] = (struct pollfd){.fd = other->fd, .events = POLLIN};
        }
        (void)poll(wait, 2, PUT_EVERY_MS);
        for (int i = 0; i < 2; i++) {
            if (is_accepted(&all->members[(dead + 1 + i) % MEMBERS])) {
                double ms = (double)(bench_wall_ns() - begin) / 1e6;
                start(all, dead);
                return ms;
            }
        }
    }
    bench_fail("a write is accepted after a leader's death");
    return 0;
}

static int compare_doubles(const void *left, const void *right)
{
    double a = *(const double *)left, b = *(const double *)right;
    return (a > b) - (a < b);
}

static void measure(bench_run *run)
{
    cluster all = {.directory = bench_directory(run), .heartbeat_ms = bench_parameter(run)};
    double ms[KILLS];
    char self[4000];
    ssize_t size = readlink("/proc/self/exe", self, sizeof self - 1);
    bench_require(size > 0, "/proc/self/exe");
    self[size] = '\0';
    *strrchr(self, '/') = '\0';
    snprintf(all.demo, sizeof all.demo, "%s/kvraft-demo", self); /* `make bench` builds it there */
    bench_require(access(all.demo, X_OK) == 0, "kvraft-demo beside kvr-bench: make all");
    all.random = bench_wall_ns();
    choose_ports(&all);
    for (int i = 0; i < MEMBERS; i++) {
        start(&all, i);
    }
    for (int i = 0; i < KILLS; i++) {
        ms[i] = fail_over(&all);
    }
    for (int i = 0; i < MEMBERS; i++) {
        kill_member(&all.members[i]);
    }
    qsort(ms, KILLS, sizeof *ms, compare_doubles);
    bench_report(run, "median", (ms[KILLS / 2 - 1] + ms[KILLS / 2]) / 2);
    bench_report(run, "fastest", ms[0]);
    bench_report(run, "slowest", ms[KILLS - 1]);
}

const bench_question bench_failover_100 = {
    "failover-100",
    "failover-100: from kill -9 of a leader to the next accepted write; 20 a run; heartbeats 100 "
    "ms",
    100,
    {{"kvraft", measure}},
    {{"failover", "median", "ms", 0, BENCH_GOAL_AT_MOST, 1500},
     {"failover-fastest", "fastest", "ms", 0, BENCH_GOAL_NONE, 0},
     {"failover-slowest", "slowest", "ms", 0, BENCH_GOAL_NONE, 0}}};

const bench_question bench_failover_10 = {
    "failover-10",
    "failover-10: the same with heartbeats of 10 ms and election timeouts of 100 ms",
    10,
    {{"kvraft", measure}},
    {{"failover-10", "median", "ms", 0, BENCH_GOAL_NONE, 0},
     {"failover-10-fastest", "fastest", "ms", 0, BENCH_GOAL_NONE, 0},
     {"failover-10-slowest", "slowest", "ms", 0, BENCH_GOAL_NONE, 0}}};
