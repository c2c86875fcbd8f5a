#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The chart, by the real helm and kubectl: lint, what it renders over a matrix of values, and
that wrong values are refused. Prints TAP."""
import http.server
import itertools
import json
import os
import subprocess
import sys
import threading
import urllib.parse
from pathlib import Path

import yaml
from tools import tools

ROOT = Path(__file__).resolve().parents[2]
CHART = ROOT / "helm" / "reqtap"


class Discovery(http.server.BaseHTTPRequestHandler):
    """kubectl asks a server which kinds there are even for a client's dry run: these are."""

    groups = {}  # "apps/v1" -> {"DaemonSet": "daemonsets"}

    def answer(self):
        path = self.path.split("?")[0].strip("/")
        if path == "api":
            return {"kind": "APIVersions", "versions": ["v1"]}
        if path == "apis":
            versions = [{"groupVersion": g, "version": g.split("/")[1]} for g in self.groups if "/" in g]
            return {"kind": "APIGroupList", "apiVersion": "v1", "groups": [
                {"name": v["groupVersion"].split("/")[0], "versions": [v], "preferredVersion": v} for v in versions]}
        group = path.removeprefix("apis/").removeprefix("api/")
        if group not in self.groups:
            return None
        return {"kind": "APIResourceList", "groupVersion": group, "resources": [
            {"name": name, "kind": kind, "namespaced": True, "verbs": ["create", "get"]}
            for kind, name in self.groups[group].items()]}

    def do_GET(self):
        found = self.answer()
        self.send_response(200 if found else 404)
        self.send_header("Content-Type", "application/json")
        self.end_headers()
        self.wfile.write(json.dumps(found or {}).encode())

    def log_message(self, *_):
        pass


class Chart:
    def __init__(self, helm, kubectl):
        self.helm, self.kubectl = helm, kubectl
        self.env = dict(os.environ, HOME=str(helm.parent), KUBECONFIG="/dev/null")

    def template(self, *settings, values=()):
        command = [self.helm, "template", "rel", CHART, "--namespace", "ns",
                   "--api-versions", "monitoring.coreos.com/v1"]
        for path in values:
            command += ["--values", path]
        for setting in settings:
            command += ["--set", setting]
        return subprocess.run(command, text=True, capture_output=True, env=self.env, timeout=60, check=False)

    def objects(self, *settings, values=()):
        done = self.template(*settings, values=values)
        assert done.returncode == 0, f"{settings}: {done.stderr}"
        return {f"{o['kind']}/{o['metadata']['name']}": o for o in yaml.safe_load_all(done.stdout) if o}

    def refuses(self, setting, words):
        done = self.template(setting)
        assert done.returncode != 0, f"{setting} was taken"
        assert words in done.stderr, f"{setting}: {done.stderr}"


def agent(objects):
    return objects["DaemonSet/rel-reqtap"]["spec"]["template"]["spec"]


