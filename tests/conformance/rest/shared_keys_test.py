#!/usr/bin/python3
"""kvd's two doors to one key space: what gRPC writes is there by curl, and the other way round.

usage: shared_keys_test.py KVD [unittest's arguments]
"""
import base64
import json
import os
import sys
import unittest

try:
    import etcd3
except ImportError as missing:
    print(f"SKIPPED: {missing} (Debian's package python3-etcd3)")
    sys.exit(77)

from exchange import Watch, request_bytes
from servers import Server, until

KVD = None
SECONDS = 30  # for what must come
FORM = {"Content-Type": "application/x-www-form-urlencoded"}
PASSWORD = "correct horse"


def b64(text):
    return base64.b64encode(text.encode()).decode()


class SharedTest(unittest.TestCase):
    members = 1
    flags = ()

    @classmethod
    def setUpClass(cls):
        cls.server = Server(KVD, cls.members, cls.flags)
        cls.addClassCleanup(cls.server.end)
        cls.server.wait_ready()

    def setUp(self):
        self.root = "/" + self._testMethodName
        self.key = self.root + "/key"
        self.grpc = self.connect()

    def connect(self, member=0, **options):
        client = etcd3.client(host="127.0.0.1", port=self.server.ports[member], timeout=SECONDS, **options)
        self.addCleanup(client.close)
        return client

    def rest(self, method, key, body=None, headers=None, member=0):
        """Status, headers, and the body: as an object where it is JSON."""
        sent = dict(FORM if body is not None else {}, **(headers or {}))
        status, got, raw = self.server.request(member, method, "/v2/keys" + key, body, sent, SECONDS)
        return status, got, json.loads(raw) if got.get("Content-Type") == "application/json" else raw

    def get(self, key, **options):
        return self.rest("GET", key, **options)[2]

    def gateway(self, path, body, member=0, token=None):
        status, _, raw = self.server.request(member, "POST", "/v3/" + path, json.dumps(body),
                                             {"Authorization": token} if token else {}, SECONDS)
        self.assertEqual(200, status, raw)
        return json.loads(raw)

    def watch(self, key, query, headers=""):
        """An open watch; the server has it when this returns."""
        request = request_bytes("GET", f"/v2/keys{key}?wait=true&{query}", None, None)
        watch = Watch(self.server.port, request.replace(b"\r\n\r\n", headers.encode() + b"\r\n\r\n"), "GET")
        self.addCleanup(watch.close)
        return watch

    def events(self, watch, count=1):
        self.assertTrue(watch.wait(lambda lines, done: len(lines) >= count, SECONDS), f"{watch.state()} of {count} events")
        return [json.loads(line) for line in watch.state()[0][:count]]


