#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Runs each server of cases.py under `reqtap run` and holds the records against the truth.

The server itself writes the truth, in a file; the load knows which id each request carried.
Writes matrix.json and matrix.md under build/servers/. With --plain the server runs alone and its
own output is compared: that tests the case, not reqtap.
"""
import argparse
import asyncio
import importlib
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
import load  # noqa: E402
from cases import CASES  # noqa: E402

HERE = Path(__file__).resolve().parent
TOKEN = re.compile(r"/(?:work|call|slow)/(c\d+n\d+r\d+)\b")
BUILD_S = 600  # Go compiles its library for each mode
START_S = 120
STOP_S = 20
SETTLE_S = 0.5  # a runtime is attached a moment after the exec; a model takes longer to load


PLAN = "1x100 10x50 100x20"  # connections, requests of each


class CannotRun(Exception):
    """This machine cannot run reqtap; it says why."""


def build(case, folder):
    folder.mkdir(parents=True, exist_ok=True)
    for command in case.sources:
        done = subprocess.run(command.format(build=folder, here=HERE), shell=True, check=False,
                              capture_output=True, text=True, timeout=BUILD_S)
        if done.returncode:
            raise RuntimeError(f"{case.name}: {done.stderr or done.stdout}")


def reserve_port():
    """Bound, not listening: nobody else is given it, and a server with SO_REUSEADDR may have it."""
    holder = socket.socket()
    holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    holder.bind(("127.0.0.1", 0))
    return holder, holder.getsockname()[1]


class Server:
    """One server under capture; its records, or its plain lines, go to a file."""

    def __init__(self, case, folder, port, upstream_port, reqtap):
        self.case, self.plain = case, reqtap is None
        self.truth, self.out, self.err = (folder / name for name in ("truth", "records", "stderr"))
        for path in (self.truth, self.out, self.err):
            path.write_bytes(b"")
        words = {"port": port, "build": folder, "here": HERE}
        command = [part.format(**words) for part in case.command]
        env = dict(os.environ, PORT=str(port), TRUTH=str(self.truth), BUILD=str(folder),
                   UPSTREAM=f"127.0.0.1:{upstream_port}", PYTHONDONTWRITEBYTECODE="1",
                   PYTHONUNBUFFERED="1",  # buffered, one thread's flush writes another's print()
                   **{name: value.format(**words) for name, value in case.env.items()})
        if self.plain:
            env.pop("PYTHONUNBUFFERED")  # words of several threads would mix in the pipe
        with open(self.out, "ab") as out, open(self.err, "ab") as err:
            self.process = subprocess.Popen(
                command if self.plain else [reqtap, "run", "--output", "json", "--", *command],
                stdin=subprocess.DEVNULL, stdout=out, stderr=out if self.plain else err, env=env)
        self.wait(port)

    def wait(self, port):
        deadline = time.monotonic() + START_S
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                text = (self.err.read_text("utf-8", "replace") + self.out.read_text("utf-8", "replace"))[-2000:]
                if self.process.returncode == 77:
                    raise CannotRun(text.strip())
                raise RuntimeError(f"{self.case.name} ended with {self.process.returncode}: {text}")
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                time.sleep(0 if self.plain else SETTLE_S)
                return
            except OSError:
                time.sleep(0.05)
        self.stop()
        raise RuntimeError(f"{self.case.name} does not listen after {START_S} s")

    def stop(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(STOP_S)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()

    def records(self):
        with open(self.out, encoding="utf-8", errors="replace") as lines:
            for line in lines:
                yield {"message": line.rstrip("\n")} if self.plain else json.loads(line)


def read_truth(path):
    """{line: id as it was on the wire up to its ':', or None}"""
    with open(path, encoding="utf-8") as lines:
        pairs = [json.loads(line) for line in lines]
    truth = {pair["line"]: pair["id"] and pair["id"].split(":")[0] for pair in pairs}
    if len(truth) != len(pairs):
        raise RuntimeError(f"{path}: the server wrote one line twice; its truth cannot be told")
    return truth


def compare(records, truth, sent, access=0, copies=1, around=""):
    """Counts of what the records say beside what is true. `examples` shows the first of each fault."""
    seen, count, evidence, examples = Counter(), Counter(), Counter(), {}

    def fault(kind, what):
        count[kind] += 1
        if len(examples.setdefault(kind, [])) < 5:
            examples[kind].append(what)

    for record in records:
        line, got = re.sub(around, "", record["message"]), record.get("request_id")
        token = TOKEN.search(line)
        if line in truth:
            key, want = line, truth[line]
        elif token and token[1] in sent:
            key, want = ("access", token[1]), sent[token[1]].id
        else:
            key, want = None, None  # the server's own: belongs to no request
        count["records"] += 1
        seen[key] += 1
        count["expected"] += want is not None
        if got is not None:
            count["with_id"] += 1
            evidence[record.get("evidence", "?")] += got == want
            evidence[record.get("evidence", "?") + " wrong"] += got != want
        if got is not None and got != want:
            fault("wrong", {"record": record, "truth": want})
        elif want is not None and got is None:
            fault("without", record)
        count["right"] += got is not None and got == want
    wanted = {line: copies for line in truth}
    wanted.update((("access", token), access * copies) for token in sent if access and not sent[token].leaves)
    for key, times in wanted.items():
        if seen[key] < times:
            fault("lost", key)
        elif seen[key] > times:
            fault("doubled", key)
    result = {key: count[key] for key in ("records", "expected", "with_id", "right", "wrong", "without", "lost", "doubled")}
    result["precision"] = count["right"] / count["with_id"] if count["with_id"] else 1.0
    result["recall"] = count["right"] / count["expected"] if count["expected"] else 1.0
    result["evidence"] = {key: n for key, n in evidence.items() if n}
    result["examples"] = examples
    return result


def check_handler_truth(truth, sent):
    """The server read the ids that were sent, or the comparison proves nothing."""
    by_token = {}
    for line, request_id in truth.items():
        token = line.split(" ", 1)[0]
        if token in sent:
            by_token.setdefault(token, set()).add(request_id)
    # whose client left may never have been served
    bad = [token for token, request in sent.items()
           if by_token.get(token) != {request.id} and not (request.leaves and token not in by_token)]
    if bad:
        raise RuntimeError(f"the server's truth about {len(bad)} requests is not what was sent: {bad[:5]}")


def client(case):
    """What asks the case's server."""
    return importlib.import_module("load_h2" if case.options.get("http2") else "load").run


