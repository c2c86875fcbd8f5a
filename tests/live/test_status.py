# SPDX-License-Identifier: Apache-2.0
"""`reqtap status`, the probes and /metrics of a running agent, read by Debian's promtool too."""
import json
import os
import re
import shutil
import subprocess
import tempfile
import urllib.error
import urllib.request

import tap
from node_rig import Agent, Cgroup, until

NAME = f"/reqtap-status-{os.getpid()}"


def status(state, *options):
    return subprocess.run([tap.REQTAP, "status", "--state-dir", state, *options], text=True, capture_output=True,
                          timeout=30, check=False)


def get(url):
    try:
        with urllib.request.urlopen(url, timeout=10) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def metrics(url):
    text = get(url + "/metrics")[1]
    return text, {m[1]: float(m[2]) for m in re.finditer(r"^(reqtap_\S+) (\S+)$", text, re.M)}


@tap.test("status, probes and metrics agree with what was captured")
def _():
    with tempfile.TemporaryDirectory(prefix="reqtap-status-") as state, \
            Agent("--cgroup", NAME, "--state-dir", state, "--listen", "127.0.0.1:0") as agent, Cgroup(NAME) as group:
        assert until(lambda: "http://127.0.0.1:" in agent.log), agent.log
        url = re.search(r"http://127\.0\.0\.1:\d+", agent.log)[0]
        group.start("/bin/sh", "-c", "for i in 1 2 3; do echo line $i; done").communicate(timeout=20)
        assert agent.wait_for(3), agent.log
        assert until(lambda: metrics(url)[1].get("reqtap_lines_total") == 3, 15), metrics(url)[0]
        text, values = metrics(url)
        assert values["reqtap_writes_total"] == 3 and values['reqtap_attributed_total{evidence="none"}'] == 3
        assert not [k for k, v in values.items() if k.startswith("reqtap_lost_total") and v], text
        if shutil.which("promtool"):
            done = subprocess.run(["promtool", "check", "metrics"], input=text, text=True, capture_output=True, check=False)
            assert done.returncode == 0, done.stdout + done.stderr
        assert until(lambda: get(url + "/readyz") == (200, "ok\n")), get(url + "/readyz")
        assert get(url + "/healthz") == (200, "ok\n")
        told = json.loads(status(state, "-j").stdout)
        assert told["lines"] == 3 and told["ready"] is True and sum(told["lost"].values()) == 0, told
        assert {p["name"] for p in told["programs"]} >= {"rt_exec"}, told["programs"]
        for check in "live", "ready":
            assert status(state, "--check", check).returncode == 0
        agent.stop()
        gone = status(state)
        assert gone.returncode == 1 and "no reqtap answers on" in gone.stderr, gone


@tap.test("the dashboard and the alerts ask for metrics that there are")
def _():
    with tempfile.TemporaryDirectory(prefix="reqtap-status-") as state, \
            Agent("--cgroup", NAME, "--state-dir", state, "--listen", "127.0.0.1:0") as agent:
        assert until(lambda: "http://127.0.0.1:" in agent.log), agent.log
        url = re.search(r"http://127\.0\.0\.1:\d+", agent.log)[0]
        assert until(lambda: get(url + "/readyz")[0] == 200, 20), agent.log
        text = metrics(url)[0]
    there = set(re.findall(r"^# TYPE (\S+)", text, re.M)) | {"reqtap_metadata_age_seconds"}
    for name in "dashboard.json", "alerts.yaml":
        asked = set(re.findall(r"\breqtap_[a-z_]+", (tap.ROOT / "helm/reqtap/files" / name).read_text()))
        assert asked and asked <= there, (name, asked - there)


@tap.test("cgroups beyond the kernel's table are counted, and said")
def _():
    with tempfile.TemporaryDirectory(prefix="reqtap-status-") as state, Cgroup(NAME + "-many") as top, \
            Agent("--cgroup", NAME + "-many/*", "--state-dir", state) as agent:
        try:
            for n in range(4200):
                (top.folder / str(n)).mkdir()
            assert until(lambda: json.loads(status(state, "-j").stdout)["lost"]["containers_full"] > 0, 30), agent.log
            assert until(lambda: json.loads(status(state, "-j").stdout)["containers_overflow"] > 0, 30), agent.log
            text = status(state).stdout
            assert "more not captured: the table is full" in text and "too many containers" in text, text
        finally:
            for folder in top.folder.iterdir():
                if folder.is_dir():
                    folder.rmdir()


@tap.test("a loop that is stuck is not alive")
def _():
    with tempfile.TemporaryDirectory(prefix="reqtap-status-") as state:
        done = status(state, "--check", "live")
        assert done.returncode == 1, done
        assert status(state, "--check", "perhaps").returncode == 2


tap.main()
