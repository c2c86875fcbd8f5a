# SPDX-License-Identifier: Apache-2.0
"""Greenlets: one thread, no context; right or none."""
from gevent import monkey

monkey.patch_all()

from gevent.pywsgi import WSGIServer  # noqa: E402

import truth  # noqa: E402
import wsgi  # noqa: E402

WSGIServer(("127.0.0.1", truth.PORT), wsgi.application, backlog=256).serve_forever()
