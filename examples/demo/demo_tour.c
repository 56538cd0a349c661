/* SPDX-License-Identifier: Apache-2.0 */
/* demo_tour.c: starts three members as processes and shows, a line or two a step, what they can do.
 * A line is printed after what it says was checked; the exit status is 0 only if every step did.
 * All of it happens in a directory of its own, and nothing is left running or behind. */
#include "demo.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { MEMBERS = 3, WINDOW = 64, SNAPSHOT_ENTRIES = 1000, WRITES = 200 };

static struct {
    char directory[32];
    char peers[128];
    char clients[MEMBERS][32];
    pid_t pids[MEMBERS];     /* 0: not running */
    connection one[MEMBERS]; /* to each member */
    connection all;          /* to whichever answers */
    const char *load;
    uint32_t packages;
    uint32_t in_flight; /* writes sent on `all` and not acknowledged yet */
    uint32_t acked;     /* writes of the writer */
    int dead;           /* the member that was killed, */
    uint64_t missed;    /* and the first index that it does not have */
} tour = {.directory = "/tmp/kvraft-tour-XXXXXX"};

static bool start(int member)
{
    char id[16], entries[16], directory[64], log[72];
    snprintf(id, sizeof id, "%d", member + 1);
    snprintf(entries, sizeof entries, "%d", SNAPSHOT_ENTRIES);
    snprintf(directory, sizeof directory, "%s/member%s", tour.directory, id);
    snprintf(log, sizeof log, "%s.log", directory);
    fflush(NULL);
    tour.pids[member] = fork();
    if (tour.pids[member] != 0) {
        return tour.pids[member] > 0;
    }
    prctl(PR_SET_PDEATHSIG, SIGKILL); /* whatever happens to the tour, nothing stays */
    if (freopen(log, "a", stdout) != NULL && dup2(fileno(stdout), fileno(stderr)) >= 0) {
        execl("/proc/self/exe", "kvraft-demo", "serve", "--id", id, "--peers", tour.peers,
              "--client", tour.clients[member], "--data-dir", directory, "--snapshot-entries",
              entries, (char *)NULL);
    }
    _exit(EXIT_FAILED);
}

static int stop(int member, int signal_number)
{
    int status = 0;
    if (tour.pids[member] > 0) {
        kill(tour.pids[member], signal_number);
        waitpid(tour.pids[member], &status, 0);
    }
    tour.pids[member] = 0;
    stream_close(&tour.one[member].io);
    return status;
}

/* Of what lies in the tour's directory, which mkdtemp has named. */
static void shell(const char *format)
{
    char command[128];
    snprintf(command, sizeof command, format, tour.directory);
    if (system(command) != 0) {
        fprintf(stderr, "kvraft-demo tour: failed: %s\n", command);
    }
}

static void clean_up(void)
{
    for (int i = 0; i < MEMBERS; i++) {
        stop(i, SIGKILL);
    }
    stream_close(&tour.all.io);
    shell("rm -rf %s");
}

/* The first expectation that does not hold ends the tour; so does the user. */
static _Noreturn void fail(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    fprintf(stderr, "\nkvraft-demo tour: ");
    vfprintf(stderr, interrupted ? "interrupted" : format, arguments);
    va_end(arguments);
    fprintf(stderr, "\n");
    if (!interrupted) {
        shell("tail -n 20 %s/*.log >&2");
    }
    clean_up();
    exit(EXIT_FAILED);
}

#define EXPECT(condition, ...)             \
    do {                                   \
        if (interrupted || !(condition)) { \
            fail("failed: " __VA_ARGS__);  \
        }                                  \
    } while (0)

static double since(uint64_t start_ns)
{
    return (double)(now_ns() - start_ns) / 1e9;
}

/* The body of a loop that waits, and must not do so for ever. */
static void pause_since(uint64_t start_ns, const char *what)
{
    nanosleep(&(struct timespec){.tv_nsec = 10000000}, NULL);
    EXPECT(since(start_ns) < 20, "not within 20 s: %s", what);
}

static bool ask(int member, kvr_node_status *out_status)
{
    member_status said;
    bool good = client_status(&tour.one[member], &said).good;
    *out_status = said.node;
    return good;
}

