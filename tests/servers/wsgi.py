# SPDX-License-Identifier: Apache-2.0
"""A WSGI application, for gunicorn, waitress and cheroot."""
import truth

truth.heartbeats()


def application(environ, start_response):
    environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
    body = truth.work(environ["PATH_INFO"], environ.get("HTTP_X_BASETEN_REQUEST_ID"))
    start_response("200 OK", [("content-length", str(len(body)))])
    return [body]
