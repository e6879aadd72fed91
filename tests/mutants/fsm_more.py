# The state machine once more: small errors, line by line, so that no
# expectation of a scenario is without one that it alone would notice
# (tests/mutants/weaken counts).
def more(scenario, name, rules, path, how):
    mutant("more_" + name, rules, "fsm/" + path, how,
           "fsm_scripts " + scenario)


more("a_life", "effect_without_session_session_in_a_life", "E", "apply.c",
    ("		e.session = s->crns[crn].session;",
     "		;"))
more("a_life", "touch_program_without_changed_stamp_in_a_life", "E", "apply.c",
    ("	f->state.programs[program].changed = f->stamp;",
     "	;"))
more("a_life", "touch_desired_without_changed_stamp_in_a_life", "E", "apply.c",
    ("	f->state.crns[crn].changed = f->stamp;",
     "	;"))
more("a_life", "apply_lead_without_leader_leader_in_a_life", "E", "apply.c",
    ("	f->state.leader = c->leader;",
     "	;"))
more("a_life", "no_effect_lead_in_a_life", "E", "apply.c",
    ("	fsm__effect(f, EFFECT_LEAD, SLOT_NONE, SLOT_NONE, no_reason);",
     "	;"))
more("a_life", "no_effect_config_in_a_life", "E", "config.c",
    ("	fsm__effect(f, EFFECT_CONFIG, SLOT_NONE, SLOT_NONE, fsm__text(\"\"));",
     "	;"))
more("a_life", "no_effect_crn_known_in_a_life", "E", "crn.c",
    ("	fsm__effect(f, EFFECT_CRN_KNOWN, SLOT_NONE, slot, fsm__text(\"\"));",
     "	;"))
more("a_life", "no_effect_crn_reported_in_a_life", "E", "crn.c",
    ("	fsm__effect(f, EFFECT_CRN_REPORTED, SLOT_NONE, slot, fsm__text(\"\"));",
     "	;"))
more("a_life", "move_add_without_moves_at_move_in_a_life", "E", "history.c",
    ("	s->moves[at] = *move;",
     "	;"))
more("a_life", "renew_without_wall_ms_wall_ms_in_a_life", "E", "lease.c",
    ("	s->wall_ms = c->wall_ms;",
     "	;"))
more("a_life", "reap_without_delete_record_root_in_a_life", "E", "lineage.c",
    ("		delete_record(f, root);",
     "		;"))
more("a_life", "fill_without_vcpus_vcpus_in_a_life", "E", "lineage.c",
    ("	p->vcpus = c->vcpus;",
     "	;"))
more("a_life", "no_effect_program_known_in_a_life", "E", "lineage.c",
    ("	fsm__effect(f, c->persistent ? EFFECT_PROGRAM_KNOWN\n"
     "				     : EFFECT_PROGRAM_GONE,\n"
     "		    slot, SLOT_NONE, fsm__text(\"\"));",
     "	;"))
more("a_life", "put_new_always_it_in_a_life", "E", "lineage.c",
    ("	if (slot == SLOT_NONE)",
     "	if (1)"))
more("a_life", "remember_without_hash_set_host_host_in_a_life", "E", "move.c",
    ("	fsm__hash_set(s, &p->host, &s->crns[crn].host);",
     "	;"))
more("a_life", "revoke_always_cause_revoke_start_failed_in_a_life", "E", "move.c",
    ("	if (c->cause == REVOKE_START_FAILED)",
     "	if (1)"))
more("changed", "touch_program_without_changed_stamp_in_changed", "E", "apply.c",
    ("	f->state.programs[program].changed = f->stamp;",
     "	;"))
more("changed", "touch_crn_without_crns_changed_stamp_in_changed", "E", "apply.c",
    ("	f->state.crns_changed = f->stamp;",
     "	;"))
more("config", "numbers_fit_untested_programs_max_in_config", "E", "config.c",
    ("	       c->dt_max_ms > 0 && c->beat_ms > 0 && c->k_ms > 0 &&\n"
     "	       c->programs_max > 0 && c->crns_max > 0 &&",
     "	       c->dt_max_ms > 0 && c->beat_ms > 0 && c->k_ms > 0 && 1 && c->crns_max > 0 &&"))
