# SPDX-License-Identifier: Apache-2.0
"""What a Python server of the matrix logs, and the truth about it.

The truth goes to a file of its own, after the line: a server that is stopped in between has
logged a line that nobody claims, not claimed one that it never logged.
"""
import http.client
import json
import logging
import os
import sys
import threading
import time

_truth = os.open(os.environ["TRUTH"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
_upstream = os.environ["UPSTREAM"].split(":")
PORT = int(os.environ["PORT"])
HEADER = "x-baseten-request-id"
SLOW_S = 0.06

log = logging.getLogger("case")
log.setLevel(logging.INFO)
log.propagate = False
log.addHandler(logging.StreamHandler(sys.stderr))


def wrote(line, request_id=None):
    os.write(_truth, (json.dumps({"line": line, "id": request_id}) + "\n").encode())


def info(line, request_id=None):
    log.info(line)
    wrote(line, request_id)


def say(request_id, *words):
    if "ONE_PIPE" in os.environ:  # words of several threads mix in a relay's one pipe
        info(" ".join(words), request_id)
        return
    print(*words, flush=True)  # unbuffered, each word is a write of its own
    wrote(" ".join(words), request_id)


def call():
    """An outbound request whose response carries somebody else's id."""
    connection = http.client.HTTPConnection(_upstream[0], int(_upstream[1]), timeout=10)
    connection.request("GET", "/")
    connection.getresponse().read()
    connection.close()


def work(path, request_id):
    """The three lines of one request to /work/TOKEN, /call/TOKEN or /slow/TOKEN."""
    kind, token = path.strip("/").split("/")
    info(f"{token} begin", request_id)
    if kind == "call":
        call()
    elif kind == "slow":
        time.sleep(SLOW_S)
    say(request_id, token, "works")
    info(f"{token} done", request_id)
    return f"{token}\n".encode()


def heartbeats(threads=2, period_s=0.005):
    """Threads of no request that contend for the logging lock as long as the process lives."""

    def beat(name):
        n = 0
        while True:
            n += 1
            info(f"heartbeat {os.getpid()} {name} {n}")
            time.sleep(period_s)

    for name in range(threads):
        threading.Thread(target=beat, args=(name,), daemon=True).start()


info(f"start-up of {os.getpid()}")
