#!/usr/bin/env python3
"""Runs the same command lines through etcdctl and kvctl and compares what they print, byte for byte.

    golden.py --kvctl PATH --server etcd [--etcdctl etcdctl] [--only TEXT] [--verbose]
    golden.py --kvctl PATH --canned PATH ...

All commands run in one order with etcdctl on a fresh server, and meanwhile with kvctl on another with the same name and
peer URL, and so the same ids: revisions, ids and terms must come out equal, and nothing of them is masked. Masked is
only what differs between two runs of one program: the server's port, times that something took, and in `endpoint
status` the sizes and raft indexes.

Reads run in one format each, in turn; in every format with KVD_TEST_LONG=1.

With --canned the server is canned_server.cc's, with answers that real servers seldom give.

A comparison is the standard output, the exit code and the first line that begins with "Error:". etcdctl's version is
asked for. Debian's is 3.4; where its output is older than today's etcdctl's, the case says how (see OLDER).
"""

import argparse
import concurrent.futures
import contextlib
import itertools
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request

FORMATS = ["simple", "json", "fields", "protobuf", "table"]
LEASE = 0x1234ABCD
ALIVE = "ALIVE"  # in a case's endpoints: the program's own server
LONG = os.environ.get("KVD_TEST_LONG") is not None


def free_ports(count):
    sockets = [socket.socket() for _ in range(count)]
    for s in sockets:
        s.bind(("127.0.0.1", 0))
    ports = [s.getsockname()[1] for s in sockets]
    for s in sockets:
        s.close()
    return ports


