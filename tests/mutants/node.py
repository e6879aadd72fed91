# A CRN beside its lease core: fencer, launchers, run table, watchdog, session of
# the agent, door; and between replicas the relay.
def node(name, rules, path, how, catch, **more):
    mutant("node_" + name, rules, "node/%s.c" % path, how, catch, **more)


node("table_not_durable", "R11 E", "agent/run_table",
     ("	if (durable && fdatasync(table->fd) != 0)\n"
       "		return BERTH_IO;\n",
      ""),
     "agent_identity test_a_durable_row_is")
node("table_check_not_verified", "E", "agent/run_table",
     (" ||\n"
       "	    block.check != check(block.body, sizeof block.body))",
      ")"),
     "agent_runtable test_torn")
node("table_short_write_ok", "E", "agent/run_table",
     ("	if (pwrite(table->fd, block, sizeof *block, offset(at)) !=\n"
       "	    (ssize_t)sizeof *block)\n"
       "		return BERTH_IO;",
      "	if (pwrite(table->fd, block, sizeof *block, offset(at)) < 0) return BERTH_IO;"),
     "agent_identity test_a_durable_row_is")
node("table_size_not_tested", "E", "agent/run_table",
     ("	else if (st.st_size != TABLE_SIZE)\n",
      "	else if (0)\n"),
     "agent_runtable test_another_size")
node("boot_without_pid_namespace", "R15 2.6", "agent/machine",
     ("	m.pid_namespace = machine->pid_namespace = pid.st_ino;",
      "	machine->pid_namespace = pid.st_ino;"),
     "agent_identity test_a_container_is_another_boot")
node("boot_without_kernel_boot", "R15 2.6", "agent/machine",
     ("	memcpy(m.kernel_boot, machine->kernel_boot, sizeof m.kernel_boot);\n",
      ""),
     "agent_identity test_a_reboot_is_another_boot_of_the_host")
node("boot_without_device", "R15 2.6", "agent/machine",
     ("	m.device = folder.st_dev;\n"
       "	m.inode = folder.st_ino;\n",
      ""),
     "agent_identity test_a_copied_directory_is_another_boot")
node("host_with_boot", "R23 2.6", "agent/machine",
     ("	crypto_sha256(&m, sizeof m, &machine->host);\n"
       "	memset(m.product, 0, sizeof m.product);\n"
       "	memcpy(m.kernel_boot, machine->kernel_boot, sizeof m.kernel_boot);\n",
      "	memcpy(m.kernel_boot, machine->kernel_boot, sizeof m.kernel_boot);\n"
       "	crypto_sha256(&m, sizeof m, &machine->host);\n"
       "	memset(m.product, 0, sizeof m.product);\n"),
     "agent_identity test_a_reboot_is_another_boot_of_the_host")
node("host_without_id", "R23 2.6", "agent/machine",
     ("	rv = random_id(machine, m.id, fault);\n",
      "	uint8_t q[16]; rv = random_id(machine, q, fault);\n"),
     "agent_runtable test_machine")
node("no_lock", "R15", "agent/machine",
     ("	rv = lock(machine, directory, fault);\n",
      "	rv = 0;\n"),
     "agent_runtable test_machine")
node("lost_table_keeps_id", "R23", "agent/machine",
     ("ENOENT) || table_lost(machine))",
      "ENOENT))"),
     "agent_runtable test_machine")
node("id_not_durable", "E", "agent/machine",
     ("done = write(fd, id, 16) == 16 && fsync(fd) == 0;",
      "done = write(fd, id, 16) == 16;"),
     "agent_identity test_a_new_id_is_durable")
node("door_epoch_overwritten_by_program", "R19", "agent/door",
     (", \"berth-epoch\" };",
      " };"),
     "agent_door brings_the_answer_back")
node("door_no_epoch", "R19", "agent/door",
     ("		(struct httpd_header){ \"Berth-Epoch\", pass->epoch };",
      "		(struct httpd_header){ \"Berth-Epoch\", \"\" };"),
     "agent_door brings_the_answer_back")
node("door_epoch_without_gen", "R19", "agent/door",
     ("sizeof pass->epoch, \"%llu.%llu\",",
      "sizeof pass->epoch, \"0%.0llu.%llu\","),
     "agent_door brings_the_answer_back")
node("lowest_epoch_served", "R19", "agent/runner_ask",
     ("(!best || run->row.epoch > best->row.epoch))",
      "(!best || run->row.epoch < best->row.epoch))"),
     "agent_session test_requests_go_to_the_highest_epoch")
node("served_without_lease", "R10 R19", "agent/runner_ask",
     ("((run->row.desired && lease) ||",
      "((run->row.desired) ||"),
     "agent_session test_requests_go_to_the_highest_epoch")
