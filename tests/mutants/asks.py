"""What the scripts, the tests in C and the fencer's ask: on record in asks.txt.

A mutant shows that the first expectation that breaks is there. Those after it in
the same test could be deleted or loosened unnoticed, so a digest of each is on
record, by function. One more is fine; one that is missing, and a function that is
not on record, fail the run until somebody records anew (--record) on purpose.

A statement asks if it asserts, or calls a function of the same file that does."""
import collections
import glob
import hashlib
import os
import re

HERE = os.path.dirname(os.path.abspath(__file__))
FILE = os.path.join(HERE, "asks.txt")
# A comment, a string, a character: what may hold a brace or a semicolon.
OPAQUE = re.compile(r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\])*"|\'(?:\\.|[^\'\\])*\'',
                    re.S)
HEAD = re.compile(r"^\w[^;={}#]*?\b(\w+)\([^;{}]*\)\s*\{", re.M)
CALL = re.compile(r"\b(\w+)\s*\(")
ASSERTS = re.compile(r"\b(?:assert_\w+|fail|fail_msg)\s*\(")


def sources():
    return sorted(glob.glob("tests/unit/*.c") + glob.glob("tests/script/*.txt")
                  + glob.glob("tests/place/*.txt")) + ["tests/check/fencer"]


def blank(match):
    """Strings stay as they are, but for what would be taken for code."""
    text = match.group(0)
    return " " if text.startswith("/") else re.sub(r"[{};()]", "_", text)


def bodies(text):
    """(function, where its body begins and ends) of a file in C."""
    at = 0
    while True:
        head = HEAD.search(text, at)
        if head is None:
            return
        depth, end = 1, head.end()
        while depth and end < len(text):
            depth += {"{": 1, "}": -1}.get(text[end], 0)
            end += 1
        yield head.group(1), text[head.end():end - 1]
        at = end


def statements(body):
    """Its simple statements and the heads of its compound ones."""
    depth, start = 0, 0
    for at, letter in enumerate(body):
        depth += {"(": 1, ")": -1}.get(letter, 0)
        if depth == 0 and letter in ";{}":
            yield " ".join(body[start:at].split())
            start = at + 1


def asks_in_c(text):
    found = {}
    for name, body in bodies(OPAQUE.sub(blank, text)):
        found.setdefault(name, []).extend(statements(body))
    asking, grew = set(), True
    while grew:
        more = {name for name, rows in found.items() if any(
            ASSERTS.search(row) or asking & set(CALL.findall(row))
            for row in rows)}
        grew, asking = more != asking, more
    return [(name, row) for name, rows in found.items() for row in rows
            if ASSERTS.search(row) or asking & set(CALL.findall(row))]


def asks_in_python(text):
    """Its assertions, each up to the end of its brackets."""
    found, name, open_row = [], "", ""
    for line in text.splitlines():
        head = re.match(r"\s*def (\w+)", line)
        if head:
            name = head.group(1)
        elif open_row or re.match(r"\s*assert\b", line):
            open_row += " " + line.strip()
            if open_row.count("(") <= open_row.count(")") and \
                    not open_row.endswith("\\"):
                found.append((name, " ".join(open_row.split())))
                open_row = ""
    return found


def asks_in_script(text):
    """All that is said there: what happens decides what is asked."""
    rows = (" ".join(line.split("#")[0].split()) for line in text.split("\n"))
    return [("all", row) for row in rows if row]


def asks(path):
    with open(path) as source:
        text = source.read()
    if path.endswith(".txt"):
        return asks_in_script(text)
    return asks_in_c(text) if path.endswith(".c") else asks_in_python(text)


def digest(text):
    return hashlib.sha256(text.encode()).hexdigest()[:8]


def by_function(path):
    """{function: the digests of what it asks, in their order}"""
    found = {}
    for name, text in asks(path):
        found.setdefault(name, []).append(digest(text))
    return found


def record():
    with open(FILE, "w") as out:
        for path in sources():
            for name, digests in by_function(path).items():
                out.write("%s %s %s\n" % (path, name, " ".join(digests)))


def missing():
    """A sentence for each function that asks less than is on record."""
    told, now = [], {path: by_function(path) for path in sources()}
    with open(FILE) as source:
        for line in source:
            path, name, *digests = line.split()
            left = collections.Counter(digests)
            left.subtract(now.get(path, {}).pop(name, []))
            count = sum(n for n in left.values() if n > 0)
            if count:
                told.append(
                    "%s: %s: %d of %d expectations were deleted or changed "
                    "(weakened; or record anew)" % (path, name, count,
                                                    len(digests)))
    return told + ["%s: %s asks, and is not on record: tests/mutants/run "
                   "--record" % (path, name)
                   for path, functions in now.items() for name in functions]
