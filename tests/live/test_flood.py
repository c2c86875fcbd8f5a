#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Lines faster than they can be read: each once, or told as lost; see flood.c."""
import os
import subprocess
import sys
from pathlib import Path

reqtap = Path(os.environ["REQTAP"])
seconds = os.environ.get("FLOOD_S", "5")
rate = os.environ.get("FLOOD_RATE", "300000")
sys.exit(subprocess.run([reqtap.parent / "live/flood", reqtap, seconds, rate], check=False).returncode)
