# The leader's driver: node/replica/driver*.c. Each mutant by its own story.
def driver(name, rules, path, how, catch, **more):
    mutant("driver_" + name, rules, "node/replica/driver%s.c" % path, how,
           catch, **more)


def rule(name, rules, path, how, test, **more):
    driver(name, rules, path, how, "replica_driver_rules test_" + test, **more)


def work(name, rules, path, how, test, **more):
    driver(name, rules, path, how, "replica_driver_work test_" + test, **more)


def story(name, rules, path, how, test, **more):
    driver(name, rules, path, how, "replica_driver test_" + test, **more)


story("forget_keeps_entries", "R6", "",
      ("	d->entries = NULL;\n"
       "	d->work_count = d->beat_count",
       "	entries = NULL;\n"
       "	d->work_count = d->beat_count"),
      "lost_leadership_is_told_exactly")
rule("overlay_kept_over_terms", "R3", "",
      ("	place_overlay_reset(d->overlay);\n"
       "	agents_forget(d);",
       "	agents_forget(d);"),
      "r03_lost_entries_hold_nothing_back")
rule("agents_kept_over_terms", "R6", "",
      ("	place_overlay_reset(d->overlay);\n"
       "	agents_forget(d);",
       "	place_overlay_reset(d->overlay);"),
      "r06_next_term_knows_no_agent")
rule("items_kept_over_terms", "R3", "",
      ("	driver__items_free(d->items.first);\n"
       "	driver__items_free(d->expiries.first);\n"
       "	d->items = (struct driver_items){ .last = &d->items.first };\n"
       "	d->expiries = (struct driver_items){ .last = &d->expiries.first };\n",
       ""),
      "r03_nothing_is_carried_into_the_next_term")
story("clients_kept_over_terms", "R3", "",
      ("	d->clients = (struct driver_clients){ .last = &d->clients.first };\n"
       "	d->entries = NULL;",
       "	clients=NULL;d->entries = NULL;"),
      "lost_leadership_is_told_exactly")
rule("counts_kept_over_terms", "R3", "",
      ("	d->work_count = d->beat_count = d->expires = 0;\n",
       ""),
      "r03_lost_expiry_is_proposed_again")
work("work_size_kept", "R3 E", "",
      ("	d->work_size = 0;\n"
       "	place_overlay_reset",
       "	place_overlay_reset"),
      "a_big_entry_flies_alone")
story("waiting_clients_told_unknown", "E", "",
      ("driver__clients_end(clients, BERTH_NOTLEADER)",
       "driver__clients_end(clients, BERTH_UNKNOWN_OUTCOME)"),
      "lost_leadership_is_told_exactly")
story("in_flight_told_notleader", "R3", "",
      ("entry_free(entries, BERTH_UNKNOWN_OUTCOME)",
       "entry_free(entries, BERTH_NOTLEADER)"),
      "lost_leadership_is_told_exactly")
story("in_flight_told_ok", "R3 E", "",
      ("entry_free(entries, BERTH_UNKNOWN_OUTCOME)",
       "entry_free(entries, 0)"),
      "lost_leadership_is_told_exactly")
rule("leading_kept_on_new_term", "R3 R4", "",
      ("	d->leader = false;\n"
       "	d->leading = false;\n"
       "	d->lead_proposed",
       "	d->leader = false;\n"
       "	d->lead_proposed"),
      "r03_lead_is_urgent_and_alone")
rule("lead_proposed_kept", "R3", "",
      ("	d->lead_proposed = false;\n"
       "	forget(d);",
       "	forget(d);"),
      "r03_nothing_is_carried_into_the_next_term")
story("leading_without_lead", "R3", "",
      ("	d->leader = true;\n"
       "	d->term = term;",
       "	d->leader = d->leading = true; d->anchor_ms = d->ops.clock_ms(d->ops.ctx);\n"
       "	d->term = term;"),
      "lead_comes_first")
story("raft_term_in_propose", "R4", "",
      ("	if (d->ops.raft_term(d->ops.ctx) != d->term)\n"
       "		return false;\n"
       "	data",
       "	data"),
      "other_term_proposes_nothing")
rule("raft_term_in_beat", "R4", "_beat",
      ("	if (d->beat_count >= DRIVER_BEATS_MAX ||\n"
       "	    d->ops.raft_term(d->ops.ctx) != d->term)",
       "	if (d->beat_count >= DRIVER_BEATS_MAX)"),
      "r04_slow_log_counts_time_once",
      redundant="driver__propose asks again; here it only saves an interval")
rule("term_of_the_raft", "R3", "",
      ("command_entry_begin(&sink, d->term, count)",
       "command_entry_begin(&sink, d->ops.raft_term(d->ops.ctx), count)"),
      "r03_lead_is_urgent_and_alone",
      redundant="driver__propose has just found both terms equal, on one thread")
story("own_term", "R6", "",
      ("	if (!d->leader || !own_term(d, view))",
       "	if (!d->leader)"),
      "anothers_entry_at_our_index_answers_nothing")
rule("not_leader_applied", "R6", "",
      ("	if (!d->leader || !own_term(d, view))",
       "	if (!own_term(d, view))"),
      "r06_next_term_knows_no_agent",
      redundant="who is no leader has no entries: forget() took them")
story("looked_kept", "E", "",
      ("	d->looked = false;\n"
       "	if (!d->leader",
       "	if (!d->leader"),
      "a_crn_gets_no_more_than_it_can_hold")
story("applied_kept_before", "E", "",
      ("	d->applied = index;\n"
       "	d->looked",
       "	d->looked"),
      "only_the_frozen_batch_is_acknowledged")
