# SPDX-License-Identifier: Apache-2.0
"""gRPC in Python: a pool of threads, or tasks (KIND=aio). Calls are unary or stream their answer, in turns.

Handlers are generic, messages are bytes: no code is generated for this test.
"""
import asyncio
import os
from concurrent import futures

import grpc
import grpc.aio

import asgi
import truth


def answers_in_parts(path):
    return len(path) % 2 == 0


class Threads(grpc.GenericRpcHandler):
    """Asked by the one thread that takes all calls in; a pool's threads run what it returns."""

    def service(self, details):
        path, request_id = details.method, dict(details.invocation_metadata).get(truth.HEADER)
        truth.info(path.split("/")[2] + " named", request_id)

        def whole(_request, _context):
            return truth.work(path, request_id)

        def parts(_request, _context):
            yield b"first"
            yield truth.work(path, request_id)

        if answers_in_parts(path):
            return grpc.unary_stream_rpc_method_handler(parts)
        return grpc.unary_unary_rpc_method_handler(whole)


class Tasks(grpc.GenericRpcHandler):
    def service(self, details):
        path, request_id = details.method, dict(details.invocation_metadata).get(truth.HEADER)

        async def whole(_request, _context):
            return await asgi.work(*path.split("/")[1:], request_id)

        async def parts(_request, _context):
            yield b"first"
            yield await asgi.work(*path.split("/")[1:], request_id)

        if answers_in_parts(path):
            return grpc.unary_stream_rpc_method_handler(parts)
        return grpc.unary_unary_rpc_method_handler(whole)


async def serve_tasks():
    asgi.start()
    server = grpc.aio.server()
    server.add_generic_rpc_handlers((Tasks(),))
    server.add_insecure_port(f"127.0.0.1:{truth.PORT}")
    await server.start()
    await server.wait_for_termination()


def serve_threads():
    truth.heartbeats()
    server = grpc.server(futures.ThreadPoolExecutor(int(os.environ.get("POOL", "16"))))
    server.add_generic_rpc_handlers((Threads(),))
    server.add_insecure_port(f"127.0.0.1:{truth.PORT}")
    server.start()
    server.wait_for_termination()


if os.environ["KIND"] == "aio":
    asyncio.run(serve_tasks())
else:
    serve_threads()
