#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""An OTLP/HTTP logs receiver for tests, that can misbehave.

It decodes with python3-protobuf from a schema of its own (tests/otlp/logs.proto) and writes
every record that it accepted as one JSON line. As a program:

    tests/receiver.py --port 0 --print-port --out FILE [--fault SPEC] [--header 'name: value']

prints its port, serves until SIGTERM. As a module:

    with Receiver(out=path) as receiver:      # receiver.port, .url, .records(), .requests
        receiver.fault = Fault.parse("503")

A fault is a comma-separated list, in force until it is replaced, or for its first requests:
    503 (any status)        answers it; 200 works as usual
    retry-after=2           adds the header; "date:2" makes it an HTTP date
    message=TEXT            the google.rpc.Status message of the answer
    partial=3               accepts all but the last 3 records of each request
    413over=N               413 to a body of more than N bytes
    reset                   resets the connection in the middle of the body
    drop                    reads the request and closes without an answer
    lost-ack                accepts the records and closes without an answer
    stall=S                 reads the request, waits S seconds, closes without an answer
    slow=S                  reads the body in small pieces, S seconds in all
    redirect=URL            307
    big=N                   a response body of N bytes
    count=N                 only the next N requests;  every=N: one in N requests
Over HTTP, `POST /_fault` with such a list as the body sets it, `GET /_stats` shows counters.
"""
import argparse
import base64
import ctypes
import ctypes.util
import email.utils
import gzip
import json
import signal
import socket
import ssl
import struct
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import DecodeError

SCHEMA = Path(__file__).resolve().parent / "otlp" / "logs.proto"
PACKAGE = "opentelemetry.proto.collector.logs.v1."
RAW_MAX = 64 << 20


def load_messages():
    """The schema's classes by name, compiled by protoc at run time: nothing generated is kept."""
    data = subprocess.run(
        ["protoc", f"-I{SCHEMA.parent}", "--descriptor_set_out=/dev/stdout", SCHEMA.name],
        check=True, stdout=subprocess.PIPE).stdout
    pool = descriptor_pool.DescriptorPool()
    for file in descriptor_pb2.FileDescriptorSet.FromString(data).file:
        pool.Add(file)
    factory = message_factory.MessageFactory(pool)
    return {name: factory.GetPrototype(pool.FindMessageTypeByName(PACKAGE + name))
            for name in ("ExportLogsServiceRequest", "ExportLogsServiceResponse", "Status")}


MESSAGES = load_messages()


def unzstd(data):
    lib = ctypes.CDLL(ctypes.util.find_library("zstd") or "libzstd.so.1")
    lib.ZSTD_getFrameContentSize.restype = ctypes.c_ulonglong
    lib.ZSTD_decompress.restype = ctypes.c_size_t
    size = lib.ZSTD_getFrameContentSize(data, ctypes.c_size_t(len(data)))
    if size > RAW_MAX:
        raise ValueError("not zstd, or too large")
    out = ctypes.create_string_buffer(size + 1)
    done = lib.ZSTD_decompress(out, ctypes.c_size_t(size), data, ctypes.c_size_t(len(data)))
    if lib.ZSTD_isError(ctypes.c_size_t(done)):
        raise ValueError("damaged zstd")
    return out.raw[:done]


def any_value(value):
    kind = value.WhichOneof("value")
    return getattr(value, kind) if kind else None


def attributes(pairs):
    result = {}
    for pair in pairs:
        if pair.key in result:
            raise ValueError(f"attribute {pair.key} occurs twice")
        result[pair.key] = any_value(pair.value)
    return result


def decode(body):
    """Records of a request as dictionaries, in order."""
    records = []
    request = MESSAGES["ExportLogsServiceRequest"].FromString(body)
    for resource_logs in request.resource_logs:
        resource = attributes(resource_logs.resource.attributes)
        for scope_logs in resource_logs.scope_logs:
            for record in scope_logs.log_records:
                entry = {
                    "time_unix_nano": record.time_unix_nano,
                    "observed_time_unix_nano": record.observed_time_unix_nano,
                    "body": any_value(record.body),
                    "attributes": attributes(record.attributes),
                    "resource": resource,
                    "scope": scope_logs.scope.name,
                    "scope_version": scope_logs.scope.version,
                }
                if record.severity_number or record.severity_text:
                    entry["severity_number"] = record.severity_number
                    entry["severity_text"] = record.severity_text
                if record.trace_id:
                    entry["trace_id"] = record.trace_id.hex()
                    entry["span_id"] = record.span_id.hex()
                    entry["flags"] = record.flags
                records.append(entry)
    if not records:
        raise ValueError("an empty envelope")
    return records


