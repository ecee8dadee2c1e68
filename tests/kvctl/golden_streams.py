#!/usr/bin/env python3
"""Runs etcdctl's and kvctl's watch, lease, lock and elect side by side and compares them, byte for byte.

    golden_streams.py --kvctl PATH --server etcd [--etcdctl etcdctl] [--only TEXT] [--verbose]

These commands wait, read and are interrupted, so each case is a little play: what is waited for in the output, what
another command or the terminal does meanwhile, and how it ends. As in golden.py all cases run with etcdctl on a fresh
server and with kvctl on another of the same name, and so with the same revisions and ids. Masked are the ids of leases
that the server chose, and the seconds that a lease has left.
"""

import argparse
import os
import re
import signal
import subprocess
import sys
import threading
import time

from golden import FORMATS, LEASE, as_newer, side_by_side, Answer, Case

TIMEOUT_S = 30
ID = f"{LEASE:x}"


class Play:
    """One command. `steps` are tried in order while it runs:

    ("out", TEXT)      until the standard output has TEXT, behind where the last such step found its own
    ("err", TEXT)      likewise the standard error
    ("line", TEXT)     a line for its standard input
    ("run", ARGS...)   another command of the same program, to its end
    ("int",)           SIGINT

    Then it is waited for, or with `kill` it is killed, and the exit code is not compared.
    """

    def __init__(self, args, steps=(), kill=False, env=None, older=None, error_differs=False, newer_only=False):
        self.args = args
        self.steps = steps
        self.kill = kill
        self.env = env or {}
        self.older = older
        self.error_differs = error_differs
        self.newer_only = newer_only

    def name(self):
        return Case(self.args, env=self.env).name()


class Reader(threading.Thread):
    def __init__(self, stream):
        super().__init__(daemon=True)
        self.stream = stream
        self.text = b""
        self.changed = threading.Condition()
        self.start()

    def run(self):
        while chunk := os.read(self.stream.fileno(), 65536):
            with self.changed:
                self.text += chunk
                self.changed.notify_all()

    def wait_for(self, text, begin):
        """The position behind `text`, or None when it doesn't come."""
        with self.changed:
            if not self.changed.wait_for(lambda: self.text.find(text, begin) >= 0, TIMEOUT_S):
                return None
            return self.text.find(text, begin) + len(text)


def perform(program, play, endpoint):
    env = {k: v for k, v in os.environ.items() if not k.startswith(("ETCDCTL_", "KVCTL_", "ETCD_"))}
    env.update({"ETCDCTL_API": "3", **play.env})
    argv = [program, f"--endpoints={endpoint}"]
    process = subprocess.Popen([*argv, *play.args], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                               stderr=subprocess.PIPE, env=env)
    out, err = Reader(process.stdout), Reader(process.stderr)
    at = {"out": 0, "err": 0}
    missing = None
    for kind, *rest in play.steps:
        if kind in at:
            found = (out if kind == "out" else err).wait_for(rest[0].encode(), at[kind])
            if found is None:
                missing = rest[0]
                break
            at[kind] = found
        elif kind == "line":
            process.stdin.write(rest[0].encode() + b"\n")
            process.stdin.flush()
        elif kind == "run":
            subprocess.run([*argv, *rest], env=env, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, check=True,
                           timeout=TIMEOUT_S)
        elif kind == "int":
            process.send_signal(signal.SIGINT)
    if play.kill or missing is not None:
        process.kill()
    else:
        process.stdin.close()
    try:
        code = process.wait(timeout=TIMEOUT_S)
    except subprocess.TimeoutExpired:
        process.kill()
        code = f"none within {TIMEOUT_S} s"
    out.join()
    err.join()
    answer = Answer(out.text, "killed" if play.kill else code, err.text)
    answer.missing = missing
    return answer