node("watchdog_petted_always", "R9 E", "agent/fencer_watchdog",
     ("now_ms < f->pet_ms + 200 ||\n"
       "	    !tenure_may_pet(&f->tenure, fencer__now(f)))",
      "now_ms < f->pet_ms + 200)"),
     "agent_watchdog lets_it_bite")
node("watchdog_disarmed_always", "R9", "agent/fencer_watchdog",
     ("	if (fencer__exclusive_count(f) == 0)\n"
       "		(void)",
      "	(void)"),
     "agent_watchdog lets_it_bite")
node("watchdog_slow_taken", "R9 2.6", "agent/fencer_watchdog",
     ("	if ((uint32_t)timeout_s * 1000u + MARGIN_MS > f->k_ms) {",
      "	if (0) {"),
     "agent_watchdog refuses_a_slow_one")
node("watchdog_slow_by_margin", "R9 E", "agent/fencer_watchdog",
     ("	if ((uint32_t)timeout_s * 1000u + MARGIN_MS > f->k_ms) {",
      "	if ((uint32_t)timeout_s * 1000u > f->k_ms) {"),
     "agent_watchdog refuses_a_slow_one")
node("watchdog_closing_not_magic", "E", "agent/fencer_watchdog",
     ("write(f->watchdog, \"V\", 1)",
      "write(f->watchdog, \"v\", 1)"),
     "agent_watchdog refuses_a_slow_one")
node("loop_does_not_pet", "R9 E", "agent/fencer",
     ("		fencer__watchdog_pet(f);\n", ""),
     "agent_fencer_run test_loop_pets_the_watchdog")
node("loop_pets_seldom", "R9 E", "agent/fencer",
     ("(f->watchdog >= 0 ? PET_MS : IDLE_MS)", "IDLE_MS"),
     "agent_fencer_run test_loop_pets_the_watchdog")
node("memory_not_locked", "R9", "agent/fencer_main",
     ("if (mlockall(MCL_CURRENT | MCL_FUTURE) != 0)", "if (0)"),
     "fencer test_claims_the_machine")
node("no_real_time", "R9", "agent/fencer_main",
     ("	if (sched_setscheduler(0, SCHED_FIFO | SCHED_RESET_ON_FORK,\n"
      "			       &priority) != 0)", "	if (0)"),
     "fencer test_claims_the_machine")
node("page_late_by_half_a_second", "R10", "agent/fencer",
     ("(deadline_ms - now_ms) * NS_PER_MS;",
      "(deadline_ms - now_ms + 500) * NS_PER_MS;"),
     "agent_fencer_run test_fencers_clock_is_the_faster_one")
node("launchers_not_armed", "R10", "agent/fencer",
     ("	atomic_store(&f->page->deadline_ns, at_ns);\n"
       "	timer",
      "	timer"),
     "agent_fencer_run test_fencers_clock_is_the_faster_one")
node("fencer_s_timer_not_set", "R10", "agent/fencer",
     ("	timer_set(f, at_ns);\n"
       "}",
      "}"),
     "fencer test_silence",
     redundant="launchers hold a timer each, and the loop looks at the clock once a second")
node("head_deadline_not_written", "2.6", "agent/fencer",
     ("	f->head.deadline_ns = at_ns;\n"
       "	if (run_table_head_write(&f->table, &f->head, false) != 0)",
      "	if (0)"),
     "fencer test_exclusive_run_of_another_container")
node("fence_does_not_shut_launchers", "R10", "agent/fencer",
     ("	fencer__arm(f);\n"
       "	cgroup_session_kill",
      "	cgroup_session_kill"),
     "agent_fencer_run test_fence_kills_exclusive_runs")
node("fence_without_session_kill", "R10", "agent/fencer",
     ("	cgroup_session_kill(&f->cgroup);\n",
      ""),
     "fencer test_silence",
     redundant="each run is killed by its own pidfds and group besides")
node("fence_kills_nothing_by_pidfd", "R10", "agent/fencer",
     ("			fencer__run_kill(f, i);\n"
       "	}\n"
       "	log_warn",
      "			;\n"
       "	}\n"
       "	log_warn"),
     "agent_fencer_run test_fence_kills_exclusive_runs")
node("fence_kills_held", "R23", "agent/fencer",
     ("		    (!run->hold || run->state == TENURE_RUN_QUEUED))",
      "		    1)"),
     "agent_fencer_run test_fence_leaves_held_runs")
node("quit_kills_held", "R23", "agent/fencer",
     ("	tenure_end(&f->tenure);\n"
       "	fencer__fence(f, \"told to leave\");",
      "	for (uint32_t i = 0; i < FENCER_RUNS_MAX; i++) if (f->procs[i].used) fencer__run_kill(f,i); tenure_end(&f->tenure);\n"
       "	fencer__fence(f, \"told to leave\");"),
     "fencer test_operator_kills_held_runs")