class Fault:
    """What to do wrong, and how often."""

    FLAGS = {"reset", "drop", "lost-ack"}
    VALUES = {"retry-after": str, "message": str, "partial": int, "413over": int, "stall": float,
              "slow": float, "redirect": str, "big": int, "count": int, "every": int}

    def __init__(self):
        self.status = 200
        self.options = {}
        self.lock = threading.Lock()
        self.seen = 0

    @classmethod
    def parse(cls, text):
        fault = cls()
        for item in filter(None, (part.strip() for part in (text or "").split(","))):
            name, _, value = item.partition("=")
            if name.isdigit() and not value:
                fault.status = int(name)
            elif name in cls.FLAGS and not value:
                fault.options[name] = True
            elif name in cls.VALUES and value:
                fault.options[name] = cls.VALUES[name](value)
            else:
                raise ValueError(f"no fault '{item}'")
        return fault

    def draw(self):
        """Whether it holds for this request."""
        with self.lock:
            self.seen += 1
            if "count" in self.options and self.seen > self.options["count"]:
                return False
            return "every" not in self.options or self.seen % self.options["every"] == 0

    def get(self, name, default=None):
        return self.options.get(name, default)


# What each checks, by its documentation: docs/export.md.
VENDORS = {
    "honeycomb": ("/v1/logs", "x-honeycomb-team", lambda v: len(v) >= 8, ("gzip", "zstd", "none")),
    "datadog": ("/v1/logs", "dd-api-key", lambda v: len(v) >= 8, ("gzip", "none")),
    "grafana": ("/otlp/v1/logs", "authorization",
                lambda v: v.startswith("Basic ") and b":" in base64.b64decode(v[6:]),
                ("gzip", "none")),
    "newrelic": ("/v1/logs", "api-key", lambda v: len(v) >= 8, ("gzip", "zstd")),
    "sentry": (None, "x-sentry-auth", lambda v: v.startswith("sentry sentry_key="),
               ("gzip", "none")),
    "loki": ("/otlp/v1/logs", None, None, ("gzip", "none")),
    "elastic": ("/v1/logs", "authorization", lambda v: v.startswith("ApiKey "), ("gzip", "none")),
    "collector": ("/v1/logs", None, None, ("gzip", "zstd", "none")),
}


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 120
    disable_nagle_algorithm = True

    def log_message(self, *args):
        pass

    @property
    def receiver(self):
        return self.server.receiver

    def answer(self, status, body=b"", headers=(), content_type="application/x-protobuf"):
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        for name, value in headers:
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def refuse(self, status, message, headers=()):
        body = MESSAGES["Status"](code=3, message=message).SerializeToString()
        self.receiver.count(f"status_{status}")
        self.answer(status, body, headers)

    def hang_up(self, reset=False):
        if reset:
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER,
                                       struct.pack("ii", 1, 0))
        self.close_connection = True
        self.connection.close()

    def read_body(self, fault):
        left = int(self.headers.get("Content-Length", 0))
        pieces = []
        pause = fault.get("slow", 0) / 20 if fault else 0
        step = max(1, left // 20) if pause else 1 << 20
        while left:
            piece = self.rfile.read(min(step, left))
            if not piece:
                raise ConnectionError("body ended early")
            pieces.append(piece)
            left -= len(piece)
            time.sleep(pause)
        return b"".join(pieces)

    def decompress(self, body):
        encoding = self.headers.get("Content-Encoding", "none")
        if encoding == "gzip":
            return gzip.decompress(body)
        return unzstd(body) if encoding == "zstd" else body

    def problem(self):
        """(status, message) of a request that this receiver does not take, or None."""
        receiver = self.receiver
        if self.headers.get("Content-Type") != "application/x-protobuf":
            return 415, f"content type {self.headers.get('Content-Type')}"
        if receiver.vendor:
            path, header, check, encodings = VENDORS[receiver.vendor]
            if path and self.path != path:
                return 404, f"no path {self.path}"
            if header and not check(self.headers.get(header, "")):
                return 401, f"bad {header}"
            if self.headers.get("Content-Encoding", "none") not in encodings:
                return 415, f"encoding {self.headers.get('Content-Encoding')}"
        if receiver.credentials is not None:
            name, values = receiver.credentials
            if self.headers.get(name) not in values:
                return 401, "invalid credential"
        return None

    def do_GET(self):
        body = json.dumps(self.receiver.stats()).encode()
        self.answer(200, body, content_type="application/json")

    def do_POST(self):
        receiver = self.receiver
        if self.path == "/_fault":
            receiver.fault = Fault.parse(self.read_body(None).decode())
            return self.answer(200)
        receiver.count("requests")
        receiver.last_headers = dict(self.headers.items())
        receiver.last_path = self.path
        fault = receiver.fault if receiver.fault.draw() else None
        if fault and fault.get("reset"):
            self.rfile.read(int(self.headers.get("Content-Length", 0)) // 2)
            return self.hang_up(reset=True)
        body = self.read_body(fault)
        if fault and (fault.get("drop") or fault.get("stall")):
            receiver.stopping.wait(fault.get("stall", 0))
            return self.hang_up()
        return self.respond(fault, body)

    def respond(self, fault, body):
        problem = self.problem()
        if problem:
            return self.refuse(*problem)
        if fault and fault.get("413over") is not None and len(body) > fault.get("413over"):
            return self.refuse(413, "request too large")
        if fault and fault.get("redirect"):
            return self.refuse(307, "elsewhere", [("Location", fault.get("redirect"))])
        if fault and fault.status != 200:
            return self.refuse(fault.status, fault.get("message", f"fault {fault.status}"),
                               self.retry_after(fault))
        try:
            records = decode(self.decompress(body))
        except (ValueError, DecodeError, OSError, EOFError) as err:
            self.receiver.count("bad_requests")
            return self.refuse(400, f"cannot decode: {err}")
        return self.accept(fault, body, records)

    @staticmethod
    def retry_after(fault):
        value = fault.get("retry-after")
        if not value:
            return []
        if value.startswith("date:"):
            value = email.utils.formatdate(time.time() + float(value[5:]), usegmt=True)
        return [("Retry-After", value)]

    def accept(self, fault, body, records):
        response = MESSAGES["ExportLogsServiceResponse"]()
        rejected = min(fault.get("partial", 0), len(records)) if fault else 0
        if rejected:
            records = records[:len(records) - rejected]
            response.partial_success.rejected_log_records = rejected
            response.partial_success.error_message = f"{rejected} records are too old"
        self.receiver.store(records, len(body))
        if fault and fault.get("lost-ack"):
            return self.hang_up()
        data = response.SerializeToString()
        if fault and fault.get("big"):
            data = b"\x0a" * fault.get("big")
        return self.answer(200, data)


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128
    receiver = None

    def handle_error(self, request, client_address):
        error = sys.exc_info()[1]
        if not isinstance(error, (OSError, ValueError)):
            super().handle_error(request, client_address)


class Receiver:
    """A receiver on 127.0.0.1, in threads of this process."""

    def __init__(self, out=None, port=0, fault="", vendor=None, credentials=None, tls=None,
                 client_ca=None, keep=True):
        self.fault = Fault.parse(fault)
        self.vendor = vendor
        self.credentials = credentials  # (header name, set of values)
        self.last_headers = {}
        self.last_path = None
        self.stopping = threading.Event()
        self.lock = threading.Lock()
        self.counters = {"requests": 0, "accepted": 0, "records": 0, "bytes": 0}
        self.kept = [] if keep else None
        self.out = open(out, "a", encoding="utf-8") if out else None
        self.scheme = "https" if tls else "http"
        self.server = Server(("127.0.0.1", port), Handler)
        self.server.receiver = self
        self.port = self.server.server_address[1]
        if tls:
            self.wrap(tls, client_ca)
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True)

    def wrap(self, tls, client_ca):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*tls)
        if client_ca:
            context.load_verify_locations(client_ca)
            context.verify_mode = ssl.CERT_REQUIRED
        # The handshake belongs in the connection's thread, not in accept().
        self.server.socket = context.wrap_socket(self.server.socket, server_side=True,
                                                 do_handshake_on_connect=False)

    @property
    def url(self):
        return f"{self.scheme}://127.0.0.1:{self.port}/v1/logs"

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *args):
        self.close()

    def close(self):
        self.stopping.set()
        if self.thread.is_alive():
            self.server.shutdown()
        self.server.server_close()
        if self.out:
            self.out.close()
            self.out = None

    def count(self, name, by=1):
        with self.lock:
            self.counters[name] = self.counters.get(name, 0) + by

    def stats(self):
        with self.lock:
            return dict(self.counters)

    def store(self, records, size):
        arrival_ns = time.time_ns()
        with self.lock:
            number = self.counters["accepted"]
            self.counters["accepted"] += 1
            self.counters["records"] += len(records)
            self.counters["bytes"] += size
            for record in records:
                record["arrival_ns"] = arrival_ns
                record["request"] = number
            if self.out:
                self.out.write("".join(json.dumps(r, ensure_ascii=False) + "\n" for r in records))
                self.out.flush()
            if self.kept is not None:
                self.kept.extend(records)

    def records(self):
        with self.lock:
            return list(self.kept)

    def wait_for(self, count, seconds):
        """Waits until so many records are there; returns how many are."""
        deadline = time.monotonic() + seconds
        while self.stats()["records"] < count and time.monotonic() < deadline:
            time.sleep(0.02)
        return self.stats()["records"]


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--print-port", action="store_true")
    parser.add_argument("--out", help="file of JSON lines; appended to")
    parser.add_argument("--fault", default="")
    parser.add_argument("--vendor", choices=sorted(VENDORS))
    parser.add_argument("--header", help="'name: value' that must be there, else 401")
    parser.add_argument("--tls", nargs=2, metavar=("CERT", "KEY"))
    parser.add_argument("--client-ca", help="clients must have a certificate of it")
    args = parser.parse_args()
    credentials = None
    if args.header:
        name, _, value = args.header.partition(":")
        credentials = (name.strip(), {value.strip()})
    receiver = Receiver(out=args.out, port=args.port, fault=args.fault, vendor=args.vendor,
                        credentials=credentials, tls=args.tls, client_ca=args.client_ca,
                        keep=False)
    ended = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ended.set())
    with receiver:
        if args.print_port:
            print(receiver.port, flush=True)
        ended.wait()


if __name__ == "__main__":
    main()
