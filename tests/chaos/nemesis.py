"""What goes wrong, drawn from a seed.

A fault has a kind, targets, a begin and an end. What a fault does to a target
it undoes itself; several last at once, but never two on one process, never so
many that nobody could go on, except for outages that are meant."""
import random
import signal
import threading
import time

import box
from cluster import Failed

MEAN_S = 4.0  # between faults, in a storm
STORM_S, CALM_S = 50, 10


class Fault:
    def __init__(self, kind, targets, seconds):
        self.kind, self.targets, self.seconds = kind, set(targets), seconds
        self.begin = self.end = None
        self.note = ""

    def __str__(self):
        return "%s %s%s" % (self.kind, "+".join(sorted(self.targets)),
                            " (%s)" % self.note if self.note else "")


class Nemesis:
    def __init__(self, world, rng, only=""):
        self.world, self.rng = world, rng
        self.only = set(filter(None, only.split(",")))
        self.done = []
        self.live = []  # (when to end, fault, undo)
        self.rested = {}  # target: not before
        self.failed = []
        self.started = time.monotonic()
        self.kinds = {name[5:]: getattr(self, name) for name in dir(self)
                      if name.startswith("make_")}
        unknown = self.only - set(self.kinds)
        if unknown:
            raise Failed("no such fault: %s" % ", ".join(sorted(unknown)))

    # --- the run ------------------------------------------------------------

    def run(self, over):
        storm = time.monotonic() + STORM_S
        due = time.monotonic()
        while not over():
            now = time.monotonic()
            self.end_due(now)
            if now > storm:
                if not self.live:
                    self.calm(over)
                    storm = time.monotonic() + STORM_S
                    due = time.monotonic()
            elif now >= due:
                self.strike()
                due = now + self.rng.expovariate(1 / MEAN_S)
            time.sleep(0.05)

    def calm(self, over):
        end = time.monotonic() + CALM_S
        while not over() and time.monotonic() < end:
            time.sleep(0.1)

    def strike(self):
        names = sorted(self.only or self.kinds)
        weights = [WEIGHTS.get(n, 1) for n in names]
        for _ in range(20):
            name = self.rng.choices(names, weights)[0]
            made = self.kinds[name]()
            if made is not None:
                self.begin(*made)
                return

    def begin(self, fault, do, undo):
        fault.begin = box.now()
        self.done.append(fault)
        print("%7.1f  %s" % (time.monotonic() - self.started, fault))
        try:
            do()
        except (RuntimeError, OSError, Failed) as why:
            self.failed.append("%s: %s" % (fault, why))
        self.live.append((time.monotonic() + fault.seconds, fault, undo))

    def end_due(self, now):
        for entry in list(self.live):
            if entry[0] <= now:
                self.live.remove(entry)
                self.undo(entry[1], entry[2])

    def undo(self, fault, undo):
        try:
            undo()
        except (RuntimeError, OSError, Failed) as why:
            self.failed.append("end of %s: %s" % (fault, why))
        fault.end = box.now()
        for target in fault.targets:
            self.rested[target] = time.monotonic() + 2

    def heal(self):
        for _, fault, undo in self.live:
            self.undo(fault, undo)
        self.live = []

    # --- whom ---------------------------------------------------------------

    def hit(self):
        return set().union(*(f.targets for _, f, _ in self.live), set())

    def free(self, names):
        busy, now = self.hit(), time.monotonic()
        return [n for n in names if n not in busy and
                self.rested.get(n, 0) <= now]

    def a_replica(self):
        """One that may be hit, as long as most are whole."""
        members = [r.name for r in self.world.members()]
        hit = len(self.hit() & set(members))
        free = self.free(members)
        if not free or hit + 1 > (len(members) - 1) // 2:
            return None
        if self.rng.random() < 0.4:  # whoever leads is worth more
            leader = self.world.leader()
            if leader and leader.name in free:
                return leader
        name = self.rng.choice(free)
        return next(r for r in self.world.members() if r.name == name)

    def a_crn(self):
        names = [c.name for c in self.world.crns]
        free = self.free(names)
        if not free or len(self.hit() & set(names)) >= len(names) * 2 // 5:
            return None
        name = self.rng.choice(free)
        return next(c for c in self.world.crns if c.name == name)

    def seconds(self, low, high):
        return self.rng.uniform(low, high)

    # --- replicas -------------------------------------------------------------

    def make_replica_kill(self):
        r = self.a_replica()
        if r:
            return (Fault("replica_kill", [r.name], self.seconds(0.5, 8)),
                    r.daemon.kill, r.daemon.up)

    # --- CRNs -----------------------------------------------------------------

    def make_power_off(self):
        c = self.a_crn()
        if c:
            return (Fault("power_off", [c.name], self.seconds(9, 16)),
                    c.power_off, c.power_on)


WEIGHTS = {"power_off": 2}
