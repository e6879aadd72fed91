# Placement and what fits: fsm/place.c, fsm/fits.c.
def place(name, rules, path, how, catch, **more):
    mutant("place_" + name, rules, "fsm/%s.c" % path, how, catch, **more)


place("not_sticky", "R20", "place",
      ("	return p->prefer_last || s->c_ms < s->crns[crn].sticky_until_ms;",
       "	return p->prefer_last;"),
      "place_corpus sticky_time")
place("sticky_for_ever", "R20", "place",
      ("	return p->prefer_last || s->c_ms < s->crns[crn].sticky_until_ms;",
       "	return true;"),
      "place_corpus sticky_time")
place("off_by_one", "R20 E", "place",
      ("	return p->prefer_last || s->c_ms < s->crns[crn].sticky_until_ms;",
       "	return p->prefer_last || s->c_ms <= s->crns[crn].sticky_until_ms;"),
      "place_corpus sticky_time")
place("prefer_last", "R20 E", "place",
      ("	return p->prefer_last || s->c_ms",
       "	return s->c_ms"),
      "place_corpus update")
place("prefer_last_for_good", "R20", "move",
      ("	p->prefer_last = false;\n", ""),
      "place_corpus update")
place("any_crn", "R20", "place",
      ("	if (p->last_crn != crn)\n"
       "		return false;\n",
       ""),
      "place_corpus sticky_time")
place("wait_alive", "R20", "place",
      ("	return c->alive && c->linked && s->c_ms < c->sticky_until_ms &&",
       "	return c->linked && s->c_ms < c->sticky_until_ms &&"),
      "place_corpus class")
place("wait_linked", "R20", "place",
      ("	return c->alive && c->linked && s->c_ms < c->sticky_until_ms &&",
       "	return c->alive && s->c_ms < c->sticky_until_ms &&"),
      "place_corpus sticky_time")
place("wait_time", "R20", "place",
      ("	return c->alive && c->linked && s->c_ms < c->sticky_until_ms &&",
       "	return c->alive && c->linked &&"),
      "place_corpus sticky_time")
place("wait_established", "R20", "place",
      ("	       (!c->established || !c->reported) &&\n",
       ""),
      "place_corpus sticky")
place("wait_excluded", "R20", "place",
      ("	       !(e && s->c_ms < e->until_ms) &&\n",
       ""),
      "place_corpus sticky")
place("wait_class", "R20", "place",
      ("	       (c->class == CRN_FENCED || s->config.unfenced_hold_ok) &&\n",
       ""),
      "place_corpus sticky_time")
place("wait_pin", "R20", "place",
      (" &&\n"
       "	       (!p->has_node_pin || fsm__hash_is(s, p->node_pin, &c->hash));\n"
       "}\n"
       "\n"
       "static void look_at",
       ";\n"
       "}\n"
       "\n"
       "static void look_at"),
      "place_corpus pins",
      redundant="a program's last CRN is never outside its pin: Assign tests it, and a message's pin never changes")
place("no_wait", "R20", "place",
      ("	if ((chosen == SLOT_NONE || !best.back) && !best.data &&\n",
       "	if (0 &&\n"),
      "place_corpus sticky_time")
place("wait_though_data", "R20", "place",
      ("	if ((chosen == SLOT_NONE || !best.back) && !best.data &&\n",
       "	if ((chosen == SLOT_NONE || !best.back) &&\n"),
      "place_corpus data",
      redundant="the CRN of its data is the last one that it ran on")
place("no_data_preference", "R25", "place",
      ("	int order = prefer_flag(a->data, b->data);",
       "	int order = 0;"),
      "place_corpus data")
place("order_back_after_fenced", "R20", "place",
      ("	if (order == 0)\n"
       "		order = prefer_flag(a->back, b->back);\n"
       "	if (order == 0)\n"
       "		order = prefer_flag(a->fenced, b->fenced);",
       "	if (order == 0)\n"
       "		order = prefer_flag(a->fenced, b->fenced);\n"
       "	if (order == 0)\n"
       "		order = prefer_flag(a->back, b->back);"),
      "place_corpus sticky_time")
