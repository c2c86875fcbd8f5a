# SPDX-License-Identifier: Apache-2.0
"""Requests that overlap in one event loop: which of them a line is of, its context alone tells."""
import socket
import subprocess
import threading
from pathlib import Path

from node_rig import PYTHON, SLOW

SERVER = Path(__file__).resolve().parent / "python_server.py"
NOBODY = "--reuid=65534", "--regid=65534", "--clear-groups"
CONNECTIONS, REQUESTS = 8, 40  # on each, one after the other
LINES = CONNECTIONS * REQUESTS * 4


def ask(port, number):
    with socket.create_connection(("127.0.0.1", port), timeout=20 * SLOW) as peer:
        for n in range(REQUESTS):
            token = f"plain-{number}-{n}"
            peer.sendall(f"GET /plain/{token} HTTP/1.1\r\nhost: x\r\nx-baseten-request-id: id-{token}\r\n\r\n".encode())
            assert peer.recv(4096).endswith(b"ok"), token


def requests(group):
    """A server in the cgroup `group`, another user's, and its clients."""
    server = group.start("/usr/bin/setpriv", *NOBODY, PYTHON, "-c", SERVER.read_text(encoding="utf-8"),
                         env={"PATH": "/bin:/usr/bin", "BT_MODEL_ID": "m1"}, stdin=subprocess.PIPE)
    port = int(server.stdout.readline().split()[1])
    reader = threading.Thread(target=server.stdout.read, daemon=True)
    reader.start()
    clients = [threading.Thread(target=ask, args=(port, n), daemon=True) for n in range(CONNECTIONS)]
    for client in clients:
        client.start()
    for client in clients:
        client.join(60 * SLOW)
    server.stdin.close()
    server.wait(timeout=20 * SLOW)


def judge(records):
    """(the lines of requests, how many have the right id, those that have another's)"""
    ids = [(r["body"].split()[0], r["attributes"].get("request_id")) for r in records if r["body"].startswith("plain-")]
    wrong = [(token, got) for token, got in ids if got not in (None, f"id-{token}")]
    return len(ids), sum(got is not None for _, got in ids), wrong
