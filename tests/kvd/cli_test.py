#!/usr/bin/env python3
"""The daemon as a person meets it: errors in one line with exit code 1, one-command start, stop within a second."""
import json
import os
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import unittest
import urllib.request

KVD = os.path.abspath(sys.argv.pop(1))


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Daemon:
    """A kvd that is ended with the test, and its log lines."""

    def __init__(self, *flags, cwd, env=None):
        self.process = subprocess.Popen([KVD, *flags], cwd=cwd, stderr=subprocess.PIPE, env=env)
        self.log = b""

    def wait_for(self, text, seconds=10):
        deadline = time.monotonic() + seconds
        while text.encode() not in self.log:
            left = deadline - time.monotonic()
            ready, _, _ = select.select([self.process.stderr], [], [], max(0, left))
            chunk = os.read(self.process.stderr.fileno(), 65536) if ready else b""
            if not chunk:
                raise AssertionError(f"{text!r} did not come; the log: {self.log.decode()}")
            self.log += chunk

    def stop(self, number=signal.SIGTERM):
        began = time.monotonic()
        self.process.send_signal(number)
        code = self.process.wait(timeout=10)
        return code, time.monotonic() - began

    def end(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self.process.stderr.close()


class Cli(unittest.TestCase):
    def setUp(self):
        self.directory = tempfile.mkdtemp(prefix="kvd-cli-")
        self.addCleanup(shutil.rmtree, self.directory)

    def flags(self, **changes):
        client, peer = free_port(), free_port()
        self.client_url = f"http://127.0.0.1:{client}"
        flags = {"listen-client-urls": self.client_url, "listen-peer-urls": f"http://127.0.0.1:{peer}",
                 "data-dir": os.path.join(self.directory, "data")}
        flags.update(changes)
        return [f"--{name}={value}" for name, value in flags.items()]

    def start(self, *flags, env=None):
        daemon = Daemon(*flags, cwd=self.directory, env=env)
        self.addCleanup(daemon.end)
        return daemon

    def refused(self, *flags):
        """Runs kvd with flags that must be refused; gives the one line that it says."""
        done = subprocess.run([KVD, *flags], cwd=self.directory, capture_output=True, text=True, timeout=20)
        self.assertEqual(done.returncode, 1, done.stderr)
        lines = [line for line in done.stderr.splitlines() if line.startswith("kvd: ")]
        self.assertEqual(len(lines), 1, done.stderr)
        return lines[0]

    def get(self, path):
        with urllib.request.urlopen(self.client_url + path, timeout=5) as answer:
            return answer.read().decode()

    def test_unknown_flag_gets_a_suggestion(self):
        self.assertEqual(self.refused("--data-dri=x"), "kvd: unknown flag --data-dri; did you mean --data-dir?")
        self.assertEqual(os.listdir(self.directory), [], "nothing may be made before the flags are known to be right")

    def test_wrong_url_is_named(self):
        self.assertIn("localhost:2379", self.refused("--listen-client-urls=localhost:2379"))

    def test_data_directory_that_cannot_be_made_is_named(self):
        line = self.refused(*self.flags(**{"data-dir": "/proc/nowhere/data"}))
        self.assertIn("/proc/nowhere/data", line)

    def test_data_directory_that_is_a_file_is_named(self):
        path = os.path.join(self.directory, "file")
        open(path, "w").close()
        self.assertIn(path, self.refused(*self.flags(**{"data-dir": path})))

    def test_port_in_use_is_named(self):
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            port = taken.getsockname()[1]
            url = f"http://127.0.0.1:{port}"
            self.assertIn(str(port), self.refused(*self.flags(**{"listen-client-urls": url})))
            self.assertIn(str(port), self.refused(*self.flags(**{"listen-peer-urls": url})))

    def test_second_member_on_one_directory_is_refused(self):
        first = self.start(*self.flags())
        first.wait_for("ready to serve client requests")
        line = self.refused(*self.flags())
        self.assertIn(os.path.join(self.directory, "data"), line)

    def test_starts_serves_and_stops_within_a_second(self):
        daemon = self.start(*self.flags())
        daemon.wait_for("ready to serve client requests")
        self.assertEqual(json.loads(self.get("/health")), {"health": "true", "reason": ""})
        self.assertIn("etcdserver", json.loads(self.get("/version")))
        self.assertIn("etcd_server_has_leader 1", self.get("/metrics"))
        mode = os.stat(os.path.join(self.directory, "data")).st_mode & 0o777
        self.assertEqual(mode, 0o700, "the data directory is nobody else's")
        code, seconds = daemon.stop()
        self.assertEqual(code, 0)
        self.assertLess(seconds, 1.0)

    def test_variables_and_config_file_are_read(self):
        path = os.path.join(self.directory, "kvd.yaml")
        with open(path, "w") as file:
            file.write("name: from-file\nlog-format: json\n")
        daemon = self.start(*self.flags(), env={**os.environ, "KVD_CONFIG_FILE": path})
        daemon.wait_for("ready to serve client requests")
        daemon.stop()
        for line in daemon.log.decode().splitlines():
            json.loads(line)
        self.assertIn('"name":"from-file"', daemon.log.decode())

    def test_help_and_version(self):
        shown = subprocess.run([KVD, "--help"], capture_output=True, text=True, timeout=10)
        self.assertEqual(shown.returncode, 0)
        self.assertIn("--initial-cluster", shown.stdout)
        version = subprocess.run([KVD, "--version"], capture_output=True, text=True, timeout=10)
        self.assertEqual(version.returncode, 0)
        self.assertRegex(version.stdout, r"^kvd \d+\.\d+\.\d+ ")


if __name__ == "__main__":
    unittest.main()