node("no_tick_before_events", "R10", "agent/fencer",
     ("			fencer__tick(f);\n"
       "			dispatch",
      "			dispatch"),
     "fencer test_silence",
     redundant="tenure tests the deadline in each request itself; the order saves an answer")
node("blind_starts", "R15 2.6", "agent/fencer",
     ("	if (f->blind)\n",
      "	if (0)\n"),
     "fencer test_hidden_proc")
node("is_dead_ignores_launcher_init", "R14", "agent/fencer_run",
     ("	if (!p->launcher_dead || !p->init_dead || !p->socket_end)\n"
       "		return false;\n",
      ""),
     "agent_fencer_run test_dead_without_groups")
node("is_dead_ignores_the_group", "R14 E", "agent/fencer_run",
     ("	return !p->row.in_cgroup ||\n"
       "	       !cgroup_run_populated(&f->cgroup, index, p->row.hold);",
      "	return true;"),
     "agent_fencer_run test_dead_is_when_all_of_it_is")
node("row_not_durable", "R11 2.6", "agent/fencer_run",
     ("run_table_write(&f->table, index, &p->row, true) == 0 &&",
      "run_table_write(&f->table, index, &p->row, false) == 0 &&"),
     "agent_fencer_run test_row_is_durable_before_the_launcher")
node("row_after_the_launcher", "R11 2.6", "agent/fencer_run",
     ("	       run_table_write(&f->table, index, &p->row, true) == 0 &&\n"
       "	       make_launcher(f, index, &launch);",
      "	       make_launcher(f, index, &launch) &&\n"
       "	       run_table_write(&f->table, index, &p->row, true) == 0;"),
     "agent_fencer_run test_row_is_durable_before_the_launcher")
node("deadline_before_clone", "R11 W3", "agent/fencer_run",
     ("	if (fencer__now(f) >= tenure_deadline(&f->tenure)) {\n"
       "		errno = ETIME;\n"
       "		return false;\n"
       "	}\n",
      ""),
     "agent_fencer_run test_no_launcher_past_the_deadline")
node("let_go_without_wanted", "R11 R13", "agent/fencer_run",
     ("	    !tenure_wanted(&f->tenure, run) ||\n"
       "	    fencer__now",
      "	    fencer__now"),
     "agent_fencer_run test_no_word_after_a_newer_set")
node("let_go_while_killed", "R11 W9", "agent/fencer_run",
     ("p->killing || p->kill_ms != 0 ||\n"
       "	    !tenure",
      "\n"
       "	    !tenure"),
     "agent_fencer_run test_no_word_for_a_start_that_was_fenced")
node("let_go_past_deadline", "R11 W3", "agent/fencer_run",
     ("	    fencer__now(f) >= tenure_deadline(&f->tenure) ||\n"
       "	    run_table",
      "	    run_table"),
     "agent_fencer_run test_no_word_past_the_deadline")
node("let_go_without_row", "2.6", "agent/fencer_run",
     ("	    run_table_write(&f->table, index, &p->row, false) != 0 ||\n"
       "	    send",
      "	    send"),
     "agent_fencer_run test_no_word_without_the_inits_row")
node("launch_hold", "R23", "agent/fencer_run",
     ("	launch.hold = run->hold;\n",
      "	launch.hold = false;\n"),
     "fencer test_held_run")
node("launch_hold_always", "R23 R9", "agent/fencer_run",
     ("	launch.hold = run->hold;\n",
      "	launch.hold = true;\n"),
     "fencer test_stopped_fencer")
node("row_hold", "R23", "agent/fencer_run",
     ("	row->hold = run->hold;\n",
      ""),
     "fencer test_held_run")
node("one_part_dead_rest_lives", "2.6", "agent/fencer_run",
     ("	if (!p->dying)\n"
       "		kill_all(f, index);\n"
       "	settle_dying",
      "	if (!p->dying) p->dying = true;\n"
       "	settle_dying"),
     "agent_fencer_run test_one_part_takes_the_others_along")
node("condemned_politely", "R23", "agent/fencer_run",
     ("		if (run->condemned)\n"
       "			fencer__run_kill(f, i);\n"
       "		else\n",
      "		"),
     "agent_fencer_run test_condemned_run_is_killed_impolitely")
node("set_stops_by_force", "2.6", "agent/fencer_run",
     ("			fencer__run_stop(f, i, FENCER_GRACE_MS);",
      "			fencer__run_kill(f, i);"),
     "fencer test_set_stops_politely")
node("stop_without_time", "2.6 E", "agent/fencer_run",
     ("		    now_ms >= p->kill_ms)\n",
      "		    0)\n"),
     "agent_fencer_run test_polite_stop_has_an_end")
node("s_adopts_exclusive", "R15", "agent/fencer_settle",
     ("	if (row->hold && launcher >= 0 && init >= 0) {\n"
       "		enter(f, slot, row, true,",
      "	if (launcher >= 0 && init >= 0) {\n"
       "		enter(f, slot, row, row->hold,"),
     "fencer test_killed_fencer_comes_back")
