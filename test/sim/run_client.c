/* SPDX-License-Identifier: Apache-2.0 */
/* run_client.c: clients at work. Each has a timer, asks one member for a while, then another, and
 * has a few calls under way. A member that crashes takes its calls with it: their outcome is
 * unknown for ever. */
#include "run.h"
#include "run_page.h"

#include <string.h>

/* ------------------------------------------------------------------ calls */

run_call *run_call_new(run_world *world, run_client *client, uint8_t kind, const char *what)
{
    run_clients *clients = &world->clients;
    for (uint32_t i = 0; i < RUN_CALLS_MAX; i++) {
        run_call *call = &clients->calls[i];
        if (!call->is_used) {
            *call = (run_call){.client = client->number, .is_used = true};
            call->base.member = client->member;
            call->base.kind = kind;
            call->base.invoked_ns = kvr_sim_now(world->sim);
            call->base.jumped_ns = world->lease.jumped_ns;
            check_history_invoke(&world->history, &call->base);
            clients->under_way++;
            client->under_way++;
            page_call(world->listener.page, call->base.invoked_ns, &call->base, what);
            return call;
        }
    }
    return NULL;
}

/* The call is over; `how` is for the page. */
static void end_call(run_world *world, run_call *call, const char *how)
{
    page_answer(world->listener.page, kvr_sim_now(world->sim), call->base.number, how);
    call->is_used = false;
    world->clients.under_way--;
    world->clients.items[call->client].under_way--;
}

/* Memory fails in some seeds. */
static bool is_short(const run_world *world, kvr_status status)
{
    return status == KVR_ENOMEM && world->plan.memory_ppm > 0;
}

/* A call that was not taken never was. */
bool run_call_taken(run_world *world, run_call *call, kvr_status status)
{
    if (status == KVR_OK) {
        return true;
    }
    check_history_refuse(&world->history, &call->base);
    end_call(world, call, kvr_status_name(status));
    if (status != KVR_EBUSY && status != KVR_EDUPKEY && status != KVR_ETOOBIG &&
        status != KVR_ENOSPACE && status != KVR_EREADONLY && !is_short(world, status)) {
        check_fail(&world->report, "F", "a call on member %u is refused with %s",
                   call->base.member + 1, kvr_status_name(status));
    }
    return false;
}

static void begin_write(run_world *world, run_client *client, kvr_node *node, uint32_t op_kind)
{
    static run_op room;
    run_op_draw(&room, world, op_kind);
    run_call *call = run_call_new(world, client, KVR_CALL_WRITE, run_op_words(&room));
    if (call == NULL) {
        return;
    }
    call->base.asked = store_digest_write(&room.op);
    call->base.is_unique = room.is_unique;
    kvr_node_call with = {.size = sizeof with, .user = call};
    (void)run_call_taken(world, call, kvr_node_write(node, &with, &room.op));
}

static void begin_compact(run_world *world, run_client *client, kvr_node *node)
{
    uint64_t revision = dice_between(&world->clients.dice, 1, world->history.seen_revision + 1);
    run_call *call = run_call_new(world, client, KVR_CALL_COMPACT, "");
    if (call == NULL) {
        return;
    }
    call->base.asked = store_digest_number(WIRE_COMMAND_COMPACT, revision);
    kvr_node_call with = {.size = sizeof with, .user = call};
    (void)run_call_taken(world, call, kvr_node_compact(node, &with, revision));
}

static void begin_read(run_world *world, run_client *client, kvr_node *node, uint8_t kind)
{
    run_call *call = run_call_new(world, client, kind, "");
    if (call == NULL) {
        return;
    }
    kvr_node_call with = {.size = sizeof with, .user = call};
    kvr_status status = KVR_OK;
    if (kind == KVR_CALL_READ_STALE) {
        uint64_t elections = dice_below(&world->clients.dice, 4);
        uint64_t old = (1 + elections) * world->plan.node.election_ns;
        status = kvr_node_read_stale(node, &with, elections == 0 ? UINT64_MAX : old);
    } else if (kind == KVR_CALL_READ_LEASE) {
        status = kvr_node_read_lease(node, &with);
    } else {
        status = kvr_node_read_linear(node, &with);
    }
    (void)run_call_taken(world, call, status);
}

