/* SPDX-License-Identifier: Apache-2.0 */
/* demo_tour.c: starts three members as processes and shows, a line or two a step, what they can do. Every line was
 * checked before it was printed: the tour ends with exit status 0 only if each step did what it says. It
 * works in a directory of its own and leaves nothing running and nothing behind. */
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

enum { MEMBERS = 3, WINDOW = 64, SNAPSHOT_ENTRIES = 1000 };

typedef struct status {
    bool answered;
    uint64_t role, leader, term, first_index, commit, applied, snapshot, keys, hash_index, hash_chain, hash_live;
    uint64_t installed, revision;
} status;

typedef struct guide {
    char directory[64];
    char peers[160];
    char endpoints[160];
    uint16_t ports[2 * MEMBERS]; /* peers', then clients' */
    pid_t pids[MEMBERS];         /* 0: not running */
    connection all;              /* to whichever member answers */
    connection one[MEMBERS];
    const char *load;
    uint64_t packages;
    uint64_t loaded_revision;
} guide;

static volatile sig_atomic_t interrupted;

static void interrupt(int signal_number)
{
    (void)signal_number;
    interrupted = 1;
}

/* Every step is a chain of expectations; the first that does not hold ends the tour. */
#define EXPECT(condition, ...)                                       \
    do {                                                             \
        if (!(condition)) {                                          \
            fprintf(stderr, "\nkvraft-demo tour: failed: ");        \
            fprintf(stderr, __VA_ARGS__);                            \
            fputc('\n', stderr);                                    \
            return false;                                            \
        }                                                            \
    } while (0)

static void pause_ms(long ms)
{
    nanosleep(&(struct timespec){.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000}, NULL);
}

static double seconds_since(uint64_t start_ns)
{
    return (double)(monotonic_ns() - start_ns) / 1e9;
}

/* ------------------------------------------------------------------ processes */

static bool choose_ports(guide *self)
{
    int fds[COUNT_OF(self->ports)];
    for (size_t i = 0; i < COUNT_OF(self->ports); i++) {
        struct sockaddr_in any = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
        socklen_t size = sizeof any;
        fds[i] = socket(AF_INET, SOCK_STREAM, 0);
        EXPECT(fds[i] >= 0 && bind(fds[i], (struct sockaddr *)&any, size) == 0 &&
                   getsockname(fds[i], (struct sockaddr *)&any, &size) == 0,
               "no free port on 127.0.0.1: %s", strerror(errno));
        self->ports[i] = ntohs(any.sin_port);
    }
    for (size_t i = 0; i < COUNT_OF(self->ports); i++) {
        close(fds[i]);
    }
    snprintf(self->peers, sizeof self->peers, "1=127.0.0.1:%u,2=127.0.0.1:%u,3=127.0.0.1:%u", self->ports[0],
             self->ports[1], self->ports[2]);
    snprintf(self->endpoints, sizeof self->endpoints, "127.0.0.1:%u,127.0.0.1:%u,127.0.0.1:%u", self->ports[3],
             self->ports[4], self->ports[5]);
    return true;
}

static bool start(guide *self, int member)
{
    char id[16], clients[32], directory[96], entries[16];
    snprintf(id, sizeof id, "%d", member + 1);
    snprintf(clients, sizeof clients, "127.0.0.1:%u", self->ports[MEMBERS + member]);
    snprintf(directory, sizeof directory, "%s/member%d", self->directory, member + 1);
    snprintf(entries, sizeof entries, "%d", SNAPSHOT_ENTRIES);
    fflush(NULL);
    pid_t pid = fork();
    EXPECT(pid >= 0, "fork: %s", strerror(errno));
    if (pid == 0) {
        char log[128];
        snprintf(log, sizeof log, "%s/member%d.log", self->directory, member + 1);
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (freopen(log, "a", stdout) == NULL || dup2(fileno(stdout), fileno(stderr)) < 0) {
            _exit(EXIT_FAILED);
        }
        execl("/proc/self/exe", "kvraft-demo", "serve", "--id", id, "--peers", self->peers, "--client", clients,
              "--data-dir", directory, "--snapshot-entries", entries, (char *)NULL);
        _exit(127);
    }
    self->pids[member] = pid;
    return true;
}

