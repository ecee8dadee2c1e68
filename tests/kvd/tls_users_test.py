#!/usr/bin/python3
"""TLS together with users, with Python's client, and with members that join: the whole way, through real processes.

What is asked of kvd about users is asked of Debian's etcd first, where it is installed: the answers are the same.
"""
import os
import shutil
import subprocess
import unittest

from tls_case import KVD, KVCTL, TlsCase, eventually, free_ports

DENIED = "etcdserver: permission denied"


class CertificateUsers(TlsCase):
    def must(self, port, *command, **settings):
        done = self.etcdctl(port, *command, **settings)
        self.assertEqual(done.returncode, 0, f"{command}: {done.stderr}")
        return done.stdout

    def refused(self, port, *command, **settings):
        done = self.etcdctl(port, *command, **settings)
        self.assertNotEqual(done.returncode, 0, f"{command}: {done.stdout}")
        return done.stdout + done.stderr

    def with_users(self, program):
        """A member that knows root and alice by their certificates, and bob by his password. Alice may use a/."""
        port = self.serve_known(program=program, bcrypt_cost=4)
        self.root_user = self.ca.issue("root", cn="root", hosts=())
        for command in ("user add root --no-password", "user grant-role root root", "user add alice --no-password",
                        "role add of-a", "role grant-permission of-a readwrite a/ --prefix=true",
                        "user grant-role alice of-a", "user add bob:secret", "role add of-b",
                        "role grant-permission of-b readwrite b/ --prefix=true", "user grant-role bob of-b",
                        "auth enable"):
            self.must(port, *command.split(), who=self.alice)
        return port

    def name_is_the_user(self, program):
        port = self.with_users(program)
        alice, root = self.alice, self.root_user
        self.assertEqual(self.must(port, "put", "a/1", "x", who=alice), "OK\n")
        self.assertEqual(self.must(port, "get", "a/1", who=alice), "a/1\nx\n")
        for command in (("put", "b/1", "x"), ("get", "b/1"), ("del", "b/1"), ("get", "a/", "b0"), ("user", "list"),
                        ("role", "get", "of-b"), ("auth", "disable"), ("put", "a", "x")):
            self.assertIn(DENIED, self.refused(port, *command, who=alice), command)
        self.assertIn("alice", self.must(port, "user", "list", who=root))
        # A token says more than a certificate, which says more than nothing.
        self.assertEqual(self.must(port, "--user", "bob:secret", "put", "b/1", "y", who=alice), "OK\n")
        self.assertIn(DENIED, self.refused(port, "--user", "bob:secret", "put", "a/1", "y", who=alice))
        mallory = self.ca.issue("mallory", cn="mallory", hosts=())
        self.assertIn(DENIED, self.refused(port, "put", "a/1", "z", who=mallory))
        # A certificate without a name is a user whom nobody knows, but where root is wanted.
        nobody = self.ca.issue("nobody", hosts=())
        for command in (("put", "a/1", "z"), ("get", "a/1"), ("del", "a/1"), ("watch", "a/1")):
            self.assertIn(DENIED, self.refused(port, *command, who=nobody), command)
        self.assertIn("etcdserver: user name is empty", self.refused(port, "user", "add", "eve:secret", who=nobody))
        # In a transaction and on a watch as in plain calls.
        txn = subprocess.run(["etcdctl", "--endpoints", f"https://127.0.0.1:{port}", "--cacert", self.ca.ca, "--cert",
                              alice[0], "--key", alice[1], "txn"], input="\n\nput a/2 x\nget b/1\n\n\n",
                             capture_output=True, text=True, timeout=60, env={**os.environ, "ETCDCTL_API": "3"})
        self.assertIn(DENIED, txn.stdout + txn.stderr)
        self.assertEqual(self.must(port, "get", "a/2", who=alice), "")
        # A right that is taken away is gone with the next call.
        self.must(port, "role", "revoke-permission", "of-a", "a/", "--prefix=true", who=root)
        self.assertIn(DENIED, self.refused(port, "put", "a/1", "late", who=alice))
        self.assertEqual(self.must(port, "get", "a/1", who=root), "a/1\nx\n")
        return port

    def test_etcd_answers_so(self):
        if not shutil.which("etcd"):
            self.skipTest("etcd is not installed")
        self.name_is_the_user("etcd")

    def test_the_name_in_a_certificate_is_the_user(self):
        port = self.name_is_the_user(KVD)
        # A gateway's certificate is the gateway's, and not its users'.
        done = self.curl(f"https://localhost:{port}/v3/kv/range", "-d", '{"key":"YS8x"}', who=self.root_user)
        self.assertIn("user name is empty", done.stdout)

    def test_kvctl_is_the_user_of_its_certificate(self):
        port = self.with_users(KVD)
        self.assertEqual(self.must(port, "put", "a/1", "x", who=self.alice, tool=KVCTL), "OK\n")
        self.assertIn(DENIED, self.refused(port, "put", "b/1", "x", who=self.alice, tool=KVCTL))
        self.assertIn("bob", self.must(port, "user", "list", who=self.root_user, tool=KVCTL))

    def python(self, port, **more):
        try:
            import etcd3
        except ImportError as missing:
            self.skipTest(f"{missing} (Debian's package python3-etcd3)")
        # Never closed: its thread of watches, which can't be waited for, would complain of it on the test's output.
        return etcd3.client(host="127.0.0.1", port=port, ca_cert=self.ca.ca, cert_cert=self.alice[0],
                            cert_key=self.alice[1], timeout=20, **more)

    def test_pythons_client_works_over_tls(self):
        client = self.python(self.serve_known())
        client.put("a/1", "x")
        self.assertEqual(client.get("a/1")[0], b"x")
        lease = client.lease(60)
        client.put("a/2", "y", lease=lease)
        done, _ = client.transaction(compare=[client.transactions.value("a/1") == "x"],
                                     success=[client.transactions.put("a/3", "z")], failure=[])
        self.assertTrue(done)
        events, cancel = client.watch_prefix("a/", start_revision=1)
        self.assertEqual([next(events).key for _ in range(3)], [b"a/1", b"a/2", b"a/3"])
        cancel()
        # Larger than a record of TLS and than a frame of HTTP/2.
        client.put("large", "v" * 1_000_000)
        self.assertEqual(client.get("large")[0], b"v" * 1_000_000)
        lease.revoke()
        self.assertIsNone(client.get("a/2")[0])

    def test_pythons_client_is_the_user_of_its_certificate_or_of_its_token(self):
        port = self.with_users(KVD)
        alice = self.python(port)
        alice.put("a/1", "x")
        with self.assertRaises(Exception) as refused:
            alice.put("b/1", "x")
        self.assertIn(DENIED, str(refused.exception) + repr(refused.exception))
        bob = self.python(port, user="bob", password="secret")
        bob.put("b/1", "y")
        self.assertEqual(bob.get("b/1")[0], b"y")


