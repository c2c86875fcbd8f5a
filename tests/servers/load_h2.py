# SPDX-License-Identifier: Apache-2.0
"""The load of load.py over HTTP/2 without TLS: many streams at a time on few connections.

Some calls are cancelled, at once or a moment later; what their handlers write counts as of their id
all the same, but need not be there. With the option "grpc", bodies are messages of gRPC; with
"method", all calls are of that one, and say their path in x-path.
"""
import asyncio
import random

import h2.config
import h2.connection
import h2.errors
import h2.events
import load

PER_CONNECTION = 25  # streams at a time
BODY_BYTES = 20000  # within the first window of a stream
TIMEOUT_S = 20


def fields(request, grpc, method=None):
    """The request's head as HTTP/2 has it: names in lower case, values as they are."""
    line, *lines = request.head.decode().rstrip("\r\n").split("\r\n")
    verb, path, _ = line.split(" ")
    pairs = [(":method", "POST" if grpc else verb), (":scheme", "http"), (":path", method or path),
             (":authority", "localhost")] + ([("x-path", path)] if method else [])
    skipped = ("host", "content-length", *(("content-type",) if grpc else ()))
    for text in lines:
        name, value = text.split(": ", 1)
        if name.lower() not in skipped:
            pairs.append((name.lower(), value))
    return pairs + ([("content-type", "application/grpc"), ("te", "trailers")] if grpc else [])


def content(request, grpc):
    body = request.body[:BODY_BYTES]
    return b"\0" + len(body).to_bytes(4, "big") + body if grpc else body


class Connection:
    """One connection with several streams in flight; `requests` is shared with the others."""

    def __init__(self, port, requests, errors, options, cancelled):
        self.port, self.requests, self.errors, self.options = port, requests, errors, options
        self.cancelled = cancelled
        self.open = {}  # stream -> [request, status]
        self.state = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True, header_encoding="utf-8"))

    def begin(self):
        request = self.requests.pop(0)
        grpc = self.options.get("grpc", False)
        stream = self.state.get_next_available_stream_id()
        body = content(request, grpc)
        self.state.send_headers(stream, fields(request, grpc, self.options.get("method")), end_stream=not body)
        if body:
            for at in range(0, len(body), 16000):
                self.state.send_data(stream, body[at:at + 16000], end_stream=at + 16000 >= len(body))
        self.open[stream] = [request, None]
        if request.token in self.cancelled:
            asyncio.get_running_loop().call_later(random.choice((0, 0.002)), self.cancel, stream)

    def cancel(self, stream):
        if stream in self.open:
            self.open.pop(stream)
            self.state.reset_stream(stream, h2.errors.ErrorCodes.CANCEL)
            self.writer.write(self.state.data_to_send())
            self.fill()

    def fill(self):
        while self.requests and len(self.open) < self.limit:
            if self.state.outbound_flow_control_window <= BODY_BYTES + 5:
                break  # the server's update lets it go on
            self.begin()
        self.writer.write(self.state.data_to_send())

    def end(self, stream):
        request, status = self.open.pop(stream, (None, "200"))
        if status != "200":
            self.errors.append(f"{request.token}: {status}")

    def heard(self, event):
        if isinstance(event, h2.events.ResponseReceived) and event.stream_id in self.open:
            self.open[event.stream_id][1] = dict(event.headers)[":status"]
        elif isinstance(event, h2.events.TrailersReceived) and event.stream_id in self.open:
            grpc_status = dict(event.headers).get("grpc-status", "0")
            if grpc_status != "0":
                self.open[event.stream_id][1] = f"grpc-status {grpc_status}"
        elif isinstance(event, h2.events.DataReceived):
            self.state.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
        elif isinstance(event, h2.events.StreamEnded):
            self.end(event.stream_id)
        elif isinstance(event, h2.events.StreamReset) and event.stream_id in self.open:
            self.errors.append(f"{self.open.pop(event.stream_id)[0].token}: reset")

    async def run(self, limit):
        self.limit = limit
        reader, self.writer = await asyncio.open_connection("127.0.0.1", self.port)
        self.state.initiate_connection()
        self.fill()
        while self.requests or self.open:
            data = await asyncio.wait_for(reader.read(65536), TIMEOUT_S)
            if not data:
                self.errors.append(f"the connection ended with {len(self.open)} streams open")
                break
            for event in self.state.receive_data(data):
                self.heard(event)
            self.fill()
        self.state.close_connection()
        self.writer.write(self.state.data_to_send())
        self.writer.close()


async def run(port, in_flight, each, options, seed=1):
    """As load.run(): `in_flight` streams at a time. Cancelled ones are not in what it returns."""
    requests = [load.Request(seed, f"c{in_flight}n{n}r{r}", r + n, options)
                for r in range(each) for n in range(in_flight)]
    per_connection = options.get("per_connection", PER_CONNECTION)
    count = -(-in_flight // per_connection)
    some = range(9, len(requests), 20) if options.get("cancel", True) else ()
    cancelled = {requests[i].token for i in some}
    sent = {request.token: request for request in requests if request.token not in cancelled}
    errors = []
    jobs = [Connection(port, requests, errors, options, cancelled).run(-(-in_flight // count)) for _ in range(count)]
    for result in await asyncio.gather(*jobs, return_exceptions=True):
        if isinstance(result, BaseException):
            errors.append(repr(result))
    return sent, errors