static void stop(guide *self, int member, int signal_number, int *out_status)
{
    if (self->pids[member] > 0) {
        kill(self->pids[member], signal_number);
        waitpid(self->pids[member], out_status, 0);
        self->pids[member] = 0;
    }
    client_disconnect(&self->one[member]);
}

static void show_log(const guide *self, int member)
{
    char path[128], line[256];
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
        if (strcmp(each->d_name, ".") != 0 && strcmp(each->d_name, "..") != 0 && unlink(below) != 0) {
            remove_tree(below);
        }
    }
    if (directory != NULL) {
        closedir(directory);
    }
    rmdir(path);
}

/* ------------------------------------------------------------------ calls */

static status ask(guide *self, int member)
{
    connection *link = &self->one[member];
    reply answer;
    uint64_t n[24];
    wire_end(&link->out, client_begin(link, WIRE_STATUS));
    if (self->pids[member] == 0 || !client_connect(link) || !client_call(link, &answer)) {
        client_disconnect(link);
        return (status){.answered = false};
    }
    for (size_t i = 0; i < COUNT_OF(n); i++) {
        n[i] = read_u64(&answer.fields);
    }
    return (status){true, n[1], n[2], n[3], n[4], n[6], n[7], n[8], n[10], n[14], n[15], n[16], n[18], answer.revision};
}

/* The index of the leader, once a majority knows one; -1 after the timeout. */
static int wait_leader(guide *self, uint64_t timeout_ns)
{
    for (uint64_t start_ns = monotonic_ns(); monotonic_ns() - start_ns < timeout_ns && !interrupted; pause_ms(20)) {
        int votes[MEMBERS] = {0};
        for (int i = 0; i < MEMBERS; i++) {
            status s = ask(self, i);
            if (s.answered && s.leader >= 1 && s.leader <= MEMBERS && ++votes[s.leader - 1] == 2 &&
                ask(self, (int)s.leader - 1).role == KVR_ROLE_LEADER) {
                return (int)s.leader - 1;
            }
        }
    }
    return -1;
}

static void begin_put(connection *link, kvr_slice key, kvr_slice value, int64_t lease)
{
    kvr_op op = {.size = sizeof op, .kind = KVR_OP_PUT, .key = key, .value = value, .lease = lease};
    size_t mark = client_begin(link, WIRE_WRITE);
    wire_op(&link->out, &op);
    wire_end(&link->out, mark);
}

/* Sets a key; its revision, or 0 if it was not acknowledged. */
static uint64_t put(connection *link, const char *key, const char *value, int64_t lease)
{
    reply answer;
    begin_put(link, slice_of(key), slice_of(value), lease);
    return client_call(link, &answer) && answer.status == KVR_OK && answer.outcome == KVR_OUTCOME_DONE ? answer.revision
                                                                                                       : 0;
}

/* Reads an interval; false if it failed. `sum` mixes all keys and values, so that two readings can be compared. */
typedef struct reading {
    uint64_t count, sum, revision;
    char value[128]; /* of the last key */
} reading;

static uint64_t mix(uint64_t sum, kvr_slice bytes)
{
    for (size_t i = 0; i < bytes.size; i++) {
        sum = (sum ^ bytes.data[i]) * 1099511628211u;
    }
    return sum * 31 + bytes.size;
}

static bool read_keys(connection *link, const char *key, bool prefix, uint32_t flags, uint64_t revision,
                      reading *out_reading)
{
    uint8_t room[64];
    kvr_slice start = slice_of(key), end = {NULL, 0};
    if (prefix) {
        kvr_prefix_end(&start, room, &end);
    }
    size_t mark = client_begin(link, WIRE_READ);
    wire_u32(&link->out, flags);
    wire_bytes(&link->out, start);
    wire_bytes(&link->out, end);
    wire_u64(&link->out, revision);
    wire_u64(&link->out, 0);
    wire_end(&link->out, mark);
    *out_reading = (reading){.sum = 14695981039346656037u};
    reply answer;
    bool good = client_call(link, &answer);
    while (good && answer.kind == WIRE_KVS) {
        for (uint32_t n = read_u32(&answer.fields); n > 0; n--) {
            kvr_kv kv;
            read_kv(&answer.fields, &kv);
            out_reading->count++;
            out_reading->sum = mix(mix(out_reading->sum, kv.key), kv.value);
            snprintf(out_reading->value, sizeof out_reading->value, "%.*s", (int)kv.value.size, kv.value.data);
        }
        good = client_receive(link, link->timeout_ns, &answer);
    }
    out_reading->revision = good ? answer.revision : 0;
    return good && answer.status == KVR_OK;
}

