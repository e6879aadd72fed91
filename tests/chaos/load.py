"""A steady load: owners at the CCN, operators and readers at the replicas."""
import os
import random
import re
import subprocess
import threading
import time

import aleph
import box
from box import ROOM
from cluster import Failed, until
from daemons import CCN

OWNER_S = 4.0  # between an owner's dealings
CLIENTS, CLIENT_S = 4, 0.25
KEYS, KEY_LIFE_S = 3, 20.0


class Program:
    def __init__(self, name, item):
        self.name, self.hash = name, item
        self.wanted = None  # when the CCN had taken it
        self.unwanted = None  # when the owner began to take it back
        self.gone = None  # when the CCN had taken that


class Load:
    def __init__(self, world, rng):
        self.world = world
        self.rng = rng
        self.ended = threading.Event()
        self.programs = []
        self.history = []  # of operators, as linear.py reads it
        self.keys_used = []
        self.counts = {}
        self.backwards = []  # a replica that told less than before
        self.lock = threading.Lock()
        self.owner = Owner(self)
        self.keys = [self.new_key() for _ in range(KEYS)]
        self.told = {}
        self.threads = []

    def count(self, what):
        with self.lock:
            self.counts[what] = self.counts.get(what, 0) + 1

    # --- being steady ----

    def start(self):
        self.owner.first()
        for _ in range(self.world.options.programs - 1):
            self.owner.upload()
        jobs = [lambda: self.repeat(self.owner.step, OWNER_S, self.rng)]
        for client in range(CLIENTS):
            rng = random.Random(self.rng.random())
            jobs.append(lambda c=Client(self, client, rng), r=rng:
                        self.repeat(c.step, CLIENT_S, r))
        jobs.append(lambda: self.repeat(self.rotate, KEY_LIFE_S,
                                        random.Random(self.rng.random())))
        for job in jobs:
            thread = threading.Thread(target=job, daemon=True)
            thread.start()
            self.threads.append(thread)

    def repeat(self, step, seconds, rng):
        while not self.ended.wait(rng.uniform(0.5, 1.5) * seconds):
            try:
                step()
            except Exception as why:  # told in the report: it is our error
                self.count("harness error: %r" % (why,))

    def stop(self):
        self.ended.set()
        for thread in self.threads:
            thread.join(30)

    # --- operators' keys ----

    def new_key(self):
        key = "%064x" % self.rng.getrandbits(256)
        self.keys_used.append(key)
        return key

    def rotate(self):
        self.keys[self.rng.randrange(KEYS)] = self.new_key()

    def read_all(self):
        """The last look at every key, at every replica: whatever was lost is
        missed here. Nothing is written any more and all have one state, so
        each replica's own answer must do."""
        rows = {}
        call = box.now()
        for r in self.world.members():
            found, page = {}, 1
            while True:
                status, _, body = r.ask(
                    "GET", "/admin/v1/programs?consistency=stale&"
                    "page_size=200&page=%d" % page, timeout=20)
                if status != 200:
                    raise Failed("%s does not list its programs" % r.name)
                for row in body["programs"]:
                    found[row["hash"]] = row
                if page * 200 >= body["total"]:
                    break
                page += 1
            rows[r.name] = found
        for name, found in rows.items():
            for key in self.keys_used:
                value = found.get(key, {}).get("memory_mib")
                self.history.append({
                    "client": name, "key": key, "op": "read", "call": call,
                    "return": box.now(), "outcome": "ok", "value": value,
                    "level": "linearizable"})
        return rows

    # --- what must be so ----

    def wanted(self):
        return [p for p in self.programs if p.wanted and not p.unwanted]

    def running(self, program):
        """Does it write? The lock is not touched: a copy that starts just
        then would be refused by our look."""
        path = os.path.join(ROOM, "witness", program.name)
        try:
            return time.time() - os.stat(path).st_mtime < 1
        except OSError:
            return False

    def wait_running(self, seconds):
        until(seconds, "all programs running", lambda: all(
            self.running(p) for p in self.wanted()), 0.2)

    def settle(self, seconds):
        """All is healed: all that is wanted runs, nothing else does."""
        self.owner.paused = True
        end = time.monotonic() + seconds

        def why():
            if self.world.leader() is None:
                return "nobody leads"
            count = len(self.world.established())
            if count != len(self.world.crns):
                return "%d CRNs are established" % count
            for p in self.programs:
                if self.running(p) != (p in self.wanted()):
                    return "%s (%s) %s" % (
                        p.name, p.hash[:12], "runs" if p.unwanted else
                        "does not run")
            return None
        while True:
            reason = why()
            if reason is None:
                return
            if time.monotonic() > end:
                raise Failed(reason)
            time.sleep(0.3)