rule("refused_lead_leads", "R3", "",
      ("	if (entry->kind == ENTRY_LEAD && first != NULL &&\n"
       "	    first->refusal == FSM_OK)",
       "	if (entry->kind == ENTRY_LEAD)"),
      "r03_lead_is_urgent_and_alone",
      redundant="a Lead that apply refuses leaves another term in the state: own_term()")
rule("refused_beat_acknowledged", "R6", "",
      ("	if (entry->kind == ENTRY_BEAT && first != NULL &&\n"
       "	    first->refusal == FSM_OK)",
       "	if (entry->kind == ENTRY_BEAT)"),
      "r06_other_entries_answer_nothing",
      redundant="apply refuses a Beat for its term alone, and own_term() has looked")
work("result_by_wrong_position", "E", "",
      ("	if (position < count && results[position].position == position)\n"
       "		return &results[position];",
       "	if (position < count)\n"
       "		return &results[position];"),
      "each_hears_its_own_result",
      redundant="apply gives one result a command, in order")
rule("entry_take_first", "R6", "",
      ("	while (*at != NULL && (*at)->index != index)",
       "	while (*at != NULL && 0)"),
      "r06_other_entries_answer_nothing")
rule("entry_take", "R6", "",
      ("	while (*at != NULL && (*at)->index != index)",
       "	while (*at != NULL && (*at)->index < index)"),
      "r06_other_entries_answer_nothing")
rule("placing_not_triggered_by_crns", "E", "",
      ("status.crns_changed != d->crns_changed;\n"
       "	d->prog",
       "0;\n"
       "	d->prog"),
      "r03_lost_entries_hold_nothing_back")
story("beat_not_urgent", "2.6", "_beat",
      ("driver__propose(d, entry, true, 1)",
       "driver__propose(d, entry, false, 1)"),
      "expiry_goes_before_a_flood")
rule("lead_not_urgent", "2.6", "",
      ("driver__propose(d, entry, true, 1)",
       "driver__propose(d, entry, false, 1)"),
      "r03_lead_is_urgent_and_alone")
work("work_size_forgotten", "E", "",
      ("	d->work_size += entry->kind == ENTRY_WORK ? entry->size : 0;\n",
       ""),
      "a_big_entry_flies_alone")
story("work_size_not_given_back", "E", "",
      ("	d->work_size -= entry->kind == ENTRY_WORK ? entry->size : 0;\n",
       ""),
      "ten_thousand_programs")
rule("beat_count_not_given_back", "E", "",
      ("	d->beat_count -= entry->kind == ENTRY_BEAT;\n",
       ""),
      "r04_slow_log_counts_time_once")
rule("expires_not_given_back", "R7 E", "",
      ("	d->expires -= entry->expire_count;\n",
       ""),
      "r07_many_leases_end_at_once")
work("work_count_not_given_back", "E", "",
      ("	d->work_count -= entry->kind == ENTRY_WORK;\n",
       ""),
      "few_entries_fly")
rule("gen_in_session_lives", "R12", "_beat",
      ("return out->alive && out->session == session && gen == status.gen;",
       "return out->alive && out->session == session;"),
      "r12_heartbeats_of_others",
      redundant="stamps of one log rise over generations: no two have one session")
story("session_in_session_lives", "R12", "_beat",
      ("return out->alive && out->session == session && gen == status.gen;",
       "return out->alive && gen == status.gen;"),
      "session_that_ends_before_its_beat")
rule("alive_in_session_lives", "R6", "_beat",
      ("return out->alive && out->session == session && gen == status.gen;",
       "return out->session == session && gen == status.gen;"),
      "r06_lease_that_ends_before_its_beat")
rule("freeze_does_not_test_session", "E", "_beat",
      ("		if (!session_lives(view, &a->crn, a->renewal.gen,\n"
       "				   a->renewal.session, &crn)) {\n"
       "			a->pending = false;\n"
       "			continue;\n"
       "		}\n",
       ""),
      "r06_lease_that_ends_before_its_beat",
      redundant="advisory: apply renews no dead session (R7), beat_applied answers none")
story("anchor_not_consumed", "R4", "_beat",
      ("	d->anchor_ms = now_ms;\n"
       "	return",
       "	return"),
      "failed_beat_consumes_its_interval")
story("dt_given_back_when_refused", "R4", "_beat",
      ("		/* Surely not submitted: the heartbeats wait on. */\n",
       "		d->anchor_ms -= beat.beat.dt_ms;\n"),
      "failed_beat_consumes_its_interval")
rule("pending_dropped_when_refused", "R6 E", "_beat",
      ("		/* Surely not submitted: the heartbeats wait on. */\n",
       "		for (uint32_t i = 0; i < entry->ack_count; i++)\n"
       "		d->agents[entry->acks[i].agent].pending = false;\n"),
      "r06_refused_beat_loses_no_heartbeat")
rule("pending_kept_after_proposal", "E", "_beat",
      ("		d->agents[entry->acks[i].agent].pending = false;\n"
       "#",
       "		;\n"
       "#"),
      "r06_renewal_says_what_the_heartbeat_said")
story("acks_newest_seq", "R6", "_beat",
      ("send_reply(d, view, a, &crn, ack->seq, ack->have)",
       "send_reply(d, view, a, &crn, a->renewal.seq, ack->have)"),
      "only_the_frozen_batch_is_acknowledged")
rule("have_of_newest", "E", "_beat",
      ("send_reply(d, view, a, &crn, ack->seq, ack->have)",
       "send_reply(d, view, a, &crn, ack->seq, a->have)"),
      "desired_is_by_the_heartbeat_answered")
