"""The kinds of faults: each gives (Fault, what begins it, what ends it), or
None when it may not be just now."""
import os
import signal
import subprocess
import threading
import time

import box
from cluster import Failed, until
from daemons import APART_S

KINDS = {}  # name: (how often, maker)
# Only when nothing is done to any replica. They are waited for, so that they
# come as often as their weights, small by design, say.
PATIENT = {"replica_replaced", "member_swapped", "vote_taken", "quorum_loss"}


class Fault:
    def __init__(self, kind, targets, seconds, note=""):
        self.kind, self.targets, self.seconds = kind, set(targets), seconds
        self.begin = self.end = None
        self.note = note
        self.work = None  # a thread that takes its own time
        self.failed = None

    def __str__(self):
        return "%s %s%s" % (self.kind, "+".join(sorted(self.targets)),
                            " (%s)" % self.note if self.note else "")


def kind(often):
    def add(maker):
        KINDS[maker.__name__] = often, maker
        return maker
    return add


def on_replica(often, low, high):
    """Makers of do and undo for one replica."""
    def add(actions):
        name = actions.__name__

        def maker(n):
            r = n.a_replica()
            if r is None:
                return None
            return (Fault(name, [r.name], n.seconds(low, high)),
                    *actions(n, r))
        KINDS[name] = often, maker
        return maker
    return add


def on_crn(often, low, high):
    def add(actions):
        name = actions.__name__

        def maker(n):
            c = n.a_crn()
            if c is None:
                return None
            return (Fault(name, [c.name], n.seconds(low, high)),
                    *actions(n, c))
        KINDS[name] = often, maker
        return maker
    return add


def signals(daemons, first, then):
    """Stop and continue the processes that are there at the beginning."""
    pids = [(d.pid, box.started(d.pid)) for d in daemons if d.alive()]

    def send(number):
        for pid, start in pids:
            if start and box.started(pid) == start:
                box.kill(pid, number)
    return lambda: send(first), lambda: send(then)


def bursts(daemons, rng):
    """Stopped and continued many times a second: a machine that is slow."""
    stop, go = signals(daemons, signal.SIGSTOP, signal.SIGCONT)
    over = threading.Event()
    off, on = rng.uniform(0.03, 0.25), rng.uniform(0.01, 0.1)

    def stutter():
        while not over.is_set():
            stop()
            over.wait(off)
            go()
            over.wait(on)
    thread = threading.Thread(target=stutter, daemon=True)

    def end():
        over.set()
        thread.join()
        go()
    return thread.start, end


# --- replicas: processes ----

@on_replica(3, 0.3, 8)
def replica_kill(n, r):
    return r.daemon.kill, r.daemon.up


@on_replica(2, 0.5, 10)
def replica_stop(n, r):
    return signals([r.daemon], signal.SIGSTOP, signal.SIGCONT)


@on_replica(2, 2, 3)
def replica_restart(n, r):
    return lambda: r.daemon.signal(signal.SIGTERM), lambda: None


@on_replica(2, 3, 8)
def replica_slow(n, r):
    return bursts([r.daemon], n.rng)