/* To a named member or the best one; or the member's priority changes, which may move it too. */
static void begin_transfer(run_world *world, run_client *client, kvr_node *node)
{
    dice *d = &world->clients.dice;
    if (dice_one_in(d, 3)) {
        kvr_status status = kvr_node_set_priority(node, (uint32_t)dice_below(d, 3));
        if (status != KVR_OK) {
            check_fail(&world->report, "F", "a priority is refused with %s",
                       kvr_status_name(status));
        }
        return;
    }
    run_call *call = run_call_new(world, client, KVR_CALL_TRANSFER_LEADER, "");
    if (call != NULL) {
        kvr_node_call with = {.size = sizeof with, .user = call};
        uint64_t to = dice_below(d, world->plan.sim.member_count + 1);
        (void)run_call_taken(world, call, kvr_node_transfer_leader(node, &with, to));
    }
}

/* Roles and addresses of one to three members, one by one or through a joint configuration, and how
 * many copies a commit waits for. Everybody stays a member, so that the others' checks need not ask
 * who is one. */
static void begin_change(run_world *world, run_client *client, kvr_node *node)
{
    static const uint8_t kinds[] = {KVR_CHANGE_PROMOTE, KVR_CHANGE_PROMOTE, KVR_CHANGE_DEMOTE,
                                    KVR_CHANGE_UPDATE};
    static const uint8_t address[] = "tcp://[::1]:2380";
    dice *d = &world->clients.dice;
    kvr_member_change items[3];
    kvr_raft_changes changes = {.size = sizeof changes, .changes = items};
    changes.change_count = dice_one_in(d, 2) ? 1 : (uint32_t)dice_between(d, 1, 3);
    changes.flags = dice_one_in(d, 3) ? KVR_CHANGES_JOINT : 0;
    if (dice_one_in(d, 4)) {
        changes.flags |= KVR_CHANGES_COPIES;
        changes.data_copies_min = (uint32_t)dice_below(d, 3);
    }
    for (uint32_t i = 0; i < changes.change_count; i++) {
        items[i] = (kvr_member_change){.kind = kinds[dice_below(d, sizeof kinds)]};
        items[i].member.id = 1 + dice_below(d, world->plan.sim.member_count);
        items[i].member.attributes = (kvr_slice){address, (size_t)dice_below(d, sizeof address)};
    }
    run_call *call = run_call_new(world, client, KVR_CALL_MEMBER_CHANGE, "");
    if (call != NULL) {
        kvr_node_call with = {.size = sizeof with, .user = call};
        (void)run_call_taken(world, call, kvr_node_member_change(node, &with, &changes));
    }
}

/* ------------------------------------------------------------------ reads */

/* What the member shows now: a key or two, sometimes all of it, sometimes as it was. */
static void look_into(run_world *world, uint32_t member)
{
    static run_op room;
    dice *d = &world->clients.dice;
    kvr_node *node = kvr_sim_node(world->sim, member);
    kvr_node_status status;
    run_world_status(world, member, &status);
    if (status.loading != 0) {
        return;
    }
    room.used_bytes = 0;
    kvr_slice key = run_op_key(&room, world, dice_below(d, world->plan.key_count));
    kvr_kv kv;
    bool found = kvr_node_get(node, &key, &kv);
    check_store_read(&world->store, member, status.store.revision, &key, found ? &kv : NULL);
    if (!dice_one_in(d, 6)) {
        return;
    }
    kvr_mvcc_view *view;
    if (kvr_node_view_open(node, &view) == KVR_OK) {
        check_store_view(&world->store, member, view, 0 + status.store.revision);
        check_store_view(&world->store, member, view,
                         dice_between(d, 1, status.store.revision + 1));
        kvr_mvcc_view_free(view);
    }
    int64_t lease = world->clients.leases[dice_below(d, RUN_LEASES_MAX)];
    kvr_slice keys[64];
    uint32_t count;
    if (lease != 0 && kvr_node_lease_keys(node, lease, NULL, keys, 64, &count) == KVR_OK &&
        count < 64) {
        check_store_lease_keys(&world->store, member, lease, status.store.revision, keys, count);
    }
}

/* ------------------------------------------------------------------ leases */

static void begin_grant(run_world *world, run_client *client, kvr_node *node)
{
    dice *d = &world->clients.dice;
    /* few: they live again */
    int64_t id = dice_one_in(d, 3) ? 0 : (int64_t)dice_between(d, 1, 40) - 20;
    uint64_t ttl = dice_between(d, world->plan.ttl_ns_max / 4, world->plan.ttl_ns_max);
    run_call *call = run_call_new(world, client, KVR_CALL_LEASE_GRANT, "");
    if (call == NULL) {
        return;
    }
    call->base.lease = id;
    call->base.asked = store_digest_number(WIRE_COMMAND_GRANT, (uint64_t)id);
    kvr_node_call with = {.size = sizeof with, .user = call};
    (void)run_call_taken(world, call, kvr_node_lease_grant(node, &with, id, ttl));
}

