#!/usr/bin/env python3
"""What kvctl prints for people at a terminal, with kvctl and kvd as users run them and a pseudo-terminal between.

    terminal.py --kvctl PATH --kvd PATH

Piped output is golden.py's; here it is only compared that the same command is plain when it is piped.
"""

import argparse
import base64
import errno
import fcntl
import http.client
import json
import os
import pty
import re
import select
import struct
import subprocess
import sys
import tempfile
import termios
import time

from golden import free_ports, server

ESCAPE = re.compile(r"\x1b\[[0-9;?]*[a-zA-Z]")
failures = 0


def check(what, holds, seen=""):
    global failures
    if not holds:
        failures += 1
        print(f"FAILED  {what}\n{seen!r}")


class Kvctl:
    def __init__(self, binary, endpoint):
        self.binary, self.endpoint = binary, endpoint

    def argv(self, args):
        return [self.binary, "--endpoints", self.endpoint, *args]

    def env(self, variables):
        plain = {k: v for k, v in os.environ.items()
                 if not k.startswith(("ETCDCTL_", "KVCTL_")) and k not in ("NO_COLOR", "COLUMNS")}
        return {**plain, "TERM": "xterm", "LC_ALL": "C.UTF-8", **variables}

    def piped(self, *args, stdin="", **variables):
        done = subprocess.run(self.argv(args), input=stdin, capture_output=True, text=True, env=self.env(variables),
                              timeout=60, check=False)
        return done

    def on_terminal(self, *args, columns=100, keys="", until=None, **variables):
        """(what came on the terminal, exit code); `keys` are typed once `until` was seen, or at once."""
        leader, follower = pty.openpty()
        fcntl.ioctl(follower, termios.TIOCSWINSZ, struct.pack("HHHH", 30, columns, 0, 0))
        process = subprocess.Popen(self.argv(args), stdin=follower, stdout=follower, stderr=follower,
                                   env=self.env(variables), start_new_session=True,
                                   preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0))
        os.close(follower)
        seen, deadline = b"", time.monotonic() + 60
        while time.monotonic() < deadline:
            if keys and (until is None or until in seen.decode(errors="replace")):
                os.write(leader, keys.encode())
                keys = ""
            ready, _, _ = select.select([leader], [], [], 0.2)
            if not ready:
                continue
            try:
                part = os.read(leader, 65536)
            except OSError as error:  # EIO: nobody has the other end any more
                if error.errno != errno.EIO:
                    raise
                break
            if not part:
                break
            seen += part
        else:
            process.kill()
        code = process.wait(timeout=60)
        os.close(leader)
        return seen.decode(errors="replace").replace("\r\n", "\n"), code


def colours_and_tables(kvctl):
    kvctl.piped("put", "k1", "v1")
    seen, code = kvctl.on_terminal("get", "k1")
    check("a key is coloured", seen == "\x1b[36mk1\x1b[0m\nv1\n" and code == 0, seen)
    check("NO_COLOR is obeyed", kvctl.on_terminal("get", "k1", NO_COLOR="1")[0] == "k1\nv1\n")
    check("--color=never is obeyed", kvctl.on_terminal("get", "k1", "--color=never")[0] == "k1\nv1\n")
    check("a pipe is plain", kvctl.piped("get", "k1").stdout == "k1\nv1\n")
    check("--color=always colours a pipe", kvctl.piped("get", "k1", "--color=always").stdout == "\x1b[36mk1\x1b[0m\nv1\n")
    check("another --color is refused", kvctl.piped("get", "k1", "--color=red").returncode == 4)

    for command, heading in ((["member", "list"], "STATUS"), (["endpoint", "status"], "ROLE"),
                             (["endpoint", "health"], "HEALTH"), (["endpoint", "hashkv"], "HASH"),
                             (["lease", "list"], "LEFT"), (["user", "list"], "USER"), (["role", "list"], "ROLE")):
        seen, code = kvctl.on_terminal(*command)
        text = ESCAPE.sub("", seen)
        check(f"{command} is a table with colours", code == 0 and heading in text.split("\n")[0] and text != seen, seen)
        for columns in (40, 80):
            seen, _ = kvctl.on_terminal(*command, columns=columns)
            widest = max(len(line) for line in ESCAPE.sub("", seen).split("\n"))
            check(f"{command} fits {columns} columns", widest <= columns, seen)
        seen, _ = kvctl.on_terminal(*command, "-w", "simple")
        check(f"{command} -w simple is etcdctl's on a terminal too", heading not in seen and "\x1b" not in seen, seen)
        check(f"{command} is plain in a pipe", heading not in kvctl.piped(*command).stdout)
    check("no alarms are said", "no alarms" in kvctl.on_terminal("alarm", "list")[0])
    check("a piped alarm list is empty", kvctl.piped("alarm", "list").stdout == "")
    seen, _ = kvctl.on_terminal("member", "list", COLUMNS="40")
    check("$COLUMNS wins", max(map(len, ESCAPE.sub("", seen).split("\n"))) <= 40, seen)

    seen, code = kvctl.on_terminal("get", "k1", "--rev", "99999")
    check("errors are red, with what to do", code == 1 and seen.startswith("\x1b[31mError:\x1b[0m etcdserver: mvcc") and
          "\n  " in seen, seen)
    check("an error in a pipe is plain", "\x1b" not in kvctl.piped("get", "k1", "--rev", "99999").stderr)


