# SPDX-License-Identifier: Apache-2.0
"""demo_cluster.py: members of the demo as processes on free ports, and a client that speaks the frames of
examples/demo/demo.h. For process tests; every wait has an end, nothing has a fixed port."""
import os
import shutil
import signal
import socket
import struct
import subprocess
import tempfile
import time

DEMO = os.environ.get("KVR_DEMO", "build/kvraft-demo")
FULL = os.environ.get("KVR_TIER") == "check-full"

WRITE, READ, STATUS = 1, 3, 9
REPLY, KV = 64, 65
DONE, REFUSED, UNKNOWN = 0, 1, 2
OP_PUT, OP_RANGE, OP_DELETE, OP_TXN = 1, 2, 3, 4
NUMBERS = ["id", "garbage", "failure", "corrupt", "no_space", "hash_index", "hash_chain", "hash_live", "taken",
           "installed", "memory", "role", "leader", "term", "first", "last", "commit", "applied", "snapshot",
           "revision", "compacted", "keys", "bytes", "leases", "watchers"]
LEADER = 4


def free_ports(count):
    """Ports that nobody listens on; held together so that they differ, then let go."""
    sockets = [socket.socket() for _ in range(count)]
    for each in sockets:
        each.bind(("127.0.0.1", 0))
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


def until(condition, what, seconds=30):
    """The condition's value once it is true; an error that says `what` was waited for, after the time."""
    end = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError("not within %d s: %s" % (seconds, what))
        time.sleep(0.02)


def _bytes(value):
    return struct.pack("<Q", len(value)) + value


def _fields(flags=0, key=b"", end=b"", revision=0):
    """Of every request that is no write; limit, lease and TTL are the last three."""
    return struct.pack("<Q", flags) + _bytes(key) + _bytes(end) + struct.pack("<QQQQ", revision, 0, 0, 0)


def put_op(key, value, lease=0):
    return struct.pack("<QQ", OP_PUT, 0) + _bytes(key) + _bytes(b"") + _bytes(value) + struct.pack("<q", lease)


def swap_op(key, expected, wanted):
    """If `key` holds `expected`, put `wanted`."""
    one = struct.pack("<Q", 1)
    head = struct.pack("<QQ", OP_TXN, 0) + _bytes(b"") * 3 + struct.pack("<q", 0)
    compare = struct.pack("<QQ", 3, 0) + _bytes(key) + _bytes(expected) + struct.pack("<q", 0)
    return head + one + compare + one + put_op(key, wanted) + struct.pack("<Q", 0)


class Lost(Exception):
    """The connection broke or timed out: what was asked may have been done or not."""


class Answer:
    def __init__(self, status, outcome, revision, rest, keys):
        self.status, self.outcome, self.revision, self.rest, self.keys = status, outcome, revision, rest, keys
        self.good = status == 0 and outcome == DONE
        self.held = len(rest) >= 16 and rest[8] == 1  # of a transaction: its compares


class Client:
    """One connection to one member."""

    def __init__(self, port, timeout=5):
        self.port, self.timeout, self.socket, self.next_id, self.buffer = port, timeout, None, 0, b""

    def close(self):
        if self.socket is not None:
            self.socket.close()
        self.socket, self.buffer = None, b""

    def _receive(self, size):
        while len(self.buffer) < size:
            got = self.socket.recv(1 << 16)
            if not got:
                raise Lost("closed")
            self.buffer += got
        taken, self.buffer = self.buffer[:size], self.buffer[size:]
        return taken

    def call(self, kind, fields):
        try:
            if self.socket is None:
                self.socket = socket.create_connection(("127.0.0.1", self.port), self.timeout)
            self.next_id += 1
            body = struct.pack("<QQ", kind, self.next_id) + fields
            self.socket.sendall(struct.pack("<Q", len(body)) + body)
            keys = {}
            while True:
                frame = self._receive(struct.unpack("<Q", self._receive(8))[0])
                got, _ = struct.unpack_from("<QQ", frame)
                if got == KV:
                    key, value = _two_runs(frame[40:])
                    keys[key] = value
                elif got == REPLY:
                    status, outcome, revision = struct.unpack_from("<i4xQQ", frame, 16)
                    return Answer(status, outcome, revision, frame[40:], keys)
        except (OSError, struct.error) as error:
            self.close()
            raise Lost(str(error)) from error
        except Lost:
            self.close()
            raise

    def put(self, key, value):
        return self.call(WRITE, put_op(key, value))

    def read(self, key, end=b"", flags=0, revision=0):
        return self.call(READ, _fields(flags, key, end, revision))

    def status(self):
        try:
            answer = self.call(STATUS, _fields())
            return dict(zip(NUMBERS, struct.unpack_from("<%dQ" % len(NUMBERS), answer.rest)))
        except Lost:
            return None


def _two_runs(fields):
    first = struct.unpack_from("<Q", fields)[0]
    second = struct.unpack_from("<Q", fields, 8 + first)[0]
    return fields[8:8 + first], fields[16 + first:16 + first + second]


class Cluster:
    """Members 1..count in a directory that is removed at the end."""

    def __init__(self, count=3, flags=()):
        self.directory = tempfile.mkdtemp(prefix="kvraft-process-")
        self.count, self.flags = count, list(flags)
        ports = free_ports(2 * count)
        self.peers = ",".join("%d=127.0.0.1:%d" % (i + 1, ports[i]) for i in range(count))
        self.peer_ports, self.ports = ports[:count], ports[count:]
        self.processes = [None] * count
        self.clients = [Client(port, 2) for port in self.ports]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for i in range(self.count):
            self.kill(i)
        shutil.rmtree(self.directory, ignore_errors=True)

    def data(self, i):
        return os.path.join(self.directory, "member%d" % (i + 1))

    def start(self, i):
        with open(self.data(i) + ".log", "ab") as log:
            self.processes[i] = subprocess.Popen(
                [DEMO, "serve", "--id", str(i + 1), "--peers", self.peers, "--client",
                 "127.0.0.1:%d" % self.ports[i], "--data-dir", self.data(i)] + self.flags,
                stdout=log, stderr=log, stdin=subprocess.DEVNULL)

    def start_all(self):
        for i in range(self.count):
            if self.processes[i] is None:
                self.start(i)

    def kill(self, i, how=signal.SIGKILL):
        process, self.processes[i] = self.processes[i], None
        self.clients[i].close()
        if process is not None:
            process.send_signal(how)
            return process.wait(30)
        return None

    def log(self, i):
        with open(self.data(i) + ".log", encoding="utf-8", errors="replace") as log:
            return log.read()

    def leader(self):
        """The leading member's place, once it has one that answers; None otherwise."""
        for i in range(self.count):
            status = self.clients[i].status() if self.processes[i] else None
            if status and status["role"] == LEADER:
                return i
        return None

    def wait_leader(self):
        return until(lambda: [self.leader()] if self.leader() is not None else None, "a leader")[0]

    def wait_same(self):
        """All members at one index with one hash; the statuses."""
        def same():
            got = [client.status() for client in self.clients]
            return got if all(got) and len({(s["hash_index"], s["commit"]) for s in got}) == 1 else None
        got = until(same, "members at one index")
        assert len({(s["hash_live"], s["hash_chain"]) for s in got}) == 1, "state hashes differ: %r" % got
        return got
