# SPDX-License-Identifier: Apache-2.0
"""FastAPI on uvicorn; LOOP and ROUTE of the environment say how the handler is written."""
import asyncio
import os

import uvicorn
from fastapi import BackgroundTasks, FastAPI, Request
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


app.api_route("/{kind}/{token}", methods=["GET", "POST"])(globals()[os.environ["ROUTE"]])
uvicorn.run(app, host="127.0.0.1", port=truth.PORT, loop=os.environ["LOOP"], ssl_certfile=os.environ.get("CERT"))