node("s_held_with_half_its_parts", "R23", "agent/fencer_settle",
     ("	if (row->hold && launcher >= 0 && init >= 0) {",
      "	if (row->hold && (launcher >= 0 || init >= 0)) {"),
     "fencer test_held_run",
     redundant="a launcher takes its init along (PDEATHSIG), and an init's end is its launcher's")
node("s_not_killed", "R15", "agent/fencer_settle",
     ("	fencer__run_kill(f, slot);\n"
       "	return \"killed\";",
      "	return \"killed\";"),
     "fencer test_killed_fencer_comes_back")
node("s_boot_of_the_row", "R15 2.6", "agent/fencer_settle",
     ("	else if (memcmp(row.kernel_boot, f->machine.kernel_boot,\n"
       "			sizeof row.kernel_boot) != 0)",
      "	else if (0)"),
     "fencer test_another_boots_rows")
node("s_other_boot_always", "R15", "agent/fencer_settle",
     ("	else if (memcmp(row.kernel_boot, f->machine.kernel_boot,\n"
       "			sizeof row.kernel_boot) != 0)",
      "	else if (1)"),
     "fencer test_held_run")
node("s_rowless_lives_on", "R15 2.6", "agent/fencer_settle",
     ("		if (f->cgroup.present && !groups_empty(f, slot))\n"
       "			settle_stubborn(f, slot);\n",
      ""),
     "fencer test_what_has_no_row")
node("s_torn_is_dead", "2.6", "agent/fencer_settle",
     ("	if (rebooted || torn_dead(f, slot)) {",
      "	if (1) {"),
     "fencer test_torn_row_without_groups")
node("s_prev_forgotten", "R15", "agent/fencer_settle",
     ("		f->tenure.prev_max = head->prev_max;",
      "		;"),
     "fencer test_restart_keeps_every_prev")
node("s_gen_forgotten", "2.6", "agent/fencer_settle",
     ("	f->tenure.gen = head->gen;\n",
      ""),
     "fencer test_restart_counts_from_disk")
node("s_torn_head_is_a_reboot", "2.6", "agent/fencer_settle",
     ("		head->deadline_ns = UINT64_MAX;\n"
       "		rebooted = false;",
      "		head->deadline_ns = UINT64_MAX;"),
     "fencer test_torn_head_and_row")
node("k_head_not_saved", "R15", "agent/fencer_socket",
     ("	if (!head_save(f))\n"
       "		return FENCER_FAILED;\n"
       "	tenure_register_mark",
      "	tenure_register_mark"),
     "fencer test_restart_keeps_every_prev")
node("k_held_stopped_without_session", "R23", "agent/fencer_socket",
     ("	if (run == NULL || (f->tenure.session == 0 && run->hold))",
      "	if (run == NULL)"),
     "fencer test_held_run_without_a_session")
node("k_k_ms_not_tested_at_adoption", "2.6", "agent/fencer_socket",
     ("	if (!k_allows(f, m.ttl_a_ms))\n"
       "		return FENCER_FAILED;\n"
       "	code = tenure_adopt",
      "	code = tenure_adopt"),
     "fencer test_k_below_the_slack")
node("k_k_ms_not_tested_at_reply", "2.6", "agent/fencer_socket",
     ("	if (rv != 0 || !k_allows(f, m.ttl_a_ms))",
      "	if (rv != 0)"),
     "fencer test_k_below_the_slack")
node("k_set_not_pruned", "R13", "agent/fencer_socket",
     ("	if (took)\n"
       "		fencer__runs_prune(f);\n",
      ""),
     "fencer test_set_stops_what_it_does_not_hold")
node("k_adoption_not_pruned", "R23", "agent/fencer_socket",
     ("	fencer__arm(f);\n"
       "	fencer__runs_prune(f);\n"
       "	return FENCER_OK;",
      "	fencer__arm(f);\n"
       "	return FENCER_OK;"),
     "fencer test_held_run")
node("k_ack_does_not_arm", "R10", "agent/fencer_socket",
     ("	fencer__arm(f);\n"
       "	if (took)",
      "	if (took)"),
     "fencer test_renewals")
node("k_start_while_leaving", "R11", "agent/fencer_socket",
     (" || f->quit)\n",
      ")\n"),
     "fencer test_leaves_clean",
     redundant="leaving has ended the session: the gate refuses")
node("k_close_does_not_fence", "R10", "agent/fencer_socket",
     ("	fencer__fence(f, \"closed by the agent\");\n",
      ""),
     "fencer test_dead_agent")
node("k_two_agents", "2.6", "agent/fencer_socket",
     ("	if (f->client >= 0 || !peer_allowed(fd)) {",
      "	if (!peer_allowed(fd)) {"),
     "fencer test_second_agent")
