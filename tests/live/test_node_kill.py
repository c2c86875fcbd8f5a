#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The agent's own death: kill -9 at any moment under load, and what the next agent takes over.

KILLS=200 for the long run (`make kills`).
"""
import json
import os
import random
import socket
import sqlite3
import subprocess
import threading
import time
from collections import Counter
from pathlib import Path

import tap
from node_rig import PYTHON, Agent, Cgroup, until
from receiver import Fault
from tap import REQTAP, test

KILLS = int(os.environ.get("KILLS", "4"))
RATE = int(os.environ.get("RATE", "1000"))
NAME = f"reqtap-kill-{os.getpid()}"
PINS = f"/sys/fs/bpf/{NAME}"

WRITER = """
import os, sys, time
rate, name = int(sys.argv[1]), sys.argv[2]
n, begin = 0, time.monotonic()
while not os.path.exists(sys.argv[3]):
    due = int((time.monotonic() - begin) * rate)
    while n < due:
        line = b"%s line %d\\n" % (name.encode(), n)
        if n % 10 == 3:                 # in two writes
            os.write(1, line[:5])
            line = line[5:]
        os.write(1, line)
        n += 1
    time.sleep(0.002)
os.write(1, b"%s ends %d\\n" % (name.encode(), n))
"""


class Writers:
    """Processes in cgroups that write numbered lines until they are stopped."""

    def __init__(self, folder, groups, rate):
        self.stop_file = Path(folder) / "stop"
        self.processes, self.threads = [], []
        for i, group in enumerate(groups):
            process = group.start(PYTHON, "-c", WRITER, str(rate), f"w{i}", str(self.stop_file))
            self.processes.append(process)
            for pipe in (process.stdout, process.stderr):
                thread = threading.Thread(target=pipe.read, daemon=True)
                thread.start()
                self.threads.append(thread)

    def stop(self):
        self.stop_file.touch()
        for process in self.processes:
            process.wait(timeout=30)


def tally(messages, writers):
    """(lost, doubled, written, strange) of the writers' lines."""
    ends = [next((int(m.split()[2]) for m in messages if m.startswith(f"w{i} ends ")), None) for i in range(writers)]
    assert None not in ends, f"a last line is lost: {ends}"
    wanted = Counter(f"w{i} line {n}" for i in range(writers) for n in range(ends[i]))
    seen = Counter(m for m in messages if " ends " not in m)
    lost = sorted((wanted - seen).keys(), key=lambda m: int(m.split()[2]))
    strange = [m for m in seen if m not in wanted]
    return lost, sum(seen[m] - 1 for m in seen if m in wanted), sum(ends), strange


def doubled_batches(records):
    """How many lines each request repeated that had arrived before."""
    seen, repeats = set(), Counter()
    for record in records:
        if record["body"] in seen:
            repeats[record["request"]] += 1
        seen.add(record["body"])
    return sorted(repeats.values())


def unpin():
    subprocess.run([REQTAP, "agent", "--unpin", "--pin-dir", PINS], timeout=60, check=True)