more("config", "numbers_fit_untested_crns_max_in_config", "E", "config.c",
    ("	       c->programs_max > 0 && c->crns_max > 0 &&",
     "	       c->programs_max > 0 && 1 &&"))
more("config", "k_fits_untested_numbers_fit_in_config", "E", "config.c",
    ("	if (!numbers_fit(c) || (s->configured && !k_fits(s, c)))",
     "	if ( 0 || (s->configured && !k_fits(s, c)))"))
more("config", "open_session_without_k_ms_k_ms_in_config", "E", "lease.c",
    ("	crn->k_ms = c->k_ms;",
     "	;"))
more("r08_assign", "set_tokens_never_vcpus_vcpus_max_memory_mib_in_r08_assign", "R8 E", "crn.c",
    ("	if (c->vcpus > VCPUS_MAX || c->memory_mib > MIB_MAX ||\n"
     "	    c->disk_mib > MIB_MAX)",
     "	if (0)"))
more("r08_assign", "set_tokens_without_disk_mib_disk_mib_in_r08_assign", "R8 E", "crn.c",
    ("	crn->disk_mib = c->disk_mib;",
     "	;"))
more("r08_assign", "put_new_never_hash_is_zero_vcpus_vcpus_max_in_r08_assign", "R8 E", "lineage.c",
    ("	if (hash_is_zero(&c->program) || c->vcpus > VCPUS_MAX ||\n"
     "	    c->memory_mib > MIB_MAX || c->disk_mib > MIB_MAX ||\n"
     "	    (c->has_replaces && (hash_is_zero(&c->replaces) ||\n"
     "				 hash_equal(&c->replaces, &c->program))) ||\n"
     "	    (c->has_node_pin && hash_is_zero(&c->node_pin)))",
     "	if (0)"))
more("r08_assign", "remember_never_it_in_r08_assign", "R8 E", "move.c",
    ("	enum fsm_refusal refusal;\n"
     "	struct program *p;\n"
     "\n"
     "	if (program == SLOT_NONE)",
     "	enum fsm_refusal refusal;\n"
     "	struct program *p;\n"
     "\n"
     "	if (0)"))
more("r15_class", "fit_crn_untested_config_unfenced_hold_ok_in_r15_class", "R15 E", "fits.c",
    ("	if (c->class == CRN_UNFENCED && !s->config.unfenced_hold_ok)",
     "	if (c->class == CRN_UNFENCED && 1 )"))
more("r15_class", "no_effect_crn_expired_in_r15_class", "R15 E", "lease.c",
    ("	fsm__effect(f, EFFECT_CRN_EXPIRED, SLOT_NONE, slot, fsm__text(\"\"));",
     "	;"))
more("r15_class", "open_session_without_text_set_unfenced_reason_admission_in_r15_class", "R15 E", "lease.c",
    ("	fsm__text_set(s, &crn->unfenced_reason, &admission->reason);",
     "	;"))
more("r16_fence_confirm", "no_effect_crn_fence_confirmed_in_r16_fence_confirm", "R16 E", "lease.c",
    ("	fsm__effect(f, EFFECT_CRN_FENCE_CONFIRMED, SLOT_NONE, slot, c->who);",
     "	;"))
more("r17_adopted", "adopt_without_hold_true_in_r17_adopted", "R17 E", "survey.c",
    ("	p->hold = true;",
     "	;"))
more("r17_adopted", "adopt_without_hash_set_host_host_in_r17_adopted", "R17 E", "survey.c",
    ("	fsm__hash_set(s, &p->host, host);",
     "	;"))
more("r17_adopted", "adopt_always_has_data_in_r17_adopted", "R17 E", "survey.c",
    ("	if (p->has_data)",
     "	if (1)"))
more("r17_adopted", "adoptable_always_it_in_r17_adopted", "R17 E", "survey.c",
    ("		return false;\n"
     "	if (slot == SLOT_NONE)",
     "		return false;\n"
     "	if (1)"))
more("r17_adopted", "survey_rows_without_left_in_r17_adopted", "R17 E", "survey.c",
    ("		if (!row->running) {\n"
     "			left++;",
     "		if (!row->running) {\n"
     "			;"))
more("r17_attested", "begin_survey_without_survey_session_session_in_r17_attested", "R17 E", "survey.c",
    ("		crn->survey_session = crn->session;",
     "		;"))
