/* SPDX-License-Identifier: Apache-2.0 */
/* demo_tour.c: starts three members as processes and shows, a line or two a step, what they can do.
 * A line is printed after what it says was checked; the exit status is 0 only if every step did.
 * All of it happens in a directory of its own, and nothing is left running or behind. */
#include "demo.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { MEMBERS = 3, WINDOW = 64, SNAPSHOT_ENTRIES = 1000, ACKED_MAX = 1 << 16 };
static const uint64_t second = 1000000000;

typedef struct guide {
    char directory[32];
    char peers[128];
    char clients[MEMBERS][32];
    pid_t pids[MEMBERS];     /* 0: not running */
    connection one[MEMBERS]; /* to each member */
    connection all;          /* to whichever answers */
    const char *load;
    uint64_t packages;
    uint32_t in_flight; /* writes sent on `all` and not acknowledged yet */
    int dead;           /* the member that was killed */
} guide;

static volatile sig_atomic_t interrupted;

static void interrupt(int signal_number)
{
    (void)signal_number;
    interrupted = 1;
}

/* A step is a chain of expectations; the first that does not hold ends the tour, and so does the
 * user. */
#define EXPECT(condition, ...)                                               \
    do {                                                                     \
        if (interrupted || !(condition)) {                                   \
            if (!interrupted) {                                              \
                fprintf(stderr, "\nkvraft-demo tour: failed: " __VA_ARGS__); \
                fputc('\n', stderr);                                         \
            }                                                                \
            return false;                                                    \
        }                                                                    \
    } while (0)

static double since(uint64_t start_ns)
{
    return (double)(now_ns() - start_ns) / (double)second;
}

/* The body of a loop that waits: false when the time is up or the user has had enough. */
static bool waiting(uint64_t start_ns, double seconds)
{
    nanosleep(&(struct timespec){.tv_nsec = 10000000}, NULL);
    return since(start_ns) < seconds && !interrupted;
}

/* ---------------------------------------------------------------- processes */