node("k_any_user", "2.6", "agent/fencer_socket",
     ("(peer.uid == 0 || peer.uid == getuid())",
      "1"),
     "fencer test_second_agent",
     redundant="the socket's folder lets nobody else in (mode 0700)")
node("an_applied_is_version", "R14", "agent/fencer_answer",
     ("	a->applied = tenure_applied(t);",
      "	a->applied = t->version;"),
     "fencer test_set_stops_what_it_does_not_hold")
node("la_no_timer", "R9 2.6", "agent/launcher",
     ("	if (!launch.hold) {\n"
       "		timer = timer_make();\n"
       "		lease_look",
      "	if (!launch.hold) {\n"
       "		lease_look"),
     "agent_launcher test_it_dies_though_its_launcher_is_stopped")
node("la_not_re_armed", "2.6", "agent/launcher",
     ("	if (deadline_ns != *armed_ns)\n"
       "		timer_arm",
      "	if (*armed_ns == 0)\n"
       "		timer_arm"),
     "agent_launcher test_a_longer_lease_is_followed")
node("la_no_lease_starts", "R10 2.6", "agent/launcher",
     ("	if (deadline_ns <= now_ns)\n"
       "		raise(SIGKILL);\n",
      "	if (deadline_ns <= now_ns) return 5;\n"),
     "agent_launcher test_an_ended_lease_is_followed")
node("la_no_pid_namespace", "2.6", "agent/launcher",
     ("		flags |= CLONE_NEWPID | CLONE_NEWNS;",
      "		flags |= CLONE_NEWNS;"),
     "fencer test_without_groups")
node("la_outside_the_group", "2.6", "agent/launcher",
     ("	if (cgroup_fd >= 0) {",
      "	if (0) {"),
     "fencer test_what_has_no_row")
node("li_no_pdeathsig", "2.6", "agent/launcher_init",
     ("	if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0 || poll",
      "	if (poll"),
     "agent_launcher test_it_dies_with_its_launcher")
node("li_parent_not_tested", "2.6", "agent/launcher_init",
     ("SIGKILL) != 0 || poll(&gone, 1, 0) != 0)",
      "SIGKILL) != 0)"),
     "agent_launcher test_it_dies_with_its_launcher",
     redundant="a parent that dies between the two system calls; no test can time that")
node("li_go_not_waited_for", "R11", "agent/launcher_init",
     ("	wait_for_go(launch->socket);\n",
      ""),
     "agent_launcher test_nothing_begins_without_the_word")
node("li_go_of_nobody", "R11", "agent/launcher_init",
     ("	if (got != 1 || word != LAUNCH_GO)\n"
       "		_exit(125);",
      "	;"),
     "agent_launcher test_another_word_starts_nothing")

# --- the agent between fencer and leader
node("register_without_held", "R23", "agent/agent_register",
     ("	reg->held_count = a->held_count;\n", ""),
     "agent_session test_register_says_what_the_fencer_says")
node("register_without_prev", "R15", "agent/agent_register",
     ("	reg->prev = a->prev;\n", "	reg->prev = s->id;\n"),
     "agent_session test_register_says_what_the_fencer_says")
node("register_k_of_none", "2.6 E", "agent/agent_register",
     ("	reg->k_ms = a->k_ms;\n", ""),
     "agent_session test_register_says_what_the_fencer_says")
node("register_built_anew", "R15 W6", "agent/agent_register",
     ("	session__tell(s, AGENT_REGISTER, s->reg, s->reg_size);",
      "	session__tell(s, AGENT_REGISTER, s->buffer, s->reg_size);"),
     "agent_session test_register_is_repeated_as_it_is")
node("challenge_of_another_nonce", "R15 R12", "agent/agent_register",
     ("	    agent_challenge_decode(payload, size, &m) != 0 ||\n"
      "	    memcmp(m.nonce, s->nonce, sizeof m.nonce) != 0)",
      "	    agent_challenge_decode(payload, size, &m) != 0)"),
     "agent_session test_answers_to_others_are_not_heard")
node("second_challenge", "R15 W6", "agent/agent_register",
     ("	if (s->phase != PHASE_GREETING ||\n", "	if (\n"),
     "agent_session test_answers_to_others_are_not_heard")
node("ack_of_another_nonce", "R15 R12", "agent/agent_register",
     ("payload, size, &m) == 0 &&\n"
      "	    memcmp(m.nonce, s->nonce, sizeof m.nonce) == 0) {",
      "payload, size, &m) == 0) {"),
     "agent_session test_answers_to_others_are_not_heard")
node("refusal_of_another_nonce", "R12 E", "agent/agent_register",
     ("	    (s->phase == PHASE_OPEN ||\n"
      "	     memcmp(m.nonce, s->nonce, sizeof m.nonce) != 0))",
      "	    (s->phase == PHASE_OPEN))"),
     "agent_session test_answers_to_others_are_not_heard")
