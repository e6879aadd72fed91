# A CRN's side of a lease: R9 to R15, R23 in node/agent/tenure.c.
TENURE = "node/agent/tenure.c"


def story(name, rules, how, test, **more):
    mutant("tenure_" + name, rules, TENURE, how, "agent_tenure test_" + test,
           **more)


# --- R9, R10: the deadline
story("receive_time", "R10", define("receive_time"), "deadline_from_send_time")
story("ttl_a_longer", "R10 E",
      ("deadline_ms = t->marks[at].t_send_ms + ttl_a_ms;",
       "deadline_ms = t->marks[at].t_send_ms + ttl_a_ms + 1;"),
      "deadline_from_send_time")
story("retransmission_keeps_seq", "R10",
      ("t->seq++; /*", "if (t->seq == 0) t->seq++; /*"),
      "retransmission_is_a_new_seq")
story("retransmission_new_time", "R10",
      ("	if (deadline_ms > t->deadline_ms)\n",
       "	deadline_ms = t->marks[t->seq % COUNT_OF(t->marks)].t_send_ms + "
       "ttl_a_ms;\n	if (deadline_ms > t->deadline_ms)\n"),
      "retransmission_is_a_new_seq")
story("deadline_moves_back", "R10 E",
      ("if (deadline_ms > t->deadline_ms)", "if (1)"), "deadline_only_grows")
story("fenced_resumes", "R10",
      ("return FENCER_PAST_DEADLINE; /* R10: never resumes */", ";"),
      "late_ack_revives_nothing")
story("late_by_one", "R10 E",
      ("if (t->session == 0 || now_ms < t->deadline_ms)",
       "if (t->session == 0 || now_ms <= t->deadline_ms)"),
      "late_ack_revives_nothing")
story("no_fence", "R10",
      ("if (t->session == 0 || now_ms < t->deadline_ms)", "if (1)"),
      "no_ack_ends_the_session")
story("marks_outlive", "R10 R12",
      ("memset(t->marks, 0, sizeof t->marks);", ""),
      "seq_goes_on_over_sessions")
story("seq_restarts", "R10",
      ("	t->version = 0;\n	t->have = 0;\n",
       "	t->version = 0;\n	t->seq = 0;\n	t->have = 0;\n"),
      "seq_goes_on_over_sessions")
story("mark_overwritten", "R10 E",
      ("if (seq == 0 || t->marks[at].seq != seq)", "if (seq == 0)"),
      "marks_are_bounded")
story("mark_past_deadline", "R10",
      ("	if (now_ms >= t->deadline_ms)\n		return FENCER_PAST_DEADLINE;\n"
       "	RUN_EACH(t, run) {", "	RUN_EACH(t, run) {"),
      "no_heartbeat_past_the_deadline")
story("mark_without_session", "R10",
      ("	if (t->session == 0)\n		return FENCER_NO_SESSION;\n"
       "	if (now_ms >= t->deadline_ms)\n		return FENCER_PAST_DEADLINE;\n"
       "	RUN_EACH(t, run) {",
       "	if (t->session != 0 && now_ms >= t->deadline_ms)\n"
       "		return FENCER_PAST_DEADLINE;\n	RUN_EACH(t, run) {"),
      "late_ack_revives_nothing")
story("petted_past_deadline", "R9",
      ("if (t->session != 0 && now_ms < t->deadline_ms)\n		return true;",
       "if (t->session != 0)\n		return true;"), "watchdog")
story("petted_always", "R9",
      ("if (t->runs[i].state != TENURE_RUN_NONE && !t->runs[i].hold)\n"
       "			return false;", "{}"), "watchdog")
story("not_petted_for_held", "R9",
      ("if (t->runs[i].state != TENURE_RUN_NONE && !t->runs[i].hold)",
       "if (t->runs[i].state != TENURE_RUN_NONE)"), "watchdog")
story("got_ack_at_once", "R8",
      ("t->got_ack = false;\n	t->lease = true;",
       "t->got_ack = true;\n	t->lease = true;"), "got_ack")
story("got_ack_never", "R8 E",
      ("	t->got_ack = true;\n", ""), "got_ack")
