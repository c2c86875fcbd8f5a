#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""`reqtap agent` beside a real containerd, asked over the CRI as a kubelet does; containerd's own log files are the truth."""
import os
import sys
import threading
import time
import uuid
from pathlib import Path

import tap
from containerd_rig import Containerd, Pod
from node_rig import Agent, tell, until
from tap import ROOT, test

sys.path.insert(0, str(ROOT / "tests/kube"))
from server import ApiServer, pod  # noqa: E402

TOP = f"/reqtap-containerd-{os.getpid()}"
LABELS = {"baseten.co/model-id": "m", "baseten.co/environment": "production"}
NAME = "model-1-646466fcd8-ng7v7"
HIERARCHIES = [Path(line.split()[4]) for line in Path("/proc/self/mountinfo").read_text(encoding="ascii").splitlines()
               if " - cgroup" in line]


def agent(api):
    return Agent("--node", "node-1", "--kube-api", api.url, "--kube-token-file", api.token_file)


def tell_of(api, uid, container, restarts=0):
    item = pod(uid, NAME, [("model", container)], LABELS)
    item["status"]["containerStatuses"][0]["restartCount"] = restarts
    tell(api, item)


def serving(node):
    return sorted((r for r in node.records() if r["scope"] == "reqtap.serving"), key=lambda r: r["time_unix_nano"])


@test("a pod of containerd: its first byte, no session's, no sandbox's; restarted, it is the next container of the same replica")
def _():
    with Containerd() as containerd, ApiServer() as api, agent(api) as node:
        uid = str(uuid.uuid4())
        tell_of(api, uid, None)
        with Pod(containerd, f"{TOP}/kubepods", uid, NAME) as sandbox:
            for turn in range(2):
                container = sandbox.create("model", f"echo first {turn}; sleep 1.5; echo last {turn} >&2", turn)
                sandbox.start(container)
                tell_of(api, uid, container, turn)
                done = containerd.call("ExecSync", container_id=container, cmd=["/bin/echo", "session"], timeout=20)
                assert done.stdout == b"session\n", done
                assert until(lambda t=turn: len(sandbox.log_lines("model", t)) == 2), containerd.log
            assert until(lambda: len(serving(node)) >= 4), node.log
            time.sleep(0.5)
            want = [line for turn in range(2) for line in sandbox.log_lines("model", turn)]
        records = serving(node)
        assert [r["body"] for r in records] == want == ["first 0", "last 0", "first 1", "last 1"], (records, want)
        for record in records:
            assert record["attributes"] == {"message": record["body"], "model_id": "m", "environment": "production",
                                            "replica": "ng7v7"}, record
        assert any(r["body"] == "replica ng7v7 restarting: container model, restart 1" for r in node.records())


@test("while containerd is replaced, and with a terminal: what its log files hold is there")
def _():
    with Containerd() as containerd, ApiServer() as api, agent(api) as node:
        uid = str(uuid.uuid4())
        tell_of(api, uid, None)
        with Pod(containerd, f"{TOP}/kubepods", uid, NAME) as sandbox:
            container = sandbox.create("model", "for i in $(seq 40); do echo line $i; sleep 0.1; done")
            sandbox.start(container)
            assert until(lambda: len(serving(node)) >= 3), node.log
            containerd.stop()
            containerd.start()
            assert until(lambda: len(serving(node)) == 40, 30), (serving(node), node.log)
            want = [f"line {i}" for i in range(1, 41)]
            assert [r["body"] for r in serving(node)] == want, serving(node)
            # runc executes itself anew before it has the terminal, and where it is then is a matter of time
            for turn in range(3):
                terminal = sandbox.create("terminal", f"echo in a terminal {turn}; sleep 1; echo done", turn, tty=True)
                sandbox.start(terminal)
                assert until(lambda t=turn: len(sandbox.log_lines("terminal", t)) == 2), containerd.log
                want += [f"in a terminal {turn}", "done"]
                assert until(lambda n=len(want): len(serving(node)) >= n), (serving(node)[40:], node.log)
                assert [r["body"] for r in serving(node)] == want, (serving(node), node.log)
        assert all(r["attributes"]["replica"] == "ng7v7" for r in serving(node)), serving(node)


def run_pod(containerd, api, number):
    """One pod from its beginning to its end; what containerd's log says of it."""
    uid, name = str(uuid.uuid4()), f"model-{number}-646466fcd8-abc{number:02d}"
    labels = {"baseten.co/model-id": f"m{number}"}
    tell(api, pod(uid, name, [("model", None)], labels))  # as the scheduler binds it, before there is a cgroup
    with Pod(containerd, f"{TOP}/kubepods", uid, name) as sandbox:
        container = sandbox.create("model", f"for i in $(seq 300); do echo {number} $i; done; sleep 0.5; echo {number} end")
        sandbox.start(container)
        api.put(pod(uid, name, [("model", container)], labels))
        until(lambda: len(sandbox.log_lines("model")) == 301, 30)
        api.delete(uid)
        return sandbox.log_lines("model")


@test("pods that come and go side by side: each line once, with its own replica")
def _():
    with Containerd() as containerd, ApiServer() as api, agent(api) as node:
        logs = {}
        threads = [threading.Thread(target=lambda n=n: logs.update({n: run_pod(containerd, api, n)})) for n in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(120)
        assert sorted(len(lines) for lines in logs.values()) == [301] * 6, {n: len(v) for n, v in logs.items()}
        assert until(lambda: len(serving(node)) >= 6 * 301, 20), (len(serving(node)), node.log)
        for number, lines in logs.items():
            own = [r for r in serving(node) if r["body"].startswith(f"{number} ")]
            assert [r["body"] for r in own] == lines, (number, len(own))
            assert all(r["attributes"]["replica"] == f"abc{number:02d}" and r["attributes"]["model_id"] == f"m{number}"
                       for r in own), own[:3]


try:
    tap.main()
finally:
    for hierarchy in HIERARCHIES:
        for folder in sorted((hierarchy / TOP[1:]).rglob("*/"), reverse=True) + [hierarchy / TOP[1:]]:
            if folder.exists():
                folder.rmdir()
