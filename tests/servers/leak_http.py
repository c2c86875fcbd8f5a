# SPDX-License-Identifier: Apache-2.0
"""Lineage that must end: what the first request starts lazily, and what outlives it.

A pool thread born in a request serves others; a daemon thread started by the first request
logs for ever, and belongs to that request only until its response is complete.
"""
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import thread_http
import truth

GRACE_S = 1.5  # beyond the default of --lineage-grace


class Lazy:
    lock = threading.Lock()
    started = False
    pool = None


def daemon():
    time.sleep(GRACE_S)
    n = 0
    while True:
        n += 1
        truth.info(f"lazy daemon {n}")
        time.sleep(0.005)


def job(token, request_id):
    truth.info(f"{token} pooled", request_id)
    time.sleep(0.002)
    truth.info(f"{token} pooled still", request_id)


def handle(path, request_id):
    with Lazy.lock:
        if not Lazy.started:
            Lazy.started = True
            threading.Thread(target=daemon, daemon=True).start()
            Lazy.pool = ThreadPoolExecutor(4)
    token = path.split("/")[2]
    # the pool's lines are nobody's or the submitting request's, never another's
    Lazy.pool.submit(job, token, request_id).result()
    return truth.work(path, request_id)


thread_http.serve(handle)
