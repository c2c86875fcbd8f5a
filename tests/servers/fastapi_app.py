# SPDX-License-Identifier: Apache-2.0
"""FastAPI on uvicorn; LOOP and ROUTE of the environment say how the handler is written."""
import asyncio
import os

import uvicorn
from fastapi import BackgroundTasks, FastAPI, Request, WebSocket
from fastapi.responses import PlainTextResponse, StreamingResponse

import asgi
import truth

app = FastAPI(on_startup=[asgi.start])


def given(request):
    return request.headers.get(truth.HEADER)


async def plain(kind: str, token: str, request: Request):
    return PlainTextResponse(await asgi.work(kind, token, given(request)))


def pooled(kind: str, token: str, request: Request):
    return PlainTextResponse(truth.work(f"/{kind}/{token}", given(request)))


async def streaming(kind: str, token: str, request: Request):
    request_id = given(request)

    async def tokens():
        for n in range(3):
            truth.info(f"{token} token {n}", request_id)
            yield f"{token} {n}\n"
            await asyncio.sleep(0.001)
        truth.info(f"{token} done", request_id)

    return StreamingResponse(tokens())


async def background(kind: str, token: str, request: Request, tasks: BackgroundTasks):
    request_id = given(request)

    async def later():
        await asyncio.sleep(0.02)
        truth.info(f"{token} after the response", request_id)

    tasks.add_task(later)
    tasks.add_task(truth.info, f"{token} in the pool", request_id)
    return PlainTextResponse(await asgi.work(kind, token, request_id))


async def executor(kind: str, token: str, request: Request):
    # copies no context: its thread's lines may stay without id
    loop = asyncio.get_running_loop()
    return PlainTextResponse(await loop.run_in_executor(None, truth.work, f"/{kind}/{token}", given(request)))


async def daemon():
    await asyncio.sleep(1.5)  # beyond the default of --lineage-grace
    n = 0
    while True:
        n += 1
        truth.info(f"lazy task {n}")
        await asyncio.sleep(0.005)


async def lazy(kind: str, token: str, request: Request):
    # started by the first request, logs for ever
    if len(asgi.Started.tasks) == 1:
        asgi.Started.tasks.append(asyncio.create_task(daemon()))
    return PlainTextResponse(await asgi.work(kind, token, given(request)))


async def websocket(socket: WebSocket, kind: str, token: str):
    await socket.accept()
    request_id = given(socket)
    truth.info(f"{token} {await socket.receive_text()}", request_id)
    await socket.send_text((await asgi.work(kind, token, request_id)).decode())
    truth.info(f"{token} said {await socket.receive_text()}", request_id)
    await socket.close()


if os.environ["ROUTE"] == "websocket":
    app.websocket("/{kind}/{token}")(websocket)
else:
    app.api_route("/{kind}/{token}", methods=["GET", "POST"])(globals()[os.environ["ROUTE"]])
# uvicorn's own lines about a websocket do not say whose it is
uvicorn.run(app, host="127.0.0.1", port=truth.PORT, loop=os.environ["LOOP"],
            ssl_certfile=os.environ.get("CERT"),
            log_level="warning" if os.environ["ROUTE"] == "websocket" else "info")
