#!/usr/bin/env python3
"""Runs deploy/docker-compose.yml for real: builds the image from the programs of a build folder, starts three
members, and writes while the leader's container is stopped, a member is cut off its network and healed, and all of
them are restarted; in the end all three must hold the same.

The image's base is debian:bookworm-slim; where that can't be pulled, make_base makes one from this machine's apt
configuration. Exits with 77, "skipped", where no Docker engine answers or no base image can be had. Whatever it makes
has a name of its own and is removed at the end.
"""

import argparse
import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent / "harness"))
from containers import Failure, Skipped, base_image, make_package, need_engine, quietly, run, say, wait_for, works

SKIPPED = 77
MEMBERS = ["kvd1", "kvd2", "kvd3"]


def free_ports(n):
    held = [socket.create_server(("127.0.0.1", 0)) for _ in range(n)]
    ports = [s.getsockname()[1] for s in held]
    for s in held:
        s.close()
    return ports


class Images:
    """The image of kvd, and what it stands on."""

    def __init__(self, project, source, build, package):
        self.project, self.source, self.build, self.package = project, source, build, package
        self.made_base = None

    def base(self):
        name = base_image(self.project, self.source, self.build)
        self.made_base = name if name.startswith(self.project) else None
        return name

    def context(self, folder):
        """A build context with the package and nothing else: what is built in it takes seconds."""
        deb = folder / f"{self.project}.deb"
        if self.package:
            shutil.copy(self.package, deb)
        else:
            make_package(self.build, deb)
        (folder / "deploy").mkdir()
        shutil.copy(self.source / "deploy" / "Dockerfile", folder / "deploy")
        return folder

    def remove(self):
        for image in [f"{self.project}:test", self.made_base]:
            if image:
                quietly(["docker", "image", "rm", "-f", image])
        # The first stage has no name, but a label.
        quietly(["docker", "image", "prune", "-f", "--filter", f"label=kvd.package={self.project}.deb"])


class Cluster:
    def __init__(self, tool, project, source, environment):
        self.project = project
        self.containers = {}
        self.network = f"{project}_default"
        self.base = [*tool, "-p", project, "-f", str(source / "deploy" / "docker-compose.yml")]
        self.environment = {**os.environ, **environment, "DOCKER_BUILDKIT": "0", "COMPOSE_DOCKER_CLI_BUILD": "0"}

    def compose(self, *args, timeout=300, check=True):
        return run([*self.base, *args], timeout=timeout, check=check, env=self.environment)

    def container(self, member):
        if member in self.containers:  # it stays the same over stops and restarts; to ask costs seconds
            return self.containers[member]
        names = self.compose("ps", "-q", member).split()
        if len(names) != 1:
            raise Failure(f"{member} has containers {names}")
        self.containers[member] = names[0]
        return names[0]

    def kvctl(self, member, *args, check=True, timeout=30):
        return run(["docker", "exec", self.container(member), "kvctl", *args], check=check, timeout=timeout)

    def status(self, member):
        answer = json.loads(self.kvctl(member, "endpoint", "status", "-w", "json"))
        return answer[0]["Status"]

    def leader(self, members):
        """The member that leads, as all of `members` see it; None while they don't agree."""
        status = {member: self.status(member) for member in members}
        leaders = {s.get("leader", 0) for s in status.values()}
        if len(leaders) != 1 or 0 in leaders:
            return None
        for member, s in status.items():
            if s["header"]["member_id"] == s["leader"]:
                return member
        return None

    def health(self, member):
        return run(["docker", "inspect", "-f", "{{.State.Health.Status}}", self.container(member)]).strip()

    def put(self, member, key, value):
        answer = self.kvctl(member, "put", key, value).strip()
        if answer != "OK":
            raise Failure(f"put on {member} answered {answer!r}")

    def hashes(self, members):
        """Revision and hash of each member's key space."""
        found = {}
        for member in members:
            answer = json.loads(self.kvctl(member, "endpoint", "hashkv", "-w", "json"))[0]["HashKV"]
            found[member] = (answer["hash_revision"], answer["hash"])
        return found

    def down(self):
        self.compose("down", "-v", "--remove-orphans", "-t", "5", check=False)


