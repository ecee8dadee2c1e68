#!/usr/bin/env python3
"""Three members of kvd under a little load: every metric of etcd_metrics.txt is there, with that type and those labels,
and so is every metric that deploy/'s alerts and dashboard name. Where Debian's etcd is installed, what it has under
those names must have the same type and labels. The values must move with what happens."""

import argparse
import base64
import json
import pathlib
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request

HERE = pathlib.Path(__file__).parent
NAME = re.compile(r"\b(up|(?:etcd|kvd|grpc_server|process|os)_[a-z0-9_]+)\b")


def free_ports(n):
    held = [socket.create_server(("127.0.0.1", 0)) for _ in range(n)]
    ports = [s.getsockname()[1] for s in held]
    for s in held:
        s.close()
    return ports


def fetch(url, data=None):
    with urllib.request.urlopen(urllib.request.Request(url, data=data), timeout=10) as answer:
        return answer.read().decode()


def wait_for(what, condition, seconds=60):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            if answer := condition():
                return answer
        except OSError:
            pass
        time.sleep(0.05)
    raise AssertionError(f"waited {seconds} s for {what}")


class Exposition:
    """Prometheus's text format, read: name -> type, and name -> samples of (labels, value)."""

    SAMPLE = re.compile(r"^([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})? (\S+)$")
    LABEL = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\]|\\.)*)"')

    def __init__(self, text):
        self.types, self.samples = {}, {}
        for line in text.splitlines():
            if line.startswith("# TYPE "):
                _, _, name, kind = line.split()
                assert name not in self.types, f"{name} has two types"
                self.types[name] = kind
            elif line and not line.startswith("#"):
                match = self.SAMPLE.match(line)
                assert match, f"not a sample: {line}"
                labels = dict(self.LABEL.findall(match[2] or ""))
                name = match[1]
                for suffix in ("_bucket", "_sum", "_count"):
                    base = name.removesuffix(suffix)
                    if base != name and self.types.get(base) == "histogram":
                        name = base
                        labels.pop("le", None)
                        break
                self.samples.setdefault(name, []).append((match[1], labels, float(match[3])))

    def labels(self, name):
        return {tuple(sorted(labels)) for _, labels, _ in self.samples.get(name, [])}

    def value(self, name, /, **labels):
        found = [v for full, have, v in self.samples.get(name.removesuffix("_count"), [])
                 if full == name and all(have.get(k) == w for k, w in labels.items())]
        found += [v for full, have, v in self.samples.get(name, [])
                  if full == name and name.endswith("_count") and all(have.get(k) == w for k, w in labels.items())]
        return sum(found)


def wanted():
    for line in (HERE / "etcd_metrics.txt").read_text().splitlines():
        if line and not line.startswith("#"):
            name, kind, *labels = line.split()
            yield name, kind, tuple(sorted(labels))


def compare(exposition, who, required):
    """What is wrong with the metrics of etcd_metrics.txt; with `required`, a missing one is wrong."""
    wrong = []
    for name, kind, labels in wanted():
        if name not in exposition.types:
            if required:
                wrong.append(f"{who} has no {name}")
            continue
        if exposition.types[name] != kind:
            wrong.append(f"{who}: {name} is a {exposition.types[name]}, not a {kind}")
        have = exposition.labels(name)
        if have and have != {labels}:
            wrong.append(f"{who}: {name} has labels {have}, not {labels}")
        if required and not have:
            wrong.append(f"{who}: {name} has no value")
    return wrong


def names_in_deploy(source):
    expressions = []
    for line in (source / "deploy" / "prometheus" / "kvd-alerts.yml").read_text().splitlines():
        if match := re.match(r"\s*expr: (.*)$", line):
            expressions.append(match[1])
    dashboard = json.loads((source / "deploy" / "grafana" / "kvd.json").read_text())
    for panel in dashboard["panels"]:
        expressions += [target["expr"] for target in panel.get("targets", [])]
    expressions += [re.search(r"label_values\(([^,]*),", v["query"]["query"])[1]
                    for v in dashboard["templating"]["list"] if v["type"] == "query"]
    names = set()
    for expression in expressions:
        found = {n for n in NAME.findall(re.sub(r'"[^"]*"', '""', expression))}
        assert found, f"no metric in {expression}"
        names |= found
    return names