story("got_ack_outlives", "R8",
      ("	t->got_ack = false;\n	t->set_taken = false;\n	t->desired_count",
       "	t->set_taken = false;\n	t->desired_count"), "got_ack")

# --- R11: the gate
story("gate_no_session", "R11",
      ("	if (t->session == 0)\n		return FENCER_NO_SESSION;\n"
       "	if (now_ms >= t->deadline_ms)\n		return FENCER_PAST_DEADLINE;\n"
       "	row",
       "if (now_ms >= t->deadline_ms)\n		return FENCER_PAST_DEADLINE;\n"
       "	row"), "gate")
story("gate_past_deadline", "R11 W3",
      ("if (now_ms >= t->deadline_ms)\n		return FENCER_PAST_DEADLINE;\n"
       "	row", "row"), "gate")
story("gate_epoch", "R11",
      ("if (row->epoch == epoch && row->gen == gen &&",
       "if (row->gen == gen &&"), "gate")
story("gate_gen", "R11",
      ("if (row->epoch == epoch && row->gen == gen &&",
       "if (row->epoch == epoch &&"), "gate")
story("gate_program", "R11 E",
      ("row->gen == gen &&\n		    hash_equal(&row->program, program))",
       "row->gen == gen)"), "gate")
story("gate_running", "R11",
      ("code = gate_conflict(t, row);", "code = FENCER_OK;"), "gate")
story("gate_lineage", "R11 R21",
      ("if (hash_equal(&run->lineage, &row->lineage))", "if (0)"), "gate")
story("gate_other_epoch", "R11",
      ("				       FENCER_RUNNING :\n"
       "				       FENCER_NOT_DEAD;",
       "				       FENCER_RUNNING :\n"
       "				       FENCER_OK;"), "gate")
story("gate_full", "R11 E",
      ("	if (*run == NULL)\n		return FENCER_FULL;\n",
       "	if (*run == NULL)\n		*run = &t->runs[0];\n"), "gate_is_bounded")
story("set_too_big", "R13 E",
      ("if (m->has_desired && m->desired_count > COUNT_OF(t->desired))",
       "if (0)"), "gate_is_bounded")

# --- R12: whose message it is
story("reply_session_and_version", "R12 R13",
      ("	t->version = m->session; /* R13 */", "	t->version = 0;"),
      "older_set_is_ignored")
story("reply_session", "R12",
      ("m->session != t->session || m->gen != t->gen ||\n",
       "m->gen != t->gen ||\n"), "messages_of_others_are_dropped")
story("reply_gen", "R12",
      ("m->session != t->session || m->gen != t->gen ||\n",
       "m->session != t->session ||\n"), "messages_of_others_are_dropped")
story("reply_no_session", "R12",
      ("	if (t->session == 0 || m->session != t->session ||",
       "	if (m->session != t->session ||"), "session_zero_matches_nothing")
story("ack_never_drawn", "R12", ("m->ack_seq > t->seq)", "0)"),
      "messages_of_others_are_dropped")
story("adopt_gen", "R12",
      ("!t->register_marked ||\n	    m->gen != t->gen)",
       "!t->register_marked)"), "adoption_in_another_gen")
story("adopt_nonce", "R12 R15",
      ("if (!nonce_is(t, m->nonce) || !t->nonce_bound ||",
       "if (!t->nonce_bound ||"), "one_adoption")
story("challenge_nonce", "R12 R15 W6",
      ("	if (!nonce_is(t, m->nonce))\n		return FENCER_STALE; /* R12 */",
       "	if (!t->nonce_drawn)\n		return FENCER_STALE;"),
      "second_challenge_is_ignored")

# --- R13: the desired set
story("no_version_test", "R13 W2", define("version"), "older_set_is_ignored")
story("same_version_twice", "R13",
      ("if (m->version <= t->version)", "if (m->version < t->version)"),
      "older_set_is_ignored")
story("have_not_compared", "R13 2.6",
      ("if (t->set_taken && t->have == m->changed) {",
       "if (t->set_taken) {"), "reply_without_set")
