# SPDX-License-Identifier: Apache-2.0
"""A front that serves HTTP, and an engine in another process that it asks over ZeroMQ.

The engine reads no request: its lines are known by the ids in their text, as vLLM's are. Some
name nobody, and belong to nobody.
"""
import os
import subprocess
import sys
import time

import zmq

import thread_http
import truth

ENDPOINT = f"ipc://{os.environ['BUILD']}/engine"


def engine():
    socket = zmq.Context().socket(zmq.ROUTER)
    socket.bind(ENDPOINT)
    steps = 0
    while os.getppid() != 1:
        if not socket.poll(100):
            continue
        caller, _, message = socket.recv_multipart()
        token, request_id = message.decode().split(" ")
        given = request_id or None
        steps += 1
        truth.info(f"{token} added request chatcmpl-{request_id}-0", given)
        truth.info(f"engine step {steps}, 1 running")
        time.sleep(0.001)
        truth.info(f"{token} finished: id={request_id}, reason=stop", given)
        socket.send_multipart([caller, b"", b"done"])


def handle(path, request_id):
    token = path.split("/")[2]
    socket = CONTEXT.socket(zmq.REQ)
    socket.connect(ENDPOINT)
    given = (request_id or "").split(":")[0]
    socket.send_string(f"{token} {given}")
    socket.recv()
    socket.close()
    return truth.work(path, request_id)


if sys.argv[1:] == ["engine"]:
    engine()
else:
    with subprocess.Popen([sys.executable, __file__, "engine"]) as process:
        CONTEXT = zmq.Context()
        try:
            thread_http.serve(handle)
        finally:
            process.terminate()
