# The state machine: fsm/*.c, by the scenarios of tests/script.
def script(scenario, name, rules, path, how, **more):
    mutant("fsm_" + name, rules, "fsm/" + path, how,
           "fsm_scripts " + scenario, **more)


# --- R3: terms
def r03(*args, **more):
    script("r03_term", *args, **more)


r03("any_term", "R3", "apply.c", define("any_term"))
r03("lead_again", "R3", "apply.c",
    ("if (c->term <= f->state.term)", "if (c->term < f->state.term)"))
r03("lead_goes_back", "R3", "apply.c",
    ("if (c->term <= f->state.term)", "if (c->term == f->state.term)"))
r03("lead_of_another_term", "R3", "apply.c",
    ("	if (c->term != term)\n		return FSM_REFUSED_MALFORMED;\n", ""))
r03("config_of_any_term", "R3", "apply.c",
    ("if (!s->configured && c->type == FSM_CONFIG)",
     "if (c->type == FSM_CONFIG)"))
r03("before_config", "R3", "apply.c",
    ("if (!f->state.configured && c->type != FSM_CONFIG) {", "if (0) {"))
r03("term_not_kept", "R3 E", "apply.c",
    ("	f->state.term = c->term;\n", ""))
r03("old_term_remembered", "R3", "apply.c",
    ("		result->refusal = FSM_REFUSED_TERM;\n		return;\n",
     "		result->refusal = FSM_REFUSED_TERM;\n"
     "		if (memcmp(c->request, none, sizeof none) != 0) {\n"
     "			struct request r = {.stamp = result->stamp,\n"
     "				.refusal = FSM_REFUSED_TERM};\n"
     "			memcpy(r.id, c->request, sizeof r.id);\n"
     "			fsm__request_add(&f->state, &r);\n"
     "		}\n		return;\n"))


# --- R2, R4, R5: time and renewals
def r05(*args, **more):
    script("r05_beat", *args, **more)


r05("renewal_before_time", "R5 W1", "lease.c",
    ("	/* R5: first the time, then the renewals. H37, H38: the clamp. */\n"
     "	s->c_ms += c->dt_ms < s->config.dt_max_ms ? c->dt_ms\n"
     "						   : s->config.dt_max_ms;\n"
     "	s->wall_ms = c->wall_ms;\n"
     "	for (uint32_t i = 0; i < c->renewal_count; i++)\n"
     "		renew(f, &c->renewals[i]);\n",
     "	for (uint32_t i = 0; i < c->renewal_count; i++)\n"
     "		renew(f, &c->renewals[i]);\n"
     "	s->c_ms += c->dt_ms < s->config.dt_max_ms ? c->dt_ms\n"
     "						   : s->config.dt_max_ms;\n"
     "	s->wall_ms = c->wall_ms;\n"))
r05("no_clamp", "R4", "lease.c",
    ("s->c_ms += c->dt_ms < s->config.dt_max_ms ? c->dt_ms\n"
     "						   : s->config.dt_max_ms;",
     "s->c_ms += c->dt_ms;"))
r05("without_k", "R2", "lease.c", define("without_k"))
r05("renew_any", "R7", "lease.c", define("renew_any"))
r05("ttl_one_short", "R2 E", "lease.c",
    ("		crn->exp_ms = s->c_ms + s->config.ttl_s_ms; /* R2 */",
     "		crn->exp_ms = s->c_ms + s->config.ttl_s_ms - 1;"))
r05("ttl_one_long", "R2 E", "lease.c",
    ("		crn->exp_ms = s->c_ms + s->config.ttl_s_ms; /* R2 */",
     "		crn->exp_ms = s->c_ms + s->config.ttl_s_ms + 1;"))
r05("ttl_a_for_ttl_s", "R2 E", "lease.c",
    ("		crn->exp_ms = s->c_ms + s->config.ttl_s_ms; /* R2 */",
     "		crn->exp_ms = s->c_ms + s->config.ttl_a_ms;"))
r05("renewal_of_any_gen", "2.6", "lease.c",
    ("if (r->gen != s->gen || slot == SLOT_NONE)", "if (slot == SLOT_NONE)"))
r05("seq_falls", "E", "lease.c",
    ("	if (crn->seq_seen < r->seq)\n", ""))
r05("seq_goes_on", "E", "lease.c", ("	crn->seq_seen = 0;\n", ""))
script("config", "renewal_moves_back", "R2 E", "lease.c",
       ("	if (crn->exp_ms < s->c_ms + s->config.ttl_s_ms)\n", ""))


# --- R7: Expire
def r07(*args, **more):
    script("r07_expire", *args, **more)


r07("not_due", "R7 W8", "lease.c", define("not_due"))
r07("due_one_early", "R7 E", "lease.c",
    ("if (s->c_ms < crn->exp_ms) /* R7 */",
     "if (s->c_ms + 1 < crn->exp_ms)"))
r07("due_one_late", "R7 E", "lease.c",
    ("if (s->c_ms < crn->exp_ms) /* R7 */", "if (s->c_ms <= crn->exp_ms)"))
r07("expire_any_session", "R7", "lease.c",
    ("if (!crn->alive || crn->session != c->session) /* R7 */",
     "if (!crn->alive)"))
r07("expire_twice", "R7", "lease.c",
    ("if (!crn->alive || crn->session != c->session) /* R7 */",
     "if (crn->session != c->session)"))
r07("dead_renewed", "R7", "lease.c",
    ("	if (!crn->alive || crn->session != r->session)\n		return;\n"
     "	if (crn->exp_ms", "	if (crn->session != r->session)\n		return;\n"
     "	if (crn->exp_ms"))
r07("stays_alive", "R7", "lease.c",
    ("	crn->alive = false;\n	crn->established = false;\n"
     "	fsm__touch_desired", "	crn->established = false;\n"
     "	fsm__touch_desired"))
r07("stays_established", "R7", "lease.c",
    ("	crn->alive = false;\n	crn->established = false;\n"
     "	fsm__touch_desired", "	crn->alive = false;\n"
     "	fsm__touch_desired"))
r07("expiry_frees_nothing", "R7 R16", "lease.c",
    ("		if (!p->hold) /* R23: the epoch's guarantee, not the "
     "program's */", "		if (0)"))
r07("due_list_late", "R7 E", "read.c",
    ("s->c_ms >= c->exp_ms)", "s->c_ms > c->exp_ms)"))
r07("due_list_early", "R7 E", "read.c",
    ("s->c_ms >= c->exp_ms)", "1)"))
r07("due_list_of_dead", "R7 E", "read.c",
    ("if (c->used && c->alive && s->c_ms", "if (c->used && s->c_ms"))


# --- R8: Assign, its tests one by one
def r08(*args, **more):
    script("r08_assign", *args, **more)


r08("assign_silent_before_ack", "R8", "fits.c",
    ("if (!c->alive || !c->established || !c->reported)",
     "if (!c->alive || !c->reported)"))
r08("assign_without_report", "R8 2.6", "fits.c",
    ("if (!c->alive || !c->established || !c->reported)",
     "if (!c->alive || !c->established)"))
r08("assign_to_the_dead", "R8", "fits.c",
    ("if (!c->alive || !c->established || !c->reported)",
     "if (!c->established || !c->reported)"),
    redundant="`established` falls with `alive` (silence, begin_survey, "
    "Register) and rises for the alive only; fsm_check demands it")
