#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""bad_input.py: what an operator or a stranger may do wrong. Each case expects its exit status, one line that
names the thing, and an unchanged disk."""
import ctypes
import ctypes.util
import hashlib
import os
import shutil
import socket
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
import demo_cluster as demo  # noqa: E402


def run(*words, **options):
    return subprocess.run([demo.DEMO] + list(words), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, text=True, timeout=30, check=False, **options)


def expect(result, status, *texts):
    lines = result.stderr.strip().splitlines()
    assert result.returncode == status, "exit %d, not %d: %s" % (result.returncode, status, result.stderr)
    assert len(lines) == 1, "one line is wanted: %r" % lines
    for text in texts:
        assert text in lines[0], "%r is not in: %s" % (text, lines[0])


def image(directory):
    """A hash over names and bytes of a directory."""
    total = hashlib.sha256()
    for name in sorted(os.listdir(directory)):
        total.update(name.encode())
        with open(os.path.join(directory, name), "rb") as file:
            total.update(file.read())
    return total.hexdigest()


def serve_words(cluster, i, **changed):
    words = {"id": str(i + 1), "peers": cluster.peers, "client": "127.0.0.1:%d" % cluster.ports[i],
             "data-dir": cluster.data(i)}
    words.update({key.replace("_", "-"): value for key, value in changed.items()})
    return ["serve"] + [word for key, value in words.items() for word in ("--" + key, value)]


def wrong_words(_):
    expect(run("serv"), 2, '"serv"', "did you mean serve")
    expect(run("pt", "a", "b"), 2, '"pt"', "did you mean put")
    expect(run("put", "a"), 2, "usage: kvraft-demo put KEY VALUE")
    expect(run("get", "--prefx", "a"), 2, "--prefx", "did you mean --prefix")
    expect(run("get", "a", "--revision", "new"), 2, "--revision", "number", '"new"')
    expect(run("get", "a", "--endpoints", "nowhere"), 2, '"nowhere"', "HOST:PORT")
    expect(run("serve", "--id", "1"), 2, "--peers")
    expect(run("serve", "--id", "1", "--peers", "1=127.0.0.1:7001,1=127.0.0.1:7002", "--client",
               "127.0.0.1:7101", "--data-dir", "x"), 2, "--peers", "1=127.0.0.1:7002")
    expect(run("serve", "--id", "4", "--peers", "1=127.0.0.1:7001", "--client", "127.0.0.1:7101",
               "--data-dir", "x"), 2, "--id 4")
    expect(run("serve", "--heartbeat", "0"), 2, "--heartbeat", "above 0", '"0"')
    expect(run("txn", "if", "value", "a", "~", "b"), 2, '"if"')
    expect(run("get", "a", "--endpoints", "127.0.0.1:%d" % demo.free_ports(1)[0]), 1, "no member answered")
    for command in ("", "serve", "tour", "put", "get", "del", "txn", "watch", "lease", "compact", "status",
                    "members"):
        result = run(*([command] if command else []), "--help")
        assert result.returncode == 0 and "usage:" in result.stdout, "help of %r" % command


def port_in_use(cluster):
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        taken = "127.0.0.1:%d" % other.getsockname()[1]
        expect(run(*serve_words(cluster, 0, client=taken)), 1, taken, "in use")
        assert not os.path.exists(cluster.data(0)), "a directory was made for a member that cannot listen"


def directory_of_another(cluster):
    cluster.start_all()
    cluster.wait_leader()
    expect(run(*serve_words(cluster, 0, client="127.0.0.1:%d" % demo.free_ports(1)[0])), 1, cluster.data(0),
           "process")
    for i in range(3):
        assert cluster.kill(i, demo.signal.SIGTERM) == 0, cluster.log(i)
    before = image(cluster.data(0))
    expect(run(*serve_words(cluster, 1, data_dir=cluster.data(0))), 1, cluster.data(0), "member")
    expect(run(*serve_words(cluster, 0, cluster_id="77")), 1, cluster.data(0), "cluster", "77")
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        other.bind(("127.0.0.1", cluster.peer_ports[0]))
        other.listen()
        expect(run(*serve_words(cluster, 0)), 1, "127.0.0.1:%d" % cluster.peer_ports[0], "in use")
    assert image(cluster.data(0)) == before, "the refused directory was changed"


def directory_of_a_newer_format(cluster):
    """The heads of the vote file as a later release would write them (kvraft-wal(5)): version 2, checksum right."""
    xxh3 = ctypes.CDLL(ctypes.util.find_library("xxhash")).XXH3_64bits
    xxh3.restype, xxh3.argtypes = ctypes.c_uint64, [ctypes.c_char_p, ctypes.c_size_t]
    path = os.path.join(cluster.data(0), "vote")
    with open(path, "rb") as file:
        sound = file.read()
    newer = bytearray(sound)
    for at in range(0, len(newer), 2048):
        if newer[at:at + 4] == b"KVRV":
            newer[at + 6] = 2
            newer[at + 120:at + 128] = xxh3(bytes(newer[at:at + 120]), 120).to_bytes(8, "little")
    assert newer != sound
    with open(path, "wb") as file:
        file.write(newer)
    before = image(cluster.data(0))
    expect(run(*serve_words(cluster, 0)), 1, cluster.data(0), "newer")
    assert image(cluster.data(0)) == before, "the refused directory was changed"
    with open(path, "wb") as file:
        file.write(sound)


def directory_not_writable(cluster):
    """Root may write anywhere, so root is dropped first."""
    locked = os.path.join(cluster.directory, "locked")
    os.mkdir(locked)
    os.chmod(locked, 0o555)
    os.chmod(cluster.directory, 0o755)
    drop = {"user": 65534, "group": 65534, "extra_groups": []} if os.getuid() == 0 else {}
    copy = shutil.copy(demo.DEMO, os.path.join(cluster.directory, "kvraft-demo"))
    result = subprocess.run([copy] + serve_words(cluster, 0, data_dir=os.path.join(locked, "m")),
                            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                            timeout=30, check=False, **drop)
    expect(result, 1, "locked/m", "denied")


def garbage_from_a_peer(cluster):
    cluster.start_all()
    leader = cluster.wait_leader()
    victim = (leader + 1) % 3
    before = cluster.clients[victim].status()["garbage"]
    for junk in (os.urandom(4096), b"GET / HTTP/1.1\r\nHost: x\r\n\r\n" + b"\0" * 200, b"\xff" * 64):
        with socket.create_connection(("127.0.0.1", cluster.peer_ports[victim]), 5) as peer:
            peer.sendall(junk)
            peer.settimeout(10)
            try:
                assert peer.recv(1) == b"", "it answered garbage"
            except ConnectionResetError:
                pass
    with socket.create_connection(("127.0.0.1", cluster.ports[victim]), 5) as client:
        client.sendall(b"\xff" * 100)
        client.settimeout(10)
        try:
            assert client.recv(1) == b"", "it answered garbage"
        except ConnectionResetError:
            pass
    assert cluster.clients[victim].status()["garbage"] >= before + 4, "garbage was not counted"
    assert cluster.clients[victim].put(b"after", b"garbage").good


def too_large(cluster):
    leader = cluster.wait_leader()
    endpoint = "127.0.0.1:%d" % cluster.ports[leader]
    expect(run("put", "k" * 65536, "v", "--endpoints", endpoint), 1, "65,535", "1,572,864")
    answer = cluster.clients[leader].put(b"k", b"v" * (1572864 + 1))
    assert answer.outcome == demo.REFUSED and answer.status == -4, "an oversized value: %d" % answer.status
    assert cluster.clients[leader].put(b"k", b"v" * 1572864).good, "the largest value must fit"


def main():
    with demo.Cluster(3) as cluster:
        for case in (wrong_words, port_in_use, directory_of_another, directory_of_a_newer_format,
                     directory_not_writable, garbage_from_a_peer, too_large):
            case(cluster)
            print("%s: as it should be" % case.__name__.replace("_", " "), flush=True)


if __name__ == "__main__":
    main()
