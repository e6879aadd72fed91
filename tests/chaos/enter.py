"""Starts a command in another machine's namespaces and prints its pid, as seen
from here. The command is an orphan: the first process here reaps it."""
import ctypes
import json
import os
import sys

CLONE_NEWNS, CLONE_NEWPID, CLONE_NEWNET = 0x20000, 0x20000000, 0x40000000
MS_REC_PRIVATE = 0x4000 | 0x40000
libc = ctypes.CDLL(None, use_errno=True)


def must(result, what):
    if result < 0:
        raise OSError(ctypes.get_errno(), what)


def join(path, kind):
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    must(libc.setns(fd, kind), path)


def main():
    job = json.loads(sys.argv[1])
    join(job["net"], CLONE_NEWNET)
    if job["new"]:
        must(libc.unshare(CLONE_NEWNS | CLONE_NEWPID), "unshare")
        must(libc.mount(b"none", b"/", None, MS_REC_PRIVATE, None), "mount")
    elif job["pid"]:
        base = "/proc/%d/ns/" % job["pid"]
        fds = [os.open(base + name, os.O_RDONLY) for name in ("pid", "mnt")]
        must(libc.setns(fds[0], CLONE_NEWPID), "setns pid")
        must(libc.setns(fds[1], CLONE_NEWNS), "setns mnt")
    read, write = os.pipe()
    child = os.fork()
    if child:
        os.close(write)
        failed = os.read(read, 1000)  # ends when the command runs
        if failed:
            sys.exit(failed.decode())
        print(child)
        return
    try:
        os.setsid()
        log = os.open(job["log"] or "/dev/null",
                      os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        null = os.open("/dev/null", os.O_RDONLY)
        os.dup2(null, 0)
        os.dup2(log, 1)
        os.dup2(log, 2)
        os.chdir("/")
        env = job["env"] or {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"}
        os.execve(job["argv"][0], job["argv"], env)
    except OSError as error:
        os.write(write, str(error).encode())
        os._exit(1)


main()
