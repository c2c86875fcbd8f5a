# SPDX-License-Identifier: Apache-2.0
"""The standard library's server: a thread for each connection."""
import os
import ssl
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
    server = Server(("127.0.0.1", truth.PORT), Handler)
    if "CERT" in os.environ:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(os.environ["CERT"])
        # the handshake belongs to the connection's thread, not to the one that accepts
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    server.serve_forever()


if __name__ == "__main__":
    serve(truth.work)
