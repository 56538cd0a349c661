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
    const char *load;
    char directory[32];
    char peers[128];
    char clients[MEMBERS][32];
    pid_t pids[MEMBERS];     /* 0: not running */
    connection one[MEMBERS]; /* to each member */
    connection all;          /* to whichever answers */
    uint64_t packages;
} guide;

static volatile sig_atomic_t interrupted;

static void interrupt(int signal_number)
{
    (void)signal_number;
    interrupted = 1;
}

/* A step is a chain of expectations; the first that does not hold ends the tour. */
#define EXPECT(condition, ...)                                           \
    do {                                                                 \
        if (!(condition)) {                                              \
            fprintf(stderr, "\nkvraft-demo tour: failed: " __VA_ARGS__); \
            fputc('\n', stderr);                                         \
            return false;                                                \
        }                                                                \
    } while (0)

static double since(uint64_t start_ns)
{
    return (double)(net_now() - start_ns) / (double)second;
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
    unsigned ports[2 * MEMBERS];
    char list[3 * sizeof self->clients[0]];
    for (size_t i = 0; i < COUNT_OF(fds); i++) {
        struct sockaddr_in any = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
        socklen_t size = sizeof any;
        fds[i] = socket(AF_INET, SOCK_STREAM, 0);
        EXPECT(bind(fds[i], (struct sockaddr *)&any, size) == 0 &&
                   getsockname(fds[i], (struct sockaddr *)&any, &size) == 0,
               "no free port on 127.0.0.1: %s", strerror(errno));
        ports[i] = ntohs(any.sin_port);
    }
    for (size_t i = 0; i < COUNT_OF(fds); i++) {
        close(fds[i]);
    }
    snprintf(self->peers, sizeof self->peers, "1=127.0.0.1:%u,2=127.0.0.1:%u,3=127.0.0.1:%u",
             ports[0], ports[1], ports[2]);
    for (int i = 0; i < MEMBERS; i++) {
        snprintf(self->clients[i], sizeof self->clients[i], "127.0.0.1:%u", ports[MEMBERS + i]);
        EXPECT(client_endpoints(&self->one[i], self->clients[i]), "no endpoint");
    }
    snprintf(list, sizeof list, "%s,%s,%s", self->clients[0], self->clients[1], self->clients[2]);
    return client_endpoints(&self->all, list);
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
    client_disconnect(&self->one[member]);
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

static bool ask(guide *self, int member, uint64_t status[STATUS_COUNT])
{
    reply answer;
    return self->pids[member] > 0 && client_status(&self->one[member], status, &answer);
}

/* The member that a majority knows as leader and that knows it too; -1 after the time. */
static int find_leader(guide *self, double seconds)
{
    uint64_t start_ns = net_now();
    do {
        uint64_t s[STATUS_COUNT];
        int votes[MEMBERS] = {0};
        for (int i = 0; i < MEMBERS; i++) {
            if (ask(self, i, s) && s[STATUS_LEADER] > 0 && ++votes[s[STATUS_LEADER] - 1] == 2) {
                int leader = (int)s[STATUS_LEADER] - 1;
                if (ask(self, leader, s) && s[STATUS_ROLE] == KVR_ROLE_LEADER) {
                    return leader;
                }
            }
        }
    } while (waiting(start_ns, seconds));
    return -1;
}

static kvr_op put_op(kvr_slice key, kvr_slice value, int64_t lease)
{
    return (kvr_op){
        .size = sizeof(kvr_op), .kind = KVR_OP_PUT, .key = key, .value = value, .lease = lease};
}

/* The revision that the put made, or 0 if it was not acknowledged. */
static uint64_t put(connection *link, const char *key, const char *value, int64_t lease)
{
    reply answer;
    kvr_op op = put_op(text(key), text(value), lease);
    return client_write(link, &op, &answer) && reply_is_good(&answer) ? answer.revision : 0;
}

/* What a read found: how many keys, a sum over keys and values, and the last value. */
typedef struct reading {
    uint64_t count;
    uint64_t sum;
    char value[64];
} reading;

static void add_kv(void *ctx, const kvr_kv *kv)
{
    reading *to = ctx;
    for (size_t i = 0; i < kv->key.size; i++) {
        to->sum = (to->sum ^ kv->key.data[i]) * 1099511628211u;
    }
    for (size_t i = 0; i < kv->value.size; i++) {
        to->sum = (to->sum ^ kv->value.data[i]) * 1099511628211u;
    }
    snprintf(to->value, sizeof to->value, "%.*s", (int)kv->value.size, kv->value.data);
    to->count++;
}

static bool read_keys(connection *link, const char *key, const char *end, uint32_t flags,
                      uint64_t revision, reading *out_reading)
{
    reply answer;
    query wanted = {.flags = flags, .each = add_kv, .ctx = out_reading};
    wanted.range = (kvr_range){.size = sizeof wanted.range, .key = text(key), .revision = revision};
    wanted.range.range_end = text(end);
    *out_reading = (reading){0};
    return client_read(link, &wanted, &answer) && reply_is_good(&answer);
}

/* ---------------------------------------------------------------- the steps */

static bool step_elect(guide *self)
{
    uint64_t start_ns = net_now();
    for (int i = 0; i < MEMBERS; i++) {
        EXPECT(start(self, i), "member %d did not start", i + 1);
    }
    int leader = find_leader(self, 20);
    EXPECT(leader >= 0, "no leader within 20 s");
    printf("elect      three processes agreed on member %d as their leader after %.2f s\n",
           leader + 1, since(start_ns));
    return true;
}

static bool take_ack(guide *self, uint64_t *acked)
{
    reply answer;
    EXPECT(client_receive(&self->all, 10 * second, &answer) && reply_is_good(&answer),
           "a write was not acknowledged");
    (*acked)++;
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

/* WINDOW writes are under way at a time: that is what group commit lives on. */
static bool load_stanzas(guide *self, char *stanza, uint64_t *sent)
{
    uint64_t acked = 0;
    for (char *next; stanza != NULL && *stanza != '\0'; stanza = next) {
        char key[160];
        char *end = strstr(stanza, "\n\n");
        next = end == NULL ? NULL : end + 1 + strspn(end + 1, "\n");
        if (end != NULL) {
            *end = '\0';
        }
        EXPECT(stanza_key(stanza, key),
               "%s: a stanza without \"Package:\"; LOAD= takes a file like "
               "dpkg's status",
               self->load);
        size_t mark = client_begin(&self->all, WIRE_WRITE);
        kvr_op op = put_op(text(key), text(stanza), 0);
        wire_op(&self->all.out, &op);
        wire_end(&self->all.out, mark);
        EXPECT(client_send(&self->all), "the connection to a member broke");
        if (++*sent - acked == WINDOW && !take_ack(self, &acked)) {
            return false;
        }
        if (*sent % 64 == 0 && isatty(fileno(stdout))) {
            printf("\rload       %" PRIu64 " stanzas", *sent);
            fflush(stdout);
        }
    }
    while (acked < *sent) {
        if (!take_ack(self, &acked)) {
            return false;
        }
    }
    return true;
}

static bool step_load(guide *self)
{
    uint64_t start_ns = net_now();
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
    bool loaded = load_stanzas(self, (char *)bytes.data + bytes.start, &self->packages);
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
    uint64_t before = put(&self->all, "tour/greeting", "hello", 0);
    uint64_t after = put(&self->all, "tour/greeting", "good bye", 0);
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
    reply answer;
    kvr_slice key = text("tour/counter");
    kvr_op set = put_op(key, text(wanted), 0);
    kvr_op get = {.size = sizeof get, .kind = KVR_OP_RANGE, .key = key};
    kvr_compare is = {.size = sizeof is, .target = KVR_COMPARE_VALUE, .key = key};
    is.value = text(expected);
    kvr_txn txn = {sizeof txn, 1, 1, 1, &is, &set, &get};
    kvr_op op = {.size = sizeof op, .kind = KVR_OP_TXN, .txn = &txn};
    if (!client_write(&self->all, &op, &answer) || !reply_is_good(&answer)) {
        return -1;
    }
    (void)read_u8(&answer.fields);
    return read_u8(&answer.fields);
}

static bool step_transaction(guide *self)
{
    reading now;
    EXPECT(put(&self->all, "tour/counter", "1", 0) > 0, "put");
    EXPECT(swap(self, "1", "2") == 1, "a compare with the value that is there must hold");
    EXPECT(swap(self, "1", "3") == 0, "a compare with an old value must fail");
    EXPECT(read_keys(&self->all, "tour/counter", "", 0, 0, &now) && strcmp(now.value, "2") == 0,
           "the counter is %s", now.value);
    printf("compare    1 became 2 in a transaction; another that expected 1 changed nothing\n");
    return true;
}

/* Prints the next events and expects one a revision, in order, from `revision` on. */
static bool take_events(connection *link, uint64_t revision, uint32_t count, const char *label)
{
    for (uint64_t end = revision + count; revision < end;) {
        reply batch;
        EXPECT(client_receive(link, 5 * second, &batch) && batch.status == KVR_OK,
               "no event of revision %" PRIu64 " within 5 s", revision);
        for (uint32_t n = batch.kind == WIRE_EVENTS ? read_u32(&batch.fields) : 0; n > 0; n--) {
            (void)read_u8(&batch.fields);
            kvr_kv kv = read_kv(&batch.fields);
            (void)read_u8(&batch.fields);
            (void)read_kv(&batch.fields);
            EXPECT(kv.mod_revision == revision, "revision %" PRIu64 " instead of %" PRIu64,
                   kv.mod_revision, revision);
            printf("%-10s revision %" PRIu64 ": %.*s = %.*s\n", label, revision++, (int)kv.key.size,
                   kv.key.data, (int)kv.value.size, kv.value.data);
        }
    }
    return true;
}

static bool step_watch(guide *self)
{
    static const char *const values[] = {"one", "two", "three"};
    connection *live = &self->one[0];
    connection *past = &self->one[1];
    reply answer;
    uint64_t first = 0;
    EXPECT(client_watch(live, text("tour/watched"), text(""), 0, 0, &answer), "watch");
    for (size_t i = 0; i < COUNT_OF(values); i++) {
        uint64_t revision = put(&self->all, "tour/watched", values[i], 0);
        first = i == 0 ? revision : first;
        EXPECT(revision > 0 && revision == first + i, "put");
        if (!take_events(live, revision, 1, "watch")) {
            return false;
        }
    }
    EXPECT(client_watch(past, text("tour/watched"), text(""), 0, first, &answer), "watch");
    bool good = take_events(past, first, COUNT_OF(values), "  again");
    client_disconnect(live);
    client_disconnect(past);
    return good;
}

static bool step_lease(guide *self)
{
    const double ttl = 1.5;
    reply answer;
    reading now = {.count = 1};
    uint64_t start_ns = net_now();
    EXPECT(client_lease(&self->all, KVR_CALL_LEASE_GRANT, 0, (uint64_t)(ttl * 1e9), &answer) &&
               reply_is_good(&answer),
           "no lease was granted");
    int64_t lease = (int64_t)read_u64(&answer.fields);
    EXPECT(put(&self->all, "tour/session", "alive", lease) > 0, "put with a lease");
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
    uint64_t start_ns = net_now();
    uint32_t before = to->total;
    while (since(start_ns) < seconds && to->next < ACKED_MAX && !interrupted &&
           (!until_acked || to->total == before)) {
        char key[32];
        snprintf(key, sizeof key, "tour/acked/%05u", to->next);
        to->acked[to->next] = put(&self->all, key, "x", 0) > 0;
        to->total += to->acked[to->next++]; /* one that was not may be there or not: leave it */
    }
}

static bool step_kill(guide *self, int *out_dead)
{
    static writer to;
    int leader = find_leader(self, 10);
    EXPECT(leader >= 0, "no leader");
    client_disconnect(&self->all); /* from now on through a follower, which forwards */
    self->all.endpoint = (size_t)(leader + 1) % MEMBERS;
    write_for(self, &to, 0.3, false);
    uint32_t before = to.total;
    uint64_t killed_ns = net_now();
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
    *out_dead = leader;
    return true;
}

/* Starts a member and waits until it has applied what the leader has committed by now. */
static bool bring_back(guide *self, int member, uint64_t status[STATUS_COUNT])
{
    int leader = find_leader(self, 10);
    uint64_t start_ns = net_now();
    uint64_t s[STATUS_COUNT];
    EXPECT(leader >= 0 && ask(self, leader, s) && start(self, member), "no leader");
    while (!ask(self, member, status) || status[STATUS_APPLIED] < s[STATUS_COMMIT]) {
        EXPECT(waiting(start_ns, 20), "member %d did not catch up", member + 1);
    }
    return true;
}

static bool step_restart(guide *self, int dead)
{
    uint64_t start_ns = net_now();
    uint64_t s[STATUS_COUNT];
    if (!bring_back(self, dead, s)) {
        return false;
    }
    printf("restart    member %d is back and caught up by log to index %" PRIu64 " after %.2f s\n",
           dead + 1, s[STATUS_APPLIED], since(start_ns));
    return true;
}

/* Writes until the leader's log begins above `index`. */
static bool outgrow(guide *self, int leader, uint64_t index, uint64_t s[STATUS_COUNT])
{
    uint64_t start_ns = net_now();
    kvr_op op = put_op(text("tour/filler"), text("text that fills the log, again and again"), 0);
    client_disconnect(&self->all);
    self->all.endpoint = (size_t)leader;
    while (ask(self, leader, s) && s[STATUS_FIRST] <= index + 1) {
        EXPECT(waiting(start_ns, 20), "the log was not compacted");
        for (uint64_t sent = 0, acked = 0; acked < SNAPSHOT_ENTRIES;) {
            for (; sent < SNAPSHOT_ENTRIES && sent - acked < WINDOW; sent++) {
                size_t mark = client_begin(&self->all, WIRE_WRITE);
                wire_op(&self->all.out, &op);
                wire_end(&self->all.out, mark);
            }
            EXPECT(client_send(&self->all) && take_ack(self, &acked), "a write failed");
        }
    }
    return true;
}

static bool step_snapshot(guide *self, int dead)
{
    uint64_t before[STATUS_COUNT], leaders[STATUS_COUNT], after[STATUS_COUNT];
    EXPECT(ask(self, dead, before), "no answer");
    stop(self, dead, SIGKILL);
    int leader = find_leader(self, 10);
    EXPECT(leader >= 0, "no leader");
    if (!outgrow(self, leader, before[STATUS_LAST], leaders)) {
        return false;
    }
    uint64_t start_ns = net_now();
    if (!bring_back(self, dead, after)) {
        return false;
    }
    EXPECT(after[STATUS_SNAPSHOT] + 1 >= leaders[STATUS_FIRST], "it holds no such snapshot");
    printf("snapshot   member %d missed %" PRIu64 "..%" PRIu64
           ", compacted away meanwhile; the snapshot "
           "at %" PRIu64 "\n           and the log behind it brought it up in %.2f s\n",
           dead + 1, before[STATUS_LAST] + 1, leaders[STATUS_FIRST] - 1, after[STATUS_SNAPSHOT],
           since(start_ns));
    return true;
}

static bool step_hash(guide *self)
{
    uint64_t start_ns = net_now();
    uint64_t s[MEMBERS][STATUS_COUNT];
    bool same = false;
    do {
        same = ask(self, 0, s[0]);
        for (int i = 1; i < MEMBERS; i++) {
            same = ask(self, i, s[i]) && same && s[i][STATUS_HASH_INDEX] == s[0][STATUS_HASH_INDEX];
        }
    } while (!same && waiting(start_ns, 10));
    EXPECT(same, "the members did not come to rest at one index");
    for (int i = 1; i < MEMBERS; i++) {
        EXPECT(s[i][STATUS_HASH_LIVE] == s[0][STATUS_HASH_LIVE] &&
                   s[i][STATUS_HASH_CHAIN] == s[0][STATUS_HASH_CHAIN],
               "the state of member %d differs", i + 1);
    }
    printf("hash       %016" PRIx64 " at index %" PRIu64 " and revision %" PRIu64
           ", on all three\n",
           s[0][STATUS_HASH_LIVE], s[0][STATUS_HASH_INDEX], s[0][STATUS_REVISION]);
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
    int dead = 0;
    return choose_ports(self) && step_elect(self) && step_load(self) && step_read(self) &&
           step_history(self) && step_transaction(self) && step_watch(self) && step_lease(self) &&
           step_kill(self, &dead) && step_restart(self, dead) && step_snapshot(self, dead) &&
           step_hash(self) && step_stop(self);
}

int tour(int argc, char **argv)
{
    static guide self = {.load = "/var/lib/dpkg/status", .directory = "/tmp/kvraft-tour-XXXXXX"};
    bool help = false;
    const flag flags[] = {
        {"load", FLAG_TEXT, &self.load, "FILE: stanzas to load (/var/lib/dpkg/status)"},
        {"help", FLAG_SWITCH, &help, "this text"}};
    int words = flags_parse("tour", flags, COUNT_OF(flags), argc, argv);
    if (help && words >= 0) {
        printf(
            "usage: kvraft-demo tour [FLAGS]\n\nStarts three members, shows and checks what they "
            "can do, cleans up.\n\n");
        flags_help(flags, COUNT_OF(flags));
        return EXIT_OK;
    }
    if (words != 0 || mkdtemp(self.directory) == NULL) {
        fprintf(stderr, "kvraft-demo tour: %s\n",
                words != 0 ? "takes flags only; see --help" : strerror(errno));
        return words != 0 ? EXIT_USAGE : EXIT_FAILED;
    }
    signal(SIGINT, interrupt);
    signal(SIGTERM, interrupt);
    uint64_t start_ns = net_now();
    bool good = all_steps(&self) && !interrupted;
    for (int i = 0; i < MEMBERS; i++) {
        if (!good) {
            show_log(&self, i);
        }
        stop(&self, i, SIGKILL);
    }
    client_disconnect(&self.all);
    remove_tree(self.directory);
    if (good) {
        printf("All of it was checked, in %.1f s. Nothing is left running or behind.\n",
               since(start_ns));
    }
    return good ? EXIT_OK : EXIT_FAILED;
}
