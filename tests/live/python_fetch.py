#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""python_fetch.py FOLDER: Debian's CPython 3.14 with its own C library, unpacked, not installed.

FOLDER/python3.14 runs it; FOLDER/tree/usr/include has its headers.
"""
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "vm"))
import kernels  # noqa: E402

PACKAGES = ("python3.14-minimal", "libpython3.14-minimal", "libpython3.14-stdlib", "libpython3.14-dev", "libc6", "libexpat1", "zlib1g")
RUN = """#!/bin/sh
tree={tree}
exec $tree/usr/lib64/ld-linux-x86-64.so.2 --library-path $tree/usr/lib/x86_64-linux-gnu $tree/usr/bin/python3.14 "$@"
"""


def main():
    folder = Path(sys.argv[1]).resolve()
    run = folder / "python3.14"
    if run.exists():
        return
    suite = kernels.Suite(folder, "forky", "amd64")
    for package in PACKAGES:
        suite.unpack(package, folder / "tree")
    run.write_text(RUN.format(tree=folder / "tree"), encoding="ascii")
    run.chmod(0o755)


main()