MASKS = [
    (rb"lease [0-9a-f]{16} granted with TTL\(([0-9]+)s\)$", rb"lease ID granted with TTL(\1s)"),
    (rb"remaining\([0-9]+s\)", b"remaining(Ns)"),
    (rb'"ttl":[0-9]+', b'"ttl":N'),
    (rb'"id":[0-9]{12,}', b'"id":N'),
    (rb'(?<="ID":)[0-9]{16,}', b"N"),
    (rb'(?<="ID" : )[0-9]{16,}', b"N"),
    (rb'(?<="ID" : )[0-9a-f]{16}$', b"N"),
    (rb'(?<="TTL" : )35[0-9]{2}$', b"N"),
    # The keys of locks and elections end with the id of the lease, which %x leaves shorter now and then.
    (rb"(lock|elect)([a-z-]*)/[0-9a-f]{8,16}", rb"\1\2/ID"),
    (rb'("lease":)[0-9]+', rb"\1N"),
    (rb'("Lease" : )[0-9]{10,}', rb"\1N"),
    (rb'"key":"(bG9jay|ZWxlY3)[^"]*"', rb'"key":"\1"'),
]


def masked(play, text):
    if "protobuf" in play.args and play.args[0] in ("lock", "elect"):
        return b""  # the lease's id is in it as a varint
    for pattern, to in MASKS:
        text = re.sub(pattern, to, text, flags=re.MULTILINE)
    return text


def complaints(answer):
    """What was said on standard error; etcdctl's log and kvctl's hints apart."""
    lines = [line for line in answer.err.splitlines() if line and not line.startswith((b"{", b"  "))]
    lines = [line.replace(b'for "etcdctl"', b'for "kvctl"') for line in lines]
    # etcdctl 3.4 says twice what is wrong with a flag, and begins this one with a capital.
    lines = [line.replace(b"Error reading watch", b"error reading watch") for line in lines]
    return [line for i, line in enumerate(lines) if i == 0 or line != lines[i - 1]]


def watch_plays():
    watch = lambda args, steps=(("out", "END"),), **kw: Play(["watch", *args], steps, kill=True, **kw)
    history = [["w/", "--prefix"], ["w/", "--prefix", "--prev-kv"], ["w/a", "w/e"], ["w/", "--prefix", "--hex"]]
    plays = []
    for f in FORMATS[:4]:
        end = {"json": "RU5E"}.get(f, "END")
        older = {"json": "watch json"}.get(f)
        for args in history:
            if "--hex" in args:
                end = {"simple": r"\x45\x4e\x44"}.get(f, end)
                if f == "fields":
                    continue  # etcdctl 3.4 prints ids otherwise
            plays.append(watch([*args, "--rev", "1", "-w", f], [("out", end)], older=older))
    live = [("out", "first"), ("run", "put", "live", "2"), ("run", "del", "live"), ("run", "put", "live", "END"),
            ("out", "END")]
    # What happens before the watch is there would be missed: so it begins at a revision that is known.
    plays += [watch(["live", "--rev", "1"], [("run", "put", "live", "first"), *live]),
              watch(["live", "--rev=1", "--prev-kv"], [("out", "END"), ("run", "del", "live"), ("out", "DELETE")])]
    show = "env | grep ^ETCD_WATCH | sort; echo"
    plays += [watch(["w/", "--prefix", "--rev", "1", "--", "sh", "-c", show], [("out", 'VALUE="END"')]),
              watch(["--rev", "1", "w/a", "w/d", "--", "echo", "changed"], [("out", "changed\n")] * 5),
              watch(["--rev", "1", "--", "echo", "changed"], [("out", "changed\n")] * 2, env={"ETCDCTL_WATCH_KEY": "w/a"}),
              watch(["--rev", "1"], [("out", "END")], env={"ETCDCTL_WATCH_KEY": "w/", "ETCDCTL_WATCH_RANGE_END": "w0"}),
              Play(["watch", "w/a", "--rev", "1", "--", "sh", "-c", "exit 3"]),
              Play(["watch", "w/a", "--rev", "1", "--", "false"]),
              Play(["watch", "w/a", "--rev", "1", "--", "no-such-command"])]
    # What can't be asked for.
    plays += [Play(["watch", *args], env=env or {}) for args, env in (
        ([], None), (["--rev", "1"], None), (["a", "--"], None), (["--", "echo"], None), (["a", "b", "--prefix"], None),
        (["a"], {"ETCDCTL_WATCH_KEY": "k"}), (["a", "--", "echo"], {"ETCDCTL_WATCH_KEY": "k"}),
        (["a"], {"ETCDCTL_WATCH_RANGE_END": "z"}), (["a", "--rev", "x"], None), (["a", "-w", "xml"], None))]
    # Interactive.
    plays += [watch(["-i"], [("line", "watch w/a --rev 1"), ("out", "one again"), ("line", "watch --prefix w/ --rev=1"),
                             ("out", "END"), ("line", "nonsense"), ("err", "nonsense"), ("line", ""), ("err", "Invalid"),
                             ("line", "watch"), ("err", "key is not provided"),
                             ("line", "watch \"w/b\" --rev 1 --prev-kv -- echo seen"), ("out", "seen\nseen\n"),
                             ("line", "watch a b --prefix"), ("err", "exclusive")]),
              Play(["watch", "-i"], [("line", "watch w/a --nonsense")]),
              Play(["watch", "-i"], [("line", "watch w/a --")]),
              Play(["watch", "-i"]),
              watch(["-i"], [("line", "watch w/a --rev 1"), ("out", "one again"), ("line", "progress"),
                             ("out", "progress notify: ")])]
    return plays


