/* SPDX-License-Identifier: Apache-2.0 */
/* demo_serve.c: one member of the cluster as a process. Start reading at main_loop: it is all that a host of
 * libkvraft must do. The three concerns that it hands work to have a file each: peers, clients, disk. */
#include "demo.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static volatile sig_atomic_t stop_requested;

static void request_stop(int signal_number)
{
    (void)signal_number;
    stop_requested = 1;
}

static void report_failure(server *self)
{
    kvr_node_status status = {.size = sizeof status};
    kvr_node_get_status(self->node, &status);
    if (status.failure != KVR_OK && !self->failed) {
        self->failed = true;
        fprintf(stderr, "member %" PRIu64 ": takes no further part: %s: %s\n", self->id,
                kvr_status_text(status.failure), kvr_node_error(self->node));
    }
}

/* poll takes milliseconds: rounded up, so that the deadline has passed when it returns. */
static int poll_timeout(const server *self, uint64_t now_ns)
{
    uint64_t deadline = self->failed ? UINT64_MAX : kvr_node_deadline(self->node);
    uint64_t peers = peers_deadline(self);
    deadline = peers < deadline ? peers : deadline;
    if (deadline <= now_ns) {
        return 0;
    }
    uint64_t wait_ms = (deadline - now_ns + 999999) / 1000000;
    return wait_ms > 1000 ? 1000 : (int)wait_ms;
}

/* Feed, run, wait: peers' messages, clients' requests and disk completions go in; kvr_node_run does the work and calls
 * peers_send, clients_completed and clients_watched; then poll until something arrives or time has come. */
static void main_loop(server *self)
{
    while (!stop_requested) {
        kvr_status status = self->failed ? KVR_OK : kvr_node_run(self->node, 0);
        if (kvr_status_is_fatal(status)) {
            report_failure(self);
        }
        uint64_t now_ns = monotonic_ns();
        struct pollfd fds[POLL_MAX];
        uint32_t count = 0;
        fds[count++] = (struct pollfd){.fd = kvr_posix_disk_fd(self->disk), .events = POLLIN};
        peers_poll(self, fds, &count, now_ns);
        clients_poll(self, fds, &count);
        if (poll(fds, count, status == KVR_AGAIN ? 0 : poll_timeout(self, now_ns)) < 0 && errno != EINTR) {
            perror("kvraft-demo: poll");
            return;
        }
        disk_reap(self);
        peers_handle(self, fds, count, monotonic_ns());
        clients_handle(self, fds, count);
    }
}

/* ------------------------------------------------------------------ start */

bool set_nonblocking(int fd)
{
    int flags = fcntl(fd, F_GETFL);
    return flags >= 0 && fcntl(fd, F_SETFL, flags | O_NONBLOCK) == 0 && fcntl(fd, F_SETFD, FD_CLOEXEC) == 0;
}

int listen_on(const struct sockaddr_in *address)
{
    char text[32];
    int one = 1;
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    if (fd >= 0 && setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one) == 0 &&
        bind(fd, (const struct sockaddr *)address, sizeof *address) == 0 && listen(fd, 128) == 0 &&
        set_nonblocking(fd)) {
        return fd;
    }
    fprintf(stderr, "kvraft-demo: %s: %s%s\n", address_text(address, text), strerror(errno),
            errno == EADDRINUSE ? "; stop the process that listens there, or choose another port" : "");
    if (fd >= 0) {
        close(fd);
    }
    return -1;
}

/* "1=host:port,2=host:port,...": every member, this one too. */
static bool parse_peers(server *self, const char *list)
{
    char *copy = must_alloc(strlen(list) + 1);
    memcpy(copy, list, strlen(list));
    bool found = false;
    bool good = true;
    char *rest = copy;
    for (char *item = strsep(&rest, ","); good && item != NULL; item = strsep(&rest, ",")) {
        char *end = NULL;
        uint64_t id = strtoull(item, &end, 10);
        if (self->peer_count == MEMBERS_MAX || id == 0 || end == NULL || *end != '=') {
            fprintf(stderr, "kvraft-demo: --peers: \"%s\" is not ID=HOST:PORT with an id above 0 (at most %d of them)\n",
                    item, MEMBERS_MAX);
            good = false;
            break;
        }
        for (uint32_t i = 0; i < self->peer_count; i++) {
            if (self->ids[i] == id) {
                fprintf(stderr, "kvraft-demo: --peers: member %" PRIu64 " stands there twice\n", id);
                good = false;
            }
        }
        good = good && parse_address(end + 1, &self->addresses[self->peer_count]);
        found = found || id == self->id;
        self->ids[self->peer_count++] = id;
    }
    free(copy);
    if (good && !found) {
        fprintf(stderr, "kvraft-demo: --peers does not name this member, --id %" PRIu64 "\n", self->id);
    }
    return good && found;
}

static const kvr_node_sink sink = {
    .size = sizeof sink, .completed = clients_completed, .watched = clients_watched};
static const kvr_transport transport = {.size = sizeof transport, .send = peers_send};

typedef struct options {
    const char *peers;
    const char *client;
    const char *data_dir;
    const char *heartbeat;
    const char *election;
    uint64_t snapshot_entries;
    uint64_t id;
    uint64_t cluster_id;
    bool help;
} options;

