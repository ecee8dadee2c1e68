#!/usr/bin/env python3
"""kvctl bench, with kvctl and kvd as users run them. How fast they are is no matter here.

    measure.py --kvctl PATH --kvd PATH
"""

import json
import signal
import subprocess
import time

from terminal import ESCAPE, check, run


def count(kvctl, prefix):
    return int(kvctl.piped("get", "--prefix", prefix, "--count-only", "-w", "fields").stdout.split('"Count" : ')[1])


def benches(kvctl):
    kvctl.piped("put", "/kvctl-bench/mine", "stays")
    leases_before = kvctl.piped("lease", "list").stdout
    for name, *flags in (["put", "--sequential"], ["put", "--rate", "2000", "--val-size", "1000"],
                         ["range", "--keys", "250", "--span", "10"], ["range", "--keys", "20", "--consistency", "s"],
                         ["txn", "--puts", "3", "--gets", "2"], ["watch", "--watches", "5"], ["lease-keepalive"]):
        done = kvctl.piped("bench", name, "--total", "300", "--clients", "6", "--connections", "2", *flags, "-w", "json")
        what = f"bench {name} {flags}"
        check(f"{what} is done", done.returncode == 0, done)
        if done.returncode != 0:
            continue
        report = json.loads(done.stdout)
        check(f"{what} counts its calls", report["bench"] == name and report["done"] == 300 and report["failed"] == 0 and
              sum(step["count"] for step in report["latency"]["histogram"]) == 300, report)
        times = [float(s) for s in report["latency"]["percentiles_s"].values()]
        check(f"{what} has percentiles", times == sorted(times) and times[0] > 0, report)
        if name == "watch":
            check("each watch saw each put", report["events"]["latency"]["count"] == 1500 and
                  report["events"]["missing"] == 0, report)
        if name == "lease-keepalive":
            check("it says what it does", "Makes 6 leases, and revokes them" in done.stderr, done)
            leases = kvctl.piped("lease", "list")
            check("the leases are revoked", leases.stdout == leases_before, leases)
        else:
            check(f"{what} says that it writes", "Writes keys under /kvctl-bench/" in done.stderr, done)
        check(f"{what} leaves no keys, and others alone", count(kvctl, "") == 1 and count(kvctl, "/kvctl-bench/mine") == 1)

    plain = kvctl.piped("bench", "put", "--total", "200")
    check("text in a pipe is plain, with the histogram", plain.returncode == 0 and "\x1b" not in plain.stdout and
          plain.stdout.startswith("200 puts in ") and "\n  99.9%" in plain.stdout and "  <= " in plain.stdout, plain)
    check("no bar in a pipe", "\r" not in plain.stderr, plain)
    seen, code = kvctl.on_terminal("bench", "put", "--total", "300", "--rate", "300", columns=90)
    check("on a terminal a bar moves", code == 0 and seen.count("\rput [") >= 2, seen)
    report = ESCAPE.sub("", seen)[ESCAPE.sub("", seen).rfind("\r"):]
    check("and the report fits", "█" in report and max(map(len, report.split("\n"))) <= 90, seen)

    for flags in (["--clients", "0"], ["--total", "0"], ["--rate", "-1"], ["--keys", "1000", "--key-size", "2"],
                  ["--prefix", ""], ["--key-size", "5000"], ["surplus"]):
        done = kvctl.piped("bench", "put", *flags)
        check(f"bench put {flags} is refused", done.returncode == 128 and done.stderr.startswith("Error: "), done)
    check("another format is refused", kvctl.piped("bench", "put", "-w", "table").returncode == 4)
    check("an empty transaction is refused", kvctl.piped("bench", "txn", "--puts", "0").returncode == 128)
    check("a value that the server refuses fails, and the text is told",
          "request is too large" in kvctl.piped("bench", "put", "--total", "2", "--val-size", "1800000").stdout)

    process = subprocess.Popen(kvctl.argv(["bench", "put", "--rate", "20", "--total", "100000"]), env=kvctl.env({}),
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 60
    while count(kvctl, "/kvctl-bench/") < 3 and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    check("Ctrl-C ends it with what was measured", process.returncode == 1 and " puts in " in out and
          "interrupted" in err, (out, err))
    check("and the keys are removed", count(kvctl, "") == 1)


if __name__ == "__main__":
    run(benches, __doc__)