class KeysTest(SharedTest):
    def test_what_grpc_puts_is_there_by_curl(self):
        self.grpc.put(self.key, "one")
        self.grpc.put(self.key, "two")
        _, metadata = self.grpc.get(self.key)
        status, headers, body = self.rest("GET", self.key)
        self.assertEqual(200, status)
        self.assertEqual({"key": self.key, "value": "two", "createdIndex": metadata.create_revision,
                          "modifiedIndex": metadata.mod_revision}, body["node"])
        self.assertEqual(str(metadata.response_header.revision), headers["X-Etcd-Index"])
        listing = self.get(self.root)["node"]
        self.assertEqual((True, [self.key]), (listing["dir"], [node["key"] for node in listing["nodes"]]))

    def test_what_curl_puts_is_there_by_grpc(self):
        status, headers, body = self.rest("PUT", self.key, "value=hello")
        self.assertEqual((201, "set"), (status, body["action"]))
        value, metadata = self.grpc.get(self.key)
        self.assertEqual((b"hello", body["node"]["modifiedIndex"]), (value, metadata.mod_revision))
        self.assertEqual(headers["X-Etcd-Index"], str(metadata.response_header.revision))
        self.assertEqual(200, self.rest("PUT", self.key, "value=again&prevIndex=%d" % metadata.mod_revision)[0])
        self.assertEqual(200, self.rest("DELETE", self.key)[0])
        self.assertEqual((None, None), self.grpc.get(self.key))

    def test_each_write_is_one_revision(self):
        before = int(self.rest("PUT", self.key, "value=1")[1]["X-Etcd-Index"])
        self.rest("PUT", self.root + "/a/b/c", "value=deep")
        self.rest("PUT", self.root + "/dir", "dir=true")
        self.rest("POST", self.root + "/queue", "value=x")
        self.rest("PUT", self.key, "value=2&prevValue=wrong")
        self.rest("DELETE", self.root + "?recursive=true")
        self.grpc.put(self.root, "end")
        self.assertEqual(before + 5, self.grpc.get(self.root)[1].mod_revision)

    def test_a_compare_by_grpc_sees_what_curl_wrote(self):
        self.rest("PUT", self.key, "value=one")
        done, _ = self.grpc.transaction(compare=[self.grpc.transactions.value(self.key) == "one"],
                                        success=[self.grpc.transactions.put(self.key, "two")], failure=[])
        self.assertTrue(done)
        self.assertEqual(412, self.rest("PUT", self.key, "value=three&prevValue=one")[0])
        self.assertEqual("two", self.get(self.key)["node"]["value"])

    def test_directories_are_not_shown_by_grpc(self):
        self.rest("PUT", self.root + "/dir", "dir=true")
        self.assertEqual([], list(self.grpc.get_prefix(self.root)))
        self.assertEqual(403, self.rest("PUT", self.root + "/dir", "value=x")[0])
        self.rest("PUT", self.root + "/dir/key", "value=x")
        self.assertEqual([self.root + "/dir/key"], [metadata.key.decode() for _, metadata in self.grpc.get_prefix(self.root)])
        # A directory that REST made stays when its last key goes; by which door is all the same.
        self.grpc.delete(self.root + "/dir/key")
        self.assertTrue(self.get(self.root + "/dir")["node"]["dir"])

    def test_a_value_that_is_not_utf8(self):
        self.grpc.put(self.key, b"a\xffb")
        self.assertEqual("a\ufffdb", self.get(self.key)["node"]["value"])
        self.assertEqual(b"a\xffb", self.rest("GET", self.key, headers={"Accept": "text/plain"})[2].rstrip(b"\n"))


class LeaseTest(SharedTest):
    def leases(self):
        return {lease["ID"] for lease in self.gateway("lease/leases", {}).get("leases", [])}

    def test_a_ttl_is_a_lease(self):
        before = self.leases()
        status, _, body = self.rest("PUT", self.key, "value=x&ttl=500")
        self.assertEqual((201, 500), (status, body["node"]["ttl"]))
        lease = self.grpc.get(self.key)[1].lease_id
        self.assertEqual({str(lease)}, self.leases() - before)
        told = self.grpc.get_lease_info(lease)
        self.assertEqual((500, [self.key.encode()]), (told.grantedTTL, list(told.keys)))
        self.assertTrue(400 < told.TTL <= 500)

    def test_the_end_of_a_ttl_is_seen_at_both_doors(self):
        index = self.rest("PUT", self.key, "value=x&ttl=2")[2]["node"]["modifiedIndex"]
        seen, cancel = self.grpc.watch(self.key, start_revision=index + 1)
        event = self.events(self.watch(self.key, f"waitIndex={index + 1}"))[0]
        self.assertEqual(("expire", "x"), (event["action"], event["prevNode"]["value"]))
        deletion = next(iter(seen))
        cancel()
        self.assertIsInstance(deletion, etcd3.events.DeleteEvent)
        self.assertEqual(event["node"]["modifiedIndex"], deletion.mod_revision)
        self.assertEqual(404, self.rest("GET", self.key)[0])

    def test_a_lease_is_a_ttl(self):
        lease = self.grpc.lease(500)
        self.grpc.put(self.key, "x", lease=lease)
        node = self.get(self.key)["node"]
        self.assertTrue(400 < node["ttl"] <= 500)
        self.assertTrue(node["expiration"].endswith("Z"))

    def test_a_put_without_ttl_takes_the_lease_away(self):
        self.rest("PUT", self.key, "value=x&ttl=500")
        self.rest("PUT", self.key, "value=y")
        self.assertEqual(0, self.grpc.get(self.key)[1].lease_id)
        self.assertNotIn("ttl", self.get(self.key)["node"])

    def test_no_lease_is_left_behind(self):
        before = self.leases()
        for _ in range(5):
            self.assertIn(self.rest("PUT", self.key, "value=x&ttl=500")[0], (200, 201))
        self.assertLessEqual(len(self.leases() - before), 1)
        self.assertEqual(200, self.rest("DELETE", self.key)[0])
        until(lambda: self.leases() <= before, SECONDS, "no lease of a key that is gone")


