#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""`reqtap agent` shows its credential nowhere: not in output, logs, state files, maps, answers, /proc or a core."""
import base64
import os
import re
import resource
import signal
import subprocess
import tempfile
import urllib.request
from pathlib import Path

import tap
from node_rig import Agent, Cgroup, until
from receiver import Fault, Receiver

NAME = f"/reqtap-credential-{os.getpid()}"
PINS = f"/sys/fs/bpf/reqtap-credential-{os.getpid()}"
SECRET = "zq8-very-secret-value-4711"
FORMS = [SECRET.encode(), base64.b64encode(SECRET.encode()), SECRET.encode().hex().encode(), SECRET[::-1].encode()]
UNREADABLE = {"mem", "pagemap", "clear_refs", "kpagecgroup", "attr"}


def search(data, where):
    for form in FORMS:
        assert form not in data, f"the credential is in {where}"


def search_files(folder):
    """Returns how many files there were."""
    count = 0
    for path in Path(folder).rglob("*"):
        if path.is_file() and not path.is_symlink():
            search(path.read_bytes(), path)
            count += 1
    return count


def search_proc(pid):
    """Every entry of the process and its threads that can be read. Returns how many."""
    count = 0
    for root, folders, names in os.walk(f"/proc/{pid}"):
        folders[:] = [f for f in folders if f not in UNREADABLE | {"net", "cwd", "root"}]
        for name in set(names) - UNREADABLE:
            path = Path(root) / name
            try:
                if path.is_symlink():
                    search(os.readlink(path).encode(), path)
                else:
                    with open(path, "rb") as entry:
                        search(entry.read(1 << 22), path)
                count += 1
            except OSError:
                pass
    return count


def output(*command, value=None):
    done = subprocess.run(command, input=value, capture_output=True, timeout=60, check=False)
    return done.stdout + done.stderr


def set_connection(state, url):
    said = output(tap.REQTAP, "connection", "set", "--state-dir", state, "--endpoint", url, "--header-name", "x-key",
                  "--header-value-file", "-", value=SECRET.encode())
    search(said, "connection set")
    assert b"x-key" in output(tap.REQTAP, "connection", "show", "--state-dir", state)


def mount(folder, url):
    for name, text in (("endpoint", url), ("header-name", "x-key"), ("header-value", SECRET)):
        (Path(folder) / name).write_text(text, encoding="ascii")


def core_files(folder):
    """Cores of processes that ran in the folder, or None where the system has another place for them."""
    pattern = Path("/proc/sys/kernel/core_pattern").read_text(encoding="ascii").strip()
    return None if pattern.startswith(("/", "|")) else list(Path(folder).glob("*core*"))


def search_cores(agent, folder):
    """One that root's debugger takes has nothing of it; one that the kernel writes there is none."""
    output("gcore", "-o", folder + "/taken", str(agent.process.pid))
    taken = Path(folder) / f"taken.{agent.process.pid}"
    assert b"CORE" in taken.read_bytes()[:65536]  # the note that each core has
    search(taken.read_bytes(), "gcore's core")
    taken.unlink()
    agent.process.send_signal(signal.SIGABRT)
    assert agent.process.wait(timeout=20) == -signal.SIGABRT
    assert not core_files(folder), core_files(folder)
    if core_files(folder) is not None:  # where another leaves one
        victim = subprocess.Popen(["/bin/sleep", "1000"], cwd=folder)
        victim.send_signal(signal.SIGABRT)
        victim.wait(timeout=20)
        assert core_files(folder), "no program leaves a core here: the search of the agent's proves nothing"


def exercise(agent, group, receiver):
    """Refused in words that repeat the credential, tried again, accepted."""
    receiver.fault = Fault.parse(f"503,message=no {SECRET} here,count=2")
    writer = group.start("/bin/sh", "-c", "echo one; echo two >&2; read go; echo three", stdin=subprocess.PIPE)
    assert agent.wait_for(2), agent.log
    assert receiver.last_headers["x-key"] == SECRET, receiver.last_headers
    receiver.fault = Fault.parse(f"400,message={SECRET} is wrong,count=1")
    writer.communicate(b"go\n", timeout=20)
    assert until(lambda: receiver.stats().get("status_400")), receiver.stats()


def answers(agent, receiver, state):
    url = re.search(r"http://127\.0\.0\.1:\d+", agent.log)[0]
    for path in ("/metrics", "/status", "/api/v1/status", "/healthz", "/readyz"):
        with urllib.request.urlopen(url + path, timeout=10) as answer:
            yield path, answer.read()
    for command in (["status"], ["status", "-j"], ["connection", "show"], ["connection", "test"], ["logs", "--since", "1h"]):
        yield command, output(tap.REQTAP, *command, "--state-dir", state)
    receiver.fault = Fault.parse(f"403,message={SECRET},count=1")
    yield "connection test", output(tap.REQTAP, "connection", "test", "--state-dir", state)
    for pinned in Path(PINS).glob("rt_*"):
        if pinned.name != "rt_ring":
            yield pinned, output("bpftool", "map", "dump", "pinned", str(pinned))


def unseen(from_mount):
    resource.setrlimit(resource.RLIMIT_CORE, (resource.getrlimit(resource.RLIMIT_CORE)[1],) * 2)
    with tempfile.TemporaryDirectory(prefix="reqtap-credential-") as state, \
            tempfile.TemporaryDirectory(prefix="reqtap-mount-") as mounted, \
            Receiver(credentials=("x-key", {SECRET})) as receiver, Cgroup(NAME) as group:
        options = ["--cgroup", NAME, "--state-dir", state, "--pin-dir", PINS, "--listen", "127.0.0.1:0", "-v"]
        if from_mount:
            mount(mounted, receiver.url)
            options += ["--secret-dir", mounted]
        else:
            set_connection(state, receiver.url)
        agent = Agent(*options, receiver=receiver)
        agent.cwd = agent.home.name  # where it would leave a core
        del agent.env["OTEL_EXPORTER_OTLP_LOGS_ENDPOINT"]
        try:
            agent.start()
            exercise(agent, group, receiver)
            assert until(lambda: "one" in output(tap.REQTAP, "logs", "--state-dir", state).decode(), 20)
            for where, said in answers(agent, receiver, state):
                search(said, where)
            assert search_proc(agent.process.pid) > 50
            search_cores(agent, agent.home.name)
            search(agent.log.encode(), "its log")
            assert search_files(state) >= 4
        finally:
            agent.kill()
            agent.home.cleanup()
            output(tap.REQTAP, "agent", "--unpin", "--pin-dir", PINS)


@tap.test("a credential that was set is seen nowhere, though the destination repeats it")
def _():
    unseen(from_mount=False)


@tap.test("nor is one that is mounted")
def _():
    unseen(from_mount=True)


tap.main()
