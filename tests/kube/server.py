#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""An API server (and kubelet) for tests: keeps pods, events and leases, lists and watches as the real one does.

    with ApiServer() as api:
        api.put(pod(uid=…, labels=…))      # ADDED or MODIFIED to the watches
        api.delete(uid)
        api.fault = [429, 504, …]          # answers of the next requests: a status, "cut", "silent", "slow" or "410"
        api.url, api.token_file, api.requests

Errors are answered with what the real one said (recorded/). As a program: --print-port, and lines on stdin:
"put JSON", "delete UID", "fault A B C", "token NAME", "forget"; "requests" prints one JSON line of what was asked.
"""
import copy
import gzip
import json
import sys
import tempfile
import threading
import time
import urllib.parse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

RECORDED = Path(__file__).resolve().parent / "recorded"
ERRORS = {401: "error-401-expired-token.json", 403: "error-403-no-rights.json", 429: "error-429.txt",
          504: "error-504-timeout.json", 410: "error-410-continue-expired.json"}
GZIP_BYTES = 128 * 1024


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        pass

    def answer(self, status, body, kind="application/json", headers=()):
        if len(body) > GZIP_BYTES and "gzip" in self.headers.get("Accept-Encoding", ""):
            body = gzip.compress(body)
            headers = [*headers, ("Content-Encoding", "gzip")]
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        for name, value in headers:
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def error(self, status):
        body = (RECORDED / ERRORS[status]).read_bytes()
        text = status in (429, 504)
        self.answer(status, body, "text/plain; charset=utf-8" if text else "application/json",
                    [("Retry-After", "1")] if status == 429 else ())

    def chunk(self, text):
        self.wfile.write(b"%x\r\n%s\r\n" % (len(text), text))
        self.wfile.flush()

    def refused(self, watch):
        """Whether the next fault, or the credential, has dealt with this request."""
        api = self.server.api
        fault = api.next_fault()
        api.note(self, fault)
        if api.token is not None and self.headers.get("Authorization") != f"Bearer {api.token}":
            self.error(401)
        elif fault == "cut":
            self.close_connection = True
        elif fault == "silent":
            time.sleep(5)
            self.close_connection = True
        elif fault == 410 and watch:
            self.stream_begin()
            self.chunk((RECORDED / "watch-410-expired.chunked").read_bytes().split(b"\r\n")[1])
            self.wfile.write(b"0\r\n\r\n")
        elif isinstance(fault, int):
            self.error(fault)
        else:
            return False
        return True

    def stream_begin(self):
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()

    def watch(self, kind, query):
        """What changed after that version, then what changes, until timeoutSeconds."""
        api, sent = self.server.api, int(query.get("resourceVersion", ["0"])[0])
        end = time.monotonic() + min(float(query.get("timeoutSeconds", ["300"])[0]), api.watch_s)
        if sent < api.forgotten:
            self.stream_begin()
            self.chunk((RECORDED / "watch-410-expired.chunked").read_bytes().split(b"\r\n")[1])
            self.wfile.write(b"0\r\n\r\n")
            return
        self.stream_begin()
        opened = api.forgotten
        while time.monotonic() < end and not api.closing:
            if api.forgotten != opened:
                self.close_connection = True
                return
            for version, line in api.since(kind, sent, min(0.2, end - time.monotonic())):
                half = len(line) // 2 if api.slow else len(line)
                self.chunk(line[:half])
                if half < len(line):
                    time.sleep(0.05)
                    self.chunk(line[half:])
                sent = version
                api.told.setdefault(version, time.monotonic())
            if api.cut_watches > 0:
                api.cut_watches -= 1
                self.close_connection = True
                return
        self.chunk(api.bookmark(kind))
        self.wfile.write(b"0\r\n\r\n")

    def do_GET(self):
        url = urllib.parse.urlsplit(self.path)
        query, api = urllib.parse.parse_qs(url.query), self.server.api
        kind = url.path.rsplit("/", 1)[1]
        watch = "watch" in query
        try:
            if self.refused(watch):
                return
            if "/leases/" in url.path:
                lease = api.leases.get(kind)
                self.answer(200 if lease else 404, json.dumps(lease or {"kind": "Status", "code": 404}).encode())
            elif watch:
                self.watch(kind, query)
            else:
                self.answer(200, json.dumps(api.list(kind, query)).encode())
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.refused(False):
            return
        self.answer(*self.server.api.put_lease(body, self.command == "POST"))

    do_PUT = do_POST


class ApiServer:
    def __init__(self, token=None, watch_s=300):
        self.lock = threading.Condition()
        self.objects = {"pods": {}, "events": {}}
        self.leases = {}
        self.log = []          # (version, kind, line of a watch)
        self.version = 100
        self.told = {}         # version: when a watch was first told
        self.forgotten = 0     # versions before this one are 410
        self.fault, self.requests = [], []
        self.token, self.watch_s = token, watch_s
        self.slow = self.closing = False
        self.cut_watches = 0
        self.home = tempfile.TemporaryDirectory(prefix="reqtap-kube-")
        self.token_file = str(Path(self.home.name) / "token")
        self.write_token(token or "first")
        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.http.daemon_threads = True
        self.http.api = self
        self.url = f"http://127.0.0.1:{self.http.server_port}"

    def __enter__(self):
        threading.Thread(target=self.http.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *args):
        self.closing = True
        self.http.shutdown()
        self.http.server_close()
        self.home.cleanup()

    def write_token(self, text):
        Path(self.token_file).write_text(text, encoding="ascii")

    def rotate(self, text):
        self.token = text
        self.write_token(text)

    def next_fault(self):
        with self.lock:
            return self.fault.pop(0) if self.fault else None

    def note(self, handler, fault):
        with self.lock:
            self.requests.append({"method": handler.command, "path": handler.path, "fault": fault,
                                  "token": handler.headers.get("Authorization", "")[7:]})

    def change(self, kind, uid, item, word):
        with self.lock:
            self.version += 1
            item["metadata"]["resourceVersion"] = str(self.version)
            line = json.dumps({"type": word, "object": item}).encode() + b"\n"
            self.log.append((self.version, kind, line))
            del self.log[:-2000]
            if word == "DELETED":
                self.objects[kind].pop(uid, None)
            else:
                self.objects[kind][uid] = item
            self.lock.notify_all()
            return self.version

    def put(self, item, kind="pods"):
        item = copy.deepcopy(item)
        uid = item["metadata"]["uid"]
        return self.change(kind, uid, item, "MODIFIED" if uid in self.objects[kind] else "ADDED")

    def delete(self, uid, kind="pods"):
        item = self.objects[kind].get(uid)
        if item:
            self.change(kind, uid, copy.deepcopy(item), "DELETED")

    def forget(self):
        """As after a compaction and a restart: no watch goes on from what was."""
        with self.lock:
            self.version += 10
            self.forgotten = self.version
            self.log.clear()
            self.lock.notify_all()

    def since(self, kind, version, seconds):
        with self.lock:
            def new():
                return [(v, line) for v, k, line in self.log if k == kind and v > version]
            before = self.forgotten
            self.lock.wait_for(lambda: new() or self.forgotten != before, max(seconds, 0))
            return [] if self.forgotten != before else new()

    def bookmark(self, kind):
        item = {"kind": "Pod" if kind == "pods" else "Event", "apiVersion": "v1", "spec": {"containers": None},
                "metadata": {"resourceVersion": str(self.version), "creationTimestamp": None}}
        return json.dumps({"type": "BOOKMARK", "object": item}).encode() + b"\n"

    def list(self, kind, query):
        with self.lock:
            items = list(self.objects[kind].values())
            token = query.get("continue", ["0"])[0]
            begin = int(token) if token.isdigit() else 0  # a recorded one: from the start again
            end = begin + int(query.get("limit", ["100000"])[0])
            metadata = {"resourceVersion": str(self.version)}
            if end < len(items):
                metadata["continue"] = str(end)
            return {"kind": "List", "apiVersion": "v1", "metadata": metadata, "items": items[begin:end]}

    def put_lease(self, body, create):
        name = body["metadata"]["name"]
        with self.lock:
            held = self.leases.get(name)
            if create and held:
                return 409, (RECORDED / "lease-create-409-exists.json").read_bytes()
            if not create and (not held or held["metadata"]["resourceVersion"] !=
                               body["metadata"].get("resourceVersion")):
                return 409, (RECORDED / "lease-update-409-conflict.json").read_bytes()
            self.version += 1
            body["metadata"]["resourceVersion"] = str(self.version)
            self.leases[name] = body
            return (201 if create else 200), json.dumps(body).encode()


def pod(uid, name, containers=(), labels=None, annotations=None, phase="Running", ready=True, **metadata):
    """`containers`: (name, id or None, state) with the state as Kubernetes has it."""
    statuses = [{"name": c[0], "state": c[2] if len(c) > 2 else {"running": {}}, "lastState": {}, "ready": ready,
                 "restartCount": 0, "started": True,
                 **({"containerID": "containerd://" + c[1]} if c[1] else {})} for c in containers]
    return {"kind": "Pod", "apiVersion": "v1",
            "metadata": {"name": name, "namespace": "models", "uid": uid, "labels": labels or {},
                         "annotations": annotations or {}, **metadata},
            "spec": {"nodeName": "node-1", "containers": [{"name": c[0]} for c in containers]},
            "status": {"phase": phase, "containerStatuses": statuses,
                       "conditions": [{"type": "Ready", "status": "True" if ready else "False"}]}}


def main():
    with ApiServer() as api:
        print(api.http.server_port, api.token_file, flush=True)
        for line in sys.stdin:
            word, _, rest = line.strip().partition(" ")
            if word == "put":
                api.put(json.loads(rest))
            elif word == "recorded":
                for item in json.loads((RECORDED / rest).read_bytes())["items"]:
                    api.put(item)
            elif word == "delete":
                api.delete(rest)
            elif word == "fault":
                api.fault = [int(w) if w.isdigit() else w for w in rest.split()]
            elif word == "token":
                api.rotate(rest)
            elif word == "forget":
                api.forget()
            elif word == "cut":
                api.cut_watches = int(rest)
            elif word == "slow":
                api.slow = True
            elif word == "watch":
                api.watch_s = float(rest)
            print("done", flush=True)


if __name__ == "__main__":
    main()
