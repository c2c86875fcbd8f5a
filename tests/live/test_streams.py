#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Whose writes, by cgroup: terminals, one pipe for both streams, the runtime's own copy, floods, and the agent's own."""
import json
import os
import pty
import signal
import subprocess
import threading
import time
import tty
from pathlib import Path

import tap
from node_rig import PYTHON, Agent, Cgroup, Receiver, until
from tap import REQTAP, test

NAME = f"reqtap-streams-{os.getpid()}"
FLOOD = "import os\nline = b'f' * 199 + b'\\n'\nfor i in range(%d): os.write(1, line * 5)\n"


def reader(source, into):
    """What a runtime's shim is: reads the container's pipe and writes it somewhere else."""
    def copy():
        for line in source:
            into.write(line)
    thread = threading.Thread(target=copy)
    thread.start()
    return thread


@test("a terminal as stdout")
def _():
    ours, theirs = pty.openpty()
    tty.setraw(theirs)
    with Agent("--cgroup", f"/{NAME}-tty") as agent, Cgroup(f"/{NAME}-tty") as group:
        process = group.start("/bin/sh", "-c", "echo on the terminal; echo and its errors >&2",
                              stdin=theirs, stdout=theirs, stderr=theirs)
        process.wait(timeout=30)
        assert agent.wait_for(2), agent.log
        assert sorted(agent.messages()) == ["and its errors", "on the terminal"], agent.messages()
    os.close(ours)
    os.close(theirs)


@test("containers that are gone before the agent hears of them: no line of theirs is lost")
def _():
    with Agent("--cgroup", f"/{NAME}-short/*") as agent, Cgroup(f"/{NAME}-short"):
        agent.process.send_signal(signal.SIGSTOP)
        for n in range(20):
            with Cgroup(f"/{NAME}-short/{n}") as group:
                group.start("/bin/echo", f"container {n}").communicate(timeout=30)
        agent.process.send_signal(signal.SIGCONT)
        assert agent.wait_for(20), (len(agent.messages()), agent.log)
        assert sorted(agent.messages()) == sorted(f"container {n}" for n in range(20)), agent.messages()


@test("stdout and stderr on one pipe: each line once, in order")
def _():
    with Agent("--cgroup", f"/{NAME}-one") as agent, Cgroup(f"/{NAME}-one") as group:
        code = "for i in $(seq 50); do echo out $i; echo err $i >&2; done"
        out, _ = group.start("/bin/sh", "-c", code, stderr=subprocess.STDOUT).communicate(timeout=30)
        assert agent.wait_for(100), agent.log
        assert agent.messages() == out.decode().splitlines(), agent.messages()[:6]


@test("the runtime's copy of a container's lines is none, and other containers' lines are theirs")
def _():
    with Agent("--cgroup", f"/{NAME}-shim/*") as agent, Cgroup(f"/{NAME}-shim") as _top, \
            Cgroup(f"/{NAME}-shim/a") as one, Cgroup(f"/{NAME}-shim/b") as other, open(os.devnull, "wb") as nowhere:
        processes = [group.start("/bin/sh", "-c", f"for i in $(seq 100); do echo $BT_MODEL_ID {word} $i; done",
                                 env=dict(os.environ, BT_MODEL_ID=word))
                     for group, word in ((one, "a"), (other, "b"))]
        copies = [reader(p.stdout, nowhere) for p in processes]
        for thread in copies:
            thread.join(30)
        assert agent.wait_for(200), agent.log
        time.sleep(0.5)
        records = agent.records()
        assert sorted(r["body"] for r in records) == sorted(f"{w} {w} {i}" for w in "ab" for i in range(1, 101))
        assert all(r["attributes"]["model_id"] == r["body"][0] for r in records)


