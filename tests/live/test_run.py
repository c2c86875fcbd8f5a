#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""`reqtap run`: statuses, signals, bad inputs, and commands that do not behave."""
import json
import os
import re
import signal
import subprocess
import tempfile
import time
from pathlib import Path

import tap
from tap import REQTAP, ROOT, finish, messages, run, start, test

PYTHON = "/usr/bin/python3"


def call(*args, **kwargs):
    return subprocess.run([REQTAP, *args], capture_output=True, text=True, timeout=60, check=False, **kwargs)


def one_line(result, status, *words):
    assert result.returncode == status, (result.returncode, result.stderr)
    assert len(result.stderr.splitlines()) == 1, result.stderr
    for word in words:
        assert word in result.stderr, (word, result.stderr)


@test("wrong usage is one line and exit 2", needs_capture=False)
def _():
    one_line(call("nonsense"), 2, "nonsense")
    one_line(call("run"), 2, "COMMAND")
    one_line(call("run", "--nonsense", "true"), 2, "--nonsense")
    one_line(call("run", "--line-max=huge", "true"), 2, "--line-max", "huge")
    one_line(call("run", "--output=xml", "true"), 2, "--output", "pretty, json, none")
    one_line(call("run", "--ring-size=5000", "true"), 2, "--ring-size")
    one_line(call("run", "true", env=dict(os.environ, REQTAP_LINE_MAX="x")), 2, "REQTAP_LINE_MAX")
    one_line(call("run", "true", env=dict(os.environ, OTEL_EXPORTER_OTLP_ENDPOINT="nowhere")), 2,
             "OTEL_EXPORTER_OTLP_ENDPOINT")


@test("a wrong endpoint starts nothing", needs_capture=False)
def _():
    with tempfile.TemporaryDirectory() as folder:
        mark = Path(folder) / "started"
        env = dict(os.environ, OTEL_EXPORTER_OTLP_LOGS_ENDPOINT="ftp://x/")
        one_line(call("run", "--", "touch", str(mark), env=env), 2, "OTEL_EXPORTER_OTLP_LOGS_ENDPOINT")
        assert not mark.exists()


@test("without privilege: exit 77, the reason and the mend, nothing started", needs_capture=False)
def _():
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o777)
        mark = Path(folder) / "started"
        program = Path(folder) / "reqtap"
        program.write_bytes(Path(REQTAP).read_bytes())
        program.chmod(0o755)
        result = subprocess.run(["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", program, "run",
                                 "--", "touch", str(mark)], capture_output=True, text=True, timeout=60, check=False)
        one_line(result, 77)
        assert not mark.exists()


@test("every option is in the command's man page", needs_capture=False)
def _():
    for command in ("run", "logs", "top", "doctor", "agent", "connection", "events", "status"):
        page = (ROOT / f"docs/reqtap-{command}.1").read_text(encoding="utf-8").replace("\\-", "-")
        options = re.findall(r"--[a-z][a-z-]+", call(command, "--help").stdout)
        assert options
        for option in options:
            assert option in page, (command, option)


@test("doctor -j is JSON: each check, the plan and why, each hook; a lack has its mend")
def _():
    report = json.loads(call("doctor", "-j").stdout)
    checks = {check["name"]: check for check in report["checks"]}
    assert report["capture"] and report["plan"] in ("syscall", "fentry"), report
    for name in ("kernel", "btf", "CAP_BPF", "lockdown", "tracepoints", "cgroup", "bpffs", "programs", "plan", "hooks"):
        assert checks[name]["found"], checks
    assert checks["plan"]["found"].startswith(report["plan"] + ": "), checks["plan"]
    assert all(check["mend"] for check in checks.values() if check["state"] != "ok"), checks
    states = {hook["name"]: hook["state"] for hook in report["hooks"]}
    assert states["sched_process_exec"] == states["sys_enter_epoll_pwait"] == "attached", states
    assert set(states.values()) <= {"attached", "absent"}, states


@test("the command's status is passed on")
def _():
    assert run("true")[0] == 0
    assert run("sh", "-c", "exit 42")[0] == 42
    assert run("sh", "-c", "kill -9 $$")[0] == 128 + 9
    for command, status in (("/no/such/command", 127), ("/etc/passwd", 126)):
        got, records, err = run(command)
        assert got == status and not records, (got, records)
        assert len(err.splitlines()) == 1 and command in err, err


@test("stdout and stderr, told apart, first line included")
def _():
    status, records, _ = run("sh", "-c", "echo out; echo err >&2")
    assert status == 0
    assert messages(records, "stdout") == ["out"] and messages(records, "stderr") == ["err"], records
    assert all("request_id" not in r and r["pid"] and r["time"] for r in records)


@test("stdin is passed through")
def _():
    read_end, write_end = os.pipe()
    os.write(write_end, b"given\n")
    os.close(write_end)
    _, records, _ = run("cat", stdin=read_end)
    os.close(read_end)
    assert messages(records) == ["given"], records


@test("an unfinished last line is a line")
def _():
    assert messages(run("printf", "no newline")[1]) == ["no newline"]
    code = "import os; os.write(1, b'half a li'); os.kill(os.getpid(), 9)"
    status, records, _ = run(PYTHON, "-c", code)
    assert status == 137 and messages(records) == ["half a li"], (status, records)