node("heartbeat_applied_is_version", "R14 W2", "agent/agent_session",
     (".applied = a->applied,", ".applied = a->version,"),
     "agent_session test_heartbeat_says_what_the_fencer_says")
node("heartbeat_have_of_the_agent", "2.6 E", "agent/agent_session",
     (".have = a->have, .got_ack", ".have = s->have, .got_ack"),
     "agent_session test_heartbeat_says_what_the_fencer_says")
node("heartbeat_got_ack", "R8", "agent/agent_session",
     (".got_ack = a->got_ack != 0,", ".got_ack = true,"),
     "agent_session test_heartbeat_says_what_the_fencer_says")
node("heartbeat_past_deadline", "R10", "agent/agent_session",
     ("	if (a->code == FENCER_OK) {\n		beat_send(s, a);",
      "	if (true) {\n		beat_send(s, a);"),
     "agent_session test_heartbeat_says_what_the_fencer_says")
node("heartbeat_of_the_session_before", "R12", "agent/agent_session",
     ("	s->marking = false;\n	if (!a || s->phase != PHASE_OPEN)\n",
      "	s->marking = false;\n	if (!a)\n"),
     "agent_session test_no_heartbeat_without_link_or_session")
node("reply_without_session", "R12", "agent/agent_session",
     ("	if (s->phase != PHASE_OPEN)\n		return;\n	if (size > FENCER",
      "	if (size > FENCER"),
     "agent_session test_reply_goes_to_the_fencer_as_it_is")
node("lease_outlives_the_session", "R10", "agent/agent_session",
     ("	return s->phase == PHASE_OPEN &&\n"
      "	       clock_monotonic_ms() < s->lease_until_ms;",
      "	return s->phase == PHASE_OPEN;"),
     "agent_session test_requests_go_to_the_highest_epoch")
node("no_rotation", "2.6", "agent/agent_session",
     ("		link_rotate(s->agent->link);\n", ""),
     "agent_session test_silence_rotates")

# --- what is asked to start
node("start_without_session", "2.6 R23", "agent/runner",
     ("	else if (wanted && run->runner->session && run->prepared &&",
      "	else if (wanted && run->prepared &&"),
     "agent_starts test_nothing_starts_unasked")
node("crash_is_a_failed_start", "R24", "agent/runner",
     ("run->failures = answered ? 0 : run->failures + 1;",
      "run->failures++;"),
     "agent_starts test_a_crash_backs_off")
node("failed_start_not_counted", "R24", "agent/runner",
     ("	run->failures = answered ? 0 : run->failures + 1;\n", ""),
     "agent_starts test_an_end_before_the_answer_is_a_failure")
node("refused_start_not_counted", "R24", "agent/runner",
     ("		run->failures++;\n		runner__set(run, RUN_FAILED, a->code == "
      "FENCER_FAILED",
      "		runner__set(run, RUN_FAILED, a->code == FENCER_FAILED"),
     "agent_starts test_failed_starts_count")
node("no_back_off", "R24", "agent/runner",
     ("BACKOFF_MS_MIN << (run->ends > 6 ? 6 : run->ends)",
      "BACKOFF_MS_MIN"),
     "agent_starts test_a_crash_backs_off")
node("patience_without_end", "R24", "agent/runner",
     ("now > run->started_ms + START_MS && !run->stopped", "0"),
     "agent_starts test_patience_ends")
node("start_of_a_dying_epoch_fails", "R24", "agent/runner",
     ("	case FENCER_FAILED:\n	case FENCER_FULL:",
      "	case FENCER_PAST_DEADLINE:\n	case FENCER_FAILED:\n"
      "	case FENCER_FULL:"),
     "agent_starts test_what_is_no_failure")

# --- the fencer around a run
node("row_removed_before_dead", "R14 E", "agent/fencer_run",
     ("	p->dying = true;\n	look_again(f, DYING_POLL_MS);",
      "	(void)run_table_clear(&f->table, index);\n"
      "	p->dying = true;\n	look_again(f, DYING_POLL_MS);"),
     "agent_fencer_run test_dead_is_when_all_of_it_is")
node("dead_before_its_init", "R14", "agent/fencer_run",
     ("	if (!p->launcher_dead || !p->init_dead || !p->socket_end)",
      "	if (!p->launcher_dead || !p->socket_end)"),
     "agent_fencer_run test_dead_without_groups")
node("dead_before_its_launcher", "R14", "agent/fencer_run",
     ("	if (!p->launcher_dead || !p->init_dead || !p->socket_end)",
      "	if (!p->init_dead || !p->socket_end)"),
     "agent_fencer_run test_dead_without_its_launcher_is_not")
node("dead_before_its_socket", "R14", "agent/fencer_run",
     ("	if (!p->launcher_dead || !p->init_dead || !p->socket_end)",
      "	if (!p->launcher_dead || !p->init_dead)"),
     "agent_fencer_run test_socket_end_is_waited_for")