async def drive(case, folder, reqtap, plan):
    upstream, upstream_port = await load.start_upstream()
    holder, port = reserve_port()
    sent, errors = {}, []
    server = Server(case, folder, port, upstream_port, reqtap)
    try:
        for connections, each in plan:
            more, bad = await client(case)(port, connections, each, case.options)
            sent.update(more)
            errors += bad
        await asyncio.sleep(case.options.get("linger_s", 0.3))
    finally:
        server.stop()
        holder.close()
        upstream.close()
    if errors:
        raise RuntimeError(f"{case.name}: {len(errors)} requests failed: {errors[:3]}")
    truth = read_truth(server.truth)
    check_handler_truth(truth, sent)
    return compare(server.records(), truth, sent, 0 if server.plain and case.copies > 1 else case.access,
                   case.copies if server.plain else 1, case.around)


def run_case(case, output, reqtap, plan):
    """Returns the case's result; raises CannotRun or RuntimeError."""
    for package in case.packages:
        state = subprocess.run(["dpkg-query", "-W", "-f=${db:Status-Abbrev}", package],
                               capture_output=True, text=True, check=False).stdout
        if not state.startswith("ii"):
            raise RuntimeError(f"{case.name}: package {package} is not installed: tests/deps.sh servers")
    folder = Path(output) / "servers" / case.name
    shutil.rmtree(folder, ignore_errors=True)
    build(case, folder)
    start = time.monotonic()
    result = asyncio.run(drive(case, folder, reqtap, plan))
    result.update(case=case.name, unit=case.unit, seconds=round(time.monotonic() - start, 1))
    return result


def faults(case, result, plain=False):
    """What is wrong with a result, in words; empty when the case passes."""
    bad = [f"{result[key]} lines {key}" for key in ("lost", "doubled") if result[key]]
    if result["wrong"]:
        bad.append(f"{result['wrong']} wrong ids")
    if not plain and result["recall"] < case.recall:
        bad.append(f"recall {result['recall']:.4f} below {case.recall}")
    return bad


HEAD = ("case", "records", "precision", "recall", "wrong", "lost", "doubled", "evidence", "seconds")


def row(result):
    how = ", ".join(f"{key} {n}" for key, n in sorted(result["evidence"].items()))
    return (result["case"], str(result["records"]), f"{result['precision']:.4f}", f"{result['recall']:.4f}",
            str(result["wrong"]), str(result["lost"]), str(result["doubled"]), how or "-", str(result["seconds"]))


def save(results, output):
    folder = Path(output) / "servers"
    (folder / "matrix.json").write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    table = [HEAD, tuple("---" for _ in HEAD)] + [row(result) for result in results]
    (folder / "matrix.md").write_text("".join("| " + " | ".join(line) + " |\n" for line in table), encoding="utf-8")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path, default=Path("build"))
    parser.add_argument("--only", default="", help="part of a case's name")
    parser.add_argument("--plan", default=PLAN, help="connections x requests of each, one after another")
    parser.add_argument("--plain", action="store_true", help="test the cases, without reqtap")
    args = parser.parse_args()
    args.output = args.output.resolve()
    reqtap = None if args.plain else str(args.output / "reqtap")
    steps = [tuple(int(number) for number in step.split("x")) for step in args.plan.split()]
    results, failed = [], 0
    for case in CASES:
        if args.only not in case.name:
            continue
        try:
            plan = [step for step in steps if step[0] <= case.options.get("connections_max", 100)]
            result = run_case(case, args.output, reqtap, plan)
        except (CannotRun, OSError, RuntimeError, subprocess.TimeoutExpired) as error:
            print(f"FAIL {case.name}: {error}", flush=True)
            failed += 1
            continue
        results.append(result)
        bad = faults(case, result, args.plain)
        failed += bool(bad)
        print(f"{'FAIL' if bad else 'ok  '} " + "  ".join(f"{a} {b}" for a, b in zip(HEAD[1:], row(result)[1:])),
              case.name, "; ".join(bad), flush=True)
        for kind, examples in result["examples"].items():
            if bad and (kind != "without" or not result["wrong"]):
                print(f"     {kind}: {examples[0]}", flush=True)
    save(results, args.output)
    total = sum(result["records"] for result in results)
    print(f"{len(results)} cases, {total} lines, {sum(r['wrong'] for r in results)} wrong ids, {failed} failed;"
          f" {args.output}/servers/matrix.md")
    return 1 if failed or not results else 0


if __name__ == "__main__":
    sys.exit(main())