class Owner:
    """Publishes and takes back programs by signed messages."""

    def __init__(self, load):
        self.load, self.world, self.rng = load, load.world, load.rng
        self.paused = False
        self.number = 0
        self.key = None
        self.content = None

    def name(self):
        self.number += 1
        return "p%04d" % self.number

    def first(self):
        """By the command line, which also stores the code."""
        name, begun = self.name(), box.now()
        done = subprocess.run(
            [self.world.program("berth"), "program", "upload",
             "--persistent", "--updatable", "--name", name, "--env",
             "WITNESS=%s/witness/%s" % (ROOM, name), "--ccn",
             "http://%s:%d" % (self.world.ccn.machine.address, CCN),
             "--key", ROOM + "/key", os.path.join(box.HERE, "program"),
             "witness"], env=self.world.env, capture_output=True, text=True)
        if done.returncode:
            raise Failed("upload: " + done.stderr.strip())
        program = Program(name, done.stdout.split()[-1])
        program.wanted = box.now()
        self.load.programs.append(program)
        with open(ROOM + "/key", "rb") as file:
            raw = file.read()
        text = raw.decode("ascii", "ignore").strip()
        self.key = aleph.Key(int(text, 16) if re.fullmatch(
            "(0x)?[0-9a-f]{64}", text) else int.from_bytes(raw, "big"))
        status, answer = self.world.ccn.ask(
            "GET", "/api/v0/messages/" + program.hash)
        if status != 200:
            raise Failed("the CCN does not have what it took")
        self.content = answer["message"]["content"]
        if self.content["address"].lower() != self.key.address.lower():
            raise Failed("not our key")

    def publish(self, kind, content):
        """The message's hash if the CCN has taken it, else None. What it may
        have taken is asked until it is known: the CCN is nobody's replica."""
        content = {k: v for k, v in content.items()
                   if k not in ("address", "time")}
        message = aleph.message(self.key, kind, content, time.time())
        for _ in range(60):
            status, _ = self.world.ccn.ask(
                "POST", "/api/v0/messages", {"sync": True,
                                             "message": message})
            if status in (200, 202):
                return message["item_hash"]
            if status:
                raise Failed("the CCN answers %d" % status)
            time.sleep(1)
        raise Failed("the CCN does not answer")

    def upload(self):
        name = self.name()
        content = dict(self.content)
        content["variables"] = dict(content["variables"], WITNESS=os.path.join(
            ROOM, "witness", name))
        content["metadata"] = {"name": name}
        program = Program(name, None)
        program.hash = self.publish("PROGRAM", content)
        program.wanted = box.now()
        self.load.programs.append(program)
        self.load.count("upload")
        return program

    def unpersist(self, program):
        program.unwanted = box.now()
        if self.rng.random() < 0.5:
            content = dict(self.content, replaces=program.hash)
            content["on"] = dict(content["on"], persistent=False)
            content["metadata"] = {"name": program.name}
            self.publish("PROGRAM", content)
        self.publish("FORGET", {"hashes": [program.hash], "aggregates": [],
                                "reason": "chaos"})
        program.gone = box.now()
        self.load.count("unpersist")

    def step(self):
        if self.paused:
            return
        wanted = self.load.wanted()
        spare = len(wanted) - self.world.options.programs
        if self.rng.random() < 0.5 + 0.15 * spare:
            self.unpersist(self.rng.choice(wanted))
        else:
            self.upload()