class WatchTest(SharedTest):
    def test_curl_sees_what_grpc_does(self):
        watch = self.watch(self.root, "recursive=true&stream=true")
        self.grpc.put(self.key, "one")
        self.grpc.put(self.key, "two")
        self.grpc.delete(self.key)
        events = self.events(watch, 3)
        self.assertEqual([("set", "one"), ("set", "two"), ("delete", None)],
                         [(event["action"], event["node"].get("value")) for event in events])
        self.assertEqual("two", events[2]["prevNode"]["value"])

    def test_grpc_sees_what_curl_does(self):
        index = int(self.rest("PUT", self.key, "value=0")[1]["X-Etcd-Index"])
        events, cancel = self.grpc.watch(self.key, start_revision=index + 1)
        self.rest("PUT", self.key, "value=one")
        self.rest("PUT", self.key, "value=two&prevValue=one")
        self.rest("DELETE", self.key)
        shown = [next(events) for _ in range(3)]
        cancel()
        self.assertEqual([b"one", b"two", b""], [event.value for event in shown])
        self.assertIsInstance(shown[2], etcd3.events.DeleteEvent)

    def test_the_keys_of_one_transaction_share_an_index(self):
        watch = self.watch(self.root, "recursive=true&stream=true")
        put = self.grpc.transactions.put
        self.grpc.transaction(compare=[], success=[put(self.root + "/a", "1"), put(self.root + "/b", "2")], failure=[])
        events = self.events(watch, 2)
        self.assertEqual({"1", "2"}, {event["node"]["value"] for event in events})
        self.assertEqual(1, len({event["node"]["modifiedIndex"] for event in events}))

    def test_a_wait_says_where_the_log_was_when_it_began(self):
        def raft(headers):
            return int(headers["X-Raft-Index"]), int(headers["X-Raft-Term"])

        made = self.rest("PUT", self.key, "value=1")[1]["X-Etcd-Index"]
        for query, headers in (("", ""), ("waitIndex=" + made, ""), ("stream=true", ""), ("", "\r\nAccept: text/event-stream")):
            before = raft(self.rest("GET", self.key)[1])
            index, term = raft(self.watch(self.key, query, headers).response.headers)
            after = raft(self.rest("GET", self.key)[1])
            self.assertTrue(before[0] <= index <= after[0], (before, index, after))
            self.assertEqual(before[1], term)

    def test_history_reaches_as_far_as_there_was_no_compaction(self):
        first = self.rest("PUT", self.key, "value=first")[2]["node"]["modifiedIndex"]
        # More than the 1,000 events that etcd keeps.
        for number in range(1100):
            self.grpc.put(self.key, str(number))
        self.assertEqual("first", self.events(self.watch(self.key, f"waitIndex={first}"))[0]["node"]["value"])
        self.assertEqual("0", self.events(self.watch(self.key, f"waitIndex={first + 1}"))[0]["node"]["value"])

    def test_a_compaction_ends_the_past(self):
        first = self.rest("PUT", self.key, "value=1")[2]["node"]["modifiedIndex"]
        for value in (2, 3, 4):
            self.rest("PUT", self.key, f"value={value}")
        self.grpc.compact(first + 2)
        status, _, body = self.rest("GET", f"{self.key}?wait=true&waitIndex={first}")
        self.assertEqual((400, 401), (status, body["errorCode"]))
        self.assertEqual("The event in requested index is outdated and cleared", body["message"])
        self.assertEqual("4", self.events(self.watch(self.key, f"waitIndex={first + 3}"))[0]["node"]["value"])


