"""What was seen, and what must hold of it."""
import datetime
import os
import re
import signal
import threading
import time

import box
import linear
from box import ROOM
from cluster import Failed, until


class Beats:
    """The cluster's own time, looked at: it advances by committed Beats."""

    def __init__(self, world, every=0.2):
        self.world, self.every = world, every
        self.advances = []  # (when, c_ms)
        self.best = -1
        self.ended = threading.Event()
        self.lock = threading.Lock()
        self.begun = box.now()
        self.threads = {}
        threading.Thread(target=self.watch, daemon=True).start()

    def watch(self):
        """One thread a replica: a stopped one delays nobody's look."""
        while not self.ended.wait(0.5):
            for r in self.world.members():
                if r.id not in self.threads:
                    self.threads[r.id] = threading.Thread(
                        target=self.look, args=(r,), daemon=True)
                    self.threads[r.id].start()

    def look(self, r):
        while not self.ended.wait(self.every):
            if not r.member:
                del self.threads[r.id]
                return
            asked = box.now()
            status, _, body = r.ask(
                "GET", "/admin/v1/cluster?consistency=stale", timeout=2)
            if status == 200:
                with self.lock:
                    if body["c_ms"] > self.best:
                        self.best = body["c_ms"]
                        self.advances.append((asked, self.best))

    def stop(self):
        self.stopped = box.now()
        self.ended.set()

    def steady(self):
        """When Beats were committed, but for a single one with more than a
        second of silence before and after it: that was proposed before the
        first silence, and committed late by a leader that had been stopped,
        or by the next one. It renews what was sent before, and no more."""
        times = sorted(t for t, _ in self.advances)
        return [t for a, t, b in zip([self.begun] + times, times,
                                     times[1:] + [self.stopped])
                if t - a <= 10**9 or b - t <= 10**9]

    def silences(self, seconds):
        """Spans of more than so many seconds without a committed Beat, or
        that may have been: a look every 0.2 s sees no better."""
        points = [self.begun, *self.steady(), self.stopped]
        return [(a, b) for a, b in zip(points, points[1:])
                if b - a > (seconds - self.every) * 1e9]


class Events:
    """Which CRN each program was given to, as the event stream tells."""

    def __init__(self, world):
        self.world, self.since = world, "0"
        self.assigned = {}  # program hash: [(when, CRN, epoch)]
        self.ended = threading.Event()
        self.thread = threading.Thread(target=self.watch, daemon=True)
        self.thread.start()

    def watch(self):
        while not self.ended.wait(1):
            for r in self.world.members():
                if self.take(r):
                    break

    def stop(self):
        self.ended.set()
        self.thread.join(30)
        until(20, "events", lambda: any(
            self.take(r) for r in self.world.members()))

    def take(self, r):
        status, _, body = r.ask("GET", "/admin/v1/events?limit=5000&since=" +
                                self.since, timeout=3)
        if status == 410:  # the next replica may have them
            return False
        if status != 200:
            return False
        names = {c.hash: c.name for c in self.world.crns}
        for e in body["events"]:
            if e["type"] == "assigned":
                self.assigned.setdefault(e["program"], []).append(
                    (from_wall(e["time"]), names[e["crn"]], e["epoch"]))
        self.since = body["next"] or self.since
        return True


def from_wall(text):
    """Our clock's time of a time of day, "2026-01-31T12:34:56.789Z"."""
    t = datetime.datetime.fromisoformat(text.replace("Z", "+00:00"))
    return int(t.timestamp() * 1e9) - (time.time_ns() - box.now())


class Run:
    """One life of a program, as it wrote it down."""

    def __init__(self, epoch, host, born, first):
        self.epoch, self.host, self.born = epoch, host, born
        self.first = self.last = first


