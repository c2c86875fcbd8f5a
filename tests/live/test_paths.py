#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Whose writes: every path that programs take to their stdout, see paths.py, in one run of it."""
import functools
import os

from pathlib import Path

import tap
from tap import messages, test

PLAN = os.environ.get("REQTAP_PLAN", "auto")


@functools.cache
def lines():
    status, records, _ = tap.run("/usr/bin/python3", str(Path(__file__).parent / "paths.py"),
                                 options=["--plan", PLAN], timeout=200)
    assert status == 0, status
    return messages(records, "stdout")


def is_there(*wanted):
    for line in wanted:
        assert lines().count(line) == 1, (line, lines().count(line))


@test("the last line, and nothing after it")
def _():
    assert lines()[-1] == "end", lines()[-5:]


@test("children, shells, exec")
def _():
    is_there("child", "shell", "subshell", "exec")


@test("an orphan of a double fork")
def _():
    is_there("orphan")


@test("duplicated and inherited descriptors")
def _():
    is_there("dup", "dup2", "inherited")


@test("the stream reopened, by its own name and by another process's")
def _():
    is_there("reopened /dev/stdout", "reopened /proc/self/fd/1", "reopened /dev/fd/1", "of another")


@test("threads that write their lines in pieces")
def _():
    is_there(*(f"thread {n} line {i}" for n in range(4) for i in range(50)))


@test("short writes, and those that fail, without blocking: each line once")
def _():
    got = [line for line in lines() if line.startswith("short ") and line[6].isdigit()]
    assert got == [f"short {i} {'x' * 200}" for i in range(3000)], len(got)
    is_there("short writes: True")


@test("processes that live for a millisecond")
def _():
    is_there(*(f"brief {i}" for i in range(200)))


@test("vectors of pieces")
def _():
    is_there("vector of pieces", "and lines", "one piece")


@test("a write that failed is no line; writes elsewhere are none")
def _():
    is_there("unreadable memory: -1")
    assert not [line for line in lines() if "elsewhere" in line]


@test("nothing else")
def _():
    assert len(lines()) == 1 + 4 + 1 + 3 + 4 + 200 + 3001 + 200 + 3 + 1, len(lines())


@test("pages that the kernel moves are counted, and told in a record")
def _():
    _, records, err = tap.run("/usr/bin/python3", str(Path(__file__).parent / "paths.py"), "pages",
                              options=["--plan", PLAN], timeout=200)
    assert "108 bytes" in err, err
    told = [r for r in records if r["message"].startswith("reqtap: ")]
    assert told and all(r["severity_text"] == "WARN" and "spliced" in r["message"] for r in told), told
    assert sum(int(r["message"].split()[1]) for r in told) == 108, told


tap.main()
