# SPDX-License-Identifier: Apache-2.0
"""An HTTP server of the standard library alone, for any CPython from 3.9 on; prints its port first.

It is built as uvicorn is: a protocol that starts a task for each request, queues what is pipelined
and pauses reading while a body is large. Each line begins with the request's token, or with "none"
when it is no request's. /KIND/TOKEN says what a request does: see class Work.
"""
import asyncio
import contextvars
import os
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

variable = contextvars.ContextVar("variable")
kept = []  # tasks and contexts that nobody else refers to
pool = ThreadPoolExecutor(2)


def log(*words):
    """One write a line: what lies in a shared buffer is written by whichever thread flushes next."""
    os.write(1, (" ".join(map(str, words)) + "\n").encode())


def in_own_context(token):
    """Its thread's first variable makes a context without a sign, where a task's may have been."""
    variable.set(token)
    for n in range(3):
        log(token, "thread", n)
        time.sleep(0.001)


async def child(token, n):
    await asyncio.sleep(0.001)
    log(token, "child", n)


async def for_ever(token):
    while True:
        log(token, "daemon", time.monotonic())
        await asyncio.sleep(0.1)


class Work:
    """Each is a coroutine that writes its response with `send`."""

    async def plain(token, send):
        log(token, "begin")
        await asyncio.sleep(0.001)
        await asyncio.gather(child(token, 1), child(token, 2))
        log(token, "done")
        send(b"ok")

    async def group(token, send):
        if hasattr(asyncio, "TaskGroup"):
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(child(token, 1))
                tasks.create_task(child(token, 2))
        else:
            await asyncio.gather(child(token, 1), child(token, 2))
        send(b"ok")
        log(token, "access")

    async def thread(token, send):
        await asyncio.to_thread(log, token, "pool")
        send(b"ok")

    async def stream(token, send):
        for n in range(3):
            log(token, "token", n)
            send(b"word", last=False)
            await asyncio.sleep(0.002)
        log(token, "end")
        send(b"")

    async def late(token, send):
        send(b"ok")
        await asyncio.sleep(0.05)
        log(token, "after")
        await asyncio.to_thread(log, token, "after in a pool")

    async def executor(token, send):
        await asyncio.get_running_loop().run_in_executor(pool, log, token, "executor")
        send(b"ok")

    async def reuse(token, send):
        for _ in range(50):
            contextvars.copy_context().run(variable.set, 1)
        contextvars.Context().run(log, token, "fresh")
        threads = [threading.Thread(target=in_own_context, args=("none",)) for _ in range(3)]
        for thread in threads:
            thread.start()
        await asyncio.to_thread(lambda: [thread.join() for thread in threads])
        send(b"ok")

    async def daemon(token, send):
        kept.append(asyncio.create_task(for_ever(token)))
        send(b"ok")


class Protocol(asyncio.Protocol):
    def __init__(self):
        self.data, self.queue, self.busy, self.body, self.started = b"", [], False, 0, False
        self.may_pause = False  # once a body: who resumes reading is the request that it belongs to

    def connection_made(self, transport):
        self.transport = transport

    def data_received(self, data):
        self.data += data
        while True:
            taken = min(self.body, len(self.data))
            self.body -= taken
            self.data = self.data[taken:]
            if self.may_pause and self.body > 65536:
                self.may_pause = False
                self.transport.pause_reading()
            head, blank, rest = self.data.partition(b"\r\n\r\n")
            if self.body or not blank:
                return
            self.data = rest
            lines = head.decode("latin-1").split("\r\n")
            fields = dict(line.lower().split(": ", 1) for line in lines[1:])
            self.body = int(fields.get("content-length", 0))
            self.may_pause = True
            if fields.get("expect") == "100-continue":
                self.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            self.queue.append(lines[0].split(" ")[:2])
            if not self.busy:
                self.next()

    def next(self):
        self.busy, self.started = True, False
        method, path = self.queue.pop(0)
        kept.append(asyncio.get_running_loop().create_task(self.run(method, path)))

    async def run(self, method, path):
        _, kind, token = path.split("/")

        def send(data, last=True):
            if not self.started and last:
                length = b"" if method == "HEAD" else data
                self.transport.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % len(data) + length)
            else:
                head = b"" if self.started else b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"
                self.transport.write(head + b"%x\r\n%s\r\n" % (len(data), data))
            self.started = True
            if last:
                self.answered()

        if not self.transport.is_reading():
            await asyncio.sleep(0.005)
            self.transport.resume_reading()  # whose callback has this request's context
        await getattr(Work, kind)(token, send)

    def answered(self):
        self.busy = False
        if self.queue:
            self.next()  # inside the task of the request before


async def beat():
    n = 0
    while True:
        n += 1
        log("none beat", n)
        contextvars.Context().run(log, "none fresh")  # where a request's lay before
        contextvars.copy_context().copy().run(log, "none copied")
        kept.append(asyncio.create_task(child("none", n)))
        await asyncio.sleep(0.003)


async def main():
    server = await asyncio.get_running_loop().create_server(Protocol, "127.0.0.1", 0)
    kept.append(asyncio.create_task(beat()))
    log("port", server.sockets[0].getsockname()[1])
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)


asyncio.run(main())
