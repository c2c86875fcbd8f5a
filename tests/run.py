#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Runs test programs and sums what they say.

A test program prints TAP ("ok 1 - name", "not ok 2 - name", "ok 3 - name # SKIP why") and a
program that crashes or prints none has failed. Ends with 'N passed, N failed, N skipped'.
Programs of one kind run side by side: the live ones wait for most of their time. So do those of
kinds that are joined, "vm+live", in that order.
"""
import argparse
import concurrent.futures
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

TAP = re.compile(r"^(not )?ok\b(?: \d+)?(?: - )?(.*?)(?:# SKIP\b(.*))?$", re.I)
ROOT = Path(__file__).resolve().parent.parent


def programs(kind, output):
    if kind == "unit":
        return [[str(p)] for p in sorted((output / "unit").glob("test_*")) if p.suffix == ""]
    if kind == "fuzz":
        return [
            ["tests/fuzz/replay.sh", str(p), f"tests/fuzz/corpus/{p.name[5:]}"]
            for p in sorted((output / "fuzz").glob("fuzz_*"))
            if p.suffix == ""
        ]
    return [["/usr/bin/python3", str(p)] for p in sorted((ROOT / "tests" / kind).glob("test_*.py"))]


def label(kind, command):
    name = Path(command[1] if kind != "unit" else command[0]).name
    return kind + "/" + re.sub(r"^(test_|fuzz_)|\.py$", "", name)


def run(command, log, env, timeout):
    """Its exit status, or "timeout"; then nothing that it started in its session is left."""
    with subprocess.Popen(command, cwd=ROOT, env=env, stdin=subprocess.DEVNULL, stdout=log,
                          stderr=subprocess.STDOUT, start_new_session=True) as program:
        try:
            return program.wait(timeout)
        except subprocess.TimeoutExpired:
            os.killpg(program.pid, signal.SIGKILL)
            return "timeout"


def results(text, code):
    """(passed, failed, skipped), lists of names."""
    passed, failed, skipped = [], [], []
    for line in text.splitlines():
        match = TAP.match(line.strip())
        if not match:
            continue
        if match[3] is not None:
            skipped.append(f"{match[2].strip()}: {match[3].strip()}")
        else:
            (failed if match[1] else passed).append(match[2].strip())
    if (code != 0 and not failed) or not (passed or failed or skipped):
        failed.append(f"exit status {code}")
    return passed, failed, skipped


def run_one(kind, command, output, timeout):
    """((passed, failed, skipped), what is to be printed)"""
    name, start = label(kind, command), time.monotonic()
    env = dict(os.environ, CMOCKA_MESSAGE_OUTPUT="TAP", REQTAP=str(output / "reqtap"))
    path = output / "test-logs" / (name.replace("/", "-") + ".log")
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "w+", encoding="utf-8", errors="replace") as log:
        code = run(command, log, env, timeout)
        log.seek(0)
        text = log.read()
    passed, failed, skipped = results(text, code)
    state = "FAIL" if failed else "ok  " if passed else "skip"
    lines = ["    " + line for line in text.splitlines()[-60:]] if failed else []
    lines.append(f"{state} {name:32} {len(passed):4} passed {time.monotonic() - start:7.1f} s")
    lines += [f"     failed: {item}   (whole output: {path})" for item in failed]
    lines += [f"     skipped: {item}" for item in skipped]
    return (passed, failed, skipped), "\n".join(lines)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path, default=Path("build"))
    parser.add_argument("--only", default="", help="part of a program's name")
    parser.add_argument("--timeout", type=float, default=600)
    parser.add_argument("--jobs", type=int, default=os.cpu_count() + 1, help="programs at a time")
    parser.add_argument("kinds", nargs="+")
    args = parser.parse_args()
    output = args.output.resolve()
    totals = [0, 0, 0]
    # a shell starts what it puts behind `&` with SIGINT ignored: a command under test would inherit that
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for kinds in args.kinds:
        with concurrent.futures.ThreadPoolExecutor(args.jobs) as pool:
            runs = [pool.submit(run_one, kind, command, output, args.timeout) for kind in kinds.split("+")
                    for command in programs(kind, output) if args.only in label(kind, command)]
            for done in concurrent.futures.as_completed(runs):
                lists, text = done.result()
                print(text, flush=True)
                totals = [total + len(items) for total, items in zip(totals, lists)]
    print(f"{totals[0]} passed, {totals[1]} failed, {totals[2]} skipped")
    return 1 if totals[1] or not any(totals) else 0


sys.exit(main())
