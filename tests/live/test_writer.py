#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""What arrived at a stream's reader is what was captured: random writers, see writer.c."""
import os
import random
import subprocess
import sys
from pathlib import Path

writer = Path(os.environ["REQTAP"]).parent / "live/writer"
plan = os.environ.get("REQTAP_PLAN", "syscall")
seed = os.environ.get("SEED") or str(random.randrange(1, 1 << 20))
writes = os.environ.get("WRITES") or ("4000" if "REQTAP_VM" in os.environ else "20000")
kind = [os.environ["KIND"]] if "KIND" in os.environ else []
sys.exit(subprocess.run([writer, plan, seed, writes, *kind], check=False).returncode)
