"""One run: the cluster, its load, the nemesis, the verdict."""
import json
import os
import random
import signal
import time

import load
import nemesis
import oracle
import report
from cluster import Failed
from daemons import World


def run(options):
    interrupted = []
    signal.signal(signal.SIGINT, lambda *_: interrupted.append(1))
    rng = random.Random(options.seed)
    print("chaos: seed %d, %g minutes, %d replicas, %d CRNs, profile %s" % (
        options.seed, options.minutes, options.replicas, options.crns,
        options.profile))
    world = World(options)
    world.up()
    print("chaos: the cluster is up")
    beats, events = oracle.Beats(world), oracle.Events(world)
    owners = load.Load(world, random.Random(rng.random()))
    owners.start()
    owners.wait_running(60)
    faults = nemesis.Nemesis(world, rng, options.only)
    end = time.monotonic() + options.minutes * 60
    problems = []
    try:
        faults.run(lambda: interrupted or time.monotonic() > end)
    except Failed as why:
        problems.append("nemesis: %s" % why)
    faults.heal()
    try:
        owners.settle(90)
    except Failed as why:
        problems.append("after all was healed: %s" % why)
    beats.stop()
    events.stop()
    owners.stop()
    problems += oracle.same_everywhere(world)
    try:
        last = owners.read_all()
    except Failed as why:
        last = {}
        problems.append(str(why))
    verdict = oracle.Verdict(world, owners, faults, beats, events,
                             problems, last)
    world.ended.set()
    with open(os.path.join(options.out, "history-%d.jsonl" % options.seed),
              "w") as file:  # for tests/chaos/linear.py
        for row in owners.history:
            file.write(json.dumps(row) + "\n")
    if interrupted:
        print("chaos: interrupted; this is what was seen until then")
    good = report.write(verdict, options, interrupted)
    return 0 if good and not interrupted else 1
