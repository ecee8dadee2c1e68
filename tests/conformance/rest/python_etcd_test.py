#!/usr/bin/python3
"""The documented calls of python3-etcd, Debian's Python client for etcd's v2 API.

usage: python_etcd_test.py SERVER [unittest's arguments]
    SERVER is kvd, or etcd, which shows that the tests ask the right thing.
"""
import concurrent.futures
import logging
import os
import sys
import threading
import time
import unittest

try:
    import etcd
except ImportError as missing:
    print(f"SKIPPED: {missing} (Debian's package python3-etcd)")
    sys.exit(77)

from servers import Server, until

SERVER = None
SECONDS = 30  # for what must come


class RestTest(unittest.TestCase):
    """One server for all tests; each keeps to keys under its own name."""

    @classmethod
    def setUpClass(cls):
        cls.server = Server(SERVER)
        cls.addClassCleanup(cls.server.end)
        cls.server.wait_ready()

    def setUp(self):
        self.etcd = self.connect()
        self.root = "/" + self.id().split(".")[-1]
        self.key = self.root + "/key"

    def connect(self, **options):
        return etcd.Client(host="127.0.0.1", port=self.server.port, read_timeout=SECONDS, **options)

    def in_background(self, call, *arguments, **named):
        pool = concurrent.futures.ThreadPoolExecutor(1)
        self.addCleanup(pool.shutdown)
        return pool.submit(call, *arguments, **named)

    def test_set_and_get(self):
        written = self.etcd.set(self.key, "één")
        self.assertEqual(("set", self.key, "één", True), (written.action, written.key, written.value, written.newKey))
        read = self.etcd.get(self.key)
        self.assertEqual(("één", False, written.modifiedIndex), (read.value, read.dir, read.modifiedIndex))
        self.assertGreaterEqual(read.etcd_index, written.modifiedIndex)
        again = self.etcd.set(self.key, "two")
        self.assertEqual(("één", "two"), (again._prev_node.value, again.value))
        self.assertGreater(again.modifiedIndex, written.modifiedIndex)
        self.assertIn(self.key, self.etcd)
        self.assertNotIn(self.key + "x", self.etcd)
        with self.assertRaises(etcd.EtcdKeyNotFound):
            self.etcd.get(self.key + "x")

    def test_a_write_without_condition_makes_the_directories_above(self):
        self.etcd.write(self.root + "/a/b/c", 1)
        self.assertTrue(self.etcd.read(self.root + "/a/b").dir)
        with self.assertRaises(etcd.EtcdNotFile):
            self.etcd.write(self.root + "/a", "x")
        with self.assertRaises(etcd.EtcdNotDir):
            self.etcd.write(self.root + "/a/b/c/d", "x")

    def test_conditions(self):
        first = self.etcd.write(self.key, "one", prevExist=False)
        self.assertEqual("create", first.action)
        with self.assertRaises(etcd.EtcdAlreadyExist):
            self.etcd.write(self.key, "two", prevExist=False)
        with self.assertRaises(etcd.EtcdCompareFailed):
            self.etcd.write(self.key, "two", prevValue="zero")
        with self.assertRaises(etcd.EtcdCompareFailed):
            self.etcd.write(self.key, "two", prevIndex=first.modifiedIndex + 1)
        second = self.etcd.write(self.key, "two", prevIndex=first.modifiedIndex)
        self.assertEqual("compareAndSwap", second.action)
        self.assertEqual("update", self.etcd.write(self.key, "three", prevExist=True).action)
        with self.assertRaises(etcd.EtcdKeyNotFound):
            self.etcd.write(self.root + "/none", "x", prevExist=True)
        with self.assertRaises(etcd.EtcdCompareFailed):
            self.etcd.delete(self.key, prevValue="two")
        self.assertEqual("compareAndDelete", self.etcd.delete(self.key, prevValue="three").action)

    def test_test_and_set(self):
        self.etcd.set(self.key, "one")
        self.assertEqual("two", self.etcd.test_and_set(self.key, "two", "one").value)
        with self.assertRaises(etcd.EtcdCompareFailed) as refused:
            self.etcd.test_and_set(self.key, "three", "one")
        self.assertIn("[one != two]", str(refused.exception))

    def test_only_one_of_many_that_swap_wins(self):
        self.etcd.set(self.key, "0")

        def count():
            mine = self.connect()
            for _ in range(10):
                while True:
                    old = mine.get(self.key).value
                    try:
                        mine.test_and_set(self.key, str(int(old) + 1), old)
                        break
                    except etcd.EtcdCompareFailed:
                        continue

        for future in [self.in_background(count) for _ in range(4)]:
            future.result(SECONDS * 4)
        self.assertEqual("40", self.etcd.get(self.key).value)

    def test_update_of_a_result(self):
        read = self.etcd.set(self.key, "one")
        read.value = "two"
        self.assertEqual("two", self.etcd.update(read).value)
        read.value = "three"  # read is stale now
        with self.assertRaises(etcd.EtcdCompareFailed):
            self.etcd.update(read)

    def test_directories(self):
        made = self.etcd.write(self.root + "/dir", None, dir=True)
        self.assertTrue(made.dir)
        with self.assertRaises(etcd.EtcdNotFile):
            self.etcd.write(self.root + "/dir", None, dir=True)
        self.etcd.set(self.root + "/dir/b", "2")
        self.etcd.set(self.root + "/dir/a", "1")
        self.etcd.set(self.root + "/dir/sub/c", "3")
        self.etcd.set(self.root + "/dir/_hidden", "4")
        flat = self.etcd.read(self.root + "/dir", sorted=True)
        self.assertEqual(["a", "b", "sub"], [child.key.rsplit("/", 1)[1] for child in flat.children])
        deep = self.etcd.read(self.root + "/dir", recursive=True, sorted=True)
        self.assertEqual(["1", "2", "3"], [leaf.value for leaf in deep.leaves])
        self.assertEqual("4", self.etcd.get(self.root + "/dir/_hidden").value)
        with self.assertRaises(etcd.EtcdNotFile):
            self.etcd.delete(self.root + "/dir")
        with self.assertRaises(etcd.EtcdDirNotEmpty):
            self.etcd.delete(self.root + "/dir", dir=True)
        self.assertEqual("delete", self.etcd.delete(self.root + "/dir", recursive=True).action)
        with self.assertRaises(etcd.EtcdKeyNotFound):
            self.etcd.read(self.root + "/dir/sub/c")
        self.etcd.write(self.root + "/empty", None, dir=True)
        self.assertEqual("delete", self.etcd.delete(self.root + "/empty", dir=True).action)
        with self.assertRaises(etcd.EtcdRootReadOnly):
            self.etcd.delete("/", recursive=True)

    def test_pop_gives_what_it_removes(self):
        self.etcd.set(self.key, "one")
        self.assertEqual("one", self.etcd.pop(self.key).value)
        self.assertNotIn(self.key, self.etcd)

    def test_in_order_keys(self):
        made = [self.etcd.write(self.root, value, append=True).key for value in ("x", "y", "z")]
        self.assertEqual(sorted(made), made)
        self.assertEqual(20, len(made[0].rsplit("/", 1)[1]))
        self.assertEqual(["x", "y", "z"], [child.value for child in self.etcd.read(self.root, sorted=True).children])

    def test_a_key_with_a_ttl_ends(self):
        written = self.etcd.write(self.key, "brief", ttl=2)
        self.assertEqual(2, written.ttl)
        self.assertIsNotNone(written.expiration)
        event = self.etcd.watch(self.key, index=written.modifiedIndex + 1, timeout=SECONDS)
        self.assertEqual(("expire", "brief"), (event.action, event._prev_node.value))
        self.assertNotIn(self.key, self.etcd)

    def test_a_ttl_can_be_renewed_and_taken_away(self):
        self.etcd.write(self.key, "kept", ttl=100)
        renewed = self.etcd.refresh(self.key, ttl=500)
        self.assertGreater(self.etcd.get(self.key).ttl, 100)
        self.assertEqual("kept", self.etcd.get(self.key).value)
        # A refresh wakes nobody: the next that a watch shows is the write after it.
        last = self.etcd.write(self.key, "for good", prevExist=True, ttl="")
        self.assertIsNone(self.etcd.get(self.key).ttl)
        event = self.etcd.watch(self.key, index=renewed.modifiedIndex, timeout=SECONDS)
        self.assertEqual(last.modifiedIndex, event.modifiedIndex)

    def test_watch_from_an_index(self):
        first = self.etcd.set(self.key, "one")
        self.etcd.set(self.root + "/other", "x")
        second = self.etcd.set(self.key, "two")
        event = self.etcd.watch(self.key, index=first.modifiedIndex, timeout=SECONDS)
        self.assertEqual(("set", "one"), (event.action, event.value))
        event = self.etcd.watch(self.key, index=first.modifiedIndex + 1, timeout=SECONDS)
        self.assertEqual(("two", second.modifiedIndex), (event.value, event.modifiedIndex))
        event = self.etcd.watch(self.root, index=first.modifiedIndex + 1, recursive=True, timeout=SECONDS)
        self.assertEqual(self.root + "/other", event.key)

    def test_watch_waits_for_what_comes(self):
        first = self.etcd.set(self.key, "one")
        # From the next index on, it matters not which of the two comes first.
        seen = self.in_background(self.connect().watch, self.key, index=first.modifiedIndex + 1, timeout=SECONDS)
        self.etcd.set(self.key, "two")
        event = seen.result(SECONDS * 2)
        self.assertEqual(("set", "two", "one"), (event.action, event.value, event._prev_node.value))
        last = event.modifiedIndex
        below = self.in_background(self.connect().watch, self.root, index=last + 1, timeout=SECONDS, recursive=True)
        self.etcd.delete(self.key)
        self.assertEqual(("delete", self.key), (below.result(SECONDS * 2).action, below.result().key))

    def test_watch_from_now_on(self):
        self.etcd.set(self.key, "one")
        seen = self.in_background(self.connect().watch, self.key, timeout=SECONDS)
        # When it has begun can't be known from here: change the key until it has seen one of the changes.
        number = 0
        while not seen.done():
            number += 1
            self.etcd.set(self.key, str(number))
            time.sleep(0.02)
        self.assertEqual("set", seen.result().action)
        self.assertNotEqual("one", seen.result().value)

    def test_a_watch_ends_by_its_timeout(self):
        self.etcd.set(self.key, "one")
        with self.assertRaises(etcd.EtcdWatchTimedOut):
            self.etcd.watch(self.key, timeout=1)

    def test_eternal_watch(self):
        index = self.etcd.set(self.key, "0").modifiedIndex
        for number in range(1, 6):
            self.etcd.set(self.key, str(number))
        seen = []
        for event in self.connect().eternal_watch(self.key, index=index + 1):
            seen.append(event.value)
            if len(seen) == 5:
                break
        self.assertEqual(["1", "2", "3", "4", "5"], seen)

    def test_lock(self):
        mine, theirs = etcd.Lock(self.etcd, self._testMethodName), etcd.Lock(self.connect(), self._testMethodName)
        self.assertTrue(mine.acquire(lock_ttl=100))
        self.assertTrue(mine.is_acquired)
        self.assertFalse(theirs.acquire(blocking=False, lock_ttl=100))
        waiting = self.in_background(theirs.acquire, blocking=True, lock_ttl=100, timeout=SECONDS)
        self.assertFalse(waiting.done())
        mine.release()
        self.assertTrue(waiting.result(SECONDS * 2))
        self.assertFalse(mine.is_acquired)
        theirs.release()

    def test_a_lock_whose_holder_is_gone_is_free_after_its_ttl(self):
        gone, next_one = etcd.Lock(self.etcd, self._testMethodName), etcd.Lock(self.connect(), self._testMethodName)
        self.assertTrue(gone.acquire(lock_ttl=4))
        self.assertTrue(next_one.acquire(blocking=True, lock_ttl=100, timeout=SECONDS))
        next_one.release()

    def test_locks_keep_others_out(self):
        inside, most, guard = [0], [0], threading.Lock()

        def work():
            client = self.connect()
            for _ in range(3):
                with etcd.Lock(client, self._testMethodName):
                    with guard:
                        inside[0] += 1
                        most[0] = max(most[0], inside[0])
                    client.set(self.key, "x")
                    with guard:
                        inside[0] -= 1

        for future in [self.in_background(work) for _ in range(3)]:
            future.result(SECONDS * 4)
        self.assertEqual(1, most[0])

    def test_about_the_cluster(self):
        members = self.etcd.members
        self.assertEqual(["m0"], [member["name"] for member in members.values()])
        url = f"http://127.0.0.1:{self.server.port}"
        self.assertEqual([url], [url for member in members.values() for url in member["clientURLs"]])
        self.assertEqual([url], self.etcd.machines)
        self.assertEqual("m0", until(lambda: self.etcd.leader, SECONDS, "a leader")["name"])
        self.assertTrue(self.etcd.version.startswith("3."))
        self.assertTrue(self.etcd.cluster_version.startswith("3."))
        self.assertEqual("m0", self.etcd.stats["name"])
        self.assertIn("leader", self.etcd.leader_stats)
        self.assertIn("getsSuccess", self.etcd.store_stats)

    def test_another_member_is_asked_when_one_is_silent(self):
        with Closed() as port:
            client = etcd.Client(host=(("127.0.0.1", port), ("127.0.0.1", self.server.port)), allow_reconnect=True,
                                 read_timeout=SECONDS)
            client.set(self.key, "one")
            self.assertEqual("one", client.get(self.key).value)


class Closed:
    """A port on which nobody listens, and nobody can while this lives."""

    def __enter__(self):
        from ports import take_port
        port, self.lock = take_port()
        return port

    def __exit__(self, *_):
        self.lock.close()


if __name__ == "__main__":
    logging.disable(logging.CRITICAL)  # the package logs what it recovers from
    SERVER = os.path.abspath(sys.argv.pop(1))
    unittest.main(verbosity=2)