story("have_of_no_set", "R13 2.6",
      ("if (t->set_taken && t->have == m->changed) {",
       "if (t->have == m->changed) {"), "reply_without_set")
story("version_not_raised", "R13 E",
      ("			t->version = m->version;\n			applied_settle(t);",
       "			applied_settle(t);"), "reply_without_set")
story("have_not_kept", "R13 E", ("	t->have = m->changed;\n", ""),
      "reply_without_set")
story("set_version_forgotten", "R13",
      ("	t->version = m->version;\n	t->have = m->changed;\n",
       "	t->have = m->changed;\n"), "older_set_is_ignored")
story("set_outlives_session", "R13",
      ("	t->set_taken = false;\n	t->desired_count = 0;\n", ""),
      "desired_set_ends_with_its_session")

# --- R14: applied
story("applied_early", "R14", define("applied_early"),
      "applied_waits_for_the_dead")
story("applied_before_queued", "R14 R13",
      ("		if (!tenure_wanted(t, run))\n			return;\n	}\n#endif",
       "		if (!tenure_wanted(t, run) && run->state != "
       "TENURE_RUN_QUEUED)\n			return;\n	}\n#endif"),
      "queued_start_holds_applied_back")
story("applied_waits_for_all", "R14",
      ("		if (!tenure_wanted(t, run))\n			return;\n	}\n#endif",
       "		(void)run;\n		return;\n	}\n#endif"),
      "applied_does_not_wait_for_the_desired")
story("applied_is_session", "R14",
      ("t->applied = 0;          /*", "t->applied = m->session; /*"),
      "applied_is_zero_after_adoption")
story("applied_outlives", "R14",
      ("	t->applied = 0;\n	t->deadline_ms", "	t->deadline_ms"),
      "applied_is_zero_after_adoption")
story("applied_of_kept", "R14 R23",
      ("	if (t->session == 0 || !t->set_taken)\n		return;\n#ifndef",
       "	if (t->session == 0)\n		return;\n#ifndef"), "kept_run_dies")
story("applied_not_settled", "R14 E",
      ("		t->fencing = exclusive_lives(t);\n	applied_settle(t);\n",
       "		t->fencing = exclusive_lives(t);\n"),
      "applied_waits_for_the_dead")

# --- R15: Register
story("hello_alive", "R15", define("hello_alive"), "hello_needs_the_dead")
story("hello_queued", "R15",
      ("if (!run->hold || run->state == TENURE_RUN_QUEUED)",
       "if (!run->hold)"), "hello_needs_no_queued_start")
story("hello_in_session", "R15",
      ("	if (t->session != 0)\n		return FENCER_HAS_SESSION;\n	/* R15",
       "	/* R15"), "hello_needs_the_dead")
story("two_prevs", "R15 W6",
      ("if (t->nonce_bound)\n		return FENCER_STALE;", ""),
      "second_challenge_is_ignored")
story("two_adoptions", "R15 W6",
      ("nonce_forget(t); /* R15: one adoption */", ""),
      "ack_of_register_comes_too_late")
story("nonce_outlives", "R15 W6",
      ("	nonce_forget(t);\n	t->fencing = exclusive_lives(t);",
       "	t->fencing = exclusive_lives(t);"), "goodbye_forgets_the_nonce")
story("nonce_of_zeros", "R15 R23",
      ("	return t->nonce_drawn &&\n	       memcmp(", "	return memcmp("),
      "no_nonce_is_no_nonce")
story("found_by_program", "R24 E",
      ("		if (run->epoch == epoch && run->gen == gen &&\n"
       "		    hash_equal(&run->program, program))\n			return run;",
       "		if (hash_equal(&run->program, program))\n			return run;"),
      "find")
story("found_by_epoch", "R24 E",
      ("		if (run->epoch == epoch && run->gen == gen &&\n"
       "		    hash_equal(&run->program, program))\n			return run;",
       "		if (run->epoch == epoch && run->gen == gen)\n			return run;"),
      "find")
story("adopt_at_prev", "R15",
      ("if (m->session <= t->prev_max)", "if (m->session < t->prev)"),
      "adopts_only_above_every_prev")
