#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The oldest and the newest kernel, both plans, briefly; `make vmtest` is the whole matrix.

Kernels before 6.13 hold the stacks of a chain of calls to 512 bytes in all and the newest know
more of types: what loads on the kernel of this machine need not load there.
"""
import os
import subprocess
import sys
from pathlib import Path

output = Path(os.environ["REQTAP"]).parent
vm = Path(__file__).with_name("vm.py")
sys.exit(subprocess.run([sys.executable, vm, "--short", "--output", output, "--kernels", "5.10 7.2"],
                        check=False).returncode)
