# SPDX-License-Identifier: Apache-2.0
"""For live tests: TAP output, and `reqtap run` with its records decoded.

    @test("what it shows")
    def _():
        assert …
    tap.main()

Where the kernel refuses BPF (`reqtap doctor` ends with 77) every test is skipped with the reason.
"""
import json
import os
import subprocess
import sys
import traceback
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
REQTAP = os.environ.get("REQTAP", str(ROOT / "build/reqtap"))
TESTS = []


def test(name, needs_capture=True):
    def add(function):
        TESTS.append((name, needs_capture, function))
        return function
    return add


def why_not():
    """None, or why capture does not work here."""
    doctor = subprocess.run([REQTAP, "doctor"], capture_output=True, text=True,
                            timeout=300 if "REQTAP_VM" in os.environ else 60, check=False)
    if doctor.returncode == 0:
        return None
    if doctor.returncode != 77:
        sys.exit(f"reqtap doctor ended with {doctor.returncode}: {doctor.stderr}")
    return " ".join(doctor.stdout.split()) or "reqtap doctor says 77"


def start(*command, options=(), **kwargs):
    """A running `reqtap run`, JSON on its stdout."""
    kwargs = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **kwargs}
    return subprocess.Popen([REQTAP, "run", "--output", "json", *options, "--", *command], **kwargs)


def finish(run, timeout=60):
    """(exit status, records, stderr text) of what start() gave."""
    try:
        out, err = run.communicate(timeout=timeout)
    except subprocess.TimeoutExpired:
        run.kill()
        run.communicate()
        raise
    return run.returncode, [json.loads(line) for line in out.splitlines()], err.decode(errors="replace")


def run(*command, options=(), timeout=60, **kwargs):
    return finish(start(*command, options=options, **kwargs), timeout)


def messages(records, stream=None):
    return [r["message"] for r in records if stream is None or r.get("stream") == stream]


def main():
    reason = why_not()
    failed = 0
    for number, (name, needs_capture, function) in enumerate(TESTS, 1):
        if reason and needs_capture:
            print(f"ok {number} - {name} # SKIP {reason}", flush=True)
            continue
        print(f"# {name}", flush=True)  # or nobody knows which one hangs
        try:
            function()
            print(f"ok {number} - {name}", flush=True)
        except Exception:  # pylint: disable=broad-except # any failure is the test's result
            failed += 1
            traceback.print_exc(file=sys.stdout)
            print(f"not ok {number} - {name}", flush=True)
    print(f"1..{len(TESTS)}")
    sys.exit(1 if failed else 0)
