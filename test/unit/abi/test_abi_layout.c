/* SPDX-License-Identifier: Apache-2.0 */
/* test_abi_layout.c: size and offsets of every public struct on a 64-bit machine, so that a change
 * of the ABI is a visible change of this file. Structs that begin with their size only grow. */
#include <criterion/criterion.h>
#include <kvraft/kvraft.h>

#define SIZE(type, size) cr_assert_eq(sizeof(type), size, "sizeof " #type)
#define AT(type, field, offset) \
    cr_assert_eq(offsetof(type, field), offset, "offset of " #type "." #field)

Test(abi_layout, structs_of_base)
{
    SIZE(kvr_slice, 16);
    AT(kvr_slice, data, 0);
    AT(kvr_slice, size, 8);
    SIZE(kvr_allocator, 32);
    AT(kvr_allocator, size, 0);
    AT(kvr_allocator, reserved, 4);
    AT(kvr_allocator, alloc, 8);
    AT(kvr_allocator, realloc, 16);
    AT(kvr_allocator, free, 24);
}

Test(abi_layout, structs_of_host_from_entry)
{
    SIZE(kvr_entry, 80);
    AT(kvr_entry, index, 0);
    AT(kvr_entry, term, 8);
    AT(kvr_entry, lease_clock, 16);
    AT(kvr_entry, command_checksum, 24);
    AT(kvr_entry, flags, 32);
    AT(kvr_entry, kind, 36);
    AT(kvr_entry, reserved, 37);
    AT(kvr_entry, command, 40);
    AT(kvr_entry, bytes, 56);
    AT(kvr_entry, buffer, 72);
    SIZE(kvr_snapshot_meta, 56);
    AT(kvr_snapshot_meta, index, 0);
    AT(kvr_snapshot_meta, term, 8);
    AT(kvr_snapshot_meta, bytes, 16);
    AT(kvr_snapshot_meta, hash, 24);
    AT(kvr_snapshot_meta, configuration, 40);
    SIZE(kvr_store_request, 176);
    AT(kvr_store_request, size, 0);
    AT(kvr_store_request, kind, 4);
    AT(kvr_store_request, flags, 5);
    AT(kvr_store_request, source, 6);
    AT(kvr_store_request, reserved, 7);
    AT(kvr_store_request, group_id, 8);
    AT(kvr_store_request, token, 16);
    AT(kvr_store_request, first_index, 24);
    AT(kvr_store_request, last_index, 32);
    AT(kvr_store_request, last_term, 40);
    AT(kvr_store_request, term, 48);
    AT(kvr_store_request, voted_for, 56);
    AT(kvr_store_request, incarnation, 64);
    AT(kvr_store_request, offset, 72);
    AT(kvr_store_request, byte_max, 80);
    AT(kvr_store_request, pieces, 88);
    AT(kvr_store_request, piece_count, 96);
    AT(kvr_store_request, entry_count, 100);
    AT(kvr_store_request, chunk, 104);
    AT(kvr_store_request, snapshot, 120);
    SIZE(kvr_store_result, 168);
    AT(kvr_store_result, size, 0);
    AT(kvr_store_result, status, 4);
    AT(kvr_store_result, group_id, 8);
    AT(kvr_store_result, token, 16);
    AT(kvr_store_result, free_bytes, 24);
    AT(kvr_store_result, term, 32);
    AT(kvr_store_result, voted_for, 40);
    AT(kvr_store_result, incarnation, 48);
    AT(kvr_store_result, first_index, 56);
    AT(kvr_store_result, last_index, 64);
    AT(kvr_store_result, pieces, 72);
    AT(kvr_store_result, piece_count, 80);
    AT(kvr_store_result, entry_count, 84);
    AT(kvr_store_result, chunk, 88);
    AT(kvr_store_result, snapshot, 104);
    AT(kvr_store_result, detail, 160);
    SIZE(kvr_storage, 16);
    AT(kvr_storage, size, 0);
    AT(kvr_storage, reserved, 4);
    AT(kvr_storage, submit, 8);
    SIZE(kvr_message, 32);
    AT(kvr_message, to, 0);
    AT(kvr_message, token, 8);
    AT(kvr_message, bytes, 16);
    SIZE(kvr_transport, 16);
    AT(kvr_transport, size, 0);
    AT(kvr_transport, flags, 4);
    AT(kvr_transport, send, 8);
    SIZE(kvr_clock, 16);
    AT(kvr_clock, size, 0);
    AT(kvr_clock, reserved, 4);
    AT(kvr_clock, now, 8);
    SIZE(kvr_entropy, 16);
    AT(kvr_entropy, size, 0);
    AT(kvr_entropy, reserved, 4);
    AT(kvr_entropy, fill, 8);
    SIZE(kvr_log, 16);
    AT(kvr_log, size, 0);
    AT(kvr_log, level_max, 4);
    AT(kvr_log, write, 8);
}

Test(abi_layout, structs_of_host_from_trace_event)
{
    SIZE(kvr_trace_event, 56);
    AT(kvr_trace_event, time_ns, 0);
    AT(kvr_trace_event, group_id, 8);
    AT(kvr_trace_event, member_id, 16);
    AT(kvr_trace_event, term, 24);
    AT(kvr_trace_event, index, 32);
    AT(kvr_trace_event, peer, 40);
    AT(kvr_trace_event, name, 48);
    SIZE(kvr_trace, 16);
    AT(kvr_trace, size, 0);
    AT(kvr_trace, reserved, 4);
    AT(kvr_trace, event, 8);
    SIZE(kvr_crypto_request, 64);
    AT(kvr_crypto_request, size, 0);
    AT(kvr_crypto_request, kind, 4);
    AT(kvr_crypto_request, reserved, 5);
    AT(kvr_crypto_request, token, 8);
    AT(kvr_crypto_request, input, 16);
    AT(kvr_crypto_request, extra, 32);
    AT(kvr_crypto_request, salt, 48);
    SIZE(kvr_crypto_result, 152);
    AT(kvr_crypto_result, size, 0);
    AT(kvr_crypto_result, status, 4);
    AT(kvr_crypto_result, token, 8);
    AT(kvr_crypto_result, output, 16);
    AT(kvr_crypto_result, output_size, 144);
    AT(kvr_crypto_result, reserved, 148);
    SIZE(kvr_crypto, 16);
    AT(kvr_crypto, size, 0);
    AT(kvr_crypto, reserved, 4);
    AT(kvr_crypto, submit, 8);
}

Test(abi_layout, structs_of_raft_from_member)
{
    SIZE(kvr_member, 32);
    AT(kvr_member, id, 0);
    AT(kvr_member, role, 8);
    AT(kvr_member, reserved, 9);
    AT(kvr_member, attributes, 16);
    SIZE(kvr_raft_config, 152);
    AT(kvr_raft_config, size, 0);
    AT(kvr_raft_config, member_count, 4);
    AT(kvr_raft_config, cluster_id, 8);
    AT(kvr_raft_config, group_id, 16);
    AT(kvr_raft_config, member_id, 24);
    AT(kvr_raft_config, seed, 32);
    AT(kvr_raft_config, applied_index, 40);
    AT(kvr_raft_config, members, 48);
    AT(kvr_raft_config, election_ns, 56);
    AT(kvr_raft_config, heartbeat_ns, 64);
    AT(kvr_raft_config, message_bytes_max, 72);
    AT(kvr_raft_config, command_bytes_max, 80);
    AT(kvr_raft_config, uncommitted_bytes_max, 88);
    AT(kvr_raft_config, inflight_bytes_max, 96);
    AT(kvr_raft_config, inflight_messages_max, 104);
    AT(kvr_raft_config, snapshot_chunk_bytes, 108);
    AT(kvr_raft_config, apply_bytes_max, 112);
    AT(kvr_raft_config, log_memory_bytes, 120);
    AT(kvr_raft_config, trace, 128);
    AT(kvr_raft_config, reserved, 132);
    AT(kvr_raft_config, allocator, 136);
    AT(kvr_raft_config, allocator_ctx, 144);
    SIZE(kvr_raft_proposal, 16);
    AT(kvr_raft_proposal, index, 0);
    AT(kvr_raft_proposal, term, 8);
    SIZE(kvr_raft_read, 24);
    AT(kvr_raft_read, context, 0);
    AT(kvr_raft_read, index, 8);
    AT(kvr_raft_read, status, 16);
    AT(kvr_raft_read, reserved, 20);
    SIZE(kvr_raft_post_in, 40);
    AT(kvr_raft_post_in, from, 0);
    AT(kvr_raft_post_in, term, 8);
    AT(kvr_raft_post_in, type, 16);
    AT(kvr_raft_post_in, reserved, 17);
    AT(kvr_raft_post_in, body, 24);
    SIZE(kvr_raft_ready, 88);
    AT(kvr_raft_ready, flags, 0);
    AT(kvr_raft_ready, request_count, 4);
    AT(kvr_raft_ready, message_count, 8);
    AT(kvr_raft_ready, committed_count, 12);
    AT(kvr_raft_ready, read_count, 16);
    AT(kvr_raft_ready, post_count, 20);
    AT(kvr_raft_ready, trace_count, 24);
    AT(kvr_raft_ready, traces_lost, 28);
    AT(kvr_raft_ready, requests, 32);
    AT(kvr_raft_ready, messages, 40);
    AT(kvr_raft_ready, committed, 48);
    AT(kvr_raft_ready, reads, 56);
    AT(kvr_raft_ready, posts, 64);
    AT(kvr_raft_ready, traces, 72);
    AT(kvr_raft_ready, install, 80);
    SIZE(kvr_raft_status, 136);
    AT(kvr_raft_status, size, 0);
    AT(kvr_raft_status, role, 4);
    AT(kvr_raft_status, member_role, 5);
    AT(kvr_raft_status, reserved, 6);
    AT(kvr_raft_status, term, 8);
    AT(kvr_raft_status, voted_for, 16);
    AT(kvr_raft_status, leader, 24);
    AT(kvr_raft_status, incarnation, 32);
    AT(kvr_raft_status, first_index, 40);
    AT(kvr_raft_status, last_index, 48);
    AT(kvr_raft_status, last_term, 56);
    AT(kvr_raft_status, durable_index, 64);
    AT(kvr_raft_status, commit_index, 72);
    AT(kvr_raft_status, applied_index, 80);
    AT(kvr_raft_status, snapshot_index, 88);
    AT(kvr_raft_status, lease_clock, 96);
    AT(kvr_raft_status, own_term_committed, 104);
    AT(kvr_raft_status, bad_messages, 112);
    AT(kvr_raft_status, memory_bytes, 120);
    AT(kvr_raft_status, no_space, 128);
}

Test(abi_layout, structs_of_raft_from_raft_progress)
{
    SIZE(kvr_raft_progress, 40);
    AT(kvr_raft_progress, id, 0);
    AT(kvr_raft_progress, match, 8);
    AT(kvr_raft_progress, next, 16);
    AT(kvr_raft_progress, last_heard_ns, 24);
    AT(kvr_raft_progress, state, 32);
    AT(kvr_raft_progress, role, 33);
    AT(kvr_raft_progress, reserved, 34);
    SIZE(kvr_message_info, 48);
    AT(kvr_message_info, cluster_id, 0);
    AT(kvr_message_info, group_id, 8);
    AT(kvr_message_info, from, 16);
    AT(kvr_message_info, to, 24);
    AT(kvr_message_info, term, 32);
    AT(kvr_message_info, length, 40);
    AT(kvr_message_info, version, 44);
    AT(kvr_message_info, type, 45);
    AT(kvr_message_info, reserved, 46);
}

Test(abi_layout, structs_of_mvcc_from_kv)
{
    SIZE(kvr_kv, 72);
    AT(kvr_kv, key, 0);
    AT(kvr_kv, value, 16);
    AT(kvr_kv, create_revision, 32);
    AT(kvr_kv, mod_revision, 40);
    AT(kvr_kv, mod_sub, 48);
    AT(kvr_kv, version, 56);
    AT(kvr_kv, lease, 64);
    SIZE(kvr_event, 152);
    AT(kvr_event, kv, 0);
    AT(kvr_event, prev, 72);
    AT(kvr_event, type, 144);
    AT(kvr_event, has_prev, 145);
    AT(kvr_event, reserved, 146);
    SIZE(kvr_range, 48);
    AT(kvr_range, size, 0);
    AT(kvr_range, reserved, 4);
    AT(kvr_range, key, 8);
    AT(kvr_range, range_end, 24);
    AT(kvr_range, revision, 40);
    SIZE(kvr_op, 112);
    AT(kvr_op, size, 0);
    AT(kvr_op, kind, 4);
    AT(kvr_op, reserved, 5);
    AT(kvr_op, flags, 8);
    AT(kvr_op, key_count, 12);
    AT(kvr_op, keys, 16);
    AT(kvr_op, key, 24);
    AT(kvr_op, range_end, 40);
    AT(kvr_op, value, 56);
    AT(kvr_op, owner, 72);
    AT(kvr_op, lease, 80);
    AT(kvr_op, revision, 88);
    AT(kvr_op, limit, 96);
    AT(kvr_op, txn, 104);
    SIZE(kvr_compare, 64);
    AT(kvr_compare, size, 0);
    AT(kvr_compare, target, 4);
    AT(kvr_compare, result, 5);
    AT(kvr_compare, reserved, 6);
    AT(kvr_compare, key, 8);
    AT(kvr_compare, range_end, 24);
    AT(kvr_compare, value, 40);
    AT(kvr_compare, number, 56);
    SIZE(kvr_txn, 40);
    AT(kvr_txn, size, 0);
    AT(kvr_txn, compare_count, 4);
    AT(kvr_txn, then_count, 8);
    AT(kvr_txn, else_count, 12);
    AT(kvr_txn, compares, 16);
    AT(kvr_txn, then_ops, 24);
    AT(kvr_txn, else_ops, 32);
    SIZE(kvr_mvcc_config, 24);
    AT(kvr_mvcc_config, size, 0);
    AT(kvr_mvcc_config, reserved, 4);
    AT(kvr_mvcc_config, allocator, 8);
    AT(kvr_mvcc_config, allocator_ctx, 16);
    SIZE(kvr_op_result, 48);
    AT(kvr_op_result, kind, 0);
    AT(kvr_op_result, succeeded, 1);
    AT(kvr_op_result, more, 2);
    AT(kvr_op_result, reserved, 3);
    AT(kvr_op_result, kv_count, 4);
    AT(kvr_op_result, count, 8);
    AT(kvr_op_result, kvs, 16);
    AT(kvr_op_result, view, 24);
    AT(kvr_op_result, results, 32);
    AT(kvr_op_result, result_count, 40);
    AT(kvr_op_result, reserved2, 44);
    SIZE(kvr_mvcc_cursor, 512);
    AT(kvr_mvcc_cursor, opaque, 0);
    SIZE(kvr_mvcc_changes, 64);
    AT(kvr_mvcc_changes, opaque, 0);
}

Test(abi_layout, structs_of_mvcc_from_mvcc_status)
{
    SIZE(kvr_mvcc_status, 96);
    AT(kvr_mvcc_status, size, 0);
    AT(kvr_mvcc_status, views_open, 4);
    AT(kvr_mvcc_status, revision, 8);
    AT(kvr_mvcc_status, compacted, 16);
    AT(kvr_mvcc_status, live_keys, 24);
    AT(kvr_mvcc_status, live_bytes, 32);
    AT(kvr_mvcc_status, versions, 40);
    AT(kvr_mvcc_status, hash_live, 48);
    AT(kvr_mvcc_status, hash_chain, 56);
    AT(kvr_mvcc_status, memory_bytes, 64);
    AT(kvr_mvcc_status, tree_bytes, 72);
    AT(kvr_mvcc_status, record_bytes, 80);
    AT(kvr_mvcc_status, history_bytes, 88);
}

Test(abi_layout, structs_of_watch)
{
    SIZE(kvr_watch_config, 24);
    AT(kvr_watch_config, size, 0);
    AT(kvr_watch_config, batch_events_max, 4);
    AT(kvr_watch_config, allocator, 8);
    AT(kvr_watch_config, allocator_ctx, 16);
    SIZE(kvr_watch_request, 64);
    AT(kvr_watch_request, size, 0);
    AT(kvr_watch_request, flags, 4);
    AT(kvr_watch_request, id, 8);
    AT(kvr_watch_request, start_revision, 16);
    AT(kvr_watch_request, key, 24);
    AT(kvr_watch_request, range_end, 40);
    AT(kvr_watch_request, user, 56);
    SIZE(kvr_watch_target, 16);
    AT(kvr_watch_target, id, 0);
    AT(kvr_watch_target, user, 8);
    SIZE(kvr_watch_batch, 48);
    AT(kvr_watch_batch, targets, 0);
    AT(kvr_watch_batch, events, 8);
    AT(kvr_watch_batch, target_count, 16);
    AT(kvr_watch_batch, event_count, 20);
    AT(kvr_watch_batch, status, 24);
    AT(kvr_watch_batch, flags, 28);
    AT(kvr_watch_batch, revision, 32);
    AT(kvr_watch_batch, compacted, 40);
    SIZE(kvr_watch_status, 40);
    AT(kvr_watch_status, size, 0);
    AT(kvr_watch_status, reserved, 4);
    AT(kvr_watch_status, watchers, 8);
    AT(kvr_watch_status, behind, 16);
    AT(kvr_watch_status, paused, 24);
    AT(kvr_watch_status, memory_bytes, 32);
}

Test(abi_layout, structs_of_lease)
{
    SIZE(kvr_lease_config, 24);
    AT(kvr_lease_config, size, 0);
    AT(kvr_lease_config, reserved, 4);
    AT(kvr_lease_config, allocator, 8);
    AT(kvr_lease_config, allocator_ctx, 16);
    SIZE(kvr_lease_laggard, 24);
    AT(kvr_lease_laggard, id, 0);
    AT(kvr_lease_laggard, granted_ns, 8);
    AT(kvr_lease_laggard, renewed_ns, 16);
    SIZE(kvr_lease_info, 40);
    AT(kvr_lease_info, id, 0);
    AT(kvr_lease_info, ttl_ns, 8);
    AT(kvr_lease_info, remaining_ns, 16);
    AT(kvr_lease_info, recorded_ns, 24);
    AT(kvr_lease_info, granted_ns, 32);
    SIZE(kvr_lease_status, 32);
    AT(kvr_lease_status, size, 0);
    AT(kvr_lease_status, reserved, 4);
    AT(kvr_lease_status, leases, 8);
    AT(kvr_lease_status, hash, 16);
    AT(kvr_lease_status, memory_bytes, 24);
    SIZE(kvr_lease_save, 64);
    AT(kvr_lease_save, opaque, 0);
}

Test(abi_layout, structs_of_auth)
{
    SIZE(kvr_auth_config, 24);
    AT(kvr_auth_config, size, 0);
    AT(kvr_auth_config, reserved, 4);
    AT(kvr_auth_config, allocator, 8);
    AT(kvr_auth_config, allocator_ctx, 16);
    SIZE(kvr_permission, 40);
    AT(kvr_permission, size, 0);
    AT(kvr_permission, kind, 4);
    AT(kvr_permission, reserved, 5);
    AT(kvr_permission, key, 8);
    AT(kvr_permission, range_end, 24);
    SIZE(kvr_auth_status, 48);
    AT(kvr_auth_status, size, 0);
    AT(kvr_auth_status, enabled, 4);
    AT(kvr_auth_status, reserved, 5);
    AT(kvr_auth_status, revision, 8);
    AT(kvr_auth_status, users, 16);
    AT(kvr_auth_status, roles, 24);
    AT(kvr_auth_status, hash, 32);
    AT(kvr_auth_status, memory_bytes, 40);
    SIZE(kvr_auth_save, 64);
    AT(kvr_auth_save, opaque, 0);
}

Test(abi_layout, structs_of_node_from_completion)
{
    SIZE(kvr_completion, 80);
    AT(kvr_completion, size, 0);
    AT(kvr_completion, kind, 4);
    AT(kvr_completion, outcome, 5);
    AT(kvr_completion, reserved, 6);
    AT(kvr_completion, status, 8);
    AT(kvr_completion, reserved2, 12);
    AT(kvr_completion, user, 16);
    AT(kvr_completion, revision, 24);
    AT(kvr_completion, index, 32);
    AT(kvr_completion, term, 40);
    AT(kvr_completion, result, 48);
    AT(kvr_completion, lease, 56);
    AT(kvr_completion, ttl_ns, 64);
    AT(kvr_completion, remaining_ns, 72);
    SIZE(kvr_node_sink, 24);
    AT(kvr_node_sink, size, 0);
    AT(kvr_node_sink, reserved, 4);
    AT(kvr_node_sink, completed, 8);
    AT(kvr_node_sink, watched, 16);
    SIZE(kvr_node_config, 232);
    AT(kvr_node_config, size, 0);
    AT(kvr_node_config, member_count, 4);
    AT(kvr_node_config, cluster_id, 8);
    AT(kvr_node_config, group_id, 16);
    AT(kvr_node_config, member_id, 24);
    AT(kvr_node_config, seed, 32);
    AT(kvr_node_config, members, 40);
    AT(kvr_node_config, election_ns, 48);
    AT(kvr_node_config, heartbeat_ns, 56);
    AT(kvr_node_config, call_timeout_ns, 64);
    AT(kvr_node_config, snapshot_entries, 72);
    AT(kvr_node_config, snapshot_bytes_min, 80);
    AT(kvr_node_config, keep_entries, 88);
    AT(kvr_node_config, message_bytes_max, 96);
    AT(kvr_node_config, uncommitted_bytes_max, 104);
    AT(kvr_node_config, calls_max, 112);
    AT(kvr_node_config, snapshot_chunk_bytes, 116);
    AT(kvr_node_config, storage, 120);
    AT(kvr_node_config, storage_ctx, 128);
    AT(kvr_node_config, transport, 136);
    AT(kvr_node_config, transport_ctx, 144);
    AT(kvr_node_config, clock, 152);
    AT(kvr_node_config, clock_ctx, 160);
    AT(kvr_node_config, sink, 168);
    AT(kvr_node_config, sink_ctx, 176);
    AT(kvr_node_config, log, 184);
    AT(kvr_node_config, log_ctx, 192);
    AT(kvr_node_config, trace, 200);
    AT(kvr_node_config, trace_ctx, 208);
    AT(kvr_node_config, allocator, 216);
    AT(kvr_node_config, allocator_ctx, 224);
    SIZE(kvr_node_call, 24);
    AT(kvr_node_call, size, 0);
    AT(kvr_node_call, reserved, 4);
    AT(kvr_node_call, user, 8);
    AT(kvr_node_call, timeout_ns, 16);
    SIZE(kvr_node_ready, 64);
    AT(kvr_node_ready, request_count, 0);
    AT(kvr_node_ready, message_count, 4);
    AT(kvr_node_ready, completion_count, 8);
    AT(kvr_node_ready, batch_count, 12);
    AT(kvr_node_ready, trace_count, 16);
    AT(kvr_node_ready, reserved, 20);
    AT(kvr_node_ready, requests, 24);
    AT(kvr_node_ready, messages, 32);
    AT(kvr_node_ready, completions, 40);
    AT(kvr_node_ready, batches, 48);
    AT(kvr_node_ready, traces, 56);
}

Test(abi_layout, structs_of_node_from_node_status)
{
    SIZE(kvr_node_status, 376);
    AT(kvr_node_status, size, 0);
    AT(kvr_node_status, cluster_level, 4);
    AT(kvr_node_status, failure, 8);
    AT(kvr_node_status, corrupt, 12);
    AT(kvr_node_status, loading, 13);
    AT(kvr_node_status, no_space, 14);
    AT(kvr_node_status, reserved, 15);
    AT(kvr_node_status, calls_waiting, 16);
    AT(kvr_node_status, hash_index, 24);
    AT(kvr_node_status, hash_chain, 32);
    AT(kvr_node_status, hash_live, 40);
    AT(kvr_node_status, snapshots_taken, 48);
    AT(kvr_node_status, snapshots_installed, 56);
    AT(kvr_node_status, memory_bytes, 64);
    AT(kvr_node_status, raft, 72);
    AT(kvr_node_status, store, 208);
    AT(kvr_node_status, watch, 304);
    AT(kvr_node_status, lease, 344);
}

Test(abi_layout, structs_of_wal)
{
    SIZE(kvr_file_ops, 112);
    AT(kvr_file_ops, size, 0);
    AT(kvr_file_ops, reserved, 4);
    AT(kvr_file_ops, open, 8);
    AT(kvr_file_ops, close, 16);
    AT(kvr_file_ops, pwrite, 24);
    AT(kvr_file_ops, pread, 32);
    AT(kvr_file_ops, fdatasync, 40);
    AT(kvr_file_ops, truncate, 48);
    AT(kvr_file_ops, length, 56);
    AT(kvr_file_ops, rename, 64);
    AT(kvr_file_ops, unlink, 72);
    AT(kvr_file_ops, sync_directory, 80);
    AT(kvr_file_ops, list, 88);
    AT(kvr_file_ops, space, 96);
    AT(kvr_file_ops, error, 104);
    SIZE(kvr_wal_config, 104);
    AT(kvr_wal_config, size, 0);
    AT(kvr_wal_config, flags, 4);
    AT(kvr_wal_config, cluster_id, 8);
    AT(kvr_wal_config, member_id, 16);
    AT(kvr_wal_config, group_id, 24);
    AT(kvr_wal_config, segment_bytes, 32);
    AT(kvr_wal_config, segments_ready, 40);
    AT(kvr_wal_config, batch_bytes, 44);
    AT(kvr_wal_config, read_bytes, 48);
    AT(kvr_wal_config, reserved, 52);
    AT(kvr_wal_config, files, 56);
    AT(kvr_wal_config, files_ctx, 64);
    AT(kvr_wal_config, entropy, 72);
    AT(kvr_wal_config, entropy_ctx, 80);
    AT(kvr_wal_config, allocator, 88);
    AT(kvr_wal_config, allocator_ctx, 96);
    SIZE(kvr_wal_status, 144);
    AT(kvr_wal_status, size, 0);
    AT(kvr_wal_status, status, 4);
    AT(kvr_wal_status, term, 8);
    AT(kvr_wal_status, voted_for, 16);
    AT(kvr_wal_status, incarnation, 24);
    AT(kvr_wal_status, first_index, 32);
    AT(kvr_wal_status, last_index, 40);
    AT(kvr_wal_status, snapshot_index, 48);
    AT(kvr_wal_status, snapshot_term, 56);
    AT(kvr_wal_status, log_bytes, 64);
    AT(kvr_wal_status, ready_bytes, 72);
    AT(kvr_wal_status, snapshot_bytes, 80);
    AT(kvr_wal_status, free_bytes, 88);
    AT(kvr_wal_status, records, 96);
    AT(kvr_wal_status, flushes, 104);
    AT(kvr_wal_status, written_bytes, 112);
    AT(kvr_wal_status, memory_bytes, 120);
    AT(kvr_wal_status, segment_count, 128);
    AT(kvr_wal_status, ready_count, 132);
    AT(kvr_wal_status, snapshot_count, 136);
    AT(kvr_wal_status, reserved, 140);
    SIZE(kvr_wal_failure, 56);
    AT(kvr_wal_failure, size, 0);
    AT(kvr_wal_failure, status, 4);
    AT(kvr_wal_failure, offset, 8);
    AT(kvr_wal_failure, first_index, 16);
    AT(kvr_wal_failure, last_index, 24);
    AT(kvr_wal_failure, file, 32);
    AT(kvr_wal_failure, remedy, 40);
    AT(kvr_wal_failure, text, 48);
}

Test(abi_layout, structs_of_posix)
{
    SIZE(kvr_posix_disk_config, 40);
    AT(kvr_posix_disk_config, size, 0);
    AT(kvr_posix_disk_config, flags, 4);
    AT(kvr_posix_disk_config, path, 8);
    AT(kvr_posix_disk_config, wal, 16);
    AT(kvr_posix_disk_config, idle_ns, 24);
    AT(kvr_posix_disk_config, queue_max, 32);
    AT(kvr_posix_disk_config, reserved, 36);
}

Test(abi_layout, structs_of_seal)
{
    SIZE(kvr_seal_config, 80);
    AT(kvr_seal_config, size, 0);
    AT(kvr_seal_config, initiator, 4);
    AT(kvr_seal_config, reserved, 5);
    AT(kvr_seal_config, cluster_id, 8);
    AT(kvr_seal_config, self_id, 16);
    AT(kvr_seal_config, peer_id, 24);
    AT(kvr_seal_config, rekey_frames, 32);
    AT(kvr_seal_config, ring, 40);
    AT(kvr_seal_config, entropy, 48);
    AT(kvr_seal_config, entropy_ctx, 56);
    AT(kvr_seal_config, allocator, 64);
    AT(kvr_seal_config, allocator_ctx, 72);
    SIZE(kvr_seal_crypto_config, 48);
    AT(kvr_seal_crypto_config, size, 0);
    AT(kvr_seal_crypto_config, passes, 4);
    AT(kvr_seal_crypto_config, memory_kib, 8);
    AT(kvr_seal_crypto_config, deferred, 12);
    AT(kvr_seal_crypto_config, reserved, 13);
    AT(kvr_seal_crypto_config, sign_seed, 16);
    AT(kvr_seal_crypto_config, allocator, 32);
    AT(kvr_seal_crypto_config, allocator_ctx, 40);
}

Test(abi_layout, structs_of_sim)
{
    SIZE(kvr_sim_disk_faults, 56);
    AT(kvr_sim_disk_faults, size, 0);
    AT(kvr_sim_disk_faults, crash_lose_ppm, 4);
    AT(kvr_sim_disk_faults, crash_tear_ppm, 8);
    AT(kvr_sim_disk_faults, crash_names_ppm, 12);
    AT(kvr_sim_disk_faults, write_error_ppm, 16);
    AT(kvr_sim_disk_faults, sync_error_ppm, 20);
    AT(kvr_sim_disk_faults, read_error_ppm, 24);
    AT(kvr_sim_disk_faults, short_ppm, 28);
    AT(kvr_sim_disk_faults, rot_flip_ppm, 32);
    AT(kvr_sim_disk_faults, rot_zero_ppm, 36);
    AT(kvr_sim_disk_faults, rot_stale_ppm, 40);
    AT(kvr_sim_disk_faults, misdirect_ppm, 44);
    AT(kvr_sim_disk_faults, capacity_bytes, 48);
    SIZE(kvr_sim_disk_status, 40);
    AT(kvr_sim_disk_status, size, 0);
    AT(kvr_sim_disk_status, files, 4);
    AT(kvr_sim_disk_status, bytes, 8);
    AT(kvr_sim_disk_status, writes, 16);
    AT(kvr_sim_disk_status, syncs, 24);
    AT(kvr_sim_disk_status, faults, 32);
    SIZE(kvr_sim_network, 32);
    AT(kvr_sim_network, size, 0);
    AT(kvr_sim_network, loss_ppm, 4);
    AT(kvr_sim_network, repeat_ppm, 8);
    AT(kvr_sim_network, corrupt_ppm, 12);
    AT(kvr_sim_network, delay_ns_min, 16);
    AT(kvr_sim_network, delay_ns_mean, 24);
    SIZE(kvr_sim_event, 32);
    AT(kvr_sim_event, time_ns, 0);
    AT(kvr_sim_event, kind, 8);
    AT(kvr_sim_event, member, 12);
    AT(kvr_sim_event, peer, 16);
    AT(kvr_sim_event, message_type, 20);
    AT(kvr_sim_event, term, 24);
    SIZE(kvr_sim_sink, 72);
    AT(kvr_sim_sink, size, 0);
    AT(kvr_sim_sink, reserved, 4);
    AT(kvr_sim_sink, completed, 8);
    AT(kvr_sim_sink, watched, 16);
    AT(kvr_sim_sink, timer, 24);
    AT(kvr_sim_sink, event, 32);
    AT(kvr_sim_sink, log, 40);
    AT(kvr_sim_sink, sent, 48);
    AT(kvr_sim_sink, submitted, 56);
    AT(kvr_sim_sink, stored, 64);
    SIZE(kvr_sim_config, 136);
    AT(kvr_sim_config, size, 0);
    AT(kvr_sim_config, member_count, 4);
    AT(kvr_sim_config, seed, 8);
    AT(kvr_sim_config, node, 16);
    AT(kvr_sim_config, run_budget, 24);
    AT(kvr_sim_config, batch_bytes, 28);
    AT(kvr_sim_config, segment_bytes, 32);
    AT(kvr_sim_config, disk_ns_min, 40);
    AT(kvr_sim_config, disk_ns_mean, 48);
    AT(kvr_sim_config, crash_ppm, 56);
    AT(kvr_sim_config, cut_ppm, 60);
    AT(kvr_sim_config, drift_ppm, 64);
    AT(kvr_sim_config, reserved, 68);
    AT(kvr_sim_config, down_ns_mean, 72);
    AT(kvr_sim_config, cut_ns_mean, 80);
    AT(kvr_sim_config, network, 88);
    AT(kvr_sim_config, disk, 96);
    AT(kvr_sim_config, sink, 104);
    AT(kvr_sim_config, sink_ctx, 112);
    AT(kvr_sim_config, allocator, 120);
    AT(kvr_sim_config, allocator_ctx, 128);
    SIZE(kvr_sim_member_status, 40);
    AT(kvr_sim_member_status, size, 0);
    AT(kvr_sim_member_status, state, 4);
    AT(kvr_sim_member_status, failure, 8);
    AT(kvr_sim_member_status, reserved, 12);
    AT(kvr_sim_member_status, starts, 16);
    AT(kvr_sim_member_status, clock_ns, 24);
    AT(kvr_sim_member_status, error, 32);
}
