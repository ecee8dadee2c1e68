"""One side of a comparison: requests written byte by byte on a kept connection, and watches that stay open."""
import http.client
import socket
import threading
import time

SECONDS = 30  # for what must come


class Answer:
    """What came back; a connection that was closed without an answer has status 0."""

    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body

    def __str__(self):
        shown = ("Content-Type", "Allow", "Location", "X-Etcd-Index", "X-Raft-Index")
        headers = "; ".join(f"{name}: {self.headers[name]}" for name in shown if self.headers.get(name) is not None)
        return f"{self.status} ({headers})\n        {self.body.decode('utf-8', 'backslashreplace').rstrip()}"


def request_bytes(method, target, body, content_type):
    head = [f"{method} {target} HTTP/1.1".encode(), b"Host: 127.0.0.1"]
    if content_type is not None:
        head.append(b"Content-Type: " + content_type.encode())
    if body is not None:
        head.append(b"Content-Length: " + str(len(body)).encode())
    return b"\r\n".join(head) + b"\r\n\r\n" + (body or b"")


class Watch:
    """A request with wait=true. Its headers are there when the server has the watch; events come when they come."""

    def __init__(self, port, request, method):
        self.socket = socket.create_connection(("127.0.0.1", port), SECONDS)
        self.socket.sendall(request)
        self.response = http.client.HTTPResponse(self.socket, method=method)
        self.response.begin()
        self.lines, self.done = [], False
        self.changed = threading.Condition()
        # A watch may be silent for as long as it likes.
        self.socket.settimeout(None)
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()

    def _read(self):
        try:
            while True:
                line = self.response.readline()
                if not line:
                    break
                with self.changed:
                    self.lines.append(line)
                    self.changed.notify_all()
        except (OSError, http.client.HTTPException, ValueError):
            pass
        with self.changed:
            self.done = True
            self.changed.notify_all()

    def state(self):
        with self.changed:
            return list(self.lines), self.done

    def wait(self, condition, seconds):
        """Waits until `condition(lines, done)`; gives whether it held in time."""
        with self.changed:
            return self.changed.wait_for(lambda: condition(self.lines, self.done), seconds)

    def close(self):
        # A shutdown, unlike a close, ends the reader's recv.
        try:
            self.socket.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self.reader.join(SECONDS)
        self.response.close()
        self.socket.close()


class Side:
    """A server as one of the two that are compared, with what it calls things: its base index, its in-order keys."""

    def __init__(self, server):
        self.server = server
        self.socket = None
        self.begin(0)

    def begin(self, base):
        """A new run: indexes count from `base`."""
        self.base = self.index = base
        self.posted = []       # names of the in-order keys that this run has made
        self.modified = {}     # key -> modifiedIndex, of all nodes that were shown
        self.watches = {}

    def call(self, method, target, body=None, content_type=None):
        request = request_bytes(method, target, body, content_type)
        fresh = self.socket is None
        try:
            return self._try(request, method)
        except (ConnectionError, http.client.BadStatusLine):
            self.hang_up()
            if fresh:
                return Answer(0, {}, b"")
        # The server may have closed the connection after the answer before this one.
        try:
            return self._try(request, method)
        except (ConnectionError, http.client.BadStatusLine):
            self.hang_up()
            return Answer(0, {}, b"")

    def _try(self, request, method):
        if self.socket is None:
            self.socket = socket.create_connection(("127.0.0.1", self.server.port), SECONDS)
            self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.sendall(request)
        response = http.client.HTTPResponse(self.socket, method=method)
        response.begin()
        body = response.read()
        if response.will_close:
            self.hang_up()
        response.close()
        return Answer(response.status, response.headers, body)

    def open_watch(self, name, method, target):
        """Gives the answer's head; the body too when the server has refused to watch."""
        watch = Watch(self.server.port, request_bytes(method, target, None, None), method)
        response = watch.response
        if response.status == 200:
            self.watches[name] = watch
            return Answer(200, response.headers, b"")
        watch.wait(lambda lines, done: done, SECONDS)
        answer = Answer(response.status, response.headers, b"".join(watch.state()[0]))
        watch.close()
        return answer

    def hang_up(self):
        if self.socket is not None:
            self.socket.close()
            self.socket = None

    def end(self):
        for watch in self.watches.values():
            watch.close()
        self.watches = {}


def settle(a, b, agree, quiet=0.3, seconds=SECONDS):
    """Waits until what two watches have shown agrees and nothing has come for a while.

    That both are silent ends it early; that they do not agree must hold for long before it is believed.
    """
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        before = a.state(), b.state()
        if before[0][1] and before[1][1]:
            return
        agreed = agree()
        for watch, (lines, _) in zip((a, b), before):
            if not watch.state()[1]:
                watch.wait(lambda now, done, count=len(lines): len(now) > count or done,
                           min(quiet / 2 if agreed else 1, max(0, deadline - time.monotonic())))
        if agreed and (a.state(), b.state()) == before:
            return
