"""Servers with a v2 door: Debian's etcd and kvd, which take the same flags."""
import http.client
import json
import os
import shutil
import subprocess
import sys
import tempfile

TESTS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")
sys.path[1:1] = [os.path.join(TESTS, "harness"), os.path.join(TESTS, "kvd")]
from kvd_process import until  # noqa: E402
from ports import take_port  # noqa: E402

READY_SECONDS = 60


def is_etcd(program):
    return os.path.basename(program) == "etcd"


class Server:
    """One member or more, on data of their own. `ports` are those for clients."""

    def __init__(self, program, members=1, flags=()):
        self.program = program
        self.name = os.path.basename(program)
        self.directory = tempfile.mkdtemp(prefix="kvd-rest-")
        self.locks, self.logs, self.processes = [], [], []
        self.ports = [self._take() for _ in range(members)]
        self.peers = [self._take() for _ in range(members)]
        cluster = ",".join(f"m{i}=http://127.0.0.1:{port}" for i, port in enumerate(self.peers))
        own = ["--enable-v2"] if is_etcd(program) else []
        for i, port in enumerate(self.ports):
            client, peer = f"http://127.0.0.1:{port}", f"http://127.0.0.1:{self.peers[i]}"
            log = open(f"{self.directory}/m{i}.log", "wb")
            self.logs.append(log)
            self.processes.append(subprocess.Popen(
                [program, f"--name=m{i}", f"--data-dir={self.directory}/m{i}", f"--listen-client-urls={client}",
                 f"--advertise-client-urls={client}", f"--listen-peer-urls={peer}",
                 f"--initial-advertise-peer-urls={peer}", f"--initial-cluster={cluster}", *own, *flags],
                stdout=log, stderr=log))

    def _take(self):
        port, lock = take_port()
        self.locks.append(lock)
        return port

    @property
    def port(self):
        return self.ports[0]

    def wait_ready(self):
        """Until each member serves, and etcd's own first writes, which move its index, are done."""
        for i, process in enumerate(self.processes):
            def serves():
                if process.poll() is not None:
                    raise AssertionError(f"{self.program} has ended: {process.returncode}\n{self.last_words(i)}")
                try:
                    version = json.loads(self.request(i, "GET", "/version")[2])
                    health = json.loads(self.request(i, "GET", "/health")[2])
                except (OSError, ValueError, http.client.HTTPException):
                    return False
                return health.get("health") == "true" and version.get("etcdcluster", "").startswith("3.") and \
                    version["etcdcluster"] != "3.0.0"
            until(serves, READY_SECONDS, f"{self.program} on port {self.ports[i]}")
        return self

    def request(self, member, method, path, body=None, headers=None, timeout=20):
        """Status, headers, body."""
        connection = http.client.HTTPConnection("127.0.0.1", self.ports[member], timeout=timeout)
        try:
            connection.request(method, path, body, headers or {})
            response = connection.getresponse()
            return response.status, response.headers, response.read()
        finally:
            connection.close()

    def last_words(self, member=0):
        with open(f"{self.directory}/m{member}.log", errors="replace") as log:
            return log.read()[-3000:]

    def end(self):
        """Stops all members; a member that has ended by itself is an error."""
        ended = [process.poll() for process in self.processes]
        words = "".join(self.last_words(i) for i, code in enumerate(ended) if code is not None)
        for process in self.processes:
            process.kill()
            process.wait()
        for file in self.logs + self.locks:
            file.close()
        shutil.rmtree(self.directory, ignore_errors=True)
        if words:
            raise AssertionError(f"a member of {self.program} has ended by itself: {ended}\n{words}")
