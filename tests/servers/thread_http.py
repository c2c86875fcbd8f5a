# SPDX-License-Identifier: Apache-2.0
"""The standard library's server: a thread for each connection."""
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import truth


class Server(ThreadingHTTPServer):
    request_queue_size = 256
    daemon_threads = True


def serve(work):
    """Answers every request with what work(path, id) returns, for ever."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = -1  # head and body in one segment: no wait for a delayed ACK

        def do_GET(self):
            self.rfile.read(int(self.headers.get("content-length", 0)))
            body = work(self.path, self.headers.get(truth.HEADER))
            self.send_response(200)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_POST = do_GET

    truth.heartbeats()
    Server(("127.0.0.1", truth.PORT), Handler).serve_forever()


if __name__ == "__main__":
    serve(truth.work)