@contextlib.contextmanager
def server(binary, client_port, peer_port, named_port):
    """A member with a fresh data directory; killed and cleaned up at the end.

    Ids come from the peer URL, which is told to be `named_port`'s: nobody calls a lone member there.
    """
    directory = tempfile.mkdtemp(prefix="kvctl_golden.")
    client, peer = f"http://127.0.0.1:{client_port}", f"http://127.0.0.1:{named_port}"
    with open(os.path.join(directory, "log"), "wb") as log:
        process = subprocess.Popen(
            [binary, "--name=m1", f"--data-dir={directory}/data", f"--listen-client-urls={client}",
             f"--advertise-client-urls={client}", f"--listen-peer-urls=http://127.0.0.1:{peer_port}",
             f"--initial-advertise-peer-urls={peer}", f"--initial-cluster=m1={peer}"],
            stdout=log, stderr=log, stdin=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 30
        while True:
            try:
                with urllib.request.urlopen(client + "/health", timeout=5) as answer:
                    if json.load(answer).get("health") in ("true", True):
                        break
            except OSError:
                pass
            if process.poll() is not None or time.monotonic() > deadline:
                with open(os.path.join(directory, "log"), encoding="utf-8", errors="replace") as log:
                    sys.exit(f"{binary} does not serve:\n" + log.read())
            time.sleep(0.05)
        # A lease with an id of our choice, for put --lease. A server without leases refuses both programs' puts alike.
        with contextlib.suppress(OSError):
            body = json.dumps({"TTL": 3600, "ID": LEASE}).encode()
            urllib.request.urlopen(client + "/v3/lease/grant", data=body, timeout=5).read()
        yield
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
        shutil.rmtree(directory, ignore_errors=True)


@contextlib.contextmanager
def canned_server(binary):
    with subprocess.Popen([binary], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        yield "127.0.0.1:" + process.stdout.readline().decode().strip()
        process.stdin.close()
        process.wait(timeout=30)


class Case:
    def __init__(self, args, stdin="", env=None, older=None, newer_only=False, endpoints=None, error_differs=False, canned=False):
        self.args = args
        self.stdin = stdin
        self.env = env or {}
        self.older = older  # turns kvctl's output (or etcdctl 3.4's) into a common form: OLDER[older]
        self.newer_only = newer_only  # etcdctl 3.4 has no such flag
        self.endpoints = endpoints
        self.canned = canned  # the same answer every time: nothing is masked but what took time
        self.error_differs = error_differs  # kvctl says more; the exit code and the output must be equal all the same

    def name(self):
        return " ".join([*(f"{k}={v}" for k, v in self.env.items()), *(repr(a) if re.search(r"[^\w./:=-]", a) or not a
                        else a for a in self.args)])


# --- What differs between etcdctl 3.4 and later ones. Each takes (etcdctl's output, kvctl's output), gives both back.

def older_txn_json(theirs, ours):
    """The names in a transaction's answer: "ResponsePut" became "response_put"."""
    for old, new in (("ResponseRange", "response_range"), ("ResponsePut", "response_put"),
                     ("ResponseDeleteRange", "response_delete_range")):
        theirs = theirs.replace(f'{{"{old}":'.encode(), f'{{"{new}":'.encode())
    return theirs, ours


def older_fields(theirs, ours):
    """A revision of 0 is no longer printed."""
    return theirs.replace(b'"Revision" : 0\n', b""), ours


def older_table(theirs, ours):
    """Lines are drawn with box characters now."""
    lines = theirs.decode().splitlines()
    rules = [i for i, line in enumerate(lines) if line.startswith("+")]
    if len(rules) == 3 and rules[2] == rules[1] + 1:
        rules.pop(1)  # an empty table has no rule under its heading any more
        lines.pop(rules[-1] - 1)
        rules[-1] -= 1
    for i, line in enumerate(lines):
        if i in rules:
            left, middle, right = "┌┬┐" if i == rules[0] else "└┴┘" if i == rules[-1] else "├┼┤"
            inner = line[1:-1].replace("-", "─").replace("+", middle)
            lines[i] = left + inner + right
        else:
            lines[i] = line.replace("|", "│")
    return "".join(line + "\n" for line in lines).encode(), ours


def older_status_list(theirs, ours):
    """Six columns came: storage version, in use, percentage, quota, and the two of a downgrade."""
    rows = []
    for line in ours.decode().splitlines():
        cells = line.split(", ")
        rows.append(", ".join(c for i, c in enumerate(cells[:-2]) if i not in (3, 5, 6, 7)))
    return theirs, "".join(row + "\n" for row in rows).encode()


def older_status_fields(theirs, ours):
    """The same as fields; RaftTerm is printed once, in the header."""
    new = (b'"StorageVersion"', b'"DBSizeInUse"', b'"DBSizeQuota"', b'"DowngradeTargetVersion"', b'"DowngradeEnabled"')
    ours = b"".join(line for line in ours.splitlines(True) if not line.startswith(new))
    lines, seen = [], False
    for line in theirs.splitlines(True):
        if line.startswith(b'"RaftTerm"'):
            if seen:
                continue
            seen = True
        if line == b"\n":
            seen = False
        lines.append(line)
    return b"".join(lines), ours


def older_hash_list(theirs, ours):
    """The column "hash revision" came."""
    return theirs, b"".join(line.rsplit(b", ", 1)[0] + b"\n" for line in ours.splitlines())


def older_hash_fields(theirs, ours):
    return theirs, b"".join(line for line in ours.splitlines(True) if not line.startswith(b'"HashRevision"'))


def older_endpoint_json(theirs, ours):
    """Fields came; etcdctl 3.4 drops what it doesn't know from the server's answer."""
    return theirs, re.sub(rb',"(storageVersion|dbSizeQuota|downgradeInfo|hash_revision)":("[^"]*"|[0-9]+|{[^}]*})', b"",
                          ours)


# "health list" is told apart in as_newer().
OLDER = {"txn json": older_txn_json, "endpoint json": older_endpoint_json, "fields": older_fields,
         "table": older_table, "status list": older_status_list, "status fields": older_status_fields,
         "hash list": older_hash_list, "hash fields": older_hash_fields}

MASKS = [
    (rb'took = [0-9.]+(ns|\xc2\xb5s|ms|s)', b"took = T"),
    (rb'"took":"[0-9.]+(ns|\xc2\xb5s|ms|s)"', b'"took":"T"'),
    (rb'"Took" : [0-9.]+(ns|\xc2\xb5s|ms|s)', b'"Took" : T'),
    # In a table the time also makes its column as wide as it is.
    (rb"[0-9.]+(ns|\xc2\xb5s|ms|s) \xe2\x94\x82", b"T \xe2\x94\x82"),
    (rb"(\xe2\x94\x80)+", b"-"),
    (rb" +", b" "),
]
STATUS_MASKS = [
    (rb'"(dbSize|dbSizeInUse|raftIndex|raftAppliedIndex)":[0-9]+', rb'"\1":N'),
    (rb'"(DBSize|DBSizeInUse|RaftIndex|RaftAppliedIndex)" : [0-9]+', rb'"\1" : N'),
    (rb"[0-9.]+ [kM]?B", b"SIZE"),
    (rb", [0-9]+%, ", b", P, "),
    (rb"([0-9]+), ([0-9]+), ([0-9]+), (, , false)?$", rb"\1, N, N, \4"),
]
STATUS_TABLE_MASKS = [(rb"[0-9]+%? \xe2\x94\x82", b"N \xe2\x94\x82"), (rb"(\xe2\x94\x80)+", b"-"), (rb" +", b" ")]


def masked(case, text):
    masks = MASKS if "health" in case.args else []
    if "status" in case.args and not case.canned:
        masks = masks + STATUS_MASKS + (STATUS_TABLE_MASKS if "table" in case.args else [])
    for pattern, to in masks:
        text = re.sub(pattern, to, text, flags=re.MULTILINE)
    return text


# --- The cases, in the order in which they run.

turns = itertools.count()


def with_formats(args, stdin="", formats=FORMATS, **kwargs):
    if args[0] == "get" and not LONG:
        formats = [formats[next(turns) % len(formats)]]
    return [Case([*args, "-w", f], stdin, **kwargs) for f in formats]


def get_cases():
    cases = []
    flags = [
        ["k1"], ["missing"], ["k1", "k4"], ["k", "l"], ["--prefix", "k"], ["--prefix", "k", "--limit", "2"],
        ["--prefix", "k", "--limit=0"], ["--prefix", ""], ["--from-key", "k3"], ["--from-key", ""], ["k9", "k1"],
        ["--prefix", "k", "--keys-only"], ["k2", "--rev", "3"], ["k2", "--rev=4"], ["--prefix", "k", "--rev", "5"],
        ["--prefix", "k", "--consistency", "s"], ["k1", "--consistency=l"], ["--prefix", "nothing"],
        ["--prefix", "日本"], ["--prefix", "quote"], ["--prefix", "bytes"], ["empty"], ["k1", "--rev", "-1"],
    ]
    for target in ("KEY", "VERSION", "CREATE", "MODIFY", "VALUE", "value"):
        for order in ("ASCEND", "DESCEND", "descend", ""):
            flags.append(["--prefix", "k", "--sort-by", target, "--order", order])
    flags += [["--prefix", "k", "--order", "DESCEND", "--limit", "3"], ["--prefix", "k", "--sort-by", "MODIFY"]]
    for f in flags:
        sorts = "--sort-by" in f
        cases += with_formats(["get", *f], formats=FORMATS[:4] if not sorts else ["simple", "json"])
    for f in (["k1"], ["--prefix", "k"], ["--prefix", "日本"], ["--prefix", "bytes"], ["missing"], ["empty"]):
        cases += with_formats(["get", "--hex", *f], formats=["simple", "json", "protobuf"])
        cases += with_formats(["get", "--hex", *f], formats=["fields"], newer_only=True)
        cases += [Case(["get", "--print-value-only", *f]), Case(["get", "--print-value-only", "--hex", *f])]
    cases += with_formats(["get", "--prefix", "k", "--count-only"], newer_only=True)
    cases += with_formats(["get", "--prefix", "k", "--print-value-only"])
    for f in (["--min-mod-rev", "5"], ["--max-mod-rev", "6"], ["--min-create-rev=4", "--max-create-rev=6"],
              ["--min-mod-rev=7", "--max-mod-rev=3"], ["--min-create-rev=7", "--max-create-rev=3"]):
        cases += with_formats(["get", "--prefix", "k", *f], formats=["simple", "json"], newer_only=True)
    # Ways to write flags.
    cases += [Case(a) for a in (
        ["get", "k1", "-w=json"], ["get", "k1", "-wjson"], ["-w", "json", "get", "k1"], ["get", "-w", "json", "k1"],
        ["get", "--prefix=false", "k"], ["get", "--prefix=t", "k"], ["get", "--", "k1"], ["get", "k1", "k3", "ignored"],
        ["get", "--limit", "0x2", "--prefix", "k"], ["ge", "k1"], ["get", "k1", "--write-out", "json"],
        ["get", "--write-out=fields", "k1"], ["get", "-", "k"], ["--command-timeout=1m", "get", "k1"])]
    return cases


def put_cases():
    cases = []
    for f in FORMATS[:4]:
        cases += [Case(["put", f"p-{f}", "1", "-w", f]), Case(["put", f"p-{f}", "2", "-w", f]),
                  Case(["put", f"p-{f}", "3", "--prev-kv", "-w", f]), Case(["put", f"new-{f}", "1", "--prev-kv", "-w", f]),
                  Case(["put", f"p-{f}", "--ignore-value", "-w", f]),
                  Case(["put", f"p-{f}", "4", "--lease", "1234abcd", "--prev-kv", "-w", f]),
                  Case(["put", f"p-{f}", "5", "--ignore-lease", "--prev-kv", "-w", f]),
                  Case(["put", f"p-{f}", "--ignore-lease", "--ignore-value", "--prev-kv", "-w", f]),
                  Case(["get", f"p-{f}", "-w", f]), Case(["put", f"p-{f}", "6", "--lease", "77", "-w", f]),
                  Case(["put", f"p-{f}", "7", "--lease=0", "--prev-kv", "-w", f]),
                  Case(["put", f"p-{f}", "8", "--prev-kv", "--hex", "-w", f], newer_only=f == "fields")]
    cases += [
        Case(["put", "stdin"], stdin="from\nstdin\n"), Case(["get", "stdin"]), Case(["get", "stdin", "-w", "json"]),
        Case(["put", "stdin2"], stdin=b"\x00\x01\xff\xfe"), Case(["get", "stdin2", "-w", "json"]),
        Case(["get", "stdin2", "--hex"]), Case(["get", "stdin2", "-w", "fields"]), Case(["get", "stdin2"]),
        Case(["put", "nothing"]), Case(["put"]), Case(["put", "a", "b", "c"]), Case(["get", "a"]),
        Case(["put", "", "x"]), Case(["put", "--", "-k", "-v"]), Case(["get", "--", "-k"]),
        Case(["put", "dash", "--", "-v"]), Case(["get", "dash"]), Case(["put", "json", "[1,2]"]), Case(["get", "json"]),
        Case(["put", "equals", "--a=b"], error_differs=False), Case(["put", "k", "v", "--ignore-value"]),
        Case(["put", "missing-key", "--ignore-value"]), Case(["put", "missing-key", "v", "--ignore-lease"]),
        Case(["put", "k1", "v", "--lease", "xyz"]), Case(["put", "k1", "v", "--lease", "ffffffffffffffff"]),
        Case(["put", "k1", "v", "--lease", "1234abcd", "--ignore-lease"]), Case(["get", "k1"]),
        Case(["put", "large", "x" * 100000]), Case(["get", "large"]), Case(["get", "large", "-w", "json"]),
        Case(["put", "too-large"], stdin="x" * 1600000),
        Case(["put", "above-the-client's-limit"], stdin="x" * 2200000, error_differs=True),
    ]
    return cases


def txn_cases():
    scripts = {
        "mod and put": 'mod("k1") > "0"\n\nput k1 "overwrote"\n\nput k1 "created"\nput t2 "extra"\n\n',
        "fails": 'create("k1") = "0"\n\nput k1 a\n\nget k1\nget --prefix k --limit 2\n\n',
        "empty": "\n\n\n",
        "all targets": 'ver("k2") = "2"\nversion("k2") < "9"\nc("k2") > "0"\ncreate("k2") != "77"\nm("k2") > "1"\n'
                       'mod("k2") < "1000000"\nval("k2") = "two again"\nvalue("k2") > "a"\n\nget k2\n\n\n',
        "value": 'value("k3") = "three"\n\ndel k3 --prev-kv\nget k3\nput t3 "some words" --prev-kv\n\nget k3\n\n',
        "del": '\ndel --prefix t --prev-kv\nput "t 4" "a b\\tc"\nget "t 4"\n\n\n',
        "ranges": '\nget k1 k4\nget --from-key k4 --keys-only\nget --prefix "" --limit 1\ndel nothing\n\n\n',
        "sorted": '\nget --prefix k --order DESCEND --sort-by MODIFY --limit 3\nget k2 --rev 3\n\n\n',
        "bytes": '\nput "\\x00\\xff" "\\x01\\u00e9"\nget "\\x00\\xff"\n\n\n',
        "spaces": '  mod("k1")   >   "0"  \n   \n\tput k5 x \n\n\n',
        "ignored rest": 'mod("k1") > "0" and more\n\nput k5 y z\n\n\n',
        "backquotes": 'mod(`k1`) > `0`\n\nget k5\n\n\n',
        "prev": '\nput k5 "w" --prev-kv\n\n\n',
    }
    cases = []
    for script in scripts.values():
        cases += [Case(["txn", "-w", f], script, older={"json": "txn json"}.get(f)) for f in FORMATS[:4]]
        cases += [Case(["txn", "-i"], script), Case(["txn", "--interactive", "--hex"], script)]
    bad = [
        'mod("k1") > "0"\n', 'mod("k1") > "0"\n\n', 'mod("k1") > "0"\n\nput a b\n\n', "", "\n", "\n\n", "\nput a b",
        "nonsense\n\n\n\n", 'mod(k1) > "0"\n\n\n\n', 'mod("k1") > 0\n\n\n\n', 'mod("k1")> "0"\n\n\n\n',
        'mod("k1") >"0"\n\n\n\n', 'mod ("k1") > "0"\n\n\n\n', 'foo("k1") > "0"\n\n\n\n', 'mod("k1") > "x"\n\n\n\n',
        'mod("k1) > "0"\n\n\n\n', 'ver("k1") > "99999999999999999999"\n\n\n\n', "mod('k1') > '0'\n\n\n\n",
        "\nput\n\n\n", "\nput a\n\n\n", "\nfoo a\n\n\n", "\nget a --foo\n\n\n", "\nget a --limit x\n\n\n",
        "\nget a b --prefix\n\n\n", "\nget --prefix --from-key a\n\n\n", "\ndel a b c\n\n\n", "\nput a b --lease x\n\n\n",
        "\nput a 1\nput a 2\n\n\n", '\nget "a\\q"\n\n\n', "\nget a --order up\n\n\n", "\nget a --sort-by up\n\n\n",
        "\nget a --consistency x\n\n\n", '\nput "unclosed a\n\n\n', 
        'mod("") > "0"\n\n\n\n',
    ]
    cases += [Case(["txn"], script) for script in bad]
    # etcdctl 3.4 cuts words in single quotes short.
    cases += [Case(["txn", "-w", "json"], script, newer_only=True) for script in (
        "\nput t3 'single quoted'\nget t3\n\n\n", "\nput 'it''s' x\n\n\n", "\nget '' --prefix --limit 2\n\n\n",
        "\nput t3 'a\"b\\c'\nget 't3'\n\n\n", "\nput t3 'unclosed\n\n\n")]
    cases += [Case(["txn"], 'lease("p-json") = "0"\n\nget k1\n\n\n', newer_only=True),
              Case(["txn"], 'lease("p-json") = "zz"\n\nget k1\n\n\n', newer_only=True),
              Case(["txn"], 'lease("p-json") = "1234ABCD"\n\nget k1\n\nget k2\n\n', newer_only=True),
              Case(["txn", "argument"]), Case(["txn", "-w", "bad"], "\n\n\n")]
    return cases


def del_cases():
    cases = []
    for f in FORMATS[:4]:
        cases += [Case(["put", f"d1-{f}", "1"]), Case(["put", f"d2-{f}", "2"]), Case(["put", f"d3-{f}", "3"]),
                  Case(["del", f"d1-{f}", "-w", f]), Case(["del", f"d1-{f}", "-w", f]),
                  Case(["del", f"d2-{f}", "--prev-kv", "-w", f]),
                  Case(["del", "--prefix", f"d3-{f}", "--prev-kv", "-w", f]),
                  Case(["del", "--prefix", "no such", "--prev-kv", "-w", f])]
    cases += [Case(["put", "e1", "1"]), Case(["put", "e2", "2"]), Case(["put", "e3", "3"]),
              Case(["del", "e1", "e3", "--range", "--prev-kv"], newer_only=True),
              Case(["del", "e1", "e3", "--prev-kv"]), Case(["get", "--prefix", "e", "-w", "json"]),
              Case(["del", "--from-key", "zzz"]), Case(["del", "--prefix", "stdin", "--prev-kv", "--hex"]),
              Case(["del"]), Case(["del", "a", "b", "c"]), Case(["del", "a", "b", "--prefix"]),
              Case(["del", "a", "--prefix", "--from-key"]), Case(["del", ""])]
    return cases


def compaction_cases():
    cases = [Case(["compaction"]), Case(["compaction", "1", "2"]), Case(["compaction", "x"]),
             Case(["compaction", "99999999999999999999"]), Case(["compaction", "1000000"]), Case(["compaction", "-w", "bad", "3"])]
    for n, f in enumerate(FORMATS):
        cases.append(Case(["compaction", str(4 + n), "-w", f]))
    cases += [Case(["compaction", "--physical", "10"]), Case(["compact", "--physical=true", "11"]),
              Case(["compaction", "3"]), Case(["compaction", "0"]), Case(["compaction", "--", "-5"]),
              Case(["get", "k1", "--rev", "3"]), Case(["get", "k1", "--rev", "11"]), Case(["get", "k1", "--rev", "999999"])]
    return cases


def endpoint_cases(dead):
    older = {"simple": "status list", "fields": "status fields", "json": "endpoint json"}
    hash_older = {"simple": "hash list", "fields": "hash fields", "json": "endpoint json"}
    cases = []
    for cluster in ([], ["--cluster"]):
        for f in FORMATS:
            cases += [Case(["endpoint", "status", *cluster, "-w", f], older=older.get(f), newer_only=f == "table"),
                      Case(["endpoint", "health", *cluster, "-w", f], older={"table": "table", "simple": "health list"}.get(f)),
                      Case(["endpoint", "hashkv", *cluster, "-w", f], older=hash_older.get(f), newer_only=f == "table"),
                      Case(["endpoint", "hashkv", *cluster, "--rev", "15", "-w", f], older=hash_older.get(f),
                           newer_only=f == "table")]
    cases += [Case(["endpoint", "hashkv", "--rev", "1000000"], error_differs=True),
              Case(["endpoint", "hashkv", "--rev", "1"], error_differs=True),
              Case(["endpoint", "status", "-w", "bad"]), Case(["endpoint", "status", "--hex", "-w", "fields"],
                                                              newer_only=True)]
    short = ["--command-timeout=400ms", "--dial-timeout=300ms"]
    for f in ("simple", "json", "fields"):
        cases += [Case([*short, "endpoint", "status", "-w", f], endpoints=[dead, ALIVE], older=older.get(f)),
                  Case([*short, "endpoint", "hashkv", "-w", f], endpoints=[ALIVE, dead], older=hash_older.get(f),
                       error_differs=True)]
    cases += [Case([*short, "endpoint", "health"], endpoints=[ALIVE, dead], older="health list"),
              Case([*short, "get", "k1"], endpoints=[dead], error_differs=True),
              Case([*short, "put", "k1", "v"], endpoints=[dead], error_differs=True),
              Case(["get", "k1"], endpoints=[dead, ALIVE]), Case(["put", "failover", "v"], endpoints=[dead, dead, ALIVE]),
              Case(["get", "failover"], endpoints=["http://" + ALIVE])]
    return cases


def member_cases():
    older = {"fields": "fields", "table": "table"}
    cases = [Case(["member", "list", "-w", f], older=older.get(f)) for f in FORMATS]
    cases += with_formats(["member", "list", "--hex"], formats=["json", "fields"], newer_only=True)
    cases += with_formats(["member", "list", "--hex"], formats=["simple", "protobuf"])
    cases += with_formats(["member", "list", "--consistency", "s"], formats=["simple", "json"], newer_only=True)
    cases += [Case(["alarm", "list", "x"]), Case(["alarm", "disarm", "x"]), Case(["alarm", "list"]),
              Case(["alarm", "disarm"]), Case(["alarm", "list", "-w", "json"], newer_only=True),
              Case(["move-leader"]), Case(["move-leader", "xyz"]), Case(["move-leader", "1", "2"]),
              Case(["move-leader", "99999999999999999999"]), Case(["move-leader", "5"], error_differs=True)]
    # etcdctl names the wrong value.
    cases += [Case(["member", "list", "--consistency", "x"], newer_only=True, error_differs=True)]
    url = "--peer-urls=http://127.0.0.1:1"
    cases += [Case(["member", *a]) for a in (
        ["add"], ["add", "m2"], ["add", "m2", "http://127.0.0.1:1"], ["add", "m2", "HTTP://a:1", "x", url],
        ["add", "m2", "--peer-urls=http://127.0.0.1"], ["add", "m2", "--peer-urls=http://127.0.0.1:1/path"],
        ["add", "m2", url + ",ftp://b:1"], ["remove"], ["remove", "1", "2"], ["remove", "xyz"], ["remove", ""],
        ["remove", "-1"], ["remove", "12345678123456781"], ["remove", "abc"], ["promote"], ["promote", "zz"],
        ["promote", "abc"], ["update"], ["update", "abc"], ["update", "abc", "--peer-urls=nothing"],
        ["update", "xyz", url], ["update", "abc", url])]
    # Both refuse; etcdctl in the words of Go's parser of URLs.
    cases += [Case(["member", "add", "m2", f"--peer-urls={wrong}"], error_differs=True)
              for wrong in ("127.0.0.1:1", "http://[::1")]
    return cases


def error_cases():
    return [Case(a) for a in (
        ["get"], ["get", "--foo", "k"], ["get", "-x", "k"], ["foo"], ["get", "k", "--prefix", "--from-key"],
        ["get", "k", "l", "--prefix"], ["get", "k", "l", "--from-key"], ["get", "k", "--order", "up"],
        ["get", "k", "--sort-by", "size"], ["get", "k", "--consistency", "x"], ["get", "k", "-w", "bad"],
        ["get", "k", "--limit", "x"], ["get", "k", "--limit", ""], ["get", "k", "--limit"], ["get", "k", "-w"],
        ["get", "k", "--rev", "1.5"], ["get", "k", "--prefix=maybe"], ["get", "k", "--command-timeout", "zz"],
        ["get", "k", "--command-timeout", "5"], ["get", "k", "--dial-timeout", "1x"], ["get", "k", "--rev", "1000000"],
        ["get", ""], ["put", "k", "-5"], ["get", "k", "--limit=9223372036854775808"], ["get", "k", "-w", "table"],
        ["get", "k", "--hex=x"], ["get", "k", "--keepalive-time", "never"])]


def environment_cases():
    return [Case(["get", "k1"], env={"ETCDCTL_ENDPOINTS": ALIVE}, endpoints=[]),
            Case(["get", "k1"], env={"ETCDCTL_ENDPOINTS": ALIVE, "ETCDCTL_WRITE_OUT": "json"}, endpoints=[]),
            Case(["get", "k1"], env={"ETCDCTL_HEX": "true"}),
            Case(["get", "k1"], env={"ETCDCTL_WRITE_OUT": "bad"})]


def canned_cases():
    cases = []
    older = {"fields": "fields", "table": "table"}
    status_older = {"simple": "status list", "fields": "status fields", "json": "endpoint json"}
    hash_older = {"simple": "hash list", "fields": "hash fields", "json": "endpoint json"}
    for f in FORMATS:
        # etcdctl 3.4 dies of an answer without a header in this format.
        fields = f == "fields"
        cases += [Case(["get", "k", "-w", f]), Case(["get", "no header", "-w", f], newer_only=fields),
                  Case(["put", "k", "v", "-w", f]), Case(["del", "k", "-w", f], newer_only=fields),
                  Case(["txn", "-w", f], "\n\n\n", older={"json": "txn json"}.get(f), newer_only=fields),
                  Case(["compaction", "5", "-w", f]),
                  Case(["member", "list", "-w", f], older=older.get(f)),
                  Case(["member", "list", "--hex", "-w", f], newer_only=True),
                  # kvctl refuses fields and table before it asks; etcdctl changes the members and then says so.
                  Case(["member", "add", "new \"name\"", "--peer-urls=http://c:1,http://d:2", "-w", f]),
                  # etcdctl 3.4 does not say that it is a learner, and dies of a promotion that it should print otherwise.
                  Case(["member", "add", "l", "--learner", "--peer-urls=http://c:1", "-w", f], newer_only=f == "simple"),
                  Case(["member", "add", "l", "--learner", "--peer-urls=http://c:1", "--hex", "-w", f], newer_only=True),
                  Case(["member", "remove", "ab", "-w", f]), Case(["member", "promote", "AB", "-w", f], newer_only=f != "simple"),
                  Case(["member", "remove", "ab", "--hex", "-w", f], newer_only=True),
                  Case(["member", "update", "fedcba9876543210", "--peer-urls=http://x:1", "-w", f]),
                  Case(["get", "k", "--hex", "-w", f], newer_only=f == "fields"),
                  Case(["del", "k", "--hex", "-w", f], newer_only=f == "fields"),
                  Case(["endpoint", "status", "-w", f], older=status_older.get(f), newer_only=f == "table"),
                  Case(["endpoint", "status", "--hex", "-w", f], newer_only=True),
                  Case(["endpoint", "hashkv", "--rev", "5", "-w", f], older=hash_older.get(f),
                       newer_only=f == "table"),
                  Case(["alarm", "list", "-w", f]), Case(["alarm", "disarm", "-w", f], newer_only=fields),
                  # etcdctl 3.4 doesn't ask for alarms.
                  Case(["endpoint", "health", "-w", f], newer_only=True)]
    cases += [Case(["get", "denied"]), Case(["get", "strange"])]
    for case in cases:
        case.canned = True
    return cases


def setup_cases():
    puts = [("k1", "one"), ("k2", "two"), ("k2", "two again"), ("k3", "three"), ("k4", "apple"), ("k5", "a\nb\tc"),
            ("k6", " spaces "), ("k7", "<a href=\"x\">&amp;</a>"), ("k8", "\u2028\u2029\u00a0\u00ad"), ("empty", ""),
            ("日本/語", "キー ❤ \U0001f600 é"), ("quote\"'\\", "back\\slash \"double\" 'single'"),
            ("bytes1", "\udcff\udc80ab\udcc3"), ("bytes2", "\x01\x02\x7f\x1b[0m\r\n"), ("bytes3", "\udced\udca0\udc80")]
    return [Case(["put", k, v]) for k, v in puts]


def all_cases(dead):
    return (setup_cases() + get_cases() + error_cases() + put_cases() + txn_cases() + del_cases() + compaction_cases()
            + endpoint_cases(dead) + member_cases() + environment_cases())


# --- Running and comparing.

class Answer:
    def __init__(self, out, code, err):
        self.out, self.code, self.err = out, code, err

    def replace(self, text, by):
        self.out, self.err = self.out.replace(text, by), self.err.replace(text, by)

    @property
    def error(self):
        line = next((line for line in self.err.splitlines() if line.startswith(b"Error:")), b"")
        return line.replace(b'for "etcdctl"', b'for "kvctl"')


def run(program, case, alive):
    endpoints = [e.replace(ALIVE, alive) for e in ([ALIVE] if case.endpoints is None else case.endpoints)]
    variables = {name: value.replace(ALIVE, alive) for name, value in case.env.items()}
    argv = [program, *([f"--endpoints={','.join(endpoints)}"] if endpoints else []), *case.args]
    env = {k: v for k, v in os.environ.items() if not k.startswith(("ETCDCTL_", "KVCTL_"))}
    stdin = case.stdin if isinstance(case.stdin, bytes) else case.stdin.encode("utf-8", "surrogateescape")
    done = subprocess.run([a.encode("utf-8", "surrogateescape") for a in argv], input=stdin, capture_output=True,
                          env={**env, "ETCDCTL_API": "3", **variables}, timeout=60, check=False)
    return Answer(done.stdout, done.returncode, done.stderr)


def side_by_side(binary, programs, perform):
    """What each program's `perform` answers on a server of its own, as if these had one port."""
    ports = free_ports(2 * len(programs))

    def answers(program, client_port, peer_port):
        with server(binary, client_port, peer_port, ports[1]):
            done = perform(program, f"127.0.0.1:{client_port}")
        for answer in done:
            answer.replace(f":{client_port}".encode(), f":{ports[0]}".encode())
        return done

    with concurrent.futures.ThreadPoolExecutor() as pool:
        running = [pool.submit(answers, p, *ports[2 * i:2 * i + 2]) for i, p in enumerate(programs)]
        return {p: r.result() for p, r in zip(programs, running)}


def as_newer(case, theirs, ours):
    """etcdctl 3.4's output and kvctl's in a common form."""
    if case.older == "health list":  # it went to the standard error
        return b"".join(line for line in theirs.err.splitlines(True) if b"is healthy" in line), ours.out
    if theirs.code == 1 and (theirs.out.startswith(b"NAME:") or b"--help' for usage" in theirs.out):
        return b"", ours.out  # the usage went to the standard output
    if case.older:
        return OLDER[case.older](theirs.out, ours.out)
    return theirs.out, ours.out


def differences(case, theirs, ours, older_etcdctl):
    their_out, our_out = as_newer(case, theirs, ours) if older_etcdctl else (theirs.out, ours.out)
    their_out, our_out = masked(case, their_out), masked(case, our_out)
    found = []
    if their_out != our_out:
        found.append(f"  output: etcdctl {their_out[:2000]!r}\n          kvctl   {our_out[:2000]!r}")
    if theirs.code != ours.code:
        found.append(f"  exit code: etcdctl {theirs.code}, kvctl {ours.code}")
    if not case.error_differs and theirs.error != ours.error:
        found.append(f"  error: etcdctl {theirs.error!r}\n         kvctl   {ours.error!r}")
    if case.error_differs and bool(theirs.error) != bool(ours.error):
        found.append(f"  error: etcdctl {theirs.error!r}\n         kvctl   {ours.error!r}")
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kvctl", required=True)
    parser.add_argument("--etcdctl", default="etcdctl")
    parser.add_argument("--server", default="etcd", help="the server's binary: etcd or kvd")
    parser.add_argument("--canned", help="canned_server's binary, instead of a server")
    parser.add_argument("--only", default="", help="report only cases whose command line contains this")
    parser.add_argument("--verbose", action="store_true")
    options = parser.parse_args()

    version = subprocess.run([options.etcdctl, "version"], capture_output=True, env={**os.environ, "ETCDCTL_API": "3"},
                             check=True).stdout.decode()
    older_etcdctl = "API version: 3.4" in version
    dead = f"127.0.0.1:{free_ports(1)[0]}"
    cases = canned_cases() if options.canned else all_cases(dead)
    cases = [c for c in cases if not (older_etcdctl and c.newer_only)]

    programs = (options.etcdctl, options.kvctl)
    if options.canned:
        with canned_server(options.canned) as endpoint:
            answers = {p: [run(p, case, endpoint) for case in cases] for p in programs}
    else:
        answers = side_by_side(options.server, programs,
                               lambda program, endpoint: [run(program, case, endpoint) for case in cases])

    passed = failed = 0
    for case, theirs, ours in zip(cases, answers[options.etcdctl], answers[options.kvctl]):
        if options.only not in case.name():
            continue
        found = differences(case, theirs, ours, older_etcdctl)
        passed, failed = passed + (not found), failed + bool(found)
        if found:
            print(f"DIFFERS {case.name()}" + (f"  <<< {case.stdin[:300]!r}" if case.stdin else ""), *found, sep="\n")
        elif options.verbose:
            print(f"same    {case.name()}")
    print(f"etcdctl {version.split()[2]} and kvctl on {os.path.basename(options.canned or options.server)}: comparisons")
    print(f"{passed} passed, {failed} failed")
    sys.exit(1 if failed or not passed else 0)


if __name__ == "__main__":
    main()
