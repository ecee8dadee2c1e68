#!/usr/bin/env python3
"""A cluster of processes whose members change: members_test.py KVD KVCTL [unittest's arguments]

What a person types: kvctl member add, the new member with the environment that it prints, promote, remove, update; and
all three members replaced one by one while clients write.
"""
import base64
import http.client
import itertools
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import unittest

KVD, KVCTL = (os.path.abspath(sys.argv.pop(1)) for _ in range(2))
EXIT_REMOVED = 3
ELECTION_TIMEOUT_S = 1.0  # the default


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def b64(text):
    return base64.b64encode(text.encode()).decode()


class Member:
    """One kvd process; its data stay when it ends."""

    def __init__(self, name, directory):
        self.name, self.data = name, os.path.join(directory, name)
        self.client_port, self.peer_port = free_port(), free_port()
        self.log_path = self.data + ".log"
        self.process, self.ending = None, False

    @property
    def peer_url(self):
        return f"http://127.0.0.1:{self.peer_port}"

    def start(self, cluster, state="new", *flags):
        url = f"http://127.0.0.1:{self.client_port}"
        self.ending = False
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(
                [KVD, f"--name={self.name}", f"--data-dir={self.data}", f"--listen-client-urls={url}",
                 f"--listen-peer-urls={self.peer_url}", *([f"--initial-cluster={cluster}"] if cluster else []),
                 f"--initial-cluster-state={state}", "--write-buffer-bytes=4194304", *flags],
                stdout=log, stderr=log, stdin=subprocess.DEVNULL)

    def running(self):
        return self.process is not None and self.process.poll() is None

    def end(self, number=signal.SIGKILL):
        self.ending = True
        if self.running():
            self.process.send_signal(number)
        if self.process is not None:
            return self.process.wait(timeout=30)
        return None

    def said(self):
        with open(self.log_path, encoding="utf-8") as log:
            return log.read()

    def call(self, path, body, timeout=8):
        """The answer of the JSON gateway; raises OSError or RuntimeError."""
        connection = http.client.HTTPConnection("127.0.0.1", self.client_port, timeout=timeout)
        try:
            connection.request("POST", path, json.dumps(body))
            answer = connection.getresponse()
            text = answer.read().decode()
            if answer.status != 200:
                raise RuntimeError(text)
            return json.loads(text)
        except http.client.HTTPException as error:
            raise OSError(str(error)) from error
        finally:
            connection.close()

    def serves(self):
        try:
            self.call("/v3/kv/range", {"key": b64("x")}, timeout=2)
            return True
        except (OSError, RuntimeError):
            return False

    def leads(self):
        try:
            status = self.call("/v3/maintenance/status", {}, timeout=2)
            return status.get("leader") == status["header"]["member_id"]
        except (OSError, RuntimeError):
            return False


class Writers:
    """Clients that each write one key after the other, wherever a member runs, and note what was acknowledged."""

    def __init__(self, members, count=4):
        self.members, self.acknowledged, self.failed = members, {}, []
        self.lock, self.stopped = threading.Lock(), threading.Event()
        self.last, self.longest = time.monotonic(), 0.0
        self.threads = [threading.Thread(target=self.write, args=(i,)) for i in range(count)]
        for thread in self.threads:
            thread.start()

    def write(self, number):
        count = 0
        while not self.stopped.is_set():
            key, value = f"w{number}/{count}", f"{number}.{count}"
            alive = [m for m in list(self.members) if m.running()]
            member = alive[(number + count) % len(alive)]
            count += 1
            try:
                member.call("/v3/kv/put", {"key": b64(key), "value": b64(value)}, timeout=30)
            except ConnectionRefusedError:
                continue  # it is not there yet, or no more
            except (OSError, RuntimeError) as error:
                # Who asks a member that is removed or killed meanwhile may get no answer.
                if member in self.members and not member.ending:
                    self.failed.append(f"{key} on {member.name}: {error}")
                continue
            now = time.monotonic()
            with self.lock:
                self.acknowledged[key] = value
                self.longest, self.last = max(self.longest, now - self.last), now

    def longest_gap(self):
        """Since the last call of this."""
        with self.lock:
            gap, self.longest = self.longest, 0.0
            return gap

    def stop(self):
        self.stopped.set()
        for thread in self.threads:
            thread.join()


