# SPDX-License-Identifier: Apache-2.0
"""Load on a server of the matrix: keep-alive connections with what could mislead attribution.

Each request has a token in its path, unlike its id, so that a line which carries the token does
not carry the id. Bodies and responses of the stub upstream carry ids that belong to nobody.
"""
import asyncio
import random
import socket
import ssl
import struct

FOREIGN = "f0" * 16
NAMES = ("x-baseten-request-id", "X-Baseten-Request-Id", "X-BASETEN-REQUEST-ID", "x-Baseten-request-ID")
TIMEOUT_S = 20
BODY = f'{{"prompt": "\r\nX-Baseten-Request-Id: {FOREIGN}\r\n\r\n"}}'.encode()


class Request:
    """What one request sends; `id` is what its lines must carry, or None."""

    def __init__(self, seed, token, number, options):
        # varied, and the same again from the same seed
        chance = random.Random(f"{seed} {token}")
        self.token = token
        self.id = None if number % 7 == 6 else f"{chance.getrandbits(128):032x}"
        kind = "call" if options.get("call", True) and number % 10 == 3 else "work"
        # `rough`: slow handlers, and clients that do not wait for the answer: gone, or gone by a reset
        rough = number % 48 if options.get("rough") else -1
        kind = "slow" if rough in (2, 11, 17, 26, 35) else kind
        self.leaves = {11: "closes", 17: "resets"}.get(rough)
        self.websocket = options.get("websocket", False)
        body = b"" if number % 4 == 1 or self.websocket else BODY * (900 if number % 50 == 18 else 1)
        lines = [f"{'POST' if body else 'GET'} /{kind}/{token} HTTP/1.1", "host: localhost"]
        lines += [f"x-filler-{i}: {'y' * 60}" for i in range(number % 3 * 4)]
        if self.websocket:
            lines += ["connection: Upgrade", "upgrade: websocket", "sec-websocket-version: 13",
                      "sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ=="]
        if self.id:
            suffix = ":" + chance.choice(("8c1f-SJC:alice", "9a00-FRA")) if number % 5 == 2 else ""
            lines.append(f"{chance.choice(NAMES)}: {self.id}{suffix}")
        if body:
            lines += [f"content-length: {len(body)}", "content-type: application/json"]
        head = ("\r\n".join(lines) + "\r\n\r\n").encode()
        self.head = head
        self.body = body
        self.split = chance.randrange(1, len(head)) if number % 8 == 5 else 0


async def read_response(reader):
    head = await reader.readuntil(b"\r\n\r\n")
    status = int(head.split(b" ", 2)[1])
    fields = {}
    for line in head.split(b"\r\n")[1:]:
        name, _, value = line.partition(b":")
        fields[name.strip().lower()] = value.strip().lower()
    if fields.get(b"transfer-encoding") == b"chunked":
        size = -1
        while size:
            size = int((await reader.readline()).split(b";")[0], 16)
            await reader.readexactly(size + 2)
    elif b"content-length" in fields:
        await reader.readexactly(int(fields[b"content-length"]))
    else:
        await reader.read()
        fields[b"connection"] = b"close"
    return status, fields.get(b"connection") == b"close"


async def send(writer, request):
    if request.split:
        writer.write(request.head[: request.split])
        await writer.drain()
        await asyncio.sleep(0.001)
    writer.write(request.head[request.split :] + request.body)
    await writer.drain()


def insecure():
    """The case made its certificate itself."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def frame(opcode, text):
    """A masked frame (RFC 6455, section 5.2), with a mask of zeros."""
    return bytes((0x80 | opcode, 0x80 | len(text))) + bytes(4) + text


async def talk(reader, writer, request):
    """A connection that becomes a WebSocket: one request, whatever is said on it."""
    await send(writer, request)
    status = int((await reader.readuntil(b"\r\n\r\n")).split(b" ", 2)[1])
    if status != 101:
        return status, True
    for opcode, text in ((1, b"hello"), (1, b"goodbye")):
        writer.write(frame(opcode, text))
        _, size = await reader.readexactly(2)  # an answer, then the server's close
        await reader.readexactly(size)
    writer.write(frame(8, b""))
    return 200, True


async def leave(writer, request):
    """Ends the connection while the handler is at work."""
    await asyncio.sleep(0.02)
    if request.leaves == "resets":
        linger = struct.pack("ii", 1, 0)
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    return 200, True


async def exchange(reader, writer, request):
    if request.websocket:
        return await talk(reader, writer, request)
    await send(writer, request)
    if request.leaves:
        return await leave(writer, request)
    return await read_response(reader)


async def connection(port, requests, errors, delay_s, tls):
    await asyncio.sleep(delay_s)  # a server's backlog may be 5
    reader = writer = None
    for request in requests:
        try:
            if writer is None:
                reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=tls)
            status, close = await asyncio.wait_for(exchange(reader, writer, request), TIMEOUT_S)
        except (OSError, EOFError, ValueError, asyncio.TimeoutError) as error:
            status, close = repr(error), True
        if status != 200:
            errors.append(f"{request.token}: {status}")
        if close and writer:
            writer.close()
            writer = None
    if writer:
        writer.close()


async def upstream(reader, writer):
    """Answers every request, with an id that is not the caller's."""
    try:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(f"HTTP/1.1 200 OK\r\nX-Baseten-Request-Id: {FOREIGN}\r\ncontent-length: 2\r\n"
                     "connection: close\r\n\r\nok".encode())
        await writer.drain()
    except (OSError, EOFError):
        pass
    writer.close()


async def start_upstream():
    server = await asyncio.start_server(upstream, "127.0.0.1", 0)
    return server, server.sockets[0].getsockname()[1]


async def run(port, connections, each, options, seed=1):
    """Returns ({token: Request}, errors)."""
    sent, errors, jobs = {}, [], []
    tls = insecure() if options.get("tls") else None
    for c in range(connections):
        requests = [Request(seed, f"c{connections}n{c}r{r}", r + c, options) for r in range(each)]
        sent.update((request.token, request) for request in requests)
        jobs.append(connection(port, requests, errors, c * 0.003, tls))
    await asyncio.gather(*jobs)
    return sent, errors
