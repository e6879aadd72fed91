# The engine: filters before libraft's core (T1 to T14), and R18's handshake. T2,
# T3, T5, T6, T10, T11, T12 are told in tests/check/sim-filters, by seeds.
def raft(name, rules, path, how, catch, **more):
    mutant("raft_" + name, rules, "raft/%s.c" % path, how, catch, **more)


raft("t1", "A1 T1", "filter",
     ("	if (!filter_on(r, 1) || !index || r->installing ||",
      "	if (1 || !filter_on(r, 1) || !index || r->installing ||"),
     "raft_filters t1_compacted_prefix_is_not_appended")
raft("t4", "A1 T4", "filter",
     ("	if (!filter_on(r, 4) || raft_state",
      "	if (1 || raft_state"),
     "raft_filters t4_new_sole_voter_takes_a_new_term")
raft("t7", "A1 T7", "filter",
     ("	    vote->pre_vote && !vote->vote_granted && vote->term < term)",
      "	    0)"),
     "raft_filters t7_refused_candidate_learns_the_term")
raft("t8", "A1 T8", "filter",
     ("	if (filter_on(r, 8) && result->rejected &&",
      "	if (0 && result->rejected &&"),
     "raft_filters t8_late_rejection_does_not_stop_replication")
raft("t9", "A1 T9", "filter",
     ("	if (filter_on(r, 9) && r->last_timeout_ms && next < least)",
      "	if (0)"),
     "raft_filters t9_timer_does_not_spin")
raft("t13", "A1 T13", "filter",
     ("	return !filter_on(r, 13) ||\n",
      "	return 1 || !filter_on(r, 13) ||\n"),
     "raft_filters t13_change_waits_for_a_commit_of_the_term")
raft("t14_votes", "A1 T14", "filter",
     ("	if (filter_on(r, 14) && raft_state(&r->raft) != RAFT_CANDIDATE)\n"
       "		return 0;\n",
      ""),
     "raft_filters t14_only_candidates_hear_of_votes")
raft("t14_hint", "A1 T14", "filter",
     ("	if (message->type == RAFT_APPEND_ENTRIES_RESULT && r->stale_reply)\n"
       "		message->append_entries_result.last_log_index = 0;\n",
      ""),
     "raft_door t14_answers_of_old_terms_have_no_hint")
raft("another_disk", "R18", "hello",
     ("	if (memcmp(known->disk_id, who->disk_id, 16) != 0)\n"
       "		return \"its disk is another one than the cluster remembers\";\n",
      ""),
     "raft_door another_disk_of_a_known_id")
raft("member_s_disk", "R18", "hello",
     ("	if (member && disk_id_known(member->disk_id) &&\n"
       "	    memcmp(member->disk_id, who->disk_id, 16) != 0)\n"
       "		return \"its disk is not the one that this id was added with\";\n",
      ""),
     "raft_door an_added_disk_is_the_one_that_may_come")
raft("lower_incarnation", "R18", "hello",
     ("	if (who->incarnation < known->incarnation ||\n",
      "	if (\n"),
     "raft_replica older_disk_is_refused")
raft("other_past", "R18", "hello",
     (" ||\n"
       "	    other_past(known, hello))",
      ")"),
     "raft_replica older_disk_does_not_count_up")
raft("same_incarnation_other_nonce", "R18", "hello",
     ("	if (!since)\n"
       "		return hello->who.nonce != known->nonce;\n",
      "	if (!since)\n"
       "		return false;\n"),
     "raft_door one_start_has_one_nonce")
raft("peers_not_durable", "R18", "hello",
     ("	return peers_store(&bind->replica->io->files, &bind->peers);",
      "	return 0;"),
     "raft_door a_restart_forgets_no_disk")
raft("accepted_before_durable", "R18", "hello",
     ("	bind->number = peer->binding = ++r->binds;\n",
      "	bind->number = peer->binding = ++r->binds; peer->accepted = true;\n"),
     "raft_replica binding_is_durable_first")
