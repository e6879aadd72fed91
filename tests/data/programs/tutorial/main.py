"""The program of the tutorial, and a witness that it runs alone."""
import collections
import fcntl
import os
import sys
import threading
import time

from fastapi import FastAPI

EPOCH = os.environ.get("BERTH_EPOCH", "")
PROGRAM = os.environ.get("BERTH_PROGRAM", "")


def witness(path):
    """Locks the file for as long as this process lives, and writes to it."""
    os.umask(0)
    try:
        file = os.open(path, os.O_RDWR | os.O_APPEND)
    except FileNotFoundError:
        file = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o666)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        with open(path + ".refused", "a") as note:
            note.write(f"{EPOCH} {time.clock_gettime_ns(time.CLOCK_BOOTTIME)}\n")
        sys.exit(1)
    host = os.uname().nodename
    while True:
        now = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
        os.write(file, f"{EPOCH} {host} {now}\n".encode())
        yield
        time.sleep(0.02)


if os.environ.get("WITNESS"):
    lines = witness(os.environ["WITNESS"])
    next(lines)
    threading.Thread(target=lambda: collections.deque(lines, 0), daemon=True).start()

app = FastAPI()


@app.get("/")
async def root():
    return {"Hello": "World", "epoch": EPOCH, "program": PROGRAM}


@app.get("/items/{item_id}")
async def item(item_id: int, q: str | None = None):
    return {"item_id": item_id, "q": q}