r08("report_of_last_session", "R8 2.6", "lease.c",
    ("	crn->reported = false;\n", ""))
r08("established_at_register", "R8", "lease.c",
    ("	crn->established = false;\n	crn->reported",
     "	crn->established = true;\n	crn->reported"))
r08("established_by_any_beat", "R8", "lease.c",
    ("if (r->got_ack && !crn->established) { /* R8 */",
     "if (!crn->established) {"))
r08("established_never", "R8 E", "lease.c",
    ("		crn->established = true;\n", ""))
r08("assign_any_session", "R8", "move.c",
    ("	if (s->crns[crn].session != c->session) /* R8 */\n"
     "		return FSM_REFUSED_SESSION;\n", ""))
r08("assign_not_free", "R8", "fits.c",
    ("	if (p->state != PROGRAM_FREE) /* R8 */\n"
     "		return FSM_REFUSED_NOT_FREE;\n", ""))
r08("assign_unlinked", "R22", "fits.c",
    ("	if (!c->linked) /* R22 */\n		return FSM_REFUSED_STATE;\n", ""))
r08("assign_vcpus", "R8", "fits.c",
    ("	       c->vcpus_used + use->vcpus + p->vcpus <= c->vcpus &&\n", ""))
r08("assign_vcpus_used", "R8 E", "fits.c",
    ("c->vcpus_used + use->vcpus + p->vcpus <= c->vcpus",
     "p->vcpus <= c->vcpus"))
r08("assign_memory", "R8", "fits.c",
    ("	       p->memory_mib <= c->memory_mib &&\n", ""))
r08("assign_disk", "R8", "fits.c",
    ("	       p->disk_mib <= c->disk_mib &&\n", ""))
r08("assign_tokens", "R8", "fits.c",
    ("	if (!tokens_offered(s, p, c, token))\n"
     "		return FSM_REFUSED_TOKENS;\n", ""))
r08("assign_pin", "R8", "fits.c",
    ("if (p->has_node_pin && !fsm__hash_is(s, p->node_pin, &c->hash))",
     "if (0)"))
r08("assign_unknown_crn", "R8 E", "move.c",
    ("	if (crn == SLOT_NONE)\n		return FSM_REFUSED_UNKNOWN_CRN;\n",
     "	if (crn == SLOT_NONE)\n		return FSM_OK;\n"))
r08("report_of_any_session", "R8", "crn.c",
    ("if (!crn->alive || crn->session != c->session)",
     "if (!crn->alive)"))
r08("report_of_the_dead", "R8", "crn.c",
    ("if (!crn->alive || crn->session != c->session)",
     "if (crn->session != c->session)"))
r08("sums_overflow", "E", "lineage.c",
    ("hash_is_zero(&c->program) || c->vcpus > VCPUS_MAX ||",
     "hash_is_zero(&c->program) ||"))
script("a_life", "epoch_not_the_stamp", "R8 R19", "move.c",
       ("	p->epoch = f->stamp; /* R8: the fencing token (R19) */\n",
        "	p->epoch = f->stamp - 1;\n"))
script("a_life", "epoch_without_gen", "R19 2.6", "move.c",
       ("	p->gen = s->gen;\n", ""))
script("a_life", "assign_tells_no_session", "R8 E", "move.c",
       ("	p->session = c->session;\n", "	p->session = p->epoch;\n"))


# --- R15: Register
def r15(*args, **more):
    script("r15_register", *args, **more)


r15("prev", "R15 W5", "lease.c", define("prev"))
r15("boot", "R15 W7", "lease.c", define("boot"))
r15("boot_of_the_dead", "R15 E", "lease.c",
    ("if (crn->alive && !hash_equal(&c->boot, &crn->boot)) /* R15 */",
     "if (!hash_equal(&c->boot, &crn->boot))"))
r15("nonce_twice", "R15 W6 W5", "lease.c",
    ("	if (memcmp(c->nonce, crn->nonce, sizeof none) == 0)\n"
     "		return crn->alive ? FSM_DUPLICATE : FSM_REFUSED_PREV;\n", ""))
r15("nonce_revives", "R15 W6", "lease.c",
    ("return crn->alive ? FSM_DUPLICATE : FSM_REFUSED_PREV;",
     "return FSM_DUPLICATE;"))
r15("nonce_not_kept", "R15 W6", "lease.c",
    ("	memcpy(crn->nonce, c->nonce, sizeof crn->nonce);\n", ""))
r15("boot_not_kept", "R15 W7", "lease.c", ("	crn->boot = c->boot;\n", ""))
r15("nonce_zero", "R15", "lease.c",
    ("	if (memcmp(c->nonce, none, sizeof none) == 0 ||\n"
     "	    hash_is_zero(&c->boot)", "	if (hash_is_zero(&c->boot)"))
r15("boot_zero", "R15", "lease.c",
    ("	    hash_is_zero(&c->boot) || hash_is_zero(&c->host))",
     "	    hash_is_zero(&c->host))"))
r15("host_zero", "R15 R23", "lease.c",
    ("	    hash_is_zero(&c->boot) || hash_is_zero(&c->host))",
     "	    hash_is_zero(&c->boot))"))
r15("register_any_gen", "R15 2.6", "lease.c",
    ("	if (c->gen != s->gen)\n		return FSM_REFUSED_GEN;\n"
     "	if (slot == SLOT_NONE)\n		return FSM_REFUSED_UNKNOWN_CRN;\n"
     "	if (memcmp", "	if (slot == SLOT_NONE)\n"
     "		return FSM_REFUSED_UNKNOWN_CRN;\n	if (memcmp"))
r15("register_keeps_programs", "R15 R16 W5", "lease.c",
    ("	settle_programs(f, slot, c);\n", ""))
r15("register_keeps_exclusive", "R15 R23", "lease.c",
    ("fsm__release(f, i, fsm__text(\"the CRN registered anew\"));",
     "p->session = f->stamp;"))
r15("register_without_lease", "R15 R2", "lease.c",
    ("	crn->exp_ms = s->c_ms + s->config.ttl_s_ms;\n	crn->sticky",
     "	crn->sticky"))
r15("register_not_alive", "R15", "lease.c",
    ("	crn->alive = true;\n", ""))
r15("register_ttl_one_short", "R15 R2 E", "lease.c",
    ("	crn->exp_ms = s->c_ms + s->config.ttl_s_ms;\n	crn->sticky",
     "	crn->exp_ms = s->c_ms + s->config.ttl_s_ms - 1;\n	crn->sticky"))
r15("register_stays_established", "R15 R8", "lease.c",
    ("	crn->established = false;\n	crn->reported", "	crn->reported"))
r15("duplicate_names_itself", "R15", "apply.c",
    ("if (c->type == FSM_REGISTER && result->refusal == FSM_DUPLICATE)",
     "if (0)"))
r15("boots_alternate", "2.6", "lease.c", ("	if (alternate)\n", "	if (0)\n"))
r15("boot_before_not_kept", "2.6", "lease.c",
    ("		crn->boot_before = crn->boot;\n", "		;\n"))