def test_lint(chart):
    done = subprocess.run([chart.helm, "lint", "--strict", CHART], text=True, capture_output=True, env=chart.env,
                          timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_readme_table_is_the_values(_chart):
    done = subprocess.run([sys.executable, ROOT / "tests/helm/readme.py", "--check"], text=True, capture_output=True,
                          check=False)
    assert done.returncode == 0, done.stderr


def test_least_privilege(chart):
    spec = agent(chart.objects())
    container = spec["containers"][0]
    security = container["securityContext"]
    assert security["privileged"] is False and security["readOnlyRootFilesystem"] is True
    assert security["allowPrivilegeEscalation"] is False
    assert security["capabilities"]["drop"] == ["ALL"]
    assert security["capabilities"]["add"] == ["BPF", "PERFMON", "SYS_PTRACE", "DAC_READ_SEARCH",
                                               "CHECKPOINT_RESTORE"]
    assert spec["hostPID"] is True and not spec.get("hostNetwork")
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    writable = [m["name"] for m in container["volumeMounts"] if not m.get("readOnly")]
    assert sorted(writable) == ["bpf", "state", "tmp"], writable
    old = agent(chart.objects("oldKernel=true"))["containers"][0]["securityContext"]["capabilities"]["add"]
    assert old[-2:] == ["SYS_RESOURCE", "SYS_ADMIN"]
    paranoid = agent(chart.objects("paranoidKernel=true"))["containers"][0]["securityContext"]["capabilities"]["add"]
    assert paranoid == security["capabilities"]["add"] + ["SYS_ADMIN"]


def test_roles(chart):
    objects = chart.objects()
    rules = objects["ClusterRole/rel-reqtap"]["rules"]
    assert rules == [{"apiGroups": [""], "resources": ["pods"], "verbs": ["get", "list", "watch"]},
                     {"apiGroups": [""], "resources": ["nodes/pods"], "verbs": ["get"]}], rules
    lease = objects["Role/rel-reqtap-events"]["rules"]
    assert lease[0]["resources"] == ["leases"] and objects["Role/rel-reqtap-events"]["metadata"]["namespace"] == "ns"
    none = chart.objects("events.enabled=false", "rbac.create=false", "serviceAccount.create=false")
    assert not [k for k in none if k.startswith(("Role", "ClusterRole", "Deployment", "ServiceAccount"))]


def test_connection(chart):
    assert not [k for k in chart.objects() if k.startswith("Secret/")]
    made = chart.objects("connection.endpoint=https://r.example/v1/logs", "connection.headerName=x-key",
                         "connection.headerValue=sesame")
    secret = made["Secret/rel-reqtap-connection"]["stringData"]
    assert secret["endpoint"] == "https://r.example/v1/logs" and secret["header-value"] == "sesame"
    others = {k: v for k, v in made.items() if not k.startswith("Secret/")}
    assert "sesame" not in yaml.safe_dump(others), "the credential stands outside the Secret"
    given = chart.objects("connection.existingSecret=mine")
    assert not [k for k in given if k.startswith("Secret/")]
    volumes = {v["name"]: v for v in agent(given)["volumes"]}
    assert volumes["connection"]["secret"] == {"secretName": "mine", "defaultMode": 0o400}


def test_examples(chart):
    examples = sorted((CHART / "examples").glob("*.yaml"))
    assert len(examples) >= 2, examples
    for path in examples:
        objects = chart.objects("networkPolicy.enabled=true", values=[path])
        url = objects["Secret/rel-reqtap-connection"]["stringData"]["endpoint"]
        port = urllib.parse.urlsplit(url).port or 80
        rules = [r for o in objects.values() if o["kind"] == "NetworkPolicy" for r in o["spec"].get("egress", [])]
        allowed = {p.get("port") for rule in rules for p in rule.get("ports", [])}
        assert url.endswith("/v1/logs") and port in allowed, (path, url, allowed)


def test_settings_are_the_agents(chart):
    """Each variable that the chart sets is one that the agent's own help names."""
    config = chart.objects("agent.selector=app=x", "agent.budget=1M")["ConfigMap/rel-reqtap"]["data"]
    spec = agent(chart.objects("connection.existingSecret=mine"))["containers"][0]
    names = set(config) | {e["name"] for e in spec["env"] if e["name"].startswith("REQTAP_")}
    reqtap = os.environ.get("REQTAP", str(ROOT / "build" / "reqtap"))
    text = subprocess.run([reqtap, "agent", "--help"], text=True, capture_output=True, check=True).stdout
    missing = [n for n in sorted(names) if "--" + n[len("REQTAP_"):].lower().replace("_", "-") not in text]
    assert not missing, f"`reqtap agent` has no option for {missing}"


def test_matrix_is_valid(chart):
    """Over the switches: kubectl takes what comes out (its own schemas, no cluster)."""
    switches = [("podMonitor.enabled=true",), ("networkPolicy.enabled=true",), ("events.enabled=false",),
                ("connection.endpoint=http://r/v1/logs", "connection.headerName=k", "connection.headerValue=v"),
                ("seccompProfile.type=Localhost",), ("priorityClassName=system-node-critical",)]
    for chosen in itertools.chain.from_iterable(itertools.combinations(switches, n) for n in (0, 1, 2, 6)):
        objects = chart.objects(*itertools.chain.from_iterable(chosen))
        names = [(o["kind"], o["metadata"].get("namespace"), o["metadata"]["name"]) for o in objects.values()]
        assert len(names) == len(set(names))
        labels = objects["DaemonSet/rel-reqtap"]["spec"]
        assert labels["selector"]["matchLabels"].items() <= labels["template"]["metadata"]["labels"].items()
    takes(chart, chart.template("connection.endpoint=http://r/v1/logs", "networkPolicy.enabled=true").stdout)


def takes(chart, rendered):
    """kubectl's dry run decodes every object by the types it is built with."""
    objects = [o for o in yaml.safe_load_all(rendered) if o]
    for o in objects:
        plural = o["kind"].lower() + ("es" if o["kind"].endswith("s") else "s")
        Discovery.groups.setdefault(o["apiVersion"], {})[o["kind"]] = plural.replace("ys", "ies")
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Discovery)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    done = subprocess.run([chart.kubectl, "--server", f"http://127.0.0.1:{server.server_port}", "create",
                           "--dry-run=client", "--validate=false", "-o", "name", "-f", "-"],
                          input=rendered, text=True, capture_output=True, env=chart.env, timeout=60, check=False)
    server.shutdown()
    assert done.returncode == 0 and len(done.stdout.split()) == len(objects), done.stdout + done.stderr


def test_wrong_values_are_refused(chart):
    for setting, words in [
            ("connection.endpoint=honeycomb", "/connection/endpoint"), ("agent.evidence=guess", "/agent/evidence"),
            ("agent.ringSize=63M", "/agent/ringSize"), ("agent.port=0", "/agent/port"),
            ("agent.headers=", "/agent/headers"), ("agnet.plan=auto", "agnet"),
            ("image.digest=sha256:12", "/image/digest"), ("agent.env.PATH=/x", "PATH"),
            ("events.replicas=0", "/events/replicas"), ("agent.pinDir=/tmp/x", "/agent/pinDir")]:
        chart.refuses(setting, words)


def main():
    helm, kubectl, why = tools()
    tests = [(n[5:].replace("_", " "), f) for n, f in globals().items() if n.startswith("test_")]
    failed = False
    for i, (name, test) in enumerate(tests, 1):
        if why:
            print(f"ok {i} - {name} # SKIP {why}")
            continue
        try:
            test(Chart(helm, kubectl))
            print(f"ok {i} - {name}", flush=True)
        except AssertionError as error:
            failed = True
            print(f"not ok {i} - {name}\n# {error}", flush=True)
    return 1 if failed else 0


sys.exit(main())
