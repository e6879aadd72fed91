# A2 and weakness 11: lease clocks, node/lib/clock.c.
def clock(name, rules, how, test):
    mutant("clock_" + name, rules, "node/lib/clock.c", how,
           "lib_clock test_" + test)


clock("agent_by_boottime", "W11 R10",
      ("clock->agent_ns += boottime > raw ? boottime : raw;",
       "clock->agent_ns += boottime;"), "agent_takes_more_leader_less")
clock("agent_by_raw", "W11 R10",
      ("clock->agent_ns += boottime > raw ? boottime : raw;",
       "clock->agent_ns += raw;"), "agent_takes_more_leader_less")
clock("agent_takes_less", "W11",
      ("clock->agent_ns += boottime > raw ? boottime : raw;",
       "clock->agent_ns += boottime < raw ? boottime : raw;"),
      "agent_takes_more_leader_less")
clock("leader_takes_more", "W11 R4",
      ("clock->leader_ns += boottime < raw ? boottime : raw;",
       "clock->leader_ns += boottime > raw ? boottime : raw;"),
      "agent_takes_more_leader_less")
clock("leader_by_raw", "W11 R4",
      ("clock->leader_ns += boottime < raw ? boottime : raw;",
       "clock->leader_ns += raw;"), "agent_takes_more_leader_less")
clock("not_span_by_span", "W11",
      ("	clock->agent_ns += boottime > raw ? boottime : raw;\n"
       "	clock->leader_ns += boottime < raw ? boottime : raw;\n",
       "	static uint64_t all_boottime, all_raw;\n"
       "	all_boottime += boottime;\n	all_raw += raw;\n"
       "	clock->agent_ns = all_boottime > all_raw ? all_boottime : all_raw;\n"
       "	clock->leader_ns = all_boottime < all_raw ? all_boottime : all_raw;\n"),
      "old_lead_hides_no_slowness")
clock("goes_back", "E",
      ("uint64_t ns = now_ns > *last_ns ? now_ns - *last_ns : 0;",
       "uint64_t ns = now_ns - *last_ns;"), "never_back")
clock("wrong_unit", "E", ("return clock->agent_ns / NS_PER_MS;",
                          "return clock->agent_ns / 1000;"),
      "counts_from_anchor")