story("session_test_at_apply", "R6", "_beat",
      ("		if (!a->has_route || !session_lives(view, &a->crn, ack->gen,\n"
       "						    ack->session, &crn))",
       "		if (!a->has_route || !session_lives(view, &a->crn, ack->gen,\n"
       "						    a->session, &crn))"),
      "session_that_ends_before_its_beat")
story("version_one_entry_ahead", "R13 W2", "_beat",
      ("reply.version = stamp_version(d->applied);",
       "reply.version = stamp_version(d->applied + 1);"),
      "only_the_frozen_batch_is_acknowledged")
story("version_of_entry_begin", "R13 2.6", "_beat",
      ("reply.version = stamp_version(d->applied);",
       "reply.version = stamp_make(d->applied, 0);"),
      "only_the_frozen_batch_is_acknowledged")
story("version_is_changed", "R13", "_beat",
      ("reply.version = stamp_version(d->applied);",
       "reply.version = crn->changed;"),
      "only_the_frozen_batch_is_acknowledged")
rule("ttl_s_told_for_ttl_a", "R2 E", "_beat",
      ("reply.ttl_a_ms = status.config.ttl_a_ms;",
       "reply.ttl_a_ms = status.config.ttl_s_ms;"),
      "r06_reply_tells_the_lease_of_agents")
rule("desired_omitted_wrongly", "2.6", "_beat",
      ("	if (have == crn->changed ||\n",
       "	if (have >= crn->changed ||\n"),
      "desired_is_by_the_heartbeat_answered")
story("desired_omitted_never", "E", "_beat",
      ("	if (have == crn->changed ||\n",
       "	if (\n"),
      "desired_is_left_out_when_known")
story("desired_omitted_when_0", "2.6", "_beat",
      ("	if (have == crn->changed ||\n",
       "	if (have != 0 ||\n"),
      "a_crn_gets_no_more_than_it_can_hold")
story("desired_from_leader_s_memory", "2.6 R13", "_beat",
      ("	if (have == crn->changed ||\n",
       "	if (a->sent_changed == crn->changed ||\n"),
      "a_crn_gets_no_more_than_it_can_hold")
story("push_acks", "R6", "_beat",
      ("send_reply(d, view, a, &crn, 0, a->sent_changed);",
       "send_reply(d, view, a, &crn, a->renewal.seq, a->sent_changed);"),
      "program_is_placed_and_pushed")
rule("push_to_other_session", "E", "_beat",
      ("		    !crn.alive || crn.session != a->session ||\n",
       "		    !crn.alive ||\n"),
      "r06_lease_that_ends_before_its_beat",
      redundant="a RegisterAck makes the new session the agent's before any push; R12 at the agent")
rule("push_to_dead", "E", "_beat",
      ("		    !crn.alive || crn.session != a->session ||\n",
       "		    crn.session != a->session ||\n"),
      "r06_lease_that_ends_before_its_beat")
rule("push_for_ever", "E", "_beat",
      ("		a->sent_changed = crn.changed;\n"
       "	}\n"
       "}",
       "	}\n"
       "}"),
      "desired_that_is_there_is_not_pushed",
      redundant="send_reply has noted it already, but for a set beyond any fencer's")
rule("beats_in_flight_unbounded", "R4 2.6", "_beat",
      ("	if (d->beat_count >= DRIVER_BEATS_MAX ||\n"
       "	    d->ops",
       "	if (\n"
       "	    d->ops"),
      "r04_slow_log_counts_time_once")
rule("renewals_overflow_no_rotation", "E", "_beat",
      ("		d->beat_start = entry->acks[entry->ack_count - 1].agent + 1;",
       ";"),
      "r06_more_heartbeats_than_a_beat_takes")
rule("renewals_overflow_pending_dropped", "E", "_beat",
      ("		if (!a->pending || count == DRIVER_RENEWALS_MAX)\n"
       "			continue;",
       "		if (!a->pending) continue; if (count == DRIVER_RENEWALS_MAX) { a->pending = false; continue; }"),
      "r06_more_heartbeats_than_a_beat_takes")
rule("dt_wraps", "R4 E", "_beat",
      ("	return dt_ms > UINT32_MAX ? UINT32_MAX : (uint32_t)dt_ms;",
       "	return (uint32_t)dt_ms;"),
      "r04_interval_of_two_months")
story("hello_for_another", "R12", "_agent",
      ("	if (!hash_equal(&m.crn, crn))\n"
       "		return BERTH_DENIED;\n"
       "	if (!known",
       "	if (!known"),
      "register_for_another_is_denied")
story("challenge_session_0", "R15", "_agent",
      ("	c.session = record.session;\n",
       ""),
      "dead_session_is_not_acknowledged")
rule("challenge_gen_0", "2.6", "_agent",
      ("	c.gen = status.gen;\n",
       ""),
      "r15_challenge_is_of_that_hello")
rule("challenge_nonce", "R15 R12", "_agent",
      ("	memcpy(c.nonce, m.nonce, sizeof c.nonce);\n",
       ""),
      "r15_challenge_is_of_that_hello")
rule("register_request_id_kept", "E", "_agent",
      ("		return 0;\n"
       "	memset(command->request, 0, sizeof command->request);\n"
       "	a = agent_of",
       "		return 0;\n"
       "	a = agent_of"),
      "request_ids_of_agents_count_for_nothing")
rule("report_of_a_dead_session", "E", "_agent",
      ("	if (!record.alive || record.session != command->report.session)",
       "	if (record.session != command->report.session)"),
      "reports_of_a_session")
rule("report_of_another_session", "E", "_agent",
      ("	if (!record.alive || record.session != command->report.session)",
       "	if (!record.alive)"),
      "reports_of_a_session")
