#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Real servers, one of each kind of unit that needs no compiler of its own: every line once, with
the right id. `make servers` has all.

30 connections of 200 requests each, three lines a request. The comparison itself is tested first.
"""
import os
import sys
from dataclasses import replace
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
sys.dont_write_bytecode = True
sys.path.insert(0, str(ROOT / "tests" / "servers"))
import load  # noqa: E402
import matrix  # noqa: E402
from cases import ASYNCIO, HTTP2, POOLS, RELAYED, THREADS  # noqa: E402

PLAN = ((30, 200),)
CHOSEN = ("uvicorn-uvloop-plain", "waitress", "grpc-threads", "grpc-aio", "tee", "pipeline", "launcher")
CASES = THREADS + [c for c in ASYNCIO + POOLS + HTTP2 + RELAYED if c.name in CHOSEN]
if "REQTAP_VM" in os.environ:  # slow, and without compilers and packages
    PLAN = ((10, 20),)
    CHOSEN = ("python-threads", "gunicorn-gthread", "flask", "uvicorn-asyncio-plain", "launcher")
    CASES = [replace(c, packages=[]) for c in THREADS + ASYNCIO + RELAYED if c.name in CHOSEN]


def comparison_sees_each_fault():
    """Records with one fault each, and what compare() must say of them."""
    sent = {"c1n0r0": load.Request(1, "c1n0r0", 0, {})}
    mine = sent["c1n0r0"].id
    truth = {"c1n0r0 begin": mine, "heartbeat 1": None}
    good = [{"message": "c1n0r0 begin", "request_id": mine, "evidence": "thread"}, {"message": "heartbeat 1"},
            {"message": '"GET /work/c1n0r0 HTTP/1.1" 200', "request_id": mine, "evidence": "thread"},
            {"message": "Listening"}]
    variants = {
        "": good,
        "lost": good[1:],
        "doubled": good + good[:1],
        "wrong": good[:1] + [{"message": "heartbeat 1", "request_id": mine}] + good[2:],
        "without": [{"message": "c1n0r0 begin"}] + good[1:],
    }
    for name, records in variants.items():
        result = matrix.compare(records, truth, sent, access=1)
        found = {kind for kind in ("lost", "doubled", "wrong", "without") if result[kind]}
        if found != {name} - {""}:
            return f"{name or 'good'} records give {found}"
    return ""


def main():
    output = Path(os.environ.get("REQTAP", ROOT / "build" / "reqtap")).resolve().parent
    why = comparison_sees_each_fault()
    print(f"{'not ok' if why else 'ok'} 1 - the comparison sees each fault {why}", flush=True)
    failed = bool(why)
    for number, case in enumerate(CASES, 2):
        try:
            result = matrix.run_case(case, output, str(output / "reqtap"), PLAN)
        except matrix.CannotRun as error:
            vm = "REQTAP_VM" in os.environ  # a kernel of which it is known that it can
            print(f"{'not ok' if vm else 'ok'} {number} - {case.name}{':' if vm else ' # SKIP'}"
                  f" {' '.join(str(error).split())}", flush=True)
            failed |= vm
            continue
        except (OSError, RuntimeError) as error:
            print(f"not ok {number} - {case.name}\n# {error}", flush=True)
            failed = True
            continue
        bad = matrix.faults(case, result)
        failed |= bool(bad)
        print(f"{'not ok' if bad else 'ok'} {number} - {case.name}", flush=True)
        print("# " + " | ".join(matrix.row(result)), "; ".join(bad), flush=True)
        if bad:
            print(f"# {result['examples']}", flush=True)
    return failed


sys.exit(main())
