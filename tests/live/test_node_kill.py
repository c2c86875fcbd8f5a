#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The agent's own death: kill -9 at any moment under load, and what the next agent takes over.

KILLS=200 for the long run (`make kills`).
"""
import os
import random
import subprocess
import threading
import time
from collections import Counter
from pathlib import Path

import tap
from node_rig import PYTHON, Agent, Cgroup, until
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


def unpin():
    subprocess.run([REQTAP, "agent", "--unpin", "--pin-dir", PINS], timeout=60, check=True)


def check_ends(agent, writers):
    assert until(lambda: sum(" ends " in m for m in agent.messages()) >= writers, 30), agent.log


@test(f"{KILLS} x kill -9 at any moment, restart after 0 to 2 s: none lost, at most a batch doubled each time")
def _():
    random.seed(int(os.environ.get("SEED", "6")))
    with Cgroup(f"/{NAME}-0") as one, Cgroup(f"/{NAME}-1") as two:
        agent = Agent("--cgroup", f"/{NAME}-*", "--pin-dir", PINS)
        agent.options += ("--state-dir", agent.home.name + "/state")
        try:
            with agent:
                writers = Writers(agent.home.name, [one, two], RATE // 2)
                for _ in range(KILLS):
                    time.sleep(random.choice((0.3, 1)) * random.random() + 0.2)
                    agent.kill()
                    time.sleep(random.uniform(0, 2) ** 2 / 2)
                    agent.start(wait=random.random() < 0.8)
                writers.stop()
                check_ends(agent, 2)
                time.sleep(0.5)
                lost, doubled, written, strange = tally(agent.messages(), 2)
                log = agent.log
        finally:
            unpin()
    print(f"# {KILLS} kills, {written} lines, {len(lost)} lost, {doubled} doubled, {len(strange)} strange")
    assert not lost, (len(lost), lost[:5], log[-2000:])
    # what a batch holds, of 200 ms
    assert doubled <= KILLS * RATE * 0.25, doubled
    assert not strange, strange[:5]
    assert not Path(PINS).exists()


tap.main()
