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
# The fencer's own: what is dead, when its row goes, what a restart makes of it.
AGENT = "node/agent/"
sim("1-10", "row_before_death", "R14", AGENT + "fencer_run.c",
    ("	if (is_dead(f, index))\n		buried(f, index);",
     "	if (true)\n		buried(f, index);"))
sim("1-10", "dead_by_its_group_alone", "R14", AGENT + "fencer_run.c",
    ("	if (!p->launcher_dead || !p->init_dead || !p->socket_end)\n"
     "		return false;\n", ""))
sim("1-40", "row_without_pids", "2.6", AGENT + "fencer_run.c",
    ("	    run_table_write(&f->table, index, &p->row, false) != 0 ||\n",
     ""))
sim("1-20", "row_hold", "R23", AGENT + "fencer_run.c",
    ("	row->hold = run->hold;", "	row->hold = false;"))
sim("1-40", "adopts_exclusive", "R15", AGENT + "fencer_settle.c",
    ("	if (row->hold && launcher >= 0 && init >= 0) {",
     "	if (launcher >= 0 && init >= 0) {"))
sim("1-20", "far_as_near", "2.6", AGENT + "fencer_settle.c",
    ("	else if (row.pid_namespace != f->machine.pid_namespace)\n"
     "		verdict = settle_far(f, slot, &row);\n", ""))
sim("1-20", "unknown_is_dead", "2.6", AGENT + "fencer_settle.c",
    ("	if (fencer__far_dead(f, slot)) {", "	if (true) {"))
sim("1-60", "far_without_k", "R9 2.6", AGENT + "fencer_settle.c",
    ("				     (uint64_t)f->k_ms * NS_PER_MS / 50 * 51;",
     "				     0;"))
sim("1-20", "unseen_is_empty", "2.6", AGENT + "fencer_far.c",
    ("	return group_life(f, index) == CGROUP_EMPTY;",
     "	return group_life(f, index) != CGROUP_LIVES;"))
sim("1-60", "deadline_not_noted", "2.6", AGENT + "fencer.c",
    ("	deadline_note(f, at_ns);\n", ""))
# The relay's own: whose frames, of which term, to whom.
RELAY = DRIVER + "relay"
sim("1-20", "relay_up_any_term", "2.6", RELAY + "_serve.c",
    ("	bool stale = term != edge->term || !edge_is_leader(edge);",
     "	bool stale = !edge_is_leader(edge);"))
sim("1-20", "relay_down_any_term", "2.6", RELAY + "_serve.c",
    ("	bool stale = wire_get_u64(&r) != edge->term;",
     "	bool stale = wire_get_u64(&r) == 0;"))
sim("1-10", "relay_who_leads_not", "2.6", RELAY + "_serve.c",
    ("	bool stale = term != edge->term || !edge_is_leader(edge);",
     "	bool stale = term != edge->term;"))
sim("1-20", "relay_keeps_over_terms", "2.6", RELAY + ".c",
    ("			relay->peers[i].batches[j].wire.size = 0;\n",
     "			(void)j;\n"))
sim("1-10", "relay_other_link", "2.6", DRIVER + "agent_link.c",
    ("		sent = relay_agent_up(edge->relay, edge->leader, link->number,",
     "		sent = relay_agent_up(edge->relay, edge->leader, "
     "link->number ^ 4096,"))
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
