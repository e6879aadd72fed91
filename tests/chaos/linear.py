#!/usr/bin/python3
"""Is a history of API operations linearizable?

usage: linear.py FILE...

A file is a history, a JSON object a line:

    {"client": 3, "key": "...", "op": "put", "value": 7, "call": 100,
     "return": 250, "outcome": "ok"}

`op` is put (writes `value`), forget (writes null) or read (saw `value`; null:
nothing was there). Times are nanoseconds of one clock. `outcome` is ok; fail:
it surely was not done, now or later; or unknown: it may take effect at any
time after its call, or never (its `return` means nothing and may be null). A
read that did not end ok says nothing. A read with "level": "leader" promises
less (deploy/API.md: the leader does not ask the others) and is only held to
what had been written when it returned.

Each key is a register of its own, empty at first; a history is linearizable if
and only if that of each key is (Herlihy and Wing, 1990). One key is decided by
the search of Wing and Gong in the form that Lowe calls just-in-time: over the
events in their order, kept is the set of all (value, pending operations that
took effect already); an operation must take effect before it returns, and
others before it only if that helps. What is remembered is a set, so no state
is gone through twice.

Four facts about registers keep that set small. A read that fits takes effect
at once, for it changes nothing. A write of unknown outcome takes effect, if at
all, right before a read that sees its value: earlier nobody would notice, and
what is written over unseen might as well not have happened. A write whose
value nobody will read any more takes effect with the next one, right before
it, if not at its own return. And of two states
that differ only in how many of those were used, the more wasteful one goes.

Exit: 0 all linearizable, 1 an anomaly, 2 a file is not a history.
"""
import collections
import json
import sys

Operation = collections.namedtuple(
    "Operation", "id client key op value call end outcome level line")
FOREVER = float("inf")
DEAD = object()  # some value that nobody will read


class Malformed(Exception):
    pass


# --- reading ----

def _check(row):
    for name in ("client", "key", "op", "call", "return", "outcome"):
        if name not in row:
            raise Malformed("no \"%s\"" % name)
    if row["op"] not in ("put", "forget", "read"):
        raise Malformed("op: %r" % row["op"])
    if row["outcome"] not in ("ok", "fail", "unknown"):
        raise Malformed("outcome: %r" % row["outcome"])
    if not isinstance(row["call"], int):
        raise Malformed("call: not whole nanoseconds")
    if row["return"] is None:
        if row["outcome"] == "ok":
            raise Malformed("ok, but it never returned")
    elif not isinstance(row["return"], int) or row["return"] < row["call"]:
        raise Malformed("return: not after the call")
    if row["op"] == "put" and row.get("value") is None:
        raise Malformed("a put writes a value")
    if isinstance(row.get("value"), (list, dict)):
        raise Malformed("value: a number or a string is wanted")


def operation(row, number):
    _check(row)
    unknown = row["outcome"] == "unknown"
    return Operation(
        number, row["client"], str(row["key"]), row["op"],
        None if row["op"] == "forget" else row.get("value"), row["call"],
        FOREVER if unknown or row["return"] is None else row["return"],
        row["outcome"], row.get("level", "linearizable"), number)


def load(lines):
    history = []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
            if not isinstance(row, dict):
                raise Malformed("not an object")
            history.append(operation(row, number))
        except (ValueError, Malformed) as why:
            raise Malformed("line %d: %s" % (number, why))
    return history


# --- deciding one key ----

def _events(ops):
    """(time, is return, op), in order; at the same instant calls come first:
    what is not surely one after the other is at once."""
    events = []
    for op in ops:
        events.append((op.call, 0, op))
        if op.end != FOREVER:
            events.append((op.end, 1, op))
    events.sort(key=lambda e: (e[0], e[1], e[2].id))
    return events