class Rig:
    """Two cgroups and an agent with pins and a state directory; what is pinned goes at the end."""

    def __init__(self, *options):
        self.groups = [Cgroup(f"/{NAME}-0"), Cgroup(f"/{NAME}-1")]
        self.agent = Agent("--cgroup", f"/{NAME}-*", "--pin-dir", PINS, *options)
        self.agent.options += ("--state-dir", self.agent.home.name + "/state")

    def __enter__(self):
        for group in self.groups:
            group.__enter__()
        self.agent.__enter__()
        return self

    def __exit__(self, *args):
        self.agent.__exit__(*args)
        for group in self.groups:
            group.__exit__(*args)
        unpin()
        assert not Path(PINS).exists()

    def writers(self, rate):
        return Writers(self.agent.home.name, self.groups, rate // 2)

    def is_acknowledged(self):
        """Whether the agent has heard that all it sent has arrived."""
        with sqlite3.connect(f"file:{self.agent.home.name}/state/outbox.db?mode=ro", uri=True, timeout=5) as db:
            return not db.execute("SELECT count(*) FROM payload").fetchone()[0]

    def check(self, writers, kills, besides=(), replaced=False):
        """What the writers wrote against what arrived. A kill may repeat what was in flight: a request of each of
        the two lanes that are in use."""
        writers.stop()
        count = len(self.groups)
        assert until(lambda: sum(" ends " in m for m in self.agent.messages()) >= count, 30), self.agent.log
        time.sleep(0.5)
        records = [r for r in self.agent.records() if r["body"] not in besides]
        lost, doubled, written, strange = tally([r["body"] for r in records], count)
        repeats = doubled_batches(records)
        print(f"# {written} lines, {len(lost)} lost, {doubled} doubled, in {len(repeats)} requests: {repeats}")
        assert not lost, (len(lost), lost[:5], self.agent.log[-2000:])
        assert len(repeats) <= 2 * kills, (kills, repeats)
        assert not strange, strange[:5]
        self.check_history(count, replaced)

    def check_history(self, count, replaced):
        """The export may repeat what was in flight at a kill; who follows the log reads each line once. What was on its
        way to the disk, of the last 50 ms before a kill, may be missing there. While programs of another contract are
        replaced, both sets capture for some milliseconds: rather twice than not at all."""
        kept = subprocess.run([REQTAP, "logs", "--state-dir", self.agent.home.name + "/state", "--limit", "0", "--output",
                               "jsonl"], capture_output=True, text=True, timeout=120, check=True)
        records = [json.loads(line) for line in kept.stdout.splitlines()]
        lost, doubled, written, _ = tally([r["message"] for r in records], count)
        print(f"# history: {len(records)} records of {written} lines, {len(lost)} lost, {doubled} doubled")
        assert doubled * 100 < written if replaced else not doubled, (doubled, self.agent.log[-2000:])
        assert len(lost) * 100 < written, (len(lost), written)


@test(f"{KILLS} x kill -9 at any moment, restart after 0 to 2 s: none lost, at most what was in flight doubled")
def _():
    random.seed(int(os.environ.get("SEED", "6")))
    with Rig() as rig:
        writers = rig.writers(RATE)
        for _ in range(KILLS):
            time.sleep(random.choice((0.3, 1)) * random.random() + 0.2)
            rig.agent.kill()
            time.sleep(random.uniform(0, 2) ** 2 / 2)
            rig.agent.start(wait=random.random() < 0.8)
        rig.check(writers, KILLS)


@test("clean stop and start, with other settings: none lost, none doubled; --unpin ends it")
def _():
    with Rig() as rig:
        writers = rig.writers(RATE)
        for grace in ("1s", "2s", "3s"):
            time.sleep(0.5)
            assert rig.agent.stop() == 0, rig.agent.log
            busy = subprocess.run(["bpftool", "map", "dump", "pinned", f"{PINS}/rt_control"], capture_output=True,
                                  text=True, timeout=30, check=True)
            assert "contract" in busy.stdout, busy.stdout
            rig.agent.options += ("--lineage-grace", grace)
            rig.agent.start()
        assert rig.agent.log.count("took over") == 3, rig.agent.log
        refused = subprocess.run([REQTAP, "agent", "--unpin", "--pin-dir", PINS], capture_output=True, text=True,
                                 timeout=60, check=False)
        assert refused.returncode == 1 and "an agent uses" in refused.stderr, refused
        rig.check(writers, 0)


BROKEN = "Traceback (most recent call last):"


@test("a clean stop waits for answers that are late, and lets go of lines that wait for more: none doubled")
def _():
    with Rig() as rig, Cgroup(f"/{NAME}-2") as third:
        writers = rig.writers(RATE)
        joined = third.start("/bin/sh", "-c", f"while :; do echo '{BROKEN}' >&2; sleep 0.02; done",
                             stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        for _ in range(2):
            assert until(lambda: BROKEN in rig.agent.messages()), rig.agent.log
            rig.agent.receiver.fault = Fault.parse("slow=2,count=2")
            time.sleep(0.3)
            assert rig.agent.stop() == 0, rig.agent.log
            assert "not sent yet" not in rig.agent.log, rig.agent.log
            rig.agent.start()
        joined.kill()
        joined.communicate(timeout=30)
        rig.check(writers, 0, besides=[BROKEN])


@test("an agent of another contract replaces the maps, killed in between too: none lost")
def _():
    random.seed(7)
    with Rig() as rig:
        writers = rig.writers(RATE)
        for i in range(6):
            time.sleep(random.uniform(0.1, 0.6))
            rig.agent.kill()
            rig.agent.program = (str(Path(REQTAP).parent / "live/reqtap-other"), REQTAP)[i % 2]
            rig.agent.start(wait=i % 3 != 1)
        rig.agent.kill()
        rig.agent.start()
        assert "replaced what another version" in rig.agent.log, rig.agent.log
        rig.check(writers, 7, replaced=True)
        assert not list(Path(PINS).parent.glob(NAME + "-*")), list(Path(PINS).parent.glob(NAME + "-*"))


@test("a line that was begun before a kill and ended after it is one line, and sent once")
def _():
    with Rig() as rig:
        process = rig.groups[0].start("/bin/sh", "-c", """
            read go; printf begun; read go; printf ' and'; read go; echo ' ended'; echo next; read go""",
                                      stdin=subprocess.PIPE)
        rig.groups[1].start("/bin/echo", "another")
        assert rig.agent.wait_for(1), rig.agent.log
        assert until(rig.is_acknowledged), rig.agent.log
        # at once: after a second "begun" would be a line by itself
        process.stdin.write(b"go\n")
        process.stdin.flush()
        assert process.stdout.read(5) == b"begun"
        rig.agent.kill()
        process.stdin.write(b"go\ngo\n")
        process.stdin.flush()
        assert process.stdout.read(16) == b" and ended\nnext\n"
        rig.agent.start()
        assert until(lambda: "next" in rig.agent.messages()), rig.agent.log
        assert until(rig.is_acknowledged), rig.agent.log
        rig.agent.kill()
        rig.agent.start()
        process.communicate(b"go\n", timeout=30)
        time.sleep(1.5)
        assert sorted(rig.agent.messages()) == ["another", "begun and ended", "next"], rig.agent.messages()


SERVER = """
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        for i in range(3):
            print("line", i, flush=True)
            open(sys.argv[1]).read()
        self.send_response(204)
        self.end_headers()
    def log_message(self, *args):
        pass
server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
print("port", server.server_port, flush=True)
server.serve_forever()
"""


@test("a request that lives through a kill: its lines before, meanwhile and after have its id")
def _():
    with Rig() as rig:
        fifo = rig.agent.home.name + "/fifo"
        os.mkfifo(fifo)
        server = rig.groups[0].start(PYTHON, "-c", SERVER, fifo)
        port = int(server.stdout.readline().split()[1])
        with socket.create_connection(("127.0.0.1", port)) as client:
            client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nX-Baseten-Request-Id: lives-through-it\r\n\r\n")
            assert server.stdout.readline() == b"line 0\n"
            rig.agent.kill()
            Path(fifo).write_text("go", encoding="ascii")
            assert server.stdout.readline() == b"line 1\n"
            rig.agent.start()
            Path(fifo).write_text("go", encoding="ascii")
            assert server.stdout.readline() == b"line 2\n"
            Path(fifo).write_text("go", encoding="ascii")
            client.recv(100)
        assert until(lambda: "line 2" in rig.agent.messages()), rig.agent.messages()
        ids = {r["body"]: r["attributes"].get("request_id") for r in rig.agent.records() if "line" in r["body"]}
        assert ids == {f"line {i}": "lives-through-it" for i in range(3)}, ids


tap.main()
