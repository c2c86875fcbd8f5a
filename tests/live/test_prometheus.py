#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""A real Prometheus scrapes a running agent; it loads the alert rules, and each fires on what it is for."""
import json
import os
import re
import shutil
import socket
import subprocess
import tempfile
import urllib.parse
import urllib.request
from pathlib import Path

import tap
from node_rig import Agent, Cgroup, until

NAME = f"/reqtap-prometheus-{os.getpid()}"
RULES = tap.ROOT / "helm/reqtap/files/alerts.yaml"


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


class Prometheus:
    """One that scrapes `target` each second, with the alert rules."""

    def __init__(self, target):
        self.home = tempfile.TemporaryDirectory(prefix="reqtap-prometheus-")
        self.url = f"http://127.0.0.1:{free_port()}"
        self.process = None
        (Path(self.home.name) / "prometheus.yml").write_text(json.dumps({
            "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
            "rule_files": [str(RULES)],
            "scrape_configs": [{"job_name": "reqtap", "static_configs": [{"targets": [target]}]}],
        }), encoding="utf-8")

    @property
    def log(self):
        return (Path(self.home.name) / "log").read_text(encoding="utf-8")

    def __enter__(self):
        with open(Path(self.home.name) / "log", "wb") as log:
            self.process = subprocess.Popen(
                ["prometheus", f"--config.file={self.home.name}/prometheus.yml",
                 f"--storage.tsdb.path={self.home.name}/data",
                 f"--web.listen-address={self.url.removeprefix('http://')}"], stdout=log, stderr=log)
        return self

    def __exit__(self, *args):
        self.process.kill()
        self.process.wait()
        self.home.cleanup()

    def get(self, path, **parameters):
        """The answer's data; None while it does not listen yet."""
        try:
            with urllib.request.urlopen(f"{self.url}/api/v1/{path}?{urllib.parse.urlencode(parameters)}",
                                        timeout=10) as answer:
                return json.load(answer)["data"]
        except OSError:
            return None

    def value(self, query):
        data = self.get("query", query=query)
        return float(data["result"][0]["value"][1]) if data and data["result"] else None


@tap.test("a real Prometheus scrapes the agent, takes all of it and loads the rules")
def _():
    with tempfile.TemporaryDirectory(prefix="reqtap-prometheus-") as state, Cgroup(NAME) as group, \
            Agent("--cgroup", NAME, "--state-dir", state, "--listen", "127.0.0.1:0") as agent:
        assert until(lambda: "http://127.0.0.1:" in agent.log), agent.log
        target = re.search(r"http://(127\.0\.0\.1:\d+)", agent.log)[1]
        group.start("/bin/sh", "-c", "for i in 1 2 3; do echo line $i; done").communicate(timeout=20)
        with Prometheus(target) as prometheus:
            assert until(lambda: prometheus.value("reqtap_lines_total") == 3, 60, 0.2), prometheus.log
            up = prometheus.get("targets")["activeTargets"][0]
            assert up["health"] == "up" and not up["lastError"], up
            assert prometheus.value('reqtap_attributed_total{evidence="none"}') == 3
            with urllib.request.urlopen(f"http://{target}/metrics", timeout=10) as answer:
                text = answer.read().decode()
            samples = sum(not line.startswith("#") for line in text.splitlines())
            assert prometheus.value('scrape_samples_scraped{job="reqtap"}') == samples, samples

            def rules():
                return [rule for group in prometheus.get("rules")["groups"] for rule in group["rules"]]
            assert until(lambda: rules() and all(r["health"] == "ok" for r in rules()), 30, 0.2), rules()
            assert {r["name"] for r in rules()} == set(re.findall(r"alert: (\S+)", RULES.read_text(encoding="utf-8")))
            assert not [r["name"] for r in rules() if r["state"] != "inactive"], rules()


@tap.test("each alert fires on what it is for, and none on a node that is well", needs_capture=False)
def _():
    with tempfile.TemporaryDirectory(prefix="reqtap-prometheus-") as folder:
        shutil.copy(RULES, folder)
        test = Path(folder) / "test.yaml"
        text = (tap.ROOT / "tests/live/alerts_test.yaml").read_text(encoding="utf-8")
        test.write_text(text.replace("RULES", RULES.name), encoding="utf-8")
        for command in (["check", "rules", str(RULES)], ["test", "rules", str(test)]):
            done = subprocess.run(["promtool", *command], capture_output=True, text=True, timeout=60, check=False)
            assert done.returncode == 0, done.stdout + done.stderr


tap.main()