static void begin_lease(run_world *world, run_client *client, kvr_node *node)
{
    dice *d = &world->clients.dice;
    int64_t *slot = &world->clients.leases[dice_below(d, RUN_LEASES_MAX)];
    uint32_t what = (uint32_t)dice_below(d, 8);
    if (*slot == 0) {
        begin_grant(world, client, node);
        return;
    }
    uint8_t kind = what == 0  ? KVR_CALL_LEASE_REVOKE
                   : what < 3 ? KVR_CALL_LEASE_TIME_TO_LIVE
                              : KVR_CALL_LEASE_KEEP_ALIVE;
    run_call *call = run_call_new(world, client, kind, "");
    if (call == NULL) {
        return;
    }
    int64_t id = *slot;
    call->base.lease = id;
    kvr_node_call with = {.size = sizeof with, .user = call};
    if (kind == KVR_CALL_LEASE_REVOKE) {
        call->base.asked = store_digest_number(WIRE_COMMAND_REVOKE, (uint64_t)id);
        *slot = 0;
        (void)run_call_taken(world, call, kvr_node_lease_revoke(node, &with, id));
    } else if (kind == KVR_CALL_LEASE_TIME_TO_LIVE) {
        (void)run_call_taken(world, call, kvr_node_lease_time_to_live(node, &with, id));
    } else {
        (void)run_call_taken(world, call, kvr_node_lease_keep_alive(node, &with, id));
    }
}

/* A lease that was granted takes a free slot, or any. */
static void keep_lease(run_world *world, const kvr_completion *completion)
{
    if (completion->outcome != KVR_OUTCOME_DONE) {
        return;
    }
    int64_t *slots = world->clients.leases;
    if (completion->kind == KVR_CALL_LEASE_GRANT && completion->status == KVR_OK) {
        slots[dice_below(&world->clients.dice, RUN_LEASES_MAX)] = completion->lease;
        return;
    }
    for (uint32_t i = 0; i < RUN_LEASES_MAX && completion->status == KVR_ENOLEASE; i++) {
        slots[i] = slots[i] == completion->lease ? 0 : slots[i];
    }
}

/* ------------------------------------------------------------------ watchers */

static void copy_slice(uint8_t *to, kvr_slice *out, const kvr_slice *from)
{
    if (from->size > 0) {
        memcpy(to, from->data, from->size);
    }
    *out = (kvr_slice){to, from->size};
}

static uint64_t draw_start(run_world *world, uint64_t head)
{
    dice *d = &world->clients.dice;
    switch (dice_below(d, 4)) {
    case 0:
        return 0;
    case 1:
        return head + dice_below(d, 8);
    default:
        return dice_between(d, 1, head);
    }
}

static void open_watch(run_world *world, run_watcher *watcher, uint32_t member)
{
    static run_op room;
    dice *d = &world->clients.dice;
    kvr_node *node = kvr_sim_node(world->sim, member);
    kvr_node_status status;
    run_world_status(world, member, &status);
    uint64_t head = status.store.revision;
    uint64_t start = draw_start(world, head);
    *watcher = (run_watcher){.is_used = true};
    watcher->base.member = member;
    watcher->base.flags = (uint32_t)dice_below(d, 2) * KVR_WATCH_PREV_KV;
    watcher->base.flags |= dice_one_in(d, 6) ? KVR_WATCH_NO_PUT : 0;
    watcher->base.flags |= dice_one_in(d, 6) ? KVR_WATCH_NO_DELETE : 0;
    room.used_bytes = 0;
    kvr_slice key = run_op_key(&room, world, dice_below(d, world->plan.key_count));
    static const uint8_t zero = 0;
    kvr_slice end = dice_one_in(d, 2) ? (kvr_slice){NULL, 0} : (kvr_slice){&zero, 1};
    copy_slice(watcher->key, &watcher->base.key, &key);
    copy_slice(watcher->range_end, &watcher->base.range_end, &end);
    kvr_watch_request request = {
        .size = sizeof request,
        .flags = watcher->base.flags,
        .start_revision = start,
        .key = key,
        .range_end = end,
        .user = &watcher->base,
    };
    kvr_status taken = kvr_node_watch(node, &request, &watcher->id);
    if (taken != KVR_OK) {
        watcher->is_used = false;
        if (!is_short(world, taken)) {
            check_fail(&world->report, "F", "a watch on member %u is refused with %s", member + 1,
                       kvr_status_name(taken));
        }
        return;
    }
    check_watch_open(&world->watch, &watcher->base, start, head);
}

