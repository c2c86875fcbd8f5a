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
sys.path.insert(0, str(Path(__file__).resolve().parent))
sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "vm"))
import services  # noqa: E402
import vm  # noqa: E402
from receiver import Receiver  # noqa: E402

# what tests/bench/history.c writes: a request's id, a phrase that one line in a million has, a word of it, a common one
HISTORY_QUERIES = ("request", '"checkpoint shard mismatch"', "shard", "tokenized")
NEWEST = vm.KERNELS.split()[-1]
FLUENT_BIT = {"cpu_seconds": 12.07, "with_multiline": 14.04, "with_kubernetes_filter": 25.15,
              "source": "measured with Fluent Bit 5.1, 2 cores: CRI file to OTLP/HTTP gzip, 2 million lines, 3 runs"}


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

    def cost(self):
        """Time added to calls: tests/bench/cost.c, in the syscall plan on this kernel."""
        done = subprocess.run([self.output / "bench/cost", "syscall", str(self.pairs)], capture_output=True, text=True,
                              check=True, timeout=600)
        return {"what": "time added to a call, as a part of the plain one (budget for a 200-byte write: 0.5)",
                "rows": self.cost_rows(done.stdout)}

    def guest(self):
        """The same in both plans, on the newest kernel under emulation, where a ratio holds and a time does not."""
        jobs = [{"name": plan, "env": {}, "command": ["build/bench/cost", plan, "3"]} for plan in vm.PLANS]
        (self.output / "vmtest").mkdir(exist_ok=True)
        base = vm.image.base(self.output, self.output / "vmtest/root")
        try:
            reports = vm.run_guest(NEWEST, self.output, base, jobs)
        except vm.kernels.Missing as missing:
            return {"what": f"not measured: {missing}", "plans": {}}
        done = [plan for plan in vm.PLANS if plan in reports and reports[plan]["code"] == 0]
        return {"what": f"time added to a call on {NEWEST} in a guest, as a part of the plain one",
                "plans": {plan: self.cost_rows(reports[plan]["text"]) for plan in done},
                "failed": {plan: reports.get(plan, "the guest died") for plan in vm.PLANS if plan not in done}}

    @staticmethod
    def cost_rows(text):
        rows = []
        for line in text.splitlines():
            row = json.loads(line)
            pairs = list(zip(row["plain_ns"], row["captured_ns"]))
            rows.append({"what": f"{row['row']} {row['bytes'] or ''}".strip(), "who": row["who"], "writers": row["writers"],
                         "plain_ns": spread(row["plain_ns"]), "added_ns": spread([c - p for p, c in pairs]),
                         "part": spread([c / p - 1 for p, c in pairs]), "events": row["events"], "lost": row["lost"]})
        return rows

    def stage(self, last, kind, size, lines=300000, replicas=1, requests=1):
        done = subprocess.run([self.output / "bench/stages", last, kind, str(size), str(lines), str(replicas), str(requests)],
                              capture_output=True, text=True, check=True, timeout=300)
        return json.loads(done.stdout)

    def stages(self):
        """CPU a million lines by stage, without a kernel side: each is what it adds to the one before."""
        rows = []
        for kind, size, replicas in (("json", 100, 1), ("json", 200, 1), ("json", 1000, 1), ("plain", 200, 1),
                                     ("json", 200, 100)):
            row, before = {"kind": kind, "bytes": size, "replicas": replicas}, 0
            for last in ("line", "record", "encode", "gzip"):
                runs = [self.stage(last, kind, size, replicas=replicas, requests=100) for _ in range(3)]
                total = min(r["cpu_s"] * 1e6 / r["lines"] for r in runs)
                row[last], before = round(total - before, 4), total
            row["all"] = before
            rows.append(row)
        return {"what": "CPU-seconds a million lines, by stage (the best of 3)", "rows": rows}

    def instructions(self):
        """The same by callgrind, which repeats: instructions a line, the start left out."""
        rows = {}
        for last in ("line", "record", "encode", "gzip"):
            counts = []
            for lines in (4096, 3 * 4096):
                done = subprocess.run(["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null",
                                       self.output / "bench/stages", last, "json", "200", str(lines)],
                                      capture_output=True, text=True, check=True, timeout=300)
                counts.append(int(re.search(r"refs:\s+([\d,]+)", done.stderr)[1].replace(",", "")))
            rows[last] = (counts[1] - counts[0]) / (2 * 4096)
        return {"what": "instructions a 200-byte JSON line up to the stage", "rows": rows}

    def growth(self):
        """Cost and memory over replicas and over requests in flight."""
        rows = []
        for replicas, requests in ((1, 10), (10, 10), (100, 10), (1000, 10), (1, 100), (1, 1000), (1, 10000), (1, 100000)):
            runs = [self.stage("encode", "json", 200, replicas=replicas, requests=requests) for _ in range(3)]
            best = min(runs, key=lambda r: r["cpu_s"])
            rows.append({"replicas": replicas, "requests": requests, "cpu_us_a_line": best["cpu_s"] * 1e6 / best["lines"],
                         "with_id": best["with_id"] / best["lines"], "rss_mib": best["rss_kib"] / 1024})
        return {"what": "CPU a line and memory, without a kernel side", "rows": rows}

    def line_cost(self):
        """All of it, from write() to the receiver's answer; the start of the agent is taken off."""
        endpoint, lines, cpu, lost, rate, start = sink(), 1000000, [], 0, [], []
        for _ in range(min(self.pairs, 3)):
            start.append(self.captured(200, 64, endpoint)["agent_cpu"])
            run = self.captured(200, lines, endpoint)
            cpu.append(run["agent_cpu"] - start[-1])
            lost += run["lost"]
            rate.append(lines / run["wall"])
        return {"what": "agent CPU-seconds for a million 200-byte JSON lines to a gzip POST (budget 1.0)",
                "cpu_seconds": spread(cpu), "start_cpu_seconds": spread(start), "lines_a_second": spread(rate), "lost": lost,
                "requests": Sink.requests, "bytes_a_line": Sink.received / lines / len(cpu), "fluent_bit": FLUENT_BIT}

    def rate(self):
        rows = []
        for target in (50000, 100000, 200000, 300000):
            run = self.captured(200, target * 3, sink(), rate=target)
            rows.append({"target": target, "reached": target * 3 / run["wall"], "lost": run["lost"]})
        return {"what": "lines a second for 3 s from one writer, and what was lost of them", "rows": rows}

    def history(self):
        """Answers from a cold file of 1 and 10 million records, and the export beside 100,000 records a second."""
        rows = []
        for records in (1000000, 3000000, 10000000):
            with tempfile.TemporaryDirectory(dir=self.output) as folder:
                filled = self.bench_history("fill", folder, str(records))[0]
                asked = [self.bench_history("ask", folder, *HISTORY_QUERIES) for _ in range(self.pairs)]
                rows.append({"records": records, "file_mb": filled["file_bytes"] / 1e6,
                             "records_a_second": records / filled["seconds"], "cpu_s_a_million": filled["cpu_s_per_million"],
                             "ms": {runs[0]["query"]: spread([r["ms"] for r in runs]) for runs in zip(*asked)},
                             "reads": {r["query"]: r["reads"] for r in asked[-1]}})
        return {"what": "ms to the newest 1,000 that match, from a file in no cache", "rows": rows}

    def bench_history(self, *args):
        done = subprocess.run([self.output / "bench/history", *args], capture_output=True, text=True, check=True, timeout=300)
        return [json.loads(line) for line in done.stdout.splitlines()]

    def ingest(self):
        """Export at 100,000 records a second, with and without history in turns."""
        endpoint, seconds, rows, thinned = sink(), 4, {"off": [], "on": []}, 0
        for _ in range(self.pairs):
            for what in ("off", "on"):
                with tempfile.TemporaryDirectory(dir=self.output) as folder:
                    done = subprocess.run(
                        [self.output / "bench/ship", "--rate", "100000", "--lines", str(100000 * seconds),
                         *(["--history", folder] if what == "on" else [])],
                        env=dict(os.environ, OTEL_EXPORTER_OTLP_LOGS_ENDPOINT=endpoint), capture_output=True, text=True,
                        check=True, timeout=60)
                report = json.loads(done.stdout.splitlines()[-1])
                assert report["sent"] == 100000 * seconds, report
                rows[what].append(report)
                thinned += report["thinned"]
        ratio = [on["p99_ms"] / off["p99_ms"] for on, off in zip(rows["on"], rows["off"])]
        return {"what": "ms from a record to the receiver's answer, 100,000 records a second (budget of the ratio 1.2)",
                "p99_ratio": spread(ratio), "thinned": thinned, "kept": sum(r["history"] for r in rows["on"]),
                **{f"{key}_{what}": spread([r[key] for r in rows[what]]) for key in ("p50_ms", "p99_ms", "cpu_s")
                   for what in rows}}

    def services(self):
        """Requests a second and p99 of real servers, each with and without reqtap in turns."""
        with services.Services(self.output, self.reqtap) as all_of_them:
            rows = {name: all_of_them.compare(name, max(2, self.pairs // 2)) for name in services.NAMES}
        return {"what": "requests a second under reqtap, as a part of those without (budget 0.95 to 0.97)", "rows": rows}

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


def bars(axis, names, rows, title, label, budget=None):
    medians = [r["median"] for r in rows]
    errors = [[m - r["min"] for m, r in zip(medians, rows)], [r["max"] - m for m, r in zip(medians, rows)]]
    axis.barh(names, medians, xerr=errors, color="#4477aa", capsize=3)
    if budget:
        axis.axvline(budget, color="#cc3311", linestyle="--", label=f"budget {budget}")
        axis.legend()
    axis.set_title(title)
    axis.set_xlabel(label)


def plot(results, path):
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(2, 2, figsize=(13, 9))
    if "cost" in results:
        rows = results["cost"]["rows"]
        bars(axes[0][0], [f"{r['what']} x{r['writers']} ({r['who']})" for r in rows], [r["part"] for r in rows],
             "added to a call", "part of the plain call", 0.5)
    if "services" in results:
        rows = results["services"]["rows"]
        bars(axes[0][1], list(rows), [r["part"] for r in rows.values()], "requests a second of real servers",
             "part of those without reqtap", 0.95)
    if "stages" in results:
        left = [0] * len(results["stages"]["rows"])
        names = [f"{r['kind']} {r['bytes']} B, {r['replicas']} replicas" for r in results["stages"]["rows"]]
        for last in ("line", "record", "encode", "gzip"):
            values = [r[last] for r in results["stages"]["rows"]]
            axes[1][0].barh(names, values, left=left, label=last)
            left = [a + b for a, b in zip(left, values)]
        axes[1][0].set_title("CPU-seconds a million lines")
        axes[1][0].legend()
    if "growth" in results:
        rows = results["growth"]["rows"]
        for key, name in (("replicas", "replicas (10 requests)"), ("requests", "requests in flight (1 replica)")):
            chosen = [r for r in rows if r["requests" if key == "replicas" else "replicas"] == (10 if key == "replicas" else 1)]
            axes[1][1].plot([r[key] for r in chosen], [r["cpu_us_a_line"] for r in chosen], marker="o", label=name)
        axes[1][1].set_xscale("log")
        axes[1][1].set_ylim(bottom=0)
        axes[1][1].set_title("CPU µs a line")
        axes[1][1].legend()
    figure.tight_layout()
    figure.savefig(path, dpi=110)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path, default=Path("build"))
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--only", default="")
    args = parser.parse_args()
    bench, saved = Bench(args.output.resolve(), args.pairs), args.output / "bench" / "bench.json"
    # one part measured again leaves the others as they were
    results = json.loads(saved.read_text(encoding="utf-8")) if args.only and saved.exists() else {}
    for name in ("cost", "stages", "instructions", "growth", "line_cost", "rate", "latency", "history",
                 "ingest", "services", "guest"):
        if args.only in ("", name):
            print(f"{name} …", flush=True)
            results[name] = getattr(bench, name)()
            print(json.dumps(results[name], indent=2), flush=True)
    saved.write_text(json.dumps(results, indent=2), encoding="utf-8")
    plot(results, args.output / "bench" / "bench.png")
    print(f"saved {args.output}/bench/bench.json and bench.png")


main()
