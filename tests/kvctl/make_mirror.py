#!/usr/bin/env python3
"""kvctl make-mirror between two clusters: from kvd to kvd with a prefix, and, where Debian's etcd is installed, from
etcd to kvd, as somebody would move."""

import argparse
import json
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time


def free_ports(n):
    held = [socket.create_server(("127.0.0.1", 0)) for _ in range(n)]
    ports = [s.getsockname()[1] for s in held]
    for s in held:
        s.close()
    return ports


class Bench:
    def __init__(self, folder, kvctl):
        self.folder, self.kvctl, self.running = folder, kvctl, []

    def start(self, args, name):
        out = open(self.folder / f"{name}.log", "w")
        self.running.append(subprocess.Popen(args, stdout=out, stderr=out, text=True))
        return self.running[-1]

    def server(self, program, name):
        client, peer = free_ports(2)
        url = f"http://127.0.0.1:{client}"
        peer_url = f"http://127.0.0.1:{peer}"
        self.start([program, f"--name={name}", f"--data-dir={self.folder}/{name}", f"--listen-client-urls={url}",
                    f"--advertise-client-urls={url}", f"--listen-peer-urls={peer_url}",
                    f"--initial-advertise-peer-urls={peer_url}", f"--initial-cluster={name}={peer_url}"], name)
        endpoint = f"127.0.0.1:{client}"
        self.wait_for(f"{name} to be healthy", lambda: self.run(endpoint, "endpoint", "health").returncode == 0)
        return endpoint

    def run(self, endpoint, *args):
        return subprocess.run([self.kvctl, "--endpoints", endpoint, *args], text=True, capture_output=True, timeout=60)

    def ok(self, endpoint, *args, text=None):
        done = subprocess.run([self.kvctl, "--endpoints", endpoint, *args], text=True, input=text,
                              capture_output=True, timeout=60)
        assert done.returncode == 0, (args, done.stderr)
        return done.stdout

    def keys(self, endpoint):
        """key -> value of everything."""
        answer = json.loads(self.ok(endpoint, "get", "", "--from-key", "-w", "json"))
        return {kv["key"]: kv.get("value", "") for kv in answer.get("kvs", [])}

    def revision(self, endpoint):
        return json.loads(self.ok(endpoint, "get", "x", "-w", "json"))["header"]["revision"]

    def wait_for(self, what, condition, seconds=60):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if condition():
                return
            for process in self.running:
                assert process.poll() is None, f"{process.args[:3]} has ended"
            time.sleep(0.1)
        raise AssertionError(f"waited {seconds} s for {what}")

    def end(self, process):
        self.running.remove(process)
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=20)

    def stop(self):
        for process in self.running:
            process.kill()
            process.wait()


def mirrors_everything_and_goes_on(bench, source, destination):
    # More than a page of 1,000 keys.
    for begin in range(0, 1200, 100):
        puts = "".join(f"put /before/{i} {i}\n" for i in range(begin, begin + 100))
        bench.ok(source, "txn", text=f"\n{puts}\n\n")
    bench.ok(destination, "put", "/own", "stays")
    mirror = bench.start([bench.kvctl, "--endpoints", source, "make-mirror", destination], "mirror")
    want = bench.keys(source)
    bench.wait_for("what there was", lambda: want.items() <= bench.keys(destination).items())
    bench.ok(source, "put", "/after", "1")
    bench.ok(source, "del", "/before/0")
    bench.ok(source, "txn", text="\nput /t/1 a\nput /t/2 b\ndel /before/1\n\n\n")
    bench.wait_for("what came after", lambda: len(bench.keys(destination)) == len(bench.keys(source)) + 1
                   and bench.keys(source).items() <= bench.keys(destination).items())
    copy = bench.keys(destination)
    for key, value in bench.keys(source).items():
        assert copy.pop(key) == value, key
    assert len(copy) == 1, f"the destination has {copy} besides"
    bench.end(mirror)


def changes_prefixes_and_splits(bench, source, destination):
    bench.ok(source, "put", "/p/one", "1")
    bench.ok(source, "put", "/q/other", "x")
    mirror = bench.start([bench.kvctl, "--endpoints", source, "make-mirror", "--prefix", "/p/", "--dest-prefix", "/r/",
                          "--max-txn-ops", "2", destination], "mirror-prefix")
    bench.wait_for("the first key", lambda: bench.ok(destination, "get", "/r/one", "--print-value-only") == "1\n")
    before = bench.revision(destination)
    bench.ok(source, "txn", text="\n" + "".join(f"put /p/{i} v\n" for i in range(5)) + "\n\n")
    bench.wait_for("the transaction", lambda: bench.ok(destination, "get", "/r/4", "--print-value-only") == "v\n")
    assert bench.revision(destination) == before + 3, "five changes at two a transaction are three revisions"
    assert bench.ok(destination, "get", "/q/other") == "" == bench.ok(destination, "get", "/r/other")
    # From a revision on: what was before is not copied.
    next_revision = bench.revision(source) + 1
    bench.end(mirror)
    bench.ok(source, "put", "/p/late", "2")
    mirror = bench.start([bench.kvctl, "--endpoints", source, "make-mirror", "--prefix", "/p/", "--no-dest-prefix",
                          "--rev", str(next_revision), destination], "mirror-rev")
    bench.wait_for("the late key", lambda: bench.ok(destination, "get", "late", "--print-value-only") == "2\n")
    assert bench.ok(destination, "get", "one") == "", "what was before --rev was copied"
    bench.end(mirror)


def refuses(bench, source):
    done = bench.run(source, "make-mirror")
    assert (done.returncode, done.stderr.splitlines()[0]) == (
        128, "Error: make-mirror takes one destination argument"), done
    done = bench.run(source, "make-mirror", "--dest-prefix=a", "--no-dest-prefix", "127.0.0.1:1")
    assert (done.returncode, done.stderr.splitlines()[0]) == (
        128, "Error: `--dest-prefix` and `--no-dest-prefix` cannot be set at the same time, choose one"), done
    bench.ok(source, "compaction", str(bench.revision(source)))
    done = bench.run(source, "make-mirror", "--rev=2", source)
    assert done.returncode == 1 and "required revision has been compacted" in done.stderr, done


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--kvd", required=True)
    parser.add_argument("--kvctl", required=True)
    args = parser.parse_args()
    passed = 0
    with tempfile.TemporaryDirectory() as name:
        bench = Bench(pathlib.Path(name), args.kvctl)
        try:
            one, two = bench.server(args.kvd, "one"), bench.server(args.kvd, "two")
            mirrors_everything_and_goes_on(bench, one, two)
            changes_prefixes_and_splits(bench, one, two)
            refuses(bench, one)
            passed += 3
            if etcd := shutil.which("etcd"):
                mirrors_everything_and_goes_on(bench, bench.server(etcd, "etcd"), bench.server(args.kvd, "three"))
                passed += 1
        except BaseException:
            for log in sorted(bench.folder.glob("*.log")):
                print(f"--- {log.name}", *log.read_text().splitlines()[-8:], sep="\n")
            raise
        finally:
            bench.stop()
    print(f"{passed} passed, 0 failed")


if __name__ == "__main__":
    sys.exit(main())
