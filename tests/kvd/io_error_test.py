#!/usr/bin/env python3
"""A disk that fails: the member stops at once and says why, and nothing that it acknowledged is lost.

usage: io_error_test.py KVD SHIM
SHIM is fault_shim.so, which makes the disk fail while a file exists. The member itself has no switch for it.
"""
import os
import shutil
import sys
import tempfile
import threading
import time
import unittest

from kvd_process import Member, Refused, Unreachable, cluster, until

SHIM = os.path.abspath(sys.argv.pop(2))
KVD = os.path.abspath(sys.argv.pop(1))


class IoError(unittest.TestCase):
    def setUp(self):
        self.directory = tempfile.mkdtemp(prefix="kvd-eio-")
        self.addCleanup(shutil.rmtree, self.directory)
        self.trigger = os.path.join(self.directory, "fault")
        self.shim = {"LD_PRELOAD": SHIM, "KVD_TEST_FAULT": self.trigger}
        self.acknowledged = {}

    def fail_disk(self, kind):
        with open(self.trigger + ".new", "w") as file:
            file.write(kind)
        os.rename(self.trigger + ".new", self.trigger)

    def write_until_it_ends(self, member, writers=4):
        """Many clients write until the member is gone; what was answered is remembered."""
        lock = threading.Lock()

        def write(writer):
            for number in range(1 << 20):
                key, value = f"w{writer}-{number}", f"v{number}"
                try:
                    member.put(key, value)
                except (Refused, Unreachable):
                    return
                with lock:
                    self.acknowledged[key] = value

        threads = [threading.Thread(target=write, args=(w,)) for w in range(writers)]
        for thread in threads:
            thread.start()
        until(lambda: len(self.acknowledged) > 100)
        return threads

    def check(self, kind):
        member = Member(KVD, "m0", self.directory + "/data", self.directory + "/log", env=self.shim)
        self.addCleanup(member.end)
        member.start()
        until(member.serves)
        threads = self.write_until_it_ends(member)
        self.fail_disk(kind)
        began = time.monotonic()
        code = member.process.wait(timeout=10)
        took = time.monotonic() - began
        for thread in threads:
            thread.join()
        self.assertNotEqual(code, 0)
        self.assertGreater(code, 0, "it ends by itself, not by a signal")
        self.assertLess(took, 3, "at once")
        words = [line for line in member.log().splitlines() if line.startswith("kvd: ")]
        self.assertEqual(len(words), 1, member.log())
        self.assertIn("kvd: stopped: the raft log in", words[0])
        self.assertIn("Input/output error", words[0])

        os.remove(self.trigger)
        member.start(env={})
        until(member.serves)
        for key, value in self.acknowledged.items():
            self.assertEqual(member.get(key), value, key)

    def test_a_failed_sync(self):
        self.check("sync")

    def test_a_failed_write(self):
        self.check("write")

    def test_one_of_three_stops_and_the_others_go_on(self):
        members = cluster(KVD, self.directory, 3)
        members[2].env = self.shim
        for member in members:
            self.addCleanup(member.end)
            member.start()
        until(lambda: all(m.serves() for m in members))
        self.fail_disk("sync")
        number = 0

        def put():
            nonlocal number
            number += 1
            try:
                members[0].put(f"k{number}", "v")
                self.acknowledged[f"k{number}"] = "v"
            except (Refused, Unreachable):
                pass
            return members[2].process.poll() is not None

        until(put, what="the end of the member with the bad disk")
        self.assertGreater(members[2].process.returncode, 0)
        until(members[0].serves)
        members[0].put("after", "all")
        os.remove(self.trigger)
        members[2].start(env={})
        until(members[2].serves)
        self.assertEqual(members[2].get("after"), "all")
        for key in self.acknowledged:
            self.assertEqual(members[2].get(key), "v", key)


if __name__ == "__main__":
    unittest.main()
