#!/usr/bin/env python3
"""golden.py's comparison for `check perf` and `check datascale`: etcdctl's texts, whose numbers are masked. etcdctl's bar
stands in its standard output; kvctl has one on a terminal only.

    golden_check.py --kvctl PATH [--server etcd|PATH/kvd] [--etcdctl etcdctl]

`check perf` takes a minute, and so runs with KVD_TEST_LONG=1 only. What it says about the machine may differ between the
two, which share it: the verdicts' words are check_report_test.cc's.
"""

import argparse
import os
import re
import subprocess
import sys

from golden import LONG, Answer, side_by_side

BAR = re.compile(rb"^ *\d+ / \d+ .*$")
EITHER = [(rb"PASS: Throughput is|FAIL: Throughput too low:", b"throughput"),
          (rb"PASS: Slowest request took|Slowest request took too long:", b"slowest"),
          (rb"PASS: Stddev is|Stddev too high:", b"stddev"),
          (rb"\nPASS\n$|\nFAIL\n$", b"\nverdict\n")]


def cases():
    yield ["check", "perf", "--load", "huge"]
    yield ["check", "datascale", "--load", "huge"]
    yield ["put", "/etcdctl-check-perf/x", "v"]
    yield ["put", "/etcdctl-check-datascale/x", "v"]
    yield ["put", "mine/x", "v"]
    yield ["check", "perf"]
    yield ["check", "datascale"]
    yield ["check", "perf", "--prefix", "mine/"]
    yield ["check", "datascale", "--prefix", "mine/", "--load", "xLarge"]
    yield ["del", "--prefix", "/etcdctl-check-"]
    yield ["check", "datascale"]
    yield ["check", "datascale", "--load", "small", "--prefix", "other/", "--auto-compact", "--auto-defrag"]
    # Both leave nothing but revisions.
    yield ["get", "--prefix", "", "--keys-only"]
    yield ["get", "x", "-w", "json"]
    if LONG:
        yield ["check", "perf", "--auto-compact"]


def shown(answer, args):
    """What is compared: the output without the bar, the exit code, the error."""
    lines = [line for line in answer.out.replace(b"\r", b"\n").split(b"\n") if line and not BAR.match(line)]
    out = b"\n".join([*lines, b""])
    out = re.sub(rb"used : -?[\d.]+ MB", b"used : N MB", out)
    if "perf" in args:
        for either, text in EITHER:
            out = re.sub(either, text, out)
        out = re.sub(rb"[\d.]+( writes/s|s\n)", rb"N\1", out)
        out = re.sub(rb"(Compact\w+ with revision) \d+", rb"\1 N", out)  # as many puts as the minute let through
    # Today's etcdctl quotes the command in the one of both, Debian's in none.
    error = re.sub(rb"Delete with '?(\w+) del --prefix (\S+?)'? first", rb"Delete with PROGRAM del --prefix \2 first",
                   answer.error)
    return out, answer.code, error


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kvctl", required=True)
    parser.add_argument("--etcdctl", default="etcdctl")
    parser.add_argument("--server", default="etcd", help="the server's binary: etcd or kvd")
    options = parser.parse_args()

    def perform(program, endpoint):
        env = {k: v for k, v in os.environ.items() if not k.startswith(("ETCDCTL_", "KVCTL_"))}
        answers = []
        for args in cases():
            done = subprocess.run([program, "--endpoints", endpoint, *args], stdin=subprocess.DEVNULL,
                                  capture_output=True, env={**env, "ETCDCTL_API": "3"}, timeout=300, check=False)
            answers.append(Answer(done.stdout, done.returncode, done.stderr))
        return answers

    programs = (options.etcdctl, options.kvctl)
    answers = side_by_side(options.server, programs, perform)
    failed = 0
    for args, theirs, ours in zip(cases(), *(answers[p] for p in programs)):
        theirs, ours = shown(theirs, args), shown(ours, args)
        if theirs != ours:
            failed += 1
            print(f"DIFFERS {' '.join(args)}\n  etcdctl {theirs!r}\n  kvctl   {ours!r}")
    print(f"{sum(1 for _ in cases()) - failed} passed, {failed} failed")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