more("r17_attested", "add_universe_without_begin_survey_in_r17_attested", "R17 E", "survey.c",
    ("	begin_survey(f, slot);",
     "	;"))
more("r17_attested", "no_effect_new_gen_in_r17_attested", "R17 E", "survey.c",
    ("	fsm__effect(f, EFFECT_NEW_GEN, SLOT_NONE, SLOT_NONE, c->who);",
     "	;"))
more("r17_bye", "removable_without_crn_drop_in_r17_bye", "R17 E", "crn.c",
    ("	fsm__crn_drop(s, slot);",
     "	;"))
more("r17_bye", "put_new_without_forgotten_superseded_true_in_r17_bye", "R17 E", "lineage.c",
    ("		return FSM_DUPLICATE;\n"
     "	p->forgotten = p->superseded = true;",
     "		return FSM_DUPLICATE;\n"
     "	;"))
more("r17_bye", "add_universe_without_no_holds_no_holds_in_r17_bye", "R17 E", "survey.c",
    ("	s->no_holds = c->no_holds;",
     "	;"))
more("r17_bye", "no_effect_new_gen_in_r17_bye", "R17 E", "survey.c",
    ("	fsm__effect(f, EFFECT_NEW_GEN, SLOT_NONE, SLOT_NONE, c->who);",
     "	;"))
more("r17_facts", "has_earlier_sibling_always_waiting_forgotten_has_replaces_in_r17_facts", "R17 E", "lineage.c",
    ("		if (m != slot && !q->waiting && !q->forgotten &&\n"
     "		    q->has_replaces && q->replaces == p->replaces &&\n"
     "		    earlier(q, p))",
     "		if (1)"))
more("r17_facts", "adopt_without_may_run_wanted_lineage_busy_in_r17_facts", "R17 E", "survey.c",
    ("	may_run = fsm__wanted(p) && !lineage_busy(s, slot) &&\n"
     "		  p->state != PROGRAM_REVOKING;",
     "	;"))
more("r17_facts", "no_effect_adopted_in_r17_facts", "R17 E", "survey.c",
    ("	fsm__effect(f, EFFECT_ADOPTED, slot, crn,\n"
     "		    fsm__text(\"found running after a restore\"));",
     "	;"))
more("r17_generations", "add_universe_without_gen_gen_in_r17_generations", "R17 E", "survey.c",
    ("	s->gen = c->gen;",
     "	;"))
more("r17_lower_epoch", "add_universe_without_gen_gen_in_r17_lower_epoch", "R17 E", "survey.c",
    ("	s->gen = c->gen;",
     "	;"))
more("r17_lower_epoch", "add_universe_without_lost_true_in_r17_lower_epoch", "R17 E", "survey.c",
    ("			s->programs[i].lost = true;",
     "			;"))
more("r17_lower_epoch", "survey_rows_without_left_in_r17_lower_epoch", "R17 E", "survey.c",
    ("		    !adoptable(s, slot, crn, row)) {\n"
     "			left++;",
     "		    !adoptable(s, slot, crn, row)) {\n"
     "			;"))
more("r17_no_holds", "no_effect_new_gen_in_r17_no_holds", "R17 E", "survey.c",
    ("	fsm__effect(f, EFFECT_NEW_GEN, SLOT_NONE, SLOT_NONE, c->who);",
     "	;"))
more("r17_no_holds", "adopt_without_may_run_wanted_lineage_busy_in_r17_no_holds", "R17 E", "survey.c",
    ("	may_run = fsm__wanted(p) && !lineage_busy(s, slot) &&\n"
     "		  p->state != PROGRAM_REVOKING;",
     "	;"))
more("r17_no_holds", "adoptable_never_program_lost_in_r17_no_holds", "R17 E", "survey.c",
    ("	if (p->state == PROGRAM_LOST)",
     "	if (0)"))
more("r17_orphan_freed", "add_universe_never_is_orphan_in_r17_orphan_freed", "R17 E", "survey.c",
    ("		if (is_orphan(s, &s->programs[i]))",
     "		if (0)"))
more("r17_orphans", "no_effect_crn_established_in_r17_orphans", "R17 E", "lease.c",
    ("		fsm__effect(f, EFFECT_CRN_ESTABLISHED, SLOT_NONE, slot,\n"
     "			    fsm__text(\"\"));",
     "		;"))
