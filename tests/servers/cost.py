#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Requests a second of a service at its own maximum, captured beside plain.

Plain and captured runs alternate in one run, so that a machine whose speed drifts does not lie; the
figure is the median of the pairs' ratios. Writes cost.json under build/servers/.
"""
import argparse
import json
import os
import re
import statistics
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
import matrix  # noqa: E402
from cases import PYTHON, Case, go  # noqa: E402

BUDGET = 0.95
SERVICES = [go("go-busy", "busy"), Case("fastapi-busy", [PYTHON, "{here}/busy.py"])]


def maximum(port, seconds):
    done = subprocess.run(["wrk", "-t1", "-c32", f"-d{seconds}s", "-H", "x-baseten-request-id: " + "0123456789abcdef" * 2,
                           f"http://127.0.0.1:{port}/"], capture_output=True, text=True, check=True, timeout=60)
    if "Non-2xx" in done.stdout:
        raise RuntimeError(done.stdout)
    return float(re.search(r"Requests/sec:\s+([0-9.]+)", done.stdout)[1])


def measure(case, folder, reqtap, seconds):
    holder, port = matrix.reserve_port()
    command = [part.format(build=folder, here=matrix.HERE) for part in case.command]
    if reqtap:
        command = [reqtap, "run", "--output", "none", "--", *command]
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL) as drain:
        server = subprocess.Popen(command, env=dict(os.environ, PORT=str(port)), stdout=drain.stdin, stderr=drain.stdin)
        drain.stdin.close()
        try:
            for _ in range(400):
                if subprocess.run(["curl", "-so/dev/null", f"http://127.0.0.1:{port}/"], check=False).returncode == 0:
                    break
                time.sleep(0.05)
            time.sleep(matrix.SETTLE_S)
            maximum(port, 1)
            return maximum(port, seconds)
        finally:
            server.terminate()
            server.wait(20)
            holder.close()


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path, default=Path("build"))
    parser.add_argument("--only", default="")
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=3)
    args = parser.parse_args()
    args.output = args.output.resolve()
    results, failed = {}, 0
    for case in SERVICES:
        if args.only not in case.name:
            continue
        folder = args.output / "servers" / case.name
        matrix.build(case, folder)
        pairs = [(measure(case, folder, None, args.seconds),
                  measure(case, folder, str(args.output / "reqtap"), args.seconds)) for _ in range(args.pairs)]
        ratios = sorted(captured / plain for plain, captured in pairs)
        results[case.name] = {"pairs": pairs, "ratio": statistics.median(ratios), "spread": [ratios[0], ratios[-1]]}
        failed += results[case.name]["ratio"] < BUDGET
        print(f"{case.name}: {results[case.name]['ratio']:.3f} of plain ({ratios[0]:.3f} to {ratios[-1]:.3f}, "
              f"{statistics.median(p for p, _ in pairs):.0f} requests a second plain; budget {BUDGET})", flush=True)
    (args.output / "servers" / "cost.json").write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    return failed > 0


if __name__ == "__main__":
    sys.exit(main())
