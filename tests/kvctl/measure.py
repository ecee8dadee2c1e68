#!/usr/bin/env python3
"""kvctl bench and top, with kvctl and kvd as users run them. How fast they are is no matter here.

    measure.py --kvctl PATH --kvd PATH
"""

import json
import signal
import subprocess
import time

from golden import free_ports
from terminal import ESCAPE, Kvctl, check, run


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


def looks(kvctl):
    once = kvctl.piped("top", "--once", "--interval", "200ms")
    row = once.stdout.split("\n")[4].split() if once.stdout.count("\n") > 4 else []
    check("top shows the member", once.returncode == 0 and row[:2] == ["m1", "leader"] and "no alarms" in once.stdout and
          "\x1b" not in once.stdout, once)
    lines = kvctl.piped("top", "-n", "2", "--interval", "100ms", "-w", "json").stdout.splitlines()
    member = json.loads(lines[1])["members"][0] if len(lines) == 2 else {}
    check("as JSON, with rates and sizes", member.get("role") == "leader" and "puts_per_s" in member and
          member["lag"] == 0 and member["db_size"] > 0 and member["clients"] >= 1, lines)
    writer = subprocess.Popen(kvctl.argv(["bench", "put", "--rate", "200", "--total", "100000"]), env=kvctl.env({}),
                              stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    looking = subprocess.Popen(kvctl.argv(["top", "-n", "300", "--interval", "100ms", "-w", "json"]),
                               env=kvctl.env({}), stdout=subprocess.PIPE, text=True)
    seen = any(json.loads(line)["members"][0].get("puts_per_s", 0) > 0 for line in looking.stdout)
    for process in (looking, writer):
        process.terminate()
    looking.stdout.close()
    check("puts are seen", seen)
    for process in (looking, writer):
        process.wait(timeout=60)
    seen, code = kvctl.on_terminal("top", "--interval", "100ms", columns=100, keys="\x03", until="\x1b[J", TERM="xterm")
    check("on a terminal it draws the whole screen, until Ctrl-C gives it back", code == 0 and
          seen.startswith("\x1b[?1049h") and "\x1b[?1049l" in seen and "Ctrl-C ends." in seen, seen)
    check("and fits", max(map(len, ESCAPE.sub("", seen).split("\n"))) <= 100, seen)
    seen, _ = kvctl.on_terminal("top", "--once", "--interval", "100ms", columns=60)
    check("one look does not take the screen", "\x1b[?1049h" not in seen and "leader" in seen, seen)

    port = free_ports(1)[0]
    done = kvctl.piped("top", "--once", "--interval", "100ms", "--cluster=false", "--dial-timeout", "500ms", "--endpoints",
                       f"127.0.0.1:{port}")
    check("a member that is away is said", done.returncode == 0 and "unreachable" in done.stdout and
          "Connection refused" in done.stdout and "leader" in done.stdout, done)
    done = Kvctl(kvctl.binary, f"127.0.0.1:{port}").piped("top", "--once", "--interval", "100ms", "--dial-timeout", "500ms")
    check("none that answers is an error", done.returncode == 1 and "no member answers" in done.stderr, done)
    for flags, code in ((["--interval", "1ms"], 128), (["-n", "-1"], 128), (["x"], 128), (["-w", "fields"], 4)):
        check(f"top {flags} is refused", kvctl.piped("top", *flags).returncode == code)


def all_of_it(kvctl):
    benches(kvctl)
    looks(kvctl)


if __name__ == "__main__":
    run(all_of_it, __doc__)
