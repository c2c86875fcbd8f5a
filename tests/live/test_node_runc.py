#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""`reqtap agent` and containers that runc makes, laid out as the kubelet does."""
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from pathlib import Path

import tap
from node_rig import SLOW, Agent, Cgroup, cgroup_root, tell, until
from tap import ROOT, test

sys.path.insert(0, str(ROOT / "tests/kube"))
from server import ApiServer, pod  # noqa: E402

TOP = f"/reqtap-runc-{os.getpid()}/kubepods"
LABELS = {"baseten.co/model-id": "m", "baseten.co/environment": "staging"}
APPLETS = "sh echo sleep tail cat seq kill".split()


class Runc:
    """One container: `runc create` with pipes of ours, as a shim does, then `runc start`."""

    def __init__(self, home, uid, name, script, memory=None):
        self.id, self.uid = uuid.uuid4().hex * 2, uid
        self.bundle = Path(home) / self.id
        (self.bundle / "rootfs/bin").mkdir(parents=True)
        shutil.copy("/bin/busybox", self.bundle / "rootfs/bin/busybox")
        for applet in APPLETS:
            (self.bundle / "rootfs/bin" / applet).symlink_to("busybox")
        # where the kubelet keeps what a container leaves as its last words
        message = Path(home) / "pods" / uid / "containers" / name / self.id[:8]
        message.parent.mkdir(parents=True, exist_ok=True)
        message.write_text("", encoding="ascii")
        self.configure(script, message, memory)
        self.process = None

    def configure(self, script, message, memory):
        subprocess.run(["runc", "spec"], cwd=self.bundle, check=True)
        path = self.bundle / "config.json"
        config = json.loads(path.read_text(encoding="utf-8"))
        config["process"].update(terminal=False, args=["/bin/sh", "-c", script], cwd="/",
                                 env=["PATH=/bin", "HOSTNAME=model-1-ng7v7"])
        config["root"]["readonly"] = False
        config["linux"]["cgroupsPath"] = f"{TOP}/burstable/pod{self.uid}/{self.id}"
        config["mounts"].append({"destination": "/dev/termination-log", "source": str(message), "type": "bind",
                                 "options": ["bind", "rw"]})
        if memory:
            config["linux"]["resources"]["memory"] = {"limit": memory, "swap": memory}
        path.write_text(json.dumps(config), encoding="utf-8")

    def runc(self, *arguments, **kwargs):
        return subprocess.run(["runc", *arguments], check=False, timeout=60 * SLOW, **kwargs)

    def __enter__(self):
        self.out, write_end = os.pipe()
        pivot = ["--no-pivot"] if "REQTAP_VM" in os.environ else []  # a guest's root is its initramfs, which cannot be pivoted away
        created = self.runc("create", *pivot, "--bundle", str(self.bundle), self.id, stdin=subprocess.DEVNULL,
                            stdout=write_end, stderr=write_end)
        os.close(write_end)
        assert created.returncode == 0
        self.pid = json.loads(self.runc("state", self.id, stdout=subprocess.PIPE).stdout)["pid"]
        return self

    def start(self):
        assert self.runc("start", self.id).returncode == 0

    def read(self):
        """All that it writes, until it ends."""
        data = b""
        while more := os.read(self.out, 65536):
            data += more
        return data

    def __exit__(self, *args):
        self.runc("delete", "--force", self.id, stderr=subprocess.DEVNULL)
        os.close(self.out)


def agent(api):
    return Agent("--node", "node-1", "--kube-api", api.url, "--kube-token-file", api.token_file)


@test("a container of runc: its first byte; a session that comes in is not its log; its restart is another")
def _():
    with ApiServer() as api, agent(api) as node, tempfile.TemporaryDirectory() as home:
        uid = str(uuid.uuid4())
        for turn in range(2):
            script = f"echo first {turn}; echo second {turn} >&2; until [ -e /go ]; do sleep 0.1; done; echo last {turn}"
            container = Runc(home, uid, "model", script)
            tell(api, pod(uid, "model-1-ng7v7", [("model", container.id)], LABELS))
            with container:
                assert (cgroup_root() / f"{TOP[1:]}/burstable/pod{uid}/{container.id}").exists()
                container.start()
                session = container.runc("exec", container.id, "/bin/sh", "-c", "echo session", stdout=subprocess.PIPE)
                assert session.stdout == b"session\n", session
                (container.bundle / "rootfs/go").touch()
                container.read()
        want = [f"{word} {turn}" for turn in range(2) for word in ("first", "second", "last")]
        assert until(lambda: len([r for r in node.records() if r["scope"] == "reqtap.serving"]) >= 6), node.log
        time.sleep(1)
        # two containers are in two lanes: their records may arrive in any order
        records = sorted((r for r in node.records() if r["scope"] == "reqtap.serving"),
                         key=lambda r: r["time_unix_nano"])
        assert [r["body"] for r in records] == want, records
        assert all(r["attributes"]["replica"] == "ng7v7" and r["attributes"]["model_id"] == "m" for r in records)