class FriendlyTest(SharedTest):
    def test_plain_text_is_the_bare_value(self):
        self.rest("PUT", self.key, "value=hello")
        status, headers, body = self.rest("GET", self.key, headers={"Accept": "text/plain"})
        self.assertEqual((200, b"hello"), (status, body.rstrip(b"\n")))
        self.assertTrue(headers["Content-Type"].startswith("text/plain"))

    def test_a_raw_body_is_the_value(self):
        status, _, body = self.rest("PUT", self.key, b"a=b&c\nd", {"Content-Type": "application/octet-stream"})
        self.assertEqual((201, "a=b&c\nd"), (status, body["node"]["value"]))
        self.assertEqual(b"a=b&c\nd", self.grpc.get(self.key)[0])

    def test_server_sent_events(self):
        watch = self.watch(self.root, "recursive=true&stream=true", "\r\nAccept: text/event-stream")
        self.assertEqual("text/event-stream", watch.response.headers["Content-Type"].split(";")[0])
        self.grpc.put(self.key, "one")
        self.grpc.put(self.key, "two")

        def data(lines):
            return [json.loads(line[5:])["node"]["value"] for line in lines if line.startswith(b"data:")]

        self.assertTrue(watch.wait(lambda lines, done: len(data(lines)) == 2, SECONDS), watch.state())
        self.assertEqual(["one", "two"], data(watch.state()[0]))


class AnyMemberTest(SharedTest):
    members = 3

    def test_any_member_answers_without_redirect(self):
        for writer in range(3):
            status, _, body = self.rest("PUT", self.key, f"value={writer}", member=writer)
            self.assertIn(status, (200, 201))
            for reader in range(3):
                status, headers, body = self.rest("GET", self.key + "?quorum=true", member=reader)
                self.assertEqual((200, str(writer)), (status, body["node"]["value"]))
                self.assertNotIn("Location", headers)

    def test_a_watch_on_one_member_sees_writes_to_another(self):
        index = int(self.rest("PUT", self.key, "value=0", member=1)[1]["X-Etcd-Index"])
        watch = self.watch(self.key, f"waitIndex={index + 1}")
        self.rest("PUT", self.key, "value=1", member=2)
        self.assertEqual("1", self.events(watch)[0]["node"]["value"])

    def test_in_order_keys_of_all_members_are_in_order(self):
        made = [self.rest("POST", self.root, "value=x", member=number % 3)[2]["node"]["key"] for number in range(9)]
        self.assertEqual(sorted(made), made)
        self.assertEqual(9, len(set(made)))


