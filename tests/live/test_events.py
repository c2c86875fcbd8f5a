#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""`reqtap events`: one of two tells, what the cluster's events say of deployments; the other takes over."""
import os
import subprocess
import sys
import time
import uuid

import tap
from node_rig import until
from tap import REQTAP, ROOT, test

sys.path.insert(0, str(ROOT / "tests"))
sys.path.insert(0, str(ROOT / "tests/kube"))
from receiver import Receiver  # noqa: E402
from server import ApiServer, pod  # noqa: E402


def start(api, receiver, holder):
    env = {k: v for k, v in os.environ.items() if not k.startswith(("OTEL_", "REQTAP", "KUBERNETES_"))}
    env["OTEL_EXPORTER_OTLP_LOGS_ENDPOINT"] = receiver.url
    return subprocess.Popen([REQTAP, "events", "--kube-api", api.url, "--kube-token-file", api.token_file,
                             "--lease-holder", holder, "--lease-duration", "3s"], env=env, stderr=subprocess.DEVNULL)


def scale(api, sentence):
    now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    api.put({"kind": "Event", "apiVersion": "v1", "metadata": {"name": "e", "namespace": "models",
                                                               "uid": str(uuid.uuid4())},
             "involvedObject": {"kind": "Deployment", "namespace": "models", "name": "model-1"},
             "reason": "ScalingReplicaSet", "type": "Normal", "count": 1, "lastTimestamp": now,
             "message": "Scaled " + sentence}, "events")


def holder(api):
    return api.leases.get("reqtap-events", {}).get("spec", {}).get("holderIdentity")


def watches(api):
    return sum("/events" in r["path"] and "watch" in r["path"] for r in api.requests)


@test("wrong usage is one line; outside a cluster 77", needs_capture=False)
def _():
    env = {k: v for k, v in os.environ.items() if not k.startswith("KUBERNETES_")}
    for options, status in ((["--lease-duration", "1s"], 2), (["--selector", "=x"], 2), ([], 77)):
        done = subprocess.run([REQTAP, "events", *options], capture_output=True, text=True, timeout=60, check=False,
                              env=env)
        assert done.returncode == status and len(done.stderr.splitlines()) == 1, done


@test("one tells; when it is killed, the other does; when it ends, at once", needs_capture=False)
def _():
    with ApiServer() as api, Receiver() as receiver:
        api.put(pod("u1", "model-1-6c4bd-ng7v7", [("model", None)],
                    {"baseten.co/model-id": "m", "baseten.co/model-version-id": "v"},
                    ownerReferences=[{"kind": "ReplicaSet", "name": "model-1-6c4bd", "controller": True}]))
        scale(api, "up replica set model-1-6c4bd from 0 to 1")
        first, second = start(api, receiver, "first"), None
        try:
            assert until(lambda: holder(api) == "first" and watches(api) >= 1, 20), api.requests
            before = watches(api)
            second = start(api, receiver, "second")
            assert until(lambda: watches(api) > before, 20), api.requests

            def bodies():
                # what was told just before the leader died is told once more
                return list(dict.fromkeys(r["body"] for r in receiver.records()))
            scale(api, "up replica set model-1-6c4bd from 1 to 3")
            assert until(lambda: bodies() == ["deployment scaled up from 1 to 3"]), bodies()
            record = receiver.records()[0]
            assert record["scope"] == "reqtap.deploy" and record["severity_text"] == "INFO", record
            assert record["attributes"]["model_id"] == "m" and "replica" not in record["attributes"], record
            first.kill()
            first.wait()
            assert until(lambda: holder(api) == "second", 20), api.leases
            api.delete("u1")
            scale(api, "down replica set model-1-6c4bd from 3 to 0")
            assert until(lambda: bodies()[1:] == ["deployment scaled to zero"]), bodies()
            scale(api, "up replica set model-1-6c4bd from 0 to 2")
            assert until(lambda: bodies()[2:] == ["deployment woken: scaled up to 2"]), bodies()
            second.terminate()
            assert second.wait(timeout=20) == 0
            assert holder(api) == "", api.leases
        finally:
            for process in (first, second):
                if process and process.poll() is None:
                    process.kill()
                    process.wait()


tap.main()