@test("a side-car is known by what the kubelet mounted, also when no API server says so")
def _():
    with ApiServer() as api, agent(api) as node, tempfile.TemporaryDirectory() as home:
        uid = str(uuid.uuid4())
        tell(api, pod(uid, "model-1-ng7v7", [("model", None), ("queue-proxy", None)], LABELS))
        for name in ("queue-proxy", "model"):
            with Runc(home, uid, name, f"echo {name}; sleep 0.5") as container:
                container.start()
                container.read()
        assert until(lambda: "model" in node.messages()), node.log
        time.sleep(2.5)
        assert "queue-proxy" not in node.messages(), node.messages()


@test("the dynamic environment file changes: the next lines say so, without a restart, and a record")
def _():
    with ApiServer() as api, agent(api) as node, tempfile.TemporaryDirectory() as home:
        uid = str(uuid.uuid4())
        with Runc(home, uid, "model", "i=0; while :; do echo tick $i; i=$((i+1)); sleep 0.1; done") as container:
            # as the kubelet lays out what it mounts: a link to a directory, which it replaces as a whole
            folder = container.bundle / "rootfs/etc/b10_dynamic_config"
            folder.mkdir(parents=True)
            (folder / "environment").symlink_to("..data/environment")

            def promote(environment):
                (folder / f"..{environment}").mkdir()
                (folder / f"..{environment}/environment").write_text(json.dumps({"name": environment}),
                                                                    encoding="ascii")
                (folder / "..next").symlink_to(f"..{environment}")
                (folder / "..next").rename(folder / "..data")
            promote("staging")
            tell(api, pod(uid, "model-1-ng7v7", [("model", container.id)], {"baseten.co/model-id": "m"}))
            container.start()

            def environments():
                return [r["attributes"].get("environment") for r in node.records() if r["scope"] == "reqtap.serving"]
            assert until(lambda: "staging" in environments(), 20), (environments(), node.log)
            promote("production")
            assert until(lambda: "production" in environments(), 20), (environments(), node.log)
            records = sorted(node.records(), key=lambda r: r["time_unix_nano"])
            lines = [r["attributes"].get("environment") for r in records if r["scope"] == "reqtap.serving"]
            assert lines == sorted(lines, key=["staging", "production"].index), lines
            told = [r for r in records if "promoted" in r["body"]]
            assert [r["body"] for r in told] == ["replica ng7v7 promoted to production from staging"], told
            assert told[0]["attributes"]["environment"] == "production" and told[0]["scope"] == "reqtap.deploy", told


@test("what a container wrote before it was killed for its memory, or deleted under load, is there")
def _():
    with ApiServer() as api, agent(api) as node, tempfile.TemporaryDirectory() as home:
        uid = str(uuid.uuid4())
        with Runc(home, uid, "model", "for i in $(seq 500); do echo line $i; done; tail /dev/zero", 24 << 20) as greedy:
            tell(api, pod(uid, "model-1-ng7v7", [("model", greedy.id)], LABELS))
            greedy.start()
            written = greedy.read().decode().splitlines()
        assert len([line for line in written if line.startswith("line ")]) == 500, written[-3:]
        with Runc(home, uid, "model", "while :; do echo load; done") as busy:
            tell(api, pod(uid, "model-1-ng7v7", [("model", busy.id)], LABELS))
            busy.start()
            end, count = time.monotonic() + 1, 0
            while time.monotonic() < end:
                count += os.read(busy.out, 65536).count(b"\n")
            os.kill(busy.pid, signal.SIGKILL)
            api.delete(uid)
            count += busy.read().count(b"\n")

        def arrived(word):
            return [r for r in node.records() if r["body"].startswith(word)]
        assert until(lambda: len(arrived("line ")) == 500 and len(arrived("load")) >= count, 20), \
            (len(arrived("line ")), len(arrived("load")), count, node.log)
        assert len(arrived("load")) == count, (len(arrived("load")), count)
        assert all(r["attributes"]["replica"] == "ng7v7" for r in arrived("l"))


try:
    tap.main()
finally:
    Cgroup(os.path.dirname(TOP)).remove()