/* Opens, cancels, pauses or resumes one. */
static void touch_watch(run_world *world, uint32_t member)
{
    dice *d = &world->clients.dice;
    run_watcher *watcher = &world->clients.watchers[dice_below(d, RUN_WATCHERS_MAX)];
    if (!watcher->is_used || watcher->base.has_ended) {
        open_watch(world, watcher, member);
        return;
    }
    kvr_node *node = kvr_sim_node(world->sim, watcher->base.member);
    kvr_status status = KVR_OK;
    if (node == NULL) {
        return;
    }
    bool is_over = dice_one_in(d, 3);
    if (is_over) {
        status = kvr_node_watch_cancel(node, watcher->id);
    } else if (watcher->base.is_paused) {
        status = kvr_node_watch_resume(node, watcher->id);
    } else {
        status = kvr_node_watch_pause(node, watcher->id);
    }
    if (status == KVR_OK) {
        watcher->is_used = !is_over;
        watcher->base.has_ended = is_over;
        watcher->base.is_paused = !is_over && !watcher->base.is_paused;
    } else if (!is_short(world, status)) {
        check_fail(&world->report, "V", "member %u says %s about a watcher that it has",
                   watcher->base.member + 1, kvr_status_name(status));
    }
}

void run_clients_caught_up(run_world *world)
{
    for (uint32_t i = 0; i < RUN_WATCHERS_MAX; i++) {
        const run_watcher *watcher = &world->clients.watchers[i];
        if (watcher->is_used && !watcher->base.has_ended && !watcher->base.is_paused &&
            run_world_is_up(world, watcher->base.member)) {
            kvr_node_status status;
            run_world_status(world, watcher->base.member, &status);
            check_watch_caught_up(&world->watch, &watcher->base, status.store.revision);
        }
    }
}

/* ------------------------------------------------------------------ one client */

static void do_admin(run_world *world, kvr_node *node)
{
    kvr_status status =
        dice_one_in(&world->clients.dice, 2) ? kvr_node_snapshot(node) : kvr_node_campaign(node);
    if (status != KVR_OK && status != KVR_ESTATE && !is_short(world, status)) {
        check_fail(&world->report, "F", "an administrator is told %s", kvr_status_name(status));
    }
}

static uint32_t draw_what(dice *d, const run_mix *mix)
{
    const uint32_t weights[] = {mix->put,   mix->delete_,    mix->txn,        mix->read_linear,
                                mix->look,  mix->compact,    mix->lease,      mix->watch,
                                mix->admin, mix->read_lease, mix->read_stale, mix->transfer,
                                mix->change};
    enum { KINDS = sizeof weights / sizeof *weights };
    uint32_t sum = 0;
    for (uint32_t i = 0; i < KINDS; i++) {
        sum += weights[i];
    }
    uint64_t at = dice_below(d, sum);
    uint32_t kind = 0;
    while (at >= weights[kind]) {
        at -= weights[kind++];
    }
    return kind;
}

static void act(run_world *world, run_client *client, kvr_node *node)
{
    switch (draw_what(&world->clients.dice, &world->plan.mix)) {
    case 0:
        begin_write(world, client, node, KVR_OP_PUT);
        break;
    case 1:
        begin_write(world, client, node, KVR_OP_DELETE);
        break;
    case 2:
        begin_write(world, client, node, KVR_OP_TXN);
        break;
    case 3:
        begin_read(world, client, node, KVR_CALL_READ_LINEAR);
        break;
    case 4:
        look_into(world, client->member);
        break;
    case 5:
        begin_compact(world, client, node);
        break;
    case 6:
        begin_lease(world, client, node);
        break;
    case 7:
        touch_watch(world, client->member);
        break;
    case 8:
        do_admin(world, node);
        break;
    case 9:
        begin_read(world, client, node, KVR_CALL_READ_LEASE);
        break;
    case 10:
        begin_read(world, client, node, KVR_CALL_READ_STALE);
        break;
    case 11:
        begin_transfer(world, client, node);
        break;
    default:
        begin_change(world, client, node);
    }
}

static void sleep_a_while(run_world *world, run_client *client)
{
    uint64_t span = dice_below(&world->clients.dice, 2 * world->plan.think_ns) + 1;
    bool armed = world->trouble.memory_armed;
    world->trouble.memory_armed = false; /* a client without its timer would be gone */
    if (kvr_sim_after(world->sim, span, client) != KVR_OK) {
        check_fail(&world->report, "F", "no memory for a timer");
    }
    world->trouble.memory_armed = armed;
}