@test("children are awaited after the command ended")
def _():
    status, records, _ = run("sh", "-c", "(sleep 0.5; echo child) & echo parent; exit 5")
    assert status == 5 and messages(records) == ["parent", "child"], (status, records)
    code = ("import os, time\n"
            "if os.fork() == 0:\n os.setsid()\n if os.fork() == 0:\n  time.sleep(0.3); os.write(1, b'deep\\n')\n")
    assert messages(run(PYTHON, "-c", code)[1]) == ["deep"]


@test("threads that write at once give whole lines")
def _():
    code = ("import os, threading\n"
            "def f(i):\n for n in range(200): os.write(1, b'%d-' % i); os.write(1, b'%d\\n' % n)\n"
            "ts = [threading.Thread(target=f, args=(i,)) for i in range(4)]\n"
            "[t.start() for t in ts]; [t.join() for t in ts]\n")
    got = messages(run(PYTHON, "-c", code)[1])
    assert sorted(got) == sorted(f"{i}-{n}" for i in range(4) for n in range(200)), len(got)


@test("SIGTERM and SIGINT go to the command, what it said is there")
def _():
    for number in (signal.SIGTERM, signal.SIGINT):
        process = start("sh", "-c", "trap 'echo got it; exit 9' TERM INT; echo ready; while :; do sleep 0.1; done")
        ready = json.loads(process.stdout.readline())
        process.send_signal(number)
        status, records, _ = finish(process)
        assert status == 9 and messages([ready] + records) == ["ready", "got it"], (number, status, records)


@test("a closed output does not hang it")
def _():
    process = start("sh", "-c", "for i in $(seq 200); do echo $i; sleep 0.01; done")
    process.stdout.readline()
    process.stdout.close()
    process.stderr.close()
    process.wait(timeout=30)


@test("a command that closes its stdout runs on")
def _():
    status, records, _ = run("sh", "-c", "echo before; exec 1>&-; sleep 0.2; echo after >&2; exit 4")
    assert status == 4 and messages(records) == ["before", "after"], (status, records)


@test("a line of 200 MB is cut at the limit, and the command ends by itself")
def _():
    code = "import os\nb = b'x' * 1000000\nfor _ in range(200):\n os.write(1, b)\nos.write(1, b'\\nlast\\n')"
    status, records, err = run(PYTHON, "-c", code, timeout=120)
    assert status == 0, status
    assert len(records[0]["message"]) <= 256 * 1024 + 200, len(records[0]["message"])
    assert records[-1]["message"] == "last", records[-1]["message"][:100]
    counted = sum(int(number) for number in re.findall(r"(\d+) bytes", err))
    assert len(records[0]["message"]) + counted == 200_000_000, (err, len(records[0]["message"]))


@test("control characters do not reach the terminal")
def _():
    result = call("run", "--output", "pretty", "--", "printf", r"a\033[31mb\n")
    assert result.returncode == 0 and "\033" not in result.stdout and "a" in result.stdout, result.stdout


BUFFERED = """
import http.client, http.server, threading
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        for n in range(4):
            print(self.headers["x-baseten-request-id"], n, "." * 90)
        self.send_response(200)
        self.end_headers()
    def log_message(self, *args):
        pass
server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
threading.Thread(target=server.serve_forever, daemon=True).start()
def client(who):
    for n in range(50):
        connection = http.client.HTTPConnection(*server.server_address)
        connection.request("GET", "/", headers={"x-baseten-request-id": f"{who:016x}{n:016x}"})
        connection.getresponse().read()
clients = [threading.Thread(target=client, args=(who,)) for who in range(6)]
[c.start() for c in clients]
[c.join() for c in clients]
"""


@test("a buffer that threads share: its lines have no id rather than another's, or their text's")
def _():
    env = {key: value for key, value in os.environ.items() if key != "PYTHONUNBUFFERED"}
    code, records, err = run(PYTHON, "-c", BUFFERED, options=["--evidence", "thread"], env=env)
    assert code == 0, (code, err)
    lines = [r for r in records if r["message"].endswith("...")]
    assert len(lines) > 1000, len(lines)
    wrong = [r for r in lines if r.get("request_id", r["message"][:32]) != r["message"][:32]]
    assert not wrong, (len(wrong), wrong[:3])


RESET = """
import socket, struct
listener = socket.create_server(("127.0.0.1", 0))
def request(number):
    client = socket.create_connection(listener.getsockname())
    client.sendall(b"GET / HTTP/1.1\\r\\nhost: a\\r\\nx-baseten-request-id: %032x\\r\\n\\r\\n" % number)
    return client
def serve():
    connection, _ = listener.accept()
    connection.setblocking(False)
    connection.recv(4096)
    print("served", flush=True)
    try:
        connection.sendall(b"HTTP/1.1 200 OK\\r\\ncontent-length: 0\\r\\n\\r\\n")
    except OSError:
        print("in vain", flush=True)
    connection.close()
client = request(1)
client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
client.close()
serve()
client = request(2)
serve()
"""


@test("a client that resets its connection before it is accepted: the thread's next request has its lines")
def _():
    code, records, err = run(PYTHON, "-c", RESET, options=["--evidence", "thread"])
    assert code == 0, (code, err)
    assert [(r["message"], r.get("request_id")) for r in records] == [
        ("served", f"{1:032x}"), ("in vain", f"{1:032x}"), ("served", f"{2:032x}")], records


tap.main()