r15("boots_alternate_or_stay", "2.6", "lease.c",
    ("			 !hash_equal(&c->boot, &crn->boot);\n", "			 1;\n"),
    redundant="boot_before is the boot before the last change, so it is never "
    "equal to the boot of now, but both zero, which no Register is")
script("a_life", "session_not_the_stamp", "R15", "lease.c",
       ("	crn->session = f->stamp;\n", "	crn->session++;\n"))


# --- R14, R16: what frees a program
def r16(*args, **more):
    script("r16_revoke", *args, **more)


r16("unconfirmed", "R16", "lease.c", define("unconfirmed"))
r16("confirmed_early", "R14 R16", "lease.c",
    ("		if (p->state == PROGRAM_REVOKING && p->session == r->session &&\n"
     "		    r->applied >= p->v_rev)",
     "		if (p->state == PROGRAM_REVOKING && p->session == r->session)"))
r16("confirmed_one_early", "R16 E", "lease.c",
    ("r->applied >= p->v_rev)", "r->applied + 1 >= p->v_rev)"))
r16("confirmed_one_late", "R16 E", "lease.c",
    ("r->applied >= p->v_rev)", "r->applied > p->v_rev)"))
r16("confirmed_frees_all", "R16", "lease.c",
    ("		if (p->state == PROGRAM_REVOKING && p->session == r->session &&",
     "		if (p->session == r->session &&"))
r16("revoke_frees", "R16", "move.c",
    ("	fsm__revoke(f, program, c->reason);\n	return FSM_OK;",
     "	fsm__revoke(f, program, c->reason);\n"
     "	fsm__release(f, program, c->reason);\n	return FSM_OK;"))
r16("revoke_twice", "R16 E", "move.c",
    ("	if (p->state != PROGRAM_ASSIGNED)\n		return FSM_REFUSED_STATE;\n",
     "	if (p->state != PROGRAM_ASSIGNED)\n		return FSM_OK;\n"))
r16("revoke_of_the_unknown", "E", "move.c",
    ("	if (program == SLOT_NONE)\n		return FSM_REFUSED_UNKNOWN_PROGRAM;\n"
     "	p = &s->programs[program];\n	if",
     "	if (program == SLOT_NONE)\n		return FSM_OK;\n"
     "	p = &s->programs[program];\n	if"))
r16("v_rev_not_the_stamp", "R16 E", "move.c",
    ("	p->v_rev = f->stamp;\n", "	p->v_rev = p->epoch;\n"))
r16("revoking_desired", "R16", "read.c",
    ("		if (p->state != PROGRAM_ASSIGNED ||\n"
     "		    p->session != s->crns[crn].session)",
     "		if (p->session != s->crns[crn].session)"))
script("r23_register", "confirmed_in_crns_session", "R23 R16", "lease.c",
       ("p->session == r->session &&\n		    r->applied",
        "1 &&\n		    r->applied"))


def fence(*args, **more):
    script("r16_fence_confirm", *args, **more)


fence("confirm_all", "R16 R23", "lease.c", define("confirm_all"))
fence("confirm_any_gen", "R16 2.6", "lease.c",
      ("	if (c->gen != s->gen)\n		return FSM_REFUSED_GEN;\n"
       "	if (slot == SLOT_NONE)\n		return FSM_REFUSED_UNKNOWN_CRN;\n"
       "	any", "	if (slot == SLOT_NONE)\n"
       "		return FSM_REFUSED_UNKNOWN_CRN;\n	any"))
fence("confirm_any_session", "R16", "lease.c",
      ("	if (!any)\n		return FSM_REFUSED_SESSION;\n", ""))
fence("confirm_silences_any", "R16 R23", "lease.c",
      ("	if (s->crns[slot].session == c->session)\n		silence(f, slot);",
       "	silence(f, slot);"))
fence("confirm_leaves_alive", "R16", "lease.c",
      ("	if (s->crns[slot].session == c->session)\n		silence(f, slot);\n",
       ""))
fence("confirm_no_orphan", "R16 R23", "lease.c",
      ("		any = any || s->programs[i].session == c->session;\n", "		;\n"))


# --- 2.6: the numbers
def config(*args, **more):
    script("config", *args, **more)


config("config_lowered", "R2 2.6", "config.c", define("config_lowered"))
config("formula_without_k", "R2", "config.c",
       ("million - rho) + c->k_ms;", "million - rho);"))
config("formula_without_rho", "R2", "config.c",
       ("divide_up(sum * (million + rho), million)", "sum"))
config("formula_agent_without_rho", "R2", "config.c",
       ("divide_up(c->ttl_a_ms * million, million - rho)", "c->ttl_a_ms"))
config("formula_rounds_down", "R2 E", "config.c",
       ("return (a + b - 1) / b;", "return a / b;"))
config("formula_without_q", "R2 E", "config.c",
       (" + QUANTISATION_MS;", ";"))
config("formula_one_short", "R2 E", "config.c",
       ("return c->ttl_s_ms >= sum;", "return c->ttl_s_ms + 1 >= sum;"))
config("formula_strict", "R2 E", "config.c",
       ("return c->ttl_s_ms >= sum;", "return c->ttl_s_ms > sum;"))
config("heartbeat_any", "2.6", "config.c",
       (" && c->heartbeat_ms < c->ttl_a_ms &&", " &&"))
config("rho_any", "2.6", "config.c",
       ("c->rho_ppm <= RHO_PPM_MAX && ", ""))
config("dt_max_zero", "2.6", "config.c", ("c->dt_max_ms > 0 && ", ""))
config("k_rises_alone", "2.6", "config.c",
       ("	if (c->k_ms > s->config.k_ms && c->ttl_s_ms <= "
        "s->config.ttl_s_ms)\n		return false;\n", ""))
config("k_rises_with_equal", "2.6 E", "config.c",
       ("c->ttl_s_ms <= s->config.ttl_s_ms)",
        "c->ttl_s_ms < s->config.ttl_s_ms)"))
config("k_below_the_alive", "2.6", "config.c",
       ("		    crn->k_ms > c->k_ms)\n			return false;",
        "		    crn->k_ms > c->k_ms)\n			continue;"))
config("k_below_the_dead", "2.6 E", "config.c",
       ("if (crn->used && crn->alive && crn->class == CRN_FENCED &&",
        "if (crn->used && crn->class == CRN_FENCED &&"))
config("acks_of_older_beats", "R2 2.6", "config.c",
       ("			crn->exp_ms = s->c_ms + floor_ms;\n", "			;\n"))
config("config_shortens", "R2 2.6", "config.c",
       ("		if (crn->used && crn->alive &&\n"
        "		    crn->exp_ms < s->c_ms + floor_ms)",
        "		if (crn->used && crn->alive)"))
config("quarantine_of_now", "R17", "config.c",
       ("	if (c->ttl_s_ms > s->ttl_s_max_ms)\n", ""))
config("any_k", "2.6", "lease.c",
       ("	if (c->k_ms > s->config.k_ms)\n		return FSM_REFUSED_K;\n", ""))
config("crns_unbounded", "E", "crn.c",
       ("		if (s->crn_count >= s->config.crns_max)\n"
        "			return FSM_REFUSED_FULL;\n", ""))
config("programs_unbounded", "E", "lineage.c",
       ("	if (s->program_count >= s->config.programs_max)\n"
        "		return FSM_REFUSED_FULL;\n", ""))


