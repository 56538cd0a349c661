/* SPDX-License-Identifier: Apache-2.0 */
/* demo_serve.c: one member of the cluster as a process. Start reading at main_loop: it is all that
 * a host of libkvraft must do. The concerns that it hands work to have a file each. */
#include "demo.h"

#include <inttypes.h>
#include <string.h>

static void report_failure(server *self)
{
    self->failed = true;
    kvr_node_status status = {.size = sizeof status};
    kvr_node_get_status(self->node, &status);
    fprintf(stderr, "member %" PRIu64 ": takes no further part: %s: %s\n", self->chosen->id,
            kvr_status_text(status.failure), kvr_node_error(self->node));
}

/* Feed, run, wait. Peers' messages, clients' requests and disk completions go in; kvr_node_run does
 * the work and calls peers_send, clients_completed and clients_watched; then poll, until something
 * arrives or time has come. A member that failed still answers what its status is. */
static void main_loop(server *self)
{
    static waits all;
    while (!interrupted) {
        kvr_status status = self->failed ? KVR_OK : kvr_node_run(self->node, 0);
        if (kvr_status_is_fatal(status)) {
            report_failure(self);
        }
        all.count = 0;
        all.deadline_ns = kvr_node_deadline(self->node);
        waits_add(&all, &self->disk_signal, POLLIN);
        peers_wait(self, &all);
        clients_wait(self, &all);
        waits_poll(&all);
        disk_reap(self);
        peers_ready(self);
        clients_ready(self);
    }
}

/* False: the flags do not go together. */
static bool configure(server *self, kvr_node_config *config)
{
    static kvr_member members[MEMBERS_MAX];
    static const kvr_node_sink sink = {
        .size = sizeof sink, .completed = clients_completed, .watched = clients_watched};
    static const kvr_transport transport = {.size = sizeof transport, .send = peers_send};
    const options *chosen = self->chosen;
    for (uint32_t i = 0; i < chosen->peers.count; i++) {
        members[i].id = chosen->peers.ids[i];
    }
    bool good =
        kvr_node_config_init(config, sizeof *config) == KVR_OK &&
        kvr_posix_entropy()->fill(NULL, (uint8_t *)&config->seed, sizeof config->seed) == KVR_OK;
    config->cluster_id = chosen->cluster_id;
    config->member_id = chosen->id;
    config->members = members;
    config->member_count = chosen->peers.count;
    config->heartbeat_ns = chosen->heartbeat_ns;
    config->election_ns = chosen->election_ns;
    config->snapshot_entries = chosen->snapshot_entries;
    config->snapshot_bytes_min = 64 << 10;
    config->keep_entries = chosen->snapshot_entries / 2;
    config->storage = kvr_posix_disk_storage();
    config->transport = &transport;
    config->transport_ctx = self;
    config->clock = kvr_posix_clock();
    config->sink = &sink;
    config->sink_ctx = self;
    config->log = kvr_posix_log(KVR_LOG_WARN);
    const char *fault = good ? kvr_node_config_check(config) : "the system gave no random number";
    if (fault != NULL) {
        fprintf(stderr, "kvraft-demo serve: %s\n", fault);
    }
    return fault == NULL;
}

/* Whatever is in use, by whomever, is found before anything on disk is changed. */
static bool open_all(server *self, kvr_node_config *config)
{
    const options *chosen = self->chosen;
    bool opened = disk_look(self) &&
                  stream_listen(&self->client_listener, chosen->client.addresses) &&
                  stream_listen(&self->peer_listener, &chosen->peers.addresses[self->place]) &&
                  disk_open(self);
    config->storage_ctx = self->disk;
    return opened && kvr_node_new(config, &self->node) == KVR_OK;
}

static bool close_all(server *self)
{
    bool good = self->node == NULL || kvr_node_close(self->node) == KVR_OK;
    clients_close(self);
    disk_close(self);
    return kvr_node_free(self->node) == KVR_OK && good && !self->failed;
}

int run_serve(options *chosen)
{
    static server self;
    kvr_node_config config;
    self.chosen = chosen;
    while (self.place < chosen->peers.count && chosen->peers.ids[self.place] != chosen->id) {
        self.place++;
    }
    bool complete = chosen->id > 0 && chosen->peers.count > 0 && chosen->client.count > 0 &&
                    chosen->data_dir != NULL;
    if (!complete || self.place == chosen->peers.count) {
        fprintf(stderr, "kvraft-demo serve --id %" PRIu64 ": %s; see --help\n", chosen->id,
                complete ? "--peers does not name it"
                         : "needs --id above 0, --peers, --client and --data-dir");
        return EXIT_USAGE;
    }
    if (!configure(&self, &config)) {
        return EXIT_USAGE;
    }
    self.retry_ns[self.place] = UINT64_MAX; /* it does not connect to itself */
    catch_interrupts();
    bool opened = open_all(&self, &config);
    if (opened) {
        printf("member %" PRIu64 " of %" PRIu32 ": clients at %s, data in %s\n", chosen->id,
               chosen->peers.count, address_text(chosen->client.addresses), chosen->data_dir);
        fflush(stdout);
        main_loop(&self);
    }
    return close_all(&self) && opened ? EXIT_OK : EXIT_FAILED;
}
