#!/usr/bin/env python3
"""Sends the same random requests to the v2 doors of two servers and compares the answers.

On a difference it prints the seed, the step, both answers, and a short sequence of steps that shows it.
"""
import argparse
import json
import os
import re
import subprocess
import sys
import time
from collections import Counter
from urllib.parse import quote

from differences import REDIRECTS, explanation
from exchange import SECONDS, Side, settle
from generator import steps
from normal import Normal
from servers import Server, is_etcd

SHRINK_SECONDS = 60


class Refuted(Exception):
    """The two sides differ: at a step, in answers as they came."""

    def __init__(self, step, what, a, b):
        super().__init__(what)
        self.step, self.what, self.a, self.b = step, what, a, b


class Pair:
    def __init__(self, a, b, known=explanation, plant=False):
        self.a, self.b = Side(a), Side(b)
        self.sides = [(self.a, Normal(self.a)), (self.b, Normal(self.b))]
        self.on_purpose = is_etcd(a.program) and not is_etcd(b.program)
        self.known = known if self.on_purpose else lambda step, a, b: None
        self.plant = plant
        self.queries = {}  # of the open watches
        self.explained = Counter()
        self.seen = Counter()  # kinds of answers: what the seeds have asked

    def begin(self):
        """Both without a key, and indexes that count from here."""
        for side, _ in self.sides:
            side.end()
            found = side.call("GET", "/v2/keys/?quorum=true")
            names = re.findall(rb'"key":("(?:[^"\\]|\\.)*")', found.body)
            for key in [json.loads(name) for name in names]:
                side.call("DELETE", f"/v2/keys{quote(key)}?recursive=true")
            # What no listing shows, or shows by another name.
            for key in ("/_h", "/%ff"):
                side.call("DELETE", f"/v2/keys{key}?recursive=true")
            # So that the first index of a run is large enough not to be taken for one that was sent.
            side.call("PUT", "/v2/keys/begin", b"value=1", "application/x-www-form-urlencoded")
            last = side.call("DELETE", "/v2/keys/begin")
            left = side.call("GET", "/v2/keys/?quorum=true")
            if left.status != 200 or b'"nodes"' in left.body:
                raise AssertionError(f"{side.server.name} could not be emptied: {left}")
            side.begin(int(last.headers["X-Etcd-Index"]))

    @staticmethod
    def resolve(text, side):
        """The text with names replaced by what they stand for on this side."""
        def value(match):
            kind, argument = match[1], match[2]
            if kind == "post":
                number = int(argument)
                return side.posted[number] if number < len(side.posted) else "none"
            if kind == "mod":
                return str(side.modified.get(argument, side.base + 1))
            return str(max(side.base + 1, side.index + int(argument)))
        return re.sub(r"\{(now|mod|post):?([^}]*)\}", value, text)

    def play(self, sequence):
        self.begin()
        for step in sequence:
            try:
                self.step(step)
            except OSError as error:
                raise Refuted(step, f"no answer: {error}", "?", "?") from None
        for name in list(self.a.watches):
            self.close(name, None)

    def step(self, step):
        if step.kind == "close":
            return self.close(step.name, step)
        answers = [self.ask(side, step, self.resolve(step.target(), side)) for side, _ in self.sides]
        if self.on_purpose and answers[0].status == 301 != answers[1].status:
            # Kvd redirects never: it answers at once what etcd answers under the path that it sends its client to.
            self.explained[REDIRECTS] += 1
            answers[0] = self.ask(self.a, step, answers[0].headers["Location"])
        is_sorted = re.search(r"sorted=(true|1|T|TRUE|True)", step.query) is not None
        self.compare(step, answers, is_sorted, step.method == "POST")
        if step.kind == "expire" and all(answer.status in (200, 201) for answer in answers):
            self.expire(step)

    def ask(self, side, step, target):
        if step.kind == "watch":
            self.queries[step.name] = step.query
            return side.open_watch(step.name, step.method, target)
        body = None if step.body is None else self.resolve(step.body, side).encode()
        return side.call(step.method, target, body, step.content_type)

    def expire(self, step):
        """The key was written with a short life: both servers must tell of its end."""
        if self.on_purpose and "dir=true" in (step.body or ""):
            return self.vanish(step)
        watches = []
        for side, _ in self.sides:
            side.open_watch("expire", "GET", self.resolve(f"/v2/keys{step.key}?wait=true&waitIndex=" + "{now+1}", side))
            watches.append(side.watches.get("expire"))
        if None in watches:
            raise Refuted(step, "its end can't be watched", *("refused" if watch is None else "watched" for watch in watches))
        for watch in watches:
            watch.wait(lambda lines, done: done, SECONDS)
        self.close("expire", step)
        # The index is the next one now, whatever is asked next.
        for side, _ in self.sides:
            answer = side.call("GET", "/v2/keys/?quorum=true")
            side.index = max(side.index, int(answer.headers.get("X-Etcd-Index", 0)))

    def vanish(self, step):
        """A directory's end, of which kvd's watches tell by the keys below alone: it is gone from both servers."""
        for side, _ in self.sides:
            deadline = time.monotonic() + SECONDS
            while (answer := side.call("GET", self.resolve(f"/v2/keys{step.key}?quorum=true", side))).status == 200:
                if time.monotonic() > deadline:
                    raise Refuted(step, f"{side.server.name} keeps the directory", "?", "?")
            side.index = max(side.index, int(answer.headers.get("X-Etcd-Index", 0)))

    def close(self, name, step):
        watches = [side.watches.pop(name, None) for side, _ in self.sides]
        if None in watches:
            # Both have refused to watch, or the step before it was left out of a shorter sequence.
            for watch in watches:
                if watch is not None:
                    watch.close()
            return
        past = "waitIndex" in self.queries.pop(name, "")

        # Where the sides tell different events they would learn different indexes.
        learned = [dict(side.modified) for side, _ in self.sides]

        def normal():
            return [{"events": [side.body(line, False) for line in lines], "ended": done, "asks for the past": past}
                    for (lines, done), (_, side) in zip((watch.state() for watch in watches), self.sides)]

        def agree():
            shown = normal()
            return shown[0] == shown[1] or self.known(step, *shown) is not None
        settle(*watches, agree)
        shown = [b"".join(lines).decode("utf-8", "backslashreplace") + ("(ended)" if done else "(open)")
                 for lines, done in (watch.state() for watch in watches)]
        events = normal()
        for (side, _), modified in zip(self.sides, learned):
            side.modified = modified
        for watch in watches:
            watch.close()
        self.differ(step, events, shown)

    def compare(self, step, answers, is_sorted, is_post):
        if self.plant:
            answers[1].body = answers[1].body.replace(b'"value":"v1"', b'"value":"v9"')
        code = re.match(rb'{"errorCode":(\d+)', answers[0].body)
        self.seen[f"{step.kind if step.kind != 'call' else step.method} {answers[0].status}" +
                  (f"/{code[1].decode()}" if code else "")] += 1
        normal = [normal.answer(answer, is_sorted, is_post) for answer, (_, normal) in zip(answers, self.sides)]
        self.differ(step, normal, answers)

    def differ(self, step, normal, shown):
        if normal[0] == normal[1]:
            return
        reason = self.known(step, *normal)
        if reason is not None:
            self.explained[reason] += 1
            return
        fields = ", ".join(name for name in normal[0] if normal[0][name] != normal[1][name])
        raise Refuted(step, fields, *shown)