@kind(0.3)
def quorum_loss(n):
    """Nobody can lead, for a while that is sometimes longer than a lease."""
    members = n.world.members()
    some = n.all_replicas(len(members) // 2 + 1)
    if some is None:
        return None
    fault = Fault("quorum_loss", [r.name for r in some], n.seconds(1, 7))
    if n.rng.random() < 0.5:
        return (fault, *signals([r.daemon for r in some], signal.SIGSTOP,
                                signal.SIGCONT))

    def kill():
        for r in some:
            r.daemon.kill()

    def up():
        for r in some:
            r.daemon.up()
    return fault, kill, up


# --- replicas: disks ----

def traced(r, calls, what):
    """Something happens to system calls of a living process."""
    tracer = []

    def attach():
        tracer.append(subprocess.Popen(
            ["strace", "-f", "-qq", "-o", "/dev/null", "-p",
             str(r.daemon.pid), "-e", "trace=" + calls, "-e",
             "inject=%s:%s" % (calls, what)], start_new_session=True,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL))

    def detach():
        tracer[0].terminate()  # detaches first
        try:
            tracer[0].wait(5)
        except subprocess.TimeoutExpired:
            tracer[0].kill()
            tracer[0].wait()
    return attach, detach


@on_replica(2, 2, 6)
def io_error(n, r):
    calls = n.rng.choice(("pwrite64", "fdatasync", "pwrite64,fdatasync"))
    return traced(r, calls, "error=EIO:when=%d+" % n.rng.randint(1, 20))


@on_replica(1, 2, 6)
def no_space(n, r):
    """As a full disk would say it, at any write."""
    return traced(r, "pwrite64,fallocate", "error=ENOSPC:when=%d+" %
                  n.rng.randint(1, 20))


@on_replica(2, 3, 8)
def disk_slow(n, r):
    return traced(r, "fdatasync", "delay_enter=%d" % n.rng.randint(
        20000, 400000))


@on_replica(2, 4, 12)
def disk_full(n, r):
    path = os.path.join(r.data, "filler")

    def fill():
        with open(path, "wb", buffering=0) as file:
            size = 1 << 20
            while size:
                try:
                    if file.write(bytes(size)) < size:
                        size //= 2
                except OSError:
                    size //= 2
    return fill, lambda: os.unlink(path)


# --- the network ----

def splits(pairs):
    """pairs: (who does not hear, whom)."""
    def begin():
        for machine, addresses in pairs:
            machine.deafen(addresses)

    def end():
        for machine, addresses in pairs:
            machine.hear(addresses)
    return begin, end


def others_of(n, r):
    return [o.machine for o in n.world.members() if o is not r]


@on_replica(2, 1, 9)
def replica_split(n, r):
    """From the other replicas, both ways; its agents reach it still."""
    others = others_of(n, r)
    return splits([(r.machine, [m.address for m in others])] +
                  [(m, [r.machine.address]) for m in others])


@on_replica(1.5, 1, 9)
def replica_split_in(n, r):
    """It does not hear the others, they hear it."""
    return splits([(r.machine, [m.address for m in others_of(n, r)])])


@on_replica(1.5, 1, 9)
def replica_split_out(n, r):
    return splits([(m, [r.machine.address]) for m in others_of(n, r)])


@on_replica(1, 1, 9)
def replica_isolated(n, r):
    """From everybody."""
    rest = others_of(n, r) + [c.machine for c in n.world.crns] + [
        n.world.ccn.machine]
    return splits([(r.machine, [m.address for m in rest])] +
                  [(m, [r.machine.address]) for m in rest])


@on_replica(1, 2, 9)
def replica_pair_split(n, r):
    """Two replicas do not hear each other, the third hears both."""
    other = n.rng.choice(others_of(n, r))
    return splits([(r.machine, [other.address]),
                   (other, [r.machine.address])])


@kind(1)
def replicas_apart(n):
    """100 ms there and back between replicas, by the delaying proxy; 100 ms
    more where the profile is `apart`."""
    if not n.free(["network"]):
        return None
    return (Fault("replicas_apart", ["network"], n.seconds(15, 30)),
            lambda: n.world.set_delay(APART_S), lambda: n.world.set_delay(0))


@kind(0.7)
def ccn_split(n):
    """No messages come in; what runs goes on."""
    if not n.free(["ccn"]):
        return None
    return (Fault("ccn_split", ["ccn"], n.seconds(3, 10)), *splits(
        [(n.world.ccn.machine, REPLICAS)]))


@kind(0.7)
def ccn_kill(n):
    if not n.free(["ccn"]):
        return None
    return (Fault("ccn_kill", ["ccn"], n.seconds(0.5, 6)),
            n.world.ccn.daemon.kill, n.world.ccn.daemon.up)


# --- CRNs ----

REPLICAS = ["10.77.1.%d" % i for i in range(1, 100)]


@on_crn(3, 8, 16)
def power_off(n, c):
    return c.power_off, c.power_on


@on_crn(1, 0.3, 2)
def power_blip(n, c):
    """Off and on again, before anybody can be sure."""
    return c.power_off, c.power_on


@on_crn(1, 0.3, 2)
def agent_kill(n, c):
    return c.agent.kill, c.agent.up


@on_crn(1, 8, 14)
def agent_gone(n, c):
    return c.agent.kill, c.agent.up


@on_crn(1, 0.3, 3)
def fencer_kill(n, c):
    return c.fencer.kill, c.fencer.up


@on_crn(1, 8, 14)
def fencer_gone(n, c):
    return c.fencer.kill, c.fencer.up


@on_crn(1, 1, 12)
def agent_stop(n, c):
    return signals([c.agent], signal.SIGSTOP, signal.SIGCONT)


@on_crn(1, 1, 12)
def fencer_stop(n, c):
    return signals([c.fencer], signal.SIGSTOP, signal.SIGCONT)


@on_crn(1, 8, 14)
def crn_stop(n, c):
    return signals([c.agent, c.fencer], signal.SIGSTOP, signal.SIGCONT)


@on_crn(1, 2, 12)
def crn_freeze(n, c):
    """Every process of the machine stands still, launchers and all."""
    def send(number):
        for pid in c.everything():
            box.kill(pid, number)
    return lambda: send(signal.SIGSTOP), lambda: send(signal.SIGCONT)


@on_crn(1, 3, 8)
def crn_slow(n, c):
    return bursts([c.agent, c.fencer], n.rng)


@on_crn(1, 2, 3)
def agent_restart(n, c):
    return lambda: c.agent.signal(signal.SIGTERM), lambda: None


@on_crn(2, 1, 14)
def crn_split(n, c):
    """From all replicas, both ways."""
    return splits([(c.machine, REPLICAS)] + [
        (r.machine, [c.machine.address]) for r in n.world.members()])


@on_crn(1, 1, 14)
def crn_split_in(n, c):
    """It does not hear them, they hear it."""
    return splits([(c.machine, REPLICAS)])


@on_crn(1, 1, 14)
def crn_split_out(n, c):
    return splits([(r.machine, [c.machine.address])
                   for r in n.world.members()])


@on_crn(1, 2, 14)
def crn_split_one(n, c):
    """From one replica only: others are there."""
    r = n.rng.choice(n.world.members())
    return splits([(c.machine, [r.machine.address]),
                   (r.machine, [c.machine.address])])


# --- members ----

def change(n, member, what, seconds=45, enough=()):
    """Asks whoever answers until it is so."""
    last = [None]

    def ask():
        r = n.rng_work.choice(n.world.members())
        status, _, body = r.ask("POST", "/admin/v1/members",
                                {"id": member.id, "change": what}, 15,
                                admin=True)
        last[0] = body
        said = (body or {}).get("result") or (body or {}).get("error")
        if said == "is_leader" and what in ("remove", "demote"):
            other = [o for o in n.world.members() if o is not member]
            change(n, n.rng_work.choice(other), "transfer", 10,
                   ("not_connected", "not_moved", "is_leader", "not_level",
                    "busy", "not_voter", "voter_down"))
        return said == "ok" or said in enough
    try:
        until(seconds, "", ask, 0.2)
    except Failed:
        raise Failed("%s %s: %s" % (what, member.name, last[0])) from None


def procedure(n, name, steps, note=""):
    """All replicas are left alone but for what the steps do."""
    some = n.all_replicas()
    if some is None or not n.free(["members"]):
        return None
    fault = Fault(name, [r.name for r in some] + ["members"], 0, note)

    def work():
        try:
            steps(fault, some[0])
        except (Failed, RuntimeError, OSError) as why:
            fault.failed = str(why)
    fault.work = threading.Thread(target=work, daemon=True)
    return fault, fault.work.start, lambda: None


def join(n, fault):
    """A new replica under the next id, until it votes."""
    new = n.world.new_replica()
    fault.targets.add(new.name)
    new.daemon.start()
    change(n, new, "add", enough=("exists",))
    new.member = True
    change(n, new, "promote", enough=("same_role",))
    return new


@kind(0.4)
def replica_replaced(n):
    """Its disk is lost: off with it, and another comes under a new id."""
    def steps(fault, old):
        n.world.list_coming()
        old.unmake()
        change(n, old, "remove", enough=("unknown_id",))
        new = join(n, fault)
        fault.note = "%s for %s" % (new.name, old.name)
    return procedure(n, "replica_replaced", steps)


@kind(0.3)
def member_swapped(n):
    """A whole one goes, after another has come."""
    def steps(fault, old):
        n.world.list_coming()
        new = join(n, fault)
        change(n, old, "remove", enough=("unknown_id",))
        old.unmake()
        fault.note = "%s for %s" % (new.name, old.name)
    return procedure(n, "member_swapped", steps)


@kind(1)
def leader_transferred(n):
    def steps(fault, to):
        change(n, to, "transfer", 10, ("is_leader",))
        fault.note = "to %s" % to.name
    return procedure(n, "leader_transferred", steps)


@kind(0.4)
def vote_taken(n):
    """Demoted, and given its vote back."""
    seconds = n.seconds(0.5, 4)

    def steps(fault, r):
        change(n, r, "demote", enough=("same_role",))
        time.sleep(seconds)
        change(n, r, "promote", enough=("same_role",))
        fault.note = r.name
    return procedure(n, "vote_taken", steps)