place("silent_first_come", "E", "place",
      ("		order = prefer_flag(a->heard, b->heard);",
       "		;"),
      "place_corpus silent")
place("silent_before_data", "R25", "place",
      ("	int order = prefer_flag(a->data, b->data);\n"
       "\n"
       "	if (order == 0)\n"
       "		order = prefer_flag(a->heard, b->heard);",
       "	int order = prefer_flag(a->heard, b->heard);\n"
       "\n"
       "	if (order == 0)\n"
       "		order = prefer_flag(a->data, b->data);"),
      "place_corpus silent")
place("silent_back", "E", "place",
      ("		order = prefer_flag(a->heard, b->heard);\n"
       "	if (order == 0)\n"
       "		order = prefer_flag(a->back, b->back);",
       "		order = prefer_flag(a->back, b->back);\n"
       "	if (order == 0)\n"
       "		order = prefer_flag(a->heard, b->heard);"),
      "place_corpus silent")
place("silent_off_by_one", "E", "place",
      ("	return c->exp_ms + silence_ms >= s->c_ms",
       "	return c->exp_ms + silence_ms > s->c_ms"),
      "place_corpus silent")
place("silent_late", "E", "place",
      ("#define SILENT_HEARTBEATS 2u",
       "#define SILENT_HEARTBEATS 3u"),
      "place_corpus silent")
place("size_unknown_first", "E", "place",
      ("	if (c->program_count + use->programs >=",
       "	if (c->revoking_count != 0)\n"
       "		return PLACE_UNKNOWN_SIZE;\n"
       "	if (c->program_count + use->programs >="),
      "fsm_scripts r17_unknown_size")
place("worst_fit", "E", "place",
      ("order = prefer_less(a->memory_mib, b->memory_mib);",
       "order = prefer_less(b->memory_mib, a->memory_mib);"),
      "place_corpus sticky_time")
place("no_vcpus", "E", "place",
      ("		order = prefer_less(a->vcpus, b->vcpus);",
       "		;"),
      "place_corpus best_fit")
place("no_disk", "E", "place",
      ("		order = prefer_less(a->disk_mib, b->disk_mib);",
       "		;"),
      "place_corpus ties")
place("hash", "E", "place",
      ("hash_compare(a->hash, b->hash);",
       "hash_compare(b->hash, a->hash);"),
      "place_corpus ties")
place("left_without_use", "E", "place",
      ("c->memory_mib - c->memory_mib_used -\n"
       "			      use->memory_mib - p->memory_mib",
       "c->memory_mib - p->memory_mib"),
      "place_corpus round")
place("take_vcpus", "E", "place",
      ("	uses[crn].vcpus += p->vcpus;\n",
       ""),
      "place_corpus round")
place("take_memory", "E", "place",
      ("	uses[crn].memory_mib += p->memory_mib;\n",
       ""),
      "place_corpus round")
place("take_disk", "E", "place",
      ("	uses[crn].disk_mib += p->disk_mib;\n",
       ""),
      "place_corpus round")
place("take_programs", "E", "place",
      ("	uses[crn].programs++;\n",
       ""),
      "replica_driver_work test_assigns_on_their_way_take_slots")
place("overlay_in_flight", "R8 E", "place",
      ("	if (place__in_flight(o, &p->hash)) {",
       "	if (0) {"),
      "replica_driver_work test_assign_is_proposed_once")
place("assigned_is_looked_at", "E", "place",
      ("	if (p->state == PROGRAM_ASSIGNED)\n		return PLACE_OK;\n", ""),
      "place_corpus best_fit")
place("slots_not_told", "E", "place",
      ("	if (c->program_count + use->programs >= FSM_CRN_PROGRAMS_MAX)\n"
       "		return PLACE_SLOTS;\n", ""),
      "fsm_limits a_crn_takes_so_many")
place("pin_for_data", "R25 E", "place",
      ("	if (p->has_node_pin && !fsm__hash_is(s, p->node_pin, &c->hash))\n"
       "		return PLACE_PIN;",
       "	if (p->has_node_pin)\n		return PLACE_PIN;"),
      "place_corpus pins")
