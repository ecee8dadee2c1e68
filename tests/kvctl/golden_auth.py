#!/usr/bin/env python3
"""Runs etcdctl's and kvctl's auth, user and role side by side and compares them, byte for byte.

    golden_auth.py --kvctl PATH --server etcd [--etcdctl etcdctl] [--only TEXT] [--verbose]

As in golden.py all cases run in one order with etcdctl on a fresh server and with kvctl on another of the same name.
They make users and roles, turn authentication on, and then do as root, as a user with some rights, and as strangers.
"""

import argparse
import os
import subprocess
import sys

from golden import Case, differences, run, side_by_side

FORMATS = ["simple", "json", "fields", "protobuf", "table"]
ROOT = ["--user", "root:of root"]
ALICE = ["--user", "alice:of alice"]


def in_formats(args, formats=FORMATS):
    return [Case([*args, "-w", f]) for f in formats]


def cases():
    c = []
    add = lambda *args, **kwargs: c.append(Case(list(args), **kwargs))
    # Without a server's answer.
    for args in (["user", "add"], ["user", "add", "a", "b"], ["user", "add", ":p"], ["user", "delete"], ["user", "get"],
                 ["user", "list", "x"], ["user", "passwd"], ["user", "grant-role", "a"], ["user", "revoke-role", "a"],
                 ["role", "add"], ["role", "delete"], ["role", "get"], ["role", "list", "x"],
                 ["role", "grant-permission", "r", "read"], ["role", "grant-permission", "r", "execute", "k"],
                 ["role", "grant-permission", "r", "read", "k", "--prefix", "--from-key"],
                 ["role", "grant-permission", "r", "read", "k", "l", "--prefix"],
                 ["role", "grant-permission", "r", "read", "k", "l", "--from-key"],
                 ["role", "revoke-permission", "r"], ["auth", "enable", "x"], ["auth", "disable", "x"]):
        add(*args)
    # Before there is anything.
    add("auth", "enable")
    for args in (["user", "get", "alice"], ["user", "delete", "alice"], ["user", "grant-role", "alice", "r"],
                 ["user", "revoke-role", "alice", "r"], ["role", "get", "r"], ["role", "delete", "r"],
                 ["role", "grant-permission", "r", "read", "k"], ["role", "revoke-permission", "r", "k"],
                 ["user", "passwd", "alice", "--interactive=false"]):
        add(*args, stdin="pw\n")
    # Users and roles come to be.
    add("user", "add", "root:of root")
    add("user", "add", "root:of root")
    add("user", "add", "alice", "--new-user-password", "of alice")
    add("user", "add", "bob", "--interactive=false", stdin="ofbob\n")
    add("user", "add", "carol", "--no-password")
    add("user", "add", "dave:a:b", "-w", "json")
    add("role", "add", "writer")
    add("role", "add", "writer")
    add("role", "add", "reader", "-w", "json")
    add("user", "grant-role", "alice", "nothing")
    add("user", "grant-role", "alice", "writer")
    add("user", "grant-role", "alice", "writer")
    add("user", "grant-role", "alice", "reader", "-w", "json")
    add("role", "grant-permission", "writer", "readwrite", "app/", "--prefix")
    add("role", "grant-permission", "writer", "write", "k1", "k9")
    add("role", "grant-permission", "writer", "READ", "one")
    add("role", "grant-permission", "reader", "read", "z", "--from-key", "-w", "json")
    add("role", "grant-permission", "reader", "read", "", "--prefix")
    add("role", "grant-permission", "reader", "read", "b", "a")
    for args in (["user", "get", "alice"], ["user", "list"]):
        c.extend(in_formats(args, ["simple", "json", "protobuf", "table"]))  # etcdctl has no fields for these
    for args in (["role", "get", "writer"], ["role", "get", "reader"], ["role", "list"]):
        c.extend(in_formats(args))
    add("user", "get", "alice", "--detail")
    add("user", "get", "nobody")
    # Authentication is turned on; the root role is made on the way.
    add("auth", "enable")
    add("auth", "enable", *ROOT)
    add("role", "get", "root", *ROOT)
    add("get", "app/1")
    add("put", "app/1", "v", "--user", "alice:wrong")
    add("put", "app/1", "v", "--user", "nobody:pw")
    add("put", "app/1", "v", "--user", "carol:pw", error_differs=True)  # etcd tells who has no password
    add("put", "app/1", "v", *ALICE)
    add("put", "app/1", "v", "--user", "alice", "--password", "of alice")
    add("get", "app/1", *ALICE)
    add("get", "app/", "app0", *ALICE)
    add("get", "app/", "app1", *ALICE)
    add("put", "k5", "v", *ALICE)
    add("get", "k5", *ALICE)
    add("put", "k9", "v", *ALICE)
    add("get", "one", *ALICE)
    add("put", "one", "v", *ALICE)
    add("get", "zz", "--from-key", *ALICE)
    add("del", "app/1", *ALICE)
    add("del", "--prefix", "", *ALICE)
    add("txn", *ALICE, stdin='mod("app/1") = "0"\n\nput app/2 v\n\n\n')
    add("txn", *ALICE, stdin='mod("app/1") = "0"\n\nput q v\n\n\n')
    add("txn", *ALICE, stdin='mod("app/1") = "0"\n\n\nput q v\n\n')
    add("user", "list", *ALICE)
    add("user", "get", "alice", *ALICE)
    add("user", "get", "bob", *ALICE)
    add("role", "get", "writer", *ALICE)
    add("role", "get", "root", *ALICE)
    add("user", "add", "eve:pw", *ALICE)
    add("auth", "disable", *ALICE)
    add("auth", "disable")
    # Rights are taken away.
    add("role", "revoke-permission", "writer", "k1", "k9", *ROOT)
    add("put", "k5", "v", *ALICE)
    add("role", "revoke-permission", "writer", "app/", "--prefix", *ROOT)
    add("role", "revoke-permission", "reader", "z", "--from-key", *ROOT)
    add("role", "revoke-permission", "writer", "one", *ROOT)
    add("put", "app/1", "v", *ALICE)
    add("user", "revoke-role", "alice", "writer", *ROOT)
    add("user", "revoke-role", "root", "root", *ROOT)
    add("user", "delete", "root", *ROOT)
    add("role", "delete", "root", *ROOT)
    add("user", "passwd", "alice", "--interactive=false", *ROOT, stdin="new\n")
    add("get", "b", *ALICE)
    add("get", "b", "--user", "alice:new")
    add("user", "delete", "alice", *ROOT)
    add("get", "b", "--user", "alice:new")
    add("role", "delete", "writer", *ROOT)
    add("role", "list", *ROOT)
    add("auth", "disable", *ROOT)
    add("get", "app/2")
    add("auth", "disable")
    return c


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kvctl", required=True)
    parser.add_argument("--etcdctl", default="etcdctl")
    parser.add_argument("--server", default="etcd", help="the server's binary: etcd or kvd")
    parser.add_argument("--only", default="", help="report only cases whose command line contains this")
    parser.add_argument("--verbose", action="store_true")
    options = parser.parse_args()
    version = subprocess.run([options.etcdctl, "version"], capture_output=True, env={**os.environ, "ETCDCTL_API": "3"},
                             check=True).stdout.decode()
    older = "API version: 3.4" in version
    every = cases()
    answers = side_by_side(options.server, (options.etcdctl, options.kvctl),
                           lambda program, endpoint: [run(program, case, endpoint) for case in every])
    passed = failed = 0
    for case, theirs, ours in zip(every, answers[options.etcdctl], answers[options.kvctl]):
        if options.only not in case.name():
            continue
        found = differences(case, theirs, ours, older)
        passed, failed = passed + (not found), failed + bool(found)
        if found:
            print(f"DIFFERS {case.name()}", *found, sep="\n")
        elif options.verbose:
            print(f"same    {case.name()}")
    print(f"etcdctl {version.split()[2]} and kvctl on {os.path.basename(options.server)}: comparisons")
    print(f"{passed} passed, {failed} failed")
    sys.exit(1 if failed or not passed else 0)


if __name__ == "__main__":
    main()