def compact(kvctl):
    revision = int(re.search(r'"revision":(\d+)', kvctl.piped("get", "x", "-w", "json").stdout)[1])
    check("compaction", kvctl.piped("compaction", str(revision)).returncode == 0)
    return revision


def revision_now(kvctl):
    return int(re.search(r'"revision":(\d+)', kvctl.piped("get", "x", "-w", "json").stdout)[1])


def trees(kvctl):
    for key in ("/t/web/1", "/t/web/2", "/t/mail", "/t/"):
        kvctl.piped("put", key, "of " + key)
    tree = kvctl.piped("tree", "/t/w").stdout
    check("a prefix within a name shows whole names", tree.startswith("/t/\n└── web/  (2 keys)\n    ├── 1\n    └── 2\n"), tree)
    tree = kvctl.piped("tree", "/t/", "--values", "--depth", "1").stdout
    check("depth and values", "├── mail = of /t/mail\n└── web/  (2 keys)\n" in tree, tree)
    check("the number of keys is told", "\n4 keys at revision " in tree, tree)
    check("ASCII where the locale has no more", "`-- web/" in kvctl.piped("tree", "/t/", LC_ALL="C").stdout)
    check("a format that isn't known is refused", kvctl.piped("tree", "-w", "json").returncode == 4)


def diffs_and_history(kvctl):
    kvctl.piped("put", "h", "one\ntwo\nthree\n")
    first = revision_now(kvctl)
    kvctl.piped("put", "h", "one\n2\nthree\n")
    kvctl.piped("put", "h-added", "new")
    kvctl.piped("del", "k1")
    kvctl.piped("put", "h-same", "x")
    middle = revision_now(kvctl)
    kvctl.piped("put", "h-same", "x")
    diff = kvctl.piped("diff", str(first), str(middle)).stdout
    check("diff shows the changed line", "\n@@ -1,3 +1,3 @@\n one\n-two\n+2\n three\n" in diff, diff)
    check("diff shows the added key", f"--- (none)\n+++ h-added  (revision {first + 2}, version 1)\n@@ -0,0 +1 @@\n+new\n"
          in diff, diff)
    check("diff shows the removed key", "+++ (none)\n@@ -1 +0,0 @@\n-v1\n" in diff, diff)
    names = kvctl.piped("diff", str(first), "0", "--names-only").stdout
    check("names only", names == "M h\nA h-added\nA h-same\nD k1\n", names)
    check("a value written again is no difference", kvctl.piped("diff", str(middle), "0").stdout == "")
    back = kvctl.piped("diff", "0", str(first), "h-a", "--names-only").stdout
    check("backwards, with a prefix", back == "D h-added\n", back)
    objects = [json.loads(line) for line in kvctl.piped("diff", str(first), "0", "h", "-w", "json").stdout.splitlines()]
    check("diff as JSON", [o["what"] for o in objects] == ["changed", "added", "added"] and
          objects[0]["after"]["value"] == "one\n2\nthree\n", objects)

    kvctl.piped("del", "h")
    kvctl.piped("put", "h", "again")
    lines = [line.split() for line in kvctl.piped("history", "h").stdout.splitlines()]
    check("history has every change", [line[2] for line in lines] == ["WHAT", "created", "changed", "deleted", "created"],
          lines)
    check("history has revisions and versions", lines[1][:2] == [str(first), "1"] and lines[2][1] == "2" and
          lines[3][1] == "-", lines)
    newest = kvctl.piped("history", "h", "--limit", "1", "-w", "json").stdout
    check("history as JSON", json.loads(newest)["value"] == "again", newest)
    kvctl.piped("put", "h-gone", "x")
    kvctl.piped("del", "h-gone")
    lines = kvctl.piped("history", "h-gone").stdout.splitlines()
    check("a deleted key has history", len(lines) == 3 and "deleted" in lines[2], lines)
    # The server's word that there is nothing is believed at once. (Ten times, since a busy machine may be slow, too.)
    for _ in range(10):
        begin = time.monotonic()
        never = kvctl.piped("history", "never")
        took = time.monotonic() - begin
        check("a key that never was", never.returncode == 1 and "has no history" in never.stderr, never)
        if took < 0.9:
            break
    check("and it is told soon", took < 0.9, took)

    kvctl.piped("put", "h-other", "x")
    compacted = compact(kvctl)
    kvctl.piped("put", "h", "after")
    done = kvctl.piped("history", "h")
    check("behind a compaction the change in force is still told", done.stdout.count("\n") == 3 and "again" in done.stdout
          and f"before revision {compacted} is compacted" in done.stderr, done)
    gone = kvctl.piped("history", "h-gone")
    check("what was compacted away is no error of its own", gone.returncode == 1 and
          f"History begins at revision {compacted}" in gone.stderr, gone)
    for command in (["diff", str(first), "0"], ["tree", "--rev", str(first)], ["get", "h", "--rev", str(first)]):
        done = kvctl.piped(*command)
        check(f"{command}: the oldest revision is told", done.returncode == 1 and
              f"The oldest revision that can be read is {compacted}." in done.stderr, done)
    check("bad revisions are refused", kvctl.piped("diff", "x", "0").returncode == 128)