more("r17_restore", "no_effect_new_gen_in_r17_restore", "R17 E", "survey.c",
    ("	fsm__effect(f, EFFECT_NEW_GEN, SLOT_NONE, SLOT_NONE, c->who);",
     "	;"))
more("r17_restore", "no_effect_adopted_in_r17_restore", "R17 E", "survey.c",
    ("	fsm__effect(f, EFFECT_ADOPTED, slot, crn,\n"
     "		    fsm__text(\"found running after a restore\"));",
     "	;"))
more("r17_revoking", "removable_without_crn_drop_in_r17_revoking", "R17 E", "crn.c",
    ("	fsm__crn_drop(s, slot);",
     "	;"))
more("r17_revoking", "no_effect_crn_established_in_r17_revoking", "R17 E", "lease.c",
    ("		fsm__effect(f, EFFECT_CRN_ESTABLISHED, SLOT_NONE, slot,\n"
     "			    fsm__text(\"\"));",
     "		;"))
more("r17_revoking", "is_orphan_untested_session_session_in_r17_revoking", "R17 E", "survey.c",
    ("	return p->crn != SLOT_NONE && p->session != s->crns[p->crn].session;",
     "	return p->crn != SLOT_NONE && 1 ;"))
more("r17_revoking", "no_effect_new_gen_in_r17_revoking", "R17 E", "survey.c",
    ("	fsm__effect(f, EFFECT_NEW_GEN, SLOT_NONE, SLOT_NONE, c->who);",
     "	;"))
more("r17_revoking", "add_universe_never_is_orphan_in_r17_revoking", "R17 E", "survey.c",
    ("		if (is_orphan(s, &s->programs[i]))",
     "		if (0)"))
more("r17_survey", "touch_crn_without_seen_stamp_in_r17_survey", "R17 E", "apply.c",
    ("	f->state.crns[crn].seen = f->stamp;",
     "	;"))
more("r17_survey", "survey_by_hand_without_any_any_surveyed_in_r17_survey", "R17 E", "lease.c",
    ("	any = any || (!s->crns[slot].surveyed && c->all_machines &&\n"
     "		      s->crns[slot].survey_session == c->session);",
     "	;"))
more("r17_survey", "add_universe_without_gen_gen_in_r17_survey", "R17 E", "survey.c",
    ("	s->gen = c->gen;",
     "	;"))
more("r17_survey_rows", "survey_by_hand_without_silence_in_r17_survey_rows", "R17 E", "lease.c",
    ("		silence(f, slot);",
     "		;"))
more("r17_survey_rows", "adoptable_never_program_lost_in_r17_survey_rows", "R17 E", "survey.c",
    ("	if (p->state == PROGRAM_LOST)",
     "	if (0)"))
more("r21_forget", "no_effect_program_gone_in_r21_forget", "R21 E", "lineage.c",
    ("	fsm__effect(f, EFFECT_PROGRAM_GONE, slot, SLOT_NONE, reason);",
     "	;"))
more("r21_forget", "reap_without_delete_record_in_r21_forget", "R21 E", "lineage.c",
    ("		delete_record(f, slot);",
     "		;"))
more("r21_forget", "reap_untested_forgotten_in_r21_forget", "R21 E", "lineage.c",
    ("	if (p->forgotten && p->state == PROGRAM_FREE && !root_needed(s, root))",
     "	if ( 1 && p->state == PROGRAM_FREE && !root_needed(s, root))"))
more("r21_forget", "fill_identity_without_hash_set_replaces_replaces_in_r21_forget", "R21 E", "lineage.c",
    ("		fsm__hash_set(s, &p->replaces, &c->replaces);",
     "		;"))
more("r21_forget", "no_effect_program_known_in_r21_forget", "R21 E", "lineage.c",
    ("	fsm__effect(f, c->persistent ? EFFECT_PROGRAM_KNOWN\n"
     "				     : EFFECT_PROGRAM_GONE,\n"
     "		    slot, SLOT_NONE, fsm__text(\"\"));",
     "	;"))