def compacted_plays():
    plays = [Play(["compaction", "6"]), Play(["compaction", "7", "--physical"])]
    for f in FORMATS[:4]:
        older = {"json": "watch json", "fields": "fields"}.get(f)
        plays.append(Play(["watch", "w/", "--prefix", "--rev", "1", "-w", f], older=older))
    plays += [Play(["compaction", "1"]), Play(["compaction", "1000000", "--physical"])]
    return plays


def lease_plays():
    plays = []
    for f in FORMATS:
        older = {"fields": "fields"}.get(f)
        refused = f == "table"
        plays += [Play(["lease", "timetolive", ID, "-w", f], older=older),
                  Play(["lease", "timetolive", ID, "--keys", "-w", f], older=older),
                  Play(["lease", "timetolive", "77", "-w", f], older=older),
                  Play(["lease", "list", "-w", f], older=older),
                  Play(["lease", "keep-alive", "--once", ID, "-w", f], older=older)]
        if not refused:  # etcdctl makes the lease and then refuses to print it
            plays.append(Play(["lease", "grant", "100", "-w", f], older=older))
    plays += [Play(["lease", "keep-alive", ID], [("out", "TTL(3600)")], kill=True),
              Play(["lease", "keep-alive", "77"]), Play(["lease", "keep-alive", "--once", "77"]),
              Play(["lease", "revoke", "77"])]
    plays += [Play(["lease", *args]) for args in (
        ["grant"], ["grant", "x"], ["grant", "1", "2"], ["grant", "--", "-5"], ["grant", "99999999999"], ["revoke"],
        ["revoke", "xyz"], ["timetolive"], ["timetolive", "xyz"], ["keep-alive"], ["keep-alive", "a", "b"],
        ["keep-alive", "xyz"])]
    plays += [Play(["put", "leased", "1", "--lease", ID]),
              Play(["lease", "keep-alive", ID], [("out", "TTL(3600)"), ("run", "lease", "revoke", ID)], kill=True),
              Play(["get", "leased"]), Play(["lease", "list"], older="list")]
    return plays