place("overlay_hole", "E", "overlay",
      ("	if (at != last) {", "	if (0) {"),
      "fsm_view the_overlay_tells_what_is_in_flight")
place("overlay_twice", "E", "overlay",
      ("	place_overlay_forget(o, &assign->program);\n", ""),
      "fsm_view the_overlay_tells_what_is_in_flight")
place("overlay_disk", "E", "overlay",
      ("		uses[crn].disk_mib += flight->use.disk_mib;\n", ""),
      "fsm_view the_overlay_tells_what_is_in_flight")
place("lost", "R17", "place",
      ("	if (p->state == PROGRAM_LOST)\n"
       "		return PLACE_LOST;\n",
       ""),
      "fsm_scripts r17_restore")
place("fits_vcpus", "E", "fits",
      ("	       c->vcpus_used + use->vcpus + p->vcpus <= c->vcpus &&\n",
       ""),
      "place_corpus round")
place("fits_memory", "E", "fits",
      ("	       c->memory_mib_used + use->memory_mib <=\n"
       "		       c->memory_mib - p->memory_mib &&\n",
       ""),
      "place_corpus round")
place("fits_disk", "E", "fits",
      (" &&\n"
       "	       c->disk_mib_used + use->disk_mib <=\n"
       "		       c->disk_mib - p->disk_mib",
       ""),
      "place_corpus round")
place("fits_memory_off_by_one", "E", "fits",
      ("	       c->memory_mib_used + use->memory_mib <=\n",
       "	       c->memory_mib_used + use->memory_mib <\n"),
      "place_corpus best_fit")
place("fits_slots", "2.6 E", "fits",
      ("	return c->program_count + use->programs < FSM_CRN_PROGRAMS_MAX &&\n",
       "	return "),
      "replica_driver test_a_crn_gets_no_more_than_it_can_hold")
place("data_pin", "R25", "fits",
      ("	if (p->has_data && p->data_crn != 0 && !p->move_without_data &&\n"
       "	    !fsm__hash_is(s, p->data_crn, &c->hash))\n"
       "		return false;\n",
       ""),
      "place_corpus data")
place("owner_s_word", "R25", "fits",
      ("p->data_crn != 0 && !p->move_without_data &&",
       "p->data_crn != 0 &&"),
      "place_corpus data")
place("node_pin", "R25", "fits",
      ("	if (p->has_node_pin && !fsm__hash_is(s, p->node_pin, &c->hash))\n"
       "		return false;\n",
       ""),
      "place_corpus round")
place("tokens", "2.6", "fits",
      ("	if (!tokens_offered(s, p, c, token))\n"
       "		return FSM_REFUSED_TOKENS;\n",
       ""),
      "place_corpus tokens")
place("class", "R22", "fits",
      ("	if (c->class == CRN_UNFENCED && !s->config.unfenced_hold_ok)\n"
       "		return FSM_REFUSED_CLASS;\n",
       ""),
      "place_corpus class")
place("linked", "R22", "fits",
      ("	if (!c->linked) /* R22 */\n"
       "		return FSM_REFUSED_STATE;\n",
       ""),
      "place_corpus data")
place("excluded", "R24", "fits",
      ("	if (e && s->c_ms < e->until_ms) /* R24 */\n"
       "		return FSM_REFUSED_EXCLUDED;\n",
       ""),
      "fsm_scripts r24_failed_start")
place("established", "R8", "fits",
      ("	if (!c->alive || !c->established || !c->reported)",
       "	if (!c->alive || !c->reported)"),
      "place_corpus nobody")
place("reported", "2.6", "fits",
      ("	if (!c->alive || !c->established || !c->reported)",
       "	if (!c->alive || !c->established)"),
      "place_corpus round")
place("alive", "R8", "fits",
      ("	if (!c->alive || !c->established || !c->reported)",
       "	if (!c->established || !c->reported)"),
      "place_corpus nobody",
      redundant="Expire, FenceConfirm and NewGen clear `established` with `alive`")