/* The member that a majority knows as leader and that knows it too. */
static int find_leader(void)
{
    for (uint64_t start_ns = now_ns();; pause_since(start_ns, "a leader")) {
        kvr_node_status s;
        int votes[MEMBERS] = {0};
        for (int i = 0; i < MEMBERS; i++) {
            if (ask(i, &s) && s.raft.leader > 0 && ++votes[s.raft.leader - 1] == 2 &&
                ask((int)s.raft.leader - 1, &s) && s.raft.role == KVR_ROLE_LEADER) {
                return (int)s.raft.leader - 1;
            }
        }
    }
}

static request put_request(const char *key, const char *value, int64_t lease)
{
    return (request){
        .kind = KVR_CALL_WRITE,
        .op = {.kind = KVR_OP_PUT, .key = text(key), .value = text(value), .lease = lease}};
}

/* The revision that it made; 0: it was not acknowledged. */
static uint64_t try_put(const char *key, const char *value, int64_t lease)
{
    request asked = put_request(key, value, lease);
    reply answer = client_ask(&tour.all, &asked);
    return answer.good ? answer.revision : 0;
}

static uint64_t put(const char *key, const char *value, int64_t lease)
{
    uint64_t revision = try_put(key, value, lease);
    EXPECT(revision > 0, "a put of %s was not acknowledged", key);
    return revision;
}

static void take_acks(uint32_t left)
{
    for (; tour.in_flight > left; tour.in_flight--) {
        reply answer = client_receive(&tour.all);
        EXPECT(answer.good, "a write was not acknowledged");
    }
}

/* Does not wait for its acknowledgement before WINDOW are under way: group commit lives on that. */
static void put_many(const char *key, const char *value)
{
    request asked = put_request(key, value, 0);
    EXPECT(client_send(&tour.all, &asked), "the connection to a member broke");
    tour.in_flight++;
    take_acks(WINDOW - 1);
}

/* What a read found: how many keys, a sum over all of them, and the last value. */
typedef struct reading {
    uint32_t count;
    uint64_t sum;
    char value[64];
} reading;

/* Of one key (`end` is ""), or from `key` to `end`. */
static reading read_keys(connection *link, const char *key, const char *end, uint64_t revision,
                         uint64_t flags)
{
    reading found = {0};
    request asked = {.kind = KVR_CALL_READ_LINEAR, .flags = flags};
    asked.range = (kvr_range){.key = text(key), .range_end = text(end), .revision = revision};
    reply answer = client_ask(link, &asked);
    for (; answer.kind == SAY_KV; answer = client_receive(link)) {
        kvr_kv kv;
        for (const uint8_t *at = answer.rest.at; at < answer.rest.end; at++) {
            found.sum = (found.sum ^ *at) * 1099511628211u;
        }
        wire_all(&answer.rest, shape_kv, &kv);
        snprintf(found.value, sizeof found.value, "%.*s", (int)kv.value.size, kv.value.data);
        found.count++;
    }
    EXPECT(answer.good, "a read of %s was not answered", key);
    return found;
}

/* ---------------------------------------------------------------- the steps */

/* Six free ports: held together, so that they differ, then let go. */
static void choose_ports(void)
{
    stream held[2 * MEMBERS];
    struct sockaddr_in at[2 * MEMBERS];
    struct sockaddr_in any = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    for (size_t i = 0; i < COUNT_OF(at); i++) {
        socklen_t size = sizeof at[i];
        at[i] = any;
        EXPECT(stream_listen(&held[i], &at[i]) &&
                   getsockname(held[i].fd, (struct sockaddr *)&at[i], &size) == 0,
               "no free port on 127.0.0.1");
    }
    for (int i = 0; i < MEMBERS; i++) {
        stream_close(&held[i]);
        stream_close(&held[MEMBERS + i]);
        snprintf(tour.clients[i], sizeof tour.clients[i], "127.0.0.1:%u",
                 ntohs(at[MEMBERS + i].sin_port));
        tour.all.endpoints.addresses[tour.all.endpoints.count++] = at[MEMBERS + i];
        tour.one[i].endpoints.count = 1;
        tour.one[i].endpoints.addresses[0] = at[MEMBERS + i];
    }
    snprintf(tour.peers, sizeof tour.peers, "1=127.0.0.1:%u,2=127.0.0.1:%u,3=127.0.0.1:%u",
             ntohs(at[0].sin_port), ntohs(at[1].sin_port), ntohs(at[2].sin_port));
}

static void step_elect(void)
{
    uint64_t start_ns = now_ns();
    choose_ports();
    for (int i = 0; i < MEMBERS; i++) {
        EXPECT(start(i), "member %d did not start: %s", i + 1, strerror(errno));
    }
    int leader = find_leader();
    printf("elect      three processes agreed on member %d as their leader after %.2f s\n",
           leader + 1, since(start_ns));
}