story("adopt_below_earlier_prev", "R15",
      ("if (m->session <= t->prev_max)", "if (m->session <= t->prev)"),
      "adopts_only_above_every_prev")
story("prev_max_falls", "R15",
      ("	if (m->session > t->prev_max)\n		t->prev_max", "	t->prev_max"),
      "adopts_only_above_every_prev")
story("register_time_moves", "R15 R10",
      ("if (t->register_marked)\n		return;", ""),
      "register_keeps_its_first_time")
story("adopt_before_register", "R15",
      ("!t->nonce_bound || !t->register_marked ||", "!t->nonce_bound ||"),
      "one_adoption")
story("adopt_in_session", "R15",
      ("	if (t->session != 0)\n		return FENCER_HAS_SESSION;\n"
       "	if (!nonce_is(t, m->nonce) ||", "	if (!nonce_is(t, m->nonce) ||"),
      "one_adoption")
story("adopt_too_late", "R15 R10",
      ("	if (now_ms >= deadline_ms)\n		return FENCER_PAST_DEADLINE;\n"
       "	t->session", "	t->session"), "ack_of_register_comes_too_late")

# --- 2.6: generations
story("lower_gen", "2.6", ("if (m->gen < t->gen)\n		return FENCER_STALE;", ""),
      "generation")
story("stamps_of_two_gens", "2.6", ("		t->prev_max = 0;\n", ""),
      "generation")
story("gen_in_session", "2.6",
      ("	if (t->session != 0)\n		return FENCER_HAS_SESSION;\n"
       "	if (!nonce_is(t, m->nonce))\n		return FENCER_STALE; /* R12 */",
       "	if (m->gen > t->gen)\n		t->gen = m->gen;\n"
       "	if (!nonce_is(t, m->nonce))\n		return FENCER_STALE;"),
      "generation")
story("gen_not_taken", "2.6", ("		t->gen = m->gen;\n", ""), "generation")

# --- R23: held runs
story("kept_not_looked_at", "R23",
      ("run->condemned = true; /* R23 */", ";"), "run_that_is_not_kept")
story("heartbeat_before_condemned", "R23",
      ("return FENCER_NOT_DEAD; /* R23 */", ";"), "run_that_is_not_kept")
story("condemned_is_wanted", "R23",
      ("	if (run->condemned)\n		return false;\n", ""),
      "run_that_is_not_kept")
story("kept_run_stopped", "R23",
      ("if (t->session == 0 || !t->set_taken)\n		return run->hold;",
       "if (t->session == 0)\n		return run->hold;"), "kept_run")
story("held_stopped_at_deadline", "R23",
      ("if (t->session == 0 || !t->set_taken)\n		return run->hold;",
       "if (t->session == 0 || !t->set_taken)\n		return false;"),
      "held_run_survives_the_deadline")
story("exclusive_survives", "R23",
      ("if (t->session == 0 || !t->set_taken)\n		return run->hold;",
       "if (t->session == 0 || !t->set_taken)\n		return true;"),
      "held_run_survives_the_deadline")
story("unknown_told_running", "R23 R17",
      ("row->running = run->state != TENURE_RUN_UNKNOWN;",
       "row->running = true;"), "found_runs")
story("held_drawn_late", "R23",
      ("	t->prev = m->session;\n	t->nonce_bound = true;",
       "	t->prev = m->session;\n	held_draw(t);\n	t->nonce_bound = true;"),
      "held_run_survives_the_deadline")
story("hold_not_copied", "R23",
      ("				     .hold = row->hold };", " };"),
      "held_run_survives_the_deadline")
story("held_gen", "R23", ("		row->gen = run->gen;\n", "row->gen = t->gen;"),
      "found_runs")
story("held_epoch", "R23", ("		row->epoch = run->epoch;\n", ""),
      "held_run_survives_the_deadline")
story("fencing_not_told", "R9 E",
      ("	nonce_forget(t);\n	t->fencing = exclusive_lives(t);",
       "	nonce_forget(t);"), "hello_needs_the_dead")