raft("refusal_not_written", "R18", "hello",
     ("	r->identity.refused = true;\n",
      ""),
     "raft_replica older_disk_is_refused")
raft("cluster_name", "R18", "hello",
     ("	} else if (strcmp(hello.cluster, r->identity.cluster) != 0 ||\n"
       "		   hello.who.id != peer->id) {",
      "	} else if (hello.who.id != peer->id) {"),
     "raft_replica other_cluster_is_refused")
raft("id_of_certificate", "R18", "hello",
     ("	} else if (strcmp(hello.cluster, r->identity.cluster) != 0 ||\n"
       "		   hello.who.id != peer->id) {",
      "	} else if (strcmp(hello.cluster, r->identity.cluster) != 0) {"),
     "raft_door a_certificate_names_its_replica")
raft("since_off", "R18", "hello",
     ("hello->past[since - 1] != known->nonce",
      "hello->past[since] != known->nonce"),
     "raft_replica older_disk_is_refused")
raft("t2_second_form", "A1 T2", "filter",
     ("			code = commit_change(r, append);",
      "			code = 0;"),
     "raft_filters t2_earlier_change_is_committed_or_not")
raft("t2_other_log", "A1 T2", "filter",
     (" ||\n"
       "	    engine_term_of(r, append->prev_log_index) !="
       " append->prev_log_term)\n"
       "		return 0;\n"
       "	members_from",
      ")\n"
       "		return 0;\n"
       "	members_from"),
     "raft_filters t2_earlier_change_is_committed_or_not")
raft("t2_itself", "A1 T2", "filter",
     ("index > append->prev_log_index ||", "0 ||"),
     "raft_filters t2_earlier_change_is_committed_or_not")
raft("t6_by_time", "A1 T6", "filter",
     ("	if (quiet >= r->config.election_ms)", "	if (quiet + 1)"),
     "raft_filters t6_votes_go_by_time")
raft("t6_standby", "A1 T6", "filter",
     ("		own->role = RAFT_VOTER;\n", "		own->role = role;\n"),
     "raft_filters t6_who_is_asked_votes")
raft("t8_index", "A1 T8", "filter",
     ("		result->last_log_index = result->rejected;\n", ""),
     "raft_filters t8_late_rejection_acknowledges_nothing")
raft("overtaken_write", "A1", "lane",
     ("return less_cuts(r->waiting, less_cuts(r->writing.ops, last));",
      "return less_cuts(r->writing.ops, last);"),
     "raft_regress overtaken_write_is_not_stored")
raft("snapshot_in_install", "A1", "take",
     ("		r->snapping.cancelled = true;",
      "		r->snapping.cancelled = false;"),
     "raft_install snapshot_of_before_an_install_does_not_count")
raft("transfer_at_once", "A1", "member",
     (" ||\n	    match < raft_last_index(&r->raft))", ")"),
     "raft_replica leadership_goes_to_who_has_everything")
raft("segment_not_synced", "A1", "wal",
     ("	int code = wal_sync(wal);\n\n	if (code)\n		return code;\n"
       "	head.prev_end",
      "	int code = flush(wal);\n\n	if (code)\n		return code;\n"
       "	head.prev_end"),
     "raft_install names_and_words_are_of_what_is_durable")
raft("unaccepted_is_heard", "R18", "link",
     ("	} else if (!peer->accepted) {", "	} else if (0) {"),
     "raft_door nothing_passes_before_the_hello")
raft("hello_of_another_link", "R18", "hello",
     ("	if (peer && peer->binding == bind->number) {", "	if (peer) {"),
     "raft_door a_hello_is_for_its_link")
raft("staged_not_written_again", "E", "transfer_in",
     ("	return code ? code : write_again(in);",
      "	return code;"),
     "raft_install what_a_failed_sync_left_is_written_again")
