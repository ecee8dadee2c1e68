#!/usr/bin/env python3
"""The Debian package and its systemd unit, as docs/operations.md uses them, in containers whose first process is systemd:
install, enable, a member that is killed, an upgrade while it runs, remove, purge; then the three hosts of
deploy/three-hosts, upgraded one after the other while a client writes.

Exits with 77, "skipped", where no Docker engine answers, no base image or no systemd can be had, or a container may not
run one. Whatever it makes has a name of its own and is removed at the end.
"""

import argparse
import os
import pathlib
import re
import signal
import subprocess
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent / "harness"))
from containers import Failure, Skipped, base_image, make_package, need_engine, quietly, run, say, wait_for

SKIPPED = 77
# What systemd needs and Docker's default does not give. Not all that --privileged gives, which a machine may not have.
ALLOWED = ["--cap-add=SYS_ADMIN", "--cap-add=NET_ADMIN", "--security-opt=seccomp=unconfined",
           "--security-opt=apparmor=unconfined", "--cgroupns=host", "-v", "/sys/fs/cgroup:/sys/fs/cgroup:rw",
           "--tmpfs=/run:exec", "--tmpfs=/run/lock", "--tmpfs=/tmp"]
DATA = "/var/lib/private/kvd"
LINK = "/etc/systemd/system/multi-user.target.wants/kvd.service"


def must(what, condition):
    if not condition:
        raise Failure(what)


class Host:
    """A container that is a machine with systemd."""

    def __init__(self, name, image, *options):
        self.name = name
        run(["docker", "run", "-d", "--name", name, *ALLOWED, *options, image])

    def sh(self, command, check=True, timeout=120):
        return run(["docker", "exec", "-e", "DEBIAN_FRONTEND=noninteractive", self.name, "sh", "-ec", command],
                   check=check, timeout=timeout).strip()

    def put_file(self, file, path):
        run(["docker", "cp", str(file), f"{self.name}:{path}"])

    def wait_for_systemd(self):
        try:
            wait_for("systemd", 60, lambda: self.sh("systemctl is-system-running", check=False) in ("running", "degraded"))
        except Failure as failure:
            raise Skipped(f"systemd does not come up in a container here: {failure}\n"
                          f"{run(['docker', 'logs', self.name], check=False)}") from None

    def state(self):
        """Whether the unit is active and enabled, in systemd's words."""
        return self.sh("systemctl is-active kvd", check=False), self.sh("systemctl is-enabled kvd", check=False)

    def property(self, name):
        return self.sh(f"systemctl show -p {name} --value kvd")

    def put(self, key, value):
        answer = self.sh(f"kvctl put {key} {value}")
        must(f"a put answered {answer}", answer == "OK")

    def has(self, key, value):
        wait_for(f"{key} on {self.name}", 60, lambda: self.sh(f"kvctl get {key} --print-value-only") == value)

    def apt(self, *args):
        """Runs apt on packages; what it says must hold no word of trouble of their scripts."""
        said = self.sh(f"apt-get install -y --no-install-recommends {' '.join(args)} 2>&1" if args[0][0] == "/" else
                       f"apt-get {' '.join(args)} 2>&1", timeout=600)
        for line in said.splitlines():
            must(f"apt says: {line}", not re.search(r"^(dpkg|E|W): |not found|[Ff]ailed|Could not|no such", line))
        return said


