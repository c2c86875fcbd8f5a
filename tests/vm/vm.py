#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Runs the live tests on other kernels, in both plans, under qemu's software emulation.

Prints the table kernel x plan x test, and TAP. Every guest's output, its verifier logs and its
instruction counts stay under OUTPUT/vmtest/KERNEL/.
"""
import argparse
import json
import shutil
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
import image  # noqa: E402
import kernels  # noqa: E402

PLANS = ["syscall", "fentry"]
KERNELS = "5.10 6.1 6.12 7.2"  # the newest last
TESTS = ["writer", "paths", "pins", "repoint", "servers"]  # those of tests/live/ that are about the kernel, not about the way out
NODE = ["node_runc", "node", "rights"]  # of the agent, which chooses its plan: a guest has cgroup v2 alone, as a node has
BOOT_TRIES = 3
BOOT_S = 180  # a busy machine boots in minutes what an idle one does in seconds
SILENCE_S = 700  # a program may take 600 s (guest.py), and says nothing before its end
SHORT = {"WRITES": "1000", "KIND": "pipe"}
# One thread and the largest CPU: with several, 6.12 dies in half of its boots, the emulator's own fault.
MACHINE = ["qemu-system-x86_64", "-accel", "tcg,thread=single", "-cpu", "max", "-smp", "2", "-m", "1536",
           "-nodefaults", "-display", "none", "-no-reboot"]


def jobs_for(tests, short):
    """One job a program."""
    jobs = [{"name": "fields", "env": {}, "command": ["build/vm/fields", "build/reqtap.bpf.o"]}]
    if not short:
        jobs.append({"name": "load", "env": {}, "command": ["build/vm/probe_load", "build/reqtap.bpf.o"]})
    for plan in PLANS:
        for test in tests:
            jobs.append({"name": f"{plan}/{test}",
                         "env": {"REQTAP": "/reqtap/build/reqtap", "REQTAP_PLAN": plan, "REQTAP_VM": "1",
                                 "VERBOSE": "1", **short},
                         "command": ["/usr/bin/python3", f"tests/live/test_{test}.py"]})
    for test in [] if short else NODE:
        jobs.append({"name": f"agent/{test}", "env": {"REQTAP": "/reqtap/build/reqtap", "REQTAP_VM": "1"},
                     "command": ["/usr/bin/python3", f"tests/live/test_{test}.py"]})
    return jobs


def boot(kernel, archive, home):
    """Boots once. Returns the reports; the last is named "end" when the guest came through."""
    report = home / "report.jsonl"
    report.unlink(missing_ok=True)
    command = MACHINE + ["-kernel", str(kernel), "-initrd", str(archive),
                         "-append", "console=ttyS0 quiet loglevel=4 panic=-1 rdinit=/init cgroup_no_v1=all",
                         "-serial", f"file:{home / 'console.log'}", "-serial", f"file:{report}"]
    size, heard = 0, time.monotonic()
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                          stderr=subprocess.PIPE, text=True) as guest:
        while guest.poll() is None:
            before, size = size, report.stat().st_size if report.exists() else 0
            heard = time.monotonic() if size > before else heard
            if time.monotonic() - heard > (SILENCE_S if size else BOOT_S):
                guest.kill()
            time.sleep(0.2)
    lines = report.read_text(encoding="utf-8", errors="replace").splitlines() if report.exists() else []
    found = []
    for line in lines:
        try:
            found.append(json.loads(line))
        except ValueError:
            pass  # cut off by the guest's death: its end is missing too
    return found


def run_guest(version, output, base_archive, jobs):
    """The reports of all jobs; raises kernels.Missing."""
    kernel = kernels.fetch(output / "vmtest", version)
    home = output / "vmtest" / version
    shutil.rmtree(home, ignore_errors=True)
    home.mkdir(parents=True)
    archive = image.with_jobs(base_archive, jobs, home)
    reports = []
    for _ in range(BOOT_TRIES):
        reports = boot(kernel, archive, home)
        if reports:
            break
    archive.unlink()
    for report in reports:
        if "text" in report:
            (home / (report["name"].replace("/", "-") + ".log")).write_text(report["text"], encoding="utf-8")
    return {r["name"]: r for r in reports}


def judge(report):
    """'ok', 'FAIL' or 'skip', and what to say about it."""
    if report is None:
        return "FAIL", "no report: the guest died"
    lines = report["text"].splitlines()
    failed = [line for line in lines if line.startswith("not ok")]
    skipped = [line for line in lines if line.startswith("ok") and "# SKIP" in line]
    passed = [line for line in lines if line.startswith("ok") and "# SKIP" not in line]
    if failed or report["code"] != 0 or not (passed or skipped):
        return "FAIL", "; ".join(failed) or f"exit status {report['code']}"
    if not passed:
        return "skip", skipped[0].split("# SKIP", 1)[1].strip()
    return "ok", f"{len(passed)} passed, {len(skipped)} skipped, {report['seconds']} s"


def say(number, name, report):
    """One TAP line, and of a failure its last words, which are the verifier's where it refused. Returns the state."""
    state, words = judge(report)
    print(f"{'not ok' if state == 'FAIL' else 'ok'} {number} - {name}"
          f"{' # SKIP ' + words if state == 'skip' else ' (' + words + ')'}", flush=True)
    if state == "FAIL" and report:
        print("".join(f"# {line}\n" for line in report["text"].splitlines()[-12:]), end="", flush=True)
    return state


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path, default=Path("build"))
    parser.add_argument("--kernels", default=KERNELS)
    parser.add_argument("--short", action="store_true", help="both plans on a pipe alone")
    parser.add_argument("--only", default="", help="part of a job's name: load, writer, fentry/")
    args = parser.parse_args()
    output = args.output.resolve()
    if not shutil.which(MACHINE[0]):
        print(f"ok 1 - vm # SKIP {MACHINE[0]} is not installed: tests/deps.sh vm")
        return 0
    (output / "vmtest").mkdir(parents=True, exist_ok=True)
    jobs = jobs_for(["writer"], SHORT) if args.short else jobs_for(TESTS, {})
    jobs = [job for job in jobs if args.only in job["name"]]
    base_archive = image.base(output, output / "vmtest/root")
    number = bad = 0
    table = {}
    versions = args.kernels.split()
    for version in versions:
        try:
            reports = run_guest(version, output, base_archive, jobs)
        except kernels.Missing as missing:
            number += 1
            print(f"ok {number} - kernel {version} # SKIP {missing}", flush=True)
            continue
        for job in jobs:
            number += 1
            table[job["name"], version] = say(number, f"{version} {job['name']}", reports.get(job["name"]))
            bad += table[job["name"], version] == "FAIL"
    versions = sorted({v for _, v in table}, key=args.kernels.split().index)
    print("# " + " " * 28 + "".join(f"{v:>8}" for v in versions))
    for job in jobs:
        print(f"# {job['name']:28}" + "".join(f"{table[job['name'], v]:>8}" for v in versions))
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