typedef struct stanza {
    buffer text;
    char name[128];
    char arch[32];
    bool many;
} stanza;

/* Adds a line. Without one it puts what there is as pkg/NAME, and with the architecture where
 * several of one name may be installed. */
static void load_line(stanza *to, const char *line, size_t size)
{
    if (size > 1) {
        memcpy(buffer_room(&to->text, size), line, size);
        sscanf(line, "Package: %127s", to->name);
        sscanf(line, "Architecture: %31s", to->arch);
        to->many = to->many || strcmp(line, "Multi-Arch: same\n") == 0;
    } else if (buffer_size(&to->text) > 0) {
        char key[192];
        EXPECT(to->name[0] != '\0', "%s: a stanza without \"Package:\", unlike dpkg's status file",
               tour.load);
        snprintf(key, sizeof key, "pkg/%s%s%s", to->name, to->many ? ":" : "",
                 to->many ? to->arch : "");
        *buffer_room(&to->text, 1) = '\0';
        put_many(key, (char *)to->text.data);
        buffer_release(&to->text);
        *to = (stanza){.many = false};
        if (++tour.packages % 64 == 0 && isatty(fileno(stdout))) {
            printf("\rload       %u stanzas", tour.packages);
            fflush(stdout);
        }
    }
}

static void step_load(void)
{
    uint64_t start_ns = now_ns();
    stanza one = {.many = false};
    char *line = NULL;
    size_t room = 0, size = 0;
    FILE *file = fopen(tour.load, "rb");
    EXPECT(file != NULL, "%s: %s", tour.load, strerror(errno));
    for (ssize_t got; (got = getline(&line, &room, file)) > 0; size += (size_t)got) {
        load_line(&one, line, (size_t)got);
    }
    load_line(&one, "", 0);
    take_acks(0);
    free(line);
    fclose(file);
    EXPECT(tour.packages > 0, "%s holds no stanza", tour.load);
    uint32_t count = read_keys(&tour.all, "pkg/", "pkg0", 0, READ_KEYS_ONLY).count;
    EXPECT(count == tour.packages, "%u keys are there of %u stanzas", count, tour.packages);
    printf("\rload       %u stanzas of %s, %zu KiB, each one on a majority's disks: %.2f s\n",
           count, tour.load, size >> 10, since(start_ns));
}

static void step_read(void)
{
    reading first = read_keys(&tour.one[0], "pkg/", "pkg0", 0, 0);
    for (int i = 0; i < MEMBERS; i++) {
        reading linear = read_keys(&tour.one[i], "pkg/", "pkg0", 0, 0);
        reading stale = read_keys(&tour.one[i], "pkg/", "pkg0", 0, READ_STALE);
        EXPECT(linear.count == tour.packages && linear.sum == first.sum && stale.sum == first.sum,
               "member %d reads other bytes", i + 1);
    }
    printf("read       the same %u from each member, linearizable and serializable\n", first.count);
}

static void step_history(void)
{
    uint64_t before = put("tour/greeting", "hello", 0);
    uint64_t after = put("tour/greeting", "good bye", 0);
    reading old = read_keys(&tour.all, "tour/greeting", "", before, 0);
    reading now = read_keys(&tour.all, "tour/greeting", "", 0, 0);
    EXPECT(after == before + 1, "two puts must take two revisions in a row");
    EXPECT(strcmp(old.value, "hello") == 0 && strcmp(now.value, "good bye") == 0,
           "found \"%s\", then \"%s\"", old.value, now.value);
    printf("history    tour/greeting is \"%s\", and was \"%s\" at revision %" PRIu64 "\n",
           now.value, old.value, before);
}

/* If the counter is `expected`, makes it `wanted`; says whether it was. */
static bool swap(const char *expected, const char *wanted)
{
    static txn_room room;
    kvr_op_result result = {0};
    request asked = {.kind = KVR_CALL_WRITE, .op = {.kind = KVR_OP_TXN}, .room = &room};
    room.counts[0] = room.counts[1] = room.counts[2] = 1;
    room.compares[0] = (kvr_compare){.target = KVR_COMPARE_VALUE, .key = text("tour/counter")};
    room.compares[0].value = text(expected);
    room.ops[0][0] = put_request("tour/counter", wanted, 0).op;
    room.ops[1][0] = (kvr_op){.kind = KVR_OP_RANGE, .key = text("tour/counter")};
    reply answer = client_ask(&tour.all, &asked);
    EXPECT(answer.good, "a transaction was not acknowledged");
    wire_all(&answer.rest, shape_result, &result);
    return result.succeeded;
}

