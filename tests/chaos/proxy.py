"""The delaying proxy: what a machine sends to a replica passes through here.

The machine's firewall turns such connections to us (box.py); we look up where
they wanted to go, connect on from the same machine, and hand on every byte
after the delay that is set between the two. Delays are changed while it runs,
by lines of JSON on our standard input:
  {"machine": "r1", "netns": "/run/netns/r1"}      serve one more machine
  {"delay": {"r1": {"10.77.1.2": 0.05}}}            seconds, each way
"""
import asyncio
import ctypes
import json
import os
import socket
import struct
import sys
import time

import box

SO_ORIGINAL_DST = 80
HELD_MAX = 1 << 20  # bytes under way in one direction
libc = ctypes.CDLL(None, use_errno=True)
delays = {}
home = os.open("/proc/self/ns/net", os.O_RDONLY)


def in_namespace(fd, work):
    if libc.setns(fd, 0x40000000) < 0:
        raise OSError(ctypes.get_errno(), "setns")
    try:
        return work()
    finally:
        libc.setns(home, 0x40000000)


def listener():
    s = socket.socket()
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    s.bind(("127.0.0.1", box.PROXY))
    s.listen(64)
    return s


def caller():
    s = socket.socket()
    s.setsockopt(socket.SOL_SOCKET, socket.SO_MARK, box.MARK)
    s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    s.setblocking(False)
    return s


async def pump(reader, writer, delay):
    """Bytes from one to the other, each as late as it has to be."""
    queue, held, room = asyncio.Queue(), [0], asyncio.Event()

    async def take():
        while True:
            data = await reader.read(65536)
            held[0] += len(data)
            queue.put_nowait((time.monotonic() + delay(), data))
            if not data:
                return
            while held[0] > HELD_MAX:
                room.clear()
                await room.wait()

    async def give():
        while True:
            due, data = await queue.get()
            wait = due - time.monotonic()
            if wait > 0:
                await asyncio.sleep(wait)
            if not data:
                writer.write_eof()
                return
            writer.write(data)
            await writer.drain()
            held[0] -= len(data)
            room.set()
    await asyncio.gather(take(), give())


async def serve(name, fd, reader, writer):
    sock = writer.get_extra_info("socket")
    raw = sock.getsockopt(socket.SOL_IP, SO_ORIGINAL_DST, 16)
    port, address = struct.unpack("!2xH4s8x", raw)
    to = socket.inet_ntoa(address)

    def delay():
        return delays.get(name, {}).get(to, 0)
    onward = None
    try:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        out = in_namespace(fd, caller)
        await asyncio.sleep(2 * delay())
        loop = asyncio.get_running_loop()
        await asyncio.wait_for(loop.sock_connect(out, (to, port)), 30)
        far, onward = await asyncio.open_connection(sock=out)
        ways = [asyncio.ensure_future(pump(reader, onward, delay)),
                asyncio.ensure_future(pump(far, writer, delay))]
        # One side that broke off breaks the other; a half-close is handed on.
        await asyncio.wait(ways, return_when=asyncio.FIRST_EXCEPTION)
        for way in ways:
            way.cancel()
        await asyncio.gather(*ways, return_exceptions=True)
    except (OSError, asyncio.TimeoutError):
        pass
    finally:
        for end in (writer, onward):
            if end is not None:
                end.transport.abort()


async def main():
    reader = asyncio.StreamReader(limit=1 << 20)
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while True:
        line = await reader.readline()
        if not line:
            return
        job = json.loads(line)
        if "delay" in job:
            delays.clear()
            delays.update(job["delay"])
            continue
        fd = os.open(job["netns"], os.O_RDONLY)
        await asyncio.start_server(
            lambda r, w, n=job["machine"], f=fd: serve(n, f, r, w),
            sock=in_namespace(fd, listener))
        print(job["machine"], flush=True)


asyncio.run(main())
