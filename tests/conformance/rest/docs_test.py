#!/usr/bin/env python3
"""Runs every command of docs/rest.md on one fresh server, in order, and compares what it prints with the page.

A command stands in an indented block behind `$ `, and its output below it. What no two runs have in common is `...` there.
usage: docs_test.py SERVER [--write]      with --write the page gets what the server said
"""
import os
import re
import signal
import subprocess
import sys

from servers import TESTS, Server

PAGE = os.path.join(TESTS, "..", "docs", "rest.md")
if not os.path.exists(PAGE):
    PAGE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "page.md")  # its draft
SECONDS = 60
# What no two runs have in common.
CHANGING = [(re.compile(r'("expiration":")[^"]*'), r"\g<1>..."), (re.compile(r"(X-(?:Etcd-Cluster-Id|Raft-Index|Raft-Term): ).*"), r"\g<1>..."),
            (re.compile(r"(Date: ).*"), r"\g<1>..."), (re.compile(r'("(?:id|leader|startTime|uptime)":")[^"]*'), r"\g<1>...")]


def run(command, port):
    text = command.replace("localhost:2379", f"127.0.0.1:{port}")
    # A kvctl of the page is the one beside the server.
    environment = dict(os.environ, PATH=os.path.dirname(os.path.abspath(sys.argv[1])) + ":" + os.environ["PATH"])
    done = subprocess.Popen(["bash", "-c", text], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True,
                            env=environment)
    try:
        output = done.communicate(timeout=SECONDS)[0].decode("utf-8", "replace")
    except subprocess.TimeoutExpired:
        os.killpg(done.pid, signal.SIGKILL)
        output = "(never ends)"
    output = output.replace("\r", "").replace(f"127.0.0.1:{port}", "localhost:2379")
    for pattern, text in CHANGING:
        output = pattern.sub(text, output)
    return [line for line in output.split("\n") if line.strip()]


def main():
    server = Server(os.path.abspath(sys.argv[1]))
    write = "--write" in sys.argv
    with open(PAGE) as file:
        lines = file.read().split("\n")
    result, failed, commands, at = [], 0, 0, 0
    try:
        server.wait_ready()
        while at < len(lines):
            line = lines[at]
            at += 1
            result.append(line)
            if not line.startswith("    $ "):
                continue
            command = line[6:]
            while command.endswith("\\"):
                result.append(lines[at])
                command = command[:-1] + lines[at].strip()
                at += 1
            expected = []
            while at < len(lines) and lines[at].startswith("    ") and not lines[at].startswith("    $ "):
                expected.append(lines[at][4:])
                at += 1
            commands += 1
            printed = run(command, server.port)
            result += ["    " + line for line in printed]
            if printed != expected:
                failed += 1
                print(f"{command}\n  the page:\n    " + "\n    ".join(expected) + "\n  the server:\n    " + "\n    ".join(printed))
    finally:
        server.end()
    if write:
        with open(PAGE, "w") as file:
            file.write("\n".join(result))
    print(f"{commands} commands, {failed} with another output")
    return 1 if failed and not write else 0


if __name__ == "__main__":
    sys.exit(main())
