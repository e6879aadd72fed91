"""The verdict in words."""
import collections
import os
import subprocess

import box


def commit():
    done = subprocess.run(["git", "-C", box.HERE, "describe", "--always",
                           "--dirty"], capture_output=True, text=True)
    return done.stdout.strip() or "unknown"


def machine():
    with open("/proc/meminfo") as file:
        kib = int(file.readline().split()[1])
    return "%d cores, %.0f GiB, Linux %s, load average %.1f at the end" % (
        os.cpu_count(), kib / 2**20, os.uname().release.split("-")[0],
        os.getloadavg()[0])


def quantile(values, q):
    values = sorted(values)
    return values[min(len(values) - 1, int(q * len(values)))] if values else 0


def write(v, options, interrupted):
    lines = ["# Chaos on real processes", ""]
    add = lines.append
    good = True
    counts = collections.Counter(f.kind for f in v.faults)
    add("Seed %d, %g minutes, %d replicas, %d CRNs, profile `%s`%s." % (
        options.seed, options.minutes, options.replicas, options.crns,
        options.profile, ", interrupted" if interrupted else ""))
    add("Commit %s; %s." % (commit(), machine()))
    add("")
    add("| fault | times |")
    add("|---|---|")
    for kind, count in sorted(counts.items()):
        add("| %s | %d |" % (kind, count))
    add("| all | %d |" % len(v.faults))
    add("")
    totals = [m.total for m in v.timed]
    add("Programs: %d uploaded, %d taken back; %d moves, %d starts anew where "
        "they were." % (len(v.load.programs), sum(
            1 for p in v.load.programs if p.gone), len(v.moves), v.restarts))
    add("")
    add("Requests: " + ", ".join("%s %d" % x for x in sorted(
        v.load.counts.items())) + ".")
    add("")
    add("| not running because of | times | program-seconds | longest |")
    add("|---|---|---|---|")
    for cause, spans in sorted(v.down.items()):
        add("| %s | %d | %.1f | %.1f |" % (cause, len(spans), sum(spans),
                                           max(spans)))
    add("")
    add("Fences: %d, of them %d with nothing done to the CRN but no committed "
        "Beat for more than ttl_a - 2 heartbeats, %d false." % (
            len(v.fences), v.in_outages, len(v.false)))
    add("Windows without such a Beat: %d, %.1f s in all, longest %.1f s." % (
        len(v.outages), sum(b - a for a, b in v.outages) / 1e9,
        max([b - a for a, b in v.outages], default=0) / 1e9))
    if v.outages:
        add("They began (and lasted): " + ", ".join(
            "%s (%.1f s)" % (v.at(a), (b - a) / 1e9)
            for a, b in v.outages) + ".")
    add("")
    add("| silent because of | moves | p50 | max |")
    add("|---|---|---|---|")
    for kind in sorted({m.cause.kind for m in v.timed}):
        some = [m.total for m in v.timed if m.cause.kind == kind]
        add("| %s | %d | %.2f | %.2f |" % (kind, len(some),
                                           quantile(some, .5), max(some)))
    add("")
    net = [m.net for m in v.timed]
    bound = v.world.ttl_s + 3
    add("Moves with a silent CRN: %d; from silence to running elsewhere "
        "p50 %.2f s, p99 %.2f s, max %.2f s; the program's own start p50 "
        "%.2f s, max %.2f s. Without it, and without time in which nobody "
        "committed a Beat for more than 1 s: p99 %.2f s, max %.2f s; bound "
        "(ttl_s + 3 s) %.1f s." % (
            len(totals), quantile(totals, .5), quantile(totals, .99),
            max(totals, default=0),
            quantile([m.start for m in v.timed], .5),
            max([m.start for m in v.timed], default=0), quantile(net, .99),
            max(net, default=0), bound))
    led = [m.total - m.start for m in v.timed if m.gap == 0]
    add("In %d of them Beats were committed all along: nothing but the "
        "program's own start is left out there, p50 %.2f s, p99 %.2f s, max "
        "%.2f s." % (len(led), quantile(led, .5), quantile(led, .99),
                     max(led, default=0)))
    if v.chained:
        add("%d of all %d were given to a CRN that was silent too, or became so"
            " before they ran; their time is from that second silence." % (
                v.chained, len(totals)))
    add("Daemons that ended by themselves under a fault (and were started "
        "anew): %d." % v.own_deaths)
    for title, rows in (("Overlaps", v.overlaps), ("Lost writes", v.lost),
                        ("Anomalies", v.anomalies),
                        ("False fences", v.false), ("Problems", v.problems),
                        ("Faults that could not be made", v.nemesis.failed)):
        if rows:
            good = False
            add("")
            add("## " + title)
            add("")
            for row in rows[:50]:
                add("* %s" % (row,))
    if quantile(net, .99) > bound:
        good = False
        add("")
        add("## Slow moves")
        add("")
        for m in sorted(v.timed, key=lambda m: -m.net)[:20]:
            add("* at %s %s" % (v.at(m.b.first), m))
    last = ("chaos: minutes=%g faults=%d moves=%d overlaps=%d lost=%d "
            "anomalies=%d false_fences=%d move_p50=%.2f p99=%.2f max=%.2f "
            "p99_led=%.2f" % (
                options.minutes, len(v.faults), len(v.moves),
                len(v.overlaps), len(v.lost), len(v.anomalies),
                len(v.false), quantile(totals, .5), quantile(totals, .99),
                max(totals, default=0), quantile(led, .99)))
    add("")
    add(last)
    path = os.path.join(options.out, "REPORT-%d.md" % options.seed)
    with open(path, "w") as file:
        file.write("\n".join(lines) + "\n")
    print("\n".join(lines))
    return good
