#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""`reqtap logs` and `reqtap top` on what `reqtap run --state-dir` keeps.

LOGS_CASES: the servers of tests/servers/cases.py whose truth query and tail are held against, by name.
"""
import asyncio
import contextlib
import csv
import io
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from pathlib import Path

import tap
from tap import REQTAP, ROOT, finish, start, test

sys.dont_write_bytecode = True
sys.path.insert(0, str(ROOT / "tests/servers"))
import matrix  # noqa: E402
from cases import CASES  # noqa: E402

PYTHON = "/usr/bin/python3"
CASES_ASKED = os.environ.get("LOGS_CASES", "python-threads,uvicorn-uvloop-plain").split(",")
BUILD = Path(REQTAP).parent


@contextlib.contextmanager
def state():
    with tempfile.TemporaryDirectory(prefix="reqtap-logs-") as folder:
        yield folder


def call(*args, timeout=60):
    return subprocess.run([REQTAP, *args], capture_output=True, text=True, timeout=timeout, check=False)


def logs(folder, *query, options=("--limit", "0")):
    result = call("logs", "--state-dir", folder, *options, "--output", "jsonl", *query)
    assert result.returncode == 0, result.stderr
    return [json.loads(line) for line in result.stdout.splitlines()]


def one_line(result, status, *words):
    assert result.returncode == status, (result.returncode, result.stderr)
    assert len(result.stderr.splitlines()) == 1, result.stderr
    for word in words:
        assert word in result.stderr, (word, result.stderr)


def keep(folder, script, options=()):
    """What a Python script logs, kept."""
    code, records, err = finish(start(PYTHON, "-u", "-c", script, options=("--state-dir", folder, *options)))
    assert code == 0, err
    return records


class Follow:
    """`reqtap logs -f`, each record with the moment of its coming."""

    def __init__(self, folder, *query):
        self.records = []
        self.process = subprocess.Popen([REQTAP, "logs", "-f", "--state-dir", folder, "--output", "jsonl", *query],
                                        stdout=subprocess.PIPE)
        self.thread = threading.Thread(target=self.read)
        self.thread.start()

    def read(self):
        for line in self.process.stdout:
            self.records.append((time.time_ns(), json.loads(line)))

    def end(self, count):
        """Those that came, once there are `count`, and half a second later."""
        deadline = time.monotonic() + 30
        while len(self.records) < count and time.monotonic() < deadline:
            time.sleep(0.02)
        time.sleep(0.5)
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(10)
        self.thread.join(10)
        return self.records


@test("wrong usage is one line that says where and what is right", needs_capture=False)
def _():
    with state() as folder:
        one_line(call("logs", "--state-dir", folder, "level:loud"), 2, ">>>loud<<<", "debug, info")
        one_line(call("logs", "--state-dir", folder, "request_id:x"), 2, "requestId:")
        one_line(call("logs", "--state-dir", folder, "--since", "yesterday"), 2, "--since", "15m")
        one_line(call("logs", "--state-dir", folder, "--output", "xml"), 2, "jsonl")
        one_line(call("logs", "--state-dir", folder, "-f", "-o", "json"), 2, "jsonl")
        one_line(call("logs", "--state-dir", folder), 1, folder, "no history")
        one_line(call("top", "--state-dir", folder), 1, folder)
        one_line(call("run", "--listen", "0.0.0.0:0", "--state-dir", folder, "true"), 2, "--listen-token-file")
        one_line(call("run", "--listen", "nowhere", "--state-dir", folder, "true"), 2, "127.0.0.1:8430")
        one_line(call("run", "--listen", "8430", "true"), 2, "--state-dir")


def agree(name):
    case = next(case for case in CASES if case.name == name)
    with state() as folder, tempfile.TemporaryDirectory() as build:
        os.environ["REQTAP_STATE_DIR"] = folder
        try:
            follow = Follow(folder)
            truth, sent = asyncio.run(drive(case, Path(build)))
        finally:
            del os.environ["REQTAP_STATE_DIR"]
        found = logs(folder)
        for what, records in (("query", found), ("tail", [r for _, r in follow.end(len(found))])):
            result = matrix.compare(records, truth, sent, case.access)
            print(f"# {name}, {what}: {len(records)} records, {result['right']} right, {result['wrong']} wrong, "
                  f"{result['lost']} lost, {result['doubled']} doubled", flush=True)
            assert not matrix.faults(case, result), (what, matrix.faults(case, result), result["examples"])
            stamps = [int(r["timestamp"]) for r in records]
            assert stamps == sorted(stamps), f"{what}: out of order"
        for request in list(sent.values())[:5]:
            mine = logs(folder, f"requestId:{request.id}")
            assert {r["seq"] for r in mine} == {r["seq"] for r in found if r.get("request_id") == request.id}
        word = next(iter(truth)).split()[-1]
        assert [r["seq"] for r in logs(folder, f'"{word}"')] == \
            [r["seq"] for r in found if word.lower() in (r["message"] + r.get("exc_info", "")).lower()]


for server in CASES_ASKED:
    test(f"query and tail agree with what {server} wrote, exactly")(lambda name=server: agree(name))


async def drive(case, folder):
    """The case's server under `reqtap run`; (truth, requests sent)."""
    folder.mkdir(exist_ok=True)
    matrix.build(case, folder)
    upstream, upstream_port = await matrix.load.start_upstream()
    holder, port = matrix.reserve_port()
    server = matrix.Server(case, folder, port, upstream_port, REQTAP)
    try:
        sent, errors = await matrix.client(case)(port, 10, 40, case.options)
        assert not errors, errors[:3]
        await asyncio.sleep(0.3)
    finally:
        server.stop()
        holder.close()
        upstream.close()
    return matrix.read_truth(server.truth), sent