/* ------------------------------------------------------------------ the steps */

static bool step_elect(guide *self)
{
    uint64_t start_ns = monotonic_ns();
    for (int i = 0; i < MEMBERS; i++) {
        EXPECT(start(self, i), "member %d did not start", i + 1);
    }
    int leader = wait_leader(self, 20000000000);
    EXPECT(leader >= 0, "no leader within 20 s");
    printf("elect      three processes, one leader: member %d, after %.2f s\n", leader + 1, seconds_since(start_ns));
    return true;
}

/* Takes one acknowledgement; the packages are written WINDOW at a time. */
static bool take_ack(guide *self, uint64_t *acked)
{
    reply answer;
    EXPECT(client_receive(&self->all, 10000000000, &answer) && answer.status == KVR_OK &&
               answer.outcome == KVR_OUTCOME_DONE,
           "a write was not acknowledged");
    self->loaded_revision = answer.revision;
    (*acked)++;
    return true;
}

static bool load_stanzas(guide *self, char *text, uint64_t *out_acked)
{
    uint64_t sent = 0;
    for (char *stanza = text, *next; stanza != NULL && *stanza != '\0'; stanza = next) {
        char key[160];
        char *end = strstr(stanza, "\n\n");
        next = end == NULL ? NULL : end + 2 + strspn(end + 2, "\n");
        if (end != NULL) {
            *end = '\0';
        }
        const char *name = strncmp(stanza, "Package: ", 9) == 0 ? stanza - 1 : strstr(stanza, "\nPackage: ");
        const char *arch = strstr(stanza, "\nMulti-Arch: same") == NULL ? NULL : strstr(stanza, "\nArchitecture: ");
        EXPECT(name != NULL, "%s: a stanza without a \"Package:\" line: give a file like dpkg's status", self->load);
        snprintf(key, sizeof key, "pkg/%.*s%s%.*s", (int)strcspn(name + 10, "\n"), name + 10, arch == NULL ? "" : ":",
                 arch == NULL ? 0 : (int)strcspn(arch + 15, "\n"), arch == NULL ? "" : arch + 15);
        begin_put(&self->all, slice_of(key), slice_of(stanza), 0);
        EXPECT(client_send(&self->all), "the connection to a member broke");
        if (++sent - *out_acked == WINDOW && !take_ack(self, out_acked)) {
            return false;
        }
        if (sent % 100 == 0 && isatty(fileno(stdout))) {
            printf("\rload       %" PRIu64 " stanzas", sent);
            fflush(stdout);
        }
    }
    while (*out_acked < sent) {
        if (!take_ack(self, out_acked)) {
            return false;
        }
    }
    return true;
}

static bool step_load(guide *self)
{
    uint64_t start_ns = monotonic_ns();
    FILE *file = fopen(self->load, "rb");
    EXPECT(file != NULL, "%s: %s; name another file with LOAD=", self->load, strerror(errno));
    buffer text = {0};
    size_t got;
    do {
        uint8_t *room = buffer_room(&text, 65536);
        got = fread(room, 1, 65536, file);
        text.end -= 65536 - got;
    } while (got > 0);
    fclose(file);
    size_t bytes = buffer_size(&text);
    *buffer_room(&text, 1) = '\0';
    EXPECT(client_connect(&self->all), "no member accepts clients");
    bool good = load_stanzas(self, (char *)text.data + text.start, &self->packages);
    buffer_release(&text);
    reading keys;
    EXPECT(good && read_keys(&self->all, "pkg/", true, WIRE_READ_KEYS_ONLY, 0, &keys), "cannot read back");
    EXPECT(keys.count > 0 && keys.count <= self->packages, "%" PRIu64 " keys of %" PRIu64 " stanzas", keys.count, self->packages);
    self->packages = keys.count;
    printf("\rload       %" PRIu64 " packages, %zu KiB of %s, each write on two disks: %.2f s\n", keys.count, bytes >> 10,
           self->load, seconds_since(start_ns));
    return true;
}