static void step_transaction(void)
{
    put("tour/counter", "1", 0);
    EXPECT(swap("1", "2"), "a compare with the value that is there must hold");
    EXPECT(!swap("1", "3"), "a compare with an old value must fail");
    reading now = read_keys(&tour.all, "tour/counter", "", 0, 0);
    EXPECT(strcmp(now.value, "2") == 0, "the counter is %s", now.value);
    printf("compare    1 became 2 in a transaction; another that expected 1 changed nothing\n");
}

static void watch(connection *link, uint64_t since_revision)
{
    request asked = {.kind = ASK_WATCH, .range.key = text("tour/watched")};
    asked.range.revision = since_revision;
    reply answer = client_ask(link, &asked);
    EXPECT(answer.good, "a watch was refused");
}

/* Prints the next events and expects one a revision, in order, from `revision` on. */
static void take_events(connection *link, uint64_t revision, uint64_t count, const char *label)
{
    for (uint64_t end = revision + count; revision < end; revision++) {
        kvr_event event;
        reply said = client_receive(link);
        EXPECT(said.good, "no event of revision %" PRIu64 " within 10 s", revision);
        wire_all(&said.rest, shape_event, &event);
        EXPECT(event.kv.mod_revision == revision, "revision %" PRIu64 " instead of %" PRIu64,
               event.kv.mod_revision, revision);
        printf("%-10s revision %" PRIu64 ": %.*s = %.*s\n", label, revision, (int)event.kv.key.size,
               event.kv.key.data, (int)event.kv.value.size, event.kv.value.data);
    }
}

static void step_watch(void)
{
    static const char *const values[] = {"one", "two", "three"};
    connection *live = &tour.one[0];
    connection *past = &tour.one[1];
    uint64_t first = 0;
    watch(live, 0);
    for (size_t i = 0; i < COUNT_OF(values); i++) {
        uint64_t revision = put("tour/watched", values[i], 0);
        first = i == 0 ? revision : first;
        take_events(live, first + i, 1, "watch");
    }
    watch(past, first);
    take_events(past, first, COUNT_OF(values), "  again");
}

static void step_lease(void)
{
    const double ttl = 1.5;
    uint64_t start_ns = now_ns();
    request grant = {.kind = KVR_CALL_LEASE_GRANT, .ttl_ns = (uint64_t)(ttl * 1e9)};
    reply answer = client_ask(&tour.all, &grant);
    EXPECT(answer.good, "no lease was granted");
    put("tour/session", "alive", (int64_t)wire_number(&answer.rest, 0));
    while (read_keys(&tour.all, "tour/session", "", 0, 0).count > 0) {
        pause_since(start_ns, "the key goes");
    }
    double gone = since(start_ns);
    EXPECT(gone >= ttl && gone < ttl + 3, "the key went after %.2f s", gone);
    printf("lease      a key with a lease of %.1f s went by itself after %.2f s\n", ttl, gone);
}

/* Puts tour/acked/N for one N after another, each until it is acknowledged. */
static void write_more(uint32_t count)
{
    char key[32];
    uint64_t start_ns = now_ns();
    for (uint32_t end = tour.acked + count; tour.acked < end;) {
        EXPECT(since(start_ns) < 20, "%u writes were not acknowledged within 20 s", count);
        snprintf(key, sizeof key, "tour/acked/%05u", tour.acked);
        tour.acked += try_put(key, "x", 0) > 0;
    }
}

/* Returns when it was dead. */
static uint64_t kill_dead(void)
{
    kvr_node_status s;
    EXPECT(ask(tour.dead, &s), "member %d does not answer", tour.dead + 1);
    tour.missed = s.raft.last_index + 1;
    stop(tour.dead, SIGKILL);
    return now_ns();
}