def concurrency_plays():
    plays = []
    for f in FORMATS[:4]:
        older = {"fields": "fields"}.get(f)
        shown = {"json": "kvs", "fields": "Count", "simple": "/"}.get(f)
        steps = [("out", shown), ("int",)] if shown else [("int",)]
        if f != "protobuf":
            plays += [Play(["lock", f"lock-{f}", "-w", f], steps, older=older),
                      Play(["elect", f"elect-{f}", "me", "-w", f], steps, older=older)]
    plays += [Play(["lock", "lock-c", "--", "sh", "-c", "echo $ETCD_LOCK_KEY; exit 7"], older="code"),
              Play(["lock", "lock-c", "--ttl", "20", "echo", "done"]), Play(["lock", "lock-c", "true"]),
              Play(["lock", "lock-c", "--", "sh", "-c", "test -n \"$ETCD_LOCK_REV\" && echo has revision"]),
              Play(["lock", "lock-c", "no-such-command"]), Play(["lock", "lock-c", "/no/such/command"]),
              Play(["lock", "lock-c", "--", "sh", "-c", "kill -9 $$"], older="code"), Play(["get", "lock-c/", "--prefix"]),
              Play(["lock"]), Play(["lock", "a", "--ttl", "x"]),
              Play(["elect"]), Play(["elect", "e"]), Play(["elect", "-l", "e", "p"]), Play(["elect", "a", "b", "c"])]
    plays += [Play(["elect", "-l", "elect-o"], [("run", "put", "elect-o/1234567890abcdef", "one"), ("out", "one"),
                                                ("run", "put", "elect-o/1234567890abcdef", "two"), ("out", "two"),
                                                ("run", "put", "elect-o/2", "three"),
                                                ("run", "del", "elect-o/1234567890abcdef"), ("out", "three"),
                                                ("int",)])]
    return plays


def setup_plays():
    puts = [("w/a", "one"), ("w/b", "two"), ("w/a", "one again"), ("w/c", "three\n\x01"), ("w/d", "END")]
    return [Play(["put", k, v]) for k, v in puts[:4]] + [Play(["del", "w/b"])] + [Play(["put", *puts[4]])]


def as_played(play, theirs, ours):
    if play.older == "watch json":
        return theirs.out, ours.out.replace(b',"CancelReason":""}', b"}")
    if play.older == "list":  # leases that sessions left behind: etcdctl's stay until they expire, kvctl revokes its own
        return b"", b""
    case = Case(play.args, older=play.older if play.older != "code" else None)
    return as_newer(case, theirs, ours)


def differences(play, theirs, ours):
    found = []
    for who, answer in (("etcdctl", theirs), ("kvctl", ours)):
        if answer.missing is not None:
            found.append(f"  {who} never printed {answer.missing!r}: {answer.out[-500:]!r} {answer.err[-500:]!r}")
    their_out, our_out = (masked(play, out) for out in as_played(play, theirs, ours))
    if their_out != our_out:
        found.append(f"  output: etcdctl {their_out[:2000]!r}\n          kvctl   {our_out[:2000]!r}")
    # etcdctl 3.4's lock ends with 1 when its command ends with anything but 0; later ones hand the code on.
    their_code = theirs.code if play.older != "code" else {1: ours.code if ours.code != 0 else 1}.get(theirs.code)
    if their_code != ours.code:
        found.append(f"  exit code: etcdctl {theirs.code}, kvctl {ours.code}")
    if not play.error_differs and complaints(theirs) != complaints(ours):
        found.append(f"  error: etcdctl {complaints(theirs)!r}\n         kvctl   {complaints(ours)!r}")
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kvctl", required=True)
    parser.add_argument("--etcdctl", default="etcdctl")
    parser.add_argument("--server", default="etcd", help="the server's binary: etcd or kvd")
    parser.add_argument("--only", default="", help="report only cases whose command line contains this")
    parser.add_argument("--verbose", action="store_true")
    options = parser.parse_args()

    plays = setup_plays() + watch_plays() + compacted_plays() + lease_plays() + concurrency_plays()
    begin = time.monotonic()
    answers = side_by_side(options.server, (options.etcdctl, options.kvctl),
                           lambda program, endpoint: [perform(program, play, endpoint) for play in plays])
    print(f"{len(plays)} commands each in {time.monotonic() - begin:.1f} s")

    passed = failed = 0
    for play, theirs, ours in zip(plays, answers[options.etcdctl], answers[options.kvctl]):
        if options.only not in play.name():
            continue
        found = differences(play, theirs, ours)
        passed, failed = passed + (not found), failed + bool(found)
        if found:
            print(f"DIFFERS {play.name()}", *found, sep="\n")
        elif options.verbose:
            print(f"same    {play.name()}")
    print(f"etcdctl and kvctl on {os.path.basename(options.server)}: {passed} passed, {failed} failed")
    sys.exit(1 if failed or not passed else 0)


if __name__ == "__main__":
    main()