node("pidfd_of_another", "E", "agent/fencer_run",
     ("		pidfd_send_signal(p->init, SIGKILL, NULL, 0);",
      "		pidfd_send_signal(p->launcher, SIGKILL, NULL, 0);"),
     "agent_fencer_run test_dead_is_when_all_of_it_is")
node("group_not_killed", "R11 2.6", "agent/fencer_run",
     ("	else if (p->row.in_cgroup)\n"
      "		cgroup_run_kill(&f->cgroup, index, p->row.hold);\n", ""),
     "agent_fencer_run test_dead_is_when_all_of_it_is")
node("second_init", "2.6 E", "agent/fencer_run",
     ("	if (p->init >= 0 || fd < 0 || pid <= 0) {",
      "	if (fd < 0 || pid <= 0) {"),
     "agent_fencer_run test_one_init_a_launcher",
     redundant="let_go finds the run no longer queued, and kills it")
node("go_for_what_is_not_found_again", "2.6", "agent/fencer_run",
     ("	    p->row.launcher_start == PROCESS_UNSEEN ||\n"
      "	    p->row.init_start == PROCESS_UNSEEN ||\n", ""),
     "agent_fencer_run test_no_word_for_what_cannot_be_found_again")
node("fence_leaves_queued_held", "R11 R23 2.6", "agent/fencer",
     ("		    (!run->hold || run->state == TENURE_RUN_QUEUED))",
      "		    !run->hold)"),
     "agent_fencer_run test_fence_cancels_held_starts")
node("fencers_clock_is_the_leaders", "R10 E", "agent/fencer",
     ("	return lease_clock_agent_ms(&f->clock);",
      "	return lease_clock_leader_ms(&f->clock);"),
     "agent_fencer_run test_fencers_clock_is_the_faster_one")

# --- replicas: the leader's clock, the relay
node("leaders_clock_is_the_fencers", "R4 E", "replica/core",
     ("	core->lease_ms = lease_clock_leader_ms(&core->clock);",
      "	core->lease_ms = lease_clock_agent_ms(&core->clock);"),
     "replica_core test_leaders_clock_is_the_slower_one")
node("relay_up_of_another_term", "R3 2.6", "replica/relay_serve",
     ("	bool stale = term != edge->term || !edge_is_leader(edge);",
      "	bool stale = !edge_is_leader(edge);"),
     "replica_relay_terms test_frames_of_another_term_are_dropped")
node("relay_up_to_a_follower", "R3 2.6", "replica/relay_serve",
     ("	bool stale = term != edge->term || !edge_is_leader(edge);",
      "	bool stale = term != edge->term;"),
     "replica_relay_terms test_who_does_not_lead_hears_nothing")
node("relay_down_of_another_term", "R3 2.6", "replica/relay_serve",
     ("	bool stale = wire_get_u64(&r) != edge->term;",
      "	bool stale = wire_get_u64(&r) == 0;"),
     "replica_relay_terms test_frames_of_another_term_are_dropped")
node("relay_route_of_the_follower", "2.6 E", "replica/relay_serve",
     ("		const struct agent_route route = { peer, item.link };",
      "		const struct agent_route route = { edge->config.id,"
      " item.link };"),
     "replica_relay_terms test_leader_hears_frames_of_its_term")
node("agents_say_replies", "2.6", "replica/agent_link",
     ("	case AGENT_HEARTBEAT:\n	case AGENT_REPORT:\n		to_leader",
      "	case AGENT_HEARTBEAT:\n	case AGENT_REPLY:\n	case AGENT_REPORT:\n"
      "		to_leader"),
     "replica_relay_terms test_agents_say_no_answers")
node("heartbeats_without_leader", "2.6", "replica/agent_link",
     ("	if (edge->core && edge->leader)\n", "	if (edge->core)\n"),
     "replica_relay_terms test_with_no_leader_heartbeats_are_dropped")
node("link_numbers_have_heirs", "2.6", "replica/agent_link",
     ("	link->number = ++links->counter << SLOT_BITS | slot;",
      "	link->number = links->counter << SLOT_BITS | slot;"),
     "replica_relay_terms test_old_links_have_no_heirs")
node("failed_core_answers_agents", "R6", "replica/core_post",
     ("	if (!core->stopping && !core->failed)\n",
      "	if (!core->stopping)\n"),
     "replica_core_post test_failed_core_hears_no_frame")
node("stopping_core_answers_agents", "R6", "replica/core_post",
     ("	if (!core->stopping && !core->failed)\n",
      "	if (!core->failed)\n"),
     "replica_core_post test_stopping_core_hears_no_frame")
node("failed_core_runs_calls", "R6", "replica/core_post",
     ("	if (core->stopping || core->failed)\n",
      "	if (core->stopping)\n"),
     "replica_core_post test_failed_core_runs_no_call")