rule("report_same_as_state_proposed", "E", "_agent",
      ("	    !report_differs(&record, &command->report))\n"
       "		return 0;",
       "	    0)\n"
       "		return 0;"),
      "reports_of_a_session")
rule("report_back_dropped_while_flying", "E", "_agent",
      ("	if (a->waiting[WISH_REPORT] == NULL && a->flying[WISH_REPORT] == NULL &&\n"
       "	    !report_differs",
       "	if (!report_differs"),
      "reports_of_a_session")
story("register_denied", "R12", "_agent",
      ("		return hash_equal(&command->reg.crn, crn)\n",
       "		return 1\n"),
      "commands_for_another_are_denied")
story("report_denied", "R12", "_agent",
      ("		return hash_equal(&command->report.crn, crn)\n",
       "		return 1\n"),
      "commands_for_another_are_denied")
rule("registerack_session", "E", "_agent",
      ("	else if (there && crn.alive && crn.session == result->stamp &&\n",
       "	else if (there && crn.alive &&\n"),
      "r15_register_of_a_dead_session",
      redundant="one Register of a CRN is in flight at a time, and apply gives its session")
rule("registerack_nonce", "E", "_agent",
      ("crn.session == result->stamp &&\n"
       "		 memcmp(crn.nonce, item->nonce, sizeof crn.nonce) == 0)",
       "crn.session == result->stamp)"),
      "r15_register_of_a_dead_session",
      redundant="apply says OK or duplicate only of the nonce that the state then has")
rule("registerack_alive", "R15 W5", "_agent",
      ("	else if (there && crn.alive && crn.session",
       "	else if (there && crn.session"),
      "r15_register_that_a_restore_follows")
story("refused_register_acked", "R15", "_agent",
      ("	if (result->refusal != FSM_OK && result->refusal != FSM_DUPLICATE)\n",
       "	if (0)\n"),
      "flood_of_registers_is_one_at_a_time")
story("duplicate_register_refused", "R15", "_agent",
      ("	if (result->refusal != FSM_OK && result->refusal != FSM_DUPLICATE)\n",
       "	if (result->refusal != FSM_OK)\n"),
      "duplicate_register_is_acked_again")
rule("registerack_older_session_remembered", "E", "_agent",
      ("	if (a == NULL || a->session >= crn->session)\n"
       "		return;",
       "	if (a == NULL)\n"
       "		return;"),
      "answers_follow_the_agent_to_its_link")
rule("registerack_ttl", "R2 E", "_agent",
      ("	m.ttl_a_ms = status.config.ttl_a_ms;\n"
       "	m.heart",
       "	m.ttl_a_ms = status.config.ttl_s_ms;\n"
       "	m.heart"),
      "r23_register_ack_tells_what_is_kept")
rule("registerack_kept_empty", "R23", "_agent",
      ("	m.kept_count = fsm_kept(view, slot, d->kept, FSM_HELD_MAX);\n",
       "	m.kept_count = 0;\n"),
      "r23_register_ack_tells_what_is_kept")
rule("k_refusal_without_numbers", "2.6", "_agent",
      ("	if (refusal == FSM_REFUSED_K)\n",
       "	if (0)\n"),
      "k_that_is_too_long_is_told")
story("older_seq_replaces", "R6 E", "_agent",
      ("	     m->seq <= a->renewal.seq))\n",
       "	     0))\n"),
      "newest_heartbeat_counts")
rule("older_session_replaces", "E", "_agent",
      ("	if (m->session < a->session ||\n"
       "	    (",
       "	if (\n"
       "	    ("),
      "r12_heartbeats_of_others",
      redundant="session_is() has let through the state's own session alone")
rule("gen_of_a_heartbeat", "R12 2.6", "_agent",
      (" || m.gen != status.gen ||\n",
       " ||\n"),
      "r12_heartbeats_of_others")
story("session_of_a_heartbeat", "R12", "_agent",
      ("m.gen != status.gen ||\n"
       "	    !session_is(view, crn, m.session))",
       "m.gen != status.gen)"),
      "made_up_session_hides_nothing")
rule("seq_0", "R12 E", "_agent",
      ("	if (m.seq == 0 || m.session == 0 ||",
       "	if (m.session == 0 ||"),
      "r12_heartbeats_of_others")
rule("session_0", "R12", "_agent",
      ("	if (m.seq == 0 || m.session == 0 ||",
       "	if (m.seq == 0 ||"),
      "r12_heartbeats_of_others")
rule("heartbeat_for_another", "R12", "_agent",
      ("	if (!hash_equal(&m.crn, crn))\n"
       "		return BERTH_DENIED;\n"
       "	fsm_status",
       "	fsm_status"),
      "r12_heartbeats_of_others")
rule("route_not_updated", "E", "_agent",
      ("	a->route = *route;\n"
       "	a->has_route = true;\n"
       "	a->session = m->session;\n",
       "	if (!a->has_route) a->route = *route;\n"
       "	a->has_route = true;\n"
       "	a->session = m->session;\n"),
      "answers_follow_the_agent_to_its_link")
story("applied_dropped", "R14 E", "_agent",
      (".seq = m->seq, .applied = m->applied, .got_ack",
       ".seq = m->seq, .got_ack"),
      "unlinked_crn_is_drained")
rule("applied_of_version", "R14", "_agent",
      (".applied = m->applied,",
       ".applied = m->have,"),
      "r06_renewal_says_what_the_heartbeat_said")
rule("got_ack_always", "R8", "_agent",
      (".got_ack = m->got_ack }",
       ".got_ack = true }"),
      "r06_renewal_says_what_the_heartbeat_said")