# --- 2.6, R22: classes
def klass(*args, **more):
    script("r15_class", *args, **more)


klass("k_one_above", "2.6 E", "lease.c",
      ("if (c->k_ms > s->config.k_ms)", "if (c->k_ms > s->config.k_ms + 1)"))
klass("no_watchdog", "2.6 R9", "lease.c",
      ("if (c->watchdog == WATCHDOG_NONE && !s->config.watchdog_none_ok)",
       "if (0)"))
klass("no_watchdog_never", "2.6 E", "lease.c",
      ("if (c->watchdog == WATCHDOG_NONE && !s->config.watchdog_none_ok)",
       "if (c->watchdog == WATCHDOG_NONE)"))
klass("class_of_the_alive", "R22", "lease.c",
      ("(crn->alive || crn->program_count > 0 || !crn->surveyed))",
       "(crn->program_count > 0 || !crn->surveyed))"))
klass("class_of_the_holding", "R22 R23", "lease.c",
      ("(crn->alive || crn->program_count > 0 || !crn->surveyed))",
       "(crn->alive || !crn->surveyed))"))
klass("class_not_told", "R22 E", "lease.c",
      ("	crn->class = (uint8_t)admission->class;\n", ""))
klass("unfenced_gets_any", "2.6", "fits.c",
      ("	if (c->class == CRN_UNFENCED && !s->config.unfenced_hold_ok)\n"
       "		return FSM_REFUSED_CLASS;\n", ""))
klass("unfenced_not_held", "R23", "move.c",
      ("	p->hold = p->guarantee == GUARANTEE_HOLD ||\n"
       "		  s->crns[crn].class == CRN_UNFENCED;",
       "	p->hold = p->guarantee == GUARANTEE_HOLD;"))
script("r17_survey_rows", "class_of_the_unsurveyed", "R22 R17", "lease.c",
       ("(crn->alive || crn->program_count > 0 || !crn->surveyed))",
        "(crn->alive || crn->program_count > 0))"))


# --- R22: removal
def r22(*args, **more):
    script("r22_removal", *args, **more)


r22("remove_alive", "R22", "crn.c",
    ("return !crn->alive && crn->program_count == 0 && crn->surveyed;",
     "return crn->program_count == 0 && crn->surveyed;"))
r22("remove_holding", "R22 R23", "crn.c",
    ("return !crn->alive && crn->program_count == 0 && crn->surveyed;",
     "return !crn->alive && crn->surveyed;"))
r22("remove_unsurveyed", "R22 R17", "crn.c",
    ("return !crn->alive && crn->program_count == 0 && crn->surveyed;",
     "return !crn->alive && crn->program_count == 0;"))
r22("unlinked_not_told", "R22 E", "crn.c", ("	crn->linked = c->linked;\n", ""))
script("r22_slots", "exclusions_stay_with_the_slot", "R22 R24", "state.c",
       ("		fsm__exclusion_drop(s, p, slot);\n", ""))
script("r22_slots", "last_crn_stays_with_the_slot", "R22 R20", "state.c",
       ("		if (p->last_crn == slot)\n"
        "			p->last_crn = SLOT_NONE;\n", ""))


# --- R23: holds
def hold(*args, **more):
    script("r23_hold", *args, **more)


hold("hold_expires", "R23", "lease.c", define("hold_expires"))
hold("hold_of_the_program", "R23", "lease.c",
     ("		if (!p->hold) /* R23: the epoch's guarantee, not the "
      "program's */", "		if (p->guarantee != GUARANTEE_HOLD)"))
hold("orphan_expires_again", "R23", "lease.c",
     ("		if (p->session != c->session)\n			continue;\n", ""))
hold("revoking_forgotten", "R23", "lease.c",
     ("			p->session = f->stamp;\n			fsm__touch_program",
      "			p->session = f->stamp;\n"
      "			if (p->state == PROGRAM_REVOKING) {\n"
      "				p->v_rev = 0;\n"
      "				fsm__set_state(s, i, PROGRAM_ASSIGNED);\n"
      "			}\n			fsm__touch_program"))
hold("v_rev_of_adoption", "R23", "lease.c",
     ("			p->session = f->stamp;\n			fsm__touch_program",
      "			p->session = f->stamp;\n"
      "			if (p->state == PROGRAM_REVOKING)\n"
      "				p->v_rev = f->stamp;\n			fsm__touch_program"))
hold("hold_outlives_release", "R23", "move.c",
     ("	p->hold = false;\n	p->lost = false;\n	fsm__set_state(s, program, lost",
      "	p->lost = false;\n	fsm__set_state(s, program, lost"))
hold("another_boot_proves", "R23", "lease.c",
     ("	mark_held(f, slot, c, true);\n",
      "	if (hash_equal(&c->boot, &s->crns[slot].boot))\n"
      "		mark_held(f, slot, c, true);\n"))
script("updates", "hold_at_once", "R23", "lineage.c",
       ("	p->guarantee = (uint8_t)c->guarantee;\n",
        "	p->guarantee = (uint8_t)c->guarantee;\n"
        "	p->hold = p->state == PROGRAM_ASSIGNED &&\n"
        "		  c->guarantee == GUARANTEE_HOLD;\n"))


def settle(*args, **more):
    script("r23_register", *args, **more)


settle("other_host", "R23", "lease.c", define("other_host"))
settle("other_host_after", "R23", "lease.c",
       ("	mark_held(f, slot, c, true);\n",
        "	s->crns[slot].host = c->host;\n	mark_held(f, slot, c, true);\n"),
       redundant="each program remembers its own host (prog.host): that of the "
       "CRN is not asked when programs are settled")
settle("host_not_copied", "R23", "move.c",
       ("	fsm__hash_set(s, &p->host, &s->crns[crn].host);\n", ""))
settle("held_any_epoch", "R23", "lease.c",
       ("		if (p->crn != slot || !p->hold || p->gen != row->gen ||\n"
        "		    p->epoch != row->epoch)\n",
        "		if (p->crn != slot || !p->hold || p->gen != row->gen)\n"))
settle("held_any_gen", "R23 2.6", "lease.c",
       ("		if (p->crn != slot || !p->hold || p->gen != row->gen ||\n",
        "		if (p->crn != slot || !p->hold ||\n"))
settle("held_exclusive", "R23", "lease.c",
       ("		if (p->crn != slot || !p->hold || p->gen",
        "		if (p->crn != slot || p->gen"))
settle("held_elsewhere", "R23", "lease.c",
       ("		if (p->crn != slot || !p->hold || p->gen",
        "		if (!p->hold || p->gen"),
       redundant="only programs in the list of this CRN are settled, so a mark "
       "on another's is never looked at; it is taken off again in the same "
       "command by the same test, for nothing of that program changes meanwhile")
settle("exclusive_of_another_host", "R23", "lease.c",
       ("		if (!p->hold) {\n			fsm__release(f, i, fsm__text(\"the CRN "
        "registered anew\"));",
        "		if (!p->hold && fsm__hash_is(s, p->host, &c->host)) {\n"
        "			fsm__release(f, i, fsm__text(\"the CRN registered "
        "anew\"));"))
settle("held_not_believed", "R23", "lease.c",
       ("		} else if (p->mark) {", "		} else if (0) {"))