def read_runs(path):
    """The runs of a witness file, oldest first, and its longest pauses."""
    runs = {}
    try:
        with open(path, errors="replace") as file:
            for line in file:
                words = line.split()
                if len(words) < 3:
                    continue
                run = runs.get(words[0])
                if run is None:
                    run = runs[words[0]] = Run(words[0], words[1], None,
                                               int(words[2]))
                if len(words) > 3:
                    run.born = int(words[3])
                run.last = int(words[2])
    except FileNotFoundError:
        return []
    return sorted(runs.values(), key=lambda r: r.first)


def refused():
    """Copies that did not get their lock: overlaps, each one."""
    folder = os.path.join(ROOM, "witness")
    found = []
    for name in sorted(os.listdir(folder)):
        if name.endswith(".refused"):
            with open(os.path.join(folder, name)) as file:
                found += ["%s: %s" % (name[:-8], x) for x in file
                          .read().splitlines()]
    return found


def overlaps(name, runs):
    """The same from the times written, which the lock does not need."""
    return ["%s: %s until %d, %s from %d" % (name, a.epoch, a.last, b.epoch,
                                             b.first)
            for a, b in zip(runs, runs[1:]) if b.first <= a.last]


def same_everywhere(world):
    """Nothing is written any more: all replicas come to one state."""
    def states():
        rows = []
        for r in world.members():
            status, _, body = r.ask(
                "GET", "/admin/v1/programs?consistency=stale&page_size=200")
            plan, _, where = r.ask("GET", "/api/v0/plan?consistency=stale")
            if status != 200 or plan != 200:
                return None
            rows.append((body["total"], body["changed"], where["plan"]))
        return rows if all(row == rows[0] for row in rows) else None
    problems = []
    try:
        until(20, "the same state on every replica", states, 0.2)
    except Failed as why:
        problems.append(str(why))
    for r in world.members():
        count = r.metric("berth_state_mismatches")
        if count != 0:
            problems.append("%s: berth_state_mismatches %s" % (r.name, count))
        if world.options.minutes >= 3 and not r.metric(
                "berth_state_hashes"):
            problems.append("%s compared no hashes" % r.name)
    return problems


LINE = re.compile(r"^(\d{4}-\d\d-\d\dT[\d:.]+)Z (\w+) (\w+): (.*)$")


def fences(world):
    """(when, CRN, runs that died, why), from the fencers' logs."""
    found = []
    for c in world.crns:
        try:
            file = open(c.fencer.log, errors="replace")
        except OSError:
            continue
        with file:
            for line in file:
                m = LINE.match(line)
                if not m or not m[4].startswith("ended, "):
                    continue
                found.append((from_wall(m[1]), c.name,
                              int(m[4].split()[1]), m[4].split(": ")[-1]))
    return sorted(found)


class Move:
    def __init__(self, program, a, b, cause, since):
        self.program, self.a, self.b, self.cause = program, a, b, cause
        self.start = (b.first - (b.born or b.first)) / 1e9
        self.total = (b.first - since) / 1e9
        self.gap = 0  # of it, without committed Beats

    @property
    def net(self):
        return self.total - self.start - self.gap

    def __str__(self):
        return "%s: %.2f s (its start %.2f s, no Beats %.2f s) from %s to " \
            "%s after %s" % (self.program.name, self.total, self.start,
                             self.gap, self.a.host, self.b.host, self.cause)