class JoiningPeers(TlsCase):
    def setUp(self):
        super().setUp()
        self.ports, self.logs = self.cluster(lambda i: self.peer_flags(self.ca.issue(f"node{i}", cn="node")))
        self.assertTrue(eventually(lambda: '"revision"' in self.put(self.ports[0], "YmFy").stdout), self.said(self.logs[0]))

    def join(self, files):
        """Adds a member and starts it with these certificates. Gives its client port, and its log."""
        client, peer = free_ports(2)
        url = f"https://127.0.0.1:{peer}"
        add = [KVCTL, "--endpoints", f"127.0.0.1:{self.ports[0]}", "member", "add", "m3", f"--peer-urls={url}", "--learner"]
        # Refused while the members do not all hear each other yet.
        self.assertTrue(eventually(lambda: subprocess.run(add, capture_output=True, timeout=60).returncode == 0))
        names = [f"m{i}=https://127.0.0.1:{self.ports[3 + i]}" for i in range(3)] + [f"m3={url}"]
        self.start(*self.peer_flags(files), wait=False, name="m3", listen_client_urls=f"http://127.0.0.1:{client}",
                   advertise_client_urls=f"http://127.0.0.1:{client}", listen_peer_urls=url,
                   initial_advertise_peer_urls=url, initial_cluster=",".join(names), initial_cluster_state="existing",
                   data_dir=os.path.join(self.directory, "m3"))
        return client, self.log

    def test_a_member_joins_over_peer_tls(self):
        client, log = self.join(self.ca.issue("node3", cn="node"))
        self.assertTrue(eventually(lambda: self.has(client, "YmFy")), self.said(log))
        self.assertIn('"revision"', self.put(client, "YmF6").stdout)
        for port in self.ports[:3]:
            self.assertTrue(eventually(lambda port=port: self.has(port, "YmF6")))

    def test_a_member_whose_certificate_is_of_another_authority_does_not_join(self):
        client, log = self.join(self.other.issue("node", cn="node"))
        self.assertTrue(eventually(lambda: "unknown ca" in self.said(log)), self.said(log))
        self.assertFalse(self.has(client, "YmFy"))
        # The others go on as if nobody had knocked.
        self.assertIn('"revision"', self.put(self.ports[1], "YmF6").stdout)


if __name__ == "__main__":
    unittest.main()
