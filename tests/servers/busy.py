# SPDX-License-Identifier: Apache-2.0
"""FastAPI on uvicorn that logs a line for each request, as fast as it can."""
import logging
import os

import uvicorn
from fastapi import FastAPI

app = FastAPI()
log = logging.getLogger("busy")
logging.basicConfig(level=logging.INFO)


@app.get("/")
async def answer():
    log.info("answering")
    return "a short answer"


uvicorn.run(app, host="127.0.0.1", port=int(os.environ["PORT"]), access_log=False, log_level="warning")