def history_on_etcd(binary):
    """etcd sends a watch a thousand revisions at a time: this many changes of a key that is gone end with a deletion
    each time."""
    ports = free_ports(2)
    with server("etcd", ports[0], ports[1], ports[1]):
        connection = http.client.HTTPConnection("127.0.0.1", ports[0], timeout=60)
        key = base64.b64encode(b"churn").decode()
        for _ in range(1100):
            for path, body in (("put", {"key": key, "value": key}), ("deleterange", {"key": key})):
                connection.request("POST", f"/v3/kv/{path}", json.dumps(body))
                connection.getresponse().read()
        connection.close()
        kvctl = Kvctl(binary, f"127.0.0.1:{ports[0]}")
        lines = kvctl.piped("history", "churn", "-w", "json").stdout.splitlines()
        check("a key that is gone has all of its history", [json.loads(line)["what"] for line in lines] ==
              ["created", "deleted"] * 1100, len(lines))
        never = kvctl.piped("history", "never")
        check("a key that never was, on etcd", never.returncode == 1 and "has no history" in never.stderr, never)


def edits(kvctl, scratch):
    def editor(name, text):
        path = os.path.join(scratch, name)
        with open(path, "w", encoding="utf-8") as script:
            script.write("#!/bin/sh\n" + text)
        os.chmod(path, 0o755)
        return path

    put = f"{kvctl.binary} --endpoints {kvctl.endpoint} put e other >/dev/null"
    variables = {"TMPDIR": scratch, "VISUAL": ""}
    lease = kvctl.piped("lease", "grant", "600").stdout.split()[1]
    kvctl.piped("put", "e", "old", "--lease", lease)
    done = kvctl.piped("edit", "e", **variables, EDITOR=editor("vi-like", 'echo "mode $(stat -c %a $1)" > $1'))
    check("edit writes, with the editor's newline taken off", done.stdout == "OK\n" and
          kvctl.piped("get", "e", "--print-value-only").stdout == "mode 600\n", done)
    check("the lease is kept", f'"Lease" : {int(lease, 16)}' in kvctl.piped("get", "e", "-w", "fields").stdout)
    check("no file is left", [f for f in os.listdir(scratch) if f.startswith("kvctl-edit")] == [])
    done = kvctl.piped("edit", "e", **variables, EDITOR="true")
    check("no change, no write", done.stdout == "unchanged\n" and done.returncode == 0, done)
    done = kvctl.piped("edit", "e", **variables, EDITOR=editor("slow", f"echo mine > $1; {put}"))
    kept = re.search(r"Your text is in (\S+)\. ", done.stderr)
    check("a change meanwhile is not overwritten", done.returncode == 1 and "was changed meanwhile" in done.stderr and
          kvctl.piped("get", "e", "--print-value-only").stdout == "other\n", done)
    check("the text is kept", kept and open(kept[1], encoding="utf-8").read() == "mine\n", done)
    check("what to do can be typed as it stands", subprocess.run(
        ["sh", "-c", re.search(r"(kvctl diff .*?); then", done.stderr)[1].replace(
            "kvctl", f"{kvctl.binary} --endpoints {kvctl.endpoint}")], capture_output=True, text=True, check=False).stdout
        .endswith("-mode 600\n+other\n"), done.stderr)
    os.unlink(kept[1])
    done = kvctl.piped("edit", "e", **variables, EDITOR="false")
    check("an editor that fails ends it", done.returncode == 1 and "the editor failed: exit status 1" in done.stderr, done)
    done = kvctl.piped("edit", "e/new.yaml", **variables, EDITOR=editor("named", 'case "$1" in *.yaml) echo yes > "$1";; esac'))
    check("a key that isn't there is made, and its ending is the file's",
          kvctl.piped("get", "e/new.yaml", "--print-value-only").stdout == "yes\n", done)
    done = kvctl.piped("edit", "e/none", **variables, EDITOR="true")
    check("no text, no key", kvctl.piped("get", "e/none").stdout == "" and done.returncode == 0, done)
    kvctl.piped("put", "e/late", stdin="x")
    done = kvctl.piped("edit", "e/born", **variables,
                       EDITOR=editor("born", f"echo mine > $1; {put.replace('put e ', 'put e/born ')}"))
    check("nor is a key that was made meanwhile", done.returncode == 1 and "was changed meanwhile" in done.stderr and
          kvctl.piped("get", "e/born", "--print-value-only").stdout == "other\n", done)
    for path in os.listdir(scratch):
        if path.startswith("kvctl-edit"):
            os.unlink(os.path.join(scratch, path))
    subprocess.run(kvctl.argv(["put", "e/bytes"]), input=b"\xff\x00", capture_output=True, check=True)
    done = kvctl.piped("edit", "e/bytes", **variables, EDITOR="true")
    check("bytes are not for an editor", done.returncode == 1 and "is no text" in done.stderr, done)
    seen, code = kvctl.on_terminal("edit", "e", EDITOR=editor("asks", "read answer; echo $answer > $1"),
                                   VISUAL="", TMPDIR=scratch, keys="typed\n")
    check("the editor has the terminal", code == 0 and kvctl.piped("get", "e", "--print-value-only").stdout == "typed\n", seen)


