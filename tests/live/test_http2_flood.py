#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Floods on HTTP/2 connections that reqtap follows: memory stays bounded, what is left out is counted, and
other connections have their ids."""
import json
import os
import socket
import struct
import subprocess
import tempfile
import time

import tap
from node_rig import PYTHON, Agent, Cgroup, until
from tap import test

NAME = f"/reqtap-http2-flood-{os.getpid()}"
ROUNDS = 12
HEADERS, RST_STREAM, SETTINGS, CONTINUATION = 1, 3, 4, 9
END_STREAM, END_HEADERS = 1, 4
# GET /, by the static table alone (RFC 7541, appendix A)
REQUEST = b"\x82\x84\x86"

# Reads all that comes, on every connection, and never answers: no server bounds what reqtap sees.
SINK = """
import socket, threading
listener = socket.create_server(("127.0.0.1", 0))
print(listener.getsockname()[1], flush=True)
def read(connection):
    try:
        while connection.recv(1 << 16):
            pass
    except OSError:
        pass
while True:
    threading.Thread(target=read, args=(listener.accept()[0],), daemon=True).start()
"""


def frame(kind, flags, stream, payload):
    return struct.pack(">IBI", len(payload) << 8 | kind, flags, stream) + payload


def literal(name, value):
    """A field that is put into the table; lengths of up to 126 bytes."""
    return b"\x40" + bytes([len(name)]) + name + bytes([len(value)]) + value


def connection(port, data):
    with socket.create_connection(("127.0.0.1", port)) as sock:
        sock.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(SETTINGS, 0, 0, b"") + data)
        sock.shutdown(socket.SHUT_WR)
        while sock.recv(1 << 16):
            pass


def continuation():
    """A request's headers of 1 MiB."""
    piece = literal(b"x-" + b"a" * 60, b"v" * 60) * 128
    pieces = [frame(CONTINUATION, 0, 1, piece) for _ in range(64)]
    return frame(HEADERS, END_STREAM, 1, REQUEST) + b"".join(pieces) + frame(CONTINUATION, END_HEADERS, 1, b"")


def table_updates():
    """The table is emptied and filled, over and over."""
    fill = b"".join(literal(b"name-%d" % i, b"v" * 100) for i in range(60))
    return b"".join(frame(HEADERS, END_STREAM | END_HEADERS, 2 * i + 1, b"\x20\x3f\xe1\x1f" + REQUEST + fill)
                    for i in range(200))


def resets():
    """Streams that are begun and reset at once (CVE-2023-44487)."""
    return b"".join(frame(HEADERS, END_HEADERS, 2 * i + 1, REQUEST) + frame(RST_STREAM, 0, 2 * i + 1, b"\0\0\0\x08")
                    for i in range(5000))


def streams():
    """Streams that nobody ends."""
    return b"".join(frame(HEADERS, END_HEADERS, 2 * i + 1, REQUEST) for i in range(5000))


def told(state):
    done = subprocess.run([tap.REQTAP, "status", "--state-dir", state, "-j"], text=True, capture_output=True, timeout=30,
                          check=True)
    return json.loads(done.stdout)


def told_anew(state):
    """What is told of now: an answer is of up to a second before."""
    begin = told(state)["up_seconds"]
    assert until(lambda: told(state)["up_seconds"] > begin + 1), begin
    return told(state)


def served(state, port):
    """Whether a request of a connection that is none of the floods' is there, with its id."""
    normal = frame(HEADERS, END_HEADERS, 1, REQUEST + literal(b"x-baseten-request-id", b"5" * 32))
    with socket.create_connection(("127.0.0.1", port)) as sock:
        sock.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(SETTINGS, 0, 0, b"") + normal)
        time.sleep(0.5)
        shown = subprocess.run([tap.REQTAP, "top", "--state-dir", state, "-j", "-n", "1"], text=True, capture_output=True,
                               timeout=30, check=True)
        return "5" * 32 in shown.stdout


def rounds(agent, state, port, data):
    """Two runs of as many connections; the memory after each."""
    after = []
    for _ in range(2):
        for _ in range(ROUNDS):
            connection(port, data)
        assert until(lambda: not told_anew(state)["http2"]["connections"], 30), told(state)
        after.append(agent.rss_kib())
    return after


@test("1 MiB of headers, table updates, resets and streams without end: bounded memory, and counted")
def _():
    with tempfile.TemporaryDirectory(prefix="reqtap-flood-") as state, \
            Agent("--cgroup", NAME, "--state-dir", state) as agent, Cgroup(NAME) as group:
        sink = group.start(PYTHON, "-c", SINK)
        port = int(sink.stdout.readline())
        for data, counter in ((continuation(), "http2_flood"), (table_updates(), None), (resets(), "http2_lost"),
                              (streams(), "http2_full")):
            before = told_anew(state)
            first, second = rounds(agent, state, port, data)
            now = told_anew(state)
            seen = now["http2"]["streams"] - before["http2"]["streams"]
            grown = {name: n - before["counters"][name] for name, n in now["counters"].items()}
            print(f"# {len(data)} bytes, {2 * ROUNDS} times: {seen} streams, memory {first}, then {second} KiB;",
                  {name: n for name, n in grown.items() if n})
            assert second < first * 1.1 + 1024, (first, second)
            assert seen > 0, now
            if counter:
                assert grown[counter] > 0, now
        # the table of requests has let go of the floods' by then
        assert until(lambda: served(state, port), 60), told(state)


tap.main()