def shrink(pair, sequence, refuted):
    """Leaves out what the difference does not need, for as long as there is time."""
    deadline = time.monotonic() + SHRINK_SECONDS
    # By identity: equal steps may occur more than once.
    sequence = sequence[:next(i for i, step in enumerate(sequence) if step is refuted.step) + 1] if refuted.step else sequence
    size = len(sequence) // 2
    while size >= 1 and time.monotonic() < deadline:
        end = len(sequence) - 1
        while end > 0 and time.monotonic() < deadline:
            begin = max(0, end - size)
            shorter = sequence[:begin] + sequence[end:]
            try:
                pair.play(shorter)
            except Refuted as again:
                if again.step is refuted.step and again.what == refuted.what:
                    sequence, refuted = shorter, again
            end = begin
        size //= 2
    return sequence, refuted


def report(seed, pair, sequence, refuted):
    a, b = pair.a.server.name, pair.b.server.name
    number = sequence.index(refuted.step) + 1 if refuted.step in sequence else len(sequence)
    print(f"seed {seed}: MISMATCH at step {number} in {refuted.what}: {refuted.step}")
    sequence, refuted = shrink(pair, sequence, refuted)
    print(f"shortest sequence found ({len(sequence)} steps; indexes below count from a new beginning):")
    for step in sequence:
        print(f"    {step}")
    print(f"    {a}: {refuted.a}\n    {b}: {refuted.b}", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--a", default="/usr/bin/etcd", help="the program whose answers are right")
    parser.add_argument("--b", required=True, help="the program that is compared with it")
    parser.add_argument("--members", type=int, default=1, help="members of the second")
    parser.add_argument("--seed", type=int, default=1, help="the first seed")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--long-seeds", type=int, help="how many when KVD_TEST_LONG is set")
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--plant", action="store_true", help="falsifies a value in the second server's answers, to see that it is noticed")
    parser.add_argument("--keep-going", action="store_true", help="goes on with the next seed after a difference")
    parser.add_argument("--print", action="store_true", help="prints the steps of the seed and ends")
    parser.add_argument("--calls-only", action="store_true", help="no watches")
    options = parser.parse_args()
    seeds = options.long_seeds if options.long_seeds and os.environ.get("KVD_TEST_LONG") else options.seeds
    if options.print:
        print("\n".join(str(step) for step in steps(options.seed, options.steps)))
        return 0

    servers = []
    failed = []
    try:
        servers.append(Server(options.a))
        servers.append(Server(options.b, options.members))
        for server in servers:
            server.wait_ready()
        pair = Pair(*servers, plant=options.plant)
        for seed in range(options.seed, options.seed + seeds):
            begun = time.monotonic()
            sequence = [step for step in steps(seed, options.steps) if step.kind == "call" or not options.calls_only]
            try:
                pair.play(sequence)
                print(f"seed {seed}: equal in {len(sequence)} steps, {time.monotonic() - begun:.1f} s", flush=True)
            except Refuted as refuted:
                failed.append(seed)
                report(seed, pair, sequence, refuted)
                if not options.keep_going:
                    break
        for reason, count in sorted(pair.explained.items()):
            print(f"explained in docs/rest.md, {reason}: {count}")
        print("answers: " + ", ".join(f"{kind}: {count}" for kind, count in sorted(pair.seen.items())))
        for side, _ in pair.sides:
            side.end()
            side.hang_up()
    finally:
        for server in servers:
            server.end()
    print(f"{seeds} seeds, {len(failed)} with a difference")
    for seed in failed:
        print(f"again: {sys.argv[0]} --b {options.b} --seed {seed} --steps {options.steps}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
