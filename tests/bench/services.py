# SPDX-License-Identifier: Apache-2.0
"""Real servers under load, with and without reqtap: each logs a line and an access line a request.

The server has one CPU for itself; the client, and who reads what the server writes (reqtap, or plain
a reader as a container's runtime is), have the others. So what is compared is what reqtap adds to the
server's own calls, and the reader's cost does not count for or against it. Requests a second say it
as a service's owner sees it; the server's own CPU time a request, which other work on the machine
disturbs less, says it once more.
"""
import os
import re
import signal
import socket
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

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
SECONDS = 3
CONNECTIONS = 8
SERVER_CPU = 0
OTHER_CPUS = sorted(os.sched_getaffinity(0) - {SERVER_CPU}) or [SERVER_CPU]


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


def request(port):
    with socket.create_connection(("127.0.0.1", port)) as sock:
        sock.sendall(b"GET /abc HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
        while sock.recv(65536):
            pass


def elsewhere(command):
    return ["taskset", "-c", ",".join(map(str, OTHER_CPUS)), *command]


def cpu_seconds(group):
    """Of the processes of a process group on the server's CPU: the server's."""
    ticks = 0
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text(encoding="ascii", errors="replace").rsplit(")", 1)[1].split()
            if int(fields[2]) == group and os.sched_getaffinity(int(path.parent.name)) == {SERVER_CPU}:
                ticks += int(fields[11]) + int(fields[12])
        except (OSError, IndexError):
            pass  # it ended
    return ticks / os.sysconf("SC_CLK_TCK")


def spread(values):
    return {"median": statistics.median(values), "min": min(values), "max": max(values), "runs": len(values)}


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

    def start(self, name, port, captured):
        """The process group of the server, and who reads what it writes."""
        command = ["taskset", "-c", str(SERVER_CPU), *self.command(name, port)]
        if captured:
            command = [self.reqtap, "run", "--output", "none", "--", *command]
        server = subprocess.Popen(elsewhere(command), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True)
        return server, subprocess.Popen(elsewhere(["cat"]), stdin=server.stdout, stdout=subprocess.DEVNULL)

    def run(self, name, captured):
        port = free_port()
        server, reader = self.start(name, port, captured)
        try:
            wait_for(port)
            request(port)
            time.sleep(1)  # reqtap attaches to the runtime when it sees it
            before = cpu_seconds(server.pid)
            done = subprocess.run(elsewhere(["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{SECONDS}s", "--latency", "-H",
                                             "x-baseten-request-id: 31255019cf83c4d0c7492a5006591e1f",
                                             f"http://127.0.0.1:{port}/abc"]), capture_output=True, text=True, check=True)
            spent = cpu_seconds(server.pid) - before
        finally:
            os.killpg(server.pid, signal.SIGTERM)
            server.wait(30)
            reader.wait(30)
        found = re.search(r"99%\s+([\d.]+)(us|ms|s)", done.stdout)
        return {"rate": float(re.search(r"Requests/sec:\s+([\d.]+)", done.stdout)[1]),
                "p99_ms": float(found[1]) * {"us": 0.001, "ms": 1, "s": 1000}[found[2]],
                "cpu_us": spent * 1e6 / int(re.search(r"(\d+) requests in", done.stdout)[1])}

    def compare(self, name, pairs):
        pairs = [(self.run(name, False), self.run(name, True)) for _ in range(pairs)]

        def column(key):
            return [statistics.median(pair[i][key] for pair in pairs) for i in (0, 1)]

        return {"part": spread([c["rate"] / p["rate"] for p, c in pairs]),
                "part_by_cpu": spread([p["cpu_us"] / c["cpu_us"] for p, c in pairs]),
                "requests_a_second": column("rate"), "p99_ms": column("p99_ms"), "server_cpu_us_a_request": column("cpu_us")}