class _Search:
    """A state is (value, done, used): `done` are ids of pending operations
    that took effect; `used` counts the writes of unknown outcome that did, by
    value, as a sorted tuple."""

    def __init__(self, ops):
        self.last = {}       # value: when the last read of it returns
        for op in ops:
            if op.op == "read":
                self.last[op.value] = max(op.end, self.last.get(op.value, 0))
        self.pending = {}    # id: ok operations that were called
        self.offered = {}    # value: writes of unknown outcome, called
        self.dead = frozenset()  # ids of those whose value is past reading
        self.states = {(None, frozenset(), ())}

    def call(self, op):
        if op.outcome == "ok":
            self.pending[op.id] = op
        elif op.value in self.last:
            self.offered[op.value] = self.offered.get(op.value, 0) + 1

    def _past(self, value, op):
        return self.last.get(value, -1) < op.end

    def _reads(self, value, done):
        more = [op.id for op in self.pending.values() if op.op == "read" and
                op.value == value and op.id not in done]
        return done.union(more) if more else done

    def _next(self, state):
        """All states one write further."""
        value, done, used = state
        wanted = set()
        for op in self.pending.values():
            if op.id in done:
                continue
            if op.op != "read":
                yield op.value, done | {op.id} | self.dead, used
            elif op.value in self.offered:
                wanted.add(op.value)
        for other in wanted:
            spent = dict(used)
            spent[other] = spent.get(other, 0) + 1
            if spent[other] <= self.offered[other]:
                yield other, done | self.dead, tuple(sorted(
                    spent.items(), key=lambda item: repr(item[0])))

    def end(self, op):
        """False: nothing explains that `op` returned."""
        good, stack, known = set(), list(self.states), set()
        self.dead = frozenset(o.id for o in self.pending.values()
                              if o.op != "read" and self._past(o.value, op))
        while stack:
            value, done, used = stack.pop()
            if self._past(value, op):
                value = DEAD
            state = (value, self._reads(value, done), used)
            if state in known:
                continue
            known.add(state)
            if op.id in state[1]:
                good.add((value, state[1] - {op.id}, used))
            else:
                stack.extend(self._next(state))
        del self.pending[op.id]
        self.states = _thrifty(good)
        return bool(good)


def _thrifty(states):
    """Without those that used more than another that is like them."""
    alike = {}
    for value, done, used in states:
        alike.setdefault((value, done), []).append(used)
    kept = set()
    for (value, done), list_ in alike.items():
        if len(list_) > 1:
            list_ = [u for u in list_ if not any(
                o != u and _within(o, u) for o in list_)]
        kept.update((value, done, used) for used in list_)
    return kept


def _within(less, more):
    more = dict(more)
    return all(count <= more.get(value, 0) for value, count in less)


def first_failure(ops):
    """The operation whose return nothing explains, or None. `ops` are of one
    key; those that say nothing are left out here."""
    ops = [op for op in ops if op.outcome != "fail" and
           (op.op != "read" or op.outcome == "ok")]
    search = _Search(ops)
    for _, returns, op in _events(ops):
        if not returns:
            search.call(op)
        elif not search.end(op):
            return op
    return None


# --- telling ----

def _weaker(op):
    """The same write, if it happened at all."""
    return op._replace(outcome="unknown", end=FOREVER)


