# SPDX-License-Identifier: Apache-2.0
from aiohttp import web

import asgi
import truth


async def handle(request):
    await request.read()
    body = await asgi.work(request.match_info["kind"], request.match_info["token"], request.headers.get(truth.HEADER))
    return web.Response(body=body)


async def start(_app):
    asgi.start()


app = web.Application(client_max_size=1 << 24)
app.on_startup.append(start)
app.router.add_route("*", "/{kind}/{token}", handle)
web.run_app(app, host="127.0.0.1", port=truth.PORT, print=None)
