# SPDX-License-Identifier: Apache-2.0
"""Flask on its own threaded server, keep-alive switched on."""
from flask import Flask, request
from werkzeug.serving import WSGIRequestHandler

import truth

app = Flask(__name__)
WSGIRequestHandler.protocol_version = "HTTP/1.1"


@app.route("/<kind>/<token>", methods=["GET", "POST"])
def handle(kind, token):
    request.get_data()
    return truth.work(request.path, request.headers.get(truth.HEADER))


truth.heartbeats()
app.run("127.0.0.1", truth.PORT, threaded=True)
