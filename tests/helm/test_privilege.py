#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The agent in a container of exactly what the chart gives it (capabilities, seccomp profile,
read-only root, mounts), by the real runc; and what each capability is for, by taking it away.
Prints TAP."""
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import yaml
from tools import tools

ROOT = Path(__file__).resolve().parents[2]
CHART = ROOT / "helm" / "reqtap"
REQTAP = Path(os.environ.get("REQTAP", ROOT / "build" / "reqtap")).resolve()
sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "tests" / "live")]
import overlap  # noqa: E402
import tap  # noqa: E402
from node_rig import Cgroup, until  # noqa: E402
from receiver import Receiver  # noqa: E402

NAME = f"/reqtap-privilege-{os.getpid()}"
NUMBERS = {"BPF": 39, "PERFMON": 38, "SYS_PTRACE": 19, "DAC_READ_SEARCH": 2, "CHECKPOINT_RESTORE": 40,
           "SYS_RESOURCE": 24}  # linux/capability.h
SYSTEM = ["usr", "lib", "lib64", "bin", "etc"]  # where the binary and its libraries are


def given(spec):
    """The chart's capabilities that this machine can give: one that root lacks cannot be passed on."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    bounding = int(next(line.split()[1] for line in status.splitlines() if line.startswith("CapBnd")), 16)
    asked = spec["containers"][0]["securityContext"]["capabilities"]["add"]
    return [c for c in asked if bounding >> NUMBERS[c] & 1]


def daemonset(helm):
    rendered = subprocess.run([helm, "template", "rel", CHART, "--set", "seccompProfile.type=Localhost"], text=True,
                              capture_output=True, check=True, timeout=60,
                              env=dict(os.environ, HOME=str(Path(helm).parent))).stdout
    objects = {o["kind"]: o for o in yaml.safe_load_all(rendered) if o}
    return objects["DaemonSet"]["spec"]["template"]["spec"]


def seccomp():
    profile = json.loads((CHART / "files" / "seccomp.json").read_text())
    profile["architectures"] = [a["architecture"] for a in profile.pop("archMap")]
    return profile


def mounts(spec, scratch):
    """The chart's volumes, with directories of the test for those that the agent writes to."""
    paths = {v["name"]: v.get("hostPath", {}).get("path") for v in spec["volumes"]}
    paths["state"], paths["tmp"] = scratch / "state", scratch / "tmp"
    for mount in spec["containers"][0]["volumeMounts"]:
        source = Path(paths[mount["name"]])
        source.mkdir(exist_ok=True)
        yield {"destination": mount["mountPath"], "source": str(source), "type": "none",
               "options": ["rbind", "ro" if mount.get("readOnly") else "rw"]}


class Container:
    """`reqtap ARGS` as the chart runs it, but for what is passed here."""

    def __init__(self, spec, scratch, args, without=(), env=()):
        self.name = f"{NAME[1:]}-{time.monotonic_ns()}"
        self.bundle = scratch / self.name
        security = spec["containers"][0]["securityContext"]
        capabilities = [f"CAP_{c}" for c in given(spec) if c not in without]
        (self.bundle / "rootfs").mkdir(parents=True)
        for folder in SYSTEM + ["proc", "sys", "dev", "tmp", "var/lib/reqtap", "reqtap"]:
            (self.bundle / "rootfs" / folder).mkdir(parents=True, exist_ok=True)
        config = {
            "ociVersion": "1.0.2",
            "process": {
                "user": {"uid": security["runAsUser"], "gid": security["runAsGroup"]},
                "args": ["/reqtap/" + REQTAP.name, *args], "cwd": "/",
                "env": ["PATH=/usr/bin", *env],
                "capabilities": {s: capabilities for s in ("bounding", "effective", "permitted")},
                "noNewPrivileges": not security["allowPrivilegeEscalation"],
            },
            "root": {"path": "rootfs", "readonly": security["readOnlyRootFilesystem"]},
            "mounts": [{"destination": "/proc", "type": "proc", "source": "proc"},
                       {"destination": "/dev", "type": "tmpfs", "source": "tmpfs"},
                       {"destination": "/sys", "type": "none", "source": "/sys", "options": ["rbind", "ro"]},
                       *[{"destination": f"/{f}", "type": "none", "source": f"/{f}", "options": ["rbind", "ro"]}
                         for f in SYSTEM if Path(f"/{f}").exists()],
                       {"destination": "/reqtap", "type": "none", "source": str(REQTAP.parent),
                        "options": ["rbind", "ro"]},
                       *mounts(spec, scratch)],
            # no pid and no cgroup namespace: hostPID, and the node's cgroups
            "linux": {"namespaces": [{"type": "mount"}, {"type": "uts"}, {"type": "ipc"}],
                      "seccomp": seccomp()},
        }
        (self.bundle / "config.json").write_text(json.dumps(config))
        self.log = self.bundle / "log"
        with open(self.log, "wb") as out:
            self.process = subprocess.Popen(["runc", "run", "--bundle", self.bundle, self.name], stdin=subprocess.DEVNULL,
                                            stdout=out, stderr=out)

    def text(self):
        return self.log.read_text(errors="replace")

    def wait(self, seconds=40):
        self.process.wait(timeout=seconds)
        return self.process.returncode

    def end(self):
        subprocess.run(["runc", "kill", self.name, "TERM"], capture_output=True, check=False)
        try:
            return self.wait(20)
        except subprocess.TimeoutExpired:
            subprocess.run(["runc", "delete", "--force", self.name], capture_output=True, check=False)
            return self.wait(10)


