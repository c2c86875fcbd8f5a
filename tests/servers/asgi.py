# SPDX-License-Identifier: Apache-2.0
"""What an asyncio server of the matrix does for a request, and tasks of no request."""
import asyncio
import os

import truth


async def call():
    host, port = os.environ["UPSTREAM"].split(":")
    # a task that waits for a stream refers to itself alone, and would be collected
    Started.tasks.append(asyncio.current_task())
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(b"GET / HTTP/1.1\r\nhost: upstream\r\n\r\n")
    await reader.read()
    writer.close()
    Started.tasks.remove(asyncio.current_task())


async def child(token, request_id):
    await asyncio.sleep(0.001)
    truth.info(f"{token} child", request_id)


async def work(kind, token, request_id):
    truth.info(f"{token} begin", request_id)
    await asyncio.sleep(0.001)
    if kind == "call":
        await call()
    await asyncio.gather(child(token, request_id),
                         asyncio.to_thread(truth.info, f"{token} thread", request_id))
    truth.say(request_id, token, "works")
    await asyncio.sleep(0.001)
    truth.info(f"{token} done", request_id)
    return f"{token}\n".encode()


async def beat():
    n = 0
    while True:
        n += 1
        truth.info(f"heartbeat task {n}")
        await asyncio.sleep(0.005)


class Started:
    """Tasks live as long as something refers to them."""

    tasks = []


def start():
    truth.heartbeats(1)
    Started.tasks.append(asyncio.create_task(beat()))
