"""Aleph messages for checks: Keccak-256, secp256k1 and EIP-191 in plain Python.

Slow, obvious, and written apart from the code that is tested.
"""

import hashlib
import json

P = 2**256 - 2**32 - 977
N = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
G = (0x79BE667EF9DCBBAC55A06295CE870B07029BFCDB2DCE28D959F2815B16F81798,
     0x483ADA7726A3C4655DA4FBFC0E1108A8FD17B448A68554199C47D08FFB10D4B8)
MASK = 2**64 - 1


def rotate(lane, by):
    by %= 64
    return (lane << by | lane >> (64 - by)) & MASK


def permute(a):
    lfsr = 1
    for _ in range(24):
        c = [a[x][0] ^ a[x][1] ^ a[x][2] ^ a[x][3] ^ a[x][4]
             for x in range(5)]
        for x in range(5):
            d = c[(x - 1) % 5] ^ rotate(c[(x + 1) % 5], 1)
            for y in range(5):
                a[x][y] ^= d
        x, y, held = 1, 0, a[1][0]
        for t in range(24):
            x, y = y, (2 * x + 3 * y) % 5
            a[x][y], held = rotate(held, (t + 1) * (t + 2) // 2), a[x][y]
        for y in range(5):
            row = [a[x][y] for x in range(5)]
            for x in range(5):
                a[x][y] = row[x] ^ (~row[(x + 1) % 5] & MASK
                                    & row[(x + 2) % 5])
        for j in range(7):  # the round constant, bit by bit
            if lfsr & 1:
                a[0][0] ^= 1 << ((1 << j) - 1)
            lfsr = lfsr << 1 ^ (0x171 if lfsr & 0x80 else 0)


def keccak256(data):
    data = bytearray(data) + b"\x01"
    data += bytes(-len(data) % 136)
    data[-1] |= 0x80
    a = [[0] * 5 for _ in range(5)]
    for at in range(0, len(data), 136):
        for i in range(17):
            lane = int.from_bytes(data[at + 8 * i:at + 8 * i + 8], "little")
            a[i % 5][i // 5] ^= lane
        permute(a)
    return b"".join(a[i][0].to_bytes(8, "little") for i in range(4))


def add(p, q):
    if p is None or q is None:
        return p or q
    if p[0] == q[0]:
        if (p[1] + q[1]) % P == 0:
            return None
        slope = 3 * p[0] * p[0] * pow(2 * p[1], -1, P)
    else:
        slope = (q[1] - p[1]) * pow(q[0] - p[0], -1, P)
    x = (slope * slope - p[0] - q[0]) % P
    return x, (slope * (p[0] - x) - p[1]) % P


def multiply(k, p=G):
    result = None
    while k:
        if k & 1:
            result = add(result, p)
        p = add(p, p)
        k >>= 1
    return result


class Key:
    def __init__(self, secret):
        self.secret = secret
        x, y = multiply(secret)
        raw = keccak256(x.to_bytes(32, "big") + y.to_bytes(32, "big"))
        low = raw[12:].hex()
        shade = keccak256(low.encode()).hex()
        self.address = "0x" + "".join(
            c.upper() if int(s, 16) > 7 else c for c, s in zip(low, shade))

    def sign(self, text):
        data = text.encode()
        z = int.from_bytes(keccak256(
            b"\x19Ethereum Signed Message:\n%d" % len(data) + data), "big")
        k = int.from_bytes(hashlib.sha256(
            b"%d %d" % (self.secret, z)).digest(), "big") % N
        x, y = multiply(k)
        s = pow(k, -1, N) * (z + x * self.secret) % N
        odd = y & 1
        if s > N // 2:
            s, odd = N - s, 1 - odd
        return "0x%064x%064x%02x" % (x, s, 27 + odd)


def message(key, kind, content, time, channel="TEST", address=None):
    """A signed inline message, as the stock client makes it."""
    content = {"address": address or key.address, "time": time, **content}
    text = json.dumps(content, separators=(",", ":"))
    item_hash = hashlib.sha256(text.encode()).hexdigest()
    return {"sender": key.address, "chain": "ETH", "type": kind,
            "item_hash": item_hash, "item_type": "inline",
            "item_content": text, "time": time, "channel": channel,
            "signature": key.sign("ETH\n%s\n%s\n%s" % (key.address, kind,
                                                       item_hash))}


def store(file_hash, **more):
    return {"item_type": "storage", "item_hash": file_hash, **more}


def program(store_hash, persistent=True, **more):
    """The content that `aleph program upload --updatable` makes."""
    return {"type": "vm-function", "allow_amend": True,
            "metadata": {"name": "demo"}, "authorized_keys": [],
            "variables": {}, "volumes": [],
            "on": {"http": True, "persistent": persistent},
            "environment": {"reproducible": False, "internet": False,
                            "aleph_api": True, "shared_cache": False},
            "resources": {"vcpus": 1, "memory": 256, "seconds": 30},
            "payment": {"chain": "ETH", "type": "hold"},
            "runtime": {"ref": "63f07193e6ee9d207b7d1fcf8286f9aee34e6f12f101d2"
                               "ec77c1229f92964696",
                        "use_latest": True, "comment": "runtime"},
            "code": {"encoding": "zip", "entrypoint": "main:app",
                     "ref": store_hash, "use_latest": True}, **more}
