#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""`reqtap agent` on a node of a cluster: cgroups laid out as the kubelet does, and an API server of the tests."""
import os
import subprocess
import sys
import time
import uuid

import tap
from node_rig import Agent, Cgroup, until
from tap import ROOT, test

sys.path.insert(0, str(ROOT / "tests/kube"))
from server import ApiServer, pod  # noqa: E402

TOP = f"/reqtap-kube-{os.getpid()}/kubepods"
LABELS = {"baseten.co/model-id": "abc123x", "baseten.co/model-version-id": "wgl7op3",
          "baseten.co/environment": "staging"}


def new_id():
    return uuid.uuid4().hex + uuid.uuid4().hex


def cgroup(uid, container, driver="cgroupfs"):
    """A container's cgroup in the manner of a driver."""
    if driver == "systemd":
        return Cgroup(f"{TOP}.slice/kubepods-burstable.slice/kubepods-burstable-pod{uid.replace('-', '_')}.slice/"
                      f"cri-containerd-{container}.scope")
    return Cgroup(f"{TOP}/burstable/pod{uid}/{container}")


def agent(api, *options):
    return Agent("--node", "node-1", "--kube-api", api.url, "--kube-token-file", api.token_file, *options)


def serving(records):
    return [r for r in records if r["scope"] == "reqtap.serving"]


def deploy(records):
    return [r for r in records if r["scope"] == "reqtap.deploy"]


def echo(group, text):
    group.start("/bin/echo", text).communicate(timeout=30)


def serve(group, text, **env):
    """
    Says whose it is by its environment, and lives until the cgroup is removed, so that this can be read. Not by
    BT_MODEL_ID: agents of other tests, which run beside this one, take every container that says that.
    """
    server = group.start("/bin/sh", "-c", 'echo "$0"; exec sleep 60', text, env=dict(os.environ, **env))
    assert server.stdout.readline() == text.encode() + b"\n"


@test("whose line it is: by labels, of both drivers; side-cars and other pods are left out")
def _():
    with ApiServer() as api, agent(api) as node:
        for driver in ("cgroupfs", "systemd"):
            uid, ids = str(uuid.uuid4()), [new_id() for _ in range(3)]
            api.put(pod(uid, f"model-abc123x-646466fcd8-{driver[:4]}7", [("model", ids[0]), ("queue-proxy", ids[1])],
                        LABELS))
            other = str(uuid.uuid4())
            api.put(pod(other, "dns", [("dns", ids[2])]))
            with cgroup(uid, ids[0], driver) as model, cgroup(uid, ids[1], driver) as proxy, \
                    cgroup(other, ids[2], driver) as dns:
                echo(model, driver)
                echo(proxy, "proxy")
                echo(dns, "dns")
                assert until(lambda d=driver: d in node.messages()), node.log
        time.sleep(2.5)
        records = serving(node.records())
        assert sorted(r["body"] for r in records) == ["cgroupfs", "systemd"], records
        for record in records:
            assert record["attributes"] == {
                "message": record["body"], "model_id": "abc123x", "model_version_id": "wgl7op3",
                "environment": "staging", "replica": record["body"][:4] + "7"}, record
        assert node.stop() == 0, node.log


@test("a line waits for its metadata, and not for ever")
def _():
    with ApiServer() as api, agent(api, "--identity", "model_id=label:baseten.co/model-id+env:MODEL") as node:
        uid, container = str(uuid.uuid4()), new_id()
        with cgroup(uid, container) as group:
            echo(group, "early")
            time.sleep(0.7)
            assert not node.messages()
            api.put(pod(uid, "model-1-ng7v7", [("model", container)], LABELS))
            assert until(lambda: serving(node.records())), node.log
            assert serving(node.records())[0]["attributes"]["replica"] == "ng7v7"
        with cgroup(str(uuid.uuid4()), new_id()) as group:
            begin = time.monotonic()
            serve(group, "alone", MODEL="by-environment")
            assert until(lambda: "alone" in node.messages()), node.log
            assert time.monotonic() - begin > 1, time.monotonic() - begin
            record = next(r for r in node.records() if r["body"] == "alone")
            assert record["attributes"]["model_id"] == "by-environment", record


@test("a promotion shows in the next line and is a record; the last lines keep their metadata")
def _():
    with ApiServer() as api, agent(api) as node:
        uid, container = str(uuid.uuid4()), new_id()
        api.put(pod(uid, "model-1-ng7v7", [("model", container)], LABELS))
        with cgroup(uid, container) as group:
            server = group.start("/bin/sh", "-c", "while read line; do echo $line; done", stdin=subprocess.PIPE)

            def say(text):
                server.stdin.write(text.encode() + b"\n")
                server.stdin.flush()
                assert until(lambda: text in node.messages()), (text, node.log)
                return next(r for r in node.records() if r["body"] == text)["attributes"]
            assert say("one")["environment"] == "staging"
            api.put(pod(uid, "model-1-ng7v7", [("model", container)],
                        dict(LABELS, **{"baseten.co/environment": "production"})))
            assert until(lambda: any("promoted" in r["body"] for r in deploy(node.records()))), node.log
            promotion = next(r for r in deploy(node.records()) if "promoted" in r["body"])
            assert promotion["body"] == "replica ng7v7 promoted to production from staging", promotion
            assert promotion["attributes"]["environment"] == "production", promotion
            assert promotion["severity_text"] == "INFO", promotion
            assert say("two")["environment"] == "production"
            api.delete(uid)
            assert until(lambda: any("terminated" in r["body"] for r in deploy(node.records()))), node.log
            assert say("three") == {"message": "three", "model_id": "abc123x", "model_version_id": "wgl7op3",
                                    "environment": "production", "replica": "ng7v7"}
            server.stdin.close()
            server.wait(timeout=10)


