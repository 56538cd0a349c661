#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""kill_loop.py: kill -9 of members, one, two or all of them, again and again under load. Afterwards every
acknowledged write is there with its value, every compare-and-swap that was acknowledged counted once, and all
members hold the same state. KVR_SEED= repeats the choices (not the timing)."""
import os
import random
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
import demo_cluster as demo  # noqa: E402

ROUNDS = 60 if demo.FULL else 12
SEED = int(os.environ.get("KVR_SEED", str(random.SystemRandom().randrange(1 << 32))))


class Writer(threading.Thread):
    """Writes own keys one after another through whichever member answers."""

    def __init__(self, cluster, name):
        super().__init__(daemon=True)
        self.cluster, self.prefix, self.stop = cluster, b"w%d/" % name, False
        self.acked, self.unknown, self.rng = {}, 0, random.Random(SEED + name)

    def run(self):
        number, client = 0, None
        while not self.stop:
            number += 1
            key, value = self.prefix + b"%06d" % number, b"%d" % self.rng.randrange(1 << 60)
            try:
                client = client or demo.Client(self.rng.choice(self.cluster.ports), 8)
                answer = client.put(key, value)
                if answer.good:
                    self.acked[key] = value
                elif answer.outcome != demo.REFUSED:
                    self.unknown += 1
            except demo.Lost:
                self.unknown += 1
                client = None
                time.sleep(0.01)


class Counter(threading.Thread):
    """Increments one number by compare-and-swap; counts how often that was acknowledged."""

    def __init__(self, cluster):
        super().__init__(daemon=True)
        self.cluster, self.stop, self.acked, self.tried = cluster, False, 0, 0
        self.rng = random.Random(SEED + 1000)

    def run(self):
        client = None
        while not self.stop:
            try:
                client = client or demo.Client(self.rng.choice(self.cluster.ports), 8)
                now = client.read(b"counter")
                if not now.good or b"counter" not in now.keys:
                    continue
                value = int(now.keys[b"counter"])
                self.tried += 1
                answer = client.call(demo.WRITE, demo.swap_op(b"counter", b"%d" % value, b"%d" % (value + 1)))
                self.acked += answer.good and answer.held
            except demo.Lost:
                client = None
                time.sleep(0.01)


def one_round(cluster, rng, number):
    victims = rng.sample(range(3), rng.choice([1, 1, 1, 2, 3]))
    leader = cluster.leader()
    if len(victims) == 1 and leader is not None and rng.random() < 0.6:
        victims = [leader]
    time.sleep(rng.uniform(0.05, 0.6))
    for victim in victims:
        cluster.kill(victim)
    time.sleep(rng.uniform(0, 0.8))
    cluster.start_all()
    cluster.wait_leader()
    print("round %d of %d: killed %s" % (number, ROUNDS, ", ".join(str(v + 1) for v in victims)), flush=True)


def check(cluster, writers, counter):
    cluster.start_all()
    leader = cluster.wait_leader()
    found = demo.until(lambda: cluster.clients[leader].read(b"w", b"x"), "a read").keys
    lost = [key for writer in writers for key, value in writer.acked.items() if found.get(key) != value]
    assert not lost, "acknowledged and lost or changed: %d, such as %r" % (len(lost), lost[:3])
    value = int(cluster.clients[leader].read(b"counter").keys[b"counter"])
    assert counter.acked <= value <= counter.tried, "counter %d, acknowledged %d, tried %d" % (
        value, counter.acked, counter.tried)
    return value


def main():
    print("seed %d: repeat with KVR_SEED=%d" % (SEED, SEED))
    rng = random.Random(SEED)
    flags = ["--election", "300ms", "--heartbeat", "50ms", "--snapshot-entries", "300"]
    with demo.Cluster(3, flags) as cluster:
        cluster.start_all()
        demo.until(lambda: cluster.clients[cluster.wait_leader()].put(b"counter", b"0").good, "the first put")
        writers, counter = [Writer(cluster, n) for n in range(4)], Counter(cluster)
        for thread in writers + [counter]:
            thread.start()
        for number in range(1, ROUNDS + 1):
            one_round(cluster, rng, number)
        for thread in writers + [counter]:
            thread.stop = True
        for thread in writers + [counter]:
            thread.join(30)
        value = check(cluster, writers, counter)
        states = cluster.wait_same()
        acked = sum(len(writer.acked) for writer in writers)
        assert acked > 0 and counter.acked > 0, "nothing was acknowledged"
        print("%d kills: %d acknowledged writes all there (%d unknown), counter %d, %d snapshots installed, "
              "one state hash" % (ROUNDS, acked, sum(writer.unknown for writer in writers), value,
                                  sum(state["installed"] for state in states)))


if __name__ == "__main__":
    main()