more("r21_rings", "lineage_free_never_program_free_in_r21_rings", "R21 E", "fits.c",
    ("		if (s->programs[m].state != PROGRAM_FREE)",
     "		if (0)"))
more("r21_rings", "no_effect_program_gone_in_r21_rings", "R21 E", "lineage.c",
    ("	fsm__effect(f, EFFECT_PROGRAM_GONE, slot, SLOT_NONE, reason);",
     "	;"))
more("r21_rings", "find_parent_never_parent_parent_waiting_in_r21_rings", "R21 E", "lineage.c",
    ("	if (parent == SLOT_NONE || s->programs[parent].waiting ||\n"
     "	    s->programs[parent].forgotten)",
     "	if (0)"))
more("r21_rings", "win_without_continue_in_r21_rings", "R21 E", "lineage.c",
    ("			continue;",
     "			;"))
more("r21_rings", "contest_without_loser_true_in_r21_rings", "R21 E", "lineage.c",
    ("		p->loser = true;",
     "		;"))
more("r21_rings", "settle_waiting_reversed_it_in_r21_rings", "R21 E", "lineage.c",
    ("	if (refusal == FSM_OK) {",
     "	if (refusal != FSM_OK) {"))
more("r21_rings", "find_place_always_has_replaces_in_r21_rings", "R21 E", "lineage.c",
    ("	if (!c->has_replaces)",
     "	if (1)"))
more("r21_supersession", "mark_ancestors_without_mark_mark_in_r21_supersession", "R21 E", "lineage.c",
    ("		s->programs[slot].mark = mark;",
     "		;"))
more("r21_supersession", "no_effect_program_known_in_r21_supersession", "R21 E", "lineage.c",
    ("	fsm__effect(f, c->persistent ? EFFECT_PROGRAM_KNOWN\n"
     "				     : EFFECT_PROGRAM_GONE,\n"
     "		    slot, SLOT_NONE, fsm__text(\"\"));",
     "	;"))
more("r21_waiting", "put_new_without_waiting_has_replaces_parent_in_r21_waiting", "R21 E", "lineage.c",
    ("	s->programs[slot].waiting = c->has_replaces && parent == SLOT_NONE;",
     "	;"))
more("r21_waiting", "no_effect_program_known_in_r21_waiting", "R21 E", "lineage.c",
    ("	fsm__effect(f, c->persistent ? EFFECT_PROGRAM_KNOWN\n"
     "				     : EFFECT_PROGRAM_GONE,\n"
     "		    slot, SLOT_NONE, fsm__text(\"\"));",
     "	;"))
more("r22_removal", "text_same_reversed_it_in_r22_removal", "R22 E", "crn.c",
    ("	return own.size == text->size &&",
     "	return own.size != text->size &&"))
more("r22_removal", "text_same_never_hash_is_zero_in_r22_removal", "R22 E", "crn.c",
    ("	if (hash_is_zero(&c->crn))",
     "	if (0)"))
more("r22_removal", "fit_crn_never_linked_in_r22_removal", "R22 E", "fits.c",
    ("	if (!c->linked) /* R22 */",
     "	if (0) /* R22 */"))
more("r22_removal", "settle_programs_without_release_in_r22_removal", "R22 E", "lease.c",
    ("			fsm__release(f, i,\n"
     "				     fsm__text(\"the CRN has it no longer\"));",
     "			;"))
more("r22_removal", "remember_without_hash_set_host_host_in_r22_removal", "R22 E", "move.c",
    ("	fsm__hash_set(s, &p->host, &s->crns[crn].host);",
     "	;"))
more("r23_hold", "no_effect_crn_expired_in_r23_hold", "R23 E", "lease.c",
    ("	fsm__effect(f, EFFECT_CRN_EXPIRED, SLOT_NONE, slot, fsm__text(\"\"));",
     "	;"))
more("r23_register", "removable_always_it_in_r23_register", "R23 E", "crn.c",
    ("	slot_t slot = fsm_crn_find(s, &c->crn);\n"
     "\n"
     "	if (slot == SLOT_NONE)",
     "	slot_t slot = fsm_crn_find(s, &c->crn);\n"
     "\n"
     "	if (1)"))
more("r23_register", "remember_reversed_it_in_r23_register", "R23 E", "move.c",
    ("		  s->crns[crn].class == CRN_UNFENCED;",
     "		  s->crns[crn].class != CRN_UNFENCED;"))