@test("what happens to a replica is said, with the severity that fits")
def _():
    with ApiServer() as api, agent(api) as node:
        uid, first, second = str(uuid.uuid4()), new_id(), new_id()
        assert until(lambda: any("watch" in r["path"] for r in api.requests)), node.log

        def state(**status):
            item = pod(uid, "model-1-ng7v7", [("model", status.pop("id", first), status.pop("state"))], LABELS,
                       ready=status.pop("ready", False), phase=status.pop("phase", "Running"))
            item["status"]["containerStatuses"][0].update(status)
            api.put(item)
        state(id=None, state={"waiting": {"reason": "ContainerCreating"}}, phase="Pending")
        state(state={"running": {}})
        state(state={"running": {}}, ready=True)
        state(state={"running": {}})
        state(id=second, state={"running": {}}, restartCount=1,
              lastState={"terminated": {"exitCode": 137, "reason": "OOMKilled"}})
        state(id=second, state={"terminated": {"exitCode": 3, "reason": "Error"}}, restartCount=1)
        state(id=second, state={"waiting": {"reason": "CrashLoopBackOff"}}, restartCount=1)
        api.delete(uid)
        assert until(lambda: any(r["body"].endswith("terminated") for r in deploy(node.records()))), node.log
        said = [(r["severity_text"], r["body"].removeprefix("replica ng7v7 ")) for r in deploy(node.records())]
        assert said == [
            ("INFO", "scheduled"),
            ("INFO", "started: container model"),
            ("INFO", "ready"),
            ("WARN", "unhealthy: not ready"),
            ("ERROR", "out of memory: container model was killed (exit code 137)"),
            ("WARN", "restarting: container model, restart 1"),
            ("INFO", "started: container model"),
            ("ERROR", "crashed: container model ended with exit code 3"),
            ("WARN", "restarting: container model waits after 1 restarts"),
            ("INFO", "terminated"),
        ], said


@test("a pod that is not ours may become ours, without a restart")
def _():
    with ApiServer() as api, agent(api) as node:
        uid, container = str(uuid.uuid4()), new_id()
        api.put(pod(uid, "model-1-ng7v7", [("model", container)]))
        with cgroup(uid, container) as group:
            server = group.start("/bin/sh", "-c", "while read line; do echo $line; done", stdin=subprocess.PIPE)

            def say(text):
                server.stdin.write(text.encode() + b"\n")
                server.stdin.flush()
                server.stdout.readline()
            say("before")
            time.sleep(3)
            say("not ours")
            api.put(pod(uid, "model-1-ng7v7", [("model", container)], LABELS))
            assert until(lambda: say("ours") or "ours" in node.messages(), 10, 0.2), node.log
            assert {r["body"] for r in serving(node.records())} == {"ours"}, node.records()
            server.stdin.close()
            server.wait(timeout=10)


@test("builds are builds")
def _():
    with ApiServer() as api, agent(api, "--build-selector", "kind=build") as node:
        uid, container = str(uuid.uuid4()), new_id()
        api.put(pod(uid, "build-1-x2k9p", [("kaniko", container)], {"kind": "build"}))
        with cgroup(uid, container) as group:
            echo(group, "step 1")
            assert until(lambda: "step 1" in node.messages()), node.log
            assert [r["scope"] for r in node.records() if r["body"] == "step 1"] == ["reqtap.build"], node.records()


@test("other labels, by --identity and --selector")
def _():
    identity = ["--identity", "model_id=label:app", "--identity", "model_version_id=label:version"]
    with ApiServer() as api, agent(api, *identity, "--selector", "tier in (gpu)") as node:
        ids, uids = [new_id(), new_id()], [str(uuid.uuid4()), str(uuid.uuid4())]
        for number, tier in enumerate(("gpu", "cpu")):
            api.put(pod(uids[number], f"m-{number}-abcd{number}", [("c", ids[number])],
                        {"app": "mine", "version": "v1", "tier": tier}))
            with cgroup(uids[number], ids[number]) as group:
                serve(group, tier, BT_MODEL_DEPLOYMENT_ID="not asked for")
        assert until(lambda: "gpu" in node.messages()), node.log
        time.sleep(2.5)
        assert [r["body"] for r in serving(node.records())] == ["gpu"], node.records()
        said = serving(node.records())[0]["attributes"]
        assert said["model_id"] == "mine" and said["model_version_id"] == "v1", said


try:
    tap.main()
finally:
    for path in (TOP, TOP + ".slice", os.path.dirname(TOP)):
        Cgroup(path).remove()