static bool step_read(guide *self)
{
    reading first = {0};
    for (int i = 0; i < MEMBERS; i++) {
        reading linear, stale;
        EXPECT(read_keys(&self->one[i], "pkg/", true, 0, 0, &linear), "member %d: linearizable read", i + 1);
        EXPECT(read_keys(&self->one[i], "pkg/", true, WIRE_READ_STALE, 0, &stale), "member %d: serializable read", i + 1);
        first = i == 0 ? linear : first;
        EXPECT(linear.count == self->packages && linear.sum == first.sum, "member %d: reads something else", i + 1);
        EXPECT(stale.count == self->packages && stale.sum == first.sum, "member %d: its copy differs", i + 1);
    }
    printf("read       all %" PRIu64 " from each member, linearizable and serializable: the same bytes\n", first.count);
    return true;
}

static bool step_history(guide *self)
{
    uint64_t before = put(&self->all, "tour/greeting", "hello", 0);
    uint64_t after = put(&self->all, "tour/greeting", "good bye", 0);
    reading old, now;
    EXPECT(before > 0 && after == before + 1, "two puts did not take two revisions in a row");
    EXPECT(read_keys(&self->all, "tour/greeting", false, 0, before, &old), "read at revision %" PRIu64, before);
    EXPECT(read_keys(&self->all, "tour/greeting", false, 0, 0, &now), "read at the head");
    EXPECT(strcmp(old.value, "hello") == 0 && strcmp(now.value, "good bye") == 0, "read \"%s\", then \"%s\"", old.value,
           now.value);
    printf("history    tour/greeting is \"%s\" now, and was \"%s\" at revision %" PRIu64 "\n", now.value, old.value, before);
    return true;
}

/* If the counter's value is `expected`, sets it to `wanted`. 1: did, 0: did not, -1: failed. */
static int compare_and_swap(guide *self, const char *expected, const char *wanted)
{
    kvr_compare compare = {.size = sizeof compare, .target = KVR_COMPARE_VALUE, .result = KVR_COMPARE_EQUAL};
    kvr_op set = {.size = sizeof set, .kind = KVR_OP_PUT, .value = slice_of(wanted)};
    kvr_op get = {.size = sizeof get, .kind = KVR_OP_RANGE};
    compare.key = set.key = get.key = slice_of("tour/counter");
    compare.value = slice_of(expected);
    kvr_txn txn = {.size = sizeof txn, .compare_count = 1, .then_count = 1, .else_count = 1, .compares = &compare,
                   .then_ops = &set, .else_ops = &get};
    kvr_op op = {.size = sizeof op, .kind = KVR_OP_TXN, .txn = &txn};
    size_t mark = client_begin(&self->all, WIRE_WRITE);
    wire_op(&self->all.out, &op);
    wire_end(&self->all.out, mark);
    reply answer;
    if (!client_call(&self->all, &answer) || answer.status != KVR_OK) {
        return -1;
    }
    (void)read_u8(&answer.fields);
    return read_u8(&answer.fields);
}

static bool step_transaction(guide *self)
{
    reading now;
    EXPECT(put(&self->all, "tour/counter", "1", 0) > 0, "put");
    EXPECT(compare_and_swap(self, "1", "2") == 1, "the first compare must hold");
    EXPECT(compare_and_swap(self, "1", "3") == 0, "the second compare must fail");
    EXPECT(read_keys(&self->all, "tour/counter", false, 0, 0, &now) && strcmp(now.value, "2") == 0, "counter is %s", now.value);
    printf("compare    1 -> 2 swapped; a second swap that expected 1 was refused, the counter is still 2\n");
    return true;
}

/* Opens a watch on tour/watched on its own connection and waits for `count` events; prints them if asked. */
static bool begin_watch(connection *link, uint64_t since)
{
    reply answer;
    size_t mark = client_begin(link, WIRE_WATCH);
    wire_u32(&link->out, 0);
    wire_bytes(&link->out, slice_of("tour/watched"));
    wire_bytes(&link->out, (kvr_slice){NULL, 0});
    wire_u64(&link->out, since);
    wire_end(&link->out, mark);
    return client_call(link, &answer) && answer.status == KVR_OK;
}

