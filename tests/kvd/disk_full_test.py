#!/usr/bin/env python3
"""Full disks, really full ones: a member refuses writes in words, loses nothing, and goes on when there is room.

usage: disk_full_test.py KVD
Each test mounts a small tmpfs, for which it must be root or may make a mount namespace; otherwise it is skipped.
"""
import os
import shutil
import subprocess
import sys
import tempfile
import unittest

from kvd_process import Member, Refused, Unreachable, cluster, until

KVD = os.path.abspath(sys.argv.pop(1))
NO_SPACE = "etcdserver: mvcc: database space exceeded"


def value_of(number, size=16 << 10):
    """Text that no compression makes small."""
    state, parts = number * 2654435761 + 12345, []
    while len(parts) * 8 < size:
        state = (state * 6364136223846793005 + 1442695040888963407) % (1 << 64)
        parts.append(f"{state >> 32:08x}")
    return "".join(parts)[:size]


class DiskFull(unittest.TestCase):
    def setUp(self):
        self.directory = tempfile.mkdtemp(prefix="kvd-full-")
        self.addCleanup(shutil.rmtree, self.directory)
        self.members = []
        self.acknowledged = {}

    def small_disk(self, megabytes, name="disk"):
        path = os.path.join(self.directory, name)
        os.mkdir(path)
        mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", path],
                                 capture_output=True, text=True)
        if mounted.returncode != 0:
            self.skipTest(f"a tmpfs can't be mounted here: {mounted.stderr.strip()}")
        self.addCleanup(subprocess.run, ["umount", "-l", path])
        return path

    def resize(self, path, megabytes):
        subprocess.run(["mount", "-o", f"remount,size={megabytes}m", path], check=True)

    def fill(self, path):
        """Takes the disk's last byte; gives the file that has it."""
        filler = os.path.join(path, "filler")
        with open(filler, "wb", buffering=0) as file:
            for size in (1 << 20, 4096, 1):
                try:
                    while file.write(b"\0" * size):
                        pass
                except OSError:
                    pass
        return filler

    def run_member(self, member):
        self.members.append(member)
        self.addCleanup(member.end)
        member.start()
        return member

    def put(self, member, number):
        key, value = f"k{number}", value_of(number)
        member.put(key, value)
        self.acknowledged[key] = value

    def write_until_refused(self, member, first=0, most=20000):
        """Writes one after the other; gives the words of the refusal and how many were taken."""
        for number in range(first, first + most):
            try:
                self.put(member, number)
            except Refused as refused:
                return str(refused), number - first
        raise AssertionError("it was never refused")

    def nothing_is_lost(self, member, serializable=False):
        for key, value in self.acknowledged.items():
            self.assertEqual(member.get(key, serializable), value, f"{key} of {len(self.acknowledged)}")

    def test_one_member_refuses_before_the_disk_is_full_and_goes_on_when_there_is_room(self):
        disk = self.small_disk(96)
        member = self.run_member(Member(KVD, "m0", os.path.join(disk, "data"), self.directory + "/log"))
        until(member.serves)
        words, taken = self.write_until_refused(member)
        self.assertEqual(words, NO_SPACE)
        self.assertGreater(taken, 500, "a small disk is still of use")
        until(member.alarms)
        self.assertEqual(member.alarms()[0]["alarm"], "NOSPACE")
        self.assertEqual(member.health(), {"health": "false", "reason": "ALARM NOSPACE"})
        self.assertEqual(member.health("?exclude=NOSPACE"), {"health": "true", "reason": ""})
        until(lambda: "the disk is nearly full" in member.log())
        free = os.statvfs(disk)
        self.assertGreater(free.f_bavail * free.f_frsize, 0)
        self.nothing_is_lost(member)
        # Deletions go on.
        member.call("/v3/kv/deleterange", {"key": "azA="})
        self.acknowledged.pop("k0")

        self.resize(disk, 256)
        until(lambda: not member.alarms(), what="the end of the alarm")
        until(member.serves)
        for number in range(10000, 10050):
            self.put(member, number)
        self.nothing_is_lost(member)
        self.assertTrue(member.running())
        member.end()
        member.start()
        until(member.serves)
        self.nothing_is_lost(member)

    def test_another_program_takes_the_last_byte_of_the_disk(self):
        disk = self.small_disk(96)
        member = self.run_member(Member(KVD, "m0", os.path.join(disk, "data"), self.directory + "/log"))
        until(member.serves)
        for number in range(50):
            self.put(member, number)
        filler = self.fill(disk)
        words, _ = self.write_until_refused(member, 100)
        self.assertEqual(words, NO_SPACE)
        self.nothing_is_lost(member)
        self.assertTrue(member.running())
        self.assertNotIn("kvd: stopped", member.log(), "the member has seen it before it wrote")
        os.remove(filler)
        until(lambda: self.can_put(member, 200), what="a write")
        self.nothing_is_lost(member)

    def can_put(self, member, number):
        try:
            self.put(member, number)
            return True
        except (Refused, Unreachable):
            return False

    def test_a_write_that_meets_the_full_disk_ends_the_process_image_which_waits_for_room(self):
        disk = self.small_disk(96)
        member = self.run_member(Member(KVD, "m0", os.path.join(disk, "data"), self.directory + "/log",
                                        ["--min-free-bytes=0"]))
        until(member.serves)
        for number in range(50):
            self.put(member, number)
        filler = self.fill(disk)
        # Until the log needs a new block.
        for number in range(100, 5000):
            try:
                self.put(member, number)
            except (Refused, Unreachable):
                break
        else:
            self.fail("a full disk took it all")
        until(lambda: "the disk is full: waiting for room" in member.log(), what="the word of waiting")
        stopped = [line for line in member.log().splitlines() if line.startswith("kvd: stopped: ")]
        self.assertEqual(len(stopped), 1, "one clear line")
        self.assertIn("No space left on device", stopped[0])
        self.assertTrue(member.running(), "a supervisor sees no crash")
        self.assertIsNone(member.health(), "and nobody is served")
        self.assertEqual(member.log().count("waiting for room"), 1, "it waits and does not loop")
        os.remove(filler)
        until(member.serves)
        self.nothing_is_lost(member)
        self.put(member, 6000)
        self.assertEqual(member.end(15), 0)

    def test_waiting_for_room_ends_by_a_signal(self):
        disk = self.small_disk(16)
        filler = self.fill(disk)
        member = self.run_member(Member(KVD, "m0", os.path.join(disk, "data"), self.directory + "/log"))
        until(lambda: "waiting for room" in member.log())
        self.assertEqual(member.end(15), 0)
        os.remove(filler)

    def test_one_of_three_with_a_full_disk_falls_back_and_comes_again(self):
        disk = self.small_disk(96)
        members = cluster(KVD, self.directory, 3, {2: os.path.join(disk, "data")})
        members[2].flags.append("--min-free-bytes=0")
        for member in members:
            self.run_member(member)
        until(lambda: all(m.serves() for m in members))
        for number in range(50):
            self.put(members[number % 3], number)
        filler = self.fill(disk)
        written = 100
        while "waiting for room" not in members[2].log():
            self.can_put(members[0], written)
            written += 1
            self.assertLess(written, 5000, "a full disk took it all")
        # The other two are a majority.
        until(members[0].serves)
        for number in range(10000, 10100):
            until(lambda: self.can_put(members[0], number), what="a write to two of three")
        self.assertTrue(members[2].running())
        self.assertEqual(members[2].log().count("kvd: stopped"), 1)
        os.remove(filler)
        until(members[2].serves)
        last = value_of(10099)
        until(lambda: members[2].get("k10099", serializable=True) == last, what="the last write on the member that fell back")
        self.nothing_is_lost(members[2], serializable=True)

    def test_one_of_three_that_is_nearly_full_tells_the_others(self):
        disk = self.small_disk(96)
        members = cluster(KVD, self.directory, 3, {2: os.path.join(disk, "data")})
        for member in members:
            self.run_member(member)
        until(lambda: all(m.serves() for m in members))
        words, _ = self.write_until_refused(members[0])
        self.assertEqual(words, NO_SPACE)
        ids = {m["name"]: m["ID"] for m in members[0].call("/v3/cluster/member/list", {})["members"]}
        self.assertEqual([a["memberID"] for a in members[1].alarms()], [ids["m2"]])
        self.assertTrue(all(m.running() for m in members))
        self.resize(disk, 256)
        until(lambda: self.can_put(members[1], 30000), what="a write")
        for member in members:
            self.nothing_is_lost(member)


if __name__ == "__main__":
    unittest.main()
