"""The table of mutants: one file a layer (fsm.py, tenure.py, ...), which calls
mutant() for each. A mutant is one rule left out or one error put in; it names
the one scenario that must notice."""
import glob
import os
import re

HERE = os.path.dirname(os.path.abspath(__file__))


class Mutant:
    """name    unique, lower case
    rules   "R7 W8": R3..R25, W1..W11 (weaknesses at the top of lease.md), E
            (an ordinary error), 2.6 (a clause of lease.md 2.6)
    path    the file that is mutated
    how     define("x"): -DMUTANT_x; (old, new): a text that stands there
            exactly once; options("--mutation x"): of the simulator's harness
    catch   "PROGRAM TEST": a cmocka program of tests/unit and one test of it;
            "fsm_scripts FILE", "place_corpus FILE": a scenario of tests/script,
            tests/place; "sim 1-10": seeds of the whole simulator;
            "fencer TEST": a real fencer, one test of tests/check/fencer
    redundant  why nothing can notice; it is run all the same, and if the
            scenario notices, the reason is wrong and the run fails
    units   what is compiled anew, if it is not `path` itself (a header)"""

    def __init__(self, layer, name, rules, path, how, catch,
                 redundant=None, units=None):
        self.layer, self.name, self.rules = layer, name, rules
        self.path, self.how, self.catch = path, how, catch
        self.redundant = redundant
        self.units = units or [path]
        self.program, self.test = catch.split(" ", 1)


class define(str):
    """-DMUTANT_name"""


class options(str):
    """Arguments of the simulator."""


# What must have a mutant: the rules, and the weaknesses of the first protocol.
RULES = ["R%d" % n for n in range(3, 26)] + ["W%d" % n for n in range(1, 12)]
ERRORS_MIN = 10


def without_mutant(mutants):
    """The rules of which no mutant is in the table."""
    told = [rule for m in mutants for rule in m.rules.split()]
    missing = [rule for rule in RULES if rule not in told]
    if told.count("E") < ERRORS_MIN:
        missing.append("E (%d of %d)" % (told.count("E"), ERRORS_MIN))
    return missing


def layers():
    names = [os.path.basename(path)[:-3]
             for path in sorted(glob.glob(HERE + "/*.py"))]
    return [name for name in names if name not in ("asks", "table")]


def load(wanted):
    """All mutants of the layers, in their order."""
    found, names = [], set()
    for layer in wanted:
        def mutant(name, *args, **more):
            assert re.fullmatch(r"[a-z0-9_]+", name), name
            assert name not in names, "two mutants are called " + name
            names.add(name)
            found.append(Mutant(layer, name, *args, **more))
        path = os.path.join(HERE, layer + ".py")
        with open(path) as source:
            exec(compile(source.read(), path, "exec"),
                 {"mutant": mutant, "define": define, "options": options})
    return found


def kills_path(layer):
    return os.path.join(HERE, "kills", layer + ".txt")


def load_kills(layer):
    """What must break: {mutant: {expectation, ...}}"""
    kills = {}
    if os.path.exists(kills_path(layer)):
        with open(kills_path(layer)) as source:
            for line in source:
                name, _, text = line.rstrip("\n").partition(" | ")
                kills.setdefault(name, set()).add(text)
    return kills


def save_kills(layer, kills):
    os.makedirs(os.path.dirname(kills_path(layer)), exist_ok=True)
    with open(kills_path(layer), "w") as out:
        for name, texts in kills.items():
            for text in sorted(texts):
                out.write("%s | %s\n" % (name, text))
