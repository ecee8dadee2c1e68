#!/usr/bin/env python3
"""Runs the programs of docs/examples against a server and compares what they print.

    examples.py --server etcd|PATH watch=EXAMPLE_WATCH lease=EXAMPLE_LEASE ...
"""

import argparse
import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request

TIMEOUT_S = 30


def free_ports(count):
    sockets = [socket.socket() for _ in range(count)]
    for s in sockets:
        s.bind(("127.0.0.1", 0))
    ports = [s.getsockname()[1] for s in sockets]
    for s in sockets:
        s.close()
    return ports


@contextlib.contextmanager
def server(binary):
    directory = tempfile.mkdtemp(prefix="client_examples.")
    client_port, peer_port = free_ports(2)
    client, peer = f"http://127.0.0.1:{client_port}", f"http://127.0.0.1:{peer_port}"
    with open(os.path.join(directory, "log"), "wb") as log:
        process = subprocess.Popen(
            [binary, "--name=m1", f"--data-dir={directory}/data", f"--listen-client-urls={client}",
             f"--advertise-client-urls={client}", f"--listen-peer-urls={peer}",
             f"--initial-advertise-peer-urls={peer}", f"--initial-cluster=m1={peer}"],
            stdout=log, stderr=log, stdin=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + TIMEOUT_S
        while True:
            with contextlib.suppress(OSError):
                with urllib.request.urlopen(client + "/health", timeout=5) as answer:
                    if json.load(answer).get("health") in ("true", True):
                        break
            if process.poll() is not None or time.monotonic() > deadline:
                with open(os.path.join(directory, "log"), encoding="utf-8", errors="replace") as log:
                    sys.exit(f"{binary} does not serve:\n" + log.read())
            time.sleep(0.05)
        yield f"127.0.0.1:{client_port}"
    finally:
        process.kill()
        process.wait()
        shutil.rmtree(directory, ignore_errors=True)


def etcdctl(endpoint, *args):
    subprocess.run(["etcdctl", "--endpoints", endpoint, *args], check=True, stdout=subprocess.DEVNULL,
                   timeout=TIMEOUT_S, env={**os.environ, "ETCDCTL_API": "3"})


def run(*argv):
    return subprocess.run(argv, check=True, capture_output=True, text=True, timeout=TIMEOUT_S).stdout


def expect(name, got, wanted):
    if got != wanted:
        sys.exit(f"{name} printed {got!r}, not {wanted!r}")
    print(f"{name}: as documented")


def watch(binary, endpoint):
    etcdctl(endpoint, "put", "/services/a", "1")
    with subprocess.Popen([binary, endpoint, "/services/"], stdout=subprocess.PIPE, text=True) as process:
        first = process.stdout.readline()  # it has read the state: what comes now is seen as changes
        etcdctl(endpoint, "put", "/services/b", "2")
        etcdctl(endpoint, "del", "/services/a")
        etcdctl(endpoint, "put", "/services/end", "")
        rest, _ = process.communicate(timeout=TIMEOUT_S)
        if process.returncode != 0:
            sys.exit(f"{binary} ended with {process.returncode}")
        return first + rest


# What each program is given behind the endpoint, and what it prints. Those that bring their own server get nothing.
PRINTS = {
    "keys": ([], "/config/mail/port = 587\n/config/mail/tls = on\nthe port was 25\n2 keys deleted\n"),
    "session": (["worker-1"], "listed: 1\nlost: what was ours may be somebody else's now\nlisted: 0\n"),
    "range": (["/fruit/"], "/fruit/apple = ripe\n/fruit/cherry = ripe\n/fruit/plum = ripe\n3 keys on 2 pages\n"),
    "namespace": ([], "owner is acme\nowner is umbrella\n/tenants/acme/owner\n/tenants/acme/theme\n"
                      "/tenants/umbrella/owner\n/tenants/umbrella/theme\n"),
    "async": ([], "3 puts are done\nfruit/plum = ripe\n"),
    "c": ([], "nobody was here\nvisits: 1\n"),
    "cache": (["/config/web/"], "log_level is info\nlog_level is debug\n"),
    "registry": (["services/mail", "10.0.0.7:25"], "mail is at 10.0.0.7:25 (zone a)\nnobody any more\n"),
    "stm": (["alice", "bob", "10"], "alice 90\nbob 110\n"),
    "lease": ([], "registered for 10 s at a time\nkeys left: 0\n"),
    "mutex": ([], "locked\nwritten under the lock\nunlocked\n"),
    "election": (["10.0.0.7:8080"], "leader: 10.0.0.7:8080\nresigned\n"),
    "semaphore": (["host-17"], "reboots: host-17\n2 may, 0 wait\ndone\n"),
    "server": (None, "m1 has hello\nstopped\n"),
}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--server", required=True)
    parser.add_argument("examples", nargs="+")
    options = parser.parse_args()
    with server(options.server) as endpoint:
        for name, binary in (example.split("=", 1) for example in options.examples):
            if name == "watch":
                got = watch(binary, endpoint)
                expect("watch", got, "is /services/a = 1\nnow /services/b = 2\ngone /services/a\n")
                continue
            arguments, wanted = PRINTS[name]
            expect(name, run(binary, *([] if arguments is None else [endpoint, *arguments])), wanted)


if __name__ == "__main__":
    main()
