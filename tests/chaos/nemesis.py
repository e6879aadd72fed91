"""What goes wrong, drawn from a seed.

A fault has a kind, targets, a begin and an end. What a fault does to a target
it undoes itself; several last at once, but never two on one process, never so
many that nobody could go on, except for outages that are meant."""
import random
import time

import box
import faults
from cluster import Failed

MEAN_S = 4.0  # between faults, in a storm
STORM_S, CALM_S = 50, 10


class Nemesis:
    def __init__(self, world, rng, only=""):
        self.world, self.rng = world, rng
        self.rng_work = random.Random(0)  # of threads: which replica is asked
        self.only = set(filter(None, only.split(",")))
        self.done = []
        self.live = []  # (when to end, fault, undo)
        self.rested = {}  # target: not before
        self.waiting, self.waited = None, 0
        self.failed = []
        self.started, self.begun = time.monotonic(), box.now()
        self.kinds = {kind: lambda f=f: f(self)
                      for kind, (_, f) in faults.KINDS.items()}
        unknown = self.only - set(self.kinds)
        if unknown:
            raise Failed("no such fault: %s" % ", ".join(sorted(unknown)))

    # --- the run ----

    def run(self, over):
        storm = time.monotonic() + STORM_S
        due = time.monotonic()
        while not over():
            now = time.monotonic()
            self.end_due(now)
            self.patient(now)
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
        weights = [faults.KINDS[n][0] for n in names]
        for _ in range(40):
            name = self.rng.choices(names, weights)[0]
            made = self.kinds[name]()
            if made is not None:
                self.begin(*made)
                return
            if name in faults.PATIENT and self.waiting is None:
                # It needs all replicas: none is hit until it has them.
                self.waiting, self.waited = name, time.monotonic()

    def begin(self, fault, do, undo):
        fault.begin = box.now()
        self.done.append(fault)
        print("%7.1f  %s" % (time.monotonic() - self.started, fault))
        try:
            do()
        except (RuntimeError, OSError, Failed) as why:
            self.failed.append("%s: %s" % (fault, why))
        self.live.append((time.monotonic() + fault.seconds, fault, undo))

    def patient(self, now):
        """What waits for all replicas gets them when they are whole."""
        if self.waiting is None:
            return
        made = self.kinds[self.waiting]()
        if made is not None:
            self.begin(*made)
        if made is not None or now > self.waited + 30:
            self.waiting = None

    def end_due(self, now):
        for entry in list(self.live):
            _, fault, undo = entry
            work = fault.work
            if work and work.is_alive() or not work and entry[0] > now:
                continue
            self.live.remove(entry)
            self.undo(fault, undo)

    def undo(self, fault, undo):
        try:
            if fault.work:
                fault.work.join(90)
            undo()
            if fault.failed:
                raise Failed(fault.failed)
        except (RuntimeError, OSError, Failed) as why:
            self.failed.append("end of %s: %s" % (fault, why))
        fault.end = box.now()
        # What took all replicas leaves them alone for longer than a lease.
        rest = 6 if fault.kind in faults.PATIENT else 2
        for target in fault.targets:
            self.rested[target] = time.monotonic() + rest

    def heal(self):
        for _, fault, undo in self.live:
            self.undo(fault, undo)
        self.live = []

    # --- whom ----

    def hit(self):
        return set().union(*(f.targets for _, f, _ in self.live), set())

    def free(self, names):
        busy, now = self.hit(), time.monotonic()
        return [n for n in names if n not in busy and
                self.rested.get(n, 0) <= now]

    def a_replica(self):
        """One that may be hit, as long as most stay whole."""
        members = [r.name for r in self.world.members()]
        hit = len(self.hit() & set(members))
        if self.waiting:
            return None
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

    def all_replicas(self, count=None):
        """So many of them, if nothing is done to any."""
        members = self.world.members()
        names = [r.name for r in members]
        if len(self.free(names)) != len(names):
            return None
        return self.rng.sample(members, count or len(members))

    def seconds(self, low, high):
        return self.rng.uniform(low, high)