def scenario(cluster):
    acknowledged = {}

    def write(member, n, note):
        for i in range(n):
            key = f"/{note}/{i}"
            cluster.put(member, key, note)
            acknowledged[key] = note

    say("build")
    cluster.compose("build", timeout=900)
    size = int(run(["docker", "image", "inspect", "-f", "{{.Size}}", f"{cluster.project}:test"]))
    user = run(["docker", "image", "inspect", "-f", "{{.Config.User}}", f"{cluster.project}:test"]).strip()
    say(f"the image has {size / 1e6:.0f} MB and runs as {user}")
    if user != "kvd":
        raise Failure(f"the image runs as {user!r}")

    say("up")
    cluster.compose("up", "-d", timeout=180)
    leader = wait_for("a leader", 60, lambda: cluster.leader(MEMBERS))
    identity = run(["docker", "exec", cluster.container(leader), "id", "-un"]).strip()
    if identity != "kvd":
        raise Failure(f"kvd runs as {identity!r}")
    say(f"{leader} leads")
    write(leader, 10, "begin")

    say("health check: all three healthy, as Docker sees them")
    wait_for("three healthy members", 90, lambda: all(cluster.health(m) == "healthy" for m in MEMBERS))

    say(f"stop the leader's container, {leader}")
    began = time.monotonic()
    run(["docker", "stop", "-t", "10", cluster.container(leader)])
    code = run(["docker", "inspect", "-f", "{{.State.ExitCode}}", cluster.container(leader)]).strip()
    if code != "0":
        raise Failure(f"{leader} ended with {code} on SIGTERM")
    others = [m for m in MEMBERS if m != leader]
    second = wait_for("another leader", 30, lambda: cluster.leader(others))
    write(second, 10, "one-stopped")
    say(f"{second} leads and writes, {time.monotonic() - began:.1f} s after the stop began")
    cluster.compose("start", leader)
    wait_for(f"{leader} to be back", 60, lambda: cluster.leader(MEMBERS))

    leader = wait_for("a leader", 30, lambda: cluster.leader(MEMBERS))
    say(f"cut {leader}, which leads, off the network")
    run(["docker", "network", "disconnect", cluster.network, cluster.container(leader)])
    others = [m for m in MEMBERS if m != leader]
    third = wait_for("another leader", 30, lambda: cluster.leader(others))
    write(third, 10, "one-cut-off")
    lonely = subprocess.run(["docker", "exec", cluster.container(leader), "kvctl", "put", "/lost", "x",
                             "--command-timeout=3s"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                            timeout=60)
    if lonely.returncode == 0:
        raise Failure(f"{leader} acknowledged a write while it was cut off")
    say(f"{third} leads and writes; {leader} refuses: {lonely.stderr.strip()}")
    stale = cluster.kvctl(leader, "get", "/begin/0", "--consistency=s", "--print-value-only").strip()
    if stale != "begin":
        raise Failure(f"a serializable read on {leader} answered {stale!r}")

    say("heal the network")
    run(["docker", "network", "connect", "--alias", leader, cluster.network, cluster.container(leader)])
    wait_for(f"{leader} to be back", 60, lambda: cluster.leader(MEMBERS))
    write(leader, 10, "healed")

    say("restart all")
    cluster.compose("restart", "-t", "10", timeout=180)
    leader = wait_for("a leader after the restart", 60, lambda: cluster.leader(MEMBERS))
    write(leader, 10, "restarted")

    say("compare")
    same = wait_for("three members with the same state", 60, lambda: (
        lambda found: found if len(set(found.values())) == 1 else None)(cluster.hashes(MEMBERS)))
    say(f"revision and hash of each: {same}")
    for member in MEMBERS:
        lines = cluster.kvctl(member, "get", "", "--from-key", "--consistency=s", "-w", "json")
        count = json.loads(lines)["count"]
        # The write that was refused may have happened, or not: its client was told that nobody knows.
        lost = cluster.kvctl(member, "get", "/lost", "--consistency=s", "-w", "json")
        count -= json.loads(lost).get("count", 0)
        if count != len(acknowledged):
            raise Failure(f"{member} has {count} keys, and {len(acknowledged)} were acknowledged")
    say(f"all {len(acknowledged)} acknowledged writes are on all members")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--source", type=pathlib.Path, required=True)
    parser.add_argument("--build", type=pathlib.Path, required=True)
    parser.add_argument("--package", type=pathlib.Path, help="a package of kvd; default: made from --build by cpack")
    parser.add_argument("--keep", action="store_true", help="leave everything running, to look at")
    args = parser.parse_args()
    # Told to stop, it cleans up all the same.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))

    tool = next((t for t in (["docker", "compose"], ["docker-compose"]) if works([*t, "version"])), None)
    project = f"kvd-compose-test-{os.getpid()}"
    images = Images(project, args.source.resolve(), args.build.resolve(), args.package)
    ports = free_ports(3)
    with tempfile.TemporaryDirectory() as folder:
        cluster = None
        try:
            need_engine()
            if tool is None:
                raise Skipped("there is neither docker compose nor docker-compose")
            base = images.base()
            cluster = Cluster(tool, project, args.source.resolve(), {
                "KVD_IMAGE": f"{project}:test",
                "KVD_BASE": base,
                "KVD_CONTEXT": str(images.context(pathlib.Path(folder))),
                "KVD_PACKAGE": f"{project}.deb",
                "KVD_TOKEN": project,
                **{f"KVD_PORT_{i + 1}": str(port) for i, port in enumerate(ports)},
            })
            scenario(cluster)
        except Skipped as why:
            print(f"compose: skipped: {why}")
            return SKIPPED
        except (Failure, subprocess.TimeoutExpired) as failure:
            print(f"FAILED: {failure}")
            if cluster:
                print(cluster.compose("ps", check=False))
                print(cluster.compose("logs", "--tail=60", check=False))
            return 1
        finally:
            if not args.keep:
                if cluster:
                    cluster.down()
                images.remove()
    print("1 passed, 0 failed")
    return 0


if __name__ == "__main__":
    sys.exit(main())