class AuthTest(SharedTest):
    flags = ("--bcrypt-cost=4",)

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        self = cls("runTest")
        for user in ("root", "alice", "carol", "dave"):
            self.gateway("auth/user/add", {"name": user, "password": PASSWORD})
        self.gateway("auth/user/grant", {"user": "root", "role": "root"})
        self.gateway("auth/role/add", {"name": "reader"})
        self.gateway("auth/role/grant", {"name": "reader", "perm": {"permType": "READ", "key": b64("/open/"),
                                                                    "range_end": b64("/open0")}})
        self.gateway("auth/user/grant", {"user": "alice", "role": "reader"})
        self.gateway("auth/user/grant", {"user": "dave", "role": "reader"})
        self.gateway("auth/enable", {})

    def runTest(self):
        pass

    def setUp(self):
        pass

    def as_user(self, name, password=PASSWORD):
        return {"Authorization": "Basic " + b64(f"{name}:{password}")}

    def test_basic_names_the_same_users(self):
        self.assertEqual(201, self.rest("PUT", "/open/key", "value=x", self.as_user("root"))[0])
        self.assertEqual(200, self.rest("GET", "/open/key", headers=self.as_user("alice"))[0])
        self.assertEqual("x", self.get("/open/key", headers=self.as_user("alice"))["node"]["value"])

    def test_what_is_not_granted_is_refused(self):
        nobody = ({}, {"Authorization": "Basic %%%"}, {"Authorization": "Basic " + b64("alice")}, {"Authorization": "Bearer x"})
        wrong = (self.as_user("carol", "wrong"), self.as_user("nobody"), self.as_user(""))
        for several, queries in ((nobody, ("", "?quorum=true", "?wait=true")), (wrong, ("",))):
            for headers, query in ((headers, query) for headers in several for query in queries):
                status, answered, body = self.rest("GET", "/open/key" + query, headers=headers)
                self.assertEqual(401, status, (headers, body))
                self.assertEqual('Basic realm="kvd"', answered["WWW-Authenticate"])
        alice = self.as_user("alice")
        self.rest("PUT", "/secret", "value=x", self.as_user("root"))
        for method, key, body in (("PUT", "/open/key", "value=y"), ("DELETE", "/open/key", None), ("GET", "/secret", None),
                                  ("GET", "/?recursive=true", None), ("POST", "/open", "value=y"),
                                  ("GET", "/secret?wait=true", None)):
            status, _, answer = self.rest(method, key, body, alice)
            self.assertIn(status, (401, 403), (method, key, answer))
            self.assertNotIn(b"\"x\"", json.dumps(answer).encode() if isinstance(answer, dict) else answer)
        self.assertEqual("x", self.get("/secret", headers=self.as_user("root"))["node"]["value"])

    def call_as(self, user, method, path, password=PASSWORD, body=None):
        return self.server.request(0, method, path, body, self.as_user(user, password), SECONDS)

    def test_a_wait_has_its_callers_rights(self):
        self.rest("PUT", "/open/waited", "value=x", self.as_user("root"))
        watch = self.watch("/open/waited", "waitIndex=1", "\r\nAuthorization: " + self.as_user("alice")["Authorization"])
        self.assertEqual("x", self.events(watch)[0]["node"]["value"])

    def test_every_plain_door_takes_basic(self):
        self.assertEqual(200, self.call_as("alice", "POST", "/v3/kv/range", body=json.dumps({"key": b64("/open/key")}))[0])
        self.assertEqual(401, self.call_as("alice", "POST", "/v3/kv/range", "wrong", json.dumps({"key": b64("/open/key")}))[0])
        self.assertEqual(403, self.call_as("alice", "POST", "/v3/kv/range", body=json.dumps({"key": b64("/secret")}))[0])
        self.assertEqual(200, self.call_as("alice", "GET", "/v2/stats/self")[0])
        self.assertEqual(401, self.call_as("alice", "GET", "/v2/stats/self", "wrong")[0])
        self.assertEqual(401, self.call_as("alice", "DELETE", "/v2/members/1")[0])
        self.assertEqual(401, self.server.request(0, "DELETE", "/v2/members/1")[0])
        self.assertEqual('Basic realm="kvd"', self.server.request(0, "GET", "/v2/stats/self")[1]["WWW-Authenticate"])
        self.assertEqual(404, self.call_as("root", "DELETE", "/v2/members/1")[0])

    def test_a_new_password_ends_the_old_one_and_a_user_who_is_deleted_is_nobody(self):
        root = base64.b64decode(self.as_user("root")["Authorization"].split()[1]).decode().partition(":")
        token = self.gateway("auth/authenticate", {"name": root[0], "password": root[2]})["token"]
        self.gateway("auth/user/add", {"name": "bob", "password": "one"}, token=token)
        self.gateway("auth/user/grant", {"user": "bob", "role": "reader"}, token=token)
        asked = lambda password: self.rest("GET", "/open/any", headers=self.as_user("bob", password))[0]
        self.assertNotEqual(401, asked("one"))
        self.gateway("auth/user/changepw", {"name": "bob", "password": "two"}, token=token)
        self.assertEqual(401, asked("one"))
        self.assertNotEqual(401, asked("two"))
        # The same credentials again, of another user by this name.
        self.gateway("auth/user/delete", {"name": "bob"}, token=token)
        self.assertEqual(401, asked("two"))
        self.gateway("auth/user/add", {"name": "bob", "password": "two"}, token=token)
        self.assertEqual(401, asked("two"))  # without a role
        self.gateway("auth/user/grant", {"user": "bob", "role": "reader"}, token=token)
        self.assertNotEqual(401, asked("two"))

    def test_what_is_remembered_tells_nobody_whether_a_guess_is_right(self):
        self.assertEqual(404, self.rest("GET", "/open/none", headers=self.as_user("dave"))[0])
        until(lambda: self.rest("GET", "/open/none", headers=self.as_user("dave", "a guess"))[0] == 429, SECONDS, "a wait")
        # The first wait is of a second, and each wrong guess after it makes the next one longer.
        until(lambda: self.rest("GET", "/open/none", headers=self.as_user("dave", "a guess"))[0] == 401, SECONDS, "its end")
        self.assertEqual(429, self.rest("GET", "/open/none", headers=self.as_user("dave"))[0])

    def test_who_guesses_is_slowed_down(self):
        guess = lambda: self.rest("GET", "/open/key", headers=self.as_user("mallory", "a guess"))[0]
        self.assertEqual([401] * 4, [guess() for _ in range(4)])
        until(lambda: guess() == 429, SECONDS, "a wait")


