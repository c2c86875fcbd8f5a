#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Containers started, stopped, killed and relabelled at random: every line, each with its own replica's attributes.

REQTAP_CHURN_S (20) seconds with REQTAP_CHURN_COUNT (30) containers; `make churn` runs 100 of them for 10 minutes.
"""
import os
import random
import selectors
import subprocess
import sys
import threading
import time
import uuid

import tap
from node_rig import Agent, Cgroup, until
from tap import ROOT, test

sys.path.insert(0, str(ROOT / "tests/kube"))
from server import ApiServer, pod  # noqa: E402

TOP = f"/reqtap-churn-{os.getpid()}/kubepods"
SECONDS = float(os.environ.get("REQTAP_CHURN_S", "20"))
COUNT = int(os.environ.get("REQTAP_CHURN_COUNT", "30"))
PROGRAM = 'i=0; while :; do echo "$0 $i"; i=$((i+1)); read -rt 0.2; [ $? -gt 128 ] || exit 0; done'
ENVIRONMENTS = ("staging", "production", "development")


class Output(threading.Thread):
    """Reads what containers write, as a shim does, and counts the lines of each."""

    def __init__(self):
        super().__init__(daemon=True)
        self.selector, self.lines, self.lock = selectors.DefaultSelector(), {}, threading.Lock()

    def add(self, name, pipe):
        os.set_blocking(pipe.fileno(), False)
        with self.lock:
            self.lines[name] = 0
            self.selector.register(pipe, selectors.EVENT_READ, name)

    def run(self):
        while True:
            for key, _ in self.selector.select(0.1):
                data = key.fileobj.read1(65536) or b""
                with self.lock:
                    self.lines[key.data] += data.count(b"\n")
                    if not data:
                        self.selector.unregister(key.fileobj)
                        key.fileobj.close()


class Container:
    def __init__(self, api, output):
        self.api, self.uid, self.id = api, str(uuid.uuid4()), uuid.uuid4().hex * 2
        self.model = "m" + self.uid[:8]
        self.replica = "".join(random.choices("bcdfghjklmnpqrstvwxz2456789", k=5))
        self.environments = []
        self.known_at = time.monotonic() + random.choice((0, 0.1, 0.5, 1.2))
        self.known = False
        self.group = Cgroup(f"{TOP}/burstable/pod{self.uid}/{self.id}")
        self.group.__enter__()
        self.process = self.group.start("/bin/bash", "-c", PROGRAM, self.model, stdin=subprocess.PIPE,
                                        stderr=subprocess.DEVNULL)
        output.add(self.model, self.process.stdout)

    def label(self):
        self.known = True
        self.environments.append(random.choice(ENVIRONMENTS))
        self.api.put(pod(self.uid, f"model-{self.model}-{self.replica}", [("model", self.id)], {
            "baseten.co/model-id": self.model, "baseten.co/environment": self.environments[-1]}))

    def tend(self):
        if not self.known and time.monotonic() >= self.known_at:
            self.label()

    def stop(self):
        if not self.known:
            self.label()
        if random.random() < 0.5:
            self.process.kill()
        self.process.stdin.close()
        self.process.wait(timeout=20)
        if random.random() < 0.5:
            self.api.delete(self.uid)
        self.group.remove()
        self.group.folder.parent.rmdir()
        self.api.delete(self.uid)


def churn(api, output, node):
    """Every container that ever was, and the most memory that the agent had."""
    running, past, most = [], [], 0
    end = time.monotonic() + SECONDS
    while time.monotonic() < end:
        if len(running) < COUNT:
            running.append(Container(api, output))
        for container in running:
            container.tend()
        deed = random.random()
        if deed < 0.2 and len(running) > COUNT * 0.8:
            past.append(running.pop(random.randrange(len(running))))
            past[-1].stop()
        elif deed < 0.5:
            container = random.choice(running)
            if container.known:
                container.label()
        most = max(most, node.rss_kib())
        time.sleep(0.02)
    for container in running:
        container.stop()
    return past + running, most


def judge(containers, output, records):
    by_model = {c.model: c for c in containers}
    arrived = {}
    for record in records:
        if record["scope"] != "reqtap.serving":
            continue
        model, number = record["body"].split()
        container, attributes = by_model[model], record["attributes"]
        assert attributes["model_id"] == model, record
        assert attributes["replica"] == container.replica, record
        assert attributes["environment"] in container.environments, (record, container.environments)
        arrived.setdefault(model, []).append(int(number))
    for model, numbers in arrived.items():
        assert numbers == sorted(set(numbers)), f"{model}: out of order or doubled"
    # what a killed program wrote last is in the pipe and in the records alike
    missing = {m: (n, len(arrived.get(m, []))) for m, n in output.lines.items() if n != len(arrived.get(m, []))}
    assert not missing, f"(written, arrived): {missing}"
    return sum(output.lines.values())


@test("containers come, go and are relabelled: no line lost, none with another's attributes, memory comes back")
def _():
    output = Output()
    output.start()
    with ApiServer() as api, Agent("--node", "node-1", "--kube-api", api.url, "--kube-token-file",
                                   api.token_file) as node:
        before = node.rss_kib()
        containers, most = churn(api, output, node)
        # looked at rarely: the receiver is a thread of this process
        until(lambda: sum(r["scope"] == "reqtap.serving" for r in node.records()) >= sum(output.lines.values()), 120, 1)
        time.sleep(1)
        lines = judge(containers, output, node.records())
        time.sleep(12)
        after = node.rss_kib()
        print(f"# {len(containers)} containers, {lines} lines; anonymous memory {before} KiB before, {most} at most, "
              f"{after} after")
        assert most <= 48 * 1024, most
        assert after <= before + 4096, (before, after)


try:
    tap.main()
finally:
    Cgroup(os.path.dirname(TOP)).remove()