rule("sent_changed_not_reset", "E", "_agent",
      ("	if (m->session > a->session)\n"
       "		a->sent_changed = m->have;\n",
       ""),
      "desired_that_is_there_is_not_pushed")
story("frames_before_leading", "R3 R6", "_agent",
      ("	if (!d->leading)\n"
       "		code = BERTH_NOTLEADER;",
       "	if (!d->leader)\n"
       "		code = BERTH_NOTLEADER;"),
      "lead_comes_first")
story("items_flying_reset_on_lands", "E", "_items",
      ("		d->agents[item->agent].flying[wish_of(item->kind)] = NULL;",
       "		;"),
      "dead_session_is_not_acknowledged")
story("two_in_flight", "R15 E", "_items",
      ("	       d->agents[item->agent].flying[wish_of(item->kind)] == NULL;",
       "	       1;"),
      "flood_of_registers_is_one_at_a_time")
rule("same_as_flying_added", "E", "_items",
      ("	if (flying != NULL && is_same(d, flying))\n"
       "		return flying;\n",
       ""),
      "r15_repeated_register_is_one")
story("flying_taken_though_different", "E", "_items",
      ("	if (flying != NULL && is_same(d, flying))",
       "	if (flying != NULL)"),
      "flood_of_registers_is_one_at_a_time")
rule("items_back_forgets_waiting", "E", "_items",
      ("			d->agents[items->agent].waiting[wish_of(items->kind)] =\n"
       "				items;",
       "			;"),
      "r15_newest_register_waits_alone")
story("items_back_loses", "E", "_items",
      ("	prepend(&d->items, &others);\n",
       ""),
      "expiry_goes_before_a_flood")
story("expiries_back_lost", "E", "_items",
      ("	prepend(&d->expiries, &expiries);\n",
       ""),
      "expiry_goes_before_a_flood")
story("epoch_of_a_run", "R24", "_runs",
      ("	       p.epoch == m->epoch && p.gen == m->gen &&\n",
       "	       p.gen == m->gen &&\n"),
      "other_epochs_words_count_for_nothing")
story("gen_of_a_run", "R24", "_runs",
      ("	       p.epoch == m->epoch && p.gen == m->gen &&\n",
       "	       p.epoch == m->epoch &&\n"),
      "running_program_is_not_revoked")
work("crn_of_a_run", "R24", "_runs",
      ("p.gen == m->gen &&\n"
       "	       hash_equal(&p.crn_hash, crn);",
       "p.gen == m->gen;"),
      "r24_words_of_another_crn")
story("revoke_epoch_0", "R24", "_runs",
      ("	revoke.revoke.epoch = run->epoch;\n",
       ""),
      "failed_starts_are_revoked_once")
story("revoked_more_than_once", "R24", "_runs",
      ("	if (run->revoked || run->status == RUN_STOPPING)",
       "	if (run->status == RUN_STOPPING)"),
      "failed_starts_are_revoked_once")
work("stopping_judged", "R24", "_runs",
      ("	if (run->revoked || run->status == RUN_STOPPING)",
       "	if (run->revoked)"),
      "r24_judges_first_starts_only")
story("failures_off_by_one", "R24", "_runs",
      ("run->failures < status.config.start_failures_max",
       "run->failures <= status.config.start_failures_max"),
      "failed_starts_are_revoked_once")
work("late_though_was_running", "R24", "_runs",
      ("	late = !run->was_running && waited_ms",
       "	late = waited_ms"),
      "r24_judges_first_starts_only")
story("running_revoked", "R24", "_runs",
      ("	if (run->status == RUN_RUNNING)\n"
       "		return;\n",
       ""),
      "running_program_is_not_revoked")
work("since_kept_over_epochs", "R24", "_runs",
      ("	    d->runs[at].epoch == m->epoch && d->runs[at].gen == m->gen)",
       "	    1)"),
      "r24_each_epoch_has_its_time")
work("older_session_s_words", "R24", "_runs",
      ("	if (m->session != d->agents[agent].session)\n"
       "		return; /* an older session's words */\n",
       ""),
      "r24_words_of_another_crn",
      redundant="session_is() has let through the state's own session alone")
work("silent_in_other_session", "R24", "_runs",
      ("p.state == PROGRAM_ASSIGNED && p.session == c.session &&\n",
       "p.state == PROGRAM_ASSIGNED &&\n"),
      "r24_silence_of_an_orphan")
work("silent_not_assigned", "R24", "_runs",
      ("		    p.state == PROGRAM_ASSIGNED && p.session == c.session &&\n",
       "		    p.session == c.session &&\n"),
      "r24_silence_of_what_is_revoked")
work("alive_in_drain", "R22", "_runs",
      ("		    crn.alive && !crn.linked)",
       "		    !crn.linked)"),
      "r22_silent_crn_is_not_drained")
story("drain_of_linked", "R22", "_runs",
      ("		    crn.alive && !crn.linked)",
       "		    crn.alive)"),
      "a_crn_gets_no_more_than_it_can_hold")
story("no_drain", "R22", "_work",
      ("		driver__drain(d, view);\n",
       ""),
      "unlinked_crn_is_drained")
story("drain_epoch", "R22", "_runs",
      ("	revoke.revoke.epoch = p->epoch;\n",
       ""),
      "unlinked_crn_is_drained")
work("drain_again_before_out", "R22", "_runs",
      ("	for (struct driver_item *i = d->items.first; i != NULL; i = i->next)\n"
       "		if (i->kind == ITEM_REVOKE)\n"
       "			return; /* the last ones have not gone out yet */\n",
       ""),
      "r22_drain_is_asked_once")
