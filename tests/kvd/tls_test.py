#!/usr/bin/env python3
"""TLS as a person meets it: stock etcdctl and curl, certificates that change, and those that must be kept out."""
import os
import select
import shutil
import signal
import socket
import ssl
import stat
import subprocess
import unittest

from tls_case import KVD, KVCTL, PATIENCE_S, TlsCase, eventually, free_ports


class Tls(TlsCase):
    def serial(self, port):
        """The serial number of the certificate that the server shows."""
        context = ssl.create_default_context(cafile=self.ca.ca)
        with socket.create_connection(("127.0.0.1", port), timeout=10) as raw:
            with context.wrap_socket(raw, server_hostname="localhost") as s:
                return s.getpeercert()["serialNumber"]

    # ---- clients ----

    def test_stock_etcdctl_works_with_and_without_a_certificate(self):
        for port, who in ((self.serve(), None), (self.serve_known(), self.alice)):
            done = self.etcdctl(port, "put", "a", "1", who=who)
            self.assertEqual(done.stdout, "OK\n", done.stderr)
            self.assertEqual(self.etcdctl(port, "get", "a", who=who).stdout, "a\n1\n")
            self.assertIn("is healthy", self.etcdctl(port, "endpoint", "health", who=who).stderr)
            top = self.etcdctl(port, "top", "--once", "--interval", "100ms", who=who, tool=KVCTL)  # reads /metrics itself
            self.assertIn("leader", top.stdout, top)
            self.assertNotIn("can't be read", top.stdout, top)

    def test_etcdctl_without_a_good_certificate_is_refused(self):
        port = self.serve_known()
        late = self.ca.issue("late", cn="alice", hosts=(), expired=True)
        for who in (None, self.foreign, late):
            done = self.etcdctl(port, "put", "a", "1", who=who)
            self.assertNotEqual(done.returncode, 0, who)
            self.assertNotIn("OK", done.stdout)
        done = self.etcdctl(port, "get", "a", who=self.alice)
        self.assertEqual((done.returncode, done.stdout), (0, ""), done.stderr)

    def test_clients_refuse_a_server_they_cannot_verify(self):
        port = self.serve()
        wrong_ca = self.etcdctl(port, "get", "a", ca=self.other.ca)
        self.assertNotEqual(wrong_ca.returncode, 0)
        only_name = self.ca.issue("only-name", hosts=("db.example",))
        named = self.start(cert_file=only_name[0], key_file=only_name[1])
        for tool in ("etcdctl", KVCTL):
            self.assertNotEqual(self.etcdctl(port, "get", "a", ca=self.other.ca, tool=tool).returncode, 0, tool)
            wrong_host = self.etcdctl(named, "put", "a", "1", tool=tool)
            self.assertNotEqual(wrong_host.returncode, 0, tool)
        self.assertNotEqual(self.curl(f"https://127.0.0.1:{named}/version").returncode, 0)
        expired = self.ca.issue("expired-server", expired=True)
        old = self.start(cert_file=expired[0], key_file=expired[1])
        self.assertIn("has expired", self.said())
        for tool in ("etcdctl", KVCTL):
            self.assertNotEqual(self.etcdctl(old, "put", "a", "1", tool=tool).returncode, 0, tool)

    def test_kvctl_works_over_tls(self):
        port = self.serve_known()
        for scheme in ("https://", ""):
            done = self.etcdctl(port, "put", "a", "1", who=self.alice, tool=KVCTL, scheme=scheme)
            self.assertEqual(done.stdout, "OK\n", done.stderr)
        self.assertIn("is healthy", self.etcdctl(port, "endpoint", "health", who=self.alice, tool=KVCTL).stdout)
        self.assertNotEqual(self.etcdctl(port, "put", "a", "1", who=self.foreign, tool=KVCTL).returncode, 0)
        variables = {**os.environ, "ETCDCTL_CACERT": self.ca.ca, "ETCDCTL_CERT": self.alice[0],
                     "KVCTL_KEY": self.alice[1], "KVCTL_ENDPOINTS": f"https://localhost:{port}"}
        done = subprocess.run([KVCTL, "get", "a"], capture_output=True, text=True, timeout=60, env=variables)
        self.assertEqual(done.stdout, "a\n1\n", done.stderr)
        unverified = self.serve()
        done = subprocess.run([KVCTL, "--endpoints", f"https://127.0.0.1:{unverified}", "--insecure-skip-tls-verify",
                               "put", "a", "1"], capture_output=True, text=True, timeout=60)
        self.assertEqual(done.stdout, "OK\n", done.stderr)

    def test_curl_speaks_http1_and_http2_and_the_gateway(self):
        port = self.serve_known()
        for version in ("--http1.1", "--http2"):
            done = self.curl(f"https://localhost:{port}/version", version, "-w", " %{http_version}", who=self.alice)
            self.assertIn("etcdserver", done.stdout, done.stderr)
            self.assertTrue(done.stdout.endswith(" 1.1" if version == "--http1.1" else " 2"), done.stdout)
            done = self.curl(f"https://localhost:{port}/v3/kv/put", version, "-d", '{"key":"Zm9v","value":"YmFy"}',
                             who=self.alice)
            self.assertIn('"revision"', done.stdout, done.stderr)

    def test_versions_below_1_2_are_refused_and_bounds_are_kept(self):
        port = self.serve()
        url = f"https://localhost:{port}/version"
        self.assertNotEqual(self.curl(url, "--tlsv1.0", "--tls-max", "1.1", "--ciphers", "DEFAULT@SECLEVEL=0").returncode, 0)
        self.assertEqual(self.curl(url, "--tls-max", "1.2").returncode, 0)
        strict = self.serve(tls_min_version="TLS1.3")
        self.assertNotEqual(self.curl(f"https://localhost:{strict}/version", "--tls-max", "1.2").returncode, 0)
        self.assertEqual(self.curl(f"https://localhost:{strict}/version").returncode, 0)
        choosy = self.serve(tls_max_version="TLS1.2", cipher_suites="TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256")
        url = f"https://localhost:{choosy}/version"
        self.assertEqual(self.curl(url).returncode, 0)
        self.assertNotEqual(self.curl(url, "--ciphers", "ECDHE-ECDSA-AES256-GCM-SHA384").returncode, 0)

    def test_plain_http_on_a_tls_port_is_told_so(self):
        done = self.curl(f"http://localhost:{self.serve()}/version", "-w", " %{http_code}")
        self.assertEqual(done.stdout, "Client sent an HTTP request to an HTTPS server.\n 400", done.stderr)

    def test_h2load_is_served(self):
        if not shutil.which("h2load"):
            self.skipTest("h2load is not installed")
        done = subprocess.run(["h2load", "-n500", "-c5", "-m10", f"https://127.0.0.1:{self.serve()}/version"],
                              capture_output=True, text=True, timeout=60)
        self.assertIn("500 succeeded, 0 failed", done.stdout, done.stderr)

    # ---- certificates that change ----

    def test_a_watch_lives_through_a_rotation(self):
        files = self.ca.issue("rotating")
        port = self.start(cert_file=files[0], key_file=files[1])
        before = self.serial(port)
        watch = subprocess.Popen(["etcdctl", "--endpoints", f"https://127.0.0.1:{port}", "--cacert", self.ca.ca,
                                  "watch", "a"], stdout=subprocess.PIPE, env={**os.environ, "ETCDCTL_API": "3"})
        self.addCleanup(watch.stdout.close)
        self.addCleanup(watch.wait)
        self.addCleanup(watch.kill)

        def next_event():
            ready, _, _ = select.select([watch.stdout], [], [], PATIENCE_S)
            return os.read(watch.stdout.fileno(), 4096).decode() if ready else ""

        def put_until_seen(value):
            # The watch may begin after the first put.
            for _ in range(PATIENCE_S):
                self.assertEqual(self.etcdctl(port, "put", "a", value).stdout, "OK\n")
                if select.select([watch.stdout], [], [], 1)[0]:
                    return next_event()
            return ""

        self.assertIn("before", put_until_seen("before"))
        self.ca.issue("rotating")
        self.assertTrue(eventually(lambda: self.serial(port) != before))
        self.assertEqual(self.etcdctl(port, "put", "a", "after").stdout, "OK\n")
        seen = next_event()
        while seen and "after" not in seen:
            seen = next_event()
        self.assertIn("after", seen)
        self.assertIsNone(watch.poll())

    def test_a_certificate_revoked_while_the_server_runs_is_refused_on_every_listener(self):
        bob = self.ca.issue("bob", cn="bob", hosts=())
        first, second = free_ports(2)
        self.serve_known(client_crl_file=self.ca.revoke(),
                         listen_client_urls=f"https://127.0.0.1:{first},https://127.0.0.1:{second}")
        for port in (first, second):
            self.assertEqual(self.etcdctl(port, "put", "a", "1", who=bob).returncode, 0)
        self.ca.revoke("bob")
        for port in (first, second):
            url = f"https://localhost:{port}/version"
            self.assertTrue(eventually(lambda url=url: self.curl(url, who=bob).returncode != 0))
            self.assertNotEqual(self.etcdctl(port, "put", "a", "1", who=bob).returncode, 0)
            self.assertEqual(self.etcdctl(port, "put", "a", "1", who=self.alice).stdout, "OK\n")
        self.assertIn("certificate revoked", self.said())

    # ---- certificates of its own ----

    def test_auto_tls_works_with_curl_k_and_hides_its_key(self):
        before = os.umask(0)  # the widest: the modes must not come from the shell
        try:
            port = self.start("--auto-tls")
        finally:
            os.umask(before)
        done = self.curl(f"https://127.0.0.1:{port}/health", "-k")
        self.assertIn('"true"', done.stdout, done.stderr)
        data = os.path.join(self.directory, f"data-{port}")
        mode = lambda path: stat.S_IMODE(os.stat(path).st_mode)
        for part in ("", "fixtures", "fixtures/client"):
            self.assertEqual(mode(os.path.join(data, part)), 0o700, part)
        self.assertEqual(mode(os.path.join(data, "fixtures/client/key.pem")), 0o600)
        # Who has the certificate may trust it.
        own = os.path.join(data, "fixtures/client/cert.pem")
        self.assertEqual(self.etcdctl(port, "put", "a", "1", ca=own).stdout, "OK\n")

    # ---- peers ----

    def test_three_members_with_peer_tls_elect_and_replicate(self):
        ports, logs = self.cluster(lambda i: self.peer_flags(self.ca.issue(f"node{i}", cn="node")))
        self.assertTrue(eventually(lambda: '"revision"' in self.put(ports[0], "YmFy").stdout), self.said(logs[0]))
        for port in ports[:3]:
            self.assertTrue(eventually(lambda port=port: self.has(port, "YmFy")))
        # Who has no certificate, or no TLS at all, is not spoken to.
        with socket.create_connection(("127.0.0.1", ports[3]), timeout=10) as s:
            s.sendall(b"KVDRAFT\0" + b"\0" * 56)
            s.settimeout(PATIENCE_S)
            self.assertNotIn(b"KVDWELC", s.recv(4096))
        context = ssl.create_default_context(cafile=self.ca.ca)
        with self.assertRaises((ssl.SSLError, ConnectionError)):
            with socket.create_connection(("127.0.0.1", ports[3]), timeout=PATIENCE_S) as raw:
                with context.wrap_socket(raw, server_hostname="localhost") as s:
                    s.sendall(b"KVDRAFT\0" + b"\0" * 56)
                    if not s.recv(4096):
                        raise ConnectionError("closed")

    def test_a_member_with_a_foreign_certificate_is_kept_out(self):
        foreign = self.other.issue("node", cn="node")
        ports, logs = self.cluster(
            lambda i: self.peer_flags(foreign if i == 2 else self.ca.issue(f"node{i}", cn="node")))
        self.assertTrue(eventually(lambda: '"revision"' in self.put(ports[0], "YmFy").stdout), self.said(logs[0]))
        self.assertTrue(eventually(lambda: self.has(ports[1], "YmFy")))
        self.assertTrue(eventually(lambda: "no peer stream" in self.said(logs[2])))
        self.assertFalse(self.has(ports[2], "YmFy"))
        self.assertNotIn("peer stream established", self.said(logs[2]))

    def test_a_revoked_member_is_kept_out(self):
        nodes = [self.ca.issue(f"node{i}", cn="node") for i in range(3)]
        crl = self.ca.revoke("node2")
        ports, logs = self.cluster(lambda i: self.peer_flags(nodes[i], f"--peer-crl-file={crl}"))
        self.assertTrue(eventually(lambda: '"revision"' in self.put(ports[0], "YmFy").stdout), self.said(logs[0]))
        self.assertTrue(eventually(lambda: "certificate revoked" in self.said(logs[0])), self.said(logs[0]))
        self.assertFalse(self.has(ports[2], "YmFy"))
        self.assertNotIn("peer stream established", self.said(logs[2]))

    def test_peer_auto_tls_makes_a_cluster(self):
        ports, logs = self.cluster(lambda i: ["--peer-auto-tls"])
        self.assertTrue(eventually(lambda: '"revision"' in self.put(ports[0], "YmFy").stdout), self.said(logs[0]))
        for port in ports[:3]:
            self.assertTrue(eventually(lambda port=port: self.has(port, "YmFy")))
        key = os.path.join(self.directory, "m0", "fixtures", "peer", "key.pem")
        self.assertEqual(stat.S_IMODE(os.stat(key).st_mode), 0o600)

    # ---- flags ----

    def refused(self, *flags):
        done = subprocess.run([KVD, f"--data-dir={self.directory}/x", *flags], capture_output=True, text=True, timeout=30)
        self.assertEqual(done.returncode, 1, done.stderr)
        return [line for line in done.stderr.splitlines() if line.startswith("kvd: ")][0]

    def test_flags_that_do_not_fit_are_refused_in_words(self):
        https = "--listen-client-urls=https://127.0.0.1:0"
        self.assertEqual(self.refused(https),
                         "kvd: https://127.0.0.1:0 needs --cert-file and --key-file, or --auto-tls")
        self.assertIn("go together", self.refused(https, f"--cert-file={self.server[0]}"))
        self.assertIn("does not belong to", self.refused(https, f"--cert-file={self.server[0]}",
                                                         f"--key-file={self.alice[1]}"))
        self.assertEqual(self.refused(https, "--auto-tls", "--client-cert-auth"),
                         "kvd: --client-cert-auth needs --trusted-ca-file")
        self.assertIn("TLS1.2, TLS1.3", self.refused("--tls-min-version=TLS1.1"))
        self.assertIn("greater than max", self.refused("--tls-min-version=TLS1.3", "--tls-max-version=TLS1.2"))
        self.assertIn("unexpected TLS cipher suite", self.refused("--cipher-suites=NONSENSE"))
        self.assertIn("No such file", self.refused(https, "--cert-file=/nowhere.pem", "--key-file=/nowhere.pem"))

    def test_the_maps_of_etcds_file_are_read(self):
        path = os.path.join(self.directory, "kvd.yaml")
        with open(path, "w") as f:
            f.write(f"client-transport-security:\n  cert-file: {self.server[0]}\n  key-file: {self.server[1]}\n"
                    f"  client-cert-auth: true\n  trusted-ca-file: {self.ca.ca}\n"
                    "peer-transport-security:\n  auto-tls: true\n")
        peer = free_ports(1)[0]
        port = self.start(config_file=path, listen_peer_urls=f"https://127.0.0.1:{peer}")
        self.assertEqual(self.etcdctl(port, "put", "a", "1", who=self.alice).stdout, "OK\n")
        self.assertNotEqual(self.etcdctl(port, "put", "a", "1").returncode, 0)
        self.assertNotEqual(self.curl(f"https://localhost:{peer}/", "-k").returncode, 35)  # it shakes hands


if __name__ == "__main__":
    unittest.main()
