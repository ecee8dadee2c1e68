#!/usr/bin/env python3
"""The JSON gateway's streams and recipes against a real member, by plain HTTP."""
import base64
import http.client
import json
import shutil
import tempfile
import threading
import time
import unittest

from cli_test import Daemon, free_port

DIRECTORY = None
DAEMON = None
PORT = 0


def setUpModule():
    global DIRECTORY, DAEMON, PORT
    DIRECTORY = tempfile.mkdtemp(prefix="kvd-gateway-")
    PORT = free_port()
    DAEMON = Daemon(f"--listen-client-urls=http://127.0.0.1:{PORT}",
                    f"--listen-peer-urls=http://127.0.0.1:{free_port()}", "--data-dir=data", cwd=DIRECTORY)
    DAEMON.wait_for("ready to serve client requests")


def tearDownModule():
    DAEMON.end()
    shutil.rmtree(DIRECTORY)


def b64(text):
    return base64.b64encode(text.encode()).decode()


def post(path, body, timeout=10):
    connection = http.client.HTTPConnection("127.0.0.1", PORT, timeout=timeout)
    connection.request("POST", path, json.dumps(body))
    response = connection.getresponse()
    answer = json.loads(response.read())
    connection.close()
    return response.status, answer


class Stream:
    """A call whose answers come one a line, read as they come."""

    def __init__(self, path, *requests):
        self.connection = http.client.HTTPConnection("127.0.0.1", PORT, timeout=10)
        self.connection.request("POST", path, "\n".join(json.dumps(r) for r in requests))
        self.response = self.connection.getresponse()

    def line(self):
        return json.loads(self.response.readline())

    def close(self):
        self.response.close()
        self.connection.close()