work("drain_max", "R22", "_runs",
      ("	for (; at != SLOT_NONE && count < max;",
       "	for (; at != SLOT_NONE;"),
      "r22_drain_is_slow")
story("not_leader_admitted", "E", "_work",
      ("	if (!d->leader)\n"
       "		return BERTH_NOTLEADER;\n",
       ""),
      "not_leader_is_said_at_once")
work("too_big_admitted", "E", "_work",
      ("	if (client->size > DRIVER_BODY_SIZE_MAX ||\n"
       "	    client->count > ENTRY_COMMANDS_MAX)\n"
       "		return BERTH_TOOBIG;\n",
       ""),
      "what_cannot_wait_is_refused")
work("queue_unbounded", "E", "_work",
      ("	if (d->clients.size + client->size > DRIVER_CLIENTS_SIZE_MAX)\n"
       "		return BERTH_BUSY;\n",
       ""),
      "what_cannot_wait_is_refused")
work("client_first_wrong", "E", "_work",
      ("		client->first = work->count;\n",
       "		client->first = 0;\n"),
      "each_hears_its_own_result")
work("assign_not_in_overlay", "E", "_work",
      ("		place_overlay_add(d->overlay, view, &d->assigns[i]);\n",
       ""),
      "assigns_on_their_way_take_room")
story("overlay_never_forgotten", "E", "_work",
      ("	for (uint32_t i = 0; i < entry->assign_count; i++) {\n"
       "		place_overlay_forget(d->overlay, &entry->assigned[i]);\n",
       "	for (uint32_t i = 0; i < entry->assign_count; i++) {\n"),
      "moves_after_expiry")
work("give_back_overlay_kept", "E", "_work",
      ("	for (uint32_t i = 0; i < entry->assign_count; i++)\n"
       "		place_overlay_forget(d->overlay, &entry->assigned[i]);\n"
       "	d->placing",
       "	d->placing"),
      "refused_assign_is_tried_again")
work("give_back_placing_not_resumed", "E", "_work",
      ("	d->placing |= entry->assign_count != 0;\n",
       ""),
      "refused_assign_is_tried_again")
work("give_back_clients_lost_order", "E", "_work",
      ("		*work->client_last = d->clients.first;\n"
       "		d->clients.first = entry->clients;",
       "		*work->client_last = NULL;\n"
       "		d->clients.first = entry->clients;"),
      "busy_log_keeps_the_order")
work("work_in_flight_unbounded", "E", "_work",
      ("	while (d->work_count < DRIVER_WORK_MAX &&\n"
       "	       d->work_size < DRIVER_WORK_SIZE_MAX)",
       "	while (1)"),
      "few_entries_fly")
work("work_size_unbounded", "E", "_work",
      ("	while (d->work_count < DRIVER_WORK_MAX &&\n"
       "	       d->work_size < DRIVER_WORK_SIZE_MAX)",
       "	while (d->work_count < DRIVER_WORK_MAX)"),
      "a_big_entry_flies_alone",
      redundant="fits() has the same bound")
work("big_entry_beside_others", "E", "_work",
      ("		return d->work_count == 0 ||\n"
       "		       d->work_size + size <= DRIVER_WORK_SIZE_MAX;",
       "		return true;"),
      "a_big_entry_flies_alone")
work("entry_size_unbounded", "E", "_work",
      ("	return used + size <= DRIVER_ENTRY_SIZE_MAX &&\n",
       "	return 1 &&\n"),
      "busy_log_keeps_the_order")
work("entry_count_unbounded", "E", "_work",
      ("	return used + size <= DRIVER_ENTRY_SIZE_MAX &&\n"
       "	       work->count + count <= DRIVER_ENTRY_COMMANDS_MAX;",
       "	return used + size <= DRIVER_ENTRY_SIZE_MAX;"),
      "few_commands_an_entry")
story("expiries_after_items", "E", "_work",
      ("	take_items(d, &d->expiries, &work);\n"
       "	take_items(d, &d->items, &work);\n",
       "	take_items(d, &d->items, &work);\n"
       "	take_items(d, &d->expiries, &work);\n"),
      "expiry_goes_before_a_flood")
work("assign_results_off", "E", "_work",
      ("	uint32_t first = entry->item_count + entry->client_commands;",
       "	uint32_t first = entry->item_count;"),
      "placements_are_the_assigns")
rule("expire_without_session", "R7", "_work",
      ("		command.expire.session = crn.session;\n",
       ""),
      "r03_lost_expiry_is_proposed_again")
story("expire_twice_in_flight", "R7", "_work",
      ("	if (d->expires != 0 || d->expiries.first != NULL)\n"
       "		return;\n",
       ""),
      "expiry_goes_before_a_flood")
work("item_results_by_item", "E", "_work",
      ("		result = driver__result(results, count, i);",
       "		result = driver__result(results, count, 0);"),
      "each_hears_its_own_result")

# --- with an #ifdef at the rule, or found by hand
rule("ack_early", "R6 W4", "_beat", define("ack_early"),
     "r06_lease_that_ends_before_its_beat")
story("anchor_kept", "R4", "", define("anchor_kept"),
      "new_term_has_a_new_anchor")
rule("clock_read_early", "R5 W1 E", "_beat",
     ("	uint64_t now_ms = d->ops.clock_ms(d->ops.ctx);\n"
      "	uint64_t dt_ms = now_ms - d->anchor_ms;",
      "	uint64_t now_ms = d->ops.clock_ms(d->ops.ctx);\n"
      "	now_ms -= now_ms - d->anchor_ms > 1000 ? 500 : 0;\n"
      "	uint64_t dt_ms = now_ms - d->anchor_ms;"),
     "r05_interval_ends_when_the_batch_is_frozen")
