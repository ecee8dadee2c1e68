#!/usr/bin/env python3
"""A cluster of three goes from one build of kvd to another, member by member, while it is written to; and a member alone
goes to and fro, and knows what there was at every revision.

usage: upgrade_test.py OLD NEW [unittest's arguments]

Not one of ctest's: it needs the binary of another version, as in docs/operations.md ("Upgrade").
"""
import os
import shutil
import signal
import sys
import tempfile
import threading
import unittest

from kvd_process import Refused, Unreachable, b64, cluster, until

OLD, NEW = (os.path.abspath(sys.argv.pop(1)) for _ in range(2))


class Writer(threading.Thread):
    """Writes one key after the other to whichever member answers; remembers what was acknowledged."""

    def __init__(self, members, name):
        super().__init__(daemon=True)
        self.members, self.prefix, self.acknowledged, self.ended = members, f"w/{name}/", [], False

    def run(self):
        number = 0
        while not self.ended:
            number += 1
            try:
                self.members[number % len(self.members)].put(f"{self.prefix}{number}", f"{number}", timeout=5)
                self.acknowledged.append(number)
            except (Refused, Unreachable):
                pass  # written or not: nobody was told


class Upgrade(unittest.TestCase):
    def go(self, first, second):
        directory = tempfile.mkdtemp(prefix="kvd-upgrade-")
        self.addCleanup(shutil.rmtree, directory)
        members = cluster(first, directory, 3)
        for m in members:
            self.addCleanup(m.end)
            m.start()
        for m in members:
            until(m.serves, what=f"{m.name} to serve")
        lease = members[0].call("/v3/lease/grant", {"TTL": 3600})["ID"]
        writers = [Writer(members, name) for name in range(8)]
        for writer in writers:
            writer.start()
        for turn, m in enumerate(members):
            before = sum(len(w.acknowledged) for w in writers)
            until(lambda: sum(len(w.acknowledged) for w in writers) > before + 800, what="writes to go on")
            self.assertIn(m.end(signal.SIGTERM), (0, -signal.SIGTERM))
            m.program = second
            m.start()
            until(m.serves, what=f"{m.name} to serve again")
            # Whoever leads, and of whichever build each is: what is written to one is read from all.
            for writing in members:
                def written(writing=writing):
                    try:
                        writing.put(f"mixed/{turn}/{writing.name}", "v")
                        return True
                    except (Refused, Unreachable):
                        return False
                until(written, what=f"a write to {writing.name}")
                for reading in members:
                    self.assertEqual(until(lambda r=reading, w=writing: r.get(f"mixed/{turn}/{w.name}"), what="the value"), "v")
        for writer in writers:
            writer.ended = True
        for writer in writers:
            writer.join()
        count = sum(len(writer.acknowledged) for writer in writers)
        self.assertGreater(count, 2400)
        for m in members:
            for writer in writers:
                until(lambda m=m, w=writer: m.get(f"{w.prefix}{w.acknowledged[-1]}") is not None)
                kvs = m.call("/v3/kv/range", {"key": b64(writer.prefix), "range_end": b64(writer.prefix[:-1] + "0"),
                                              "serializable": True})["kvs"]
                there = {(kv["key"], kv["value"]): kv["version"] for kv in kvs}
                for number in writer.acknowledged:
                    self.assertEqual(there.get((b64(f"{writer.prefix}{number}"), b64(f"{number}"))), "1", "written once")
            self.assertGreater(int(m.call("/v3/lease/timetolive", {"ID": lease})["TTL"]), 0)
        print(f"{count} acknowledged writes are on all three members, each once")

    def test_up(self):
        self.go(OLD, NEW)

    def test_and_back(self):
        self.go(NEW, OLD)

    def test_each_reads_the_history_that_the_other_has_written(self):
        directory = tempfile.mkdtemp(prefix="kvd-upgrade-")
        self.addCleanup(shutil.rmtree, directory)
        m, = cluster(OLD, directory, 1)
        self.addCleanup(m.end)
        everything = {"key": b64("h/"), "range_end": b64("h0"), "serializable": True}
        seen = {}  # what there was, by revision
        for turn, program in enumerate((OLD, NEW, OLD, NEW, OLD)):
            m.program = program
            m.start()
            until(m.serves, what="the member to serve")
            for number in range(300):
                key = {"key": b64(f"h/{number % 3}")}
                if number % 25 == 24:
                    m.call("/v3/kv/deleterange", key)
                else:
                    m.call("/v3/kv/put", {**key, "value": b64(f"{turn}.{number}")})
                if number % 10 == 0:
                    now = m.call("/v3/kv/range", everything)
                    seen[int(now["header"]["revision"])] = now.get("kvs", [])
            if turn >= 2:
                oldest = sorted(seen)[len(seen) // 4]
                m.call("/v3/kv/compaction", {"revision": oldest, "physical": True})
                seen = {revision: kvs for revision, kvs in seen.items() if revision >= oldest}
            for revision, kvs in seen.items():
                self.assertEqual(m.call("/v3/kv/range", {**everything, "revision": revision}).get("kvs", []), kvs)
            m.end(signal.SIGTERM)


if __name__ == "__main__":
    unittest.main()
