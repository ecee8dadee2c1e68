"""Ports that no other test takes, by the same locks as files.h and tests/clients/go/cluster/ports.go."""
import fcntl
import os
import random
import socket
import tempfile


def take_port():
    """A free port of 127.0.0.1, and the file whose lock keeps it: close that when the port is no longer needed."""
    directory = os.path.join(tempfile.gettempdir(), "kvd-test-ports")
    os.makedirs(directory, exist_ok=True)
    while True:
        port = random.SystemRandom().randint(10000, 31999)
        if port in (22379, 22380):  # scripts/up's
            continue
        lock = open(os.path.join(directory, str(port)), "ab")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            with socket.socket() as s:
                s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                s.bind(("127.0.0.1", port))
        except OSError:
            lock.close()
            continue
        return port, lock
