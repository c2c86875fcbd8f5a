# SPDX-License-Identifier: Apache-2.0
"""Builds the guest's initramfs: busybox, this machine's Python and servers, reqtap and its tests."""
import json
import os
import shutil
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
APPLETS = "sh mount ip stty poweroff ls cat ps sleep kill env head tail grep timeout sed dd gzip base64 true false mknod mkdir rm tee echo seq".split()
BINARIES = ["/usr/bin/python3", "/usr/sbin/bpftool", "/usr/bin/curl", "/bin/bash", "/usr/bin/gunicorn", "/usr/sbin/runc",
            "/usr/bin/protoc", "/usr/bin/setpriv"]
MODULES = "flask gunicorn werkzeug jinja2 click itsdangerous markupsafe blinker packaging google pkg_resources " \
          "fastapi starlette pydantic uvicorn asgiref h11 anyio sniffio idna typing_extensions".split()
INIT = "#!/bin/busybox sh\nexport PATH=/usr/bin:/bin:/usr/sbin:/sbin HOME=/ PYTHONDONTWRITEBYTECODE=1\n" \
       "mount -t devtmpfs dev /dev\nexec /usr/bin/python3 /vm/guest.py\n"


def libraries(binary):
    """What the dynamic linker of this machine loads for `binary`; nothing for a static one."""
    listed = subprocess.run(["ldd", str(binary)], text=True, capture_output=True, check=False).stdout
    return {word for line in listed.splitlines() for word in line.split() if word.startswith("/")}


def copy(root, source):
    target = root / str(source).lstrip("/")
    if not target.exists() and os.path.exists(source):
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(os.path.realpath(source), target)


def copy_python(root):
    stdlib = Path(os.path.dirname(os.__file__))
    dynload = stdlib / "lib-dynload"
    shutil.copytree(stdlib, root / str(stdlib).lstrip("/"),
                    ignore=shutil.ignore_patterns("test", "idlelib", "lib2to3", "pydoc_data", "ensurepip", "site-packages",
                                                  "dist-packages", "config-*"))
    packages = Path("/usr/lib/python3/dist-packages")
    for name in MODULES:
        for found in [packages / name, packages / f"{name}.py", *packages.glob(f"{name}-*-info")]:
            if found.is_dir():
                shutil.copytree(found, root / str(found).lstrip("/"))
            else:
                copy(root, found)
    return sorted(dynload.glob("*.so"))


def copy_project(root, output):
    shutil.copytree(ROOT / "tests", root / "reqtap/tests",
                    ignore=shutil.ignore_patterns("__pycache__", "corpus", "node_modules"))
    for made in ("reqtap", "reqtap.bpf.o", "vm/probe_load", "vm/fields", "live/writer", "live/pins",
                 "live/repoint", "bench/cost"):
        if (output / made).exists():
            target = root / "reqtap/build" / made
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(output / made, target)


def base(output, tree):
    """All but the jobs, which differ from guest to guest."""
    shutil.rmtree(tree, ignore_errors=True)
    for folder in "bin sbin usr/bin usr/sbin dev proc sys tmp run etc vm root var/tmp".split():
        (tree / folder).mkdir(parents=True)
    copy(tree, "/bin/busybox")
    for applet in APPLETS:
        (tree / "bin" / applet).symlink_to("busybox")
    (tree / "bin/sh").unlink(missing_ok=True)
    (tree / "bin/sh").symlink_to("bash" if os.path.exists("/bin/bash") else "busybox")
    wanted = [Path(b) for b in BINARIES if os.path.exists(b)] + copy_python(tree)
    copy_project(tree, output)
    made = [p for p in (tree / "reqtap/build").rglob("*") if p.is_file() and os.access(p, os.X_OK)]
    for library in set().union(*(libraries(p) for p in wanted + made)):
        copy(tree, library)
    for binary in wanted:
        copy(tree, binary)
    (tree / "init").write_text(INIT, encoding="utf-8")
    (tree / "init").chmod(0o755)
    (tree / "etc/passwd").write_text("root:x:0:0:root:/root:/bin/sh\n", encoding="utf-8")
    (tree / "etc/hosts").write_text("127.0.0.1 localhost\n::1 localhost\n", encoding="utf-8")
    shutil.copy2(ROOT / "tests/vm/guest.py", tree / "vm/guest.py")
    return pack(tree, output / "vmtest/base.cpio")


def pack(tree, archive):
    with open(archive, "wb") as out:
        names = subprocess.run(["find", ".", "-mindepth", "1"], cwd=tree, check=True, capture_output=True).stdout
        subprocess.run(["cpio", "-o", "-H", "newc", "--quiet"], cwd=tree, input=names, stdout=out, check=True)
    return archive


def with_jobs(base_archive, jobs, home):
    """A guest's archive: the kernel unpacks one after another what is concatenated."""
    tree = home / "jobs"
    (tree / "vm").mkdir(parents=True, exist_ok=True)
    (tree / "vm/jobs.json").write_text(json.dumps(jobs), encoding="utf-8")
    archive = home / "initramfs.cpio"
    with open(archive, "wb") as out:
        for part in (base_archive, pack(tree, home / "jobs.cpio")):
            out.write(part.read_bytes())
    return archive
