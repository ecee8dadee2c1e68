"""Members as processes, one or more, and the few calls of the JSON gateway that tests of bad disks need."""
import base64
import json
import os
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def until(condition, seconds=30, what="a condition"):
    """Waits for a condition and gives its value; fails after `seconds`."""
    deadline = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"{what} did not come to hold in {seconds} s")
        time.sleep(0.02)


class Refused(Exception):
    """The server's own words."""


class Unreachable(Exception):
    pass


class Member:
    """One kvd. Its log is kept over restarts."""

    def __init__(self, program, name, data_dir, log_path, flags=(), env=None, client=None, peer=None):
        self.program, self.name, self.data_dir, self.log_path = program, name, data_dir, log_path
        self.client, self.peer = client or free_port(), peer or free_port()
        self.flags, self.env = list(flags), env
        self.process = None

    def start(self, env=None):
        environment = dict(os.environ, **(env if env is not None else self.env or {}))
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(
                [self.program, f"--name={self.name}", f"--data-dir={self.data_dir}",
                 f"--listen-client-urls=http://127.0.0.1:{self.client}",
                 f"--listen-peer-urls=http://127.0.0.1:{self.peer}", *self.flags],
                stdout=log, stderr=log, env=environment)
        return self

    def log(self):
        with open(self.log_path, errors="replace") as file:
            return file.read()

    def running(self):
        return self.process is not None and self.process.poll() is None

    def end(self, number=signal.SIGKILL):
        if self.running():
            self.process.send_signal(number)
        return self.process.wait(timeout=20) if self.process else None

    def call(self, path, body, timeout=10):
        request = urllib.request.Request(f"http://127.0.0.1:{self.client}{path}", json.dumps(body).encode())
        try:
            with urllib.request.urlopen(request, timeout=timeout) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            raise Refused(json.load(error)["message"]) from None
        except (OSError, ValueError, urllib.error.URLError) as error:
            raise Unreachable(str(error)) from None

    def put(self, key, value, timeout=10):
        return self.call("/v3/kv/put", {"key": b64(key), "value": b64(value)}, timeout)

    def get(self, key, serializable=False):
        answer = self.call("/v3/kv/range", {"key": b64(key), "serializable": serializable})
        return base64.b64decode(answer["kvs"][0].get("value", "")).decode() if "kvs" in answer else None

    def alarms(self):
        return self.call("/v3/maintenance/alarm", {"action": "GET"}).get("alarms", [])

    def health(self, query=""):
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.client}/health{query}", timeout=5) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            return json.load(error)
        except OSError:
            return None

    def serves(self):
        health = self.health()
        return health is not None and health["health"] == "true"


def b64(text):
    return base64.b64encode(text.encode()).decode()


def cluster(program, directory, count, data_dirs=None, flags=()):
    """Members that begin together; `data_dirs` may put some of them elsewhere."""
    members = [Member(program, f"m{i}", (data_dirs or {}).get(i, os.path.join(directory, f"m{i}")),
                      os.path.join(directory, f"m{i}.log")) for i in range(count)]
    urls = ",".join(f"{m.name}=http://127.0.0.1:{m.peer}" for m in members)
    for m in members:
        m.flags = [f"--initial-cluster={urls}", *flags]
    return members