settle("held_always_kept", "R23", "lease.c",
       ("		} else if (p->mark) {", "		} else if (1) {"))
settle("kept_keeps_session", "R23", "lease.c",
       ("			p->session = f->stamp;\n			fsm__touch_program",
        "			fsm__touch_program"))
settle("kept_is_all", "R23", "read.c",
       ("		if (s->programs[i].session != s->crns[crn].session)\n"
        "			continue;\n", ""))
settle("orphan_desired", "R23", "read.c",
       ("		if (p->state != PROGRAM_ASSIGNED ||\n"
        "		    p->session != s->crns[crn].session)",
        "		if (p->state != PROGRAM_ASSIGNED)"))
settle("crn_host_not_set", "R23", "lease.c", ("	crn->host = c->host;\n", ""))


# --- R17: generations, surveys, restores
def r17(*args, **more):
    script("r17_restore", *args, **more)


r17("restore_frees", "R17 W10", "survey.c",
    ("fsm__set_state(s, slot, exempt ? PROGRAM_FREE : PROGRAM_LOST);",
     "fsm__set_state(s, slot, PROGRAM_FREE);"))
r17("no_quarantine", "R17 W10", "fits.c",
    ("	if (s->c_ms < s->quar_until_ms) /* R17 */\n"
     "		return FSM_REFUSED_QUARANTINE;\n", ""))
r17("quarantine_one_short", "R17 E", "survey.c",
    ("s->quar_until_ms = s->c_ms + s->ttl_s_max_ms;",
     "s->quar_until_ms = s->c_ms + s->ttl_s_max_ms - 1;"))
r17("quarantine_one_long", "R17 E", "survey.c",
    ("s->quar_until_ms = s->c_ms + s->ttl_s_max_ms;",
     "s->quar_until_ms = s->c_ms + s->ttl_s_max_ms + 1;"))
r17("sessions_survive", "R17", "survey.c",
    ("	crn->alive = crn->established = false;\n", ""))
r17("gen_stays", "R17 2.6", "survey.c", ("	s->gen = c->gen;\n", ""))
r17("any_new_gen", "R17 2.6", "survey.c",
    ("	if (c->gen != s->gen + 1)\n		return FSM_REFUSED_GEN;\n", ""))
r17("no_survey", "R17 W10", "survey.c",
    ("		crn->surveyed = false;\n", ""))
r17("born_free", "R17", "lineage.c",
    ("	return s->unsurveyed_count > 0 &&\n	       !(s->no_holds",
     "	return 0 &&\n	       !(s->no_holds"))
r17("epoch_of_now", "R17 R19", "survey.c",
    ("	p->epoch = row->epoch;\n", "	p->epoch = f->stamp;\n"))
r17("gen_of_now", "R17 R19 2.6", "survey.c",
    ("	p->gen = row->gen;\n", "	p->gen = s->gen;\n"))
r17("adopted_not_held", "R17 R23", "survey.c",
    ("	p->session = f->stamp;\n	p->hold = true;\n",
     "	p->session = f->stamp;\n"))
r17("survey_never_ends", "R17 E", "survey.c",
    ("	if (s->unsurveyed_count > 0)\n		return;\n", "	return;\n"))
r17("adopted_in_no_session", "R17 R23", "survey.c",
    ("	p->session = f->stamp;\n	p->hold = true;\n",
     "	p->session = s->crns[crn].survey_session;\n	p->hold = true;\n"))
script("r17_twice", "first_host_forgotten", "R17", "survey.c",
       ("	if (crn->surveyed) { /* else: kept as it was */\n",
        "	if (!crn->surveyed)\n		crn->survey_host = crn->host;\n"
        "	if (crn->surveyed) {\n"))


def rows(*args, **more):
    script("r17_survey_rows", *args, **more)


def survey(*args, **more):
    script("r17_survey", *args, **more)


survey("survey_of_any_host", "R17", "lease.c",
       ("!hash_is_zero(&crn->survey_host) &&\n"
        "	    hash_equal(&c->host, &crn->survey_host)) {",
        "!hash_is_zero(&crn->survey_host)) {"))
survey("survey_of_the_host_just_set", "R17", "lease.c",
       ("	    hash_equal(&c->host, &crn->survey_host)) {",
        "	    hash_equal(&c->host, &crn->host)) {"))
survey("survey_by_any_register", "R17", "lease.c",
       ("!hash_is_zero(&crn->survey_host) &&\n"
        "	    hash_equal(&c->host, &crn->survey_host)) {", "1) {"))
survey("survey_with_unknown_rows", "R17", "lease.c",
       ("if (!crn->surveyed && left == 0 &&", "if (!crn->surveyed &&"))
survey("survey_counted_twice", "R17 E", "lease.c",
       ("if (!crn->surveyed && left == 0 &&", "if (left == 0 &&"))
survey("survey_of_no_host", "R17", "lease.c",
       ("left == 0 && !hash_is_zero(&crn->survey_host) &&\n", "left == 0 &&\n"),
       redundant="a Register with host zero is refused as malformed, so it "
       "equals no survey_host that is zero; kept as defence in depth")
survey("unknown_row_adopted", "R17 R23", "survey.c",
       ("		if (!row->running) {\n			left++;\n			continue;\n		}\n",
        ""))
survey("confirm_without_attestation", "R17", "lease.c",
       ("	any = any || (!s->crns[slot].surveyed && c->all_machines &&\n",
        "	any = any || (!s->crns[slot].surveyed &&\n"))
survey("survey_by_hand_without_attestation", "R17", "lease.c",
       ("	if (crn->surveyed || !c->all_machines ||\n",
        "	if (crn->surveyed ||\n"))
rows("survey_by_hand_of_any_session", "R17", "lease.c",
       ("	if (crn->surveyed || !c->all_machines ||\n"
        "	    c->session != crn->survey_session)",
        "	if (crn->surveyed || !c->all_machines)"))
survey("attested_session_any", "R17", "lease.c",
       ("c->all_machines &&\n		      s->crns[slot].survey_session == c->session);",
        "c->all_machines);"))
survey("attested_when_surveyed", "R17", "lease.c",
       ("	any = any || (!s->crns[slot].surveyed && c->all_machines &&\n",
        "	any = any || (c->all_machines &&\n"))
survey("surveyed_by_hand_twice", "R17 E", "lease.c",
       ("	if (crn->surveyed || !c->all_machines ||\n",
        "	if (!c->all_machines ||\n"))
survey("universe_ignored", "R17", "survey.c",
       ("		add_universe(f, &c->universe[i]);\n", "		;\n"))
survey("universe_surveyed", "R17", "survey.c",
       ("		    fsm__text(\"named at the restore\"));\n	begin_survey(f, slot);\n",
        "		    fsm__text(\"named at the restore\"));\n"))


rows("rows_without_restore", "R17 R23", "survey.c",
     ("		return !s->crns[crn].surveyed;\n	p = ", "		return true;\n	p = "))
rows("two_of_a_lineage", "R17 R21", "survey.c",
     ("may_run = fsm__wanted(p) && !lineage_busy(s, slot) &&",
      "may_run = fsm__wanted(p) &&"))
