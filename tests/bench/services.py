# SPDX-License-Identifier: Apache-2.0
"""Real servers under load, with and without reqtap: each logs a line and an access line a request."""
import os
import re
import signal
import socket
import statistics
import subprocess
import tempfile
import time

FASTAPI = """
import uvicorn
from fastapi import FastAPI

app = FastAPI()


@app.get("/{name}")
async def work(name: str):
    print("working on", name, flush=True)
    return {"name": name}

uvicorn.run(app, host="127.0.0.1", port=PORT)
"""

WSGI = """
def application(environ, start_response):
    print("working on", environ["PATH_INFO"], flush=True)
    start_response("200 OK", [("content-type", "text/plain"), ("content-length", "3")])
    return [b"ok\\n"]
"""

GO = """package main

import (
	"fmt"
	"net/http"
	"os"
)

func main() {
	http.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		fmt.Println("working on", r.URL.Path)
		fmt.Fprintln(os.Stderr, "GET", r.URL.Path, 200)
		w.Write([]byte("ok\\n"))
	})
	http.ListenAndServe("127.0.0.1:"+os.Args[1], nil)
}
"""

NGINX = """
daemon off; pid DIR/nginx.pid; error_log stderr; worker_processes 1;
events { }
http { access_log /dev/stdout; server { listen 127.0.0.1:PORT; location / { return 200 "ok"; } } }
"""

NAMES = ("uvicorn", "go", "gunicorn", "nginx")
SECONDS = 4
CONNECTIONS = 8


def free_port():
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


def wait_for(port):
    for _ in range(200):
        with socket.socket() as sock:
            if sock.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.1)
    raise RuntimeError("the server does not listen")


class Services:
    def __init__(self, output, reqtap):
        self.output, self.reqtap = output, reqtap
        self.dir = tempfile.TemporaryDirectory()

    def __enter__(self):
        self.write("work.go", GO)
        subprocess.run(["go", "build", "-o", self.path("go-server"), self.path("work.go")], check=True,
                       env=dict(os.environ, GOFLAGS="-mod=mod", GO111MODULE="off", GOCACHE=self.path("gocache")))
        return self

    def __exit__(self, *error):
        self.dir.cleanup()

    def path(self, name):
        return os.path.join(self.dir.name, name)

    def write(self, name, text):
        with open(self.path(name), "w", encoding="utf-8") as out:
            out.write(text)
        return self.path(name)

    def command(self, name, port):
        if name == "uvicorn":
            return ["/usr/bin/python3", self.write("app.py", FASTAPI.replace("PORT", str(port)))]
        if name == "go":
            return [self.path("go-server"), str(port)]
        if name == "gunicorn":
            self.write("work_wsgi.py", WSGI)
            return ["/usr/bin/gunicorn", "--chdir", self.dir.name, "--workers", "2", "--worker-class", "gthread", "--threads",
                    "8", "--access-logfile", "-", "--bind", f"127.0.0.1:{port}", "work_wsgi"]
        text = NGINX.replace("PORT", str(port)).replace("DIR", self.dir.name)
        return ["/usr/sbin/nginx", "-p", self.dir.name, "-c", self.write("nginx.conf", text)]

    def run(self, name, captured):
        """Requests a second and p99 in ms. Plain, a reader takes what the server writes, as a runtime does."""
        port = free_port()
        command = self.command(name, port)
        if captured:
            command = [self.reqtap, "run", "--output", "none", "--"] + command
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True) as server:
            reader = subprocess.Popen(["cat"], stdin=server.stdout, stdout=subprocess.DEVNULL)
            try:
                wait_for(port)
                done = subprocess.run(["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{SECONDS}s", "--latency", "-H",
                                       "x-baseten-request-id: 31255019cf83c4d0c7492a5006591e1f",
                                       f"http://127.0.0.1:{port}/abc"], capture_output=True, text=True, check=True)
            finally:
                os.killpg(server.pid, signal.SIGTERM)
                server.wait(30)
                reader.wait(30)
        found = re.search(r"99%\s+([\d.]+)(us|ms|s)", done.stdout)
        return (float(re.search(r"Requests/sec:\s+([\d.]+)", done.stdout)[1]),
                float(found[1]) * {"us": 0.001, "ms": 1, "s": 1000}[found[2]])

    def compare(self, name, pairs):
        plain, captured = [], []
        self.run(name, False)  # warms up files and caches
        for _ in range(pairs):
            plain.append(self.run(name, False))
            captured.append(self.run(name, True))
        parts = [c[0] / p[0] for p, c in zip(plain, captured)]
        return {"part": {"median": statistics.median(parts), "min": min(parts), "max": max(parts), "runs": pairs},
                "requests_a_second": [statistics.median(r[0] for r in runs) for runs in (plain, captured)],
                "p99_ms": [statistics.median(r[1] for r in runs) for runs in (plain, captured)]}
