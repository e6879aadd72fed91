# The whole simulator's oracle (I1 to I8) must notice as well: a few seeds for
# each #ifdef of the shipped code that it is known to notice, and for what its
# harness imitates. Not noticed by seeds are any_term, not_due and renew_any
# (tests/sim/whole/README.md says why); tests/script has a scenario for each.
# A change of the simulator gives each seed another story, hence ranges. What is
# recorded is the check that noticed first: who changes the simulator records
# anew, and sees to it that each check is still somebody's.
def sim(seeds, name, rules, path, how):
    mutant("sim_" + name, rules, path, how, "sim " + seeds)


FSM, DRIVER = "fsm/lease.c", "node/replica/"
TENURE, HARNESS = "node/agent/tenure.c", "tests/sim/whole/main.c"
sim("1-10", "receive_time", "R10", TENURE, define("receive_time"))
sim("1-30", "hello_alive", "R15", TENURE, define("hello_alive"))
sim("1-10", "applied_early", "R14", TENURE, define("applied_early"))
sim("1-10", "version", "R13 W2", TENURE, define("version"))
sim("1-10", "ack_early", "R6 W4", DRIVER + "driver_beat.c",
    define("ack_early"))
sim("1-10", "anchor_kept", "R4", DRIVER + "driver.c", define("anchor_kept"))
sim("1-120", "config_lowered", "R2 2.6", "fsm/config.c",
    define("config_lowered"))
sim("1-10", "unconfirmed", "R16", FSM, define("unconfirmed"))
sim("1-10", "without_k", "R2", FSM, define("without_k"))
sim("1-20", "hold_expires", "R23", FSM, define("hold_expires"))
sim("1-120", "prev", "R15 W5", FSM, define("prev"))
sim("1-10", "boot", "R15 W7", FSM, define("boot"))
sim("1-120", "other_host", "R23", FSM, define("other_host"))
sim("1-120", "confirm_all", "R16 R23", FSM, define("confirm_all"))
sim("1-10", "slow_kill", "R9 R11", HARNESS, options("--mutation slow-kill"))
sim("1-60", "let_go", "R23", HARNESS, options("--mutation let-go"))
sim("1-10", "fast_clock", "R4 W11", HARNESS, options("--mutation fast-clock"))
sim("1-10", "no_timer", "R9", HARNESS, options("--mutation no-timer"))
sim("1-10", "row_lost", "R23 W9", HARNESS, options("--mutation row-lost"))
sim("1-10", "lying_fence", "R16", HARNESS, options("--mutation lying-fence"))
sim("1-10", "ttl_s", "R2", HARNESS, options("--mutation ttl-s"))
sim("1-40", "early_gone", "R9 R23", HARNESS, options("--mutation early-gone"))
sim("1-20", "same_gen", "R17", HARNESS, options("--mutation same-gen"))

# Each check of the oracle that no rule left out comes to (spoil.c).
for spoiled, checks in (
        ("two-run", "I1"), ("broken-state", "I7"), ("other-state", "I8"),
        ("other-entry", "I8"), ("snapshot", "I8"), ("more-vcpus", "2.4"),
        ("more-memory", "2.4"), ("more-disk", "2.4"), ("applied-twice", "2.4"),
        ("ack-early", "2.4"), ("ack-other", "2.4"), ("lazy", "2.4")):
    sim("1-20", "oracle_" + spoiled.replace("-", "_"), checks, HARNESS,
        options("--mutation " + spoiled))
