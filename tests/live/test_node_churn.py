#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Containers started, stopped, killed and relabelled at random: every line, each with its own replica's attributes.

REQTAP_CHURN_S (20) seconds with REQTAP_CHURN_COUNT (30) containers; `make churn` runs 100 of them for 10 minutes.
"""
import math
import os
import random
import re
import selectors
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
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
LATE_S = 1  # a container that the API server tells of later may lose its first lines: for 2 s nobody knew whose they were
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
        self.made = time.monotonic()
        self.known_at = self.made + random.choice((0, 0.1, 0.3, 0.8))
        self.version = None  # of the API server, that first told whose it is
        self.group = Cgroup(f"{TOP}/burstable/pod{self.uid}/{self.id}")
        self.group.__enter__()
        self.process = self.group.start("/bin/bash", "-c", PROGRAM, self.model, stdin=subprocess.PIPE,
                                        stderr=subprocess.DEVNULL)
        output.add(self.model, self.process.stdout)

    def label(self):
        self.environments.append(random.choice(ENVIRONMENTS))
        version = self.api.put(pod(self.uid, f"model-{self.model}-{self.replica}", [("model", self.id)], {
            "baseten.co/model-id": self.model, "baseten.co/environment": self.environments[-1]}))
        self.version = self.version or version

    def is_late(self):
        return self.api.told.get(self.version, math.inf) > self.made + LATE_S

    def tend(self):
        if not self.version and time.monotonic() >= self.known_at:
            self.label()

    def stop(self):
        if not self.version:
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
    """Every container that ever was; the most memory of its own that the agent had; the most in all, with COUNT of them."""
    running, past, most, resident = [], [], 0, 0
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
            if container.version:
                container.label()
        most = max(most, node.rss_kib())
        if len(running) == COUNT and deed > 0.98:
            resident = max(resident, node.resident_kib())
        time.sleep(0.02)
    for container in running:
        container.stop()
    return past + running, most, resident


def judge(containers, output, records):
    """(lines, left out)"""
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
        arrived.setdefault(model, []).append((int(number), record))
    for model, got in arrived.items():
        for (before, first), (after, second) in zip(got, got[1:]):
            assert before < after, (f"{model}: {before} before {after}, out of order or doubled", first, second)
    # what a killed program wrote last is in the pipe and in the records alike
    late = {c.model for c in containers if c.is_late()}
    missing = {m: (n, len(arrived.get(m, []))) for m, n in output.lines.items() if n != len(arrived.get(m, []))}
    assert not set(missing) - late, f"(written, arrived): { {m: missing[m] for m in set(missing) - late} }"
    return sum(map(len, arrived.values())), sum(n - got for n, got in missing.values())


def free_port():
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


def counted(port):
    """What the agent says that it left out, since nobody told in time whose it is."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
        return int(float(re.search(r"^reqtap_hold_lost_total (\S+)", answer.read().decode(), re.M)[1]))


@test("containers come, go and are relabelled: no line lost, none with another's attributes, memory comes back")
def _():
    output = Output()
    output.start()
    port = free_port()
    # with history and the page, as the chart sets it
    with ApiServer() as api, tempfile.TemporaryDirectory(prefix="reqtap-churn-") as state, \
            Agent("--node", "node-1", "--kube-api", api.url, "--kube-token-file", api.token_file, "--state-dir", state,
                  "--listen", f"127.0.0.1:{port}") as node:
        time.sleep(3)  # what loading the programs took has been given back
        before = node.rss_kib()
        containers, most, resident = churn(api, output, node)
        # looked at rarely: the receiver is a thread of this process
        until(lambda: sum(r["scope"] == "reqtap.serving" for r in node.records()) >= sum(output.lines.values()), 120, 1)
        time.sleep(1)
        try:
            lines, unknown = judge(containers, output, node.records())
            assert unknown <= counted(port), (unknown, counted(port))
        except AssertionError:
            print("# the agent said: " + node.log, flush=True)
            raise
        time.sleep(12)
        after = node.rss_kib()
        print(f"# {len(containers)} containers, {lines} lines, 0 wrong, 0 twice; {unknown} left out "
              f"that nobody knew for {LATE_S} s; anonymous memory {before} KiB before, {most} at most, "
              f"{after} after; {resident} KiB resident in all with {COUNT}")
        assert max(most, resident) <= 48 * 1024, (most, resident)
        assert after <= before + 4096, (before, after)


try:
    tap.main()
finally:
    Cgroup(os.path.dirname(TOP)).remove()