node("read_before_the_apply", "E", "replica/edge_read",
     ("	if (code || !read->wait_applied) {\n", "	if (true) {\n"),
     "replica_edge_read test_confirmed_and_applied")
node("read_of_any_apply", "E", "replica/edge_read",
     ("		if (!(index && read->index <= index) &&\n",
      "		if (!index &&\n"),
     "replica_edge_read test_confirmed_and_applied")
node("read_of_one_entry_before", "E", "replica/edge_read",
     ("		if (!(index && read->index <= index) &&\n",
      "		if (!(index && read->index <= index + 1) &&\n"),
     "replica_edge_read test_follower_waits_for_its_own_apply")
node("read_unknown_is_unknown", "E", "replica/edge_read",
     ("	indexed(of_call(call), code == BERTH_UNKNOWN_OUTCOME ?"
      " BERTH_NOTLEADER\n"
      "							     : code);",
      "	indexed(of_call(call), code);"),
     "replica_edge_read test_engine_that_refuses")
node("read_by_a_refused_answer", "E", "replica/edge_read",
     ("	if (code == 0)\n		code = m.code;\n", ""),
     "replica_edge_read test_refused_answer_is_no_answer")
node("read_by_a_lost_answer", "E", "replica/edge_read",
     ("	else\n		code = BERTH_NOTLEADER;\n	indexed(read, code);",
      "	else\n		code = 0;\n	indexed(read, code);"),
     "replica_edge_read test_garbled_or_lost_answer_is_no_answer")
node("read_index_of_a_follower", "R6 E", "replica/edge_read",
     ("	if (edge->core && !edge->closing && edge_is_leader(edge))",
      "	if (edge->core && !edge->closing)"),
     "replica_edge_read test_others_ask_the_leader_only")
node("read_answer_without_its_code", "E", "replica/relay_wire",
     ("	m.code = (int)code;\n", ""),
     "replica_relay refused_read_stays_refused")
node("missing_result_is_success", "R3 E", "replica/edge_submit",
     ("	if (code == 0 && s->result_count != s->count)\n"
      "		code = BERTH_UNKNOWN_OUTCOME;\n", ""),
     "replica_edge_submit test_missing_result_is_unknown")
node("unknown_is_submitted_again", "R3", "replica/edge_submit",
     ("	finish(of_call(call), call->code);\n",
      "	if (call->code == BERTH_UNKNOWN_OUTCOME) {\n"
      "		edge_release(of_call(call)->edge);\n"
      "		edge_submit_send(of_call(call));\n"
      "		return;\n"
      "	}\n"
      "	finish(of_call(call), call->code);\n"),
     "replica_edge_submit test_lost_leadership_is_unknown")
node("confirm_by_a_failure", "2.6 E", "replica/intake_confirm",
     ("	} else if (!c->there && c->said_unknown =="
      " c->intake->ccn_count) {\n",
      "	} else if (!c->there && c->said_unknown) {\n"),
     "replica_intake_confirm test_silence_of_one_keeps_it")
node("confirm_by_an_error_s_words", "2.6 E", "replica/intake_confirm",
     ("	if ((status != 200 && status != 410) ||\n", "	if (\n"),
     "replica_intake_confirm test_silence_of_one_keeps_it")
node("confirm_against_one_that_has_it", "2.6 E", "replica/intake_confirm",
     ("	if (c->said_gone && !c->there) {\n", "	if (c->said_gone) {\n"),
     "replica_intake_confirm test_one_that_has_it_keeps_it")
node("confirm_with_the_words_of_another", "2.6 E", "replica/intake_confirm",
     ("	c->said_gone = 0;\n", ""),
     "replica_intake_confirm test_each_is_asked_for_itself")
node("confirm_while_closing", "E", "replica/intake_confirm",
     ("	if (c->intake->closing)\n		finish(c);\n	else\n"
      "		forget(c);\n", "	forget(c);\n"),
     "replica_intake_confirm test_who_closes_drops_nothing")
node("crns_put_again", "R22", "replica/intake_crns",
     ("		crns->missing[i] = fsm_crn_find(view,"
      " &config->crns[i].hash) ==\n"
      "				   SLOT_NONE;\n",
      "		crns->missing[i] = true;\n"),
     "replica_intake_crns test_only_new_ones_are_put")
node("crns_put_all", "R22", "replica/intake_crns",
     ("		if (!crns->missing[i])\n			continue;\n", ""),
     "replica_intake_crns test_only_new_ones_are_put")
node("crns_put_by_a_leader_of_before", "E", "replica/intake_crns",
     ("	if (crns->missing_count && edge_is_leader(edge) &&"
      " !crns->closing) {\n",
      "	if (crns->missing_count && !crns->closing) {\n"),
     "replica_intake_crns test_leader_of_before_puts_nothing")
