# SPDX-License-Identifier: Apache-2.0
"""What test_paths.py runs: writes to its stdout by every path that programs take."""
import ctypes
import fcntl
import os
import select
import subprocess
import sys
import threading
import time

F_SETPIPE_SZ = 1031  # fcntl.h; a name of the module's since 3.10
LIBC = ctypes.CDLL(None, use_errno=True)


def say(text, fd=1):
    os.write(fd, text.encode() + b"\n")


def child():
    subprocess.run(["/bin/echo", "child"], check=True)
    subprocess.run(["/bin/sh", "-c", "echo shell; (echo subshell); exec echo exec"], check=True)


def double_fork():
    """An orphan, in a session of its own, that writes when its parents are gone."""
    done_read, done_write = os.pipe()
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            os.close(done_read)
            while os.getppid() == os.getsid(0):
                select.select([], [], [], 0.01)
            say("orphan")
        os._exit(0)
    os.wait()
    os.close(done_write)
    os.read(done_read, 1)


def duplicates():
    copy = os.dup(1)
    say("dup", copy)
    os.dup2(1, 77)
    say("dup2", 77)
    subprocess.run(["/bin/sh", "-c", f"echo inherited >&{copy}"], pass_fds=[copy], check=True)
    os.close(77)


def reopened():
    for path in ("/dev/stdout", "/proc/self/fd/1", "/dev/fd/1"):
        with open(path, "w", encoding="ascii") as stream:
            print("reopened " + path, file=stream)
    subprocess.run(["/bin/sh", "-c", f"echo of another > /proc/{os.getpid()}/fd/1"], check=True)


def threads():
    def write(n):
        for i in range(50):
            os.write(1, b"thread %d " % n)
            os.write(1, b"line %d\n" % i)
    running = [threading.Thread(target=write, args=(n,)) for n in range(4)]
    for thread in running:
        thread.start()
    for thread in running:
        thread.join()


def short_writes():
    """More at once than a pipe takes, without blocking: writes that are short, and maybe some that fail."""
    fd = os.open("/proc/self/fd/1", os.O_WRONLY | os.O_NONBLOCK)
    while True:
        try:  # whatever size its reader gave it; busy while more than that waits in it
            fcntl.fcntl(fd, F_SETPIPE_SZ, 65536)
            break
        except OSError:
            time.sleep(0.01)
    left = b"".join(b"short %d %s\n" % (i, b"x" * 200) for i in range(3000))
    short = False
    while left:
        try:
            wrote = os.write(fd, left)
        except BlockingIOError:
            select.select([], [fd], [], 1)
            continue
        short |= wrote < len(left)
        left = left[wrote:]
    os.close(fd)
    say(f"short writes: {short}")


def brief():
    """Processes that live for a millisecond."""
    for i in range(200):
        os.waitpid(os.posix_spawn("/bin/echo", ["echo", f"brief {i}"], {}), 0)


def vectors():
    os.writev(1, [b"vector ", b"", b"of ", b"pieces\nand ", b"lines\n"])
    os.writev(1, [b"one piece\n"])


def failing():
    """What was not written is no line."""
    before = LIBC.write(1, ctypes.c_void_p(8), 100)
    say(f"unreadable memory: {before}")


def elsewhere():
    """To other pipes and files: no lines of this one."""
    read, write = os.pipe()
    say("elsewhere, a pipe", write)
    os.close(write)
    os.read(read, 100)
    os.close(read)
    with open("/dev/null", "w", encoding="ascii") as null:
        print("elsewhere, nowhere", file=null)
    subprocess.run(["/bin/echo", "elsewhere, read by its parent"], stdout=subprocess.PIPE, check=True)


def pages():
    """Moved by the kernel: no memory of the program's holds them."""
    read, write = os.pipe()
    os.write(write, b"spliced\n")
    os.splice(read, 1, 8)
    with open("/proc/self/exe", "rb") as program:
        os.sendfile(1, program.fileno(), 0, 100)


PATHS = [child, double_fork, duplicates, reopened, threads, short_writes, brief, vectors, failing, elsewhere]


def main():
    for path in PATHS:
        path()
    if "pages" in sys.argv:
        pages()
    say("end")


main()
