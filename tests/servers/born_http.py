# SPDX-License-Identifier: Apache-2.0
"""Pools born inside requests: their threads inherit the first one's and work for all.

Every few requests a new pool of two threads takes the old one's place, so that jobs of many
requests wait in its queue while its threads are young.
"""
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import thread_http
import truth

REQUESTS = 8


class Pools:
    lock = threading.Lock()
    served = 0
    pool = None


def pool():
    with Pools.lock:
        if Pools.served % REQUESTS == 0:
            Pools.pool = ThreadPoolExecutor(2)
        Pools.served += 1
        return Pools.pool


def job(token, n, request_id):
    truth.info(f"{token} pooled {n}", request_id)
    time.sleep(0.002)
    truth.info(f"{token} pooled {n} done", request_id)


def handle(path, request_id):
    token = path.split("/")[2]
    mine = pool()
    jobs = [mine.submit(job, token, n, request_id) for n in range(3)]
    for done in jobs:
        done.result()
    return truth.work(path, request_id)


thread_http.serve(handle)
