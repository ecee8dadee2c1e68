#!/usr/bin/env python3
"""kvctl export and import between kvd and etcd, as users run them.

    transfer.py --kvctl PATH --kvd PATH
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile

from golden import free_ports, server

failures = 0


def check(what, holds, seen=""):
    global failures
    if not holds:
        failures += 1
        print(f"FAILED  {what}\n{seen!r}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kvctl", required=True)
    parser.add_argument("--kvd", required=True)
    options = parser.parse_args()
    env = {k: v for k, v in os.environ.items() if not k.startswith(("ETCDCTL_", "KVCTL_"))}

    def run(port, *args, stdin=b""):
        return subprocess.run([options.kvctl, "--endpoints", f"127.0.0.1:{port}", *args], input=stdin,
                              capture_output=True, env=env, timeout=120, check=False)

    ports = free_ports(4)
    etcd, kvd = ports[0], ports[2]
    with server("etcd", ports[0], ports[1], ports[1]), server(options.kvd, ports[2], ports[3], ports[3]), \
            tempfile.TemporaryDirectory(prefix="kvctl_transfer.") as scratch:
        keys = [{"key": f"/c/{i:05}", "value": f"value {i}\n"} for i in range(3000)]
        entries = json.dumps(keys + [{"key_base64": "/w==", "value_base64": "gP8="}])
        done = run(etcd, "import", "-", stdin=entries.encode())
        check("standard input is imported", done.stdout.startswith(b"imported 3001 keys: 3001 created"), done)
        run(etcd, "put", "--lease", "1234abcd", "/leased", "v")

        exported = {}
        for name in ("x.json", "x.yaml"):
            path = os.path.join(scratch, name)
            done = run(etcd, "export", "-o", path)
            check(f"{name} is exported", done.returncode == 0 and b"exported 3002 keys" in done.stdout, done)
            check(f"only its owner reads {name}", os.stat(path).st_mode & 0o777 == 0o600)
            exported[name] = path
        check("no part is left", not [f for f in os.listdir(scratch) if f.endswith(".part")])

        done = run(kvd, "import", exported["x.yaml"], "--dry-run")
        check("a dry run writes nothing", done.stdout.startswith(b"would import 3002 keys: 3002 created") and
              run(kvd, "get", "--prefix", "").stdout == b"", done)
        run(kvd, "put", "/c/02999", "mine")
        done = run(kvd, "import", exported["x.json"])
        check("a key that is there is refused before anything is written", done.returncode == 1 and
              b"nothing was written" in done.stderr and run(kvd, "get", "--prefix", "/c/").stdout == b"/c/02999\nmine\n", done)
        done = run(kvd, "import", exported["x.json"], "--if-absent")
        check("--if-absent keeps it", b"3001 created, 0 overwritten, 0 unchanged, 1 skipped" in done.stdout and
              b"1 keys had a lease" in done.stderr, done)
        done = run(kvd, "import", exported["x.yaml"], "--overwrite", "--leases")
        check("--overwrite puts it", b"0 created, 2 overwritten, 3000 unchanged" in done.stdout, done)
        lease = json.loads(run(kvd, "get", "/leased", "-w", "json").stdout)["kvs"][0].get("lease", 0)
        check("--leases gives a lease", lease != 0, lease)
        done = run(kvd, "import", exported["x.json"], "--prefix-from", "/c/0299", "--prefix-to", "/copy/")
        check("a prefix is renamed", b"imported 10 keys: 10 created" in done.stdout and
              run(kvd, "get", "/copy/9").stdout == b"/copy/9\nvalue 2999\n\n", done)
        with open(exported["x.json"], "rb") as file:
            cut = file.read()[:-40]
        with open(os.path.join(scratch, "cut.json"), "wb") as file:
            file.write(cut)
        done = run(kvd, "import", os.path.join(scratch, "cut.json"), "--prefix-to", "/cut")
        check("a file that was cut writes nothing", done.returncode == 3 and
              run(kvd, "get", "--prefix", "/cut").stdout == b"", done)

        run(kvd, "del", "--prefix", "")
        done = run(kvd, "import", "--from-etcd", f"127.0.0.1:{etcd}")
        check("a running etcd is copied and compared", b"3002 created" in done.stdout and
              b"verified: 3002 keys are equal" in done.stdout, done)
        run(kvd, "del", "/c/01000", "/c/02000")
        done = run(kvd, "import", "--from-etcd", f"127.0.0.1:{etcd}")
        check("what was interrupted is gone on with", b"1000 created, 0 overwritten, 2002 unchanged" in done.stdout, done)
        run(kvd, "put", "/c/00001", "other")
        done = run(kvd, "import", "--from-etcd", f"127.0.0.1:{etcd}")
        check("another value is refused", done.returncode == 1 and b"is there with another value" in done.stderr, done)
        done = run(etcd, "export", "--rev", "9999999")
        check("a revision to come is an error", done.returncode == 1 and done.stdout == b"", done)
    print(f"{failures} failed" if failures else "all passed")
    sys.exit(1 if failures else 0)


if __name__ == "__main__":
    main()