class Verdict:
    def __init__(self, world, load, nemesis, beats, events, problems,
                 last):
        self.world, self.load, self.nemesis = world, load, nemesis
        self.beats, self.events, self.problems = beats, events, problems
        self.last = last  # what each replica lists at the end
        self.faults = nemesis.done
        self.runs = {p.name: read_runs(os.path.join(ROOM, "witness", p.name))
                     for p in load.programs}
        self.overlaps = refused()
        for name, runs in self.runs.items():
            self.overlaps += overlaps(name, runs)
        self.outages = beats.silences(world.ttl_a - 2 * world.heartbeat)
        self.gaps = beats.silences(1)
        self.judge_fences()
        self.judge_moves()
        self.lost, self.anomalies = [], []
        self.judge_downtime()
        self.judge_writes()
        self.judge_deaths()

    def at(self, when):
        """Seconds since the nemesis began."""
        return "%.1f s" % ((when - self.nemesis.begun) / 1e9)

    # --- fences ----

    def touched(self, name, begin, end):
        return [f for f in self.faults if name in f.targets and
                f.begin <= end and (f.end or end) >= begin]

    def in_outage(self, begin, end):
        return any(a <= end and b >= begin for a, b in self.outages)

    def judge_fences(self):
        """Nothing was done to it, and the cluster had Beats: false."""
        back = int((self.world.ttl_a + 2) * 1e9)
        self.fences = fences(self.world)
        self.false, self.in_outages = [], 0
        for t, crn, runs, why in self.fences:
            if self.touched(crn, t - back, t):
                continue
            if self.in_outage(t - back, t):
                self.in_outages += 1
            else:
                self.false.append("at %s %s: %d runs died: %s" % (
                    self.at(t), crn, runs, why))

    # --- moves ----

    SILENT = {"power_off", "power_blip", "agent_stop", "agent_gone",
              "fencer_stop", "fencer_gone", "crn_stop", "crn_freeze",
              "crn_slow", "crn_split", "crn_split_in", "crn_split_out"}

    def judge_moves(self):
        """From the moment that a CRN fell silent to the program's first line
        on another one. A CRN that was silent already when it was given the
        program, or fell silent before it ran there, begins the time anew:
        that is a second silence, and a move of its own."""
        self.moves, self.restarts, self.chained = [], 0, 0
        self.timed = []
        for p in self.load.programs:
            runs = self.runs[p.name]
            for a, b in zip(runs, runs[1:]):
                if a.host == b.host:
                    self.restarts += 1
                    continue
                self.moves.append((p, a, b))
                cause, since = self.silenced(p, a, b)
                if cause is not None:
                    self.timed.append(Move(p, a, b, cause, since))
                    self.timed[-1].gap = self.gap(since, b.first)

    def gap(self, begin, end):
        """Seconds in which the cluster's time stood still: no lease can end
        while nobody leads. A Beat comes every quarter of a second."""
        return sum(min(b, end) - max(a, begin) for a, b in self.gaps
                   if min(b, end) > max(a, begin)) / 1e9

    def silenced(self, p, a, b):
        """The fault that silenced the last CRN that had it before b, and
        since when this one had it or was silent, whichever was later."""
        tail = int((self.world.ttl_a + 2) * 1e9)
        held = [(a.host, a.first, a.last)] + [
            (crn, t, b.first) for t, crn, epoch in
            self.events.assigned.get(p.hash, ())
            if a.last < t and epoch != b.epoch and t < b.first]
        host, since, until_ns = held[-1]
        found = [f for f in self.faults if f.kind in self.SILENT and
                 host in f.targets and f.begin <= b.first and
                 (since <= f.begin or (f.end or b.first) >= since) and
                 f.begin >= until_ns - tail - int(20e9) * (len(held) > 1)]
        found = [f for f in found if len(held) > 1 or since <= f.begin]
        if not found:
            return None, 0
        if len(held) > 1:
            self.chained += 1
        return found[-1], max(found[-1].begin, since)

    # --- time not running ----

    def judge_downtime(self):
        self.down = {}
        for p in self.load.programs:
            runs = self.runs[p.name]
            until_ns = p.unwanted or self.beats.stopped
            for a, b in zip(runs, runs[1:]):
                if a.last >= until_ns:
                    continue
                self.add_down(self.cause(a, b), min(b.first, until_ns) -
                              a.last)
            if runs and runs[-1].last < until_ns - 10**9:
                self.add_down("taken back while it was down" if p.unwanted
                              else "never came back",
                              until_ns - runs[-1].last)
                if not p.unwanted:
                    self.lost.append("%s never came back" % p.name)

    def add_down(self, cause, ns):
        self.down.setdefault(cause, []).append(ns / 1e9)

    def cause(self, a, b):
        back = a.last - int((self.world.ttl_a + 2) * 1e9)
        touching = [f for f in self.touched(a.host, back, a.last + 10**9)
                    if f.begin >= a.first or f.end is None or
                    f.end >= a.first]
        if touching:
            return touching[-1].kind
        if self.in_outage(back, a.last):
            return "no Beat for long"
        return "untouched CRN"

    # --- deaths ----

    def judge_deaths(self):
        """A daemon that ended of itself, with nothing done to it, is a
        finding; so is one that a signal of its own killed at any time."""
        status = box.reaped()
        self.own_deaths = 0
        for t, name, pid, down in self.world.deaths:
            if down:
                continue
            code = status.get(pid, 0)
            number = os.WTERMSIG(code) if os.WIFSIGNALED(code) else 0
            base = name.split("-")[0]
            near = self.touched(base, t - 3 * 10**9, t)
            if number in (signal.SIGABRT, signal.SIGSEGV, signal.SIGBUS,
                          signal.SIGFPE, signal.SIGILL):
                self.problems.append("at %s %s died of signal %d" % (
                    self.at(t), name, number))
            elif not near:
                self.problems.append(
                    "at %s %s ended by itself (wait status %d): see its log"
                    % (self.at(t), name, code))
            else:
                self.own_deaths += 1
        self.problems += complaints(self.world.logs)

    # --- writes ----

    def judge_writes(self):
        load = self.load
        for p in load.programs:
            if not p.unwanted and not self.runs[p.name]:
                self.lost.append("program %s (%s) never ran" % (
                    p.name, p.hash))
        for name, rows in self.last.items():
            for p in load.programs:
                row = rows.get(p.hash, {})
                kept = row.get("persistent") and not row.get("superseded")
                if bool(kept) != (not p.unwanted):
                    self.lost.append("%s: program %s was %s" % (
                        name, p.hash, "taken back" if p.unwanted else
                        "uploaded"))
        for key, history in by_key(load.history).items():
            self.lost += ["%s: %s" % (key[:12], x) for x in missing(history)]
        operations = [linear.operation(row, i + 1)
                      for i, row in enumerate(load.history)]
        self.anomalies += [a.sentence for a in linear.check(operations)]
        self.anomalies += ["%s told of index %d after %d" % (name, now, before)
                           for name, before, now in load.backwards]