@test("-f shows each line once, in order, soon, and over a restart")
def _():
    script = "import time, sys\nfor i in range(100):\n    print('line', i); time.sleep(0.01)"
    with state() as folder:
        keep(folder, "print('before')")
        follow = Follow(folder)
        for _ in range(2):
            keep(folder, script)
        shown = follow.end(201)
    assert [r["message"] for _, r in shown] == ["before"] + [f"line {i}" for i in range(100)] * 2
    late = sorted((at - int(r["timestamp"])) / 1e6 for at, r in shown[1:])
    print(f"# shown after {late[len(late) // 2]:.0f} ms (median), {late[-1]:.0f} ms (longest)", flush=True)
    assert late[len(late) // 2] < 200, late


@test("a killed reqtap has kept what was logged")
def _():
    with state() as folder:
        run = start(PYTHON, "-u", "-c", "import time\nfor i in range(50): print('line', i)\nprint('all'); time.sleep(30)",
                    options=("--state-dir", folder))
        for line in run.stdout:
            if b'"all"' in line:
                break
        time.sleep(0.5)
        run.kill()
        run.wait(10)
        run.stdout.close()
        run.stderr.close()
        kept = [r["message"] for r in logs(folder)]
        assert kept == [f"line {i}" for i in range(50)] + ["all"], kept


@test("every output; a traceback is one record; text that would break a format does not")
def _():
    script = r"""
import sys, traceback
print('{"message": "from json, \\"quoted\\"", "level": "error", "request_id": "abc"}')
print('comma, "quote" \x1b[31m and é')
try: 1 / 0
except Exception: traceback.print_exc()
"""
    with state() as folder:
        keep(folder, script, ("--replica", "b4x9z", "--environment", "production"))
        records = logs(folder)
        assert [r["message"] for r in records][:2] == ['from json, "quoted"', 'comma, "quote" \x1b[31m and é']
        assert "ZeroDivisionError" in records[2]["exc_info"] and len(records) == 3
        assert records[0]["level"] == "ERROR" and records[0]["request_id"] == "abc" and "body" in records[0]
        assert isinstance(records[0]["timestamp"], str)
        as_json = call("logs", "--state-dir", folder, "-o", "json")
        assert json.loads(as_json.stdout) == records
        rows = list(csv.DictReader(io.StringIO(call("logs", "--state-dir", folder, "-o", "csv").stdout)))
        assert [row["message"] for row in rows] == [r["message"] for r in records]
        assert rows[2]["exc_info"] == records[2]["exc_info"] and rows[0]["replica"] == "b4x9z"
        pretty = call("logs", "--state-dir", folder, "-o", "pretty").stdout
        assert "\\x1b[31m" in pretty and "\x1b" not in pretty and "b4x9z abc from json" in pretty
        assert len(logs(folder, "zerodivision")) == 1
        assert len(logs(folder, options=("--limit", "2"))) == 2
        assert not logs(folder, options=("--until", "1h"))
        assert len(logs(folder, "environment:production", "replica:b4x9z", options=("--since", "1h"))) == 3
        assert not logs(folder, "environment:staging")


@test("--history off keeps nothing")
def _():
    with state() as folder:
        keep(folder, "print('x')", ("--history", "off"))
        assert not Path(folder, "history.db").exists()


@test("top shows the request in flight; the page and the API answer")
def _():
    with state() as folder:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        server = ("import http.server, time\n"
                  "class H(http.server.BaseHTTPRequestHandler):\n"
                  "    def do_GET(self):\n"
                  "        print('working'); time.sleep(12); self.send_response(200); self.end_headers()\n"
                  f"http.server.HTTPServer(('127.0.0.1', {port}), H).serve_forever()")
        run = start(PYTHON, "-u", "-c", server, options=("--state-dir", folder, "--listen", "0", "--replica", "b4x9z"))
        try:
            address = run.stderr.readline().decode().split("logs: ")[1].strip()
            request = urllib.request.Request(f"http://127.0.0.1:{port}/", headers={"x-baseten-request-id": "topmost"})
            deadline = time.monotonic() + 20
            while time.monotonic() < deadline:
                try:
                    socket.create_connection(("127.0.0.1", port), 1).close()
                    break
                except OSError:
                    time.sleep(0.1)
            caller = threading.Thread(target=lambda: urllib.request.urlopen(request, timeout=30).close())
            caller.start()
            time.sleep(1.5)
            top = json.loads(call("top", "--state-dir", folder, "-j").stdout)
            mine = [r for r in top["requests"] if r["request_id"] == "topmost"]
            assert mine and mine[0]["in_flight"] and mine[0]["lines"] == 1 and mine[0]["evidence"] == "thread", top
            assert "topmost" in call("top", "--state-dir", folder).stdout
            assert b"<title>" in urllib.request.urlopen(address).read()
            found = json.loads(urllib.request.urlopen(address + "api/v1/logs?q=requestId:topmost").read())["logs"]
            assert [r["message"] for r in found] == ["working"]
            caller.join(20)
        finally:
            run.send_signal(signal.SIGTERM)
            finish(run)
        assert not Path(folder, "reqtap.sock").exists()


tap.main()