class Gateway(unittest.TestCase):
    def stream(self, path, *requests):
        stream = Stream(path, *requests)
        self.addCleanup(stream.close)
        self.assertEqual(stream.response.status, 200)
        return stream

    def put(self, key, value, lease=0):
        status, answer = post("/v3/kv/put", {"key": b64(key), "value": b64(value), "lease": lease})
        self.assertEqual(status, 200, answer)
        return int(answer["header"]["revision"])

    def grant(self, ttl=60):
        status, answer = post("/v3/lease/grant", {"TTL": ttl})
        self.assertEqual(status, 200, answer)
        return answer["ID"]

    def test_a_watch_tells_the_past_and_goes_on(self):
        revision = self.put("w/1", "one")
        stream = self.stream("/v3/watch", {"create_request": {"key": b64("w/"), "range_end": b64("w0"),
                                                              "start_revision": revision}})
        self.assertTrue(stream.line()["result"]["created"])
        event = stream.line()["result"]["events"][0]
        self.assertEqual(event["kv"], {"key": b64("w/1"), "value": b64("one"), "version": "1",
                                       "create_revision": str(revision), "mod_revision": str(revision)})
        self.assertNotIn("type", event)
        post("/v3/kv/deleterange", {"key": b64("w/1")})
        event = stream.line()["result"]["events"][0]
        self.assertEqual(event, {"type": "DELETE", "kv": {"key": b64("w/1"), "mod_revision": str(revision + 1)}})

    def test_two_watches_on_one_stream(self):
        stream = self.stream("/v3/watch", {"create_request": {"key": b64("two/a")}},
                             {"create_request": {"key": b64("two/b"), "watch_id": 7}})
        self.assertTrue(stream.line()["result"]["created"])
        self.assertEqual(stream.line()["result"]["watch_id"], "7")
        self.put("two/b", "x")
        self.assertEqual(stream.line()["result"]["watch_id"], "7")
        self.put("two/a", "x")
        self.assertNotIn("watch_id", stream.line()["result"])

    def test_a_watch_that_can_not_be_is_cancelled_in_words(self):
        revision = self.put("c", "x")
        self.put("c", "y")
        post("/v3/kv/compaction", {"revision": self.put("c", "z"), "physical": True})
        stream = self.stream("/v3/watch", {"create_request": {"key": b64("c"), "start_revision": revision}})
        self.assertTrue(stream.line()["result"]["created"])
        cancelled = stream.line()["result"]
        self.assertTrue(cancelled["canceled"])
        self.assertEqual(int(cancelled["compact_revision"]), revision + 2)

    def test_a_lease_is_kept_and_its_end_is_seen(self):
        lease = self.grant()
        stream = self.stream("/v3/lease/keepalive", {"ID": lease})
        kept = stream.line()["result"]
        self.assertEqual((kept["ID"], kept["TTL"]), (lease, "60"))
        self.put("leased", "x", lease)
        status, answer = post("/v3/lease/timetolive", {"ID": lease, "keys": True})
        self.assertEqual(answer["keys"], [b64("leased")])
        status, answer = post("/v3/lease/leases", {})
        self.assertIn({"ID": lease}, answer["leases"])
        watch = self.stream("/v3/watch", {"create_request": {"key": b64("leased")}})
        watch.line()
        self.assertEqual(post("/v3/lease/revoke", {"ID": lease})[0], 200)
        self.assertEqual(watch.line()["result"]["events"][0]["type"], "DELETE")
        status, answer = post("/v3/lease/revoke", {"ID": lease})
        self.assertEqual((status, answer["message"]), (404, "etcdserver: requested lease not found"))

    def test_a_lock_is_handed_on(self):
        first, second = self.grant(), self.grant()
        status, held = post("/v3/lock/lock", {"name": b64("l"), "lease": first})
        self.assertEqual(status, 200)
        answers = []
        waiter = threading.Thread(target=lambda: answers.append(
            post("/v3/lock/lock", {"name": b64("l"), "lease": second}, timeout=30)))
        waiter.start()
        deadline = time.monotonic() + 10
        while int(post("/v3/kv/range", {"key": b64("l/"), "range_end": b64("l0")})[1]["count"]) < 2:
            self.assertLess(time.monotonic(), deadline, "the second contender's key did not come")
        self.assertEqual(answers, [])
        self.assertEqual(post("/v3/lock/unlock", {"key": held["key"]})[0], 200)
        waiter.join(20)
        self.assertEqual(answers[0][0], 200)
        self.assertNotEqual(answers[0][1]["key"], held["key"])

    def test_a_contender_that_hangs_up_gives_its_place_up(self):
        post("/v3/lock/lock", {"name": b64("h"), "lease": self.grant()})
        connection = http.client.HTTPConnection("127.0.0.1", PORT, timeout=10)
        connection.request("POST", "/v3/lock/lock", json.dumps({"name": b64("h"), "lease": self.grant()}))

        def contenders():
            return int(post("/v3/kv/range", {"key": b64("h/"), "range_end": b64("h0")})[1]["count"])

        deadline = time.monotonic() + 10
        while contenders() < 2:
            self.assertLess(time.monotonic(), deadline)
        connection.close()
        while contenders() > 1:
            self.assertLess(time.monotonic(), deadline, "the key of a client that has gone is still there")

    def test_an_election_is_observed(self):
        status, answer = post("/v3/election/leader", {"name": b64("e")})
        self.assertEqual(answer["message"], "election: no leader")
        status, won = post("/v3/election/campaign", {"name": b64("e"), "lease": self.grant(), "value": b64("one")})
        self.assertEqual(status, 200, won)
        # Its head comes with the first value.
        observer = self.stream("/v3/election/observe", {"name": b64("e")})
        self.assertEqual(observer.line()["result"]["kv"]["value"], b64("one"))
        self.assertEqual(post("/v3/election/proclaim", {"leader": won["leader"], "value": b64("two")})[0], 200)
        self.assertEqual(observer.line()["result"]["kv"]["value"], b64("two"))
        self.assertEqual(post("/v3/election/resign", {"leader": won["leader"]})[0], 200)
        status, answer = post("/v3/election/proclaim", {"leader": won["leader"], "value": b64("three")})
        self.assertEqual(answer["message"], "election: not leader")

    def test_nonsense_in_a_stream_is_an_error_and_no_more(self):
        connection = http.client.HTTPConnection("127.0.0.1", PORT, timeout=10)
        connection.request("POST", "/v3/watch", '{"create_request":{"key":"')
        response = connection.getresponse()
        self.assertEqual(response.status, 400, response.read())
        connection.close()
        self.put("after", "nonsense")


if __name__ == "__main__":
    unittest.main()
