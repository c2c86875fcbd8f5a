#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""What is pinned outlives its process, and the next takes it over: see pins.c."""
import os
import subprocess
import sys
from pathlib import Path

pins = Path(os.environ["REQTAP"]).parent / "live/pins"
sys.exit(subprocess.run([pins, os.environ.get("REQTAP_PLAN", "syscall")], check=False).returncode)