class World:
    def __init__(self, project, source, build, package):
        self.project, self.source, self.build, self.package = project, source, build, package
        self.images, self.hosts, self.network = [], [], None

    def host(self, name, image, *options):
        self.hosts.append(f"{self.project}-{name}")
        return Host(self.hosts[-1], image, *options)

    def systemd_image(self):
        base = base_image(self.project, self.source, self.build)
        if base.startswith(self.project):
            self.images.append(base)
        name = f"{self.project}:systemd"
        recipe = (f"FROM {base}\nRUN apt-get -qq update && DEBIAN_FRONTEND=noninteractive apt-get -qq install -y "
                  "--no-install-recommends systemd systemd-sysv dbus libnss-systemd && systemctl mask "
                  "systemd-networkd-wait-online.service\nSTOPSIGNAL SIGRTMIN+3\nENTRYPOINT [\"/sbin/init\"]\n")
        try:
            run(["docker", "build", "-q", "-t", name, "-"], input=recipe, timeout=600,
                env={**os.environ, "DOCKER_BUILDKIT": "0"})
        except Failure as failure:
            raise Skipped(f"apt can't install systemd in a container: {failure}") from None
        self.images.append(name)
        return name

    def packages(self, folder):
        """The package, and the same under a later version."""
        deb = self.package
        if not deb:
            deb = folder / "kvd.deb"
            make_package(self.build, deb)
        later = folder / "later.deb"
        run(["dpkg-deb", "-R", str(deb), str(folder / "x")])
        control = folder / "x" / "DEBIAN" / "control"
        text, count = re.subn(r"(?m)^(Version: .*)$", r"\1+later", control.read_text())
        must("one version in the package", count == 1)
        control.write_text(text)
        run(["dpkg-deb", "--root-owner-group", "-b", str(folder / "x"), str(later)])
        return deb, later

    def remove(self):
        for host in self.hosts:
            quietly(["docker", "rm", "-f", "-v", host])
        if self.network:
            quietly(["docker", "network", "rm", self.network])
        for image in reversed(self.images):
            quietly(["docker", "image", "rm", "-f", image])


def lone_member(host):
    """Everything that happens to a package on one machine; it is gone in the end, and its member's data are not."""
    say("install: there, and neither enabled nor started")
    must("it is started or enabled by its installation", host.state() == ("inactive", "disabled"))
    say("systemctl enable --now kvd")
    host.sh("systemctl enable --now kvd")
    host.put("a", "1")
    owner = host.sh(f"stat -c '%U %a' {DATA}")
    must(f"the data are of {owner}", owner == "kvd 700")
    user = host.sh("stat -c %U /proc/$(systemctl show -p MainPID --value kvd)")
    must(f"it runs as {user}", user == "kvd")
    must("it is not active as systemctl status shows it", "active (running)" in host.sh("systemctl status kvd"))
    exposure = float(re.search(r"exposure level for kvd.service: ([0-9.]+)",
                               host.sh("systemd-analyze security --no-pager kvd")).group(1))
    must(f"its exposure is {exposure}", exposure <= 2)
    say(f"it serves, as the user {user}; exposure {exposure}")

    say("restart; killed; stopped")
    host.sh("systemctl restart kvd")
    host.has("a", "1")
    before = host.property("MainPID")
    host.sh(f"kill -9 {before}")
    wait_for("another process", 30, lambda: host.property("MainPID") not in (before, "0"))
    host.has("a", "1")
    must("it did not come back by itself", host.property("NRestarts") == "1")
    host.sh("systemctl stop kvd")
    must("it did not end well", host.property("Result") == "success" and host.property("ExecMainStatus") == "0")

    say("settings in /etc/kvd/kvd.env, upgrade")
    host.sh("install -d /etc/kvd; echo KVD_NAME=named > /etc/kvd/kvd.env; rm -r " + DATA + "; systemctl start kvd")
    host.put("a", "2")
    must("kvd.env is not read", ", named, " in host.sh("kvctl member list"))
    before = host.property("MainPID")
    host.apt("/root/later.deb")
    must("the running member is not of the new version", host.property("MainPID") not in (before, "0"))
    must("it is another version", "+later" in host.sh("dpkg-query -W -f '${Version}' kvd"))
    host.has("a", "2")
    host.sh("systemctl stop kvd")
    host.apt("--reinstall", "install", "/root/later.deb")
    must("one that was stopped is started by an upgrade", host.state() == ("inactive", "enabled"))
    host.sh("systemctl start kvd")

    say("remove and come back, purge")
    host.apt("remove", "-y", "kvd")
    must("it runs on when its package is gone", host.sh("systemctl is-active kvd", check=False) == "inactive")
    host.apt("/root/later.deb")
    must("the owner's will is forgotten", host.state() == ("inactive", "enabled"))
    host.sh("systemctl start kvd")
    host.has("a", "2")
    host.apt("purge", "-y", "kvd")
    left = host.sh(f"ls -d {LINK} /usr/bin/kvd /usr/bin/kvctl /lib/systemd/system/kvd.service {DATA}/log {DATA}/state "
                   "/etc/kvd/kvd.env 2>/dev/null || true").split()
    must(f"a purge leaves {left}", sorted(left) == ["/etc/kvd/kvd.env", f"{DATA}/log", f"{DATA}/state"])
    must("units have failed", "0 loaded units" in host.sh("systemctl --failed"))


