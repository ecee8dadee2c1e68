"""What tests of TLS share: an authority, members that use its certificates, and clients as people have them.

A test that imports this is called with the programs: TEST.py KVD KVCTL.
"""
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import unittest

from certificates import Authority

KVD = os.path.abspath(sys.argv.pop(1))
KVCTL = os.path.abspath(sys.argv.pop(1))
PATIENCE_S = 30


def free_ports(count):
    held = [socket.socket() for _ in range(count)]
    for s in held:
        s.bind(("127.0.0.1", 0))
    ports = [s.getsockname()[1] for s in held]
    for s in held:
        s.close()
    return ports


def eventually(condition):
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


class TlsCase(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.root = tempfile.mkdtemp(prefix="kvd-tls-")
        cls.addClassCleanup(shutil.rmtree, cls.root)
        cls.ca = Authority(cls.root, "ca")
        cls.other = Authority(cls.root, "other")
        cls.server = cls.ca.issue("server")
        cls.alice = cls.ca.issue("alice", cn="alice", hosts=())
        cls.foreign = cls.other.issue("foreign", cn="alice")

    def setUp(self):
        self.directory = tempfile.mkdtemp(prefix="case-", dir=self.root)

    def start(self, *flags, wait=True, program=KVD, **settings):
        """One member; the log goes to a file. Gives its client port."""
        client, peer = free_ports(2)
        all_flags = {"listen-client-urls": f"https://127.0.0.1:{client}",
                     "advertise-client-urls": f"https://127.0.0.1:{client}",
                     "listen-peer-urls": f"http://127.0.0.1:{peer}",
                     "data-dir": os.path.join(self.directory, f"data-{client}")}
        all_flags.update({name.replace("_", "-"): value for name, value in settings.items()})
        self.log = os.path.join(self.directory, f"log-{client}")
        with open(self.log, "wb") as log:
            process = subprocess.Popen([program, *(f"--{n}={v}" for n, v in all_flags.items()), *flags], stderr=log)

        def end():
            process.kill()
            process.wait()

        self.addCleanup(end)
        if wait:
            self.assertTrue(eventually(lambda: "ready to serve" in self.said()), self.said())
        return client

    def said(self, log=None):
        with open(log or self.log, errors="replace") as f:
            return f.read()

    def serve(self, *flags, **settings):
        return self.start(*flags, cert_file=self.server[0], key_file=self.server[1], **settings)

    def serve_known(self, **settings):
        return self.serve("--client-cert-auth", trusted_ca_file=self.ca.ca, **settings)

    def etcdctl(self, port, *command, ca=None, who=None, host="127.0.0.1", tool="etcdctl", scheme="https://"):
        flags = ["--endpoints", f"{scheme}{host}:{port}", "--cacert", ca or self.ca.ca, "--dial-timeout", "5s",
                 "--command-timeout", "5s"]
        if who:
            flags += ["--cert", who[0], "--key", who[1]]
        return subprocess.run([tool, *flags, *command], capture_output=True, text=True, timeout=60,
                              env={**os.environ, "ETCDCTL_API": "3"})

    def curl(self, url, *flags, ca=None, who=None):
        flags = ["-sS", "--max-time", "10", "--cacert", ca or self.ca.ca, *flags]
        if who:
            flags += ["--cert", who[0], "--key", who[1]]
        return subprocess.run(["curl", *flags, url], capture_output=True, text=True, timeout=60)

    def cluster(self, flags_of, scheme="https"):
        """Three members; flags_of(i) are flags of member i. Gives client ports and log files."""
        ports = free_ports(6)
        names = [f"m{i}={scheme}://127.0.0.1:{ports[3 + i]}" for i in range(3)]
        logs = []
        for i in range(3):
            self.start(*flags_of(i), wait=False, name=f"m{i}", listen_client_urls=f"http://127.0.0.1:{ports[i]}",
                       listen_peer_urls=names[i].split("=")[1], initial_advertise_peer_urls=names[i].split("=")[1],
                       initial_cluster=",".join(names), data_dir=os.path.join(self.directory, f"m{i}"),
                       advertise_client_urls=f"http://127.0.0.1:{ports[i]}")
            logs.append(self.log)
        return ports, logs

    def peer_flags(self, files, *more):
        return [f"--peer-cert-file={files[0]}", f"--peer-key-file={files[1]}", f"--peer-trusted-ca-file={self.ca.ca}",
                "--peer-client-cert-auth", *more]

    def put(self, port, value):
        return self.curl(f"http://127.0.0.1:{port}/v3/kv/put", "-d", '{"key":"Zm9v","value":"%s"}' % value)

    def has(self, port, value, serializable=True):
        done = self.curl(f"http://127.0.0.1:{port}/v3/kv/range", "-d",
                         '{"key":"Zm9v","serializable":%s}' % ("true" if serializable else "false"))
        return value in done.stdout
