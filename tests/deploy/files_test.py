#!/usr/bin/env python3
"""The files in deploy/ are what their programs take: by the programs themselves where they are installed (promtool,
systemd-analyze, docker compose), and in any case by what can be said without them."""

import argparse
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile


def run(args, **more):
    return subprocess.run(args, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=60, **more)


def check_dashboard(deploy):
    dashboard = json.loads((deploy / "grafana" / "kvd.json").read_text())
    ids = [panel["id"] for panel in dashboard["panels"]]
    assert len(ids) == len(set(ids)), "two panels have one id"
    graphs = [panel for panel in dashboard["panels"] if panel["type"] != "row"]
    assert graphs
    places = set()
    for panel in graphs:
        assert panel["targets"], f"{panel['title']} shows nothing"
        for target in panel["targets"]:
            text = target["expr"]
            assert text.count("(") == text.count(")") and text.count("{") == text.count("}"), text
        place = (panel["gridPos"]["x"], panel["gridPos"]["y"])
        assert place not in places, f"{panel['title']} lies on another"
        places.add(place)


def check_advisories(source):
    """Each test that docs/security.md names is there."""
    text = (source / "docs" / "security.md").read_text()
    named = re.findall(r"\]\(\.\./(tests/\S+?)\) `(\w+)`", text)
    assert len(named) >= 20 and text.count("`](") == 0
    for path, name in named:
        test = (source / path).read_text()
        assert re.search(rf"(TEST(_F|_P)?\(\w+, {name}\)|def {name}\()", test), f"docs/security.md: no {name} in {path}"


def check_prometheus(deploy):
    rules = (deploy / "prometheus" / "kvd-alerts.yml").read_text()
    alerts = re.findall(r"- alert: (\S+)", rules)
    assert len(alerts) == len(set(alerts)) == rules.count("expr:") == rules.count("severity:") == rules.count("summary:")
    if promtool := shutil.which("promtool"):
        for args in (["check", "rules", "kvd-alerts.yml"], ["check", "config", "prometheus.yml"]):
            done = run([promtool, *args], cwd=deploy / "prometheus")
            assert done.returncode == 0, done.stdout
        return "promtool"
    return None


def check_service(deploy):
    unit = (deploy / "kvd.service").read_text()
    for line in ["DynamicUser=yes", "ProtectSystem=strict", "NoNewPrivileges=yes", "StateDirectory=kvd",
                 "Restart=on-failure", "LimitNOFILE=65536"]:
        assert f"\n{line}\n" in unit, line
    if not shutil.which("systemd-analyze"):
        return None
    with tempfile.TemporaryDirectory() as folder:
        # The program need not be installed for its unit to be right.
        copy = pathlib.Path(folder) / "kvd.service"
        copy.write_text(unit.replace("/usr/bin/kvd", "/bin/true"))
        done = run(["systemd-analyze", "verify", "--man=no", str(copy)])
        assert done.returncode == 0 and not done.stdout.strip(), done.stdout
        rated = run(["systemd-analyze", "security", "--offline=true", "--threshold=20", str(copy)])
        assert rated.returncode == 0, rated.stdout[-400:]
    return "systemd-analyze"


def check_hosts(deploy):
    """The three hosts agree on everything but who they are."""
    hosts = []
    for i in (1, 2, 3):
        settings = {}
        for line in (deploy / "three-hosts" / f"host{i}.env").read_text().splitlines():
            if line and not line.startswith("#"):
                name, value = line.split("=", 1)
                settings[name] = value
        hosts.append(settings)
    for name in ("KVD_INITIAL_CLUSTER", "KVD_INITIAL_CLUSTER_TOKEN", "KVD_INITIAL_CLUSTER_STATE"):
        assert len({host[name] for host in hosts}) == 1, name
    members = dict(pair.split("=", 1) for pair in hosts[0]["KVD_INITIAL_CLUSTER"].split(","))
    assert {host["KVD_NAME"]: host["KVD_INITIAL_ADVERTISE_PEER_URLS"] for host in hosts} == members


def check_compose(deploy):
    for tool in (["docker", "compose"], ["docker-compose"]):
        if shutil.which(tool[0]) and run([*tool, "version"]).returncode == 0:
            done = run([*tool, "-f", str(deploy / "docker-compose.yml"), "config", "-q"], env={**os.environ})
            assert done.returncode == 0, done.stdout
            return " ".join(tool)
    return None


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--source", type=pathlib.Path, required=True)
    source = parser.parse_args().source
    deploy = source / "deploy"
    check_advisories(source)
    check_dashboard(deploy)
    check_hosts(deploy)
    used = [tool for tool in (check_prometheus(deploy), check_service(deploy), check_compose(deploy)) if tool]
    print("checked by", ", ".join(used) if used else "no other program")
    print("1 passed, 0 failed")


if __name__ == "__main__":
    sys.exit(main())