def three_hosts(world, image):
    """deploy/three-hosts as they are, and an upgrade, one host after the other, while a client writes."""
    world.network = f"{world.project}-net"
    run(["docker", "network", "create", world.network])
    names = [f"kvd{i}.example" for i in (1, 2, 3)]
    hosts = [world.host(f"host{i}", image, "--network", world.network, "--network-alias", name, "--hostname", name)
             for i, name in enumerate(names, 1)]
    for host in hosts:
        host.wait_for_systemd()
    for i, host in enumerate(hosts, 1):
        host.sh(f"install -D -m 0640 /usr/share/doc/kvd/deploy/three-hosts/host{i}.env /etc/kvd/kvd.env")
        host.sh("systemctl enable --now kvd")
    status = wait_for("three members", 90, lambda: (lambda lines: lines if len(lines) == 3 else None)(
        hosts[0].sh("kvctl --endpoints kvd1.example:2379 endpoint status --cluster").splitlines()))
    must(f"they are other members: {status}", all(any(name in line for line in status) for name in names))
    everywhere = "--endpoints " + ",".join(f"{name}:2379" for name in names)
    written = 0
    for n, host in enumerate(hosts):
        say(f"upgrade {names[n]}")
        host.apt("/root/later.deb")
        wait_for("all three to be well", 90, lambda: hosts[0].sh(f"kvctl {everywhere} endpoint health", check=False).count(
            "is healthy") == 3)
        for _ in range(10):
            must("a write", hosts[(n + 1) % 3].sh(f"kvctl {everywhere} put key{written} v") == "OK")
            written += 1
    for host in hosts:
        wait_for(f"{written} keys on {host.name}", 60, lambda: host.sh(
            "kvctl get key --prefix --keys-only --consistency=s | grep -c key") == str(written))
    for host in hosts:
        must("it is another version", "+later" in host.sh("dpkg-query -W -f '${Version}' kvd"))
    say(f"{written} writes are on all three, and all run the later version")
    listed = hosts[0].sh("kvctl member list").splitlines()
    gone = next(line.split(",")[0] for line in listed if ", kvd3, " in line)
    hosts[0].sh(f"kvctl member remove {gone}")
    # One that systemd starts again is "activating" until then.
    wait_for("the removed member's unit to end for good", 60,
             lambda: hosts[2].sh("systemctl is-active kvd", check=False) == "failed")
    must("its exit code is not 3", hosts[2].property("ExecMainStatus") == "3")
    say("a removed member is not started again")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--source", type=pathlib.Path, required=True)
    parser.add_argument("--build", type=pathlib.Path, required=True)
    parser.add_argument("--package", type=pathlib.Path, help="a package of kvd; default: made from --build by cpack")
    args = parser.parse_args()
    # Told to stop, it cleans up all the same.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    project = f"kvd-package-test-{os.getpid()}"
    world = World(project, args.source.resolve(), args.build.resolve(), args.package)
    with tempfile.TemporaryDirectory() as folder:
        try:
            need_engine()
            image = world.systemd_image()
            deb, later = world.packages(pathlib.Path(folder))
            host = world.host("lone", image)
            host.wait_for_systemd()
            host.put_file(deb, "/root/kvd.deb")
            host.put_file(later, "/root/later.deb")
            host.sh("apt-get -qq update")
            host.apt("/root/kvd.deb")
            installed = f"{project}:installed"
            run(["docker", "commit", host.name, installed])
            world.images.append(installed)
            lone_member(host)
            three_hosts(world, installed)
        except Skipped as why:
            print(f"package: skipped: {why}")
            return SKIPPED
        except (Failure, subprocess.TimeoutExpired) as failure:
            print(f"FAILED: {failure}")
            for name in world.hosts:
                print(f"--- {name}", run(["docker", "exec", name, "journalctl", "-u", "kvd", "--no-pager", "-n", "40"],
                                         check=False), sep="\n")
            return 1
        finally:
            world.remove()
    print("1 passed, 0 failed")
    return 0


if __name__ == "__main__":
    sys.exit(main())
