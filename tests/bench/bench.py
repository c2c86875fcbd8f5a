#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Measures the budgets, as ratios to the plain program in the same run.

Plain and captured runs alternate, so that a machine whose speed drifts does not lie; each figure
is the median of the pairs, with its spread. Writes bench.json and bench.png under build/bench/.
"""
import argparse
import http.server
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from receiver import Receiver  # noqa: E402


class Sink(http.server.BaseHTTPRequestHandler):
    """Takes what is posted, at the least cost; counts the bytes."""

    protocol_version = "HTTP/1.1"
    requests = 0
    received = 0

    def do_POST(self):
        left = int(self.headers["content-length"])
        Sink.requests += 1
        Sink.received += left
        while left:
            left -= len(self.rfile.read(min(left, 1 << 20)))
        self.send_response(200)
        self.send_header("content-type", "application/x-protobuf")
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *args):
        pass


def sink():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Sink)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return f"http://127.0.0.1:{server.server_port}/v1/logs"


class Bench:
    def __init__(self, output, pairs):
        self.output, self.pairs = output, pairs
        self.reqtap = str(output / "reqtap")
        self.writer = str(output / "bench" / "writer")
        self.calls = str(output / "bench" / "calls")
        self.tmp = tempfile.TemporaryDirectory()
        self.report = self.tmp.name + "/report"

    def read_report(self):
        return [float(x) for x in Path(self.report).read_text(encoding="ascii").split()]

    def plain(self, size, lines, rate=0):
        """Seconds per write into a drained pipe, without reqtap."""
        writer = subprocess.Popen([self.writer, str(size), str(lines), self.report, str(rate)], stdout=subprocess.PIPE)
        subprocess.run(["cat"], stdin=writer.stdout, stdout=subprocess.DEVNULL, check=True)
        assert writer.wait() == 0
        return self.read_report()

    def captured(self, size, lines, endpoint=None, rate=0):
        """The same under `reqtap run`; also reqtap's own CPU and what it says it lost."""
        env = dict(os.environ)
        for name in list(env):
            if name.startswith("OTEL_"):
                del env[name]
        if endpoint:
            env["OTEL_EXPORTER_OTLP_LOGS_ENDPOINT"] = endpoint
        before = os.times()
        done = subprocess.run(
            [self.reqtap, "run", "--output", "none", "--", self.writer, str(size), str(lines), self.report, str(rate)],
            env=env, stderr=subprocess.PIPE, text=True, check=True, timeout=300)
        after = os.times()
        cpu = after.children_user - before.children_user + after.children_system - before.children_system
        lost = sum(int(n) for n in re.findall(r"(\d+) (?:lines|writes|records) lost", done.stderr))
        report = self.read_report()
        return {"per_write": report[0], "wall": report[1], "agent_cpu": cpu - report[2], "lost": lost}

    def write_cost(self):
        rows = {}
        for size in (100, 200, 2000, 60000):
            lines = 100000 if size <= 2000 else 10000
            ratios = []
            for _ in range(self.pairs):
                plain = self.plain(size, lines)[0]
                ratios.append(self.captured(size, lines)["per_write"] / plain - 1)
            rows[str(size)] = spread(ratios)
        return {"what": "time added to a captured write, as a part of the plain write", "by_bytes": rows}

    def call_cost(self):
        names, ratios = ("getppid", "read", "write"), ([], [], [])
        for _ in range(self.pairs):
            plain = self.run_calls()
            watch = subprocess.Popen([self.reqtap, "run", "--output", "none", "--", "sleep", "60"])
            time.sleep(2)
            beside = self.run_calls()
            watch.terminate()
            watch.wait()
            for i in range(3):
                ratios[i].append(beside[i] / plain[i] - 1)
        return {"what": "time added to unrelated system calls, as a part of the plain call",
                "by_call": {n: spread(r) for n, r in zip(names, ratios)}}

    def run_calls(self):
        return [float(x) for x in subprocess.run([self.calls], capture_output=True, text=True, check=True).stdout.split()]

    def line_cost(self):
        endpoint, lines, cpu, lost, rate = sink(), 1000000, [], 0, []
        for _ in range(min(self.pairs, 3)):
            run = self.captured(200, lines, endpoint)
            cpu.append(run["agent_cpu"])
            lost += run["lost"]
            rate.append(lines / run["wall"])
        return {"what": "agent CPU-seconds for a million 200-byte JSON lines to a gzip POST (budget 1.0)",
                "cpu_seconds": spread(cpu), "lines_a_second": spread(rate), "lost": lost,
                "requests": Sink.requests, "bytes_a_line": Sink.received / lines / len(cpu)}

    def rate(self):
        rows = []
        for target in (50000, 100000, 200000, 300000):
            run = self.captured(200, target * 3, rate=target)
            rows.append({"target": target, "reached": target * 3 / run["wall"], "lost": run["lost"]})
        return {"what": "lines a second for 3 s, and what was lost of them", "rows": rows}


    def latency(self):
        """A line each 100 ms, from its write to its arrival."""
        with Receiver() as receiver:
            env = dict(os.environ, OTEL_EXPORTER_OTLP_LOGS_ENDPOINT=receiver.url)
            subprocess.run([self.reqtap, "run", "--output", "none", "--", "/usr/bin/python3", "-u", "-c",
                            "import time\nfor i in range(300):\n    print('line', i); time.sleep(0.1)"],
                           env=env, check=True, timeout=120)
            late = sorted((r["arrival_ns"] - r["time_unix_nano"]) / 1e6 for r in receiver.records())
        return {"what": "ms from write to arrival, a line each 100 ms (budget p99 100)", "lines": len(late),
                "p50": late[len(late) // 2], "p99": late[len(late) * 99 // 100], "max": late[-1]}


def spread(values):
    return {"median": statistics.median(values), "min": min(values), "max": max(values), "runs": len(values)}


def plot(results, path):
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(1, 2, figsize=(10, 4))
    for axis, (key, inner, title, budget) in zip(axes, (
            ("write_cost", "by_bytes", "added to a captured write (bytes)", 0.5),
            ("call_cost", "by_call", "added to other system calls", None))):
        if key not in results:
            continue
        rows = results[key][inner]
        medians = [r["median"] for r in rows.values()]
        errors = [[r["median"] - r["min"] for r in rows.values()], [r["max"] - r["median"] for r in rows.values()]]
        axis.bar(list(rows), medians, yerr=errors, color="#4477aa", capsize=4)
        if budget:
            axis.axhline(budget, color="#cc3311", linestyle="--", label=f"budget {budget}")
            axis.legend()
        axis.set_title(title)
        axis.set_ylabel("part of the plain call")
    figure.tight_layout()
    figure.savefig(path, dpi=110)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path, default=Path("build"))
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--only", default="")
    args = parser.parse_args()
    bench, results = Bench(args.output.resolve(), args.pairs), {}
    for name in ("write_cost", "call_cost", "line_cost", "rate", "latency"):
        if args.only in name:
            print(f"{name} …", flush=True)
            results[name] = getattr(bench, name)()
            print(json.dumps(results[name], indent=2), flush=True)
    (args.output / "bench" / "bench.json").write_text(json.dumps(results, indent=2), encoding="utf-8")
    plot(results, args.output / "bench" / "bench.png")
    print(f"saved {args.output}/bench/bench.json and bench.png")


main()