class Members(unittest.TestCase):
    def setUp(self):
        self.directory = tempfile.mkdtemp(prefix="kvd-members-")
        self.addCleanup(shutil.rmtree, self.directory)
        self.members = []

    def member(self, name):
        member = Member(name, self.directory)
        self.addCleanup(member.end)
        return member

    def start_three(self, *flags):
        self.members = [self.member(f"m{i}") for i in (1, 2, 3)]
        cluster = ",".join(f"{m.name}={m.peer_url}" for m in self.members)
        for member in self.members:
            member.start(cluster, "new", *flags)
        self.eventually(lambda: all(m.serves() for m in self.members), "three members serve")
        self.eventually(lambda: len(self.listed()) == 3 and all(row[1] == "started" for row in self.listed().values()),
                        "all have told their names")

    def eventually(self, condition, what, seconds=60):
        deadline = time.monotonic() + seconds
        while not condition():
            self.assertLess(time.monotonic(), deadline, what + "\n" + "\n".join(m.said()[-1500:] for m in self.members))
            time.sleep(0.02)

    def kvctl(self, *args, via=None, code=0):
        ends = via or [m for m in self.members if m.running()]
        done = subprocess.run([KVCTL, "--endpoints=" + ",".join(f"127.0.0.1:{m.client_port}" for m in ends), *args],
                              capture_output=True, text=True, timeout=60, check=False)
        self.assertEqual(code, done.returncode, f"{args}: {done.stdout}{done.stderr}")
        return done.stdout if code == 0 else done.stderr

    def listed(self):
        """Rows of `member list` by id: id, status, name, peer URLs, client URLs, learner."""
        return {row.split(", ")[0]: row.split(", ") for row in self.kvctl("member", "list").splitlines()}

    def id_of(self, member):
        return next(row[0] for row in self.listed().values() if row[3] == member.peer_url)

    def add(self, name, *flags):
        """As a person does it: what `member add` prints is the new member's environment."""
        new = self.member(name)
        printed = self.kvctl("member", "add", name, f"--peer-urls={new.peer_url}", *flags)
        environment = dict(line.split("=", 1) for line in printed.splitlines() if line.startswith("ETCD_"))
        self.assertEqual(f'"{name}"', environment["ETCD_NAME"])
        self.assertEqual('"existing"', environment["ETCD_INITIAL_CLUSTER_STATE"])
        new.cluster = environment["ETCD_INITIAL_CLUSTER"].strip('"')
        return new

    def remove(self, member):
        self.members.remove(member)
        self.kvctl("member", "remove", self.id_of(member))

    def assert_equal_hashes(self):
        def hashes():
            answers = [m.call("/v3/maintenance/hashkv", {}) for m in self.members]
            return {(a["hash"], a["header"]["revision"]) for a in answers}
        self.eventually(lambda: len(hashes()) == 1, "the members' hashes are equal")

    # ---- tests

    def test_all_three_are_replaced_under_load(self):
        self.start_three()
        writers = Writers(self.members)
        self.addCleanup(writers.stop)
        self.eventually(lambda: len(writers.acknowledged) > 100, "writes go on")
        writers.longest_gap()
        gaps = []
        for old in list(self.members):
            new = self.add(f"n{len(gaps) + 4}")
            new.start(new.cluster, "existing")
            self.eventually(new.serves, "the new member serves")
            self.members.append(new)
            self.eventually(lambda: self.listed()[self.id_of(new)][1] == "started", "it has told its name")
            led = old.leads()
            self.remove(old)
            self.assertEqual(EXIT_REMOVED, old.process.wait(timeout=30))
            self.assertIn("was removed from cluster", old.said())
            count = len(writers.acknowledged)
            self.eventually(lambda: len(writers.acknowledged) > count + 100, "writes go on")
            gaps.append((writers.longest_gap(), led))
        # What an election costs when nobody announces it, for comparison.
        leader = next(m for m in self.members if m.leads())
        leader.end()
        count = len(writers.acknowledged)
        self.eventually(lambda: len(writers.acknowledged) > count + 100, "writes go on without the leader")
        election = writers.longest_gap()
        leader.start("", "existing")
        writers.stop()
        self.assertEqual([], writers.failed, "a change of leaders is a pause and no error")
        self.eventually(lambda: all(m.serves() for m in self.members), "all serve")
        for member in self.members:
            for number in range(4):
                kvs = member.call("/v3/kv/range", {"key": b64(f"w{number}/"), "range_end": b64(f"w{number}0")})["kvs"]
                there = {base64.b64decode(kv["key"]).decode(): base64.b64decode(kv["value"]).decode() for kv in kvs}
                for key, value in writers.acknowledged.items():
                    if key.startswith(f"w{number}/"):
                        self.assertEqual(value, there.get(key), f"{key} on {member.name}")
        self.assert_equal_hashes()
        print(f"\n{len(writers.acknowledged)} writes acknowledged, none lost; longest gaps while members were replaced: " +
              ", ".join(f"{gap * 1000:.0f} ms{' (the leader)' if led else ''}" for gap, led in gaps) +
              f"; when the leader was killed: {election * 1000:.0f} ms")
        # An election by silence takes up to two election timeouts.
        self.assertLess(max(gap for gap, _ in gaps), 2 * ELECTION_TIMEOUT_S)

    def test_a_learner_joins_and_is_promoted(self):
        self.start_three()
        for i in range(50):
            self.members[0].call("/v3/kv/put", {"key": b64(f"k{i}"), "value": b64("v")})
        learner = self.add("m4", "--learner")
        error = self.kvctl("member", "promote", self.id_of(learner), code=1)
        self.assertIn("can only promote a learner member which is in sync with leader", error)
        learner.start(learner.cluster, "existing")
        self.eventually(learner.serves, "the learner serves")
        self.eventually(lambda: self.listed()[self.id_of(learner)][1] == "started", "it has told its name")
        self.assertEqual("true", self.listed()[self.id_of(learner)][5])
        self.assertIn("promoted in cluster", self.kvctl("member", "promote", self.id_of(learner)))
        self.members.append(learner)
        self.assertEqual("false", self.listed()[self.id_of(learner)][5])
        self.assertEqual("50", learner.call("/v3/kv/range", {"key": b64("k"), "range_end": b64("l"), "count_only": True})["count"])
        self.assert_equal_hashes()
        # Restarted, it knows its place by its data.
        learner.end(signal.SIGTERM)
        learner.start("", "existing")
        self.eventually(learner.serves, "it serves again")

    def test_a_write_to_a_leader_that_fell_silent_is_answered_by_the_next(self):
        self.start_three()
        # Until one was on its way to a member that was stopped as the leader and is one no more.
        deadline = time.monotonic() + 120
        for turn in itertools.count():
            self.assertLess(time.monotonic(), deadline, "no write met a silent leader")
            leader = next((m for m in self.members if m.leads()), None)
            if leader is None:
                continue
            other = next(m for m in self.members if m is not leader)
            term = int(other.call("/v3/maintenance/status", {})["raftTerm"])
            leader.process.send_signal(signal.SIGSTOP)
            answer = other.call("/v3/kv/put", {"key": b64(f"a{turn}"), "value": b64("1"), "prev_kv": True}, timeout=30)
            leader.process.send_signal(signal.SIGCONT)
            self.assertNotIn("prev_kv", answer, "it took effect twice")
            kvs = other.call("/v3/kv/range", {"key": b64(f"a{turn}")})["kvs"]
            self.assertEqual("1", kvs[0]["version"], "it took effect twice")
            if int(answer["header"]["raft_term"]) > term:
                break
        # What was sent to the silent one may reach it now, and comes into nobody's log.
        self.eventually(leader.serves, "the silent one is back")
        self.assertEqual("1", leader.call("/v3/kv/range", {"key": b64(f"a{turn}")})["kvs"][0]["version"])
        self.assert_equal_hashes()

    def test_who_was_not_added_is_told_how(self):
        self.start_three()
        stranger = self.member("m4")
        cluster = ",".join(f"{m.name}={m.peer_url}" for m in [*self.members, stranger])
        stranger.start(cluster, "existing")
        self.assertEqual(1, stranger.process.wait(timeout=30))
        self.assertIn(f"add this one first with `kvctl member add m4 --peer-urls={stranger.peer_url}`", stranger.said())
        # One that has lost its data can't come back under its id.
        lost = self.members[2]
        lost.end()
        shutil.rmtree(lost.data)
        lost.start(",".join(f"{m.name}={m.peer_url}" for m in self.members), "existing")
        self.assertEqual(1, lost.process.wait(timeout=30))
        self.assertIn("a member that lost its data can't come back under its id", lost.said())

    def test_a_removed_member_says_so_at_every_start(self):
        self.start_three()
        gone = self.members[0]
        self.remove(gone)
        self.assertEqual(EXIT_REMOVED, gone.process.wait(timeout=30))
        gone.start("", "existing")
        self.assertEqual(EXIT_REMOVED, gone.process.wait(timeout=30))
        self.assertEqual(2, gone.said().count("kvctl member add) and start it with --initial-cluster-state=existing\n"))

    def test_one_is_forced_to_be_a_cluster_and_grows_again(self):
        self.start_three()
        for i in range(50):
            self.members[0].call("/v3/kv/put", {"key": b64(f"k{i}"), "value": b64("v")})
        for member in self.members:
            member.end()
        survivor = self.members[1]
        survivor.start("", "new", "--force-new-cluster")
        self.members = [survivor]
        self.eventually(survivor.serves, "it serves alone")
        self.assertEqual(1, len(self.listed()))
        survivor.end(signal.SIGTERM)
        survivor.start("", "new")
        self.eventually(survivor.serves, "it serves alone without the flag, too")
        for name in ("n1", "n2"):
            new = self.add(name)
            new.start(new.cluster, "existing")
            self.eventually(new.serves, "the new member serves")
            self.members.append(new)
            self.eventually(lambda: self.listed()[self.id_of(new)][1] == "started", "it has told its name")
        for member in self.members:
            self.assertEqual("50", member.call("/v3/kv/range", {"key": b64("k"), "range_end": b64("l"), "count_only": True})["count"])
        self.assert_equal_hashes()


if __name__ == "__main__":
    unittest.main()
