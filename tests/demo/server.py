#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""A small model server as people write them: threads, print, logging. It knows no request id."""
import json
import logging
import os
import random
import signal
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

log = logging.getLogger("model")


def generate(prompt):
    print(f"prompt of {len(prompt.split())} words", flush=True)
    time.sleep(random.uniform(0.1, 0.3))
    log.info("tokens generated: %d", random.randint(20, 200))
    if "broken" in prompt:
        raise ValueError(f"cannot tokenize {prompt!r}")
    return "done"


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        prompt = json.loads(self.rfile.read(int(self.headers["content-length"])))["prompt"]
        try:
            status, answer = 200, generate(prompt)
        except ValueError:
            log.exception("prediction failed")
            status, answer = 500, "failed"
        body = json.dumps({"answer": answer}).encode()
        self.send_response(status)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def heartbeat():
    while True:
        time.sleep(2)
        log.debug("heartbeat: a line of no request")


logging.basicConfig(level=logging.DEBUG, format="%(levelname)s:%(name)s:%(message)s")
server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
with open(sys.argv[1] + ".new", "w", encoding="ascii") as port:
    port.write(str(server.server_port))
os.rename(sys.argv[1] + ".new", sys.argv[1])
log.info("model loaded")
threading.Thread(target=heartbeat, daemon=True).start()
server.serve_forever()
