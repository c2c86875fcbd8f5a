#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Runs test programs and sums what they say.

A test program prints TAP ("ok 1 - name", "not ok 2 - name", "ok 3 - name # SKIP why") and a
program that crashes or prints none has failed. Ends with 'N passed, N failed, N skipped'.
"""
import argparse
import os
import re
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


def run_one(kind, command, output, timeout):
    """Returns (passed, failed, skipped) as lists of names."""
    env = dict(os.environ, CMOCKA_MESSAGE_OUTPUT="TAP", REQTAP=str(output / "reqtap"))
    log = output / "test-logs" / (label(kind, command).replace("/", "-") + ".log")
    log.parent.mkdir(parents=True, exist_ok=True)
    with open(log, "w+", encoding="utf-8", errors="replace") as out:
        try:
            code = subprocess.run(command, cwd=ROOT, env=env, stdin=subprocess.DEVNULL, stdout=out,
                                  stderr=subprocess.STDOUT, timeout=timeout, check=False).returncode
        except subprocess.TimeoutExpired:
            code = "timeout"
        out.seek(0)
        text = out.read()
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
    if failed:
        print("\n".join("    " + line for line in text.splitlines()[-60:]))
    return passed, failed, skipped, log


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path, default=Path("build"))
    parser.add_argument("--only", default="", help="part of a program's name")
    parser.add_argument("--timeout", type=float, default=600)
    parser.add_argument("kinds", nargs="+")
    args = parser.parse_args()
    output = args.output.resolve()
    totals = [0, 0, 0]
    for kind in args.kinds:
        for command in programs(kind, output):
            name = label(kind, command)
            if args.only not in name:
                continue
            start = time.monotonic()
            passed, failed, skipped, log = run_one(kind, command, output, args.timeout)
            state = "FAIL" if failed else "ok  " if passed else "skip"
            print(f"{state} {name:32} {len(passed):4} passed {time.monotonic() - start:7.1f} s", flush=True)
            for item in failed:
                print(f"     failed: {item}   (whole output: {log})")
            for item in skipped:
                print(f"     skipped: {item}")
            for i, items in enumerate((passed, failed, skipped)):
                totals[i] += len(items)
    print(f"{totals[0]} passed, {totals[1]} failed, {totals[2]} skipped")
    return 1 if totals[1] or not any(totals) else 0


sys.exit(main())