rows("superseded_runs_on", "R17 R21", "survey.c",
     ("may_run = fsm__wanted(p) && !lineage_busy(s, slot) &&",
      "may_run = !lineage_busy(s, slot) &&"))
rows("waiting_lineage", "R17 R21", "survey.c",
     ("	if (p->waiting && !hash_is_zero(&row->lineage))\n", "	if (0)\n"))
rows("forgotten_lost_reaped", "R17 R21", "lineage.c",
     ("	if (!p->forgotten || p->state != PROGRAM_FREE)\n		return;\n",
      "	if (!p->forgotten || p->state == PROGRAM_ASSIGNED ||\n"
      "	    p->state == PROGRAM_REVOKING)\n		return;\n"))
rows("orphan_taken_by_any", "R17", "survey.c",
     ("	return p->lost && epoch_higher(row, p);",
      "	return epoch_higher(row, p);"))
script("r17_facts", "unknown_program_dropped", "R17", "survey.c",
       ("	if (slot == SLOT_NONE)\n		return !s->crns[crn].surveyed;",
        "	if (slot == SLOT_NONE)\n		return false;"))
script("r17_facts", "unknown_program_wanted", "R17 R21", "survey.c",
       ("	s->programs[slot].forgotten = s->programs[slot].superseded = true;\n",
        "	s->programs[slot].persistent = true;\n"))
script("r17_facts", "unknown_lineage", "R17 R21", "survey.c",
       ("hash_is_zero(&row->lineage) ? row->program\n"
        "							  : row->lineage;",
        "row->program;"))
script("r17_lower_epoch", "lower_epoch_moves", "R17 R19", "survey.c",
       ("	return p->lost && epoch_higher(row, p);", "	return p->lost;"))
script("r17_lower_epoch", "row_of_the_future", "R17 2.6", "survey.c",
       ("row->gen > s->gen ||", ""))
script("r17_lower_epoch", "row_of_no_gen", "R17 2.6", "survey.c",
       ("if (row->gen == 0 || row->gen", "if (row->gen"))
script("r17_lower_epoch", "row_of_no_epoch", "R17", "survey.c",
       (" || row->epoch == 0)", ")"))
script("r17_generations", "epochs_without_gen", "R17 R19 2.6", "survey.c",
       ("return row->gen != p->gen ? row->gen > p->gen : row->epoch > p->epoch;",
        "return row->epoch > p->epoch;"))
script("r17_orphans", "orphan_lost_not_told", "R17 R23", "survey.c",
       ("			s->programs[i].lost = true;\n", "			;\n"))
script("r17_orphans", "orphan_forgotten", "R17 R23", "survey.c",
       ("		if (is_orphan(s, &s->programs[i]))", "		if (0)"))
script("r17_orphans", "orphan_stays_lost", "R17", "survey.c",
       ("	p->hold = true;\n	p->lost = false;\n", "	p->hold = true;\n"))
script("r17_orphan_freed", "orphan_freed_in_survey", "R17 R23", "move.c",
       ("	bool lost = p->lost && s->unsurveyed_count > 0;",
        "	bool lost = false;"))
script("r17_orphans", "all_lost_in_survey", "R17 E", "move.c",
       ("	bool lost = p->lost && s->unsurveyed_count > 0;",
        "	bool lost = s->unsurveyed_count > 0;"))
script("r17_orphan_freed", "lost_after_survey", "R17", "move.c",
       ("	bool lost = p->lost && s->unsurveyed_count > 0;",
        "	bool lost = p->lost;"),
       redundant="the end of a survey takes `lost` off every program "
       "(survey.c), so nothing is lost while every CRN is surveyed; "
       "fsm_check demands it")
script("r17_no_holds", "no_holds_for_all", "R17 R23", "survey.c",
       ("s->no_holds && !p->hold && p->state != PROGRAM_LOST &&\n"
        "		      p->guarantee == GUARANTEE_EXCLUSIVE;",
        "s->no_holds;"))
script("r17_no_holds_twice", "no_holds_of_the_lost", "R17 R23", "survey.c",
       ("!p->hold && p->state != PROGRAM_LOST &&\n", "!p->hold &&\n"))
script("r17_no_holds", "no_holds_of_the_program", "R17 R23", "survey.c",
       ("s->no_holds && !p->hold && p->state", "s->no_holds && p->state"))
script("r17_no_holds", "no_holds_of_the_epoch", "R17 R23", "survey.c",
       ("p->state != PROGRAM_LOST &&\n"
        "		      p->guarantee == GUARANTEE_EXCLUSIVE;",
        "p->state != PROGRAM_LOST;"))
script("r17_no_holds", "no_holds_ignored", "R17 E", "survey.c",
       ("	s->no_holds = c->no_holds;\n", ""))
script("r17_no_holds", "no_holds_born", "R17", "lineage.c",
       ("!(s->no_holds && p->guarantee == GUARANTEE_EXCLUSIVE);",
        "!s->no_holds;"))
script("r21_forgotten_waits", "forgotten_wins", "R21", "lineage.c",
       ("		if (p->waiting && !p->forgotten &&\n", "		if (p->waiting &&\n"))
script("r21_waiting_runs", "running_leaves_its_lineage", "R21 R17", "lineage.c",
       ("if (s->programs[m].crn == SLOT_NONE && waits_for", "if (waits_for"))
script("r21_waiting_runs", "home_after_release", "R21 R17", "move.c",
       ("	fsm__lineage_home(s, program);\n", ""))
script("r21_waiting_runs", "home_after_restore", "R21 R17", "survey.c",
       ("	fsm__lineage_home(s, slot);\n", ""))


# --- R20, R24, R25: where it goes
def sticky(*args, **more):
    script("r20_sticky", *args, **more)


sticky("not_sticky", "R20", "lease.c",
       ("	crn->sticky_until_ms = s->c_ms + s->config.sticky_ms; /* R20 */\n",
        ""))
sticky("sticky_for_ever", "R20", "place.c",
       ("	return p->prefer_last || s->c_ms < s->crns[crn].sticky_until_ms;",
        "	return true;"))
sticky("waits_for_nobody", "R20", "place.c",
       ("	return c->alive && c->linked && s->c_ms < c->sticky_until_ms &&",
        "	return 0 && c->alive && c->linked &&"))
sticky("ready_is_not_waited_for", "R20 E", "place.c",
       ("	       (!c->established || !c->reported) &&\n", ""))


def failed(*args, **more):
    script("r24_failed_start", *args, **more)


failed("revoke_any_epoch", "R24", "move.c",
       ("	if (p->epoch != c->epoch)\n		return FSM_REFUSED_EPOCH;\n", ""))
failed("failed_not_excluded", "R24", "move.c",
       ("	if (c->cause == REVOKE_START_FAILED)\n", "	if (0)\n"))
failed("excluded_for_ever", "R24", "fits.c",
       ("	if (e && s->c_ms < e->until_ms) /* R24 */", "	if (e)"))
failed("exclusion_not_tested", "R24", "fits.c",
       ("	if (e && s->c_ms < e->until_ms) /* R24 */", "	if (0)"))
failed("failure_frees", "R24 R16", "move.c",
       ("		fsm__exclusion_add(s, program, p->crn, &c->reason);\n",
        "	{\n		fsm__exclusion_add(s, program, p->crn, &c->reason);\n"
        "		fsm__release(f, program, c->reason);\n"
        "		return FSM_OK;\n	}\n"))