static bool take_events(connection *link, uint64_t first_revision, uint32_t count, const char *label)
{
    uint64_t expected = first_revision;
    while (expected < first_revision + count) {
        reply batch;
        EXPECT(client_receive(link, 5000000000, &batch) && batch.kind == WIRE_EVENTS && batch.status == KVR_OK,
               "no event of revision %" PRIu64 " within 5 s", expected);
        (void)read_u64(&batch.fields);
        for (uint32_t n = read_u32(&batch.fields); n > 0; n--) {
            kvr_kv kv, prev;
            uint8_t type = read_u8(&batch.fields);
            read_kv(&batch.fields, &kv);
            (void)read_u8(&batch.fields);
            read_kv(&batch.fields, &prev);
            EXPECT(kv.mod_revision == expected++, "event of revision %" PRIu64 " out of order", kv.mod_revision);
            printf("%-10s revision %" PRIu64 ": %s %.*s %.*s\n", label, kv.mod_revision,
                   type == KVR_EVENT_PUT ? "put" : "delete", (int)kv.key.size, kv.key.data, (int)kv.value.size,
                   kv.value.data);
        }
    }
    return true;
}

static bool step_watch(guide *self)
{
    static const char *const values[] = {"one", "two", "three"};
    connection live = {.fd = -1, .endpoint_count = MEMBERS, .timeout_ns = 10000000000};
    memcpy(live.endpoints, self->all.endpoints, sizeof live.endpoints);
    connection past = live;
    uint64_t first = 0;
    bool good = begin_watch(&live, 0);
    for (size_t i = 0; good && i < COUNT_OF(values); i++) {
        uint64_t revision = put(&self->all, "tour/watched", values[i], 0);
        first = i == 0 ? revision : first;
        good = revision == first + i && revision > 0 && take_events(&live, revision, 1, "watch");
    }
    good = good && begin_watch(&past, first) && take_events(&past, first, COUNT_OF(values), "past");
    client_disconnect(&live);
    client_disconnect(&past);
    EXPECT(good, "the watch did not see each change once and in order");
    return true;
}

static bool step_lease(guide *self)
{
    const uint64_t ttl_ns = 1500000000;
    reply answer;
    size_t mark = client_begin(&self->all, WIRE_LEASE);
    wire_u8(&self->all.out, KVR_CALL_LEASE_GRANT);
    wire_u64(&self->all.out, 0);
    wire_u64(&self->all.out, ttl_ns);
    wire_end(&self->all.out, mark);
    uint64_t start_ns = monotonic_ns();
    EXPECT(client_call(&self->all, &answer) && answer.status == KVR_OK, "no lease was granted");
    int64_t lease = (int64_t)read_u64(&answer.fields);
    EXPECT(put(&self->all, "tour/session", "alive", lease) > 0, "put with a lease");
    reading now = {.count = 1};
    while (now.count > 0 && seconds_since(start_ns) < 10) {
        pause_ms(20);
        EXPECT(read_keys(&self->all, "tour/session", false, 0, 0, &now), "read");
    }
    double gone = seconds_since(start_ns);
    EXPECT(now.count == 0 && gone > (double)ttl_ns / 1e9, "the key went after %.2f s", gone);
    EXPECT(gone < 6, "the key stayed for %.2f s", gone);
    printf("lease      a key with a lease of %.1f s disappeared after %.2f s\n", (double)ttl_ns / 1e9, gone);
    return true;
}

/* Writes tour/acked/N, one after the other, until `end_ns`; counts in `acked` which were acknowledged. */
typedef struct writer {
    uint8_t acked[1 << 16]; /* 1: acknowledged */
    uint32_t next;
    uint32_t total;
    uint64_t first_after_ns;
} writer;

static void write_on(guide *self, writer *to, uint64_t until_ns, uint64_t killed_ns)
{
    while (monotonic_ns() < until_ns && to->next < COUNT_OF(to->acked) && !interrupted) {
        char key[32];
        snprintf(key, sizeof key, "tour/acked/%05u", to->next);
        if (put(&self->all, key, "x", 0) > 0) {
            to->acked[to->next] = 1;
            to->total++;
            if (killed_ns > 0 && to->first_after_ns == 0) {
                to->first_after_ns = monotonic_ns();
            }
        }
        to->next++; /* an unacknowledged one may exist or not; it is never written twice */
    }
}

