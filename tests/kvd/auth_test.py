#!/usr/bin/env python3
"""Users of a daemon, by the JSON gateway: what it writes about them, tokens of both kinds, and flags that make no sense."""
import base64
import http.client
import json
import shutil
import subprocess
import tempfile
import unittest

import cli_test
from cli_test import Daemon, free_port

PASSWORD = "correct horse battery staple"


def b64(text):
    return base64.b64encode(text.encode()).decode()


class Member:
    """A daemon in a directory of its own, with the least bcrypt cost."""

    def __init__(self, *flags, directory=None):
        self.directory = directory or tempfile.mkdtemp(prefix="kvd-auth-")
        self.port = free_port()
        self.daemon = Daemon(f"--listen-client-urls=http://127.0.0.1:{self.port}",
                             f"--listen-peer-urls=http://127.0.0.1:{free_port()}", "--data-dir=data", "--bcrypt-cost=4",
                             "--log-level=debug", *flags, cwd=self.directory)
        self.daemon.wait_for("ready to serve client requests")

    def post(self, path, body, token=None):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        connection.request("POST", path, json.dumps(body), {"Authorization": token} if token else {})
        response = connection.getresponse()
        answer = json.loads(response.read())
        connection.close()
        return response.status, answer

    def must(self, path, body, token=None):
        status, answer = self.post(path, body, token)
        assert status == 200, (path, status, answer)
        return answer

    def log(self):
        """All that it has written, once it has ended."""
        self.daemon.stop()
        return (self.daemon.log + self.daemon.process.stderr.read()).decode()

    def enable(self):
        self.must("/v3/auth/user/add", {"name": "root", "password": PASSWORD})
        self.must("/v3/auth/user/grant", {"user": "root", "role": "root"})
        self.must("/v3/auth/enable", {})

    def log_in(self, password=PASSWORD):
        return self.must("/v3/auth/authenticate", {"name": "root", "password": password})["token"]


class Users(unittest.TestCase):
    def member(self, *flags, directory=None):
        member = Member(*flags, directory=directory)
        if directory is None:
            self.addCleanup(shutil.rmtree, member.directory)
        self.addCleanup(member.daemon.end)
        return member

    def key(self, name, *generate):
        directory = tempfile.mkdtemp(prefix="kvd-auth-key-")
        self.addCleanup(shutil.rmtree, directory)
        subprocess.run(["openssl", generate[0], "-out", f"{directory}/{name}", *generate[1:]], check=True, capture_output=True)
        return f"{directory}/{name}"

    # CVE-2021-28235
    def test_no_password_and_no_token_is_ever_logged(self):
        member = self.member()
        member.enable()
        token = member.log_in()
        status, answer = member.post("/v3/auth/authenticate", {"name": "root", "password": PASSWORD + " wrong"})
        self.assertEqual(400, status)
        self.assertEqual("etcdserver: authentication failed, invalid user ID or password", answer["message"])
        member.must("/v3/kv/put", {"key": b64("a"), "value": b64("b")}, token)
        member.post("/v3/kv/put", {"key": b64("a")}, token[:-1] + "9")
        basic = b64(f"root:{PASSWORD}")
        member.must("/v3/kv/put", {"key": b64("a"), "value": b64("b")}, "Basic " + basic)
        self.assertEqual(401, member.post("/v3/kv/put", {"key": b64("a")}, "Basic " + b64("root:" + PASSWORD + " wrong"))[0])
        log = member.log()
        self.assertIn("a wrong user or password was refused", log)
        self.assertIn("user=root", log)
        for secret in (PASSWORD, "battery", token[:16], "$2b$", basic[:16]):
            self.assertNotIn(secret, log)

    def test_a_signed_token_outlives_its_member(self):
        key = self.key("ec.pem", "ecparam", "-name", "prime256v1", "-genkey", "-noout")
        flag = f"--auth-token=jwt,sign-method=ES256,priv-key={key},ttl=10m"
        member = self.member(flag)
        member.enable()
        token = member.log_in()
        self.assertEqual(3, len(token.split(".")))
        member.must("/v3/auth/user/list", {}, token)
        member.must("/v3/auth/user/list", {}, "Bearer " + token)
        member.daemon.end()
        again = self.member(flag, directory=member.directory)
        again.must("/v3/auth/user/list", {}, token)
        self.assertEqual(401, again.post("/v3/auth/user/list", {}, token[:-2] + "AA")[0])
        # What was signed before the password changed is worth nothing afterwards.
        again.must("/v3/auth/user/changepw", {"name": "root", "password": "new"}, token)
        status, answer = again.post("/v3/auth/user/list", {}, token)
        self.assertEqual((400, "etcdserver: revision of auth store is old"), (status, answer["message"]))
        again.must("/v3/auth/user/list", {}, again.log_in("new"))

    def test_flags_that_make_no_sense_are_refused(self):
        key = self.key("rsa.pem", "genrsa", "2048")
        directory = tempfile.mkdtemp(prefix="kvd-auth-")
        self.addCleanup(shutil.rmtree, directory)
        for flag in ("--auth-token=", "--auth-token=basic", "--auth-token=jwt", "--auth-token=jwt,sign-method=none",
                     f"--auth-token=jwt,sign-method=ES256,priv-key={key}", "--bcrypt-cost=3", "--bcrypt-cost=32",
                     "--auth-token-ttl=0", "--auth-min-password-length=73"):
            done = subprocess.run([cli_test.KVD, flag, f"--data-dir={directory}/data",
                                   f"--listen-peer-urls=http://127.0.0.1:{free_port()}",
                                   f"--listen-client-urls=http://127.0.0.1:{free_port()}"],
                                  capture_output=True, text=True, timeout=30)
            self.assertEqual(1, done.returncode, flag)
            self.assertIn(flag[2:].split("=")[0], done.stderr, flag)


if __name__ == "__main__":
    unittest.main(verbosity=2)
