# SPDX-License-Identifier: Apache-2.0
"""For the agent's tests: cgroups of one's own, an agent, and a receiver of what it exports."""
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import tap

sys.path.insert(0, str(tap.ROOT / "tests"))
from receiver import Receiver  # noqa: E402

PYTHON = "/usr/bin/python3"
SLOW = 10 if "REQTAP_VM" in os.environ else 1  # emulated


def cgroup_root():
    """Where the v2 tree is mounted."""
    with open("/proc/self/mountinfo", encoding="utf-8") as lines:
        for line in lines:
            if " - cgroup2 " in line:
                return Path(line.split()[4])
    raise RuntimeError("no cgroup v2 is mounted")


class Cgroup:
    """A cgroup below the v2 root; removed, with all in it killed, at the end of `with`."""

    def __init__(self, path):
        self.path = path
        self.folder = cgroup_root() / path.lstrip("/")

    def __enter__(self):
        self.folder.mkdir(parents=True)
        return self

    def __exit__(self, *args):
        self.remove()

    def start(self, *command, **kwargs):
        """Runs `command` in the cgroup: its exec is the first there. Pipes as a runtime's."""
        def enter():
            (self.folder / "cgroup.procs").write_text("0", encoding="ascii")
        kwargs = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **kwargs}
        return subprocess.Popen(command, preexec_fn=enter, **kwargs)  # pylint: disable=subprocess-popen-preexec-fn

    def processes(self):
        found = []
        for procs in self.folder.rglob("cgroup.procs"):
            found += [int(pid) for pid in procs.read_text(encoding="ascii").split()]
        return found

    def remove(self, seconds=10):
        end = time.monotonic() + seconds
        while self.folder.exists() and time.monotonic() < end:
            for pid in self.processes():
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass
            for folder in sorted(self.folder.rglob("*/"), reverse=True) + [self.folder]:
                try:
                    folder.rmdir()
                except OSError:
                    time.sleep(0.02)


class Agent:
    """`reqtap agent` with a receiver, run by the program `under` if need be; .records() are what has arrived."""

    def __init__(self, *options, receiver=None, env=None, under=()):
        self.home = tempfile.TemporaryDirectory(prefix="reqtap-node-")
        self.receiver = receiver or Receiver()
        self.options = options
        self.program, self.under = tap.REQTAP, under
        self.cwd = None
        self.env = {k: v for k, v in os.environ.items()
                    if not k.startswith(("OTEL_", "REQTAP", "KUBERNETES_")) and not k.lower().endswith("_proxy")}
        self.env.update(env or {}, OTEL_EXPORTER_OTLP_LOGS_ENDPOINT=self.receiver.url)
        self.process = None
        self.stderr = ""

    def __enter__(self):
        self.receiver.__enter__()
        try:
            self.start()
        except AssertionError:
            self.kill()
            raise
        return self

    def __exit__(self, *args):
        self.kill()
        self.receiver.__exit__(*args)
        self.home.cleanup()

    @property
    def log(self):
        path = Path(self.home.name) / "stderr"
        return path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""

    def start(self, seconds=60, wait=True):
        before = self.log.count("capturing ")
        with open(Path(self.home.name) / "stderr", "ab") as stderr:
            self.process = subprocess.Popen([*self.under, self.program, "agent", *self.options], env=self.env, cwd=self.cwd, stderr=stderr)
        end = time.monotonic() + seconds * SLOW
        while wait and self.log.count("capturing ") == before:
            assert self.process.poll() is None, self.log
            assert time.monotonic() < end, "the agent does not begin: " + self.log
            time.sleep(0.02)

    def kill(self):
        if self.process and self.process.poll() is None:
            self.process.kill()
            self.process.wait()

    def stop(self, seconds=20):
        self.process.terminate()
        return self.process.wait(timeout=seconds)

    def records(self):
        return self.receiver.records()

    def wait_for(self, count, seconds=20):
        return self.receiver.wait_for(count, seconds)

    def messages(self):
        return [r["body"] for r in self.records()]

    def rss_kib(self):
        """Resident memory that is nobody else's."""
        text = Path(f"/proc/{self.process.pid}/status").read_text(encoding="ascii")
        return int(next(line.split()[1] for line in text.splitlines() if line.startswith("RssAnon")))

    def resident_kib(self):
        """All that is resident, its binary's and libraries' pages too, but for the ring and the other maps."""
        total, counts = 0, True
        for line in Path(f"/proc/{self.process.pid}/smaps").read_text(encoding="ascii").splitlines():
            head = line.split()
            if not head[0].endswith(":"):
                counts = "anon_inode:bpf-map" not in line
            elif head[0] == "Rss:" and counts:
                total += int(head[1])
        return total


def tell(api, item):
    """Puts a pod. The agent has heard of it: of a line whose pod is not known it waits 2 s."""
    assert until(lambda: any("watch" in r["path"] for r in api.requests), 30), api.requests
    version = api.put(item)
    assert until(lambda: version in api.told, 30), api.requests


def until(condition, seconds=10, step=0.02):
    """Whether condition() came true in time."""
    end = time.monotonic() + seconds * SLOW
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(step)
    return True