static bool step_kill(guide *self, int *out_dead)
{
    static writer to;
    int leader = wait_leader(self, 10000000000);
    EXPECT(leader >= 0, "no leader");
    self->all.endpoint = (size_t)(leader + 1) % MEMBERS; /* a client of a follower: its requests are forwarded */
    client_disconnect(&self->all);
    write_on(self, &to, monotonic_ns() + 300000000, 0);
    EXPECT(to.total > 0, "nothing was acknowledged before the kill");
    uint64_t killed_ns = monotonic_ns();
    stop(self, leader, SIGKILL, NULL);
    uint32_t before = to.total;
    while (to.first_after_ns == 0 && monotonic_ns() - killed_ns < 20000000000 && !interrupted) {
        write_on(self, &to, monotonic_ns() + 100000000, killed_ns);
    }
    EXPECT(to.first_after_ns > 0, "no write was acknowledged within 20 s of the leader's death");
    write_on(self, &to, monotonic_ns() + 300000000, killed_ns);
    for (uint32_t i = 0; i < to.next; i++) {
        char key[32];
        reading found;
        snprintf(key, sizeof key, "tour/acked/%05u", i);
        EXPECT(!to.acked[i] || (read_keys(&self->all, key, false, 0, 0, &found) && found.count == 1),
               "%s was acknowledged and is lost", key);
    }
    printf("kill -9    leader %d died under a writer; writes went on after %.2f s; all %u acknowledged ones (%u before) are there\n",
           leader + 1, (double)(to.first_after_ns - killed_ns) / 1e9, to.total, before);
    *out_dead = leader;
    return true;
}

/* Waits until `member` has applied all that the leader had committed when asked. */
static bool wait_caught_up(guide *self, int member, status *out_status)
{
    int leader = wait_leader(self, 10000000000);
    EXPECT(leader >= 0, "no leader");
    uint64_t goal = ask(self, leader).commit;
    for (uint64_t start_ns = monotonic_ns(); monotonic_ns() - start_ns < 20000000000 && !interrupted; pause_ms(20)) {
        *out_status = ask(self, member);
        if (out_status->answered && out_status->applied >= goal) {
            return true;
        }
    }
    show_log(self, member);
    EXPECT(false, "member %d did not catch up to index %" PRIu64, member + 1, goal);
}

static bool step_restart(guide *self, int dead)
{
    uint64_t start_ns = monotonic_ns();
    status s;
    EXPECT(start(self, dead) && wait_caught_up(self, dead, &s), "restart of member %d", dead + 1);
    printf("restart    member %d is back and caught up by log to index %" PRIu64 " in %.2f s\n", dead + 1, s.applied,
           seconds_since(start_ns));
    return true;
}

static bool step_snapshot(guide *self, int dead)
{
    status before = ask(self, dead);
    uint64_t acked = 0;
    stop(self, dead, SIGKILL, NULL);
    int leader = wait_leader(self, 10000000000);
    EXPECT(leader >= 0, "no leader");
    client_disconnect(&self->all);
    self->all.endpoint = (size_t)leader;
    EXPECT(client_connect(&self->all), "connect");
    for (uint64_t start_ns = monotonic_ns(); ask(self, leader).first_index <= before.applied + 1;) {
        EXPECT(seconds_since(start_ns) < 20 && !interrupted, "the log was not compacted within 20 s");
        reply answer;
        for (uint64_t sent = acked = 0; acked < SNAPSHOT_ENTRIES;) {
            for (; sent < SNAPSHOT_ENTRIES && sent - acked < WINDOW; sent++) {
                begin_put(&self->all, slice_of("tour/filler"), slice_of("some text that fills the log"), 0);
            }
            EXPECT(client_send(&self->all) && take_ack(self, &acked), "a write failed");
        }
        wire_end(&self->all.out, client_begin(&self->all, WIRE_SNAPSHOT));
        EXPECT(client_call(&self->all, &answer), "no answer");
    }
    uint64_t first = ask(self, leader).first_index;
    status after;
    uint64_t start_ns = monotonic_ns();
    EXPECT(start(self, dead) && wait_caught_up(self, dead, &after), "restart of member %d", dead + 1);
    EXPECT(after.snapshot + 1 >= first, "member %d holds a snapshot at %" PRIu64 ", the log begins at %" PRIu64, dead + 1,
           after.snapshot, first);
    printf("snapshot   member %d missed entries %" PRIu64 "..%" PRIu64 ", which are compacted away; a snapshot at %" PRIu64
           " brought it up in %.2f s\n", dead + 1, before.applied + 1, first - 1, after.snapshot, seconds_since(start_ns));
    return true;
}

