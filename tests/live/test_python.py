#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""CPython's contexts as units, on every version of this machine: tests/live/python_server.py.

Right or none in every line, and right in nearly all of those whose unit is known.
"""
import asyncio
import glob
import json
import os
import subprocess
import tempfile
from pathlib import Path

import tap

SERVER = Path(__file__).resolve().parent / "python_server.py"
MINORS = range(9, 15)
KNOWN = ("plain", "group", "thread", "stream", "late")
ROUNDS = 25
VARIABLES = "import json, sysconfig; print(json.dumps({k: sysconfig.get_config_var(k) for k in ('VERSION', 'LIBPL', 'LIBS', 'MODLIBS')}))"
START_S, SILENCE_S, END_S = 60, 30, 30


def interpreters():
    """{minor: path}"""
    found = {}
    for pattern in ("/usr/bin/python3.[0-9]*", "/usr/local/bin/python3.[0-9]*",
                    os.path.expanduser("~/.pyenv/versions/*/bin/python3.[0-9]*"),
                    os.environ.get("PYTHONS", "") + "/python3.[0-9]*"):
        for path in glob.glob(pattern):
            minor = Path(path).name.rpartition(".")[2]
            if minor.isdigit():
                found.setdefault(int(minor), path)
    return found


def static_interpreters(folder):
    """{name: path} of /usr/bin/python3's library in a program, as standalone builds are made, without a symbol table."""
    found, of = {}, json.loads(subprocess.check_output(["/usr/bin/python3", "-c", VARIABLES]))
    main = Path(folder, "main.c")
    main.write_text("int Py_BytesMain(int, char **); int main(int c, char **v) { return Py_BytesMain(c, v); }\n", encoding="ascii")
    for name, library in ("pie", f"libpython{of['VERSION']}-pic.a"), ("no-pie", f"libpython{of['VERSION']}.a"):
        archive, path = Path(of["LIBPL"], library), Path(folder, f"python-{name}")
        if not archive.exists():
            continue
        found[f"static {name}"] = str(path)
        subprocess.run(["gcc", f"-{name}", main, "-Wl,--export-dynamic", archive, *of["LIBS"].split(), *of["MODLIBS"].split(), "-s",
                        "-o", path], check=True, timeout=120)
    return found


def head(kind, token, request_id, method="GET", more=""):
    return f"{method} /{kind}/{token} HTTP/1.1\r\nhost: x\r\nX-Baseten-Request-Id: {request_id}\r\n{more}\r\n".encode()


async def response(reader, body=True):
    lines = (await reader.readuntil(b"\r\n\r\n")).lower().split(b"\r\n")
    fields = dict(line.split(b": ", 1) for line in lines[1:] if line)
    if b" 100 " in lines[0]:
        return await response(reader, body)
    if b"content-length" in fields:
        await reader.readexactly(int(fields[b"content-length"]) if body else 0)
        return None
    size = -1
    while size:
        size = int(await reader.readline(), 16)
        await reader.readexactly(size + 2)
    return None


async def connection(port, number, truth, progress):
    """progress[number]: the newest request that was sent; each answer counts in progress["answers"]."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)

    def begin(kind, n, **options):
        token = progress[number] = f"{kind}-{number}-{n}"
        truth[token] = f"{kind}{number:04d}{n:04d}" + "f" * 16
        return head(kind, token, truth[token], **options)

    async def answer(**options):
        await response(reader, **options)
        progress["answers"] += 1

    for n in range(ROUNDS):
        for kind in KNOWN + ("executor", "reuse"):
            writer.write(begin(kind, n))
            await answer()
        writer.write(begin("plain", n + 1000, method="HEAD"))
        await answer(body=False)
        body = b"x" * 200000
        more = f"content-length: {len(body)}\r\n" + "expect: 100-continue\r\n" * (n % 2)
        writer.write(begin("plain", n + 2000, method="POST", more=more) + body)
        await answer()
        writer.write(begin("group", n + 3000))
        await answer()
        if number % 4 == 0:
            writer.write(b"".join(begin("plain", n + at) for at in (4000, 5000, 6000)))
            for _ in range(3):
                await answer()
        if number % 4 == 1:
            writer.write(begin("plain", n + 7000))
            await asyncio.sleep(0.001)  # read while the first one's task runs
            writer.write(begin("plain", n + 8000))
            for _ in range(2):
                await answer()
    writer.write(begin("daemon", 9000))
    await answer()
    await asyncio.sleep(1.5)
    writer.close()
    del progress[number]


async def answered(jobs, progress):
    """Waits for `jobs` as long as answers come: a slow machine takes its time, a lost answer does not."""
    before = -1
    while jobs:
        done, jobs = await asyncio.wait(jobs, timeout=SILENCE_S, return_when=asyncio.FIRST_EXCEPTION)
        for job in done:
            job.result()
        if jobs and progress["answers"] == before:
            raise TimeoutError(f"no answer for {SILENCE_S} s; outstanding: {progress}")
        before = progress["answers"]


async def drive(run):
    loop = asyncio.get_running_loop()
    try:
        first = await asyncio.wait_for(loop.run_in_executor(None, run.stdout.readline), START_S)
        port, truth, progress = int(json.loads(first)["message"].split()[1]), {}, {"answers": 0}
        records = loop.run_in_executor(None, run.stdout.read)  # or the pipe fills, and reqtap waits
        await answered([asyncio.ensure_future(connection(port, n, truth, progress)) for n in range(8)], progress)
        run.stdin.close()
        return truth, [json.loads(line) for line in (await asyncio.wait_for(records, END_S)).splitlines()]
    finally:
        end(run)  # before asyncio waits for the thread that reads what it writes


def end(run):
    """The server ends when its stdin does, and reqtap with it."""
    run.stdin.close()
    try:
        run.wait(END_S)
    except subprocess.TimeoutExpired:
        run.kill()
        run.wait()


def check(records, truth):
    wrong, known, right, late, last = [], 0, 0, [], {}
    for record in records:
        token, *words = record["message"].split()
        want, got = truth.get(token), record.get("request_id")
        if got is not None and got != want:
            wrong.append(record)
        if want and token.split("-")[0] in KNOWN:
            number = int(token.split("-")[2])
            if not 4000 <= number < 9000:  # whose of the pipelined ones runs is not known
                known += 1
                right += got == want
        if words and words[0] == "daemon":
            last.setdefault(token, []).append((float(words[1]), got))
    for lines in last.values():
        begun = lines[0][0]
        late += [line for line in lines if line[0] > begun + 1.3 and line[1]]
    assert not wrong, f"{len(wrong)} wrong ids: {wrong[:5]}"
    assert last and not late, f"daemons keep their ids: {late[:5]}"
    assert known > 2000 and right / known >= 0.99, f"{right} of {known} right"


def case(name, path):
    @tap.test(f"CPython {name}: {path}")
    def _():
        with tempfile.TemporaryFile() as errors:
            run = tap.start(path, str(SERVER), stdin=subprocess.PIPE, stderr=errors,
                            env=dict(os.environ, PYTHONDONTWRITEBYTECODE="1"))
            truth, records = asyncio.run(drive(run))
        check(records, truth)


paths = interpreters()
for version in MINORS:
    if version in paths:
        case(f"3.{version}", paths[version])
    else:
        print(f"ok 0 - CPython 3.{version} # SKIP none on this machine")
if "PYTHONS" in os.environ:
    for build, interpreter in static_interpreters(os.environ["PYTHONS"]).items():
        case(build, interpreter)
tap.main()