class Client:
    """One operator: one thing at a time, through whichever replica."""

    def __init__(self, load, number, rng):
        self.load, self.number, self.rng = load, number, rng
        self.world = load.world
        self.serial = 0

    def step(self):
        rng = self.rng
        key = rng.choice(self.load.keys)
        what = rng.choices(("put", "forget", "linearizable", "leader",
                            "stale"), (30, 25, 27, 8, 10))[0]
        if what in ("put", "forget"):
            self.change(what, key)
        elif what == "stale":
            self.stale_read(key)
        else:
            self.read(what, key)

    def replica(self):
        return self.rng.choice(self.world.members())

    def note(self, op, key, call, outcome, value, level="linearizable"):
        entry = {"client": self.number, "key": key, "op": op, "call": call,
                 "return": None if outcome == "unknown" else box.now(),
                 "outcome": outcome, "value": value}
        if op == "read":
            entry["level"] = level
        with self.load.lock:
            self.load.history.append(entry)
        self.load.count("%s %s" % (level if op == "read" else op, outcome))
        if outcome == "unknown":  # a client that does not know is a new one
            self.number += CLIENTS

    def change(self, op, key):
        self.serial += 1
        value = self.serial * CLIENTS + self.number % CLIENTS + 1
        request = "%032x" % self.rng.getrandbits(128)
        body = {"hash": key, "name": "register", "vcpus": 200,
                "memory_mib": value}
        call, outcome = box.now(), "fail"
        if op == "forget":
            value = None
        for _ in range(self.rng.choice((1, 1, 3))):
            status, answer = self.send(op, key, body, request)
            if status == 200:
                outcome = "ok"
                break
            if op == "forget" and status == 404 and outcome == "fail":
                # The state machine said that there is none: a read.
                self.note("read", key, call, "ok", None)
                return
            error = (answer or {}).get("error") if isinstance(
                answer, dict) else None
            if status == 0 or error == "unknown_outcome":
                outcome = "unknown"
            elif outcome == "unknown":
                pass
            elif status not in (-1, 429, 503):
                self.load.count("%s: %s %s" % (op, status, error))
        self.note(op, key, call, outcome, value)

    def send(self, op, key, body, request):
        heads = {"Berth-Request-Id": request}
        replica = self.replica()
        if op == "put":
            status, _, answer = replica.ask(
                "POST", "/admin/v1/programs", body, 6, heads, admin=True)
        else:
            status, _, answer = replica.ask(
                "DELETE", "/admin/v1/programs/" + key, None, 6, heads,
                admin=True)
        return status, answer

    def read(self, level, key):
        call = box.now()
        status, _, body = self.replica().ask(
            "GET", "/admin/v1/programs/%s?consistency=%s" % (key, level))
        if status in (200, 404):
            self.note("read", key, call, "ok", body["memory_mib"]
                      if status == 200 else None, level)
        else:
            self.load.count("read %s unanswered" % level)

    def stale_read(self, key):
        """A replica never tells of an older state than it has told before."""
        r, how = self.replica(), "stale"
        life, before = r.daemon.lives, 0
        with self.load.lock:
            before = self.load.told.get((r.id, life), 0)
        path = "/admin/v1/programs/%s" % key
        if self.rng.random() < 0.5:
            path = "/api/v0/plan"
        status, heads, _ = r.ask("GET", "%s?consistency=%s" % (path, how))
        if status not in (200, 404) or "berth-index" not in heads:
            self.load.count("%s unanswered" % how)
            return
        self.load.count(how + " ok")
        index = int(heads["berth-index"])
        if life != r.daemon.lives:
            return  # another life begins at its disk
        with self.load.lock:
            if index < before:
                self.load.backwards.append((r.name, before, index))
            self.load.told[r.id, life] = max(
                index, self.load.told.get((r.id, life), 0))