static bool step_hash(guide *self)
{
    status s[MEMBERS];
    for (uint64_t start_ns = monotonic_ns(); seconds_since(start_ns) < 10 && !interrupted; pause_ms(50)) {
        for (int i = 0; i < MEMBERS; i++) {
            s[i] = ask(self, i);
        }
        if (s[0].hash_index == s[1].hash_index && s[1].hash_index == s[2].hash_index && s[0].answered) {
            EXPECT(s[0].hash_live == s[1].hash_live && s[1].hash_live == s[2].hash_live &&
                       s[0].hash_chain == s[1].hash_chain && s[1].hash_chain == s[2].hash_chain,
                   "the state hashes differ");
            printf("hash       %016" PRIx64 " at index %" PRIu64 ", revision %" PRIu64 ", on all three\n", s[0].hash_live,
                   s[0].hash_index, s[0].revision);
            return true;
        }
    }
    EXPECT(false, "the members did not come to rest at one index");
}

static bool step_stop(guide *self)
{
    for (int i = 0; i < MEMBERS; i++) {
        int ended = -1;
        stop(self, i, SIGTERM, &ended);
        EXPECT(WIFEXITED(ended) && WEXITSTATUS(ended) == 0, "member %d did not end cleanly", i + 1);
    }
    printf("stop       three members closed cleanly\n");
    return true;
}

static bool all_steps(guide *self)
{
    int dead = 0;
    if (!choose_ports(self) || !client_endpoints(&self->all, self->endpoints)) {
        return false;
    }
    for (int i = 0; i < MEMBERS; i++) {
        self->one[i] = (connection){.fd = -1, .endpoint_count = 1, .timeout_ns = 5000000000};
        self->one[i].endpoints[0] = self->all.endpoints[i];
    }
    return step_elect(self) && step_load(self) && step_read(self) && step_history(self) && step_transaction(self) &&
           step_watch(self) && step_lease(self) && step_kill(self, &dead) && step_restart(self, dead) &&
           step_snapshot(self, dead) && step_hash(self) && step_stop(self);
}

int tour(int argc, char **argv)
{
    static guide self = {.directory = "/tmp/kvraft-tour-XXXXXX", .load = "/var/lib/dpkg/status"};
    bool help = false;
    const flag flags[] = {{"load", FLAG_TEXT, &self.load, "FILE stanzas to load, default /var/lib/dpkg/status"},
                          {"help", FLAG_SWITCH, &help, "this text"}};
    int words = flags_parse("tour", flags, COUNT_OF(flags), argc, argv);
    if (words != 0) {
        if (words > 0) {
            fprintf(stderr, "kvraft-demo tour: takes flags only, not \"%s\"; see --help\n", argv[0]);
        }
        return EXIT_USAGE;
    }
    if (help) {
        printf("usage: kvraft-demo tour [FLAGS]\n\nStarts three members, shows what they can do, checks it, cleans up.\n\n");
        flags_help(flags, COUNT_OF(flags));
        return EXIT_OK;
    }
    if (mkdtemp(self.directory) == NULL) {
        fprintf(stderr, "kvraft-demo tour: %s: %s\n", self.directory, strerror(errno));
        return EXIT_FAILED;
    }
    signal(SIGINT, interrupt);
    signal(SIGTERM, interrupt);
    signal(SIGPIPE, SIG_IGN);
    uint64_t start_ns = monotonic_ns();
    bool good = all_steps(&self) && !interrupted;
    for (int i = 0; i < MEMBERS; i++) {
        if (!good) {
            show_log(&self, i);
        }
        stop(&self, i, SIGKILL, NULL);
    }
    client_disconnect(&self.all);
    remove_tree(self.directory);
    if (good) {
        printf("Every step was checked. %.1f s. The members are gone, and so is %s.\n", seconds_since(start_ns),
               self.directory);
    }
    return good ? EXIT_OK : EXIT_FAILED;
}