static bool open_node(server *self, const options *chosen)
{
    kvr_member members[MEMBERS_MAX];
    kvr_node_config config;
    if (kvr_node_config_init(&config, sizeof config) != KVR_OK) {
        return false;
    }
    for (uint32_t i = 0; i < self->peer_count; i++) {
        members[i] = (kvr_member){.id = self->ids[i], .role = KVR_MEMBER_VOTER};
    }
    config.cluster_id = self->cluster_id;
    config.member_id = self->id;
    config.members = members;
    config.member_count = self->peer_count;
    config.snapshot_entries = chosen->snapshot_entries;
    config.keep_entries = chosen->snapshot_entries / 2;
    if (!parse_duration(chosen->heartbeat, &config.heartbeat_ns) ||
        !parse_duration(chosen->election, &config.election_ns) ||
        kvr_posix_entropy()->fill(NULL, (uint8_t *)&config.seed, sizeof config.seed) != KVR_OK) {
        fprintf(stderr, "kvraft-demo: --heartbeat and --election are durations such as 100ms or 1s\n");
        return false;
    }
    config.storage = kvr_posix_disk_storage();
    config.storage_ctx = self->disk;
    config.transport = &transport;
    config.transport_ctx = self;
    config.clock = kvr_posix_clock();
    config.sink = &sink;
    config.sink_ctx = self;
    config.log = kvr_posix_log(KVR_LOG_WARN);
    const char *fault = kvr_node_config_check(&config);
    if (fault != NULL) {
        fprintf(stderr, "kvraft-demo: %s\n", fault);
        return false;
    }
    return kvr_node_new(&config, &self->node) == KVR_OK;
}

/* The directory first: if it is another member's or in use, nothing else was touched. */
static bool open_all(server *self, const options *chosen)
{
    struct sockaddr_in client_address;
    if (!parse_address(chosen->client, &client_address) || !disk_open(self, chosen->data_dir)) {
        return false;
    }
    self->client_listener = listen_on(&client_address);
    return self->client_listener >= 0 && peers_open(self) && open_node(self, chosen) && disk_start(self);
}

static void close_all(server *self)
{
    if (self->node != NULL) {
        (void)!kvr_node_close(self->node);
    }
    clients_close(self);
    peers_close(self);
    disk_close(self);
    (void)!kvr_node_free(self->node);
}

int serve(int argc, char **argv)
{
    options chosen = {.heartbeat = "100ms", .election = "1s", .snapshot_entries = 10000, .cluster_id = 1};
    const flag flags[] = {
        {"id", FLAG_NUMBER, &chosen.id, "N         this member's id, one of those in --peers"},
        {"peers", FLAG_TEXT, &chosen.peers, "LIST      every member: 1=HOST:PORT,2=HOST:PORT,3=HOST:PORT"},
        {"client", FLAG_TEXT, &chosen.client, "HOST:PORT where clients connect"},
        {"data-dir", FLAG_TEXT, &chosen.data_dir, "DIR       where this member keeps its log; made if missing"},
        {"cluster-id", FLAG_NUMBER, &chosen.cluster_id, "N         the same on all members, default 1"},
        {"heartbeat", FLAG_TEXT, &chosen.heartbeat, "TIME      default 100ms"},
        {"election", FLAG_TEXT, &chosen.election, "TIME      shortest election timeout, default 1s"},
        {"snapshot-entries", FLAG_NUMBER, &chosen.snapshot_entries, "N         log entries between snapshots, default 10000"},
        {"help", FLAG_SWITCH, &chosen.help, "          this text"},
    };
    int words = flags_parse("serve", flags, COUNT_OF(flags), argc, argv);
    if (words < 0) {
        return EXIT_USAGE;
    }
    if (chosen.help) {
        printf("usage: kvraft-demo serve --id N --peers LIST --client HOST:PORT --data-dir DIR\n\n"
               "Runs one member until it is interrupted. Start each member with the same --peers.\n\n");
        flags_help(flags, COUNT_OF(flags));
        return EXIT_OK;
    }
    if (words > 0 || chosen.id == 0 || chosen.peers == NULL || chosen.client == NULL || chosen.data_dir == NULL) {
        fprintf(stderr, "kvraft-demo serve: %s; see kvraft-demo serve --help\n",
                words > 0 ? "takes flags only" : "needs --id, --peers, --client and --data-dir");
        return EXIT_USAGE;
    }
    server self = {.id = chosen.id, .cluster_id = chosen.cluster_id, .peer_listener = -1, .client_listener = -1};
    if (!parse_peers(&self, chosen.peers)) {
        return EXIT_USAGE;
    }
    struct sigaction action = {.sa_handler = request_stop};
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    signal(SIGPIPE, SIG_IGN);
    bool opened = open_all(&self, &chosen);
    if (opened) {
        printf("member %" PRIu64 " of %u: clients at %s, data in %s\n", self.id, self.peer_count, chosen.client,
               chosen.data_dir);
        fflush(stdout);
        main_loop(&self);
    }
    bool failed = self.failed;
    close_all(&self);
    return opened && !failed ? EXIT_OK : EXIT_FAILED;
}
