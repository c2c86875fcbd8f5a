# SPDX-License-Identifier: Apache-2.0
import asyncio

import tornado.web

import asgi
import truth


class Handler(tornado.web.RequestHandler):
    async def get(self, kind, token):
        self.write(await asgi.work(kind, token, self.request.headers.get(truth.HEADER)))

    post = get


async def main():
    asgi.start()
    tornado.web.Application([(r"/(\w+)/(\w+)", Handler)]).listen(truth.PORT, "127.0.0.1")
    await asyncio.Event().wait()


asyncio.run(main())