COMPLAINT = re.compile(r"Sanitizer|runtime error:|panic|[Aa]ssertion")


def complaints(folder):
    """What a sanitizer or a daemon's own checks wrote, file and line."""
    found = []
    for name in sorted(os.listdir(folder)):
        with open(os.path.join(folder, name), errors="replace") as file:
            found += ["%s:%d: %s" % (name, number, line.strip()[:200])
                      for number, line in enumerate(file, 1)
                      if COMPLAINT.search(line)][:5]
    return found


def by_key(history):
    keys = {}
    for row in history:
        keys.setdefault(row["key"], []).append(row)
    return keys


def missing(history):
    """Acknowledged writes of one key that no later one can have undone, and
    that the last look did not find. Simpler than linearizability, and apart
    from it: only a write that nothing overlaps or follows is judged."""
    writes = [row for row in history if row["op"] != "read" and
              row["outcome"] != "fail"]
    looks = [row for row in history if isinstance(row["client"], str)]
    if not writes or any(row["outcome"] == "unknown" for row in writes):
        return []
    last = max(writes, key=lambda row: row["call"])
    if any(row is not last and row["return"] >= last["call"]
           for row in writes):
        return []
    wanted = last["value"] if last["op"] == "put" else None
    return ["%s has %s, not the acknowledged %s" % (
        row["client"], row["value"], wanted) for row in looks
        if row["value"] != wanted]
