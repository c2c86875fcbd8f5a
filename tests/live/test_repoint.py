#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""A descriptor that another thread moves under a waiting call: see repoint.c."""
import os
import subprocess
import sys
from pathlib import Path

repoint = Path(os.environ["REQTAP"]).parent / "live/repoint"
sys.exit(subprocess.run([repoint, os.environ.get("REQTAP_PLAN", "syscall")], check=False).returncode)