/* Six free ports: held together, so that they differ, then let go. */
static bool choose_ports(guide *self)
{
    int fds[2 * MEMBERS];
    struct sockaddr_in at[2 * MEMBERS];
    for (size_t i = 0; i < COUNT_OF(fds); i++) {
        socklen_t size = sizeof at[i];
        at[i] =
            (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
        fds[i] = socket(AF_INET, SOCK_STREAM, 0);
        EXPECT(bind(fds[i], (struct sockaddr *)&at[i], size) == 0 &&
                   getsockname(fds[i], (struct sockaddr *)&at[i], &size) == 0,
               "no free port on 127.0.0.1: %s", strerror(errno));
    }
    for (size_t i = 0; i < COUNT_OF(fds); i++) {
        close(fds[i]);
    }
    self->all = (connection){.endpoints.count = MEMBERS, .timeout_ns = 10 * second};
    for (int i = 0; i < MEMBERS; i++) {
        size_t used = strlen(self->peers);
        snprintf(self->peers + used, sizeof self->peers - used, "%s%d=127.0.0.1:%u",
                 i == 0 ? "" : ",", i + 1, ntohs(at[i].sin_port));
        snprintf(self->clients[i], sizeof self->clients[i], "127.0.0.1:%u",
                 ntohs(at[MEMBERS + i].sin_port));
        self->one[i] = (connection){.endpoints.count = 1, .timeout_ns = 10 * second};
        self->one[i].endpoints.addresses[0] = at[MEMBERS + i];
        self->all.endpoints.addresses[i] = at[MEMBERS + i];
    }
    return true;
}

static bool start(guide *self, int member)
{
    char id[16], entries[16], directory[64], log[72];
    snprintf(id, sizeof id, "%d", member + 1);
    snprintf(entries, sizeof entries, "%d", SNAPSHOT_ENTRIES);
    snprintf(directory, sizeof directory, "%s/member%s", self->directory, id);
    snprintf(log, sizeof log, "%s.log", directory);
    fflush(NULL);
    pid_t pid = fork();
    EXPECT(pid >= 0, "fork: %s", strerror(errno));
    if (pid > 0) {
        self->pids[member] = pid;
        return true;
    }
    prctl(PR_SET_PDEATHSIG, SIGKILL); /* whatever happens to the tour, nothing stays */
    if (freopen(log, "a", stdout) != NULL && dup2(fileno(stdout), fileno(stderr)) >= 0) {
        execl("/proc/self/exe", "kvraft-demo", "serve", "--id", id, "--peers", self->peers,
              "--client", self->clients[member], "--data-dir", directory, "--snapshot-entries",
              entries, (char *)NULL);
    }
    _exit(EXIT_FAILED);
}

static int stop(guide *self, int member, int signal_number)
{
    int status = 0;
    if (self->pids[member] > 0) {
        kill(self->pids[member], signal_number);
        waitpid(self->pids[member], &status, 0);
        self->pids[member] = 0;
    }
    stream_close(&self->one[member].io);
    return status;
}

static void show_log(const guide *self, int member)
{
    char path[64], line[256];
    snprintf(path, sizeof path, "%s/member%d.log", self->directory, member + 1);
    FILE *file = fopen(path, "r");
    while (file != NULL && fgets(line, sizeof line, file) != NULL) {
        fprintf(stderr, "  member %d said: %s", member + 1, line);
    }
    if (file != NULL) {
        fclose(file);
    }
}

static void remove_tree(const char *path)
{
    DIR *directory = opendir(path);
    for (struct dirent *each; directory != NULL && (each = readdir(directory)) != NULL;) {
        char below[512];
        snprintf(below, sizeof below, "%s/%s", path, each->d_name);
        if (each->d_name[0] != '.' && unlink(below) != 0) {
            remove_tree(below);
        }
    }
    if (directory != NULL) {
        closedir(directory);
    }
    rmdir(path);
}

/* ---------------------------------------------------------------- questions and calls */

static bool ask(guide *self, int member, member_status *out_status)
{
    reply answer;
    return self->pids[member] > 0 && client_status(&self->one[member], out_status, &answer);
}

/* The member that a majority knows as leader and that knows it too; -1 after the time. */
static int find_leader(guide *self, double seconds)
{
    uint64_t start_ns = now_ns();
    do {
        member_status s;
        int votes[MEMBERS] = {0};
        for (int i = 0; i < MEMBERS; i++) {
            if (ask(self, i, &s) && s.leader > 0 && ++votes[s.leader - 1] == 2) {
                int leader = (int)s.leader - 1;
                if (ask(self, leader, &s) && s.role == KVR_ROLE_LEADER) {
                    return leader;
                }
            }
        }
    } while (waiting(start_ns, seconds));
    return -1;
}

static request put_request(const char *key, const char *value, int64_t lease)
{
    request asked = {.kind = WIRE_WRITE, .op = {.kind = KVR_OP_PUT, .lease = lease}};
    asked.op.key = text(key);
    asked.op.value = text(value);
    return asked;
}

/* The revision that the put made, or 0 if it was not acknowledged. */
static uint64_t put(guide *self, const char *key, const char *value, int64_t lease)
{
    request asked = put_request(key, value, lease);
    reply answer = client_ask(&self->all, &asked);
    return reply_is_good(&answer) ? answer.revision : 0;
}

static bool take_acks(guide *self, uint32_t left)
{
    for (; self->in_flight > left; self->in_flight--) {
        reply answer = client_receive(&self->all, 10 * second);
        EXPECT(reply_is_good(&answer), "a write was not acknowledged");
    }
    return true;
}

/* Does not wait for its acknowledgement before WINDOW are under way: group commit lives on that. */
static bool put_many(guide *self, const char *key, const char *value)
{
    request asked = put_request(key, value, 0);
    EXPECT(client_send(&self->all, &asked), "the connection to a member broke");
    self->in_flight++;
    return take_acks(self, WINDOW - 1);
}

/* What a read found: how many keys, a sum over keys and values, and the last value. */
typedef struct reading {
    uint64_t count;
    uint64_t sum;
    char value[64];
} reading;

static void add_sum(uint64_t *sum, kvr_slice bytes)
{
    for (size_t i = 0; i < bytes.size; i++) {
        *sum = (*sum ^ bytes.data[i]) * 1099511628211u;
    }
}

/* Of one key (`end` is ""), or from `key` to `end`. */
static bool read_keys(connection *link, const char *key, const char *end, uint32_t flags,
                      uint64_t revision, reading *out_reading)
{
    request asked = {.kind = WIRE_READ, .flags = flags};
    asked.range = (kvr_range){.key = text(key), .range_end = text(end), .revision = revision};
    reply answer = client_ask(link, &asked);
    *out_reading = (reading){0};
    for (kvr_kv kv; client_next_kv(link, &answer, &kv); out_reading->count++) {
        add_sum(&out_reading->sum, kv.key);
        add_sum(&out_reading->sum, kv.value);
        snprintf(out_reading->value, sizeof out_reading->value, "%.*s", (int)kv.value.size,
                 kv.value.data);
    }
    return reply_is_good(&answer);
}

/* ---------------------------------------------------------------- the steps */

static bool step_elect(guide *self)
{
    uint64_t start_ns = now_ns();
    for (int i = 0; i < MEMBERS; i++) {
        EXPECT(start(self, i), "member %d did not start", i + 1);
    }
    int leader = find_leader(self, 20);
    EXPECT(leader >= 0, "no leader within 20 s");
    printf("elect      three processes agreed on member %d as their leader after %.2f s\n",
           leader + 1, since(start_ns));
    return true;
}

/* "pkg/<name>", with the architecture where several of one name may be installed. */
static bool stanza_key(const char *stanza, char key[160])
{
    const char *name = strstr(stanza, "Package: ");
    bool many = strstr(stanza, "\nMulti-Arch: same") != NULL;
    const char *arch = many ? strstr(stanza, "\nArchitecture: ") : NULL;
    if (name == NULL || (name != stanza && name[-1] != '\n')) {
        return false;
    }
    snprintf(key, 160, "pkg/%.*s%s%.*s", (int)strcspn(name + 9, "\n"), name + 9,
             arch == NULL ? "" : ":", arch == NULL ? 0 : (int)strcspn(arch + 15, "\n"),
             arch == NULL ? "" : arch + 15);
    return true;
}

static bool load_stanzas(guide *self, char *stanza)
{
    for (char *next; stanza != NULL && *stanza != '\0'; stanza = next) {
        char key[160];
        char *end = strstr(stanza, "\n\n");
        next = end == NULL ? NULL : end + 1 + strspn(end + 1, "\n");
        if (end != NULL) {
            *end = '\0';
        }
        EXPECT(stanza_key(stanza, key),
               "%s: a stanza without \"Package:\"; LOAD= takes a file like dpkg's status",
               self->load);
        if (!put_many(self, key, stanza)) {
            return false;
        }
        if (++self->packages % 64 == 0 && isatty(fileno(stdout))) {
            printf("\rload       %" PRIu64 " stanzas", self->packages);
            fflush(stdout);
        }
    }
    return take_acks(self, 0);
}

static bool step_load(guide *self)
{
    uint64_t start_ns = now_ns();
    buffer bytes = {0};
    reading keys;
    size_t got;
    FILE *file = fopen(self->load, "rb");
    EXPECT(file != NULL, "%s: %s; name another file with LOAD=", self->load, strerror(errno));
    do {
        got = fread(buffer_room(&bytes, 65536), 1, 65536, file);
        bytes.end -= 65536 - got;
    } while (got > 0);
    fclose(file);
    size_t size = buffer_size(&bytes);
    *buffer_room(&bytes, 1) = '\0';
    bool loaded = load_stanzas(self, (char *)bytes.data + bytes.start);
    buffer_release(&bytes);
    EXPECT(loaded && self->packages > 0, "%s holds no stanza", self->load);
    EXPECT(read_keys(&self->all, "pkg/", "pkg0", READ_KEYS_ONLY, 0, &keys) &&
               keys.count == self->packages,
           "%" PRIu64 " keys are there of %" PRIu64 " stanzas", keys.count, self->packages);
    printf("\rload       %" PRIu64
           " stanzas of %s, %zu KiB, each one on a majority's disks: %.2f s\n",
           keys.count, self->load, size >> 10, since(start_ns));
    return true;
}

static bool step_read(guide *self)
{
    reading first = {0};
    for (int i = 0; i < MEMBERS; i++) {
        reading linear, stale;
        EXPECT(read_keys(&self->one[i], "pkg/", "pkg0", 0, 0, &linear), "linearizable read of %d",
               i + 1);
        EXPECT(read_keys(&self->one[i], "pkg/", "pkg0", READ_STALE, 0, &stale), "own copy of %d",
               i + 1);
        first = i == 0 ? linear : first;
        EXPECT(linear.count == self->packages && linear.sum == first.sum && stale.sum == first.sum,
               "member %d reads other bytes", i + 1);
    }
    printf("read       the same %" PRIu64 " from each member, linearizable and serializable\n",
           first.count);
    return true;
}

static bool step_history(guide *self)
{
    reading old, now;
    uint64_t before = put(self, "tour/greeting", "hello", 0);
    uint64_t after = put(self, "tour/greeting", "good bye", 0);
    EXPECT(before > 0 && after == before + 1, "two puts must take two revisions in a row");
    EXPECT(read_keys(&self->all, "tour/greeting", "", 0, before, &old) &&
               read_keys(&self->all, "tour/greeting", "", 0, 0, &now) &&
               strcmp(old.value, "hello") == 0 && strcmp(now.value, "good bye") == 0,
           "found \"%s\", then \"%s\"", old.value, now.value);
    printf("history    tour/greeting is \"%s\", and was \"%s\" at revision %" PRIu64 "\n",
           now.value, old.value, before);
    return true;
}

/* If the counter is `expected`, makes it `wanted`. 1: it was, 0: it was not, -1: no answer. */
static int swap(guide *self, const char *expected, const char *wanted)
{
    static txn_room room;
    kvr_op_result result = {0};
    request asked = {.kind = WIRE_WRITE, .op = {.kind = KVR_OP_TXN}, .room = &room};
    room.txn = (kvr_txn){.compare_count = 1, .then_count = 1, .else_count = 1};
    room.compares[0].target = KVR_COMPARE_VALUE;
    room.compares[0].key = text("tour/counter");
    room.compares[0].value = text(expected);
    room.then_ops[0] = put_request("tour/counter", wanted, 0).op;
    room.else_ops[0] = (kvr_op){.kind = KVR_OP_RANGE, .key = text("tour/counter")};
    reply answer = client_ask(&self->all, &asked);
    field_result(&answer.rest, &result);
    return reply_is_good(&answer) ? result.succeeded : -1;
}

static bool step_transaction(guide *self)
{
    reading now;
    EXPECT(put(self, "tour/counter", "1", 0) > 0, "put");
    EXPECT(swap(self, "1", "2") == 1, "a compare with the value that is there must hold");
    EXPECT(swap(self, "1", "3") == 0, "a compare with an old value must fail");
    EXPECT(read_keys(&self->all, "tour/counter", "", 0, 0, &now) && strcmp(now.value, "2") == 0,
           "the counter is %s", now.value);
    printf("compare    1 became 2 in a transaction; another that expected 1 changed nothing\n");
    return true;
}

static bool watch(connection *link, uint64_t since_revision)
{
    request asked = {.kind = WIRE_WATCH, .range.key = text("tour/watched")};
    asked.range.revision = since_revision;
    reply answer = client_ask(link, &asked);
    return reply_is_good(&answer);
}

/* Prints the next events and expects one a revision, in order, from `revision` on. */
static bool take_events(connection *link, uint64_t revision, uint32_t count, const char *label)
{
    for (uint64_t end = revision + count; revision < end;) {
        reply batch = client_receive(link, 5 * second);
        EXPECT(reply_is_good(&batch), "no event of revision %" PRIu64 " within 5 s", revision);
        while (fields_left(&batch.rest)) {
            kvr_event event;
            field_event(&batch.rest, &event);
            const kvr_kv *kv = &event.kv;
            EXPECT(kv->mod_revision == revision, "revision %" PRIu64 " instead of %" PRIu64,
                   kv->mod_revision, revision);
            printf("%-10s revision %" PRIu64 ": %.*s = %.*s\n", label, revision++,
                   (int)kv->key.size, kv->key.data, (int)kv->value.size, kv->value.data);
        }
    }
    return true;
}

static bool step_watch(guide *self)
{
    static const char *const values[] = {"one", "two", "three"};
    connection *live = &self->one[0];
    connection *past = &self->one[1];
    uint64_t first = 0;
    EXPECT(watch(live, 0), "watch");
    for (size_t i = 0; i < COUNT_OF(values); i++) {
        uint64_t revision = put(self, "tour/watched", values[i], 0);
        first = i == 0 ? revision : first;
        EXPECT(revision > 0 && revision == first + i, "put");
        if (!take_events(live, revision, 1, "watch")) {
            return false;
        }
    }
    EXPECT(watch(past, first), "watch");
    bool good = take_events(past, first, COUNT_OF(values), "  again");
    stream_close(&live->io);
    stream_close(&past->io);
    return good;
}

static bool step_lease(guide *self)
{
    const double ttl = 1.5;
    reading now = {.count = 1};
    uint64_t start_ns = now_ns();
    request asked = {.kind = WIRE_LEASE, .lease_call = KVR_CALL_LEASE_GRANT};
    asked.ttl_ns = (uint64_t)(ttl * 1e9);
    reply answer = client_ask(&self->all, &asked);
    EXPECT(reply_is_good(&answer), "no lease was granted");
    int64_t lease = (int64_t)field_u64(&answer.rest, 0);
    EXPECT(put(self, "tour/session", "alive", lease) > 0, "put with a lease");
    while (now.count > 0 && waiting(start_ns, 10)) {
        EXPECT(read_keys(&self->all, "tour/session", "", 0, 0, &now), "read");
    }
    double gone = since(start_ns);
    EXPECT(now.count == 0 && gone >= ttl && gone < ttl + 3, "the key went after %.2f s", gone);
    printf("lease      a key with a lease of %.1f s went by itself after %.2f s\n", ttl, gone);
    return true;
}

/* Writes tour/acked/N for one N after another, and remembers which were acknowledged. */
typedef struct writer {
    bool acked[ACKED_MAX];
    uint32_t next;
    uint32_t total;
} writer;

static void write_for(guide *self, writer *to, double seconds, bool until_acked)
{
    uint64_t start_ns = now_ns();
    uint32_t before = to->total;
    while (since(start_ns) < seconds && to->next < ACKED_MAX && !interrupted &&
           (!until_acked || to->total == before)) {
        char key[32];
        snprintf(key, sizeof key, "tour/acked/%05u", to->next);
        to->acked[to->next] = put(self, key, "x", 0) > 0;
        to->total += to->acked[to->next++]; /* one that was not may be there or not: leave it */
    }
}

static bool step_kill(guide *self)
{
    static writer to;
    int leader = find_leader(self, 10);
    EXPECT(leader >= 0, "no leader");
    stream_close(&self->all.io); /* from now on through a follower, which forwards */
    self->all.endpoint = (uint32_t)(leader + 1) % MEMBERS;
    write_for(self, &to, 0.3, false);
    uint32_t before = to.total;
    uint64_t killed_ns = now_ns();
    stop(self, leader, SIGKILL);
    write_for(self, &to, 20, true);
    double failover = since(killed_ns);
    EXPECT(before > 0 && to.total > before, "no write was acknowledged after the leader's death");
    write_for(self, &to, 0.3, false);
    for (uint32_t i = 0; i < to.next; i++) {
        char key[32];
        reading found = {0};
        snprintf(key, sizeof key, "tour/acked/%05u", i);
        EXPECT(!to.acked[i] || (read_keys(&self->all, key, "", 0, 0, &found) && found.count == 1),
               "%s was acknowledged and is not there", key);
    }
    printf(
        "kill -9    the leader, member %d, under a writer: the next write was acknowledged %.2f s "
        "later\n           and all %u acknowledged ones, %u of them before, are there\n",
        leader + 1, failover, to.total, before);
    self->dead = leader;
    return true;
}

/* Starts the dead member and waits until it has applied what the leader has committed by now. */
static bool bring_back(guide *self, member_status *out_status)
{
    int leader = find_leader(self, 10);
    uint64_t start_ns = now_ns();
    member_status s;
    EXPECT(leader >= 0 && ask(self, leader, &s) && start(self, self->dead), "no leader");
    while (!ask(self, self->dead, out_status) || out_status->applied < s.commit) {
        EXPECT(waiting(start_ns, 20), "member %d did not catch up", self->dead + 1);
    }
    return true;
}

static bool step_restart(guide *self)
{
    uint64_t start_ns = now_ns();
    member_status s;
    if (!bring_back(self, &s)) {
        return false;
    }
    printf("restart    member %d is back and caught up by log to index %" PRIu64 " after %.2f s\n",
           self->dead + 1, s.applied, since(start_ns));
    return true;
}

/* Writes until the leader's log begins above `index`. */
static bool outgrow(guide *self, int leader, uint64_t index, member_status *s)
{
    uint64_t start_ns = now_ns();
    stream_close(&self->all.io);
    self->all.endpoint = (uint32_t)leader;
    while (ask(self, leader, s) && s->first <= index + 1) {
        EXPECT(waiting(start_ns, 20), "the log was not compacted");
        for (int i = 0; i < SNAPSHOT_ENTRIES; i++) {
            if (!put_many(self, "tour/filler", "text that fills the log, again and again")) {
                return false;
            }
        }
        if (!take_acks(self, 0)) {
            return false;
        }
    }
    return true;
}

static bool step_snapshot(guide *self)
{
    member_status before, leaders, after;
    EXPECT(ask(self, self->dead, &before), "no answer");
    stop(self, self->dead, SIGKILL);
    int leader = find_leader(self, 10);
    EXPECT(leader >= 0, "no leader");
    if (!outgrow(self, leader, before.last, &leaders)) {
        return false;
    }
    uint64_t start_ns = now_ns();
    if (!bring_back(self, &after)) {
        return false;
    }
    EXPECT(after.snapshot + 1 >= leaders.first, "it holds no such snapshot");
    printf("snapshot   member %d missed %" PRIu64 "..%" PRIu64
           ", compacted away meanwhile; the snapshot "
           "at %" PRIu64 "\n           and the log behind it brought it up in %.2f s\n",
           self->dead + 1, before.last + 1, leaders.first - 1, after.snapshot, since(start_ns));
    return true;
}

static bool step_hash(guide *self)
{
    uint64_t start_ns = now_ns();
    member_status s[MEMBERS];
    bool same = false;
    do {
        same = ask(self, 0, &s[0]);
        for (int i = 1; i < MEMBERS; i++) {
            same = ask(self, i, &s[i]) && same && s[i].hash_index == s[0].hash_index;
        }
    } while (!same && waiting(start_ns, 10));
    EXPECT(same, "the members did not come to rest at one index");
    for (int i = 1; i < MEMBERS; i++) {
        EXPECT(s[i].hash_live == s[0].hash_live && s[i].hash_chain == s[0].hash_chain,
               "the state of member %d differs", i + 1);
    }
    printf("hash       %016" PRIx64 " at index %" PRIu64 " and revision %" PRIu64
           ", on all three\n",
           s[0].hash_live, s[0].hash_index, s[0].revision);
    return true;
}

static bool step_stop(guide *self)
{
    for (int i = 0; i < MEMBERS; i++) {
        int status = stop(self, i, SIGTERM);
        EXPECT(WIFEXITED(status) && WEXITSTATUS(status) == 0, "member %d did not end well", i + 1);
    }
    return true;
}

static bool all_steps(guide *self)
{
    static bool (*const steps[])(guide *) = {
        choose_ports,     step_elect, step_load,  step_read, step_history,
        step_transaction, step_watch, step_lease, step_kill, step_restart,
        step_snapshot,    step_hash,  step_stop};
    bool good = true;
    for (size_t i = 0; good && i < COUNT_OF(steps); i++) {
        good = steps[i](self) && !interrupted;
    }
    return good;
}

int run_tour(options *chosen, char **words)
{
    (void)words;
    static guide self = {.directory = "/tmp/kvraft-tour-XXXXXX"};
    self.load = chosen->load;
    if (mkdtemp(self.directory) == NULL) {
        fprintf(stderr, "kvraft-demo tour: %s: %s\n", self.directory, strerror(errno));
        return EXIT_FAILED;
    }
    signal(SIGINT, interrupt);
    signal(SIGTERM, interrupt);
    uint64_t start_ns = now_ns();
    bool good = all_steps(&self);
    for (int i = 0; i < MEMBERS; i++) {
        if (!good && !interrupted) {
            show_log(&self, i);
        }
        stop(&self, i, SIGKILL);
    }
    stream_close(&self.all.io);
    remove_tree(self.directory);
    if (good) {
        printf("All of it was checked, in %.1f s. Nothing is left running or behind.\n",
               since(start_ns));
    } else if (interrupted) {
        fprintf(stderr, "\nkvraft-demo tour: interrupted. Nothing is left running or behind.\n");
    }
    return good ? EXIT_OK : EXIT_FAILED;
}