@test("the agent's own output is none, in a container that is captured")
def _():
    with Receiver() as receiver, Cgroup(f"/{NAME}-self") as group:
        process = group.start("/bin/sh", "-c", f"echo before; '{REQTAP}' agent --cgroup /{NAME}-self & read go;"
                              " echo beside; sleep 1; kill $!; wait", stdin=subprocess.PIPE,
                              env=dict(os.environ, OTEL_EXPORTER_OTLP_LOGS_ENDPOINT=receiver.url))
        said = b""
        while b"capturing" not in said:
            said = process.stderr.readline()
            assert said, "the agent ended"
        _, more = process.communicate(b"go\n", timeout=30)
        assert receiver.wait_for(1, 20), more
        time.sleep(0.5)
        assert [r["body"] for r in receiver.records()] == ["beside"], (receiver.records(), more)


@test("streams of containers that are gone are forgotten")
def _():
    pins = Path("/sys/fs/bpf") / NAME

    def streams():
        dump = subprocess.run(["bpftool", "-j", "map", "dump", "pinned", pins / "rt_stream"], capture_output=True,
                              check=True, timeout=20)
        return len(json.loads(dump.stdout))

    with Agent("--cgroup", f"/{NAME}-gone/*", "--pin-dir", str(pins)) as agent:
        for n in range(4):
            with Cgroup(f"/{NAME}-gone/c{n}") as group:
                group.start("/bin/echo", f"container {n}").communicate(timeout=30)
                assert streams() > 0
        assert until(lambda: streams() == 0, 20, 0.5), streams()
        assert agent.wait_for(4), agent.log
        assert agent.stop() == 0, agent.log
    Cgroup(f"/{NAME}-gone").remove()
    subprocess.run([REQTAP, "agent", "--unpin", "--pin-dir", pins], check=True, timeout=20)


def lost(agent):
    """(bytes, writes) that the agent's own records tell of."""
    told = [m.split() for m in agent.messages() if m.startswith("reqtap: ") and "budget" in m]
    return sum(int(words[1]) for words in told), sum(int(words[4]) for words in told)


def flood_is_accounted_for(agent, writes):
    def whole():
        kept = sum(m == "f" * 199 for m in agent.messages())
        return kept > 0 and lost(agent)[0] + kept * 200 == writes * 1000
    assert until(whole, 30, 0.5), (lost(agent), len(agent.messages()), agent.log)
    assert lost(agent)[1] > 0


def calm_is_whole(agent):
    assert until(lambda: sum(m.startswith("calm") for m in agent.messages()) >= 100, 20), agent.log
    assert [m for m in agent.messages() if m.startswith("calm")] == [f"calm {i}" for i in range(1, 101)]


@test("a container is held to its budget, what it lost is counted and told, and another loses nothing")
def _():
    with Agent("--cgroup", f"/{NAME}-fair/*", "--budget", "256K") as agent, Cgroup(f"/{NAME}-fair") as _top, \
            Cgroup(f"/{NAME}-fair/flood") as flood, Cgroup(f"/{NAME}-fair/calm") as calm, \
            open(os.devnull, "wb") as nowhere:
        loud = flood.start(PYTHON, "-c", FLOOD % 20000)
        quiet = calm.start("/bin/sh", "-c", "for i in $(seq 100); do echo calm $i; sleep 0.01; done")
        for thread in [reader(p.stdout, nowhere) for p in (loud, quiet)]:
            thread.join(60)
        calm_is_whole(agent)
        flood_is_accounted_for(agent, 20000)


@test("without a budget, a flood leaves room in the ring for the others")
def _():
    with Agent("--cgroup", f"/{NAME}-ring/*", "--ring-size", "1M") as agent, Cgroup(f"/{NAME}-ring") as _top, \
            Cgroup(f"/{NAME}-ring/flood") as flood, Cgroup(f"/{NAME}-ring/calm") as calm, \
            open(os.devnull, "wb") as nowhere:
        agent.process.send_signal(signal.SIGSTOP)
        loud = flood.start(PYTHON, "-c", FLOOD % 3000)
        reader(loud.stdout, nowhere).join(60)
        quiet = calm.start("/bin/sh", "-c", "for i in $(seq 100); do echo calm $i; done")
        reader(quiet.stdout, nowhere).join(60)
        agent.process.send_signal(signal.SIGCONT)
        calm_is_whole(agent)
        flood_is_accounted_for(agent, 3000)


tap.main()