failed("exclusion_forgets_others", "R24 E", "history.c",
       ("		.next = p->exclusion,\n", "		.next = ID_NONE,\n"))


def data(*args, **more):
    script("r25_data", *args, **more)


data("data_not_remembered", "R25", "move.c",
     ("	if (p->has_data) /* R25 */\n", "	if (0)\n"))
data("away_from_its_data", "R25", "fits.c",
     ("	if (p->has_data && p->data_crn != 0 && !p->move_without_data &&\n",
      "	if (0 &&\n"))
data("owner_not_asked", "R25", "fits.c",
     ("p->data_crn != 0 && !p->move_without_data &&\n	    !fsm__hash_is(s, "
      "p->data_crn, &c->hash))", "p->data_crn != 0 &&\n	    !fsm__hash_is(s, "
      "p->data_crn, &c->hash))"))
data("instance_without_data", "R25", "lineage.c",
     ("return c->has_data || c->kind == KIND_INSTANCE;",
      "return c->has_data;"))
data("data_not_preferred", "R25", "place.c",
     ("	int order = prefer_flag(a->data, b->data);", "	int order = 0;"))


# --- R21: lineages
def super_(*args, **more):
    script("r21_supersession", *args, **more)


super_("superseded_not_revoked", "R21", "lineage.c",
       ("	if (f->state.programs[slot].state == PROGRAM_ASSIGNED)\n"
        "		fsm__revoke(f, slot, reason);\n", ""))
super_("superseded_assigned", "R21", "fits.c",
       ("	if (p->superseded || p->waiting) /* R21 */", "	if (p->waiting)"))
super_("lineage_not_free", "R21", "fits.c",
       ("	if (!lineage_free(s, slot)) /* R21 */\n"
        "		return FSM_REFUSED_LINEAGE;\n", ""))
super_("lineage_only_assigned", "R21", "fits.c",
       ("		if (s->programs[m].state != PROGRAM_FREE)\n			return false;",
        "		if (s->programs[m].state == PROGRAM_ASSIGNED)\n			return false;"))
super_("last_sibling_wins", "R21", "lineage.c",
       ("if (s->programs[parent].loser || has_earlier_sibling(s, slot)) {",
        "if (s->programs[parent].loser) {"))
super_("descendant_of_a_loser", "R21", "lineage.c",
       ("if (s->programs[parent].loser || has_earlier_sibling(s, slot)) {",
        "if (has_earlier_sibling(s, slot)) {"))
super_("siblings_by_hash", "R21", "lineage.c",
       ("	if (a->time_ms != b->time_ms)\n		return a->time_ms < b->time_ms;\n",
        ""))
super_("siblings_without_hash", "R21", "lineage.c",
       ("	return hash_compare(&a->hash, &b->hash) < 0;\n", "	return false;\n"))
super_("losers_not_superseded", "R21", "lineage.c",
       ("		fsm__supersede(f, m, fsm__text(\"superseded\"));\n", "		;\n"))
super_("loser_not_marked", "R21", "lineage.c",
       ("		q->loser = q->loser || !q->mark;\n", ""))
super_("lineage_by_parent", "R21", "lineage.c",
       ("	*lineage = home_of(s, c->replaces);\n", ""))


def forget(*args, **more):
    script("r21_forget", *args, **more)


forget("forget_frees", "R21 R16", "lineage.c",
       ("	p->forgotten = p->superseded = true;\n	gone(f, slot, c->reason);\n",
        "	p->forgotten = p->superseded = true;\n	gone(f, slot, c->reason);\n"
        "	if (p->state == PROGRAM_REVOKING)\n"
        "		fsm__release(f, slot, c->reason);\n"))
forget("forgotten_root_goes", "R21", "lineage.c",
       ("p->state == PROGRAM_FREE && !root_needed(s, root))",
        "p->state == PROGRAM_FREE)"))
forget("forgotten_put_again", "R21", "lineage.c",
       ("	if (p->forgotten)\n		return FSM_REFUSED_STATE; /* it is on its way "
        "out */\n", ""))
forget("not_persistent_assigned", "R21 E", "fits.c",
       ("	if (!p->persistent)\n		return FSM_REFUSED_STATE;\n", ""))
forget("forgotten_is_replaced", "R21", "lineage.c",
       ("	if (slot == SLOT_NONE || s->programs[slot].forgotten)\n"
        "		return FSM_OK;\n	m =",
        "	if (slot == SLOT_NONE)\n		return FSM_OK;\n	m ="))


def waiting(*args, **more):
    script("r21_waiting", *args, **more)


waiting("waiting_assigned", "R21", "fits.c",
        ("	if (p->superseded || p->waiting) /* R21 */", "	if (p->superseded)"))
waiting("amends_the_not_amendable", "R21", "lineage.c",
        ("	if (!m->amendable)\n		return FSM_REFUSED_NOT_AMENDABLE;\n", ""))
waiting("amends_of_another_owner", "R21", "lineage.c",
        ("	if (!text_same(s, m->owner, &c->owner))\n"
         "		return FSM_REFUSED_OWNER;\n", ""))
waiting("waited_for_another_owner", "R21", "lineage.c",
        ("	if (!same_owner(parent, p))\n		return FSM_REFUSED_OWNER;\n", ""))
waiting("waiting_not_gathered", "R21", "lineage.c",
        ("		if (s->programs[m].waiting)\n"
         "			fsm__lineage_move(s, m, &lineage);\n", ""))
waiting("waiting_never_settled", "R21", "lineage.c",
        ("		settle_waiting(f, ready);\n", "		break;\n"))
waiting("replaces_itself", "R21", "lineage.c",
        (" ||\n				 hash_equal(&c->replaces, &c->program))) ||",
         ")) ||"))
waiting("a_circle_is_taken_along", "R21 E", "lineage.c",
        ("			return slot == ancestor;\n	}\n	return false;",
         "			return slot == ancestor;\n	}\n	return true;"))
script("r21_rings", "the_forgotten_leads_on", "R21", "lineage.c",
       ("		if (slot == SLOT_NONE || s->programs[slot].forgotten)\n"
        "			return name;",
        "		if (slot == SLOT_NONE)\n			return name;"))
super_("superseded_not_told", "R21 E", "lineage.c",
       ("	fsm__touch_program(f, slot);\n"
        "	fsm__pending_update(&f->state, slot);\n",
        "	fsm__pending_update(&f->state, slot);\n"))


def gaps(*args, **more):
    script("r21_gaps", *args, **more)


gaps("ancestor_that_went", "R21 E", "lineage.c",
     ("	while (slot != SLOT_NONE && steps++ <= 2 * LINEAGE_MAX) {",
      "	while (steps++ <= 2 * LINEAGE_MAX) {"))
gaps("circle_of_ancestors", "R21 E", "lineage.c",
     ("	while (slot != SLOT_NONE && steps++ <= 2 * LINEAGE_MAX) {",
      "	while (slot != SLOT_NONE) {"))
gaps("ancestors_forgiven", "R21", "lineage.c",
     ("q->loser = q->loser || !q->mark;", "q->loser = !q->mark;"))

