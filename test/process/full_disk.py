#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""full_disk.py (FAULTS 83): a member whose disk is full says so and takes no writes; with room
again, after a restart too, nothing that it acknowledged is missing. The disk is a small tmpfs in a
mount namespace of our own."""
import os
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
import demo_cluster as demo  # noqa: E402

SIZE = "40m"


def in_namespace():
    """Runs itself again where it may mount; says why not if that is not possible."""
    if os.environ.get("KVR_IN_NAMESPACE"):
        return True
    environment = dict(os.environ, KVR_IN_NAMESPACE="1")
    tried = subprocess.run(["unshare", "-rm", "true"], stderr=subprocess.PIPE, text=True, check=False)
    if tried.returncode != 0:
        print("SKIP full_disk: no mount namespace here: %s" % tried.stderr.strip())
        sys.exit(0)
    sys.exit(subprocess.call(["unshare", "-rm", sys.executable, os.path.abspath(__file__)], env=environment))


def fill(client, acked):
    """Writes until a write is refused; what was acknowledged goes into `acked`."""
    for number in range(100000):
        key, value = b"k%06d" % number, os.urandom(30000)
        try:
            answer = client.put(key, value)
        except demo.Lost:
            return None
        if not answer.good:
            return answer
        acked[key] = value
    raise AssertionError("3 GB fit on a disk of " + SIZE)


def check(client, acked):
    found = client.read(b"k", b"l").keys
    lost = [key for key, value in acked.items() if found.get(key) != value]
    assert not lost, "%d acknowledged writes are missing: %r" % (len(lost), lost[:3])


def main():
    in_namespace()
    with demo.Cluster(1, ["--snapshot-entries", "1000000"]) as cluster:
        os.mkdir(cluster.data(0))
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=" + SIZE, "disk", cluster.data(0)], check=True)
        os.chmod(cluster.data(0), 0o700)
        try:
            cluster.start(0)
            cluster.wait_leader()
            client, acked = demo.Client(cluster.ports[0], 20), {}
            refused = fill(client, acked)
            status = cluster.clients[0].status()
            assert acked and status and status["no_space"] == 1, "it did not say that the disk is full: %r" % status
            assert refused is None or refused.outcome != demo.DONE, "a write on a full disk was done"
            check(client, acked)
            print("full after %d writes: refused, reads go on" % len(acked))
            cluster.kill(0)
            subprocess.run(["mount", "-o", "remount,size=200m", cluster.data(0)], check=True)
            cluster.start(0)
            cluster.wait_leader()
            client.close()
            check(client, acked)
            assert demo.until(lambda: client.put(b"after", b"room").good, "a write once there is room")
            print("with room again, after kill -9 and restart: all %d are there" % len(acked))
        finally:
            cluster.kill(0)
            subprocess.run(["umount", cluster.data(0)], check=False)


if __name__ == "__main__":
    main()
