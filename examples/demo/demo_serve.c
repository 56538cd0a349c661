/* SPDX-License-Identifier: Apache-2.0 */
/* demo_serve.c: one member of the cluster as a process. Start reading at main_loop: it is all that
 * a host of libkvraft must do. The concerns that it hands work to have a file each. */
#include "demo.h"

#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

static volatile sig_atomic_t stop_requested;

static void request_stop(int signal_number)
{
    (void)signal_number;
    stop_requested = 1;
}

static void report_failure(server *self)
{
    self->failed = true;
    kvr_node_status status = {.size = sizeof status};
    kvr_node_get_status(self->node, &status);
    fprintf(stderr, "member %" PRIu64 ": takes no further part: %s: %s\n", self->id,
            kvr_status_text(status.failure), kvr_node_error(self->node));
}

/* For poll: milliseconds, rounded up, so that the deadline has passed when it returns. */
static int wait_ms(uint64_t deadline_ns, uint64_t now_ns)
{
    uint64_t wait_ns = deadline_ns > now_ns ? deadline_ns - now_ns : 0;
    return wait_ns > 1000000000 ? 1000 : (int)((wait_ns + 999999) / 1000000);
}

/* Feed, run, wait. Peers' messages, clients' requests and disk completions go in; kvr_node_run does
 * the work and calls peers_send, clients_completed and clients_watched; then poll, until something
 * arrives or time has come. */
static void main_loop(server *self)
{
    static struct pollfd fds[WAITS_MAX];
    while (!stop_requested) {
        kvr_status status = self->failed ? KVR_OK : kvr_node_run(self->node, 0);
        if (kvr_status_is_fatal(status)) {
            report_failure(self);
        }
        uint64_t now_ns = net_now();
        uint64_t deadline_ns = self->failed ? UINT64_MAX : kvr_node_deadline(self->node);
        waits all = {0, fds};
        fds[all.count++] = (struct pollfd){.fd = kvr_posix_disk_fd(self->disk), .events = POLLIN};
        uint64_t reconnect_ns = peers_wait(self, &all, now_ns);
        clients_wait(self, &all);
        deadline_ns = reconnect_ns < deadline_ns ? reconnect_ns : deadline_ns;
        if (poll(fds, all.count, status == KVR_AGAIN ? 0 : wait_ms(deadline_ns, now_ns)) < 0) {
            continue; /* a signal */
        }
        disk_reap(self);
        peers_ready(self, &all);
        clients_ready(self, &all);
    }
}

/* ---------------------------------------------------------------- start and end */

typedef struct options {
    uint64_t id;
    uint64_t cluster_id;
    const char *peers;
    const char *client;
    const char *data_dir;
    uint64_t heartbeat_ns;
    uint64_t election_ns;
    uint64_t snapshot_entries;
    bool help;
} options;

/* "1=host:port,2=host:port,...": every member, this one too. */
static bool parse_peers(server *self, const char *list)
{
    char *copy = strdup(list);
    char *rest = NULL;
    bool good = copy != NULL;
    bool found = false;
    for (char *item = strtok_r(copy, ",", &rest); good && item != NULL;
         item = strtok_r(NULL, ",", &rest), self->member_count++) {
        char *end = item;
        uint64_t id = strtoull(item, &end, 10);
        good = id > 0 && *end == '=' && self->member_count < MEMBERS_MAX;
        for (uint32_t i = 0; good && i < self->member_count; i++) {
            good = self->ids[i] != id;
        }
        if (!good) {
            fprintf(stderr,
                    "kvraft-demo: --peers: \"%s\": must be ID=HOST:PORT, each ID once and above 0, "
                    "at most %d of them\n",
                    item, MEMBERS_MAX);
            break;
        }
        good = parse_address(end + 1, &self->addresses[self->member_count]);
        self->ids[self->member_count] = id;
        found = found || id == self->id;
    }
    free(copy);
    if (good && !found) {
        fprintf(stderr, "kvraft-demo: --peers does not name this member, --id %" PRIu64 "\n",
                self->id);
    }
    return good && found;
}