void run_clients_timer(run_world *world, void *user)
{
    run_client *client = user;
    dice *d = &world->clients.dice;
    if (world->clients.quiet) {
        return;
    }
    if (dice_one_in(d, 16)) {
        client->member = (uint32_t)dice_below(d, world->plan.sim.member_count);
    }
    kvr_node *node = kvr_sim_node(world->sim, client->member);
    /* few calls at once, so that the search for their order stays short */
    uint32_t most = client->has_registers ? 2 : world->plan.calls_each;
    if (node != NULL && client->under_way < most) {
        (client->has_registers ? run_register_act : act)(world, client, node);
    } else if (node == NULL) {
        client->member = (uint32_t)dice_below(d, world->plan.sim.member_count);
    }
    sleep_a_while(world, client);
}

void run_clients_begin(run_world *world)
{
    run_clients *clients = &world->clients;
    clients->dice.state = world->seed ^ 0x5851f42d4c957f2dU;
    uint32_t count = world->plan.client_count;
    uint32_t more = world->plan.register_clients;
    more = more < RUN_REGISTER_CLIENTS_MAX ? more : RUN_REGISTER_CLIENTS_MAX;
    for (uint32_t i = 0; i < count + more; i++) {
        clients->items[i] = (run_client){.world = world, .number = i, .has_registers = i >= count};
        clients->items[i].member =
            (uint32_t)dice_below(&clients->dice, world->plan.sim.member_count);
        sleep_a_while(world, &clients->items[i]);
    }
}

/* ------------------------------------------------------------------ completions */

static const char *describe_end(const kvr_completion *completion)
{
    static char text[128]; /* copied at once */
    static const char *const outcomes[] = {"done", "refused", "unknown"};
    (void)snprintf(text, sizeof text, "%s %s, revision %llu, entry %llu",
                   outcomes[completion->outcome], kvr_status_name(completion->status),
                   (unsigned long long)completion->revision, (unsigned long long)completion->index);
    return text;
}

void run_clients_completed(run_world *world, uint32_t member, const kvr_completion *completion)
{
    run_call *call = completion->user;
    if (call == NULL || !call->is_used || call->base.member != member) {
        check_fail(&world->report, "H3", "member %u completes a call that is not under way",
                   member + 1);
        return;
    }
    if (call->base.kind == KVR_CALL_LEASE_GRANT && call->base.lease == 0) {
        call->base.asked = store_digest_number(WIRE_COMMAND_GRANT, (uint64_t)completion->lease);
    }
    world->history.now_ns = kvr_sim_now(world->sim);
    check_history_complete(&world->history, &call->base, completion);
    check_lease_complete(&world->lease, &call->base, completion);
    keep_lease(world, completion);
    if (world->clients.quiet) {
        world->clients.probe_done += completion->outcome == KVR_OUTCOME_DONE;
    }
    if (call->register_number != 0) {
        run_register_ended(world, call, completion);
    }
    bool reads =
        (call->base.kind == KVR_CALL_READ_LINEAR || call->base.kind == KVR_CALL_READ_LEASE ||
         call->base.kind == KVR_CALL_READ_STALE) &&
        completion->outcome == KVR_OUTCOME_DONE;
    end_call(world, call, describe_end(completion));
    if (reads && !world->report.failed) {
        look_into(world, member);
    }
}

void run_clients_stopped(run_world *world, uint32_t member)
{
    for (uint32_t i = 0; i < RUN_CALLS_MAX; i++) {
        run_call *call = &world->clients.calls[i];
        if (call->is_used && call->base.member == member) {
            check_history_lose(&world->history, &call->base);
            if (call->register_number != 0) {
                run_register_ended(world, call, NULL);
            }
            end_call(world, call, "unknown: the member is gone");
        }
    }
    for (uint32_t i = 0; i < RUN_WATCHERS_MAX; i++) {
        run_watcher *watcher = &world->clients.watchers[i];
        if (watcher->base.member == member) {
            watcher->is_used = false;
        }
    }
}

uint32_t run_clients_probe(run_world *world)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < world->plan.sim.member_count; i++) {
        bool is_away = (world->away_members >> i & 1) != 0;
        kvr_node *node = is_away ? NULL : kvr_sim_node(world->sim, i);
        if (node != NULL) {
            run_client *client = &world->clients.items[0];
            client->member = i;
            uint64_t before = world->clients.under_way;
            begin_write(world, client, node, KVR_OP_PUT);
            begin_read(world, client, node, KVR_CALL_READ_LINEAR);
            begin_read(world, client, node, KVR_CALL_READ_LEASE);
            begin_read(world, client, node, KVR_CALL_READ_STALE);
            count += (uint32_t)(world->clients.under_way - before);
        }
    }
    return count;
}