class MembersTest(SharedTest):
    members = 3

    def ask(self, method, path="", body=None, content_type="application/json", member=0):
        status, headers, raw = self.server.request(member, method, "/v2/members" + path, body,
                                                   {"Content-Type": content_type} if body else {}, SECONDS)
        self.assertIn("X-Etcd-Cluster-Id", headers)
        return status, json.loads(raw) if raw else None

    def test_members_are_changed(self):
        urls = lambda *peers: json.dumps({"peerURLs": list(peers)})
        self.assertEqual((415, {"message": "Bad Content-Type text/plain, accept application/json"}),
                         self.ask("POST", body=urls("http://127.0.0.1:1"), content_type="text/plain"))
        self.assertEqual(400, self.ask("POST", body="{")[0])
        self.assertEqual(400, self.ask("POST", body=urls("127.0.0.1"))[0])
        self.assertEqual(409, self.ask("POST", body=urls(f"http://127.0.0.1:{self.server.peers[0]}"))[0])
        self.assertEqual((404, {"message": "No such member: xyz"}), self.ask("DELETE", "/xyz"))
        self.assertEqual((404, {"message": "No such member: 77"}), self.ask("DELETE", "/77"))
        self.assertEqual((404, {"message": "Not found"}), self.ask("GET", "/77"))
        self.assertEqual(200, self.ask("GET", "/")[0])
        self.assertEqual(405, self.server.request(0, "DELETE", "/v2/members/")[0])
        self.assertEqual((404, {"message": "No such member: 77"}), self.ask("PUT", "/77", urls("http://127.0.0.1:1")))

        status, added = self.ask("POST", body=urls("http://127.0.0.1:1"), content_type="application/json; charset=utf-8", member=1)
        self.assertEqual((201, "", ["http://127.0.0.1:1"], []),
                         (status, added["name"], added["peerURLs"], added["clientURLs"]))
        listed = lambda member: {one["id"]: one["peerURLs"] for one in self.ask("GET", member=member)[1]["members"]}
        until(lambda: len(listed(0)) == 4, SECONDS, "four members")
        self.assertEqual((204, None), self.ask("PUT", "/" + added["id"], urls("http://127.0.0.1:2"), member=2))
        until(lambda: listed(1)[added["id"]] == ["http://127.0.0.1:2"], SECONDS, "the new URL")
        self.assertEqual((204, None), self.ask("DELETE", "/" + added["id"]))
        self.assertEqual((410, {"message": "Member permanently removed: " + added["id"]}), self.ask("DELETE", "/" + added["id"]))
        until(lambda: len(listed(2)) == 3, SECONDS, "three members")

    def test_each_member_tells_of_itself(self):
        stats = lambda of, member: self.server.request(member, "GET", "/v2/stats/" + of)
        for key in range(20):
            self.rest("PUT", self.key, f"value={key}")

        def told():
            """All three answers, once they agree about who leads and the leader has measured its followers."""
            owns = [json.loads(stats("self", member)[2]) for member in range(3)]
            leaders = [member for member, own in enumerate(owns) if own["state"] == "StateLeader"]
            if len(leaders) != 1 or {own["leaderInfo"]["leader"] for own in owns} != {owns[leaders[0]]["id"]}:
                return None
            answers = [stats("leader", member) for member in range(3)]
            followers = json.loads(answers[leaders[0]][2]).get("followers", {})
            measured = followers and all(one["counts"]["success"] > 1 for one in followers.values())
            return (owns, leaders[0], answers) if measured else None
        owns, leader, answers = until(told, SECONDS, "a leader that has measured its followers")
        self.assertEqual([f"m{member}" for member in range(3)], [own["name"] for own in owns])
        self.assertGreaterEqual(sum(own["sendAppendRequestCnt"] for own in owns), 20)
        self.assertGreaterEqual(sum(own["recvAppendRequestCnt"] for own in owns), 20)
        answer = json.loads(answers[leader][2])
        others = {own["id"] for own in owns} - {owns[leader]["id"]}
        self.assertEqual((owns[leader]["id"], others), (answer["leader"], set(answer["followers"])))
        for one in answer["followers"].values():
            latency = one["latency"]
            self.assertTrue(0 < latency["minimum"] <= latency["average"] <= latency["maximum"], latency)
        status, _, raw = answers[(leader + 1) % 3]
        self.assertEqual((403, {"message": "not current leader"}), (status, json.loads(raw)))

    def test_calls_are_counted(self):
        counts = lambda member: json.loads(self.server.request(member, "GET", "/v2/stats/store")[2])
        before = [counts(member) for member in range(3)]
        for method, query, body, status in (
                ("PUT", "", "value=1", 201), ("PUT", "", "value=2&prevExist=true", 200), ("PUT", "", "value=2&prevExist=false", 412),
                ("PUT", "", "value=3&prevValue=2", 200), ("PUT", "", "value=3&prevValue=2", 412), ("POST", "", "value=1", 403),
                ("DELETE", "?prevValue=1", None, 412), ("DELETE", "?prevValue=3", None, 200), ("DELETE", "", None, 404),
                ("GET", "", None, 404), ("PUT", "", "value=1&ttl=1", 201)):
            self.rest(method, self.key + query, body)
        watch = self.watch(self.key, "")
        until(lambda: counts(0)["watchers"] == before[0]["watchers"] + 1 or watch.state()[0], SECONDS, "the watcher")
        self.events(watch)
        expected = {"setsSuccess": 2, "updateSuccess": 1, "createFail": 2, "compareAndSwapSuccess": 1, "compareAndSwapFail": 1,
                    "compareAndDeleteSuccess": 1, "compareAndDeleteFail": 1, "deleteFail": 1, "expireCount": 1}
        for member in range(3):
            grown = lambda: {name: counts(member)[name] - before[member][name] for name in expected}
            until(lambda: grown() == expected, SECONDS, f"{expected} at member {member}, not {grown()}")
        until(lambda: counts(0)["watchers"] == before[0]["watchers"], SECONDS, "the watcher's end")
        self.assertEqual(1, counts(0)["getsFail"] - before[0]["getsFail"])


if __name__ == "__main__":
    KVD = os.path.abspath(sys.argv.pop(1))
    unittest.main(verbosity=2)
