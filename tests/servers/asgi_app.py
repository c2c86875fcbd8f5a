# SPDX-License-Identifier: Apache-2.0
"""A bare ASGI application, for hypercorn."""
import asgi
import truth


async def application(scope, receive, send):
    if scope["type"] == "lifespan":
        await receive()
        asgi.start()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await send({"type": "lifespan.shutdown.complete"})
        return
    while (await receive()).get("more_body"):
        pass
    request_id = dict(scope["headers"]).get(truth.HEADER.encode())
    _, kind, token = scope["path"].split("/")
    body = await asgi.work(kind, token, request_id and request_id.decode())
    await send({"type": "http.response.start", "status": 200,
                "headers": [(b"content-length", str(len(body)).encode())]})
    await send({"type": "http.response.body", "body": body})