rule("dt_twice", "R4 E", "_beat",
     ("	uint64_t dt_ms = now_ms - d->anchor_ms;",
      "	uint64_t dt_ms = 2 * (now_ms - d->anchor_ms);"),
     "r05_interval_ends_when_the_batch_is_frozen")
rule("no_expire", "R7", "", ("	driver__expire(d, view);\n", ""),
     "r03_lost_expiry_is_proposed_again")
rule("beat_after_work", "2.6", "",
     ("	if (now_ms >= d->next_beat_ms)\n"
      "		driver__beat(d, view, now_ms);\n"
      "	driver__work(d, view, now_ms);\n",
      "	driver__work(d, view, now_ms);\n"
      "	if (now_ms >= d->next_beat_ms)\n"
      "		driver__beat(d, view, now_ms);\n"), "beat_goes_first")
rule("frozen_in_one_call", "R5", "_beat",
     ("	entry->ack_count = freeze(d, view, entry->acks);\n",
      "	beat.beat.dt_ms = take_interval(d);\n"
      "	entry->ack_count = freeze(d, view, entry->acks);\n"
      "	d->anchor_ms -= beat.beat.dt_ms;\n"),
     "r05_interval_ends_when_the_batch_is_frozen",
     redundant="nothing is heard inside this call: the order matters only "
               "to who splits it")

# --- where a term begins and ends
def terms(name, rules, path, how, test, **more):
    driver(name, rules, path, how, "replica_driver_terms test_" + test, **more)


terms("refused_lead_is_forgotten", "R3", "",
      ("	d->lead_proposed = driver__propose(d, entry, true, 1);\n"
       "	if (!d->lead_proposed)\n",
       "	d->lead_proposed = true;\n"
       "	if (!driver__propose(d, entry, true, 1))\n"),
      "r03_refused_lead_is_proposed_again")
terms("refused_lead_waits_long", "R3 E", "",
      ("(d->lead_proposed ? 1000 : DRIVER_RETRY_MS)", "1000"),
      "r03_refused_lead_is_proposed_again")
terms("first_beat_waits", "2.6", "",
      ("	d->next_beat_ms = d->anchor_ms;\n", ""),
      "first_beat_follows_the_lead")
terms("runs_kept_over_terms", "R24", "",
      ("	driver__runs_forget(d);\n", ""), "r24_next_term_knows_no_run")
terms("run_map_kept_over_terms", "R24", "_runs",
      ("	driver__map_fini(&d->run_map);\n", ""),
      "r24_next_term_knows_no_run")
terms("expiries_kept_over_terms", "R7", "",
      ("	d->expiries = (struct driver_items)"
       "{ .last = &d->expiries.first };\n", ""),
      "r07_waiting_expiry_is_not_carried")
terms("session_of_heartbeats", "2.6", "_agent",
      ("	a->session = m->session;\n", ""),
      "next_leader_pushes_after_one_heartbeat")
terms("closed_tells_nobody", "R3", "",
      ("	d->leader = d->leading = false;\n	forget(d);\n",
       "	d->leader = d->leading = false;\n"), "who_stops_tells_everybody")
terms("closed_takes_commands", "R3", "",
      ("	d->leader = d->leading = false;\n	forget(d);\n",
       "	forget(d);\n"), "who_stops_tells_everybody")
terms("retry_waits_for_the_beat", "E", "",
      ("	if (d->retry_ms != 0 && d->retry_ms < next_ms)\n"
       "		next_ms = d->retry_ms;\n", ""),
      "ticks_say_when_the_next_is_due")
terms("retry_without_a_time", "E", "_work",
      ("	d->retry_ms = now_ms + DRIVER_RETRY_MS;\n", ""),
      "ticks_say_when_the_next_is_due")
terms("retry_for_ever", "E", "_work",
      ("	d->retry_ms = 0;\n	if (now_ms >= d->next_round_ms)",
       "	if (now_ms >= d->next_round_ms)"),
      "ticks_say_when_the_next_is_due")


# --- what waits
def items(name, rules, path, how, test, **more):
    driver(name, rules, path, how, "replica_driver_items test_" + test, **more)


items("expiry_behind_the_rest", "R7 2.6", "_items",
      ("	return kind == ITEM_EXPIRE ? &d->expiries : &d->items;",
       "	return &d->items;"), "r07_expiry_goes_before_what_waited")
items("expiry_flies_twice", "R7 E", "_work",
      ("	if (d->expires != 0 || d->expiries.first != NULL)",
       "	if (d->expiries.first != NULL)"), "r07_expiry_flies_once")
items("register_and_report_are_one", "R15 E", "_items",
      ("	return kind == ITEM_REGISTER ? WISH_REGISTER : WISH_REPORT;",
       "	return WISH_REPORT;"), "r15_register_and_report_wait_apart")
items("room_of_what_went", "E", "_work",
      ("		items->size -= item->size;\n", ""),
      "items_that_went_take_no_room")
items("room_of_what_was_replaced", "E", "_items",
      ("		d->items.size -= item->size;\n", ""),
      "items_that_went_take_no_room")
items("room_of_what_came_back", "E", "_items",
      ("	list->size += front->size;\n", ""),
      "refused_items_keep_their_order")
items("rest_of_what_came_back", "E", "_items",
      ("	*front->last = list->first;\n", "	*front->last = NULL;\n"),
      "refused_items_keep_their_order")
work("room_of_clients_that_went", "E", "_work",
     ("		d->clients.size -= client->size;\n", ""),
     "clients_that_went_take_no_room")