static bool node_open(server *self, const options *chosen)
{
    static const kvr_node_sink sink = {
        .size = sizeof sink, .completed = clients_completed, .watched = clients_watched};
    static const kvr_transport transport = {.size = sizeof transport, .send = peers_send};
    kvr_member members[MEMBERS_MAX] = {{0}};
    kvr_node_config config;
    for (uint32_t i = 0; i < self->member_count; i++) {
        members[i].id = self->ids[i];
    }
    if (kvr_node_config_init(&config, sizeof config) != KVR_OK ||
        kvr_posix_entropy()->fill(NULL, (uint8_t *)&config.seed, sizeof config.seed) != KVR_OK) {
        return false;
    }
    config.cluster_id = self->cluster_id;
    config.member_id = self->id;
    config.members = members;
    config.member_count = self->member_count;
    config.heartbeat_ns = chosen->heartbeat_ns;
    config.election_ns = chosen->election_ns;
    config.snapshot_entries = chosen->snapshot_entries;
    config.snapshot_bytes_min = 64 << 10;
    config.keep_entries = chosen->snapshot_entries / 2;
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
    }
    return fault == NULL && kvr_node_new(&config, &self->node) == KVR_OK;
}

/* The directory comes first: if it is in use or another member's, nothing else was touched. */
static bool open_all(server *self, const options *chosen)
{
    struct sockaddr_in client_address;
    if (!parse_address(chosen->client, &client_address) || !disk_open(self, chosen->data_dir)) {
        return false;
    }
    self->client_listener = net_listen(&client_address);
    return self->client_listener >= 0 && peers_open(self) && node_open(self, chosen) &&
           disk_start(self);
}

static bool close_all(server *self)
{
    bool good = self->node == NULL || kvr_node_close(self->node) == KVR_OK;
    clients_close(self);
    peers_close(self);
    disk_close(self);
    return kvr_node_free(self->node) == KVR_OK && good && !self->failed;
}

static int run(const options *chosen)
{
    server self = {.id = chosen->id, .cluster_id = chosen->cluster_id};
    self.peer_listener = self.client_listener = -1;
    if (!parse_peers(&self, chosen->peers)) {
        return EXIT_USAGE;
    }
    struct sigaction action = {.sa_handler = request_stop};
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    bool opened = open_all(&self, chosen);
    if (opened) {
        printf("member %" PRIu64 " of %u: clients at %s, data in %s\n", self.id, self.member_count,
               chosen->client, chosen->data_dir);
        fflush(stdout);
        main_loop(&self);
    }
    return close_all(&self) && opened ? EXIT_OK : EXIT_FAILED;
}

int serve(int argc, char **argv)
{
    options chosen = {.cluster_id = 1,
                      .heartbeat_ns = 100000000,
                      .election_ns = 1000000000,
                      .snapshot_entries = 10000};
    const flag flags[] = {
        {"id", FLAG_NUMBER, &chosen.id, "N: this member's id, one of those in --peers"},
        {"peers", FLAG_TEXT, &chosen.peers, "LIST: every member, as 1=HOST:PORT,2=HOST:PORT,..."},
        {"client", FLAG_TEXT, &chosen.client, "HOST:PORT: where clients connect"},
        {"data-dir", FLAG_TEXT, &chosen.data_dir, "DIR: where it keeps its log; made if missing"},
        {"cluster-id", FLAG_NUMBER, &chosen.cluster_id, "N: the same on all members (1)"},
        {"heartbeat", FLAG_TIME, &chosen.heartbeat_ns, "TIME: between heartbeats (100ms)"},
        {"election", FLAG_TIME, &chosen.election_ns, "TIME: shortest election timeout (1s)"},
        {"snapshot-entries", FLAG_NUMBER, &chosen.snapshot_entries,
         "N: log entries between snapshots (10000)"},
        {"help", FLAG_SWITCH, &chosen.help, "this text"},
    };
    int words = flags_parse("serve", flags, COUNT_OF(flags), argc, argv);
    if (chosen.help && words >= 0) {
        printf("usage: kvraft-demo serve --id N --peers LIST --client HOST:PORT --data-dir DIR\n\n"
               "Runs one member until it is interrupted. Give all members the same --peers.\n\n");
        flags_help(flags, COUNT_OF(flags));
        return EXIT_OK;
    }
    if (words == 0 && chosen.id > 0 && chosen.peers && chosen.client && chosen.data_dir) {
        return run(&chosen);
    }
    if (words >= 0) {
        fprintf(stderr, "kvraft-demo serve: needs --id, --peers, --client and --data-dir, and no "
                        "other words; see kvraft-demo serve --help\n");
    }
    return EXIT_USAGE;
}