static void step_kill(void)
{
    tour.dead = find_leader();
    stream_close(&tour.all.io); /* from now on through a follower, which forwards */
    tour.all.endpoint = (uint32_t)(tour.dead + 1) % MEMBERS;
    write_more(WRITES);
    uint64_t killed_ns = kill_dead();
    write_more(1);
    double failover = since(killed_ns);
    write_more(WRITES);
    uint32_t found = read_keys(&tour.all, "tour/acked/", "tour/acked0", 0, 0).count;
    EXPECT(found == tour.acked, "%u of %u acknowledged writes are there", found, tour.acked);
    printf("kill -9    the leader, member %d, under a writer: the next write after %.2f s, and all "
           "%u\n           acknowledged ones, %d of them before, are there\n",
           tour.dead + 1, failover, found, WRITES);
}

/* Starts the dead member and waits until it has applied what the leader has committed by now. */
static void bring_back(kvr_node_status *leader, kvr_node_status *back)
{
    uint64_t start_ns = now_ns();
    EXPECT(ask(find_leader(), leader) && start(tour.dead), "member %d did not start",
           tour.dead + 1);
    while (!ask(tour.dead, back) || back->raft.applied_index < leader->raft.commit_index) {
        pause_since(start_ns, "a member catches up");
    }
}

static void step_restart(void)
{
    uint64_t start_ns = now_ns();
    kvr_node_status leader, back;
    bring_back(&leader, &back);
    EXPECT(leader.raft.first_index <= tour.missed, "what it missed is not in the log");
    printf("restart    member %d is back and caught up by log to index %" PRIu64 " after %.2f s\n",
           tour.dead + 1, back.raft.applied_index, since(start_ns));
}

static void step_snapshot(void)
{
    kvr_node_status leader, back;
    uint64_t start_ns = kill_dead();
    stream_close(&tour.all.io);
    tour.all.endpoint = (uint32_t)find_leader();
    while (!ask((int)tour.all.endpoint, &leader) || leader.raft.first_index <= tour.missed) {
        for (int i = 0; i < SNAPSHOT_ENTRIES; i++) {
            put_many("tour/filler", "text that fills the log, again and again");
        }
        take_acks(0);
        pause_since(start_ns, "the log is compacted");
    }
    start_ns = now_ns();
    bring_back(&leader, &back);
    const kvr_raft_status *raft = &back.raft;
    EXPECT(raft->snapshot_index + 1 >= leader.raft.first_index, "it holds no such snapshot");
    printf("snapshot   member %d missed %" PRIu64 "..%" PRIu64
           ", compacted away meanwhile; the snapshot at %" PRIu64
           "\n           and the log behind it brought it up in %.2f s\n",
           tour.dead + 1, tour.missed, leader.raft.first_index - 1, raft->snapshot_index,
           since(start_ns));
}

static void step_hash(void)
{
    kvr_node_status s[MEMBERS];
    uint64_t start_ns = now_ns();
    for (int i = 0; i < MEMBERS;) {
        bool same = ask(i, &s[i]) && s[i].hash_index == s[0].hash_index;
        EXPECT(!same || (s[i].hash_live == s[0].hash_live && s[i].hash_chain == s[0].hash_chain),
               "the state of member %d differs", i + 1);
        i = same ? i + 1 : 0;
        if (!same) {
            pause_since(start_ns, "all members rest at one index");
        }
    }
    printf("hash       %016" PRIx64 " at index %" PRIu64 " and revision %" PRIu64
           ", on all three\n",
           s[0].hash_live, s[0].hash_index, s[0].store.revision);
}

static void step_stop(void)
{
    for (int i = 0; i < MEMBERS; i++) {
        int status = stop(i, SIGTERM);
        EXPECT(WIFEXITED(status) && WEXITSTATUS(status) == 0, "member %d did not end well", i + 1);
    }
}

int run_tour(options *chosen)
{
    static void (*const steps[])(void) = {step_elect,       step_load,     step_read,  step_history,
                                          step_transaction, step_watch,    step_lease, step_kill,
                                          step_restart,     step_snapshot, step_hash,  step_stop};
    uint64_t start_ns = now_ns();
    tour.load = chosen->load;
    bool readable = access(tour.load, R_OK) == 0;
    if (!readable || mkdtemp(tour.directory) == NULL) {
        fprintf(stderr, "kvraft-demo tour: %s: %s%s\n", readable ? tour.directory : tour.load,
                strerror(errno), readable ? "" : "; name another file with --load");
        return EXIT_FAILED;
    }
    catch_interrupts();
    for (size_t i = 0; i < COUNT_OF(steps); i++) {
        steps[i]();
    }
    clean_up();
    printf("All of it was checked, in %.1f s. Nothing is left running or behind.\n",
           since(start_ns));
    return EXIT_OK;
}
