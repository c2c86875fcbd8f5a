#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The guest's side: mounts what a node has, runs the programs, reports a JSON object a line."""
import json
import os
import subprocess
import sys
import time

MOUNTS = [
    ("proc", "/proc"), ("sysfs", "/sys"), ("devtmpfs", "/dev"), ("devpts", "/dev/pts"), ("tmpfs", "/dev/shm"),
    ("tmpfs", "/tmp"), ("tmpfs", "/run"), ("cgroup2", "/sys/fs/cgroup"), ("tracefs", "/sys/kernel/tracing"),
    ("bpf", "/sys/fs/bpf"),
]
TIMEOUT_S = 600


def prepare():
    for kind, where in MOUNTS:
        os.makedirs(where, exist_ok=True)
        subprocess.run(["mount", "-t", kind, kind, where], check=False, capture_output=True)
    for link, target in (("fd", "/proc/self/fd"), ("stdin", "fd/0"), ("stdout", "fd/1"), ("stderr", "fd/2")):
        if not os.path.lexists("/dev/" + link):
            os.symlink(target, "/dev/" + link)
    subprocess.run(["ip", "link", "set", "lo", "up"], check=False)
    with open("/proc/sys/net/ipv4/ip_local_port_range", "w", encoding="ascii") as f:
        f.write("32768 60999")


def run(job):
    start = time.monotonic()
    env = dict(os.environ, **job["env"])
    try:
        done = subprocess.run(job["command"], cwd="/reqtap", env=env, stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=TIMEOUT_S, check=False)
        code, out = done.returncode, done.stdout
    except subprocess.TimeoutExpired as late:
        code, out = "timeout", late.stdout or b""
    except OSError as missing:
        code, out = "exec", str(missing).encode()
    return {"name": job["name"], "code": code, "seconds": round(time.monotonic() - start, 1),
            "text": out.decode("utf-8", "replace")}


def main():
    prepare()
    with open("/dev/ttyS1", "w", encoding="utf-8") as report:
        subprocess.run(["stty", "-F", "/dev/ttyS1", "raw", "-echo"], check=False)
        print(json.dumps({"name": "boot"}), file=report, flush=True)  # a program may take long to say something
        with open("/vm/jobs.json", encoding="utf-8") as jobs:
            for job in json.load(jobs):
                print(json.dumps(run(job)), file=report, flush=True)
        print(json.dumps({"name": "end"}), file=report, flush=True)


try:
    main()
finally:
    sys.stdout.flush()
    subprocess.run(["poweroff", "-f"], check=False)
