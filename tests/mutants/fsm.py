# The state machine: fsm/*.c, by the scenarios of tests/script.
def script(name, rules, path, how, scenario, **more):
    mutant("fsm_" + name, rules, "fsm/" + path, how,
           "fsm_scripts " + scenario, **more)


script("any_term", "R3", "apply.c", define("any_term"), "r03_term")
script("unconfirmed", "R16", "lease.c", define("unconfirmed"), "r23_hold")
script("renew_any", "R7", "lease.c", define("renew_any"), "r05_beat")
script("without_k", "R2", "lease.c", define("without_k"), "r05_beat")
script("not_due", "R7 W8", "lease.c", define("not_due"), "r07_expire")
script("hold_expires", "R23", "lease.c", define("hold_expires"), "r23_hold")
script("confirm_all", "R16 R23", "lease.c", define("confirm_all"),
       "r16_fence_confirm")
script("prev", "R15 W5", "lease.c", define("prev"), "r15_register")
script("boot", "R15 W7", "lease.c", define("boot"), "r15_register")
script("other_host", "R23", "lease.c", define("other_host"), "r23_register")
script("config_lowered", "2.6", "config.c", define("config_lowered"), "config")