class Processes:
    def __init__(self, folder):
        self.folder, self.running = folder, []

    def start(self, args, name):
        log = open(self.folder / f"{name}.log", "w")
        self.running.append(subprocess.Popen(args, stdout=log, stderr=log))
        return self.running[-1]

    def stop(self):
        for process in self.running:
            process.terminate()
        for process in self.running:
            try:
                process.wait(timeout=20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def start_kvd(kvd, processes, folder):
    ports = free_ports(6)
    clients, peers = ports[:3], ports[3:]
    cluster = ",".join(f"m{i}=http://127.0.0.1:{peers[i]}" for i in range(3))
    for i in range(3):
        processes.start([kvd, f"--name=m{i}", f"--data-dir={folder}/m{i}",
                         f"--listen-client-urls=http://127.0.0.1:{clients[i]}",
                         f"--listen-peer-urls=http://127.0.0.1:{peers[i]}",
                         f"--initial-advertise-peer-urls=http://127.0.0.1:{peers[i]}",
                         f"--initial-cluster={cluster}", "--initial-cluster-token=metrics"], f"m{i}")
    urls = [f"http://127.0.0.1:{port}" for port in clients]
    for url in urls:
        wait_for(f"{url} to be healthy", lambda: "true" in fetch(url + "/health"))
    return urls


def b64(text):
    return base64.b64encode(text.encode()).decode()


def put(url, key, value):
    fetch(url + "/v3/kv/put", json.dumps({"key": b64(key), "value": b64(value)}).encode())


def metrics_of(url):
    return Exposition(fetch(url + "/metrics"))


def check_values(urls):
    """The numbers move by what was done."""
    url = urls[0]
    before = metrics_of(url)
    for i in range(20):
        put(url, f"key-{i}", "v" * 100)
    fetch(url + "/v3/kv/range", json.dumps({"key": b64("key-1")}).encode())
    fetch(url + "/v3/kv/txn", json.dumps({"success": [{"request_put": {"key": b64("a"), "value": b64("1")}},
                                                      {"request_delete_range": {"key": b64("key-2")}},
                                                      {"request_range": {"key": b64("a")}}]}).encode())
    try:
        fetch(url + "/v3/kv/range", b"{}")
        raise AssertionError("a range without a key was answered")
    except urllib.error.HTTPError:
        pass
    after = metrics_of(url)

    def grew(name, by=None, at_least=None, **labels):
        change = after.value(name, **labels) - before.value(name, **labels)
        if by is not None:
            assert change == by, f"{name} {labels} changed by {change}, not by {by}"
        if at_least is not None:
            assert change >= at_least, f"{name} {labels} changed by {change}, not by {at_least} or more"

    grew("etcd_mvcc_put_total", by=21)
    grew("etcd_debugging_mvcc_put_total", by=21)
    grew("etcd_mvcc_delete_total", by=1)
    grew("etcd_mvcc_txn_total", by=1)
    grew("etcd_mvcc_range_total", by=2)
    grew("etcd_debugging_mvcc_keys_total", by=20)  # 21 new ones, one deleted
    grew("etcd_debugging_mvcc_current_revision", by=21)
    grew("etcd_debugging_mvcc_total_put_size_in_bytes", at_least=20 * 100)
    put_labels = {"grpc_service": "etcdserverpb.KV", "grpc_method": "Put", "grpc_type": "unary"}
    grew("grpc_server_started_total", by=20, **put_labels)
    grew("grpc_server_handled_total", by=20, grpc_code="OK", **put_labels)
    grew("grpc_server_handling_seconds_count", by=20, **put_labels)
    grew("grpc_server_handled_total", by=1, grpc_code="InvalidArgument", grpc_method="Range")
    grew("etcd_disk_wal_fsync_duration_seconds_count", at_least=1)
    grew("etcd_disk_wal_write_bytes_total", at_least=20 * 100)
    grew("etcd_disk_backend_commit_duration_seconds_count", at_least=1)
    grew("etcd_server_proposals_committed_total", at_least=21)
    grew("etcd_server_proposals_applied_total", at_least=21)
    grew("etcd_network_peer_sent_bytes_total", at_least=1)
    grew("etcd_network_peer_received_bytes_total", at_least=1)
    assert after.value("etcd_network_active_peers") == 2
    assert after.value("etcd_server_has_leader") == 1
    assert sum(metrics_of(u).value("etcd_server_is_leader") for u in urls) == 1
    assert after.value("etcd_server_is_learner") == 0
    assert after.value("process_resident_memory_bytes") > 1 << 20
    assert after.value("process_open_fds") > 5
    assert abs(after.value("process_start_time_seconds") - time.time()) < 600
    assert after.value("etcd_server_quota_backend_bytes") > after.value("etcd_mvcc_db_total_size_in_bytes") > 0


def check_maintenance(url):
    """What an operator asks for is timed."""
    before = metrics_of(url)
    for work in ("hash", "hashkv", "hashkv", "defragment", "snapshot"):
        fetch(f"{url}/v3/maintenance/{work}", b"{}")
    after = metrics_of(url)
    for name, by in (("etcd_mvcc_hash_duration_seconds_count", 1), ("etcd_mvcc_hash_rev_duration_seconds_count", 2),
                     ("etcd_disk_backend_defrag_duration_seconds_count", 1),
                     ("etcd_disk_backend_snapshot_duration_seconds_count", 1), ("etcd_disk_defrag_inflight", 0)):
        assert after.value(name) - before.value(name) == by, f"{name} did not change by {by}"
    wait_for("the watch hub to have told all",
             lambda: metrics_of(url).value("etcd_debugging_mvcc_pending_events_total") == 0)


def check_readiness(urls, processes):
    """/livez and /readyz say what etcd says; a member without a majority lives and is not ready."""
    url = urls[0]
    assert fetch(url + "/livez") == "ok\n"
    assert fetch(url + "/readyz") == "ok\n"
    assert fetch(url + "/livez?verbose") == "[+]serializable_read ok\nok\n"
    lines = fetch(url + "/readyz?verbose")
    assert sorted(lines.splitlines()) == sorted(["[+]data_corruption ok", "[+]serializable_read ok",
                                                 "[+]linearizable_read ok", "[+]non_learner ok", "ok"]), lines
    lines = fetch(url + "/readyz?verbose&exclude=non_learner&exclude=data_corruption&exclude=unknown")
    assert sorted(lines.splitlines()) == ["[+]linearizable_read ok", "[+]serializable_read ok", "ok"], lines
    for check in ["data_corruption", "serializable_read", "linearizable_read", "non_learner"]:
        assert fetch(f"{url}/readyz/{check}?verbose") == f"[+]{check} ok\nok\n"

    def answer(path):
        try:
            return 200, fetch(url + path)
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    assert answer("/readyz/unknown")[0] == 404
    assert answer("/livez/linearizable_read")[0] == 404
    for process in processes.running[1:3]:
        process.kill()
        process.wait()
    wait_for("the member to lose its leader", lambda: answer("/readyz/linearizable_read")[0] == 503)
    status, body = answer("/readyz")
    assert status == 503, (status, body)
    assert re.fullmatch(r"\[\+\]data_corruption ok\n\[\+\]serializable_read ok\n"
                        r"\[-\]linearizable_read failed: etcdserver: [a-z ,]+\n\[\+\]non_learner ok\n\n", body), body
    assert answer("/livez") == (200, "ok\n")
    assert answer("/readyz?exclude=linearizable_read") == (200, "ok\n")
    status, body = answer("/health")
    assert (status, json.loads(body)["health"]) == (503, "false"), body
    status, body = answer("/health?serializable=true")
    assert (status, json.loads(body)) == (200, {"health": "true", "reason": ""}), body
    after = metrics_of(url)
    assert after.value("etcd_server_has_leader") == 0
    assert after.value("etcd_server_healthcheck", type="readyz", name="linearizable_read") == 0
    assert after.value("etcd_server_healthcheck", type="livez", name="serializable_read") == 1
    assert after.value("etcd_server_healthchecks_total", type="readyz", name="linearizable_read", status="error") >= 1
    assert after.value("etcd_network_active_peers") == 0
    assert after.value("etcd_network_disconnected_peers_total") >= 2


def etcd_exposition(processes, folder):
    etcd = shutil.which("etcd")
    if not etcd:
        return None
    client, peer = free_ports(2)
    processes.start([etcd, f"--data-dir={folder}/etcd", "--metrics=extensive",
                     f"--listen-client-urls=http://127.0.0.1:{client}",
                     f"--advertise-client-urls=http://127.0.0.1:{client}",
                     f"--listen-peer-urls=http://127.0.0.1:{peer}",
                     f"--initial-advertise-peer-urls=http://127.0.0.1:{peer}",
                     f"--initial-cluster=default=http://127.0.0.1:{peer}"], "etcd")
    url = f"http://127.0.0.1:{client}"
    wait_for("etcd", lambda: "true" in fetch(url + "/health"))
    put(url, "a", "b")
    return metrics_of(url)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--kvd", required=True)
    parser.add_argument("--source", type=pathlib.Path, required=True)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        processes = Processes(folder)
        try:
            urls = start_kvd(args.kvd, processes, folder)
            wait_for("all round trips to be measured",
                     lambda: metrics_of(urls[0]).value("etcd_network_peer_round_trip_time_seconds_count") >= 2)
            check_values(urls)
            check_maintenance(urls[0])
            fetch(urls[0] + "/livez")
            exposition = metrics_of(urls[0])
            wrong = compare(exposition, "kvd", required=True)
            used = names_in_deploy(args.source)
            for metric in sorted(used - {"up"}):
                base = re.sub(r"_(bucket|sum|count)$", "", metric)
                if metric not in exposition.types and exposition.types.get(base) != "histogram":
                    wrong.append(f"deploy/ uses {metric}, which kvd does not have")
            etcd = etcd_exposition(processes, folder)
            if etcd:
                wrong += compare(etcd, "etcd", required=False)
                shared = [n for n, _, _ in wanted() if n in etcd.types]
                print(f"compared {len(shared)} metrics with etcd's")
            assert not wrong, "\n".join(wrong)
            print(f"{len(list(wanted()))} of etcd's metrics and {len(used)} used by deploy/ are there")
            check_readiness(urls, processes)
        except BaseException:
            for log in sorted(folder.glob("*.log")):
                print(f"--- {log.name}", *log.read_text().splitlines()[-15:], sep="\n")
            raise
        finally:
            processes.stop()
    print("1 passed, 0 failed")


if __name__ == "__main__":
    sys.exit(main())