def _reduce(ops, part):
    """Leaves out what the failure does not need: `part` makes a smaller list
    of operations out of a chunk of them. Big chunks first."""
    size = max(1, len(ops) // 2)
    while True:
        at = 0
        while at < len(ops):
            less = ops[:at] + part(ops[at:at + size]) + ops[at + size:]
            if less != ops and first_failure(less):
                kept = len(less) - len(ops) + size
                ops, at = less, at + max(kept, 0)
            else:
                at += size
        if size == 1:
            return ops
        size //= 2


def _suffix(ops):
    """What came before some instant may have happened or not, and what it
    saw is left out: with the latest instant that leaves the failure."""
    times = sorted({op.call for op in ops})
    low, high, best = 0, len(times), ops
    while high - low > 1:
        middle = (low + high) // 2
        less = [op if op.call >= times[middle] else _weaker(op) for op in ops
                if op.op != "read" or op.call >= times[middle]]
        if first_failure(less):
            low, best = middle, less
        else:
            high = middle
    return best


def _uncovered(ops):
    """Without what was surely written over before the first read began, save
    the last of each value."""
    first = min((op.call for op in ops if op.op == "read"), default=0)
    over = max((op.call for op in ops if op.op != "read" and op.end < first),
               default=0)
    last = {op.value: op.id for op in sorted(ops, key=lambda op: op.call)
            if op.op != "read" and op.end < over}
    return [op for op in ops if op.op == "read" or op.end >= over or
            last[op.value] == op.id]


def window(ops, bad):
    """The operations that contradict each other, in the order of their calls,
    and the one of them that cannot be explained.

    Leaving out a read, or making a write optional, only allows more: so what
    still fails without them fails because of the rest.
    """
    # A read that was still under way may see what was written afterwards.
    ops = _suffix([op for op in ops if op.call <= bad.end and
                   op.outcome != "fail" and
                   (op.op != "read" or op.end <= bad.end)])
    before = None
    while ops != before:
        before = ops
        ops = _reduce(ops, lambda chunk: [o for o in chunk if o.op != "read"])
        ops = _uncovered(ops)
        ops = _reduce(ops, lambda chunk: [
            o if o.op == "read" else _weaker(o) for o in chunk])
    read = {op.value for op in ops if op.op == "read"}
    few, told = [], set()
    for op in sorted(ops, key=lambda op: op.call, reverse=True):
        # Of the writes that do not matter, the last of what was read.
        if op.op == "read" or op.outcome == "ok" or (
                op.value in read and op.value not in told):
            few.insert(0, op)
            if op.op != "read":
                told.add(op.value)
    return few, first_failure(few)


def _name(value):
    return "nothing" if value is None else json.dumps(value)


def _did(op):
    if op.op == "read":
        return "a read of client %s saw %s" % (op.client, _name(op.value))
    if op.op == "put":
        return "client %s put %s" % (op.client, _name(op.value))
    return "client %s forgot it" % op.client


def sentence(ops, bad, few):
    """Why it is none, in words. `few` is the window."""
    writes = [op for op in ops if op.op != "read" and op.value == bad.value]
    real = [op for op in writes if op.outcome != "fail"]
    if bad.value is not None and not writes:
        return "%s, which nobody wrote" % _did(bad)
    if bad.value is not None and not real:
        return "%s, whose put had surely failed" % _did(bad)
    if bad.value is not None and all(op.call > bad.end for op in real):
        return "%s before anybody wrote it" % _did(bad)
    before = [op for op in few if op.id != bad.id and op.end < bad.call]
    if before:
        last = max(before, key=lambda op: op.end)
        return "%s, though before it began %s; no order of the operations " \
            "explains both" % (_did(bad), _did(last))
    return "%s; no order of the operations explains it" % _did(bad)


Anomaly = collections.namedtuple("Anomaly", "key bad window sentence")


def _leader_read(op, ops):
    """A read of level "leader" may be late, but sees what was written."""
    if op.value is None:
        return None
    if any(o.op == "put" and o.outcome != "fail" and o.value == op.value and
           o.call <= op.end for o in ops):
        return None
    few = sorted([o for o in ops if o.op == "put" and o.value == op.value] +
                 [op], key=lambda o: o.call)
    return Anomaly(op.key, op, few, sentence(ops, op, few))


def check(history):
    """All anomalies, at most one a key (and one a leader's read)."""
    keys = {}
    for op in history:
        keys.setdefault(op.key, []).append(op)
    anomalies = []
    for key, ops in keys.items():
        late = [op for op in ops if op.op == "read" and
                op.level == "leader" and op.outcome == "ok"]
        anomalies += filter(None, (_leader_read(op, ops) for op in late))
        strict = [op for op in ops if op.op != "read" or
                  op.level != "leader"]
        bad = first_failure(strict)
        if bad:
            few, bad = window(strict, bad)
            anomalies.append(Anomaly(key, bad, few,
                                     sentence(strict, bad, few)))
    return anomalies


def tell(name, anomaly, out):
    out.write("%s: key %s: %s\n" % (name, anomaly.key, anomaly.sentence))
    start = anomaly.window[0].call if anomaly.window else 0
    for op in anomaly.window:
        end = "      never" if op.end == FOREVER else \
            "%11.3f" % ((op.end - start) / 1e6)
        out.write("  %11.3f %s ms  client %-3s %-6s %s%s  line %d%s\n" % (
            (op.call - start) / 1e6, end, op.client, op.op,
            "" if op.op == "forget" else _name(op.value),
            "" if op.outcome == "ok" else "?", op.line,
            "  <--" if op.id == anomaly.bad.id else ""))


def main(files):
    if not files or files[0].startswith("-"):
        sys.stderr.write(__doc__)
        return 2
    operations = found = 0
    for name in files:
        try:
            with open(name) as file:
                history = load(file)
        except (OSError, Malformed) as why:
            sys.stderr.write("%s: %s\n" % (name, why))
            return 2
        operations += len(history)
        for anomaly in check(history):
            found += 1
            tell(name, anomaly, sys.stdout)
    print("histories=%d operations=%d anomalies=%d" % (
        len(files), operations, found))
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
