#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Servers that restart at random under load, captured by one reqtap for TIME seconds.

At the end, with all of them gone, the maps of requests and owners must return to empty; no line
may have had a wrong id, and reqtap's memory must not have grown since the first third.
"""
import argparse
import asyncio
import json
import os
import random
import re
import signal
import statistics
import subprocess
import sys
import time
from pathlib import Path

sys.dont_write_bytecode = True
sys.path.insert(0, str(Path(__file__).resolve().parent))
import load  # noqa: E402
import matrix  # noqa: E402
from cases import CASES  # noqa: E402

NAMES = ("python-threads", "uvicorn-asyncio-plain", "uvicorn-uvloop-pooled", "go-net-http")
MAPS = ("rt_request", "rt_owner", "rt_inflight")
EMPTY_S = 150  # a request is kept for a minute after its end, and swept each few seconds
GROWTH = 1.10


def serve(command, lives):
    """Under reqtap: the command again and again, each life some seconds long; on SIGTERM none is left."""
    child, ended = None, False

    def end(*_):
        nonlocal ended
        ended = True
        if child:
            child.kill()

    signal.signal(signal.SIGTERM, end)
    chance = random.Random(os.getpid())
    while not ended:
        with subprocess.Popen(command) as child:
            try:
                child.wait(chance.uniform(*lives))
            except subprocess.TimeoutExpired:
                child.send_signal(chance.choice((signal.SIGTERM, signal.SIGKILL)))
                try:
                    child.wait(5)
                except subprocess.TimeoutExpired:
                    child.kill()
    signal.pause()  # the capture goes on until the maps have been looked at


class Watch:
    """Counts what the records say, as they come."""

    def __init__(self):
        self.sent, self.records, self.with_id, self.wrong = {}, 0, 0, []

    def record(self, record):
        self.records += 1
        got = record.get("request_id")
        token = re.search(r"\b(s\d+n\d+)\b", record["message"])
        if got is None:
            return
        self.with_id += 1
        if not token or self.sent.get(token[1]) != got:
            self.wrong = self.wrong[:20] + [record]


def request_of(watch, name, number):
    request = load.Request("soak", f"s{name}n{number}", number, {})
    watch.sent[request.token] = request.id
    watch.sent.pop(f"s{name}n{number - 50000}", None)
    return request


async def drive(watch, name, port, numbers, until):
    """One connection that begins anew whenever its server dies."""
    done = 0
    while time.monotonic() < until:
        writer = None
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            for _ in range(random.randrange(1, 200)):
                if time.monotonic() > until:
                    break
                await asyncio.wait_for(load.send(writer, request_of(watch, name, next(numbers))), 5)
                _, close = await asyncio.wait_for(load.read_response(reader), 5)
                done += 1
                if close:
                    break
        except (OSError, EOFError, ValueError, asyncio.TimeoutError):
            await asyncio.sleep(0.2)
        finally:
            if writer:
                writer.close()
    return done


async def read_records(stream, watch):
    while line := await stream.readline():
        watch.record(json.loads(line))


def resident_kib(pid):
    return int(re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{pid}/status").read_text(encoding="ascii"))[1])


def map_ids(pid):
    """{name: id} of the maps that the process holds."""
    shown = json.loads(subprocess.run(["bpftool", "-j", "map", "show"], capture_output=True, check=True).stdout)
    held = set()
    for info in Path(f"/proc/{pid}/fdinfo").iterdir():
        found = re.search(r"^map_id:\s+(\d+)", info.read_text(encoding="ascii"), re.M)
        held.update([int(found[1])] if found else [])
    return {entry.get("name"): entry["id"] for entry in shown if entry["id"] in held}


def entries(map_id):
    shown = subprocess.run(["bpftool", "-j", "map", "dump", "id", str(map_id)], capture_output=True, check=True).stdout
    return len(json.loads(shown))


async def listening(ports):
    for port in ports:
        deadline = time.monotonic() + matrix.START_S
        while True:
            try:
                (await asyncio.open_connection("127.0.0.1", port))[1].close()
                break
            except OSError:
                if time.monotonic() > deadline:
                    raise
                await asyncio.sleep(0.1)


async def sample(pid, sizes, until):
    while time.monotonic() < until:
        sizes.append(resident_kib(pid))
        await asyncio.sleep(1)


async def empty(pid):
    """Seconds until the maps are empty, or what is left in them."""
    ids, start = map_ids(pid), time.monotonic()
    left = {name: entries(ids[name]) for name in MAPS}
    while any(left.values()) and time.monotonic() < start + EMPTY_S:
        await asyncio.sleep(2)
        left = {name: entries(ids[name]) for name in MAPS}
    return time.monotonic() - start, left


async def soak(output, seconds):
    watch, sizes, holders = Watch(), [], []
    upstream, upstream_port = await load.start_upstream()
    folder = output / "servers" / "soak"
    folder.mkdir(parents=True, exist_ok=True)
    cases = [case for case in CASES if case.name in NAMES]
    commands = []
    for case in cases:
        matrix.build(case, folder)
        holder, port = matrix.reserve_port()
        holders.append(holder)
        words = {"port": port, "build": folder, "here": matrix.HERE}
        commands.append({
            "command": [part.format(**words) for part in case.command], "port": port,
            "env": {"PORT": str(port), "TRUTH": "/dev/null", "BUILD": str(folder), "PYTHONUNBUFFERED": "1",
                    "UPSTREAM": f"127.0.0.1:{upstream_port}", **case.env}})
    process = await asyncio.create_subprocess_exec(
        str(output / "reqtap"), "run", "--output", "json", "--", sys.executable, __file__, "--serve",
        json.dumps(commands), stdout=subprocess.PIPE, limit=1 << 24)
    await listening([command["port"] for command in commands])
    until = time.monotonic() + seconds
    numbers = iter(range(1 << 60))
    jobs = [drive(watch, name, command["port"], numbers, until)
            for name, command in enumerate(commands) for _ in range(8)]
    reading = asyncio.create_task(read_records(process.stdout, watch))
    try:
        done = sum((await asyncio.gather(*jobs, sample(process.pid, sizes, until)))[:-1])
        for pid in Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text(encoding="ascii").split():
            os.kill(int(pid), signal.SIGUSR1)
        waited, left = await empty(process.pid)
    finally:
        process.send_signal(signal.SIGTERM)
        await asyncio.wait_for(process.wait(), 60)
        await reading
        upstream.close()
        for holder in holders:
            holder.close()
    return watch, sizes, done, waited, left


def serve_all(commands):
    """The parent of one serve() for each command; SIGUSR1 ends the servers, SIGTERM all."""
    children = []
    for command in commands:
        pid = os.fork()
        if pid == 0:
            signal.signal(signal.SIGUSR1, signal.SIG_DFL)
            os.environ.update(command["env"])
            serve(command["command"], (5, 20))
            os._exit(0)
        children.append(pid)

    def pass_on(*_):
        for pid in children:
            os.kill(pid, signal.SIGTERM)

    def end(*_):
        for pid in children:
            os.kill(pid, signal.SIGKILL)
        os._exit(0)

    signal.signal(signal.SIGUSR1, pass_on)
    signal.signal(signal.SIGTERM, end)
    while True:
        signal.pause()


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path, default=Path("build"))
    parser.add_argument("--time", type=int, default=1800, help="seconds")
    parser.add_argument("--serve", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.serve:
        serve_all(json.loads(args.serve))
    watch, sizes, done, waited, left = asyncio.run(soak(args.output.resolve(), args.time))
    third = max(1, len(sizes) // 3)
    growth = statistics.median(sizes[-third:]) / statistics.median(sizes[third:2 * third] or sizes)
    bad = [f"{len(watch.wrong)} wrong ids, the first {watch.wrong[0]}"] if watch.wrong else []
    if any(left.values()):
        bad.append(f"after {waited:.0f} s the maps hold {left}")
    if growth > GROWTH:
        bad.append(f"memory grew by a factor of {growth:.2f}")
    if not watch.with_id:
        bad.append("no line had an id")
    print(f"{'FAIL' if bad else 'ok'} soak: {done} requests in {args.time} s, {watch.records} lines, {watch.with_id} with id, "
          f"{len(watch.wrong)} wrong; maps empty after {waited:.0f} s; memory {sizes[-1]} KiB, "
          f"{growth:.3f} of the second third; {'; '.join(bad)}")
    return len(bad) > 0


if __name__ == "__main__":
    sys.exit(main())
