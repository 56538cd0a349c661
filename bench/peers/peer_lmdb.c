/* SPDX-License-Identifier: Apache-2.0 */
/* peer_lmdb.c: LMDB with 16-byte keys and 100-byte values, 100 puts a write transaction, no sync to
 * disk (MDB_NOSYNC, and MDB_WRITEMAP, which is faster here); reads in one read transaction. */
#include <lmdb.h>
#include <stdlib.h>
#include <string.h>

#include "peers.h"

enum { PUTS_PER_TRANSACTION = 100, RANGE_KEYS = 100, RANGES = 20000 };

static MDB_env *env;
static MDB_dbi database;

static void check(int status, const char *what)
{
    bench_require(status == MDB_SUCCESS, what);
}

static void put_all(const bench_key *keys, size_t count)
{
    uint8_t value[BENCH_VALUE_SIZE] = {0};
    for (size_t i = 0; i < count;) {
        MDB_txn *txn;
        check(mdb_txn_begin(env, NULL, 0, &txn), "mdb_txn_begin");
        for (unsigned n = 0; n < PUTS_PER_TRANSACTION && i < count; n++, i++) {
            MDB_val k = {BENCH_KEY_SIZE, (void *)(uintptr_t)keys[i].text};
            MDB_val v = {BENCH_VALUE_SIZE, value};
            bench_value_fill(value, i + 1);
            check(mdb_put(txn, database, &k, &v, 0), "mdb_put");
        }
        check(mdb_txn_commit(txn), "mdb_txn_commit");
    }
}

static uint64_t value_number(const MDB_val *value)
{
    uint64_t number;
    memcpy(&number, value->mv_data, sizeof number);
    return number;
}

static void read_all(bench_run *run, const bench_key *lookups, size_t count)
{
    MDB_txn *txn;
    MDB_cursor *cursor;
    MDB_val k, v;
    uint64_t sum = 0;
    size_t seen = 0;

    check(mdb_txn_begin(env, NULL, MDB_RDONLY, &txn), "mdb_txn_begin");
    uint64_t begin = bench_cpu_ns();
    for (size_t i = 0; i < count; i++) {
        k = (MDB_val){BENCH_KEY_SIZE, (void *)(uintptr_t)lookups[i].text};
        check(mdb_get(txn, database, &k, &v), "mdb_get");
        sum += value_number(&v);
    }
    bench_report(run, "get-ns", (double)(bench_cpu_ns() - begin) / (double)count);
    bench_require(sum == count * (count + 1) / 2, "LMDB: each key has its value");

    check(mdb_cursor_open(txn, database, &cursor), "mdb_cursor_open");
    begin = bench_cpu_ns();
    for (size_t i = 0; i < RANGES; i++) {
        k = (MDB_val){BENCH_KEY_SIZE, (void *)(uintptr_t)lookups[i].text};
        int status = mdb_cursor_get(cursor, &k, &v, MDB_SET_RANGE);
        for (size_t n = 0; n < RANGE_KEYS && status == MDB_SUCCESS; n++) {
            sum += value_number(&v);
            status = mdb_cursor_get(cursor, &k, &v, MDB_NEXT);
        }
    }
    bench_report(run, "range-ns", (double)(bench_cpu_ns() - begin) / RANGES);

    begin = bench_cpu_ns();
    for (int status = mdb_cursor_get(cursor, &k, &v, MDB_FIRST); status == MDB_SUCCESS;
         status = mdb_cursor_get(cursor, &k, &v, MDB_NEXT)) {
        sum += value_number(&v);
        seen++;
    }
    bench_report(run, "scan-ns", (double)(bench_cpu_ns() - begin) / (double)count);
    bench_require(seen == count, "LMDB: the scan sees each key");
    mdb_cursor_close(cursor);
    mdb_txn_abort(txn);
    bench_consume(sum);
}

void peer_lmdb_measure(bench_run *run)
{
    const size_t count = BENCH_KEY_COUNT;
    bench_key *keys = bench_keys_new(count, 1);
    bench_key *lookups = bench_keys_shuffled(keys, count, 2);
    MDB_txn *txn;

    check(mdb_env_create(&env), "mdb_env_create");
    check(mdb_env_set_mapsize(env, (size_t)4 << 30), "mdb_env_set_mapsize");
    check(mdb_env_open(env, bench_directory(run), MDB_NOSYNC | MDB_WRITEMAP, 0600), "mdb_env_open");
    check(mdb_txn_begin(env, NULL, 0, &txn), "mdb_txn_begin");
    check(mdb_dbi_open(txn, NULL, 0, &database), "mdb_dbi_open");
    check(mdb_txn_commit(txn), "mdb_txn_commit");

    uint64_t begin = bench_cpu_ns();
    put_all(keys, count);
    bench_report(run, "put-ns", (double)(bench_cpu_ns() - begin) / (double)count);
    read_all(run, lookups, count);
    begin = bench_cpu_ns();
    put_all(lookups, count);
    bench_report(run, "overwrite-ns", (double)(bench_cpu_ns() - begin) / (double)count);
}