work("room_of_clients_that_came_back", "E", "_work",
     ("		d->clients.size += c->size;\n", "		;\n"),
     "clients_that_went_take_no_room")
work("no_regular_round", "R24 R20", "_work",
     ("		d->placing = true;\n"
      "		d->next_round_ms", "		d->next_round_ms"),
     "r24_excluded_crn_is_tried_again")
rule("report_by_its_cores", "E", "_agent",
     ("	    crn->memory_mib != m->memory_mib ||"
      " crn->disk_mib != m->disk_mib ||\n", ""),
     "report_tells_every_change")
rule("report_without_its_door", "E", "_agent",
     ("	    memcmp(crn->url.data, m->url.data, m->url.size) != 0)",
      "	    0)"), "report_tells_every_change")
rule("report_without_its_tokens", "E", "_agent",
     ("	for (uint32_t i = 0; i < m->token_count; i++)\n", "	for (; 0;)\n"
      "		for (uint32_t i = 0; i < m->token_count; i++)\n"),
     "report_tells_every_change")
rule("report_back_dropped_while_waiting", "E", "_agent",
     ("	if (a->waiting[WISH_REPORT] == NULL && a->flying",
      "	if (a->flying"), "newest_report_counts")
rule("report_in_a_register", "R15", "_agent",
     ("	if (frame == AGENT_REGISTER && command->type == FSM_REGISTER)",
      "	if (frame == AGENT_REGISTER)"), "newest_report_counts")
rule("own_pace", "2.6", "_beat",
     ("	return status.config.beat_ms == 0 ? 250 : status.config.beat_ms;",
      "	return 250;"), "beat_has_the_pace_of_the_configuration")
rule("no_wall_clock", "E", "_beat",
     ("	beat.beat.wall_ms = d->ops.wall_ms(d->ops.ctx);\n", ""),
     "beat_has_the_pace_of_the_configuration")


# --- R24, R22: in whose words
def runs(name, rules, path, how, test, **more):
    driver(name, rules, path, how, "replica_driver_runs test_" + test, **more)


runs("revoked_without_words", "R24", "_runs",
     ("	revoke.revoke.reason = why_of(run);\n", ""),
     "r24_revoke_has_the_agents_words")
runs("words_by_their_size", "R24 E", "_runs",
     ("	    (reason->size == 0 ||\n"
      "	     memcmp(run->reason, reason->data, reason->size) == 0))",
      "	    true)"), "r24_words_are_the_last_ones")
runs("first_words", "R24 E", "_runs",
     ("		set_reason(run, &m->runs[i].reason);\n",
      "		if (run->reason == NULL)\n"
      "			set_reason(run, &m->runs[i].reason);\n"),
     "r24_words_are_the_last_ones")
runs("silence_of_what_ran", "R24", "_runs",
     ("		run->was_running = false;\n", ""), "r24_silence_of_what_ran")
runs("status_of_what_is_silent", "R24", "_runs",
     ("		run->status = RUN_PREPARING;\n", ""),
     "r24_silence_of_what_ran")
runs("failures_of_what_is_silent", "R24", "_runs",
     ("		run->failures = 0;\n", ""), "r24_silence_of_what_ran")
runs("words_of_what_is_silent", "R24", "_runs",
     ("		set_reason(run, &(struct text){ \"\", 0 });\n", ""),
     "r24_silence_of_what_ran")
runs("drained_without_words", "R22", "_runs",
     ("	revoke.revoke.reason = (struct text){ why, sizeof why - 1 };\n", ""),
     "r22_drain_is_said_so")


# --- H38
def clock(name, how, test, **more):
    driver("clock_" + name, "E", "_clock", how,
           "replica_driver_clock test_h38_" + test, **more)


clock("of_who_does_not_tell", ("	if (m->clock_ms == 0)\n		return;",
                               "	;"), "who_does_not_tell_is_not_asked")
clock("from_the_beginning", ("		k->c_last_ms = status.c_ms;\n"
                             "		k->window = 0;\n",
                             "		k->window = 0;\n"),
      "young_agents_of_an_old_cluster")
clock("of_who_is_gone", ("		if (k->window != d->clock_window ||\n"
                         "		    k->c_last_ms", "		if (k->c_last_ms"),
      "who_is_gone_has_no_say")
clock("of_a_minority", ("	median = &all[count / 2];",
                        "	median = &all[count * 3 / 4];"),
      "majority_decides")
clock("that_went_back", (" || m->clock_ms < k->agent_last_ms ||\n", " ||\n"),
      "late_words_are_no_slow_clock")
clock("alarm_is_counted_only", ("		if (d->ops.clock_alarm != NULL)",
                                "		if (false)"),
      "alarm_says_how_fast")
clock("alarm_of_how_many", ("		median->agents = count;\n", ""),
      "alarm_says_how_fast")
clock("alarm_of_what_limit", ("		median->limit_ppm = limit_ppm;\n", ""),
      "alarm_says_how_fast")
terms("beats_are_work", "2.6 E", "",
      ("	d->work_size += entry->kind == ENTRY_WORK ? entry->size : 0;\n",
       "	d->work_size += entry->size;\n"), "beats_take_no_room_of_work")
rule("ack_without_gen", "R12", "_agent",
     ("	m.gen = status.gen;\n", ""), "r23_register_ack_tells_what_is_kept")
rule("ack_without_pace", "E", "_agent",
     ("	m.heartbeat_ms = status.config.heartbeat_ms;\n", ""),
     "r23_register_ack_tells_what_is_kept")
rule("every_refusal_is_of_k", "E", "_agent",
     ("	if (refusal == FSM_REFUSED_K)\n", "	if (true)\n"),
     "refused_register_is_told_why")