def two_lines(group):
    server = group.start("/usr/bin/setpriv", *overlap.NOBODY, "/bin/sh", "-c", "echo one; sleep 1; echo two >&2; sleep 2",
                         env={"PATH": "/bin:/usr/bin", "BT_MODEL_ID": "m1"})
    server.communicate(timeout=20)


def captures(spec, scratch, without=(), work=two_lines, lines=2):
    """What the agent said, and the records of a container that logs `lines`, or more."""
    with Receiver() as receiver:
        agent = Container(spec, scratch, ["agent", "--cgroup", NAME, "--pin-dir", f"/sys/fs/bpf{NAME}"],
                          without, [f"OTEL_EXPORTER_OTLP_LOGS_ENDPOINT={receiver.url}",
                                    "REQTAP_STATE_DIR=/var/lib/reqtap"])
        try:
            until(lambda: "capturing " in agent.text() or agent.process.poll() is not None, 30)
            if agent.process.poll() is not None:
                return agent.text(), []
            with Cgroup(NAME) as group:
                work(group)
                until(lambda: len(receiver.records()) >= lines, 10)
        finally:
            agent.end()
            subprocess.run([REQTAP, "agent", "--unpin", "--pin-dir", f"/sys/fs/bpf{NAME}"], check=False,
                           capture_output=True)
        return agent.text(), receiver.records()


def test_works_with_exactly_the_charts_rights(spec, scratch):
    said, records = captures(spec, scratch)
    assert [r["body"] for r in records] == ["one", "two"], (records, said)
    assert all(r["attributes"].get("model_id") == "m1" for r in records), records


def test_follows_contexts_with_exactly_the_charts_rights(spec, scratch):
    """What attaches to the functions of CPython needs no right that the chart does not give, where the kernel has links for it."""
    doctor = Container(spec, scratch, ["doctor", "-j"])
    doctor.wait()
    told = json.loads(next(t for t in doctor.text().splitlines() if t.startswith("{")))
    uprobes = next(c for c in told["checks"] if c["name"] == "uprobes")
    release = tuple(int(n) for n in platform.release().split(".")[:2])
    assert uprobes["state"] == "ok" or release < (6, 6), uprobes
    said, records = captures(spec, scratch, work=overlap.requests, lines=overlap.LINES)
    lines, right, wrong = overlap.judge(records)
    assert lines == overlap.LINES and not wrong, (lines, wrong[:3], said)
    assert uprobes["state"] != "ok" or right >= 0.9 * lines, (right, lines, said)


def test_each_capability_is_needed(spec, scratch):
    """Without one, doctor names it, what is off without it, and the mend."""
    for capability in given(spec):
        done = Container(spec, scratch, ["doctor", "-j"], [capability])
        code = done.wait()
        checks = {c["name"]: c for c in json.loads(next(t for t in done.text().splitlines() if t.startswith("{")))["checks"]}
        check = checks.get(f"CAP_{capability}")
        assert check, f"doctor says nothing of CAP_{capability}: {done.text()}"
        assert check["state"] != "ok" and check["mend"], check
        assert (code == 77) == (check["state"] == "cannot"), (code, check)


def test_without_the_right_to_load_it_says_so(spec, scratch):
    for capability in "BPF", "PERFMON":
        said, records = captures(spec, scratch, [capability])
        assert not records and f"CAP_{capability}" in said, said


def main():
    helm, _, why = tools()
    if not why and not shutil.which("runc"):
        why = "runc is missing: apt-get install runc"
    if not why and int(Path("/proc/sys/kernel/perf_event_paranoid").read_text(encoding="ascii")) > 2:
        why = "this kernel may want CAP_SYS_ADMIN, as tests/live/test_rights.py shows: sysctl kernel.perf_event_paranoid=2"
    why = why or tap.why_not()
    tests = [(n[5:].replace("_", " "), f) for n, f in globals().items() if n.startswith("test_")]
    failed = False
    for i, (name, test) in enumerate(tests, 1):
        if why:
            print(f"ok {i} - {name} # SKIP {why}")
            continue
        with tempfile.TemporaryDirectory(prefix="reqtap-privilege-") as scratch:
            try:
                test(daemonset(helm), Path(scratch))
                print(f"ok {i} - {name}", flush=True)
            except (AssertionError, StopIteration, subprocess.TimeoutExpired) as error:
                failed = True
                print(f"not ok {i} - {name}\n# {error}", flush=True)
    return 1 if failed else 0


sys.exit(main())
