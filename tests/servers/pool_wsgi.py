# SPDX-License-Identifier: Apache-2.0
"""waitress reads on its main thread and works on another; cheroot's pool thread does both."""
import os
import sys

import truth
import wsgi

if sys.argv[1] == "waitress":
    import waitress

    waitress.serve(wsgi.application, host="127.0.0.1", port=truth.PORT, threads=int(os.environ.get("POOL", "16")))
else:
    from cheroot.wsgi import Server

    Server(("127.0.0.1", truth.PORT), wsgi.application, numthreads=int(sys.argv[2]), request_queue_size=256).start()