more("r25_data", "fill_without_vcpus_vcpus_in_r25_data", "R25 E", "lineage.c",
    ("	p->vcpus = c->vcpus;",
     "	;"))
more("updates", "fill_without_vcpus_vcpus_in_updates", "E", "lineage.c",
    ("	p->vcpus = c->vcpus;",
     "	;"))
more("updates", "fill_without_text_set_name_name_in_updates", "E", "lineage.c",
    ("	fsm__text_set(s, &p->name, &c->name);",
     "	;"))
more("updates", "same_wishes_reversed_it_in_updates", "E", "lineage.c",
    ("	       p->code_revision == c->code_revision && p->vcpus == c->vcpus &&",
     "	       p->code_revision != c->code_revision && p->vcpus == c->vcpus &&"))
more("updates", "put_again_never_same_identity_in_updates", "E", "lineage.c",
    ("	if (!same_identity(s, p, c))",
     "	if (0)"))
more("updates", "put_again_never_source_source_operator_in_updates", "E", "lineage.c",
    ("	if (p->source == SOURCE_OPERATOR)",
     "	if (0)"))
more("updates", "put_new_untested_has_node_pin_hash_is_zero_node_pin_in_updates", "E", "lineage.c",
    ("				 hash_equal(&c->replaces, &c->program))) ||\n"
     "	    (c->has_node_pin && hash_is_zero(&c->node_pin)))",
     "				 hash_equal(&c->replaces, &c->program))) || 0 )"))
more("updates", "revoke_always_cause_revoke_start_failed_in_updates", "E", "move.c",
    ("	if (c->cause == REVOKE_START_FAILED)",
     "	if (1)"))

more("a_life", "established_again_and_again", "R8 E", "lease.c",
     ("	if (r->got_ack && !crn->established) { /* R8 */",
      "	if (r->got_ack) {"))
more("a_life", "nothing_desired", "R13 E", "read.c",
     ("		if (p->state != PROGRAM_ASSIGNED ||", "		if (1 ||"))
more("a_life", "revoke_never", "R16 E", "move.c",
     ("	if (p->state != PROGRAM_ASSIGNED)\n		return FSM_REFUSED_STATE;",
      "	if (1)\n		return FSM_REFUSED_STATE;"))
more("r15_register", "duplicate_is_applied", "R15 E", "lease.c",
     ("		return crn->alive ? FSM_DUPLICATE : FSM_REFUSED_PREV;\n",
      "		return admit(s, c, admission);\n"))
more("r23_register", "orphan_released", "R23 E", "lease.c",
     ("		} else if (!fsm__hash_is(s, p->host, &c->host)) {\n"
      "			continue;",
      "		} else if (!fsm__hash_is(s, p->host, &c->host)) {\n"
      "			fsm__release(f, i, fsm__text(\"\"));"))
for scenario in """r21_rings r21_forgotten_waits r21_waiting_runs
        r17_unknown_size""".split():
    more(scenario, "record_stays_in_" + scenario, "R21 E", "lineage.c",
         ("	leave_ring(&f->state, slot);\n	fsm__touch_program(f, slot);\n",
          "	if (1)\n		return;\n"))
more("r21_waiting", "waiting_is_pending", "R21 E", "state.c",
     ("return p->persistent && !p->superseded && !p->waiting && !p->forgotten;",
      "return p->persistent && !p->superseded && !p->forgotten;"))

# Coarse ones: nothing is applied after the Lead. They notice what is deleted
# where no small error is known that shows there.
for scenario in """a_life changed config r03_term r05_beat r07_expire
        r08_assign r15_class r15_register r16_fence_confirm r17_attested
        r17_bye r17_facts r17_generations r17_lower_epoch r17_orphan_freed
        r17_orphans r17_restore r17_revoking r17_twice r20_sticky r21_forget
        r21_rings r21_supersession r21_waiting r22_removal r23_register
        r24_failed_start r25_data updates r17_no_holds_twice
        r21_forgotten_waits r21_waiting_runs r17_longest_ttl r17_two_machines
        r17_unknown_size""".split():
    more(scenario, "nothing_applies_in_" + scenario, "E", "apply.c",
         ("	f->state.term = c->term;\n", ""))
