#!/usr/bin/env python3
"""Backups from end to end: kvctl, etcdctl and kvd as they are installed, on files that get damaged and processes that are
killed.

    backup_test.py KVD KVCTL [--slow-disk SLOW_DISK] [unittest's arguments]

SLOW_DISK is slow_disk.cc, preloaded where memory is looked at.
"""
import base64
import http.client
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import unittest
import urllib.request

import golden

KVD = KVCTL = SLOW_DISK = None
SECONDS = 60  # for what must come


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def until(condition, what):
    deadline = time.monotonic() + SECONDS
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"{what}: waited for {SECONDS} s")
        time.sleep(0.02)


class Member:
    def __init__(self, directory, name, cluster=None, flags=()):
        self.name, self.data_dir = name, os.path.join(directory, name)
        self.log_path = self.data_dir + ".log"
        self.port, self.peer_port = free_port(), cluster[name] if cluster else free_port()
        cluster = cluster or {name: self.peer_port}
        self.peer_url = f"http://127.0.0.1:{self.peer_port}"
        self.initial_cluster = ",".join(f"{n}=http://127.0.0.1:{p}" for n, p in cluster.items())
        self.flags, self.process = list(flags), None

    @property
    def endpoint(self):
        return f"127.0.0.1:{self.port}"

    def start(self):
        client = f"http://{self.endpoint}"
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(
                [KVD, "--name", self.name, "--data-dir", self.data_dir, "--listen-client-urls", client,
                 "--advertise-client-urls", client, "--listen-peer-urls", self.peer_url,
                 "--initial-advertise-peer-urls", self.peer_url, "--initial-cluster", self.initial_cluster,
                 "--election-timeout", "500", "--heartbeat-interval", "50", *self.flags], stderr=log, stdout=log)

    def ready(self):
        if self.process.poll() is not None:
            raise AssertionError(f"{self.name} ended: " + open(self.log_path).read()[-2000:])
        try:
            return self.call("kv/range", {"key": encode("x")}) is not None
        except (OSError, http.client.HTTPException, AssertionError):
            return False

    def stop(self, how=signal.SIGTERM):
        if self.process and self.process.poll() is None:
            self.process.send_signal(how)
            self.process.wait(SECONDS)

    def call(self, path, body):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=SECONDS)
        try:
            connection.request("POST", "/v3/" + path, json.dumps(body))
            answer = connection.getresponse()
            text = answer.read()
            if answer.status != 200:
                raise AssertionError(f"{path}: {answer.status} {text}")
            return json.loads(text)
        finally:
            connection.close()

    def put(self, key, value, **more):
        return int(self.call("kv/put", {"key": encode(key), "value": encode(value), **more})["header"]["revision"])

    def put_many(self, count, value_bytes):
        """`count` keys, so many in a transaction as fit; values that don't compress."""
        each = max(1, min(100, 1_000_000 // value_bytes))
        for first in range(0, count, each):
            self.call("kv/txn", {"success": [
                {"requestPut": {"key": encode(f"big/{i}"),
                                "value": base64.b64encode(os.urandom(value_bytes)).decode()}}
                for i in range(first, min(first + each, count))]})


def encode(text):
    return base64.b64encode(text.encode()).decode()


def kvctl(*args, endpoint=None, timeout=SECONDS * 3):
    command = [KVCTL] + (["--endpoints", endpoint] if endpoint else []) + list(args)
    return subprocess.run(command, capture_output=True, text=True, timeout=timeout)


class CutOff(threading.Thread):
    """A way to a member that breaks when so many bytes have come back."""

    def __init__(self, port, bytes_max):
        super().__init__(daemon=True)
        self.target, self.left = port, bytes_max
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.start()

    def run(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            server = socket.create_connection(("127.0.0.1", self.target))
            threading.Thread(target=self.copy, args=(client, server, False), daemon=True).start()
            threading.Thread(target=self.copy, args=(server, client, True), daemon=True).start()

    def copy(self, source, target, counted):
        try:
            while data := source.recv(65536):
                if counted:
                    self.left -= len(data)
                    if self.left < 0:
                        break
                target.sendall(data)
        except OSError:
            pass
        for s in (source, target):
            try:
                s.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass


class BackupTest(unittest.TestCase):
    def setUp(self):
        self.directory = tempfile.mkdtemp(prefix="kvd-backup-")
        self.members = []

    def tearDown(self):
        for member in self.members:
            member.stop(signal.SIGKILL)
        shutil.rmtree(self.directory, ignore_errors=True)

    def path(self, name):
        return os.path.join(self.directory, name)

    def member(self, name="old", cluster=None, start=True, flags=()):
        member = Member(self.directory, name, cluster, flags)
        self.members.append(member)
        if start:
            member.start()
            until(member.ready, "the member serves")
        return member

    def ok(self, done):
        self.assertEqual(0, done.returncode, done.stderr)
        return done.stdout

    def save(self, member, name="backup.db"):
        self.ok(kvctl("snapshot", "save", self.path(name), endpoint=member.endpoint))
        return self.path(name)

    def restore(self, backup, member, *flags):
        return kvctl("snapshot", "restore", backup, "--name", member.name, "--data-dir", member.data_dir,
                     "--initial-cluster", member.initial_cluster, "--initial-advertise-peer-urls", member.peer_url,
                     *flags)

    def hash(self, member, revision):
        return json.loads(self.ok(kvctl("endpoint", "hashkv", "--rev", str(revision), "-w", "json",
                                        endpoint=member.endpoint)))[0]["HashKV"]["hash"]

    def test_saved_under_load_and_restored_into_three_members(self):
        old = self.member()
        lease = old.call("lease/grant", {"TTL": "3600"})["ID"]
        old.put("leased", "v", lease=lease)
        over = threading.Event()

        def write():
            i = 0
            while not over.is_set():
                old.put(f"k{i % 50}", str(i))
                i += 1
        writer = threading.Thread(target=write)
        writer.start()
        try:
            until(lambda: int(old.call("kv/range", {"key": encode("k1")})["header"]["revision"]) > 100, "writes")
            saved = kvctl("snapshot", "save", self.path("backup.db"), endpoint=old.endpoint)
        finally:
            over.set()
            writer.join()
        self.assertEqual(f"Snapshot saved at {self.path('backup.db')}\nServer version 3.6.0\n", self.ok(saved))
        status = json.loads(self.ok(kvctl("snapshot", "status", self.path("backup.db"), "-w", "json")))
        self.assertGreater(status["revision"], 100)
        self.assertEqual(51, status["totalKey"])
        self.assertEqual("3.6.0", status["version"])
        self.assertEqual(os.path.getsize(self.path("backup.db")), status["totalSize"])
        before = self.hash(old, status["revision"])
        offline = json.loads(self.ok(kvctl("hashkv", self.path("backup.db"), "-w", "json")))
        self.assertEqual((before, status["revision"]), (offline["hash"], offline["hashRevision"]))
        old.stop()

        ports = {name: free_port() for name in ("n1", "n2", "n3")}
        new = [self.member(name, ports, start=False) for name in ports]
        for member in new:
            self.ok(self.restore(self.path("backup.db"), member))
        for member in new:
            member.start()
        for member in new:
            until(member.ready, "the new cluster serves")
            self.assertEqual(before, self.hash(member, status["revision"]))
        self.assertEqual(status["revision"] + 1, new[0].put("after", "v"))
        lives = new[1].call("lease/timetolive", {"ID": lease, "keys": True})
        self.assertEqual([encode("leased")], lives["keys"])
        self.assertGreater(int(lives["TTL"]), 3000)

    def test_users_are_restored_and_a_member_joins_the_restored_cluster(self):
        old = self.member(flags=["--bcrypt-cost=4"])
        for command in ("user add root:secret", "user grant-role root root", "user add alice:hers", "role add of-a",
                        "role grant-permission of-a readwrite a/ --prefix", "user grant-role alice of-a", "put b/1 v",
                        "auth enable"):
            self.ok(kvctl(*command.split(), endpoint=old.endpoint))
        root, alice = ("--user", "root:secret"), ("--user", "alice:hers")

        def users_are_asked(member):
            self.assertEqual("OK\n", self.ok(kvctl(*alice, "put", "a/1", member.name, endpoint=member.endpoint)))
            for who, why in ((alice, "permission denied"), ((), "user name is empty"),
                             (("--user", "alice:wrong"), "invalid user ID or password")):
                done = kvctl(*who, "put", "b/1", "x", endpoint=member.endpoint)
                self.assertNotEqual(0, done.returncode)
                self.assertIn(why, done.stderr)
            self.assertEqual("b/1\nv\n", self.ok(kvctl(*root, "get", "b/1", endpoint=member.endpoint)))

        def serves(member):
            return kvctl(*root, "get", "b/1", endpoint=member.endpoint).stdout == "b/1\nv\n"

        users_are_asked(old)
        refused = kvctl(*alice, "snapshot", "save", self.path("backup.db"), endpoint=old.endpoint)
        self.assertIn("permission denied", refused.stderr)
        self.ok(kvctl(*root, "snapshot", "save", self.path("backup.db"), endpoint=old.endpoint))
        old.stop()

        ports = {name: free_port() for name in ("n1", "n2")}
        first = self.member("n1", {"n1": ports["n1"]}, start=False, flags=["--bcrypt-cost=4"])
        self.ok(self.restore(self.path("backup.db"), first))
        first.start()
        until(lambda: serves(first), "the restored member serves")
        users_are_asked(first)
        # It has nothing of the restored state in its log, and so gets it as a snapshot.
        second = self.member("n2", ports, start=False, flags=["--bcrypt-cost=4", "--initial-cluster-state=existing"])
        added = self.ok(kvctl(*root, "member", "add", "n2", "--learner", "--peer-urls", second.peer_url, "-w", "json",
                              endpoint=first.endpoint))
        second.start()
        number = str(json.loads(added)["member"]["ID"])
        until(lambda: kvctl(*root, "member", "promote", f"{int(number):x}", endpoint=first.endpoint).returncode == 0,
              "the new member may vote")
        until(lambda: serves(second), "the new member serves")
        users_are_asked(second)
        revision = json.loads(self.ok(kvctl(*root, "get", "b/1", "-w", "json", endpoint=first.endpoint)))
        self.assertEqual(*(self.ok(kvctl(*root, "endpoint", "hashkv", "--rev", str(revision["header"]["revision"]),
                                         endpoint=m.endpoint)).split(", ")[1] for m in (first, second)))

    def test_killed_members_directory_has_all_that_was_acknowledged(self):
        member = self.member()
        for i in range(200):
            revision = member.put(f"k{i % 10}", str(i))
        running = kvctl("snapshot", "save", "--data-dir", member.data_dir, self.path("cold.db"))
        self.assertEqual(5, running.returncode)
        self.assertIn("is in use by another process", running.stderr)
        self.assertFalse(os.path.exists(self.path("cold.db.part")))
        member.stop(signal.SIGKILL)
        self.ok(kvctl("snapshot", "save", "--data-dir", member.data_dir, self.path("cold.db")))
        status = json.loads(self.ok(kvctl("snapshot", "status", self.path("cold.db"), "-w", "json")))
        self.assertEqual((revision, 10), (status["revision"], status["totalKey"]))
        of_directory = json.loads(self.ok(kvctl("snapshot", "status", member.data_dir, "-w", "json")))
        self.assertEqual((revision, 10), (of_directory["revision"], of_directory["totalKey"]))
        self.assertEqual(self.ok(kvctl("hashkv", self.path("cold.db"))), self.ok(kvctl("hashkv", member.data_dir)))
        self.assertFalse(os.path.exists(os.path.join(member.data_dir, "backup")))
        self.ok(kvctl("defrag", "--data-dir", member.data_dir))
        member.start()
        until(member.ready, "it is still a member")
        self.assertEqual(revision + 1, member.put("after", "v"))

    def test_old_watches_see_that_the_revision_was_raised(self):
        old = self.member()
        for i in range(10):
            revision = old.put("k", str(i))
        backup = self.save(old)
        old.stop()
        new = self.member("n1", start=False)
        refused = self.restore(backup, new, "--bump-revision", "1000")
        self.assertEqual(128, refused.returncode)
        self.assertIn("Error: --mark-compacted required if --revision-bump > 0", refused.stderr)
        self.ok(self.restore(backup, new, "--bump-revision", "1000", "--mark-compacted"))
        new.start()
        until(new.ready, "the new member serves")
        watch = kvctl("watch", "k", "--rev", str(revision), endpoint=new.endpoint)
        self.assertEqual(5, watch.returncode)
        self.assertIn("required revision has been compacted", watch.stdout + watch.stderr)
        self.assertEqual(revision + 1001, new.put("k", "new"))

    @unittest.skipUnless(shutil.which("etcd") and shutil.which("etcdctl"), "Debian's etcd is not installed")
    def test_etcd_which_sends_small_pieces_is_read_ahead_of(self):
        client, peer = free_port(), free_port()
        with golden.server("etcd", client, peer, peer):
            etcd = Member(self.directory, "etcd")
            etcd.port = client
            etcd.put_many(30, 1_000_000)
            self.ok(kvctl("snapshot", "save", self.path("etcd.db"), endpoint=etcd.endpoint))
            with urllib.request.urlopen(f"http://{etcd.endpoint}/metrics", timeout=SECONDS) as answer:
                calls = re.search(r'grpc_server_started_total\{grpc_method="Snapshot".*\} (\d+)', answer.read().decode())
            self.assertEqual("2", calls[1])
        # etcd's own tool looks through it.
        seen = subprocess.run(["etcdctl", "snapshot", "status", self.path("etcd.db"), "-w", "json"], capture_output=True,
                              text=True, env={**os.environ, "ETCDCTL_API": "3"}, timeout=SECONDS)
        self.assertEqual(os.path.getsize(self.path("etcd.db")) - 32, json.loads(self.ok(seen))["totalSize"])

    @unittest.skipUnless(shutil.which("etcdctl"), "Debian's etcdctl is not installed")
    def test_etcdctl_saves_and_defragments(self):
        member = self.member()
        for i in range(100):
            member.put(f"k{i % 7}", str(i))

        def etcdctl(*args):
            return subprocess.run(["etcdctl", "--endpoints", member.endpoint, *args], capture_output=True, text=True,
                                  env={**os.environ, "ETCDCTL_API": "3"}, timeout=SECONDS)
        self.assertIn("Snapshot saved at", self.ok(etcdctl("snapshot", "save", self.path("etcdctl.db"))))
        self.assertEqual("Finished defragmenting etcd member[" + member.endpoint + "]\n", self.ok(etcdctl("defrag")))
        status = json.loads(self.ok(kvctl("snapshot", "status", self.path("etcdctl.db"), "-w", "json")))
        self.assertEqual((101, 7), (status["revision"], status["totalKey"]))
        new = self.member("n1", start=False)
        self.ok(self.restore(self.path("etcdctl.db"), new))
        new.start()
        until(new.ready, "the restored member serves")
        self.assertEqual(102, new.put("after", "v"))

    def test_defrag_prints_what_etcdctl_prints(self):
        member = self.member()
        member.put("k", "v")
        done = kvctl("defrag", endpoint=member.endpoint)
        self.assertRegex(self.ok(done),
                         rf"^Finished defragmenting etcd member\[{re.escape(member.endpoint)}\]\. took [0-9.]+(ms|s|µs)\n$")
        dead = kvctl("defrag", "--dial-timeout", "200ms", endpoint="127.0.0.1:1")
        self.assertEqual(1, dead.returncode)
        self.assertIn("Failed to defragment etcd member[127.0.0.1:1]. took ", dead.stderr)

    def test_status_is_printed_in_four_formats(self):
        member = self.member()
        member.put("k", "v")
        backup = self.save(member)
        fields = self.ok(kvctl("snapshot", "status", backup, "-w", "fields"))
        number = int(re.match(r'"Hash" : (\d+)\n"Revision" : 2\n"Keys" : 1\n"Size" : \d+\n"Version" : 3\.6\.0\n$',
                              fields).group(1))
        self.assertRegex(self.ok(kvctl("snapshot", "status", backup)), rf"^{number:x}, 2, 1, \d+ kB, 3\.6\.0\n$")
        table = self.ok(kvctl("snapshot", "status", backup, "-w", "table"))
        self.assertRegex(table, r"│ +HASH +│ REVISION │ TOTAL KEYS │ TOTAL SIZE │ VERSION │")
        refused = kvctl("snapshot", "status", backup, "-w", "protobuf")
        self.assertEqual(4, refused.returncode)
        self.assertEqual(0, os.stat(backup).st_mode & 0o077)

    def test_damage_is_found_and_its_place_is_named(self):
        member = self.member()
        member.put_many(20, 100_000)
        backup = self.save(member)
        size = os.path.getsize(backup)
        with open(backup, "r+b") as file:
            file.seek(size // 2)
            byte = file.read(1)
            file.seek(size // 2)
            file.write(bytes([byte[0] ^ 4]))
        new = self.member("n1", start=False)
        for done in (kvctl("snapshot", "status", backup), self.restore(backup, new),
                     self.restore(backup, new, "--skip-hash-check")):
            self.assertEqual(1, done.returncode)
            at = int(re.search(r"is damaged at offset (\d+): the \d+ bytes of [0-9A-Za-z.-]+ that begin here",
                               done.stderr).group(1))
            self.assertTrue(at <= size // 2 < at + (1 << 20), at)
        self.assertFalse(os.path.exists(new.data_dir))
        os.truncate(backup, size - 100)
        self.assertIn(f"damaged at offset {size - 100}: the file ends here", kvctl("snapshot", "status", backup).stderr)

    def test_broken_connection_leaves_nothing(self):
        member = self.member()
        member.put_many(40, 100_000)
        way = CutOff(member.port, 3_000_000)
        done = kvctl("snapshot", "save", self.path("backup.db"), endpoint=f"127.0.0.1:{way.port}")
        self.assertEqual(5, done.returncode, done.stderr)
        self.assertRegex(done.stderr, r"the stream ended after \d+ bytes, with \d+ to come")
        self.assertEqual([], [name for name in os.listdir(self.directory) if "backup.db" in name])
        until(lambda: not os.path.exists(os.path.join(member.data_dir, "backup", "1")), "the checkpoint goes")

    def test_one_endpoint_only(self):
        done = kvctl("snapshot", "save", self.path("backup.db"), endpoint="127.0.0.1:1,127.0.0.1:2")
        self.assertEqual(5, done.returncode)
        self.assertIn("Error: snapshot must be requested to one selected node, not multiple [127.0.0.1:1 127.0.0.1:2]",
                      done.stderr)
        self.assertEqual(128, kvctl("snapshot", "save").returncode)
        self.assertEqual(128, kvctl("snapshot", "status").returncode)
        self.assertEqual(128, kvctl("snapshot", "restore", "a", "b").returncode)

    def test_killed_restore_is_seen_and_repeated(self):
        member = self.member()
        member.put_many(300, 100_000)
        backup = self.save(member)
        member.stop()
        new = self.member("n1", start=False)
        half = new.data_dir + ".restoring"
        killed = 0
        for delay in (0, 0.02, 0.05, 0.1, 0.2):
            process = subprocess.Popen(
                [KVCTL, "snapshot", "restore", backup, "--name", "n1", "--data-dir", new.data_dir, "--initial-cluster",
                 new.initial_cluster, "--initial-advertise-peer-urls", new.peer_url], stderr=subprocess.DEVNULL)
            until(lambda: os.path.exists(half) or process.poll() is not None, "the restore begins")
            time.sleep(delay)
            process.kill()
            process.wait()
            if os.path.exists(new.data_dir):
                break
            killed += 1
            new.start()
            new.process.wait(SECONDS)
            with open(new.log_path) as log:
                self.assertIn("begun and not finished", log.read())
            self.assertFalse(os.path.exists(new.data_dir))
        self.assertGreater(killed, 0)
        if not os.path.exists(new.data_dir):
            self.ok(self.restore(backup, new))
        self.assertFalse(os.path.exists(half))
        new.start()
        until(new.ready, "the restored member serves")

    def test_memory_does_not_grow_with_the_backup(self):
        """Neither side's, also when the disk is slower than the network."""
        mb = 1000 if os.environ.get("KVD_TEST_LONG") else 150
        member = self.member()

        def peak():
            with open(f"/proc/{member.process.pid}/status") as file:
                return int(re.search(r"VmHWM:\s*(\d+)", file.read())[1]) // 1024

        def save():
            """(the backup's MB, kvctl's peak, by how much kvd's grew)"""
            with open(f"/proc/{member.process.pid}/clear_refs", "w") as file:
                file.write("5")
            before = peak()
            process = subprocess.Popen([KVCTL, "--endpoints", member.endpoint, "snapshot", "save", self.path("big.db")],
                                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                                       env={**os.environ, **({"LD_PRELOAD": SLOW_DISK} if SLOW_DISK else {})})
            _, code, usage = os.wait4(process.pid, 0)
            process.returncode = code
            self.assertEqual(0, code)
            size, ours, grown = os.path.getsize(self.path("big.db")), usage.ru_maxrss // 1024, peak() - before
            print(f"backup {size // 1_000_000} MB: kvctl took {ours} MB at most, kvd {grown} MB more than before",
                  file=sys.stderr)
            return size // 1_000_000, ours, grown

        member.put_many(8, 1_000_000)
        small, ours_small, _ = save()
        member.put_many(mb, 1_000_000)
        large, ours_large, grown = save()
        self.assertGreaterEqual(large, small + mb)
        with open(member.log_path) as log:
            self.assertEqual(2, log.read().count("sending a backup"))  # no second time to read ahead
        self.assertLess(grown, 60)
        if SLOW_DISK:
            self.assertLess(ours_large, ours_small + 12)


if __name__ == "__main__":
    KVD, KVCTL = (os.path.abspath(path) for path in sys.argv[1:3])
    del sys.argv[1:3]
    if sys.argv[1:2] == ["--slow-disk"]:
        SLOW_DISK = os.path.abspath(sys.argv[2])
        del sys.argv[1:3]
    unittest.main(verbosity=2)