def semaphores(kvctl):
    def places():
        return kvctl.piped("semaphore", "s", "--list").stdout

    def wait_for(what, text):
        deadline = time.monotonic() + 60
        while text not in places():
            if time.monotonic() > deadline:
                check(what, False, places())
                return
            time.sleep(0.05)

    holders = []
    for name in ("a", "b"):
        holders.append(subprocess.Popen(kvctl.argv(["semaphore", "s", "--permits", "2", "--identity", name]),
                                        stdout=subprocess.DEVNULL, env=kvctl.env({})))
        wait_for(f"{name} holds a permit", f"{len(holders)} of 2 permits are held, 0 wait")
    waiter = subprocess.Popen(kvctl.argv(["semaphore", "s", "--permits", "2", "--", "sh", "-c", "echo ran; exit 3"]),
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=kvctl.env({}))
    wait_for("the third waits", "2 of 2 permits are held, 1 wait")
    check("the third does not run", waiter.poll() is None)
    other = kvctl.piped("semaphore", "s", "--permits", "5")
    check("another number of permits is refused", other.returncode == 1 and "has 2 permits" in other.stderr, other)
    holders[0].terminate()
    out, _ = waiter.communicate(timeout=60)
    check("it runs once a permit is free, and its exit code is kvctl's", out == b"ran\n" and waiter.returncode == 3, out)
    check("a holder that is told to stop ends well", holders[0].wait(timeout=60) == 0)
    holders[1].terminate()
    holders[1].wait(timeout=60)
    wait_for("all permits come back", "0 of 2 permits are held, 0 wait")


def run(tests, description):
    """Runs `tests(kvctl)` against a kvd of their own, and ends the program."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kvctl", required=True)
    parser.add_argument("--kvd", required=True)
    options = parser.parse_args()
    client, peer = free_ports(2)
    with server(options.kvd, client, peer, peer):
        tests(Kvctl(options.kvctl, f"127.0.0.1:{client}"))
    print(f"{failures} failed" if failures else "all passed")
    sys.exit(1 if failures else 0)


def for_people(kvctl):
    colours_and_tables(kvctl)
    trees(kvctl)
    semaphores(kvctl)
    diffs_and_history(kvctl)
    history_on_etcd(kvctl.binary)
    with tempfile.TemporaryDirectory(prefix="kvctl_terminal.") as scratch:
        edits(kvctl, scratch)


if __name__ == "__main__":
    run(for_people, __doc__)
