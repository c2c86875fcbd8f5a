#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""agent/python.c's table of offsets against the headers of every CPython on this machine."""
import glob
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
MINORS = range(9, 15)
PROGRAM = r"""
#include "agent/python.h"
#define Py_BUILD_CORE 1
#include <Python.h>
#include <stddef.h>
#include <internal/pycore_runtime.h>
#include <internal/pycore_interp.h>
#include <internal/pycore_context.h>
#if PY_VERSION_HEX >= 0x030e0000
#include <internal/pycore_interp_structs.h>
#include <internal/pycore_runtime_structs.h>
#endif
#if PY_VERSION_HEX >= 0x030b0000
#define THREADS threads.head
#else
#define THREADS tstate_head
#endif
int main(void)
{
	const uint32_t want[RT_PYTHON_OFFSETS] = {
		[RT_PYTHON_INTERPRETER] = offsetof(_PyRuntimeState, interpreters.main),
		[RT_PYTHON_THREADS] = offsetof(PyInterpreterState, THREADS),
		[RT_PYTHON_PREVIOUS] = offsetof(PyThreadState, prev),
		[RT_PYTHON_NEXT] = offsetof(PyThreadState, next),
		[RT_PYTHON_THREAD_ID] = offsetof(PyThreadState, thread_id),
		[RT_PYTHON_CONTEXT] = offsetof(PyThreadState, context),
		[RT_PYTHON_ENTERED] = offsetof(PyContext, ctx_entered),
		[RT_PYTHON_OUTER] = offsetof(PyContext, ctx_prev),
	};
	const uint32_t *have = python__offsets(PY_MINOR_VERSION);
	/* bpf/unit_python.bpf.h takes it to lie there */
	int bad = !have || offsetof(PyThreadState, context_ver) != want[RT_PYTHON_CONTEXT] + 8;

	for (int i = 0; have && i < RT_PYTHON_OFFSETS; i++) {
		if (have[i] != want[i])
			printf("offset %d is %u, not %u\n", i, want[i], have[i]);
		bad |= have[i] != want[i];
	}
	return bad;
}
"""


def headers():
    """{minor: folder}"""
    found = {}
    for pattern in ("/usr/include/python3.*", "/usr/local/include/python3.*",
                    os.path.expanduser("~/.pyenv/versions/*/include/python3.*"),
                    *(f"{folder}/usr/include/python3.*" for folder in os.environ.get("PYTHON_HEADERS", "").split(":") if folder)):
        for folder in glob.glob(pattern):
            version = re.fullmatch(r"python3\.(\d+)", Path(folder).name)
            if version and Path(folder, "internal/pycore_runtime.h").exists():
                found.setdefault(int(version[1]), folder)
    return found


def check(folder, build):
    program = Path(build) / "offsets"
    source = program.with_suffix(".c")
    source.write_text(PROGRAM, encoding="ascii")
    done = subprocess.run(["gcc", "-w", "-D_GNU_SOURCE", f"-I{ROOT}", f"-I{folder}", f"-I{Path(folder).parent}", "-o", program, source,
                           ROOT / "agent/python.c", ROOT / "agent/elf.c", "-lelf"],
                          capture_output=True, text=True, timeout=120, check=False)
    if done.returncode:
        return done.stderr
    done = subprocess.run([program], capture_output=True, text=True, timeout=10, check=False)
    return done.stdout or f"exit status {done.returncode}" if done.returncode else ""


def main():
    found, failed = headers(), False
    for number, minor in enumerate(MINORS, 1):
        name = f"{number} - offsets of CPython 3.{minor}"
        if minor not in found:
            print(f"ok {name} # SKIP no headers of it on this machine (python3.{minor}-dev)")
            continue
        with tempfile.TemporaryDirectory() as build:
            why = check(found[minor], build)
        print(f"not ok {name}\n{why}" if why else f"ok {name}", flush=True)
        failed |= bool(why)
    print(f"1..{len(MINORS)}")
    return failed


sys.exit(main())
