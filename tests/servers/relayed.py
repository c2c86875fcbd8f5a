#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""relayed.py [COMMAND…]: a server whose output another process copies to the stream.

With COMMAND as a shell's pipeline does it (`server | COMMAND`); without, this launcher itself copies
the lines, behind a prefix.
"""
import os
import signal
import subprocess
import sys
import time

SERVER = ["/usr/bin/python3", os.path.join(os.path.dirname(os.path.abspath(__file__)), "thread_http.py")]


def copy(lines):
    for line in lines:
        stamp = time.strftime("%H:%M:%S")
        os.write(1, f"{stamp} [worker-0] ".encode() + line)


def main():
    with subprocess.Popen(SERVER, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as server:
        signal.signal(signal.SIGTERM, lambda *_: server.terminate())
        if len(sys.argv) == 1:
            copy(server.stdout)
            return
        with subprocess.Popen(sys.argv[1:], stdin=server.stdout):
            server.stdout.close()
            server.wait()


main()