script("changed", "a_newcomer_untold", "E", "lineage.c",
       ("	fsm__touch_program(f, slot);\n"
        "	fsm__effect(f, c->persistent ? EFFECT_PROGRAM_KNOWN\n",
        "	fsm__effect(f, c->persistent ? EFFECT_PROGRAM_KNOWN\n"))
script("subjects", "subject_not_told", "E", "apply.c",
       ("	case FSM_CRN_PUT:\n		return c->crn_put.crn;\n",
        "	case FSM_CRN_PUT:\n		return none;\n"))


# --- limits that no scenario of a few lines can reach
def limit(test, name, path, how):
    mutant("fsm_" + name, "E", "fsm/" + path, how, "fsm_limits " + test)


limit("a_crn_takes_so_many", "programs_of_a_crn", "fits.c",
      ("c->program_count + use->programs < FSM_CRN_PROGRAMS_MAX &&",
       "c->program_count + use->programs <= FSM_CRN_PROGRAMS_MAX &&"))
limit("tables_are_seeded_by_the_first_config", "tables_unseeded", "config.c",
      ("		s->hash_seed = fsm__mix(f->stamp, \"berth\", 5);\n", ""))
limit("a_lineage_is_bounded", "records_of_a_lineage", "lineage.c",
      ("	if (ring_size(s, &lineage) >= LINEAGE_MAX ||",
       "	if (ring_size(s, &lineage) > LINEAGE_MAX ||"))
limit("a_lineage_is_bounded", "records_that_wait", "lineage.c",
      ("	    ring_size(s, &c->program) >= LINEAGE_MAX)", "	    0)"))
limit("exclusions_are_bounded", "exclusions_unbounded", "history.c",
      ("		    count >= EXCLUSIONS_MAX - 1) {", "		    0) {"))
limit("exclusions_are_bounded", "exclusions_newest_dropped", "history.c",
      ("		    count >= EXCLUSIONS_MAX - 1) {",
       "		    count < 1) {"))
limit("requests_are_remembered_so_long", "requests_fewer", "history.c",
      ("	uint32_t at = (uint32_t)(s->request_count % REQUESTS_MAX);\n",
       "	uint32_t at = (uint32_t)(s->request_count % (REQUESTS_MAX - 1));\n"))
limit("exclusions_are_bounded", "exclusion_places_lost", "history.c",
      ("	s->exclusion_free = id;\n}", "}"))
limit("exclusions_are_bounded", "exclusions_outlive_the_program", "state.c",
      ("	fsm__exclusions_drop(s, p);\n", ""))
limit("moves_are_remembered_so_long", "moves_of_others", "history.c",
      ("	if (serial == 0 || serial + MOVES_MAX <= s->move_count)",
       "	if (serial == 0)"))
limit("moves_are_remembered_so_long", "moves_all_shown", "history.c",
      ("m && count < MOVES_SHOWN_MAX;", "m && count < max;"))
limit("moves_are_remembered_so_long", "moves_keep_their_reasons", "history.c",
      ("		fsm__pool_give(&s->texts, s->moves[at].reason);\n", ""))
script("r22_removal", "texts_of_a_crn_kept", "E", "state.c",
       ("	fsm__pool_give(&s->texts, c->url);\n", ""))
script("r21_forget", "texts_of_a_program_kept", "E", "state.c",
       ("	fsm__pool_give(&s->texts, p->owner);\n", ""))


# --- crn.changed; requests
def changed(*args, **more):
    script("changed", *args, **more)


script("a_life", "move_of_no_epoch", "E", "move.c",
       ("		.epoch = p->epoch, .stamp = f->stamp, .wall_ms",
        "		.stamp = f->stamp, .wall_ms"))
script("a_life", "move_at_no_stamp", "E", "move.c",
       ("		.epoch = p->epoch, .stamp = f->stamp, .wall_ms",
        "		.epoch = p->epoch, .wall_ms"))
script("a_life", "move_at_no_time", "E", "move.c",
       (".stamp = f->stamp, .wall_ms = s->wall_ms,\n		.what",
        ".stamp = f->stamp,\n		.what"))
script("a_life", "since_when", "E", "lineage.c",
       ("	s->programs[slot].since_wall_ms = s->wall_ms;\n", ""))
changed("assign_changes_nothing", "2.6", "move.c",
        ("	fsm__touch_desired(f, crn);\n	remember(f, program, crn, "
         "EFFECT_ASSIGNED", "	remember(f, program, crn, EFFECT_ASSIGNED"))
changed("revoke_changes_nothing", "2.6", "move.c",
        ("	fsm__touch_desired(f, p->crn);\n", ""))
changed("release_changes_nothing", "2.6", "move.c",
        ("	fsm__touch_desired(f, crn);\n	fsm__lineage_home(s, program);",
         "	fsm__lineage_home(s, program);"))
changed("register_changes_nothing", "2.6", "lease.c",
        ("	fsm__touch_desired(f, slot);\n	fsm__effect(f, "
         "EFFECT_CRN_REGISTERED", "	fsm__effect(f, EFFECT_CRN_REGISTERED"))
changed("silence_changes_nothing", "2.6", "lease.c",
        ("	crn->established = false;\n	fsm__touch_desired(f, slot);\n}",
         "	crn->established = false;\n}"))
changed("new_gen_changes_nothing", "2.6", "survey.c",
        ("	fsm__touch_desired(f, slot);\n}", "}"))
changed("beats_change", "2.6 E", "lease.c",
        ("	free_confirmed(f, slot, r);\n", "	free_confirmed(f, slot, r);\n"
         "	fsm__touch_desired(f, slot);\n"))
changed("reports_change", "2.6 E", "crn.c",
        ("	set_tokens(s, &crn->tokens, c);\n	fsm__touch_crn",
         "	set_tokens(s, &crn->tokens, c);\n	fsm__touch_desired"))


def request(*args, **more):
    script("requests", *args, **more)


request("requests_forgotten", "E", "apply.c",
        ("		fsm__request_add(&f->state, &r);\n	}\n}", "	}\n}"))
request("requests_tried_again", "E", "apply.c",
        ("	if (before) {", "	if (before && before->refusal == FSM_OK) {"))
request("refused_told_as_done", "E", "apply.c",
        ("		result->refusal = before->refusal == FSM_OK\n"
         "					  ? FSM_DUPLICATE\n"
         "					  : (enum fsm_refusal)before->refusal;",
         "		result->refusal = FSM_DUPLICATE;"))
request("requests_name_themselves", "E", "apply.c",
        ("		result->stamp = before->stamp;\n", ""))


# --- R17: a run whose size nobody knows
def unknown_size(*args, **more):
    script("r17_unknown_size", *args, **more)


unknown_size("unknown_size_fits", "R17 R8", "fits.c",
    ("	       !fsm__size_unknown(s, c);", "	       true;"))
unknown_size("unknown_size_not_told", "R17", "place.c",
    ("	return PLACE_UNKNOWN_SIZE;\n}", "	return PLACE_DISK;\n}"))
unknown_size("any_revoking_is_unknown", "R17", "fits.c",
    ("		if (p->state == PROGRAM_REVOKING && p->forgotten &&\n"
     "		    p->vcpus == 0 && p->memory_mib == 0)",
     "		if (p->state == PROGRAM_REVOKING)"))
